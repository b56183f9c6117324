/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host.c: /v1/version, /v1/host, statistics, and /metrics. Spec: Prometheus text format 0.0.4. */
#include <string.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/host/host.h"
#include "manager/manager.h"
#include "manager/rest/machine.h"
#include "wire/libvirt/typed.h"

int rest_version(struct request *r, GError **error)
{
	r->json = json_pack("{s:s, s:s, s:i, s:b, s:s}", "name", "lodged", "version", LODGE_VERSION,
		"api", 1, "privileged", r->manager->privileged, "uri",
		r->manager->session ? "qemu:///session" : "qemu:///system");
	return 0;
}

enum { LIST_ACTIVE = 1 };

/* How many machines there are, by libvirt's flags. */
static int count_machines(struct request *r, unsigned flags, unsigned *ret, GError **error)
{
	struct remote_connect_list_all_domains_ret all = {};
	int rc = request_call(r, REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS,
		&(struct remote_connect_list_all_domains_args){ 1, flags }, &all, error);

	*ret = all.domains_count;
	xdr_clear(&remote_connect_list_all_domains_ret_type, &all);
	return rc;
}

int rest_host(struct request *r, GError **error)
{
	g_autoptr(host_auto) h = host_read();
	unsigned all, running;

	if (count_machines(r, 0, &all, error) < 0 ||
		count_machines(r, LIST_ACTIVE, &running, error) < 0)
		return -1;
	r->json = json_pack("{s:s, s:i, s:s*, s:I, s:I, s:s, s:i, s:i}", "hostname",
		g_get_host_name(), "cpus", h->online, "cpu_model", h->model_name, "memory",
		(json_int_t)h->memory, "memory_free", (json_int_t)h->memory_free, "accel",
		h->kvm ? "kvm" : "jit", "machines", all, "running", running);
	return 0;
}

int rest_host_capabilities(struct request *r, GError **error)
{
	struct remote_connect_get_capabilities_ret ret = {};

	if (request_call(r, REMOTE_PROC_CONNECT_GET_CAPABILITIES, NULL, &ret, error) < 0)
		return -1;
	r->text = ret.capabilities;
	r->text_type = "text/xml";
	return 0;
}

/* ---- statistics ---- */

/* Our name, and libvirt's; "*" stands for all numbers, which are added up. */
static const struct {
	const char *ours, *libvirt;
	unsigned factor;
	const char *metric, *help;
} stats[] = {
	{ "cpu_ns", "cpu.time", 1, "lodge_machine_cpu_nanoseconds_total",
		"CPU time of the machine's process" },
	{ "memory_rss", "balloon.rss", 1024, "lodge_machine_memory_resident_bytes",
		"Host memory in use" },
	{ "balloon", "balloon.current", 1024, "lodge_machine_memory_bytes",
		"Memory the guest has" },
	{ "disk_read_bytes", "block.*.rd.bytes", 1, "lodge_machine_disk_read_bytes_total",
		"Read from disks" },
	{ "disk_write_bytes", "block.*.wr.bytes", 1, "lodge_machine_disk_written_bytes_total",
		"Written to disks" },
	{ "disk_read_ops", "block.*.rd.reqs", 1, "lodge_machine_disk_reads_total",
		"Read requests" },
	{ "disk_write_ops", "block.*.wr.reqs", 1, "lodge_machine_disk_writes_total",
		"Write requests" },
	{ "net_in_bytes", "net.*.rx.bytes", 1, "lodge_machine_network_received_bytes_total",
		"Received" },
	{ "net_out_bytes", "net.*.tx.bytes", 1, "lodge_machine_network_sent_bytes_total", "Sent" },
	{ "net_in_packets", "net.*.rx.pkts", 1, "lodge_machine_network_received_packets_total",
		"Received" },
	{ "net_out_packets", "net.*.tx.pkts", 1, "lodge_machine_network_sent_packets_total",
		"Sent" },
};

static bool matches(const char *pattern, const char *name)
{
	const char *star = strchr(pattern, '*');
	size_t n = star ? (size_t)(star - pattern) : 0;

	if (!star)
		return strcmp(pattern, name) == 0;
	if (strncmp(pattern, name, n) != 0 || !g_ascii_isdigit(name[n]))
		return false;
	while (g_ascii_isdigit(name[n]))
		n++;
	return strcmp(star + 1, name + n) == 0;
}

static uint64_t number(const struct xdr_value *v)
{
	switch (v->type) {
	case XDR_VALUE_I32:
	case XDR_VALUE_BOOL: return v->i32 < 0 ? 0 : (uint64_t)v->i32;
	case XDR_VALUE_U32: return v->u32;
	case XDR_VALUE_I64:
	case XDR_VALUE_U64: return v->u64;
	default: return 0;
	}
}

/* False: the machine has none of it. */
static bool sum(const struct remote_domain_stats_record *rec, const char *pattern, uint64_t *ret)
{
	bool any = false;

	*ret = 0;
	for (uint32_t i = 0; i < rec->params_count; i++) {
		if (matches(pattern, rec->params[i].field)) {
			*ret += number(&rec->params[i].value);
			any = true;
		}
	}
	return any;
}

