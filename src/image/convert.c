/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * convert.c: copies what one image reads as into another. Threads take pieces of the source in
 * turn; holes are skipped by the source's tables, zeroes by looking. A piece fits a core's cache,
 * so that the data pass through it once on the way.
 */
#include "image/convert.h"

#include <errno.h>
#include <stdatomic.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "image/file.h"
#include "image/engine.h"
#include "image/image.h"

enum {
	PIECE = 256 << 10, /* bytes read at a time */
	PACKED_SHARE = 1 << 20,
	SHARE = 4 << 20, /* bytes a thread takes at a time: writes of one thread are in order */
	THREADS_MAX = 64,
	TICK_US = 100 * 1000,
	ALIGN = 4096,
};

struct job {
	struct image *from, *to;
	const struct convert_options *o;
	uint64_t size; /* bytes to copy */
	uint32_t piece, share;
	int depth; /* layers to look at below the source */
	bool both_raw, offload, packed;
	bool zeroed; /* the target reads as zeroes where nothing is written */
	GMutex lock;
	GCond ended;
	uint64_t next;    /* first byte nobody has taken */
	uint64_t written; /* packed: all before it is */
	GCond turned;
	unsigned running;
	GError *error; /* the first */
	_Atomic bool stop;
	_Atomic bool no_offload;
	_Atomic uint64_t done, unreadable;
	int64_t began;
};

static void give_up(struct job *j, GError *error)
{
	g_mutex_lock(&j->lock);
	if (!j->error)
		j->error = g_steal_pointer(&error);
	g_mutex_unlock(&j->lock);
	g_clear_error(&error);
	j->stop = true;
}

static int put_zero(struct job *j, uint64_t off, uint64_t n, GError **error)
{
	return j->zeroed && j->o->sparse ? 0 : image_zero(j->to, off, n, true, error);
}

static int put(struct job *j, uint64_t off, const uint8_t *buf, size_t n, GError **error)
{
	size_t run;
	bool zero = false;

	if (!j->o->sparse)
		return image_pwrite(j->to, off, buf, n, error);
	for (size_t at = 0; at < n; at += run) {
		run = zero_run(buf + at, n - at, j->o->sparse, &zero);
		if ((zero ? put_zero(j, off + at, run, error)
			  : image_pwrite(j->to, off + at, buf + at, run, error)) < 0)
			return -1;
	}
	return 0;
}

static int get(struct job *j, uint64_t off, uint8_t *buf, size_t n, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (!image_pread(j->from, off, buf, n, &why))
		return 0;
	if (!j->o->salvage) {
		g_propagate_error(error, g_steal_pointer(&why));
		return -1;
	}
	for (size_t at = 0; at < n; at += 512) {
		size_t part = MIN(512, n - at);

		if (image_pread(j->from, off + at, buf + at, part, NULL) < 0) {
			memset(buf + at, 0, part);
			atomic_fetch_add(&j->unreadable, part);
		}
	}
	return 0;
}

/*
 * Raw to raw: the file system shares the bytes, or copies them itself. Done: true. Where it can
 * only copy, looking for zeroes is worth more.
 */
static bool offload(struct job *j, const struct image_run *run, uint64_t off, uint64_t n)
{
	loff_t at = run->at, to = off;
	ssize_t r;

	if (!j->offload || j->no_offload || !run->has_at || j->from->file->fd < 0 ||
		run->path != j->from->file->path)
		return false;
	while (n) {
		r = copy_file_range(j->from->file->fd, &at, j->to->file->fd, &to, n, 0);
		if (r <= 0) {
			j->no_offload = true;
			return false;
		}
		n -= r;
	}
	return true;
}

/* A run of the source that may hold data: [off, off + n). */
static int copy_data(struct job *j, uint64_t off, uint64_t n, uint8_t *buf, GError **error)
{
	while (n && !j->stop) {
		size_t part = MIN(n, j->piece - off % j->piece);

		if (get(j, off, buf, part, error) < 0 || put(j, off, buf, part, error) < 0)
			return -1;
		off += part;
		n -= part;
		atomic_fetch_add(&j->done, part);
	}
	return 0;
}

/* What the source is at off, at most n bytes; absent: only layers that stay below have it. */
static int look(struct job *j, uint64_t off, uint64_t n, struct image_run *run, bool *absent,
	GError **error)
{
	if (image_map_depth(j->from, off, n, j->depth, run, error) < 0)
		return -1;
	*absent = j->o->below_stays && !run->present;
	return 0;
}

