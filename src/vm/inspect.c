/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect.c: a machine's parts as plain data, see inspect.h. */
#include "vm/inspect.h"

#include <linux/pci.h>
#include <string.h>

#include "base/own.h"
#include "char/char.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/vcpu.h"
#include "device/bus/pci.h"
#include "device/bus/pci_host.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_blk.h"
#include "image/image.h"
#include "net/net.h"
#include "vm/vm.h"

static void disk_stats(struct device *d, struct vm_disk_stats *out)
{
	struct blk_stats s;

	virtio_blk_stats(d, &s);
	G_STATIC_ASSERT(sizeof(out->ops) == sizeof(s.ops));
	memcpy(out->ops, s.ops, sizeof(s.ops));
	memcpy(out->bytes, s.bytes, sizeof(s.bytes));
	memcpy(out->failed, s.failed, sizeof(s.failed));
	memcpy(out->ns, s.ns, sizeof(s.ns));
	out->last_ns = s.last_ns;
}

bool vm_disk(struct vm *vm, unsigned index, struct vm_disk *out)
{
	for (guint i = 0; i < vm->backends->len; i++) {
		const struct vm_backend *b = g_ptr_array_index(vm->backends, i);

		if (!b->image || index--)
			continue;
		*out = (struct vm_disk){
			.id = b->id,
			.device_id = b->device_id,
			.path = image_path(b->image),
			.format = image_format_name(b->image),
			.size = image_size(b->image),
			.allocated = image_allocated(b->image),
			.readonly = image_readonly(b->image),
			.direct = image_direct(b->image),
		};
		if (b->device)
			disk_stats(b->device, &out->stats);
		return true;
	}
	return false;
}

bool vm_char(struct vm *vm, unsigned index, struct vm_char *out)
{
	for (guint i = 0; i < vm->backends->len; i++) {
		const struct vm_backend *b = g_ptr_array_index(vm->backends, i);

		if (!b->chr || index--)
			continue;
		*out = (struct vm_char){ .id = b->id, .where = char_describe(b->chr) };
		return true;
	}
	return false;
}

bool vm_net(struct vm *vm, unsigned index, struct vm_net *out)
{
	for (guint i = 0; i < vm->backends->len; i++) {
		const struct vm_backend *b = g_ptr_array_index(vm->backends, i);
		struct net_stats s;

		if (!b->net || index--)
			continue;
		s = net_stats(b->net);
		*out = (struct vm_net){ b->id, net_describe(b->net), b->device_id, s.in_frames,
			s.in_bytes, s.out_frames, s.out_bytes };
		return true;
	}
	return false;
}

/* ---- PCI ---- */

/* PCI Code and ID Assignment, 1; the sub-class 0xff stands for any. */
static const struct {
	uint16_t code;
	const char *name;
} class_names[] = {
	{ 0x0100, "SCSI controller" },
	{ 0x0101, "IDE controller" },
	{ 0x0106, "SATA controller" },
	{ 0x0108, "NVMe controller" },
	{ 0x01ff, "Storage controller" },
	{ 0x0200, "Ethernet controller" },
	{ 0x02ff, "Network controller" },
	{ 0x0300, "VGA controller" },
	{ 0x03ff, "Display controller" },
	{ 0x04ff, "Multimedia controller" },
	{ 0x0500, "RAM controller" },
	{ 0x05ff, "Memory controller" },
	{ 0x0600, "Host bridge" },
	{ 0x0601, "ISA bridge" },
	{ 0x0604, "PCI bridge" },
	{ 0x06ff, "Bridge" },
	{ 0x0700, "Serial port" },
	{ 0x0780, "Communication controller" },
	{ 0x07ff, "Communication controller" },
	{ 0x08ff, "System peripheral" },
	{ 0x09ff, "Input device" },
	{ 0x0c03, "USB controller" },
	{ 0x0c05, "SMBus" },
	{ 0x00ff, "Unclassified device" },
};

static const char *class_name(uint16_t code)
{
	for (unsigned i = 0; i < array_len(class_names); i++) {
		uint16_t want = class_names[i].code;

		if (want == code || ((want & 0xff) == 0xff && want >> 8 == code >> 8))
			return class_names[i].name;
	}
	return "Unknown device";
}

static void add_regions(struct vm_pci *f, const struct pci_device *p)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &p->bar[i];
		uint64_t at;

		if (!b->size)
			continue;
		at = pci_bar_address(p, i);
		f->regions[f->region_count++] = (struct vm_pci_region){
			.bar = i,
			.io = b->flags & PCI_BAR_IO,
			.prefetch = b->flags & PCI_BAR_PREFETCH,
			.mem64 = b->flags & PCI_BAR_MEM64,
			.size = b->size,
			.address = at == UINT64_MAX ? -1 : (int64_t)at,
		};
	}
}

