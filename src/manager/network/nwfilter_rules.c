/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nwfilter_rules.c: a filter with all that it refers to, as chains of nftables for one card. Spec:
 * libvirt, formatnwfilter.html; nft(8).
 *
 * Rules of link-layer protocols come first: those of a filter's chain ("arp", "ipv4-mine") are a
 * chain of their own, which the root enters for frames of that protocol in the order of priorities.
 * A frame they accept goes on to the rules of transport protocols, which are one list. What nothing
 * drops passes.
 *
 * Every value is parsed before it is written: no text of a client's gets into a rule.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "manager/error.h"
#include "manager/network/net/address.h"
#include "manager/network/nwfilter.h"
#include "manager/xmlrule.h"

enum { DEPTH_MAX = 32, RULES_MAX = 4096, RULE_PRIORITY = 500 };

enum value_kind {
	V_MAC,
	V_IP4,
	V_IP6,
	V_NUMBER,
	V_ARP_OPCODE,
	V_ETHER_TYPE,
	V_IP_PROTOCOL,
	V_TCP_FLAGS,
	V_YES,
	V_NONE,
	V_REFUSED
};

/* An attribute and the expression that it compares; swapped: of the answer. `second` is the other
 * end of a range, or the mask. */
struct field {
	const char *name;
	enum value_kind kind;
	const char *nft, *swapped;
	const char *second;
	enum { PLAIN, RANGE, MASK } use;
	uint32_t max;
};

struct protocol {
	const char *name;
	const char *match; /* "": any */
	bool transport;
	const struct field *fields;
};

#define MACS                                                                                       \
	{ "srcmacaddr", V_MAC, "ether saddr", "ether daddr", "srcmacmask", MASK },                 \
	{                                                                                          \
		"dstmacaddr", V_MAC, "ether daddr", "ether saddr", "dstmacmask", MASK              \
	}
#define COMMENT                                                                                    \
	{ "comment", V_NONE },                                                                     \
	{                                                                                          \
		"match", V_NONE                                                                    \
	}
#define IPS(kind, ip)                                                                              \
	{ "srcipaddr", kind, ip " saddr", ip " daddr", "srcipmask", MASK },                        \
	{                                                                                          \
		"dstipaddr", kind, ip " daddr", ip " saddr", "dstipmask", MASK                     \
	}
#define PORTS(proto)                                                                               \
	{ "srcportstart", V_NUMBER, proto " sport", proto " dport", "srcportend", RANGE, 65535 },  \
	{                                                                                          \
		"dstportstart", V_NUMBER, proto " dport", proto " sport", "dstportend", RANGE,     \
			65535                                                                      \
	}
#define MORE_IPS(kind, ip)                                                                         \
	{ "srcipfrom", kind, ip " saddr", ip " daddr", "srcipto", RANGE },                         \
		{ "dstipfrom", kind, ip " daddr", ip " saddr", "dstipto", RANGE },                 \
		{ "dscp", V_NUMBER, ip " dscp", ip " dscp", NULL, PLAIN, 63 },                     \
		{ "srcmacaddr", V_MAC, "ether saddr", "ether daddr" }, { "state", V_REFUSED },     \
		{ "connlimit-above", V_REFUSED }, { "ipset", V_REFUSED },                          \
		{ "ipsetflags", V_REFUSED }, COMMENT

static const struct field mac_fields[] = { MACS,
	{ "protocolid", V_ETHER_TYPE, "ether type", "ether type" }, COMMENT, {} };
static const struct field vlan_fields[] = { MACS,
	{ "vlanid", V_NUMBER, "vlan id", "vlan id", NULL, PLAIN, 4095 },
	{ "encap-protocol", V_ETHER_TYPE, "vlan type", "vlan type" }, COMMENT, {} };
