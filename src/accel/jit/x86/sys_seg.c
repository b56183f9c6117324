/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_seg.c: instructions that load, store or examine segments and descriptor tables, and the
 * checks of ordinary accesses where the mode is not flat. Spec: SDM vol. 2; vol. 3, 5.3
 * to 5.6, 5.10.
 */
#include "accel/jit/x86/sys.h"
#include "core/vcpu.h"

bool x86_h_load_seg(struct jit_vcpu *v, uint64_t seg, uint64_t sel)
{
	struct x86_cpu *c = v->arch;
	struct x86_segment s;

	if (!x86_descriptors(c)) {
		x86_segment_real(c, (enum x86_seg)seg, (uint16_t)sel);
	} else {
		if (!x86_segment_check(v, (enum x86_seg)seg, (uint16_t)sel, x86_cpl(c), X86_GP, &s))
			return false;
		c->seg[seg] = s;
	}
	if (!x86_code64(c))
		x86_mode_update(v);
	return true;
}

bool x86_h_load_ss(struct jit_vcpu *v, uint64_t sel)
{
	struct x86_cpu *c = v->arch;

	if (!x86_h_load_seg(v, SEG_SS, sel))
		return false;
	/* Only worth a one-instruction block where something could come in between. */
	if (c->rflags & (X86_FL_IF | X86_FL_TF) || c->nmi_pending || x86_debug_armed(c) ||
		x86_private(v)->data_breakpoints) {
		c->interrupt_shadow = 2;
		x86_private(v)->shadow_new = true;
		x86_mode_update(v);
		jit_request_exit(v->hot);
	}
	return true;
}

static bool privileged_table_load(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	if (!x86_descriptors(c))
		return x86_raise(v, X86_UD);
	return x86_cpl(c) == 0 || x86_raise_error(v, X86_GP, 0);
}

bool x86_h_lldt(struct jit_vcpu *v, uint64_t sel)
{
	struct x86_cpu *c = v->arch;
	const uint32_t error = sel & 0xfffc;
	uint64_t d, high = 0;

	if (!privileged_table_load(v))
		return false;
	if (!error) {
		x86_segment_null(&c->ldtr, (uint16_t)sel, 0);
		return true;
	}
	if (sel & 4)
		return x86_raise_error(v, X86_GP, error);
	if (!x86_desc_load(v, (uint16_t)sel, X86_GP, &d))
		return false;
	if (desc_s(d) || desc_type(d) != DESC_LDT)
		return x86_raise_error(v, X86_GP, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, error);
	if (x86_long(c) && !x86_desc_load_high(v, (uint16_t)sel, X86_GP, &high))
		return false;
	x86_segment_from_desc(&c->ldtr, (uint16_t)sel, d);
	c->ldtr.base |= high << 32;
	return true;
}

bool x86_h_ltr(struct jit_vcpu *v, uint64_t sel)
{
	struct x86_cpu *c = v->arch;
	const uint32_t error = sel & 0xfffc;
	uint64_t d, high = 0;

	if (!privileged_table_load(v))
		return false;
	if (!error)
		return x86_raise_error(v, X86_GP, 0);
	if (sel & 4)
		return x86_raise_error(v, X86_GP, error);
	if (!x86_desc_load(v, (uint16_t)sel, X86_GP, &d))
		return false;
	if (desc_s(d) || (desc_type(d) != DESC_TSS && (desc_type(d) != DESC_TSS16 || x86_long(c))))
		return x86_raise_error(v, X86_GP, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, error);
	if (x86_long(c) && !x86_desc_load_high(v, (uint16_t)sel, X86_GP, &high))
		return false;
	if (!x86_desc_set_busy(v, (uint16_t)sel, true))
		return false;
	x86_segment_from_desc(&c->tr, (uint16_t)sel, d);
	c->tr.base |= high << 32;
	c->tr.attr |= 2;
	return true;
}

/* CR4.UMIP: these say nothing to user programs. */
static bool umip_ok(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	return !(c->cr4 & X86_CR4_UMIP) || x86_cpl(c) == 0 || x86_raise_error(v, X86_GP, 0);
}

