/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu.h: guest virtual memory in software.
 *
 * struct jit_as is what translated code sees through GS: direct-mapped TLBs for data and for code
 * of one (address space, privilege). A vCPU has several, so that switching between known ones
 * flushes nothing. Below stands one larger, tagged second-level TLB per vCPU; below that the ISA's
 * page walk.
 *
 * Everything here is touched by its vCPU's thread only, or by another inside jit_exclusive.
 */
#ifndef ACCEL_JIT_SOFTMMU_H
#define ACCEL_JIT_SOFTMMU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/jit/isa.h"
#include "accel/jit/jumpcache.h"

struct jit_vcpu;
struct jit_vm;
struct ram;

enum {
	TLB_BITS = 10,
	TLB_SIZE = 1 << TLB_BITS,
	L2_BITS = 12,
	L2_SIZE = 1 << L2_BITS, /* sets of two */
	AS_SPACES = 8,          /* address spaces a vCPU keeps */
	AS_LOG = 256, /* filled slots remembered one by one; more: the table is cleared whole */
};

/*
 * Tags are pages of guest linear addresses, or pages that cannot stand in this slot. Loads and
 * stores share a line, so that both tags, if valid, are of the same page.
 */
struct tlb_line {
	uint64_t tag[2]; /* by TLB_TAG(enum jit_access) */
	uint64_t add;    /* host address minus guest address */
	uint64_t spare;
};
#define TLB_TAG(a) ((a)-ACCESS_LOAD)
enum { TLB_LINE_BITS = 5, FETCH_BITS = 4 };
_Static_assert(sizeof(struct tlb_line) == 1 << TLB_LINE_BITS, "a line's size is a shift");

struct fetch_entry {
	uint64_t tag;
	uint64_t pfn; /* physical page number, 32 bits, and FETCH_GLOBAL */
};
#define FETCH_GLOBAL (1ull << 63)

struct jit_as {
	struct tlb_line tlb[TLB_SIZE]; /* first: in reach of short displacements */
	struct fetch_entry fetch[TLB_SIZE];
	uint64_t jc_gen; /* jump cache entries with it count (jumpcache.h) */
	uint32_t jc_key; /* spreads them */
	bool jc_shared;

	/* not seen by translated code */
	uint64_t space;
	enum jit_priv priv;
	uint32_t gen;  /* tags second-level entries; renewed by a flush */
	uint32_t mode; /* block mode the jump cache is for */
	uint64_t used; /* stamp for replacement */
	unsigned log_count;
	uint16_t log[AS_LOG]; /* fetch << TLB_BITS | slot */
};

/* May this access of n bytes (in one page) at va be done at va + tlb_of(as, va)->add? */
static inline struct tlb_line *tlb_of(struct jit_as *as, uint64_t va)
{
	return &as->tlb[va >> 12 & (TLB_SIZE - 1)];
}
static inline bool tlb_hit(struct jit_as *as, uint64_t va, size_t n, enum jit_access a)
{
	return (tlb_of(as, va)->tag[TLB_TAG(a)] ^ va) <= 4096 - n;
}
static inline struct fetch_entry *fetch_of(struct jit_as *as, uint64_t va)
{
	return &as->fetch[va >> 12 & (TLB_SIZE - 1)];
}

struct l2_entry {
	uint64_t tag; /* page address | rights (1 << enum jit_access) */
	uint64_t pa;  /* physical page | valid bit 0 */
	uint32_t gen;
};

struct phys_ram { /* one piece of RAM in the physical map */
	uint64_t start, size;
	uint8_t *host;
	uint8_t *page_flags;  /* of `start` */
	uint16_t *store_note; /* likewise, see below */
	struct ram *ram;
	uint64_t ram_offset;
	bool readonly;
};

struct phys_view { /* sorted, replaced whole */
	unsigned count;
	struct phys_ram ram[];
};

struct jit_mmu {
	struct jit_as *as[AS_SPACES][JIT_PRIV_COUNT]; /* owned; allocated on first use */
	uint64_t space[AS_SPACES];
	uint64_t used[AS_SPACES];
	uint64_t stamp;
	unsigned current; /* slot of the present space */
	uint32_t next_gen, global_gen[JIT_PRIV_COUNT];
	struct l2_entry (*l2)[2]; /* L2_SIZE sets */
	/* A slow store in flight: data in bounce, to be written by softmmu_commit. */
	uint64_t bounce_va,
		bounce_pa[2]; /* pa[1]: of the second page's first byte when it crosses */
	unsigned bounce_size;
	unsigned bounce_split; /* bytes of it in the first page */
	bool bounce_exclusive; /* the other vCPUs are stopped until the commit */
	bool code_hit; /* the last fault is no fault: a store wants its own block gone first */
	uint8_t bounce[128] __attribute__((aligned(64)));
	struct jump_cache jc;
	uint64_t large[64], huge[64]; /* filters: regions of 4 MiB, 1 GiB that hold pieces of pages
					 up to that size */
	struct {
		uint64_t l1_miss, l2_hit, walks, mmio, flush_page, flush_all, switches;
	} count;
};

