/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.c: configuration space of a function and what follows from it: decoding, INTx, capabilities.
 * Spec: PCI Local Bus 3.0, chapter 6; PCI-to-PCI Bridge Architecture 1.2, chapter 3; PCI Express
 * Base 4.0, chapter 7.
 */
#include "device/bus/pci.h"

#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "core/machine.h"
#include "device/bus/pci_host.h"

/* BARs lie below RAM and chipset registers: what a guest misplaces hides nothing. */
enum { PCI_PRIORITY = -1 };

static const struct field msix_entry_state[] = {
	FIELD(struct msix_entry, addr, FIELD_U64),
	FIELD(struct msix_entry, data, FIELD_U32),
	FIELD(struct msix_entry, control, FIELD_U32),
	{ 0 },
};

static const struct field msix_state[] = {
	FIELD_SUB(struct msix, table, msix_entry_state, PCI_MSIX_MAX, struct msix_entry),
	FIELD_ARRAY(struct msix, pending, FIELD_U64, PCI_MSIX_MAX / 64),
	{ 0 },
};

const struct field pci_state[] = {
	FIELD_ARRAY(struct pci_device, config, FIELD_BYTES, PCI_CFG_SIZE),
	FIELD(struct pci_device, intx_wanted, FIELD_BOOL),
	FIELD_SUB(struct pci_device, msix, msix_state, 1, struct msix),
	{ 0 },
};

void pci_device_place(struct pci_device *p, struct pci_bus *bus, int devfn)
{
	p->bus = bus;
	p->devfn = bus ? devfn : -1;
	if (bus && bus->bridge)
		p->dev.parent = &bus->bridge->dev;
}

static int take_slot(struct pci_device *p, GError **error)
{
	struct pci_bus *bus = p->bus;

	if (!bus) {
		struct pci_host *h = pci_host_find(p->dev.machine);

		if (!h)
			return fail(error, LODGE_ERROR_USAGE, "%s: the machine has no PCI bus",
				p->dev.id);
		bus = p->bus = pci_host_bus(h);
		p->devfn = -1;
	}
	if (p->devfn < 0) {
		int last = bus->single ? 0 : 31;

		/* 00.0 of the root bus is the host bridge's own. */
		for (int dev = 0; dev <= last && p->devfn < 0; dev++)
			if (!bus->slot[dev << 3])
				p->devfn = dev << 3;
		if (p->devfn < 0)
			return fail(error, LODGE_ERROR_USAGE, "%s: no free slot on its PCI bus",
				p->dev.id);
	}
	if (p->devfn > 255 || bus->slot[p->devfn] || (bus->single && p->devfn > 7))
		return fail(error, LODGE_ERROR_USAGE, "%s: PCI slot %02x.%x is taken or absent",
			p->dev.id, (unsigned)p->devfn >> 3, (unsigned)p->devfn & 7);
	device_lock(&bus->host->pci.dev);
	bus->slot[p->devfn] = p;
	p->attached = true;
	device_unlock(&bus->host->pci.dev);
	return 0;
}

