/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manager_port.c: what guests' ports let through: frames are written into taps of a network in a
 * namespace of its own, and looked for at another's. The kernel's bridge and nftables are the real
 * ones.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>
#include <glib/gstdio.h>

#include "manager/manager.h"
#include "manager/network/net/firewall.h"
#include "manager/network/net/link.h"
#include "manager/network/network.h"
#include "manager/network/nwfilter.h"

enum { VNET_HEADER = 10, FRAME_MAX = 2048 };

static const uint8_t mac_a[6] = { 0x52, 0x54, 0, 0, 0, 0xa },
		     mac_b[6] = { 0x52, 0x54, 0, 0, 0, 0xb };
static const uint8_t everyone[6] = { 255, 255, 255, 255, 255, 255 };

struct world {
	char *root;
	struct manager *manager;
	struct port a, b;
};

/* ---- frames ---- */

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t n;
};

static void put(struct frame *f, const void *p, size_t n)
{
	memcpy(f->bytes + f->n, p, n);
	f->n += n;
}

static void put16(struct frame *f, unsigned v)
{
	put(f, (uint8_t[]){ v >> 8, v }, 2);
}

static struct frame ether(const uint8_t *dst, const uint8_t *src, unsigned type)
{
	struct frame f = { .n = VNET_HEADER };

	put(&f, dst, 6);
	put(&f, src, 6);
	put16(&f, type);
	return f;
}

/* RFC 826: a request that everyone sees. ip: last octet of the sender's address. */
static struct frame arp(const uint8_t *ether_src, const uint8_t *arp_src, unsigned ip)
{
	struct frame f = ether(everyone, ether_src, 0x806);

	put(&f, "\0\1\x08\0\6\4\0\1", 8);
	put(&f, arp_src, 6);
	put(&f, (uint8_t[]){ 192, 168, 122, ip }, 4);
	put(&f, "\0\0\0\0\0\0", 6);
	put(&f, (uint8_t[]){ 192, 168, 122, 99 }, 4);
	f.n = MAX(f.n, VNET_HEADER + 60);
	return f;
}

/* RFC 791, RFC 768; protocol 6 gets a header of TCP with SYN. Checksums are the receiver's
 * business. */
