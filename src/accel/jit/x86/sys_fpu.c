/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_fpu.c: x87, SSE and AVX state as a whole: may it be used now, and its memory images.
 * Spec: SDM vol. 1, 8.1.10 (FNSAVE), 10.5.1 (FXSAVE), chapter 13 (XSAVE).
 *
 * Everything here works on the architectural state: live registers are spilled first.
 */
#include <string.h>

#include "accel/jit/x86/sys.h"

enum { XF_X87 = 1 << 0, XF_SSE = 1 << 1, XF_AVX = 1 << 2 };
#define XCOMP_COMPACT ((uint64_t)1 << 63)
enum {
	FXSAVE_SIZE = 512,
	XHEADER = 512,
	XAVX = 576,
	XSAVE_END = 832,
	MXCSR_OFF = 24,
	ST_OFF = 32,
	XMM_OFF = 160
};
enum { MXCSR_INIT = 0x1f80, MXCSR_VALID = 0xffff, FCW_INIT = 0x37f };

static void put16(uint8_t *p, uint64_t val) { memcpy(p, &val, 2); }
static void put32(uint8_t *p, uint64_t val) { memcpy(p, &val, 4); }
static void put64(uint8_t *p, uint64_t val) { memcpy(p, &val, 8); }
static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t val = 0;

	memcpy(&val, p, n);
	return val;
}

static void fpu_init(struct x86_fpu *f)
{
	f->fcw = FCW_INIT;
	x86_fpu_move_top(f, 0);
	f->fsw = f->fop = f->fcs = f->fds = 0;
	f->ftw = 0;
	f->fip = f->fdp = 0;
}

/* ---- x87 environment and control */

static unsigned env_put(const struct x86_cpu *c, uint8_t *p, unsigned size)
{
	const struct x86_fpu *f = &c->fpu;
	const bool real = !x86_descriptors(c);
	const uint32_t ip = (uint32_t)f->fip, dp = (uint32_t)f->fdp;

	memset(p, 0xff, 28);
	if (size == 2) {
		put16(p, f->fcw);
		put16(p + 2, f->fsw);
		put16(p + 4, x86_fpu_full_tags(f));
		put16(p + 6, ip);
		put16(p + 8, real ? (ip >> 4 & 0xf000) | (f->fop & 0x7ff) : f->fcs);
		put16(p + 10, dp);
		put16(p + 12, real ? dp >> 4 & 0xf000 : f->fds);
		return 14;
	}
	put16(p, f->fcw);
	put16(p + 4, f->fsw);
	put16(p + 8, x86_fpu_full_tags(f));
	put32(p + 12, real ? ip & 0xffff : ip);
	put32(p + 16, real ? (ip & 0xffff0000) >> 4 | (f->fop & 0x7ff)
			   : f->fcs | (uint32_t)(f->fop & 0x7ff) << 16);
	put32(p + 20, real ? 0xffff0000 | (dp & 0xffff) : dp);
	put32(p + 24, real ? (dp & 0xffff0000) >> 4 : 0xffff0000 | f->fds);
	return 28;
}

static void set_status(struct x86_fpu *f, uint16_t fsw)
{
	f->fsw = fsw & ~0x8080;
	if (fsw & 0x3f & ~f->fcw)
		f->fsw |= 0x8080; /* ES and B follow the unmasked exceptions */
}

static unsigned env_get(struct x86_cpu *c, const uint8_t *p, unsigned size)
{
	struct x86_fpu *f = &c->fpu;
	const unsigned w = size == 2 ? 2 : 4;

	f->fcw = (uint16_t)((get(p, 2) & 0x1f3f) | 0x40);
	x86_fpu_move_top(f, (uint16_t)get(p + w, 2));
	set_status(f, (uint16_t)get(p + w, 2));
	f->ftw = x86_fpu_abridged_tags((uint16_t)get(p + 2 * w, 2));
	f->fip = get(p + 3 * w, w);
	f->fcs = (uint16_t)get(p + 4 * w, 2);
	f->fop = size == 2 ? 0 : (uint16_t)(get(p + 18, 2) & 0x7ff);
	f->fdp = get(p + 5 * w, w);
	f->fds = (uint16_t)get(p + 6 * w, 2);
	return 7 * w;
}

