/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_net_ctrl.c: the control queue of a network card and the receive filter it programs.
 * Spec: VIRTIO 1.2, 5.1.6.5.
 */
#include <linux/virtio_net.h>
#include <string.h>

#include "base/own.h"
#include "device/virtio/virtio_net_priv.h"
#include "net/net.h"

enum { ETH_VLAN_TAG = 0x8100 };

/* Bytes of a command after class and code, read in order. */
struct args {
	const struct virtq_chain *c;
	size_t at;
};

static bool take(struct args *a, void *to, size_t n)
{
	bool ok = iov_read(a->c->iov, a->c->out, a->at, to, n) == n;

	a->at += n;
	return ok;
}

static bool set_rx(struct virtio_net *s, uint8_t cmd, struct args *a)
{
	bool *const flag[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &s->promisc,
		[VIRTIO_NET_CTRL_RX_ALLMULTI] = &s->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &s->alluni,
		[VIRTIO_NET_CTRL_RX_NOMULTI] = &s->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &s->nouni,
		[VIRTIO_NET_CTRL_RX_NOBCAST] = &s->nobcast,
	};
	uint8_t on;

	if (cmd >= array_len(flag) || !take(a, &on, 1))
		return false;
	*flag[cmd] = on != 0;
	return true;
}

static bool take_filter(struct args *a, struct mac_filter *f)
{
	uint32_t count;

	if (!take(a, &count, sizeof(count)) || count > a->c->out_bytes / 6)
		return false;
	f->overflow = count > NET_MACS_MAX;
	f->count = f->overflow ? 0 : count;
	if (f->overflow) {
		a->at += (size_t)count * 6;
		return true;
	}
	return !count || take(a, f->mac, (size_t)count * 6);
}

static bool set_mac(struct virtio_net *s, uint8_t cmd, struct args *a)
{
	if (cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET) {
		uint8_t mac[6];

		if (!take(a, mac, sizeof(mac)))
			return false;
		memcpy(s->cur_mac, mac, sizeof(mac));
		return true;
	}
	if (cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET) {
		struct mac_filter uni = { 0 }, multi = { 0 };

		if (!take_filter(a, &uni) || !take_filter(a, &multi))
			return false;
		s->unicast = uni;
		s->multicast = multi;
		return true;
	}
	return false;
}

static bool set_vlan(struct virtio_net *s, uint8_t cmd, struct args *a)
{
	uint16_t id;

	if (!take(a, &id, sizeof(id)) || id >= NET_VLANS)
		return false;
	if (cmd == VIRTIO_NET_CTRL_VLAN_ADD)
		s->vlans[id / 64] |= 1ull << id % 64;
	else if (cmd == VIRTIO_NET_CTRL_VLAN_DEL)
		s->vlans[id / 64] &= ~(1ull << id % 64);
	else
		return false;
	return true;
}

static bool set_pairs(struct virtio_net *s, uint8_t cmd, struct args *a)
{
	uint16_t n;

	if (cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !virtio_has(&s->v, VIRTIO_NET_F_MQ) ||
	    !take(a, &n, sizeof(n)) || n < 1 || n > s->queue_pairs)
		return false;
	s->cur_pairs = n;
	return true;
}

static bool set_offloads(struct virtio_net *s, uint8_t cmd, struct args *a)
{
	uint64_t want;

	if (cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || !take(a, &want, sizeof(want)) ||
	    want & ~s->v.features)
		return false;
	s->guest_offloads = want;
	virtio_net_apply_offloads(s);
	return true;
}

static bool command(struct virtio_net *s, struct args *a)
{
	struct virtio_net_ctrl_hdr h;

	if (!take(a, &h, sizeof(h)))
		return false;
	switch (h.class) {
	case VIRTIO_NET_CTRL_RX:
		return set_rx(s, h.cmd, a);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(s, h.cmd, a);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(s, h.cmd, a);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		s->announce = false;
		return h.cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK;
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(s, h.cmd, a);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(s, h.cmd, a);
	default:
		return false;
	}
}

void virtio_net_ctrl(struct virtio *v, struct virtq *q)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);
	struct virtq_chain *c = &s->ctrl_chain;

	do {
		while (virtq_pop(q, c) > 0) {
			struct args a = { .c = c };
			uint8_t ack;

			if (!c->in_bytes) {
				virtio_broken(v, "queue %u: command without room for an answer",
					q->index);
				return;
			}
			ack = command(s, &a) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
			iov_write(c->iov + c->out, c->in, 0, &ack, 1);
			virtq_written(q, c, 1);
			virtq_push(q, c, 1);
		}
	} while (virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
}

void virtio_net_ctrl_reset(struct virtio_net *s)
{
	/* 5.1.6.5.1.1: a driver without the control queue gets everything. */
	s->promisc = true;
	s->allmulti = s->alluni = s->nomulti = s->nouni = s->nobcast = false;
	s->unicast = s->multicast = (struct mac_filter){ 0 };
	memset(s->vlans, 0, sizeof(s->vlans));
	s->cur_pairs = 1;
	s->announce = false;
	s->guest_offloads = 0;
}

void virtio_net_apply_offloads(struct virtio_net *s)
{
	static const struct {
		uint8_t feature;
		uint32_t offload;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, NET_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, NET_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, NET_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, NET_ECN },
		{ VIRTIO_NET_F_GUEST_UFO, NET_UFO },
	};
	uint32_t on = 0;

	for (unsigned i = 0; i < array_len(map); i++)
		if (s->guest_offloads >> map[i].feature & 1)
			on |= map[i].offload;
	net_set_offloads(s->net, on & net_offloads(s->net));
}

static bool filter_has(const struct mac_filter *f, const uint8_t *mac)
{
	if (f->overflow)
		return true;
	for (uint32_t i = 0; i < f->count; i++)
		if (!memcmp(f->mac + 6 * i, mac, 6))
			return true;
	return false;
}

bool virtio_net_wanted(const struct virtio_net *s, const uint8_t *frame, size_t n)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (virtio_has(&s->v, VIRTIO_NET_F_CTRL_VLAN) && n >= 16 &&
	    (frame[12] << 8 | frame[13]) == ETH_VLAN_TAG) {
		unsigned id = (frame[14] << 8 | frame[15]) & (NET_VLANS - 1);

		if (!(s->vlans[id / 64] >> id % 64 & 1))
			return false;
	}
	if (s->promisc)
		return true;
	if (!memcmp(frame, broadcast, 6))
		return !s->nobcast;
	if (frame[0] & 1)
		return !s->nomulti && (s->allmulti || filter_has(&s->multicast, frame));
	return !s->nouni && (s->alluni || !memcmp(frame, s->cur_mac, 6) ||
		filter_has(&s->unicast, frame));
}
