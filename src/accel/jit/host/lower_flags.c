/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lower_flags.c: where the guest's arithmetic flags are while a block is emitted.
 *
 * A producer leaves them in the host's EFLAGS. When those are about to be destroyed and somebody
 * may still look, nothing is done if the last producer can be computed again from registers that
 * are unchanged since (its recipe); else PUSHF saves them to hot.arith. A consumer runs the
 * producer again, or tests hot.arith.
 */
#include "accel/jit/host/lower.h"

uint32_t flags_bits(uint8_t mask)
{
	static const uint16_t bit[6] = { 1, 4, 0x10, 0x40, 0x80, 0x800 };
	uint32_t v = 0;

	for (unsigned i = 0; i < 6; i++)
		if (mask & 1 << i)
			v |= bit[i];
	return v;
}

static bool has_recipe(const struct lower *l)
{
	return l->f.recipe.kind != FLAGS_MEMORY;
}

static void pushf_to_memory(struct lower *l)
{
	as_8(&l->a, 0x9c);
	as_pop_mem(&l->a, LOC_HOT(arith));
}

/* hot.arith keeps what it has beyond host's flags. Destroys the host's. */
static void merge_to_memory(struct lower *l)
{
	int32_t mask = (int32_t)flags_bits(l->f.host);
	unsigned r;

	as_8(&l->a, 0x9c);
	as_alu_to(&l->a, ALU_AND, 4, loc_mem(H_RSP, 0), loc_imm(mask), false);
	as_alu_to(&l->a, ALU_AND, 4, LOC_HOT(arith), loc_imm(~mask), false);
	/* scratch() may spill to a slot, which a push would move */
	as_alu(&l->a, ALU_ADD, 8, H_RSP, loc_imm(8));
	r = scratch(l);
	as_mov(&l->a, 4, r, loc_mem(H_RSP, -8));
	as_alu_to(&l->a, ALU_OR, 4, LOC_HOT(arith), loc_reg(r), false);
	l->locked &= ~(1u << (r - SCRATCH_FIRST));
	l->f.mem |= l->f.host;
	l->f.host = 0;
}

static struct loc recipe_operand(struct lower *l, uint8_t g)
{
	return host_reg(g) != HOST_NONE ? loc_reg(host_reg(g)) : loc_state(8 * g);
}

/* Runs the recipe: all flags are in the host's afterwards. */
static void recompute(struct lower *l)
{
	const struct flags_recipe *p = &l->f.recipe;
	struct loc a = recipe_operand(l, p->a),
		   b = p->b == 0xff ? loc_imm(p->imm) : recipe_operand(l, p->b);
	uint8_t locked = l->locked;
	unsigned r;

	if (p->kind == FLAGS_SUB || p->kind == FLAGS_LOGIC) {
		if (a.kind == LOC_MEM && b.kind == LOC_MEM) {
			r = scratch(l);
			as_mov(&l->a, p->type, r, b);
			b = loc_reg(r);
		}
		if (p->kind == FLAGS_LOGIC && b.kind == LOC_MEM)
			as_test(&l->a, p->type, b, a);
		else if (p->kind == FLAGS_LOGIC)
			as_test(&l->a, p->type, a, b);
		else if (b.kind == LOC_MEM)
			as_alu(&l->a, ALU_CMP, p->type, a.reg, b);
		else
			as_alu_to(&l->a, ALU_CMP, p->type, a, b, false);
	} else {
		bool add = p->kind == FLAGS_ADD;

		r = scratch(l);
		as_mov(&l->a, p->type == 8 ? 8 : 4, r, a);
		as_alu(&l->a, add ? ALU_SUB : ALU_ADD, p->type, r, b);
		as_alu(&l->a, add ? ALU_ADD : ALU_CMP, p->type, r, b);
	}
	l->locked = locked;
	l->f.host = IRFL_ALL;
}

void flags_save(struct lower *l, uint8_t need)
{
	if (!(need & ~l->f.mem))
		return;
	if (need & ~(l->f.mem | l->f.host) && has_recipe(l))
		recompute(l);
	if (l->f.mem & ~l->f.host & need) {
		merge_to_memory(l);
		return;
	}
	pushf_to_memory(l);
	l->f.mem = l->f.host;
}

void flags_clobber(struct lower *l, uint8_t kills, uint8_t keeps)
{
	uint8_t need = l->need[l->i] & ~kills;
	uint8_t lost = need & ~l->f.mem & ~(keeps & l->f.host);

	if (has_recipe(l) && !kills) {
		l->f.host &= keeps; /* can be had again */
		return;
	}
	if (lost)
		flags_save(l, need);
	l->f.host &= keeps;
}

void flags_produced(struct lower *l, uint8_t kills, uint8_t keeps)
{
	if (!kills) { /* an op that is not to touch the guest's flags */
		l->f.host &= keeps;
		return;
	}
	l->f.host = (l->f.host & keeps) | kills;
	l->f.mem &= ~kills;
	l->f.recipe.kind = FLAGS_MEMORY;
	l->recipe_stamp++;
}

