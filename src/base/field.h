/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * field.h: tables that describe the members of a struct: what a person may configure, what a saved
 * state holds. core/stream.h turns them into bytes and text and back.
 */
#ifndef BASE_FIELD_H
#define BASE_FIELD_H

#include <stddef.h>
#include <stdint.h>

enum field_kind {
	FIELD_BOOL, /* bool */
	FIELD_U8,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_BYTES,  /* `count` raw bytes */
	FIELD_STRING, /* char *, g_malloc'ed, owned by the instance (config tables; state: rarely)
		       */
	FIELD_SIZE,   /* uint64_t bytes; text form takes K, M, G, T */
	FIELD_MAC,    /* uint8_t[6] */
	FIELD_STRUCT, /* `count` sub-structs, each described by `sub`, `stride` bytes apart */
	FIELD_BLOB,   /* GByteArray *, variable length, at most `count` bytes */
};

/* One row per configurable property and per saved register; name NULL ends a table. */
struct field {
	const char *name;
	const char *help;	 /* config tables: one line for --help and the man page */
	const struct field *sub; /* FIELD_STRUCT */
	uint32_t offset;
	uint32_t count;		 /* array elements; 1 for a scalar */
	uint32_t stride;	 /* FIELD_STRUCT: sizeof one element */
	uint8_t kind;		 /* enum field_kind */
	uint8_t since;		 /* state version that added it; 0: from the first */
	const char *dflt;	 /* config tables: default in text form, or NULL */
};
#define FIELD(type, member, k)                                                                     \
	{ .name = #member, .offset = offsetof(type, member), .count = 1, .kind = (k) }
#define FIELD_ARRAY(type, member, k, n)                                                            \
	{ .name = #member, .offset = offsetof(type, member), .count = (n), .kind = (k) }
#define FIELD_SUB(type, member, table, n, elem)                                                    \
	{ .name = #member, .offset = offsetof(type, member), .count = (n),                      \
	  .stride = sizeof(elem), .kind = FIELD_STRUCT, .sub = (table) }
#define CONFIG(type, member, k, def, text)                                                         \
	{ .name = #member, .help = (text), .offset = offsetof(type, member), .count = 1,         \
	  .kind = (k), .dflt = (def) }

#endif
