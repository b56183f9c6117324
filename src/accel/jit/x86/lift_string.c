/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_string.c: string instructions and port I/O. One element is done inline; repetitions are a
 * helper's, which works in blocks. Spec: SDM vol. 1, 7.3.9; vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

static unsigned source_seg(const struct x86_lift *l)
{
	return l->in.seg == X86_NO_SEG ? SEG_DS : l->in.seg;
}

/* The whole instruction in C; block-wise, and back here when an event waits. */
static void call_string(struct x86_lift *l, unsigned op, unsigned size)
{
	uint64_t desc = size | l->in.asize << 4 | source_seg(l) << 8 | l->in.rep << 12;
	const bool io = op == X86_STR_INS || op == X86_STR_OUTS;
	uint16_t ret = X86_CALL_RET(l, io ? x86_h_string_io : x86_h_string, x86_const(l, op),
		x86_const(l, (int64_t)desc), IR_NONE);
	struct ir_op *o;

	l->end_here = op == X86_STR_MOVS || op == X86_STR_STOS || op == X86_STR_INS;
	if (!l->in.rep)
		return;
	o = x86_op(l, IR_EXIT_Z, IR_64, IR_NONE, ret, IR_NONE);
	o->imm = l->off;
	if (l->end_after || (op != X86_STR_MOVS && op != X86_STR_STOS && op != X86_STR_INS))
		return;
	/* what was stored may be the rest of this block */
	x86_op_imm(l, IR_EXIT_PC, IR_64, IR_NONE, IR_NONE, l->next)->b = IR_NONE;
	l->done = true;
}

static struct x86_mem source(struct x86_lift *l, unsigned size)
{
	struct x86_mem m = { .a = RSI, .b = IR_NONE, .mem = x86_asize_bits(l, l->in.asize) };

	return x86_mem_seg(l, m, source_seg(l), size, false);
}

static struct x86_mem destination(struct x86_lift *l, unsigned size, bool write)
{
	struct x86_mem m = { .a = RDI, .b = IR_NONE, .mem = x86_asize_bits(l, l->in.asize) };

	return x86_mem_seg(l, m, SEG_ES, size, write);
}

/* reg += size or -= size, by the direction flag */
static void advance(struct x86_lift *l, uint16_t reg, unsigned size, uint16_t step)
{
	struct x86_mem m = {
		.a = reg, .b = step, .mem = (uint8_t)(size >> 1 == 4 ? 3 : size >> 1)
	};

	x86_mem_op(l, IR_LEA, l->in.asize, m)->d = reg;
}

bool x86_lift_string(struct x86_lift *l)
{
	static const uint8_t kind[8] = { [2] = X86_STR_MOVS,
		[3] = X86_STR_CMPS,
		[5] = X86_STR_STOS,
		[6] = X86_STR_LODS,
		[7] = X86_STR_SCAS };
	unsigned op = kind[(l->in.opcode >> 1) & 7], size = l->in.opcode & 1 ? l->in.osize : 1;
	uint16_t a, b, step;

	if (l->in.rep) {
		call_string(l, op, size);
		return true;
	}
	step = x86_load_state(l, X86_HOT(df_step), 8);
	switch (op) {
	case X86_STR_MOVS:
		a = x86_load(l, size, source(l, size));
		x86_store(l, size, destination(l, size, true), a);
		break;
	case X86_STR_CMPS:
		/* in the order in which processors find faults */
		b = x86_load(l, size, destination(l, size, false));
		a = x86_load(l, size, source(l, size));
		x86_op(l, IR_CMP, size, IR_NONE, a, b)->fout = IRFL_ALL;
		break;
	case X86_STR_STOS: x86_store(l, size, destination(l, size, true), RAX); break;
	case X86_STR_LODS: x86_mem_op(l, IR_LD, size, source(l, size))->d = RAX; break;
	default:
		b = x86_load(l, size, destination(l, size, false));
		x86_op(l, IR_CMP, size, IR_NONE, RAX, b)->fout = IRFL_ALL;
		break;
	}
	if (op == X86_STR_MOVS || op == X86_STR_CMPS || op == X86_STR_LODS)
		advance(l, RSI, size, step);
	if (op != X86_STR_LODS)
		advance(l, RDI, size, step);
	return true;
}

static unsigned port_size(const struct x86_lift *l)
{
	return !(l->in.opcode & 1) ? 1 : l->in.osize == 8 ? 4 : l->in.osize;
}

bool x86_lift_ins_outs(struct x86_lift *l)
{
	call_string(l, l->in.opcode & 2 ? X86_STR_OUTS : X86_STR_INS, port_size(l));
	return true;
}

/* E4..E7 with an immediate port, EC..EF with DX */
bool x86_lift_in_out(struct x86_lift *l)
{
	unsigned size = port_size(l);
	uint16_t port, sz = x86_const(l, size);

	if (l->in.opcode & 8) {
		port = ir_temp(l->b);
		x86_op(l, IR_ZX16, IR_64, port, RDX, IR_NONE);
	} else {
		port = x86_const(l, l->in.imm & 0xff);
	}
	if (l->in.opcode & 2)
		X86_CALL(l, x86_h_out, port, sz, RAX);
	else
		x86_set_reg(l, RAX, size, X86_CALL_RET(l, x86_h_in, port, sz, IR_NONE));
	return true;
}
