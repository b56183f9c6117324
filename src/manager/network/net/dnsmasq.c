/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dnsmasq.c: configuration, life and leases of a network's dnsmasq. Spec: dnsmasq(8); RFC 8415, 11.
 */
#include "manager/network/net/dnsmasq.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "manager/error.h"
#include "manager/network/net/link.h"
#include "manager/network/network.h"
#include "manager/network/network_config.h"
#include "manager/xmlrule.h"

bool dnsmasq_wanted(const struct network_config *c)
{
	return c->ips->len &&
	       (network_config_has_dhcp(c, AF_INET) || network_config_has_dhcp(c, AF_INET6) ||
		       xml_get_bool(c->root, "dns/@enable", true));
}

/* ---- the configuration ---- */

/* Seconds; 0: for ever, as libvirt has it. */
static void lease_text(GString *out, xmlNode *item)
{
	const char *unit = xml_get(item, "lease/@unit");
	uint64_t n = xml_get_uint(item, "lease/@expiry", 3600);

	if (!xml_child(item, "lease"))
		return;
	if (!n)
		g_string_append(out, ",infinite");
	else if (unit && !strcmp(unit, "seconds"))
		g_string_append_printf(
			out, ",%u", (unsigned)MAX(n, 120)); /* the least that it takes */
	else
		g_string_append_printf(
			out, ",%u%c", (unsigned)n, unit && !strcmp(unit, "hours") ? 'h' : 'm');
}

static void dhcp_config(GString *out, const struct network_ip *ip)
{
	xmlNode *d = xml_child(ip->node, "dhcp");
	bool v6 = ip->address.family == AF_INET6;
	struct address net = address_subnet(&ip->address, ip->prefix), mask;
	char net_text[ADDRESS_TEXT], mask_text[ADDRESS_TEXT];
	uint64_t count = 0;

	mask = prefix_netmask(ip->address.family, ip->prefix);
	address_format(&net, net_text);
	address_format(&mask, mask_text);
	for (xmlNode *r = xml_child(d, "range"); r; r = xml_next(r, "range")) {
		struct address first, last;

		address_parse(xml_get(r, "@start"), &first);
		address_parse(xml_get(r, "@end"), &last);
		count += address_distance(&first, &last);
		g_string_append_printf(
			out, "dhcp-range=%s,%s,", xml_get(r, "@start"), xml_get(r, "@end"));
		if (v6)
			g_string_append_printf(out, "%u", ip->prefix);
		else
			g_string_append(out, mask_text);
		lease_text(out, r);
		g_string_append_c(out, '\n');
	}
	if (xml_child(d, "host")) {
		for (xmlNode *h = xml_child(d, "host"); h; h = xml_next(h, "host"))
			count++;
		if (!xml_child(d, "range"))
			g_string_append_printf(out,
				v6 ? "dhcp-range=%s,static,%u\n" : "dhcp-range=%s,static\n",
				net_text, ip->prefix);
	}
	if (count)
		g_string_append_printf(out, "dhcp-lease-max=%u\n", (unsigned)MIN(count, 1 << 20));
	if (v6) {
		if (!count)
			g_string_append_printf(out, "dhcp-range=%s,ra-only\n", net_text);
		g_string_append(out, "enable-ra\n");
		return;
	}
	if (xml_get(ip->node, "tftp/@root"))
		g_string_append_printf(
			out, "enable-tftp\ntftp-root=%s\n", xml_get(ip->node, "tftp/@root"));
	if (xml_get(d, "bootp/@file"))
		g_string_append_printf(out,
			xml_get(d, "bootp/@server") ? "dhcp-boot=%s,,%s\n" : "dhcp-boot=%s\n",
			xml_get(d, "bootp/@file"), xml_get(d, "bootp/@server"));
}