static const struct field stp_fields[] = {
	{ "srcmacaddr", V_MAC, "ether saddr", "ether daddr", "srcmacmask", MASK }, COMMENT, {}
};
static const struct field arp_fields[] = { MACS,
	{ "arpsrcmacaddr", V_MAC, "arp saddr ether", "arp daddr ether" },
	{ "arpdstmacaddr", V_MAC, "arp daddr ether", "arp saddr ether" },
	{ "arpsrcipaddr", V_IP4, "arp saddr ip", "arp daddr ip", "arpsrcipmask", MASK },
	{ "arpdstipaddr", V_IP4, "arp daddr ip", "arp saddr ip", "arpdstipmask", MASK },
	{ "hwtype", V_NUMBER, "arp htype", "arp htype", NULL, PLAIN, 65535 },
	{ "protocoltype", V_NUMBER, "arp ptype", "arp ptype", NULL, PLAIN, 65535 },
	{ "opcode", V_ARP_OPCODE, "arp operation", "arp operation" },
	{ "gratuitous", V_YES, "arp saddr ip arp daddr ip", NULL }, COMMENT, {} };
/* RARP has ARP's frame with another type, which nft does not parse: only what is before it. */
static const struct field rarp_fields[] = { MACS,
	{ "opcode", V_ARP_OPCODE, "@nh,48,16", "@nh,48,16" }, COMMENT, {} };
static const struct field ip_fields[] = { MACS, IPS(V_IP4, "ip"), PORTS("th"),
	{ "protocol", V_IP_PROTOCOL, "ip protocol", "ip protocol" },
	{ "dscp", V_NUMBER, "ip dscp", "ip dscp", NULL, PLAIN, 63 }, COMMENT, {} };
static const struct field ipv6_fields[] = { MACS, IPS(V_IP6, "ip6"), PORTS("th"),
	{ "protocol", V_IP_PROTOCOL, "meta l4proto", "meta l4proto" },
	{ "type", V_NUMBER, "icmpv6 type", "icmpv6 type", "typeend", RANGE, 255 },
	{ "code", V_NUMBER, "icmpv6 code", "icmpv6 code", "codeend", RANGE, 255 }, COMMENT, {} };
static const struct field tcp_fields[] = { PORTS("tcp"), IPS(V_IP4, "ip"), { "flags", V_TCP_FLAGS },
	MORE_IPS(V_IP4, "ip"), {} };
static const struct field tcp6_fields[] = { PORTS("tcp"), IPS(V_IP6, "ip6"),
	{ "flags", V_TCP_FLAGS }, MORE_IPS(V_IP6, "ip6"), {} };
static const struct field port_fields[] = { PORTS("th"), IPS(V_IP4, "ip"), MORE_IPS(V_IP4, "ip"),
	{} };
static const struct field port6_fields[] = { PORTS("th"), IPS(V_IP6, "ip6"), MORE_IPS(V_IP6, "ip6"),
	{} };
static const struct field icmp_fields[] = { { "type", V_NUMBER, "icmp type", NULL, NULL, PLAIN,
						    255 },
	{ "code", V_NUMBER, "icmp code", NULL, NULL, PLAIN, 255 }, IPS(V_IP4, "ip"),
	MORE_IPS(V_IP4, "ip"), {} };
static const struct field icmp6_fields[] = { { "type", V_NUMBER, "icmpv6 type", NULL, "typeend",
						     RANGE, 255 },
	{ "code", V_NUMBER, "icmpv6 code", NULL, "codeend", RANGE, 255 }, IPS(V_IP6, "ip6"),
	MORE_IPS(V_IP6, "ip6"), {} };
static const struct field all_fields[] = { IPS(V_IP4, "ip"), MORE_IPS(V_IP4, "ip"), {} };
static const struct field all6_fields[] = { IPS(V_IP6, "ip6"), MORE_IPS(V_IP6, "ip6"), {} };

