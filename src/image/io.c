/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io.c: one request on its way: it is walked extent by extent as its image maps it, each step being
 * one host operation (host_io.c). What needs no waiting is done here: reads of data in any layer of
 * the chain, writes in place, and writes to new room whose surroundings are zeroes. The rest
 * (tables that have to be read, copying, unpacking, encryption) goes to workers, which call
 * engine.c.
 */
#include "image/queue_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"

enum {
	ZEROES = 65536, /* bytes of the shared zero buffer */
	ZERO_IOVS = 16,
	CALL_MAX = 1 << 20,  /* bytes a worker moves at a time */
	NOW_MAX = 256 << 10, /* copying more than that is for another processor */
};

static const uint8_t zeroes[ZEROES] __attribute__((aligned(4096)));

/* What a step leads to. */
enum step { STEP_WAIT, STEP_AGAIN, STEP_OVER };

static bool modifies(const struct image_request *r)
{
	return r->op == IMAGE_WRITE || r->op == IMAGE_DISCARD || r->op == IMAGE_ZERO;
}

/* Guest byte n is file byte n, always: no tables, no locks. */
static bool is_raw(const struct io *io)
{
	return io->q->im->format == &image_format_raw;
}

static uint64_t here(const struct io *io)
{
	return io->r->offset + io->pos;
}

static uint64_t left(const struct io *io)
{
	return io->r->length - io->pos;
}

/* ---- its end ---- */

/* Its done() is called by settle(), without the lock. */
static void request_finish(struct image_queue *q, struct image_request *r, int err)
{
	r->priv[0] = NULL;
	r->priv[1] = GINT_TO_POINTER(err);
	if (q->finished_head)
		q->finished_tail->priv[0] = r;
	else
		q->finished_head = r;
	q->finished_tail = r;
}

static void drop_range(struct io *io)
{
	if (io->ranged)
		range_release(io->q->im, &io->range);
	io->ranged = false;
}

static void io_finish(struct io *io, int err)
{
	struct image_queue *q = io->q;
	struct image_request *r = io->r;

	drop_range(io);
	if (modifies(r))
		engine_track(q->im, r->offset, r->length);
	if (!is_raw(io))
		epoch_leave(q->im, io->epoch);
	g_clear_pointer(&io->slice, g_free);
	g_clear_pointer(&io->bounce, free);
	io->next = q->free;
	q->free = io;
	q->busy--;
	request_finish(q, r, err);
}

/* ---- its bytes ---- */

static const struct iovec *io_source(const struct io *io, unsigned *cnt)
{
	*cnt = io->bounce ? 1 : io->r->iovcnt;
	return io->bounce ? &io->bounce_iov : io->r->iov;
}

/* Points io->iov at the request's bytes [pos, pos + part), or fewer if that takes too many pieces.
 */
static void io_slice(struct io *io)
{
	unsigned cnt, n = 0;
	const struct iovec *src = io_source(io, &cnt);
	uint64_t skip = io->pos, rest = io->part;

	if (!io->pos && io->part == io->r->length && cnt <= IOV_MAX) {
		io->iov = src;
		io->iovcnt = cnt;
		return;
	}
	if (!io->slice)
		io->slice = g_new(struct iovec, MIN(cnt, IOV_MAX));
	for (unsigned i = 0; i < cnt && rest && n < IOV_MAX; i++) {
		if (skip >= src[i].iov_len) {
			skip -= src[i].iov_len;
			continue;
		}
		io->slice[n].iov_base = (char *)src[i].iov_base + skip;
		io->slice[n].iov_len = MIN(src[i].iov_len - skip, rest);
		rest -= io->slice[n++].iov_len;
		skip = 0;
	}
	io->part -= rest;
	io->iov = io->slice;
	io->iovcnt = n;
}

static void zero_fill(const struct io *io)
{
	for (unsigned i = 0; i < io->iovcnt; i++)
		memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
}

/* Between buf and the request's bytes [pos, pos + part). */
static void io_copy(const struct io *io, char *buf, bool to_request)
{
	uint64_t skip = io->pos, rest = io->part;
	unsigned cnt;
	const struct iovec *src = io_source(io, &cnt);

	for (unsigned i = 0; i < cnt && rest; i++) {
		uint64_t n;

		if (skip >= src[i].iov_len) {
			skip -= src[i].iov_len;
			continue;
		}
		n = MIN(src[i].iov_len - skip, rest);
		memcpy(to_request ? (char *)src[i].iov_base + skip : buf,
			to_request ? buf : (char *)src[i].iov_base + skip, n);
		buf += n;
		rest -= n;
		skip = 0;
	}
}

