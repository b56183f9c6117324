/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8259.c: two cascaded 8259A interrupt controllers with edge/level control registers.
 * Spec: Intel 8259A datasheet (231468-003); ELCR: Intel 82371FB (PIIX) datasheet, 2.5.13.
 */
#include "device/irq/i8259.h"

#include "base/error.h"
#include "base/own.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/machine.h"
#include "core/region.h"

enum {
	CASCADE = 2, /* master input the slave hangs on */
	ICW1 = 1 << 4, ICW1_NEEDS_ICW4 = 1 << 0, ICW1_SINGLE = 1 << 1,
	ICW4_AUTO_EOI = 1 << 1, ICW4_SFNM = 1 << 4,
	OCW3 = 1 << 3, OCW3_READ_ISR = 1 << 0, OCW3_READ = 1 << 1, OCW3_POLL = 1 << 2,
	OCW3_SPECIAL_MASK = 1 << 5, OCW3_SET_SPECIAL_MASK = 1 << 6,
};

struct pic {
	uint8_t irr, imr, isr; /* request, mask, in service */
	uint8_t lines;	       /* levels of the inputs */
	uint8_t elcr;	       /* inputs that are level-triggered */
	uint8_t base;	       /* ICW2: vector of input 0 */
	uint8_t lowest;	       /* input with the lowest priority now, 7 after ICW1 */
	uint8_t icw;	       /* next initialization word expected at A0=1; 0: none */
	bool single, needs_icw4, auto_eoi, rotate_auto_eoi, sfnm;
	bool special_mask, poll, read_isr;
};

struct i8259 {
	struct device dev;
	struct irq intr;
	struct pic pic[2];
	struct region ports[2], elcr[2];
};

/* PIIX 2.5.13: the timer, keyboard, cascade, RTC and FPU inputs are always edges. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

static struct i8259 *self(struct device *d)
{
	return container_of(d, struct i8259, dev);
}

/* Steps from the highest priority (0) down to the lowest (7); 8: nothing set. */
static unsigned priority_of(const struct pic *p, uint8_t set)
{
	unsigned rank;

	for (rank = 0; rank < 8; rank++)
		if (set & 1u << ((p->lowest + 1 + rank) & 7))
			break;
	return rank;
}

/* Input to be served now, or -1. "Priority resolver", "Fully nested mode", "Special mask mode". */
static int pic_request(const struct pic *p, bool master)
{
	unsigned request = priority_of(p, p->irr & ~p->imr);
	uint8_t busy = p->isr;

	if (p->special_mask)
		busy &= ~p->imr;
	if (p->sfnm && master)
		busy &= ~(1u << CASCADE); /* special fully nested: the slave may nest itself */
	if (request == 8 || request >= priority_of(p, busy))
		return -1;
	return (p->lowest + 1 + request) & 7;
}

/* The slave's INT is a level into the master; the master's INTR is our output. */
static void update(struct i8259 *s)
{
	uint8_t bit = 1 << CASCADE;

	if (pic_request(&s->pic[1], false) >= 0)
		s->pic[0].irr |= bit;
	else
		s->pic[0].irr &= ~bit;
	irq_set(&s->intr, pic_request(&s->pic[0], true) >= 0);
}

void i8259_set(void *i8259, unsigned line, int level)
{
	struct i8259 *s = self(i8259);
	struct pic *p = &s->pic[line >> 3 & 1];
	uint8_t bit = 1u << (line & 7);

	if (line > 15 || line == CASCADE)
		return;
	device_lock(&s->dev);
	/* An edge stays latched when the line falls again, so that short pulses are not lost. */
	if (p->elcr & bit)
		p->irr = level ? p->irr | bit : p->irr & ~bit;
	else if (level && !(p->lines & bit))
		p->irr |= bit;
	p->lines = level ? p->lines | bit : p->lines & ~bit;
	update(s);
	device_unlock(&s->dev);
}

