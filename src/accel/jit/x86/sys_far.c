/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_far.c: far jumps, calls and call gates. Spec: SDM vol. 3, 5.8; vol. 2, JMP, CALL.
 */
#include "accel/jit/x86/sys.h"

struct far {
	uint16_t sel;
	uint64_t off;
	unsigned size;	   /* operand size, bytes */
	uint64_t return_rip;
	bool call;
};

static bool gp(struct jit_vcpu *v, uint16_t sel)
{
	return x86_raise_error(v, X86_GP, sel & 0xfffc);
}

static uint64_t cut(uint64_t off, unsigned size)
{
	return size == 2 ? off & 0xffff : size == 4 ? off & 0xffffffff : off;
}

static bool far_real(struct jit_vcpu *v, const struct far *f)
{
	struct x86_cpu *c = v->arch;
	struct x86_stack s;

	if (f->off > c->seg[SEG_CS].limit && f->off > 0xffff)
		return x86_raise_error(v, X86_GP, 0);
	if (f->call) {
		x86_stack_current(v, &s);
		if (!x86_stack_push(&s, f->size, c->seg[SEG_CS].sel) ||
			!x86_stack_push(&s, f->size, f->return_rip))
			return false;
		x86_stack_commit(&s);
	}
	x86_segment_real(c, SEG_CS, f->sel);
	c->rip = f->off;
	x86_mode_update(v);
	return true;
}

/* Is `off` a place to go in this code segment? */
static bool code_offset_ok(struct jit_vcpu *v, const struct x86_segment *cs, uint64_t off)
{
	const struct x86_cpu *c = v->arch;

	if (x86_long(c) && cs->attr & SEG_ATTR_L)
		return x86_is_canonical(off) || x86_raise_error(v, X86_GP, 0);
	return (uint32_t)off <= cs->limit || x86_raise_error(v, X86_GP, 0);
}

/* A code segment reached directly: the privilege level stays. */
static bool far_code(struct jit_vcpu *v, const struct far *f, uint64_t desc)
{
	struct x86_cpu *c = v->arch;
	const unsigned cpl = x86_cpl(c), rpl = f->sel & 3;
	struct x86_segment cs;
	struct x86_stack s;

	if (desc_conforming(desc) ? desc_dpl(desc) > cpl : rpl > cpl || desc_dpl(desc) != cpl)
		return gp(v, f->sel);
	if (x86_long(c) && desc_l(desc) && desc_db(desc))
		return gp(v, f->sel);
	if (!desc_present(desc))
		return x86_raise_error(v, X86_NP, f->sel & 0xfffc);
	x86_segment_from_desc(&cs, (uint16_t)((f->sel & 0xfffc) | cpl), desc);
	if (f->call) {
		x86_stack_current(v, &s);
		if (!x86_stack_push(&s, f->size, c->seg[SEG_CS].sel) ||
			!x86_stack_push(&s, f->size, f->return_rip))
			return false;
	}
	if (!code_offset_ok(v, &cs, f->off) || !x86_desc_accessed(v, f->sel, &desc))
		return false;
	cs.attr |= 1;
	if (f->call)
		x86_stack_commit(&s);
	c->seg[SEG_CS] = cs;
	x86_set_rip(v, f->off);
	x86_mode_update(v);
	return true;
}

/* Parameters of a legacy call gate, from the old stack to the new. */
static bool copy_parameters(struct jit_vcpu *v, struct x86_stack *to, unsigned count, unsigned size)
{
	struct x86_stack from;
	uint64_t val[32];

	x86_stack_current(v, &from);
	for (unsigned i = 0; i < count; i++)
		if (!x86_stack_pop(&from, size, &val[i]))
			return false;
	while (count--)
		if (!x86_stack_push(to, size, val[count]))
			return false;
	return true;
}

static bool gate_stack(struct jit_vcpu *v, unsigned new_cpl, unsigned params, unsigned size,
	struct x86_stack *s)
{
	struct x86_cpu *c = v->arch;
	struct x86_segment ss;
	uint16_t sel;
	uint64_t sp;

	if (x86_long(c)) {
		if (!x86_tss_stack64(v, new_cpl, &sp))
			return false;
		x86_segment_null(&ss, (uint16_t)new_cpl, new_cpl);
		x86_stack_new(v, s, &ss, sp, new_cpl);
		s->flat = true;
		s->mask = ~(uint64_t)0;
	} else {
		if (!x86_tss_stack(v, new_cpl, &sel, &sp) ||
			!x86_desc_stack(v, sel, new_cpl, X86_TS, &ss))
			return false;
		x86_stack_new(v, s, &ss, sp, new_cpl);
	}
	return x86_stack_push(s, size, c->seg[SEG_SS].sel) &&
	       x86_stack_push(s, size, c->gpr[RSP]) && copy_parameters(v, s, params, size);
}

/* Through the gate to its code segment (SDM figure 5-10 to 5-13). */
static bool gate_enter(
	struct jit_vcpu *v, const struct far *f, uint64_t gate, uint64_t off, unsigned size)
{
	struct x86_cpu *c = v->arch;
	const uint16_t sel = (uint16_t)(gate >> 16);
	const unsigned cpl = x86_cpl(c);
	struct x86_segment cs;
	struct x86_stack s;
	uint64_t desc;
	bool inner;

