/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.h: storage pools: folders, file systems, volume groups, partitioned disks; volumes:
 * volume.h. */
#ifndef MANAGER_POOL_H
#define MANAGER_POOL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;
struct pool;

/* Loads all, takes up active ones again, makes `default` on a new host, starts what starts by
 * itself. */
struct pools *pools_new(struct manager *m, GError **error);
void pools_free(struct pools *p);

/* A reference for the caller, or NULL with NO_POOL. */
struct pool *pool_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct pool *pool_find_name(struct manager *m, const char *name, GError **error);
struct pool *pool_find_target(struct manager *m, const char *path, GError **error);
struct pool *pool_ref(struct pool *p);
void pool_unref(struct pool *p);
/* All, each with a reference; free with g_ptr_array_unref. */
GPtrArray *pools_list(struct manager *m);

/* What does not change in a pool's life. */
const char *pool_name(const struct pool *p);
const uint8_t *pool_uuid(const struct pool *p);

/* virStoragePoolState */
enum pool_state { POOL_INACTIVE, POOL_BUILDING, POOL_RUNNING, POOL_DEGRADED, POOL_INACCESSIBLE };

struct pool_info {
	enum pool_state state;
	bool persistent, autostart;
	const char *type;                         /* "dir", …; static */
	uint64_t capacity, allocation, available; /* bytes */
};
void pool_info(struct pool *p, struct pool_info *ret);

/*
 * As virStoragePoolBuildFlags, virStoragePoolCreateFlags and virStoragePoolDeleteFlags number them.
 */
enum pool_build {
	POOL_BUILD_REPAIR = 1,
	POOL_BUILD_RESIZE = 2,
	POOL_BUILD_NO_OVERWRITE = 4,
	POOL_BUILD_OVERWRITE = 8
};
enum pool_create {
	POOL_CREATE_WITH_BUILD = 1,
	POOL_CREATE_WITH_BUILD_OVERWRITE = 2,
	POOL_CREATE_WITH_BUILD_NO_OVERWRITE = 4
};
enum pool_delete { POOL_DELETE_NORMAL = 0, POOL_DELETE_ZEROED = 1 };

struct pool *pool_define(struct manager *m, const char *xml, GError **error);
struct pool *pool_create_transient(
	struct manager *m, const char *xml, unsigned flags, GError **error);
int pool_start(struct pool *p, unsigned flags, GError **error);
int pool_stop(struct pool *p, GError **error);
int pool_build(struct pool *p, unsigned flags, GError **error);
int pool_delete(struct pool *p, unsigned flags, GError **error);
int pool_undefine(struct pool *p, GError **error);
int pool_refresh(struct pool *p, GError **error);
int pool_set_autostart(struct pool *p, bool autostart, GError **error);
/* Owned by the caller. */
char *pool_xml_text(struct pool *p, GError **error);

/*
 * What of that type could be a pool here: a <sources> document. spec: a <source> document or NULL.
 */
char *pool_find_sources(struct manager *m, const char *type, const char *spec, GError **error);
char *pool_capabilities(void); /* <storagepoolCapabilities> */

/* For a machine's disk of type volume: its path and format, owned by the caller. */
int pool_volume_path(struct manager *m, const char *pool, const char *volume, char **ret_path,
	char **ret_format, GError **error);
/* For a machine's clone or a snapshot's overlay: a new qcow2 volume above `backing`. */
int pool_volume_overlay(struct manager *m, const char *pool, const char *name, const char *backing,
	const char *backing_format, char **ret_path, GError **error);

#endif
