/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys.h: what the parts of the x86 system side (mmu.c, sys_*.c) share. All on the vCPU's own
 * thread.
 *
 * A function that returns bool returns false with an exception recorded, nothing else changed.
 */
#ifndef ACCEL_JIT_X86_SYS_H
#define ACCEL_JIT_X86_SYS_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/jit/x86/helpers.h"
#include "accel/jit/x86/x86.h"

enum { X86_WALK_CACHE = 64 };

/* struct jit_vcpu.isa_private */
struct x86_private {
	struct x86_features features;
	struct x86_cpuid_leaf *leaves;
	unsigned leaf_count;
	uint64_t tsc_khz;
	uint64_t pa_mask;	/* physical address bits there are */
	uint64_t cr4_mask;	/* CR4 bits that may be set */
	uint64_t efer_mask;
	uint64_t xcr0_mask, xss_mask;
	uint32_t space;		/* what jit_as_switch was told last */
	uint32_t pdpte_cr3;	/* CR3 the PDPTEs below were loaded for (PAE paging) */
	uint64_t pdpte[4];
	struct x86_walk_cache { /* 2 MiB of linear addresses: the page table, and what the tables
				   above allow */
		uint64_t va, cr3, table;
		uint32_t gen;
		bool w, u, nx;
	} walk_cache[X86_WALK_CACHE];
	uint32_t walk_gen;	/* renewed by every instruction that invalidates anything */
	bool intr_waiting;	/* an interrupt was seen pending while it could not be taken */
	bool kicked;		/* KVM_HC_KICK_CPU arrived: the next hlt does not wait */
	uint8_t ext; /* EXT bit of error codes: an event from outside the program is under way */
	uint32_t spins;		/* PAUSEs since the last yield */
	bool data_breakpoints;	/* DR7 watches data, whose pages get no TLB entries, or ports */
	uint64_t dr6_step;	/* breakpoint bits to report after this instruction */
	uint64_t start_flags;	/* RFLAGS when the single-stepped instruction began */
	bool not_canonical;	/* the recorded #GP is of an address that is not canonical */
	bool near_limit; /* CS ends in the block at hand: run its instructions alone */
	bool ferr;		/* an x87 exception stops the CPU until an interrupt */
	bool shadow_new;	/* this instruction began an interrupt shadow */
};

static inline struct x86_private *x86_private(const struct jit_vcpu *v)
{
	return v->isa_private;
}
static inline bool x86_protected(const struct x86_cpu *c)
{
	return c->cr0 & X86_CR0_PE;
}
static inline bool x86_vm86(const struct x86_cpu *c)
{
	return c->rflags & X86_FL_VM;
}
/* Segments work by descriptors (not real, not virtual-8086). */
static inline bool x86_descriptors(const struct x86_cpu *c)
{
	return x86_protected(c) && !x86_vm86(c);
}
static inline bool x86_long(const struct x86_cpu *c)
{
	return c->efer & X86_EFER_LMA;
}
static inline bool x86_code64(const struct x86_cpu *c)
{
	return x86_long(c) && c->seg[SEG_CS].attr & SEG_ATTR_L;
}
static inline unsigned x86_iopl(const struct x86_cpu *c)
{
	return c->rflags >> 12 & 3;
}
static inline bool x86_is_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
static inline unsigned seg_dpl(const struct x86_segment *s)
{
	return s->attr >> SEG_ATTR_DPL_SHIFT & 3;
}
static inline enum jit_mem_mode x86_mem_mode(unsigned cpl)
{
	return cpl == 3 ? JIT_MEM_USER : JIT_MEM_SYSTEM;
}

/* ---- sys_mode.c */
/* CPL is SS.DPL; the same in real mode (0) and virtual-8086 mode (3). */
void x86_set_cpl(struct jit_vcpu *v, unsigned cpl);
/* x86_mode_update after a change of CPL (and RFLAGS) from 64-bit code to 64-bit code: short if
 * nothing but the privilege changed. */
void x86_mode_update_64(struct jit_vcpu *v, unsigned cpl);
/* After CR3, CR4, CPL or AC changed: the address space and privilege of accesses. */
void x86_space_update(struct jit_vcpu *v);
/* New rip, cut to the mode's width. */
void x86_set_rip(struct jit_vcpu *v, uint64_t rip);
/* rip of the instruction after this one. */
uint64_t x86_next_rip(const struct jit_vcpu *v, unsigned length);
/* Something waits that could be taken now: leave translated code soon. */
void x86_check_events(struct jit_vcpu *v);