	if (!(sel & 0xfffc))
		return x86_raise_error(v, X86_GP, 0);
	if (!x86_desc_load(v, sel, X86_GP, &desc))
		return false;
	if (!desc_code(desc) || desc_dpl(desc) > cpl ||
		(!f->call && !desc_conforming(desc) && desc_dpl(desc) != cpl) ||
		(x86_long(c) && (!desc_l(desc) || desc_db(desc))))
		return gp(v, sel);
	if (!desc_present(desc))
		return x86_raise_error(v, X86_NP, sel & 0xfffc);
	inner = f->call && !desc_conforming(desc) && desc_dpl(desc) < cpl;
	x86_segment_from_desc(
		&cs, (uint16_t)((sel & 0xfffc) | (inner ? desc_dpl(desc) : cpl)), desc);
	if (!code_offset_ok(v, &cs, off) || !x86_desc_accessed(v, sel, &desc))
		return false;
	cs.attr |= 1;
	if (f->call) {
		if (inner &&
			!gate_stack(v, desc_dpl(desc), x86_long(c) ? 0 : gate >> 32 & 31, size, &s))
			return false;
		if (!inner)
			x86_stack_current(v, &s);
		if (!x86_stack_push(&s, size, c->seg[SEG_CS].sel) ||
			!x86_stack_push(&s, size, f->return_rip))
			return false;
		if (inner)
			c->seg[SEG_SS] = s.ss;
		x86_stack_commit(&s);
	}
	c->seg[SEG_CS] = cs;
	x86_set_rip(v, off);
	x86_mode_update(v);
	return true;
}

static bool far_gate(struct jit_vcpu *v, const struct far *f, uint64_t gate)
{
	const struct x86_cpu *c = v->arch;
	const unsigned type = desc_type(gate);
	const unsigned size = x86_long(c) ? 8 : type == DESC_CALL16 ? 2 : 4;
	uint64_t high, off = (gate & 0xffff) | (type == DESC_CALL ? gate >> 32 & 0xffff0000 : 0);

	if (x86_cpl(c) > desc_dpl(gate) || (f->sel & 3u) > desc_dpl(gate))
		return gp(v, f->sel);
	if (!desc_present(gate))
		return x86_raise_error(v, X86_NP, f->sel & 0xfffc);
	if (x86_long(c)) {
		if (!x86_desc_load_high(v, f->sel, X86_GP, &high))
			return false;
		off |= high << 32;
	}
	return gate_enter(v, f, gate, off, size);
}

static bool far_task(struct jit_vcpu *v, const struct far *f, uint64_t desc)
{
	uint16_t sel = f->sel;

	if (x86_cpl(v->arch) > desc_dpl(desc) || (sel & 3u) > desc_dpl(desc))
		return gp(v, sel);
	if (!desc_present(desc))
		return x86_raise_error(v, X86_NP, sel & 0xfffc);
	if (desc_type(desc) == DESC_TASK) {
		sel = (uint16_t)(desc >> 16);
		if (sel & 4 || !(sel & 0xfffc))
			return gp(v, sel);
		if (!x86_desc_load(v, sel, X86_GP, &desc))
			return false;
		if (desc_s(desc) || (desc_type(desc) != DESC_TSS && desc_type(desc) != DESC_TSS16))
			return gp(v, sel);
		if (!desc_present(desc))
			return x86_raise_error(v, X86_NP, sel & 0xfffc);
	} else if (sel & 4) {
		return gp(v, sel);
	}
	return x86_task_switch(v, sel, desc, f->call ? X86_TASK_CALL : X86_TASK_JMP, f->return_rip,
		x86_rflags(v), false, 0);
}

static bool far_go(struct jit_vcpu *v, uint64_t sel, uint64_t off, uint64_t opsize_next, bool call)
{
	const struct x86_cpu *c = v->arch;
	struct far f = { .sel = (uint16_t)sel, .size = opsize_next & 0xff, .call = call,
		.return_rip = x86_next_rip(v, opsize_next >> 8 & 0xff) };
	uint64_t desc;

	f.off = cut(off, f.size);
	if (!x86_descriptors(c))
		return far_real(v, &f);
	if (!(sel & 0xfffc))
		return x86_raise_error(v, X86_GP, 0);
	if (!x86_desc_load(v, f.sel, X86_GP, &desc))
		return false;
	if (desc_s(desc))
		return desc_code(desc) ? far_code(v, &f, desc) : gp(v, f.sel);
	switch (desc_type(desc)) {
	case DESC_CALL:
		return far_gate(v, &f, desc);
	case DESC_CALL16:
		return x86_long(c) ? gp(v, f.sel) : far_gate(v, &f, desc);
	case DESC_TASK:
	case DESC_TSS:
	case DESC_TSS16:
		return x86_long(c) ? gp(v, f.sel) : far_task(v, &f, desc);
	default:
		return gp(v, f.sel);
	}
}

bool x86_h_far_jmp(struct jit_vcpu *v, uint64_t sel, uint64_t off, uint64_t opsize_next)
{
	return far_go(v, sel, off, opsize_next, false);
}

bool x86_h_far_call(struct jit_vcpu *v, uint64_t sel, uint64_t off, uint64_t opsize_next)
{
	return far_go(v, sel, off, opsize_next, true);
}
