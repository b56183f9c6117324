/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhdx.c: blocks of Hyper-V's VHDX. Spec: [MS-VHDX] 2.5. Entries of the block table are written in
 * place after the data they refer to are on disk, a sector at a time, which needs no log.
 */
#include "image/vhdx/vhdx.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

static int probe(const uint8_t *head, size_t n)
{
	return n >= 8 && !memcmp(head, "vhdxfile", 8) ? 100 : 0;
}

static uint64_t entry_place(uint64_t entry)
{
	return entry & ~(uint64_t)(MIB - 1);
}

/* Payload entries are interleaved with those of sector bitmaps. */
static uint64_t payload_index(const struct vhdx *s, uint64_t block)
{
	return block + block / s->chunk;
}

static int vhdx_open(struct image *im, const struct image_options *o, GError **error)
{
	struct vhdx *s = im->state;
	uint8_t head[8];
	uint64_t blocks, entries;
	int r = file_read_full(im->file, 0, head, sizeof(head));

	if (r < 0 || memcmp(head, "vhdxfile", 8))
		return fail(error, LODGE_ERROR_FILE, "%s: is no VHDX image", im->file->path);
	if (vhdx_header_read(im, s, error) < 0 ||
		vhdx_log_replay(im->file, s, im->readonly, error) < 0 ||
		vhdx_regions_read(im, s, error) < 0 || vhdx_metadata_read(im, s, error) < 0)
		return -1;
	blocks = (im->size + s->block - 1) / s->block;
	entries = s->parent ? (blocks + s->chunk - 1) / s->chunk * (s->chunk + 1)
			    : blocks + (blocks - 1) / s->chunk;
	if (entries > s->bat_size / 8)
		return fail(error, LODGE_ERROR_FILE,
			"%s: its block table is too small for its size", im->file->path);
	s->bat = (struct block_table){
		.file = im->file, .at = s->bat_at, .count = entries, .width = 8
	};
	block_table_init(&s->bat);
	im->cluster = s->block;
	if (s->parent)
		s->bits = g_malloc(s->block / s->sector / 8);
	r = file_end_init(&s->end, im->file, MIB);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", im->file->path) : 0;
}

static void vhdx_close(struct image *im)
{
	struct vhdx *s = im->state;

	block_table_fini(&s->bat);
	g_free(s->bits);
}

/* 2.5.1.2: the chunk's bitmap block has the bits of its payload blocks one after the other. */
static int load_bits(struct image *im, struct vhdx *s, uint64_t block, unsigned flags)
{
	uint32_t n = s->block / s->sector / 8;
	uint64_t e;
	int r;

	if (s->bits_of == block + 1)
		return 0;
	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	r = block_table_get(&s->bat, (block / s->chunk + 1) * (s->chunk + 1) - 1, flags, &e);
	if (!r && (e & STATE_MASK) != STATE_PRESENT)
		r = -EIO;
	if (!r)
		r = file_read_full(im->file, entry_place(e) + block % s->chunk * n, s->bits, n);
	s->bits_of = r < 0 ? 0 : block + 1;
	return r;
}

static int map_partial(struct image *im, uint64_t off, uint64_t len, uint64_t at, unsigned flags,
	struct extent *out)
{
	struct vhdx *s = im->state;
	uint64_t inside = off % s->block, i = inside / s->sector,
		 end = (inside + len + s->sector - 1) / s->sector;
	int r = load_bits(im, s, off / s->block, flags);
	bool here;

	if (r < 0)
		return r;
	here = s->bits[i / 8] >> i % 8 & 1;
	do
		i++;
	while (i < end && (s->bits[i / 8] >> i % 8 & 1) == here);
	*out = (struct extent){ .kind = here ? EXTENT_DATA : EXTENT_BACKING,
		.file = here ? im->file : NULL,
		.at = at + inside,
		.len = MIN(len, i * s->sector - inside) };
	return 0;
}

