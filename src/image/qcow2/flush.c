/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flush.c: bringing tables down in the order qcow2.h describes, and the dirty and corrupt bits. */
#include "image/qcow2/qcow2.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/log.h"

static bool rt_waits(const struct qcow2 *s)
{
	return s->rt_moved || s->rt_dirty_from < s->rt_dirty_to;
}

static int rt_write(struct qcow2 *s)
{
	uint32_t from = s->rt_dirty_from & ~63u, to = MIN((s->rt_dirty_to + 63) & ~63u, s->rt_size);
	g_autofree uint8_t *buf = NULL;
	int r = 0;

	if (s->rt_dirty_from < s->rt_dirty_to) {
		buf = g_malloc((to - from) * 8ull);
		for (uint32_t i = from; i < to; i++)
			store_be64(buf + (i - from) * 8ull, s->rt[i]);
		r = file_write(s->file, s->rt_at + from * 8ull, buf, (to - from) * 8ull);
	}
	if (!r && s->rt_moved) {
		r = file_sync(s->file);
		s->disk.rt_at = s->rt_at;
		s->disk.rt_clusters = s->rt_clusters;
		if (!r)
			r = header_update(s);
	}
	if (!r)
		r = file_sync(s->file);
	if (r < 0)
		return r;
	s->rt_dirty_from = UINT32_MAX;
	s->rt_dirty_to = 0;
	s->rt_moved = false;
	return 0;
}

static int references_write(struct qcow2 *s)
{
	int r = cache_write(s, PAGE_LAST);

	if (!r)
		r = l1_write(s);
	if (!r && s->l1_moved) {
		r = file_sync(s->file);
		s->disk.l1_at = s->l1_at;
		s->disk.l1_size = s->l1_size;
		if (!r)
			r = header_update(s);
	}
	if (r < 0)
		return r;
	s->l1_moved = false;
	g_hash_table_remove_all(s->new_tables);
	return file_sync(s->file);
}

static bool references_wait(const struct qcow2 *s)
{
	if (s->l1_moved || s->l1_dirty_from < s->l1_dirty_to)
		return true;
	for (const struct page *p = s->cache.dirty ? s->cache.newest : NULL; p; p = p->older) {
		if (p->phase == PAGE_LAST)
			return true;
	}
	return false;
}

int tables_flush(struct qcow2 *s)
{
	int r = cache_write(s, PAGE_FIRST);

	if (!r)
		r = file_sync(s->file);
	if (!r && rt_waits(s))
		r = rt_write(s);
	if (!r && references_wait(s))
		r = references_write(s);
	if (r < 0)
		return r;
	s->flushes++;
	r = deferred_apply(s);
	atomic_store(&s->im->dirty,
		s->cache.dirty || rt_waits(s) || s->deferred_head < s->deferred->len);
	return r;
}

int tables_settle(struct qcow2 *s)
{
	int r = 0;

	for (int i = 0; i < 4 && !r && atomic_load(&s->im->dirty); i++)
		r = tables_flush(s);
	return r;
}

int qcow2_flush(struct image *im)
{
	return tables_flush(qcow2_of(im));
}

int mark_dirty(struct qcow2 *s)
{
	int r;

	if (s->version < 3)
		return 0;
	s->incompatible |= INCOMPAT_DIRTY;
	r = header_update(s);
	if (!r)
		r = file_sync(s->file);
	return r;
}

int mark_clean(struct qcow2 *s)
{
	int r;

	if (!(s->incompatible & INCOMPAT_DIRTY))
		return 0;
	r = file_sync(s->file);
	if (r < 0)
		return r;
	s->incompatible &= ~INCOMPAT_DIRTY;
	r = header_update(s);
	return r < 0 ? r : file_sync(s->file);
}

int qcow2_corrupt(struct qcow2 *s, const char *what, uint64_t at)
{
	if (s->in_check)
		return -EIO;
	if (!(s->incompatible & INCOMPAT_CORRUPT))
		log_warn("%s: is damaged: %s (at %#llx); repair it with 'lodge image check -r'",
			s->file->path, what, (unsigned long long)at);
	if (!s->im->readonly && s->version >= 3 && !(s->incompatible & INCOMPAT_CORRUPT)) {
		s->incompatible |= INCOMPAT_CORRUPT;
		header_update(s);
	}
	s->incompatible |= INCOMPAT_CORRUPT;
	s->im->readonly = true;
	return -EIO;
}