bool x86_h_sldt_str(struct jit_vcpu *v, uint64_t which)
{
	const struct x86_cpu *c = v->arch;

	if (!x86_descriptors(c))
		return x86_raise(v, X86_UD);
	if (!umip_ok(v))
		return false;
	v->hot->ret = which ? c->tr.sel : c->ldtr.sel;
	return true;
}

bool x86_h_sgdt_sidt(struct jit_vcpu *v, uint64_t ea, uint64_t which, uint64_t opsize)
{
	const struct x86_cpu *c = v->arch;
	const struct x86_table *t = which ? &c->idtr : &c->gdtr;
	uint8_t image[10];

	if (!umip_ok(v))
		return false;
	for (unsigned i = 0; i < 2; i++)
		image[i] = (uint8_t)(t->limit >> 8 * i);
	for (unsigned i = 0; i < 8; i++)
		image[2 + i] = (uint8_t)(t->base >> 8 * i);
	return jit_store_bytes(v, ea, image, x86_code64(c) ? 10 : 6, JIT_MEM_CPL);
}

bool x86_h_lgdt_lidt(struct jit_vcpu *v, uint64_t ea, uint64_t which, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	struct x86_table *t = which ? &c->idtr : &c->gdtr;
	const bool wide = x86_code64(c);
	uint8_t image[10] = { 0 };
	uint64_t base = 0;

	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (!jit_load_bytes(v, ea, image, wide ? 10 : 6, JIT_MEM_CPL))
		return false;
	for (unsigned i = 0; i < 8; i++)
		base |= (uint64_t)image[2 + i] << 8 * i;
	if (wide && !x86_is_canonical(base))
		return x86_raise_error(v, X86_GP, 0);
	if (!wide && opsize == 2)
		base &= 0xffffff;
	t->base = base;
	t->limit = image[0] | (uint32_t)image[1] << 8;
	return true;
}

static void set_zf(struct jit_vcpu *v, bool zf)
{
	v->hot->arith = (v->hot->arith & ~(uint64_t)X86_FL_ZF) | (zf ? X86_FL_ZF : 0);
}

/* LAR, LSL, VERR, VERW: a descriptor this program may see. Returns false with an exception only for
 * memory faults; *seen tells. */
static bool examine(struct jit_vcpu *v, uint64_t sel, uint64_t *desc, bool *seen)
{
	struct x86_cpu *c = v->arch;

	*seen = false;
	if (!x86_descriptors(c))
		return x86_raise(v, X86_UD);
	if (!(sel & 0xfffc))
		return true;
	if (!x86_desc_load(v, (uint16_t)sel, X86_GP, desc)) {
		if (c->exception_vector != X86_GP)
			return false;
		c->exception_pending = 0; /* outside the table: not seen, no fault */
		return true;
	}
	*seen = (desc_code(*desc) && desc_conforming(*desc)) ||
		(desc_dpl(*desc) >= x86_cpl(c) && desc_dpl(*desc) >= (sel & 3));
	return true;
}

bool x86_h_lar(struct jit_vcpu *v, uint64_t sel)
{
	const bool wide = x86_long(v->arch);
	uint64_t d;
	bool seen;

	if (!examine(v, sel, &d, &seen))
		return false;
	if (seen && !desc_s(d)) {
		switch (desc_type(d)) {
		case DESC_TSS16: case DESC_TSS16_BUSY: case DESC_CALL16: case DESC_TASK:
			seen = !wide;
			break;
		case DESC_LDT: case DESC_TSS: case DESC_TSS_BUSY: case DESC_CALL:
			break;
		default:
			seen = false;
		}
	}
	set_zf(v, seen);
	v->hot->ret = seen ? d >> 32 & 0xf0ff00 : 0;
	return true;
}

bool x86_h_lsl(struct jit_vcpu *v, uint64_t sel)
{
	const bool wide = x86_long(v->arch);
	struct x86_segment s;
	uint64_t d;
	bool seen;

	if (!examine(v, sel, &d, &seen))
		return false;
	if (seen && !desc_s(d)) {
		switch (desc_type(d)) {
		case DESC_TSS16: case DESC_TSS16_BUSY:
			seen = !wide;
			break;
		case DESC_LDT: case DESC_TSS: case DESC_TSS_BUSY:
			break;
		default:
			seen = false;
		}
	}
	set_zf(v, seen);
	if (seen)
		x86_segment_from_desc(&s, 0, d);
	v->hot->ret = seen ? s.limit : 0;
	return true;
}

