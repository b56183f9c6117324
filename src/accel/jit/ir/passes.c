/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * passes.c: the two linear passes over a block. Forward: copies and constants of temporaries are put into
 * their users. Backward: which flags anybody can see, and pure ops whose result nobody reads.
 */
#include "accel/jit/ir/ir.h"

#include <string.h>

/* ---- forward: what each temporary is known to equal */
struct known {
	uint16_t copy;	/* a global or temporary it equals in full, or IR_NONE */
	bool constant;
	bool copied;	/* others may be copies of it */
	int64_t value;
};

struct fold {
	struct known temp[IR_MAX_TEMPS];
	uint32_t copied;	/* globals of which there may be copies */
};

static bool is_temp(uint16_t x)
{
	return x >= IR_TEMP0 && x < IR_IMM;
}

/* x changes: what was copied from it no longer equals it. */
static void forget_copies(const struct ir *b, struct fold *f, uint16_t x)
{
	for (unsigned t = 0; t < b->temps; t++)
		if (f->temp[t].copy == x)
			f->temp[t].copy = IR_NONE;
}

static void forget(const struct ir *b, struct fold *f, uint32_t globals)
{
	for (globals &= f->copied; globals; globals &= globals - 1)
		forget_copies(b, f, (uint16_t)__builtin_ctz(globals));
}

static uint16_t substitute(struct fold *f, uint16_t x)
{
	return is_temp(x) && f->temp[x - IR_TEMP0].copy != IR_NONE ? f->temp[x - IR_TEMP0].copy : x;
}

/* May operand b of this op be an immediate, and is v one that the host can encode for it? */
static bool takes_imm(const struct ir_op *o, int64_t v)
{
	if (ir_info[o->code].props & (IRP_MEM | IRP_ADDR | IRP_CALL) || o->b == IR_IMM || o->c == IR_IMM)
		return false;
	if (o->code == IR_CMOV || o->code == IR_MUL || o->code == IR_UMULH || o->code == IR_SMULH ||
		o->code == IR_UDIV || o->code == IR_SDIV)
		return false;
	return v == (int32_t)v;
}

static void fold_uses(struct fold *f, struct ir_op *o)
{
	unsigned uses = ir_info[o->code].uses;

	if (o->code == IR_NATIVE && !o->type) /* register operands may be written through a and c */
		return;
	if (uses & IRU_A)
		o->a = substitute(f, o->a);
	if (uses & IRU_B) {
		o->b = substitute(f, o->b);
		if (is_temp(o->b) && f->temp[o->b - IR_TEMP0].constant &&
			takes_imm(o, f->temp[o->b - IR_TEMP0].value)) {
			o->imm = f->temp[o->b - IR_TEMP0].value;
			o->b = IR_IMM;
		}
	}
	if (uses & IRU_C && o->code != IR_NATIVE) {
		o->c = substitute(f, o->c);
		if (o->code == IR_ST && is_temp(o->c) && f->temp[o->c - IR_TEMP0].constant) {
			o->imm = f->temp[o->c - IR_TEMP0].value;
			o->c = IR_IMM;
		}
	}
	/* an address part that is constant joins the displacement */
	if (ir_info[o->code].props & (IRP_MEM | IRP_ADDR) && is_temp(o->a) &&
		f->temp[o->a - IR_TEMP0].constant) {
		int64_t v = f->temp[o->a - IR_TEMP0].value + o->disp;

		if (v == (int32_t)v) {
			o->disp = (int32_t)v;
			o->a = IR_NONE;
		}
	}
}

static void fold_block(struct ir *b)
{
	struct fold f;

	for (unsigned t = 0; t < b->temps; t++)
		f.temp[t] = (struct known){ .copy = IR_NONE };
	f.copied = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct ir_op *o = &b->op[i];

		fold_uses(&f, o);
		if (f.copied) {
			uint32_t written = ir_globals_written(o);

			forget(b, &f, written);
			f.copied &= ~written;
		}
		if (o->code == IR_NATIVE && is_temp(o->a) && !o->type)
			f.temp[o->a - IR_TEMP0] = (struct known){ .copy = IR_NONE };
		if (!ir_info[o->code].defs_d || !is_temp(o->d))
			continue;
		struct known *k = &f.temp[o->d - IR_TEMP0];

		/* a temporary that is written again is no longer what its copies copied */
		if (k->copied)
			forget_copies(b, &f, o->d);
		*k = (struct known){ .copy = IR_NONE };
		if (o->code == IR_MOVI) {
			k->constant = true;
			k->value = o->imm;
		} else if (o->code == IR_MOV && o->type == IR_64 && o->a != IR_IMM) {
			k->copy = o->a;
			if (o->a < IR_GLOBALS)
				f.copied |= 1u << o->a;
			else if (is_temp(o->a) && f.temp[o->a - IR_TEMP0].constant)
				*k = f.temp[o->a - IR_TEMP0];
			else if (is_temp(o->a))
				f.temp[o->a - IR_TEMP0].copied = true;
		}
	}
}

/* ---- backward: flags and unread temporaries */
static void mark_read(uint8_t *read, uint16_t x)
{
	if (is_temp(x))
		read[x - IR_TEMP0] = 1;
}

static bool removable(const struct ir_op *o, const uint8_t *read)
{
	const struct ir_info *info = &ir_info[o->code];

	if (info->props & (IRP_EFFECT | IRP_FAULT | IRP_EXIT | IRP_CALL) || o->flive)
		return false;
	if (!info->defs_d)
		return info->props & IRP_FLAGS_OUT; /* cmp, test, clc, … nobody looks at */
	return is_temp(o->d) && !read[o->d - IR_TEMP0];
}

static void liveness(struct ir *b)
{
	uint8_t read[IR_MAX_TEMPS];
	uint8_t live = IRFL_ALL;
	unsigned to = b->n;

	memset(read, 0, b->temps);
	for (unsigned i = b->n; i-- > 0;) {
		struct ir_op *o = &b->op[i];

		o->flive = o->fout & live;
		if (removable(o, read))
			continue;
		live = (live & ~ir_flags_killed(o)) | ir_flags_read(o) | (ir_can_fault(o) ? IRFL_ALL : 0);
		mark_read(read, o->a);
		mark_read(read, o->b);
		mark_read(read, o->c);
		if (o->d != IR_NONE && (ir_reads(o, o->d) || (is_temp(o->d) && o->type < IR_32)))
			mark_read(read, o->d);
		if (--to != i)
			b->op[to] = *o;
	}
	if (!to)
		return;
	memmove(b->op, b->op + to, (b->n - to) * sizeof(b->op[0]));
	b->n -= to;
}

void ir_optimize(struct ir *b, unsigned opts)
{
	if (opts & IR_OPT_FOLD)
		fold_block(b);
	if (opts & IR_OPT_LIVENESS) {
		liveness(b);
	} else {
		for (unsigned i = 0; i < b->n; i++)
			b->op[i].flive = b->op[i].fout;
	}
}
