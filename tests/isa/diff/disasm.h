/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disasm.h: prints one instruction in words. */
#ifndef TESTS_ISA_DISASM_H
#define TESTS_ISA_DISASM_H

#include <stdint.h>

void disasm_print(const uint8_t *p, unsigned n, uint64_t pc, unsigned bits);

#endif
