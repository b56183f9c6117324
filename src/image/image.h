/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h: a disk image as its user sees it: asynchronous reads, writes, flushes, discards and
 * zeroing of guest bytes, whatever the format below. A format (format.h) only says where bytes
 * live.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct file;
struct image;
struct image_bitmap_ops;
struct image_report;
struct image_snapshot_ops;
struct image_spec;

struct image_options {
	const char *path;
	const char
		*format; /* "raw", later "qcow2", …; NULL: by content, never trusting a raw disk's
			    own bytes (a probed image that turns out raw gets a warning) */
	bool readonly;
	bool direct;        /* O_DIRECT */
	bool no_lock;       /* open although another process holds the image: only for inspection */
	unsigned queues;    /* independent submission contexts, 1.. */
	bool threads;       /* a thread pool even where io_uring works */
	const char *secret; /* of an encrypted image */
	uint64_t cache;     /* bytes of tables kept in memory, at most; 0: as the format likes */
	bool for_check;     /* a damaged image is opened as far as possible; no backing files */
	/*
	 * An image names the files below it, and whoever wrote the image chose those names: they
	 * are opened only by a format the image states, and only in the folder of the image that
	 * was opened, in the folders listed here, and below those. A URL needs an entry it begins
	 * with.
	 */
	const char *const *backing_dirs; /* NULL ends it; NULL: none */
	bool no_sync;    /* leaves it to the host when bytes reach the disk: for a copy that is made
			    anew after a crash; not for queues */
	bool no_backing; /* what is below is not opened, and reads of it fail */
	const char *backing_format; /* for an image that names a file but no format */
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
	bool fua;                                       /* WRITE: on stable storage before done */
	bool may_unmap;                                 /* ZERO */
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
/* The same in a container that is open already; it is the image's from now on, also on failure. */
struct image *image_open_file(struct file *f, const struct image_options *o, GError **error);
/* Waits for I/O in flight, flushes, closes. NULL is allowed. */
void image_close(struct image *im);

uint64_t image_size(const struct image *im); /* guest bytes */
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
/* Any thread. done() may be called before this or image_kick() returns; else the context's thread
 * or another submitter's calls it. Never nested: a done() that submits is back before the next
 * runs. */
void image_submit(struct image *im, unsigned queue, struct image_request *r);
/* Pushes out what image_submit batched; call once after a burst (also after one in a done()). */
void image_kick(struct image *im, unsigned queue);
/* Returns when the queue has nothing in flight (done() called for all). Any thread while no new
 * requests are submitted; hold no lock that done() takes. */
void image_drain(struct image *im, unsigned queue);

/*
 * Synchronous, for tools, loaders, jobs and tests. Any thread, also while queues are at work.
 * Offsets and sizes need no alignment. 0 or -1 with error.
 */
int image_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error);
int image_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error);
/* Whole clusters (the last may end at the end of the image), compressed where that makes them
 * smaller; fails if the format has no compression. */
int image_pwrite_packed(struct image *im, uint64_t off, const void *buf, size_t n, GError **error);
int image_zero(struct image *im, uint64_t off, uint64_t n, bool may_unmap, GError **error);
int image_discard(struct image *im, uint64_t off, uint64_t n, GError **error);
int image_flush(struct image *im, GError **error);
/* The image holds nothing any more and reads as what is below it. */
int image_empty(struct image *im, GError **error);

/* A run of guest bytes that come from one place. */
struct image_run {
	uint64_t len;
	bool zero;    /* reads as zeroes */
	bool present; /* the layer holds it: nothing below is looked at */
	bool packed;  /* compressed */
	bool has_at;  /* stored at `at` of `path` as it is: neither packed nor encrypted */
	int depth;    /* 0: this image, 1: its backing file, …; the last one if nobody has it */
	uint64_t at;
	const char *path; /* borrowed; the file it is in */
};

/* What the bytes at off are, at most up to n of them; holes of host files count as zeroes. */
int image_map(struct image *im, uint64_t off, uint64_t n, struct image_run *out, GError **error);
/* The same, but only down to `depth` layers below this one (0: this image alone). */
int image_map_depth(struct image *im, uint64_t off, uint64_t n, int depth, struct image_run *out,
	GError **error);

/* The image below; NULL: none. Borrowed. */
struct image *image_backing(const struct image *im);
/* As written in the image; NULL: none. */
const char *image_backing_path(const struct image *im);
const char *image_backing_format(const struct image *im);
uint32_t image_cluster(const struct image *im); /* bytes; 1: none */
bool image_encrypted(const struct image *im);
const struct image_snapshot_ops *image_snapshots(const struct image *im); /* NULL: has none */
const struct image_bitmap_ops *image_bitmaps(const struct image *im);

/*
 * Makes an image file. spec->size 0: as the backing file's. The file must not be there, unless
 * `overwrite`; a half-made one is removed. `o` says what backing files are allowed (o->path and
 * o->format are not looked at); NULL: as in image_options.
 */
int image_create(const char *path, const char *format, const struct image_spec *spec,
	bool overwrite, const struct image_options *o, GError **error);
int image_check(struct image *im, struct image_report *out, bool repair, GError **error);
int image_resize(struct image *im, uint64_t size, const struct image_spec *spec, GError **error);
int image_amend(struct image *im, const struct image_spec *spec, GError **error);
/* Changes the note in the image; the open chain stays as it is. path NULL: none. */
int image_set_backing(struct image *im, const char *path, const char *format, GError **error);
/* Adds what the format knows beside what all images have. */
void image_info(struct image *im, json_t *object);
/* Machine state that an internal snapshot keeps behind the disk's bytes. */
int image_vmstate_pread(struct image *im, uint64_t off, void *buf, size_t n, GError **error);
int image_vmstate_pwrite(struct image *im, uint64_t off, const void *buf, size_t n, GError **error);

#endif