bool x86_h_verr(struct jit_vcpu *v, uint64_t sel, uint64_t write)
{
	uint64_t d;
	bool seen;

	if (!examine(v, sel, &d, &seen))
		return false;
	if (seen)
		seen = desc_s(d) && (write ? !desc_code(d) && desc_writable(d)
					   : !desc_code(d) || desc_readable(d));
	set_zf(v, seen);
	return true;
}

bool x86_h_arpl(struct jit_vcpu *v, uint64_t dst, uint64_t src)
{
	if (!x86_descriptors(v->arch))
		return x86_raise(v, X86_UD);
	set_zf(v, (dst & 3) < (src & 3));
	v->hot->ret = (dst & 3) < (src & 3) ? (dst & 0xfffc) | (src & 3) : dst & 0xffff;
	return true;
}

/* Reads; writes, and changes ZF, only where there is something to raise. */
bool x86_h_arpl_mem(struct jit_vcpu *v, uint64_t ea, uint64_t src)
{
	uint64_t dst = 0;

	if (!jit_load(v, ea, 2, JIT_MEM_CPL, &dst))
		return false;
	if ((dst & 3) < (src & 3) && !jit_store(v, ea, 2, JIT_MEM_CPL, (dst & 0xfffc) | (src & 3)))
		return false;
	set_zf(v, (dst & 3) < (src & 3));
	return true;
}

/* ---- ordinary accesses */

/* SDM vol. 3, 6.15, interrupt 17: CR0.AM, RFLAGS.AC, CPL 3. */
static bool aligned(struct jit_vcpu *v, uint64_t va, unsigned size)
{
	if (!(v->hot->mode & X86_MODE_AC) || (size != 2 && size != 4 && size != 8) ||
		!(va & (size - 1)))
		return true;
	return x86_raise_error(v, X86_AC, 0);
}

bool x86_h_seg_check(struct jit_vcpu *v, uint64_t offset, uint64_t desc)
{
	const struct x86_cpu *c = v->arch;
	const unsigned seg = desc & 7, size = desc >> 8 & 0xff;
	const struct x86_segment *s = &c->seg[seg];
	const bool write = desc >> 3 & 1, code = s->attr & 8;
	bool ok;

	if (x86_code64(c)) { /* called for alignment only */
		v->hot->ret = offset + (seg == SEG_FS || seg == SEG_GS ? s->base : 0);
		/* not canonical: the access itself raises that, which comes first */
		return !x86_is_canonical(v->hot->ret) || aligned(v, v->hot->ret, size);
	}
	offset = (uint32_t)offset;
	ok = !(s->attr & SEG_ATTR_UNUSABLE) && x86_limit_ok(s, offset, size ? size : 1);
	if (ok && x86_descriptors(c))
		ok = code ? !write && s->attr & 2 : !write || s->attr & 2;
	if (!ok)
		return x86_raise_error(v, seg == SEG_SS ? X86_SS : X86_GP, 0);
	v->hot->ret = (uint32_t)(s->base + offset);
	return aligned(v, v->hot->ret, size);
}

bool x86_h_code_check(struct jit_vcpu *v, uint64_t bytes)
{
	const struct x86_cpu *c = v->arch;

	v->hot->ret = 1;
	if (c->rip + bytes - 1 <= c->seg[SEG_CS].limit)
		return true;
	if (v->hot->mode & X86_MODE_STEP)
		return x86_raise_error(v, X86_GP, 0);
	x86_private(v)->near_limit = true;
	x86_mode_update(v);
	v->hot->ret = 0;
	return true;
}

bool x86_h_branch_check(struct jit_vcpu *v, uint64_t target)
{
	const struct x86_cpu *c = v->arch;

	return target <= c->seg[SEG_CS].limit || x86_raise_error(v, X86_GP, 0);
}

bool x86_h_canonical(struct jit_vcpu *v, uint64_t va, uint64_t stack)
{
	return x86_is_canonical(va) || x86_raise_error(v, stack ? X86_SS : X86_GP, 0);
}
