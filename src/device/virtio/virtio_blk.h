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

#endif
