/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices.c: every device class there is, by folder. */
#include "device/devices.h"

#include "device/bus/pci_host.h"
#include "device/bus/pcie_root_port.h"

const struct device_class *const devices[] = {
	&pci_host_class,
	&pcie_root_port_class,
	NULL,
};
