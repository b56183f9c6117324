/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * region.c: address spaces: placements, the flat view made of them, accesses through it.
 *
 * Readers take no lock and write no shared memory. There are two view buffers; a change fills the
 * one not in use and then points readers at it. A reader that was still in that buffer sees its
 * sequence number move and starts over. Buffers that became too small are kept until the space
 * goes (each is twice the last, so together they are no more than the newest).
 */
#include "core/region.h"

#include <stdatomic.h>
#include <string.h>

#include <glib.h>

#include "base/own.h"
#include "core/device.h"
#include "core/ram.h"

enum { FLAT_WORDS = sizeof(struct flat) / sizeof(uint64_t) };
_Static_assert(sizeof(struct flat) % sizeof(uint64_t) == 0, "struct flat is copied by words");

struct view {
	_Atomic unsigned seq; /* odd while being filled */
	_Atomic unsigned count;
	unsigned capacity;
	_Atomic uint64_t words[]; /* capacity * FLAT_WORDS */
};

struct ioevent {
	uint64_t addr;
	unsigned size;
	int fd;
	const struct space_listener *taker; /* borrowed */
};

struct space {
	char *name;
	uint64_t limit; /* first address beyond the space */
	bool port;
	struct view *_Atomic view;

	GMutex lock; /* all below */
	struct view *spare;
	GPtrArray *graveyard;  /* views that became too small */
	GPtrArray *placements; /* struct region *, highest priority first, later before earlier */
	GArray *flats;	       /* struct flat: the published view, for whoever holds the lock */
	GPtrArray *listeners;  /* struct space_listener *, borrowed */
	GArray *ioevents;      /* struct ioevent */
};

static struct view *view_new(unsigned capacity)
{
	struct view *v = g_malloc0(sizeof(*v) + capacity * sizeof(struct flat));

	v->capacity = capacity;
	return v;
}

struct space *space_new(const char *name, unsigned addr_bits)
{
	struct space *s = g_new0(struct space, 1);

	s->name = g_strdup(name);
	s->limit = 1ull << MIN(addr_bits, 63);
	s->port = addr_bits <= 16;
	g_mutex_init(&s->lock);
	atomic_init(&s->view, view_new(16));
	s->spare = view_new(16);
	s->graveyard = g_ptr_array_new_with_free_func(g_free);
	s->placements = g_ptr_array_new();
	s->flats = g_array_new(FALSE, FALSE, sizeof(struct flat));
	s->listeners = g_ptr_array_new();
	s->ioevents = g_array_new(FALSE, FALSE, sizeof(struct ioevent));
	return s;
}

void space_free(struct space *s)
{
	if (!s)
		return;
	g_free(atomic_load(&s->view));
	g_free(s->spare);
	g_ptr_array_free(s->graveyard, TRUE);
	g_ptr_array_free(s->placements, TRUE);
	g_array_free(s->flats, TRUE);
	g_ptr_array_free(s->listeners, TRUE);
	g_array_free(s->ioevents, TRUE);
	g_mutex_clear(&s->lock);
	g_free(s->name);
	g_free(s);
}

/* What region shows in [start, start+size). */
static struct flat flat_of(struct region *r, uint64_t start, uint64_t size)
{
	struct flat f = { .start = start,
		.size = size,
		.region = r,
		.region_offset = start - r->addr,
		.readonly = r->readonly };

