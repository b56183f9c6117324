/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cache.c: pages of L2 tables and refcount blocks in memory, the least recently used leaving first.
 */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	READ_AHEAD = 64 << 10,
	PAGES_MIN = 64,
	SPARE = 16, /* pages a cache_room() makes at once */
};

void cache_init(struct page_cache *c, uint32_t page, uint64_t bytes)
{
	c->page = page;
	c->max = MAX(bytes / page, PAGES_MIN);
	for (c->hash_size = 64; c->hash_size < c->max && c->hash_size < 1 << 20;)
		c->hash_size *= 2;
	c->hash = g_new0(struct page *, c->hash_size);
}

static struct page **bucket(struct page_cache *c, uint64_t at)
{
	return &c->hash[(at / c->page) * 0x9e3779b97f4a7c15ull >> 32 & (c->hash_size - 1)];
}

static struct page *lookup(struct page_cache *c, uint64_t at)
{
	struct page *p = *bucket(c, at);

	while (p && p->at != at)
		p = p->hash_next;
	return p;
}

static void unlink_page(struct page_cache *c, struct page *p)
{
	*(p->newer ? &p->newer->older : &c->newest) = p->older;
	*(p->older ? &p->older->newer : &c->oldest) = p->newer;
}

static void link_newest(struct page_cache *c, struct page *p)
{
	p->newer = NULL;
	p->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = p;
	c->newest = p;
}

static void remove_page(struct page_cache *c, struct page *p)
{
	struct page **b = bucket(c, p->at);

	while (*b != p)
		b = &(*b)->hash_next;
	*b = p->hash_next;
	unlink_page(c, p);
	if (p->phase)
		c->dirty--;
	c->count--;
	g_free(p);
}

void cache_fini(struct page_cache *c)
{
	while (c->newest)
		remove_page(c, c->newest);
	g_clear_pointer(&c->hash, g_free);
}

static struct page *insert(struct page_cache *c, uint64_t at)
{
	struct page *p = g_try_malloc0(sizeof(*p) + c->page);
	struct page **b = bucket(c, at);

	if (!p)
		return NULL;
	p->at = at;
	p->data = (uint8_t *)(p + 1);
	p->hash_next = *b;
	*b = p;
	link_newest(c, p);
	c->count++;
	return p;
}

/* Reads the page and those behind it in the same table that are not here yet. */
static int read_pages(struct qcow2 *s, uint64_t at, struct page **out)
{
	struct page_cache *c = &s->cache;
	uint64_t end = MIN(at - at % s->cluster_size + s->cluster_size, at + READ_AHEAD), pos = at;
	g_autofree uint8_t *buf = NULL;
	int r;

	while (pos < end && !lookup(c, pos))
		pos += c->page;
	buf = g_try_malloc(pos - at);
	if (!buf)
		return -ENOMEM;
	r = file_read_full(s->file, at, buf, pos - at);
	if (r < 0)
		return r;
	while (pos > at) { /* the wanted one last, as the newest */
		struct page *p;

		pos -= c->page;
		p = insert(c, pos);
		if (!p)
			return -ENOMEM;
		memcpy(p->data, buf + (pos - at), c->page);
		*out = p;
	}
	return 0;
}

int cache_get(struct qcow2 *s, uint64_t at, unsigned flags, struct page **out)
{
	struct page_cache *c = &s->cache;
	struct page *p = lookup(c, at);

	if (!p)
		return flags & IMAGE_NOWAIT ? -EAGAIN : read_pages(s, at, out);
	if (p != c->newest) {
		unlink_page(c, p);
		link_newest(c, p);
	}
	*out = p;
	return 0;
}

int cache_new(struct qcow2 *s, uint64_t at, struct page **out)
{
	struct page *p = lookup(&s->cache, at);

	if (!p)
		p = insert(&s->cache, at);
	if (!p)
		return -ENOMEM;
	memset(p->data, 0, s->cache.page);
	*out = p;
	return 0;
}

void cache_dirty(struct qcow2 *s, struct page *p, enum page_phase phase)
{
	if (!p->phase)
		s->cache.dirty++;
	/* What refers to things stays last. */
	p->phase = MAX(p->phase, phase);
	atomic_store(&s->im->dirty, true);
}

int cache_room(struct qcow2 *s, unsigned flags)
{
	struct page_cache *c = &s->cache;
	struct page *p;
	int r;

	if (c->count <= c->max)
		return 0;
	if (c->dirty > c->max / 2) {
		if (flags & IMAGE_NOWAIT)
			return -EAGAIN;
		r = tables_flush(s);
		if (r < 0)
			return r;
	}
	for (p = c->oldest; p && c->count + SPARE > c->max;) {
		struct page *newer = p->newer;

		if (!p->phase)
			remove_page(c, p);
		p = newer;
	}
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct page *x = *(struct page *const *)a, *y = *(struct page *const *)b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Pages that follow each other are written together. */
static int write_run(struct qcow2 *s, struct page **list, unsigned n, uint8_t *buf)
{
	uint32_t page = s->cache.page;
	int r;

	for (unsigned i = 0; i < n; i++)
		memcpy(buf + i * page, list[i]->data, page);
	r = file_write(s->file, list[0]->at, buf, (size_t)n * page);
	for (unsigned i = 0; i < n && !r; i++) {
		list[i]->phase = PAGE_CLEAN;
		s->cache.dirty--;
	}
	return r;
}

int cache_write(struct qcow2 *s, enum page_phase phase)
{
	struct page_cache *c = &s->cache;
	unsigned n = 0, max_run = READ_AHEAD / c->page;
	g_autofree struct page **list = NULL;
	g_autofree uint8_t *buf = NULL;
	int r = 0;

	if (!c->dirty)
		return 0;
	list = g_new(struct page *, c->dirty);
	buf = g_malloc(READ_AHEAD);
	for (struct page *p = c->newest; p; p = p->older) {
		if (p->phase == phase)
			list[n++] = p;
	}
	qsort(list, n, sizeof(*list), by_offset);
	for (unsigned i = 0, run; i < n && !r; i += run) {
		for (run = 1; i + run < n && run < max_run &&
			      list[i + run]->at == list[i]->at + (uint64_t)run * c->page;
			run++)
			;
		r = write_run(s, list + i, run, buf);
	}
	return r;
}

void cache_drop(struct qcow2 *s, uint64_t at, uint64_t n)
{
	for (uint64_t pos = at; pos < at + n; pos += s->cache.page) {
		struct page *p = lookup(&s->cache, pos);

		if (p)
			remove_page(&s->cache, p);
	}
}

void cache_drop_all(struct qcow2 *s)
{
	while (s->cache.newest)
		remove_page(&s->cache, s->cache.newest);
}
