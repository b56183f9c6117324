/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu_slots.h: which processors are plugged in; the board's DSDT drives it. */
#ifndef DEVICE_MISC_CPU_SLOTS_H
#define DEVICE_MISC_CPU_SLOTS_H

#include <glib.h>
#include <stdbool.h>

struct device;

extern const struct device_class cpu_slots_class;

enum {
	CPU_SLOTS_DEFAULT_BASE = 0x640,
	CPU_SLOTS_SELECT = 0, /* 4 bytes: index of the processor the next register is about */
	CPU_SLOTS_STATUS = 4, /* 1 byte, the bits below */
	CPU_SLOTS_PORTS = 8,

	CPU_SLOT_PRESENT = 1 << 0,
	CPU_SLOT_ADDED = 1 << 1,  /* the guest has not heard of it; write 1 clears */
	CPU_SLOT_WANTED = 1 << 2, /* the guest shall give it up; write 1 clears */
	CPU_SLOT_EJECT = 1 << 3,  /* write 1: the guest has given it up */
};

/* What the board gives before device_add: called when the guest has something to look at. */
void cpu_slots_set_notify(struct device *d, void (*notify)(void *opaque), void *opaque);
/* Called when the guest has given a processor up, on its vCPU's thread; NULL: nobody. */
void cpu_slots_listen(struct device *d, void (*ejected)(void *opaque, unsigned cpu), void *opaque);

/* Any thread. */
bool cpu_slots_present(struct device *d, unsigned cpu);
unsigned cpu_slots_count(struct device *d); /* present ones */
/* Plugs the lowest absent, or asks for the highest present, until `count` are, or were asked to be,
 * there. 1 up to the machine's vCPUs. */
int cpu_slots_resize(struct device *d, unsigned count, GError **error);

#endif
