/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network_port.c: the ends that machines plug in: taps in bridges, macvtaps, their rules and
 * limits. */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/network/net/firewall.h"
#include "manager/network/net/link.h"
#include "manager/network/network_priv.h"
#include "manager/network/nwfilter.h"
#include "manager/store.h"
#include "manager/xmlrule.h"

enum { ERR_NO_NETWORK_PORT = 107, ERR_NETWORK_PORT_EXIST = 106 };

void port_clear(struct port *p)
{
	for (unsigned i = 0; i < p->fd_count; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	}
	g_free(p->tap);
	g_free(p->network);
	g_free(p->bridge);
	memset(p, 0, sizeof(*p));
}

void network_port_free(void *port)
{
	struct network_port *p = port;

	if (!p)
		return;
	network_unref(p->network);
	g_free(p->tap);
	g_free(p->bridge);
	g_free(p->direct);
	g_free(p->direct_mode);
	g_free(p->portgroup);
	g_free(p->owner_name);
	g_free(p->filter);
	if (p->filter_parameters)
		g_hash_table_unref(p->filter_parameters);
	g_free(p);
}

/* With `lock` or `work` held. */
static struct network_port *port_by_tap(struct networks *t, const char *tap)
{
	GHashTableIter it;
	gpointer port;

	g_hash_table_iter_init(&it, t->ports);
	while (g_hash_table_iter_next(&it, NULL, &port)) {
		if (!g_strcmp0(((struct network_port *)port)->tap, tap))
			return port;
	}
	return NULL;
}

static struct network_port *port_by_uuid(struct networks *t, const uint8_t uuid[16])
{
	char text[37];

	uuid_format(uuid, text);
	return g_hash_table_lookup(t->ports, text);
}

static void insert(struct networks *t, struct network_port *p)
{
	char text[37];

	uuid_format(p->uuid, text);
	g_mutex_lock(&t->lock);
	g_hash_table_replace(t->ports, g_strdup(text), p);
	g_mutex_unlock(&t->lock);
}

static void take_out(struct networks *t, struct network_port *p)
{
	char text[37];

	uuid_format(p->uuid, text);
	g_mutex_lock(&t->lock);
	g_hash_table_remove(t->ports, text);
	g_mutex_unlock(&t->lock);
}

/* ---- what a port is to be ---- */

static void limits_from(xmlNode *n, uint64_t limits[6])
{
	static const char *const names[] = { "inbound/@average", "inbound/@peak", "inbound/@burst",
		"outbound/@average", "outbound/@peak", "outbound/@burst" };

	for (unsigned i = 0; n && i < 6; i++)
		limits[i] = xml_get_uint(n, names[i], limits[i]);
}

static xmlNode *find_group(const struct network_config *c, const char *name)
{
	for (xmlNode *g = xml_child(c->root, "portgroup"); g; g = xml_next(g, "portgroup")) {
		if (name ? !strcmp(name, xml_get(g, "@name")) : xml_get_bool(g, "@default", false))
			return g;
	}
	return NULL;
}

/* Of a network on host interfaces: the one with the fewest ports; passthrough takes one alone. */
static int choose_interface(
	struct networks *t, struct network *n, struct network_port *p, GError **error)
{
	xmlNode *f = xml_child(n->live->root, "forward");
	const char *best = NULL;
	unsigned least = ~0u;

	for (xmlNode *i = xml_child(f, "interface"); i; i = xml_next(i, "interface")) {
		GHashTableIter it;
		gpointer port;
		unsigned used = 0;

		g_hash_table_iter_init(&it, t->ports);
		while (g_hash_table_iter_next(&it, NULL, &port))
			used += !g_strcmp0(
				((struct network_port *)port)->direct, xml_get(i, "@dev"));
		if (used < least) {
			least = used;
			best = xml_get(i, "@dev");
		}
	}
	if (!best || (n->live->forward == FORWARD_PASSTHROUGH && least))
		return refuse(error, MANAGER_ERR_RESOURCE_BUSY,
			"no interface of network '%s' is free", n->name);
	p->direct = g_strdup(best);
	p->direct_mode = g_strdup(xml_get(f, "@mode"));
	return 0;
}

/* What the network says about its ports, below what the port itself says. */
static int from_network(
	struct networks *t, struct network_port *p, const char *name, GError **error)
{
	struct network *n = network_find_name(t->manager, name, error);
	xmlNode *group;

