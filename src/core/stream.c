/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.c: objects described by field tables, to bytes and to text and back.
 *
 * A record is: name length (1 byte), name, kind (1), count (4), bytes of payload (4), payload; all
 * numbers little endian. Records stand in table order. Layout: docs/state-format.md.
 */
#include "core/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/device.h"

/* A string in a saved state; nothing we save is near that. */
enum { STRING_MAX = 64 * 1024 };
/* Payload of a FIELD_STRING that is NULL, so that NULL and "" differ. */
static const uint8_t string_null[] = { 0xff };

static unsigned kind_bytes(enum field_kind k)
{
	switch (k) {
	case FIELD_BOOL:
	case FIELD_U8: return 1;
	case FIELD_BYTES: return 1;
	case FIELD_U16: return 2;
	case FIELD_U32: return 4;
	case FIELD_U64:
	case FIELD_SIZE: return 8;
	case FIELD_MAC: return 6;
	case FIELD_STRING: return sizeof(char *);
	case FIELD_BLOB: return sizeof(GByteArray *);
	case FIELD_STRUCT: return 0;
	}
	return 0;
}

static void put_u32(GByteArray *out, uint32_t v)
{
	uint32_t le = GUINT32_TO_LE(v);

	g_byte_array_append(out, (const uint8_t *)&le, sizeof(le));
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t le;

	memcpy(&le, p, sizeof(le));
	return GUINT32_FROM_LE(le);
}

/* The hosts we run on are little endian, as the format is: scalars are copied as they stand. */
_Static_assert(G_BYTE_ORDER == G_LITTLE_ENDIAN, "scalars are stored in host order");

static void put_payload(GByteArray *out, const struct field *f, const void *object)
{
	const char *at = (const char *)object + f->offset;

	switch (f->kind) {
	case FIELD_STRING: {
		const char *s = *(char *const *)at;

		if (s)
			g_byte_array_append(out, (const uint8_t *)s, strlen(s));
		else
			g_byte_array_append(out, string_null, sizeof(string_null));
		break;
	}
	case FIELD_BLOB: {
		const GByteArray *b = *(GByteArray *const *)at;

		if (b)
			g_byte_array_append(out, b->data, b->len);
		break;
	}
	case FIELD_STRUCT:
		for (uint32_t i = 0; i < f->count; i++) {
			guint mark = out->len;
			uint32_t len;

			put_u32(out, 0);
			state_put(out, f->sub, at + (size_t)i * f->stride);
			len = GUINT32_TO_LE(out->len - mark - 4);
			memcpy(out->data + mark, &len, sizeof(len));
		}
		break;
	default: g_byte_array_append(out, (const uint8_t *)at, kind_bytes(f->kind) * f->count);
	}
}

void state_put(GByteArray *out, const struct field *table, const void *object)
{
	for (const struct field *f = table; f && f->name; f++) {
		uint8_t name_len = strlen(f->name), kind = f->kind;
		guint mark;
		uint32_t len;

		g_byte_array_append(out, &name_len, 1);
		g_byte_array_append(out, (const uint8_t *)f->name, name_len);
		g_byte_array_append(out, &kind, 1);
		put_u32(out, f->kind == FIELD_BLOB ? 1 : f->count);
		mark = out->len;
		put_u32(out, 0);
		put_payload(out, f, object);
		len = GUINT32_TO_LE(out->len - mark - 4);
		memcpy(out->data + mark, &len, sizeof(len));
	}
}

static int get_string(const struct field *f, char **at, const uint8_t *p, size_t n, GError **error)
{
	char *s = NULL;

	if (n > STRING_MAX || (n && memchr(p, 0, n)))
		return fail(error, LODGE_ERROR_STATE, "field %s is no string", f->name);
	if (n != sizeof(string_null) || *p != string_null[0])
		s = g_strndup((const char *)p, n);
	g_free(*at);
	*at = s;
	return 0;
}

