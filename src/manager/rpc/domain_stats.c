/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_stats.c: calls that ask what machines do: processors, memory, disks, cards, all at once.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "image/image.h"
#include "manager/domain/domain_tune.h"
#include "manager/ids.h"
#include "manager/network/network.h"
#include "manager/process/usage.h"
#include "manager/rpc/domain_call.h"
#include "wire/libvirt/typed.h"

/* ---- disks ---- */

struct disk_size {
	uint64_t allocation, capacity, physical;
};

static const json_t *named(const json_t *list, const char *member, const char *name)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
	{
		if (g_strcmp0(json_string_value(json_object_get(v, member)), name) == 0)
			return v;
	}
	return NULL;
}

static uint64_t number(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* blocks: query-block of the running machine, NULL: it is off, then the image is looked into. */
static int size_of(struct domain *d, const struct config_device *k, const json_t *blocks,
	struct disk_size *ret, GError **error)
{
	g_autofree char *volume = NULL;
	const json_t *live = named(blocks, "device", k->alias);
	const char *path = k->disk.path;
	struct stat st;

	*ret = (struct disk_size){ 0 };
	if (domain_disk_path(d, &k->disk, &volume, error) < 0)
		return -1;
	path = volume ? volume : path;
	if (!path)
		return 0;
	if (stat(path, &st) < 0)
		return refuse(error, MANAGER_ERR_SYSTEM, "cannot look at %s: %s", path,
			g_strerror(errno));
	ret->allocation = (uint64_t)st.st_blocks * 512;
	ret->physical = (uint64_t)st.st_size;
	ret->capacity = live ? number(json_object_get(json_object_get(live, "inserted"), "image"),
				       "virtual-size")
			     : 0;
	if (!ret->capacity) {
		struct image_options o = { .path = path,
			.format = k->disk.format,
			.readonly = true,
			.no_lock = true,
			.queues = 1,
			.no_backing = true };
		struct image *im = image_open(&o, NULL);

		ret->capacity = im ? image_size(im) : ret->physical;
		if (im)
			image_close(im);
	}
	return 0;
}

static const struct config_device *disk_of(
	const struct domain_config *c, const char *path, GError **error)
{
	const struct config_device *k = domain_config_disk(c, path);

	if (!k)
		refuse(error, MANAGER_ERR_INVALID_ARG, "invalid path: %s", path);
	return k;
}

static int get_block_info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_block_info_args *a = args;
	struct remote_domain_get_block_info_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	const struct config_device *k;
	auto_view v = { 0 };
	struct disk_size s;
	json_t *blocks;
	int rc;

	if (!d)
		return -1;
	domain_view(d, &v);
	k = disk_of(v.config, a->path, error);
	if (!k)
		return -1;
	blocks = v.active ? domain_qmp(d, "query-block", NULL, 5000, NULL) : NULL;
	rc = size_of(d, k, blocks, &s, error);
	json_decref(blocks);
	r->allocation = s.allocation;
	r->capacity = s.capacity;
	r->physical = s.physical;
	return rc;
}

static const struct counter {
	const char *qmp, *flags, *all; /* names in QMP, in blockStatsFlags, in domstats */
} counters[] = {
	{ "rd_operations", "rd_operations", "rd.reqs" },
	{ "rd_bytes", "rd_bytes", "rd.bytes" },
	{ "rd_total_time_ns", "rd_total_times", "rd.times" },
	{ "wr_operations", "wr_operations", "wr.reqs" },
	{ "wr_bytes", "wr_bytes", "wr.bytes" },
	{ "wr_total_time_ns", "wr_total_times", "wr.times" },
	{ "flush_operations", "flush_operations", "fl.reqs" },
	{ "flush_total_time_ns", "flush_total_times", "fl.times" },
};

