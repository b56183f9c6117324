/* SPDX-License-Identifier: GPL-2.0-or-later */
/* char.c: <serial>, <console>, <channel>. Spec: libvirt.org, Domain XML, "Consoles, serial, …". */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/xml.h"

static const char *const classes[] = { "serial", "console", "channel" };

static int no_comma(const char *text, const char *what, GError **error)
{
	if (strchr(text, ',') || strlen(text) > 107)
		return refuse(error, MANAGER_ERR_XML, "%s: '%.120s' has a ',' or over 107 bytes",
			what, text);
	return 0;
}

static int read_tcp(struct config_char *k, xmlNode *n, GError **error)
{
	const char *protocol = xml_child_attr(n, "protocol", "type");
	const xmlNode *source = xml_child(n, "source");

	if (protocol && strcmp(protocol, "raw") != 0)
		return config_unsupported(
			error, "<protocol> '%.16s' of a port: Lodge has raw", protocol);
	k->host = source ? g_strdup(xml_attr(source, "host")) : NULL;
	k->service = source ? g_strdup(xml_attr(source, "service")) : NULL;
	if (!k->host || !k->service)
		return refuse(
			error, MANAGER_ERR_XML, "<source> of a tcp port lacks 'host' or 'service'");
	if (no_comma(k->host, "'host'", error) < 0)
		return -1;
	return no_comma(k->service, "'service'", error);
}

static int read_source(struct config_char *k, xmlNode *n, unsigned flags, GError **error)
{
	static const char *const modes[] = { "connect", "bind", NULL };
	xmlNode *source = xml_child(n, "source");
	unsigned mode = strcmp(k->type, "unix") == 0 && !source ? 1 : 0;
	static const char *const own[] = { "pty", "unix", "file", "tcp", "null", NULL };

	if (!g_strv_contains(own, k->type))
		return config_unsupported(error,
			"<%s> of type '%.16s': Lodge has pty, unix, file, tcp and "
			"null",
			xml_name(n), k->type);
	if (strcmp(k->type, "tcp") == 0 && read_tcp(k, n, error) < 0)
		return -1;
	if (source && xml_attr_enum(source, "mode", modes, &mode, error) < 0)
		return -1;
	k->server = mode == 1;
	if (strcmp(k->type, "pty") == 0) {
		/* The terminal's name is the running machine's. */
		if (!(flags & CONFIG_LIVE)) {
			xml_remove(source);
			xml_set_attr(n, "tty", NULL);
		}
		k->path = source && flags & CONFIG_LIVE ? g_strdup(xml_attr(source, "path")) : NULL;
		return 0;
	}
	k->path = source ? g_strdup(xml_attr(source, "path")) : NULL;
	if (k->path && no_comma(k->path, "'path'", error) < 0)
		return -1;
	if (k->path && !g_path_is_absolute(k->path))
		return refuse(error, MANAGER_ERR_XML,
			"<source> of <%s>: '%.64s' is no absolute path", xml_name(n), k->path);
	if (!k->path &&
		(strcmp(k->type, "file") == 0 || (strcmp(k->type, "unix") == 0 && !k->server)))
		return refuse(error, MANAGER_ERR_XML, "<source> of <%s> lacks 'path'", xml_name(n));
	return 0;
}

static int read_target(struct config_char *k, xmlNode *n, unsigned nth, GError **error)
{
	xmlNode *target = xml_want(n, "target");
	const char *type = xml_attr(target, "type");
	uint64_t port = nth;

	if (k->class == CHAR_CHANNEL) {
		if (!type)
			xml_set_attr(target, "type", type = "virtio");
		if (strcmp(type, "virtio") != 0)
			return config_unsupported(
				error, "<channel> with target '%.16s': Lodge has virtio", type);
		k->name = g_strdup(xml_attr(target, "name"));
		if (!k->name)
			return refuse(error, MANAGER_ERR_XML, "<target> of <channel> lacks 'name'");
		k->virtio = true;
		return no_comma(k->name, "'name'", error);
	}
	if (!xml_attr(target, "port"))
		xml_set_attr_fmt(target, "port", "%u", nth);
	if (xml_attr_uint(target, "port", 255, &port, error) < 0)
		return -1;
	k->port = (unsigned)port;
	if (k->class == CHAR_CONSOLE) {
		if (!type)
			xml_set_attr(target, "type", type = "serial");
		k->virtio = strcmp(type, "virtio") == 0;
		if (!k->virtio && strcmp(type, "serial") != 0)
			return config_unsupported(error,
				"<console> with target '%.16s': Lodge has serial "
				"and virtio",
				type);
		return 0;
	}
	if (!type)
		xml_set_attr(target, "type", type = "isa-serial");
	if (strcmp(type, "isa-serial") != 0)
		return config_unsupported(
			error, "<serial> with target '%.16s': Lodge has isa-serial", type);
	xml_set_attr(xml_want(target, "model"), "name", "isa-serial");
	return 0;
}

int config_char(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error)
{
	struct config_char *k = &d->chr;
	unsigned nth = 0, serials = 0;

	d->kind = DEVICE_CHAR;
	while (strcmp(classes[k->class], xml_name(n)) != 0)
		k->class ++;
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *o = g_ptr_array_index(c->devices, i);

		nth += o->kind == DEVICE_CHAR && o->chr.class == k->class;
		serials += o->kind == DEVICE_CHAR && o->chr.class == CHAR_SERIAL;
	}
	if (!xml_attr(n, "type"))
		xml_set_attr(n, "type", "pty");
	k->type = g_strdup(xml_attr(n, "type"));
	if (!d->alias)
		d->alias = g_strdup_printf("%s%u", classes[k->class], nth);
	/* Parts of a display, which comes with its own issue: kept. */
	if (k->class == CHAR_CHANNEL &&
		(strcmp(k->type, "spicevmc") == 0 || strcmp(k->type, "qemu-vdagent") == 0 ||
			strcmp(k->type, "dbus") == 0))
		return 0;
	if (read_target(k, n, nth, error) < 0 || read_source(k, n, flags, error) < 0)
		return -1;
	k->driven = true;
	k->twin = k->class == CHAR_CONSOLE && !k->virtio;
	if (k->class == CHAR_SERIAL && serials >= 4)
		return config_unsupported(error, "more than 4 <serial> ports");
	return 0;
}
