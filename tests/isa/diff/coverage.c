/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coverage.c: which of the encodings that are lifted have been run and compared. */
#include <stdio.h>
#include <string.h>

#include "diff.h"

/* An encoding: map, VEX, mandatory prefix, opcode, /digit where it is one, W, register or memory. */
enum { MAPS = 4, SLOTS = MAPS << 16 };
static uint8_t seen[SLOTS / 8];

static bool has_digit(unsigned map, bool vex, unsigned opcode)
{
	static const uint8_t one_byte[] = { 0x80, 0x81, 0x82, 0x83, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0,
		0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff };
	static const uint8_t two_byte[] = { 0x00, 0x01, 0x18, 0x71, 0x72, 0x73, 0xae, 0xba, 0xc7 };

	if (map == X86_MAP_0F38)
		return vex && opcode == 0xf3;
	if (map == X86_MAP_0F)
		return memchr(two_byte, (int)opcode, sizeof(two_byte));
	return map == X86_MAP_1BYTE && ((opcode & 0xf8) == 0xd8 ||
					       memchr(one_byte, (int)opcode, sizeof(one_byte)));
}

static unsigned slot(unsigned map, bool vex, unsigned pp, unsigned opcode, unsigned digit, bool w, bool mem)
{
	if (!has_digit(map, vex, opcode))
		digit = 0;
	return ((((((map << 1 | vex) << 2 | pp) << 8 | opcode) << 3 | digit) << 1 | w) << 1 | mem);
}

static unsigned slot_of(const struct x86_insn *in)
{
	return slot(in->map, in->vex, in->pp, in->opcode, in->has_modrm ? in->reg & 7 : 0,
		in->rex & X86_REX_W, in->is_mem);
}

void coverage_note(const struct diff_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->insns; at += c->len[i++]) {
		struct x86_insn in;
		unsigned s;

		if (x86_decode(&in, c->code + at, c->len[i], diff_decode_mode) != X86_DECODED)
			continue;
		s = slot_of(&in);
		seen[s / 8] |= (uint8_t)(1 << s % 8);
	}
}

static unsigned encode(uint8_t *p, unsigned s)
{
	const bool mem = s & 1, w = s >> 1 & 1;
	const unsigned digit = s >> 2 & 7, opcode = s >> 5 & 0xff, pp = s >> 13 & 3, map = s >> 16;
	static const uint8_t prefix[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned n = 0;

	memset(p, 0, X86_INSN_MAX);
	if (s >> 15 & 1) {
		p[n++] = 0xc4;
		p[n++] = (uint8_t)(0xe0 | map);
		p[n++] = (uint8_t)(w << 7 | 15 << 3 | pp);
	} else {
		if (pp)
			p[n++] = prefix[pp];
		if (w)
			p[n++] = 0x48;
		if (map)
			p[n++] = 0x0f;
		if (map > 1)
			p[n++] = map == X86_MAP_0F38 ? 0x38 : 0x3a;
	}
	p[n++] = (uint8_t)opcode;
	p[n++] = (uint8_t)(digit << 3 | (mem ? 0x03 : 0xc1));
	return n;
}

void coverage_print(struct model *md, bool list)
{
	unsigned lifted = 0, run = 0;

	for (unsigned s = 0; s < SLOTS; s++) {
		uint8_t code[X86_INSN_MAX];
		struct x86_insn in;
		struct model_uses uses;

		encode(code, s);
		if (x86_decode(&in, code, sizeof(code), diff_decode_mode) != X86_DECODED ||
			slot_of(&in) != s ||
			model_classify(md, code, in.len, &uses) != MODEL_RUNS)
			continue;
		lifted++;
		if (seen[s / 8] >> s % 8 & 1)
			run++;
		else if (list)
			printf("never run: map %u%s pp %u opcode %02x /%u W%u %s\n", in.map,
				in.vex ? " VEX" : "", in.pp, in.opcode, in.reg & 7,
				!!(in.rex & X86_REX_W), in.is_mem ? "memory" : "register");
	}
	printf("%u of %u encodings run\n", run, lifted);
}
