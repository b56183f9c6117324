/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disasm.c: capstone, in a file of its own as its names are ours as well. */
#include <capstone/capstone.h>
#include <stdio.h>

#include "disasm.h"

void disasm_print(const uint8_t *p, unsigned n, uint64_t pc, unsigned bits)
{
	static csh handle;
	cs_insn *insn = NULL;
	size_t found;

	if (!handle && cs_open(CS_ARCH_X86,
			       bits == 64   ? CS_MODE_64
			       : bits == 32 ? CS_MODE_32
					    : CS_MODE_16,
			       &handle))
		return;
	found = cs_disasm(handle, p, n, pc, 1, &insn);
	printf("  ");
	for (unsigned k = 0; k < n; k++)
		printf("%02x ", p[k]);
	printf(" %s %s\n", found ? insn->mnemonic : "?", found ? insn->op_str : "");
	if (found)
		cs_free(insn, found);
}