/* Of one disk or (path empty) summed up; the caller's. */
static json_t *block_counts(struct domain *d, const char *path, GError **error)
{
	json_t *list, *sum = json_object(), *v;
	const struct config_device *k = NULL;
	auto_config c = NULL;
	size_t i;

	c = domain_config_for(d, AFFECT_LIVE, error);
	if (!c || (*path && !(k = disk_of(c, path, error)))) {
		json_decref(sum);
		return NULL;
	}
	list = domain_qmp(d, "query-blockstats", NULL, 5000, error);
	if (!list) {
		json_decref(sum);
		return NULL;
	}
	json_array_foreach(list, i, v)
	{
		const json_t *stats = json_object_get(v, "stats");

		if (k && g_strcmp0(json_string_value(json_object_get(v, "device")), k->alias) != 0)
			continue;
		for (size_t n = 0; n < G_N_ELEMENTS(counters); n++)
			json_object_set_new(sum, counters[n].qmp,
				json_integer((json_int_t)(number(sum, counters[n].qmp) +
							  number(stats, counters[n].qmp))));
	}
	json_decref(list);
	return sum;
}

static int block_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_block_stats_args *a = args;
	struct remote_domain_block_stats_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	json_t *counts = d ? block_counts(d, a->path, error) : NULL;

	if (!counts)
		return -1;
	r->rd_req = (int64_t)number(counts, "rd_operations");
	r->rd_bytes = (int64_t)number(counts, "rd_bytes");
	r->wr_req = (int64_t)number(counts, "wr_operations");
	r->wr_bytes = (int64_t)number(counts, "wr_bytes");
	r->errs = -1;
	json_decref(counts);
	return 0;
}

static int block_stats_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_block_stats_flags_args *a = args;
	struct remote_domain_block_stats_flags_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	struct typed_list l = { 0 };
	json_t *counts = d ? block_counts(d, a->path, error) : NULL;

	if (!counts)
		return -1;
	r->nparams = G_N_ELEMENTS(counters);
	for (size_t i = 0; i < G_N_ELEMENTS(counters) && (int)i < a->nparams; i++)
		typed_i64(&l, (int64_t)number(counts, counters[i].qmp), "%s", counters[i].flags);
	json_decref(counts);
	r->params = l.items;
	r->params_count = l.count;
	return 0;
}

static int disk_errors(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? domain_config_for(d, AFFECT_LIVE, error) : NULL;

	/* lodge-vm hands I/O errors to the guest and goes on: no disk is ever stopped by one. */
	return c ? 0 : -1;
}

/* ---- cards ---- */

struct nic_counts {
	uint64_t rx_bytes, rx_packets, rx_errs, rx_drop, tx_bytes, tx_packets, tx_errs, tx_drop;
};

/* The line of /proc/net/dev, which shows our network namespace whatever is mounted at /sys. */
static int tap_counts(const char *tap, uint64_t *ret)
{
	g_autofree char *text = NULL, *start = g_strdup_printf("%s:", tap);
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents("/proc/self/net/dev", &text, NULL, NULL))
		return -1;
	lines = g_strsplit(text, "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		char *p = g_strstrip(lines[i]);

		if (!g_str_has_prefix(p, start))
			continue;
		p += strlen(start);
		for (unsigned n = 0; n < 12; n++)
			ret[n] = g_ascii_strtoull(p, &p, 10);
		return 0;
	}
	return -1;
}

/* What the host sends into a tap the guest receives. netdevs: query-netdev. */
static void count_nic(const struct config_device *k, const json_t *netdevs, struct nic_counts *n)
{
	const json_t *v = named(netdevs, "id", k->alias);
	const char *tap = k->nic.tap;
	uint64_t c[12];

	*n = (struct nic_counts){ 0 };
	if (tap && tap_counts(tap, c) == 0) {
		*n = (struct nic_counts){ c[8], c[9], c[10], c[11], c[0], c[1], c[2], c[3] };
	} else if (v) {
		n->rx_bytes = number(v, "in-bytes");
		n->rx_packets = number(v, "in-packets");
		n->tx_bytes = number(v, "out-bytes");
		n->tx_packets = number(v, "out-packets");
	}
}

static int interface_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_interface_stats_args *a = args;
	struct remote_domain_interface_stats_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? domain_config_for(d, AFFECT_LIVE, error) : NULL;
	const struct config_device *k = c ? domain_config_nic(c, a->device) : NULL;
	struct nic_counts n;
	json_t *netdevs;

	if (!c)
		return -1;
	if (!k)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"invalid path, '%s' is not a known interface", a->device);
	netdevs = k->nic.tap ? NULL : domain_qmp(d, "query-netdev", NULL, 5000, NULL);
	count_nic(k, netdevs, &n);
	json_decref(netdevs);
	*r = (struct remote_domain_interface_stats_ret){ (int64_t)n.rx_bytes, (int64_t)n.rx_packets,
		(int64_t)n.rx_errs, (int64_t)n.rx_drop, (int64_t)n.tx_bytes, (int64_t)n.tx_packets,
		(int64_t)n.tx_errs, (int64_t)n.tx_drop };
	return 0;
}

