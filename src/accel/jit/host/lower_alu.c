/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower_alu.c: moves and arithmetic between registers. */
#include "accel/jit/host/lower.h"

static bool same(struct loc a, unsigned reg)
{
	return a.kind == LOC_REG && a.reg == reg;
}

/* ---- moves */
static void lower_mov(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc a = value(l, o->a);
	unsigned r;

	if (is_temp(o->d)) {
		finish(l, o->d, copy_of(l, o->a), o->type);
		if (o->type == IR_32) { /* the copy is of 64 bits */
			r = value(l, o->d).reg;
			as_mov(&l->a, 4, r, loc_reg(r));
		}
		return;
	}
	if (host_reg(o->d) != HOST_NONE) {
		if (a.kind == LOC_IMM && o->type == IR_8)
			as_mov_to(&l->a, 1, loc_reg(host_reg(o->d)), a);
		else if (!same(a, host_reg(o->d)) || o->type == IR_32)
			as_mov(&l->a, o->type, host_reg(o->d), a);
		return;
	}
	if (o->type == IR_32) {
		r = scratch(l);
		as_mov(&l->a, 4, r, a);
		finish(l, o->d, r, 4);
		return;
	}
	a = source(l, o->a, o->type);
	if (a.kind == LOC_MEM)
		a = loc_reg(in_reg(l, o->a));
	as_mov_to(&l->a, o->type, value(l, o->d), a);
}

static void lower_movi(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc v = loc_imm(o->type == IR_32 ? (int64_t)(uint32_t)o->imm : o->imm);
	unsigned r;

	if (is_temp(o->d)) {
		struct temp *t = temp_of(l, o->d);

		if (t->reg == HOST_NONE && t->slot == NO_SLOT && !t->constant) {
			t->constant = true;
			t->value = v.imm;
			return;
		}
		r = scratch(l);
		as_mov(&l->a, 8, r, v);
		finish(l, o->d, r, o->type);
		return;
	}
	if (host_reg(o->d) != HOST_NONE) {
		as_mov(&l->a, o->type, host_reg(o->d), v);
	} else if (o->type < IR_32 || v.imm == (int32_t)v.imm) {
		as_mov_to(&l->a, o->type < IR_32 ? o->type : 8, value(l, o->d), v);
	} else {
		r = scratch(l);
		as_mov(&l->a, 8, r, v);
		finish(l, o->d, r, 8);
	}
}

static void lower_pc(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned r = target(l, o->d);

	as_mov(&l->a, 8, r, LOC_HOT(pc_base));
	if (o->imm)
		as_lea(&l->a, 8, r, loc_mem(r, (int32_t)o->imm));
	finish(l, o->d, r, 8);
}

/* d = part of a, extended to type */
static void lower_extend(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned from = o->code == IR_ZX8 || o->code == IR_SX8 ? 1 : o->code == IR_SX32 ? 4 : 2;
	bool sign = o->code >= IR_SX8 && o->code <= IR_SX32;
	struct loc a = value(l, o->a);
	unsigned r;

	if (a.kind == LOC_IMM)
		a = loc_reg(in_reg(l, o->a));
	lock_reg(l, a.kind == LOC_REG ? a.reg : 0);
	r = o->type < IR_32 ? scratch(l) : target(l, o->d);
	if (sign)
		as_movsx(&l->a, from, o->type < IR_32 ? 4 : o->type, r, a);
	else
		as_movzx(&l->a, from, r, a);
	finish(l, o->d, r, o->type);
}

static void lower_gethi(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc a = value(l, o->a);
	unsigned r = target(l, o->d);

	if (a.kind == LOC_MEM) {
		a.disp++;
		as_movzx(&l->a, 1, r, a);
	} else if (a.kind == LOC_REG && a.reg < 4 && r < 8) {
		/* without REX, register 4 + n is AH..BH */
		as_modrm(&l->a, (struct enc){ .map = 1, .opcode = 0xb6 }, r, loc_reg(a.reg + 4));
	} else if (l->vm->thunks.host.bmi2 && a.kind == LOC_REG) {
		as_rorx(&l->a, 4, r, a, 8);
		as_movzx(&l->a, 1, r, loc_reg(r));
	} else {
		flags_clobber(l, 0, 0);
		as_mov(&l->a, 4, r, a);
		as_shift_imm(&l->a, 5, 4, loc_reg(r), 8);
		as_movzx(&l->a, 1, r, loc_reg(r));
	}
	finish(l, o->d, r, o->type < IR_32 ? o->type : 8);
}

