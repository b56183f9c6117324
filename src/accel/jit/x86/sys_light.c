/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_light.c: short instructions that kernels use all the time: interrupt flag, HLT, control
 * register reads, TSC; and ENTER, BOUND, BCD. Spec: SDM vol. 2.
 */
#include "accel/jit/x86/sys.h"
#include "core/vcpu.h"

/* ---- the interrupt flag (SDM vol. 2, CLI, STI; VME and PVI use VIF instead) */

enum if_access { IF_REAL, IF_VIRTUAL, IF_DENIED };

static enum if_access if_access(const struct x86_cpu *c)
{
	if (!x86_protected(c))
		return IF_REAL;
	if (x86_vm86(c)) {
		if (x86_iopl(c) == 3)
			return IF_REAL;
		return c->cr4 & X86_CR4_VME ? IF_VIRTUAL : IF_DENIED;
	}
	if (x86_cpl(c) <= x86_iopl(c))
		return IF_REAL;
	return x86_cpl(c) == 3 && c->cr4 & X86_CR4_PVI ? IF_VIRTUAL : IF_DENIED;
}

bool x86_h_cli(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	switch (if_access(c)) {
	case IF_REAL:
		c->rflags &= ~(uint64_t)X86_FL_IF;
		return true;
	case IF_VIRTUAL:
		c->rflags &= ~(uint64_t)X86_FL_VIF;
		return true;
	default:
		return x86_raise_error(v, X86_GP, 0);
	}
}

bool x86_h_sti(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	switch (if_access(c)) {
	case IF_REAL:
		if (!(c->rflags & X86_FL_IF)) {
			c->rflags |= X86_FL_IF;
			c->interrupt_shadow = 1;
			x86_private(v)->shadow_new = true;
			x86_check_events(v);
		}
		return true;
	case IF_VIRTUAL:
		if (c->rflags & X86_FL_VIP)
			return x86_raise_error(v, X86_GP, 0);
		c->rflags |= X86_FL_VIF;
		return true;
	default:
		return x86_raise_error(v, X86_GP, 0);
	}
}

bool x86_h_cld_std(struct jit_vcpu *v, uint64_t set)
{
	struct x86_cpu *c = v->arch;

	c->rflags = set ? c->rflags | X86_FL_DF : c->rflags & ~(uint64_t)X86_FL_DF;
	v->hot->df_step = set ? -1 : 1;
	return true;
}

bool x86_h_stac_clac(struct jit_vcpu *v, uint64_t set)
{
	struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return x86_raise(v, X86_UD);
	c->rflags = set ? c->rflags | X86_FL_AC : c->rflags & ~(uint64_t)X86_FL_AC;
	x86_space_update(v);
	return true;
}

bool x86_h_hlt(struct jit_vcpu *v, uint64_t next)
{
	struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	c->rip = x86_next_rip(v, (unsigned)next);
	c->activity = X86_HALTED;
	c->interrupt_shadow = 0;
	jit_request_exit(v->hot);
	return true;
}

/* ---- reading control registers */

bool x86_h_read_cr(struct jit_vcpu *v, uint64_t n)
{
	const struct x86_cpu *c = v->arch;

	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	switch (n) {
	case 0:
		v->hot->ret = c->cr0;
		return true;
	case 2:
		v->hot->ret = c->cr2;
		return true;
	case 3:
		v->hot->ret = c->cr3;
		return true;
	case 4:
		v->hot->ret = c->cr4;
		return true;
	default:
		return x86_raise(v, X86_UD);
	}
}