static int vhdx_map(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct vhdx *s = im->state;
	uint64_t e;
	int r = block_table_get(&s->bat, payload_index(s, off / s->block), flags, &e);

	if (r < 0)
		return r;
	*out = (struct extent){ .len = MIN(len, s->block - off % s->block) };
	switch (e & STATE_MASK) {
	case STATE_PRESENT:
	case STATE_PARTIAL:
		if (entry_place(e) < MIB)
			return -EIO;
		if ((e & STATE_MASK) == STATE_PARTIAL)
			return s->parent
				       ? map_partial(im, off, out->len, entry_place(e), flags, out)
				       : -EIO;
		out->kind = EXTENT_DATA;
		out->file = im->file;
		out->at = entry_place(e) + off % s->block;
		return 0;
	case STATE_ABSENT: out->kind = s->parent ? EXTENT_BACKING : EXTENT_ZERO; return 0;
	case STATE_UNDEFINED:
	case STATE_ZERO:
	case STATE_UNMAPPED: out->kind = EXTENT_ZERO; return 0;
	default: return -EIO;
	}
}

/* 2.2.2.1: whoever writes says so once, by new GUIDs. */
static int begin_writing(struct image *im, struct vhdx *s)
{
	int r;

	if (s->opened_for_writing)
		return 0;
	random_uuid(s->header + H_FILE_GUID);
	random_uuid(s->header + H_DATA_GUID);
	r = vhdx_header_write(im->file, s);
	s->opened_for_writing = r == 0;
	return r;
}

static int vhdx_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags,
	uint64_t *ret_start, struct extent *out)
{
	struct vhdx *s = im->state;
	uint64_t e;
	int r = flags & IMAGE_NOWAIT ? -EAGAIN : begin_writing(im, s);

	if (!r)
		r = block_table_get(&s->bat, payload_index(s, off / s->block), flags, &e);
	if (r < 0)
		return r;
	*ret_start = off - off % s->block;
	*out = (struct extent){ .file = im->file, .len = MIN(s->block, im->size - *ret_start) };
	if (entry_place(e) >= MIB) { /* room is there: partial, zero or unmapped */
		out->at = entry_place(e);
		return 0;
	}
	r = file_end_grow(&s->end, s->block, &out->at);
	out->fresh = true;
	im->dirty = true;
	return r;
}

static int vhdx_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags)
{
	struct vhdx *s = im->state;

	im->dirty = true;
	if (s->bits_of == start / s->block + 1)
		s->bits_of = 0;
	return block_table_set(
		&s->bat, payload_index(s, start / s->block), x->at | STATE_PRESENT, flags);
}

static void vhdx_abandon(struct image *im, uint64_t start, const struct extent *x)
{
}

static int vhdx_flush(struct image *im)
{
	return simple_flush(im, &((struct vhdx *)im->state)->bat);
}

static int vhdx_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	struct vhdx *s = im->state;
	uint64_t blocks = (im->size + s->block - 1) / s->block, e = 0;
	int64_t end = file_length(im->file);
	struct block_census c;
	int r = 0;

	census_start(&c, out, MIB, end < 0 ? 0 : end, s->block);
	out->clusters = blocks;
	for (uint64_t i = 0; i < blocks && !r; i++) {
		r = block_table_get(&s->bat, payload_index(s, i), 0, &e);
		if (!r && ((e & STATE_MASK) == STATE_PRESENT || (e & STATE_MASK) == STATE_PARTIAL))
			census_add(&c, i, entry_place(e));
	}
	census_end(&c);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its table",
			       im->file->path)
		     : 0;
}

static void vhdx_info(struct image *im, json_t *object)
{
	const struct vhdx *s = im->state;

	json_object_set_new(object, "subformat",
		json_string(s->parent  ? "differencing"
			    : s->fixed ? "fixed"
				       : "dynamic"));
	json_object_set_new(object, "sector_size", json_integer(s->sector));
}

const struct image_format image_format_vhdx = {
	.name = "vhdx",
	.help = "Hyper-V's format",
	.suffixes = "vhdx",
	.state_size = sizeof(struct vhdx),
	.create_options = vhdx_options,
	.probe = probe,
	.open = vhdx_open,
	.close = vhdx_close,
	.map = vhdx_map,
	.alloc = vhdx_alloc,
	.commit = vhdx_commit,
	.abandon = vhdx_abandon,
	.flush = vhdx_flush,
	.create = vhdx_create,
	.check = vhdx_check,
	.info = vhdx_info,
};