static const struct protocol protocols[] = {
	{ "mac", "", false, mac_fields },
	{ "vlan", "ether type 8021q ", false, vlan_fields },
	{ "stp", "ether daddr 01:80:c2:00:00:00 ", false, stp_fields },
	{ "arp", "ether type arp ", false, arp_fields },
	{ "rarp", "ether type 0x8035 ", false, rarp_fields },
	{ "ip", "ether type ip ", false, ip_fields },
	{ "ipv6", "ether type ip6 ", false, ipv6_fields },
	{ "tcp", "ip protocol tcp ", true, tcp_fields },
	{ "udp", "ip protocol udp ", true, port_fields },
	{ "sctp", "ip protocol sctp ", true, port_fields },
	{ "udplite", "ip protocol udplite ", true, port_fields },
	{ "icmp", "ip protocol icmp ", true, icmp_fields },
	{ "igmp", "ip protocol 2 ", true, all_fields },
	{ "esp", "ip protocol esp ", true, all_fields },
	{ "ah", "ip protocol ah ", true, all_fields },
	{ "all", "ether type ip ", true, all_fields },
	{ "tcp-ipv6", "ether type ip6 meta l4proto tcp ", true, tcp6_fields },
	{ "udp-ipv6", "ether type ip6 meta l4proto udp ", true, port6_fields },
	{ "sctp-ipv6", "ether type ip6 meta l4proto sctp ", true, port6_fields },
	{ "udplite-ipv6", "ether type ip6 meta l4proto udplite ", true, port6_fields },
	{ "icmpv6", "ether type ip6 meta l4proto ipv6-icmp ", true, icmp6_fields },
	{ "esp-ipv6", "ether type ip6 meta l4proto esp ", true, all6_fields },
	{ "ah-ipv6", "ether type ip6 meta l4proto ah ", true, all6_fields },
	{ "all-ipv6", "ether type ip6 ", true, all6_fields },
};

/* libvirt's order of chains where a filter does not say; by the beginning of the name. */
static const struct {
	const char *prefix, *match;
	int priority;
} chains[] = {
	{ "stp", "ether daddr 01:80:c2:00:00:00 ", -810 },
	{ "mac", "", -800 },
	{ "vlan", "ether type 8021q ", -750 },
	{ "ipv4", "ether type ip ", -700 },
	{ "ipv6", "ether type ip6 ", -600 },
	{ "arp", "ether type arp ", -500 },
	{ "rarp", "ether type 0x8035 ", -400 },
	{ "root", "", 0 },
};

static const struct protocol *protocol_of(const xmlNode *n)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(protocols); i++) {
		if (!strcmp(protocols[i].name, xml_name(n)))
			return &protocols[i];
	}
	return NULL;
}

/* ---- values ---- */

static int parse_number(const char *s, uint32_t max, uint32_t *ret)
{
	char *end;
	guint64 v;

	if (!g_ascii_isdigit(*s))
		return -1;
	v = g_ascii_strtoull(s, &end, s[0] == '0' && (s[1] | 32) == 'x' ? 16 : 10);
	if (*end || v > max)
		return -1;
	*ret = v;
	return 0;
}

static int parse_word(const char *s, const char *const *words, const uint16_t *numbers,
	uint32_t max, uint32_t *ret)
{
	for (unsigned i = 0; words[i]; i++) {
		if (!g_ascii_strcasecmp(s, words[i])) {
			*ret = numbers[i];
			return 0;
		}
	}
	return parse_number(s, max, ret);
}

