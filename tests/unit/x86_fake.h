/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x86_fake.h: a vCPU for tests of the x86 system side: flat memory in place of the soft MMU. */
#ifndef TESTS_UNIT_X86_FAKE_H
#define TESTS_UNIT_X86_FAKE_H

#include "accel/jit/x86/sys.h"

enum { FAKE_MEMORY = 1 << 20 };

struct fake {
	struct jit_vcpu v;
	struct x86_private p;
	_Alignas(64) uint8_t state[128 + sizeof(struct x86_cpu)];
	uint8_t memory[FAKE_MEMORY];
	unsigned spaces, flushes; /* calls of jit_as_switch, jit_tlb_flush_* */
};

/* Reset state; every feature. */
struct fake *fake_new(void);
void fake_free(struct fake *f);
struct x86_cpu *fake_cpu(struct fake *f);
/* Little-endian values at physical (and, paging off, linear) addresses. */
void fake_put(struct fake *f, uint64_t addr, unsigned size, uint64_t val);
uint64_t fake_get(struct fake *f, uint64_t addr, unsigned size);

#endif
