/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * legacy.c: formats that are only read, to get disks out of them: qcow version 1, QED, Parallels,
 * Bochs' growing images, cloop. Specs: the formats' own documents: QEMU's docs/interop/qed_spec.txt
 * and parallels.txt, the qcow and redolog headers, and cloop's header.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/simple.h"

#include <libdeflate.h>

enum { TABLE_MAX = 64 << 20 };

#define CLUSTER_ZERO 1 /* a place that says: reads as zeroes, whatever is below (QED) */

/* All formats here: a table, in one or two levels, of where clusters are. */
struct legacy {
	uint64_t *
		entry; /* owned: a place in the file for each cluster, 0: none; packed: see below */
	uint64_t count;
	uint32_t *packed; /* owned: bytes of each compressed cluster; NULL: none is */
	bool raw_deflate; /* else zlib's frame */
};

static void legacy_close(struct image *im)
{
	struct legacy *s = im->state;

	g_free(s->entry);
	g_free(s->packed);
}

static int bad(struct image *im, const char *what, GError **error)
{
	return fail(error, LODGE_ERROR_FILE, "%s: is no %s image that can be used: %s",
		im->file->path, im->format->name, what);
}

static int start(struct image *im, uint64_t count, GError **error)
{
	struct legacy *s = im->state;

	s->count = count;
	s->entry = count && count <= TABLE_MAX / 8 ? g_try_new0(uint64_t, count) : NULL;
	return s->entry ? 0 : bad(im, "it claims an absurd size", error);
}

static int legacy_map(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct legacy *s = im->state;
	uint64_t i = off / im->cluster, inside = off % im->cluster;

	*out = (struct extent){ .kind = im->backing_path ? EXTENT_BACKING : EXTENT_ZERO,
		.len = MIN(len, im->cluster - inside) };
	if (i >= s->count)
		return -EIO;
	if (!s->entry[i])
		return 0;
	if (s->entry[i] == CLUSTER_ZERO) {
		out->kind = EXTENT_ZERO;
		return 0;
	}
	out->file = im->file;
	if (s->packed && s->packed[i]) {
		out->kind = EXTENT_PACKED;
		out->at = s->entry[i];
		out->packed = i;
		return 0;
	}
	out->kind = EXTENT_DATA;
	out->at = s->entry[i] + inside;
	return 0;
}

static int legacy_unpack(struct image *im, const struct extent *x, void *dst)
{
	const struct legacy *s = im->state;
	uint32_t n = s->packed[x->packed];
	g_autofree uint8_t *src = g_try_malloc(n);
	struct libdeflate_decompressor *d = src ? libdeflate_alloc_decompressor() : NULL;
	enum libdeflate_result r = LIBDEFLATE_BAD_DATA;
	size_t used, got = 0;

	if (!d)
		return -ENOMEM;
	if (file_read_full(im->file, x->at, src, n) >= 0)
		r = s->raw_deflate ? libdeflate_deflate_decompress_ex(
					     d, src, n, dst, im->cluster, &used, &got)
				   : libdeflate_zlib_decompress_ex(
					     d, src, n, dst, im->cluster, &used, &got);
	libdeflate_free_decompressor(d);
	if (r != LIBDEFLATE_SUCCESS)
		return -EIO;
	memset((uint8_t *)dst + got, 0, im->cluster - got);
	return 0;
}

static int read_at(struct image *im, uint64_t at, void *buf, size_t n, GError **error)
{
	int r = at > INT64_MAX / 2 ? -EINVAL : file_read_full(im->file, at, buf, n);

	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read it", im->file->path)
		     : 0;
}

/* ---- qcow version 1: header of 48 bytes, two levels, big-endian ---- */

static int probe_qcow1(const uint8_t *head, size_t n)
{
	return n >= 48 && !memcmp(head, "QFI\xfb\0\0\0\1", 8) ? 100 : 0;
}

