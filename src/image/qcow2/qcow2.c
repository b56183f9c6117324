/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2.c: opening and closing qcow2 images. Spec: QEMU documentation, "Qcow2 Image File Format".
 */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"

enum { CACHE_DEFAULT = 32 << 20 };

/* The magic and a version we can name; version 1 is another format. */
static int qcow2_probe(const uint8_t *head, size_t n)
{
	return n >= 8 && load_be32(head) == QCOW2_MAGIC && load_be32(head + 4) >= 2 ? 100 : 0;
}

static int read_table(struct qcow2 *s, const char *what, uint64_t at, uint64_t entries,
	uint64_t **ret, GError **error)
{
	uint64_t *t = g_try_malloc(MAX(entries, 1) * 8);
	int r = t ? file_read_full(s->file, at, t, entries * 8) : -ENOMEM;

	if (r < 0) {
		g_free(t);
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot read its %s", s->file->path, what);
	}
	for (uint64_t i = 0; i < entries; i++)
		t[i] = load_be64(&t[i]);
	*ret = t;
	return 0;
}

static int open_data(struct qcow2 *s, const struct image_options *o, GError **error)
{
	s->data = s->file;
	if (!(s->incompatible & INCOMPAT_DATA))
		return 0;
	if (o->for_check)
		s->data = NULL; /* only the tables are looked at: any file but s->file */
	else if (!s->data_name)
		return fail(error, LODGE_ERROR_FILE,
			"%s: keeps its data in another file, but does "
			"not say where",
			s->file->path);
	else
		s->data = image_open_file_of(s->im, o, s->data_name, s->im->readonly, error);
	return s->data || o->for_check ? 0 : -1;
}

/* What a writer has to put right first. */
static int prepare_writing(struct qcow2 *s, const struct image_options *o, GError **error)
{
	uint64_t known = AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW;

	if (s->im->readonly || o->for_check)
		return 0;
	if (s->incompatible & INCOMPAT_CORRUPT)
		return fail(error, LODGE_ERROR_FILE,
			"%s: is marked as damaged and can only be read (readonly=on); repair it "
			"with 'lodge image check -r'",
			s->file->path);
	if (s->incompatible & INCOMPAT_DIRTY) {
		struct image_report report = { 0 };

		if (s->file->fd >= 0)
			log_info("%s: was not closed properly; its reference counts are made anew",
				s->file->path);
		if (qcow2_check(s->im, &report, true, error) < 0)
			return -1;
	}
	if (s->autoclear & ~known) {
		int r;

		s->autoclear &= known;
		r = header_update(s);
		if (r < 0)
			return fail_errno(error, LODGE_ERROR_FILE, -r,
				"%s: cannot write its header", s->file->path);
	}
	return s->bitmap_count ? bitmaps_open(s, error) : 0;
}

static int qcow2_open(struct image *im, const struct image_options *o, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	int64_t length = file_length(im->file);

	if (length < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -length, "%s: cannot tell its size",
			im->file->path);
	s->im = im;
	s->file = s->data = im->file;
	s->in_check = o->for_check;
	s->unknown = g_array_new(FALSE, TRUE, sizeof(struct header_blob));
	s->snapshots = g_array_new(FALSE, TRUE, sizeof(struct qcow2_snapshot));
	s->deferred = g_array_new(FALSE, TRUE, sizeof(struct deferred));
	s->new_tables = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	s->l1_dirty_from = s->rt_dirty_from = UINT32_MAX;
	if (header_read(s, error) < 0)
		return -1;
	im->cluster = s->cluster_size;
	im->unit = qcow2_extended(s) ? s->cluster_size / SUBCLUSTERS : s->cluster_size;
	s->rt_size = (uint64_t)s->rt_clusters << (s->cluster_bits - 3);
	s->l1_room = to_clusters(s, s->l1_size * 8ull);
	/* A device has old bytes everywhere. */
	s->high = im->file->block ? UINT64_MAX : to_clusters(s, length);
	cache_init(&s->cache, MIN(s->cluster_size, 4096), o->cache ? o->cache : CACHE_DEFAULT);
	if (read_table(s, "L1 table", s->l1_at, s->l1_size, &s->l1, error) < 0 ||
		read_table(s, "refcount table", s->rt_at, s->rt_size, &s->rt, error) < 0 ||
		snapshots_read(s, error) < 0 || open_data(s, o, error) < 0)
		return -1;
	if (s->crypt_method && !o->for_check && crypt_open(s, o, error) < 0)
		return -1;
	return prepare_writing(s, o, error);
}