/* The subnet's names by address are ours alone. RFC 1035, 3.5; RFC 3596, 2.5 */
static void reverse_zone(GString *out, const struct network_ip *ip)
{
	bool v6 = ip->address.family == AF_INET6;

	g_string_append(out, "local=/");
	for (int i = ip->prefix / (v6 ? 4 : 8) - 1; i >= 0; i--) {
		if (v6)
			g_string_append_printf(
				out, "%x.", ip->address.bytes[i / 2] >> (i & 1 ? 0 : 4) & 15);
		else
			g_string_append_printf(out, "%u.", ip->address.bytes[i]);
	}
	g_string_append(out, v6 ? "ip6.arpa/\n" : "in-addr.arpa/\n");
}

/* A TXT value is quoted, so that its commas stay in it; quotes inside cannot be told. */
static void dns_config(GString *out, const struct network_config *c)
{
	xmlNode *dns = xml_child(c->root, "dns");
	const char *domain = xml_get(c->root, "domain/@name");
	bool forwarders = false;

	for (xmlNode *f = xml_child(dns, "forwarder"); f; f = xml_next(f, "forwarder")) {
		const char *of = xml_get(f, "@domain"), *to = xml_get(f, "@addr");

		g_string_append(out, "server=");
		if (of)
			g_string_append_printf(out, "/%s/", of);
		g_string_append_printf(out, "%s\n", to ? to : "#");
		forwarders |= to && !of;
	}
	if (forwarders)
		g_string_append(out, "no-resolv\n");
	if (!xml_get_bool(dns, "@forwardPlainNames", true))
		g_string_append(out, "domain-needed\nlocal=//\n");
	if (domain) {
		g_string_append_printf(out, "domain=%s\nexpand-hosts\n", domain);
		if (xml_get_bool(c->root, "domain/@localOnly", false))
			g_string_append_printf(out, "local=/%s/\n", domain);
	}
	for (xmlNode *t = xml_child(dns, "txt"); t; t = xml_next(t, "txt")) {
		g_auto(GStrv) parts = g_strsplit(xml_get(t, "@value"), "\"", -1);
		g_autofree char *clean = g_strjoinv("", parts);

		g_string_append_printf(out, "txt-record=%s,\"%s\"\n", xml_get(t, "@name"), clean);
	}
	for (xmlNode *s = xml_child(dns, "srv"); s; s = xml_next(s, "srv")) {
		const char *service = xml_get(s, "@service"), *of = xml_get(s, "@domain");
		const char *target = xml_get(s, "@target");

		g_string_append_printf(out, "srv-host=%s%s._%s", service[0] == '_' ? "" : "_",
			service, xml_get(s, "@protocol"));
		if (of || domain)
			g_string_append_printf(out, ".%s", of ? of : domain);
		if (target)
			g_string_append_printf(out, ",%s,%u,%u,%u", target,
				(unsigned)xml_get_uint(s, "@port", 1),
				(unsigned)xml_get_uint(s, "@priority", 0),
				(unsigned)xml_get_uint(s, "@weight", 0));
		g_string_append_c(out, '\n');
	}
	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		if (xml_get_bool(ip->node, "@localPtr", false))
			reverse_zone(out, ip);
	}
}

char *dnsmasq_config_text(const struct network_config *c, const char *bridge, const char *folder)
{
	GString *out = g_string_new("# Written by lodged at each start of the network.\n");
	const struct passwd *user = getpwnam("dnsmasq");

	g_string_append_printf(out,
		"user=%s\npid-file=%s/pid\ndhcp-leasefile=%s/leases\n"
		"dhcp-hostsfile=%s/hosts\naddn-hosts=%s/names\n"
		"conf-dir=\nno-hosts\nexcept-interface=lo\nbind-dynamic\ninterface=%s\n",
		user ? "dnsmasq" : "nobody", folder, folder, folder, folder, bridge);
	if (!xml_get_bool(c->root, "dns/@enable", true))
		g_string_append(out, "port=0\n");
	else
		dns_config(out, c);
	if (network_config_has_dhcp(c, AF_INET))
		g_string_append(out, "dhcp-no-override\ndhcp-authoritative\n");
	/* A network that leads nowhere is no default route. */
	if (c->forward == FORWARD_NONE)
		g_string_append(out, "dhcp-option=3\nno-resolv\n");
	if (xml_get(c->root, "mtu/@size"))
		g_string_append_printf(
			out, "dhcp-option=option:mtu,%s\n", xml_get(c->root, "mtu/@size"));
	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);

		dhcp_config(out, ip);
	}
	return g_string_free(out, FALSE);
}

