/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gen.c: makes test cases: instructions by opcode map, register values that make them interesting.
 */
#include <string.h>

#include "diff.h"

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (rng_next(r) >> 8) % n;
}

static bool chance(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

static const uint64_t corner[] = {
	0,
	1,
	2,
	3,
	7,
	8,
	15,
	16,
	31,
	32,
	33,
	63,
	64,
	0x7f,
	0x80,
	0x81,
	0xff,
	0x100,
	0x7fff,
	0x8000,
	0xffff,
	0x10000,
	0x7fffffff,
	0x80000000,
	0xffffffff,
	0x100000000,
	INT64_MAX,
	0x8000000000000000u,
	UINT64_MAX,
	0x5555555555555555u,
	0xaaaaaaaaaaaaaaaau,
	0x0123456789abcdefu,
	0xfffffffffffffffeu,
	0xffffffff80000000u,
	0xffffffffffffff80u,
	0x9999999999999999u,
};
enum { AREA = 1024 }; /* room for an XSAVE area */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t data_pointer(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0: /* around a page border */
		return DATA_BASE + 4096 * (1 + rng_below(r, 2)) - rng_below(r, 64);
	case 1: return DATA_BASE + rng_below(r, DATA_SIZE + 64) - 32;
	case 2:
	case 3: return DATA_BASE + rng_below(r, DATA_SIZE);
	default: return DATA_BASE + (rng_below(r, DATA_SIZE - 64) & ~31ull);
	}
}

static uint64_t area_pointer(struct rng *r)
{
	if (chance(r, 10))
		return data_pointer(r);
	return DATA_BASE + rng_below(r, DATA_SIZE / AREA) * AREA + (chance(r, 10) ? 16 : 0);
}

static uint64_t value(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0: return rng_below(r, 256);
	case 1: return -rng_below(r, 256);
	case 2:
	case 3: return corner[rng_below(r, COUNT(corner))];
	case 4: return data_pointer(r) - diff_data_base();
	case 5: return (uint32_t)rng_next(r);
	default: return rng_next(r);
	}
}

/* --- vector and x87 values --- */

static const uint32_t floats[] = {
	0,
	0x80000000,
	0x3f800000,
	0xbf800000,
	0x7f800000,
	0xff800000,
	0x7fc00000,
	0x7f800001,
	0xffc12345,
	1,
	0x80000001,
	0x007fffff,
	0x00800000,
	0x7f7fffff,
	0x40490fdb,
	0x4f000000,
	0xcf000000,
	0x5f000000,
	0x3f000000,
};
static const uint64_t doubles[] = {
	0,
	0x8000000000000000,
	0x3ff0000000000000,
	0xbff0000000000000,
	0x7ff0000000000000,
	0xfff0000000000000,
	0x7ff8000000000000,
	0x7ff0000000000001,
	0xfff8123456789abc,
	1,
	0x8000000000000001,
	0x000fffffffffffff,
	0x0010000000000000,
	0x7fefffffffffffff,
	0x400921fb54442d18,
	0x41dfffffffc00000,
	0x43e0000000000000,
	0xc3e0000000000000,
	0x3fe0000000000000,
	0x47efffffe0000000,
};

static uint64_t lane(struct rng *r, unsigned kind)
{
	switch (kind) {
	case 0:
		return floats[rng_below(r, COUNT(floats))] |
		       (uint64_t)floats[rng_below(r, COUNT(floats))] << 32;
	case 1: return doubles[rng_below(r, COUNT(doubles))];
	case 2: return value(r);
	case 3: /* moderate numbers */
		return (0x3f000000 + rng_below(r, 0x3000000)) |
		       (0x3f000000 + rng_below(r, 0x3000000)) << 32;
	case 4: return 0x3fd0000000000000 + (rng_next(r) >> 10);
	default: return rng_next(r);
	}
}

static void fill_vec(struct rng *r, struct x86_cpu *c)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kind = (unsigned)rng_below(r, 6);

		for (unsigned k = 0; k < 4; k++)
			c->ymm[i][k] = lane(r, kind);
	}
	c->mxcsr = 0x1f80;
	if (chance(r, 30))
		c->mxcsr |= (uint32_t)(rng_next(r) & 0xe07f); /* rounding, FTZ, DAZ, flags */
	if (chance(r, 10))
		c->mxcsr &= ~(uint32_t)(rng_next(r) & 0x1380); /* unmasked */
	if (chance(r, 5))
		c->mxcsr &= ~(uint32_t)(rng_next(r) & MXCSR_OM_UM);
}