static int qcow1_l2(struct image *im, uint64_t at, uint64_t first, uint64_t entries, unsigned bits,
	GError **error)
{
	struct legacy *s = im->state;
	g_autofree uint8_t *t = g_try_malloc(entries * 8);

	if (!t)
		return bad(im, "no memory for its tables", error);
	if (read_at(im, at, t, entries * 8, error) < 0)
		return -1;
	for (uint64_t i = 0; i < entries && first + i < s->count; i++) {
		uint64_t e = load_be64(t + 8 * i);

		if (e >> 63) {
			s->packed[first + i] = e >> (63 - bits) & ((1u << bits) - 1);
			e &= (1ull << (63 - bits)) - 1;
		}
		s->entry[first + i] = e;
	}
	return 0;
}

static int qcow1_open(struct image *im, const struct image_options *o, GError **error)
{
	struct legacy *s = im->state;
	uint8_t h[48], one[8];
	uint32_t name_n;
	unsigned bits, l2_bits;
	uint64_t l1_at, per, l1_n;

	if (read_at(im, 0, h, sizeof(h), error) < 0)
		return -1;
	im->size = load_be64(h + 24) & ~511ull;
	bits = h[32];
	l2_bits = h[33];
	l1_at = load_be64(h + 40);
	name_n = load_be32(h + 16);
	if (!probe_qcow1(h, sizeof(h)) || bits < 9 || bits > 16 || l2_bits < 6 || l2_bits > 13 ||
		!im->size || im->size > 1ull << 50 || name_n > 1023)
		return bad(im, "its header is absurd", error);
	if (load_be32(h + 36))
		return bad(im, "it is encrypted", error);
	im->cluster = 1u << bits;
	if (start(im, (im->size + im->cluster - 1) >> bits, error) < 0)
		return -1;
	s->packed = g_new0(uint32_t, s->count);
	s->raw_deflate = true;
	per = 1ull << l2_bits;
	l1_n = (s->count + per - 1) / per;
	for (uint64_t i = 0; i < l1_n; i++) {
		if (read_at(im, l1_at + 8 * i, one, 8, error) < 0 ||
			(load_be64(one) &&
				qcow1_l2(im, load_be64(one), i * per, per, bits, error) < 0))
			return -1;
	}
	if (name_n && load_be64(h + 8)) {
		im->backing_path = g_malloc0(name_n + 1);
		return read_at(im, load_be64(h + 8), im->backing_path, name_n, error);
	}
	return 0;
}

/* ---- QED: little-endian, two levels of the same size ---- */

static int probe_qed(const uint8_t *head, size_t n)
{
	return n >= 64 && !memcmp(head, "QED\0", 4) ? 100 : 0;
}

static int qed_open(struct image *im, const struct image_options *o, GError **error)
{
	enum { BACKING = 1, CHECK_NEEDED = 2, RAW_BACKING = 4 };
	struct legacy *s = im->state;
	g_autofree uint8_t *l1 = NULL, *l2 = NULL;
	uint64_t features, per, n;
	uint32_t table;
	uint8_t h[64];

	if (read_at(im, 0, h, sizeof(h), error) < 0)
		return -1;
	im->cluster = load_le32(h + 4);
	table = load_le32(h + 8);
	features = load_le64(h + 16);
	im->size = load_le64(h + 48) & ~511ull;
	if (!probe_qed(h, sizeof(h)) || im->cluster < 4096 || im->cluster > 64 << 20 ||
		im->cluster & (im->cluster - 1) || !table || table > 16 || table & (table - 1) ||
		!im->size || im->size > 1ull << 52 || (uint64_t)im->cluster * table > TABLE_MAX)
		return bad(im, "its header is absurd", error);
	if (features & ~(uint64_t)(BACKING | CHECK_NEEDED | RAW_BACKING))
		return bad(im, "it needs a feature that is not known", error);
	if (start(im, (im->size + im->cluster - 1) / im->cluster, error) < 0)
		return -1;
	per = (uint64_t)im->cluster * table / 8;
	l1 = g_try_malloc(per * 8);
	l2 = g_try_malloc(per * 8);
	if (!l1 || !l2)
		return bad(im, "no memory for its tables", error);
	if (read_at(im, load_le64(h + 40), l1, per * 8, error) < 0)
		return -1;
	n = (s->count + per - 1) / per;
	for (uint64_t i = 0; i < n && i < per; i++) {
		if (!load_le64(l1 + 8 * i))
			continue;
		if (read_at(im, load_le64(l1 + 8 * i), l2, per * 8, error) < 0)
			return -1;
		for (uint64_t k = 0; k < per && i * per + k < s->count; k++)
			s->entry[i * per + k] = load_le64(l2 + 8 * k);
	}
	if (features & BACKING) {
		uint32_t len = load_le32(h + 60);

		if (len > 1023)
			return bad(im, "its backing file's name is too long", error);
		im->backing_path = g_malloc0(len + 1);
		im->backing_format = features & RAW_BACKING ? g_strdup("raw") : NULL;
		return read_at(im, load_le32(h + 56), im->backing_path, len, error);
	}
	return 0;
}

