/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * thunks_slow.c: vector and x87 state between the guest's place in the host's registers and the
 * architectural state. General registers only, but for the FNSAVE and FRSTOR themselves.
 */
#include "accel/jit/host/thunks.h"

#include "accel/jit/softmmu.h"
#include "accel/jit/vm.h"

void jit_vec_spill(struct jit_vcpu *v)
{
	if (v->hot->vec_live)
		v->vm->thunks.vec_spill(v->hot);
}

void jit_fpu_spill(struct jit_vcpu *v)
{
	uint8_t image[108];
	unsigned level;

	if (!v->hot->fpu_live)
		return;
	__asm__ volatile("fnsave %0" : "=m"(image));
	v->hot->fpu_live = 0;
	level = softmmu_guard(v);
	v->isa->fpu_put(v, image);
	softmmu_unguard(v, level);
}

bool thunks_vec_enter(struct jit_vcpu *v, uint64_t level)
{
	unsigned had = softmmu_guard(v);

	if (!v->isa->vec_enter(v, level)) {
		softmmu_unguard(v, had);
		return false;
	}
	v->vm->thunks.vec_fill(v->hot, had | (level ? 3 : 1));
	return true;
}

bool thunks_fpu_enter(struct jit_vcpu *v, uint64_t level)
{
	unsigned had = softmmu_guard(v);
	uint8_t image[108];

	if (!v->isa->fpu_enter(v, level)) {
		softmmu_unguard(v, had);
		return false;
	}
	if (!v->hot->fpu_live) {
		v->isa->fpu_get(v, image);
		__asm__ volatile("frstor %0" : : "m"(image));
	}
	v->hot->fpu_live |= level & 1 ? 3 : 1;
	softmmu_unguard(v, had);
	return true;
}

bool thunks_align(struct jit_vcpu *v)
{
	unsigned had = softmmu_guard(v);

	v->isa->align_fault(v);
	softmmu_unguard(v, had);
	return false;
}
