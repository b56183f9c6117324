/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift_bits.c: shifts, rotates, bit tests, bit scans. Spec: SDM vol. 1, 7.3.6 to 7.3.7; vol. 2. */
#include "accel/jit/x86/lift_ops.h"

static const uint16_t shift_code[8] = { IR_ROL, IR_ROR, IR_RCL, IR_RCR, IR_SHL, IR_SHR, IR_SHL,
	IR_SAR };

/* Flags of a shift: a count that may be zero keeps them, so they count as read. */
static void shift_flags(struct ir_op *o, unsigned code, bool variable)
{
	bool rotate = code == IR_ROL || code == IR_ROR || code == IR_RCL || code == IR_RCR;
	bool carry =
		code == IR_RCL || code == IR_RCR; /* count modulo 9 or 17 may be zero as well */

	o->fout = rotate ? IRFL_CF | IRFL_OF : IRFL_ALL;
	o->fin = variable || carry ? o->fout : 0;
}

static void shift_by_zero(struct x86_lift *l, unsigned code, unsigned size)
{
	if (l->in.is_mem) {
		struct ir_op *o = x86_mem_op(l, IR_RMW, size, x86_mem(l, size, true));

		o->sub = (uint8_t)code;
		o->c = IR_IMM;
	} else if (size == 4) {
		x86_set_reg(l, l->in.rm, size, l->in.rm);
	}
}

bool x86_lift_shift(struct x86_lift *l)
{
	unsigned code = shift_code[l->in.reg & 7], size = l->in.opcode & 1 ? l->in.osize : 1;
	bool by_cl = l->in.opcode >= 0xd2;
	int64_t n = l->in.opcode < 0xd0 ? l->in.imm & (size == 8 ? 63 : 31) : 1;
	uint16_t count = by_cl ? RCX : IR_IMM;
	struct ir_op *o;

	if (!by_cl && !n) {
		shift_by_zero(l, code, size);
		return true;
	}
	if (l->in.is_mem) {
		o = x86_mem_op(l, IR_RMW, size, x86_mem(l, size, true));
		o->sub = (uint8_t)code;
		o->c = count;
		o->imm = n;
		shift_flags(o, code, by_cl);
	} else {
		uint16_t a = x86_reg(l, l->in.rm, size);

		o = x86_op(l, (enum ir_code)code, size, a, a, count);
		o->imm = n;
		shift_flags(o, code, by_cl);
		if (x86_is_high(l, l->in.rm, size))
			x86_set_reg(l, l->in.rm, size, a);
	}
	return true;
}

static void emit_shiftd(struct x86_lift *l, enum ir_code code, uint16_t d, bool flags)
{
	bool by_cl = l->in.opcode & 1;
	struct ir_op *o = x86_op(l, code, l->in.osize, d, d, l->in.reg);

	o->c = by_cl ? RCX : IR_IMM;
	o->imm = by_cl ? 0 : l->in.imm & (l->in.osize == 8 ? 63 : 31);
	if (flags) {
		o->fout = IRFL_ALL;
		o->fin = by_cl ? IRFL_ALL : 0;
	}
}

/* SHLD, SHRD */
bool x86_lift_shiftd(struct x86_lift *l)
{
	enum ir_code code = l->in.opcode & 8 ? IR_SHRD : IR_SHLD;
	unsigned size = l->in.osize;
	bool zero = !(l->in.opcode & 1) && !(l->in.imm & (size == 8 ? 63 : 31));
	struct x86_mem m;
	uint16_t old, val;

	if (!l->in.is_mem) {
		if (!zero)
			emit_shiftd(l, code, l->in.rm, true);
		else if (size == 4)
			x86_set_reg(l, l->in.rm, size, l->in.rm);
		return true;
	}
	/* a fault is one of a write; the flags change after the store, so shift once for each */
	m = x86_mem(l, size, true);
	x86_mem_op(l, IR_PROBE_W, size, m);
	old = x86_load(l, size, m);
	val = x86_mov(l, old);
	emit_shiftd(l, code, val, false);
	x86_store(l, size, m, val);
	if (!zero)
		emit_shiftd(l, code, old, true);
	return true;
}

/* --- bit tests --- */

static const uint16_t bt_code[4] = { IR_BT, IR_BTS, IR_BTR, IR_BTC };
enum { BT_FLAGS = IRFL_ALL & ~IRFL_ZF };

