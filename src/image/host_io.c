/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host_io.c: one operation on a host file at a time: through io_uring, or through a thread pool
 * where the kernel refuses that. Both report through the queue's eventfd. Spec: io_uring(7).
 */
#include "image/queue_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

enum { POOL_THREADS = 16, PATIENT_THREADS = 4 };

static ssize_t host_run(struct io *io)
{
	ssize_t r;

	if (io->op == HOST_CALL)
		return io->call(io);

	do {
		switch (io->op) {
		case HOST_READ: r = preadv2(io->fd, io->iov, io->iovcnt, io->at, 0); break;
		case HOST_WRITE:
			r = pwritev2(io->fd, io->iov, io->iovcnt, io->at, io->flags);
			break;
		case HOST_SYNC: r = fdatasync(io->fd); break;
		default: r = fallocate(io->fd, io->flags, io->at, io->part); break;
		}
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

void host_completed(struct io *io, ssize_t result)
{
	struct image_queue *q = io->q;
	uint64_t one = 1;

	g_mutex_lock(&q->lock);
	io->result = result;
	io->next = q->completed;
	q->completed = io;
	/* Under the lock: queue_free() must not close the eventfd before this write. */
	if (write(q->eventfd, &one, sizeof(one)) < 0)
		log_warn("image: eventfd: %s", g_strerror(errno));
	g_mutex_unlock(&q->lock);
}

static void pool_worker(gpointer data, gpointer opaque)
{
	struct io *io = data;

	host_completed(io, host_run(io));
}

static void uring_flush(struct image_queue *q)
{
	int r;

	while ((r = io_uring_submit(&q->ring)) < 0) {
		if (r != -EINTR && r != -EAGAIN && r != -EBUSY) {
			log_warn("image: io_uring_submit: %s", g_strerror(-r));
			return;
		}
		g_usleep(100);
	}
}

static void uring_push(struct image_queue *q, struct io *io)
{
	struct io_uring_sqe *sqe;

	/* Full only when a burst is longer than the ring: hand over what is there. */
	while (!(sqe = io_uring_get_sqe(&q->ring)))
		uring_flush(q);
	switch (io->op) {
	case HOST_READ: io_uring_prep_readv(sqe, io->fd, io->iov, io->iovcnt, io->at); break;
	case HOST_WRITE:
		io_uring_prep_writev2(sqe, io->fd, io->iov, io->iovcnt, io->at, io->flags);
		break;
	case HOST_SYNC: io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC); break;
	default: io_uring_prep_fallocate(sqe, io->fd, io->flags, io->at, io->part); break;
	}
	if (io->apart && (io->op == HOST_READ || io->op == HOST_WRITE))
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data(sqe, io);
}

void host_push(struct io *io)
{
	if (io->q->uring && io->op != HOST_CALL)
		uring_push(io->q, io);
	else
		g_thread_pool_push(
			io->op == HOST_CALL && io->patient ? io->q->patient : io->q->pool, io,
			NULL);
}

void host_flush(struct image_queue *q)
{
	if (q->uring && io_uring_sq_ready(&q->ring))
		uring_flush(q);
}

struct io *host_next(struct image_queue *q)
{
	struct io_uring_cqe *cqe;
	struct io *io;

	if (q->uring && io_uring_peek_cqe(&q->ring, &cqe) == 0) {
		io = io_uring_cqe_get_data(cqe);
		io->result = cqe->res;
		io_uring_cqe_seen(&q->ring, cqe);
		return io;
	}
	g_mutex_lock(&q->lock);
	io = q->completed;
	if (io)
		q->completed = io->next;
	g_mutex_unlock(&q->lock);
	return io;
}

static bool uring_start(struct image_queue *q)
{
	if (io_uring_queue_init(QUEUE_DEPTH, &q->ring, 0) < 0)
		return false;
	if (io_uring_register_eventfd(&q->ring, q->eventfd) < 0) {
		io_uring_queue_exit(&q->ring);
		return false;
	}
	return true;
}

bool host_start(struct image_queue *q, bool threads)
{
	q->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->eventfd < 0)
		return false;
	q->uring = !threads && uring_start(q);
	q->pool = g_thread_pool_new(pool_worker, q, POOL_THREADS, FALSE, NULL);
	q->patient = g_thread_pool_new(pool_worker, q, PATIENT_THREADS, FALSE, NULL);
	return true;
}

void host_stop(struct image_queue *q)
{
	if (q->pool)
		g_thread_pool_free(q->pool, FALSE, TRUE);
	if (q->patient)
		g_thread_pool_free(q->patient, FALSE, TRUE);
	if (q->uring)
		io_uring_queue_exit(&q->ring);
	if (q->eventfd >= 0)
		close(q->eventfd);
}
