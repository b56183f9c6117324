/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h: the host's network interfaces, by netlink: bridges, taps, macvtaps, their addresses and
 * routes. Each call is one short conversation with the kernel; any thread.
 */
#ifndef MANAGER_NET_LINK_H
#define MANAGER_NET_LINK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "manager/network/net/address.h"

bool link_exists(const char *name);
bool link_is_bridge(const char *name);
/* Makes it down; an interface of that name fails. */
int link_add_bridge(
	const char *name, const uint8_t mac[6], bool stp, unsigned delay_s, GError **error);
/* A macvtap above `lower`; mode is "bridge", "private", "vepa", "passthrough". */
int link_add_macvtap(const char *name, const char *lower, const char *mode, const uint8_t mac[6],
	GError **error);
/* Absent is fine. */
void link_delete(const char *name);

int link_set_up(const char *name, bool up, GError **error);
int link_set_mtu(const char *name, unsigned mtu, GError **error);
int link_set_mac(const char *name, const uint8_t mac[6], GError **error);
/* bridge NULL: out of any. */
int link_set_master(const char *name, const char *bridge, GError **error);
/* Isolated ports of a bridge do not reach each other. */
int link_set_isolated(const char *name, bool isolated, GError **error);
int link_add_address(const char *name, const struct address *a, unsigned prefix, GError **error);
/* Via the interface called dev. */
int link_add_route(const char *dev, const struct address *net, unsigned prefix,
	const struct address *gateway, uint32_t metric, GError **error);
/* Is any address of the subnet on an interface other than `except`, or routed by one? Default
 * routes do not count. */
bool link_subnet_in_use(const struct address *net, unsigned prefix, const char *except);
/* The MAC that answers for an address on that interface, if the kernel knows it. */
bool link_neighbour(const char *dev, const struct address *a, uint8_t ret_mac[6]);

/* Opens `queues` descriptors of a tap with virtio headers, which goes when the last is closed. name
 * may be "lodge%d": ret_name has what it became (IFNAMSIZ bytes). */
int tap_open(const char *name, unsigned queues, int *ret_fds, char *ret_name, GError **error);
/* Likewise for a macvtap that was made; private node below `folder` for the moment. */
int macvtap_open(
	const char *name, unsigned queues, const char *folder, int *ret_fds, GError **error);

/* Limits, in kilobytes a second and kilobytes; average 0: none. To the guest they queue (token
 * bucket). */
int link_set_rate(
	const char *name, uint64_t average, uint64_t peak, uint64_t burst, GError **error);

/* Writes a value below /proc/sys/net; what is set already is left alone. */
int sysctl_set(const char *path, const char *value, GError **error);

#endif
