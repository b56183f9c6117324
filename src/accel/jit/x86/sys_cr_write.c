/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_cr_write.c: control registers and XCR0. Spec: SDM vol. 3, 2.5, 2.6, 4.10.4 (what a write
 * flushes); vol. 2, MOV CR.
 */
#include "accel/jit/x86/sys.h"
#include "core/vcpu.h"

#define CR3_NOFLUSH ((uint64_t)1 << 63)
enum { CR0_FP = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE };

static bool gp0(struct jit_vcpu *v)
{
	return x86_raise_error(v, X86_GP, 0);
}

static void flush_all(struct jit_vcpu *v)
{
	x86_walk_forget(v);
	jit_tlb_flush_all(v);
}

void x86_fp_changed(struct jit_vcpu *v)
{
	jit_vec_spill(v);
	jit_fpu_spill(v);
}

bool x86_load_pdptes(struct jit_vcpu *v, uint64_t cr3)
{
	struct x86_private *p = x86_private(v);
	const uint64_t reserved = 0x1e6 | ~(p->pa_mask | 0xfff);
	uint64_t e[4];

	for (unsigned i = 0; i < 4; i++) {
		e[i] = jit_phys_load(v, (cr3 & 0xffffffe0) + 8 * i, 8);
		if (e[i] & 1 && e[i] & reserved)
			return gp0(v);
	}
	for (unsigned i = 0; i < 4; i++)
		p->pdpte[i] = e[i];
	p->pdpte_cr3 = (uint32_t)cr3;
	return true;
}

static bool paging_on(struct jit_vcpu *v, uint64_t *efer)
{
	struct x86_cpu *c = v->arch;

	if (c->efer & X86_EFER_LME) {
		if (!(c->cr4 & X86_CR4_PAE) || c->seg[SEG_CS].attr & SEG_ATTR_L)
			return gp0(v);
		*efer |= X86_EFER_LMA;
		return true;
	}
	return !(c->cr4 & X86_CR4_PAE) || x86_load_pdptes(v, c->cr3);
}

static bool write_cr0(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	uint64_t changed, efer = c->efer;

	if (val >> 32 || (val & X86_CR0_PG && !(val & X86_CR0_PE)) ||
		(val & X86_CR0_NW && !(val & X86_CR0_CD)))
		return gp0(v);
	val = (val & (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP |
		X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)) | X86_CR0_ET;
	changed = c->cr0 ^ val;
	if (changed & X86_CR0_PG) {
		if (val & X86_CR0_PG) {
			if (!paging_on(v, &efer))
				return false;
		} else {
			if (x86_code64(c) || c->cr4 & X86_CR4_PCIDE)
				return gp0(v);
			efer &= ~(uint64_t)X86_EFER_LMA;
		}
	}
	c->cr0 = val;
	c->efer = efer;
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		flush_all(v);
	if (changed & CR0_FP)
		x86_fp_changed(v);
	x86_mode_update(v);
	return true;
}

static bool write_cr3(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const bool noflush = c->cr4 & X86_CR4_PCIDE && val & CR3_NOFLUSH;

	if (c->cr4 & X86_CR4_PCIDE)
		val &= ~CR3_NOFLUSH;
	if (x86_long(c)) {
		if (val & ~(x86_private(v)->pa_mask | 0xfff))
			return gp0(v);
	} else {
		val = (uint32_t)val;
		if (c->cr0 & X86_CR0_PG && c->cr4 & X86_CR4_PAE && !x86_load_pdptes(v, val))
			return false;
	}
	c->cr3 = val;
	if (!noflush) {
		x86_walk_forget(v);
		jit_tlb_flush_space(v, c->cr4 & X86_CR4_PCIDE ? val & 0xfff : 0, false);
	}
	x86_space_update(v);
	return true;
}