/* One value in nft's words, owned by the caller; NULL: it is none of that kind. */
static char *one_value(enum value_kind kind, const char *s, uint32_t max)
{
	static const char *const opcodes[] = { "Request", "Reply", "Request_Reverse",
		"Reply_Reverse", "DRARP_Request", "DRARP_Reply", "DRARP_Error", "InARP_Request",
		"ARP_NAK", NULL };
	static const uint16_t opcode_numbers[] = { 1, 2, 3, 4, 5, 6, 7, 8, 10 };
	static const char *const types[] = { "arp", "rarp", "ipv4", "ipv6", "vlan", NULL };
	static const uint16_t type_numbers[] = { 0x806, 0x8035, 0x800, 0x86dd, 0x8100 };
	static const char *const protos[] = { "tcp", "udp", "udplite", "esp", "ah", "icmp", "igmp",
		"sctp", "icmpv6", NULL };
	static const uint16_t proto_numbers[] = { 6, 17, 136, 50, 51, 1, 2, 132, 58 };
	char text[ADDRESS_TEXT];
	struct address a;
	uint8_t mac[6];
	uint32_t v;

	switch (kind) {
	case V_MAC:
		if (mac_parse(s, mac))
			return NULL;
		mac_format(mac, text);
		return g_strdup(text);
	case V_IP4:
	case V_IP6:
		if (address_parse(s, &a) || (a.family == AF_INET) != (kind == V_IP4))
			return NULL;
		address_format(&a, text);
		return g_strdup(text);
	case V_NUMBER: return parse_number(s, max, &v) ? NULL : g_strdup_printf("%u", v);
	case V_ARP_OPCODE:
		return parse_word(s, opcodes, opcode_numbers, 65535, &v) ? NULL
									 : g_strdup_printf("%u", v);
	case V_ETHER_TYPE:
		return parse_word(s, types, type_numbers, 65535, &v) ? NULL
								     : g_strdup_printf("0x%04x", v);
	case V_IP_PROTOCOL:
		return parse_word(s, protos, proto_numbers, 255, &v) ? NULL
								     : g_strdup_printf("%u", v);
	default: return NULL;
	}
}

/* Bits of a mask: "24" or "255.255.255.0". */
static int mask_bits(const char *s, enum value_kind kind)
{
	struct address a;
	uint32_t bits;

	if (!parse_number(s, kind == V_IP4 ? 32 : 128, &bits))
		return bits;
	return address_parse(s, &a) ? -1 : netmask_prefix(&a);
}

struct build {
	struct manager *manager;
	const struct nwfilter_card *card; /* NULL: only look whether it can be translated */
	GPtrArray *rules;                 /* struct rule */
	GHashTable *chain_priority;       /* chain -> priority + 1000000 */
};

/* The values of an attribute, variables looked up. NULL with error; an empty list: unknown $IP, to
 * be looked up in the leases. */
static char **values_of(const struct build *b, const char *s, GHashTable *params, GError **error)
{
	g_autofree char *name = NULL;
	const char *v;

	if (s[0] != '$') {
		char **out = g_new0(char *, 2);

		out[0] = g_strdup(s);
		return out;
	}
	name = g_strstrip(g_strdup(s + 1));
	if (strchr(name, '[')) {
		refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a filter's variable with an index, '%s', is not supported", s);
		return NULL;
	}
	v = params ? g_hash_table_lookup(params, name) : NULL;
	if (!v && b->card->parameters)
		v = g_hash_table_lookup(b->card->parameters, name);
	if (v)
		return g_strsplit(v, ",", -1);
	if (!strcmp(name, "MAC")) {
		char *text = g_malloc(18);
		char **out = g_new0(char *, 2);

		mac_format(b->card->mac, text);
		out[0] = text;
		return out;
	}
	if (!strcmp(name, "IP") && b->card->leases)
		return g_new0(char *, 1);
	refuse(error, MANAGER_ERR_INVALID_ARG, "the filter needs a <parameter name='%s'>", name);
	return NULL;
}

/* "{ a, b/24 }" */
static char *set_of(char **values, const struct field *f, const char *mask, GError **error)
{
	GString *out = g_string_new(NULL);

	for (unsigned i = 0; values[i]; i++) {
		g_autofree char *v = one_value(f->kind, g_strstrip(values[i]), f->max);

		if (!v) {
			refuse(error, MANAGER_ERR_INVALID_ARG, "a filter's %s cannot be '%.60s'",
				f->name, values[i]);
			g_string_free(out, TRUE);
			return NULL;
		}
		g_string_append_printf(out, "%s%s", out->len ? ", " : "", v);
		if (mask && f->kind != V_MAC) {
			int bits = mask_bits(mask, f->kind);

			if (bits < 0) {
				refuse(error, MANAGER_ERR_INVALID_ARG,
					"a filter's %s cannot be '%.60s'", f->second, mask);
				g_string_free(out, TRUE);
				return NULL;
			}
			g_string_append_printf(out, "/%d", bits);
		}
	}
	return g_string_free(out, FALSE);
}

