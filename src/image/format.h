/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.h: what an image format is to the engine: it recognises its images, says where guest bytes
 * live, and keeps its tables in such order that a power cut at any instant leaves an image that
 *opens. It does no guest I/O itself.
 *
 * Locks: the engine calls `map`, `alloc` and `commit` with IMAGE_NOWAIT from any queue's thread and
 * all else from its workers. Calls for one image are made under that image's metadata lock, so a
 * format is sequential code. A call with IMAGE_NOWAIT that would have to read a table first returns
 * -EAGAIN and is repeated on a worker.
 *
 * The life of a write to a place that has no room yet:
 *	alloc	reserves clusters; nothing refers to them
 *	...	the engine writes the data and, of clusters written in part, the rest from below
 *	commit	refers to them in the format's cached tables; or `abandon`, if the data write failed
 *	flush	the engine has synced the data; brings the tables down in an order that is safe at
 *every step: counts and new tables first, then, after a sync, what refers to them
 */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/file.h"
#include "image/image.h"
#include "image/spec.h"

enum { IMAGE_HEAD = 4096 }; /* bytes a probe gets to see, less if the file is shorter */

enum extent_kind {
	EXTENT_DATA,    /* in file at `at`; bytes behind the end of the file read as zeroes */
	EXTENT_ZERO,    /* reads as zeroes; file and at are set if it has room all the same */
	EXTENT_BACKING, /* as the image below; zeroes if there is none or it is shorter */
	EXTENT_PACKED,  /* compressed: unpack() makes the bytes */
};

/* A run of guest bytes and where they are. */
struct extent {
	enum extent_kind kind;
	bool shared;       /* a write in place would be wrong: a snapshot's too */
	bool fresh;        /* alloc: the room reads as zeroes */
	struct file *file; /* borrowed; NULL: nowhere */
	uint64_t at;       /* offset in file */
	uint64_t len;      /* guest bytes covered; never 0 */
	uint64_t packed;   /* PACKED: the format's own */
};

enum image_map_flags { IMAGE_NOWAIT = 1 };

/* What an open image keeps its bytes in beside im->file: VMDK extents, a qcow2 data file. */
struct image_files {
	struct file **file; /* each owned */
	unsigned count;
};

struct image_bitmap_ops;
struct image_cipher;
struct image_snapshot_ops;

struct image_format {
	const char *name;
	const char *help;     /* one line for people */
	const char *suffixes; /* "vhd vpc": how such files are called; NULL: nothing special */
	size_t state_size;    /* bytes of im->state, zeroed before open */
	const struct image_option_def *create_options; /* NULL: none */

	/* 0..100: how sure `head` is that format's; pure. NULL: cannot be told by content. */
	int (*probe)(const uint8_t *head, size_t n);
	/* From im->file: sets im->size, im->cluster and, if there is one, im->backing_path and
	 * im->backing_format. The engine opens what is below. close() follows a failure too. NULL:
	 * known, so that it is not mistaken for raw, but not supported. */
	int (*open)(struct image *im, const struct image_options *o, GError **error);
	void (*close)(struct image *im);
	/* Where [off, off + len) begins. Like all below without an error argument: 0 or -errno. */
	int (*map)(
		struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out);
	/* Fills dst with the im->cluster bytes of the packed cluster. Any thread, several at a time
	 * and without the metadata lock: it looks at what open() set only. */
	int (*unpack)(struct image *im, const struct extent *x, void *dst);

	/* What follows is NULL in a read-only format. */
	/*
	 * Room for [off, off + len) or its beginning, all within the clusters that range touches.
	 * The room stands for the guest bytes from *ret_start <= off on, out->len of them, and all
	 * of those will be written: what is not the request's the engine copies from what the guest
	 * sees now. The engine never has two such ranges in flight that share a cluster. With
	 * IMAGE_NOWAIT alloc and commit return -EAGAIN, nothing done, if they would have to read a
	 * table.
	 */
	int (*alloc)(struct image *im, uint64_t off, uint64_t len, unsigned flags,
		uint64_t *ret_start, struct extent *out);
	int (*commit)(struct image *im, uint64_t start, const struct extent *x, unsigned flags);
	void (*abandon)(struct image *im, uint64_t start, const struct extent *x);
	/* Stores a whole cluster, compressed by the caller with the format's method (`pack`). */
	int (*write_packed)(struct image *im, uint64_t off, const void *data, size_t n);
	/* Compresses one cluster into dst (cap bytes); bytes, or 0: does not shrink. Any thread, no
	 * lock. */
	size_t (*pack)(const struct image *im, const void *cluster, void *dst, size_t cap);
	/* Whole units (im->unit; the last may end at im->size) read as zeroes (to_zero) or as if
	 * never written; their room is given back when `unmap`. -EOPNOTSUPP: the engine writes
	 * zeroes. Room that is given back may be used again only when image_grace_over(). */
	int (*drop)(struct image *im, uint64_t off, uint64_t len, bool to_zero, bool unmap);
	/* Called while im->dirty is set, which it clears. Guest data in im->file are not synced yet
	 * (those in im->files are): nothing may refer to them on disk before file_sync(), and all
	 * is durable at the end. */
	int (*flush)(struct image *im);
	int (*resize)(
		struct image *im, uint64_t size, const struct image_spec *spec, GError **error);
	/* Makes an empty image in f, which is empty and may grow. */
	int (*create)(struct file *f, const struct image_spec *spec, GError **error);
	int (*check)(struct image *im, struct image_report *out, bool repair, GError **error);
	int (*amend)(struct image *im, const struct image_spec *spec, GError **error);
	/* path NULL: none. Changes the note in the image only. */
	int (*set_backing)(struct image *im, const char *path, const char *format, GError **error);
	/* What `info` shows beside what all images have: adds members to the object. */
	void (*info)(struct image *im, json_t *object);
	/* Where machine state begins in the guest's address range, behind the disk; NULL: cannot.
	 */
	uint64_t (*vmstate_base)(const struct image *im);
	/* im->state has come from another struct image. NULL: it holds no pointer to its image. */
	void (*moved)(struct image *im);
	const struct image_snapshot_ops *snapshots; /* snapshot.h; NULL: none inside the image */
	const struct image_bitmap_ops *bitmaps;     /* bitmap.h; NULL: it keeps none */
};

