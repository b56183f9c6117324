/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_priv.h: what pool.c, volume.c and the kinds of pools share. */
#ifndef MANAGER_POOL_PRIV_H
#define MANAGER_POOL_PRIV_H

#include <libxml/tree.h>

#include "manager/storage/pool.h"
#include "manager/storage/volume.h"

struct pool_kind;
struct xml_rule;

/*
 * `work` is taken by what changes the pool or what is in it; `lock` for a moment around the fields.
 * What takes long for one volume (copies, wipes) holds neither: its name is in `busy` meanwhile.
 */
struct pool {
	gint refs;
	struct manager *manager; /* borrowed */
	char *name;              /* owned */
	uint8_t uuid[16];
	const struct pool_kind *kind;
	GMutex work, lock;
	xmlDoc *doc; /* owned: in normal form */
	bool persistent, active, autostart, gone;
	char *target;       /* owned: the folder that volumes are in */
	GPtrArray *volumes; /* owned: struct volume */
	GHashTable *busy;   /* owned: names of volumes that a job is at work on */
	uint64_t capacity, allocation, available;
};

struct pools {
	struct manager *manager;
	GMutex work, lock;
	GPtrArray *all; /* owned: struct pool, each with a reference */
};

/* One kind of pool. All but `type` and `refresh` may be NULL: nothing to do, or not possible. With
 * the pool's `work` held. */
struct pool_kind {
	const char *type;
	bool files; /* volumes are image files in the target folder */
	const char *const
		*formats; /* of <source><format>; the first is the default; NULL ends it */
	int (*check)(
		struct pool *p, GError **error); /* the definition's own rules; sets p->target */
	bool (*is_active)(struct pool *p);       /* NULL: if the target is a folder */
	int (*start)(struct pool *p, GError **error);
	int (*stop)(struct pool *p, GError **error);
	int (*build)(struct pool *p, unsigned flags, GError **error);
	int (*remove)(struct pool *p, GError **error);
	/* Adds to `volumes` and sets the pool's three sizes. */
	int (*refresh)(struct pool *p, GPtrArray *volumes, GError **error);
	/* Of block pools: makes room called `name`; the volume is there after a refresh, its name
	 * is then *ret_name. */
	int (*create)(struct pool *p, const char *name, uint64_t capacity, uint64_t allocation,
		const char *format, char **ret_name, GError **error);
	int (*delete)(struct pool *p, const struct volume *v, GError **error);
	int (*resize)(struct pool *p, const struct volume *v, uint64_t capacity, GError **error);
	/* Adds <source> elements. */
	int (*sources)(struct manager *m, const xmlNode *spec, xmlNode *sources, GError **error);
};

extern const struct pool_kind pool_kind_dir, pool_kind_fs, pool_kind_netfs, pool_kind_logical,
	pool_kind_disk;
extern const struct pool_kind *const pool_kinds[]; /* NULL ends it */
extern const struct xml_rule pool_xml, volume_xml;

static inline xmlNode *pool_root(const struct pool *p)
{
	return xmlDocGetRootElement(p->doc);
}

/* With `work` held: looks again at what is there. */
int pool_refresh_locked(struct pool *p, GError **error);
/* Runs a program of the host; *ret_out (NULL: dropped) is the caller's. Fails with what it said. */
int pool_run(const char *const *argv, char **ret_out, GError **error);

/*
 * volume_probe.c. What a file is, by its bytes; raw: it was made as raw, and is, whatever a guest
 * has written into it since. NULL: it cannot be a volume.
 */
struct volume *volume_probe(const char *folder, const char *name, bool raw);
struct volume *volume_new(enum volume_type type, const char *name, const char *path);
/* The files of the pool that were made as raw: name -> inode, as uint64_t *. */
GHashTable *volumes_made_raw(struct pool *p);
int volume_set_made_raw(struct pool *p, const struct volume *v, bool raw, GError **error);
/* The image library's word for a format of libvirt's; NULL: it has none. */
const char *volume_image_format(const char *format);

/* volume_bytes.c */
int volume_overwrite(
	int fd, unsigned algorithm, const struct volume_progress *progress, GError **error);

enum { VOLUME_PART_LENGTH = 12 };
/* What a volume is called in its folder until it is complete. */
#define VOLUME_PART ".lodge-part-"

#endif
