/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file_fault.c: a disk whose power can be cut; see file_fault.h. */
#include "image/file_fault.h"

#include <errno.h>
#include <string.h>

enum { SECTOR = 512 };

/* A write that no sync has covered yet. */
struct loose {
	uint64_t at, n; /* n 0: a truncation to `at` */
	uint8_t *bytes;
};

struct fault {
	GMutex lock;
	uint64_t cap;
	GByteArray *now;  /* as a reader sees it */
	GByteArray *safe; /* as of the last sync */
	GArray *loose;    /* struct loose, in order */
	bool cut;
	void (*moment)(void *opaque);
	void *opaque;
};

static void forget(struct fault *d)
{
	for (unsigned i = 0; i < d->loose->len; i++)
		g_free(g_array_index(d->loose, struct loose, i).bytes);
	g_array_set_size(d->loose, 0);
}

static void resize(GByteArray *a, uint64_t n)
{
	uint64_t old = a->len;

	g_byte_array_set_size(a, n);
	if (n > old)
		memset(a->data + old, 0, n - old);
}

static void put(GByteArray *a, const struct loose *w)
{
	if (!w->n) {
		resize(a, w->at);
		return;
	}
	if (w->at + w->n > a->len)
		resize(a, w->at + w->n);
	memcpy(a->data + w->at, w->bytes, w->n);
}

static void watch(struct fault *d)
{
	if (d->moment)
		d->moment(d->opaque);
}

static ssize_t fault_read(struct file *f, uint64_t at, void *buf, size_t n)
{
	struct fault *d = f->opaque;

	g_mutex_lock(&d->lock);
	n = at >= d->now->len ? 0 : MIN(n, d->now->len - at);
	if (n)
		memcpy(buf, d->now->data + at, n);
	g_mutex_unlock(&d->lock);
	return n;
}

static int fault_change(struct file *f, uint64_t at, const void *buf, uint64_t n)
{
	struct fault *d = f->opaque;
	struct loose w = { .at = at, .n = n };

	if (at > d->cap || n > d->cap - at)
		return -ENOSPC;
	if (d->cut)
		return -EIO;
	g_mutex_lock(&d->lock);
	w.bytes = g_memdup2(buf, n);
	g_array_append_val(d->loose, w);
	put(d->now, &w);
	g_mutex_unlock(&d->lock);
	watch(d);
	return 0;
}

static int fault_write(struct file *f, uint64_t at, const void *buf, size_t n)
{
	return n ? fault_change(f, at, buf, n) : 0;
}

static int fault_truncate(struct file *f, uint64_t size)
{
	return fault_change(f, size, NULL, 0);
}

static int fault_sync(struct file *f)
{
	struct fault *d = f->opaque;

	watch(d);
	if (d->cut)
		return -EIO;
	g_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->loose->len; i++)
		put(d->safe, &g_array_index(d->loose, struct loose, i));
	forget(d);
	g_mutex_unlock(&d->lock);
	return 0;
}

static int64_t fault_length(struct file *f)
{
	struct fault *d = f->opaque;

	return d->now->len;
}

static void fault_close(struct file *f)
{
	struct fault *d = f->opaque;

	forget(d);
	g_array_unref(d->loose);
	g_byte_array_unref(d->now);
	g_byte_array_unref(d->safe);
	g_mutex_clear(&d->lock);
	g_free(d);
}

static const struct file_ops fault_ops = {
	.read = fault_read,
	.write = fault_write,
	.sync = fault_sync,
	.truncate = fault_truncate,
	.length = fault_length,
	.close = fault_close,
};

struct file *file_fault_new(uint64_t cap)
{
	struct file *f = file_new(&fault_ops, "a disk without power", false);
	struct fault *d = g_new0(struct fault, 1);

	g_mutex_init(&d->lock);
	d->cap = cap;
	d->now = g_byte_array_new();
	d->safe = g_byte_array_new();
	d->loose = g_array_new(FALSE, TRUE, sizeof(struct loose));
	f->opaque = d;
	return f;
}

void file_fault_watch(struct file *f, void (*moment)(void *opaque), void *opaque)
{
	struct fault *d = f->opaque;

	d->moment = moment;
	d->opaque = opaque;
}

void file_fault_cut(struct file *f)
{
	((struct fault *)f->opaque)->cut = true;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/* Each sector of the write is there with a chance of odds/8. */
static void put_some(GByteArray *a, const struct loose *w, unsigned odds, uint64_t *seed)
{
	for (uint64_t pos = 0, n; pos < w->n; pos += n) {
		struct loose part = { .at = w->at + pos, .bytes = w->bytes + pos };

		n = MIN(SECTOR - part.at % SECTOR, w->n - pos);
		part.n = n;
		if (next_random(seed) % 8 < odds)
			put(a, &part);
	}
}

struct file *file_fault_survivor(struct file *f, uint64_t seed)
{
	struct fault *d = f->opaque;
	GByteArray *left = g_byte_array_new();
	struct file *out = file_memory_new("a disk after a power cut", d->cap);

	seed = seed * 2 + 1;
	g_byte_array_append(left, d->safe->data, d->safe->len);
	for (unsigned i = 0; i < d->loose->len; i++) {
		const struct loose *w = &g_array_index(d->loose, struct loose, i);
		/* Whole writes that are lost or arrive are likelier than torn ones. */
		unsigned dice = next_random(&seed) % 4, odds = dice == 0 ? 0 : dice == 1 ? 8 : 4;

		if (w->n)
			put_some(left, w, odds, &seed);
		else if (odds >= 4)
			put(left, w);
	}
	if (left->len)
		file_write(out, 0, left->data, left->len);
	g_byte_array_unref(left);
	return out;
}
