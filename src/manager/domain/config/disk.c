/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk.c: <disk>. Spec: libvirt.org, Domain XML, "Hard drives, floppy disks, CDROMs". */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/xml.h"

static const char *const types[] = { "file", "block", "volume", "dir", "network", "nvme",
	"vhostuser", "vhostvdpa", NULL };

static int absolute(const char *path, GError **error)
{
	if (!g_path_is_absolute(path) || strlen(path) > 4095)
		return refuse(error, MANAGER_ERR_XML,
			"<source> of <disk>: '%.64s' is no absolute path", path);
	return 0;
}

static int read_source(struct config_disk *k, xmlNode *n, GError **error)
{
	xmlNode *source = xml_child(n, "source");
	unsigned type = 0;

	if (xml_attr_enum(n, "type", types, &type, error) < 0)
		return -1;
	if (type > DISK_VOLUME)
		return config_unsupported(
			error, "disk type '%s': Lodge has file, block and volume", types[type]);
	xml_set_attr(n, "type", types[type]);
	k->source = type;
	if (!source) {
		if (k->cdrom)
			return 0;
		return refuse(error, MANAGER_ERR_XML, "<disk> '%s' has no <source>", k->target);
	}
	if (xml_child(source, "encryption"))
		return config_unsupported(
			error, "<encryption> in <disk>: Lodge does not have that yet");
	if (type == DISK_VOLUME) {
		k->pool = g_strdup(xml_attr(source, "pool"));
		k->volume = g_strdup(xml_attr(source, "volume"));
		if (!k->pool || !k->volume)
			return refuse(error, MANAGER_ERR_XML,
				"<source> of <disk> '%s' must have 'pool' and 'volume'", k->target);
		return 0;
	}
	k->path = g_strdup(xml_attr(source, type == DISK_FILE ? "file" : "dev"));
	if (!k->path && k->cdrom) {
		xml_remove(source);
		return 0;
	}
	if (!k->path)
		return refuse(error, MANAGER_ERR_XML, "<source> of <disk> '%s' lacks '%s'",
			k->target, type == DISK_FILE ? "file" : "dev");
	return absolute(k->path, error);
}

/* The bus by the name of the target, as libvirt guesses it. */
static const char *bus_of(const char *target)
{
	switch (target[0]) {
	case 'v': return "virtio";
	case 's': return "sata";
	case 'h': return "ide";
	case 'f': return "fdc";
	default: return "virtio";
	}
}

static int read_target(struct config_disk *k, xmlNode *n, GError **error)
{
	xmlNode *target = xml_child(n, "target");
	const char *dev = target ? xml_attr(target, "dev") : NULL, *bus,
		   *device = xml_attr(n, "device");

	if (!dev)
		return refuse(error, MANAGER_ERR_XML, "<target> of <disk> lacks 'dev'");
	if (strlen(dev) > 16 || strlen(dev) < 3 ||
		strspn(dev + 2, "abcdefghijklmnopqrstuvwxyz") != strlen(dev) - 2)
		return refuse(error, MANAGER_ERR_XML,
			"<target> of <disk>: '%.32s' is no disk's name", dev);
	k->target = g_strdup(dev);
	if (!device)
		xml_set_attr(n, "device", device = "disk");
	k->cdrom = strcmp(device, "cdrom") == 0;
	if (!k->cdrom && strcmp(device, "disk") != 0)
		return config_unsupported(
			error, "disk '%s' is a %.16s: Lodge has disk and cdrom", dev, device);
	bus = xml_attr(target, "bus");
	if (!bus)
		xml_set_attr(target, "bus", bus = k->cdrom ? bus_of(dev) : "virtio");
	/* A CD drive is a read-only virtio disk whatever its bus: see docs/domain-xml.md. */
	if (strcmp(bus, "virtio") != 0 && !k->cdrom)
		return config_unsupported(
			error, "disk '%s' on bus '%.16s': Lodge has virtio", dev, bus);
	return 0;
}

