/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c: calls about machines' snapshots. */
#include <string.h>

#include "manager/domain/domain_snapshot.h"
#include "manager/rpc/domain_call.h"

enum {
	LIST_ROOTS = 1,
	LIST_DESCENDANTS = 1,
	LIST_METADATA = 2,
	LIST_LEAVES = 4,
	LIST_NO_LEAVES = 8,
	LIST_NO_METADATA = 16,
	LIST_INACTIVE = 32,
	LIST_ACTIVE = 64,
	LIST_DISK_ONLY = 128,
	LIST_INTERNAL = 256,
	LIST_EXTERNAL = 512,
	LIST_KNOWN = 2047
};

/* Ours are all of machines that were off, inside images, with metadata. */
static bool kind_chosen(unsigned flags)
{
	unsigned states = flags & (LIST_INACTIVE | LIST_ACTIVE | LIST_DISK_ONLY);
	unsigned places = flags & (LIST_INTERNAL | LIST_EXTERNAL);
	unsigned known = flags & (LIST_METADATA | LIST_NO_METADATA);

	return (!states || states & LIST_INACTIVE) && (!places || places & LIST_INTERNAL) &&
	       (!known || known & LIST_METADATA);
}

static bool is_below(const GPtrArray *all, const struct domain_snapshot *s, const char *root)
{
	const char *parent = s->parent;

	for (guint depth = 0; parent && depth <= all->len; depth++) {
		const char *next = NULL;

		if (strcmp(parent, root) == 0)
			return true;
		for (guint i = 0; i < all->len; i++) {
			const struct domain_snapshot *o = g_ptr_array_index(all, i);

			if (strcmp(o->name, parent) == 0)
				next = o->parent;
		}
		parent = next;
	}
	return false;
}

/* The snapshots that flags choose, of all (below NULL) or those below one. Free the array. */
static GPtrArray *chosen(const GPtrArray *all, const char *below, unsigned flags)
{
	GPtrArray *list = g_ptr_array_new();

	for (guint i = 0; kind_chosen(flags) && i < all->len; i++) {
		struct domain_snapshot *s = g_ptr_array_index(all, i);
		bool leaf = !domain_snapshot_has_children(all, s->name);

		if (below ? !(flags & LIST_DESCENDANTS ? is_below(all, s, below)
						       : g_strcmp0(s->parent, below) == 0)
			  : flags & LIST_ROOTS && s->parent)
			continue;
		if (flags & (LIST_LEAVES | LIST_NO_LEAVES) &&
			!(flags & (leaf ? LIST_LEAVES : LIST_NO_LEAVES)))
			continue;
		g_ptr_array_add(list, s);
	}
	return list;
}

static void fill(struct domain *d, const char *name, struct remote_nonnull_domain_snapshot *out)
{
	out->name = g_strdup(name);
	rpc_domain_fill(d, &out->dom);
}

/* The machine and the name that the arguments begin with. */
static struct domain_snapshot *find(
	struct rpc_call *call, const void *args, struct domain **ret_domain, GError **error)
{
	const struct remote_nonnull_domain_snapshot *snap = args;

	*ret_domain = domain_find_uuid(call->manager, snap->dom.uuid, error);
	return *ret_domain ? domain_snapshot_find(*ret_domain, snap->name, error) : NULL;
}

static void unref_snapshot(struct domain_snapshot **s)
{
	domain_snapshot_unref(*s);
}
#define auto_snapshot __attribute__((cleanup(unref_snapshot))) struct domain_snapshot *

static int create_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_create_xml_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_snapshot s = NULL;

	if (!d || domain_snapshot_create(d, a->xml_desc, a->flags, &s, error) < 0)
		return -1;
	fill(d, s->name, &((struct remote_domain_snapshot_create_xml_ret *)ret)->snap);
	return 0;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);

	((struct remote_domain_snapshot_get_xml_desc_ret *)ret)->xml = s ? g_strdup(s->xml) : NULL;
	return s ? 0 : -1;
}

static int num(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_num_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	g_autoptr(GPtrArray) all = d ? domain_snapshots(d) : NULL, list = NULL;

	if (!d || rpc_no_flags(a->flags, LIST_KNOWN, error) < 0)
		return -1;
	list = chosen(all, NULL, a->flags);
	((struct remote_domain_snapshot_num_ret *)ret)->num = (int32_t)list->len;
	return 0;
}

static int list_names(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_list_names_args *a = args;
	struct remote_domain_snapshot_list_names_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	g_autoptr(GPtrArray) all = d ? domain_snapshots(d) : NULL, list = NULL;

	if (!d || rpc_no_flags(a->flags, LIST_KNOWN, error) < 0)
		return -1;
	list = chosen(all, NULL, a->flags);
	r->names = g_new0(char *, list->len + 1);
	for (guint i = 0; i < list->len && (int)i < a->maxnames; i++)
		r->names[r->names_count++] =
			g_strdup(((struct domain_snapshot *)list->pdata[i])->name);
	return 0;
}

