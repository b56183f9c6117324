/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * helpers.h: C functions that lifted x86 code calls (IR_CALL). Three arguments at most, all uint64_t.
 *
 * "ok" helpers return true, or false with an exception recorded and no guest state changed; a value
 * goes to hot.ret. On entry gpr[] is current, rip is that of the present instruction, and rflags must be
 * read with x86_rflags(). Helpers that change rip say so: the lifter follows them with EXIT_LOOP; all
 * others let the lifter go on (or end the block where the mode may have changed).
 * `next` = length of the present instruction: what rip advances by where the helper sets it.
 */
#ifndef ACCEL_JIT_X86_HELPERS_H
#define ACCEL_JIT_X86_HELPERS_H

#include <stdbool.h>
#include <stdint.h>

struct jit_vcpu;

/* exceptions and software interrupts; set rip (handler entered by the loop via deliver for faults) */
bool x86_h_raise(struct jit_vcpu *v, uint64_t vector);			/* #UD etc.: always false */
bool x86_h_raise_error(struct jit_vcpu *v, uint64_t vector, uint64_t error);
bool x86_h_int(struct jit_vcpu *v, uint64_t vector, uint64_t next);	/* int n (IOPL, VM86 checks); sets rip */
bool x86_h_int3(struct jit_vcpu *v, uint64_t vector, uint64_t next);	/* int3, into: vector 3 or 4; sets rip */
bool x86_h_int1(struct jit_vcpu *v, uint64_t next);
bool x86_h_iret(struct jit_vcpu *v, uint64_t opsize);			/* sets rip */
bool x86_h_syscall(struct jit_vcpu *v, uint64_t next);			/* sets rip */
bool x86_h_sysret(struct jit_vcpu *v, uint64_t opsize);			/* sets rip */
bool x86_h_sysenter(struct jit_vcpu *v);				/* sets rip */
bool x86_h_sysexit(struct jit_vcpu *v, uint64_t opsize);		/* sets rip */
bool x86_h_hlt(struct jit_vcpu *v, uint64_t next);			/* sets rip */
bool x86_h_mwait(struct jit_vcpu *v, uint64_t next);			/* sets rip */

/* far control transfers; set rip */
bool x86_h_far_jmp(struct jit_vcpu *v, uint64_t sel, uint64_t off, uint64_t opsize_next); /* opsize | next << 8 */
bool x86_h_far_call(struct jit_vcpu *v, uint64_t sel, uint64_t off, uint64_t opsize_next);
bool x86_h_far_ret(struct jit_vcpu *v, uint64_t opsize, uint64_t pop);

/* segments. `seg` is enum x86_seg. After x86_h_load_seg the block ends (mode may change); SS: shadow. */
bool x86_h_load_seg(struct jit_vcpu *v, uint64_t seg, uint64_t sel);
bool x86_h_load_ss(struct jit_vcpu *v, uint64_t sel);	/* mov ss / pop ss: as above plus interrupt shadow */
bool x86_h_lldt(struct jit_vcpu *v, uint64_t sel);
bool x86_h_ltr(struct jit_vcpu *v, uint64_t sel);
bool x86_h_sldt_str(struct jit_vcpu *v, uint64_t which);	/* 0 sldt, 1 str: value in ret; UMIP */
bool x86_h_lar(struct jit_vcpu *v, uint64_t sel);	/* ret = rights, hot.arith ZF set accordingly */
bool x86_h_lsl(struct jit_vcpu *v, uint64_t sel);
bool x86_h_verr(struct jit_vcpu *v, uint64_t sel, uint64_t write);
bool x86_h_arpl(struct jit_vcpu *v, uint64_t dst, uint64_t src);
bool x86_h_arpl_mem(struct jit_vcpu *v, uint64_t ea, uint64_t src);	/* ea: linear */
bool x86_h_sgdt_sidt(struct jit_vcpu *v, uint64_t ea, uint64_t which, uint64_t opsize); /* 0 gdt, 1 idt; stores */
bool x86_h_lgdt_lidt(struct jit_vcpu *v, uint64_t ea, uint64_t which, uint64_t opsize);
/* Limit, type and presence check of a data access where the mode is not flat: seg | write << 3 | size << 8.
 * Takes the offset, returns (in ret) the linear address. */
bool x86_h_seg_check(struct jit_vcpu *v, uint64_t offset, uint64_t seg_write_size);
/* Do `bytes` of code from here lie within CS? ret = 0: not all, leave and run instructions one by one; in such
 * a block (X86_MODE_STEP) #GP. */
bool x86_h_code_check(struct jit_vcpu *v, uint64_t bytes);
/* A near branch to `target` (already cut to its size): #GP(0) beyond the limit of CS. */
bool x86_h_branch_check(struct jit_vcpu *v, uint64_t target);
bool x86_h_canonical(struct jit_vcpu *v, uint64_t va, uint64_t stack);	/* #GP or #SS if not canonical */

