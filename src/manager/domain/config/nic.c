/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nic.c: <interface>. Spec: libvirt.org, Domain XML, "Network interfaces". */
#include <net/if.h>
#include <string.h>
#include <sys/random.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/xml.h"

static int device_name(const char *name, const char *what, GError **error)
{
	if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/ :,=\t\n"))
		return refuse(
			error, MANAGER_ERR_XML, "%s: '%.32s' is no interface's name", what, name);
	return 0;
}

static int read_source(struct config_nic *k, xmlNode *n, GError **error)
{
	static const char *const types[] = { "network", "bridge", "user", "ethernet", "direct",
		NULL };
	static const char *const from[] = { "network", "bridge", NULL, NULL, "dev" };
	const xmlNode *source = xml_child(n, "source");
	const char *type = xml_attr(n, "type");
	unsigned i;

	if (!type)
		return refuse(error, MANAGER_ERR_XML, "attribute 'type' of <interface> is missing");
	for (i = 0; types[i] && strcmp(types[i], type) != 0; i++)
		;
	if (!types[i])
		return config_unsupported(error,
			"interface type '%.32s': Lodge has network, bridge, user, "
			"ethernet and direct",
			type);
	k->source = i;
	if (!from[i])
		return 0;
	k->from = source ? g_strdup(xml_attr(source, from[i])) : NULL;
	if (!k->from || !*k->from)
		return refuse(error, MANAGER_ERR_XML,
			"<source> of an interface of type '%s' lacks '%s'", type, from[i]);
	return i == NIC_NETWORK ? xml_check_text(k->from, "the network's name", 255, error)
				: device_name(k->from, "<source> of <interface>", error);
}

static int read_mac(struct config_nic *k, xmlNode *n, GError **error)
{
	xmlNode *mac = xml_child(n, "mac");
	const char *text = mac ? xml_attr(mac, "address") : NULL;
	char normal[18];

	if (text) {
		if (mac_parse(text, k->mac) < 0 || k->mac[0] & 1)
			return refuse(error, MANAGER_ERR_XML,
				"<mac> of <interface>: '%.32s' is no address of a card", text);
	} else {
		/* The prefix that virtual machines' cards have by custom. */
		k->mac[0] = 0x52;
		k->mac[1] = 0x54;
		k->mac[2] = 0;
		if (getrandom(k->mac + 3, 3, 0) != 3)
			return refuse(error, MANAGER_ERR_SYSTEM, "no random numbers");
	}
	mac_format(k->mac, normal);
	if (!mac) {
		mac = xmlNewDocNode(n->doc, NULL, (const xmlChar *)"mac", NULL);
		if (n->children)
			xmlAddPrevSibling(n->children, mac);
		else
			xmlAddChild(n, mac);
	}
	xml_set_attr(mac, "address", normal);
	return 0;
}

/* average and peak in KiB/s, burst in KiB */
static int read_direction(
	const xmlNode *n, uint64_t *average, uint64_t *peak, uint64_t *burst, GError **error)
{
	if (!n)
		return 0;
	if (xml_attr_uint(n, "average", G_MAXUINT32, average, error) < 0 ||
		xml_attr_uint(n, "peak", G_MAXUINT32, peak, error) < 0 ||
		xml_attr_uint(n, "burst", G_MAXUINT32, burst, error) < 0)
		return -1;
	return 0;
}

