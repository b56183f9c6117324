/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_snapshot.h: snapshots of machines: what is known of them (metadata, in the store) and what
 * they are: snapshots inside the machine's qcow2 images, of a machine that is off.
 */
#ifndef MANAGER_DOMAIN_SNAPSHOT_H
#define MANAGER_DOMAIN_SNAPSHOT_H

#include "manager/domain/domain.h"
#include "manager/store.h"

/* Strings are owned by it; counted. Fields but `current` never change. */
struct domain_snapshot {
	int refs;
	uint8_t uuid[16];    /* its key in the store */
	char *name, *parent; /* parent NULL: a root */
	char *xml;           /* <domainsnapshot> */
	bool current;
};

void domain_snapshot_unref(struct domain_snapshot *s);
/* All of a machine in the order of their names, each a reference; free with g_ptr_array_unref. */
GPtrArray *domain_snapshots(struct domain *d);
/* A reference, or NULL with NO_SNAPSHOT. name NULL: the current one. */
struct domain_snapshot *domain_snapshot_find(struct domain *d, const char *name, GError **error);
bool domain_snapshot_has_children(const GPtrArray *all, const char *name);

enum snapshot_create_flags {
	SNAPSHOT_REDEFINE = 1,
	SNAPSHOT_CURRENT = 2,
	SNAPSHOT_NO_METADATA = 4,
	SNAPSHOT_HALT = 8,
	SNAPSHOT_DISK_ONLY = 16,
	SNAPSHOT_ATOMIC = 128,
	SNAPSHOT_VALIDATE = 512
};
/* A reference in *ret. */
int domain_snapshot_create(struct domain *d, const char *xml, unsigned flags,
	struct domain_snapshot **ret, GError **error);
enum snapshot_revert_flags { REVERT_RUNNING = 1, REVERT_PAUSED = 2, REVERT_FORCE = 4 };
int domain_snapshot_revert(struct domain *d, const char *name, unsigned flags, GError **error);
enum snapshot_delete_flags {
	DELETE_CHILDREN = 1,
	DELETE_METADATA_ONLY = 2,
	DELETE_CHILDREN_ONLY = 4
};
int domain_snapshot_delete(struct domain *d, const char *name, unsigned flags, GError **error);

#endif
