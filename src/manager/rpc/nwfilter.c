/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nwfilter.c: the calls for filters and what cards use them. Spec: libvirt,
 * libvirt-libvirt-nwfilter.html. */
#include <string.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/network/network.h"
#include "manager/network/nwfilter.h"
#include "manager/rpc/dispatch.h"
#include "manager/xmlrule.h"
#include "wire/libvirt/protocol.h"

enum { ERR_NO_NWFILTER_BINDING = 101 };

static void name_it(const struct nwfilter *f, struct remote_nonnull_nwfilter *ret)
{
	ret->name = g_strdup(nwfilter_name(f));
	memcpy(ret->uuid, nwfilter_uuid(f), 16);
}

/* Drops the reference. */
static int give(struct nwfilter *f, struct remote_nonnull_nwfilter *ret)
{
	if (!f)
		return -1;
	name_it(f, ret);
	nwfilter_unref(f);
	return 0;
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_nwfilters_args *a = args;
	struct remote_connect_list_all_nwfilters_ret *r = ret;
	g_autoptr(GPtrArray) all = nwfilters_list(call->manager);

	r->ret = all->len;
	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	if (!a->need_results)
		return 0;
	r->filters = g_new0(struct remote_nonnull_nwfilter, all->len);
	r->filters_count = all->len;
	for (unsigned i = 0; i < all->len; i++)
		name_it(all->pdata[i], &r->filters[i]);
	return 0;
}

static int list_names(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_nwfilters_args *a = args;
	struct remote_connect_list_nwfilters_ret *r = ret;
	g_autoptr(GPtrArray) all = nwfilters_list(call->manager);

	r->names_count = MIN(all->len, (unsigned)MAX(a->maxnames, 0));
	r->names = g_new0(char *, r->names_count);
	for (unsigned i = 0; i < r->names_count; i++)
		r->names[i] = g_strdup(nwfilter_name(all->pdata[i]));
	return 0;
}

static int num(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = nwfilters_list(call->manager);

	((struct remote_connect_num_of_nwfilters_ret *)ret)->num = all->len;
	return 0;
}

static int lookup_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_lookup_by_name_args *a = args;

	return give(nwfilter_find_name(call->manager, a->name, error),
		&((struct remote_nwfilter_lookup_by_name_ret *)ret)->nwfilter);
}

static int lookup_uuid(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_lookup_by_uuid_args *a = args;

	return give(nwfilter_find_uuid(call->manager, a->uuid, error),
		&((struct remote_nwfilter_lookup_by_uuid_ret *)ret)->nwfilter);
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_get_xml_desc_args *a = args;
	struct nwfilter *f;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	f = nwfilter_find_uuid(call->manager, a->nwfilter.uuid, error);
	if (!f)
		return -1;
	((struct remote_nwfilter_get_xml_desc_ret *)ret)->xml = nwfilter_xml_text(f);
	nwfilter_unref(f);
	return 0;
}

static int define(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_define_xml_args *a = args;

	return give(nwfilter_define(call->manager, a->xml, false, error),
		&((struct remote_nwfilter_define_xml_ret *)ret)->nwfilter);
}

static int define_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_define_xml_flags_args *a = args;

	/* The only flag asks for a check of the form, which is made always. */
	if (rpc_no_flags(a->flags, 1, error) < 0)
		return -1;
	return give(nwfilter_define(call->manager, a->xml, false, error),
		&((struct remote_nwfilter_define_xml_flags_ret *)ret)->nwfilter);
}

static int undefine(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_undefine_args *a = args;
	struct nwfilter *f = nwfilter_find_uuid(call->manager, a->nwfilter.uuid, error);
	int err = f ? nwfilter_undefine(call->manager, f, error) : -1;

	nwfilter_unref(f);
	return err;
}

/* ---- bindings: made and ended by machines, shown here ---- */

static void name_binding(
	const struct network_binding *b, struct remote_nonnull_nwfilter_binding *ret)
{
	ret->portdev = g_strdup(b->device);
	ret->filtername = g_strdup(b->filter);
}

