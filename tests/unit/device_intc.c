/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_intc.c: 8259, IOAPIC and local APICs, alone and together. Oracle: the rules of the Intel
 * 8259A datasheet, the 82093AA datasheet and the SDM, vol. 3 chapter 11, as numbers.
 */
#include "device_rig.h"

#include "core/intc.h"
#include "core/irq.h"
#include "device/irq/i8259.h"
#include "device/irq/ioapic.h"
#include "device/irq/lapic.h"
#include "device/irq/pc_intc.h"

enum { APIC = 0xfee00000, IOAPIC = 0xfec00000 };

/* 8259 */

static struct device *pic_new(struct machine **m)
{
	struct device *pic;

	*m = rig_new(1, NULL);
	pic = rig_add(*m, &i8259_class, "pic", NULL);
	/* As every PC kernel does: ICW1..4, vectors 0x20 and 0x28, then all unmasked. */
	for (unsigned i = 0; i < 2; i++) {
		uint16_t port = i ? 0xa0 : 0x20;

		rig_out(*m, port, 0x11);
		rig_out(*m, port + 1, i ? 0x28 : 0x20);
		rig_out(*m, port + 1, i ? 2 : 4);
		rig_out(*m, port + 1, 0x01);
		rig_out(*m, port + 1, 0);
	}
	return pic;
}

static void test_pic_priority(void **state)
{
	struct machine *m;
	struct device *pic = pic_new(&m);
	struct irq *intr = i8259_intr(pic);

	i8259_set(pic, 5, 1);
	assert_int_equal(intr->level, 1);
	i8259_set(pic, 3, 1);
	i8259_set(pic, 9, 1); /* through the cascade: above 3 */
	assert_int_equal(i8259_ack(pic), 0x29);
	assert_int_equal(intr->level, 0); /* 3 and 5 are below what is in service */
	i8259_set(pic, 1, 1);
	assert_int_equal(intr->level, 1);
	assert_int_equal(i8259_ack(pic), 0x21);
	rig_out(m, 0x20, 0x20); /* ends 1 */
	assert_int_equal(intr->level, 0);
	rig_out(m, 0xa0, 0x20);
	rig_out(m, 0x20, 0x20); /* ends 9 */
	assert_int_equal(i8259_ack(pic), 0x23);
	rig_out(m, 0x20, 0x0b);
	assert_int_equal(rig_in(m, 0x20), 1 << 3); /* ISR */
	rig_out(m, 0x20, 0x63); /* specific EOI */
	assert_int_equal(i8259_ack(pic), 0x25);
	rig_out(m, 0x20, 0x20);
	assert_int_equal(intr->level, 0);
	assert_int_equal(i8259_ack(pic), 0x27); /* spurious: not in service */
	assert_int_equal(rig_in(m, 0x20), 0);
	rig_free(m);
}

static void test_pic_mask_and_edge(void **state)
{
	struct machine *m;
	struct device *pic = pic_new(&m);

	rig_out(m, 0x21, 1 << 4);
	i8259_set(pic, 4, 1);
	assert_int_equal(i8259_intr(pic)->level, 0);
	rig_out(m, 0x20, 0x0a);
	assert_int_equal(rig_in(m, 0x20), 1 << 4); /* requested all the same */
	rig_out(m, 0x21, 0);
	assert_int_equal(i8259_ack(pic), 0x24);
	rig_out(m, 0x20, 0x20);
	assert_int_equal(i8259_intr(pic)->level, 0); /* still high, but no new edge */
	i8259_set(pic, 4, 0);
	i8259_set(pic, 4, 1);
	assert_int_equal(i8259_intr(pic)->level, 1);
	rig_free(m);
}

