/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.h: what is in a pool: image files, logical volumes, partitions. */
#ifndef MANAGER_VOLUME_H
#define MANAGER_VOLUME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct manager;
struct pool;

/* virStorageVolType */
enum volume_type { VOLUME_FILE, VOLUME_BLOCK, VOLUME_DIR };

/* As a refresh saw it; never changed after, only replaced. Counted. */
struct volume {
	gint refs;
	enum volume_type type;
	char *name, *path, *key;        /* owned */
	char *format;                   /* owned: libvirt's word; NULL: none */
	char *backing, *backing_format; /* owned; as the image says, not looked at; NULL: none */
	uint64_t capacity, allocation, physical;                 /* bytes */
	uint32_t cluster;                                        /* bytes; 0: none to tell */
	bool compat_new, lazy_refcounts, extended_l2, encrypted; /* qcow2 */
	struct stat st;
	char *extents; /* owned: XML of <source>; NULL: none */
};

struct volume *volume_ref(struct volume *v);
void volume_unref(struct volume *v);
char *volume_xml_text(const struct volume *v);

/* A reference for the caller, or NULL with NO_VOLUME; *ret_pool, if not NULL, gets one too. */
struct volume *volume_find(struct pool *p, const char *name, GError **error);
struct volume *volume_find_key(
	struct manager *m, const char *key, struct pool **ret_pool, GError **error);
struct volume *volume_find_path(
	struct manager *m, const char *path, struct pool **ret_pool, GError **error);
/* All of an active pool, each with a reference. NULL with error. */
GPtrArray *volumes_list(struct pool *p, GError **error);

/* How far a long job is; false cancels it: the volume is then not made. NULL: nobody asks. */
struct volume_progress {
	bool (*tick)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
};

/* As libvirt numbers them. */
enum volume_create {
	VOLUME_CREATE_PREALLOC_METADATA = 1,
	VOLUME_CREATE_REFLINK = 2,
	VOLUME_CREATE_VALIDATE = 4
};
enum volume_resize {
	VOLUME_RESIZE_ALLOCATE = 1,
	VOLUME_RESIZE_DELTA = 2,
	VOLUME_RESIZE_SHRINK = 4
};
enum { VOLUME_WIPE_ALGORITHMS = 10 };

/* `from` NULL: empty. A reference for the caller. */
struct volume *volume_create(struct pool *p, const char *xml, struct volume *from, unsigned flags,
	const struct volume_progress *progress, GError **error);
int volume_delete(struct pool *p, const char *name, bool zeroed, GError **error);
int volume_resize(
	struct pool *p, const char *name, uint64_t capacity, unsigned flags, GError **error);
int volume_wipe(struct pool *p, const char *name, unsigned algorithm,
	const struct volume_progress *progress, GError **error);
/* A descriptor on its bytes as they are in the host, for streams. -1 with error. */
int volume_open(struct pool *p, const char *name, bool writable, GError **error);
/* After its bytes were written from outside: what it is now. */
void volume_changed(struct pool *p, const char *name);

#endif
