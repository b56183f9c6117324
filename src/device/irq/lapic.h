/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.h: the local APIC and x2APIC of one vCPU, and the way messages reach all of them.
 *
 * A "lapic" device is made per vCPU (config "cpu") and fills that vCPU's struct vcpu_intc. Its
 * registers belong to the vCPU's own thread; what other threads may do is post a message, which is
 * lock-free. VCPU_EV_INTR is posted whenever pending() may have become true, also by the vCPU's own
 * writes (TPR, EOI), so an engine need not ask again until it sees the event.
 */
#ifndef DEVICE_IRQ_LAPIC_H
#define DEVICE_IRQ_LAPIC_H

#include <stdint.h>

struct device;
struct machine;
struct vcpu;

extern const struct device_class lapic_class;

/* What a local APIC needs of the rest of the machine. Set by the board before the machine runs;
 * borrowed, shared by all local APICs. */
struct lapic_host {
	/* Guest TSC of a vCPU now, from any thread; NULL: no TSC-deadline mode. */
	uint64_t (*guest_tsc)(struct vcpu *c);
	uint64_t tsc_khz; /* guest TSC frequency */
	/* EOI of a level-triggered vector, to be seen by all IOAPICs; NULL: none. */
	void (*eoi)(void *opaque, uint8_t vector);
	/* INTA cycle of the external controller on LINT0: its vector, or -1; NULL: none. */
	int (*extint_ack)(void *opaque);
	void *opaque;
};
void lapic_set_host(struct device *lapic, const struct lapic_host *host);

/* Sink of an irq wire: INTR of the external controller, on the LINT0 pin. Any thread. */
void lapic_lint0(void *lapic, unsigned line, int level);

/* A message on the interrupt bus: address and data as SDM vol. 3, 11.11 (fixed, lowest priority,
 * NMI, INIT, ExtINT; physical, logical, broadcast). Any thread, lock-free. */
void lapic_msi(struct machine *m, uint64_t addr, uint32_t data);

#endif
