/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build.c: changes to a block as a whole while it is made. */
#include "accel/jit/ir/ir.h"

void ir_cut(struct ir *b, unsigned i)
{
	uint64_t offset = b->op[i].imm;
	unsigned insns = 0;

	for (unsigned k = 0; k < i; k++)
		insns += b->op[k].code == IR_INSN;
	b->n = i;
	b->insns = insns;
	if (!b->follows) {
		b->bytes = (unsigned)(offset - b->page_offset);
		b->hi = (unsigned)offset;
	}
	b->full = false;
	ir_emit(b, IR_EXIT_PC, IR_64)->imm = (int64_t)offset;
}
