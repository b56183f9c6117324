/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dma.h: a device's way to guest memory. It reaches RAM only (never registers), which rules out
 * device re-entrancy by construction; everything is range-checked here and nowhere else.
 */
#ifndef CORE_DMA_H
#define CORE_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* false if any byte is not RAM (or, writing, is ROM); then nothing was copied. */
bool dma_read(struct machine *m, uint64_t addr, void *buf, size_t len);
bool dma_write(struct machine *m, uint64_t addr, const void *buf, size_t len);

/*
 * Direct pointer to [addr, addr+*len): *len is cut at the end of the RAM block. NULL if addr is no
 * RAM. Valid until the machine's memory layout changes (quiesce). With `write`, call dma_done()
 * once the bytes are written, before the guest can learn of it.
 */
void *dma_map(struct machine *m, uint64_t addr, size_t *len, bool write);
void dma_done(struct machine *m, uint64_t addr, size_t len);

#endif
