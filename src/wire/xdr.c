/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xdr.c: encode, decode and free by table. Spec: RFC 4506. */
#include "wire/xdr.h"

#include <string.h>

#include "base/error.h"

struct reader {
	const uint8_t *at;
	size_t left;
	const char *where; /* the field, for messages */
	GError **error;
};

struct writer {
	GByteArray *out;
	size_t max; /* of out->len */
	const char *where;
	GError **error;
};

/* Sizes of one element in memory and its least on the wire. */
static size_t element_size(const struct xdr_field *f)
{
	static const uint8_t sizes[] = {
		[XDR_I8] = 1, [XDR_U8] = 1, [XDR_U16] = 2, [XDR_I32] = 4, [XDR_U32] = 4, [XDR_I64] = 8,
		[XDR_U64] = 8, [XDR_F64] = 8, [XDR_STRING] = sizeof(char *), [XDR_UUID] = 16, [XDR_BYTE] = 1,
		[XDR_VALUE] = sizeof(struct xdr_value),
	};
	return f->kind == XDR_STRUCT ? f->type->size : sizes[f->kind];
}

static size_t element_least(const struct xdr_field *f)
{
	switch (f->kind) {
	case XDR_STRUCT:
		return f->type->least;
	case XDR_UUID:
		return 16;
	case XDR_BYTE:
		return 1;
	case XDR_I64:
	case XDR_U64:
	case XDR_F64:
	case XDR_VALUE:
		return 8;
	default:
		return 4;
	}
}

static int take(struct reader *r, size_t n, const uint8_t **ret)
{
	if (r->left < n)
		return fail(r->error, LODGE_ERROR_USAGE, "the message ends within '%s'", r->where);
	*ret = r->at;
	r->at += n;
	r->left -= n;
	return 0;
}

static int take_u32(struct reader *r, uint32_t *ret)
{
	const uint8_t *p = NULL;

	if (take(r, 4, &p) < 0)
		return -1;
	*ret = xdr_get_u32(p);
	return 0;
}

static int take_u64(struct reader *r, uint64_t *ret)
{
	const uint8_t *p = NULL;

	if (take(r, 8, &p) < 0)
		return -1;
	*ret = (uint64_t)xdr_get_u32(p) << 32 | xdr_get_u32(p + 4);
	return 0;
}

/* `n` bytes and what pads them to a multiple of 4. */
static int take_padded(struct reader *r, size_t n, const uint8_t **ret)
{
	const uint8_t *pad;

	return take(r, n, ret) < 0 ? -1 : take(r, -n & 3, &pad);
}

static int take_string(struct reader *r, char **ret)
{
	uint32_t n;
	const uint8_t *p = NULL;

	if (take_u32(r, &n) < 0)
		return -1;
	if (n > XDR_STRING_MAX)
		return fail(r->error, LODGE_ERROR_USAGE, "'%s' is a string of %u bytes, more than %u",
			r->where, n, XDR_STRING_MAX);
	if (take_padded(r, n, &p) < 0)
		return -1;
	if (memchr(p, 0, n))
		return fail(r->error, LODGE_ERROR_USAGE, "'%s' is a string with a NUL in it", r->where);
	*ret = g_try_malloc(n + 1);
	if (!*ret)
		return fail(r->error, LODGE_ERROR_HOST, "no memory for '%s'", r->where);
	memcpy(*ret, p, n);
	(*ret)[n] = 0;
	return 0;
}

static int take_value(struct reader *r, struct xdr_value *v)
{
	uint32_t type, x = 0;

	if (take_u32(r, &type) < 0)
		return -1;
	switch (type) {
	case XDR_VALUE_I32:
	case XDR_VALUE_U32:
	case XDR_VALUE_BOOL:
		v->type = type;
		if (take_u32(r, &x) < 0)
			return -1;
		v->u32 = x;
		return 0;
	case XDR_VALUE_I64:
	case XDR_VALUE_U64:
	case XDR_VALUE_F64:
		v->type = type;
		return take_u64(r, &v->u64); /* a double has the same bits */
	case XDR_VALUE_STRING:
		if (take_string(r, &v->string) < 0)
			return -1;
		v->type = type;
		return 0;
	default:
		return fail(r->error, LODGE_ERROR_USAGE, "'%s' has the unknown type %u", r->where, type);
	}
}

static int take_fields(struct reader *r, const struct xdr_type *type, void *object);

