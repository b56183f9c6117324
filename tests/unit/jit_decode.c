/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_decode.c: instruction lengths, memory operands and immediates of random bytes, in all modes,
 * against Zydis. What Zydis refuses is not compared; what it knows must agree.
 */
#include <Zydis/Zydis.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit/x86/decode.h"

enum { ROUNDS = 2000000, SHOWN = 10 };

struct oracle {
	ZydisDecoder decoder;
	unsigned how;
};

static void oracle_init(
	struct oracle *o, ZydisMachineMode mode, ZydisStackWidth width, unsigned how)
{
	ZydisDecoderInit(&o->decoder, mode, width);
	ZydisDecoderEnableMode(&o->decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	if (how & X86_DECODE_AMD)
		ZydisDecoderEnableMode(&o->decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
	o->how = how;
}

/* EVEX, XOP and the like, which our decoder refuses on purpose. */
static bool refused_encoding(const ZydisDecodedInstruction *z)
{
	return z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
	       z->encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW;
}

/* Xeon Phi's branches on mask registers reuse VEX; nothing offered has them. */
static bool foreign(const ZydisDecodedInstruction *z)
{
	return z->mnemonic == ZYDIS_MNEMONIC_JKZD || z->mnemonic == ZYDIS_MNEMONIC_JKNZD;
}

static bool agree(const ZydisDecodedInstruction *z, const struct x86_insn *in, enum x86_decoded r)
{
	if (refused_encoding(z))
		return r == X86_UNDEFINED;
	if (r != X86_DECODED || z->length != in->len)
		return false;
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW && z->opcode != in->opcode)
		return false;
	if (in->is_mem && z->raw.disp.size && z->raw.disp.value != (int64_t)in->disp)
		return false;
	if (z->raw.imm[0].size && z->raw.imm[0].is_signed && !z->raw.imm[1].size &&
		z->raw.imm[0].value.s != in->imm)
		return false;
	return z->address_width == in->asize * 8;
}

static void fill(uint8_t *p, unsigned n)
{
	static const uint8_t likely[] = { 0x66, 0x67, 0x0f, 0x48, 0xf2, 0xf3, 0xc4, 0xc5, 0x65,
		0x2e };

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(random() >> 8);
	for (unsigned i = 0; i < 3; i++) {
		if (random() & 0x100)
			break;
		p[i] = likely[(random() >> 8) % G_N_ELEMENTS(likely)];
	}
}

static unsigned compare(const struct oracle *o, unsigned *compared)
{
	uint8_t bytes[16];
	struct x86_insn in;
	ZydisDecodedInstruction z;

	fill(bytes, sizeof(bytes));
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&o->decoder, NULL, bytes, 15, &z)) ||
		foreign(&z))
		return 0;
	++*compared;
	enum x86_decoded r = x86_decode(&in, bytes, sizeof(bytes), o->how);

	if (agree(&z, &in, r)) {
		/* one byte less than the whole must be seen as truncated */
		if (r != X86_DECODED ||
			x86_decode(&in, bytes, in.len - 1u, o->how) == X86_TRUNCATED)
			return 0;
	}
	printf("how %u:", o->how);
	for (unsigned i = 0; i < 15; i++)
		printf(" %02x", bytes[i]);
	printf(": %s length %u, ours %u (status %d)\n", ZydisMnemonicGetString(z.mnemonic),
		z.length, in.len, r);
	return 1;
}

int main(void)
{
	struct oracle o[6];
	unsigned bad = 0, compared = 0;

	oracle_init(&o[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, 2);
	oracle_init(&o[1], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, 2 | X86_DECODE_AMD);
	oracle_init(&o[2], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, 1);
	oracle_init(&o[3], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, 0);
	oracle_init(&o[4], ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, X86_DECODE_NOVEX);
	oracle_init(&o[5], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32, 1);
	srandom(1);
	for (unsigned i = 0; i < ROUNDS && bad < SHOWN; i++)
		bad += compare(&o[i % G_N_ELEMENTS(o)], &compared);
	printf("%u instructions compared, %u differ\n", compared, bad);
	return bad || compared < ROUNDS / 3;
}
