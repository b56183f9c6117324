/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices.h: the host's devices and network interfaces as libvirt names and describes them. */
#ifndef MANAGER_HOST_DEVICES_H
#define MANAGER_HOST_DEVICES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct event_bus;

/* What a device is: bits as in libvirt's virConnectListAllNodeDeviceFlags. */
enum host_device_cap {
	DEVICE_SYSTEM = 1,
	DEVICE_PCI = 2,
	DEVICE_USB = 4,
	DEVICE_NET = 16,
	DEVICE_STORAGE = 256
};

struct host_device {
	char *name;   /* "pci_0000_00_1f_0"; all strings owned */
	char *path;   /* in /sys; NULL: the computer */
	char *parent; /* a device's name; NULL: none */
	enum host_device_cap cap;
};

/* As the kernel shows them now: struct host_device, with a free function, by name. */
GPtrArray *host_devices(void);
const char *host_device_cap_name(enum host_device_cap cap); /* "pci" */
/* As XML; owned by the caller. */
char *host_device_xml(const struct host_device *d);

/* Tells the bus of devices that come and go, by the kernel's uevents. Main loop. NULL: not allowed
 * to. */
struct host_watch *host_watch_new(struct event_bus *bus);
void host_watch_free(struct host_watch *w); /* NULL allowed */

struct host_interface {
	char *name, *mac; /* owned */
	bool up;
};
GPtrArray *host_interfaces(void);
char *host_interface_xml(const struct host_interface *i); /* owned by the caller */

#endif
