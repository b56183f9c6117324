/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slots.c: guest RAM as KVM memory slots, doorbells as ioeventfds, and the dirty log.
 * Spec: api.rst 4.35 (memory regions), 4.8 (dirty log), 4.59 (ioeventfd).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "accel/kvm/kvm.h"
#include "base/log.h"
#include "core/machine.h"
#include "core/ram.h"

static int slot_set(struct kvm_vm *vm, unsigned index, uint64_t size)
{
	const struct kvm_slot *s = &g_array_index(vm->slots, struct kvm_slot, index);
	struct kvm_userspace_memory_region r = {
		.slot = index,
		.flags = s->flags | (vm->dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = s->start,
		.memory_size = size,
		.userspace_addr = (uintptr_t)s->host,
	};

	return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static void ram_add(void *opaque, const struct flat *f)
{
	struct kvm_vm *vm = opaque;
	struct kvm_slot s = {
		.start = f->start, .size = f->size, .host = f->host, .ram = f->region->ram,
		.ram_offset = f->region->ram_offset + f->region_offset,
		.flags = f->readonly && vm->readonly ? KVM_MEM_READONLY : 0,
	};
	unsigned i;
	int rc;

	if ((f->start | f->size | (uintptr_t)f->host) % RAM_PAGE)
		return; /* less than a page: stays with the instruction emulator and space_read */
	for (i = 0; i < vm->slots->len; i++) {
		if (!g_array_index(vm->slots, struct kvm_slot, i).size)
			break;
	}
	if (i == vm->slots->len)
		g_array_set_size(vm->slots, i + 1);
	g_array_index(vm->slots, struct kvm_slot, i) = s;
	rc = slot_set(vm, i, s.size);
	if (rc < 0) {
		log_warn("KVM: cannot map RAM at 0x%" PRIx64 ": %s", s.start, g_strerror(-rc));
		machine_request(vm->machine, MACHINE_REQ_CRASH, "host-error");
	}
}

static void ram_del(void *opaque, const struct flat *f)
{
	struct kvm_vm *vm = opaque;

	for (unsigned i = 0; i < vm->slots->len; i++) {
		struct kvm_slot *s = &g_array_index(vm->slots, struct kvm_slot, i);

		if (s->size && s->start == f->start) {
			slot_set(vm, i, 0);
			s->size = 0;
		}
	}
}

static int ioeventfd(struct kvm_vm *vm, bool port, uint64_t addr, unsigned size, int fd, uint32_t flags)
{
	struct kvm_ioeventfd e = {
		.addr = addr, .len = size, .fd = fd,
		.flags = flags | (port ? KVM_IOEVENTFD_FLAG_PIO : 0),
	};

	return vm->ioeventfd && kvm_ioctl(vm->fd, KVM_IOEVENTFD, &e) == 0 ? 0 : -1;
}

static int ioevent_add(void *opaque, bool port, uint64_t addr, unsigned size, int fd)
{
	return ioeventfd(opaque, port, addr, size, fd, 0);
}

static void ioevent_del(void *opaque, bool port, uint64_t addr, unsigned size, int fd)
{
	ioeventfd(opaque, port, addr, size, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

void kvm_slots_init(struct kvm_vm *vm)
{
	vm->slots = g_array_new(FALSE, TRUE, sizeof(struct kvm_slot));
	vm->memory = (struct space_listener){ .opaque = vm, .ram_add = ram_add, .ram_del = ram_del,
		.ioevent_add = ioevent_add, .ioevent_del = ioevent_del };
	vm->ports = (struct space_listener){ .opaque = vm, .ioevent_add = ioevent_add,
		.ioevent_del = ioevent_del };
	space_listen(vm->machine->memory, &vm->memory);
	space_listen(vm->machine->ports, &vm->ports);
}

void kvm_slots_fini(struct kvm_vm *vm)
{
	if (!vm->slots)
		return;
	space_unlisten(vm->machine->memory, &vm->memory);
	space_unlisten(vm->machine->ports, &vm->ports);
	g_clear_pointer(&vm->slots, g_array_unref);
}

void kvm_dirty_log(struct machine *m, bool on)
{
	struct kvm_vm *vm = m->accel_vm;

	vm->dirty_log = on;
	for (unsigned i = 0; i < vm->slots->len; i++) {
		const struct kvm_slot *s = &g_array_index(vm->slots, struct kvm_slot, i);

		if (s->size)
			slot_set(vm, i, s->size);
	}
}

static void fold(const struct kvm_slot *s, const unsigned long *bits)
{
	const unsigned word = 8 * sizeof(long);
	uint64_t first = s->ram_offset / RAM_PAGE;

	for (uint64_t i = 0; i < s->size / RAM_PAGE; i++) {
		if (bits[i / word] >> (i % word) & 1)
			__atomic_fetch_or(&s->ram->dirty[(first + i) / word],
				1ul << ((first + i) % word), __ATOMIC_RELAXED);
	}
}

void kvm_dirty_sync(struct machine *m)
{
	struct kvm_vm *vm = m->accel_vm;

	for (unsigned i = 0; i < vm->slots->len; i++) {
		const struct kvm_slot *s = &g_array_index(vm->slots, struct kvm_slot, i);
		g_autofree unsigned long *bits = NULL;
		struct kvm_dirty_log log = { .slot = i };

		if (!s->size || !s->ram->dirty)
			continue;
		bits = g_new0(unsigned long, s->size / RAM_PAGE / 64 + 1);
		log.dirty_bitmap = bits;
		if (kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0) /* unknown: all */
			memset(bits, 0xff, (s->size / RAM_PAGE / 64 + 1) * sizeof(*bits));
		fold(s, bits);
	}
}