static int read_driver(struct config_disk *k, xmlNode *n, GError **error)
{
	static const char *const caches[] = { "default", "none", "writethrough", "writeback",
		"directsync", "unsafe", NULL };
	static const char *const discards[] = { "unmap", "ignore", NULL };
	static const char *const formats[] = { "raw", "qcow2", "qcow", "vmdk", "vdi", "vpc", "vhdx",
		"qed", "luks", "parallels", "dmg", "iso", NULL };
	xmlNode *driver = xml_child(n, "driver");
	unsigned cache = 0, discard = 0, format = 0;
	uint64_t queues = 1;

	if (!driver)
		driver = xml_add(n, "driver", NULL);
	if (!xml_attr(driver, "name"))
		xml_set_attr(driver, "name", "qemu");
	/* Never guessed: a guest could write another format's header into a raw disk. */
	if (!xml_attr(driver, "type"))
		xml_set_attr(driver, "type", "raw");
	if (xml_attr_enum(driver, "type", formats, &format, error) < 0 ||
		xml_attr_enum(driver, "cache", caches, &cache, error) < 0 ||
		xml_attr_enum(driver, "discard", discards, &discard, error) < 0 ||
		xml_attr_uint(driver, "queues", 16, &queues, error) < 0)
		return -1;
	k->format = g_strdup(formats[format]);
	k->direct = cache == 1 || cache == 4;
	k->discard_off = discard == 1;
	k->queues = MAX(1u, (unsigned)queues);
	return 0;
}

static int read_iotune(struct config_disk *k, const xmlNode *n, GError **error)
{
	const xmlNode *tune = xml_child(n, "iotune");

	for (unsigned i = 0; tune && i < IOTUNE_COUNT; i++) {
		if (xml_text_uint(
			    xml_child(tune, iotune_names[i]), G_MAXINT64, &k->iotune[i], error) < 0)
			return -1;
	}
	for (unsigned i = 0; i < IOTUNE_COUNT; i++) {
		if (k->iotune[i] && (i > TOTAL_IOPS_MAX || i % 3))
			return config_unsupported(error,
				"<%s> of disk '%s': Lodge limits reads and writes "
				"together (total_…)",
				iotune_names[i], k->target);
	}
	return 0;
}

static unsigned target_number(const char *target)
{
	unsigned n = 0;

	for (const char *p = target + 2; *p; p++)
		n = n * 26 + (unsigned)(*p - 'a') + 1;
	return n - 1;
}

int config_disk(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error)
{
	struct config_disk *k = &d->disk;
	const xmlNode *blockio;
	uint64_t block = 0;

	d->kind = DEVICE_DISK;
	if (read_target(k, n, error) < 0 || read_driver(k, n, error) < 0 ||
		read_source(k, n, error) < 0 || read_iotune(k, n, error) < 0)
		return -1;
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *o = g_ptr_array_index(c->devices, i);

		if (o->kind == DEVICE_DISK && strcmp(o->disk.target, k->target) == 0)
			return refuse(error, MANAGER_ERR_XML, "two disks have the target '%s'",
				k->target);
	}
	if (k->cdrom && !xml_child(n, "readonly"))
		xml_add(n, "readonly", NULL);
	k->readonly = xml_child(n, "readonly") != NULL;
	k->shareable = xml_child(n, "shareable") != NULL;
	k->serial = xml_child_text(n, "serial");
	if (k->serial && (strlen(k->serial) > 20 || strpbrk(k->serial, ",=")))
		return refuse(error, MANAGER_ERR_XML,
			"<serial> of disk '%s': up to 20 bytes without ',' "
			"and '='",
			k->target);
	blockio = xml_child(n, "blockio");
	if (blockio && xml_attr_uint(blockio, "logical_block_size", 65536, &block, error) < 0)
		return -1;
	k->block_size = block;
	/* What a dump tells of the image's chain is not part of the definition. */
	if (!(flags & CONFIG_LIVE))
		xml_remove_child(n, "backingStore");
	if (!d->alias)
		d->alias = g_strdup_printf(
			k->cdrom ? "cdrom%u" : "virtio-disk%u", target_number(k->target));
	return 0;
}
