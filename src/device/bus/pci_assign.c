/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_assign.c: what firmware does before an operating system starts: bus numbers, bridge windows,
 * BARs, interrupt lines. Deterministic: the same devices get the same addresses, so a restored or
 * moved machine looks the same.
 */

#include "base/log.h"
#include "base/own.h"
#include "device/bus/pci_host.h"

enum kind { KIND_IO, KIND_MEM, KIND_PREF, KINDS };

enum {
	MIB = 1 << 20,
	MEM_GRAIN = MIB,	 /* granularity of bridge windows: PCI-to-PCI 1.2, 3.2.5 */
	IO_GRAIN = 4096,
	HOTPLUG_MEM = 2 * MIB,	 /* an empty slot's room */
	LARGE_BAR = 16 * MIB,	 /* prefetchable ones above go to the 64-bit window */
};

struct item {
	struct pci_device *p;
	int bar; /* -1: the window of bridge p */
	uint64_t size, align;
};

struct window {
	uint64_t next, end; /* end is exclusive */
};

static enum kind bar_kind(const struct pci_bar *b)
{
	if (b->flags & PCI_BAR_IO)
		return KIND_IO;
	return b->flags & PCI_BAR_PREFETCH ? KIND_PREF : KIND_MEM;
}

static uint64_t align_up(uint64_t v, uint64_t a)
{
	return (v + a - 1) & ~(a - 1);
}

static uint64_t bridge_need(struct pci_bus *bus, enum kind kind, uint64_t *ret_align);

/* Largest first, so that aligned sizes pack without holes; then by slot: stable. */
static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->align != y->align)
		return x->align > y->align ? -1 : 1;
	if (x->p->devfn != y->p->devfn)
		return x->p->devfn - y->p->devfn;
	return x->bar - y->bar;
}

static GArray *bus_items(struct pci_bus *bus, enum kind kind)
{
	GArray *items = g_array_new(FALSE, FALSE, sizeof(struct item));

	for (unsigned i = 0; i < array_len(bus->slot); i++) {
		struct pci_device *p = bus->slot[i];

		if (!p)
			continue;
		for (int bar = 0; bar < PCI_ROM_BAR; bar++) {
			const struct pci_bar *b = &p->bar[bar];
			struct item it = { p, bar, b->size, MAX(b->size, 16) };

			if (b->size && bar_kind(b) == kind)
				g_array_append_val(items, it);
		}
		if (p->secondary) {
			struct item it = { .p = p, .bar = -1 };

			it.size = bridge_need(p->secondary, kind, &it.align);
			if (it.size)
				g_array_append_val(items, it);
		}
	}
	g_array_sort(items, item_order);
	return items;
}

static uint64_t bridge_need(struct pci_bus *bus, enum kind kind, uint64_t *ret_align)
{
	g_autoptr(GArray) items = bus_items(bus, kind);
	uint64_t grain = kind == KIND_IO ? IO_GRAIN : MEM_GRAIN, sum = 0, align = grain;

	for (unsigned i = 0; i < items->len; i++) {
		const struct item *it = &g_array_index(items, struct item, i);

		sum = align_up(sum, it->align) + it->size;
		align = MAX(align, it->align);
	}
	if (kind != KIND_IO)
		sum = MAX(sum, (uint64_t)HOTPLUG_MEM);
	*ret_align = align;
	return align_up(sum, grain);
}

static void bar_write(struct pci_device *p, int bar, uint64_t addr)
{
	unsigned off = PCI_BASE_ADDRESS_0 + 4 * (unsigned)bar;

	pci_config_write(p, off, (uint32_t)addr, 4);
	if (p->bar[bar].flags & PCI_BAR_MEM64)
		pci_config_write(p, off + 4, (uint32_t)(addr >> 32), 4);
}

/* size 0 closes the window: limit below base. */
static void window_write(struct pci_device *p, enum kind kind, uint64_t addr, uint64_t size)
{
	uint64_t last = size ? addr + size - 1 : 0;

	if (!size)
		addr = kind == KIND_IO ? 0xf000 : 0xfff00000;
	switch (kind) {
	case KIND_IO:
		pci_config_write(p, PCI_IO_BASE, addr >> 8 & 0xf0, 1);
		pci_config_write(p, PCI_IO_LIMIT, last >> 8 & 0xf0, 1);
		break;
	case KIND_MEM:
		pci_config_write(p, PCI_MEMORY_BASE, addr >> 16 & 0xfff0, 2);
		pci_config_write(p, PCI_MEMORY_LIMIT, last >> 16 & 0xfff0, 2);
		break;
	default:
		pci_config_write(p, PCI_PREF_MEMORY_BASE, addr >> 16 & 0xfff0, 2);
		pci_config_write(p, PCI_PREF_MEMORY_LIMIT, last >> 16 & 0xfff0, 2);
		pci_config_write(p, PCI_PREF_BASE_UPPER32, (uint32_t)(addr >> 32), 4);
		pci_config_write(p, PCI_PREF_LIMIT_UPPER32, (uint32_t)(last >> 32), 4);
	}
}

