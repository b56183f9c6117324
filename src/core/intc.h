/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * intc.h: the machine's interrupt entrance, whoever implements it. Under KVM the accelerator fills
 * it from the in-kernel irqchip; else the board's own 8259, IOAPIC and local APICs do. Devices
 * only ever see wires (irq.h) and msi_send().
 */
#ifndef CORE_INTC_H
#define CORE_INTC_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

struct intc {
	const struct intc_ops *ops; /* NULL until the board or the accelerator has filled it */
	void *opaque;
};

struct intc_ops {
	const char *name;
	/* Level of global system interrupt `gsi` (0..23 on a PC: IOAPIC pin, and 8259 for 0..15).
	 */
	void (*gsi)(void *opaque, unsigned gsi, int level);
	/* A message-signalled interrupt: address and data as PCI 3.0 section 6.8 and SDM 11.11. */
	void (*msi)(void *opaque, uint64_t addr, uint32_t data);
	/*
	 * Optional (NULL: never): make `fd` (an eventfd) raise this MSI without user space; -1
	 * where that is not possible. Undone by msi_unbind.
	 */
	int (*msi_bind)(void *opaque, int fd, uint64_t addr, uint32_t data);
	void (*msi_unbind)(void *opaque, int fd);
};

/* Any thread. */
void machine_gsi(struct machine *m, unsigned gsi, int level);
void msi_send(struct machine *m, uint64_t addr, uint32_t data);

#endif
