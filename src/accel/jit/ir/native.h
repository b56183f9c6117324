/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * native.h: IR_NATIVE: a host instruction executed as it is (SDM vol. 2, chapter 2 encoding), with its
 * register fields filled per class. Guest vector register n IS host xmm/ymm n, guest x87/MMX state IS
 * the host's, while translated code runs (VEC_ENTER, FPU_ENTER); general registers are mapped.
 *
 * In struct ir_op: imm holds `struct native` below; type = bytes of the memory operand (0: none),
 * address in a, b, mem, disp; flags IRO_LOAD/IRO_STORE/IRO_ALIGN.
 * General registers: NATIVE_G fields take their operand from: reg → d (written and/or read: see
 * NATIVE_REG_R), vvvv → c, rm → a (only when there is no memory operand; then NATIVE_RM_W says it is
 * written too; such an op writes a, not d). crc32 of a byte register (0F38 F0) needs a REX prefix for
 * host SPL..DIL. op->fin names flags the instruction reads (adcx).
 */
#ifndef ACCEL_JIT_IR_NATIVE_H
#define ACCEL_JIT_IR_NATIVE_H

#include <stdint.h>
#include <string.h>

struct native {
	uint8_t opcode;
	uint8_t map;	/* 0: one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
	uint8_t pp;	/* 0 none, 1: 66, 2: F3, 3: F2, 4: 66 and F3, 5: 66 and F2 */
	uint8_t form;	/* NATIVE_* below */
	uint8_t reg_rm;	/* low nibble: modrm.reg (register number or /digit), high: modrm.rm register */
	uint8_t vvvv;	/* vector register in VEX.vvvv; is4 (imm8[7:4]) comes in imm8 as it is */
	uint8_t imm8;
	uint8_t cls;	/* NATIVE_*_G … classes of the fields */
};
enum {
	NATIVE_VEX = 1 << 0,	/* VEX-encoded (else legacy) */
	NATIVE_W = 1 << 1,	/* REX.W / VEX.W */
	NATIVE_L = 1 << 2,	/* VEX.L (256 bits) */
	NATIVE_IMM8 = 1 << 3,	/* an immediate byte follows */
	NATIVE_NOMODRM = 1 << 4, /* no ModRM byte (emms, vzeroupper) */
	NATIVE_RAWRM = 1 << 5,	/* x87 register forms: reg_rm is the whole ModRM byte */
	NATIVE_FIXED0 = 1 << 6,	/* reads xmm0 implicitly (no effect on emission; for tools) */
};
enum {
	NATIVE_REG_G = 1 << 0,	/* modrm.reg is a general register: operand d */
	NATIVE_REG_R = 1 << 1,	/* … and it is (also) read: a source; without REG_W only read */
	NATIVE_REG_W = 1 << 2,	/* … and it is written */
	NATIVE_RM_G = 1 << 3,	/* modrm.rm is a general register: operand a */
	NATIVE_RM_W = 1 << 4,	/* … and it is written */
	NATIVE_V_G = 1 << 5,	/* vvvv is a general register: operand c */
	NATIVE_V_W = 1 << 6,	/* … and it is written (mulx, blsr…) */
	NATIVE_G32 = 1 << 7,	/* general registers are 32-bit (W = 0): written ones zero-extend */
};

_Static_assert(sizeof(struct native) == 8, "struct native fits op->imm");
static inline int64_t native_pack(struct native n)
{
	int64_t v;

	memcpy(&v, &n, 8);
	return v;
}
static inline struct native native_unpack(int64_t v)
{
	struct native n;

	memcpy(&n, &v, 8);
	return n;
}

#endif
