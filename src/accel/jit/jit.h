/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit.h: the translator's per-vCPU state and the services its parts offer each other. What a block
 * is, how it is born, lives and dies: docs/jit.md.
 */
#ifndef ACCEL_JIT_JIT_H
#define ACCEL_JIT_JIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accel/jit/isa.h"

struct jit_as; /* one address-space context: soft TLB and jump cache (softmmu.h); host GS base */
struct jit_vm;
struct machine;
struct vcpu;

/*
 * What translated code touches besides the guest's registers. It lies right before the
 * architectural state, and host RBP points at the border, so that both are in reach of 8-bit
 * displacements: RBP+0.. = gpr[0..15], RBP-128.. = struct jit_hot.
 */
struct jit_hot {
	uint64_t arith;   /* guest arithmetic flags, as PUSHF leaves them (other bits are junk) */
	uint64_t pc_base; /* guest pc (x86: rip value) of the start of the current block's page */
	_Atomic uint32_t exit_request; /* non-zero: leave to the loop at the next check */
	uint8_t vec_live; /* bit 0: SSE usable and vector registers live in the host's; bit 1: AVX
			     too */
	uint8_t fpu_live; /* bit 0: x87 usable and state live in the host's; bit 1: MMX usable too
			   */
	uint8_t priv;     /* enum jit_priv of the current TLB context */
	uint8_t spare;
	uint64_t ret;          /* result of a C helper that can also fault */
	uint64_t scratch[2];   /* back end: spills within an op */
	uint64_t share[4];     /* back end: host addresses that several accesses of a block share */
	uint64_t exit_rsp;     /* host stack pointer to leave with */
	uint32_t fault_site;   /* offset in the code cache of the op that faulted, for unwinding */
	uint32_t mode;         /* present block mode key, kept by the ISA */
	uint64_t tsc_offset;   /* guest TSC = host TSC + this */
	int64_t df_step;       /* x86: +1 or -1, by RFLAGS.DF; the ISA keeps both in step */
	struct jit_vcpu *vcpu; /* whose this is: first argument of C helpers */
	uint64_t link;         /* loop: which exit was left through, or the pc of an indirect one */
};
_Static_assert(sizeof(struct jit_hot) <= 128, "jit_hot is in reach of disp8");

struct jit_vcpu {
	struct vcpu *vcpu; /* borrowed */
	struct jit_vm *vm;
	const struct isa *isa;
	struct jit_as *as;  /* the one in use (= host GS base while translated code runs) */
	void *isa_private;  /* the ISA's: MMU caches, cpuid leaves, … */
	uint8_t *hot_block; /* allocation that holds hot and arch */
	struct jit_hot *hot;
	void *arch;    /* (uint8_t *)hot + 128: struct x86_cpu */
	bool watching; /* data breakpoints are set: isa->watch hears of accesses to their pages */
	/* private to cpu_loop.c, softmmu.c */
	struct jit_loop *loop;
	struct jit_mmu *mmu;
};

/* ---- memory as the guest sees it, for C helpers (softmmu.c). Linear addresses. false: the fault
 * is recorded in the architectural state; the helper must return "not ok" without having changed
 * any guest-visible state. size 1..8 little endian (or any n with the _bytes forms, page crossing
 * allowed). */
enum jit_mem_mode { JIT_MEM_CPL, JIT_MEM_USER, JIT_MEM_SYSTEM };
bool jit_load(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t *ret);
bool jit_store(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t val);
bool jit_load_bytes(struct jit_vcpu *v, uint64_t va, void *buf, size_t n, enum jit_mem_mode m);
bool jit_store_bytes(
	struct jit_vcpu *v, uint64_t va, const void *buf, size_t n, enum jit_mem_mode m);
/* Would a store of n bytes fault? Records the fault if so. */
bool jit_probe(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a, enum jit_mem_mode m);
/* Host pointer to va if it is plain RAM usable for a; NULL: not possible, use the calls above
 * (nothing is recorded). For string instructions: n bytes of that page will be accessed, and where
 * those are many, translations of it are dropped so that they can be stored. */
void *jit_direct(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode m, size_t n);
/* Physical memory for page walks: fast RAM path; holes read as ones. Compare-and-swap for A/D bits:
 * false when the value was not `old`. */
uint64_t jit_phys_load(struct jit_vcpu *v, uint64_t pa, unsigned size);
void jit_phys_store(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t val);
bool jit_phys_cas(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t old, uint64_t val);

/* ---- TLB control, own thread (softmmu.c). An address space is named by what the ISA says
 * identifies it (x86: CR3 page frame | PCID …); switching to a known one keeps its TLB. */
void jit_as_switch(
	struct jit_vcpu *v, uint64_t space_id, enum jit_priv priv); /* after CR3 … changed */
void jit_as_set_priv(struct jit_vcpu *v, enum jit_priv priv); /* CPL or AC changed only: cheap */
void jit_tlb_flush_page(struct jit_vcpu *v, uint64_t va);     /* in the current space, and global */
void jit_tlb_flush_space(struct jit_vcpu *v, uint64_t space_id, bool globals); /* one space */
void jit_tlb_flush_all(struct jit_vcpu *v); /* every space, with globals */

/* ---- exits */
/* C helpers under IR_CALL that must return to the loop (mode change, halt, …) call this and return
 * ok. */
static inline void jit_request_exit(struct jit_hot *h)
{
	atomic_store_explicit(&h->exit_request, 1, memory_order_relaxed);
}
/* Writes vector and x87 registers back to the architectural state if they are live in the host's;
 * they are not live afterwards. Called by every helper that reads or writes them (xsave, fxsave,
 * ldmxcsr, CR0 writes …) and by the loop before anybody else looks. thunks.c */
void jit_vec_spill(struct jit_vcpu *v);
void jit_fpu_spill(struct jit_vcpu *v);
/* Runs fn while no other vCPU executes translated code or touches its TLB. Own thread; other vCPUs'
 * TLBs may be changed from fn. */
void jit_exclusive(struct jit_vcpu *v, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque);
void jit_for_each_vcpu(
	struct jit_vm *vm, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque);

#endif
