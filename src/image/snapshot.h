/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.h: snapshots kept inside an image. Calls are made while no request is in flight. */
#ifndef IMAGE_SNAPSHOT_H
#define IMAGE_SNAPSHOT_H

#include <glib.h>
#include <stdint.h>

struct image;

struct image_snapshot {
	char id[64], name[256];
	uint64_t disk_size;     /* guest bytes at that time */
	uint64_t vm_state_size; /* bytes of saved machine state behind the disk; 0: none */
	int64_t date;           /* microseconds since 1970 */
	uint64_t vm_clock;      /* guest run time, ns */
};

/* Flushed and durable when they return. -1 with error. */
struct image_snapshot_ops {
	/* struct image_snapshot, the caller's. */
	GArray *(*list)(struct image *im);
	int (*create)(struct image *im, const struct image_snapshot *s, GError **error);
	/* By id or name. */
	int (*apply)(struct image *im, const char *which, GError **error);
	int (*remove)(struct image *im, const char *which, GError **error);
};

#endif