static void add_address(struct remote_domain_interface *i, const struct lease *l)
{
	i->addrs = g_renew(struct remote_domain_ip_addr, i->addrs, i->addrs_count + 1);
	i->addrs[i->addrs_count++] =
		(struct remote_domain_ip_addr){ l->ipv6 ? 1 : 0, g_strdup(l->address), l->prefix };
}

static void leases_of(struct rpc_call *call, const struct config_device *k, GArray *out)
{
	struct network *n = network_find_name(call->manager, k->nic.from, NULL);
	struct remote_domain_interface i = { 0 };
	g_autoptr(GPtrArray) leases = NULL;
	char mac[18];

	if (!n)
		return;
	mac_format(k->nic.mac, mac);
	leases = network_leases(n, mac, NULL);
	network_unref(n);
	if (!leases || !leases->len)
		return;
	i.name = g_strdup(k->nic.tap ? k->nic.tap : k->alias);
	i.hwaddr = g_strdup(mac);
	for (guint l = 0; l < leases->len; l++)
		add_address(&i, g_ptr_array_index(leases, l));
	g_array_append_val(out, i);
}

enum { ADDRESSES_LEASE, ADDRESSES_AGENT, ADDRESSES_ARP };

static int interface_addresses(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_interface_addresses_args *a = args;
	struct remote_domain_interface_addresses_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? domain_config_for(d, AFFECT_LIVE, error) : NULL;
	g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(struct remote_domain_interface));

	if (!c)
		return -1;
	if (a->source == ADDRESSES_AGENT)
		return refuse(
			error, MANAGER_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected");
	if (a->source != ADDRESSES_LEASE)
		return refuse(error, MANAGER_ERR_ARGUMENT_UNSUPPORTED,
			"Unknown IP address data source %u", a->source);
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *k = g_ptr_array_index(c->devices, i);

		if (k->kind == DEVICE_NIC && k->nic.source == NIC_NETWORK)
			leases_of(call, k, list);
	}
	r->ifaces_count = list->len;
	r->ifaces = (struct remote_domain_interface *)g_array_steal(list, NULL);
	return 0;
}

/* ---- memory and processors ---- */

enum memory_tag { TAG_ACTUAL = 6, TAG_RSS = 7 };

static unsigned count_kind(const struct domain_config *c, enum device_kind kind)
{
	unsigned n = 0;

	for (guint i = 0; i < c->devices->len; i++)
		n += ((struct config_device *)g_ptr_array_index(c->devices, i))->kind == kind;
	return n;
}

static uint64_t balloon_now(struct domain *d, const struct domain_config *c)
{
	json_t *b = count_kind(c, DEVICE_BALLOON) ? domain_qmp(d, "query-balloon", NULL, 5000, NULL)
						  : NULL;
	uint64_t kib = b ? number(b, "actual") / 1024 : c->memory_kib;

	json_decref(b);
	return kib;
}

static int memory_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_memory_stats_args *a = args;
	struct remote_domain_memory_stats_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	if (!v.active)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	r->stats = g_new0(struct remote_domain_memory_stat, 2);
	r->stats[0] = (struct remote_domain_memory_stat){ TAG_ACTUAL, balloon_now(d, v.config) };
	r->stats[1] = (struct remote_domain_memory_stat){ TAG_RSS, process_rss(v.pid) / 1024 };
	r->stats_count = MIN(2, a->maxStats);
	return 0;
}