static int get_structs(const struct field *f, char *at, const uint8_t *p, size_t n,
	unsigned version, GError **error)
{
	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t len;

		if (n < 4 || (len = get_u32(p)) > n - 4)
			return fail(error, LODGE_ERROR_STATE, "field %s is cut short", f->name);
		if (state_get(p + 4, len, f->sub, version, at + (size_t)i * f->stride, error) < 0)
			return -1;
		p += 4 + len;
		n -= 4 + len;
	}
	return n ? fail(error, LODGE_ERROR_STATE, "field %s is too long", f->name) : 0;
}

static int get_payload(const struct field *f, void *object, const uint8_t *p, size_t n,
	unsigned version, GError **error)
{
	char *at = (char *)object + f->offset;

	switch (f->kind) {
	case FIELD_STRING: return get_string(f, (char **)at, p, n, error);
	case FIELD_STRUCT: return get_structs(f, at, p, n, version, error);
	case FIELD_BLOB: {
		GByteArray **b = (GByteArray **)at;

		if (n > f->count)
			return fail(error, LODGE_ERROR_STATE, "field %s is too long", f->name);
		if (!*b)
			*b = g_byte_array_new();
		g_byte_array_set_size(*b, 0);
		g_byte_array_append(*b, p, n);
		return 0;
	}
	case FIELD_BOOL:
		for (size_t i = 0; i < n; i++) {
			if (p[i] > 1)
				return fail(error, LODGE_ERROR_STATE, "field %s is no truth value",
					f->name);
		}
		break;
	default: break;
	}
	if (n != (size_t)kind_bytes(f->kind) * f->count)
		return fail(error, LODGE_ERROR_STATE, "field %s has the wrong length", f->name);
	memcpy(at, p, n);
	return 0;
}

/* Reads the head of the record of f: the payload's length and the head's own. */
static int get_head(const struct field *f, const uint8_t *p, size_t n, size_t *ret_head,
	uint32_t *ret_len, GError **error)
{
	size_t name_len = strlen(f->name), head = 1 + name_len + 1 + 4 + 4;
	uint32_t count = f->kind == FIELD_BLOB ? 1 : f->count;

	if (n < head || p[0] != name_len || memcmp(p + 1, f->name, name_len) != 0)
		return fail(error, LODGE_ERROR_STATE, "field %s is missing", f->name);
	if (p[1 + name_len] != f->kind || get_u32(p + name_len + 2) != count)
		return fail(error, LODGE_ERROR_STATE, "field %s has another type", f->name);
	*ret_len = get_u32(p + name_len + 6);
	*ret_head = head;
	if (*ret_len > n - head)
		return fail(error, LODGE_ERROR_STATE, "field %s is cut short", f->name);
	return 0;
}

int state_get(const uint8_t *p, size_t n, const struct field *table, unsigned version, void *object,
	GError **error)
{
	for (const struct field *f = table; f && f->name; f++) {
		size_t head = 0;
		uint32_t len = 0;

		if (f->since > version)
			continue;
		if (get_head(f, p, n, &head, &len, error) < 0)
			return -1;
		if (get_payload(f, object, p + head, len, version, error) < 0)
			return -1;
		p += head + len;
		n -= head + len;
	}
	return n ? fail(error, LODGE_ERROR_STATE, "there are fields unknown here") : 0;
}

static int parse_bool(const char *text, bool *out, GError **error)
{
	static const char *const yes[] = { "on", "yes", "true", "1", NULL };
	static const char *const no[] = { "off", "no", "false", "0", NULL };

	if (g_strv_contains(yes, text))
		*out = true;
	else if (g_strv_contains(no, text))
		*out = false;
	else
		return fail(error, LODGE_ERROR_USAGE, "'%s' is neither on nor off", text);
	return 0;
}

