/* SPDX-License-Identifier: GPL-2.0-or-later */
/* write.c: room for what is written, and giving room back. */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "image/engine.h"

static uint32_t low(uint64_t bitmap)
{
	return bitmap;
}

/* Bits of the subclusters [from, to). */
static uint32_t sub_mask(unsigned from, unsigned to)
{
	return (uint32_t)((1ull << to) - (1ull << from));
}

/* What stood in the cluster is no longer this entry's. */
static void entry_release(struct qcow2 *s, uint64_t entry, bool unmap)
{
	uint64_t at = entry & ENTRY_OFFSET, first, n;

	if (entry & ENTRY_COMPRESSED) {
		packed_clusters(s, entry, &first, &n);
		defer_free(s, first, n, unmap);
	} else if (qcow2_external(s)) {
		if (unmap && entry & ENTRY_COPIED)
			file_discard(s->data, at, s->cluster_size);
	} else if (at) {
		defer_free(s, at >> s->cluster_bits, 1, unmap);
	}
}

/* Its own room, which a write may use: at, or false. */
static bool own_room(const struct qcow2 *s, uint64_t entry, uint64_t *ret_at)
{
	*ret_at = entry & ENTRY_OFFSET;
	return !(entry & ENTRY_COMPRESSED) && entry & ENTRY_COPIED &&
	       (*ret_at || qcow2_external(s));
}

/* How many clusters from ref on, at most max and in its page, need new room. */
static uint64_t run_without_room(const struct qcow2 *s, struct l2_ref ref, uint64_t max)
{
	uint64_t n = 0, at, bitmap;

	while (n < max && ref.pos < s->cache.page && !own_room(s, l2_get(s, &ref, &bitmap), &at)) {
		ref.pos += 1u << l2_entry_bits(s);
		n++;
	}
	return n;
}

static uint64_t run_with_room(const struct qcow2 *s, struct l2_ref ref, uint64_t max)
{
	uint64_t n = 0, first = 0, at, bitmap;

	while (n < max && ref.pos < s->cache.page && own_room(s, l2_get(s, &ref, &bitmap), &at) &&
		(!n || at == first + (n << s->cluster_bits))) {
		first = n ? first : at;
		ref.pos += 1u << l2_entry_bits(s);
		n++;
	}
	return n;
}

/* Subclusters of a cluster that has room: from off's on, up to the request's end or one in use. */
static void alloc_sub(struct qcow2 *s, uint64_t off, uint64_t len, uint64_t room, uint64_t bitmap,
	uint64_t *ret_start, struct extent *out)
{
	uint32_t sub = s->cluster_size / SUBCLUSTERS, inside = off & (s->cluster_size - 1);
	unsigned i = inside / sub, end = MIN((inside + len + sub - 1) / sub, SUBCLUSTERS), n = 1;

	while (i + n < end && !(low(bitmap) >> (i + n) & 1))
		n++;
	*ret_start = off - off % sub;
	out->at = room + (uint64_t)i * sub;
	out->len = (uint64_t)n * sub;
}

/* New clusters. With subclusters, those at the ends of the run are taken in part only if the rest
 * of them is nowhere yet. */
static int alloc_new(struct qcow2 *s, uint64_t off, uint64_t len, unsigned flags,
	const struct l2_ref *ref, uint64_t *ret_start, struct extent *out)
{
	uint64_t inside = off & (s->cluster_size - 1), bitmap, first, n, end = UINT64_MAX;
	uint64_t entry = l2_get(s, ref, &bitmap);
	uint64_t want = run_without_room(s, *ref, to_clusters(s, inside + len));
	bool part = qcow2_extended(s) && !(entry & (ENTRY_COMPRESSED | ENTRY_OFFSET)) &&
		    (inside || len < s->cluster_size);
	int r = 0;

	if (qcow2_extended(s) && (part || inside))
		want = 1;
	else if (qcow2_extended(s) && want > 1)
		want = MIN(want, MAX(len >> s->cluster_bits, 1));
	if (qcow2_external(s)) {
		first = off >> s->cluster_bits;
		n = want;
		/* A data file ends with the disk. */
		end = MAX(s->im->size, off + len);
	} else {
		r = clusters_alloc(s, want, flags, &first, &n, &out->fresh);
	}
	if (r < 0)
		return r;
	*ret_start = off - inside;
	out->at = first << s->cluster_bits;
	out->len = n << s->cluster_bits;
	if (part)
		alloc_sub(s, off, len, out->at, 0, ret_start, out);
	out->len = MIN(out->len, end - *ret_start);
	return 0;
}

