/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firewall.c: the rules of networks and of guests' ports as text for nftables. Spec: nft(8).
 *
 * inet lodge:	 forward looks first at where a packet goes (may it enter that network?), then at
 *where it is from (may it leave?); nat masquerades. bridge lodge: `from` and `to` lead each guest's
 *port to its own chain; a port of a network of ours goes on to that network's chain. Sets hold who
 *was given which address: an address that was leased to one guest cannot be another's source.
 */
#include "manager/network/net/firewall.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/socket.h>

#include "manager/error.h"
#include "manager/network/network_config.h"
#include "manager/xmlrule.h"

static GString *subnet_text(GString *s, const struct address *a, unsigned prefix)
{
	struct address net = address_subnet(a, prefix);
	char text[ADDRESS_TEXT];

	address_format(&net, text);
	g_string_append_printf(s, "%s%s/%u", s->len ? ", " : "", text, prefix);
	return s;
}

/* The addresses that guests of the network may send from; routed ones behind a guest too. */
static char *subnets(const struct network_config *c, int family)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		if (ip->address.family == family)
			subnet_text(s, &ip->address, ip->prefix);
	}
	for (xmlNode *r = xml_child(c->root, "route"); r && s->len; r = xml_next(r, "route")) {
		struct address a, mask;

		address_parse(xml_get(r, "@address"), &a);
		if (a.family != family)
			continue;
		if (xml_get(r, "@netmask") && !address_parse(xml_get(r, "@netmask"), &mask))
			subnet_text(s, &a, netmask_prefix(&mask));
		else
			subnet_text(s, &a, xml_get_uint(r, "@prefix", address_bits(&a)));
	}
	return g_string_free(s, s->len == 0);
}

static char *gateways(const struct network_config *c, int family)
{
	GString *s = g_string_new(NULL);
	char text[ADDRESS_TEXT];

	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		if (ip->address.family != family)
			continue;
		address_format(&ip->address, text);
		g_string_append_printf(s, "%s%s", s->len ? ", " : "", text);
	}
	return g_string_free(s, s->len == 0);
}

/* " oifname { … }" of the interfaces that a network forwards to; "" for any. */
static char *interfaces(const struct network_config *c, const char *key)
{
	GString *s = g_string_new(NULL);
	xmlNode *f = xml_child(c->root, "forward");

	for (xmlNode *i = xml_child(f, "interface"); i; i = xml_next(i, "interface"))
		g_string_append_printf(s, "%s\"%s\"", s->len ? ", " : "", xml_get(i, "@dev"));
	if (s->len) {
		g_autofree char *prefix = g_strdup_printf("%s { ", key);

		g_string_prepend(s, prefix);
		g_string_append(s, " } ");
	}
	return g_string_free(s, FALSE);
}

/* ---- inet: forwarding and NAT ---- */

static bool restricts(const struct firewall_network *n)
{
	return n->config->forward < FORWARD_OPEN;
}

static void forward_family(GString *out, const struct firewall_network *n, bool to, int family)
{
	const struct network_config *c = n->config;
	g_autofree char *nets = subnets(c, family);
	g_autofree char *devs = interfaces(c, to ? "iifname" : "oifname");
	const char *ip = family == AF_INET ? "ip" : "ip6";
	bool nat = c->forward == FORWARD_NAT &&
		   (family == AF_INET || xml_get_bool(c->root, "forward/nat/@ipv6", false));

	if (!nets || c->forward == FORWARD_NONE)
		return;
	if (!to)
		g_string_append_printf(out, "\t\t%s%s saddr { %s } accept\n", devs, ip, nets);
	else if (!nat) /* allowed in; the chain of where it is from may still object */
		g_string_append_printf(out, "\t\t%s%s daddr { %s } return\n", devs, ip, nets);
}

