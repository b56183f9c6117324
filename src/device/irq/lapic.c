/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.c: local APIC and x2APIC: registers, modes, priorities.
 * Spec: Intel SDM vol. 3 (325384), chapter 11.
 */
#include "device/irq/lapic.h"

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "core/machine.h"
#include "device/irq/lapic_impl.h"

enum {
	/* 11.4.8: version 0x14, EOI-broadcast suppression. */
	VERSION = 0x14 | (LVT_COUNT - 1) << 16 | 1 << 24,
	MSR_X2APIC = 0x800,
	MSR_TSC_DEADLINE = 0x6e0,
};

static struct lapic *self(struct device *d)
{
	return container_of(d, struct lapic, dev);
}

static bool lapic_pending(void *opaque);

struct lapic *lapic_of(struct vcpu *c)
{
	return c->intc.pending == lapic_pending ? c->intc.opaque : NULL;
}

/* Highest vector in a 256-bit set; -1: empty. */
static int top_isr(const struct lapic *l)
{
	for (int i = 7; i >= 0; i--)
		if (l->isr[i])
			return i * 32 + 31 - __builtin_clz(l->isr[i]);
	return -1;
}

static int top_irr(const struct lapic *l)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t w = atomic_load_explicit(&l->irr[i], memory_order_acquire);

		if (w)
			return i * 32 + 31 - __builtin_clz(w);
	}
	return -1;
}

/* 11.8.3.1, table 11-2 */
static uint8_t ppr(const struct lapic *l)
{
	uint8_t tpr = atomic_load_explicit(&l->tpr, memory_order_relaxed);
	uint8_t isr = l->isr_top < 0 ? 0 : l->isr_top & 0xf0;

	return (tpr & 0xf0) >= isr ? tpr : isr;
}

/* Vector that may be delivered now, or -1. */
static int deliverable(const struct lapic *l)
{
	int v = top_irr(l);

	return v >= 0 && (v & 0xf0) > (ppr(l) & 0xf0) ? v : -1;
}

/* 11.5.1: LINT0 hands the external controller's INTR through in ExtINT mode, and always when the
 * APIC is off (11.4.3). */
static bool extint(const struct lapic *l)
{
	uint32_t lvt = l->lvt[LVT_LINT0];

	if (!atomic_load_explicit(&l->lint0, memory_order_acquire))
		return false;
	return !lapic_on(l) || (!(lvt & LVT_MASKED) && (lvt & LVT_MODE) == MODE_EXTINT << 8);
}

static bool lapic_pending(void *opaque)
{
	const struct lapic *l = opaque;

	return deliverable(l) >= 0 || extint(l);
}

/* What pending() depends on has changed on the vCPU's own thread. */
static void recheck(struct lapic *l)
{
	if (lapic_pending(l))
		vcpu_post(l->vcpu, VCPU_EV_INTR);
}

static int lapic_ack(void *opaque)
{
	struct lapic *l = opaque;
	int v = deliverable(l);

	if (v >= 0) {
		atomic_fetch_and(&l->irr[v >> 5], ~(1u << (v & 31)));
		l->isr[v >> 5] |= 1u << (v & 31);
		l->isr_top = v;
	} else if (extint(l) && l->host && l->host->extint_ack) {
		v = l->host->extint_ack(l->host->opaque);
	}
	recheck(l);
	return v;
}

/* 11.8.5, 11.8.6 */
static void eoi(struct lapic *l)
{
	int v = l->isr_top;
	uint32_t bit = 1u << (v & 31);

	if (v < 0)
		return;
	l->isr[v >> 5] &= ~bit;
	l->isr_top = top_isr(l);
	if (atomic_load(&l->tmr[v >> 5]) & bit && !(l->svr & SVR_NO_BROADCAST) && l->host &&
		l->host->eoi)
		l->host->eoi(l->host->opaque, v);
	recheck(l);
}

/* 11.5.3 */
void lapic_error(struct lapic *l, uint32_t esr_bit)
{
	uint32_t lvt = l->lvt[LVT_ERROR];

	if (atomic_fetch_or(&l->esr_pending, esr_bit) & esr_bit)
		return;
	if (!(lvt & LVT_MASKED))
		lapic_accept(l, MODE_FIXED, lvt & LVT_VECTOR, false);
}

