/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_stack.c: push, pop and their kin. A push stores first and moves RSP afterwards, so that a
 * fault leaves RSP as it was. Spec: SDM vol. 1, 6.2; vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

static unsigned stack_size(const struct x86_lift *l)
{
	return l->x64 ? 8 : l->mode & X86_MODE_SS32 ? 4 : 2;
}

/* 64-bit code: pushes are 64 bits wide, or 16 with a 66 prefix. */
static unsigned push_size(const struct x86_lift *l)
{
	return l->x64 && l->in.osize == 4 ? 8 : l->in.osize;
}

struct x86_mem x86_stack_mem(struct x86_lift *l, int disp, unsigned size, bool write)
{
	struct x86_mem m = {
		.a = RSP, .b = IR_NONE, .disp = disp, .mem = x86_asize_bits(l, stack_size(l))
	};

	return x86_mem_seg(l, m, SEG_SS, size, write);
}

/* RSP = base + delta, as wide as the stack pointer is */
static void set_stack(struct x86_lift *l, uint16_t base, int delta)
{
	struct x86_mem m = { .a = base, .b = IR_NONE, .disp = delta };

	x86_mem_op(l, IR_LEA, stack_size(l), m)->d = RSP;
}

void x86_stack_adjust(struct x86_lift *l, int delta)
{
	set_stack(l, RSP, delta);
}

void x86_push(struct x86_lift *l, unsigned size, uint16_t v)
{
	x86_store(l, size, x86_stack_mem(l, -(int)size, size, true), v);
	x86_stack_adjust(l, -(int)size);
}

static unsigned opcode_reg(const struct x86_lift *l)
{
	return (l->in.opcode & 7) | (l->in.rex & X86_REX_B ? 8 : 0);
}

bool x86_lift_push(struct x86_lift *l)
{
	x86_push(l, push_size(l), (uint16_t)opcode_reg(l));
	return true;
}

bool x86_lift_push_imm(struct x86_lift *l)
{
	unsigned size = push_size(l);
	struct ir_op *o = x86_mem_op(l, IR_ST, size, x86_stack_mem(l, -(int)size, size, true));

	o->c = IR_IMM;
	o->imm = l->in.imm;
	x86_stack_adjust(l, -(int)size);
	return true;
}

bool x86_lift_push_rm(struct x86_lift *l)
{
	unsigned size = push_size(l);

	x86_push(l, size, x86_rm(l, size));
	return true;
}

bool x86_lift_pop(struct x86_lift *l)
{
	unsigned size = push_size(l), n = opcode_reg(l);
	struct x86_mem m = x86_stack_mem(l, 0, size, false);

	if (n == RSP) {
		uint16_t t = x86_load(l, size, m);

		x86_stack_adjust(l, (int)size); /* seen where only SP is replaced */
		x86_set_reg(l, RSP, size, t);
	} else {
		x86_mem_op(l, IR_LD, size, m)->d = (uint16_t)n;
		x86_stack_adjust(l, (int)size);
	}
	return true;
}

/* 8F /0. An address based on RSP is computed after RSP has moved. */
bool x86_lift_pop_rm(struct x86_lift *l)
{
	unsigned size = push_size(l);
	uint16_t t;

	if (l->in.reg & 7)
		return false;
	t = x86_load(l, size, x86_stack_mem(l, 0, size, false));
	if (!l->in.is_mem) {
		x86_stack_adjust(l, (int)size);
		x86_set_reg(l, l->in.rm, size, t);
		return true;
	}
	if (l->in.base == RSP)
		l->in.disp = (int32_t)((uint32_t)l->in.disp + size);
	x86_store(l, size, x86_mem(l, size, true), t);
	x86_stack_adjust(l, (int)size);
	return true;
}

/* Which segment: bits 5:3 of both the one-byte and the 0F opcodes. */
static unsigned opcode_seg(const struct x86_lift *l)
{
	return (l->in.opcode >> 3) & 7;
}

