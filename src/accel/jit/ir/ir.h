/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ir.h: the intermediate representation: one block as a flat array of fixed-size operations.
 *
 * It is shaped for an x86-64 host: operations are x86's, with x86's flag results, so that an x86
 * guest's instructions come out nearly as they went in, and other guests pay for exactly what
 * differs. One block: a single entry, side exits, instructions of one guest page (the last may reach
 * into the next), at most IR_MAX_INSNS of them. No control flow inside a block but side exits.
 *
 * Values are 64-bit. Operands name guest registers (globals, live across blocks), temporaries
 * (written once, local), or nothing. Guest flags are implicit: fout/fin masks on producers and
 * consumers; passes.c computes which produced flags anyone can see (flive).
 */
#ifndef ACCEL_JIT_IR_IR_H
#define ACCEL_JIT_IR_IR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	IR_MAX_INSNS = 64,
	IR_MAX_OPS = 1024,
	IR_GLOBALS = 32,	/* operands 0..31: guest general registers (x86: RAX.. = 0..15) */
	IR_TEMP0 = 64,		/* operands 64..: temporaries */
	IR_MAX_TEMPS = 1024,
	IR_IMM = 0xfffe,	/* operand is op->imm */
	IR_NONE = 0xffff,
};

enum ir_type { IR_8 = 1, IR_16 = 2, IR_32 = 4, IR_64 = 8 }; /* bytes */

enum ir_code {
#define OP(name, text, defs, uses, props) IR_##name,
#include "accel/jit/ir/ops.def"
#undef OP
	IR_OP_COUNT
};

/* Properties of an operation (ops.def). */
enum {
	IRP_FLAGS_OUT = 1 << 0, IRP_FLAGS_IN = 1 << 1, IRP_FLAGS_KEEP = 1 << 2, /* may leave flags as they
									were: they count as read too */
	IRP_MEM = 1 << 3, IRP_FAULT = 1 << 4, IRP_EXIT = 1 << 5, IRP_EFFECT = 1 << 6,
	IRP_AX = 1 << 7, IRP_AXDX = 1 << 8, IRP_NATIVE = 1 << 9, IRP_CALL = 1 << 10,
	IRP_ADDR = 1 << 11,
};
enum { IRU_A = 1, IRU_B = 2, IRU_C = 4, IRU_D = 8 };

struct ir_info {
	const char *name;
	uint8_t defs_d;	 /* writes d */
	uint8_t uses;	 /* IRU_* */
	uint16_t props;	 /* IRP_* */
};
extern const struct ir_info ir_info[IR_OP_COUNT];

/* Guest flag masks, in RFLAGS positions squeezed to a byte. */
enum { IRFL_CF = 1, IRFL_PF = 2, IRFL_AF = 4, IRFL_ZF = 8, IRFL_SF = 16, IRFL_OF = 32, IRFL_ALL = 63 };

/* x86 condition codes 0..15 (o no b ae e ne be a s ns p np l ge le g). */
uint8_t ir_cond_flags(unsigned cond); /* IRFL_ mask it reads */

/* op->mem: the address of a memory operand is
 *   offset = a + (b << scale) + disp, cut to 32 or 16 bits if IRM_A32/IRM_A16;
 *   linear = offset + base of segment, cut to 32 bits if IRM_L32. */
enum {
	IRM_SCALE = 3, IRM_A32 = 1 << 2, IRM_A16 = 1 << 3,
	IRM_SEG_SHIFT = 4, IRM_SEG = 7 << 4, /* 1 + enum x86_seg whose base is added; 0: none */
	IRM_L32 = 1 << 7,
};

