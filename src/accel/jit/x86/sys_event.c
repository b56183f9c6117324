/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_event.c: exceptions, interrupts and INT n: from a vector to the first instruction of its
 * handler. Spec: SDM vol. 3, chapter 6 (6.12 protected mode, 6.14 64-bit mode, 6.15 double and
 * triple faults), 20.1.4 (real-address mode); vol. 2, INT n.
 */
#include <string.h>

#include "accel/jit/x86/sys.h"

bool x86_raise(struct jit_vcpu *v, unsigned vector)
{
	struct x86_cpu *c = v->arch;

	c->exception_pending = 1;
	c->exception_vector = (uint8_t)vector;
	c->exception_has_error = 0;
	c->exception_error = 0;
	return false;
}

bool x86_raise_error(struct jit_vcpu *v, unsigned vector, uint32_t error)
{
	struct x86_cpu *c = v->arch;

	x86_raise(v, vector);
	c->exception_has_error = 1;
	c->exception_error = error;
	return false;
}

struct event {
	unsigned vector;
	enum x86_event kind;
	bool has_error;
	uint32_t error;
	uint64_t return_rip;
	uint64_t flags; /* image to push */
};

/* Flags a handler starts with. */
static void handler_flags(struct jit_vcpu *v, bool clear_if)
{
	struct x86_cpu *c = v->arch;
	uint64_t fl = x86_rflags(v) & ~(uint64_t)(X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM);

	if (clear_if)
		fl &= ~(uint64_t)X86_FL_IF;
	c->rflags = fl;
}

static void set_code(struct x86_cpu *c, uint16_t sel, uint64_t desc, unsigned cpl)
{
	x86_segment_from_desc(&c->seg[SEG_CS], (uint16_t)((sel & 0xfffc) | cpl), desc);
}

/* ---- real-address mode, and virtual-8086 mode with VME */

bool x86_enter_real(struct jit_vcpu *v, unsigned vector, uint64_t return_rip, uint64_t flags)
{
	struct x86_cpu *c = v->arch;
	const uint64_t table = x86_vm86(c) ? 0 : c->idtr.base;
	struct x86_stack s;
	uint64_t entry;

	if (!x86_vm86(c) && vector * 4 + 3 > c->idtr.limit)
		return x86_raise_error(v, X86_GP, vector * 8 + 2);
	if (!jit_load(v, table + vector * 4, 4, JIT_MEM_CPL, &entry))
		return false;
	x86_stack_current(v, &s);
	if (!x86_stack_push(&s, 2, flags & 0xffff) || !x86_stack_push(&s, 2, c->seg[SEG_CS].sel) ||
		!x86_stack_push(&s, 2, return_rip & 0xffff))
		return false;
	x86_stack_commit(&s);
	x86_segment_real(c, SEG_CS, (uint16_t)(entry >> 16));
	c->rip = entry & 0xffff;
	return true;
}

static bool enter_real(struct jit_vcpu *v, const struct event *e)
{
	struct x86_cpu *c = v->arch;

	if (!x86_enter_real(v, e->vector, e->return_rip, e->flags))
		return false;
	c->rflags = x86_rflags(v) & ~(uint64_t)(X86_FL_TF | X86_FL_IF | X86_FL_AC | X86_FL_RF);
	x86_mode_update(v);
	return true;
}

/* ---- checks common to all gates */

static bool software(enum x86_event k)
{
	return k == X86_EVENT_INT || k == X86_EVENT_INT3;
}

/* The handler's code segment. */
static bool target_code(struct jit_vcpu *v, uint16_t sel, unsigned *ret_cpl, uint64_t *ret_desc)
{
	struct x86_cpu *c = v->arch;
	const unsigned cpl = x86_cpl(c), ext = x86_private(v)->ext;
	uint64_t d;

	if (!(sel & 0xfffc))
		return x86_raise_error(v, X86_GP, ext);
	if (!x86_desc_load(v, sel, X86_GP, &d))
		return false;
	if (!desc_code(d) || desc_dpl(d) > cpl)
		return x86_raise_error(v, X86_GP, (sel & 0xfffc) | ext);
	if (x86_long(c) && (!desc_l(d) || desc_db(d)))
		return x86_raise_error(v, X86_GP, (sel & 0xfffc) | ext);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, (sel & 0xfffc) | ext);
	*ret_cpl = desc_conforming(d) ? cpl : desc_dpl(d);
	if (x86_vm86(c) && *ret_cpl != 0)
		return x86_raise_error(v, X86_GP, (sel & 0xfffc) | ext);
	*ret_desc = d;
	return true;
}

