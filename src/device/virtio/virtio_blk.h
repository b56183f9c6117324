/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_blk.h: a disk. */
#ifndef DEVICE_VIRTIO_VIRTIO_BLK_H
#define DEVICE_VIRTIO_VIRTIO_BLK_H

#include "core/device.h"

struct image;

extern const struct device_class virtio_blk_class;

/*
 * Before device_add. Borrowed: the image outlives the device. It needs as many queues as the
 * property `queues` says; the device attaches them to the main loop.
 */
void virtio_blk_set_image(struct device *d, struct image *im);
/* The image's size changed: tells the guest. Main loop thread. */
void virtio_blk_resized(struct device *d);

enum blk_count { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_UNMAP, BLK_COUNTS };
/* Since the device was made; each array by enum blk_count. Any thread. */
struct blk_stats {
	uint64_t ops[BLK_COUNTS], bytes[BLK_COUNTS], failed[BLK_COUNTS];
	uint64_t ns[BLK_COUNTS]; /* from submission to completion, summed */
	int64_t last_ns;	 /* g_get_monotonic_time() * 1000 of the last completion; 0: none */
};
void virtio_blk_stats(struct device *d, struct blk_stats *ret_stats);

#endif
