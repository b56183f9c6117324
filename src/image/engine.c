/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.c: guest bytes to places and back, in blocking calls: down the backing chain, through
 * packing and encryption, and writes that need room first. queue.c does the frequent cases without
 * waiting.
 */
#include "image/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/cipher.h"

enum {
	CHUNK = 1 << 20,      /* bytes copied at a time */
	JOIN_MAX = 256 << 10, /* a cluster up to this size is written in one go */
};

/* ---- locks and epochs ---- */

void engine_lock(struct image *im)
{
	atomic_fetch_add(&im->slow, 1);
	g_mutex_lock(&im->meta_lock);
}

void engine_unlock(struct image *im)
{
	atomic_fetch_sub(&im->slow, 1);
	g_mutex_unlock(&im->meta_lock);
}

bool engine_try_lock(struct image *im)
{
	if (atomic_load(&im->slow))
		return g_mutex_trylock(&im->meta_lock);
	g_mutex_lock(&im->meta_lock);
	return true;
}

unsigned epoch_enter(struct image *im)
{
	for (;;) {
		uint64_t e = atomic_load(&im->epoch);

		atomic_fetch_add(&im->in_epoch[e & 1], 1);
		if (atomic_load(&im->epoch) == e)
			return e & 1;
		atomic_fetch_sub(&im->in_epoch[e & 1], 1);
	}
}

void epoch_leave(struct image *im, unsigned e)
{
	atomic_fetch_sub(&im->in_epoch[e], 1);
}

uint64_t image_grace_start(struct image *im)
{
	return atomic_load(&im->epoch) + 2;
}

/* The epoch moves on when nobody is left in the one before; two steps after the token was taken,
 * whoever was inside then has left. */
bool image_grace_over(struct image *im, uint64_t token)
{
	for (;;) {
		uint64_t e = atomic_load(&im->epoch);

		if (e >= token)
			return true;
		if (atomic_load(&im->in_epoch[(e + 1) & 1]))
			return false;
		atomic_store(&im->epoch, e + 1); /* the metadata lock keeps others out */
	}
}

/* ---- where bytes are ---- */

static int find_here(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *x)
{
	int r;

	if (flags & IMAGE_NOWAIT) {
		if (!engine_try_lock(im))
			return -EAGAIN;
		r = im->format->map(im, off, len, flags, x);
		g_mutex_unlock(&im->meta_lock);
		return r;
	}
	engine_lock(im);
	r = im->format->map(im, off, len, flags, x);
	engine_unlock(im);
	return r;
}

int engine_find(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, int depth, struct place *out)
{
	out->im = im;
	out->depth = 0;
	out->absent = false;
	for (;;) {
		int r = find_here(out->im, off, len, flags, &out->x);

		if (r < 0)
			return r;
		len = MIN(len, out->x.len);
		out->x.len = len;
		if (out->x.kind != EXTENT_BACKING)
			return 0;
		if (out->im->backing_path && !out->im->backing && out->depth != depth)
			return -ENOENT; /* opened without what is below */
		if (!out->im->backing || out->depth == depth || off >= out->im->backing->size) {
			out->x = (struct extent){ .kind = EXTENT_ZERO, .len = len };
			out->absent = true;
			return 0;
		}
		out->im = out->im->backing;
		out->depth++;
		len = MIN(len, out->im->size - off);
	}
}

/* ---- reading ---- */

/* Whole sectors of the cipher around [off, off + n). */
static int read_sealed(struct image *im, const struct extent *x, uint64_t off, void *buf, size_t n)
{
	struct image_cipher *c = im->cipher;
	size_t head = off % c->sector, whole = (head + n + c->sector - 1) / c->sector * c->sector;
	g_autofree uint8_t *copy = NULL;
	uint8_t *to = buf;
	int r;

	if (head || whole != n) {
		to = copy = g_try_malloc(whole);
		if (!copy)
			return -ENOMEM;
	}
	r = file_read_full(x->file, x->at - head, to, whole);
	if (r < 0)
		return r;
	c->decrypt(c, c->by_guest ? off - head : x->at - head, to, whole);
	if (copy)
		memcpy(buf, copy + head, n);
	return 0;
}

int engine_read_extent(struct image *im, const struct extent *x, uint64_t off, void *buf, size_t n)
{
	switch (x->kind) {
	case EXTENT_DATA:
		return im->cipher ? read_sealed(im, x, off, buf, n)
				  : file_read_full(x->file, x->at, buf, n);
	case EXTENT_PACKED: {
		size_t part = MIN(n, im->cluster - off % im->cluster);

		if (part < n)
			return -EIO; /* formats map packed clusters one by one */
		return packed_read(im, x, off, buf, n);
	}
	default: memset(buf, 0, n); return 0;
	}
}

