/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blocks.h: translated blocks: how they are found, linked and dropped. Everything but blocks_find
 * needs jit_vm.lock; dropping, evicting and emptying also need that no other vCPU runs translated
 * code.
 */
#ifndef ACCEL_JIT_BLOCKS_H
#define ACCEL_JIT_BLOCKS_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct arena;
struct jit_vcpu;
struct jit_vm;
struct block;

enum { BLOCK_HASH_BITS = 20, BLOCK_NO_PAGE = -1 };
/* In block.mode, beside the ISA's bits: accesses share no checks (lower_share.c). */
#define BLOCK_PLAIN (1u << 31)

/* How to get the guest's arithmetic flags at a site where they are not in hot.arith. */
enum flags_kind {
	FLAGS_MEMORY,     /* they are in hot.arith */
	FLAGS_HOST,       /* in the host's EFLAGS at the faulting host instruction (SIGFPE) */
	FLAGS_SUB,        /* a - b */
	FLAGS_ADD,        /* result a, of which b was added last */
	FLAGS_SUB_RESULT, /* result a, from which b was subtracted */
	FLAGS_LOGIC,      /* result a & b */
};
struct flags_recipe {
	uint8_t kind; /* enum flags_kind */
	uint8_t type; /* bytes */
	uint8_t a, b; /* globals; b 0xff: imm */
	int32_t imm;
};

/* Host code from `off` (from the block's start) on belongs to the guest instruction at `guest` from
 * the start of the page; ascending. */
struct block_site {
	uint32_t off;
	uint16_t guest;
	struct flags_recipe flags;
};

/* One exit that can be linked. Fields "…_at" are offsets in the arena of 32-bit fields to patch. */
struct block_exit {
	struct block *from, *to;             /* to: NULL while not linked */
	struct block_exit *next_in, **in_at; /* among those that lead to `to` */
	int64_t imm;                         /* target, from the start of from's page */
	uint32_t first_at;   /* displacement of the jump or jcc that starts the exit; 0: none */
	uint32_t final_at;   /* displacement of the jump that leads to the target */
	uint32_t pfn_at;     /* cross-page: immediate of the physical page check; else 0 */
	uint32_t save, bare; /* code that saves the flags; code behind it (arena offsets) */
	uint32_t stub;       /* code that leaves to the loop */
	bool through_bare;   /* bare does more than jump (poll, cross-page check) */
	bool plain;          /* to a block of the kind BLOCK_PLAIN */
	uint8_t saves;       /* guest flags that `save` saves and that are nowhere else */
};

struct block {
	/* what a look-up touches: one cache line */
	uint64_t pa;  /* physical address of the first byte */
	uint64_t pa2; /* physical page of the last byte when it is in another page, else NO_PAGE */
	uint32_t mode;
	bool dead;
	bool temporary;   /* in no table but by_code */
	uint8_t flags_in; /* guest flags it may look at: must be in hot.arith on entry */
	struct block *_Atomic hash_next;
	const void *code;

	uint16_t lo, bytes; /* guest code lies here: from the page start; may reach into the second
			       page */
	uint16_t insns;
	uint32_t off, size;                       /* code in the arena */
	struct block *page_next[2], **page_at[2]; /* among those of its first, second page */
	struct block_site *site;
	struct block_exit *exit;
	unsigned sites, exits;
	struct block_exit *in; /* exits linked to us */
};

struct blocks {
	struct block *_Atomic *hash;
	GHashTable *pages;           /* physical page number -> struct code_page */
	struct block_region *region; /* as many as the arena has */
	unsigned region_count;
	uint32_t region_size;
	uint32_t *by_chunk; /* per 4 KiB of the arena: which block of its region reaches into it */
	struct {
		uint64_t made; /* in the tables */
		uint64_t dropped, linked, guest_bytes, host_bytes, insns;
		uint64_t cycles;  /* of the host, spent translating */
		uint64_t flushes; /* how often blocks were freed: pointers to any may be stale */
		uint64_t evicted; /* regions */
		uint64_t stop_ns, stop_max_ns; /* with all vCPUs stopped for that */
	} count;
};

int blocks_init(struct blocks *b, const struct arena *a, GError **error);
void blocks_fini(struct blocks *b);
/* Lock-free. pa2: physical page of the following page, asked for through `second` only when a block
 * reaches into it; returns NULL when there is none yet. */
struct block *blocks_find(struct blocks *b, uint64_t pa, uint32_t mode, uint64_t pa2);
/* Lives as long as the code of the region that is being filled. */
void *blocks_alloc(struct jit_vm *vm, size_t n);
/* There is no room in the region being filled: goes on to the next if that is empty. */
bool blocks_next_region(struct jit_vm *vm);
/* Frees the oldest region and goes on there. No vCPU may be in translated code. */
void blocks_evict(struct jit_vm *vm);
/* Makes a finished block known; temporary: only to look-ups by host code. */
void blocks_add(struct jit_vm *vm, struct block *k, bool temporary);
void blocks_link(struct jit_vm *vm, struct block_exit *e, struct block *to);
/* Drops every block that covers one of the n bytes at physical pa. */
void blocks_drop_range(struct jit_vm *vm, uint64_t pa, uint64_t n);
bool blocks_range_hit(struct blocks *b, uint64_t pa, uint64_t n);
/* Forgets everything: code, blocks, jump caches. No vCPU may be in translated code. */
void blocks_empty(struct jit_vm *vm);
/* Those whose code lies in region i, in order of their code; dead and temporary ones too. */
unsigned blocks_in_region(const struct blocks *b, unsigned i);
const struct block *blocks_of_region(const struct blocks *b, unsigned i, unsigned n);
/* The block whose code holds arena offset `off`, or NULL. */
struct block *blocks_of_code(struct blocks *b, uint32_t off);
/* The exit whose stub's call returns to arena offset off. */
struct block_exit *blocks_exit(struct blocks *b, uint32_t off);
const struct block_site *blocks_site(const struct block *k, uint32_t off);
/* Does the block with return address `off` cover any of these physical bytes? Takes the lock. */
bool blocks_site_covers(struct jit_vm *vm, uint32_t off, uint64_t pa, uint64_t n);

#endif