static void forward_chains(GString *out, const struct firewall_network *n)
{
	uint64_t limit = xml_get_uint(n->config->root, "bandwidth/outbound/@average", 0);

	g_string_append_printf(
		out, "\tchain to-%s {\n\t\tiifname \"%s\" accept\n", n->bridge, n->bridge);
	if (n->config->forward != FORWARD_NONE)
		g_string_append(out, "\t\tct state established,related accept\n");
	forward_family(out, n, true, AF_INET);
	forward_family(out, n, true, AF_INET6);
	g_string_append_printf(out,
		"\t\treject with icmpx type admin-prohibited\n\t}\n\tchain from-%s {\n", n->bridge);
	if (limit)
		g_string_append_printf(out,
			"\t\tlimit rate over %" G_GUINT64_FORMAT
			" kbytes/second burst %" G_GUINT64_FORMAT " kbytes drop\n",
			(guint64)limit, (guint64)MAX(limit / 8, 64));
	forward_family(out, n, false, AF_INET);
	forward_family(out, n, false, AF_INET6);
	g_string_append(out, "\t\treject with icmpx type admin-prohibited\n\t}\n");
}

static void nat_rules(GString *out, const struct firewall_network *n, int family)
{
	const struct network_config *c = n->config;
	g_autofree char *nets = subnets(c, family), *devs = interfaces(c, "oifname");
	const char *ip = family == AF_INET ? "ip" : "ip6";
	const char *start =
		family == AF_INET ? xml_get(c->root, "forward/nat/address/@start") : NULL;
	const char *low = xml_get(c->root, "forward/nat/port/@start");
	g_autofree char *how = start ? g_strdup_printf("snat ip to %s-%s", start,
					       xml_get(c->root, "forward/nat/address/@end"))
				     : g_strdup("masquerade");
	g_autofree char *rule = NULL;

	if (!nets || c->forward != FORWARD_NAT ||
		(family == AF_INET6 && !xml_get_bool(c->root, "forward/nat/@ipv6", false)))
		return;
	rule = g_strdup_printf("\t\t%s%s saddr { %s } %s daddr != { %s, %s } ", devs, ip, nets, ip,
		nets, family == AF_INET ? "224.0.0.0/4, 255.255.255.255" : "ff00::/8");
	if (low)
		g_string_append_printf(out, "%smeta l4proto { tcp, udp } %s%s:%s-%s\n", rule, how,
			start ? "" : " to ", low, xml_get(c->root, "forward/nat/port/@end"));
	g_string_append_printf(out, "%s%s\n", rule, how);
}

static void inet_table(GString *out, const struct firewall_network *nets, unsigned count)
{
	GString *to = g_string_new(NULL), *from = g_string_new(NULL);

	g_string_append(out, "add table inet lodge\ndelete table inet lodge\ntable inet lodge {\n");
	for (unsigned i = 0; i < count; i++) {
		if (!restricts(&nets[i]))
			continue;
		forward_chains(out, &nets[i]);
		g_string_append_printf(to, "%s\"%s\" : jump to-%s", to->len ? ", " : "",
			nets[i].bridge, nets[i].bridge);
		g_string_append_printf(from, "%s\"%s\" : jump from-%s", from->len ? ", " : "",
			nets[i].bridge, nets[i].bridge);
	}
	g_string_append(out, "\tchain forward {\n\t\ttype filter hook forward priority filter; "
			     "policy accept;\n");
	if (to->len)
		g_string_append_printf(out, "\t\toifname vmap { %s }\n\t\tiifname vmap { %s }\n",
			to->str, from->str);
	g_string_append(out, "\t}\n\tchain nat {\n\t\ttype nat hook postrouting priority srcnat; "
			     "policy accept;\n");
	for (unsigned i = 0; i < count; i++) {
		nat_rules(out, &nets[i], AF_INET);
		nat_rules(out, &nets[i], AF_INET6);
	}
	g_string_append(out, "\t}\n}\n");
	g_string_free(to, TRUE);
	g_string_free(from, TRUE);
}

/* ---- bridge: what a guest may send ---- */

static void lease_elements(GString *out, const char *bridge, const GArray *leases, bool v6)
{
	g_autoptr(GString) held = g_string_new(NULL), pairs = g_string_new(NULL);
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (unsigned i = 0; leases && i < leases->len; i++) {
		const struct firewall_lease *l = &g_array_index(leases, struct firewall_lease, i);
		char mac[18];

		if ((strchr(l->address, ':') != NULL) != v6)
			continue;
		mac_format(l->mac, mac);
		if (g_hash_table_add(seen, (char *)l->address))
			g_string_append_printf(held, "%s%s", held->len ? ", " : "", l->address);
		g_string_append_printf(pairs, "%s%s . %s", pairs->len ? ", " : "", l->address, mac);
	}
	if (!held->len)
		return;
	g_string_append_printf(out, "add element bridge lodge held%s-%s { %s }\n", v6 ? "6" : "",
		bridge, held->str);
	g_string_append_printf(out, "add element bridge lodge pairs%s-%s { %s }\n", v6 ? "6" : "",
		bridge, pairs->str);
}

