/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model_mem.c: the translator's services to C helpers, on the interpreter's flat memory instead of a soft
 * MMU. The linker (--wrap) sends every call here; those of a real vCPU go on to the real functions.
 */
#include "accel/jit/jit.h"
#include "model_mem.h"

#define WRAP(type, name, params, args, ours)                                                               \
	type __real_##name params;                                                                         \
	type __wrap_##name params;                                                                         \
	type __wrap_##name params                                                                          \
	{                                                                                                  \
		return model_owns(v) ? ours : __real_##name args;                                          \
	}

WRAP(bool, jit_load, (struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t *ret),
	(v, va, size, m, ret), (*ret = 0, model_load(v, va, ret, size)))
WRAP(bool, jit_store, (struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t val),
	(v, va, size, m, val), model_store(v, va, &val, size))
WRAP(bool, jit_load_bytes, (struct jit_vcpu *v, uint64_t va, void *buf, size_t n, enum jit_mem_mode m),
	(v, va, buf, n, m), model_load(v, va, buf, n))
WRAP(bool, jit_store_bytes, (struct jit_vcpu *v, uint64_t va, const void *buf, size_t n, enum jit_mem_mode m),
	(v, va, buf, n, m), model_store(v, va, buf, n))
WRAP(bool, jit_probe, (struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a, enum jit_mem_mode m),
	(v, va, n, a, m), model_probe(v, va, n, a == ACCESS_STORE))
WRAP(void *, jit_direct, (struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode m,
	size_t n), (v, va, a, m, n), model_direct(v, va, a == ACCESS_STORE))
/* Between IR operations the interpreter's vector and x87 registers are in the state. */
WRAP(void, jit_vec_spill, (struct jit_vcpu *v), (v), (void)0)
WRAP(void, jit_fpu_spill, (struct jit_vcpu *v), (v), (void)0)