int qcow2_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags, uint64_t *ret_start,
	struct extent *out)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t entry, bitmap, at, n;
	struct l2_ref ref;
	int r = cache_room(s, flags);

	if (!r && s->deferred_head < s->deferred->len && !(flags & IMAGE_NOWAIT))
		r = deferred_apply(s);
	if (!r)
		r = l2_make(s, off, flags, &ref);
	if (r < 0)
		return r;
	*out = (struct extent){ .kind = EXTENT_DATA, .file = s->data };
	entry = l2_get(s, &ref, &bitmap);
	if (!own_room(s, entry, &at))
		return alloc_new(s, off, len, flags, &ref, ret_start, out);
	if (qcow2_extended(s)) {
		alloc_sub(s, off, len, at, bitmap, ret_start, out);
		return 0;
	}
	n = run_with_room(s, ref, to_clusters(s, (off & (s->cluster_size - 1)) + len));
	*ret_start = off & ~(s->cluster_size - 1ull);
	out->at = at;
	out->len = n << s->cluster_bits;
	return 0;
}

/* One cluster of what alloc reserved: [from, to) of it is written. */
static int commit_one(
	struct qcow2 *s, uint64_t cluster, uint64_t at, uint32_t from, uint32_t to, unsigned flags)
{
	uint64_t entry, bitmap, old_at, new_bitmap = 0;
	uint32_t sub = s->cluster_size / SUBCLUSTERS;
	struct l2_ref ref;
	int r = l2_find(s, cluster, flags, &ref);
	bool own;

	if (r)
		return r < 0 ? r : -EIO;
	entry = l2_get(s, &ref, &bitmap);
	own = own_room(s, entry, &old_at) && old_at == at;
	if (qcow2_extended(s)) {
		uint32_t mask = sub_mask(from / sub, (to + sub - 1) / sub), alloc, zero;

		/* A whole new cluster replaces all; a part of one leaves the others as they are. */
		alloc = own || mask != UINT32_MAX ? low(bitmap) | mask : mask;
		zero = bitmap >> 32 & ~mask;
		new_bitmap = (uint64_t)zero << 32 | alloc;
	}
	l2_set(s, &ref, at | ENTRY_COPIED, new_bitmap);
	if (!own)
		entry_release(s, entry, false);
	return 0;
}

int qcow2_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t end = start + x->len, mask = s->cluster_size - 1, done = 0;

	/* All tables first: then it either happens or not. */
	for (uint64_t off = start; flags & IMAGE_NOWAIT && off < end;
		off = (off & ~mask) + mask + 1) {
		struct l2_ref ref;
		int r = l2_find(s, off, flags, &ref);

		if (r)
			return -EAGAIN;
	}
	for (uint64_t off = start; off < end; off += done) {
		uint64_t cluster = off & ~mask;
		uint32_t from = off - cluster, to = MIN(end - cluster, s->cluster_size);
		int r = commit_one(s, cluster, x->at + (off - start) - from, from, to, 0);

		if (r < 0)
			return r;
		done = to - from;
	}
	return 0;
}

void qcow2_abandon(struct image *im, uint64_t start, const struct extent *x)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t mask = s->cluster_size - 1, end = start + x->len;

	if (qcow2_external(s))
		return;
	for (uint64_t off = start & ~mask; off < end; off += mask + 1) {
		uint64_t at = (x->at + (off - start)) & ~mask, bitmap, own;
		struct l2_ref ref;

		/* Unless the entry had the room before, or has it by now. */
		if (!l2_find(s, off, 0, &ref) && own_room(s, l2_get(s, &ref, &bitmap), &own) &&
			own == at)
			continue;
		refcount_add(s, at >> s->cluster_bits, 1, -1);
	}
}

/* ---- compressed ---- */

/* n bytes of room: behind what was packed last, or in a new cluster. */
static int packed_room(struct qcow2 *s, size_t n, uint64_t *ret_at)
{
	uint64_t mask = s->cluster_size - 1, first, count, refs = 0;
	bool fresh;
	int r;

	if (s->packed_at & mask) {
		uint64_t cluster = s->packed_at >> s->cluster_bits;

		r = refcount_get(s, cluster, 0, &refs);
		if (r < 0)
			return r;
		/* The sector it ends in belongs to both. */
		if (n <= s->cluster_size - (s->packed_at & mask) && refs &&
			refs < refcount_max(s)) {
			r = refcount_set(s, cluster, refs + 1);
			*ret_at = s->packed_at;
			s->packed_at += n;
			return r;
		}
	}
	r = clusters_alloc(s, 1, 0, &first, &count, &fresh);
	if (r < 0)
		return r;
	/* On from the last one into the new one, if they follow each other. */
	if (s->packed_at & mask && first == (s->packed_at >> s->cluster_bits) + 1 && refs &&
		refs < refcount_max(s)) {
		r = refcount_set(s, first - 1, refs + 1);
		*ret_at = s->packed_at;
	} else {
		*ret_at = first << s->cluster_bits;
	}
	s->packed_at = *ret_at + n;
	return r;
}

