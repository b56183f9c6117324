/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue.c: one submission context of an image: requests that wait, that are in flight (io.c), that
 * are finished.
 *
 * Any thread may submit. What the kernel can do without waiting (a read of cached pages) is done
 * where it is submitted, without ring and loop: that is a guest's most frequent request, and the
 * wake-ups would cost many times its work.
 */
#include "image/queue_priv.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/log.h"
#include "image/throttle.h"

/*
 * Gives up the ring's lock and calls done() for all that is finished. One thread at a time does so:
 * what a done() submits and finishes at once, or another thread meanwhile, is left to the loop that
 * already runs, or the stack would grow with each request a done() submits.
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

static gboolean throttle_over(gpointer opaque)
{
	struct image_queue *q = opaque;

	g_mutex_lock(&q->ring_lock);
	g_clear_pointer(&q->timer, g_source_unref);
	g_mutex_unlock(&q->ring_lock);
	queue_restart(q);
	return G_SOURCE_REMOVE;
}

/* Looks again when the limits may allow it. */
static void wait_for_limits(struct image_queue *q, int64_t us)
{
	if (q->timer)
		return;
	q->timer = g_timeout_source_new(us / 1000 + 1);
	g_source_set_callback(q->timer, throttle_over, q, NULL);
	g_source_attach(q->timer, q->ctx);
}

static bool may_start(struct image_queue *q, const struct image_request *r)
{
	struct throttle *t = q->im->throttle;
	int64_t us;

	if (!q->free || atomic_load(&q->im->paused))
		return false;
	if (!atomic_load(&t->on) || r->op == IMAGE_FLUSH || atomic_load(&q->drainers) ||
		throttle_take(t, r->op == IMAGE_DISCARD ? 0 : r->length, &us))
		return true;
	wait_for_limits(q, us);
	return false;
}

static void start_waiting(struct image_queue *q)
{
	while (q->wait_head && may_start(q, q->wait_head)) {
		struct image_request *r = q->wait_head;

		q->wait_head = r->priv[0];
		io_start(q, r);
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
	start_waiting(q);
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
	if (q->timer) {
		g_source_destroy(q->timer);
		g_source_unref(q->timer);
	}
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
	if (!q->wait_head && may_start(q, r)) {
		io_start(q, r);
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
				g_cond_wait_until(
					&q->idle, &q->lock, g_get_monotonic_time() + 50000);
			g_mutex_unlock(&q->lock);
		}
	}
	atomic_fetch_sub(&q->drainers, 1);
}

/* ---- pausing ---- */

static unsigned busy(struct image_queue *q)
{
	unsigned n;

	g_mutex_lock(&q->ring_lock);
	n = q->busy;
	g_mutex_unlock(&q->ring_lock);
	return n;
}

void queue_wait_idle(struct image_queue *q)
{
	struct pollfd p = { .fd = q->eventfd, .events = POLLIN };

	while (busy(q)) {
		if (g_main_context_acquire(q->ctx)) {
			queue_kick(q);
			poll(&p, 1, 100);
			queue_reap(q);
			g_main_context_release(q->ctx);
		} else {
			g_usleep(200);
		}
	}
}

void queue_restart(struct image_queue *q)
{
	g_mutex_lock(&q->ring_lock);
	start_waiting(q);
	unlock_and_settle(q);
	queue_kick(q);
}
