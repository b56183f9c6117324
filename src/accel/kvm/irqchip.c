/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irqchip.c: KVM's in-kernel PIC, IOAPIC, PIT and local APICs: wires, MSIs, irqfds, and their state as
 * one device. Spec: api.rst 4.24-4.26 (irqchip), 4.52 (routing), 4.70 (MSI), 4.71 (PIT), 4.75 (irqfd).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "accel/kvm/kvm.h"
#include "base/error.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/vcpu.h"

enum { PIC_PINS = 8, IOAPIC_PINS = 24, PIT_PIN = 2, ROUTES_MAX = 1024 };

static struct kvm_irq_routing_entry *route_add(struct kvm_vm *vm, uint32_t gsi, uint32_t type)
{
	struct kvm_irq_routing_entry e = { .gsi = gsi, .type = type };

	g_array_append_val(vm->routes, e);
	return &g_array_index(vm->routes, struct kvm_irq_routing_entry, vm->routes->len - 1);
}

static void route_pin(struct kvm_vm *vm, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *e = route_add(vm, gsi, KVM_IRQ_ROUTING_IRQCHIP);

	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

static int routes_commit(struct kvm_vm *vm)
{
	size_t bytes = vm->routes->len * sizeof(struct kvm_irq_routing_entry);
	g_autofree struct kvm_irq_routing *r = g_malloc0(sizeof(*r) + bytes);

	r->nr = vm->routes->len;
	memcpy(r->entries, vm->routes->data, bytes);
	return kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, r);
}

/* A PC's wiring: ISA lines reach both controllers, the timer sits on IOAPIC pin 2 (MADT override). */
static int routes_init(struct kvm_vm *vm)
{
	vm->routes = g_array_new(FALSE, TRUE, sizeof(struct kvm_irq_routing_entry));
	vm->bound = g_hash_table_new(NULL, NULL);
	for (unsigned i = 0; i < 2 * PIC_PINS; i++) {
		if (i != PIT_PIN)
			route_pin(vm, i, i < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				i % PIC_PINS);
	}
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if (i != PIT_PIN)
			route_pin(vm, i, KVM_IRQCHIP_IOAPIC, i == 0 ? PIT_PIN : i);
	}
	return routes_commit(vm);
}

static void kvm_gsi(void *opaque, unsigned gsi, int level)
{
	struct kvm_vm *vm = opaque;
	struct kvm_irq_level l = { .irq = gsi, .level = (uint32_t)level };

	kvm_ioctl(vm->fd, KVM_IRQ_LINE, &l);
}

static void kvm_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct kvm_vm *vm = opaque;
	struct kvm_msi msi = { .address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32),
		.data = data };

	kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static uint32_t free_gsi(const struct kvm_vm *vm)
{
	for (uint32_t gsi = IOAPIC_PINS;; gsi++) {
		bool taken = false;

		for (unsigned i = 0; i < vm->routes->len && !taken; i++)
			taken = g_array_index(vm->routes, struct kvm_irq_routing_entry, i).gsi == gsi;
		if (!taken)
			return gsi;
	}
}

static void route_drop(struct kvm_vm *vm, uint32_t gsi)
{
	for (unsigned i = 0; i < vm->routes->len; i++) {
		if (g_array_index(vm->routes, struct kvm_irq_routing_entry, i).gsi == gsi) {
			g_array_remove_index(vm->routes, i);
			break;
		}
	}
	routes_commit(vm);
}

static void kvm_msi_unbind(void *opaque, int fd)
{
	struct kvm_vm *vm = opaque;
	struct kvm_irqfd q = { .fd = (uint32_t)fd, .flags = KVM_IRQFD_FLAG_DEASSIGN };
	void *gsi;

	g_mutex_lock(&vm->lock);
	if (g_hash_table_steal_extended(vm->bound, GINT_TO_POINTER(fd), NULL, &gsi)) {
		q.gsi = GPOINTER_TO_UINT(gsi);
		kvm_ioctl(vm->fd, KVM_IRQFD, &q);
		route_drop(vm, q.gsi);
	}
	g_mutex_unlock(&vm->lock);
}

