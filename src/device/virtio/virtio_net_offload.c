/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_net_offload.c: checksums and TCP segmentation for back ends that take plain frames only.
 * One large frame from the guest is many exits and ring entries saved; cutting it here costs
 * little. Spec: VIRTIO 1.2, 5.1.6.2; RFC 791, 8200, 9293, 1071.
 */
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "device/virtio/virtio_net_priv.h"

enum {
	IP6_HLEN = 40,
	PROTO_TCP = 6,
	TCP_HLEN = 20,
	TCP_FIN = 1,
	TCP_PSH = 8,
	TCP_CWR = 0x80,
	HEADERS_MAX = 256,
	MSS_MIN = 48, /* a smaller one only multiplies work */
};

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v & 0xffff);
}

/* One's complement sum in host order of the byte pairs; RFC 1071 allows any order throughout. */
static uint64_t sum(const uint8_t *p, size_t n, uint64_t acc)
{
	for (; n >= 4; p += 4, n -= 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		acc += w;
	}
	if (n) {
		uint32_t w = 0;

		memcpy(&w, p, n);
		acc += w;
	}
	return acc;
}

static void put_sum(uint8_t *at, uint64_t acc)
{
	uint16_t v;

	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	v = (uint16_t)~acc;
	memcpy(at, &v, 2);
}

struct packet {
	const uint8_t *frame;
	size_t n;
	size_t l3, l4, data; /* offsets of IP, TCP and payload */
	bool v6;
};

/* Finds the headers of a TCP frame; false: it is not what its virtio header says. */
static bool parse(struct packet *p, size_t csum_start, bool v6)
{
	size_t l3 = ETH_HLEN;
	const uint8_t *f = p->frame;

	if (p->n < ETH_HLEN + 4)
		return false;
	if (be16(f + 12) == ETH_P_8021Q)
		l3 += 4;
	if (be16(f + l3 - 2) != (v6 ? ETH_P_IPV6 : ETH_P_IP))
		return false;
	p->v6 = v6;
	p->l3 = l3;
	if (p->n < l3 + IP6_HLEN || csum_start > p->n - TCP_HLEN)
		return false;
	if (v6 ? csum_start < l3 + IP6_HLEN :
	    csum_start != l3 + 4u * (f[l3] & 15) || f[l3 + 9] != PROTO_TCP || (f[l3] & 15) < 5)
		return false;
	p->l4 = csum_start;
	p->data = p->l4 + 4u * (f[p->l4 + 12] >> 4);
	return p->data >= p->l4 + TCP_HLEN && p->data < p->n && p->data <= HEADERS_MAX;
}

/* Headers h for a segment of `len` payload bytes. */
static void fix_ip(const struct packet *p, uint8_t *h, size_t len, unsigned index)
{
	uint8_t *ip = h + p->l3;

	if (p->v6) {
		put_be16(ip + 4, (unsigned)(p->data - p->l3 - IP6_HLEN + len));
		return;
	}
	put_be16(ip + 2, (unsigned)(p->data - p->l3 + len));
	put_be16(ip + 4, be16(ip + 4) + index);
	put_be16(ip + 10, 0);
	put_sum(ip + 10, sum(ip, p->l4 - p->l3, 0));
}

static void fix_tcp_sum(const struct packet *p, uint8_t *h, const uint8_t *payload, size_t len)
{
	uint8_t *tcp = h + p->l4, pseudo[8] = { 0 };
	uint64_t acc;

	put_be32(pseudo, (uint32_t)(p->data - p->l4 + len));
	pseudo[7] = PROTO_TCP;
	acc = sum(pseudo, sizeof(pseudo), 0);
	acc = p->v6 ? sum(h + p->l3 + 8, 32, acc) : sum(h + p->l3 + 12, 8, acc);
	put_be16(tcp + 16, 0);
	/* The header is a multiple of 4, so the payload's pairs stay in step. */
	acc = sum(tcp, p->data - p->l4, acc);
	put_sum(tcp + 16, sum(payload, len, acc));
}

static void segment(struct packet *p, unsigned mss,
	void (*send)(void *opaque, const struct iovec *iov, int iovcnt), void *opaque)
{
	uint8_t h[HEADERS_MAX];
	uint32_t seq = be32(p->frame + p->l4 + 4);
	uint8_t flags = p->frame[p->l4 + 13];
	size_t total = p->n - p->data;
	unsigned index = 0;

	for (size_t at = 0; at < total; at += mss, index++) {
		size_t len = MIN((size_t)mss, total - at);
		const uint8_t *payload = p->frame + p->data + at;
		struct iovec iov[2] = { { h, p->data }, { (void *)payload, len } };

		memcpy(h, p->frame, p->data);
		put_be32(h + p->l4 + 4, seq + (uint32_t)at);
		h[p->l4 + 13] = flags;
		if (at + len < total)
			h[p->l4 + 13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
		if (at)
			h[p->l4 + 13] &= (uint8_t)~TCP_CWR;
		fix_ip(p, h, len, index);
		fix_tcp_sum(p, h, payload, len);
		send(opaque, iov, 2);
	}
}

bool virtio_net_cut(const uint8_t *frame, size_t n, unsigned mtu,
	void (*send)(void *opaque, const struct iovec *iov, int iovcnt), void *opaque)
{
	struct packet p = { .frame = frame, .n = n };
	size_t l3 = ETH_HLEN, l4;
	bool v6;

	if (n < ETH_HLEN + 4 + IP6_HLEN)
		return false;
	if (be16(frame + 12) == ETH_P_8021Q)
		l3 += 4;
	v6 = be16(frame + l3 - 2) == ETH_P_IPV6;
	if (v6 && frame[l3 + 6] != PROTO_TCP)
		return false;
	l4 = l3 + (v6 ? IP6_HLEN : 4u * (frame[l3] & 15));
	if (!parse(&p, l4, v6) || mtu < p.data - l3 + MSS_MIN)
		return false;
	segment(&p, mtu - (unsigned)(p.data - l3), send, opaque);
	return true;
}

void virtio_net_finish(const uint8_t *hdr, uint8_t *frame, size_t n,
	void (*send)(void *opaque, const struct iovec *iov, int iovcnt), void *opaque)
{
	struct packet p = { .frame = frame, .n = n };
	struct iovec whole = { frame, n };
	struct virtio_net_hdr_v1 h;
	unsigned gso;
	size_t field;

	memcpy(&h, hdr, sizeof(h));
	gso = h.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	if (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6) {
		if (h.gso_size >= MSS_MIN &&
			parse(&p, h.csum_start, gso == VIRTIO_NET_HDR_GSO_TCPV6))
			segment(&p, h.gso_size, send, opaque);
		return;
	}
	if (gso != VIRTIO_NET_HDR_GSO_NONE)
		return;
	field = (size_t)h.csum_start + h.csum_offset;
	if (h.csum_start >= n || field + 2 > n)
		return;
	put_sum(frame + field, sum(frame + h.csum_start, n - h.csum_start, 0));
	/* Zero means "none" in UDP: send its other form. */
	if (!frame[field] && !frame[field + 1])
		frame[field] = frame[field + 1] = 0xff;
	send(opaque, &whole, 1);
}
