/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_params.c: calls with typed parameters for shares and limits: each parameter is an element
 * of the definition, by the tables below; what it means for the running machine is domain_tune.c's.
 */
#include <string.h>

#include "manager/domain/domain_tune.h"
#include "manager/rpc/domain_call.h"
#include "manager/xml.h"
#include "wire/libvirt/typed.h"

enum kind { PARAM_U64, PARAM_I64, PARAM_U32, PARAM_TEXT };

static const struct param {
	const char *name, *parent, *element, *attribute; /* attribute NULL: the element's text */
	enum kind kind;
	uint64_t none; /* what is told where the definition says nothing */
} sched_params[] = {
	{ "cpu_shares", "cputune", "shares", NULL, PARAM_U64, 1024 },
	{ "vcpu_period", "cputune", "period", NULL, PARAM_U64, 100000 },
	{ "vcpu_quota", "cputune", "quota", NULL, PARAM_I64, (uint64_t)-1 },
	{ "emulator_period", "cputune", "emulator_period", NULL, PARAM_U64, 100000 },
	{ "emulator_quota", "cputune", "emulator_quota", NULL, PARAM_I64, (uint64_t)-1 },
	{ "global_period", "cputune", "global_period", NULL, PARAM_U64, 100000 },
	{ "global_quota", "cputune", "global_quota", NULL, PARAM_I64, (uint64_t)-1 },
	{ 0 },
}, memory_params[] = {
	{ "hard_limit", "memtune", "hard_limit", NULL, PARAM_U64, 9007199254740991 },
	{ "soft_limit", "memtune", "soft_limit", NULL, PARAM_U64, 9007199254740991 },
	{ "swap_hard_limit", "memtune", "swap_hard_limit", NULL, PARAM_U64, 9007199254740991 },
	{ 0 },
}, blkio_params[] = {
	{ "weight", "blkiotune", "weight", NULL, PARAM_U32, 0 },
	{ 0 },
}, numa_params[] = {
	{ "numa_nodeset", "numatune", "memory", "nodeset", PARAM_TEXT, 0 },
	{ 0 },
};

static unsigned count_of(const struct param *p)
{
	unsigned n = 0;

	while (p[n].name)
		n++;
	return n;
}

static struct domain_config *config_of(struct domain *d, unsigned flags, GError **error)
{
	flags &= AFFECT_LIVE | AFFECT_CONFIG;
	return domain_affect(d, &flags, error) < 0 ? NULL : domain_config_for(d, flags, error);
}

static char *value_of(xmlNode *root, const struct param *p)
{
	xmlNode *parent = xml_child(root, p->parent),
		*n = parent ? xml_child(parent, p->element) : NULL;

	return !n ? NULL : p->attribute ? g_strdup(xml_attr(n, p->attribute)) : xml_text(n);
}

static void tell(struct typed_list *l, const struct param *p, const char *text)
{
	int64_t v = text ? g_ascii_strtoll(text, NULL, 10) : (int64_t)p->none;

	switch (p->kind) {
	case PARAM_U64: typed_u64(l, (uint64_t)v, "%s", p->name); break;
	case PARAM_I64: typed_i64(l, v, "%s", p->name); break;
	case PARAM_U32: typed_u32(l, (uint32_t)v, "%s", p->name); break;
	case PARAM_TEXT: typed_string(l, text ? text : "", "%s", p->name); break;
	}
}

static int get(struct rpc_call *call, const void *args, const struct param *params, int room,
	unsigned flags, struct typed_list *l, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, flags, error) : NULL;
	g_autoptr(xmlDoc) doc = c ? xml_parse(c->xml, "domain", error) : NULL;

	if (!doc)
		return -1;
	for (int i = 0; params[i].name && i < room; i++) {
		g_autofree char *text = value_of(xmlDocGetRootElement(doc), &params[i]);

		tell(l, &params[i], text);
	}
	return 0;
}

struct change {
	const struct param *params;
	const struct remote_typed_param *given;
	uint32_t count;
};

