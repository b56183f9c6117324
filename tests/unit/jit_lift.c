/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_lift.c: random bytes lifted in every mode give well-formed blocks, before and after
 * optimization, and cover the bytes they say.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit/x86/lift.h"

enum { ROUNDS = 60000, BYTES = 256 };

static const uint32_t modes[] = {
	X86_MODE_64 | X86_MODE_PE | X86_MODE_LMA | X86_MODE_FLAT_DATA | X86_MODE_FLAT_CODE,
	X86_MODE_64 | X86_MODE_PE | X86_MODE_LMA | X86_MODE_AC | X86_MODE_USER,
	X86_MODE_32 | X86_MODE_SS32 | X86_MODE_PE | X86_MODE_FLAT_DATA | X86_MODE_FLAT_CODE |
		X86_MODE_FLAT_FS | X86_MODE_FLAT_GS,
	X86_MODE_32 | X86_MODE_SS32 | X86_MODE_PE,
	X86_MODE_16 | X86_MODE_PE | X86_MODE_FLAT_DATA,
	X86_MODE_16,
	X86_MODE_16 | X86_MODE_PE | X86_MODE_VM,
	X86_MODE_64 | X86_MODE_PE | X86_MODE_LMA | X86_MODE_STEP,
};

static bool fails(struct ir *b, const char *when, const uint8_t *code)
{
	unsigned at = 0;
	const char *why = ir_verify(b, &at);

	if (!why && !b->full)
		return false;
	g_autofree char *text = ir_print(b);

	printf("mode %x, %s: %s at op %u\n", b->mode, when, why ? why : "full", at);
	for (unsigned i = 0; i < b->bytes; i++)
		printf("%02x%c", code[i], i % 16 == 15 ? '\n' : ' ');
	printf("\n%s\n", text);
	return true;
}

int main(void)
{
	static struct ir b;
	struct x86_lift_config cfg = { .amd = true };
	uint8_t code[BYTES];
	unsigned insns = 0;

	memset(&cfg.features, 0xff, sizeof(cfg.features));
	srandom(7);
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t left = 1 + (size_t)random() % BYTES;

		for (unsigned k = 0; k < BYTES; k++)
			code[k] = (uint8_t)(random() >> 8);
		memset(&b, 0, offsetof(struct ir, mode));
		b.n = b.temps = b.insns = b.bytes = 0;
		b.full = b.uses_vec = b.uses_fpu = false;
		b.mode = modes[i % G_N_ELEMENTS(modes)];
		b.page_offset = (uint32_t)(4096 - left);
		b.isa_config = &cfg;
		x86_lift_block(&b, code, BYTES, left);
		if (fails(&b, "as lifted", code))
			return 1;
		if (!b.insns || (b.insns > 1 && b.bytes > left)) {
			printf("%u instructions in %u bytes, %zu left in the page\n", b.insns,
				b.bytes, left);
			return 1;
		}
		insns += b.insns;
		ir_optimize(&b, IR_OPT_ALL);
		if (fails(&b, "optimized", code))
			return 1;
	}
	printf("%u instructions lifted\n", insns);
	return insns < ROUNDS;
}
