/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_rng.h: entropy for the guest, from the host kernel's generator. */
#ifndef DEVICE_VIRTIO_VIRTIO_RNG_H
#define DEVICE_VIRTIO_VIRTIO_RNG_H

#include "core/device.h"

extern const struct device_class virtio_rng_class;

#endif
