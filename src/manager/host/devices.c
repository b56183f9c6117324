/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devices.c: devices out of /sys. Spec: Linux Documentation/ABI/testing/sysfs-bus-pci, -usb,
 * sysfs-class-net. */
#include "manager/host/devices.h"

#include <glib-unix.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/event.h"
#include "manager/host/host.h"

static void device_free(void *p)
{
	struct host_device *d = p;

	g_free(d->name);
	g_free(d->path);
	g_free(d->parent);
	g_free(d);
}

const char *host_device_cap_name(enum host_device_cap cap)
{
	switch (cap) {
	case DEVICE_SYSTEM: return "system";
	case DEVICE_PCI: return "pci";
	case DEVICE_USB: return "usb_device";
	case DEVICE_NET: return "net";
	case DEVICE_STORAGE: return "storage";
	}
	return "";
}

/* Whatever is no letter or digit becomes '_'. */
static char *device_name(const char *prefix, const char *text)
{
	char *name = g_strdup_printf("%s_%s", prefix, text);

	for (char *p = name; *p; p++) {
		if (!g_ascii_isalnum(*p))
			*p = '_';
	}
	return name;
}

static char *name_of(enum host_device_cap cap, const char *path, const char *base)
{
	g_autofree char *extra = NULL, *full = NULL;

	switch (cap) {
	case DEVICE_NET: extra = host_file("%s/address", path); break;
	case DEVICE_STORAGE:
		extra = host_file("%s/device/serial", path);
		if (!extra)
			extra = host_file("%s/serial", path);
		break;
	default: return device_name(cap == DEVICE_PCI ? "pci" : "usb", base);
	}
	full = extra && *extra ? g_strdup_printf("%s_%s", base, extra) : g_strdup(base);
	return device_name(cap == DEVICE_NET ? "net" : "block", full);
}

/* The nearest device above it on a bus. */
static char *parent_of(const char *path)
{
	g_autofree char *at = g_path_get_dirname(path);

	while (strlen(at) > strlen("/sys/devices")) {
		g_autofree char *subsystem_link = g_build_filename(at, "subsystem", NULL);
		g_autofree char *subsystem = g_file_read_link(subsystem_link, NULL);
		g_autofree char *base = g_path_get_basename(at);
		char *up;

		if (subsystem && g_str_has_suffix(subsystem, "/pci"))
			return name_of(DEVICE_PCI, at, base);
		if (subsystem && g_str_has_suffix(subsystem, "/usb") && !strchr(base, ':'))
			return name_of(DEVICE_USB, at, base);
		up = g_path_get_dirname(at);
		g_free(at);
		at = up;
	}
	return g_strdup("computer");
}

static void add(GPtrArray *list, enum host_device_cap cap, const char *link)
{
	struct host_device *d = g_new0(struct host_device, 1);
	g_autofree char *base = g_path_get_basename(link);
	char *path = realpath(link, NULL);

	d->cap = cap;
	d->path = g_strdup(path ? path : link);
	free(path);
	d->name = name_of(cap, d->path, base);
	d->parent = parent_of(d->path);
	g_ptr_array_add(list, d);
}

static void add_class(GPtrArray *list, enum host_device_cap cap, const char *folder)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *link = g_build_filename(folder, name, NULL);

		/* Interfaces of a USB device are no devices; loops and RAM disks are no storage. */
		if ((cap == DEVICE_USB && strchr(name, ':')) ||
			(cap == DEVICE_STORAGE &&
				(g_str_has_prefix(name, "loop") || g_str_has_prefix(name, "ram") ||
					g_str_has_prefix(name, "zram"))))
			continue;
		add(list, cap, link);
	}
	if (dir)
		g_dir_close(dir);
}

static int by_name(const void *a, const void *b)
{
	const struct host_device *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

GPtrArray *host_devices(void)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(device_free);
	struct host_device *computer = g_new0(struct host_device, 1);

	computer->name = g_strdup("computer");
	computer->cap = DEVICE_SYSTEM;
	g_ptr_array_add(list, computer);
	add_class(list, DEVICE_PCI, "/sys/bus/pci/devices");
	add_class(list, DEVICE_USB, "/sys/bus/usb/devices");
	add_class(list, DEVICE_NET, "/sys/class/net");
	add_class(list, DEVICE_STORAGE, "/sys/block");
	g_ptr_array_sort(list, by_name);
	return list;
}

/* ---- XML ---- */

static void element(GString *out, const char *indent, const char *name, const char *text)
{
	g_autofree char *t = text ? g_markup_escape_text(text, -1) : NULL;

	if (t && *t)
		g_string_append_printf(out, "%s<%s>%s</%s>\n", indent, name, t, name);
}

