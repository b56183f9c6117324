/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu_slow.c: the part of the soft MMU that runs below translated code: misses of the
 * first-level TLB, page-crossing and MMIO accesses, memory for C helpers.
 *
 * This file is compiled with general registers only, since the guest's vector registers are in the
 * host's while it runs. Where it must call anything else it spills them first (softmmu_guard).
 */
#include "accel/jit/softmmu.h"

#include "accel/jit/blocks.h"
#include "accel/jit/vm.h"
#include "base/unaligned.h"
#include "core/ram.h"

enum {
	PAGE = 4096,
	CODE_PAGE_REUSED = 512, /* bytes stored at once to a page with translations: they all go */
};

/* memcpy may use vectors; these sizes are small. */
static void copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

unsigned softmmu_guard(struct jit_vcpu *v)
{
	unsigned level = v->hot->vec_live;

	if (level)
		v->vm->thunks.vec_spill(v->hot);
	return level;
}

void softmmu_unguard(struct jit_vcpu *v, unsigned level)
{
	if (level)
		v->vm->thunks.vec_fill(v->hot, level);
}

/* ---- the physical map */
const struct phys_ram *phys_find(const struct jit_vm *vm, uint64_t pa)
{
	const struct phys_view *p =
		atomic_load_explicit(&((struct jit_vm *)vm)->phys.view, memory_order_acquire);
	unsigned lo = 0, hi = p->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct phys_ram *r = &p->ram[mid];

		if (pa < r->start)
			hi = mid;
		else if (pa - r->start >= r->size)
			lo = mid + 1;
		else
			return r;
	}
	return NULL;
}

static uint8_t *page_flag(const struct phys_ram *r, uint64_t pa)
{
	return &r->page_flags[(pa - r->start) / PAGE];
}

static bool has_code(const struct phys_ram *r, uint64_t pa)
{
	return __atomic_load_n(page_flag(r, pa), __ATOMIC_SEQ_CST) & RAM_CODE;
}

static void mark_dirty(const struct phys_ram *r, uint64_t pa)
{
	unsigned long *dirty = __atomic_load_n(&r->ram->vcpu_dirty, __ATOMIC_ACQUIRE);
	uint64_t page = (r->ram_offset + pa - r->start) / PAGE;

	if (dirty)
		__atomic_fetch_or(&dirty[page / 64], 1ul << page % 64, __ATOMIC_RELAXED);
}

/* ---- second level */
static unsigned l2_hash(uint64_t page)
{
	return (page >> 12 ^ page >> (12 + L2_BITS)) & (L2_SIZE - 1);
}

static bool l2_find(struct jit_mmu *m, const struct jit_as *as, uint64_t page, enum jit_access a,
	struct jit_walk *out)
{
	struct l2_entry *set = m->l2[l2_hash(page)];

	for (unsigned i = 0; i < 2; i++) {
		struct l2_entry *e = &set[i];

		if ((e->tag & ~7ull) != page ||
			(e->gen != as->gen && e->gen != m->global_gen[as->priv]) ||
			!(e->tag & 1u << a))
			continue;
		out->pa = e->pa;
		out->rights = e->tag & 7;
		out->global = e->gen == m->global_gen[as->priv];
		m->count.l2_hit++;
		return true;
	}
	return false;
}

static void l2_put(
	struct jit_mmu *m, const struct jit_as *as, uint64_t page, const struct jit_walk *w)
{
	struct l2_entry *set = m->l2[l2_hash(page)];
	uint32_t gen = w->global ? m->global_gen[as->priv] : as->gen;
	unsigned i = 0;

	if ((set[0].tag & ~7ull) != page || set[0].gen != gen) {
		/* the newest first, so that the other way is the older one */
		if ((set[1].tag & ~7ull) != page || set[1].gen != gen)
			set[1] = set[0];
		else
			i = 1;
	}
	set[i] = (struct l2_entry){
		.tag = page | (w->rights & 7), .pa = w->pa & ~(uint64_t)(PAGE - 1), .gen = gen
	};
	if (w->page_size > 4u << 20)
		m->huge[page >> 36 & 63] |= 1ull << (page >> 30 & 63);
	else if (w->page_size > PAGE)
		m->large[page >> 28 & 63] |= 1ull << (page >> 22 & 63);
}