	if (!n)
		return -1;
	p->network = n;
	if (!n->live)
		return refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is not active", name);
	group = find_group(n->live, p->portgroup);
	if (p->portgroup && !group)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "network '%s' has no portgroup '%s'",
			name, p->portgroup);
	limits_from(xml_child(group, "bandwidth"), p->limits);
	p->isolated |= xml_get_bool(n->live->root, "port/@isolated", false);
	p->trusted |= xml_get_bool(n->live->root, "@trustGuestRxFilters", false) ||
		      (group && xml_get_bool(group, "@trustGuestRxFilters", false));
	if (xml_get(n->live->root, "bridge/@name"))
		p->bridge = g_strdup(xml_get(n->live->root, "bridge/@name"));
	else
		return choose_interface(t, n, p, error);
	return 0;
}

/* Stable over restarts of the daemon: the same card of the same machine. */
static void port_uuid(struct network_port *p)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA1);
	uint8_t digest[20];
	gsize n = sizeof(digest);

	g_checksum_update(sum, p->owner, 16);
	g_checksum_update(sum, p->mac, 6);
	g_checksum_update(sum, (const guchar *)(p->tap ? p->tap : ""), -1);
	g_checksum_get_digest(sum, digest, &n);
	memcpy(p->uuid, digest, 16);
	p->uuid[6] = (p->uuid[6] & 0x0f) | 0x50;
	p->uuid[8] = (p->uuid[8] & 0x3f) | 0x80;
	g_checksum_free(sum);
}

static struct network_port *port_new(
	struct networks *t, const struct port_request *r, GError **error)
{
	struct network_port *p = g_new0(struct network_port, 1);
	const uint64_t own[6] = { r->in_average, r->in_peak, r->in_burst, r->out_average,
		r->out_peak, r->out_burst };
	int err = 0;

	memcpy(p->mac, r->mac, 6);
	if (r->owner)
		memcpy(p->owner, r->owner, 16);
	p->owner_name = g_strdup(r->owner_name);
	p->portgroup = g_strdup(r->portgroup);
	p->filter = g_strdup(r->filterref);
	if (r->filter_parameters)
		p->filter_parameters = g_hash_table_ref(r->filter_parameters);
	p->isolated = r->isolated;
	p->trusted = r->no_filter;
	if (r->network) {
		err = from_network(t, p, r->network, error);
	} else if (r->direct) {
		p->direct = g_strdup(r->direct);
		p->direct_mode = g_strdup(r->direct_mode ? r->direct_mode : "vepa");
	} else if (r->bridge) {
		p->bridge = g_strdup(r->bridge);
	} else {
		err = refuse(error, MANAGER_ERR_INVALID_ARG,
			"a port needs a network, a bridge or an interface");
	}
	if (own[0] || own[3])
		memcpy(p->limits, own, sizeof(own));
	if (!err && p->filter && p->direct)
		err = refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a filter works on bridges, not on an interface of type direct");
	if (err) {
		network_port_free(p);
		return NULL;
	}
	return p;
}

/* ---- rules ---- */

static const char *rules_of(struct networks *t, struct network_port *p, struct firewall_port *f,
	GPtrArray *keep, GError **error)
{
	struct nwfilter_card card = { .device = p->tap, .parameters = p->filter_parameters };
	struct nwfilter_rules rules = { 0 };

	*f = (struct firewall_port){ .device = p->tap,
		.trusted = p->trusted,
		.average = p->limits[3],
		.burst = p->limits[5] };
	memcpy(f->mac, p->mac, 6);
	if (p->network && p->network->live && network_config_owns_bridge(p->network->live))
		f->network_bridge = p->bridge;
	if (!p->filter)
		return "";
	memcpy(card.mac, p->mac, 6);
	card.leases = f->network_bridge;
	if (nwfilter_translate(t->manager, p->filter, &card, &rules, error))
		return NULL;
	f->from_rules = rules.from;
	f->to_rules = rules.to;
	f->extra = rules.extra;
	g_ptr_array_add(keep, rules.from);
	g_ptr_array_add(keep, rules.to);
	g_ptr_array_add(keep, rules.extra);
	return "";
}

