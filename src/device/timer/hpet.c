/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hpet.c: HPET with one periodic-capable block of three comparators.
 * Spec: IA-PC HPET Specification 1.0a, section 2.3.
 *
 * The counter runs at 100 MHz of virtual time. FSB (MSI) delivery is not offered.
 */
#include "device/timer/hpet.h"

#include "base/error.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

enum {
	COMPARATORS = 3, TICK_NS = 10, ROUTES = 0x00f00000, /* I/O APIC pins 20..23 */
	MIN_TICKS = 2000, /* shorter periods would only keep the main loop busy: 20 us */
	LONGEST_WAIT_S = 3600, /* a farther match is looked at again after that long */
};
enum { REG_CAP = 0x00, REG_CONFIG = 0x10, REG_STATUS = 0x20, REG_COUNTER = 0xf0,
	REG_TIMER = 0x100, TIMER_STRIDE = 0x20, TIMER_CONFIG = 0, TIMER_COMPARE = 8 };
enum { CONFIG_ENABLE = 1 << 0, CONFIG_LEGACY = 1 << 1 };
enum { /* 2.3.8 */
	T_LEVEL = 1 << 1, T_INT = 1 << 2, T_PERIODIC = 1 << 3, T_PERIODIC_CAP = 1 << 4,
	T_SIZE_CAP = 1 << 5, T_VAL_SET = 1 << 6, T_32BIT = 1 << 8, T_ROUTE_SHIFT = 9,
	T_ROUTE = 31 << T_ROUTE_SHIFT,
	T_WRITABLE = T_LEVEL | T_INT | T_PERIODIC | T_VAL_SET | T_32BIT | T_ROUTE,
};
#define CAPABILITIES (10000000ull << 32 | HPET_ID) /* period in fs */

struct comparator {
	struct timer timer;
	struct hpet *hpet;
	struct irq irq;	   /* of its I/O APIC route */
	uint32_t config;
	uint64_t compare, period;
	uint64_t target;   /* counter value, not cut to 32 bits, it waits for */
};

struct hpet {
	struct device dev;
	struct region mmio;
	struct irq legacy[2]; /* interrupts 0 and 8 */
	int8_t other[2];      /* levels of the 8254's and the RTC's wires */
	uint32_t config, status;
	uint64_t counter;     /* while halted; while running: at virtual time 0 */
	struct comparator t[COMPARATORS];
};

static struct hpet *self(struct device *d)
{
	return container_of(d, struct hpet, dev);
}

static uint64_t counter_now(const struct hpet *s)
{
	if (!(s->config & CONFIG_ENABLE))
		return s->counter;
	return s->counter + (uint64_t)clock_ns(s->dev.machine->clock) / TICK_NS;
}

static bool legacy(const struct hpet *s, unsigned i)
{
	return i < 2 && s->config & CONFIG_LEGACY;
}

static void drive(struct hpet *s, unsigned i, int level)
{
	struct comparator *t = &s->t[i];
	unsigned route = (t->config & T_ROUTE) >> T_ROUTE_SHIFT;

	if (legacy(s, i)) {
		irq_set(&s->legacy[i], level);
	} else if (ROUTES & 1u << route) {
		if (t->irq.line != route) {
			irq_set(&t->irq, 0);
			gsi_connect(&t->irq, s->dev.machine, route);
		}
		irq_set(&t->irq, level);
	}
}

/* 2.3.6: level-triggered interrupts stay until the status bit is cleared. */
static void update_wire(struct hpet *s, unsigned i)
{
	drive(s, i, s->status & 1u << i && s->t[i].config & T_INT && s->t[i].config & T_LEVEL);
}

static uint64_t width_mask(const struct comparator *t)
{
	return t->config & T_32BIT ? UINT32_MAX : UINT64_MAX;
}

static void wait_target(struct hpet *s, unsigned i, uint64_t now)
{
	struct comparator *t = &s->t[i];
	uint64_t ticks = t->target - now, most = (uint64_t)LONGEST_WAIT_S * (NS_PER_SEC / TICK_NS);

	timer_arm(&t->timer,
		clock_ns(s->dev.machine->clock) + (int64_t)(MIN(ticks, most) * TICK_NS));
}

/* Registers changed: wait for the next match, or for nothing. A match is when the counter equals
 * the comparator; one that is behind waits for the counter to come round. */
