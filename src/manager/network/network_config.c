/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network_config.c: what a network's definition must fulfil beyond its form, and changes of a part.
 */
#include "manager/network/network_config.h"

#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "manager/error.h"
#include "manager/xmlrule.h"

enum { DHCP_RANGE_MAX = 65535 }; /* addresses of one range: what a lease file can bear */

void network_config_free(struct network_config *c)
{
	if (!c)
		return;
	g_clear_pointer(&c->ips, g_array_unref);
	g_clear_pointer(&c->doc, xmlFreeDoc);
	g_free(c->name);
	g_free(c);
}

bool network_config_owns_bridge(const struct network_config *c)
{
	return c->forward <= FORWARD_OPEN;
}

bool network_config_has_dhcp(const struct network_config *c, int family)
{
	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);
		xmlNode *dhcp = xml_child(ip->node, "dhcp");

		if (ip->address.family == family && dhcp &&
			(xml_child(dhcp, "range") || xml_child(dhcp, "host")))
			return true;
	}
	return false;
}

/* An <ip>'s or <route>'s subnet; a host's own address without either. */
static int parse_prefix(xmlNode *n, struct address *a, unsigned *prefix, GError **error)
{
	const char *mask = xml_get(n, "@netmask"), *bits = xml_get(n, "@prefix");
	const char *family = xml_get(n, "@family");
	struct address m;
	int p;

	address_parse(xml_get(n, "@address"), a);
	if (!strcmp(family ? family : "ipv4", "ipv6") != (a->family == AF_INET6))
		return refuse(error, MANAGER_ERR_XML, "<%s>: the address %s is not of family %s",
			n->name, xml_get(n, "@address"), family ? family : "ipv4");
	if (mask && bits)
		return refuse(error, MANAGER_ERR_XML, "<%s> has both netmask and prefix", n->name);
	if (mask) {
		address_parse(mask, &m);
		p = a->family == AF_INET ? netmask_prefix(&m) : -1;
		if (p < 0)
			return refuse(error, MANAGER_ERR_XML, "<%s>: '%s' is not a netmask",
				n->name, mask);
		*prefix = p;
	} else if (bits) {
		*prefix = xml_get_uint(n, "@prefix", 0);
	} else if (a->family == AF_INET6) {
		*prefix = 64;
	} else { /* RFC 791's classes, as it was before there were masks */
		*prefix = a->bytes[0] < 128 ? 8 : a->bytes[0] < 192 ? 16 : 24;
	}
	if (*prefix > address_bits(a))
		return refuse(error, MANAGER_ERR_XML, "<%s>: a prefix of %u bits is too long",
			n->name, *prefix);
	return 0;
}

static int check_range(const struct network_ip *ip, xmlNode *n, GError **error)
{
	struct address first, last;
	uint64_t count;

	address_parse(xml_get(n, "@start"), &first);
	address_parse(xml_get(n, "@end"), &last);
	if (first.family != ip->address.family || last.family != ip->address.family)
		return refuse(error, MANAGER_ERR_XML,
			"DHCP range %s to %s is of another family than its <ip>",
			xml_get(n, "@start"), xml_get(n, "@end"));
	if (address_compare(&first, &last) > 0)
		return refuse(error, MANAGER_ERR_XML, "DHCP range %s to %s is reversed",
			xml_get(n, "@start"), xml_get(n, "@end"));
	if (!address_within(&first, &ip->address, ip->prefix) ||
		!address_within(&last, &ip->address, ip->prefix))
		return refuse(error, MANAGER_ERR_XML, "DHCP range %s to %s is not within %s/%u",
			xml_get(n, "@start"), xml_get(n, "@end"), xml_get(ip->node, "@address"),
			ip->prefix);
	if (ip->address.family == AF_INET) {
		struct address zero = address_subnet(&ip->address, ip->prefix);
		struct address all = address_broadcast(&ip->address, ip->prefix);

		if (address_equal(&first, &zero) || address_equal(&last, &all))
			return refuse(error, MANAGER_ERR_XML,
				"DHCP range %s to %s has the subnet's or the broadcast address in "
				"it",
				xml_get(n, "@start"), xml_get(n, "@end"));
	}
	count = address_distance(&first, &last);
	if (count > DHCP_RANGE_MAX)
		return refuse(error, MANAGER_ERR_XML,
			"DHCP range %s to %s has more than %u addresses", xml_get(n, "@start"),
			xml_get(n, "@end"), DHCP_RANGE_MAX);
	return 0;
}

