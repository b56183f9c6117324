/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu.c: the page walk: 32-bit, PAE and 4-level paging. Spec: SDM vol. 3, chapter 4.
 */
#include "accel/jit/x86/sys.h"

enum {
	PTE_P = 1 << 0,
	PTE_W = 1 << 1,
	PTE_U = 1 << 2,
	PTE_A = 1 << 5,
	PTE_D = 1 << 6,
	PTE_PS = 1 << 7,
	PTE_G = 1 << 8,
};
#define PTE_NX ((uint64_t)1 << 63)
#define PTE_ADDR 0x000ffffffffff000ull
enum { /* 4.7: error code */
	PF_P = 1 << 0, PF_W = 1 << 1, PF_U = 1 << 2, PF_RSVD = 1 << 3, PF_I = 1 << 4,
};

/* What a leaf and the tables above it allow. */
struct leaf {
	uint64_t entry;		/* of the leaf */
	uint64_t entry_pa;
	uint64_t base;		/* physical address of the page */
	uint64_t size;
	unsigned entry_size;	/* 4 or 8 bytes */
	bool w, u, nx;
	bool upper_w, upper_u, upper_nx; /* without the leaf's own */
};

static bool page_fault(struct jit_vcpu *v, uint64_t va, uint32_t error, enum jit_access a,
	enum jit_priv priv)
{
	struct x86_cpu *c = v->arch;
	const bool nxe = c->efer & X86_EFER_NXE && c->cr4 & X86_CR4_PAE;

	if (a == ACCESS_STORE)
		error |= PF_W;
	if (priv == JIT_PRIV_USER)
		error |= PF_U;
	if (a == ACCESS_FETCH && (nxe || c->cr4 & X86_CR4_SMEP))
		error |= PF_I;
	c->cr2 = va;
	return x86_raise_error(v, X86_PF, error);
}

/* Sets `bits` in a paging structure entry; false: it changed meanwhile, walk again. */
static bool mark(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t *entry, uint64_t bits)
{
	if ((*entry & bits) == bits)
		return true;
	if (!jit_phys_cas(v, pa, size, *entry, *entry | bits))
		return false;
	*entry |= bits;
	return true;
}

enum step { STEP_OK, STEP_FAULT, STEP_AGAIN };

/* 4.3: two levels of 4-byte entries; 4 MiB pages with CR4.PSE (and 40-bit PSE-36 addresses). */
static enum step walk_32(struct jit_vcpu *v, uint64_t va, struct leaf *l, uint32_t *error)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t pde_pa = (c->cr3 & 0xfffff000) | (va >> 20 & 0xffc);
	uint64_t pde = jit_phys_load(v, pde_pa, 4), pte, pte_pa;

	*error = 0;
	if (!(pde & PTE_P))
		return STEP_FAULT;
	l->w = pde & PTE_W;
	l->u = pde & PTE_U;
	l->nx = false;
	l->entry_size = 4;
	if (pde & PTE_PS && c->cr4 & X86_CR4_PSE) {
		*error = PF_P | PF_RSVD;
		if (pde & 1 << 21)
			return STEP_FAULT;
		l->entry = pde;
		l->entry_pa = pde_pa;
		l->size = 1 << 22;
		l->base = (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32;
		return STEP_OK;
	}
	if (!mark(v, pde_pa, 4, &pde, PTE_A))
		return STEP_AGAIN;
	pte_pa = (pde & 0xfffff000) | (va >> 10 & 0xffc);
	pte = jit_phys_load(v, pte_pa, 4);
	if (!(pte & PTE_P))
		return STEP_FAULT;
	l->w &= (pte & PTE_W) != 0;
	l->u &= (pte & PTE_U) != 0;
	l->entry = pte;
	l->entry_pa = pte_pa;
	l->size = 4096;
	l->base = pte & 0xfffff000;
	return STEP_OK;
}

/* 4.4 and 4.5: 8-byte entries from `level` (4 = PML4, 2 = page directory) down. */
static enum step walk_64(struct jit_vcpu *v, uint64_t va, uint64_t table, unsigned level,
	struct leaf *l, uint32_t *error)
{
	const struct x86_cpu *c = v->arch;
	const struct x86_private *p = x86_private(v);
	uint64_t reserved = PTE_ADDR & ~p->pa_mask, entry, pa;

	if (!(c->efer & X86_EFER_NXE))
		reserved |= PTE_NX;
	if (!x86_long(c))
		reserved |= 0x7ff0000000000000ull;
	l->w = l->u = true;
	l->nx = false;
	l->entry_size = 8;
	for (;; level--) {
		const unsigned shift = 3 + 9 * level;

		pa = table + (va >> shift & 511) * 8;
		entry = jit_phys_load(v, pa, 8);
		*error = 0;
		if (!(entry & PTE_P))
			return STEP_FAULT;
		*error = PF_P | PF_RSVD;
		l->upper_w = l->w;
		l->upper_u = l->u;
		l->upper_nx = l->nx;
		if (entry & reserved || (level == 4 && entry & PTE_PS))
			return STEP_FAULT;
		l->w &= (entry & PTE_W) != 0;
		l->u &= (entry & PTE_U) != 0;
		l->nx |= (entry & PTE_NX) != 0;
		if (level == 1 || entry & PTE_PS) {
			l->size = (uint64_t)1 << shift;
			if (level == 3 && !x86_has(v, FEAT_8000_0001_EDX, 1 << 26))
				return STEP_FAULT;
			if (level > 1 &&
				entry & (l->size - 1) & PTE_ADDR & ~(uint64_t)(1 << 12)) /* PAT */
				return STEP_FAULT;
			l->entry = entry;
			l->entry_pa = pa;
			l->base = entry & PTE_ADDR & ~(l->size - 1);
			return STEP_OK;
		}
		if (!mark(v, pa, 8, &entry, PTE_A))
			return STEP_AGAIN;
		table = entry & PTE_ADDR;
	}
}

