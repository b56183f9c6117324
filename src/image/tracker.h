/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tracker.h: one bit for each granule of a disk: what was written since. Any thread. */
#ifndef IMAGE_TRACKER_H
#define IMAGE_TRACKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct image;

struct tracker {
	uint64_t size;           /* bytes of the disk */
	uint64_t bits;           /* granules */
	unsigned shift;          /* log2 of a granule's bytes */
	_Atomic bool enabled;    /* tracker_mark() from the engine counts */
	_Atomic uint64_t *words; /* owned */
	struct tracker *next;    /* among image.trackers */
};

/* All clear. NULL: too many bits. */
struct tracker *tracker_new(uint64_t size, unsigned shift);
void tracker_free(struct tracker *t); /* NULL allowed */
void tracker_mark(struct tracker *t, uint64_t off, uint64_t n);
void tracker_unmark(struct tracker *t, uint64_t off, uint64_t n); /* granules touched */
/* The first run at or after off whose bits are `dirty`, in bytes. False: none. */
bool tracker_next(
	const struct tracker *t, uint64_t off, bool dirty, uint64_t *ret_at, uint64_t *ret_len);
uint64_t tracker_count(const struct tracker *t); /* dirty bytes */

/* The engine marks what was written, once it is. Not owned by the image. */
void tracker_attach(struct image *im, struct tracker *t);
void tracker_detach(struct image *im, struct tracker *t);

#endif
