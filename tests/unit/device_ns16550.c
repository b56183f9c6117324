/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_ns16550.c: UART, keyboard controller and the small ports. Oracle: the PC16550D datasheet's
 * tables, the IBM PS/2 reference. */
#include "device_rig.h"

#include <string.h>

#include "char/char.h"
#include "device/char/ns16550.h"
#include "device/misc/debug_exit.h"
#include "device/misc/i8042.h"
#include "device/misc/port92.h"

enum { COM1 = 0x3f8, DATA = COM1, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct rig_irqs irqs;
static struct chardev *chr;

static struct machine *uart_new(void)
{
	struct machine *m;
	struct device *d;

	memset(&irqs, 0, sizeof(irqs));
	m = rig_new(1, &irqs);
	d = device_new(m, &ns16550_class, "com1");
	chr = char_open("memory", NULL);
	assert_non_null(chr);
	ns16550_set_char(d, chr);
	assert_int_equal(device_add(d, NULL), 0);
	d->cls->reset(d);
	rig_out(m, MCR, 0x0b);
	return m;
}

static void uart_free(struct machine *m)
{
	rig_free(m);
	char_close(chr);
}

static void loop(void)
{
	for (unsigned i = 0; i < 10; i++)
		g_main_context_iteration(NULL, FALSE);
}

static void type(const char *text)
{
	assert_int_equal(char_memory_feed(chr, text, strlen(text)), strlen(text));
	loop();
}

static void test_probe(void **state)
{
	struct machine *m = uart_new();

	rig_out(m, SCR, 0x5a);
	assert_int_equal(rig_in(m, SCR), 0x5a);
	rig_out(m, IER, 0xff);
	assert_int_equal(rig_in(m, IER), 0x0f);
	rig_out(m, IER, 0);
	assert_int_equal(rig_in(m, IIR), 0x01);
	rig_out(m, IIR, 0x01);
	assert_int_equal(rig_in(m, IIR), 0xc1); /* a 16550A */
	rig_out(m, LCR, 0x83);
	rig_out(m, DATA, 1);
	rig_out(m, IER, 0);
	assert_int_equal(rig_in(m, DATA), 1);
	rig_out(m, LCR, 0x03);
	assert_int_equal(rig_in(m, LSR), 0x60);
	/* Loop: the outputs come back as inputs, with deltas. */
	rig_in(m, MSR);
	rig_out(m, MCR, 0x10 | 0x0a); /* RTS, OUT2 */
	assert_int_equal(rig_in(m, MSR) & 0xf0, 0x90); /* CTS, DCD */
	rig_out(m, MCR, 0x10 | 0x05); /* DTR, OUT1 */
	assert_int_equal(rig_in(m, MSR), 0x60 | 0x0b); /* DSR, RI; CTS, DSR, DCD changed */
	rig_out(m, MCR, 0x10);
	assert_int_equal(rig_in(m, MSR), 0x06); /* RI fell: TERI */
	rig_out(m, DATA, 'x');
	assert_int_equal(rig_in(m, LSR), 0x61);
	assert_int_equal(rig_in(m, DATA), 'x');
	uart_free(m);
}

static void test_transmit(void **state)
{
	struct machine *m = uart_new();
	char got[8] = "";

	rig_out(m, IIR, 0x01);
	assert_int_equal(irqs.level[4], 0);
	rig_out(m, IER, 0x02); /* THR is empty: interrupts at once */
	assert_int_equal(irqs.level[4], 1);
	assert_int_equal(rig_in(m, IIR), 0xc2);
	assert_int_equal(irqs.level[4], 0); /* reading IIR took it away */
	assert_int_equal(rig_in(m, IIR), 0xc1);
	rig_out(m, DATA, 'a');
	assert_int_equal(irqs.level[4], 1);
	rig_out(m, DATA, 'b');
	assert_int_equal(rig_in(m, LSR), 0x60);
	loop();
	assert_int_equal(char_memory_read(chr, got, sizeof(got)), 2);
	assert_string_equal(got, "ab");
	/* OUT2 cuts the wire. */
	assert_int_equal(irqs.level[4], 1);
	rig_out(m, MCR, 0x03);
	assert_int_equal(irqs.level[4], 0);
	uart_free(m);
}

static void test_receive(void **state)
{
	struct machine *m = uart_new();

	/* Without FIFOs: one byte, the rest waits outside. */
	rig_out(m, IER, 0x01);
	type("xy");
	assert_int_equal(irqs.level[4], 1);
	assert_int_equal(rig_in(m, IIR), 0x04);
	assert_int_equal(rig_in(m, DATA), 'x');
	assert_int_equal(irqs.level[4], 0);
	loop();
	assert_int_equal(rig_in(m, DATA), 'y');
	assert_int_equal(rig_in(m, LSR), 0x60);

	/* Trigger at 8. */
	rig_out(m, IIR, 0x87);
	type("1234567");
	assert_int_equal(irqs.level[4], 0);
	assert_int_equal(rig_in(m, LSR) & 1, 1);
	type("8");
	assert_int_equal(rig_in(m, IIR), 0xc4);
	assert_int_equal(rig_in(m, DATA), '1');
	assert_int_equal(rig_in(m, IIR), 0xc1); /* below the trigger */
	/* Four character times later: timeout, ended by a read. 9600 8N1: 4 * 10 / 9600 s. */
	rig_out(m, LCR, 0x03);
	rig_in(m, DATA);
	rig_advance(m, 4100000);
	assert_int_equal(rig_in(m, IIR), 0xc1);
	rig_advance(m, 100000);
	assert_int_equal(irqs.level[4], 1);
	assert_int_equal(rig_in(m, IIR), 0xcc);
	assert_int_equal(rig_in(m, DATA), '3');
	assert_int_equal(rig_in(m, IIR), 0xc1);
	/* Clearing the FIFO empties it. */
	rig_out(m, IIR, 0x83);
	assert_int_equal(rig_in(m, LSR), 0x60);
	rig_advance(m, 10000000);
	assert_int_equal(irqs.level[4], 0);
	/* Nothing is lost of more than the FIFO holds. */
	type("0123456789abcdefghijklmn");
	for (const char *p = "0123456789abcdefghijklmn"; *p; p++) {
		if (!(rig_in(m, LSR) & 1))
			loop();
		assert_int_equal(rig_in(m, DATA), *p);
	}
	uart_free(m);
}

static void test_i8042(void **state)
{
	struct machine *m;

	memset(&irqs, 0, sizeof(irqs));
	m = rig_new(1, &irqs);
	rig_add(m, &i8042_class, "kbd", NULL);
	/* What a kernel's probe does: flush, self test, command byte, loop-back of AUX. */
	assert_int_equal(rig_in(m, 0x64) & 1, 0);
	rig_out(m, 0x64, 0xaa);
	assert_int_equal(rig_in(m, 0x64) & 1, 1);
	assert_int_equal(rig_in(m, 0x60), 0x55);
	rig_out(m, 0x64, 0xab);
	assert_int_equal(rig_in(m, 0x60), 0);
	rig_out(m, 0x64, 0x60);
	rig_out(m, 0x60, 0x47);
	rig_out(m, 0x64, 0x20);
	assert_int_equal(irqs.rises[1], 1);
	assert_int_equal(rig_in(m, 0x60), 0x47);
	assert_int_equal(irqs.level[1], 0);
	rig_out(m, 0x64, 0xd3);
	rig_out(m, 0x60, 0xa5);
	assert_int_equal(rig_in(m, 0x64) & 0x21, 0x21);
	assert_int_equal(irqs.rises[12], 1);
	assert_int_equal(rig_in(m, 0x60), 0xa5);
	rig_out(m, 0x64, 0xa7);
	rig_out(m, 0x64, 0x20);
	assert_int_equal(rig_in(m, 0x60) & 0x20, 0x20);
	rig_out(m, 0x64, 0xa8);
	rig_out(m, 0x64, 0x20);
	assert_int_equal(rig_in(m, 0x60) & 0x20, 0);
	/* Nothing is plugged in: a byte to the keyboard times out. */
	rig_out(m, 0x60, 0xff);
	assert_int_equal(rig_in(m, 0x64) & 0x41, 0x41);
	assert_int_equal(rig_in(m, 0x60), 0xfe);
	rig_free(m);
}

static void note(void *opaque, const char *event, const char *reason)
{
	*(const char **)opaque = event;
}

static void test_resets(void **state)
{
	struct machine *m = rig_new(1, NULL);
	const char *what = "";

	rig_add(m, &i8042_class, "kbd", NULL);
	rig_add(m, &port92_class, "port92", NULL);
	rig_add(m, &debug_exit_class, "exit", NULL);
	m->listener = note;
	m->listener_opaque = &what;
	machine_start(m);
	rig_out(m, 0x64, 0xfe);
	loop();
	assert_string_equal(what, "RESET");
	what = "";
	assert_int_equal(rig_in(m, 0x92), 2);
	rig_out(m, 0x92, 0);
	loop();
	assert_string_equal(what, "");
	rig_out(m, 0x92, 1);
	loop();
	assert_string_equal(what, "RESET");
	what = "";
	rig_out(m, 0x64, 0xff); /* pulses nothing */
	loop();
	assert_string_equal(what, "");
	rig_out(m, 0xf4, 0x10);
	loop();
	assert_string_equal(what, "SHUTDOWN");
	assert_int_equal(m->exit_status, 0x21);
	rig_free(m);
}

static void test_debug_console(void **state)
{
	struct machine *m = rig_new(1, NULL);
	struct device *d = device_new(m, &debug_console_class, "dbg");
	char got[4] = "";

	chr = char_open("memory", NULL);
	debug_console_set_char(d, chr);
	assert_int_equal(device_add(d, NULL), 0);
	assert_int_equal(rig_in(m, 0xe9), 0xe9);
	rig_out(m, 0xe9, 'h');
	rig_out(m, 0xe9, 'i');
	loop();
	assert_int_equal(char_memory_read(chr, got, sizeof(got)), 2);
	assert_string_equal(got, "hi");
	rig_free(m);
	char_close(chr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_i8042),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_debug_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
