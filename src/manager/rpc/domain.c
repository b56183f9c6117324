/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain.c: calls that find machines and move them through their life. */
#include <string.h>

#include "manager/manager.h"
#include "manager/rpc/domain_call.h"

char *rpc_machine_name(struct manager *m, const struct remote_nonnull_domain *dom)
{
	auto_domain d = m->domains ? domain_find_uuid(m, dom->uuid, NULL) : NULL;
	auto_view v = { 0 };

	if (!d)
		return NULL;
	domain_view(d, &v);
	return g_steal_pointer(&v.name);
}

struct domain *rpc_domain(struct rpc_call *call, const void *args, GError **error)
{
	const struct remote_nonnull_domain *dom = args;

	return domain_find_uuid(call->manager, dom->uuid, error);
}

void rpc_domain_fill(struct domain *d, struct remote_nonnull_domain *out)
{
	auto_view v = { 0 };

	domain_view(d, &v);
	out->name = g_steal_pointer(&v.name);
	memcpy(out->uuid, v.uuid, 16);
	out->id = v.id;
}

bool rpc_domain_visible(struct rpc_call *call, const char *name)
{
	const struct caller *c = call->caller;
	gpointer own;

	if (c->roles && g_hash_table_lookup_extended(c->roles, name, NULL, &own))
		return GPOINTER_TO_UINT(own) >= ROLE_READ;
	return c->role >= ROLE_READ;
}

int rpc_no_flags(uint32_t flags, uint32_t known, GError **error)
{
	return flags & ~known ? refuse(error, MANAGER_ERR_INVALID_ARG, "unsupported flags (0x%x)",
					flags & ~known)
			      : 0;
}

/* ---- finding ---- */

enum list_flags {
	LIST_ACTIVE = 1,
	LIST_INACTIVE = 2,
	LIST_PERSISTENT = 4,
	LIST_TRANSIENT = 8,
	LIST_RUNNING = 16,
	LIST_PAUSED = 32,
	LIST_SHUTOFF = 64,
	LIST_OTHER = 128,
	LIST_MANAGEDSAVE = 256,
	LIST_NO_MANAGEDSAVE = 512,
	LIST_AUTOSTART = 1024,
	LIST_NO_AUTOSTART = 2048,
	LIST_HAS_SNAPSHOT = 4096,
	LIST_NO_SNAPSHOT = 8192
};

/* A pair of flags chooses only when one of the two is set. */
static bool pair(unsigned flags, unsigned yes, unsigned no, bool is)
{
	return !(flags & (yes | no)) || (flags & (is ? yes : no));
}

static bool chosen(const struct domain_view *v, unsigned flags)
{
	unsigned states = flags & (LIST_RUNNING | LIST_PAUSED | LIST_SHUTOFF | LIST_OTHER);
	unsigned state = v->state == DOMAIN_RUNNING   ? LIST_RUNNING
			 : v->state == DOMAIN_PAUSED  ? LIST_PAUSED
			 : v->state == DOMAIN_SHUTOFF ? LIST_SHUTOFF
						      : LIST_OTHER;

	return pair(flags, LIST_ACTIVE, LIST_INACTIVE, v->active) &&
	       pair(flags, LIST_PERSISTENT, LIST_TRANSIENT, v->persistent) &&
	       /* the one that takes a system call */
	       (!(flags & (LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE)) ||
		       pair(flags, LIST_MANAGEDSAVE, LIST_NO_MANAGEDSAVE, domain_view_saved(v))) &&
	       pair(flags, LIST_AUTOSTART, LIST_NO_AUTOSTART, v->autostart) &&
	       (!states || states & state);
}

/* Calls fn for each machine that the caller may see and flags choose. */
static void each(struct rpc_call *call, unsigned flags,
	void (*fn)(struct domain *d, const struct domain_view *v, void *opaque), void *opaque)
{
	g_autoptr(GPtrArray) all = domains_list(call->manager);

	for (guint i = 0; i < all->len; i++) {
		struct domain *d = g_ptr_array_index(all, i);
		auto_view v = { 0 };

		domain_view(d, &v);
		if (rpc_domain_visible(call, v.name) && chosen(&v, flags) &&
			(!(flags & (LIST_HAS_SNAPSHOT | LIST_NO_SNAPSHOT)) ||
				pair(flags, LIST_HAS_SNAPSHOT, LIST_NO_SNAPSHOT,
					domain_has_snapshots(d))))
			fn(d, &v, opaque);
	}
}

