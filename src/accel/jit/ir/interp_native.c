/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp_native.c: IR_NATIVE in the interpreter: the host instruction is assembled on operands of our own
 * choice and run between an XRSTOR and an XSAVE of the guest's vector and x87 registers. SIMD exceptions
 * are masked while it runs and looked at afterwards: which flags an unmasked overflow or underflow sets
 * (it may be exact then) comes out only approximately.
 * Spec: SDM vol. 2, chapter 2; vol. 1, 13.4 (XSAVE area), 11.5.2 (SIMD exceptions).
 */
#include <cpuid.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/jit/ir/interp.h"
#include "accel/jit/ir/native.h"
#include "cpu/x86/state.h"

enum { OPERAND_D, OPERAND_A, OPERAND_C };
/* Host registers the operands go to; RAX, RCX, RDX hold the guest's, for implicit operands. */
enum { HOST_D = RBX, HOST_A = RSI, HOST_C = RDI, HOST_MEM = R8 };
enum { SLOTS = 64, SLOT_SIZE = 64, PAGE = SLOTS * SLOT_SIZE, CODE_SIZE = 32 };
enum { MX_FLAGS = 0x3f, MX_PRE = 0x07, MX_MASK_SHIFT = 7, MX_MASKS = 0x1f80, FSW_ES = 0x80,
       FSW_PENDING = 0x80bf /* B, ES, exception flags */ };

struct slot {
	int64_t native;
	uint32_t mem, used;
	uint8_t code[CODE_SIZE];
	uint8_t pad[SLOT_SIZE - CODE_SIZE - 16];
};
_Static_assert(sizeof(struct slot) == SLOT_SIZE, "slots tile the page");

/* SDM vol. 1, tables 13-1 and 10-2; AVX state at its standard place */
struct xsave_area {
	uint16_t fcw, fsw;
	uint8_t ftw, pad;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t pad2[96];
	uint64_t xstate_bv, xcomp_bv, pad3[6];
	uint8_t ymm_high[16][16];
} __attribute__((aligned(64)));

/* What ir_native_enter works on; offsets are used in the assembly below. */
struct frame {
	uint64_t rax, rcx, rdx, rbx, rsi, rdi, r8;	/* 0 … 48 */
	uint64_t flags;					/* 56 */
	const void *code;				/* 64 */
	struct xsave_area *area;			/* 72 */
	uint64_t mask;					/* 80 */
	uint32_t host_mxcsr;				/* 88 */
};

void ir_native_enter(struct frame *f);
__asm__(
	".text\n"
	".local ir_native_enter\n"
	".type ir_native_enter, @function\n"
	"ir_native_enter:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	mov %rdi, %rbp\n"
	"	mov 72(%rbp), %r12\n"
	"	stmxcsr 88(%rbp)\n"
	"	mov 80(%rbp), %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 (%r12)\n"
	"	push 56(%rbp)\n"
	"	popf\n"
	"	mov (%rbp), %rax\n"
	"	mov 8(%rbp), %rcx\n"
	"	mov 16(%rbp), %rdx\n"
	"	mov 24(%rbp), %rbx\n"
	"	mov 32(%rbp), %rsi\n"
	"	mov 40(%rbp), %rdi\n"
	"	mov 48(%rbp), %r8\n"
	"	call *64(%rbp)\n"
	"	mov %rax, (%rbp)\n"
	"	mov %rcx, 8(%rbp)\n"
	"	mov %rdx, 16(%rbp)\n"
	"	mov %rbx, 24(%rbp)\n"
	"	mov %rsi, 32(%rbp)\n"
	"	mov %rdi, 40(%rbp)\n"
	"	pushf\n"
	"	pop 56(%rbp)\n"
	"	mov 80(%rbp), %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 (%r12)\n"
	"	fninit\n"
	"	ldmxcsr 88(%rbp)\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	cld\n"
	"	ret\n"
	".size ir_native_enter, .-ir_native_enter\n");

