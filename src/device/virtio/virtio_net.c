/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_net.c: a network card: transmit and receive queues. The control queue is in
 * virtio_net_ctrl.c. Spec: VIRTIO 1.2, 5.1.
 */
#include "device/virtio/virtio_net.h"

#include <linux/if_ether.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "device/virtio/virtio_net_priv.h"
#include "net/net.h"

enum {
	TX_BURST = 256, /* frames before others on the loop get their turn */
	FRAME_MAX = 65536 + 64,
	VLAN_HLEN = 4,
};

static struct virtio_net *net_of(struct device *d)
{
	return container_of(d, struct virtio_net, v.dev);
}

void virtio_net_set_netdev(struct device *d, struct netdev *n)
{
	net_of(d)->net = n;
}

static uint64_t net_features(const struct virtio *v)
{
	static const struct {
		uint32_t offload;
		uint8_t guest;
	} in[] = {
		{ NET_TSO4, VIRTIO_NET_F_GUEST_TSO4 },
		{ NET_TSO6, VIRTIO_NET_F_GUEST_TSO6 },
		{ NET_ECN, VIRTIO_NET_F_GUEST_ECN },
		{ NET_UFO, VIRTIO_NET_F_GUEST_UFO },
	};
	const struct virtio_net *s = container_of(v, const struct virtio_net, v);
	uint32_t offloads = net_offloads(s->net);
	/* What the back end cannot, we finish in software: cheaper here than in the guest. */
	uint64_t f = VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
		VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
		VIRTIO_BIT(VIRTIO_NET_F_MTU) |
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN) |
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
		VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6);

	for (unsigned i = 0; i < array_len(in); i++)
		if (offloads & in[i].offload)
			f |= VIRTIO_BIT(in[i].guest);
	if (offloads & NET_ECN)
		f |= VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN);
	if (offloads & NET_UFO)
		f |= VIRTIO_BIT(VIRTIO_NET_F_HOST_UFO);
	if (s->queue_pairs > 1)
		f |= VIRTIO_BIT(VIRTIO_NET_F_MQ);
	if (s->speed)
		f |= VIRTIO_BIT(VIRTIO_NET_F_SPEED_DUPLEX);
	return f;
}

static unsigned card_mtu(const struct virtio_net *s)
{
	return s->mtu ? s->mtu : MIN(net_mtu(s->net), UINT16_MAX);
}

static void net_config_read(struct virtio *v, uint8_t *buf)
{
	const struct virtio_net *s = container_of(v, struct virtio_net, v);
	struct virtio_net_config c = {
		.status = (s->backend_up && !s->link_down ? VIRTIO_NET_S_LINK_UP : 0) |
			(s->announce ? VIRTIO_NET_S_ANNOUNCE : 0),
		.max_virtqueue_pairs = s->queue_pairs,
		.mtu = (uint16_t)card_mtu(s),
		.speed = s->speed,
		.duplex = 1, /* full */
	};

	memcpy(c.mac, s->cur_mac, sizeof(c.mac));
	memcpy(buf, &c, v->type->config_size);
}

/* Transmit. 5.1.6.2. */

static void send_frame(void *opaque, const struct iovec *iov, int iovcnt)
{
	net_send(opaque, iov, iovcnt);
}

/* The back end takes plain frames: strip the header, finish what it asks for. */
static void transmit_plain(struct virtio_net *s, struct virtq_chain *c)
{
	struct virtio_net_hdr_v1 h;
	size_t n;

	iov_read(c->iov, c->out, 0, &h, NET_HDR);
	virtq_chain_skip_out(c, NET_HDR);
	if (!(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && h.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		net_send(s->net, c->iov, c->out);
		return;
	}
	if (c->out_bytes > FRAME_MAX)
		return;
	/* A private copy: the driver cannot change what was checked. */
	n = iov_read(c->iov, c->out, 0, s->scratch, FRAME_MAX);
	virtio_net_finish((const uint8_t *)&h, s->scratch, n, send_frame, s->net);
}

static void net_tx(struct virtio *v, struct virtq *q)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);
	struct virtq_chain *c = &s->tx_chain;
	unsigned n = 0;

	virtq_kicks(q, false);
	do {
		while (n < TX_BURST && virtq_pop(q, c) > 0) {
			n++;
			if (c->out_bytes <= NET_HDR || c->in) {
				virtio_broken(v, "queue %u: frame without data", q->index);
				return;
			}
			if (s->link_down)
				; /* into the void */
			else if (s->vnet_hdr)
				net_send(s->net, c->iov, c->out);
			else
				transmit_plain(s, c);
			virtq_push(q, c, 0);
		}
	} while (n < TX_BURST && virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
	if (n >= TX_BURST)
		virtio_wake(q);
}

/* Receive. 5.1.6.3, 5.1.6.4. */

