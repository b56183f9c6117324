/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firewall.h: Lodge's own tables of nftables, `inet lodge` and `bridge lodge`: forwarding and NAT
 * of networks, what a guest's port may send. A table is replaced as one transaction; other tables
 * are never touched. Any thread.
 */
#ifndef MANAGER_NET_FIREWALL_H
#define MANAGER_NET_FIREWALL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct network_config;

/* What one port's rules are made of; borrowed. */
struct firewall_port {
	const char *device;
	const char *network_bridge; /* whose network rules hold too; NULL: none */
	uint8_t mac[6];
	bool trusted;            /* no rules but limits */
	uint64_t average, burst; /* from the guest, kilobytes a second and kilobytes; 0: no limit */
	const char *from_rules,
		*to_rules; /* a filter's: statements of its two chains; NULL: the default */
	const char *extra; /* whole chains that those jump to; NULL: none */
};

struct firewall_lease {
	char address[46];
	uint8_t mac[6];
};

/* One active network of ours. */
struct firewall_network {
	const struct network_config *config;
	const char *bridge;
	const GArray *leases; /* struct firewall_lease; NULL: none */
};

/* The text of both tables, complete. Owned by the caller. */
char *firewall_text(const struct firewall_network *nets, unsigned net_count,
	const struct firewall_port *ports, unsigned port_count);
/* What adds or replaces, or takes away, one port in the tables as they are. */
char *firewall_port_text(const struct firewall_port *p);
char *firewall_port_gone_text(const char *device);
/* What replaces the leases of one network. */
char *firewall_leases_text(const char *bridge, const GArray *leases);

/* Runs it as one transaction: all or nothing. */
int firewall_apply(const char *text, GError **error);
/* Removes both tables. */
void firewall_remove(void);

#endif
