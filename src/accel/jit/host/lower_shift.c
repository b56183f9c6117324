/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower_shift.c: shifts, rotates, bit tests. A count in a register may be 0, and then no flag
 * changes. */
#include "accel/jit/host/lower.h"

static unsigned digit_of(unsigned code)
{
	switch (code) {
	case IR_ROL: return 0;
	case IR_ROR: return 1;
	case IR_RCL: return 2;
	case IR_RCR: return 3;
	case IR_SHL: return 4;
	case IR_SHR: return 5;
	default: return 7;
	}
}

static bool through_carry(unsigned code)
{
	return code == IR_RCL || code == IR_RCR;
}

static bool rotate(unsigned code)
{
	return code == IR_ROL || code == IR_ROR || through_carry(code);
}

static bool two_registers(unsigned code)
{
	return code == IR_SHLD || code == IR_SHRD;
}

/* x = x shifted by imm (n >= 0) or CL (n < 0); other: SHLD's second register. */
static void emit_one(
	struct lower *l, unsigned code, unsigned size, struct loc x, unsigned other, int n)
{
	if (two_registers(code)) {
		unsigned op = (code == IR_SHLD ? 0xa4 : 0xac) + (n < 0);

		as_0f(&l->a, op, size, other, x, false);
		if (n >= 0)
			as_8(&l->a, n);
	} else if (n >= 0) {
		as_shift_imm(&l->a, digit_of(code), size, x, n);
	} else {
		as_shift_cl(&l->a, digit_of(code), size, x);
	}
}

/*
 * As emit_one by CL, with all flags that are still needed in hot.arith before and after: a zero
 * count leaves them there.
 */
static void emit_counted(
	struct lower *l, unsigned code, unsigned size, struct loc x, unsigned other)
{
	const struct ir_op *o = l->o;
	uint8_t *zero, *done;
	unsigned mask = size == 8 ? 63 : 31;
	int32_t bits = (int32_t)flags_bits(o->fout);

	as_test(&l->a, 1, loc_reg(H_RCX), loc_imm(mask));
	zero = as_jcc8(&l->a, 4);
	if (through_carry(code)) {
		as_modrm(&l->a, (struct enc){ .map = 1, .opcode = 0xba }, 4, LOC_HOT(arith));
		as_8(&l->a, 0);
	}
	emit_one(l, code, size, x, other, -1);
	as_8(&l->a, 0x9c);
	if (o->fout == IRFL_ALL) {
		as_pop_mem(&l->a, LOC_HOT(arith));
	} else { /* merge what it defines */
		as_alu_to(&l->a, ALU_AND, 4, loc_mem(H_RSP, 0), loc_imm(bits), false);
		as_alu_to(&l->a, ALU_AND, 4, LOC_HOT(arith), loc_imm(~bits), false);
		as_push(&l->a, H_RCX);
		as_mov(&l->a, 4, H_RCX, loc_mem(H_RSP, 8));
		as_alu_to(&l->a, ALU_OR, 4, LOC_HOT(arith), loc_reg(H_RCX), false);
		as_pop(&l->a, H_RCX);
		as_lea(&l->a, 8, H_RSP, loc_mem(H_RSP, 8));
	}
	done = as_jmp8(&l->a);
	as_here8(&l->a, zero);
	if (size == 4) /* even then the upper half of a register becomes 0 */
		emit_one(l, code, size, x, other, -1);
	as_here8(&l->a, done);
}

/* BMI2 forms: any count register, no flags */
static bool try_shiftx(struct lower *l, uint16_t count)
{
	const struct ir_op *o = l->o;
	unsigned pp = o->code == IR_SHL ? 1 : o->code == IR_SHR ? 3 : 2, r, by;
	struct loc a;

	if (!l->vm->thunks.host.bmi2 || o->flive || o->type < IR_32 ||
		(o->code != IR_SHL && o->code != IR_SHR && o->code != IR_SAR))
		return false;
	a = source(l, o->a, o->type);
	if (a.kind == LOC_IMM)
		a = loc_reg(in_reg(l, o->a));
	by = in_reg(l, count);
	r = target(l, o->d);
	as_shiftx(&l->a, pp, o->type, r, a, by);
	finish(l, o->d, r, o->type);
	return true;
}

