/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packed.c: the few clusters that were unpacked last. */
#include "image/engine.h"

#include <errno.h>
#include <string.h>

enum {
	SLOTS = 32,
	BYTES_MAX = 16 << 20, /* with large clusters there are fewer slots */
};

struct slot {
	uint64_t key;  /* guest offset of the cluster */
	uint64_t used; /* count of the last use; 0: empty */
	uint8_t *bytes;
};

struct packed_cache {
	GMutex lock;
	uint64_t uses;
	uint64_t changes; /* counts packed_forget(): what was unpacked before is not kept */
	unsigned slots;
	struct slot slot[SLOTS];
};

static struct packed_cache *cache_of(struct image *im)
{
	struct packed_cache *c = g_atomic_pointer_get(&im->packed);

	if (c)
		return c;
	c = g_new0(struct packed_cache, 1);
	g_mutex_init(&c->lock);
	c->slots = CLAMP(BYTES_MAX / MAX(im->cluster, 1), 1, SLOTS);
	if (!g_atomic_pointer_compare_and_exchange(&im->packed, NULL, c)) {
		packed_free(c);
		c = g_atomic_pointer_get(&im->packed);
	}
	return c;
}

static bool lookup(
	struct packed_cache *c, uint64_t key, size_t skip, void *buf, size_t n, uint64_t *changes)
{
	bool found = false;

	g_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->slots && !found; i++) {
		struct slot *s = &c->slot[i];

		if (!s->used || s->key != key)
			continue;
		s->used = ++c->uses;
		memcpy(buf, s->bytes + skip, n);
		found = true;
	}
	*changes = c->changes;
	g_mutex_unlock(&c->lock);
	return found;
}

/* Takes over bytes. */
static void keep(struct packed_cache *c, uint64_t key, uint8_t *bytes, uint64_t changes)
{
	struct slot *s = &c->slot[0];

	g_mutex_lock(&c->lock);
	for (unsigned i = 1; i < c->slots; i++) {
		if (c->slot[i].used < s->used)
			s = &c->slot[i];
	}
	if (changes == c->changes) {
		void *old = s->bytes;

		s->bytes = bytes;
		s->key = key;
		s->used = ++c->uses;
		bytes = old;
	}
	g_mutex_unlock(&c->lock);
	g_free(bytes);
}

int packed_read(struct image *im, const struct extent *x, uint64_t off, void *buf, size_t n)
{
	struct packed_cache *c = cache_of(im);
	size_t skip = off % im->cluster;
	uint64_t changes;
	uint8_t *bytes;
	int r;

	if (lookup(c, off - skip, skip, buf, n, &changes))
		return 0;
	bytes = g_try_malloc(im->cluster);
	if (!bytes)
		return -ENOMEM;
	r = im->format->unpack(im, x, bytes);
	if (r < 0) {
		g_free(bytes);
		return r;
	}
	memcpy(buf, bytes + skip, n);
	if (skip || n < im->cluster)
		keep(c, off - skip, bytes, changes);
	else
		g_free(bytes); /* nobody comes back for the rest */
	return 0;
}

void packed_forget(struct image *im, uint64_t off, uint64_t n)
{
	struct packed_cache *c = g_atomic_pointer_get(&im->packed);

	if (!c)
		return;
	g_mutex_lock(&c->lock);
	c->changes++;
	for (unsigned i = 0; i < c->slots; i++) {
		struct slot *s = &c->slot[i];

		if (s->used && s->key < off + n && off < s->key + im->cluster)
			s->used = 0;
	}
	g_mutex_unlock(&c->lock);
}

void packed_free(struct packed_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		g_free(c->slot[i].bytes);
	g_mutex_clear(&c->lock);
	g_free(c);
}
