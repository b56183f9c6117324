/* SPDX-License-Identifier: GPL-2.0-or-later */
/* simple.c: room at the end of files, and counting blocks, for formats with one table. */
#include "image/simple.h"

#include <errno.h>
#include <string.h>

int file_end_init(struct file_end *e, struct file *f, uint64_t unit)
{
	int64_t n = file_length(f);

	if (n < 0)
		return n;
	e->file = f;
	e->end = ((uint64_t)n + unit - 1) / unit * unit;
	return 0;
}

int file_end_grow(struct file_end *e, uint64_t n, uint64_t *ret_at)
{
	int r;

	if (n > INT64_MAX - e->end)
		return -EFBIG;
	r = file_truncate(e->file, e->end + n);
	if (r < 0)
		return r;
	*ret_at = e->end;
	e->end += n;
	return 0;
}

int simple_flush(struct image *im, struct block_table *t)
{
	int r;

	im->dirty = false;
	r = file_sync(im->file);
	if (!r && t->dirty) {
		r = block_table_write(t);
		if (!r)
			r = file_sync(im->file);
	}
	if (r < 0)
		im->dirty = true;
	return r;
}

void census_start(struct block_census *c, struct image_report *report, uint64_t first, uint64_t end,
	uint64_t unit)
{
	*c = (struct block_census){ .report = report, .first = first, .end = end, .unit = unit };
	c->seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

bool census_add(struct block_census *c, uint64_t block, uint64_t at)
{
	struct image_report *r = c->report;
	g_autofree char *line = NULL;
	uint64_t *key;

	r->allocated++;
	if (at < c->first || at >= c->end)
		line = g_strdup_printf("block %" G_GUINT64_FORMAT
				       " is said to be at %" G_GUINT64_FORMAT
				       ", where no data can be",
			block, at);
	else if (g_hash_table_contains(c->seen, &at))
		line = g_strdup_printf("block %" G_GUINT64_FORMAT
				       " shares its place, %" G_GUINT64_FORMAT ", with another one",
			block, at);
	if (line) {
		r->corruptions++;
		if (r->say)
			r->say(r, true, line);
		return false;
	}
	key = g_new(uint64_t, 1);
	*key = at;
	g_hash_table_add(c->seen, key);
	r->end = MAX(r->end, at + c->unit);
	return true;
}

void census_end(struct block_census *c)
{
	g_hash_table_unref(c->seen);
}

void random_uuid(uint8_t out[16])
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t v = g_random_int();

		memcpy(out + 4 * i, &v, 4);
	}
	out[6] = (out[6] & 0x0f) | 0x40;
	out[8] = (out[8] & 0x3f) | 0x80;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	/* The polynomial 0x82f63b78, reflected, four bits at a time. */
	static const uint32_t table[16] = {
		0x00000000,
		0x105ec76f,
		0x20bd8ede,
		0x30e349b1,
		0x417b1dbc,
		0x5125dad3,
		0x61c69362,
		0x7198540d,
		0x82f63b78,
		0x92a8fc17,
		0xa24bb5a6,
		0xb21572c9,
		0xc38d26c4,
		0xd3d3e1ab,
		0xe330a81a,
		0xf36e6f75,
	};
	const uint8_t *b = p;

	crc = ~crc;
	while (n--) {
		crc ^= *b++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
