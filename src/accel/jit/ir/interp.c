/* SPDX-License-Identifier: GPL-2.0-or-later */
/* interp.c: the IR interpreter. One function a group of operations; results and flags:
 * interp_alu.c. */
#include "accel/jit/ir/interp.h"

#include <string.h>

#include "accel/jit/ir/native.h"
#include "accel/jit/jit.h"
#include "cpu/x86/state.h"

struct run {
	const struct ir_env *env;
	struct x86_cpu *cpu;
	struct jit_hot *hot;
	uint64_t temp[IR_MAX_TEMPS];
};

static uint64_t *slot(struct run *r, uint16_t x)
{
	return x < IR_GLOBALS ? &((uint64_t *)r->env->state)[x] : &r->temp[x - IR_TEMP0];
}

static uint64_t get(struct run *r, const struct ir_op *o, uint16_t x)
{
	if (x == IR_NONE)
		return 0;
	return x == IR_IMM ? (uint64_t)o->imm : *slot(r, x);
}

/* d = v, with the merge rules of size */
static void put(struct run *r, uint16_t d, unsigned size, uint64_t v)
{
	uint64_t *p = slot(r, d);

	switch (size) {
	case 1: *p = (*p & ~0xffull) | (v & 0xff); break;
	case 2: *p = (*p & ~0xffffull) | (v & 0xffff); break;
	case 4: *p = (uint32_t)v; break;
	default: *p = v; break;
	}
}

static int64_t sign_extend(uint64_t v, unsigned size)
{
	return size == 1 ? (int8_t)v : size == 2 ? (int16_t)v : size == 4 ? (int32_t)v : (int64_t)v;
}

static uint64_t address(struct run *r, const struct ir_op *o)
{
	uint64_t va = get(r, o, o->a) + (get(r, o, o->b) << (o->mem & IRM_SCALE)) +
		      (uint64_t)(int64_t)o->disp;

	if (o->mem & IRM_A32)
		va = (uint32_t)va;
	else if (o->mem & IRM_A16)
		va = (uint16_t)va;
	if (o->mem & IRM_SEG)
		va += r->cpu->seg[((o->mem & IRM_SEG) >> IRM_SEG_SHIFT) - 1].base;
	return o->mem & IRM_L32 ? (uint32_t)va : va;
}

static unsigned access_mode(const struct ir_op *o)
{
	return o->flags & (IRO_USER | IRO_SYSTEM);
}

static bool load(struct run *r, const struct ir_op *o, unsigned size, uint64_t *ret)
{
	*ret = 0;
	return r->env->load(r->env->v, address(r, o), ret, size, access_mode(o));
}

/* --- moves --- */

static void run_move(struct run *r, const struct ir_op *o)
{
	uint64_t a = get(r, o, o->a), v;

	switch (o->code) {
	case IR_MOV: put(r, o->d, o->type, a); break;
	case IR_MOVI: *slot(r, o->d) = (uint64_t)o->imm; break;
	case IR_PC: *slot(r, o->d) = r->hot->pc_base + (uint64_t)o->imm; break;
	case IR_ZX8: put(r, o->d, o->type, (uint8_t)a); break;
	case IR_ZX16: put(r, o->d, o->type, (uint16_t)a); break;
	case IR_SX8: put(r, o->d, o->type, (uint64_t)(int8_t)a); break;
	case IR_SX16: put(r, o->d, o->type, (uint64_t)(int16_t)a); break;
	case IR_SX32: put(r, o->d, o->type, (uint64_t)(int32_t)a); break;
	case IR_GETHI: *slot(r, o->d) = a >> 8 & 0xff; break;
	case IR_SETHI:
		v = *slot(r, o->d);
		*slot(r, o->d) = (v & ~0xff00ull) | (a & 0xff) << 8;
		break;
	case IR_LEA: put(r, o->d, o->type, address(r, o)); break;
	case IR_LDS:
		v = 0;
		memcpy(&v, r->env->state + o->imm, o->type);
		*slot(r, o->d) = v;
		break;
	default: /* IR_STS */ memcpy(r->env->state + o->imm, &a, o->type); break;
	}
}

/* --- flags --- */

static void run_flags(struct run *r, const struct ir_op *o)
{
	uint64_t *fl = &r->hot->arith, bits = ir_flag_bits(o->fout);

	switch (o->code) {
	case IR_SETCC: put(r, o->d, 1, ir_cond_true(o->cond, *fl)); break;
	case IR_CMOV:
		put(r, o->d, o->type, get(r, o, ir_cond_true(o->cond, *fl) ? o->a : o->b));
		break;
	case IR_GETFL: *slot(r, o->d) = *fl & X86_FL_ARITH; break;
	case IR_SETFL: *fl = (*fl & ~bits) | (get(r, o, o->a) & bits); break;
	case IR_CLC: *fl &= ~(uint64_t)X86_FL_CF; break;
	case IR_STC: *fl |= X86_FL_CF; break;
	default: *fl ^= X86_FL_CF; break;
	}
}

