/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_backup.c: the disk as it was at one moment, whole or what a bitmap has marked since the last.
 */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "image/bitmap.h"
#include "image/job_priv.h"

/* Copies what is still to be copied of the granules [off, off + n) touches. */
static int copy_granules(struct image_job *j, uint64_t off, uint64_t n)
{
	uint64_t granule = 1ull << j->todo->shift, end = MIN(off + n, j->todo->size), at, len;
	int r = 0;

	off -= off % granule;
	g_mutex_lock(&j->lock);
	while (!r && off < end && tracker_next(j->todo, off, true, &at, &len) && at < end) {
		len = MIN(MIN(len, JOB_CHUNK), (end - at + granule - 1) / granule * granule);
		r = job_copy(j, j->target, at, len);
		if (!r)
			tracker_unmark(j->todo, at, len);
		atomic_fetch_add(&j->done, len);
		off = at + len;
	}
	g_mutex_unlock(&j->lock);
	return r;
}

/* Before the guest's write: if the copy cannot be made, the backup fails, not the guest. */
static int before_write(void *opaque, uint64_t off, uint64_t n)
{
	struct image_job *j = opaque;

	if (!atomic_load(&j->cancelled) && copy_granules(j, off, n) < 0)
		atomic_store(&j->cancelled, true);
	return 0;
}

/* The guest stands still: what is to be copied is decided, and its writes are met from now on. */
static int freeze(struct image_job *j)
{
	const struct image_bitmap_ops *ops = image_bitmaps(j->im);
	uint64_t at, n;
	int r = 0;

	image_pause(j->im);
	if (j->bitmap) {
		for (uint64_t off = 0; ops->next(j->im, j->bitmap, off, true, &at, &n);
			off = at + n)
			tracker_mark(j->taken, at, n);
		for (uint64_t off = 0; tracker_next(j->taken, off, true, &at, &n); off = at + n)
			tracker_mark(j->todo, at, n);
		r = ops->clear(j->im, j->bitmap, &j->error);
	} else {
		tracker_mark(j->todo, 0, j->im->size);
	}
	atomic_store(&j->total, tracker_count(j->todo));
	if (!r) {
		j->im->before_opaque = j;
		j->im->before_write = before_write;
	}
	image_resume(j->im);
	return r;
}

static void thaw(struct image_job *j, bool failed)
{
	uint64_t at, n;

	image_pause(j->im);
	j->im->before_write = NULL;
	image_resume(j->im);
	if (!failed || !j->bitmap)
		return;
	for (uint64_t off = 0; tracker_next(j->taken, off, true, &at, &n); off = at + n)
		image_bitmaps(j->im)->mark(j->im, j->bitmap, at, n);
}

static int run_backup(struct image_job *j)
{
	uint64_t at, n;
	int r = freeze(j);

	if (r < 0)
		return r;
	while (!r && tracker_next(j->todo, 0, true, &at, &n)) {
		n = MIN(n, JOB_CHUNK);
		r = copy_granules(j, at, n);
		if (!r && !job_pace(j, n))
			r = -1;
	}
	if (!r && atomic_load(&j->cancelled))
		r = -1;
	if (!r)
		r = image_flush(j->target, &j->error);
	thaw(j, r < 0);
	return r;
}

struct image_job *job_backup(struct image *im, struct image *target, const char *bitmap,
	const struct job_options *o, GError **error)
{
	struct image_job *j;

	if (target->readonly || target->size < im->size) {
		fail(error, LODGE_ERROR_USAGE, "%s: is %s", target->file->path,
			target->readonly ? "open read-only" : "smaller than what it is to hold");
		return NULL;
	}
	if (bitmap && !image_bitmaps(im)) {
		fail(error, LODGE_ERROR_USAGE, "%s: keeps no bitmaps", im->file->path);
		return NULL;
	}
	j = job_new(im, target, o, error);
	if (!j)
		return NULL;
	j->bitmap = g_strdup(bitmap);
	/* A granule is written to the target whole: not less than its clusters, or they are copied.
	 */
	j->todo = tracker_new(im->size, JOB_GRANULE_SHIFT);
	j->taken = tracker_new(im->size, 9);
	if (!j->todo || !j->taken) {
		fail(error, LODGE_ERROR_HOST, "%s: is too large to be followed", im->file->path);
		job_free(j);
		return NULL;
	}
	j->run = run_backup;
	job_start(j);
	return j;
}
