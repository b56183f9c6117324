/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_create.c: new volumes, empty or as a copy. A file is made under another name and gets its
 * own when it is complete and on the disk: what is cut off leaves no volume.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/fs.h>

#include "image/convert.h"
#include "image/format.h"
#include "image/image.h"
#include "image/spec.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/storage/pool_priv.h"
#include "manager/storage/volume_priv.h"
#include "manager/xmlrule.h"

/* What is asked for. */
struct wish {
	xmlDoc *doc; /* owned */
	xmlNode *root;
	const char *name, *format; /* libvirt's words; borrowed from doc or static */
	const struct image_format *image;
	uint64_t capacity, allocation;
	bool has_allocation;
	const char *backing, *backing_format;
	struct volume *from; /* borrowed */
	unsigned flags;
	const struct volume_progress *progress;
};

static int parse(struct pool *p, const char *xml, struct volume *from, unsigned flags,
	struct wish *w, GError **error)
{
	const char *allocation, *type;

	memset(w, 0, sizeof(*w));
	w->doc = xml_rule_parse(xml, &volume_xml, error);
	if (!w->doc)
		return -1;
	w->root = xmlDocGetRootElement(w->doc);
	w->name = xml_get(w->root, "name");
	w->from = from;
	w->flags = flags;
	w->capacity = xml_get_uint(w->root, "capacity", 0);
	allocation = xml_get(w->root, "allocation");
	w->has_allocation = allocation;
	w->allocation = allocation ? xml_get_uint(w->root, "allocation", 0) : w->capacity;
	w->backing = xml_get(w->root, "backingStore/path");
	w->backing_format = xml_get(w->root, "backingStore/format/@type");
	w->format = xml_get(w->root, "target/format/@type");
	type = xml_get(w->root, "@type");
	if (flags & ~7u)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", flags);
	if (w->name[0] == '.')
		return refuse(error, MANAGER_ERR_XML, "a volume's name cannot begin with a dot");
	if (type && (!strcmp(type, "network") || !strcmp(type, "netdir")))
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"volumes of type %s are not supported", type);
	if (!w->format)
		w->format = p->kind->files ? "raw" : NULL;
	if (!from && !xml_get(w->root, "capacity") && !w->backing)
		return refuse(error, MANAGER_ERR_XML, "the volume has no <capacity>");
	if (from)
		w->capacity = MAX(w->capacity, from->capacity);
	if (w->capacity > INT64_MAX / 2 || w->allocation > INT64_MAX / 2)
		return refuse(error, MANAGER_ERR_XML, "the capacity is too large");
	return 0;
}

/* ---- files ---- */

static int check_format(struct wish *w, GError **error)
{
	const char *word = volume_image_format(w->format);

	w->image = word ? format_by_name(word) : NULL;
	if (!strcmp(w->format, "dir"))
		return 0;
	if (!w->image || !w->image->create || w->image->open == NULL)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"volumes of format %s cannot be made", w->format);
	if (w->backing && w->image == &image_format_raw)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a raw volume cannot stand on another");
	if (w->backing && !w->backing_format)
		return refuse(error, MANAGER_ERR_XML,
			"<backingStore> needs a <format>: it is not guessed");
	if (w->backing && !volume_image_format(w->backing_format))
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a volume cannot stand on format %s", w->backing_format);
	return 0;
}

static int set_option(struct image_spec *s, const struct image_format *f, const char *name,
	const char *value, GError **error)
{
	if (!f->create_options)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED, "format %s has no %s", f->name,
			name);
	return image_spec_set(s, f->create_options, name, value, error);
}

