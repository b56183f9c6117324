/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_host.h: the root complex: host bridge 00:00.0, ECAM, the 0xcf8/0xcfc ports, the reset control
 * register 0xcf9, INTx routing, and assignment of resources where no firmware does it.
 */
#ifndef DEVICE_BUS_PCI_HOST_H
#define DEVICE_BUS_PCI_HOST_H

#include "device/bus/pci.h"

enum { PCI_HOST_GSIS = 8 };

/* The windows are set by the board, as fields or config properties, before device_add. */
struct pci_host {
	struct pci_device pci; /* the host bridge function itself */
	uint64_t ecam_base;    /* physical; 0: no ECAM */
	uint64_t ecam_buses;   /* 1..256; ECAM is this many MiB */
	uint64_t mmio32_base, mmio32_size;
	uint64_t mmio64_base, mmio64_size; /* size 0: none */
	uint64_t io_base, io_size;
	uint64_t gsi_base; /* first of PCI_HOST_GSIS */
	bool legacy_ports; /* 0xcf8.. exist */
	/* private */
	struct pci_bus bus;
	struct region ecam, ports;
	uint32_t address; /* 0xcf8 */
	uint8_t reset_control; /* 0xcf9 */
	GMutex wire_lock;
	unsigned asserted[PCI_HOST_GSIS]; /* functions that hold the line */
};

extern const struct device_class pci_host_class;

struct pci_host *pci_host_find(struct machine *m); /* NULL: the machine has no PCI */
struct pci_bus *pci_host_bus(struct pci_host *h);
/* The function at a bus and devfn as the guest numbers them, or NULL. Host lock held. */
struct pci_device *pci_host_lookup(struct pci_host *h, unsigned bus, unsigned devfn);
/* What _PRT must say: the GSI of a root bus device's pin (0: INTA#) is
 * gsi_base + (device + pin) % PCI_HOST_GSIS. */
unsigned pci_host_gsi(const struct pci_host *h, unsigned device, unsigned pin);
/* Takes or leaves a function's INTA#. Any thread. */
void pci_host_wire(struct pci_host *h, const struct pci_device *p, bool level);

/* pci_assign.c: bus numbers, bridge windows and BARs, as firmware would; deterministic. Called by
 * the board after reset when no firmware runs. */
void pci_assign_resources(struct pci_host *h);

#endif
