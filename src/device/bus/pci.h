/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.h: functions on a PCI bus: configuration space, base address registers, INTx and the
 * message-signalled interrupts. Spec: PCI Local Bus 3.0, PCI Express Base 4.0.
 *
 * A PCI device embeds struct pci_device as its first member, puts PCI_STATE() into its state table
 * and calls pci_device_init/reset/loaded/fini from its own calls. Locks are taken from the root
 * down: host bridge, bridge, function. Register values come from <linux/pci_regs.h>.
 */
#ifndef DEVICE_BUS_PCI_H
#define DEVICE_BUS_PCI_H

#include <linux/pci_regs.h>

#include "core/device.h"
#include "core/region.h"

struct pci_bus;
struct pci_host;
struct pci_device;

enum {
	PCI_CFG_SIZE = 4096,
	PCI_BARS = 7,	 /* 0..5, and the expansion ROM */
	PCI_ROM_BAR = 6,
	PCI_PIECES = 8,	 /* regions one BAR may hold */
	PCI_MSIX_MAX = 128,
};

enum pci_bar_flags {
	PCI_BAR_IO = 1 << 0,
	PCI_BAR_MEM64 = 1 << 1,
	PCI_BAR_PREFETCH = 1 << 2,
};

struct pci_bar {
	uint64_t size; /* bytes, a power of two; 0: absent */
	unsigned flags;
	unsigned pieces;
	struct region *piece[PCI_PIECES]; /* borrowed from the device */
	uint32_t offset[PCI_PIECES];
	uint64_t addr; /* where the pieces stand now */
	bool mapped;
};

struct pci_id {
	uint16_t vendor, device, subsys_vendor, subsys;
	uint32_t class_code; /* 24 bits: base, sub, interface */
	uint8_t revision;
};

/* One table entry as the guest sees it. PCI 3.0, 6.8.2.6. */
struct msix_entry {
	uint64_t addr;
	uint32_t data, control;
};

struct msix {
	unsigned count; /* vectors; 0: no MSI-X */
	unsigned cap;	/* config offset */
	struct msix_entry table[PCI_MSIX_MAX];
	uint64_t pending[PCI_MSIX_MAX / 64];
	struct region table_region, pba_region;
	int *fd;    /* per vector: eventfd handed out by msix_vector_fd, or -1; owned */
	bool *bound; /* per vector: the controller listens to fd */
};

struct pci_device {
	struct device dev;
	struct pci_bus *bus; /* borrowed; NULL before init: the machine's root bus is taken */
	int devfn;	     /* -1 before init: next free slot */
	bool attached;
	uint8_t config[PCI_CFG_SIZE];
	uint8_t wmask[PCI_CFG_SIZE]; /* bits software may change */
	uint8_t w1c[PCI_CFG_SIZE];   /* bits software clears by writing one */
	uint8_t pristine[PCI_CFG_SIZE]; /* config after reset */
	unsigned cap_next, last_cap;
	struct pci_bar bar[PCI_BARS];
	bool intx_wanted; /* the function asks for its INTx */
	bool intx_driven; /* and the wire hears it */
	unsigned msi_cap; /* config offset; 0: no MSI */
	struct msix msix;
	struct pci_bus *secondary; /* a bridge's; borrowed from the bridge device, else NULL */
	/* Optional hooks, called with the device's lock held. */
	void (*config_read)(struct pci_device *p, unsigned off, unsigned len); /* before a read */
	void (*config_written)(struct pci_device *p, unsigned off, unsigned len); /* after */
	void (*bar_moved)(struct pci_device *p, unsigned bar); /* mapped, unmapped or moved */
};

struct pci_bus {
	struct pci_host *host;	   /* borrowed */
	struct pci_device *bridge; /* borrowed; NULL: the root bus */
	struct pci_device *slot[256]; /* by devfn; borrowed */
	bool single;		   /* below a root port: only device 0 exists */
};

extern const struct field pci_state[];
#define PCI_STATE(type, member)                                                                    \
	{ .name = "pci", .offset = offsetof(type, member), .count = 1,                             \
	  .stride = sizeof(struct pci_device), .kind = FIELD_STRUCT, .sub = pci_state }

