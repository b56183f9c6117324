/* SPDX-License-Identifier: GPL-2.0-or-later */
/* create.c: new qcow2 images, and changing the size and properties of existing ones. */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/engine.h"

static const char *const compats[] = { "0.10", "1.1", "v2", "v3", NULL };
static const char *const compressions[] = { "zlib", "zstd", NULL };
static const char *const encryptions[] = { "none", "luks", NULL };

const struct image_option_def qcow2_options[] = {
	{ "compat", IMAGE_OPT_ENUM, compats, "1.1", "version: 1.1 (v3) or 0.10 (v2)" },
	{ "cluster_size", IMAGE_OPT_SIZE, NULL, "64K", "unit of allocation, 512 to 2M" },
	{ "refcount_bits", IMAGE_OPT_SIZE, NULL, "16", "width of reference counts, 1 to 64" },
	{ "extended_l2", IMAGE_OPT_BOOL, NULL, "off", "subclusters: 1/32 of a cluster at a time" },
	{ "compression_type", IMAGE_OPT_ENUM, compressions, "zlib", "of compressed clusters" },
	{ "lazy_refcounts", IMAGE_OPT_BOOL, NULL, "off", "writers may count references later" },
	{ "preallocation", IMAGE_OPT_ENUM, image_preallocation_names, "off",
		"off, metadata (tables), falloc (room on the host) or full (written zeroes)" },
	{ "data_file", IMAGE_OPT_STRING, NULL, NULL, "keep guest bytes in this file" },
	{ "data_file_raw", IMAGE_OPT_BOOL, NULL, "off", "the data file is a raw image by itself" },
	{ "encryption", IMAGE_OPT_ENUM, encryptions, "none", "luks: needs a secret" },
	{ 0 },
};

static int power(uint64_t v)
{
	return v && !(v & (v - 1)) ? g_bit_nth_lsf(v, -1) : -1;
}

/* The header's fields from the options. */
static int read_options(struct qcow2 *s, const struct image_spec *spec, GError **error)
{
	uint64_t cluster = image_spec_size(spec, qcow2_options, "cluster_size");
	uint64_t bits = image_spec_size(spec, qcow2_options, "refcount_bits");
	const char *data = image_spec_string(spec, qcow2_options, "data_file");
	int order = power(bits), shift = power(cluster);

	s->version = image_spec_enum(spec, qcow2_options, "compat") & 1 ? 3 : 2;
	if (shift < 9 || shift > 21)
		return fail(
			error, LODGE_ERROR_USAGE, "cluster_size is a power of two from 512 to 2M");
	if (order < 0 || order > 6)
		return fail(error, LODGE_ERROR_USAGE, "refcount_bits is 1, 2, 4, 8, 16, 32 or 64");
	s->cluster_bits = shift;
	s->cluster_size = cluster;
	s->refcount_order = order;
	s->header_length = s->version >= 3 ? V3_HEADER : V2_HEADER;
	s->compression = image_spec_enum(spec, qcow2_options, "compression_type");
	s->incompatible = (s->compression ? INCOMPAT_COMPRESS : 0) | (data ? INCOMPAT_DATA : 0);
	if (image_spec_bool(spec, qcow2_options, "lazy_refcounts"))
		s->compatible |= COMPAT_LAZY;
	if (image_spec_bool(spec, qcow2_options, "extended_l2"))
		s->incompatible |= INCOMPAT_EXTL2;
	if (image_spec_bool(spec, qcow2_options, "data_file_raw"))
		s->autoclear |= AUTOCLEAR_RAW;
	s->data_name = g_strdup(data);
	if (qcow2_extended(s) && shift < 14)
		return fail(error, LODGE_ERROR_USAGE, "extended_l2 needs clusters of 16K or more");
	if (s->version < 3 && (s->incompatible || s->compatible || s->autoclear || order != 4))
		return fail(error, LODGE_ERROR_USAGE,
			"compat=0.10 has neither data files, subclusters, zstd, lazy refcounts nor "
			"another refcount width");
	if (s->autoclear & AUTOCLEAR_RAW && (!data || spec->backing))
		return fail(error, LODGE_ERROR_USAGE,
			"data_file_raw needs data_file and goes with no backing file");
	if (spec->preallocation != IMAGE_PREALLOC_OFF && spec->backing)
		return fail(error, LODGE_ERROR_USAGE,
			"preallocated clusters would hide the backing file");
	return 0;
}

/* A disk of no size: the header, one cluster of refcount table, one refcount block. */
static int write_seed(struct qcow2 *s, struct file *f, GError **error)
{
	g_autofree uint8_t *cluster = g_malloc0(s->cluster_size);
	int r;

	s->disk.rt_at = s->cluster_size;
	s->disk.rt_clusters = 1;
	s->disk.l1_at = 0;
	store_be64(cluster, 2ull * s->cluster_size);
	r = file_write(f, s->cluster_size, cluster, s->cluster_size);
	memset(cluster, 0, 8);
	for (unsigned i = 0; i < 3; i++) {
		unsigned bit = i << s->refcount_order;

		if (s->refcount_order >= 3)
			cluster[((i + 1u) << (s->refcount_order - 3)) - 1] = 1;
		else
			cluster[bit / 8] |= 1u << bit % 8;
	}
	if (!r)
		r = file_write(f, 2ull * s->cluster_size, cluster, s->cluster_size);
	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot write to it", f->path);
	return header_rewrite(s, error);
}