static void lower_sethi(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc d = value(l, o->d), a = value(l, o->a);
	unsigned r;

	if (a.kind == LOC_IMM && d.kind == LOC_MEM) {
		d.disp++;
		as_mov_to(&l->a, 1, d, a);
		return;
	}
	if (d.kind == LOC_REG && d.reg < 4) {
		if (a.kind == LOC_IMM) {
			as_8(&l->a, 0xb0 | (d.reg + 4));
			as_8(&l->a, a.imm & 0xff);
			return;
		}
		if (a.kind == LOC_REG && a.reg < 4) {
			as_modrm(&l->a, (struct enc){ .opcode = 0x88 }, a.reg, loc_reg(d.reg + 4));
			return;
		}
	}
	r = in_reg(l, o->a);
	if (d.kind == LOC_MEM) {
		d.disp++;
		as_mov_to(&l->a, 1, d, loc_reg(r));
		return;
	}
	if (d.kind == LOC_IMM)
		d = loc_reg(in_reg(l, o->d));
	if (!l->vm->thunks.host.bmi2)
		flags_clobber(l, 0, 0);
	if (same(d, r)) { /* d[15:8] = d[7:0] */
		r = scratch(l);
		as_mov(&l->a, 4, r, d);
	}
	for (unsigned step = 0; step < 2; step++) {
		if (l->vm->thunks.host.bmi2)
			as_rorx(&l->a, 8, d.reg, d, step ? 56 : 8);
		else
			as_shift_imm(&l->a, 1, 8, d, step ? 56 : 8);
		if (!step)
			as_mov(&l->a, 1, d.reg, loc_reg(r));
	}
	if (is_temp(o->d) && temp_of(l, o->d)->slot != NO_SLOT) { /* the slot is stale */
		l->slots &= ~(1ull << temp_of(l, o->d)->slot);
		temp_of(l, o->d)->slot = NO_SLOT;
	}
}

static void lower_lea(struct lower *l)
{
	struct ir_op o = *l->o;
	bool seg = o.mem & IRM_SEG;
	unsigned r = !seg && o.type >= IR_32 ? target(l, o.d) : scratch(l);

	if (o.type == IR_32 && !seg)
		o.mem |= IRM_A32;
	emit_address(l, &o, r, true);
	if (o.type == IR_32 && seg)
		as_mov(&l->a, 4, r, loc_reg(r));
	finish(l, o.d, r, o.type);
}

static void lower_lds(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned r = target(l, o->d);

	if (o->type == IR_64)
		as_mov(&l->a, 8, r, loc_state((int32_t)o->imm));
	else
		as_movzx(&l->a, o->type, r, loc_state((int32_t)o->imm));
	finish(l, o->d, r, 8);
}

static void lower_sts(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc a = value(l, o->a);

	if (a.kind == LOC_MEM || (a.kind == LOC_IMM && a.imm != (int32_t)a.imm))
		a = loc_reg(in_reg(l, o->a));
	as_mov_to(&l->a, o->type, loc_state((int32_t)o->imm), a);
}

/* ---- two operands, d = a op b */
static void store_upper_zero(struct lower *l, struct loc d, unsigned size)
{
	if (size != 4 || d.kind != LOC_MEM)
		return;
	d.disp += 4;
	as_mov_to(&l->a, 4, d, loc_imm(0));
}

/* A temporary that has a register and a slot is about to change in the register: the slot is stale.
 */
static void written_in_place(struct lower *l, uint16_t d)
{
	if (is_temp(d) && temp_of(l, d)->reg != HOST_NONE && temp_of(l, d)->slot != NO_SLOT) {
		l->slots &= ~(1ull << temp_of(l, d)->slot);
		temp_of(l, d)->slot = NO_SLOT;
	}
}