void lapic_lint0(void *lapic, unsigned line, int level)
{
	struct lapic *l = lapic;
	uint32_t lvt = l->lvt[LVT_LINT0];
	bool was = atomic_exchange(&l->lint0, level);

	if (!level || was)
		return;
	if (extint(l))
		vcpu_post(l->vcpu, VCPU_EV_INTR);
	else if (!(lvt & LVT_MASKED) && lapic_on(l))
		lapic_accept(l, lvt >> 8 & 7, lvt & LVT_VECTOR, false);
}

/* 11.4.7.1 and 11.4.7.3: power-up or INIT; IA32_APIC_BASE stays. */
static void reset_registers(struct lapic *l)
{
	for (unsigned i = 0; i < 8; i++)
		l->irr[i] = l->tmr[i] = l->isr[i] = 0;
	l->isr_top = -1;
	l->tpr = 0;
	l->ldr = 0;
	l->esr = 0;
	l->esr_pending = 0;
	l->dfr = 0xffffffff;
	l->svr = 0xff;
	l->icr = 0;
	lapic_timer_reset(l);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
}

static void lapic_init_signal(void *opaque)
{
	reset_registers(opaque);
}

static uint64_t base_get(void *opaque)
{
	struct lapic *l = opaque;

	return l->base;
}

/* 11.12.5, figure 11-27: which mode may follow which. */
static bool base_set(void *opaque, uint64_t val)
{
	static struct log_limit limit;
	struct lapic *l = opaque;
	uint64_t old = l->base, en = val & BASE_EN, extd = val & BASE_EXTD;

	if (val & 0x2ff || val >> 52)
		return false;
	if (extd && !en)
		return false;
	if (extd && !(old & BASE_EN))
		return false; /* disabled -> x2APIC */
	if (en && !extd && (old & BASE_EXTD))
		return false; /* x2APIC -> xAPIC */
	if ((val & ~0xfffull) != BASE_ADDRESS)
		log_guest(&limit, "vCPU %u moves its APIC to 0x%llx, which is not followed", l->cpu,
			(unsigned long long)(val & ~0xfffull));
	l->base = val;
	if (!en && (old & BASE_EN))
		reset_registers(l); /* 11.4.3: enabled again, it is as after power-up */
	recheck(l);
	return true;
}

static uint8_t tpr_get(void *opaque)
{
	const struct lapic *l = opaque;

	return atomic_load_explicit(&l->tpr, memory_order_relaxed) >> 4;
}

static void set_tpr(struct lapic *l, uint32_t val)
{
	uint32_t old = l->tpr;

	atomic_store_explicit(&l->tpr, val & 0xff, memory_order_relaxed);
	if ((val & 0xf0) < (old & 0xf0))
		recheck(l);
}

static void tpr_set(void *opaque, uint8_t cr8)
{
	set_tpr(opaque, cr8 << 4 & 0xf0);
}

static uint32_t ldr_get(const struct lapic *l)
{
	return lapic_x2(l) ? l->cpu >> 4 << 16 | 1u << (l->cpu & 15) : l->ldr;
}

/* 11.9; the focus and broadcast bits are kept, software disable masks every LVT entry. */
static void set_svr(struct lapic *l, uint32_t val)
{
	l->svr = val & (0xff | SVR_ENABLE | SVR_NO_FOCUS | SVR_NO_BROADCAST);
	if (!(val & SVR_ENABLE))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			l->lvt[i] |= LVT_MASKED;
}

