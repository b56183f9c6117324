/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * regs.c: a vCPU's architectural state, to and from KVM.
 * Spec: api.rst 4.11-4.15, 4.18 (MSRs), 4.31 (events), 4.38 (MP state), 4.42 (XSAVE), 4.43 (XCRS);
 * XSAVE area: SDM vol. 1, 13.4.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "accel/kvm/kvm.h"
#include "base/error.h"
#include "core/machine.h"
#include "core/vcpu.h"

static const struct {
	uint32_t index;
	uint32_t offset;
	bool listed; /* only where KVM's list has it; else tried, as KVM leaves MTRRs off its list */
} msr_table[] = {
#define MSR(index, member) { index, offsetof(struct x86_cpu, member), true },
#define MSR_TRY(index, member) { index, offsetof(struct x86_cpu, member), false },
	MSR(0x174, sysenter_cs) MSR(0x175, sysenter_esp) MSR(0x176, sysenter_eip)
	MSR(0xc0000081, star) MSR(0xc0000082, lstar) MSR(0xc0000083, cstar) MSR(0xc0000084, fmask)
	MSR(0xc0000102, kernel_gs_base) MSR(0xc0000103, tsc_aux)
	MSR(0x1a0, misc_enable) MSR(0x277, pat) MSR(0x48, spec_ctrl) MSR(0x3b, tsc_adjust)
	MSR(0xda0, xss) MSR(0x17a, mcg_status) MSR(0x17b, mcg_ctl)
	MSR(0x4b564d00, kvm_wall_clock) MSR(0x4b564d01, kvm_system_time)
	MSR(0x4b564d05, kvm_poll_control)
	MSR_TRY(0x2ff, mtrr_def) MSR_TRY(0x250, mtrr_fixed[0]) MSR_TRY(0x258, mtrr_fixed[1])
	MSR_TRY(0x259, mtrr_fixed[2]) MSR_TRY(0x268, mtrr_fixed[3]) MSR_TRY(0x269, mtrr_fixed[4])
	MSR_TRY(0x26a, mtrr_fixed[5]) MSR_TRY(0x26b, mtrr_fixed[6]) MSR_TRY(0x26c, mtrr_fixed[7])
	MSR_TRY(0x26d, mtrr_fixed[8]) MSR_TRY(0x26e, mtrr_fixed[9]) MSR_TRY(0x26f, mtrr_fixed[10])
	MSR_TRY(0x200, mtrr_base[0]) MSR_TRY(0x201, mtrr_mask[0]) MSR_TRY(0x202, mtrr_base[1])
	MSR_TRY(0x203, mtrr_mask[1]) MSR_TRY(0x204, mtrr_base[2]) MSR_TRY(0x205, mtrr_mask[2])
	MSR_TRY(0x206, mtrr_base[3]) MSR_TRY(0x207, mtrr_mask[3]) MSR_TRY(0x208, mtrr_base[4])
	MSR_TRY(0x209, mtrr_mask[4]) MSR_TRY(0x20a, mtrr_base[5]) MSR_TRY(0x20b, mtrr_mask[5])
	MSR_TRY(0x20c, mtrr_base[6]) MSR_TRY(0x20d, mtrr_mask[6]) MSR_TRY(0x20e, mtrr_base[7])
	MSR_TRY(0x20f, mtrr_mask[7])
#undef MSR
#undef MSR_TRY
};
enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

static bool msr_present(const struct kvm_vm *vm, unsigned i)
{
	return !msr_table[i].listed ||
		g_hash_table_contains(vm->msrs, GUINT_TO_POINTER(msr_table[i].index));
}

static bool msr_get(struct kvm_vcpu *k, uint32_t index, uint64_t *val)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = index };

	if (kvm_ioctl(k->fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*val = m.entry.data;
	return true;
}

static bool msr_set(struct kvm_vcpu *k, uint32_t index, uint64_t val)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry = { .index = index, .data = val } };

	return kvm_ioctl(k->fd, KVM_SET_MSRS, &m) == 1;
}

static void segment_pull(struct x86_segment *d, const struct kvm_segment *s)
{
	d->sel = s->selector;
	d->base = s->base;
	d->limit = s->limit;
	d->attr = (uint16_t)(s->type | s->s << 4 | s->dpl << SEG_ATTR_DPL_SHIFT | s->present << 7 |
		s->avl << 8 | s->l << 9 | s->db << 10 | s->g << 11 | s->unusable << 12);
}

