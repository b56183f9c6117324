/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_task.c: the task-state segment: stacks of inner rings, the I/O and interrupt bitmaps, and the
 * hardware task switch. Spec: SDM vol. 3, chapter 7; vol. 1, 19.5.2 (I/O bitmap); vol. 3, 20.3.3.
 */
#include <string.h>

#include "accel/jit/x86/sys.h"

/* Layouts: figures 7-2 (32-bit), 7-10 (16-bit), 7-11 (64-bit). */
enum { TSS32_CR3 = 0x1c, TSS32_EIP = 0x20, TSS32_T = 0x64, TSS_IOMAP = 0x66, TSS32_SIZE = 0x68,
       TSS16_IP = 0x0e, TSS16_SIZE = 0x2c };

static bool tss_is_32(const struct x86_cpu *c)
{
	return c->tr.attr & 8;
}

static bool tss_load(struct jit_vcpu *v, uint32_t off, unsigned size, uint64_t *val)
{
	const struct x86_cpu *c = v->arch;

	return jit_load(v, c->tr.base + off, size, JIT_MEM_SYSTEM, val);
}

bool x86_tss_stack(struct jit_vcpu *v, unsigned cpl, uint16_t *ss, uint64_t *sp)
{
	const struct x86_cpu *c = v->arch;
	const unsigned size = tss_is_32(c) ? 4 : 2, off = size + cpl * 2 * size;
	uint64_t sel;

	if (off + size + 1 > c->tr.limit)
		return x86_raise_error(v, X86_TS, (c->tr.sel & 0xfffc) | x86_private(v)->ext);
	if (!tss_load(v, off, size, sp) || !tss_load(v, off + size, 2, &sel))
		return false;
	*ss = (uint16_t)sel;
	return true;
}

bool x86_tss_stack64(struct jit_vcpu *v, unsigned slot, uint64_t *rsp)
{
	const struct x86_cpu *c = v->arch;
	const unsigned off = 4 + slot * 8;

	if (off + 7 > c->tr.limit)
		return x86_raise_error(v, X86_TS, (c->tr.sel & 0xfffc) | x86_private(v)->ext);
	if (!tss_load(v, off, 8, rsp))
		return false;
	if (!x86_is_canonical(*rsp))
		return x86_raise_error(v, X86_SS, x86_private(v)->ext);
	return true;
}

bool x86_tss_io_allowed(struct jit_vcpu *v, unsigned port, unsigned size, bool *allowed)
{
	const struct x86_cpu *c = v->arch;
	uint64_t base, bits;

	*allowed = false;
	if (!(c->tr.attr & 8) || c->tr.attr & SEG_ATTR_UNUSABLE || c->tr.limit < TSS_IOMAP + 1)
		return true;
	if (!tss_load(v, TSS_IOMAP, 2, &base))
		return false;
	if (base + port / 8 + 1 > c->tr.limit)
		return true;
	if (!tss_load(v, (uint32_t)base + port / 8, 2, &bits))
		return false;
	*allowed = !(bits >> (port & 7) & ((1u << size) - 1));
	return true;
}

bool x86_tss_int_redirected(struct jit_vcpu *v, unsigned vector, bool *redirected)
{
	const struct x86_cpu *c = v->arch;
	uint64_t base, bits;

	*redirected = false;
	if (!tss_is_32(c) || c->tr.limit < TSS_IOMAP + 1)
		return true;
	if (!tss_load(v, TSS_IOMAP, 2, &base))
		return false;
	if (base < 32 || base - 32 + vector / 8 > c->tr.limit)
		return true;
	if (!tss_load(v, (uint32_t)base - 32 + vector / 8, 1, &bits))
		return false;
	*redirected = !(bits >> (vector & 7) & 1);
	return true;
}

/* ---- task switch (7.3) */

struct task {
	uint64_t cr3, eip, eflags, gpr[8];
	uint16_t seg[6], ldt;
	bool trap;
};

static const uint8_t tss32_seg[] = { 0x48, 0x4c, 0x50, 0x54, 0x58, 0x5c }; /* ES CS SS DS FS GS */
static const uint8_t tss16_seg[] = { 0x22, 0x24, 0x26, 0x28 };

static void image_put(uint8_t *p, unsigned size, uint64_t val)
{
	memcpy(p, &val, size);
}

static uint64_t image_get(const uint8_t *p, unsigned size)
{
	uint64_t val = 0;

	memcpy(&val, p, size);
	return val;
}