/* control registers, debug registers, MSRs, flags. Block ends after writes. */
bool x86_h_read_cr(struct jit_vcpu *v, uint64_t n);	/* 0, 2, 3, 4 */
bool x86_h_read_cr8(struct jit_vcpu *v);
bool x86_h_write_cr(struct jit_vcpu *v, uint64_t n, uint64_t val);
bool x86_h_clts(struct jit_vcpu *v);
bool x86_h_smsw(struct jit_vcpu *v);
bool x86_h_lmsw(struct jit_vcpu *v, uint64_t val);
bool x86_h_read_dr(struct jit_vcpu *v, uint64_t n);
bool x86_h_write_dr(struct jit_vcpu *v, uint64_t n, uint64_t val);
bool x86_h_rdmsr(struct jit_vcpu *v);		/* ECX → EDX:EAX */
bool x86_h_wrmsr(struct jit_vcpu *v);
bool x86_h_rdpmc(struct jit_vcpu *v);
bool x86_h_rdtsc(struct jit_vcpu *v, uint64_t aux);	/* 1: rdtscp (ECX too) */
bool x86_h_cpuid(struct jit_vcpu *v);
bool x86_h_pushf(struct jit_vcpu *v, uint64_t opsize);	/* ret = image to push (VM86 checks) */
bool x86_h_popf(struct jit_vcpu *v, uint64_t val, uint64_t opsize);	/* block ends */
bool x86_h_cli(struct jit_vcpu *v);
bool x86_h_sti(struct jit_vcpu *v);	/* the lifter keeps the next instruction in the block, then ends it */
bool x86_h_cld_std(struct jit_vcpu *v, uint64_t set);
bool x86_h_stac_clac(struct jit_vcpu *v, uint64_t set);
bool x86_h_swapgs(struct jit_vcpu *v);
bool x86_h_rdfsgs(struct jit_vcpu *v, uint64_t gs);	/* ret; checks CR4.FSGSBASE */
bool x86_h_wrfsgs(struct jit_vcpu *v, uint64_t gs, uint64_t val);
bool x86_h_rdpkru_wrpkru(struct jit_vcpu *v, uint64_t write);
bool x86_h_xgetbv(struct jit_vcpu *v);
bool x86_h_xsetbv(struct jit_vcpu *v);		/* block ends */
bool x86_h_invlpg(struct jit_vcpu *v, uint64_t va);
bool x86_h_invpcid(struct jit_vcpu *v, uint64_t ea, uint64_t type);
bool x86_h_wbinvd(struct jit_vcpu *v);		/* also invd: CPL 0 check only */
bool x86_h_rdrand(struct jit_vcpu *v, uint64_t size, uint64_t seed);	/* ret; CF=1, others 0 */
bool x86_h_rdpid(struct jit_vcpu *v);
bool x86_h_monitor(struct jit_vcpu *v);
bool x86_h_pause(struct jit_vcpu *v);		/* yields the host CPU when several vCPUs spin */
bool x86_h_vmcall(struct jit_vcpu *v);		/* KVM hypercalls offered in CPUID; else #UD */

/* ports: size 1, 2, 4; IOPL and TSS bitmap checked */
bool x86_h_in(struct jit_vcpu *v, uint64_t port, uint64_t size);
bool x86_h_out(struct jit_vcpu *v, uint64_t port, uint64_t size, uint64_t val);

/* String instructions with a rep prefix (and ins/outs always): do as much as can be done, advance RSI, RDI,
 * RCX; ret = 1: finished, rip may advance; 0: interrupted (event waits), run the instruction again.
 * A fault leaves the registers at the faulting iteration. op: X86_STR_*; desc packs:
 * size | addrsize << 4 | seg << 8 (source segment, enum x86_seg) | rep << 12 (0 none, 1 rep/repe, 2 repne). */
enum { X86_STR_MOVS, X86_STR_STOS, X86_STR_LODS, X86_STR_CMPS, X86_STR_SCAS, X86_STR_INS, X86_STR_OUTS };
bool x86_h_string(struct jit_vcpu *v, uint64_t op, uint64_t desc);
bool x86_h_string_io(struct jit_vcpu *v, uint64_t op, uint64_t desc);	/* INS, OUTS */

