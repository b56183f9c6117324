/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode.c: the instruction decoder. Spec: SDM vol. 2, chapter 2; APM vol. 3, chapter 1. */
#include "accel/jit/x86/decode.h"

#include <string.h>

#include "accel/jit/x86/decode_tables.h"
#include "cpu/x86/state.h"

struct cursor {
	const uint8_t *p;
	size_t n; /* bytes that are there, at most 15 count */
	size_t at;
};

/* Reading beyond the end is harmless here: `at` then exceeds the limit and decoding fails at its
 * end. */
static inline uint64_t take(struct cursor *c, unsigned bytes)
{
	uint64_t v = 0;

	if (c->at + 8 <= c->n) {
		memcpy(&v, c->p + c->at, 8);
		if (bytes < 8)
			v &= (1ull << bytes * 8) - 1;
	} else if (c->at + bytes <= c->n) {
		memcpy(&v, c->p + c->at, bytes);
	}
	c->at += bytes;
	return v;
}

static inline uint8_t take_byte(struct cursor *c)
{
	size_t at = c->at++;

	return at < c->n ? c->p[at] : 0;
}

static int64_t take_signed(struct cursor *c, unsigned bytes)
{
	uint64_t v = take(c, bytes);

	switch (bytes) {
	case 1: return (int8_t)v;
	case 2: return (int16_t)v;
	case 4: return (int32_t)v;
	default: return (int64_t)v;
	}
}

static void take_prefixes(struct x86_insn *in, struct cursor *c, unsigned bits)
{
	for (;;) {
		uint8_t byte = take_byte(c);

		if (bits == 2 && (byte & 0xf0) == 0x40) {
			in->has_rex = true;
			in->rex = byte & 15;
			continue;
		}
		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			/* 64-bit code: null prefixes, an FS or GS one before them stays in effect
			 */
			if (bits != 2)
				in->seg = (byte >> 3) & 3;
			break;
		case 0x64:
		case 0x65: in->seg = (uint8_t)(SEG_FS + (byte & 1)); break;
		case 0x66: in->p66 = true; break;
		case 0x67: in->p67 = true; break;
		case 0xf0: in->lock = true; break;
		case 0xf2: in->rep = X86_REP_F2; break;
		case 0xf3: in->rep = X86_REP_F3; break;
		default: in->opcode = byte; return;
		}
		if (c->at >= c->n)
			return;
		/* REX counts only right before the opcode */
		in->has_rex = false;
		in->rex = 0;
	}
}

