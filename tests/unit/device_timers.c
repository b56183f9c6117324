/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_timers.c: 8254, RTC, HPET, ACPI PM timer and events. Oracle: the timing diagrams and tables
 * of the Intel 8254 and MC146818A data sheets, the HPET and ACPI specifications; for dates, the host.
 */
#include "device_rig.h"

#include <string.h>
#include <time.h>

#include "core/stream.h"
#include "device/misc/acpi_pm.h"
#include "device/timer/hpet.h"
#include "device/timer/i8254.h"
#include "device/timer/rtc.h"

static struct rig_irqs irqs;

static struct machine *fresh(void)
{
	memset(&irqs, 0, sizeof(irqs));
	return rig_new(1, &irqs);
}

/* 8254. Time moves in whole input clocks: from here on, `n` of them. */

static int64_t ns_of_tick(int64_t t)
{
	return (t * 1000000000 + 1193181) / 1193182;
}

static void ticks(struct machine *m, int64_t n)
{
	int64_t now = clock_ns(m->clock), t = (int64_t)((__int128)now * 1193182 / 1000000000);

	rig_advance(m, ns_of_tick(t + n) - now);
}

static void program(struct machine *m, unsigned ch, unsigned mode, unsigned count)
{
	rig_out(m, 0x43, ch << 6 | 0x30 | mode << 1);
	rig_out(m, 0x40 + ch, count & 0xff);
	rig_out(m, 0x40 + ch, count >> 8);
}

static unsigned count_of(struct machine *m, unsigned ch)
{
	unsigned low;

	rig_out(m, 0x43, ch << 6);
	low = rig_in(m, 0x40 + ch);
	return low | rig_in(m, 0x40 + ch) << 8;
}

/* Status by read-back: bit 7 is OUT, bit 6 "null count". */
static uint8_t status_of(struct machine *m, unsigned ch)
{
	rig_out(m, 0x43, 0xe0 | 2 << ch);
	return rig_in(m, 0x40 + ch);
}

static bool out_of(struct machine *m, unsigned ch)
{
	return status_of(m, ch) >> 7;
}

static void gate2(struct machine *m, bool on)
{
	rig_out(m, 0x61, on);
}

static void test_pit_mode0(void **state)
{
	struct machine *m = fresh();

	rig_add(m, &i8254_class, "pit", NULL);
	program(m, 0, 0, 100);
	assert_int_equal(status_of(m, 0), 0x70); /* OUT low, not loaded yet, both bytes, mode 0 */
	ticks(m, 1); /* loaded */
	assert_int_equal(count_of(m, 0), 100);
	ticks(m, 60);
	assert_int_equal(count_of(m, 0), 40);
	assert_int_equal(irqs.rises[0], 0);
	ticks(m, 39);
	assert_false(out_of(m, 0));
	ticks(m, 1); /* N + 1 clocks after the write */
	assert_true(out_of(m, 0));
	assert_int_equal(irqs.rises[0], 1);
	ticks(m, 1);
	assert_int_equal(count_of(m, 0), 0xffff); /* goes on from there */
	assert_int_equal(irqs.rises[0], 1);
	/* The first byte of a new count stops it and lowers OUT. */
	rig_out(m, 0x40, 5);
	assert_false(out_of(m, 0));
	ticks(m, 100);
	assert_false(out_of(m, 0));
	rig_out(m, 0x40, 0);
	ticks(m, 6);
	assert_true(out_of(m, 0));
	rig_free(m);
}

static void test_pit_mode2(void **state)
{
	struct machine *m = fresh();

	rig_add(m, &i8254_class, "pit", NULL);
	program(m, 0, 2, 1000);
	assert_int_equal(irqs.rises[0], 1); /* OUT goes high with the control word */
	irqs.rises[0] = 0;
	ticks(m, 1);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(count_of(m, 0), 1000);
		ticks(m, 999);
		assert_int_equal(count_of(m, 0), 1);
		assert_false(out_of(m, 0)); /* low for one clock */
		ticks(m, 1);
		assert_true(out_of(m, 0));
		assert_int_equal(irqs.rises[0], i);
	}
	/* A new count waits for the end of the cycle. */
	ticks(m, 300);
	rig_out(m, 0x40, 200);
	rig_out(m, 0x40, 0);
	assert_int_equal(count_of(m, 0), 700);
	assert_int_equal(status_of(m, 0) & 0x40, 0x40);
	ticks(m, 700);
	assert_int_equal(irqs.rises[0], 6);
	assert_int_equal(count_of(m, 0), 200);
	assert_int_equal(status_of(m, 0) & 0x40, 0);
	ticks(m, 200);
	assert_int_equal(irqs.rises[0], 7);
	rig_free(m);
}

