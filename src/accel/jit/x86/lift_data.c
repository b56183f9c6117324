/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift_data.c: data movement between general registers and memory. Spec: SDM vol. 1, 7.3.1; vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

static unsigned op_size(const struct x86_lift *l)
{
	return l->in.opcode & 1 ? l->in.osize : 1;
}

/* register n = memory */
static void load_reg(struct x86_lift *l, unsigned n, unsigned size, struct x86_mem m)
{
	if (x86_is_high(l, n, size))
		x86_set_reg(l, n, size, x86_load(l, size, m));
	else
		x86_mem_op(l, IR_LD, size, m)->d = (uint16_t)n;
}

bool x86_lift_mov(struct x86_lift *l)
{
	unsigned size = op_size(l);

	if (!(l->in.opcode & 2)) {
		x86_set_rm(l, size, x86_reg(l, l->in.reg, size));
		return true;
	}
	if (l->in.is_mem)
		load_reg(l, l->in.reg, size, x86_mem(l, size, false));
	else
		x86_set_reg(l, l->in.reg, size, x86_reg(l, l->in.rm, size));
	return true;
}

bool x86_lift_mov_imm(struct x86_lift *l)
{
	unsigned n = (l->in.opcode & 7) | (l->in.rex & X86_REX_B ? 8 : 0);
	unsigned size = l->in.opcode & 8 ? l->in.osize : 1;

	if (size >= 4)
		x86_op(l, IR_MOVI, IR_64, (uint16_t)n, IR_NONE, IR_NONE)->imm =
			size == 4 ? (int64_t)(uint32_t)l->in.imm : l->in.imm;
	else
		x86_set_reg(l, n, size, x86_const(l, l->in.imm));
	return true;
}

bool x86_lift_mov_rm_imm(struct x86_lift *l)
{
	unsigned size = op_size(l);

	if (l->in.reg & 7)
		return false;
	if (l->in.is_mem) {
		struct ir_op *o = x86_mem_op(l, IR_ST, size, x86_mem(l, size, true));

		o->c = IR_IMM;
		o->imm = l->in.imm;
	} else if (size >= 4) {
		x86_op(l, IR_MOVI, IR_64, l->in.rm, IR_NONE, IR_NONE)->imm =
			size == 4 ? (int64_t)(uint32_t)l->in.imm : l->in.imm;
	} else {
		x86_set_reg(l, l->in.rm, size, x86_const(l, l->in.imm));
	}
	return true;
}

bool x86_lift_moffs(struct x86_lift *l)
{
	unsigned size = op_size(l);
	bool store = l->in.opcode & 2;
	struct x86_mem m = {
		.a = x86_const(l, l->in.imm),
		.b = IR_NONE,
		.mem = x86_asize_bits(l, l->in.asize),
	};

	m = x86_mem_seg(l, m, l->in.mem_seg, size, store);
	if (store)
		x86_store(l, size, m, RAX);
	else
		load_reg(l, RAX, size, m);
	return true;
}

bool x86_lift_lea(struct x86_lift *l)
{
	if (!l->in.is_mem)
		return false;
	x86_mem_op(l, IR_LEA, l->in.osize, x86_offset(l))->d = l->in.reg;
	return true;
}

bool x86_lift_xchg(struct x86_lift *l)
{
	unsigned size = op_size(l), n = l->in.reg;
	bool high = x86_is_high(l, n, size);
	uint16_t a = x86_reg(l, n, size), b;

	if (l->in.is_mem) {
		struct ir_op *o = x86_mem_op(l, IR_XCHG, size, x86_mem(l, size, true));

		o->c = a;
		o->d = a;
		if (high)
			x86_set_reg(l, n, size, a);
		return true;
	}
	a = x86_mov(l, a);
	b = x86_mov(l, x86_reg(l, l->in.rm, size));
	x86_set_reg(l, n, size, b);
	x86_set_reg(l, l->in.rm, size, a);
	return true;
}

/* 90..97; 90 itself is NOP or PAUSE unless REX.B makes it name R8 */
bool x86_lift_xchg_ax(struct x86_lift *l)
{
	unsigned n = (l->in.opcode & 7) | (l->in.rex & X86_REX_B ? 8 : 0);
	uint16_t a, b;

	if (n == RAX) {
		if (l->in.rep == X86_REP_F3)
			X86_CALL(l, x86_h_pause, IR_NONE, IR_NONE, IR_NONE);
		return true;
	}
	a = x86_mov(l, RAX);
	b = x86_mov(l, (uint16_t)n);
	x86_set_reg(l, RAX, l->in.osize, b);
	x86_set_reg(l, n, l->in.osize, a);
	return true;
}

/* CBW, CWDE, CDQE */
bool x86_lift_cbw(struct x86_lift *l)
{
	enum ir_code code = l->in.osize == 2 ? IR_SX8 : l->in.osize == 4 ? IR_SX16 : IR_SX32;

	x86_op(l, code, l->in.osize, RAX, RAX, IR_NONE);
	return true;
}

/* CWD, CDQ, CQO */
bool x86_lift_cwd(struct x86_lift *l)
{
	uint16_t t, sign;

	if (l->in.osize >= 4) {
		x86_op_imm(l, IR_SAR, l->in.osize, RDX, RAX, l->in.osize * 8 - 1);
		return true;
	}
	t = ir_temp(l->b);
	sign = ir_temp(l->b);
	x86_op(l, IR_SX16, IR_64, t, RAX, IR_NONE);
	x86_op_imm(l, IR_SAR, IR_64, sign, t, 15);
	x86_set_reg(l, RDX, 2, sign);
	return true;
}

