/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpuid.c: what this KVM can show a guest, and telling it what the model shows.
 * Spec: api.rst 4.46 (supported CPUID), 4.20 (set CPUID), 4.3 (MSR list).
 */
#include <errno.h>
#include <string.h>

#include "accel/kvm/kvm.h"
#include "base/error.h"
#include "core/machine.h"
#include "core/vcpu.h"

enum { CPUID_MAX = 256 };

static const struct kvm_cpuid_entry2 *entry(const struct kvm_cpuid2 *c, uint32_t leaf, uint32_t sub)
{
	for (unsigned i = 0; i < c->nent; i++) {
		if (c->entries[i].function == leaf &&
			(!(c->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
				c->entries[i].index == sub))
			return &c->entries[i];
	}
	return NULL;
}

static void query_kvm(void *opaque, uint32_t leaf, uint32_t sub, uint32_t regs[4])
{
	const struct kvm_cpuid_entry2 *e = entry(opaque, leaf, sub);

	memset(regs, 0, 4 * sizeof(regs[0]));
	if (e)
		memcpy(regs, &e->eax, 4 * sizeof(regs[0]));
}

static void list_msrs(struct kvm_vm *vm)
{
	struct kvm_msr_list probe = { 0 };
	g_autofree struct kvm_msr_list *list = NULL;

	vm->msrs = g_hash_table_new(NULL, NULL);
	kvm_ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, &probe); /* E2BIG: sets nmsrs */
	list = g_malloc0(sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	list->nmsrs = probe.nmsrs;
	if (kvm_ioctl(vm->kvm, KVM_GET_MSR_INDEX_LIST, list) < 0)
		return;
	for (unsigned i = 0; i < list->nmsrs; i++)
		g_hash_table_add(vm->msrs, GUINT_TO_POINTER(list->indices[i]));
}

int kvm_features_init(struct kvm_vm *vm, GError **error)
{
	g_autofree struct kvm_cpuid2 *c =
		g_malloc0(sizeof(*c) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
	const struct kvm_cpuid_entry2 *e;
	int rc;

	c->nent = CPUID_MAX;
	rc = kvm_ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, c);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: cannot read the supported CPUID");
	x86_features_read(&vm->can, query_kvm, c);
	/* With in-kernel APICs KVM does TSC-deadline, but lists it elsewhere (api.rst 4.46). */
	if (kvm_ioctl(vm->kvm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		vm->can.word[FEAT_1_ECX] |= 1u << 24;
	vm->can.word[FEAT_1_ECX] |= 1u << 31; /* hypervisor present */
	e = entry(c, 0xd, 0);
	vm->xcr0 = e ? e->eax | (uint64_t)e->edx << 32 : 3;
	e = entry(c, 0x80000008, 0);
	if (e && (e->eax & 0xff) >= 32)
		vm->machine->phys_bits = e->eax & 0xff;
	list_msrs(vm);
	return 0;
}

int kvm_cpuid_set(struct kvm_vcpu *k, GError **error)
{
	struct machine *m = k->vm->machine;
	g_autofree struct x86_cpuid_leaf *leaves = NULL;
	g_autofree struct kvm_cpuid2 *c = NULL;
	struct x86_features f;
	unsigned n;
	int khz, rc;

	if (x86_model_features(m->cpu_model, &k->vm->can, &f, error) < 0)
		return -1;
	khz = kvm_ioctl(k->fd, KVM_GET_TSC_KHZ, NULL);
	leaves = x86_cpuid_build(&f, m->vcpu_count, k->vcpu->index, khz > 0 ? (uint64_t)khz : 0,
		m->phys_bits, &n);
	c = g_malloc0(sizeof(*c) + n * sizeof(struct kvm_cpuid_entry2));
	c->nent = n;
	for (unsigned i = 0; i < n; i++) {
		c->entries[i] = (struct kvm_cpuid_entry2){
			.function = leaves[i].leaf, .index = leaves[i].subleaf,
			.flags = leaves[i].has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = leaves[i].eax, .ebx = leaves[i].ebx,
			.ecx = leaves[i].ecx, .edx = leaves[i].edx,
		};
	}
	rc = kvm_ioctl(k->fd, KVM_SET_CPUID2, c);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM refuses the CPU model '%s'", m->cpu_model);
	return 0;
}
