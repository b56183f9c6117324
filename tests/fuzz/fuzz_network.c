/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_network.c: network XML, and changes of one: what is accepted comes back the same, and what
 * is written for dnsmasq and nftables has no line that a value made. The first byte says which.
 */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "manager/network/net/dnsmasq.h"
#include "manager/network/net/firewall.h"
#include "manager/network/network_config.h"
#include "manager/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base[] = "<network><name>n</name><forward mode='nat'/><bridge "
			   "name='b0'/><dns><txt name='t' value='v'/>"
			   "<host ip='10.0.0.9'><hostname>h</hostname></host></dns><ip "
			   "address='10.0.0.1' prefix='24'><dhcp>"
			   "<range start='10.0.0.2' end='10.0.0.8'/><host mac='52:54:00:00:00:01' "
			   "ip='10.0.0.3'/></dhcp></ip>"
			   "<portgroup name='p'/></network>";

/* Every line is one of those that we write. */
static void check_lines(const char *text, const char *const *starts)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (unsigned i = 0; lines[i]; i++) {
		bool known = !*lines[i];

		for (unsigned k = 0; starts[k] && !known; k++)
			known = g_str_has_prefix(lines[i], starts[k]);
		if (!known)
			abort();
	}
}

static void check(const struct network_config *c)
{
	static const char *const options[] = { "#", "user=", "pid-file=", "dhcp-leasefile=",
		"dhcp-hostsfile=", "addn-hosts=", "conf-dir=", "no-hosts",
		"except-interface=", "bind-dynamic", "interface=", "port=0", "server=", "no-resolv",
		"domain-needed", "local=/", "domain=", "expand-hosts",
		"txt-record=", "srv-host=", "dhcp-no-override", "dhcp-authoritative",
		"dhcp-option=", "dhcp-range=", "dhcp-lease-max=", "enable-ra", "enable-tftp",
		"tftp-root=", "dhcp-boot=", NULL };
	static const char *const rules[] = { "add table ", "delete table ", "table ", "\t", "}",
		"add element ", NULL };
	const struct firewall_network net = { .config = c, .bridge = "b0" };
	g_autofree char *text = xml_format(c->root);
	struct network_config *again = network_config_parse(text, NULL);
	g_autofree char *second = again ? xml_format(again->root) : NULL;
	g_autofree char *config = dnsmasq_config_text(c, "b0", "/x");
	g_autofree char *hosts = dnsmasq_hosts_text(c), *names = dnsmasq_names_text(c);
	g_autofree char *firewall =
		network_config_owns_bridge(c) ? firewall_text(&net, 1, NULL, 0) : g_strdup("");

	if (!second || strcmp(text, second))
		abort();
	check_lines(config, options);
	check_lines(firewall, rules);
	if (strchr(hosts, '=') || strchr(names, '='))
		abort();
	network_config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = NULL;
	struct network_config *c, *changed;

	if (size < 2)
		return 0;
	text = g_strndup((const char *)data + 2, size - 2);
	if (!(data[0] & 1)) {
		c = network_config_parse(text, NULL);
	} else {
		c = network_config_parse(base, NULL);
		changed = network_config_update(
			c, 1 + (data[0] >> 1 & 3), data[1] % 14, -1, text, NULL);
		network_config_free(c);
		c = changed;
	}
	if (c)
		check(c);
	network_config_free(c);
	return 0;
}