/* ---- sys_desc.c: descriptors (SDM vol. 3, 3.4.5 and 3.5) */
enum {
	DESC_TSS16 = 1,
	DESC_LDT = 2,
	DESC_TSS16_BUSY = 3,
	DESC_CALL16 = 4,
	DESC_TASK = 5,
	DESC_INT16 = 6,
	DESC_TRAP16 = 7,
	DESC_TSS = 9,
	DESC_TSS_BUSY = 11,
	DESC_CALL = 12,
	DESC_INT = 14,
	DESC_TRAP = 15
};
static inline unsigned desc_dpl(uint64_t d) { return d >> 45 & 3; }
static inline bool desc_present(uint64_t d) { return d >> 47 & 1; }
static inline bool desc_s(uint64_t d) { return d >> 44 & 1; }	/* code or data, not system */
static inline unsigned desc_type(uint64_t d) { return d >> 40 & 0xf; }
static inline bool desc_code(uint64_t d) { return desc_s(d) && d >> 43 & 1; }
static inline bool desc_conforming(uint64_t d) { return d >> 42 & 1; }
static inline bool desc_readable(uint64_t d) { return d >> 41 & 1; }	/* code */
static inline bool desc_writable(uint64_t d) { return d >> 41 & 1; }	/* data */
static inline bool desc_l(uint64_t d) { return d >> 53 & 1; }
static inline bool desc_db(uint64_t d) { return d >> 54 & 1; }

void x86_segment_from_desc(struct x86_segment *s, uint16_t sel, uint64_t desc);
/* The descriptor of a selector; beyond the table's limit: `vector`(selector). */
bool x86_desc_load(struct jit_vcpu *v, uint16_t sel, unsigned vector, uint64_t *desc);
/* Upper half of a 16-byte system descriptor (long mode). */
bool x86_desc_load_high(struct jit_vcpu *v, uint16_t sel, unsigned vector, uint64_t *high);
/* Sets the accessed bit in memory and in *desc. */
bool x86_desc_accessed(struct jit_vcpu *v, uint16_t sel, uint64_t *desc);
/* Changes the busy bit of a TSS descriptor. */
bool x86_desc_set_busy(struct jit_vcpu *v, uint16_t sel, bool busy);
/* Checks and loads SS for a stack of privilege `cpl`; errors are `vector`(sel + EXT), #SS if not
 * present. */
bool x86_desc_stack(struct jit_vcpu *v, uint16_t sel, unsigned cpl, unsigned vector,
	struct x86_segment *out);
void x86_segment_null(struct x86_segment *s, uint16_t sel, unsigned dpl);
/* Real and virtual-8086 mode load. */
void x86_segment_real(struct x86_cpu *c, enum x86_seg seg, uint16_t sel);
/* ES, DS, FS, GS after a return to an outer ring: those too privileged become null. */
void x86_segments_demote(struct x86_cpu *c, unsigned cpl);
/* Is [off, off + size) inside the segment? Knows expand-down. */
bool x86_limit_ok(const struct x86_segment *s, uint64_t off, unsigned size);
/* Loads a data segment register in protected mode with all its checks; vector for privilege and
 * type errors (#GP, or #TS in a task switch). */
bool x86_segment_check(struct jit_vcpu *v, enum x86_seg seg, uint16_t sel, unsigned cpl,
	unsigned vector, struct x86_segment *out);

/* ---- stacks of any width: values are written or read first, the stack pointer moves when all went
 * well */
struct x86_stack {
	struct jit_vcpu *v;
	struct x86_segment ss;
	uint64_t sp, mask;
	enum jit_mem_mode mode;
	bool flat;	/* 64-bit: no segment */
	uint16_t error;	/* of #SS: 0, or the new stack's selector */
};
void x86_stack_current(struct jit_vcpu *v, struct x86_stack *s);
void x86_stack_new(struct jit_vcpu *v, struct x86_stack *s, const struct x86_segment *ss,
	uint64_t sp, unsigned cpl);
bool x86_stack_push(struct x86_stack *s, unsigned size, uint64_t val);
bool x86_stack_pop(struct x86_stack *s, unsigned size, uint64_t *val);
/* The new stack pointer into RSP, as wide as the stack is. */
void x86_stack_commit(struct x86_stack *s);

