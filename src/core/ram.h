/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram.h: one block of guest memory in a memfd, with a dirty bitmap and a hook for translators.
 *
 * Writers outside the vCPUs (DMA, loaders) must use dma.h or ram_touch(), because a translator may
 * hold translations of the page and a migration its old contents.
 */
#ifndef CORE_RAM_H
#define CORE_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { RAM_PAGE = 4096 };

struct ram {
	char *id;	/* owned; names the block in a saved state */
	uint8_t *host;	/* mapped read-write, MAP_SHARED of fd at 0 */
	uint64_t size;	/* bytes, a multiple of RAM_PAGE */
	int fd;		/* memfd; owned */
	bool hugepages;
	/* One byte a page, RAM_* bits below; atomics only. NULL where no translator runs. */
	uint8_t *page_flags;
	/* A translator's own note on each page, next to page_flags; likewise. */
	uint16_t *page_notes;
	/* Dirty log, one bit a page; NULL while off. */
	unsigned long *dirty;
	/* A page that carries RAM_CODE is about to be, or was just, written by someone who is not a
	 * translated store: drop its translations. Set by the JIT. */
	void (*code_written)(void *opaque, struct ram *r, uint64_t offset, uint64_t len);
	void *code_opaque;
	unsigned long *dirty_bits; /* owned; `dirty` points here while the log is on */
	/* What a translator's vCPUs wrote since its last dirty_sync; NULL while its log is off. */
	unsigned long *vcpu_dirty;
	unsigned long *vcpu_dirty_bits; /* owned, likewise */
};

enum { RAM_CODE = 1 }; /* translations of this page exist: no write may bypass code_written */

/* size in bytes; fails with a clear error when the host has not that much. */
struct ram *ram_new(const char *id, uint64_t size, bool hugepages, GError **error);
void ram_free(struct ram *r);

/* Gives r its page_flags and page_notes, all 0 (freed by ram_free). Before the guest runs. */
void ram_track_code(struct ram *r);
/* The bytes [offset, offset+len) were or are about to be written: dirty log and code_written. */
void ram_touch(struct ram *r, uint64_t offset, uint64_t len);
void ram_dirty_start(struct ram *r); /* all clean */
void ram_dirty_stop(struct ram *r);

#endif
