/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhd.c: Virtual PC's and Hyper-V's VHD: fixed, dynamic and differencing. Spec: Microsoft, "Virtual
 * Hard Disk Image Format Specification", version 1.0. All fields are big-endian.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/simple.h"

enum {
	/* "Hard Disk Footer Format" */
	F_COOKIE = 0,
	F_FEATURES = 8,
	F_VERSION = 12,
	F_OFFSET = 16,
	F_TIME = 24,
	F_CREATOR = 28,
	F_CREATOR_VERSION = 32,
	F_CREATOR_OS = 36,
	F_ORIGINAL = 40,
	F_SIZE = 48,
	F_CYLINDERS = 56,
	F_HEADS = 58,
	F_SECTORS = 59,
	F_TYPE = 60,
	F_SUM = 64,
	F_UUID = 68,
	FOOTER = 512,
	TYPE_FIXED = 2,
	TYPE_DYNAMIC = 3,
	TYPE_DIFFERENCING = 4,
	/* "Dynamic Disk Header Format" */
	D_OFFSET = 8,
	D_TABLE = 16,
	D_VERSION = 24,
	D_ENTRIES = 28,
	D_BLOCK = 32,
	D_SUM = 36,
	D_PARENT_UUID = 40,
	D_PARENT_TIME = 56,
	D_PARENT_NAME = 64,
	D_LOCATORS = 576,
	DYNAMIC = 1024,
	LOCATORS = 8,
	LOCATOR = 24,
	BLOCK = 2 << 20,
	EPOCH_2000 = 946684800,
};

#define NOWHERE      0xffffffffu
#define SIZE_MAX_VHD (2040ull << 30) /* as Windows has it */

struct vhd {
	struct block_table map; /* of dynamic ones */
	struct file_end end;
	uint8_t footer[FOOTER];
	uint32_t type, block, bitmap; /* bytes of a block's data and of its bitmap */
	uint64_t data_from;           /* no block can be before that */
	/* the bitmap that was looked at last, of a differencing image */
	uint8_t *bits;
	uint64_t bits_of; /* block + 1; 0: none */
};

static uint32_t checksum(const uint8_t *p, size_t n, size_t skip)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i >= skip && i < skip + 4 ? 0 : p[i];
	return ~sum;
}

static bool footer_good(const uint8_t *p)
{
	return !memcmp(p, "conectix", 8) && checksum(p, FOOTER, F_SUM) == load_be32(p + F_SUM);
}

static int probe(const uint8_t *head, size_t n)
{
	return n >= FOOTER && !memcmp(head, "conectix", 8) ? 100 : 0;
}

/* The geometry of "CHS Calculation" in the specification's appendix. */
static void geometry(uint64_t sectors, uint8_t *footer)
{
	uint32_t total = MIN(sectors, 65535 * 16 * 255), per = 17, heads, ch;

	if (total >= 65535 * 16 * 63) {
		per = 255;
		heads = 16;
		ch = total / per;
	} else {
		ch = total / per;
		heads = MAX((ch + 1023) / 1024, 4);
		if (ch >= heads * 1024 || heads > 16) {
			per = 31;
			heads = 16;
			ch = total / per;
		}
		if (ch >= heads * 1024) {
			per = 63;
			heads = 16;
			ch = total / per;
		}
	}
	store_be16(footer + F_CYLINDERS, ch / heads);
	footer[F_HEADS] = heads;
	footer[F_SECTORS] = per;
}

/* Virtual PC's own disks are as large as their geometry says; everybody else means the size. */
static uint64_t disk_size(const uint8_t *f)
{
	uint64_t chs = 512ull * load_be16(f + F_CYLINDERS) * f[F_HEADS] * f[F_SECTORS];
	const uint8_t *by = f + F_CREATOR;
	bool old = !memcmp(by, "vpc ", 4) || !memcmp(by, "vs  ", 4) || !memcmp(by, "qemu", 4);

	return old && chs && chs < 512ull * 65535 * 16 * 255 ? chs : load_be64(f + F_SIZE);
}