static void run_alu(struct run *r, const struct ir_op *o)
{
	uint64_t a = get(r, o, o->a), b = get(r, o, o->b), c, v;

	if (o->code == IR_BSF || o->code == IR_BSR) {
		/* no bit found: all of the destination stays */
		if (!(o->type == 8 ? a : a & ((1ull << o->type * 8) - 1))) {
			ir_alu(o->code, o->type, 0, 0, 0, &r->hot->arith, o->fout);
			return;
		}
	}
	c = get(r, o, o->c);
	v = ir_alu(o->code, o->type, a, b, c, &r->hot->arith, o->fout);
	if (ir_info[o->code].defs_d)
		put(r, o->d, o->type, v);
}

static bool run_muldiv(struct run *r, const struct ir_op *o)
{
	uint64_t a = get(r, o, o->a);

	if (ir_muldiv(o->code, o->type, a, &r->cpu->gpr[RAX], &r->cpu->gpr[RDX], &r->hot->arith,
		    o->fout))
		return true;
	r->env->arith_fault(r->env->v, true, false);
	return false;
}

/* --- memory --- */

/* What a read-modify-write does to the value `old` that it found. */
static uint64_t modify(struct run *r, const struct ir_op *o, uint64_t old, uint64_t *flags)
{
	uint64_t c = get(r, o, o->c);

	switch (o->code) {
	case IR_XCHG: return c;
	case IR_XADD: return ir_alu(IR_ADD, o->type, old, c, 0, flags, o->fout);
	case IR_CMPXCHG:
		ir_alu(IR_CMP, o->type, r->cpu->gpr[RAX], old, 0, flags, IRFL_ALL);
		return *flags & X86_FL_ZF ? c : old;
	default: return ir_alu(o->sub, o->type, old, c, c, flags, o->fout);
	}
}

static bool run_rmw(struct run *r, const struct ir_op *o)
{
	uint64_t va = address(r, o), old, now, flags;
	bool done = false;

	/* writable at all? A fault on the load must say it was a write. */
	if (!r->env->probe(r->env->v, va, o->type, access_mode(o)) || !load(r, o, o->type, &old))
		return false;
	do {
		flags = r->hot->arith;
		now = modify(r, o, old, &flags);
		if (!r->env->cas(r->env->v, va, &old, &now, o->type, access_mode(o), &done))
			return false;
	} while (!done);
	if (o->code == IR_CMPXCHG) {
		r->hot->arith =
			(r->hot->arith & ~ir_flag_bits(o->fout)) | (flags & ir_flag_bits(o->fout));
		if (!(flags & X86_FL_ZF))
			put(r, RAX, o->type, old);
	} else {
		r->hot->arith = flags;
		if (o->code != IR_RMW)
			put(r, o->d, o->type, old);
	}
	return true;
}

static bool run_cmpxchg_wide(struct run *r, const struct ir_op *o)
{
	uint64_t va = address(r, o), *g = r->cpu->gpr, expect[2], now[2], old[2];
	unsigned n = o->type * 2;
	bool done;

	if (o->flags & IRO_ALIGN && va & 15) {
		r->env->align_fault(r->env->v);
		return false;
	}
	if (n == 8) {
		expect[0] = (uint32_t)g[RAX] | g[RDX] << 32;
		now[0] = (uint32_t)g[RBX] | g[RCX] << 32;
	} else {
		expect[0] = g[RAX];
		expect[1] = g[RDX];
		now[0] = g[RBX];
		now[1] = g[RCX];
	}
	memcpy(old, expect, sizeof(old));
	if (!r->env->probe(r->env->v, va, n, access_mode(o)) ||
		!r->env->cas(r->env->v, va, old, now, n, access_mode(o), &done))
		return false;
	if (done) {
		r->hot->arith |= X86_FL_ZF;
		return true;
	}
	r->hot->arith &= ~(uint64_t)X86_FL_ZF;
	g[RAX] = n == 8 ? (uint32_t)old[0] : old[0];
	g[RDX] = n == 8 ? old[0] >> 32 : old[1];
	return true;
}

static bool run_mem(struct run *r, const struct ir_op *o)
{
	uint64_t v;

	switch (o->code) {
	case IR_LD:
		if (!load(r, o, o->type, &v))
			return false;
		put(r, o->d, o->type, v);
		return true;
	case IR_LDZ:
		if (!load(r, o, o->type, &v))
			return false;
		*slot(r, o->d) = v;
		return true;
	case IR_LDSX:
		if (!load(r, o, o->sub, &v))
			return false;
		put(r, o->d, o->type, (uint64_t)sign_extend(v, o->sub));
		return true;
	case IR_ST:
		v = get(r, o, o->c);
		return r->env->store(r->env->v, address(r, o), &v, o->type, access_mode(o));
	case IR_PROBE_W: return r->env->probe(r->env->v, address(r, o), o->type, access_mode(o));
	case IR_CMPXCHGB: return run_cmpxchg_wide(r, o);
	default: return run_rmw(r, o);
	}
}