bool x86_h_smsw(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	if (c->cr4 & X86_CR4_UMIP && x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	v->hot->ret = c->cr0;
	return true;
}

bool x86_h_wbinvd(struct jit_vcpu *v)
{
	return x86_cpl(v->arch) == 0 || x86_raise_error(v, X86_GP, 0);
}

/* ---- time-stamp counter */

uint64_t x86_tsc(const struct jit_vcpu *v)
{
	return __builtin_ia32_rdtsc() + v->hot->tsc_offset;
}

bool x86_h_rdtsc(struct jit_vcpu *v, uint64_t aux)
{
	struct x86_cpu *c = v->arch;
	uint64_t tsc;

	if (c->cr4 & X86_CR4_TSD && x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	tsc = x86_tsc(v);
	c->gpr[RAX] = (uint32_t)tsc;
	c->gpr[RDX] = tsc >> 32;
	if (aux)
		c->gpr[RCX] = c->tsc_aux;
	return true;
}

bool x86_h_rdpid(struct jit_vcpu *v)
{
	v->hot->ret = x86_cpu_of(v)->tsc_aux;
	return true;
}

/* ---- ENTER */

bool x86_h_enter(struct jit_vcpu *v, uint64_t size, uint64_t level, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	struct x86_stack s, frame;
	const unsigned n = (unsigned)opsize;
	uint64_t frame_sp, val;

	x86_stack_current(v, &s);
	level &= 31;
	if (!x86_stack_push(&s, n, c->gpr[RBP]))
		return false;
	frame_sp = s.sp;
	if (level) {
		frame = s;
		frame.sp = c->gpr[RBP];
		for (uint64_t i = 1; i < level; i++) {
			frame.sp -= n;
			val = frame.sp;
			if (!x86_stack_pop(&frame, n, &val))
				return false;
			frame.sp -= n;
			if (!x86_stack_push(&s, n, val))
				return false;
		}
		if (!x86_stack_push(&s, n, frame_sp))
			return false;
	}
	s.sp = (s.sp & ~s.mask) | ((s.sp - size) & s.mask);
	if (!s.flat && !x86_limit_ok(&s.ss, s.sp & s.mask, 1))
		return x86_raise_error(v, X86_SS, 0);
	if (!jit_probe(v, s.flat ? s.sp : (uint32_t)(s.ss.base + (s.sp & s.mask)), 1, ACCESS_STORE,
		JIT_MEM_CPL))
		return false;
	x86_stack_commit(&s);
	if (n == 2)
		c->gpr[RBP] = (c->gpr[RBP] & ~(uint64_t)0xffff) | (frame_sp & 0xffff);
	else
		c->gpr[RBP] = n == 4 ? (uint32_t)frame_sp : frame_sp;
	return true;
}

/* ---- BOUND */

bool x86_h_bound(struct jit_vcpu *v, uint64_t index, uint64_t ea, uint64_t opsize)
{
	uint64_t low, high;
	int64_t i, l, h;

	if (!jit_load(v, ea, (unsigned)opsize, JIT_MEM_CPL, &low) ||
		!jit_load(v, (uint32_t)(ea + opsize), (unsigned)opsize, JIT_MEM_CPL, &high))
		return false;
	i = opsize == 2 ? (int16_t)index : (int32_t)index;
	l = opsize == 2 ? (int16_t)low : (int32_t)low;
	h = opsize == 2 ? (int16_t)high : (int32_t)high;
	return (i >= l && i <= h) || x86_raise(v, X86_BR);
}

/* ---- decimal arithmetic on AL, AX */

static uint64_t result_flags(uint8_t al)
{
	uint64_t fl = 0;

	if (!al)
		fl |= X86_FL_ZF;
	if (al & 0x80)
		fl |= X86_FL_SF;
	if (!(__builtin_popcount(al) & 1))
		fl |= X86_FL_PF;
	return fl;
}

static void decimal(struct jit_vcpu *v, bool subtract)
{
	uint64_t *rax = &x86_cpu_of(v)->gpr[RAX], fl = v->hot->arith, out = 0;
	const uint8_t old = (uint8_t)*rax;
	uint8_t al = old;

	if ((al & 15) > 9 || fl & X86_FL_AF) {
		if (subtract && al < 6)
			out |= X86_FL_CF;
		if (!subtract && al > 0xf9)
			out |= X86_FL_CF;
		al = (uint8_t)(subtract ? al - 6 : al + 6);
		out |= X86_FL_AF;
	}
	out |= fl & X86_FL_CF;
	if (old > 0x99 || fl & X86_FL_CF) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		out |= X86_FL_CF;
	} else if (!subtract) {
		out &= ~(uint64_t)X86_FL_CF;
	}
	*rax = (*rax & ~(uint64_t)0xff) | al;
	v->hot->arith = (fl & ~(uint64_t)X86_FL_ARITH) | out | result_flags(al);
}

static void ascii(struct jit_vcpu *v, bool subtract)
{
	uint64_t *rax = &x86_cpu_of(v)->gpr[RAX], fl = v->hot->arith, out = 0;
	uint16_t ax = (uint16_t)*rax;

	if ((ax & 15) > 9 || fl & X86_FL_AF) {
		ax = (uint16_t)(subtract ? ax - 6 - 0x100 : ax + 0x106);
		out = X86_FL_AF | X86_FL_CF;
	}
	ax &= 0xff0f;
	*rax = (*rax & ~(uint64_t)0xffff) | ax;
	v->hot->arith = (fl & ~(uint64_t)X86_FL_ARITH) | out | result_flags((uint8_t)ax);
}

bool x86_h_daa_group(struct jit_vcpu *v, uint64_t which, uint64_t imm)
{
	uint64_t *rax = &x86_cpu_of(v)->gpr[RAX];
	uint16_t ax = (uint16_t)*rax;

	switch (which) {
	case 0:
	case 1:
		decimal(v, which);
		return true;
	case 2:
	case 3:
		ascii(v, which == 3);
		return true;
	case 4: /* AAM */
		imm &= 0xff;
		if (!imm)
			return x86_raise(v, X86_DE);
		ax = (uint16_t)(((ax & 0xff) / imm) << 8 | ((ax & 0xff) % imm));
		break;
	default: /* AAD */
		ax = (uint8_t)((ax & 0xff) + (ax >> 8) * imm);
		break;
	}
	*rax = (*rax & ~(uint64_t)0xffff) | ax;
	v->hot->arith = (v->hot->arith & ~(uint64_t)X86_FL_ARITH) | result_flags((uint8_t)ax);
	return true;
}

/* ---- CMPXCHG16B */

bool x86_h_cmpxchg_16b(struct jit_vcpu *v, uint64_t ea)
{
	struct x86_cpu *c = v->arch;
	uint64_t old[2] = { c->gpr[RAX], c->gpr[RDX] }, now[2];
	uint64_t new[2] = { c->gpr[RBX], c->gpr[RCX] };
	void *host;
	bool equal;

	if (ea & 15)
		return x86_raise_error(v, X86_GP, 0);
	if (!jit_probe(v, ea, 16, ACCESS_STORE, JIT_MEM_CPL) ||
		!jit_load_bytes(v, ea, now, sizeof(now), JIT_MEM_CPL))
		return false;
	host = jit_direct(v, ea, ACCESS_STORE, JIT_MEM_CPL, 16);
	if (host) {
		now[0] = old[0];
		now[1] = old[1];
		__asm__ volatile("lock cmpxchg16b %0; sete %1"
			: "+m"(*(unsigned __int128 *)host), "=q"(equal), "+a"(now[0]), "+d"(now[1])
			: "b"(new[0]), "c"(new[1]) : "cc", "memory");
	} else {
		equal = now[0] == old[0] && now[1] == old[1];
		if (!jit_store_bytes(v, ea, equal ? new : now, 16, JIT_MEM_CPL))
			return false;
	}
	if (!equal) {
		c->gpr[RAX] = now[0];
		c->gpr[RDX] = now[1];
	}
	v->hot->arith = (v->hot->arith & ~(uint64_t)X86_FL_ZF) | (equal ? X86_FL_ZF : 0);
	return true;
}