char *firewall_leases_text(const char *bridge, const GArray *leases)
{
	GString *out = g_string_new(NULL);
	static const char *const sets[] = { "held", "pairs", "held6", "pairs6" };

	for (unsigned i = 0; i < G_N_ELEMENTS(sets); i++)
		g_string_append_printf(out, "flush set bridge lodge %s-%s\n", sets[i], bridge);
	lease_elements(out, bridge, leases, false);
	lease_elements(out, bridge, leases, true);
	return g_string_free(out, FALSE);
}

static void network_family(GString *out, const struct firewall_network *n, int family)
{
	g_autofree char *nets = subnets(n->config, family), *own = gateways(n->config, family);
	bool dhcp = network_config_has_dhcp(n->config, family);
	const char *b = n->bridge;

	if (!nets)
		return;
	if (family == AF_INET) {
		g_string_append_printf(out,
			"\t\tarp saddr ip { %s } drop\n"
			"\t\tarp saddr ip @held-%s arp saddr ip . ether saddr != @pairs-%s drop\n"
			"\t\tarp saddr ip != { 0.0.0.0, %s } drop\n",
			own, b, b, nets);
		if (dhcp)
			g_string_append(out, "\t\tether type ip udp sport 67 drop\n");
		g_string_append_printf(out,
			"\t\tip saddr 0.0.0.0 udp dport 67 return\n"
			"\t\tip saddr { %s } drop\n"
			"\t\tip saddr @held-%s ip saddr . ether saddr != @pairs-%s drop\n"
			"\t\tip saddr != { %s } drop\n",
			own, b, b, nets);
		return;
	}
	g_string_append(out, "\t\ticmpv6 type nd-router-advert drop\n");
	if (dhcp)
		g_string_append(out, "\t\tether type ip6 udp sport 547 drop\n");
	g_string_append_printf(out,
		"\t\tip6 saddr { %s } drop\n"
		"\t\tip6 saddr @held6-%s ip6 saddr . ether saddr != @pairs6-%s drop\n"
		"\t\tip6 saddr != { ::, fe80::/10, %s } drop\n",
		own, b, b, nets);
}

static void network_chain(GString *out, const struct firewall_network *n)
{
	const char *b = n->bridge;

	g_string_append_printf(out,
		"\tset held-%s { type ipv4_addr; }\n\tset pairs-%s { type ipv4_addr . ether_addr; "
		"}\n"
		"\tset held6-%s { type ipv6_addr; }\n\tset pairs6-%s { type ipv6_addr . "
		"ether_addr; }\n",
		b, b, b, b);
	/*
	 * No VLANs inside: they would go past the rules below; no say in the host's spanning tree.
	 */
	g_string_append_printf(out,
		"\tchain net-%s {\n\t\tether type { 8021q, 8021ad } drop\n"
		"\t\tether daddr 01:80:c2:00:00:00 drop\n",
		b);
	network_family(out, n, AF_INET);
	network_family(out, n, AF_INET6);
	g_string_append(out, "\t}\n");
}

/* Each line of a port's chain begins with `lead`. */
static void port_rules(GString *out, const struct firewall_port *p, const char *lead)
{
	char mac[18];

	mac_format(p->mac, mac);
	if (p->average)
		g_string_append_printf(out,
			"%slimit rate over %" G_GUINT64_FORMAT
			" kbytes/second burst %" G_GUINT64_FORMAT " kbytes drop\n",
			lead, (guint64)p->average,
			(guint64)MAX(p->burst ? p->burst : p->average / 8, 64));
	if (p->trusted || p->from_rules) {
		g_string_append(out, p->from_rules ? p->from_rules : "");
		return;
	}
	g_string_append_printf(out,
		"%sether saddr != %s drop\n%sarp htype 1 arp saddr ether != %s drop\n", lead, mac,
		lead, mac);
	if (p->network_bridge)
		g_string_append_printf(out, "%sjump net-%s\n", lead, p->network_bridge);
}

