/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot.c: snapshots inside the image: more L1 tables that share clusters. Spec: qcow2,
 * "Snapshots".
 *
 * While counts, flags and the snapshot table change together, the dirty bit stands in the file, so
 * that after a power cut the counts are made anew from the tables. The step that makes a snapshot
 * exist, or no longer, is the one sector of the header.
 */
#include "image/snapshot.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/engine.h"
#include "image/qcow2/qcow2.h"

enum {
	ENTRY_FIXED = 40,
	EXTRA_V3 = 24, /* VM state size, disk size, icount */
	EXTRA_MAX = 1024,
	TABLE_MAX = 16 << 20, /* bytes of the snapshot table */
};

static void snapshot_clear(struct qcow2_snapshot *sn)
{
	g_free(sn->id);
	g_free(sn->name);
	g_free(sn->extra);
}

void snapshots_free(struct qcow2 *s)
{
	for (unsigned i = 0; s->snapshots && i < s->snapshots->len; i++)
		snapshot_clear(&g_array_index(s->snapshots, struct qcow2_snapshot, i));
	g_clear_pointer(&s->snapshots, g_array_unref);
}

static struct qcow2_snapshot *snapshot_at(struct qcow2 *s, unsigned i)
{
	return &g_array_index(s->snapshots, struct qcow2_snapshot, i);
}

/* ---- the table ---- */

/* One entry from the n bytes at p; its length, or 0: it does not fit. */
static uint64_t parse(struct qcow2 *s, struct qcow2_snapshot *sn, const uint8_t *p, uint64_t n)
{
	uint32_t id, name, extra;
	uint64_t all;

	if (n < ENTRY_FIXED)
		return 0;
	sn->l1_at = load_be64(p);
	sn->l1_size = load_be32(p + 8);
	id = load_be16(p + 12);
	name = load_be16(p + 14);
	sn->seconds = load_be32(p + 16);
	sn->nanoseconds = load_be32(p + 20);
	sn->clock = load_be64(p + 24);
	sn->vm_state = load_be32(p + 32);
	extra = load_be32(p + 36);
	all = (uint64_t)ENTRY_FIXED + extra + id + name;
	if (extra > EXTRA_MAX || all > n)
		return 0;
	sn->disk_size = s->im->size;
	if (extra >= 8)
		sn->vm_state = load_be64(p + 40);
	if (extra >= 16)
		sn->disk_size = load_be64(p + 48);
	sn->extra = g_memdup2(p + ENTRY_FIXED, extra);
	sn->extra_size = extra;
	sn->id = g_strndup((const char *)p + ENTRY_FIXED + extra, id);
	sn->name = g_strndup((const char *)p + ENTRY_FIXED + extra + id, name);
	return (all + 7) & ~7ull;
}

int snapshots_read(struct qcow2 *s, GError **error)
{
	g_autofree uint8_t *table = NULL;
	uint64_t pos = 0, n;
	ssize_t got;

	if (!s->snapshots->len)
		return 0;
	n = MIN((uint64_t)s->snapshots->len * (ENTRY_FIXED + EXTRA_MAX + 2 * 65536), TABLE_MAX);
	table = g_malloc(n);
	got = file_read(s->file, s->snapshots_at, table, n);
	if (got < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -got,
			"%s: cannot read its snapshot table", s->file->path);
	for (unsigned i = 0; i < s->snapshots->len; i++) {
		struct qcow2_snapshot *sn = snapshot_at(s, i);
		uint64_t len = parse(
			s, sn, table + MIN(pos, (uint64_t)got), got - MIN(pos, (uint64_t)got));

		if (!len || sn->l1_size > L1_BYTES_MAX / 8 || sn->l1_at & (s->cluster_size - 1) ||
			sn->l1_at > 1ull << 56)
			return fail(error, LODGE_ERROR_FILE,
				"%s: is damaged: snapshot %u of %u makes no sense", s->file->path,
				i + 1, s->snapshots->len);
		pos += len;
	}
	s->snapshots_size = pos;
	return 0;
}

