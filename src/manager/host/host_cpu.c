/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_cpu.c: CPU models and what can be which. Spec: x86-64 psABI, microarchitecture levels. */
#include <string.h>

#include "manager/error.h"
#include "manager/host/host.h"
#include "manager/xml.h"

/* From the least to the best; each has those before it. */
const char *const host_cpu_models[] = { "x86-64-v2", "x86-64-v3", NULL };
static const char *const needs[][16] = {
	{ "cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3", NULL },
	{ "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave", NULL },
};

/* libvirt's names of features where Linux has others. */
static const struct {
	const char *libvirt, *linux_name;
} aliases[] = {
	{ "sse4.1", "sse4_1" },
	{ "sse4.2", "sse4_2" },
	{ "sse3", "pni" },
	{ "pclmuldq", "pclmulqdq" },
	{ "lzcnt", "abm" },
	{ "nx", "nx" },
	{ "tsc-deadline", "tsc_deadline_timer" },
	{ "cmp_legacy", "cmp_legacy" },
};

static const char *linux_name(const char *feature)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
		if (strcmp(aliases[i].libvirt, feature) == 0)
			return aliases[i].linux_name;
	}
	return feature;
}

static const char *libvirt_name(const char *flag)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
		if (strcmp(aliases[i].linux_name, flag) == 0)
			return aliases[i].libvirt;
	}
	return flag;
}

static int level_of(const char *model)
{
	for (int i = 0; host_cpu_models[i]; i++) {
		if (strcmp(host_cpu_models[i], model) == 0)
			return i;
	}
	return -1;
}

static int host_level(const struct host *h)
{
	int level;

	for (level = 0; host_cpu_models[level]; level++) {
		for (unsigned i = 0; needs[level][i]; i++) {
			if (!g_hash_table_contains(h->flags, needs[level][i]))
				return level - 1;
		}
	}
	return level - 1;
}

const char *host_cpu_best(const struct host *h)
{
	int level = host_level(h);

	return level < 0 ? NULL : host_cpu_models[level];
}

bool host_cpu_can(const struct host *h, const char *model)
{
	int level = level_of(model);

	return level >= 0 && level <= host_level(h);
}

/* The level of a document's model; no model: the least. */
static int document_level(const xmlNode *cpu, int *ret, GError **error)
{
	g_autofree char *model = xml_child_text(cpu, "model");

	*ret = model ? level_of(model) : 0;
	if (*ret < 0)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"unknown CPU model '%s': x86-64-v2 or x86-64-v3", model);
	return 0;
}

int host_cpu_compare(
	const struct host *h, const char *xml, enum host_cpu_compare *ret, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "cpu", error);
	const xmlNode *cpu = doc ? xmlDocGetRootElement(doc) : NULL;
	g_autofree char *arch = cpu ? xml_child_text(cpu, "arch") : NULL;
	int level, own = host_level(h);

	if (!doc || document_level(cpu, &level, error) < 0)
		return -1;
	*ret = level > own || (arch && strcmp(arch, h->arch) != 0) ? HOST_CPU_INCOMPATIBLE
	       : level == own                                      ? HOST_CPU_IDENTICAL
								   : HOST_CPU_SUPERSET;
	for (xmlNode *f = xml_child(cpu, "feature"); f; f = xml_next(f, "feature")) {
		const char *name = xml_attr(f, "name"), *policy = xml_attr(f, "policy");
		bool has = name && g_hash_table_contains(h->flags, linux_name(name));

		if (policy && (strcmp(policy, "optional") == 0 || strcmp(policy, "disable") == 0))
			continue;
		if (has == (policy && strcmp(policy, "forbid") == 0))
			*ret = HOST_CPU_INCOMPATIBLE;
	}
	return 0;
}

/* Of a document: the names of its features beyond the model, as Linux' names. */
static GHashTable *features_of(const xmlNode *cpu)
{
	GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (xmlNode *f = xml_child(cpu, "feature"); f; f = xml_next(f, "feature")) {
		const char *name = xml_attr(f, "name"), *policy = xml_attr(f, "policy");

		if (name &&
			(!policy || strcmp(policy, "require") == 0 || strcmp(policy, "force") == 0))
			g_hash_table_add(set, g_strdup(linux_name(name)));
	}
	return set;
}

static gboolean is_absent(gpointer key, gpointer value, gpointer other)
{
	return !g_hash_table_contains(other, key);
}

/* What stays when a second CPU comes in; NULL for the first. */
static int merge(const char *xml, int *level, GHashTable **common, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "cpu", error);
	const xmlNode *cpu = doc ? xmlDocGetRootElement(doc) : NULL;
	GHashTable *set;
	int own;

	if (!doc || document_level(cpu, &own, error) < 0)
		return -1;
	set = features_of(cpu);
	if (!*common) {
		*common = set;
		*level = own;
		return 0;
	}
	*level = MIN(*level, own);
	g_hash_table_foreach_remove(*common, is_absent, set);
	g_hash_table_unref(set);
	return 0;
}

char *host_cpu_baseline(char *const *xmls, unsigned count, bool expand, GError **error)
{
	g_autoptr(GHashTable) common = NULL;
	g_autoptr(GString) out = NULL;
	g_autoptr(GList) names = NULL;
	int level = 0;

	if (!count) {
		refuse(error, MANAGER_ERR_INVALID_ARG, "no CPU given");
		return NULL;
	}
	for (unsigned i = 0; i < count; i++) {
		if (merge(xmls[i], &level, &common, error) < 0)
			return NULL;
	}
	for (int l = 0; expand && l <= level; l++) {
		for (unsigned i = 0; needs[l][i]; i++)
			g_hash_table_add(common, g_strdup(needs[l][i]));
	}
	out = g_string_new("<cpu mode='custom' match='exact'>\n");
	g_string_append_printf(
		out, "  <model fallback='forbid'>%s</model>\n", host_cpu_models[level]);
	names = g_list_sort(g_hash_table_get_keys(common), (GCompareFunc)strcmp);
	for (GList *n = names; n; n = n->next) {
		g_autofree char *name = g_markup_escape_text(libvirt_name(n->data), -1);

		g_string_append_printf(out, "  <feature policy='require' name='%s'/>\n", name);
	}
	g_string_append(out, "</cpu>\n");
	return g_string_free(g_steal_pointer(&out), FALSE);
}
