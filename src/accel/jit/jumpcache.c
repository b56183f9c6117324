/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jumpcache.c: the cache of indirect jumps' targets, and its generations. */
#include "accel/jit/jumpcache.h"

#include "accel/jit/jit.h"
#include "accel/jit/softmmu.h"

static struct jc_entry *table(struct jit_vcpu *v)
{
	return (struct jc_entry *)(void *)((uint8_t *)v->arch + jc_offset(v->isa->arch_size));
}

static void set_gen(struct jit_as *as, uint64_t gen)
{
	as->jc_gen = gen;
	as->jc_key = (uint32_t)gen * 0x85ebca6bu;
}

void jc_init(struct jit_vcpu *v)
{
	struct jump_cache *j = &v->mmu->jc;

	j->next_gen = 1;
	j->shared = j->next_gen++;
}

void jc_context_new(struct jit_vcpu *v, struct jit_as *as)
{
	struct jump_cache *j = &v->mmu->jc;

	as->jc_shared = as->priv != JIT_PRIV_USER && as->mode == j->shared_mode;
	set_gen(as, as->jc_shared ? j->shared : j->next_gen++);
}

/* Gives every context that (does not) share a new generation. */
static void renew(struct jit_vcpu *v, bool shared)
{
	struct jit_mmu *m = v->mmu;

	if (shared)
		m->jc.shared = m->jc.next_gen++;
	for (unsigned i = 0; i < AS_SPACES; i++) {
		for (unsigned p = 0; p < JIT_PRIV_COUNT; p++) {
			struct jit_as *as = m->as[i][p];

			if (as && as->jc_shared == shared)
				set_gen(as, shared ? m->jc.shared : m->jc.next_gen++);
		}
	}
}

void jc_mode_changed(struct jit_vcpu *v, struct jit_as *as)
{
	struct jump_cache *j = &v->mmu->jc;

	as->mode = v->hot->mode;
	if (as->priv != JIT_PRIV_USER && j->shared_mode != as->mode) {
		renew(v, true);
		j->shared_mode = as->mode;
	}
	jc_context_new(v, as);
}

static uint64_t *filter(struct jump_cache *j, uint64_t va, uint64_t *ret_bit)
{
	unsigned n = (va >> 12 ^ va >> 27) & 0x7fff;

	*ret_bit = 1ull << n % 64;
	return &j->pages[va >> 63][n / 64];
}

void jc_note_page(struct jit_vcpu *v, uint64_t va)
{
	uint64_t bit, *word = filter(&v->mmu->jc, va, &bit);

	*word |= bit;
}

void jc_put(struct jit_vcpu *v, uint64_t pc, uint64_t va, uint64_t pa, bool global,
	const void *code, uint64_t pc_base)
{
	struct jit_as *as = v->as;
	uint64_t key = pa ^ (uint64_t)v->hot->mode << JP_MODE_SHIFT;
	struct jp_entry *by_pa =
		(struct jp_entry *)(void *)((uint8_t *)v->arch + jp_offset(v->isa->arch_size));
	uint32_t slot;

	jc_note_page(v, va);
	by_pa[(uint32_t)key * JC_MULTIPLIER >> (32 - JP_BITS)] = (struct jp_entry){ key, code };
	if (as->jc_shared && !global) {
		as->jc_shared = false;
		set_gen(as, v->mmu->jc.next_gen++);
	}
	slot = ((uint32_t)pc ^ as->jc_key) * JC_MULTIPLIER >> (32 - JC_BITS);
	table(v)[slot] =
		(struct jc_entry){ .pc = pc, .code = code, .pc_base = pc_base, .gen = as->jc_gen };
}

/* Clears the filter of one half, but for what execute TLBs hold. */
static void forget_pages(struct jit_vcpu *v, unsigned half)
{
	struct jit_mmu *m = v->mmu;

	for (unsigned i = 0; i < sizeof(m->jc.pages[0]) / sizeof(m->jc.pages[0][0]); i++)
		m->jc.pages[half][i] = 0;
	for (unsigned i = 0; i < AS_SPACES * JIT_PRIV_COUNT; i++) {
		struct jit_as *as = m->as[i / JIT_PRIV_COUNT][i % JIT_PRIV_COUNT];

		for (unsigned k = 0; as && k < TLB_SIZE; k++)
			if (((as->fetch[k].tag >> 12) & (TLB_SIZE - 1)) == k &&
				as->fetch[k].tag >> 63 == half)
				jc_note_page(v, as->fetch[k].tag);
	}
}

void jc_flush_page(struct jit_vcpu *v, uint64_t va)
{
	uint64_t bit, *word = filter(&v->mmu->jc, va, &bit);

	if (!(*word & bit))
		return;
	renew(v, false);
	if (va >> 63) /* the lower half's entries are all in generations of their own */
		renew(v, true);
	forget_pages(v, va >> 63);
}

void jc_flush_context(struct jit_vcpu *v, struct jit_as *as)
{
	if (!as->jc_shared)
		set_gen(as, v->mmu->jc.next_gen++);
}

void jc_flush_all(struct jit_vcpu *v)
{
	renew(v, false);
	renew(v, true);
	forget_pages(v, 0);
	forget_pages(v, 1);
}

void jc_forget_range(struct jit_vcpu *v, const void *from, const void *to)
{
	struct jp_entry *by_pa =
		(struct jp_entry *)(void *)((uint8_t *)v->arch + jp_offset(v->isa->arch_size));

	jc_flush_all(v);
	for (unsigned i = 0; i < JP_SIZE; i++)
		if (by_pa[i].key && by_pa[i].code >= from && by_pa[i].code < to)
			by_pa[i].key = 0;
}

void jc_forget_code(struct jit_vcpu *v)
{
	jc_forget_range(v, NULL, (const void *)UINTPTR_MAX);
}
