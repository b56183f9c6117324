/* SPDX-License-Identifier: GPL-2.0-or-later */
/* map.c: reading: what an L2 entry says, and unpacking. Spec: qcow2, "L2 table entry". */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

enum { DEFLATE_LEVEL = 2, ZSTD_LEVEL = 1 };

/* One standard cluster (or subcluster) as an extent of length `len`. */
static int standard(struct qcow2 *s, uint64_t entry, bool allocated, bool zero, uint64_t off,
	uint64_t inside, struct extent *x)
{
	uint64_t at = entry & ENTRY_OFFSET;
	/* Offset 0 is a place in an external file only. */
	bool room = at || (qcow2_external(s) && entry & ENTRY_COPIED);

	if (zero) {
		x->kind = EXTENT_ZERO;
		x->shared = true;
	} else if (!allocated || !room) {
		x->kind = EXTENT_BACKING;
		room = false;
	} else {
		x->kind = EXTENT_DATA;
		x->shared = !(entry & ENTRY_COPIED);
	}
	if (!room)
		return 0;
	if (at & (s->cluster_size - 1))
		return qcow2_corrupt(s, "a data cluster is not aligned", at);
	if (!qcow2_external(s) && overlaps_tables(s, at, s->cluster_size))
		return qcow2_corrupt(s, "a data cluster lies in a table", at);
	if (qcow2_external(s) && at != (off & ~(s->cluster_size - 1ull)))
		return qcow2_corrupt(s, "a cluster is not where its data file has it", at);
	x->file = s->data;
	x->at = at + inside;
	return 0;
}

/* The subclusters from byte `inside` on that are of the same kind. */
static int extended(
	struct qcow2 *s, uint64_t entry, uint64_t bitmap, uint64_t off, struct extent *x)
{
	uint32_t sub = s->cluster_size / SUBCLUSTERS, inside = off & (s->cluster_size - 1);
	unsigned i = inside / sub, n = 1;
	uint32_t alloc = bitmap, zero = bitmap >> 32;
	bool a = alloc >> i & 1, z = zero >> i & 1;

	if (alloc & zero)
		return qcow2_corrupt(s, "a subcluster is allocated and zero", off);
	while (i + n < SUBCLUSTERS && (alloc >> (i + n) & 1) == a && (zero >> (i + n) & 1) == z)
		n++;
	x->len = (uint64_t)(i + n) * sub - inside;
	return standard(s, entry, a, z, off, inside, x);
}

static int decode(struct qcow2 *s, const struct l2_ref *ref, uint64_t off, struct extent *x)
{
	uint64_t inside = off & (s->cluster_size - 1), bitmap, entry = l2_get(s, ref, &bitmap);

	*x = (struct extent){ .len = s->cluster_size - inside };
	if (entry & ENTRY_COMPRESSED) {
		if (qcow2_external(s))
			return qcow2_corrupt(s, "a compressed cluster with a data file", off);
		x->kind = EXTENT_PACKED;
		x->file = s->file;
		x->packed = entry;
		packed_bytes(s, entry, &x->at, &entry);
		return 0;
	}
	if (qcow2_extended(s))
		return extended(s, entry, bitmap, off, x);
	return standard(s, entry, true, s->version >= 3 && entry & ENTRY_ZERO, off, inside, x);
}

static bool continues(const struct extent *x, const struct extent *y)
{
	return x->kind == y->kind && x->kind != EXTENT_PACKED && x->shared == y->shared &&
	       x->file == y->file && (!x->file || x->at + x->len == y->at);
}

int qcow2_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t span = 1ull << (s->cluster_bits + l2_bits(s));
	struct l2_ref ref;
	struct extent x;
	int r = cache_room(s, flags);

	if (r < 0)
		return r;
	r = l2_find(s, off, flags, &ref);
	if (r == 1) {
		*out = (struct extent){ .kind = EXTENT_BACKING,
			.len = MIN(len, span - off % span) };
		return 0;
	}
	if (!r)
		r = decode(s, &ref, off, out);
	/* On in the same page: reading another one can wait. */
	while (!r && out->len < len) {
		uint64_t next = off + out->len;

		if (!(next & (s->cluster_size - 1)))
			ref.pos += 1u << l2_entry_bits(s);
		if (ref.pos >= s->cache.page)
			break;
		r = decode(s, &ref, next, &x);
		if (r < 0 || !continues(out, &x)) {
			r = 0; /* an error is told when somebody comes to that place */
			break;
		}
		out->len += x.len;
	}
	return r;
}

