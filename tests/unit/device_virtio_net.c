/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_virtio_net.c: a network card through its rings, with a back end that records. Software
 * checksums and segments are judged by the byte-pair sum of RFC 1071, section 4.1.
 */
#include "virtio_driver.h"

#include <linux/virtio_net.h>

#include "device/virtio/virtio_net.h"
#include "net/kind.h"

enum { TX = 0x800000, RX = 0xa00000, CTRL = 0xc00000, HDR = 12, FRAMES = 128 };

struct record {
	struct netdev net;
	bool vnet;
	uint32_t offers, set;
	unsigned count, flushes;
	struct { size_t n; uint8_t bytes[70000]; } frame[FRAMES];
};

static void rec_send(struct netdev *n, const struct iovec *iov, int cnt)
{
	struct record *r = n->priv;

	assert_true(r->count < FRAMES);
	r->frame[r->count].n = 0;
	for (int i = 0; i < cnt; i++) {
		memcpy(r->frame[r->count].bytes + r->frame[r->count].n, iov[i].iov_base,
			iov[i].iov_len);
		r->frame[r->count].n += iov[i].iov_len;
	}
	r->count++;
}

static void rec_flush(struct netdev *n)
{
	((struct record *)n->priv)->flushes++;
}

static uint32_t rec_offloads(const struct netdev *n)
{
	return ((struct record *)n->priv)->offers;
}

static void rec_set(struct netdev *n, uint32_t o)
{
	((struct record *)n->priv)->set = o;
}

static bool rec_vnet(const struct netdev *n)
{
	return ((struct record *)n->priv)->vnet;
}

static const struct net_kind rec_kind = { .name = "record", .send = rec_send,
	.flush_rx = rec_flush, .offloads = rec_offloads, .set_offloads = rec_set,
	.vnet_hdr = rec_vnet };

struct card {
	struct t_machine *t;
	struct t_driver v;
	struct record *r;
};

static void card_new(struct card *k, bool vnet, uint32_t offers, const char *pairs)
{
	struct device *d;
	GError *error = NULL;

	k->r = g_new0(struct record, 1);
	k->r->net = (struct netdev){ .kind = &rec_kind, .priv = k->r };
	k->r->vnet = vnet;
	k->r->offers = offers;
	k->t = t_machine_new();
	d = device_new(k->t->m, &virtio_net_class, "net");
	assert_int_equal(device_set(d, "packed", "on", NULL), 0);
	assert_int_equal(device_set(d, "queue_pairs", pairs, NULL), 0);
	assert_int_equal(device_set(d, "mac", "52:54:00:12:34:56", NULL), 0);
	assert_int_equal(device_set(d, "mtu", "1400", NULL), 0);
	virtio_net_set_netdev(d, &k->r->net);
	assert_int_equal(device_add(d, &error), 0);
	machine_reset(k->t->m);
	pci_assign_resources(k->t->host);
	machine_start(k->t->m);
	t_attach(&k->v, k->t, d);
}

static void card_free(struct card *k)
{
	t_machine_free(k->t);
	g_free(k->r);
}

static bool deliver(struct card *k, const void *frame, size_t n)
{
	return k->r->net.user->receive(k->r->net.opaque, frame, n);
}

