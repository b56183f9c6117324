/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vdi.c: VirtualBox's VDI, dynamic and fixed. Spec: the header as VirtualBox's forum describes it
 * ("All about VDIs"): text, signature at 0x40, then little-endian fields.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/simple.h"

enum {
	/* header */
	H_SIGNATURE = 0x40,
	H_VERSION = 0x44,
	H_SIZE = 0x48,
	H_TYPE = 0x4c,
	H_MAP = 0x154,
	H_DATA = 0x158,
	H_SECTOR = 0x168,
	H_DISK = 0x170,
	H_BLOCK = 0x178,
	H_EXTRA = 0x17c,
	H_BLOCKS = 0x180,
	H_USED = 0x184,
	H_UUID = 0x188,
	H_UUID_SNAP = 0x198,
	H_UUID_LINK = 0x1a8,
	H_UUID_PARENT = 0x1b8,
	HEADER = 0x200,
	TYPE_DYNAMIC = 1,
	TYPE_FIXED = 2,
	BLOCK = 1 << 20,
	BLOCKS_MAX = 1 << 29, /* 512 TiB */
	RUN_MAX = 65536,      /* entries looked at in one call */
};

#define SIGNATURE 0xbeda107fu
#define FREE      0xffffffffu /* never written */
#define ZERO      0xfffffffeu /* reads as zeroes */

struct vdi {
	struct block_table map;
	uint64_t data; /* where block 0 of the file begins */
	uint32_t block, used, blocks;
	bool header_dirty;
};

static int probe(const uint8_t *head, size_t n)
{
	return n >= HEADER && load_le32(head + H_SIGNATURE) == SIGNATURE ? 100 : 0;
}

static int bad(struct image *im, const char *what, uint64_t value, GError **error)
{
	return fail(error, LODGE_ERROR_FILE,
		"%s: is no VDI image that can be used: %s is %" G_GUINT64_FORMAT, im->file->path,
		what, value);
}

static int vdi_open(struct image *im, const struct image_options *o, GError **error)
{
	struct vdi *s = im->state;
	uint8_t h[HEADER];
	int r = file_read_full(im->file, 0, h, sizeof(h));
	uint64_t at;

	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot read it", im->file->path);
	if (load_le32(h + H_SIGNATURE) != SIGNATURE)
		return fail(error, LODGE_ERROR_FILE, "%s: is no VDI image", im->file->path);
	if (load_le32(h + H_VERSION) >> 16 != 1)
		return bad(im, "its version", load_le32(h + H_VERSION), error);
	if (load_le32(h + H_TYPE) != TYPE_DYNAMIC && load_le32(h + H_TYPE) != TYPE_FIXED)
		return bad(im, "its type (1 and 2 are known; differencing ones need their parents)",
			load_le32(h + H_TYPE), error);
	s->block = load_le32(h + H_BLOCK);
	if (s->block < 4096 || s->block > 64 << 20 || s->block & (s->block - 1))
		return bad(im, "its block size", s->block, error);
	if (load_le32(h + H_SECTOR) != 512)
		return bad(im, "its sector size", load_le32(h + H_SECTOR), error);
	if (load_le32(h + H_EXTRA))
		return bad(im, "what precedes each block", load_le32(h + H_EXTRA), error);
	im->size = load_le64(h + H_DISK);
	s->blocks = load_le32(h + H_BLOCKS);
	if (s->blocks > BLOCKS_MAX || !im->size || im->size > (uint64_t)s->blocks * s->block)
		return bad(im, "its size", im->size, error);
	im->size = (im->size + 511) & ~511ull;
	s->data = load_le32(h + H_DATA);
	at = load_le32(h + H_MAP);
	if (at < H_UUID || at + (uint64_t)s->blocks * 4 > s->data || (s->data | at) & 511)
		return bad(im, "where its map begins", at, error);
	s->used = load_le32(h + H_USED);
	s->map = (struct block_table){
		.file = im->file, .at = at, .count = s->blocks, .width = 4, .page = 512
	};
	block_table_init(&s->map);
	im->cluster = s->block;
	return 0;
}

static void vdi_close(struct image *im)
{
	block_table_fini(&((struct vdi *)im->state)->map);
}

static int vdi_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct vdi *s = im->state;
	uint64_t n = s->block - off % s->block, e, next;
	int r = block_table_get(&s->map, off / s->block, flags, &e);

	if (r < 0)
		return r;
	*out = (struct extent){ .kind = e >= ZERO ? EXTENT_ZERO : EXTENT_DATA,
		.file = im->file,
		.at = s->data + e * s->block + off % s->block };
	if (e >= ZERO)
		out->file = NULL;
	/* On while the blocks follow each other. */
	for (unsigned steps = 0; n < len && steps < RUN_MAX; steps++) {
		if (block_table_get(&s->map, (off + n) / s->block, flags, &next) < 0 ||
			(e >= ZERO ? next < ZERO : next != e + 1))
			break;
		e = next;
		n += s->block;
	}
	out->len = MIN(n, len);
	return 0;
}

