/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_memory.c: a container in memory, for tests and for what is only passed through. */
#include "image/file.h"

#include <errno.h>
#include <string.h>

struct memory {
	GMutex lock;
	uint8_t *bytes;
	uint64_t size, room, cap;
};

static ssize_t memory_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	struct memory *m = f->opaque;

	g_mutex_lock(&m->lock);
	n = at >= m->size ? 0 : MIN(n, m->size - at);
	if (n)
		memcpy(buf, m->bytes + at, n);
	g_mutex_unlock(&m->lock);
	return n;
}

static int memory_resize(struct memory *m, uint64_t size)
{
	if (size > m->cap)
		return -ENOSPC;
	if (size > m->room) {
		uint64_t room = MIN(MAX(size, m->room * 2), m->cap);
		uint8_t *bytes = g_try_realloc(m->bytes, room);

		if (!bytes)
			return -ENOMEM;
		m->bytes = bytes;
		m->room = room;
	}
	if (size > m->size)
		memset(m->bytes + m->size, 0, size - m->size);
	m->size = size;
	return 0;
}

static int memory_write(struct file *f, uint64_t at, const void *buf, size_t n)
{
	struct memory *m = f->opaque;
	int r = 0;

	if (at > m->cap || n > m->cap - at)
		return -ENOSPC;
	g_mutex_lock(&m->lock);
	if (at + n > m->size)
		r = memory_resize(m, at + n);
	if (!r && n)
		memcpy(m->bytes + at, buf, n);
	g_mutex_unlock(&m->lock);
	return r;
}

static int memory_truncate(struct file *f, uint64_t size)
{
	struct memory *m = f->opaque;
	int r;

	g_mutex_lock(&m->lock);
	r = memory_resize(m, size);
	g_mutex_unlock(&m->lock);
	return r;
}

static int64_t memory_length(struct file *f)
{
	struct memory *m = f->opaque;
	int64_t n;

	g_mutex_lock(&m->lock);
	n = m->size;
	g_mutex_unlock(&m->lock);
	return n;
}

static void memory_close(struct file *f)
{
	struct memory *m = f->opaque;

	g_mutex_clear(&m->lock);
	g_free(m->bytes);
	g_free(m);
}

static const struct file_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.truncate = memory_truncate,
	.length = memory_length,
	.close = memory_close,
};

struct file *file_memory_new(const char *name, uint64_t cap)
{
	struct file *f = file_new(&memory_ops, name, false);
	struct memory *m = g_new0(struct memory, 1);

	g_mutex_init(&m->lock);
	m->cap = cap;
	f->opaque = m;
	return f;
}
