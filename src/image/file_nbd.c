/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_nbd.c: an NBD export as a container, through libnbd. Several connections where the server
 * allows it, since each carries one call at a time here. Spec: NetworkBlockDevice/nbd, doc/proto.md
 * and uri.md.
 */
#include <errno.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "image/file.h"

enum {
	CONNECTIONS = 4,
	PART_MAX = 16 << 20,  /* bytes of one request, unless the server wants less */
	STATUS_MAX = 1 << 30, /* bytes asked about at a time */
};

struct nbd {
	struct nbd_handle *handle[CONNECTIONS]; /* owned; the first is always there */
	unsigned count;
	_Atomic unsigned next;
	uint64_t size, part;
	uint32_t unit; /* bytes requests are multiples of */
	bool extents;
	GMutex edge; /* around reading, changing and writing a unit in part */
};

static struct nbd_handle *pick(struct nbd *n)
{
	return n->handle[atomic_fetch_add(&n->next, 1) % n->count];
}

static int failure(void)
{
	int e = nbd_get_errno();

	return e ? -e : -EIO;
}

static ssize_t nbd_file_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	struct nbd *s = f->opaque;
	uint8_t *to = buf;
	size_t want;

	if (at >= s->size)
		return 0;
	want = n = MIN(n, s->size - at);
	while (n) {
		uint64_t head = at % s->unit, part = MIN(n, s->part - head);
		uint64_t whole = (head + part + s->unit - 1) / s->unit * s->unit;
		g_autofree uint8_t *copy = NULL;

		if (head || whole != part) {
			whole = MIN(whole, s->size - (at - head));
			copy = g_malloc(whole);
		}
		if (nbd_pread(pick(s), copy ? copy : to, copy ? whole : part, at - head, 0) < 0)
			return failure();
		if (copy)
			memcpy(to, copy + head, part);
		at += part;
		to += part;
		n -= part;
	}
	return (ssize_t)want;
}

/* A part of a unit: the rest of it is read first. */
static int write_edge(struct file *f, uint64_t at, const void *buf, size_t n)
{
	struct nbd *s = f->opaque;
	uint64_t begin = at - at % s->unit, len = MIN(s->unit, s->size - begin);
	g_autofree uint8_t *copy = g_malloc(len);
	int r;

	g_mutex_lock(&s->edge);
	r = nbd_pread(s->handle[0], copy, len, begin, 0);
	if (!r) {
		memcpy(copy + at % s->unit, buf, n);
		r = nbd_pwrite(s->handle[0], copy, len, begin, 0);
	}
	g_mutex_unlock(&s->edge);
	return r < 0 ? failure() : 0;
}

static int nbd_file_write(struct file *f, uint64_t at, const void *buf, size_t n)
{
	struct nbd *s = f->opaque;
	const uint8_t *from = buf;

	if (at > s->size || n > s->size - at)
		return -ENOSPC;
	while (n) {
		uint64_t head = at % s->unit, part;
		int r = 0;

		if (head || n < s->unit) {
			part = MIN(n, s->unit - head);
			r = write_edge(f, at, from, part);
		} else {
			part = MIN(n - n % s->unit, s->part);
			if (nbd_pwrite(pick(s), from, part, at, 0) < 0)
				r = failure();
		}
		if (r < 0)
			return r;
		at += part;
		from += part;
		n -= part;
	}
	return 0;
}

static int nbd_file_sync(struct file *f)
{
	struct nbd *s = f->opaque;

	if (f->readonly || nbd_can_flush(s->handle[0]) != 1)
		return 0;
	return nbd_flush(s->handle[0], 0) < 0 ? failure() : 0;
}

static int nbd_file_zero(struct file *f, uint64_t at, uint64_t n, bool unmap)
{
	struct nbd *s = f->opaque;

	if (nbd_can_zero(s->handle[0]) != 1 || at % s->unit || n % s->unit || at > s->size ||
		n > s->size - at)
		return -EOPNOTSUPP;
	while (n) {
		uint64_t part = MIN(n, STATUS_MAX);

		if (nbd_zero(pick(s), part, at, unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE) < 0)
			return failure();
		at += part;
		n -= part;
	}
	return 0;
}

static int nbd_file_discard(struct file *f, uint64_t at, uint64_t n)
{
	struct nbd *s = f->opaque;

	if (nbd_can_trim(s->handle[0]) != 1 || at % s->unit || n % s->unit)
		return 0;
	while (n) {
		uint64_t part = MIN(n, STATUS_MAX);

		if (nbd_trim(pick(s), part, at, 0) < 0)
			return failure();
		at += part;
		n -= part;
	}
	return 0;
}