/* One total for the host: per-processor times of a guest are not kept by the kernel. */
static int cpu_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_cpu_stats_args *a = args;
	struct remote_domain_get_cpu_stats_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	struct task_usage u = { 0 };
	struct typed_list l = { 0 };
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	if (!v.active)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	if (a->start_cpu != -1)
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"times by processor of the host are not kept; ask for the total");
	r->nparams = 3;
	if (!a->nparams)
		return 0;
	process_usage(v.pid, 0, &u);
	typed_u64(&l, u.user_ns + u.system_ns, "cpu_time");
	typed_u64(&l, u.user_ns, "user_time");
	typed_u64(&l, u.system_ns, "system_time");
	r->params = l.items;
	r->params_count = l.count;
	return 0;
}

/* ---- all of it ---- */

enum stats {
	STATS_STATE = 1,
	STATS_CPU = 2,
	STATS_BALLOON = 4,
	STATS_VCPU = 8,
	STATS_INTERFACE = 16,
	STATS_BLOCK = 32,
	STATS_ALL = 63
};
enum { STATS_RUNNING_MASK = 16383, STATS_ENFORCE = 1u << 31 };

static void add_vcpus(struct domain *d, const struct domain_view *v, struct typed_list *l)
{
	g_autoptr(GArray) threads = g_array_new(FALSE, FALSE, sizeof(pid_t));

	typed_u32(l, v->config->vcpus, "vcpu.current");
	typed_u32(l, v->config->vcpus_max, "vcpu.maximum");
	if (!v->active || domain_vcpu_threads(d, threads, NULL) < 0)
		return;
	for (guint i = 0; i < threads->len; i++) {
		struct task_usage u;

		typed_i32(l, 1, "vcpu.%u.state", i);
		if (process_usage(v->pid, g_array_index(threads, pid_t, i), &u) == 0)
			typed_u64(l, u.user_ns + u.system_ns, "vcpu.%u.time", i);
	}
}

static void add_nics(struct domain *d, const struct domain_view *v, struct typed_list *l)
{
	unsigned count = count_kind(v->config, DEVICE_NIC), n = 0;
	json_t *netdevs = count ? domain_qmp(d, "query-netdev", NULL, 5000, NULL) : NULL;
	const GPtrArray *all = v->config->devices;

	typed_u32(l, count, "net.count");
	for (guint i = 0; i < all->len; i++) {
		const struct config_device *k = g_ptr_array_index(all, i);
		struct nic_counts c;

		if (k->kind != DEVICE_NIC)
			continue;
		count_nic(k, netdevs, &c);
		typed_string(l, k->nic.tap ? k->nic.tap : k->alias, "net.%u.name", n);
		typed_u64(l, c.rx_bytes, "net.%u.rx.bytes", n);
		typed_u64(l, c.rx_packets, "net.%u.rx.pkts", n);
		typed_u64(l, c.rx_errs, "net.%u.rx.errs", n);
		typed_u64(l, c.rx_drop, "net.%u.rx.drop", n);
		typed_u64(l, c.tx_bytes, "net.%u.tx.bytes", n);
		typed_u64(l, c.tx_packets, "net.%u.tx.pkts", n);
		typed_u64(l, c.tx_errs, "net.%u.tx.errs", n);
		typed_u64(l, c.tx_drop, "net.%u.tx.drop", n++);
	}
	json_decref(netdevs);
}

static void add_disk(struct domain *d, const struct config_device *k, const json_t *counts,
	const json_t *blocks, unsigned n, struct typed_list *l)
{
	const json_t *stats = json_object_get(named(counts, "device", k->alias), "stats");
	struct disk_size s;

	typed_string(l, k->disk.target, "block.%u.name", n);
	typed_string(l, k->disk.path, "block.%u.path", n);
	for (size_t i = 0; stats && i < G_N_ELEMENTS(counters); i++)
		typed_u64(l, number(stats, counters[i].qmp), "block.%u.%s", n, counters[i].all);
	if (size_of(d, k, blocks, &s, NULL) < 0 || !s.capacity)
		return;
	typed_u64(l, s.allocation, "block.%u.allocation", n);
	typed_u64(l, s.capacity, "block.%u.capacity", n);
	typed_u64(l, s.physical, "block.%u.physical", n);
}

