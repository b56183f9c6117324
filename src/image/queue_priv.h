/* SPDX-License-Identifier: GPL-2.0-or-later */
/* queue_priv.h: a queue's insides, shared by queue.c (what to do) and host_io.c (how it is done). */
#ifndef IMAGE_QUEUE_PRIV_H
#define IMAGE_QUEUE_PRIV_H

#include <glib.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "image/format.h"

enum {
	QUEUE_DEPTH = 256,	/* host operations in flight; further requests wait */
};

enum host_op { HOST_READ, HOST_WRITE, HOST_SYNC, HOST_FALLOCATE };

/* One request in flight and the host operation it is at. */
struct io {
	struct image_queue *q;	/* borrowed */
	struct image_request *r; /* borrowed from the caller until done() */
	struct io *next;	/* on the free or the completed list */
	struct file *file;	/* borrowed: of the present extent */
	uint64_t pos;		/* bytes of r that are done */
	uint64_t part;		/* bytes the present operation covers */
	struct iovec *slice;	/* owned; r->iov from pos on, if it is not all of r->iov */
	void *bounce;		/* owned; see keep_head() */
	struct iovec bounce_iov;
	enum host_op op;
	int fd, flags;		/* RWF_ or FALLOC_FL_ */
	uint64_t at;
	const struct iovec *iov;
	unsigned iovcnt;
	ssize_t result;
};

struct image_queue {
	struct image *im;	/* borrowed */
	GMainContext *ctx;	/* owned reference */
	GSource *source;	/* owned: eventfd */
	int eventfd;
	bool uring;
	GThreadPool *pool;	/* owned; without io_uring */
	GMutex ring_lock;	/* down to `settling`; never held around done() */
	struct io_uring ring;
	struct io *slots, *free;
	struct image_request *wait_head, *wait_tail; /* linked through priv[0] */
	struct image_request *finished_head, *finished_tail; /* same; priv[1]: result */
	bool settling;		/* a thread is calling done() */
	_Atomic unsigned pending; /* requests accepted and not done */
	_Atomic unsigned drainers;
	GMutex lock;		/* completed, idle */
	GCond idle;
	struct io *completed;	/* by the pool */
};

/* host_io.c; the ring lock is held around the first three. */
void host_push(struct io *io);		     /* starts io's operation */
void host_flush(struct image_queue *q);	     /* hands what was started to the kernel */
struct io *host_next(struct image_queue *q); /* one that is done, with its result, or NULL */
bool host_start(struct image_queue *q, bool threads); /* false: no eventfd to be had */
void host_stop(struct image_queue *q);

#endif