static const struct network_binding *find(GPtrArray *all, const char *device, GError **error)
{
	for (unsigned i = 0; i < all->len; i++) {
		const struct network_binding *b = all->pdata[i];

		if (!strcmp(b->device, device))
			return b;
	}
	refuse(error, (enum manager_error)ERR_NO_NWFILTER_BINDING, "no filter is bound to '%.60s'",
		device);
	return NULL;
}

static int list_bindings(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_nwfilter_bindings_args *a = args;
	struct remote_connect_list_all_nwfilter_bindings_ret *r = ret;
	g_autoptr(GPtrArray) all = network_bindings(call->manager);

	r->ret = all->len;
	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	if (!a->need_results)
		return 0;
	r->bindings = g_new0(struct remote_nonnull_nwfilter_binding, all->len);
	r->bindings_count = all->len;
	for (unsigned i = 0; i < all->len; i++)
		name_binding(all->pdata[i], &r->bindings[i]);
	return 0;
}

static int lookup_binding(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_binding_lookup_by_port_dev_args *a = args;
	g_autoptr(GPtrArray) all = network_bindings(call->manager);
	const struct network_binding *b = find(all, a->name, error);

	if (!b)
		return -1;
	name_binding(b, &((struct remote_nwfilter_binding_lookup_by_port_dev_ret *)ret)->nwfilter);
	return 0;
}

static int binding_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_nwfilter_binding_get_xml_desc_args *a = args;
	g_autoptr(GPtrArray) all = network_bindings(call->manager);
	const struct network_binding *b = find(all, a->nwfilter.portdev, error);
	g_autoptr(xmlDoc) doc = NULL;
	GHashTableIter it;
	gpointer k, v;
	xmlNode *root;
	char text[37];

	if (!b || rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	doc = xmlNewDoc((const xmlChar *)"1.0");
	root = xmlNewNode(NULL, (const xmlChar *)"filterbinding");
	xmlDocSetRootElement(doc, root);
	uuid_format(b->owner, text);
	xml_set(root, "owner/name", b->owner_name ? b->owner_name : "");
	xml_set(root, "owner/uuid", text);
	xml_set(root, "portdev/@name", b->device);
	mac_format(b->mac, text);
	xml_set(root, "mac/@address", text);
	xml_set(root, "filterref/@filter", b->filter);
	if (b->parameters) {
		g_hash_table_iter_init(&it, b->parameters);
		while (g_hash_table_iter_next(&it, &k, &v)) {
			g_auto(GStrv) values = g_strsplit(v, ",", -1);

			for (unsigned i = 0; values[i]; i++) {
				xmlNode *p =
					xml_add(xml_child(root, "filterref"), "parameter", NULL);

				xml_set_attr(p, "name", k);
				xml_set_attr(p, "value", values[i]);
			}
		}
	}
	((struct remote_nwfilter_binding_get_xml_desc_ret *)ret)->xml = xml_format(root);
	return 0;
}

const struct rpc_procedure rpc_nwfilter_procedures[] = {
	{ REMOTE_PROC_CONNECT_LIST_ALL_NWFILTERS, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_NWFILTERS, list_names, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_NWFILTERS, num, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_LOOKUP_BY_NAME, lookup_name, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_LOOKUP_BY_UUID, lookup_uuid, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_DEFINE_XML, define, ROLE_ADMIN },
	{ REMOTE_PROC_NWFILTER_DEFINE_XML_FLAGS, define_flags, ROLE_ADMIN },
	{ REMOTE_PROC_NWFILTER_UNDEFINE, undefine, ROLE_ADMIN },
	{ REMOTE_PROC_CONNECT_LIST_ALL_NWFILTER_BINDINGS, list_bindings, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_BINDING_LOOKUP_BY_PORT_DEV, lookup_binding, ROLE_READ },
	{ REMOTE_PROC_NWFILTER_BINDING_GET_XML_DESC, binding_xml, ROLE_READ },
	{},
};
