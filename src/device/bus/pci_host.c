/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_host.c: the root complex of a PC. Spec: PCI Local Bus 3.0, 3.2.2.3.2 (configuration mechanism
 * 1); PCI Firmware 3.2, 4.1 (ECAM); Intel ICH9, 13.7.5 (reset control register).
 */
#include "device/bus/pci_host.h"

#include "base/error.h"
#include "base/own.h"
#include "core/machine.h"

enum {
	PORT_ADDRESS = 0, /* 0xcf8, dword only */
	PORT_RESET = 1,	  /* 0xcf9, byte only */
	PORT_DATA = 4,	  /* 0xcfc..0xcff */
	ADDRESS_ENABLE = 1u << 31,
	RESET_CPU = 1 << 2,
	RESET_WRITABLE = 0x0e,
};

static struct pci_host *host_of(struct device *d)
{
	return container_of(d, struct pci_host, pci.dev);
}

struct pci_host *pci_host_find(struct machine *m)
{
	for (unsigned i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		if (d->cls == &pci_host_class)
			return host_of(d);
	}
	return NULL;
}

struct pci_bus *pci_host_bus(struct pci_host *h)
{
	return &h->bus;
}

/* A type 1 cycle goes down through the bridge whose secondary..subordinate range holds the bus. */
struct pci_device *pci_host_lookup(struct pci_host *h, unsigned number, unsigned devfn)
{
	struct pci_bus *bus = &h->bus;

	while (number != pci_bus_number(bus)) {
		struct pci_bus *next = NULL;

		for (unsigned i = 0; i < array_len(bus->slot) && !next; i++) {
			struct pci_device *b = bus->slot[i];

			if (b && b->secondary &&
				b->config[PCI_SECONDARY_BUS] > pci_bus_number(bus) &&
				b->config[PCI_SECONDARY_BUS] <= number &&
				b->config[PCI_SUBORDINATE_BUS] >= number)
				next = b->secondary;
		}
		if (!next)
			return NULL;
		bus = next;
	}
	return bus->slot[devfn & 0xff];
}

unsigned pci_host_gsi(const struct pci_host *h, unsigned device, unsigned pin)
{
	return (unsigned)h->gsi_base + (device + pin) % PCI_HOST_GSIS;
}

void pci_host_wire(struct pci_host *h, const struct pci_device *p, bool level)
{
	unsigned pin = p->config[PCI_INTERRUPT_PIN] - 1u;
	unsigned gsi, *count;

	/* Each bridge swizzles: PCI-to-PCI 1.2, 9.1. */
	for (; p->bus->bridge; p = p->bus->bridge)
		pin = (pin + ((unsigned)p->devfn >> 3)) % 4;
	gsi = pci_host_gsi(h, (unsigned)p->devfn >> 3, pin);
	g_mutex_lock(&h->wire_lock);
	count = &h->asserted[gsi - h->gsi_base];
	if (level ? (*count)++ == 0 : --*count == 0)
		machine_gsi(h->pci.dev.machine, gsi, level);
	g_mutex_unlock(&h->wire_lock);
}

static uint64_t ecam_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct pci_device *p = pci_host_lookup(opaque, off >> 20 & 0xff, off >> 12 & 0xff);

	return p ? pci_config_read(p, off & 0xfff, size) : UINT64_MAX;
}

static void ecam_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct pci_device *p = pci_host_lookup(opaque, off >> 20 & 0xff, off >> 12 & 0xff);

	if (p)
		pci_config_write(p, off & 0xfff, (uint32_t)val, size);
}

static struct pci_device *addressed(struct pci_host *h)
{
	if (!(h->address & ADDRESS_ENABLE))
		return NULL;
	return pci_host_lookup(h, h->address >> 16 & 0xff, h->address >> 8 & 0xff);
}

static uint64_t ports_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct pci_host *h = opaque;
	struct pci_device *p;

	if (off >= PORT_DATA) {
		p = addressed(h);
		return p ? pci_config_read(p, (h->address & 0xfc) + (unsigned)(off & 3), size) :
			UINT64_MAX;
	}
	if (off == PORT_ADDRESS && size == 4)
		return h->address;
	if (off == PORT_RESET && size == 1)
		return h->reset_control;
	return UINT64_MAX;
}

