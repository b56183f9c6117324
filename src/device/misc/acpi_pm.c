/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi_pm.c: ACPI fixed hardware: PM1 event and control, PM timer, GPE0.
 * Spec: ACPI 6.4, 4.8 (register model). The reset register is the root complex's port 0xcf9.
 *
 * There is no SMM and so no legacy mode: SCI_EN is always set and the FADT has no SMI command port.
 */
#include "device/misc/acpi_pm.h"

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

/* 4.8.3.1, 4.8.3.2 */
enum {
	TMR_STS = 1 << 0, GBL_STS = 1 << 5, PWRBTN_STS = 1 << 8, RTC_STS = 1 << 10,
	WAK_STS = 1 << 15, EVENTS = TMR_STS | GBL_STS | PWRBTN_STS,
	/* RTC_EN only has to stick: it is about waking from sleep, and there is no sleep but S5. */
	ENABLES = EVENTS | RTC_STS,
	SCI_EN = 1 << 0, BM_RLD = 1 << 1, SLP_TYP_SHIFT = 10, SLP_EN = 1 << 13,
	PM_TIMER_HZ = 3579545,
};

struct acpi_pm {
	struct device dev;
	uint32_t iobase; /* config */
	uint8_t irq_line;
	struct irq sci;
	struct timer timer;
	struct region ports;
	uint16_t sts, en, cnt;
	uint16_t gpe_sts, gpe_en;
	uint64_t toggles; /* of the PM timer's highest bit that sts knows of */
};

static struct acpi_pm *self(struct device *d)
{
	return container_of(d, struct acpi_pm, dev);
}

static uint64_t timer_count(struct acpi_pm *s)
{
	return (uint64_t)((unsigned __int128)clock_ns(s->dev.machine->clock) * PM_TIMER_HZ /
		NS_PER_SEC);
}

/* TMR_STS is set whenever bit 31 of the timer toggles (4.8.2.1); noticed when somebody looks. */
static void notice_timer(struct acpi_pm *s)
{
	uint64_t toggles = timer_count(s) >> 31;

	if (toggles != s->toggles)
		s->sts |= TMR_STS;
	s->toggles = toggles;
}

static void update(struct acpi_pm *s)
{
	notice_timer(s);
	if (s->en & TMR_STS && !(s->sts & TMR_STS)) {
		unsigned __int128 next = (unsigned __int128)(s->toggles + 1) << 31;

		timer_arm(&s->timer, (int64_t)(next * NS_PER_SEC / PM_TIMER_HZ) + 1);
	}
	irq_set(&s->sci, (s->sts & s->en & EVENTS) || (s->gpe_sts & s->gpe_en));
}

static void expired(void *opaque)
{
	update(opaque);
}

void acpi_pm_press_power(struct device *pm)
{
	struct acpi_pm *s = self(pm);

	device_lock(pm);
	s->sts |= PWRBTN_STS;
	update(s);
	device_unlock(pm);
}

void acpi_pm_raise_gpe(struct device *pm, unsigned event)
{
	struct acpi_pm *s = self(pm);

	device_lock(pm);
	s->gpe_sts |= 1u << (event & 15);
	update(s);
	device_unlock(pm);
}

static void write_control(struct acpi_pm *s, uint16_t val)
{
	static struct log_limit limit;
	unsigned type = val >> SLP_TYP_SHIFT & 7;

	s->cnt = (val & (BM_RLD | 7 << SLP_TYP_SHIFT)) | SCI_EN;
	if (!(val & SLP_EN))
		return;
	if (type == ACPI_PM_S5)
		machine_request(s->dev.machine, MACHINE_REQ_POWEROFF, "guest-shutdown");
	else
		log_guest(&limit, "%s: sleep state with SLP_TYP %u is not there", s->dev.id, type);
}

/* Every register is 16 bits wide here; the timer is two of them. */
static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct acpi_pm *s = self(d);

	if (size == 4)
		return off == ACPI_PM_TIMER ? (uint32_t)timer_count(s) :
			ports_read(d, opaque, off, 2) | ports_read(d, opaque, off + 2, 2) << 16;
	if (size == 1)
		return ports_read(d, opaque, off & ~1ull, 2) >> (off & 1) * 8 & 0xff;
	switch (off) {
	case ACPI_PM_EVENT:
		notice_timer(s);
		return s->sts;
	case ACPI_PM_EVENT + 2: return s->en;
	case ACPI_PM_CONTROL: return s->cnt;
	case ACPI_PM_TIMER: return timer_count(s) & 0xffff;
	case ACPI_PM_TIMER + 2: return timer_count(s) >> 16 & 0xffff;
	case ACPI_PM_GPE0: return s->gpe_sts;
	case ACPI_PM_GPE0 + 2: return s->gpe_en;
	default: return 0;
	}
}

