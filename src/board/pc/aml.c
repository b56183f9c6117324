/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aml.c: ACPI Machine Language encoder. Spec: ACPI 6.4, chapter 20 and section 6.4. */
#include "board/pc/aml.h"

#include <string.h>

enum {
	OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
	OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e, OP_MULTI_NAME = 0x2f, OP_EXT = 0x5b, OP_EXT_DEVICE = 0x82,
	OP_EXT_MUTEX = 0x01, OP_EXT_ACQUIRE = 0x23, OP_EXT_RELEASE = 0x27, OP_EXT_REGION = 0x80,
	OP_EXT_FIELD = 0x81, OP_IF = 0xa0, OP_ELSE = 0xa1, OP_WHILE = 0xa2,
};

static void put8(GByteArray *b, unsigned v)
{
	uint8_t byte = (uint8_t)v;

	g_byte_array_append(b, &byte, 1);
}

static void put_le(GByteArray *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		put8(b, v >> 8 * i & 0xff);
}

void aml_op(GByteArray *b, enum aml_op op)
{
	put8(b, op);
}

void aml_path(GByteArray *b, const char *path)
{
	g_auto(GStrv) seg = NULL;
	unsigned n;

	for (; *path == '\\' || *path == '^'; path++)
		put8(b, (uint8_t)*path);
	seg = g_strsplit(path, ".", 0);
	n = g_strv_length(seg);
	if (n == 0)
		put8(b, 0);
	else if (n == 2)
		put8(b, OP_DUAL_NAME);
	else if (n > 2) {
		put8(b, OP_MULTI_NAME);
		put8(b, n);
	}
	for (unsigned i = 0; i < n; i++) {
		char four[4] = { '_', '_', '_', '_' };

		g_assert(strlen(seg[i]) <= 4);
		memcpy(four, seg[i], strlen(seg[i]));
		g_byte_array_append(b, (const uint8_t *)four, 4);
	}
}

void aml_int(GByteArray *b, uint64_t v)
{
	if (v <= 1) {
		put8(b, v);
	} else if (v <= 0xff) {
		put8(b, OP_BYTE);
		put8(b, v);
	} else if (v <= 0xffff) {
		put8(b, OP_WORD);
		put_le(b, v, 2);
	} else if (v <= 0xffffffff) {
		put8(b, OP_DWORD);
		put_le(b, v, 4);
	} else {
		put8(b, OP_QWORD);
		put_le(b, v, 8);
	}
}

void aml_string(GByteArray *b, const char *s)
{
	put8(b, OP_STRING);
	g_byte_array_append(b, (const uint8_t *)s, strlen(s) + 1);
}

/* ACPI 6.4, 19.3.4: three letters of five bits, four hex digits, most significant byte first. */
void aml_eisaid(GByteArray *b, const char *id)
{
	uint32_t v = (id[0] - 0x40) << 26 | (id[1] - 0x40) << 21 | (id[2] - 0x40) << 16 |
		(uint32_t)g_ascii_strtoull(id + 3, NULL, 16);

	put8(b, OP_DWORD);
	put_le(b, GUINT32_SWAP_LE_BE(v), 4);
}

/* ACPI 6.4, 19.6.142: the first three groups are little endian. */
void aml_uuid(GByteArray *b, const char *uuid)
{
	static const uint8_t order[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32,
		34 };
	uint8_t bytes[16];

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = g_ascii_xdigit_value(uuid[order[i]]) << 4 |
			g_ascii_xdigit_value(uuid[order[i] + 1]);
	aml_buffer(b, bytes, sizeof(bytes));
}

/*
 * PkgLength (20.2.4) counts itself: 1 byte up to 63, else 4, 12, 20 or 28 bits with the count of
 * following bytes in bits 7:6 of the first. It is put in when the term is closed.
 */
