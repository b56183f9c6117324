/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network_xml.c: what network XML may hold. Spec: libvirt, formatnetwork.html,
 * formatnetworkport.html. */
#include "manager/network/network_config.h"
#include "manager/xmlrule.h"

static const char *const on_off[] = { "on", "off", NULL };
static const char *const forward_modes[] = { "nat", "route", "open", "bridge", "private", "vepa",
	"passthrough", "hostdev", NULL };
static const char *const families[] = { "ipv4", "ipv6", NULL };
static const char *const protocols[] = { "tcp", "udp", NULL };
static const char *const lease_units[] = { "seconds", "minutes", "hours", NULL };
static const char *const managers[] = { "kernel", "libvirt", NULL };
static const char *const macvtap_modes[] = { "bridge", "private", "vepa", "passthrough", NULL };
static const char *const plug_types[] = { "network", "bridge", "direct", "hostdev-pci", NULL };

static const struct xml_rule limits[] = {
	{ "@average", XML_UINT },
	{ "@peak", XML_UINT },
	{ "@floor", XML_UINT, XML_REFUSED },
	{ "@burst", XML_UINT },
	{ NULL },
};

static const struct xml_rule bandwidth[] = {
	{ "@classID", XML_UINT, XML_IGNORED },
	{ "inbound", XML_NOTHING, 0, limits },
	{ "outbound", XML_NOTHING, 0, limits },
	{ NULL },
};

static const struct xml_rule tag[] = {
	{ "@id", XML_UINT, XML_REQUIRED, .max = 4095 },
	{ "@nativeMode", XML_TEXT, XML_REFUSED },
	{ NULL },
};

static const struct xml_rule vlan[] = {
	{ "@trunk", XML_BOOL },
	{ "tag", XML_NOTHING, XML_REQUIRED | XML_MANY, tag },
	{ NULL },
};

static const struct xml_rule port_options[] = { { "@isolated", XML_BOOL }, { NULL } };
static const struct xml_rule device_name[] = { { "@dev", XML_DEVICE, XML_REQUIRED },
	{ "@connections", XML_UINT, XML_IGNORED }, { NULL } };

static const struct xml_rule bridge[] = {
	{ "@name", XML_DEVICE },
	{ "@zone", XML_TEXT, XML_REFUSED },
	{ "@stp", XML_ENUM, .choices = on_off },
	{ "@delay", XML_UINT, .max = 30 },
	{ "@macTableManager", XML_ENUM, .choices = managers },
	{ NULL },
};

static const struct xml_rule mtu[] = { { "@size", XML_UINT, XML_REQUIRED, .max = 65535 },
	{ NULL } };
static const struct xml_rule mac[] = { { "@address", XML_MAC, XML_REQUIRED }, { NULL } };

static const struct xml_rule nat_address[] = {
	{ "@start", XML_IP4, XML_REQUIRED },
	{ "@end", XML_IP4, XML_REQUIRED },
	{ NULL },
};

static const struct xml_rule nat_port[] = {
	{ "@start", XML_UINT, XML_REQUIRED, .max = 65535 },
	{ "@end", XML_UINT, XML_REQUIRED, .max = 65535 },
	{ NULL },
};

static const struct xml_rule nat[] = {
	{ "@ipv6", XML_BOOL },
	{ "address", XML_NOTHING, 0, nat_address },
	{ "port", XML_NOTHING, 0, nat_port },
	{ NULL },
};

static const struct xml_rule forward[] = {
	{ "@dev", XML_DEVICE },
	{ "@mode", XML_ENUM, .choices = forward_modes },
	{ "@managed", XML_BOOL, XML_REFUSED },
	{ "pf", XML_NOTHING, XML_REFUSED },
	{ "driver", XML_NOTHING, XML_REFUSED },
	{ "nat", XML_NOTHING, 0, nat },
	{ "interface", XML_NOTHING, XML_MANY, device_name },
	{ "address", XML_NOTHING, XML_REFUSED },
	{ NULL },
};

static const struct xml_rule portgroup[] = {
	{ "@name", XML_DEVICE, XML_REQUIRED },
	{ "@default", XML_BOOL },
	{ "@trustGuestRxFilters", XML_BOOL },
	{ "virtualport", XML_NOTHING, XML_REFUSED },
	{ "bandwidth", XML_NOTHING, 0, bandwidth },
	{ "vlan", XML_NOTHING, 0, vlan },
	{ NULL },
};

static const struct xml_rule domain[] = {
	{ "@name", XML_DNS, XML_REQUIRED },
	{ "@localOnly", XML_BOOL },
	{ NULL },
};

static const struct xml_rule forwarder[] = { { "@domain", XML_DNS }, { "@addr", XML_IP },
	{ NULL } };
static const struct xml_rule txt[] = {
	{ "@name", XML_DNS, XML_REQUIRED },
	{ "@value", XML_TEXT, XML_REQUIRED },
	{ NULL },
};
static const struct xml_rule srv[] = {
	{ "@service", XML_DNS, XML_REQUIRED },
	{ "@protocol", XML_ENUM, XML_REQUIRED, .choices = protocols },
	{ "@domain", XML_DNS },
	{ "@target", XML_DNS },
	{ "@port", XML_UINT, .max = 65535 },
	{ "@priority", XML_UINT, .max = 65535 },
	{ "@weight", XML_UINT, .max = 65535 },
	{ NULL },
};
static const struct xml_rule dns_host[] = {
	{ "@ip", XML_IP, XML_REQUIRED },
	{ "hostname", XML_DNS, XML_REQUIRED | XML_MANY },
	{ NULL },
};