/* Absent: made, next to the image. */
static int make_data_file(struct file *f, const char *name, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(f->path);
	g_autofree char *path =
		g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(dir, name, NULL);
	struct file_options o = { .path = path, .create = true };
	struct file *data;

	if (g_file_test(path, G_FILE_TEST_EXISTS))
		return 0;
	data = file_open(&o, error);
	file_close(data);
	return data ? 0 : -1;
}

/* The new image is opened as any other, to be given its size, and room. */
static int complete(struct file *f, const struct image_spec *spec, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(f->path);
	const char *data = image_spec_string(spec, qcow2_options, "data_file");
	g_autofree char *data_dir = g_path_get_dirname(data ? data : ".");
	const char *dirs[] = { dir, g_path_is_absolute(data_dir) ? data_dir : NULL, NULL };
	struct image_options o = {
		.path = f->path, .format = "qcow2", .no_backing = true, .backing_dirs = dirs
	};
	struct image *im = image_open_borrowed(f, &o, error);
	int r;

	if (!im)
		return -1;
	im->backing_path = g_strdup(spec->backing);
	im->backing_format = g_strdup(spec->backing_format);
	r = qcow2_resize(im, spec->size, spec, error);
	if (!r && image_spec_enum(spec, qcow2_options, "encryption"))
		r = crypt_create(qcow2_of(im), spec, error);
	if (!r)
		r = header_rewrite(qcow2_of(im), error);
	image_close(im);
	return r;
}

int qcow2_create(struct file *f, const struct image_spec *spec, GError **error)
{
	struct qcow2 s = { .im = &(struct image){ .file = f }, .file = f };
	int r;

	s.unknown = g_array_new(FALSE, TRUE, sizeof(struct header_blob));
	s.snapshots = g_array_new(FALSE, TRUE, sizeof(struct qcow2_snapshot));
	r = read_options(&s, spec, error);
	if (!r && s.data_name)
		r = make_data_file(f, s.data_name, error);
	if (!r)
		r = write_seed(&s, f, error);
	header_free(&s);
	g_array_unref(s.snapshots);
	return r < 0 ? r : complete(f, spec, error);
}

/* ---- size ---- */

static int reserve(struct image *im, uint64_t off, uint64_t end)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t top = 0;
	int r = 0;

	while (off < end && !r) {
		struct extent x;
		uint64_t start;

		r = qcow2_map(im, off, end - off, 0, &x);
		if (!r && x.kind == EXTENT_DATA) {
			off += x.len;
			continue;
		}
		if (!r)
			r = qcow2_alloc(im, off, MIN(end - off, x.len), 0, &start, &x);
		if (!r && !x.fresh && !qcow2_external(s))
			r = file_zero(s->file, x.at, x.len, false);
		if (!r)
			r = qcow2_commit(im, start, &x, 0);
		if (r < 0)
			break;
		off = start + x.len;
		top = MAX(top, x.at + x.len);
	}
	/* The file is as long as the last place it has promised. */
	if (!r && top > (uint64_t)MAX(file_length(s->data), 0))
		r = file_truncate(s->data, top);
	return r;
}

int qcow2_preallocate(
	struct image *im, uint64_t off, uint64_t end, enum image_preallocation how, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	int r;

	if (how == IMAGE_PREALLOC_OFF)
		return 0;
	r = reserve(im, off, end);
	if (!r && how == IMAGE_PREALLOC_FALLOC)
		r = file_allocate(s->data, file_length(s->data));
	if (!r && how == IMAGE_PREALLOC_FULL) {
		g_autofree void *zeroes = g_malloc0(1 << 20);
		uint64_t length = file_length(s->data);

		/* Over holes only: what is written already has its room. */
		for (uint64_t at = 0, next; at < length && !r; at = next) {
			if (file_seek(s->data, at, false, &at) < 0 || at >= length)
				break;
			if (file_seek(s->data, at, true, &next) < 0)
				next = length;
			next = MIN(next, at + (1 << 20));
			r = file_write(s->data, at, zeroes, next - at);
		}
	}
	if (!r)
		r = tables_flush(s);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot reserve its room",
			       s->file->path)
		     : 0;
}

/* L2 tables that describe nothing of the disk any more. */
static void free_tables(struct qcow2 *s, uint32_t from)
{
	uint64_t base = entries_for(s, s->im->size);

	for (uint32_t i = MAX(from, base); i < s->l1_size; i++) {
		if (!(s->l1[i] & ENTRY_OFFSET) || !(s->l1[i] & ENTRY_COPIED))
			continue;
		defer_free(s, (s->l1[i] & ENTRY_OFFSET) >> s->cluster_bits, 1, false);
		s->l1[i] = 0;
		s->l1_dirty_from = MIN(s->l1_dirty_from, i);
		s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
	}
}

