/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift_arith.c: integer arithmetic and logic. Spec: SDM vol. 1, 7.3.2 to 7.3.4; vol. 2. */
#include "accel/jit/x86/lift_ops.h"

enum { COND_B = 2, COND_E = 4 };

/* The eight operations of 00..3F and group 1, in opcode order. */
static const uint16_t arith_code[8] = { IR_ADD, IR_OR, IR_ADC, IR_SBB, IR_AND, IR_SUB, IR_XOR,
	IR_CMP };

static void set_flags(struct ir_op *o)
{
	o->fout = IRFL_ALL;
	if (o->code == IR_ADC || o->code == IR_SBB ||
		(o->code == IR_RMW && (o->sub == IR_ADC || o->sub == IR_SBB)))
		o->fin = IRFL_CF;
}

/* register n = register n op src (src IR_IMM: imm) */
static void arith_reg(
	struct x86_lift *l, unsigned code, unsigned size, unsigned n, uint16_t src, int64_t imm)
{
	bool writes = code != IR_CMP && code != IR_TEST;
	bool high = x86_is_high(l, n, size);
	uint16_t a = x86_reg(l, n, size);
	struct ir_op *o = x86_op(l, (enum ir_code)code, size, writes ? a : IR_NONE, a, src);

	o->imm = imm;
	set_flags(o);
	if (high && writes)
		x86_set_reg(l, n, size, a);
}

/* memory = memory op src */
static void arith_mem(struct x86_lift *l, unsigned code, unsigned size, uint16_t src, int64_t imm)
{
	struct ir_op *o;

	if (code == IR_CMP || code == IR_TEST) {
		uint16_t t = x86_load(l, size, x86_mem(l, size, false));

		o = x86_op(l, (enum ir_code)code, size, IR_NONE, t, src);
	} else {
		o = x86_mem_op(l, IR_RMW, size, x86_mem(l, size, true));
		o->sub = (uint8_t)code;
		o->c = src;
		if (l->in.lock)
			o->flags |= IRO_LOCK;
	}
	o->imm = imm;
	set_flags(o);
}

static void arith_rm(struct x86_lift *l, unsigned code, unsigned size, uint16_t src, int64_t imm)
{
	if (l->in.is_mem)
		arith_mem(l, code, size, src, imm);
	else
		arith_reg(l, code, size, l->in.rm, src, imm);
}

static unsigned op_size(const struct x86_lift *l)
{
	return l->in.opcode & 1 ? l->in.osize : 1;
}

/* xor r, r and sub r, r: the 64-bit form does what the shorter 32-bit one does. */
static bool clears(const struct x86_lift *l, unsigned code, unsigned size)
{
	return (code == IR_XOR || code == IR_SUB) && size >= 4 && !l->in.is_mem &&
	       l->in.reg == l->in.rm;
}

bool x86_lift_arith(struct x86_lift *l)
{
	unsigned code = arith_code[l->in.opcode >> 3], size = op_size(l);

	switch (l->in.opcode & 7) {
	case 0:
	case 1:
		if (clears(l, code, size))
			size = 4;
		arith_rm(l, code, size, x86_reg(l, l->in.reg, size), 0);
		return true;
	case 2:
	case 3: arith_reg(l, code, size, l->in.reg, x86_rm(l, size), 0); return true;
	default: arith_reg(l, code, size, RAX, IR_IMM, l->in.imm); return true;
	}
}

bool x86_lift_arith_imm(struct x86_lift *l)
{
	if (l->in.opcode == 0x82 && l->x64)
		return false;
	arith_rm(l, arith_code[l->in.reg & 7], op_size(l), IR_IMM, l->in.imm);
	return true;
}

bool x86_lift_test(struct x86_lift *l)
{
	unsigned size = op_size(l);

	arith_rm(l, IR_TEST, size, x86_reg(l, l->in.reg, size), 0);
	return true;
}

bool x86_lift_test_imm(struct x86_lift *l)
{
	arith_reg(l, IR_TEST, op_size(l), RAX, IR_IMM, l->in.imm);
	return true;
}

/* INC, DEC, NEG, NOT of register or memory */
static void unary_rm(struct x86_lift *l, unsigned code, unsigned size, uint8_t fout)
{
	struct ir_op *o;

	if (l->in.is_mem) {
		o = x86_mem_op(l, IR_RMW, size, x86_mem(l, size, true));
		o->sub = (uint8_t)code;
		o->fout = fout;
		if (l->in.lock)
			o->flags |= IRO_LOCK;
	} else {
		uint16_t a = x86_reg(l, l->in.rm, size);

		x86_op(l, (enum ir_code)code, size, a, a, IR_NONE)->fout = fout;
		if (x86_is_high(l, l->in.rm, size))
			x86_set_reg(l, l->in.rm, size, a);
	}
}

/* 40..4F outside 64-bit mode, where they are REX and never come here */
bool x86_lift_incdec(struct x86_lift *l)
{
	uint16_t n = l->in.opcode & 7;

	x86_op(l, l->in.opcode & 8 ? IR_DEC : IR_INC, l->in.osize, n, n, IR_NONE)->fout =
		IRFL_ALL & ~IRFL_CF;
	return true;
}

/* FE, and the first two of FF */
bool x86_lift_incdec_rm(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;

	if (digit > 1)
		return false;
	unary_rm(l, digit ? IR_DEC : IR_INC, op_size(l), IRFL_ALL & ~IRFL_CF);
	return true;
}