/* PCI-to-PCI Bridge Architecture 1.2, 3.2.5. */
static void add_bridge(struct vm_pci *f, const struct pci_device *p)
{
	const uint8_t *c = p->config;

	f->bridge = true;
	f->secondary = c[PCI_SECONDARY_BUS];
	f->subordinate = c[PCI_SUBORDINATE_BUS];
	f->io.base = (c[PCI_IO_BASE] & 0xf0) << 8 | (uint64_t)pci_get16(p, PCI_IO_BASE_UPPER16)
							    << 16;
	f->io.limit = (c[PCI_IO_LIMIT] & 0xf0) << 8 | 0xfff |
		      (uint64_t)pci_get16(p, PCI_IO_LIMIT_UPPER16) << 16;
	f->memory.base = (uint64_t)(pci_get16(p, PCI_MEMORY_BASE) & 0xfff0) << 16;
	f->memory.limit = (uint64_t)(pci_get16(p, PCI_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
	f->prefetch.base = (uint64_t)(pci_get16(p, PCI_PREF_MEMORY_BASE) & 0xfff0) << 16 |
			   (uint64_t)pci_get32(p, PCI_PREF_BASE_UPPER32) << 32;
	f->prefetch.limit = (uint64_t)(pci_get16(p, PCI_PREF_MEMORY_LIMIT) & 0xfff0) << 16 |
			    0xfffff | (uint64_t)pci_get32(p, PCI_PREF_LIMIT_UPPER32) << 32;
}

static void add_bus(GArray *list, struct pci_bus *bus, int parent)
{
	for (unsigned devfn = 0; devfn < array_len(bus->slot); devfn++) {
		struct pci_device *p = bus->slot[devfn];

		if (!p)
			continue;
		device_lock(&p->dev);
		struct vm_pci f = {
			.parent = parent,
			.id = p->dev.id,
			.bus = pci_bus_number(bus),
			.slot = PCI_SLOT(devfn),
			.function = PCI_FUNC(devfn),
			.vendor = pci_get16(p, PCI_VENDOR_ID),
			.device = pci_get16(p, PCI_DEVICE_ID),
			.class_code = pci_get16(p, PCI_CLASS_DEVICE),
			.pin = p->config[PCI_INTERRUPT_PIN],
			.irq = p->config[PCI_INTERRUPT_LINE],
		};

		f.class_name = class_name(f.class_code);
		if ((p->config[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_BRIDGE) {
			add_bridge(&f, p);
		} else {
			f.subsys_vendor = pci_get16(p, PCI_SUBSYSTEM_VENDOR_ID);
			f.subsys = pci_get16(p, PCI_SUBSYSTEM_ID);
		}
		add_regions(&f, p);
		device_unlock(&p->dev);
		g_array_append_val(list, f);
		if (p->secondary)
			add_bus(list, p->secondary, list->len - 1);
	}
}

GArray *vm_pci_list(struct vm *vm)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct vm_pci));
	struct pci_host *h = pci_host_find(vm->machine);

	if (h)
		add_bus(list, pci_host_bus(h), -1);
	return list;
}

/* ---- vCPUs, balloon, power ---- */

int vm_vcpu_thread(struct vm *vm, unsigned index)
{
	return vm->machine->vcpus[index]->tid;
}

static struct device *balloon(struct vm *vm)
{
	for (guint i = 0; i < vm->machine->devices->len; i++) {
		struct device *d = g_ptr_array_index(vm->machine->devices, i);

		if (virtio_balloon_is(d))
			return d;
	}
	return NULL;
}

bool vm_has_balloon(struct vm *vm)
{
	return balloon(vm);
}

void vm_balloon_set(struct vm *vm, uint64_t bytes)
{
	virtio_balloon_set_target(balloon(vm), bytes);
}

uint64_t vm_balloon_actual(struct vm *vm)
{
	return virtio_balloon_actual(balloon(vm));
}

void vm_balloon_listen(struct vm *vm, void (*changed)(void *opaque, uint64_t actual), void *opaque)
{
	struct device *d = balloon(vm);

	if (!d)
		return;
	device_lock(d);
	virtio_balloon_listen(d, changed, opaque);
	device_unlock(d);
}

bool vm_powerdown(struct vm *vm)
{
	struct machine *m = vm->machine;

	if (!m->powerdown)
		return false;
	m->powerdown(m);
	machine_event(m, "POWERDOWN", NULL);
	return true;
}
