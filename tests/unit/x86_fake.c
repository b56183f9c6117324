/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86_fake.c: the services of jit.h on flat memory: each access is one walk a page, nothing is
 * cached.
 */
#include "x86_fake.h"

#include <glib.h>
#include <string.h>

#include "core/machine.h"
#include "core/vcpu.h"

static struct fake *fake_of(struct jit_vcpu *v)
{
	return (struct fake *)v; /* v stands first */
}

struct fake *fake_new(void)
{
	struct fake *f = g_new0(struct fake, 1);

	f->v.vcpu = g_new0(struct vcpu, 1);
	f->v.vcpu->machine = g_new0(struct machine, 1);
	f->v.hot = (struct jit_hot *)f->state;
	f->v.arch = f->state + 128;
	f->v.isa_private = &f->p;
	memset(&f->p.features, 0xff, sizeof(f->p.features));
	f->p.features.intel = false;
	f->p.pa_mask = 0x3ffffffff000;
	f->p.cr4_mask = 0x7707ff;
	f->p.efer_mask = 0xd01;
	f->p.xcr0_mask = 7;
	f->p.pdpte_cr3 = 1;
	x86_cpu_reset(f->v.arch, true, false);
	x86_mode_update(&f->v);
	return f;
}

void fake_free(struct fake *f)
{
	g_free(f->v.vcpu->machine);
	g_free(f->v.vcpu);
	g_free(f);
}

struct x86_cpu *fake_cpu(struct fake *f)
{
	return f->v.arch;
}

void fake_put(struct fake *f, uint64_t addr, unsigned size, uint64_t val)
{
	g_assert(addr + size <= FAKE_MEMORY);
	memcpy(f->memory + addr, &val, size);
}

uint64_t fake_get(struct fake *f, uint64_t addr, unsigned size)
{
	uint64_t val = 0;

	g_assert(addr + size <= FAKE_MEMORY);
	memcpy(&val, f->memory + addr, size);
	return val;
}

/* ---- jit.h */

static enum jit_priv priv_of(struct jit_vcpu *v, enum jit_mem_mode m)
{
	if (m == JIT_MEM_CPL)
		return v->hot->priv;
	return m == JIT_MEM_USER ? JIT_PRIV_USER : JIT_PRIV_SUPER;
}

static uint8_t *byte(struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode m)
{
	struct jit_walk w;

	if (!x86_walk(v, va, a, priv_of(v, m), &w))
		return NULL;
	return w.pa < FAKE_MEMORY ? fake_of(v)->memory + w.pa : fake_of(v)->memory;
}

bool jit_probe(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a, enum jit_mem_mode m)
{
	for (size_t i = 0; i < n; i++)
		if (!byte(v, va + i, a, m))
			return false;
	return true;
}

bool jit_load_bytes(struct jit_vcpu *v, uint64_t va, void *buf, size_t n, enum jit_mem_mode m)
{
	if (!jit_probe(v, va, n, ACCESS_LOAD, m))
		return false;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = *byte(v, va + i, ACCESS_LOAD, m);
	return true;
}

bool jit_store_bytes(
	struct jit_vcpu *v, uint64_t va, const void *buf, size_t n, enum jit_mem_mode m)
{
	if (!jit_probe(v, va, n, ACCESS_STORE, m))
		return false;
	for (size_t i = 0; i < n; i++)
		*byte(v, va + i, ACCESS_STORE, m) = ((const uint8_t *)buf)[i];
	return true;
}

bool jit_load(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t *ret)
{
	uint64_t val = 0;

	if (!jit_load_bytes(v, va, &val, size, m))
		return false;
	*ret = val;
	return true;
}

bool jit_store(struct jit_vcpu *v, uint64_t va, unsigned size, enum jit_mem_mode m, uint64_t val)
{
	return jit_store_bytes(v, va, &val, size, m);
}

void *jit_direct(
	struct jit_vcpu *v, uint64_t va, enum jit_access a, enum jit_mem_mode m, size_t n)
{
	const uint64_t cr2 = x86_cpu_of(v)->cr2;
	uint8_t *p = byte(v, va, a, m);

	if (!p) {
		x86_cpu_of(v)->exception_pending = 0;
		x86_cpu_of(v)->cr2 = cr2;
	}
	return p;
}

uint64_t jit_phys_load(struct jit_vcpu *v, uint64_t pa, unsigned size)
{
	return pa + size <= FAKE_MEMORY ? fake_get(fake_of(v), pa, size) : ~(uint64_t)0;
}

void jit_phys_store(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t val)
{
	fake_put(fake_of(v), pa, size, val);
}

bool jit_phys_cas(struct jit_vcpu *v, uint64_t pa, unsigned size, uint64_t old, uint64_t val)
{
	if (jit_phys_load(v, pa, size) != old)
		return false;
	fake_put(fake_of(v), pa, size, val);
	return true;
}

void jit_as_switch(struct jit_vcpu *v, uint64_t space_id, enum jit_priv priv)
{
	fake_of(v)->spaces++;
	v->hot->priv = priv;
}

void jit_as_set_priv(struct jit_vcpu *v, enum jit_priv priv)
{
	v->hot->priv = priv;
}

void jit_tlb_flush_page(struct jit_vcpu *v, uint64_t va)
{
	fake_of(v)->flushes++;
}

void jit_tlb_flush_space(struct jit_vcpu *v, uint64_t space_id, bool globals)
{
	fake_of(v)->flushes++;
}

void jit_tlb_flush_all(struct jit_vcpu *v)
{
	fake_of(v)->flushes++;
}

void jit_vec_spill(struct jit_vcpu *v)
{
	v->hot->vec_live = 0;
}

void jit_fpu_spill(struct jit_vcpu *v)
{
	v->hot->fpu_live = 0;
}

void jit_exclusive(struct jit_vcpu *v, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque)
{
	fn(v, opaque);
}

void jit_for_each_vcpu(
	struct jit_vm *vm, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque)
{
}
