/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bitmap.h: dirty bitmaps kept inside an image: which granules were written since. */
#ifndef IMAGE_BITMAP_H
#define IMAGE_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct image;

struct image_bitmap {
	char name[1024];
	uint32_t granularity; /* bytes, a power of two */
	bool enabled;         /* writes set bits */
	bool inconsistent;    /* was not closed properly: may only be removed */
};

/* -1 with error. */
struct image_bitmap_ops {
	GArray *(*list)(struct image *im); /* struct image_bitmap, the caller's */
	int (*add)(struct image *im, const struct image_bitmap *b, GError **error);
	int (*remove)(struct image *im, const char *name, GError **error);
	int (*clear)(struct image *im, const char *name, GError **error);
	int (*enable)(struct image *im, const char *name, bool on, GError **error);
	/* Sets in `into` what is set in `from`, of the same or another image. */
	int (*merge)(struct image *im, const char *into, struct image *from_image, const char *from,
		GError **error);
	/* Marks the bytes as written. */
	void (*mark)(struct image *im, const char *name, uint64_t off, uint64_t n);
	/* The first run at or after `off` whose bit is `dirty`; false: none. */
	bool (*next)(struct image *im, const char *name, uint64_t off, bool dirty, uint64_t *ret_at,
		uint64_t *ret_len);
};

#endif
