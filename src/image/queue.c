/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.c: the I/O engine: one submission context of an image. A request is walked extent by extent
 * as its format maps it; each step is one host operation (host_io.c).
 *
 * Any thread may submit. What the kernel can do without waiting (a read of cached pages) is done where
 * it is submitted, without ring and loop: that is a guest's most frequent request, and the wake-ups
 * would cost many times its work.
 */
#include "image/queue_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/log.h"

enum {
	ZEROES = 65536, /* bytes of the shared zero buffer */
	ZERO_IOVS = 16,
};

static const uint8_t zeroes[ZEROES] __attribute__((aligned(4096)));

static void io_step(struct io *io);
static void io_complete(struct io *io, ssize_t res);

/* ---- one request ---- */

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

/*
 * Gives up the ring's lock and calls done() for all that is finished. One thread at a time does so: what
 * a done() submits and finishes at once, or another thread meanwhile, is left to the loop that already
 * runs, or the stack would grow with each request a done() submits.
 */
static void unlock_and_settle(struct image_queue *q)
{
	struct image_request *r;

	if (q->settling) {
		g_mutex_unlock(&q->ring_lock);
		return;
	}
	q->settling = true;
	while ((r = q->finished_head)) {
		q->finished_head = r->priv[0];
		g_mutex_unlock(&q->ring_lock);
		r->done(r, GPOINTER_TO_INT(r->priv[1]));
		if (atomic_fetch_sub(&q->pending, 1) == 1 && atomic_load(&q->drainers)) {
			g_mutex_lock(&q->lock);
			g_cond_broadcast(&q->idle);
			g_mutex_unlock(&q->lock);
		}
		g_mutex_lock(&q->ring_lock);
	}
	q->settling = false;
	g_mutex_unlock(&q->ring_lock);
}

static void io_finish(struct io *io, int err)
{
	struct image_queue *q = io->q;
	struct image_request *r = io->r;

	g_clear_pointer(&io->slice, g_free);
	g_clear_pointer(&io->bounce, g_free);
	io->next = q->free;
	q->free = io;
	request_finish(q, r, err);
}

static const struct iovec *io_source(const struct io *io, unsigned *cnt)
{
	*cnt = io->bounce ? 1 : io->r->iovcnt;
	return io->bounce ? &io->bounce_iov : io->r->iov;
}

/* Points io->iov at the request's bytes [pos, pos + part), or fewer if that takes too many pieces. */
static void io_slice(struct io *io)
{
	unsigned cnt, n = 0;
	const struct iovec *src = io_source(io, &cnt);
	uint64_t skip = io->pos, left = io->part;

	if (!io->pos && io->part == io->r->length && cnt <= IOV_MAX) {
		io->iov = src;
		io->iovcnt = cnt;
		return;
	}
	if (!io->slice)
		io->slice = g_new(struct iovec, MIN(cnt, IOV_MAX));
	for (unsigned i = 0; i < cnt && left && n < IOV_MAX; i++) {
		if (skip >= src[i].iov_len) {
			skip -= src[i].iov_len;
			continue;
		}
		io->slice[n].iov_base = (char *)src[i].iov_base + skip;
		io->slice[n].iov_len = MIN(src[i].iov_len - skip, left);
		left -= io->slice[n++].iov_len;
		skip = 0;
	}
	io->part -= left;
	io->iov = io->slice;
	io->iovcnt = n;
}

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

/* Does it here if that takes no waiting; false: not, or not known. Direct I/O always waits. */
static bool io_try_now(struct io *io)
{
	struct file *f = io->file;
	bool write = io->op == HOST_WRITE;
	ssize_t r;

	if (io->fd != f->fd || io->flags || (write ? f->no_nowait_write : f->no_nowait_read))
		return false;
	r = write ? pwritev2(io->fd, io->iov, io->iovcnt, io->at, RWF_NOWAIT)
		: preadv2(io->fd, io->iov, io->iovcnt, io->at, RWF_NOWAIT);
	if (r > 0) {
		io_complete(io, r);
		return true;
	}
	if (r < 0 && errno == EOPNOTSUPP) {
		if (write)
			f->no_nowait_write = true;
		else
			f->no_nowait_read = true;
	}
	return false;
}

