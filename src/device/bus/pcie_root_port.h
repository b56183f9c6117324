/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pcie_root_port.h: a PCI Express root port with one hot-pluggable slot. */
#ifndef DEVICE_BUS_PCIE_ROOT_PORT_H
#define DEVICE_BUS_PCIE_ROOT_PORT_H

#include "device/bus/pci.h"

struct pcie_root_port {
	struct pci_device pci;
	uint16_t slot_number; /* config: physical slot number the guest shows */
	struct pci_bus bus;
	unsigned exp;	      /* PCI Express capability's offset */
	bool occupied;	      /* a device sits in the slot */
	bool powered_on;      /* the guest has lit the power indicator since the plug */
	bool raised;	      /* MSI: the last condition seen, messages are sent on its rise */
	guint eject_source;   /* main loop source that takes the device out; 0: none */
	/* The guest let go of the device and it is gone; main loop thread. `id` is the device's. */
	void (*unplugged)(void *opaque, const char *id);
	void *unplugged_opaque;
};

extern const struct device_class pcie_root_port_class;

struct pcie_root_port *pcie_root_port_of(struct device *d); /* NULL: d is none */
struct pci_bus *pcie_root_port_bus(struct pcie_root_port *rp);
/* The device in the slot, or NULL. */
struct pci_device *pcie_root_port_child(struct pcie_root_port *rp);
/*
 * Adds `d` (from device_new, configured, not yet added) to the slot and tells the guest. On failure
 * (slot occupied, init failed) d is freed. Main loop thread, machine running or not.
 */
int pcie_root_port_plug(struct pcie_root_port *rp, struct device *d, GError **error);
/* Presses the attention button; the guest decides. The device leaves when the guest has turned the
 * slot's power indicator off, then `unplugged` is called. */
int pcie_root_port_unplug_request(struct pcie_root_port *rp, GError **error);

#endif