/* The outgoing task's dynamic fields, EIP to the last segment; the static ones stay as they are. */
static bool save_task(struct jit_vcpu *v, uint64_t eip, uint64_t flags)
{
	struct x86_cpu *c = v->arch;
	const bool wide = tss_is_32(c);
	const unsigned first = wide ? TSS32_EIP : TSS16_IP, size = wide ? 4 : 2;
	const unsigned end = wide ? 0x60 : 0x2a;
	uint8_t image[0x60];

	if (!jit_load_bytes(v, c->tr.base + first, image + first, end - first, JIT_MEM_SYSTEM))
		return false;
	image_put(image + first, size, eip);
	image_put(image + first + size, size, flags);
	for (unsigned i = 0; i < 8; i++)
		image_put(image + first + (2 + i) * size, size, c->gpr[i]);
	for (unsigned i = 0; i < (wide ? 6 : 4); i++)
		image_put(image + (wide ? tss32_seg[i] : tss16_seg[i]), 2, c->seg[i].sel);
	return jit_store_bytes(v, c->tr.base + first, image + first, end - first, JIT_MEM_SYSTEM);
}

static bool load_task(struct jit_vcpu *v, uint64_t base, bool wide, struct task *t)
{
	const unsigned first = wide ? TSS32_EIP : TSS16_IP, size = wide ? 4 : 2;
	uint8_t image[TSS32_SIZE] = { 0 };

	if (!jit_load_bytes(v, base, image, wide ? TSS32_SIZE : TSS16_SIZE, JIT_MEM_SYSTEM))
		return false;
	memset(t, 0, sizeof(*t));
	t->cr3 = wide ? image_get(image + TSS32_CR3, 4) : 0;
	t->eip = image_get(image + first, size);
	t->eflags = image_get(image + first + size, size);
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] =
			image_get(image + first + (2 + i) * size, size) | (wide ? 0 : 0xffff0000);
	for (unsigned i = 0; i < (wide ? 6 : 4); i++)
		t->seg[i] = (uint16_t)image_get(image + (wide ? tss32_seg[i] : tss16_seg[i]), 2);
	t->ldt = (uint16_t)image_get(image + (wide ? 0x60 : 0x2a), 2);
	t->trap = wide && image[TSS32_T] & 1;
	return true;
}

static bool load_task_ldt(struct jit_vcpu *v, uint16_t sel)
{
	struct x86_cpu *c = v->arch;
	const uint32_t error = (sel & 0xfffc) | x86_private(v)->ext;
	uint64_t d;

	x86_segment_null(&c->ldtr, sel, 0);
	if (!(sel & 0xfffc))
		return true;
	if (sel & 4)
		return x86_raise_error(v, X86_TS, error);
	if (!x86_desc_load(v, sel, X86_TS, &d))
		return false;
	if (desc_s(d) || desc_type(d) != DESC_LDT || !desc_present(d))
		return x86_raise_error(v, X86_TS, error);
	x86_segment_from_desc(&c->ldtr, sel, d);
	return true;
}

static bool load_task_code(struct jit_vcpu *v, uint16_t sel)
{
	struct x86_cpu *c = v->arch;
	const uint32_t error = (sel & 0xfffc) | x86_private(v)->ext;
	uint64_t d;

	if (!(sel & 0xfffc))
		return x86_raise_error(v, X86_TS, error);
	if (!x86_desc_load(v, sel, X86_TS, &d))
		return false;
	if (!desc_code(d) ||
		(desc_conforming(d) ? desc_dpl(d) > (sel & 3u) : desc_dpl(d) != (sel & 3u)))
		return x86_raise_error(v, X86_TS, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, error);
	if (!x86_desc_accessed(v, sel, &d))
		return false;
	x86_segment_from_desc(&c->seg[SEG_CS], sel, d);
	return true;
}

/* Segments of the new task. Faults here are the new task's own (7.3, step 11 and after). */
static bool load_task_segments(struct jit_vcpu *v, const struct task *t)
{
	static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	struct x86_cpu *c = v->arch;
	const unsigned cpl = t->seg[SEG_CS] & 3;

	if (!load_task_ldt(v, t->ldt))
		return false;
	if (x86_vm86(c)) {
		for (unsigned i = 0; i < 6; i++)
			x86_segment_real(c, i, t->seg[i]);
		return true;
	}
	if (!load_task_code(v, t->seg[SEG_CS]))
		return false;
	if (!x86_desc_stack(v, t->seg[SEG_SS], cpl, X86_TS, &c->seg[SEG_SS]))
		return false;
	for (unsigned i = 0; i < sizeof(data); i++)
		if (!x86_segment_check(v, data[i], t->seg[data[i]], cpl, X86_TS, &c->seg[data[i]]))
			return false;
	return true;
}

/* Everything that cannot fault any more: registers of the new task, its segments as bare selectors.
 */