static int read_forward(struct config_nic *k, const xmlNode *f, const xmlNode *r, GError **error)
{
	const char *proto = xml_attr(f, "proto"), *address = xml_attr(f, "address");
	uint64_t start = 0, end, to;

	if (!proto || (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
		return refuse(error, MANAGER_ERR_XML, "<portForward>: 'proto' is tcp or udp");
	if (address && strspn(address, "0123456789.") != strlen(address))
		return config_unsupported(
			error, "<portForward>: address '%.64s': Lodge has IPv4", address);
	if (xml_attr_uint(r, "start", 65535, &start, error) < 0)
		return -1;
	end = to = start;
	if (xml_attr_uint(r, "end", 65535, &end, error) < 0 ||
		xml_attr_uint(r, "to", 65535, &to, error) < 0)
		return -1;
	if (!start || end < start || end - start > 255 || to + (end - start) > 65535)
		return refuse(error, MANAGER_ERR_XML,
			"<range> of <portForward> is none, or over 256 ports");
	for (; start <= end; start++, to++)
		g_ptr_array_add(
			k->forwards, g_strdup_printf("%s:%s:%u:%u", proto, address ? address : "",
					     (unsigned)start, (unsigned)to));
	return 0;
}

static int read_forwards(struct config_nic *k, const xmlNode *n, GError **error)
{
	k->forwards = g_ptr_array_new_with_free_func(g_free);
	for (const xmlNode *f = xml_child(n, "portForward"); f; f = xml_next(f, "portForward")) {
		if (k->source != NIC_USER)
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"<portForward> is for interfaces of type 'user'");
		for (const xmlNode *r = xml_child(f, "range"); r; r = xml_next(r, "range")) {
			if (read_forward(k, f, r, error) < 0)
				return -1;
		}
	}
	return 0;
}

static int read_model(xmlNode *n, GError **error)
{
	xmlNode *model = xml_want(n, "model");
	const char *type = xml_attr(model, "type");

	if (!type)
		xml_set_attr(model, "type", type = "virtio");
	if (strcmp(type, "virtio") != 0 && strcmp(type, "virtio-non-transitional") != 0)
		return config_unsupported(error, "interface model '%.32s': Lodge has virtio", type);
	return 0;
}

static int read_target(struct config_nic *k, xmlNode *n, unsigned flags, GError **error)
{
	xmlNode *target = xml_child(n, "target");
	const char *dev = target ? xml_attr(target, "dev") : NULL;

	if (!target)
		return 0;
	if (xml_attr_bool(target, "managed", &k->managed, error) < 0)
		return -1;
	/* Names that a daemon gave belong to the running machine only. */
	if (dev && !(flags & CONFIG_LIVE) && k->source != NIC_ETHERNET &&
		(g_str_has_prefix(dev, "vnet") || g_str_has_prefix(dev, "lodge") ||
			g_str_has_prefix(dev, "macvtap"))) {
		xml_remove(target);
		return 0;
	}
	if (!dev)
		return 0;
	k->tap = g_strdup(dev);
	return device_name(dev, "<target> of <interface>", error);
}

/* How the network's side of it is to be. */
static int read_port(struct config_nic *k, const xmlNode *n, GError **error)
{
	static const char *const modes[] = { "vepa", "bridge", "private", "passthrough", NULL };
	const xmlNode *source = xml_child(n, "source"), *port = xml_child(n, "port");
	const xmlNode *filter = xml_child(n, "filterref");
	unsigned mode = 0;

	if (k->source == NIC_NETWORK && source)
		k->portgroup = g_strdup(xml_attr(source, "portgroup"));
	if (k->source == NIC_DIRECT && source) {
		if (xml_attr_enum(source, "mode", modes, &mode, error) < 0)
			return -1;
		k->mode = g_strdup(modes[mode]);
	}
	if ((port && xml_attr_bool(port, "isolated", &k->isolated, error) < 0) ||
		xml_attr_bool(n, "trustGuestRxFilters", &k->trusted, error) < 0)
		return -1;
	if (!filter)
		return 0;
	k->filter = g_strdup(xml_attr(filter, "filter"));
	if (!k->filter)
		return refuse(error, MANAGER_ERR_XML, "<filterref> lacks 'filter'");
	k->filter_parameters = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	for (const xmlNode *p = xml_child(filter, "parameter"); p; p = xml_next(p, "parameter")) {
		const char *name = xml_attr(p, "name"), *value = xml_attr(p, "value"), *old;

		if (!name || !value)
			return refuse(error, MANAGER_ERR_XML,
				"<parameter> of <filterref> lacks 'name' or 'value'");
		old = g_hash_table_lookup(k->filter_parameters, name);
		g_hash_table_insert(k->filter_parameters, g_strdup(name),
			old ? g_strdup_printf("%s,%s", old, value) : g_strdup(value));
	}
	return 0;
}

int config_nic(struct domain_config *c, struct config_device *d, xmlNode *n, unsigned flags,
	GError **error)
{
	static const char *const states[] = { "up", "down", NULL };
	struct config_nic *k = &d->nic;
	const xmlNode *driver = xml_child(n, "driver"), *link = xml_child(n, "link");
	const xmlNode *mtu = xml_child(n, "mtu");
	const xmlNode *bandwidth = xml_child(n, "bandwidth");
	unsigned state = 0, nth = 0;
	uint64_t queues = 1, size = 0;

	d->kind = DEVICE_NIC;
	k->managed = true;
	if (read_source(k, n, error) < 0 || read_mac(k, n, error) < 0 || read_model(n, error) < 0 ||
		read_target(k, n, flags, error) < 0 || read_forwards(k, n, error) < 0 ||
		read_port(k, n, error) < 0 ||
		(link && xml_attr_enum(link, "state", states, &state, error) < 0) ||
		(driver && xml_attr_uint(driver, "queues", 8, &queues, error) < 0) ||
		(mtu && xml_attr_uint(mtu, "size", 65535, &size, error) < 0))
		return -1;
	if (bandwidth && (read_direction(xml_child(bandwidth, "inbound"), &k->in_average,
				  &k->in_peak, &k->in_burst, error) < 0 ||
				 read_direction(xml_child(bandwidth, "outbound"), &k->out_average,
					 &k->out_peak, &k->out_burst, error) < 0))
		return -1;
	k->link_down = state == 1;
	k->queues = MAX(1u, (unsigned)queues);
	k->mtu = (unsigned)size;
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *o = g_ptr_array_index(c->devices, i);

		if (o->kind == DEVICE_NIC && memcmp(o->nic.mac, k->mac, 6) == 0)
			return refuse(error, MANAGER_ERR_XML, "two interfaces have the same <mac>");
		nth += o->kind == DEVICE_NIC;
	}
	if (!d->alias)
		d->alias = g_strdup_printf("net%u", nth);
	return 0;
}