bool x86_lift_group3(struct x86_lift *l)
{
	static const uint16_t code[8] = { IR_TEST, IR_TEST, IR_NOT, IR_NEG, IR_MULX86, IR_IMULX86,
		IR_DIVX86, IR_IDIVX86 };
	unsigned digit = l->in.reg & 7, size = op_size(l);

	switch (digit) {
	case 0:
	case 1: arith_rm(l, IR_TEST, size, IR_IMM, l->in.imm); return true;
	case 2:
	case 3: unary_rm(l, code[digit], size, digit == 3 ? IRFL_ALL : 0); return true;
	default:
		x86_op(l, (enum ir_code)code[digit], size, IR_NONE, x86_rm(l, size), IR_NONE)
			->fout = IRFL_ALL;
		return true;
	}
}

bool x86_lift_imul2(struct x86_lift *l)
{
	x86_op(l, IR_IMUL, l->in.osize, l->in.reg, l->in.reg, x86_rm(l, l->in.osize))->fout =
		IRFL_ALL;
	return true;
}

bool x86_lift_imul3(struct x86_lift *l)
{
	x86_op_imm(l, IR_IMUL, l->in.osize, l->in.reg, x86_rm(l, l->in.osize), l->in.imm)->fout =
		IRFL_ALL;
	return true;
}

bool x86_lift_xadd(struct x86_lift *l)
{
	unsigned size = op_size(l);
	uint16_t src = x86_reg(l, l->in.reg, size), old;

	if (l->in.is_mem) {
		struct ir_op *o = x86_mem_op(l, IR_XADD, size, x86_mem(l, size, true));

		o->c = src;
		o->fout = IRFL_ALL;
		if (l->in.lock)
			o->flags |= IRO_LOCK;
		o->d = x86_is_high(l, l->in.reg, size) ? src : l->in.reg;
		if (x86_is_high(l, l->in.reg, size))
			x86_set_reg(l, l->in.reg, size, src);
		return true;
	}
	/* the sum is written last: it wins where both operands are the same register */
	old = x86_mov(l, x86_reg(l, l->in.rm, size));
	src = x86_mov(l, src);
	x86_op(l, IR_ADD, size, src, src, old)->fout = IRFL_ALL;
	x86_set_reg(l, l->in.reg, size, old);
	x86_set_reg(l, l->in.rm, size, src);
	return true;
}

/* d = ZF ? a : d, as a whole register */
static void assign_if_equal(struct x86_lift *l, bool equal, uint16_t d, uint16_t a)
{
	struct ir_op *o = x86_op(l, IR_CMOV, IR_64, d, a, d);

	o->cond = COND_E + !equal;
	o->fin = IRFL_ZF;
}

/* Between registers. The one that is not written keeps its upper half too, so 32-bit values are
 * extended first and then moved as 64 bits or not at all. */
static void cmpxchg_reg(struct x86_lift *l, unsigned size)
{
	uint16_t dst = x86_mov(l, x86_reg(l, l->in.rm, size)), src = x86_reg(l, l->in.reg, size);
	uint16_t loaded = x86_mov(l, RAX), stored = x86_mov(l, l->in.rm);
	bool high = x86_is_high(l, l->in.rm, size);

	if (high)
		x86_op(l, IR_SETHI, IR_64, stored = x86_mov(l, l->in.rm & 3), src, IR_NONE);
	else
		x86_op(l, IR_MOV, size, stored, src, IR_NONE);
	x86_op(l, IR_MOV, size, loaded, dst, IR_NONE);
	x86_op(l, IR_CMP, size, IR_NONE, RAX, dst)->fout = IRFL_ALL;
	assign_if_equal(l, false, RAX, loaded);
	assign_if_equal(l, true, high ? l->in.rm & 3 : l->in.rm, stored);
}

bool x86_lift_cmpxchg(struct x86_lift *l)
{
	unsigned size = op_size(l);
	uint16_t src;
	struct ir_op *o;

	if (!l->in.is_mem) {
		cmpxchg_reg(l, size);
		return true;
	}
	src = x86_reg(l, l->in.reg, size);
	o = x86_mem_op(l, IR_CMPXCHG, size, x86_mem(l, size, true));
	o->c = src;
	o->fout = IRFL_ALL;
	if (l->in.lock)
		o->flags |= IRO_LOCK;
	return true;
}

/* DAA, DAS, AAA, AAS */
bool x86_lift_bcd(struct x86_lift *l)
{
	if (l->x64)
		return false;
	X86_CALL(l, x86_h_daa_group, x86_const(l, (l->in.opcode >> 3) & 3), x86_const(l, 0),
		IR_NONE);
	return true;
}

bool x86_lift_aam_aad(struct x86_lift *l)
{
	if (l->x64)
		return false;
	X86_CALL(l, x86_h_daa_group, x86_const(l, 4 + (l->in.opcode & 1)),
		x86_const(l, l->in.imm & 0xff), IR_NONE);
	return true;
}

/* D6: AL = CF ? FF : 0, in no manual of Intel's until late */
bool x86_lift_salc(struct x86_lift *l)
{
	uint16_t bit, all;
	struct ir_op *o;

	if (l->x64)
		return false;
	bit = x86_const(l, 0);
	o = x86_op(l, IR_SETCC, IR_8, bit, IR_NONE, IR_NONE);
	o->cond = COND_B;
	o->fin = IRFL_CF;
	all = ir_temp(l->b);
	x86_op(l, IR_NEG, IR_32, all, bit, IR_NONE);
	x86_set_reg(l, RAX, 1, all);
	return true;
}

/* CMC, CLC, STC */
bool x86_lift_flagop(struct x86_lift *l)
{
	struct ir_op *o = x86_op(l,
		l->in.opcode == 0xf5   ? IR_CMC
		: l->in.opcode == 0xf8 ? IR_CLC
				       : IR_STC,
		IR_64, IR_NONE, IR_NONE, IR_NONE);

	o->fout = IRFL_CF;
	o->fin = o->code == IR_CMC ? IRFL_CF : 0;
	return true;
}
