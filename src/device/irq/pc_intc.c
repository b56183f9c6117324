/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc_intc.c: 8259, IOAPIC and local APICs as one interrupt entrance of the machine.
 * Spec: ACPI 6.4, 5.2.12.5 (interrupt source override: the timer on global interrupt 2).
 */
#include "device/irq/pc_intc.h"

#include "core/device.h"
#include "core/engine.h"
#include "core/intc.h"
#include "core/irq.h"
#include "core/machine.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "device/irq/i8259.h"
#include "device/irq/ioapic.h"
#include "device/irq/lapic.h"

enum { TIMER_PIN = 2, FERR_GSI = 13, FERR_PORT = 0xf0 };

/* A device without registers or state: it owns what ties the others together. */
struct pc_intc {
	struct device dev;
	struct device *pic, *ioapic; /* borrowed; added before us, so removed after us */
	struct lapic_host host;
	struct region ferr;
};

static void pc_gsi(void *opaque, unsigned gsi, int level)
{
	struct pc_intc *s = opaque;

	if (gsi < 16)
		i8259_set(s->pic, gsi, level);
	ioapic_set(s->ioapic, gsi == 0 ? TIMER_PIN : gsi, level);
}

static void pc_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct pc_intc *s = opaque;

	lapic_msi(s->dev.machine, addr, data);
}

static const struct intc_ops pc_intc_ops = { .name = "pc", .gsi = pc_gsi, .msi = pc_msi };

static void pc_eoi(void *opaque, uint8_t vector)
{
	struct pc_intc *s = opaque;

	ioapic_eoi(s->ioapic, vector);
}

static int pc_extint_ack(void *opaque)
{
	struct pc_intc *s = opaque;

	return i8259_ack(s->pic);
}

/* The coprocessor's error line ends at IRQ 13; a write to port F0h lets it go (ICH9 datasheet, 13.7.2). An
 * engine raises it that does as CR0.NE = 0 asks. */
static void ferr_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	pc_gsi(d, FERR_GSI, 0);
}

static uint64_t ferr_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return UINT8_MAX;
}

static const struct region_ops ferr_ops = { ferr_read, ferr_write, .min = 1, .max = 1 };

static void pc_intc_fini(struct device *d)
{
	region_unplace(&((struct pc_intc *)d)->ferr);
	if (d->machine->intc.opaque == d)
		d->machine->intc = (struct intc){ 0 };
}

static const struct field no_state[] = { { 0 } };

const struct device_class pc_intc_class = {
	.name = "pc-intc",
	.help = "ties the PC's interrupt controllers together",
	.size = sizeof(struct pc_intc),
	.version = 1,
	.state = no_state,
	.fini = pc_intc_fini,
};

static int add_lapics(struct machine *m, struct pc_intc *s, bool firmware, GError **error)
{
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		g_autofree char *id = g_strdup_printf("lapic%u", i);
		g_autofree char *cpu = g_strdup_printf("%u", i);
		struct device *d = device_new(m, &lapic_class, id);

		if (device_set(d, "cpu", cpu, error) < 0 ||
			device_set(d, "virtual_wire", firmware ? "false" : "true", error) < 0) {
			device_free(d);
			return -1;
		}
		lapic_set_host(d, &s->host);
		if (device_add(d, error) < 0)
			return -1;
		if (i == 0)
			irq_connect(i8259_intr(s->pic), lapic_lint0, d, 0);
	}
	return 0;
}

int pc_intc_new(struct machine *m, bool firmware, GError **error)
{
	struct device *pic = device_new(m, &i8259_class, "pic"), *ioapic, *d;
	struct pc_intc *s;

	if (device_add(pic, error) < 0)
		return -1;
	ioapic = device_new(m, &ioapic_class, "ioapic");
	if (device_add(ioapic, error) < 0)
		return -1;
	d = device_new(m, &pc_intc_class, "intc");
	s = (struct pc_intc *)d;
	s->pic = pic;
	s->ioapic = ioapic;
	s->host = (struct lapic_host){ .eoi = pc_eoi, .extint_ack = pc_extint_ack,
		.opaque = s };
	if (m->accel->guest_tsc && m->accel->tsc_khz) {
		s->host.guest_tsc = m->accel->guest_tsc;
		s->host.tsc_khz = m->accel->tsc_khz(m);
	}
	if (device_add(d, error) < 0)
		return -1;
	m->intc = (struct intc){ .ops = &pc_intc_ops, .opaque = s };
	s->ferr = (struct region){ .name = "ferr", .device = d, .ops = &ferr_ops, .size = 1 };
	region_place(m->ports, &s->ferr, FERR_PORT, 0);
	return add_lapics(m, s, firmware, error);
}
