/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hpet.h: high precision event timers. */
#ifndef DEVICE_TIMER_HPET_H
#define DEVICE_TIMER_HPET_H

struct device;
struct irq;

extern const struct device_class hpet_class;

enum { HPET_BASE = 0xfed00000, HPET_ID = 0x8086a201 /* low half of GCAP_ID: the ACPI table's */ };

/* Leads the interrupt wires of the 8254 and the RTC through the HPET, which cuts them off in legacy
 * replacement mode. After device_add of all three. */
void hpet_take_over(struct device *hpet, struct irq *pit, struct irq *rtc);

#endif
