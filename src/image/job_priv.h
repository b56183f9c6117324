/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_priv.h: a job's insides: job.c runs it, job_copy.c and job_backup.c are what it does. */
#ifndef IMAGE_JOB_PRIV_H
#define IMAGE_JOB_PRIV_H

#include <stdatomic.h>

#include "image/engine.h"
#include "image/job.h"
#include "image/tracker.h"

enum { JOB_GRANULE_SHIFT = 16, JOB_CHUNK = 1 << 20 };

struct image_job {
	struct image *im;     /* borrowed */
	struct image *target; /* borrowed; the commit's is im->backing */
	struct job_options o;
	/* 0 or -1 with j->error. */
	int (*run)(struct image_job *j);
	void (*fini)(struct image_job *j); /* NULL: nothing to do */
	GThread *thread;
	GError *error; /* owned */
	_Atomic int state;
	_Atomic bool cancelled, completing, pivot;
	_Atomic uint64_t done, total, rate;
	int64_t started;      /* of the rate's present span, µs */
	uint64_t spent;       /* bytes in it */
	struct tracker *todo; /* owned; what is still to be copied */
	enum mirror_extent what;
	uint8_t *buf; /* owned, JOB_CHUNK bytes */
	/* backup */
	char *bitmap;          /* owned */
	struct tracker *taken; /* owned: what the bitmap had marked */
	GMutex lock;           /* around copying a granule */
};

/* A job that was not started; j->im is marked as having one. NULL with error: it has. */
struct image_job *job_new(
	struct image *im, struct image *target, const struct job_options *o, GError **error);
void job_start(struct image_job *j);
void job_free(struct image_job *j);
void job_enter(struct image_job *j, enum job_state s);
/* Waits as the rate demands, n bytes having been copied. False: cancelled. */
bool job_pace(struct image_job *j, uint64_t n);
/* What im reads as in [off, off + n), n at most JOB_CHUNK, into target. 0 or -1 with j->error. */
int job_copy(struct image_job *j, struct image *target, uint64_t off, uint64_t n);

/* live.c: the two images change all but their identity: queues, trackers, limits. Both stand still.
 */
void image_swap(struct image *a, struct image *b);

#endif
