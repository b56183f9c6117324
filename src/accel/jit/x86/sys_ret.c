/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_ret.c: far returns and IRET. Spec: SDM vol. 2, RET, IRET/IRETD/IRETQ; vol.
 * 3, 5.8.6, 6.14.3, 20.2. */
#include <string.h>

#include "accel/jit/x86/sys.h"

struct ret {
	uint64_t ip, cs, flags, sp, ss;
	unsigned size;	/* operand size, bytes */
	unsigned pop;	/* RET n */
	bool iret;
	uint64_t cs_desc;
};

static bool gp(struct jit_vcpu *v, uint64_t sel)
{
	return x86_raise_error(v, X86_GP, sel & 0xfffc);
}

/* Flags IRET and POPF may change at this CPL and operand size. */
static uint64_t writable_flags(const struct x86_cpu *c, unsigned cpl, unsigned size)
{
	uint64_t m = X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT;

	if (size > 2)
		m |= X86_FL_RF | X86_FL_AC | X86_FL_ID;
	if (cpl <= x86_iopl(c))
		m |= X86_FL_IF;
	if (cpl == 0)
		m |= X86_FL_IOPL | (size > 2 ? X86_FL_VIF | X86_FL_VIP : 0);
	return m;
}

static void iret_flags(struct jit_vcpu *v, uint64_t image, uint64_t mask)
{
	struct x86_cpu *c = v->arch;
	uint64_t fl = (x86_rflags(v) & ~mask) | (image & mask) | 2;

	/* RF lasts for one instruction, and only breakpoints look at it. */
	if (!x86_debug_armed(c))
		fl &= ~(uint64_t)X86_FL_RF;
	c->rflags = fl;
	v->hot->arith = fl & X86_FL_ARITH;
	if (x86_code64(c))
		x86_mode_update_64(v, x86_cpl(c));
	else
		x86_mode_update(v);
	if (c->nmi_pending)
		jit_request_exit(v->hot);
	else if (fl & X86_FL_IF)
		x86_check_events(v);
}

/* ---- real-address mode and virtual-8086 mode */

static bool ret_real(struct jit_vcpu *v, struct ret *r)
{
	struct x86_cpu *c = v->arch;
	struct x86_stack s;
	uint64_t mask;

	if (r->iret && x86_vm86(c) && x86_iopl(c) < 3 && !(c->cr4 & X86_CR4_VME && r->size == 2))
		return x86_raise_error(v, X86_GP, 0);
	x86_stack_current(v, &s);
	if (!x86_stack_pop(&s, r->size, &r->ip) || !x86_stack_pop(&s, r->size, &r->cs))
		return false;
	if (r->iret && !x86_stack_pop(&s, r->size, &r->flags))
		return false;
	if (r->ip > 0xffff && r->ip > c->seg[SEG_CS].limit)
		return x86_raise_error(v, X86_GP, 0);
	mask = writable_flags(c, x86_vm86(c) ? 3 : 0, r->size);
	if (r->iret && x86_vm86(c) && x86_iopl(c) < 3) { /* VME: IF stands for VIF */
		if (r->flags & X86_FL_TF || (r->flags & X86_FL_IF && c->rflags & X86_FL_VIP))
			return x86_raise_error(v, X86_GP, 0);
		mask = (mask & ~(uint64_t)X86_FL_IF) | X86_FL_VIF;
		r->flags = (r->flags & 0xffff) | (r->flags & X86_FL_IF ? X86_FL_VIF : 0);
	}
	s.sp += r->pop;
	x86_stack_commit(&s);
	x86_segment_real(c, SEG_CS, (uint16_t)r->cs);
	c->rip = r->ip;
	if (r->iret)
		iret_flags(v, r->flags, mask);
	else
		x86_mode_update(v);
	return true;
}

/* ---- protected and long mode */

static bool check_code(struct jit_vcpu *v, struct ret *r)
{
	const struct x86_cpu *c = v->arch;
	const unsigned rpl = r->cs & 3;
	struct x86_segment cs;
	uint64_t d;

	if (!(r->cs & 0xfffc))
		return x86_raise_error(v, X86_GP, 0);
	if (!x86_desc_load(v, (uint16_t)r->cs, X86_GP, &d))
		return false;
	if (!desc_code(d) || rpl < x86_cpl(c) ||
		(desc_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl) ||
		(x86_long(c) && desc_l(d) && desc_db(d)))
		return gp(v, r->cs);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, r->cs & 0xfffc);
	if (x86_long(c) && desc_l(d)) {
		if (!x86_is_canonical(r->ip))
			return x86_raise_error(v, X86_GP, 0);
	} else {
		x86_segment_from_desc(&cs, 0, d);
		if (r->ip > cs.limit)
			return x86_raise_error(v, X86_GP, 0);
	}
	r->cs_desc = d;
	return x86_desc_accessed(v, (uint16_t)r->cs, &r->cs_desc);
}

