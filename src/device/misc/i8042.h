/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8042.h: the PC's keyboard controller, with nothing plugged in. */
#ifndef DEVICE_MISC_I8042_H
#define DEVICE_MISC_I8042_H

extern const struct device_class i8042_class;

#endif
