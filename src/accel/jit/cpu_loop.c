/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu_loop.c: a vCPU's thread: finds or makes the block at the guest's pc, runs translated code
 * until it comes back, and does what it came back for.
 */
#include "accel/jit/cpu_loop.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "accel/jit/host/host.h"
#include "accel/jit/interpret.h"
#include "accel/jit/ir/interp.h"
#include "accel/jit/lockstep.h"
#include "accel/jit/trace.h"
#include "accel/jit/vm.h"
#include "base/log.h"
#include "core/ram.h"
#include "core/vcpu.h"

enum { PAGE = 4096, CODE_WINDOW = 2 * PAGE };
enum { TRAP_GP = 13 }; /* of a host signal */

static uint64_t *guest_pc(struct jit_vcpu *v)
{
	return (uint64_t *)(void *)((uint8_t *)v->arch + v->isa->pc_offset);
}

static uint64_t no_page(void)
{
	return (uint64_t)BLOCK_NO_PAGE;
}

/* ---- making blocks */
struct birth {
	uint64_t pa, pa2;    /* as struct block */
	const uint8_t *code; /* at pa, in window */
	bool whole;          /* all of the page is there, not only from pa on */
	size_t n, left;
	uint64_t room; /* bytes to the end of the code segment */
	uint64_t made; /* blocks.count.made before the look-up that found none */
	uint8_t window[CODE_WINDOW];
};

void cpu_loop_init(struct jit_vcpu *v)
{
	v->loop->ir = g_new0(struct ir, 1);
	v->loop->birth = g_new0(struct birth, 1);
	if (v->vm->opt.lockstep)
		v->loop->lockstep = lockstep_new();
	if (v->vm->opt.interp)
		v->loop->native_page = ir_native_page_new();
}

void cpu_loop_fini(struct jit_vcpu *v)
{
	g_free(v->loop->ir);
	g_free(v->loop->birth);
	lockstep_free(v->loop->lockstep);
	ir_native_page_free(v->loop->native_page);
}

/* Sees to it that every store to pa's page is noticed from now on. */
static void watch_page(struct jit_vcpu *v, uint64_t pa)
{
	const struct phys_ram *r = phys_find(v->vm, pa);
	uint8_t *flag;

	if (!r)
		return;
	flag = &r->page_flags[(pa - r->start) / PAGE];
	if (!(__atomic_load_n(flag, __ATOMIC_SEQ_CST) & RAM_CODE) &&
		!(__atomic_fetch_or(flag, RAM_CODE, __ATOMIC_SEQ_CST) & RAM_CODE))
		softmmu_drop_writes(v, pa);
}