static void test_pic_level(void **state)
{
	struct machine *m;
	struct device *pic = pic_new(&m);

	rig_out(m, 0x4d0, 0xff);
	rig_out(m, 0x4d1, 0xff);
	assert_int_equal(rig_in(m, 0x4d0), 0xf8);
	assert_int_equal(rig_in(m, 0x4d1), 0xde);
	i8259_set(pic, 11, 1);
	assert_int_equal(i8259_ack(pic), 0x2b);
	rig_out(m, 0xa0, 0x20);
	rig_out(m, 0x20, 0x20);
	assert_int_equal(i8259_ack(pic), 0x2b); /* again while the line is high */
	i8259_set(pic, 11, 0);
	rig_out(m, 0xa0, 0x20);
	rig_out(m, 0x20, 0x20);
	assert_int_equal(i8259_intr(pic)->level, 0);
	/* Withdrawn before the acknowledge: spurious from the master. */
	i8259_set(pic, 11, 1);
	i8259_set(pic, 11, 0);
	assert_int_equal(i8259_ack(pic), 0x27);
	rig_free(m);
}

static void test_pic_modes(void **state)
{
	struct machine *m;
	struct device *pic = pic_new(&m);

	/* Rotation: after a rotating EOI of 0, 0 is the lowest. */
	i8259_set(pic, 0, 1);
	i8259_set(pic, 7, 1);
	assert_int_equal(i8259_ack(pic), 0x20);
	rig_out(m, 0x20, 0xa0);
	i8259_set(pic, 0, 0);
	i8259_set(pic, 0, 1);
	assert_int_equal(i8259_ack(pic), 0x27);
	rig_out(m, 0x20, 0x20);
	assert_int_equal(i8259_ack(pic), 0x20);
	rig_out(m, 0x20, 0x20);
	rig_out(m, 0x20, 0xc7); /* priority as at first */

	/* Special mask: a masked level in service lets lower ones through. */
	i8259_set(pic, 1, 1);
	assert_int_equal(i8259_ack(pic), 0x21);
	i8259_set(pic, 6, 1);
	assert_int_equal(i8259_intr(pic)->level, 0);
	rig_out(m, 0x21, 1 << 1);
	rig_out(m, 0x20, 0x68);
	assert_int_equal(i8259_intr(pic)->level, 1);
	/* Poll is the acknowledge. */
	rig_out(m, 0x20, 0x0c);
	assert_int_equal(rig_in(m, 0x20), 0x86);
	assert_int_equal(i8259_intr(pic)->level, 0);

	/* Automatic EOI: nothing stays in service. */
	rig_out(m, 0x20, 0x11);
	rig_out(m, 0x21, 0x40);
	rig_out(m, 0x21, 4);
	rig_out(m, 0x21, 0x03);
	i8259_set(pic, 5, 1);
	assert_int_equal(i8259_ack(pic), 0x45);
	rig_out(m, 0x20, 0x0b);
	assert_int_equal(rig_in(m, 0x20), 0);
	rig_free(m);
}

/* IOAPIC, its messages recorded */

static uint32_t ioapic_get(struct machine *m, unsigned reg)
{
	space_write(m->memory, IOAPIC, reg, 4);
	return space_read(m->memory, IOAPIC + 0x10, 4);
}

static void ioapic_put(struct machine *m, unsigned reg, uint32_t val)
{
	space_write(m->memory, IOAPIC, reg, 4);
	space_write(m->memory, IOAPIC + 0x10, val, 4);
}