static int fill_spec(const struct wish *w, struct image_spec *s, GError **error)
{
	const char *compat = xml_get(w->root, "target/compat"),
		   *cluster = xml_get(w->root, "target/clusterSize");
	xmlNode *features = xml_child(xml_child(w->root, "target"), "features");

	s->size = w->capacity;
	s->backing = w->backing;
	s->backing_format = w->backing ? volume_image_format(w->backing_format) : NULL;
	/* Of raw, no <allocation> means all of it; of others, none. */
	if (w->image == &image_format_raw)
		s->preallocation = w->allocation >= w->capacity && w->capacity && !w->from
					   ? IMAGE_PREALLOC_FALLOC
					   : IMAGE_PREALLOC_OFF;
	else if (w->flags & VOLUME_CREATE_PREALLOC_METADATA)
		s->preallocation = w->has_allocation && w->allocation >= w->capacity
					   ? IMAGE_PREALLOC_FALLOC
					   : IMAGE_PREALLOC_METADATA;
	if ((compat && set_option(s, w->image, "compat", compat, error)) ||
		(cluster && set_option(s, w->image, "cluster_size", cluster, error)) ||
		(xml_child(features, "lazy_refcounts") &&
			set_option(s, w->image, "lazy_refcounts", "on", error)) ||
		(xml_child(features, "extended_l2") &&
			set_option(s, w->image, "extended_l2", "on", error)))
		return -1;
	return 0;
}

/* Where files below an image may lie: in the folders of active pools, and where this call says. */
static char **allowed_folders(struct manager *m, const char *backing)
{
	g_autoptr(GPtrArray) pools = pools_list(m);
	GPtrArray *out = g_ptr_array_new();

	for (unsigned i = 0; i < pools->len; i++) {
		struct pool *p = pools->pdata[i];

		if (p->active && p->target)
			g_ptr_array_add(out, g_strdup(p->target));
	}
	if (backing)
		g_ptr_array_add(out, g_path_get_dirname(backing));
	g_ptr_array_add(out, NULL);
	return (char **)g_ptr_array_free(out, FALSE);
}

static bool tick(void *opaque, uint64_t done, uint64_t total)
{
	const struct volume_progress *p = opaque;

	return p->tick(p->opaque, done, total);
}

/* A copy that stands on a file which the source stands on too has only what is above that. */
static int find_layer(
	struct image *from, const char *backing, struct convert_options *c, GError **error)
{
	g_autofree char *want = backing ? g_canonicalize_filename(backing, "/") : NULL;
	struct image *im = from;

	if (!want)
		return 0;
	for (int depth = 1; (im = image_backing(im)); depth++) {
		g_autofree char *have = g_canonicalize_filename(image_path(im), "/");

		if (!strcmp(have, want)) {
			c->below_stays = true;
			c->depth = depth;
			return 0;
		}
	}
	return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
		"a copy can stand on '%s' only if its source does", backing);
}

/* Copies what `from` reads as. */
static int copy_image(struct pool *p, const struct wish *w, const char *to_path,
	const char *to_format, GError **error)
{
	g_auto(GStrv) dirs = allowed_folders(p->manager, NULL);
	const struct image_options in = { .path = w->from->path,
		.queues = 1,
		.readonly = true,
		.format = w->from->format ? volume_image_format(w->from->format) : "raw",
		.backing_dirs = (const char *const *)dirs };
	const struct image_options out = { .path = to_path,
		.format = to_format,
		.queues = 1,
		.no_sync = true,
		.backing_dirs = (const char *const *)dirs };
	struct convert_options c = { .target_zero = p->kind->files, .sparse = 4096, .threads = 2 };
	struct image *from = image_open(&in, error);
	struct image *to =
		from && !find_layer(from, w->backing, &c, error) ? image_open(&out, error) : NULL;
	int err = -1;

	if (w->progress) {
		c.tick = tick;
		c.opaque = (void *)w->progress;
	}
	if (to) {
		g_autoptr(GError) why = NULL;

		err = image_convert(from, to, &c, &why);
		if (err && why)
			g_propagate_error(error, g_steal_pointer(&why));
		else if (err)
			refuse(error, MANAGER_ERR_OPERATION_ABORTED, "the copy was cancelled");
		else
			err = image_flush(to, error);
	}
	image_close(to);
	image_close(from);
	return err;
}

