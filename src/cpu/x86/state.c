/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.c: the saved-state table of an x86 CPU and its state after reset and INIT.
 * Spec: SDM vol. 3, 9.1.1 (table 9-1).
 */
#include "cpu/x86/state.h"

#include <stddef.h>
#include <string.h>

#include "base/field.h"

static const struct field segment_state[] = {
	FIELD(struct x86_segment, base, FIELD_U64),
	FIELD(struct x86_segment, limit, FIELD_U32),
	FIELD(struct x86_segment, sel, FIELD_U16),
	FIELD(struct x86_segment, attr, FIELD_U16),
	{ .name = NULL },
};

static const struct field table_state[] = {
	FIELD(struct x86_table, base, FIELD_U64),
	FIELD(struct x86_table, limit, FIELD_U32),
	{ .name = NULL },
};

static const struct field fpu_state[] = {
	FIELD_ARRAY(struct x86_fpu, st, FIELD_BYTES, sizeof(((struct x86_fpu *)0)->st)),
	FIELD(struct x86_fpu, fcw, FIELD_U16),
	FIELD(struct x86_fpu, fsw, FIELD_U16),
	FIELD(struct x86_fpu, ftw, FIELD_U8),
	FIELD(struct x86_fpu, fop, FIELD_U16),
	FIELD(struct x86_fpu, fip, FIELD_U64),
	FIELD(struct x86_fpu, fdp, FIELD_U64),
	FIELD(struct x86_fpu, fcs, FIELD_U16),
	FIELD(struct x86_fpu, fds, FIELD_U16),
	{ .name = NULL },
};

#define CPU(member, kind) FIELD(struct x86_cpu, member, kind)
#define CPU_ARRAY(member, kind, n) FIELD_ARRAY(struct x86_cpu, member, kind, n)

const struct field x86_cpu_state[] = {
	CPU_ARRAY(gpr, FIELD_U64, 16),
	CPU(rip, FIELD_U64),
	CPU(rflags, FIELD_U64),
	CPU_ARRAY(ymm, FIELD_U64, 64),
	CPU(mxcsr, FIELD_U32),
	FIELD_SUB(struct x86_cpu, fpu, fpu_state, 1, struct x86_fpu),
	FIELD_SUB(struct x86_cpu, seg, segment_state, 6, struct x86_segment),
	FIELD_SUB(struct x86_cpu, ldtr, segment_state, 1, struct x86_segment),
	FIELD_SUB(struct x86_cpu, tr, segment_state, 1, struct x86_segment),
	FIELD_SUB(struct x86_cpu, gdtr, table_state, 1, struct x86_table),
	FIELD_SUB(struct x86_cpu, idtr, table_state, 1, struct x86_table),
	CPU(cr0, FIELD_U64),
	CPU(cr2, FIELD_U64),
	CPU(cr3, FIELD_U64),
	CPU(cr4, FIELD_U64),
	CPU(cr8, FIELD_U64),
	CPU(xcr0, FIELD_U64),
	CPU(xss, FIELD_U64),
	CPU_ARRAY(dr, FIELD_U64, 8),
	CPU(efer, FIELD_U64),
	CPU(star, FIELD_U64),
	CPU(lstar, FIELD_U64),
	CPU(cstar, FIELD_U64),
	CPU(fmask, FIELD_U64),
	CPU(kernel_gs_base, FIELD_U64),
	CPU(tsc_aux, FIELD_U64),
	CPU(sysenter_cs, FIELD_U64),
	CPU(sysenter_esp, FIELD_U64),
	CPU(sysenter_eip, FIELD_U64),
	CPU(apic_base, FIELD_U64),
	CPU(pat, FIELD_U64),
	CPU(misc_enable, FIELD_U64),
	CPU(mtrr_def, FIELD_U64),
	CPU_ARRAY(mtrr_fixed, FIELD_U64, 11),
	CPU_ARRAY(mtrr_base, FIELD_U64, 8),
	CPU_ARRAY(mtrr_mask, FIELD_U64, 8),
	CPU(spec_ctrl, FIELD_U64),
	CPU(tsc_adjust, FIELD_U64),
	CPU(tsc_deadline, FIELD_U64),
	CPU(tsc, FIELD_U64), /* tsc_offset is of this host only: engines recompute it from tsc */
	CPU(mcg_status, FIELD_U64),
	CPU(mcg_ctl, FIELD_U64),
	CPU(pkru, FIELD_U32),
	CPU(kvm_wall_clock, FIELD_U64),
	CPU(kvm_system_time, FIELD_U64),
	CPU(kvm_poll_control, FIELD_U64),
	CPU(activity, FIELD_U8),
	CPU(interrupt_shadow, FIELD_U8),
	CPU(nmi_pending, FIELD_U8),
	CPU(nmi_masked, FIELD_U8),
	CPU(exception_pending, FIELD_U8),
	CPU(exception_vector, FIELD_U8),
	CPU(exception_has_error, FIELD_U8),
	CPU(exception_error, FIELD_U32),
	CPU(intr_injected, FIELD_U8),
	CPU(intr_vector, FIELD_U8),
	CPU(apic_id, FIELD_U32),
	{ .name = NULL },
};

