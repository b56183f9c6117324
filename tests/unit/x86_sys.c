/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86_sys.c: the x86 system side against the manual: page walks, gates, returns, tasks, strings,
 * FPU images. Spec: SDM vol. 3, chapters 4 to 7; vol. 1, chapter 13.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "x86_fake.h"

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TSS2 = 0x3200, PT = 0x10000, DATA = 0x20000 };
enum { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128 };
#define NX ((uint64_t)1 << 63)

/* Selectors of the GDT below. */
enum {
	KCODE = 0x08,
	KDATA = 0x10,
	UCODE = 0x18 | 3,
	UDATA = 0x20 | 3,
	TSS_SEL = 0x28,
	GATE = 0x38,
	TSS2_SEL = 0x40,
	KCODE64 = 0x48,
	UCODE64 = 0x50 | 3
};

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
	       (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
	       (uint64_t)(base >> 24) << 56;
}

static void set_segment(struct fake *f, enum x86_seg seg, uint16_t sel)
{
	x86_segment_from_desc(&fake_cpu(f)->seg[seg], sel, fake_get(f, GDT + (sel & 0xfff8), 8));
}

/* 32-bit protected mode, flat, at the given CPL; paging off. */
static struct fake *protected_mode(unsigned cpl)
{
	struct fake *f = fake_new();
	struct x86_cpu *c = fake_cpu(f);

	fake_put(f, GDT + KCODE, 8, descriptor(0, 0xfffff, 0x9b, 0xc));
	fake_put(f, GDT + KDATA, 8, descriptor(0, 0xfffff, 0x93, 0xc));
	fake_put(f, GDT + (UCODE & ~3), 8, descriptor(0, 0xfffff, 0xfb, 0xc));
	fake_put(f, GDT + (UDATA & ~3), 8, descriptor(0, 0xfffff, 0xf3, 0xc));
	fake_put(f, GDT + TSS_SEL, 8, descriptor(TSS, 0x67, 0x8b, 0));
	fake_put(f, GDT + TSS2_SEL, 8, descriptor(TSS2, 0x67, 0x89, 0));
	fake_put(f, GDT + KCODE64, 8, descriptor(0, 0xfffff, 0x9b, 0xa));
	fake_put(f, GDT + (UCODE64 & ~3), 8, descriptor(0, 0xfffff, 0xfb, 0xa));
	c->gdtr = (struct x86_table){ GDT, 0x57 };
	c->idtr = (struct x86_table){ IDT, 0x7ff };
	x86_segment_from_desc(&c->tr, TSS_SEL, fake_get(f, GDT + TSS_SEL, 8));
	fake_put(f, TSS + 4, 4, 0x8000); /* ESP0, SS0 */
	fake_put(f, TSS + 8, 4, KDATA);
	c->cr0 |= X86_CR0_PE;
	set_segment(f, SEG_CS, cpl ? UCODE : KCODE);
	for (unsigned i = 0; i < 6; i++)
		if (i != SEG_CS)
			set_segment(f, i, cpl ? UDATA : KDATA);
	c->rip = 0x4000;
	c->gpr[RSP] = 0x7000;
	c->rflags = 0x202;
	x86_mode_update(&f->v);
	f->v.hot->exit_request = 0;
	return f;
}

static void map(struct fake *f, uint64_t va, uint64_t pa, uint64_t bits)
{
	uint64_t table = PT;

	for (unsigned level = 4; level > 1; level--) {
		const uint64_t e = table + (va >> (3 + 9 * level) & 511) * 8;

		fake_put(f, e, 8, (table + 0x1000) | P | W | U);
		table += 0x1000;
	}
	fake_put(f, table + (va >> 12 & 511) * 8, 8, pa | bits);
}

/* 64-bit mode, the first 256 KiB mapped as themselves for supervisors. */
static struct fake *long_mode(unsigned cpl)
{
	struct fake *f = protected_mode(cpl);
	struct x86_cpu *c = fake_cpu(f);

