/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.c: virtual time and the heap of timers on it. */
#include "core/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "core/device.h"

enum { TIMER_IDLE = -1 };

struct clock {
	/* Readers take no lock: `seq` is odd while offset and frozen change. */
	_Atomic unsigned seq;
	_Atomic int64_t offset; /* CLOCK_MONOTONIC minus virtual time, while running */
	_Atomic int64_t frozen; /* virtual time while stopped; -1: running */

	GMutex lock;	 /* all below */
	GPtrArray *heap; /* struct timer *, borrowed; the earliest first */
	int64_t programmed; /* virtual time the timerfd will fire at; -1: never */
	int fd;
	GSource *source;
};

struct clock_source {
	GSource base;
	struct clock *clock;
	void *tag;
};

static int64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

int64_t clock_ns(struct clock *c)
{
	for (;;) {
		unsigned seq = atomic_load_explicit(&c->seq, memory_order_acquire);
		int64_t frozen = atomic_load_explicit(&c->frozen, memory_order_acquire);
		int64_t ns = frozen >= 0 ? frozen
			: monotonic() - atomic_load_explicit(&c->offset, memory_order_acquire);

		if (!(seq & 1) && seq == atomic_load_explicit(&c->seq, memory_order_acquire))
			return ns;
	}
}

static void clock_change_locked(struct clock *c, int64_t offset, int64_t frozen)
{
	atomic_fetch_add(&c->seq, 1);
	atomic_store(&c->offset, offset);
	atomic_store(&c->frozen, frozen);
	atomic_fetch_add(&c->seq, 1);
}

/* A binary heap; timer.index is the place plus one, 0 when not in the heap. */
static struct timer *heap_at(struct clock *c, unsigned i)
{
	return g_ptr_array_index(c->heap, i);
}

static void heap_put(struct clock *c, unsigned i, struct timer *t)
{
	g_ptr_array_index(c->heap, i) = t;
	t->index = i + 1;
}

static void heap_fix(struct clock *c, unsigned i)
{
	struct timer *t = heap_at(c, i);

	for (; i && heap_at(c, (i - 1) / 2)->when > t->when; i = (i - 1) / 2)
		heap_put(c, i, heap_at(c, (i - 1) / 2));
	for (;;) {
		unsigned kid = 2 * i + 1;

		if (kid >= c->heap->len)
			break;
		if (kid + 1 < c->heap->len && heap_at(c, kid + 1)->when < heap_at(c, kid)->when)
			kid++;
		if (heap_at(c, kid)->when >= t->when)
			break;
		heap_put(c, i, heap_at(c, kid));
		i = kid;
	}
	heap_put(c, i, t);
}

static void heap_remove(struct clock *c, struct timer *t)
{
	unsigned i = t->index - 1, last = c->heap->len - 1;
	struct timer *moved = heap_at(c, last);

	g_ptr_array_set_size(c->heap, last);
	t->index = 0;
	t->when = TIMER_IDLE;
	if (moved != t) {
		heap_put(c, i, moved);
		heap_fix(c, i);
	}
}

/*
 * Makes the timerfd fire in time for the earliest timer. An alarm that is too early is left alone:
 * cancelling costs no system call, the spurious wake-up is one at most.
 */
static void clock_program_locked(struct clock *c)
{
	struct itimerspec its = { 0 };
	int64_t when, abs;

	if (!c->heap->len || atomic_load(&c->frozen) >= 0)
		return;
	when = heap_at(c, 0)->when;
	if (c->programmed >= 0 && c->programmed <= when)
		return;
	abs = MAX(1, when + atomic_load(&c->offset));
	its.it_value.tv_sec = abs / NS_PER_SEC;
	its.it_value.tv_nsec = abs % NS_PER_SEC;
	timerfd_settime(c->fd, TFD_TIMER_ABSTIME, &its, NULL);
	c->programmed = when;
}

static void clock_disarm_locked(struct clock *c)
{
	struct itimerspec its = { 0 };

	timerfd_settime(c->fd, 0, &its, NULL);
	c->programmed = -1;
}

/*
 * Runs the earliest timer if it is due. The device's lock is taken before the timer leaves the
 * heap, so that a timer_cancel() under that lock is final.
 */
