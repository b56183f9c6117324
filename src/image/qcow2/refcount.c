/* SPDX-License-Identifier: GPL-2.0-or-later */
/* refcount.c: who uses which cluster, and where there is room. Spec: qcow2, "Host cluster
 * management". */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

uint64_t refcount_max(const struct qcow2 *s)
{
	return s->refcount_order == 6 ? INT64_MAX : (1ull << (1u << s->refcount_order)) - 1;
}

unsigned block_bits(const struct qcow2 *s)
{
	return s->cluster_bits + 3 - s->refcount_order;
}

/* The page with the cluster's count and the index of the count in it. 1: there is no block. */
static int find_page(
	struct qcow2 *s, uint64_t cluster, unsigned flags, struct page **page, uint32_t *ret_index)
{
	uint64_t table = cluster >> block_bits(s), at, bit, index;

	if (table >= s->rt_size || !(s->rt[table] & ENTRY_OFFSET))
		return 1;
	at = s->rt[table] & ~511ull;
	if (at & (s->cluster_size - 1) || at > INT64_MAX - s->cluster_size)
		return qcow2_corrupt(s, "a refcount block is not aligned", at);
	index = cluster & ((1ull << block_bits(s)) - 1);
	bit = index << s->refcount_order;
	*ret_index = (bit & (s->cache.page * 8ull - 1)) >> s->refcount_order;
	return cache_get(s, at + (bit / 8 & ~(s->cache.page - 1ull)), flags, page);
}

static uint64_t count_load(const struct qcow2 *s, const uint8_t *data, uint32_t i)
{
	switch (s->refcount_order) {
	case 6: return load_be64(data + 8ull * i);
	case 5: return load_be32(data + 4ull * i);
	case 4: return load_be16(data + 2ull * i);
	default: {
		unsigned width = 1u << s->refcount_order, bit = i << s->refcount_order;

		return data[bit / 8] >> bit % 8 & ((1u << width) - 1);
	}
	}
}

static void count_store(const struct qcow2 *s, uint8_t *data, uint32_t i, uint64_t v)
{
	switch (s->refcount_order) {
	case 6: store_be64(data + 8ull * i, v); break;
	case 5: store_be32(data + 4ull * i, v); break;
	case 4: store_be16(data + 2ull * i, v); break;
	default: {
		unsigned width = 1u << s->refcount_order, bit = i << s->refcount_order;
		uint8_t mask = ((1u << width) - 1) << bit % 8;

		data[bit / 8] = (data[bit / 8] & ~mask) | (v << bit % 8 & mask);
	}
	}
}

int refcount_get(struct qcow2 *s, uint64_t cluster, unsigned flags, uint64_t *out)
{
	struct page *p;
	uint32_t i = 0;
	int r = find_page(s, cluster, flags, &p, &i);

	if (r < 0)
		return r;
	*out = r ? 0 : count_load(s, p->data, i);
	return 0;
}

/* A new block's pages, all zero. */
static int block_pages(struct qcow2 *s, uint64_t at)
{
	for (uint32_t pos = 0; pos < s->cluster_size; pos += s->cache.page) {
		struct page *p;
		int r = cache_new(s, at + pos, &p);

		if (r < 0)
			return r;
		cache_dirty(s, p, PAGE_FIRST);
	}
	return 0;
}

static void rt_changed(struct qcow2 *s, uint32_t entry)
{
	s->rt_dirty_from = MIN(s->rt_dirty_from, entry);
	s->rt_dirty_to = MAX(s->rt_dirty_to, entry + 1);
	atomic_store(&s->im->dirty, true);
}

/* The clusters [first, first + n) have no block or no count yet: gives each one reference. */
static int count_new(struct qcow2 *s, uint64_t first, uint64_t n)
{
	for (uint64_t c = first; c < first + n; c++) {
		int r = refcount_set(s, c, 1);

		if (r < 0)
			return r;
	}
	s->high = MAX(s->high, first + n);
	return 0;
}

/*
 * A larger refcount table, and blocks for the place it is in: blocks first, then the table, all at
 * the start of the first range that has no block yet, so they count themselves.
 */
