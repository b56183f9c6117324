/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lockstep.h: LODGE_JIT=lockstep: each block is first run by the IR interpreter, on a copy of the
 * registers and with its stores held back, then as translated code; the two must agree. A debugging
 * aid.
 */
#ifndef ACCEL_JIT_LOCKSTEP_H
#define ACCEL_JIT_LOCKSTEP_H

struct block;
struct ir;
struct jit_vcpu;
struct lockstep;

struct lockstep *lockstep_new(void);
void lockstep_free(struct lockstep *s);
/* Before translated code runs k: interprets b, the IR it was made of. */
void lockstep_before(struct lockstep *s, struct jit_vcpu *v, const struct ir *b);
/* After it came back: compares, and reports the first differences on stderr with the block's IR. */
void lockstep_after(
	struct lockstep *s, struct jit_vcpu *v, const struct ir *b, const struct block *k);

#endif
