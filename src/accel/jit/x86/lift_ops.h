/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lift_ops.h: the lifters of the general instructions, for lift_table.c. */
#ifndef ACCEL_JIT_X86_LIFT_OPS_H
#define ACCEL_JIT_X86_LIFT_OPS_H

#include "accel/jit/x86/lift.h"

/* lift_arith.c */
x86_lifter x86_lift_arith, x86_lift_arith_imm, x86_lift_test, x86_lift_test_imm, x86_lift_incdec,
	x86_lift_group3, x86_lift_incdec_rm, x86_lift_imul2, x86_lift_imul3, x86_lift_xadd,
	x86_lift_cmpxchg, x86_lift_bcd, x86_lift_aam_aad, x86_lift_salc, x86_lift_flagop;
/* lift_data.c */
x86_lifter x86_lift_mov, x86_lift_mov_imm, x86_lift_mov_rm_imm, x86_lift_moffs, x86_lift_lea,
	x86_lift_xchg, x86_lift_xchg_ax, x86_lift_cbw, x86_lift_cwd, x86_lift_movsxd_arpl,
	x86_lift_movx, x86_lift_cmov, x86_lift_setcc, x86_lift_bswap, x86_lift_xlat, x86_lift_lahf,
	x86_lift_movnti, x86_lift_nop_rm;
/* lift_bits.c */
x86_lifter x86_lift_shift, x86_lift_shiftd, x86_lift_bt, x86_lift_bt_imm, x86_lift_bsf,
	x86_lift_popcnt;
/* lift_stack.c */
x86_lifter x86_lift_push, x86_lift_pop, x86_lift_push_imm, x86_lift_pop_rm, x86_lift_push_seg,
	x86_lift_pop_seg, x86_lift_pusha, x86_lift_popa, x86_lift_pushf, x86_lift_popf,
	x86_lift_enter, x86_lift_leave;
bool x86_lift_push_rm(struct x86_lift *l);
/* lift_flow.c */
x86_lifter x86_lift_jmp, x86_lift_jcc, x86_lift_call, x86_lift_ret, x86_lift_loop, x86_lift_group5,
	x86_lift_far_imm, x86_lift_far_ret, x86_lift_int, x86_lift_iret, x86_lift_hlt;
/* lift_string.c */
x86_lifter x86_lift_string, x86_lift_ins_outs, x86_lift_in_out;
/* lift_sys.c */
x86_lifter x86_lift_mov_seg, x86_lift_load_far, x86_lift_bound, x86_lift_ifl, x86_lift_df,
	x86_lift_group6, x86_lift_group7, x86_lift_lar_lsl, x86_lift_mov_cr, x86_lift_mov_dr,
	x86_lift_0f_system, x86_lift_cpuid, x86_lift_ud;
/* lift_state.c */
x86_lifter x86_lift_group9, x86_lift_group15;

#endif
