/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stream_file.c: files and block devices as streams, with their holes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/rpc/stream.h"

struct file {
	int fd;
	uint64_t at, end; /* end: UINT64_MAX: wherever it is */
	bool sparse;
	rpc_stream_done *done;
	void *opaque;
};

static void file_free(void *opaque, bool finished)
{
	struct file *f = opaque;

	close(f->fd);
	if (f->done)
		f->done(f->opaque, finished);
	g_free(f);
}

/* Where the data at f->at end, or how long the hole there is. */
static int segment(struct file *f, uint64_t *ret_data, uint64_t *ret_hole, GError **error)
{
	off_t data = lseek(f->fd, (off_t)f->at, SEEK_DATA), hole;

	*ret_hole = 0;
	*ret_data = f->end - f->at;
	if (data < 0 && errno == ENXIO) {
		*ret_hole = f->end - f->at;
		*ret_data = 0;
		return 0;
	}
	if (data < 0)
		return errno == EINVAL || errno == EOPNOTSUPP ? 0 : /* knows no holes */
			       refuse(error, MANAGER_ERR_SYSTEM, "cannot look for data: %s",
				       g_strerror(errno));
	if ((uint64_t)data > f->at) {
		*ret_hole = MIN((uint64_t)data, f->end) - f->at;
		*ret_data = 0;
		return 0;
	}
	hole = lseek(f->fd, (off_t)f->at, SEEK_HOLE);
	if (hole > 0)
		*ret_data = MIN((uint64_t)hole, f->end) - f->at;
	return 0;
}

static ssize_t file_read(void *opaque, void *buf, size_t len, uint64_t *ret_hole, GError **error)
{
	struct file *f = opaque;
	uint64_t data = f->end - f->at, hole = 0;
	ssize_t n;

	if (f->at >= f->end)
		return 0;
	if (f->sparse && segment(f, &data, &hole, error) < 0)
		return -1;
	if (hole) {
		f->at += hole;
		*ret_hole = hole;
		return 0;
	}
	do {
		n = pread(f->fd, buf, MIN(data, len), (off_t)f->at);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot read: %s", g_strerror(errno));
	f->at += (uint64_t)n;
	return n;
}

static int check_room(struct file *f, uint64_t len, GError **error)
{
	if (f->end == UINT64_MAX ? len > INT64_MAX - f->at : len > f->end - f->at)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "more data than were announced");
	return 0;
}

static int file_write(void *opaque, const void *buf, size_t len, GError **error)
{
	struct file *f = opaque;
	const char *p = buf;

	if (check_room(f, len, error) < 0)
		return -1;
	while (len) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)f->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return refuse(
				error, MANAGER_ERR_SYSTEM, "cannot write: %s", g_strerror(errno));
		p += n;
		len -= (size_t)n;
		f->at += (uint64_t)n;
	}
	return 0;
}

static int file_hole(void *opaque, uint64_t len, GError **error)
{
	static const uint8_t zeroes[65536];
	struct file *f = opaque;
	struct stat st;

	if (check_room(f, len, error) < 0)
		return -1;
	if (fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode)) {
		off_t size = st.st_size;

		/* What stood there goes: cut off and grown again, it reads as zeroes. */
		if (f->at + len >= (uint64_t)size) {
			if (ftruncate(f->fd, (off_t)MIN((uint64_t)size, f->at)) < 0 ||
				ftruncate(f->fd, (off_t)(f->at + len)) < 0)
				return refuse(error, MANAGER_ERR_SYSTEM, "cannot make a hole: %s",
					g_strerror(errno));
			f->at += len;
			return 0;
		}
		if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)f->at,
			    (off_t)len) == 0) {
			f->at += len;
			return 0;
		}
	}
	while (len) {
		size_t n = MIN(len, sizeof(zeroes));

		if (file_write(f, zeroes, n, error) < 0)
			return -1;
		len -= n;
	}
	return 0;
}

static int file_finish(void *opaque, GError **error)
{
	struct file *f = opaque;

	if (fdatasync(f->fd) < 0 && errno != EINVAL)
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot write to the disk: %s",
			g_strerror(errno));
	return 0;
}

static const struct rpc_stream_ops download_ops = { .read = file_read, .free = file_free };
static const struct rpc_stream_ops upload_ops = {
	.write = file_write,
	.hole = file_hole,
	.finish = file_finish,
	.free = file_free,
};

static int start(
	struct rpc_call *call, const struct rpc_stream_ops *ops, struct file *f, GError **error)
{
	if (rpc_stream_callbacks(call, ops, f, f->sparse, error) < 0) {
		close(f->fd);
		g_free(f);
		return -1;
	}
	return 0;
}

int rpc_stream_download(struct rpc_call *call, int fd, uint64_t offset, uint64_t length,
	bool sparse, rpc_stream_done *done, void *opaque, GError **error)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct file *f;

	if (size < 0 || offset > (uint64_t)size) {
		close(fd);
		return refuse(error, MANAGER_ERR_INVALID_ARG, "the offset lies beyond the end");
	}
	f = g_new0(struct file, 1);
	*f = (struct file){
		.fd = fd, .at = offset, .sparse = sparse, .done = done, .opaque = opaque
	};
	f->end = length && length < (uint64_t)size - offset ? offset + length : (uint64_t)size;
	return start(call, &download_ops, f, error);
}

int rpc_stream_upload(struct rpc_call *call, int fd, uint64_t offset, uint64_t length, bool sparse,
	rpc_stream_done *done, void *opaque, GError **error)
{
	struct file *f;

	if (offset > INT64_MAX || length > INT64_MAX - offset) {
		close(fd);
		return refuse(
			error, MANAGER_ERR_INVALID_ARG, "an offset or length beyond any file");
	}
	f = g_new0(struct file, 1);
	*f = (struct file){
		.fd = fd, .at = offset, .sparse = sparse, .done = done, .opaque = opaque
	};
	f->end = length ? offset + length : UINT64_MAX;
	return start(call, &upload_ops, f, error);
}