static bool lift_arpl(struct x86_lift *l)
{
	if (!(l->mode & X86_MODE_PE) || (l->mode & X86_MODE_VM))
		return false;
	if (l->in.is_mem)
		X86_CALL(l, x86_h_arpl_mem, x86_linear(l, 2, false), l->in.reg, IR_NONE);
	else
		x86_set_reg(
			l, l->in.rm, 2, X86_CALL_RET(l, x86_h_arpl, l->in.rm, l->in.reg, IR_NONE));
	return true;
}

/* 63: MOVSXD in 64-bit code, else ARPL */
bool x86_lift_movsxd_arpl(struct x86_lift *l)
{
	if (!l->x64)
		return lift_arpl(l);
	if (l->in.osize < 8) { /* a move; AMD reads 32 bits also for a 16-bit register */
		x86_set_reg(l, l->in.reg, l->in.osize, x86_rm(l, l->cfg->amd ? 4 : l->in.osize));
	} else if (l->in.is_mem) {
		struct ir_op *o = x86_mem_op(l, IR_LDSX, IR_64, x86_mem(l, 4, false));

		o->d = l->in.reg;
		o->sub = 4;
	} else {
		x86_op(l, IR_SX32, IR_64, l->in.reg, l->in.rm, IR_NONE);
	}
	return true;
}

/* MOVZX, MOVSX */
bool x86_lift_movx(struct x86_lift *l)
{
	unsigned from = l->in.opcode & 1 ? 2 : 1, size = l->in.osize;
	bool sign = l->in.opcode & 8;
	enum ir_code code = from == 1 ? (sign ? IR_SX8 : IR_ZX8) : (sign ? IR_SX16 : IR_ZX16);
	struct ir_op *o;

	if (!l->in.is_mem) {
		x86_op(l, code, size, l->in.reg, x86_reg(l, l->in.rm, from), IR_NONE);
	} else if (sign) {
		o = x86_mem_op(l, IR_LDSX, size, x86_mem(l, from, false));
		o->d = l->in.reg;
		o->sub = (uint8_t)from;
	} else if (size == 2) {
		x86_set_reg(l, l->in.reg, 2, x86_load(l, from, x86_mem(l, from, false)));
	} else {
		x86_mem_op(l, IR_LDZ, from, x86_mem(l, from, false))->d = l->in.reg;
	}
	return true;
}

bool x86_lift_cmov(struct x86_lift *l)
{
	uint16_t src;
	struct ir_op *o;

	if (!x86_lift_has(l, FEAT_1_EDX, 15))
		return false;
	src = x86_rm(l, l->in.osize);
	o = x86_op(l, IR_CMOV, l->in.osize, l->in.reg, src, l->in.reg);
	o->cond = l->in.opcode & 15;
	o->fin = ir_cond_flags(o->cond);
	return true;
}

bool x86_lift_setcc(struct x86_lift *l)
{
	bool direct = !l->in.is_mem && !x86_is_high(l, l->in.rm, 1);
	uint16_t d = direct ? l->in.rm : x86_const(l, 0);
	struct ir_op *o = x86_op(l, IR_SETCC, IR_8, d, IR_NONE, IR_NONE);

	o->cond = l->in.opcode & 15;
	o->fin = ir_cond_flags(o->cond);
	if (!direct)
		x86_set_rm(l, 1, d);
	return true;
}

bool x86_lift_bswap(struct x86_lift *l)
{
	unsigned n = (l->in.opcode & 7) | (l->in.rex & X86_REX_B ? 8 : 0);

	if (l->in.osize >= 4)
		x86_op(l, IR_BSWAP, l->in.osize, (uint16_t)n, (uint16_t)n, IR_NONE);
	else /* undefined; processors clear the word */
		x86_set_reg(l, n, 2, x86_const(l, 0));
	return true;
}

bool x86_lift_xlat(struct x86_lift *l)
{
	struct x86_mem m = { .a = RBX, .b = ir_temp(l->b), .mem = x86_asize_bits(l, l->in.asize) };

	x86_op(l, IR_ZX8, IR_64, m.b, RAX, IR_NONE);
	x86_mem_op(l, IR_LD, IR_8, x86_mem_seg(l, m, l->in.mem_seg, 1, false))->d = RAX;
	return true;
}

/* SAHF (9E), LAHF (9F) */
bool x86_lift_lahf(struct x86_lift *l)
{
	uint16_t t = ir_temp(l->b), masked, image;

	if (l->x64 && !x86_lift_has(l, FEAT_8000_0001_ECX, 0))
		return false;
	if (l->in.opcode == 0x9e) {
		x86_op(l, IR_GETHI, IR_64, t, RAX, IR_NONE);
		x86_op(l, IR_SETFL, IR_64, IR_NONE, t, IR_NONE)->fout = IRFL_ALL & ~IRFL_OF;
		return true;
	}
	x86_op(l, IR_GETFL, IR_64, t, IR_NONE, IR_NONE)->fin = IRFL_ALL & ~IRFL_OF;
	masked = ir_temp(l->b);
	image = ir_temp(l->b);
	x86_op_imm(l, IR_AND, IR_32, masked, t, 0xd5);
	x86_op_imm(l, IR_OR, IR_32, image, masked, 2);
	x86_op(l, IR_SETHI, IR_64, RAX, image, IR_NONE);
	return true;
}

bool x86_lift_movnti(struct x86_lift *l)
{
	unsigned size = l->in.osize == 8 ? 8 : 4;

	if (!l->in.is_mem || l->in.pp || !x86_lift_has(l, FEAT_1_EDX, 26))
		return false;
	x86_store(l, size, x86_mem(l, size, true), l->in.reg);
	return true;
}

/* 0D and 18..1F: prefetches and the hint space: no effect, no fault */
bool x86_lift_nop_rm(struct x86_lift *l)
{
	return l->in.is_mem || l->in.opcode != 0x0d;
}
