/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift_operand.c: registers, memory operands and helper calls of lifted instructions. */
#include "accel/jit/x86/lift.h"

struct ir_op *x86_op(
	struct x86_lift *l, enum ir_code code, unsigned type, uint16_t d, uint16_t a, uint16_t b)
{
	struct ir_op *o = ir_emit(l->b, code, (enum ir_type)type);

	o->d = d;
	o->a = a;
	o->b = b;
	return o;
}

struct ir_op *x86_op_imm(
	struct x86_lift *l, enum ir_code code, unsigned type, uint16_t d, uint16_t a, int64_t imm)
{
	struct ir_op *o = x86_op(l, code, type, d, a, IR_IMM);

	o->imm = imm;
	return o;
}

uint16_t x86_mov(struct x86_lift *l, uint16_t v)
{
	uint16_t t = ir_temp(l->b);

	x86_op(l, IR_MOV, IR_64, t, v, IR_NONE);
	return t;
}

uint16_t x86_const(struct x86_lift *l, int64_t v)
{
	uint16_t t = ir_temp(l->b);

	x86_op(l, IR_MOVI, IR_64, t, IR_NONE, IR_NONE)->imm = v;
	return t;
}

uint16_t x86_pc(struct x86_lift *l, int32_t off)
{
	uint16_t t = ir_temp(l->b);

	x86_op(l, IR_PC, IR_64, t, IR_NONE, IR_NONE)->imm = off;
	return t;
}

uint16_t x86_load_state(struct x86_lift *l, int offset, unsigned size)
{
	uint16_t t = ir_temp(l->b);

	x86_op(l, IR_LDS, size, t, IR_NONE, IR_NONE)->imm = offset;
	return t;
}

void x86_store_state(struct x86_lift *l, int offset, unsigned size, uint16_t v)
{
	x86_op(l, IR_STS, size, IR_NONE, v, IR_NONE)->imm = offset;
}

uint16_t x86_reg(struct x86_lift *l, unsigned n, unsigned size)
{
	uint16_t t;

	if (!x86_is_high(l, n, size))
		return (uint16_t)n;
	t = ir_temp(l->b);
	x86_op(l, IR_GETHI, IR_64, t, (uint16_t)(n & 3), IR_NONE);
	return t;
}

void x86_set_reg(struct x86_lift *l, unsigned n, unsigned size, uint16_t v)
{
	if (x86_is_high(l, n, size))
		x86_op(l, IR_SETHI, IR_64, (uint16_t)(n & 3), v, IR_NONE);
	else
		x86_op(l, IR_MOV, size, (uint16_t)n, v, IR_NONE);
}

/* --- memory --- */

struct x86_mem x86_offset(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	struct x86_mem m = {
		.a = in->base == X86_NO_REG ? IR_NONE : in->base,
		.b = in->index == X86_NO_REG ? IR_NONE : in->index,
		.mem = in->scale,
		.disp = in->disp,
	};

	if (in->rip) {
		m.a = ir_temp(l->b);
		x86_op(l, IR_PC, IR_64, m.a, IR_NONE, IR_NONE)->imm = (int64_t)l->next + in->disp;
		m.disp = 0;
	}
	m.mem |= x86_asize_bits(l, in->asize);
	return m;
}

static void set_mem(struct ir_op *o, struct x86_mem m)
{
	o->a = m.a;
	o->b = m.b;
	o->mem = m.mem;
	o->disp = m.disp;
}

static bool needs_check(const struct x86_lift *l, unsigned seg, bool write)
{
	if (l->mode & X86_MODE_AC)
		return true;
	if (l->x64)
		return false;
	switch (seg) {
	case SEG_CS: return write || !(l->mode & X86_MODE_FLAT_CODE);
	case SEG_FS: return !(l->mode & X86_MODE_FLAT_FS);
	case SEG_GS: return !(l->mode & X86_MODE_FLAT_GS);
	default: return !(l->mode & X86_MODE_FLAT_DATA);
	}
}

struct x86_mem x86_mem_seg(
	struct x86_lift *l, struct x86_mem m, unsigned seg, unsigned size, bool write)
{
	if (needs_check(l, seg, write)) {
		uint16_t off = ir_temp(l->b);

		set_mem(x86_op(l, IR_LEA, IR_64, off, IR_NONE, IR_NONE), m);
		return (struct x86_mem){
			.a = X86_CALL_RET(l, x86_h_seg_check, off,
				x86_const(l, seg | (write ? 8 : 0) | size << 8), IR_NONE),
			.b = IR_NONE,
		};
	}
	if (seg == SEG_FS || seg == SEG_GS)
		m.mem |= (uint8_t)((seg + 1) << IRM_SEG_SHIFT | (l->x64 ? 0 : IRM_L32));
	return m;
}

struct x86_mem x86_mem(struct x86_lift *l, unsigned size, bool write)
{
	return x86_mem_seg(l, x86_offset(l), l->in.mem_seg, size, write);
}

uint16_t x86_linear(struct x86_lift *l, unsigned size, bool write)
{
	struct x86_mem m = x86_mem(l, size, write);
	uint16_t t = ir_temp(l->b);

	set_mem(x86_op(l, IR_LEA, IR_64, t, IR_NONE, IR_NONE), m);
	return t;
}

struct ir_op *x86_mem_op(struct x86_lift *l, enum ir_code code, unsigned type, struct x86_mem m)
{
	struct ir_op *o = ir_emit(l->b, code, (enum ir_type)type);

	set_mem(o, m);
	return o;
}

uint16_t x86_load(struct x86_lift *l, unsigned size, struct x86_mem m)
{
	uint16_t t = ir_temp(l->b);

	x86_mem_op(l, IR_LDZ, size, m)->d = t;
	return t;
}

void x86_store(struct x86_lift *l, unsigned size, struct x86_mem m, uint16_t v)
{
	x86_mem_op(l, IR_ST, size, m)->c = v;
}

uint16_t x86_rm(struct x86_lift *l, unsigned size)
{
	if (!l->in.is_mem)
		return x86_reg(l, l->in.rm, size);
	return x86_load(l, size, x86_mem(l, size, false));
}

void x86_set_rm(struct x86_lift *l, unsigned size, uint16_t v)
{
	if (l->in.is_mem)
		x86_store(l, size, x86_mem(l, size, true), v);
	else
		x86_set_reg(l, l->in.rm, size, v);
}

static bool is_light(int64_t fn)
{
#define ADDRESS(name) (int64_t)(uintptr_t)(name),
	const int64_t light[] = { X86_LIGHT_HELPERS(ADDRESS) };
#undef ADDRESS

	for (size_t i = 0; i < sizeof(light) / sizeof(light[0]); i++)
		if (light[i] == fn)
			return true;
	return false;
}

uint16_t x86_call(struct x86_lift *l, int64_t fn, bool ret, uint16_t a, uint16_t b, uint16_t c)
{
	uint16_t d = ret ? ir_temp(l->b) : IR_NONE;
	struct ir_op *o = x86_op(l, IR_CALL, IR_64, d, a, b);

	o->c = c;
	o->imm = fn;
	if (is_light(fn))
		o->flags |= IRO_LIGHT;
	else /* it may take vector and x87 registers out of the host's */
		l->vec_entered[0] = l->vec_entered[1] = l->fpu_entered[0] = l->fpu_entered[1] =
			false;
	return d;
}