static void test_ioapic(void **state)
{
	struct rig_irqs irqs = { 0 };
	struct machine *m = rig_new(1, &irqs);
	struct device *io = rig_add(m, &ioapic_class, "ioapic", NULL);

	assert_int_equal(ioapic_get(m, 1), 0x00170020);
	assert_int_equal(ioapic_get(m, 0x10), 0x10000);
	/* Edge: once a rise; lost while masked. */
	ioapic_put(m, 0x15, 3u << 24);
	ioapic_put(m, 0x14, 0x41);
	ioapic_set(io, 2, 1);
	ioapic_set(io, 2, 0);
	assert_int_equal(irqs.msis, 1);
	assert_int_equal(irqs.msi_addr, 0xfee03000);
	assert_int_equal(irqs.msi_data, 0x41);
	ioapic_put(m, 0x14, 0x10041);
	ioapic_set(io, 2, 1);
	ioapic_put(m, 0x14, 0x41);
	assert_int_equal(irqs.msis, 1);

	/* Level: one message until EOI, again after it while the line is up. */
	ioapic_put(m, 0x10 + 2 * 16, 0xa955); /* logical, lowest priority, low active, level */
	irqs.msis = 0;
	ioapic_set(io, 16, 1);
	assert_int_equal(irqs.msis, 1);
	assert_int_equal(irqs.msi_addr, 0xfee00004);
	assert_int_equal(irqs.msi_data, 0xc155);
	assert_int_equal(ioapic_get(m, 0x30), 0xe955); /* remote IRR */
	ioapic_set(io, 16, 0);
	ioapic_set(io, 16, 1);
	assert_int_equal(irqs.msis, 1);
	ioapic_eoi(io, 0x54);
	assert_int_equal(irqs.msis, 1);
	ioapic_eoi(io, 0x55);
	assert_int_equal(irqs.msis, 2);
	ioapic_set(io, 16, 0);
	space_write(m->memory, IOAPIC + 0x40, 0x55, 4); /* the EOI register */
	assert_int_equal(irqs.msis, 2);
	assert_int_equal(ioapic_get(m, 0x30), 0xa955);
	/* A level that rose while masked comes with the unmasking. */
	ioapic_put(m, 0x30, 0x1a955);
	ioapic_set(io, 16, 1);
	assert_int_equal(irqs.msis, 2);
	ioapic_put(m, 0x30, 0xa955);
	assert_int_equal(irqs.msis, 3);
	rig_free(m);
}

/* Local APICs, driven from their own vCPUs' threads */

static struct machine *apics_new(unsigned vcpus)
{
	struct machine *m = rig_new(vcpus, NULL);

	assert_int_equal(pc_intc_new(m, false, NULL), 0);
	machine_reset(m);
	return m;
}

static uint32_t apic_get(struct vcpu *c, unsigned off)
{
	return space_read(c->machine->memory, APIC + off, 4);
}

static void apic_put(struct vcpu *c, unsigned off, uint32_t val)
{
	space_write(c->machine->memory, APIC + off, val, 4);
}

static int apic_ack(struct vcpu *c)
{
	vcpu_events_clear(c, VCPU_EV_INTR);
	return c->intc.ack(c->intc.opaque);
}

static bool apic_pending(struct vcpu *c)
{
	return c->intc.pending(c->intc.opaque);
}

static void enable(struct vcpu *c, void *opaque)
{
	apic_put(c, 0xf0, 0x1ff);
}

static void enable_all(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		rig_on_vcpu(m, i, enable, NULL);
}

static void check_reset(struct vcpu *c, void *opaque)
{
	assert_int_equal(apic_get(c, 0x20), c->index << 24);
	assert_int_equal(apic_get(c, 0x30) & 0xff, 0x14);
	assert_int_equal(apic_get(c, 0xe0), 0xffffffff);
	assert_int_equal(c->intc.base_get(c->intc.opaque), c->index ? 0xfee00800 : 0xfee00900);
	if (c->index) { /* the boot CPU is in virtual wire mode */
		assert_int_equal(apic_get(c, 0xf0), 0xff);
		assert_int_equal(apic_get(c, 0x350), 0x10000);
	} else {
		assert_int_equal(apic_get(c, 0x350), 0x700);
	}
}