/* Bits software may write, by entry (figure 11-8). */
static const uint32_t lvt_bits[LVT_COUNT] = {
	[LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
	[LVT_THERMAL] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
	[LVT_PERF] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
	[LVT_LINT0] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LVT_LINT1] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

static void set_lvt(struct lapic *l, unsigned i, uint32_t val)
{
	val &= lvt_bits[i];
	if (!(l->svr & SVR_ENABLE))
		val |= LVT_MASKED;
	if (i == LVT_TIMER)
		lapic_timer_set_lvt(l, val);
	else
		l->lvt[i] = val;
	if (i == LVT_LINT0)
		recheck(l);
}

static uint32_t read_register(struct lapic *l, unsigned reg)
{
	switch (reg) {
	case REG_ID: return lapic_x2(l) ? l->cpu : l->cpu << 24;
	case REG_VERSION: return VERSION;
	case REG_TPR: return l->tpr;
	case REG_PPR: return ppr(l);
	case REG_LDR: return ldr_get(l);
	case REG_DFR: return l->dfr;
	case REG_SVR: return l->svr;
	case REG_ISR ... REG_ISR + 7: return l->isr[reg - REG_ISR];
	case REG_TMR ... REG_TMR + 7: return l->tmr[reg - REG_TMR];
	case REG_IRR ... REG_IRR + 7: return l->irr[reg - REG_IRR];
	case REG_ESR: return l->esr;
	case REG_ICR: return l->icr;
	case REG_ICR_HIGH: return l->icr >> 32;
	case REG_LVT_TIMER ... REG_LVT_ERROR: return l->lvt[reg - REG_LVT_TIMER];
	case REG_TIMER_INIT: return l->timer_init;
	case REG_TIMER_CURRENT: return lapic_timer_current(l);
	case REG_TIMER_DIVIDE: return l->timer_divide;
	default: return 0;
	}
}

static void write_register(struct lapic *l, unsigned reg, uint32_t val)
{
	switch (reg) {
	case REG_TPR: set_tpr(l, val); break;
	case REG_EOI: eoi(l); break;
	case REG_LDR: l->ldr = val & 0xff000000; break;
	case REG_DFR: l->dfr = val | 0x0fffffff; break;
	case REG_SVR: set_svr(l, val); break;
	case REG_ESR: l->esr = atomic_exchange(&l->esr_pending, 0); break;
	case REG_ICR_HIGH: l->icr = (uint64_t)(val & 0xff000000) << 32 | (uint32_t)l->icr; break;
	case REG_ICR:
		l->icr = l->icr >> 32 << 32 | (val & 0xccfff);
		lapic_send_icr(l, l->icr);
		break;
	case REG_LVT_TIMER ... REG_LVT_ERROR: set_lvt(l, reg - REG_LVT_TIMER, val); break;
	case REG_TIMER_INIT: lapic_timer_set_init(l, val); break;
	case REG_TIMER_DIVIDE: lapic_timer_set_divide(l, val); break;
	}
}

/* Registers there are, one bit per register number; 11.4.1 and table 11-6. */
#define BIT(n) (1ull << (n))
#define BITS(first, last) (BIT(last) - BIT(first) + BIT(last))
#define BOTH_READ                                                                                  \
	(BIT(REG_ID) | BIT(REG_VERSION) | BIT(REG_TPR) | BIT(REG_PPR) | BIT(REG_LDR) |             \
	 BIT(REG_SVR) | BITS(REG_ISR, REG_IRR + 7) | BIT(REG_ESR) | BIT(REG_ICR) |                 \
	 BITS(REG_LVT_TIMER, REG_TIMER_CURRENT) | BIT(REG_TIMER_DIVIDE))
#define BOTH_WRITE                                                                                 \
	(BIT(REG_TPR) | BIT(REG_EOI) | BIT(REG_SVR) | BIT(REG_ESR) | BIT(REG_ICR) |                \
	 BITS(REG_LVT_TIMER, REG_TIMER_INIT) | BIT(REG_TIMER_DIVIDE))
static const uint64_t xapic_read = BOTH_READ | BIT(REG_APR) | BIT(REG_RRD) | BIT(REG_DFR) |
	BIT(REG_ICR_HIGH) | BIT(REG_EOI);
static const uint64_t xapic_write = BOTH_WRITE | BIT(REG_ID) | BIT(REG_LDR) | BIT(REG_DFR) |
	BIT(REG_ICR_HIGH);
static const uint64_t x2apic_write = BOTH_WRITE | BIT(REG_SELF_IPI);

static bool has(uint64_t set, unsigned reg)
{
	return reg < 64 && set & BIT(reg);
}

/* Writable bits of an x2APIC register: any other set is #GP (11.12.1.2). */
static uint64_t x2apic_mask(unsigned reg)
{
	switch (reg) {
	case REG_TPR: case REG_SELF_IPI: return 0xff;
	case REG_EOI: case REG_ESR: return 0;
	case REG_SVR: return 0xff | SVR_ENABLE | SVR_NO_FOCUS | SVR_NO_BROADCAST;
	case REG_ICR: return 0xffffffff000ccfffull;
	case REG_LVT_TIMER ... REG_LVT_ERROR:
		/* Delivery status and remote IRR are read-only, not reserved. */
		return lvt_bits[reg - REG_LVT_TIMER] | LVT_STATUS | LVT_REMOTE_IRR;
	case REG_TIMER_DIVIDE: return 0xb;
	default: return 0xffffffff;
	}
}

static bool msr_read(void *opaque, uint32_t msr, uint64_t *val)
{
	struct lapic *l = opaque;
	unsigned reg = msr - MSR_X2APIC;

	if (msr == MSR_TSC_DEADLINE) {
		*val = lapic_timer_deadline(l);
		return l->host && l->host->guest_tsc;
	}
	if (!lapic_x2(l) || !has(BOTH_READ, reg))
		return false;
	*val = reg == REG_ICR ? l->icr : read_register(l, reg);
	return true;
}

static bool msr_write(void *opaque, uint32_t msr, uint64_t val)
{
	struct lapic *l = opaque;
	unsigned reg = msr - MSR_X2APIC;

	if (msr == MSR_TSC_DEADLINE) {
		if (!l->host || !l->host->guest_tsc)
			return false;
		lapic_timer_set_deadline(l, val);
		return true;
	}
	if (!lapic_x2(l) || !has(x2apic_write, reg) || val & ~x2apic_mask(reg))
		return false;
	switch (reg) {
	case REG_ICR:
		l->icr = val;
		lapic_send_icr(l, val);
		break;
	case REG_SELF_IPI:
		if (val < 16)
			lapic_error(l, ESR_SEND_ILLEGAL);
		else
			lapic_accept(l, MODE_FIXED, val, false);
		break;
	default:
		write_register(l, reg, val);
	}
	return true;
}

/* The page at 0xfee00000 is each vCPU's own (11.4.1); registers stand 16 bytes apart. It belongs to
 * no one device: its owner is the vCPU that looks. */
static struct lapic *page_owner(void)
{
	struct vcpu *c = vcpu_current();
	struct lapic *l = c ? lapic_of(c) : NULL;

	return l && lapic_on(l) && !lapic_x2(l) ? l : NULL;
}

static uint64_t page_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct lapic *l = page_owner();

	if (!l)
		return UINT32_MAX;
	if (off & 0xc)
		return 0;
	if (!has(xapic_read, off >> 4)) {
		lapic_error(l, ESR_REGISTER);
		return 0;
	}
	return read_register(l, off >> 4);
}

