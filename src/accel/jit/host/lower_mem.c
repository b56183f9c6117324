/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lower_mem.c: guest memory accesses.
 *
 * An access is: the address to r13, the check against the soft TLB (r14 slot, r15 tag, then
 * addend), and a body that does the access at [r13 + r15] or [r13]. What the check refuses goes to
 * a cold stub, which asks C for a host address. For a load, or a store to plain RAM, it goes on at
 * the body with that; other stores are done by a copy of the body in a bounce buffer, which C then
 * writes out.
 */
#include "accel/jit/host/lower.h"

#include "accel/jit/ir/native.h"

/* ---- addresses */
static struct loc part_reg(struct lower *l, struct loc v, unsigned into)
{
	if (v.kind == LOC_REG)
		return v;
	as_mov(&l->a, 8, into, v);
	return loc_reg(into);
}

void emit_address(struct lower *l, const struct ir_op *o, unsigned reg, bool keep_flags)
{
	bool has_a = o->a != IR_NONE, has_b = o->b != IR_NONE;
	unsigned size = o->mem & (IRM_A32 | IRM_A16) ? 4 : 8, scale = o->mem & IRM_SCALE;
	unsigned seg = (o->mem & IRM_SEG) >> IRM_SEG_SHIFT, t;
	struct loc a = { 0 }, b = { 0 };

	if (has_a) {
		a = value(l, o->a);
		if (a.kind == LOC_REG)
			lock_reg(l, a.reg);
	}
	if (has_b) {
		b = value(l, o->b);
		if (b.kind == LOC_REG)
			lock_reg(l, b.reg);
	}
	if (has_a && a.kind != LOC_REG)
		a = part_reg(l, a, has_b && b.kind == LOC_REG && b.reg == reg ? scratch(l) : reg);
	if (has_b && b.kind != LOC_REG)
		b = part_reg(l, b, has_a && a.reg == reg ? scratch(l) : reg);
	if (has_a && has_b)
		as_lea(&l->a, size, reg, loc_sib(a.reg, b.reg, scale, o->disp));
	else if (has_b)
		as_lea(&l->a, size, reg,
			scale ? loc_sib(NO_BASE, b.reg, scale, o->disp) : loc_mem(b.reg, o->disp));
	else if (has_a && o->disp)
		as_lea(&l->a, size, reg, loc_mem(a.reg, o->disp));
	else if (has_a) {
		if (a.reg != reg || size == 4)
			as_mov(&l->a, size, reg, a);
	} else {
		as_mov(&l->a, 8, reg, loc_imm(size == 4 ? (int64_t)(uint32_t)o->disp : o->disp));
	}
	if (o->mem & IRM_A16)
		as_movzx(&l->a, 2, reg, loc_reg(reg));
	if (seg) {
		struct loc base = loc_state((int32_t)l->vm->isa->seg_base[seg - 1]);

		if (keep_flags) {
			t = scratch(l);
			as_mov(&l->a, 8, t, base);
			as_lea(&l->a, 8, reg, loc_sib(reg, t, 0, 0));
		} else {
			as_alu(&l->a, ALU_ADD, 8, reg, base);
		}
	}
	if (o->mem & IRM_L32)
		as_mov(&l->a, 4, reg, loc_reg(reg));
}

/* ---- the check */
/* The op follows another that checked its address too: nothing but loads can come between. */
static struct cold *check_shared(struct lower *l)
{
	struct cold *c = &l->cold[COLD_MAX - 1]; /* never emitted: no slow path */
	const struct ir_op *o = l->o;

	flags_fault_point(l);
	spill_all(l);
	for (unsigned n = 0; n < SCRATCH_COUNT; n++)
		evict(l, n);
	site_add(l, true);
	l->f.host = 0;
	*c = (struct cold){
		.access = { .op = o, .at = share_at(l), .need = l->need[l->i], .flags = l->f }
	};
	if (o->c != IR_NONE)
		c->access.data = value(l, o->c);
	l->locked = 1;
	return c;
}