static uint16_t pair_sum(const uint8_t *p, size_t n, uint32_t acc)
{
	for (size_t i = 0; i < n; i++)
		acc += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

static uint64_t modes(unsigned i)
{
	return (i & 1 ? 1ull << VIRTIO_F_RING_PACKED : 0) |
		(i & 2 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
		(i & 4 ? 1ull << VIRTIO_NET_F_MRG_RXBUF : 0);
}

static void test_config(void **state)
{
	struct card k;

	card_new(&k, false, 0, "4");
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(t_mmio(&k.v, k.v.config + i, 1),
			((uint8_t[]){ 0x52, 0x54, 0, 0x12, 0x34, 0x56 })[i]);
	assert_int_equal(t_mmio(&k.v, k.v.config + 8, 2), 4);
	assert_int_equal(t_mmio(&k.v, k.v.config + 10, 2), 1400);
	assert_false(t_offered(&k.v) >> VIRTIO_NET_F_GUEST_TSO4 & 1);
	card_free(&k);
}

/* Both directions in every kind of ring, with buffers smaller and larger than frames. */
static void test_traffic(void **state)
{
	struct card k;

	card_new(&k, false, 0, "1");
	for (unsigned mode = 0; mode < 8; mode++) {
		bool merge = mode & 4;
		uint32_t room = merge ? 700 : 2000;

		t_start(&k.v, modes(mode), 3, 16);
		for (unsigned i = 0; i < 60; i++) {
			uint8_t f[1514];
			size_t n = 60 + i * 24, got = 0;
			uint32_t len;
			uint16_t id;

			for (unsigned b = 0; b < n; b++)
				f[b] = (uint8_t)(b * 7 + i);
			memcpy(t_at(&k.v, TX + HDR), f, n);
			memset(t_at(&k.v, TX), 0, HDR);
			k.r->count = 0;
			t_add(&k.v, 1, (struct t_seg[]){ { TX, HDR + 20, false },
				{ TX + HDR + 20, (uint32_t)n - 20, false } }, 2, 0);
			t_kick(&k.v, 1);
			assert_int_equal(t_wait(&k.v, 1, NULL), 0);
			assert_int_equal(k.r->count, 1);
			assert_int_equal(k.r->frame[0].n, n);
			assert_memory_equal(k.r->frame[0].bytes, f, n);

			for (unsigned b = 0; b < (merge ? 3 : 1); b++)
				t_add(&k.v, 0, &(struct t_seg){ RX + 0x1000 * b, room, true }, 1,
					0);
			memset(f, 0xff, 6);
			assert_true(deliver(&k, f, n));
			len = t_wait(&k.v, 0, &id);
			got = len;
			assert_memory_equal(t_at(&k.v, RX + HDR), f, MIN(n, room - HDR));
			assert_int_equal(((struct virtio_net_hdr_v1 *)t_at(&k.v, RX))->num_buffers,
				(n + HDR + room - 1) / room);
			for (unsigned b = 1; got < n + HDR; b++) {
				assert_true(merge);
				len = t_wait(&k.v, 0, &id);
				assert_memory_equal(
					t_at(&k.v, RX + 0x1000 * b), f + got - HDR, len);
				got += len;
			}
			assert_int_equal(got, n + HDR);
			/* Unused merge buffers: used up before the next round. */
			for (unsigned b = (unsigned)((n + HDR + room - 1) / room); merge && b < 3;
				b++) {
				assert_true(deliver(&k, f, 60));
				t_wait(&k.v, 0, &id);
			}
		}
	}
	card_free(&k);
}

/* No room: the frame is refused, and asked for again when buffers come. */
static void test_no_room(void **state)
{
	struct card k;
	uint8_t f[1514];

	memset(f, 0xff, sizeof(f));
	card_new(&k, false, 0, "1");
	assert_true(deliver(&k, f, 100)); /* no driver: into the void */
	for (unsigned mode = 0; mode < 8; mode++) {
		unsigned flushes;

		t_start(&k.v, modes(mode), 3, 16);
		t_spin();
		assert_false(deliver(&k, f, 1000));
		if (mode & 4) { /* one buffer is not enough: it must not be lost */
			t_add(&k.v, 0, &(struct t_seg){ RX, 600, true }, 1, 0);
			assert_false(deliver(&k, f, 1000));
		}
		flushes = k.r->flushes;
		t_add(&k.v, 0, &(struct t_seg){ RX + 0x1000, 1600, true }, 1, 0);
		t_kick(&k.v, 0);
		t_spin();
		assert_true(k.r->flushes > flushes);
		assert_true(deliver(&k, f, 1000));
		t_wait(&k.v, 0, NULL);
	}
	machine_pause(k.t->m);
	assert_false(deliver(&k, f, 100));
	card_free(&k);
}

static uint8_t command(struct card *k, uint8_t class, uint8_t cmd, const void *data, uint32_t n)
{
	struct t_seg s[3] = { { CTRL, 2, false }, { CTRL + 16, n, false },
		{ CTRL + 0x8000, 1, true } };

	*(uint8_t *)t_at(&k->v, CTRL) = class;
	*(uint8_t *)t_at(&k->v, CTRL + 1) = cmd;
	memcpy(t_at(&k->v, CTRL + 16), data, n);
	*(uint8_t *)t_at(&k->v, CTRL + 0x8000) = 0xee;
	t_add(&k->v, 2, s, 3, 0);
	t_kick(&k->v, 2);
	t_wait(&k->v, 2, NULL);
	return *(uint8_t *)t_at(&k->v, CTRL + 0x8000);
}

static bool passes(struct card *k, const uint8_t *mac, int vlan)
{
	uint8_t f[64] = { 0 };
	uint16_t id;
	uint32_t len;
	bool got;

	memcpy(f, mac, 6);
	if (vlan >= 0) {
		f[12] = 0x81;
		f[14] = (uint8_t)(vlan >> 8);
		f[15] = (uint8_t)vlan;
	}
	assert_true(deliver(k, f, sizeof(f)));
	got = t_used(&k->v, 0, &id, &len);
	if (got)
		t_add(&k->v, 0, &(struct t_seg){ RX + 0x1000 * id, 1600, true }, 1, 0);
	return got;
}

static void test_filter(void **state)
{
	static const uint8_t mine[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, other[6] = { 2, 1 },
		multi[6] = { 1, 0, 0x5e, 1, 2, 3 }, all[6] = { 255, 255, 255, 255, 255, 255 };
	struct card k;
	uint8_t table[4 + 6 + 4 + 6] = { 1, 0, 0, 0 };
	const uint8_t one = 1, zero = 0;
	const uint16_t vlan = 5, bad_vlan = 4096;

	card_new(&k, false, 0, "1");
	t_start(&k.v, 1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX |
		1ull << VIRTIO_NET_F_CTRL_VLAN, 3, 16);
	for (unsigned b = 0; b < 8; b++)
		t_add(&k.v, 0, &(struct t_seg){ RX + 0x1000 * b, 1600, true }, 1, 0);
	assert_true(passes(&k, other, -1));
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &zero, 1), 0);
	assert_true(passes(&k, mine, -1));
	assert_true(passes(&k, all, -1));
	assert_false(passes(&k, other, -1));
	assert_false(passes(&k, multi, -1));
	memcpy(table + 4, other, 6);
	table[10] = 1;
	memcpy(table + 14, multi, 6);
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		sizeof(table)), 0);
	assert_true(passes(&k, other, -1));
	assert_true(passes(&k, multi, -1));
	/* A table cut short, or with a count from nowhere, changes nothing. */
	assert_int_equal(
		command(&k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 12), 1);
	memset(table, 0xff, 4);
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
		sizeof(table)), 1);
	assert_true(passes(&k, other, -1));
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &one, 1), 0);
	assert_false(passes(&k, all, -1));
	assert_false(passes(&k, mine, 5));
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &vlan, 2), 0);
	assert_true(passes(&k, mine, 5));
	assert_int_equal(
		command(&k, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &bad_vlan, 2), 1);
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, all, 6), 0);
	assert_int_equal(t_mmio(&k.v, k.v.config, 1), 255);
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MQ, 0, &vlan, 2), 1);
	assert_int_equal(command(&k, 200, 0, &vlan, 2), 1);
	card_free(&k);
}

