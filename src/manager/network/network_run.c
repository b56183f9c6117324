/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network_run.c: a network in the host: bridge, addresses, routes, rules, dnsmasq; all of it made
 * from the live definition, and all of it taken away again.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/network/net/dnsmasq.h"
#include "manager/network/net/firewall.h"
#include "manager/network/net/link.h"
#include "manager/network/network_priv.h"
#include "manager/xmlrule.h"

enum { DEATHS_MAX = 5, DEATHS_WITHIN_S = 60 };

char *network_folder(const struct network *n)
{
	char text[37];

	uuid_format(n->uuid, text);
	return g_build_filename(n->table->folder, text, NULL);
}

static const char *live_bridge(const struct network *n)
{
	return xml_get(n->live->root, "bridge/@name");
}

/* ---- rules ---- */

static void hold(GArray *held, const char *address, const char *mac)
{
	struct firewall_lease l;

	if (!address || !mac || mac_parse(mac, l.mac))
		return;
	g_strlcpy(l.address, address, sizeof(l.address));
	g_array_append_val(held, l);
}

/* Who has which address: reserved by the definition, or leased. */
GArray *network_held(struct network *n)
{
	GArray *held = g_array_new(FALSE, TRUE, sizeof(struct firewall_lease));
	g_autofree char *folder = network_folder(n);
	g_autoptr(GPtrArray) leases = dnsmasq_leases(folder, live_bridge(n));

	for (unsigned i = 0; i < n->live->ips->len; i++) {
		xmlNode *d =
			xml_child(g_array_index(n->live->ips, struct network_ip, i).node, "dhcp");

		for (xmlNode *h = xml_child(d, "host"); h; h = xml_next(h, "host"))
			hold(held, xml_get(h, "@ip"), xml_get(h, "@mac"));
	}
	for (unsigned i = 0; i < leases->len; i++) {
		const struct lease *l = leases->pdata[i];

		hold(held, l->address, l->mac);
	}
	return held;
}

int networks_rules(struct networks *t, GError **error)
{
	g_autoptr(GArray) nets = g_array_new(FALSE, TRUE, sizeof(struct firewall_network));
	g_autoptr(GPtrArray) keep = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
	g_autoptr(GArray) ports = NULL;
	g_autofree char *text = NULL;

	for (unsigned i = 0; i < t->all->len; i++) {
		struct network *n = t->all->pdata[i];
		struct firewall_network f = { .config = n->live };

		if (!n->live || !network_config_owns_bridge(n->live))
			continue;
		f.bridge = live_bridge(n);
		f.leases = network_held(n);
		g_ptr_array_add(held, (void *)f.leases);
		g_array_append_val(nets, f);
	}
	ports = networks_port_rules(t, keep, error);
	if (!ports)
		return -1;
	/* Nothing of ours in the host: no tables either. */
	if (!nets->len && !ports->len) {
		firewall_remove();
		return 0;
	}
	text = firewall_text((void *)nets->data, nets->len, (void *)ports->data, ports->len);
	return firewall_apply(text, error);
}

/* ---- what the main loop notices ---- */

static void later(struct network *n)
{
	g_thread_pool_push(n->table->chores, network_ref(n), NULL);
}

static void on_leases(
	GFileMonitor *w, GFile *file, GFile *other, GFileMonitorEvent what, void *opaque)
{
	if (what != G_FILE_MONITOR_EVENT_ATTRIBUTE_CHANGED)
		later(opaque);
}

/* As a GSource's, so that the descriptor goes when the source does. */
struct death_source {
	GSource base;
	int fd;
};

static gboolean death_dispatch(GSource *s, GSourceFunc fn, void *opaque)
{
	later(opaque);
	return G_SOURCE_REMOVE;
}

static void death_finalize(GSource *s)
{
	close(((struct death_source *)s)->fd);
}

static void watch_dnsmasq(struct network *n)
{
	static GSourceFuncs funcs = { .dispatch = death_dispatch, .finalize = death_finalize };
	int fd = syscall(SYS_pidfd_open, n->dnsmasq, 0);
	GSource *s;

	if (fd < 0) {
		later(n);
		return;
	}
	s = g_source_new(&funcs, sizeof(struct death_source));
	((struct death_source *)s)->fd = fd;
	g_source_add_unix_fd(s, fd, G_IO_IN);
	g_source_set_callback(s, NULL, network_ref(n), (GDestroyNotify)network_unref);
	g_source_attach(s, NULL);
	n->dnsmasq_watch = s;
}

static void unwatch_dnsmasq(struct network *n)
{
	if (!n->dnsmasq_watch)
		return;
	g_source_destroy(n->dnsmasq_watch);
	g_source_unref(n->dnsmasq_watch);
	n->dnsmasq_watch = NULL;
}