/* The first access of a share: the check covers all. r13 = lowest address. */
static void share_begin(struct lower *l, struct cold *c, struct share *s)
{
	struct block_exit *e = exit_new(l, l->guest);

	e->plain = true;
	c->exit = (unsigned)(e - l->exit);
	c->share = s;
	c->back = l->a.p;
	l->in_r13 = s;
	l->r13_only = true;
}

/* Address to r13, checked for `size` bytes; returns the cold stub, whose `back` is here. */
static struct cold *check(struct lower *l, enum jit_access a, unsigned size, bool rmw, bool fused)
{
	const struct ir_op *o = l->o;
	unsigned priv = o->flags & IRO_USER     ? 1 + JIT_PRIV_USER
			: o->flags & IRO_SYSTEM ? 1 + JIT_PRIV_SUPER
						: 0;
	struct cold *c, *align;
	int32_t tag = 8 * TLB_TAG(a), add = (int32_t)offsetof(struct tlb_line, add);
	struct share *s = share_get(l);
	struct ir_op lowest = *o;
	enum { SHIFT = 12 - TLB_LINE_BITS };

	_Static_assert(offsetof(struct jit_as, tlb) == 0, "short displacements");

	if (share_follows(l))
		return check_shared(l);
	c = cold_new(l, s ? COLD_SHARE : a == ACCESS_STORE ? COLD_STORE : COLD_LOAD);
	flags_fault_point(l);
	spill_all(l);
	share_clobber(l);
	lock_reg(l, H_R13);
	if (s)
		lowest.disp += s->lo;
	emit_address(l, &lowest, H_R13, false);
	drop_scratch(l);
	if (o->flags & IRO_ALIGN) {
		as_test(&l->a, 1, loc_reg(H_R13),
			loc_imm(o->code == IR_CMPXCHGB ? size - 1 : o->type - 1));
		align = cold_new(l, COLD_ALIGN);
		align->from = as_jcc(&l->a, 5, NULL);
		align->flags = l->f;
	}
	c->desc = SLOW_DESC(size, a, priv, rmw, o->flags & IRO_LOCK || o->code == IR_XCHG);
	c->flags = l->f;
	l->f.host = 0;
	if (s)
		share_begin(l, c, s);
	if (priv) { /* rare: always the slow way */
		c->from = as_jmp(&l->a, NULL);
	} else {
		if (l->vm->thunks.host.bmi2) {
			as_rorx(&l->a, 4, H_R14, loc_reg(H_R13), SHIFT);
		} else {
			as_mov(&l->a, 4, H_R14, loc_reg(H_R13));
			as_shift_imm(&l->a, 5, 4, loc_reg(H_R14), SHIFT);
		}
		as_alu(&l->a, ALU_AND, 4, H_R14, loc_imm((TLB_SIZE - 1) << TLB_LINE_BITS));
		as_mov(&l->a, 8, H_R15, loc_gs(H_R14, tag));
		as_alu(&l->a, ALU_XOR, 8, H_R15, loc_reg(H_R13));
		as_alu(&l->a, ALU_CMP, 8, H_R15, loc_imm(4096 - (s ? s->hi - s->lo : (int)size)));
		c->from = as_jcc(&l->a, 7, NULL);
		if (fused && !s)
			as_mov(&l->a, 8, H_R15, loc_gs(H_R14, add));
		else
			as_alu(&l->a, ALU_ADD, 8, H_R13, loc_gs(H_R14, add));
	}
	if (s)
		fused = false;
	else
		c->back = l->a.p;
	c->access = (struct access){ .op = o,
		.at = s       ? loc_mem(H_R13, -s->lo)
		      : fused ? loc_sib(H_R13, H_R15, 0, 0)
			      : loc_mem(H_R13, 0),
		.need = l->need[l->i] };
	if (o->c != IR_NONE)
		c->access.data = value(l, o->c);
	c->access.flags = l->f;
	/* what a body may still use */
	l->locked = fused ? 5 : 1;
	return c;
}

