/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net.h: a host end of a network card: user-mode NAT (libslirp), tap, or nothing. */
#ifndef NET_NET_H
#define NET_NET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct netdev;

enum { NET_MTU_MAX = 65550, NET_HDR_MAX = 12 };

/* Offloads, as virtio feature bits say them (virtio 1.2, 5.1.3). */
enum net_offload {
	NET_CSUM = 1 << 0, NET_TSO4 = 1 << 1, NET_TSO6 = 1 << 2, NET_ECN = 1 << 3, NET_UFO = 1 << 4,
	NET_USO = 1 << 5,
};

struct net_user {
	/* A frame from the host, preceded by a virtio_net_hdr (12 bytes) when net_vnet_hdr() is true.
	 * false: no room, call again after net_flush_rx(); the back end keeps the frame. */
	bool (*receive)(void *opaque, const uint8_t *frame, size_t n);
	void (*link)(void *opaque, bool up); /* may be NULL */
};

/*
 * spec: "user" with ",forward=tcp:[HOSTADDR:]HPORT:GPORT" and ",forward=udp:…" as often as wanted,
 * ",restrict=on", ",dns=off", ",host-loopback=off" (10.0.2.2 is not the host's 127.0.0.1); "tap"
 * with ",name=IFNAME" or ",fd=N"; "none". Errors name the port in use, the missing permission, ….
 */
struct netdev *net_open(const char *spec, GError **error);
void net_close(struct netdev *n);	/* NULL allowed */
/* Frames are delivered on the main loop. */
void net_attach(struct netdev *n, const struct net_user *u, void *opaque);
/* One frame to the host, thread of the main loop or the device's queue thread; copies. With vnet_hdr
 * the iov starts with the 12-byte header. */
void net_send(struct netdev *n, const struct iovec *iov, int iovcnt);
void net_flush_rx(struct netdev *n);	/* any thread: receive() may be tried again */
/* What the back end can take and give; 0 for slirp. */
uint32_t net_offloads(const struct netdev *n);
bool net_vnet_hdr(const struct netdev *n);
/* The largest IP packet, bytes: a hint for the guest. */
unsigned net_mtu(const struct netdev *n);
void net_set_offloads(struct netdev *n, uint32_t offloads);
const char *net_describe(const struct netdev *n);

/* Frames and bytes (with their 12-byte header, where there is one) since it was opened; `in` is to
 * the guest. Any thread. */
struct net_stats {
	uint64_t in_frames, in_bytes, out_frames, out_bytes;
};
struct net_stats net_stats(const struct netdev *n);

#endif
