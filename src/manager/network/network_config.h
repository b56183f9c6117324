/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network_config.h: a network's definition, from and to libvirt's network XML. */
#ifndef MANAGER_NETWORK_CONFIG_H
#define MANAGER_NETWORK_CONFIG_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "manager/network/net/address.h"

enum forward_mode {
	FORWARD_NONE,
	FORWARD_NAT,
	FORWARD_ROUTE,
	FORWARD_OPEN,
	FORWARD_BRIDGE,
	FORWARD_PRIVATE,
	FORWARD_VEPA,
	FORWARD_PASSTHROUGH
};

/* One <ip>. */
struct network_ip {
	struct address address;
	unsigned prefix;
	xmlNode *node; /* borrowed from the document: dhcp, tftp */
};

struct network_config {
	xmlDoc *doc;   /* owned: in normal form, it has everything */
	xmlNode *root; /* borrowed from doc */
	char *name;    /* owned */
	uint8_t uuid[16];
	enum forward_mode forward;
	GArray *ips; /* owned: struct network_ip */
};

/* Refuses what is not known or not supported, by name. A missing uuid, and the bridge's mac of a
 * network of our own, are made up: then they are part of the definition. */
struct network_config *network_config_parse(const char *xml, GError **error);
struct network_config *network_config_copy(const struct network_config *c);
void network_config_free(struct network_config *c);

/* Do we make the bridge (nat, route, open, isolated), or is it the host's? */
bool network_config_owns_bridge(const struct network_config *c);
bool network_config_has_dhcp(const struct network_config *c, int family);

/* As virNetworkUpdateCommand and virNetworkUpdateSection number them. */
enum network_update {
	NETWORK_UPDATE_NONE,
	NETWORK_UPDATE_MODIFY,
	NETWORK_UPDATE_DELETE,
	NETWORK_UPDATE_ADD_LAST,
	NETWORK_UPDATE_ADD_FIRST
};
enum network_section {
	NETWORK_SECTION_NONE,
	NETWORK_SECTION_BRIDGE,
	NETWORK_SECTION_DOMAIN,
	NETWORK_SECTION_IP,
	NETWORK_SECTION_IP_DHCP_HOST,
	NETWORK_SECTION_IP_DHCP_RANGE,
	NETWORK_SECTION_FORWARD,
	NETWORK_SECTION_FORWARD_INTERFACE,
	NETWORK_SECTION_FORWARD_PF,
	NETWORK_SECTION_PORTGROUP,
	NETWORK_SECTION_DNS_HOST,
	NETWORK_SECTION_DNS_TXT,
	NETWORK_SECTION_DNS_SRV
};
/* A changed copy; parent: which <ip>, -1: the one that fits. */
struct network_config *network_config_update(const struct network_config *c, unsigned command,
	unsigned section, int parent, const char *xml, GError **error);

extern const struct xml_rule network_xml, network_port_xml;

#endif
