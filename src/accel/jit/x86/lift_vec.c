/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lift_vec.c: MMX, SSE and AVX instructions to IR. All but a few become one IR_NATIVE: the host's vector
 * unit does what the guest's would. Spec: SDM vol. 2; which exist: lift_vec.def.
 */
#include "accel/jit/x86/lift.h"

#include "accel/jit/ir/native.h"
#include "accel/jit/x86/helpers.h"
#include "base/own.h"

enum form { VM = 1, MV, VG, GV, GVM };
enum {
	F_IMM = 1, F_REG = 2, F_MEM = 4, F_ALIGN = 8, F_UNALIGNED = 16, F_FLAGS = 32,
};
enum {	/* the spellings used in the table */
	VM_U = VM | F_UNALIGNED << 3, VM_M = VM | F_MEM << 3, VM_A = VM | F_ALIGN << 3,
	VM_R = VM | F_REG << 3, VM_I = VM | F_IMM << 3, VM_F = VM | F_FLAGS << 3,
	VM_MU = VM_M | VM_U, VM_MA = VM_M | VM_A, VM_UIF = VM_U | VM_I | VM_F,
	MV_U = MV | F_UNALIGNED << 3, MV_M = MV | F_MEM << 3, MV_A = MV | F_ALIGN << 3,
	MV_MA = MV_M | MV_A, MV_I = MV | F_IMM << 3,
	VG_I = VG | F_IMM << 3, GV_I = GV | F_IMM << 3,
	GVM_R = GVM | F_REG << 3, GVM_RI = GVM_R | F_IMM << 3,
};
enum { X = 64, H, Q, E, S, G, D };	/* sizes that depend on L or W; others are bytes */
enum feature {
	MMX, SSEX, SSE, SSE2X, SSE2, SSE3, SSSE3M, SSSE3, SSE41, SSE42, AES, PCLMUL, SHA,
	GFNI_W0, GFNI_W1, AVX_W0, AVXB_W0, AVX2, AVX2_W0, AVX2_W1, FMA, F16C_W0,
};
enum { VEX_NONE = 0, VEX_N = 1, VEX_U = 2, VEX_M = 3, VEX_KIND = 3,
       VEX_0 = 0 << 2, VEX_1 = 1 << 2, VEX_2 = 2 << 2, VEX_I = 3 << 2, VEX_L = 4 << 2, VEX_LEN = 7 << 2 };
enum {
	_0 = VEX_NONE, N0 = VEX_N | VEX_0, N1 = VEX_N | VEX_1, N2 = VEX_N | VEX_2, NI = VEX_N | VEX_I,
	NL = VEX_N | VEX_L, U0 = VEX_U | VEX_0, U1 = VEX_U | VEX_1, U2 = VEX_U | VEX_2,
	UI = VEX_U | VEX_I, UL = VEX_U | VEX_L, MI = VEX_M | VEX_I,
};

struct row {
	uint16_t form; /* enum form | F_* << 3; 0: no such instruction */
	uint8_t mem, feature, vex;
};

#define ROW(map, pp, op) [((map) - 1) << 10 | (pp) << 8 | (op)]
#define VEC(map, pp, op, f, m, feat, v, name) ROW(map, pp, op) = { f, m, feat, v },
#define VEC_PSPD(op, name) VEC(1, 0, op, VM, X, SSE, N1, name) VEC(1, 1, op, VM, X, SSE2, N1, name)
#define VEC_FP4(op, name)                                                                          \
	VEC_PSPD(op, name) VEC(1, 2, op, VM, 4, SSE, NI, name) VEC(1, 3, op, VM, 8, SSE2, NI, name)