static int take_one(struct reader *r, const struct xdr_field *f, void *to)
{
	uint32_t x = 0;
	const uint8_t *p = NULL;

	switch (f->kind) {
	case XDR_I8:
	case XDR_U8:
	case XDR_U16:
	case XDR_I32:
	case XDR_U32:
		if (take_u32(r, &x) < 0)
			return -1;
		if (f->kind == XDR_U16)
			*(uint16_t *)to = (uint16_t)x;
		else if (f->kind == XDR_I8 || f->kind == XDR_U8)
			*(uint8_t *)to = (uint8_t)x;
		else
			*(uint32_t *)to = x;
		return 0;
	case XDR_I64:
	case XDR_U64:
	case XDR_F64:
		return take_u64(r, to);
	case XDR_STRING:
		return take_string(r, to);
	case XDR_UUID:
		if (take(r, 16, &p) < 0)
			return -1;
		memcpy(to, p, 16);
		return 0;
	case XDR_VALUE:
		return take_value(r, to);
	case XDR_STRUCT:
		return take_fields(r, f->type, to);
	case XDR_BYTE:
		break;
	}
	return fail(r->error, LODGE_ERROR_INTERNAL, "bytes outside a list");
}

static int take_list(struct reader *r, const struct xdr_field *f, char *object)
{
	void **items = (void **)(object + f->offset);
	uint32_t *count = (uint32_t *)(object + f->count_offset);
	size_t size = element_size(f);
	const uint8_t *p = NULL;
	uint32_t n;

	if (take_u32(r, &n) < 0)
		return -1;
	if (n > f->limit)
		return fail(r->error, LODGE_ERROR_USAGE, "'%s' has %u elements, more than %u", f->name, n,
			f->limit);
	if (n > r->left / element_least(f))
		return fail(r->error, LODGE_ERROR_USAGE, "the message ends within '%s'", f->name);
	if (!n)
		return 0;
	*items = g_try_malloc0_n(n, size);
	if (!*items)
		return fail(r->error, LODGE_ERROR_HOST, "no memory for '%s'", f->name);
	*count = n;
	if (f->kind == XDR_BYTE) {
		if (take_padded(r, n, &p) < 0)
			return -1;
		memcpy(*items, p, n);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (take_one(r, f, (char *)*items + i * size) < 0)
			return -1;
	}
	return 0;
}

static int take_optional(struct reader *r, const struct xdr_field *f, char *object)
{
	void **p = (void **)(object + f->offset);
	uint32_t there;

	if (take_u32(r, &there) < 0)
		return -1;
	if (there > 1)
		return fail(r->error, LODGE_ERROR_USAGE, "'%s' is neither there nor absent", f->name);
	if (!there)
		return 0;
	if (f->kind == XDR_STRING)
		return take_string(r, (char **)p);
	*p = g_malloc0(element_size(f));
	return take_one(r, f, *p);
}

