/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lower_share.c: memory accesses of a block at constant distances from each other (pushes and pops,
 * fields of one structure, neighbours in an array) share one address check.
 *
 * The first one checks the range of all for its own rights and leaves the host address of the range
 * in r13, and in hot.share[] when r13 is needed otherwise; the others are single host instructions
 * then, which leave the host's flags alone. A range that crosses pages, or whose page has no TLB
 * entry of that kind, leads to a block of the same instructions without sharing (BLOCK_PLAIN):
 * nothing is done early, so faults, accessed and dirty bits, and device accesses come one by one as
 * they must. Mappings cannot change within a block but by helpers, which end all shares, and by
 * other vCPUs while this one waits (exclusive.c).
 *
 * Gain over one check per access: recursion 1.31 times as fast, qsort 1.11, gcc 1.07; a block with
 * four pushes takes 201 bytes of host code, not 416.
 */
#include "accel/jit/host/lower.h"

#include <string.h>

#include "accel/jit/ir/native.h"

enum { RANGE_STACK = 512, RANGE = 128 }; /* bytes; more cross pages too often */
enum { ROOT_NONE = 0xfffffffe, ROOT_PC = 0xffffffff };

struct key {
	uint32_t a, b;
	unsigned scale;
	int64_t off;
};

/* ---- planning */
static unsigned access_size(const struct ir_op *o)
{
	return o->code == IR_LDSX ? o->sub : o->type;
}

static bool may_share(const struct ir_op *o)
{
	if (o->mem & ~IRM_SCALE || o->flags & (IRO_USER | IRO_SYSTEM | IRO_ALIGN) ||
		o->disp >= 1 << 30 || o->disp <= -(1 << 30))
		return false;
	switch (o->code) {
	case IR_LD:
	case IR_LDZ:
	case IR_LDSX:
	case IR_ST:
	case IR_RMW:
	case IR_XCHG:
	case IR_XADD:
	case IR_CMPXCHG: return true;
	default: return o->code == IR_NATIVE && o->type;
	}
}

static bool is_store(const struct ir_op *o)
{
	return o->code == IR_NATIVE ? o->flags & IRO_STORE
				    : o->code != IR_LD && o->code != IR_LDZ && o->code != IR_LDSX;
}

static struct key key_of(const struct lower *l, const struct ir_op *o)
{
	struct key k = { ROOT_NONE, ROOT_NONE, o->mem & IRM_SCALE, o->disp };

	if (o->a != IR_NONE) {
		k.a = l->known[o->a].root;
		k.off += l->known[o->a].off;
	}
	if (o->b != IR_NONE) {
		k.b = l->known[o->b].root;
		k.off += (int64_t)((uint64_t)l->known[o->b].off << k.scale);
	}
	return k;
}

static struct share_value value_of(const struct lower *l, const struct ir_op *o, uint32_t fresh)
{
	struct share_value v = { fresh, 0 };

	if (o->type == IR_64 && o->code == IR_PC)
		return (struct share_value){ ROOT_PC, o->imm };
	if (o->type != IR_64 || o->a >= IR_TEMP0 + IR_MAX_TEMPS)
		return v;
	if (o->code == IR_MOV)
		return l->known[o->a];
	if (o->code == IR_LEA && o->b == IR_NONE && !(o->mem & ~IRM_SCALE)) {
		v = l->known[o->a];
		v.off += o->disp;
	} else if ((o->code == IR_ADD || o->code == IR_SUB) && o->b == IR_IMM &&
		   o->imm == (int32_t)o->imm) {
		v = l->known[o->a];
		v.off += o->code == IR_ADD ? o->imm : -o->imm;
	}
	if (v.off > 1 << 30 || v.off < -(1 << 30))
		v = (struct share_value){ fresh, 0 };
	return v;
}

/* Shares that later ops may still join, by slot. */
struct open {
	struct share *s;
	struct key key; /* off: of the first one */
};

static bool join(
	struct lower *l, struct open *open, const struct key *k, const struct ir_op *o, unsigned i)
{
	int64_t at = k->off - open->key.off, end = at + access_size(o), limit = RANGE;
	struct share *s = open->s;

	if (!s || open->key.a != k->a || open->key.b != k->b ||
		(k->b != ROOT_NONE && open->key.scale != k->scale) || (is_store(o) && !s->store))
		return false;
	if (l->b->op[s->first].a == 4 || l->b->op[s->first].a == 5)
		limit = RANGE_STACK;
	if (MAX(end, s->hi) - MIN(at, s->lo) > limit)
		return false;
	s->hi = (int32_t)MAX(end, s->hi);
	s->lo = (int32_t)MIN(at, s->lo);
	s->last = (int)i;
	s->count++;
	l->share_of[i] = (uint8_t)(1 + (s - l->share));
	l->share_off[i] = (int32_t)at;
	return true;
}

static void begin(
	struct lower *l, struct open *open, const struct key *k, const struct ir_op *o, unsigned i)
{
	unsigned slot = 0;
	struct share *s;

