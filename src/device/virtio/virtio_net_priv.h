/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_net_priv.h: what virtio_net.c and virtio_net_ctrl.c share. */
#ifndef DEVICE_VIRTIO_VIRTIO_NET_PRIV_H
#define DEVICE_VIRTIO_VIRTIO_NET_PRIV_H

#include "device/virtio/virtio.h"

struct netdev;

enum {
	NET_PAIRS_MAX = 8,
	NET_QUEUE_SIZE = 256,
	NET_CHAIN_MAX = NET_QUEUE_SIZE + 2,
	NET_RX_CHAINS = 64, /* buffers one frame may be spread over */
	NET_MACS_MAX = 64,  /* filter entries; more mean "all" */
	NET_VLANS = 4096,
	NET_HDR = 12,	    /* struct virtio_net_hdr_v1 */
};

struct mac_filter {
	uint32_t count;
	uint8_t overflow; /* bool: the driver wants more than fit */
	uint8_t mac[NET_MACS_MAX * 6];
};

struct virtio_net {
	struct virtio v;
	/* config */
	uint8_t mac[6];
	uint16_t queue_pairs, mtu;
	uint32_t speed;

	/* state: what the driver set through the control queue */
	uint8_t cur_mac[6];
	uint16_t cur_pairs;
	bool link_down;	  /* by the monitor */
	bool announce;	  /* 5.1.4.2: the driver is asked to announce itself */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	struct mac_filter unicast, multicast;
	uint64_t vlans[NET_VLANS / 64];
	uint64_t guest_offloads; /* feature bits the driver wants to receive with */

	/* derived */
	struct netdev *net; /* borrowed */
	bool vnet_hdr, backend_up, attached;
	struct virtq_chain tx_chain, ctrl_chain;
	struct virtq_chain rx_chain[NET_RX_CHAINS];
	struct iovec *rx_iovs;	 /* owned */
	uint64_t *rx_gpas;	 /* owned */
	uint8_t *scratch;	 /* owned: one frame to be finished in software */
};

unsigned virtio_net_ctrl_queue(const struct virtio_net *s);
/* virtio_net_ctrl.c */
void virtio_net_ctrl(struct virtio *v, struct virtq *q);
void virtio_net_ctrl_reset(struct virtio_net *s);
/* Tells the back end what the driver can receive. */
void virtio_net_apply_offloads(struct virtio_net *s);
/* Does the driver want this Ethernet frame? */
bool virtio_net_wanted(const struct virtio_net *s, const uint8_t *frame, size_t n);

/* virtio_net_offload.c: a frame the back end cannot take as it is, finished in software: checksum
 * and segmentation. frame: n bytes, hdr: the driver's virtio_net_hdr. Calls send for each frame. */
void virtio_net_finish(const uint8_t *hdr, uint8_t *frame, size_t n,
	void (*send)(void *opaque, const struct iovec *iov, int iovcnt), void *opaque);

/* A finished TCP frame, as segments no larger than mtu; false: it is something else. */
bool virtio_net_cut(const uint8_t *frame, size_t n, unsigned mtu,
	void (*send)(void *opaque, const struct iovec *iov, int iovcnt), void *opaque);

#endif