static int check_host(const struct network_ip *ip, xmlNode *n, GError **error)
{
	const char *mac = xml_get(n, "@mac"), *name = xml_get(n, "@name"), *id = xml_get(n, "@id");
	const char *at = xml_get(n, "@ip");
	struct address a;
	uint8_t raw[6];

	address_parse(at, &a);
	if (!address_within(&a, &ip->address, ip->prefix) || address_equal(&a, &ip->address))
		return refuse(error, MANAGER_ERR_XML,
			"DHCP host %s is not a free address within %s/%u", at,
			xml_get(ip->node, "@address"), ip->prefix);
	if (!mac && !name && !id)
		return refuse(
			error, MANAGER_ERR_XML, "DHCP host %s needs a mac, a name or an id", at);
	if (id && ip->address.family != AF_INET6)
		return refuse(error, MANAGER_ERR_XML, "DHCP host %s: an id is for IPv6", at);
	if (mac && (mac_parse(mac, raw) || raw[0] & 1))
		return refuse(
			error, MANAGER_ERR_XML, "DHCP host %s: %s is a multicast address", at, mac);
	for (xmlNode *o = xml_child(n->parent, "host"); o && o != n; o = xml_next(o, "host")) {
		if (!strcmp(xml_get(o, "@ip"), at) ||
			(mac && !g_strcmp0(mac, xml_get(o, "@mac"))) ||
			(name && !g_strcmp0(name, xml_get(o, "@name"))))
			return refuse(error, MANAGER_ERR_OPERATION_INVALID,
				"there is a DHCP host with the address, mac or name of %s already",
				at);
	}
	return 0;
}

static int check_ips(struct network_config *c, GError **error)
{
	bool dhcp[2] = { false, false };

	for (xmlNode *n = xml_child(c->root, "ip"); n; n = xml_next(n, "ip")) {
		struct network_ip ip = { .node = n };
		xmlNode *d = xml_child(n, "dhcp");

		if (parse_prefix(n, &ip.address, &ip.prefix, error))
			return -1;
		for (xmlNode *r = xml_child(d, "range"); r; r = xml_next(r, "range")) {
			if (check_range(&ip, r, error))
				return -1;
		}
		for (xmlNode *h = xml_child(d, "host"); h; h = xml_next(h, "host")) {
			if (check_host(&ip, h, error))
				return -1;
		}
		if (xml_get_bool(n, "@localPtr", false) &&
			ip.prefix % (ip.address.family == AF_INET ? 8 : 4))
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"localPtr needs a prefix that ends where a label of the name does");
		if (d) {
			bool *seen = &dhcp[ip.address.family == AF_INET6];

			if (*seen)
				return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
					"a network has DHCP on one address of each family only");
			*seen = true;
			if (ip.address.family == AF_INET6 &&
				(xml_child(d, "bootp") || xml_child(n, "tftp")))
				return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
					"bootp and tftp are for IPv4");
		}
		g_array_append_val(c->ips, ip);
	}
	for (xmlNode *n = xml_child(c->root, "route"); n; n = xml_next(n, "route")) {
		struct address a, gw;
		unsigned prefix;
		bool reach = false;

		if (parse_prefix(n, &a, &prefix, error))
			return -1;
		address_parse(xml_get(n, "@gateway"), &gw);
		for (unsigned i = 0; i < c->ips->len; i++) {
			const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

			reach |= address_within(&gw, &ip->address, ip->prefix);
		}
		if (!reach)
			return refuse(error, MANAGER_ERR_XML,
				"the gateway %s of a route is on none of the network's subnets",
				xml_get(n, "@gateway"));
	}
	return 0;
}