static void check_priority(struct vcpu *c, void *opaque)
{
	struct machine *m = c->machine;

	enable(c, NULL);
	vcpu_events_clear(c, VCPU_EV_INTR);
	msi_send(m, 0xfee00000, 0x41);
	assert_true(vcpu_events(c) & VCPU_EV_INTR);
	msi_send(m, 0xfee00000, 0x4f);
	msi_send(m, 0xfee00000, 0x35);
	assert_int_equal(apic_get(c, 0x220), 1 << 1 | 1 << 15); /* IRR 0x40..0x5f */
	assert_int_equal(apic_ack(c), 0x4f);
	assert_int_equal(apic_get(c, 0xa0), 0x40); /* PPR */
	assert_false(apic_pending(c)); /* 0x41 is of the same class */
	msi_send(m, 0xfee00000, 0x50);
	assert_int_equal(apic_ack(c), 0x50);
	apic_put(c, 0xb0, 0); /* EOI */
	assert_false(apic_pending(c));
	vcpu_events_clear(c, VCPU_EV_INTR);
	apic_put(c, 0xb0, 0);
	assert_true(vcpu_events(c) & VCPU_EV_INTR); /* EOI made 0x41 deliverable */
	assert_int_equal(apic_ack(c), 0x41);
	apic_put(c, 0xb0, 0);
	/* The task priority holds 0x35 back, and lowering it says so. */
	c->intc.tpr_set(c->intc.opaque, 3);
	assert_int_equal(apic_get(c, 0x80), 0x30);
	assert_false(apic_pending(c));
	vcpu_events_clear(c, VCPU_EV_INTR);
	c->intc.tpr_set(c->intc.opaque, 2);
	assert_true(vcpu_events(c) & VCPU_EV_INTR);
	assert_int_equal(apic_ack(c), 0x35);
	assert_int_equal(apic_ack(c), -1);
	apic_put(c, 0xb0, 0);
	apic_put(c, 0x80, 0);
	/* Vectors below 16 are refused. */
	msi_send(m, 0xfee00000, 0x05);
	assert_false(apic_pending(c));
	apic_put(c, 0x280, 0);
	assert_int_equal(apic_get(c, 0x280), 0x40);
}

static void test_lapic_priority(void **state)
{
	struct machine *m = apics_new(2);

	rig_on_vcpu(m, 0, check_reset, NULL);
	rig_on_vcpu(m, 1, check_reset, NULL);
	rig_on_vcpu(m, 0, check_priority, NULL);
	rig_free(m);
}

struct icr {
	uint32_t high, low;
};

static void send_icr(struct vcpu *c, void *opaque)
{
	const struct icr *i = opaque;

	apic_put(c, 0x310, i->high);
	apic_put(c, 0x300, i->low);
}

/* Which of the vCPUs have an interrupt waiting, as bits; taken and ended. */
static void take(struct vcpu *c, void *opaque)
{
	uint32_t *who = opaque;

	while (apic_pending(c)) {
		apic_ack(c);
		apic_put(c, 0xb0, 0);
		*who |= 1u << c->index;
	}
}

static uint32_t takers(struct machine *m)
{
	uint32_t who = 0;

	for (unsigned i = 0; i < m->vcpu_count; i++)
		rig_on_vcpu(m, i, take, &who);
	return who;
}

static uint32_t ipi(struct machine *m, unsigned from, uint32_t high, uint32_t low)
{
	struct icr i = { high, low };

	rig_on_vcpu(m, from, send_icr, &i);
	return takers(m);
}

static void set_logical(struct vcpu *c, void *opaque)
{
	const uint32_t *dfr = opaque;

	apic_put(c, 0xe0, *dfr);
	/* Flat: a bit each; cluster: two CPUs in a cluster. */
	apic_put(c, 0xd0, *dfr >> 28 == 0xf ? 1u << (24 + c->index) :
		(c->index / 2) << 28 | 1u << (24 + c->index % 2));
}

static void set_tpr(struct vcpu *c, void *opaque)
{
	apic_put(c, 0x80, *(uint32_t *)opaque);
}

