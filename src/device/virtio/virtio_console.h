/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_console.h: consoles and named byte channels. */
#ifndef DEVICE_VIRTIO_VIRTIO_CONSOLE_H
#define DEVICE_VIRTIO_VIRTIO_CONSOLE_H

#include "core/device.h"

struct chardev;

extern const struct device_class virtio_console_class;

/*
 * Before device_add: the next port. console: a terminal (hvc0, ...); else a channel the guest finds
 * as /dev/virtio-ports/NAME. name is copied, may be NULL for consoles. The back end is borrowed and
 * outlives the device; NULL: a port nobody listens at. Fails when there are 16 ports already.
 */
int virtio_console_add_port(struct device *d, const char *name, bool console, struct chardev *c,
	GError **error);
/* The terminal of port 0 has this size now. Main loop thread. */
void virtio_console_set_size(struct device *d, uint16_t columns, uint16_t rows);

#endif
