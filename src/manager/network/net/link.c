/* SPDX-License-Identifier: GPL-2.0-or-later */
/* link.c: interfaces by netlink. Spec: rtnetlink(7), Linux include/uapi/linux/if_link.h. */
#include "manager/network/net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/macvtap.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/tbf.h>
#include <netlink/route/route.h>

#include "base/error.h"
#include "manager/error.h"

typedef struct nl_sock netlink_socket;
typedef struct rtnl_link link_object;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(netlink_socket, nl_socket_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(link_object, rtnl_link_put)

static netlink_socket *talk(void)
{
	netlink_socket *s = nl_socket_alloc();

	if (s && nl_connect(s, NETLINK_ROUTE) < 0)
		g_clear_pointer(&s, nl_socket_free);
	return s;
}

/* err: libnl's, negative. */
static int told(GError **error, int err, const char *what, const char *name)
{
	return refuse(error, MANAGER_ERR_SYSTEM, "%s %s: %s", what, name,
		err == -NLE_OBJ_NOTFOUND || err == -NLE_NODEV ? "no such interface"
							      : nl_geterror(err));
}

static link_object *find(netlink_socket *s, const char *name)
{
	link_object *l = NULL;

	return s && rtnl_link_get_kernel(s, 0, name, &l) == 0 ? l : NULL;
}

bool link_exists(const char *name)
{
	return if_nametoindex(name) != 0;
}

bool link_is_bridge(const char *name)
{
	g_autofree char *path = g_strdup_printf("/sys/class/net/%s/bridge", name);

	/* /sys may be another namespace's: netlink knows ours. */
	g_autoptr(netlink_socket) s = talk();
	g_autoptr(link_object) l = find(s, name);
	const char *type = l ? rtnl_link_get_type(l) : NULL;

	return type ? !strcmp(type, "bridge") : l && !access(path, F_OK);
}

static int add(link_object *l, const char *name, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	int err;

	if (!s)
		return refuse(error, MANAGER_ERR_SYSTEM, "netlink: %s", g_strerror(errno));
	err = rtnl_link_add(s, l, NLM_F_CREATE | NLM_F_EXCL);
	return err < 0 ? told(error, err, "cannot make interface", name) : 0;
}

static void set_mac(link_object *l, const uint8_t mac[6])
{
	struct nl_addr *a = nl_addr_build(AF_LLC, mac, 6);

	rtnl_link_set_addr(l, a);
	nl_addr_put(a);
}

static int bridge_option(const char *name, int attribute, uint32_t value, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	struct ifinfomsg info = { .ifi_index = if_nametoindex(name) };
	struct nl_msg *m = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
	struct nlattr *linkinfo, *data;
	int err;

	if (!s || !m) {
		nlmsg_free(m);
		return refuse(error, MANAGER_ERR_SYSTEM, "netlink: %s", g_strerror(errno));
	}
	nlmsg_append(m, &info, sizeof(info), NLMSG_ALIGNTO);
	linkinfo = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "bridge");
	data = nla_nest_start(m, IFLA_INFO_DATA);
	nla_put_u32(m, attribute, value);
	nla_nest_end(m, data);
	nla_nest_end(m, linkinfo);
	err = nl_send_sync(s, m);
	return err < 0 ? told(error, err, "cannot configure bridge", name) : 0;
}

int link_add_bridge(
	const char *name, const uint8_t mac[6], bool stp, unsigned delay_s, GError **error)
{
	g_autoptr(link_object) l = rtnl_link_bridge_alloc();

	rtnl_link_set_name(l, name);
	set_mac(l, mac);
	if (add(l, name, error))
		return -1;
	/* In hundredths of a second; with the spanning tree the kernel wants 2 to 30 s. */
	if (bridge_option(name, IFLA_BR_FORWARD_DELAY, delay_s * 100, error) ||
		bridge_option(name, IFLA_BR_STP_STATE, stp, error)) {
		link_delete(name);
		return -1;
	}
	return 0;
}