/* Spreads flows over the pairs the driver uses: the same flow always to the same one. */
static unsigned rx_pair(const struct virtio_net *s, const uint8_t *f, size_t n)
{
	uint32_t hash = 0;

	if (s->cur_pairs < 2 || n < 38)
		return 0;
	/* IPv4: addresses and ports of a header without options; others: whatever stands there. */
	for (unsigned i = 26; i < 38; i += 4) {
		uint32_t w;

		memcpy(&w, f + i, 4);
		hash = (hash ^ w) * 0x9e3779b1u;
	}
	return (hash >> 16) % s->cur_pairs;
}

/* Takes chains with room for `need` bytes: their number, 0: none now, -1: the ring is broken. */
static int rx_take(struct virtio_net *s, struct virtq *q, size_t need)
{
	bool merge = virtio_has(&s->v, VIRTIO_NET_F_MRG_RXBUF);
	size_t room = 0;
	int n = 0;

	while (room < need && n < (merge ? NET_RX_CHAINS : 1)) {
		int rc = virtq_pop(q, &s->rx_chain[n]);

		if (rc < 0)
			return -1;
		if (!rc)
			break;
		if (s->rx_chain[n].out || !s->rx_chain[n].in_bytes) {
			virtio_broken(&s->v, "queue %u: bad receive buffer", q->index);
			return -1;
		}
		room += s->rx_chain[n++].in_bytes;
	}
	if (room >= need)
		return n;
	for (int i = n; i--;)
		virtq_unpop(q, &s->rx_chain[i]);
	/* One buffer too small for a frame: waiting for a second one would not help. */
	return n && (!merge || n == NET_RX_CHAINS) ? -1 : 0;
}

/* Copies header and frame into n chains and hands them over. */
static void rx_put(struct virtio_net *s, struct virtq *q, int n, const uint8_t *hdr,
	const uint8_t *frame, size_t size)
{
	const struct virtq_chain *chains[NET_RX_CHAINS];
	uint32_t lens[NET_RX_CHAINS];
	size_t done = 0;

	for (int i = 0; i < n; i++) {
		const struct virtq_chain *c = &s->rx_chain[i];
		size_t used = 0;

		if (!i)
			used = iov_write(c->iov, c->in, 0, hdr, NET_HDR);
		if (i || used == NET_HDR)
			used += iov_write(c->iov, c->in, used, frame + done, size - done);
		done += i ? used : used - MIN(used, (size_t)NET_HDR);
		virtq_written(q, c, (uint32_t)used);
		chains[i] = c;
		lens[i] = (uint32_t)used;
	}
	virtq_push_many(q, chains, lens, (unsigned)n);
	virtq_signal(q);
}

/* What the driver was told, or what every Ethernet card takes. */
static unsigned guest_mtu(const struct virtio_net *s)
{
	return virtio_has(&s->v, VIRTIO_NET_F_MTU) ? card_mtu(s) : ETH_DATA_LEN;
}

/* One frame without a header: true: taken or dropped. */
static bool deliver(struct virtio_net *s, const struct virtio_net_hdr_v1 *hdr, const uint8_t *bytes,
	size_t size)
{
	struct virtio_net_hdr_v1 h = *hdr;
	struct virtq *q = &s->v.queue[2 * rx_pair(s, bytes, size)];
	int n;

	if (!q->enabled)
		return true;
	n = rx_take(s, q, NET_HDR + size);
	if (!n && virtq_kicks(q, true))
		n = rx_take(s, q, NET_HDR + size);
	if (n <= 0)
		return n < 0;
	virtq_kicks(q, false);
	h.num_buffers = (uint16_t)n;
	rx_put(s, q, n, (const uint8_t *)&h, bytes, size);
	return true;
}

struct cut {
	struct virtio_net *s;
	const struct virtio_net_hdr_v1 *h;
	unsigned taken;
	bool full;
};

static void deliver_segment(void *opaque, const struct iovec *iov, int iovcnt)
{
	struct cut *c = opaque;
	uint8_t *to = c->s->scratch;
	size_t n = 0;

	/* Segments that find no room are lost on the wire; TCP knows. */
	if (c->full)
		return;
	for (int i = 0; i < iovcnt; n += iov[i++].iov_len)
		memcpy(to + n, iov[i].iov_base, iov[i].iov_len);
	if (deliver(c->s, c->h, to, n))
		c->taken++;
	else
		c->full = true;
}

