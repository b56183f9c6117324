/* SPDX-License-Identifier: GPL-2.0-or-later */
/* typed.c: lists of typed parameters. */
#include "wire/libvirt/typed.h"

#include <string.h>

#include "base/error.h"

static struct xdr_value *add(
	struct typed_list *l, enum xdr_value_type type, const char *name, va_list ap)
{
	struct remote_typed_param *p;

	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 16;
		l->items = g_renew(struct remote_typed_param, l->items, l->room);
	}
	p = &l->items[l->count++];
	p->field = g_strdup_vprintf(name, ap);
	p->value = (struct xdr_value){ .type = type };
	return &p->value;
}

#define ADDER(func, ctype, kind, member)                                                           \
	void func(struct typed_list *l, ctype v, const char *name, ...)                            \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, name);                                                                \
		add(l, kind, name, ap)->member = v;                                                \
		va_end(ap);                                                                        \
	}

ADDER(typed_i32, int32_t, XDR_VALUE_I32, i32)
ADDER(typed_u32, uint32_t, XDR_VALUE_U32, u32)
ADDER(typed_i64, int64_t, XDR_VALUE_I64, i64)
ADDER(typed_u64, uint64_t, XDR_VALUE_U64, u64)
ADDER(typed_f64, double, XDR_VALUE_F64, f64)
ADDER(typed_bool, bool, XDR_VALUE_BOOL, boolean)

void typed_string(struct typed_list *l, const char *v, const char *name, ...)
{
	va_list ap;

	if (!v)
		return;
	va_start(ap, name);
	add(l, XDR_VALUE_STRING, name, ap)->string = g_strdup(v);
	va_end(ap);
}

void typed_clear(struct typed_list *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		xdr_clear(&remote_typed_param_type, &l->items[i]);
	g_free(l->items);
	*l = (struct typed_list){};
}

const struct remote_typed_param *typed_find(
	const struct remote_typed_param *p, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(p[i].field, name) == 0)
			return &p[i];
	}
	return NULL;
}

int typed_get_u64(const struct remote_typed_param *p, uint32_t count, const char *name,
	uint64_t *ret, GError **error)
{
	int64_t v = 0;
	const struct remote_typed_param *found = typed_find(p, count, name);
	int rc;

	if (found && found->value.type == XDR_VALUE_U64) {
		*ret = found->value.u64;
		return 1;
	}
	rc = typed_get_i64(p, count, name, &v, error);
	if (rc == 1 && v < 0)
		return fail(error, LODGE_ERROR_USAGE, "%s is negative", name);
	if (rc == 1)
		*ret = (uint64_t)v;
	return rc;
}

int typed_get_i64(const struct remote_typed_param *p, uint32_t count, const char *name,
	int64_t *ret, GError **error)
{
	const struct remote_typed_param *found = typed_find(p, count, name);

	if (!found)
		return 0;
	switch (found->value.type) {
	case XDR_VALUE_I32:
	case XDR_VALUE_BOOL: *ret = found->value.i32; return 1;
	case XDR_VALUE_U32: *ret = found->value.u32; return 1;
	case XDR_VALUE_I64: *ret = found->value.i64; return 1;
	case XDR_VALUE_U64:
		if (found->value.u64 > INT64_MAX)
			return fail(error, LODGE_ERROR_USAGE, "%s is too large", name);
		*ret = (int64_t)found->value.u64;
		return 1;
	default: return fail(error, LODGE_ERROR_USAGE, "%s is no integer", name);
	}
}

int typed_get_string(const struct remote_typed_param *p, uint32_t count, const char *name,
	const char **ret, GError **error)
{
	const struct remote_typed_param *found = typed_find(p, count, name);

	if (!found)
		return 0;
	if (found->value.type != XDR_VALUE_STRING)
		return fail(error, LODGE_ERROR_USAGE, "%s is no string", name);
	*ret = found->value.string;
	return 1;
}