static void system_xml(GString *out)
{
	g_autofree char *product = host_file("/sys/class/dmi/id/product_name");
	g_autofree char *vendor = host_file("/sys/class/dmi/id/sys_vendor");
	g_autofree char *version = host_file("/sys/class/dmi/id/product_version");
	g_autofree char *serial = host_file("/sys/class/dmi/id/product_serial");
	g_autofree char *uuid = host_file("/sys/class/dmi/id/product_uuid");
	g_autofree char *bios_vendor = host_file("/sys/class/dmi/id/bios_vendor");
	g_autofree char *bios_version = host_file("/sys/class/dmi/id/bios_version");
	g_autofree char *date = host_file("/sys/class/dmi/id/bios_date");

	element(out, "    ", "product", product);
	g_string_append(out, "    <hardware>\n");
	element(out, "      ", "vendor", vendor);
	element(out, "      ", "version", version);
	element(out, "      ", "serial", serial);
	element(out, "      ", "uuid",
		uuid && *uuid ? uuid : "00000000-0000-0000-0000-000000000000");
	g_string_append(out, "    </hardware>\n    <firmware>\n");
	element(out, "      ", "vendor", bios_vendor);
	element(out, "      ", "version", bios_version);
	element(out, "      ", "release_date", date);
	g_string_append(out, "    </firmware>\n");
}