bool x86_lift_push_seg(struct x86_lift *l)
{
	unsigned seg = opcode_seg(l);

	if (l->x64 && l->in.map == X86_MAP_1BYTE)
		return false;
	x86_push(l, push_size(l),
		x86_load_state(l, x86_seg_state(seg, offsetof(struct x86_segment, sel)), 2));
	return true;
}

bool x86_lift_pop_seg(struct x86_lift *l)
{
	unsigned seg = opcode_seg(l), size = push_size(l);
	uint16_t sel;

	if (l->x64 && l->in.map == X86_MAP_1BYTE)
		return false;
	sel = x86_load(l, 2, x86_stack_mem(l, 0, size, false));
	if (seg == SEG_SS)
		X86_CALL(l, x86_h_load_ss, sel, IR_NONE, IR_NONE);
	else
		X86_CALL(l, x86_h_load_seg, x86_const(l, seg), sel, IR_NONE);
	x86_stack_adjust(l, (int)size);
	x86_segment_loaded(l, seg);
	return true;
}

bool x86_lift_pusha(struct x86_lift *l)
{
	unsigned size = l->in.osize;

	if (l->x64)
		return false;
	for (unsigned n = RAX; n <= RDI; n++)
		x86_store(
			l, size, x86_stack_mem(l, -(int)(size * (n + 1)), size, true), (uint16_t)n);
	x86_stack_adjust(l, -(int)(size * 8));
	return true;
}

bool x86_lift_popa(struct x86_lift *l)
{
	unsigned size = l->in.osize;
	uint16_t t[8];

	if (l->x64)
		return false;
	for (unsigned n = RDI + 1; n-- > RAX;) {
		if (n != RSP)
			t[n] = x86_load(
				l, size, x86_stack_mem(l, (int)(size * (7 - n)), size, false));
	}
	for (unsigned n = RAX; n <= RDI; n++) {
		if (n != RSP)
			x86_set_reg(l, n, size, t[n]);
	}
	x86_stack_adjust(l, (int)(size * 8));
	return true;
}

bool x86_lift_pushf(struct x86_lift *l)
{
	unsigned size = push_size(l);

	x86_push(l, size, X86_CALL_RET(l, x86_h_pushf, x86_const(l, size), IR_NONE, IR_NONE));
	return true;
}

bool x86_lift_popf(struct x86_lift *l)
{
	unsigned size = push_size(l);
	uint16_t t = x86_load(l, size, x86_stack_mem(l, 0, size, false));

	X86_CALL(l, x86_h_popf, t, x86_const(l, size), IR_NONE);
	x86_stack_adjust(l, (int)size);
	x86_exit_next(l);
	return true;
}

/* Level 0, what compilers emit, inline; nested frames copy pointers: a helper. */
bool x86_lift_enter(struct x86_lift *l)
{
	unsigned size = push_size(l), level = l->in.imm2 & 31;
	struct x86_mem frame = { .a = RSP, .b = IR_NONE, .disp = -(int)size };

	if (level) {
		l->end_here = true;
		X86_CALL(l, x86_h_enter, x86_const(l, l->in.imm), x86_const(l, level),
			x86_const(l, size));
		return true;
	}
	x86_store(l, size, x86_stack_mem(l, -(int)size, size, true), RBP);
	/* the last byte of the new frame must be writable as well */
	x86_mem_op(l, IR_PROBE_W, IR_8, x86_stack_mem(l, -(int)size - (int)l->in.imm, 1, true));
	x86_mem_op(l, IR_LEA, size, frame)->d = RBP;
	x86_stack_adjust(l, -(int)size - (int)l->in.imm);
	return true;
}

bool x86_lift_leave(struct x86_lift *l)
{
	unsigned size = push_size(l);
	struct x86_mem m = { .a = RBP, .b = IR_NONE, .mem = x86_asize_bits(l, stack_size(l)) };
	uint16_t t = x86_load(l, size, x86_mem_seg(l, m, SEG_SS, size, false));

	set_stack(l, RBP, (int)size);
	x86_set_reg(l, RBP, size, t);
	return true;
}