static int64_t nbd_file_length(struct file *f)
{
	return (int64_t)((struct nbd *)f->opaque)->size;
}

/* ---- holes ---- */

struct search {
	uint64_t at;
	bool data, found;
};

static int on_extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries,
	size_t count, int *error)
{
	struct search *x = opaque;

	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return 0;
	x->at = offset;
	for (size_t i = 0; i + 1 < count && !x->found; i += 2) {
		/* What reads as zeroes need not be looked at, hole or not. */
		bool data = !(entries[i + 1] & LIBNBD_STATE_ZERO);

		x->found = data == x->data;
		if (!x->found)
			x->at += entries[i];
	}
	return 0;
}

static int nbd_file_seek(struct file *f, uint64_t at, bool data, uint64_t *ret_at)
{
	struct nbd *s = f->opaque;
	struct search x = { .at = at - at % s->unit, .data = data };

	if (at >= s->size)
		return -ENXIO;
	if (!s->extents) {
		*ret_at = data ? at : s->size;
		return 0;
	}
	while (!x.found && x.at < s->size) {
		uint64_t before = x.at;

		if (nbd_block_status(s->handle[0], MIN(STATUS_MAX, s->size - x.at), x.at,
			    (nbd_extent_callback){ .callback = on_extents, .user_data = &x },
			    0) < 0)
			return failure();
		if (!x.found && x.at <= before)
			return -EIO; /* a server that tells nothing */
	}
	if (!x.found && data)
		return -ENXIO;
	*ret_at = MAX(at, MIN(x.at, s->size));
	return 0;
}

static void nbd_file_close(struct file *f)
{
	struct nbd *s = f->opaque;

	for (unsigned i = 0; s && i < s->count; i++) {
		nbd_shutdown(s->handle[i], 0);
		nbd_close(s->handle[i]);
	}
	if (s)
		g_mutex_clear(&s->edge);
	g_free(s);
}

static const struct file_ops ops = {
	.read = nbd_file_read,
	.write = nbd_file_write,
	.sync = nbd_file_sync,
	.zero = nbd_file_zero,
	.discard = nbd_file_discard,
	.length = nbd_file_length,
	.seek = nbd_file_seek,
	.close = nbd_file_close,
};

static struct nbd_handle *join(const char *url, GError **error)
{
	struct nbd_handle *h = nbd_create();

	if (h && !nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) &&
		!nbd_connect_uri(h, url))
		return h;
	fail(error, LODGE_ERROR_FILE, "%s: cannot connect: %s", url, nbd_get_error());
	nbd_close(h);
	return NULL;
}

struct file *file_nbd_open(const struct file_options *o, GError **error)
{
	struct file *f;
	struct nbd *s;
	int64_t unit, most, size;

	if (o->create && !o->overwrite) {
		fail(error, LODGE_ERROR_USAGE, "%s: an NBD export cannot be made, only written to",
			o->path);
		return NULL;
	}
	f = file_new(&ops, o->path, o->readonly);
	f->opaque = s = g_new0(struct nbd, 1);
	g_mutex_init(&s->edge);
	s->handle[0] = join(o->path, error);
	if (!s->handle[0])
		goto failed;
	s->count = 1;
	size = nbd_get_size(s->handle[0]);
	unit = nbd_get_block_size(s->handle[0], LIBNBD_SIZE_MINIMUM);
	most = nbd_get_block_size(s->handle[0], LIBNBD_SIZE_MAXIMUM);
	if (size < 0 || unit > 1 << 20) {
		fail(error, LODGE_ERROR_FILE, "%s: its size or block size is absurd", o->path);
		goto failed;
	}
	s->size = (uint64_t)size;
	s->unit = unit > 0 ? (uint32_t)unit : 1;
	s->part = most > 0 ? MIN((uint64_t)most, PART_MAX) : PART_MAX;
	s->part -= s->part % s->unit;
	s->extents = nbd_can_meta_context(s->handle[0], LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	if (!o->readonly && nbd_is_read_only(s->handle[0]) == 1) {
		fail(error, LODGE_ERROR_FILE, "%s: is exported read-only; open it with readonly=on",
			o->path);
		goto failed;
	}
	while (nbd_can_multi_conn(s->handle[0]) == 1 && s->count < CONNECTIONS) {
		s->handle[s->count] = join(o->path, NULL);
		if (!s->handle[s->count])
			break;
		s->count++;
	}
	return f;
failed:
	file_close(f);
	return NULL;
}