	for (uint64_t a = 0; a < 0x40000; a += 4096)
		map(f, a, a, P | W);
	c->cr3 = PT;
	c->cr4 = X86_CR4_PAE;
	c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	c->cr0 |= X86_CR0_PG | X86_CR0_WP;
	set_segment(f, SEG_CS, cpl ? UCODE64 : KCODE64);
	fake_put(f, TSS + 4, 8, 0x8000); /* RSP0 */
	fake_put(f, TSS + 0x24, 8, 0x9008); /* IST1 */
	c->star = (uint64_t)KCODE64 << 32 | (uint64_t)(UCODE64 - 16) << 48;
	x86_mode_update(&f->v);
	f->v.hot->exit_request = 0;
	return f;
}

/* ---- page walk */

static const struct {
	const char *what;
	uint64_t pte;
	uint32_t cr4;
	enum jit_access a;
	enum jit_priv priv;
	int error; /* -1: none */
	unsigned rights; /* bits of the answer: load, store, fetch */
} walks[] = {
	{ "absent", 0, 0, ACCESS_LOAD, JIT_PRIV_SUPER, 0, 0 },
	{ "absent user store", 0, 0, ACCESS_STORE, JIT_PRIV_USER, 6, 0 },
	{ "absent fetch", 0, 0, ACCESS_FETCH, JIT_PRIV_SUPER, 0x10, 0 },
	{ "user on supervisor page", P | W, 0, ACCESS_LOAD, JIT_PRIV_USER, 5, 0 },
	{ "read-only user store", P | U, 0, ACCESS_STORE, JIT_PRIV_USER, 7, 0 },
	{ "read-only supervisor store", P, 0, ACCESS_STORE, JIT_PRIV_SUPER, 3, 0 },
	{ "no execute", P | W | NX, 0, ACCESS_FETCH, JIT_PRIV_SUPER, 0x11, 0 },
	{ "no execute, load", P | W | D | NX, 0, ACCESS_LOAD, JIT_PRIV_SUPER, -1, 6 },
	{ "clean page, load", P | W, 0, ACCESS_LOAD, JIT_PRIV_SUPER, -1, 1 | 2 },
	{ "clean page, store", P | W, 0, ACCESS_STORE, JIT_PRIV_SUPER, -1, 7 },
	{ "smep", P | U, X86_CR4_SMEP, ACCESS_FETCH, JIT_PRIV_SUPER, 0x11, 0 },
	{ "smep, load", P | U, X86_CR4_SMEP, ACCESS_LOAD, JIT_PRIV_SUPER, -1, 2 },
	{ "smap", P | U | W, X86_CR4_SMAP, ACCESS_LOAD, JIT_PRIV_SUPER, 1, 0 },
	{ "smap, AC", P | U | W, X86_CR4_SMAP, ACCESS_STORE, JIT_PRIV_SUPER_AC, -1, 7 },
	{ "reserved bit", P | W | (uint64_t)1 << 50, 0, ACCESS_LOAD, JIT_PRIV_SUPER, 9, 0 },
};

static void page_walks(void **state)
{
	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		struct fake *f = long_mode(0);
		struct x86_cpu *c = fake_cpu(f);
		struct jit_walk w = { 0 };
		bool ok;

		c->cr4 |= walks[i].cr4;
		map(f, 0x5000, DATA, walks[i].pte);
		ok = x86_walk(&f->v, 0x5123, walks[i].a, walks[i].priv, &w);
		if (ok != (walks[i].error < 0))
			fail_msg("%s: %s", walks[i].what, ok ? "no fault" : "fault");
		if (!ok) {
			if (c->exception_error != (uint32_t)walks[i].error)
				fail_msg("%s: error %x", walks[i].what, c->exception_error);
			assert_int_equal(c->exception_vector, X86_PF);
			assert_int_equal(c->cr2, 0x5123);
		} else {
			const uint64_t pte = fake_get(f, PT + 0x3000 + 5 * 8, 8);
			const unsigned r = (w.rights >> ACCESS_FETCH & 1) |
					   (w.rights >> ACCESS_LOAD & 1) << 1 |
					   (w.rights >> ACCESS_STORE & 1) << 2;
			const unsigned want = (walks[i].rights & 1) | (walks[i].rights & 6);

			if (walks[i].priv != JIT_PRIV_SUPER_AC && r != want)
				fail_msg("%s: rights %x", walks[i].what, r);
			assert_int_equal(w.pa, DATA + 0x123);
			assert_true(pte & A);
			assert_int_equal(
				!!(pte & D), walks[i].a == ACCESS_STORE || walks[i].pte & D);
			assert_true(fake_get(f, PT, 8) & A);
		}
		fake_free(f);
	}
}