static bool receive_locked(struct virtio_net *s, const uint8_t *frame, size_t size)
{
	struct virtio_net_hdr_v1 h = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	const uint8_t *bytes = frame;

	if (s->v.parked)
		return false;
	if (!virtio_live(&s->v) || s->link_down)
		return true;
	if (s->vnet_hdr) {
		if (size < NET_HDR)
			return true;
		memcpy(&h, frame, NET_HDR);
		bytes += NET_HDR;
		size -= NET_HDR;
	} else if (s->guest_offloads >> VIRTIO_NET_F_GUEST_CSUM & 1) {
		/* It comes out of the host's own memory: nothing can have damaged it. */
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (size < ETH_HLEN || size > FRAME_MAX || !virtio_net_wanted(s, bytes, size))
		return true;
	/* libslirp fills its own MTU whatever segment size the guest asked for. */
	if (!s->vnet_hdr && size > guest_mtu(s) + ETH_HLEN + VLAN_HLEN) {
		struct cut c = { .s = s, .h = &h };

		if (virtio_net_cut(bytes, size, guest_mtu(s), deliver_segment, &c))
			return c.taken || !c.full;
	}
	return deliver(s, &h, bytes, size);
}

static bool net_receive(void *opaque, const uint8_t *frame, size_t n)
{
	struct virtio_net *s = opaque;
	bool taken;

	device_lock(&s->v.dev);
	taken = receive_locked(s, frame, n);
	device_unlock(&s->v.dev);
	return taken;
}

/* The driver gave buffers: what waited comes now. */
static void net_rx(struct virtio *v, struct virtq *q)
{
	net_flush_rx(container_of(v, struct virtio_net, v)->net);
}

static void net_link(void *opaque, bool up)
{
	struct virtio_net *s = opaque;

	device_lock(&s->v.dev);
	if (s->backend_up != up) {
		s->backend_up = up;
		virtio_config_changed(&s->v);
	}
	device_unlock(&s->v.dev);
}

void virtio_net_set_link(struct device *d, bool up)
{
	struct virtio_net *s = net_of(d);

	device_lock(d);
	if (s->link_down == up) {
		s->link_down = !up;
		virtio_config_changed(&s->v);
	}
	device_unlock(d);
}

/* 5.1.2: without MQ there is one pair and the control queue comes right after it. */
unsigned virtio_net_ctrl_queue(const struct virtio_net *s)
{
	return virtio_has(&s->v, VIRTIO_NET_F_MQ) ? 2 * s->queue_pairs : 2;
}

static void net_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);

	if (q->index == virtio_net_ctrl_queue(s))
		virtio_net_ctrl(v, q);
	else if (q->index & 1)
		net_tx(v, q);
	else
		net_rx(v, q);
}

static void net_features_ok(struct virtio *v)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);

	virtio_net_apply_offloads(s);
}

static void net_driver_ok(struct virtio *v)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);

	s->guest_offloads = v->features;
	virtio_net_apply_offloads(s);
}

static void net_reset(struct virtio *v)
{
	struct virtio_net *s = container_of(v, struct virtio_net, v);

	virtio_net_ctrl_reset(s);
	memcpy(s->cur_mac, s->mac, sizeof(s->cur_mac));
	virtio_net_apply_offloads(s);
}

static const struct virtio_type net_type = {
	.id = VIRTIO_ID_NET,
	.class_code = 0x020000,
	.config_size = offsetof(struct virtio_net_config, duplex) + 1,
	.features = net_features,
	.config_read = net_config_read,
	.features_ok = net_features_ok,
	.driver_ok = net_driver_ok,
	.reset = net_reset,
};

static const struct net_user net_user = { .receive = net_receive, .link = net_link };

static int net_init(struct device *d, GError **error)
{
	static const uint8_t none[6];
	struct virtio_net *s = net_of(d);

	if (!s->net)
		return fail(error, LODGE_ERROR_USAGE, "%s: a network card needs a back end", d->id);
	if (s->queue_pairs < 1 || s->queue_pairs > NET_PAIRS_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%s: queue_pairs must be 1 to %d", d->id,
			NET_PAIRS_MAX);
	if (s->mtu && s->mtu < 68)
		return fail(error, LODGE_ERROR_USAGE, "%s: mtu must be at least 68", d->id);
	if (s->mac[0] & 1)
		return fail(error, LODGE_ERROR_USAGE, "%s: mac is a multicast address", d->id);
	if (!memcmp(s->mac, none, sizeof(none))) {
		/* Locally administered, the same for the same id. */
		guint h = g_str_hash(d->id);
		const uint8_t mac[6] = { 0x52, 0x54, 0x00, (uint8_t)(h >> 16), (uint8_t)(h >> 8),
			(uint8_t)h };

		memcpy(s->mac, mac, sizeof(mac));
	}
	s->vnet_hdr = net_vnet_hdr(s->net);
	virtq_chain_init(&s->tx_chain, NET_CHAIN_MAX);
	virtq_chain_init(&s->ctrl_chain, NET_CHAIN_MAX);
	s->rx_iovs = g_new0(struct iovec, NET_RX_CHAINS * NET_CHAIN_MAX);
	s->rx_gpas = g_new0(uint64_t, NET_RX_CHAINS * NET_CHAIN_MAX);
	for (unsigned i = 0; i < NET_RX_CHAINS; i++)
		s->rx_chain[i] = (struct virtq_chain){ .max = NET_CHAIN_MAX,
			.iov = s->rx_iovs + i * NET_CHAIN_MAX,
			.gpa = s->rx_gpas + i * NET_CHAIN_MAX };
	s->scratch = g_malloc(FRAME_MAX);
	for (unsigned i = 0; i < 2u * s->queue_pairs; i++)
		virtio_queue_add(&s->v, NET_QUEUE_SIZE, VIRTQ_LOOP, net_handle);
	/* The driver spins for the answer: no hop to the loop. */
	virtio_queue_add(&s->v, 64, VIRTQ_INLINE, net_handle);
	if (virtio_pci_init(&s->v, &net_type, error) < 0)
		return -1;
	net_reset(&s->v);
	s->attached = true;
	net_attach(s->net, &net_user, s);
	return 0;
}

