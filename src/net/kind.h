/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kind.h: what a kind of host end (user.c, tap.c) supplies to net.c. */
#ifndef NET_KIND_H
#define NET_KIND_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"

struct net_kind {
	const char *name;
	/* `options`: what followed the name, split at commas. Sets n->priv. */
	int (*open)(struct netdev *n, char **options, GError **error);
	void (*close)(struct netdev *n); /* safe on a half-open one */
	void (*send)(struct netdev *n, const struct iovec *iov, int iovcnt);
	void (*flush_rx)(struct netdev *n); /* also called when a user was attached */
	uint32_t (*offloads)(const struct netdev *n);	  /* NULL: none */
	void (*set_offloads)(struct netdev *n, uint32_t offloads);
	bool (*vnet_hdr)(const struct netdev *n);	  /* NULL: no */
	unsigned (*mtu)(const struct netdev *n);	  /* NULL: Ethernet's 1500 */
};

struct netdev {
	const struct net_kind *kind;
	void *priv;		/* owned by the kind */
	const struct net_user *user; /* main loop */
	void *opaque;
	char *description;	/* owned */
	_Atomic uint64_t counts[4]; /* struct net_stats */
};

/* A frame for the device, as net_user.receive; there must be a user. */
bool net_deliver(struct netdev *n, const uint8_t *frame, size_t size);

extern const struct net_kind net_kind_user, net_kind_tap, net_kind_none;

/* "KEY=VALUE" or "KEY": true if it is `key`, *value then points behind the '=' or is "on". */
bool net_option(const char *option, const char *key, const char **value);
/* "on" or "off". */
int net_parse_switch(const char *key, const char *value, bool *on, GError **error);

#endif
