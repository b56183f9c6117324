/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board_acpi.c: the ACPI tables against ACPICA's compiler: every table is disassembled and, the
 * DSDT, compiled again without an error or warning to the same bytes. The oracle is iasl
 * (acpica-tools).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "board/pc/acpi.h"

enum { BASE = 0xe0000 };

static unsigned gsi(const void *opaque, unsigned device, unsigned pin)
{
	return 16 + (device + pin) % 8;
}

static struct acpi_spec spec(unsigned cpus)
{
	return (struct acpi_spec){
		.cpus = cpus, .lapic_base = 0xfee00000, .ioapic_base = 0xfec00000, .sci = 9,
		.pm1_event = 0x600, .pm1_control = 0x604, .pm_timer = 0x608, .s5_type = 5,
		.reset_port = 0xcf9, .reset_value = 6, .rtc_port = 0x70,
		.uart = { { 0x3f8, 4 }, { 0x2f8, 3 } }, .ecam_base = 0xe0000000, .ecam_buses = 256,
		.mmio32_base = 0xc0000000, .mmio32_size = 0x20000000, .mmio64_base = 1ull << 38,
		.mmio64_size = 1ull << 38, .pci_gsi = gsi,
	};
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

static uint64_t le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static void run(const char *dir, const char *const *argv, char **out)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *err = NULL;
	int status = -1;

	if (!g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, out, &err,
		    &status, &error))
		fail_msg("%s", error->message);
	if (status)
		fail_msg("%s %s failed:\n%s%s", argv[0], argv[1], *out, err);
}

static void through_iasl(const char *dir, const char *name, const uint8_t *p, size_t n)
{
	g_autofree char *aml = g_strdup_printf("%s.aml", name),
			*dsl = g_strdup_printf("%s.dsl", name);
	g_autofree char *path = g_build_filename(dir, aml, NULL), *out = NULL, *out2 = NULL;
	g_autofree char *again_path = g_strdup_printf("%s/%s2.aml", dir, name), *again = NULL;
	g_autofree char *base2 = g_strdup_printf("%s2", name);
	const char *disassemble[] = { "iasl", "-d", aml, NULL };
	const char *compile[] = { "iasl", "-we", "-p", base2, dsl, NULL };
	gsize len;

	assert_true(g_file_set_contents(path, (const char *)p, n, NULL));
	run(dir, disassemble, &out);
	run(dir, compile, &out2);
	assert_non_null(strstr(out2, " 0 Errors"));
	assert_true(g_file_get_contents(again_path, &again, &len, NULL));
	assert_int_equal(len, n);
	/* all but the header's checksum and compiler fields */
	assert_memory_equal(again + 36, p + 36, n - 36);
}

static void check_tables(unsigned cpus)
{
	struct acpi_spec s = spec(cpus);
	GByteArray *b = acpi_build(&s, BASE);
	const uint8_t *p = b->data, *xsdt;
	g_autofree char *dir = g_dir_make_tmp("lodge-acpi-XXXXXX", NULL);
	const char *clean[] = { "rm", "-rf", dir, NULL };
	g_autofree char *out = NULL;
	unsigned seen = 0;

	assert_memory_equal(p, "RSD PTR ", 8);
	assert_int_equal(sum(p, 20), 0);
	assert_int_equal(sum(p, 36), 0);
	assert_true(b->len <= 0x20000);
	xsdt = p + le(p + 24, 8) - BASE;
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_int_equal(sum(xsdt, le(xsdt + 4, 4)), 0);
	for (unsigned i = 36; i < le(xsdt + 4, 4); i += 8) {
		const uint8_t *t = p + le(xsdt + i, 8) - BASE;
		g_autofree char *name = g_strndup((const char *)t, 4);

		assert_int_equal(sum(t, le(t + 4, 4)), 0);
		through_iasl(dir, name, t, le(t + 4, 4));
		if (memcmp(t, "FACP", 4) == 0) {
			const uint8_t *dsdt = p + le(t + 40, 4) - BASE,
				      *facs = p + le(t + 36, 4) - BASE;

			assert_memory_equal(facs, "FACS", 4);
			assert_int_equal((facs - p) % 64, 0);
			assert_int_equal(le(t + 40, 4), le(t + 140, 8));
			assert_int_equal(sum(dsdt, le(dsdt + 4, 4)), 0);
			through_iasl(dir, "DSDT", dsdt, le(dsdt + 4, 4));
		}
		seen++;
	}
	assert_int_equal(seen, 3);
	run("/", clean, &out);
	g_byte_array_unref(b);
}

static void test_tables(void **state)
{
	g_autofree char *iasl = g_find_program_in_path("iasl");

	if (!iasl) {
		print_message("iasl (acpica-tools) is not installed\n");
		skip();
	}
	check_tables(1);
	check_tables(4);
	check_tables(255);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