int link_add_macvtap(
	const char *name, const char *lower, const char *mode, const uint8_t mac[6], GError **error)
{
	g_autoptr(link_object) l = rtnl_link_macvtap_alloc();
	unsigned index = if_nametoindex(lower);

	if (!index)
		return refuse(
			error, MANAGER_ERR_NO_INTERFACE, "the host has no interface '%s'", lower);
	rtnl_link_set_name(l, name);
	rtnl_link_set_link(l, index);
	set_mac(l, mac);
	rtnl_link_macvtap_set_mode(l, rtnl_link_macvtap_str2mode(mode));
	return add(l, name, error);
}

void link_delete(const char *name)
{
	g_autoptr(netlink_socket) s = talk();
	g_autoptr(link_object) l = find(s, name);

	if (l)
		rtnl_link_delete(s, l);
}

/* Applies `change` to the interface. */
static int modify(const char *name, link_object *change, const char *what, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	g_autoptr(link_object) l = find(s, name);
	int err = l ? rtnl_link_change(s, l, change, 0) : -NLE_NODEV;

	return err < 0 ? told(error, err, what, name) : 0;
}

int link_set_up(const char *name, bool up, GError **error)
{
	g_autoptr(link_object) c = rtnl_link_alloc();

	if (up)
		rtnl_link_set_flags(c, IFF_UP);
	else
		rtnl_link_unset_flags(c, IFF_UP);
	return modify(name, c, up ? "cannot bring up" : "cannot take down", error);
}

int link_set_mtu(const char *name, unsigned mtu, GError **error)
{
	g_autoptr(link_object) c = rtnl_link_alloc();

	rtnl_link_set_mtu(c, mtu);
	return modify(name, c, "cannot set the MTU of", error);
}

int link_set_mac(const char *name, const uint8_t mac[6], GError **error)
{
	g_autoptr(link_object) c = rtnl_link_alloc();

	set_mac(c, mac);
	return modify(name, c, "cannot set the address of", error);
}

int link_set_master(const char *name, const char *bridge, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	unsigned index = if_nametoindex(name), master = bridge ? if_nametoindex(bridge) : 0;
	int err;

	if (bridge && !master)
		return refuse(
			error, MANAGER_ERR_NO_INTERFACE, "the host has no bridge '%s'", bridge);
	err = s ? bridge ? rtnl_link_enslave_ifindex(s, master, index)
			 : rtnl_link_release_ifindex(s, index)
		: -NLE_FAILURE;
	return err < 0 ? told(error, err, "cannot plug into a bridge:", name) : 0;
}

int link_set_isolated(const char *name, bool isolated, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	struct ifinfomsg info = { .ifi_family = AF_BRIDGE, .ifi_index = if_nametoindex(name) };
	struct nl_msg *m = nlmsg_alloc_simple(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK);
	struct nlattr *nest;
	int err;

	if (!s || !m) {
		nlmsg_free(m);
		return refuse(error, MANAGER_ERR_SYSTEM, "netlink: %s", g_strerror(errno));
	}
	nlmsg_append(m, &info, sizeof(info), NLMSG_ALIGNTO);
	nest = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	nla_put_u8(m, IFLA_BRPORT_ISOLATED, isolated);
	nla_nest_end(m, nest);
	err = nl_send_sync(s, m);
	return err < 0 ? told(error, err, "cannot isolate", name) : 0;
}

/* ---- addresses and routes ---- */

static struct nl_addr *nl_address(const struct address *a, unsigned prefix)
{
	struct nl_addr *n = nl_addr_build(a->family, a->bytes, address_bits(a) / 8);

	nl_addr_set_prefixlen(n, prefix);
	return n;
}

int link_add_address(const char *name, const struct address *a, unsigned prefix, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	struct rtnl_addr *r = rtnl_addr_alloc();
	struct nl_addr *local = nl_address(a, prefix);
	int err = -NLE_FAILURE;

	rtnl_addr_set_ifindex(r, if_nametoindex(name));
	rtnl_addr_set_local(r, local);
	if (a->family == AF_INET) {
		struct address b = address_broadcast(a, prefix);
		struct nl_addr *broadcast = nl_address(&b, prefix);

		if (prefix < 31)
			rtnl_addr_set_broadcast(r, broadcast);
		nl_addr_put(broadcast);
	} else {
		/* Nobody else answers for it on a bridge that we just made. */
		rtnl_addr_set_flags(r, IFA_F_NODAD);
	}
	if (s)
		err = rtnl_addr_add(s, r, 0);
	nl_addr_put(local);
	rtnl_addr_put(r);
	return err < 0 && err != -NLE_EXIST ? told(error, err, "cannot give an address to", name)
					    : 0;
}

