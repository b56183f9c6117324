/* SPDX-License-Identifier: GPL-2.0-or-later */
/* typed.h: lists of typed parameters: build for a reply, read from a call. */
#ifndef WIRE_LIBVIRT_TYPED_H
#define WIRE_LIBVIRT_TYPED_H

#include "wire/libvirt/protocol.h"

/* A list that grows. Zeroed: empty. Hand `items` and `count` to the reply's struct (which owns them
 * from then on), or typed_clear(). */
struct typed_list {
	struct remote_typed_param *items;
	uint32_t count, room;
};

/* The name is a format: typed_u64(&l, bytes, "block.%u.rd.bytes", i). */
void typed_i32(struct typed_list *l, int32_t v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_u32(struct typed_list *l, uint32_t v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_i64(struct typed_list *l, int64_t v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_u64(struct typed_list *l, uint64_t v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_f64(struct typed_list *l, double v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_bool(struct typed_list *l, bool v, const char *name, ...) G_GNUC_PRINTF(3, 4);
/* Copies the string; NULL adds nothing. */
void typed_string(struct typed_list *l, const char *v, const char *name, ...) G_GNUC_PRINTF(3, 4);
void typed_clear(struct typed_list *l);

/* The parameter of this name, or NULL. */
const struct remote_typed_param *typed_find(
	const struct remote_typed_param *p, uint32_t count, const char *name);
/* Its value where it is a number that fits, of whatever integer type the client sent. 1: *ret is
 * set, 0: no such parameter, -1 with error: another type or out of range. */
int typed_get_u64(const struct remote_typed_param *p, uint32_t count, const char *name,
	uint64_t *ret, GError **error);
int typed_get_i64(const struct remote_typed_param *p, uint32_t count, const char *name,
	int64_t *ret, GError **error);
/* Borrowed from the list. */
int typed_get_string(const struct remote_typed_param *p, uint32_t count, const char *name,
	const char **ret, GError **error);

#endif