static void walk_is_canonical_and_large(void **state)
{
	struct fake *f = long_mode(0);
	struct jit_walk w;

	assert_false(x86_walk(&f->v, 0x800000000000, ACCESS_LOAD, JIT_PRIV_SUPER, &w));
	assert_int_equal(fake_cpu(f)->exception_vector, X86_GP);
	fake_put(f, PT + 0x2000 + 8, 8, 0x40000000 | P | W | PS); /* 2 MiB at 2 MiB */
	assert_true(x86_walk(&f->v, 0x234567, ACCESS_STORE, JIT_PRIV_SUPER, &w));
	assert_int_equal(w.pa, 0x40034567);
	assert_int_equal(w.page_size, 1 << 21);
	assert_int_equal(fake_get(f, PT + 0x2000 + 8, 8), 0x40000000 | P | W | PS | A | D);
	fake_put(f, PT + 0x2000 + 8, 8, 0x40002000 | P | W | PS); /* reserved address bits */
	assert_false(x86_walk(&f->v, 0x234567, ACCESS_LOAD, JIT_PRIV_SUPER, &w));
	assert_int_equal(fake_cpu(f)->exception_error, 9);
	fake_free(f);
}

/* ---- 64-bit events */

static void put_gate64(
	struct fake *f, unsigned vector, uint64_t off, uint16_t sel, unsigned access, unsigned ist)
{
	fake_put(f, IDT + vector * 16, 8,
		(off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)ist << 32 |
			(uint64_t)access << 40 | (off >> 16 & 0xffff) << 48);
	fake_put(f, IDT + vector * 16 + 8, 8, off >> 32);
}

static void long_fault_from_user(void **state)
{
	struct fake *f = long_mode(3);
	struct x86_cpu *c = fake_cpu(f);

	put_gate64(f, X86_PF, 0xffff800000001234, KCODE64, 0x8e, 0);
	c->gpr[RSP] = 0x12345;
	c->rflags = 0x10302;
	f->v.hot->arith = X86_FL_ZF;
	c->rip = 0x4567;
	x86_raise_error(&f->v, X86_PF, 6);
	assert_true(x86_deliver(&f->v));
	assert_int_equal(c->rip, 0xffff800000001234);
	assert_int_equal(c->gpr[RSP], 0x8000 - 48);
	assert_int_equal(fake_get(f, 0x8000 - 48, 8), 6);
	assert_int_equal(fake_get(f, 0x8000 - 40, 8), 0x4567);
	assert_int_equal(fake_get(f, 0x8000 - 32, 8), UCODE64);
	assert_int_equal(fake_get(f, 0x8000 - 24, 8), 0x10342);
	assert_int_equal(fake_get(f, 0x8000 - 16, 8), 0x12345);
	assert_int_equal(fake_get(f, 0x8000 - 8, 8), UDATA);
	assert_int_equal(c->seg[SEG_CS].sel, KCODE64);
	assert_int_equal(c->seg[SEG_SS].sel, 0);
	assert_int_equal(x86_cpl(c), 0);
	assert_int_equal(x86_rflags(&f->v), 0x42); /* IF, TF, RF gone */
	assert_int_equal(f->v.hot->priv, JIT_PRIV_SUPER);

	/* and back */
	c->gpr[RSP] += 8;
	assert_true(x86_h_iret(&f->v, 8));
	assert_int_equal(c->rip, 0x4567);
	assert_int_equal(c->gpr[RSP], 0x12345);
	assert_int_equal(c->seg[SEG_SS].sel, UDATA);
	assert_int_equal(x86_cpl(c), 3);
	assert_int_equal(x86_rflags(&f->v), 0x342);
	assert_int_equal(f->v.hot->priv, JIT_PRIV_USER);
	fake_free(f);
}

