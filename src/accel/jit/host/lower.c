/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower.c: one block from IR to host code. */
#include "accel/jit/host/lower.h"

#include <string.h>

enum { BLOCK_ROOM = 128 << 10 }; /* bytes that any one block fits in */

uint8_t *rw_of(struct lower *l, const void *rx)
{
	return arena_rw(&l->vm->arena, rx);
}

struct cold *cold_new(struct lower *l, enum cold_kind kind)
{
	struct cold *c;

	if (l->colds >= COLD_MAX - 1)
		l->failed = true;
	else
		l->colds++;
	c = &l->cold[l->colds - 1];
	*c = (struct cold){ .kind = kind, .guest = l->guest };
	return c;
}

/* From here on, host code belongs to the present guest instruction, and its flags are as l->f says.
 * host_flags: the fault is a signal, which saves the host's flags. */
void site_add(struct lower *l, bool host_flags)
{
	struct block_site s = { .off = (uint32_t)(l->a.p - l->start), .guest = l->guest }, *last;

	if (l->f.mem != IRFL_ALL && l->f.recipe.kind != FLAGS_MEMORY)
		s.flags = l->f.recipe;
	else if (l->f.mem != IRFL_ALL && host_flags && l->f.host == IRFL_ALL)
		s.flags.kind = FLAGS_HOST;
	else if (l->f.mem != IRFL_ALL && host_flags)
		flags_fault_point(l);
	s.off = (uint32_t)(l->a.p - l->start);
	last = l->sites ? &l->site[l->sites - 1] : NULL;
	if (last && last->guest == s.guest && !memcmp(&last->flags, &s.flags, sizeof(s.flags)))
		return;
	if (l->sites >= SITES_MAX)
		l->failed = true;
	else
		l->site[l->sites++] = s;
}

/* ---- before: last uses, flags needed after each op */
static void use_at(struct lower *l, uint16_t x, int i)
{
	if (is_temp(x))
		temp_of(l, x)->last = i;
}

static void prepare(struct lower *l)
{
	struct ir *b = l->b;
	uint8_t need = 0;

	for (unsigned t = 0; t < b->temps; t++)
		l->temp[t] = (struct temp){ .reg = HOST_NONE, .slot = NO_SLOT, .last = -1 };
	for (unsigned i = 0; i < b->n; i++) {
		const struct ir_op *o = &b->op[i];

		use_at(l, o->a, (int)i);
		use_at(l, o->b, (int)i);
		use_at(l, o->c, (int)i);
		use_at(l, o->d, (int)i);
	}
	for (unsigned i = b->n; i-- > 0;) {
		const struct ir_op *o = &b->op[i];

		l->need[i] = need;
		need = (need & ~ir_flags_killed(o)) | ir_flags_read(o) |
		       (ir_can_fault(o) ? IRFL_ALL : 0);
	}
	l->k->flags_in = need;
	l->f = (struct flags_state){ .mem = IRFL_ALL };
}

/* ---- ops */
static void lower_op(struct lower *l)
{
	const struct ir_op *o = l->o;

	if (o->code == IR_INSN) {
		l->guest = (uint16_t)o->imm;
		return;
	}
	if (!(ir_info[o->code].props & IRP_MEM && (o->code != IR_NATIVE || o->type)) &&
		!(ir_info[o->code].props & IRP_CALL))
		flags_before_write(l, ir_globals_written(o), false);
	if (o->code == IR_FENCE)
		as_bytes(&l->a, o->sub ? "\x0f\xae\xe8" : "\x0f\xae\xf0", 3);
	else if (o->code == IR_VEC_ENTER || o->code == IR_FPU_ENTER)
		lower_enter(l);
	else if (o->code == IR_CALL)
		lower_call(l);
	else if (o->code == IR_NATIVE && !o->type)
		lower_native(l);
	else if (!lower_alu(l) && !lower_shift(l) && !lower_memory(l))
		lower_exit(l);
}