void flags_load(struct lower *l, uint8_t want)
{
	unsigned r;

	if (!(want & ~l->f.host))
		return;
	if (has_recipe(l)) {
		recompute(l);
		return;
	}
	flags_save(l, IRFL_ALL);
	if (want == IRFL_CF) {
		as_modrm(&l->a, (struct enc){ .map = 1, .opcode = 0xba }, 4,
			LOC_HOT(arith)); /* bt */
		as_8(&l->a, 0);
		l->f.host = IRFL_CF;
		return;
	}
	r = scratch(l);
	as_mov(&l->a, 4, r, LOC_HOT(arith));
	as_alu(&l->a, ALU_AND, 4, r, loc_imm((int32_t)flags_bits(IRFL_ALL)));
	as_push(&l->a, r);
	as_8(&l->a, 0x9d);
	l->locked &= ~(1u << (r - SCRATCH_FIRST));
	l->f.host = IRFL_ALL;
}

/* Condition decided by testing hot.arith; ZF = 0 iff it holds for the even codes. */
static unsigned cond_from_memory(struct lower *l, unsigned cond)
{
	uint8_t locked = l->locked;
	unsigned r, s;

	l->f.host = 0;
	switch (cond >> 1) {
	case 0:
		as_test(&l->a, 1, loc_state((int)offsetof(struct jit_hot, arith) - 128 + 1),
			loc_imm(8));
		break;
	case 1: as_test(&l->a, 1, LOC_HOT(arith), loc_imm(1)); break;
	case 2: as_test(&l->a, 1, LOC_HOT(arith), loc_imm(0x40)); break;
	case 3: as_test(&l->a, 1, LOC_HOT(arith), loc_imm(0x41)); break;
	case 4: as_test(&l->a, 1, LOC_HOT(arith), loc_imm(0x80)); break;
	case 5: as_test(&l->a, 1, LOC_HOT(arith), loc_imm(4)); break;
	default: /* SF != OF, or with ZF */
		r = scratch(l);
		s = scratch(l);
		as_mov(&l->a, 4, r, LOC_HOT(arith));
		as_mov(&l->a, 4, s, loc_reg(r));
		as_shift_imm(&l->a, 5, 4, loc_reg(s), 4); /* OF to bit 7 */
		as_alu(&l->a, ALU_XOR, 4, s, loc_reg(r));
		as_alu(&l->a, ALU_AND, 4, s, loc_imm(0x80));
		if (cond >> 1 == 7) {
			as_alu(&l->a, ALU_AND, 4, r, loc_imm(0x40));
			as_alu(&l->a, ALU_OR, 4, s, loc_reg(r));
		}
		break;
	}
	l->locked = locked;
	return cond & 1 ? 4 : 5;
}

unsigned flags_cond(struct lower *l, unsigned cond)
{
	uint8_t want = ir_cond_flags(cond);

	if (want & ~l->f.host) {
		if (has_recipe(l)) {
			recompute(l);
			return cond;
		}
		flags_save(l, IRFL_ALL);
		return cond_from_memory(l, cond);
	}
	return cond;
}

void flags_fault_point(struct lower *l)
{
	if (l->f.mem == IRFL_ALL || has_recipe(l))
		return;
	flags_save(l, IRFL_ALL);
	l->f.mem = IRFL_ALL;
}

void flags_recipe(struct lower *l, enum flags_kind kind, unsigned type, uint16_t a, uint16_t b)
{
	int64_t imm = l->o->imm;

	if (type == 1)
		imm = (int8_t)imm;
	else if (type == 2)
		imm = (int16_t)imm;
	else if (type == 4)
		imm = (int32_t)imm;
	if (!l->vm->opt.recover || a >= 16 || (b != IR_IMM && b >= 16) ||
		(b == IR_IMM && imm != (int32_t)imm))
		return;
	l->f.recipe = (struct flags_recipe){ .kind = (uint8_t)kind,
		.type = (uint8_t)type,
		.a = (uint8_t)a,
		.b = b == IR_IMM ? 0xff : (uint8_t)b,
		.imm = (int32_t)imm };
}

bool flags_before_write(struct lower *l, uint32_t globals, bool access)
{
	const struct flags_recipe *p = &l->f.recipe;
	uint8_t need = (l->need[l->i] & ~ir_flags_killed(l->o)) | ir_flags_read(l->o) |
		       (ir_can_fault(l->o) ? IRFL_ALL : 0);

	if (!has_recipe(l) || !(globals & (1u << p->a | (p->b == 0xff ? 0 : 1u << p->b))))
		return false;
	/* the recipe dies; is it the only place of flags somebody may look at? */
	if (need & ~(l->f.mem | (access ? 0 : l->f.host)))
		flags_save(l, IRFL_ALL);
	if (!access)
		l->f.recipe.kind = FLAGS_MEMORY;
	return access;
}