static int table_grow(struct qcow2 *s, uint64_t want)
{
	uint64_t per_cluster = s->cluster_size / 8, base = want << block_bits(s), blocks = 1,
		 tables;
	uint64_t old_at = s->rt_at, old_clusters = s->rt_clusters, total;
	uint64_t *rt;
	int r = 0;

	for (;;) {
		uint64_t need;

		tables = (want + blocks + per_cluster) / per_cluster;
		tables += tables / 2;
		need = (blocks + tables + (1ull << block_bits(s)) - 1) >> block_bits(s);
		if (need <= blocks)
			break;
		blocks = need;
	}
	if (tables * s->cluster_size > RT_BYTES_MAX)
		return -EFBIG;
	total = tables * per_cluster;
	rt = g_try_new0(uint64_t, total);
	if (!rt)
		return -ENOMEM;
	memcpy(rt, s->rt, s->rt_size * 8ull);
	for (uint64_t i = 0; i < blocks && !r; i++) {
		rt[want + i] = (base + i) << s->cluster_bits;
		r = block_pages(s, rt[want + i]);
	}
	if (r < 0) {
		g_free(rt);
		return r;
	}
	g_free(s->rt);
	s->rt = rt;
	s->rt_size = total;
	s->rt_clusters = tables;
	s->rt_at = (base + blocks) << s->cluster_bits;
	s->rt_dirty_from = 0;
	s->rt_dirty_to = total;
	s->rt_moved = true;
	atomic_store(&s->im->dirty, true);
	r = count_new(s, base, blocks + tables);
	if (!r)
		defer_free(s, old_at >> s->cluster_bits, old_clusters, false);
	return r;
}

/* A block for the clusters of that table entry, in the first of them. */
static int block_make(struct qcow2 *s, uint64_t entry)
{
	uint64_t cluster = entry << block_bits(s);
	int r;

	if (!entry) /* it would have to be where the header is */
		return qcow2_corrupt(s, "the first refcount block is missing", 0);
	if (entry >= s->rt_size)
		return table_grow(s, entry);
	r = block_pages(s, cluster << s->cluster_bits);
	if (r < 0)
		return r;
	s->rt[entry] = cluster << s->cluster_bits;
	rt_changed(s, entry);
	return count_new(s, cluster, 1);
}

int refcount_set(struct qcow2 *s, uint64_t cluster, uint64_t value)
{
	struct page *p;
	uint32_t i = 0;
	int r = find_page(s, cluster, 0, &p, &i);

	if (r == 1 && !value)
		return 0;
	if (r == 1) {
		r = block_make(s, cluster >> block_bits(s));
		if (!r)
			r = find_page(s, cluster, 0, &p, &i);
	}
	if (r)
		return r < 0 ? r : -EIO;
	count_store(s, p->data, i, value);
	cache_dirty(s, p, PAGE_FIRST);
	return 0;
}

int refcount_add(struct qcow2 *s, uint64_t cluster, uint64_t n, int by)
{
	for (uint64_t c = cluster; c < cluster + n; c++) {
		uint64_t v;
		int r = refcount_get(s, c, 0, &v);

		if (r < 0)
			return r;
		if (by < 0 ? v < (uint64_t)-by : v > refcount_max(s) - by)
			r = by < 0 ? qcow2_corrupt(s, "a cluster is freed that is free",
					     c << s->cluster_bits)
				   : -ERANGE;
		if (!r)
			r = refcount_set(s, c, v + by);
		if (r < 0)
			return r;
		if (v + by == 0) {
			s->free_hint = MIN(s->free_hint, c);
			if (s->packed_at >> s->cluster_bits == c)
				s->packed_at = 0;
			/* A table that stood here must not come back from the cache. */
			cache_drop(s, c << s->cluster_bits, s->cluster_size);
		}
	}
	return 0;
}

bool overlaps_tables(const struct qcow2 *s, uint64_t at, uint64_t n)
{
	const struct {
		uint64_t at, n;
	} tables[] = {
		{ 0, s->cluster_size },
		{ s->l1_at, s->l1_size * 8ull },
		{ s->rt_at, (uint64_t)s->rt_clusters << s->cluster_bits },
		{ s->snapshots_at, s->snapshots_size },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
		if (tables[i].n && at < tables[i].at + tables[i].n && tables[i].at < at + n)
			return true;
	}
	return false;
}

