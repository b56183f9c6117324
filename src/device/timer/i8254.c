/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8254.c: programmable interval timer, three channels, and system control port B (0x61).
 * Spec: Intel 8254 datasheet (231164-005); port 0x61: Intel ICH9 datasheet (316972), 13.7.1.
 *
 * Nothing counts while nobody looks: a channel remembers the tick at which its count was loaded,
 * and OUT and the counter follow from the time that has passed. Ticks are those of the 1.193182 MHz
 * input since the machine's virtual time began.
 */
#include "device/timer/i8254.h"

#include "base/error.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

enum {
	HZ = 1193182,
	MIN_TICKS = 24, /* shorter periods of channel 0 would only keep the main loop busy: 20 us */
	REFRESH_NS = 15085, /* port 0x61 bit 4 toggles at the DRAM refresh rate */
};
enum { RW_LATCH, RW_LSB, RW_MSB, RW_WORD };
enum { P61_GATE = 1 << 0, P61_SPEAKER = 1 << 1, P61_KEPT = 0x0f, P61_REFRESH = 1 << 4,
	P61_OUT = 1 << 5 };

struct channel {
	uint8_t mode, rw, bcd;
	bool gate;
	bool counting;	   /* a count is loaded; modes 1 and 5: and was triggered */
	bool high_next;	   /* RW_WORD: the next byte written is the high one */
	bool read_high;	   /* RW_WORD: the next byte read is the high one */
	uint8_t write_low;
	uint8_t latched;   /* bytes of the latched count still to be read */
	uint16_t latch;
	bool status_latched;
	uint8_t status;
	uint32_t count;	   /* 1..65536 (BCD: 10000): N of the datasheet */
	uint32_t next;	   /* modes 2, 3: N from tick `next_at` on; 0: none */
	int64_t start;	   /* tick at which N was loaded */
	int64_t next_at;
	int64_t held;	   /* modes 0, 4 with GATE low: ticks counted so far */
};

struct i8254 {
	struct device dev;
	uint8_t irq_line; /* config */
	struct irq irq;
	struct timer timer;
	struct region ports, port61;
	struct channel ch[3];
	uint8_t p61;
};

static struct i8254 *self(struct device *d)
{
	return container_of(d, struct i8254, dev);
}

static int64_t ticks_at(int64_t ns)
{
	return (int64_t)((__int128)ns * HZ / NS_PER_SEC);
}

/* First ns that counts as tick t. */
static int64_t ns_of(int64_t t)
{
	return (int64_t)(((__int128)t * NS_PER_SEC + HZ - 1) / HZ);
}

static int64_t now_ticks(struct i8254 *s)
{
	return ticks_at(clock_ns(s->dev.machine->clock));
}

static bool periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Mode 3 is high for (N+1)/2 ticks, then low for N/2. */
static int64_t high_ticks(uint32_t n)
{
	return (n + 1) / 2;
}

/* Takes over a count that was waiting for the end of the (half-)cycle. */
static void settle(struct channel *c, int64_t now)
{
	if (!c->next || now < c->next_at)
		return;
	/* Mode 3 may change count in the middle of a cycle: the phase is kept. */
	if (c->mode == 3 && (c->next_at - c->start) % c->count)
		c->start = c->next_at - high_ticks(c->next);
	else
		c->start = c->next_at;
	c->count = c->next;
	c->next = 0;
}

static int64_t elapsed(const struct channel *c, int64_t now)
{
	int64_t e = !c->gate && (c->mode == 0 || c->mode == 4) ? c->held : now - c->start;

	return e < 0 ? 0 : e;
}

/* "Mode definitions" of the datasheet. */
static bool out(const struct channel *c, int64_t now)
{
	int64_t e = elapsed(c, now);

	if (!c->counting)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1: return e >= c->count;
	case 2: return !c->gate || e % c->count != c->count - 1;
	case 3: return !c->gate || e % c->count < high_ticks(c->count);
	default: return e != c->count;
	}
}

