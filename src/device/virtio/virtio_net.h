/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_net.h: a network card. */
#ifndef DEVICE_VIRTIO_VIRTIO_NET_H
#define DEVICE_VIRTIO_VIRTIO_NET_H

#include "core/device.h"

struct netdev;

extern const struct device_class virtio_net_class;

/* Before device_add. Borrowed: the back end outlives the device, which attaches itself to it. */
void virtio_net_set_netdev(struct device *d, struct netdev *n);
/* Plugs or pulls the cable. Main loop thread. */
void virtio_net_set_link(struct device *d, bool up);

#endif
