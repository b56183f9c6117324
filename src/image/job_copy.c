/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job_copy.c: jobs that copy while the guest writes: mirror, commit, stream. */
#include <errno.h>

#include "base/error.h"
#include "image/job_priv.h"

enum { IDLE = 5000 /* µs between looks for new work */ };

/* ---- copies that follow ---- */

/* Copies the marked granules, once over the disk. The mark goes first: what is written while the
 * granule is read is marked again once it is there. */
static int copy_marked(struct image_job *j, bool paced)
{
	uint64_t at, n;

	for (uint64_t off = 0; tracker_next(j->todo, off, true, &at, &n); off = at + n) {
		n = MIN(n, JOB_CHUNK);
		tracker_unmark(j->todo, at, n);
		if (job_copy(j, j->target, at, n) < 0)
			return -1;
		atomic_fetch_add(&j->done, n);
		atomic_store(&j->total, atomic_load(&j->done) + tracker_count(j->todo));
		if (paced && !job_pace(j, n))
			return -1;
	}
	return 0;
}

/* Marks what is to be copied at the start. */
static int mark_extent(struct image_job *j)
{
	struct image *im = j->im;
	struct image_run run;

	for (uint64_t off = 0; off < im->size && j->what != MIRROR_NONE; off += run.len) {
		run.len = im->size;
		if (j->what == MIRROR_FULL) {
			tracker_mark(j->todo, 0, im->size);
			break;
		}
		if (image_map_depth(im, off, im->size - off, 0, &run, &j->error) < 0)
			return -1;
		if (run.present)
			tracker_mark(j->todo, off, run.len);
	}
	atomic_store(&j->total, tracker_count(j->todo));
	return 0;
}

/* The guest stands still: the rest, and the change-over. */
static int catch_up(struct image_job *j)
{
	int r;

	image_pause(j->im);
	r = copy_marked(j, false);
	if (!r)
		r = image_flush(j->target, &j->error);
	if (!r && atomic_load(&j->pivot))
		r = image_flush(j->im, &j->error);
	if (!r && atomic_load(&j->pivot))
		image_swap(j->im, j->target);
	tracker_detach(j->im, j->todo);
	image_resume(j->im);
	return r;
}

static int follow(struct image_job *j)
{
	int r;

	tracker_attach(j->im, j->todo);
	atomic_store(&j->todo->enabled, true);
	r = mark_extent(j);
	while (!r) {
		r = copy_marked(j, true);
		if (r < 0)
			break;
		/* What the guest has written since is little; it may never be nothing. */
		job_enter(j, JOB_READY);
		if (atomic_load(&j->completing))
			return catch_up(j);
		if (atomic_load(&j->cancelled))
			r = -1;
		g_usleep(IDLE);
	}
	tracker_detach(j->im, j->todo);
	return r;
}

static bool prepare(struct image_job *j, GError **error)
{
	j->todo = tracker_new(j->im->size, JOB_GRANULE_SHIFT);
	if (j->todo)
		return true;
	fail(error, LODGE_ERROR_HOST, "%s: is too large to be followed", j->im->file->path);
	job_free(j);
	return false;
}

struct image_job *job_mirror(struct image *im, struct image *target, enum mirror_extent what,
	const struct job_options *o, GError **error)
{
	struct image_job *j;

	if (target->readonly || target->size < im->size) {
		fail(error, LODGE_ERROR_USAGE, "%s: is %s", target->file->path,
			target->readonly ? "open read-only" : "smaller than what it is to hold");
		return NULL;
	}
	j = job_new(im, target, o, error);
	if (!j || !prepare(j, error))
		return NULL;
	j->what = what;
	j->run = follow;
	job_start(j);
	return j;
}

/* ---- commit ---- */

/* Opens the image below once more, as `o` says, in place of the one that is open. */
static int reopen_below(
	struct image *im, const struct image_options *user, bool readonly, GError **error)
{
	struct image_options o = user ? *user : (struct image_options){ 0 };
	g_autofree char *path = g_strdup(im->backing->file->path);
	const char *format = im->backing->format->name;
	struct image *below, *old;