/* FPU/SSE/AVX state */
bool x86_h_vec_enter(struct jit_vcpu *v, uint64_t avx);	/* checks CR0/CR4/XCR0; #NM #UD; then the back end loads */
bool x86_h_fpu_enter(struct jit_vcpu *v, uint64_t how);	/* X86_FPU_* */
enum { X86_FPU_MMX = 1, X86_FPU_NO_WAIT = 2 }; /* the second: a pending exception stays pending */
bool x86_h_fxsave(struct jit_vcpu *v, uint64_t ea, uint64_t rex_w);
bool x86_h_fxrstor(struct jit_vcpu *v, uint64_t ea, uint64_t rex_w);
bool x86_h_xsave(struct jit_vcpu *v, uint64_t ea, uint64_t kind);	/* 0 xsave 1 xsaveopt 2 xsavec 3 xsaves; | W << 8 */
bool x86_h_xrstor(struct jit_vcpu *v, uint64_t ea, uint64_t kind);	/* 0 xrstor 1 xrstors */
bool x86_h_ldmxcsr(struct jit_vcpu *v, uint64_t val);
bool x86_h_stmxcsr(struct jit_vcpu *v);		/* ret */
bool x86_h_x87_env(struct jit_vcpu *v, uint64_t ea, uint64_t what, uint64_t opsize); /* 0 fnstenv 1 fldenv 2 fnsave 3 frstor */
bool x86_h_x87_ctl(struct jit_vcpu *v, uint64_t what, uint64_t val);	/* 0 fninit 1 fnclex 2 fldcw(val) 3 fnstcw 4 fnstsw
									  (ret) 5 emms 6 fwait */

/* odds and ends */
bool x86_h_enter(struct jit_vcpu *v, uint64_t size, uint64_t level, uint64_t opsize);
bool x86_h_bound(struct jit_vcpu *v, uint64_t index, uint64_t ea, uint64_t opsize);
bool x86_h_daa_group(struct jit_vcpu *v, uint64_t which, uint64_t imm);	/* 0 daa 1 das 2 aaa 3 aas 4 aam 5 aad */
bool x86_h_cmpxchg_16b(struct jit_vcpu *v, uint64_t ea);
/* maskmovq, maskmovdqu, vmaskmov, vpmaskmov, gathers; ea is linear (gathers: of base + displacement). */
bool x86_h_maskmov(struct jit_vcpu *v, uint64_t ea, uint64_t desc);
enum { X86_VMASK_MMX, X86_VMASK_SSE, X86_VMASK_LOAD, X86_VMASK_STORE, X86_VMASK_GATHER };
#define X86_VMASK_KIND(d)    ((unsigned)(d) & 15)
#define X86_VMASK_REG(d)     ((unsigned)(d) >> 4 & 15)
#define X86_VMASK_MASK(d)    ((unsigned)(d) >> 8 & 15)	/* register that holds the mask */
#define X86_VMASK_INDEX(d)   ((unsigned)(d) >> 12 & 15)	/* gathers: index register */
#define X86_VMASK_SIZE(d)    ((unsigned)(d) >> 16 & 3)	/* log2 of an element's bytes */
#define X86_VMASK_L(d)	     ((unsigned)(d) >> 18 & 1)
#define X86_VMASK_INDEX64(d) ((unsigned)(d) >> 19 & 1)
#define X86_VMASK_SCALE(d)   ((unsigned)(d) >> 20 & 3)
#define X86_VMASK_A32(d)     ((unsigned)(d) >> 22 & 1)	/* addresses wrap at 4 GiB */

/*
 * Helpers that touch general registers only (IRO_LIGHT), they and all they call: live vector registers need
 * not be spilled around them. Their files are built with -mgeneral-regs-only.
 */
#define X86_LIGHT_HELPERS(X)                                                                       \
	X(x86_h_raise) X(x86_h_raise_error) X(x86_h_int) X(x86_h_int3) X(x86_h_int1) X(x86_h_iret)        \
	X(x86_h_syscall) X(x86_h_sysret) X(x86_h_sysenter) X(x86_h_sysexit) X(x86_h_hlt)                  \
	X(x86_h_far_jmp) X(x86_h_far_call) X(x86_h_far_ret) X(x86_h_load_seg) X(x86_h_load_ss)            \
	X(x86_h_lldt) X(x86_h_ltr) X(x86_h_sldt_str) X(x86_h_lar) X(x86_h_lsl) X(x86_h_verr)              \
	X(x86_h_arpl) X(x86_h_arpl_mem) X(x86_h_sgdt_sidt) X(x86_h_lgdt_lidt) X(x86_h_seg_check) X(x86_h_code_check) X(x86_h_branch_check)        \
	X(x86_h_read_cr) X(x86_h_smsw) X(x86_h_read_dr) X(x86_h_rdtsc) X(x86_h_pushf) X(x86_h_popf)       \
	X(x86_h_cli) X(x86_h_sti) X(x86_h_cld_std) X(x86_h_stac_clac) X(x86_h_swapgs) X(x86_h_rdfsgs)     \
	X(x86_h_wrfsgs) X(x86_h_rdpid) X(x86_h_string) X(x86_h_enter) X(x86_h_bound) X(x86_h_daa_group)   \
	X(x86_h_cmpxchg_16b) X(x86_h_wbinvd) X(x86_h_canonical)

#endif
