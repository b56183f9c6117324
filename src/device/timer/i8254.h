/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8254.h: the PC's programmable interval timer and port 0x61. */
#ifndef DEVICE_TIMER_I8254_H
#define DEVICE_TIMER_I8254_H

extern const struct device_class i8254_class;

#endif