static void qcow2_close(struct image *im)
{
	struct qcow2 *s = qcow2_of(im);

	int r = 0;

	/* The counts of what the last flush gave up. */
	bitmaps_close(s);
	if (s->l1 && s->rt && !im->readonly)
		r = tables_settle(s);
	if (r < 0)
		log_warn("%s: its last changes could not be written: %s", s->file->path,
			g_strerror(-r));
	snapshots_free(s);
	header_free(s);
	cache_fini(&s->cache);
	if (s->deferred)
		g_array_unref(s->deferred);
	if (s->new_tables)
		g_hash_table_unref(s->new_tables);
	g_free(s->l1);
	g_free(s->rt);
}

static void qcow2_moved(struct image *im)
{
	struct qcow2 *s = qcow2_of(im);

	bitmaps_moved(s, s->im, im);
	s->im = im;
}

static void qcow2_info(struct image *im, json_t *object)
{
	static const char *const crypts[] = { "none", "aes", "luks" };
	struct qcow2 *s = qcow2_of(im);

	json_object_set_new(object, "compat", json_string(s->version >= 3 ? "1.1" : "0.10"));
	json_object_set_new(
		object, "compression_type", json_string(s->compression ? "zstd" : "zlib"));
	json_object_set_new(object, "refcount_bits", json_integer(1 << s->refcount_order));
	json_object_set_new(object, "lazy_refcounts", json_boolean(s->compatible & COMPAT_LAZY));
	json_object_set_new(object, "extended_l2", json_boolean(qcow2_extended(s)));
	json_object_set_new(object, "dirty", json_boolean(s->incompatible & INCOMPAT_DIRTY));
	json_object_set_new(object, "corrupt", json_boolean(s->incompatible & INCOMPAT_CORRUPT));
	json_object_set_new(object, "encryption", json_string(crypts[s->crypt_method]));
	if (s->data_name) {
		json_object_set_new(object, "data_file", json_string(s->data_name));
		json_object_set_new(
			object, "data_file_raw", json_boolean(s->autoclear & AUTOCLEAR_RAW));
	}
}

const struct image_format image_format_qcow2 = {
	.name = "qcow2",
	.help = "QEMU's format: grows as it is written, with snapshots, backing files, compression",
	.suffixes = "qcow2 qcow2c qcow",
	.state_size = sizeof(struct qcow2),
	.create_options = qcow2_options,
	.probe = qcow2_probe,
	.open = qcow2_open,
	.close = qcow2_close,
	.map = qcow2_map,
	.unpack = qcow2_unpack,
	.alloc = qcow2_alloc,
	.commit = qcow2_commit,
	.abandon = qcow2_abandon,
	.write_packed = qcow2_write_packed,
	.pack = qcow2_pack,
	.drop = qcow2_drop,
	.flush = qcow2_flush,
	.resize = qcow2_resize,
	.create = qcow2_create,
	.check = qcow2_check,
	.amend = qcow2_amend,
	.set_backing = qcow2_set_backing,
	.info = qcow2_info,
	.moved = qcow2_moved,
	.vmstate_base = qcow2_vmstate_base,
	.snapshots = &qcow2_snapshot_ops,
	.bitmaps = &qcow2_bitmap_ops,
};
