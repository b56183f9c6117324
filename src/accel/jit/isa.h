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
struct machine;
struct vcpu;

enum jit_access { ACCESS_FETCH, ACCESS_LOAD, ACCESS_STORE };

/*
 * As whom memory is accessed; each has its own soft TLB. SUPER_AC differs from SUPER only where the
 * ISA lets a supervisor reach user pages for a while (x86: RFLAGS.AC under SMAP).
 */
enum jit_priv { JIT_PRIV_SUPER, JIT_PRIV_USER, JIT_PRIV_SUPER_AC, JIT_PRIV_COUNT };

struct jit_walk {           /* answer of one page-table walk */
	uint64_t pa;        /* of the byte asked for, A20 applied */
	uint64_t page_size; /* 4096 where attributes differ below it */
	uint8_t rights;     /* 1 << enum jit_access that a TLB entry may grant without another walk
			       (no STORE while the dirty bit is clear) */
	bool global;
};

struct isa {
	const char *name;  /* "x86" */
	unsigned insn_max; /* bytes of the longest instruction */
	size_t arch_size;  /* of the architectural state that follows struct jit_hot */
	/* Byte offsets in the architectural state, for emitted code. */
	uint32_t pc_offset;    /* 64 bits: guest pc (x86: rip) */
	uint32_t seg_base[8];  /* 64 bits each: base of segment n of op->mem (x86: enum x86_seg) */
	uint32_t vec_offset;   /* 16 vector registers, 32 bytes each */
	uint32_t mxcsr_offset; /* 32 bits */

	/* What the front end needs to know of the machine (CPU features), handed to lift in
	 * ir.isa_config; made once, constant. NULL functions: nothing. */
	void *(*config_new)(struct machine *m, GError **error);
	void (*config_free)(void *config);

	int (*vcpu_init)(struct jit_vcpu *v, GError **error);
	void (*vcpu_fini)(struct jit_vcpu *v);
	void (*reset)(struct jit_vcpu *v);

	/* Block mode key: whatever besides the bytes decides what they mean (bitness, flat
	 * segments, single step, …) but not the privilege level. Kept up to date in hot.mode by the
	 * ISA. */
	/*
	 * Lifts instructions from `code` (n bytes, n ≥ insn_max unless the next page is not there)
	 * until the block must end. `left` bytes lie in the first page: no instruction but the
	 * first may cross. With b->follow, the page can be read before `code` too. Pure: reads
	 * nothing of a vCPU. Always ends the block with an exit op. b->n == 0 after it: the first
	 * instruction does not fit into n bytes. The caller has set mode, page_offset, isa_config.
	 */
	void (*lift)(struct ir *b, const uint8_t *code, size_t n, size_t left);

	/* Is the guest pc (rip) the linear address in this mode? Else only jumps within a page are
	 * linked. */
	bool (*pc_is_linear)(uint32_t mode);
	/* Where it is not: bytes from the pc to the end of the code segment; and: record the fault
	 * of an instruction that goes beyond. */
	uint64_t (*code_room)(const struct jit_vcpu *v);
	void (*code_fault)(struct jit_vcpu *v);
	/*
	 * One walk for `va` (linear), as `priv`; sets accessed (and, storing, dirty) bits. On a
	 * fault records it (exception fields of the architectural state) and returns false. General
	 * registers only (light), as it runs under translated code with the guest's vectors in the
	 * host's.
	 */
	bool (*walk)(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_priv priv,
		struct jit_walk *out);
	/* Before n bytes at va, which lie in two pages, are translated: are there addresses for all
	 * of them? If not, records the fault. Light. */
	bool (*span)(struct jit_vcpu *v, uint64_t va, size_t n);
	/* While jit_vcpu.watching: n bytes at va were translated for access a and will be accessed
	 * (n = 0: nothing yet). true: something in this page is watched, so it must not be cached.
	 * Light. */
	bool (*watch)(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a);
	/* Linear address of the next instruction. */
	uint64_t (*pc)(const struct jit_vcpu *v);
	/* Enters the handler of the recorded exception. May record a further one (handled inside:
	 * double, triple fault). false: shutdown. */
	bool (*deliver)(struct jit_vcpu *v);
	/* Between instructions, on its own thread, when vCPU events or single-step state ask for
	 * it: takes INIT, SIPI, NMI, interrupts. Returns false when the vCPU now waits (halted), or
	 * is dead. */
	bool (*events)(struct jit_vcpu *v);
	/* Has it shut down (x86: triple fault)? */
	bool (*dead)(const struct jit_vcpu *v);
	/* Must exactly one instruction be run before events are looked at (interrupt shadow), or
	 * traps be raised after each (TF)? Then the loop lifts one-instruction blocks and calls
	 * after_step. */
	bool (*single)(const struct jit_vcpu *v);
	void (*after_step)(struct jit_vcpu *v);
	/* A host SIGFPE at a guest instruction: record the guest exception for it. `integer`: from
	 * a divide; else SSE (simd) or x87. */
	void (*arith_fault)(struct jit_vcpu *v, bool integer, bool simd);
	/* A NATIVE op's address was not aligned as IRO_ALIGN asks (x86: #GP(0)): record it. */
	void (*align_fault)(struct jit_vcpu *v);
	/* May vector (x87) instructions run now? Records the exception if not (x86: #NM, #UD, #MF).
	 * level as VEC_ENTER's, FPU_ENTER's sub. The caller then loads the registers. */
	bool (*vec_enter)(struct jit_vcpu *v, uint64_t level);
	bool (*fpu_enter)(struct jit_vcpu *v, uint64_t level);
	/* x87 state between the architectural state and the 108-byte image of FNSAVE/FRSTOR. */
	void (*fpu_get)(const struct jit_vcpu *v, uint8_t image[108]);
	void (*fpu_put)(struct jit_vcpu *v, const uint8_t image[108]);
	/* Guest TSC now, from any thread. */
	uint64_t (*tsc)(struct jit_vcpu *v);
	uint64_t (*tsc_khz)(const struct jit_vcpu *v);
	/* Makes the architectural state canonical for somebody else to read; takes over what
	 * somebody else has written to it. The vCPU does not run. */
	void (*state_get)(struct jit_vcpu *v);
	void (*state_put)(struct jit_vcpu *v);
};

extern const struct isa isa_x86;

#endif
