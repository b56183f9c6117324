/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host.h: what the host is: processors, memory, identity; and its CPU as clients name CPUs. */
#ifndef MANAGER_HOST_HOST_H
#define MANAGER_HOST_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;

struct host_cpu {
	unsigned id, socket, die, core, node;
	bool online;
	char *siblings; /* "0-1"; owned */
};

struct host_node {
	unsigned id;
	uint64_t memory, free; /* bytes */
};

struct host {
	char *arch; /* "x86_64"; all strings owned */
	char *vendor, *model_name;
	char *uuid;        /* of the hardware, or of the installation */
	GHashTable *flags; /* set of /proc/cpuinfo's names */
	unsigned mhz;
	uint64_t memory, memory_free; /* bytes */
	GArray *cpus;                 /* struct host_cpu, by id, those present */
	GArray *nodes;                /* struct host_node, at least one */
	unsigned online, sockets, cores,
		threads; /* per node, socket, core; 1, all, 1 when irregular */
	bool kvm;
};

/* Reads it all anew. */
struct host *host_read(void);
void host_free(struct host *h);
typedef struct host host_auto; /* what g_autoptr() needs */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(host_auto, host_free)

/* A small file of /proc or /sys, trimmed and owned by the caller; NULL: not there. */
char *host_file(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
uint64_t host_number(uint64_t otherwise, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* "0-2,5" as a set: calls fn for each. */
void host_each(const char *list, void (*fn)(unsigned n, void *opaque), void *opaque);

/* ---- CPU models (host_cpu.c) ---- */

/* NULL-terminated. */
extern const char *const host_cpu_models[];
/* The best of them this host's CPU can be; NULL: none. */
const char *host_cpu_best(const struct host *h);
bool host_cpu_can(const struct host *h, const char *model);

enum host_cpu_compare { HOST_CPU_INCOMPATIBLE, HOST_CPU_IDENTICAL, HOST_CPU_SUPERSET };
/* The host against a <cpu> of libvirt's XML. -1 with error. */
int host_cpu_compare(
	const struct host *h, const char *xml, enum host_cpu_compare *ret, GError **error);
/* The CPU that all of these can be, as <cpu> for a guest. NULL with error. */
char *host_cpu_baseline(char *const *xmls, unsigned count, bool expand, GError **error);

/* ---- documents (capabilities.c); owned by the caller ---- */

char *host_capabilities(struct manager *m);
/* NULLs: defaults. NULL with error for what we do not run. */
char *host_domain_capabilities(struct manager *m, const char *emulator, const char *arch,
	const char *machine, const char *type, GError **error);
char *host_sysinfo(GError **error);

enum { HOST_VCPUS_MAX = 255 };

#endif
