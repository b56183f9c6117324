/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node.c: the host: its capabilities, processors and memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/host/host.h"
#include "manager/manager.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/typed.h"

enum { STATS_ALL = -1, BASELINE_EXPAND = 1, COMPARE_FAIL_INCOMPATIBLE = 1 };

static int capabilities(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_capabilities_ret *)ret)->capabilities =
		host_capabilities(call->manager);
	return 0;
}

static int domain_capabilities(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_get_domain_capabilities_args *a = args;
	struct remote_connect_get_domain_capabilities_ret *r = ret;

	r->capabilities = host_domain_capabilities(
		call->manager, a->emulatorbin, a->arch, a->machine, a->virttype, error);
	return r->capabilities ? 0 : -1;
}

static int max_vcpus(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_max_vcpus_ret *)ret)->max_vcpus = HOST_VCPUS_MAX;
	return 0;
}

static int info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_node_get_info_ret *r = ret;
	g_autoptr(host_auto) h = host_read();

	g_strlcpy(r->model, h->arch, sizeof(r->model));
	r->memory = h->memory >> 10;
	r->cpus = (int32_t)h->online;
	r->mhz = (int32_t)h->mhz;
	r->nodes = h->sockets * h->cores * h->threads * h->nodes->len == h->online
			   ? (int32_t)h->nodes->len
			   : 1;
	r->sockets = (int32_t)h->sockets;
	r->cores = (int32_t)h->cores;
	r->threads = (int32_t)h->threads;
	return 0;
}

static int sysinfo(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_get_sysinfo_ret *r = ret;

	r->sysinfo = host_sysinfo(error);
	return r->sysinfo ? 0 : -1;
}

static int security_model(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_node_get_security_model_ret *r = ret;

	/* Empty strings: machines are confined by seccomp and namespaces, without labels. */
	r->model = g_malloc0(1);
	r->doi = g_malloc0(1);
	r->model_count = r->doi_count = 1;
	return 0;
}

/* ---- processors ---- */

/* One line of /proc/stat in nanoseconds: user, kernel, idle, iowait. */
static int read_times(int cpu, uint64_t times[4], GError **error)
{
	g_autofree char *text = host_file("/proc/stat"), *name = NULL;
	unsigned long long v[7] = {};
	const char *line = text;
	uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

	name = cpu == STATS_ALL ? g_strdup("cpu ") : g_strdup_printf("cpu%d ", cpu);
	while (line && strncmp(line, name, strlen(name)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "the host has no online CPU %d", cpu);
	if (sscanf(line + strlen(name), "%llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2],
		    &v[3], &v[4], &v[5], &v[6]) < 4)
		return refuse(error, MANAGER_ERR_INTERNAL, "/proc/stat is not as expected");
	times[0] = (v[0] + v[1]) * tick;
	times[1] = (v[2] + v[5] + v[6]) * tick;
	times[2] = v[3] * tick;
	times[3] = v[4] * tick;
	return 0;
}

static int cpu_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	static const char *const names[] = { "user", "kernel", "idle", "iowait" };
	const struct remote_node_get_cpu_stats_args *a = args;
	struct remote_node_get_cpu_stats_ret *r = ret;
	uint64_t times[4];

	r->nparams = G_N_ELEMENTS(names);
	if (a->nparams == 0)
		return 0; /* how many there are */
	if (a->nparams < 0 || a->cpuNum < STATS_ALL)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no CPU %d", a->cpuNum);
	if (read_times(a->cpuNum, times, error) < 0)
		return -1;
	r->params = g_new0(struct remote_node_get_cpu_stats, G_N_ELEMENTS(names));
	r->params_count = MIN((uint32_t)a->nparams, G_N_ELEMENTS(names));
	for (unsigned i = 0; i < r->params_count; i++) {
		r->params[i].field = g_strdup(names[i]);
		r->params[i].value = times[i];
	}
	return 0;
}

