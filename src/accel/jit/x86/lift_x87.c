/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_x87.c: x87 instructions to IR: each is executed by the host's x87 unit, which holds the guest's
 * stack while hot.fpu_live. Spec: SDM vol. 1 chapter 8, vol. 2 appendix A.5 (escape opcodes D8..DF).
 */
#include "accel/jit/x86/lift.h"

#include "accel/jit/ir/native.h"
#include "accel/jit/x86/helpers.h"

enum { ENV = 0xfe, BAD = 0xff }; /* not a size: a helper's business; no such instruction */

/* Bytes of the memory operand, [opcode - D8][/digit]; bit 7: it is written. */
#define W(n) (0x80 | (n))
static const uint8_t memory[8][8] = {
	{ 4, 4, 4, 4, 4, 4, 4, 4 },				/* D8: m32 arithmetic */
	{ 4, BAD, W(4), W(4), ENV, 2, ENV, W(2) },		/* fld fst fstp fldenv fldcw fnstenv fnstcw */
	{ 4, 4, 4, 4, 4, 4, 4, 4 },				/* DA: m32int arithmetic */
	{ 4, W(4), W(4), W(4), BAD, 10, BAD, W(10) },		/* fild fisttp fist fistp, fld m80, fstp m80 */
	{ 8, 8, 8, 8, 8, 8, 8, 8 },				/* DC: m64 arithmetic */
	{ 8, W(8), W(8), W(8), ENV, BAD, ENV, W(2) },		/* fld fisttp fst fstp frstor fnsave fnstsw */
	{ 2, 2, 2, 2, 2, 2, 2, 2 },				/* DE: m16int arithmetic */
	{ 2, W(2), W(2), W(2), 10, 8, W(10), W(8) },		/* fild fisttp fist fistp fbld fild fbstp fistp */
};
#undef W

/* Register forms that exist, a bit per ModRM row of eight (C0, C8, … F8), [opcode - D8]. The rows that are
 * only partly there are told apart in register_form(). */
static const uint8_t rows_there[8] = { 0xff, 0xff, 0x2f, 0x7f, 0xff, 0x3f, 0xff, 0x7f };

/* FNSTSW, FNSTCW, FNSTENV, FNSAVE, FNCLEX, FNINIT look at no pending exception. */
static bool no_wait(const struct x86_insn *in)
{
	const unsigned digit = in->modrm >> 3 & 7;

	if (!in->is_mem)
		return (in->opcode == 0xdb && digit == 4) ||
		       (in->opcode == 0xdf && in->modrm == 0xe0);
	return (in->opcode == 0xd9 || in->opcode == 0xdd) && digit >= 6;
}

static void enter(struct x86_lift *l)
{
	if (l->fpu_entered[0] || l->fpu_entered[1])
		return;
	ir_emit(l->b, IR_FPU_ENTER, IR_64)->sub = no_wait(&l->in) ? X86_FPU_NO_WAIT : 0;
	l->b->uses_fpu = true;
	l->fpu_entered[0] = true;
}

static bool register_form(const struct x86_insn *in)
{
	unsigned op = in->opcode - 0xd8, row = in->modrm >> 3 & 7;

	if (!(rows_there[op] >> row & 1))
		return false;
	switch (in->opcode << 8 | in->modrm) {
	case 0xd9d0: return true; /* fnop */
	case 0xd9e2: case 0xd9e3: case 0xd9e6: case 0xd9e7: case 0xd9ef: return false;
	case 0xdae9: return true; /* fucompp */
	case 0xdbe2: case 0xdbe3: return true; /* fnclex, fninit */
	case 0xdbe0: case 0xdbe1: case 0xdbe4: return true; /* 8087 and 80287 relics: no operation */
	case 0xded9: return true; /* fcompp */
	case 0xdfe0: return true; /* fnstsw ax */
	}
	switch (op << 3 | row) {
	case 1 << 3 | 2: /* D9 D1.. */
	case 2 << 3 | 5: /* DA E8.. */
	case 3 << 3 | 4: /* DB E5.. */
	case 6 << 3 | 3: /* DE D8.. */
	case 7 << 3 | 4: /* DF E1.. */
		return false;
	}
	return true;
}

/* Which EFLAGS an instruction writes (fcomi family) or reads (fcmov). */
static void set_flags(struct ir_op *o, const struct x86_insn *in)
{
	unsigned row = in->modrm >> 3 & 7;
	static const uint8_t reads[4] = { IRFL_CF, IRFL_ZF, IRFL_CF | IRFL_ZF, IRFL_PF };

	if ((in->opcode == 0xdb || in->opcode == 0xdf) && (row == 5 || row == 6))
		o->fout = o->flive = IRFL_ALL;
	else if ((in->opcode == 0xda || in->opcode == 0xdb) && row < 4)
		o->fin = reads[row];
}

static bool lift_register(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	struct native n = { .opcode = in->opcode, .form = NATIVE_RAWRM, .reg_rm = in->modrm };
	struct ir_op *o;

	if (!register_form(in))
		return false;
	enter(l);
	o = ir_emit(l->b, IR_NATIVE, IR_64);
	o->type = 0;
	if (in->opcode == 0xdf && in->modrm == 0xe0)
		o->d = RAX; /* fnstsw ax, implicitly */
	set_flags(o, in);
	o->imm = native_pack(n);
	return true;
}

/* fldenv, fnstenv, frstor, fnsave: the host's own would show host addresses and 64-bit formats. */
static bool lift_environment(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	unsigned what = (in->opcode == 0xd9 ? 0 : 2) + ((in->reg & 7) == 4 ? 1 : 0);
	bool wide = in->osize != 2;
	unsigned size = (wide ? 28u : 14u) + (what >= 2 ? 80u : 0u);
	uint16_t ea;

	enter(l);
	ea = x86_linear(l, size, !(what & 1));
	l->end_here = true;
	X86_CALL(l, x86_h_x87_env, ea, x86_const(l, (int64_t)what), x86_const(l, wide ? 4 : 2));
	l->fpu_entered[0] = l->fpu_entered[1] = false; /* the helper spilled it */
	return true;
}

bool x86_lift_x87(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	struct native n = { .opcode = in->opcode, .reg_rm = in->reg & 7 };
	uint8_t kind;
	struct x86_mem m;
	struct ir_op *o;

	if (in->lock)
		return false;
	if (in->opcode == 0x9b) { /* fwait: also #NM when CR0.MP and TS are set, whatever EM says */
		X86_CALL(l, x86_h_x87_ctl, x86_const(l, 6), x86_const(l, 0), IR_NONE);
		return true;
	}
	if (!in->is_mem)
		return lift_register(l);
	kind = memory[in->opcode - 0xd8][in->reg & 7];
	if (kind == BAD)
		return false;
	if (kind == ENV)
		return lift_environment(l);
	enter(l);
	m = x86_mem(l, kind & 0x7f, kind & 0x80);
	o = ir_emit(l->b, IR_NATIVE, IR_64);
	o->type = kind & 0x7f;
	o->a = m.a;
	o->b = m.b;
	o->mem = m.mem;
	o->disp = m.disp;
	/* a store whose exception is unmasked writes nothing: where it goes through a buffer, that must hold
	 * what is there */
	o->flags = kind & 0x80 ? IRO_STORE | IRO_LOAD : IRO_LOAD;
	o->imm = native_pack(n);
	return true;
}
