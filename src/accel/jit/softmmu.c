/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu.c: the soft MMU's slow business: making contexts, flushing, MMIO, stores to code. */
#include "accel/jit/softmmu.h"

#include <string.h>

#include "accel/jit/blocks.h"
#include "accel/jit/vm.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"

enum { PAGE = 4096 };

int softmmu_vcpu_init(struct jit_vcpu *v)
{
	struct jit_mmu *m = g_new0(struct jit_mmu, 1);

	v->mmu = m;
	jc_init(v);
	m->l2 = g_malloc0(sizeof(*m->l2) * L2_SIZE);
	m->next_gen = 1;
	for (unsigned p = 0; p < JIT_PRIV_COUNT; p++)
		m->global_gen[p] = m->next_gen++;
	for (unsigned i = 1; i < AS_SPACES; i++)
		m->space[i] = ~0ull; /* nobody's */
	m->as[0][JIT_PRIV_SUPER] = softmmu_as_new(v, 0, JIT_PRIV_SUPER);
	v->as = m->as[0][JIT_PRIV_SUPER];
	v->hot->priv = JIT_PRIV_SUPER;
	return 0;
}

void softmmu_vcpu_fini(struct jit_vcpu *v)
{
	if (!v->mmu)
		return;
	for (unsigned i = 0; i < AS_SPACES; i++)
		for (unsigned p = 0; p < JIT_PRIV_COUNT; p++)
			g_free(v->mmu->as[i][p]);
	g_free(v->mmu->l2);
	g_free(v->mmu);
	v->mmu = NULL;
}

/* A page that belongs in another slot. */
static uint64_t no_tag(unsigned slot)
{
	return ~(uint64_t)slot << 12;
}

static void data_empty(struct jit_as *as, unsigned slot)
{
	as->tlb[slot].tag[0] = as->tlb[slot].tag[1] = no_tag(slot);
}

static void fetch_empty(struct jit_as *as, unsigned slot)
{
	as->fetch[slot].tag = no_tag(slot);
}

void softmmu_as_clear(struct jit_as *as)
{
	if (as->log_count > AS_LOG) {
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			data_empty(as, i);
			fetch_empty(as, i);
		}
	}
	for (unsigned k = 0; k < as->log_count && as->log_count <= AS_LOG; k++) {
		if (as->log[k] >> TLB_BITS)
			fetch_empty(as, as->log[k] & (TLB_SIZE - 1));
		else
			data_empty(as, as->log[k] & (TLB_SIZE - 1));
	}
	as->log_count = 0;
}

struct jit_as *softmmu_as_new(struct jit_vcpu *v, uint64_t space, enum jit_priv priv)
{
	struct jit_as *as = g_malloc0(sizeof(*as));

	as->space = space;
	as->priv = priv;
	as->gen = v->mmu->next_gen++;
	as->log_count = AS_LOG + 1;
	as->mode = v->hot->mode;
	softmmu_as_clear(as);
	jc_context_new(v, as);
	return as;
}

static void each_as(
	struct jit_vcpu *v, void (*fn)(struct jit_vcpu *, struct jit_as *, uint64_t), uint64_t arg)
{
	for (unsigned i = 0; i < AS_SPACES; i++)
		for (unsigned p = 0; p < JIT_PRIV_COUNT; p++)
			if (v->mmu->as[i][p])
				fn(v, v->mmu->as[i][p], arg);
}

/* ---- flushes */
static void flush_page_as(struct jit_vcpu *v, struct jit_as *as, uint64_t page)
{
	unsigned slot = page >> 12 & (TLB_SIZE - 1);

	if (as->tlb[slot].tag[0] == page || as->tlb[slot].tag[1] == page)
		data_empty(as, slot);
	if (as->fetch[slot].tag == page)
		fetch_empty(as, slot);
}

void jit_tlb_flush_page(struct jit_vcpu *v, uint64_t va)
{
	struct jit_mmu *m = v->mmu;
	uint64_t page = va & ~(uint64_t)(PAGE - 1);
	struct l2_entry *set = m->l2[(page >> 12 ^ page >> (12 + L2_BITS)) & (L2_SIZE - 1)];

	if (m->large[page >> 28 & 63] & 1ull << (page >> 22 & 63) ||
		m->huge[page >> 36 & 63] & 1ull << (page >> 30 & 63)) {
		jit_tlb_flush_all(v);
		return;
	}
	m->count.flush_page++;
	for (unsigned i = 0; i < 2; i++)
		if ((set[i].tag & ~7ull) == page)
			set[i].gen = 0;
	each_as(v, flush_page_as, page);
	jc_flush_page(v, page);
}

static void flush_as(struct jit_vcpu *v, struct jit_as *as, uint64_t arg)
{
	softmmu_as_clear(as);
	as->gen = v->mmu->next_gen++;
	jc_flush_context(v, as);
}

static void flush_as_of(struct jit_vcpu *v, struct jit_as *as, uint64_t space)
{
	if (as->space == space)
		flush_as(v, as, 0);
}

/* Generations are 32 bits; long before they wrap, all of the second level is emptied. */
static void renew_generations(struct jit_mmu *m)
{
	if (m->next_gen < 0xf0000000u)
		return;
	memset(m->l2, 0, sizeof(*m->l2) * L2_SIZE);
	m->next_gen = 1;
}

void jit_tlb_flush_space(struct jit_vcpu *v, uint64_t space_id, bool globals)
{
	if (globals) {
		jit_tlb_flush_all(v);
		return;
	}
	each_as(v, flush_as_of, space_id);
	if (v->mmu->next_gen >= 0xf0000000u)
		jit_tlb_flush_all(v);
}