/* The present part in one piece: where it is, or in *ret_copy, which the caller frees. */
static void *io_flat(const struct io *io, bool fill, void **ret_copy)
{
	unsigned cnt;
	const struct iovec *src = io_source(io, &cnt);

	*ret_copy = NULL;
	if (cnt == 1)
		return (char *)src->iov_base + io->pos;
	if (posix_memalign(ret_copy, 4096, io->part))
		return *ret_copy = NULL;
	if (fill)
		io_copy(io, *ret_copy, false);
	return *ret_copy;
}

/* ---- on workers ---- */

static enum step call(struct io *io, ssize_t (*f)(struct io *io), bool patient)
{
	io->op = HOST_CALL;
	io->call = f;
	io->patient = patient;
	host_push(io);
	return STEP_WAIT;
}

static ssize_t call_read(struct io *io)
{
	struct image *im = io->q->im;
	void *copy, *buf = io_flat(io, false, &copy);
	int r = buf ? engine_read(im, here(io), buf, io->part) : -ENOMEM;

	if (!r && copy)
		io_copy(io, copy, true);
	free(copy);
	return r < 0 ? r : (ssize_t)io->part;
}

/* The range is held. */
static ssize_t call_write(struct io *io)
{
	void *copy, *buf = io_flat(io, true, &copy);
	int r = buf ? engine_write_locked(io->q->im, here(io), buf, io->part) : -ENOMEM;

	free(copy);
	return r < 0 ? r : (ssize_t)io->part;
}

static ssize_t call_write_new(struct io *io)
{
	void *copy, *buf = io_flat(io, true, &copy);
	int r;

	if (buf)
		r = engine_write_new(io->q->im, &io->x, io->x_start, here(io), buf, io->part);
	else
		r = engine_commit(io->q->im, io->x_start, &io->x, -ENOMEM);
	free(copy);
	return r < 0 ? r : (ssize_t)io->part;
}

static ssize_t call_commit(struct io *io)
{
	return engine_commit(io->q->im, io->x_start, &io->x, 0);
}

static ssize_t call_abandon(struct io *io)
{
	return engine_commit(io->q->im, io->x_start, &io->x, MIN((int)io->result, -1));
}

static ssize_t call_zero(struct io *io)
{
	int r = engine_zero(io->q->im, io->r->offset, io->r->length, io->r->may_unmap);

	return r < 0 ? r : (ssize_t)io->r->length;
}

static ssize_t call_discard(struct io *io)
{
	int r = engine_discard(io->q->im, io->r->offset, io->r->length);

	return r < 0 ? r : (ssize_t)io->r->length;
}

static ssize_t call_flush(struct io *io)
{
	return engine_flush(io->q->im);
}

static ssize_t call_hook(struct io *io)
{
	struct image *im = io->q->im;
	int r = im->before_write(im->before_opaque, io->r->offset, io->r->length);

	return r < 0 ? r : -EAGAIN;
}

/* ---- host operations ---- */

/* Direct I/O where every address fits; the rest goes through the page cache, which the kernel keeps
 * coherent with direct I/O on the same file. */
static void io_choose_fd(struct io *io)
{
	uint64_t bits = io->at | io->part;

	io->fd = io->file->fd;
	if (io->file->direct_fd < 0)
		return;
	for (unsigned i = 0; i < io->iovcnt; i++)
		bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
	if (!(bits & (io->file->align - 1)))
		io->fd = io->file->direct_fd;
}

/* Does it here if that takes no waiting: the bytes done, or 0: not, or not known. Direct I/O always
 * waits. */
static ssize_t io_try_now(struct io *io)
{
	struct file *f = io->file;
	bool write = io->op == HOST_WRITE;
	ssize_t r;

	if (io->fd != f->fd || io->flags || (write ? f->no_nowait_write : f->no_nowait_read))
		return 0;
	r = write ? pwritev2(io->fd, io->iov, io->iovcnt, io->at, RWF_NOWAIT)
		  : preadv2(io->fd, io->iov, io->iovcnt, io->at, RWF_NOWAIT);
	if (r < 0 && errno == EOPNOTSUPP) {
		if (write)
			f->no_nowait_write = true;
		else
			f->no_nowait_read = true;
	}
	return MAX(r, 0);
}