static void test_ipi(void **state)
{
	struct machine *m = apics_new(4);
	uint32_t flat = 0xffffffff, cluster = 0x0fffffff, busy = 0x80, idle = 0;

	enable_all(m);
	assert_int_equal(ipi(m, 0, 2 << 24, 0x4050), 1 << 2);
	assert_int_equal(ipi(m, 0, 9 << 24, 0x4050), 0);
	assert_int_equal(ipi(m, 1, 0xffu << 24, 0x4050), 0xf); /* physical broadcast */
	assert_int_equal(ipi(m, 1, 0, 0x44050), 1 << 1);      /* self */
	assert_int_equal(ipi(m, 1, 0, 0x84050), 0xf);	      /* all */
	assert_int_equal(ipi(m, 1, 0, 0xc4050), 0xd);	      /* all but self */

	for (unsigned i = 0; i < 4; i++)
		rig_on_vcpu(m, i, set_logical, &flat);
	assert_int_equal(ipi(m, 0, 0xau << 24, 0x4850), 0xa);
	/* Lowest priority: CPU 1 is busy, so 3 takes it. */
	rig_on_vcpu(m, 1, set_tpr, &busy);
	assert_int_equal(ipi(m, 0, 0xau << 24, 0x4950), 0x8);
	rig_on_vcpu(m, 1, set_tpr, &idle);
	assert_int_equal(__builtin_popcount(ipi(m, 0, 0xfu << 24, 0x4950)), 1);

	for (unsigned i = 0; i < 4; i++)
		rig_on_vcpu(m, i, set_logical, &cluster);
	assert_int_equal(ipi(m, 0, 0x13u << 24, 0x4850), 0xc);
	assert_int_equal(ipi(m, 0, 0x02u << 24, 0x4850), 0x2);
	assert_int_equal(ipi(m, 0, 0x23u << 24, 0x4850), 0);
	rig_free(m);
}

static void clear_events(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_events_clear(m->vcpus[i], ~(uint32_t)VCPU_EV_EXIT);
}

static void test_init_sipi_nmi(void **state)
{
	struct machine *m = apics_new(3);
	struct icr init = { 1 << 24, 0xc500 }, deassert = { 1 << 24, 0x8500 };
	struct icr sipi = { 1 << 24, 0x4699 }, nmi = { 0, 0xc4400 };

	rig_on_vcpu(m, 0, send_icr, &init);
	assert_int_equal(vcpu_events(m->vcpus[1]), VCPU_EV_INIT);
	assert_int_equal(vcpu_events(m->vcpus[2]), 0);
	clear_events(m);
	rig_on_vcpu(m, 0, send_icr, &deassert);
	assert_int_equal(vcpu_events(m->vcpus[1]), 0);
	rig_on_vcpu(m, 0, send_icr, &sipi);
	assert_int_equal(vcpu_events(m->vcpus[1]), VCPU_EV_SIPI);
	assert_int_equal(m->vcpus[1]->sipi_vector, 0x99);
	clear_events(m);
	rig_on_vcpu(m, 0, send_icr, &nmi);
	assert_int_equal(vcpu_events(m->vcpus[0]), 0);
	assert_int_equal(vcpu_events(m->vcpus[1]), VCPU_EV_NMI);
	assert_int_equal(vcpu_events(m->vcpus[2]), VCPU_EV_NMI);
	rig_free(m);
}

static bool msr_write(struct vcpu *c, uint32_t msr, uint64_t val)
{
	return c->intc.msr_write(c->intc.opaque, msr, val);
}

static bool base_set(struct vcpu *c, uint64_t val)
{
	return c->intc.base_set(c->intc.opaque, val);
}