/* ---- bodies: emitted twice for stores, so they depend on nothing but *x */
void load_body(struct lower *l, struct access *x)
{
	const struct ir_op *o = x->op;

	if (o->code == IR_LDSX)
		as_movsx(&l->a, o->sub, o->type < IR_32 ? IR_32 : o->type, x->reg, x->at);
	else if (o->code == IR_LD && o->type < IR_32 && x->reg < SCRATCH_FIRST)
		as_mov(&l->a, o->type, x->reg, x->at); /* merges */
	else if (o->type == IR_64)
		as_mov(&l->a, 8, x->reg, x->at);
	else
		as_movzx(&l->a, o->type, x->reg, x->at);
}

void store_body(struct lower *l, struct access *x)
{
	struct loc data = x->data;

	if (data.kind == LOC_MEM ||
		(data.kind == LOC_IMM && x->op->type == 8 && data.imm != (int32_t)data.imm)) {
		as_mov(&l->a, 8, H_R14, data);
		data = loc_reg(H_R14);
	}
	as_mov_to(&l->a, x->op->type, x->at, data);
}

/* Operand c in a register or as an immediate; r14 is free. */
static struct loc data_operand(struct lower *l, struct access *x)
{
	struct loc data = x->data;

	if (data.kind == LOC_MEM || (data.kind == LOC_IMM && data.imm != (int32_t)data.imm)) {
		as_mov(&l->a, 8, H_R14, data);
		data = loc_reg(H_R14);
	}
	return data;
}

static void carry_from_memory(struct lower *l)
{
	as_modrm(&l->a, (struct enc){ .map = 1, .opcode = 0xba }, 4, LOC_HOT(arith));
	as_8(&l->a, 0);
}

static void xchg_rcx(struct lower *l, unsigned r)
{
	as_modrm(&l->a, (struct enc){ .w = true, .opcode = 0x87 }, r, loc_reg(H_RCX));
}

/* Shift of memory. By register: flags go to hot.arith, unless the count is 0. */
static void rmw_shift(struct lower *l, struct access *x)
{
	const struct ir_op *o = x->op;
	static const uint8_t digit[] = { [IR_SHL - IR_SHL] = 4,
		[IR_SHR - IR_SHL] = 5,
		[IR_SAR - IR_SHL] = 7,
		[IR_ROL - IR_SHL] = 0,
		[IR_ROR - IR_SHL] = 1,
		[IR_RCL - IR_SHL] = 2,
		[IR_RCR - IR_SHL] = 3 };
	unsigned d = digit[o->sub - IR_SHL], mask = o->type == 8 ? 63 : 31;
	bool carry = o->sub == IR_RCL || o->sub == IR_RCR, in_cl = o->c == 1;
	int32_t bits = (int32_t)flags_bits(o->fout);
	uint8_t *zero;

	if (o->c == IR_IMM) {
		if (carry)
			carry_from_memory(l);
		as_shift_imm(&l->a, d, o->type, x->at, o->imm & mask);
		return;
	}
	if (!in_cl) {
		as_mov(&l->a, 8, H_R14, x->data);
		xchg_rcx(l, H_R14);
	}
	as_test(&l->a, 1, loc_reg(H_RCX), loc_imm(mask));
	zero = as_jcc8(&l->a, 4);
	if (carry)
		carry_from_memory(l);
	as_shift_cl(&l->a, d, o->type, x->at);
	as_8(&l->a, 0x9c);
	as_pop(&l->a, H_R15);
	as_alu(&l->a, ALU_AND, 4, H_R15, loc_imm(bits));
	as_alu_to(&l->a, ALU_AND, 4, LOC_HOT(arith), loc_imm(~bits), false);
	as_alu_to(&l->a, ALU_OR, 4, LOC_HOT(arith), loc_reg(H_R15), false);
	as_here8(&l->a, zero);
	if (!in_cl)
		xchg_rcx(l, H_R14);
}

