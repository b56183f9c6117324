/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * asm.h: x86-64 instruction encoder. Spec: Intel SDM vol. 2, chapter 2 and appendix A.
 *
 * Writes at `p`; past `end` it writes nothing and sets `full`, so callers check once at the end.
 */
#ifndef ACCEL_JIT_HOST_ASM_H
#define ACCEL_JIT_HOST_ASM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct as_buf {
	uint8_t *p, *end;
	bool full;
};

enum {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15
};

/* A host operand: register, memory, or immediate. */
enum loc_kind { LOC_REG, LOC_MEM, LOC_IMM };
struct loc {
	uint8_t kind;
	uint8_t reg;   /* LOC_REG; LOC_MEM: base, or NO_BASE beside an index */
	uint8_t index; /* LOC_MEM: index register, or NO_INDEX */
	uint8_t scale; /* log2 */
	bool gs;       /* LOC_MEM: GS-relative */
	int32_t disp;
	int64_t imm;
};
enum { NO_INDEX = 0xff, NO_BASE = 0xfe };

static inline struct loc loc_reg(unsigned r)
{
	return (struct loc){ .kind = LOC_REG, .reg = (uint8_t)r, .index = NO_INDEX };
}
static inline struct loc loc_mem(unsigned base, int32_t disp)
{
	return (struct loc){
		.kind = LOC_MEM, .reg = (uint8_t)base, .index = NO_INDEX, .disp = disp
	};
}
static inline struct loc loc_sib(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
	return (struct loc){ .kind = LOC_MEM,
		.reg = (uint8_t)base,
		.index = (uint8_t)index,
		.scale = (uint8_t)scale,
		.disp = disp };
}
static inline struct loc loc_gs(unsigned base, int32_t disp)
{
	return (struct loc){
		.kind = LOC_MEM, .reg = (uint8_t)base, .index = NO_INDEX, .gs = true, .disp = disp
	};
}
/* gs:[disp] */
static inline struct loc loc_gs_only(int32_t disp)
{
	return (struct loc){
		.kind = LOC_MEM, .reg = NO_BASE, .index = NO_INDEX, .gs = true, .disp = disp
	};
}
static inline struct loc loc_imm(int64_t v)
{
	return (struct loc){ .kind = LOC_IMM, .index = NO_INDEX, .imm = v };
}

/* One instruction's fixed part. */
struct enc {
	uint8_t pp;  /* as struct native: 0, 1: 66, 2: F3, 3: F2, 4: 66 F3, 5: 66 F2 */
	uint8_t map; /* 0, 1: 0F, 2: 0F38, 3: 0F3A */
	uint8_t opcode;
	bool w;                 /* REX.W / VEX.W */
	bool byte_reg, byte_rm; /* needs REX for SPL..DIL there */
	bool lock;
	bool vex, l;
	uint8_t vvvv;
	uint8_t imm_bytes; /* immediate that follows (for nothing but RIP-relative; informational)
			    */
};

void as_bytes(struct as_buf *a, const void *p, unsigned n);
static inline void as_8(struct as_buf *a, unsigned v)
{
	if (a->p < a->end)
		*a->p++ = (uint8_t)v;
	else
		a->full = true;
}
static inline void as_32(struct as_buf *a, uint32_t v)
{
	as_bytes(a, &v, 4);
}
/* Instruction with ModRM: register field reg (or /digit), register or memory rm. */
/* ... without ModRM */
void as_plain(struct as_buf *a, struct enc e);
void as_modrm(struct as_buf *a, struct enc e, unsigned reg, struct loc rm);

/* --- shorthands; size 1, 2, 4, 8 --- */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
/* op reg, rm|imm32. imm must fit in sign-extended 32 bits. */
void as_alu(struct as_buf *a, unsigned op, unsigned size, unsigned reg, struct loc src);
/* op rm, reg|imm32 */
void as_alu_to(
	struct as_buf *a, unsigned op, unsigned size, struct loc dst, struct loc src, bool lock);
void as_test(struct as_buf *a, unsigned size, struct loc rm, struct loc src);
/* reg = src: size 1 and 2 merge into reg; 4 zero-extends. LOC_IMM: any 64-bit value. No flags. */
void as_mov(struct as_buf *a, unsigned size, unsigned reg, struct loc src);
/* memory (or register) = reg or imm32 */
void as_mov_to(struct as_buf *a, unsigned size, struct loc dst, struct loc src);
void as_movzx(struct as_buf *a, unsigned from, unsigned reg, struct loc src); /* 1, 2, 4 → 64 */
void as_movsx(struct as_buf *a, unsigned from, unsigned to, unsigned reg, struct loc src);
void as_lea(struct as_buf *a, unsigned size, unsigned reg, struct loc m);
/* F6/F7, FE/FF, C0/C1/D3 groups */
void as_group3(struct as_buf *a, unsigned digit, unsigned size, struct loc rm, bool lock);
void as_incdec(struct as_buf *a, bool dec, unsigned size, struct loc rm, bool lock);
void as_shift_imm(struct as_buf *a, unsigned digit, unsigned size, struct loc rm, unsigned n);
void as_shift_cl(struct as_buf *a, unsigned digit, unsigned size, struct loc rm);
void as_0f(
	struct as_buf *a, unsigned opcode, unsigned size, unsigned reg, struct loc rm, bool lock);
/* BMI2, no flags: reg = rm rotated right by n (size 4, 8); reg = rm shifted by register `by` */
void as_rorx(struct as_buf *a, unsigned size, unsigned reg, struct loc rm, unsigned n);
void as_shiftx(
	struct as_buf *a, unsigned pp, unsigned size, unsigned reg, struct loc rm, unsigned by);
/* jmp, call, jcc rel32 to `target` of the same mapping as a->p; cc < 16. Returns the displacement's
 * place. */
uint8_t *as_jmp(struct as_buf *a, const uint8_t *target);
uint8_t *as_call(struct as_buf *a, const uint8_t *target);
uint8_t *as_jcc(struct as_buf *a, unsigned cc, const uint8_t *target);
/* Short forward jumps within an op: patch with as_here. */
uint8_t *as_jcc8(struct as_buf *a, unsigned cc);
uint8_t *as_jmp8(struct as_buf *a);
void as_here8(struct as_buf *a, uint8_t *disp);
/* Sets a 32-bit displacement. */
static inline void as_patch(uint8_t *disp, const uint8_t *target)
{
	int32_t d = (int32_t)(target - (disp + 4));

	memcpy(disp, &d, 4);
}
void as_push(struct as_buf *a, unsigned reg);
void as_pop(struct as_buf *a, unsigned reg);
void as_push_mem(struct as_buf *a, struct loc m);
void as_pop_mem(struct as_buf *a, struct loc m);
/* nops so that the 4-byte field `ahead` bytes from here does not cross an 8-byte border: it is
 * patched while other threads run the code. */
void as_align_field(struct as_buf *a, unsigned ahead);

#endif