char *dnsmasq_hosts_text(const struct network_config *c)
{
	GString *out = g_string_new(NULL);

	for (unsigned i = 0; i < c->ips->len; i++) {
		const struct network_ip *ip = &g_array_index(c->ips, struct network_ip, i);
		bool v6 = ip->address.family == AF_INET6;

		for (xmlNode *h = xml_child(xml_child(ip->node, "dhcp"), "host"); h;
			h = xml_next(h, "host")) {
			const char *mac = xml_get(h, "@mac"), *id = xml_get(h, "@id"),
				   *name = xml_get(h, "@name");

			if (mac)
				g_string_append_printf(out, "%s,", mac);
			else if (id)
				g_string_append_printf(out, "id:%s,", id);
			if (name && !mac && !id) /* known by its name alone */
				g_string_append_printf(out, "%s,", name);
			g_string_append_printf(out, v6 ? "[%s]" : "%s", xml_get(h, "@ip"));
			if (name && (mac || id))
				g_string_append_printf(out, ",%s", name);
			lease_text(out, h);
			g_string_append_c(out, '\n');
		}
	}
	return g_string_free(out, FALSE);
}

char *dnsmasq_names_text(const struct network_config *c)
{
	GString *out = g_string_new(NULL);

	for (xmlNode *h = xml_child(xml_child(c->root, "dns"), "host"); h;
		h = xml_next(h, "host")) {
		g_string_append(out, xml_get(h, "@ip"));
		for (xmlNode *n = xml_child(h, "hostname"); n; n = xml_next(n, "hostname"))
			g_string_append_printf(out, "\t%s", (const char *)n->children->content);
		g_string_append_c(out, '\n');
	}
	return g_string_free(out, FALSE);
}

/* ---- its life ---- */

static int write_file(const char *folder, const char *name, const char *text, GError **error)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);
	g_autoptr(GError) why = NULL;

	/* Read by dnsmasq's own user when it reloads. */
	if (!g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &why))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s", why->message);
	return 0;
}

static int write_hosts(const struct network_config *c, const char *folder, GError **error)
{
	g_autofree char *hosts = dnsmasq_hosts_text(c), *names = dnsmasq_names_text(c);

	return write_file(folder, "hosts", hosts, error)
		       ? -1
		       : write_file(folder, "names", names, error);
}

/* Does the process run with the configuration of that folder? */
static bool is_ours(pid_t pid, const char *folder)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid), *line = NULL;
	g_autofree char *want = g_strdup_printf("--conf-file=%s/config", folder);
	gsize len;

	if (pid <= 0 || !g_file_get_contents(path, &line, &len, NULL))
		return false;
	for (const char *arg = line; arg < line + len; arg += strlen(arg) + 1) {
		if (!strcmp(arg, want))
			return true;
	}
	return false;
}

pid_t dnsmasq_find(const char *folder)
{
	g_autofree char *file = g_build_filename(folder, "pid", NULL), *text = NULL;
	pid_t pid;

	if (!g_file_get_contents(file, &text, NULL, NULL))
		return 0;
	pid = atoi(text);
	/* The number may be another process's by now. */
	return is_ours(pid, folder) ? pid : 0;
}

/* One that has not written its pid file yet: a daemon was killed while it started. */
static pid_t find_young(const char *folder)
{
	g_autoptr(GDir) d = g_dir_open("/proc", 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		if (is_ours(atoi(name), folder))
			return atoi(name);
	}
	return 0;
}