static void ports_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct pci_host *h = opaque;
	struct pci_device *p;

	if (off >= PORT_DATA) {
		p = addressed(h);
		if (p)
			pci_config_write(p, (h->address & 0xfc) + (unsigned)(off & 3),
				(uint32_t)val, size);
	} else if (off == PORT_ADDRESS && size == 4) {
		h->address = (uint32_t)val;
	} else if (off == PORT_RESET && size == 1) {
		if (val & RESET_CPU && !(h->reset_control & RESET_CPU))
			machine_request(d->machine, MACHINE_REQ_RESET, "guest-reset");
		h->reset_control = val & RESET_WRITABLE;
	}
}

static const struct region_ops ecam_ops = { ecam_read, ecam_write, .min = 1, .max = 4 };
static const struct region_ops ports_ops = { ports_read, ports_write, .min = 1, .max = 4 };

static int host_init(struct device *d, GError **error)
{
	/* Red Hat's generic PCI Express host bridge, which no kernel has quirks for. */
	static const struct pci_id id = { .vendor = 0x1b36, .device = 0x0008,
		.subsys_vendor = 0x1af4, .subsys = 0x1100, .class_code = 0x060000 };
	struct pci_host *h = host_of(d);
	uint64_t ecam_size;

	if (h->ecam_buses < 1 || h->ecam_buses > 256)
		return fail(error, LODGE_ERROR_USAGE, "%s: ecam_buses must be 1 to 256", d->id);
	g_mutex_init(&h->wire_lock);
	h->bus.host = h;
	pci_device_place(&h->pci, &h->bus, 0);
	if (pci_device_init(&h->pci, &id, false, error) < 0)
		return -1;
	pci_device_ready(&h->pci);
	ecam_size = h->ecam_buses << 20;
	if (h->ecam_base) {
		h->ecam = (struct region){ .name = "pci-ecam", .device = d, .ops = &ecam_ops,
			.opaque = h, .size = ecam_size };
		region_place(d->machine->memory, &h->ecam, h->ecam_base, 0);
	}
	if (h->legacy_ports) {
		h->ports = (struct region){ .name = "pci-config", .device = d, .ops = &ports_ops,
			.opaque = h, .size = 8 };
		region_place(d->machine->ports, &h->ports, 0xcf8, 1);
	}
	return 0;
}

static void host_reset(struct device *d)
{
	struct pci_host *h = host_of(d);

	h->address = 0;
	h->reset_control = 0;
	pci_device_reset(&h->pci);
}

static int host_loaded(struct device *d, GError **error)
{
	struct pci_host *h = host_of(d);

	h->reset_control &= RESET_WRITABLE;
	return pci_device_loaded(&h->pci, error);
}

static void host_fini(struct device *d)
{
	struct pci_host *h = host_of(d);

	if (h->ecam.space)
		region_unplace(&h->ecam);
	if (h->ports.space)
		region_unplace(&h->ports);
	pci_device_fini(&h->pci);
	g_mutex_clear(&h->wire_lock);
}

static const struct field config[] = {
	CONFIG(struct pci_host, ecam_base, FIELD_U64, "0xb0000000", "address of ECAM; 0: none"),
	CONFIG(struct pci_host, ecam_buses, FIELD_U64, "256", "buses ECAM covers"),
	CONFIG(struct pci_host, mmio32_base, FIELD_U64, "0xc0000000", "start of the 32-bit window"),
	CONFIG(struct pci_host, mmio32_size, FIELD_U64, "0x3ec00000", "bytes of the 32-bit window"),
	CONFIG(struct pci_host, mmio64_base, FIELD_U64, "0", "start of the 64-bit window"),
	CONFIG(struct pci_host, mmio64_size, FIELD_U64, "0", "bytes of the 64-bit window; 0: none"),
	CONFIG(struct pci_host, io_base, FIELD_U64, "0x1000", "first I/O port of the window"),
	CONFIG(struct pci_host, io_size, FIELD_U64, "0xf000", "I/O ports in the window"),
	CONFIG(struct pci_host, gsi_base, FIELD_U64, "16", "first of 8 interrupts INTx uses"),
	CONFIG(struct pci_host, legacy_ports, FIELD_BOOL, "on", "ports 0xcf8 to 0xcff"),
	{ 0 },
};

static const struct field state[] = {
	PCI_STATE(struct pci_host, pci),
	FIELD(struct pci_host, address, FIELD_U32),
	FIELD(struct pci_host, reset_control, FIELD_U8),
	{ 0 },
};

const struct device_class pci_host_class = {
	.name = "pci-host",
	.help = "PCI Express root complex",
	.size = sizeof(struct pci_host),
	.version = 1,
	.config = config,
	.state = state,
	.init = host_init,
	.reset = host_reset,
	.loaded = host_loaded,
	.fini = host_fini,
};