static void check_modes(struct vcpu *c, void *opaque)
{
	uint64_t v, bsp = c->index ? 0 : 0x100;

	/* xAPIC: no MSRs; bad transitions and reserved bits are #GP. */
	assert_false(c->intc.msr_read(c->intc.opaque, 0x802, &v));
	assert_false(base_set(c, 0xfee00400 | bsp)); /* EXTD without EN */
	assert_false(base_set(c, 0xfee00801 | bsp));
	assert_true(base_set(c, 0xfee00000 | bsp)); /* off */
	assert_int_equal(apic_get(c, 0x30), 0xffffffff);
	assert_false(base_set(c, 0xfee00c00 | bsp)); /* off -> x2APIC */
	assert_true(base_set(c, 0xfee00800 | bsp));
	assert_int_equal(apic_get(c, 0xf0), 0xff); /* as after power-up */
	assert_true(base_set(c, 0xfee00c00 | bsp));
	assert_false(base_set(c, 0xfee00800 | bsp)); /* x2APIC -> xAPIC */
	assert_int_equal(apic_get(c, 0x30), 0xffffffff); /* the page is gone */

	assert_true(c->intc.msr_read(c->intc.opaque, 0x802, &v));
	assert_int_equal(v, c->index);
	assert_true(c->intc.msr_read(c->intc.opaque, 0x80d, &v));
	assert_int_equal(v, (c->index >> 4) << 16 | 1 << (c->index & 15));
	assert_false(msr_write(c, 0x802, 0)); /* read-only */
	assert_false(msr_write(c, 0x80e, 0)); /* no DFR */
	assert_false(msr_write(c, 0x831, 0)); /* ICR is one register */
	assert_false(c->intc.msr_read(c->intc.opaque, 0x80b, &v)); /* EOI is write-only */
	assert_false(msr_write(c, 0x80b, 1));
	assert_false(msr_write(c, 0x828, 1));
	assert_false(msr_write(c, 0x80f, 1 << 13));
	assert_false(msr_write(c, 0x808, 0x100));
	assert_true(msr_write(c, 0x80f, 0x1ff));
	assert_true(msr_write(c, 0x83f, 0x77)); /* self IPI */
	assert_int_equal(apic_ack(c), 0x77);
	assert_true(msr_write(c, 0x80b, 0));
}

static void x2_send(struct vcpu *c, void *opaque)
{
	assert_true(msr_write(c, 0x830, *(uint64_t *)opaque));
}

static void x2_take(struct vcpu *c, void *opaque)
{
	uint32_t *who = opaque;

	while (apic_pending(c)) {
		apic_ack(c);
		assert_true(msr_write(c, 0x80b, 0));
		*who |= 1u << c->index;
	}
}

static void test_x2apic(void **state)
{
	struct machine *m = apics_new(18);
	static const struct {
		uint64_t icr;
		uint32_t who;
	} t[] = {
		{ 17ull << 32 | 0x50, 1 << 17 },
		{ 0xffffffffull << 32 | 0x50, 0x3ffff },
		{ 0x00010003ull << 32 | 0x850, 3 << 16 }, /* cluster 1, CPUs 16 and 17 */
		{ 0x00008001ull << 32 | 0x850, 1 << 15 | 1 },
		{ 0xffffull << 32 | 0x50, 0 },
		{ 0xc0050, 0x3fffe },
	};

	for (unsigned i = 0; i < m->vcpu_count; i++)
		rig_on_vcpu(m, i, check_modes, NULL);
	for (unsigned k = 0; k < G_N_ELEMENTS(t); k++) {
		uint64_t icr = t[k].icr;
		uint32_t who = 0;

		rig_on_vcpu(m, 0, x2_send, &icr);
		for (unsigned i = 0; i < m->vcpu_count; i++)
			rig_on_vcpu(m, i, x2_take, &who);
		assert_int_equal(who, t[k].who);
	}
	rig_free(m);
}