static int read_footer(struct image *im, struct vhd *s, GError **error)
{
	int64_t n = file_length(im->file);
	int r = n < FOOTER ? -EINVAL : file_read_full(im->file, 0, s->footer, FOOTER);

	/* The copy at the beginning; a fixed disk has none, and old ones end with 511 bytes. */
	if (!r && (!footer_good(s->footer) || load_be32(s->footer + F_TYPE) == TYPE_FIXED)) {
		r = file_read_full(im->file, n - FOOTER, s->footer, FOOTER);
		if (!r && !footer_good(s->footer) && n > FOOTER) {
			r = file_read_full(im->file, n - (FOOTER - 1), s->footer, FOOTER);
			s->footer[FOOTER - 1] = 0;
		}
	}
	if (r < 0 || !footer_good(s->footer))
		return fail(error, LODGE_ERROR_FILE,
			"%s: is no VHD image, or its footer is damaged", im->file->path);
	return 0;
}

/* UTF-16 to a path of ours: backslashes separate, and a drive has no meaning here. */
static char *parent_path(const uint8_t *text, size_t bytes, bool big)
{
	const char *from = big ? "UTF-16BE" : "UTF-16LE";
	char *path = g_convert((const char *)text, bytes, "UTF-8", from, NULL, NULL, NULL);

	if (!path)
		return NULL;
	g_strdelimit(path, "\\", '/');
	if (g_str_has_prefix(path, "./"))
		memmove(path, path + 2, strlen(path) - 1);
	if (!*path || strchr(path, ':'))
		g_clear_pointer(&path, g_free);
	return path;
}

/* "Parent Locator Entry": W2ru is a relative path; else the name in the header, beside the image.
 */
static void find_parent(struct image *im, const uint8_t *d)
{
	for (unsigned i = 0; i < LOCATORS && !im->backing_path; i++) {
		const uint8_t *l = d + D_LOCATORS + i * LOCATOR;
		uint32_t n = load_be32(l + 8);
		g_autofree uint8_t *text = NULL;

		if (memcmp(l, "W2ru", 4) || n > 4096 || n & 1)
			continue;
		text = g_malloc0(n + 2);
		if (!file_read_full(im->file, load_be64(l + 16), text, n))
			im->backing_path = parent_path(text, n, false);
	}
	if (!im->backing_path) {
		size_t n = 0;

		while (n < 512 && load_be16(d + D_PARENT_NAME + n))
			n += 2;
		im->backing_path = parent_path(d + D_PARENT_NAME, n, true);
	}
	im->backing_format = g_strdup("vhd");
}

static int open_dynamic(struct image *im, struct vhd *s, GError **error)
{
	uint8_t d[DYNAMIC];
	int r = file_read_full(im->file, load_be64(s->footer + F_OFFSET), d, DYNAMIC);
	uint64_t entries, at;

	if (r < 0 || memcmp(d, "cxsparse", 8) ||
		checksum(d, DYNAMIC, D_SUM) != load_be32(d + D_SUM))
		return fail(error, LODGE_ERROR_FILE, "%s: its dynamic header is damaged",
			im->file->path);
	s->block = load_be32(d + D_BLOCK);
	entries = load_be32(d + D_ENTRIES);
	at = load_be64(d + D_TABLE);
	if (s->block < 4096 || s->block > 256 << 20 || s->block & (s->block - 1) || at & 511 ||
		at > INT64_MAX / 2 || im->size > entries * s->block)
		return fail(error, LODGE_ERROR_FILE, "%s: claims an absurd size or block size",
			im->file->path);
	s->bitmap = (s->block / 512 / 8 + 511) & ~511u;
	s->map = (struct block_table){
		.file = im->file, .at = at, .count = entries, .width = 4, .big = true, .page = 512
	};
	block_table_init(&s->map);
	s->data_from = FOOTER;
	im->cluster = s->block;
	if (s->type == TYPE_DIFFERENCING) {
		find_parent(im, d);
		s->bits = g_malloc(s->bitmap);
		if (!im->backing_path)
			return fail(error, LODGE_ERROR_FILE, "%s: does not say where its parent is",
				im->file->path);
	}
	r = file_end_init(&s->end, im->file, 512);
	/* New blocks go where the footer is, which then moves behind them. */
	if (!r && s->end.end >= 2 * FOOTER)
		s->end.end -= FOOTER;
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", im->file->path) : 0;
}

