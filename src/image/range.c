/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * range.c: who is changing where clusters are. Two writes that allocate the same cluster, or one
 * that allocates it and one that drops it, go one after the other; writes in place are not
 * concerned.
 */
#include "image/engine.h"

void range_init(struct image_range *r, struct image *im, uint64_t off, uint64_t n)
{
	uint64_t unit = MAX(im->cluster, 1);

	*r = (struct image_range){
		.start = off - off % unit,
		.end = (off + n + unit - 1) / unit * unit,
	};
}

/* The first range in the way, or NULL. */
static struct image_range *blocker(const struct image *im, const struct image_range *r)
{
	for (struct image_range *o = im->ranges; o; o = o->next) {
		if (r->start < o->end && o->start < r->end)
			return o;
	}
	return NULL;
}

static void add(struct image *im, struct image_range *r)
{
	r->waiters = NULL;
	r->next = im->ranges;
	im->ranges = r;
}

bool range_try(struct image *im, struct image_range *r)
{
	struct image_range *o;

	g_mutex_lock(&im->range_lock);
	o = blocker(im, r);
	if (o) {
		r->next_waiter = o->waiters;
		o->waiters = r;
	} else {
		add(im, r);
	}
	g_mutex_unlock(&im->range_lock);
	return !o;
}

void range_take(struct image *im, struct image_range *r)
{
	g_mutex_lock(&im->range_lock);
	while (blocker(im, r))
		g_cond_wait(&im->range_free, &im->range_lock);
	add(im, r);
	g_mutex_unlock(&im->range_lock);
}

void range_release(struct image *im, struct image_range *r)
{
	struct image_range **p, *w;

	g_mutex_lock(&im->range_lock);
	for (p = &im->ranges; *p != r; p = &(*p)->next)
		;
	*p = r->next;
	w = r->waiters;
	g_cond_broadcast(&im->range_free);
	g_mutex_unlock(&im->range_lock);
	while (w) {
		struct image_range *next = w->next_waiter;

		w->wake(w);
		w = next;
	}
}
