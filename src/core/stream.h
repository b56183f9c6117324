/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.h: saved state as bytes: sections of tagged, length-prefixed records, with a checksum.
 * The reader treats every byte as hostile. Layout: docs/state-format.md.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct field;

/* Appends one object (device or CPU) described by its table. */
void state_put(GByteArray *out, const struct field *table, const void *object);
/* Fills object from bytes; fields added after `version` keep their present value. Strings and blobs
 * are replaced. Fails (object then in an undefined but freeable state) on anything that does not
 * fit. */
int state_get(const uint8_t *p, size_t n, const struct field *table, unsigned version, void *object,
	GError **error);

/* Text form of a config field, both ways; used by the command line and QMP. */
int field_parse(const struct field *f, void *object, const char *text, GError **error);
char *field_format(const struct field *f, const void *object);

#endif