static bool check_stack(struct jit_vcpu *v, const struct ret *r, struct x86_segment *ss)
{
	const unsigned cpl = r->cs & 3;

	if (!(r->ss & 0xfffc)) {
		if (!x86_long(v->arch) || !desc_l(r->cs_desc) || cpl == 3 || (r->ss & 3) != cpl)
			return x86_raise_error(v, X86_GP, 0);
		x86_segment_null(ss, (uint16_t)r->ss, cpl);
		return true;
	}
	return x86_desc_stack(v, (uint16_t)r->ss, cpl, X86_GP, ss);
}

static void set_outer_stack(struct x86_cpu *c, const struct ret *r, const struct x86_segment *ss)
{
	const uint64_t sp = r->sp + (r->iret ? 0 : r->pop);

	c->seg[SEG_SS] = *ss;
	if (x86_long(c) && desc_l(r->cs_desc))
		c->gpr[RSP] = sp;
	else if (ss->attr & SEG_ATTR_DB)
		c->gpr[RSP] = (uint32_t)sp;
	else /* the upper half stays the inner ring's */
		c->gpr[RSP] = (c->gpr[RSP] & 0xffff0000) | (sp & 0xffff);
}

static bool ret_protected(struct jit_vcpu *v, struct ret *r, struct x86_stack *s)
{
	struct x86_cpu *c = v->arch;
	const unsigned cpl = x86_cpl(c), rpl = r->cs & 3;
	const uint64_t flags_mask = writable_flags(c, cpl, r->size);
	const bool outer = rpl != cpl || (r->iret && x86_code64(c));
	struct x86_segment ss;

	if (!check_code(v, r))
		return false;
	s->sp = (s->sp & ~s->mask) | ((s->sp + r->pop) & s->mask);
	if (outer) {
		if (!x86_stack_pop(s, r->size, &r->sp) || !x86_stack_pop(s, r->size, &r->ss) ||
			!check_stack(v, r, &ss))
			return false;
		set_outer_stack(c, r, &ss);
	} else {
		x86_stack_commit(s);
	}
	x86_segment_from_desc(&c->seg[SEG_CS], (uint16_t)r->cs, r->cs_desc);
	if (rpl != cpl)
		x86_segments_demote(c, rpl);
	x86_set_rip(v, r->ip);
	if (r->iret)
		iret_flags(v, r->flags, flags_mask);
	else
		x86_mode_update(v);
	return true;
}

/* IRETD at CPL 0 with VM set in the image. */
static bool ret_to_vm86(struct jit_vcpu *v, struct ret *r, struct x86_stack *s)
{
	static const uint8_t order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct x86_cpu *c = v->arch;
	uint64_t sel[4];

	if (!x86_stack_pop(s, 4, &r->sp) || !x86_stack_pop(s, 4, &r->ss))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (!x86_stack_pop(s, 4, &sel[i]))
			return false;
	c->rflags |= X86_FL_VM;
	for (unsigned i = 0; i < 4; i++)
		x86_segment_real(c, order[i], (uint16_t)sel[i]);
	x86_segment_real(c, SEG_CS, (uint16_t)r->cs);
	x86_segment_real(c, SEG_SS, (uint16_t)r->ss);
	c->gpr[RSP] = (uint32_t)r->sp;
	c->rip = r->ip & 0xffff;
	iret_flags(v, r->flags, 0x3f7fd7);
	return true;
}

/* IRET with NT: back to the task in the back link. */
static bool ret_task(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	uint64_t link, d;

	if (!jit_load(v, c->tr.base, 2, JIT_MEM_SYSTEM, &link))
		return false;
	if (link & 4 || !(link & 0xfffc))
		return x86_raise_error(v, X86_TS, link & 0xfffc);
	if (!x86_desc_load(v, (uint16_t)link, X86_TS, &d))
		return false;
	if (desc_s(d) || (desc_type(d) != DESC_TSS_BUSY && desc_type(d) != DESC_TSS16_BUSY))
		return x86_raise_error(v, X86_TS, link & 0xfffc);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, link & 0xfffc);
	return x86_task_switch(
		v, (uint16_t)link, d, X86_TASK_IRET, c->rip, x86_rflags(v), false, 0);
}