static int vhd_open(struct image *im, const struct image_options *o, GError **error)
{
	struct vhd *s = im->state;

	if (read_footer(im, s, error) < 0)
		return -1;
	s->type = load_be32(s->footer + F_TYPE);
	im->size = disk_size(s->footer) & ~511ull;
	if (!im->size || im->size > 64ull << 40)
		return fail(error, LODGE_ERROR_FILE, "%s: claims an absurd size", im->file->path);
	if (s->type == TYPE_FIXED) {
		int64_t n = file_length(im->file);

		im->cluster = 1;
		/* The footer must not be what the guest writes to. */
		if (n < FOOTER || im->size > (uint64_t)n - (FOOTER - 1))
			return fail(error, LODGE_ERROR_FILE, "%s: is shorter than its disk",
				im->file->path);
		return 0;
	}
	if (s->type != TYPE_DYNAMIC && s->type != TYPE_DIFFERENCING)
		return fail(error, LODGE_ERROR_FILE, "%s: is a VHD of the unknown type %u",
			im->file->path, s->type);
	return open_dynamic(im, s, error);
}

static void vhd_close(struct image *im)
{
	struct vhd *s = im->state;

	block_table_fini(&s->map);
	g_free(s->bits);
}

/* Differencing: which sectors of the block are here. */
static int load_bits(struct image *im, struct vhd *s, uint64_t block, uint64_t at, unsigned flags)
{
	int r;

	if (s->bits_of == block + 1)
		return 0;
	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	s->bits_of = 0;
	r = file_read_full(im->file, at, s->bits, s->bitmap);
	s->bits_of = r < 0 ? 0 : block + 1;
	return r;
}

static bool bit(const struct vhd *s, uint64_t sector)
{
	return s->bits[sector / 8] & (0x80 >> sector % 8);
}

static int map_partial(struct image *im, uint64_t off, uint64_t len, uint64_t at, unsigned flags,
	struct extent *out)
{
	struct vhd *s = im->state;
	uint64_t first = off % s->block / 512,
		 end = MIN((off % s->block + len + 511) / 512, s->block / 512);
	uint64_t i = first + 1;
	int r = load_bits(im, s, off / s->block, at, flags);
	bool here;

	if (r < 0)
		return r;
	here = bit(s, first);
	while (i < end && bit(s, i) == here)
		i++;
	*out = (struct extent){ .kind = here ? EXTENT_DATA : EXTENT_BACKING,
		.file = here ? im->file : NULL,
		.at = at + s->bitmap + off % s->block,
		.len = MIN(len, i * 512 - off % s->block) };
	return 0;
}

static int vhd_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct vhd *s = im->state;
	uint64_t e;
	int r;

	if (s->type == TYPE_FIXED) {
		*out = (struct extent){ .file = im->file, .at = off, .len = len };
		return 0;
	}
	len = MIN(len, s->block - off % s->block);
	r = block_table_get(&s->map, off / s->block, flags, &e);
	if (r < 0)
		return r;
	if (e != NOWHERE && e * 512 < s->data_from)
		return -EIO;
	if (e != NOWHERE && s->type == TYPE_DIFFERENCING)
		return map_partial(im, off, len, e * 512, flags, out);
	*out = (struct extent){ .kind = EXTENT_DATA,
		.file = im->file,
		.len = len,
		.at = e * 512 + s->bitmap + off % s->block };
	if (e == NOWHERE)
		*out = (struct extent){ .len = len,
			.kind = s->type == TYPE_DIFFERENCING ? EXTENT_BACKING : EXTENT_ZERO };
	return 0;
}

static int write_bits(struct image *im, struct vhd *s, uint64_t at)
{
	g_autofree uint8_t *ones = g_malloc(s->bitmap);

	memset(ones, 0xff, s->bitmap);
	return file_write(im->file, at, ones, s->bitmap);
}

