/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.h: the architectural state of one x86-64 CPU, the same under KVM and the JIT, so that a
 * running guest can move between the two. Spec: Intel SDM vol. 1 and 3 (order 325462).
 *
 * Order matters for the JIT: what translated code touches most stands first (short displacements).
 */
#ifndef CPU_X86_STATE_H
#define CPU_X86_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/field.h"

enum x86_gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum x86_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

/* SDM vol. 3, 3.4.3 and 3.4.5: selector and the hidden part. */
struct x86_segment {
	uint64_t base;
	uint32_t limit;	 /* in bytes, granularity applied */
	uint16_t sel;
	uint16_t attr; /* bits 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G, 12 unusable */
};
enum {
	SEG_ATTR_TYPE = 0xf, SEG_ATTR_S = 1 << 4, SEG_ATTR_DPL_SHIFT = 5, SEG_ATTR_P = 1 << 7,
	SEG_ATTR_AVL = 1 << 8, SEG_ATTR_L = 1 << 9, SEG_ATTR_DB = 1 << 10, SEG_ATTR_G = 1 << 11,
	SEG_ATTR_UNUSABLE = 1 << 12,
};

struct x86_table {
	uint64_t base;
	uint32_t limit;
};

/* SDM vol. 1, 8.1 and 10.2.3; registers by stack position (0 = ST0), as FXSAVE stores them. */
struct x86_fpu {
	uint8_t st[8][16];	/* 80-bit values, 6 bytes of padding; st[i] is ST(i) */
	uint16_t fcw, fsw;	/* fsw holds TOP */
	uint8_t ftw;		/* abridged: bit = physical register not empty (FXSAVE form) */
	uint16_t fop;
	uint64_t fip, fdp;	/* 64-bit forms; selectors 0 */
	uint16_t fcs, fds;
};

/* Activity of the CPU between instructions. */
enum x86_activity { X86_RUNNING, X86_HALTED, X86_WAIT_SIPI, X86_SHUTDOWN };

struct x86_cpu {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags; /* all of RFLAGS, bit 1 set; canonical whenever translated code is left */
	uint64_t ymm[16][4];	/* 256-bit registers; low half is XMM */
	uint32_t mxcsr;
	struct x86_fpu fpu;

	struct x86_segment seg[6], ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, cr8; /* cr8 valid only where no intc holds the TPR */
	uint64_t xcr0, xss;
	uint64_t dr[8];		/* 4 and 5 unused */
	uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t apic_base;
	uint64_t pat, misc_enable, mtrr_def, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
	uint64_t spec_ctrl, tsc_adjust;
	uint64_t tsc_deadline;
	uint64_t tsc_offset; /* guest TSC = host TSC + offset; on save: guest TSC itself in `tsc` */
	uint64_t tsc;		/* valid in saved state only */
	uint64_t mcg_status, mcg_ctl;
	uint32_t pkru;
	/* KVM paravirtual MSRs (Linux Documentation/virt/kvm/x86/msr.rst), offered by both engines
	 */
	uint64_t kvm_wall_clock, kvm_system_time, kvm_poll_control;

	/* SDM vol. 3, 6.7 and 25.3: what is between instructions */
	uint8_t activity;	/* enum x86_activity */
	uint8_t interrupt_shadow; /* 1 after sti, 2 after mov ss; 0 none */
	uint8_t nmi_pending, nmi_masked;
	uint8_t exception_pending, exception_vector, exception_has_error;
	uint32_t exception_error;
	uint8_t intr_injected, intr_vector; /* KVM: an interrupt caught between ack and delivery */
	uint32_t apic_id;
};

enum {
	X86_CR0_PE = 1u << 0, X86_CR0_MP = 1u << 1, X86_CR0_EM = 1u << 2, X86_CR0_TS = 1u << 3,
	X86_CR0_ET = 1u << 4, X86_CR0_NE = 1u << 5, X86_CR0_WP = 1u << 16, X86_CR0_AM = 1u << 18,
	X86_CR0_NW = 1u << 29, X86_CR0_CD = 1u << 30, X86_CR0_PG = 1u << 31,
	X86_CR4_VME = 1u << 0, X86_CR4_PVI = 1u << 1, X86_CR4_TSD = 1u << 2, X86_CR4_DE = 1u << 3,
	X86_CR4_PSE = 1u << 4, X86_CR4_PAE = 1u << 5, X86_CR4_MCE = 1u << 6, X86_CR4_PGE = 1u << 7,
	X86_CR4_PCE = 1u << 8, X86_CR4_OSFXSR = 1u << 9, X86_CR4_OSXMMEXCPT = 1u << 10,
	X86_CR4_UMIP = 1u << 11, X86_CR4_LA57 = 1u << 12, X86_CR4_FSGSBASE = 1u << 16,
	X86_CR4_PCIDE = 1u << 17, X86_CR4_OSXSAVE = 1u << 18, X86_CR4_SMEP = 1u << 20,
	X86_CR4_SMAP = 1u << 21, X86_CR4_PKE = 1u << 22,
	X86_EFER_SCE = 1u << 0, X86_EFER_LME = 1u << 8, X86_EFER_LMA = 1u << 10,
	X86_EFER_NXE = 1u << 11, X86_EFER_FFXSR = 1u << 14,
	X86_FL_CF = 1u << 0, X86_FL_PF = 1u << 2, X86_FL_AF = 1u << 4, X86_FL_ZF = 1u << 6,
	X86_FL_SF = 1u << 7, X86_FL_TF = 1u << 8, X86_FL_IF = 1u << 9, X86_FL_DF = 1u << 10,
	X86_FL_OF = 1u << 11, X86_FL_IOPL = 3u << 12, X86_FL_NT = 1u << 14, X86_FL_RF = 1u << 16,
	X86_FL_VM = 1u << 17, X86_FL_AC = 1u << 18, X86_FL_VIF = 1u << 19, X86_FL_VIP = 1u << 20,
	X86_FL_ID = 1u << 21,
	X86_FL_ARITH = X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | X86_FL_SF | X86_FL_OF,
};

/* The saved-state table of the CPU (state.c). */
extern const struct field x86_cpu_state[];

/* Power-on / INIT state (SDM vol. 3, table 9-1). `bsp`: set in apic_base. Keeps apic_id and the TSC
 * fields; `init`: INIT rather than power-on (keeps caches, FPU, MTRRs, TSC). */
void x86_cpu_reset(struct x86_cpu *c, bool bsp, bool init);

#endif