static void put(GByteArray *out, const struct qcow2_snapshot *sn)
{
	uint8_t fixed[ENTRY_FIXED + EXTRA_V3], pad[8] = { 0 };
	uint32_t extra = MAX(sn->extra_size, EXTRA_V3);

	store_be64(fixed, sn->l1_at);
	store_be32(fixed + 8, sn->l1_size);
	store_be16(fixed + 12, strlen(sn->id));
	store_be16(fixed + 14, strlen(sn->name));
	store_be32(fixed + 16, sn->seconds);
	store_be32(fixed + 20, sn->nanoseconds);
	store_be64(fixed + 24, sn->clock);
	store_be32(fixed + 32, sn->vm_state > UINT32_MAX ? 0 : sn->vm_state);
	store_be32(fixed + 36, extra);
	store_be64(fixed + 40, sn->vm_state);
	store_be64(fixed + 48, sn->disk_size);
	store_be64(fixed + 56, UINT64_MAX);
	if (sn->extra_size >= EXTRA_V3)
		memcpy(fixed + 56, sn->extra + 16, 8);
	g_byte_array_append(out, fixed, sizeof(fixed));
	if (sn->extra_size > EXTRA_V3)
		g_byte_array_append(out, sn->extra + EXTRA_V3, sn->extra_size - EXTRA_V3);
	g_byte_array_append(out, (const uint8_t *)sn->id, strlen(sn->id));
	g_byte_array_append(out, (const uint8_t *)sn->name, strlen(sn->name));
	g_byte_array_append(out, pad, -out->len & 7);
}

/* Writes the table elsewhere and lets the header point to it. */
static int table_write(struct qcow2 *s)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	uint64_t at = 0, old_at = s->snapshots_at, old_size = s->snapshots_size;
	int r = 0;

	for (unsigned i = 0; i < s->snapshots->len; i++)
		put(out, snapshot_at(s, i));
	if (out->len > TABLE_MAX)
		return -EFBIG;
	if (out->len)
		r = clusters_alloc_all(s, to_clusters(s, out->len), &at);
	if (!r && out->len)
		r = file_write(s->file, at, out->data, out->len);
	if (!r)
		r = tables_flush(s); /* syncs it too */
	if (r < 0)
		return r;
	s->snapshots_at = at;
	s->snapshots_size = out->len;
	r = header_update(s);
	if (!r)
		r = file_sync(s->file);
	if (!r && old_size)
		defer_free(s, old_at >> s->cluster_bits, to_clusters(s, old_size), false);
	return r;
}

/* ---- trees ---- */

struct walk {
	int by;      /* what to add to each count; 0: only look */
	bool own;    /* flags: clear (false) or, where the count is one, set */
	bool flags;  /* change them */
	bool active; /* the tree is s->l1's */
};

static int walk_count(struct qcow2 *s, const struct walk *w, uint64_t first, uint64_t n)
{
	uint64_t refs;
	int r = 0;

	if (w->by > 0 || !w->by) {
		for (uint64_t i = 0; i < n && !r; i++) {
			r = refcount_get(s, first + i, 0, &refs);
			if (!r && refs >= refcount_max(s))
				r = -ERANGE;
		}
	}
	return !r && w->by ? refcount_add(s, first, n, w->by) : r;
}

static int walk_flag(struct qcow2 *s, const struct walk *w, uint64_t cluster, uint64_t *entry)
{
	uint64_t refs = 2, old = *entry;
	int r = 0;

	if (!w->flags)
		return 0;
	if (w->own)
		r = refcount_get(s, cluster, 0, &refs);
	if (r < 0)
		return r;
	*entry = refs == 1 ? old | ENTRY_COPIED : old & ~ENTRY_COPIED;
	return *entry != old;
}