/* `mask`: bytes of the 16-bit register at off that are written. Status bits clear by writing 1. */
static void write16(struct acpi_pm *s, unsigned off, uint16_t val, uint16_t mask)
{
	switch (off) {
	case ACPI_PM_EVENT: s->sts &= ~(val & mask); break;
	case ACPI_PM_EVENT + 2: s->en = (s->en & ~mask) | (val & mask & ENABLES); break;
	case ACPI_PM_CONTROL: write_control(s, (s->cnt & ~mask) | (val & mask)); break;
	case ACPI_PM_GPE0: s->gpe_sts &= ~(val & mask); break;
	case ACPI_PM_GPE0 + 2: s->gpe_en = (s->gpe_en & ~mask) | (val & mask); break;
	}
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct acpi_pm *s = self(d);

	notice_timer(s);
	if (size == 1) {
		unsigned shift = (off & 1) * 8;

		write16(s, off & ~1u, val << shift, 0xff << shift);
	} else {
		write16(s, off, val, 0xffff);
		if (size == 4)
			write16(s, off + 2, val >> 16, 0xffff);
	}
	update(s);
}

static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 4 };

static int acpi_pm_init(struct device *d, GError **error)
{
	struct acpi_pm *s = self(d);

	if (s->iobase > 0x10000 - ACPI_PM_PORTS || s->iobase & 3)
		return fail(error, LODGE_ERROR_USAGE, "%s: iobase 0x%x is no place for it", d->id,
			s->iobase);
	gsi_connect(&s->sci, d->machine, s->irq_line);
	timer_init(&s->timer, d->machine->clock, d, expired, s);
	s->ports = (struct region){ .name = "acpi-pm", .device = d, .ops = &ports_ops,
		.size = ACPI_PM_PORTS };
	region_place(d->machine->ports, &s->ports, s->iobase, 0);
	return 0;
}

static void acpi_pm_fini(struct device *d)
{
	struct acpi_pm *s = self(d);

	region_unplace(&s->ports);
	if (s->timer.clock)
		timer_cancel(&s->timer);
}

static void acpi_pm_reset(struct device *d)
{
	struct acpi_pm *s = self(d);

	s->sts = s->en = s->gpe_sts = s->gpe_en = 0;
	s->cnt = SCI_EN;
	s->toggles = timer_count(s) >> 31;
	timer_cancel(&s->timer);
	update(s);
}

static int acpi_pm_loaded(struct device *d, GError **error)
{
	struct acpi_pm *s = self(d);

	s->sts &= EVENTS | WAK_STS;
	s->en &= ENABLES;
	s->cnt = (s->cnt & (BM_RLD | 7 << SLP_TYP_SHIFT)) | SCI_EN;
	update(s);
	return 0;
}

static const struct field config[] = {
	CONFIG(struct acpi_pm, iobase, FIELD_U32, "0x600", "first of its 20 I/O ports"),
	CONFIG_AS(struct acpi_pm, irq_line, "irq", FIELD_U8, "9", "global system interrupt of the SCI"),
	{ 0 },
};

static const struct field state[] = {
	FIELD(struct acpi_pm, sts, FIELD_U16),
	FIELD(struct acpi_pm, en, FIELD_U16),
	FIELD(struct acpi_pm, cnt, FIELD_U16),
	FIELD(struct acpi_pm, gpe_sts, FIELD_U16),
	FIELD(struct acpi_pm, gpe_en, FIELD_U16),
	FIELD(struct acpi_pm, toggles, FIELD_U64),
	{ 0 },
};

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.help = "ACPI power management registers: power button, power-off, reset, timer",
	.size = sizeof(struct acpi_pm),
	.version = 1,
	.config = config,
	.state = state,
	.init = acpi_pm_init,
	.reset = acpi_pm_reset,
	.loaded = acpi_pm_loaded,
	.fini = acpi_pm_fini,
};