/* Header registers software may write. PCI 3.0, 6.1 and 6.2; bridges: PCI-to-PCI 1.2, 3.2. */
static void header_masks(struct pci_device *p, bool bridge)
{
	pci_put16(p->wmask + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	pci_put16(p->w1c + PCI_STATUS, PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |
		PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT |
		PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY);
	p->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	p->wmask[PCI_INTERRUPT_LINE] = 0xff;
	if (!bridge)
		return;
	p->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	memset(p->wmask + PCI_PRIMARY_BUS, 0xff, 3);
	p->wmask[PCI_IO_BASE] = p->wmask[PCI_IO_LIMIT] = 0xf0;
	pci_put16(p->wmask + PCI_MEMORY_BASE, 0xfff0);
	pci_put16(p->wmask + PCI_MEMORY_LIMIT, 0xfff0);
	pci_put16(p->config + PCI_PREF_MEMORY_BASE, PCI_PREF_RANGE_TYPE_64);
	pci_put16(p->config + PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64);
	pci_put16(p->wmask + PCI_PREF_MEMORY_BASE, 0xfff0);
	pci_put16(p->wmask + PCI_PREF_MEMORY_LIMIT, 0xfff0);
	memset(p->wmask + PCI_PREF_BASE_UPPER32, 0xff, 8);
	pci_put16(p->wmask + PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR |
		PCI_BRIDGE_CTL_ISA | PCI_BRIDGE_CTL_VGA | PCI_BRIDGE_CTL_BUS_RESET);
}

int pci_device_init(struct pci_device *p, const struct pci_id *id, bool bridge, GError **error)
{
	if (take_slot(p, error) < 0)
		return -1;
	pci_put16(p->config + PCI_VENDOR_ID, id->vendor);
	pci_put16(p->config + PCI_DEVICE_ID, id->device);
	p->config[PCI_REVISION_ID] = id->revision;
	p->config[PCI_CLASS_PROG] = (uint8_t)id->class_code;
	pci_put16(p->config + PCI_CLASS_DEVICE, (uint16_t)(id->class_code >> 8));
	if (!bridge) {
		pci_put16(p->config + PCI_SUBSYSTEM_VENDOR_ID, id->subsys_vendor);
		pci_put16(p->config + PCI_SUBSYSTEM_ID, id->subsys);
	}
	header_masks(p, bridge);
	p->cap_next = PCI_STD_HEADER_SIZEOF;
	return 0;
}

void pci_device_ready(struct pci_device *p)
{
	memcpy(p->pristine, p->config, sizeof(p->pristine));
}

void pci_device_reset(struct pci_device *p)
{
	p->intx_wanted = false;
	memcpy(p->config, p->pristine, sizeof(p->config));
	msix_reset(p);
	pci_intx_set(p, false);
	pci_update_mappings(p);
}

int pci_device_loaded(struct pci_device *p, GError **error)
{
	/* Bits that neither software nor reset decides (link status) are the owner's to redo. */
	for (unsigned i = 0; i < PCI_CFG_SIZE; i++) {
		uint8_t m = p->wmask[i] | p->w1c[i];

		p->config[i] = (uint8_t)((p->config[i] & m) | (p->pristine[i] & ~m));
	}
	pci_update_mappings(p);
	pci_intx_set(p, p->intx_wanted);
	msix_loaded(p);
	return 0;
}

void pci_device_detach(struct pci_device *p)
{
	if (!p->attached)
		return;
	device_lock(&p->bus->host->pci.dev);
	p->bus->slot[p->devfn] = NULL;
	p->attached = false;
	device_unlock(&p->bus->host->pci.dev);
	device_lock(&p->dev);
	pci_intx_set(p, false);
	pci_put16(p->config + PCI_COMMAND, 0);
	pci_update_mappings(p);
	device_unlock(&p->dev);
}

void pci_device_fini(struct pci_device *p)
{
	pci_device_detach(p);
	msix_fini(p);
}

unsigned pci_bus_number(const struct pci_bus *bus)
{
	return bus->bridge ? bus->bridge->config[PCI_SECONDARY_BUS] : 0;
}

struct pci_device *pci_device_of(struct device *d)
{
	/* Every function's state table starts with PCI_STATE. */
	for (const struct field *f = d->cls->state; f && f->name; f++)
		if (f->sub == pci_state)
			return (struct pci_device *)((char *)d + f->offset);
	return NULL;
}

/* Base address registers. PCI 3.0, 6.2.5. */

static unsigned bar_offset(const struct pci_device *p, unsigned bar)
{
	bool bridge = (p->config[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) == PCI_HEADER_TYPE_BRIDGE;

	if (bar == PCI_ROM_BAR)
		return bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
	return PCI_BASE_ADDRESS_0 + 4 * bar;
}

void pci_bar_init(struct pci_device *p, unsigned bar, uint64_t size, unsigned flags)
{
	unsigned off = bar_offset(p, bar);
	uint32_t type = 0, low = ~(uint32_t)0x0f;

	p->bar[bar] = (struct pci_bar){ .size = size, .flags = flags };
	if (bar == PCI_ROM_BAR) {
		low = PCI_ROM_ADDRESS_MASK & (uint32_t)-size;
		pci_put32(p->wmask + off, low | PCI_ROM_ADDRESS_ENABLE);
		return;
	}
	if (flags & PCI_BAR_IO) {
		type = PCI_BASE_ADDRESS_SPACE_IO;
		low = ~(uint32_t)0x03;
	}
	if (flags & PCI_BAR_MEM64)
		type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (flags & PCI_BAR_PREFETCH)
		type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	pci_put32(p->config + off, type);
	pci_put32(p->wmask + off, low & (uint32_t)-size);
	if (flags & PCI_BAR_MEM64)
		pci_put32(p->wmask + off + 4, (uint32_t)(-size >> 32));
}

void pci_bar_add(struct pci_device *p, unsigned bar, uint32_t offset, struct region *r)
{
	struct pci_bar *b = &p->bar[bar];

	g_assert(b->pieces < PCI_PIECES); /* a device's own construction, not a guest's */
	b->piece[b->pieces] = r;
	b->offset[b->pieces++] = offset;
}

/* Does every bridge above forward [addr, addr+size)? PCI-to-PCI 1.2, chapter 4. */
static bool bridges_forward(const struct pci_bus *bus, uint64_t addr, uint64_t size, bool io)
{
	for (const struct pci_device *b = bus->bridge; b; b = b->bus->bridge) {
		uint16_t cmd = pci_get16(b, PCI_COMMAND);
		uint64_t last = addr + size - 1, lo, hi;

		if (!(cmd & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
			return false;
		if (io) {
			lo = (uint64_t)(b->config[PCI_IO_BASE] & 0xf0) << 8;
			hi = (uint64_t)(b->config[PCI_IO_LIMIT] & 0xf0) << 8 | 0xfff;
			if (addr < lo || last > hi)
				return false;
			continue;
		}
		lo = (uint64_t)(pci_get16(b, PCI_MEMORY_BASE) & 0xfff0) << 16;
		hi = (uint64_t)(pci_get16(b, PCI_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff;
		if (addr >= lo && last <= hi)
			continue;
		lo = (uint64_t)(pci_get16(b, PCI_PREF_MEMORY_BASE) & 0xfff0) << 16 |
			(uint64_t)pci_get32(b, PCI_PREF_BASE_UPPER32) << 32;
		hi = (uint64_t)(pci_get16(b, PCI_PREF_MEMORY_LIMIT) & 0xfff0) << 16 | 0xfffff |
			(uint64_t)pci_get32(b, PCI_PREF_LIMIT_UPPER32) << 32;
		if (addr < lo || last > hi)
			return false;
	}
	return true;
}

static bool bar_decoded(const struct pci_device *p, unsigned bar, uint64_t *ret_addr)
{
	const struct pci_bar *b = &p->bar[bar];
	unsigned off = bar_offset(p, bar);
	bool io = b->flags & PCI_BAR_IO;
	uint64_t addr = pci_get32(p, off), last;

	if (!b->size || !p->attached ||
	    !(p->config[PCI_COMMAND] & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) ||
	    (bar == PCI_ROM_BAR && !(addr & PCI_ROM_ADDRESS_ENABLE)))
		return false;
	if (b->flags & PCI_BAR_MEM64)
		addr |= (uint64_t)pci_get32(p, off + 4) << 32;
	addr &= -b->size;
	last = addr + b->size - 1;
	/* Zero is "unassigned"; all ones is a probe for the size. */
	if (!addr || last < addr || last == UINT64_MAX || (io && last > 0xffff) ||
	    (!(b->flags & PCI_BAR_MEM64) && last >= UINT32_MAX))
		return false;
	*ret_addr = addr;
	return bridges_forward(p->bus, addr, b->size, io);
}

static void bar_place(struct pci_device *p, unsigned bar, bool mapped, uint64_t addr)
{
	struct pci_bar *b = &p->bar[bar];
	struct machine *m = p->dev.machine;
	struct space *s = b->flags & PCI_BAR_IO ? m->ports : m->memory;

	if (b->mapped == mapped && (!mapped || b->addr == addr))
		return;
	for (unsigned i = 0; i < b->pieces; i++) {
		if (b->mapped && mapped)
			region_move(b->piece[i], addr + b->offset[i]);
		else if (mapped)
			region_place(s, b->piece[i], addr + b->offset[i], PCI_PRIORITY);
		else
			region_unplace(b->piece[i]);
	}
	b->mapped = mapped;
	b->addr = addr;
	if (p->bar_moved)
		p->bar_moved(p, bar);
}

void pci_update_mappings(struct pci_device *p)
{
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		uint64_t addr = 0;

		if (p->bar[bar].size) {
			bool on = bar_decoded(p, bar, &addr);

			bar_place(p, bar, on, on ? addr : 0);
		}
	}
	if (!p->secondary)
		return;
	for (unsigned i = 0; i < array_len(p->secondary->slot); i++) {
		struct pci_device *child = p->secondary->slot[i];

		if (child) {
			device_lock(&child->dev);
			pci_update_mappings(child);
			device_unlock(&child->dev);
		}
	}
}

uint64_t pci_bar_address(const struct pci_device *p, unsigned bar)
{
	return p->bar[bar].mapped ? p->bar[bar].addr : UINT64_MAX;
}

/* Capabilities. PCI 3.0, 6.7. There are no extended ones: dword 0x100 is zero. */

unsigned pci_cap_add(struct pci_device *p, uint8_t id, unsigned size)
{
	unsigned off = p->cap_next;

	g_assert(off + size <= PCI_CFG_SPACE_SIZE);
	p->config[off] = id;
	p->config[p->last_cap ? p->last_cap + 1 : PCI_CAPABILITY_LIST] = (uint8_t)off;
	p->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	p->last_cap = off;
	p->cap_next = (off + size + 3) & ~3u;
	return off;
}

unsigned pci_express_cap_add(struct pci_device *p, unsigned type)
{
	unsigned cap = pci_cap_add(p, PCI_CAP_ID_EXP, PCI_CAP_EXP_ENDPOINT_SIZEOF_V2);

	pci_put16(p->config + cap + PCI_EXP_FLAGS, (uint16_t)(2 | type << 4));
	pci_put32(p->config + cap + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	pci_put16(p->wmask + cap + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
		PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN |
		PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ);
	pci_put16(p->config + cap + PCI_EXP_DEVCTL,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B);
	/* Root complex integrated endpoints have no link. */
	if (type == PCI_EXP_TYPE_RC_END)
		return cap;
	pci_put32(p->config + cap + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
	pci_put16(
		p->config + cap + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
	pci_put16(p->wmask + cap + PCI_EXP_LNKCTL,
		PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	return cap;
}

/* Configuration accesses. */

uint32_t pci_config_read(struct pci_device *p, unsigned off, unsigned size)
{
	uint32_t val = 0;

	if (off + size > PCI_CFG_SIZE)
		return UINT32_MAX;
	device_lock(&p->dev);
	if (p->config_read)
		p->config_read(p, off, size);
	for (unsigned i = 0; i < size; i++)
		val |= (uint32_t)p->config[off + i] << 8 * i;
	device_unlock(&p->dev);
	return val;
}

static bool overlaps(unsigned off, unsigned size, unsigned start, unsigned len)
{
	return off < start + len && start < off + size;
}

void pci_config_write(struct pci_device *p, unsigned off, uint32_t val, unsigned size)
{
	if (off + size > PCI_CFG_SIZE)
		return;
	device_lock(&p->dev);
	for (unsigned i = 0; i < size; i++) {
		uint8_t *c = p->config + off + i, b = (uint8_t)(val >> 8 * i);
		uint8_t w = p->wmask[off + i];

		*c = (uint8_t)((*c & ~w) | (b & w));
		*c &= (uint8_t)~(b & p->w1c[off + i]);
	}
	/* Command, and everything from the BARs (or a bridge's windows) to the ROM BAR. */
	if (overlaps(off, size, PCI_COMMAND, 2) || overlaps(off, size, PCI_BASE_ADDRESS_0, 0x2c)) {
		pci_update_mappings(p);
		pci_intx_set(p, p->intx_wanted);
	}
	msi_config_written(p, off, size);
	msix_config_written(p, off, size);
	if (p->config_written)
		p->config_written(p, off, size);
	device_unlock(&p->dev);
}

/* INTx. PCI 3.0, 2.2.6 and 6.2.2 to 6.2.4. */

void pci_intx_enable(struct pci_device *p)
{
	p->config[PCI_INTERRUPT_PIN] = 1;
}

void pci_intx_set(struct pci_device *p, bool level)
{
	bool drive = level && p->attached && p->config[PCI_INTERRUPT_PIN] &&
		!(pci_get16(p, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);

	p->intx_wanted = level;
	if (level)
		p->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		p->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (drive != p->intx_driven) {
		p->intx_driven = drive;
		pci_host_wire(p->bus->host, p, drive);
	}
}
