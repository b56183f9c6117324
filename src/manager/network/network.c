/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network.c: the table of networks: definitions, look-up, what clients see and change. */
#include "manager/network/network.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/event.h"
#include "manager/manager.h"
#include "manager/network/net/dnsmasq.h"
#include "manager/network/net/link.h"
#include "manager/network/network_priv.h"
#include "manager/store.h"
#include "manager/xmlrule.h"

/* virNetworkEventLifecycleType */
enum { NETWORK_DEFINED, NETWORK_UNDEFINED, NETWORK_STARTED, NETWORK_STOPPED };
enum { UPDATE_LIVE = 1, UPDATE_CONFIG = 2 };

/* ---- one network ---- */

struct network *network_ref(struct network *n)
{
	g_atomic_int_inc(&n->refs);
	return n;
}

void network_unref(struct network *n)
{
	if (!n || !g_atomic_int_dec_and_test(&n->refs))
		return;
	network_config_free(n->config);
	network_config_free(n->live);
	g_free(n->name);
	g_free(n);
}

const char *network_name(const struct network *n)
{
	return n->name;
}

const uint8_t *network_uuid(const struct network *n)
{
	return n->uuid;
}

static void tell(struct network *n, int what)
{
	struct event ev = { .object = EVENT_NETWORK, .event = what, .id = -1 };

	memcpy(ev.uuid, n->uuid, 16);
	g_strlcpy(ev.name, n->name, sizeof(ev.name));
	ev.time = g_get_real_time();
	event_publish(n->table->manager->events, &ev);
}

/* Writes it down as it is to be; config and live as given. */
static int keep(struct network *n, const struct network_config *config,
	const struct network_config *live, const char *state, bool autostart, GError **error)
{
	g_autofree char *xml = config ? xml_format(config->root) : NULL;
	g_autofree char *live_xml = live ? xml_format(live->root) : NULL;
	g_autofree char *status = NULL;
	struct store_record r = {
		.kind = "network", .name = n->name, .definition = xml, .autostart = autostart
	};

	memcpy(r.uuid, n->uuid, 16);
	if (live) {
		json_t *o = json_pack("{s:s, s:s}", "state", state, "live", live_xml);
		char *text = json_dumps(o, JSON_COMPACT);

		status = g_strdup(text);
		free(text);
		json_decref(o);
	}
	r.status = status;
	return store_put(n->table->manager->store, &r, error);
}

static int forget(struct network *n, GError **error)
{
	return store_remove(n->table->manager->store, "network", n->uuid, error);
}

/* ---- the table ---- */

/* With `lock` held. */
static struct network *by_name(struct networks *t, const char *name)
{
	for (unsigned i = 0; i < t->all->len; i++) {
		struct network *n = t->all->pdata[i];

		if (!strcmp(n->name, name))
			return n;
	}
	return NULL;
}

static struct network *by_uuid(struct networks *t, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < t->all->len; i++) {
		struct network *n = t->all->pdata[i];

		if (!memcmp(n->uuid, uuid, 16))
			return n;
	}
	return NULL;
}

struct network *network_find_name(struct manager *m, const char *name, GError **error)
{
	struct network *n;

	g_mutex_lock(&m->networks->lock);
	n = by_name(m->networks, name);
	if (n)
		network_ref(n);
	g_mutex_unlock(&m->networks->lock);
	if (!n)
		refuse(error, MANAGER_ERR_NO_NETWORK, "no network is called '%.200s'", name);
	return n;
}

struct network *network_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct network *n;
	char text[37];

	g_mutex_lock(&m->networks->lock);
	n = by_uuid(m->networks, uuid);
	if (n)
		network_ref(n);
	g_mutex_unlock(&m->networks->lock);
	uuid_format(uuid, text);
	if (!n)
		refuse(error, MANAGER_ERR_NO_NETWORK, "no network has the uuid %s", text);
	return n;
}

GPtrArray *networks_list(struct manager *m)
{
	GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)network_unref);
	struct networks *t = m->networks;

	g_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->all->len; i++)
		g_ptr_array_add(out, network_ref(t->all->pdata[i]));
	g_mutex_unlock(&t->lock);
	return out;
}

/* Takes config and live. */
static struct network *add(
	struct networks *t, struct network_config *config, struct network_config *live)
{
	const struct network_config *c = config ? config : live;
	struct network *n = g_new0(struct network, 1);