static int write_param(xmlNode *root, const struct param *p, const char *text)
{
	xmlNode *parent = xml_want(root, p->parent), *n = xml_want(parent, p->element);

	if (p->attribute)
		xml_set_attr(n, p->attribute, text);
	else
		xml_set_text(n, text);
	/* The protocol's numbers of memory are KiB. */
	if (strcmp(p->parent, "memtune") == 0)
		xml_set_attr(n, "unit", "KiB");
	return 0;
}

static int edit(xmlNode *root, void *opaque, GError **error)
{
	const struct change *c = opaque;

	for (const struct param *p = c->params; p->name; p++) {
		g_autofree char *text = NULL;
		const char *given = NULL;
		int64_t v = 0;
		int rc = p->kind == PARAM_TEXT
				 ? typed_get_string(c->given, c->count, p->name, &given, error)
				 : typed_get_i64(c->given, c->count, p->name, &v, error);

		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		text = given ? g_strdup(given) : g_strdup_printf("%" G_GINT64_FORMAT, v);
		write_param(root, p, text);
	}
	return 0;
}

static int known(const struct change *c, GError **error)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct param *p = c->params;

		while (p->name && strcmp(p->name, c->given[i].field) != 0)
			p++;
		if (!p->name)
			return refuse(error, MANAGER_ERR_INVALID_ARG,
				"parameter '%.64s' not supported", c->given[i].field);
	}
	return 0;
}

/* Onto the running machine first: what this host does not allow is not kept. */
static int set(struct rpc_call *call, const void *args, const struct param *params,
	const struct remote_typed_param *given, uint32_t count, unsigned flags, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	struct change c = { params, given, count };
	unsigned affect = flags & (AFFECT_LIVE | AFFECT_CONFIG);

	if (!d || known(&c, error) < 0 || domain_affect(d, &affect, error) < 0)
		return -1;
	if (affect & AFFECT_LIVE) {
		auto_config live = domain_config_for(d, AFFECT_LIVE, error);
		auto_config with =
			live ? domain_config_edit(live, CONFIG_LIVE, edit, &c, error) : NULL;

		if (!with || domain_apply_group(d, with, error) < 0)
			return -1;
	}
	return domain_change(d, affect, "tune", edit, &c, error);
}

static int get_scheduler_type(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_domain_get_scheduler_type_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);

	if (!d)
		return -1;
	r->type = g_strdup("posix");
	r->nparams = (int32_t)count_of(sched_params);
	return 0;
}

static int get_sched(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_scheduler_parameters_args *a = args;
	struct remote_domain_get_scheduler_parameters_ret *r = ret;
	struct typed_list l = { 0 };
	int rc = get(call, args, sched_params, a->nparams, 0, &l, error);

	r->params = l.items;
	r->params_count = l.count;
	return rc;
}

static int get_sched_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_scheduler_parameters_flags_args *a = args;
	struct remote_domain_get_scheduler_parameters_flags_ret *r = ret;
	struct typed_list l = { 0 };
	int rc = get(call, args, sched_params, a->nparams, a->flags, &l, error);

	r->params = l.items;
	r->params_count = l.count;
	return rc;
}

static int set_sched(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_scheduler_parameters_args *a = args;

	return set(call, args, sched_params, a->params, a->params_count, 0, error);
}

static int set_sched_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_scheduler_parameters_flags_args *a = args;

	return set(call, args, sched_params, a->params, a->params_count, a->flags, error);
}

static int get_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_memory_parameters_args *a = args;
	struct remote_domain_get_memory_parameters_ret *r = ret;
	struct typed_list l = { 0 };
	int rc = get(call, args, memory_params, a->nparams, a->flags, &l, error);

	r->nparams = (int32_t)count_of(memory_params);
	r->params = l.items;
	r->params_count = l.count;
	return rc;
}

static int set_memory(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_memory_parameters_args *a = args;

	return set(call, args, memory_params, a->params, a->params_count, a->flags, error);
}

static int get_blkio(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_blkio_parameters_args *a = args;
	struct remote_domain_get_blkio_parameters_ret *r = ret;
	struct typed_list l = { 0 };
	int rc = get(call, args, blkio_params, a->nparams, a->flags, &l, error);

	r->nparams = (int32_t)count_of(blkio_params);
	r->params = l.items;
	r->params_count = l.count;
	return rc;
}