/* The file systems that can share blocks between files. Spec: ioctl_ficlone(2). */
static int reflink(const struct wish *w, const char *part, GError **error)
{
	int from = open(w->from->path, O_RDONLY | O_CLOEXEC);
	int to = from >= 0 ? open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	int err = 0;

	if (to < 0 || ioctl(to, FICLONE, from))
		err = refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED, "cannot share blocks: %s",
			g_strerror(errno));
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return err;
}

static int preallocate_part(const struct wish *w, const char *part, GError **error)
{
	int fd, err = 0;

	/* Some of a raw volume, as <allocation> says; the image library does all or nothing. */
	if (w->image != &image_format_raw || w->from || !w->allocation ||
		w->allocation >= w->capacity)
		return 0;
	fd = open(part, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || (fallocate(fd, 0, 0, w->allocation) && errno != EOPNOTSUPP))
		err = refuse(error, MANAGER_ERR_SYSTEM,
			"cannot allocate %" G_GUINT64_FORMAT " bytes: %s", (guint64)w->allocation,
			g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

static int make_image(struct pool *p, struct wish *w, const char *part, GError **error)
{
	g_auto(GStrv) dirs = allowed_folders(p->manager, w->backing);
	const struct image_options o = { .backing_dirs = (const char *const *)dirs };
	struct image_spec spec = { 0 };
	int err;

	if (w->flags & VOLUME_CREATE_REFLINK && w->from)
		return strcmp(w->format, w->from->format)
			       ? refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
					 "blocks are shared in one format only")
			       : reflink(w, part, error);
	err = fill_spec(w, &spec, error);
	if (!err)
		err = image_create(part, w->image->name, &spec, false, &o, error);
	if (spec.options)
		g_hash_table_unref(spec.options);
	if (!err && w->from)
		err = copy_image(p, w, part, w->image->name, error);
	return err ? err : preallocate_part(w, part, error);
}

static int set_owner(const struct wish *w, const char *part, GError **error)
{
	const char *mode = xml_get(w->root, "target/permissions/mode");
	const char *owner = xml_get(w->root, "target/permissions/owner"),
		   *group = xml_get(w->root, "target/permissions/group");
	bool dir = !strcmp(w->format, "dir");
	uid_t uid =
		owner && strcmp(owner, "-1") ? (uid_t)g_ascii_strtoull(owner, NULL, 10) : (uid_t)-1;
	gid_t gid =
		group && strcmp(group, "-1") ? (gid_t)g_ascii_strtoull(group, NULL, 10) : (gid_t)-1;

	if (chmod(part, mode  ? g_ascii_strtoull(mode, NULL, 8) & 07777
			: dir ? 0711
			      : 0600) ||
		chown(part, uid, gid))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", part, g_strerror(errno));
	return 0;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -1;
	err = fsync(fd);
	close(fd);
	return err;
}

static int note_raw(struct pool *p, const struct wish *w, const char *part, GError **error)
{
	struct volume *v = volume_new(VOLUME_FILE, w->name, part);
	int err = stat(part, &v->st)
			  ? refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", part, g_strerror(errno))
			  : volume_set_made_raw(p, v, true, error);

	volume_unref(v);
	return err;
}

static int make_file(struct pool *p, struct wish *w, GError **error)
{
	g_autofree char *path = g_build_filename(p->target, w->name, NULL);
	g_autofree char *hidden = g_strconcat(VOLUME_PART, w->name, NULL);
	g_autofree char *part = g_build_filename(p->target, hidden, NULL);
	bool dir = !strcmp(w->format, "dir");
	int err;

	if (check_format(w, error))
		return -1;
	if (!access(path, F_OK))
		return refuse(error, MANAGER_ERR_STORAGE_VOL_EXIST,
			"storage volume '%s' exists already", w->name);
	unlink(part);
	err = !dir ? make_image(p, w, part, error)
	      : mkdir(part, 0711)
		      ? refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", part, g_strerror(errno))
		      : 0;
	if (!err)
		err = set_owner(w, part, error);
	/* Before it has its name: from then on a guest may write into it. */
	if (!err && w->image == &image_format_raw)
		err = note_raw(p, w, part, error);
	if (!err && (sync_path(part, dir ? O_DIRECTORY : 0) ||
			    renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE)))
		err = refuse(error,
			errno == EEXIST ? MANAGER_ERR_STORAGE_VOL_EXIST : MANAGER_ERR_SYSTEM,
			"%s: %s", path, g_strerror(errno));
	if (err) {
		if (dir)
			rmdir(part);
		else
			unlink(part);
		return -1;
	}
	sync_path(p->target, O_DIRECTORY);
	return 0;
}

