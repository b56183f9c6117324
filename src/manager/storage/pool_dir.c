/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_dir.c: pools whose volumes are files in a folder: of the host, or of a file system mounted
 * there. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

static int check_dir(struct pool *p, GError **error)
{
	const char *path = xml_get(pool_root(p), "target/path");

	if (!path || !strcmp(path, "/"))
		return refuse(error, MANAGER_ERR_XML,
			"a pool of type %s needs a <target> with a <path>", p->kind->type);
	p->target = g_canonicalize_filename(path, "/");
	xml_set(pool_root(p), "target/path", p->target);
	return 0;
}

static int check_fs(struct pool *p, GError **error)
{
	if (!xml_get(pool_root(p), "source/device/@path"))
		return refuse(error, MANAGER_ERR_XML,
			"a pool of type fs needs a <device> in its <source>");
	return check_dir(p, error);
}

static int check_netfs(struct pool *p, GError **error)
{
	if (!xml_get(pool_root(p), "source/host/@name") ||
		!xml_get(pool_root(p), "source/dir/@path"))
		return refuse(error, MANAGER_ERR_XML,
			"a pool of type netfs needs a <host> and a <dir> in its <source>");
	if (xml_get(pool_root(p), "source/dir/@path")[0] == '-')
		return refuse(
			error, MANAGER_ERR_XML, "a folder of a server does not begin with '-'");
	return check_dir(p, error);
}

/* ---- the folder ---- */

/* As the definition wants it: mode in octal, owners by number; what it leaves out stays. */
static int set_permissions(const char *path, xmlNode *n, GError **error)
{
	const char *mode = xml_get(n, "mode"), *owner = xml_get(n, "owner"),
		   *group = xml_get(n, "group");
	uid_t uid =
		owner && strcmp(owner, "-1") ? (uid_t)g_ascii_strtoull(owner, NULL, 10) : (uid_t)-1;
	gid_t gid =
		group && strcmp(group, "-1") ? (gid_t)g_ascii_strtoull(group, NULL, 10) : (gid_t)-1;

	if ((mode && chmod(path, g_ascii_strtoull(mode, NULL, 8) & 07777)) ||
		((uid != (uid_t)-1 || gid != (gid_t)-1) && chown(path, uid, gid)))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", path, g_strerror(errno));
	return 0;
}

static int build_dir(struct pool *p, unsigned flags, GError **error)
{
	if (g_mkdir_with_parents(p->target, 0711))
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot make %s: %s", p->target,
			g_strerror(errno));
	return set_permissions(
		p->target, xml_child(xml_child(pool_root(p), "target"), "permissions"), error);
}

static int remove_dir(struct pool *p, GError **error)
{
	return rmdir(p->target)
		       ? refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", p->target, g_strerror(errno))
		       : 0;
}

static int start_dir(struct pool *p, GError **error)
{
	if (!g_file_test(p->target, G_FILE_TEST_IS_DIR))
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot open directory '%s': %s",
			p->target, g_strerror(access(p->target, F_OK) ? errno : ENOTDIR));
	return 0;
}

static bool is_busy(struct pool *p, const char *part)
{
	bool busy;

	g_mutex_lock(&p->lock);
	busy = g_hash_table_contains(p->busy, part + VOLUME_PART_LENGTH);
	g_mutex_unlock(&p->lock);
	return busy;
}

static int refresh_dir(struct pool *p, GPtrArray *volumes, GError **error)
{
	g_autoptr(GHashTable) raw = volumes_made_raw(p);
	g_autoptr(GDir) dir = NULL;
	g_autoptr(GError) why = NULL;
	struct statvfs fs;
	const char *name;

	dir = g_dir_open(p->target, 0, &why);
	if (!dir || statvfs(p->target, &fs))
		return refuse(
			error, MANAGER_ERR_SYSTEM, "%s", why ? why->message : g_strerror(errno));
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(p->target, name, NULL);
		const uint64_t *inode = g_hash_table_lookup(raw, name);
		struct volume *v;
		struct stat st;

		/* What an earlier daemon was cut off at. */
		if (g_str_has_prefix(name, VOLUME_PART) && !is_busy(p, name))
			unlink(path);
		if (name[0] == '.' || !g_utf8_validate(name, -1, NULL) || strchr(name, '\n'))
			continue;
		v = volume_probe(p->target, name, inode && !stat(path, &st) && st.st_ino == *inode);
		if (v)
			g_ptr_array_add(volumes, v);
	}
	g_mutex_lock(&p->lock);
	p->capacity = (uint64_t)fs.f_frsize * fs.f_blocks;
	p->available = (uint64_t)fs.f_frsize * fs.f_bavail;
	p->allocation = p->capacity - (uint64_t)fs.f_frsize * fs.f_bfree;
	g_mutex_unlock(&p->lock);
	return 0;
}

/* ---- mounts ---- */