/* add and sub that leave flags alone: LEA */
static bool try_lea(struct lower *l, unsigned alu)
{
	const struct ir_op *o = l->o;
	struct loc a = value(l, o->a), b = value(l, o->b);
	unsigned r, ra, rb;

	if (o->flive || o->type < IR_32 || (alu != ALU_ADD && alu != ALU_SUB))
		return false;
	if (o->d == o->a && o->fout == IRFL_ALL && !(l->f.host & l->need[l->i] & ~o->fout))
		return false; /* nobody minds the flags; the plain form is shorter */
	if (b.kind == LOC_IMM) {
		int64_t v = alu == ALU_SUB ? -b.imm : b.imm;

		if (v != (int32_t)v)
			return false;
		ra = in_reg(l, o->a);
		r = target(l, o->d);
		as_lea(&l->a, o->type, r, loc_mem(ra, (int32_t)v));
		finish(l, o->d, r, o->type);
		return true;
	}
	if (alu == ALU_SUB || a.kind == LOC_IMM)
		return false;
	ra = in_reg(l, o->a);
	rb = in_reg(l, o->b);
	r = target(l, o->d);
	as_lea(&l->a, o->type, r, loc_sib(ra, rb, 0, 0));
	finish(l, o->d, r, o->type);
	return true;
}

/* The general form: emit(reg, source) does reg = reg op source. */
static void two_address(
	struct lower *l, bool commutes, void (*emit)(struct lower *l, unsigned reg, struct loc src))
{
	const struct ir_op *o = l->o;
	uint16_t a = o->a, b = o->b;
	struct loc src;
	unsigned r;

	if (commutes && b == o->d && b != IR_IMM && a != b) {
		a = o->b;
		b = o->a;
	}
	if (a == o->d && value(l, a).kind == LOC_REG) {
		src = source(l, b, o->type);
		r = value(l, a).reg;
		emit(l, r, src);
		written_in_place(l, a);
		return;
	}
	src = source(l, b, o->type);
	if (!is_temp(o->d) && host_reg(o->d) != HOST_NONE && o->type >= IR_32 &&
		!same(src, host_reg(o->d))) {
		r = host_reg(o->d);
		as_mov(&l->a, o->type, r, value(l, a));
		emit(l, r, src);
		return;
	}
	if (is_temp(b) && a == b) { /* copy_of may take b's register over: it is the same value */
		r = scratch(l);
		as_mov(&l->a, 8, r, value(l, a));
	} else {
		r = copy_of(l, a);
	}
	src = source(l, b, o->type);
	emit(l, r, src);
	finish(l, o->d, r, o->type);
}

static void emit_alu(struct lower *l, unsigned reg, struct loc src)
{
	static const uint8_t alu_of[] = { [IR_ADD - IR_ADD] = ALU_ADD,
		[IR_ADC - IR_ADD] = ALU_ADC,
		[IR_SUB - IR_ADD] = ALU_SUB,
		[IR_SBB - IR_ADD] = ALU_SBB,
		[IR_AND - IR_ADD] = ALU_AND,
		[IR_OR - IR_ADD] = ALU_OR,
		[IR_XOR - IR_ADD] = ALU_XOR };

	as_alu(&l->a, alu_of[l->o->code - IR_ADD], l->o->type, reg, src);
}

static unsigned alu_code(unsigned code)
{
	switch (code) {
	case IR_ADD: return ALU_ADD;
	case IR_ADC: return ALU_ADC;
	case IR_SUB: return ALU_SUB;
	case IR_SBB: return ALU_SBB;
	case IR_AND: return ALU_AND;
	case IR_OR: return ALU_OR;
	default: return ALU_XOR;
	}
}

static void alu_recipe(struct lower *l)
{
	const struct ir_op *o = l->o;

	if (o->fout != IRFL_ALL)
		return;
	switch (o->code) {
	case IR_ADD:
		if (o->d != o->b)
			flags_recipe(l, FLAGS_ADD, o->type, o->d, o->b);
		else if (o->d != o->a)
			flags_recipe(l, FLAGS_ADD, o->type, o->d, o->a);
		break;
	case IR_SUB:
		if (o->d != o->a && o->d != o->b)
			flags_recipe(l, FLAGS_SUB, o->type, o->a, o->b);
		else if (o->d != o->b)
			flags_recipe(l, FLAGS_SUB_RESULT, o->type, o->d, o->b);
		break;
	case IR_AND:
	case IR_OR:
	case IR_XOR: flags_recipe(l, FLAGS_LOGIC, o->type, o->d, o->d); break;
	}
}

static void lower_binary(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned alu = alu_code(o->code);
	bool carry = o->code == IR_ADC || o->code == IR_SBB;
	struct loc d, b;

	if (try_lea(l, alu))
		return;
	if (carry) {
		flags_load(l, IRFL_CF);
		flags_clobber(l, o->fout, IRFL_CF);
	} else {
		flags_clobber(l, o->fout, 0);
	}
	d = value(l, o->d);
	if (o->d == o->a && d.kind == LOC_MEM) {
		b = source(l, o->b, o->type);
		if (b.kind == LOC_MEM)
			b = loc_reg(in_reg(l, o->b));
		as_alu_to(&l->a, alu, o->type, d, b, false);
		store_upper_zero(l, d, o->type);
	} else {
		two_address(l, o->code != IR_SUB && o->code != IR_SBB, emit_alu);
	}
	flags_produced(l, o->fout, 0);
	alu_recipe(l);
}