GArray *networks_port_rules(struct networks *t, GPtrArray *keep, GError **error)
{
	GArray *out = g_array_new(FALSE, TRUE, sizeof(struct firewall_port));
	GHashTableIter it;
	gpointer port;

	g_hash_table_iter_init(&it, t->ports);
	while (g_hash_table_iter_next(&it, NULL, &port)) {
		struct network_port *p = port;
		struct firewall_port f;

		if (!p->tap || !p->bridge)
			continue;
		if (!rules_of(t, p, &f, keep, error)) {
			g_array_unref(out);
			return NULL;
		}
		g_array_append_val(out, f);
		p->ruled = true;
	}
	return out;
}

/* One port's rules in the tables as they are; a filter's have chains of their own, so all is made
 * anew. */
static int put_rules(struct networks *t, struct network_port *p, GError **error)
{
	struct firewall_port f;
	g_autofree char *text = NULL;

	if (!p->bridge)
		return 0;
	if (!p->filter) {
		rules_of(t, p, &f, NULL, NULL);
		text = firewall_port_text(&f);
		if (firewall_apply(text, NULL) == 0) {
			p->ruled = true;
			return 0;
		}
	}
	return networks_rules(t, error);
}

static void remove_rules(struct networks *t, struct network_port *p)
{
	g_autofree char *text = NULL;

	if (!p->ruled)
		return;
	p->ruled = false;
	text = firewall_port_gone_text(p->tap);
	if (!p->filter && firewall_apply(text, NULL) == 0)
		return;
	networks_rules(t, NULL);
}

int network_filters_changed(struct manager *m, GError **error)
{
	int err;

	g_mutex_lock(&m->networks->work);
	err = m->networks->ready ? networks_rules(m->networks, error) : 0;
	g_mutex_unlock(&m->networks->work);
	return err;
}

static void binding_free(void *p)
{
	struct network_binding *b = p;

	g_free(b->device);
	g_free(b->filter);
	g_free(b->owner_name);
	if (b->parameters)
		g_hash_table_unref(b->parameters);
	g_free(b);
}

GPtrArray *network_bindings(struct manager *m)
{
	GPtrArray *out = g_ptr_array_new_with_free_func(binding_free);
	GHashTableIter it;
	gpointer port;

	g_mutex_lock(&m->networks->lock);
	g_hash_table_iter_init(&it, m->networks->ports);
	while (g_hash_table_iter_next(&it, NULL, &port)) {
		const struct network_port *p = port;
		struct network_binding *b;

		if (!p->tap || !p->filter)
			continue;
		b = g_new0(struct network_binding, 1);
		b->device = g_strdup(p->tap);
		b->filter = g_strdup(p->filter);
		b->owner_name = g_strdup(p->owner_name);
		memcpy(b->owner, p->owner, 16);
		memcpy(b->mac, p->mac, 6);
		if (p->filter_parameters)
			b->parameters = g_hash_table_ref(p->filter_parameters);
		g_ptr_array_add(out, b);
	}
	g_mutex_unlock(&m->networks->lock);
	return out;
}

/* ---- making ---- */

/* A macvtap stays when its machine ends: noted before it is made, so that none is forgotten. */
static char *macvtap_note(struct networks *t, const char *name)
{
	g_autofree char *folder = g_build_filename(t->folder, "macvtap", NULL);

	g_mkdir_with_parents(folder, 0700);
	return g_build_filename(folder, name, NULL);
}

static int make_macvtap(struct networks *t, struct network_port *p, const struct port_request *r,
	struct port *out, GError **error)
{
	g_autofree char *note = NULL;
	char name[IFNAMSIZ];

	for (unsigned i = 0; i < 10000; i++) {
		g_snprintf(name, sizeof(name), "macvtap%u", i);
		if (!link_exists(name))
			break;
	}
	if (r->tap_name)
		g_strlcpy(name, r->tap_name, sizeof(name));
	note = macvtap_note(t, name);
	if (link_exists(name))
		return refuse(
			error, MANAGER_ERR_SYSTEM, "the host has an interface '%s' already", name);
	if (!g_file_set_contents(note, "", 0, NULL))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", note, g_strerror(errno));
	if (link_add_macvtap(name, p->direct, p->direct_mode, p->mac, error)) {
		unlink(note);
		return -1;
	}
	if (macvtap_open(name, out->fd_count, t->folder, out->fds, error) ||
		link_set_up(name, true, error)) {
		link_delete(name);
		unlink(note);
		return -1;
	}
	p->tap = g_strdup(name);
	return 0;
}

static int set_limits(struct network_port *p, GError **error)
{
	return link_set_rate(p->tap, p->limits[0], p->limits[1], p->limits[2], error);
}

