/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtc.c: MC146818A real-time clock with 128 bytes of CMOS memory.
 * Spec: Motorola MC146818A data sheet (ADI1018); century byte: ACPI 6.4, 5.2.9 (CENTURY).
 *
 * The clock is the host's wall clock plus what the guest made it differ, so it goes on while the
 * machine is paused or saved, as a battery-backed clock does. Flags are found out when somebody
 * looks; timers run only for interrupts that are enabled.
 */
#include "device/timer/rtc.h"

#include <time.h>

#include "base/error.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "device/irq/gsi.h"

enum {
	SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, DAY_OF_WEEK, DAY, MONTH,
	YEAR, REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32, CMOS_SIZE = 128,
};
enum { A_UIP = 1 << 7, A_DIVIDER = 7 << 4, A_DIVIDER_RUN = 2 << 4, A_RATE = 0xf };
enum { B_SET = 1 << 7, B_PIE = 1 << 6, B_AIE = 1 << 5, B_UIE = 1 << 4, B_SQWE = 1 << 3,
	B_BINARY = 1 << 2, B_24H = 1 << 1 };
enum { C_IRQF = 1 << 7, C_PF = 1 << 6, C_AF = 1 << 5, C_UF = 1 << 4, C_FLAGS = 0x70 };
enum { D_VALID = 1 << 7, PM = 1 << 7, ALARM_ANY = 0xc0 };
enum {
	DAY_SECONDS = 86400,
	UIP_NS = 244000 + 1984000, /* table 5: UIP rises 244 us before an update of 1984 us */
	CRYSTAL_HZ = 32768,
};

struct rtc {
	struct device dev;
	uint8_t irq_line; /* config */
	struct irq irq;
	struct timer timer;
	struct region ports;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE]; /* time registers are valid here only while the clock is stopped */
	uint8_t weekday_shift;	 /* days the guest's day of week differs from the calendar's */
	int64_t delta;		 /* ns: guest time minus host time */
	int64_t synced;		 /* guest time in ns up to which flags are known */
};

static struct rtc *self(struct device *d)
{
	return container_of(d, struct rtc, dev);
}

/* ns since 1970 as the guest has it. A delta out of a damaged state, which rtc_loaded did not get to
 * refuse, counts as none. */
static int64_t guest_now(const struct rtc *s)
{
	int64_t host = g_get_real_time() * 1000, guest;

	return __builtin_add_overflow(host, s->delta, &guest) ? host : guest;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static uint8_t encode(const struct rtc *s, unsigned v)
{
	return s->cmos[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10;
}

static unsigned decode(const struct rtc *s, uint8_t v)
{
	return s->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 0xf);
}

static uint8_t encode_hour(const struct rtc *s, unsigned h)
{
	if (s->cmos[REG_B] & B_24H)
		return encode(s, h);
	return encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? PM : 0);
}

static unsigned decode_hour(const struct rtc *s, uint8_t v)
{
	if (s->cmos[REG_B] & B_24H)
		return decode(s, v);
	return decode(s, v & ~PM) % 12 + (v & PM ? 12 : 0);
}