static void segment_push(struct kvm_segment *d, const struct x86_segment *s)
{
	*d = (struct kvm_segment){
		.selector = s->sel, .base = s->base, .limit = s->limit, .type = s->attr & SEG_ATTR_TYPE,
		.s = s->attr >> 4 & 1, .dpl = s->attr >> SEG_ATTR_DPL_SHIFT & 3, .present = s->attr >> 7 & 1,
		.avl = s->attr >> 8 & 1, .l = s->attr >> 9 & 1, .db = s->attr >> 10 & 1,
		.g = s->attr >> 11 & 1, .unusable = s->attr >> 12 & 1,
	};
}

/* Segments in the order of enum x86_seg. */
static struct kvm_segment *segment_of(struct kvm_sregs *s, unsigned seg)
{
	struct kvm_segment *const map[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };

	return map[seg];
}

static void regs_pull(struct x86_cpu *c, const struct kvm_regs *r)
{
	const uint64_t gpr[16] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	memcpy(c->gpr, gpr, sizeof(gpr));
	c->rip = r->rip;
	c->rflags = r->rflags;
}

static void regs_push(struct kvm_regs *r, const struct x86_cpu *c)
{
	const uint64_t *g = c->gpr;

	*r = (struct kvm_regs){
		.rax = g[RAX], .rcx = g[RCX], .rdx = g[RDX], .rbx = g[RBX], .rsp = g[RSP], .rbp = g[RBP],
		.rsi = g[RSI], .rdi = g[RDI], .r8 = g[R8], .r9 = g[R9], .r10 = g[R10], .r11 = g[R11],
		.r12 = g[R12], .r13 = g[R13], .r14 = g[R14], .r15 = g[R15],
		.rip = c->rip, .rflags = c->rflags,
	};
}

static void sregs_pull(struct x86_cpu *c, struct kvm_sregs *s)
{
	for (unsigned i = 0; i < 6; i++)
		segment_pull(&c->seg[i], segment_of(s, i));
	segment_pull(&c->ldtr, &s->ldt);
	segment_pull(&c->tr, &s->tr);
	c->gdtr = (struct x86_table){ s->gdt.base, s->gdt.limit };
	c->idtr = (struct x86_table){ s->idt.base, s->idt.limit };
	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->cr8 = s->cr8;
	c->efer = s->efer;
	c->apic_base = s->apic_base;
}

static void sregs_push(struct kvm_sregs *s, const struct x86_cpu *c)
{
	for (unsigned i = 0; i < 6; i++)
		segment_push(segment_of(s, i), &c->seg[i]);
	segment_push(&s->ldt, &c->ldtr);
	segment_push(&s->tr, &c->tr);
	s->gdt.base = c->gdtr.base;
	s->gdt.limit = (uint16_t)c->gdtr.limit;
	s->idt.base = c->idtr.base;
	s->idt.limit = (uint16_t)c->idtr.limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = c->cr8;
	s->efer = c->efer;
	s->apic_base = c->apic_base;
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
}

/* The XSAVE area in KVM's (standard, uncompacted) form. */
enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FX_MXCSR = 24,
       FX_MXCSR_MASK = 28, FX_ST = 32, FX_XMM = 160, XS_BV = 512, XS_YMM = 576,
       XF_X87 = 1, XF_SSE = 2, XF_AVX = 4, XF_PKRU = 1 << 9, PKRU_COMPONENT = 9 };

static void xsave_pull(struct x86_cpu *c, const uint8_t *x)
{
	struct x86_fpu *f = &c->fpu;
	uint64_t bv;
	uint32_t off, size;

	memcpy(&bv, x + XS_BV, 8);
	memcpy(&f->fcw, x + FX_FCW, 2);
	memcpy(&f->fsw, x + FX_FSW, 2);
	f->ftw = x[FX_FTW];
	memcpy(&f->fop, x + FX_FOP, 2);
	memcpy(&f->fip, x + FX_FIP, 8);
	memcpy(&f->fdp, x + FX_FDP, 8);
	memcpy(f->st, x + FX_ST, sizeof(f->st));
	memcpy(&c->mxcsr, x + FX_MXCSR, 4);
	if (!(bv & XF_X87)) /* in its initial state: the bytes may be stale */
		*f = (struct x86_fpu){ .fcw = 0x37f };
	for (unsigned i = 0; i < 16; i++) {
		memset(c->ymm[i], 0, 32);
		if (bv & XF_SSE)
			memcpy(c->ymm[i], x + FX_XMM + 16 * i, 16);
		if (bv & XF_AVX)
			memcpy((uint8_t *)c->ymm[i] + 16, x + XS_YMM + 16 * i, 16);
	}
	c->pkru = 0;
	if (bv & XF_PKRU && x86_xsave_component(PKRU_COMPONENT, &off, &size))
		memcpy(&c->pkru, x + off, 4);
}