static struct frame ip(const uint8_t *src_mac, const uint8_t src[4], unsigned protocol,
	unsigned sport, unsigned dport)
{
	struct frame f = ether(everyone, src_mac, 0x800);
	uint8_t head[20] = { 0x45, 0, 0, 60, 0, 0, 0, 0, 64, protocol };
	unsigned sum = 0;

	memcpy(head + 12, src, 4);
	memcpy(head + 16, (uint8_t[]){ 192, 168, 122, 255 }, 4);
	for (unsigned i = 0; i < 20; i += 2)
		sum += head[i] << 8 | head[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	head[10] = ~sum >> 8;
	head[11] = ~sum;
	put(&f, head, 20);
	put16(&f, sport);
	put16(&f, dport);
	if (protocol == 17)
		put16(&f, 40);
	else
		put(&f, "\0\0\0\1\0\0\0\0\x50\x02\xff\xff\0\0\0\0", 16);
	f.n = VNET_HEADER + 14 + 60;
	return f;
}

#define ADDRESS(...)                                                                               \
	(const uint8_t[4])                                                                         \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* Does what `from` sends come out at `to`? */
static bool passes(const struct port *from, const struct port *to, struct frame f)
{
	static uint32_t serial;
	uint8_t in[FRAME_MAX];
	struct pollfd p = { .fd = to->fds[0], .events = POLLIN };

	/* The last bytes tell this frame from all others. */
	serial++;
	memcpy(f.bytes + f.n - 4, &serial, 4);
	assert_int_equal(write(from->fds[0], f.bytes, f.n), f.n);
	while (poll(&p, 1, 250) > 0) {
		ssize_t n = read(to->fds[0], in, sizeof(in));

		if (n == (ssize_t)f.n && !memcmp(in + n - 4, &serial, 4))
			return true;
	}
	return false;
}

/* ---- the host ---- */

static struct port plug(struct world *w, const uint8_t *mac, struct port_request r)
{
	static const uint8_t owner[16] = { 1 };
	g_autoptr(GError) error = NULL;
	struct port p = { 0 };

	r.network = "default";
	r.owner = owner;
	r.owner_name = "test";
	r.queues = 1;
	memcpy(r.mac, mac, 6);
	if (network_port_create(w->manager, &r, &p, &error))
		fail_msg("%s", error->message);
	return p;
}

static void unplug(struct world *w, struct port *p)
{
	g_autofree char *tap = g_strdup(p->tap);

	port_clear(p);
	network_port_delete(w->manager, tap);
	assert_false(link_exists(tap));
}

static void again(struct world *w)
{
	const struct manager_options o = { .root = w->root, .lodge_vm = "/bin/true" };
	g_autoptr(GError) error = NULL;

	manager_free(w->manager);
	w->manager = manager_new(&o, &error);
	if (!w->manager)
		fail_msg("%s", error->message);
}

static int setup(void **state)
{
	struct world *w = g_new0(struct world, 1);

	if (geteuid() || unshare(CLONE_NEWNET | CLONE_NEWNS))
		return -1;
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	link_set_up("lo", true, NULL);
	w->root = g_dir_make_tmp("lodge-port-XXXXXX", NULL);
	g_chmod(w->root, 0755);
	again(w);
	w->a = plug(w, mac_a, (struct port_request){ 0 });
	w->b = plug(w, mac_b, (struct port_request){ 0 });
	*state = w;
	/* The spanning tree lets a new port forward after a moment. */
	for (unsigned i = 0; i < 40 && !passes(&w->a, &w->b, arp(mac_a, mac_a, 50)); i++)
		;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct network *n = network_find_name(w->manager, "default", NULL);
	const char *const rm[] = { "rm", "-rf", w->root, NULL };

	unplug(w, &w->a);
	unplug(w, &w->b);
	assert_int_equal(network_stop(n, NULL), 0);
	network_unref(n);
	manager_free(w->manager);
	g_spawn_sync(
		NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
	g_free(w->root);
	g_free(w);
	return 0;
}

/* ---- tests ---- */

static void honest_frames_pass(void **state)
{
	struct world *w = *state;

	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 50)));
	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 51)));
	assert_true(passes(&w->a, &w->b, ip(mac_a, ADDRESS(192, 168, 122, 50), 17, 1000, 2000)));
	assert_true(passes(&w->a, &w->b, ip(mac_a, ADDRESS(0, 0, 0, 0), 17, 68, 67)));
	assert_true(passes(&w->b, &w->a, arp(mac_b, mac_b, 60)));
}

static void spoofed_frames_do_not(void **state)
{
	struct world *w = *state;
	struct frame tagged = ether(everyone, mac_a, 0x8100), bpdu;

	assert_false(passes(&w->a, &w->b, arp(mac_b, mac_b, 50)));
	assert_false(passes(&w->a, &w->b, arp(mac_a, mac_b, 50)));
	assert_false(passes(&w->a, &w->b, arp(mac_a, mac_a, 1)));
	assert_false(passes(&w->a, &w->b, ip(mac_b, ADDRESS(192, 168, 122, 50), 17, 1000, 2000)));
	assert_false(passes(&w->a, &w->b, ip(mac_a, ADDRESS(192, 168, 122, 1), 17, 1000, 2000)));
	assert_false(passes(&w->a, &w->b, ip(mac_a, ADDRESS(10, 9, 8, 7), 17, 1000, 2000)));
	assert_false(passes(&w->a, &w->b, ip(mac_a, ADDRESS(192, 168, 122, 50), 17, 67, 68)));
	tagged.n = VNET_HEADER + 64;
	assert_false(passes(&w->a, &w->b, tagged));
	bpdu = ether((const uint8_t[]){ 1, 0x80, 0xc2, 0, 0, 0 }, mac_a, 0x26);
	bpdu.n = VNET_HEADER + 64;
	assert_false(passes(&w->a, &w->b, bpdu));
}