static void rearm(struct hpet *s, unsigned i)
{
	struct comparator *t = &s->t[i];
	uint64_t now = counter_now(s), ticks = (t->compare - now) & width_mask(t);

	timer_cancel(&t->timer);
	if (!(s->config & CONFIG_ENABLE) || !(t->config & T_INT))
		return;
	/* A periodic comparator that fell behind goes on at its next multiple. */
	if (t->config & T_PERIODIC && t->period && ticks > width_mask(t) / 2) {
		uint64_t behind = (now - t->compare) & width_mask(t);

		t->compare = (t->compare + (behind / t->period + 1) * t->period) & width_mask(t);
		ticks = (t->compare - now) & width_mask(t);
	}
	t->target = now + ticks;
	wait_target(s, i, now);
}

static void fire(struct hpet *s, unsigned i)
{
	struct comparator *t = &s->t[i];

	if (t->config & T_LEVEL) {
		s->status |= 1u << i;
		update_wire(s, i);
	} else {
		drive(s, i, 1);
		drive(s, i, 0);
	}
}

static void expired(void *opaque)
{
	struct comparator *t = opaque;
	struct hpet *s = t->hpet;
	unsigned i = t - s->t;
	uint64_t now = counter_now(s), n;

	if ((int64_t)(now - t->target) < 0) { /* a far target is waited for in steps */
		wait_target(s, i, now);
		return;
	}
	fire(s, i);
	if (!(t->config & T_PERIODIC) || !t->period) {
		if (t->config & T_32BIT) { /* it matches again when the counter comes round */
			t->target += 1ull << 32;
			wait_target(s, i, now);
		}
		return;
	}
	/* Missed periods merge into one, the phase stays; very short ones are stretched. */
	n = (now - t->target + (t->period < MIN_TICKS ? MIN_TICKS : 0)) / t->period + 1;
	t->compare = (t->compare + n * t->period) & width_mask(t);
	t->target += n * t->period;
	wait_target(s, i, now);
}

static uint64_t read64(struct hpet *s, uint64_t off)
{
	const struct comparator *t;

	switch (off) {
	case REG_CAP: return CAPABILITIES;
	case REG_CONFIG: return s->config;
	case REG_STATUS: return s->status;
	case REG_COUNTER: return counter_now(s);
	}
	if (off < REG_TIMER || off >= REG_TIMER + COMPARATORS * TIMER_STRIDE)
		return 0;
	t = &s->t[(off - REG_TIMER) / TIMER_STRIDE];
	switch (off % TIMER_STRIDE) {
	case TIMER_CONFIG:
		return (uint64_t)ROUTES << 32 | T_PERIODIC_CAP | T_SIZE_CAP | t->config;
	case TIMER_COMPARE: return t->compare;
	default: return 0;
	}
}

static void write_config(struct hpet *s, uint32_t val)
{
	uint64_t now = counter_now(s), ns = clock_ns(s->dev.machine->clock) / TICK_NS;

	for (unsigned i = 0; i < COMPARATORS; i++)
		drive(s, i, 0);
	if ((s->config ^ val) & CONFIG_ENABLE)
		s->counter = val & CONFIG_ENABLE ? now - ns : now;
	s->config = val & (CONFIG_ENABLE | CONFIG_LEGACY);
	for (unsigned i = 0; i < COMPARATORS; i++) {
		rearm(s, i);
		update_wire(s, i);
	}
	for (unsigned i = 0; i < 2; i++)
		if (!legacy(s, i))
			irq_set(&s->legacy[i], s->other[i]);
}

/* 2.3.9.2: in periodic mode VAL_SET lets one write reach the comparator, others set the period. */
static void write_compare(struct comparator *t, uint64_t val)
{
	val &= width_mask(t);
	if (!(t->config & T_PERIODIC) || t->config & T_VAL_SET)
		t->compare = val;
	if (t->config & T_PERIODIC)
		t->period = val;
	t->config &= ~T_VAL_SET;
}

static void write64(struct hpet *s, uint64_t off, uint64_t val)
{
	unsigned i = (off - REG_TIMER) / TIMER_STRIDE;

	switch (off) {
	case REG_CONFIG: write_config(s, val); return;
	case REG_STATUS:
		s->status &= ~val;
		for (i = 0; i < COMPARATORS; i++)
			update_wire(s, i);
		return;
	case REG_COUNTER: /* only while halted */
		if (!(s->config & CONFIG_ENABLE))
			s->counter = val;
		return;
	}
	if (off < REG_TIMER || i >= COMPARATORS)
		return;
	if (off % TIMER_STRIDE == TIMER_CONFIG) {
		drive(s, i, 0);
		s->t[i].config = val & T_WRITABLE;
		s->t[i].compare &= width_mask(&s->t[i]);
		s->t[i].period &= width_mask(&s->t[i]);
		update_wire(s, i);
	} else if (off % TIMER_STRIDE == TIMER_COMPARE) {
		write_compare(&s->t[i], val);
	} else {
		return;
	}
	rearm(s, i);
}