static int cpu_map(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_get_cpu_map_args *a = args;
	struct remote_node_get_cpu_map_ret *r = ret;
	g_autoptr(host_auto) h = host_read();
	unsigned last = 0;

	for (guint i = 0; i < h->cpus->len; i++)
		last = MAX(last, g_array_index(h->cpus, struct host_cpu, i).id);
	r->ret = (int32_t)last + 1;
	r->online = h->online;
	if (!a->need_map)
		return 0;
	r->cpumap_count = last / 8 + 1;
	r->cpumap = g_malloc0(r->cpumap_count);
	for (guint i = 0; i < h->cpus->len; i++) {
		const struct host_cpu *c = &g_array_index(h->cpus, struct host_cpu, i);

		if (c->online)
			r->cpumap[c->id / 8] |= (uint8_t)(1 << c->id % 8);
	}
	return 0;
}

static int compare(const char *xml, bool fail_incompatible, int32_t *ret, GError **error)
{
	g_autoptr(host_auto) h = host_read();
	enum host_cpu_compare result;

	if (host_cpu_compare(h, xml, &result, error) < 0)
		return -1;
	if (result == HOST_CPU_INCOMPATIBLE && fail_incompatible)
		return refuse(error, MANAGER_ERR_CPU_INCOMPATIBLE,
			"the host's CPU lacks features of this one");
	*ret = (int32_t)result;
	return 0;
}

static int compare_cpu(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_compare_cpu_args *a = args;

	return compare(a->xml, a->flags & COMPARE_FAIL_INCOMPATIBLE,
		&((struct remote_connect_compare_cpu_ret *)ret)->result, error);
}

static int compare_hypervisor_cpu(
	struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_compare_hypervisor_cpu_args *a = args;

	return compare(a->xmlCPU, a->flags & COMPARE_FAIL_INCOMPATIBLE,
		&((struct remote_connect_compare_hypervisor_cpu_ret *)ret)->result, error);
}

static int baseline_cpu(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_baseline_cpu_args *a = args;
	struct remote_connect_baseline_cpu_ret *r = ret;

	r->cpu = host_cpu_baseline(a->xmlCPUs, a->xmlCPUs_count, a->flags & BASELINE_EXPAND, error);
	return r->cpu ? 0 : -1;
}

static int baseline_hypervisor_cpu(
	struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_baseline_hypervisor_cpu_args *a = args;
	struct remote_connect_baseline_hypervisor_cpu_ret *r = ret;

	r->cpu = host_cpu_baseline(a->xmlCPUs, a->xmlCPUs_count, a->flags & BASELINE_EXPAND, error);
	return r->cpu ? 0 : -1;
}

static int cpu_model_names(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_get_cpu_model_names_args *a = args;
	struct remote_connect_get_cpu_model_names_ret *r = ret;

	if (strcmp(a->arch, "x86_64") != 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"no guest of architecture '%s' can run here", a->arch);
	r->ret = (int32_t)g_strv_length((char **)host_cpu_models);
	if (!a->need_results)
		return 0;
	r->models_count = (uint32_t)r->ret;
	r->models = g_strdupv((char **)host_cpu_models);
	return 0;
}

/* ---- memory ---- */

static int memory_stats(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	static const char *const names[] = { "total", "free", "buffers", "cached" };
	static const char *const keys[] = { "MemTotal:", "MemFree:", "Buffers:", "Cached:" };
	const struct remote_node_get_memory_stats_args *a = args;
	struct remote_node_get_memory_stats_ret *r = ret;
	g_autofree char *text =
		a->cellNum == STATS_ALL
			? host_file("/proc/meminfo")
			: host_file("/sys/devices/system/node/node%d/meminfo", a->cellNum);
	unsigned count = a->cellNum == STATS_ALL ? 4 : 2;

	if (!text)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "the host has no memory cell %d",
			a->cellNum);
	r->nparams = (int32_t)count;
	if (a->nparams == 0)
		return 0;
	r->params = g_new0(struct remote_node_get_memory_stats, count);
	r->params_count = MIN((uint32_t)MAX(a->nparams, 0), count);
	for (unsigned i = 0; i < r->params_count; i++) {
		const char *at = strstr(text, keys[i]);

		r->params[i].field = g_strdup(names[i]);
		r->params[i].value = at ? g_ascii_strtoull(at + strlen(keys[i]), NULL, 10) : 0;
	}
	return 0;
}

static int free_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(host_auto) h = host_read();

	((struct remote_node_get_free_memory_ret *)ret)->freeMem = h->memory_free;
	return 0;
}

