/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_virtio_misc.c: console, entropy and balloon through their rings. */
#include "virtio_driver.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_console.h>

#include "char/char.h"
#include "core/stream.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_console.h"
#include "device/virtio/virtio_rng.h"

enum { BUF = 0x800000 };

static struct device *begin(struct t_machine *t, struct t_driver *v, struct device *d)
{
	GError *error = NULL;

	assert_int_equal(device_add(d, &error), 0);
	machine_reset(t->m);
	pci_assign_resources(t->host);
	machine_start(t->m);
	t_attach(v, t, d);
	return d;
}

static void test_rng(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = device_new(t->m, &virtio_rng_class, "rng");
	struct t_driver v;
	struct t_seg in = { BUF, 1000, true }, out = { BUF, 1000, false };
	unsigned zero = 0;

	device_set(d, "max_bytes", "1500", NULL);
	device_set(d, "period_ms", "50", NULL);
	begin(t, &v, d);
	t_start(&v, 0, 1, 16);
	memset(t_at(&v, BUF), 0, 1001);
	t_add(&v, 0, &in, 1, 0);
	t_kick(&v, 0);
	assert_int_equal(t_wait(&v, 0, NULL), 1000);
	for (unsigned i = 0; i < 1000; i++)
		zero += !*(uint8_t *)t_at(&v, BUF + i);
	assert_true(zero < 40); /* 1000 random bytes hold about 4 zeroes */
	assert_int_equal(*(uint8_t *)t_at(&v, BUF + 1000), 0);
	/* The rate: 500 bytes are left, then a period passes. */
	t_add(&v, 0, &in, 1, 0);
	t_add(&v, 0, &in, 1, 0);
	t_kick(&v, 0);
	assert_int_equal(t_wait(&v, 0, NULL), 500);
	assert_int_equal(t_wait(&v, 0, NULL), 1000);
	/* A buffer one cannot write to gets nothing. */
	t_add(&v, 0, &out, 1, 0);
	t_kick(&v, 0);
	assert_int_equal(t_wait(&v, 0, NULL), 0);
	t_machine_free(t);
}

static void give(struct t_driver *v, unsigned q, uint64_t at, uint32_t len)
{
	t_add(v, q, &(struct t_seg){ at, len, true }, 1, 0);
	t_kick(v, q);
}

static void send(struct t_driver *v, unsigned q, uint64_t at, const void *bytes, uint32_t len)
{
	memcpy(t_at(v, at), bytes, len);
	t_add(v, q, &(struct t_seg){ at, len, false }, 1, 0);
	t_kick(v, q);
	t_wait(v, q, NULL);
}

static void control(struct t_driver *v, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control m = { id, event, value };

	send(v, 3, BUF + 0x1000, &m, sizeof(m));
}

/* The next control message of the device: event, value, port; *name as far as it has one. */
static struct virtio_console_control told(struct t_driver *v, char *name)
{
	struct virtio_console_control m;
	uint16_t id;
	uint32_t len = t_wait(v, 2, &id);
	uint64_t at = BUF + 0x2000 + 0x100 * id;

	memcpy(&m, t_at(v, at), sizeof(m));
	if (name) {
		memcpy(name, t_at(v, at + sizeof(m)), len - sizeof(m));
		name[len - sizeof(m)] = 0;
	}
	give(v, 2, at, 0x100);
	return m;
}

