/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exclusive.c: running something while no other vCPU is in translated code or in the loop's C code.
 *
 * A vCPU's state says where its thread is (vm.h). Whoever wants to be exclusive raises stop_wanted,
 * asks all others to leave and waits until each is out, or itself waits to be exclusive. Emptying
 * the code cache needs more: nobody may even wait inside a helper, as it would return into code
 * that is gone.
 */
#include "accel/jit/vm.h"
#include "core/vcpu.h"

void exclusive_init(struct jit_vm *vm)
{
	g_mutex_init(&vm->stop_lock);
	g_cond_init(&vm->stop_cond);
}

void exclusive_fini(struct jit_vm *vm)
{
	g_mutex_clear(&vm->stop_lock);
	g_cond_clear(&vm->stop_cond);
}

static void set_state(struct jit_vcpu *v, int state)
{
	atomic_store(&v->loop->state, state);
}

static bool others_quiet(struct jit_vm *vm, struct jit_vcpu *self, bool no_code)
{
	for (unsigned i = 0; i < vm->vcpus; i++) {
		struct jit_vcpu *o = vm->vcpu[i];
		int s = o == self ? VCPU_OUT : atomic_load(&o->loop->state);

		if (s == VCPU_LOOP || s == VCPU_CODE || (no_code && s == VCPU_CODE_STOPPED))
			return false;
	}
	return true;
}

/* Under stop_lock. A broadcast is a system call, also where nobody waits. */
static void wake(struct jit_vm *vm)
{
	if (vm->stop_waiters)
		g_cond_broadcast(&vm->stop_cond);
}

static void wait_for_others(struct jit_vm *vm)
{
	vm->stop_waiters++;
	g_cond_wait(&vm->stop_cond, &vm->stop_lock);
	vm->stop_waiters--;
}

static void ask_out(struct jit_vm *vm, struct jit_vcpu *self)
{
	for (unsigned i = 0; i < vm->vcpus; i++)
		if (vm->vcpu[i] != self)
			jit_request_exit(vm->vcpu[i]->hot);
}

/* Under stop_lock. v: NULL for a thread that is no vCPU's. */
static void become_owner(struct jit_vm *vm, struct jit_vcpu *v, bool no_code)
{
	atomic_fetch_add(&vm->stop_wanted, 1);
	wake(vm);
	while (vm->owned || !others_quiet(vm, v, no_code)) {
		ask_out(vm, v);
		wait_for_others(vm);
	}
	vm->owned = true;
	vm->owner = v;
	vm->depth = 1;
}

static void stop_owning(struct jit_vm *vm)
{
	vm->owned = false;
	vm->owner = NULL;
	atomic_fetch_sub(&vm->stop_wanted, 1);
	wake(vm);
}

/* Somebody may change v's TLB while it waits in the middle of a block: addresses that were checked
 * earlier in it (lower_share.c) must not be used any more. Those that nobody has cause a SIGSEGV,
 * and the block is left. */
static void forget_shared(struct jit_vcpu *v)
{
	for (unsigned i = 0; i < sizeof(v->hot->share) / sizeof(v->hot->share[0]); i++)
		v->hot->share[i] = 1ull << 63;
}

void exclusive_begin(struct jit_vcpu *v, bool no_code)
{
	struct jit_vm *vm = v->vm;
	int before = atomic_load(&v->loop->state);

	/* no other vCPU; and a thread that is none waits until this one is out */
	if (vm->vcpus == 1)
		return;
	g_mutex_lock(&vm->stop_lock);
	if (vm->owned && vm->owner == v) {
		vm->depth++;
		g_mutex_unlock(&vm->stop_lock);
		return;
	}
	set_state(v, before == VCPU_CODE ? VCPU_CODE_STOPPED : VCPU_OUT);
	become_owner(vm, v, no_code);
	if (before == VCPU_CODE)
		forget_shared(v);
	set_state(v, before);
	g_mutex_unlock(&vm->stop_lock);
}

void exclusive_end(struct jit_vcpu *v)
{
	struct jit_vm *vm = v->vm;

	if (vm->vcpus == 1)
		return;
	g_mutex_lock(&vm->stop_lock);
	if (!--vm->depth)
		stop_owning(vm);
	g_mutex_unlock(&vm->stop_lock);
}

void exclusive_leave(struct jit_vcpu *v)
{
	set_state(v, VCPU_OUT);
	if (atomic_load(&v->vm->stop_wanted)) {
		g_mutex_lock(&v->vm->stop_lock);
		wake(v->vm);
		g_mutex_unlock(&v->vm->stop_lock);
	}
}

void exclusive_join(struct jit_vcpu *v)
{
	struct jit_vm *vm = v->vm;

	set_state(v, VCPU_LOOP);
	if (!atomic_load(&vm->stop_wanted))
		return;
	g_mutex_lock(&vm->stop_lock);
	set_state(v, VCPU_OUT);
	wake(vm);
	while (atomic_load(&vm->stop_wanted))
		wait_for_others(vm);
	set_state(v, VCPU_LOOP);
	g_mutex_unlock(&vm->stop_lock);
}

void jit_exclusive(struct jit_vcpu *v, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque)
{
	exclusive_begin(v, false);
	fn(v, opaque);
	exclusive_end(v);
}

void exclusive_outside(struct jit_vm *vm, void (*fn)(struct jit_vm *vm, void *opaque), void *opaque)
{
	g_mutex_lock(&vm->stop_lock);
	become_owner(vm, NULL, false);
	g_mutex_unlock(&vm->stop_lock);
	fn(vm, opaque);
	g_mutex_lock(&vm->stop_lock);
	stop_owning(vm);
	g_mutex_unlock(&vm->stop_lock);
}

void jit_for_each_vcpu(
	struct jit_vm *vm, void (*fn)(struct jit_vcpu *v, void *opaque), void *opaque)
{
	for (unsigned i = 0; i < vm->vcpus; i++)
		fn(vm->vcpu[i], opaque);
}