int link_add_route(const char *dev, const struct address *net, unsigned prefix,
	const struct address *gateway, uint32_t metric, GError **error)
{
	g_autoptr(netlink_socket) s = talk();
	struct rtnl_route *r = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct address subnet = address_subnet(net, prefix);
	struct nl_addr *to = nl_address(&subnet, prefix),
		       *via = nl_address(gateway, address_bits(gateway));
	int err = -NLE_FAILURE;

	rtnl_route_nh_set_ifindex(hop, if_nametoindex(dev));
	rtnl_route_nh_set_gateway(hop, via);
	rtnl_route_set_family(r, net->family);
	rtnl_route_set_dst(r, to);
	rtnl_route_set_priority(r, metric);
	rtnl_route_add_nexthop(r, hop); /* owns hop */
	if (s)
		err = rtnl_route_add(s, r, 0);
	nl_addr_put(to);
	nl_addr_put(via);
	rtnl_route_put(r);
	return err < 0 && err != -NLE_EXIST ? told(error, err, "cannot add a route via", dev) : 0;
}

bool link_subnet_in_use(const struct address *net, unsigned prefix, const char *except)
{
	g_autoptr(netlink_socket) s = talk();
	struct nl_cache *cache = NULL;
	unsigned skip = except ? if_nametoindex(except) : 0;
	bool used = false;

	if (!s || rtnl_route_alloc_cache(s, net->family, 0, &cache) < 0)
		return false;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !used;
		o = nl_cache_get_next(o)) {
		struct rtnl_route *r = (struct rtnl_route *)o;
		struct nl_addr *dst = rtnl_route_get_dst(r);
		struct rtnl_nexthop *hop = rtnl_route_nexthop_n(r, 0);
		struct address a = { .family = net->family };
		unsigned len = dst ? nl_addr_get_prefixlen(dst) : 0;

		if (!len || rtnl_route_get_type(r) != RTN_UNICAST ||
			(hop && skip && rtnl_route_nh_get_ifindex(hop) == (int)skip) ||
			nl_addr_get_len(dst) != address_bits(net) / 8)
			continue;
		memcpy(a.bytes, nl_addr_get_binary_addr(dst), nl_addr_get_len(dst));
		used = address_within(&a, net, MIN(len, prefix));
	}
	nl_cache_free(cache);
	return used;
}

bool link_neighbour(const char *dev, const struct address *a, uint8_t ret_mac[6])
{
	g_autoptr(netlink_socket) s = talk();
	struct nl_cache *cache = NULL;
	struct nl_addr *want = nl_address(a, address_bits(a)), *mac;
	struct rtnl_neigh *n = NULL;
	bool found = false;

	if (s && rtnl_neigh_alloc_cache(s, &cache) == 0) {
		n = rtnl_neigh_get(cache, if_nametoindex(dev), want);
		mac = n ? rtnl_neigh_get_lladdr(n) : NULL;
		found = mac && nl_addr_get_len(mac) == 6;
		if (found)
			memcpy(ret_mac, nl_addr_get_binary_addr(mac), 6);
		if (n)
			rtnl_neigh_put(n);
		nl_cache_free(cache);
	}
	nl_addr_put(want);
	return found;
}

/* ---- taps ---- */

int tap_open(const char *name, unsigned queues, int *ret_fds, char *ret_name, GError **error)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (queues > 1)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	g_strlcpy(r.ifr_name, name, sizeof(r.ifr_name));
	for (unsigned i = 0; i < queues; i++) {
		ret_fds[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		/* The first names it; TUNSETIFF then attaches to what exists, so make sure none
		 * did. */
		if (ret_fds[i] >= 0 && !(i == 0 && link_exists(name)) &&
			ioctl(ret_fds[i], TUNSETIFF, &r) == 0)
			continue;
		refuse(error, MANAGER_ERR_SYSTEM, "cannot make tap %s: %s", name,
			i == 0 && link_exists(name) ? "the name is taken" : g_strerror(errno));
		for (unsigned j = 0; j <= i; j++) {
			if (ret_fds[j] >= 0)
				close(ret_fds[j]);
			ret_fds[j] = -1;
		}
		return -1;
	}
	g_strlcpy(ret_name, r.ifr_name, IFNAMSIZ);
	return 0;
}

