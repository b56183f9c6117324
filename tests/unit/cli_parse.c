/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cli_parse.c: options as people type them, sizes, tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/table.h"
#include "cli/verb.h"

static const char *const colors[] = { "red", "green", NULL };

static const struct cli_option options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "" },
	{ "more", 0, CLI_TEXT, CLI_POSITIONAL | CLI_MANY, .help = "" },
	{ "force", 'f', CLI_FLAG, .help = "" },
	{ "size", 's', CLI_SIZE, .help = "" },
	{ "count", 'n', CLI_NUMBER, .help = "" },
	{ "option", 'o', CLI_TEXT, CLI_MANY, .help = "" },
	{ "color", 0, CLI_CHOICE, .choices = colors, .help = "" },
	{ NULL },
};

static const struct cli_verb verb = { "test", "Test", NULL, options, NULL };
static const struct cli_group group = { "group", "Group", &verb };

struct parsed {
	struct cli c;
	char **words;
	char *message; /* of the failure */
};

static void parse(struct parsed *p, const char *words)
{
	GError *error = NULL;
	int taken, r;

	*p = (struct parsed){ .words = g_strsplit(words, " ", -1) };
	cli_init(&p->c);
	p->c.verb = &verb;
	p->c.group = &group;
	r = cli_parse(&p->c, p->words, &taken, &error);
	assert_int_equal(r, error ? -1 : 0);
	p->message = error ? g_strdup(error->message) : NULL;
	g_clear_error(&error);
}

static void done(struct parsed *p)
{
	cli_fini(&p->c);
	g_strfreev(p->words);
	g_free(p->message);
}

static void test_spellings(void **state)
{
	static const char *const same[] = {
		"a.img --size 2G -f --count=-5 --option x --option=y b c",
		"-fs2G -n -5 -ox a.img -o y b c", "--file a.img -f -s 2048M -n-5 b -o x -o y -- c",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(same); i++) {
		struct parsed p;

		parse(&p, same[i]);
		assert_null(p.message);
		assert_string_equal(cli_text(&p.c, "file"), "a.img");
		assert_true(cli_flag(&p.c, "force"));
		assert_int_equal(cli_size(&p.c, "size", 0), 2ull << 30);
		assert_int_equal(cli_number(&p.c, "count", 0), -5);
		assert_string_equal(cli_texts(&p.c, "option")[0], "x");
		assert_string_equal(cli_texts(&p.c, "option")[1], "y");
		assert_null(cli_texts(&p.c, "option")[2]);
		assert_string_equal(cli_texts(&p.c, "more")[1], "c");
		assert_false(cli_has(&p.c, "color"));
		done(&p);
	}
}

static void test_refusals(void **state)
{
	static const char *const bad[][2] = {
		{ "-f", "FILE is missing" },
		{ "a --sise 5", "did you mean '--size'" },
		{ "a --size", "needs a value" },
		{ "a --size 5Q", "is no size" },
		{ "a --count 5x", "is no number" },
		{ "a --color gren", "did you mean 'green'" },
		{ "a --force=1", "takes no value" },
		{ "a -x", "no option '-x'" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct parsed p;

		parse(&p, bad[i][0]);
		assert_non_null(p.message);
		if (!strstr(p.message, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], p.message);
		done(&p);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 }, { "512", 512 }, { "1k", 1024 }, { "1.5T", 3ull << 39 }, { "10MB", 10000000 },
		{ "64KiB", 65536 }, { "8E", 8ull << 60 }, { "0x200", 512 },
		{ "18446744073709551615", UINT64_MAX }, { "9007199254740993", 9007199254740993ull },
	};
	static const char *const bad[] = { "", "-1", "5X", "1.5.2", "16E", "99999999999999999999", "G" };
	uint64_t n;

	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		assert_int_equal(size_parse(good[i].text, &n, NULL), 0);
		assert_int_equal(n, good[i].bytes);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_int_equal(size_parse(bad[i], &n, NULL), -1);
}

static void test_table(void **state)
{
	static const struct table_column columns[] = {
		{ "Name", TABLE_FLEX }, { "Size", TABLE_RIGHT }, { NULL },
	};
	struct table *t = table_new(columns);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	table_cell(t, "a-name-that-is-much-too-long");
	table_cell(t, "5");
	table_cell(t, "b\033[2J");
	table_cell(t, "1234");
	table_print(t, f, 20, FALSE);
	fclose(f);
	assert_string_equal(text, "Name            Size\na-name-that-i…     5\nb?[2J           1234\n");
	free(text);
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
