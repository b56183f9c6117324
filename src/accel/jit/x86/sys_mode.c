/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_mode.c: from architectural state to what translated code depends on: the block mode key, the
 * privilege and address space of accesses, RFLAGS. Spec: SDM vol. 3, 2.2 (modes), 4.6.1 (SMAP).
 */
#include "accel/jit/x86/sys.h"
#include "core/vcpu.h"

bool x86_has(const struct jit_vcpu *v, enum x86_feature_word w, uint32_t bit_mask)
{
	return x86_private(v)->features.word[w] & bit_mask;
}

unsigned x86_cpl(const struct x86_cpu *c)
{
	return seg_dpl(&c->seg[SEG_SS]);
}

/* Data, writable, expand-up, 4 GiB: no access can violate it. */
static bool unlimited(const struct x86_segment *s)
{
	return s->limit == 0xffffffff && (s->attr & (SEG_ATTR_UNUSABLE | SEG_ATTR_P | SEG_ATTR_S |
							    0xe)) == (SEG_ATTR_P | SEG_ATTR_S | 2);
}

static bool flat_data(const struct x86_segment *s)
{
	return s->base == 0 && unlimited(s);
}

static uint32_t mode_legacy(const struct x86_cpu *c)
{
	const struct x86_segment *s = c->seg;
	uint32_t m = s[SEG_CS].attr & SEG_ATTR_DB ? X86_MODE_32 : X86_MODE_16;

	if (s[SEG_SS].attr & SEG_ATTR_DB)
		m |= X86_MODE_SS32;
	if (flat_data(&s[SEG_DS]) && flat_data(&s[SEG_ES]) && flat_data(&s[SEG_SS]))
		m |= X86_MODE_FLAT_DATA;
	if (s[SEG_CS].base == 0 && s[SEG_CS].limit == 0xffffffff)
		m |= X86_MODE_FLAT_CODE;
	if (unlimited(&s[SEG_FS]))
		m |= X86_MODE_FLAT_FS;
	if (unlimited(&s[SEG_GS]))
		m |= X86_MODE_FLAT_GS;
	if (x86_protected(c))
		m |= X86_MODE_PE;
	if (x86_vm86(c))
		m |= X86_MODE_VM;
	if (x86_long(c))
		m |= X86_MODE_LMA;
	return m;
}

enum {
	MODE_64 = X86_MODE_64 | X86_MODE_FLAT_DATA | X86_MODE_FLAT_CODE | X86_MODE_FLAT_FS |
		  X86_MODE_FLAT_GS | X86_MODE_PE | X86_MODE_LMA
};

void x86_mode_update_64(struct jit_vcpu *v, unsigned cpl)
{
	const struct x86_cpu *c = v->arch;

	if (v->hot->mode != MODE_64 || c->rflags & (X86_FL_TF | X86_FL_AC)) {
		x86_mode_update(v);
		return;
	}
	v->hot->df_step = c->rflags & X86_FL_DF ? -1 : 1;
	jit_as_set_priv(v, cpl == 3 ? JIT_PRIV_USER : JIT_PRIV_SUPER);
}

void x86_mode_update(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const struct x86_private *p = x86_private(v);
	uint32_t m;

	if (x86_code64(c))
		m = MODE_64;
	else
		m = mode_legacy(c);
	if (c->rflags & X86_FL_AC && c->cr0 & X86_CR0_AM && x86_cpl(c) == 3)
		m |= X86_MODE_AC | X86_MODE_USER;
	if (c->rflags & X86_FL_TF || c->interrupt_shadow || x86_debug_armed(c) ||
		p->data_breakpoints || p->near_limit)
		m |= X86_MODE_STEP;
	v->hot->df_step = c->rflags & X86_FL_DF ? -1 : 1;
	if (m != v->hot->mode) {
		v->hot->mode = m;
		jit_request_exit(v->hot); /* a jump to a block of the old mode may be cached */
	}
	x86_space_update(v);
}

/* An address space is named by its PCID; without, there is one, which a CR3 write flushes. */
void x86_space_update(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);
	const uint32_t space = c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0;
	enum jit_priv priv = JIT_PRIV_SUPER;

	if (x86_cpl(c) == 3)
		priv = JIT_PRIV_USER;
	else if (c->cr4 & X86_CR4_SMAP && c->rflags & X86_FL_AC)
		priv = JIT_PRIV_SUPER_AC;
	if (space != p->space) {
		p->space = space;
		jit_as_switch(v, space, priv);
	} else if (priv != v->hot->priv) {
		jit_as_set_priv(v, priv);
	}
}

void x86_set_cpl(struct jit_vcpu *v, unsigned cpl)
{
	struct x86_segment *ss = &x86_cpu_of(v)->seg[SEG_SS];

	ss->attr = (uint16_t)((ss->attr & ~(3 << SEG_ATTR_DPL_SHIFT)) | cpl << SEG_ATTR_DPL_SHIFT);
}

void x86_set_rip(struct jit_vcpu *v, uint64_t rip)
{
	struct x86_cpu *c = v->arch;

	c->rip = x86_code64(c) ? rip : (uint32_t)rip;
}

uint64_t x86_next_rip(const struct jit_vcpu *v, unsigned length)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t rip = c->rip + length;

	return x86_code64(c) ? rip : (uint32_t)rip;
}

void x86_check_events(struct jit_vcpu *v)
{
	if (x86_private(v)->intr_waiting || vcpu_events(v->vcpu))
		jit_request_exit(v->hot);
}

void x86_set_rflags(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const uint64_t changed = c->rflags ^ val;

	c->rflags = val;
	v->hot->arith = val & X86_FL_ARITH;
	v->hot->df_step = val & X86_FL_DF ? -1 : 1;
	if (changed & (X86_FL_TF | X86_FL_AC | X86_FL_VM))
		x86_mode_update(v);
	if (changed & val & X86_FL_IF)
		x86_check_events(v);
}