/* The 8259 through LINT0, the IOAPIC by level and EOI broadcast. */
static void check_wired(struct vcpu *c, void *opaque)
{
	struct machine *m = c->machine;

	rig_out(m, 0x20, 0x11);
	rig_out(m, 0x21, 0x20);
	rig_out(m, 0x21, 4);
	rig_out(m, 0x21, 1);
	vcpu_events_clear(c, VCPU_EV_INTR);
	machine_gsi(m, 0, 1);
	assert_true(vcpu_events(c) & VCPU_EV_INTR);
	c->intc.tpr_set(c->intc.opaque, 15); /* ExtINT knows no priority */
	assert_int_equal(apic_ack(c), 0x20);
	assert_false(apic_pending(c));
	c->intc.tpr_set(c->intc.opaque, 0);
	rig_out(m, 0x20, 0x20);
	apic_put(c, 0x350, 0x10700);
	machine_gsi(m, 0, 0);
	machine_gsi(m, 0, 1);
	assert_false(apic_pending(c));
	apic_put(c, 0x350, 0x700);
	assert_int_equal(apic_ack(c), 0x20);

	/* Level through the IOAPIC: comes back until the source is quiet. */
	ioapic_put(m, 0x10 + 2 * 20, 0x8061);
	machine_gsi(m, 20, 1);
	assert_int_equal(apic_ack(c), 0x61);
	assert_int_equal(apic_get(c, 0x1b0), 1 << 1); /* TMR */
	apic_put(c, 0xb0, 0);
	assert_int_equal(apic_ack(c), 0x61);
	machine_gsi(m, 20, 0);
	apic_put(c, 0xb0, 0);
	assert_false(apic_pending(c));
	/* Directed EOI: the broadcast is off, the IOAPIC is told by hand. */
	apic_put(c, 0xf0, 0x11ff);
	machine_gsi(m, 20, 1);
	assert_int_equal(apic_ack(c), 0x61);
	apic_put(c, 0xb0, 0);
	assert_false(apic_pending(c));
	space_write(m->memory, IOAPIC + 0x40, 0x61, 4);
	assert_int_equal(apic_ack(c), 0x61);
	apic_put(c, 0xb0, 0);
}

static void test_wired(void **state)
{
	struct machine *m = apics_new(2);

	rig_on_vcpu(m, 0, check_wired, NULL);
	rig_free(m);
}

/* Timer: 1 GHz before the divider. */
static void timer_one_shot(struct vcpu *c, void *opaque)
{
	enable(c, NULL);
	apic_put(c, 0x320, 0x70);
	apic_put(c, 0x3e0, 0xb); /* by 1 */
	apic_put(c, 0x380, 1000000);
	assert_int_equal(apic_get(c, 0x390), 1000000);
}

static void timer_half(struct vcpu *c, void *opaque)
{
	assert_int_equal(apic_get(c, 0x390), 400000);
	assert_false(apic_pending(c));
}

static void timer_done(struct vcpu *c, void *opaque)
{
	assert_int_equal(apic_get(c, 0x390), 0);
	assert_int_equal(apic_ack(c), 0x70);
	apic_put(c, 0xb0, 0);
	assert_false(apic_pending(c));
}

static void timer_periodic(struct vcpu *c, void *opaque)
{
	apic_put(c, 0x320, 0x20071);
	apic_put(c, 0x3e0, 0x3); /* by 16 */
	apic_put(c, 0x380, 100000);
}

static void timer_ticked(struct vcpu *c, void *opaque)
{
	assert_int_equal(apic_ack(c), 0x71);
	apic_put(c, 0xb0, 0);
	assert_int_equal(apic_get(c, 0x390), 50000);
}

static void timer_deadline(struct vcpu *c, void *opaque)
{
	uint64_t v, now = clock_ns(c->machine->clock);

	assert_true(msr_write(c, 0x6e0, now + 1000000)); /* ignored: not in that mode */
	assert_true(c->intc.msr_read(c->intc.opaque, 0x6e0, &v));
	assert_int_equal(v, 0);
	apic_put(c, 0x320, 0x40072);
	apic_put(c, 0x380, 77);
	assert_int_equal(apic_get(c, 0x390), 0);
	assert_true(msr_write(c, 0x6e0, now + 1000000));
	assert_true(c->intc.msr_read(c->intc.opaque, 0x6e0, &v));
	assert_int_equal(v, now + 1000000);
	assert_false(apic_pending(c));
}

