/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h: the blocking half of the engine, for workers of queues (queue.c) and the synchronous
 * calls of image.h. All return 0 or a negative errno; offsets and sizes need no alignment unless
 * said.
 */
#ifndef IMAGE_ENGINE_H
#define IMAGE_ENGINE_H

#include "image/format.h"

/* An extent and the layer of the chain that has it. */
struct place {
	struct image *im; /* borrowed; the last layer if the bytes are nowhere */
	int depth;
	bool absent;     /* no layer has them */
	struct extent x; /* never BACKING */
};

/* Down the chain, at most `depth` layers below im; flags: IMAGE_NOWAIT. */
int engine_find(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, int depth, struct place *out);
enum { ENGINE_ALL_LAYERS = 1 << 20 };

int engine_read(struct image *im, uint64_t off, void *buf, size_t n);
/* From the extent x of im, which stands for off and covers n bytes. */
int engine_read_extent(struct image *im, const struct extent *x, uint64_t off, void *buf, size_t n);
int engine_write(struct image *im, uint64_t off, const void *buf, size_t n);
/* The same, of one range whose clusters the caller has locked with range_try(). */
int engine_write_locked(struct image *im, uint64_t off, const void *buf, size_t n);
/* Fills new room x, which stands for the guest's bytes from `start` on, with [off, off + n) from
 * buf and what belongs around them; then commits it, or abandons it on failure. */
int engine_write_new(struct image *im, const struct extent *x, uint64_t start, uint64_t off,
	const void *buf, size_t n);
/* Commits, or abandons if that fails or `err` is a failure already. */
int engine_commit(struct image *im, uint64_t start, const struct extent *x, int err);
/* Whether [off, end) reads as zeroes, as far as that can be told without waiting. */
bool engine_is_zero(struct image *im, uint64_t off, uint64_t end);
int engine_zero(struct image *im, uint64_t off, uint64_t n, bool unmap);
int engine_discard(struct image *im, uint64_t off, uint64_t n);
int engine_flush(struct image *im);
/* The layer holds nothing any more: all is as below. */
int engine_empty(struct image *im);
/* Encrypts into a copy if im has a cipher (else *ret_copy is NULL): what to write at `at`. */
int engine_seal(
	struct image *im, uint64_t off, uint64_t at, const void *buf, size_t n, void **ret_copy);

/* Requests are held back and nothing is in flight until image_resume(). Nests. Not on a thread that
 * runs a queue's callbacks. */
void image_pause(struct image *im);
void image_resume(struct image *im);

/* These bytes were changed: for im->trackers. */
void engine_track(struct image *im, uint64_t off, uint64_t n);

/* Calls of the format that may read tables: fast calls then give up instead of waiting. */
void engine_lock(struct image *im);
void engine_unlock(struct image *im);
/* For calls with IMAGE_NOWAIT; false: somebody may be reading a table. */
bool engine_try_lock(struct image *im);

/* Requests that use mapped extents say so, for image_grace_over(). */
unsigned epoch_enter(struct image *im);
void epoch_leave(struct image *im, unsigned e);

/* range.c: clusters whose place is being changed. */
struct image_range {
	uint64_t start, end;
	struct image_range *next; /* among image.ranges */
	/* Called, without locks, when the range another one waited for is free; it tries again. */
	void (*wake)(struct image_range *r);
	struct image_range *waiters; /* linked through next_waiter */
	struct image_range *next_waiter;
};

/* [off, off + n) widened to whole clusters. */
void range_init(struct image_range *r, struct image *im, uint64_t off, uint64_t n);
/* False: another range overlaps; r->wake will be called. */
bool range_try(struct image *im, struct image_range *r);
void range_take(struct image *im, struct image_range *r); /* waits */
void range_release(struct image *im, struct image_range *r);

/* packed.c: unpacked clusters, so that reading one in pieces unpacks it once. */
int packed_read(struct image *im, const struct extent *x, uint64_t off, void *buf, size_t n);
/* Stores a cluster that pack() has made n bytes of. 0 or -errno. */
int engine_put_packed(struct image *im, uint64_t off, const void *packed, size_t n);
/* Bytes pack() may make of one. */
size_t engine_pack_cap(const struct image *im);
/* The cluster was written or dropped. */
void packed_forget(struct image *im, uint64_t off, uint64_t n);
void packed_free(struct packed_cache *c); /* NULL allowed */

#endif
