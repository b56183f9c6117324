/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioapic.c: I/O APIC with an EOI register. Spec: Intel 82093AA datasheet (290566-001), section 3;
 * version 0x20 and the EOI register: Intel ICH9 datasheet (316972), 13.5.
 *
 * A wire's level arrives already normalized (1 = asserted), so the polarity bits are kept for the
 * guest and otherwise unused.
 */
#include "device/irq/ioapic.h"

#include "base/own.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"

enum {
	IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40, /* memory-mapped (3.1, ICH9 13.5.1) */
	REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10,
	VERSION = 0x20 | (IOAPIC_PINS - 1) << 16,
};

/* Redirection entry (3.2.4) */
enum {
	RTE_VECTOR = 0xff, RTE_MODE_SHIFT = 8, RTE_LOGICAL = 1 << 11, RTE_STATUS = 1 << 12,
	RTE_REMOTE_IRR = 1 << 14, RTE_LEVEL = 1 << 15, RTE_MASKED = 1 << 16,
	RTE_WRITABLE_LOW = 0x1afff, /* all but the two status bits */
};
enum { MODE_FIXED = 0, MODE_LOWEST = 1, MSI_ASSERT = 1 << 14 };

struct ioapic {
	struct device dev;
	uint64_t mmio_base; /* config */
	struct region mmio;
	uint8_t id, select;
	uint32_t pins; /* levels of the wires */
	uint64_t rte[IOAPIC_PINS];
};

static struct ioapic *self(struct device *d)
{
	return container_of(d, struct ioapic, dev);
}

/* As a message on the interrupt bus, SDM vol. 3, 11.11. */
static void deliver(struct ioapic *s, unsigned pin)
{
	uint64_t rte = s->rte[pin];
	unsigned mode = rte >> RTE_MODE_SHIFT & 7;
	bool level = rte & RTE_LEVEL;
	uint64_t addr = 0xfee00000u | rte >> 56 << 12 | (rte & RTE_LOGICAL ? 1 << 2 : 0);
	uint32_t data = (rte & RTE_VECTOR) | mode << RTE_MODE_SHIFT;

	/* Only fixed and lowest-priority interrupts are ended by an EOI (3.2.4). */
	if (level && (mode == MODE_FIXED || mode == MODE_LOWEST)) {
		s->rte[pin] |= RTE_REMOTE_IRR;
		data |= RTE_LEVEL | MSI_ASSERT;
	}
	msi_send(s->dev.machine, addr, data);
}

/* A level-triggered pin that is asserted, unmasked and not being served interrupts. */
static void service_level(struct ioapic *s, unsigned pin)
{
	uint64_t rte = s->rte[pin];

	if (s->pins & 1u << pin && rte & RTE_LEVEL && !(rte & (RTE_MASKED | RTE_REMOTE_IRR)))
		deliver(s, pin);
}

void ioapic_set(void *ioapic, unsigned line, int level)
{
	struct ioapic *s = self(ioapic);
	uint32_t bit, was;

	if (line >= IOAPIC_PINS)
		return;
	device_lock(&s->dev);
	bit = 1u << line;
	was = s->pins & bit;
	s->pins = level ? s->pins | bit : s->pins & ~bit;
	if (s->rte[line] & RTE_LEVEL)
		service_level(s, line);
	else if (level && !was && !(s->rte[line] & RTE_MASKED)) /* a masked edge is lost: 3.2.4 */
		deliver(s, line);
	device_unlock(&s->dev);
}

void ioapic_eoi(struct device *ioapic, uint8_t vector)
{
	struct ioapic *s = self(ioapic);

	device_lock(&s->dev);
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if ((s->rte[i] & RTE_VECTOR) != vector || !(s->rte[i] & RTE_REMOTE_IRR))
			continue;
		s->rte[i] &= ~(uint64_t)RTE_REMOTE_IRR;
		service_level(s, i);
	}
	device_unlock(&s->dev);
}