/* ---- Parallels: a table of clusters behind a header of 64 bytes, little-endian ---- */

static int probe_parallels(const uint8_t *head, size_t n)
{
	return n >= 64 && (!memcmp(head, "WithoutFreeSpace", 16) ||
				  !memcmp(head, "WithouFreSpacExt", 16))
		       ? 100
		       : 0;
}

static int parallels_open(struct image *im, const struct image_options *o, GError **error)
{
	struct legacy *s = im->state;
	g_autofree uint8_t *t = NULL;
	uint32_t tracks, count, unit;
	uint8_t h[64];

	if (read_at(im, 0, h, sizeof(h), error) < 0)
		return -1;
	tracks = load_le32(h + 28);
	count = load_le32(h + 32);
	im->size = load_le64(h + 36) * 512;
	/* The older kind counts sectors in its table, the newer one clusters. */
	unit = !memcmp(h, "WithouFreSpacExt", 16) ? tracks : 1;
	if (unit == 1)
		im->size &= (1ull << 41) - 1;
	if (!probe_parallels(h, sizeof(h)) || load_le32(h + 16) != 2 || !tracks ||
		tracks > 64 << 11 || !im->size || im->size > 1ull << 50 ||
		(uint64_t)count * tracks * 512 < im->size || (tracks & (tracks - 1)))
		return bad(im, "its header is absurd", error);
	im->cluster = tracks * 512;
	if (start(im, count, error) < 0)
		return -1;
	t = g_malloc((size_t)count * 4);
	if (read_at(im, 64, t, (size_t)count * 4, error) < 0)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		s->entry[i] = (uint64_t)load_le32(t + 4 * i) * unit * 512;
	return 0;
}

/* ---- Bochs: "growing" redolog, little-endian; extents have a bitmap of sectors before their data
 * ---- */

static int probe_bochs(const uint8_t *head, size_t n)
{
	return n >= 512 && !memcmp(head, "Bochs Virtual HD Image", 23) &&
			       !memcmp(head + 32, "Redolog", 8) && !memcmp(head + 48, "Growing", 8)
		       ? 100
		       : 0;
}