/* ---- first level */
static void l1_log(struct jit_as *as, unsigned what)
{
	if (as->log_count < AS_LOG)
		as->log[as->log_count] = (uint16_t)what;
	if (as->log_count <= AS_LOG)
		as->log_count++;
}

static void l1_put(struct jit_as *as, uint64_t page, enum jit_access a, uint64_t add)
{
	unsigned slot = page >> 12 & (TLB_SIZE - 1);
	struct tlb_line *e = &as->tlb[slot];

	l1_log(as, slot);
	if (e->tag[!TLB_TAG(a)] != page)
		e->tag[!TLB_TAG(a)] = ~(uint64_t)slot << 12;
	e->tag[TLB_TAG(a)] = page;
	e->add = add;
}

static void l1_put_fetch(struct jit_vcpu *v, struct jit_as *as, uint64_t page, uint64_t pfn)
{
	unsigned slot = page >> 12 & (TLB_SIZE - 1);

	jc_note_page(v, page);
	l1_log(as, 1u << TLB_BITS | slot);
	as->fetch[slot] = (struct fetch_entry){ page, pfn };
}

static struct jit_as *context(struct jit_vcpu *v, enum jit_priv priv)
{
	struct jit_mmu *m = v->mmu;
	struct jit_as *as = m->as[m->current][priv];

	if (!as) {
		unsigned level = softmmu_guard(v);

		as = softmmu_as_new(v, m->space[m->current], priv);
		softmmu_unguard(v, level);
		m->as[m->current][priv] = as;
	}
	return as;
}

/* Physical address of va for access a, or false with the fault recorded. */
static bool walk(struct jit_vcpu *v, struct jit_as *as, uint64_t va, enum jit_access a,
	uint64_t *ret_pa, bool *ret_global)
{
	uint64_t page = va & ~(uint64_t)(PAGE - 1);
	struct jit_walk w = { 0 };

	if (!l2_find(v->mmu, as, page, a, &w)) {
		v->mmu->count.walks++;
		if (!v->isa->walk(v, va, a, as->priv, &w))
			return false;
		w.rights |= 1u << a;
		l2_put(v->mmu, as, page, &w);
	}
	*ret_pa = (w.pa & ~(uint64_t)(PAGE - 1)) | (va & (PAGE - 1));
	*ret_global = w.global;
	return true;
}

static bool translate(
	struct jit_vcpu *v, struct jit_as *as, uint64_t va, enum jit_access a, uint64_t *ret_pa)
{
	bool global;

	return walk(v, as, va, a, ret_pa, &global);
}

