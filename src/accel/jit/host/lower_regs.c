/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower_regs.c: operands: globals in host registers or memory, temporaries in scratch registers or
 * slots. */
#include "accel/jit/host/lower.h"

struct temp *temp_of(struct lower *l, uint16_t x)
{
	return &l->temp[x - IR_TEMP0];
}

static struct loc slot_loc(unsigned slot)
{
	return loc_mem(H_RSP, (int32_t)(8 * slot));
}

struct loc value(struct lower *l, uint16_t x)
{
	struct temp *t;

	if (x == IR_IMM)
		return loc_imm(l->o->imm);
	if (x < IR_GLOBALS)
		return host_reg(x) != HOST_NONE ? loc_reg(host_reg(x)) : loc_state(8 * x);
	t = temp_of(l, x);
	if (t->reg != HOST_NONE)
		return loc_reg(t->reg);
	if (t->slot != NO_SLOT)
		return slot_loc(t->slot);
	return loc_imm(t->constant ? t->value : 0);
}

void lock_reg(struct lower *l, unsigned reg)
{
	if (reg >= SCRATCH_FIRST)
		l->locked |= 1u << (reg - SCRATCH_FIRST);
}

static void to_slot(struct lower *l, struct temp *t)
{
	if (t->slot == NO_SLOT) {
		unsigned s = l->slots == ~0ull ? NO_SLOT : (unsigned)__builtin_ctzll(~l->slots);

		if (s >= FRAME_SLOTS) {
			l->failed = true;
			return;
		}
		l->slots |= 1ull << s;
		t->slot = (uint8_t)s;
		as_mov_to(&l->a, 8, slot_loc(s), loc_reg(t->reg));
	}
}

void evict(struct lower *l, unsigned n)
{
	struct temp *t;

	if (l->owner[n] == IR_NONE)
		return;
	t = temp_of(l, l->owner[n]);
	if (t->last >= (int)l->i)
		to_slot(l, t);
	t->reg = HOST_NONE;
	l->owner[n] = IR_NONE;
}

unsigned scratch(struct lower *l)
{
	unsigned best = SCRATCH_COUNT;

	/* a free one, else one whose temporary is in a slot already, else any */
	for (unsigned pass = 0; pass < 3 && best == SCRATCH_COUNT; pass++) {
		for (unsigned n = SCRATCH_COUNT; n-- > 0 && best == SCRATCH_COUNT;) {
			if (l->locked & 1u << n)
				continue;
			if (l->owner[n] == IR_NONE || pass == 2 ||
				(pass == 1 && temp_of(l, l->owner[n])->slot != NO_SLOT))
				best = n;
		}
	}
	if (best == SCRATCH_COUNT) {
		l->failed = true;
		return H_R13;
	}
	evict(l, best);
	if (!best)
		share_clobber(l);
	l->locked |= 1u << best;
	return SCRATCH_FIRST + best;
}

unsigned in_reg(struct lower *l, uint16_t x)
{
	struct loc v = value(l, x);
	unsigned r;

	if (v.kind == LOC_REG) {
		lock_reg(l, v.reg);
		return v.reg;
	}
	r = scratch(l);
	as_mov(&l->a, 8, r, v);
	if (is_temp(x) && temp_of(l, x)->last > (int)l->i) {
		temp_of(l, x)->reg = (uint8_t)r;
		l->owner[r - SCRATCH_FIRST] = x;
	}
	return r;
}

struct loc source(struct lower *l, uint16_t x, unsigned size)
{
	struct loc v = value(l, x);

	if (v.kind == LOC_REG)
		lock_reg(l, v.reg);
	if (v.kind == LOC_IMM && size == 8 && v.imm != (int32_t)v.imm)
		return loc_reg(in_reg(l, x));
	return v;
}

unsigned copy_of(struct lower *l, uint16_t x)
{
	struct loc v = value(l, x);
	unsigned r;

	if (is_temp(x) && v.kind == LOC_REG && temp_of(l, x)->last <= (int)l->i) {
		temp_of(l, x)->reg = HOST_NONE; /* dies here: taken over */
		l->owner[v.reg - SCRATCH_FIRST] = IR_NONE;
		lock_reg(l, v.reg);
		return v.reg;
	}
	if (v.kind == LOC_REG)
		lock_reg(l, v.reg);
	r = scratch(l);
	as_mov(&l->a, 8, r, value(l, x));
	return r;
}

