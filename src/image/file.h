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

/* Any thread, several at a time. 0, a count or a negative errno. */
struct file_ops {
	ssize_t (*read)(struct file *f, uint64_t at, void *buf, size_t n); /* short at the end only */
	int (*write)(struct file *f, uint64_t at, const void *buf, size_t n);
	int (*sync)(struct file *f);
	/* The range reads as zeroes afterwards; its room is given back if `unmap` and possible.
	 * -EOPNOTSUPP: the caller writes zeroes. */
	int (*zero)(struct file *f, uint64_t at, uint64_t n, bool unmap);
	int (*truncate)(struct file *f, uint64_t size);
	int64_t (*length)(struct file *f);
	/* The first run at or after `at` that is data (or a hole); -ENXIO: none. NULL: all is data. */
	int (*seek)(struct file *f, uint64_t at, bool data, uint64_t *ret_at);
	void (*close)(struct file *f); /* frees f's own part; file_close() the rest */
};

struct file {
	const struct file_ops *ops;
	void *opaque;	    /* owned by ops */
	char *path;	    /* owned; what a person would write: a path or a URL */
	int fd;		    /* through the page cache; holds the locks; -1: none, use ops */
	int direct_fd;	    /* O_DIRECT on the same inode, or -1 */
	uint32_t align;	    /* of memory, offset and length on direct_fd; 1 without it */
	bool readonly, block;
	uint32_t discard_granularity; /* 0: no discard */
	/* Learned from the first refusal, so that each is tried once. */
	_Atomic bool no_punch, no_zero_range, no_nowait_read, no_nowait_write;
};

struct file_options {
	const char *path;
	bool readonly, direct, no_lock;
};

/* Fails with the path and the cure; LODGE_ERROR_FILE. */
struct file *file_open(const struct file_options *o, GError **error);
void file_close(struct file *f); /* NULL allowed */
/* Bytes the container holds now, or a negative errno. */
int64_t file_length(const struct file *f);
/* Reads up to n bytes; stops early at the end of the file only. Bytes read or a negative errno. */
ssize_t file_read(const struct file *f, uint64_t at, void *buf, size_t n);
/* Writes all n bytes: 0 or a negative errno. */
int file_write(const struct file *f, uint64_t at, const void *buf, size_t n);

/*
 * Takes the byte-range locks QEMU takes on image files, so that neither program opens what the other
 * writes: an owner read-locks (F_OFD_SETLK) byte 100 + p for each permission p it uses and byte
 * 200 + p for each permission it does not share (p: consistent read 0, write 1, unchanged write 2,
 * resize 3), and then looks for a foreign lock on the opposite bytes. `fd` must be readable; locks
 * end with its last close.
 */
int file_lock(int fd, const char *path, bool write, GError **error);

#endif