static void fill_fpu(struct rng *r, struct x86_cpu *c)
{
	static const uint16_t exponents[] = { 0, 1, 0x3ffe, 0x3fff, 0x4000, 0x403e, 0x7ffe, 0x7fff,
		0x401e, 0x3f00 };

	c->fpu.fcw = 0x37f;
	if (chance(r, 30))
		c->fpu.fcw = (uint16_t)(0x7f | (rng_next(r) & 0xf00));
	if (chance(r, 10)) /* unmasked */
		c->fpu.fcw &= (uint16_t)~(rng_next(r) & 0x3f);
	c->fpu.ftw = chance(r, 60) ? 0xff : (uint8_t)rng_next(r);
	c->fpu.fsw = (uint16_t)(rng_next(r) & 0x7f00 & ~0u);
	if (chance(r, 20))
		c->fpu.fsw |= (uint16_t)(rng_next(r) & 0x7f);
	c->fpu.fsw &= c->fpu.fcw | 0xff40; /* no pending exception */
	for (unsigned i = 0; i < 8; i++) {
		uint64_t mantissa = chance(r, 70) ? rng_next(r) | 1ull << 63 : value(r);
		uint16_t e = chance(r, 60) ? exponents[rng_below(r, COUNT(exponents))]
					   : (uint16_t)(0x3fff - 70 + rng_below(r, 140));

		if (chance(r, 20))
			mantissa = 1ull << 63;
		e |= (uint16_t)(rng_next(r) & 0x8000);
		memset(c->fpu.st[i], 0, 16);
		memcpy(c->fpu.st[i], &mantissa, 8);
		memcpy(c->fpu.st[i] + 8, &e, 2);
	}
}

/* What XRSTOR may find: components, plain or compact, and now and then a bad header. */
static void fill_area(struct rng *r, uint8_t *p)
{
	uint64_t header[8] = { rng_next(r) & 7, chance(r, 50) ? 1ull << 63 | (rng_next(r) & 7) : 0 };
	uint32_t mxcsr = rng_next(r) & 0xffff;

	if (chance(r, 70) && header[1])
		header[1] |= 7;
	if (chance(r, 10)) /* not a component that only the host has */
		header[rng_below(r, 8)] ^= 1ull << (10 + rng_below(r, 54));
	if (chance(r, 90))
		memcpy(p + 24, &mxcsr, 4);
	memcpy(p + 512, header, sizeof(header));
}

void gen_memory(struct rng *r, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = chance(r, 50) ? lane(r, (unsigned)rng_below(r, 2)) : value(r);

		memcpy(p + i, &v, 8);
	}
	for (size_t i = 0; i < n; i += AREA)
		fill_area(r, p + i);
}

/* --- one instruction --- */

struct pieces {
	uint8_t b[32];
	unsigned n, modrm, disp, disp_size, imm;
};

static void put(struct pieces *p, uint64_t v)
{
	p->b[p->n++] = (uint8_t)v;
}

/* 16-bit addressing: no SIB, other displacements */
static void put_modrm16(struct rng *r, struct pieces *p)
{
	unsigned mod = chance(r, 45) ? 3 : (unsigned)rng_below(r, 3),
		 rm = (unsigned)rng_below(r, 8);

	p->modrm = p->n;
	put(p, mod << 6 | rng_below(r, 8) << 3 | rm);
	p->disp = p->n;
	p->disp_size = mod == 3 ? 0 : mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
	for (unsigned i = 0; i < p->disp_size; i++)
		put(p, rng_next(r));
}

static void put_modrm(struct rng *r, struct pieces *p)
{
	unsigned mod = chance(r, 45) ? 3 : (unsigned)rng_below(r, 3),
		 rm = (unsigned)rng_below(r, 8), sib = 0;

	p->modrm = p->n;
	put(p, mod << 6 | rng_below(r, 8) << 3 | rm);
	if (mod == 3)
		return;
	if (rm == 4) {
		sib = (unsigned)rng_next(r) & 0xff;
		put(p, sib);
	}
	p->disp = p->n;
	p->disp_size = mod == 1 ? 1 : mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5) ? 4 : 0;
	for (unsigned i = 0; i < p->disp_size; i++)
		put(p, i < 2 ? rng_next(r) : 0);
}

