/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_msr.c: model-specific registers and the time-stamp counter. Spec: SDM vol. 4; AMD PPR family
 * 19h (registers in the C001_xxxx range); SDM vol. 3, 11.11 (MTRRs), 17.17 (TSC).
 */
#include "accel/jit/x86/sys.h"
#include "core/vcpu.h"

enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_UCODE = 0x8b,
	MSR_MTRR_CAP = 0xfe,
	MSR_ARCH_CAPS = 0x10a,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_VAR = 0x200,
	MSR_MTRR_VAR_END = 0x210,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800,
	MSR_X2APIC_END = 0x900,
	MSR_XSS = 0xda0,
	MSR_KVM_WALL = 0x11,
	MSR_KVM_TIME = 0x12,
	MSR_KVM_WALL_NEW = 0x4b564d00,
	MSR_KVM_TIME_NEW = 0x4b564d01,
	MSR_KVM_POLL = 0x4b564d05,
};
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u
#define MSR_SYSCFG 0xc0010010u
#define MSR_HWCR 0xc0010015u
#define MSR_TOP_MEM 0xc001001au
#define MSR_TOP_MEM2 0xc001001du
#define MSR_NB_CFG 0xc001001fu
#define MSR_INT_PENDING 0xc0010055u
#define MSR_MMIO_CONF 0xc0010058u
#define MSR_VM_CR 0xc0010114u
#define MSR_OSVW_LENGTH 0xc0010140u
#define MSR_OSVW_STATUS 0xc0010141u
#define MSR_LS_CFG 0xc0011020u
#define MSR_IC_CFG 0xc0011021u
#define MSR_DC_CFG 0xc0011022u
#define MSR_BU_CFG 0xc0011023u
#define MSR_DE_CFG 0xc0011029u
#define MSR_BU_CFG2 0xc001102au

enum { MTRR_CAP = 8 | 1 << 8 | 1 << 10 };	/* 8 variable ranges, fixed ranges, WC */

static void set_tsc_offset(struct jit_vcpu *v, uint64_t offset)
{
	v->hot->tsc_offset = offset;
	x86_cpu_of(v)->tsc_offset = offset;
}

/* ---- memory types: kept for the guest to read back; all RAM is write-back here */

static bool memory_type_ok(uint64_t t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}

static bool types_ok(uint64_t val, bool pat)
{
	for (unsigned i = 0; i < 8; i++)
		if (!memory_type_ok(val >> 8 * i & 0xff, pat))
			return false;
	return true;
}

/* 250, 258, 259, 268..26F: index 0..10, or -1. */
static int mtrr_fixed_index(uint32_t msr)
{
	if (msr == 0x250)
		return 0;
	if (msr == 0x258 || msr == 0x259)
		return (int)(msr - 0x257);
	if (msr >= 0x268 && msr <= 0x26f)
		return (int)(msr - 0x265);
	return -1;
}

static bool mtrr_read(const struct x86_cpu *c, uint32_t msr, uint64_t *val)
{
	const int fixed = mtrr_fixed_index(msr);

	if (fixed >= 0)
		*val = c->mtrr_fixed[fixed];
	else if (msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR_END)
		*val = msr & 1 ? c->mtrr_mask[(msr & 0xf) / 2] : c->mtrr_base[(msr & 0xf) / 2];
	else if (msr == MSR_MTRR_DEF)
		*val = c->mtrr_def;
	else
		return false;
	return true;
}

static bool mtrr_write(struct jit_vcpu *v, uint32_t msr, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const int fixed = mtrr_fixed_index(msr);
	const uint64_t pa = x86_private(v)->pa_mask;

	if (fixed >= 0) {
		if (!types_ok(val, false))
			return false;
		c->mtrr_fixed[fixed] = val;
	} else if (msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR_END) {
		const unsigned i = (msr & 0xf) / 2;

		if (val & ~(pa | 0xfff) || val & (msr & 1 ? 0x7ff : 0xf00))
			return false;
		if (!(msr & 1) && !memory_type_ok(val & 0xff, false))
			return false;
		*(msr & 1 ? &c->mtrr_mask[i] : &c->mtrr_base[i]) = val;
	} else if (msr == MSR_MTRR_DEF) {
		if (val & ~(uint64_t)0xcff || !memory_type_ok(val & 0xff, false))
			return false;
		c->mtrr_def = val;
	} else {
		return false;
	}
	return true;
}

/* ---- AMD's, which kernels touch on every CPU of that vendor: constants */