/* IRETQ between 64-bit segments: the whole frame at once. */
static bool iretq(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const unsigned cpl = x86_cpl(c);
	const uint64_t mask = writable_flags(c, cpl, 8);
	struct ret r = { .size = 8, .iret = true };
	struct x86_segment ss;
	uint64_t frame[5];

	if (!x86_is_canonical(c->gpr[RSP]) || !x86_is_canonical(c->gpr[RSP] + 39))
		return x86_raise_error(v, X86_SS, 0);
	if (!jit_load_bytes(v, c->gpr[RSP], frame, sizeof(frame), JIT_MEM_CPL))
		return false;
	r.ip = frame[0];
	r.cs = frame[1] & 0xffff;
	r.flags = frame[2];
	r.sp = frame[3];
	r.ss = frame[4] & 0xffff;
	if (!check_code(v, &r) || !check_stack(v, &r, &ss))
		return false;
	set_outer_stack(c, &r, &ss);
	x86_segment_from_desc(&c->seg[SEG_CS], (uint16_t)r.cs, r.cs_desc);
	if ((r.cs & 3) != cpl)
		x86_segments_demote(c, r.cs & 3);
	x86_set_rip(v, r.ip);
	iret_flags(v, r.flags, mask);
	return true;
}

bool x86_h_iret(struct jit_vcpu *v, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	struct ret r = { .size = (unsigned)opsize, .iret = true };
	struct x86_stack s;

	c->nmi_masked = 0;
	if (!x86_descriptors(c))
		return ret_real(v, &r);
	if (c->rflags & X86_FL_NT)
		return x86_long(c) ? x86_raise_error(v, X86_GP, 0) : ret_task(v);
	if (opsize == 8)
		return iretq(v);
	x86_stack_current(v, &s);
	if (!x86_stack_pop(&s, r.size, &r.ip) || !x86_stack_pop(&s, r.size, &r.cs) ||
		!x86_stack_pop(&s, r.size, &r.flags))
		return false;
	r.cs &= 0xffff;
	if (r.flags & X86_FL_VM && r.size == 4 && x86_cpl(c) == 0 && !x86_long(c))
		return ret_to_vm86(v, &r, &s);
	return ret_protected(v, &r, &s);
}

bool x86_h_far_ret(struct jit_vcpu *v, uint64_t opsize, uint64_t pop)
{
	struct ret r = { .size = (unsigned)opsize, .pop = (unsigned)pop };
	struct x86_stack s;

	if (!x86_descriptors(v->arch))
		return ret_real(v, &r);
	x86_stack_current(v, &s);
	if (!x86_stack_pop(&s, r.size, &r.ip) || !x86_stack_pop(&s, r.size, &r.cs))
		return false;
	r.cs &= 0xffff;
	return ret_protected(v, &r, &s);
}

/* ---- PUSHF, POPF (SDM vol. 2; 20.3.1 for virtual-8086 mode) */

bool x86_h_pushf(struct jit_vcpu *v, uint64_t opsize)
{
	const struct x86_cpu *c = v->arch;
	uint64_t fl = x86_rflags(v) & ~(uint64_t)(X86_FL_VM | X86_FL_RF);

	if (x86_vm86(c) && x86_iopl(c) < 3) {
		if (!(c->cr4 & X86_CR4_VME) || opsize != 2)
			return x86_raise_error(v, X86_GP, 0);
		fl = (fl & ~(uint64_t)X86_FL_IF) | X86_FL_IOPL |
		     (c->rflags & X86_FL_VIF ? X86_FL_IF : 0);
	}
	v->hot->ret = fl;
	return true;
}

bool x86_h_popf(struct jit_vcpu *v, uint64_t val, uint64_t opsize)
{
	const struct x86_cpu *c = v->arch;
	uint64_t mask = writable_flags(c, x86_cpl(c), (unsigned)opsize) &
			~(uint64_t)(X86_FL_VIF | X86_FL_VIP);

	if (x86_vm86(c) && x86_iopl(c) < 3) {
		if (!(c->cr4 & X86_CR4_VME) || opsize != 2 || val & X86_FL_TF ||
			(val & X86_FL_IF && c->rflags & X86_FL_VIP))
			return x86_raise_error(v, X86_GP, 0);
		mask = (mask & ~(uint64_t)X86_FL_IF) | X86_FL_VIF;
		val = (val & 0xffff) | (val & X86_FL_IF ? X86_FL_VIF : 0);
	}
	mask &= ~(uint64_t)X86_FL_RF;
	val &= ~(uint64_t)X86_FL_RF; /* POPF clears RF */
	x86_set_rflags(v, (x86_rflags(v) & ~mask & ~(uint64_t)X86_FL_RF) | (val & mask) | 2);
	return true;
}
