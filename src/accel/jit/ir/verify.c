/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify.c: is a block well formed? The rules a front end must keep, checked in debug builds and tests. */
#include "accel/jit/ir/ir.h"

static bool operand_ok(const struct ir *b, uint16_t x, bool imm_ok)
{
	if (x == IR_NONE)
		return true;
	if (x == IR_IMM)
		return imm_ok;
	return x < IR_GLOBALS || (x >= IR_TEMP0 && x < IR_TEMP0 + b->temps);
}

static bool type_ok(const struct ir_op *o)
{
	if (o->code == IR_NATIVE)
		return o->type <= 64;
	return o->type == 1 || o->type == 2 || o->type == 4 || o->type == 8 ||
		(o->type == 0 && !ir_info[o->code].defs_d && !(ir_info[o->code].props & IRP_MEM));
}

static const char *check_operands(const struct ir *b, const struct ir_op *o)
{
	const struct ir_info *info = &ir_info[o->code];
	bool mem = info->props & IRP_MEM;

	if (!type_ok(o))
		return "bad type";
	if (!operand_ok(b, o->d, false) || !operand_ok(b, o->a, false) || !operand_ok(b, o->b, !mem) ||
		!operand_ok(b, o->c, o->code != IR_CALL))
		return "bad operand";
	if (info->defs_d && o->d == IR_NONE && o->code != IR_CALL && o->code != IR_NATIVE)
		return "no destination";
	if (o->flive & ~o->fout)
		return "live flags that are not produced";
	if (o->fout && !(info->props & IRP_FLAGS_OUT))
		return "op cannot produce flags";
	return NULL;
}

static const char *check_temps(const struct ir_op *o, uint8_t *written)
{
	uint16_t in[4] = { o->a, o->b, o->c, o->d };

	for (unsigned k = 0; k < 4; k++) {
		uint16_t x = in[k];

		if (x < IR_TEMP0 || x >= IR_IMM || written[x - IR_TEMP0])
			continue;
		if (k < 3 ? (ir_info[o->code].uses >> k & 1) : (ir_info[o->code].uses & IRU_D) != 0)
			return "temporary read before it is written";
	}
	if (ir_info[o->code].defs_d && o->d >= IR_TEMP0 && o->d < IR_IMM)
		written[o->d - IR_TEMP0] = 1;
	if (o->code == IR_NATIVE && !o->type && o->a >= IR_TEMP0 && o->a < IR_IMM)
		written[o->a - IR_TEMP0] = 1;
	return NULL;
}

const char *ir_verify(const struct ir *b, unsigned *ret_op)
{
	uint8_t written[IR_MAX_TEMPS] = { 0 };
	bool wrote = false;
	const char *why = NULL;
	unsigned i;

	if (!b->n)
		return "empty block";
	for (i = 0; i < b->n && !why; i++) {
		const struct ir_op *o = &b->op[i];

		if (o->code >= IR_OP_COUNT) {
			why = "unknown op";
			break;
		}
		if (o->code == IR_INSN)
			wrote = false;
		why = check_operands(b, o);
		if (!why)
			why = check_temps(o, written);
		if (!why && wrote && ir_can_fault(o) && o->code != IR_CALL)
			why = "a global was written before an op that can fault";
		wrote |= o->code != IR_CALL && ir_globals_written(o) != 0;
		if (!why && i + 1 < b->n && ir_info[o->code].props & IRP_EXIT && o->code != IR_EXIT_CC &&
			o->code != IR_EXIT_NZ && o->code != IR_EXIT_Z)
			why = "op after an unconditional exit";
	}
	if (!why) {
		unsigned last = b->op[b->n - 1].code;

		i = b->n;
		if (last != IR_EXIT_PC && last != IR_EXIT_IND && last != IR_EXIT_LOOP)
			why = "no exit at the end";
	}
	if (why && ret_op)
		*ret_op = i ? i - 1 : 0;
	return why;
}
