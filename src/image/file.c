/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.c: what all containers share: choosing one, and calls that fill in what a kind lacks. */
#include "image/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { ZERO_CHUNK = 1 << 20 };

static const struct file_scheme schemes[] = {
	{ "nbd:", file_nbd_open },
	{ "nbds:", file_nbd_open },
	{ "nbd+unix:", file_nbd_open },
	{ "nbds+unix:", file_nbd_open },
	{ "http:", file_http_open },
	{ "https:", file_http_open },
	{ 0 },
};

static const struct file_scheme *scheme_of(const char *path)
{
	for (const struct file_scheme *s = schemes; s->prefix; s++) {
		if (g_str_has_prefix(path, s->prefix))
			return s;
	}
	return NULL;
}

bool file_is_url(const char *path)
{
	return scheme_of(path) != NULL;
}

struct file *file_open(const struct file_options *o, GError **error)
{
	const struct file_scheme *s = scheme_of(o->path);

	return s ? s->open(o, error) : file_posix_open(o, error);
}

struct file *file_new(const struct file_ops *ops, const char *path, bool readonly)
{
	struct file *f = g_new0(struct file, 1);

	f->ops = ops;
	f->path = g_strdup(path);
	f->fd = f->direct_fd = -1;
	f->align = 1;
	f->readonly = readonly;
	return f;
}

void file_close(struct file *f)
{
	if (!f)
		return;
	if (f->ops->close)
		f->ops->close(f);
	g_free(f->path);
	g_free(f);
}

int64_t file_length(struct file *f)
{
	return f->ops->length(f);
}

ssize_t file_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	return f->ops->read(f, at, buf, n);
}

int file_read_full(struct file *f, uint64_t at, void *buf, size_t n)
{
	ssize_t r = f->ops->read(f, at, buf, n);

	if (r < 0)
		return r;
	memset((char *)buf + r, 0, n - r);
	return 0;
}

int file_write(struct file *f, uint64_t at, const void *buf, size_t n)
{
	if (f->readonly || !f->ops->write)
		return -EROFS;
	return f->ops->write(f, at, buf, n);
}

int file_sync(struct file *f)
{
	return f->ops->sync && !f->no_sync ? f->ops->sync(f) : 0;
}

static int write_zeroes(struct file *f, uint64_t at, uint64_t n)
{
	g_autofree void *zeroes = g_malloc0(MIN(n, ZERO_CHUNK));
	int r = 0;

	while (n && !r) {
		uint64_t part = MIN(n, ZERO_CHUNK);

		r = f->ops->write(f, at, zeroes, part);
		at += part;
		n -= part;
	}
	return r;
}

int file_zero(struct file *f, uint64_t at, uint64_t n, bool unmap)
{
	int r = -EOPNOTSUPP;

	if (f->readonly || !f->ops->write)
		return -EROFS;
	if (f->ops->zero)
		r = f->ops->zero(f, at, n, unmap);
	return r == -EOPNOTSUPP ? write_zeroes(f, at, n) : r;
}

int file_discard(struct file *f, uint64_t at, uint64_t n)
{
	if (f->readonly)
		return -EROFS;
	return f->ops->discard ? f->ops->discard(f, at, n) : 0;
}

int file_truncate(struct file *f, uint64_t size)
{
	if (f->readonly)
		return -EROFS;
	return f->ops->truncate ? f->ops->truncate(f, size) : -EOPNOTSUPP;
}

int file_allocate(struct file *f, uint64_t size)
{
	if (f->readonly)
		return -EROFS;
	return f->ops->allocate ? f->ops->allocate(f, size) : -EOPNOTSUPP;
}

int file_seek(struct file *f, uint64_t at, bool data, uint64_t *ret_at)
{
	int64_t end;

	if (f->ops->seek)
		return f->ops->seek(f, at, data, ret_at);
	end = f->ops->length(f);
	if (end < 0)
		return end;
	if (at >= (uint64_t)end)
		return -ENXIO;
	*ret_at = data ? at : (uint64_t)end;
	return 0;
}

uint64_t file_allocated(struct file *f)
{
	struct stat st;

	return f->fd >= 0 && !fstat(f->fd, &st) ? (uint64_t)st.st_blocks * 512 : 0;
}
