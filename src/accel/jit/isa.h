/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isa.h: everything the translator asks of one guest instruction set. */
#ifndef ACCEL_JIT_ISA_H
#define ACCEL_JIT_ISA_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ir;
struct jit_vcpu;
struct vcpu;

enum jit_access { ACCESS_FETCH, ACCESS_LOAD, ACCESS_STORE };

struct jit_walk {		/* answer of one page-table walk */
	uint64_t pa;		/* of the byte asked for, A20 applied */
	uint64_t page_size;	/* 4096 where attributes differ below it */
	uint8_t rights;		/* 1 << enum jit_access that a TLB entry may grant without another walk
				   (no STORE while the dirty bit is clear) */
	bool global;
};

struct isa {
	const char *name;	/* "x86" */
	unsigned insn_max;	/* bytes of the longest instruction */
	size_t arch_size;	/* of the architectural state that follows struct jit_hot */

	int (*vcpu_init)(struct jit_vcpu *v, GError **error);
	void (*vcpu_fini)(struct jit_vcpu *v);
	void (*reset)(struct jit_vcpu *v);

	/* Block mode key: whatever besides the bytes decides what they mean (bitness, flat segments,
	 * single step, …) but not the privilege level. Kept up to date in hot.mode by the ISA. */
	/*
	 * Lifts instructions from `code` (n bytes, n ≥ insn_max unless the next page is not there) until
	 * the block must end. `left` bytes lie in the first page: no instruction but the first may cross.
	 * Pure: reads nothing of a vCPU. Always ends the block with an exit op.
	 */
	void (*lift)(struct ir *b, const uint8_t *code, size_t n, size_t left);

	/* One walk for `va` (linear), as privilege `user`; sets accessed (and, storing, dirty) bits. On a
	 * fault records it (exception fields of the architectural state) and returns false. */
	bool (*walk)(struct jit_vcpu *v, uint64_t va, enum jit_access a, bool user, struct jit_walk *out);
	/* Privilege of ordinary accesses now. */
	bool (*user)(const struct jit_vcpu *v);
	/* Linear address of the next instruction. */
	uint64_t (*pc)(const struct jit_vcpu *v);
	/* Enters the handler of the recorded exception. May record a further one (handled inside:
	 * double, triple fault). false: shutdown. */
	bool (*deliver)(struct jit_vcpu *v);
	/* Between instructions, on its own thread, when vCPU events or single-step state ask for it:
	 * takes INIT, SIPI, NMI, interrupts. Returns false when the vCPU now waits (halted). */
	bool (*events)(struct jit_vcpu *v);
	/* Must exactly one instruction be run before events are looked at (interrupt shadow), or traps
	 * be raised after each (TF)? Then the loop lifts one-instruction blocks and calls after_step. */
	bool (*single)(const struct jit_vcpu *v);
	void (*after_step)(struct jit_vcpu *v);
	/* A host SIGFPE at a guest instruction: record the guest exception for it. `integer`: from a
	 * divide; else SSE (simd) or x87. */
	void (*arith_fault)(struct jit_vcpu *v, bool integer, bool simd);
};

extern const struct isa isa_x86;

#endif
