/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_misc.c: CPUID, random numbers, PAUSE. Spec: SDM vol. 2. */
#include <sched.h>
#include <sys/random.h>

#include "accel/jit/x86/sys.h"
#include "core/machine.h"
#include "core/vcpu.h"

/* ---- waiting */

/* Not offered in CPUID: nobody's monitor is ever armed. */
bool x86_h_mwait(struct jit_vcpu *v, uint64_t next)
{
	return x86_raise(v, X86_UD);
}

bool x86_h_monitor(struct jit_vcpu *v)
{
	return x86_raise(v, X86_UD);
}

/* A guest that spins probably waits for a vCPU that has no host CPU now. */
bool x86_h_pause(struct jit_vcpu *v)
{
	enum { SPINS_BEFORE_YIELD = 64 };
	struct x86_private *p = x86_private(v);

	if (v->vcpu->machine->vcpu_count > 1 && ++p->spins % SPINS_BEFORE_YIELD == 0)
		sched_yield();
	return true;
}

/* ---- CPUID: what depends on the state of the moment */

static uint32_t xsave_size(uint64_t components)
{
	return components & 4 ? 832 : 576;
}

bool x86_h_cpuid(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const struct x86_private *p = x86_private(v);
	const uint32_t leaf = (uint32_t)c->gpr[RAX], sub = (uint32_t)c->gpr[RCX];
	uint32_t r[4];

	x86_cpuid_get(p->leaves, p->leaf_count, leaf, sub, r);
	if (leaf == 1) {
		r[2] &= ~(1u << 27);
		if (c->cr4 & X86_CR4_OSXSAVE)
			r[2] |= 1u << 27;
		if (!(c->apic_base & 1 << 11))
			r[3] &= ~(1u << 9);
	} else if (leaf == 0xd && sub == 0 && r[0]) {
		r[1] = xsave_size(c->xcr0);
	} else if (leaf == 0xd && sub == 1 && r[1]) {
		r[1] = xsave_size(c->xcr0 | c->xss);
	}
	c->gpr[RAX] = r[0];
	c->gpr[RBX] = r[1];
	c->gpr[RCX] = r[2];
	c->gpr[RDX] = r[3];
	return true;
}

/* ---- random numbers: from the kernel, which mixes; CF = 1, the other flags 0 */

bool x86_h_rdrand(struct jit_vcpu *v, uint64_t size, uint64_t seed)
{
	uint64_t val = 0;
	const bool ok = getrandom(&val, sizeof(val), 0) == sizeof(val);

	if (size < 8)
		val &= ((uint64_t)1 << 8 * size) - 1;
	v->hot->ret = ok ? val : 0;
	v->hot->arith = (v->hot->arith & ~(uint64_t)X86_FL_ARITH) | (ok ? X86_FL_CF : 0);
	return true;
}

bool x86_h_rdpkru_wrpkru(struct jit_vcpu *v, uint64_t write)
{
	return x86_raise(v, X86_UD); /* protection keys are not offered */
}