static void put_vex(struct rng *r, struct pieces *p, unsigned map)
{
	unsigned pp = (unsigned)rng_below(r, 4), vvvv = (unsigned)rng_below(r, 16),
		 top = chance(r, 50) ? 0xe0 : 0;

	if (chance(r, 50))
		vvvv = 15;
	if (!top)
		top = (unsigned)rng_next(r) & 0xe0;
	if (diff_bits != 64)
		top |= 0xc0; /* else it is LES */
	put(p, 0xc4);
	put(p, top | map);
	put(p, (rng_next(r) & 0x80) | vvvv << 3 | (rng_next(r) & 4) | pp);
}

static const uint8_t bmi_38[] = { 0xf2, 0xf3, 0xf5, 0xf6, 0xf7 };

/* Not an opcode in the one-byte map but something before one. */
static bool is_prefix(unsigned opcode)
{
	return ((opcode & 0xf0) == 0x40 && diff_bits == 64) || (opcode & 0xe7) == 0x26 ||
	       (opcode >= 0x64 && opcode <= 0x67) || opcode == 0xf0 || opcode == 0xf2 ||
	       opcode == 0xf3 || opcode == 0x0f || opcode == 0xc4 || opcode == 0xc5;
}

static void gen_bytes(struct rng *r, struct pieces *p, unsigned kind)
{
	unsigned map, opcode;
	bool vex = false, p67 = chance(r, diff_bits == 16 ? 30 : 4);

	memset(p, 0, sizeof(*p));
	switch (kind) {
	case GEN_INT:
		map = chance(r, 60) ? 0 : chance(r, 80) ? 1 : chance(r, 80) ? 2 : 3;
		opcode = map == 2 && chance(r, 70) ? bmi_38[rng_below(r, COUNT(bmi_38))]
			 : map >= 2                ? 0xf0 | (unsigned)rng_below(r, 8)
						   : (unsigned)rng_below(r, 256);
		vex = map >= 2 && chance(r, 60);
		while ((!map && is_prefix(opcode)) ||
			(map == 1 && (opcode == 0x38 || opcode == 0x3a)))
			opcode = (unsigned)rng_below(r, 256);
		break;
	case GEN_VEC:
		map = chance(r, 60) ? 1 : chance(r, 60) ? 2 : 3;
		opcode = (unsigned)rng_below(r, 256);
		vex = chance(r, 55);
		if (chance(r, 4)) {
			map = 1;
			opcode = chance(r, 70) ? 0xae : 0xc7;
		}
		if (map == 1 && (opcode == 0x38 || opcode == 0x3a))
			opcode = 0x28;
		break;
	default:
		map = 0;
		opcode = 0xd8 + (unsigned)rng_below(r, 8);
		break;
	}
	if (p67)
		put(p, 0x67);
	if (chance(r, 4))
		put(p, 0x65);
	if (vex) {
		put_vex(r, p, map);
	} else {
		if (chance(r, 5) && kind == GEN_INT)
			put(p, 0xf0);
		if (chance(r, kind == GEN_VEC ? 40 : 20))
			put(p, 0x66);
		if (chance(r, kind == GEN_VEC ? 30 : map ? 15 : 3))
			put(p, chance(r, 50) ? 0xf3 : 0xf2);
		if (chance(r, 50) && diff_bits == 64)
			put(p, 0x40 | (rng_next(r) & 15));
		if (map)
			put(p, 0x0f);
		if (map > 1)
			put(p, map == 2 ? 0x38 : 0x3a);
	}
	put(p, opcode);
	if (diff_bits != 64 && (diff_bits == 16) != p67)
		put_modrm16(r, p);
	else
		put_modrm(r, p);
	p->imm = p->n;
	for (unsigned i = 0; i < 8; i++)
		put(p, 0);
	uint64_t imm = value(r);

	memcpy(p->b + p->imm, &imm, 8);
}

static bool is_branch(const struct x86_insn *in)
{
	if (in->vex)
		return false;
	if (in->map == X86_MAP_0F)
		return (in->opcode & 0xf0) == 0x80;
	return in->map == X86_MAP_1BYTE &&
	       ((in->opcode & 0xf0) == 0x70 || (in->opcode >= 0xe0 && in->opcode <= 0xe3) ||
		       in->opcode == 0xe8 || in->opcode == 0xe9 || in->opcode == 0xeb);
}

