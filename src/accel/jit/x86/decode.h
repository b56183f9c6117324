/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.h: one x86 instruction taken apart: prefixes, opcode, operands; no meaning yet.
 * Spec: SDM vol. 2, chapter 2 and appendix A; APM vol. 3, chapter 1.
 */
#ifndef ACCEL_JIT_X86_DECODE_H
#define ACCEL_JIT_X86_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	X86_INSN_MAX = 15, /* bytes; a longer instruction raises #GP(0) */
	X86_NO_REG = 0xff,
	X86_NO_SEG = 0xff,
};

enum x86_map { X86_MAP_1BYTE, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A };

/* The last of the F2 and F3 prefixes. */
enum x86_rep { X86_REP_NONE, X86_REP_F3, X86_REP_F2 };

enum { X86_REX_B = 1, X86_REX_X = 2, X86_REX_R = 4, X86_REX_W = 8 };

struct x86_insn {
	uint8_t len; /* bytes, prefixes included */
	uint8_t map; /* enum x86_map */
	uint8_t opcode;
	uint8_t modrm;
	uint8_t mod, reg,
		rm; /* fields of modrm; reg and rm (of a register operand) with REX bits */
	bool has_modrm, is_mem; /* is_mem: modrm names memory, described below */

	bool p66, p67, lock;
	uint8_t rep;  /* enum x86_rep */
	uint8_t seg;  /* override in effect (enum x86_seg) or X86_NO_SEG */
	bool has_rex; /* a REX prefix: SPL.. instead of AH.. */
	uint8_t rex;  /* X86_REX_*, of REX or VEX */

	bool vex, vex_l;
	bool vex_bad;   /* 66, F2, F3, LOCK or REX before VEX: #UD */
	uint8_t vvvv;   /* register; in 16- and 32-bit code of eight */
	bool vvvv_used; /* the field is not 1111b */
	uint8_t pp;     /* mandatory prefix as VEX.pp counts: 0 none, 1: 66, 2: F3, 3: F2 */

	uint8_t osize,
		asize; /* 2, 4, 8: by mode and prefixes (not by opcode: see x86_insn users) */

	/* memory operand: base + index << scale + disp, in asize bits; rip: relative to the next
	 * insn */
	uint8_t base, index, scale;
	bool rip;
	uint8_t mem_seg; /* segment in effect for it */
	int32_t disp;

	int64_t imm;   /* sign-extended; moffs: the address, zero-extended */
	uint16_t imm2; /* selector of a far pointer; level of ENTER; second byte of EXTRQ */
};

enum x86_decoded {
	X86_DECODED,
	X86_TRUNCATED, /* needs more than the n bytes there are */
	X86_TOO_LONG,  /* over 15 bytes: #GP(0) */
	X86_UNDEFINED, /* no such encoding space (EVEX, XOP, unknown VEX map): #UD; len is a guess
			*/
};

enum {
	X86_DECODE_BITS = 3,  /* 0: 16-bit code segment, 1: 32, 2: 64 (as X86_MODE_BITS) */
	X86_DECODE_AMD = 4,   /* near branches honour 66 in 64-bit code (AMD); Intel ignores it */
	X86_DECODE_NOVEX = 8, /* real and virtual-8086 mode: C4, C5 are always LES, LDS */
};

/* Fills *in from at most n bytes at p. Opcodes that are not defined but lie in a known map decode
 * with the operands of their neighbours; the lifter refuses them. */
enum x86_decoded x86_decode(struct x86_insn *in, const uint8_t *p, size_t n, unsigned how);

#endif