/* With a back end that knows the header it is passed through, and told what the guest takes. */
static void test_passthrough(void **state)
{
	struct card k;
	uint8_t f[HDR + 100] = { VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 0, 200,
		5, 34, 0, 16, 0 };
	struct virtio_net_hdr_v1 *h;
	uint64_t off = 1ull << VIRTIO_NET_F_GUEST_CSUM;

	card_new(&k, true, NET_CSUM | NET_TSO4, "1");
	assert_true(t_offered(&k.v) >> VIRTIO_NET_F_GUEST_TSO4 & 1);
	assert_false(t_offered(&k.v) >> VIRTIO_NET_F_GUEST_TSO6 & 1);
	t_start(&k.v, 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
		1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 3, 16);
	assert_int_equal(k.r->set, NET_CSUM | NET_TSO4);
	memset(f + HDR, 0xff, 100);
	t_add(&k.v, 0, &(struct t_seg){ RX, 2000, true }, 1, 0);
	assert_true(deliver(&k, f, sizeof(f)));
	assert_int_equal(t_wait(&k.v, 0, NULL), sizeof(f));
	h = t_at(&k.v, RX);
	assert_memory_equal(h, f, 10);
	assert_int_equal(h->num_buffers, 1);
	memcpy(t_at(&k.v, TX), f, sizeof(f));
	t_add(&k.v, 1, &(struct t_seg){ TX, sizeof(f), false }, 1, 0);
	t_kick(&k.v, 1);
	t_wait(&k.v, 1, NULL);
	assert_int_equal(k.r->frame[0].n, sizeof(f));
	assert_memory_equal(k.r->frame[0].bytes, f, sizeof(f));
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &off, 8), 0);
	assert_int_equal(k.r->set, NET_CSUM);
	off = 1ull << VIRTIO_NET_F_GUEST_UFO;
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &off, 8), 1);
	t_reset(&k.v);
	assert_int_equal(k.r->set, 0);
	card_free(&k);
}