	n->refs = 1;
	n->table = t;
	n->name = g_strdup(c->name);
	memcpy(n->uuid, c->uuid, 16);
	n->config = config;
	n->live = live;
	g_mutex_lock(&t->lock);
	g_ptr_array_add(t->all, n);
	g_mutex_unlock(&t->lock);
	return n;
}

static void drop(struct network *n)
{
	g_mutex_lock(&n->table->lock);
	n->gone = true;
	g_ptr_array_remove(n->table->all, n);
	g_mutex_unlock(&n->table->lock);
}

static void set_config(struct network *n, struct network_config *c)
{
	struct network_config *old;

	g_mutex_lock(&n->table->lock);
	old = n->config;
	n->config = c;
	g_mutex_unlock(&n->table->lock);
	network_config_free(old);
}

/* ---- definitions ---- */

static const char *bridge_of(const struct network *n)
{
	const char *b = n->live ? xml_get(n->live->root, "bridge/@name") : NULL;

	return b ? b : n->config ? xml_get(n->config->root, "bridge/@name") : NULL;
}

/* A free name, if none was given; a network's bridge is its alone. */
static int choose_bridge(struct networks *t, struct network_config *c, GError **error)
{
	const char *name = xml_get(c->root, "bridge/@name");
	bool pattern = name && strchr(name, '%');
	char made[16];

	if (!network_config_owns_bridge(c))
		return 0;
	for (unsigned k = 0; k < 1000; k++) {
		bool taken = false;

		g_snprintf(made, sizeof(made), "virbr%u", k);
		for (unsigned i = 0; i < t->all->len && !taken; i++) {
			const struct network *o = t->all->pdata[i];

			taken = memcmp(o->uuid, c->uuid, 16) &&
				!g_strcmp0(bridge_of(o), name && !pattern ? name : made);
		}
		if (name && !pattern) {
			if (taken)
				return refuse(error, MANAGER_ERR_OPERATION_FAILED,
					"another network has the bridge '%s' already", name);
			return 0;
		}
		if (!taken && !link_exists(made)) {
			xml_set(c->root, "bridge/@name", made);
			return xml_rule_check(c->root, &network_xml, error);
		}
	}
	return refuse(error, MANAGER_ERR_INTERNAL, "no name for a bridge is free");
}

/* Name and uuid say the same network, or neither is known. *ret NULL: a new one. */
static int match(
	struct networks *t, const struct network_config *c, struct network **ret, GError **error)
{
	struct network *a = by_uuid(t, c->uuid), *b = by_name(t, c->name);
	char text[37];

	if (a && strcmp(a->name, c->name)) {
		uuid_format(c->uuid, text);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"network '%s' has the uuid %s already", a->name, text);
	}
	if (b && b != a) {
		uuid_format(b->uuid, text);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"network '%s' exists already, with uuid %s", b->name, text);
	}
	*ret = a;
	return 0;
}

/* A definition that leaves out what the kept one has (uuid, mac, bridge) means that. */
static struct network_config *parse_again(struct networks *t, const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_rule_parse(xml, &network_xml, error);
	static const char *const kept[] = { "uuid", "mac/@address", "bridge/@name" };
	g_autofree char *text = NULL;
	xmlNode *root;
	struct network *n;

	if (!doc)
		return NULL;
	root = xmlDocGetRootElement(doc);
	n = by_name(t, xml_get(root, "name"));
	for (unsigned i = 0; n && n->config && i < G_N_ELEMENTS(kept); i++) {
		const char *old = xml_get(n->config->root, kept[i]),
			   *mode = xml_get(root, "forward/@mode");
		bool host = mode &&
			    !g_strv_contains(
				    (const char *const[]){ "nat", "route", "open", NULL }, mode);

		if (old && !xml_get(root, kept[i]) && (i == 0 || !host))
			xml_set(root, kept[i], old);
	}
	text = xml_format(root);
	return network_config_parse(text, error);
}

struct network *network_define(struct manager *m, const char *xml, GError **error)
{
	struct networks *t = m->networks;
	struct network_config *c;
	struct network *n = NULL;
	bool known;

	g_mutex_lock(&t->work);
	c = parse_again(t, xml, error);
	if (!c || match(t, c, &n, error) || choose_bridge(t, c, error)) {
		network_config_free(c);
		g_mutex_unlock(&t->work);
		return NULL;
	}
	known = n;
	if (!n)
		n = add(t, c, NULL);
	if (keep(n, c, n->live, "active", n->autostart, error)) {
		if (known)
			network_config_free(c);
		else
			drop(n);
		g_mutex_unlock(&t->work);
		return NULL;
	}
	if (known)
		set_config(n, c);
	network_ref(n);
	tell(n, NETWORK_DEFINED);
	g_mutex_unlock(&t->work);
	return n;
}