	if (r->ram)
		f.host = r->ram->host + r->ram_offset + f.region_offset;
	return f;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t region_end(const struct space *s, const struct region *r)
{
	if (r->addr >= s->limit)
		return r->addr;
	return r->size > s->limit - r->addr ? s->limit : r->addr + r->size;
}

/* The flat view of all placements: between two neighbouring edges one region is on top. */
static GArray *flatten_locked(struct space *s)
{
	unsigned n = s->placements->len, edges = 0;
	g_autofree uint64_t *edge = g_new(uint64_t, 2 * n + 1);
	GArray *out = g_array_new(FALSE, FALSE, sizeof(struct flat));

	for (unsigned i = 0; i < n; i++) {
		struct region *r = g_ptr_array_index(s->placements, i);

		edge[edges++] = r->addr;
		edge[edges++] = region_end(s, r);
	}
	qsort(edge, edges, sizeof(edge[0]), compare_u64);
	for (unsigned e = 0; e + 1 < edges; e++) {
		struct region *top = NULL;
		struct flat *last, f;

		if (edge[e] == edge[e + 1])
			continue;
		for (unsigned i = 0; i < n && !top; i++) {
			struct region *r = g_ptr_array_index(s->placements, i);

			if (r->addr <= edge[e] && edge[e] < region_end(s, r))
				top = r;
		}
		if (!top)
			continue;
		f = flat_of(top, edge[e], edge[e + 1] - edge[e]);
		last = out->len ? &g_array_index(out, struct flat, out->len - 1) : NULL;
		if (last && last->region == top && last->start + last->size == f.start)
			last->size += f.size;
		else
			g_array_append_val(out, f);
	}
	return out;
}

static void publish_locked(struct space *s, const GArray *flats)
{
	struct view *old = atomic_load(&s->view), *v = s->spare;

	if (flats->len > v->capacity) {
		g_ptr_array_add(s->graveyard, v);
		v = view_new(MAX(2 * v->capacity, flats->len));
	}
	atomic_fetch_add(&v->seq, 1);
	atomic_store_explicit(&v->count, flats->len, memory_order_release);
	for (unsigned i = 0; i < flats->len; i++) {
		uint64_t words[FLAT_WORDS];

		memcpy(words, &g_array_index(flats, struct flat, i), sizeof(words));
		for (unsigned w = 0; w < FLAT_WORDS; w++)
			atomic_store_explicit(&v->words[i * FLAT_WORDS + w], words[w],
				memory_order_release);
	}
	atomic_fetch_add(&v->seq, 1);
	atomic_store(&s->view, v);
	s->spare = old;
}

static bool flat_same(const struct flat *a, const struct flat *b)
{
	return a->start == b->start && a->size == b->size && a->host == b->host &&
		a->readonly == b->readonly && a->region == b->region;
}

static bool flats_have(const GArray *flats, const struct flat *f)
{
	for (unsigned i = 0; i < flats->len; i++) {
		if (flat_same(&g_array_index(flats, struct flat, i), f))
			return true;
	}
	return false;
}

/* Tells listeners of each RAM piece of `a` that `b` has not. */
static void tell_missing_locked(struct space *s, const GArray *a, const GArray *b, bool add)
{
	for (unsigned i = 0; i < a->len; i++) {
		const struct flat *f = &g_array_index(a, struct flat, i);

		if (!f->host || flats_have(b, f))
			continue;
		for (unsigned k = 0; k < s->listeners->len; k++) {
			const struct space_listener *l = g_ptr_array_index(s->listeners, k);
			void (*tell)(void *, const struct flat *) = add ? l->ram_add : l->ram_del;

			if (tell)
				tell(l->opaque, f);
		}
	}
}

static void update_locked(struct space *s)
{
	GArray *now = flatten_locked(s), *old = s->flats;

	tell_missing_locked(s, old, now, false);
	publish_locked(s, now);
	s->flats = now;
	tell_missing_locked(s, now, old, true);
	g_array_free(old, TRUE);
}

static void insert_locked(struct space *s, struct region *r)
{
	unsigned i = 0;

	while (i < s->placements->len &&
		((struct region *)g_ptr_array_index(s->placements, i))->priority > r->priority)
		i++;
	g_ptr_array_insert(s->placements, (int)i, r);
}

void region_place(struct space *s, struct region *r, uint64_t addr, int priority)
{
	g_mutex_lock(&s->lock);
	r->space = s;
	r->addr = addr;
	r->priority = priority;
	insert_locked(s, r);
	update_locked(s);
	g_mutex_unlock(&s->lock);
}

void region_unplace(struct region *r)
{
	struct space *s = r->space;

	if (!s) /* never placed: a half-built device */
		return;
	g_mutex_lock(&s->lock);
	g_ptr_array_remove(s->placements, r);
	update_locked(s);
	r->space = NULL;
	g_mutex_unlock(&s->lock);
}

void region_move(struct region *r, uint64_t addr)
{
	struct space *s = r->space;

	g_mutex_lock(&s->lock);
	if (r->addr != addr) {
		/* The flats of the old view carry region offsets: forget, then place anew. */
		g_ptr_array_remove(s->placements, r);
		r->addr = addr;
		insert_locked(s, r);
		update_locked(s);
	}
	g_mutex_unlock(&s->lock);
}

void space_listen(struct space *s, const struct space_listener *l)
{
	g_mutex_lock(&s->lock);
	g_ptr_array_add(s->listeners, (void *)l);
	for (unsigned i = 0; i < s->flats->len && l->ram_add; i++) {
		const struct flat *f = &g_array_index(s->flats, struct flat, i);

		if (f->host)
			l->ram_add(l->opaque, f);
	}
	g_mutex_unlock(&s->lock);
}

void space_unlisten(struct space *s, const struct space_listener *l)
{
	g_mutex_lock(&s->lock);
	g_ptr_array_remove(s->listeners, (void *)l);
	for (unsigned i = s->ioevents->len; i-- > 0;) {
		if (g_array_index(s->ioevents, struct ioevent, i).taker == l)
			g_array_remove_index_fast(s->ioevents, i);
	}
	g_mutex_unlock(&s->lock);
}

static void flat_load(const struct view *v, unsigned i, struct flat *out)
{
	uint64_t words[FLAT_WORDS];

	for (unsigned w = 0; w < FLAT_WORDS; w++)
		words[w] =
			atomic_load_explicit(&v->words[i * FLAT_WORDS + w], memory_order_acquire);
	memcpy(out, words, sizeof(*out));
}

/* True with the first flat that ends beyond addr; it may start beyond addr too (a hole before). */
static bool find_from(struct space *s, uint64_t addr, struct flat *out)
{
	for (;;) {
		struct view *v = atomic_load_explicit(&s->view, memory_order_acquire);
		unsigned seq = atomic_load_explicit(&v->seq, memory_order_acquire);
		unsigned lo = 0, count = atomic_load_explicit(&v->count, memory_order_acquire);
		unsigned hi = MIN(count, v->capacity);
		bool found = false;

		while (lo < hi) {
			unsigned mid = (lo + hi) / 2;
			struct flat f;

			flat_load(v, mid, &f);
			if (addr - f.start < f.size || addr < f.start) {
				*out = f;
				found = true;
				hi = mid;
			} else {
				lo = mid + 1;
			}
		}
		if (!(seq & 1) && seq == atomic_load_explicit(&v->seq, memory_order_acquire))
			return found;
	}
}

bool space_find(struct space *s, uint64_t addr, struct flat *out)
{
	struct flat f;

	if (!find_from(s, addr, &f) || addr < f.start)
		return false;
	*out = f;
	return true;
}

static uint64_t mask_of(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << 8 * size) - 1;
}