/* Before device_add: which bus (NULL: the root bus) and where on it (devfn, or -1: next free). */
void pci_device_place(struct pci_device *p, struct pci_bus *bus, int devfn);
/* Takes the slot and builds a type 0 header (type 1 with `bridge`). Fails when the slot is taken,
 * or the bus is full or absent. */
int pci_device_init(struct pci_device *p, const struct pci_id *id, bool bridge, GError **error);
void pci_device_reset(struct pci_device *p);
int pci_device_loaded(struct pci_device *p, GError **error);
void pci_device_fini(struct pci_device *p);
/* Out of its slot: no guest access starts any more. Main loop thread. */
void pci_device_detach(struct pci_device *p);
/* As the guest numbers it. */
unsigned pci_bus_number(const struct pci_bus *bus);
/* NULL if d is no PCI device. */
struct pci_device *pci_device_of(struct device *d);

/* While in init: after it, config is remembered as the reset value. */
void pci_bar_init(struct pci_device *p, unsigned bar, uint64_t size, unsigned flags);
void pci_bar_add(struct pci_device *p, unsigned bar, uint32_t offset, struct region *r);
/* Appends a capability of `size` bytes including its two header bytes; returns its offset. */
unsigned pci_cap_add(struct pci_device *p, uint8_t id, unsigned size);
/* A PCI Express capability, version 2; type: PCI_EXP_TYPE_*. Returns its offset. */
unsigned pci_express_cap_add(struct pci_device *p, unsigned type);
/* Config is complete: remembers it as the reset value. Last call of every init. */
void pci_device_ready(struct pci_device *p);

static inline uint16_t pci_get16(const struct pci_device *p, unsigned off)
{
	return (uint16_t)(p->config[off] | p->config[off + 1] << 8);
}
static inline uint32_t pci_get32(const struct pci_device *p, unsigned off)
{
	return pci_get16(p, off) | (uint32_t)pci_get16(p, off + 2) << 16;
}
static inline void pci_put16(uint8_t *b, uint16_t v)
{
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}
static inline void pci_put32(uint8_t *b, uint32_t v)
{
	pci_put16(b, (uint16_t)v);
	pci_put16(b + 2, (uint16_t)(v >> 16));
}

/* Configuration accesses as a host bridge makes them; size 1, 2 or 4, inside one dword. They take
 * the device's lock. */
uint32_t pci_config_read(struct pci_device *p, unsigned off, unsigned size);
void pci_config_write(struct pci_device *p, unsigned off, uint32_t val, unsigned size);
/* Decoding changed (command register, BAR, a bridge above): place the BARs anew. */
void pci_update_mappings(struct pci_device *p);
/* Decoded BAR address, or UINT64_MAX while it is not decoded. */
uint64_t pci_bar_address(const struct pci_device *p, unsigned bar);
static inline bool pci_bus_master(const struct pci_device *p)
{
	return p->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* INTA# on or off. Device lock held. */
void pci_intx_enable(struct pci_device *p); /* in init: the function has INTA# */
void pci_intx_set(struct pci_device *p, bool level);

/* msi.c: one vector, 64-bit address, maskable. */
void msi_init(struct pci_device *p);
bool msi_enabled(const struct pci_device *p);
void msi_notify(struct pci_device *p);
void msi_config_written(struct pci_device *p, unsigned off, unsigned len);

/* msix.c: table at table_offset and pending bits at pba_offset of a memory BAR. */
void msix_init(struct pci_device *p, unsigned count, unsigned bar, uint32_t table_offset,
	uint32_t pba_offset);
bool msix_enabled(const struct pci_device *p);
/* Sends vector n, or makes it pending while masked. Device lock held. */
void msix_notify(struct pci_device *p, unsigned n);
/* An eventfd that raises vector n without user space, for a peer process or the kernel; -1 when the
 * interrupt controller has no such way. Owned by the device. */
int msix_vector_fd(struct pci_device *p, unsigned n);
void msix_config_written(struct pci_device *p, unsigned off, unsigned len);
void msix_reset(struct pci_device *p);
void msix_loaded(struct pci_device *p);
void msix_fini(struct pci_device *p);

#endif