/* Is something mounted exactly there? Spec: proc(5), mountinfo. */
static bool is_mounted(struct pool *p)
{
	g_autofree char *text = NULL, *real = realpath(p->target, NULL);
	g_auto(GStrv) lines = NULL;

	if (!real || !g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return false;
	lines = g_strsplit(text, "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		g_auto(GStrv) f = g_strsplit(lines[i], " ", 6);
		g_autofree char *at = g_strv_length(f) == 6 ? g_strcompress(f[4]) : NULL;

		if (!g_strcmp0(at, real))
			return true;
	}
	return false;
}

static int mount_it(
	struct pool *p, const char *type, const char *what, const char *options, GError **error)
{
	const char *argv[10] = { "mount" };
	unsigned n = 1;

	if (start_dir(p, error))
		return -1;
	if (is_mounted(p))
		return 0;
	if (type && strcmp(type, "auto")) {
		argv[n++] = "-t";
		argv[n++] = type;
	}
	/* Files in it are data: no programs, no devices. */
	argv[n++] = "-o";
	argv[n++] = options;
	argv[n++] = "--";
	argv[n++] = what;
	argv[n++] = p->target;
	return pool_run(argv, NULL, error);
}

static int start_fs(struct pool *p, GError **error)
{
	return mount_it(p, xml_get(pool_root(p), "source/format/@type"),
		xml_get(pool_root(p), "source/device/@path"), "nosuid,nodev,noexec", error);
}

static int start_netfs(struct pool *p, GError **error)
{
	const char *format = xml_get(pool_root(p), "source/format/@type");
	const char *host = xml_get(pool_root(p), "source/host/@name");
	const char *dir = xml_get(pool_root(p), "source/dir/@path"),
		   *ver = xml_get(pool_root(p), "source/protocol/@ver");
	bool cifs = !g_strcmp0(format, "cifs");
	g_autofree char *what = g_strdup_printf(cifs                ? "//%s/%s"
						: strchr(host, ':') ? "[%s]:%s"
								    : "%s:%s",
		host, dir);
	g_autofree char *options = NULL;

	if (ver && strspn(ver, "0123456789.") != strlen(ver))
		return refuse(error, MANAGER_ERR_XML, "'%s' is not a version of NFS", ver);
	options = g_strdup_printf("nosuid,nodev,noexec%s%s%s", ver ? ",nfsvers=" : "",
		ver ? ver : "", cifs ? ",guest" : "");
	return mount_it(p, !g_strcmp0(format, "auto") ? "nfs" : format, what, options, error);
}

static int stop_mount(struct pool *p, GError **error)
{
	const char *const argv[] = { "umount", "--", p->target, NULL };

	return is_mounted(p) ? pool_run(argv, NULL, error) : 0;
}

/* Makes the file system when told to overwrite, or when there is none yet and told not to. */
static int build_fs(struct pool *p, unsigned flags, GError **error)
{
	const char *device = xml_get(pool_root(p), "source/device/@path");
	const char *format = xml_get(pool_root(p), "source/format/@type");
	g_autofree char *tool = g_strdup_printf("mkfs.%s", format);
	const char *const probe[] = { "blkid", "-p", "-u", "filesystem,raid,crypto,other", "-o",
		"value", "-s", "TYPE", "--", device, NULL };
	const char *force = !strcmp(format, "xfs")            ? "-f"
			    : g_str_has_prefix(format, "ext") ? "-F"
							      : NULL;
	const char *const make[] = { tool, force ? force : device, force ? device : NULL, NULL };
	g_autofree char *found = NULL;

	if (build_dir(p, 0, error))
		return -1;
	if (!flags)
		return 0;
	if (!strcmp(format, "auto"))
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"which file system is to be made: the format is auto");
	if (flags & POOL_BUILD_NO_OVERWRITE && !pool_run(probe, &found, NULL) && *g_strstrip(found))
		return refuse(error, (enum manager_error)76 /* VIR_ERR_STORAGE_POOL_BUILT */,
			"%s has a file system '%s' already", device, found);
	return pool_run(make, NULL, error);
}

/* What a server exports. Spec: showmount(8). */
static int sources_netfs(struct manager *m, const xmlNode *spec, xmlNode *out, GError **error)
{
	const char *host = xml_get(spec, "host/@name");
	const char *argv[] = { "showmount", "--no-headers", "--exports", "--", host, NULL };
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!host || host[0] == '-')
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"sources of type netfs need a <host name='…'>");
	if (pool_run(argv, &text, error))
		return -1;
	lines = g_strsplit(text, "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		g_auto(GStrv) f = g_strsplit_set(lines[i], " \t", 2);
		xmlNode *s;

		if (!f[0] || f[0][0] != '/')
			continue;
		s = xml_add(out, "source", NULL);
		xml_set(s, "host/@name", host);
		xml_set(s, "dir/@path", f[0]);
		xml_set(s, "format/@type", "nfs");
	}
	return 0;
}

static const char *const fs_formats[] = { "auto", "ext2", "ext3", "ext4", "xfs", "vfat", "iso9660",
	"udf", "ufs", "gfs", "gfs2", "hfs+", "ocfs2", NULL };
static const char *const netfs_formats[] = { "auto", "nfs", "cifs", "glusterfs", NULL };

const struct pool_kind pool_kind_dir = { .type = "dir",
	.files = true,
	.check = check_dir,
	.start = start_dir,
	.build = build_dir,
	.remove = remove_dir,
	.refresh = refresh_dir };
const struct pool_kind pool_kind_fs = { .type = "fs",
	.files = true,
	.formats = fs_formats,
	.check = check_fs,
	.is_active = is_mounted,
	.start = start_fs,
	.stop = stop_mount,
	.build = build_fs,
	.remove = remove_dir,
	.refresh = refresh_dir };
const struct pool_kind pool_kind_netfs = { .type = "netfs",
	.files = true,
	.formats = netfs_formats,
	.check = check_netfs,
	.is_active = is_mounted,
	.start = start_netfs,
	.stop = stop_mount,
	.build = build_dir,
	.remove = remove_dir,
	.refresh = refresh_dir,
	.sources = sources_netfs };