/* A TCP frame over IPv4 or IPv6 with `n` payload bytes; the checksum field holds the pseudo header.
 */
static size_t tcp_frame(uint8_t *f, bool v6, size_t n, uint8_t flags)
{
	size_t l4 = v6 ? 54 : 34, total = l4 + 32 + n;
	uint16_t s;

	memset(f, 0, total);
	memset(f, 0x42, 12);
	f[12] = v6 ? 0x86 : 0x08;
	f[13] = v6 ? 0xdd : 0x00;
	if (v6) {
		f[14] = 0x60;
		f[18] = (uint8_t)((n + 32) >> 8);
		f[19] = (uint8_t)(n + 32);
		f[20] = 6;
		memset(f + 22, 0x21, 32);
	} else {
		f[14] = 0x45;
		f[16] = (uint8_t)((n + 52) >> 8);
		f[17] = (uint8_t)(n + 52);
		f[19] = 0xfe;
		f[22] = 64;
		f[23] = 6;
		memset(f + 26, 0x0a, 8);
		s = (uint16_t)~pair_sum(f + 14, 20, 0);
		f[24] = (uint8_t)(s >> 8);
		f[25] = (uint8_t)s;
	}
	f[l4 + 4] = 0xff;
	f[l4 + 5] = 0xff;
	f[l4 + 6] = 0xf0;
	f[l4 + 12] = 0x80;
	f[l4 + 13] = flags;
	for (size_t i = 0; i < n; i++)
		f[l4 + 32 + i] = (uint8_t)(i * 13 + i / 256);
	s = pair_sum(f + (v6 ? 22 : 26), v6 ? 32 : 8, (uint32_t)(6 + 32 + n));
	f[l4 + 16] = (uint8_t)(s >> 8);
	f[l4 + 17] = (uint8_t)s;
	return total;
}