static int copy_share(struct job *j, uint64_t off, uint64_t end, uint8_t *buf, GError **error)
{
	while (off < end && !j->stop) {
		struct image_run run;
		bool absent;
		uint64_t n;
		int r = 0;

		if (look(j, off, end - off, &run, &absent, error) < 0)
			return -1;
		n = MIN(run.len, end - off);
		if (absent || run.zero) {
			if (!absent)
				r = put_zero(j, off, n, error);
			atomic_fetch_add(&j->done, n);
		} else if (offload(j, &run, off, n)) {
			atomic_fetch_add(&j->done, n);
		} else {
			r = copy_data(j, off, n, buf, error);
		}
		if (r < 0)
			return -1;
		off += n;
	}
	return 0;
}

/* ---- compressed ---- */

/*
 * A share is read and compressed by any thread, and then written when those before it were: the
 * clusters lie in the file in the disk's order, which formats that are read as streams need.
 */
struct packed_share {
	uint8_t *room; /* owned: the results */
	struct piece {
		uint64_t off;
		size_t n, plain; /* bytes in room; plain: of the disk, not compressed */
		uint8_t *at;     /* NULL: zeroes */
	} * pieces;              /* owned */
	unsigned count;
};

/* Whether [off, off + n) is zeroes or absent in whole, by the source's tables. */
static int look_whole(
	struct job *j, uint64_t off, uint64_t n, bool *ret_absent, bool *ret_zero, GError **error)
{
	*ret_absent = *ret_zero = true;
	for (uint64_t at = 0; at < n && (*ret_absent || *ret_zero);) {
		struct image_run run;
		bool absent;

		if (look(j, off + at, n - at, &run, &absent, error) < 0)
			return -1;
		*ret_absent &= absent;
		*ret_zero &= run.zero || absent;
		at += run.len;
	}
	*ret_zero &= !j->o->below_stays || !*ret_absent;
	return 0;
}

/* Fills the next piece of the share; *used bytes of its room are taken. */
static int pack_one(struct job *j, struct packed_share *p, uint64_t off, size_t n, uint8_t *buf,
	size_t *used, GError **error)
{
	const struct image *to = j->to;
	struct piece *x = &p->pieces[p->count];
	bool absent, zero;

	if (look_whole(j, off, n, &absent, &zero, error) < 0)
		return -1;
	if (absent && j->o->below_stays)
		return 0;
	*x = (struct piece){ .off = off, .n = n };
	p->count++;
	if (zero)
		return 0;
	if (get(j, off, buf, n, error) < 0)
		return -1;
	if (bytes_are_zero(buf, n))
		return 0;
	memset(buf + n, 0, to->cluster - n);
	x->at = p->room + *used;
	x->n = to->format->pack(to, buf, x->at, engine_pack_cap(to));
	if (!x->n) {
		memcpy(x->at, buf, n);
		x->plain = x->n = n;
	}
	*used += x->n;
	return 0;
}