static int kvm_msi_bind(void *opaque, int fd, uint64_t addr, uint32_t data)
{
	struct kvm_vm *vm = opaque;
	struct kvm_irq_routing_entry *e;
	struct kvm_irqfd q = { .fd = (uint32_t)fd };
	int rc = -1;

	if (!vm->irqfd)
		return -1;
	kvm_msi_unbind(vm, fd);
	g_mutex_lock(&vm->lock);
	if (vm->routes->len < ROUTES_MAX) {
		q.gsi = free_gsi(vm);
		e = route_add(vm, q.gsi, KVM_IRQ_ROUTING_MSI);
		e->u.msi.address_lo = (uint32_t)addr;
		e->u.msi.address_hi = (uint32_t)(addr >> 32);
		e->u.msi.data = data;
		rc = routes_commit(vm) < 0 || kvm_ioctl(vm->fd, KVM_IRQFD, &q) < 0 ? -1 : 0;
		if (rc == 0)
			g_hash_table_insert(vm->bound, GINT_TO_POINTER(fd), GUINT_TO_POINTER(q.gsi));
		else
			route_drop(vm, q.gsi);
	}
	g_mutex_unlock(&vm->lock);
	return rc;
}

static const struct intc_ops kvm_intc = {
	.name = "kvm", .gsi = kvm_gsi, .msi = kvm_msi, .msi_bind = kvm_msi_bind,
	.msi_unbind = kvm_msi_unbind,
};

int kvm_irqchip_init(struct kvm_vm *vm, GError **error)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int rc = kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL);

	g_mutex_init(&vm->lock);
	if (rc >= 0)
		rc = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	if (rc >= 0)
		rc = routes_init(vm);
	for (unsigned i = 0; rc >= 0 && i < G_N_ELEMENTS(vm->chip_reset); i++) {
		vm->chip_reset[i].chip_id = i;
		rc = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &vm->chip_reset[i]);
	}
	if (rc >= 0)
		rc = kvm_ioctl(vm->fd, KVM_GET_PIT2, &vm->pit_reset);
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_HOST, -rc, "KVM: no in-kernel interrupt controllers");
	vm->lapics = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	vm->machine->intc = (struct intc){ .ops = &kvm_intc, .opaque = vm };
	return 0;
}

void kvm_irqchip_fini(struct kvm_vm *vm)
{
	g_clear_pointer(&vm->routes, g_array_unref);
	g_clear_pointer(&vm->bound, g_hash_table_unref);
	g_clear_pointer(&vm->lapics, g_hash_table_unref);
	g_mutex_clear(&vm->lock);
}

/* --- the state of all that as a device --- */

struct irqchip {
	struct device dev;
	uint8_t chip[3][sizeof(((struct kvm_irqchip *)0)->chip)]; /* PICs, IOAPIC */
	uint8_t pit[sizeof(struct kvm_pit_state2)];
	uint64_t clock; /* kvmclock, ns */
	GByteArray *lapics; /* one struct kvm_lapic_state a vCPU */
};

static struct kvm_vm *vm_of(struct device *d)
{
	return d->machine->accel_vm;
}

static void irqchip_reset(struct device *d)
{
	struct kvm_vm *vm = vm_of(d);

	g_hash_table_remove_all(vm->lapics);
	for (unsigned i = 0; i < G_N_ELEMENTS(vm->chip_reset); i++)
		kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &vm->chip_reset[i]);
	kvm_ioctl(vm->fd, KVM_SET_PIT2, &vm->pit_reset);
}