int qcow2_write_packed(struct image *im, uint64_t off, const void *data, size_t n)
{
	struct qcow2 *s = qcow2_of(im);
	unsigned x = 62 - (s->cluster_bits - 8);
	uint64_t at = 0, entry, bitmap, sectors;
	struct l2_ref ref;
	int r;

	if (qcow2_external(s) || im->cipher)
		return -EOPNOTSUPP;
	r = cache_room(s, 0);
	if (!r)
		r = packed_room(s, n, &at);
	if (r < 0)
		return r;
	sectors = (at + n - 1) / 512 - at / 512;
	r = at >> x ? -EFBIG : file_write(s->file, at, data, n);
	if (!r)
		r = l2_make(s, off, 0, &ref);
	if (r < 0) {
		refcount_add(s, at >> s->cluster_bits,
			((at + n - 1) >> s->cluster_bits) - (at >> s->cluster_bits) + 1, -1);
		return r;
	}
	entry = l2_get(s, &ref, &bitmap);
	l2_set(s, &ref, ENTRY_COMPRESSED | sectors << x | at, 0);
	entry_release(s, entry, false);
	return 0;
}

/* ---- dropping ---- */

/* Whether [from, to) of the cluster can be dropped by changing its entry alone. */
static bool can_drop_part(const struct qcow2 *s, uint64_t entry)
{
	uint64_t at;

	return !(entry & (ENTRY_COMPRESSED | ENTRY_OFFSET)) || own_room(s, entry, &at);
}

static void drop_one(struct qcow2 *s, const struct l2_ref *ref, uint32_t from, uint32_t to,
	bool to_zero, bool unmap)
{
	uint64_t entry, bitmap, at, keep;
	uint32_t sub = s->cluster_size / SUBCLUSTERS;
	bool whole = !from && to == s->cluster_size, own;

	entry = l2_get(s, ref, &bitmap);
	own = own_room(s, entry, &at);
	if (qcow2_extended(s)) {
		uint32_t mask = sub_mask(from / sub, to / sub);
		uint32_t alloc = low(bitmap) & ~mask, zero = bitmap >> 32 & ~mask;

		zero |= to_zero ? mask : 0;
		keep = own && (alloc || !unmap || !whole) ? entry : 0;
		l2_set(s, ref, keep, (uint64_t)zero << 32 | (keep ? alloc : 0));
	} else {
		keep = own && to_zero && !unmap && s->version >= 3 ? at | ENTRY_COPIED : 0;
		l2_set(s, ref, keep | (to_zero && s->version >= 3 ? ENTRY_ZERO : 0), 0);
	}
	if (!keep)
		entry_release(s, entry, unmap);
}

static bool part_in_the_way(struct qcow2 *s, uint64_t off)
{
	struct l2_ref ref;
	uint64_t bitmap;

	return !l2_find(s, off, 0, &ref) && !can_drop_part(s, l2_get(s, &ref, &bitmap));
}

int qcow2_drop(struct image *im, uint64_t off, uint64_t len, bool to_zero, bool unmap)
{
	struct qcow2 *s = qcow2_of(im);
	uint64_t end = off + len, mask = s->cluster_size - 1, next;
	uint64_t span = 1ull << (s->cluster_bits + l2_bits(s));
	bool to_end = end == im->size;
	int r = 0;

	if (s->autoclear & AUTOCLEAR_RAW || (to_zero && s->version < 3 && im->backing_path))
		return -EOPNOTSUPP;
	if (qcow2_extended(s) && ((off & mask && part_in_the_way(s, off)) ||
					 (end & mask && !to_end && part_in_the_way(s, end))))
		return -EOPNOTSUPP;
	for (; off < end && !r; off = next) {
		uint64_t cluster = off & ~mask, to;
		struct l2_ref ref;

		next = MIN(cluster + mask + 1, end);
		to = next == end && to_end ? cluster + mask + 1 : next;
		r = cache_room(s, 0);
		if (!r)
			r = l2_find(s, off, 0, &ref);
		if (r == 1 && !(to_zero && im->backing_path)) {
			next = MIN(off - off % span + span, end);
			r = 0;
			continue;
		}
		if (r >= 0)
			r = l2_make(s, off, 0, &ref);
		if (!r)
			drop_one(s, &ref, off - cluster, to - cluster, to_zero, unmap);
		/* Much that was given up is not to pile up. */
		if (!r && s->deferred->len - s->deferred_head > 65536)
			r = tables_flush(s);
	}
	return r;
}
