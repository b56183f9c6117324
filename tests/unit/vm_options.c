/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_options.c: the command line: what it makes of words, and one clear line for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h" /* before cmocka, which has a macro of the name fail */

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "vm/parts.h"
#include "vm/spec.h"

static int parse(struct vm_spec *s, const char *line, GError **error)
{
	g_auto(GStrv) argv = NULL;
	int argc;

	assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	vm_spec_init(s);
	return vm_spec_parse(s, argc, argv, error);
}

static const struct part *nth(const struct vm_spec *s, guint i)
{
	assert_true(i < s->parts->len);
	return g_ptr_array_index(s->parts, i);
}

static void test_good(void **state)
{
	struct vm_spec s;

	assert_int_equal(parse(&s,
				 "--cpus 4 --memory=1536M --kernel /b/vm,,linuz --append 'a --b' "
				 "--serial unix:/s,server --serial tcp:h:1,server,id=ser "
				 "--hugepages --accel jit",
				 NULL),
		0);
	assert_int_equal(s.cpus, 4);
	assert_true(s.memory == 1536ull << 20);
	assert_true(s.hugepages);
	assert_false(s.paused);
	assert_string_equal(s.append, "a --b");
	assert_string_equal(s.accel, "jit");
	assert_string_equal(part_get(nth(&s, 0), "path"), "/b/vm,linuz");
	assert_string_equal(part_get(nth(&s, 1), "to"), "unix:/s,server");
	assert_string_equal(nth(&s, 1)->id, "serial0");
	assert_string_equal(part_get(nth(&s, 2), "to"), "tcp:h:1,server");
	assert_string_equal(nth(&s, 2)->id, "ser");
	vm_spec_fini(&s);
	assert_int_equal(parse(&s, "--cpus 1", NULL), 0);
	assert_int_equal(s.cpus, 1);
	assert_true(s.memory == 256 << 20);
	assert_string_equal(s.accel, "auto");
	vm_spec_fini(&s);
	assert_int_equal(
		parse(&s, "--rng --balloon deflate_on_oom=off --disk /d,queues=4,serial=x", NULL),
		0);
	assert_int_equal(s.parts->len, 3);
	assert_string_equal(part_get(nth(&s, 1), "deflate_on_oom"), "off");
	assert_string_equal(part_get(nth(&s, 2), "queues"), "4");
	vm_spec_fini(&s);
	assert_int_equal(parse(&s, "--kernel path=/x=y,format=raw", NULL), 0);
	assert_string_equal(part_get(nth(&s, 0), "path"), "/x=y");
	vm_spec_fini(&s);
	assert_int_equal(parse(&s, "--kernel /x=y", NULL), 0);
	assert_string_equal(part_get(nth(&s, 0), "path"), "/x=y");
	vm_spec_fini(&s);
}

static void test_bad(void **state)
{
	static const struct { const char *line, *part; } bad[] = {
		{ "--cpu", "--cpu needs a value" },
		{ "--memroy 3", "did you mean '--memory'?" },
		{ "--kernal x", "did you mean '--kernel'?" },
		{ "--hepl", "did you mean '--help'?" },
		{ "--frobnicate", "see --help" },
		{ "disk.img", "Options begin with '--'" },
		{ "--", "Options begin with '--'" },
		{ "--cpus x", "--cpus: 'x' is no number" },
		{ "--cpus 4294967296", "too large" },
		{ "--memory 2X", "--memory: '2X' is no size" },
		{ "--memory -1", "'-1'" },
		{ "--hugepages=maybe", "neither on nor off" },
		{ "--cpus --memory 1G", "--cpus needs a value" },
		{ "--kernel x,fromat=raw", "did you mean 'format'?" },
		{ "--kernel x,format", "needs a value" },
		{ "--disk x,seriall=3", "did you mean 'serial'?" },
		{ "--disk readonly=on", "path is missing" },
		{ "--net user,frward=tcp:1:2", "did you mean 'forward'?" },
		{ "--hugepages yes", "what is 'yes'?" },
		{ "--kernel x,", "an empty property" },
		{ "--kernel format=raw", "path is missing" },
		{ "--kernel a --kernel b", "only once" },
		{ "--serial null --serial null --serial null --serial null --serial null", "4 times" },
		{ "--serial null,id=a --serial null,id=a", "'a' is taken" },
		{ "--serial null,id=a/b", "letters" },
		{ "--serial ''", "an empty property" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		struct vm_spec s;

		assert_int_equal(parse(&s, bad[i].line, &error), -1);
		if (!strstr(error->message, bad[i].part))
			fail_msg("%s: '%s' lacks '%s'", bad[i].line, error->message, bad[i].part);
		assert_null(strchr(error->message, '\n'));
		assert_int_equal(error->code, LODGE_ERROR_USAGE);
		vm_spec_fini(&s);
	}
}

/* Every row of the table is in the help and in the manual, and has its own help where it has
 * properties. */
static void test_manual(void **state)
{
	g_autofree char *help = vm_help(NULL, NULL), *man = vm_man();

	for (const struct vm_option *o = vm_options; o->name; o++) {
		g_autofree char *dashed = g_strdup_printf("  --%s", o->name);
		g_autofree char *one = vm_help(o->name, NULL);
		g_autoptr(GString) roff = g_string_new(dashed + 2);

		g_string_replace(roff, "-", "\\-", 0);
		assert_non_null(strstr(help, dashed));
		assert_non_null(strstr(man, roff->str));
		assert_non_null(strstr(one, dashed));
		assert_true(!o->part == !strstr(one, "Properties:"));
		assert_non_null(o->help);
	}
	for (const char *line = help; *line;) {
		const char *end = strchr(line, '\n');

		assert_true(end - line <= 80);
		line = end + 1;
	}
	assert_null(vm_help("dsik", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
