/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interpret.c: the IR interpreter on a real vCPU: what shows whether a fault is the back end's. A
 * block that changes its own instructions sees that from its end on.
 */
#include "accel/jit/interpret.h"

#include <string.h>

#include "accel/jit/ir/interp.h"
#include "accel/jit/vm.h"

static enum jit_mem_mode mem_mode(unsigned mode)
{
	return mode & IRO_USER ? JIT_MEM_USER : mode & IRO_SYSTEM ? JIT_MEM_SYSTEM : JIT_MEM_CPL;
}

static bool one_access(unsigned n)
{
	return n <= 8 && !(n & (n - 1));
}

static bool env_load(struct jit_vcpu *v, uint64_t va, void *buf, unsigned n, unsigned mode)
{
	uint64_t val = 0;

	if (!one_access(n))
		return jit_load_bytes(v, va, buf, n, mem_mode(mode));
	if (!jit_load(v, va, n, mem_mode(mode), &val))
		return false;
	memcpy(buf, &val, n);
	return true;
}

static bool env_store(struct jit_vcpu *v, uint64_t va, const void *buf, unsigned n, unsigned mode)
{
	uint64_t val = 0;

	if (!one_access(n))
		return jit_store_bytes(v, va, buf, n, mem_mode(mode));
	memcpy(&val, buf, n);
	return jit_store(v, va, n, mem_mode(mode), val);
}

static bool env_probe(struct jit_vcpu *v, uint64_t va, unsigned n, unsigned mode)
{
	return jit_probe(v, va, n, ACCESS_STORE, mem_mode(mode));
}

/* Compare and swap in plain RAM, naturally aligned. */
static bool host_cas(void *p, void *old, const void *val, unsigned n)
{
#define CAS(type)                                                                                  \
	({                                                                                         \
		type want;                                                                         \
		memcpy(&want, val, sizeof(want));                                                  \
		__atomic_compare_exchange_n(                                                       \
			(type *)p, (type *)old, want, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);  \
	})
	switch (n) {
	case 1: return CAS(uint8_t);
	case 2: return CAS(uint16_t);
	case 4: return CAS(uint32_t);
	default: return CAS(uint64_t);
	}
#undef CAS
}

static bool env_cas(struct jit_vcpu *v, uint64_t va, void *old, const void *val, unsigned n,
	unsigned mode, bool *ret_done)
{
	uint8_t now[16];
	void *p = n <= 8 && !(va & (n - 1)) ? jit_direct(v, va, ACCESS_STORE, mem_mode(mode), n)
					    : NULL;
	bool ok;

	if (p) {
		*ret_done = host_cas(p, old, val, n);
		return true;
	}
	/* a device, a page with code, two pages, 16 bytes: while nobody else runs */
	exclusive_begin(v, false);
	ok = env_load(v, va, now, n, mode);
	*ret_done = ok && !memcmp(now, old, n);
	if (*ret_done)
		ok = env_store(v, va, val, n, mode);
	else if (ok)
		memcpy(old, now, n);
	exclusive_end(v);
	return ok;
}

/* Vector and x87 registers stay in the state: nothing that runs here keeps them in the host's. */
static bool env_enter(struct jit_vcpu *v, bool vec, unsigned sub)
{
	return vec ? v->isa->vec_enter(v, sub) : v->isa->fpu_enter(v, sub);
}

static void env_arith(struct jit_vcpu *v, bool integer, bool simd)
{
	v->isa->arith_fault(v, integer, simd);
}

static void env_align(struct jit_vcpu *v)
{
	v->isa->align_fault(v);
}

bool interpret_block(struct jit_vcpu *v, const struct ir *b, void *native_page, uint64_t *ret_pc,
	bool *ret_moved)
{
	const struct ir_env env = {
		.state = v->arch,
		.native_page = native_page,
		.v = v,
		.load = env_load,
		.store = env_store,
		.probe = env_probe,
		.cas = env_cas,
		.enter = env_enter,
		.arith_fault = env_arith,
		.align_fault = env_align,
	};
	enum ir_ran ran = ir_interp(&env, b, ret_pc);

	*ret_moved = ran != IR_RAN_LOOP;
	return ran != IR_RAN_FAULT;
}