static void shift_by_register(struct lower *l, uint16_t count)
{
	const struct ir_op *o = l->o;
	bool in_cl = count == 1; /* guest RCX */
	bool visible = o->flive || l->need[l->i] & o->fout;
	bool own = o->d == o->a && o->d < IR_GLOBALS && host_reg(o->d) != HOST_NONE &&
		   !(o->d == 1 && !in_cl);
	unsigned r, n = HOST_NONE, other = 0;

	if (try_shiftx(l, count))
		return;
	if (visible)
		flags_save(l, l->need[l->i] | ir_flags_read(o));
	else if (through_carry(o->code))
		flags_load(l, IRFL_CF);
	if (!visible)
		flags_clobber(l, 0, through_carry(o->code) ? IRFL_CF : 0);
	if (visible)
		l->f.host = 0;
	if (two_registers(o->code)) {
		other = in_reg(l, o->b);
		if (other == H_RCX && !in_cl) {
			other = scratch(l);
			as_mov(&l->a, 8, other, loc_reg(H_RCX));
		}
	}
	r = own ? host_reg(o->d) : copy_of(l, o->a);
	if (!in_cl) {
		n = copy_of(l, count);
		as_modrm(&l->a, (struct enc){ .w = true, .opcode = 0x87 }, n,
			loc_reg(H_RCX)); /* xchg */
	}
	if (visible)
		emit_counted(l, o->code, o->type, loc_reg(r), other);
	else
		emit_one(l, o->code, o->type, loc_reg(r), other, -1);
	if (!in_cl)
		as_modrm(&l->a, (struct enc){ .w = true, .opcode = 0x87 }, n, loc_reg(H_RCX));
	if (!own)
		finish(l, o->d, r, o->type);
	if (visible) { /* all in memory */
		uint8_t mem = l->f.mem | o->fout;

		flags_produced(l, o->fout, 0);
		l->f.host = 0;
		l->f.mem = mem;
	}
}

static void shift_by_imm(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned n = o->imm & (o->type == 8 ? 63 : 31), other = 0, r;
	uint8_t keeps = rotate(o->code) ? IRFL_ALL & ~(IRFL_CF | IRFL_OF) : 0;
	struct loc d = value(l, o->d);

	if (n) {
		if (through_carry(o->code)) {
			flags_load(l, IRFL_CF);
			flags_clobber(l, o->fout, keeps | IRFL_CF);
		} else {
			flags_clobber(l, o->fout, keeps);
		}
	}
	if (two_registers(o->code))
		other = in_reg(l, o->b);
	if (o->d == o->a && d.kind != LOC_IMM && (o->type != 4 || d.kind == LOC_REG)) {
		if (n)
			emit_one(l, o->code, o->type, d, other, (int)n);
		else if (o->type == 4)
			as_mov(&l->a, 4, d.reg, d);
		if (is_temp(o->d) && d.kind == LOC_REG && temp_of(l, o->d)->slot != NO_SLOT) {
			l->slots &= ~(1ull << temp_of(l, o->d)->slot);
			temp_of(l, o->d)->slot = NO_SLOT;
		}
	} else {
		bool direct = !is_temp(o->d) && host_reg(o->d) != HOST_NONE && o->type >= IR_32 &&
			      !(two_registers(o->code) && other == host_reg(o->d));

		r = direct ? host_reg(o->d) : copy_of(l, o->a);
		if (direct)
			as_mov(&l->a, o->type, r, value(l, o->a));
		else if (o->type == 4)
			as_mov(&l->a, 4, r, loc_reg(r));
		if (n)
			emit_one(l, o->code, o->type, loc_reg(r), other, (int)n);
		finish(l, o->d, r, o->type);
	}
	if (n)
		flags_produced(l, o->fout, keeps);
}

/* ---- bit tests; b modulo the width */
static void lower_bit(struct lower *l)
{
	const struct ir_op *o = l->o;
	static const uint8_t digits[] = { 4, 5, 6, 7 }, opcodes[] = { 0xa3, 0xab, 0xb3, 0xbb };
	unsigned k = o->code - IR_BT, bit = o->imm & (8 * o->type - 1), rb = 0, r;
	struct loc a = value(l, o->a);
	bool own = o->code == IR_BT || (o->d == o->a && a.kind == LOC_REG);

	flags_clobber(l, o->fout, IRFL_ZF);
	if (o->b != IR_IMM)
		rb = in_reg(l, o->b);
	if (own && (a.kind == LOC_REG || (a.kind == LOC_MEM && o->b == IR_IMM)))
		;
	else if (own)
		a = loc_reg(in_reg(l, o->a));
	else
		a = loc_reg(copy_of(l, o->a));
	r = a.reg;
	if (o->b == IR_IMM) {
		as_0f(&l->a, 0xba, o->type, digits[k], a, false);
		as_8(&l->a, bit);
	} else {
		as_0f(&l->a, opcodes[k], o->type, rb, a, false);
	}
	if (!own)
		finish(l, o->d, r, o->type);
	else if (o->code != IR_BT && is_temp(o->d) && temp_of(l, o->d)->slot != NO_SLOT) {
		l->slots &= ~(1ull << temp_of(l, o->d)->slot);
		temp_of(l, o->d)->slot = NO_SLOT;
	}
	flags_produced(l, o->fout, IRFL_ZF);
}

bool lower_shift(struct lower *l)
{
	const struct ir_op *o = l->o;

	if (o->code >= IR_BT && o->code <= IR_BTC) {
		lower_bit(l);
		return true;
	}
	if (o->code < IR_SHL || o->code > IR_SHRD)
		return false;
	uint16_t count = two_registers(o->code) ? o->c : o->b;

	if (count == IR_IMM)
		shift_by_imm(l);
	else
		shift_by_register(l, count);
	return true;
}