static int set_blkio(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_blkio_parameters_args *a = args;

	return set(call, args, blkio_params, a->params, a->params_count, a->flags, error);
}

static int get_numa(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_numa_parameters_args *a = args;
	struct remote_domain_get_numa_parameters_ret *r = ret;
	struct typed_list l = { 0 };
	int rc = get(call, args, numa_params, a->nparams, a->flags, &l, error);

	r->nparams = (int32_t)count_of(numa_params);
	r->params = l.items;
	r->params_count = l.count;
	return rc;
}

/* ---- cards ---- */

static const char *const bandwidth_names[] = { "average", "peak", "burst" };

static int get_interface(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_get_interface_parameters_args *a = args;
	struct remote_domain_get_interface_parameters_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;
	const struct config_device *k = c ? domain_config_nic(c, a->device) : NULL;
	struct typed_list l = { 0 };

	if (!c)
		return -1;
	if (!k)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "Can't find device %s", a->device);
	r->nparams = 6;
	for (unsigned i = 0; i < 6 && (int)i < a->nparams; i++)
		typed_u32(&l, (uint32_t)(&k->nic.in_average)[i], "%s.%s",
			i < 3 ? "inbound" : "outbound", bandwidth_names[i % 3]);
	r->params = l.items;
	r->params_count = l.count;
	return 0;
}

struct bandwidth {
	const struct domain_config *c;
	const struct config_device *k;
	uint64_t values[6];
};

/* The device's own document, with other limits, as update-device takes it. */
static char *interface_xml(const struct bandwidth *b, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(b->c->xml, "domain", error);
	xmlNode *n = doc ? domain_config_element(xmlDocGetRootElement(doc), b->k) : NULL, *w;

	if (!n)
		return NULL;
	xml_remove_child(n, "bandwidth");
	w = xml_add(n, "bandwidth", NULL);
	for (unsigned i = 0; i < 6; i += 3) {
		xmlNode *dir;

		if (!b->values[i])
			continue;
		dir = xml_add(w, i ? "outbound" : "inbound", NULL);
		for (unsigned v = 0; v < 3; v++) {
			if (b->values[i + v])
				xml_set_attr_fmt(dir, bandwidth_names[v], "%" G_GUINT64_FORMAT,
					b->values[i + v]);
		}
	}
	if (!xml_first(w))
		xml_remove(w);
	return xml_format(n);
}

static int set_interface(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_interface_parameters_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_config c = d ? config_of(d, a->flags, error) : NULL;
	struct bandwidth b = { c, c ? domain_config_nic(c, a->device) : NULL };
	g_autofree char *xml = NULL;

	if (!c)
		return -1;
	if (!b.k)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "Can't find device %s", a->device);
	memcpy(b.values, &b.k->nic.in_average, sizeof(b.values));
	for (unsigned i = 0; i < 6; i++) {
		g_autofree char *name = g_strdup_printf(
			"%s.%s", i < 3 ? "inbound" : "outbound", bandwidth_names[i % 3]);

		if (typed_get_u64(a->params, a->params_count, name, &b.values[i], error) < 0)
			return -1;
	}
	xml = interface_xml(&b, error);
	return xml ? domain_update_device(d, xml, a->flags & (AFFECT_LIVE | AFFECT_CONFIG), error)
		   : -1;
}

const struct rpc_procedure rpc_domain_params_procedures[] = {
	{ REMOTE_PROC_DOMAIN_GET_SCHEDULER_TYPE, get_scheduler_type, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS, get_sched, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS, get_sched_flags, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS, set_sched, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS, set_sched_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_MEMORY_PARAMETERS, get_memory, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_MEMORY_PARAMETERS, set_memory, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_BLKIO_PARAMETERS, get_blkio, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_BLKIO_PARAMETERS, set_blkio, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_NUMA_PARAMETERS, get_numa, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_GET_INTERFACE_PARAMETERS, get_interface, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_INTERFACE_PARAMETERS, set_interface, ROLE_ADMIN },
	{},
};