static int vdi_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags,
	uint64_t *ret_start, struct extent *out)
{
	struct vdi *s = im->state;
	int r;

	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	if (s->used >= s->blocks)
		return -EIO;
	*ret_start = off - off % s->block;
	*out = (struct extent){ .file = im->file,
		.at = s->data + (uint64_t)s->used * s->block,
		.len = s->block,
		.fresh = true };
	r = file_truncate(im->file, out->at + s->block);
	if (r < 0)
		return r;
	s->used++;
	s->header_dirty = true;
	im->dirty = true;
	return 0;
}

static int vdi_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags)
{
	struct vdi *s = im->state;
	int r = block_table_set(&s->map, start / s->block, (x->at - s->data) / s->block, flags);

	im->dirty = true;
	return r;
}

/* The block stays unused until the image is copied. */
static void vdi_abandon(struct image *im, uint64_t start, const struct extent *x)
{
}

static int vdi_flush(struct image *im)
{
	struct vdi *s = im->state;
	uint8_t used[4];
	int r = 0;

	/* The count first: what the table names is then always counted. */
	if (s->header_dirty) {
		store_le32(used, s->used);
		r = file_write(im->file, H_USED, used, sizeof(used));
		s->header_dirty = r < 0;
	}
	return r < 0 ? r : simple_flush(im, &s->map);
}

static const char *const yes_no[] = { "off", "on", NULL };
static const struct image_option_def options[] = {
	{ "static", IMAGE_OPT_ENUM, yes_no, "off", "fixed size: all blocks have room" },
	{ NULL },
};

static int vdi_create(struct file *f, const struct image_spec *spec, GError **error)
{
	uint64_t blocks = (spec->size + BLOCK - 1) / BLOCK,
		 map = (blocks * 4 + BLOCK - 1) / BLOCK * BLOCK;
	bool fixed = image_spec_enum(spec, options, "static");
	g_autofree uint8_t *table = NULL;
	uint8_t h[HEADER] = { 0 };
	int r;

	if (spec->backing)
		return fail(error, LODGE_ERROR_USAGE, "%s: VDI images have no backing file here",
			f->path);
	if (blocks > BLOCKS_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%s: VDI disks end at 512 TiB", f->path);
	strcpy((char *)h, "<<< Oracle VM VirtualBox Disk Image >>>\n");
	store_le32(h + H_SIGNATURE, SIGNATURE);
	store_le32(h + H_VERSION, 0x10001);
	store_le32(h + H_SIZE, 0x190);
	store_le32(h + H_TYPE, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
	store_le32(h + H_MAP, HEADER);
	store_le32(h + H_DATA, (HEADER + map + 511) & ~511ull);
	store_le32(h + H_SECTOR, 512);
	store_le64(h + H_DISK, spec->size);
	store_le32(h + H_BLOCK, BLOCK);
	store_le32(h + H_BLOCKS, blocks);
	store_le32(h + H_USED, fixed ? blocks : 0);
	random_uuid(h + H_UUID);
	random_uuid(h + H_UUID_SNAP);
	table = g_try_malloc(map);
	if (!table)
		return fail(error, LODGE_ERROR_HOST, "%s: no memory for its map", f->path);
	memset(table, 0xff, map);
	for (uint64_t i = 0; fixed && i < blocks; i++)
		store_le32(table + 4 * i, i);
	r = file_write(f, 0, h, sizeof(h));
	if (!r)
		r = file_write(f, HEADER, table, map);
	if (!r)
		r = file_truncate(f, HEADER + map + (fixed ? blocks * BLOCK : 0));
	if (!r && fixed && spec->preallocation >= IMAGE_PREALLOC_FALLOC)
		r = file_allocate(f, HEADER + map + blocks * BLOCK);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}

static int vdi_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	struct vdi *s = im->state;
	int64_t end = file_length(im->file);
	struct block_census c;
	int r = 0;

	census_start(&c, out, s->data, end < 0 ? 0 : end, s->block);
	out->clusters = s->blocks;
	out->end = s->data;
	for (uint64_t i = 0; i < s->blocks && !r; i++) {
		uint64_t e;

		r = block_table_get(&s->map, i, 0, &e);
		if (!r && e < ZERO)
			census_add(&c, i, s->data + e * s->block);
	}
	census_end(&c);
	if (!r && out->allocated != s->used) {
		if (out->say)
			out->say(out, out->allocated > s->used,
				"the number of blocks in use is wrong");
		if (out->allocated > s->used)
			out->corruptions++;
		else
			out->leaks += s->used - out->allocated;
	}
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its map",
			       im->file->path)
		     : 0;
}

const struct image_format image_format_vdi = {
	.name = "vdi",
	.help = "VirtualBox's own format",
	.suffixes = "vdi",
	.state_size = sizeof(struct vdi),
	.create_options = options,
	.probe = probe,
	.open = vdi_open,
	.close = vdi_close,
	.map = vdi_map,
	.alloc = vdi_alloc,
	.commit = vdi_commit,
	.abandon = vdi_abandon,
	.flush = vdi_flush,
	.create = vdi_create,
	.check = vdi_check,
};