static void watch_leases(struct network *n)
{
	g_autofree char *folder = network_folder(n), *path = dnsmasq_lease_path(folder);
	g_autoptr(GFile) file = g_file_new_for_path(path);

	n->lease_watch = g_file_monitor_file(file, G_FILE_MONITOR_NONE, NULL, NULL);
	if (!n->lease_watch)
		return;
	g_file_monitor_set_rate_limit(n->lease_watch, 100);
	g_signal_connect_data(n->lease_watch, "changed", G_CALLBACK(on_leases), network_ref(n),
		(GClosureNotify)(void (*)(void))network_unref, 0);
}

void network_unwatch(struct network *n)
{
	unwatch_dnsmasq(n);
	if (n->lease_watch)
		g_file_monitor_cancel(n->lease_watch);
	g_clear_object(&n->lease_watch);
}

static int serve(struct network *n, GError **error)
{
	g_autofree char *folder = network_folder(n);

	if (!dnsmasq_wanted(n->live))
		return 0;
	unwatch_dnsmasq(n);
	if (dnsmasq_start(n->live, live_bridge(n), folder, &n->dnsmasq, error))
		return -1;
	watch_dnsmasq(n);
	return 0;
}

/* On the thread of chores: dnsmasq died, or its leases changed. */
void network_chore(void *network, void *table)
{
	struct network *n = network;
	struct networks *t = table;
	g_autoptr(GError) why = NULL;
	g_autofree char *folder = network_folder(n);

	g_mutex_lock(&t->work);
	if (n->live && !n->gone && network_config_owns_bridge(n->live)) {
		g_autoptr(GArray) held = network_held(n);
		g_autofree char *text = firewall_leases_text(live_bridge(n), held);
		int64_t now = g_get_monotonic_time() / G_USEC_PER_SEC;

		firewall_apply(text, NULL);
		if (dnsmasq_wanted(n->live) && !dnsmasq_find(folder)) {
			if (now - n->deaths_since > DEATHS_WITHIN_S) {
				n->deaths = 0;
				n->deaths_since = now;
			}
			if (n->deaths++ < DEATHS_MAX) {
				log_warn("network %s: dnsmasq ended; it is started again", n->name);
				if (serve(n, &why))
					log_warn("network %s: %s", n->name, why->message);
			} else {
				log_warn("network %s: dnsmasq ends again and again; it is left off "
					 "until the "
					 "network is started anew",
					n->name);
			}
		}
	}
	g_mutex_unlock(&t->work);
	network_unref(n);
}

/* ---- up and down ---- */

static int bridge_sysctls(struct network *n, GError **error)
{
	const char *b = live_bridge(n);
	g_autofree char *disable = g_strdup_printf("ipv6/conf/%s/disable_ipv6", b);
	g_autofree char *accept = g_strdup_printf("ipv6/conf/%s/accept_ra", b);
	g_autofree char *path = g_strdup_printf("/proc/sys/net/%s", disable);
	bool v4 = false, v6 = false, leads = n->live->forward != FORWARD_NONE;

	for (unsigned i = 0; i < n->live->ips->len; i++) {
		bool six = g_array_index(n->live->ips, struct network_ip, i).address.family ==
			   AF_INET6;

		v6 |= six;
		v4 |= !six;
	}
	/* Without IPv6 of its own, the host is not to be reached by link-local addresses. */
	if (!access(path, F_OK) &&
		(sysctl_set(disable, v6 ? "0" : "1", error) || sysctl_set(accept, "0", error)))
		return -1;
	if (leads && v4 && sysctl_set("ipv4/ip_forward", "1", error))
		return -1;
	/* Forwarding turns router advertisements off for the host itself, unless it says 2. */
	if (leads && v6 && sysctl_set("ipv6/conf/all/forwarding", "1", error))
		return -1;
	return 0;
}

static int add_routes(struct network *n, GError **error)
{
	for (xmlNode *r = xml_child(n->live->root, "route"); r; r = xml_next(r, "route")) {
		struct address net, gw, mask;
		unsigned prefix;

		address_parse(xml_get(r, "@address"), &net);
		address_parse(xml_get(r, "@gateway"), &gw);
		prefix = xml_get_uint(r, "@prefix", address_bits(&net));
		if (xml_get(r, "@netmask") && !address_parse(xml_get(r, "@netmask"), &mask))
			prefix = netmask_prefix(&mask);
		if (link_add_route(live_bridge(n), &net, prefix, &gw, xml_get_uint(r, "@metric", 1),
			    error))
			return -1;
	}
	return 0;
}