/* ---- partitions and logical volumes ---- */

static int make_block(struct pool *p, struct wish *w, char **ret_name, GError **error)
{
	struct volume *v;
	int err;

	if (!p->kind->create)
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"volumes of a pool of type %s cannot be made", p->kind->type);
	if (w->backing)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a volume of a pool of type %s stands on no other", p->kind->type);
	g_mutex_lock(&p->work);
	err = p->kind->create(p, w->name, w->capacity,
		w->has_allocation ? w->allocation : w->capacity, w->format, ret_name, error);
	if (!err)
		err = pool_refresh_locked(p, error);
	g_mutex_unlock(&p->work);
	if (err || !w->from)
		return err;
	v = volume_find(p, *ret_name, error);
	err = v ? copy_image(p, w, v->path, "raw", error) : -1;
	if (err && v && p->kind->delete) {
		g_mutex_lock(&p->work);
		p->kind->delete (p, v, NULL);
		pool_refresh_locked(p, NULL);
		g_mutex_unlock(&p->work);
	}
	volume_unref(v);
	return err;
}

struct volume *volume_create(struct pool *p, const char *xml, struct volume *from, unsigned flags,
	const struct volume_progress *progress, GError **error)
{
	g_autofree char *name = NULL;
	struct volume *v = NULL;
	struct wish w;
	int err;

	err = parse(p, xml, from, flags, &w, error);
	if (!err)
		err = volume_begin(p, w.name, error);
	if (err) {
		xmlFreeDoc(w.doc);
		return NULL;
	}
	w.progress = progress;
	v = volume_find(p, w.name, NULL);
	if (v) {
		err = refuse(error, MANAGER_ERR_STORAGE_VOL_EXIST,
			"storage volume '%s' exists already", w.name);
		g_clear_pointer(&v, volume_unref);
	} else if (p->kind->files) {
		err = make_file(p, &w, error);
		name = g_strdup(w.name);
	} else {
		err = make_block(p, &w, &name, error);
	}
	if (!err) {
		bool raw = p->kind->files && w.image == &image_format_raw;

		v = p->kind->files ? volume_look_again(p, name, raw) : volume_find(p, name, error);
	}
	volume_end(p, w.name);
	xmlFreeDoc(w.doc);
	return v;
}

int pool_volume_overlay(struct manager *m, const char *pool, const char *name, const char *backing,
	const char *backing_format, char **ret_path, GError **error)
{
	g_autofree char *xml =
		g_markup_printf_escaped("<volume><name>%s</name><target><format "
					"type='qcow2'/></target><backingStore><path>%s</path>"
					"<format type='%s'/></backingStore></volume>",
			name, backing, backing_format);
	struct pool *p = pool_find_name(m, pool, error);
	struct volume *v = p ? volume_create(p, xml, NULL, 0, NULL, error) : NULL;

	if (v)
		*ret_path = g_strdup(v->path);
	volume_unref(v);
	pool_unref(p);
	return v ? 0 : -1;
}