/* Before a store entry is made for pa at va: who must be rid of it finds it by this. */
static void note_store(struct jit_vcpu *v, const struct phys_ram *r, uint64_t pa, uint64_t va)
{
	uint16_t *note = &r->store_note[(pa - r->start) / PAGE];
	uint16_t old = __atomic_load_n(note, __ATOMIC_SEQ_CST), now;
	unsigned slot = va / PAGE & (TLB_SIZE - 1), who = v->vcpu->index + 1u;

	if (who > NOTE_ALL)
		who = NOTE_ALL;
	do {
		now = old;
		if (!(old >> NOTE_VCPU_SHIFT))
			now |= (uint16_t)(who << NOTE_VCPU_SHIFT);
		else if (old >> NOTE_VCPU_SHIFT != who)
			now |= NOTE_ALL << NOTE_VCPU_SHIFT;
		if (slot != (pa / PAGE & (TLB_SIZE - 1))) {
			if (!(old & NOTE_KNOWN))
				now |= (uint16_t)(NOTE_KNOWN | slot);
			else if ((old & NOTE_SLOT) != slot)
				now |= NOTE_MANY;
		}
	} while (now != old && !__atomic_compare_exchange_n(
				       note, &old, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

/* May the page of pa have a first-level entry for access a? Then fills it. */
static void fill(struct jit_vcpu *v, struct jit_as *as, uint64_t va, uint64_t pa, enum jit_access a,
	const struct phys_ram *r)
{
	uint64_t page = va & ~(uint64_t)(PAGE - 1), ppage = pa & ~(uint64_t)(PAGE - 1);

	if (a == ACCESS_FETCH)
		return; /* softmmu_fetch's */
	if (v->watching && v->isa->watch(v, va, 0, a))
		return;
	if (a == ACCESS_STORE) {
		if (r->readonly)
			return;
		if (has_code(r, pa))
			return;
		note_store(v, r, pa, va);
		if (has_code(r, pa))
			return;
		mark_dirty(r, pa);
	}
	l1_put(as, page, a, (uint64_t)(uintptr_t)(r->host + (ppage - r->start)) - page);
}

bool softmmu_fetch(struct jit_vcpu *v, uint64_t va, uint64_t *ret_pa)
{
	struct fetch_entry *e = fetch_of(v->as, va);
	uint64_t page = va & ~(uint64_t)(PAGE - 1);
	const struct phys_ram *r;
	bool global;

	if (e->tag == page) {
		*ret_pa = (e->pfn & ~FETCH_GLOBAL) << 12 | (va & (PAGE - 1));
		return true;
	}
	if (!walk(v, v->as, va, ACCESS_FETCH, ret_pa, &global))
		return false;
	r = phys_find(v->vm, *ret_pa);
	if (r)
		l1_put_fetch(v, v->as, page, *ret_pa >> 12 | (global ? FETCH_GLOBAL : 0));
	return true;
}

bool softmmu_peek(struct jit_vcpu *v, uint64_t va, uint64_t *ret_pa)
{
	struct jit_walk w;

	if (fetch_of(v->as, va)->tag != (va & ~(uint64_t)(PAGE - 1)) &&
		!l2_find(v->mmu, v->as, va & ~(uint64_t)(PAGE - 1), ACCESS_FETCH, &w))
		return false;
	return softmmu_fetch(v, va, ret_pa);
}

bool softmmu_global(struct jit_vcpu *v, uint64_t va)
{
	struct fetch_entry *e = fetch_of(v->as, va);

	return e->tag == (va & ~(uint64_t)(PAGE - 1)) && e->pfn & FETCH_GLOBAL;
}

/* ---- physical accesses within one page */
static void phys_read(struct jit_vcpu *v, uint64_t pa, void *buf, size_t n)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	uint8_t *out = buf;

	if (r) {
		copy(buf, r->host + (pa - r->start), n);
		return;
	}
	while (n) {
		unsigned step = n >= 8 && !(pa & 7)   ? 8
				: n >= 4 && !(pa & 3) ? 4
				: n >= 2 && !(pa & 1) ? 2
						      : 1;
		unsigned level = softmmu_guard(v);
		uint64_t val =
			softmmu_mmio_read(v, pa, n == 2 || n == 4 || n == 8 ? (step = n) : step);

		softmmu_unguard(v, level);
		copy(out, &val, step);
		out += step, pa += step, n -= step;
	}
}

static void phys_write(struct jit_vcpu *v, uint64_t pa, const void *buf, size_t n)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	const uint8_t *in = buf;
	unsigned level;

	if (r && !r->readonly) {
		if (has_code(r, pa)) {
			level = softmmu_guard(v);
			softmmu_code_write(v, r, pa, buf, n);
			softmmu_unguard(v, level);
		} else {
			copy(r->host + (pa - r->start), buf, n);
		}
		mark_dirty(r, pa);
		return;
	}
	while (n) {
		unsigned step = n >= 8 && !(pa & 7)   ? 8
				: n >= 4 && !(pa & 3) ? 4
				: n >= 2 && !(pa & 1) ? 2
						      : 1;
		uint64_t val = 0;

		if (n == 2 || n == 4 || n == 8)
			step = n;
		copy(&val, in, step);
		level = softmmu_guard(v);
		softmmu_mmio_write(v, pa, val, step);
		softmmu_unguard(v, level);
		in += step, pa += step, n -= step;
	}
}

/* ---- slow path of emitted accesses */
static struct slow_result bounce(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_access a,
	const uint64_t pa[2], unsigned first, bool read, bool lock)
{
	struct jit_mmu *m = v->mmu;

	if (lock) {
		unsigned level = softmmu_guard(v);

		exclusive_begin(v, false);
		softmmu_unguard(v, level);
	}
	m->bounce_exclusive = lock;
	m->bounce_va = va;
	m->bounce_pa[0] = pa[0];
	m->bounce_pa[1] = pa[1];
	m->bounce_size = size;
	m->bounce_split = first;
	if (read) {
		phys_read(v, pa[0], m->bounce, first);
		if (first < size)
			phys_read(v, pa[1], m->bounce + first, size - first);
	}
	return (struct slow_result){ m->bounce, a == ACCESS_STORE ? SLOW_COMMIT : 0 };
}

bool softmmu_prefill(struct jit_vcpu *v, uint64_t va, enum jit_access a)
{
	const struct phys_ram *r;
	uint64_t pa;

	v->mmu->count.l1_miss++;
	if (!translate(v, v->as, va, a, &pa))
		return false;
	r = phys_find(v->vm, pa);
	if (r)
		fill(v, v->as, va, pa, a, r);
	return tlb_hit(v->as, va, 1, a);
}

struct slow_result softmmu_slow(struct jit_vcpu *v, uint64_t va, uint64_t desc, uint64_t site)
{
	unsigned size = desc & 0xff, who = desc >> 12 & 15;
	enum jit_access a = desc >> 8 & 15;
	bool rmw = desc >> 16 & 1, lock = desc >> 17 & 1;
	struct jit_as *as = who ? context(v, who - 1) : v->as;
	unsigned first = PAGE - (va & (PAGE - 1));
	uint64_t pa[2] = { 0 };
	const struct phys_ram *r;
	bool code;

	v->mmu->count.l1_miss++;
	v->hot->fault_site = (uint32_t)(site - (uint64_t)(uintptr_t)v->vm->arena.rx);
	if ((first < size && !v->isa->span(v, va, size)) || !translate(v, as, va, a, &pa[0]))
		return (struct slow_result){ NULL, 0 };
	if (first < size) {
		if (!translate(v, as, va + first, a, &pa[1]))
			return (struct slow_result){ NULL, 0 };
		r = NULL;
	} else {
		first = size;
		r = phys_find(v->vm, pa[0]);
	}
	if (v->watching)
		v->isa->watch(v, va, size, a);
	if (r)
		fill(v, as, va, pa[0], a, r);
	if (a != ACCESS_STORE)
		return r ? (struct slow_result){ r->host + (pa[0] - r->start), 0 }
			 : bounce(v, va, size, a, pa, first, true, false);
	code = r && has_code(r, pa[0]);
	if (r && !r->readonly && !code)
		return (struct slow_result){ r->host + (pa[0] - r->start), 0 };
	/* A store into the very block that runs: the instruction must be run alone, see cpu_loop.c.
	 */
	if (site) {
		unsigned level = softmmu_guard(v);
		bool own = blocks_site_covers(v->vm, v->hot->fault_site, pa[0], first) ||
			   (first < size && blocks_site_covers(v->vm, v->hot->fault_site, pa[1],
						    size - first));

		softmmu_unguard(v, level);
		if (own) {
			v->mmu->code_hit = true;
			return (struct slow_result){ NULL, 0 };
		}
	}
	return bounce(
		v, va, size, a, pa, first, rmw, lock && (!r || code) && (code || first < size));
}

void softmmu_commit(struct jit_vcpu *v)
{
	struct jit_mmu *m = v->mmu;
	unsigned first = m->bounce_split;

	phys_write(v, m->bounce_pa[0], m->bounce, first);
	if (first < m->bounce_size)
		phys_write(v, m->bounce_pa[1], m->bounce + first, m->bounce_size - first);
	if (m->bounce_exclusive) {
		unsigned level = softmmu_guard(v);

		m->bounce_exclusive = false;
		exclusive_end(v);
		softmmu_unguard(v, level);
	}
}

/* ---- for C helpers */
static struct jit_as *as_for(struct jit_vcpu *v, enum jit_mem_mode mode)
{
	if (mode == JIT_MEM_CPL)
		return v->as;
	return context(v, mode == JIT_MEM_USER ? JIT_PRIV_USER : JIT_PRIV_SUPER);
}

void *jit_direct(
	struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode mode, size_t n)
{
	struct jit_as *as = as_for(v, mode);
	const struct phys_ram *r;
	struct jit_walk w = { 0 };
	uint64_t page = va & ~(uint64_t)(PAGE - 1), pa;

	if (v->watching && v->isa->watch(v, va, 0, a))
		return NULL;
	if (a != ACCESS_FETCH && tlb_hit(as, va, 1, a))
		return (void *)(uintptr_t)(va + tlb_of(as, va)->add);
	/* no walk: its fault would be recorded */
	if (!l2_find(v->mmu, as, page, a, &w))
		return NULL;
	pa = w.pa | (va & (PAGE - 1));
	r = phys_find(v->vm, pa);
	if (!r || (a == ACCESS_STORE && r->readonly))
		return NULL;
	if (a == ACCESS_STORE && has_code(r, pa)) {
		unsigned level;

		if (n < CODE_PAGE_REUSED)
			return NULL;
		level = softmmu_guard(v);
		softmmu_code_gone(v, pa);
		softmmu_unguard(v, level);
		if (has_code(r, pa))
			return NULL;
	}
	fill(v, as, va, pa, a, r);
	return r->host + (pa - r->start);
}

static bool access_bytes(
	struct jit_vcpu *v, uint64_t va, void *buf, size_t n, struct jit_as *as, enum jit_access a)
{
	uint8_t *p = buf;

	if ((va & (PAGE - 1)) + n > PAGE && !v->isa->span(v, va, n))
		return false;
	while (n) {
		size_t part = PAGE - (va & (PAGE - 1));
		uint64_t pa;

		if (part > n)
			part = n;
		if (!translate(v, as, va, a, &pa))
			return false;
		if (v->watching)
			v->isa->watch(v, va, part, a);
		if (a == ACCESS_STORE)
			phys_write(v, pa, p, part);
		else
			phys_read(v, pa, p, part);
		const struct phys_ram *r = phys_find(v->vm, pa);

		if (r)
			fill(v, as, va, pa, a, r);
		p += part, va += part, n -= part;
	}
	return true;
}

bool jit_probe(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a, enum jit_mem_mode mode)
{
	struct jit_as *as = as_for(v, mode);
	uint64_t last = va + (n ? n - 1 : 0), pa;

	if (last / PAGE != va / PAGE && !v->isa->span(v, va, n))
		return false;
	for (uint64_t page = va & ~(uint64_t)(PAGE - 1);; page += PAGE) {
		if (!translate(v, as, page < va ? va : page, a, &pa))
			return false;
		if (page == (last & ~(uint64_t)(PAGE - 1)))
			return true;
	}
}

/* `rep movsb` takes longer to start than all of these together. */
static uint64_t load_word(const void *p, unsigned size)
{
	uint64_t val = 0;

	switch (size) {
	case 1: return *(const uint8_t *)p;
	case 2: return *(const unaligned_u16 *)p;
	case 4: return *(const unaligned_u32 *)p;
	case 8: return *(const unaligned_u64 *)p;
	default: copy(&val, p, size); return val;
	}
}

static void store_word(void *p, uint64_t val, unsigned size)
{
	switch (size) {
	case 1: *(uint8_t *)p = (uint8_t)val; break;
	case 2: *(unaligned_u16 *)p = (uint16_t)val; break;
	case 4: *(unaligned_u32 *)p = (uint32_t)val; break;
	case 8: *(unaligned_u64 *)p = val; break;
	default: copy(p, &val, size);
	}
}

/* Small frames, such as those of interrupts, word by word. */
static bool direct_bytes(struct jit_as *as, uint64_t va, void *buf, size_t n, enum jit_access a)
{
	unaligned_u64 *host = (unaligned_u64 *)(uintptr_t)(va + tlb_of(as, va)->add), *words = buf;

	if (n > 128 || n & 7 || !tlb_hit(as, va, n, a))
		return false;
	for (size_t i = 0; i < n / 8; i++) {
		if (a == ACCESS_STORE)
			host[i] = words[i];
		else
			words[i] = host[i];
	}
	return true;
}

bool jit_load_bytes(struct jit_vcpu *v, uint64_t va, void *buf, size_t n, enum jit_mem_mode mode)
{
	struct jit_as *as = as_for(v, mode);

	return direct_bytes(as, va, buf, n, ACCESS_LOAD) ||
	       access_bytes(v, va, buf, n, as, ACCESS_LOAD);
}

bool jit_store_bytes(
	struct jit_vcpu *v, uint64_t va, const void *buf, size_t n, enum jit_mem_mode mode)
{
	struct jit_as *as = as_for(v, mode);

	if (direct_bytes(as, va, (void *)buf, n, ACCESS_STORE))
		return true;
	if ((va & (PAGE - 1)) + n > PAGE && !jit_probe(v, va, n, ACCESS_STORE, mode))
		return false;
	return access_bytes(v, va, (void *)buf, n, as, ACCESS_STORE);
}

bool jit_load(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode mode, uint64_t *ret)
{
	struct jit_as *as = as_for(v, mode);
	uint64_t val = 0;

	if (tlb_hit(as, va, size, ACCESS_LOAD))
		val = load_word((void *)(uintptr_t)(va + tlb_of(as, va)->add), size);
	else if (!access_bytes(v, va, &val, size, as, ACCESS_LOAD))
		return false;
	*ret = val;
	return true;
}

bool jit_store(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode mode, uint64_t val)
{
	struct jit_as *as = as_for(v, mode);

	if (tlb_hit(as, va, size, ACCESS_STORE)) {
		store_word((void *)(uintptr_t)(va + tlb_of(as, va)->add), val, size);
		return true;
	}
	return jit_store_bytes(v, va, &val, size, mode);
}

uint64_t jit_phys_load(struct jit_vcpu *v, uint64_t pa, unsigned size)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	uint64_t val = 0;

	if (r && !(pa & (size - 1))) { /* whole: page-table entries change under us */
		const uint8_t *p = r->host + (pa - r->start);

		if (size == 8)
			return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
		if (size == 4)
			return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
	}
	phys_read(v, pa, &val, size);
	return val;
}