/* ---- 64-bit mode (6.14) */

static bool long_stack(struct jit_vcpu *v, unsigned ist, unsigned new_cpl, uint64_t *rsp)
{
	struct x86_cpu *c = v->arch;

	*rsp = c->gpr[RSP];
	if (ist) {
		if (!x86_tss_stack64(v, 3 + ist, rsp))
			return false;
	} else if (new_cpl != x86_cpl(c)) {
		if (!x86_tss_stack64(v, new_cpl, rsp))
			return false;
	}
	*rsp &= ~(uint64_t)15;
	return true;
}

static bool enter_long(struct jit_vcpu *v, const struct event *e)
{
	struct x86_cpu *c = v->arch;
	const unsigned cpl = x86_cpl(c), ext = x86_private(v)->ext;
	const uint32_t idt_error = (e->vector * 8 + 2) | ext;
	uint64_t gate[2], desc, rip, rsp, frame[6];
	unsigned new_cpl = 0, type, n = e->has_error ? 6 : 5;

	if (e->vector * 16 + 15 > c->idtr.limit)
		return x86_raise_error(v, X86_GP, idt_error);
	if (!jit_load_bytes(v, c->idtr.base + e->vector * 16, gate, sizeof(gate), JIT_MEM_SYSTEM))
		return false;
	type = desc_type(gate[0]);
	if (desc_s(gate[0]) || (type != DESC_INT && type != DESC_TRAP))
		return x86_raise_error(v, X86_GP, idt_error);
	if (software(e->kind) && desc_dpl(gate[0]) < cpl)
		return x86_raise_error(v, X86_GP, idt_error);
	if (!desc_present(gate[0]))
		return x86_raise_error(v, X86_NP, idt_error);
	if (!target_code(v, (uint16_t)(gate[0] >> 16), &new_cpl, &desc) ||
		!long_stack(v, gate[0] >> 32 & 7, new_cpl, &rsp))
		return false;
	if (!x86_desc_accessed(v, (uint16_t)(gate[0] >> 16), &desc))
		return false;
	rip = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
	if (!x86_is_canonical(rip))
		return x86_raise_error(v, X86_GP, ext);
	if (!x86_is_canonical(rsp - 8 * n) || !x86_is_canonical(rsp - 1))
		return x86_raise_error(v, X86_SS, ext);
	frame[0] = e->error;
	frame[n - 5] = e->return_rip;
	frame[n - 4] = c->seg[SEG_CS].sel;
	frame[n - 3] = e->flags;
	frame[n - 2] = c->gpr[RSP];
	frame[n - 1] = c->seg[SEG_SS].sel;
	if (!jit_store_bytes(v, rsp - 8 * n, frame, 8 * n, x86_mem_mode(new_cpl)))
		return false;
	set_code(c, (uint16_t)(gate[0] >> 16), desc, new_cpl);
	if (new_cpl != cpl)
		x86_segment_null(&c->seg[SEG_SS], (uint16_t)new_cpl, new_cpl);
	c->gpr[RSP] = rsp - 8 * n;
	c->rip = rip;
	handler_flags(v, type == DESC_INT);
	x86_mode_update_64(v, new_cpl); /* from compatibility mode the key differs: not short */
	return true;
}

/* ---- protected mode (6.12) */

/* The stack of the handler: the TSS's when the ring changes. */
static bool protected_stack(struct jit_vcpu *v, unsigned new_cpl, struct x86_stack *s)
{
	struct x86_cpu *c = v->arch;
	struct x86_segment ss;
	uint16_t sel;
	uint64_t sp;

	if (new_cpl == x86_cpl(c)) {
		x86_stack_current(v, s);
		return true;
	}
	if (!x86_tss_stack(v, new_cpl, &sel, &sp) || !x86_desc_stack(v, sel, new_cpl, X86_TS, &ss))
		return false;
	x86_stack_new(v, s, &ss, sp, new_cpl);
	return true;
}

static bool push_frame(
	struct jit_vcpu *v, const struct event *e, struct x86_stack *s, unsigned size, bool outer)
{
	const struct x86_cpu *c = v->arch;

	if (x86_vm86(c) && (!x86_stack_push(s, size, c->seg[SEG_GS].sel) ||
				   !x86_stack_push(s, size, c->seg[SEG_FS].sel) ||
				   !x86_stack_push(s, size, c->seg[SEG_DS].sel) ||
				   !x86_stack_push(s, size, c->seg[SEG_ES].sel)))
		return false;
	if (outer && (!x86_stack_push(s, size, c->seg[SEG_SS].sel) ||
			     !x86_stack_push(s, size, c->gpr[RSP])))
		return false;
	return x86_stack_push(s, size, e->flags) && x86_stack_push(s, size, c->seg[SEG_CS].sel) &&
	       x86_stack_push(s, size, e->return_rip) &&
	       (!e->has_error || x86_stack_push(s, size, e->error));
}