int engine_read(struct image *im, uint64_t off, void *buf, size_t n)
{
	while (n) {
		struct place p;
		int r = engine_find(im, off, n, 0, ENGINE_ALL_LAYERS, &p);

		if (!r)
			r = engine_read_extent(p.im, &p.x, off, buf, p.x.len);
		if (r < 0)
			return r;
		off += p.x.len;
		buf = (char *)buf + p.x.len;
		n -= p.x.len;
	}
	return 0;
}

/* ---- writing ---- */

int engine_seal(
	struct image *im, uint64_t off, uint64_t at, const void *buf, size_t n, void **ret_copy)
{
	struct image_cipher *c = im->cipher;

	*ret_copy = NULL;
	if (!c)
		return 0;
	if (posix_memalign(ret_copy, 4096, n))
		return -ENOMEM;
	memcpy(*ret_copy, buf, n);
	c->encrypt(c, c->by_guest ? off : at, *ret_copy, n);
	return 0;
}

/* Into room the guest bytes from off on have at x->at. With a cipher the sectors at both ends, if
 * they are touched in part, are read first: from that room, or, if it is new, from the guest's
 * view. */
static int write_room(
	struct image *im, const struct extent *x, uint64_t off, const void *buf, size_t n)
{
	struct image_cipher *c = im->cipher;
	g_autofree void *sealed = NULL;
	size_t head, whole;
	int r;

	if (!c)
		return file_write(x->file, x->at, buf, n);
	head = off % c->sector;
	whole = (head + n + c->sector - 1) / c->sector * c->sector;
	if (head || whole != n) {
		g_autofree uint8_t *copy = g_try_malloc(whole);

		if (!copy)
			return -ENOMEM;
		r = engine_read(im, off - head, copy, whole);
		if (r < 0)
			return r;
		memcpy(copy + head, buf, n);
		r = engine_seal(im, off - head, x->at - head, copy, whole, &sealed);
	} else {
		r = engine_seal(im, off, x->at, buf, n, &sealed);
	}
	return r < 0 ? r : file_write(x->file, x->at - head, sealed, whole);
}

/* The part of extent x from byte `skip` on. */
static struct extent extent_from(const struct extent *x, uint64_t skip)
{
	struct extent y = *x;

	y.at += skip;
	y.len -= skip;
	return y;
}

/* Up to where the format may be asked. */
static uint64_t map_end(const struct image *im)
{
	return im->format->vmstate_base ? UINT64_MAX : im->size;
}

/* Puts what the guest sees in [off, end) now into its new room. */
static int fill_room(struct image *im, const struct extent *room, uint64_t off, uint64_t end)
{
	uint64_t known = map_end(im);
	struct extent x = *room;
	int r = 0;

	while (off < end && !r) {
		struct place p;
		uint64_t part;

		if (off >= known) /* the last cluster goes on behind the disk */
			p.x = (struct extent){ .kind = EXTENT_ZERO, .len = end - off };
		else
			r = engine_find(im, off, MIN(end, known) - off, 0, ENGINE_ALL_LAYERS, &p);
		if (r < 0)
			return r;
		part = p.x.len;
		if (p.x.kind == EXTENT_ZERO && !im->cipher) {
			if (!x.fresh)
				r = file_zero(x.file, x.at, part, false);
		} else {
			g_autofree void *copy = g_try_malloc(MIN(part, CHUNK));

			part = MIN(part, CHUNK);
			p.x.len = part;
			if (!copy)
				return -ENOMEM;
			r = engine_read_extent(p.im, &p.x, off, copy, part);
			if (!r)
				r = write_room(im, &x, off, copy, part);
		}
		x = extent_from(&x, part);
		off += part;
	}
	return r;
}

/* The request's bytes with what belongs around them, in one write. */
static int write_joined(struct image *im, const struct extent *x, uint64_t start, uint64_t off,
	const void *buf, size_t n)
{
	g_autofree void *sealed = NULL;
	uint8_t *all;
	uint64_t inside;
	int r;

	if (posix_memalign((void **)&all, 4096, x->len))
		return -ENOMEM;
	inside = MIN(x->len, map_end(im) - start);
	r = engine_read(im, start, all, MIN(off - start, inside));
	if (!r && off + n < start + inside)
		r = engine_read(im, off + n, all + (off + n - start), start + inside - off - n);
	if (!r) {
		uint64_t known = MAX(inside, off + n - start);

		memset(all + known, 0, x->len - known);
		memcpy(all + (off - start), buf, n);
		r = engine_seal(im, start, x->at, all, x->len, &sealed);
	}
	if (!r)
		r = file_write(x->file, x->at, sealed ? sealed : all, x->len);
	free(all);
	return r;
}

