/* SPDX-License-Identifier: GPL-2.0-or-later */
/* throttle.h: leaky buckets for an image's bytes and operations. */
#ifndef IMAGE_THROTTLE_H
#define IMAGE_THROTTLE_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/job.h"

struct throttle {
	GMutex lock;
	_Atomic bool on;
	struct image_limits limits;
	double bytes, ops; /* what is in each bucket */
	int64_t at;        /* as of then, µs */
};

void throttle_set(struct throttle *t, const struct image_limits *l);
/* Whether a request of n bytes may start now (it is counted then), else after *ret_wait µs. */
bool throttle_take(struct throttle *t, uint64_t n, int64_t *ret_wait);

#endif
