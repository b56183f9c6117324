/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pc_intc.h: the PC's own interrupt controllers wired into the machine. */
#ifndef DEVICE_IRQ_PC_INTC_H
#define DEVICE_IRQ_PC_INTC_H

#include <glib.h>
#include <stdbool.h>

struct machine;

extern const struct device_class pc_intc_class; /* made by pc_intc_new */

/*
 * Makes an i8259, an IOAPIC and a local APIC for each vCPU, wires them, and fills machine->intc.
 * Global system interrupt 0 (the 8254) arrives at 8259 input 0 and IOAPIC pin 2, which the MADT has
 * to say; 1..15 at both with the same number; 16..23 at the IOAPIC. TSC-deadline mode is there if
 * the engine tells its guest TSC. `firmware`: real firmware runs first, so the local APICs start as
 * hardware does rather than in virtual wire mode.
 */
int pc_intc_new(struct machine *m, bool firmware, GError **error);

#endif