static enum step advance(struct io *io, uint64_t n);

static enum step io_transfer(struct io *io)
{
	ssize_t r;

	io->op = io->r->op == IMAGE_READ ? HOST_READ : HOST_WRITE;
	io->flags = io->op == HOST_WRITE && io->r->fua && !io->alloced ? RWF_DSYNC : 0;
	io_slice(io);
	io_choose_fd(io);
	io->apart = io->part >= NOW_MAX && io->fd == io->file->fd;
	r = io->apart ? 0 : io_try_now(io);
	if (r > 0)
		return advance(io, r);
	host_push(io);
	return STEP_WAIT;
}

static void io_write_zeroes(struct io *io)
{
	uint64_t rest;
	unsigned n = 0;

	if (!io->slice)
		io->slice = g_new(struct iovec, ZERO_IOVS);
	io->part = rest = MIN(io->part, (uint64_t)ZEROES * ZERO_IOVS);
	while (rest) {
		io->slice[n].iov_base = (void *)zeroes;
		io->slice[n].iov_len = MIN(rest, ZEROES);
		rest -= io->slice[n++].iov_len;
	}
	io->iov = io->slice;
	io->iovcnt = n;
	io->op = HOST_WRITE;
	io->flags = 0;
	io_choose_fd(io);
	host_push(io);
}

/* Raw images on files with descriptors. */
static enum step io_erase(struct io *io)
{
	bool discard = io->r->op == IMAGE_DISCARD;

	io->op = HOST_FALLOCATE;
	io->fd = io->file->fd;
	if ((discard || io->r->may_unmap) && !io->file->no_punch) {
		io->flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		host_push(io);
	} else if (discard) {
		return STEP_OVER; /* advice that cannot be taken */
	} else if (!io->file->no_zero_range) {
		io->flags = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		host_push(io);
	} else {
		io_write_zeroes(io);
	}
	return STEP_WAIT;
}

/* A fallocate() the file or device does not know: true if another way is left to try. */
static bool erase_refused(struct io *io)
{
	if (io->op != HOST_FALLOCATE || (io->result != -EOPNOTSUPP && io->result != -EINVAL &&
						io->result != -ENOSYS && io->result != -ENODEV))
		return false;
	if (io->flags & FALLOC_FL_PUNCH_HOLE)
		io->file->no_punch = true;
	else
		io->file->no_zero_range = true;
	return true;
}

/* ---- steps ---- */

static enum step step_read(struct io *io)
{
	struct image *im = io->q->im;
	struct place p;
	int r;

	if (is_raw(io))
		r = im->format->map(im, here(io), left(io), IMAGE_NOWAIT, &p.x);
	else
		r = engine_find(im, here(io), left(io), IMAGE_NOWAIT, ENGINE_ALL_LAYERS, &p);
	if (r < 0 && r != -EAGAIN) {
		io->result = r;
		return STEP_OVER;
	}
	io->part = r ? left(io) : MIN(p.x.len, left(io));
	if (!r && p.x.kind == EXTENT_ZERO) {
		io_slice(io);
		zero_fill(io);
		return advance(io, io->part);
	}
	if (!r && p.x.kind == EXTENT_DATA && p.x.file->fd >= 0 && (is_raw(io) || !p.im->cipher)) {
		io->file = p.x.file;
		io->at = p.x.at;
		return io_transfer(io);
	}
	io->part = MIN(io->part, CALL_MAX);
	return call(io, call_read, false);
}

static void range_woken(struct image_range *range)
{
	host_completed(container_of(range, struct io, range), -EAGAIN);
}

/* The clusters of [here, here + n) are this request's alone; false: parked until they are free. */
static bool take_range(struct io *io, uint64_t n)
{
	if (io->ranged)
		return true;
	range_init(&io->range, io->q->im, here(io), n);
	io->range.wake = range_woken;
	io->ranged = range_try(io->q->im, &io->range);
	io->parked = !io->ranged;
	return io->ranged;
}

/* No look at the tables could be had without waiting, or the way is too odd for here. */
static enum step write_slowly(struct io *io)
{
	io->part = MIN(io->part, CALL_MAX);
	if (!take_range(io, io->part))
		return STEP_WAIT;
	/* A range taken earlier may be shorter than that. */
	io->part = MIN(io->part, io->range.end - here(io));
	io->flush = true;
	return call(io, call_write, false);
}

