/* SPDX-License-Identifier: GPL-2.0-or-later */
/* core_stream.c: state round trips, versions, and every single-byte damage of a saved object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "base/field.h"
#include "core/stream.h"

struct part {
	uint16_t a;
	bool b;
};
struct thing {
	uint8_t u8;
	uint32_t u32[3];
	uint64_t late;
	bool flag;
	char *text, *none;
	uint8_t raw[5];
	struct part parts[2];
	GByteArray *blob;
};
static const struct field part_state[] = {
	FIELD(struct part, a, FIELD_U16),
	FIELD(struct part, b, FIELD_BOOL),
	{ 0 },
};
static const struct field thing_state[] = {
	FIELD(struct thing, u8, FIELD_U8),
	FIELD_ARRAY(struct thing, u32, FIELD_U32, 3),
	{ .name = "late", .offset = offsetof(struct thing, late), .count = 1, .kind = FIELD_U64,
		.since = 2 },
	FIELD(struct thing, flag, FIELD_BOOL),
	FIELD(struct thing, text, FIELD_STRING),
	FIELD(struct thing, none, FIELD_STRING),
	FIELD_ARRAY(struct thing, raw, FIELD_BYTES, 5),
	FIELD_SUB(struct thing, parts, part_state, 2, struct part),
	FIELD_ARRAY(struct thing, blob, FIELD_BLOB, 64),
	{ 0 },
};

static void thing_clear(struct thing *t)
{
	g_free(t->text);
	g_free(t->none);
	if (t->blob)
		g_byte_array_unref(t->blob);
}

static GByteArray *saved(void)
{
	struct thing t = { .u8 = 1, .u32 = { 2, 3, 0xfffffff0 }, .late = 9, .flag = true,
		.raw = { 1, 2, 3, 4, 5 }, .parts = { { 7, false }, { 8, true } } };
	GByteArray *out = g_byte_array_new();

	t.text = g_strdup("hello");
	t.blob = g_byte_array_new();
	g_byte_array_append(t.blob, (const uint8_t *)"blobby", 6);
	state_put(out, thing_state, &t);
	thing_clear(&t);
	return out;
}

static void test_round(void **state)
{
	GByteArray *b = saved();
	GByteArray *again = g_byte_array_new();
	struct thing t = { 0 };

	assert_int_equal(state_get(b->data, b->len, thing_state, 2, &t, NULL), 0);
	assert_int_equal(t.u32[2], 0xfffffff0);
	assert_string_equal(t.text, "hello");
	assert_null(t.none);
	assert_int_equal(t.parts[1].a, 8);
	assert_int_equal(t.blob->len, 6);
	state_put(again, thing_state, &t);
	assert_int_equal(again->len, b->len);
	assert_memory_equal(again->data, b->data, b->len);
	thing_clear(&t);
	g_byte_array_unref(b);
	g_byte_array_unref(again);
}

static void test_older(void **state)
{
	struct field old[G_N_ELEMENTS(thing_state)];
	struct thing t = { .u8 = 5 }, u = { .late = 1234 };
	GByteArray *b = g_byte_array_new();

	/* what a version-1 writer knew: everything but `late` */
	memcpy(old, thing_state, sizeof(old));
	memmove(&old[2], &old[3], sizeof(old) - 3 * sizeof(old[0]));
	state_put(b, old, &t);
	assert_int_equal(state_get(b->data, b->len, thing_state, 1, &u, NULL), 0);
	assert_int_equal(u.u8, 5);
	assert_int_equal(u.late, 1234);
	assert_int_equal(state_get(b->data, b->len, thing_state, 2, &u, NULL), -1);
	thing_clear(&t);
	thing_clear(&u);
	g_byte_array_unref(b);
}

/* Cut anywhere: refused. Any byte changed: refused or an object that can be freed. */
static void test_hostile(void **state)
{
	GByteArray *b = saved();

	for (unsigned n = 0; n < b->len; n++) {
		g_autofree uint8_t *copy = g_memdup2(b->data, n);
		g_autoptr(GError) error = NULL;
		struct thing t = { 0 };

		assert_int_equal(state_get(copy, n, thing_state, 2, &t, &error), -1);
		assert_non_null(error);
		thing_clear(&t);
	}
	for (unsigned i = 0; i < b->len; i++) {
		for (unsigned v = 0; v < 256; v += 5) {
			g_autofree uint8_t *copy = g_memdup2(b->data, b->len);
			struct thing t = { 0 };

			copy[i] = v;
			state_get(copy, b->len, thing_state, 2, &t, NULL);
			if (t.blob)
				assert_true(t.blob->len <= 64);
			assert_true(*(uint8_t *)&t.flag <= 1);
			thing_clear(&t);
		}
	}
	g_byte_array_unref(b);
}

static void test_text(void **state)
{
	static const struct field f = { .name = "s", .kind = FIELD_SIZE, .count = 1 };
	static const struct { const char *in, *out; } ok[] = {
		{ "0", "0" }, { "1024", "1K" }, { "512M", "512M" }, { "2G", "2G" }, { "1GiB", "1G" },
		{ "3t", "3T" }, { "1025", "1025" }, { "0x1000", "4K" },
	};
	static const char *const bad[] = { "", "x", "-1", "1.5G", "1X", "1Gi", "16777216T", "1 G",
		"99999999999999999999", "0x", "+3", NULL };
	uint64_t v;

	for (unsigned i = 0; i < G_N_ELEMENTS(ok); i++) {
		g_autofree char *text = NULL;

		assert_int_equal(field_parse(&f, &v, ok[i].in, NULL), 0);
		text = field_format(&f, &v);
		assert_string_equal(text, ok[i].out);
	}
	for (unsigned i = 0; bad[i]; i++)
		assert_int_equal(field_parse(&f, &v, bad[i], NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_older),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
