/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * job.h: long work on an image that a machine is using: copying it elsewhere, merging layers,
 * backing up, all with progress and cancel; and the short operations that need it to stand still.
 *
 * A job has a thread of its own. Except where said, functions may be called from any thread but
 * those that run a queue's callbacks while a machine waits for them. One job at a time for each
 * image.
 */
#ifndef IMAGE_JOB_H
#define IMAGE_JOB_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

struct image_job;

enum job_state {
	JOB_RUNNING,
	JOB_READY, /* the copy has caught up and follows; job_complete() ends it */
	JOB_DONE,  /* or failed or cancelled: job_finish() tells */
};

struct job_options {
	uint64_t rate; /* bytes a second at most; 0: no limit */
	/* Called on the job's thread when the state changes; NULL: not wanted. */
	void (*changed)(struct image_job *j, enum job_state s, void *opaque);
	void *opaque;
};

enum mirror_extent {
	MIRROR_FULL, /* all the guest sees */
	MIRROR_TOP,  /* what the top layer holds: the target stands on the same image */
	MIRROR_NONE, /* only what is written from now on */
};

/* Each returns NULL with error. Images stay the caller's and must outlive the job. */

/* Copies into target, which then follows what the guest writes. */
struct image_job *job_mirror(struct image *im, struct image *target, enum mirror_extent what,
	const struct job_options *o, GError **error);
/* Moves what the top layer holds into the image below, which then follows. When it completes, the
 * image is the one below, and the overlay is closed. `open` says how to open that image for writing
 * (path and format are filled in). */
struct image_job *job_commit(struct image *im, const struct image_options *open,
	const struct job_options *o, GError **error);
/* Brings all from the layers below into the top layer, which then stands alone. */
struct image_job *job_stream(struct image *im, const struct job_options *o, GError **error);
/*
 * Copies the disk as it is now: what the guest is about to overwrite is copied before. With
 * `bitmap` (of the image) only what that has marked, and it starts anew from now; if the job fails
 * it has its marks again.
 */
struct image_job *job_backup(struct image *im, struct image *target, const char *bitmap,
	const struct job_options *o, GError **error);

enum job_state job_state(const struct image_job *j);
/* Bytes; the total can grow while the guest writes. */
void job_progress(const struct image_job *j, uint64_t *ret_done, uint64_t *ret_total);
void job_set_rate(struct image_job *j, uint64_t rate);
void job_cancel(struct image_job *j);
/*
 * Of a job that is ready: catches up with the guest held back, and ends. With `pivot` a mirror's
 * target takes the image's place (the two change their contents: target is the old image then); a
 * commit always pivots.
 */
void job_complete(struct image_job *j, bool pivot);
/* Waits for the end, frees the job. 0 or -1 with error (cancelled: LODGE_ERROR_USAGE). */
int job_finish(struct image_job *j, GError **error);

/*
 * The image becomes a new overlay over what it was, which is only read from now on. The overlay's
 * file is made. 0 or -1 with error; then nothing has changed.
 */
int image_snapshot_overlay(struct image *im, const char *path, const char *format, GError **error);
/* image_resize() of an image in use; its users learn the new size by asking. */
int image_resize_live(struct image *im, uint64_t size, GError **error);

/* 0 in a rate: no limit. A burst is what may be used at once after a pause; 0: a tenth of a
 * second's. */
struct image_limits {
	uint64_t bytes_per_second, ops_per_second;
	uint64_t burst_bytes, burst_ops;
};
void image_set_limits(struct image *im, const struct image_limits *l);
void image_get_limits(struct image *im, struct image_limits *ret);

#endif