static void reserved_address(void **state)
{
	struct world *w = *state;
	struct network *n = network_find_name(w->manager, "default", NULL);

	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 77)));
	assert_int_equal(network_update(n, 3, 4, -1,
				 "<host mac='52:54:00:00:00:0b' ip='192.168.122.77'/>", 1, NULL),
		0);
	assert_false(passes(&w->a, &w->b, arp(mac_a, mac_a, 77)));
	assert_false(passes(&w->a, &w->b, ip(mac_a, ADDRESS(192, 168, 122, 77), 17, 1, 2)));
	assert_true(passes(&w->b, &w->a, arp(mac_b, mac_b, 77)));
	assert_int_equal(
		network_update(n, 2, 4, -1, "<host mac='52:54:00:00:00:0b'/>", 1, NULL), 0);
	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 77)));
	network_unref(n);
}

static void trusted_and_isolated(void **state)
{
	struct world *w = *state;
	static const uint8_t mac_c[6] = { 0x52, 0x54, 0, 0, 0, 0xc },
			     mac_d[6] = { 0x52, 0x54, 0, 0, 0, 0xd };
	struct port c =
		plug(w, mac_c, (struct port_request){ .no_filter = true, .isolated = true });
	struct port d = plug(w, mac_d, (struct port_request){ .isolated = true });

	for (unsigned i = 0; i < 40 && !passes(&c, &w->a, arp(mac_c, mac_c, 90)); i++)
		;
	assert_true(passes(&c, &w->a, arp(mac_a, mac_b, 1)));
	assert_true(passes(&d, &w->a, arp(mac_d, mac_d, 91)));
	assert_true(passes(&w->a, &d, arp(mac_a, mac_a, 50)));
	assert_false(passes(&c, &d, arp(mac_c, mac_c, 90)));
	assert_false(passes(&d, &c, arp(mac_d, mac_d, 91)));
	unplug(w, &c);
	unplug(w, &d);
}

static void filters(void **state)
{
	struct world *w = *state;
	static const uint8_t mac_c[6] = { 0x52, 0x54, 0, 0, 0, 0xc };
	g_autoptr(GHashTable) p = g_hash_table_new(g_str_hash, g_str_equal);
	struct nwfilter *f;
	struct frame six = ether(everyone, mac_c, 0x86dd);
	struct port c;

	six.n = VNET_HEADER + 80;
	g_hash_table_insert(p, "IP", "192.168.122.50,192.168.122.51");
	c = plug(w, mac_c,
		(struct port_request){ .filterref = "clean-traffic", .filter_parameters = p });
	for (unsigned i = 0; i < 40 && !passes(&c, &w->a, arp(mac_c, mac_c, 50)); i++)
		;
	assert_true(passes(&c, &w->a, arp(mac_c, mac_c, 51)));
	assert_true(passes(&c, &w->a, ip(mac_c, ADDRESS(192, 168, 122, 51), 6, 1000, 25)));
	assert_false(passes(&c, &w->a, arp(mac_c, mac_c, 52)));
	assert_false(passes(&c, &w->a, arp(mac_a, mac_c, 50)));
	assert_false(passes(&c, &w->a, ip(mac_c, ADDRESS(192, 168, 122, 52), 6, 1000, 25)));
	assert_false(passes(&c, &w->a, six));
	unplug(w, &c);

	f = nwfilter_define(w->manager,
		"<filter name='mine'><filterref filter='no-mac-spoofing'/>"
		"<rule action='drop' direction='out'><tcp dstportstart='25' "
		"dstportend='26'/></rule>"
		"<rule action='drop' direction='in'><udp dstportstart='53'/></rule></filter>",
		false, NULL);
	assert_non_null(f);
	c = plug(w, mac_c, (struct port_request){ .filterref = "mine" });
	for (unsigned i = 0; i < 40 && !passes(&c, &w->a, arp(mac_c, mac_c, 50)); i++)
		;
	assert_true(passes(&c, &w->a, ip(mac_c, ADDRESS(192, 168, 122, 50), 6, 1000, 27)));
	assert_false(passes(&c, &w->a, ip(mac_c, ADDRESS(192, 168, 122, 50), 6, 1000, 26)));
	assert_true(passes(&w->a, &c, ip(mac_a, ADDRESS(192, 168, 122, 50), 17, 1000, 54)));
	assert_false(passes(&w->a, &c, ip(mac_a, ADDRESS(192, 168, 122, 50), 17, 1000, 53)));
	assert_false(passes(&c, &w->a, arp(mac_a, mac_c, 50)));
	assert_int_equal(nwfilter_undefine(w->manager, f, NULL), -1); /* in use */
	/* Another definition takes hold at once. */
	nwfilter_unref(f);
	f = nwfilter_define(w->manager,
		"<filter name='mine'><rule action='drop' direction='in'><arp/></rule></filter>",
		false, NULL);
	assert_non_null(f);
	assert_true(passes(&c, &w->a, ip(mac_c, ADDRESS(192, 168, 122, 50), 6, 1000, 26)));
	assert_false(passes(&w->a, &c, arp(mac_a, mac_a, 50)));
	unplug(w, &c);
	assert_int_equal(nwfilter_undefine(w->manager, f, NULL), 0);
	nwfilter_unref(f);
}