/* With `work` held. What is about to be is written down first: a daemon that dies in between cleans
 * up. */
static int start(struct network *n, struct network_config *live, GError **error)
{
	g_mutex_lock(&n->table->lock);
	n->live = live;
	g_mutex_unlock(&n->table->lock);
	if (keep(n, n->config, live, "starting", n->autostart, error) == 0 &&
		network_run(n, error) == 0) {
		if (keep(n, n->config, live, "active", n->autostart, error) == 0) {
			tell(n, NETWORK_STARTED);
			return 0;
		}
		network_halt(n);
	}
	g_mutex_lock(&n->table->lock);
	n->live = NULL;
	g_mutex_unlock(&n->table->lock);
	network_config_free(live);
	if (n->table->ready)
		networks_rules(n->table, NULL);
	if (n->config)
		keep(n, n->config, NULL, NULL, n->autostart, NULL);
	else
		forget(n, NULL);
	return -1;
}

struct network *network_create_transient(struct manager *m, const char *xml, GError **error)
{
	struct networks *t = m->networks;
	struct network_config *c;
	struct network *n = NULL;

	g_mutex_lock(&t->work);
	c = network_config_parse(xml, error);
	if (!c || match(t, c, &n, error) || choose_bridge(t, c, error)) {
		g_clear_pointer(&c, network_config_free);
	} else if (n && n->live) {
		refuse(error, MANAGER_ERR_OPERATION_FAILED, "network '%s' is active already",
			n->name);
		g_clear_pointer(&c, network_config_free);
	} else if (n) { /* a kept one, started as something else for once */
		n = start(n, c, error) ? NULL : network_ref(n);
	} else {
		n = add(t, NULL, c);
		if (start(n, c, error)) {
			drop(n);
			n = NULL;
		} else {
			network_ref(n);
		}
	}
	g_mutex_unlock(&t->work);
	return c ? n : NULL;
}

int network_start(struct network *n, GError **error)
{
	int err = 0;

	g_mutex_lock(&n->table->work);
	if (n->gone || !n->config)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"network '%s' has no kept definition", n->name);
	else if (n->live)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is active already",
			n->name);
	else
		err = start(n, network_config_copy(n->config), error);
	g_mutex_unlock(&n->table->work);
	return err;
}

/* With `work` held. */
static int stop(struct network *n, GError **error)
{
	struct network_config *live = n->live;

	if (keep(n, n->config, live, "stopping", n->autostart, error))
		return -1;
	network_halt(n);
	g_mutex_lock(&n->table->lock);
	n->live = NULL;
	g_mutex_unlock(&n->table->lock);
	network_config_free(live);
	if (n->config)
		keep(n, n->config, NULL, NULL, n->autostart, NULL);
	else
		forget(n, NULL);
	if (n->table->ready)
		networks_rules(n->table, NULL);
	return 0;
}

int network_stop(struct network *n, GError **error)
{
	int err;

	g_mutex_lock(&n->table->work);
	if (!n->live)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is not active",
			n->name);
	else
		err = stop(n, error);
	if (!err) {
		tell(n, NETWORK_STOPPED);
		if (!n->config)
			drop(n);
	}
	g_mutex_unlock(&n->table->work);
	return err;
}

int network_undefine(struct network *n, GError **error)
{
	int err;

	g_mutex_lock(&n->table->work);
	if (n->gone || !n->config)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is transient", n->name);
	else
		err = n->live ? keep(n, NULL, n->live, "active", false, error) : forget(n, error);
	if (!err) {
		set_config(n, NULL);
		n->autostart = false;
		tell(n, NETWORK_UNDEFINED);
		if (!n->live)
			drop(n);
	}
	g_mutex_unlock(&n->table->work);
	return err;
}

int network_set_autostart(struct network *n, bool autostart, GError **error)
{
	int err;

	g_mutex_lock(&n->table->work);
	if (n->gone || !n->config)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"network '%s' is transient: it cannot start by itself", n->name);
	else
		err = keep(n, n->config, n->live, "active", autostart, error);
	if (!err)
		n->autostart = autostart;
	g_mutex_unlock(&n->table->work);
	return err;
}

/* ---- what clients see ---- */

