/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blocks.c: the table of translated blocks. */
#include "accel/jit/blocks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/jit/host/asm.h"
#include "accel/jit/vm.h"
#include "base/error.h"
#include "core/ram.h"

enum { HASH_BYTES = sizeof(struct block *) << BLOCK_HASH_BITS };
enum { PAGE = 4096, POOL_CHUNK = 1 << 18, LINE_SHIFT = 6, CHUNK_SHIFT = 12 };

/* Memory that is given back all at once. */
struct pool {
	struct pool_chunk {
		struct pool_chunk *next;
		size_t used;
		uint8_t bytes[] __attribute__((aligned(16)));
	} * chunk;
};

/* What lives and dies with the code in one region of the arena. */
struct block_region {
	GPtrArray *by_code;  /* struct block *, ascending off */
	uint32_t last_chunk; /* of 4 KiB, that by_chunk is filled up to */
	struct pool pool;
};

/* A physical page with translations. */
struct code_page {
	struct block *blocks; /* through page_next[k], k = (page is its second) */
	uint64_t lines;       /* 64-byte lines that some block covers; never shrinks */
	uint8_t *flag;        /* its byte in ram.page_flags */
};

static uint64_t no_page(void)
{
	return (uint64_t)BLOCK_NO_PAGE;
}