static void rmw_bit(struct lower *l, struct access *x)
{
	const struct ir_op *o = x->op;
	static const uint8_t opcodes[] = { 0xa3, 0xab, 0xb3, 0xbb };
	bool lock = o->flags & IRO_LOCK && o->sub != IR_BT;
	unsigned k = o->sub - IR_BT;

	if (o->c == IR_IMM) {
		as_0f(&l->a, 0xba, o->type, 4 + k, x->at, lock);
		as_8(&l->a, o->imm & (8 * o->type - 1));
	} else { /* a register would reach beyond the operand */
		as_mov(&l->a, 4, H_R14, x->data);
		as_alu(&l->a, ALU_AND, 4, H_R14, loc_imm(8 * o->type - 1));
		as_0f(&l->a, opcodes[k], o->type, H_R14, x->at, lock);
	}
}

static void rmw_body(struct lower *l, struct access *x)
{
	const struct ir_op *o = x->op;
	bool lock = o->flags & IRO_LOCK;

	switch (o->sub) {
	case IR_INC:
	case IR_DEC:
		if (x->need & IRFL_CF & ~o->fout)
			carry_from_memory(l);
		as_incdec(&l->a, o->sub == IR_DEC, o->type, x->at, lock);
		break;
	case IR_NEG: as_group3(&l->a, 3, o->type, x->at, lock); break;
	case IR_NOT: as_group3(&l->a, 2, o->type, x->at, lock); break;
	case IR_BT:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC: rmw_bit(l, x); break;
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROL:
	case IR_ROR:
	case IR_RCL:
	case IR_RCR: rmw_shift(l, x); break;
	default: {
		static const uint8_t alu[] = { ALU_ADD, ALU_ADC, ALU_SUB, ALU_SBB, ALU_AND, ALU_OR,
			ALU_XOR };
		struct loc data = data_operand(l, x);

		if (o->sub == IR_ADC || o->sub == IR_SBB)
			carry_from_memory(l);
		as_alu_to(&l->a, alu[o->sub - IR_ADD], o->type, x->at, data, lock);
		break;
	}
	}
}

static void atomic_body(struct lower *l, struct access *x)
{
	const struct ir_op *o = x->op;
	struct loc data;

	switch (o->code) {
	case IR_XCHG:
	case IR_XADD:
		as_mov(&l->a, 8, H_R14, x->data);
		if (o->code == IR_XCHG)
			as_modrm(&l->a,
				(struct enc){ .pp = o->type == 2,
					.w = o->type == 8,
					.opcode = o->type == 1 ? 0x86 : 0x87,
					.byte_reg = o->type == 1 },
				H_R14, x->at);
		else
			as_0f(&l->a, o->type == 1 ? 0xc0 : 0xc1, o->type, H_R14, x->at,
				o->flags & IRO_LOCK);
		break;
	case IR_CMPXCHG:
		data = x->data;
		if (data.kind != LOC_REG) {
			as_mov(&l->a, 8, H_R14, data);
			data = loc_reg(H_R14);
		}
		as_0f(&l->a, o->type == 1 ? 0xb0 : 0xb1, o->type, data.reg, x->at,
			o->flags & IRO_LOCK);
		break;
	default: /* CMPXCHGB; only ZF changes: bring the others */
		as_mov(&l->a, 4, H_R14, LOC_HOT(arith));
		as_alu(&l->a, ALU_AND, 4, H_R14, loc_imm((int32_t)flags_bits(IRFL_ALL)));
		as_push(&l->a, H_R14);
		as_8(&l->a, 0x9d);
		as_modrm(&l->a,
			(struct enc){ .map = 1,
				.opcode = 0xc7,
				.w = o->type == IR_64,
				.lock = o->flags & IRO_LOCK },
			1, x->at);
		break;
	}
}

