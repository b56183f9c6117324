/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c: disk images as their users see them: facts, requests, synchronous calls. */
#include "image/image.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/engine.h"

uint64_t image_size(const struct image *im)
{
	return im->size;
}

const char *image_format_name(const struct image *im)
{
	return im->format->name;
}

const char *image_path(const struct image *im)
{
	return im->file->path;
}

bool image_readonly(const struct image *im)
{
	return im->readonly;
}

bool image_direct(const struct image *im)
{
	return im->file->direct_fd >= 0;
}

uint64_t image_allocated(const struct image *im)
{
	uint64_t n = file_allocated(im->file);

	for (unsigned i = 0; i < im->files.count; i++)
		n += file_allocated(im->files.file[i]);
	return n;
}

uint32_t image_discard_granularity(const struct image *im)
{
	return im->format->drop ? im->unit : im->file->discard_granularity;
}

struct image *image_backing(const struct image *im)
{
	return im->backing;
}

const char *image_backing_path(const struct image *im)
{
	return im->backing_path;
}

const char *image_backing_format(const struct image *im)
{
	return im->backing_format;
}

uint32_t image_cluster(const struct image *im)
{
	return im->cluster;
}

bool image_encrypted(const struct image *im)
{
	return im->cipher != NULL;
}

const struct image_snapshot_ops *image_snapshots(const struct image *im)
{
	return im->format->snapshots;
}

const struct image_bitmap_ops *image_bitmaps(const struct image *im)
{
	return im->format->bitmaps;
}

/* ---- requests ---- */

int image_queue_attach(struct image *im, unsigned queue, GMainContext *ctx, GError **error)
{
	if (queue >= im->queue_count || im->queues[queue])
		return fail(error, LODGE_ERROR_INTERNAL, "%s: queue %u is not free", im->file->path,
			queue);
	im->queues[queue] = queue_new(im, ctx, error);
	return im->queues[queue] ? 0 : -1;
}

static int check_request(struct image *im, const struct image_request *r)
{
	bool modifies = r->op == IMAGE_WRITE || r->op == IMAGE_DISCARD || r->op == IMAGE_ZERO;
	size_t sum = 0;

	if (r->op == IMAGE_FLUSH)
		return 0;
	if ((r->offset | r->length) & 511 || r->offset > im->size ||
		r->length > im->size - r->offset)
		return EINVAL;
	if (modifies && im->readonly)
		return EROFS;
	if (r->op == IMAGE_READ || r->op == IMAGE_WRITE) {
		for (int i = 0; i < r->iovcnt; i++)
			sum += r->iov[i].iov_len;
		if (sum != r->length)
			return EINVAL;
	}
	return 0;
}

void image_submit(struct image *im, unsigned queue, struct image_request *r)
{
	int err = check_request(im, r);

	r->image = im;
	r->queue = queue;
	if (err || (r->op != IMAGE_FLUSH && !r->length) || (r->op == IMAGE_FLUSH && im->readonly))
		r->done(r, err);
	else
		queue_submit(im->queues[queue], r);
}

void image_kick(struct image *im, unsigned queue)
{
	queue_kick(im->queues[queue]);
}

void image_drain(struct image *im, unsigned queue)
{
	if (im->queues[queue])
		queue_drain(im->queues[queue]);
}

/* ---- synchronous ---- */

static int failed(struct image *im, int r, const char *what, GError **error)
{
	if (r >= 0)
		return 0;
	return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot %s", im->file->path, what);
}

static int check_range(struct image *im, uint64_t off, uint64_t n, bool write, GError **error)
{
	if (off > im->size || n > im->size - off)
		return fail(error, LODGE_ERROR_FILE,
			"%s: bytes %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " are behind its end",
			im->file->path, off, n);
	if (write && im->readonly)
		return fail(error, LODGE_ERROR_FILE, "%s: is open read-only", im->file->path);
	return 0;
}

int image_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error)
{
	unsigned e;
	int r;

	if (check_range(im, off, n, false, error) < 0)
		return -1;
	e = epoch_enter(im);
	r = engine_read(im, off, buf, n);
	epoch_leave(im, e);
	return failed(im, r, "read it", error);
}

static int before_write(struct image *im, uint64_t off, uint64_t n)
{
	return im->before_write ? im->before_write(im->before_opaque, off, n) : 0;
}

int image_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error)
{
	unsigned e;
	int r;

	if (check_range(im, off, n, true, error) < 0)
		return -1;
	e = epoch_enter(im);
	r = before_write(im, off, n);
	if (!r)
		r = engine_write(im, off, buf, n);
	engine_track(im, off, n);
	epoch_leave(im, e);
	return failed(im, r, "write to it", error);
}

