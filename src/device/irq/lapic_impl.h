/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic_impl.h: what lapic.c, lapic_send.c and lapic_timer.c share; nobody else includes it. */
#ifndef DEVICE_IRQ_LAPIC_IMPL_H
#define DEVICE_IRQ_LAPIC_IMPL_H

#include <stdatomic.h>

#include "core/clock.h"
#include "core/device.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "device/irq/lapic.h"

/* SDM vol. 3, table 11-1: register number = offset >> 4 = x2APIC MSR - 0x800. */
enum lapic_reg {
	REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a,
	REG_EOI = 0x0b, REG_RRD = 0x0c, REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f,
	REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_ICR = 0x30,
	REG_ICR_HIGH = 0x31, REG_LVT_TIMER = 0x32, REG_LVT_ERROR = 0x37, REG_TIMER_INIT = 0x38,
	REG_TIMER_CURRENT = 0x39, REG_TIMER_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

/* SDM vol. 3, 11.5.1; lvt[] index = register - REG_LVT_TIMER. */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum {
	LVT_VECTOR = 0xff,
	LVT_MODE = 7 << 8,
	LVT_STATUS = 1 << 12,
	LVT_POLARITY = 1 << 13,
	LVT_REMOTE_IRR = 1 << 14,
	LVT_LEVEL = 1 << 15,
	LVT_MASKED = 1 << 16,
	LVT_TIMER_MODE = 3 << 17,
	LVT_TIMER_ONESHOT = 0,
	LVT_TIMER_PERIODIC = 1 << 17,
	LVT_TIMER_DEADLINE = 2 << 17,
};

/* SDM vol. 3, 11.6.1: delivery modes of ICR, LVT, MSI and IOAPIC alike. */
enum lapic_mode {
	MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_RESERVED, MODE_NMI, MODE_INIT, MODE_SIPI,
	MODE_EXTINT,
};

enum { SVR_ENABLE = 1 << 8, SVR_NO_FOCUS = 1 << 9, SVR_NO_BROADCAST = 1 << 12 };
enum { ESR_SEND_ILLEGAL = 1 << 5, ESR_RECV_ILLEGAL = 1 << 6, ESR_REGISTER = 1 << 7 };
/* SDM vol. 3, 11.4.4 and 11.12.1 */
enum { BASE_BSP = 1 << 8, BASE_EXTD = 1 << 10, BASE_EN = 1 << 11 };
#define BASE_ADDRESS 0xfee00000u

struct lapic {
	struct device dev;
	uint32_t cpu; /* config: index of the vCPU, and the APIC id */
	bool virtual_wire;
	struct vcpu *vcpu; /* borrowed */
	const struct lapic_host *host; /* borrowed */
	struct region page;	/* the first one's serves every vCPU */
	struct timer timer;

	/* Any thread sets bits; only the owner clears them. */
	_Atomic uint32_t irr[8], tmr[8];
	_Atomic uint32_t esr_pending;
	_Atomic bool lint0; /* level of the pin */
	/* Written by the owner, read by whoever sends. */
	_Atomic uint64_t base;
	_Atomic uint32_t tpr, ldr, dfr, svr, lvt[LVT_COUNT];
	/* The owner's alone. */
	uint32_t isr[8];
	int isr_top; /* highest vector in service, -1: none; derived */
	uint32_t esr;
	uint64_t icr;
	/* Timer: owner and main loop, under dev.lock. Times in ns of virtual time. */
	uint32_t timer_init, timer_divide;
	int64_t timer_when; /* next expiry; -1: not running */
	uint64_t tsc_deadline; /* 0: not armed */
};

static inline bool lapic_x2(const struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & BASE_EXTD;
}

static inline bool lapic_on(const struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & BASE_EN;
}

/* lapic.c */
struct lapic *lapic_of(struct vcpu *c); /* NULL: this vCPU has none of ours */
void lapic_error(struct lapic *l, uint32_t esr_bit); /* any thread */
/* lapic_send.c */
void lapic_accept(struct lapic *l, enum lapic_mode mode, uint8_t vector, bool level);
void lapic_send_icr(struct lapic *l, uint64_t icr);
/* lapic_timer.c */
void lapic_timer_reset(struct lapic *l);
int lapic_timer_loaded(struct lapic *l, GError **error);
void lapic_timer_expired(void *opaque);
uint32_t lapic_timer_current(struct lapic *l);
void lapic_timer_set_init(struct lapic *l, uint32_t val);
void lapic_timer_set_divide(struct lapic *l, uint32_t val);
void lapic_timer_set_lvt(struct lapic *l, uint32_t val);
void lapic_timer_set_deadline(struct lapic *l, uint64_t tsc);
uint64_t lapic_timer_deadline(struct lapic *l);

#endif