/* "Interrupt sequence": request becomes service; AEOI ends it at once. */
static void pic_take(struct pic *p, unsigned line)
{
	uint8_t bit = 1u << line;

	if (!(p->elcr & bit))
		p->irr &= ~bit;
	if (!p->auto_eoi)
		p->isr |= bit;
	else if (p->rotate_auto_eoi)
		p->lowest = line;
}

int i8259_ack(void *i8259)
{
	struct i8259 *s = self(i8259);
	int line, vector;

	device_lock(&s->dev);
	line = pic_request(&s->pic[0], true);
	if (line < 0) { /* went away: "default IR7" */
		vector = s->pic[0].base + 7;
	} else if (line == CASCADE) {
		pic_take(&s->pic[0], CASCADE);
		line = pic_request(&s->pic[1], false);
		if (line >= 0)
			pic_take(&s->pic[1], line);
		vector = s->pic[1].base + (line < 0 ? 7 : line);
	} else {
		pic_take(&s->pic[0], line);
		vector = s->pic[0].base + line;
	}
	update(s);
	device_unlock(&s->dev);
	return vector;
}

struct irq *i8259_intr(struct device *i8259)
{
	return &self(i8259)->intr;
}

/* ICW1 starts over: "Initialization Command Words". */
static void start_init(struct pic *p, uint8_t val)
{
	p->irr &= p->elcr & p->lines; /* the edge sense circuit is reset */
	p->imr = p->isr = 0;
	p->lowest = 7;
	p->special_mask = p->poll = p->read_isr = false;
	p->auto_eoi = p->rotate_auto_eoi = p->sfnm = false;
	p->single = val & ICW1_SINGLE;
	p->needs_icw4 = val & ICW1_NEEDS_ICW4;
	p->icw = 2;
}

static void next_icw(struct pic *p, uint8_t val)
{
	switch (p->icw) {
	case 2:
		p->base = val & 0xf8;
		p->icw = !p->single ? 3 : p->needs_icw4 ? 4 : 0;
		break;
	case 3: /* the cascade is wired: what it says changes nothing */
		p->icw = p->needs_icw4 ? 4 : 0;
		break;
	default:
		p->auto_eoi = val & ICW4_AUTO_EOI;
		p->sfnm = val & ICW4_SFNM;
		p->icw = 0;
	}
}

/* "Operation Command Word 2": rotate, specific, EOI in bits 7..5. */
static void ocw2(struct pic *p, uint8_t val)
{
	unsigned line = val & 7, rank;
	bool eoi = val & 1 << 5, specific = val & 1 << 6, rotate = val & 1 << 7;

	if (!eoi) {
		if (rotate && specific)
			p->lowest = line;
		else if (!specific)
			p->rotate_auto_eoi = rotate;
		return;
	}
	if (!specific) {
		/* In special mask mode a non-specific EOI does not end a masked level. */
		rank = priority_of(p, p->special_mask ? p->isr & ~p->imr : p->isr);
		if (rank == 8)
			return;
		line = (p->lowest + 1 + rank) & 7;
	}
	p->isr &= ~(1u << line);
	if (rotate)
		p->lowest = line;
}

static void ocw3(struct pic *p, uint8_t val)
{
	p->poll = val & OCW3_POLL;
	if (val & OCW3_READ)
		p->read_isr = val & OCW3_READ_ISR;
	if (val & OCW3_SET_SPECIAL_MASK)
		p->special_mask = val & OCW3_SPECIAL_MASK;
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8259 *s = self(d);
	struct pic *p = opaque;

	if (off == 1 && p->icw)
		next_icw(p, val);
	else if (off == 1)
		p->imr = val;
	else if (val & ICW1)
		start_init(p, val);
	else if (val & OCW3)
		ocw3(p, val);
	else
		ocw2(p, val);
	update(s);
}

/* "Poll command": the next read is the acknowledge. */
static uint8_t poll(struct i8259 *s, struct pic *p)
{
	int line = pic_request(p, p == &s->pic[0]);

	p->poll = false;
	if (line < 0)
		return 0;
	pic_take(p, line);
	update(s);
	return 0x80 | line;
}