static int plug(struct networks *t, struct network_port *p, unsigned mtu, GError **error)
{
	uint8_t mac[6];

	/* The host's end has another address than the guest's card: highest first octet, so that a
	 * bridge never takes its own from it. */
	memcpy(mac, p->mac, 6);
	mac[0] = 0xfe;
	if (link_set_mac(p->tap, mac, error) || (mtu && link_set_mtu(p->tap, mtu, error)))
		return -1;
	/* Rules are there before the first frame. */
	if (put_rules(t, p, error) || link_set_master(p->tap, p->bridge, error))
		return -1;
	if (p->isolated && link_set_isolated(p->tap, true, error))
		return -1;
	if (p->limits[0] && set_limits(p, error))
		return -1;
	return link_set_up(p->tap, true, error);
}

static int make_tap(struct networks *t, struct network_port *p, const struct port_request *r,
	struct port *out, GError **error)
{
	char name[IFNAMSIZ];

	if (!link_is_bridge(p->bridge))
		return refuse(
			error, MANAGER_ERR_NO_INTERFACE, "the host has no bridge '%s'", p->bridge);
	if (tap_open(r->tap_name ? r->tap_name : "vnet%d", out->fd_count, out->fds, name, error))
		return -1;
	p->tap = g_strdup(name);
	out->mtu = r->mtu;
	if (!out->mtu && p->network && p->network->live)
		out->mtu = xml_get_uint(p->network->live->root, "mtu/@size", 0);
	return 0;
}

int network_port_create(
	struct manager *m, const struct port_request *r, struct port *ret_port, GError **error)
{
	struct networks *t = m->networks;
	struct port out = { .fd_count = CLAMP(r->queues, 1, G_N_ELEMENTS(out.fds)) };
	struct network_port *p;
	int err = -1;

	memset(out.fds, 0xff, sizeof(out.fds));
	if (!m->privileged)
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"plugging into a network needs the system's daemon: use <interface "
			"type='user'>");
	g_mutex_lock(&t->work);
	p = port_new(t, r, error);
	if (p)
		err = p->direct ? make_macvtap(t, p, r, &out, error)
				: make_tap(t, p, r, &out, error);
	if (!err) {
		port_uuid(p);
		insert(t, p);
		if (p->bridge && plug(t, p, out.mtu, error)) {
			remove_rules(t, p);
			take_out(t, p);
			p = NULL;
			err = -1;
		}
	} else {
		network_port_free(p);
	}
	if (!err) {
		out.tap = g_strdup(p->tap);
		out.network = p->network ? g_strdup(p->network->name) : NULL;
		out.bridge = g_strdup(p->bridge);
		*ret_port = out;
	} else {
		port_clear(&out);
	}
	g_mutex_unlock(&t->work);
	return err;
}

int network_port_adopt(
	struct manager *m, const struct port_request *r, const char *tap, GError **error)
{
	struct networks *t = m->networks;
	struct network_port *p;

	if (!link_exists(tap))
		return refuse(
			error, MANAGER_ERR_NO_INTERFACE, "the host has no interface '%s'", tap);
	g_mutex_lock(&t->work);
	p = port_new(t, r, error);
	if (p) {
		p->tap = g_strdup(tap);
		port_uuid(p);
		insert(t, p); /* its rules come with networks_settle() */
	}
	g_mutex_unlock(&t->work);
	return p ? 0 : -1;
}

void network_port_delete(struct manager *m, const char *tap)
{
	struct networks *t = m->networks;
	struct network_port *p;

	g_mutex_lock(&t->work);
	p = port_by_tap(t, tap);
	if (p) {
		if (p->direct) {
			g_autofree char *note = macvtap_note(t, p->tap);

			link_delete(p->tap);
			unlink(note);
		} else {
			link_delete(p->tap); /* gone already when its last descriptor was closed */
		}
		remove_rules(t, p);
		take_out(t, p);
	}
	g_mutex_unlock(&t->work);
}

int network_port_set_link(struct manager *m, const char *tap, bool up, GError **error)
{
	return link_set_up(tap, up, error);
}

/* With `work` held. */
static int change_limits(
	struct networks *t, struct network_port *p, const uint64_t limits[6], GError **error)
{
	uint64_t old[6];