/* New room has been reserved for the bytes from here on. */
static enum step write_room(struct io *io)
{
	uint64_t off = here(io), end;
	bool plain;

	io->part = MIN(left(io), io->x_start + io->x.len - off);
	io->flush = true;
	end = off + io->part;
	plain = !io->q->im->cipher && io->x.file->fd >= 0 &&
		((io->x_start == off && io->x_start + io->x.len == end) ||
			(io->x.fresh && engine_is_zero(io->q->im, io->x_start, off) &&
				engine_is_zero(io->q->im, end, io->x_start + io->x.len)));
	if (plain) {
		io->alloced = true;
		io->file = io->x.file;
		io->at = io->x.at + (off - io->x_start);
		return io_transfer(io);
	}
	return call(io, call_write_new, false);
}

static enum step step_write(struct io *io)
{
	struct image *im = io->q->im;
	struct extent x;
	int r;

	if (is_raw(io)) {
		r = im->format->map(im, here(io), left(io), IMAGE_NOWAIT, &x);
	} else {
		if (!engine_try_lock(im)) {
			io->part = left(io);
			return write_slowly(io);
		}
		r = im->format->map(im, here(io), left(io), IMAGE_NOWAIT, &x);
		g_mutex_unlock(&im->meta_lock);
	}
	if (r < 0 && r != -EAGAIN) {
		io->result = r;
		return STEP_OVER;
	}
	io->part = r ? left(io) : MIN(x.len, left(io));
	if (!r && x.kind == EXTENT_DATA && !x.shared && !im->cipher && x.file->fd >= 0) {
		drop_range(io);
		io->file = x.file;
		io->at = x.at;
		io->flush |= atomic_load(&im->dirty);
		return io_transfer(io);
	}
	if (r || !im->format->alloc || (x.kind == EXTENT_DATA && !x.shared))
		return write_slowly(io);
	if (!take_range(io, io->part))
		return STEP_WAIT;
	io->part = MIN(io->part, io->range.end - here(io));
	if (!engine_try_lock(im))
		return write_slowly(io);
	/* It may have got room while this one waited for the range. */
	r = im->format->map(im, here(io), io->part, IMAGE_NOWAIT, &x);
	if (!r && x.kind == EXTENT_DATA && !x.shared) {
		g_mutex_unlock(&im->meta_lock);
		return STEP_AGAIN;
	}
	if (!r)
		r = im->format->alloc(
			im, here(io), MIN(io->part, x.len), IMAGE_NOWAIT, &io->x_start, &io->x);
	g_mutex_unlock(&im->meta_lock);
	return r < 0 ? write_slowly(io) : write_room(io);
}

static enum step step_erase(struct io *io)
{
	struct image *im = io->q->im;

	io->flush = true;
	if (!is_raw(io) || im->file->fd < 0)
		return call(io, io->r->op == IMAGE_ZERO ? call_zero : call_discard, true);
	io->file = im->file;
	io->at = here(io);
	io->part = left(io);
	return io_erase(io);
}

static enum step step_flush(struct io *io)
{
	struct image *im = io->q->im;

	io->final = true;
	if (im->file->fd < 0 || im->files.count || atomic_load(&im->dirty))
		return call(io, call_flush, false);
	io->op = HOST_SYNC;
	io->fd = im->file->fd;
	host_push(io);
	return STEP_WAIT;
}

/* n more bytes of the request are where they belong. */
static enum step advance(struct io *io, uint64_t n)
{
	struct image *im = io->q->im;
	uint64_t end;
	int r = -EAGAIN;

	io->pos += n;
	if (io->alloced) {
		end = MIN(io->x_start + io->x.len, io->r->offset + io->r->length);
		if (here(io) < end) { /* a short write: the rest of the room first */
			io->part = end - here(io);
			io->at = io->x.at + (here(io) - io->x_start);
			return io_transfer(io);
		}
		if (engine_try_lock(im)) {
			r = im->format->commit(im, io->x_start, &io->x, IMAGE_NOWAIT);
			g_mutex_unlock(&im->meta_lock);
		}
		if (r == -EAGAIN)
			return call(io, call_commit, false);
		if (r < 0) {
			io->result = r;
			return call(io, call_abandon, false);
		}
		packed_forget(im, io->x_start, io->x.len);
		io->alloced = false;
	}
	drop_range(io);
	if (io->pos < io->r->length)
		return STEP_AGAIN;
	if (io->r->fua && io->flush && modifies(io->r))
		return step_flush(io);
	io->result = 0;
	return STEP_OVER;
}