static int parse_number(const char *text, uint64_t max, bool size, uint64_t *out, GError **error)
{
	char *end;
	uint64_t v, unit = 1;

	if (!g_ascii_isdigit(*text))
		return fail(
			error, LODGE_ERROR_USAGE, "'%s' is no %s", text, size ? "size" : "number");
	errno = 0;
	v = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
	if (errno)
		return fail(error, LODGE_ERROR_USAGE, "'%s' is too large", text);
	if (size && *end) {
		static const char units[] = "KMGT";
		const char *u = strchr(units, g_ascii_toupper(*end));

		if (u) {
			unit = 1ull << 10 * (u - units + 1);
			end++;
			if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
				end += strlen(end);
		}
	}
	if (*end)
		return fail(error, LODGE_ERROR_USAGE, "'%s' is no %s", text,
			size ? "size (bytes, or with K, M, G, T)" : "number");
	if (v > max / unit)
		return fail(error, LODGE_ERROR_USAGE, "'%s' is too large (at most %" PRIu64 ")",
			text, max);
	*out = v * unit;
	return 0;
}

static int parse_mac(const char *text, uint8_t mac[6], GError **error)
{
	uint8_t m[6];

	for (unsigned i = 0; i < 6; i++, text += 2) {
		int hi = g_ascii_xdigit_value(text[0]);
		int lo = hi < 0 ? -1 : g_ascii_xdigit_value(text[1]);

		if (lo < 0 || (i < 5 && text[2] != ':') || (i == 5 && text[2]))
			return fail(error, LODGE_ERROR_USAGE,
				"a MAC address is six hexadecimal pairs with colons");
		m[i] = hi << 4 | lo;
		text += i < 5;
	}
	if (m[0] & 1)
		return fail(error, LODGE_ERROR_USAGE, "a card cannot have a multicast MAC address");
	memcpy(mac, m, sizeof(m));
	return 0;
}

int field_parse(const struct field *f, void *object, const char *text, GError **error)
{
	char *at = (char *)object + f->offset;
	uint64_t v;

	switch (f->kind) {
	case FIELD_BOOL: return parse_bool(text, (bool *)at, error);
	case FIELD_STRING:
		g_free(*(char **)at);
		*(char **)at = g_strdup(text);
		return 0;
	case FIELD_MAC: return parse_mac(text, (uint8_t *)at, error);
	case FIELD_U8:
	case FIELD_U16:
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_SIZE: {
		unsigned n = kind_bytes(f->kind);

		if (parse_number(
			    text, UINT64_MAX >> (64 - 8 * n), f->kind == FIELD_SIZE, &v, error) < 0)
			return -1;
		memcpy(at, &v, n);
		return 0;
	}
	default: return fail(error, LODGE_ERROR_INTERNAL, "'%s' has no text form", f->name);
	}
}

static char *format_size(uint64_t v)
{
	static const char units[] = "TGMK";

	for (unsigned i = 0; i < 4 && v; i++) {
		unsigned shift = 10 * (4 - i);

		if (v % (1ull << shift) == 0)
			return g_strdup_printf("%" PRIu64 "%c", v >> shift, units[i]);
	}
	return g_strdup_printf("%" PRIu64, v);
}

char *field_format(const struct field *f, const void *object)
{
	const char *at = (const char *)object + f->offset;
	const uint8_t *mac = (const uint8_t *)at;
	uint64_t v = 0;

	switch (f->kind) {
	case FIELD_BOOL: return g_strdup(*(const bool *)at ? "on" : "off");
	case FIELD_STRING: return g_strdup(*(char *const *)at);
	case FIELD_MAC:
		return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
			mac[3], mac[4], mac[5]);
	case FIELD_U8:
	case FIELD_U16:
	case FIELD_U32:
	case FIELD_U64: memcpy(&v, at, kind_bytes(f->kind)); return g_strdup_printf("%" PRIu64, v);
	case FIELD_SIZE: memcpy(&v, at, sizeof(v)); return format_size(v);
	default: return NULL;
	}
}