static int make_bridge(struct network *n, GError **error)
{
	const struct network_config *c = n->live;
	const char *b = live_bridge(n);
	uint8_t mac[6];
	uint64_t mtu = xml_get_uint(c->root, "mtu/@size", 0);
	uint64_t average = xml_get_uint(c->root, "bandwidth/inbound/@average", 0);

	mac_parse(xml_get(c->root, "mac/@address"), mac);
	if (link_add_bridge(b, mac, !strcmp(xml_get(c->root, "bridge/@stp"), "on"),
		    xml_get_uint(c->root, "bridge/@delay", 0), error))
		return -1;
	if ((mtu && link_set_mtu(b, mtu, error)) || bridge_sysctls(n, error))
		return -1;
	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		if (link_add_address(b, &ip->address, ip->prefix, error))
			return -1;
	}
	if (link_set_up(b, true, error) || add_routes(n, error))
		return -1;
	return average ? link_set_rate(b, average,
				 xml_get_uint(c->root, "bandwidth/inbound/@peak", 0),
				 xml_get_uint(c->root, "bandwidth/inbound/@burst", 0), error)
		       : 0;
}

static int check_host(struct network *n, GError **error)
{
	const struct network_config *c = n->live;
	const char *b = live_bridge(n);

	if (!network_config_owns_bridge(c)) {
		for (xmlNode *i = xml_child(xml_child(c->root, "forward"), "interface"); i;
			i = xml_next(i, "interface")) {
			if (!link_exists(xml_get(i, "@dev")))
				return refuse(error, MANAGER_ERR_NO_INTERFACE,
					"the host has no interface '%s'", xml_get(i, "@dev"));
		}
		return b && !link_is_bridge(b) ? refuse(error, MANAGER_ERR_NO_INTERFACE,
							 "the host has no bridge '%s'", b)
					       : 0;
	}
	if (!n->table->manager->privileged)
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"a network needs the system's daemon: machines of a user have <interface "
			"type='user'>");
	if (link_exists(b))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"the host has an interface '%s' already, which is not this network's", b);
	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		if (link_subnet_in_use(&ip->address, ip->prefix, NULL))
			return refuse(error, MANAGER_ERR_OPERATION_FAILED,
				"the host uses %s/%u already", xml_get(ip->node, "@address"),
				ip->prefix);
	}
	return 0;
}

int network_run(struct network *n, GError **error)
{
	g_autofree char *folder = network_folder(n);

	if (check_host(n, error))
		return -1;
	if (!network_config_owns_bridge(n->live))
		return 0;
	if (g_mkdir_with_parents(folder, 0755))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", folder, g_strerror(errno));
	/* Rules first: no packet passes an open door. */
	if (networks_rules(n->table, error) || make_bridge(n, error) || serve(n, error)) {
		network_halt(n);
		return -1;
	}
	watch_leases(n);
	return 0;
}

/* With whatever a daemon that was killed had half written. */
static void remove_folder(const char *folder)
{
	g_autoptr(GDir) d = g_dir_open(folder, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		g_unlink(path);
	}
	g_rmdir(folder);
}

void network_halt(struct network *n)
{
	g_autofree char *folder = network_folder(n);

	network_unwatch(n);
	if (!network_config_owns_bridge(n->live))
		return;
	dnsmasq_stop(folder);
	n->dnsmasq = 0;
	n->deaths = 0;
	link_delete(live_bridge(n));
	remove_folder(folder);
}

bool network_take_up(struct network *n)
{
	g_autofree char *folder = network_folder(n);
	g_autoptr(GError) why = NULL;

	if (!network_config_owns_bridge(n->live))
		return true;
	if (!link_is_bridge(live_bridge(n)))
		return false;
	n->dnsmasq = dnsmasq_find(folder);
	if (n->dnsmasq)
		watch_dnsmasq(n);
	else if (serve(n, &why))
		log_warn("network %s: %s", n->name, why->message);
	watch_leases(n);
	return true;
}

/* Hosts and names are read again; the rest of dnsmasq's configuration needs another dnsmasq. */
int network_replace_live(struct network *n, struct network_config *live, GError **error)
{
	struct network_config *old = n->live;
	g_autofree char *folder = network_folder(n);
	const char *bridge = live_bridge(n);
	int err = 0;

	g_mutex_lock(&n->table->lock);
	n->live = live;
	g_mutex_unlock(&n->table->lock);
	if (network_config_owns_bridge(live)) {
		g_autofree char *before = dnsmasq_config_text(old, bridge, folder);
		g_autofree char *after = dnsmasq_config_text(live, bridge, folder);

		if (strcmp(before, after)) {
			unwatch_dnsmasq(n);
			dnsmasq_stop(folder);
			err = serve(n, error);
		} else if (n->dnsmasq) {
			err = dnsmasq_reload(live, folder, error);
		}
		if (!err)
			err = networks_rules(n->table, error);
	}
	network_config_free(old);
	return err;
}