/* Writes [off, off + n) into its new room x, which begins with the guest's byte `start`. */
static int write_new(struct image *im, const struct extent *x, uint64_t start, uint64_t off,
	const void *buf, size_t n)
{
	struct extent mid = extent_from(x, off - start);
	uint64_t end = start + x->len;
	int r;

	if (off == start && off + n == end)
		return write_room(im, x, off, buf, n);
	if (x->len <= JOIN_MAX && !x->fresh)
		return write_joined(im, x, start, off, buf, n);
	r = fill_room(im, x, start, off);
	if (!r) {
		struct extent tail = extent_from(x, off + n - start);

		r = fill_room(im, &tail, off + n, end);
	}
	return r < 0 ? r : write_room(im, &mid, off, buf, n);
}

int engine_commit(struct image *im, uint64_t start, const struct extent *x, int err)
{
	engine_lock(im);
	if (!err)
		err = im->format->commit(im, start, x, 0);
	if (err < 0)
		im->format->abandon(im, start, x);
	engine_unlock(im);
	packed_forget(im, start, x->len);
	return err;
}

int engine_write_new(struct image *im, const struct extent *x, uint64_t start, uint64_t off,
	const void *buf, size_t n)
{
	return engine_commit(im, start, x, write_new(im, x, start, off, buf, n));
}

bool engine_is_zero(struct image *im, uint64_t off, uint64_t end)
{
	struct place p;

	for (end = MIN(end, map_end(im)); off < end; off += p.x.len) {
		if (engine_find(im, off, end - off, IMAGE_NOWAIT, ENGINE_ALL_LAYERS, &p) < 0 ||
			p.x.kind != EXTENT_ZERO)
			return false;
	}
	return true;
}

/* One step of a write whose clusters are locked; bytes done, or a negative errno. */
static ssize_t write_step(struct image *im, uint64_t off, const void *buf, size_t n)
{
	const struct image_format *f = im->format;
	uint64_t start;
	struct extent x;
	size_t part;
	int r;

	engine_lock(im);
	r = f->map(im, off, n, 0, &x);
	if (r < 0 || (x.kind == EXTENT_DATA && !x.shared)) {
		engine_unlock(im);
		n = MIN(n, x.len);
		r = r < 0 ? r : write_room(im, &x, off, buf, n);
		return r < 0 ? r : (ssize_t)n;
	}
	/* Only what is of one kind, so that writes in place and new room do not mix. */
	r = f->alloc ? f->alloc(im, off, MIN(n, x.len), 0, &start, &x) : -EROFS;
	engine_unlock(im);
	if (r < 0)
		return r;
	part = MIN(n, start + x.len - off);
	r = engine_write_new(im, &x, start, off, buf, part);
	return r < 0 ? r : (ssize_t)part;
}

int engine_write_locked(struct image *im, uint64_t off, const void *buf, size_t n)
{
	while (n) {
		ssize_t r = write_step(im, off, buf, n);

		if (r < 0)
			return r;
		off += r;
		buf = (const char *)buf + r;
		n -= r;
	}
	return 0;
}

int engine_write(struct image *im, uint64_t off, const void *buf, size_t n)
{
	int r = 0;

	while (n && !r) {
		struct extent x;
		uint64_t part;

		r = find_here(im, off, n, 0, &x);
		if (r < 0)
			break;
		part = MIN(n, x.len);
		/* Sealed sectors in part are read, changed and written: nobody else may do so. */
		if (x.kind == EXTENT_DATA && !x.shared && !im->cipher) {
			r = write_room(im, &x, off, buf, part);
		} else {
			struct image_range range;

			range_init(&range, im, off, part);
			range_take(im, &range);
			r = engine_write_locked(im, off, buf, part);
			range_release(im, &range);
		}
		off += part;
		buf = (const char *)buf + part;
		n -= part;
	}
	return r;
}

/* ---- zeroes and discards ---- */

