/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * throttle.c: each request fills two buckets, which leak at the permitted rates; while one is
 * fuller than its burst, requests wait. A request larger than the burst passes when the bucket is
 * empty, and the next ones wait the longer.
 */
#include "image/throttle.h"

#include "image/format.h"

static double burst(uint64_t rate, uint64_t set)
{
	return set ? set : rate / 10.0;
}

void throttle_set(struct throttle *t, const struct image_limits *l)
{
	g_mutex_lock(&t->lock);
	t->limits = *l;
	t->bytes = t->ops = 0;
	t->at = g_get_monotonic_time();
	atomic_store(&t->on, l->bytes_per_second || l->ops_per_second);
	g_mutex_unlock(&t->lock);
}

/* µs until the bucket is at its burst. */
static double wait_for(double level, uint64_t rate, uint64_t set)
{
	double over = level - burst(rate, set);

	return rate && over > 0 ? over * 1e6 / rate : 0;
}

bool throttle_take(struct throttle *t, uint64_t n, int64_t *ret_wait)
{
	const struct image_limits *l = &t->limits;
	int64_t now = g_get_monotonic_time();
	double wait;

	g_mutex_lock(&t->lock);
	t->bytes = MAX(t->bytes - (now - t->at) * 1e-6 * l->bytes_per_second, 0);
	t->ops = MAX(t->ops - (now - t->at) * 1e-6 * l->ops_per_second, 0);
	t->at = now;
	wait = MAX(wait_for(t->bytes, l->bytes_per_second, l->burst_bytes),
		wait_for(t->ops, l->ops_per_second, l->burst_ops));
	if (wait <= 0) {
		t->bytes += l->bytes_per_second ? n : 0;
		t->ops += l->ops_per_second ? 1 : 0;
	}
	g_mutex_unlock(&t->lock);
	*ret_wait = wait + 1;
	return wait <= 0;
}

void image_set_limits(struct image *im, const struct image_limits *l)
{
	throttle_set(im->throttle, l);
	for (unsigned i = 0; i < im->queue_count; i++) {
		if (im->queues[i])
			queue_restart(im->queues[i]);
	}
}

void image_get_limits(struct image *im, struct image_limits *ret)
{
	g_mutex_lock(&im->throttle->lock);
	*ret = im->throttle->limits;
	g_mutex_unlock(&im->throttle->lock);
}