void aml_close(GByteArray *b, guint mark)
{
	guint body = b->len - mark, n = 1, total;
	uint8_t len[4];

	if (body + 1 > 0x3f)
		n = body + 2 <= 0xfff ? 2 : body + 3 <= 0xfffff ? 3 : 4;
	total = body + n;
	if (n == 1) {
		len[0] = (uint8_t)total;
	} else {
		len[0] = (uint8_t)((n - 1) << 6 | (total & 0xf));
		for (guint i = 1; i < n; i++)
			len[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
	}
	g_byte_array_set_size(b, b->len + n);
	memmove(b->data + mark + n, b->data + mark, body);
	memcpy(b->data + mark, len, n);
}

void aml_buffer(GByteArray *b, const uint8_t *p, size_t n)
{
	guint mark;

	put8(b, OP_BUFFER);
	mark = b->len;
	aml_int(b, n);
	g_byte_array_append(b, p, n);
	aml_close(b, mark);
}

void aml_name(GByteArray *b, const char *path)
{
	put8(b, OP_NAME);
	aml_path(b, path);
}

void aml_name_int(GByteArray *b, const char *path, uint64_t v)
{
	aml_name(b, path);
	aml_int(b, v);
}

guint aml_open_scope(GByteArray *b, const char *path)
{
	guint mark;

	put8(b, OP_SCOPE);
	mark = b->len;
	aml_path(b, path);
	return mark;
}

guint aml_open_device(GByteArray *b, const char *path)
{
	guint mark;

	put8(b, OP_EXT);
	put8(b, OP_EXT_DEVICE);
	mark = b->len;
	aml_path(b, path);
	return mark;
}

guint aml_open_method(GByteArray *b, const char *path, unsigned args)
{
	guint mark;

	put8(b, OP_METHOD);
	mark = b->len;
	aml_path(b, path);
	put8(b, args | 1 << 3); /* serialized: methods here create named objects */
	return mark;
}

guint aml_open_package(GByteArray *b, unsigned elements)
{
	guint mark;

	put8(b, OP_PACKAGE);
	mark = b->len;
	put8(b, elements);
	return mark;
}

guint aml_open_if(GByteArray *b)
{
	put8(b, OP_IF);
	return b->len;
}

guint aml_open_else(GByteArray *b)
{
	put8(b, OP_ELSE);
	return b->len;
}

guint aml_open_while(GByteArray *b)
{
	put8(b, OP_WHILE);
	return b->len;
}

static void ext_op(GByteArray *b, unsigned op, const char *path)
{
	put8(b, OP_EXT);
	put8(b, op);
	aml_path(b, path);
}

void aml_mutex(GByteArray *b, const char *path)
{
	ext_op(b, OP_EXT_MUTEX, path);
	put8(b, 0); /* sync level */
}

void aml_acquire(GByteArray *b, const char *path)
{
	ext_op(b, OP_EXT_ACQUIRE, path);
	put_le(b, 0xffff, 2);
}

void aml_release(GByteArray *b, const char *path)
{
	ext_op(b, OP_EXT_RELEASE, path);
}

void aml_io_region(GByteArray *b, const char *path, unsigned port, unsigned len)
{
	ext_op(b, OP_EXT_REGION, path);
	put8(b, 1); /* SystemIO */
	aml_int(b, port);
	aml_int(b, len);
}

/* 20.2.5.2: field elements; a gap up to `offset`, then the register. Widths are in bits, small
 * enough for a package length of one byte. */
void aml_io_field(GByteArray *b, const char *region, unsigned bytes, unsigned offset,
	const char *name)
{
	guint mark;

	put8(b, OP_EXT);
	put8(b, OP_EXT_FIELD);
	mark = b->len;
	aml_path(b, region);
	put8(b, bytes == 4 ? 3 : bytes); /* access type: 1 byte, 2 word, 3 dword */
	g_assert(offset * 8 <= 0x3f && bytes * 8 <= 0x3f);
	if (offset) {
		put8(b, 0);
		put8(b, offset * 8);
	}
	aml_path(b, name);
	put8(b, bytes * 8);
	aml_close(b, mark);
}

/* 6.4.3.5: address space descriptors. `bytes` is the width of each of the five values. */
static void address_space(GByteArray *r, unsigned tag, unsigned bytes, unsigned type,
	unsigned flags, uint64_t first, uint64_t last)
{
	put8(r, tag);
	put_le(r, 3 + 5 * bytes, 2);
	put8(r, type);
	put8(r, 0x0c); /* producer, positive decode, minimum and maximum fixed */
	put8(r, flags);
	put_le(r, 0, bytes); /* granularity */
	put_le(r, first, bytes);
	put_le(r, last, bytes);
	put_le(r, 0, bytes); /* translation */
	put_le(r, last - first + 1, bytes);
}

enum { SPACE_MEMORY, SPACE_IO, SPACE_BUS };
enum { TAG_WORD = 0x88, TAG_DWORD = 0x87, TAG_QWORD = 0x8a };

void res_bus(GByteArray *r, unsigned first, unsigned last)
{
	address_space(r, TAG_WORD, 2, SPACE_BUS, 0, first, last);
}

void res_io_window(GByteArray *r, unsigned first, unsigned last)
{
	address_space(r, TAG_WORD, 2, SPACE_IO, 3 /* entire range */, first, last);
}

void res_mem32_window(GByteArray *r, uint32_t base, uint32_t len)
{
	address_space(
		r, TAG_DWORD, 4, SPACE_MEMORY, 1 /* read-write */, base, (uint64_t)base + len - 1);
}

void res_mem64_window(GByteArray *r, uint64_t base, uint64_t len)
{
	address_space(r, TAG_QWORD, 8, SPACE_MEMORY, 1 /* read-write */, base, base + len - 1);
}

/* 6.4.2.5 */
void res_io(GByteArray *r, unsigned base, unsigned len)
{
	put8(r, 0x47);
	put8(r, 1); /* decodes 16 bits */
	put_le(r, base, 2);
	put_le(r, base, 2);
	put8(r, 1); /* alignment */
	put8(r, len);
}

/* 6.4.3.4 */
void res_mem32_fixed(GByteArray *r, uint32_t base, uint32_t len)
{
	put8(r, 0x86);
	put_le(r, 9, 2);
	put8(r, 1); /* writable */
	put_le(r, base, 4);
	put_le(r, len, 4);
}

/* 6.4.2.1 */
void res_irq(GByteArray *r, unsigned irq)
{
	put8(r, 0x22);
	put_le(r, 1u << irq, 2);
}

void aml_crs(GByteArray *b, GByteArray *r)
{
	put8(r, 0x79); /* end tag; checksum 0: not used */
	put8(r, 0);
	aml_name(b, "_CRS");
	aml_buffer(b, r->data, r->len);
	g_byte_array_unref(r);
}
