/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8254.h: the PC's programmable interval timer and port 0x61. */
#ifndef DEVICE_TIMER_I8254_H
#define DEVICE_TIMER_I8254_H

struct device;
struct irq;

extern const struct device_class i8254_class;

/* Channel 0's interrupt wire, for an HPET to take over. */
struct irq *i8254_irq(struct device *pit);

#endif