static void lower_cold(struct lower *l)
{
	for (unsigned k = 0; k < l->colds; k++) {
		struct cold *c = &l->cold[k];

		l->f = c->flags;
		l->guest = c->guest;
		l->locked = 0;
		if (!l->a.full)
			as_patch(c->from, l->a.p);
		switch (c->kind) {
		case COLD_LOAD:
		case COLD_STORE: cold_access(l, c); break;
		case COLD_EXIT: cold_exit(l, c); break;
		case COLD_SHARE: cold_share(l, c); break;
		case COLD_ALIGN:
			site_add(l, false);
			as_call(&l->a, rw_of(l, l->vm->thunks.align));
			break;
		case COLD_ENTER:
			site_add(l, false);
			as_mov(&l->a, 4, H_R13, loc_imm(c->desc));
			as_call(&l->a, rw_of(l, c->thunk));
			as_jmp(&l->a, c->back);
			break;
		case COLD_ENTRY:
			site_add(l, false);
			as_call(&l->a, rw_of(l, l->vm->thunks.leave[LEAVE_ENTRY]));
			break;
		}
	}
}

static void emit(struct lower *l)
{
	for (unsigned n = 0; n < SCRATCH_COUNT; n++)
		l->owner[n] = IR_NONE;
	l->guest = (uint16_t)l->b->page_offset;
	prepare(l);
	share_plan(l);
	if (l->k->pa2 != (uint64_t)BLOCK_NO_PAGE)
		entry_check(l);
	if (l->b->n <= 2 && l->a.p == l->start) /* room for the call that a dropped block gets */
		as_bytes(&l->a, "\x0f\x1f\x44\x00\x00", 5);
	for (l->i = 0; l->i < l->b->n && !l->failed; l->i++) {
		l->o = &l->b->op[l->i];
		lower_op(l);
		end_op(l);
	}
	/* cold stubs need no temporaries but those in slots */
	for (unsigned n = 0; n < SCRATCH_COUNT; n++)
		l->owner[n] = IR_NONE;
	l->i = l->b->n;
	if (!l->failed)
		lower_cold(l);
}

struct block *lower_block(
	struct jit_vm *vm, struct ir *b, uint64_t pa, uint64_t pa2, bool *ret_full)
{
	struct arena *ar = &vm->arena;
	struct lower *l = vm->lower;
	struct block *k;
	size_t room;

	*ret_full = true;
	l->vm = vm;
	l->b = b;
	l->sites = l->colds = l->exits = 0;
	l->slots = 0;
	l->locked = 0;
	l->vec = l->fpu = 0;
	l->failed = false;
	l->linear = vm->isa->pc_is_linear(b->mode);
	k = l->k = blocks_alloc(vm, sizeof(*k));
	*k = (struct block){ .pa = pa,
		.pa2 = pa2,
		.mode = b->mode | (b->plain ? BLOCK_PLAIN : 0),
		.lo = (uint16_t)b->lo,
		.bytes = (uint16_t)(b->hi - b->lo),
		.insns = (uint16_t)b->insns };
	ar->used = (ar->used + 15) & ~(size_t)15;
	room = ar->used < ar->limit ? MIN(ar->limit - ar->used, BLOCK_ROOM) : 0;
	l->start = ar->rw + ar->used;
	l->a = (struct as_buf){ .p = l->start, .end = l->start + room };
	emit(l);
	*ret_full = l->a.full && room < BLOCK_ROOM;
	if (l->failed || l->a.full)
		return NULL;
	k->off = (uint32_t)ar->used;
	k->size = (uint32_t)(l->a.p - l->start);
	k->code = ar->rx + ar->used;
	k->sites = l->sites;
	k->site = blocks_alloc(vm, l->sites * sizeof(l->site[0]) + 1);
	memcpy(k->site, l->site, l->sites * sizeof(l->site[0]));
	k->exits = l->exits;
	k->exit = blocks_alloc(vm, l->exits * sizeof(l->exit[0]) + 1);
	memcpy(k->exit, l->exit, l->exits * sizeof(l->exit[0]));
	for (unsigned i = 0; i < k->exits; i++)
		k->exit[i].from = k;
	ar->used += k->size;
	return k;
}

struct lower *lower_new(void)
{
	return g_new0(struct lower, 1);
}