/* "SET" inhibits updates; so does a divider held in reset or run from another crystal. */
static bool stopped(const struct rtc *s)
{
	return s->cmos[REG_B] & B_SET || (s->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_RUN;
}

/* Clock -> time registers. */
static void store_time(struct rtc *s)
{
	time_t t = floor_div(guest_now(s), NS_PER_SEC);
	unsigned year;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	year = tm.tm_year + 1900;
	s->cmos[SECONDS] = encode(s, tm.tm_sec);
	s->cmos[MINUTES] = encode(s, tm.tm_min);
	s->cmos[HOURS] = encode_hour(s, tm.tm_hour);
	s->cmos[DAY_OF_WEEK] = (tm.tm_wday + s->weekday_shift) % 7 + 1;
	s->cmos[DAY] = encode(s, tm.tm_mday);
	s->cmos[MONTH] = encode(s, tm.tm_mon + 1);
	s->cmos[YEAR] = encode(s, year % 100);
	s->cmos[CENTURY] = encode(s, year / 100);
}

/* ns into the present second: the divider chain. */
static int64_t fraction(const struct rtc *s)
{
	int64_t now = guest_now(s);

	return now - floor_div(now, NS_PER_SEC) * NS_PER_SEC;
}

/* Time registers -> clock, the divider chain left as it is. Impossible dates roll over. */
static void load_time(struct rtc *s)
{
	struct tm tm = {
		.tm_sec = decode(s, s->cmos[SECONDS]),
		.tm_min = decode(s, s->cmos[MINUTES]),
		.tm_hour = decode_hour(s, s->cmos[HOURS]),
		.tm_mday = decode(s, s->cmos[DAY]),
		.tm_mon = decode(s, s->cmos[MONTH]) - 1,
		.tm_year = decode(s, s->cmos[CENTURY]) * 100 + decode(s, s->cmos[YEAR]) - 1900,
	};
	time_t t;

	/* What time_t in ns can hold; no century byte means an unset clock. */
	if (tm.tm_year < 0 || tm.tm_year > 300)
		tm.tm_year = 100 + decode(s, s->cmos[YEAR]) % 100;
	t = timegm(&tm);
	s->delta = (int64_t)t * NS_PER_SEC + fraction(s) - g_get_real_time() * 1000;
	s->weekday_shift = (s->cmos[DAY_OF_WEEK] + 6 + 7 - tm.tm_wday) % 7;
	s->synced = guest_now(s);
}

/* Ticks of the crystal between periodic interrupts, table 3; 0: none. */
static unsigned periodic_ticks(const struct rtc *s)
{
	unsigned rate = s->cmos[REG_A] & A_RATE;

	if (!rate || (s->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_RUN)
		return 0;
	return rate < 3 ? 64u << rate : 1u << (rate - 1);
}

static int64_t periods_at(const struct rtc *s, int64_t ns)
{
	return (int64_t)((__int128)ns * CRYSTAL_HZ / NS_PER_SEC / periodic_ticks(s));
}

struct alarm {
	int h, m, s; /* -1: any */
};

static struct alarm alarm_of(const struct rtc *s)
{
	const uint8_t *c = s->cmos;

	return (struct alarm){
		.h = c[HOURS_ALARM] >= ALARM_ANY ? -1 : (int)decode_hour(s, c[HOURS_ALARM]),
		.m = c[MINUTES_ALARM] >= ALARM_ANY ? -1 : (int)decode(s, c[MINUTES_ALARM]),
		.s = c[SECONDS_ALARM] >= ALARM_ANY ? -1 : (int)decode(s, c[SECONDS_ALARM]),
	};
}

static bool alarm_at(const struct alarm *a, int64_t second)
{
	int t = (int)(second - floor_div(second, DAY_SECONDS) * DAY_SECONDS);

	return (a->h < 0 || a->h == t / 3600) && (a->m < 0 || a->m == t / 60 % 60) &&
		(a->s < 0 || a->s == t % 60);
}

/* First second after `second` at which the alarm goes off; that of a day later if never. */
static int64_t next_alarm(const struct rtc *s, int64_t second)
{
	struct alarm a = alarm_of(s);
	int64_t end = second + DAY_SECONDS;

	do
		second++;
	while (second < end && !alarm_at(&a, second));
	return second;
}

/* Sets the flags of all that happened since the last look, and drives the wire. */
static void sync_flags(struct rtc *s)
{
	int64_t now = guest_now(s), second = floor_div(now, NS_PER_SEC);
	int64_t last = floor_div(s->synced, NS_PER_SEC);
	uint8_t flags = s->cmos[REG_C] & C_FLAGS;

	if (periodic_ticks(s) && periods_at(s, now) > periods_at(s, s->synced))
		flags |= C_PF;
	if (!stopped(s) && second > last) {
		struct alarm a = alarm_of(s);

		flags |= C_UF;
		for (int64_t t = MAX(last + 1, second - DAY_SECONDS); t <= second; t++) {
			if (alarm_at(&a, t)) {
				flags |= C_AF;
				break;
			}
		}
	}
	s->synced = now; /* the host's clock may also have been set back */
	s->cmos[REG_C] = flags | (flags & s->cmos[REG_B] ? C_IRQF : 0);
	irq_set(&s->irq, s->cmos[REG_C] & C_IRQF);
}

/* Waits for the next event that would raise the wire. While it is up there is none: the guest
 * has to read register C first. */
static void rearm(struct rtc *s)
{
	int64_t now = s->synced, second = floor_div(now, NS_PER_SEC), next = INT64_MAX;
	uint8_t b = s->cmos[REG_B];

	if (b & B_PIE && periodic_ticks(s)) {
		__int128 tick = (__int128)(periods_at(s, now) + 1) * periodic_ticks(s);

		next = (int64_t)((tick * NS_PER_SEC + CRYSTAL_HZ - 1) / CRYSTAL_HZ);
	}
	if (b & B_UIE && !stopped(s))
		next = MIN(next, (second + 1) * NS_PER_SEC);
	if (b & B_AIE && !stopped(s))
		next = MIN(next, next_alarm(s, second) * NS_PER_SEC);
	if (next == INT64_MAX || s->cmos[REG_C] & C_IRQF)
		timer_cancel(&s->timer);
	else
		timer_arm(&s->timer, clock_ns(s->dev.machine->clock) + next - now);
}

static void expired(void *opaque)
{
	struct rtc *s = opaque;

	sync_flags(s);
	rearm(s); /* the two clocks may differ a little: not yet is possible */
}

static bool time_register(unsigned i)
{
	return i == SECONDS || i == MINUTES || i == HOURS || (i >= DAY_OF_WEEK && i <= YEAR) ||
		i == CENTURY;
}

static uint8_t read_byte(struct rtc *s, unsigned i)
{
	uint8_t v;

	switch (i) {
	case REG_A:
		return s->cmos[REG_A] |
			(!stopped(s) && fraction(s) >= NS_PER_SEC - UIP_NS ? A_UIP : 0);
	case REG_C:
		sync_flags(s);
		v = s->cmos[REG_C];
		s->cmos[REG_C] = 0;
		irq_set(&s->irq, 0);
		rearm(s);
		return v;
	case REG_D: return D_VALID;
	default:
		if (time_register(i) && !stopped(s))
			store_time(s);
		return s->cmos[i];
	}
}

/* Registers A and B may stop the clock or start it: "DV" and "SET". The divider goes on under SET;
 * out of its reset the first update comes after half a second. */
static void write_control(struct rtc *s, unsigned i, uint8_t val)
{
	bool was = stopped(s);
	bool held = (s->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_RUN;

	if (!was)
		store_time(s); /* in the old format */
	if (i == REG_A) {
		s->cmos[REG_A] = val & (A_DIVIDER | A_RATE);
		if (held && (val & A_DIVIDER) == A_DIVIDER_RUN)
			s->delta += NS_PER_SEC / 2 - fraction(s);
	} else {
		s->cmos[REG_B] = val & B_SET ? val & ~B_UIE : val; /* SET clears UIE */
		if (!was && !stopped(s))
			store_time(s); /* data mode and 12/24 may have changed */
	}
	if (was && !stopped(s))
		load_time(s);
}

static void write_byte(struct rtc *s, unsigned i, uint8_t val)
{
	if (i == REG_C || i == REG_D)
		return;
	sync_flags(s);
	if (i == REG_A || i == REG_B) {
		write_control(s, i, val);
		sync_flags(s);
	} else if (time_register(i) && !stopped(s)) {
		store_time(s);
		s->cmos[i] = val;
		load_time(s);
	} else {
		s->cmos[i] = val;
	}
	rearm(s);
}

static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct rtc *s = self(d);

	return off ? read_byte(s, s->index) : 0xff; /* the index is write-only */
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct rtc *s = self(d);

	if (off)
		write_byte(s, s->index, val);
	else
		s->index = val & (CMOS_SIZE - 1); /* bit 7 masks NMI sources the board has not */
}

static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 1 };

void rtc_set_cmos(struct device *rtc, unsigned index, uint8_t val)
{
	if (index > REG_D && index != CENTURY && index < CMOS_SIZE)
		self(rtc)->cmos[index] = val;
}

struct irq *rtc_irq(struct device *rtc)
{
	return &self(rtc)->irq;
}

static int rtc_init(struct device *d, GError **error)
{
	struct rtc *s = self(d);

	s->cmos[REG_A] = A_DIVIDER_RUN | 6; /* 1024 Hz, as firmware leaves it */
	s->cmos[REG_B] = B_24H;
	s->synced = guest_now(s);
	gsi_connect(&s->irq, d->machine, s->irq_line);
	timer_init(&s->timer, d->machine->clock, d, expired, s);
	s->ports = (struct region){ .name = "rtc", .device = d, .ops = &ports_ops, .size = 2 };
	region_place(d->machine->ports, &s->ports, 0x70, 0);
	return 0;
}

static void rtc_fini(struct device *d)
{
	struct rtc *s = self(d);

	region_unplace(&s->ports);
	if (s->timer.clock)
		timer_cancel(&s->timer);
}

/* The RESET pin: time, calendar, RAM and register A are not touched. */
static void rtc_reset(struct device *d)
{
	struct rtc *s = self(d);

	s->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	s->cmos[REG_C] = 0;
	s->index = 0;
	s->synced = guest_now(s);
	irq_set(&s->irq, 0);
	rearm(s);
}

/* Virtual time stood still, the wall clock did not. */
static void rtc_resume(struct device *d)
{
	struct rtc *s = self(d);

	device_lock(d);
	sync_flags(s);
	rearm(s);
	device_unlock(d);
}

static int rtc_loaded(struct device *d, GError **error)
{
	const int64_t limit = 180ll * 366 * DAY_SECONDS * NS_PER_SEC; /* sums fit in 64 bits */
	struct rtc *s = self(d);

	if (s->index >= CMOS_SIZE || s->weekday_shift > 6 || s->delta > limit ||
		s->delta < -limit || s->synced > limit + limit / 4 || s->synced < -limit)
		return fail(error, LODGE_ERROR_STATE, "%s: impossible time", d->id);
	s->cmos[REG_A] &= A_DIVIDER | A_RATE;
	s->cmos[REG_C] &= C_FLAGS;
	sync_flags(s);
	rearm(s);
	return 0;
}

static const struct field config[] = {
	CONFIG_AS(struct rtc, irq_line, "irq", FIELD_U8, "8", "global system interrupt"),
	{ 0 },
};

static const struct field state[] = {
	FIELD(struct rtc, index, FIELD_U8),
	FIELD_ARRAY(struct rtc, cmos, FIELD_BYTES, CMOS_SIZE),
	FIELD(struct rtc, weekday_shift, FIELD_U8),
	FIELD(struct rtc, delta, FIELD_U64),
	FIELD(struct rtc, synced, FIELD_U64),
	{ 0 },
};

const struct device_class rtc_class = {
	.name = "rtc",
	.help = "MC146818 real-time clock and CMOS memory",
	.size = sizeof(struct rtc),
	.version = 1,
	.config = config,
	.state = state,
	.init = rtc_init,
	.reset = rtc_reset,
	.resume = rtc_resume,
	.loaded = rtc_loaded,
	.fini = rtc_fini,
};
