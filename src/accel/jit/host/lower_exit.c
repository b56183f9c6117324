/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lower_exit.c: ways out of a block: linkable jumps, indirect jumps, calls of C functions.
 *
 * A linkable exit: [first: jump, or the jcc itself] → save: flags to hot.arith → bare: poll of
 * exit_request if it goes backward, check of the mapping if it goes to another page → final: jump
 * to the target. Linked to a block that looks at no flags, first leads to bare, or right to the
 * target.
 */
#include "accel/jit/host/lower.h"

enum { NO_PFN = 0x7fffffff };

static uint32_t offset_of(const struct lower *l, const uint8_t *p)
{
	return (uint32_t)(p - l->vm->arena.rw);
}

struct block_exit *exit_new(struct lower *l, int64_t imm)
{
	struct block_exit *e;

	if (l->exits >= EXITS_BLOCK_MAX - 1)
		l->failed = true;
	else
		l->exits++;
	e = &l->exit[l->exits - 1];
	*e = (struct block_exit){ .imm = imm, .saves = IRFL_ALL & (uint8_t)~l->f.mem };
	return e;
}

/* Leaves to the loop, which knows the exit by the return address. */
static void leave(struct lower *l, enum leave_reason why)
{
	as_call(&l->a, rw_of(l, l->vm->thunks.leave[why]));
}

/* r13 = page: compares the execute TLB with it and physical page pfn; returns the place of pfn.
 * Misses jump to out[0], out[1]: short jumps, or with 32 bits. */
static uint8_t *fetch_check(struct lower *l, uint32_t pfn, uint8_t *out[2], bool is_short)
{
	int32_t fetch = (int32_t)offsetof(struct jit_as, fetch);
	uint8_t *at;

	if (l->vm->thunks.host.bmi2) {
		as_rorx(&l->a, 4, H_R14, loc_reg(H_R13), 12 - FETCH_BITS);
	} else {
		as_mov(&l->a, 4, H_R14, loc_reg(H_R13));
		as_shift_imm(&l->a, 5, 4, loc_reg(H_R14), 12 - FETCH_BITS);
	}
	as_alu(&l->a, ALU_AND, 4, H_R14, loc_imm((TLB_SIZE - 1) << FETCH_BITS));
	as_alu(&l->a, ALU_CMP, 8, H_R13, loc_gs(H_R14, fetch));
	out[0] = is_short ? as_jcc8(&l->a, 5) : as_jcc(&l->a, 5, NULL);
	/* cmp dword gs:[r14 + disp32], imm32: 12 bytes, the immediate last */
	as_align_field(&l->a, 8);
	as_modrm(&l->a, (struct enc){ .opcode = 0x81 }, 7, loc_gs(H_R14, fetch + 8));
	as_32(&l->a, pfn);
	at = l->a.p - 4;
	out[1] = is_short ? as_jcc8(&l->a, 5) : as_jcc(&l->a, 5, NULL);
	return at;
}

/* A loop of blocks goes through at least one such exit. */
static bool is_backward(const struct lower *l)
{
	return l->o->imm <= l->guest || l->b->polls;
}

static void poll(struct lower *l, uint8_t **out)
{
	as_alu_to(&l->a, ALU_CMP, 4, LOC_HOT(exit_request), loc_imm(0), false);
	*out = as_jcc8(&l->a, 5);
}