#define VEC_INT(op, name) VEC(1, 0, op, VM, 8, MMX, _0, name) VEC(1, 1, op, VM, X, SSE2, N2, name)
#define VEC_SHIFT(op, name) VEC(1, 0, op, VM, 8, MMX, _0, name) VEC(1, 1, op, VM, 16, SSE2, N2, name)
#define VEC_S3(op, name, v) VEC(2, 0, op, VM, 8, SSSE3M, _0, name) VEC(2, 1, op, VM, X, SSSE3, v, name)
#define VEC_FMA(op, m, v, name)                                                                    \
	VEC(2, 1, 0x90 + op, VM, m, FMA, v, name##132) VEC(2, 1, 0xa0 + op, VM, m, FMA, v, name##213) \
	VEC(2, 1, 0xb0 + op, VM, m, FMA, v, name##231)
static const struct row rows[3 << 10] = {
#include "accel/jit/x86/lift_vec.def"
};

/* What a feature needs: the CPUID bit of its legacy form, which register files it uses. */
static const struct {
	uint8_t word, bit;
	bool vec, mmx, vex_only;
	int8_t w; /* required VEX.W; -1: any */
} features[] = {
	[MMX] = { FEAT_1_EDX, 23, false, true, false, -1 },
	[SSEX] = { FEAT_1_EDX, 25, true, true, false, -1 },
	[SSE] = { FEAT_1_EDX, 25, true, false, false, -1 },
	[SSE2X] = { FEAT_1_EDX, 26, true, true, false, -1 },
	[SSE2] = { FEAT_1_EDX, 26, true, false, false, -1 },
	[SSE3] = { FEAT_1_ECX, 0, true, false, false, -1 },
	[SSSE3M] = { FEAT_1_ECX, 9, false, true, false, -1 },
	[SSSE3] = { FEAT_1_ECX, 9, true, false, false, -1 },
	[SSE41] = { FEAT_1_ECX, 19, true, false, false, -1 },
	[SSE42] = { FEAT_1_ECX, 20, true, false, false, -1 },
	[AES] = { FEAT_1_ECX, 25, true, false, false, -1 },
	[PCLMUL] = { FEAT_1_ECX, 1, true, false, false, -1 },
	[SHA] = { FEAT_7_0_EBX, 29, true, false, false, -1 },
	[GFNI_W0] = { FEAT_7_0_ECX, 8, true, false, false, 0 },
	[GFNI_W1] = { FEAT_7_0_ECX, 8, true, false, false, 1 },
	[AVX_W0] = { FEAT_1_ECX, 28, true, false, true, 0 },
	[AVXB_W0] = { FEAT_1_ECX, 28, true, false, true, 0 },
	[AVX2] = { FEAT_7_0_EBX, 5, true, false, true, -1 },
	[AVX2_W0] = { FEAT_7_0_EBX, 5, true, false, true, 0 },
	[AVX2_W1] = { FEAT_7_0_EBX, 5, true, false, true, 1 },
	[FMA] = { FEAT_1_ECX, 12, true, false, true, -1 },
	[F16C_W0] = { FEAT_1_ECX, 29, true, false, true, 0 },
};

static bool has(const struct x86_lift *l, unsigned feature)
{
	return x86_lift_has(l, features[feature].word, features[feature].bit);
}

static bool has_avx(const struct x86_lift *l)
{
	return x86_lift_has(l, FEAT_1_ECX, 28);
}

static bool has_avx2(const struct x86_lift *l)
{
	return x86_lift_has(l, FEAT_7_0_EBX, 5);
}

/* VAES, VPCLMULQDQ: the 256-bit forms of instructions that AVX knows in 128 bits only */
static bool has_wide_form(const struct x86_lift *l, const struct row *r)
{
	if ((r->vex & VEX_KIND) != VEX_N)
		return false;
	return (r->feature == AES && x86_lift_has(l, FEAT_7_0_ECX, 9)) ||
		(r->feature == PCLMUL && x86_lift_has(l, FEAT_7_0_ECX, 10));
}

/* Makes the vector (and AVX upper halves) registers usable and live, once a block. */
static void enter_vec(struct x86_lift *l, bool avx)
{
	if (l->vec_entered[1] || (l->vec_entered[0] && !avx))
		return;
	ir_emit(l->b, IR_VEC_ENTER, IR_64)->sub = avx;
	l->b->uses_vec = true;
	l->vec_entered[avx] = true;
}

static void enter_mmx(struct x86_lift *l)
{
	if (l->fpu_entered[1])
		return;
	ir_emit(l->b, IR_FPU_ENTER, IR_64)->sub = 1;
	l->b->uses_fpu = true;
	l->fpu_entered[1] = true;
}

static unsigned mem_size(const struct x86_lift *l, const struct row *r)
{
	unsigned full = l->in.vex && l->in.vex_l ? 32 : 16;
	bool w = l->in.rex & X86_REX_W;

	switch (r->mem) {
	case X: return full;
	case H: return full / 2;
	case Q: return full / 4;
	case E: return full / 8;
	case S: return w ? 8 : 4;
	case G: return w && l->x64 ? 8 : 4;
	case D: return full == 32 ? 32 : 8;
	default: return r->mem;
	}
}

/* Is this encoding defined and offered? SDM vol. 2, 2.3 and the instructions' own pages. */
static bool legal(const struct x86_lift *l, const struct row *r)
{
	const struct x86_insn *in = &l->in;
	unsigned f = r->form >> 3, kind = r->vex & VEX_KIND, len = r->vex & VEX_LEN;

	if (!r->form || in->lock || !has(l, r->feature))
		return false;
	if ((f & F_REG && in->is_mem) || (f & F_MEM && !in->is_mem))
		return false;
	if (!in->vex)
		return !features[r->feature].vex_only;
	if (in->vex_bad || kind == VEX_NONE || !has_avx(l))
		return false;
	if (features[r->feature].w >= 0 && !!(in->rex & X86_REX_W) != features[r->feature].w)
		return false;
	if (r->feature == AVXB_W0 && !in->is_mem && !has_avx2(l))
		return false;
	if ((len == VEX_0 && in->vex_l && !has_wide_form(l, r)) || (len == VEX_L && !in->vex_l) ||
		(len == VEX_2 && in->vex_l && !has_avx2(l)))
		return false;
	if (!l->x64 && in->map == X86_MAP_0F3A && (in->opcode == 0x16 || in->opcode == 0x22) &&
		in->rex & X86_REX_W)
		return false; /* vpextrq, vpinsrq; elsewhere W is ignored outside 64-bit code */
	if (kind == VEX_M)
		kind = in->is_mem ? VEX_U : VEX_N;
	return kind == VEX_N || !in->vvvv_used;
}

static bool aligned(const struct x86_lift *l, const struct row *r, unsigned size)
{
	unsigned f = r->form >> 3;

	if (f & F_ALIGN)
		return true;
	return !l->in.vex && size == 16 && !(f & F_UNALIGNED);
}

static void set_mem(struct x86_lift *l, struct ir_op *o, struct x86_mem m, unsigned size)
{
	o->type = (uint8_t)size;
	o->a = m.a;
	o->b = m.b;
	o->mem = m.mem;
	o->disp = m.disp;
}

static struct native encoding(const struct x86_insn *in, bool imm)
{
	struct native n = {
		.opcode = in->opcode, .map = in->map, .pp = in->pp, .imm8 = (uint8_t)in->imm,
		.vvvv = in->vvvv, .reg_rm = (uint8_t)(in->reg | (in->is_mem ? 0 : in->rm << 4)),
		.form = (uint8_t)((in->vex ? NATIVE_VEX : 0) | (in->rex & X86_REX_W ? NATIVE_W : 0) |
			(in->vex_l ? NATIVE_L : 0) | (imm ? NATIVE_IMM8 : 0)),
	};

	return n;
}

/* General-register fields of the forms that have one. */
static void set_general(struct x86_lift *l, struct ir_op *o, struct native *n, enum form form)
{
	const struct x86_insn *in = &l->in;
	bool wide = in->rex & X86_REX_W && l->x64;

	if (form == GVM) {
		n->cls |= NATIVE_REG_G | NATIVE_REG_W;
		o->d = in->reg;
		n->reg_rm &= 0xf0;
	} else if ((form == VG || form == GV) && !in->is_mem) {
		n->cls |= (uint8_t)(NATIVE_RM_G | (form == GV ? NATIVE_RM_W : 0));
		o->a = in->rm;
		n->reg_rm &= 0x0f;
	} else if (form != VG && form != GV) {
		return;
	}
	if (!wide) {
		n->cls |= NATIVE_G32;
		n->form &= (uint8_t)~NATIVE_W;
	}
}

/* MMX registers have no REX bits: which of the two fields name one? */
static void cut_mmx(const struct x86_insn *in, const struct row *r, struct native *n)
{
	bool reg, rm;

	if (!features[r->feature].mmx)
		return;
	reg = !features[r->feature].vec || in->opcode == 0x2c || in->opcode == 0x2d ||
		(in->opcode == 0xd6 && in->pp == 3);
	rm = !features[r->feature].vec || in->opcode == 0x2a || (in->opcode == 0xd6 && in->pp == 2);
	if (reg && !(n->cls & NATIVE_REG_G))
		n->reg_rm &= 0xf7;
	if (rm && !(n->cls & NATIVE_RM_G))
		n->reg_rm &= 0x7f;
}

static bool lift_row(struct x86_lift *l, const struct row *r)
{
	unsigned size = mem_size(l, r), f = r->form >> 3;
	enum form form = r->form & 7;
	struct native n = encoding(&l->in, f & F_IMM || (l->in.map == X86_MAP_0F3A));
	struct x86_mem m = { 0 };
	struct ir_op *o;

	if (!l->x64 && l->in.map == X86_MAP_0F3A) {
		if (l->in.vex && l->in.opcode >= 0x4a && l->in.opcode <= 0x4c)
			n.imm8 &= 0x7f; /* the fourth register is one of eight */
		else if (l->in.opcode == 0x60 || l->in.opcode == 0x61)
			n.form &= (uint8_t)~NATIVE_W; /* pcmpestr: lengths in EAX, EDX */
	}
	if (features[r->feature].vec)
		enter_vec(l, l->in.vex);
	if (features[r->feature].mmx)
		enter_mmx(l);
	if (l->in.is_mem)
		m = x86_mem(l, size, form == MV || form == GV);
	o = ir_emit(l->b, IR_NATIVE, IR_64);
	o->type = 0;
	if (l->in.is_mem) {
		set_mem(l, o, m, size);
		o->flags = form == MV || form == GV ? IRO_STORE : IRO_LOAD;
		if (aligned(l, r, size))
			o->flags |= IRO_ALIGN;
	}
	set_general(l, o, &n, form);
	cut_mmx(&l->in, r, &n);
	if (l->in.map == X86_MAP_0F3A && (l->in.opcode == 0x61 || l->in.opcode == 0x63))
		o->d = RCX; /* pcmpestri, pcmpistri: the index, implicitly */
	if (f & F_FLAGS)
		o->fout = o->flive = IRFL_ALL;
	o->imm = native_pack(n);
	return true;
}

/* 0F 71, 72, 73: shifts of a register by an immediate; VEX: vvvv is the destination. */
static bool lift_shift_group(struct x86_lift *l)
{
	static const uint8_t allowed[3] = { 0x54, 0x54, 0xcc }; /* bit n: /n exists */
	const struct x86_insn *in = &l->in;
	unsigned digit = in->reg & 7;
	bool sse = in->pp == 1;
	struct native n = encoding(in, true);
	struct ir_op *o;

	if (in->is_mem || in->lock || in->pp > 1 || !(allowed[in->opcode - 0x71] >> digit & 1))
		return false;
	if (!sse && (in->vex || (in->opcode == 0x73 && digit & 1)))
		return false; /* psrldq, pslldq have no MMX form */
	if (in->vex && (in->vex_bad || !has_avx(l) || (in->vex_l && !has_avx2(l))))
		return false;
	if (sse)
		enter_vec(l, in->vex);
	else
		enter_mmx(l);
	n.reg_rm = (uint8_t)(digit | (sse ? in->rm : in->rm & 7) << 4);
	o = ir_emit(l->b, IR_NATIVE, IR_64);
	o->type = 0;
	o->imm = native_pack(n);
	return true;
}

/* vzeroupper, vzeroall in 16- and 32-bit code: registers 0 to 7 only, one by one with what clears (vpxor)
 * or keeps (vmovdqa) the lower half. */
static void clear_upper8(struct x86_lift *l)
{
	enter_vec(l, true);
	for (uint8_t i = 0; i < 8; i++) {
		struct native n = { .opcode = l->in.vex_l ? 0xef : 0x6f, .map = X86_MAP_0F, .pp = 1,
			.form = NATIVE_VEX, .reg_rm = (uint8_t)(i | i << 4), .vvvv = l->in.vex_l ? i : 0 };
		struct ir_op *o = ir_emit(l->b, IR_NATIVE, IR_64);

		o->type = 0;
		o->imm = native_pack(n);
	}
}

/* 0F 77: emms, vzeroupper, vzeroall. */
static bool lift_77(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	struct native n = encoding(in, false);
	struct ir_op *o;

	if (in->lock || in->pp || (in->vex && (in->vex_bad || in->vvvv_used || !has_avx(l))))
		return false;
	if (in->vex && !l->x64) {
		clear_upper8(l);
		return true;
	}
	if (in->vex)
		enter_vec(l, true);
	else
		enter_mmx(l);
	n.form |= NATIVE_NOMODRM;
	n.reg_rm = 0;
	o = ir_emit(l->b, IR_NATIVE, IR_64);
	o->type = 0;
	o->imm = native_pack(n);
	return true;
}

static bool call_masked(struct x86_lift *l, uint16_t linear, uint64_t desc)
{
	l->end_here = X86_VMASK_KIND(desc) != X86_VMASK_LOAD && X86_VMASK_KIND(desc) != X86_VMASK_GATHER;
	X86_CALL(l, x86_h_maskmov, linear, x86_const(l, (int64_t)desc), IR_NONE);
	return true;
}

/* 0F F7: maskmovq, maskmovdqu: bytes of reg to DS:rDI where rm says so. */
static bool lift_maskmovdqu(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	bool sse = in->pp == 1;
	struct x86_mem off = { .a = RDI, .b = IR_NONE }, m;
	uint16_t va;
	struct ir_op *o;

	if (in->is_mem || in->lock || in->pp > 1 || (in->vex && (in->vex_bad || in->vex_l || in->vvvv_used ||
		!sse || !has_avx(l))))
		return false;
	if (sse)
		enter_vec(l, in->vex);
	else
		enter_mmx(l);
	off.mem = in->asize == 4 ? IRM_A32 : in->asize == 2 ? IRM_A16 : 0;
	m = x86_mem_seg(l, off, in->seg == X86_NO_SEG ? SEG_DS : in->seg, sse ? 16 : 8, true);
	va = ir_temp(l->b);
	o = x86_mem_op(l, IR_LEA, IR_64, m);
	o->d = va;
	if (m.mem & IRM_SEG) {
		uint16_t base = x86_load_state(l, X86_STATE(seg) +
			(int)(((m.mem & IRM_SEG) >> IRM_SEG_SHIFT) - 1) * (int)sizeof(struct x86_segment) +
			(int)offsetof(struct x86_segment, base), 8);
		uint16_t sum = ir_temp(l->b);

		o->mem &= (uint8_t)~(IRM_SEG | IRM_L32);
		x86_op(l, IR_ADD, m.mem & IRM_L32 ? IR_32 : IR_64, sum, va, base);
		va = sum;
	}
	return call_masked(l, va, (sse ? X86_VMASK_SSE : X86_VMASK_MMX) | (uint64_t)in->reg << 4 |
		(uint64_t)in->rm << 8);
}

/* VEX 0F38 2C-2F, 8C, 8E: vmaskmovps/pd, vpmaskmovd/q. */
static bool lift_vmaskmov(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;
	bool integer = in->opcode >= 0x8c, w = in->rex & X86_REX_W;
	bool wide = integer ? w : in->opcode & 1, store = integer ? in->opcode == 0x8e : in->opcode >= 0x2e;

	if (!in->is_mem || in->vex_bad || in->pp != 1 || (integer ? !has_avx2(l) : w || !has_avx(l)))
		return false;
	enter_vec(l, true);
	return call_masked(l, x86_linear(l, in->vex_l ? 32 : 16, store),
		(store ? X86_VMASK_STORE : X86_VMASK_LOAD) | (uint64_t)in->reg << 4 |
		(uint64_t)in->vvvv << 8 | (wide ? 3u : 2u) << 16 | (uint64_t)in->vex_l << 18);
}

/* VEX 0F38 90-93: gathers; the index register is in SIB.index (VSIB, SDM vol. 2, 2.3.12). */
static bool lift_gather(struct x86_lift *l)
{
	struct x86_insn *in = &l->in;
	bool wide = in->rex & X86_REX_W, index64 = in->opcode & 1;
	unsigned index = in->index == X86_NO_REG ? 4 : in->index, scale = in->scale;
	uint16_t base;

	if (!in->is_mem || (in->modrm & 7) != 4 || in->asize == 2 || in->vex_bad || in->pp != 1 || !has_avx2(l))
		return false;
	if (in->reg == in->vvvv || in->reg == index || in->vvvv == index)
		return false;
	enter_vec(l, true);
	in->index = X86_NO_REG;
	in->scale = 0;
	base = x86_linear(l, wide ? 8 : 4, false);
	return call_masked(l, base, X86_VMASK_GATHER | (uint64_t)in->reg << 4 | (uint64_t)in->vvvv << 8 |
		(uint64_t)index << 12 | (wide ? 3u : 2u) << 16 | (uint64_t)in->vex_l << 18 |
		(uint64_t)index64 << 19 | (uint64_t)scale << 20 | (uint64_t)(in->asize != 8) << 22);
}

bool x86_lift_vec(struct x86_lift *l)
{
	const struct x86_insn *in = &l->in;

	if (in->map < X86_MAP_0F || in->map > X86_MAP_0F3A || in->pp > 3)
		return false;
	if (in->map == X86_MAP_0F) {
		switch (in->opcode) {
		case 0x71: case 0x72: case 0x73: return lift_shift_group(l);
		case 0x77: return lift_77(l);
		case 0xf7: return lift_maskmovdqu(l);
		}
	} else if (in->map == X86_MAP_0F38 && in->vex) {
		switch (in->opcode) {
		case 0x2c: case 0x2d: case 0x2e: case 0x2f: case 0x8c: case 0x8e:
			return lift_vmaskmov(l);
		case 0x90: case 0x91: case 0x92: case 0x93: return lift_gather(l);
		}
	}
	const struct row *r = &rows[(in->map - 1) << 10 | in->pp << 8 | in->opcode];

	return legal(l, r) && lift_row(l, r);
}