static int walk_entry(struct qcow2 *s, const struct walk *w, uint64_t table, uint32_t index)
{
	struct l2_ref ref = { .table = table };
	uint64_t byte = (uint64_t)index << l2_entry_bits(s), entry, bitmap, first, n = 1;
	bool look = w->by || !w->flags;
	int r = cache_room(s, 0);

	ref.pos = byte & (s->cache.page - 1);
	if (!r)
		r = cache_get(s, table + byte - ref.pos, 0, &ref.page);
	if (r < 0)
		return r;
	entry = l2_get(s, &ref, &bitmap);
	if (entry & ENTRY_COMPRESSED) {
		packed_clusters(s, entry, &first, &n);
		return look ? walk_count(s, w, first, n) : 0;
	}
	first = (entry & ENTRY_OFFSET) >> s->cluster_bits;
	if (!first)
		return 0;
	r = walk_flag(s, w, first, &entry);
	if (r > 0)
		l2_set(s, &ref, entry, bitmap);
	return r >= 0 && look ? walk_count(s, w, first, 1) : MIN(r, 0);
}

static int walk_tree(struct qcow2 *s, const struct walk *w, uint64_t *l1, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r >= 0; i++) {
		uint64_t table = l1[i] & ENTRY_OFFSET;

		if (!table)
			continue;
		if (table & (s->cluster_size - 1))
			return qcow2_corrupt(s, "an L2 table is not aligned", table);
		for (uint32_t k = 0; k < 1u << l2_bits(s) && r >= 0; k++)
			r = walk_entry(s, w, table, k);
		if (r >= 0)
			r = walk_flag(s, w, table >> s->cluster_bits, &l1[i]);
		if (r > 0 && w->active) {
			s->l1_dirty_from = MIN(s->l1_dirty_from, i);
			s->l1_dirty_to = MAX(s->l1_dirty_to, i + 1);
			atomic_store(&s->im->dirty, true);
		}
		if (r >= 0 && (w->by || !w->flags))
			r = walk_count(s, w, table >> s->cluster_bits, 1);
	}
	return MIN(r, 0);
}

/* An L1 table in host order, owned by the caller. */
static int l1_read(struct qcow2 *s, uint64_t at, uint32_t n, uint64_t **ret)
{
	uint64_t *l1 = g_try_new(uint64_t, MAX(n, 1));
	int r = l1 ? file_read_full(s->file, at, l1, n * 8ull) : -ENOMEM;

	if (r < 0) {
		g_free(l1);
		return r;
	}
	for (uint32_t i = 0; i < n; i++)
		l1[i] = load_be64(&l1[i]);
	*ret = l1;
	return 0;
}

/* ---- the operations ---- */

static int report(struct qcow2 *s, int r, const char *what, GError **error)
{
	if (r == -ERANGE)
		return fail(error, LODGE_ERROR_FILE,
			"%s: cannot %s: its %u-bit reference counts are used up", s->file->path,
			what, 1u << s->refcount_order);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot %s", s->file->path, what)
		     : 0;
}

static int find(struct qcow2 *s, const char *which)
{
	for (unsigned i = 0; i < s->snapshots->len; i++) {
		if (!strcmp(snapshot_at(s, i)->id, which))
			return i;
	}
	for (unsigned i = 0; i < s->snapshots->len; i++) {
		if (!strcmp(snapshot_at(s, i)->name, which))
			return i;
	}
	return -1;
}

static int find_or_fail(struct qcow2 *s, const char *which, GError **error)
{
	int i = find(s, which);

	if (i < 0)
		fail(error, LODGE_ERROR_USAGE, "%s: has no snapshot '%s'", s->file->path, which);
	return i;
}

static GArray *qcow2_list(struct image *im)
{
	struct qcow2 *s = qcow2_of(im);
	GArray *out = g_array_new(FALSE, TRUE, sizeof(struct image_snapshot));

	for (unsigned i = 0; i < s->snapshots->len; i++) {
		const struct qcow2_snapshot *sn = snapshot_at(s, i);
		struct image_snapshot o = {
			.disk_size = sn->disk_size,
			.vm_state_size = sn->vm_state,
			.date = sn->seconds * 1000000ll + sn->nanoseconds / 1000,
			.vm_clock = sn->clock,
		};

		g_strlcpy(o.id, sn->id, sizeof(o.id));
		g_strlcpy(o.name, sn->name, sizeof(o.name));
		g_array_append_val(out, o);
	}
	return out;
}