static bool run_native(struct run *r, const struct ir_op *o)
{
	struct native n = native_unpack(o->imm);
	uint64_t gpr[3] = { get(r, o, o->d), o->type ? 0 : get(r, o, o->a), get(r, o, o->c) };
	uint64_t va = o->type ? address(r, o) : 0, flags = r->hot->arith;
	uint8_t mem[64] __attribute__((aligned(64))) = { 0 };
	const struct ir_env *env = r->env;
	uint64_t bits = ir_flag_bits(o->fout);

	if (!ir_native_ready(env, o)) {
		env->arith_fault(env->v, false, false);
		return false;
	}
	if (o->flags & IRO_ALIGN && va & (o->type - 1u)) {
		env->align_fault(env->v);
		return false;
	}
	if (o->flags & IRO_STORE && !env->probe(env->v, va, o->type, access_mode(o)))
		return false;
	/* also what is stored to: an x87 store with an unmasked exception leaves memory as it was
	 */
	if (o->type && !env->load(env->v, va, mem, o->type, access_mode(o)))
		return false;
	if (!ir_native_run(env, o, gpr, mem, &flags)) {
		env->arith_fault(env->v, false, true);
		return false;
	}
	if (o->flags & IRO_STORE && !env->store(env->v, va, mem, o->type, access_mode(o)))
		return false;
	if (n.cls & NATIVE_REG_W)
		*slot(r, o->d) = gpr[0];
	if (n.cls & NATIVE_RM_W && !o->type)
		*slot(r, o->a) = gpr[1];
	if (n.cls & NATIVE_V_W)
		*slot(r, o->c) = gpr[2];
	r->hot->arith = (r->hot->arith & ~bits) | (flags & bits);
	return true;
}

/* --- calls, exits --- */

typedef uint64_t call_fn(struct jit_vcpu *v, uint64_t a, uint64_t b, uint64_t c);

static bool run_call(struct run *r, const struct ir_op *o)
{
	call_fn *fn = (call_fn *)(uintptr_t)o->imm;
	uint64_t ret = fn(r->env->v, get(r, o, o->a), get(r, o, o->b), get(r, o, o->c));

	if (!(o->flags & IRO_NOFAULT)) {
		if (!(ret & 0xff))
			return false;
		ret = r->hot->ret;
	}
	if (o->d != IR_NONE)
		*slot(r, o->d) = ret;
	return true;
}

static bool exit_taken(struct run *r, const struct ir_op *o)
{
	uint64_t a = get(r, o, o->a);

	if (o->type < 8)
		a &= (1ull << o->type * 8) - 1;
	switch (o->code) {
	case IR_EXIT_CC: return ir_cond_true(o->cond, r->hot->arith);
	case IR_EXIT_NZ: return a != 0;
	case IR_EXIT_Z: return a == 0;
	default: return true;
	}
}

static bool run_faulting(struct run *r, const struct ir_op *o)
{
	switch (o->code) {
	case IR_NATIVE: return run_native(r, o);
	case IR_VEC_ENTER: return r->env->enter(r->env->v, true, o->sub);
	case IR_FPU_ENTER: return r->env->enter(r->env->v, false, o->sub);
	case IR_CALL: return run_call(r, o);
	default: return ir_info[o->code].props & IRP_MEM ? run_mem(r, o) : run_muldiv(r, o);
	}
}

enum ir_ran ir_interp(const struct ir_env *env, const struct ir *b, uint64_t *ret_pc)
{
	struct run r; /* temporaries are written before they are read: no need to clear them */
	uint64_t insn = b->page_offset;

	r.env = env;
	r.cpu = (struct x86_cpu *)env->state;
	r.hot = (struct jit_hot *)(env->state - 128);
	for (unsigned i = 0; i < b->n; i++) {
		const struct ir_op *o = &b->op[i];
		unsigned props = ir_info[o->code].props;

		if (o->code == IR_INSN) {
			insn = (uint64_t)o->imm;
			r.cpu->rip = r.hot->pc_base + insn;
		} else if (o->code == IR_EXIT_LOOP) {
			return IR_RAN_LOOP;
		} else if (o->code == IR_EXIT_IND) {
			*ret_pc = get(&r, o, o->a);
			return IR_RAN_PC;
		} else if (props & IRP_EXIT) {
			if (exit_taken(&r, o)) {
				*ret_pc = r.hot->pc_base + (uint64_t)o->imm;
				return IR_RAN_PC;
			}
		} else if (props & (IRP_FAULT | IRP_AXDX)) {
			if (!run_faulting(&r, o)) {
				*ret_pc = r.hot->pc_base + insn;
				return IR_RAN_FAULT;
			}
		} else if (o->code <= IR_STS) {
			run_move(&r, o);
		} else if (o->code >= IR_SETCC && o->code <= IR_CMC) {
			run_flags(&r, o);
		} else if (o->code == IR_FENCE) {
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
		} else {
			run_alu(&r, o);
		}
	}
	*ret_pc = r.hot->pc_base + insn;
	return IR_RAN_LOOP;
}
