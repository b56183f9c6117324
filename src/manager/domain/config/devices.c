/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices.c: the walk over <devices>: what is implied is added, every device is read, then gets its
 * place in the machine: disks and cards a slot of their own behind a root port, where they can be
 * unplugged, the others numbers on the root bus, in lodge-vm's order.
 */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/xml.h"

enum { PORTS_MAX = 16, PORTS_USUAL = 8, PORTS_SPARE = 2, DEVICES_MAX = 512 };

static xmlNode *add_before(xmlNode *devices, const char *name)
{
	return xmlAddChild(devices, xmlNewDocNode(devices->doc, NULL, (const xmlChar *)name, NULL));
}

static bool has_controller(const xmlNode *devices, const char *type, const char *model)
{
	for (const xmlNode *n = xml_child(devices, "controller"); n;
		n = xml_next(n, "controller")) {
		if (g_strcmp0(xml_attr(n, "type"), type) == 0 &&
			(!model || g_strcmp0(xml_attr(n, "model"), model) == 0))
			return true;
	}
	return false;
}

static void add_controller(xmlNode *devices, const char *type, const char *model)
{
	xmlNode *n = add_before(devices, "controller");

	xml_set_attr(n, "type", type);
	xml_set_attr(n, "index", "0");
	xml_set_attr(n, "model", model);
}

static unsigned count(const xmlNode *devices, const char *name)
{
	unsigned n = 0;

	for (const xmlNode *e = xml_child(devices, name); e; e = xml_next(e, name))
		n++;
	return n;
}

static void imply_ports(xmlNode *devices)
{
	unsigned wanted = count(devices, "disk") + count(devices, "interface") + PORTS_SPARE,
		 have = 0;

	wanted = CLAMP(wanted, PORTS_USUAL, PORTS_MAX);
	for (const xmlNode *n = xml_child(devices, "controller"); n; n = xml_next(n, "controller"))
		have += g_strcmp0(xml_attr(n, "model"), "pcie-root-port") == 0;
	for (; have < wanted; have++)
		add_controller(devices, "pci", "pcie-root-port");
}

static bool has_virtio_port(const xmlNode *devices)
{
	if (xml_child(devices, "channel"))
		return true;
	for (const xmlNode *n = xml_child(devices, "console"); n; n = xml_next(n, "console")) {
		if (g_strcmp0(xml_child_attr(n, "target", "type"), "virtio") == 0)
			return true;
	}
	return false;
}

/* A console that is no virtio one is the first serial port: whichever was given brings the other.
 */
static void imply_console(xmlNode *devices)
{
	xmlNode *serial = xml_child(devices, "serial"), *console = xml_child(devices, "console");
	const char *type = console ? xml_child_attr(console, "target", "type") : NULL;

	if (serial && !console) {
		console = xmlNewDocNode(devices->doc, NULL, (const xmlChar *)"console", NULL);
		while (xml_next(serial, "serial"))
			serial = xml_next(serial, "serial");
		xmlAddNextSibling(serial, console);
		serial = xml_child(devices, "serial");
	} else if (!serial && console && (!type || strcmp(type, "serial") == 0)) {
		xmlNode *target;

		serial = xmlDocCopyNode(console, devices->doc, 1);
		xmlNodeSetName(serial, (const xmlChar *)"serial");
		xml_set_attr(serial, "tty", NULL);
		xml_remove_child(serial, "alias");
		target = xml_want(serial, "target");
		xml_set_attr(target, "type", "isa-serial");
		xmlAddPrevSibling(console, serial);
		return;
	} else {
		return;
	}
	xml_set_attr(console, "type", xml_attr(serial, "type") ? xml_attr(serial, "type") : "pty");
	for (const char *const *name = (const char *const[]){ "source", "protocol", NULL }; *name;
		name++) {
		if (xml_child(serial, *name))
			xmlAddChild(
				console, xmlDocCopyNode(xml_child(serial, *name), devices->doc, 1));
	}
	xml_set_attr(xml_add(console, "target", NULL), "type", "serial");
}

static void imply(xmlNode *devices, unsigned flags)
{
	if (!has_controller(devices, "pci", "pcie-root"))
		add_controller(devices, "pci", "pcie-root");
	if (!(flags & CONFIG_LIVE))
		imply_ports(devices);
	imply_console(devices);
	if (has_virtio_port(devices) && !has_controller(devices, "virtio-serial", NULL))
		add_controller(devices, "virtio-serial", NULL);
	if (!xml_child(devices, "memballoon"))
		xml_set_attr(add_before(devices, "memballoon"), "model", "virtio");
}

/* Names of a running machine's parts are kept in its live document only, but for the user's own. */
static int read_alias(struct config_device *d, xmlNode *n, unsigned flags, GError **error)
{
	xmlNode *alias = xml_child(n, "alias");
	const char *name = alias ? xml_attr(alias, "name") : NULL;

	if (!name)
		return 0;
	if (!(flags & CONFIG_LIVE) && !g_str_has_prefix(name, "ua-")) {
		xml_remove(alias);
		return 0;
	}
	if (!*name || strlen(name) > 64 ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz"
			     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(name))
		return refuse(error, MANAGER_ERR_XML,
			"<alias>: '%.64s': up to 64 letters, digits, '-', '_' "
			"and '.'",
			name);
	d->alias = g_strdup(name);
	return 0;
}

