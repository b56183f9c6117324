/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift.c: guest x86 code to IR, a block at a time. Rules: docs/jit.md. */
#include "accel/jit/x86/lift.h"

enum {
	/* What one instruction and a block's end take at most; checked before each instruction. */
	RESERVED_OPS = 96,
	RESERVED_TEMPS = 64,
};

/* SDM vol. 2, LOCK: the read-modify-write instructions with a memory destination. */
static bool lock_allowed(const struct x86_insn *in)
{
	unsigned op = in->opcode, digit = in->reg & 7;

	if (in->map == X86_MAP_0F && (op == 0x20 || op == 0x22))
		return true; /* AMD's way to name CR8; its lifter looks closer */
	if (!in->is_mem || in->vex)
		return false;
	if (in->map == X86_MAP_0F) {
		switch (op) {
		case 0xab:
		case 0xb3:
		case 0xbb: /* bts btr btc */
		case 0xb0:
		case 0xb1:
		case 0xc0:
		case 0xc1: /* cmpxchg xadd */ return true;
		case 0xba: return digit >= 5;
		case 0xc7: return digit == 1;
		default: return false;
		}
	}
	if (in->map != X86_MAP_1BYTE)
		return false;
	if (op < 0x38)
		return (op & 7) < 2;
	switch (op) {
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83: return digit != 7;
	case 0x86:
	case 0x87: return true;
	case 0xf6:
	case 0xf7: return digit == 2 || digit == 3;
	case 0xfe:
	case 0xff: return digit < 2;
	default: return false;
	}
}

/* General-register instructions among the maps that otherwise hold vector ones. */
static bool is_bmi(const struct x86_insn *in)
{
	if (in->map == X86_MAP_0F3A)
		return in->vex && in->opcode == 0xf0;
	if (in->vex)
		return in->opcode >= 0xf2 && in->opcode <= 0xf7;
	return in->opcode == 0x82 || in->opcode == 0xf0 || in->opcode == 0xf1 || in->opcode == 0xf6;
}

static bool dispatch(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	x86_lifter *f;

	if ((in->lock && !lock_allowed(in)) || in->vex_bad)
		return false;
	switch (in->map) {
	case X86_MAP_1BYTE: f = x86_lift_1byte[in->opcode]; return f && f(l);
	case X86_MAP_0F:
		f = !in->vex             ? x86_lift_0f[in->opcode]
		    : in->opcode == 0xae ? x86_lift_vex_mxcsr
					 : x86_lift_vec;
		return f && f(l);
	default: return is_bmi(in) ? x86_lift_bmi(l) : x86_lift_vec(l);
	}
}

/* CS with a limit: the block as a whole is checked at its entry; how long it is, is filled in at
 * its end. */
static void check_code_limit(struct x86_lift *l)
{
	uint16_t ret;
	struct ir_op *o;

	l->code_check = l->b->n;
	ret = X86_CALL_RET(l, x86_h_code_check, x86_const(l, 0), IR_NONE, IR_NONE);
	o = x86_op(l, IR_EXIT_Z, IR_64, IR_NONE, ret, IR_NONE);
	o->imm = l->off;
}

static void lift_insn(struct x86_lift *l, enum x86_decoded status)
{
	struct x86_lift before;
	unsigned ops;

	x86_op_imm(l, IR_INSN, IR_64, IR_NONE, IR_NONE, l->off)->b = IR_NONE;
	if (!l->b->insns && !(l->mode & X86_MODE_FLAT_CODE))
		check_code_limit(l);
	ops = l->b->n;
	before = *l;
	if (status == X86_TOO_LONG) {
		x86_lift_raise_error(l, X86_GP, 0);
	} else if (status == X86_UNDEFINED || !dispatch(l)) {
		*l = before;
		l->b->n = ops;
		x86_lift_raise(l, X86_UD);
	}
	l->b->insns++;
}

/* Was the instruction at `off` lifted before, in an earlier piece of this block? */
static bool lifted(const struct x86_lift *l, int32_t off)
{
	for (unsigned k = 0; k < l->runs; k++)
		if (off >= l->run[k][0] && off < l->run[k][1])
			return true;
	return false;
}