static void test_pit_mode3(void **state)
{
	struct machine *m = fresh();

	rig_add(m, &i8254_class, "pit", NULL);
	program(m, 0, 3, 10);
	program(m, 1, 3, 5); /* odd: high 3, low 2 */
	ticks(m, 1);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(out_of(m, 0), i % 10 < 5);
		assert_int_equal(count_of(m, 0), 10 - 2 * (i % 5));
		assert_int_equal(out_of(m, 1), i % 5 < 3);
		ticks(m, 1);
	}
	program(m, 0, 3, 11932); /* 100 Hz */
	irqs.rises[0] = 0;
	for (unsigned i = 0; i < 10; i++)
		ticks(m, 11932);
	assert_in_range(irqs.rises[0], 9, 10);
	rig_free(m);
}

static void test_pit_gated(void **state)
{
	struct machine *m = fresh();

	rig_add(m, &i8254_class, "pit", NULL);
	/* Mode 0: GATE low holds the count. */
	gate2(m, true);
	program(m, 2, 0, 1000);
	ticks(m, 101);
	gate2(m, false);
	assert_int_equal(count_of(m, 2), 900);
	ticks(m, 5000);
	assert_int_equal(count_of(m, 2), 900);
	gate2(m, true);
	ticks(m, 899);
	assert_int_equal(rig_in(m, 0x61) & 0x20, 0);
	ticks(m, 1);
	assert_int_equal(rig_in(m, 0x61) & 0x20, 0x20);
	/* Mode 1: OUT low for N clocks from the trigger, and again. */
	gate2(m, false);
	program(m, 2, 1, 50);
	ticks(m, 10);
	assert_true(out_of(m, 2));
	gate2(m, true);
	ticks(m, 1);
	assert_false(out_of(m, 2));
	ticks(m, 30);
	gate2(m, false);
	gate2(m, true); /* retriggered */
	ticks(m, 50);
	assert_false(out_of(m, 2));
	ticks(m, 1);
	assert_true(out_of(m, 2));
	/* Mode 2: GATE low stops with OUT high, rising starts over. */
	program(m, 2, 2, 100);
	ticks(m, 41);
	assert_int_equal(count_of(m, 2), 60);
	gate2(m, false);
	assert_true(out_of(m, 2));
	gate2(m, true);
	ticks(m, 1);
	assert_int_equal(count_of(m, 2), 100);
	/* Mode 4: one low clock N + 1 after the write; mode 5 the same from the trigger. */
	program(m, 2, 4, 20);
	ticks(m, 20);
	assert_true(out_of(m, 2));
	ticks(m, 1);
	assert_false(out_of(m, 2));
	ticks(m, 1);
	assert_true(out_of(m, 2));
	program(m, 2, 5, 20);
	ticks(m, 30);
	assert_true(out_of(m, 2));
	gate2(m, false);
	gate2(m, true);
	ticks(m, 21);
	assert_false(out_of(m, 2));
	ticks(m, 1);
	assert_true(out_of(m, 2));
	rig_free(m);
}

static void test_pit_access(void **state)
{
	struct machine *m = fresh();

	rig_add(m, &i8254_class, "pit", NULL);
	/* BCD counts to 10000. */
	rig_out(m, 0x43, 0x31);
	rig_out(m, 0x40, 0x34);
	rig_out(m, 0x40, 0x12);
	ticks(m, 1 + 35);
	assert_int_equal(count_of(m, 0), 0x1199);
	/* LSB only. */
	rig_out(m, 0x43, 0x50);
	rig_out(m, 0x41, 200);
	ticks(m, 1 + 50);
	assert_int_equal(rig_in(m, 0x41), 150);
	/* A latch holds until it is read, a second one is ignored; status before count. */
	program(m, 1, 0, 0x1234);
	ticks(m, 1);
	rig_out(m, 0x43, 0x40);
	ticks(m, 100);
	rig_out(m, 0x43, 0x40);
	rig_out(m, 0x43, 0xc4);
	assert_int_equal(rig_in(m, 0x41), 0x30);
	assert_int_equal(rig_in(m, 0x41), 0x34);
	assert_int_equal(rig_in(m, 0x41), 0x12);
	assert_int_equal(count_of(m, 1), 0x1234 - 100);
	/* The refresh bit toggles every 15.085 us. */
	for (unsigned i = 0; i < 10; i++) {
		uint8_t was = rig_in(m, 0x61) & 0x10;

		rig_advance(m, 15085);
		assert_int_equal(rig_in(m, 0x61) & 0x10, was ^ 0x10);
	}
	rig_free(m);
}