static void read_code(struct jit_vcpu *v, uint64_t pa, uint8_t *to, size_t n)
{
	const struct phys_ram *r = phys_find(v->vm, pa);

	if (r) {
		memcpy(to, r->host + (pa - r->start), n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)softmmu_mmio_read(v, pa + i, 1);
}

static void lift(struct jit_vcpu *v, struct ir *b, struct birth *w, uint32_t mode)
{
	b->n = b->temps = b->insns = b->bytes = 0;
	b->full = b->uses_vec = b->uses_fpu = false;
	b->mode = mode & ~BLOCK_PLAIN;
	b->plain = mode & BLOCK_PLAIN;
	b->page_offset = w->pa & (PAGE - 1);
	b->isa_config = v->vm->isa_config;
	b->follow = w->whole && !b->plain;
	b->follows = 0;
	b->polls = false;
	v->isa->lift(b, w->code, w->n, w->left);
}

static void cut_in_half(struct ir *b)
{
	unsigned insns = 0, half = b->insns / 2;

	for (unsigned i = 0; i < b->n; i++)
		if (b->op[i].code == IR_INSN && insns++ == half && i)
			return ir_cut(b, i);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* All regions of the code cache are full. */
static void make_room(struct jit_vcpu *v)
{
	struct blocks *b = &v->vm->blocks;
	uint64_t began, took;

	exclusive_begin(v, true);
	began = now_ns();
	g_mutex_lock(&v->vm->lock);
	if (!blocks_next_region(v->vm)) /* somebody else may have been here */
		blocks_evict(v->vm);
	took = now_ns() - began;
	b->count.stop_ns += took;
	b->count.stop_max_ns = MAX(b->count.stop_max_ns, took);
	g_mutex_unlock(&v->vm->lock);
	exclusive_end(v);
}

/* Host code of b; NULL: the cache is full. Lock held. */
static struct block *lower_locked(struct jit_vcpu *v, struct ir *b, struct birth *w)
{
	struct jit_vm *vm = v->vm;
	const char *why;
	struct block *k;
	unsigned op = 0;
	bool full;

	if (vm->opt.verify && (why = ir_verify(b, &op))) {
		g_autofree char *text = ir_print(b);

		log_warn("bad IR at op %u: %s\n%s", op, why, text);
	}
	trace_ir(vm, b, w->pa, "lifted");
	ir_optimize(b, (vm->opt.fold ? IR_OPT_FOLD : 0) | (vm->opt.liveness ? IR_OPT_LIVENESS : 0));
	for (;;) {
		k = lower_block(vm, b, w->pa, w->pa2, &full);
		if (full && blocks_next_region(vm))
			continue;
		if (k || full)
			break;
		if (b->insns <= 1)
			g_error("translator: one instruction does not fit in a block");
		cut_in_half(b);
	}
	if (k) {
		vm->blocks.count.insns += b->insns;
		vm->blocks.count.guest_bytes += b->bytes;
		vm->blocks.count.host_bytes += k->size;
		trace_block(vm, b, k);
	}
	return k;
}

/* Is every store to pa's page still noticed? What watch_page did may be undone when its last block
 * goes. */
static bool watched(struct jit_vcpu *v, uint64_t pa)
{
	const struct phys_ram *r = phys_find(v->vm, pa);

	return !r ||
	       __atomic_load_n(&r->page_flags[(pa - r->start) / PAGE], __ATOMIC_SEQ_CST) & RAM_CODE;
}

/* Reads and lifts under the lock, so that no noticed store comes between the bytes and the block.
 */
static void lift_locked(struct jit_vcpu *v, struct ir *b, struct birth *w, uint32_t mode)
{
	uint64_t before = w->pa & (PAGE - 1);

	w->whole = v->vm->opt.follow && v->vm->isa->pc_is_linear(mode & ~BLOCK_PLAIN) &&
		   phys_find(v->vm, w->pa);
	w->code = w->window + before;
	w->n = w->left;
	if (w->n > w->room)
		w->n = w->left = w->room;
	if (w->whole)
		read_code(v, w->pa - before, w->window, PAGE);
	else
		read_code(v, w->pa, w->window + before, w->left);
	if (w->pa2 != no_page()) {
		read_code(v, w->pa2, w->window + before + w->left, v->isa->insn_max);
		w->n = MIN(w->n + v->isa->insn_max, w->room);
	}
	lift(v, b, w, mode);
	if (!b->insns)
		b->n = 0;
}

static void cut_to_one(struct ir *b)
{
	for (unsigned i = 0, n = 0; i < b->n; i++)
		if (b->op[i].code == IR_INSN && n++)
			return ir_cut(b, i);
}

/* A new block at va. NULL: a fetch fault is recorded, or *ret_again. Takes and leaves the lock. */
static struct block *block_make(
	struct jit_vcpu *v, uint64_t va, uint32_t mode, bool once, bool *ret_again)
{
	struct jit_vm *vm = v->vm;
	struct ir *b = v->loop->ir;
	struct birth *w = v->loop->birth;
	struct block *k = NULL;
	bool temporary;
	uint64_t began = __builtin_ia32_rdtsc();

	*ret_again = false;
	w->left = PAGE - (va & (PAGE - 1));
	w->pa2 = no_page();
	watch_page(v, w->pa);
	g_mutex_lock(&vm->lock);
	lift_locked(v, b, w, mode);
	if (!b->n) { /* the first instruction reaches into the next page, or beyond the segment */
		g_mutex_unlock(&vm->lock);
		if (w->room <= w->left) {
			v->isa->code_fault(v);
			return NULL;
		}
		if (!softmmu_fetch(v, va + w->left, &w->pa2))
			return NULL;
		watch_page(v, w->pa2);
		g_mutex_lock(&vm->lock);
		lift_locked(v, b, w, mode);
		if (!b->n) {
			g_mutex_unlock(&vm->lock);
			v->isa->code_fault(v);
			return NULL;
		}
	}
	temporary = once || !phys_find(vm, w->pa) ||
		    ((w->pa2 != no_page() || w->room < PAGE) &&
			    !vm->isa->pc_is_linear(mode & ~BLOCK_PLAIN));
	if (!temporary && vm->blocks.count.made != w->made) /* somebody else may have made it */
		k = blocks_find(&vm->blocks, w->pa, mode, w->pa2);
	if (!k && b->n && watched(v, w->pa) && (w->pa2 == no_page() || watched(v, w->pa2))) {
		if (once)
			cut_to_one(b);
		k = lower_locked(v, b, w);
		if (k)
			blocks_add(vm, k, temporary);
		else
			v->loop->cache_full = true;
	}
	vm->blocks.count.cycles += __builtin_ia32_rdtsc() - began;
	g_mutex_unlock(&vm->lock);
	*ret_again = !k;
	return k;
}

/* The block at the guest's pc: found or made. once: a new one of a single instruction, for this run
 * only. NULL: fault recorded. */
static struct block *block_get(struct jit_vcpu *v, bool once)
{
	struct jit_vm *vm = v->vm;
	uint32_t mode = v->hot->mode;
	uint32_t key = mode | (once || v->loop->plain ? BLOCK_PLAIN : 0);
	uint64_t va = v->isa->pc(v), pa2;
	struct birth *w = v->loop->birth;
	struct block *k = NULL;
	bool again, once_or_limited = once;

	v->loop->plain = false;
	w->room = UINT64_MAX;
	if (!v->isa->pc_is_linear(mode)) {
		w->room = v->isa->code_room(v);
		if (!w->room) {
			v->isa->code_fault(v);
			return NULL;
		}
		/* what ends in this page is for this run only: others may come with other limits */
		once_or_limited = once || w->room < PAGE - (va & (PAGE - 1));
	}
	do {
		if (!softmmu_fetch(v, va, &w->pa))
			return NULL;
		v->hot->pc_base = *guest_pc(v) - (va & (PAGE - 1));
		w->made = __atomic_load_n(&vm->blocks.count.made, __ATOMIC_ACQUIRE);
		if (!once_or_limited)
			k = blocks_find(&vm->blocks, w->pa, key, no_page());
		if (!k && !once_or_limited && (va & (PAGE - 1)) > PAGE - v->isa->insn_max &&
			softmmu_peek(v, (va | (PAGE - 1)) + 1, &pa2))
			k = blocks_find(&vm->blocks, w->pa, key, pa2);
		if (k)
			return k;
		k = block_make(v, va, key, once, &again);
		if (v->loop->cache_full) {
			v->loop->cache_full = false;
			make_room(v);
		}
	} while (!k && again);
	return k;
}

/* ---- flags out of recipes */
static uint64_t low(uint64_t v, unsigned type)
{
	return type == 8 ? v : v & ((1ull << 8 * type) - 1);
}

static uint64_t flags_logic(uint64_t r, unsigned type)
{
	uint64_t f = 0;

	r = low(r, type);
	f |= !r ? 0x40 : 0;
	f |= r >> (8 * type - 1) & 1 ? 0x80 : 0;
	f |= __builtin_parity((unsigned)r & 0xff) ? 0 : 4;
	return f;
}

static uint64_t flags_addsub(uint64_t a, uint64_t b, uint64_t r, unsigned type, bool sub)
{
	unsigned top = 8 * type - 1;
	uint64_t f = flags_logic(r, type), over = sub ? (a ^ b) & (a ^ r) : (a ^ r) & (b ^ r);

	f |= (a ^ b ^ r) & 0x10;
	f |= over >> top & 1 ? 0x800 : 0;
	f |= sub ? low(a, type) < low(b, type) : low(r, type) < low(a, type);
	return f;
}

/* hot.arith = the flags as they are at a site, from gpr[] as it was there. */
static void recover_flags(struct jit_vcpu *v, const struct flags_recipe *p, uint64_t host_flags)
{
	const uint64_t *gpr = v->arch;
	uint64_t a = gpr[p->a & 31], b = p->b == 0xff ? (uint64_t)(int64_t)p->imm : gpr[p->b & 31];

	switch (p->kind) {
	case FLAGS_HOST: v->hot->arith = host_flags; break;
	case FLAGS_SUB: v->hot->arith = flags_addsub(a, b, a - b, p->type, true); break;
	case FLAGS_SUB_RESULT: v->hot->arith = flags_addsub(a + b, b, a, p->type, true); break;
	case FLAGS_ADD: v->hot->arith = flags_addsub(a - b, b, a, p->type, false); break;
	case FLAGS_LOGIC: v->hot->arith = flags_logic(a & b, p->type); break;
	default: break;
	}
}

static struct block *block_at(struct jit_vcpu *v, uint32_t off)
{
	struct block *k;

	g_mutex_lock(&v->vm->lock);
	k = blocks_of_code(&v->vm->blocks, off);
	g_mutex_unlock(&v->vm->lock);
	return k;
}

void cpu_loop_unwind(struct jit_vcpu *v, uint32_t off, uint64_t host_flags)
{
	struct block *k = block_at(v, off);
	const struct block_site *s;

	if (!k)
		g_error("translator: fault outside any block, at +0x%x", off);
	s = blocks_site(k, off);
	*guest_pc(v) = v->hot->pc_base + s->guest;
	recover_flags(v, &s->flags, host_flags);
}

/* ---- why translated code came back */
static void follow_link(struct jit_vcpu *v, bool link)
{
	struct jit_vm *vm = v->vm;
	struct block *from, *to;
	struct block_exit *e;
	uint64_t flushes;

	g_mutex_lock(&vm->lock);
	e = blocks_exit(&vm->blocks, v->hot->fault_site);
	flushes = vm->blocks.count.flushes;
	g_mutex_unlock(&vm->lock);
	if (!e)
		g_error("translator: left through no exit, at +0x%x", v->hot->fault_site);
	from = e->from;
	v->loop->plain = e->plain;
	*guest_pc(v) = v->hot->pc_base + (uint64_t)e->imm;
	if (!link || !vm->opt.chain || vcpu_events(v->vcpu) ||
		(from->mode & ~BLOCK_PLAIN) != v->hot->mode || v->loop->steps)
		return;
	to = block_get(v, false);
	v->loop->next = to;
	if (!to) {
		v->loop->fetch_fault = true;
		return;
	}
	g_mutex_lock(&vm->lock);
	if (flushes == vm->blocks.count.flushes && !from->temporary && !to->temporary)
		blocks_link(vm, e, to);
	g_mutex_unlock(&vm->lock);
}

static bool handle_leave(struct jit_vcpu *v, enum leave_reason why)
{
	struct jit_loop *l = v->loop;
	struct block *k;

	switch (why) {
	case LEAVE_LOOP: break;
	case LEAVE_LINK: follow_link(v, true); break;
	case LEAVE_POLL: follow_link(v, false); break;
	case LEAVE_INDIRECT:
	case LEAVE_INDIRECT_POLL:
		*guest_pc(v) = v->hot->link;
		l->put = v->vm->opt.indirect;
		break;
	case LEAVE_ENTRY:
		k = block_at(v, v->hot->fault_site - 1);
		*guest_pc(v) = v->hot->pc_base + (k->pa & (PAGE - 1));
		l->put = v->vm->opt.indirect;
		break;
	case LEAVE_FAULT:
		cpu_loop_unwind(v, v->hot->fault_site - 1, 0);
		if (v->vm->opt.exec)
			trace_fault(v);
		if (v->mmu->code_hit) { /* not a fault: run the storing instruction alone */
			v->mmu->code_hit = false;
			l->steps = 1;
			break;
		}
		return v->isa->deliver(v);
	case LEAVE_SIGNAL:
		cpu_loop_unwind(v, v->hot->fault_site, l->signal_flags);
		if (l->signal_trap ==
			TRAP_GP) { /* an address from before we had to wait: lower_share.c */
			l->plain = true;
			break;
		}
		v->isa->arith_fault(v, l->signal_trap == 0, l->signal_trap == 19);
		return v->isa->deliver(v);
	case LEAVE_COUNT: break;
	}
	return true;
}

/* The IR of k, made again; false: it was cut when it was lowered, so that there is none to compare
 * with. */
static bool lift_again(struct jit_vcpu *v, const struct block *k)
{
	struct birth *w = v->loop->birth;

	w->pa = k->pa;
	w->pa2 = k->pa2;
	w->left = PAGE - (k->pa & (PAGE - 1));
	g_mutex_lock(&v->vm->lock);
	lift_locked(v, v->loop->ir, w, k->mode);
	g_mutex_unlock(&v->vm->lock);
	return v->loop->ir->insns == k->insns;
}

/* In place of translated code: LODGE_JIT=interp. false: the vCPU shuts down. */
static bool interpret_once(struct jit_vcpu *v, const struct block *k, bool once)
{
	struct jit_loop *l = v->loop;
	bool stepping = v->isa->single(v), moved, ok;
	uint64_t pc = 0;

	lift_again(v, k);
	if (once)
		cut_to_one(l->ir);
	ok = interpret_block(v, l->ir, l->native_page, &pc, &moved);
	if (moved)
		*guest_pc(v) = pc;
	if (l->steps)
		l->steps--;
	if (!ok)
		return v->isa->deliver(v);
	if (stepping)
		v->isa->after_step(v);
	return true;
}

/* Runs translated code once. false: the vCPU shuts down. */
static bool run_once(struct jit_vcpu *v)
{
	struct jit_loop *l = v->loop;
	struct jit_vm *vm = v->vm;
	bool stepping = v->isa->single(v), once = l->steps || stepping;
	struct block *k = l->next;
	enum leave_reason why;
	bool compare;

	l->next = NULL;
	l->look = true;
	if (!k || once || (k->mode & ~BLOCK_PLAIN) != v->hot->mode)
		k = block_get(v, once);
	if (!k)
		return v->isa->deliver(v);
	if (vm->opt.interp)
		return interpret_once(v, k, once);
	if (v->as->mode != v->hot->mode)
		jc_mode_changed(v, v->as);
	if (l->put && !k->temporary && !(k->mode & BLOCK_PLAIN) &&
		vm->isa->pc_is_linear(v->hot->mode))
		jc_put(v, *guest_pc(v), v->isa->pc(v), k->pa, softmmu_global(v, v->isa->pc(v)),
			k->code, v->hot->pc_base);
	l->put = false;
	if (vm->opt.exec)
		trace_exec(v, k);
	compare = l->lockstep && lift_again(v, k);
	if (compare)
		lockstep_before(l->lockstep, v, l->ir);
	atomic_store(&l->state, VCPU_CODE);
	why = vm->thunks.enter(v->hot, k->code);
	atomic_store(&l->state, VCPU_LOOP);
	l->left[why]++;
	if (l->steps)
		l->steps--;
	l->look = why != LEAVE_LINK && why != LEAVE_INDIRECT && why != LEAVE_ENTRY;
	if (!handle_leave(v, why))
		return false;
	if (compare && !l->plain && why != LEAVE_FAULT && why != LEAVE_SIGNAL && why != LEAVE_ENTRY)
		lockstep_after(l->lockstep, v, l->ir, k);
	if (l->fetch_fault) {
		l->fetch_fault = false;
		l->look = true;
		return v->isa->deliver(v);
	}
	if (stepping && why != LEAVE_FAULT && why != LEAVE_SIGNAL) {
		l->next = NULL;
		l->look = true;
		v->isa->after_step(v);
	}
	return true;
}

enum vcpu_exit cpu_loop_run(struct jit_vcpu *v)
{
	struct vcpu *c = v->vcpu;
	struct jit_loop *l = v->loop;
	enum vcpu_exit ret = VCPU_KICKED;

	softmmu_activate(v);
	exclusive_join(v);
	l->look = true;
	for (;;) {
		uint32_t ev;

		atomic_store(&v->hot->exit_request, 0);
		if (atomic_load(&v->vm->stop_wanted)) {
			l->next = NULL;
			exclusive_join(v);
		}
		if (atomic_load(&v->vm->async_pending)) {
			l->next = NULL;
			jit_async_run(v);
		}
		ev = vcpu_events(c);
		if (ev & VCPU_EV_EXIT)
			break;
		if (ev || l->look) {
			uint64_t pc = *guest_pc(v);

			if (!v->isa->events(v)) {
				l->next = NULL;
				if (v->isa->dead(v)) {
					ret = VCPU_SHUTDOWN;
					break;
				}
				exclusive_leave(v);
				vcpu_wait(c);
				exclusive_join(v);
				l->look = true;
				continue;
			}
			if (pc != *guest_pc(v)) {
				l->next = NULL;
				l->plain = false;
			}
		}
		if (!run_once(v)) {
			ret = VCPU_SHUTDOWN;
			break;
		}
	}
	l->next = NULL;
	jit_vec_spill(v);
	jit_fpu_spill(v);
	exclusive_leave(v);
	return ret;
}

/* ---- SIGFPE in translated code is the guest's; other signals there are our bugs */
static struct jit_vcpu *running(const ucontext_t *uc, uint32_t *ret_off)
{
	struct vcpu *c = vcpu_current();
	struct jit_vcpu *v = c && c->accel == &accel_jit ? c->engine : NULL;
	uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP], start;

	if (!v)
		return NULL;
	start = (uint64_t)(uintptr_t)v->vm->arena.rx;
	*ret_off = (uint32_t)(rip - start);
	return rip >= start && rip - start < v->vm->arena.size ? v : NULL;
}

static void on_signal(int sig, siginfo_t *si, void *opaque)
{
	ucontext_t *uc = opaque;
	uint32_t off;
	struct jit_vcpu *v = running(uc, &off);

	if (v && (sig == SIGFPE ||
			 (sig == SIGSEGV && uc->uc_mcontext.gregs[REG_TRAPNO] == TRAP_GP))) {
		v->hot->fault_site = off;
		v->loop->signal_trap = (unsigned)uc->uc_mcontext.gregs[REG_TRAPNO];
		v->loop->signal_flags = (uint64_t)uc->uc_mcontext.gregs[REG_EFL];
		uc->uc_mcontext.gregs[REG_RIP] =
			(greg_t)(uintptr_t)v->vm->thunks.leave[LEAVE_SIGNAL];
		return;
	}
	if (v) {
		log_warn("translator: signal %d (address %p) in translated code at +0x%x: a bug",
			sig, si->si_addr, off);
		trace_crash(v, off, uc->uc_mcontext.gregs);
	}
	signal(sig, SIG_DFL); /* comes again, with the default effect */
}

void cpu_loop_signals(void)
{
	static const int which[] = { SIGFPE, SIGSEGV, SIGBUS, SIGILL };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < 4; i++)
		sigaction(which[i], &sa, NULL);
}

