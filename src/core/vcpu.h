/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu.h: one virtual CPU: its thread, the events posted to it, and its link to an interrupt
 * controller. What executes is the accelerator's business (accel/accel.h), what the registers are
 * cpu/'s.
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;
struct accel;

/* Posted by any thread, consumed by the accelerator on the vCPU's own thread. */
enum vcpu_event {
	VCPU_EV_INTR = 1 << 0,	/* the local interrupt controller may have something: ask it */
	VCPU_EV_NMI = 1 << 1,
	VCPU_EV_INIT = 1 << 2,
	VCPU_EV_SIPI = 1 << 3,	/* sipi_vector is valid */
	VCPU_EV_SMI = 1 << 4,
	VCPU_EV_EXIT = 1 << 5,	/* leave vcpu_run as soon as you can */
	VCPU_EV_WORK = 1 << 6,	/* accelerator-internal work (TLB shootdown, exclusive section) */
};

/* The local interrupt controller as a vCPU sees it. Filled by device/irq/lapic.c; unused (NULL)
 * under KVM with the in-kernel irqchip. Called on the vCPU's thread. */
struct vcpu_intc {
	void *opaque;
	bool (*pending)(void *opaque);	/* an interrupt with priority above TPR/PPR waits */
	int (*ack)(void *opaque);	/* take it: vector, or -1 if it went away */
	uint64_t (*base_get)(void *opaque);	/* IA32_APIC_BASE */
	bool (*base_set)(void *opaque, uint64_t val);	/* false: #GP */
	bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *val); /* x2APIC 0x800..0x83f, TSC
							deadline 0x6e0; false: #GP */
	bool (*msr_write)(void *opaque, uint32_t msr, uint64_t val);
	uint8_t (*tpr_get)(void *opaque);	/* CR8: bits 7:4 of TPR */
	void (*tpr_set)(void *opaque, uint8_t cr8);
	void (*init)(void *opaque);		/* INIT reached the CPU: reset but keep the id */
};

struct vcpu {
	struct machine *machine;	/* borrowed */
	const struct accel *accel;
	unsigned index;			/* 0 is the boot CPU; also its APIC id */
	void *arch; /* struct x86_cpu *; owned by the accelerator's private state */
	void *engine;			/* accelerator's private state */
	struct vcpu_intc intc;

	_Atomic uint32_t events;	/* enum vcpu_event */
	_Atomic uint8_t sipi_vector;
	_Atomic bool halted;		/* sleeps in vcpu_wait: hlt, or wait-for-SIPI */

	/* private to vcpu.c */
	GThread *thread;
	GMutex wait_lock;
	GCond wait_cond;
	int run_state;
	int tid;			/* host thread id, for query-cpus-fast */
};

/* Sets events, wakes a halted vCPU and kicks a running one. Any thread, also signal-free fast when
 * the bits were already set. */
void vcpu_post(struct vcpu *c, uint32_t events);
/* Sleeps until an event is posted (returns at once if one already is). Own thread only. */
void vcpu_wait(struct vcpu *c);
static inline uint32_t vcpu_events(struct vcpu *c)
{
	return atomic_load_explicit(&c->events, memory_order_acquire);
}
static inline void vcpu_events_clear(struct vcpu *c, uint32_t mask)
{
	atomic_fetch_and(&c->events, ~mask);
}
/* The vCPU whose thread this is, or NULL. */
struct vcpu *vcpu_current(void);

/* For machine.c. */
struct vcpu *vcpu_new(struct machine *m, unsigned index, GError **error);
void vcpu_free(struct vcpu *c);		/* stops and joins its thread; NULL allowed */
void vcpu_allow(struct vcpu *c);	/* let it run; makes the thread when there is none yet */
void vcpu_forbid(struct vcpu *c);	/* asks it to park; returns at once */
void vcpu_wait_parked(struct vcpu *c);	/* after vcpu_forbid: until it is out of vcpu_run */

#endif