/* One cluster; the disk's last one may be short of a whole cluster. */
static int write_packed(struct image *im, uint64_t off, const uint8_t *cluster, void *packed)
{
	size_t n = im->format->pack(im, cluster, packed, engine_pack_cap(im));

	return n ? engine_put_packed(im, off, packed, n)
		 : engine_write(im, off, cluster, MIN(im->cluster, im->size - off));
}

size_t engine_pack_cap(const struct image *im)
{
	return im->packed_only ? im->cluster + 4096 : im->cluster - 1;
}

int engine_put_packed(struct image *im, uint64_t off, const void *packed, size_t n)
{
	struct image_range range;
	int r;

	range_init(&range, im, off, 1);
	range_take(im, &range);
	engine_lock(im);
	r = im->format->write_packed(im, off, packed, n);
	engine_unlock(im);
	packed_forget(im, off, im->cluster);
	range_release(im, &range);
	return r;
}

int image_pwrite_packed(struct image *im, uint64_t off, const void *buf, size_t n, GError **error)
{
	g_autofree uint8_t *packed = NULL, *last = NULL;
	unsigned e;
	int r = 0;

	if (check_range(im, off, n, true, error) < 0)
		return -1;
	if (!im->format->pack || !im->format->write_packed)
		return fail(error, LODGE_ERROR_USAGE, "%s: %s images cannot be compressed",
			im->file->path, im->format->name);
	if (off % im->cluster || (n % im->cluster && off + n != im->size))
		return fail(error, LODGE_ERROR_INTERNAL,
			"%s: parts of clusters cannot be compressed", im->file->path);
	packed = g_malloc(engine_pack_cap(im));
	e = epoch_enter(im);
	r = before_write(im, off, n);
	for (size_t at = 0; at < n && !r; at += im->cluster) {
		const uint8_t *from = (const uint8_t *)buf + at;

		if (n - at < im->cluster) {
			last = g_malloc0(im->cluster);
			memcpy(last, from, n - at);
			from = last;
		}
		r = write_packed(im, off + at, from, packed);
	}
	engine_track(im, off, n);
	epoch_leave(im, e);
	return failed(im, r, "write to it", error);
}

int image_zero(struct image *im, uint64_t off, uint64_t n, bool may_unmap, GError **error)
{
	unsigned e;
	int r;

	if (check_range(im, off, n, true, error) < 0)
		return -1;
	e = epoch_enter(im);
	r = before_write(im, off, n);
	if (!r)
		r = engine_zero(im, off, n, may_unmap);
	engine_track(im, off, n);
	epoch_leave(im, e);
	return failed(im, r, "write zeroes to it", error);
}

int image_discard(struct image *im, uint64_t off, uint64_t n, GError **error)
{
	unsigned e;
	int r;

	if (check_range(im, off, n, true, error) < 0)
		return -1;
	e = epoch_enter(im);
	r = before_write(im, off, n);
	if (!r)
		r = engine_discard(im, off, n);
	engine_track(im, off, n);
	epoch_leave(im, e);
	return failed(im, r, "discard bytes of it", error);
}

int image_empty(struct image *im, GError **error)
{
	if (check_range(im, 0, im->size, true, error) < 0)
		return -1;
	return failed(im, engine_empty(im), "empty it", error);
}

int image_flush(struct image *im, GError **error)
{
	return im->readonly ? 0 : failed(im, engine_flush(im), "flush it", error);
}

/* Narrows a run in a host file to what is data or a hole there. */
static void look_for_holes(const struct extent *x, struct image_run *out)
{
	uint64_t next;
	int r = file_seek(x->file, x->at, true, &next);

	if (r == -ENXIO || (!r && next > x->at)) {
		out->zero = true;
		if (!r)
			out->len = MIN(out->len, next - x->at);
	} else if (!r && !file_seek(x->file, x->at, false, &next) && next > x->at) {
		out->len = MIN(out->len, next - x->at);
	}
}

int image_map_depth(struct image *im, uint64_t off, uint64_t n, int depth, struct image_run *out,
	GError **error)
{
	struct place p;
	unsigned e;
	int r;

	if (check_range(im, off, n, false, error) < 0)
		return -1;
	e = epoch_enter(im);
	r = engine_find(im, off, n, 0, depth, &p);
	if (!r) {
		*out = (struct image_run){
			.len = p.x.len,
			.zero = p.x.kind == EXTENT_ZERO,
			.packed = p.x.kind == EXTENT_PACKED,
			.depth = p.depth,
			.present = !p.absent,
			.has_at = p.x.kind == EXTENT_DATA && !p.im->cipher,
			.at = p.x.at,
			.path = p.x.file ? p.x.file->path : NULL,
		};
		if (out->has_at)
			look_for_holes(&p.x, out);
	}
	epoch_leave(im, e);
	return failed(im, r, "read its tables", error);
}

