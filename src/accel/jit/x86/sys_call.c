/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_call.c: SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the FS/GS base instructions.
 * Spec: SDM vol. 2; AMD APM vol. 3 (which CPUs say "AuthenticAMD" follow).
 */
#include "accel/jit/x86/sys.h"

enum {
	ATTR_CODE64 = 0xa9b,
	ATTR_CODE32 = 0xc9b,
	ATTR_DATA = 0xc93,
	DPL3 = 3 << SEG_ATTR_DPL_SHIFT
};

static void flat(struct x86_segment *s, unsigned sel, unsigned attr)
{
	*s = (struct x86_segment){
		.sel = (uint16_t)sel, .limit = 0xffffffff, .attr = (uint16_t)attr
	};
}

bool x86_h_syscall(struct jit_vcpu *v, uint64_t next)
{
	struct x86_cpu *c = v->arch;
	const bool from64 = x86_code64(c), intel = x86_private(v)->features.intel;
	const unsigned sel = c->star >> 32 & 0xfffc;
	const uint64_t fl = x86_rflags(v), rip = x86_next_rip(v, (unsigned)next);

	if (!(c->efer & X86_EFER_SCE) || !x86_protected(c) || (intel && !from64))
		return x86_raise(v, X86_UD);
	c->gpr[RCX] = rip;
	if (x86_long(c)) {
		c->gpr[R11] = fl & ~(uint64_t)X86_FL_RF;
		c->rip = from64 ? c->lstar : c->cstar;
		c->rflags = (fl & ~c->fmask & ~(uint64_t)(X86_FL_RF | X86_FL_VM)) | 2;
		v->hot->arith = c->rflags & X86_FL_ARITH;
		flat(&c->seg[SEG_CS], sel, ATTR_CODE64);
	} else {
		c->rip = (uint32_t)c->star;
		c->rflags = fl & ~(uint64_t)(X86_FL_IF | X86_FL_RF | X86_FL_VM);
		flat(&c->seg[SEG_CS], sel, ATTR_CODE32);
	}
	flat(&c->seg[SEG_SS], sel + 8, ATTR_DATA);
	/* The step trap looks at TF as it is after SYSCALL: none in a kernel whose FMASK has it. */
	if (!(c->rflags & X86_FL_TF))
		x86_private(v)->start_flags &= ~(uint64_t)X86_FL_TF;
	if (from64)
		x86_mode_update_64(v, 0);
	else
		x86_mode_update(v);
	return true;
}

/* A TF that SYSRET loads traps at once, before the first instruction it returns to. */
static void step_trap(struct jit_vcpu *v)
{
	x86_private(v)->start_flags &= ~(uint64_t)X86_FL_TF;
	x86_cpu_of(v)->dr[6] |= 1 << 14; /* BS */
	x86_raise(v, X86_DB); /* the loop delivers it */
	jit_request_exit(v->hot);
}

bool x86_h_sysret(struct jit_vcpu *v, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	const unsigned sel = c->star >> 48 & 0xffff;

	if (!(c->efer & X86_EFER_SCE) || !x86_protected(c))
		return x86_raise(v, X86_UD);
	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (x86_long(c)) {
		if (x86_private(v)->features.intel && opsize == 8 && !x86_is_canonical(c->gpr[RCX]))
			return x86_raise_error(v, X86_GP, 0);
		c->rflags = (c->gpr[R11] & 0x3c7fd7) | 2;
		v->hot->arith = c->rflags & X86_FL_ARITH;
	} else {
		c->rflags = x86_rflags(v) | X86_FL_IF;
	}
	if (opsize == 8)
		flat(&c->seg[SEG_CS], (sel + 16) | 3, ATTR_CODE64 | DPL3);
	else
		flat(&c->seg[SEG_CS], sel | 3, ATTR_CODE32 | DPL3);
	flat(&c->seg[SEG_SS], (sel + 8) | 3, ATTR_DATA | DPL3);
	x86_set_rip(v, c->gpr[RCX]);
	if (opsize == 8)
		x86_mode_update_64(v, 3);
	else
		x86_mode_update(v);
	if (c->rflags & X86_FL_TF)
		step_trap(v);
	if (c->rflags & X86_FL_IF)
		x86_check_events(v);
	return true;
}

/* AMD CPUs have SYSENTER in legacy mode only. */
static bool sysenter_there(const struct jit_vcpu *v)
{
	return x86_private(v)->features.intel || !x86_long(v->arch);
}

bool x86_h_sysenter(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const unsigned sel = c->sysenter_cs & 0xfffc;
	const bool wide = x86_long(c);

	if (!sysenter_there(v))
		return x86_raise(v, X86_UD);
	if (!x86_protected(c) || !sel)
		return x86_raise_error(v, X86_GP, 0);
	c->rflags = x86_rflags(v) & ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF);
	flat(&c->seg[SEG_CS], sel, wide ? ATTR_CODE64 : ATTR_CODE32);
	flat(&c->seg[SEG_SS], sel + 8, ATTR_DATA);
	c->gpr[RSP] = wide ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	c->rip = wide ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	x86_mode_update(v);
	return true;
}

bool x86_h_sysexit(struct jit_vcpu *v, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	const unsigned sel = c->sysenter_cs & 0xfffc;

	if (!sysenter_there(v))
		return x86_raise(v, X86_UD);
	if (!x86_protected(c) || !sel || x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (opsize == 8) {
		if (!x86_is_canonical(c->gpr[RCX]) || !x86_is_canonical(c->gpr[RDX]))
			return x86_raise_error(v, X86_GP, 0);
		flat(&c->seg[SEG_CS], (sel + 32) | 3, ATTR_CODE64 | DPL3);
		flat(&c->seg[SEG_SS], (sel + 40) | 3, ATTR_DATA | DPL3);
		c->gpr[RSP] = c->gpr[RCX];
		c->rip = c->gpr[RDX];
	} else {
		flat(&c->seg[SEG_CS], (sel + 16) | 3, ATTR_CODE32 | DPL3);
		flat(&c->seg[SEG_SS], (sel + 24) | 3, ATTR_DATA | DPL3);
		c->gpr[RSP] = (uint32_t)c->gpr[RCX];
		c->rip = (uint32_t)c->gpr[RDX];
	}
	x86_mode_update(v);
	return true;
}

bool x86_h_swapgs(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const uint64_t base = c->seg[SEG_GS].base;

	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	c->seg[SEG_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	return true;
}

bool x86_h_rdfsgs(struct jit_vcpu *v, uint64_t gs)
{
	const struct x86_cpu *c = v->arch;

	if (!(c->cr4 & X86_CR4_FSGSBASE))
		return x86_raise(v, X86_UD);
	v->hot->ret = c->seg[gs ? SEG_GS : SEG_FS].base;
	return true;
}

bool x86_h_wrfsgs(struct jit_vcpu *v, uint64_t gs, uint64_t val)
{
	struct x86_cpu *c = v->arch;

	if (!(c->cr4 & X86_CR4_FSGSBASE))
		return x86_raise(v, X86_UD);
	if (!x86_is_canonical(val))
		return x86_raise_error(v, X86_GP, 0);
	c->seg[gs ? SEG_GS : SEG_FS].base = val;
	return true;
}