static void io_go(struct io *io)
{
	struct image *im = io->q->im;
	enum step s = STEP_AGAIN;

	io->result = 0;
	if (!io->hooked && im->before_write && modifies(io->r)) {
		io->hooked = true;
		call(io, call_hook, true);
		return;
	}
	while (s == STEP_AGAIN) {
		switch (io->r->op) {
		case IMAGE_READ: s = step_read(io); break;
		case IMAGE_WRITE: s = io->final ? step_flush(io) : step_write(io); break;
		case IMAGE_FLUSH: s = step_flush(io); break;
		default: s = io->final ? step_flush(io) : step_erase(io); break;
		}
	}
	if (s == STEP_OVER)
		io_finish(io, -MIN(io->result, 0));
}

/* Goes on after a step that was over at once, or ends. */
static void proceed(struct io *io, enum step s)
{
	if (s == STEP_AGAIN)
		io_go(io);
	else if (s == STEP_OVER)
		io_finish(io, -MIN(io->result, 0));
}

static void called(struct io *io, ssize_t res)
{
	if (io->call == call_commit && res >= 0) {
		io->alloced = false;
		proceed(io, advance(io, 0));
	} else if (res < 0) {
		io->alloced = false;
		io_finish(io, -res);
	} else if (io->final) {
		io_finish(io, 0);
	} else {
		proceed(io, advance(io, res));
	}
}

/* Data that did not reach its new room: that is given up. */
static bool write_failed(struct io *io, ssize_t res)
{
	if (!io->alloced || io->op != HOST_WRITE)
		return false;
	io->result = res;
	call(io, call_abandon, false);
	return true;
}

void io_complete(struct io *io, ssize_t res)
{
	io->result = res;
	if (io->parked || (io->op == HOST_CALL && res == -EAGAIN)) {
		io->parked = false;
		io_go(io);
		return;
	}
	if (io->op == HOST_CALL) {
		called(io, res);
		return;
	}
	if (res == -EAGAIN || res == -EINTR) {
		host_push(io);
		return;
	}
	if (erase_refused(io)) {
		io_go(io);
		return;
	}
	if (res < 0 || (!res && io->op == HOST_WRITE)) {
		if (!write_failed(io, res ? res : -EIO))
			io_finish(io, res ? -res : EIO);
		return;
	}
	switch (io->op) {
	case HOST_READ:
		if (res == 0) { /* behind the end of the file */
			zero_fill(io);
			res = io->part;
		}
		break;
	case HOST_SYNC: io_finish(io, 0); return;
	case HOST_FALLOCATE: res = io->part; break;
	default: break;
	}
	proceed(io, advance(io, res));
}

/*
 * A disk nobody declared raw must not become a qcow2 or VMDK image under the guest's hands: the
 * next probe would follow file names the guest wrote into it. The bytes are copied first, since the
 * guest can change its memory between the look and the write. 0 or an errno.
 */
static int keep_head(struct io *io)
{
	const struct image_request *r = io->r;
	const struct image_format *f;
	size_t n = 0;

	if (!io->q->im->probed_raw || r->op != IMAGE_WRITE || r->offset)
		return 0;
	io->bounce = malloc(r->length);
	if (!io->bounce)
		return ENOMEM;
	for (int i = 0; i < r->iovcnt; n += r->iov[i++].iov_len)
		memcpy((char *)io->bounce + n, r->iov[i].iov_base, r->iov[i].iov_len);
	io->bounce_iov = (struct iovec){ .iov_base = io->bounce, .iov_len = n };
	f = format_probe(io->bounce, MIN(n, IMAGE_HEAD));
	if (f == &image_format_raw)
		return 0;
	log_warn("%s: refused to let the guest write a %s header to a disk without format=raw",
		io->q->im->file->path, f->name);
	return EPERM;
}

void io_start(struct image_queue *q, struct image_request *r)
{
	struct io *io = q->free;
	int err;

	q->free = io->next;
	q->busy++;
	*io = (struct io){ .q = q, .r = r };
	if (!is_raw(io))
		io->epoch = epoch_enter(q->im);
	err = keep_head(io);
	if (err)
		io_finish(io, err);
	else
		io_go(io);
}