static void long_ist_and_alignment(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);

	put_gate64(f, X86_NMI, 0x5000, KCODE64, 0x8f, 1);
	c->gpr[RSP] = 0x7001;
	assert_true(x86_enter_event(&f->v, X86_NMI, X86_EVENT_INTR, false, 0, c->rip));
	assert_int_equal(c->gpr[RSP], 0x9000 - 40);
	assert_int_equal(fake_get(f, 0x9000 - 16, 8), 0x7001);
	assert_true(c->rflags & X86_FL_IF); /* a trap gate */
	fake_free(f);
}

static void double_and_triple_fault(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);

	put_gate64(f, X86_DF, 0x5000, KCODE64, 0x8e, 1);
	put_gate64(f, X86_PF, 0x5000, 0x60, 0x8e, 0); /* beyond the GDT: #GP while delivering #PF */
	x86_raise_error(&f->v, X86_PF, 0);
	assert_true(x86_deliver(&f->v));
	assert_int_equal(c->rip, 0x5000);
	assert_int_equal(c->gpr[RSP], 0x9000 - 48);
	assert_int_equal(fake_get(f, c->gpr[RSP], 8), 0);
	/* a benign first event does not make a double fault */
	put_gate64(f, X86_UD, 0x6000, 0x60, 0x8e, 0);
	put_gate64(f, X86_GP, 0x7000, KCODE64, 0x8e, 0);
	x86_raise(&f->v, X86_UD);
	assert_true(x86_deliver(&f->v));
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(fake_get(f, c->gpr[RSP], 8), 0x61); /* selector, EXT */
	put_gate64(f, X86_DF, 0x5000, 0x60, 0x8e, 1);
	x86_raise_error(&f->v, X86_PF, 0);
	assert_false(x86_deliver(&f->v));
	assert_int_equal(c->activity, X86_SHUTDOWN);
	fake_free(f);
}

static void int_n_needs_gate_privilege(void **state)
{
	struct fake *f = long_mode(3);
	struct x86_cpu *c = fake_cpu(f);

	put_gate64(f, 0x40, 0x5000, KCODE64, 0x8e, 0);
	put_gate64(f, 0x41, 0x5000, KCODE64, 0xee, 0);
	assert_false(x86_h_int(&f->v, 0x40, 2));
	assert_int_equal(c->exception_vector, X86_GP);
	assert_int_equal(c->exception_error, 0x40 * 8 + 2);
	assert_true(x86_h_int(&f->v, 0x41, 2));
	assert_int_equal(fake_get(f, c->gpr[RSP], 8), 0x4002);
	assert_int_equal(fake_get(f, c->gpr[RSP] + 16, 8), 0x202); /* no RF */
	fake_free(f);
}

static void syscall_and_back(void **state)
{
	struct fake *f = long_mode(3);
	struct x86_cpu *c = fake_cpu(f);

	c->lstar = 0xffffffff81000000;
	c->fmask = 0x47700;
	f->v.hot->arith = X86_FL_CF;
	assert_true(x86_h_syscall(&f->v, 2));
	assert_int_equal(c->gpr[RCX], 0x4002);
	assert_int_equal(c->gpr[R11], 0x203);
	assert_int_equal(c->rip, 0xffffffff81000000);
	assert_int_equal(x86_cpl(c), 0);
	assert_int_equal(c->seg[SEG_CS].sel, KCODE64);
	assert_int_equal(c->seg[SEG_SS].sel, KCODE64 + 8);
	assert_int_equal(x86_rflags(&f->v), 3);
	assert_true(x86_h_sysret(&f->v, 8));
	assert_int_equal(c->rip, 0x4002);
	assert_int_equal(x86_cpl(c), 3);
	assert_int_equal(c->seg[SEG_CS].sel, UCODE64);
	assert_int_equal(x86_rflags(&f->v), 0x203);
	fake_free(f);
}

