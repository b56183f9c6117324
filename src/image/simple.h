/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * simple.h: what formats share that grow block by block at the end of their file and have one
 * table: VDI, VHD, VHDX and sparse VMDK extents.
 */
#ifndef IMAGE_SIMPLE_H
#define IMAGE_SIMPLE_H

#include "image/block_table.h"
#include "image/format.h"

/* Room at the end of a file, which reads as zeroes. */
struct file_end {
	struct file *file; /* borrowed */
	uint64_t end;      /* first byte nothing is at */
};

/* The end of what the file has now, rounded up. */
int file_end_init(struct file_end *e, struct file *f, uint64_t unit);
/* n bytes more; *ret_at is where. */
int file_end_grow(struct file_end *e, uint64_t n, uint64_t *ret_at);

/* The order that is safe at every step: data, then the table, then nothing is pending. */
int simple_flush(struct image *im, struct block_table *t);

/* For check(): counts a block that is at `at`, n bytes; tells of blocks that are at the same place,
 * behind the end of the file or before `first`. */
struct block_census {
	struct image_report *report;
	GHashTable *seen;          /* owned: place -> block */
	uint64_t first, end, unit; /* data begin, end of the file, bytes of a block in the file */
};
void census_start(struct block_census *c, struct image_report *report, uint64_t first, uint64_t end,
	uint64_t unit);
/* false: the block is wrong. */
bool census_add(struct block_census *c, uint64_t block, uint64_t at);
void census_end(struct block_census *c);

/* 16 random bytes that are a version 4 UUID. */
void random_uuid(uint8_t out[16]);
/* CRC-32C (Castagnoli) as of VHDX. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