static void test_console(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = device_new(t->m, &virtio_console_class, "con");
	struct chardev *tty = char_open("memory", NULL), *agent = char_open("memory", NULL);
	struct virtio_console_control m;
	struct t_driver v;
	char text[300];

	assert_int_equal(virtio_console_add_port(d, NULL, true, tty, NULL), 0);
	assert_int_equal(virtio_console_add_port(d, "org.lodge.agent", false, agent, NULL), 0);
	begin(t, &v, d);
	t_start(&v, 1ull << VIRTIO_CONSOLE_F_MULTIPORT, 6, 16);
	assert_int_equal(t_mmio(&v, v.config + 4, 4), 2);
	for (unsigned i = 0; i < 8; i++)
		t_add(&v, 2, &(struct t_seg){ BUF + 0x2000 + 0x100 * i, 0x100, true }, 1, 0);
	t_kick(&v, 2);
	control(&v, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned i = 0; i < 2; i++) {
		m = told(&v, NULL);
		assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_ADD);
		assert_int_equal(m.id, i);
	}
	control(&v, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(told(&v, NULL).event, VIRTIO_CONSOLE_CONSOLE_PORT);
	assert_int_equal(told(&v, NULL).event, VIRTIO_CONSOLE_PORT_OPEN);
	control(&v, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	m = told(&v, text);
	assert_int_equal(m.event, VIRTIO_CONSOLE_PORT_NAME);
	assert_string_equal(text, "org.lodge.agent");
	assert_int_equal(told(&v, NULL).event, VIRTIO_CONSOLE_PORT_OPEN);
	/* Out. */
	send(&v, 1, BUF, "hello", 5);
	assert_int_equal(char_memory_read(tty, text, sizeof(text)), 5);
	assert_memory_equal(text, "hello", 5);
	/* In: a closed port waits, an open one gets what came; more than a buffer is split. */
	char_memory_feed(agent, "0123456789", 10);
	give(&v, 4, BUF + 0x100, 4);
	t_spin();
	control(&v, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(t_wait(&v, 4, NULL), 4);
	give(&v, 4, BUF + 0x104, 100);
	assert_int_equal(t_wait(&v, 4, NULL), 6);
	assert_memory_equal(t_at(&v, BUF + 0x100), "0123456789", 10);
	/* Ports there are not. */
	control(&v, 99, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(&v, UINT32_MAX, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_int_equal(t_status(&v), 15);
	/* Without multiport: one port, no opening. */
	t_start(&v, 0, 2, 16);
	char_memory_feed(tty, "x", 1);
	give(&v, 0, BUF, 10);
	assert_int_equal(t_wait(&v, 0, NULL), 1);
	/* The emergency port works without any queue. */
	t_reset(&v);
	t_mmio_w(&v, v.config + 8, '!', 4);
	assert_int_equal(char_memory_read(tty, text, sizeof(text)), 1);
	assert_int_equal(text[0], '!');
	t_machine_free(t);
	char_close(tty);
	char_close(agent);
}

/* A back end that takes nothing for a while loses and doubles nothing. */
static void test_console_full(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = device_new(t->m, &virtio_console_class, "con");
	struct chardev *tty = char_open("memory", NULL);
	struct t_driver v;
	GByteArray *got = g_byte_array_new();
	uint8_t buf[8192];
	size_t n;
	uint32_t sent = 0;

	assert_int_equal(virtio_console_add_port(d, NULL, true, tty, NULL), 0);
	begin(t, &v, d);
	t_start(&v, 0, 2, 16);
	for (unsigned i = 0; i < 15; i++) {
		for (unsigned k = 0; k < 0x10000 / 4; k++)
			((uint32_t *)t_at(&v, BUF + 0x10000 * i))[k] = sent++;
		t_add(&v, 1, &(struct t_seg){ BUF + 0x10000 * i, 0x10000, false }, 1, 0);
	}
	t_kick(&v, 1);
	for (unsigned i = 0; i < 3000 && got->len < sent * 4; i++) {
		n = char_memory_read(tty, buf, sizeof(buf));
		g_byte_array_append(got, buf, (guint)n);
		while (g_main_context_iteration(NULL, FALSE))
			;
	}
	assert_int_equal(got->len, sent * 4);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(((uint32_t *)got->data)[i], i);
	g_byte_array_unref(got);
	t_machine_free(t);
	char_close(tty);
}

static void note_actual(void *opaque, uint64_t actual)
{
	*(uint64_t *)opaque = actual;
}

static void test_balloon(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = device_new(t->m, &virtio_balloon_class, "balloon");
	struct t_driver v;
	uint32_t pfn[6] = { 0xa00, 0xa01, 0xa02, 0xb00, 0xaff, T_RAM / 4096 + 10 };
	struct virtio_balloon_stat st[2] = { { 4, 111 << 20 }, { 5, 222 << 20 } };
	uint64_t stats[BALLOON_STATS], actual = 0;

	begin(t, &v, d);
	t_start(&v, 1ull << VIRTIO_BALLOON_F_STATS_VQ | 1ull << VIRTIO_BALLOON_F_REPORTING, 4, 16);
	virtio_balloon_listen(d, note_actual, &actual);
	assert_int_equal(virtio_balloon_actual(d), T_RAM);
	virtio_balloon_set_target(d, T_RAM - (5 << 12));
	assert_int_equal(t->msi[0], 1);
	assert_int_equal(t_mmio(&v, v.config, 4), 5);
	/* Inflated pages are gone (read as zero), their neighbours are not. */
	memset(t_at(&v, 0x9ff000), 0xcc, 0x5000);
	memset(t_at(&v, 0xafe000), 0xcc, 0x4000);
	send(&v, 0, BUF, pfn, sizeof(pfn));
	assert_int_equal(*(uint8_t *)t_at(&v, 0x9fffff), 0xcc);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xa00000), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xa02fff), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xa03000), 0xcc);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xafefff), 0xcc);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xaff000), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xb00fff), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xb01000), 0xcc);
	t_mmio_w(&v, v.config + 4, 5, 4);
	assert_int_equal(actual, T_RAM - (5 << 12));
	assert_int_equal(virtio_balloon_actual(d), T_RAM - (5 << 12));
	send(&v, 1, BUF, pfn, sizeof(pfn));
	/* Statistics: the buffer is kept until we ask again. */
	memcpy(t_at(&v, BUF + 0x1000), st, sizeof(st));
	t_add(&v, 2, &(struct t_seg){ BUF + 0x1000, sizeof(st), false }, 1, 0);
	t_kick(&v, 2);
	assert_true(virtio_balloon_stats(d, stats) > 0);
	assert_int_equal(stats[4], 111 << 20);
	assert_int_equal(stats[5], 222 << 20);
	assert_true(stats[0] == UINT64_MAX);
	virtio_balloon_set_interval(d, 1);
	t_wait(&v, 2, NULL);
	/* Reported pages. */
	memset(t_at(&v, 0xc00000), 0xcc, 0x20000);
	t_add(&v, 3, &(struct t_seg){ 0xc00000, 0x10000, true }, 1, 0);
	t_kick(&v, 3);
	t_wait(&v, 3, NULL);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xc00000), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xc0ffff), 0);
	assert_int_equal(*(uint8_t *)t_at(&v, 0xc10000), 0xcc);
	t_machine_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rng),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_console_full),
		cmocka_unit_test(test_balloon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