static uint32_t read_window(const struct ioapic *s)
{
	unsigned i = s->select - REG_TABLE;

	switch (s->select) {
	case REG_ID:
	case REG_ARBITRATION: return (uint32_t)(s->id & 0xf) << 24;
	case REG_VERSION: return VERSION;
	}
	if (s->select < REG_TABLE || i >= 2 * IOAPIC_PINS)
		return 0;
	return s->rte[i / 2] >> (i & 1 ? 32 : 0);
}

static void write_rte(struct ioapic *s, unsigned pin, bool high, uint32_t val)
{
	uint64_t rte = s->rte[pin];

	if (high) {
		rte = (uint32_t)rte | (uint64_t)(val & 0xff000000) << 32;
	} else {
		rte = (rte & ~(uint64_t)RTE_WRITABLE_LOW) | (val & RTE_WRITABLE_LOW);
		if (!(rte & RTE_LEVEL))
			rte &= ~(uint64_t)RTE_REMOTE_IRR;
	}
	s->rte[pin] = rte;
	service_level(s, pin);
}

static void write_window(struct ioapic *s, uint32_t val)
{
	unsigned i = s->select - REG_TABLE;

	if (s->select == REG_ID)
		s->id = val >> 24 & 0xf;
	else if (s->select >= REG_TABLE && i < 2 * IOAPIC_PINS)
		write_rte(s, i / 2, i & 1, val);
}

static uint64_t ioapic_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct ioapic *s = self(d);

	switch (off) {
	case IOREGSEL: return s->select;
	case IOWIN: return read_window(s);
	default: return 0;
	}
}

static void ioapic_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct ioapic *s = self(d);

	switch (off) {
	case IOREGSEL: s->select = val; break;
	case IOWIN: write_window(s, val); break;
	case IOEOI: ioapic_eoi(d, val); break;
	}
}

static const struct region_ops mmio_ops = { ioapic_read, ioapic_write, .min = 4, .max = 4 };

static int ioapic_init(struct device *d, GError **error)
{
	struct ioapic *s = self(d);

	s->mmio = (struct region){ .name = "ioapic", .device = d, .ops = &mmio_ops,
		.size = 0x1000 };
	region_place(d->machine->memory, &s->mmio, s->mmio_base, 1);
	return 0;
}

static void ioapic_fini(struct device *d)
{
	struct ioapic *s = self(d);

	region_unplace(&s->mmio);
}

static void ioapic_reset(struct device *d)
{
	struct ioapic *s = self(d);

	s->id = s->select = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		s->rte[i] = RTE_MASKED;
}

static int ioapic_loaded(struct device *d, GError **error)
{
	struct ioapic *s = self(d);

	s->id &= 0xf;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		s->rte[i] &= 0xff00000000000000ull | RTE_WRITABLE_LOW | RTE_REMOTE_IRR;
	return 0;
}

static const struct field config[] = {
	CONFIG(struct ioapic, mmio_base, FIELD_U64, "0xfec00000", "address of the register page"),
	{ 0 },
};

/* The levels of the pins are saved, so that a source that drives its wire again after a restore
 * makes no second edge. */
static const struct field state[] = {
	FIELD(struct ioapic, id, FIELD_U8),
	FIELD(struct ioapic, select, FIELD_U8),
	FIELD(struct ioapic, pins, FIELD_U32),
	FIELD_ARRAY(struct ioapic, rte, FIELD_U64, IOAPIC_PINS),
	{ 0 },
};

const struct device_class ioapic_class = {
	.name = "ioapic",
	.help = "I/O APIC with 24 pins",
	.size = sizeof(struct ioapic),
	.version = 1,
	.config = config,
	.state = state,
	.init = ioapic_init,
	.reset = ioapic_reset,
	.loaded = ioapic_loaded,
	.fini = ioapic_fini,
};