static void pci_xml(GString *out, const struct host_device *d)
{
	g_autofree char *base = g_path_get_basename(d->path);
	g_autofree char *class = host_file("%s/class", d->path),
			*vendor = host_file("%s/vendor", d->path);
	g_autofree char *device = host_file("%s/device", d->path), *group_link = NULL,
			*group = NULL;
	unsigned domain = 0, bus = 0, slot = 0, function = 0;

	if (sscanf(base, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return;
	element(out, "    ", "class", class);
	g_string_append_printf(out,
		"    <domain>%u</domain>\n    <bus>%u</bus>\n    <slot>%u</slot>\n"
		"    <function>%u</function>\n    <product id='%s'/>\n    <vendor id='%s'/>\n",
		domain, bus, slot, function, device ? device : "0x0", vendor ? vendor : "0x0");
	group_link = g_build_filename(d->path, "iommu_group", NULL);
	group = g_file_read_link(group_link, NULL);
	if (group)
		g_string_append_printf(out,
			"    <iommuGroup number='%s'>\n      <address domain='0x%04x' "
			"bus='0x%02x' slot='0x%02x' function='0x%x'/>\n    </iommuGroup>\n",
			strrchr(group, '/') + 1, domain, bus, slot, function);
}

static void usb_xml(GString *out, const struct host_device *d)
{
	g_autofree char *vendor = host_file("%s/idVendor", d->path),
			*product = host_file("%s/idProduct", d->path);
	g_autofree char *vendor_name = host_file("%s/manufacturer", d->path);
	g_autofree char *product_name = host_file("%s/product", d->path);
	g_autofree char *v = g_markup_escape_text(vendor_name ? vendor_name : "", -1);
	g_autofree char *p = g_markup_escape_text(product_name ? product_name : "", -1);

	g_string_append_printf(out,
		"    <bus>%u</bus>\n    <device>%u</device>\n"
		"    <product id='0x%s'>%s</product>\n    <vendor id='0x%s'>%s</vendor>\n",
		(unsigned)host_number(0, "%s/busnum", d->path),
		(unsigned)host_number(0, "%s/devnum", d->path), product ? product : "0", p,
		vendor ? vendor : "0", v);
}

static void link_xml(GString *out, const char *indent, const char *path)
{
	g_autofree char *state = host_file("%s/operstate", path);
	uint64_t speed = host_number(0, "%s/speed", path);

	if (state && strcmp(state, "up") == 0 && speed && speed < UINT32_MAX)
		g_string_append_printf(
			out, "%s<link speed='%u' state='up'/>\n", indent, (unsigned)speed);
	else
		g_string_append_printf(out, "%s<link state='%s'/>\n", indent,
			state && strcmp(state, "up") == 0        ? "up"
			: state && strcmp(state, "unknown") == 0 ? "unknown"
								 : "down");
}

static void net_xml(GString *out, const struct host_device *d)
{
	g_autofree char *base = g_path_get_basename(d->path),
			*mac = host_file("%s/address", d->path);

	element(out, "    ", "interface", base);
	if (mac && strlen(mac) == 17)
		element(out, "    ", "address", mac);
	link_xml(out, "    ", d->path);
	if (host_number(0, "%s/type", d->path) == 1)
		g_string_append(out, "    <capability type='80203'/>\n");
}

static void storage_xml(GString *out, const struct host_device *d)
{
	g_autofree char *base = g_path_get_basename(d->path),
			*model = host_file("%s/device/model", d->path);
	g_autofree char *vendor = host_file("%s/device/vendor", d->path),
			*serial = host_file("%s/serial", d->path);
	g_autofree char *node = g_strdup_printf("/dev/%s", base);
	uint64_t blocks = host_number(0, "%s/size", d->path);
	uint64_t block = host_number(512, "%s/queue/logical_block_size", d->path);

	element(out, "    ", "block", node);
	element(out, "    ", "drive_type", g_str_has_prefix(base, "sr") ? "cdrom" : "disk");
	element(out, "    ", "model", model);
	element(out, "    ", "vendor", vendor && !g_str_has_prefix(vendor, "0x") ? vendor : NULL);
	element(out, "    ", "serial", serial);
	g_string_append_printf(out,
		"    <size>%" G_GUINT64_FORMAT "</size>\n"
		"    <logical_block_size>%" G_GUINT64_FORMAT "</logical_block_size>\n"
		"    <num_blocks>%" G_GUINT64_FORMAT "</num_blocks>\n",
		blocks * 512, block, blocks * 512 / MAX(block, 1));
}

char *host_device_xml(const struct host_device *d)
{
	GString *out = g_string_new("<device>\n");
	g_autofree char *link = NULL, *driver = NULL;

	element(out, "  ", "name", d->name);
	element(out, "  ", "path", d->path);
	element(out, "  ", "parent", d->parent);
	link = d->path ? g_build_filename(d->path, "driver", NULL) : NULL;
	driver = link ? g_file_read_link(link, NULL) : NULL;
	if (driver)
		g_string_append_printf(out, "  <driver>\n    <name>%s</name>\n  </driver>\n",
			strrchr(driver, '/') + 1);
	g_string_append_printf(out, "  <capability type='%s'>\n", host_device_cap_name(d->cap));
	switch (d->cap) {
	case DEVICE_SYSTEM: system_xml(out); break;
	case DEVICE_PCI: pci_xml(out, d); break;
	case DEVICE_USB: usb_xml(out, d); break;
	case DEVICE_NET: net_xml(out, d); break;
	case DEVICE_STORAGE: storage_xml(out, d); break;
	}
	g_string_append(out, "  </capability>\n</device>\n");
	return g_string_free(out, FALSE);
}

/* ---- coming and going ---- */

enum { UEVENT_GROUP = 1, CREATED = 0, DELETED = 1 };

struct host_watch {
	struct event_bus *bus;
	int fd;
	guint source;
	GHashTable *names; /* those known */
};

static GHashTable *names_now(void)
{
	GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GPtrArray) list = host_devices();

	for (guint i = 0; i < list->len; i++)
		g_hash_table_add(names, g_strdup(((struct host_device *)list->pdata[i])->name));
	return names;
}

static void tell_missing(struct host_watch *w, GHashTable *in, GHashTable *from, int event)
{
	GHashTableIter it;
	void *name;

	g_hash_table_iter_init(&it, in);
	while (g_hash_table_iter_next(&it, &name, NULL)) {
		struct event ev = { .object = EVENT_NODE_DEVICE, .event = event };

		if (g_hash_table_contains(from, name))
			continue;
		g_strlcpy(ev.name, name, sizeof(ev.name));
		event_publish(w->bus, &ev);
	}
}

/* What came of many uevents at once is seen by looking once. */
static gboolean look(gint fd, GIOCondition condition, gpointer opaque)
{
	struct host_watch *w = opaque;
	char buf[8192];
	bool any = false;
	GHashTable *now;

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		any = true;
	if (!any)
		return G_SOURCE_CONTINUE;
	now = names_now();
	tell_missing(w, w->names, now, DELETED);
	tell_missing(w, now, w->names, CREATED);
	g_hash_table_unref(w->names);
	w->names = now;
	return G_SOURCE_CONTINUE;
}

struct host_watch *host_watch_new(struct event_bus *bus)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP };
	int fd = socket(
		AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	struct host_watch *w;

	if (fd < 0)
		return NULL;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return NULL;
	}
	w = g_new0(struct host_watch, 1);
	w->bus = bus;
	w->fd = fd;
	w->names = names_now();
	w->source = g_unix_fd_add(fd, G_IO_IN, look, w);
	return w;
}

void host_watch_free(struct host_watch *w)
{
	if (!w)
		return;
	g_source_remove(w->source);
	close(w->fd);
	g_hash_table_unref(w->names);
	g_free(w);
}