/* RTC */

static uint8_t cmos(struct machine *m, uint8_t i)
{
	rig_out(m, 0x70, i);
	return rig_in(m, 0x71);
}

static void cmos_set(struct machine *m, uint8_t i, uint8_t v)
{
	rig_out(m, 0x70, i);
	rig_out(m, 0x71, v);
}

static unsigned bcd(uint8_t v)
{
	return (v >> 4) * 10 + (v & 15);
}

/* As a kernel reads it: again while the second changes. */
static time_t rtc_time(struct machine *m)
{
	struct tm tm;
	uint8_t second;

	do {
		second = cmos(m, 0);
		tm = (struct tm){ .tm_sec = bcd(second), .tm_min = bcd(cmos(m, 2)),
			.tm_hour = bcd(cmos(m, 4)), .tm_mday = bcd(cmos(m, 7)),
			.tm_mon = bcd(cmos(m, 8)) - 1,
			.tm_year = bcd(cmos(m, 0x32)) * 100 + bcd(cmos(m, 9)) - 1900 };
	} while (second != cmos(m, 0));
	return timegm(&tm);
}

static void test_rtc_time(void **state)
{
	struct machine *m = fresh();
	time_t host, guest;
	struct tm tm;

	rig_add(m, &rtc_class, "rtc", NULL);
	assert_int_equal(cmos(m, 0x0d), 0x80);
	host = time(NULL);
	guest = rtc_time(m);
	assert_in_range(guest, host, time(NULL));
	gmtime_r(&guest, &tm);
	assert_int_equal(cmos(m, 6), tm.tm_wday + 1);

	/* Set as Linux does it: SET, divider reset, the fields, back. */
	cmos_set(m, 0x0b, 0x82);
	cmos_set(m, 0x0a, 0x70);
	cmos_set(m, 9, 0x99);
	cmos_set(m, 0x32, 0x19);
	cmos_set(m, 8, 0x12);
	cmos_set(m, 7, 0x31);
	cmos_set(m, 4, 0x23);
	cmos_set(m, 2, 0x59);
	cmos_set(m, 0, 0x59);
	cmos_set(m, 6, 6); /* a Friday */
	assert_int_equal(cmos(m, 0x0a) & 0x80, 0);
	cmos_set(m, 0x0a, 0x26);
	cmos_set(m, 0x0b, 0x02);
	assert_int_equal(cmos(m, 0), 0x59);
	g_usleep(520000); /* the first update comes after half a second */
	assert_int_equal(rtc_time(m), 946684800);
	assert_int_equal(cmos(m, 6), 7);
	/* Other formats show the same moment. */
	cmos_set(m, 0x0b, 0x04); /* binary, 12 hours */
	assert_int_equal(cmos(m, 9), 0);
	assert_int_equal(cmos(m, 0x32), 20);
	assert_int_equal(cmos(m, 4), 12); /* 12 AM */
	cmos_set(m, 4, 0x80 | 3);
	cmos_set(m, 0x0b, 0x06);
	assert_int_equal(cmos(m, 4), 15);
	/* RAM */
	cmos_set(m, 0x5f, 0xa5);
	assert_int_equal(cmos(m, 0x5f), 0xa5);
	rig_free(m);
}

static void wait_irq8(struct machine *m, unsigned ms)
{
	gint64 end = g_get_monotonic_time() + ms * 1000;

	clock_start(m->clock);
	while (!irqs.level[8] && g_get_monotonic_time() < end) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(100);
	}
	clock_stop(m->clock);
}

