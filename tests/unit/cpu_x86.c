/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu_x86.c: CPU models, CPUID leaves and the reset state. The host kernel's own list of features
 * is the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "cpu/x86/cpuid.h"
#include "cpu/x86/state.h"

static void host_features_match_the_kernels_list(void **state)
{
	/* Names the kernel shows exactly when the CPU has the bit. */
	static const char *const sure[] = { "fpu", "pae", "sse2", "syscall", "nx", "lm", "pni",
		"ssse3", "sse4_1", "sse4_2", "popcnt", "aes", "avx2", "bmi1", "bmi2", "erms",
		"rdtscp", "abm", "movbe", "sha_ni", "rdseed", "adx", "clflushopt", "umip", "rdpid",
		"fsrm", "xsaveopt", "xsavec", "lahf_lm", "topoext", "arat", "pdpe1gb", "invpcid",
		"sse4a", "gfni" };
	g_autofree char *text = NULL;
	struct x86_features f;
	char *line;

	assert_true(g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL));
	line = strstr(text, "\nflags");
	if (!line)
		skip();
	*strchrnul(line + 1, '\n') = 0;
	x86_features_host(&f);
	for (size_t i = 0; i < G_N_ELEMENTS(sure); i++) {
		g_autofree char *word = g_strdup_printf(" %s ", sure[i]);
		g_autofree char *flags = g_strdup_printf("%s ", line);
		enum x86_feature_word w;
		unsigned bit;

		assert_true(x86_feature_find(sure[i], &w, &bit));
		assert_string_equal(x86_feature_name(w, bit), sure[i]);
		if ((f.word[w] >> bit & 1) != (strstr(flags, word) != NULL))
			fail_msg("%s", sure[i]);
	}
}

static bool has(const struct x86_features *f, const char *name)
{
	enum x86_feature_word w;
	unsigned bit;

	assert_true(x86_feature_find(name, &w, &bit));
	return f->word[w] >> bit & 1;
}

static void models_hold_what_they_name(void **state)
{
	g_autoptr(GError) err = NULL;
	struct x86_features all, none = { 0 }, out;

	memset(&all, 0xff, sizeof(all));
	all.intel = false;
	assert_int_equal(x86_model_features("x86-64-v2", &all, &out, &err), 0);
	assert_true(has(&out, "sse4_2") && has(&out, "cx16") && has(&out, "lahf_lm"));
	assert_false(has(&out, "avx") || has(&out, "avx512f") || has(&out, "bmi1"));
	assert_int_equal(x86_model_features("x86-64-v3,-movbe,+aes", &all, &out, &err), 0);
	assert_true(has(&out, "avx2") && has(&out, "abm") && has(&out, "aes"));
	assert_false(has(&out, "movbe"));
	assert_int_equal(x86_model_features("x86-64-v3,-xsave", &all, &out, &err), 0);
	assert_false(has(&out, "avx") || has(&out, "avx2") || has(&out, "xsaveopt"));
	assert_int_equal(x86_model_features("x86-64-v2", &none, &out, &err), -1);
	assert_non_null(strstr(err->message, "sse4_2"));
	g_clear_error(&err);
	assert_int_equal(x86_model_features("max,+avx9", &all, &out, &err), -1);
	assert_non_null(strstr(err->message, "avx9"));
	g_clear_error(&err);
	assert_int_equal(x86_model_features("pentium", &all, &out, &err), -1);
	g_clear_error(&err);
	assert_int_equal(x86_model_features("max", &all, &out, &err), 0);
	assert_true(has(&out, "avx512f"));
}

static void leaves_agree_with_features(void **state)
{
	unsigned n;
	struct x86_features host, out;
	g_autofree struct x86_cpuid_leaf *l = NULL;
	uint32_t r[4];

	x86_features_host(&host);
	host.intel = false;
	assert_int_equal(x86_model_features("max", &host, &out, NULL), 0);
	l = x86_cpuid_build(&out, 6, 5, 2600000, 40, &n);
	x86_cpuid_get(l, n, 0, 0, r);
	assert_memory_equal(&r[1], "Auth", 4);
	x86_cpuid_get(l, n, 1, 7, r);
	assert_int_equal(r[1] >> 24, 5);
	assert_int_equal(r[1] >> 16 & 0xff, 8);
	assert_int_equal(r[2], out.word[FEAT_1_ECX]);
	x86_cpuid_get(l, n, 0xb, 1, r);
	assert_int_equal(r[0], 3);
	assert_int_equal(r[1], 6);
	assert_int_equal(r[3], 5);
	x86_cpuid_get(l, n, 0xb, 9, r);
	assert_int_equal(r[2], 9);
	assert_int_equal(r[3], 5);
	x86_cpuid_get(l, n, 0x80000008, 0, r);
	assert_int_equal(r[0], 40 | 48 << 8);
	assert_int_equal(r[2], 5 | 3 << 12);
	x86_cpuid_get(l, n, 0x80000001, 0, r);
	assert_int_equal(r[3] & 0x0183f3ff, out.word[FEAT_1_EDX] & 0x0183f3ff);
	x86_cpuid_get(l, n, 0x1fffffff, 0, r);
	assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
	if (x86_features_xcr0(&out) == 7) {
		x86_cpuid_get(l, n, 0xd, 0, r);
		assert_int_equal(r[0], 7);
		assert_int_equal(r[2], 576 + 256);
	}
}

static void intel_answers_past_the_end_with_the_last_leaf(void **state)
{
	struct x86_features f = { .intel = true };
	g_autofree struct x86_cpuid_leaf *l = NULL;
	uint32_t last[4], r[4];
	unsigned n;

	l = x86_cpuid_build(&f, 1, 0, 2000000, 36, &n);
	x86_cpuid_get(l, n, 0, 0, r);
	assert_int_equal(r[0], 0x15);
	x86_cpuid_get(l, n, 0x15, 0, last);
	assert_int_equal(last[1], 2000000);
	x86_cpuid_get(l, n, 0x16, 0, r);
	assert_memory_equal(r, last, sizeof(r));
}

static void reset_and_init(void **state)
{
	struct x86_cpu c = { .apic_id = 3, .tsc = 77 };

	x86_cpu_reset(&c, true, false);
	assert_int_equal(c.seg[SEG_CS].base + c.rip, 0xfffffff0);
	assert_int_equal(c.cr0, 0x60000010);
	assert_int_equal(c.apic_base, 0xfee00900);
	assert_int_equal(c.activity, X86_RUNNING);
	assert_int_equal(c.apic_id, 3);
	assert_int_equal(c.tsc, 77);
	c.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET;
	c.ymm[3][1] = 5;
	c.mtrr_def = 0xc06;
	c.efer = X86_EFER_LMA;
	x86_cpu_reset(&c, false, true);
	assert_int_equal(c.cr0, 0x10);
	assert_int_equal(c.ymm[3][1], 5);
	assert_int_equal(c.mtrr_def, 0xc06);
	assert_int_equal(c.efer, 0);
	assert_int_equal(c.activity, X86_WAIT_SIPI);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_features_match_the_kernels_list),
		cmocka_unit_test(models_hold_what_they_name),
		cmocka_unit_test(leaves_agree_with_features),
		cmocka_unit_test(intel_answers_past_the_end_with_the_last_leaf),
		cmocka_unit_test(reset_and_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