/* Followed jumps: recursion 1.2 times as fast, see docs/jit.md. A loop ends where it began: unrolled, it
 * would be larger only. */
bool x86_follow(struct x86_lift *l, int32_t to)
{
	struct ir *b = l->b;

	if (!b->follow || !l->x64 || l->mode & X86_MODE_STEP || to < 0 || to > 4095 || l->runs == X86_RUNS ||
		b->insns >= IR_MAX_INSNS / 4 || (to >= l->from && to < l->next) || lifted(l, to) || l->next > 4096)
		return false;
	l->run[l->runs][0] = l->from;
	l->run[l->runs++][1] = l->next;
	b->follows++;
	b->polls |= to <= l->off;
	l->from = l->next = to;
	return true;
}

static bool block_full(const struct x86_lift *l, long at, size_t left)
{
	const struct ir *b = l->b;

	if (!b->insns)
		return false;
	return at >= (long)left || l->end_here || b->insns >= IR_MAX_INSNS || (l->mode & X86_MODE_STEP) ||
	       b->n > IR_MAX_OPS - RESERVED_OPS || b->temps > IR_MAX_TEMPS - RESERVED_TEMPS ||
	       (l->runs && lifted(l, l->next));
}

/* Ends the block before the instruction at l->next; a block without any stays empty (isa.h). */
static void cut(struct x86_lift *l)
{
	if (!l->b->insns) {
		l->b->n = 0;
		l->done = true;
		return;
	}
	if (l->end_after) {
		/* the instruction in the shadow of STI runs alone, by the loop */
		x86_store_state(l, X86_HOT(exit_request), 4, x86_const(l, 1));
		x86_exit_next(l);
		return;
	}
	x86_op_imm(l, IR_EXIT_PC, IR_64, IR_NONE, IR_NONE, l->next)->b = IR_NONE;
	l->done = true;
}

static unsigned decode_mode(const struct x86_lift *l)
{
	unsigned how = l->mode & X86_MODE_BITS;

	if (l->cfg->amd)
		how |= X86_DECODE_AMD;
	if (!(l->mode & X86_MODE_PE) || (l->mode & X86_MODE_VM))
		how |= X86_DECODE_NOVEX;
	return how;
}

void x86_lift_block(struct ir *b, const uint8_t *code, size_t n, size_t left)
{
	struct x86_lift l = {
		.b = b,
		.cfg = b->isa_config,
		.mode = b->mode,
		.x64 = (b->mode & X86_MODE_BITS) == X86_MODE_64,
		.next = (int32_t)b->page_offset,
		.from = (int32_t)b->page_offset,
	};
	unsigned how = decode_mode(&l);

	b->lo = b->hi = b->page_offset;
	b->bytes = 0;
	while (!l.done) {
		long at = l.next - (long)b->page_offset;
		enum x86_decoded status;
		bool shadow = l.end_after;
		unsigned len;

		if (block_full(&l, at, left)) {
			cut(&l);
			break;
		}
		status = x86_decode(&l.in, code + at, (size_t)((long)n - at), how);
		if (status == X86_TRUNCATED ||
			(b->insns && at + X86_INSN_MAX > (long)left &&
				(status == X86_TOO_LONG || at + (long)l.in.len > (long)left))) {
			/* as the first of a block: insns stays 0, the caller raises the fetch fault
			 */
			cut(&l);
			break;
		}
		len = status == X86_TOO_LONG ? X86_INSN_MAX : l.in.len;
		l.off = l.next;
		l.next += (int32_t)len;
		b->bytes += len;
		b->lo = MIN(b->lo, (unsigned)l.off);
		b->hi = MAX(b->hi, (unsigned)l.next);
		if (shadow)
			x86_store_state(&l, X86_STATE(interrupt_shadow), 1, x86_const(&l, 0));
		lift_insn(&l, status);
		if (shadow && !l.done)
			x86_exit_next(&l);
	}
	if (l.code_check)
		b->op[l.code_check].imm = b->bytes;
}