/* The character device's number; udev's node may be late, or another namespace's. */
static int macvtap_device(const char *name, dev_t *ret)
{
	unsigned major_no, minor_no, index = if_nametoindex(name);
	g_autofree char *path = g_strdup_printf("/sys/class/net/%s/tap%u/dev", name, index);
	g_autofree char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL) ||
		sscanf(text, "%u:%u", &major_no, &minor_no) != 2)
		return -1;
	*ret = makedev(major_no, minor_no);
	return 0;
}

int macvtap_open(
	const char *name, unsigned queues, const char *folder, int *ret_fds, GError **error)
{
	g_autofree char *node = g_strdup_printf("%s/%s.node", folder, name);
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	dev_t dev;

	if (queues > 1)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	if (macvtap_device(name, &dev))
		return refuse(error, MANAGER_ERR_SYSTEM, "the macvtap %s has no device node", name);
	unlink(node);
	if (mknod(node, S_IFCHR | 0600, dev))
		return refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", node, g_strerror(errno));
	for (unsigned i = 0; i < queues; i++) {
		ret_fds[i] = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (ret_fds[i] >= 0 && ioctl(ret_fds[i], TUNSETIFF, &r) == 0)
			continue;
		refuse(error, MANAGER_ERR_SYSTEM, "cannot open macvtap %s: %s", name,
			g_strerror(errno));
		for (unsigned j = 0; j <= i; j++) {
			if (ret_fds[j] >= 0)
				close(ret_fds[j]);
			ret_fds[j] = -1;
		}
		unlink(node);
		return -1;
	}
	unlink(node);
	return 0;
}

/* ---- limits ---- */

int link_set_rate(const char *name, uint64_t average, uint64_t peak, uint64_t burst, GError **error)
{
	enum {
		BURST_MIN = 20 << 10,
		FRAME = 64 << 10
	}; /* bytes; a frame with offloads is 64 KiB */
	g_autoptr(netlink_socket) s = talk();
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();
	uint64_t bucket = MAX(burst ? burst * 1024 : average * 1024 / 10, BURST_MIN);
	int err = -NLE_FAILURE;

	rtnl_tc_set_ifindex(TC_CAST(q), if_nametoindex(name));
	rtnl_tc_set_parent(TC_CAST(q), TC_H_ROOT);
	if (!average) {
		if (s)
			rtnl_qdisc_delete(s, q); /* none: fine */
		rtnl_qdisc_put(q);
		return 0;
	}
	rtnl_tc_set_handle(TC_CAST(q), TC_HANDLE(1, 0));
	rtnl_tc_set_kind(TC_CAST(q), "tbf");
	rtnl_qdisc_tbf_set_rate(
		q, MIN(average * 1024, INT32_MAX), MIN(MAX(bucket, FRAME), INT32_MAX), 0);
	if (peak)
		rtnl_qdisc_tbf_set_peakrate(q, MIN(peak * 1024, INT32_MAX), FRAME, 0);
	rtnl_qdisc_tbf_set_limit(q, MIN(MAX(bucket, FRAME) * 2, INT32_MAX));
	if (s)
		err = rtnl_qdisc_add(s, q, NLM_F_CREATE | NLM_F_REPLACE);
	rtnl_qdisc_put(q);
	return err < 0 ? told(error, err, "cannot limit the rate of", name) : 0;
}

int sysctl_set(const char *path, const char *value, GError **error)
{
	g_autofree char *full = g_strdup_printf("/proc/sys/net/%s", path), *now = NULL;
	int fd;
	ssize_t n;

	if (g_file_get_contents(full, &now, NULL, NULL) && !strcmp(g_strstrip(now), value))
		return 0;
	fd = open(full, O_WRONLY | O_CLOEXEC);
	n = fd >= 0 ? write(fd, value, strlen(value)) : -1;
	if (n < 0)
		refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", full, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}