static bool amd_read(const struct jit_vcpu *v, uint32_t msr, uint64_t *val)
{
	if (x86_private(v)->features.intel)
		return false;
	switch (msr) {
	case MSR_HWCR:
		*val = 1 << 24; /* the TSC counts at the P0 rate */
		return true;
	case MSR_DE_CFG:
		*val = 1 << 1; /* LFENCE serializes */
		return true;
	case MSR_SYSCFG: case MSR_TOP_MEM: case MSR_TOP_MEM2: case MSR_NB_CFG: case MSR_INT_PENDING:
	case MSR_MMIO_CONF:
	case MSR_VM_CR:
	case MSR_OSVW_LENGTH:
	case MSR_OSVW_STATUS:
	case MSR_LS_CFG:
	case MSR_IC_CFG: case MSR_DC_CFG: case MSR_BU_CFG: case MSR_BU_CFG2:
		*val = 0;
		return true;
	default:
		return false;
	}
}

/* ---- read */

static bool read_rare(struct jit_vcpu *v, uint32_t msr, uint64_t *val)
{
	const struct x86_cpu *c = v->arch;

	switch (msr) {
	case MSR_TSC_ADJUST: *val = c->tsc_adjust; return true;
	case MSR_SPEC_CTRL: *val = c->spec_ctrl; return true;
	case MSR_UCODE: *val = 0x0a101148; return true;
	case MSR_MTRR_CAP: *val = MTRR_CAP; return true;
	case MSR_ARCH_CAPS:
		/* RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, MDS_NO, PSCHANGE_MC_NO, TAA_NO; see isa.c.
		 */
		*val = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 8;
		return x86_has(v, FEAT_7_0_EDX, 1 << 29);
	case MSR_SYSENTER_CS: *val = c->sysenter_cs; return true;
	case MSR_SYSENTER_ESP: *val = c->sysenter_esp; return true;
	case MSR_SYSENTER_EIP: *val = c->sysenter_eip; return true;
	case MSR_MCG_CAP: *val = 0; return true; /* no banks */
	case MSR_MCG_STATUS: *val = c->mcg_status; return true;
	case MSR_MISC_ENABLE: *val = c->misc_enable; return true;
	case MSR_DEBUGCTL: *val = 0; return true;
	case MSR_PAT: *val = c->pat; return true;
	case MSR_XSS: *val = c->xss; return x86_has(v, FEAT_D_1_EAX, 1 << 3);
	case MSR_KVM_WALL: case MSR_KVM_WALL_NEW: *val = c->kvm_wall_clock; return true;
	case MSR_KVM_TIME: case MSR_KVM_TIME_NEW: *val = c->kvm_system_time; return true;
	case MSR_KVM_POLL: *val = c->kvm_poll_control; return true;
	default: return mtrr_read(c, msr, val) || amd_read(v, msr, val);
	}
}

bool x86_msr_read(struct jit_vcpu *v, uint32_t msr, uint64_t *val)
{
	const struct x86_cpu *c = v->arch;
	const struct vcpu_intc *i = &v->vcpu->intc;

	switch (msr) {
	case MSR_TSC: *val = x86_tsc(v); return true;
	case MSR_EFER: *val = c->efer; return true;
	case MSR_STAR: *val = c->star; return true;
	case MSR_LSTAR: *val = c->lstar; return true;
	case MSR_CSTAR: *val = c->cstar; return true;
	case MSR_FMASK: *val = c->fmask; return true;
	case MSR_FS_BASE: *val = c->seg[SEG_FS].base; return true;
	case MSR_GS_BASE: *val = c->seg[SEG_GS].base; return true;
	case MSR_KERNEL_GS: *val = c->kernel_gs_base; return true;
	case MSR_TSC_AUX: *val = c->tsc_aux; return true;
	case MSR_APIC_BASE: *val = i->base_get ? i->base_get(i->opaque) : c->apic_base; return true;
	default: break;
	}
	if (msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC && msr < MSR_X2APIC_END))
		return i->msr_read && i->msr_read(i->opaque, msr, val);
	return read_rare(v, msr, val);
}

/* ---- write */

