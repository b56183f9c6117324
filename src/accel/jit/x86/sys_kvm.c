/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_kvm.c: the paravirtual interface of KVM that this engine offers too: clock pages and
 * hypercalls, so that Linux guests calibrate nothing and yield where they would spin. Spec: Linux
 * Documentation/virt/kvm/x86/msr.rst, hypercalls.rst.
 */
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "accel/jit/x86/sys.h"
#include "core/clock.h"
#include "core/machine.h"
#include "core/vcpu.h"

struct vcpu_time_info {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad2[2];
};
_Static_assert(sizeof(struct vcpu_time_info) == 32, "as msr.rst has it");
enum { TIME_TSC_STABLE = 1 };

struct wall_clock {
	uint32_t version, sec, nsec;
};

enum { HC_VAPIC_POLL_IRQ = 1, HC_KICK_CPU = 5, HC_SCHED_YIELD = 11 };
enum { KVM_ENOSYS = 1000, KVM_EPERM = 1 };

/* Physical, as the guest gave it; anything but RAM is ignored there. */
static void put(struct jit_vcpu *v, uint64_t pa, const void *buf, size_t n)
{
	for (size_t i = 0; i < n; i += 4) {
		uint32_t word;

		memcpy(&word, (const uint8_t *)buf + i, 4);
		jit_phys_store(v, pa + i, 4, word);
	}
}

/* ns = (tsc << shift) * mul >> 32 */
static void scale(uint64_t khz, uint32_t *mul, int8_t *shift)
{
	uint64_t hz = khz * 1000;
	int s = 0;

	while (hz > 2 * (uint64_t)NS_PER_SEC) {
		hz >>= 1;
		s--;
	}
	while (hz <= NS_PER_SEC) {
		hz <<= 1;
		s++;
	}
	*mul = (uint32_t)(((unsigned __int128)NS_PER_SEC << 32) / hz);
	*shift = (int8_t)s;
}

void x86_kvmclock_write(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t pa =
		c->kvm_system_time & ~(uint64_t)3; /* aligned, so no word leaves its page */
	struct vcpu_time_info t = { .flags = TIME_TSC_STABLE };

	if (!(c->kvm_system_time & 1))
		return;
	t.version = (uint32_t)jit_phys_load(v, pa, 4);
	t.version = (t.version + 1) | 1; /* odd: being written */
	put(v, pa, &t.version, 4);
	scale(x86_private(v)->tsc_khz, &t.tsc_to_system_mul, &t.tsc_shift);
	t.system_time = (uint64_t)clock_ns(v->vcpu->machine->clock);
	t.tsc_timestamp = x86_tsc(v);
	put(v, pa + 8, &t.tsc_timestamp, sizeof(t) - 8);
	t.version++;
	put(v, pa, &t.version, 4);
}

/* Wall-clock time when the system clock was 0. */
void x86_kvm_wall_clock_write(struct jit_vcpu *v)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t pa = c->kvm_wall_clock & ~(uint64_t)3;
	struct wall_clock w;
	struct timespec now;
	int64_t boot;

	clock_gettime(CLOCK_REALTIME, &now);
	boot = (int64_t)now.tv_sec * NS_PER_SEC + now.tv_nsec - clock_ns(v->vcpu->machine->clock);
	w.version = ((uint32_t)jit_phys_load(v, pa, 4) + 2) & ~1u;
	w.sec = (uint32_t)(boot / NS_PER_SEC);
	w.nsec = (uint32_t)(boot % NS_PER_SEC);
	put(v, pa, &w, sizeof(w));
}

struct kick {
	uint32_t apic_id;
};

static void kick_if(struct jit_vcpu *v, void *opaque)
{
	const struct kick *k = opaque;

	if (v->vcpu->index != k->apic_id)
		return;
	__atomic_store_n(&x86_private(v)->kicked, true, __ATOMIC_RELEASE);
	vcpu_post(v->vcpu, VCPU_EV_WORK);
}

bool x86_h_vmcall(struct jit_vcpu *v)
{
	struct x86_cpu *c = v->arch;
	const bool wide = x86_code64(c);
	uint64_t nr = c->gpr[RAX], ret = 0;
	struct kick k = { (uint32_t)c->gpr[RCX] };

	if (!x86_private(v)->features.word[FEAT_KVM_EAX])
		return x86_raise(v, X86_UD);
	if (!wide)
		nr = (uint32_t)nr;
	if (x86_cpl(c) != 0)
		ret = -(uint64_t)KVM_EPERM;
	else if (nr == HC_KICK_CPU)
		jit_for_each_vcpu(v->vm, kick_if, &k);
	else if (nr == HC_SCHED_YIELD)
		sched_yield();
	else if (nr != HC_VAPIC_POLL_IRQ)
		ret = -(uint64_t)KVM_ENOSYS;
	c->gpr[RAX] = wide ? ret : (uint32_t)ret;
	return true;
}
