/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model_mem.c: the translator's services to C helpers, on the interpreter's flat memory instead of a soft
 * MMU. They stand in for softmmu.c and thunks.c, which therefore are not linked in.
 */
#include <stdlib.h>

#include "accel/jit/jit.h"
#include "model_mem.h"

bool jit_load(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t *ret)
{
	*ret = 0;
	return model_load(v, va, ret, size);
}

bool jit_store(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t val)
{
	return model_store(v, va, &val, size);
}

bool jit_load_bytes(struct jit_vcpu *v, uint64_t va, void *buf, size_t n, enum jit_mem_mode m)
{
	return model_load(v, va, buf, n);
}

bool jit_store_bytes(struct jit_vcpu *v, uint64_t va, const void *buf, size_t n, enum jit_mem_mode m)
{
	return model_store(v, va, buf, n);
}

bool jit_probe(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a, enum jit_mem_mode m)
{
	return model_probe(v, va, n, a == ACCESS_STORE);
}

void *jit_direct(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode m, size_t *ret_len)
{
	return model_direct(v, va, a == ACCESS_STORE, ret_len);
}

/* Vector and x87 registers are in the state between IR operations. */
void jit_vec_spill(struct jit_vcpu *v)
{
}

void jit_fpu_spill(struct jit_vcpu *v)
{
}

/* Nothing that reaches these runs here (model.c: helper_works). */
static _Noreturn void unreachable(void)
{
	abort();
}

uint64_t jit_phys_load(struct jit_vcpu *v, uint64_t pa, unsigned size)
{
	unreachable();
}

void jit_phys_store(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t val)
{
	unreachable();
}

bool jit_phys_cas(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t old, uint64_t val)
{
	unreachable();
}

void jit_as_switch(struct jit_vcpu *v, uint64_t space_id, enum jit_priv priv)
{
	unreachable();
}

void jit_as_set_priv(struct jit_vcpu *v, enum jit_priv priv)
{
	unreachable();
}

void jit_tlb_flush_page(struct jit_vcpu *v, uint64_t va)
{
	unreachable();
}

void jit_tlb_flush_space(struct jit_vcpu *v, uint64_t space_id, bool globals)
{
	unreachable();
}

void jit_tlb_flush_all(struct jit_vcpu *v)
{
	unreachable();
}

void jit_for_each_vcpu(struct jit_vm *vm, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque)
{
	unreachable();
}
