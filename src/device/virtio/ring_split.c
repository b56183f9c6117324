/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_split.c: split virtqueues. Spec: VIRTIO 1.2, 2.7. */
#include <linux/virtio_ring.h>

#include "core/machine.h"
#include "device/virtio/ring.h"

/* Driver area: flags, idx, ring[size], used_event. Device area: flags, idx, ring[size] of 8 bytes,
 * avail_event. 2.7.6, 2.7.8. */
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };

static struct ring_sizes split_sizes(unsigned size)
{
	return (struct ring_sizes){ 16 * size, 6 + 2 * size, 6 + 8 * size, 16, 2, 4 };
}

static uint16_t load16(const struct virtq_area *a, uint32_t offset)
{
	return __atomic_load_n((const uint16_t *)(a->host + offset), __ATOMIC_ACQUIRE);
}

static void store16(const struct virtq_area *a, uint32_t offset, uint16_t val)
{
	__atomic_store_n((uint16_t *)(a->host + offset), val, __ATOMIC_RELEASE);
	ring_touch(a, offset, 2);
}

static bool split_empty(struct virtq *q)
{
	return load16(&q->driver_area, RING_IDX) == q->avail;
}

/* Copied once: the driver may change a descriptor under our eyes. */
static void ring_desc(const struct virtq *q, uint16_t i, struct vring_desc *ret)
{
	__builtin_memcpy(ret, q->desc_area.host + 16u * i, 16);
}

/* Follows a chain in the ring (table 0) or in an indirect table of n descriptors. 2.7.5. */
static int split_walk(
	struct virtq *q, struct virtq_chain *c, uint16_t i, uint64_t table, uint32_t n)
{
	for (uint32_t count = 0; count < n; count++) {
		struct vring_desc d;

		if (i >= n) {
			virtio_broken(q->v, "queue %u: descriptor %u of %u", q->index, i, n);
			return -1;
		}
		if (!table)
			ring_desc(q, i, &d);
		else if (!ring_read16(q, table + 16ull * i, &d))
			return -1;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (table || d.flags & VRING_DESC_F_NEXT || !d.len || d.len % 16 ||
			    d.len / 16 > UINT16_MAX || !d.addr ||
			    !virtio_has(q->v, VIRTIO_RING_F_INDIRECT_DESC)) {
				virtio_broken(q->v, "queue %u: bad indirect table", q->index);
				return -1;
			}
			return split_walk(q, c, 0, d.addr, d.len / 16);
		}
		if (!(d.flags & VRING_DESC_F_WRITE) && c->in) {
			virtio_broken(
				q->v, "queue %u: readable buffer after a writable one", q->index);
			return -1;
		}
		if (!ring_add(q, c, d.addr, d.len, d.flags & VRING_DESC_F_WRITE))
			return -1;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 1;
		i = d.next;
	}
	virtio_broken(q->v, "queue %u: descriptors form a loop", q->index);
	return -1;
}

static int split_pop(struct virtq *q, struct virtq_chain *c)
{
	uint16_t ready = (uint16_t)(load16(&q->driver_area, RING_IDX) - q->avail);

	if (!ready)
		return 0;
	if (ready > q->size) {
		virtio_broken(
			q->v, "queue %u: %u buffers in a ring of %u", q->index, ready, q->size);
		return -1;
	}
	c->id = load16(&q->driver_area, RING_ENTRIES + 2u * (q->avail & (q->size - 1u)));
	c->slots = 1;
	q->avail++;
	return split_walk(q, c, c->id, 0, q->size);
}

static void split_unpop(struct virtq *q, const struct virtq_chain *c)
{
	q->avail--;
}

static void split_push(struct virtq *q, const struct virtq_chain *const *c, const uint32_t *len,
	unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t at = RING_ENTRIES + 8u * ((q->used + i) & (q->size - 1u));
		struct vring_used_elem e = { .id = c[i]->id, .len = len[i] };

		__builtin_memcpy(q->device_area.host + at, &e, sizeof(e));
		ring_touch(&q->device_area, at, sizeof(e));
	}
	q->used = (uint16_t)(q->used + n);
	q->unsignalled += n;
	store16(&q->device_area, RING_IDX, q->used);
}

static bool split_wants_signal(struct virtq *q)
{
	uint16_t event;

	if (!virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX))
		return !(load16(&q->driver_area, RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	event = load16(&q->driver_area, RING_ENTRIES + 2u * q->size);
	/* Was entry `event` among the last ones pushed? */
	return (uint16_t)(q->used - event - 1) < MIN(q->unsignalled, UINT16_MAX);
}

static void split_kicks(struct virtq *q, bool on)
{
	/* With the event index, "off" is leaving it behind. */
	if (!virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX))
		store16(&q->device_area, RING_FLAGS, on ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (on)
		store16(&q->device_area, RING_ENTRIES + 8u * q->size, q->avail);
}

const struct ring_layout ring_split = {
	split_sizes,
	split_pop,
	split_unpop,
	split_push,
	split_wants_signal,
	split_kicks,
	split_empty,
};