static void test_rtc_interrupts(void **state)
{
	struct machine *m = fresh();
	time_t at;
	struct tm tm;

	rig_add(m, &rtc_class, "rtc", NULL);
	/* Periodic, 1024 Hz: flags, and a wire that stays up until C is read. */
	cmos_set(m, 0x0b, 0x42);
	wait_irq8(m, 500);
	assert_int_equal(irqs.level[8], 1);
	assert_int_equal(cmos(m, 0x0c) & 0xc0, 0xc0);
	assert_int_equal(irqs.level[8], 0);
	wait_irq8(m, 500);
	assert_int_equal(irqs.level[8], 1);
	cmos_set(m, 0x0b, 0x02);
	cmos(m, 0x0c);
	/* Update ended. */
	cmos_set(m, 0x0b, 0x12);
	wait_irq8(m, 1500);
	assert_int_equal(cmos(m, 0x0c) & 0x90, 0x90);
	/* Alarm in two seconds. */
	cmos_set(m, 0x0b, 0x02);
	at = rtc_time(m) + 2;
	gmtime_r(&at, &tm);
	cmos_set(m, 1, tm.tm_sec / 10 << 4 | tm.tm_sec % 10);
	cmos_set(m, 3, tm.tm_min / 10 << 4 | tm.tm_min % 10);
	cmos_set(m, 5, 0xff);
	cmos(m, 0x0c);
	cmos_set(m, 0x0b, 0x22);
	wait_irq8(m, 3000);
	assert_int_equal(rtc_time(m), at);
	assert_int_equal(cmos(m, 0x0c) & 0xa0, 0xa0);
	/* A flag is there without its interrupt, too. */
	cmos_set(m, 0x0b, 0x02);
	g_usleep(5000);
	assert_int_equal(cmos(m, 0x0c) & 0xc0, 0x40);
	rig_free(m);
}

/* HPET: 100 MHz */

static uint64_t hpet_get(struct machine *m, unsigned off, unsigned size)
{
	return space_read(m->memory, HPET_BASE + off, size);
}

static void hpet_put(struct machine *m, unsigned off, uint64_t v, unsigned size)
{
	space_write(m->memory, HPET_BASE + off, v, size);
}

static void test_hpet(void **state)
{
	struct machine *m = fresh();
	struct device *pit, *rtc, *hpet;
	uint64_t base;

	pit = rig_add(m, &i8254_class, "pit", NULL);
	rtc = rig_add(m, &rtc_class, "rtc", NULL);
	hpet = rig_add(m, &hpet_class, "hpet", NULL);
	hpet_take_over(hpet, i8254_irq(pit), rtc_irq(rtc));
	assert_int_equal(hpet_get(m, 0, 8), 10000000ull << 32 | 0x8086a201);
	assert_int_equal(hpet_get(m, 4, 4), 10000000);
	rig_advance(m, 1000);
	assert_int_equal(hpet_get(m, 0xf0, 8), 0); /* halted */
	hpet_put(m, 0x10, 1, 4);
	rig_advance(m, 1000000);
	assert_int_equal(hpet_get(m, 0xf0, 8), 100000);
	assert_int_equal(hpet_get(m, 0xf0, 4), 100000);
	/* One-shot, edge, pin 20. */
	base = hpet_get(m, 0xf0, 8);
	hpet_put(m, 0x120, 20 << 9 | 4, 4);
	hpet_put(m, 0x128, base + 5000, 8);
	rig_advance(m, 49990);
	assert_int_equal(irqs.rises[20], 0);
	rig_advance(m, 20);
	assert_int_equal(irqs.rises[20], 1);
	rig_advance(m, 1000000);
	assert_int_equal(irqs.rises[20], 1);
	/* Periodic, legacy replacement, as Linux programs it; the 8254 is cut off. */
	program(m, 0, 0, 10);
	ticks(m, 20);
	assert_int_equal(irqs.level[0], 1);
	hpet_put(m, 0x10, 3, 4);
	assert_int_equal(irqs.level[0], 0);
	irqs.rises[0] = 0;
	program(m, 0, 0, 10);
	ticks(m, 20);
	assert_int_equal(irqs.rises[0], 0);
	hpet_put(m, 0x100, 1 << 8 | 1 << 6 | 1 << 3 | 4, 4);
	hpet_put(m, 0x108, hpet_get(m, 0xf0, 4) + 100000, 4);
	hpet_put(m, 0x108, 100000, 4);
	for (unsigned i = 1; i <= 5; i++) {
		rig_advance(m, 1000000);
		assert_int_equal(irqs.rises[0], i);
	}
	hpet_put(m, 0x100, 0, 4);
	/* Level: status holds the wire until it is cleared. */
	hpet_put(m, 0x10, 1, 4);
	hpet_put(m, 0x140, 21 << 9 | 4 | 2, 4);
	hpet_put(m, 0x148, hpet_get(m, 0xf0, 8) + 1000, 8);
	rig_advance(m, 10010);
	assert_int_equal(irqs.level[21], 1);
	assert_int_equal(hpet_get(m, 0x20, 4), 4);
	hpet_put(m, 0x20, 4, 4);
	assert_int_equal(irqs.level[21], 0);
	rig_free(m);
}