uint64_t qcow2_vmstate_base(const struct image *im)
{
	const struct qcow2 *s = qcow2_of(im);

	return entries_for(s, im->size) << (s->cluster_bits + l2_bits(s));
}

static char *new_id(struct qcow2 *s)
{
	uint64_t top = 0;

	for (unsigned i = 0; i < s->snapshots->len; i++)
		top = MAX(top, g_ascii_strtoull(snapshot_at(s, i)->id, NULL, 10));
	return g_strdup_printf("%" G_GUINT64_FORMAT, top + 1);
}

static int begin(struct qcow2 *s)
{
	int r = tables_settle(s);

	return r < 0 ? r : mark_dirty(s);
}

/* Only after success: what was left half done is repaired when the image is opened again. */
static int end(struct qcow2 *s)
{
	int r = tables_settle(s);

	return r < 0 ? r : mark_clean(s);
}

/* A copy of the active L1 table, which the snapshot will own. */
static int copy_l1(struct qcow2 *s, uint64_t *ret_at)
{
	g_autofree uint8_t *buf = g_malloc(s->l1_size * 8ull);
	int r = clusters_alloc_all(s, MAX(to_clusters(s, s->l1_size * 8ull), 1), ret_at);

	for (uint32_t i = 0; i < s->l1_size; i++)
		store_be64(buf + i * 8ull, s->l1[i]);
	return r < 0 ? r : file_write(s->file, *ret_at, buf, s->l1_size * 8ull);
}

static int drop_vm_state(struct qcow2 *s, uint64_t size)
{
	uint64_t base = qcow2_vmstate_base(s->im);

	if (!size)
		return 0;
	size = to_clusters(s, size) << s->cluster_bits;
	return qcow2_drop(s->im, base, size, false, true);
}

static int do_create(struct qcow2 *s, struct qcow2_snapshot *sn)
{
	static const struct walk look = { 0 };
	static const struct walk share = { .by = 1, .flags = true, .active = true };
	int r = walk_tree(s, &look, s->l1, s->l1_size);

	if (!r)
		r = begin(s);
	if (!r)
		r = walk_tree(s, &share, s->l1, s->l1_size);
	if (!r)
		r = tables_flush(s);
	if (!r)
		r = copy_l1(s, &sn->l1_at);
	if (r < 0)
		return r;
	g_array_append_val(s->snapshots, *sn);
	r = table_write(s);
	if (r < 0) {
		g_array_set_size(s->snapshots, s->snapshots->len - 1);
		return r;
	}
	memset(sn, 0, sizeof(*sn)); /* the array's now */
	return drop_vm_state(s, snapshot_at(s, s->snapshots->len - 1)->vm_state);
}

static int qcow2_snapshot_create(struct image *im, const struct image_snapshot *in, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	struct qcow2_snapshot sn = {
		.l1_size = s->l1_size,
		.name = g_strdup(in->name),
		.seconds = in->date / 1000000,
		.nanoseconds = in->date % 1000000 * 1000,
		.clock = in->vm_clock,
		.vm_state = in->vm_state_size,
		.disk_size = im->size,
	};
	int r;

	sn.id = *in->id ? g_strdup(in->id) : new_id(s);
	if (qcow2_external(s))
		r = fail(error, LODGE_ERROR_USAGE,
			"%s: images with a data file have no snapshots inside", im->file->path);
	else if (find(s, sn.id) >= 0 || (*sn.name && find(s, sn.name) >= 0))
		r = fail(error, LODGE_ERROR_USAGE, "%s: already has a snapshot '%s'",
			im->file->path, sn.name);
	else if (s->snapshots->len >= SNAPSHOTS_MAX)
		r = fail(error, LODGE_ERROR_USAGE, "%s: has as many snapshots as there can be",
			im->file->path);
	else {
		engine_lock(im);
		r = do_create(s, &sn);
		if (!r)
			r = end(s);
		engine_unlock(im);
		r = report(s, r, "make a snapshot of it", error);
	}
	snapshot_clear(&sn);
	return r;
}