static uint16_t to_bcd(uint32_t v)
{
	return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

static uint32_t from_bcd(uint16_t v)
{
	return (v & 0xf) + (v >> 4 & 0xf) * 10 + (v >> 8 & 0xf) * 100 + (v >> 12) * 1000;
}

static uint16_t counter(const struct channel *c, int64_t now)
{
	int64_t e = c->counting ? elapsed(c, now) : 0, n = c->count, v, high = high_ticks(n);
	int64_t modulus = c->bcd ? 10000 : 65536;

	switch (c->mode) {
	case 2:
		v = c->gate ? n - e % n : n;
		break;
	case 3: /* counts down by two, odd counts from N - 1 */
		e = c->gate ? e % n : 0;
		v = (n & ~1) - 2 * (e < high ? e : e - high);
		break;
	default:
		v = (n - e) % modulus;
		if (v < 0)
			v += modulus;
	}
	v %= modulus;
	return c->bcd ? to_bcd(v) : v;
}

/* Next tick after now at which OUT rises; -1: none. */
static int64_t next_rise(const struct channel *c, int64_t now)
{
	int64_t e = now - c->start, t;

	if (!c->counting || (!c->gate && c->mode != 1 && c->mode != 5))
		return -1;
	switch (c->mode) {
	case 0:
	case 1:
		t = c->start + c->count;
		break;
	case 2:
	case 3:
		t = c->start + (e < 0 ? 1 : e / c->count + 1) * (int64_t)c->count;
		if (c->next && c->next_at < t) /* mode 3, change after the high half */
			t = c->next_at + c->next / 2;
		break;
	default:
		t = c->start + c->count + 1;
	}
	return t > now ? t : -1;
}

static void rearm(struct i8254 *s, int64_t now)
{
	struct channel *c = &s->ch[0];
	int64_t t = next_rise(c, now);

	if (t < 0) {
		timer_cancel(&s->timer);
		return;
	}
	if (periodic(c) && c->count < MIN_TICKS)
		t += (MIN_TICKS / c->count) * (int64_t)c->count;
	timer_arm(&s->timer, ns_of(t));
}

/* Channel 0's registers were written: its wire shows OUT, the timer its next rise. */
static void drive(struct i8254 *s, int64_t now)
{
	irq_set(&s->irq, out(&s->ch[0], now));
	rearm(s, now);
}

/* Main loop, at a rise of channel 0's OUT. The short low phase of modes 2 to 5 before it is shown
 * here, so that it costs no wake-up of its own. */
static void expired(void *opaque)
{
	struct i8254 *s = opaque;
	struct channel *c = &s->ch[0];
	int64_t now = now_ticks(s);

	settle(c, now);
	if (c->counting && (c->mode == 0 || c->mode == 1)) {
		irq_set(&s->irq, out(c, now));
	} else if (c->counting) {
		irq_set(&s->irq, 0);
		irq_set(&s->irq, 1);
	}
	rearm(s, now);
}

/* A whole count was written: "Write Operations" and the modes' own rules. */
static void load(struct channel *c, uint16_t raw, int64_t now)
{
	uint32_t n = c->bcd ? from_bcd(raw) : raw;

	if (n == 0)
		n = c->bcd ? 10000 : 65536;
	if (n == 1 && periodic(c))
		n = 2; /* 1 is illegal there */
	if (periodic(c) && c->counting && c->gate) {
		int64_t e = elapsed(c, now), in = e % c->count, high = high_ticks(c->count);

		c->next = n;
		c->next_at = now - in + (c->mode == 3 && in < high ? high : c->count);
		if (now < c->start) { /* not even loaded yet */
			c->count = n;
			c->next = 0;
		}
		return;
	}
	c->count = n;
	if (c->mode == 1 || c->mode == 5)
		return; /* loaded by the trigger */
	c->start = now + 1; /* on the next clock */
	c->held = 0;
	c->counting = true;
}

static void write_count(struct channel *c, uint8_t val, int64_t now)
{
	switch (c->rw) {
	case RW_LSB: load(c, val, now); break;
	case RW_MSB: load(c, val << 8, now); break;
	default:
		if (!c->high_next) {
			c->write_low = val;
			c->high_next = true;
			if (c->mode == 0)
				c->counting = false; /* the first byte stops it and OUT goes low */
			return;
		}
		c->high_next = false;
		load(c, val << 8 | c->write_low, now);
	}
}

static void set_gate(struct channel *c, bool gate, int64_t now)
{
	if (c->gate == gate)
		return;
	if (!gate)
		c->held = elapsed(c, now);
	c->gate = gate;
	if (!gate)
		return;
	switch (c->mode) {
	case 0:
	case 4: c->start = now - c->held; break; /* goes on */
	case 1:
	case 5: c->counting = c->count != 0; /* trigger */
		/* fallthrough */
	default: c->start = now + 1;
	}
	if (c->next) {
		c->count = c->next;
		c->next = 0;
	}
}

static uint8_t status_byte(const struct channel *c, int64_t now)
{
	bool null_count = !c->counting || now < c->start || c->next;

	return out(c, now) << 7 | null_count << 6 | c->rw << 4 | c->mode << 1 | c->bcd;
}

static void latch_count(struct channel *c, int64_t now)
{
	if (c->latched)
		return; /* until read, a second latch is ignored */
	c->latch = counter(c, now);
	c->latched = c->rw == RW_WORD ? 2 : 1;
}

/* "Read-Back Command": bits 5 and 4 are active low, bits 3..1 choose channels. */
static void read_back(struct i8254 *s, uint8_t val, int64_t now)
{
	for (unsigned i = 0; i < 3; i++) {
		struct channel *c = &s->ch[i];

		if (!(val & 2 << i))
			continue;
		settle(c, now);
		if (!(val & 1 << 5))
			latch_count(c, now);
		if (!(val & 1 << 4) && !c->status_latched) {
			c->status = status_byte(c, now);
			c->status_latched = true;
		}
	}
}

static void control(struct i8254 *s, uint8_t val, int64_t now)
{
	unsigned mode = val >> 1 & 7;
	struct channel *c;

	if (val >> 6 == 3) {
		read_back(s, val, now);
		return;
	}
	c = &s->ch[val >> 6];
	settle(c, now);
	if ((val >> 4 & 3) == RW_LATCH) {
		latch_count(c, now);
		return;
	}
	*c = (struct channel){ .mode = mode > 5 ? mode - 4 : mode, .rw = val >> 4 & 3,
		.bcd = val & 1, .gate = c->gate, .count = val & 1 ? 10000 : 65536 };
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8254 *s = self(d);
	int64_t now = now_ticks(s);

	if (off == 3) {
		control(s, val, now);
	} else {
		settle(&s->ch[off], now);
		write_count(&s->ch[off], val, now);
	}
	if (off == 0 || (off == 3 && val >> 6 == 0 && val >> 4 & 3))
		drive(s, now);
}

/* "Read Operations": latched status first, then latched count, else the running counter. */
static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct i8254 *s = self(d);
	int64_t now = now_ticks(s);
	struct channel *c = &s->ch[off % 3];
	uint16_t v;
	bool high;

	if (off == 3)
		return 0; /* no operation, bus undefined */
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	settle(c, now);
	v = c->latched ? c->latch : counter(c, now);
	high = c->rw == RW_MSB || (c->rw == RW_WORD && c->read_high);
	if (c->rw == RW_WORD)
		c->read_high = !c->read_high;
	if (c->latched)
		c->latched--;
	return high ? v >> 8 : v & 0xff;
}