/* Between its start and its going into the background it ends with us. */
static void die_with_us(void *opaque)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int dnsmasq_start(const struct network_config *c, const char *bridge, const char *folder,
	pid_t *ret_pid, GError **error)
{
	g_autofree char *config = dnsmasq_config_text(c, bridge, folder);
	g_autofree char *arg = g_strdup_printf("--conf-file=%s/config", folder), *said = NULL;
	const char *const argv[] = { "dnsmasq", arg, NULL };
	g_autoptr(GError) why = NULL;
	int status = 0;

	dnsmasq_stop(folder);
	if (g_mkdir_with_parents(folder, 0755))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", folder, g_strerror(errno));
	if (write_file(folder, "config", config, error) || write_hosts(c, folder, error))
		return -1;
	/*
	 * It goes into the background when its sockets are bound: its exit says whether it serves.
	 */
	if (!g_spawn_sync(NULL, (char **)argv, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, die_with_us, NULL, NULL,
		    &said, &status, &why))
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot run dnsmasq: %s", why->message);
	if (!g_spawn_check_wait_status(status, NULL))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "dnsmasq does not start: %.300s",
			g_strstrip(said));
	*ret_pid = dnsmasq_find(folder);
	if (!*ret_pid)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "dnsmasq ended at once");
	return 0;
}

int dnsmasq_reload(const struct network_config *c, const char *folder, GError **error)
{
	pid_t pid = dnsmasq_find(folder);

	if (write_hosts(c, folder, error))
		return -1;
	if (pid)
		kill(pid, SIGHUP);
	return 0;
}

void dnsmasq_stop(const char *folder)
{
	if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
		return;
	for (unsigned i = 0; i < 200; i++) {
		pid_t pid = dnsmasq_find(folder);

		if (!pid)
			pid = find_young(folder);
		if (!pid)
			break;
		kill(pid, i < 150 ? SIGTERM : SIGKILL);
		g_usleep(10000);
	}
}

/* ---- leases ---- */

char *dnsmasq_lease_path(const char *folder)
{
	return g_build_filename(folder, "leases", NULL);
}

static void lease_free(void *p)
{
	struct lease *l = p;

	g_free(l->mac);
	g_free(l->address);
	g_free(l->hostname);
	g_free(l->client_id);
	g_free(l->interface);
	g_free(l);
}

static char *known(const char *s)
{
	return s && strcmp(s, "*") ? g_strdup(s) : NULL;
}

/* The MAC in a DUID of type 1 or 3; else what the host's neighbours say. */
static char *duid_mac(const char *duid, const char *bridge, const char *address)
{
	size_t n = strlen(duid);
	uint8_t mac[6];
	struct address a;
	char text[18];

	if (n == 41 && g_str_has_prefix(duid, "00:01:00:01:"))
		return g_strdup(duid + 24);
	if (n == 29 && g_str_has_prefix(duid, "00:03:00:01:"))
		return g_strdup(duid + 12);
	if (address_parse(address, &a) || !link_neighbour(bridge, &a, mac))
		return NULL;
	mac_format(mac, text);
	return g_strdup(text);
}

GPtrArray *dnsmasq_leases(const char *folder, const char *bridge)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(lease_free);
	g_autofree char *path = dnsmasq_lease_path(folder), *text = NULL;
	g_auto(GStrv) lines = NULL;
	int64_t now = g_get_real_time() / G_USEC_PER_SEC;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return all;
	lines = g_strsplit(text, "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		g_auto(GStrv) f = g_strsplit(lines[i], " ", 5);
		struct address a;
		struct lease *l;
		uint8_t mac[6];

		/* "duid …" is the server's own; a line half written is seen whole at the next
		 * change. */
		if (g_strv_length(f) != 5 || address_parse(f[2], &a))
			continue;
		l = g_new0(struct lease, 1);
		l->expiry = g_ascii_strtoll(f[0], NULL, 10);
		l->ipv6 = a.family == AF_INET6;
		l->address = g_strdup(f[2]);
		l->hostname = known(f[3]);
		l->client_id = known(f[4]);
		l->interface = g_strdup(bridge);
		if (l->ipv6) {
			l->iaid = g_ascii_strtoll(f[1][0] == 'T' ? f[1] + 1 : f[1], NULL, 10);
			l->mac = duid_mac(f[4], bridge, f[2]);
		} else if (!mac_parse(f[1], mac)) {
			l->mac = g_strdup(f[1]);
		}
		if (l->expiry && l->expiry < now)
			lease_free(l);
		else
			g_ptr_array_add(all, l);
	}
	return all;
}