static int check_forward(struct network_config *c, GError **error)
{
	static const char *const names[] = { NULL, "nat", "route", "open", "bridge", "private",
		"vepa", "passthrough" };
	xmlNode *f = xml_child(c->root, "forward");
	const char *mode = xml_get(f, "@mode");
	bool interfaces = xml_child(f, "interface");

	if (!f)
		return 0;
	if (!mode) {
		xml_set(f, "@mode", "nat");
		mode = "nat";
	}
	if (!strcmp(mode, "hostdev"))
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"<forward mode='hostdev'> is not supported");
	for (unsigned i = 1; i < G_N_ELEMENTS(names); i++) {
		if (!strcmp(mode, names[i]))
			c->forward = i;
	}
	if (xml_child(f, "nat") && c->forward != FORWARD_NAT)
		return refuse(
			error, MANAGER_ERR_XML, "<forward mode='%s'> cannot have <nat>", mode);
	if (c->forward == FORWARD_OPEN && (xml_get(f, "@dev") || interfaces))
		return refuse(
			error, MANAGER_ERR_XML, "<forward mode='open'> cannot have an interface");
	if (xml_get(f, "@dev") && !interfaces) {
		xmlNode *i = xmlNewChild(f, NULL, (const xmlChar *)"interface", NULL);

		xml_set(i, "@dev", xml_get(f, "@dev"));
	} else if (interfaces && !xml_get(f, "@dev") && c->forward <= FORWARD_ROUTE) {
		xml_set(f, "@dev", xml_get(f, "interface/@dev"));
	}
	if (xml_get(f, "@dev") && strcmp(xml_get(f, "@dev"), xml_get(f, "interface/@dev")))
		return refuse(error, MANAGER_ERR_XML,
			"<forward dev='%s'> and its first <interface> differ", xml_get(f, "@dev"));
	return 0;
}

/* The parts that make sense only where the bridge is ours. */
static int check_bridge(struct network_config *c, GError **error)
{
	static const char *const ours[] = { "ip", "dns", "domain", "mac", "mtu", "route" };
	const char *name = xml_get(c->root, "bridge/@name");
	bool interfaces = xml_child(xml_child(c->root, "forward"), "interface");
	uint8_t mac[6];
	char text[18];

	if (xml_child(c->root, "vlan"))
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"<vlan> is not supported on a network");
	for (xmlNode *g = xml_child(c->root, "portgroup"); g; g = xml_next(g, "portgroup")) {
		if (xml_child(g, "vlan"))
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"<vlan> is not supported on a portgroup");
	}
	if (!network_config_owns_bridge(c)) {
		for (unsigned i = 0; i < G_N_ELEMENTS(ours); i++) {
			if (xml_child(c->root, ours[i]))
				return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
					"<%s> is not for a network on the host's own bridge or "
					"interface",
					ours[i]);
		}
		if (!!name == interfaces || (name && c->forward != FORWARD_BRIDGE))
			return refuse(error, MANAGER_ERR_XML,
				"<forward mode='%s'> needs either a <bridge> or interfaces",
				xml_get(c->root, "forward/@mode"));
		return 0;
	}
	if (!xml_get(c->root, "bridge/@stp"))
		xml_set(c->root, "bridge/@stp", "on");
	if (!xml_get(c->root, "bridge/@delay"))
		xml_set(c->root, "bridge/@delay", "0");
	if (!xml_get(c->root, "mac/@address")) {
		if (getrandom(mac, sizeof(mac), 0) != sizeof(mac))
			return refuse(error, MANAGER_ERR_SYSTEM, "no random numbers");
		memcpy(mac, "\x52\x54\x00", 3);
		mac_format(mac, text);
		xml_set(c->root, "mac/@address", text);
	}
	mac_parse(xml_get(c->root, "mac/@address"), mac);
	if (mac[0] & 1)
		return refuse(
			error, MANAGER_ERR_XML, "a bridge's mac cannot be a multicast address");
	return 0;
}

static int check_rest(struct network_config *c, GError **error)
{
	unsigned defaults = 0;

	for (xmlNode *g = xml_child(c->root, "portgroup"); g; g = xml_next(g, "portgroup")) {
		defaults += xml_get_bool(g, "@default", false);
		for (xmlNode *o = xml_child(c->root, "portgroup"); o != g;
			o = xml_next(o, "portgroup")) {
			if (!strcmp(xml_get(o, "@name"), xml_get(g, "@name")))
				return refuse(error, MANAGER_ERR_XML,
					"there are two portgroups '%s'", xml_get(g, "@name"));
		}
	}
	if (defaults > 1)
		return refuse(error, MANAGER_ERR_XML, "only one portgroup can be the default");
	for (xmlNode *f = xml_child(xml_child(c->root, "dns"), "forwarder"); f;
		f = xml_next(f, "forwarder")) {
		if (!xml_get(f, "@addr") && !xml_get(f, "@domain"))
			return refuse(error, MANAGER_ERR_XML,
				"a DNS forwarder needs addr, domain or both");
	}
	for (xmlNode *s = xml_child(xml_child(c->root, "dns"), "srv"); s; s = xml_next(s, "srv")) {
		if (!xml_get(s, "@target") && xml_get(s, "@port"))
			return refuse(
				error, MANAGER_ERR_XML, "a DNS srv with a port needs a target");
	}
	return 0;
}

