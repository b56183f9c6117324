/* SPDX-License-Identifier: GPL-2.0-or-later */
/* core_machine.c: run states, parking, requests from other threads, devices, clock and DMA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "accel/accel.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"

static struct machine *null_machine(unsigned vcpus)
{
	const struct accel *a = accel_find("null", NULL, NULL);
	struct machine *m = machine_new(a, NULL);

	assert_non_null(m);
	assert_int_equal(machine_add_vcpus(m, vcpus, NULL), 0);
	machine_reset(m);
	return m;
}

static void iterate_ms(unsigned ms)
{
	gint64 end = g_get_monotonic_time() + ms * 1000;

	while (g_get_monotonic_time() < end) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(200);
	}
}

static void note_event(void *opaque, const char *event, const char *reason)
{
	g_string_append_printf(opaque, "%s(%s) ", event, reason ? reason : "");
}

static void test_states(void **state)
{
	struct machine *m = null_machine(4);
	GString *events = g_string_new(NULL);

	m->listener = note_event;
	m->listener_opaque = events;
	for (unsigned i = 0; i < 200; i++) {
		machine_start(m);
		assert_int_equal(m->state, MACHINE_RUNNING);
		vcpu_post(m->vcpus[i % 4], VCPU_EV_INTR);
		machine_pause(m);
		assert_int_equal(m->state, MACHINE_PAUSED);
	}
	assert_true(g_str_has_prefix(events->str, "RESUME() STOP() RESUME() "));
	g_string_truncate(events, 0);
	machine_start(m);
	machine_request(m, MACHINE_REQ_RESET, "guest-reset");
	iterate_ms(5);
	assert_string_equal(events->str, "RESUME() RESET(guest-reset) ");
	assert_int_equal(m->state, MACHINE_RUNNING);
	machine_request(m, MACHINE_REQ_POWEROFF, "guest-shutdown");
	iterate_ms(5);
	assert_true(g_str_has_suffix(events->str, "RESET(guest-reset) SHUTDOWN(guest-shutdown) "));
	assert_int_equal(m->state, MACHINE_SHUTDOWN);
	machine_free(m);
	g_string_free(events, TRUE);
}

static void test_crash_ends(void **state)
{
	struct machine *m = null_machine(1);

	machine_start(m);
	m->no_reboot = true;
	machine_request(m, MACHINE_REQ_RESET, "guest-reset");
	iterate_ms(5);
	assert_int_equal(m->state, MACHINE_SHUTDOWN);
	machine_free(m);
}

struct dev {
	struct device d;
	uint32_t size, count;
	char *path;
	uint8_t mac[6];
	uint64_t bytes;
	bool flag;
	unsigned resets;
};
static const struct field dev_config[] = {
	CONFIG(struct dev, size, FIELD_U32, "7", "a number"),
	CONFIG(struct dev, path, FIELD_STRING, NULL, "a path"),
	CONFIG(struct dev, mac, FIELD_MAC, NULL, "a MAC"),
	CONFIG(struct dev, bytes, FIELD_SIZE, "2M", "a size"),
	CONFIG(struct dev, flag, FIELD_BOOL, "on", "a switch"),
	{ 0 },
};
static const struct field dev_state[] = { FIELD(struct dev, count, FIELD_U32), { 0 } };

static void dev_reset(struct device *d)
{
	((struct dev *)d)->resets++;
}
static const struct device_class dev_class = {
	.name = "dev", .size = sizeof(struct dev), .version = 1, .config = dev_config,
	.state = dev_state, .reset = dev_reset,
};

static void test_device(void **state)
{
	struct machine *m = null_machine(1);
	struct device *d = device_new(m, &dev_class, "d0"), *twin;
	struct dev *v = (struct dev *)d;
	GError *error = NULL;

	assert_int_equal(v->size, 7);
	assert_int_equal(v->bytes, 2 << 20);
	assert_true(v->flag);
	assert_int_equal(device_set(d, "size", "0x10", NULL), 0);
	assert_int_equal(v->size, 16);
	assert_int_equal(device_set(d, "bytes", "3G", NULL), 0);
	assert_true(v->bytes == 3ull << 30);
	assert_int_equal(device_set(d, "path", "/x", NULL), 0);
	assert_int_equal(device_set(d, "path", "/y", NULL), 0);
	assert_string_equal(v->path, "/y");
	assert_int_equal(device_set(d, "mac", "52:54:00:ab:cd:ef", NULL), 0);
	assert_int_equal(v->mac[5], 0xef);

	assert_int_equal(device_set(d, "pathh", "/y", &error), -1);
	assert_non_null(strstr(error->message, "did you mean 'path'?"));
	g_clear_error(&error);
	assert_int_equal(device_set(d, "size", "4294967296", &error), -1);
	g_clear_error(&error);
	assert_int_equal(device_set(d, "size", "-1", &error), -1);
	g_clear_error(&error);
	assert_int_equal(device_set(d, "mac", "01:54:00:ab:cd:ef", &error), -1);
	g_clear_error(&error);

	assert_int_equal(device_add(d, NULL), 0);
	twin = device_new(m, &dev_class, "d0");
	assert_int_equal(device_add(twin, &error), -1);
	g_clear_error(&error);
	machine_reset(m);
	assert_int_equal(v->resets, 1);
	assert_ptr_equal(device_find(m, "d0"), d);
	machine_free(m);
}

struct tick {
	struct timer t;
	unsigned fired;
	int64_t at;
	GString *order;
	char name;
};

static void on_tick(void *opaque)
{
	struct tick *k = opaque;

	k->fired++;
	k->at = clock_ns(k->t.clock);
	if (k->order)
		g_string_append_c(k->order, k->name);
}

static void test_clock(void **state)
{
	struct machine *m = null_machine(1);
	GString *order = g_string_new(NULL);
	struct tick k[26];
	int64_t stopped;

	for (unsigned i = 0; i < 26; i++) {
		k[i] = (struct tick){ .order = order, .name = 'a' + i };
		timer_init(&k[i].t, m->clock, NULL, on_tick, &k[i]);
	}
	for (unsigned i = 0; i < 26; i++) { /* armed in a scrambled order */
		unsigned n = i * 7 % 26;

		timer_arm(&k[n].t, 1000000 + n * 50000);
	}
	timer_cancel(&k[3].t);
	timer_arm(&k[5].t, 1000000 + 25 * 50000 + 1); /* now the last */
	iterate_ms(5);
	assert_int_equal(order->len, 0); /* time stands still */
	assert_int_equal(clock_ns(m->clock), 0);
	machine_start(m);
	iterate_ms(10);
	assert_string_equal(order->str, "abceghijklmnopqrstuvwxyzf");
	assert_true(k[25].at >= 1000000 + 25 * 50000);
	machine_pause(m);
	stopped = clock_ns(m->clock);
	iterate_ms(3);
	assert_true(clock_ns(m->clock) == stopped);
	clock_set(m->clock, 77 * (int64_t)NS_PER_SEC);
	machine_start(m);
	assert_true(clock_ns(m->clock) / NS_PER_SEC == 77);
	machine_free(m);
	g_string_free(order, TRUE);
}

