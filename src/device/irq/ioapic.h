/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioapic.h: the I/O APIC: 24 pins in, messages out through msi_send(). */
#ifndef DEVICE_IRQ_IOAPIC_H
#define DEVICE_IRQ_IOAPIC_H

#include <stdint.h>

struct device;

enum { IOAPIC_PINS = 24 };

extern const struct device_class ioapic_class;

/* Sink of an irq wire: pin `line`, 1 = asserted whatever its polarity. Any thread. */
void ioapic_set(void *ioapic, unsigned line, int level);
/* A CPU has ended a level-triggered interrupt. Any thread. */
void ioapic_eoi(struct device *ioapic, uint8_t vector);

#endif
