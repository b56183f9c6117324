/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_fpu_live.c: what runs with the guest's vector registers in the host's: may x87, SSE, AVX be
 * used now, and the x87 image for loading and spilling. Spec: SDM vol. 3, 2.5 and table 13-1; vol.
 * 1, 8.1.10.
 */
#include "accel/jit/x86/sys.h"

enum { XF_SSE = 1 << 1, XF_AVX = 1 << 2 };

bool x86_h_vec_enter(struct jit_vcpu *v, uint64_t avx)
{
	const struct x86_cpu *c = v->arch;

	if (avx) {
		if (!(c->cr4 & X86_CR4_OSXSAVE) ||
			(c->xcr0 & (XF_SSE | XF_AVX)) != (XF_SSE | XF_AVX))
			return x86_raise(v, X86_UD);
	} else if (c->cr0 & X86_CR0_EM || !(c->cr4 & X86_CR4_OSFXSR)) {
		return x86_raise(v, X86_UD);
	}
	return !(c->cr0 & X86_CR0_TS) || x86_raise(v, X86_NM);
}

bool x86_fpu_pending(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;

	return c->fpu.fsw & 0x80;
}

bool x86_fpu_raise(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;

	if (c->cr0 & X86_CR0_NE)
		return x86_raise(v, X86_MF);
	/* SDM vol. 1, 8.7.2: it stops before the instruction until an interrupt comes, by IRQ 13 hopefully */
	x86_private(v)->ferr = true;
	return false;
}

bool x86_h_fpu_enter(struct jit_vcpu *v, uint64_t how)
{
	const struct x86_cpu *c = v->arch;

	if (how & X86_FPU_MMX && c->cr0 & X86_CR0_EM)
		return x86_raise(v, X86_UD);
	if (c->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return x86_raise(v, X86_NM);
	return how & X86_FPU_NO_WAIT || !x86_fpu_pending(v) || x86_fpu_raise(v);
}

/* ---- tag words: FXSAVE has a bit "not empty", FNSAVE two bits of class */

static unsigned full_tag(const struct x86_fpu *f, unsigned phys)
{
	const uint8_t *r = f->st[(phys - (f->fsw >> 11 & 7)) & 7];
	uint64_t mantissa;
	uint16_t exp;

	if (!(f->ftw >> phys & 1))
		return 3;
	__builtin_memcpy(&mantissa, r, 8);
	__builtin_memcpy(&exp, r + 8, 2);
	exp &= 0x7fff;
	if (!exp && !mantissa)
		return 1;
	return exp && exp != 0x7fff && mantissa >> 63 ? 0 : 2;
}

static void copy_register(uint8_t *to, const uint8_t *from)
{
	__builtin_memcpy(to, from, 8);
	__builtin_memcpy(to + 8, from + 8, 2);
}

void x86_fpu_move_top(struct x86_fpu *f, uint16_t fsw)
{
	const unsigned by = ((unsigned)(fsw >> 11) - (f->fsw >> 11)) & 7;
	uint8_t old[8][16];

	for (unsigned i = 0; i < 8; i++)
		copy_register(old[i], f->st[i]);
	for (unsigned i = 0; by && i < 8; i++)
		copy_register(f->st[i], old[(i + by) & 7]);
}

uint16_t x86_fpu_full_tags(const struct x86_fpu *f)
{
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= full_tag(f, i) << 2 * i;
	return (uint16_t)tags;
}

uint8_t x86_fpu_abridged_tags(uint16_t full)
{
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++)
		if ((full >> 2 * i & 3) != 3)
			tags |= 1u << i;
	return (uint8_t)tags;
}

/* ---- the host's FNSAVE image, for loading and spilling the live registers. Copies are written
 * out, because a library's memcpy would use vector registers. */

static void put16(uint8_t *p, unsigned val)
{
	p[0] = (uint8_t)val;
	p[1] = (uint8_t)(val >> 8);
}

static unsigned get16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

void x86_fpu_get(const struct jit_vcpu *v, uint8_t image[108])
{
	const struct x86_fpu *f = &((const struct x86_cpu *)v->arch)->fpu;

	for (unsigned i = 0; i < 28; i++)
		image[i] = 0;
	put16(image, f->fcw);
	put16(image + 4, f->fsw);
	put16(image + 8, x86_fpu_full_tags(f));
	for (unsigned i = 0; i < 8; i++)
		copy_register(image + 28 + 10 * i, f->st[i]);
}

/* Instruction and data pointers in it are the host's: the guest sees zeros, as after an instruction
 * that raised nothing on AMD CPUs. */
void x86_fpu_put(struct jit_vcpu *v, const uint8_t image[108])
{
	struct x86_fpu *f = &x86_cpu_of(v)->fpu;

	f->fcw = (uint16_t)get16(image);
	f->fsw = (uint16_t)get16(image + 4);
	f->ftw = x86_fpu_abridged_tags((uint16_t)get16(image + 8));
	f->fop = f->fcs = f->fds = 0;
	f->fip = f->fdp = 0;
	for (unsigned i = 0; i < 8; i++) {
		copy_register(f->st[i], image + 28 + 10 * i);
		for (unsigned k = 10; k < 16; k++)
			f->st[i][k] = 0;
	}
}