static void body(struct lower *l, struct access *x)
{
	switch (x->op->code) {
	case IR_LD:
	case IR_LDZ:
	case IR_LDSX: load_body(l, x); break;
	case IR_ST: store_body(l, x); break;
	case IR_RMW: rmw_body(l, x); break;
	case IR_NATIVE: native_body(l, x); break;
	case IR_PROBE_W: break;
	default: atomic_body(l, x); break;
	}
}

/* ---- operations */
static void lower_load(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned size = o->code == IR_LDSX ? o->sub : o->type;
	bool own = !is_temp(o->d) && host_reg(o->d) != HOST_NONE;
	struct cold *c = check(l, ACCESS_LOAD, size, false, true);
	bool merge = o->type < IR_32 &&
		     (o->code == IR_LDSX || (o->code == IR_LD && !own && !is_temp(o->d)));

	c->access.reg = own && !(o->code == IR_LDSX && o->type < IR_32) ? host_reg(o->d) : H_R14;
	body(l, &c->access);
	l->locked = 7;
	if (c->access.reg == H_R14)
		finish(l, o->d, H_R14, merge ? o->type : 8);
}

static void lower_store(struct lower *l)
{
	struct cold *c = check(l, ACCESS_STORE, l->o->type, false, true);

	if (l->o->code == IR_PROBE_W) { /* nothing will be written */
		c->kind = COLD_LOAD;
		return;
	}
	body(l, &c->access);
	c->after = l->a.p;
}

static void lower_rmw(struct lower *l)
{
	const struct ir_op *o = l->o;
	bool shift = o->sub >= IR_SHL && o->sub <= IR_SHRD, counted = shift && o->c != IR_IMM;
	bool rot = shift && o->sub >= IR_ROL;
	bool reads = ir_flags_read(o) || counted || rot || o->sub == IR_INC || o->sub == IR_DEC ||
		     (o->fout && o->fout != IRFL_ALL);
	struct cold *c;
	uint8_t keeps = 0;

	if (reads) /* the body takes them from there, or leaves some there */
		flags_save(l, l->need[l->i] | ir_flags_read(o));
	else if (o->sub != IR_NOT || l->f.host)
		flags_clobber(l, o->fout, 0);
	if (shift && !counted && !(o->imm & (o->type == 8 ? 63 : 31))) {
		/* no change, but the store may fault */
		check(l, ACCESS_STORE, o->type, true, false)->after = l->a.p;
		return;
	}
	c = check(l, ACCESS_STORE, o->type, true, false);
	body(l, &c->access);
	c->after = l->a.p;
	if (o->sub == IR_NOT)
		return;
	if (counted) {
		uint8_t mem = l->f.mem | o->fout;

		flags_produced(l, o->fout, 0);
		l->f.host = 0;
		l->f.mem = mem;
		return;
	}
	if ((o->sub == IR_INC || o->sub == IR_DEC) && l->need[l->i] & IRFL_CF & ~o->fout) {
		keeps = IRFL_CF;
		l->f.host = IRFL_CF;
	}
	flags_produced(l, o->fout, keeps);
}

static void lower_atomic(struct lower *l)
{
	const struct ir_op *o = l->o;
	unsigned size = o->code == IR_CMPXCHGB ? 2 * o->type : o->type;
	bool some = o->code == IR_CMPXCHGB;
	struct cold *c;

	if (some)
		flags_save(l, IRFL_ALL);
	else
		flags_clobber(l, o->fout, 0);
	c = check(l, ACCESS_STORE, size, true, false);
	body(l, &c->access);
	c->after = l->a.p;
	if (o->code != IR_XCHG)
		flags_produced(l, some ? IRFL_ALL : o->fout, 0);
	l->locked = 7;
	if (ir_info[o->code].defs_d)
		finish(l, o->d, H_R14, o->type);
}

