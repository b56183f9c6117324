/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arena.h: where host code lives: shared memory mapped twice, writable at `rw` and executable at `rx`, so that
 * no page is ever both. Filled from the start; emptied whole.
 */
#ifndef ACCEL_JIT_ARENA_H
#define ACCEL_JIT_ARENA_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	uint8_t *rw;
	const uint8_t *rx;
	size_t size, used;	/* bytes */
	size_t fixed;		/* of used: thunks, which survive arena_clear */
};

int arena_init(struct arena *a, size_t size, GError **error);
void arena_fini(struct arena *a);
/* Forgets all but the fixed part and gives its memory back to the host. */
void arena_clear(struct arena *a);

static inline const void *arena_rx(const struct arena *a, const uint8_t *rw)
{
	return a->rx + (rw - a->rw);
}
static inline uint8_t *arena_rw(const struct arena *a, const void *rx)
{
	return a->rw + ((const uint8_t *)rx - a->rx);
}

#endif
