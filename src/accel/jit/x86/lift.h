/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift.h: what the parts of the x86 lifter share. One function lifts one instruction: it finds it
 * decoded in l->in, emits IR, and returns true; false means #UD (whatever it emitted is dropped).
 *
 * Rule (checked by ir_verify): nothing global is written before an op of the same instruction that
 * may fault. Operands that need a segment check or a temporary are made first.
 */
#ifndef ACCEL_JIT_X86_LIFT_H
#define ACCEL_JIT_X86_LIFT_H

#include "accel/jit/ir/ir.h"
#include "accel/jit/ir/native.h"
#include "accel/jit/x86/decode.h"
#include "accel/jit/x86/helpers.h"
#include "accel/jit/x86/x86.h"
#include "cpu/x86/cpuid.h"

/* What the machine's CPU model says about instructions; struct ir.isa_config points to one. */
struct x86_lift_config {
	struct x86_features features;
	bool amd; /* vendor AuthenticAMD: differs in near branches with a 66 prefix */
};

/* Address of a memory operand as struct ir_op wants it. */
struct x86_mem {
	uint16_t a, b;
	uint8_t mem;
	int32_t disp;
};

/* How often a block goes on behind a jump or call, at most. */
enum { X86_RUNS = 2 };

struct x86_lift {
	struct ir *b;
	const struct x86_lift_config *cfg;
	uint32_t mode;       /* X86_MODE_* */
	bool x64;            /* mode is 64-bit */
	int32_t off, next;   /* of this and the next instruction, from the page start */
	bool done;           /* an exit was emitted: the block ends here */
	unsigned code_check; /* op that holds the bytes of code to be checked against CS's limit, or
				0 */
	bool end_after;      /* end the block after the next instruction (STI) */
	bool end_here;       /* … after this one: a helper stored, maybe into this very block */
	unsigned runs;       /* pieces of straight code before this one; [n]: from, to (page offsets) */
	int32_t run[X86_RUNS][2];
	int32_t from;        /* where the present piece starts */
	unsigned side_exits; /* conditional jumps this block went past */
	bool vec_entered[2],
		fpu_entered[2]; /* VEC_ENTER / FPU_ENTER sub 0, 1 was emitted and still holds */
	struct x86_insn in;
};

/* Lifts one block: struct isa's `lift`. */
void x86_lift_block(struct ir *b, const uint8_t *code, size_t n, size_t left);

/* --- instructions by kind: lift_table.c says which opcodes go where --- */
typedef bool x86_lifter(struct x86_lift *l);
extern x86_lifter *const x86_lift_1byte[256], *const x86_lift_0f[256];
/* General-register instructions of the maps 0F38 and 0F3A, legacy and VEX. */
bool x86_lift_bmi(struct x86_lift *l);
/* MMX, SSE, AVX, AES, SHA, … of the maps 0F, 0F38, 0F3A, legacy and VEX. lift_vec.c */
bool x86_lift_vec(struct x86_lift *l);
/* VLDMXCSR, VSTMXCSR. lift_state.c */
bool x86_lift_vex_mxcsr(struct x86_lift *l);
/* D8..DF and FWAIT (9B). lift_x87.c */
bool x86_lift_x87(struct x86_lift *l);

/* --- operands (lift_operand.c) --- */
static inline bool x86_lift_has(const struct x86_lift *l, enum x86_feature_word w, unsigned bit)
{
	return l->cfg->features.word[w] >> bit & 1;
}
/* Is n AH..BH rather than the low byte of a register? */
static inline bool x86_is_high(const struct x86_lift *l, unsigned n, unsigned size)
{
	return size == 1 && n >= 4 && n < 8 && !l->in.has_rex;
}
static inline uint8_t x86_asize_bits(const struct x86_lift *l, unsigned asize)
{
	return asize == 2 ? IRM_A16 : asize == 4 ? IRM_A32 : 0;
}
/* General register n (REX applied) as a source of `size` bytes: the global itself, or a temporary
 * for AH..BH. */
uint16_t x86_reg(struct x86_lift *l, unsigned n, unsigned size);
/* Register n = v, with the merge rules of `size`. */
void x86_set_reg(struct x86_lift *l, unsigned n, unsigned size, uint16_t v);
uint16_t x86_const(struct x86_lift *l, int64_t v); /* MOVI to a temporary */
uint16_t x86_pc(struct x86_lift *l, int32_t off);  /* PC to a temporary */

/* The instruction's memory operand for an access of `size` bytes, checked against its segment where
 * the mode asks for it. `write`: the access (also) writes. Once per instruction. */
