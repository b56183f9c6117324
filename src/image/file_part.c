/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_part.c: a run of another container's bytes as one of its own, to be read: a disk in an
 * archive. */
#include <errno.h>

#include "image/file.h"

struct part {
	struct file *under; /* owned */
	uint64_t at, size;
};

static ssize_t part_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	struct part *p = f->opaque;

	return at >= p->size ? 0 : file_read(p->under, p->at + at, buf, MIN(n, p->size - at));
}

static int64_t part_length(struct file *f)
{
	return (int64_t)((struct part *)f->opaque)->size;
}

static int part_seek(struct file *f, uint64_t at, bool data, uint64_t *ret_at)
{
	struct part *p = f->opaque;
	uint64_t found;
	int r = at >= p->size ? -ENXIO : file_seek(p->under, p->at + at, data, &found);

	if (r < 0)
		return r;
	if (found - p->at >= p->size && data)
		return -ENXIO;
	*ret_at = MIN(found - p->at, p->size);
	return 0;
}

static void part_close(struct file *f)
{
	struct part *p = f->opaque;

	file_close(p->under);
	g_free(p);
}

static const struct file_ops ops = {
	.read = part_read,
	.length = part_length,
	.seek = part_seek,
	.close = part_close,
};

struct file *file_part_new(struct file *under, uint64_t at, uint64_t size)
{
	struct file *f = file_new(&ops, under->path, true);
	struct part *p = g_new0(struct part, 1);

	*p = (struct part){ .under = under, .at = at, .size = size };
	f->opaque = p;
	return f;
}