/* The largest naturally aligned piece of an access of n bytes at off, at most max. */
static unsigned piece_of(uint64_t off, unsigned n, unsigned max)
{
	unsigned u = max;

	while (u > n || off % u)
		u /= 2;
	return u;
}

static uint64_t region_read(const struct region *r, uint64_t off, unsigned size)
{
	unsigned min = r->ops->min ? r->ops->min : 1, max = r->ops->max ? r->ops->max : 8;
	uint64_t val = 0;

	if (!r->ops->read)
		return mask_of(size);
	if (r->device)
		device_lock(r->device);
	for (unsigned done = 0, u; done < size; done += u) {
		uint64_t at = off + done, got;

		u = piece_of(at, size - done, max);
		if (u >= min)
			got = r->ops->read(r->device, r->opaque, at, u);
		else
			got = r->ops->read(r->device, r->opaque, at & ~(uint64_t)(min - 1), min) >>
				8 * (at & (min - 1));
		val |= (got & mask_of(u)) << 8 * done;
	}
	if (r->device)
		device_unlock(r->device);
	return val;
}

static void region_write(const struct region *r, uint64_t off, uint64_t val, unsigned size)
{
	unsigned min = r->ops->min ? r->ops->min : 1, max = r->ops->max ? r->ops->max : 8;

	if (!r->ops->write)
		return;
	if (r->device)
		device_lock(r->device);
	for (unsigned done = 0, u; done < size; done += u) {
		uint64_t at = off + done, part;

		u = piece_of(at, size - done, max);
		part = val >> 8 * done & mask_of(u);
		if (u >= min)
			r->ops->write(r->device, r->opaque, at, part, u);
		else
			r->ops->write(r->device, r->opaque, at & ~(uint64_t)(min - 1),
				part << 8 * (at & (min - 1)), min);
	}
	if (r->device)
		device_unlock(r->device);
}