static void bt_reg(struct x86_lift *l, enum ir_code code, uint16_t index, int64_t imm)
{
	struct ir_op *o =
		x86_op(l, code, l->in.osize, code == IR_BT ? IR_NONE : l->in.rm, l->in.rm, index);

	o->imm = imm;
	o->fout = BT_FLAGS;
}

static void bt_mem(
	struct x86_lift *l, enum ir_code code, struct x86_mem m, uint16_t index, int64_t imm)
{
	struct ir_op *o;

	if (code == IR_BT) {
		o = x86_op(l, IR_BT, l->in.osize, IR_NONE, x86_load(l, l->in.osize, m), index);
	} else {
		o = x86_mem_op(l, IR_RMW, l->in.osize, m);
		o->sub = (uint8_t)code;
		o->c = index;
		if (l->in.lock)
			o->flags |= IRO_LOCK;
	}
	o->imm = imm;
	o->fout = BT_FLAGS;
}

/* The operand's word that holds bit `reg`, a signed offset from the address. */
static struct x86_mem bit_string(struct x86_lift *l, bool write)
{
	unsigned size = l->in.osize;
	uint16_t index = l->in.reg;
	struct x86_mem m = x86_offset(l), sum = {
		.a = ir_temp(l->b),
		.b = ir_temp(l->b),
		.mem = (uint8_t)(x86_asize_bits(l, l->in.asize) | (size == 8          ? 3
									  : size == 4 ? 2
										      : 1)),
	};

	x86_mem_op(l, IR_LEA, IR_64, m)->d = sum.a;
	if (size < 8) {
		index = ir_temp(l->b);
		x86_op(l, size == 4 ? IR_SX32 : IR_SX16, IR_64, index, l->in.reg, IR_NONE);
	}
	x86_op_imm(l, IR_SAR, IR_64, sum.b, index, size == 8 ? 6 : size == 4 ? 5 : 4);
	return x86_mem_seg(l, sum, l->in.mem_seg, size, write);
}

bool x86_lift_bt(struct x86_lift *l)
{
	enum ir_code code = (enum ir_code)bt_code[(l->in.opcode >> 3) & 3];
	struct x86_mem m;
	uint16_t index;

	if (!l->in.is_mem) {
		bt_reg(l, code, l->in.reg, 0);
		return true;
	}
	m = bit_string(l, code != IR_BT);
	index = ir_temp(l->b);
	x86_op_imm(l, IR_AND, IR_32, index, l->in.reg, l->in.osize * 8 - 1);
	bt_mem(l, code, m, index, 0);
	return true;
}

bool x86_lift_bt_imm(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;
	int64_t bit = l->in.imm & (l->in.osize * 8 - 1);
	enum ir_code code = (enum ir_code)bt_code[digit & 3];

	if (digit < 4)
		return false;
	if (l->in.is_mem)
		bt_mem(l, code, x86_mem(l, l->in.osize, code != IR_BT), IR_IMM, bit);
	else
		bt_reg(l, code, IR_IMM, bit);
	return true;
}

/* --- scans and counts --- */

/* TZCNT, LZCNT, POPCNT: F3 0F opcode, as they are */
static void count_native(struct x86_lift *l)
{
	unsigned size = l->in.osize;
	struct native n = { .opcode = l->in.opcode,
		.map = 1,
		.pp = size == 2 ? 4 : 2,
		.form = size == 8 ? NATIVE_W : 0,
		.cls = NATIVE_REG_G | NATIVE_REG_W };
	uint16_t d = size == 2 ? ir_temp(l->b) : l->in.reg;

	x86_native(l, n, size, d, IR_NONE)->fout = IRFL_ALL;
	if (size == 2)
		x86_set_reg(l, l->in.reg, 2, d);
}

/* BSF, BSR; with F3, where offered, TZCNT and LZCNT */
bool x86_lift_bsf(struct x86_lift *l)
{
	bool reverse = l->in.opcode & 1;

	if (l->in.rep == X86_REP_F3 && (reverse ? x86_lift_has(l, FEAT_8000_0001_ECX, 5)
						: x86_lift_has(l, FEAT_7_0_EBX, 3))) {
		count_native(l);
		return true;
	}
	x86_op(l, reverse ? IR_BSR : IR_BSF, l->in.osize, l->in.reg, x86_rm(l, l->in.osize),
		IR_NONE)
		->fout = IRFL_ALL;
	return true;
}

bool x86_lift_popcnt(struct x86_lift *l)
{
	if (l->in.rep != X86_REP_F3 || !x86_lift_has(l, FEAT_1_ECX, 23))
		return false;
	count_native(l);
	return true;
}