static uint64_t port61_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct i8254 *s = self(d);
	int64_t now = now_ticks(s), ns = clock_ns(d->machine->clock);

	settle(&s->ch[2], now);
	return s->p61 | (ns / REFRESH_NS & 1 ? P61_REFRESH : 0) |
		(out(&s->ch[2], now) ? P61_OUT : 0);
}

static void port61_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct i8254 *s = self(d);
	int64_t now = now_ticks(s);

	s->p61 = val & P61_KEPT;
	settle(&s->ch[2], now);
	set_gate(&s->ch[2], val & P61_GATE, now);
}

static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 1 };
static const struct region_ops port61_ops = { port61_read, port61_write, .min = 1, .max = 1 };

struct irq *i8254_irq(struct device *pit)
{
	return &self(pit)->irq;
}

static int i8254_init(struct device *d, GError **error)
{
	struct i8254 *s = self(d);

	gsi_connect(&s->irq, d->machine, s->irq_line);
	timer_init(&s->timer, d->machine->clock, d, expired, s);
	s->ports = (struct region){ .name = "i8254", .device = d, .ops = &ports_ops, .size = 4 };
	s->port61 = (struct region){ .name = "port61", .device = d, .ops = &port61_ops, .size = 1 };
	region_place(d->machine->ports, &s->ports, 0x40, 0);
	region_place(d->machine->ports, &s->port61, 0x61, 0);
	return 0;
}