static void page_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct lapic *l = page_owner();

	if (!l || off & 0xc)
		return;
	if (has(xapic_write, off >> 4))
		write_register(l, off >> 4, val);
	else
		lapic_error(l, ESR_REGISTER);
}

static const struct region_ops page_ops = { page_read, page_write, .min = 4, .max = 4 };

void lapic_set_host(struct device *lapic, const struct lapic_host *host)
{
	self(lapic)->host = host;
}

static int lapic_init(struct device *d, GError **error)
{
	struct lapic *l = self(d);
	struct machine *m = d->machine;

	if (l->cpu >= m->vcpu_count)
		return fail(error, LODGE_ERROR_USAGE, "%s: there is no vCPU %u", d->id, l->cpu);
	l->vcpu = m->vcpus[l->cpu];
	if (l->vcpu->intc.opaque)
		return fail(error, LODGE_ERROR_USAGE, "%s: vCPU %u has a local APIC already", d->id,
			l->cpu);
	timer_init(&l->timer, m->clock, d, lapic_timer_expired, l);
	l->timer_when = -1;
	l->isr_top = -1;
	l->vcpu->intc = (struct vcpu_intc){
		.opaque = l, .pending = lapic_pending, .ack = lapic_ack, .base_get = base_get,
		.base_set = base_set, .msr_read = msr_read, .msr_write = msr_write,
		.tpr_get = tpr_get, .tpr_set = tpr_set, .init = lapic_init_signal,
	};
	if (l->cpu == 0) {
		l->page = (struct region){ .name = "lapic", .ops = &page_ops, .size = 0x1000 };
		region_place(m->memory, &l->page, BASE_ADDRESS, 1);
	}
	return 0;
}