static void lower_native_mem(struct lower *l)
{
	const struct ir_op *o = l->o;
	struct native n = native_unpack(o->imm);
	bool store = o->flags & IRO_STORE;
	struct cold *c;

	if (o->fin)
		flags_save(l, IRFL_ALL);
	flags_clobber(l, o->fout, 0);
	site_add(l, true);
	c = check(l, store ? ACCESS_STORE : ACCESS_LOAD, o->type, store && o->flags & IRO_LOAD,
		false);
	c->access.reg = HOST_NONE;
	if (n.cls & NATIVE_REG_G)
		c->access.reg =
			host_reg(o->d < IR_TEMP0 ? o->d : 16) != HOST_NONE ? host_reg(o->d) : H_R14;
	if (n.cls & NATIVE_REG_G && n.cls & NATIVE_REG_R && c->access.reg == H_R14)
		c->access.data = value(l, o->d);
	if (n.cls & NATIVE_V_G) {
		bool own = o->c < IR_GLOBALS && host_reg(o->c) != HOST_NONE;

		c->access.vreg = own ? host_reg(o->c) : H_R15;
		c->access.vdata = value(l, o->c);
	}
	body(l, &c->access);
	if (store)
		c->after = l->a.p;
	if (o->fout)
		flags_produced(l, o->fout, 0);
	l->locked = 7;
	if (n.cls & NATIVE_REG_G && n.cls & NATIVE_REG_W && c->access.reg == H_R14)
		finish(l, o->d, H_R14, 8);
	if (n.cls & NATIVE_V_G && n.cls & NATIVE_V_W && c->access.vreg == H_R15)
		finish(l, o->c, H_R15, 8);
}

bool lower_memory(struct lower *l)
{
	const struct ir_op *o = l->o;
	uint32_t written = ir_globals_written(o);
	bool dies;
	unsigned stamp;

	if (!(ir_info[o->code].props & IRP_MEM) || (o->code == IR_NATIVE && !o->type))
		return false;
	if (share_lower(l))
		return true;
	dies = flags_before_write(l, written, true);
	flags_fault_point(l);
	stamp = l->recipe_stamp;
	switch (o->code) {
	case IR_LD:
	case IR_LDZ:
	case IR_LDSX:
		flags_clobber(l, 0, 0);
		lower_load(l);
		break;
	case IR_ST:
	case IR_PROBE_W:
		flags_clobber(l, 0, 0);
		lower_store(l);
		break;
	case IR_RMW: lower_rmw(l); break;
	case IR_NATIVE: lower_native_mem(l); break;
	default: lower_atomic(l); break;
	}
	if (dies && stamp == l->recipe_stamp)
		l->f.recipe.kind = FLAGS_MEMORY;
	return true;
}

/* ---- cold stubs */
/* Does this x87 instruction first take a pending exception? */
static bool x87_waits(const struct ir_op *o)
{
	struct native n = native_unpack(o->imm);
	unsigned digit = n.reg_rm & 7;

	if (o->code != IR_NATIVE || n.map || n.opcode < 0xd8 || n.opcode > 0xdf)
		return false;
	return !(n.opcode == 0xd9 && digit >= 6) && !(n.opcode == 0xdd && digit >= 6);
}

void cold_access(struct lower *l, struct cold *c)
{
	const void *slow = thunks_slow(l->vm, c->desc);

	if (!slow)
		g_error("translator: too many kinds of memory access");
	site_add(l, false);
	if (x87_waits(c->access.op))
		as_8(&l->a, 0x9b); /* a pending x87 exception comes before the operand's faults */
	/* a fused body uses r15 as well: the thunk leaves 0 in it */
	as_call(&l->a, rw_of(l, slow));
	if (c->kind == COLD_LOAD) {
		as_jmp(&l->a, c->back);
		return;
	}
	as_jcc(&l->a, 4, c->back);
	body(l, &c->access);
	as_call(&l->a, rw_of(l, l->vm->thunks.commit));
	as_jmp(&l->a, c->after);
}