/* Makes the memory operand of an instruction lie at an address of ours: by its displacement if it
 * has no register, else by the value of a register nobody has claimed yet. */
static void aim(struct rng *r, struct diff_case *c, const struct x86_insn *in, struct pieces *p,
	uint32_t *claimed)
{
	uint64_t to = (c->image ? area_pointer(r) : data_pointer(r)) - diff_data_base(), disp = (uint64_t)(int64_t)in->disp;
	uint64_t *gpr = c->start.gpr;
	bool has_base = in->base != X86_NO_REG, has_index = in->index != X86_NO_REG;

	if (in->seg == SEG_GS)
		to -= DATA_BASE + GS_OFFSET;
	if (!diff_segmented && in->asize == 2)
		return;
	if (!has_base && !has_index) {
		uint32_t d =
			(uint32_t)(in->rip ? to - (CODE_BASE + c->offset + c->n + in->len) : to);

		if (p->disp_size == 4 || p->disp_size == in->asize)
			memcpy(p->b + p->disp, &d, p->disp_size);
		return;
	}
	if (has_base && !(*claimed & 1u << in->base) && !(has_index && in->index == in->base)) {
		gpr[in->base] = to - disp - (has_index ? gpr[in->index] << in->scale : 0);
		if (diff_bits != 64)
			gpr[in->base] = (uint32_t)gpr[in->base];
		*claimed |= 1u << in->base | (has_index ? 1u << in->index : 0);
	} else if (has_index && !has_base && !(*claimed & 1u << in->index)) {
		gpr[in->index] = (uint32_t)(to - disp) >> in->scale;
		*claimed |= 1u << in->index;
	}
}

static enum x86_decoded decode(const uint8_t *p, unsigned n, struct x86_insn *in)
{
	return x86_decode(in, p, n, diff_decode_mode);
}

/* Bytes at a branch's end are its offset: send it behind all code, or well before it. */
static void aim_branch(struct rng *r, struct diff_case *c, unsigned at, const struct x86_insn *in)
{
	unsigned width = in->map == X86_MAP_0F || (in->opcode >= 0xe8 && in->opcode != 0xeb)
				 ? (in->osize == 2 ? 2 : 4)
				 : 1;
	int32_t ahead = (int32_t)(c->n - at - in->len), rel = ahead + (int32_t)rng_below(r, 40);

	if (chance(r, 20) && c->offset > 64)
		rel = -(int32_t)(at + in->len) - (int32_t)rng_below(r, 30) - 1;
	if (width == 1 && (rel > 127 || rel < -128))
		rel = ahead;
	memcpy(c->code + at + in->len - width, &rel, width);
}

static unsigned pick_kind(struct rng *r, unsigned kinds)
{
	for (;;) {
		unsigned k = 1u << rng_below(r, 3);

		if (kinds & k)
			return k;
	}
}

static void gen_state(struct rng *r, struct diff_case *c)
{
	struct x86_cpu *s = &c->start;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = value(r);
	if (diff_bits != 64)
		for (unsigned i = 0; i < 16; i++)
			s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	s->gpr[RSP] = chance(r, 90) ? (data_pointer(r) - diff_data_base()) & ~7ull : value(r);
	if (diff_bits != 64)
		s->gpr[RSP] = (uint32_t)s->gpr[RSP];
	s->rflags = X86_FL_IF | 2 | (rng_next(r) & X86_FL_ARITH) | (chance(r, 20) ? X86_FL_DF : 0);
	s->rip = diff_code_pc() + c->offset;
	s->mxcsr = 0x1f80;
	s->fpu.fcw = 0x37f;
}

/* The rest of the instruction lies in a page that is not there. */
static void cut_at_page_end(struct rng *r, struct diff_case *c)
{
	c->n = 1 + (unsigned)rng_below(r, c->n - 1);
	c->len[0] = (uint8_t)c->n;
	c->offset = CODE_SIZE - c->n;
	c->start.rip = diff_code_pc() + c->offset;
}