static int take_fields(struct reader *r, const struct xdr_type *type, void *object)
{
	char *o = object;

	for (uint32_t i = 0; i < type->field_count; i++) {
		const struct xdr_field *f = &type->fields[i];
		int rc = 0;

		r->where = f->name;
		switch (f->shape) {
		case XDR_ONE:
			rc = take_one(r, f, o + f->offset);
			break;
		case XDR_OPTIONAL:
			rc = take_optional(r, f, o);
			break;
		case XDR_LIST:
			rc = take_list(r, f, o);
			break;
		case XDR_FIXED:
			for (uint32_t k = 0; k < f->limit && !rc; k++)
				rc = take_one(r, f, o + f->offset + k * element_size(f));
			break;
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

int xdr_decode(const struct xdr_type *type, void *ret, const uint8_t *data, size_t len, size_t *ret_used,
	GError **error)
{
	struct reader r = { .at = data, .left = len, .where = type->name, .error = error };
	int rc = take_fields(&r, type, ret);

	if (!rc && !ret_used && r.left)
		rc = fail(error, LODGE_ERROR_USAGE, "%zu bytes too many after '%s'", r.left, type->name);
	if (rc < 0)
		xdr_clear(type, ret);
	else if (ret_used)
		*ret_used = len - r.left;
	return rc;
}

static int put(struct writer *w, const void *data, size_t n)
{
	static const uint8_t zeroes[4];

	if (w->out->len > w->max || n + 4 > w->max - w->out->len)
		return fail(w->error, LODGE_ERROR_USAGE, "the message is longer than %zu bytes", w->max);
	g_byte_array_append(w->out, data, (guint)n);
	if (n & 3)
		g_byte_array_append(w->out, zeroes, (guint)(-n & 3));
	return 0;
}

static int put_u32(struct writer *w, uint32_t v)
{
	uint8_t b[4];

	xdr_put_u32(b, v);
	return put(w, b, 4);
}

static int put_u64(struct writer *w, uint64_t v)
{
	uint8_t b[8];

	xdr_put_u32(b, (uint32_t)(v >> 32));
	xdr_put_u32(b + 4, (uint32_t)v);
	return put(w, b, 8);
}

static int put_string(struct writer *w, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n > XDR_STRING_MAX)
		return fail(w->error, LODGE_ERROR_USAGE, "'%s' is a string of %zu bytes, more than %u",
			w->where, n, XDR_STRING_MAX);
	return put_u32(w, (uint32_t)n) < 0 ? -1 : put(w, s ? s : "", n);
}

static int put_value(struct writer *w, const struct xdr_value *v)
{
	if (put_u32(w, v->type) < 0)
		return -1;
	switch (v->type) {
	case XDR_VALUE_I32:
	case XDR_VALUE_U32:
	case XDR_VALUE_BOOL:
		return put_u32(w, v->u32);
	case XDR_VALUE_I64:
	case XDR_VALUE_U64:
	case XDR_VALUE_F64:
		return put_u64(w, v->u64);
	case XDR_VALUE_STRING:
		return put_string(w, v->string);
	}
	return fail(w->error, LODGE_ERROR_INTERNAL, "'%s' is a value without a type", w->where);
}

static int put_fields(struct writer *w, const struct xdr_type *type, const void *object);

static int put_one(struct writer *w, const struct xdr_field *f, const void *from)
{
	switch (f->kind) {
	case XDR_I8:
		return put_u32(w, (uint32_t)*(const signed char *)from);
	case XDR_U8:
		return put_u32(w, *(const uint8_t *)from);
	case XDR_U16:
		return put_u32(w, *(const uint16_t *)from);
	case XDR_I32:
	case XDR_U32:
		return put_u32(w, *(const uint32_t *)from);
	case XDR_I64:
	case XDR_U64:
	case XDR_F64:
		return put_u64(w, *(const uint64_t *)from);
	case XDR_STRING:
		return put_string(w, *(char *const *)from);
	case XDR_UUID:
		return put(w, from, 16);
	case XDR_VALUE:
		return put_value(w, from);
	case XDR_STRUCT:
		return put_fields(w, f->type, from);
	case XDR_BYTE:
		break;
	}
	return fail(w->error, LODGE_ERROR_INTERNAL, "bytes outside a list");
}

static int put_many(struct writer *w, const struct xdr_field *f, const char *items, uint32_t n)
{
	size_t size = element_size(f);

	for (uint32_t i = 0; i < n; i++) {
		if (put_one(w, f, items + i * size) < 0)
			return -1;
	}
	return 0;
}

static int put_list(struct writer *w, const struct xdr_field *f, const char *object)
{
	const char *items = *(char *const *)(object + f->offset);
	uint32_t n = *(const uint32_t *)(object + f->count_offset);

	if (n > f->limit)
		return fail(w->error, LODGE_ERROR_USAGE, "'%s' has %u elements, more than %u", f->name, n,
			f->limit);
	if (put_u32(w, n) < 0)
		return -1;
	return f->kind == XDR_BYTE ? put(w, items, n) : put_many(w, f, items, n);
}

static int put_fields(struct writer *w, const struct xdr_type *type, const void *object)
{
	const char *o = object;

	for (uint32_t i = 0; i < type->field_count; i++) {
		const struct xdr_field *f = &type->fields[i];
		const void *p;
		int rc = 0;

		w->where = f->name;
		switch (f->shape) {
		case XDR_ONE:
			rc = put_one(w, f, o + f->offset);
			break;
		case XDR_OPTIONAL:
			p = *(void *const *)(o + f->offset);
			rc = put_u32(w, p != NULL);
			if (!rc && p)
				rc = put_one(w, f, f->kind == XDR_STRING ? o + f->offset : p);
			break;
		case XDR_LIST:
			rc = put_list(w, f, o);
			break;
		case XDR_FIXED:
			rc = put_many(w, f, o + f->offset, f->limit);
			break;
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

int xdr_encode(const struct xdr_type *type, const void *from, GByteArray *out, size_t max, GError **error)
{
	struct writer w = { .out = out, .max = max, .where = type->name, .error = error };
	guint was = out->len;

	if (put_fields(&w, type, from) == 0)
		return 0;
	g_byte_array_set_size(out, was);
	return -1;
}

static void clear_one(const struct xdr_field *f, void *item)
{
	struct xdr_value *v = item;

	if (f->kind == XDR_STRUCT)
		xdr_clear(f->type, item);
	else if (f->kind == XDR_STRING)
		g_free(*(char **)item);
	else if (f->kind == XDR_VALUE && v->type == XDR_VALUE_STRING)
		g_free(v->string);
}

void xdr_clear(const struct xdr_type *type, void *object)
{
	char *o = object;

	for (uint32_t i = 0; i < type->field_count; i++) {
		const struct xdr_field *f = &type->fields[i];
		void **p = (void **)(o + f->offset);
		size_t size = element_size(f);

		if (f->shape == XDR_ONE || (f->shape == XDR_OPTIONAL && f->kind == XDR_STRING)) {
			clear_one(f, p);
		} else if (f->shape == XDR_OPTIONAL && *p) {
			clear_one(f, *p);
			g_free(*p);
		} else if (f->shape == XDR_LIST && *p) {
			uint32_t n = *(uint32_t *)(o + f->count_offset);

			for (uint32_t k = 0; k < n && f->kind != XDR_BYTE; k++)
				clear_one(f, (char *)*p + k * size);
			g_free(*p);
		} /* FIXED ones are numbers */
	}
	memset(object, 0, type->size);
}