/* From `save` on; l->f is the state at the exit. */
void exit_tail(struct lower *l, struct block_exit *e, bool backward)
{
	bool cross = e->imm < 0 || e->imm > 4095;
	uint8_t *miss[2] = { NULL, NULL }, *polled = NULL, *final;

	e->save = offset_of(l, l->a.p);
	if (e->saves)
		flags_save(l, IRFL_ALL);
	e->bare = offset_of(l, l->a.p);
	e->through_bare = cross || backward;
	if (cross && !l->linear) { /* cannot be linked */
		as_mov(&l->a, 8, H_R13, LOC_HOT(pc_base));
		as_lea(&l->a, 8, H_R13, loc_mem(H_R13, (int32_t)e->imm));
		as_jmp(&l->a, rw_of(l, l->vm->thunks.leave[LEAVE_INDIRECT]));
		return;
	}
	if (cross) {
		as_mov(&l->a, 8, H_R13, LOC_HOT(pc_base));
		as_lea(&l->a, 8, H_R13, loc_mem(H_R13, (int32_t)(e->imm & ~4095ll)));
		e->pfn_at = offset_of(l, fetch_check(l, NO_PFN, miss, true));
	}
	if (backward)
		poll(l, &polled);
	if (cross)
		as_mov_to(&l->a, 8, LOC_HOT(pc_base), loc_reg(H_R13));
	as_align_field(&l->a, 1);
	final = as_jmp(&l->a, NULL);
	e->final_at = offset_of(l, final);
	if (cross) /* not linked, or the page is mapped elsewhere now */
		as_here8(&l->a, miss[1]);
	e->stub = offset_of(l, l->a.p);
	leave(l, LEAVE_LINK);
	if (polled) {
		as_here8(&l->a, polled);
		leave(l, LEAVE_POLL);
	}
	if (cross) { /* the execute TLB does not know the page; the jump cache may */
		as_here8(&l->a, miss[0]);
		if (e->imm & 4095)
			as_lea(&l->a, 8, H_R13, loc_mem(H_R13, (int32_t)(e->imm & 4095)));
		as_jmp(&l->a, rw_of(l, l->vm->thunks.indirect));
	}
}

static void lower_exit_pc(struct lower *l)
{
	struct block_exit *e = exit_new(l, l->o->imm);

	if (e->saves) {
		as_align_field(&l->a, 1);
		e->first_at = offset_of(l, as_jmp(&l->a, NULL));
	}
	exit_tail(l, e, is_backward(l));
}

static void side_exit(struct lower *l, unsigned cc)
{
	struct block_exit *e = exit_new(l, l->o->imm);
	struct cold *c = cold_new(l, COLD_EXIT);

	as_align_field(&l->a, 2);
	c->from = as_jcc(&l->a, cc, NULL);
	e->first_at = offset_of(l, c->from);
	c->exit = (unsigned)(e - l->exit);
	c->backward = is_backward(l);
	c->flags = l->f;
}

void cold_exit(struct lower *l, struct cold *c)
{
	exit_tail(l, &l->exit[c->exit], c->backward);
}

static void lower_exit_test(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc a;
	unsigned r;

	flags_clobber(l, 0, 0);
	l->f.host = 0;
	a = value(l, o->a);
	if (a.kind == LOC_IMM)
		a = loc_reg(in_reg(l, o->a));
	if (a.kind == LOC_REG) {
		as_test(&l->a, o->type, a, loc_reg(a.reg));
	} else {
		as_alu_to(&l->a, ALU_CMP, o->type, a, loc_imm(0), false);
	}
	/* the fall-through path keeps its temporaries where they are; a side exit needs none */
	r = o->code == IR_EXIT_NZ ? 5 : 4;
	side_exit(l, r);
}

static void lower_exit_ind(struct lower *l)
{
	const struct thunks *t = &l->vm->thunks;
	struct loc a;

	flags_save(l, IRFL_ALL);
	a = value(l, l->o->a);
	if (a.kind != LOC_REG || a.reg != H_R13)
		as_mov(&l->a, 8, H_R13, a);
	if (!l->linear || !l->vm->opt.indirect) {
		as_jmp(&l->a, rw_of(l, l->linear ? t->indirect : t->leave[LEAVE_INDIRECT]));
		return;
	}
	/* the look-up in line, so that each site's jump is predicted for itself */
	thunks_jump(&l->a, l->vm);
}

