/* SPDX-License-Identifier: GPL-2.0-or-later */
/* interfaces.c: the host's network interfaces as libvirt's <interface>. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/host/devices.h"
#include "manager/host/host.h"

static void interface_free(void *p)
{
	struct host_interface *i = p;

	g_free(i->name);
	g_free(i->mac);
	g_free(i);
}

GPtrArray *host_interfaces(void)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(interface_free);
	GDir *dir = g_dir_open("/sys/class/net", 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *flags = host_file("/sys/class/net/%s/flags", name);
		struct host_interface *i;

		if (!flags)
			continue; /* a control file of the bonding driver */
		i = g_new0(struct host_interface, 1);
		i->name = g_strdup(name);
		i->mac = host_file("/sys/class/net/%s/address", name);
		i->up = g_ascii_strtoull(flags, NULL, 0) & IFF_UP;
		g_ptr_array_add(list, i);
	}
	if (dir)
		g_dir_close(dir);
	return list;
}

static unsigned prefix_of(const struct sockaddr *mask)
{
	const uint8_t *b;
	unsigned n = 0, len = mask->sa_family == AF_INET ? 4 : 16;

	b = mask->sa_family == AF_INET
		    ? (const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr
		    : (const uint8_t *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
	for (unsigned i = 0; i < len; i++)
		n += (unsigned)__builtin_popcount(b[i]);
	return n;
}

static void add_addresses(GString *out, const char *name, int family)
{
	struct ifaddrs *list = NULL;
	bool any = false;

	if (getifaddrs(&list) < 0)
		return;
	for (const struct ifaddrs *a = list; a; a = a->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address;

		if (!a->ifa_addr || !a->ifa_netmask || a->ifa_addr->sa_family != family ||
			strcmp(a->ifa_name, name) != 0)
			continue;
		address = family == AF_INET
				  ? (const void *)&((struct sockaddr_in *)a->ifa_addr)->sin_addr
				  : (const void *)&((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;
		inet_ntop(family, address, text, sizeof(text));
		if (!any)
			g_string_append_printf(out, "  <protocol family='%s'>\n",
				family == AF_INET ? "ipv4" : "ipv6");
		any = true;
		g_string_append_printf(out, "    <ip address='%s' prefix='%u'/>\n", text,
			prefix_of(a->ifa_netmask));
	}
	if (any)
		g_string_append(out, "  </protocol>\n");
	freeifaddrs(list);
}

static void add_ports(GString *out, const char *bridge)
{
	g_autofree char *folder = g_strdup_printf("/sys/class/net/%s/brif", bridge);
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;

	g_string_append(out, "  <bridge>\n");
	while (dir && (name = g_dir_read_name(dir)))
		g_string_append_printf(out, "    <interface type='ethernet' name='%s'/>\n", name);
	if (dir)
		g_dir_close(dir);
	g_string_append(out, "  </bridge>\n");
}

char *host_interface_xml(const struct host_interface *i)
{
	GString *out = g_string_new(NULL);
	g_autofree char *bridge = g_strdup_printf("/sys/class/net/%s/bridge", i->name);
	bool is_bridge = g_file_test(bridge, G_FILE_TEST_IS_DIR);

	g_string_append_printf(out, "<interface type='%s' name='%s'>\n",
		is_bridge ? "bridge" : "ethernet", i->name);
	g_string_append_printf(out, "  <mtu size='%u'/>\n",
		(unsigned)host_number(1500, "/sys/class/net/%s/mtu", i->name));
	if (!is_bridge && i->mac && strlen(i->mac) == 17)
		g_string_append_printf(out, "  <mac address='%s'/>\n", i->mac);
	add_addresses(out, i->name, AF_INET);
	add_addresses(out, i->name, AF_INET6);
	if (is_bridge)
		add_ports(out, i->name);
	g_string_append(out, "</interface>\n");
	return g_string_free(out, FALSE);
}
