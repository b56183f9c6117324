/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp.h: the IR interpreter: what every operation means, in plain C. The oracle that translated
 * code is compared with, the engine behind LODGE_JIT=interp.
 */
#ifndef ACCEL_JIT_IR_INTERP_H
#define ACCEL_JIT_IR_INTERP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/jit/ir/ir.h"

struct jit_vcpu;

/* What a block touches outside itself. Functions that return bool: false = a fault is recorded and
 * nothing was changed. */
struct ir_env {
	uint8_t *state;     /* guest state as host RBP has it: gpr[] from 0, struct jit_hot below */
	void *native_page;  /* of ir_native_page_new, for IR_NATIVE */
	struct jit_vcpu *v; /* first argument of IR_CALL helpers and of the functions below */
	/* mode: IRO_USER, IRO_SYSTEM or 0 */
	bool (*load)(struct jit_vcpu *v, uint64_t va, void *buf, unsigned n, unsigned mode);
	bool (*store)(struct jit_vcpu *v, uint64_t va, const void *buf, unsigned n, unsigned mode);
	bool (*probe)(struct jit_vcpu *v, uint64_t va, unsigned n, unsigned mode); /* of a store */
	/* Atomic: if n bytes at va equal *old they become *val; else *old is what is there. */
	bool (*cas)(struct jit_vcpu *v, uint64_t va, void *old, const void *val, unsigned n,
		unsigned mode, bool *ret_done);
	bool (*enter)(struct jit_vcpu *v, bool vec, unsigned sub); /* VEC_ENTER, FPU_ENTER */
	void (*arith_fault)(struct jit_vcpu *v, bool integer, bool simd);
	void (*align_fault)(struct jit_vcpu *v);
};

enum ir_ran {
	IR_RAN_PC,    /* *ret_pc is where the guest goes on */
	IR_RAN_LOOP,  /* a helper has set it */
	IR_RAN_FAULT, /* *ret_pc is the instruction that faulted */
};

/* Runs a block (as lifted or optimized) to its end. */
enum ir_ran ir_interp(const struct ir_env *env, const struct ir *b, uint64_t *ret_pc);

/* --- its parts --- */
/* One arithmetic operation `code` of `size` bytes: returns the result; *flags (RFLAGS layout) is
 * read for carries and written where IRFL_* mask fout allows. interp_alu.c */
uint64_t ir_alu(unsigned code, unsigned size, uint64_t a, uint64_t b, uint64_t c, uint64_t *flags,
	uint8_t fout);
/* MULX86, IMULX86, DIVX86, IDIVX86 on ax (RAX) and dx (RDX). false: divide error. */
bool ir_muldiv(unsigned code, unsigned size, uint64_t a, uint64_t *ax, uint64_t *dx,
	uint64_t *flags, uint8_t fout);
uint64_t ir_flag_bits(uint8_t irfl); /* IRFL_* mask to RFLAGS bits */
bool ir_cond_true(unsigned cond, uint64_t flags);

/* A page to assemble host instructions in, one a thread; NULL: the host refuses. interp_native.c */
void *ir_native_page_new(void);
void ir_native_page_free(void *page);
/* Executes IR_NATIVE on this host, vector and x87 registers taken from and put back to the state.
 * gpr: operands d, a, c in and out; mem: the memory operand's bytes in and out. false: it raised an
 * unmasked SIMD exception and changed nothing but the exception flags. */
bool ir_native_run(const struct ir_env *env, const struct ir_op *o, uint64_t gpr[3], void *mem,
	uint64_t *flags);
/* Before it: does no x87 exception wait that this instruction must report instead? */
bool ir_native_ready(const struct ir_env *env, const struct ir_op *o);

#endif
