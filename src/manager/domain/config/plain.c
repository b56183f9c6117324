/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plain.c: <rng>, <memballoon>, <controller>, and what is kept without being in the machine. */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/xml.h"

static unsigned count(const struct domain_config *c, enum device_kind kind)
{
	unsigned n = 0;

	for (guint i = 0; i < c->devices->len; i++)
		n += ((struct config_device *)g_ptr_array_index(c->devices, i))->kind == kind;
	return n;
}

static int only_virtio(const xmlNode *n, GError **error)
{
	const char *model = xml_attr(n, "model");

	if (model && strcmp(model, "virtio") != 0 && strcmp(model, "virtio-non-transitional") != 0)
		return config_unsupported(
			error, "<%s> model '%.32s': Lodge has virtio", xml_name(n), model);
	return 0;
}

static int read_rng(struct domain_config *c, struct config_device *d, xmlNode *n, GError **error)
{
	static const char *const models[] = { "random", "builtin", NULL };
	const xmlNode *rate = xml_child(n, "rate"), *backend = xml_child(n, "backend");
	const char *model = backend ? xml_attr(backend, "model") : NULL;

	d->kind = DEVICE_RNG;
	d->rng.period_ms = 1000;
	if (count(c, DEVICE_RNG))
		return config_unsupported(error, "a second <rng>");
	if (!xml_attr(n, "model"))
		xml_set_attr(n, "model", "virtio");
	if (!model)
		return refuse(error, MANAGER_ERR_XML, "<backend> of <rng> lacks 'model'");
	if (!g_strv_contains(models, model))
		return config_unsupported(
			error, "<backend> '%.16s' of <rng>: Lodge has random and builtin", model);
	if (rate &&
		(xml_attr_uint(rate, "bytes", G_MAXINT64, &d->rng.max_bytes, error) < 0 ||
			xml_attr_uint(rate, "period", G_MAXINT32, &d->rng.period_ms, error) < 0))
		return -1;
	if (!d->alias)
		d->alias = g_strdup("rng0");
	return only_virtio(n, error);
}

static int read_balloon(
	struct domain_config *c, struct config_device *d, xmlNode *n, GError **error)
{
	const char *model = xml_attr(n, "model");

	if (count(c, DEVICE_BALLOON))
		return refuse(error, MANAGER_ERR_XML, "a second <memballoon>");
	if (!d->alias)
		d->alias = g_strdup("balloon0");
	if (!model)
		return refuse(
			error, MANAGER_ERR_XML, "attribute 'model' of <memballoon> is missing");
	if (strcmp(model, "none") == 0)
		return 0;
	d->kind = DEVICE_BALLOON;
	d->balloon.reporting = true;
	if (xml_attr_bool(n, "autodeflate", &d->balloon.deflate, error) < 0 ||
		xml_attr_bool(n, "freePageReporting", &d->balloon.reporting, error) < 0)
		return -1;
	return only_virtio(n, error);
}

static int read_controller(
	struct domain_config *c, struct config_device *d, xmlNode *n, GError **error)
{
	static const char *const types[] = { "usb", "pci", "virtio-serial", "sata", "scsi", "ide",
		"fdc", "ccid", "xenbus", "isa", NULL };
	const char *model = xml_attr(n, "model"), *type = xml_attr(n, "type");
	uint64_t index = 0;
	unsigned t = 0;

	if (!type)
		return refuse(
			error, MANAGER_ERR_XML, "attribute 'type' of <controller> is missing");
	if (xml_attr_enum(n, "type", types, &t, error) < 0 ||
		xml_attr_uint(n, "index", 255, &index, error) < 0)
		return -1;
	d->kind = DEVICE_CONTROLLER;
	if (t == 1) {
		d->kind = model && strcmp(model, "pcie-root-port") == 0 ? DEVICE_ROOT_PORT
									: DEVICE_CONTROLLER;
		if (d->kind == DEVICE_ROOT_PORT)
			index = ++c->root_ports;
		else if (!model || strcmp(model, "pcie-root") != 0)
			return config_unsupported(error,
				"<controller> '%.32s': Lodge has pcie-root and "
				"pcie-root-port",
				model ? model : "pci");
		xml_set_attr_fmt(n, "index", "%u", (unsigned)index);
	} else if (t == 2) {
		if (count(c, DEVICE_SERIAL_BUS))
			return config_unsupported(error, "a second virtio-serial controller");
		d->kind = DEVICE_SERIAL_BUS;
	}
	if (!xml_attr(n, "index"))
		xml_set_attr(n, "index", "0");
	if (!d->alias)
		d->alias = t == 1 && d->kind != DEVICE_ROOT_PORT ? g_strdup("pcie.0")
			   : t == 1 ? g_strdup_printf("pci.%u", (unsigned)index)
				    : g_strdup_printf("%s%u", type, (unsigned)index);
	return 0;
}

/* What other elements become an alias: libvirt's stem and a number. */
static int read_other(
	struct domain_config *c, struct config_device *d, const xmlNode *n, GError **error)
{
	const char *stem = strcmp(xml_name(n), "hub") == 0 ? "hub" : xml_name(n);
	const char *type = xml_attr(n, "type");
	unsigned nth = 0;

	if (strcmp(stem, "parallel") == 0)
		return config_unsupported(error, "<parallel>: Lodge has no parallel ports");
	if (strcmp(stem, "input") == 0 && type &&
		(strcmp(type, "passthrough") == 0 || strcmp(type, "evdev") == 0))
		return config_unsupported(
			error, "<input> of type '%s': Lodge does not have that yet", type);
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *o = g_ptr_array_index(c->devices, i);

		nth += g_str_has_prefix(o->alias, stem);
	}
	if (!d->alias)
		d->alias = g_strdup_printf("%s%u", stem, nth);
	return 0;
}

int config_plain(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error)
{
	if (strcmp(xml_name(n), "rng") == 0)
		return read_rng(c, d, n, error);
	if (strcmp(xml_name(n), "memballoon") == 0)
		return read_balloon(c, d, n, error);
	if (strcmp(xml_name(n), "controller") == 0)
		return read_controller(c, d, n, error);
	return read_other(c, d, n, error);
}