extern const struct image_format *const image_formats[]; /* formats.c; NULL ends it */
extern const struct image_format image_format_raw;
extern const struct image_format image_format_qcow2, image_format_vdi, image_format_qcow1,
	image_format_qed, image_format_parallels, image_format_bochs, image_format_cloop,
	image_format_dmg, image_format_luks, image_format_vmdk, image_format_vhd, image_format_vhdx;

/* NULL if there is none of that name. */
const struct image_format *format_by_name(const char *name);
/* The surest format by content; raw if none claims it. */
const struct image_format *format_probe(const uint8_t *head, size_t n);

struct image_queue;
struct packed_cache;
struct image_range;
struct throttle;
struct tracker;

struct image {
	const struct image_format *format;
	struct file *file;        /* owned */
	struct image_files files; /* owned; see image_open_file_of() */
	void *state;              /* owned: the format's */
	uint64_t size;            /* guest bytes, a multiple of 512 */
	uint32_t cluster; /* bytes: unit of alloc and packing; 1: bytes are where they are */
	uint32_t unit;    /* bytes: of drop; 0 after open(): cluster */
	char *backing_path, *backing_format; /* owned; as written in the image; NULL: none */
	struct image *backing;               /* owned; read-only */
	struct image_cipher
		*cipher;    /* owned; NULL: plain. The engine en- and decrypts DATA extents */
	GMutex meta_lock;   /* around every call of the format but unpack and pack */
	_Atomic bool dirty; /* set by the format: its flush() has something to do */
	bool readonly;
	bool packed_only; /* takes write_packed alone, of all but zeroes; set by open() */
	bool borrowed;    /* file is the caller's */
	bool probed_raw;  /* nobody said it is raw: see image_submit */
	bool threads;     /* thread pool instead of io_uring */
	unsigned queue_count;
	struct image_queue **queues; /* owned; NULL until attached */
	/* the engine's */
	struct throttle *throttle; /* owned */
	_Atomic unsigned jobs;     /* 1 while it has one */
	_Atomic unsigned paused;   /* requests wait instead of being started */
	/* Called before guest bytes change, on a thread that may wait; 0 or a negative errno, which
	 * fails the request. Set while the image is paused. */
	int (*before_write)(void *opaque, uint64_t off, uint64_t n);
	void *before_opaque;
	struct packed_cache *packed; /* owned; NULL until needed */
	GMutex range_lock;
	GCond range_free;
	struct image_range *ranges; /* being allocated or dropped */
	_Atomic unsigned slow;      /* threads that may read tables under meta_lock */
	_Atomic uint64_t epoch;
	_Atomic unsigned in_epoch[2];
	GRWLock trackers_lock;
	struct tracker *trackers; /* tracker.h; not owned */
};

/*
 * Opens another file that an image names, relative to that image, if the user's options allow it
 * (image_options.backing_dirs), with their mode and lock. Added to im->files. NULL with error.
 */
struct file *image_open_file_of(struct image *im, const struct image_options *o, const char *name,
	bool readonly, GError **error);

/* For create(): opens the image that is being made in f; image_close() leaves f open. */
struct image *image_open_borrowed(struct file *f, const struct image_options *o, GError **error);

/*
 * Room given back may still be read or written by requests that mapped it before. Take a token
 * after it is unreachable; once it is over, no such request is left. Under the metadata lock.
 */
uint64_t image_grace_start(struct image *im);
bool image_grace_over(struct image *im, uint64_t token);

/* queue.c */
struct image_queue *queue_new(struct image *im, GMainContext *ctx, GError **error);
void queue_free(struct image_queue *q); /* nothing may be in flight; NULL allowed */
void queue_submit(struct image_queue *q, struct image_request *r);
void queue_kick(struct image_queue *q);
void queue_drain(struct image_queue *q);
void queue_wait_idle(struct image_queue *q); /* of a paused image */
void queue_restart(struct image_queue *q);   /* after a pause */

#endif
