/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host.c: /proc and /sys. Spec: Linux Documentation/ABI/stable/sysfs-devices-system-cpu, -node. */
#include "manager/host/host.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static char *read_file(const char *fmt, va_list ap)
{
	g_autofree char *path = g_strdup_vprintf(fmt, ap);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

char *host_file(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = read_file(fmt, ap);
	va_end(ap);
	return text;
}

uint64_t host_number(uint64_t otherwise, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	char *end;
	uint64_t v;
	va_list ap;

	va_start(ap, fmt);
	text = read_file(fmt, ap);
	va_end(ap);
	if (!text)
		return otherwise;
	v = g_ascii_strtoull(text, &end, 10);
	return end == text ? otherwise : v;
}

void host_each(const char *list, void (*fn)(unsigned n, void *opaque), void *opaque)
{
	while (list && g_ascii_isdigit(*list)) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long n = first; n <= last && n < 65536; n++)
			fn((unsigned)n, opaque);
		list = *end == ',' ? end + 1 : end;
	}
}

static struct host_cpu *cpu_by_id(struct host *h, unsigned id)
{
	for (guint i = 0; i < h->cpus->len; i++) {
		struct host_cpu *c = &g_array_index(h->cpus, struct host_cpu, i);

		if (c->id == id)
			return c;
	}
	return NULL;
}

static void add_cpu(unsigned id, void *opaque)
{
	struct host *h = opaque;
	struct host_cpu c = { .id = id };

	if (h->cpus->len < 4096)
		g_array_append_val(h->cpus, c);
}

static void set_online(unsigned id, void *opaque)
{
	struct host *h = opaque;
	struct host_cpu *c = cpu_by_id(h, id);

	if (!c)
		return;
	c->online = true;
	c->socket = (unsigned)host_number(
		0, "/sys/devices/system/cpu/cpu%u/topology/physical_package_id", id);
	c->die = (unsigned)host_number(0, "/sys/devices/system/cpu/cpu%u/topology/die_id", id);
	c->core = (unsigned)host_number(id, "/sys/devices/system/cpu/cpu%u/topology/core_id", id);
	c->siblings = host_file("/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", id);
	h->online++;
}

struct place {
	struct host *host;
	unsigned node;
};

static void set_node(unsigned id, void *opaque)
{
	struct place *p = opaque;
	struct host_cpu *c = cpu_by_id(p->host, id);

	if (c)
		c->node = p->node;
}

/* "Node 0 MemTotal:  16384 kB" or without "Node 0", in bytes. */
static uint64_t meminfo(const char *text, const char *name)
{
	const char *at = text ? strstr(text, name) : NULL;

	return at ? g_ascii_strtoull(at + strlen(name), NULL, 10) << 10 : 0;
}

static void add_node(unsigned id, void *opaque)
{
	struct host *h = opaque;
	g_autofree char *text = host_file("/sys/devices/system/node/node%u/meminfo", id);
	g_autofree char *cpus = host_file("/sys/devices/system/node/node%u/cpulist", id);
	struct host_node n = { id, meminfo(text, "MemTotal:"), meminfo(text, "MemFree:") };

	host_each(cpus, set_node, &(struct place){ h, id });
	g_array_append_val(h->nodes, n);
}

static void read_cpuinfo(struct host *h)
{
	g_autofree char *text = host_file("/proc/cpuinfo");
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

	for (char **l = lines; *l && **l; l++) { /* the first CPU's paragraph */
		char *colon = strchr(*l, ':');

		if (!colon)
			continue;
		*colon = 0;
		g_strstrip(*l);
		g_strstrip(colon + 1);
		if (strcmp(*l, "vendor_id") == 0) {
			h->vendor = g_strdup(g_strstrip(colon + 1));
		} else if (strcmp(*l, "model name") == 0) {
			h->model_name = g_strdup(g_strstrip(colon + 1));
		} else if (strcmp(*l, "cpu MHz") == 0) {
			h->mhz = (unsigned)strtoul(colon + 1, NULL, 10);
		} else if (strcmp(*l, "flags") == 0) {
			g_auto(GStrv) flags = g_strsplit(g_strstrip(colon + 1), " ", -1);

			for (char **f = flags; *f; f++)
				g_hash_table_add(h->flags, g_strdup(*f));
		}
	}
}