static int cells_free_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_get_cells_free_memory_args *a = args;
	struct remote_node_get_cells_free_memory_ret *r = ret;
	g_autoptr(host_auto) h = host_read();

	if (a->startCell < 0 || (guint)a->startCell >= h->nodes->len || a->maxcells <= 0)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the host has %u memory cells, from 0", h->nodes->len);
	r->cells_count = MIN(h->nodes->len - (guint)a->startCell, (guint)a->maxcells);
	r->cells = g_new0(uint64_t, r->cells_count);
	for (unsigned i = 0; i < r->cells_count; i++)
		r->cells[i] =
			g_array_index(h->nodes, struct host_node, (guint)a->startCell + i).free;
	return 0;
}

static uint64_t free_pages_of(const struct host_node *n, unsigned kib)
{
	if ((long)kib == sysconf(_SC_PAGESIZE) / 1024)
		return (n->free >> 10) / kib;
	return host_number(UINT64_MAX,
		"/sys/devices/system/node/node%u/hugepages/hugepages-%ukB/free_hugepages", n->id,
		kib);
}

static int free_pages(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_get_free_pages_args *a = args;
	struct remote_node_get_free_pages_ret *r = ret;
	g_autoptr(host_auto) h = host_read();
	uint32_t n = 0;

	if (a->startCell < 0 || (guint)a->startCell >= h->nodes->len ||
		a->cellCount > h->nodes->len - (guint)a->startCell ||
		(uint64_t)a->cellCount * a->pages_count > REMOTE_NODE_MAX_CELLS_MAX)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the host has %u memory cells, from 0", h->nodes->len);
	r->counts = g_new0(uint64_t, a->cellCount * a->pages_count + 1);
	for (unsigned c = 0; c < a->cellCount; c++) {
		for (unsigned p = 0; p < a->pages_count; p++) {
			r->counts[n] = free_pages_of(
				&g_array_index(h->nodes, struct host_node, (guint)a->startCell + c),
				a->pages[p]);
			if (r->counts[n++] == UINT64_MAX)
				return refuse(error, MANAGER_ERR_OPERATION_FAILED,
					"the host has no pages of %u KiB", a->pages[p]);
		}
	}
	r->counts_count = n;
	return 0;
}

static int alloc_pages_of(unsigned node, unsigned kib, uint64_t count, bool add, GError **error)
{
	g_autofree char *path = g_strdup_printf(
		"/sys/devices/system/node/node%u/hugepages/hugepages-%ukB/nr_hugepages", node, kib);
	uint64_t now = host_number(UINT64_MAX, "%s", path), want = add ? now + count : count;
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "\n", want);
	FILE *f;

	if (now == UINT64_MAX || !(f = fopen(path, "we")))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"pages of %u KiB cannot be set aside here", kib);
	fputs(text, f);
	if (fclose(f) != 0 || host_number(0, "%s", path) != want)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"only %" G_GUINT64_FORMAT " pages of %u KiB", host_number(0, "%s", path),
			kib);
	return 0;
}

static int alloc_pages(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_alloc_pages_args *a = args;
	struct remote_node_alloc_pages_ret *r = ret;
	g_autoptr(host_auto) h = host_read();
	guint first = a->startCell < 0 ? 0 : (guint)a->startCell;
	guint count = a->startCell < 0 ? h->nodes->len : a->cellCount;

	if (first >= h->nodes->len || count > h->nodes->len - first ||
		a->pageSizes_count != a->pageCounts_count)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the host has %u memory cells, from 0", h->nodes->len);
	for (guint c = first; c < first + count; c++) {
		for (unsigned p = 0; p < a->pageSizes_count; p++) {
			if (alloc_pages_of(g_array_index(h->nodes, struct host_node, c).id,
				    a->pageSizes[p], a->pageCounts[p], a->flags == 0, error) < 0)
				return -1;
			r->ret++;
		}
	}
	return 0;
}

/* Kernel samepage merging. Spec: Linux Documentation/admin-guide/mm/ksm.rst */
static const struct {
	const char *name, *file;
	bool counter, writable;
} ksm[] = {
	{ "shm_pages_to_scan", "pages_to_scan", false, true },
	{ "shm_sleep_millisecs", "sleep_millisecs", false, true },
	{ "shm_merge_across_nodes", "merge_across_nodes", false, true },
	{ "shm_pages_shared", "pages_shared", true, false },
	{ "shm_pages_sharing", "pages_sharing", true, false },
	{ "shm_pages_unshared", "pages_unshared", true, false },
	{ "shm_pages_volatile", "pages_volatile", true, false },
	{ "shm_full_scans", "full_scans", true, false },
};

