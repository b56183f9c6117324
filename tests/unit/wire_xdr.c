/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_xdr.c: the XDR codec and libvirt's protocol: bytes by hand from RFC 4506, every type there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wire/libvirt/typed.h"

static void check_bytes(const struct xdr_type *type, const void *object, const char *hex)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	GString *text = g_string_new(NULL);

	assert_int_equal(xdr_encode(type, object, out, 1 << 20, NULL), 0);
	for (guint i = 0; i < out->len; i++)
		g_string_append_printf(text, i % 4 == 0 && i ? " %02x" : "%02x", out->data[i]);
	assert_string_equal(text->str, hex);
	g_string_free(text, TRUE);
}

static void by_hand(void **state)
{
	struct remote_connect_open_args open = { .name = (char *)"qemu", .flags = 1 };
	struct remote_nonnull_domain dom = { .name = (char *)"web01", .id = -1 };
	struct remote_domain_get_info_ret info = { 1, 0x100000002, 3, 4, UINT64_MAX };
	uint8_t map[] = { 0x05, 0xff, 0x01 };
	struct remote_domain_pin_vcpu_args pin = { .dom = { .name = (char *)"" }, .vcpu = 7, .cpumap = map,
		.cpumap_count = 3 };
	struct typed_list list = {};
	struct remote_domain_get_perf_events_ret params;

	check_bytes(&remote_connect_open_args_type, &open, "00000001 00000004 71656d75 00000001");
	open.name = NULL;
	check_bytes(&remote_connect_open_args_type, &open, "00000000 00000001");
	for (int i = 0; i < 16; i++)
		dom.uuid[i] = (uint8_t)(i * 17);
	check_bytes(&remote_nonnull_domain_type, &dom,
		"00000005 77656230 31000000 00112233 44556677 8899aabb ccddeeff ffffffff");
	check_bytes(&remote_domain_get_info_ret_type, &info,
		"00000001 00000001 00000002 00000000 00000003 00000004 ffffffff ffffffff");
	check_bytes(&remote_domain_pin_vcpu_args_type, &pin,
		"00000000 00000000 00000000 00000000 00000000 00000000 00000007 00000003 05ff0100");
	typed_u64(&list, 9, "n%d", 1);
	typed_f64(&list, 1.5, "d");
	typed_string(&list, "x", "s");
	typed_string(&list, NULL, "absent");
	params = (struct remote_domain_get_perf_events_ret) { list.items, list.count };
	check_bytes(&remote_domain_get_perf_events_ret_type, &params,
		"00000003 00000002 6e310000 00000004 00000000 00000009 00000001 64000000 00000005 3ff80000 00000000 "
		"00000001 73000000 00000007 00000001 78000000");
	typed_clear(&list);
}

/* Something in every member, from a counter. */
static void fill(const struct xdr_type *type, void *object, unsigned *n);

static void fill_one(const struct xdr_field *f, void *to, unsigned *n)
{
	unsigned v = ++*n * 2654435761u;

	switch (f->kind) {
	case XDR_I8:
	case XDR_U8:
	case XDR_BYTE:
		*(uint8_t *)to = (uint8_t)v;
		break;
	case XDR_U16:
		*(uint16_t *)to = (uint16_t)v;
		break;
	case XDR_I32:
	case XDR_U32:
		*(uint32_t *)to = v;
		break;
	case XDR_I64:
	case XDR_U64:
		*(uint64_t *)to = (uint64_t)v << 32 | ~v;
		break;
	case XDR_F64:
		*(double *)to = v / 3.0;
		break;
	case XDR_STRING:
		*(char **)to = g_strnfill(v % 9, 'a');
		break;
	case XDR_UUID:
		memset(to, (int)v, 16);
		break;
	case XDR_VALUE: {
		struct xdr_value *x = to;

		x->type = 1 + v % 7;
		if (x->type == XDR_VALUE_STRING)
			x->string = g_strdup("value");
		else
			x->u64 = x->type == XDR_VALUE_F64 || x->type == XDR_VALUE_I64 || x->type == XDR_VALUE_U64
				? 0x0102030405060708 : v;
		break;
	}
	case XDR_STRUCT:
		fill(f->type, to, n);
		break;
	}
}

static size_t size_of(const struct xdr_field *f)
{
	static const size_t sizes[] = { 1, 1, 2, 4, 4, 8, 8, 8, sizeof(char *), 16, 1, sizeof(struct xdr_value) };

	return f->kind == XDR_STRUCT ? f->type->size : sizes[f->kind];
}

static void fill(const struct xdr_type *type, void *object, unsigned *n)
{
	for (uint32_t i = 0; i < type->field_count; i++) {
		const struct xdr_field *f = &type->fields[i];
		char *at = (char *)object + f->offset;
		uint32_t count = f->shape == XDR_FIXED ? f->limit : MIN(3, f->limit);

		if (f->shape == XDR_ONE || (f->shape == XDR_OPTIONAL && f->kind == XDR_STRING)) {
			fill_one(f, at, n);
			continue;
		}
		if (f->shape == XDR_OPTIONAL) {
			*(void **)at = g_malloc0(size_of(f));
			fill_one(f, *(void **)at, n);
			continue;
		}
		if (f->shape == XDR_LIST) {
			*(uint32_t *)((char *)object + f->count_offset) = count;
			*(void **)at = g_malloc0(size_of(f) * count);
			at = *(void **)at;
		}
		for (uint32_t k = 0; k < count; k++)
			fill_one(f, at + k * size_of(f), n);
	}
}