	memcpy(old, p->limits, sizeof(old));
	memcpy(p->limits, limits, sizeof(old));
	if (!p->tap || (set_limits(p, error) == 0 && (!p->bridge || put_rules(t, p, error) == 0)))
		return 0;
	memcpy(p->limits, old, sizeof(old));
	return -1;
}

int network_port_set_bandwidth(
	struct manager *m, const char *tap, const struct port_request *l, GError **error)
{
	const uint64_t limits[6] = { l->in_average, l->in_peak, l->in_burst, l->out_average,
		l->out_peak, l->out_burst };
	struct networks *t = m->networks;
	struct network_port *p;
	int err;

	g_mutex_lock(&t->work);
	p = port_by_tap(t, tap);
	err = p ? change_limits(t, p, limits, error)
		: refuse(error, MANAGER_ERR_NO_INTERFACE, "no machine has the interface '%s'", tap);
	g_mutex_unlock(&t->work);
	return err;
}

/* ---- as clients see them ---- */

static int no_port(const uint8_t uuid[16], GError **error)
{
	char text[37];

	uuid_format(uuid, text);
	return refuse(
		error, (enum manager_error)ERR_NO_NETWORK_PORT, "the network has no port %s", text);
}

GArray *network_ports(struct network *n)
{
	GArray *out = g_array_new(FALSE, FALSE, sizeof(struct network_port_name));
	GHashTableIter it;
	gpointer port;

	g_mutex_lock(&n->table->lock);
	g_hash_table_iter_init(&it, n->table->ports);
	while (g_hash_table_iter_next(&it, NULL, &port)) {
		const struct network_port *p = port;

		if (p->network == n)
			g_array_append_vals(out, p->uuid, 1);
	}
	g_mutex_unlock(&n->table->lock);
	return out;
}

static void limits_to(xmlNode *root, const uint64_t l[6])
{
	static const char *const names[] = { "bandwidth/inbound/@average",
		"bandwidth/inbound/@peak", "bandwidth/inbound/@burst",
		"bandwidth/outbound/@average", "bandwidth/outbound/@peak",
		"bandwidth/outbound/@burst" };

	for (unsigned i = 0; i < 6; i++) {
		if (l[i])
			xml_set_uint(root, names[i], l[i]);
	}
}

static char *describe(const struct network_port *p)
{
	g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *root = xmlNewNode(NULL, (const xmlChar *)"networkport");
	char text[37];

	xmlDocSetRootElement(doc, root);
	uuid_format(p->uuid, text);
	xml_set(root, "uuid", text);
	xml_set(root, "owner/name", p->owner_name ? p->owner_name : "");
	uuid_format(p->owner, text);
	xml_set(root, "owner/uuid", text);
	mac_format(p->mac, text);
	xml_set(root, "mac/@address", text);
	xml_set(root, "group", p->portgroup);
	if (p->trusted)
		xml_set(root, "rxfilters/@trustGuest", "yes");
	limits_to(root, p->limits);
	if (p->isolated)
		xml_set(root, "port/@isolated", "yes");
	xml_set(root, "plug/@type",
		p->direct ? "direct"
		: p->network && !network_config_owns_bridge(
					p->network->live ? p->network->live : p->network->config)
			? "bridge"
			: "network");
	if (p->direct) {
		xml_set(root, "plug/@dev", p->direct);
		xml_set(root, "plug/@mode", p->direct_mode);
	} else {
		xml_set(root, "plug/@bridge", p->bridge);
	}
	return xml_format(root);
}

char *network_port_xml_text(struct network *n, const uint8_t uuid[16], GError **error)
{
	struct network_port *p;
	char *out = NULL;

	g_mutex_lock(&n->table->lock);
	p = port_by_uuid(n->table, uuid);
	if (p && p->network == n)
		out = describe(p);
	g_mutex_unlock(&n->table->lock);
	if (!out)
		no_port(uuid, error);
	return out;
}

