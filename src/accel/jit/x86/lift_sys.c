/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_sys.c: segment registers, system registers, flags that are not arithmetic. Checks of
 * privilege are the helpers'. Spec: SDM vol. 3, chapter 2 and 5.9; vol. 2.
 */
#include "accel/jit/x86/lift_ops.h"

static bool protected_mode(const struct x86_lift *l)
{
	return (l->mode & X86_MODE_PE) && !(l->mode & X86_MODE_VM);
}

/* A selector-sized result: 16 bits in memory, zero-extended in a register. */
static void set_rm16(struct x86_lift *l, uint16_t v)
{
	x86_set_rm(l, l->in.is_mem ? 2 : l->in.osize, v);
}

/* 8C, 8E */
bool x86_lift_mov_seg(struct x86_lift *l)
{
	unsigned seg = l->in.reg & 7;
	uint16_t sel;

	if (seg > SEG_GS || (seg == SEG_CS && l->in.opcode == 0x8e))
		return false;
	if (l->in.opcode == 0x8c) {
		set_rm16(l, x86_load_state(
				    l, x86_seg_state(seg, offsetof(struct x86_segment, sel)), 2));
		return true;
	}
	sel = ir_temp(l->b);
	x86_op(l, IR_ZX16, IR_64, sel, x86_rm(l, 2), IR_NONE);
	if (seg == SEG_SS)
		X86_CALL(l, x86_h_load_ss, sel, IR_NONE, IR_NONE);
	else
		X86_CALL(l, x86_h_load_seg, x86_const(l, seg), sel, IR_NONE);
	x86_segment_loaded(l, seg);
	return true;
}

/* LES (C4), LDS (C5), LSS, LFS, LGS (0F B2, B4, B5) */
bool x86_lift_load_far(struct x86_lift *l)
{
	unsigned size = l->cfg->amd && l->in.osize == 8 ? 4 : l->in.osize, seg;
	struct x86_mem m;
	uint16_t off, sel;

	if (!l->in.is_mem)
		return false;
	if (l->in.map == X86_MAP_1BYTE)
		seg = l->in.opcode == 0xc4 ? SEG_ES : SEG_DS;
	else
		seg = l->in.opcode & 7;
	m = x86_mem(l, size + 2, false);
	off = x86_load(l, size, m);
	m.disp = (int32_t)((uint32_t)m.disp + size);
	sel = x86_load(l, 2, m);
	X86_CALL(l, x86_h_load_seg, x86_const(l, seg), sel, IR_NONE);
	x86_set_reg(l, l->in.reg, size, off);
	if (!l->x64)
		x86_exit_next(l);
	return true;
}

bool x86_lift_bound(struct x86_lift *l)
{
	unsigned size = l->in.osize;
	uint16_t ea;

	if (l->x64 || !l->in.is_mem)
		return false;
	ea = x86_linear(l, size, false);
	/* the upper bound's limit and alignment */
	l->in.disp = (int32_t)((uint32_t)l->in.disp + size);
	x86_linear(l, size, false);
	X86_CALL(l, x86_h_bound, l->in.reg, ea, x86_const(l, size));
	return true;
}

/* CLI (FA), STI (FB) */
bool x86_lift_ifl(struct x86_lift *l)
{
	if (l->in.opcode == 0xfa) {
		X86_CALL(l, x86_h_cli, IR_NONE, IR_NONE, IR_NONE);
	} else {
		X86_CALL(l, x86_h_sti, IR_NONE, IR_NONE, IR_NONE);
		l->end_after = true;
	}
	return true;
}

/* CLD (FC), STD (FD): RFLAGS.DF and the step string instructions take */
bool x86_lift_df(struct x86_lift *l)
{
	bool set = l->in.opcode & 1;
	uint16_t old = x86_load_state(l, X86_STATE(rflags), 8), now = ir_temp(l->b);

	x86_op_imm(l, set ? IR_OR : IR_AND, IR_64, now, old, set ? X86_FL_DF : ~(int64_t)X86_FL_DF);
	x86_store_state(l, X86_STATE(rflags), 8, now);
	x86_store_state(l, X86_HOT(df_step), 8, x86_const(l, set ? -1 : 1));
	return true;
}

/* 0F 00 */
bool x86_lift_group6(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;
	uint16_t sel;

	if (!protected_mode(l) || digit > 5)
		return false;
	if (digit < 2) {
		set_rm16(l, X86_CALL_RET(l, x86_h_sldt_str, x86_const(l, digit), IR_NONE, IR_NONE));
		return true;
	}
	sel = ir_temp(l->b);
	x86_op(l, IR_ZX16, IR_64, sel, x86_rm(l, 2), IR_NONE);
	if (digit == 2)
		X86_CALL(l, x86_h_lldt, sel, IR_NONE, IR_NONE);
	else if (digit == 3)
		X86_CALL(l, x86_h_ltr, sel, IR_NONE, IR_NONE);
	else
		X86_CALL(l, x86_h_verr, sel, x86_const(l, digit - 4), IR_NONE);
	return true;
}