static uint64_t hpet_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	uint64_t v = read64(self(d), off & ~7ull);

	return size == 8 ? v : v >> (off & 4) * 8;
}

/* Halves of a register: the other half is what the register holds. */
static void hpet_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct hpet *s = self(d);
	uint64_t at = off & ~7ull, old;

	if (size == 4 && at == REG_STATUS) {
		val = off & 4 ? 0 : val;
	} else if (size == 4) {
		old = read64(s, at);
		val = off & 4 ? val << 32 | (uint32_t)old : (old >> 32 << 32 | val);
	}
	write64(s, at, val);
}

static const struct region_ops hpet_ops = { hpet_read, hpet_write, .min = 4, .max = 8 };

static void other_wire(void *opaque, unsigned line, int level)
{
	struct hpet *s = opaque;

	device_lock(&s->dev);
	s->other[line] = level;
	if (!legacy(s, line))
		irq_set(&s->legacy[line], level);
	device_unlock(&s->dev);
}

void hpet_take_over(struct device *hpet, struct irq *pit, struct irq *rtc)
{
	irq_connect(pit, other_wire, self(hpet), 0);
	irq_connect(rtc, other_wire, self(hpet), 1);
}

static int hpet_init(struct device *d, GError **error)
{
	struct hpet *s = self(d);

	gsi_connect(&s->legacy[0], d->machine, 0);
	gsi_connect(&s->legacy[1], d->machine, 8);
	for (unsigned i = 0; i < COMPARATORS; i++) {
		s->t[i].hpet = s;
		timer_init(&s->t[i].timer, d->machine->clock, d, expired, &s->t[i]);
	}
	s->mmio = (struct region){ .name = "hpet", .device = d, .ops = &hpet_ops, .size = 0x400 };
	region_place(d->machine->memory, &s->mmio, HPET_BASE, 1);
	return 0;
}

static void hpet_fini(struct device *d)
{
	struct hpet *s = self(d);

	region_unplace(&s->mmio);
	for (unsigned i = 0; i < COMPARATORS; i++)
		if (s->t[i].timer.clock)
			timer_cancel(&s->t[i].timer);
}

static void hpet_reset(struct device *d)
{
	struct hpet *s = self(d);

	s->status = 0;
	write_config(s, 0);
	s->counter = 0;
	for (unsigned i = 0; i < COMPARATORS; i++) {
		s->t[i].config = 0;
		s->t[i].compare = UINT64_MAX;
		s->t[i].period = 0;
		rearm(s, i);
	}
}

static int hpet_loaded(struct device *d, GError **error)
{
	struct hpet *s = self(d);

	s->config &= CONFIG_ENABLE | CONFIG_LEGACY;
	s->status &= (1u << COMPARATORS) - 1;
	for (unsigned i = 0; i < COMPARATORS; i++) {
		struct comparator *t = &s->t[i];

		t->config &= T_WRITABLE;
		t->compare &= width_mask(t);
		t->period &= width_mask(t);
		rearm(s, i);
		update_wire(s, i);
	}
	return 0;
}

static const struct field comparator_state[] = {
	FIELD(struct comparator, config, FIELD_U32),
	FIELD(struct comparator, compare, FIELD_U64),
	FIELD(struct comparator, period, FIELD_U64),
	{ 0 },
};

static const struct field state[] = {
	FIELD(struct hpet, config, FIELD_U32),
	FIELD(struct hpet, status, FIELD_U32),
	FIELD(struct hpet, counter, FIELD_U64),
	FIELD_SUB(struct hpet, t, comparator_state, COMPARATORS, struct comparator),
	{ 0 },
};

const struct device_class hpet_class = {
	.name = "hpet",
	.help = "high precision event timers",
	.size = sizeof(struct hpet),
	.version = 1,
	.state = state,
	.init = hpet_init,
	.reset = hpet_reset,
	.loaded = hpet_loaded,
	.fini = hpet_fini,
};