/* ---- legacy protected mode */

static void call_gate_with_parameters(void **state)
{
	struct fake *f = protected_mode(3);
	struct x86_cpu *c = fake_cpu(f);

	fake_put(f, GDT + GATE, 8,
		0x5678 | (uint64_t)KCODE << 16 | (uint64_t)2 << 32 | (uint64_t)0xec << 40);
	fake_put(f, 0x7000, 4, 0x11111111);
	fake_put(f, 0x7004, 4, 0x22222222);
	assert_true(x86_h_far_call(&f->v, GATE | 3, 0, 4 | 7 << 8));
	assert_int_equal(c->rip, 0x5678);
	assert_int_equal(c->seg[SEG_CS].sel, KCODE);
	assert_int_equal(c->seg[SEG_SS].sel, KDATA);
	assert_int_equal(c->gpr[RSP], 0x8000 - 24);
	assert_int_equal(fake_get(f, 0x8000 - 24, 4), 0x4007);
	assert_int_equal(fake_get(f, 0x8000 - 20, 4), UCODE);
	assert_int_equal(fake_get(f, 0x8000 - 16, 4), 0x11111111);
	assert_int_equal(fake_get(f, 0x8000 - 12, 4), 0x22222222);
	assert_int_equal(fake_get(f, 0x8000 - 8, 4), 0x7000);
	assert_int_equal(fake_get(f, 0x8000 - 4, 4), UDATA);
	assert_true(x86_h_far_ret(&f->v, 4, 8));
	assert_int_equal(c->rip, 0x4007);
	assert_int_equal(c->gpr[RSP], 0x7008);
	assert_int_equal(x86_cpl(c), 3);
	/* the gate's DPL */
	fake_put(f, GDT + GATE + 5, 1, 0x8c);
	assert_false(x86_h_far_call(&f->v, GATE | 3, 0, 4 | 7 << 8));
	assert_int_equal(c->exception_error, GATE);
	fake_free(f);
}

static void segment_loads(void **state)
{
	struct fake *f = protected_mode(3);
	struct x86_cpu *c = fake_cpu(f);

	assert_false(x86_h_load_seg(&f->v, SEG_DS, KDATA));
	assert_int_equal(c->exception_vector, X86_GP);
	assert_int_equal(c->exception_error, KDATA);
	assert_false(x86_h_load_seg(&f->v, SEG_SS, 0));
	assert_int_equal(c->exception_error, 0);
	assert_false(x86_h_load_seg(&f->v, SEG_ES, 0x58));
	assert_int_equal(c->exception_error, 0x58);
	fake_put(f, GDT + (UDATA & ~3) + 5, 1, 0x72);
	assert_false(x86_h_load_seg(&f->v, SEG_ES, UDATA));
	assert_int_equal(c->exception_vector, X86_NP);
	fake_put(f, GDT + (UDATA & ~3) + 5, 1, 0xf2);
	assert_true(x86_h_load_seg(&f->v, SEG_ES, UDATA));
	assert_int_equal(fake_get(f, GDT + (UDATA & ~3) + 5, 1), 0xf3); /* accessed */
	assert_true(x86_h_load_seg(&f->v, SEG_ES, 0));
	assert_false(x86_h_seg_check(&f->v, 0, SEG_ES | 4 << 8));
	assert_int_equal(c->exception_vector, X86_GP);
	fake_free(f);
}

