/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network.h: virtual networks: a bridge with addresses, dnsmasq for DHCP and DNS, nftables for NAT
 * and isolation; and the ends that machines plug in.
 */
#ifndef MANAGER_NETWORK_H
#define MANAGER_NETWORK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;
struct network;

struct networks *networks_new(struct manager *m, GError **error);
void networks_free(struct networks *n);

/* A reference for the caller, or NULL with NO_NETWORK. */
struct network *network_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct network *network_find_name(struct manager *m, const char *name, GError **error);
struct network *network_ref(struct network *n);
void network_unref(struct network *n);
GPtrArray *networks_list(struct manager *m);

/* What a machine's card asks for; borrowed. */
struct port_request {
	const char *network;	/* name of a network; NULL: `bridge` */
	const char *bridge;	/* an existing bridge of the host */
	const char *direct;	/* macvtap above this host interface; NULL: none */
	uint8_t mac[6];
	const uint8_t *owner;	/* uuid of the domain */
	const char *owner_name;
	const char *tap_name;	/* wanted name; NULL: lodgeN */
	unsigned queues;	/* 1.. */
	unsigned mtu;		/* 0: the network's */
	bool no_filter;		/* no anti-spoofing rules */
	const char *filterref;	/* nwfilter; NULL: the default rules */
	/* kbytes/s; 0: no limit */
	uint64_t in_average, in_peak, in_burst, out_average, out_peak, out_burst;
};

struct port {
	char *tap;		/* owned: the host interface's name */
	char *network;		/* owned; NULL: plain bridge */
	char *bridge;		/* owned */
	int fds[16];		/* one per queue; owned until taken (-1) */
	unsigned fd_count;
};

/* Makes the tap, plugs it in, installs rules and limits. Nothing remains after a failure. */
int network_port_create(struct manager *m, const struct port_request *r, struct port *ret_port,
	GError **error);
/* Takes up a port that a previous daemon made (its machine still runs). */
int network_port_adopt(struct manager *m, const struct port_request *r, const char *tap, GError **error);
void network_port_delete(struct manager *m, const char *tap);
int network_port_set_link(struct manager *m, const char *tap, bool up, GError **error);
int network_port_set_bandwidth(struct manager *m, const char *tap, const struct port_request *limits,
	GError **error);
void port_clear(struct port *p); /* closes what was not taken, frees strings */

struct lease {
	char *mac, *address, *hostname, *client_id, *interface; /* owned; NULL: unknown */
	unsigned prefix;
	bool ipv6;
	int64_t expiry; /* seconds since 1970 */
	int64_t iaid;
};
/* struct lease, with a free function; of one card when mac is not NULL. */
GPtrArray *network_leases(struct network *n, const char *mac, GError **error);

#endif