static void refused_filters(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {
		"<filter name='x'><rule action='drop' direction='out'><tcp "
		"state='NEW'/></rule></filter>",
		"<filter name='x'><rule action='drop' direction='out'><tcp ipset='a' "
		"ipsetflags='src'/></rule></filter>",
		"<filter name='x'><rule action='drop' direction='out'><tcp "
		"nonsense='1'/></rule></filter>",
		"<filter name='x'><filterref filter='x'/></filter>",
		"<filter name='x'><filterref filter='not-there'/></filter>",
		"<filter name='x'><rule action='explode' direction='out'/></filter>",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;

		assert_null(nwfilter_define(w->manager, bad[i], false, &error));
		assert_non_null(error);
	}
}

/* From the guest frames above the limit are dropped, to the guest they wait. */
static void limits(void **state)
{
	struct world *w = *state;
	struct port_request r = { .out_average = 50 };
	struct frame f = arp(mac_a, mac_a, 50);
	unsigned sent = 0, got = 0;
	uint8_t in[FRAME_MAX];
	struct pollfd p = { .fd = w->b.fds[0], .events = POLLIN };

	f.n = VNET_HEADER + 1400;
	assert_int_equal(network_port_set_bandwidth(w->manager, w->a.tap, &r, NULL), 0);
	for (unsigned i = 0; i < 400; i++) {
		sent += write(w->a.fds[0], f.bytes, f.n) == (ssize_t)f.n;
		while (poll(&p, 1, 0) > 0)
			got += read(w->b.fds[0], in, sizeof(in)) == (ssize_t)f.n;
	}
	assert_int_equal(sent, 400);
	while (poll(&p, 1, 200) > 0)
		got += read(w->b.fds[0], in, sizeof(in)) == (ssize_t)f.n;
	if (got < 10 || got > 150)
		fail_msg("%u of 400 frames passed", got);
	r.out_average = 0;
	assert_int_equal(network_port_set_bandwidth(w->manager, w->a.tap, &r, NULL), 0);
	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 50)));
}

/* A daemon that starts again finds the port as it was. */
static void adopted(void **state)
{
	struct world *w = *state;
	struct port_request r = {
		.network = "default", .owner = mac_a, .owner_name = "test", .queues = 1
	};

	again(w);
	assert_true(link_exists(w->a.tap));
	memcpy(r.mac, mac_a, 6);
	r.owner = (const uint8_t[16]){ 1 };
	assert_int_equal(network_port_adopt(w->manager, &r, w->a.tap, NULL), 0);
	memcpy(r.mac, mac_b, 6);
	assert_int_equal(network_port_adopt(w->manager, &r, w->b.tap, NULL), 0);
	networks_settle(w->manager);
	assert_true(passes(&w->a, &w->b, arp(mac_a, mac_a, 50)));
	assert_false(passes(&w->a, &w->b, arp(mac_b, mac_b, 50)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest_frames_pass),
		cmocka_unit_test(spoofed_frames_do_not),
		cmocka_unit_test(reserved_address),
		cmocka_unit_test(trusted_and_isolated),
		cmocka_unit_test(filters),
		cmocka_unit_test(refused_filters),
		cmocka_unit_test(limits),
		cmocka_unit_test(adopted),
	};

	if (geteuid()) {
		print_message("needs root: namespaces, taps, nftables\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
