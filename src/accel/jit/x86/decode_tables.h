/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_tables.h: what follows each opcode: ModRM and immediates. Private to decode.c.
 * Spec: SDM vol. 2, appendix A, tables.
 */
#ifndef ACCEL_JIT_X86_DECODE_TABLES_H
#define ACCEL_JIT_X86_DECODE_TABLES_H

#include <stdint.h>

enum {
	N = 0,		/* nothing */
	B = 1,		/* imm8, sign-extended */
	W = 2,		/* imm16, zero-extended */
	Z = 3,		/* imm16 or imm32 by operand size, sign-extended */
	V = 4,		/* imm of the operand size, up to 64 bits */
	A = 5,		/* address of the address size */
	P = 6,		/* far pointer */
	E = 7,		/* imm16, imm8 (ENTER) */
	J = 8,		/* near branch offset: as Z, but see X86_DECODE_AMD */
	GB = 9,		/* group 3: imm8 for /0 and /1 only */
	GZ = 10,	/* … immZ */
	X = 11,		/* 0F 78: two immediate bytes after 66 or F2 (SSE4A) */
	IMM_KIND = 15,
	M = 16,		/* ModRM */
	MR = 48,	/* ModRM whose mod field is taken as 3 (MOV CR, DR) */
	PFX = 64,	/* a prefix or an escape, handled before the table */
	MB = M | B, MW = M | W, MZ = M | Z, MGB = M | GB, MGZ = M | GZ, MX = M | X,
};

static const uint8_t map_1byte[256] = {
/*	 0   1   2   3    4   5   6    7    8   9   a   b    c   d   e    f */
/* 0 */	 M,  M,  M,  M,   B,  Z,  N,   N,   M,  M,  M,  M,   B,  Z,  N,   PFX,
/* 1 */	 M,  M,  M,  M,   B,  Z,  N,   N,   M,  M,  M,  M,   B,  Z,  N,   N,
/* 2 */	 M,  M,  M,  M,   B,  Z,  PFX, N,   M,  M,  M,  M,   B,  Z,  PFX, N,
/* 3 */	 M,  M,  M,  M,   B,  Z,  PFX, N,   M,  M,  M,  M,   B,  Z,  PFX, N,
/* 4 */	 N,  N,  N,  N,   N,  N,  N,   N,   N,  N,  N,  N,   N,  N,  N,   N,
/* 5 */	 N,  N,  N,  N,   N,  N,  N,   N,   N,  N,  N,  N,   N,  N,  N,   N,
/* 6 */	 N,  N,  M,  M,   PFX, PFX, PFX, PFX, Z, MZ, B, MB,  N,  N,  N,   N,
/* 7 */	 B,  B,  B,  B,   B,  B,  B,   B,   B,  B,  B,  B,   B,  B,  B,   B,
/* 8 */	 MB, MZ, MB, MB,  M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* 9 */	 N,  N,  N,  N,   N,  N,  N,   N,   N,  N,  P,  N,   N,  N,  N,   N,
/* a */	 A,  A,  A,  A,   N,  N,  N,   N,   B,  Z,  N,  N,   N,  N,  N,   N,
/* b */	 B,  B,  B,  B,   B,  B,  B,   B,   V,  V,  V,  V,   V,  V,  V,   V,
/* c */	 MB, MB, W,  N,   M,  M,  MB,  MZ,  E,  N,  W,  N,   N,  B,  N,   N,
/* d */	 M,  M,  M,  M,   B,  B,  N,   N,   M,  M,  M,  M,   M,  M,  M,   M,
/* e */	 B,  B,  B,  B,   B,  B,  B,   B,   J,  J,  P,  B,   N,  N,  N,   N,
/* f */	 PFX, N, PFX, PFX, N, N,  MGB, MGZ, N,  N,  N,  N,   N,  N,  M,   M,
};

static const uint8_t map_0f[256] = {
/*	 0   1   2   3    4   5   6    7    8   9   a   b    c   d   e    f */
/* 0 */	 M,  M,  M,  M,   N,  N,  N,   N,   N,  N,  N,  N,   N,  M,  N,   MB,
/* 1 */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* 2 */	 MR, MR, MR, MR,  N,  N,  N,   N,   M,  M,  M,  M,   M,  M,  M,   M,
/* 3 */	 N,  N,  N,  N,   N,  N,  N,   N,   PFX, N, PFX, N,  N,  N,  N,   N,
/* 4 */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* 5 */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* 6 */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* 7 */	 MB, MB, MB, MB,  M,  M,  M,   N,   MX, M,  M,  M,   M,  M,  M,   M,
/* 8 */	 J,  J,  J,  J,   J,  J,  J,   J,   J,  J,  J,  J,   J,  J,  J,   J,
/* 9 */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* a */	 N,  N,  N,  M,   MB, M,  M,   M,   N,  N,  N,  M,   MB, M,  M,   M,
/* b */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  MB, M,   M,  M,  M,   M,
/* c */	 M,  M,  MB, M,   MB, MB, MB,  M,   N,  N,  N,  N,   N,  N,  N,   N,
/* d */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* e */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
/* f */	 M,  M,  M,  M,   M,  M,  M,   M,   M,  M,  M,  M,   M,  M,  M,   M,
};

#endif