/* ---- compressed clusters ---- */

/* One for each thread, since making them is dear. */
static void free_inflater(void *p)
{
	libdeflate_free_decompressor(p);
}

static int inflate_slowly(const void *src, size_t n, void *dst, size_t want)
{
	z_stream z = { .next_in = (void *)src, .avail_in = n, .next_out = dst, .avail_out = want };
	int r;

	if (inflateInit2(&z, -15) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* Some writers fill the cluster without an end mark. */
	return (r == Z_STREAM_END || r == Z_BUF_ERROR || r == Z_OK) && !z.avail_out ? 0 : -EIO;
}

static int inflate_raw(const void *src, size_t n, void *dst, size_t want)
{
	static GPrivate own = G_PRIVATE_INIT(free_inflater);
	struct libdeflate_decompressor *d = g_private_get(&own);
	size_t used, got;

	if (!d) {
		d = libdeflate_alloc_decompressor();
		if (!d)
			return -ENOMEM;
		g_private_set(&own, d);
	}
	if (libdeflate_deflate_decompress_ex(d, src, n, dst, want, &used, &got) ==
			LIBDEFLATE_SUCCESS &&
		got == want)
		return 0;
	return inflate_slowly(src, n, dst, want);
}

static int unzstd(const void *src, size_t n, void *dst, size_t want)
{
	ZSTD_inBuffer in = { .src = src, .size = n };
	ZSTD_outBuffer out = { .dst = dst, .size = want };
	ZSTD_DStream *d = ZSTD_createDStream();
	size_t r = 1;

	if (!d)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 27);
	/* The bytes behind the frame are another cluster's; several frames are allowed. */
	while (out.pos < want && in.pos < in.size) {
		size_t before = in.pos + out.pos;

		r = ZSTD_decompressStream(d, &out, &in);
		if (ZSTD_isError(r) || before == in.pos + out.pos)
			break;
	}
	ZSTD_freeDStream(d);
	return out.pos == want && !ZSTD_isError(r) ? 0 : -EIO;
}

int qcow2_unpack(struct image *im, const struct extent *x, void *dst)
{
	struct qcow2 *s = qcow2_of(im);
	g_autofree void *src = NULL;
	uint64_t at, n;
	ssize_t got;

	packed_bytes(s, x->packed, &at, &n);
	src = g_try_malloc(n);
	if (!src)
		return -ENOMEM;
	got = file_read(s->file, at, src, n);
	if (got < 0)
		return got;
	return s->compression ? unzstd(src, got, dst, s->cluster_size)
			      : inflate_raw(src, got, dst, s->cluster_size);
}

static void free_deflater(void *p)
{
	libdeflate_free_compressor(p);
}

/* Any distance deflate knows: readers unpack a cluster in one piece, into memory that holds all of
 * it. */
static size_t deflate_raw(const void *src, size_t n, void *dst, size_t cap)
{
	static GPrivate own = G_PRIVATE_INIT(free_deflater);
	struct libdeflate_compressor *c = g_private_get(&own);

	if (!c) {
		c = libdeflate_alloc_compressor(DEFLATE_LEVEL);
		if (!c)
			return 0;
		g_private_set(&own, c);
	}
	return libdeflate_deflate_compress(c, src, n, dst, cap);
}

static void free_zstd(void *p)
{
	ZSTD_freeCCtx(p);
}

static size_t zstd(const void *src, size_t n, void *dst, size_t cap)
{
	static GPrivate own = G_PRIVATE_INIT(free_zstd);
	ZSTD_CCtx *c = g_private_get(&own);
	size_t r;

	if (!c) {
		c = ZSTD_createCCtx();
		if (!c)
			return 0;
		g_private_set(&own, c);
	}
	r = ZSTD_compressCCtx(c, dst, cap, src, n, ZSTD_LEVEL);
	return ZSTD_isError(r) ? 0 : r;
}

size_t qcow2_pack(const struct image *im, const void *cluster, void *dst, size_t cap)
{
	const struct qcow2 *s = qcow2_of(im);

	return s->compression ? zstd(cluster, s->cluster_size, dst, cap)
			      : deflate_raw(cluster, s->cluster_size, dst, cap);
}