/*
 * Where store entries of a physical page may be; 0: nowhere. By it, a page that gets its first
 * translation is taken out of the TLBs without looking through all of them. Not said is the slot in
 * which a direct map of physical memory at a round address has the page: that one is always looked
 * at.
 */
enum {
	NOTE_SLOT = TLB_SIZE - 1, /* with NOTE_KNOWN: one other slot */
	NOTE_KNOWN = 1 << 10,
	NOTE_MANY = 1 << 11,  /* any slot */
	NOTE_VCPU_SHIFT = 12, /* index of the vCPU + 1; NOTE_ALL: several */
	NOTE_ALL = 15,
};

int softmmu_vcpu_init(struct jit_vcpu *v);
void softmmu_vcpu_fini(struct jit_vcpu *v);
/* Physical address of the instruction byte at va. false: fault recorded. */
bool softmmu_fetch(struct jit_vcpu *v, uint64_t va, uint64_t *ret_pa);
/* Same for what is known without a walk; false: nothing recorded. */
bool softmmu_peek(struct jit_vcpu *v, uint64_t va, uint64_t *ret_pa);
/* Is va's page known to be global? */
bool softmmu_global(struct jit_vcpu *v, uint64_t va);
/* Makes GS base point at the present context; on entry of the vCPU's thread. */
void softmmu_activate(struct jit_vcpu *v);
/* No store of any vCPU may go to this physical page without the slow path. RAM_CODE is set for it.
 * Loop level, or in a helper. */
void softmmu_drop_writes(struct jit_vcpu *v, uint64_t pa);
/* Exclusive: v has no store entries at all. */
void softmmu_drop_all_writes(struct jit_vcpu *v, void *unused);

/* --- softmmu_slow.c: what runs under translated code, in general registers only --- */
enum { SLOW_COMMIT = 1 }; /* in softmmu_slow's second result */
/* Of `desc`: bytes, access, whose rights (0: as the context's; 1 + enum jit_priv), whether a store
 * also reads (RMW), whether it must be atomic. */
#define SLOW_DESC(size, access, priv, rmw, lock)                                                   \
	((unsigned)(size) | (unsigned)(access) << 8 | (unsigned)(priv) << 12 |                     \
		(unsigned)(rmw) << 16 | (unsigned)(lock) << 17)
struct slow_result {
	void *host;      /* where the access shall be done; NULL: a fault was recorded */
	uint64_t commit; /* call softmmu_commit after it */
};
/* A miss or anything else out of the ordinary. site: return address in the block (0: from a
 * helper). */
struct slow_result softmmu_slow(struct jit_vcpu *v, uint64_t va, uint64_t desc, uint64_t site);
/* Makes a first-level entry for this access, if there can be one. The fault that a false may stand
 * for is recorded; it comes again when the access is tried. */
bool softmmu_prefill(struct jit_vcpu *v, uint64_t va, enum jit_access a);
/* After the store to the bounce buffer; may do MMIO and drop blocks. */
void softmmu_commit(struct jit_vcpu *v);
/* Around C code that may use vector registers: spills the guest's if live, loads them again. */
unsigned softmmu_guard(struct jit_vcpu *v);
void softmmu_unguard(struct jit_vcpu *v, unsigned level);

/* --- softmmu.c, under a guard --- */
uint64_t softmmu_mmio_read(struct jit_vcpu *v, uint64_t pa, unsigned size);
void softmmu_mmio_write(struct jit_vcpu *v, uint64_t pa, uint64_t val, unsigned size);
struct jit_as *softmmu_as_new(struct jit_vcpu *v, uint64_t space, enum jit_priv priv);
void softmmu_as_clear(struct jit_as *as);
/* Drops all translations of pa's page. */
void softmmu_code_gone(struct jit_vcpu *v, uint64_t pa);
/* Writes n bytes (in one page) to a page that carries translations. */
void softmmu_code_write(
	struct jit_vcpu *v, const struct phys_ram *r, uint64_t pa, const void *buf, size_t n);

/* --- physical map (phys.c) --- */
struct phys_map {
	struct phys_view *_Atomic view;
	struct phys_view *old; /* the one before, kept for readers that are still in it */
};
const struct phys_ram *phys_find(const struct jit_vm *vm, uint64_t pa);

#endif