static const struct xml_rule dns[] = {
	{ "@enable", XML_BOOL },
	{ "@forwardPlainNames", XML_BOOL },
	{ "forwarder", XML_NOTHING, XML_MANY, forwarder },
	{ "txt", XML_NOTHING, XML_MANY, txt },
	{ "srv", XML_NOTHING, XML_MANY, srv },
	{ "host", XML_NOTHING, XML_MANY, dns_host },
	{ NULL },
};

static const struct xml_rule lease[] = {
	{ "@expiry", XML_UINT, XML_REQUIRED },
	{ "@unit", XML_ENUM, .choices = lease_units },
	{ NULL },
};

static const struct xml_rule range[] = {
	{ "@start", XML_IP, XML_REQUIRED },
	{ "@end", XML_IP, XML_REQUIRED },
	{ "lease", XML_NOTHING, 0, lease },
	{ NULL },
};

static const struct xml_rule dhcp_host[] = {
	{ "@mac", XML_MAC },
	{ "@id", XML_DNS }, /* a DUID: hex and colons */
	{ "@name", XML_DNS },
	{ "@ip", XML_IP, XML_REQUIRED },
	{ "lease", XML_NOTHING, 0, lease },
	{ NULL },
};

static const struct xml_rule bootp[] = {
	{ "@file", XML_TEXT, XML_REQUIRED },
	{ "@server", XML_DNS },
	{ NULL },
};

static const struct xml_rule dhcp[] = {
	{ "range", XML_NOTHING, XML_MANY, range },
	{ "host", XML_NOTHING, XML_MANY, dhcp_host },
	{ "bootp", XML_NOTHING, 0, bootp },
	{ NULL },
};

static const struct xml_rule tftp[] = { { "@root", XML_PATH, XML_REQUIRED }, { NULL } };

static const struct xml_rule ip[] = {
	{ "@family", XML_ENUM, .choices = families },
	{ "@address", XML_IP, XML_REQUIRED },
	{ "@netmask", XML_IP4 },
	{ "@prefix", XML_UINT, .max = 128 },
	{ "@localPtr", XML_BOOL },
	{ "tftp", XML_NOTHING, 0, tftp },
	{ "dhcp", XML_NOTHING, 0, dhcp },
	{ NULL },
};

static const struct xml_rule route[] = {
	{ "@family", XML_ENUM, .choices = families },
	{ "@address", XML_IP, XML_REQUIRED },
	{ "@netmask", XML_IP4 },
	{ "@prefix", XML_UINT, .max = 128 },
	{ "@gateway", XML_IP, XML_REQUIRED },
	{ "@metric", XML_UINT },
	{ NULL },
};

static const struct xml_rule network[] = {
	{ "@connections", XML_UINT, XML_IGNORED },
	{ "@ipv6", XML_BOOL },
	{ "@trustGuestRxFilters", XML_BOOL },
	{ "name", XML_NAME, XML_REQUIRED },
	{ "uuid", XML_UUID },
	{ "title", XML_TEXT },
	{ "description", XML_TEXT },
	{ "metadata", XML_VERBATIM },
	{ "forward", XML_NOTHING, 0, forward },
	{ "bridge", XML_NOTHING, 0, bridge },
	{ "mtu", XML_NOTHING, 0, mtu },
	{ "mac", XML_NOTHING, 0, mac },
	{ "domain", XML_NOTHING, 0, domain },
	{ "dns", XML_NOTHING, 0, dns },
	{ "virtualport", XML_NOTHING, XML_REFUSED },
	{ "bandwidth", XML_NOTHING, 0, bandwidth },
	{ "vlan", XML_NOTHING, 0, vlan },
	{ "port", XML_NOTHING, 0, port_options },
	{ "ip", XML_NOTHING, XML_MANY, ip },
	{ "route", XML_NOTHING, XML_MANY, route },
	{ "portgroup", XML_NOTHING, XML_MANY, portgroup },
	{ "options", XML_NOTHING,
		XML_REFUSED }, /* dnsmasq's own: a line there is root on the host */
	{ NULL },
};

const struct xml_rule network_xml = { "network", XML_NOTHING, 0, network };

static const struct xml_rule owner[] = {
	{ "name", XML_TEXT, XML_REQUIRED },
	{ "uuid", XML_UUID, XML_REQUIRED },
	{ NULL },
};
static const struct xml_rule rxfilters[] = { { "@trustGuest", XML_BOOL }, { NULL } };
static const struct xml_rule plug[] = {
	{ "@type", XML_ENUM, XML_REQUIRED, .choices = plug_types },
	{ "@bridge", XML_DEVICE },
	{ "@dev", XML_DEVICE },
	{ "@mode", XML_ENUM, .choices = macvtap_modes },
	{ "@macTableManager", XML_ENUM, .choices = managers },
	{ "@managed", XML_BOOL, XML_REFUSED },
	{ NULL },
};

static const struct xml_rule network_port[] = {
	{ "uuid", XML_UUID },
	{ "owner", XML_NOTHING, XML_REQUIRED, owner },
	{ "mac", XML_NOTHING, XML_REQUIRED, mac },
	{ "group", XML_DEVICE },
	{ "rxfilters", XML_NOTHING, 0, rxfilters },
	{ "virtualport", XML_NOTHING, XML_REFUSED },
	{ "bandwidth", XML_NOTHING, 0, bandwidth },
	{ "vlan", XML_NOTHING, XML_REFUSED },
	{ "port", XML_NOTHING, 0, port_options },
	{ "plug", XML_NOTHING, 0, plug },
	{ NULL },
};

const struct xml_rule network_port_xml = { "networkport", XML_NOTHING, 0, network_port };
