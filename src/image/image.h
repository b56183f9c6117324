/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h: a disk image as its user sees it: asynchronous reads, writes, flushes, discards and
 * zeroing of guest bytes, whatever the format below. A format (format.h) only says where bytes live.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct image;

struct image_options {
	const char *path;
	const char *format; /* "raw", later "qcow2", …; NULL: by content, never trusting a raw disk's
			       own bytes (a probed image that turns out raw gets a warning) */
	bool readonly;
	bool direct;	    /* O_DIRECT */
	bool no_lock;	    /* open although another process holds the image: only for inspection */
	unsigned queues;    /* independent submission contexts, 1.. */
	bool threads;	    /* a thread pool even where io_uring works */
};

enum image_op { IMAGE_READ, IMAGE_WRITE, IMAGE_FLUSH, IMAGE_DISCARD, IMAGE_ZERO };

/*
 * One request. The caller fills it, keeps it and its buffers alive until done() was called. done
 * runs on the queue's loop thread or inside image_submit; it may submit again and may free the
 * request.
 */
struct image_request {
	enum image_op op;
	uint64_t offset, length; /* bytes, within the image; multiples of 512 */
	const struct iovec *iov; /* READ, WRITE: sums up to length */
	int iovcnt;
	bool fua;		 /* WRITE: on stable storage before done */
	bool may_unmap;		 /* ZERO */
	void (*done)(struct image_request *r, int err); /* 0 or a positive errno */
	void *opaque;
	/* private to the image library */
	struct image *image;
	unsigned queue;
	void *priv[4];
};

/* Takes the lock the way QEMU does (byte-range OFD locks), so that neither opens what the other
 * writes; a locked, absent, unreadable or damaged image fails with the path and the cure named. */
struct image *image_open(const struct image_options *o, GError **error);
/* Waits for I/O in flight, flushes, closes. NULL is allowed. */
void image_close(struct image *im);

uint64_t image_size(const struct image *im);	/* guest bytes */
const char *image_format_name(const struct image *im);
const char *image_path(const struct image *im);
bool image_readonly(const struct image *im);
bool image_direct(const struct image *im);
uint64_t image_allocated(const struct image *im); /* bytes used on the host; 0 if unknown */
/* Smallest discard that frees something, bytes; 0: discard is not possible. */
uint32_t image_discard_granularity(const struct image *im);

/* Each queue completes on the GMainContext it is attached to (NULL: the default one). Before the
 * first submit to that queue. */
int image_queue_attach(struct image *im, unsigned queue, GMainContext *ctx, GError **error);
/* Any thread. done() may be called before this or image_kick() returns; else the context's thread or
 * another submitter's calls it. Never nested: a done() that submits is back before the next runs. */
void image_submit(struct image *im, unsigned queue, struct image_request *r);
/* Pushes out what image_submit batched; call once after a burst (also after one in a done()). */
void image_kick(struct image *im, unsigned queue);
/* Returns when the queue has nothing in flight (done() called for all). Any thread while no new
 * requests are submitted; hold no lock that done() takes. */
void image_drain(struct image *im, unsigned queue);

/* Synchronous convenience for tools, loaders and tests. 0 or -1 with error. */
int image_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error);
int image_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error);

#endif
