/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file.h: a byte container that image formats live in: a regular file, a block device, an NBD
 * export, a web page, memory. Where it has descriptors, the engine (queue.c) does the I/O on them;
 * else its workers call the operations.
 */
#ifndef IMAGE_FILE_H
#define IMAGE_FILE_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct file;

/* Any thread, several at a time. 0, a count or a negative errno. NULL: not possible (-EOPNOTSUPP).
 */
struct file_ops {
	ssize_t (*read)(
		struct file *f, uint64_t at, void *buf, size_t n); /* short at the end only */
	int (*write)(struct file *f, uint64_t at, const void *buf, size_t n); /* grows the file */
	int (*sync)(struct file *f);
	/* The range, within the file, reads as zeroes afterwards; its room is given back if `unmap`
	 * and possible. -EOPNOTSUPP: the caller writes zeroes. */
	int (*zero)(struct file *f, uint64_t at, uint64_t n, bool unmap);
	/* Advice: the bytes are no longer needed. */
	int (*discard)(struct file *f, uint64_t at, uint64_t n);
	int (*truncate)(struct file *f, uint64_t size);
	/* Takes the host's room for bytes [0, size), which keep what they read as. */
	int (*allocate)(struct file *f, uint64_t size);
	int64_t (*length)(struct file *f);
	/* The first byte at or after `at` that is data (or in a hole, of which one is at the end);
	 * -ENXIO: none. NULL: all is data. */
	int (*seek)(struct file *f, uint64_t at, bool data, uint64_t *ret_at);
	void (*close)(struct file *f); /* frees f's own part; file_close() the rest */
};

struct file {
	const struct file_ops *ops;
	void *opaque;   /* owned by ops */
	char *path;     /* owned; what a person would write: a path or a URL */
	int fd;         /* through the page cache; holds the locks; -1: none, use ops */
	int direct_fd;  /* O_DIRECT on the same inode, or -1 */
	uint32_t align; /* of memory, offset and length on direct_fd; 1 without it */
	bool readonly, block;
	bool no_sync; /* file_sync() does nothing: a copy that is made anew after a crash */
	uint32_t discard_granularity; /* 0: no discard */
	/* Learned from the first refusal, so that each is tried once. */
	_Atomic bool no_punch, no_zero_range, no_nowait_read, no_nowait_write;
};

struct file_options {
	const char *path;
	bool readonly, direct, no_lock;
	bool create;    /* makes it, empty; fails if it is there, unless overwrite */
	bool overwrite; /* with create: empties what is there, once the lock is held */
};

/* A kind of container that is named by a URL. */
struct file_scheme {
	const char *prefix; /* "nbd:"; NULL ends a table */
	struct file *(*open)(const struct file_options *o, GError **error);
};

/* By scheme, or a file or block device. Fails with the path and the cure; LODGE_ERROR_FILE. */
struct file *file_open(const struct file_options *o, GError **error);
/* Whether file_open() takes it for a URL of a scheme it knows. */
bool file_is_url(const char *path);
void file_close(struct file *f); /* NULL allowed */
/* A growing container in memory, at most `cap` bytes. */
struct file *file_memory_new(const char *name, uint64_t cap);
/* For file_*.c: a container with everything empty but these. */
struct file *file_new(const struct file_ops *ops, const char *path, bool readonly);

/* Bytes the container holds now, or a negative errno. */
int64_t file_length(struct file *f);
/* Reads up to n bytes; stops early at the end of the file only. Bytes read or a negative errno. */
ssize_t file_read(struct file *f, uint64_t at, void *buf, size_t n);
/* As file_read(), but with zeroes behind the end. 0 or a negative errno. */
int file_read_full(struct file *f, uint64_t at, void *buf, size_t n);
/* All n bytes. 0 or a negative errno, like all below. */
int file_write(struct file *f, uint64_t at, const void *buf, size_t n);
int file_sync(struct file *f);
/* Writes zeroes where there is no quicker way; may grow the file. */
int file_zero(struct file *f, uint64_t at, uint64_t n, bool unmap);
int file_discard(struct file *f, uint64_t at, uint64_t n);
int file_truncate(struct file *f, uint64_t size);
int file_allocate(struct file *f, uint64_t size);
int file_seek(struct file *f, uint64_t at, bool data, uint64_t *ret_at);
/* Bytes the host spends on it; 0: unknown. */
uint64_t file_allocated(struct file *f);

/* [at, at + size) of a container, to be read; takes it over. */
struct file *file_part_new(struct file *under, uint64_t at, uint64_t size);
/* file_nbd.c, file_http.c */
struct file *file_nbd_open(const struct file_options *o, GError **error);
struct file *file_http_open(const struct file_options *o, GError **error);
/* file_posix.c */
struct file *file_posix_open(const struct file_options *o, GError **error);

/*
 * Takes the byte-range locks QEMU takes on image files, so that neither program opens what the
 * other writes: an owner read-locks (F_OFD_SETLK) byte 100 + p for each permission p it uses and
 * byte 200 + p for each permission it does not share (p: consistent read 0, write 1, unchanged
 * write 2, resize 3), and then looks for a foreign lock on the opposite bytes. `fd` must be
 * readable; locks end with its last close.
 */
int file_lock(int fd, const char *path, bool write, GError **error);

#endif