static void assign_kind(
	struct pci_bus *bus, enum kind kind, struct window *low, struct window *high)
{
	g_autoptr(GArray) items = bus_items(bus, kind);

	for (unsigned i = 0; i < items->len; i++) {
		const struct item *it = &g_array_index(items, struct item, i);
		bool wide = kind == KIND_PREF && high &&
			(it->bar < 0 || it->p->bar[it->bar].flags & PCI_BAR_MEM64);
		struct window *w = wide && it->size >= LARGE_BAR ? high : low;
		uint64_t addr = align_up(w->next, it->align);

		if (w == low && wide && (addr + it->size > w->end)) {
			w = high;
			addr = align_up(w->next, it->align);
		}
		if (addr + it->size > w->end || addr + it->size < addr) {
			log_warn("%s: no room for %" G_GUINT64_FORMAT " bytes of PCI %s",
				it->p->dev.id, it->size, kind == KIND_IO ? "I/O" : "memory");
			if (it->bar < 0)
				window_write(it->p, kind, 0, 0);
			continue;
		}
		w->next = addr + it->size;
		if (it->bar >= 0) {
			bar_write(it->p, it->bar, addr);
		} else {
			struct window inner = { addr, addr + it->size };

			window_write(it->p, kind, addr, it->size);
			assign_kind(it->p->secondary, kind, &inner, NULL);
		}
	}
}

/* Depth first, as PCI Firmware describes; returns the last number used. */
static unsigned number_buses(struct pci_bus *bus, unsigned number)
{
	unsigned last = number;

	for (unsigned i = 0; i < array_len(bus->slot); i++) {
		struct pci_device *p = bus->slot[i];

		if (!p || !p->secondary || last == 255)
			continue;
		pci_config_write(p, PCI_PRIMARY_BUS, number, 1);
		pci_config_write(p, PCI_SECONDARY_BUS, last + 1, 1);
		pci_config_write(p, PCI_SUBORDINATE_BUS, 255, 1);
		last = number_buses(p->secondary, last + 1);
		pci_config_write(p, PCI_SUBORDINATE_BUS, last, 1);
		window_write(p, KIND_IO, 0, 0);
	}
	return last;
}

/* Interrupt lines for those who do not read _PRT, and decoding on behind bridges. */
static void finish(struct pci_host *h, struct pci_bus *bus)
{
	for (unsigned i = 0; i < array_len(bus->slot); i++) {
		struct pci_device *p = bus->slot[i];
		unsigned pin, dev = i >> 3;

		if (!p)
			continue;
		pin = p->config[PCI_INTERRUPT_PIN];
		for (const struct pci_device *b = bus->bridge; b && pin; b = b->bus->bridge) {
			pin = (pin - 1 + dev) % 4 + 1;
			dev = (unsigned)b->devfn >> 3;
		}
		if (pin)
			pci_config_write(p, PCI_INTERRUPT_LINE, pci_host_gsi(h, dev, pin - 1), 1);
		if (p->secondary) {
			pci_config_write(p, PCI_COMMAND,
				PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
			finish(h, p->secondary);
		}
	}
}

void pci_assign_resources(struct pci_host *h)
{
	struct window io = { h->io_base, h->io_base + h->io_size };
	struct window mem = { h->mmio32_base, h->mmio32_base + h->mmio32_size };
	struct window high = { h->mmio64_base, h->mmio64_base + h->mmio64_size };

	device_lock(&h->pci.dev);
	number_buses(&h->bus, 0);
	assign_kind(&h->bus, KIND_IO, &io, NULL);
	assign_kind(&h->bus, KIND_MEM, &mem, NULL);
	assign_kind(&h->bus, KIND_PREF, &mem, h->mmio64_size ? &high : NULL);
	finish(h, &h->bus);
	device_unlock(&h->pci.dev);
}