/* Called when the machine pauses: fetches what a save will write. */
static void irqchip_quiesce(struct device *d)
{
	struct irqchip *s = (struct irqchip *)d;
	struct kvm_vm *vm = vm_of(d);
	struct kvm_clock_data clock = { 0 };

	for (unsigned i = 0; i < G_N_ELEMENTS(s->chip); i++) {
		struct kvm_irqchip chip = { .chip_id = i };

		kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &chip);
		memcpy(s->chip[i], &chip.chip, sizeof(s->chip[i]));
	}
	kvm_ioctl(vm->fd, KVM_GET_PIT2, s->pit);
	kvm_ioctl(vm->fd, KVM_GET_CLOCK, &clock);
	s->clock = clock.clock;
	g_byte_array_set_size(s->lapics, 0);
	for (unsigned i = 0; i < d->machine->vcpu_count; i++) {
		struct kvm_vcpu *k = d->machine->vcpus[i]->engine;
		struct kvm_lapic_state lapic = { 0 };

		kvm_ioctl(k->fd, KVM_GET_LAPIC, &lapic);
		g_byte_array_append(s->lapics, (const uint8_t *)&lapic, sizeof(lapic));
	}
}

static int irqchip_loaded(struct device *d, GError **error)
{
	struct irqchip *s = (struct irqchip *)d;
	struct kvm_vm *vm = vm_of(d);
	struct kvm_clock_data clock = { .clock = s->clock };
	unsigned n = d->machine->vcpu_count;
	int rc = 0;

	if (!s->lapics || s->lapics->len != n * sizeof(struct kvm_lapic_state))
		return fail(error, LODGE_ERROR_STATE, "saved interrupt controllers are not for %u vCPUs", n);
	for (unsigned i = 0; rc >= 0 && i < G_N_ELEMENTS(s->chip); i++) {
		struct kvm_irqchip chip = { .chip_id = i };

		memcpy(&chip.chip, s->chip[i], sizeof(s->chip[i]));
		rc = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
	}
	if (rc >= 0)
		rc = kvm_ioctl(vm->fd, KVM_SET_PIT2, s->pit);
	if (rc >= 0)
		kvm_ioctl(vm->fd, KVM_SET_CLOCK, &clock);
	/* A local APIC can only be set once its CPU's APIC base is: kvm_push does it. */
	for (unsigned i = 0; i < n; i++)
		g_hash_table_insert(vm->lapics, GUINT_TO_POINTER(i),
			g_memdup2(s->lapics->data + i * sizeof(struct kvm_lapic_state),
				sizeof(struct kvm_lapic_state)));
	if (rc < 0)
		return fail_errno(error, LODGE_ERROR_STATE, -rc, "KVM refuses the saved interrupt controllers");
	return 0;
}

static int irqchip_init(struct device *d, GError **error)
{
	((struct irqchip *)d)->lapics = g_byte_array_new();
	return 0;
}

static void irqchip_fini(struct device *d)
{
	g_clear_pointer(&((struct irqchip *)d)->lapics, g_byte_array_unref);
}

static const struct field irqchip_state[] = {
	FIELD_ARRAY(struct irqchip, chip, FIELD_BYTES, sizeof(((struct irqchip *)0)->chip)),
	FIELD_ARRAY(struct irqchip, pit, FIELD_BYTES, sizeof(struct kvm_pit_state2)),
	FIELD(struct irqchip, clock, FIELD_U64),
	FIELD_ARRAY(struct irqchip, lapics, FIELD_BLOB, MACHINE_MAX_VCPUS * sizeof(struct kvm_lapic_state)),
	{ .name = NULL },
};

static const struct device_class irqchip_cls = {
	.name = "kvm-irqchip",
	.help = "KVM's in-kernel PIC, IOAPIC, PIT and local APICs",
	.size = sizeof(struct irqchip),
	.version = 1,
	.state = irqchip_state,
	.init = irqchip_init,
	.reset = irqchip_reset,
	.quiesce = irqchip_quiesce,
	.loaded = irqchip_loaded,
	.fini = irqchip_fini,
};

const struct device_class *kvm_irqchip_class(void)
{
	return &irqchip_cls;
}