static void io_transfer(struct io *io)
{
	io->op = io->r->op == IMAGE_READ ? HOST_READ : HOST_WRITE;
	io->flags = io->op == HOST_WRITE && io->r->fua ? RWF_DSYNC : 0;
	io_slice(io);
	io_choose_fd(io);
	if (!io_try_now(io))
		host_push(io);
}

static void io_write_zeroes(struct io *io)
{
	uint64_t left;
	unsigned n = 0;

	if (!io->slice)
		io->slice = g_new(struct iovec, ZERO_IOVS);
	io->part = left = MIN(io->part, (uint64_t)ZEROES * ZERO_IOVS);
	while (left) {
		io->slice[n].iov_base = (void *)zeroes;
		io->slice[n].iov_len = MIN(left, ZEROES);
		left -= io->slice[n++].iov_len;
	}
	io->iov = io->slice;
	io->iovcnt = n;
	io->op = HOST_WRITE;
	io->flags = 0;
	io_choose_fd(io);
	host_push(io);
}

static void io_erase(struct io *io)
{
	bool discard = io->r->op == IMAGE_DISCARD;

	io->op = HOST_FALLOCATE;
	io->fd = io->file->fd;
	if ((discard || io->r->may_unmap) && !io->file->no_punch) {
		io->flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		host_push(io);
	} else if (discard) {
		io_finish(io, 0); /* advice that cannot be taken */
	} else if (!io->file->no_zero_range) {
		io->flags = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		host_push(io);
	} else {
		io_write_zeroes(io);
	}
}

static void io_step(struct io *io)
{
	struct image *im = io->q->im;
	struct extent x;
	int r;

	if (io->r->op == IMAGE_FLUSH) {
		io->op = HOST_SYNC;
		io->fd = im->file->fd;
		host_push(io);
		return;
	}
	r = im->format->map(im, io->r->offset + io->pos, io->r->length - io->pos, IMAGE_NOWAIT, &x);
	if (r < 0) {
		io_finish(io, -r);
		return;
	}
	io->file = x.file;
	io->at = x.at;
	io->part = MIN(x.len, io->r->length - io->pos);
	if (io->r->op == IMAGE_READ || io->r->op == IMAGE_WRITE)
		io_transfer(io);
	else
		io_erase(io);
}

