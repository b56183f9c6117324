/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices.c: every device class there is, by folder. */
#include "device/devices.h"

#include <string.h>

#include "device/bus/pci_host.h"
#include "device/bus/pcie_root_port.h"
#include "device/char/ns16550.h"
#include "device/irq/i8259.h"
#include "device/irq/ioapic.h"
#include "device/irq/lapic.h"
#include "device/irq/pc_intc.h"
#include "device/misc/acpi_pm.h"
#include "device/misc/cpu_slots.h"
#include "device/misc/debug_exit.h"
#include "device/misc/i8042.h"
#include "device/misc/port92.h"
#include "device/timer/hpet.h"
#include "device/timer/i8254.h"
#include "device/timer/rtc.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_blk.h"
#include "device/virtio/virtio_console.h"
#include "device/virtio/virtio_net.h"
#include "device/virtio/virtio_rng.h"

const struct device_class *const devices[] = {
	&pci_host_class,
	&pcie_root_port_class,
	&ns16550_class,
	&i8259_class,
	&ioapic_class,
	&lapic_class,
	&pc_intc_class,
	&acpi_pm_class,
	&cpu_slots_class,
	&debug_console_class,
	&debug_exit_class,
	&i8042_class,
	&port92_class,
	&hpet_class,
	&i8254_class,
	&rtc_class,
	&virtio_blk_class,
	&virtio_net_class,
	&virtio_console_class,
	&virtio_rng_class,
	&virtio_balloon_class,
	NULL,
};

const struct device_class *device_class_find(const char *name)
{
	for (const struct device_class *const *c = devices; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}