static bool write_efer(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const uint64_t changed = c->efer ^ val;

	if (val & ~(x86_private(v)->efer_mask | X86_EFER_LMA))
		return false;
	if (changed & X86_EFER_LME && c->cr0 & X86_CR0_PG)
		return false;
	c->efer = (val & ~(uint64_t)X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
	if (changed & X86_EFER_NXE) {
		x86_walk_forget(v);
		jit_tlb_flush_all(v);
	}
	x86_mode_update(v);
	return true;
}

static bool write_tsc(struct jit_vcpu *v, uint64_t val)
{
	const uint64_t delta = val - x86_tsc(v);

	x86_cpu_of(v)->tsc_adjust += delta;
	set_tsc_offset(v, v->hot->tsc_offset + delta);
	return true;
}

static bool set_canonical(uint64_t *to, uint64_t val)
{
	if (!x86_is_canonical(val))
		return false;
	*to = val;
	return true;
}

static bool write_rare(struct jit_vcpu *v, uint32_t msr, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	uint64_t old;

	switch (msr) {
	case MSR_TSC_ADJUST:
		set_tsc_offset(v, v->hot->tsc_offset + val - c->tsc_adjust);
		c->tsc_adjust = val;
		return true;
	case MSR_UCODE: case MSR_DEBUGCTL:
		return true;
	case MSR_SYSENTER_CS: c->sysenter_cs = val & 0xffffffff; return true;
	case MSR_SYSENTER_ESP: return set_canonical(&c->sysenter_esp, val);
	case MSR_SYSENTER_EIP: return set_canonical(&c->sysenter_eip, val);
	case MSR_MCG_STATUS: return val == 0;
	case MSR_MISC_ENABLE: c->misc_enable = val; return true;
	case MSR_PAT:
		if (!types_ok(val, true))
			return false;
		c->pat = val;
		return true;
	case MSR_XSS:
		if (!x86_has(v, FEAT_D_1_EAX, 1 << 3) || val & ~x86_private(v)->xss_mask)
			return false;
		c->xss = val;
		return true;
	case MSR_KVM_WALL: case MSR_KVM_WALL_NEW:
		c->kvm_wall_clock = val;
		x86_kvm_wall_clock_write(v);
		return true;
	case MSR_KVM_TIME: case MSR_KVM_TIME_NEW:
		c->kvm_system_time = val;
		x86_kvmclock_write(v);
		return true;
	case MSR_KVM_POLL:
		if (val < 2)
			c->kvm_poll_control = val;
		return val < 2;
	default:
		return mtrr_write(v, msr, val) || amd_read(v, msr, &old);
	}
}

bool x86_msr_write(struct jit_vcpu *v, uint32_t msr, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const struct vcpu_intc *i = &v->vcpu->intc;

	switch (msr) {
	case MSR_TSC: return write_tsc(v, val);
	case MSR_EFER: return write_efer(v, val);
	case MSR_STAR: c->star = val; return true;
	case MSR_LSTAR: return set_canonical(&c->lstar, val);
	case MSR_CSTAR: return set_canonical(&c->cstar, val);
	case MSR_FMASK: c->fmask = val & 0xffffffff; return true;
	case MSR_FS_BASE: return set_canonical(&c->seg[SEG_FS].base, val);
	case MSR_GS_BASE: return set_canonical(&c->seg[SEG_GS].base, val);
	case MSR_KERNEL_GS: return set_canonical(&c->kernel_gs_base, val);
	case MSR_TSC_AUX:
		if (!(val >> 32))
			c->tsc_aux = val;
		return !(val >> 32);
	case MSR_SPEC_CTRL:
		if (!(val & ~(uint64_t)7))
			c->spec_ctrl = val;
		return !(val & ~(uint64_t)7);
	case MSR_PRED_CMD:
		return !(val & ~(uint64_t)1); /* the translator's jump caches predict nothing */
	case MSR_APIC_BASE:
		if (!i->base_set) {
			c->apic_base = val;
			return true;
		}
		if (!i->base_set(i->opaque, val))
			return false;
		c->apic_base = val;
		return true;
	default: break;
	}
	if (msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC && msr < MSR_X2APIC_END)) {
		if (!i->msr_write || !i->msr_write(i->opaque, msr, val))
			return false;
		x86_check_events(v);
		return true;
	}
	return write_rare(v, msr, val);
}

/* ---- instructions */

bool x86_h_rdmsr(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	uint64_t val;

	if (x86_cpl(c) != 0 || !x86_msr_read(v, (uint32_t)c->gpr[RCX], &val))
		return x86_raise_error(v, X86_GP, 0);
	c->gpr[RAX] = (uint32_t)val;
	c->gpr[RDX] = val >> 32;
	return true;
}

bool x86_h_wrmsr(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0 || !x86_msr_write(v, (uint32_t)c->gpr[RCX],
		(c->gpr[RAX] & 0xffffffff) | c->gpr[RDX] << 32))
		return x86_raise_error(v, X86_GP, 0);
	return true;
}

bool x86_h_rdpmc(struct jit_vcpu *v)
{
	return x86_raise_error(v, X86_GP, 0); /* there are no counters */
}
