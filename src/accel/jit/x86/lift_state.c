/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_state.c: 0F AE and 0F C7: saving of the extended state, fences, cache lines, FS and GS
 * bases, double-width compare and exchange, random numbers. Spec: SDM vol. 1, chapter 13; vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

enum {
	FXSAVE_SIZE = 512,
	XSAVE_MIN = 576,
	XSAVE_PLAIN = 0,
	XSAVE_OPT = 1,
	XSAVE_COMPACT = 2,
	XSAVE_SUPERVISOR = 3,
	XRSTOR_PLAIN = 0,
	XRSTOR_SUPERVISOR = 1,
};

static int64_t rex_w(const struct x86_lift *l)
{
	return l->x64 && l->in.osize == 8;
}

static void lift_xsave(struct x86_lift *l, unsigned kind)
{
	l->end_here = true;
	X86_CALL(l, x86_h_xsave, x86_linear(l, XSAVE_MIN, true), x86_const(l, kind | rex_w(l) << 8),
		IR_NONE);
}

static void lift_xrstor(struct x86_lift *l, unsigned kind)
{
	X86_CALL(l, x86_h_xrstor, x86_linear(l, XSAVE_MIN, false),
		x86_const(l, kind | rex_w(l) << 8), IR_NONE);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: caches are coherent, what is left is the access check of a load */
static void lift_line(struct x86_lift *l)
{
	x86_load(l, 1, x86_mem(l, 1, false));
}

static void lift_ldmxcsr(struct x86_lift *l)
{
	X86_CALL(l, x86_h_ldmxcsr, x86_load(l, 4, x86_mem(l, 4, false)), IR_NONE, IR_NONE);
}

static void lift_stmxcsr(struct x86_lift *l)
{
	struct x86_mem m = x86_mem(l, 4, true);

	x86_store(l, 4, m, X86_CALL_RET(l, x86_h_stmxcsr, IR_NONE, IR_NONE, IR_NONE));
}

bool x86_lift_vex_mxcsr(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;

	if (!l->in.is_mem || l->in.pp || l->in.vex_l || l->in.vvvv_used ||
		(digit != 2 && digit != 3) || !x86_lift_has(l, FEAT_1_ECX, 28))
		return false;
	/* AVX must be switched on, not only SSE */
	if (!l->vec_entered[1])
		x86_op(l, IR_VEC_ENTER, IR_64, IR_NONE, IR_NONE, IR_NONE)->sub = 1;
	l->b->uses_vec = l->vec_entered[1] = true;
	if (digit == 2)
		lift_ldmxcsr(l);
	else
		lift_stmxcsr(l);
	return true;
}

static bool group15_mem(struct x86_lift *l)
{
	bool fxsr = x86_lift_has(l, FEAT_1_EDX, 24), sse = x86_lift_has(l, FEAT_1_EDX, 25);
	bool xsave = x86_lift_has(l, FEAT_1_ECX, 26);

	switch (l->in.reg & 7) {
	case 0:
		l->end_here = true;
		if (fxsr)
			X86_CALL(l, x86_h_fxsave, x86_linear(l, FXSAVE_SIZE, true),
				x86_const(l, rex_w(l)), IR_NONE);
		return fxsr;
	case 1:
		if (fxsr)
			X86_CALL(l, x86_h_fxrstor, x86_linear(l, FXSAVE_SIZE, false),
				x86_const(l, rex_w(l)), IR_NONE);
		return fxsr;
	case 2:
		if (sse)
			lift_ldmxcsr(l);
		return sse;
	case 3:
		if (sse)
			lift_stmxcsr(l);
		return sse;
	case 4:
		if (xsave)
			lift_xsave(l, XSAVE_PLAIN);
		return xsave;
	case 5:
		if (xsave)
			lift_xrstor(l, XRSTOR_PLAIN);
		return xsave;
	case 6:
		if (!xsave || !x86_lift_has(l, FEAT_D_1_EAX, 0))
			return false;
		lift_xsave(l, XSAVE_OPT);
		return true;
	default:
		if (!x86_lift_has(l, FEAT_1_EDX, 19))
			return false;
		lift_line(l);
		return true;
	}
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
static bool fsgsbase(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7, size = l->in.osize == 8 ? 8 : 4;
	uint16_t gs = x86_const(l, digit & 1), val = l->in.rm;

	if (!l->x64 || digit > 3 || !x86_lift_has(l, FEAT_7_0_EBX, 0))
		return false;
	if (digit < 2) {
		x86_set_reg(l, l->in.rm, size, X86_CALL_RET(l, x86_h_rdfsgs, gs, IR_NONE, IR_NONE));
		return true;
	}
	if (size == 4) {
		val = ir_temp(l->b);
		x86_op(l, IR_MOV, IR_32, val, l->in.rm, IR_NONE);
	}
	X86_CALL(l, x86_h_wrfsgs, gs, val, IR_NONE);
	return true;
}

/* 0F AE */
bool x86_lift_group15(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;

	if (l->in.is_mem && !l->in.pp)
		return group15_mem(l);
	if (l->in.is_mem) {
		if (l->in.pp != 1 || digit < 6 ||
			!x86_lift_has(l, FEAT_7_0_EBX, digit == 6 ? 24 : 23))
			return false;
		lift_line(l);
		return true;
	}
	if (l->in.pp == 2)
		return fsgsbase(l);
	if (l->in.pp || digit < 5 || !x86_lift_has(l, FEAT_1_EDX, digit == 7 ? 25 : 26))
		return false;
	/* SFENCE orders what x86 orders anyway; LFENCE orders RDTSC too, and holds speculation back
	 */
	if (digit != 7)
		x86_op(l, IR_FENCE, IR_64, IR_NONE, IR_NONE, IR_NONE)->sub = digit == 5;
	return true;
}

/* CMPXCHG8B, CMPXCHG16B */
static bool cmpxchg_wide(struct x86_lift *l)
{
	bool wide = rex_w(l);
	struct ir_op *o;

	if (!x86_lift_has(l, wide ? FEAT_1_ECX : FEAT_1_EDX, wide ? 13 : 8))
		return false;
	o = x86_mem_op(l, IR_CMPXCHGB, wide ? 8 : 4, x86_mem(l, wide ? 16 : 8, true));
	o->fout = IRFL_ZF;
	o->flags |= (l->in.lock ? IRO_LOCK : 0) | (wide ? IRO_ALIGN : 0);
	return true;
}

static bool group9_mem(struct x86_lift *l)
{
	bool supervisor = x86_lift_has(l, FEAT_1_ECX, 26) && x86_lift_has(l, FEAT_D_1_EAX, 3);

	switch (l->in.reg & 7) {
	case 1: return cmpxchg_wide(l);
	case 3:
		if (!supervisor || l->in.pp)
			return false;
		lift_xrstor(l, XRSTOR_SUPERVISOR);
		return true;
	case 4:
		if (l->in.pp || !x86_lift_has(l, FEAT_1_ECX, 26) ||
			!x86_lift_has(l, FEAT_D_1_EAX, 1))
			return false;
		lift_xsave(l, XSAVE_COMPACT);
		return true;
	case 5:
		if (!supervisor || l->in.pp)
			return false;
		lift_xsave(l, XSAVE_SUPERVISOR);
		return true;
	default: return false;
	}
}

/* 0F C7 */
bool x86_lift_group9(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7, size = l->in.osize;
	bool seed = digit == 7;
	uint16_t val;

	if (l->in.is_mem)
		return group9_mem(l);
	if (digit == 7 && l->in.rep == X86_REP_F3) {
		if (!x86_lift_has(l, FEAT_7_0_ECX, 22))
			return false;
		x86_set_reg(l, l->in.rm, l->x64 ? 8 : 4,
			X86_CALL_RET(l, x86_h_rdpid, IR_NONE, IR_NONE, IR_NONE));
		return true;
	}
	if (digit < 6 || l->in.rep ||
		!x86_lift_has(l, seed ? FEAT_7_0_EBX : FEAT_1_ECX, seed ? 18 : 30))
		return false;
	val = X86_CALL_RET(l, x86_h_rdrand, x86_const(l, size), x86_const(l, seed), IR_NONE);
	x86_set_reg(l, l->in.rm, size, val);
	return true;
}