static bool commit_task(struct jit_vcpu *v, const struct task *t, bool wide, bool nested)
{
	struct x86_cpu *c = v->arch;
	uint64_t flags = (t->eflags & 0x3f7fd7) | 2;

	if (wide && c->cr0 & X86_CR0_PG) {
		if (c->cr4 & X86_CR4_PAE && !x86_load_pdptes(v, t->cr3))
			return false;
		c->cr3 = t->cr3;
		x86_walk_forget(v);
		jit_tlb_flush_space(v, 0, false);
	}
	if (!wide)
		flags |= x86_rflags(v) & 0xffff0000 & ~(uint64_t)X86_FL_VM;
	if (nested)
		flags |= X86_FL_NT;
	memcpy(c->gpr, t->gpr, sizeof(t->gpr));
	c->rip = t->eip;
	c->rflags = flags;
	v->hot->arith = flags & X86_FL_ARITH;
	for (unsigned i = 0; i < 6; i++)
		x86_segment_null(&c->seg[i], t->seg[i], i == SEG_SS ? t->seg[SEG_CS] & 3 : 0);
	c->cr0 |= X86_CR0_TS;
	x86_debug_set_dr7(v, c->dr[7] & ~(uint64_t)0x155); /* local breakpoints */
	return true;
}

static bool push_error(struct jit_vcpu *v, bool wide, uint32_t error)
{
	struct x86_stack s;

	x86_stack_current(v, &s);
	if (!x86_stack_push(&s, wide ? 4 : 2, error))
		return false;
	x86_stack_commit(&s);
	return true;
}

/* Reads and writes whatever may fault before anything is changed. */
static bool task_prepare(struct jit_vcpu *v, uint16_t sel, const struct x86_segment *tr,
	enum x86_task_switch why, uint64_t eip, uint64_t flags, struct task *t)
{
	struct x86_cpu *c = v->arch;
	const bool wide = tr->attr & 8;

	if (tr->limit < (wide ? TSS32_SIZE : TSS16_SIZE) - 1)
		return x86_raise_error(v, X86_TS, (sel & 0xfffc) | x86_private(v)->ext);
	if (!jit_probe(v, tr->base, wide ? TSS32_SIZE : TSS16_SIZE, ACCESS_LOAD, JIT_MEM_SYSTEM) ||
		!jit_probe(v, tr->base, 2, ACCESS_STORE, JIT_MEM_SYSTEM))
		return false;
	if (why == X86_TASK_IRET)
		flags &= ~(uint64_t)X86_FL_NT;
	if (!save_task(v, eip, flags) || !load_task(v, tr->base, wide, t))
		return false;
	if (why == X86_TASK_JMP || why == X86_TASK_IRET) {
		if (!x86_desc_set_busy(v, c->tr.sel, false))
			return false;
	} else if (!jit_store(v, tr->base, 2, JIT_MEM_SYSTEM, c->tr.sel)) {
		return false; /* back link */
	}
	return why == X86_TASK_IRET || x86_desc_set_busy(v, sel, true);
}

/* The part that already runs in the new task: false, and a fault of its first instruction. */
static bool task_begin(struct jit_vcpu *v, const struct task *t, bool wide, bool has_error,
	uint32_t error)
{
	struct x86_cpu *c = v->arch;
	const bool loaded = load_task_segments(v, t);

	x86_mode_update(v);
	if (!loaded || (has_error && !push_error(v, wide, error)))
		return false;
	if (c->rip > c->seg[SEG_CS].limit)
		return x86_raise_error(v, X86_GP, 0);
	if (t->trap) {
		c->dr[6] |= 1 << 15; /* BT */
		return x86_raise(v, X86_DB);
	}
	return true;
}

bool x86_task_switch(struct jit_vcpu *v, uint16_t sel, uint64_t desc, enum x86_task_switch why,
	uint64_t return_rip, uint64_t flags, bool has_error, uint32_t error)
{
	const bool nested = why == X86_TASK_CALL || why == X86_TASK_GATE;
	struct x86_segment tr;
	struct task t = { 0 };
	bool wide;

	x86_fp_changed(v); /* TS will be set; and the flush below is not light */
	x86_segment_from_desc(&tr, sel, desc);
	tr.attr |= 2; /* busy from here on */
	wide = tr.attr & 8;
	if (!task_prepare(v, sel, &tr, why, return_rip, flags, &t))
		return false;
	x86_cpu_of(v)->tr = tr;
	if (!commit_task(v, &t, wide, nested))
		return false;
	/* its handler is entered from here: our caller would report the instruction that switched */
	if (!task_begin(v, &t, wide, has_error, error) && !x86_deliver(v))
		jit_request_exit(v->hot); /* shut down */
	return true;
}