static uint32_t fill_list(struct domain *d, const GPtrArray *list, bool wanted,
	struct remote_nonnull_domain_snapshot **out)
{
	if (!wanted)
		return 0;
	*out = g_new0(struct remote_nonnull_domain_snapshot, list->len);
	for (guint i = 0; i < list->len; i++)
		fill(d, ((struct domain_snapshot *)list->pdata[i])->name, &(*out)[i]);
	return list->len;
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_list_all_snapshots_args *a = args;
	struct remote_domain_list_all_snapshots_ret *r = ret;
	auto_domain d = rpc_domain(call, args, error);
	g_autoptr(GPtrArray) all = d ? domain_snapshots(d) : NULL, list = NULL;

	if (!d || rpc_no_flags(a->flags, LIST_KNOWN, error) < 0)
		return -1;
	list = chosen(all, NULL, a->flags);
	r->ret = (int32_t)list->len;
	r->snapshots_count = fill_list(d, list, a->need_results, &r->snapshots);
	return 0;
}

static int num_children(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_num_children_args *a = args;
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);
	g_autoptr(GPtrArray) all = s ? domain_snapshots(d) : NULL, list = NULL;

	if (!s)
		return -1;
	list = chosen(all, s->name, a->flags);
	((struct remote_domain_snapshot_num_children_ret *)ret)->num = (int32_t)list->len;
	return 0;
}

static int list_children(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_list_all_children_args *a = args;
	struct remote_domain_snapshot_list_all_children_ret *r = ret;
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);
	g_autoptr(GPtrArray) all = s ? domain_snapshots(d) : NULL, list = NULL;

	if (!s)
		return -1;
	list = chosen(all, s->name, a->flags);
	r->ret = (int32_t)list->len;
	r->snapshots_count = fill_list(d, list, a->need_results, &r->snapshots);
	return 0;
}

static int lookup(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_lookup_by_name_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	auto_snapshot s = d ? domain_snapshot_find(d, a->name, error) : NULL;

	if (!s)
		return -1;
	fill(d, s->name, &((struct remote_domain_snapshot_lookup_by_name_ret *)ret)->snap);
	return 0;
}

static int has_current(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_snapshot s = d ? domain_snapshot_find(d, NULL, NULL) : NULL;

	((struct remote_domain_has_current_snapshot_ret *)ret)->result = s != NULL;
	return d ? 0 : -1;
}

static int current(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_snapshot s = d ? domain_snapshot_find(d, NULL, error) : NULL;

	if (!s)
		return -1;
	fill(d, s->name, &((struct remote_domain_snapshot_current_ret *)ret)->snap);
	return 0;
}

static int get_parent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);

	if (!s)
		return -1;
	if (!s->parent)
		return refuse(error, MANAGER_ERR_NO_SNAPSHOT,
			"snapshot '%s' does not have a parent", s->name);
	fill(d, s->parent, &((struct remote_domain_snapshot_get_parent_ret *)ret)->snap);
	return 0;
}

static int is_current(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);

	((struct remote_domain_snapshot_is_current_ret *)ret)->current = s && s->current;
	return s ? 0 : -1;
}

static int has_metadata(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = NULL;
	auto_snapshot s = find(call, args, &d, error);

	((struct remote_domain_snapshot_has_metadata_ret *)ret)->metadata = s != NULL;
	return s ? 0 : -1;
}

static int revert(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_revert_to_snapshot_args *a = args;
	auto_domain d = domain_find_uuid(call->manager, a->snap.dom.uuid, error);

	if (!d || rpc_no_flags(a->flags, 7, error) < 0)
		return -1;
	return domain_snapshot_revert(d, a->snap.name, a->flags, error);
}

static int delete (struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_snapshot_delete_args *a = args;
	auto_domain d = domain_find_uuid(call->manager, a->snap.dom.uuid, error);

	if (!d || rpc_no_flags(a->flags, 7, error) < 0)
		return -1;
	return domain_snapshot_delete(d, a->snap.name, a->flags, error);
}

const struct rpc_procedure rpc_snapshot_procedures[] = {
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_CREATE_XML, create_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_NUM, num, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_LIST_NAMES, list_names, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_LIST_ALL_SNAPSHOTS, list_all, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_NUM_CHILDREN, num_children, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_LIST_ALL_CHILDREN, list_children, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_LOOKUP_BY_NAME, lookup, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_HAS_CURRENT_SNAPSHOT, has_current, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_CURRENT, current, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_GET_PARENT, get_parent, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_IS_CURRENT, is_current, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_HAS_METADATA, has_metadata, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_REVERT_TO_SNAPSHOT, revert, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_SNAPSHOT_DELETE, delete, ROLE_ADMIN },
	{},
};