	o.path = path;
	o.format = format;
	o.readonly = readonly;
	o.queues = 0;
	image_pause(im);
	/* Two opened at once would be in each other's locks. */
	old = g_steal_pointer(&im->backing);
	image_close(old);
	below = image_open(&o, error);
	if (!below && !readonly) {
		o.readonly = true;
		im->backing = image_open(&o, NULL);
	} else {
		im->backing = below;
	}
	image_resume(im);
	return below ? 0 : -1;
}

static int run_commit(struct image_job *j)
{
	/* A completed commit always changes over. */
	atomic_store(&j->pivot, true);
	return follow(j);
}

/* After the change-over the target is the overlay, and what it stood on is the image itself. */
static void commit_fini(struct image_job *j)
{
	if (!j->error && j->thread) {
		struct image *overlay = j->target;

		overlay->backing = NULL;
		image_close(overlay);
	} else if (j->im->backing) {
		reopen_below(j->im, NULL, true, NULL);
	}
}

struct image_job *job_commit(struct image *im, const struct image_options *open,
	const struct job_options *o, GError **error)
{
	struct image_job *j;

	if (!im->backing) {
		fail(error, LODGE_ERROR_USAGE, "%s: stands on no other image", im->file->path);
		return NULL;
	}
	j = job_new(im, NULL, o, error);
	if (!j)
		return NULL;
	if (reopen_below(im, open, false, error) < 0 ||
		(im->backing->size < im->size &&
			image_resize(im->backing, im->size, NULL, error) < 0)) {
		job_free(j);
		return NULL;
	}
	j->target = im->backing;
	if (!prepare(j, error))
		return NULL;
	j->what = MIRROR_TOP;
	j->run = run_commit;
	j->fini = commit_fini;
	job_start(j);
	return j;
}

/* ---- stream ---- */

/* Brings [off, off + n) up, unless the guest has written it meanwhile. 0 or a negative errno. */
static int bring_up(struct image_job *j, uint64_t off, uint64_t n)
{
	struct image *im = j->im;
	struct image_range range;
	unsigned e = epoch_enter(im);
	uint64_t end = off + n;
	int r = 0;

	range_init(&range, im, off, n);
	range_take(im, &range);
	while (off < end && !r) {
		struct extent x;

		engine_lock(im);
		r = im->format->map(im, off, end - off, 0, &x);
		engine_unlock(im);
		if (r < 0)
			break;
		n = MIN(x.len, end - off);
		if (x.kind == EXTENT_BACKING) {
			r = engine_read(im, off, j->buf, n);
			if (!r)
				r = engine_write_locked(im, off, j->buf, n);
		}
		off += n;
	}
	range_release(im, &range);
	epoch_leave(im, e);
	return r;
}

static int stand_alone(struct image_job *j)
{
	struct image *im = j->im, *below;
	int r;

	image_pause(im);
	r = image_flush(im, &j->error);
	if (!r)
		r = image_set_backing(im, NULL, NULL, &j->error);
	below = r < 0 ? NULL : g_steal_pointer(&im->backing);
	image_resume(im);
	image_close(below);
	return r;
}

static int run_stream(struct image_job *j)
{
	struct image *im = j->im;
	struct image_run run;
	uint64_t n;

	atomic_store(&j->total, im->size);
	for (uint64_t off = 0; off < im->size; off += n) {
		int r = image_map(im, off, im->size - off, &run, &j->error);

		if (r < 0)
			return r;
		n = run.depth && run.present ? MIN(run.len, JOB_CHUNK) : run.len;
		/* Nothing below has it, and nothing will be below: it reads as zeroes either way.
		 */
		r = run.depth && run.present && !run.zero ? bring_up(j, off, n) : 0;
		if (r < 0)
			return fail_errno(&j->error, LODGE_ERROR_FILE, -r,
				"%s: cannot take over what is below", im->file->path);
		atomic_store(&j->done, off + n);
		if (!job_pace(j, run.depth && !run.zero ? n : 0))
			return -1;
	}
	return stand_alone(j);
}

struct image_job *job_stream(struct image *im, const struct job_options *o, GError **error)
{
	struct image_job *j;

	if (!im->backing || im->readonly) {
		fail(error, LODGE_ERROR_USAGE, "%s: %s", im->file->path,
			im->readonly ? "is open read-only" : "stands on no other image");
		return NULL;
	}
	j = job_new(im, NULL, o, error);
	if (!j)
		return NULL;
	j->run = run_stream;
	job_start(j);
	return j;
}