void jit_tlb_flush_all(struct jit_vcpu *v)
{
	struct jit_mmu *m = v->mmu;

	m->count.flush_all++;
	renew_generations(m);
	for (unsigned p = 0; p < JIT_PRIV_COUNT; p++)
		m->global_gen[p] = m->next_gen++;
	memset(m->large, 0, sizeof(m->large));
	memset(m->huge, 0, sizeof(m->huge));
	each_as(v, flush_as, 0);
	jc_flush_all(v);
}

/* ---- store entries of one physical page */
struct dropped_page {
	uint16_t *note;
	uint16_t old;
	uint64_t host;
	unsigned natural; /* slot */
};

static void drop_write(struct jit_as *as, unsigned slot, uint64_t host)
{
	uint64_t *tag = &as->tlb[slot].tag[TLB_TAG(ACCESS_STORE)];

	if (*tag != no_tag(slot) && *tag + as->tlb[slot].add == host)
		*tag = no_tag(slot);
}

static void drop_writes_of(struct jit_vcpu *v, void *opaque)
{
	const struct dropped_page *d = opaque;

	for (unsigned k = 0; k < AS_SPACES * JIT_PRIV_COUNT; k++) {
		struct jit_as *as = v->mmu->as[k / JIT_PRIV_COUNT][k % JIT_PRIV_COUNT];

		if (!as)
			continue;
		drop_write(as, d->natural, d->host);
		if (d->old & NOTE_KNOWN)
			drop_write(as, d->old & NOTE_SLOT, d->host);
		for (unsigned i = 0; d->old & NOTE_MANY && i < TLB_SIZE; i++)
			drop_write(as, i, d->host);
	}
}

static void drop_writes_all(struct jit_vcpu *v, void *opaque)
{
	struct dropped_page *d = opaque;

	d->old = __atomic_load_n(d->note, __ATOMIC_SEQ_CST);
	jit_for_each_vcpu(v->vm, drop_writes_of, d);
	__atomic_store_n(d->note, 0, __ATOMIC_SEQ_CST);
}

void softmmu_drop_writes(struct jit_vcpu *v, uint64_t pa)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	struct dropped_page d;

	if (!r)
		return;
	d.note = &r->store_note[(pa - r->start) / PAGE];
	d.old = __atomic_load_n(d.note, __ATOMIC_SEQ_CST);
	d.host = (uint64_t)(uintptr_t)(r->host + ((pa & ~(uint64_t)(PAGE - 1)) - r->start));
	d.natural = pa / PAGE & (TLB_SIZE - 1);
	if (!d.old)
		return;
	if (d.old >> NOTE_VCPU_SHIFT != v->vcpu->index + 1u || v->vcpu->index + 1u >= NOTE_ALL) {
		jit_exclusive(v, drop_writes_all, &d);
		return;
	}
	/* Only this thread may have made entries; who makes one now sees why not to. */
	drop_writes_of(v, &d);
	__atomic_compare_exchange_n(d.note, &d.old, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void drop_all_writes_as(struct jit_vcpu *v, struct jit_as *as, uint64_t unused)
{
	for (unsigned i = 0; i < TLB_SIZE; i++)
		as->tlb[i].tag[TLB_TAG(ACCESS_STORE)] = no_tag(i);
}

void softmmu_drop_all_writes(struct jit_vcpu *v, void *unused)
{
	each_as(v, drop_all_writes_as, 0);
}

/* ---- the rest of the machine */
uint64_t softmmu_mmio_read(struct jit_vcpu *v, uint64_t pa, unsigned size)
{
	v->mmu->count.mmio++;
	return space_read(v->vm->machine->memory, pa, size);
}

void softmmu_mmio_write(struct jit_vcpu *v, uint64_t pa, uint64_t val, unsigned size)
{
	v->mmu->count.mmio++;
	space_write(v->vm->machine->memory, pa, val, size);
}

struct code_store {
	uint8_t *to;
	uint64_t pa;
	const void *buf;
	size_t n;
};

static void code_store(struct jit_vcpu *v, void *opaque)
{
	struct code_store *s = opaque;

	g_mutex_lock(&v->vm->lock);
	blocks_drop_range(v->vm, s->pa, s->n);
	memcpy(s->to, s->buf, s->n);
	g_mutex_unlock(&v->vm->lock);
}

static void code_gone(struct jit_vcpu *v, void *opaque)
{
	g_mutex_lock(&v->vm->lock);
	blocks_drop_range(v->vm, *(uint64_t *)opaque, PAGE);
	g_mutex_unlock(&v->vm->lock);
}

void softmmu_code_gone(struct jit_vcpu *v, uint64_t pa)
{
	pa &= ~(uint64_t)(PAGE - 1);
	jit_exclusive(v, code_gone, &pa);
}

void softmmu_code_write(
	struct jit_vcpu *v, const struct phys_ram *r, uint64_t pa, const void *buf, size_t n)
{
	struct code_store s = { r->host + (pa - r->start), pa, buf, n };

	g_mutex_lock(&v->vm->lock);
	if (!blocks_range_hit(&v->vm->blocks, pa, n)) {
		memcpy(s.to, buf, n);
		g_mutex_unlock(&v->vm->lock);
		return;
	}
	g_mutex_unlock(&v->vm->lock);
	jit_exclusive(v, code_store, &s);
}