static void xsave_push(uint8_t *x, const struct x86_cpu *c, uint64_t can)
{
	const struct x86_fpu *f = &c->fpu;
	uint64_t bv = (XF_X87 | XF_SSE | XF_AVX | XF_PKRU) & can;
	uint32_t off, size;

	memcpy(x + FX_FCW, &f->fcw, 2);
	memcpy(x + FX_FSW, &f->fsw, 2);
	x[FX_FTW] = f->ftw;
	memcpy(x + FX_FOP, &f->fop, 2);
	memcpy(x + FX_FIP, &f->fip, 8);
	memcpy(x + FX_FDP, &f->fdp, 8);
	memcpy(x + FX_ST, f->st, sizeof(f->st));
	memcpy(x + FX_MXCSR, &c->mxcsr, 4);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(x + FX_XMM + 16 * i, c->ymm[i], 16);
		if (bv & XF_AVX)
			memcpy(x + XS_YMM + 16 * i, (const uint8_t *)c->ymm[i] + 16, 16);
	}
	if (bv & XF_PKRU && x86_xsave_component(PKRU_COMPONENT, &off, &size))
		memcpy(x + off, &c->pkru, 4);
	memcpy(x + XS_BV, &bv, 8);
}

static int fpu_pull(struct kvm_vcpu *k)
{
	struct kvm_xsave x = { 0 };
	struct kvm_xcrs xcrs = { 0 };
	int rc;

	if (!k->vm->xsave)
		return -ENOTSUP;
	rc = kvm_ioctl(k->fd, KVM_GET_XSAVE, &x);
	if (rc < 0)
		return rc;
	xsave_pull(&k->arch, (const uint8_t *)x.region);
	k->arch.xcr0 = 1;
	if (k->vm->xcrs && kvm_ioctl(k->fd, KVM_GET_XCRS, &xcrs) >= 0) {
		for (unsigned i = 0; i < xcrs.nr_xcrs; i++)
			if (xcrs.xcrs[i].xcr == 0)
				k->arch.xcr0 = xcrs.xcrs[i].value;
	}
	return 0;
}

static int fpu_push(struct kvm_vcpu *k)
{
	struct kvm_xsave x = { 0 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = k->arch.xcr0 } };

	if (!k->vm->xsave)
		return -ENOTSUP;
	if (k->vm->xcrs && k->vm->xcr0)
		kvm_ioctl(k->fd, KVM_SET_XCRS, &xcrs);
	xsave_push((uint8_t *)x.region, &k->arch, k->vm->xcr0);
	return kvm_ioctl(k->fd, KVM_SET_XSAVE, &x);
}

static int events_pull(struct kvm_vcpu *k)
{
	struct x86_cpu *c = &k->arch;
	struct kvm_vcpu_events e = { 0 };
	struct kvm_mp_state mp = { 0 };
	int rc = kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &e);

	if (rc >= 0)
		rc = kvm_ioctl(k->fd, KVM_GET_MP_STATE, &mp);
	if (rc < 0)
		return rc;
	c->exception_pending = e.exception.injected;
	c->exception_vector = e.exception.nr;
	c->exception_has_error = e.exception.has_error_code;
	c->exception_error = e.exception.error_code;
	c->intr_injected = e.interrupt.injected && !e.interrupt.soft;
	c->intr_vector = e.interrupt.nr;
	c->interrupt_shadow = e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? 2
		: e.interrupt.shadow & KVM_X86_SHADOW_INT_STI ? 1 : 0;
	c->nmi_pending = e.nmi.pending || e.nmi.injected;
	c->nmi_masked = e.nmi.masked;
	c->activity = mp.mp_state == KVM_MP_STATE_HALTED ? X86_HALTED
		: mp.mp_state == KVM_MP_STATE_RUNNABLE ? X86_RUNNING : X86_WAIT_SIPI;
	return 0;
}