static int tcp_flags(GString *out, const char *s, const char * not, GError **error)
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK", "URG" };
	g_auto(GStrv) halves = g_strsplit(s, "/", 2);
	unsigned bits[2] = { 0, 0 };

	for (unsigned h = 0; h < 2; h++) {
		g_auto(GStrv) words =
			halves[0] && halves[h] ? g_strsplit(halves[h], ",", -1) : NULL;

		if (!words)
			return refuse(
				error, MANAGER_ERR_INVALID_ARG, "TCP flags cannot be '%.60s'", s);
		for (unsigned w = 0; words[w]; w++) {
			unsigned found = !strcmp(words[w], "ALL") ? 63 : 0;

			for (unsigned i = 0; i < 6; i++)
				found |= !strcmp(words[w], names[i]) ? 1u << i : 0;
			if (!found && strcmp(words[w], "NONE"))
				return refuse(error, MANAGER_ERR_INVALID_ARG,
					"TCP flags cannot be '%.60s'", s);
			bits[h] |= found;
		}
	}
	g_string_append_printf(
		out, "tcp flags & 0x%x %s0x%x ", bits[0], *not ? "!= " : "== ", bits[1]);
	return 0;
}

/* One attribute as a condition. */
static int condition(const struct build *b, GString *out, const struct field *f, const xmlNode *n,
	bool swap, GHashTable *params, GError **error)
{
	const char *s = xml_attr(n, f->name), *second = f->second ? xml_attr(n, f->second) : NULL;
	const char *not = g_strcmp0(xml_attr(n, "match"), "no") ? "" : "!= ";
	const char *expression = swap ? f->swapped : f->nft;
	g_autofree char *set = NULL, *end = NULL;
	g_auto(GStrv) values = NULL, ends = NULL;

	if (f->kind == V_TCP_FLAGS)
		return tcp_flags(out, s, not, error);
	if (f->kind == V_YES)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a filter's attribute '%s' is not supported", f->name);
	if (!expression) /* of an answer: unknown */
		return 0;
	values = values_of(b, s, params, error);
	if (!values)
		return -1;
	if (!values[0]) { /* $IP by lease */
		bool from = strstr(expression, "saddr");

		if (f->kind == V_IP4)
			g_string_append_printf(out, "%s . ether %s %s@pairs-%s ", expression,
				from ? "saddr" : "daddr", not, b->card->leases);
		else
			g_string_append_printf(out, "%s . ether %s %s@pairs6-%s ", expression,
				from ? "saddr" : "daddr", not, b->card->leases);
		return 0;
	}
	set = set_of(values, f, f->use == MASK ? second : NULL, error);
	if (!set)
		return -1;
	if (f->use == RANGE && second) {
		ends = values_of(b, second, params, error);
		end = ends && ends[0] ? one_value(f->kind, ends[0], f->max) : NULL;
		if (!end || values[1])
			return error && *error ? -1
					       : refuse(error, MANAGER_ERR_INVALID_ARG,
							 "a filter's %s cannot be '%.60s'",
							 f->second, second);
		g_string_append_printf(out, "%s %s%s-%s ", expression, not, set, end);
	} else if (f->use == MASK && second && f->kind == V_MAC) {
		g_autofree char *mask = one_value(V_MAC, second, 0);

		if (!mask || values[1])
			return refuse(error, MANAGER_ERR_INVALID_ARG,
				"a filter's %s cannot be '%.60s'", f->second, second);
		g_string_append_printf(
			out, "%s & %s %s %s ", expression, mask, *not ? "!=" : "==", set);
	} else {
		g_string_append_printf(
			out, values[1] ? "%s %s{ %s } " : "%s %s%s ", expression, not, set);
	}
	return 0;
}