static void check_tcp(const uint8_t *f, size_t n, bool v6)
{
	size_t l4 = v6 ? 54 : 34, len = n - l4;

	if (!v6) {
		assert_int_equal(pair_sum(f + 14, 20, 0), 0xffff);
		assert_int_equal(f[16] << 8 | f[17], n - 14);
	} else {
		assert_int_equal(f[18] << 8 | f[19], len);
	}
	assert_int_equal(pair_sum(f + l4, len, pair_sum(f + (v6 ? 22 : 26), v6 ? 32 : 8,
		(uint32_t)(6 + len))), 0xffff);
}

static void test_software_offload(void **state)
{
	struct card k;

	card_new(&k, false, 0, "1");
	t_start(&k.v, 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
		1ull << VIRTIO_NET_F_HOST_TSO6, 3, 16);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (size_t n = 1; n < 60000; n = n * 3 + 1) {
			uint8_t *f = t_at(&k.v, TX + HDR), *h = t_at(&k.v, TX);
			size_t total = tcp_frame(f, v6, n, 0x99), at = 0, l4 = v6 ? 54 : 34;
			bool gso = n > 1400;
			struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.csum_start = (uint16_t)l4, .csum_offset = 16,
				.gso_size = gso ? 1400 : 0,
				.gso_type = !gso ? VIRTIO_NET_HDR_GSO_NONE :
					v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4 };

			memcpy(h, &hdr, HDR);
			k.r->count = 0;
			t_add(&k.v, 1, &(struct t_seg){ TX, (uint32_t)(HDR + total), false }, 1, 0);
			t_kick(&k.v, 1);
			t_wait(&k.v, 1, NULL);
			assert_int_equal(k.r->count, gso ? (n + 1399) / 1400 : 1);
			for (unsigned i = 0; i < k.r->count; i++) {
				const uint8_t *s = k.r->frame[i].bytes;
				size_t part = k.r->frame[i].n - l4 - 32;
				uint32_t seq = (uint32_t)s[l4 + 4] << 24 | s[l4 + 5] << 16 |
					s[l4 + 6] << 8 | s[l4 + 7];
				bool last = i + 1 == k.r->count;

				check_tcp(s, k.r->frame[i].n, v6);
				assert_int_equal(seq, (uint32_t)(0xfffff000 + at));
				assert_memory_equal(s + l4 + 32, f + l4 + 32 + at, part);
				/* FIN and PSH end the train, CWR heads it. */
				assert_int_equal(
					s[l4 + 13], 0x10 | (last ? 9 : 0) | (i ? 0 : 0x80));
				if (!v6)
					assert_int_equal(s[18] << 8 | s[19], (0x00fe + i) & 0xffff);
				at += part;
			}
			assert_int_equal(at, n);
		}
	}
	/* Headers that lie: nothing is sent, nothing breaks. */
	for (unsigned i = 0; i < 2000; i++) {
		size_t total = tcp_frame(t_at(&k.v, TX + HDR), i & 1, 3000, 0x18);
		uint8_t *b = t_at(&k.v, TX);
		struct virtio_net_hdr_v1 hdr = { .flags = 1,
			.csum_start = (uint16_t)(i & 1 ? 54 : 34),
			.csum_offset = 16,
			.gso_size = 1000,
			.gso_type = i & 1 ? 4 : 1 };

		memcpy(b, &hdr, HDR);
		b[(i * 7919) % (HDR + 74)] ^= (uint8_t)(1 + i % 255);
		k.r->count = 0;
		t_add(&k.v, 1,
			&(struct t_seg){
				TX, (uint32_t)(i % 3 ? total : total % (i + 20) + 1) + HDR, false },
			1, 0);
		t_kick(&k.v, 1);
		t_wait(&k.v, 1, NULL);
	}
	assert_int_equal(t_status(&k.v), 15);
	card_free(&k);
}

