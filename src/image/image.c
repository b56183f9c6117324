/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c: disk images: opening, checks on requests, synchronous access. I/O: queue.c. */
#include "image/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "image/format.h"

enum { QUEUES_MAX = 256 };

static int choose_format(struct image *im, const char *name, GError **error)
{
	uint8_t head[IMAGE_HEAD];
	ssize_t n;

	if (name) {
		im->format = format_by_name(name);
		if (!im->format)
			return fail(error, LODGE_ERROR_USAGE,
				    "%s: no image format is called '%s'; try 'raw'", im->file->path,
				    name);
	} else {
		n = file_read(im->file, 0, head, sizeof(head));
		if (n < 0)
			return fail_errno(error, LODGE_ERROR_FILE, -n, "%s: cannot read it",
					  im->file->path);
		im->format = format_probe(head, n);
		im->probed_raw = im->format == &image_format_raw;
	}
	if (!im->format->open)
		return fail(error, LODGE_ERROR_FILE,
			    "%s: is a %s image, which is not supported yet; convert it with "
			    "'qemu-img convert -O raw'%s",
			    im->file->path, im->format->name,
			    name ? "" : " (or say format=raw if its bytes are meant as they are)");
	return 0;
}

struct image *image_open(const struct image_options *o, GError **error)
{
	struct file_options fo = {
		.path = o->path, .readonly = o->readonly, .direct = o->direct, .no_lock = o->no_lock,
	};
	struct image *im;

	if (o->no_lock && !o->readonly) {
		fail(error, LODGE_ERROR_USAGE, "%s: writing without a lock is refused", o->path);
		return NULL;
	}
	if (o->queues > QUEUES_MAX) {
		fail(error, LODGE_ERROR_USAGE, "%s: %u queues, at most %d are possible", o->path,
		     o->queues, QUEUES_MAX);
		return NULL;
	}
	im = g_new0(struct image, 1);
	im->readonly = o->readonly;
	im->threads = o->threads;
	im->queue_count = MAX(o->queues, 1);
	im->queues = g_new0(struct image_queue *, im->queue_count);
	im->file = file_open(&fo, error);
	if (!im->file || choose_format(im, o->format, error) < 0 ||
	    im->format->open(im, o, error) < 0) {
		image_close(im);
		return NULL;
	}
	if (im->probed_raw && !im->readonly)
		log_warn("%s: taken for a raw disk by its content; say format=raw to make sure",
			 o->path);
	return im;
}

void image_close(struct image *im)
{
	if (!im)
		return;
	for (unsigned i = 0; i < im->queue_count; i++) {
		if (im->queues[i])
			queue_drain(im->queues[i]);
		queue_free(im->queues[i]);
	}
	if (im->file && !im->readonly && fdatasync(im->file->fd) < 0)
		log_warn("%s: the last flush failed: %s", im->file->path, g_strerror(errno));
	file_close(im->file);
	g_free(im->queues);
	g_free(im);
}

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
	struct stat st;

	return fstat(im->file->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

uint32_t image_discard_granularity(const struct image *im)
{
	return im->file->discard_granularity;
}

int image_queue_attach(struct image *im, unsigned queue, GMainContext *ctx, GError **error)
{
	if (queue >= im->queue_count || im->queues[queue])
		return fail(error, LODGE_ERROR_INTERNAL, "%s: queue %u is not free",
			    im->file->path, queue);
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

static int check_range(struct image *im, uint64_t off, size_t n, GError **error)
{
	if (off > im->size || n > im->size - off)
		return fail(error, LODGE_ERROR_FILE,
			    "%s: bytes %" G_GUINT64_FORMAT "+%zu are behind its end",
			    im->file->path, off, n);
	return 0;
}

int image_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error)
{
	if (check_range(im, off, n, error) < 0)
		return -1;
	for (size_t done = 0; done < n;) {
		struct extent x;
		ssize_t r = im->format->map(im, off + done, n - done, 0, &x);
		size_t part = r < 0 ? 0 : MIN(x.len, n - done);

		if (r >= 0)
			r = file_read(x.file, x.at, (char *)buf + done, part);
		if (r < 0)
			return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read it",
					  im->file->path);
		memset((char *)buf + done + r, 0, part - r);
		done += part;
	}
	return 0;
}

int image_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error)
{
	if (im->readonly)
		return fail(error, LODGE_ERROR_FILE, "%s: is open read-only", im->file->path);
	if (check_range(im, off, n, error) < 0)
		return -1;
	for (size_t done = 0; done < n;) {
		struct extent x;
		int r = im->format->map(im, off + done, n - done, 0, &x);
		size_t part = r < 0 ? 0 : MIN(x.len, n - done);

		if (r >= 0)
			r = file_write(x.file, x.at, (const char *)buf + done, part);
		if (r < 0)
			return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot write to it",
					  im->file->path);
		done += part;
	}
	return 0;
}