static void add_reference(struct domain *d, const struct domain_view *v, void *opaque)
{
	g_ptr_array_add(opaque, domain_ref(d));
}

GPtrArray *rpc_domains_chosen(struct rpc_call *call, unsigned flags)
{
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)domain_unref);

	each(call, flags, add_reference, list);
	return list;
}

static void add_handle(struct domain *d, const struct domain_view *v, void *opaque)
{
	struct remote_nonnull_domain dom = { g_strdup(v->name), { 0 }, v->id };

	memcpy(dom.uuid, v->uuid, 16);
	g_array_append_val((GArray *)opaque, dom);
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_domains_args *a = args;
	struct remote_connect_list_all_domains_ret *r = ret;
	g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(struct remote_nonnull_domain));

	each(call, a->flags, add_handle, list);
	r->ret = list->len;
	r->domains_count = list->len;
	r->domains = (struct remote_nonnull_domain *)g_array_steal(list, NULL);
	if (!a->need_results) {
		for (uint32_t i = 0; i < r->domains_count; i++)
			g_free(r->domains[i].name);
		g_clear_pointer(&r->domains, g_free);
		r->domains_count = 0;
	}
	return 0;
}

static void add_id(struct domain *d, const struct domain_view *v, void *opaque)
{
	g_array_append_val((GArray *)opaque, v->id);
}

static void add_name(struct domain *d, const struct domain_view *v, void *opaque)
{
	char *name = g_strdup(v->name);

	g_array_append_val((GArray *)opaque, name);
}

static int list_ids(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_domains_args *a = args;
	struct remote_connect_list_domains_ret *r = ret;
	g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(int));

	each(call, LIST_ACTIVE, add_id, list);
	r->ids_count = MIN(list->len, (guint)MAX(a->maxids, 0));
	r->ids = (int32_t *)g_array_steal(list, NULL);
	return 0;
}

static int list_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_defined_domains_args *a = args;
	struct remote_connect_list_defined_domains_ret *r = ret;
	g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(char *));
	guint max = (guint)MAX(a->maxnames, 0);

	each(call, LIST_INACTIVE, add_name, list);
	for (guint i = max; i < list->len; i++)
		g_free(g_array_index(list, char *, i));
	r->names_count = MIN(list->len, max);
	r->names = (char **)g_array_steal(list, NULL);
	return 0;
}

static void count_one(struct domain *d, const struct domain_view *v, void *opaque)
{
	++*(int32_t *)opaque;
}

static int num_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	each(call, LIST_ACTIVE, count_one, &((struct remote_connect_num_of_domains_ret *)ret)->num);
	return 0;
}

static int num_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	each(call, LIST_INACTIVE, count_one,
		&((struct remote_connect_num_of_defined_domains_ret *)ret)->num);
	return 0;
}

/* Fills the handle and lets go of the reference; NULL: not found, or not for this caller. */
static int found(
	struct rpc_call *call, struct domain *d, struct remote_nonnull_domain *out, GError **error)
{
	if (!d)
		return -1;
	rpc_domain_fill(d, out);
	domain_unref(d);
	return caller_check(call->caller, ROLE_READ, out->name, "look up", error);
}

static int by_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_lookup_by_name_args *a = args;

	return found(call, domain_find_name(call->manager, a->name, error), ret, error);
}

static int by_uuid(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_lookup_by_uuid_args *a = args;

	return found(call, domain_find_uuid(call->manager, a->uuid, error), ret, error);
}

static int by_id(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_lookup_by_id_args *a = args;

	return found(call, domain_find_id(call->manager, a->id, error), ret, error);
}

/* ---- definitions ---- */

enum { DEFINE_VALIDATE = 1 };

static int define(
	struct rpc_call *call, const char *xml, struct remote_nonnull_domain *out, GError **error)
{
	auto_domain d = NULL;

	if (domain_define(call->manager, xml, &d, error) < 0)
		return -1;
	rpc_domain_fill(d, out);
	return 0;
}

static int define_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return define(call, ((const struct remote_domain_define_xml_args *)args)->xml, ret, error);
}

static int define_xml_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_define_xml_flags_args *a = args;

	if (rpc_no_flags(a->flags, DEFINE_VALIDATE, error) < 0)
		return -1;
	return define(call, a->xml, ret, error);
}

static int undefine(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_undefine(d, 0, error) : -1;
}

static int undefine_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_undefine_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d && rpc_no_flags(a->flags, 127, error) == 0 ? domain_undefine(d, a->flags, error)
							    : -1;
}