static int bochs_open(struct image *im, const struct image_options *o, GError **error)
{
	struct legacy *s = im->state;
	g_autofree uint8_t *t = NULL, *bits = NULL;
	uint32_t catalog, bitmap, extent, version, span;
	uint64_t data;
	uint8_t h[512];

	if (read_at(im, 0, h, sizeof(h), error) < 0)
		return -1;
	version = load_le32(h + 64);
	catalog = load_le32(h + 72);
	bitmap = load_le32(h + 76);
	extent = load_le32(h + 80);
	im->size = load_le64(h + (version == 0x20000 ? 88 : 84)) & ~511ull;
	data = load_le32(h + 68) + (uint64_t)catalog * 4;
	if (!probe_bochs(h, sizeof(h)) || (version != 0x20000 && version != 0x10000) ||
		extent < 512 || extent > 16 << 20 || extent & (extent - 1) || !bitmap ||
		bitmap > 1 << 20 || bitmap < extent / 4096 || catalog > 1 << 24 || !im->size ||
		(uint64_t)catalog * extent < im->size)
		return bad(im, "its header is absurd", error);
	im->cluster = 512;
	if (start(im, im->size / 512, error) < 0)
		return -1;
	t = g_try_malloc((size_t)catalog * 4);
	bits = g_malloc(bitmap);
	if (!t)
		return bad(im, "no memory for its catalog", error);
	if (read_at(im, load_le32(h + 68), t, (size_t)catalog * 4, error) < 0)
		return -1;
	span = (bitmap + 511) / 512 * 512;
	for (uint32_t i = 0; i < catalog && (uint64_t)i * extent < im->size; i++) {
		uint64_t at = data + (uint64_t)load_le32(t + 4 * i) * (span + extent);

		if (load_le32(t + 4 * i) == UINT32_MAX)
			continue;
		if (read_at(im, at, bits, bitmap, error) < 0)
			return -1;
		for (uint32_t k = 0; k < extent / 512 && (uint64_t)i * extent / 512 + k < s->count;
			k++) {
			if (bits[k / 8] >> k % 8 & 1)
				s->entry[(uint64_t)i * extent / 512 + k] = at + span + k * 512;
		}
	}
	return 0;
}

/* ---- cloop version 2: a shell script, then block size and count, then places, big-endian ---- */

static int probe_cloop(const uint8_t *head, size_t n)
{
	static const char mark[] = "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t "
				   "iso9660 /dev/cloop $1\n";

	return n >= 136 && !memcmp(head, mark, MIN(sizeof(mark) - 1, 60)) ? 100 : 0;
}

static int cloop_open(struct image *im, const struct image_options *o, GError **error)
{
	struct legacy *s = im->state;
	g_autofree uint8_t *t = NULL;
	uint32_t count;
	uint8_t h[8];

	if (read_at(im, 128, h, sizeof(h), error) < 0)
		return -1;
	im->cluster = load_be32(h);
	count = load_be32(h + 4);
	if (im->cluster < 512 || im->cluster > 16 << 20 || im->cluster % 512 || !count)
		return bad(im, "its header is absurd", error);
	if (start(im, count, error) < 0)
		return -1;
	im->size = (uint64_t)count * im->cluster;
	s->packed = g_new0(uint32_t, count);
	t = g_try_malloc(((size_t)count + 1) * 8);
	if (!t)
		return bad(im, "no memory for its table", error);
	if (read_at(im, 136, t, ((size_t)count + 1) * 8, error) < 0)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t from = load_be64(t + 8ull * i), to = load_be64(t + 8ull * i + 8);

		if (to < from || to - from > 2ull * im->cluster + 4096 || !from)
			return bad(im, "its table is damaged", error);
		s->entry[i] = from;
		s->packed[i] = (uint32_t)(to - from);
	}
	return 0;
}

#define LEGACY(NAME, HELP, ...)                                                                    \
	const struct image_format image_format_##NAME = { .help = HELP,                            \
		.state_size = sizeof(struct legacy),                                               \
		.probe = probe_##NAME,                                                             \
		.open = NAME##_open,                                                               \
		.close = legacy_close,                                                             \
		.map = legacy_map,                                                                 \
		.unpack = legacy_unpack,                                                           \
		__VA_ARGS__ }

LEGACY(qcow1, "QEMU's first growing format; read only", .name = "qcow");
LEGACY(qed, "QEMU's format between qcow and qcow2's third version; read only", .name = "qed",
	.suffixes = "qed");
LEGACY(parallels, "Parallels' growing disks; read only", .name = "parallels",
	.suffixes = "hds hdd");
LEGACY(bochs, "Bochs' growing disks; read only", .name = "bochs");
LEGACY(cloop, "compressed disks of live systems; read only", .name = "cloop", .suffixes = "cloop");