static void there_and_back(const struct xdr_type *type)
{
	g_autofree void *a = g_malloc0(type->size), *b = g_malloc0(type->size);
	g_autoptr(GByteArray) first = g_byte_array_new(), second = g_byte_array_new();
	unsigned n = 0;

	fill(type, a, &n);
	assert_int_equal(xdr_encode(type, a, first, 1 << 20, NULL), 0);
	assert_true(first->len >= type->least && first->len % 4 == 0);
	assert_int_equal(xdr_decode(type, b, first->data, first->len, NULL, NULL), 0);
	assert_int_equal(xdr_encode(type, b, second, 1 << 20, NULL), 0);
	assert_int_equal(first->len, second->len);
	assert_memory_equal(first->data, second->data, first->len);
	xdr_clear(type, a);
	xdr_clear(type, b);
	/* Cut anywhere, it is refused, and nothing stays behind (the sanitizer watches). */
	for (guint len = 0; len < first->len; len++) {
		g_autofree uint8_t *cut = g_memdup2(first->data, len);
		GError *error = NULL;

		assert_int_equal(xdr_decode(type, b, cut, len, NULL, &error), -1);
		assert_non_null(error);
		g_error_free(error);
	}
}

static void all_types(void **state)
{
	unsigned count = 0;

	for (unsigned i = 0; i < remote_procedure_count + qemu_procedure_count; i++) {
		const struct wire_procedure *p = i < remote_procedure_count
			? &remote_procedures[i] : &qemu_procedures[i - remote_procedure_count];

		if (p->args)
			there_and_back(p->args);
		if (p->ret)
			there_and_back(p->ret);
		count++;
	}
	assert_true(count > 440);
}

static void limits(void **state)
{
	struct remote_domain_get_scheduler_parameters_ret many = { .params_count = 17 };
	struct remote_domain_lookup_by_name_args name = {};
	g_autoptr(GByteArray) out = g_byte_array_new();
	GError *error = NULL;

	many.params = g_new0(struct remote_typed_param, 17);
	assert_int_equal(xdr_encode(&remote_domain_get_scheduler_parameters_ret_type, &many, out, 1 << 20, &error), -1);
	assert_int_equal(out->len, 0);
	g_clear_error(&error);
	g_free(many.params);
	name.name = g_strnfill(XDR_STRING_MAX + 1, 'x');
	assert_int_equal(xdr_encode(&remote_domain_lookup_by_name_args_type, &name, out, 64 << 20, &error), -1);
	g_clear_error(&error);
	name.name[XDR_STRING_MAX] = 0;
	assert_int_equal(xdr_encode(&remote_domain_lookup_by_name_args_type, &name, out, 64 << 20, NULL), 0);
	g_byte_array_set_size(out, 0);
	assert_int_equal(xdr_encode(&remote_domain_lookup_by_name_args_type, &name, out, 1000, &error), -1);
	g_clear_error(&error);
	g_free(name.name);
}

static void numbers_by_name(void **state)
{
	struct typed_list l = {};
	uint64_t u = 1;
	int64_t i = 1;
	const char *s = NULL;
	GError *error = NULL;

	typed_i32(&l, -5, "i");
	typed_u64(&l, UINT64_MAX, "u");
	typed_string(&l, "text", "s");
	typed_bool(&l, true, "b");
	assert_int_equal(typed_get_i64(l.items, l.count, "i", &i, NULL), 1);
	assert_int_equal(i, -5);
	assert_int_equal(typed_get_u64(l.items, l.count, "u", &u, NULL), 1);
	assert_true(u == UINT64_MAX);
	assert_int_equal(typed_get_u64(l.items, l.count, "i", &u, &error), -1);
	g_clear_error(&error);
	assert_int_equal(typed_get_i64(l.items, l.count, "u", &i, &error), -1);
	g_clear_error(&error);
	assert_int_equal(typed_get_u64(l.items, l.count, "s", &u, &error), -1);
	g_clear_error(&error);
	assert_int_equal(typed_get_u64(l.items, l.count, "absent", &u, NULL), 0);
	assert_int_equal(typed_get_u64(l.items, l.count, "b", &u, NULL), 1);
	assert_int_equal(u, 1);
	assert_int_equal(typed_get_string(l.items, l.count, "s", &s, NULL), 1);
	assert_string_equal(s, "text");
	assert_int_equal(typed_get_string(l.items, l.count, "i", &s, &error), -1);
	g_clear_error(&error);
	typed_clear(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand), cmocka_unit_test(all_types), cmocka_unit_test(limits),
		cmocka_unit_test(numbers_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
