/* SPDX-License-Identifier: GPL-2.0-or-later */
/* queue_priv.h: a queue's insides, shared by queue.c, io.c (what to do) and host_io.c (how). */
#ifndef IMAGE_QUEUE_PRIV_H
#define IMAGE_QUEUE_PRIV_H

#include <glib.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "image/engine.h"

enum {
	QUEUE_DEPTH = 256, /* host operations in flight; further requests wait */
};

/* HOST_CALL: io->call, on a worker. */
enum host_op { HOST_READ, HOST_WRITE, HOST_SYNC, HOST_FALLOCATE, HOST_CALL };

/* One request in flight and the host operation it is at. */
struct io {
	struct image_queue *q;   /* borrowed */
	struct image_request *r; /* borrowed from the caller until done() */
	struct io *next;         /* on the free or the completed list */
	struct file *file;       /* borrowed: of the present extent */
	uint64_t pos;            /* bytes of r that are done */
	uint64_t part;           /* bytes the present operation covers */
	struct iovec *slice;     /* owned; r->iov from pos on, if it is not all of r->iov */
	void *bounce;            /* owned; see keep_head() */
	struct iovec bounce_iov;
	unsigned epoch;           /* of the image, while the request is in flight */
	struct image_range range; /* held while `ranged`; waited for while `parked` */
	bool ranged, parked;
	bool alloced; /* x is room for the guest bytes from x_start on, to be committed */
	bool hooked;  /* image.before_write was called */
	bool flush;   /* of a FUA write: not all of it went down by itself */
	bool final;   /* the flush of a FUA write is under way */
	struct extent x;
	uint64_t x_start;
	ssize_t (*call)(struct io *io); /* bytes done, 0 or a negative errno */
	bool apart;                     /* the kernel is to do it on a thread of its own */
	bool patient;                   /* the call may wait for ranges: on a pool of its own */
	enum host_op op;
	int fd, flags; /* RWF_ or FALLOC_FL_ */
	uint64_t at;
	const struct iovec *iov;
	unsigned iovcnt;
	ssize_t result;
};

struct image_queue {
	struct image *im;  /* borrowed */
	GMainContext *ctx; /* owned reference */
	GSource *source;   /* owned: eventfd */
	GSource *timer;    /* owned; NULL: no request waits for the limits */
	int eventfd;
	bool uring;
	GThreadPool *pool;    /* owned; calls, and all where there is no io_uring */
	GThreadPool *patient; /* owned; calls that wait for ranges, so that they cannot keep those
			       * that will release them from running */
	GMutex ring_lock;     /* down to `settling`; never held around done() */
	struct io_uring ring;
	struct io *slots, *free;
	struct image_request *wait_head, *wait_tail;         /* linked through priv[0] */
	struct image_request *finished_head, *finished_tail; /* same; priv[1]: result */
	bool settling;                                       /* a thread is calling done() */
	_Atomic unsigned pending;                            /* requests accepted and not done */
	_Atomic unsigned drainers;
	GMutex lock; /* completed, idle */
	GCond idle;
	unsigned busy;        /* slots in use */
	struct io *completed; /* by workers, and by ranges that became free */
};

/* io.c; the ring lock is held. */
void io_start(struct image_queue *q, struct image_request *r);
void io_complete(struct io *io, ssize_t res);

/* host_io.c; the ring lock is held around the first three. */
void host_push(struct io *io);               /* starts io's operation */
void host_flush(struct image_queue *q);      /* hands what was started to the kernel */
struct io *host_next(struct image_queue *q); /* one that is done, with its result, or NULL */
bool host_start(struct image_queue *q, bool threads); /* false: no eventfd to be had */
void host_stop(struct image_queue *q);
/* Makes host_next() return io with that result. Any thread, any lock. */
void host_completed(struct io *io, ssize_t result);

#endif