static void test_dma(void **state)
{
	struct machine *m = null_machine(1);
	struct ram *a = ram_new("a", 0x2000, false, NULL), *b = ram_new("b", 0x1000, false, NULL);
	struct region ra = { .name = "a", .ram = a, .size = 0x2000 };
	struct region rb = { .name = "b", .ram = b, .size = 0x1000 };
	struct region rom = { .name = "rom", .ram = b, .size = 0x1000, .readonly = true };
	uint8_t buf[0x3000], back[0x3000];
	size_t n = 0x3000;

	g_ptr_array_add(m->rams, a);
	g_ptr_array_add(m->rams, b);
	region_place(m->memory, &ra, 0x10000, 0);
	region_place(m->memory, &rb, 0x12000, 0);
	region_place(m->memory, &rom, 0x20000, 0);
	ram_dirty_start(a);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = i * 31 >> 3;
	assert_true(dma_write(m, 0x11800, buf, 0x1000)); /* across two blocks */
	assert_memory_equal(a->host + 0x1800, buf, 0x800);
	assert_memory_equal(b->host, buf + 0x800, 0x800);
	assert_int_equal(a->dirty[0], 2);
	assert_true(dma_read(m, 0x11800, back, 0x1000));
	assert_memory_equal(back, buf, 0x1000);
	/* all or nothing */
	assert_false(dma_write(m, 0x12800, buf, 0x1000));
	assert_memory_equal(b->host, buf + 0x800, 0x800);
	assert_false(dma_read(m, UINT64_MAX - 3, back, 8));
	assert_false(dma_write(m, 0x20000, buf, 4));
	assert_true(dma_read(m, 0x20000, back, 4));
	assert_non_null(dma_map(m, 0x10800, &n, true));
	assert_int_equal(n, 0x1800);
	region_unplace(&ra);
	region_unplace(&rb);
	region_unplace(&rom);
	machine_free(m);
}

static void test_ram_limits(void **state)
{
	GError *error = NULL;

	assert_null(ram_new("x", 1ull << 60, false, &error));
	assert_non_null(strstr(error->message, "more than the host has"));
	g_clear_error(&error);
	assert_null(ram_new("x", 5000, false, &error));
	g_clear_error(&error);
	assert_null(accel_find("jti", NULL, &error));
	g_clear_error(&error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_crash_ends),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_ram_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
