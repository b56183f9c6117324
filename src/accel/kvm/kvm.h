/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm.h: the KVM engine. Private to accel/kvm but for accel_kvm. Spec: Linux Documentation/virt/kvm/api.rst. */
#ifndef ACCEL_KVM_KVM_H
#define ACCEL_KVM_KVM_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/region.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/state.h"

struct machine;
struct vcpu;

extern const struct accel accel_kvm;

struct kvm_slot {
	uint64_t start, size; /* size 0: free */
	uint8_t *host;
	struct ram *ram;
	uint64_t ram_offset;
	uint32_t flags;
};

struct kvm_vm {
	struct machine *machine; /* borrowed */
	int kvm, fd;		 /* /dev/kvm, the VM; owned */
	size_t run_size;	 /* bytes of a vCPU's shared page */
	bool irqfd, ioeventfd, xsave, xcrs, debugregs, readonly;
	struct x86_features can;
	uint64_t xcr0;		 /* state components this KVM saves */
	GHashTable *msrs;	 /* MSR indices this KVM saves (set) */
	struct space_listener memory, ports;
	GArray *slots;		 /* struct kvm_slot; the index is KVM's slot number */
	bool dirty_log;
	GMutex lock;		 /* routes */
	GArray *routes;		 /* struct kvm_irq_routing_entry */
	GHashTable *bound;	 /* eventfd -> GSI of an MSI route */
	struct kvm_irqchip chip_reset[3]; /* as created: what reset goes back to */
	struct kvm_pit_state2 pit_reset;
	GHashTable *lapics;	 /* vCPU index -> struct kvm_lapic_state * restored but not yet final */
};

struct kvm_vcpu {
	struct vcpu *vcpu;	/* borrowed */
	struct kvm_vm *vm;	/* borrowed */
	int fd;			/* owned */
	struct kvm_run *run;	/* mapping of fd */
	bool completing;	/* KVM has an access to finish before state may be read */
	struct kvm_lapic_state lapic_reset;
	struct x86_cpu arch;
};

/* ioctl that is repeated on EINTR; -errno on failure. */
int kvm_ioctl(int fd, unsigned long request, void *arg);

/* slots.c: memory slots and doorbells, driven by the spaces' listeners. */
void kvm_slots_init(struct kvm_vm *vm);
void kvm_slots_fini(struct kvm_vm *vm);
/* Dirty log: on starts it; kvm_dirty_sync folds KVM's log into each ram's bitmap and starts it anew. */
void kvm_dirty_log(struct machine *m, bool on);
void kvm_dirty_sync(struct machine *m);

/* irqchip.c */
int kvm_irqchip_init(struct kvm_vm *vm, GError **error);
void kvm_irqchip_fini(struct kvm_vm *vm);
const struct device_class *kvm_irqchip_class(void);

/* cpuid.c */
int kvm_features_init(struct kvm_vm *vm, GError **error);
int kvm_cpuid_set(struct kvm_vcpu *k, GError **error);

/* regs.c: between c->arch and KVM. */
int kvm_pull(struct vcpu *c, GError **error);
int kvm_push(struct vcpu *c, GError **error);

/* vcpu.c */
int kvm_vcpu_init(struct vcpu *c, GError **error);
void kvm_vcpu_fini(struct vcpu *c);
void kvm_vcpu_reset(struct vcpu *c);
enum vcpu_exit kvm_vcpu_run(struct vcpu *c);
void kvm_vcpu_kick(struct vcpu *c);
int kvm_vcpu_step(struct vcpu *c, bool on, GError **error);

#endif