struct x86_mem x86_mem(struct x86_lift *l, unsigned size, bool write);
/* Same for the offset a + b << scale + disp (mem: IRM_SCALE, IRM_A*) in segment seg. */
struct x86_mem x86_mem_seg(
	struct x86_lift *l, struct x86_mem offset, unsigned seg, unsigned size, bool write);
/* Its linear address in a temporary, for helpers. */
uint16_t x86_linear(struct x86_lift *l, unsigned size, bool write);
/* Offset only: LEA. */
struct x86_mem x86_offset(struct x86_lift *l);

/* Emits a memory op on m; fill in d, c, sub, fout, … */
struct ir_op *x86_mem_op(struct x86_lift *l, enum ir_code code, unsigned type, struct x86_mem m);
uint16_t x86_load(
	struct x86_lift *l, unsigned size, struct x86_mem m); /* zero-extended temporary */
void x86_store(struct x86_lift *l, unsigned size, struct x86_mem m, uint16_t v);
/* modrm.rm as a source: register, or loaded into a temporary. */
uint16_t x86_rm(struct x86_lift *l, unsigned size);
/* modrm.rm = v. Memory must have been the last thing that can fault. */
void x86_set_rm(struct x86_lift *l, unsigned size, uint16_t v);

/* d = a op b etc.; the op is returned for fout and the rest. a, b, d may be IR_NONE. */
struct ir_op *x86_op(
	struct x86_lift *l, enum ir_code code, unsigned type, uint16_t d, uint16_t a, uint16_t b);
struct ir_op *x86_op_imm(
	struct x86_lift *l, enum ir_code code, unsigned type, uint16_t d, uint16_t a, int64_t imm);
uint16_t x86_mov(struct x86_lift *l, uint16_t v); /* copy in a new temporary */
/* State field at byte `offset` from RBP (gpr 0 = 0; hot fields are negative). */
uint16_t x86_load_state(struct x86_lift *l, int offset, unsigned size);
void x86_store_state(struct x86_lift *l, int offset, unsigned size, uint16_t v);
#define X86_STATE(field) ((int)offsetof(struct x86_cpu, field))
#define X86_HOT(field)   ((int)offsetof(struct jit_hot, field) - 128)

static inline int x86_seg_state(unsigned seg, size_t field)
{
	return (int)(offsetof(struct x86_cpu, seg) + seg * sizeof(struct x86_segment) + field);
}

/* --- stack (lift_stack.c). Stack pointer size as the mode says. --- */
struct x86_mem x86_stack_mem(struct x86_lift *l, int disp, unsigned size, bool write);
void x86_stack_adjust(struct x86_lift *l, int delta);
void x86_push(struct x86_lift *l, unsigned size, uint16_t v);

/* --- a host instruction as it is (native.h): rm or the memory operand, of `size` bytes, is read
 * and filled in here, with the classes and W for them; d is operand reg, c is vvvv. lift_bmi.c */
struct ir_op *x86_native(
	struct x86_lift *l, struct native n, unsigned size, uint16_t d, uint16_t c);

/* --- calls. fn is an "ok" helper; with ret, its result (hot.ret) lands in a new temporary. --- */
#define X86_CALL(l, fn, ...)     x86_call((l), (int64_t)(uintptr_t)(fn), false, __VA_ARGS__)
#define X86_CALL_RET(l, fn, ...) x86_call((l), (int64_t)(uintptr_t)(fn), true, __VA_ARGS__)
/* a, b, c: operands or IR_NONE. */
uint16_t x86_call(struct x86_lift *l, int64_t fn, bool ret, uint16_t a, uint16_t b, uint16_t c);

/* --- ends of a block (lift_flow.c) --- */
/* Goes on there in this block, if that can be. */
bool x86_follow(struct x86_lift *l, int32_t off);
/* To the instruction at `off` from the page start, in this instruction's operand size (wraps). */
void x86_goto(struct x86_lift *l, int32_t off);
/* Ends the block where the segment just loaded may have changed the mode, or shadows interrupts. */
void x86_segment_loaded(struct x86_lift *l, unsigned seg);
/* Raises `vector` at this instruction. */
void x86_lift_raise(struct x86_lift *l, unsigned vector);
void x86_lift_raise_error(struct x86_lift *l, unsigned vector, unsigned error);
/* A helper has set rip: on there (x86_exit_rip), or there by way of the loop. */
void x86_exit_rip(struct x86_lift *l);
void x86_exit_loop(struct x86_lift *l);
/* Goes on with the next instruction in another block, as mode, mappings or pending events may have
 * changed. */
void x86_exit_next(struct x86_lift *l);

#endif