static json_t *stats_json(const struct remote_domain_stats_record *rec)
{
	const struct remote_typed_param *state =
		typed_find(rec->params, rec->params_count, "state.state");
	json_t *j = json_pack("{s:s, s:o, s:s}", "name", rec->dom.name, "uuid",
		request_uuid_json(rec->dom.uuid), "state",
		rest_machine_state(state ? (int)number(&state->value) : 0));

	for (unsigned i = 0; i < G_N_ELEMENTS(stats); i++) {
		uint64_t v;

		if (sum(rec, stats[i].libvirt, &v))
			json_object_set_new(
				j, stats[i].ours, json_integer((json_int_t)(v * stats[i].factor)));
	}
	return j;
}

enum { STATS_ACTIVE = 1 };

static int get_stats(struct request *r, struct remote_nonnull_domain *one,
	struct remote_connect_get_all_domain_stats_ret *ret, GError **error)
{
	struct remote_connect_get_all_domain_stats_args args = { one, one != NULL, 0,
		one ? 0 : STATS_ACTIVE };

	return request_call(r, REMOTE_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args, ret, error);
}

int rest_machine_stats(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	struct remote_connect_get_all_domain_stats_ret ret = {};
	int rc;

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	rc = get_stats(r, &dom, &ret, error);
	if (rc == 0 && ret.retStats_count)
		r->json = stats_json(&ret.retStats[0]);
	else if (rc == 0)
		rc = refuse(error, MANAGER_ERR_NO_DOMAIN, "no machine '%s'", r->params[0]);
	xdr_clear(&remote_connect_get_all_domain_stats_ret_type, &ret);
	rest_machine_clear(&dom);
	return rc;
}

int rest_stats(struct request *r, GError **error)
{
	struct remote_connect_get_all_domain_stats_ret ret = {};
	int rc = get_stats(r, NULL, &ret, error);

	if (rc == 0)
		r->json = json_array();
	for (uint32_t i = 0; i < ret.retStats_count; i++)
		json_array_append_new(r->json, stats_json(&ret.retStats[i]));
	xdr_clear(&remote_connect_get_all_domain_stats_ret_type, &ret);
	return rc;
}

/* ---- /metrics ---- */

static void head(GString *out, const char *name, const char *type, const char *help)
{
	g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static char *label(const char *text)
{
	GString *s = g_string_new(NULL);

	for (const char *p = text; *p; p++) {
		if (*p == '\\' || *p == '"')
			g_string_append_c(s, '\\');
		g_string_append(s, *p == '\n' ? "\\n" : (char[]){ *p, 0 });
	}
	return g_string_free(s, FALSE);
}

static void add_machines(GString *out, const struct remote_connect_get_all_domain_stats_ret *all)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(stats); i++) {
		head(out, stats[i].metric,
			g_str_has_suffix(stats[i].metric, "_total") ? "counter" : "gauge",
			stats[i].help);
		for (uint32_t k = 0; k < all->retStats_count; k++) {
			g_autofree char *name = label(all->retStats[k].dom.name);
			uint64_t v;

			if (sum(&all->retStats[k], stats[i].libvirt, &v))
				g_string_append_printf(out,
					"%s{machine=\"%s\"} %" G_GUINT64_FORMAT "\n",
					stats[i].metric, name, v * stats[i].factor);
		}
	}
}

static void add_gauge(GString *out, const char *name, const char *help, uint64_t v)
{
	head(out, name, "gauge", help);
	g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", name, v);
}

/* The daemon's resident memory in bytes. */
static uint64_t own_memory(void)
{
	g_autofree char *text = host_file("/proc/self/statm");
	const char *second = text ? strchr(text, ' ') : NULL;

	return second ? g_ascii_strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

int rest_metrics(struct request *r, GError **error)
{
	struct remote_connect_get_all_domain_stats_ret ret = {};
	g_autoptr(host_auto) h = host_read();
	unsigned all, running;
	GString *out;

	if (count_machines(r, 0, &all, error) < 0 ||
		count_machines(r, LIST_ACTIVE, &running, error) < 0 ||
		get_stats(r, NULL, &ret, error) < 0)
		return -1;
	out = g_string_new(NULL);
	add_gauge(out, "lodge_machines", "Machines known", all);
	add_gauge(out, "lodge_machines_running", "Machines running", running);
	add_gauge(out, "lodge_host_cpus", "Online processors of the host", h->online);
	add_gauge(out, "lodge_host_memory_bytes", "Memory of the host", h->memory);
	add_gauge(out, "lodge_host_memory_free_bytes", "Unused memory of the host", h->memory_free);
	add_gauge(out, "lodge_daemon_memory_resident_bytes", "Memory of lodged", own_memory());
	add_machines(out, &ret);
	xdr_clear(&remote_connect_get_all_domain_stats_ret_type, &ret);
	r->text = g_string_free(out, FALSE);
	r->text_type = "text/plain; version=0.0.4";
	return 0;
}
