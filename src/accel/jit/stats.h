/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stats.h: what the translator counts. */
#ifndef ACCEL_JIT_STATS_H
#define ACCEL_JIT_STATS_H

#include <stdint.h>

struct machine;

typedef void stats_put(void *opaque, const char *name, uint64_t value);

/* Code that is there now, work done so far, events of all vCPUs: struct accel's `stats`. */
void jit_stats(struct machine *m, stats_put *put, void *opaque);

#endif