static bool enter_gate(struct jit_vcpu *v, const struct event *e, uint64_t gate)
{
	struct x86_cpu *c = v->arch;
	const unsigned type = desc_type(gate), size = type & 8 ? 4 : 2;
	const bool was_vm86 = x86_vm86(c);
	const uint16_t sel = (uint16_t)(gate >> 16);
	struct x86_segment cs;
	struct x86_stack s;
	uint64_t desc, off = (gate & 0xffff) | (size == 4 ? gate >> 32 & 0xffff0000 : 0);
	unsigned new_cpl = 0;
	bool outer;

	if (!target_code(v, sel, &new_cpl, &desc) || !protected_stack(v, new_cpl, &s))
		return false;
	outer = new_cpl != x86_cpl(c);
	x86_segment_from_desc(&cs, sel, desc);
	if (off > cs.limit)
		return x86_raise_error(v, X86_GP, x86_private(v)->ext);
	if (!x86_desc_accessed(v, sel, &desc) || !push_frame(v, e, &s, size, outer))
		return false;
	if (was_vm86) {
		x86_segment_null(&c->seg[SEG_GS], 0, 0);
		x86_segment_null(&c->seg[SEG_FS], 0, 0);
		x86_segment_null(&c->seg[SEG_DS], 0, 0);
		x86_segment_null(&c->seg[SEG_ES], 0, 0);
	}
	if (outer)
		c->seg[SEG_SS] = s.ss;
	x86_stack_commit(&s);
	set_code(c, sel, desc, new_cpl);
	c->rip = off;
	handler_flags(v, !(type & 1));
	x86_mode_update(v);
	return true;
}

static bool enter_task(struct jit_vcpu *v, const struct event *e, uint64_t gate)
{
	const uint16_t sel = (uint16_t)(gate >> 16);
	const uint32_t error = (sel & 0xfffc) | x86_private(v)->ext;
	uint64_t d;

	if (sel & 4)
		return x86_raise_error(v, X86_GP, error);
	if (!x86_desc_load(v, sel, X86_GP, &d))
		return false;
	if (desc_s(d) || (desc_type(d) != DESC_TSS && desc_type(d) != DESC_TSS16))
		return x86_raise_error(v, X86_GP, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, error);
	return x86_task_switch(
		v, sel, d, X86_TASK_GATE, e->return_rip, e->flags, e->has_error, e->error);
}

static bool enter_protected(struct jit_vcpu *v, const struct event *e)
{
	struct x86_cpu *c = v->arch;
	const uint32_t idt_error = (e->vector * 8 + 2) | x86_private(v)->ext;
	uint64_t gate;
	unsigned type;

	if (e->vector * 8 + 7 > c->idtr.limit)
		return x86_raise_error(v, X86_GP, idt_error);
	if (!jit_load(v, (uint32_t)(c->idtr.base + e->vector * 8), 8, JIT_MEM_SYSTEM, &gate))
		return false;
	type = desc_type(gate);
	if (desc_s(gate) ||
		(type != DESC_TASK && (type & 7) != DESC_INT16 && (type & 7) != DESC_TRAP16))
		return x86_raise_error(v, X86_GP, idt_error);
	if (software(e->kind) && desc_dpl(gate) < x86_cpl(c))
		return x86_raise_error(v, X86_GP, idt_error);
	if (!desc_present(gate))
		return x86_raise_error(v, X86_NP, idt_error);
	if (type == DESC_TASK)
		return enter_task(v, e, gate);
	return enter_gate(v, e, gate);
}

static bool enter_once(struct jit_vcpu *v, const struct event *e)
{
	struct x86_cpu *c = v->arch;
	bool ok;

	x86_private(v)->ext = !software(e->kind);
	if (x86_long(c))
		ok = enter_long(v, e);
	else if (x86_protected(c))
		ok = enter_protected(v, e);
	else
		ok = enter_real(v, e);
	x86_private(v)->ext = 0;
	if (!ok)
		return false;
	if (e->kind == X86_EVENT_FAULT && e->vector == X86_DB)
		c->dr[7] &= ~(uint64_t)(1 << 13); /* GD */
	if (c->activity == X86_HALTED)
		c->activity = X86_RUNNING; /* a debug trap after HLT */
	c->interrupt_shadow = 0;
	x86_private(v)->dr6_step = 0;
	x86_private(v)->start_flags &= ~(uint64_t)X86_FL_TF; /* no step trap in the handler */
	return true;
}