/* Guest memory is shared with running vCPUs: aligned accesses are single. */
static uint64_t ram_load(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	if ((uintptr_t)p % size == 0) {
		switch (size) {
		case 1: return *(const volatile uint8_t *)p;
		case 2: return *(const volatile uint16_t *)p;
		case 4: return *(const volatile uint32_t *)p;
		case 8: return *(const volatile uint64_t *)p;
		}
	}
	memcpy(&v, p, size);
	return v;
}

static void ram_store(uint8_t *p, uint64_t v, unsigned size)
{
	if ((uintptr_t)p % size == 0) {
		switch (size) {
		case 1: *(volatile uint8_t *)p = v; return;
		case 2: *(volatile uint16_t *)p = v; return;
		case 4: *(volatile uint32_t *)p = v; return;
		case 8: *(volatile uint64_t *)p = v; return;
		}
	}
	memcpy(p, &v, size);
}

uint64_t space_read(struct space *s, uint64_t addr, unsigned size)
{
	uint64_t val = 0, off;
	struct flat f;

	if (!space_find(s, addr, &f)) {
		if (size == 1)
			return 0xff;
		memset(&f, 0, sizeof(f));
		f.start = addr;
		f.size = 1; /* a hole now may end in the middle of the access */
	}
	off = addr - f.start;
	if (f.size - off < size) { /* ends within the access: byte by byte */
		for (unsigned i = 0; i < size; i++)
			val |= space_read(s, addr + i, 1) << 8 * i;
		return val;
	}
	if (f.host)
		return ram_load(f.host + off, size);
	return region_read(f.region, f.region_offset + off, size);
}

void space_write(struct space *s, uint64_t addr, uint64_t val, unsigned size)
{
	uint64_t off;
	struct flat f;

	if (!space_find(s, addr, &f)) {
		if (size == 1)
			return;
		memset(&f, 0, sizeof(f));
		f.start = addr;
		f.size = 1;
	}
	off = addr - f.start;
	if (f.size - off < size) {
		for (unsigned i = 0; i < size; i++)
			space_write(s, addr + i, val >> 8 * i & 0xff, 1);
		return;
	}
	if (!f.host) {
		region_write(f.region, f.region_offset + off, val, size);
	} else if (!f.readonly) {
		ram_store(f.host + off, val, size);
		ram_touch(f.region->ram, f.region->ram_offset + f.region_offset + off, size);
	}
}

int space_ioevent_add(struct space *s, uint64_t addr, unsigned size, int fd)
{
	struct ioevent e = { .addr = addr, .size = size, .fd = fd };

	g_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->listeners->len && !e.taker; i++) {
		const struct space_listener *l = g_ptr_array_index(s->listeners, i);

		if (l->ioevent_add && l->ioevent_add(l->opaque, s->port, addr, size, fd) == 0)
			e.taker = l;
	}
	if (e.taker)
		g_array_append_val(s->ioevents, e);
	g_mutex_unlock(&s->lock);
	return e.taker ? 0 : -1;
}

void space_ioevent_del(struct space *s, uint64_t addr, unsigned size, int fd)
{
	g_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->ioevents->len; i++) {
		struct ioevent e = g_array_index(s->ioevents, struct ioevent, i);

		if (e.addr != addr || e.size != size || e.fd != fd)
			continue;
		e.taker->ioevent_del(e.taker->opaque, s->port, addr, size, fd);
		g_array_remove_index_fast(s->ioevents, i);
		break;
	}
	g_mutex_unlock(&s->lock);
}