/* Takes doc. */
static struct network_config *config_new(xmlDoc *doc, GError **error)
{
	struct network_config *c = g_new0(struct network_config, 1);
	char text[37];
	const char *uuid;

	c->doc = doc;
	c->root = xmlDocGetRootElement(doc);
	c->ips = g_array_new(FALSE, TRUE, sizeof(struct network_ip));
	c->name = g_strdup(xml_get(c->root, "name"));
	uuid = xml_get(c->root, "uuid");
	if (uuid)
		uuid_parse_text(uuid, c->uuid);
	else
		uuid_make(c->uuid);
	uuid_format(c->uuid, text);
	xml_set(c->root, "uuid", text);
	if (check_forward(c, error) || check_bridge(c, error) || check_ips(c, error) ||
		check_rest(c, error) ||
		xml_rule_check(
			c->root, &network_xml, error)) { /* what was added goes to its place */
		network_config_free(c);
		return NULL;
	}
	return c;
}

struct network_config *network_config_parse(const char *xml, GError **error)
{
	xmlDoc *doc = xml_rule_parse(xml, &network_xml, error);

	return doc ? config_new(doc, error) : NULL;
}

struct network_config *network_config_copy(const struct network_config *c)
{
	return config_new(xmlCopyDoc(c->doc, 1), NULL);
}

/* ---- update: one element of one list ---- */

struct section {
	const char *parent; /* below <network>; "ip/dhcp": of the <ip> that is meant */
	const char *element;
	const char *keys[4]; /* attributes that tell which one; what both have must agree */
};

static const struct section sections[] = {
	[NETWORK_SECTION_IP_DHCP_HOST] = { "ip/dhcp", "host", { "@mac", "@id", "@name", "@ip" } },
	[NETWORK_SECTION_IP_DHCP_RANGE] = { "ip/dhcp", "range", { "@start", "@end" } },
	[NETWORK_SECTION_FORWARD_INTERFACE] = { "forward", "interface", { "@dev" } },
	[NETWORK_SECTION_PORTGROUP] = { "", "portgroup", { "@name" } },
	[NETWORK_SECTION_DNS_HOST] = { "dns", "host", { "@ip" } },
	[NETWORK_SECTION_DNS_TXT] = { "dns", "txt", { "@name" } },
	[NETWORK_SECTION_DNS_SRV] = { "dns", "srv",
		{ "@service", "@protocol", "@domain", "@target" } },
};

/* The <ip> that an update of its DHCP means: by number, or by an address within its subnet. */
static xmlNode *which_ip(
	const struct network_config *c, int parent, const xmlNode *item, GError **error)
{
	const char *text = xml_get(item, "@ip") ? xml_get(item, "@ip") : xml_get(item, "@start");
	struct address a;
	bool known = text && !address_parse(text, &a);

	if (parent >= (int)c->ips->len) {
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "there is no <ip> number %d", parent);
		return NULL;
	}
	if (parent >= 0)
		return g_array_index(c->ips, struct network_ip, parent).node;
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < c->ips->len; i++) {
			const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

			if (pass ? !known && xml_child(ip->node, "dhcp")
				 : known && address_within(&a, &ip->address, ip->prefix))
				return ip->node;
		}
	}
	refuse(error, MANAGER_ERR_OPERATION_INVALID, "no <ip> of the network fits the <%s>",
		item->name);
	return NULL;
}