char *firewall_port_text(const struct firewall_port *p)
{
	GString *out = g_string_new(NULL);
	g_autofree char *lead = g_strdup_printf("add rule bridge lodge from-%s ", p->device);

	g_string_append_printf(out,
		"add chain bridge lodge from-%s\nflush chain bridge lodge from-%s\n", p->device,
		p->device);
	port_rules(out, p, lead);
	g_string_append_printf(out, "add element bridge lodge from { \"%s\" : jump from-%s }\n",
		p->device, p->device);
	return g_string_free(out, FALSE);
}

char *firewall_port_gone_text(const char *device)
{
	return g_strdup_printf("delete element bridge lodge from { \"%s\" }\n"
			       "delete chain bridge lodge from-%s\n",
		device, device);
}

static void bridge_table(GString *out, const struct firewall_network *nets, unsigned net_count,
	const struct firewall_port *ports, unsigned port_count)
{
	g_autoptr(GString) from = g_string_new(NULL), to = g_string_new(NULL);

	g_string_append(
		out, "add table bridge lodge\ndelete table bridge lodge\ntable bridge lodge {\n");
	for (unsigned i = 0; i < net_count; i++)
		network_chain(out, &nets[i]);
	for (unsigned i = 0; i < port_count; i++) {
		const struct firewall_port *p = &ports[i];

		g_string_append(out, p->extra ? p->extra : "");
		g_string_append_printf(out, "\tchain from-%s {\n", p->device);
		port_rules(out, p, "\t\t");
		g_string_append(out, "\t}\n");
		g_string_append_printf(from, "%s\"%s\" : jump from-%s", from->len ? ", " : "",
			p->device, p->device);
		if (!p->to_rules)
			continue;
		g_string_append_printf(out, "\tchain to-%s {\n%s\t}\n", p->device, p->to_rules);
		g_string_append_printf(
			to, "%s\"%s\" : jump to-%s", to->len ? ", " : "", p->device, p->device);
	}
	g_string_append(out, "\tmap from {\n\t\ttype ifname : verdict\n");
	if (from->len)
		g_string_append_printf(out, "\t\telements = { %s }\n", from->str);
	g_string_append(out, "\t}\n\tchain prerouting {\n"
			     "\t\ttype filter hook prerouting priority dstnat; policy accept;\n"
			     "\t\tiifname vmap @from\n\t}\n");
	g_string_append(out, "\tchain postrouting {\n"
			     "\t\ttype filter hook postrouting priority srcnat; policy accept;\n");
	if (to->len)
		g_string_append_printf(out, "\t\toifname vmap { %s }\n", to->str);
	g_string_append(out, "\t}\n}\n");
	for (unsigned i = 0; i < net_count; i++) {
		lease_elements(out, nets[i].bridge, nets[i].leases, false);
		lease_elements(out, nets[i].bridge, nets[i].leases, true);
	}
}

char *firewall_text(const struct firewall_network *nets, unsigned net_count,
	const struct firewall_port *ports, unsigned port_count)
{
	GString *out = g_string_new(NULL);

	inet_table(out, nets, net_count);
	bridge_table(out, nets, net_count, ports, port_count);
	return g_string_free(out, FALSE);
}

/* ---- the kernel ---- */

int firewall_apply(const char *text, GError **error)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int err = 0;

	if (!nft)
		return refuse(error, MANAGER_ERR_SYSTEM, "nftables: %s", g_strerror(errno));
	nft_ctx_buffer_error(nft);
	nft_ctx_buffer_output(nft);
	if (nft_run_cmd_from_buffer(nft, text))
		err = refuse(error, MANAGER_ERR_SYSTEM, "nftables refuses the rules: %.400s",
			nft_ctx_get_error_buffer(nft));
	nft_ctx_free(nft);
	return err;
}

void firewall_remove(void)
{
	firewall_apply("add table inet lodge\ndelete table inet lodge\nadd table bridge lodge\n"
		       "delete table bridge lodge\n",
		NULL);
}
