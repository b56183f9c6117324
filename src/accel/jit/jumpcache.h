/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jumpcache.h: where indirect jumps find their target: guest pc → host code, one table per vCPU,
 * behind the architectural state, so that translated code reaches it from RBP.
 *
 * An entry counts only under the generation it was made in, and each context (struct jit_as) has
 * one: user contexts their own, supervisor contexts a common one as long as the code they run lies
 * in global pages, which all address spaces see alike. To forget entries is to take a new
 * generation.
 */
#ifndef ACCEL_JIT_JUMPCACHE_H
#define ACCEL_JIT_JUMPCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "accel/jit/isa.h"

struct jit_as;
struct jit_vcpu;

enum { JC_BITS = 15, JC_SIZE = 1 << JC_BITS, JC_ENTRY_BITS = 5 };
#define JC_MULTIPLIER 0x9e3779b1u

struct jc_entry {
	uint64_t pc;      /* guest pc (x86: rip) */
	const void *code; /* host code of the block */
	uint64_t pc_base; /* what hot.pc_base must be in it */
	uint64_t gen;     /* 0: empty */
};
_Static_assert(sizeof(struct jc_entry) == 1 << JC_ENTRY_BITS, "an entry's size is a shift");

struct jump_cache {
	uint64_t next_gen;
	uint64_t shared;      /* generation of the supervisor contexts that share one */
	uint32_t shared_mode; /* block mode it is for */
	uint64_t pages[2]
		      [512]; /* filters: which pages of the lower, upper half entries may lead to */
};

/*
 * Behind it stands a second table, by physical address: what the first does not know in this
 * generation may have been run in another one, or at another address. A dropped block's entry
 * stays: its code leads back to the loop.
 */
enum { JP_BITS = 17, JP_SIZE = 1 << JP_BITS, JP_ENTRY_BITS = 4, JP_MODE_SHIFT = 46 };
struct jp_entry {
	uint64_t key; /* physical pc ^ mode << JP_MODE_SHIFT; 0: empty */
	const void *code;
};
_Static_assert(sizeof(struct jp_entry) == 1 << JP_ENTRY_BITS, "an entry's size is a shift");

/* Offset of the table from the start of an architectural state of `arch_size` bytes. */
static inline size_t jc_offset(size_t arch_size)
{
	return (arch_size + 63) & ~(size_t)63;
}

/* Of the second table, and of the end of both. */
static inline size_t jp_offset(size_t arch_size)
{
	return jc_offset(arch_size) + JC_SIZE * sizeof(struct jc_entry);
}
static inline size_t jc_end(size_t arch_size)
{
	return jp_offset(arch_size) + JP_SIZE * sizeof(struct jp_entry);
}

void jc_init(struct jit_vcpu *v);
/* An execute TLB entry for va's page was made: emitted code may put entries for it from now on. */
void jc_note_page(struct jit_vcpu *v, uint64_t va);
/* All code is gone. */
void jc_forget_code(struct jit_vcpu *v);
/* The code in [from, to) is. */
void jc_forget_range(struct jit_vcpu *v, const void *from, const void *to);
/* A context was made or given to another address space. */
void jc_context_new(struct jit_vcpu *v, struct jit_as *as);
/* hot.mode is no longer what as->mode says. */
void jc_mode_changed(struct jit_vcpu *v, struct jit_as *as);
/* Remembers that pc (at linear address va, physical pa) starts `code` in the present context and
 * mode. global: va's page is. */
void jc_put(struct jit_vcpu *v, uint64_t pc, uint64_t va, uint64_t pa, bool global,
	const void *code, uint64_t pc_base);
/* The mapping of this page may change; all non-global mappings of as; everything. */
void jc_flush_page(struct jit_vcpu *v, uint64_t va);
void jc_flush_context(struct jit_vcpu *v, struct jit_as *as);
void jc_flush_all(struct jit_vcpu *v);

#endif
