/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network_priv.h: what network.c (definitions), network_run.c (running) and network_port.c share.
 */
#ifndef MANAGER_NETWORK_PRIV_H
#define MANAGER_NETWORK_PRIV_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "manager/network/network.h"
#include "manager/network/network_config.h"

/*
 * `work` is taken by whatever changes a network, a port or the rules, for as long as it takes;
 * `lock` is held for a moment around the fields. A config is never changed, only replaced.
 */
struct networks {
	struct manager *manager;
	GMutex work;
	GMutex lock;
	GPtrArray *all;      /* owned: struct network, each with a reference */
	GHashTable *ports;   /* owned: uuid as text -> struct network_port */
	GThreadPool *chores; /* one thread: what the main loop noticed and must not wait for */
	char *folder;        /* owned: run-time files, a folder a network */
	bool ready;          /* rules are kept up to date from now on */
};

struct network {
	gint refs;
	struct networks *table; /* borrowed */
	char *name;             /* owned */
	uint8_t uuid[16];
	struct network_config *config; /* owned: kept; NULL: transient */
	struct network_config *live;   /* owned; NULL: not active */
	bool autostart;
	bool gone; /* not in the table any more */
	/* active, with a bridge of ours */
	pid_t dnsmasq;
	GSource *dnsmasq_watch;    /* owned; NULL: none */
	GFileMonitor *lease_watch; /* owned */
	unsigned deaths;           /* of dnsmasq, since `deaths_since` */
	int64_t deaths_since;
};

struct network_port {
	uint8_t uuid[16];
	struct network *network; /* owned reference; NULL: plain bridge or interface */
	char *tap;               /* owned; NULL: a client's description only */
	char *bridge, *direct, *direct_mode, *portgroup, *owner_name,
		*filter;               /* owned; may be NULL */
	GHashTable *filter_parameters; /* owned; may be NULL */
	uint8_t owner[16], mac[6];
	bool isolated, trusted, kept; /* kept: in the store */
	bool ruled;                   /* its chain is in the kernel */
	uint64_t limits[6];           /* in average, peak, burst, out average, peak, burst */
};

/* network_run.c; with `work` held */
int network_run(struct network *n, GError **error);
void network_halt(struct network *n);
/* Takes up a running one after a restart of the daemon; false: it does not run any more. */
bool network_take_up(struct network *n);
/* Puts a changed live definition into effect. Takes it, also on failure. */
int network_replace_live(struct network *n, struct network_config *live, GError **error);
char *network_folder(const struct network *n);
void network_chore(void *network, void *table); /* a GFunc */
void network_unwatch(struct network *n);
/* All rules from scratch. */
int networks_rules(struct networks *t, GError **error);
GArray *network_held(struct network *n); /* struct firewall_lease */

/* network_port.c */
void network_port_free(void *port);
void networks_load_ports(struct networks *t);
void networks_sweep(struct networks *t); /* macvtaps of machines that are no more */
/* Fills the firewall's view of all ports that have a tap; strings are added to `keep`. */
GArray *networks_port_rules(struct networks *t, GPtrArray *keep, GError **error);

#endif