static void task_switch_there_and_back(void **state)
{
	struct fake *f = protected_mode(0);
	struct x86_cpu *c = fake_cpu(f);
	static const uint8_t seg[] = { 0x48, 0x50, 0x54, 0x58, 0x5c };

	fake_put(f, TSS2 + 0x20, 4, 0x6000);
	fake_put(f, TSS2 + 0x24, 4, 0x2);
	fake_put(f, TSS2 + 0x38, 4, 0x9000);
	fake_put(f, TSS2 + 0x4c, 4, KCODE);
	for (unsigned i = 0; i < sizeof(seg); i++)
		fake_put(f, TSS2 + seg[i], 4, KDATA);
	c->gpr[RBX] = 0xabcd;
	assert_true(x86_h_far_call(&f->v, TSS2_SEL, 0, 4 | 7 << 8));
	assert_int_equal(c->rip, 0x6000);
	assert_int_equal(c->gpr[RSP], 0x9000);
	assert_int_equal(c->tr.sel, TSS2_SEL);
	assert_true(c->rflags & X86_FL_NT);
	assert_true(c->cr0 & X86_CR0_TS);
	assert_int_equal(fake_get(f, TSS2, 2), TSS_SEL);
	assert_int_equal(fake_get(f, GDT + TSS2_SEL + 5, 1), 0x8b);
	assert_int_equal(fake_get(f, GDT + TSS_SEL + 5, 1), 0x8b);
	assert_int_equal(fake_get(f, TSS + 0x20, 4), 0x4007);
	assert_int_equal(fake_get(f, TSS + 0x34, 4), 0xabcd);
	c->rip = 0x6010;
	assert_true(x86_h_iret(&f->v, 4));
	assert_int_equal(c->rip, 0x4007);
	assert_int_equal(c->gpr[RBX], 0xabcd);
	assert_int_equal(c->gpr[RSP], 0x7000);
	assert_int_equal(c->tr.sel, TSS_SEL);
	assert_false(c->rflags & X86_FL_NT);
	assert_int_equal(fake_get(f, GDT + TSS2_SEL + 5, 1), 0x89);
	/* busy now: not to be called */
	fake_put(f, GDT + TSS2_SEL + 5, 1, 0x8b);
	assert_false(x86_h_far_call(&f->v, TSS2_SEL, 0, 4 | 7 << 8));
	assert_int_equal(c->exception_error, TSS2_SEL);
	fake_free(f);
}

static void vm86_and_back(void **state)
{
	struct fake *f = protected_mode(0);
	struct x86_cpu *c = fake_cpu(f);
	static const uint32_t frame[] = { 0x100, 0x500, 0x20202, 0xfffe, 0x600, 0x701, 0x702, 0x703,
		0x704 };

	for (unsigned i = 0; i < 9; i++)
		fake_put(f, 0x7000 + 4 * i, 4, frame[i]);
	assert_true(x86_h_iret(&f->v, 4));
	assert_true(x86_vm86(c));
	assert_int_equal(x86_cpl(c), 3);
	assert_int_equal(c->seg[SEG_CS].base + c->rip, 0x5100);
	assert_int_equal(c->seg[SEG_DS].sel, 0x702);
	assert_int_equal(c->gpr[RSP], 0xfffe);
	assert_false(x86_h_popf(&f->v, 0, 2)); /* IOPL 0 */
	/* 32-bit trap gate to ring 0 */
	fake_put(f, IDT + X86_GP * 8, 8, 0x4444 | (uint64_t)KCODE << 16 | (uint64_t)0x8f << 40);
	assert_true(x86_deliver(&f->v));
	assert_int_equal(c->rip, 0x4444);
	assert_int_equal(c->gpr[RSP], 0x8000 - 40);
	assert_int_equal(fake_get(f, 0x8000 - 4, 4), 0x704); /* GS */
	assert_int_equal(fake_get(f, 0x8000 - 16, 4), 0x701); /* ES */
	assert_int_equal(fake_get(f, 0x8000 - 20, 4), 0x600);
	assert_int_equal(fake_get(f, 0x8000 - 24, 4), 0xfffe);
	assert_int_equal(fake_get(f, 0x8000 - 28, 4), 0x30202); /* with RF */
	assert_int_equal(c->seg[SEG_DS].sel, 0);
	assert_false(x86_vm86(c));
	fake_free(f);
}