/* Is the cluster free? Makes a block if there is none. 1, 0 or a negative errno. */
static int is_free(struct qcow2 *s, uint64_t cluster, unsigned flags)
{
	struct page *p;
	uint32_t i = 0;
	int r = find_page(s, cluster, flags, &p, &i);

	if (r == 1) {
		if (flags & IMAGE_NOWAIT)
			return -EAGAIN;
		r = block_make(s, cluster >> block_bits(s));
		return r < 0 ? r : is_free(s, cluster, flags);
	}
	return r < 0 ? r : !count_load(s, p->data, i);
}

int clusters_alloc(struct qcow2 *s, uint64_t n, unsigned flags, uint64_t *ret_first,
	uint64_t *ret_count, bool *ret_fresh)
{
	uint64_t limit = (1ull << 56) >> s->cluster_bits, c = MAX(s->free_hint, 1), count = 0;
	int r = 0;

	while (c < limit && (r = is_free(s, c, flags)) == 0)
		c++;
	s->free_hint = c;
	if (r <= 0)
		return r < 0 ? r : -ENOSPC;
	while (count < n && c + count < limit && (r = is_free(s, c + count, flags)) == 1)
		count++;
	if (r < 0 && !count)
		return r;
	if (overlaps_tables(s, c << s->cluster_bits, count << s->cluster_bits))
		return qcow2_corrupt(s, "a table is counted as free", c << s->cluster_bits);
	for (uint64_t i = 0; i < count; i++) {
		r = refcount_set(s, c + i, 1); /* its page is here */
		if (r < 0)
			return r;
	}
	s->free_hint = c + count;
	*ret_fresh = c >= s->high;
	s->high = MAX(s->high, c + count);
	*ret_first = c;
	*ret_count = count;
	return 0;
}

int clusters_alloc_all(struct qcow2 *s, uint64_t n, uint64_t *ret_at)
{
	uint64_t hint = s->free_hint, first, count;
	bool fresh;

	for (;;) {
		int r = clusters_alloc(s, n, 0, &first, &count, &fresh);

		if (r < 0)
			return r;
		if (count == n)
			break;
		/* Too small: given back, and the search goes on behind it. */
		for (uint64_t i = 0; i < count; i++)
			refcount_set(s, first + i, 0);
		s->free_hint = first + count;
	}
	s->free_hint = MIN(hint, s->free_hint);
	*ret_at = first << s->cluster_bits;
	return 0;
}

/* ---- giving back ---- */

void defer_free(struct qcow2 *s, uint64_t first, uint64_t n, bool unmap)
{
	struct deferred d = {
		.first = first,
		.count = n,
		.flushes = s->flushes + 1,
		.grace = image_grace_start(s->im),
		.unmap = unmap,
	};
	struct deferred *last =
		s->deferred->len > s->deferred_head
			? &g_array_index(s->deferred, struct deferred, s->deferred->len - 1)
			: NULL;

	atomic_store(&s->im->dirty, true);
	if (last && last->first + last->count == first && last->flushes == d.flushes &&
		last->grace == d.grace && last->unmap == unmap)
		last->count += n;
	else
		g_array_append_val(s->deferred, d);
}

static int deferred_one(struct qcow2 *s, const struct deferred *d)
{
	int r = refcount_add(s, d->first, d->count, -1);

	if (!r && d->unmap) {
		uint64_t run = 0, v;

		/* What nobody else refers to goes back to the host. */
		for (uint64_t c = d->first; c <= d->first + d->count; c++) {
			if (c < d->first + d->count && !refcount_get(s, c, 0, &v) && !v) {
				run++;
				continue;
			}
			if (run)
				file_discard(s->file, (c - run) << s->cluster_bits,
					run << s->cluster_bits);
			run = 0;
		}
	}
	return r;
}

int deferred_apply(struct qcow2 *s)
{
	int r = 0;

	while (s->deferred_head < s->deferred->len && !r) {
		struct deferred d = g_array_index(s->deferred, struct deferred, s->deferred_head);

		if (d.flushes > s->flushes || !image_grace_over(s->im, d.grace))
			break;
		s->deferred_head++;
		r = deferred_one(s, &d);
	}
	if (s->deferred_head == s->deferred->len) {
		g_array_set_size(s->deferred, 0);
		s->deferred_head = 0;
	} else if (s->deferred_head > 4096) {
		g_array_remove_range(s->deferred, 0, s->deferred_head);
		s->deferred_head = 0;
	}
	return r;
}