static void zero_fill(const struct io *io)
{
	for (unsigned i = 0; i < io->iovcnt; i++)
		memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
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

static void io_complete(struct io *io, ssize_t res)
{
	io->result = res;
	if (res == -EAGAIN || res == -EINTR || erase_refused(io)) {
		io_step(io);
		return;
	}
	if (res < 0) {
		io_finish(io, -res);
		return;
	}
	switch (io->op) {
	case HOST_READ:
		if (res == 0) { /* behind the end of the file */
			zero_fill(io);
			res = io->part;
		}
		break;
	case HOST_WRITE:
		if (res == 0) {
			io_finish(io, EIO);
			return;
		}
		break;
	case HOST_SYNC:
		io_finish(io, 0);
		return;
	case HOST_FALLOCATE:
		res = io->part;
		break;
	}
	io->pos += res;
	if (io->pos >= io->r->length)
		io_finish(io, 0);
	else
		io_step(io);
}

/*
 * A disk nobody declared raw must not become a qcow2 or VMDK image under the guest's hands: the next
 * probe would follow file names the guest wrote into it. The bytes are copied first, since the guest
 * can change its memory between the look and the write. 0 or an errno.
 */
static int keep_head(struct io *io)
{
	const struct image_request *r = io->r;
	const struct image_format *f;
	size_t n = 0;

	if (!io->q->im->probed_raw || r->op != IMAGE_WRITE || r->offset)
		return 0;
	io->bounce = g_try_malloc(r->length);
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

static void request_start(struct image_queue *q, struct image_request *r)
{
	struct io *io = q->free;
	int err;

	q->free = io->next;
	*io = (struct io){ .q = q, .r = r };
	err = keep_head(io);
	if (err)
		io_finish(io, err);
	else
		io_step(io);
}

/* ---- the queue ---- */

static void start_waiting(struct image_queue *q)
{
	while (q->wait_head && q->free) {
		struct image_request *r = q->wait_head;

		q->wait_head = r->priv[0];
		request_start(q, r);
	}
}

static void queue_reap(struct image_queue *q)
{
	uint64_t count;
	struct io *io;

	if (read(q->eventfd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("image: eventfd: %s", g_strerror(errno));
	g_mutex_lock(&q->ring_lock);
	while ((io = host_next(q))) {
		io_complete(io, io->result);
		start_waiting(q);
	}
	unlock_and_settle(q);
	queue_kick(q); /* what each done() submitted */
}

static gboolean queue_ready(int fd, GIOCondition cond, gpointer opaque)
{
	queue_reap(opaque);
	return G_SOURCE_CONTINUE;
}

struct image_queue *queue_new(struct image *im, GMainContext *ctx, GError **error)
{
	struct image_queue *q = g_new0(struct image_queue, 1);

	q->im = im;
	g_mutex_init(&q->lock);
	g_mutex_init(&q->ring_lock);
	g_cond_init(&q->idle);
	q->ctx = g_main_context_ref(ctx ? ctx : g_main_context_default());
	if (!host_start(q, im->threads)) {
		fail_errno(error, LODGE_ERROR_HOST, errno, "%s: eventfd", im->file->path);
		queue_free(q);
		return NULL;
	}
	q->slots = g_new0(struct io, QUEUE_DEPTH);
	for (unsigned i = 0; i < QUEUE_DEPTH; i++) {
		q->slots[i].next = q->free;
		q->free = &q->slots[i];
	}
	q->source = g_unix_fd_source_new(q->eventfd, G_IO_IN);
	g_source_set_callback(q->source, G_SOURCE_FUNC(queue_ready), q, NULL);
	g_source_attach(q->source, q->ctx);
	return q;
}

void queue_free(struct image_queue *q)
{
	if (!q)
		return;
	if (q->source) {
		g_source_destroy(q->source);
		g_source_unref(q->source);
	}
	host_stop(q);
	g_main_context_unref(q->ctx);
	g_mutex_clear(&q->lock);
	g_mutex_clear(&q->ring_lock);
	g_cond_clear(&q->idle);
	g_free(q->slots);
	g_free(q);
}

void queue_submit(struct image_queue *q, struct image_request *r)
{
	atomic_fetch_add(&q->pending, 1);
	g_mutex_lock(&q->ring_lock);
	if (q->free && !q->wait_head) {
		request_start(q, r);
	} else {
		r->priv[0] = NULL;
		if (q->wait_head)
			q->wait_tail->priv[0] = r;
		else
			q->wait_head = r;
		q->wait_tail = r;
	}
	unlock_and_settle(q);
}

void queue_kick(struct image_queue *q)
{
	g_mutex_lock(&q->ring_lock);
	host_flush(q);
	unlock_and_settle(q);
}

void queue_drain(struct image_queue *q)
{
	struct pollfd p = { .fd = q->eventfd, .events = POLLIN };

	atomic_fetch_add(&q->drainers, 1);
	while (atomic_load(&q->pending)) {
		if (g_main_context_acquire(q->ctx)) {
			/* Nobody else can run the loop: do its work here. */
			queue_kick(q);
			poll(&p, 1, 100);
			queue_reap(q);
			g_main_context_release(q->ctx);
		} else {
			g_mutex_lock(&q->lock);
			if (atomic_load(&q->pending))
				g_cond_wait_until(&q->idle, &q->lock,
						  g_get_monotonic_time() + 50000);
			g_mutex_unlock(&q->lock);
		}
	}
	atomic_fetch_sub(&q->drainers, 1);
}