static int memory_parameters(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_get_memory_parameters_args *a = args;
	struct remote_node_get_memory_parameters_ret *r = ret;
	struct typed_list list = {};

	for (unsigned i = 0; i < G_N_ELEMENTS(ksm); i++) {
		uint64_t v = host_number(UINT64_MAX, "/sys/kernel/mm/ksm/%s", ksm[i].file);

		if (v == UINT64_MAX)
			continue;
		if (ksm[i].counter)
			typed_u64(&list, v, "%s", ksm[i].name);
		else
			typed_u32(&list, (uint32_t)v, "%s", ksm[i].name);
	}
	r->nparams = (int32_t)list.count;
	if (a->nparams == 0) {
		typed_clear(&list);
		return 0;
	}
	r->params = list.items;
	r->params_count = list.count;
	return 0;
}

static int set_memory_parameter(const struct remote_typed_param *p, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(ksm); i++) {
		g_autofree char *path = g_strdup_printf("/sys/kernel/mm/ksm/%s", ksm[i].file);
		FILE *f;
		bool ok;

		if (strcmp(ksm[i].name, p->field) != 0 || !ksm[i].writable)
			continue;
		if (p->value.type != XDR_VALUE_U32)
			return refuse(error, MANAGER_ERR_INVALID_ARG, "%s is an unsigned number",
				p->field);
		f = fopen(path, "we");
		ok = f && fprintf(f, "%u\n", p->value.u32) > 0;
		if (f && fclose(f) != 0)
			ok = false;
		return ok ? 0
			  : refuse(error, MANAGER_ERR_OPERATION_FAILED, "cannot write %s", path);
	}
	return refuse(
		error, MANAGER_ERR_INVALID_ARG, "no parameter '%s' that can be set", p->field);
}

static int set_memory_parameters(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_set_memory_parameters_args *a = args;

	for (uint32_t i = 0; i < a->params_count; i++) {
		if (set_memory_parameter(&a->params[i], error) < 0)
			return -1;
	}
	return 0;
}

const struct rpc_procedure rpc_node_procedures[] = {
	{ REMOTE_PROC_CONNECT_GET_CAPABILITIES, capabilities, ROLE_READ },
	{ REMOTE_PROC_CONNECT_GET_DOMAIN_CAPABILITIES, domain_capabilities, ROLE_READ },
	{ REMOTE_PROC_CONNECT_GET_MAX_VCPUS, max_vcpus, ROLE_READ },
	{ REMOTE_PROC_CONNECT_GET_SYSINFO, sysinfo, ROLE_READ },
	{ REMOTE_PROC_CONNECT_COMPARE_CPU, compare_cpu, ROLE_READ },
	{ REMOTE_PROC_CONNECT_COMPARE_HYPERVISOR_CPU, compare_hypervisor_cpu, ROLE_READ },
	{ REMOTE_PROC_CONNECT_BASELINE_CPU, baseline_cpu, ROLE_READ },
	{ REMOTE_PROC_CONNECT_BASELINE_HYPERVISOR_CPU, baseline_hypervisor_cpu, ROLE_READ },
	{ REMOTE_PROC_CONNECT_GET_CPU_MODEL_NAMES, cpu_model_names, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_INFO, info, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_SECURITY_MODEL, security_model, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_CPU_STATS, cpu_stats, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_CPU_MAP, cpu_map, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_MEMORY_STATS, memory_stats, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_FREE_MEMORY, free_memory, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_CELLS_FREE_MEMORY, cells_free_memory, ROLE_READ },
	{ REMOTE_PROC_NODE_GET_FREE_PAGES, free_pages, ROLE_READ },
	{ REMOTE_PROC_NODE_ALLOC_PAGES, alloc_pages, ROLE_ADMIN },
	{ REMOTE_PROC_NODE_GET_MEMORY_PARAMETERS, memory_parameters, ROLE_READ },
	{ REMOTE_PROC_NODE_SET_MEMORY_PARAMETERS, set_memory_parameters, ROLE_ADMIN },
	{},
};