static void timer_deadline_done(struct vcpu *c, void *opaque)
{
	uint64_t v;

	assert_int_equal(apic_ack(c), 0x72);
	apic_put(c, 0xb0, 0);
	assert_true(c->intc.msr_read(c->intc.opaque, 0x6e0, &v));
	assert_int_equal(v, 0);
	assert_true(msr_write(c, 0x6e0, 5)); /* past: at once */
	assert_int_equal(apic_ack(c), 0x72);
	apic_put(c, 0xb0, 0);
}

static void test_lapic_timer(void **state)
{
	struct machine *m = apics_new(2);

	rig_on_vcpu(m, 1, timer_one_shot, NULL);
	rig_advance(m, 600000);
	rig_on_vcpu(m, 1, timer_half, NULL);
	rig_advance(m, 400000);
	rig_on_vcpu(m, 1, timer_done, NULL);
	rig_on_vcpu(m, 1, timer_periodic, NULL);
	for (unsigned i = 0; i < 3; i++) {
		rig_advance(m, i ? 1600000 : 2400000);
		rig_on_vcpu(m, 1, timer_ticked, NULL);
	}
	rig_on_vcpu(m, 1, timer_deadline, NULL);
	rig_advance(m, 1000100);
	rig_on_vcpu(m, 1, timer_deadline_done, NULL);
	rig_free(m);
}

/* Messages from several threads at once: none is lost, each is taken once. */
enum { SENDERS = 4, ROUNDS = 20000 };

static void *sender(void *opaque)
{
	struct machine *m = opaque;

	for (unsigned i = 0; i < ROUNDS; i++)
		msi_send(m, 0xfee00000 | (i & 1) << 12, 0x30 + i % 0xc0);
	return NULL;
}

static void drain(struct vcpu *c, void *opaque)
{
	_Atomic bool *stop = opaque;
	unsigned long taken = 0;

	for (bool last = false; !last;) {
		last = atomic_load(stop);
		vcpu_events_clear(c, VCPU_EV_INTR);
		while (apic_pending(c)) {
			int v = c->intc.ack(c->intc.opaque);

			assert_in_range(v, 0x30, 0xef);
			apic_put(c, 0xb0, 0);
			taken++;
		}
	}
	assert_true(taken >= 0xc0 / 2);
}

static void *stop_later(void *opaque)
{
	GThread **t = ((void **)opaque)[0];
	_Atomic bool *stop = ((void **)opaque)[1];

	for (unsigned i = 0; i < SENDERS; i++)
		g_thread_join(t[i]);
	atomic_store(stop, true);
	return NULL;
}

static void test_threads(void **state)
{
	struct machine *m = apics_new(2);
	GThread *t[SENDERS], *w;
	_Atomic bool stop = false;
	void *arg[2] = { t, &stop };

	enable_all(m);
	for (unsigned i = 0; i < SENDERS; i++)
		t[i] = g_thread_new("sender", sender, m);
	w = g_thread_new("stopper", stop_later, arg);
	rig_on_vcpu(m, 0, drain, &stop);
	g_thread_join(w);
	/* Vectors with even index went to CPU 0, all of which has been taken. */
	assert_int_equal(takers(m) & 1, 0);
	rig_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pic_priority),
		cmocka_unit_test(test_pic_mask_and_edge),
		cmocka_unit_test(test_pic_level),
		cmocka_unit_test(test_pic_modes),
		cmocka_unit_test(test_ioapic),
		cmocka_unit_test(test_lapic_priority),
		cmocka_unit_test(test_ipi),
		cmocka_unit_test(test_init_sipi_nmi),
		cmocka_unit_test(test_x2apic),
		cmocka_unit_test(test_wired),
		cmocka_unit_test(test_lapic_timer),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