/* ACPI */

static void outw(struct machine *m, uint16_t port, uint16_t v)
{
	space_write(m->ports, port, v, 2);
}

static uint16_t inw(struct machine *m, uint16_t port)
{
	return space_read(m->ports, port, 2);
}

static bool asked(struct machine *m, const char **what, const char *event)
{
	*what = "";
	for (unsigned i = 0; i < 20; i++)
		g_main_context_iteration(NULL, FALSE);
	return !strcmp(*what, event);
}

static void note(void *opaque, const char *event, const char *reason)
{
	*(const char **)opaque = event;
}

static void test_acpi(void **state)
{
	struct machine *m = fresh();
	struct device *pm = rig_add(m, &acpi_pm_class, "pm", NULL);
	const char *what = "";
	uint32_t a;

	m->listener = note;
	m->listener_opaque = &what;
	/* 3.579545 MHz, 32 bits. */
	a = space_read(m->ports, 0x608, 4);
	rig_advance(m, 1000000000);
	assert_int_equal(space_read(m->ports, 0x608, 4) - a, 3579545);
	assert_int_equal(inw(m, 0x604), 1); /* SCI_EN */
	/* Power button: status, then SCI once enabled; write one to clear. */
	acpi_pm_press_power(pm);
	assert_int_equal(inw(m, 0x600), 0x100);
	assert_int_equal(irqs.level[9], 0);
	outw(m, 0x602, 0x120);
	assert_int_equal(irqs.level[9], 1);
	outw(m, 0x600, 0x100);
	assert_int_equal(inw(m, 0x600), 0);
	assert_int_equal(irqs.level[9], 0);
	/* General-purpose event. */
	acpi_pm_raise_gpe(pm, 3);
	space_write(m->ports, 0x612, 1 << 3, 1);
	assert_int_equal(irqs.level[9], 1);
	space_write(m->ports, 0x610, 1 << 3, 1);
	assert_int_equal(irqs.level[9], 0);
	/* The timer's carry, every 2^31 ticks. */
	outw(m, 0x602, 1);
	rig_advance(m, 597000000000); /* 599 of 599.9 s */
	assert_int_equal(irqs.level[9], 0);
	rig_advance(m, 2000000000);
	assert_int_equal(irqs.level[9], 1);
	assert_int_equal(inw(m, 0x600) & 1, 1);
	outw(m, 0x600, 1);
	assert_int_equal(irqs.level[9], 0);
	/* S5 */
	machine_start(m);
	outw(m, 0x604, 3 << 10 | 1 << 13);
	assert_false(asked(m, &what, "SHUTDOWN"));
	outw(m, 0x604, 5 << 10);
	assert_false(asked(m, &what, "SHUTDOWN"));
	outw(m, 0x604, 5 << 10 | 1 << 13);
	assert_true(asked(m, &what, "SHUTDOWN"));
	rig_free(m);
}

/* A running timer goes on in another machine. */
static void test_restore(void **state)
{
	struct machine *a = fresh(), *b;
	struct device *d = rig_add(a, &i8254_class, "pit", NULL);
	g_autoptr(GByteArray) bytes = g_byte_array_new();

	program(a, 0, 0, 1000);
	ticks(a, 501);
	state_put(bytes, d->cls->state, d);
	b = fresh();
	clock_set(b->clock, clock_ns(a->clock));
	d = rig_add(b, &i8254_class, "pit", NULL);
	assert_int_equal(state_get(bytes->data, bytes->len, d->cls->state, 1, d, NULL), 0);
	assert_int_equal(d->cls->loaded(d, NULL), 0);
	assert_int_equal(count_of(b, 0), 500);
	ticks(b, 499);
	assert_int_equal(irqs.rises[0], 0);
	ticks(b, 1);
	assert_int_equal(irqs.rises[0], 1);
	rig_free(a);
	rig_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pit_mode0),
		cmocka_unit_test(test_pit_mode2),
		cmocka_unit_test(test_pit_mode3),
		cmocka_unit_test(test_pit_gated),
		cmocka_unit_test(test_pit_access),
		cmocka_unit_test(test_rtc_time),
		cmocka_unit_test(test_rtc_interrupts),
		cmocka_unit_test(test_hpet),
		cmocka_unit_test(test_acpi),
		cmocka_unit_test(test_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