void *ir_native_page_new(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void ir_native_page_free(void *page)
{
	if (page)
		munmap(page, PAGE);
}

static uint8_t *put_prefixes(uint8_t *p, struct native n, unsigned reg, unsigned rm, unsigned v)
{
	static const uint8_t legacy[6][2] = { { 0 }, { 0x66 }, { 0xf3 }, { 0xf2 }, { 0x66, 0xf3 },
		{ 0x66, 0xf2 } };
	unsigned w = n.form & NATIVE_W ? 1 : 0;

	if (n.form & NATIVE_VEX) {
		*p++ = 0xc4;
		*p++ = (uint8_t)((reg & 8 ? 0 : 0x80) | 0x40 | (rm & 8 ? 0 : 0x20) | n.map);
		*p++ = (uint8_t)(w << 7 | (~v & 15) << 3 | (n.form & NATIVE_L ? 4 : 0) | n.pp);
		return p;
	}
	for (unsigned i = 0; i < 2 && legacy[n.pp][i]; i++)
		*p++ = legacy[n.pp][i];
	if (!(n.form & NATIVE_RAWRM))
		*p++ = (uint8_t)(0x40 | w << 3 | (reg & 8 ? 4 : 0) | (rm & 8 ? 1 : 0));
	if (n.map)
		*p++ = 0x0f;
	if (n.map >= 2)
		*p++ = n.map == 2 ? 0x38 : 0x3a;
	return p;
}

static void assemble(uint8_t *p, struct native n, bool mem)
{
	unsigned reg = n.cls & NATIVE_REG_G ? HOST_D : n.reg_rm & 15;
	unsigned rm = mem ? HOST_MEM : n.cls & NATIVE_RM_G ? HOST_A : n.reg_rm >> 4;
	unsigned v = n.cls & NATIVE_V_G ? HOST_C : n.vvvv;

	if (n.form & NATIVE_NOMODRM)
		reg = rm = 0;
	p = put_prefixes(p, n, reg, rm, v);
	*p++ = n.opcode;
	if (n.form & NATIVE_RAWRM)
		*p++ = n.reg_rm;
	else if (!(n.form & NATIVE_NOMODRM))
		*p++ = (uint8_t)((mem ? 0 : 0xc0) | (reg & 7) << 3 | (rm & 7));
	if (n.form & NATIVE_IMM8)
		*p++ = n.imm8;
	*p = 0xc3;
}

static const uint8_t *find_code(void *page, const struct ir_op *o)
{
	uint64_t hash = (uint64_t)o->imm * 0x9e3779b97f4a7c15u + (o->type ? 1 : 0);
	struct slot *s = (struct slot *)page + (hash >> 32) % SLOTS;

	if (!s->used || s->native != o->imm || s->mem != !!o->type) {
		assemble(s->code, native_unpack(o->imm), o->type);
		s->native = o->imm;
		s->mem = !!o->type;
		s->used = 1;
	}
	return s->code;
}

static uint64_t area_mask(void)
{
	uint32_t eax, edx;

	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax & 7;
}

static void area_fill(struct xsave_area *x, const struct x86_cpu *c, uint64_t mask)
{
	memset(x, 0, offsetof(struct xsave_area, ymm_high));
	x->fcw = c->fpu.fcw;
	x->fsw = c->fpu.fsw;
	x->ftw = c->fpu.ftw;
	x->fop = c->fpu.fop;
	x->fip = c->fpu.fip;
	x->fdp = c->fpu.fdp;
	x->mxcsr = (c->mxcsr | MX_MASKS) & ~(uint32_t)MX_FLAGS;
	memcpy(x->st, c->fpu.st, sizeof(x->st));
	for (unsigned i = 0; i < 16; i++) {
		memcpy(x->xmm[i], c->ymm[i], 16);
		memcpy(x->ymm_high[i], c->ymm[i] + 2, 16);
	}
	x->xstate_bv = mask;
}

/* x87: the instruction was one. */
static void area_take(const struct xsave_area *x, struct x86_cpu *c, bool x87)
{
	/* XSAVE may leave out what is in its initial state: all zero, but for the x87 control word */
	bool sse = x->xstate_bv & 2, avx = x->xstate_bv & 4;

	for (unsigned i = 0; i < 16; i++) {
		memset(c->ymm[i], 0, 32);
		if (sse)
			memcpy(c->ymm[i], x->xmm[i], 16);
		if (avx)
			memcpy(c->ymm[i] + 2, x->ymm_high[i], 16);
	}
	c->mxcsr |= x->mxcsr & MX_FLAGS;
	if (!(x->xstate_bv & 1) && !x87)
		return; /* empty registers keep what is in them */
	memset(&c->fpu, 0, sizeof(c->fpu));
	c->fpu.fcw = 0x37f;
	if (!(x->xstate_bv & 1))
		return;
	c->fpu.fcw = x->fcw;
	c->fpu.fsw = x->fsw;
	c->fpu.ftw = x->ftw;
	c->fpu.fop = x->fop;
	c->fpu.fip = x->fip;
	c->fpu.fdp = x->fdp;
	memcpy(c->fpu.st, x->st, sizeof(c->fpu.st));
}

/* Exceptions were masked while it ran; which of the flags it raised did the guest not mask? */
static bool simd_fault(struct x86_cpu *c, uint32_t raised)
{
	uint32_t unmasked = raised & ~(c->mxcsr >> MX_MASK_SHIFT) & MX_FLAGS;

	if (!unmasked)
		return false;
	/* an unmasked exception found before the computation hides those after it */
	c->mxcsr |= unmasked & MX_PRE ? raised & MX_PRE : raised;
	return true;
}

/* Conversions from and to MMX registers have made TOP 0 and all registers valid before they fault. */
static void enter_mmx(struct x86_cpu *c, uint16_t fsw, uint8_t ftw)
{
	unsigned top = c->fpu.fsw >> 11 & 7, now = fsw >> 11 & 7;
	uint8_t old[8][16];

	memcpy(old, c->fpu.st, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->fpu.st[i], old[(i + now - top) & 7], 16);
	c->fpu.fsw = fsw;
	c->fpu.ftw = ftw;
}

/* Destinations that no field names: fnstsw ax, pcmpestri (ECX). The host's register is the guest's. */
static void take_implicit(const struct ir_op *o, struct x86_cpu *c, const struct frame *f)
{
	if (native_unpack(o->imm).cls & NATIVE_REG_G)
		return;
	if (o->d == RAX)
		c->gpr[RAX] = f->rax;
	else if (o->d == RCX)
		c->gpr[RCX] = f->rcx;
}

/* fnstcw, fnstsw, and what the 8087 and 80287 had at DB E0..E4 */
static bool no_wait(struct native n)
{
	if (n.form & NATIVE_RAWRM)
		return (n.opcode == 0xdf && n.reg_rm == 0xe0) || (n.opcode == 0xdb && (n.reg_rm & 0xf8) == 0xe0);
	return (n.opcode == 0xd9 || n.opcode == 0xdd) && (n.reg_rm & 7) == 7;
}

/* Uses MMX registers: then a pending x87 exception is reported first. */
static bool is_mmx(struct native n, bool mem)
{
	unsigned op = n.opcode;

	if (n.form & NATIVE_VEX || !n.map || (mem && n.map == 1 && op == 0x2a))
		return false;
	if (n.map == 1 && n.pp == 1)
		return op == 0x2a || op == 0x2c || op == 0x2d;
	if (n.map == 1 && n.pp >= 2)
		return op == 0xd6;
	if (n.pp)
		return false;
	if (n.map > 1)
		return n.map == 2 ? op <= 0x1e : op == 0x0f;
	return op == 0x2a || op == 0x2c || op == 0x2d || (op >= 0x60 && op < 0x80) || op == 0xc4 ||
		op == 0xc5 || op >= 0xd0;
}

static bool is_x87(struct native n)
{
	return !n.map && n.opcode >= 0xd8 && n.opcode <= 0xdf;
}

bool ir_native_ready(const struct ir_env *env, const struct ir_op *o)
{
	struct native n = native_unpack(o->imm);

	return !(((const struct x86_cpu *)env->state)->fpu.fsw & FSW_ES) ||
		!(is_mmx(n, o->type) || (is_x87(n) && !no_wait(n)));
}

bool ir_native_run(const struct ir_env *env, const struct ir_op *o, uint64_t gpr[3], void *mem, uint64_t *flags)
{
	struct x86_cpu *c = (struct x86_cpu *)env->state;
	struct native n = native_unpack(o->imm);
	bool x87 = is_x87(n);
	struct xsave_area area;
	struct frame f = {
		.rax = c->gpr[RAX], .rcx = c->gpr[RCX], .rdx = c->gpr[RDX], .rbx = gpr[OPERAND_D],
		.rsi = gpr[OPERAND_A], .rdi = gpr[OPERAND_C], .r8 = (uint64_t)(uintptr_t)mem,
		.flags = (*flags & X86_FL_ARITH) | 2, .code = find_code(env->native_page, o), .area = &area,
		.mask = area_mask(),
	};

	area_fill(&area, c, f.mask);
	if (!x87) /* nobody's business now: XRSTOR would raise it again */
		area.fsw &= (uint16_t)~FSW_PENDING;
	ir_native_enter(&f);
	if (!x87)
		area.fsw |= c->fpu.fsw & FSW_PENDING;
	if (simd_fault(c, area.mxcsr & MX_FLAGS)) {
		if (area.xstate_bv & 1)
			enter_mmx(c, area.fsw, area.ftw);
		return false;
	}
	area_take(&area, c, x87);
	gpr[OPERAND_D] = f.rbx;
	gpr[OPERAND_A] = f.rsi;
	gpr[OPERAND_C] = f.rdi;
	take_implicit(o, c, &f);
	*flags = f.flags & X86_FL_ARITH;
	return true;
}