static int write_zeroes(struct image *im, uint64_t off, uint64_t n)
{
	g_autofree void *zeroes = g_malloc0(MIN(n, CHUNK));
	int r = 0;

	while (n && !r) {
		uint64_t part = MIN(n, CHUNK);

		r = engine_write(im, off, zeroes, part);
		off += part;
		n -= part;
	}
	return r;
}

/* Makes [off, off + n) read as zeroes by what the format has but dropping. */
static int zero_bytes(struct image *im, uint64_t off, uint64_t n, bool unmap)
{
	int r = 0;

	while (n && !r) {
		struct place p;
		struct extent x;
		uint64_t part;

		r = engine_find(im, off, n, 0, ENGINE_ALL_LAYERS, &p);
		if (r < 0)
			break;
		part = p.x.len;
		if (p.x.kind != EXTENT_ZERO) {
			r = find_here(im, off, part, 0, &x);
			if (r < 0)
				break;
			part = MIN(part, x.len);
			if (x.kind == EXTENT_DATA && !x.shared && !im->cipher)
				r = file_zero(x.file, x.at, part, unmap);
			else
				r = write_zeroes(im, off, part);
		}
		off += part;
		n -= part;
	}
	return r;
}

/* Whole units. */
static int drop_units(struct image *im, uint64_t off, uint64_t n, bool to_zero, bool unmap)
{
	struct image_range range;
	int r;

	if (!im->format->drop)
		return -EOPNOTSUPP;
	range_init(&range, im, off, n);
	range_take(im, &range);
	engine_lock(im);
	r = im->format->drop(im, off, n, to_zero, unmap);
	engine_unlock(im);
	range_release(im, &range);
	packed_forget(im, off, n);
	return r;
}

/* The whole units in [off, off + n); *ret_end < *ret_start if there are none. The last one of the
 * disk may be cut short. */
static void whole_units(
	const struct image *im, uint64_t off, uint64_t n, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t unit = MAX(im->unit, 1), end = off + n;

	*ret_start = (off + unit - 1) / unit * unit;
	*ret_end = end == im->size ? end : end - end % unit;
}

int engine_zero(struct image *im, uint64_t off, uint64_t n, bool unmap)
{
	uint64_t start, end;
	int r;

	whole_units(im, off, n, &start, &end);
	if (start >= end)
		return zero_bytes(im, off, n, unmap);
	r = zero_bytes(im, off, start - off, unmap);
	if (!r)
		r = drop_units(im, start, end - start, true, unmap);
	if (r == -EOPNOTSUPP)
		r = zero_bytes(im, start, end - start, unmap);
	return r < 0 ? r : zero_bytes(im, end, off + n - end, unmap);
}

int engine_discard(struct image *im, uint64_t off, uint64_t n)
{
	uint64_t start, end;
	int r;

	if (!im->format->drop) {
		struct extent x;

		for (; n; off += x.len, n -= x.len) {
			r = find_here(im, off, n, 0, &x);
			if (r < 0)
				return r;
			x.len = MIN(x.len, n);
			if (x.kind == EXTENT_DATA && !x.shared && x.file) {
				r = file_discard(x.file, x.at, x.len);
				if (r < 0)
					return r;
			}
		}
		return 0;
	}
	whole_units(im, off, n, &start, &end);
	if (start >= end)
		return 0;
	/* Old bytes of the image below must not come back. */
	r = drop_units(im, start, end - start, im->backing_path != NULL, true);
	return r == -EOPNOTSUPP ? 0 : r;
}

int engine_empty(struct image *im)
{
	return drop_units(im, 0, im->size, false, true);
}

int engine_flush(struct image *im)
{
	int r = 0;

	for (unsigned i = 0; i < im->files.count && !r; i++) {
		if (!im->files.file[i]->readonly)
			r = file_sync(im->files.file[i]);
	}
	if (r < 0)
		return r;
	if (!im->format->flush || !atomic_load(&im->dirty))
		return file_sync(im->file);
	engine_lock(im);
	r = im->format->flush(im);
	engine_unlock(im);
	return r;
}

void image_pause(struct image *im)
{
	atomic_fetch_add(&im->paused, 1);
	for (unsigned i = 0; i < im->queue_count; i++) {
		if (im->queues[i])
			queue_wait_idle(im->queues[i]);
	}
}

void image_resume(struct image *im)
{
	if (atomic_fetch_sub(&im->paused, 1) > 1)
		return;
	for (unsigned i = 0; i < im->queue_count; i++) {
		if (im->queues[i])
			queue_restart(im->queues[i]);
	}
}