/* A block that is here in part gets the rest from below; the bitmap then says so in commit. */
static int vhd_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags,
	uint64_t *ret_start, struct extent *out)
{
	struct vhd *s = im->state;
	uint64_t e, at;
	int r = flags & IMAGE_NOWAIT ? -EAGAIN
				     : block_table_get(&s->map, off / s->block, flags, &e);

	if (r < 0)
		return r;
	*ret_start = off - off % s->block;
	*out = (struct extent){ .file = im->file, .len = MIN(s->block, im->size - *ret_start) };
	if (e != NOWHERE) {
		out->at = e * 512 + s->bitmap;
		return 0;
	}
	/* The footer follows at once: the file is whole again before anything refers to the block.
	 */
	r = file_write(im->file, s->end.end + s->bitmap + s->block, s->footer, FOOTER);
	if (!r)
		r = file_zero(im->file, s->end.end, MIN(s->bitmap + s->block, 512), false);
	if (!r)
		r = write_bits(im, s, s->end.end);
	if (!r && s->end.end / 512 >= NOWHERE - 1)
		r = -EFBIG;
	if (r < 0)
		return r;
	at = s->end.end;
	s->end.end += s->bitmap + s->block;
	out->at = at + s->bitmap;
	out->fresh = false;
	im->dirty = true;
	/* What was the footer lies in the bitmap's place, which was just written: the rest is a
	 * hole. */
	out->fresh = s->bitmap >= FOOTER;
	return 0;
}

static int vhd_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags)
{
	struct vhd *s = im->state;
	uint64_t at = x->at - s->bitmap, e;
	int r = block_table_get(&s->map, start / s->block, flags, &e);

	im->dirty = true;
	if (r < 0)
		return r;
	if (e == at / 512) {
		if (s->bits_of == start / s->block + 1)
			s->bits_of = 0;
		/* The data must be there when the bits say so. */
		r = file_sync(im->file);
		return r < 0 ? r : write_bits(im, s, at);
	}
	return block_table_set(&s->map, start / s->block, at / 512, flags);
}

static void vhd_abandon(struct image *im, uint64_t start, const struct extent *x)
{
}

static int vhd_flush(struct image *im)
{
	struct vhd *s = im->state;

	if (s->type != TYPE_FIXED)
		return simple_flush(im, &s->map);
	im->dirty = false;
	return file_sync(im->file);
}

/* ---- create ---- */

static const char *const subformats[] = { "dynamic", "fixed", NULL };
static const struct image_option_def options[] = {
	{ "subformat", IMAGE_OPT_ENUM, subformats, "dynamic",
		"grows as it is written, or has all its room" },
	{ "force_size", IMAGE_OPT_BOOL, NULL, "on",
		"the exact size, not one a geometry of old can express" },
	{ NULL },
};

static void make_footer(uint8_t *f, uint64_t size, uint32_t type)
{
	memset(f, 0, FOOTER);
	memcpy(f, "conectix", 8);
	store_be32(f + F_FEATURES, 2);
	store_be32(f + F_VERSION, 0x10000);
	store_be64(f + F_OFFSET, type == TYPE_FIXED ? UINT64_MAX : FOOTER);
	store_be32(f + F_TIME, (uint32_t)(g_get_real_time() / G_USEC_PER_SEC - EPOCH_2000));
	/* By this name readers know that the size counts, not the geometry. */
	memcpy(f + F_CREATOR, "win ", 4);
	store_be32(f + F_CREATOR_VERSION, 0xa0000);
	memcpy(f + F_CREATOR_OS, "Wi2k", 4);
	store_be64(f + F_ORIGINAL, size);
	store_be64(f + F_SIZE, size);
	geometry(size / 512, f);
	store_be32(f + F_TYPE, type);
	random_uuid(f + F_UUID);
	store_be32(f + F_SUM, checksum(f, FOOTER, F_SUM));
}

/* A path as locators have it: from the image, with backslashes, in UTF-16. */
static char *windows_path(const char *path, bool big, gsize *n)
{
	g_autofree char *relative =
		g_path_is_absolute(path) ? g_strdup(path) : g_strdup_printf(".\\%s", path);

	g_strdelimit(relative, "/", '\\');
	return g_convert(relative, -1, big ? "UTF-16BE" : "UTF-16LE", "UTF-8", NULL, n, NULL);
}

static int make_parent(
	struct file *f, uint8_t *d, const struct image_spec *spec, uint64_t at, GError **error)
{
	gsize n = 0, big = 0;
	g_autofree char *path = windows_path(spec->backing, false, &n),
			*name = windows_path(spec->backing, true, &big);
	uint8_t *l = d + D_LOCATORS;

	if (!path || n > 512 || big > 510)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: the backing file's name is too long for a VHD", f->path);
	memcpy(d + D_PARENT_NAME, name, big);
	memcpy(l, "W2ru", 4);
	store_be32(l + 4, 512);
	store_be32(l + 8, n);
	store_be64(l + 16, at);
	return file_write(f, at, path, n);
}