static void net_resume(struct device *d)
{
	struct virtio_net *s = net_of(d);

	virtio_resume(d);
	if (s->announce)
		virtio_config_changed(&s->v);
	net_flush_rx(s->net);
}

static int net_loaded(struct device *d, GError **error)
{
	struct virtio_net *s = net_of(d);

	if (s->unicast.count > NET_MACS_MAX || s->multicast.count > NET_MACS_MAX ||
	    s->cur_pairs < 1 || s->cur_pairs > s->queue_pairs)
		return fail(error, LODGE_ERROR_STATE, "%s: the saved receive filter is damaged",
			d->id);
	if (virtio_loaded(d, error) < 0)
		return -1;
	s->announce = virtio_has(&s->v, VIRTIO_NET_F_GUEST_ANNOUNCE);
	virtio_net_apply_offloads(s);
	return 0;
}

static void net_fini(struct device *d)
{
	struct virtio_net *s = net_of(d);

	if (s->attached)
		net_attach(s->net, NULL, NULL);
	virtio_fini(d);
	virtq_chain_fini(&s->tx_chain);
	virtq_chain_fini(&s->ctrl_chain);
	g_free(s->rx_iovs);
	g_free(s->rx_gpas);
	g_free(s->scratch);
}

static const struct field config[] = {
	VIRTIO_CONFIG(struct virtio_net, v),
	CONFIG(struct virtio_net, mac, FIELD_MAC, NULL,
		"hardware address; derived from the id if not given"),
	CONFIG(struct virtio_net, queue_pairs, FIELD_U16, "1",
		"receive and transmit queues, 1 to 8"),
	CONFIG(struct virtio_net, mtu, FIELD_U16, "0",
		"MTU the guest should use; 0: what the back end can"),
	CONFIG(struct virtio_net, speed, FIELD_U32, "10000",
		"link speed shown, Mbit/s; 0: unknown"),
	{ 0 },
};

static const struct field filter_state[] = {
	FIELD(struct mac_filter, count, FIELD_U32),
	FIELD(struct mac_filter, overflow, FIELD_U8),
	FIELD_ARRAY(struct mac_filter, mac, FIELD_BYTES, NET_MACS_MAX * 6),
	{ 0 },
};

static const struct field state[] = {
	VIRTIO_STATE(struct virtio_net, v),
	FIELD(struct virtio_net, cur_mac, FIELD_MAC),
	FIELD(struct virtio_net, cur_pairs, FIELD_U16),
	FIELD(struct virtio_net, link_down, FIELD_BOOL),
	FIELD(struct virtio_net, promisc, FIELD_BOOL),
	FIELD(struct virtio_net, allmulti, FIELD_BOOL),
	FIELD(struct virtio_net, alluni, FIELD_BOOL),
	FIELD(struct virtio_net, nomulti, FIELD_BOOL),
	FIELD(struct virtio_net, nouni, FIELD_BOOL),
	FIELD(struct virtio_net, nobcast, FIELD_BOOL),
	FIELD_SUB(struct virtio_net, unicast, filter_state, 1, struct mac_filter),
	FIELD_SUB(struct virtio_net, multicast, filter_state, 1, struct mac_filter),
	FIELD_ARRAY(struct virtio_net, vlans, FIELD_U64, NET_VLANS / 64),
	FIELD(struct virtio_net, guest_offloads, FIELD_U64),
	{ 0 },
};

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.help = "network card",
	.size = sizeof(struct virtio_net),
	.version = 1,
	.config = config,
	.state = state,
	.init = net_init,
	.reset = virtio_reset,
	.quiesce = virtio_quiesce,
	.resume = net_resume,
	.loaded = net_loaded,
	.fini = net_fini,
};