static const struct field *field_of(const struct protocol *p, const char *name)
{
	for (const struct field *f = p->fields; f->name; f++) {
		if (!strcmp(f->name, name) || (f->second && !strcmp(f->second, name)))
			return f;
	}
	return NULL;
}

/* Every attribute is one that we know; without a card that is all. */
static int conditions(const struct build *b, GString *out, const struct protocol *p,
	const xmlNode *n, bool swap, GHashTable *params, GError **error)
{
	for (const xmlAttr *a = n->properties; a; a = a->next) {
		const struct field *f = field_of(p, (const char *)a->name);

		if (!f || f->kind == V_REFUSED || f->kind == V_YES)
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"a filter's <%s %s='…'> is not supported", n->name, a->name);
		if (f->second && !strcmp(f->second, (const char *)a->name) && !xml_attr(n, f->name))
			return refuse(error, MANAGER_ERR_XML, "a filter's <%s> has %s without %s",
				n->name, a->name, f->name);
	}
	if (!b->card)
		return 0;
	g_string_append(out, p->match);
	for (const struct field *f = p->fields; f->name; f++) {
		if (f->kind != V_NONE && xml_attr(n, f->name) &&
			condition(b, out, f, n, swap, params, error))
			return -1;
	}
	return 0;
}

/* ---- rules ---- */

struct rule {
	char *chain; /* owned; NULL: the transport list */
	int priority;
	unsigned order;
	bool to;    /* of the chain for frames to the guest */
	char *text; /* owned: conditions */
	const char *action;
};

static void rule_free(void *p)
{
	struct rule *r = p;

	g_free(r->chain);
	g_free(r->text);
	g_free(r);
}

static int put_rule(struct build *b, const char *chain, const xmlNode *rule,
	const struct protocol *p, const xmlNode *n, bool to, bool swap, const char *extra,
	GHashTable *params, GError **error)
{
	GString *text = g_string_new(NULL);
	struct rule *r;

	if (b->rules->len >= RULES_MAX) {
		g_string_free(text, TRUE);
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a filter has more than %d rules", RULES_MAX);
	}
	if (n && conditions(b, text, p, n, swap, params, error)) {
		g_string_free(text, TRUE);
		return -1;
	}
	g_string_append(text, extra);
	r = g_new0(struct rule, 1);
	r->chain = p && p->transport ? NULL : g_strdup(chain);
	r->priority = xml_attr(rule, "priority") ? atoi(xml_attr(rule, "priority")) : RULE_PRIORITY;
	r->order = b->rules->len;
	r->to = to;
	r->action = xml_attr(rule, "action");
	r->text = g_string_free(text, FALSE);
	g_ptr_array_add(b->rules, r);
	return 0;
}

/*
 * A transport rule that accepts lets answers pass the other way: the same with source and
 * destination exchanged; of TCP only what does not open a connection.
 */
static int put_answer(struct build *b, const xmlNode *rule, const struct protocol *p,
	const xmlNode *n, bool to, bool swap, GHashTable *params, GError **error)
{
	const char *stateless = xml_attr(rule, "statematch");

	if (!p->transport || strcmp(xml_attr(rule, "action"), "accept") ||
		(stateless && (!strcmp(stateless, "0") || !g_ascii_strcasecmp(stateless, "false"))))
		return 0;
	return put_rule(b, NULL, rule, p, n, !to, !swap,
		g_str_has_prefix(p->name, "tcp") ? "tcp flags & 0x12 != 0x2 " : "", params, error);
}

static int one_rule(
	struct build *b, const char *chain, const xmlNode *rule, GHashTable *params, GError **error)
{
	const char *direction = xml_attr(rule, "direction");
	const xmlNode *n = xml_first(rule);
	bool in = strcmp(direction, "out"), out = strcmp(direction, "in");