void network_info(struct network *n, struct network_info *ret)
{
	const char *b;

	memset(ret, 0, sizeof(*ret));
	g_mutex_lock(&n->table->lock);
	b = bridge_of(n);
	ret->active = n->live;
	ret->persistent = n->config;
	ret->autostart = n->autostart;
	g_strlcpy(ret->bridge, b ? b : "", sizeof(ret->bridge));
	g_mutex_unlock(&n->table->lock);
}

char *network_xml_text(struct network *n, bool inactive, GError **error)
{
	struct networks *t = n->table;
	const struct network_config *c;
	g_autoptr(xmlDoc) doc = NULL;
	GHashTableIter it;
	gpointer port;
	unsigned used = 0;
	bool live;

	g_mutex_lock(&t->lock);
	c = n->live && !(inactive && n->config) ? n->live : n->config;
	live = c && c == n->live && !inactive;
	if (c)
		doc = xmlCopyDoc(c->doc, 1);
	g_hash_table_iter_init(&it, t->ports);
	while (g_hash_table_iter_next(&it, NULL, &port))
		used += ((struct network_port *)port)->network == n;
	g_mutex_unlock(&t->lock);
	if (!doc) {
		refuse(error, MANAGER_ERR_NO_NETWORK, "network '%s' is gone", n->name);
		return NULL;
	}
	if (live && used)
		xml_set_uint(xmlDocGetRootElement(doc), "@connections", used);
	return xml_format(xmlDocGetRootElement(doc));
}

int network_update(struct network *n, unsigned command, unsigned section, int parent,
	const char *xml, unsigned flags, GError **error)
{
	struct network_config *live = NULL, *config = NULL;
	int err = -1;

	g_mutex_lock(&n->table->work);
	if (!(flags & (UPDATE_LIVE | UPDATE_CONFIG)))
		flags |= n->live ? UPDATE_LIVE : UPDATE_CONFIG;
	if (flags & UPDATE_LIVE && !n->live) {
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is not active", n->name);
		goto out;
	}
	if (flags & UPDATE_CONFIG && (n->gone || !n->config)) {
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "network '%s' has no kept definition",
			n->name);
		goto out;
	}
	if (flags & UPDATE_CONFIG) {
		config = network_config_update(n->config, command, section, parent, xml, error);
		if (!config)
			goto out;
	}
	if (flags & UPDATE_LIVE) {
		live = network_config_update(n->live, command, section, parent, xml, error);
		if (!live)
			goto out;
	}
	if (keep(n, config ? config : n->config, live ? live : n->live, "active", n->autostart,
		    error))
		goto out;
	err = live ? network_replace_live(n, g_steal_pointer(&live), error) : 0;
	if (config)
		set_config(n, g_steal_pointer(&config));
out:
	network_config_free(live);
	network_config_free(config);
	g_mutex_unlock(&n->table->work);
	return err;
}

/* ---- start and end of the daemon ---- */

static void load(const struct store_record *r, void *opaque)
{
	struct networks *t = opaque;
	struct network_config *config = NULL, *live = NULL;
	g_autoptr(GError) why = NULL;
	json_t *o = r->status ? json_loads(r->status, 0, NULL) : NULL;
	const char *text = json_string_value(json_object_get(o, "live"));
	const char *state = json_string_value(json_object_get(o, "state"));
	struct network *n;

	if (r->definition)
		config = network_config_parse(r->definition, &why);
	if (text)
		live = network_config_parse(text, NULL);
	if (why)
		log_warn("network %s: kept, but not understood: %s", r->name, why->message);
	if (config || live) {
		n = add(t, config, live);
		n->autostart = r->autostart;
		/* Cut off in the middle of a start or a stop: ended below, like one that a reboot
		 * ended. */
		if (live && (g_strcmp0(state, "active") || !network_take_up(n))) {
			network_halt(n);
			n->live = NULL;
			network_config_free(live);
			if (config)
				keep(n, config, NULL, NULL, n->autostart, NULL);
			else
				drop(n);
		}
	}
	json_decref(o);
}

