/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.c: a job's thread, its pace, its progress and its end. */
#include "image/job.h"

#include "base/error.h"
#include "image/convert.h"
#include "image/job_priv.h"

enum { PACE_SPAN = 1000000 /* µs after which the rate is reckoned anew */ };

struct image_job *job_new(
	struct image *im, struct image *target, const struct job_options *o, GError **error)
{
	struct image_job *j;
	unsigned none = 0;

	if (!atomic_compare_exchange_strong(&im->jobs, &none, 1)) {
		fail(error, LODGE_ERROR_USAGE, "%s: has a job already", im->file->path);
		return NULL;
	}
	j = g_new0(struct image_job, 1);
	j->im = im;
	j->target = target;
	j->o = o ? *o : (struct job_options){ 0 };
	atomic_store(&j->rate, j->o.rate);
	j->buf = g_malloc(JOB_CHUNK);
	g_mutex_init(&j->lock);
	return j;
}

void job_free(struct image_job *j)
{
	if (j->fini)
		j->fini(j);
	atomic_store(&j->im->jobs, 0);
	tracker_free(j->todo);
	tracker_free(j->taken);
	g_mutex_clear(&j->lock);
	g_free(j->bitmap);
	g_free(j->buf);
	g_clear_error(&j->error);
	g_free(j);
}

void job_enter(struct image_job *j, enum job_state s)
{
	if (atomic_exchange(&j->state, (int)s) != (int)s && j->o.changed)
		j->o.changed(j, s, j->o.opaque);
}

static gpointer job_thread(gpointer opaque)
{
	struct image_job *j = opaque;
	int r = j->run(j);

	if (r < 0 && !j->error)
		fail(&j->error, LODGE_ERROR_USAGE, "%s: the job was cancelled", j->im->file->path);
	job_enter(j, JOB_DONE);
	return NULL;
}

void job_start(struct image_job *j)
{
	j->thread = g_thread_new("image-job", job_thread, j);
}

bool job_pace(struct image_job *j, uint64_t n)
{
	int64_t now = g_get_monotonic_time(), due;
	uint64_t rate = atomic_load(&j->rate);

	if (!rate)
		return !atomic_load(&j->cancelled);
	if (!j->started || now - j->started > PACE_SPAN) {
		j->started = now;
		j->spent = 0;
	}
	j->spent += n;
	due = j->started + (int64_t)((double)j->spent * 1e6 / rate);
	while (!atomic_load(&j->cancelled) && (now = g_get_monotonic_time()) < due)
		g_usleep(MIN(due - now, 20000));
	return !atomic_load(&j->cancelled);
}

int job_copy(struct image_job *j, struct image *target, uint64_t off, uint64_t n)
{
	n = MIN(n, j->im->size - MIN(off, j->im->size));
	if (!n)
		return 0;
	if (image_pread(j->im, off, j->buf, n, &j->error) < 0)
		return -1;
	if (bytes_are_zero(j->buf, n))
		return image_zero(target, off, n, true, &j->error);
	return image_pwrite(target, off, j->buf, n, &j->error);
}

enum job_state job_state(const struct image_job *j)
{
	return atomic_load(&j->state);
}

void job_progress(const struct image_job *j, uint64_t *ret_done, uint64_t *ret_total)
{
	*ret_done = atomic_load(&j->done);
	*ret_total = MAX(atomic_load(&j->total), *ret_done);
}

void job_set_rate(struct image_job *j, uint64_t rate)
{
	atomic_store(&j->rate, rate);
}

void job_cancel(struct image_job *j)
{
	atomic_store(&j->cancelled, true);
}

void job_complete(struct image_job *j, bool pivot)
{
	atomic_store(&j->pivot, pivot);
	atomic_store(&j->completing, true);
}

int job_finish(struct image_job *j, GError **error)
{
	int r;

	g_thread_join(j->thread);
	r = j->error ? -1 : 0;
	if (j->error)
		g_propagate_error(error, g_steal_pointer(&j->error));
	job_free(j);
	return r;
}
