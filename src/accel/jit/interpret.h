/* SPDX-License-Identifier: GPL-2.0-or-later */
/* interpret.h: blocks run by the IR interpreter instead of the host: LODGE_JIT=interp. */
#ifndef ACCEL_JIT_INTERPRET_H
#define ACCEL_JIT_INTERPRET_H

#include <stdbool.h>
#include <stdint.h>

struct ir;
struct jit_vcpu;

/* Runs b, the block at the guest's pc. *ret_pc is where the guest goes on, or the instruction that
 * faulted; *ret_moved: false when a helper has set the pc itself. Returns false when a fault is
 * recorded. */
bool interpret_block(struct jit_vcpu *v, const struct ir *b, void *native_page, uint64_t *ret_pc,
	bool *ret_moved);

#endif