static int read_device(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error)
{
	const char *name = xml_name(n);

	if (read_alias(d, n, flags, error) < 0)
		return -1;
	if (strcmp(name, "disk") == 0)
		return config_disk(c, d, n, flags, error);
	if (strcmp(name, "interface") == 0)
		return config_nic(c, d, n, flags, error);
	if (strcmp(name, "serial") == 0 || strcmp(name, "console") == 0 ||
		strcmp(name, "channel") == 0)
		return config_char(c, d, n, flags, error);
	return config_plain(c, d, n, flags, error);
}

/* The number that libvirt's way of naming gives may be in use where a device was plugged before. */
static void make_unique(const struct domain_config *c, struct config_device *d)
{
	unsigned n = 0;

	if (!domain_config_alias(c, d->alias))
		return;
	for (size_t len = strcspn(d->alias, "0123456789");; n++) {
		g_autofree char *other = g_strdup_printf("%.*s%u", (int)len, d->alias, n);

		if (!domain_config_alias(c, other)) {
			g_free(d->alias);
			d->alias = g_steal_pointer(&other);
			return;
		}
	}
}

int config_devices(struct domain_config *c, xmlNode *root, unsigned flags, GError **error)
{
	xmlNode *devices = xml_want(root, "devices");
	unsigned index = 0;

	imply(devices, flags);
	for (xmlNode *n = xml_first(devices); n; n = xml_after(n), index++) {
		struct config_device *d;

		if (strcmp(xml_name(n), "emulator") == 0)
			continue;
		if (c->devices->len == DEVICES_MAX)
			return refuse(error, MANAGER_ERR_XML, "more than %d devices", DEVICES_MAX);
		d = g_new0(struct config_device, 1);
		d->index = index;
		d->slot = -1;
		if (read_device(c, d, n, flags, error) < 0) {
			config_device_free(d);
			return -1;
		}
		make_unique(c, d);
		if (flags & CONFIG_LIVE)
			xml_set_attr(xml_want(n, "alias"), "name", d->alias);
		g_ptr_array_add(c->devices, d);
	}
	if (c->root_ports > PORTS_MAX)
		return config_unsupported(error, "more than %d root ports", PORTS_MAX);
	return 0;
}

/* ---- places ---- */

static void write_address(xmlNode *n, unsigned bus, unsigned device)
{
	xmlNode *a = xml_want(n, "address");

	while (a->properties)
		xmlRemoveProp(a->properties);
	xml_set_attr(a, "type", "pci");
	xml_set_attr(a, "domain", "0x0000");
	xml_set_attr_fmt(a, "bus", "0x%02x", bus);
	xml_set_attr_fmt(a, "slot", "0x%02x", device);
	xml_set_attr(a, "function", "0x0");
}

/* The bus that the definition asks for; 0: none, or the root bus. */
static unsigned asked_bus(const xmlNode *n)
{
	const char *type = xml_child_attr(n, "address", "type");
	const char *bus = xml_child_attr(n, "address", "bus");

	return type && strcmp(type, "pci") == 0 && bus ? (unsigned)g_ascii_strtoull(bus, NULL, 0)
						       : 0;
}

static bool wants_slot(const struct config_device *d)
{
	return d->kind == DEVICE_NIC ||
	       (d->kind == DEVICE_DISK && (d->disk.path || d->disk.volume));
}

static int place_slots(struct domain_config *c, xmlNode *root, GError **error)
{
	bool taken[PORTS_MAX + 1] = { true };

	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);
		unsigned bus = wants_slot(d) ? asked_bus(domain_config_element(root, d)) : 0;

		if (!bus || bus > c->root_ports)
			continue;
		if (taken[bus])
			return refuse(error, MANAGER_ERR_XML,
				"two devices have a place on PCI bus %u", bus);
		taken[bus] = true;
		d->slot = (int)bus;
	}
	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);
		unsigned bus = 1;

		if (!wants_slot(d))
			continue;
		while (d->slot < 0 && bus <= c->root_ports && taken[bus])
			bus++;
		if (d->slot < 0 && bus > c->root_ports) {
			d->slot = 0; /* cannot be unplugged */
			continue;
		}
		if (d->slot < 0)
			d->slot = (int)bus;
		taken[d->slot] = true;
		write_address(domain_config_element(root, d), (unsigned)d->slot, 0);
	}
	return 0;
}

/* The order of lodge-vm's root bus: ports, then parts in the order of the command line (argv.c). */
static const enum device_kind root_order[] = { DEVICE_ROOT_PORT, DEVICE_DISK, DEVICE_NIC,
	DEVICE_SERIAL_BUS, DEVICE_RNG, DEVICE_BALLOON };

static int place_root(struct domain_config *c, xmlNode *root, GError **error)
{
	unsigned next = 1;

	for (size_t k = 0; k < array_len(root_order); k++) {
		for (guint i = 0; i < c->devices->len; i++) {
			struct config_device *d = g_ptr_array_index(c->devices, i);

			if (d->kind != root_order[k] || d->slot > 0 ||
				(d->slot < 0 && (d->kind == DEVICE_DISK || d->kind == DEVICE_NIC)))
				continue;
			if (next > 31)
				return config_unsupported(
					error, "more devices than the root bus has room for");
			d->slot = 0;
			d->device = next++;
			write_address(domain_config_element(root, d), 0, d->device);
		}
	}
	return 0;
}

int config_place(struct domain_config *c, xmlNode *root, GError **error)
{
	return place_slots(c, root, error) < 0 ? -1 : place_root(c, root, error);
}
