/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_packed.c: packed virtqueues. Spec: VIRTIO 1.2, 2.8. */
#include <linux/virtio_ring.h>

#include "core/machine.h"
#include "device/virtio/ring.h"

enum {
	DESC_ID = 12,
	DESC_FLAGS = 14,
	FLAG_AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
	FLAG_USED = 1 << VRING_PACKED_DESC_F_USED,
	/* Both event areas: off_wrap, flags. 2.8.14. */
	EVENT_OFF_WRAP = 0,
	EVENT_FLAGS = 2,
	EVENT_WRAP = 1 << VRING_PACKED_EVENT_F_WRAP_CTR,
};

static struct ring_sizes packed_sizes(unsigned size)
{
	return (struct ring_sizes){ 16 * size, 4, 4, 16, 4, 4 };
}

static uint16_t load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

static uint8_t *slot(const struct virtq *q, unsigned i)
{
	return q->desc_area.host + 16u * i;
}

/* 2.8.1: available when AVAIL equals our wrap counter and USED does not. */
static bool packed_empty(struct virtq *q)
{
	uint16_t f = load16(slot(q, q->avail) + DESC_FLAGS);

	return !!(f & FLAG_AVAIL) != q->avail_wrap || !!(f & FLAG_USED) == q->avail_wrap;
}

static void advance(uint16_t *pos, bool *wrap, unsigned n, unsigned size)
{
	unsigned p = *pos + n;

	if (p >= size) {
		p -= size;
		*wrap = !*wrap;
	}
	*pos = (uint16_t)p;
}

static int packed_add(struct virtq *q, struct virtq_chain *c, const struct vring_packed_desc *d)
{
	bool write = d->flags & VRING_DESC_F_WRITE;

	if (!write && c->in) {
		virtio_broken(q->v, "queue %u: readable buffer after a writable one", q->index);
		return -1;
	}
	return ring_add(q, c, d->addr, d->len, write) ? 1 : -1;
}

/* 2.8.7: in a table only the WRITE flag means something. */
static int packed_indirect(
	struct virtq *q, struct virtq_chain *c, const struct vring_packed_desc *t)
{
	if (!t->len || t->len % 16 || t->len / 16 > UINT16_MAX ||
	    !virtio_has(q->v, VIRTIO_RING_F_INDIRECT_DESC)) {
		virtio_broken(q->v, "queue %u: bad indirect table", q->index);
		return -1;
	}
	for (uint32_t i = 0; i < t->len / 16; i++) {
		struct vring_packed_desc d;

		if (!ring_read16(q, t->addr + 16ull * i, &d) || packed_add(q, c, &d) < 0)
			return -1;
	}
	return 1;
}

static int packed_pop(struct virtq *q, struct virtq_chain *c)
{
	uint16_t pos = q->avail;
	struct vring_packed_desc d;

	if (packed_empty(q))
		return 0;
	c->slots = 0;
	do {
		if (c->slots == q->size) {
			virtio_broken(q->v, "queue %u: a chain longer than the ring", q->index);
			return -1;
		}
		__builtin_memcpy(&d, slot(q, pos), 16);
		c->slots++;
		pos = (uint16_t)(pos + 1u == q->size ? 0 : pos + 1u);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (c->slots != 1 || d.flags & VRING_DESC_F_NEXT) {
				virtio_broken(
					q->v, "queue %u: indirect table in a chain", q->index);
				return -1;
			}
			if (packed_indirect(q, c, &d) < 0)
				return -1;
		} else if (packed_add(q, c, &d) < 0) {
			return -1;
		}
	} while (d.flags & VRING_DESC_F_NEXT);
	c->id = d.id;
	advance(&q->avail, &q->avail_wrap, c->slots, q->size);
	return 1;
}

static void packed_unpop(struct virtq *q, const struct virtq_chain *c)
{
	if (q->avail < c->slots) {
		q->avail = (uint16_t)(q->avail + q->size - c->slots);
		q->avail_wrap = !q->avail_wrap;
	} else {
		q->avail = (uint16_t)(q->avail - c->slots);
	}
}

/* 2.8.6: one used descriptor a chain; the first one's flags last, so that all appear at once. */
static void packed_push(struct virtq *q, const struct virtq_chain *const *c, const uint32_t *len,
	unsigned n)
{
	unsigned first = q->used;
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = q->used_wrap ? FLAG_AVAIL | FLAG_USED : 0;
		uint8_t *s = slot(q, q->used);

		if (len[i])
			flags |= VRING_DESC_F_WRITE;
		__builtin_memcpy(s + 8, &len[i], 4);
		__builtin_memcpy(s + DESC_ID, &c[i]->id, 2);
		if (i)
			__atomic_store_n((uint16_t *)(s + DESC_FLAGS), flags, __ATOMIC_RELEASE);
		else
			first_flags = flags;
		ring_touch(&q->desc_area, 16u * q->used + 8, 8);
		q->unsignalled += c[i]->slots;
		advance(&q->used, &q->used_wrap, c[i]->slots, q->size);
	}
	__atomic_store_n((uint16_t *)(slot(q, first) + DESC_FLAGS), first_flags, __ATOMIC_RELEASE);
	ring_touch(&q->desc_area, 16u * first + DESC_FLAGS, 2);
}

static bool packed_wants_signal(struct virtq *q)
{
	uint16_t flags = load16(q->driver_area.host + EVENT_FLAGS) & 3;
	uint16_t event;
	int back;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX))
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = load16(q->driver_area.host + EVENT_OFF_WRAP);
	/* How many slots behind us is the one the driver waits for? */
	back = q->used - (event & ~EVENT_WRAP);
	if (!!(event & EVENT_WRAP) != q->used_wrap)
		back += q->size;
	return back > 0 && (unsigned)back <= q->unsignalled;
}

static void packed_kicks(struct virtq *q, bool on)
{
	uint8_t *e = q->device_area.host;
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

	if (on && virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX)) {
		uint16_t at = (uint16_t)(q->avail | (q->avail_wrap ? EVENT_WRAP : 0));

		__atomic_store_n((uint16_t *)(e + EVENT_OFF_WRAP), at, __ATOMIC_RELEASE);
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else if (on) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	__atomic_store_n((uint16_t *)(e + EVENT_FLAGS), flags, __ATOMIC_RELEASE);
	ring_touch(&q->device_area, 0, 4);
}

const struct ring_layout ring_packed = {
	packed_sizes, packed_pop, packed_unpop, packed_push, packed_wants_signal, packed_kicks,
	packed_empty,
};
