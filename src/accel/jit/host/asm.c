/* SPDX-License-Identifier: GPL-2.0-or-later */
/* asm.c: x86-64 instruction encoder. Spec: Intel SDM vol. 2, chapter 2 and appendix A. */
#include "accel/jit/host/asm.h"

void as_bytes(struct as_buf *a, const void *p, unsigned n)
{
	if ((size_t)(a->end - a->p) < n) {
		a->full = true;
		return;
	}
	memcpy(a->p, p, n);
	a->p += n;
}

static void put_vex(struct as_buf *a, struct enc e, unsigned r, unsigned x, unsigned b)
{
	if (!x && !b && !e.w && e.map == 1) {
		as_8(a, 0xc5);
		as_8(a, (r ? 0 : 0x80) | (~e.vvvv & 15) << 3 | (e.l ? 4 : 0) | e.pp);
	} else {
		as_8(a, 0xc4);
		as_8(a, (r ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | e.map);
		as_8(a, (e.w ? 0x80 : 0) | (~e.vvvv & 15) << 3 | (e.l ? 4 : 0) | e.pp);
	}
}

static void put_legacy(
	struct as_buf *a, struct enc e, unsigned r, unsigned x, unsigned b, bool force_rex)
{
	static const uint8_t prefix[6][2] = { { 0 }, { 0x66 }, { 0xf3 }, { 0xf2 }, { 0x66, 0xf3 },
		{ 0x66, 0xf2 } };
	unsigned rex = (e.w ? 8 : 0) | (r ? 4 : 0) | (x ? 2 : 0) | (b ? 1 : 0);

	if (e.lock)
		as_8(a, 0xf0);
	for (unsigned i = 0; i < 2; i++)
		if (prefix[e.pp][i])
			as_8(a, prefix[e.pp][i]);
	if (rex || force_rex)
		as_8(a, 0x40 | rex);
	if (e.map)
		as_8(a, 0x0f);
	if (e.map == 2)
		as_8(a, 0x38);
	else if (e.map == 3)
		as_8(a, 0x3a);
}

void as_plain(struct as_buf *a, struct enc e)
{
	if (e.vex)
		put_vex(a, e, 0, 0, 0);
	else
		put_legacy(a, e, 0, 0, 0, false);
	as_8(a, e.opcode);
}

void as_modrm(struct as_buf *a, struct enc e, unsigned reg, struct loc rm)
{
	bool no_base = rm.kind == LOC_MEM && rm.reg == NO_BASE;
	unsigned base = no_base ? 5 : rm.reg & 7, b = no_base ? 0 : rm.reg >> 3, mod, x = 0;
	bool sib = rm.kind == LOC_MEM && (rm.index != NO_INDEX || base == 4 || no_base);
	bool rex;

	if (rm.kind == LOC_MEM && rm.gs)
		as_8(a, 0x65);
	if (rm.kind == LOC_MEM && rm.index != NO_INDEX)
		x = rm.index;
	rex = (e.byte_reg && reg >= 4 && reg < 8) ||
	      (e.byte_rm && rm.kind == LOC_REG && rm.reg >= 4 && rm.reg < 8);
	if (e.vex)
		put_vex(a, e, reg >> 3, x >> 3, b);
	else
		put_legacy(a, e, reg >> 3, x >> 3, b, rex);
	as_8(a, e.opcode);
	if (rm.kind == LOC_REG) {
		as_8(a, 0xc0 | (reg & 7) << 3 | base);
		return;
	}
	mod = no_base || (rm.disp == 0 && base != 5) ? 0 : rm.disp == (int8_t)rm.disp ? 1 : 2;
	as_8(a, mod << 6 | (reg & 7) << 3 | (sib ? 4 : base));
	if (sib)
		as_8(a, rm.scale << 6 | (rm.index == NO_INDEX ? 4 : rm.index & 7) << 3 | base);
	if (mod == 1)
		as_8(a, rm.disp & 0xff);
	else if (mod == 2 || no_base)
		as_32(a, (uint32_t)rm.disp);
}

static struct enc sized(unsigned size, unsigned opcode)
{
	return (struct enc){ .pp = size == 2,
		.w = size == 8,
		.opcode = (uint8_t)(opcode | (size != 1)),
		.byte_reg = size == 1,
		.byte_rm = size == 1 };
}

static void put_imm(struct as_buf *a, unsigned size, int64_t v)
{
	as_bytes(a, &v, size > 4 ? 4 : size);
}

static void alu_imm(
	struct as_buf *a, unsigned op, unsigned size, struct loc dst, int64_t v, bool lock)
{
	struct enc e = sized(size, 0x80);
	int64_t in_size = size == 1   ? (int8_t)v
			  : size == 2 ? (int16_t)v
			  : size == 4 ? (int32_t)v
				      : v;

	e.lock = lock;
	e.byte_reg = false;
	if (size == 1) {
		as_modrm(a, e, op, dst);
		as_8(a, v & 0xff);
	} else if (in_size == (int8_t)in_size) {
		e.opcode = 0x83;
		as_modrm(a, e, op, dst);
		as_8(a, v & 0xff);
	} else {
		as_modrm(a, e, op, dst);
		put_imm(a, size, v);
	}
}

void as_alu(struct as_buf *a, unsigned op, unsigned size, unsigned reg, struct loc src)
{
	if (src.kind == LOC_IMM)
		alu_imm(a, op, size, loc_reg(reg), src.imm, false);
	else
		as_modrm(a, sized(size, op << 3 | 2), reg, src);
}

void as_alu_to(
	struct as_buf *a, unsigned op, unsigned size, struct loc dst, struct loc src, bool lock)
{
	struct enc e = sized(size, op << 3);

	if (src.kind == LOC_IMM) {
		alu_imm(a, op, size, dst, src.imm, lock);
		return;
	}
	e.lock = lock;
	as_modrm(a, e, src.reg, dst);
}

void as_test(struct as_buf *a, unsigned size, struct loc rm, struct loc src)
{
	if (src.kind == LOC_IMM) {
		struct enc e = sized(size, 0xf6);

		e.byte_reg = false;
		as_modrm(a, e, 0, rm);
		put_imm(a, size, src.imm);
	} else {
		as_modrm(a, sized(size, 0x84), src.reg, rm);
	}
}

void as_mov(struct as_buf *a, unsigned size, unsigned reg, struct loc src)
{
	if (src.kind != LOC_IMM) {
		as_modrm(a, sized(size, 0x8a), reg, src);
	} else if (size <= 2) {
		as_mov_to(a, size, loc_reg(reg), src);
	} else if (size == 4 || (uint64_t)src.imm <= UINT32_MAX) {
		if (reg >= 8)
			as_8(a, 0x41);
		as_8(a, 0xb8 | (reg & 7));
		as_32(a, (uint32_t)src.imm);
	} else if (src.imm == (int32_t)src.imm) {
		as_modrm(a, (struct enc){ .w = true, .opcode = 0xc7 }, 0, loc_reg(reg));
		as_32(a, (uint32_t)src.imm);
	} else {
		as_8(a, 0x48 | reg >> 3);
		as_8(a, 0xb8 | (reg & 7));
		as_bytes(a, &src.imm, 8);
	}
}

void as_mov_to(struct as_buf *a, unsigned size, struct loc dst, struct loc src)
{
	if (src.kind == LOC_IMM) {
		struct enc e = sized(size, 0xc6);

		e.byte_reg = false;
		as_modrm(a, e, 0, dst);
		put_imm(a, size, src.imm);
	} else {
		as_modrm(a, sized(size, 0x88), src.reg, dst);
	}
}

void as_movzx(struct as_buf *a, unsigned from, unsigned reg, struct loc src)
{
	if (from == 4)
		as_mov(a, 4, reg, src);
	else
		as_modrm(a,
			(struct enc){
				.map = 1, .opcode = from == 1 ? 0xb6 : 0xb7, .byte_rm = from == 1 },
			reg, src);
}

void as_movsx(struct as_buf *a, unsigned from, unsigned to, unsigned reg, struct loc src)
{
	struct enc e = { .map = 1,
		.opcode = from == 1 ? 0xbe : 0xbf,
		.w = to == 8,
		.pp = to == 2,
		.byte_rm = from == 1 };

	if (from == 4)
		e = (struct enc){ .opcode = 0x63, .w = true };
	as_modrm(a, e, reg, src);
}

void as_lea(struct as_buf *a, unsigned size, unsigned reg, struct loc m)
{
	as_modrm(a, (struct enc){ .opcode = 0x8d, .w = size == 8 }, reg, m);
}

void as_group3(struct as_buf *a, unsigned digit, unsigned size, struct loc rm, bool lock)
{
	struct enc e = sized(size, 0xf6);

	e.lock = lock;
	e.byte_reg = false;
	as_modrm(a, e, digit, rm);
}

void as_incdec(struct as_buf *a, bool dec, unsigned size, struct loc rm, bool lock)
{
	struct enc e = sized(size, 0xfe);

	e.lock = lock;
	e.byte_reg = false;
	as_modrm(a, e, dec, rm);
}

void as_shift_imm(struct as_buf *a, unsigned digit, unsigned size, struct loc rm, unsigned n)
{
	struct enc e = sized(size, n == 1 ? 0xd0 : 0xc0);

	e.byte_reg = false;
	as_modrm(a, e, digit, rm);
	if (n != 1)
		as_8(a, n);
}

void as_shift_cl(struct as_buf *a, unsigned digit, unsigned size, struct loc rm)
{
	struct enc e = sized(size, 0xd2);

	e.byte_reg = false;
	as_modrm(a, e, digit, rm);
}

void as_0f(struct as_buf *a, unsigned opcode, unsigned size, unsigned reg, struct loc rm, bool lock)
{
	as_modrm(a,
		(struct enc){ .map = 1,
			.opcode = (uint8_t)opcode,
			.pp = size == 2,
			.w = size == 8,
			.byte_reg = size == 1,
			.byte_rm = size == 1,
			.lock = lock },
		reg, rm);
}

void as_rorx(struct as_buf *a, unsigned size, unsigned reg, struct loc rm, unsigned n)
{
	as_modrm(a, (struct enc){ .vex = true, .pp = 3, .map = 3, .opcode = 0xf0, .w = size == 8 },
		reg, rm);
	as_8(a, n);
}

void as_shiftx(
	struct as_buf *a, unsigned pp, unsigned size, unsigned reg, struct loc rm, unsigned by)
{
	as_modrm(a,
		(struct enc){ .vex = true,
			.pp = (uint8_t)pp,
			.map = 2,
			.opcode = 0xf7,
			.w = size == 8,
			.vvvv = (uint8_t)by },
		reg, rm);
}

static uint8_t *rel32(struct as_buf *a, const uint8_t *target)
{
	uint8_t *at = a->p;

	as_32(a, 0);
	if (!a->full)
		as_patch(at, target ? target : at + 4);
	return at;
}

uint8_t *as_jmp(struct as_buf *a, const uint8_t *target)
{
	as_8(a, 0xe9);
	return rel32(a, target);
}

uint8_t *as_call(struct as_buf *a, const uint8_t *target)
{
	as_8(a, 0xe8);
	return rel32(a, target);
}

uint8_t *as_jcc(struct as_buf *a, unsigned cc, const uint8_t *target)
{
	as_8(a, 0x0f);
	as_8(a, 0x80 | cc);
	return rel32(a, target);
}

uint8_t *as_jcc8(struct as_buf *a, unsigned cc)
{
	as_8(a, 0x70 | cc);
	as_8(a, 0);
	return a->p - 1;
}

uint8_t *as_jmp8(struct as_buf *a)
{
	as_8(a, 0xeb);
	as_8(a, 0);
	return a->p - 1;
}

void as_here8(struct as_buf *a, uint8_t *disp)
{
	if (!a->full)
		*disp = (uint8_t)(a->p - (disp + 1));
}

void as_push(struct as_buf *a, unsigned reg)
{
	if (reg >= 8)
		as_8(a, 0x41);
	as_8(a, 0x50 | (reg & 7));
}

void as_pop(struct as_buf *a, unsigned reg)
{
	if (reg >= 8)
		as_8(a, 0x41);
	as_8(a, 0x58 | (reg & 7));
}

void as_push_mem(struct as_buf *a, struct loc m)
{
	as_modrm(a, (struct enc){ .opcode = 0xff }, 6, m);
}

void as_pop_mem(struct as_buf *a, struct loc m)
{
	as_modrm(a, (struct enc){ .opcode = 0x8f }, 0, m);
}

void as_align_field(struct as_buf *a, unsigned ahead)
{
	static const uint8_t nop[4][3] = { { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
	unsigned at = ((uintptr_t)a->p + ahead) & 7;

	if (at > 4)
		as_bytes(a, nop[8 - at], 8 - at);
}
