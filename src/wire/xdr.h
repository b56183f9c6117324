/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xdr.h: C structs to and from XDR, driven by tables of their fields. Spec: RFC 4506. A decoder never
 * allocates more than a small multiple of the bytes it was given: a list's count is held against its
 * limit and against what is left of the message before memory is taken.
 */
#ifndef WIRE_XDR_H
#define WIRE_XDR_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest string of libvirt's protocol. */
#define XDR_STRING_MAX 4194304u

enum xdr_kind {
	XDR_I8, XDR_U8, XDR_U16, /* 4 bytes on the wire */
	XDR_I32, XDR_U32, XDR_I64, XDR_U64, XDR_F64,
	XDR_STRING,		 /* char *, never NULL unless optional */
	XDR_UUID,		 /* uint8_t[16] */
	XDR_BYTE,		 /* lists only: opaque bytes */
	XDR_VALUE,		 /* struct xdr_value */
	XDR_STRUCT,
};

enum xdr_shape { XDR_ONE, XDR_OPTIONAL, XDR_LIST, XDR_FIXED };

struct xdr_type;
struct xdr_field {
	const char *name;
	enum xdr_kind kind;
	enum xdr_shape shape;
	uint32_t offset;	/* of the member; LIST, OPTIONAL: of the pointer */
	uint32_t count_offset;	/* LIST: of the uint32_t that counts */
	uint32_t limit;		/* LIST: most elements; FIXED: exactly so many */
	const struct xdr_type *type; /* of STRUCT */
};

struct xdr_type {
	const char *name;
	uint32_t size;		/* of the C struct */
	uint32_t least;		/* fewest bytes on the wire */
	uint32_t field_count;
	const struct xdr_field *fields;
};

/* The value of a typed parameter: libvirt's virTypedParameterType. */
enum xdr_value_type { XDR_VALUE_I32 = 1, XDR_VALUE_U32, XDR_VALUE_I64, XDR_VALUE_U64, XDR_VALUE_F64,
	XDR_VALUE_BOOL, XDR_VALUE_STRING };

struct xdr_value {
	enum xdr_value_type type;
	union {
		int32_t i32, boolean;
		uint32_t u32;
		int64_t i64;
		uint64_t u64;
		double f64;
		char *string; /* owned */
	};
};

/* Fills *ret, a zeroed struct of this type, from `len` bytes; *ret_used (NULL: it must be all) says how
 * many it took. After a failure *ret holds nothing. Free with xdr_clear(). 0 or -1 with error. */
int xdr_decode(const struct xdr_type *type, void *ret, const uint8_t *data, size_t len, size_t *ret_used,
	GError **error);
/* Appends. A NULL string that is not optional goes as "". A list, string or message beyond its limit
 * fails, and leaves `out` as it was. */
int xdr_encode(const struct xdr_type *type, const void *from, GByteArray *out, size_t max, GError **error);
/* Frees what the members own and zeroes them; the struct itself is the caller's. */
void xdr_clear(const struct xdr_type *type, void *object);

static inline uint32_t xdr_get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void xdr_put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

#endif
