/* SPDX-License-Identifier: GPL-2.0-or-later */
/* undefined.c: what the manuals leave open. Spec: SDM vol. 1, appendix A; vol. 2; APM vol. 3. */
#include "diff.h"

enum {
	CF = X86_FL_CF,
	PF = X86_FL_PF,
	AF = X86_FL_AF,
	ZF = X86_FL_ZF,
	SF = X86_FL_SF,
	OF = X86_FL_OF
};

static unsigned count_mask(unsigned size)
{
	return size == 8 ? 63 : 31;
}

static uint64_t shift_undefined(const struct x86_insn *in, const struct x86_cpu *before)
{
	unsigned size = in->opcode & 1 ? in->osize : 1;
	unsigned n = (unsigned)(in->opcode >= 0xd2   ? before->gpr[RCX] & 0xff
				: in->opcode >= 0xd0 ? 1
						     : in->imm);
	bool rotate = (in->reg & 7) < 4;

	n &= count_mask(size);
	if (!n)
		return 0;
	if (rotate)
		return n == 1 ? 0 : OF;
	return AF | (n == 1 ? 0 : OF) | (n > size * 8 - ((in->reg & 7) == 7 ? 0 : 1) ? CF : 0);
}

static uint64_t undefined_1byte(const struct x86_insn *in, const struct x86_cpu *before)
{
	unsigned op = in->opcode, digit = in->reg & 7;

	if (op < 0x40 && (op & 7) < 6) {
		unsigned kind = op >> 3;

		return kind == 1 || kind == 4 || kind == 6 ? AF : 0;
	}
	switch (op) {
	case 0x80:
	case 0x81:
	case 0x83: return digit == 1 || digit == 4 || digit == 6 ? AF : 0;
	case 0x27:
	case 0x2f: return OF;
	case 0x37:
	case 0x3f: return OF | SF | ZF | PF;
	case 0xd4:
	case 0xd5: return OF | AF | CF;
	case 0x84:
	case 0x85:
	case 0xa8:
	case 0xa9: return AF;
	case 0x69:
	case 0x6b: return SF | ZF | AF | PF;
	case 0xc0:
	case 0xc1:
	case 0xd0 ... 0xd3: return shift_undefined(in, before);
	case 0xf6:
	case 0xf7:
		if (digit < 2)
			return AF;
		if (digit == 4 || digit == 5)
			return SF | ZF | AF | PF;
		return digit >= 6 ? X86_FL_ARITH : 0;
	default: return 0;
	}
}

static unsigned double_shift_count(const struct x86_insn *in, const struct x86_cpu *before)
{
	return (unsigned)(in->opcode & 1 ? before->gpr[RCX] : (uint64_t)in->imm) &
	       count_mask(in->osize);
}

static uint64_t undefined_0f(const struct x86_insn *in, const struct x86_cpu *before)
{
	unsigned n;

	switch (in->opcode) {
	case 0xa4:
	case 0xa5:
	case 0xac:
	case 0xad:
		n = double_shift_count(in, before);
		if (!n)
			return 0;
		return n > in->osize * 8u ? X86_FL_ARITH : AF | (n == 1 ? 0 : OF);
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
	case 0xba: return OF | SF | AF | PF;
	case 0xaf: return SF | ZF | AF | PF;
	case 0xbc:
	case 0xbd: return in->rep == X86_REP_F3 ? OF | SF | PF | AF : CF | OF | SF | AF | PF;
	default: return 0;
	}
}

uint64_t undefined_flags(const struct x86_insn *in, const struct x86_cpu *before)
{
	switch (in->map) {
	case X86_MAP_1BYTE: return undefined_1byte(in, before);
	case X86_MAP_0F: return in->vex ? 0 : undefined_0f(in, before);
	case X86_MAP_0F38:
		if (!in->vex)
			return 0;
		if (in->opcode == 0xf7)
			return in->pp ? 0 : AF | SF | PF;
		return in->opcode == 0xf2 || in->opcode == 0xf3 || (in->opcode == 0xf5 && !in->pp)
			       ? AF | PF
			       : 0;
	default: return 0;
	}
}

bool undefined_result(const struct x86_insn *in, const struct x86_cpu *before)
{
	if (in->map != X86_MAP_0F || in->vex)
		return false;
	switch (in->opcode) {
	case 0xc8 ... 0xcf: return in->osize == 2;
	case 0xa4:
	case 0xa5:
	case 0xac:
	case 0xad: return double_shift_count(in, before) > in->osize * 8u;
	default: return false;
	}
}

static uint8_t squeeze(uint64_t f)
{
	return (f & CF ? IRFL_CF : 0) | (f & PF ? IRFL_PF : 0) | (f & AF ? IRFL_AF : 0) |
	       (f & ZF ? IRFL_ZF : 0) | (f & SF ? IRFL_SF : 0) | (f & OF ? IRFL_OF : 0);
}

uint8_t undefined_static(const struct x86_insn *in, bool *ret_result)
{
	struct x86_cpu any;
	uint64_t flags = 0;

	*ret_result = false;
	for (any.gpr[RCX] = 0; any.gpr[RCX] < 64; any.gpr[RCX]++) {
		flags |= undefined_flags(in, &any);
		*ret_result |= undefined_result(in, &any);
	}
	return squeeze(flags);
}