/* A back end that sends more than the guest's MTU: TCP arrives cut, with right checksums. */
static void test_cut(void **state)
{
	struct card k;
	static uint8_t f[70000];

	card_new(&k, false, 0, "1");
	for (unsigned mode = 0; mode < 4; mode++) {
		bool v6 = mode & 1, told = mode & 2;
		size_t l4 = v6 ? 54 : 34, mtu = told ? 1400 : 1500, mss = mtu + 14 - l4 - 32, at = 0;
		size_t total = tcp_frame(f, v6, 20000, 0x18);
		uint16_t s, id;

		/* The field holds the pseudo header's sum: make it a checksum. */
		s = (uint16_t)~pair_sum(f + l4, total - l4, 0);
		f[l4 + 16] = (uint8_t)(s >> 8);
		f[l4 + 17] = (uint8_t)s;
		check_tcp(f, total, v6);
		t_start(&k.v, told ? 1ull << VIRTIO_NET_F_MTU : 0, 3, 16);
		for (unsigned b = 0; b < 16; b++)
			t_add(&k.v, 0, &(struct t_seg){ RX + 0x1000 * b, 1526, true }, 1, 0);
		assert_true(deliver(&k, f, total));
		while (at < 20000) {
			size_t n = t_wait(&k.v, 0, &id) - HDR;
			const uint8_t *g = t_at(&k.v, RX + 0x1000 * id + HDR);

			check_tcp(g, n, v6);
			assert_memory_equal(g + l4 + 32, f + l4 + 32 + at, n - l4 - 32);
			at += n - l4 - 32;
			assert_true(n - l4 - 32 == mss || at == 20000);
		}
		/* No buffer left for any segment: kept. For some: the rest is TCP's to send again. */
		while (deliver(&k, f, 1000))
			;
		assert_false(deliver(&k, f, total));
		while (t_used(&k.v, 0, &id, &(uint32_t){ 0 }))
			;
		t_add(&k.v, 0, &(struct t_seg){ RX, 1526, true }, 1, 0);
		assert_true(deliver(&k, f, total));
		assert_false(deliver(&k, f, total));
	}
	card_free(&k);
}

static void test_link_and_queues(void **state)
{
	struct card k;
	const uint16_t two = 2, nine = 9;
	uint8_t f[64] = { 255, 255, 255, 255, 255, 255 };
	unsigned used = 0, before;
	uint16_t id;
	uint32_t len;

	card_new(&k, false, 0, "2");
	t_start(&k.v, 1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ |
		1ull << VIRTIO_NET_F_STATUS, 5, 16);
	before = k.t->msi[0];
	k.r->net.user->link(k.r->net.opaque, true);
	assert_int_equal(t_mmio(&k.v, k.v.config + 6, 2), 1);
	virtio_net_set_link(k.v.d, false);
	assert_int_equal(t_mmio(&k.v, k.v.config + 6, 2), 0);
	virtio_net_set_link(k.v.d, true);
	assert_true(k.t->msi[0] >= before + 2);
	/* The control queue is the last one with MQ. */
	k.v.q[2] = k.v.q[4];
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MQ, 0, &nine, 2), 1);
	assert_int_equal(command(&k, VIRTIO_NET_CTRL_MQ, 0, &two, 2), 0);
	k.v.q[4] = k.v.q[2];
	t_queue_setup(&k.v, 2, 16); /* only our own book-keeping: the queue is enabled already */
	for (unsigned q = 0; q < 4; q += 2)
		for (unsigned b = 0; b < 15; b++)
			t_add(&k.v, q, &(struct t_seg){ RX + 0x10000 * q + 0x1000 * b, 1600, true },
				1, 0);
	for (unsigned i = 0; i < 12; i++) {
		memset(f + 26, (int)(i * 17), 12);
		assert_true(deliver(&k, f, sizeof(f)));
	}
	for (unsigned q = 0; q < 4; q += 2)
		used |= t_used(&k.v, q, &id, &len) ? 1u << q : 0;
	assert_int_equal(used, 5); /* flows went to both pairs */
	card_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_passthrough),
		cmocka_unit_test(test_software_offload),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_link_and_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