	for (; n || !xml_first(rule); n = xml_after(n)) {
		const struct protocol *p = n ? protocol_of(n) : NULL;

		if (n && !p)
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"a filter's <%s> is not supported", n->name);
		/* Of a rule for both ways, source and destination are those of what comes in. */
		if (out && put_rule(b, chain, rule, p, n, false, in && out, "", params, error))
			return -1;
		if (in && put_rule(b, chain, rule, p, n, true, false, "", params, error))
			return -1;
		if (n && in != out && put_answer(b, rule, p, n, in, false, params, error))
			return -1;
		if (!n)
			break;
	}
	return 0;
}

static GHashTable *parameters_of(const xmlNode *ref, GHashTable *outer)
{
	GHashTable *t = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	GHashTableIter it;
	gpointer k, v;

	if (outer) {
		g_hash_table_iter_init(&it, outer);
		while (g_hash_table_iter_next(&it, &k, &v))
			g_hash_table_insert(t, g_strdup(k), g_strdup(v));
	}
	for (const xmlNode *p = xml_child(ref, "parameter"); p; p = xml_next(p, "parameter")) {
		const char *old = g_hash_table_lookup(t, xml_attr(p, "name"));

		g_hash_table_insert(t, g_strdup(xml_attr(p, "name")),
			old ? g_strdup_printf("%s,%s", old, xml_attr(p, "value"))
			    : g_strdup(xml_attr(p, "value")));
	}
	return t;
}

static int chain_default(const char *chain)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(chains); i++) {
		if (g_str_has_prefix(chain, chains[i].prefix))
			return chains[i].priority;
	}
	return 0;
}

static int collect(struct build *b, const struct nwfilter *f, GHashTable *params, unsigned depth,
	GError **error)
{
	const xmlNode *root = nwfilter_root(f);
	const char *chain = xml_attr(root, "chain");
	const char *priority = xml_attr(root, "priority");

	chain = chain ? chain : "root";
	if (depth > DEPTH_MAX)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"filters refer to each other without end");
	if (!g_hash_table_contains(b->chain_priority, chain))
		g_hash_table_insert(b->chain_priority, g_strdup(chain),
			GINT_TO_POINTER(
				(priority ? atoi(priority) : chain_default(chain)) + 1000000));
	for (const xmlNode *n = xml_first(root); n; n = xml_after(n)) {
		if (!strcmp(xml_name(n), "rule") && one_rule(b, chain, n, params, error))
			return -1;
		if (!strcmp(xml_name(n), "filterref") && b->card) {
			struct nwfilter *o =
				nwfilter_find_name(b->manager, xml_attr(n, "filter"), error);
			g_autoptr(GHashTable) inner = parameters_of(n, params);
			int err = o ? collect(b, o, inner, depth + 1, error) : -1;

			nwfilter_unref(o);
			if (err)
				return -1;
		}
	}
	return 0;
}

static int by_priority(const void *x, const void *y)
{
	const struct rule *a = *(struct rule *const *)x, *b = *(struct rule *const *)y;

	return a->priority != b->priority ? (a->priority < b->priority ? -1 : 1)
					  : (int)a->order - (int)b->order;
}

/* ---- chains ---- */

/* Names in the kernel: letters and digits only, whatever the filter's chain is called. */
static char *kernel_chain(const struct nwfilter_card *c, bool to, const char *chain)
{
	GString *s = g_string_new(NULL);

	g_string_append_printf(s, "f%s-%s-", to ? "to" : "from", c->device);
	for (; *chain; chain++)
		g_string_append_printf(s, g_ascii_isalnum(*chain) ? "%c" : "_%02x", *chain);
	return g_string_free(s, FALSE);
}

/* Its rules of priorities from `low` to below `high`. */
static void write_chain(GString *out, const struct build *b, const char *chain, bool to, int low,
	int high, const char *done)
{
	for (unsigned i = 0; i < b->rules->len; i++) {
		const struct rule *r = b->rules->pdata[i];

		if (r->to != to || g_strcmp0(r->chain, chain) || r->priority < low ||
			r->priority >= high)
			continue;
		g_string_append_printf(out, "\t\t%s", r->text);
		if (!strcmp(r->action, "accept"))
			g_string_append_printf(out, "%s\n", done);
		else if (!strcmp(r->action, "return"))
			g_string_append_printf(out, "%s\n", chain ? "return" : "accept");
		else if (!strcmp(r->action, "continue"))
			g_string_append(out, "continue\n");
		else /* drop; a bridge cannot answer for the guest, so reject is no more */
			g_string_append(out, "drop\n");
	}
}