enum {
	ATTR_CODE = 0x9b, ATTR_DATA = 0x93, ATTR_LDT = 0x82, ATTR_TSS = 0x8b,
	RESET_PROCESSOR = 0x00a10f11, /* RDX; the signature of CPUID leaf 1 (cpuid.c) */
};

static void segment_set(struct x86_segment *s, uint16_t sel, uint64_t base, uint16_t attr)
{
	*s = (struct x86_segment){ .sel = sel, .base = base, .limit = 0xffff, .attr = attr };
}

/* What INIT leaves alone. */
static void reset_power_on(struct x86_cpu *c, bool bsp)
{
	const uint32_t apic_id = c->apic_id;
	const uint64_t tsc = c->tsc, tsc_offset = c->tsc_offset;

	memset(c, 0, sizeof(*c));
	c->apic_id = apic_id;
	c->tsc = tsc;
	c->tsc_offset = tsc_offset;
	c->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
	c->mxcsr = 0x1f80;
	c->fpu.fcw = 0x37f; /* x87 as FNINIT leaves it and as KVM starts, not the SDM's power-up
			       0x40, 0x5555 */
	c->apic_base = 0xfee00000 | 1 << 11 | (bsp ? 1 << 8 : 0);
	c->pat = 0x0007040600070406;
	c->misc_enable = 1; /* fast strings */
	c->xcr0 = 1;
}

void x86_cpu_reset(struct x86_cpu *c, bool bsp, bool init)
{
	if (!init)
		reset_power_on(c, bsp);
	memset(c->gpr, 0, sizeof(c->gpr));
	c->gpr[RDX] = RESET_PROCESSOR;
	c->rip = 0xfff0;
	c->rflags = 2;
	c->cr0 = (c->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	c->cr2 = c->cr3 = c->cr4 = c->cr8 = 0;
	c->efer = 0;
	segment_set(&c->seg[SEG_CS], 0xf000, 0xffff0000, ATTR_CODE);
	segment_set(&c->seg[SEG_ES], 0, 0, ATTR_DATA);
	segment_set(&c->seg[SEG_SS], 0, 0, ATTR_DATA);
	segment_set(&c->seg[SEG_DS], 0, 0, ATTR_DATA);
	segment_set(&c->seg[SEG_FS], 0, 0, ATTR_DATA);
	segment_set(&c->seg[SEG_GS], 0, 0, ATTR_DATA);
	segment_set(&c->ldtr, 0, 0, ATTR_LDT);
	segment_set(&c->tr, 0, 0, ATTR_TSS);
	c->gdtr = c->idtr = (struct x86_table){ .base = 0, .limit = 0xffff };
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	c->activity = bsp ? X86_RUNNING : X86_WAIT_SIPI;
	c->interrupt_shadow = 0;
	c->nmi_pending = c->nmi_masked = 0;
	c->exception_pending = 0;
	c->intr_injected = 0;
}