int image_map(struct image *im, uint64_t off, uint64_t n, struct image_run *out, GError **error)
{
	return image_map_depth(im, off, n, ENGINE_ALL_LAYERS, out, error);
}

/* ---- the image as a whole ---- */

static int cannot(const struct image *im, const char *what, GError **error)
{
	return fail(error, LODGE_ERROR_USAGE, "%s: %s images cannot be %s", im->file->path,
		im->format->name, what);
}

int image_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	int r;

	if (!im->format->check)
		return cannot(im, "checked: there is nothing in them that could be wrong", error);
	if (repair && im->readonly)
		return fail(error, LODGE_ERROR_USAGE, "%s: is open read-only", im->file->path);
	engine_lock(im);
	r = im->format->check(im, out, repair, error);
	engine_unlock(im);
	return r;
}

/* What a smaller disk left behind in its last cluster must not come back: it goes, for good, before
 * the disk grows over it. Only where a format can be asked about places behind the end. */
static int clear_tail(struct image *im)
{
	uint64_t n = -im->size & (im->cluster - 1);
	g_autofree void *zeroes = NULL;
	struct place p;
	int r;

	if (!im->format->vmstate_base || !n)
		return 0;
	r = engine_find(im, im->size, n, 0, ENGINE_ALL_LAYERS, &p);
	if (r < 0 || (p.x.kind == EXTENT_ZERO && p.x.len == n))
		return r;
	zeroes = g_malloc0(n);
	r = engine_write(im, im->size, zeroes, n);
	return r < 0 ? r : engine_flush(im);
}

/* What was added reads as zeroes: neither as the rest of what was the last cluster, nor as what a
 * larger backing file has there. */
static int clear_new_part(struct image *im, uint64_t old)
{
	uint64_t end = (old + im->cluster - 1) / im->cluster * im->cluster;

	if (im->backing && im->backing->size > end)
		end = im->backing->size;
	end = MIN(end, im->size);
	return end > old ? engine_zero(im, old, end - old, true) : 0;
}

int image_resize(struct image *im, uint64_t size, const struct image_spec *spec, GError **error)
{
	uint64_t old = im->size;
	int r;

	if (!im->format->resize)
		return cannot(im, "resized", error);
	if (im->readonly)
		return fail(error, LODGE_ERROR_USAGE, "%s: is open read-only", im->file->path);
	if (!size || size > INT64_MAX - 511)
		return fail(error, LODGE_ERROR_USAGE, "%s: cannot be of that size", im->file->path);
	r = size > old ? clear_tail(im) : 0;
	if (r < 0)
		return failed(im, r, "write zeroes to it", error);
	engine_lock(im);
	r = im->format->resize(im, (size + 511) & ~511ull, spec, error);
	engine_unlock(im);
	packed_forget(im, 0, INT64_MAX);
	return r < 0 ? r : failed(im, clear_new_part(im, old), "write zeroes to it", error);
}

int image_amend(struct image *im, const struct image_spec *spec, GError **error)
{
	int r;

	if (!im->format->amend)
		return cannot(im, "amended", error);
	engine_lock(im);
	r = im->format->amend(im, spec, error);
	engine_unlock(im);
	return r;
}

int image_set_backing(struct image *im, const char *path, const char *format, GError **error)
{
	int r;

	if (!im->format->set_backing)
		return cannot(im, "given a backing file", error);
	if (path && !format)
		return fail(error, LODGE_ERROR_USAGE, "%s: say in which format the backing file is",
			im->file->path);
	engine_lock(im);
	r = im->format->set_backing(im, path, format, error);
	engine_unlock(im);
	if (!r) {
		g_free(im->backing_path);
		g_free(im->backing_format);
		im->backing_path = g_strdup(path);
		im->backing_format = g_strdup(path ? format : NULL);
	}
	return r;
}

void image_info(struct image *im, json_t *object)
{
	if (!im->format->info)
		return;
	engine_lock(im);
	im->format->info(im, object);
	engine_unlock(im);
}

int image_vmstate_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error)
{
	if (!im->format->vmstate_base)
		return cannot(im, "asked for machine state", error);
	return failed(im, engine_read(im, im->format->vmstate_base(im) + off, buf, n),
		"read machine state of it", error);
}

int image_vmstate_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error)
{
	if (!im->format->vmstate_base || im->readonly)
		return cannot(im, "given machine state", error);
	return failed(im, engine_write(im, im->format->vmstate_base(im) + off, buf, n),
		"write machine state to it", error);
}