static void lapic_fini(struct device *d)
{
	struct lapic *l = self(d);

	region_unplace(&l->page);
	if (l->timer.clock)
		timer_cancel(&l->timer);
	if (l->vcpu && l->vcpu->intc.opaque == l)
		l->vcpu->intc = (struct vcpu_intc){ 0 };
}

static void lapic_reset(struct device *d)
{
	struct lapic *l = self(d);

	l->base = BASE_ADDRESS | BASE_EN | (l->cpu == 0 ? BASE_BSP : 0);
	reset_registers(l);
	/* Virtual wire mode (MultiProcessor Specification 1.4, 3.6.2.2), as firmware leaves it. */
	if (l->virtual_wire && l->cpu == 0) {
		l->svr = 0xff | SVR_ENABLE;
		l->lvt[LVT_LINT0] = MODE_EXTINT << 8;
		l->lvt[LVT_LINT1] = MODE_NMI << 8;
	}
}

static int lapic_loaded(struct device *d, GError **error)
{
	struct lapic *l = self(d);
	uint64_t base = l->base;

	if (base & 0x2ff || base >> 52 || (base & BASE_EXTD && !(base & BASE_EN)))
		return fail(error, LODGE_ERROR_STATE, "%s: bad APIC base 0x%llx", d->id,
			(unsigned long long)base);
	l->tpr &= 0xff;
	l->irr[0] &= ~0xffffu;
	l->isr[0] &= ~0xffffu;
	l->tmr[0] &= ~0xffffu;
	l->isr_top = top_isr(l);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		l->lvt[i] &= lvt_bits[i];
	if (lapic_timer_loaded(l, error) < 0)
		return -1;
	recheck(l);
	return 0;
}

static const struct field config[] = {
	CONFIG(struct lapic, cpu, FIELD_U32, "0", "index of the vCPU it belongs to"),
	CONFIG(struct lapic, virtual_wire, FIELD_BOOL, "true",
		"the boot CPU starts with 8259 interrupts let through, as firmware leaves it"),
	{ 0 },
};

static const struct field state[] = {
	FIELD(struct lapic, base, FIELD_U64),
	FIELD_ARRAY(struct lapic, irr, FIELD_U32, 8),
	FIELD_ARRAY(struct lapic, tmr, FIELD_U32, 8),
	FIELD_ARRAY(struct lapic, isr, FIELD_U32, 8),
	FIELD(struct lapic, tpr, FIELD_U32),
	FIELD(struct lapic, ldr, FIELD_U32),
	FIELD(struct lapic, dfr, FIELD_U32),
	FIELD(struct lapic, svr, FIELD_U32),
	FIELD(struct lapic, esr, FIELD_U32),
	FIELD(struct lapic, esr_pending, FIELD_U32),
	FIELD(struct lapic, icr, FIELD_U64),
	FIELD_ARRAY(struct lapic, lvt, FIELD_U32, LVT_COUNT),
	FIELD(struct lapic, timer_init, FIELD_U32),
	FIELD(struct lapic, timer_divide, FIELD_U32),
	FIELD(struct lapic, timer_when, FIELD_U64),
	FIELD(struct lapic, tsc_deadline, FIELD_U64),
	{ 0 },
};

const struct device_class lapic_class = {
	.name = "lapic",
	.help = "local APIC and x2APIC of one vCPU",
	.size = sizeof(struct lapic),
	.version = 1,
	.config = config,
	.state = state,
	.init = lapic_init,
	.reset = lapic_reset,
	.loaded = lapic_loaded,
	.fini = lapic_fini,
};