static int write_share(struct job *j, const struct packed_share *p, GError **error)
{
	for (unsigned i = 0; i < p->count && !j->stop; i++) {
		const struct piece *x = &p->pieces[i];
		int r;

		if (x->at && !x->plain) {
			r = engine_put_packed(j->to, x->off, x->at, x->n);
			if (r < 0)
				return fail_errno(error, LODGE_ERROR_FILE, -r,
					"%s: cannot write to it", image_path(j->to));
			continue;
		}
		r = x->at ? image_pwrite(j->to, x->off, x->at, x->plain, error)
			  : put_zero(j, x->off, x->n, error);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int pack_share(struct job *j, uint64_t off, uint64_t end, uint8_t *buf, GError **error)
{
	uint32_t cluster = j->to->cluster, clusters = (end - off + cluster - 1) / cluster;
	struct packed_share p = { .room = g_malloc(clusters * (engine_pack_cap(j->to) + 1)),
		.pieces = g_new(struct piece, clusters) };
	uint64_t turn = off;
	size_t used = 0;
	int r = 0;

	for (uint64_t at = off; at < end && !r && !j->stop; at += cluster) {
		r = pack_one(j, &p, at, MIN(cluster, end - at), buf, &used, error);
		atomic_fetch_add(&j->done, MIN(cluster, end - at));
	}
	g_mutex_lock(&j->lock);
	while (!r && !j->stop && j->written != turn)
		g_cond_wait(&j->turned, &j->lock);
	g_mutex_unlock(&j->lock);
	if (!r)
		r = write_share(j, &p, error);
	if (r < 0)
		j->stop = true; /* or the others would wait for ever */
	g_mutex_lock(&j->lock);
	j->written = end;
	g_cond_broadcast(&j->turned);
	g_mutex_unlock(&j->lock);
	g_free(p.room);
	g_free(p.pieces);
	return r;
}

/* Waits until the whole copy is no faster than it may be. */
static void pace(struct job *j)
{
	while (j->o->rate && !j->stop) {
		int64_t due = j->began + (int64_t)((double)j->done / (double)j->o->rate * 1e6);
		int64_t now = g_get_monotonic_time();

		if (now >= due)
			return;
		g_usleep(MIN(due - now, TICK_US));
	}
}

static void *worker(void *opaque)
{
	struct job *j = opaque;
	GError *error = NULL;
	uint8_t *buf = NULL;

	if (posix_memalign((void **)&buf, ALIGN, MAX(j->piece, j->to->cluster)))
		fail(&error, LODGE_ERROR_HOST, "no memory for a buffer of %u bytes", j->piece);
	while (!error && !j->stop) {
		uint64_t off, end;

		g_mutex_lock(&j->lock);
		off = j->next;
		end = j->next = MIN(off + j->share, j->size);
		g_mutex_unlock(&j->lock);
		if (off >= end)
			break;
		pace(j);
		if (j->packed)
			pack_share(j, off, end, buf, &error);
		else
			copy_share(j, off, end, buf, &error);
	}
	if (error)
		give_up(j, error);
	free(buf);
	g_mutex_lock(&j->lock);
	j->running--;
	g_cond_signal(&j->ended);
	g_mutex_unlock(&j->lock);
	return NULL;
}

static void run_threads(struct job *j, unsigned n)
{
	GThread *thread[THREADS_MAX];

	j->running = n;
	for (unsigned i = 0; i < n; i++)
		thread[i] = g_thread_new("convert", worker, j);
	g_mutex_lock(&j->lock);
	while (j->running) {
		g_cond_wait_until(&j->ended, &j->lock, g_get_monotonic_time() + TICK_US);
		if (!j->running || !j->o->tick)
			continue;
		g_mutex_unlock(&j->lock);
		if (!j->o->tick(j->o->opaque, j->done, j->size))
			j->stop = true;
		g_mutex_lock(&j->lock);
	}
	g_mutex_unlock(&j->lock);
	for (unsigned i = 0; i < n; i++)
		g_thread_join(thread[i]);
}

/* What the target has behind the source's end. */
static int finish(struct job *j, GError **error)
{
	uint64_t size = image_size(j->to);

	if (j->stop || size <= j->size)
		return 0;
	return put_zero(j, j->size, size - j->size, error);
}

/* All of it at once, shared by the file system until written to. */
static bool reflink(struct job *j)
{
	return j->both_raw && j->o->target_zero && !j->o->packed &&
	       !ioctl(j->to->file->fd, FICLONE, j->from->file->fd) &&
	       !file_truncate(j->to->file, image_size(j->to));
}

int image_convert(struct image *from, struct image *to, struct convert_options *o, GError **error)
{
	struct job j = { .from = from, .to = to, .o = o, .piece = PIECE, .share = SHARE };
	unsigned threads = o->threads ? o->threads : g_get_num_processors();
	uint32_t cluster = MAX(image_cluster(to), image_cluster(from));

	j.size = MIN(image_size(from), image_size(to));
	while (j.piece < cluster && j.piece < SHARE)
		j.piece *= 2;
	j.packed = o->packed || to->packed_only;
	if (j.packed && (!to->format->pack || !to->format->write_packed))
		return fail(error, LODGE_ERROR_USAGE, "%s: %s images cannot be compressed",
			image_path(to), to->format->name);
	if (j.packed)
		j.share = MAX(PACKED_SHARE, to->cluster);
	/* An empty encrypted disk without tables deciphers to noise. */
	j.zeroed = o->target_zero && !(to->cipher && to->cluster == 1);
	j.depth = o->below_stays ? o->depth - 1 : G_MAXINT16;
	j.both_raw = from->format == &image_format_raw && to->format == &image_format_raw &&
		     from->file->fd >= 0 && to->file->fd >= 0;
	j.offload = j.both_raw && !o->sparse;
	j.began = g_get_monotonic_time();
	g_mutex_init(&j.lock);
	g_cond_init(&j.ended);
	g_cond_init(&j.turned);
	threads = MIN(MIN(threads, THREADS_MAX), MAX(1, (j.size + j.share - 1) / j.share));
	if (!reflink(&j))
		run_threads(&j, threads);
	if (!j.error)
		finish(&j, &j.error);
	g_mutex_clear(&j.lock);
	g_cond_clear(&j.ended);
	g_cond_clear(&j.turned);
	o->unreadable = j.unreadable;
	if (j.error) {
		g_propagate_error(error, j.error);
		return -1;
	}
	if (!j.stop && o->tick)
		o->tick(o->opaque, j.size, j.size);
	return j.stop ? -1 : 0;
}

int image_data_bytes(struct image *im, int depth, uint64_t *ret, GError **error)
{
	uint64_t sum = 0;

	for (uint64_t off = 0; off < image_size(im);) {
		struct image_run run;

		if (image_map_depth(im, off, image_size(im) - off, depth, &run, error) < 0)
			return -1;
		if (run.present && !run.zero)
			sum += run.len;
		off += run.len;
	}
	*ret = sum;
	return 0;
}
