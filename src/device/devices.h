/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices.h: the one table of all device classes. */
#ifndef DEVICE_DEVICES_H
#define DEVICE_DEVICES_H

#include "core/device.h"

extern const struct device_class *const devices[]; /* NULL ends it */

/* NULL: no such class. */
const struct device_class *device_class_find(const char *name);

#endif
