/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h: what an image format is to the engine: it recognises its images and says where guest
 * bytes live; it does no guest I/O itself.
 */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/file.h"
#include "image/image.h"

enum { IMAGE_HEAD = 4096 }; /* bytes a probe gets to see, less if the file is shorter */

/* A run of guest bytes and where they are. */
struct extent {
	struct file *file; /* borrowed */
	uint64_t at;	   /* offset in file; bytes behind the end of the file read as zeroes */
	uint64_t len;	   /* guest bytes covered; never 0 */
};

struct image_format {
	const char *name;
	/* 0..100: how sure `head` is that format's; pure. NULL: cannot be told by content. */
	int (*probe)(const uint8_t *head, size_t n);
	/* Sets im->size from im->file. NULL: known, so that it is not mistaken for raw, but not
	 * supported. */
	int (*open)(struct image *im, GError **error);
	/* Where [off, off + len) begins; any thread. 0 or a negative errno. */
	int (*map)(struct image *im, uint64_t off, uint64_t len, struct extent *out);
};

extern const struct image_format *const image_formats[]; /* formats.c; NULL ends it */
extern const struct image_format image_format_raw;

/* NULL if there is none of that name. */
const struct image_format *format_by_name(const char *name);
/* The surest format by content; raw if none claims it. */
const struct image_format *format_probe(const uint8_t *head, size_t n);

struct image_queue;

struct image {
	const struct image_format *format;
	struct file *file;	/* owned */
	uint64_t size;		/* guest bytes, a multiple of 512 */
	bool readonly;
	bool probed_raw;	/* nobody said it is raw: see image_submit */
	bool threads;		/* thread pool instead of io_uring */
	unsigned queue_count;
	struct image_queue **queues; /* owned; NULL until attached */
};

/* queue.c */
struct image_queue *queue_new(struct image *im, GMainContext *ctx, GError **error);
void queue_free(struct image_queue *q); /* nothing may be in flight; NULL allowed */
void queue_submit(struct image_queue *q, struct image_request *r);
void queue_kick(struct image_queue *q);
void queue_drain(struct image_queue *q);

#endif