/* CLZERO: the cache line RAX points into */
static bool lift_clzero(struct x86_lift *l)
{
	struct x86_mem m = {
		.a = ir_temp(l->b), .b = IR_NONE, .mem = x86_asize_bits(l, l->in.asize)
	};
	uint16_t zero;

	if (!x86_lift_has(l, FEAT_8000_0008_EBX, 0))
		return false;
	x86_op_imm(l, IR_AND, IR_64, m.a, RAX, ~(int64_t)63);
	m = x86_mem_seg(l, m, l->in.seg == X86_NO_SEG ? SEG_DS : l->in.seg, 64, true);
	zero = x86_const(l, 0);
	for (unsigned i = 0; i < 8; i++, m.disp += 8)
		x86_store(l, 8, m, zero);
	return true;
}

/* The forms of 0F 01 without an operand, by the whole ModRM byte. */
static bool lift_0f01_reg(struct x86_lift *l)
{
	bool plain = !l->in.pp;

	switch (l->in.modrm) {
	case 0xc1:
	case 0xd9: /* VMCALL, VMMCALL */
		X86_CALL(l, x86_h_vmcall, IR_NONE, IR_NONE, IR_NONE);
		return true;
	case 0xc8: /* MONITOR */
		if (!x86_lift_has(l, FEAT_1_ECX, 3))
			return false;
		X86_CALL(l, x86_h_monitor, IR_NONE, IR_NONE, IR_NONE);
		return true;
	case 0xc9: /* MWAIT */
		if (!x86_lift_has(l, FEAT_1_ECX, 3))
			return false;
		X86_CALL(l, x86_h_mwait, x86_const(l, l->in.len), IR_NONE, IR_NONE);
		x86_exit_loop(l);
		return true;
	case 0xca:
	case 0xcb: /* CLAC, STAC */
		if (!plain || !x86_lift_has(l, FEAT_7_0_EBX, 20))
			return false;
		X86_CALL(l, x86_h_stac_clac, x86_const(l, l->in.modrm & 1), IR_NONE, IR_NONE);
		return true;
	case 0xd0: /* XGETBV */
		if (!plain || !x86_lift_has(l, FEAT_1_ECX, 26))
			return false;
		X86_CALL(l, x86_h_xgetbv, IR_NONE, IR_NONE, IR_NONE);
		return true;
	case 0xd1: /* XSETBV */
		if (!plain || !x86_lift_has(l, FEAT_1_ECX, 26))
			return false;
		X86_CALL(l, x86_h_xsetbv, IR_NONE, IR_NONE, IR_NONE);
		x86_exit_next(l);
		return true;
	case 0xee:
	case 0xef: /* RDPKRU, WRPKRU */
		if (!plain || !x86_lift_has(l, FEAT_7_0_ECX, 3))
			return false;
		X86_CALL(l, x86_h_rdpkru_wrpkru, x86_const(l, l->in.modrm & 1), IR_NONE, IR_NONE);
		return true;
	case 0xf8: /* SWAPGS */
		if (!l->x64)
			return false;
		X86_CALL(l, x86_h_swapgs, IR_NONE, IR_NONE, IR_NONE);
		return true;
	case 0xf9: /* RDTSCP */
		if (!x86_lift_has(l, FEAT_8000_0001_EDX, 27))
			return false;
		X86_CALL(l, x86_h_rdtsc, x86_const(l, 1), IR_NONE, IR_NONE);
		return true;
	case 0xfc: return lift_clzero(l);
	default: return false;
	}
}

/* 0F 01 */
bool x86_lift_group7(struct x86_lift *l)
{
	unsigned digit = l->in.reg & 7;
	uint16_t ea, which, size;

	switch (digit) {
	case 4: /* SMSW */
		set_rm16(l, X86_CALL_RET(l, x86_h_smsw, IR_NONE, IR_NONE, IR_NONE));
		return true;
	case 6: /* LMSW */
		X86_CALL(l, x86_h_lmsw, x86_rm(l, 2), IR_NONE, IR_NONE);
		x86_exit_next(l);
		return true;
	default: break;
	}
	if (!l->in.is_mem)
		return lift_0f01_reg(l);
	if (digit == 5)
		return false;
	if (digit == 7) { /* INVLPG: no access, no fault */
		ea = ir_temp(l->b);
		x86_mem_op(l, IR_LEA, IR_64, x86_mem_seg(l, x86_offset(l), l->in.mem_seg, 1, false))
			->d = ea;
		X86_CALL(l, x86_h_invlpg, ea, IR_NONE, IR_NONE);
		return true;
	}
	ea = x86_linear(l, l->x64 ? 10 : 6, digit < 2);
	which = x86_const(l, digit & 1);
	size = x86_const(l, l->x64 ? 8 : l->in.osize);
	l->end_here = true;
	if (digit < 2)
		X86_CALL(l, x86_h_sgdt_sidt, ea, which, size);
	else
		X86_CALL(l, x86_h_lgdt_lidt, ea, which, size);
	return true;
}