static void lower_compare(struct lower *l)
{
	const struct ir_op *o = l->o;
	bool test = o->code == IR_TEST;
	struct loc a, b;

	flags_clobber(l, o->fout, 0);
	b = source(l, o->b, o->type);
	a = value(l, o->a);
	if (a.kind == LOC_IMM || (a.kind == LOC_MEM && b.kind == LOC_MEM))
		a = loc_reg(in_reg(l, o->a));
	if (test && b.kind == LOC_MEM)
		as_test(&l->a, o->type, b, a);
	else if (test)
		as_test(&l->a, o->type, a, b);
	else if (b.kind == LOC_MEM)
		as_alu(&l->a, ALU_CMP, o->type, a.reg, b);
	else
		as_alu_to(&l->a, ALU_CMP, o->type, a, b, false);
	flags_produced(l, o->fout, 0);
	if (o->fout == IRFL_ALL)
		flags_recipe(l, test ? FLAGS_LOGIC : FLAGS_SUB, o->type, o->a, o->b);
}

/* ---- one operand */
static void emit_unary(struct lower *l, struct loc x)
{
	const struct ir_op *o = l->o;

	switch (o->code) {
	case IR_INC:
	case IR_DEC: as_incdec(&l->a, o->code == IR_DEC, o->type, x, false); break;
	case IR_NEG: as_group3(&l->a, 3, o->type, x, false); break;
	default: as_group3(&l->a, 2, o->type, x, false); break;
	}
}

static void lower_unary(struct lower *l)
{
	const struct ir_op *o = l->o;
	bool count = o->code == IR_INC || o->code == IR_DEC;
	struct loc d = value(l, o->d);
	unsigned r;

	if (o->code != IR_NOT) {
		if (count && l->need[l->i] & IRFL_CF & ~o->fout)
			flags_load(l, IRFL_CF);
		flags_clobber(l, o->fout, count ? IRFL_CF : 0);
	}
	if (o->d == o->a && d.kind != LOC_IMM) {
		emit_unary(l, d);
		written_in_place(l, o->d);
		store_upper_zero(l, d, o->type);
	} else {
		r = copy_of(l, o->a);
		emit_unary(l, loc_reg(r));
		finish(l, o->d, r, o->type);
	}
	if (o->code != IR_NOT)
		flags_produced(l, o->fout, count ? IRFL_CF : 0);
}

static void lower_bswap(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned r = o->d == o->a && value(l, o->d).kind == LOC_REG ? value(l, o->d).reg
								    : copy_of(l, o->a);

	as_8(&l->a, 0x40 | (o->type == 8 ? 8 : 0) | r >> 3);
	as_8(&l->a, 0x0f);
	as_8(&l->a, 0xc8 | (r & 7));
	written_in_place(l, o->d);
	if (o->d != o->a || value(l, o->d).kind != LOC_REG)
		finish(l, o->d, r, o->type);
}

/* ---- multiply, divide */
static void emit_imul(struct lower *l, unsigned reg, struct loc src)
{
	if (src.kind == LOC_IMM) {
		bool small = src.imm == (int8_t)src.imm;

		as_modrm(&l->a,
			(struct enc){ .pp = l->o->type == 2,
				.w = l->o->type == 8,
				.opcode = small ? 0x6b : 0x69 },
			reg, loc_reg(reg));
		if (small)
			as_8(&l->a, src.imm & 0xff);
		else if (l->o->type == 2)
			as_bytes(&l->a, &src.imm, 2);
		else
			as_32(&l->a, (uint32_t)src.imm);
	} else {
		as_0f(&l->a, 0xaf, l->o->type, reg, src, false);
	}
}

static void lower_imul(struct lower *l)
{
	flags_clobber(l, l->o->fout, 0);
	two_address(l, true, emit_imul);
	flags_produced(l, l->o->fout, 0);
}