/*
 * 4-level paging with the three upper levels remembered: their entries were present, and their
 * accessed bits set, when they were read; INVLPG and its like forget them all.
 */
static enum step walk_4(struct jit_vcpu *v, uint64_t va, struct leaf *l, uint32_t *error)
{
	const struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);
	struct x86_walk_cache *w = &p->walk_cache[va >> 21 & (X86_WALK_CACHE - 1)];
	struct leaf below;
	enum step s;

	if (w->va == va >> 21 && w->cr3 == c->cr3 && w->gen == p->walk_gen) {
		s = walk_64(v, va, w->table, 1, &below, error);
		*l = below;
		l->w &= w->w;
		l->u &= w->u;
		l->nx |= w->nx;
		return s;
	}
	s = walk_64(v, va, c->cr3 & PTE_ADDR, 4, l, error);
	if (s == STEP_OK && l->size == 4096)
		*w = (struct x86_walk_cache){ .va = va >> 21,
			.cr3 = c->cr3,
			.gen = p->walk_gen,
			.table = l->entry_pa & ~(uint64_t)0xfff,
			.w = l->upper_w,
			.u = l->upper_u,
			.nx = l->upper_nx };
	return s;
}

void x86_walk_forget(struct jit_vcpu *v)
{
	x86_private(v)->walk_gen++;
}

static enum step walk_pae(struct jit_vcpu *v, uint64_t va, struct leaf *l, uint32_t *error)
{
	const struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);
	uint64_t pdpte;

	if (p->pdpte_cr3 !=
		(uint32_t)c->cr3) { /* after a restore: they are no architectural state of ours */
		for (unsigned i = 0; i < 4; i++)
			p->pdpte[i] = jit_phys_load(v, (c->cr3 & 0xffffffe0) + 8 * i, 8);
		p->pdpte_cr3 = (uint32_t)c->cr3;
	}
	pdpte = p->pdpte[va >> 30 & 3];
	*error = 0;
	if (!(pdpte & PTE_P))
		return STEP_FAULT;
	return walk_64(v, va, pdpte & PTE_ADDR, 2, l, error);
}

/* 4.6: the access against the rights; also tells what later accesses may do. */
static uint8_t rights(const struct jit_vcpu *v, const struct leaf *l, enum jit_priv priv)
{
	const struct x86_cpu *c = v->arch;
	uint8_t r = 0;

	if (priv == JIT_PRIV_USER) {
		if (!l->u)
			return 0;
		r = 1 << ACCESS_LOAD;
		if (l->w)
			r |= 1 << ACCESS_STORE;
		if (!l->nx)
			r |= 1 << ACCESS_FETCH;
		return r;
	}
	if (!(l->u && c->cr4 & X86_CR4_SMAP && priv != JIT_PRIV_SUPER_AC)) {
		r = 1 << ACCESS_LOAD;
		if (l->w || !(c->cr0 & X86_CR0_WP))
			r |= 1 << ACCESS_STORE;
	}
	if (!l->nx && !(l->u && c->cr4 & X86_CR4_SMEP))
		r |= 1 << ACCESS_FETCH;
	return r;
}

static bool walk_off(uint64_t va, struct jit_walk *out)
{
	*out = (struct jit_walk){ .pa = (uint32_t)va, .page_size = 4096, .global = true,
		.rights = 1 << ACCESS_LOAD | 1 << ACCESS_STORE | 1 << ACCESS_FETCH };
	return true;
}

static enum step walk_once(struct jit_vcpu *v, uint64_t va, struct leaf *l, uint32_t *error)
{
	const struct x86_cpu *c = v->arch;

	if (x86_long(c))
		return walk_4(v, va, l, error);
	va = (uint32_t)va;
	return c->cr4 & X86_CR4_PAE ? walk_pae(v, va, l, error) : walk_32(v, va, l, error);
}

static bool not_canonical(struct jit_vcpu *v)
{
	x86_private(v)->not_canonical = true; /* through SS: #SS, see isa.c */
	return x86_raise_error(v, X86_GP, 0);
}

bool x86_span(struct jit_vcpu *v, uint64_t va, size_t n)
{
	return !x86_long(v->arch) || x86_is_canonical(va + n - 1) || not_canonical(v);
}

bool x86_walk(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_priv priv,
	struct jit_walk *out)
{
	const struct x86_cpu *c = v->arch;
	struct leaf l;
	uint32_t error;
	enum step s;
	uint8_t r;

	if (!(c->cr0 & X86_CR0_PG))
		return walk_off(va, out);
	if (x86_long(c) && !x86_is_canonical(va))
		return not_canonical(v);
	do {
		s = walk_once(v, va, &l, &error);
		if (s == STEP_FAULT)
			return page_fault(v, va, error, a, priv);
		if (s == STEP_AGAIN)
			continue;
		r = rights(v, &l, priv);
		if (!(r >> a & 1))
			return page_fault(v, va, PF_P, a, priv);
		if (!mark(v, l.entry_pa, l.entry_size, &l.entry,
			    PTE_A | (a == ACCESS_STORE ? PTE_D : 0)))
			s = STEP_AGAIN;
	} while (s == STEP_AGAIN);
	if (!(l.entry & PTE_D))
		r &= (uint8_t)~(1 << ACCESS_STORE);
	*out = (struct jit_walk){ .pa = l.base | (va & (l.size - 1)),
		.page_size = l.size,
		.rights = r,
		.global = l.entry & PTE_G && c->cr4 & X86_CR4_PGE };
	return true;
}