static bool write_cr4(struct jit_vcpu *v, uint64_t val)
{
	const uint64_t flushing = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE |
				  X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE;
	struct x86_cpu *c = v->arch;
	const uint64_t changed = c->cr4 ^ val;

	if (val & ~x86_private(v)->cr4_mask)
		return gp0(v);
	if (x86_long(c) && !(val & X86_CR4_PAE))
		return gp0(v);
	if (changed & val & X86_CR4_PCIDE && (!x86_long(c) || c->cr3 & 0xfff))
		return gp0(v);
	if (c->cr0 & X86_CR0_PG && !x86_long(c) && val & X86_CR4_PAE &&
		changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP) &&
		!x86_load_pdptes(v, c->cr3))
		return false;
	c->cr4 = val;
	if (changed & flushing)
		flush_all(v);
	if (changed & (X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT))
		x86_fp_changed(v);
	x86_mode_update(v);
	return true;
}

static bool write_cr8(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;

	if (val > 15)
		return gp0(v);
	if (v->vcpu->intc.tpr_set)
		v->vcpu->intc.tpr_set(v->vcpu->intc.opaque, (uint8_t)val);
	else
		c->cr8 = val;
	x86_check_events(v);
	return true;
}

bool x86_h_write_cr(struct jit_vcpu *v, uint64_t n, uint64_t val)
{
	struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return gp0(v);
	if (!x86_code64(c))
		val = (uint32_t)val;
	switch (n) {
	case 0:
		return write_cr0(v, val);
	case 2:
		c->cr2 = val;
		return true;
	case 3:
		return write_cr3(v, val);
	case 4:
		return write_cr4(v, val);
	case 8:
		return write_cr8(v, val);
	default:
		return x86_raise(v, X86_UD);
	}
}

bool x86_h_read_cr8(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return gp0(v);
	v->hot->ret = v->vcpu->intc.tpr_get ? v->vcpu->intc.tpr_get(v->vcpu->intc.opaque) : c->cr8;
	return true;
}

bool x86_h_clts(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return gp0(v);
	if (c->cr0 & X86_CR0_TS) {
		c->cr0 &= ~(uint64_t)X86_CR0_TS;
		x86_fp_changed(v);
	}
	return true;
}

bool x86_h_lmsw(struct jit_vcpu *v, uint64_t val)
{
	const struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return gp0(v);
	/* It can set PE, not clear it. */
	return write_cr0(v, (c->cr0 & ~(uint64_t)0xe) | (val & 0xf));
}

/* ---- XCR0 */

bool x86_h_xsetbv(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const uint64_t val = (c->gpr[RAX] & 0xffffffff) | c->gpr[RDX] << 32;

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(v, X86_UD);
	if (x86_cpl(c) != 0 || (uint32_t)c->gpr[RCX] != 0)
		return gp0(v);
	if (!(val & 1) || val & ~x86_private(v)->xcr0_mask || (val & 6) == 4)
		return gp0(v);
	c->xcr0 = val;
	x86_fp_changed(v);
	return true;
}

/* ---- TLB instructions (4.10.4.1) */

bool x86_h_invlpg(struct jit_vcpu *v, uint64_t va)
{
	const struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return gp0(v);
	x86_walk_forget(v);
	if (!x86_long(c) || x86_is_canonical(va))
		jit_tlb_flush_page(v, va);
	return true;
}

bool x86_h_invpcid(struct jit_vcpu *v, uint64_t ea, uint64_t type)
{
	const struct x86_cpu *c = v->arch;
	uint64_t desc[2];

	if (x86_cpl(c) != 0)
		return gp0(v);
	if (!jit_load_bytes(v, ea, desc, sizeof(desc), JIT_MEM_CPL))
		return false;
	if (type > 3 || (type < 2 && desc[0] >> 12) ||
		(type < 2 && desc[0] && !(c->cr4 & X86_CR4_PCIDE)))
		return gp0(v);
	x86_walk_forget(v);
	switch (type) {
	case 0: /* one address */
		if (!x86_is_canonical(desc[1]))
			return gp0(v);
		if (desc[0] == (c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0))
			jit_tlb_flush_page(v, desc[1]);
		else
			jit_tlb_flush_space(v, (uint32_t)desc[0], false);
		return true;
	case 1: /* one PCID */
		jit_tlb_flush_space(v, (uint32_t)desc[0], false);
		return true;
	default: /* all, with (2) and without (3) global pages */
		flush_all(v);
		return true;
	}
}
