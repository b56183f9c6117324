/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.c: counting anew who refers to what, comparing with what the image says, and putting it
 * right. Counts that are too high are leaks; counts that are too low, and flags that allow writing
 * to what others use, are corruptions.
 */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

enum { CHUNK_BITS = 12 };
static const size_t bytes_max = 1u << 30;

/* References found, for each cluster; in pieces, since a sparse file has few. */
struct census {
	struct qcow2 *s;
	struct image_report *out;
	uint32_t **chunk;     /* owned, each owned; NULL: all 0 */
	uint64_t chunks, end; /* end: clusters seen, and of the file */
	size_t bytes;
	bool bad_blocks;  /* the refcount structures themselves are wrong */
	bool no_blocks;   /* do not count them: they are made anew */
	uint64_t last_at; /* for fragmentation */
};

static void say(struct census *c, bool corruption, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

static void say(struct census *c, bool corruption, const char *fmt, ...)
{
	g_autofree char *line = NULL;
	va_list ap;

	if (corruption)
		c->out->corruptions++;
	else
		c->out->leaks++;
	if (!c->out->say)
		return;
	va_start(ap, fmt);
	line = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	c->out->say(c->out, corruption, line);
}

/* Each finding about the content is told once, also when the structures are counted twice. */
static void found(struct census *c, const char *what, uint64_t at)
{
	if (!c->no_blocks)
		say(c, true, "%s at byte %#llx", what, (unsigned long long)at);
}

static uint32_t count_of(const struct census *c, uint64_t cluster)
{
	uint64_t i = cluster >> CHUNK_BITS;

	return i < c->chunks && c->chunk[i] ? c->chunk[i][cluster & ((1u << CHUNK_BITS) - 1)] : 0;
}

static int count_one(struct census *c, uint64_t cluster)
{
	uint64_t i = cluster >> CHUNK_BITS;
	uint32_t *n;

	if (i >= c->chunks) {
		uint64_t more = i + 1 + i / 2;

		if (more * sizeof(void *) > bytes_max)
			return -EFBIG;
		c->chunk = g_renew(uint32_t *, c->chunk, more);
		memset(c->chunk + c->chunks, 0, (more - c->chunks) * sizeof(void *));
		c->chunks = more;
	}
	if (!c->chunk[i]) {
		c->bytes += sizeof(uint32_t) << CHUNK_BITS;
		c->chunk[i] = c->bytes > bytes_max ? NULL : g_try_new0(uint32_t, 1 << CHUNK_BITS);
		if (!c->chunk[i])
			return -ENOMEM;
	}
	n = &c->chunk[i][cluster & ((1u << CHUNK_BITS) - 1)];
	*n += *n < UINT32_MAX;
	c->end = MAX(c->end, cluster + 1);
	return 0;
}

/* Bytes [at, at + n) are in use once more. What lies behind the file is a finding: 1. */
static int count_bytes(
	struct census *c, uint64_t at, uint64_t n, uint64_t file_end, const char *what)
{
	const struct qcow2 *s = c->s;

	if (!n)
		return 0;
	if (at >= file_end || n > (1ull << 56) || at + n > file_end + s->cluster_size) {
		found(c, what, at);
		return 1;
	}
	for (uint64_t i = at >> s->cluster_bits; i <= (at + n - 1) >> s->cluster_bits; i++) {
		int r = count_one(c, i);

		if (r < 0)
			return r;
	}
	return 0;
}

static int count_entry(
	struct census *c, uint64_t entry, uint64_t bitmap, bool active, uint64_t file_end)
{
	struct qcow2 *s = c->s;
	uint64_t at = entry & ENTRY_OFFSET, n = s->cluster_size;

	if (entry & ENTRY_COMPRESSED) {
		packed_bytes(s, entry, &at, &n);
		c->out->compressed += active;
		c->out->allocated += active;
		if (qcow2_external(s)) {
			found(c, "compressed cluster with a data file", at);
			return 0;
		}
		return MIN(
			count_bytes(c, at, n, file_end, "compressed cluster behind the file"), 0);
	}
	if ((uint32_t)bitmap & bitmap >> 32)
		found(c, "subcluster both allocated and zero, cluster", at);
	if (!at)
		return 0;
	c->out->allocated += active;
	if (active) {
		c->out->fragmented += c->last_at && at != c->last_at + n;
		c->last_at = at;
	}
	if (at & (n - 1)) {
		found(c, "data cluster that is not aligned", at);
		return 0;
	}
	if (qcow2_external(s))
		return 0;
	return MIN(count_bytes(c, at, n, file_end, "data cluster behind the file"), 0);
}

static int count_l2(struct census *c, uint64_t table, bool active, uint64_t file_end, uint8_t *buf)
{
	struct qcow2 *s = c->s;
	int r = file_read_full(s->file, table, buf, s->cluster_size);

	for (uint32_t pos = 0; pos < s->cluster_size && !r; pos += 1u << l2_entry_bits(s)) {
		uint64_t entry = load_be64(buf + pos);
		uint64_t bitmap = qcow2_extended(s) ? load_be64(buf + pos + 8) : 0;

		if (entry | bitmap)
			r = count_entry(c, entry, bitmap, active, file_end);
	}
	return r;
}

static int count_tree(
	struct census *c, const uint64_t *l1, uint32_t n, bool active, uint64_t file_end)
{
	struct qcow2 *s = c->s;
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autofree uint8_t *buf = g_malloc(s->cluster_size);
	g_autofree uint64_t *keys = g_new(uint64_t, MAX(n, 1));
	int r = 0;

	for (uint32_t i = 0; i < n && r >= 0; i++) {
		uint64_t at = l1[i] & ENTRY_OFFSET;

		if (!at)
			continue;
		/* Looked at once: or a small file could keep us busy for days. */
		keys[i] = at;
		if (!g_hash_table_add(seen, &keys[i])) {
			found(c, "L2 table used twice", at);
			continue;
		}
		if (at & (s->cluster_size - 1)) {
			found(c, "L2 table that is not aligned", at);
			continue;
		}
		r = count_bytes(c, at, s->cluster_size, file_end, "L2 table behind the file");
		if (!r)
			r = count_l2(c, at, active, file_end, buf);
	}
	return MIN(r, 0);
}

static int count_snapshots(struct census *c, uint64_t file_end)
{
	struct qcow2 *s = c->s;
	int r = count_bytes(
		c, s->snapshots_at, s->snapshots_size, file_end, "snapshot table behind the file");

	for (unsigned i = 0; i < s->snapshots->len && r >= 0; i++) {
		struct qcow2_snapshot *sn = &g_array_index(s->snapshots, struct qcow2_snapshot, i);
		g_autofree uint64_t *l1 = NULL;

		r = count_bytes(c, sn->l1_at, sn->l1_size * 8ull, file_end,
			"L1 table of a snapshot behind the file");
		if (r)
			continue;
		l1 = g_try_new(uint64_t, sn->l1_size);
		r = l1 ? file_read_full(s->file, sn->l1_at, l1, sn->l1_size * 8ull) : -ENOMEM;
		for (uint32_t k = 0; k < sn->l1_size && !r; k++)
			l1[k] = load_be64(&l1[k]);
		if (!r)
			r = count_tree(c, l1, sn->l1_size, false, file_end);
	}
	return MIN(r, 0);
}

static int count_blocks(struct census *c, uint64_t file_end)
{
	struct qcow2 *s = c->s;
	int r = count_bytes(c, s->rt_at, (uint64_t)s->rt_clusters << s->cluster_bits, file_end,
		"refcount table behind the file");

	c->bad_blocks |= r > 0;
	for (uint32_t i = 0; i < s->rt_size && r >= 0; i++) {
		uint64_t at = s->rt[i] & ~511ull;

		if (!at)
			continue;
		if (at & (s->cluster_size - 1)) {
			found(c, "refcount block that is not aligned", at);
			c->bad_blocks = true;
			continue;
		}
		r = count_bytes(c, at, s->cluster_size, file_end, "refcount block behind the file");
		c->bad_blocks |= r > 0;
		if (!r && count_of(c, at >> s->cluster_bits) > 1) {
			found(c, "refcount block that is something else too", at);
			c->bad_blocks = true;
		}
	}
	return MIN(r, 0);
}

static int count_bitmap_part(void *opaque, uint64_t at, uint64_t n)
{
	struct census *c = opaque;
	int64_t length = file_length(c->s->file);

	return MIN(count_bytes(c, at, n, to_clusters(c->s, MAX(length, 0)) << c->s->cluster_bits,
			   "bitmap behind the file"),
		0);
}

/* Clusters in use without a block to count them: one made now would have to be placed among them.
 */
static void look_for_blocks(struct census *c)
{
	struct qcow2 *s = c->s;

	for (uint64_t i = 0; i < c->end; i++) {
		uint64_t b = i >> block_bits(s);

		if (b < s->rt_size && s->rt[b] & ~511ull) {
			i = ((b + 1) << block_bits(s)) - 1;
		} else if (count_of(c, i)) {
			found(c, "refcount block that is missing, for the cluster",
				i << s->cluster_bits);
			c->bad_blocks = true;
			return;
		}
	}
}

static int take_census(struct census *c)
{
	struct qcow2 *s = c->s;
	int64_t length = file_length(s->file);
	uint64_t end = length < 0 ? 0 : to_clusters(s, length) << s->cluster_bits;
	int r = length < 0 ? (int)length : count_bytes(c, 0, 1, end, "no header");

	if (!r)
		r = MIN(count_bytes(
				c, s->l1_at, s->l1_size * 8ull, end, "L1 table behind the file"),
			0);
	if (!r)
		r = count_tree(c, s->l1, s->l1_size, true, end);
	if (!r)
		r = count_snapshots(c, end);
	if (!r && s->crypto_at)
		r = MIN(count_bytes(c, s->crypto_at, s->crypto_len, end,
				"encryption header behind the file"),
			0);
	if (!r)
		r = bitmaps_walk(s, count_bitmap_part, c);
	/* Last: a block that something else points to is that block's fault. */
	if (!r && !c->no_blocks)
		r = count_blocks(c, end);
	if (!r && !c->no_blocks)
		look_for_blocks(c);
	c->out->end = c->end << s->cluster_bits;
	c->end = MAX(c->end, end >> s->cluster_bits);
	return r;
}

/* ---- comparing and repairing ---- */

/* Clusters that blocks count although the file and everything else ends before. */
static uint64_t counted_end(const struct census *c)
{
	uint64_t end = c->end;

	for (uint32_t i = c->s->rt_size; i-- > 0;) {
		if (c->s->rt[i] & ~511ull)
			return MAX(end, (uint64_t)(i + 1) << block_bits(c->s));
	}
	return end;
}

static int compare_one(struct census *c, uint64_t cluster, bool raise, bool repair)
{
	struct qcow2 *s = c->s;
	uint64_t have, want = count_of(c, cluster);
	int r = refcount_get(s, cluster, 0, &have);

	if (r < 0 || have == want || (have < want) != raise)
		return r;
	if (repair) {
		if (want > refcount_max(s))
			return -ERANGE;
		r = refcount_set(s, cluster, want);
	}
	say(c, raise, "cluster %llu: %llu references, counted as %llu", (unsigned long long)cluster,
		(unsigned long long)want, (unsigned long long)have);
	if (!r && repair && raise)
		c->out->corruptions_fixed++;
	else if (!r && repair)
		c->out->leaks_fixed++;
	return r;
}

static int compare(struct census *c, bool raise, bool repair)
{
	uint64_t end = counted_end(c);
	int r = 0;

	for (uint64_t i = 0; i < end && !r; i++) {
		/* Whole blocks that are not there and not needed. */
		if (!(i & ((1ull << block_bits(c->s)) - 1)) && i >= c->end &&
			(i >> block_bits(c->s) >= c->s->rt_size ||
				!(c->s->rt[i >> block_bits(c->s)] & ~511ull))) {
			i += (1ull << block_bits(c->s)) - 1;
			continue;
		}
		r = cache_room(c->s, 0);
		if (!r)
			r = compare_one(c, i, raise, repair);
	}
	return r;
}

static int check_flag(struct census *c, uint64_t *entry, const char *what, bool repair)
{
	uint64_t at = *entry & ENTRY_OFFSET;
	bool alone = count_of(c, at >> c->s->cluster_bits) == 1;

	if (!at || at & (c->s->cluster_size - 1) || alone == !!(*entry & ENTRY_COPIED))
		return 0;
	say(c, true, "%s at byte %#llx is marked as %s, but is not", what, (unsigned long long)at,
		alone ? "shared" : "its own");
	if (!repair)
		return 0;
	*entry ^= ENTRY_COPIED;
	c->out->corruptions_fixed++;
	return 1;
}

static int check_l2_flags(struct census *c, uint64_t off, bool repair)
{
	struct qcow2 *s = c->s;

	for (uint64_t i = 0; i < 1ull << l2_bits(s); i++, off += s->cluster_size) {
		struct l2_ref ref;
		uint64_t entry, bitmap;
		int r = cache_room(s, 0);

		if (!r)
			r = l2_find(s, off, 0, &ref);
		if (r)
			return MIN(r, 0);
		entry = l2_get(s, &ref, &bitmap);
		if (!(entry & ENTRY_COMPRESSED) && check_flag(c, &entry, "data cluster", repair))
			l2_set(s, &ref, entry, bitmap);
	}
	return 0;
}

static int check_flags(struct census *c, bool repair)
{
	struct qcow2 *s = c->s;
	uint64_t span = 1ull << (s->cluster_bits + l2_bits(s));
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	g_autofree uint64_t *keys = g_new(uint64_t, MAX(s->l1_size, 1));
	int r = 0;

	for (uint32_t i = 0; i < s->l1_size && !r; i++) {
		keys[i] = s->l1[i] & ENTRY_OFFSET;
		/* Nor what the census has not followed. */
		if (!keys[i] || keys[i] & (s->cluster_size - 1) ||
			!count_of(c, keys[i] >> s->cluster_bits) ||
			!g_hash_table_add(seen, &keys[i]))
			continue;
		if (check_flag(c, &s->l1[i], "L2 table", repair)) {
			s->l1_dirty_from = MIN(s->l1_dirty_from, i);
			s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
		}
		if (!qcow2_external(s))
			r = check_l2_flags(c, i * span, repair);
	}
	return r;
}

/*
 * New blocks and a new table behind everything, from the census alone. The blocks are placed in one
 * run with the table, and count themselves.
 */
static int rebuild(struct census *c)
{
	struct qcow2 *s = c->s;
	uint64_t per_block = 1ull << block_bits(s), base = c->end, blocks = 0, tables = 0, total;
	int r = 0;

	for (;;) {
		uint64_t all = base + blocks + tables, b = (all + per_block - 1) / per_block;
		uint64_t t = (b * 8 + s->cluster_size - 1) >> s->cluster_bits;

		if (b <= blocks && t <= tables)
			break;
		blocks = MAX(b, blocks);
		tables = MAX(t, tables);
	}
	total = tables * (s->cluster_size / 8);
	if (tables << s->cluster_bits > RT_BYTES_MAX)
		return -EFBIG;
	for (uint64_t i = 0; i < blocks + tables && !r; i++)
		r = count_one(c, base + i);
	if (r < 0)
		return r;
	cache_drop_all(s);
	g_free(s->rt);
	s->rt = g_new0(uint64_t, total);
	s->rt_size = total;
	s->rt_clusters = tables;
	s->rt_at = (base + blocks) << s->cluster_bits;
	for (uint64_t i = 0; i < blocks; i++) {
		s->rt[i] = (base + i) << s->cluster_bits;
		for (uint32_t pos = 0; pos < s->cluster_size && !r; pos += s->cache.page) {
			struct page *p;

			r = cache_new(s, s->rt[i] + pos, &p);
			if (!r)
				cache_dirty(s, p, PAGE_FIRST);
		}
	}
	s->rt_dirty_from = 0;
	s->rt_dirty_to = total;
	s->rt_moved = true;
	for (uint64_t i = 0; i < base + blocks + tables && !r; i++) {
		uint32_t n = count_of(c, i);

		r = n > refcount_max(s) ? -ERANGE : n ? refcount_set(s, i, n) : 0;
	}
	return r < 0 ? r : tables_flush(s);
}

static void census_clear(struct census *c)
{
	for (uint64_t i = 0; i < c->chunks; i++)
		g_free(c->chunk[i]);
	g_clear_pointer(&c->chunk, g_free);
	c->chunks = c->end = c->bytes = 0;
}

static int repair_blocks(struct census *c)
{
	struct image_report *out = c->out, saved = *out;
	int r;

	census_clear(c);
	c->no_blocks = true;
	r = take_census(c);
	if (!r)
		r = rebuild(c);
	*out = saved;
	if (!r)
		out->corruptions_fixed++;
	return r;
}

static int check_all(struct census *c, bool repair)
{
	struct qcow2 *s = c->s;
	int r = s->im->readonly ? 0 : tables_settle(s);

	if (!r)
		r = take_census(c);
	c->out->clusters = to_clusters(s, s->im->size);
	if (!r && repair && c->bad_blocks)
		r = repair_blocks(c);
	else if (!r)
		r = compare(c, true, repair);
	if (!r && repair)
		r = tables_flush(s);
	if (!r)
		r = check_flags(c, repair);
	if (!r && repair)
		r = tables_flush(s);
	if (!r && !(repair && c->no_blocks))
		r = compare(c, false, repair);
	if (!r && repair)
		r = tables_flush(s);
	return r;
}

int qcow2_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	struct census c = { .s = s, .out = out };
	bool before = s->in_check;
	int r;

	s->in_check = true;
	r = check_all(&c, repair);
	s->in_check = before;
	census_clear(&c);
	s->free_hint = 0;
	if (!r && repair && out->corruptions_fixed >= out->corruptions) {
		s->incompatible &= ~INCOMPAT_CORRUPT;
		r = mark_clean(s);
		if (!r)
			r = header_update(s);
		if (!r)
			r = file_sync(s->file);
	}
	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot %s it", im->file->path,
			repair ? "repair" : "check");
	return 0;
}
