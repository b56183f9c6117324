/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * block_table.h: the table most formats have: a number for each block of the disk, in the file.
 * Pages are read when needed; changed ones go back in flush(). Calls are made under the metadata
 * lock.
 */
#ifndef IMAGE_BLOCK_TABLE_H
#define IMAGE_BLOCK_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct file;

enum {
	BLOCK_TABLE_PAGE = 4096,          /* bytes, unless said otherwise */
	BLOCK_TABLE_CLEAN_MAX = 32 << 20, /* bytes of unchanged pages kept */
};

struct block_table {
	struct file *file; /* borrowed */
	uint64_t at;       /* of entry 0 in the file */
	uint64_t count;    /* entries */
	uint32_t page;     /* bytes read at a time, a power of two; 0: BLOCK_TABLE_PAGE */
	unsigned width;    /* bytes of an entry: 4 or 8 */
	bool big;          /* big-endian */
	/* Where page i is if pages do not follow each other; 0: nowhere, all its entries are 0.
	 * Or -errno. NULL: at `at` and on. */
	int (*place)(struct block_table *t, uint64_t page, unsigned flags, uint64_t *ret_at);
	void *opaque;
	GHashTable *pages; /* owned: number -> struct block_page * */
	uint64_t bytes;    /* in pages */
	unsigned dirty;    /* changed pages */
};

void block_table_init(struct block_table *t);
void block_table_fini(struct block_table *t);
/* 0 or -errno; -EAGAIN with IMAGE_NOWAIT if the page is not here. */
int block_table_get(struct block_table *t, uint64_t i, unsigned flags, uint64_t *ret);
int block_table_set(struct block_table *t, uint64_t i, uint64_t value, unsigned flags);
/* Writes changed pages. The caller syncs before and after. */
int block_table_write(struct block_table *t);

#endif