enum { ENV_STENV, ENV_LDENV, ENV_SAVE, ENV_RSTOR };

bool x86_h_x87_env(struct jit_vcpu *v, uint64_t ea, uint64_t what, uint64_t opsize)
{
	struct x86_cpu *c = v->arch;
	const unsigned size = opsize == 2 ? 2 : 4, env = 7 * size;
	const unsigned total = what == ENV_SAVE || what == ENV_RSTOR ? env + 80 : env;
	uint8_t image[108];

	if (c->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return x86_raise(v, X86_NM);
	jit_fpu_spill(v);
	if (what == ENV_STENV || what == ENV_SAVE) {
		env_put(c, image, size);
		for (unsigned i = 0; i < 8; i++)
			memcpy(image + env + 10 * i, c->fpu.st[i], 10);
		if (!jit_store_bytes(v, ea, image, total, JIT_MEM_CPL))
			return false;
		if (what == ENV_SAVE)
			fpu_init(&c->fpu);
		else
			c->fpu.fcw |= 0x3f; /* FNSTENV masks all exceptions */
		if (what == ENV_STENV)
			set_status(&c->fpu, c->fpu.fsw);
		return true;
	}
	if (x86_fpu_pending(v))
		return x86_fpu_raise(v);
	if (!jit_load_bytes(v, ea, image, total, JIT_MEM_CPL))
		return false;
	env_get(c, image, size);
	for (unsigned i = 0; what == ENV_RSTOR && i < 8; i++) {
		memset(c->fpu.st[i], 0, 16);
		memcpy(c->fpu.st[i], image + env + 10 * i, 10);
	}
	return true;
}

enum { CTL_NINIT, CTL_NCLEX, CTL_LDCW, CTL_NSTCW, CTL_NSTSW, CTL_EMMS, CTL_WAIT };

bool x86_h_x87_ctl(struct jit_vcpu *v, uint64_t what, uint64_t val)
{
	struct x86_cpu *c = v->arch;
	const uint64_t need_nm =
		what == CTL_WAIT ? X86_CR0_MP | X86_CR0_TS : X86_CR0_EM | X86_CR0_TS;

	if (what == CTL_EMMS && c->cr0 & X86_CR0_EM)
		return x86_raise(v, X86_UD);
	if (what == CTL_WAIT ? (c->cr0 & need_nm) == need_nm : c->cr0 & need_nm)
		return x86_raise(v, X86_NM);
	jit_fpu_spill(v);
	if ((what == CTL_LDCW || what == CTL_EMMS || what == CTL_WAIT) && x86_fpu_pending(v))
		return x86_fpu_raise(v);
	switch (what) {
	case CTL_NINIT:
		fpu_init(&c->fpu);
		return true;
	case CTL_NCLEX:
		c->fpu.fsw &= 0x7f00;
		return true;
	case CTL_LDCW:
		c->fpu.fcw = (uint16_t)((val & 0x1f3f) | 0x40);
		set_status(&c->fpu, c->fpu.fsw);
		return true;
	case CTL_NSTCW:
		v->hot->ret = c->fpu.fcw;
		return true;
	case CTL_NSTSW:
		v->hot->ret = c->fpu.fsw;
		return true;
	case CTL_EMMS:
		c->fpu.ftw = 0;
		return true;
	default:
		return true;
	}
}

bool x86_h_ldmxcsr(struct jit_vcpu *v, uint64_t val)
{
	if (!x86_h_vec_enter(v, 0))
		return false;
	if ((uint32_t)val & ~MXCSR_VALID)
		return x86_raise_error(v, X86_GP, 0);
	jit_vec_spill(v);
	x86_cpu_of(v)->mxcsr = (uint32_t)val;
	return true;
}

bool x86_h_stmxcsr(struct jit_vcpu *v)
{
	if (!x86_h_vec_enter(v, 0))
		return false;
	jit_vec_spill(v);
	v->hot->ret = x86_cpu_of(v)->mxcsr;
	return true;
}

/* ---- FXSAVE image: the first 512 bytes of every XSAVE area */

static void legacy_x87_put(const struct x86_cpu *c, uint8_t *p, bool wide)
{
	const struct x86_fpu *f = &c->fpu;

	memset(p, 0, 24);
	put16(p, f->fcw);
	put16(p + 2, f->fsw);
	p[4] = f->ftw;
	put16(p + 6, f->fop);
	if (wide) {
		put64(p + 8, f->fip);
		put64(p + 16, f->fdp);
	} else {
		put32(p + 8, f->fip);
		put16(p + 12, f->fcs);
		put32(p + 16, f->fdp);
		put16(p + 20, f->fds);
	}
	memcpy(p + ST_OFF, f->st, sizeof(f->st));
}

static void legacy_x87_get(struct x86_cpu *c, const uint8_t *p, bool wide)
{
	struct x86_fpu *f = &c->fpu;

	f->fcw = (uint16_t)((get(p, 2) & 0x1f3f) | 0x40);
	set_status(f, (uint16_t)get(p + 2, 2));
	f->ftw = p[4];
	f->fop = (uint16_t)(get(p + 6, 2) & 0x7ff);
	f->fip = get(p + 8, wide ? 8 : 4);
	f->fcs = wide ? 0 : (uint16_t)get(p + 12, 2);
	f->fdp = get(p + 16, wide ? 8 : 4);
	f->fds = wide ? 0 : (uint16_t)get(p + 20, 2);
	for (unsigned i = 0; i < 8; i++) {
		memset(f->st[i], 0, 16);
		memcpy(f->st[i], p + ST_OFF + 16 * i, 10);
	}
}

static unsigned xmm_count(const struct x86_cpu *c)
{
	return x86_code64(c) ? 16 : 8;
}

static void xmm_put(const struct x86_cpu *c, uint8_t *p)
{
	for (unsigned i = 0; i < xmm_count(c); i++)
		memcpy(p + XMM_OFF + 16 * i, c->ymm[i], 16);
}

static void xmm_get(struct x86_cpu *c, const uint8_t *p)
{
	for (unsigned i = 0; i < xmm_count(c); i++)
		memcpy(c->ymm[i], p + XMM_OFF + 16 * i, 16);
}

static bool image_ready(struct jit_vcpu *v, uint64_t ea, unsigned align)
{
	const struct x86_cpu *c = v->arch;

	if (c->cr0 & X86_CR0_TS)
		return x86_raise(v, X86_NM);
	if (ea & (align - 1))
		return x86_raise_error(v, X86_GP, 0);
	jit_fpu_spill(v);
	jit_vec_spill(v);
	return true;
}

bool x86_h_fxsave(struct jit_vcpu *v, uint64_t ea, uint64_t rex_w)
{
	const struct x86_cpu *c = v->arch;
	uint8_t image[FXSAVE_SIZE];

	if (c->cr0 & X86_CR0_EM)
		return x86_raise(v, X86_NM);
	/* all of the area must be there, though not all of it is written */
	if (!image_ready(v, ea, 16) ||
		!jit_probe(v, ea, FXSAVE_SIZE, ACCESS_STORE, JIT_MEM_CPL))
		return false;
	legacy_x87_put(c, image, rex_w);
	put32(image + MXCSR_OFF, c->mxcsr);
	put32(image + MXCSR_OFF + 4, MXCSR_VALID);
	xmm_put(c, image);
	return jit_store_bytes(v, ea, image, XMM_OFF + 16 * xmm_count(c), JIT_MEM_CPL);
}

bool x86_h_fxrstor(struct jit_vcpu *v, uint64_t ea, uint64_t rex_w)
{
	struct x86_cpu *c = v->arch;
	uint8_t image[FXSAVE_SIZE];

	if (c->cr0 & X86_CR0_EM)
		return x86_raise(v, X86_NM);
	if (!image_ready(v, ea, 16) || !jit_load_bytes(v, ea, image, sizeof(image), JIT_MEM_CPL))
		return false;
	if (get(image + MXCSR_OFF, 4) & ~(uint64_t)MXCSR_VALID)
		return x86_raise_error(v, X86_GP, 0);
	legacy_x87_get(c, image, rex_w);
	c->mxcsr = (uint32_t)get(image + MXCSR_OFF, 4);
	xmm_get(c, image);
	return true;
}

/* ---- XSAVE family. With x87, SSE and AVX alone, AVX stands at 576 in both forms. */

/* 13.6: components not in their initial state. */
static uint64_t xinuse(const struct x86_cpu *c)
{
	const struct x86_fpu *f = &c->fpu;
	uint64_t in_use = 0, low = 0, high = 0;

	if (f->fcw != FCW_INIT || f->fsw || f->ftw || f->fop || f->fip || f->fdp || f->fcs ||
		f->fds)
		in_use |= XF_X87;
	for (unsigned i = 0; i < xmm_count(c); i++) {
		low |= c->ymm[i][0] | c->ymm[i][1];
		high |= c->ymm[i][2] | c->ymm[i][3];
	}
	if (low)
		in_use |= XF_SSE;
	if (high)
		in_use |= XF_AVX;
	return in_use;
}

static bool avx_store(struct jit_vcpu *v, uint64_t ea)
{
	const struct x86_cpu *c = v->arch;
	uint8_t high[256];

	for (unsigned i = 0; i < 16; i++)
		memcpy(high + 16 * i, &c->ymm[i][2], 16);
	return jit_store_bytes(v, ea + XAVX, high, 16 * xmm_count(c), JIT_MEM_CPL);
}

static bool components_store(struct jit_vcpu *v, uint64_t ea, uint64_t write, bool mxcsr, bool wide)
{
	const struct x86_cpu *c = v->arch;
	uint8_t image[FXSAVE_SIZE];

	legacy_x87_put(c, image, wide);
	put32(image + MXCSR_OFF, c->mxcsr);
	put32(image + MXCSR_OFF + 4, MXCSR_VALID);
	xmm_put(c, image);
	if (write & XF_X87 && (!jit_store_bytes(v, ea, image, 24, JIT_MEM_CPL) ||
		!jit_store_bytes(v, ea + ST_OFF, image + ST_OFF, 128, JIT_MEM_CPL)))
		return false;
	if (mxcsr && !jit_store_bytes(v, ea + MXCSR_OFF, image + MXCSR_OFF, 8, JIT_MEM_CPL))
		return false;
	if (write & XF_SSE && !jit_store_bytes(v, ea + XMM_OFF, image + XMM_OFF, 16 * xmm_count(c),
		JIT_MEM_CPL))
		return false;
	return !(write & XF_AVX) || avx_store(v, ea);
}

enum { XSAVE, XSAVEOPT, XSAVEC, XSAVES };

bool x86_h_xsave(struct jit_vcpu *v, uint64_t ea, uint64_t kind_w)
{
	const struct x86_cpu *c = v->arch;
	const unsigned kind = kind_w & 0xff;
	const bool wide = kind_w >> 8 & 1, compact = kind >= XSAVEC;
	const uint64_t mask = (c->gpr[RAX] & 0xffffffff) | c->gpr[RDX] << 32;
	const uint64_t rfbm = mask & (c->xcr0 | (kind == XSAVES ? c->xss : 0));
	uint64_t in_use, write, header[2];

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(v, X86_UD);
	if (kind == XSAVES && x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (!image_ready(v, ea, 64))
		return false;
	in_use = xinuse(c);
	if (compact && c->mxcsr != MXCSR_INIT)
		in_use |= XF_SSE;
	write = kind == XSAVE ? rfbm : rfbm & in_use;
	if (!jit_probe(v, ea, rfbm & XF_AVX ? XSAVE_END : XAVX, ACCESS_STORE, JIT_MEM_CPL))
		return false;
	if (compact) {
		header[0] = rfbm & in_use;
		header[1] = rfbm | XCOMP_COMPACT;
	} else {
		if (!jit_load(v, ea + XHEADER, 8, JIT_MEM_CPL, &header[0]))
			return false;
		header[0] = (header[0] & ~rfbm) | (rfbm & in_use);
	}
	return components_store(
		       v, ea, write, compact ? write & XF_SSE : rfbm & (XF_SSE | XF_AVX), wide) &&
	       jit_store_bytes(v, ea + XHEADER, header, compact ? 16 : 8, JIT_MEM_CPL);
}

/* 13.8.1, 13.12: the header of an area to be restored. */
static bool header_ok(const struct x86_cpu *c, const uint64_t h[8], bool supervisor)
{
	const uint64_t allowed = c->xcr0 | (supervisor ? c->xss : 0);
	uint64_t rest = 0;

	for (unsigned i = 2; i < 8; i++)
		rest |= h[i];
	if (h[1] & XCOMP_COMPACT)
		return !(h[1] & ~XCOMP_COMPACT & ~allowed) && !(h[0] & ~(h[1] & ~XCOMP_COMPACT)) &&
		       !rest;
	return !supervisor && !(h[0] & ~c->xcr0) && !h[1] && !h[2];
}

bool x86_h_xrstor(struct jit_vcpu *v, uint64_t ea, uint64_t kind_w)
{
	struct x86_cpu *c = v->arch;
	const bool supervisor = kind_w & 0xff, wide = kind_w >> 8 & 1;
	const uint64_t mask = (c->gpr[RAX] & 0xffffffff) | c->gpr[RDX] << 32;
	const uint64_t rfbm = mask & (c->xcr0 | (supervisor ? c->xss : 0));
	uint8_t image[XSAVE_END] = { 0 };
	uint64_t h[8], have;
	bool load_mxcsr;

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(v, X86_UD);
	if (supervisor && x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (!image_ready(v, ea, 64))
		return false;
	if (!jit_load_bytes(v, ea, image, XAVX, JIT_MEM_CPL))
		return false;
	memcpy(h, image + XHEADER, sizeof(h));
	if (!header_ok(c, h, supervisor))
		return x86_raise_error(v, X86_GP, 0);
	have = rfbm & h[0];
	load_mxcsr = h[1] & XCOMP_COMPACT ? have & XF_SSE : rfbm & (XF_SSE | XF_AVX);
	if (load_mxcsr && get(image + MXCSR_OFF, 4) & ~(uint64_t)MXCSR_VALID)
		return x86_raise_error(v, X86_GP, 0);
	if (have & XF_AVX &&
		!jit_load_bytes(v, ea + XAVX, image + XAVX, 16 * xmm_count(c), JIT_MEM_CPL))
		return false;
	if (have & XF_X87)
		legacy_x87_get(c, image, wide);
	else if (rfbm & XF_X87) {
		fpu_init(&c->fpu);
		memset(c->fpu.st, 0, sizeof(c->fpu.st));
	}
	if (load_mxcsr)
		c->mxcsr = (uint32_t)get(image + MXCSR_OFF, 4);
	else if (rfbm & XF_SSE)
		c->mxcsr = MXCSR_INIT;
	for (unsigned i = 0; i < xmm_count(c); i++) {
		if (rfbm & XF_SSE)
			memset(c->ymm[i], 0, 16);
		if (have & XF_SSE)
			memcpy(c->ymm[i], image + XMM_OFF + 16 * i, 16);
		if (rfbm & XF_AVX)
			memcpy(&c->ymm[i][2], image + XAVX + 16 * i,
				16); /* zeros if it is not in the area */
	}
	return true;
}

bool x86_h_xgetbv(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	uint64_t val = c->xcr0;

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(v, X86_UD);
	switch ((uint32_t)c->gpr[RCX]) {
	case 0:
		break;
	case 1:
		if (!x86_has(v, FEAT_D_1_EAX, 1 << 2))
			return x86_raise_error(v, X86_GP, 0);
		jit_fpu_spill(v);
		jit_vec_spill(v);
		val &= xinuse(c) | (c->mxcsr != MXCSR_INIT ? XF_SSE : 0);
		break;
	default:
		return x86_raise_error(v, X86_GP, 0);
	}
	c->gpr[RAX] = (uint32_t)val;
	c->gpr[RDX] = val >> 32;
	return true;
}