static void decode_mem16(struct x86_insn *in, struct cursor *c)
{
	static const uint8_t base[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	static const uint8_t index[8] = { RSI, RDI, RSI, RDI, X86_NO_REG, X86_NO_REG, X86_NO_REG,
		X86_NO_REG };
	unsigned rm = in->modrm & 7;

	in->base = base[rm];
	in->index = index[rm];
	if (in->mod == 0 && rm == 6) {
		in->base = X86_NO_REG;
		in->disp = (int16_t)take(c, 2);
	} else if (in->mod == 1) {
		in->disp = (int8_t)take_byte(c);
	} else if (in->mod == 2) {
		in->disp = (int16_t)take(c, 2);
	}
	in->mem_seg = in->base == RBP ? SEG_SS : SEG_DS;
}

static void decode_mem(struct x86_insn *in, struct cursor *c, bool bits64)
{
	unsigned rm = in->modrm & 7;

	if (rm == 4) {
		uint8_t sib = take_byte(c);

		in->scale = sib >> 6;
		in->index = ((sib >> 3) & 7) | (in->rex & X86_REX_X ? 8 : 0);
		if (in->index == RSP)
			in->index = X86_NO_REG;
		rm = sib & 7;
		in->base = (uint8_t)(rm | (in->rex & X86_REX_B ? 8 : 0));
		if (rm == 5 && in->mod == 0) {
			in->base = X86_NO_REG;
			in->disp = (int32_t)take(c, 4);
		}
	} else if (rm == 5 && in->mod == 0) {
		in->rip = bits64;
		in->disp = (int32_t)take(c, 4);
	} else {
		in->base = (uint8_t)(rm | (in->rex & X86_REX_B ? 8 : 0));
	}
	if (in->mod == 1)
		in->disp = (int8_t)take_byte(c);
	else if (in->mod == 2)
		in->disp = (int32_t)take(c, 4);
	in->mem_seg = in->base == RSP || in->base == RBP ? SEG_SS : SEG_DS;
}

static void decode_modrm(struct x86_insn *in, struct cursor *c, bool bits64, bool regs_only)
{
	in->has_modrm = true;
	in->modrm = take_byte(c);
	in->mod = in->modrm >> 6;
	in->reg = ((in->modrm >> 3) & 7) | (in->rex & X86_REX_R ? 8 : 0);
	in->rm = (in->modrm & 7) | (in->rex & X86_REX_B ? 8 : 0);
	if (in->mod == 3 || regs_only)
		return;
	in->is_mem = true;
	if (in->asize == 2)
		decode_mem16(in, c);
	else
		decode_mem(in, c, bits64);
}

static void decode_imm(struct x86_insn *in, struct cursor *c, unsigned kind, unsigned how)
{
	unsigned z = in->osize == 2 ? 2 : 4;

	if (kind == GB || kind == GZ)
		kind = (in->modrm & 0x30) ? N : kind == GB ? B : Z;
	switch (kind) {
	case B: in->imm = take_signed(c, 1); break;
	case W: in->imm = (int64_t)take(c, 2); break;
	case J:
		if ((how & X86_DECODE_BITS) == 2 && !(how & X86_DECODE_AMD))
			z = 4;
		in->imm = take_signed(c, z);
		break;
	case Z: in->imm = take_signed(c, z); break;
	case V: in->imm = take_signed(c, in->osize); break;
	case A: in->imm = (int64_t)take(c, in->asize); break;
	case P:
		in->imm = (int64_t)take(c, z);
		in->imm2 = (uint16_t)take(c, 2);
		break;
	case E:
		in->imm = (int64_t)take(c, 2);
		in->imm2 = (uint16_t)take(c, 1);
		break;
	case X:
		if (in->p66 || in->rep == X86_REP_F2) {
			in->imm = (int64_t)take(c, 1);
			in->imm2 = (uint16_t)take(c, 1);
		}
		break;
	default: break;
	}
}

/* After C4, C5. False: no such map. */
static bool take_vex(struct x86_insn *in, struct cursor *c, bool bits64)
{
	uint8_t b1 = take_byte(c), b2 = b1;

	in->vex_bad = in->p66 || in->rep || in->lock || in->has_rex;
	in->vex = true;
	in->rex = b1 & 0x80 ? 0 : X86_REX_R;
	in->map = X86_MAP_0F;
	if (in->opcode == 0xc4) {
		b2 = take_byte(c);
		in->rex |= (b1 & 0x40 ? 0 : X86_REX_X) | (b1 & 0x20 ? 0 : X86_REX_B) |
			   (b2 & 0x80 ? X86_REX_W : 0);
		in->map = b1 & 31;
		if (in->map < X86_MAP_0F || in->map > X86_MAP_0F3A)
			return false;
	}
	in->vvvv = (~b2 >> 3) & 15;
	in->vvvv_used = in->vvvv;
	in->vex_l = b2 & 4;
	in->pp = b2 & 3;
	if (!bits64) {
		in->rex &= X86_REX_W;
		in->vvvv &= 7;
	}
	in->opcode = take_byte(c);
	return true;
}

static unsigned vex_follows(const struct x86_insn *in)
{
	if (in->map == X86_MAP_0F3A)
		return MB;
	if (in->map == X86_MAP_0F38)
		return M;
	switch (in->opcode) {
	case 0x70:
	case 0x71:
	case 0x72:
	case 0x73:
	case 0xc2:
	case 0xc4:
	case 0xc5:
	case 0xc6: return MB;
	case 0x77: return N;
	default: return M;
	}
}

/* Does C4, C5, 62 or 8F begin another encoding here rather than LES, LDS, BOUND, POP? */
static bool is_escape(const struct cursor *c, uint8_t opcode, unsigned how)
{
	uint8_t next = c->at < c->n ? c->p[c->at] : 0;

	if (opcode == 0x8f)
		return (next & 31) >= 8 && !(how & X86_DECODE_NOVEX);
	if ((how & X86_DECODE_BITS) == 2)
		return true;
	return (next & 0xc0) == 0xc0 && !(how & X86_DECODE_NOVEX);
}

/* Opcode bytes and what they say follows: map, opcode, VEX fields are filled. */
static bool take_opcode(struct x86_insn *in, struct cursor *c, unsigned how, unsigned *ret_follows)
{
	bool bits64 = (how & X86_DECODE_BITS) == 2;

	switch (in->opcode) {
	case 0xc4:
	case 0xc5:
		if (!is_escape(c, in->opcode, how))
			break;
		if (!take_vex(in, c, bits64))
			return false;
		*ret_follows = vex_follows(in);
		return true;
	case 0x62:
	case 0x8f:
		if (is_escape(c, in->opcode, how))
			return false;
		break;
	case 0x0f:
		in->opcode = take_byte(c);
		in->map = X86_MAP_0F;
		*ret_follows = map_0f[in->opcode];
		if (in->opcode == 0x38 || in->opcode == 0x3a) {
			in->map = in->opcode == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
			*ret_follows = in->map == X86_MAP_0F38 ? M : MB;
			in->opcode = take_byte(c);
		}
		break;
	default: break;
	}
	if (in->map == X86_MAP_1BYTE)
		*ret_follows = map_1byte[in->opcode];
	in->pp = in->rep == X86_REP_F3 ? 2 : in->rep == X86_REP_F2 ? 3 : in->p66 ? 1 : 0;
	return true;
}

enum x86_decoded x86_decode(struct x86_insn *in, const uint8_t *p, size_t n, unsigned how)
{
	static const struct x86_insn blank = {
		.seg = X86_NO_SEG,
		.mem_seg = SEG_DS,
		.base = X86_NO_REG,
		.index = X86_NO_REG,
	};
	struct cursor c = { .p = p, .n = n < X86_INSN_MAX ? n : X86_INSN_MAX };
	unsigned bits = how & X86_DECODE_BITS, follows = N;
	bool known;

	*in = blank;
	take_prefixes(in, &c, bits);
	known = take_opcode(in, &c, how, &follows);
	if (bits == 2) {
		in->osize = in->rex & X86_REX_W ? 8 : in->p66 ? 2 : 4;
		in->asize = in->p67 ? 4 : 8;
	} else {
		in->osize = (bits == 1) != in->p66 ? 4 : 2;
		in->asize = (bits == 1) != in->p67 ? 4 : 2;
	}
	if (known) {
		if (follows & M)
			decode_modrm(in, &c, bits == 2, (follows & MR) == MR);
		decode_imm(in, &c, follows & IMM_KIND, how);
		if (in->seg != X86_NO_SEG)
			in->mem_seg = in->seg;
	}
	if (c.at > c.n)
		return c.n == X86_INSN_MAX ? X86_TOO_LONG : X86_TRUNCATED;
	in->len = (uint8_t)c.at;
	return known ? X86_DECODED : X86_UNDEFINED;
}