static int events_push(struct kvm_vcpu *k)
{
	const struct x86_cpu *c = &k->arch;
	struct kvm_vcpu_events e = {
		.exception = { .injected = c->exception_pending, .nr = c->exception_vector,
			.has_error_code = c->exception_has_error, .error_code = c->exception_error },
		.interrupt = { .injected = c->intr_injected, .nr = c->intr_vector,
			.shadow = c->interrupt_shadow == 2 ? KVM_X86_SHADOW_INT_MOV_SS
				: c->interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0 },
		.nmi = { .pending = c->nmi_pending, .masked = c->nmi_masked },
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};
	struct kvm_mp_state mp = {
		.mp_state = c->activity == X86_HALTED ? KVM_MP_STATE_HALTED
			: c->activity == X86_WAIT_SIPI ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE,
	};
	int rc = kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, &e);

	return rc < 0 ? rc : kvm_ioctl(k->fd, KVM_SET_MP_STATE, &mp);
}

static void debug_pull(struct kvm_vcpu *k)
{
	struct kvm_debugregs d = { 0 };

	if (!k->vm->debugregs || kvm_ioctl(k->fd, KVM_GET_DEBUGREGS, &d) < 0)
		return;
	memcpy(k->arch.dr, d.db, sizeof(d.db));
	k->arch.dr[6] = d.dr6;
	k->arch.dr[7] = d.dr7;
}

static void debug_push(struct kvm_vcpu *k)
{
	struct kvm_debugregs d = { .dr6 = k->arch.dr[6], .dr7 = k->arch.dr[7] };

	memcpy(d.db, k->arch.dr, sizeof(d.db));
	if (k->vm->debugregs)
		kvm_ioctl(k->fd, KVM_SET_DEBUGREGS, &d);
}

int kvm_pull(struct vcpu *c, GError **error)
{
	struct kvm_vcpu *k = c->engine;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	int rc = kvm_ioctl(k->fd, KVM_GET_REGS, &regs);

	if (rc >= 0)
		rc = kvm_ioctl(k->fd, KVM_GET_SREGS, &sregs);
	if (rc >= 0)
		rc = fpu_pull(k);
	if (rc >= 0)
		rc = events_pull(k);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: cannot read vCPU %u", c->index);
	regs_pull(&k->arch, &regs);
	sregs_pull(&k->arch, &sregs);
	debug_pull(k);
	for (unsigned i = 0; i < G_N_ELEMENTS(msr_table); i++) {
		if (msr_present(k->vm, i))
			msr_get(k, msr_table[i].index, (uint64_t *)((uint8_t *)&k->arch + msr_table[i].offset));
	}
	msr_get(k, MSR_TSC, &k->arch.tsc);
	msr_get(k, MSR_TSC_DEADLINE, &k->arch.tsc_deadline);
	return 0;
}

/* Order: SREGS say where the local APIC is and in which mode, before its registers; the deadline needs
 * the APIC's timer mode and the TSC. */
int kvm_push(struct vcpu *c, GError **error)
{
	struct kvm_vcpu *k = c->engine;
	struct kvm_lapic_state *lapic = g_hash_table_lookup(k->vm->lapics, GUINT_TO_POINTER(c->index));
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	int rc = kvm_ioctl(k->fd, KVM_GET_SREGS, &sregs);

	regs_push(&regs, &k->arch);
	sregs_push(&sregs, &k->arch);
	if (rc >= 0)
		rc = kvm_ioctl(k->fd, KVM_SET_SREGS, &sregs);
	if (rc >= 0)
		rc = kvm_ioctl(k->fd, KVM_SET_REGS, &regs);
	if (rc >= 0)
		rc = fpu_push(k);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_STATE, -rc, "KVM refuses the state of vCPU %u", c->index);
	if (k->arch.tsc)
		msr_set(k, MSR_TSC, k->arch.tsc);
	for (unsigned i = 0; i < G_N_ELEMENTS(msr_table); i++) {
		if (msr_present(k->vm, i))
			msr_set(k, msr_table[i].index,
				*(uint64_t *)((uint8_t *)&k->arch + msr_table[i].offset));
	}
	if (lapic) {
		kvm_ioctl(k->fd, KVM_SET_LAPIC, lapic);
		g_hash_table_remove(k->vm->lapics, GUINT_TO_POINTER(c->index));
	}
	msr_set(k, MSR_TSC_DEADLINE, k->arch.tsc_deadline);
	debug_push(k);
	rc = events_push(k);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_STATE, -rc, "KVM refuses the events of vCPU %u", c->index);
	return 0;
}
