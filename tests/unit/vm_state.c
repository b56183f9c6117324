/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_state.c: a whole machine saved and restored (without a CPU that runs): everything comes back,
 * a second save is the same file, and no damage of a file does more than fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h" /* before cmocka, which has a macro of the name fail */

#include <cmocka.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <zlib.h>

#include "core/clock.h"
#include "core/device.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"
#include "vm/state.h"
#include "vm/vm.h"

static char *dir;

static struct vm *make(const char *line, GError **error)
{
	g_auto(GStrv) argv = NULL;
	struct vm_spec s;
	struct vm *vm = NULL;
	int argc;

	assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	vm_spec_init(&s);
	if (vm_spec_parse(&s, argc, argv, error) == 0)
		vm = vm_new(&s, error);
	vm_spec_fini(&s);
	return vm;
}

#define LINE "--accel null --memory 8M --cpus 2 --serial null --slots 1 --net none --rng --balloon --console null"

static void disturb(struct vm *vm)
{
	struct machine *m = vm->machine;
	struct x86_cpu *c = m->vcpus[1]->arch;

	for (unsigned i = 0; i < 40; i++)
		assert_true(dma_write(m, 0x100000 + i * 0x9137, "lodge", 5));
	c->rip = 0x1234567890;
	c->gpr[R13] = 42;
	c->ymm[15][3] = 77;
	space_write(m->ports, 0x3ff, 0x5a, 1); /* the UART's scratch register */
	space_write(m->ports, 0x70, 0x0f, 1);
	vcpu_post(m->vcpus[1], VCPU_EV_NMI);
	clock_set(m->clock, 12345678901);
}

static void test_round(void **state)
{
	g_autofree char *a = g_build_filename(dir, "a", NULL),
			*b = g_build_filename(dir, "b", NULL);
	g_autofree char *line = g_strdup_printf(LINE " --load %s", a);
	g_autofree char *x = NULL, *y = NULL;
	struct vm *vm = make(LINE, NULL), *again;
	struct x86_cpu *c;
	gsize nx, ny;
	char text[6] = "";

	disturb(vm);
	assert_int_equal(vm_save(vm, a, NULL), 0);
	assert_int_equal(vm->machine->state, MACHINE_PRELAUNCH);
	again = make(line, NULL);
	assert_non_null(again);
	assert_int_equal(again->machine->state, MACHINE_PAUSED);
	c = again->machine->vcpus[1]->arch;
	assert_true(c->rip == 0x1234567890);
	assert_int_equal(c->gpr[R13], 42);
	assert_int_equal(c->ymm[15][3], 77);
	assert_true(vcpu_events(again->machine->vcpus[1]) & VCPU_EV_NMI);
	assert_true(dma_read(again->machine, 0x100000 + 39 * 0x9137, text, 5));
	assert_string_equal(text, "lodge");
	assert_int_equal(space_read(again->machine->ports, 0x3ff, 1), 0x5a);
	assert_true(clock_ns(again->machine->clock) == 12345678901);
	assert_int_equal(vm_save(again, b, NULL), 0);
	assert_true(g_file_get_contents(a, &x, &nx, NULL));
	assert_true(g_file_get_contents(b, &y, &ny, NULL));
	assert_int_equal(nx, ny);
	/* all but the first section, which holds the time of day */
	assert_memory_equal(x + nx / 2, y + nx / 2, nx - nx / 2);
	vm_free(vm);
	vm_free(again);
	g_unlink(a);
	g_unlink(b);
}

static void test_other_machine(void **state)
{
	static const struct { const char *line, *part; } bad[] = {
		{ "--accel null --memory 16M --cpus 2 --serial null --slots 1 --net none --rng --balloon --console null", "8 MiB of memory" },
		{ "--accel null --memory 8M --cpus 1 --serial null --slots 1", "with 2 CPUs" },
		{ "--accel null --memory 8M --cpus 2 --serial null --net none --rng --balloon --console null", "slot1" },
		{ "--accel null --memory 8M --cpus 2 --slots 1 --net none --rng --balloon --console null", "com1" },
	};
	g_autofree char *a = g_build_filename(dir, "a", NULL);
	struct vm *vm = make(LINE, NULL);

	assert_int_equal(vm_save(vm, a, NULL), 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autofree char *line = g_strdup_printf("%s --load %s", bad[i].line, a);
		g_autoptr(GError) error = NULL;

		assert_null(make(line, &error));
		assert_int_equal(error->code, LODGE_ERROR_STATE);
		if (!strstr(error->message, bad[i].part))
			fail_msg("'%s' lacks '%s'", error->message, bad[i].part);
	}
	/* No half-written file where one cannot be written. */
	{
		g_autoptr(GError) error = NULL;

		assert_int_equal(vm_save(vm, "/proc/nope", &error), -1);
		assert_int_equal(error->code, LODGE_ERROR_FILE);
	}
	vm_free(vm);
	g_unlink(a);
}

/* Sets the checksum of the section at `at` right again, so that damage gets past it. */
static void fix_sums(uint8_t *p, gsize n)
{
	gsize at = sizeof(struct state_file_header);

	while (at + sizeof(struct state_header) <= n) {
		struct state_header h;
		uint32_t crc;
		gsize len;

		memcpy(&h, p + at, sizeof(h));
		if (h.payload > n - at)
			return;
		len = sizeof(h) + h.id_len + h.payload;
		if (at + len + 4 > n)
			return;
		crc = crc32_z(0, p + at, len);
		memcpy(p + at + len, &crc, 4);
		at += len + 4;
	}
}

static void test_damage(void **state)
{
	g_autofree char *a = g_build_filename(dir, "a", NULL), *x = NULL;
	struct vm *vm = make(LINE, NULL);
	GRand *rnd = g_rand_new_with_seed(7);
	gsize n;

	assert_int_equal(vm_save(vm, a, NULL), 0);
	assert_true(g_file_get_contents(a, &x, &n, NULL));
	for (unsigned round = 0; round < 400; round++) {
		g_autofree uint8_t *bad = g_memdup2(x, n);
		g_autoptr(GError) error = NULL;
		gsize len = n, at = g_rand_int_range(rnd, 0, n);
		bool fixed = round % 3 == 2;

		if (round % 3 == 0)
			len = at;
		else
			bad[at] ^= 1 << g_rand_int_range(rnd, 0, 8);
		if (fixed)
			fix_sums(bad, n);
		assert_true(g_file_set_contents(a, (char *)bad, len, NULL));
		/* A right checksum over other values may well be a valid machine. */
		if (vm_restore(vm, a, &error) < 0)
			assert_non_null(error);
		else
			assert_true(fixed);
	}
	g_rand_free(rnd);
	vm_free(vm);
	g_unlink(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_other_machine),
		cmocka_unit_test(test_damage),
	};
	int rc;

	dir = g_dir_make_tmp("lodge-state-XXXXXX", NULL);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	g_rmdir(dir);
	g_free(dir);
	return rc;
}
