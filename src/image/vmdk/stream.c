/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.c: stream-optimized VMDK: compressed grains one after the other, then tables, directory,
 * footer. Spec: "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"; RFC 1950.
 */
#include <errno.h>
#include <libdeflate.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/vmdk/vmdk.h"

enum { MARKER_HEAD = 12, LEVEL = 5 };

struct vmdk_stream {
	uint64_t end; /* bytes: behind the last grain */
	uint64_t grains;
	uint32_t **tables; /* owned, each too: sectors of grains; NULL: none in there */
	uint32_t count;
};

int vmdk_stream_start(struct image *im, GError **error)
{
	struct vmdk *s = im->state;
	uint8_t h[SECTOR];
	int r = file_read_full(im->file, 0, h, sizeof(h));

	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s", im->file->path);
	s->stream = g_new0(struct vmdk_stream, 1);
	s->stream->end = load_le64(h + H_OVERHEAD) * SECTOR;
	s->stream->grains = (im->size + im->cluster - 1) / im->cluster;
	s->stream->count = (s->stream->grains + GTES - 1) / GTES;
	s->stream->tables = g_new0(uint32_t *, s->stream->count);
	im->packed_only = true;
	im->dirty = true; /* without a grain it needs its end all the same */
	return 0;
}

void vmdk_stream_free(struct vmdk_stream *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->count; i++)
		g_free(s->tables[i]);
	g_free(s->tables);
	g_free(s);
}

int vmdk_stream_map(struct image *im, uint64_t off, uint64_t len, struct extent *out)
{
	const struct vmdk_stream *s = ((struct vmdk *)im->state)->stream;
	uint64_t grain = off / im->cluster;
	const uint32_t *table = s->tables[grain / GTES];
	uint32_t sector = table ? table[grain % GTES] : 0;

	*out = (struct extent){ .kind = sector ? EXTENT_PACKED : EXTENT_ZERO,
		.file = sector ? im->file : NULL,
		.at = (uint64_t)sector * SECTOR,
		.packed = (uint64_t)sector * SECTOR,
		.len = MIN(len, im->cluster - off % im->cluster) };
	return 0;
}

int vmdk_stream_write(struct image *im, uint64_t off, const void *data, size_t n)
{
	struct vmdk_stream *s = ((struct vmdk *)im->state)->stream;
	size_t whole = (MARKER_HEAD + n + SECTOR - 1) / SECTOR * SECTOR;
	g_autofree uint8_t *buf = NULL;
	uint64_t grain = off / im->cluster;
	uint32_t **table;
	int r;

	if (!s)
		return -EOPNOTSUPP;
	if (s->end / SECTOR > UINT32_MAX)
		return -EFBIG;
	buf = g_malloc0(whole);
	store_le64(buf, off / SECTOR);
	store_le32(buf + 8, n);
	memcpy(buf + MARKER_HEAD, data, n);
	r = file_write(im->file, s->end, buf, whole);
	if (r < 0)
		return r;
	table = &s->tables[grain / GTES];
	if (!*table)
		*table = g_new0(uint32_t, GTES);
	(*table)[grain % GTES] = s->end / SECTOR;
	s->end += whole;
	im->dirty = true;
	return 0;
}

static int put_marker(struct file *f, uint64_t *at, uint64_t sectors, uint32_t type)
{
	uint8_t m[SECTOR] = { 0 };
	int r;

	store_le64(m, sectors);
	store_le32(m + MARKER_HEAD, type);
	r = file_write(f, *at, m, SECTOR);
	*at += SECTOR;
	return r;
}

/* The tables; *gd gets where they are. */
static int put_tables(struct file *f, const struct vmdk_stream *s, uint8_t *gd, uint64_t *at)
{
	int r = 0;

	for (uint32_t i = 0; i < s->count && !r; i++) {
		uint8_t table[GTES * 4];

		if (!s->tables[i])
			continue;
		for (unsigned k = 0; k < GTES; k++)
			store_le32(table + 4 * k, s->tables[i][k]);
		r = put_marker(f, at, sizeof(table) / SECTOR, MARKER_GT);
		if (!r)
			r = file_write(f, *at, table, sizeof(table));
		store_le32(gd + 4 * i, *at / SECTOR);
		*at += sizeof(table);
	}
	return r;
}

int vmdk_stream_finish(struct image *im)
{
	struct vmdk_stream *s = ((struct vmdk *)im->state)->stream;
	uint64_t at = s->end, gd_size = (s->count * 4ull + SECTOR - 1) / SECTOR * SECTOR, gd_at;
	g_autofree uint8_t *gd = g_malloc0(gd_size);
	uint8_t h[SECTOR];
	int r = put_tables(im->file, s, gd, &at);

	if (!r)
		r = put_marker(im->file, &at, gd_size / SECTOR, MARKER_GD);
	gd_at = at;
	if (!r)
		r = file_write(im->file, at, gd, gd_size);
	at += gd_size;
	if (!r)
		r = put_marker(im->file, &at, 1, MARKER_FOOTER);
	if (!r)
		r = file_read_full(im->file, 0, h, SECTOR);
	store_le64(h + H_GD, gd_at / SECTOR);
	if (!r)
		r = file_write(im->file, at, h, SECTOR);
	at += SECTOR;
	if (!r)
		r = put_marker(im->file, &at, 0, MARKER_EOS);
	if (!r)
		r = file_truncate(im->file, at);
	return r < 0 ? r : file_sync(im->file);
}

/* One for each thread, since making them is dear. */
static void free_compressor(void *p)
{
	libdeflate_free_compressor(p);
}

size_t vmdk_pack(const struct image *im, const void *cluster, void *dst, size_t cap)
{
	static GPrivate own = G_PRIVATE_INIT(free_compressor);
	struct libdeflate_compressor *c = g_private_get(&own);

	if (!c) {
		c = libdeflate_alloc_compressor(LEVEL);
		if (!c)
			return 0;
		g_private_set(&own, c);
	}
	return libdeflate_zlib_compress(c, cluster, im->cluster, dst, cap);
}

int vmdk_unpack(struct image *im, const struct extent *x, void *dst)
{
	struct libdeflate_decompressor *d;
	size_t got = 0;
	uint8_t head[MARKER_HEAD];
	g_autofree uint8_t *src = NULL;
	uint32_t n;
	int r = file_read_full(x->file, x->packed, head, sizeof(head));

	if (r < 0)
		return r;
	n = load_le32(head + 8);
	if (!n || n > im->cluster * 2u + SECTOR)
		return -EIO;
	src = g_try_malloc(n);
	d = libdeflate_alloc_decompressor();
	if (!src || !d) {
		libdeflate_free_decompressor(d);
		return -ENOMEM;
	}
	r = file_read_full(x->file, x->packed + MARKER_HEAD, src, n);
	if (!r &&
		libdeflate_zlib_decompress(d, src, n, dst, im->cluster, &got) != LIBDEFLATE_SUCCESS)
		r = -EIO;
	libdeflate_free_decompressor(d);
	if (!r)
		memset((uint8_t *)dst + got, 0,
			im->cluster - got); /* the disk's last grain may be short */
	return r;
}
