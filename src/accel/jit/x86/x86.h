/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86.h: what the x86 front end's parts share: the block mode key and the C helpers that lifted code
 * calls. Lifting (decode.c, lift_*.c) is pure; everything that touches a vCPU is in sys_*.c, mmu.c.
 */
#ifndef ACCEL_JIT_X86_X86_H
#define ACCEL_JIT_X86_X86_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/jit/jit.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/state.h"

/* Block mode key. Privilege is not in it but for IOPL-like checks done at run time by helpers. */
enum {
	X86_MODE_BITS = 3,		/* default operand/address size: */
	X86_MODE_16 = 0, X86_MODE_32 = 1, X86_MODE_64 = 2,
	X86_MODE_SS32 = 1 << 2,		/* stack pointer is 32 bits (SS.B); 64-bit mode: clear */
	X86_MODE_FLAT_DATA = 1 << 3,	/* DS, ES, SS: base 0, limit 4G, writable, present: no checks */
	X86_MODE_FLAT_CODE = 1 << 4,	/* CS base 0, limit 4G */
	X86_MODE_PE = 1 << 5,		/* protected mode */
	X86_MODE_VM = 1 << 6,		/* virtual-8086 */
	X86_MODE_LMA = 1 << 7,		/* EFER.LMA: also compatibility mode (affects syscall, sysenter, …) */
	X86_MODE_FLAT_FS = 1 << 8,	/* 16/32 bit: FS has no limit to check (its base is added anyway) */
	X86_MODE_USER = 1 << 9,		/* CPL 3: only ever set together with AC checks (X86_MODE_AC) */
	X86_MODE_AC = 1 << 10,		/* alignment checks are on (CR0.AM, RFLAGS.AC, CPL 3) */
	X86_MODE_STEP = 1 << 11,	/* one-instruction block (TF, interrupt shadow, debugger) */
	X86_MODE_FLAT_GS = 1 << 12,	/* GS likewise */
};

static inline struct x86_cpu *x86_cpu_of(struct jit_vcpu *v)
{
	return v->arch;
}

/* Recomputes hot.mode (and df_step, cpl_user, the address space) after segments, CR0, CR4, EFER, RFLAGS
 * changed. sys_mode.c */
void x86_mode_update(struct jit_vcpu *v);
unsigned x86_cpl(const struct x86_cpu *c);

/* hot.arith <-> rflags */
static inline uint64_t x86_rflags(const struct jit_vcpu *v)
{
	return (((const struct x86_cpu *)v->arch)->rflags & ~(uint64_t)X86_FL_ARITH) |
		(v->hot->arith & X86_FL_ARITH);
}
/* Sets arithmetic flags and the rest; calls x86_mode_update if TF, AC, VM or DF changed, and asks for an
 * exit to the loop if IF became 1 with events waiting. */
void x86_set_rflags(struct jit_vcpu *v, uint64_t val);

/* Records an exception; the helper then returns false ("not ok"). */
bool x86_raise(struct jit_vcpu *v, unsigned vector);
bool x86_raise_error(struct jit_vcpu *v, unsigned vector, uint32_t error);
enum { X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6, X86_NM = 7,
       X86_DF = 8, X86_TS = 10, X86_NP = 11, X86_SS = 12, X86_GP = 13, X86_PF = 14, X86_MF = 16,
       X86_AC = 17, X86_MC = 18, X86_XM = 19 };

/* Features this guest sees. */
bool x86_has(const struct jit_vcpu *v, enum x86_feature_word w, uint32_t bit_mask);

#endif