struct ir_op {
	uint16_t code;	 /* enum ir_code */
	uint8_t type;	 /* bytes: 1 2 4 8 (NATIVE: bytes of the memory operand, up to 64; 0 none) */
	uint8_t sub;	 /* operation within the code (RMW, LDSX, …) */
	uint8_t fout;	 /* flags the guest instruction defines here */
	uint8_t flive;	 /* of those, the ones somebody may read (passes.c); initially = fout */
	uint8_t fin;	 /* flags read */
	uint8_t cond;	 /* condition code 0..15 */
	uint8_t mem;	 /* IRM_* */
	uint8_t flags;	 /* IRO_* */
	uint16_t d, a, b, c;
	int32_t disp;
	int64_t imm;
};
enum {
	IRO_LOCK = 1 << 0,	/* RMW, CMPXCHG…: atomic over vCPUs */
	IRO_ALIGN = 1 << 1,	/* NATIVE: #GP(0) unless the address is a multiple of type */
	IRO_STORE = 1 << 2,	/* NATIVE: the memory operand is written */
	IRO_LOAD = 1 << 3,	/* NATIVE: … is read */
	IRO_LIGHT = 1 << 4,	/* CALL: the C function touches no vector or x87 register (general-regs-only) */
	IRO_NOFAULT = 1 << 5,	/* CALL: cannot fail: returns a value in rax for d; else it returns bool
				   ok, and d is taken from hot.ret */
	IRO_USER = 1 << 6,	/* memory: as user (CPL 3) whatever the CPL (e.g. ARM ldtr) */
	IRO_SYSTEM = 1 << 7,	/* memory: as supervisor whatever the CPL */
};
enum { IR_IND_JUMP, IR_IND_CALL, IR_IND_RET };

struct ir {
	struct ir_op op[IR_MAX_OPS];
	unsigned n;		/* ops used */
	unsigned temps;		/* temporaries used */
	unsigned insns;		/* guest instructions */
	unsigned bytes;		/* guest bytes of them */
	unsigned lo, hi;	/* where they lie, from the page start: not beyond */
	bool follow;		/* the lifter may go on behind jumps within the page, all of which can be read; set
				   by the caller */
	unsigned follows;	/* how often it did */
	bool polls;		/* … backward, so that every exit must look at exit_request */
	uint32_t mode;		/* block mode key (isa.h) */
	uint32_t page_offset;	/* of the entry in its page */
	bool full;		/* an op did not fit: the builder has stopped; the block is cut before */
	const void *isa_config;	/* what the front end must know of the machine (features); set by the caller
				   of isa->lift, the same for all blocks of a machine */
	bool plain;		/* lowered so that each memory access is checked for itself; set by the caller */
	bool uses_vec, uses_fpu; /* set by VEC_ENTER / FPU_ENTER */
};

/* --- building (build.c) --- */
static inline struct ir_op *ir_emit(struct ir *b, enum ir_code code, enum ir_type type)
{
	static const struct ir_op blank = { .d = IR_NONE, .a = IR_NONE, .b = IR_NONE, .c = IR_NONE };
	struct ir_op *o;

	if (b->n >= IR_MAX_OPS - 1)
		b->full = true;
	o = &b->op[b->n < IR_MAX_OPS - 1 ? b->n++ : IR_MAX_OPS - 1];
	*o = blank;
	o->code = (uint16_t)code;
	o->type = (uint8_t)type;
	return o;
}
static inline uint16_t ir_temp(struct ir *b)
{
	if (b->temps >= IR_MAX_TEMPS - 1)
		b->full = true;
	return (uint16_t)(IR_TEMP0 + (b->temps < IR_MAX_TEMPS - 1 ? b->temps++ : 0));
}

/* --- what one operation reads and writes (info.c) --- */
/* Flags it reads when nothing goes wrong: conditions, carries; an exit, conditional or not, shows all. */
uint8_t ir_flags_read(const struct ir_op *o);
/* Flags it certainly overwrites, so that nobody after it can see older ones. */
uint8_t ir_flags_killed(const struct ir_op *o);
/* Can it leave the block with an exception (which shows all flags to the guest's handler)? */
bool ir_can_fault(const struct ir_op *o);
/* Globals it writes, one bit each. */
uint32_t ir_globals_written(const struct ir_op *o);
/* Does it read operand x (a global or temporary), as a value, an address or the old part of d? */
bool ir_reads(const struct ir_op *o, uint16_t x);

/* --- after building --- */
/* Ends the block before op i, an INSN, with an EXIT_PC to it: for a block that does not fit. */
void ir_cut(struct ir *b, unsigned i);
/* NULL if well formed, else what is wrong (static string); run in debug builds and tests. */
const char *ir_verify(const struct ir *b, unsigned *ret_op);
/* Backward: flive, dead ops removed. Forward: constants and copies folded. Each can be off. */
enum { IR_OPT_FOLD = 1, IR_OPT_LIVENESS = 2, IR_OPT_ALL = 3 };
void ir_optimize(struct ir *b, unsigned opts);
/* Text form for traces and tests; g_free it. */
char *ir_print(const struct ir *b);

#endif