/* ---- sys_event.c */
enum x86_event { X86_EVENT_FAULT, X86_EVENT_INTR, X86_EVENT_INT, X86_EVENT_INT3 };
/* Enters the handler of a vector from the present instruction boundary (rip = return address).
 * Faults on the way escalate to double and triple faults. false: shut down. */
bool x86_enter_event(struct jit_vcpu *v, unsigned vector, enum x86_event kind, bool has_error,
	uint32_t error, uint64_t return_rip);
bool x86_deliver(struct jit_vcpu *v);
/* One try, for sys_task.c and sys_event.c. */
bool x86_enter_real(struct jit_vcpu *v, unsigned vector, uint64_t return_rip, uint64_t flags);

/* ---- sys_task.c (SDM vol. 3, 7.3) */
enum x86_task_switch { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_IRET, X86_TASK_GATE };
bool x86_task_switch(struct jit_vcpu *v, uint16_t sel, uint64_t desc, enum x86_task_switch why,
	uint64_t return_rip, uint64_t flags, bool has_error, uint32_t error);
/* A 32-bit or 16-bit TSS's stack for an inner ring. */
bool x86_tss_stack(struct jit_vcpu *v, unsigned cpl, uint16_t *ss, uint64_t *sp);
/* 64-bit TSS: n 0..2 RSPn, 4..10 IST1..7 (8-byte slots from offset 4). */
bool x86_tss_stack64(struct jit_vcpu *v, unsigned slot, uint64_t *rsp);
bool x86_tss_io_allowed(struct jit_vcpu *v, unsigned port, unsigned size, bool *allowed);
/* VME: does the redirection bitmap send INT n to the 8086 program itself? */
bool x86_tss_int_redirected(struct jit_vcpu *v, unsigned vector, bool *redirected);

/* ---- sys_debug.c */
bool x86_debug_armed(const struct x86_cpu *c);	/* instruction breakpoints are on */
bool x86_debug_watch(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a);
bool x86_debug_data_armed(const struct x86_cpu *c);
/* DR7, or what another register watches, has changed; x86_mode_update is the caller's. */
void x86_debug_set_dr7(struct jit_vcpu *v, uint64_t val);
bool x86_debug_insn_hit(struct jit_vcpu *v, uint64_t *dr6);
bool x86_debug_io_hit(struct jit_vcpu *v, unsigned port, unsigned size);

/* ---- mmu.c */
/* What the walk itself remembers (SDM vol. 3, 4.10.3), on every invalidation whatever its
 * extent. */
void x86_walk_forget(struct jit_vcpu *v);
/* An access that leaves the canonical addresses faults as a whole, not by its first page. */
bool x86_span(struct jit_vcpu *v, uint64_t va, size_t n);
bool x86_walk(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_priv priv,
	struct jit_walk *out);

/* ---- sys_fpu_live.c */
bool x86_fpu_pending(struct jit_vcpu *v); /* an x87 exception waits for the next instruction */
bool x86_fpu_raise(struct jit_vcpu *v); /* it is due: #MF, or FERR where CR0.NE is clear; false */
/* Turns st[], which goes by stack position, for the TOP in a status word to come: registers stay what
 * they are. */
void x86_fpu_move_top(struct x86_fpu *f, uint16_t fsw);
uint16_t x86_fpu_full_tags(const struct x86_fpu *f);
uint8_t x86_fpu_abridged_tags(uint16_t full);
void x86_fpu_get(const struct jit_vcpu *v, uint8_t image[108]);
void x86_fpu_put(struct jit_vcpu *v, const uint8_t image[108]);

/* ---- sys_cr_write.c, sys_msr.c, sys_kvm.c */
bool x86_load_pdptes(struct jit_vcpu *v, uint64_t cr3);
void x86_fp_changed(struct jit_vcpu *v); /* CR0, CR4 or XCR0: registers must be checked for again */
uint64_t x86_tsc(const struct jit_vcpu *v);
bool x86_msr_read(struct jit_vcpu *v, uint32_t msr, uint64_t *val);  /* false: #GP, not recorded */
bool x86_msr_write(struct jit_vcpu *v, uint32_t msr, uint64_t val);
void x86_kvmclock_write(struct jit_vcpu *v);	/* system-time page */
void x86_kvm_wall_clock_write(struct jit_vcpu *v);

/* ---- isa.c */
/* What this engine on this host can offer guests: what is implemented and, where the guest's
 * instruction runs as the host's, what the host has. */
void x86_jit_features(struct x86_features *out);

#endif
