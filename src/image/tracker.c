/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tracker.c: bit maps of written granules, set by any thread without a lock. */
#include "image/tracker.h"

#include "image/engine.h"

enum { BYTES_MAX = 256 << 20 };

struct tracker *tracker_new(uint64_t size, unsigned shift)
{
	struct tracker *t;
	uint64_t bits = (size >> shift) + !!(size & ((1ull << shift) - 1));

	if (bits / 8 > BYTES_MAX)
		return NULL;
	t = g_new0(struct tracker, 1);
	t->words = g_try_new0(_Atomic uint64_t, bits / 64 + 1);
	if (!t->words) {
		g_free(t);
		return NULL;
	}
	t->size = size;
	t->bits = bits;
	t->shift = shift;
	return t;
}

void tracker_free(struct tracker *t)
{
	if (t)
		g_free((void *)t->words);
	g_free(t);
}

/* Bits [from, to) of one word. */
static uint64_t mask_of(unsigned from, unsigned to)
{
	return (to == 64 ? ~0ull : (1ull << to) - 1) & ~((1ull << from) - 1);
}

static void change(struct tracker *t, uint64_t off, uint64_t n, bool set)
{
	uint64_t i, end;

	if (!n || off >= t->size)
		return;
	end = ((off + MIN(n, t->size - off) - 1) >> t->shift) + 1;
	for (i = off >> t->shift; i < end;) {
		unsigned from = i % 64, to = MIN(64, from + (end - i));
		uint64_t mask = mask_of(from, to);

		if (!set)
			atomic_fetch_and(&t->words[i / 64], ~mask);
		else if ((atomic_load(&t->words[i / 64]) & mask) != mask)
			atomic_fetch_or(&t->words[i / 64], mask);
		i += to - from;
	}
}

void tracker_mark(struct tracker *t, uint64_t off, uint64_t n)
{
	change(t, off, n, true);
}

void tracker_unmark(struct tracker *t, uint64_t off, uint64_t n)
{
	change(t, off, n, false);
}

/* The first bit at or after i that is `dirty`; t->bits if there is none. */
static uint64_t find_bit(const struct tracker *t, uint64_t i, bool dirty)
{
	while (i < t->bits) {
		uint64_t w = atomic_load(&t->words[i / 64]);

		w = (dirty ? w : ~w) & ~((1ull << i % 64) - 1);
		if (w)
			return MIN(i - i % 64 + __builtin_ctzll(w), t->bits);
		i += 64 - i % 64;
	}
	return t->bits;
}

bool tracker_next(
	const struct tracker *t, uint64_t off, bool dirty, uint64_t *ret_at, uint64_t *ret_len)
{
	uint64_t from = find_bit(t, off >> t->shift, dirty), to;

	if (off >= t->size || from >= t->bits)
		return false;
	to = find_bit(t, from, !dirty);
	*ret_at = MAX(from << t->shift, off);
	*ret_len = MIN(to << t->shift, t->size) - *ret_at;
	return true;
}

uint64_t tracker_count(const struct tracker *t)
{
	uint64_t at, n, sum = 0;

	for (uint64_t off = 0; tracker_next(t, off, true, &at, &n); off = at + n)
		sum += n;
	return sum;
}

void tracker_attach(struct image *im, struct tracker *t)
{
	g_rw_lock_writer_lock(&im->trackers_lock);
	t->next = im->trackers;
	g_atomic_pointer_set(&im->trackers, t);
	g_rw_lock_writer_unlock(&im->trackers_lock);
}

void tracker_detach(struct image *im, struct tracker *t)
{
	struct tracker **p;

	g_rw_lock_writer_lock(&im->trackers_lock);
	for (p = &im->trackers; *p && *p != t; p = &(*p)->next)
		;
	if (*p)
		*p = t->next;
	g_rw_lock_writer_unlock(&im->trackers_lock);
}

void engine_track(struct image *im, uint64_t off, uint64_t n)
{
	if (!g_atomic_pointer_get(&im->trackers))
		return;
	g_rw_lock_reader_lock(&im->trackers_lock);
	for (struct tracker *t = im->trackers; t; t = t->next) {
		if (atomic_load(&t->enabled))
			tracker_mark(t, off, n);
	}
	g_rw_lock_reader_unlock(&im->trackers_lock);
}