/* LAR, LSL: ZF says whether there is a result */
bool x86_lift_lar_lsl(struct x86_lift *l)
{
	uint16_t sel = ir_temp(l->b), val;
	struct ir_op *o;

	if (!protected_mode(l))
		return false;
	x86_op(l, IR_ZX16, IR_64, sel, x86_rm(l, 2), IR_NONE);
	if (l->in.opcode == 0x02)
		val = X86_CALL_RET(l, x86_h_lar, sel, IR_NONE, IR_NONE);
	else
		val = X86_CALL_RET(l, x86_h_lsl, sel, IR_NONE, IR_NONE);
	/* the upper half of the register survives a failure: select among 64-bit values */
	if (l->in.osize == 2) {
		o = x86_op(l, IR_CMOV, IR_16, l->in.reg, val, l->in.reg);
	} else {
		uint16_t wide = ir_temp(l->b);

		x86_op(l, IR_MOV, IR_32, wide, val, IR_NONE);
		o = x86_op(l, IR_CMOV, IR_64, l->in.reg, wide, l->in.reg);
	}
	o->cond = 4;
	o->fin = IRFL_ZF;
	return true;
}

bool x86_lift_mov_cr(struct x86_lift *l)
{
	unsigned n = l->in.reg, size = l->x64 ? 8 : 4;

	/* AMD: LOCK MOV CR0 names CR8, also outside 64-bit mode (APM vol. 3, MOV CRn) */
	if (l->in.lock) {
		if (n || !x86_lift_has(l, FEAT_8000_0001_ECX, 4))
			return false;
		n = 8;
	}
	if (n > 8 || !(1u << n & (1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8)))
		return false;
	if (l->in.opcode == 0x20) {
		x86_set_reg(l, l->in.rm, size,
			n == 8 ? X86_CALL_RET(l, x86_h_read_cr8, IR_NONE, IR_NONE, IR_NONE)
			       : X86_CALL_RET(l, x86_h_read_cr, x86_const(l, n), IR_NONE, IR_NONE));
		return true;
	}
	X86_CALL(l, x86_h_write_cr, x86_const(l, n), l->in.rm, IR_NONE);
	x86_exit_next(l);
	return true;
}

bool x86_lift_mov_dr(struct x86_lift *l)
{
	unsigned n = l->in.reg, size = l->x64 ? 8 : 4;

	if (n > 7)
		return false;
	if (l->in.opcode == 0x21) {
		x86_set_reg(l, l->in.rm, size,
			X86_CALL_RET(l, x86_h_read_dr, x86_const(l, n), IR_NONE, IR_NONE));
		return true;
	}
	X86_CALL(l, x86_h_write_dr, x86_const(l, n), l->in.rm, IR_NONE);
	x86_exit_next(l);
	return true;
}

bool x86_lift_cpuid(struct x86_lift *l)
{
	X86_CALL(l, x86_h_cpuid, IR_NONE, IR_NONE, IR_NONE);
	return true;
}

/* UD0, UD1, UD2 */
bool x86_lift_ud(struct x86_lift *l)
{
	return false;
}

/* SYSCALL, SYSRET, SYSENTER, SYSEXIT */
static bool lift_syscall(struct x86_lift *l)
{
	bool amd_pair = l->in.opcode < 0x10;

	if (amd_pair ? !x86_lift_has(l, FEAT_8000_0001_EDX, 11) : !x86_lift_has(l, FEAT_1_EDX, 11))
		return false;
	switch (l->in.opcode) {
	case 0x05: X86_CALL(l, x86_h_syscall, x86_const(l, l->in.len), IR_NONE, IR_NONE); break;
	case 0x07: X86_CALL(l, x86_h_sysret, x86_const(l, l->in.osize), IR_NONE, IR_NONE); break;
	case 0x34: X86_CALL(l, x86_h_sysenter, IR_NONE, IR_NONE, IR_NONE); break;
	default: X86_CALL(l, x86_h_sysexit, x86_const(l, l->in.osize), IR_NONE, IR_NONE); break;
	}
	x86_exit_rip(l);
	return true;
}

/* 0F 05..09, 30..35 */
bool x86_lift_0f_system(struct x86_lift *l)
{
	switch (l->in.opcode) {
	case 0x05:
	case 0x07:
	case 0x34:
	case 0x35: return lift_syscall(l);
	case 0x06: X86_CALL(l, x86_h_clts, IR_NONE, IR_NONE, IR_NONE); return true;
	case 0x08:
	case 0x09: X86_CALL(l, x86_h_wbinvd, IR_NONE, IR_NONE, IR_NONE); return true;
	case 0x30:
		X86_CALL(l, x86_h_wrmsr, IR_NONE, IR_NONE, IR_NONE);
		x86_exit_next(l);
		return true;
	case 0x31: X86_CALL(l, x86_h_rdtsc, x86_const(l, 0), IR_NONE, IR_NONE); return true;
	case 0x32: X86_CALL(l, x86_h_rdmsr, IR_NONE, IR_NONE, IR_NONE); return true;
	default: X86_CALL(l, x86_h_rdpmc, IR_NONE, IR_NONE, IR_NONE); return true;
	}
}