static void lower_muldiv(struct lower *l)
{
	const struct ir_op *o = l->o;
	static const uint8_t digit[] = { 4, 5, 6, 7 };
	bool divide = o->code == IR_DIVX86 || o->code == IR_IDIVX86;
	struct loc a = value(l, o->a);

	flags_clobber(l, o->fout, 0);
	if (a.kind == LOC_IMM)
		a = loc_reg(in_reg(l, o->a));
	if (divide)
		site_add(l, true);
	as_group3(&l->a, digit[o->code - IR_MULX86], o->type, a, false);
	flags_produced(l, o->fout, 0);
}

/* High halves and plain division through RDX:RAX, kept aside in the frame's scratch. */
static void lower_wide(struct lower *l)
{
	const struct ir_op *o = l->o;
	bool divide = o->code == IR_UDIV || o->code == IR_SDIV;
	unsigned a, b;

	flags_clobber(l, 0, 0);
	a = copy_of(l, o->a);
	b = scratch(l);
	as_mov(&l->a, 8, b, value(l, o->b));
	as_mov_to(
		&l->a, 8, loc_state((int)offsetof(struct jit_hot, scratch) - 128), loc_reg(H_RAX));
	as_mov_to(
		&l->a, 8, loc_state((int)offsetof(struct jit_hot, scratch) - 120), loc_reg(H_RDX));
	as_mov(&l->a, 8, H_RAX, loc_reg(a));
	if (o->code == IR_UDIV)
		as_mov(&l->a, 4, H_RDX, loc_imm(0));
	else if (o->code == IR_SDIV)
		as_bytes(&l->a, o->type == 8 ? "\x48\x99" : "\x99",
			o->type == 8 ? 2 : 1); /* cqo, cdq */
	as_group3(&l->a,
		o->code == IR_UMULH   ? 4
		: o->code == IR_SMULH ? 5
		: o->code == IR_UDIV  ? 6
				      : 7,
		o->type, loc_reg(b), false);
	as_mov(&l->a, o->type, a, loc_reg(divide ? H_RAX : H_RDX));
	as_mov(&l->a, 8, H_RAX, loc_state((int)offsetof(struct jit_hot, scratch) - 128));
	as_mov(&l->a, 8, H_RDX, loc_state((int)offsetof(struct jit_hot, scratch) - 120));
	finish(l, o->d, a, o->type);
}

/* ---- bit scans: d stays when a is 0 */
static void lower_scan(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned op = o->code == IR_BSF ? 0xbc : 0xbd, r;
	struct loc a;

	flags_clobber(l, o->fout, 0);
	a = source(l, o->a, o->type);
	if (a.kind == LOC_IMM)
		a = loc_reg(in_reg(l, o->a));
	if (value(l, o->d).kind == LOC_REG) {
		as_0f(&l->a, op, o->type, value(l, o->d).reg, a, false);
		written_in_place(l, o->d);
	} else {
		r = scratch(l);
		as_mov(&l->a, 8, r, value(l, o->d));
		as_0f(&l->a, op, o->type, r, a, false);
		finish(l, o->d, r, o->type < IR_32 ? o->type : 8);
	}
	flags_produced(l, o->fout, 0);
}

/* ---- flags as values */
static void lower_setcc(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned cc = flags_cond(l, o->cond), r;
	struct enc e = { .map = 1, .opcode = (uint8_t)(0x90 | cc), .byte_rm = true };

	if (!is_temp(o->d) || value(l, o->d).kind == LOC_MEM) {
		as_modrm(&l->a, e, 0, value(l, o->d));
	} else {
		r = scratch(l);
		as_modrm(&l->a, e, 0, loc_reg(r));
		finish(l, o->d, r, 1);
	}
}

static void lower_cmov(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned size = o->type < IR_32 ? IR_32 : o->type, cc = flags_cond(l, o->cond), r;
	uint16_t take = o->a, keep = o->b;
	bool own = !is_temp(o->d) && host_reg(o->d) != HOST_NONE && o->type >= IR_32;
	struct loc src;

	if (own && o->a == o->d) { /* the other way round */
		take = o->b;
		keep = o->a;
		cc ^= 1;
	}
	src = value(l, take);
	if (src.kind == LOC_IMM || (src.kind == LOC_MEM && o->type < IR_32))
		src = loc_reg(in_reg(l, take));
	lock_reg(l, src.kind == LOC_REG ? src.reg : 0);
	if (own) {
		r = host_reg(o->d);
		if (keep != o->d)
			as_mov(&l->a, o->type, r, value(l, keep));
	} else {
		r = scratch(l);
		as_mov(&l->a, 8, r, value(l, keep));
		if (o->type == IR_32) /* zero-extended either way */
			as_mov(&l->a, 4, r, loc_reg(r));
	}
	as_modrm(&l->a, (struct enc){ .map = 1, .opcode = (uint8_t)(0x40 | cc), .w = size == 8 }, r,
		src);
	if (!own)
		finish(l, o->d, r, o->type);
}

