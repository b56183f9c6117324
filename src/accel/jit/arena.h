/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arena.h: where host code lives: shared memory mapped twice, writable at `rw` and executable at
 * `rx`, so that no page is ever both. It is divided into regions of one size, filled in turn; when
 * all are full the oldest is emptied and filled anew. Thunks lie at the start of the first and
 * stay.
 */
#ifndef ACCEL_JIT_ARENA_H
#define ACCEL_JIT_ARENA_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	uint8_t *rw;
	const uint8_t *rx;
	size_t size, region; /* bytes: of all, of one region */
	size_t used, limit;  /* where the next code goes; end of the region being filled */
	size_t fixed;        /* end of the thunks */
};

int arena_init(struct arena *a, size_t size, GError **error);
void arena_fini(struct arena *a);
/* Forgets all but the fixed part and gives its memory back to the host. */
void arena_clear(struct arena *a);
/* From now on fills region i, which holds nothing but, in the first, the fixed part. */
void arena_fill(struct arena *a, unsigned i);
static inline unsigned arena_regions(const struct arena *a)
{
	return (unsigned)(a->size / a->region);
}
static inline unsigned arena_current(const struct arena *a)
{
	return (unsigned)(a->limit / a->region) - 1;
}

static inline const void *arena_rx(const struct arena *a, const uint8_t *rw)
{
	return a->rx + (rw - a->rw);
}
static inline uint8_t *arena_rw(const struct arena *a, const void *rx)
{
	return a->rw + ((const uint8_t *)rx - a->rx);
}

#endif
