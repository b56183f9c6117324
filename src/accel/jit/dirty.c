/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dirty.c: the log of pages that vCPUs write. A page is marked when its store entry is made; to
 * clear marks is therefore to drop the entries, with all vCPUs stopped. Marks are collected in a
 * bitmap of the translator's own, so that both can happen at once, and the bitmap that others read
 * and clear needs no such care.
 */
#include <string.h>

#include "accel/jit/vm.h"
#include "core/machine.h"
#include "core/ram.h"

enum { LONG_BITS = 8 * sizeof(unsigned long) };

static size_t longs_of(const struct ram *r)
{
	return (r->size / RAM_PAGE + LONG_BITS - 1) / LONG_BITS;
}

static void log_switch(struct jit_vm *vm, void *opaque)
{
	const bool on = *(const bool *)opaque;

	for (unsigned i = 0; i < vm->machine->rams->len; i++) {
		struct ram *r = g_ptr_array_index(vm->machine->rams, i);

		if (on && !r->vcpu_dirty_bits)
			r->vcpu_dirty_bits = g_new0(unsigned long, longs_of(r));
		if (on)
			memset(r->vcpu_dirty_bits, 0, longs_of(r) * sizeof(unsigned long));
		__atomic_store_n(&r->vcpu_dirty, on ? r->vcpu_dirty_bits : NULL, __ATOMIC_RELEASE);
	}
	if (on)
		jit_for_each_vcpu(vm, softmmu_drop_all_writes, NULL);
}

void jit_dirty_log(struct machine *m, bool on)
{
	exclusive_outside(m->accel_vm, log_switch, &on);
}

static void log_fold(struct jit_vm *vm, void *unused)
{
	for (unsigned i = 0; i < vm->machine->rams->len; i++) {
		struct ram *r = g_ptr_array_index(vm->machine->rams, i);
		unsigned long *to = r->dirty;

		if (!to || !r->vcpu_dirty)
			continue;
		for (size_t k = 0; k < longs_of(r); k++) {
			if (!r->vcpu_dirty[k])
				continue;
			__atomic_fetch_or(&to[k], r->vcpu_dirty[k], __ATOMIC_RELAXED);
			r->vcpu_dirty[k] = 0;
		}
	}
	jit_for_each_vcpu(vm, softmmu_drop_all_writes, NULL);
}

void jit_dirty_sync(struct machine *m)
{
	exclusive_outside(m->accel_vm, log_fold, NULL);
}