/* ---- strings */

static void overlapping_moves_replicate(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);
	const uint64_t desc = 1 | 8 << 4 | SEG_DS << 8 | 1 << 12;

	fake_put(f, DATA, 1, 0x5a);
	c->gpr[RSI] = DATA;
	c->gpr[RDI] = DATA + 1;
	c->gpr[RCX] = 0x2000;
	assert_true(x86_h_string(&f->v, X86_STR_MOVS, desc));
	assert_int_equal(f->v.hot->ret, 1);
	assert_int_equal(c->gpr[RCX], 0);
	assert_int_equal(c->gpr[RDI], DATA + 0x2001);
	for (unsigned i = 0; i < 0x2001; i++)
		assert_int_equal(fake_get(f, DATA + i, 1), 0x5a);
	fake_free(f);
}

static void string_faults_at_its_element(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);

	map(f, DATA + 0x2000, 0, 0); /* absent */
	c->gpr[RDI] = DATA + 0x1001;
	c->gpr[RCX] = 0x1000;
	c->gpr[RAX] = 0x1122334455667788;
	assert_false(x86_h_string(&f->v, X86_STR_STOS, 8 | 8 << 4 | SEG_DS << 8 | 1 << 12));
	assert_int_equal(c->exception_vector, X86_PF);
	assert_int_equal(c->gpr[RDI], DATA + 0x1ff9);
	assert_int_equal(c->gpr[RCX], 0x1000 - 511);
	assert_int_equal(c->cr2, DATA + 0x2000);
	fake_free(f);
}

static void compare_stops_with_flags(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);

	fake_put(f, DATA + 5, 1, 1);
	c->gpr[RSI] = DATA;
	c->gpr[RDI] = DATA + 0x100;
	c->gpr[RCX] = 100;
	assert_true(x86_h_string(&f->v, X86_STR_CMPS, 1 | 8 << 4 | SEG_DS << 8 | 1 << 12));
	assert_int_equal(f->v.hot->ret, 1);
	assert_int_equal(c->gpr[RCX], 94);
	assert_int_equal(c->gpr[RSI], DATA + 6);
	assert_int_equal(f->v.hot->arith & X86_FL_ARITH, 0); /* 1 - 0 */
	c->gpr[RAX] = 0x01;
	c->gpr[RDI] = DATA + 10; /* scan backward for it */
	c->gpr[RCX] = 0xffffff;
	c->rflags |= X86_FL_DF;
	assert_true(x86_h_string(&f->v, X86_STR_SCAS, 1 | 8 << 4 | SEG_DS << 8 | 2 << 12));
	assert_int_equal(c->gpr[RDI], DATA + 4);
	assert_int_equal(c->gpr[RCX], 0xffffff - 6);
	assert_int_equal(f->v.hot->arith & X86_FL_ARITH, X86_FL_ZF | X86_FL_PF);
	fake_free(f);
}

/* ---- XSAVE */

