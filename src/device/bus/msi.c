/* SPDX-License-Identifier: GPL-2.0-or-later */
/* msi.c: the MSI capability with one vector. Spec: PCI Local Bus 3.0, 6.8.1. */
#include "core/intc.h"
#include "device/bus/pci.h"

/* The 64-bit, maskable layout. */
enum { MSI_SIZE = 24, MSI_PENDING_BIT = 1 };

void msi_init(struct pci_device *p)
{
	unsigned cap = p->msi_cap = pci_cap_add(p, PCI_CAP_ID_MSI, MSI_SIZE);

	pci_put16(p->config + cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT);
	pci_put16(p->wmask + cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
	pci_put32(p->wmask + cap + PCI_MSI_ADDRESS_LO, 0xfffffffc);
	pci_put32(p->wmask + cap + PCI_MSI_ADDRESS_HI, 0xffffffff);
	pci_put16(p->wmask + cap + PCI_MSI_DATA_64, 0xffff);
	p->wmask[cap + PCI_MSI_MASK_64] = 1;
}

bool msi_enabled(const struct pci_device *p)
{
	return p->msi_cap && p->config[p->msi_cap + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_ENABLE;
}

void msi_notify(struct pci_device *p)
{
	unsigned cap = p->msi_cap;
	uint64_t addr;

	if (p->config[cap + PCI_MSI_MASK_64] & 1) {
		p->config[cap + PCI_MSI_PENDING_64] |= MSI_PENDING_BIT;
		return;
	}
	/* A message is a write by the function: not without bus mastering. */
	if (!pci_bus_master(p))
		return;
	addr = pci_get32(p, cap + PCI_MSI_ADDRESS_LO) |
		(uint64_t)pci_get32(p, cap + PCI_MSI_ADDRESS_HI) << 32;
	msi_send(p->dev.machine, addr, pci_get16(p, cap + PCI_MSI_DATA_64));
}

void msi_config_written(struct pci_device *p, unsigned off, unsigned len)
{
	unsigned cap = p->msi_cap;

	if (!cap || off >= cap + MSI_SIZE || off + len <= cap || !msi_enabled(p))
		return;
	if (!(p->config[cap + PCI_MSI_MASK_64] & 1) &&
	    p->config[cap + PCI_MSI_PENDING_64] & MSI_PENDING_BIT) {
		p->config[cap + PCI_MSI_PENDING_64] = 0;
		msi_notify(p);
	}
}