void entry_check(struct lower *l)
{
	uint8_t *miss[2];
	struct cold *c;

	as_mov(&l->a, 8, H_R13, LOC_HOT(pc_base));
	as_lea(&l->a, 8, H_R13, loc_mem(H_R13, 4096));
	fetch_check(l, (uint32_t)(l->k->pa2 >> 12), miss, false);
	for (unsigned k = 0; k < 2; k++) {
		c = cold_new(l, COLD_ENTRY);
		c->from = miss[k];
	}
}

/* ---- C functions */
static bool vector_follows(const struct lower *l)
{
	for (unsigned k = l->i + 1; k < l->b->n; k++) {
		if (l->b->op[k].code == IR_VEC_ENTER || l->b->op[k].code == IR_CALL)
			return false;
		if (l->b->op[k].code == IR_NATIVE)
			return true;
	}
	return false;
}

static void enter(struct lower *l, unsigned level, bool fpu)
{
	uint8_t *known = fpu ? &l->fpu : &l->vec, bits = level & 1 ? 3 : 1;
	struct cold *c;

	if ((*known & bits) == bits)
		return;
	flags_fault_point(l);
	flags_clobber(l, 0, 0);
	spill_all(l);
	drop_scratch(l);
	as_test(&l->a, 1, fpu ? LOC_HOT(fpu_live) : LOC_HOT(vec_live), loc_imm(level & 1 ? 2 : 1));
	c = cold_new(l, COLD_ENTER);
	c->from = as_jcc(&l->a, 4, NULL);
	c->back = l->a.p;
	c->desc = level;
	c->thunk = fpu ? l->vm->thunks.fpu_enter : l->vm->thunks.vec_enter;
	c->flags = l->f;
	*known |= bits;
}

void lower_enter(struct lower *l)
{
	enter(l, l->o->sub, l->o->code == IR_FPU_ENTER);
}

void lower_call(struct lower *l)
{
	const struct ir_op *o = l->o;
	const void *code = thunks_call(l->vm, (uint64_t)o->imm, o->flags);
	uint16_t arg[3] = { o->a, o->b, o->c };
	uint8_t vec = l->vec;

	if (!code) {
		l->failed = true;
		return;
	}
	flags_save(l, IRFL_ALL);
	spill_all(l);
	for (unsigned k = 0; k < 3; k++)
		spill_temp(l, arg[k]);
	drop_scratch(l);
	as_mov(&l->a, 8, H_R13, LOC_HOT(pc_base));
	if (l->guest)
		as_lea(&l->a, 8, H_R13, loc_mem(H_R13, l->guest));
	as_mov_to(&l->a, 8, loc_state((int32_t)l->vm->isa->pc_offset), loc_reg(H_R13));
	for (unsigned k = 0; k < 3; k++)
		if (arg[k] != IR_NONE)
			as_mov(&l->a, 8, H_R13 + k, value(l, arg[k]));
	l->f = (struct flags_state){ .mem = IRFL_ALL };
	l->recipe_stamp++;
	site_add(l, false);
	as_call(&l->a, rw_of(l, code));
	if (o->d != IR_NONE) {
		if (o->type == IR_32)
			as_mov(&l->a, 4, H_R13, loc_reg(H_R13));
		finish(l, o->d, H_R13, o->type < IR_32 ? o->type : 8);
	}
	if (o->flags & IRO_LIGHT)
		return;
	l->vec = 0;
	l->fpu = 0;
	if (vec && vector_follows(l))
		enter(l, vec >> 1, false);
}

bool lower_exit(struct lower *l)
{
	switch (l->o->code) {
	case IR_EXIT_PC: lower_exit_pc(l); break;
	case IR_EXIT_CC: side_exit(l, flags_cond(l, l->o->cond)); break;
	case IR_EXIT_NZ:
	case IR_EXIT_Z: lower_exit_test(l); break;
	case IR_EXIT_IND: lower_exit_ind(l); break;
	case IR_EXIT_LOOP:
		flags_save(l, IRFL_ALL);
		as_jmp(&l->a, rw_of(l, l->vm->thunks.leave[LEAVE_LOOP]));
		break;
	default: return false;
	}
	return true;
}