static int shrink(struct image *im, uint64_t size)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t from = to_clusters(s, size) << s->cluster_bits;
	int r = from < im->size ? qcow2_drop(im, from, im->size - from, false, true) : 0;

	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	im->size = size;
	free_tables(s, 0);
	if (s->autoclear & AUTOCLEAR_RAW)
		r = file_truncate(s->data, size);
	else
		r = 0;
	return r;
}

int qcow2_resize(struct image *im, uint64_t size, const struct image_spec *spec, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t old = im->size;
	int r;

	if (s->version < 3 && s->snapshots->len)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: version 2 images with snapshots cannot be resized", im->file->path);
	if (s->bitmap_count)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: has bitmaps, which would no longer fit; remove them first",
			im->file->path);
	if (entries_for(s, size) > L1_BYTES_MAX / 8)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: with clusters of %u bytes a disk cannot be that large; use larger "
			"ones (cluster_size)",
			im->file->path, s->cluster_size);
	if (size < old) {
		r = shrink(im, size);
	} else {
		r = l1_grow(s, MAX(entries_for(s, size), 1));
		if (!r && s->autoclear & AUTOCLEAR_RAW)
			r = file_truncate(s->data, size);
	}
	if (!r)
		r = tables_flush(s);
	im->size = r < 0 ? im->size : size;
	if (!r)
		r = header_update(s);
	if (!r)
		r = file_sync(s->file);
	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot resize it", im->file->path);
	return size > old && spec ? qcow2_preallocate(im, old, size, spec->preallocation, error)
				  : 0;
}

/* ---- properties ---- */

int qcow2_set_backing(struct image *im, const char *path, const char *format, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	char *old_path = im->backing_path, *old_format = im->backing_format;
	int r;

	if (s->autoclear & AUTOCLEAR_RAW && path)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: its raw data file goes with no backing file", im->file->path);
	im->backing_path = (char *)path;
	im->backing_format = (char *)format;
	r = tables_flush(s);
	if (r < 0)
		r = fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot flush it", im->file->path);
	else
		r = header_rewrite(s, error);
	im->backing_path = old_path;
	im->backing_format = old_format;
	return r;
}

static bool asked(const struct image_spec *spec, const char *name)
{
	return spec->options && g_hash_table_contains(spec->options, name);
}

/* To version 2: only what that version can say. */
static int downgrade(struct qcow2 *s, GError **error)
{
	uint64_t left = s->incompatible & ~(INCOMPAT_DIRTY | INCOMPAT_CORRUPT);

	if (left || s->refcount_order != 4 || s->bitmap_count || s->autoclear & AUTOCLEAR_RAW)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: uses features that compat=0.10 lacks (subclusters, data file, zstd, "
			"bitmaps or another refcount width)",
			s->file->path);
	for (uint64_t off = 0; off < s->im->size;) {
		struct extent x;
		int r = qcow2_map(s->im, off, s->im->size - off, 0, &x);

		if (r < 0)
			return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its tables",
				s->file->path);
		if (x.kind == EXTENT_ZERO && (s->im->backing_path || x.file))
			return fail(error, LODGE_ERROR_USAGE,
				"%s: has zero clusters, which compat=0.10 lacks; convert it "
				"instead",
				s->file->path);
		off += x.len;
	}
	s->version = 2;
	s->header_length = V2_HEADER;
	s->incompatible = s->compatible = s->autoclear = 0;
	return 0;
}

int qcow2_amend(struct image *im, const struct image_spec *spec, GError **error)
{
	static const char *const fixed[] = { "cluster_size", "refcount_bits", "extended_l2",
		"compression_type", "preallocation", "data_file", "encryption" };
	struct qcow2 *s = qcow2_of(im);
	unsigned version = image_spec_enum(spec, qcow2_options, "compat") & 1 ? 3 : 2;
	int r = tables_flush(s);

	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot flush it", im->file->path);
	for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
		if (asked(spec, fixed[i]))
			return fail(error, LODGE_ERROR_USAGE,
				"%s: %s cannot be changed in place; convert the image",
				im->file->path, fixed[i]);
	}
	if (asked(spec, "compat") && version < s->version && downgrade(s, error) < 0)
		return -1;
	if (asked(spec, "compat") && version > s->version) {
		s->version = 3;
		s->header_length = V3_HEADER;
	}
	if (asked(spec, "lazy_refcounts")) {
		bool on = image_spec_bool(spec, qcow2_options, "lazy_refcounts");

		if (on && s->version < 3)
			return fail(error, LODGE_ERROR_USAGE,
				"%s: compat=0.10 has no lazy refcounts", im->file->path);
		s->compatible = on ? s->compatible | COMPAT_LAZY : s->compatible & ~COMPAT_LAZY;
	}
	if (asked(spec, "data_file_raw")) {
		if (image_spec_bool(spec, qcow2_options, "data_file_raw"))
			return fail(error, LODGE_ERROR_USAGE,
				"%s: data_file_raw can only be taken away", im->file->path);
		s->autoclear &= ~AUTOCLEAR_RAW;
	}
	return header_rewrite(s, error);
}