static unsigned count_distinct(const struct host *h, guint64 (*key)(const struct host_cpu *c))
{
	g_autoptr(GHashTable) set =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);

	for (guint i = 0; i < h->cpus->len; i++) {
		const struct host_cpu *c = &g_array_index(h->cpus, struct host_cpu, i);
		guint64 k = key(c);

		if (c->online)
			g_hash_table_add(set, g_memdup2(&k, sizeof(k)));
	}
	return MAX(g_hash_table_size(set), 1);
}

static guint64 socket_key(const struct host_cpu *c)
{
	return c->socket;
}

static guint64 core_key(const struct host_cpu *c)
{
	return (guint64)c->socket << 40 | (guint64)c->die << 20 | c->core;
}

/* Sockets in a node, cores in a socket, threads in a core: when the product says how many CPUs
 * there are; else one node with one socket of so many cores, as libvirt's clients expect. */
static void find_topology(struct host *h)
{
	unsigned sockets = count_distinct(h, socket_key), cores = count_distinct(h, core_key);
	unsigned nodes = h->nodes->len;

	h->sockets = MAX(sockets / nodes, 1);
	h->cores = MAX(cores / sockets, 1);
	h->threads = MAX(h->online / cores, 1);
	if (nodes * h->sockets * h->cores * h->threads == h->online)
		return;
	h->sockets = h->threads = 1;
	h->cores = h->online;
}

struct host *host_read(void)
{
	struct host *h = g_new0(struct host, 1);
	g_autofree char *present = host_file("/sys/devices/system/cpu/present");
	g_autofree char *online = host_file("/sys/devices/system/cpu/online");
	g_autofree char *nodes = host_file("/sys/devices/system/node/online");
	g_autofree char *text = host_file("/proc/meminfo");
	struct utsname u;

	uname(&u);
	h->arch = g_strdup(u.machine);
	h->flags = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	h->cpus = g_array_new(FALSE, TRUE, sizeof(struct host_cpu));
	h->nodes = g_array_new(FALSE, TRUE, sizeof(struct host_node));
	h->memory = meminfo(text, "MemTotal:");
	h->memory_free = meminfo(text, "MemFree:");
	read_cpuinfo(h);
	host_each(present ? present : "0", add_cpu, h);
	host_each(online ? online : "0", set_online, h);
	host_each(nodes, add_node, h);
	if (!h->nodes->len) {
		struct host_node n = { 0, h->memory, h->memory_free };

		g_array_append_val(h->nodes, n);
	}
	find_topology(h);
	h->uuid = host_file("/sys/class/dmi/id/product_uuid");
	if (!h->uuid)
		h->uuid = host_file("/etc/machine-id");
	/* As lodge-vm decides: a KVM without the hardware below it emulates kernels, badly. */
	h->kvm = (g_hash_table_contains(h->flags, "vmx") ||
			 g_hash_table_contains(h->flags, "svm")) &&
		 access("/dev/kvm", R_OK | W_OK) == 0;
	return h;
}

void host_free(struct host *h)
{
	if (!h)
		return;
	for (guint i = 0; i < h->cpus->len; i++)
		g_free(g_array_index(h->cpus, struct host_cpu, i).siblings);
	g_array_free(h->cpus, TRUE);
	g_array_free(h->nodes, TRUE);
	g_hash_table_unref(h->flags);
	g_free(h->arch);
	g_free(h->vendor);
	g_free(h->model_name);
	g_free(h->uuid);
	g_free(h);
}
