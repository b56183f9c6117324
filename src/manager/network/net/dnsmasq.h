/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dnsmasq.h: one dnsmasq a network, for DHCP, DNS and router advertisements. It runs on when the
 * daemon ends and is found again by its pid file.
 */
#ifndef MANAGER_NET_DNSMASQ_H
#define MANAGER_NET_DNSMASQ_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct network_config;

/* Does the network need one? */
bool dnsmasq_wanted(const struct network_config *c);
/* Its configuration file and its list of hosts. Owned by the caller. */
char *dnsmasq_config_text(const struct network_config *c, const char *bridge, const char *folder);
char *dnsmasq_hosts_text(const struct network_config *c); /* dhcp-hostsfile */
char *dnsmasq_names_text(const struct network_config *c); /* addn-hosts */

/* Writes the files into `folder` and starts it; returns when it serves. */
int dnsmasq_start(const struct network_config *c, const char *bridge, const char *folder,
	pid_t *ret_pid, GError **error);
/* The running one of that folder; 0: none. */
pid_t dnsmasq_find(const char *folder);
/* Rewrites the host files and has it read them. */
int dnsmasq_reload(const struct network_config *c, const char *folder, GError **error);
/* Ends it and waits. Its files stay. */
void dnsmasq_stop(const char *folder);

/*
 * struct lease (network.h) of its lease file. bridge: where to look up the MACs of IPv6 addresses.
 */
GPtrArray *dnsmasq_leases(const char *folder, const char *bridge);
/* "leases" in folder. Owned by the caller. */
char *dnsmasq_lease_path(const char *folder);

#endif