static void add_disks(struct domain *d, const struct domain_view *v, struct typed_list *l)
{
	unsigned count = count_kind(v->config, DEVICE_DISK), n = 0;
	bool ask = v->active && count;
	json_t *counts = ask ? domain_qmp(d, "query-blockstats", NULL, 5000, NULL) : NULL;
	json_t *blocks = ask ? domain_qmp(d, "query-block", NULL, 5000, NULL) : NULL;
	const GPtrArray *all = v->config->devices;

	typed_u32(l, count, "block.count");
	for (guint i = 0; i < all->len; i++) {
		const struct config_device *k = g_ptr_array_index(all, i);

		if (k->kind == DEVICE_DISK)
			add_disk(d, k, counts, blocks, n++, l);
	}
	json_decref(counts);
	json_decref(blocks);
}

static void add_stats(
	struct domain *d, const struct domain_view *v, unsigned stats, struct typed_list *l)
{
	struct task_usage u;

	if (stats & STATS_STATE) {
		typed_i32(l, (int32_t)v->state, "state.state");
		typed_i32(l, v->reason, "state.reason");
	}
	if (stats & STATS_CPU && v->active && process_usage(v->pid, 0, &u) == 0) {
		typed_u64(l, u.user_ns + u.system_ns, "cpu.time");
		typed_u64(l, u.user_ns, "cpu.user");
		typed_u64(l, u.system_ns, "cpu.system");
	}
	if (stats & STATS_BALLOON) {
		typed_u64(l, v->active ? balloon_now(d, v->config) : v->config->current_kib,
			"balloon.current");
		typed_u64(l, v->config->memory_kib, "balloon.maximum");
		if (v->active)
			typed_u64(l, process_rss(v->pid) / 1024, "balloon.rss");
	}
	if (stats & STATS_VCPU)
		add_vcpus(d, v, l);
	if (stats & STATS_INTERFACE && v->active)
		add_nics(d, v, l);
	if (stats & STATS_BLOCK)
		add_disks(d, v, l);
}

static void add_record(struct domain *d, unsigned stats, GArray *out)
{
	struct remote_domain_stats_record rec = { 0 };
	struct typed_list l = { 0 };
	auto_view v = { 0 };

	domain_view(d, &v);
	rec.dom.name = g_strdup(v.name);
	memcpy(rec.dom.uuid, v.uuid, 16);
	rec.dom.id = v.id;
	add_stats(d, &v, stats, &l);
	rec.params = l.items;
	rec.params_count = l.count;
	g_array_append_val(out, rec);
}

static int all_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_get_all_domain_stats_args *a = args;
	struct remote_connect_get_all_domain_stats_ret *r = ret;
	g_autoptr(GArray) list =
		g_array_new(FALSE, FALSE, sizeof(struct remote_domain_stats_record));
	g_autoptr(GPtrArray) chosen = NULL;
	unsigned stats = a->stats ? a->stats : STATS_ALL;

	if (a->flags & STATS_ENFORCE && stats & ~STATS_ALL)
		return refuse(error, MANAGER_ERR_ARGUMENT_UNSUPPORTED,
			"Stats types bits 0x%x are not "
			"supported",
			stats & ~(unsigned)STATS_ALL);
	if (a->doms_count) {
		for (uint32_t i = 0; i < a->doms_count; i++) {
			auto_domain d = domain_find_uuid(call->manager, a->doms[i].uuid, NULL);

			if (d && rpc_domain_visible(call, a->doms[i].name))
				add_record(d, stats, list);
		}
	} else {
		chosen = rpc_domains_chosen(call, a->flags & STATS_RUNNING_MASK);
		for (guint i = 0; i < chosen->len; i++)
			add_record(g_ptr_array_index(chosen, i), stats, list);
	}
	r->retStats_count = list->len;
	r->retStats = (struct remote_domain_stats_record *)g_array_steal(list, NULL);
	return 0;
}

const struct rpc_procedure rpc_domain_stats_procedures[] = {
	{ REMOTE_PROC_CONNECT_GET_ALL_DOMAIN_STATS, all_stats, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_BLOCK_INFO, get_block_info, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_BLOCK_STATS, block_stats, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_BLOCK_STATS_FLAGS, block_stats_flags, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_DISK_ERRORS, disk_errors, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_INTERFACE_STATS, interface_stats, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_INTERFACE_ADDRESSES, interface_addresses, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_MEMORY_STATS, memory_stats, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_CPU_STATS, cpu_stats, ROLE_READ },
	{},
};
