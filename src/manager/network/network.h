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
struct network_port;

/*
 * Loads all, finds running ones again, makes `default` on a new host, starts what starts by itself.
 */
struct networks *networks_new(struct manager *m, GError **error);
/* Networks run on. */
void networks_free(struct networks *n);
/*
 * After all machines that still run took their ports again: what else a previous daemon left goes.
 */
void networks_settle(struct manager *m);

/* A reference for the caller, or NULL with NO_NETWORK. */
struct network *network_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct network *network_find_name(struct manager *m, const char *name, GError **error);
struct network *network_ref(struct network *n);
void network_unref(struct network *n);
/* All, each with a reference; free with g_ptr_array_unref. */
GPtrArray *networks_list(struct manager *m);

/* What does not change in a network's life. */
const char *network_name(const struct network *n);
const uint8_t *network_uuid(const struct network *n);

struct network_info {
	bool active, persistent, autostart;
	char bridge[16]; /* "": none */
};
void network_info(struct network *n, struct network_info *ret);

/* Keeps a definition, a new one or another of an existing network. A reference for the caller. */
struct network *network_define(struct manager *m, const char *xml, GError **error);
/* Starts one that lasts until it is stopped. */
struct network *network_create_transient(struct manager *m, const char *xml, GError **error);
int network_start(struct network *n, GError **error);
int network_stop(struct network *n, GError **error);
int network_undefine(struct network *n, GError **error);
int network_set_autostart(struct network *n, bool autostart, GError **error);
/* Owned by the caller. inactive: the kept definition of an active one. NULL with error. */
char *network_xml_text(struct network *n, bool inactive, GError **error);
/* flags: 1 live, 2 config, 0 whichever it is. See network_config_update(). */
int network_update(struct network *n, unsigned command, unsigned section, int parent,
	const char *xml, unsigned flags, GError **error);

/* What a machine's card asks for; borrowed. */
struct port_request {
	const char *network;     /* name of a network; NULL: `bridge` */
	const char *portgroup;   /* of the network; NULL: its default one, if any */
	const char *bridge;      /* an existing bridge of the host */
	const char *direct;      /* macvtap above this host interface; NULL: none */
	const char *direct_mode; /* "bridge", "vepa", "private", "passthrough"; NULL: vepa */
	uint8_t mac[6];
	const uint8_t *owner; /* uuid of the domain */
	const char *owner_name;
	const char *tap_name;  /* wanted name; NULL: vnetN */
	unsigned queues;       /* 1.. */
	unsigned mtu;          /* 0: the network's */
	bool isolated;         /* from other isolated ports of the bridge */
	bool no_filter;        /* no anti-spoofing rules */
	const char *filterref; /* nwfilter; NULL: the default rules */
	GHashTable
		*filter_parameters; /* char * -> char *, several values with commas; NULL: none */
	/* kbytes/s, burst in kbytes; 0: no limit. in: to the machine */
	uint64_t in_average, in_peak, in_burst, out_average, out_peak, out_burst;
};

struct port {
	char *tap;     /* owned: the host interface's name */
	char *network; /* owned; NULL: plain bridge */
	char *bridge;  /* owned; NULL: macvtap */
	unsigned mtu;  /* for the machine; 0: the usual */
	int fds[16];   /* one per queue; owned until taken (-1) */
	unsigned fd_count;
};

/* Makes the tap, plugs it in, installs rules and limits. Nothing remains after a failure. */
int network_port_create(
	struct manager *m, const struct port_request *r, struct port *ret_port, GError **error);
/* Takes up a port that a previous daemon made (its machine still runs). */
int network_port_adopt(
	struct manager *m, const struct port_request *r, const char *tap, GError **error);
void network_port_delete(struct manager *m, const char *tap);
int network_port_set_link(struct manager *m, const char *tap, bool up, GError **error);
int network_port_set_bandwidth(
	struct manager *m, const char *tap, const struct port_request *limits, GError **error);
void port_clear(struct port *p); /* closes what was not taken, frees strings */

/*
 * A network's ports as clients see and make them: descriptions, without a tap if a client made it.
 */
struct network_port_name {
	uint8_t uuid[16];
};
GArray *network_ports(struct network *n); /* struct network_port_name */
int network_port_define(struct network *n, const char *xml, uint8_t ret_uuid[16], GError **error);
int network_port_undefine(struct network *n, const uint8_t uuid[16], GError **error);
/* NULL with NO_NETWORK_PORT. Owned by the caller. */
char *network_port_xml_text(struct network *n, const uint8_t uuid[16], GError **error);
/* in average, peak, burst, out average, peak, burst */
int network_port_limits(
	struct network *n, const uint8_t uuid[16], uint64_t ret_limits[6], GError **error);
int network_port_set_limits(
	struct network *n, const uint8_t uuid[16], const uint64_t limits[6], GError **error);

/* The rules of ports that use filters are made again. */
int network_filters_changed(struct manager *m, GError **error);
/*
 * The ports with filters: device, owner and filter of each, as libvirt's bindings; see nwfilter.h.
 */
struct network_binding {
	char *device, *filter, *owner_name; /* owned */
	uint8_t owner[16], mac[6];
	GHashTable *parameters; /* owned; may be NULL */
};
GPtrArray *network_bindings(struct manager *m); /* struct network_binding, with a free function */

struct lease {
	char *mac, *address, *hostname, *client_id, *interface; /* owned; NULL: unknown */
	unsigned prefix;
	bool ipv6;
	int64_t expiry; /* seconds since 1970; 0: for ever */
	int64_t iaid;
};
/* struct lease, with a free function; of one card when mac is not NULL. */
GPtrArray *network_leases(struct network *n, const char *mac, GError **error);

#endif