/* The snapshot's table becomes the active one, as a copy in new room. */
static int do_apply(struct qcow2 *s, const struct qcow2_snapshot *sn)
{
	static const struct walk look = { 0 }, take = { .by = 1, .flags = true };
	static const struct walk release = { .by = -1 };
	uint64_t *old = NULL, *l1 = NULL, old_at = s->l1_at, at;
	uint32_t old_size = s->l1_size, old_room = s->l1_room, size;
	int r = begin(s);

	if (!r)
		r = l1_read(s, sn->l1_at, sn->l1_size, &l1);
	if (!r)
		r = walk_tree(s, &look, l1, sn->l1_size);
	if (!r)
		r = walk_tree(s, &take, l1, sn->l1_size);
	size = MAX(sn->l1_size, entries_for(s, sn->disk_size));
	if (!r)
		r = clusters_alloc_all(s, MAX(to_clusters(s, size * 8ull), 1), &at);
	if (!r)
		r = tables_settle(s);
	if (r < 0) {
		g_free(l1);
		return r;
	}
	old = s->l1;
	s->l1 = g_new0(uint64_t, MAX(size, 1));
	memcpy(s->l1, l1, sn->l1_size * 8ull);
	g_free(l1);
	s->l1_at = at;
	s->l1_size = size;
	s->l1_room = MAX(to_clusters(s, size * 8ull), 1);
	s->l1_dirty_from = 0;
	s->l1_dirty_to = size;
	s->l1_moved = true;
	s->im->size = sn->disk_size;
	atomic_store(&s->im->dirty, true);
	r = tables_flush(s);
	if (!r)
		r = walk_tree(s, &release, old, old_size);
	if (!r && old_room)
		defer_free(s, old_at >> s->cluster_bits, old_room, false);
	g_free(old);
	return r;
}

static int qcow2_apply(struct image *im, const char *which, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	int i = find_or_fail(s, which, error), r;

	if (i < 0)
		return -1;
	if (s->version < 3 && snapshot_at(s, i)->disk_size != im->size)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: the snapshot is of another size than the disk", im->file->path);
	engine_lock(im);
	r = do_apply(s, snapshot_at(s, i));
	if (!r)
		r = end(s);
	engine_unlock(im);
	packed_forget(im, 0, INT64_MAX);
	return report(s, r, "go back to that snapshot", error);
}

static int do_remove(struct qcow2 *s, unsigned i)
{
	static const struct walk release = { .by = -1 };
	static const struct walk own = { .flags = true, .own = true, .active = true };
	struct qcow2_snapshot sn = *snapshot_at(s, i);
	g_autofree uint64_t *l1 = NULL;
	int r = begin(s);

	if (!r)
		r = l1_read(s, sn.l1_at, sn.l1_size, &l1);
	if (r < 0)
		return r;
	g_array_remove_index(s->snapshots, i);
	r = table_write(s);
	if (!r)
		r = walk_tree(s, &release, l1, sn.l1_size);
	if (!r)
		r = refcount_add(s, sn.l1_at >> s->cluster_bits,
			MAX(to_clusters(s, sn.l1_size * 8ull), 1), -1);
	if (!r)
		r = walk_tree(s, &own, s->l1, s->l1_size);
	snapshot_clear(&sn);
	return r;
}

static int qcow2_remove(struct image *im, const char *which, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	int i = find_or_fail(s, which, error), r;

	if (i < 0)
		return -1;
	engine_lock(im);
	r = do_remove(s, i);
	if (!r)
		r = end(s);
	engine_unlock(im);
	return report(s, r, "remove that snapshot", error);
}

const struct image_snapshot_ops qcow2_snapshot_ops = {
	.list = qcow2_list,
	.create = qcow2_snapshot_create,
	.apply = qcow2_apply,
	.remove = qcow2_remove,
};