/* ---- writes by others */
void jit_code_written(void *opaque, struct ram *r, uint64_t offset, uint64_t len)
{
	struct jit_vm *vm = opaque;
	struct code_write w = { r, offset, len };

	g_mutex_lock(&vm->async_lock);
	if (vm->async->len < 4096)
		g_array_append_val(vm->async, w);
	else /* too many to tell apart: drop everything */
		g_array_index(vm->async, struct code_write, 0).ram = NULL;
	atomic_store(&vm->async_pending, true);
	g_mutex_unlock(&vm->async_lock);
	for (unsigned i = 0; i < vm->vcpus; i++)
		jit_request_exit(vm->vcpu[i]->hot);
}

static void flush_tlb(struct jit_vcpu *v, void *opaque)
{
	jit_tlb_flush_all(v);
}

static void async_drop(struct jit_vm *vm, const struct code_write *w)
{
	const struct phys_view *p = atomic_load(&vm->phys.view);

	for (unsigned i = 0; i < p->count; i++) {
		const struct phys_ram *r = &p->ram[i];
		uint64_t lo = MAX(w->offset, r->ram_offset);
		uint64_t hi = MIN(w->offset + w->len, r->ram_offset + r->size);

		if (r->ram == w->ram && lo < hi)
			blocks_drop_range(vm, r->start + (lo - r->ram_offset), hi - lo);
	}
}

void jit_async_run(struct jit_vcpu *v)
{
	struct jit_vm *vm = v->vm;
	GArray *todo;
	bool all = false;

	g_mutex_lock(&vm->async_lock);
	todo = vm->async;
	vm->async = g_array_new(FALSE, FALSE, sizeof(struct code_write));
	atomic_store(&vm->async_pending, false);
	g_mutex_unlock(&vm->async_lock);
	for (unsigned i = 0; i < todo->len; i++)
		all |= !g_array_index(todo, struct code_write, i).ram;
	exclusive_begin(v, all);
	g_mutex_lock(&vm->lock);
	if (all) {
		jit_for_each_vcpu(vm, flush_tlb, NULL);
		blocks_empty(vm);
	}
	for (unsigned i = 0; i < todo->len && !all; i++)
		async_drop(vm, &g_array_index(todo, struct code_write, i));
	g_mutex_unlock(&vm->lock);
	exclusive_end(v);
	g_array_free(todo, TRUE);
}