static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct i8259 *s = self(d);
	struct pic *p = opaque;

	if (p->poll)
		return poll(s, p);
	if (off == 1)
		return p->imr;
	return p->read_isr ? p->isr : p->irr;
}

static uint64_t elcr_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	const struct pic *p = opaque;

	return p->elcr;
}

static void elcr_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8259 *s = self(d);
	struct pic *p = opaque;

	p->elcr = val & elcr_mask[p - s->pic];
	p->irr = (p->irr & ~p->elcr) | (p->lines & p->elcr);
	update(s);
}

static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 1 };
static const struct region_ops elcr_ops = { elcr_read, elcr_write, .min = 1, .max = 1 };

static int i8259_init(struct device *d, GError **error)
{
	static const uint16_t port[2] = { 0x20, 0xa0 };
	struct i8259 *s = self(d);

	for (unsigned i = 0; i < 2; i++) {
		s->ports[i] = (struct region){ .name = "i8259", .device = d, .ops = &ports_ops,
			.opaque = &s->pic[i], .size = 2 };
		s->elcr[i] = (struct region){ .name = "elcr", .device = d, .ops = &elcr_ops,
			.opaque = &s->pic[i], .size = 1 };
		region_place(d->machine->ports, &s->ports[i], port[i], 0);
		region_place(d->machine->ports, &s->elcr[i], 0x4d0 + i, 0);
	}
	return 0;
}

static void i8259_fini(struct device *d)
{
	struct i8259 *s = self(d);

	for (unsigned i = 0; i < 2; i++) {
		region_unplace(&s->ports[i]);
		region_unplace(&s->elcr[i]);
	}
}

static void i8259_reset(struct device *d)
{
	struct i8259 *s = self(d);

	for (unsigned i = 0; i < 2; i++)
		s->pic[i] = (struct pic){ .lowest = 7, .lines = s->pic[i].lines };
	update(s);
}

static int i8259_loaded(struct device *d, GError **error)
{
	struct i8259 *s = self(d);

	for (unsigned i = 0; i < 2; i++) {
		struct pic *p = &s->pic[i];

		if (p->lowest > 7 || p->base & 7 || p->elcr & ~elcr_mask[i] || p->icw == 1 ||
			p->icw > 4)
			return fail(error, LODGE_ERROR_STATE, "%s: impossible registers", d->id);
	}
	update(s);
	return 0;
}

static const struct field pic_state[] = {
	FIELD(struct pic, irr, FIELD_U8),
	FIELD(struct pic, imr, FIELD_U8),
	FIELD(struct pic, isr, FIELD_U8),
	FIELD(struct pic, lines, FIELD_U8),
	FIELD(struct pic, elcr, FIELD_U8),
	FIELD(struct pic, base, FIELD_U8),
	FIELD(struct pic, lowest, FIELD_U8),
	FIELD(struct pic, icw, FIELD_U8),
	FIELD(struct pic, single, FIELD_BOOL),
	FIELD(struct pic, needs_icw4, FIELD_BOOL),
	FIELD(struct pic, auto_eoi, FIELD_BOOL),
	FIELD(struct pic, rotate_auto_eoi, FIELD_BOOL),
	FIELD(struct pic, sfnm, FIELD_BOOL),
	FIELD(struct pic, special_mask, FIELD_BOOL),
	FIELD(struct pic, poll, FIELD_BOOL),
	FIELD(struct pic, read_isr, FIELD_BOOL),
	{ 0 },
};

static const struct field state[] = {
	FIELD_SUB(struct i8259, pic, pic_state, 2, struct pic),
	{ 0 },
};

const struct device_class i8259_class = {
	.name = "i8259",
	.help = "pair of 8259A interrupt controllers",
	.size = sizeof(struct i8259),
	.version = 1,
	.state = state,
	.init = i8259_init,
	.reset = i8259_reset,
	.loaded = i8259_loaded,
	.fini = i8259_fini,
};