/* Pages come as they are used. */
static void *map_zeroed(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int blocks_init(struct blocks *b, const struct arena *a, GError **error)
{
	b->hash = map_zeroed(HASH_BYTES);
	b->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	b->region = g_new0(struct block_region, arena_regions(a));
	for (unsigned i = 0; i < arena_regions(a); i++) {
		b->region[i].by_code = g_ptr_array_new();
		b->region[i].last_chunk = (uint32_t)(i * a->region >> CHUNK_SHIFT);
	}
	b->region_count = arena_regions(a);
	b->region_size = (uint32_t)a->region;
	b->by_chunk = g_new0(uint32_t, (a->size >> CHUNK_SHIFT) + 2);
	if (!b->hash)
		return fail_errno(error, LODGE_ERROR_HOST, errno,
			"translator: memory for the table of blocks");
	return 0;
}

static void pool_clear(struct pool *p)
{
	while (p->chunk) {
		struct pool_chunk *next = p->chunk->next;

		g_free(p->chunk);
		p->chunk = next;
	}
}

void blocks_fini(struct blocks *b)
{
	for (unsigned i = 0; i < b->region_count; i++) {
		pool_clear(&b->region[i].pool);
		g_ptr_array_free(b->region[i].by_code, TRUE);
	}
	g_free(b->region);
	g_free(b->by_chunk);
	if (b->pages)
		g_hash_table_destroy(b->pages);
	if (b->hash)
		munmap((void *)b->hash, HASH_BYTES);
}

static struct block_region *filling(struct jit_vm *vm)
{
	return &vm->blocks.region[arena_current(&vm->arena)];
}

void *blocks_alloc(struct jit_vm *vm, size_t n)
{
	struct pool *p = &filling(vm)->pool;
	struct pool_chunk *c = p->chunk;

	n = (n + 15) & ~(size_t)15;
	if (!c || c->used + n > POOL_CHUNK) {
		c = g_malloc(sizeof(*c) + MAX(n, POOL_CHUNK));
		c->used = 0;
		c->next = p->chunk;
		p->chunk = c;
	}
	c->used += n;
	return c->bytes + c->used - n;
}

/* ---- look-up */
static unsigned hash_of(uint64_t pa, uint32_t mode)
{
	uint64_t page = (pa / PAGE ^ (uint64_t)mode << 30) * 0x9e3779b97f4a7c15ull;

	/* what lies together in the guest lies together here, for the host's caches and TLB */
	return ((unsigned)(page >> (64 - BLOCK_HASH_BITS)) + (unsigned)(pa & (PAGE - 1)) / 4) &
	       ((1u << BLOCK_HASH_BITS) - 1);
}

struct block *blocks_find(struct blocks *b, uint64_t pa, uint32_t mode, uint64_t pa2)
{
	struct block *k = atomic_load_explicit(&b->hash[hash_of(pa, mode)], memory_order_acquire);

	for (; k; k = atomic_load_explicit(&k->hash_next, memory_order_acquire))
		if (k->pa == pa && k->mode == mode && !k->dead && k->pa2 == pa2)
			return k;
	return NULL;
}

/* ---- pages */
static struct code_page *page_get(struct jit_vm *vm, uint64_t pa, bool make)
{
	struct blocks *b = &vm->blocks;
	uint64_t pfn = pa / PAGE;
	struct code_page *p = g_hash_table_lookup(b->pages, &pfn);
	const struct phys_ram *r;

	if (p || !make)
		return p;
	p = g_new0(struct code_page, 1);
	r = phys_find(vm, pa);
	p->flag = r ? &r->page_flags[(pa - r->start) / PAGE] : NULL;
	g_hash_table_insert(b->pages, g_memdup2(&pfn, sizeof(pfn)), p);
	return p;
}

static uint64_t lines_of(unsigned first, unsigned n)
{
	unsigned lo = first >> LINE_SHIFT, hi = (first + n - 1) >> LINE_SHIFT;

	return (~0ull >> (63 - (hi - lo))) << lo;
}

/* Where k's instructions are in its first (second) page. */
static void span(const struct block *k, bool second, unsigned *first, unsigned *n)
{
	unsigned off = k->lo, in_first = MIN(PAGE - off, k->bytes);

	*first = second ? 0 : off;
	*n = second ? k->bytes - in_first : in_first;
}

/* Is this page k's second? The list of a page threads through page_next[0] or [1] of each block. */
static unsigned is_second(const struct block *k, uint64_t page)
{
	return (k->pa & ~(uint64_t)(PAGE - 1)) != page;
}

static void page_add(struct jit_vm *vm, struct block *k, bool second)
{
	uint64_t pa = second ? k->pa2 : k->pa & ~(uint64_t)(PAGE - 1);
	struct code_page *p = page_get(vm, pa, true);
	unsigned first, n;

	span(k, second, &first, &n);
	if (n)
		p->lines |= lines_of(first, n);
	k->page_next[second] = p->blocks;
	k->page_at[second] = &p->blocks;
	if (p->blocks)
		p->blocks->page_at[is_second(p->blocks, pa)] = &k->page_next[second];
	p->blocks = k;
}

void blocks_add(struct jit_vm *vm, struct block *k, bool temporary)
{
	struct blocks *b = &vm->blocks;
	struct block_region *r = filling(vm);
	struct block *_Atomic *head = &b->hash[hash_of(k->pa, k->mode)];
	uint32_t last = (k->off + k->size - 1) >> CHUNK_SHIFT;

	for (unsigned c = r->last_chunk; c < last; c++)
		b->by_chunk[c + 1] = r->by_code->len;
	r->last_chunk = last;
	g_ptr_array_add(r->by_code, k);
	k->temporary = temporary;
	if (temporary)
		return;
	page_add(vm, k, false);
	if (k->pa2 != no_page())
		page_add(vm, k, true);
	atomic_store_explicit(&k->hash_next, atomic_load_explicit(head, memory_order_relaxed),
		memory_order_relaxed);
	atomic_store_explicit(head, k, memory_order_release);
	__atomic_store_n(&b->count.made, b->count.made + 1, __ATOMIC_RELEASE);
}

/* ---- links */
static void patch(struct jit_vm *vm, uint32_t at, uint32_t target)
{
	int32_t d = (int32_t)(target - (at + 4));

	__atomic_store_n((int32_t *)(void *)(vm->arena.rw + at), d, __ATOMIC_RELEASE);
}

void blocks_link(struct jit_vm *vm, struct block_exit *e, struct block *to)
{
	bool bare = !(e->saves & to->flags_in);

	if (e->to || to->dead || e->from->dead)
		return;
	e->to = to;
	e->next_in = to->in;
	e->in_at = &to->in;
	if (to->in)
		to->in->in_at = &e->next_in;
	to->in = e;
	vm->blocks.count.linked++;
	patch(vm, e->final_at, to->off);
	if (e->pfn_at) {
		__atomic_store_n((uint32_t *)(void *)(vm->arena.rw + e->pfn_at),
			(uint32_t)(to->pa / PAGE), __ATOMIC_RELEASE);
	}
	if (e->first_at && bare)
		patch(vm, e->first_at, e->through_bare ? e->bare : to->off);
}

static void unlink_exit(struct jit_vm *vm, struct block_exit *e)
{
	if (e->pfn_at)
		__atomic_store_n((uint32_t *)(void *)(vm->arena.rw + e->pfn_at), 0x7fffffffu,
			__ATOMIC_RELEASE);
	if (e->first_at)
		patch(vm, e->first_at, e->save);
	patch(vm, e->final_at, e->stub);
}

/* ---- dropping */
static void forget_page(struct jit_vm *vm, struct block *k, bool second)
{
	uint64_t page = second ? k->pa2 : k->pa & ~(uint64_t)(PAGE - 1), pfn = page / PAGE;
	struct code_page *p = page_get(vm, page, false);

	if (!p)
		return;
	*k->page_at[second] = k->page_next[second];
	if (k->page_next[second])
		k->page_next[second]->page_at[is_second(k->page_next[second], page)] =
			k->page_at[second];
	if (!p->blocks) {
		if (p->flag)
			__atomic_fetch_and(p->flag, (uint8_t)~RAM_CODE, __ATOMIC_SEQ_CST);
		g_hash_table_remove(vm->blocks.pages, &pfn);
	}
}

static void leave_list(struct block_exit *e)
{
	*e->in_at = e->next_in;
	if (e->next_in)
		e->next_in->in_at = e->in_at;
	e->to = NULL;
	e->next_in = NULL;
}

static void drop(struct jit_vm *vm, struct block *k)
{
	struct blocks *b = &vm->blocks;
	struct block *_Atomic *at = &b->hash[hash_of(k->pa, k->mode)];
	struct as_buf a = { .p = vm->arena.rw + k->off, .end = vm->arena.rw + k->off + k->size };

	k->dead = true;
	b->count.dropped++;
	while (*at && *at != k)
		at = (struct block * _Atomic *)&(*at)->hash_next;
	if (*at)
		*at = k->hash_next;
	while (k->in) {
		struct block_exit *e = k->in;

		leave_list(e);
		unlink_exit(vm, e);
	}
	for (unsigned i = 0; i < k->exits; i++)
		if (k->exit[i].to)
			leave_list(&k->exit[i]);
	/* who still comes through a jump cache finds the way back to the loop */
	as_call(&a, arena_rw(&vm->arena, vm->thunks.leave[LEAVE_ENTRY]));
	forget_page(vm, k, false);
	if (k->pa2 != no_page())
		forget_page(vm, k, true);
}

static bool covers(const struct block *k, uint64_t pa, uint64_t n)
{
	unsigned first, len;

	for (unsigned second = 0; second < 2; second++) {
		uint64_t start;

		span(k, second, &first, &len);
		if (!len || (second && k->pa2 == no_page()))
			break;
		start = (second ? k->pa2 : k->pa & ~(uint64_t)(PAGE - 1)) + first;
		if (pa < start + len && start < pa + n)
			return true;
	}
	return false;
}

void blocks_drop_range(struct jit_vm *vm, uint64_t pa, uint64_t n)
{
	while (n) {
		uint64_t page = pa & ~(uint64_t)(PAGE - 1), part = MIN(n, page + PAGE - pa);
		struct code_page *p = page_get(vm, pa, false);
		struct block *k, *next;

		for (k = p ? p->blocks : NULL; k; k = next) {
			next = k->page_next[is_second(k, page)];
			if (covers(k, pa, part))
				drop(vm, k); /* may free p: not used again */
		}
		pa += part;
		n -= part;
	}
}

bool blocks_range_hit(struct blocks *b, uint64_t pa, uint64_t n)
{
	uint64_t pfn = pa / PAGE;
	struct code_page *p = g_hash_table_lookup(b->pages, &pfn);

	return p && p->lines & lines_of(pa & (PAGE - 1), (unsigned)n);
}

static void empty_vcpu(struct jit_vcpu *v, void *opaque)
{
	jc_forget_code(v);
}

static void evict_vcpu(struct jit_vcpu *v, void *opaque)
{
	const struct arena *a = &((struct jit_vm *)opaque)->arena;
	const uint8_t *start = a->rx + (a->limit - a->region);

	jc_forget_range(v, start, start + a->region);
}

static void region_clear(struct jit_vm *vm, unsigned i)
{
	struct block_region *r = &vm->blocks.region[i];

	g_ptr_array_set_size(r->by_code, 0);
	pool_clear(&r->pool);
	r->last_chunk = (uint32_t)(i * vm->arena.region >> CHUNK_SHIFT);
	vm->blocks.by_chunk[r->last_chunk] = 0;
}

void blocks_empty(struct jit_vm *vm)
{
	struct blocks *b = &vm->blocks;
	GHashTableIter it;
	gpointer page;

	g_hash_table_iter_init(&it, b->pages);
	while (g_hash_table_iter_next(&it, NULL, &page)) {
		struct code_page *p = page;

		if (p->flag)
			__atomic_fetch_and(p->flag, (uint8_t)~RAM_CODE, __ATOMIC_SEQ_CST);
	}
	g_hash_table_remove_all(b->pages);
	madvise((void *)b->hash, HASH_BYTES, MADV_DONTNEED); /* zeroes it */
	for (unsigned i = 0; i < b->region_count; i++)
		region_clear(vm, i);
	arena_clear(&vm->arena);
	b->count.flushes++;
	jit_for_each_vcpu(vm, empty_vcpu, NULL);
}

bool blocks_next_region(struct jit_vm *vm)
{
	unsigned next = (arena_current(&vm->arena) + 1) % vm->blocks.region_count;

	if (vm->blocks.region[next].by_code->len)
		return false;
	arena_fill(&vm->arena, next);
	return true;
}

void blocks_evict(struct jit_vm *vm)
{
	struct blocks *b = &vm->blocks;
	unsigned next = (arena_current(&vm->arena) + 1) % b->region_count;
	const GPtrArray *all = b->region[next].by_code;

	for (unsigned i = 0; i < all->len; i++) {
		struct block *k = g_ptr_array_index(all, i);

		if (!k->dead && !k->temporary)
			drop(vm, k);
	}
	region_clear(vm, next);
	arena_fill(&vm->arena, next);
	b->count.flushes++;
	b->count.evicted++;
	jit_for_each_vcpu(vm, evict_vcpu, vm);
}

/* ---- from code to block */
unsigned blocks_in_region(const struct blocks *b, unsigned i)
{
	return b->region[i].by_code->len;
}

const struct block *blocks_of_region(const struct blocks *b, unsigned i, unsigned n)
{
	return g_ptr_array_index(b->region[i].by_code, n);
}

struct block *blocks_of_code(struct blocks *b, uint32_t off)
{
	const struct block_region *r;
	unsigned i;

	if (off / b->region_size >= b->region_count)
		return NULL;
	r = &b->region[off / b->region_size];
	if (!r->by_code->len || off >> CHUNK_SHIFT > r->last_chunk)
		return NULL;
	/* the last block that starts before this chunk, and on from there */
	for (i = b->by_chunk[off >> CHUNK_SHIFT]; i < r->by_code->len; i++) {
		struct block *k = g_ptr_array_index(r->by_code, i);

		if (off < k->off)
			return NULL;
		if (off < k->off + k->size)
			return k;
	}
	return NULL;
}

struct block_exit *blocks_exit(struct blocks *b, uint32_t off)
{
	struct block *k = blocks_of_code(b, off - 1);

	for (unsigned i = 0; k && i < k->exits; i++)
		if (off - k->exit[i].stub <= 10) /* two calls: link, poll */
			return &k->exit[i];
	return NULL;
}

const struct block_site *blocks_site(const struct block *k, uint32_t off)
{
	unsigned lo = 0, hi = k->sites;

	while (lo + 1 < hi) {
		unsigned mid = (lo + hi) / 2;

		if (k->site[mid].off <= off - k->off)
			lo = mid;
		else
			hi = mid;
	}
	return &k->site[lo];
}

bool blocks_site_covers(struct jit_vm *vm, uint32_t off, uint64_t pa, uint64_t n)
{
	struct block *k;
	bool hit;

	g_mutex_lock(&vm->lock);
	k = blocks_of_code(&vm->blocks, off - 1);
	hit = k && k->insns > 1 && covers(k, pa, n);
	g_mutex_unlock(&vm->lock);
	return hit;
}