/* The first of the usual ranges that the host does not use itself. */
static void make_default(struct networks *t)
{
	struct store_record mark = {
		.kind = "mark", .name = "default-network", .definition = "made"
	};
	g_autoptr(GError) why = NULL;
	struct network *n = NULL;

	for (unsigned k = 122; k < 250 && !n; k++) {
		struct address net = { .family = AF_INET, .bytes = { 192, 168, k, 0 } };
		g_autofree char *xml = NULL;

		if (link_subnet_in_use(&net, 24, NULL))
			continue;
		xml = g_strdup_printf(
			"<network><name>default</name><forward mode='nat'><nat><port start='1024' "
			"end='65535'/></nat>"
			"</forward><ip address='192.168.%u.1' netmask='255.255.255.0'><dhcp>"
			"<range start='192.168.%u.2' end='192.168.%u.254'/></dhcp></ip></network>",
			k, k, k);
		n = network_define(t->manager, xml, &why);
		if (!n)
			break;
	}
	if (!n || network_set_autostart(n, true, &why))
		log_warn("the default network: %s",
			why ? why->message : "no range of addresses is free");
	uuid_make(mark.uuid);
	if (n)
		store_put(t->manager->store, &mark, NULL);
	network_unref(n);
}

GPtrArray *network_leases(struct network *n, const char *mac, GError **error)
{
	g_autofree char *folder = network_folder(n);
	GPtrArray *out;
	struct network_info info;
	struct address a;

	network_info(n, &info);
	if (!info.active) {
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "network '%s' is not active", n->name);
		return NULL;
	}
	out = dnsmasq_leases(folder, info.bridge);
	g_mutex_lock(&n->table->lock);
	for (unsigned i = 0; i < out->len; i++) {
		struct lease *l = out->pdata[i];

		address_parse(l->address, &a);
		for (unsigned k = 0; n->live && k < n->live->ips->len; k++) {
			const struct network_ip *ip =
				&g_array_index(n->live->ips, struct network_ip, k);

			if (address_within(&a, &ip->address, ip->prefix))
				l->prefix = ip->prefix;
		}
	}
	g_mutex_unlock(&n->table->lock);
	for (unsigned i = out->len; mac && i-- > 0;) {
		const struct lease *l = out->pdata[i];

		if (!l->mac || g_ascii_strcasecmp(l->mac, mac))
			g_ptr_array_remove_index(out, i);
	}
	return out;
}

static void count(const struct store_record *r, void *opaque)
{
	++*(unsigned *)opaque;
}

/* Once after each start of the host: what a person stopped meanwhile stays stopped. */
static void autostart(struct networks *t)
{
	g_autofree char *stamp = g_build_filename(t->folder, "autostarted", NULL);
	g_autoptr(GPtrArray) all = networks_list(t->manager);

	if (!access(stamp, F_OK))
		return;
	for (unsigned i = 0; i < all->len; i++) {
		struct network *n = all->pdata[i];
		g_autoptr(GError) why = NULL;

		if (n->autostart && !n->live && network_start(n, &why))
			log_warn("network %s does not start: %s", n->name, why->message);
	}
	g_file_set_contents(stamp, "", 0, NULL);
}

struct networks *networks_new(struct manager *m, GError **error)
{
	struct networks *t = g_new0(struct networks, 1);
	unsigned marks = 0;

	t->manager = m;
	g_mutex_init(&t->work);
	g_mutex_init(&t->lock);
	t->all = g_ptr_array_new_with_free_func((GDestroyNotify)network_unref);
	t->ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, network_port_free);
	t->chores = g_thread_pool_new(network_chore, t, 1, FALSE, NULL);
	t->folder = g_build_filename(m->paths.run, "network", NULL);
	if (g_mkdir_with_parents(t->folder, 0755)) {
		refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", t->folder, g_strerror(errno));
		networks_free(t);
		return NULL;
	}
	m->networks = t;
	g_mutex_lock(&t->work);
	if (store_each(m->store, "network", load, t, error)) {
		g_mutex_unlock(&t->work);
		m->networks = NULL;
		networks_free(t);
		return NULL;
	}
	networks_load_ports(t);
	t->ready = m->privileged;
	g_mutex_unlock(&t->work);
	if (!m->privileged)
		return t;
	store_each(m->store, "mark", count, &marks, NULL);
	if (!marks)
		make_default(t);
	autostart(t);
	return t;
}

void networks_settle(struct manager *m)
{
	struct networks *t = m->networks;
	g_autoptr(GError) why = NULL;

	g_mutex_lock(&t->work);
	networks_sweep(t);
	if (t->ready && networks_rules(t, &why))
		log_warn("%s", why->message);
	g_mutex_unlock(&t->work);
}

void networks_free(struct networks *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->all->len; i++)
		network_unwatch(t->all->pdata[i]);
	g_thread_pool_free(t->chores, TRUE, TRUE);
	g_hash_table_unref(t->ports);
	g_ptr_array_unref(t->all);
	g_mutex_clear(&t->work);
	g_mutex_clear(&t->lock);
	g_free(t->folder);
	g_free(t);
}
