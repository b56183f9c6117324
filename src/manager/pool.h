/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.h: storage pools and the volumes in them. */
#ifndef MANAGER_POOL_H
#define MANAGER_POOL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;
struct pool;

struct pools *pools_new(struct manager *m, GError **error);
void pools_free(struct pools *p);

/* A reference for the caller, or NULL with NO_POOL. */
struct pool *pool_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct pool *pool_find_name(struct manager *m, const char *name, GError **error);
struct pool *pool_ref(struct pool *p);
void pool_unref(struct pool *p);
GPtrArray *pools_list(struct manager *m);

/* For a machine's disk of type volume: its path and format, owned by the caller. */
int pool_volume_path(struct manager *m, const char *pool, const char *volume, char **ret_path,
	char **ret_format, GError **error);
/* For a machine's clone or a snapshot's overlay: a new qcow2 volume above `backing`. */
int pool_volume_overlay(struct manager *m, const char *pool, const char *name, const char *backing,
	const char *backing_format, char **ret_path, GError **error);

#endif