static int make_dynamic(struct file *f, const struct image_spec *spec, GError **error)
{
	uint64_t entries = (spec->size + BLOCK - 1) / BLOCK, table = (entries * 4 + 511) & ~511ull;
	uint64_t at = FOOTER + DYNAMIC + 512;
	g_autofree uint8_t *free_blocks = g_try_malloc(table);
	uint8_t d[DYNAMIC] = { 0 }, footer[FOOTER];
	int r;

	if (!free_blocks)
		return fail(error, LODGE_ERROR_HOST, "%s: no memory for its table", f->path);
	memset(free_blocks, 0xff, table);
	memcpy(d, "cxsparse", 8);
	store_be64(d + D_OFFSET, UINT64_MAX);
	store_be64(d + D_TABLE, at);
	store_be32(d + D_VERSION, 0x10000);
	store_be32(d + D_ENTRIES, entries);
	store_be32(d + D_BLOCK, BLOCK);
	if (spec->backing && make_parent(f, d, spec, FOOTER + DYNAMIC, error) < 0)
		return -1;
	store_be32(d + D_SUM, checksum(d, DYNAMIC, D_SUM));
	make_footer(footer, spec->size, spec->backing ? TYPE_DIFFERENCING : TYPE_DYNAMIC);
	r = file_write(f, 0, footer, FOOTER);
	if (!r)
		r = file_write(f, FOOTER, d, DYNAMIC);
	if (!r)
		r = file_write(f, at, free_blocks, table);
	if (!r)
		r = file_write(f, at + table, footer, FOOTER);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}

static int vhd_create(struct file *f, const struct image_spec *spec, GError **error)
{
	uint8_t footer[FOOTER];
	int r;

	if (spec->size > SIZE_MAX_VHD)
		return fail(error, LODGE_ERROR_USAGE, "%s: VHD disks end at 2040 GiB; vhdx goes on",
			f->path);
	if (spec->backing && g_strcmp0(spec->backing_format, "vhd"))
		return fail(error, LODGE_ERROR_USAGE, "%s: the backing file of a VHD is a VHD",
			f->path);
	if (!image_spec_enum(spec, options, "subformat"))
		return make_dynamic(f, spec, error);
	if (spec->backing)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: a fixed VHD has no backing file", f->path);
	make_footer(footer, spec->size, TYPE_FIXED);
	r = file_truncate(f, spec->size);
	if (!r)
		r = file_write(f, spec->size, footer, FOOTER);
	if (!r && spec->preallocation >= IMAGE_PREALLOC_FALLOC)
		r = file_allocate(f, spec->size + FOOTER);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}

static int vhd_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	struct vhd *s = im->state;
	int64_t end = file_length(im->file);
	struct block_census c;
	int r = 0;

	if (s->type == TYPE_FIXED)
		return 0;
	census_start(&c, out, s->data_from, end < 0 ? 0 : end, s->bitmap + s->block);
	out->clusters = (im->size + s->block - 1) / s->block;
	for (uint64_t i = 0; i < out->clusters && !r; i++) {
		uint64_t e;

		r = block_table_get(&s->map, i, 0, &e);
		if (!r && e != NOWHERE)
			census_add(&c, i, e * 512);
	}
	census_end(&c);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its table",
			       im->file->path)
		     : 0;
}

static void vhd_info(struct image *im, json_t *object)
{
	static const char *const names[] = { "fixed", "dynamic", "differencing" };

	json_object_set_new(object, "subformat",
		json_string(names[((struct vhd *)im->state)->type - TYPE_FIXED]));
}

const struct image_format image_format_vhd = {
	.name = "vhd",
	.help = "Virtual PC's and Hyper-V's older format",
	.suffixes = "vhd vpc",
	.state_size = sizeof(struct vhd),
	.create_options = options,
	.probe = probe,
	.open = vhd_open,
	.close = vhd_close,
	.map = vhd_map,
	.alloc = vhd_alloc,
	.commit = vhd_commit,
	.abandon = vhd_abandon,
	.flush = vhd_flush,
	.create = vhd_create,
	.check = vhd_check,
	.info = vhd_info,
};