unsigned target(struct lower *l, uint16_t d)
{
	if (d < IR_GLOBALS && host_reg(d) != HOST_NONE)
		return host_reg(d);
	return scratch(l);
}

static void free_slot(struct lower *l, struct temp *t)
{
	if (t->slot != NO_SLOT)
		l->slots &= ~(1ull << t->slot);
	t->slot = NO_SLOT;
}

static void finish_temp(struct lower *l, uint16_t d, unsigned reg, unsigned size)
{
	struct temp *t = temp_of(l, d);
	struct loc old = value(l, d);

	if (size < 4 && (t->reg != HOST_NONE || t->slot != NO_SLOT || t->constant)) {
		if (old.kind == LOC_REG) { /* merge into it */
			if (old.reg != reg)
				as_mov(&l->a, size, old.reg, loc_reg(reg));
			free_slot(l, t);
			return;
		}
		if (old.kind == LOC_MEM) {
			as_mov_to(&l->a, size, old, loc_reg(reg));
			return;
		}
	}
	if (size < 4 && t->constant && t->reg == HOST_NONE && t->slot == NO_SLOT) {
		unsigned r = scratch(l);

		as_mov(&l->a, 8, r, loc_imm(t->value));
		as_mov(&l->a, size, r, loc_reg(reg));
		reg = r;
	}
	if (t->reg != HOST_NONE && t->reg != reg)
		l->owner[t->reg - SCRATCH_FIRST] = IR_NONE;
	free_slot(l, t);
	t->constant = false;
	if (reg < SCRATCH_FIRST) {
		unsigned r = scratch(l);

		as_mov(&l->a, 8, r, loc_reg(reg));
		reg = r;
	}
	t->reg = (uint8_t)reg;
	l->owner[reg - SCRATCH_FIRST] = d;
}

void finish(struct lower *l, uint16_t d, unsigned reg, unsigned size)
{
	if (d == IR_NONE)
		return;
	if (is_temp(d)) {
		finish_temp(l, d, reg, size);
		return;
	}
	if (host_reg(d) == HOST_NONE)
		as_mov_to(&l->a, size < 4 ? size : 8, loc_state(8 * d), loc_reg(reg));
	else if (host_reg(d) != reg)
		as_mov(&l->a, size, host_reg(d), loc_reg(reg));
}

void spill_temp(struct lower *l, uint16_t x)
{
	if (is_temp(x) && temp_of(l, x)->reg != HOST_NONE)
		to_slot(l, temp_of(l, x));
}

void drop_scratch(struct lower *l)
{
	share_clobber(l);
	for (unsigned n = 0; n < SCRATCH_COUNT; n++) {
		if (l->owner[n] == IR_NONE)
			continue;
		temp_of(l, l->owner[n])->reg = HOST_NONE;
		l->owner[n] = IR_NONE;
	}
	l->locked = 7;
}

void spill_all(struct lower *l)
{
	for (unsigned n = 0; n < SCRATCH_COUNT; n++) {
		uint16_t x = l->owner[n];
		struct temp *t;

		if (x == IR_NONE)
			continue;
		t = temp_of(l, x);
		if (t->last > (int)l->i || l->o->c == x || l->o->d == x)
			to_slot(l, t);
	}
}

void end_op(struct lower *l)
{
	for (unsigned n = 0; n < SCRATCH_COUNT; n++) {
		if (l->owner[n] != IR_NONE && temp_of(l, l->owner[n])->last <= (int)l->i) {
			temp_of(l, l->owner[n])->reg = HOST_NONE;
			l->owner[n] = IR_NONE;
		}
	}
	uint16_t in[4] = { l->o->a, l->o->b, l->o->c, l->o->d };

	for (unsigned k = 0; k < 4; k++)
		if (is_temp(in[k]) && temp_of(l, in[k])->last <= (int)l->i)
			free_slot(l, temp_of(l, in[k]));
	l->locked = 0;
}
