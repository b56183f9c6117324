/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tune.c: a definition's shares, limits and pinning. Spec: libvirt.org, Domain XML. */
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/cpuset.h"
#include "manager/error.h"
#include "manager/xml.h"

/* A number that may be negative: quotas use -1 for "none". */
static int number_of(const xmlNode *n, const char *name, int64_t *ret, GError **error)
{
	g_autofree char *text = n ? xml_child_text(n, name) : NULL;
	uint64_t v = 0;

	*ret = -1;
	if (!text || strcmp(text, "-1") == 0)
		return 0;
	if (xml_uint(text, name, G_MAXINT64, &v, error) < 0)
		return -1;
	*ret = (int64_t)v;
	return 0;
}

static int kib_of(const xmlNode *n, const char *name, uint64_t *ret, GError **error)
{
	uint64_t bytes = 0;

	if (n && xml_text_bytes(xml_child(n, name), &bytes, error) < 0)
		return -1;
	*ret = bytes / 1024;
	return 0;
}

static int check_set(const char *text, GError **error)
{
	cpu_set_t set;

	return text ? cpuset_parse(text, &set, error) : 0;
}

static int read_pins(struct domain_config *c, const xmlNode *n, GError **error)
{
	g_ptr_array_set_size(c->tune.vcpu_pin, (int)c->vcpus_max);
	for (const xmlNode *p = xml_child(n, "vcpupin"); p; p = xml_next(p, "vcpupin")) {
		uint64_t vcpu = G_MAXUINT64;
		const char *set = xml_attr(p, "cpuset");

		if (xml_attr_uint(p, "vcpu", G_MAXUINT32, &vcpu, error) < 0)
			return -1;
		if (vcpu >= c->vcpus_max || !set)
			return refuse(error, MANAGER_ERR_XML,
				"<vcpupin>: names no vCPU of this machine, or no cpuset");
		if (check_set(set, error) < 0)
			return -1;
		g_free(g_ptr_array_index(c->tune.vcpu_pin, vcpu));
		g_ptr_array_index(c->tune.vcpu_pin, vcpu) = g_strdup(set);
	}
	n = xml_child(n, "emulatorpin");
	c->tune.emulator_pin = n ? g_strdup(xml_attr(n, "cpuset")) : NULL;
	return check_set(c->tune.emulator_pin, error);
}

int config_tune(struct domain_config *c, xmlNode *root, GError **error)
{
	const xmlNode *cpu = xml_child(root, "cputune"), *memory = xml_child(root, "memtune");
	const xmlNode *numa = xml_child(root, "numatune");
	struct config_tune *t = &c->tune;

	if (number_of(cpu, "shares", &t->shares, error) < 0 ||
		number_of(cpu, "period", &t->period, error) < 0 ||
		number_of(cpu, "quota", &t->quota, error) < 0 ||
		number_of(cpu, "emulator_period", &t->emulator_period, error) < 0 ||
		number_of(cpu, "emulator_quota", &t->emulator_quota, error) < 0 ||
		number_of(cpu, "global_period", &t->global_period, error) < 0 ||
		number_of(cpu, "global_quota", &t->global_quota, error) < 0 ||
		number_of(xml_child(root, "blkiotune"), "weight", &t->weight, error) < 0 ||
		kib_of(memory, "hard_limit", &t->hard_limit, error) < 0 ||
		kib_of(memory, "soft_limit", &t->soft_limit, error) < 0 ||
		kib_of(memory, "swap_hard_limit", &t->swap_limit, error) < 0)
		return -1;
	if (numa && xml_child(numa, "memory"))
		t->nodeset = g_strdup(xml_child_attr(numa, "memory", "nodeset"));
	if (check_set(t->cpuset, error) < 0 || check_set(t->nodeset, error) < 0)
		return -1;
	if (cpu)
		return read_pins(c, cpu, error);
	g_ptr_array_set_size(t->vcpu_pin, (int)c->vcpus_max);
	return 0;
}