/* A description without a tap; network NULL: by name, in the same document's network. */
static struct network_port *parse_port(struct network *n, const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_rule_parse(xml, &network_port_xml, error);
	struct network_port *p;
	xmlNode *root;

	if (!doc)
		return NULL;
	root = xmlDocGetRootElement(doc);
	p = g_new0(struct network_port, 1);
	p->kept = true;
	mac_parse(xml_get(root, "mac/@address"), p->mac);
	uuid_parse_text(xml_get(root, "owner/uuid"), p->owner);
	p->owner_name = g_strdup(xml_get(root, "owner/name"));
	p->portgroup = g_strdup(xml_get(root, "group"));
	p->trusted = xml_get_bool(root, "rxfilters/@trustGuest", false);
	p->isolated = xml_get_bool(root, "port/@isolated", false);
	if (xml_get(root, "uuid"))
		uuid_parse_text(xml_get(root, "uuid"), p->uuid);
	else
		uuid_make(p->uuid);
	if (from_network(n->table, p, n->name, error)) {
		network_port_free(p);
		return NULL;
	}
	limits_from(xml_child(root, "bandwidth"), p->limits);
	return p;
}

static int keep_port(struct network_port *p, GError **error)
{
	g_autofree char *xml = describe(p);
	char name[37];
	struct store_record r = { .kind = "network-port", .name = name, .definition = xml };

	memcpy(r.uuid, p->uuid, 16);
	memcpy(r.parent, p->network->uuid, 16);
	uuid_format(p->uuid, name);
	return store_put(p->network->table->manager->store, &r, error);
}

int network_port_define(struct network *n, const char *xml, uint8_t ret_uuid[16], GError **error)
{
	struct networks *t = n->table;
	struct network_port *p;
	int err = -1;

	g_mutex_lock(&t->work);
	p = parse_port(n, xml, error);
	if (p && port_by_uuid(t, p->uuid))
		refuse(error, (enum manager_error)ERR_NETWORK_PORT_EXIST,
			"the network has that port already");
	else if (p)
		err = keep_port(p, error);
	if (err) {
		network_port_free(p);
	} else {
		memcpy(ret_uuid, p->uuid, 16);
		insert(t, p);
	}
	g_mutex_unlock(&t->work);
	return err;
}

int network_port_undefine(struct network *n, const uint8_t uuid[16], GError **error)
{
	struct networks *t = n->table;
	struct network_port *p;
	int err;

	g_mutex_lock(&t->work);
	p = port_by_uuid(t, uuid);
	if (!p || p->network != n)
		err = no_port(uuid, error);
	else if (!p->kept)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"the port belongs to the running machine '%s'",
			p->owner_name ? p->owner_name : "");
	else
		err = store_remove(t->manager->store, "network-port", uuid, error);
	if (!err)
		take_out(t, p);
	g_mutex_unlock(&t->work);
	return err;
}

int network_port_limits(
	struct network *n, const uint8_t uuid[16], uint64_t ret_limits[6], GError **error)
{
	struct network_port *p;
	int err = 0;

	g_mutex_lock(&n->table->lock);
	p = port_by_uuid(n->table, uuid);
	if (p && p->network == n)
		memcpy(ret_limits, p->limits, sizeof(p->limits));
	else
		err = no_port(uuid, error);
	g_mutex_unlock(&n->table->lock);
	return err;
}

int network_port_set_limits(
	struct network *n, const uint8_t uuid[16], const uint64_t limits[6], GError **error)
{
	struct network_port *p;
	int err;

	g_mutex_lock(&n->table->work);
	p = port_by_uuid(n->table, uuid);
	if (!p || p->network != n)
		err = no_port(uuid, error);
	else
		err = change_limits(n->table, p, limits, error);
	if (!err && p->kept)
		err = keep_port(p, error);
	g_mutex_unlock(&n->table->work);
	return err;
}

/* ---- after a restart ---- */

static void load_port(const struct store_record *r, void *opaque)
{
	struct networks *t = opaque;
	g_autoptr(GError) why = NULL;
	struct network_port *p;

	for (unsigned i = 0; i < t->all->len; i++) {
		struct network *n = t->all->pdata[i];

		if (memcmp(n->uuid, r->parent, 16) || !r->definition)
			continue;
		p = parse_port(n, r->definition, &why);
		if (p)
			insert(t, p);
		else
			log_warn("port %s of network %s: %s", r->name, n->name, why->message);
	}
}

void networks_load_ports(struct networks *t)
{
	store_each(t->manager->store, "network-port", load_port, t, NULL);
}

/* Macvtaps whose machine ended while no daemon looked. */
void networks_sweep(struct networks *t)
{
	g_autofree char *folder = g_build_filename(t->folder, "macvtap", NULL);
	g_autoptr(GDir) d = g_dir_open(folder, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *note = g_build_filename(folder, name, NULL);

		if (port_by_tap(t, name))
			continue;
		link_delete(name);
		unlink(note);
	}
}
