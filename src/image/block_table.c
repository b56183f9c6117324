/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block_table.c: tables of blocks, a page at a time. */
#include "image/block_table.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "image/format.h"

struct block_page {
	uint64_t at; /* in the file */
	bool dirty;
	uint8_t bytes[];
};

void block_table_init(struct block_table *t)
{
	if (!t->page)
		t->page = BLOCK_TABLE_PAGE;
	t->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
}

void block_table_fini(struct block_table *t)
{
	g_clear_pointer(&t->pages, g_hash_table_unref);
}

/* The next look-ups read them again. */
static gboolean is_clean(gpointer key, gpointer value, gpointer opaque)
{
	return !((struct block_page *)value)->dirty;
}

static int load(struct block_table *t, uint64_t number, unsigned flags, struct block_page **ret)
{
	uint64_t at = t->at + number * t->page, *key;
	struct block_page *p;
	int r = t->place ? t->place(t, number, flags, &at) : 0;

	if (r < 0 || !at)
		return r;
	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	if (t->bytes > BLOCK_TABLE_CLEAN_MAX) {
		g_hash_table_foreach_remove(t->pages, is_clean, NULL);
		t->bytes = (uint64_t)t->dirty * t->page;
	}
	p = g_try_malloc(sizeof(*p) + t->page);
	if (!p)
		return -ENOMEM;
	*p = (struct block_page){ .at = at };
	r = file_read_full(t->file, at, p->bytes, t->page);
	if (r < 0) {
		g_free(p);
		return r;
	}
	key = g_new(uint64_t, 1);
	*key = number;
	g_hash_table_insert(t->pages, key, p);
	t->bytes += t->page;
	*ret = p;
	return 0;
}

/* The page entry i is in; *ret NULL: it is nowhere. */
static int find(struct block_table *t, uint64_t i, unsigned flags, struct block_page **ret)
{
	uint64_t number = i / (t->page / t->width);

	if (i >= t->count)
		return -EIO;
	*ret = g_hash_table_lookup(t->pages, &number);
	return *ret ? 0 : load(t, number, flags, ret);
}

static uint8_t *entry(const struct block_table *t, struct block_page *p, uint64_t i)
{
	return p->bytes + i % (t->page / t->width) * t->width;
}

int block_table_get(struct block_table *t, uint64_t i, unsigned flags, uint64_t *ret)
{
	struct block_page *p;
	const uint8_t *e;
	int r = find(t, i, flags, &p);

	if (r < 0)
		return r;
	*ret = 0;
	if (!p)
		return 0;
	e = entry(t, p, i);
	if (t->width == 4)
		*ret = t->big ? load_be32(e) : load_le32(e);
	else
		*ret = t->big ? load_be64(e) : load_le64(e);
	return 0;
}

int block_table_set(struct block_table *t, uint64_t i, uint64_t value, unsigned flags)
{
	struct block_page *p;
	uint8_t *e;
	int r = find(t, i, flags, &p);

	if (r < 0 || !p)
		return r < 0 ? r : -EIO;
	e = entry(t, p, i);
	if (t->width == 4 && t->big)
		store_be32(e, value);
	else if (t->width == 4)
		store_le32(e, value);
	else if (t->big)
		store_be64(e, value);
	else
		store_le64(e, value);
	t->dirty += !p->dirty;
	p->dirty = true;
	return 0;
}

int block_table_write(struct block_table *t)
{
	GHashTableIter i;
	gpointer value;

	if (!t->dirty)
		return 0;
	g_hash_table_iter_init(&i, t->pages);
	while (g_hash_table_iter_next(&i, NULL, &value)) {
		struct block_page *p = value;
		int r;

		if (!p->dirty)
			continue;
		r = file_write(t->file, p->at, p->bytes, t->page);
		if (r < 0)
			return r;
		p->dirty = false;
		t->dirty--;
	}
	return 0;
}
