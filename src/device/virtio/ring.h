/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring.h: what ring.c asks of the two layouts, ring_split.c and ring_packed.c. */
#ifndef DEVICE_VIRTIO_RING_H
#define DEVICE_VIRTIO_RING_H

#include "device/virtio/virtio.h"

/* Bytes of the three areas for a ring of `size`. */
struct ring_sizes {
	uint32_t desc, driver, device;
	uint8_t desc_align, driver_align, device_align;
};

struct ring_layout {
	struct ring_sizes (*sizes)(unsigned size);
	int (*pop)(struct virtq *q, struct virtq_chain *c);
	void (*unpop)(struct virtq *q, const struct virtq_chain *c);
	void (*push)(struct virtq *q, const struct virtq_chain *const *c, const uint32_t *len,
		unsigned n);
	bool (*wants_signal)(struct virtq *q);
	void (*kicks)(struct virtq *q, bool on);
	bool (*empty)(struct virtq *q);
};

extern const struct ring_layout ring_split, ring_packed;

/* Adds guest bytes to a chain; false: broken (reported). */
bool ring_add(struct virtq *q, struct virtq_chain *c, uint64_t addr, uint32_t len, bool write);
/* Reads one 16-byte descriptor of an indirect table. */
bool ring_read16(struct virtq *q, uint64_t addr, void *to);
/* Bytes of an area were written. */
void ring_touch(const struct virtq_area *a, uint32_t offset, uint32_t n);

#endif
