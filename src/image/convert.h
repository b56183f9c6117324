/* SPDX-License-Identifier: GPL-2.0-or-later */
/* convert.h: copies what one image reads as into another, by several threads, leaving zeroes out.
 */
#ifndef IMAGE_CONVERT_H
#define IMAGE_CONVERT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct image;

struct convert_options {
	bool packed;      /* compress what is written */
	bool target_zero; /* the target reads as zeroes wherever nothing was written */
	bool below_stays; /* the target stands on `depth`-th image below the source: bytes only that
			     has are left out */
	int depth;        /* with below_stays: layers of the source to copy, 1: the source alone */
	bool salvage;     /* what cannot be read becomes zeroes */
	uint32_t sparse;  /* zeroes in runs of so many bytes are left out; 0: written */
	unsigned threads; /* 0: as the host has processors */
	uint64_t rate;    /* bytes a second at most; 0: no limit */
	/* Called by the caller's thread some times a second; false ends the copy. */
	bool (*tick)(void *opaque, uint64_t done, uint64_t total);
	void *opaque;
	/* results */
	uint64_t unreadable; /* bytes, with salvage */
};

/* Copies min(sizes) bytes; the rest of a larger target becomes zeroes. Does not flush. 0 or -1 with
 * error; stopped by tick: -1 without error. */
int image_convert(struct image *from, struct image *to, struct convert_options *o, GError **error);

/* Bytes of the source that are neither holes nor zeroes by its tables. */
int image_data_bytes(struct image *im, int depth, uint64_t *ret, GError **error);

/* Whether all n bytes are zero. */
bool bytes_are_zero(const void *p, size_t n);
/* The length of the run at the start of buf, in whole steps (the last may be short), that is zero
 * or not; *ret_zero tells which. */
size_t zero_run(const uint8_t *buf, size_t n, size_t step, bool *ret_zero);

#endif