static const char *chain_match(const char *chain)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(chains); i++) {
		if (g_str_has_prefix(chain, chains[i].prefix))
			return chains[i].match;
	}
	return "";
}

static int by_chain_priority(const void *x, const void *y, void *table)
{
	int a = GPOINTER_TO_INT(g_hash_table_lookup(table, x)),
	    b = GPOINTER_TO_INT(g_hash_table_lookup(table, y));

	return a != b ? a - b : strcmp(x, y);
}

/*
 * The root: its own rules and the other chains, by priority. Returns the body of the card's chain.
 */
static char *write_direction(GString *extra, const struct build *b, bool to)
{
	g_autoptr(GList) names = g_hash_table_get_keys(b->chain_priority);
	g_autofree char *transport = kernel_chain(b->card, to, "0");
	g_autofree char *root = kernel_chain(b->card, to, "root");
	g_autofree char *done = g_strdup_printf("goto %s", transport);
	g_autoptr(GString) body = g_string_new(NULL);
	int at = INT_MIN;

	g_string_append_printf(extra, "\tchain %s {\n", transport);
	write_chain(extra, b, NULL, to, INT_MIN, INT_MAX, "accept");
	g_string_append(extra, "\t\taccept\n\t}\n");
	names = g_list_sort_with_data(
		g_steal_pointer(&names), by_chain_priority, b->chain_priority);
	for (GList *l = names; l; l = l->next) {
		g_autofree char *name = kernel_chain(b->card, to, l->data);
		int priority =
			GPOINTER_TO_INT(g_hash_table_lookup(b->chain_priority, l->data)) - 1000000;

		if (!strcmp(l->data, "root"))
			continue;
		g_string_append_printf(extra, "\tchain %s {\n", name);
		write_chain(extra, b, l->data, to, INT_MIN, INT_MAX, done);
		g_string_append(extra, "\t}\n");
		/* Rules of the root stand between the chains, by priority. */
		write_chain(body, b, "root", to, at, priority, done);
		at = priority;
		g_string_append_printf(body, "\t\t%sjump %s\n", chain_match(l->data), name);
	}
	write_chain(body, b, "root", to, at, INT_MAX, done);
	g_string_append_printf(extra, "\tchain %s {\n%s\t\t%s\n\t}\n", root, body->str, done);
	return g_strdup_printf("\t\tgoto %s\n", root);
}

int nwfilter_translate(struct manager *m, const char *filter, const struct nwfilter_card *card,
	struct nwfilter_rules *ret, GError **error)
{
	struct build b = { .manager = m, .card = card };
	struct nwfilter *f = nwfilter_find_name(m, filter, error);
	int err;

	if (!f)
		return -1;
	b.rules = g_ptr_array_new_with_free_func(rule_free);
	b.chain_priority = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	err = collect(&b, f, NULL, 0, error);
	if (!err) {
		GString *extra = g_string_new(NULL);

		g_ptr_array_sort(b.rules, by_priority);
		ret->from = write_direction(extra, &b, false);
		ret->to = write_direction(extra, &b, true);
		ret->extra = g_string_free(extra, FALSE);
	}
	nwfilter_unref(f);
	g_ptr_array_unref(b.rules);
	g_hash_table_unref(b.chain_priority);
	return err;
}

int nwfilter_check(const struct nwfilter *f, GError **error)
{
	struct build b = { .card = NULL };
	int err;

	b.rules = g_ptr_array_new_with_free_func(rule_free);
	b.chain_priority = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	err = collect(&b, f, NULL, 0, error);
	g_ptr_array_unref(b.rules);
	g_hash_table_unref(b.chain_priority);
	return err;
}