static void i8254_fini(struct device *d)
{
	struct i8254 *s = self(d);

	region_unplace(&s->ports);
	region_unplace(&s->port61);
	if (s->timer.clock)
		timer_cancel(&s->timer);
}

/* The chip has no reset: "undefined until programmed". Ours counts nothing then. */
static void i8254_reset(struct device *d)
{
	struct i8254 *s = self(d);

	for (unsigned i = 0; i < 3; i++)
		s->ch[i] = (struct channel){ .mode = 3, .rw = RW_WORD, .gate = i < 2,
			.count = 65536 };
	s->p61 = 0;
	timer_cancel(&s->timer);
	irq_set(&s->irq, 0);
}

static bool possible(const struct channel *c, int64_t now)
{
	uint32_t least = periodic(c) ? 2 : 1;

	return c->mode <= 5 && c->rw >= RW_LSB && c->rw <= RW_WORD && c->bcd <= 1 &&
		c->latched <= 2 && c->count >= least && c->count <= 65536 &&
		(!c->next || c->next >= least) && c->next <= 65536 && c->start >= 0 &&
		c->start <= now + 1 && c->held >= 0 && c->held <= now + 1 && c->next_at >= 0 &&
		c->next_at <= now + 65536;
}

static int i8254_loaded(struct device *d, GError **error)
{
	struct i8254 *s = self(d);
	int64_t now = now_ticks(s);

	for (unsigned i = 0; i < 3; i++)
		if (!possible(&s->ch[i], now))
			return fail(error, LODGE_ERROR_STATE, "%s: channel %u is impossible",
				d->id, i);
	s->p61 &= P61_KEPT;
	settle(&s->ch[0], now);
	drive(s, now);
	return 0;
}

static const struct field channel_state[] = {
	FIELD(struct channel, mode, FIELD_U8),
	FIELD(struct channel, rw, FIELD_U8),
	FIELD(struct channel, bcd, FIELD_U8),
	FIELD(struct channel, gate, FIELD_BOOL),
	FIELD(struct channel, counting, FIELD_BOOL),
	FIELD(struct channel, high_next, FIELD_BOOL),
	FIELD(struct channel, read_high, FIELD_BOOL),
	FIELD(struct channel, write_low, FIELD_U8),
	FIELD(struct channel, latched, FIELD_U8),
	FIELD(struct channel, latch, FIELD_U16),
	FIELD(struct channel, status_latched, FIELD_BOOL),
	FIELD(struct channel, status, FIELD_U8),
	FIELD(struct channel, count, FIELD_U32),
	FIELD(struct channel, next, FIELD_U32),
	FIELD(struct channel, start, FIELD_U64),
	FIELD(struct channel, next_at, FIELD_U64),
	FIELD(struct channel, held, FIELD_U64),
	{ 0 },
};

static const struct field config[] = {
	CONFIG_AS(struct i8254, irq_line, "irq", FIELD_U8, "0", "global system interrupt of channel 0"),
	{ 0 },
};

static const struct field state[] = {
	FIELD_SUB(struct i8254, ch, channel_state, 3, struct channel),
	FIELD(struct i8254, p61, FIELD_U8),
	{ 0 },
};

const struct device_class i8254_class = {
	.name = "i8254",
	.help = "programmable interval timer and port 0x61",
	.size = sizeof(struct i8254),
	.version = 1,
	.config = config,
	.state = state,
	.init = i8254_init,
	.reset = i8254_reset,
	.loaded = i8254_loaded,
	.fini = i8254_fini,
};