static bool pass_flags(struct model *md, struct diff_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++]) {
		struct model_uses uses;
		struct x86_insn in;
		bool result;
		uint8_t open;

		if (decode(c->code + at, c->len[i], &in) != X86_DECODED)
			continue;
		model_classify(md, c->code + at, c->len[i], &uses);
		open = undefined_static(&in, &result);
		if (result || uses.reads & c->open)
			return false;
		c->open = (c->open & ~uses.kills) | open;
		c->open_ever |= c->open;
	}
	return true;
}

bool gen_flags(struct model *md, struct diff_case *c)
{
	c->open = c->open_ever = 0;
	/* a loop's second round begins with what the first left open */
	return pass_flags(md, c) && (!c->loop || pass_flags(md, c));
}

void gen_close_loop(struct diff_case *c)
{
	static const uint8_t tail[LOOP_BYTES] = { 0x41, 0xff, 0xcf, 0x0f, 0x85 };
	int32_t back = -(int32_t)c->n;

	memcpy(c->code + c->n - LOOP_BYTES, tail, 5);
	memcpy(c->code + c->n - 4, &back, 4);
}

/* Only in 64-bit code, where a register can be set aside. False: it would read flags left
 * undefined. */
static bool make_loop(struct rng *r, struct model *md, struct diff_case *c)
{
	c->loop = true;
	c->n += LOOP_BYTES;
	c->len[c->insns] = 3;
	c->len[c->insns + 1] = 6;
	c->insns += LOOP_INSNS;
	gen_close_loop(c);
	c->branches = true;
	c->start.gpr[R15] = 2 + rng_below(r, 12);
	return gen_flags(md, c);
}

void gen_case(struct rng *r, struct model *md, struct diff_case *c, unsigned insns, unsigned kinds)
{
	bool loop = insns > 1 && diff_bits == 64 && chance(r, 30);
	uint32_t claimed = loop ? 1u << R15 : 0;
	unsigned at;
	struct x86_insn in;

	c->n = c->insns = 0;
	c->loop = false;
	c->offset = 256 + (unsigned)rng_below(r, CODE_SIZE - 256 - MAX_BYTES - 64);
	c->vec = c->fpu = c->branches = c->gs = c->image = false;
	gen_state(r, c);
	while (c->insns < insns) {
		struct pieces p;
		struct model_uses uses;
		enum model_class cls;

		gen_bytes(r, &p, pick_kind(r, kinds));
		if (decode(p.b, p.n, &in) != X86_DECODED)
			continue;
		cls = model_classify(md, p.b, in.len, &uses);
		if (cls == MODEL_SKIP || (cls == MODEL_UD && !chance(r, 3)) ||
			(uses.image && insns > 1) || (loop && uses.r15))
			continue;
		c->image = uses.image;
		if (uses.image) { /* which components: those that both have */
			c->start.gpr[RAX] = rng_next(r) & 7;
			c->start.gpr[RDX] = 0;
			claimed |= 1u << RAX | 1u << RDX;
		}
		if (in.is_mem)
			aim(r, c, &in, &p, &claimed);
		memcpy(c->code + c->n, p.b, in.len);
		c->len[c->insns++] = in.len;
		c->n += in.len;
		if (insns > 1 && !gen_flags(md, c)) {
			c->n -= in.len;
			c->insns--;
			continue;
		}
		c->vec |= uses.vec || uses.image;
		c->fpu |= uses.fpu || uses.image;
		c->branches |= is_branch(&in) || uses.branches;
		c->gs |= in.seg == SEG_GS;
	}
	if (loop && !make_loop(r, md, c)) {
		gen_case(r, md, c, insns, kinds);
		return;
	}
	for (unsigned i = at = 0; c->branches && i < c->insns - (c->loop ? LOOP_INSNS : 0);
		at += c->len[i++])
		if (decode(c->code + at, c->len[i], &in) == X86_DECODED && is_branch(&in))
			aim_branch(r, c, at, &in);
	if (insns == 1 && c->n > 1 && chance(r, 2))
		cut_at_page_end(r, c);
	if (!c->vec && !c->fpu && chance(r, 3))
		c->start.rflags |= X86_FL_AC;
	/* not with a 16-bit stack: each trap of the host leaves junk in the upper part of RSP */
	if (insns == 1 && diff_bits != 16 && chance(r, 3))
		c->start.rflags |= X86_FL_TF;
	if (c->vec)
		fill_vec(r, &c->start);
	if (c->fpu)
		fill_fpu(r, &c->start);
}