static bool same_item(const struct section *s, const xmlNode *a, const xmlNode *b, bool any)
{
	bool shared = false;

	for (unsigned i = 0; i < G_N_ELEMENTS(s->keys) && s->keys[i]; i++) {
		const char *x = xml_get(a, s->keys[i]), *y = xml_get(b, s->keys[i]);

		if (!x || !y)
			continue;
		if (!g_ascii_strcasecmp(x, y)) {
			shared = true;
			if (any)
				return true;
		} else if (!any) {
			return false;
		}
	}
	return shared;
}

static int apply_update(struct network_config *c, const struct section *s, unsigned command,
	int parent, xmlNode *item, GError **error)
{
	xmlNode *at = c->root, *found = NULL;
	/* A host keeps its identity when its address or name changes. */
	bool any = command == NETWORK_UPDATE_MODIFY;

	if (!strcmp(s->parent, "ip/dhcp")) {
		at = which_ip(c, parent, item, error);
		if (!at)
			return -1;
		if (!xml_child(at, "dhcp"))
			xmlNewChild(at, NULL, (const xmlChar *)"dhcp", NULL);
		at = xml_child(at, "dhcp");
	} else if (*s->parent) {
		if (!xml_child(at, s->parent))
			xmlNewChild(at, NULL, (const xmlChar *)s->parent, NULL);
		at = xml_child(at, s->parent);
	}
	for (xmlNode *n = xml_child(at, s->element); n && !found; n = xml_next(n, s->element)) {
		if (same_item(s, n, item, any))
			found = n;
	}
	if (command == NETWORK_UPDATE_ADD_FIRST || command == NETWORK_UPDATE_ADD_LAST) {
		xmlNode *first = xml_child(at, s->element);

		if (found)
			return refuse(error, MANAGER_ERR_OPERATION_INVALID,
				"the network has that <%s> already", s->element);
		item = xmlDocCopyNode(item, c->doc, 1);
		if (command == NETWORK_UPDATE_ADD_FIRST && first)
			xmlAddPrevSibling(first, item);
		else
			xmlAddChild(at, item);
		return 0;
	}
	if (!found)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "the network has no such <%s>",
			s->element);
	if (command == NETWORK_UPDATE_MODIFY)
		xmlAddPrevSibling(found, xmlDocCopyNode(item, c->doc, 1));
	xmlUnlinkNode(found);
	xmlFreeNode(found);
	return 0;
}

struct network_config *network_config_update(const struct network_config *c, unsigned command,
	unsigned section, int parent, const char *xml, GError **error)
{
	const struct section *s = section < G_N_ELEMENTS(sections) ? &sections[section] : NULL;
	g_autoptr(xmlDoc) item = NULL;
	xmlDoc *doc;
	xmlNode *root;
	struct network_config *n;
	/* The place's own rules are checked with the whole; here only the root's name. */
	struct xml_rule rule = { .kind = XML_VERBATIM };

	if (!s || !s->element ||
		(section == NETWORK_SECTION_DNS_SRV && command == NETWORK_UPDATE_MODIFY) ||
		(section == NETWORK_SECTION_DNS_TXT && command == NETWORK_UPDATE_MODIFY) ||
		(section == NETWORK_SECTION_DNS_HOST && command == NETWORK_UPDATE_MODIFY) ||
		(section == NETWORK_SECTION_IP_DHCP_RANGE && command == NETWORK_UPDATE_MODIFY) ||
		(section == NETWORK_SECTION_FORWARD_INTERFACE &&
			command == NETWORK_UPDATE_MODIFY)) {
		refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"that part of a network cannot be updated");
		return NULL;
	}
	if (command < NETWORK_UPDATE_MODIFY || command > NETWORK_UPDATE_ADD_FIRST) {
		refuse(error, MANAGER_ERR_INVALID_ARG, "unknown update command %u", command);
		return NULL;
	}
	rule.name = s->element;
	item = xml_rule_parse(xml, &rule, error);
	if (!item)
		return NULL;
	root = xmlDocGetRootElement(item);
	doc = xmlCopyDoc(c->doc, 1);
	n = config_new(doc, error);
	if (!n)
		return NULL;
	if (apply_update(n, s, command, parent, root, error)) {
		network_config_free(n);
		return NULL;
	}
	doc = g_steal_pointer(&n->doc);
	network_config_free(n);
	if (xml_rule_check(xmlDocGetRootElement(doc), &network_xml, error)) {
		xmlFreeDoc(doc);
		return NULL;
	}
	return config_new(doc, error);
}