	if (l->shares == SHARE_MAX)
		return;
	for (unsigned n = 1; n < SHARE_SLOTS; n++) /* the one that was used longest ago */
		if (open[slot].s && (!open[n].s || open[n].s->last < open[slot].s->last))
			slot = n;
	s = &l->share[l->shares++];
	*s = (struct share){ .first = (int)i,
		.last = (int)i,
		.count = 1,
		.store = is_store(o),
		.slot = (uint8_t)slot,
		.hi = (int32_t)access_size(o) };
	open[slot] = (struct open){ s, *k };
	l->share_of[i] = (uint8_t)l->shares;
	l->share_off[i] = 0;
}

void share_plan(struct lower *l)
{
	struct open open[SHARE_SLOTS] = { 0 };
	uint32_t fresh = IR_GLOBALS;
	bool first = false; /* no access of the same guest instruction came before */

	l->shares = 0;
	l->in_r13 = NULL;
	memset(l->share_of, 0, l->b->n);
	if (!l->vm->opt.share || l->b->plain)
		return;
	for (unsigned g = 0; g < IR_GLOBALS; g++)
		l->known[g] = (struct share_value){ g, 0 };
	for (unsigned i = 0; i < l->b->n; i++) {
		const struct ir_op *o = &l->b->op[i];
		unsigned props = ir_info[o->code].props;
		uint32_t written = ir_globals_written(o);
		struct share_value v;

		if (o->code == IR_INSN)
			first = true;
		if (props & IRP_MEM && may_share(o)) {
			struct key k = key_of(l, o);
			unsigned n = 0;

			while (n < SHARE_SLOTS && !join(l, &open[n], &k, o, i))
				n++;
			if (n == SHARE_SLOTS && first)
				begin(l, open, &k, o, i);
		}
		if (props & (IRP_MEM | IRP_CALL))
			first = false;
		if (props & IRP_CALL)
			memset(open, 0, sizeof(open));
		v = value_of(l, o, fresh++);
		for (; written; written &= written - 1)
			l->known[__builtin_ctz(written)] = (struct share_value){ fresh++, 0 };
		if (ir_info[o->code].defs_d && o->d < IR_TEMP0 + IR_MAX_TEMPS)
			l->known[o->d] = v;
	}
}

/* ---- emission */
struct share *share_get(struct lower *l)
{
	unsigned n = l->share_of[l->i];

	return n && l->share[n - 1].count > 1 ? &l->share[n - 1] : NULL;
}

static struct loc slot_of(const struct share *s)
{
	return loc_state((int32_t)offsetof(struct jit_hot, share) - 128 + 8 * s->slot);
}

void share_clobber(struct lower *l)
{
	if (l->in_r13 && l->r13_only && l->in_r13->last > (int)l->i)
		as_mov_to(&l->a, 8, slot_of(l->in_r13), loc_reg(H_R13));
	l->in_r13 = NULL;
}

struct loc share_at(struct lower *l)
{
	struct share *s = share_get(l);

	if (l->in_r13 != s) {
		evict(l, 0);
		share_clobber(l);
		as_mov(&l->a, 8, H_R13, slot_of(s));
		l->in_r13 = s;
		l->r13_only = false;
	}
	lock_reg(l, H_R13);
	return loc_mem(H_R13, l->share_off[l->i] - s->lo);
}

static void follow_load(struct lower *l)
{
	const struct ir_op *o = l->o;
	bool own = !is_temp(o->d) && host_reg(o->d) != HOST_NONE;
	bool merge = o->type < IR_32 &&
		     (o->code == IR_LDSX || (o->code == IR_LD && !own && !is_temp(o->d)));
	struct access x = { .op = o, .at = share_at(l) };

	x.reg = own && !(o->code == IR_LDSX && o->type < IR_32) ? host_reg(o->d) : scratch(l);
	site_add(l, true);
	load_body(l, &x);
	if (x.reg >= SCRATCH_FIRST)
		finish(l, o->d, x.reg, merge ? o->type : 8);
}

static void follow_store(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct loc at = share_at(l), data;

	data = source(l, o->c, o->type);
	if (data.kind == LOC_MEM)
		data = loc_reg(in_reg(l, o->c));
	site_add(l, true);
	as_mov_to(&l->a, o->type, at, data);
}

bool share_lower(struct lower *l)
{
	const struct ir_op *o = l->o;

	if (!share_follows(l) || (o->code != IR_ST && is_store(o)) || o->code == IR_NATIVE)
		return false;
	flags_before_write(l, ir_globals_written(o), false);
	if (o->code == IR_ST)
		follow_store(l);
	else
		follow_load(l);
	return true;
}

/* r13 = lowest address of the range, which the TLB does not grant. */
void cold_share(struct lower *l, struct cold *c)
{
	const struct share *s = c->share;
	uint8_t *crosses;

	as_lea(&l->a, 8, H_R15, loc_mem(H_R13, s->hi - s->lo - 1));
	as_alu(&l->a, ALU_XOR, 8, H_R15, loc_reg(H_R13));
	as_alu(&l->a, ALU_CMP, 8, H_R15, loc_imm(4095));
	crosses = as_jcc8(&l->a, 7);
	if (s->lo)
		as_lea(&l->a, 8, H_R13, loc_mem(H_R13, -s->lo));
	as_call(&l->a, rw_of(l, l->vm->thunks.share[s->store]));
	if (s->lo)
		as_lea(&l->a, 8, H_R13, loc_mem(H_R13, s->lo));
	as_jcc(&l->a, 5, c->back);
	as_here8(&l->a, crosses);
	exit_tail(l, &l->exit[c->exit], false);
}