static void lower_getfl(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned r;

	flags_save(l, ir_flags_read(o) | l->need[l->i]);
	r = target(l, o->d);
	as_mov(&l->a, 4, r, LOC_HOT(arith));
	as_alu(&l->a, ALU_AND, 4, r, loc_imm((int32_t)flags_bits(ir_flags_read(o))));
	l->f.host = 0;
	finish(l, o->d, r, o->type < IR_32 ? o->type : 8);
}

static void lower_setfl(struct lower *l)
{
	const struct ir_op *o = l->o;
	uint8_t rest = l->need[l->i] & ~o->fout;
	int32_t mask = (int32_t)flags_bits(o->fout);
	struct loc a;
	unsigned r;

	if (!o->flive)
		return;
	if (!rest) {
		a = value(l, o->a);
		if (a.kind == LOC_MEM)
			a = loc_reg(in_reg(l, o->a));
		as_mov_to(&l->a, 4, LOC_HOT(arith), a);
	} else {
		flags_save(l, rest);
		r = copy_of(l, o->a);
		as_alu(&l->a, ALU_AND, 4, r, loc_imm(mask));
		as_alu_to(&l->a, ALU_AND, 4, LOC_HOT(arith), loc_imm(~mask), false);
		as_alu_to(&l->a, ALU_OR, 4, LOC_HOT(arith), loc_reg(r), false);
	}
	flags_produced(l, o->fout, 0);
	l->f.host = 0;
	l->f.mem |= o->fout;
}

static void lower_carry(struct lower *l)
{
	const struct ir_op *o = l->o;

	if (!o->flive)
		return;
	if (o->code == IR_CMC)
		flags_load(l, IRFL_CF);
	flags_clobber(l, IRFL_CF, IRFL_ALL & ~IRFL_CF);
	as_8(&l->a, o->code == IR_CLC ? 0xf8 : o->code == IR_STC ? 0xf9 : 0xf5);
	flags_produced(l, IRFL_CF, IRFL_ALL & ~IRFL_CF);
}

bool lower_alu(struct lower *l)
{
	switch (l->o->code) {
	case IR_MOV: lower_mov(l); break;
	case IR_MOVI: lower_movi(l); break;
	case IR_PC: lower_pc(l); break;
	case IR_ZX8:
	case IR_ZX16:
	case IR_SX8:
	case IR_SX16:
	case IR_SX32: lower_extend(l); break;
	case IR_GETHI: lower_gethi(l); break;
	case IR_SETHI: lower_sethi(l); break;
	case IR_LEA: lower_lea(l); break;
	case IR_LDS: lower_lds(l); break;
	case IR_STS: lower_sts(l); break;
	case IR_ADD:
	case IR_ADC:
	case IR_SUB:
	case IR_SBB:
	case IR_AND:
	case IR_OR:
	case IR_XOR: lower_binary(l); break;
	case IR_CMP:
	case IR_TEST: lower_compare(l); break;
	case IR_INC:
	case IR_DEC:
	case IR_NEG:
	case IR_NOT: lower_unary(l); break;
	case IR_BSWAP: lower_bswap(l); break;
	case IR_IMUL: lower_imul(l); break;
	case IR_MUL:
		flags_clobber(l, 0, 0);
		two_address(l, true, emit_imul);
		break;
	case IR_UMULH:
	case IR_SMULH:
	case IR_UDIV:
	case IR_SDIV: lower_wide(l); break;
	case IR_MULX86:
	case IR_IMULX86:
	case IR_DIVX86:
	case IR_IDIVX86: lower_muldiv(l); break;
	case IR_BSF:
	case IR_BSR: lower_scan(l); break;
	case IR_SETCC: lower_setcc(l); break;
	case IR_CMOV: lower_cmov(l); break;
	case IR_GETFL: lower_getfl(l); break;
	case IR_SETFL: lower_setfl(l); break;
	case IR_CLC:
	case IR_STC:
	case IR_CMC: lower_carry(l); break;
	default: return false;
	}
	return true;
}
