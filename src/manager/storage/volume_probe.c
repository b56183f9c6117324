/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * volume_probe.c: what a file in a pool is. A guest can write any header into its raw disk: what
 * was made as raw is written down and never probed; no file that an image names is opened here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image/format.h"
#include "image/image.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/storage/pool_priv.h"
#include "manager/store.h"

struct volume *volume_ref(struct volume *v)
{
	g_atomic_int_inc(&v->refs);
	return v;
}

void volume_unref(struct volume *v)
{
	if (!v || !g_atomic_int_dec_and_test(&v->refs))
		return;
	g_free(v->name);
	g_free(v->path);
	g_free(v->key);
	g_free(v->format);
	g_free(v->backing);
	g_free(v->backing_format);
	g_free(v->extents);
	g_free(v);
}

struct volume *volume_new(enum volume_type type, const char *name, const char *path)
{
	struct volume *v = g_new0(struct volume, 1);

	v->refs = 1;
	v->type = type;
	v->name = g_strdup(name);
	v->path = g_strdup(path);
	v->key = g_strdup(path);
	return v;
}

/* ---- names of formats ---- */

static const struct {
	const char *libvirt, *image;
} words[] = { { "raw", "raw" }, { "iso", "raw" }, { "qcow2", "qcow2" }, { "qcow", "qcow" },
	{ "vmdk", "vmdk" }, { "vdi", "vdi" }, { "vpc", "vhd" }, { "vhd", "vhd" }, { "qed", "qed" },
	{ "ploop", "parallels" }, { "luks", "luks" }, { "bochs", "bochs" }, { "cloop", "cloop" },
	{ "dmg", "dmg" } };

const char *volume_image_format(const char *format)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
		if (!strcmp(words[i].libvirt, format))
			return words[i].image;
	}
	return NULL;
}

static const char *libvirt_format(const char *image)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
		if (!strcmp(words[i].image, image))
			return words[i].libvirt;
	}
	return "unknown"; /* VHDX has no word in its schema */
}

/* ---- probing ---- */

/* An image's own numbers; one that does not open is shown by the size of its file. */
static void look_inside(struct volume *v, const char *format)
{
	const struct image_options o = { .path = v->path,
		.format = format,
		.readonly = true,
		.no_lock = true,
		.no_backing = true,
		.queues = 1 };
	struct image *im = image_open(&o, NULL);
	json_t *info;
	const char *compat;

	if (!im)
		return;
	v->capacity = image_size(im);
	if (image_backing_path(im)) {
		const char *f = image_backing_format(im);
		g_autofree char *folder = g_path_get_dirname(v->path);

		v->backing = g_canonicalize_filename(image_backing_path(im), folder);
		v->backing_format = f ? g_strdup(libvirt_format(f)) : NULL;
	}
	v->encrypted = image_encrypted(im);
	info = json_object();
	image_info(im, info);
	compat = json_string_value(json_object_get(info, "compat"));
	if (compat) {
		v->cluster = image_cluster(im);
		v->compat_new = !strcmp(compat, "1.1");
		v->lazy_refcounts = json_is_true(json_object_get(info, "lazy_refcounts"));
		v->extended_l2 = json_is_true(json_object_get(info, "extended_l2"));
	}
	json_decref(info);
	image_close(im);
}

/* ECMA-119, 8.1: the identifier of the first volume descriptor. */
static bool is_iso(int fd)
{
	char id[5];

	return pread(fd, id, sizeof(id), 0x8001) == sizeof(id) && !memcmp(id, "CD001", sizeof(id));
}

static void probe_file(struct volume *v, int fd, bool raw)
{
	uint8_t head[IMAGE_HEAD];
	ssize_t n = raw ? 0 : pread(fd, head, sizeof(head), 0);
	const struct image_format *f = n > 0 ? format_probe(head, n) : &image_format_raw;

	v->capacity = v->st.st_size;
	v->allocation = (uint64_t)v->st.st_blocks * 512;
	v->physical = v->st.st_size;
	if (f == &image_format_raw) {
		v->format = g_strdup(is_iso(fd) && !raw ? "iso" : "raw");
		return;
	}
	v->format = g_strdup(libvirt_format(f->name));
	look_inside(v, f->name);
}

struct volume *volume_probe(const char *folder, const char *name, bool raw)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	/*
	 * O_NONBLOCK: a FIFO does not hold us up; links lead out of the pool at their maker's wish.
	 */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct volume *v = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) &&
		(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))) {
		v = volume_new(S_ISREG(st.st_mode)   ? VOLUME_FILE
			       : S_ISDIR(st.st_mode) ? VOLUME_DIR
						     : VOLUME_BLOCK,
			name, path);
		v->st = st;
		if (v->type == VOLUME_FILE) {
			probe_file(v, fd, raw);
		} else if (v->type == VOLUME_DIR) {
			v->format = g_strdup("dir");
			v->allocation = (uint64_t)st.st_blocks * 512;
		} else {
			v->format = g_strdup("raw");
			v->capacity = v->allocation = v->physical = MAX(lseek(fd, 0, SEEK_END), 0);
		}
	}
	close(fd);
	return v;
}

/* ---- made as raw ---- */

static void made_uuid(const struct pool *p, const char *name, uint8_t uuid[16])
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA1);
	uint8_t digest[20];
	gsize n = sizeof(digest);

	g_checksum_update(sum, p->uuid, 16);
	g_checksum_update(sum, (const guchar *)name, -1);
	g_checksum_get_digest(sum, digest, &n);
	memcpy(uuid, digest, 16);
	g_checksum_free(sum);
}

struct load {
	const struct pool *pool;
	GHashTable *out;
};

static void load(const struct store_record *r, void *opaque)
{
	struct load *l = opaque;

	if (!memcmp(r->parent, l->pool->uuid, 16) && r->definition) {
		uint64_t *inode = g_new(uint64_t, 1);

		*inode = g_ascii_strtoull(r->definition, NULL, 10);
		g_hash_table_insert(l->out, g_strdup(r->name), inode);
	}
}

GHashTable *volumes_made_raw(struct pool *p)
{
	struct load l = { p, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };

	store_each(p->manager->store, "raw-volume", load, &l, NULL);
	return l.out;
}

int volume_set_made_raw(struct pool *p, const struct volume *v, bool raw, GError **error)
{
	g_autofree char *inode = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)v->st.st_ino);
	struct store_record r = { .kind = "raw-volume", .name = v->name, .definition = inode };

	made_uuid(p, v->name, r.uuid);
	memcpy(r.parent, p->uuid, 16);
	return raw ? store_put(p->manager->store, &r, error)
		   : store_remove(p->manager->store, "raw-volume", r.uuid, error);
}