static void xsave_round_trip(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);
	struct x86_cpu before;

	c->cr4 |= X86_CR4_OSXSAVE | X86_CR4_OSFXSR;
	c->xcr0 = 7;
	c->gpr[RAX] = 7;
	c->gpr[RDX] = 0;
	for (unsigned i = 0; i < 16; i++)
		for (unsigned k = 0; k < 4; k++)
			c->ymm[i][k] = i * 4 + k + 1;
	c->mxcsr = 0x1fa0;
	c->fpu.fcw = 0x27f;
	c->fpu.ftw = 1;
	memset(c->fpu.st[2], 0x3c, 10);
	before = *c;
	for (unsigned kind = 0; kind < 4; kind++) {
		memset(f->memory + DATA, 0, 4096);
		assert_true(x86_h_xsave(&f->v, DATA, kind | 1 << 8));
		assert_int_equal(fake_get(f, DATA + 512, 8), 7);
		assert_int_equal(fake_get(f, DATA + 520, 8) >> 63, kind >= 2);
		memset(c->ymm, 0, sizeof(c->ymm));
		memset(&c->fpu, 0, sizeof(c->fpu));
		c->mxcsr = 0x1f80;
		assert_true(x86_h_xrstor(&f->v, DATA, (kind == 3) | 1 << 8));
		assert_memory_equal(c->ymm, before.ymm, sizeof(c->ymm));
		assert_memory_equal(&c->fpu, &before.fpu, sizeof(c->fpu));
		assert_int_equal(c->mxcsr, 0x1fa0);
	}
	/* initial state is not written by XSAVEC, and comes back as such */
	memset(c->ymm, 0, sizeof(c->ymm));
	c->mxcsr = 0x1f80;
	memset(f->memory + DATA, 0xee, 4096);
	assert_true(x86_h_xsave(&f->v, DATA, 2 | 1 << 8));
	assert_int_equal(fake_get(f, DATA + 512, 8), 1);
	assert_int_equal(fake_get(f, DATA + 160, 8), 0xeeeeeeeeeeeeeeee);
	c->gpr[RAX] = 8; /* not in XCR0: nothing asked for */
	assert_true(x86_h_xrstor(&f->v, DATA, 1 << 8) || c->exception_vector == X86_GP);
	assert_false(x86_h_xsave(&f->v, DATA + 8, 0));
	assert_int_equal(c->exception_vector, X86_GP);
	fake_free(f);
}

static void control_registers_are_checked(void **state)
{
	struct fake *f = long_mode(0);
	struct x86_cpu *c = fake_cpu(f);

	assert_false(x86_h_write_cr(&f->v, 0, X86_CR0_PG));
	assert_false(x86_h_write_cr(&f->v, 0, (uint64_t)1 << 32 | c->cr0));
	assert_false(x86_h_write_cr(&f->v, 0, c->cr0 & ~(uint64_t)X86_CR0_PG)); /* in 64-bit mode */
	assert_false(x86_h_write_cr(&f->v, 4, 0)); /* PAE */
	assert_false(x86_h_write_cr(&f->v, 4, c->cr4 | 1 << 23));
	assert_false(x86_h_write_cr(&f->v, 3, (uint64_t)1 << 50));
	assert_true(x86_h_write_cr(&f->v, 4, c->cr4 | X86_CR4_PCIDE));
	f->flushes = 0;
	assert_true(x86_h_write_cr(&f->v, 3, PT | 5 | (uint64_t)1 << 63));
	assert_int_equal(f->flushes, 0);
	assert_int_equal(c->cr3, PT | 5);
	assert_true(x86_h_write_cr(&f->v, 3, PT | 6));
	assert_int_equal(f->flushes, 1);
	c->gpr[RCX] = 0xc0000080;
	c->gpr[RAX] = 1 << 1;
	c->gpr[RDX] = 0;
	assert_false(x86_h_wrmsr(&f->v));
	c->gpr[RCX] = 0xc0000100;
	c->gpr[RDX] = 0x8000;
	assert_false(x86_h_wrmsr(&f->v)); /* not canonical */
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_walks),
		cmocka_unit_test(walk_is_canonical_and_large),
		cmocka_unit_test(long_fault_from_user),
		cmocka_unit_test(long_ist_and_alignment),
		cmocka_unit_test(double_and_triple_fault),
		cmocka_unit_test(int_n_needs_gate_privilege),
		cmocka_unit_test(syscall_and_back),
		cmocka_unit_test(call_gate_with_parameters),
		cmocka_unit_test(segment_loads),
		cmocka_unit_test(task_switch_there_and_back),
		cmocka_unit_test(vm86_and_back),
		cmocka_unit_test(overlapping_moves_replicate),
		cmocka_unit_test(string_faults_at_its_element),
		cmocka_unit_test(compare_stops_with_flags),
		cmocka_unit_test(xsave_round_trip),
		cmocka_unit_test(control_registers_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