/* ---- 6.15: an exception while an event is delivered */

static bool contributory(unsigned vector)
{
	return vector == X86_DE || (vector >= X86_TS && vector <= X86_GP);
}

static bool escalates(unsigned first, unsigned second)
{
	if (contributory(first))
		return contributory(second);
	return first == X86_PF && (second == X86_PF || contributory(second));
}

bool x86_enter_event(struct jit_vcpu *v, unsigned vector, enum x86_event kind, bool has_error,
	uint32_t error, uint64_t return_rip)
{
	struct x86_cpu *c = v->arch;
	struct event e = { vector, kind, has_error, error, return_rip, 0 };

	for (;;) {
		/* 17.3.1.1: a fault's image has RF set, so that the restarted instruction's
		 * breakpoint does not hit again. */
		e.flags = x86_rflags(v);
		if (e.kind == X86_EVENT_FAULT && e.vector != X86_DB)
			e.flags |= X86_FL_RF;
		e.has_error = e.has_error && x86_protected(c);
		c->exception_pending = 0;
		if (enter_once(v, &e))
			return true;
		c->exception_pending = 0;
		if (e.kind == X86_EVENT_FAULT && e.vector == X86_DF) {
			c->activity = X86_SHUTDOWN;
			return false;
		}
		if (e.kind == X86_EVENT_FAULT && escalates(e.vector, c->exception_vector)) {
			e = (struct event){ X86_DF, X86_EVENT_FAULT, true, 0, c->rip, 0 };
			continue;
		}
		e = (struct event){ c->exception_vector, X86_EVENT_FAULT, c->exception_has_error,
			c->exception_error, c->rip, 0 };
	}
}

bool x86_deliver(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	return x86_enter_event(v, c->exception_vector, X86_EVENT_FAULT, c->exception_has_error,
		c->exception_error, c->rip);
}

/* ---- instructions */

bool x86_h_raise(struct jit_vcpu *v, uint64_t vector)
{
	return x86_raise(v, (unsigned)vector);
}

bool x86_h_raise_error(struct jit_vcpu *v, uint64_t vector, uint64_t error)
{
	return x86_raise_error(v, (unsigned)vector, (uint32_t)error);
}

/* SDM vol. 3, 20.3: INT n in virtual-8086 mode with VME and the redirection bitmap. */
static bool int_vm86(struct jit_vcpu *v, unsigned vector, uint64_t next, bool *done)
{
	struct x86_cpu *c = v->arch;
	uint64_t flags = x86_rflags(v);
	bool redirected = false;

	*done = false;
	if (c->cr4 & X86_CR4_VME && !x86_tss_int_redirected(v, vector, &redirected))
		return false;
	if (!redirected)
		return x86_iopl(c) == 3 || x86_raise_error(v, X86_GP, 0);
	if (x86_iopl(c) < 3) {
		flags = (flags & ~(uint64_t)X86_FL_IF) | X86_FL_IOPL;
		if (c->rflags & X86_FL_VIF)
			flags |= X86_FL_IF;
	}
	if (!x86_enter_real(v, vector, next, flags))
		return false;
	x86_set_rflags(v, x86_rflags(v) & ~(uint64_t)(X86_FL_TF | X86_FL_NT | X86_FL_RF |
						      (x86_iopl(c) < 3 ? X86_FL_VIF : X86_FL_IF)));
	x86_mode_update(v);
	*done = true;
	return true;
}

static bool int_enter(struct jit_vcpu *v, unsigned vector, enum x86_event kind, uint64_t length)
{
	const struct event e = { vector, kind, false, 0, x86_next_rip(v, (unsigned)length),
		x86_rflags(v) };

	return enter_once(v, &e);
}

bool x86_h_int(struct jit_vcpu *v, uint64_t vector, uint64_t next)
{
	bool done;

	if (x86_vm86(v->arch)) {
		if (!int_vm86(v, (unsigned)vector, x86_next_rip(v, (unsigned)next), &done))
			return false;
		if (done)
			return true;
	}
	return int_enter(v, (unsigned)vector, X86_EVENT_INT, next);
}

bool x86_h_int3(struct jit_vcpu *v, uint64_t vector, uint64_t next)
{
	return int_enter(v, (unsigned)vector, X86_EVENT_INT3, next);
}

bool x86_h_int1(struct jit_vcpu *v, uint64_t next)
{
	return int_enter(v, X86_DB, X86_EVENT_INTR, next);
}