static int rename_it(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_rename_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	if (!a->new_name)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "the new name is missing");
	return domain_rename(d, a->new_name, error);
}

static int get_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);
	auto_view v = { 0 };

	if (!d)
		return -1;
	domain_view(d, &v);
	((struct remote_domain_get_autostart_ret *)ret)->autostart = v.autostart;
	return 0;
}

static int set_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_set_autostart_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_set_autostart(d, a->autostart != 0, error) : -1;
}

/* ---- life ---- */

static int create_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_create_xml_args *a = args;
	auto_domain d = NULL;

	if (domain_create_xml(call->manager, a->xml_desc, a->flags, &d, error) < 0)
		return -1;
	rpc_domain_fill(d, ret);
	return 0;
}

static int create(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_start(d, 0, error) : -1;
}

static int create_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_create_with_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || domain_start(d, a->flags, error) < 0)
		return -1;
	rpc_domain_fill(d, ret);
	return 0;
}

static int shutdown_it(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_shutdown(d, error) : -1;
}

enum { SHUTDOWN_ACPI = 1, SHUTDOWN_AGENT = 2 };

static int no_agent(uint32_t flags, GError **error)
{
	if (rpc_no_flags(flags, 31, error) < 0)
		return -1;
	if (flags && !(flags & SHUTDOWN_ACPI))
		return refuse(error,
			flags & SHUTDOWN_AGENT ? MANAGER_ERR_AGENT_UNRESPONSIVE
					       : MANAGER_ERR_ARGUMENT_UNSUPPORTED,
			flags & SHUTDOWN_AGENT ? "QEMU guest agent is not connected"
					       : "Lodge has the power button (acpi) only");
	return 0;
}

static int shutdown_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_shutdown_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d && no_agent(a->flags, error) == 0 ? domain_shutdown(d, error) : -1;
}

static int reboot(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_reboot_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d && no_agent(a->flags, error) == 0 ? domain_reboot(d, error) : -1;
}

static int reset(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_reset(d, error) : -1;
}

static int destroy(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_destroy(d, false, error) : -1;
}

static int destroy_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_destroy_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d && rpc_no_flags(a->flags, 3, error) == 0 ? domain_destroy(d, a->flags & 1, error)
							  : -1;
}

static int suspend(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_suspend(d, error) : -1;
}

static int resume(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_resume(d, error) : -1;
}

const struct rpc_procedure rpc_domain_procedures[] = {
	{ REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_DOMAINS, list_ids, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_DEFINED_DOMAINS, list_defined, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_DOMAINS, num_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_DEFINED_DOMAINS, num_defined, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME, by_name, ROLE_NONE },
	{ REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID, by_uuid, ROLE_NONE },
	{ REMOTE_PROC_DOMAIN_LOOKUP_BY_ID, by_id, ROLE_NONE },
	{ REMOTE_PROC_DOMAIN_DEFINE_XML, define_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS, define_xml_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_UNDEFINE, undefine, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_UNDEFINE_FLAGS, undefine_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_RENAME, rename_it, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_GET_AUTOSTART, get_autostart, ROLE_READ },
	{ REMOTE_PROC_DOMAIN_SET_AUTOSTART, set_autostart, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_CREATE_XML, create_xml, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_CREATE, create, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_CREATE_WITH_FLAGS, create_flags, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SHUTDOWN, shutdown_it, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SHUTDOWN_FLAGS, shutdown_flags, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_REBOOT, reboot, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_RESET, reset, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_DESTROY, destroy, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_DESTROY_FLAGS, destroy_flags, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_SUSPEND, suspend, ROLE_OPERATE },
	{ REMOTE_PROC_DOMAIN_RESUME, resume, ROLE_OPERATE },
	{},
};

/* ---- libvirt's QEMU program ---- */

static int monitor_command(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct qemu_domain_monitor_command_args *a = args;
	auto_domain d = rpc_domain(call, args, error);
	char *result;

	if (!d)
		return -1;
	if (a->flags & 1) /* HMP */
		return refuse(error, MANAGER_ERR_ARGUMENT_UNSUPPORTED, "lodge-vm speaks QMP only");
	result = domain_qmp_text(d, a->cmd, error);
	((struct qemu_domain_monitor_command_ret *)ret)->result = result;
	return result ? 0 : -1;
}

const struct rpc_procedure rpc_qemu_procedures[] = {
	{ QEMU_PROC_DOMAIN_MONITOR_COMMAND, monitor_command, ROLE_ADMIN },
	{},
};