static bool clock_run_one(struct clock *c)
{
	struct timer *t;
	struct device *d;
	bool due = false;

	g_mutex_lock(&c->lock);
	t = c->heap->len ? heap_at(c, 0) : NULL;
	if (!t || t->when > clock_ns(c)) {
		g_mutex_unlock(&c->lock);
		return false;
	}
	d = t->device;
	g_mutex_unlock(&c->lock);

	if (d)
		device_lock(d);
	g_mutex_lock(&c->lock);
	if (t->index && t->when <= clock_ns(c)) {
		heap_remove(c, t);
		due = true;
	}
	g_mutex_unlock(&c->lock);
	if (due)
		t->cb(t->opaque);
	if (d)
		device_unlock(d);
	return true;
}

void clock_run(struct clock *c)
{
	/* A timer may re-arm itself in the past; leave room for the rest of the loop. */
	for (unsigned n = 0; n < 64 && clock_run_one(c); n++)
		;
}

static gboolean clock_dispatch(GSource *source, GSourceFunc cb, gpointer data)
{
	struct clock *c = ((struct clock_source *)source)->clock;
	uint64_t expirations;

	if (read(c->fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return G_SOURCE_CONTINUE;
	g_mutex_lock(&c->lock);
	c->programmed = -1;
	g_mutex_unlock(&c->lock);
	clock_run(c);
	g_mutex_lock(&c->lock);
	clock_program_locked(c);
	g_mutex_unlock(&c->lock);
	return G_SOURCE_CONTINUE;
}

static gboolean clock_check(GSource *source)
{
	return g_source_query_unix_fd(source, ((struct clock_source *)source)->tag) != 0;
}

static GSourceFuncs clock_funcs = { .check = clock_check, .dispatch = clock_dispatch };

struct clock *clock_new(void)
{
	struct clock *c = g_new0(struct clock, 1);
	struct clock_source *s;

	g_mutex_init(&c->lock);
	c->heap = g_ptr_array_new();
	c->programmed = -1;
	c->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->fd < 0)
		g_error("timerfd_create: %s", g_strerror(errno));
	c->source = g_source_new(&clock_funcs, sizeof(*s));
	s = (struct clock_source *)c->source;
	s->clock = c;
	s->tag = g_source_add_unix_fd(c->source, c->fd, G_IO_IN);
	g_source_set_priority(c->source, G_PRIORITY_HIGH);
	g_source_set_static_name(c->source, "clock");
	g_source_attach(c->source, NULL);
	return c;
}

void clock_free(struct clock *c)
{
	if (!c)
		return;
	g_source_destroy(c->source);
	g_source_unref(c->source);
	close(c->fd);
	g_ptr_array_free(c->heap, TRUE);
	g_mutex_clear(&c->lock);
	g_free(c);
}

void clock_stop(struct clock *c)
{
	g_mutex_lock(&c->lock);
	if (atomic_load(&c->frozen) < 0) {
		clock_change_locked(c, 0, MAX(0, clock_ns(c)));
		clock_disarm_locked(c);
	}
	g_mutex_unlock(&c->lock);
}

void clock_start(struct clock *c)
{
	int64_t frozen;

	g_mutex_lock(&c->lock);
	frozen = atomic_load(&c->frozen);
	if (frozen >= 0) {
		clock_change_locked(c, monotonic() - frozen, -1);
		clock_program_locked(c);
	}
	g_mutex_unlock(&c->lock);
}

void clock_set(struct clock *c, int64_t ns)
{
	g_mutex_lock(&c->lock);
	clock_change_locked(c, 0, MAX(0, ns));
	clock_disarm_locked(c);
	g_mutex_unlock(&c->lock);
}

void timer_init(
	struct timer *t, struct clock *c, struct device *d, void (*cb)(void *), void *opaque)
{
	*t = (struct timer){
		.clock = c, .device = d, .cb = cb, .opaque = opaque, .when = TIMER_IDLE
	};
}

void timer_arm(struct timer *t, int64_t when)
{
	struct clock *c = t->clock;

	g_mutex_lock(&c->lock);
	t->when = MAX(0, when);
	if (!t->index) {
		g_ptr_array_add(c->heap, t);
		t->index = c->heap->len;
	}
	heap_fix(c, t->index - 1);
	clock_program_locked(c);
	g_mutex_unlock(&c->lock);
}

void timer_cancel(struct timer *t)
{
	struct clock *c = t->clock;

	if (!c) /* never initialised: a half-built device */
		return;
	g_mutex_lock(&c->lock);
	if (t->index)
		heap_remove(c, t);
	g_mutex_unlock(&c->lock);
}