void jit_phys_store(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t val)
{
	phys_write(v, pa, &val, size);
}

bool jit_phys_cas(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t old, uint64_t val)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	void *p;
	uint32_t old32 = (uint32_t)old;

	if (!r || r->readonly || has_code(r, pa)) {
		if (jit_phys_load(v, pa, size) != old)
			return false;
		phys_write(v, pa, &val, size);
		return true;
	}
	mark_dirty(r, pa);
	p = r->host + (pa - r->start);
	if (size == 8)
		return __atomic_compare_exchange_n(
			(uint64_t *)p, &old, val, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n(
		(uint32_t *)p, &old32, (uint32_t)val, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* ---- switching contexts */
void softmmu_activate(struct jit_vcpu *v)
{
	v->vm->thunks.set_gs(v->as);
}

static void use(struct jit_vcpu *v, enum jit_priv priv)
{
	v->as = context(v, priv);
	v->hot->priv = priv;
	v->vm->thunks.set_gs(v->as);
	if (v->as->mode != v->hot->mode) /* its part of the jump cache is of another mode: the
					    loop's business */
		jit_request_exit(v->hot);
}

void jit_as_set_priv(struct jit_vcpu *v, enum jit_priv priv)
{
	if (priv != v->hot->priv)
		use(v, priv);
}

void jit_as_switch(struct jit_vcpu *v, uint64_t space_id, enum jit_priv priv)
{
	struct jit_mmu *m = v->mmu;
	unsigned slot = 0;

	if (m->space[m->current] != space_id) {
		m->count.switches++;
		for (unsigned i = 0; i < AS_SPACES; i++) {
			if (m->space[i] == space_id) {
				slot = i;
				goto found;
			}
			if (m->used[i] < m->used[slot])
				slot = i;
		}
		m->space[slot] = space_id;
		for (unsigned p = 0; p < JIT_PRIV_COUNT; p++) {
			if (!m->as[slot][p])
				continue;
			softmmu_as_clear(m->as[slot][p]);
			m->as[slot][p]->space = space_id;
			m->as[slot][p]->gen = m->next_gen++;
			jc_context_new(v, m->as[slot][p]);
		}
	found:
		m->current = slot;
		m->used[slot] = ++m->stamp;
	}
	use(v, priv);
}
