/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model_mem.h: the interpreter's guest memory, also behind jit_load and its kin for C helpers. */
#ifndef TESTS_ISA_MODEL_MEM_H
#define TESTS_ISA_MODEL_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jit_vcpu;

/* Is v an interpreter's? */
bool model_owns(const struct jit_vcpu *v);
bool model_load(struct jit_vcpu *v, uint64_t va, void *buf, size_t n);
bool model_store(struct jit_vcpu *v, uint64_t va, const void *buf, size_t n);
bool model_probe(struct jit_vcpu *v, uint64_t va, size_t n, bool write);
void *model_direct(struct jit_vcpu *v, uint64_t va, bool write);

#endif
