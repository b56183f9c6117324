/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c: L1 and L2 tables: finding, making, copying. Spec: qcow2, "Cluster mapping". */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

uint64_t l2_get(const struct qcow2 *s, const struct l2_ref *r, uint64_t *ret_bitmap)
{
	const uint8_t *p = r->page->data + r->pos;

	*ret_bitmap = qcow2_extended(s) ? load_be64(p + 8) : 0;
	return load_be64(p);
}

void l2_set(struct qcow2 *s, const struct l2_ref *r, uint64_t entry, uint64_t bitmap)
{
	uint8_t *p = r->page->data + r->pos;
	bool fresh = g_hash_table_contains(s->new_tables, &r->table);

	store_be64(p, entry);
	if (qcow2_extended(s))
		store_be64(p + 8, bitmap);
	cache_dirty(s, r->page, fresh ? PAGE_FIRST : PAGE_LAST);
}

static uint32_t l1_index(const struct qcow2 *s, uint64_t off)
{
	return off >> (s->cluster_bits + l2_bits(s));
}

static int locate(struct qcow2 *s, uint64_t table, uint64_t off, unsigned flags, struct l2_ref *out)
{
	uint64_t index = off >> s->cluster_bits & ((1ull << l2_bits(s)) - 1);
	uint64_t byte = index << l2_entry_bits(s);

	if (table & (s->cluster_size - 1))
		return qcow2_corrupt(s, "an L2 table is not aligned", table);
	out->table = table;
	out->pos = byte & (s->cache.page - 1);
	return cache_get(s, table + byte - out->pos, flags, &out->page);
}

int l2_find(struct qcow2 *s, uint64_t off, unsigned flags, struct l2_ref *out)
{
	uint32_t i = l1_index(s, off);

	if (i >= s->l1_size || !(s->l1[i] & ENTRY_OFFSET))
		return 1;
	return locate(s, s->l1[i] & ENTRY_OFFSET, off, flags, out);
}

/* All pages of a table, so that copying it needs no reading in between. */
static int table_here(struct qcow2 *s, uint64_t table, unsigned flags)
{
	for (uint32_t pos = 0; pos < s->cluster_size; pos += s->cache.page) {
		struct page *p;
		int r = cache_get(s, table + pos, flags, &p);

		if (r < 0)
			return r;
	}
	return 0;
}

/* A table at `to`: empty, or a copy of `from` (0: none). */
static int table_fill(struct qcow2 *s, uint64_t to, uint64_t from)
{
	for (uint32_t pos = 0; pos < s->cluster_size; pos += s->cache.page) {
		struct page *p, *old;
		int r = cache_new(s, to + pos, &p);

		if (!r && from)
			r = cache_get(s, from + pos, 0, &old);
		if (r < 0)
			return r;
		if (from)
			memcpy(p->data, old->data, s->cache.page);
		cache_dirty(s, p, PAGE_FIRST);
	}
	return 0;
}

static void l1_changed(struct qcow2 *s, uint32_t i)
{
	s->l1_dirty_from = MIN(s->l1_dirty_from, i);
	s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
	atomic_store(&s->im->dirty, true);
}

int l2_make(struct qcow2 *s, uint64_t off, unsigned flags, struct l2_ref *out)
{
	uint32_t i = l1_index(s, off);
	uint64_t first, n, old, to;
	bool fresh;
	int r;

	if (i >= s->l1_size) {
		if (flags & IMAGE_NOWAIT)
			return -EAGAIN;
		r = l1_grow(s, i + 1);
		if (r < 0)
			return r;
	}
	old = s->l1[i] & ENTRY_OFFSET;
	if (old && s->l1[i] & ENTRY_COPIED)
		return locate(s, old, off, flags, out);
	r = old ? table_here(s, old, flags) : 0;
	if (!r)
		r = clusters_alloc(s, 1, flags, &first, &n, &fresh);
	if (r < 0)
		return r;
	to = first << s->cluster_bits;
	r = table_fill(s, to, old);
	if (r < 0) {
		refcount_set(s, first, 0);
		return r;
	}
	s->l1[i] = to | ENTRY_COPIED;
	l1_changed(s, i);
	g_hash_table_add(s->new_tables, g_memdup2(&to, sizeof(to)));
	if (old)
		defer_free(s, old >> s->cluster_bits, 1, false);
	return locate(s, to, off, flags, out);
}

void packed_bytes(const struct qcow2 *s, uint64_t entry, uint64_t *ret_at, uint64_t *ret_n)
{
	unsigned x = 62 - (s->cluster_bits - 8);
	uint64_t at = entry & ((1ull << x) - 1), sectors = (entry & (ENTRY_COMPRESSED - 1)) >> x;

	at &= (1ull << 56) - 1;
	*ret_at = at;
	*ret_n = (sectors + 1) * 512 - (at & 511);
}

void packed_clusters(const struct qcow2 *s, uint64_t entry, uint64_t *ret_first, uint64_t *ret_n)
{
	uint64_t at, n;

	packed_bytes(s, entry, &at, &n);
	*ret_first = at >> s->cluster_bits;
	*ret_n = ((at + n - 1) >> s->cluster_bits) - *ret_first + 1;
}

/* The changed entries, in whole sectors so that none is torn. */
int l1_write(struct qcow2 *s)
{
	uint32_t from = s->l1_dirty_from & ~63u, to = MIN((s->l1_dirty_to + 63) & ~63u, s->l1_size);
	g_autofree uint8_t *buf = NULL;
	int r;

	if (s->l1_dirty_from >= s->l1_dirty_to)
		return 0;
	buf = g_malloc((to - from) * 8ull);
	for (uint32_t i = from; i < to; i++)
		store_be64(buf + (i - from) * 8ull, s->l1[i]);
	r = file_write(s->file, s->l1_at + from * 8ull, buf, (to - from) * 8ull);
	if (r < 0)
		return r;
	s->l1_dirty_from = UINT32_MAX;
	s->l1_dirty_to = 0;
	return 0;
}

/* To at least that many entries: in the room the table has, or elsewhere. */
int l1_grow(struct qcow2 *s, uint32_t entries)
{
	uint32_t old = s->l1_size;
	uint64_t clusters = to_clusters(s, entries * 8ull), old_clusters = s->l1_room, at, *l1;
	int r;

	if (entries <= old)
		return 0;
	if (entries * 8ull > L1_BYTES_MAX)
		return -EFBIG;
	l1 = g_try_new0(uint64_t, clusters * (s->cluster_size / 8));
	if (!l1)
		return -ENOMEM;
	if (clusters > old_clusters) {
		r = clusters_alloc_all(s, clusters, &at);
		if (r < 0) {
			g_free(l1);
			return r;
		}
		if (old_clusters)
			defer_free(s, s->l1_at >> s->cluster_bits, old_clusters, false);
		s->l1_at = at;
		s->l1_room = clusters;
		s->l1_dirty_from = 0;
	} else {
		s->l1_dirty_from = MIN(s->l1_dirty_from, old);
	}
	memcpy(l1, s->l1, old * 8ull);
	g_free(s->l1);
	s->l1 = l1;
	s->l1_size = entries;
	s->l1_dirty_to = entries;
	s->l1_moved = true;
	atomic_store(&s->im->dirty, true);
	return 0;
}
