/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host.h: the back end as the rest of the translator sees it: IR in, a block out. */
#ifndef ACCEL_JIT_HOST_HOST_H
#define ACCEL_JIT_HOST_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct ir;
struct jit_vm;
struct lower;

/* Working storage of translations; one per machine, used under its lock. g_free it. */
struct lower *lower_new(void);
/* Translates b, which starts at physical pa and reaches into physical page pa2 (BLOCK_NO_PAGE: does
 * not). The block is not yet known to anybody. NULL with *ret_full: the code cache must be emptied;
 * without: b does not fit and must be cut. */
struct block *lower_block(
	struct jit_vm *vm, struct ir *b, uint64_t pa, uint64_t pa2, bool *ret_full);

#endif
