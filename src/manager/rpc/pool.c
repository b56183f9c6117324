/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c: the calls for storage pools. Spec: libvirt, libvirt-libvirt-storage.html. */
#include "manager/storage/pool.h"

#include <string.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rpc/dispatch.h"
#include "manager/storage/volume.h"
#include "wire/libvirt/protocol.h"

/* virConnectListAllStoragePoolsFlags */
enum {
	LIST_INACTIVE = 1,
	LIST_ACTIVE = 2,
	LIST_PERSISTENT = 4,
	LIST_TRANSIENT = 8,
	LIST_AUTOSTART = 16,
	LIST_NO_AUTOSTART = 32,
	LIST_DIR = 64,
	LIST_ALL = (1 << 20) - 1
};
/* Their types, from LIST_DIR on. */
static const char *const types[] = { "dir", "fs", "netfs", "logical", "disk" };

static struct pool *of(
	struct rpc_call *call, const struct remote_nonnull_storage_pool *p, GError **error)
{
	return pool_find_uuid(call->manager, p->uuid, error);
}

static void name_it(const struct pool *p, struct remote_nonnull_storage_pool *ret)
{
	ret->name = g_strdup(pool_name(p));
	memcpy(ret->uuid, pool_uuid(p), 16);
}

/* Drops the reference. */
static int give(struct pool *p, struct remote_nonnull_storage_pool *ret)
{
	if (!p)
		return -1;
	name_it(p, ret);
	pool_unref(p);
	return 0;
}

static bool listed(const struct pool_info *i, uint32_t flags)
{
	uint32_t type = 0;

	for (unsigned k = 0; k < G_N_ELEMENTS(types); k++)
		type |= strcmp(types[k], i->type) ? 0 : LIST_DIR << k;
	return (!(flags & 3) || flags & (i->state == POOL_RUNNING ? LIST_ACTIVE : LIST_INACTIVE)) &&
	       (!(flags & 12) || flags & (i->persistent ? LIST_PERSISTENT : LIST_TRANSIENT)) &&
	       (!(flags & 48) || flags & (i->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART)) &&
	       (flags < LIST_DIR || flags & type);
}

static GPtrArray *pick(struct rpc_call *call, uint32_t flags)
{
	GPtrArray *all = pools_list(call->manager);

	for (unsigned i = all->len; i-- > 0;) {
		struct pool_info info;

		pool_info(all->pdata[i], &info);
		if (!listed(&info, flags))
			g_ptr_array_remove_index(all, i);
	}
	return all;
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_storage_pools_args *a = args;
	struct remote_connect_list_all_storage_pools_ret *r = ret;
	g_autoptr(GPtrArray) all = NULL;

	if (rpc_no_flags(a->flags, LIST_ALL, error) < 0)
		return -1;
	all = pick(call, a->flags);
	r->ret = all->len;
	if (!a->need_results)
		return 0;
	r->pools = g_new0(struct remote_nonnull_storage_pool, all->len);
	r->pools_count = all->len;
	for (unsigned i = 0; i < all->len; i++)
		name_it(all->pdata[i], &r->pools[i]);
	return 0;
}

static void list_names(
	struct rpc_call *call, uint32_t flags, int32_t most, char ***names, uint32_t *count)
{
	g_autoptr(GPtrArray) all = pick(call, flags);

	*count = MIN(all->len, (unsigned)MAX(most, 0));
	*names = g_new0(char *, *count);
	for (unsigned i = 0; i < *count; i++)
		(*names)[i] = g_strdup(pool_name(all->pdata[i]));
}

static int list_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_storage_pools_ret *r = ret;

	list_names(call, LIST_ACTIVE,
		((const struct remote_connect_list_storage_pools_args *)args)->maxnames, &r->names,
		&r->names_count);
	return 0;
}

static int list_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_defined_storage_pools_ret *r = ret;

	list_names(call, LIST_INACTIVE,
		((const struct remote_connect_list_defined_storage_pools_args *)args)->maxnames,
		&r->names, &r->names_count);
	return 0;
}

static int num_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = pick(call, LIST_ACTIVE);

	((struct remote_connect_num_of_storage_pools_ret *)ret)->num = all->len;
	return 0;
}

static int num_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = pick(call, LIST_INACTIVE);

	((struct remote_connect_num_of_defined_storage_pools_ret *)ret)->num = all->len;
	return 0;
}

static int lookup_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return give(pool_find_name(call->manager,
			    ((const struct remote_storage_pool_lookup_by_name_args *)args)->name,
			    error),
		&((struct remote_storage_pool_lookup_by_name_ret *)ret)->pool);
}

static int lookup_uuid(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return give(pool_find_uuid(call->manager,
			    ((const struct remote_storage_pool_lookup_by_uuid_args *)args)->uuid,
			    error),
		&((struct remote_storage_pool_lookup_by_uuid_ret *)ret)->pool);
}

static int lookup_volume(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_lookup_by_volume_args *a = args;
	struct pool *p = pool_find_name(call->manager, a->vol.pool, error);

	return give(p, &((struct remote_storage_pool_lookup_by_volume_ret *)ret)->pool);
}

static int lookup_target(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_lookup_by_target_path_args *a = args;

	return give(pool_find_target(call->manager, a->path, error),
		&((struct remote_storage_pool_lookup_by_target_path_ret *)ret)->pool);
}

static int define(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_define_xml_args *a = args;

	if (rpc_no_flags(a->flags, 1, error) < 0) /* the check that it asks for is made always */
		return -1;
	return give(pool_define(call->manager, a->xml, error),
		&((struct remote_storage_pool_define_xml_ret *)ret)->pool);
}

static int create_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_create_xml_args *a = args;

	return give(pool_create_transient(call->manager, a->xml, a->flags, error),
		&((struct remote_storage_pool_create_xml_ret *)ret)->pool);
}

/* A call with flags on one pool. */
static int with(struct rpc_call *call, const struct remote_nonnull_storage_pool *name,
	unsigned flags, int (*run)(struct pool *p, unsigned flags, GError **error), GError **error)
{
	struct pool *p = of(call, name, error);
	int err = p ? run(p, flags, error) : -1;

	pool_unref(p);
	return err;
}

static int run_stop(struct pool *p, unsigned flags, GError **error)
{
	return pool_stop(p, error);
}

static int run_undefine(struct pool *p, unsigned flags, GError **error)
{
	return pool_undefine(p, error);
}

static int run_refresh(struct pool *p, unsigned flags, GError **error)
{
	return rpc_no_flags(flags, 0, error) < 0 ? -1 : pool_refresh(p, error);
}

static int run_autostart(struct pool *p, unsigned flags, GError **error)
{
	return pool_set_autostart(p, flags, error);
}

static int create(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_create_args *a = args;

	return with(call, &a->pool, a->flags, pool_start, error);
}

static int build(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_build_args *a = args;

	return with(call, &a->pool, a->flags, pool_build, error);
}

static int delete (struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_delete_args *a = args;

	return with(call, &a->pool, a->flags, pool_delete, error);
}

static int destroy(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return with(call, &((const struct remote_storage_pool_destroy_args *)args)->pool, 0,
		run_stop, error);
}

static int undefine(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return with(call, &((const struct remote_storage_pool_undefine_args *)args)->pool, 0,
		run_undefine, error);
}

static int refresh(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_refresh_args *a = args;

	return with(call, &a->pool, a->flags, run_refresh, error);
}

static int set_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_set_autostart_args *a = args;

	return with(call, &a->pool, a->autostart != 0, run_autostart, error);
}

static int info(struct rpc_call *call, const struct remote_nonnull_storage_pool *name,
	struct pool_info *ret, GError **error)
{
	struct pool *p = of(call, name, error);

	if (!p)
		return -1;
	pool_info(p, ret);
	pool_unref(p);
	return 0;
}

static int get_info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_storage_pool_get_info_ret *r = ret;
	struct pool_info i = { 0 };

	if (info(call, &((const struct remote_storage_pool_get_info_args *)args)->pool, &i, error))
		return -1;
	r->state = i.state;
	r->capacity = i.capacity;
	r->allocation = i.allocation;
	r->available = i.available;
	return 0;
}

static int is_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct pool_info i = { 0 };
	int err = info(
		call, &((const struct remote_storage_pool_is_active_args *)args)->pool, &i, error);

	((struct remote_storage_pool_is_active_ret *)ret)->active = i.state == POOL_RUNNING;
	return err;
}

static int is_persistent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct pool_info i = { 0 };
	int err = info(call, &((const struct remote_storage_pool_is_persistent_args *)args)->pool,
		&i, error);

	((struct remote_storage_pool_is_persistent_ret *)ret)->persistent = i.persistent;
	return err;
}

static int get_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct pool_info i = { 0 };
	int err = info(call, &((const struct remote_storage_pool_get_autostart_args *)args)->pool,
		&i, error);

	((struct remote_storage_pool_get_autostart_ret *)ret)->autostart = i.autostart;
	return err;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_get_xml_desc_args *a = args;
	struct remote_storage_pool_get_xml_desc_ret *r = ret;
	struct pool *p;

	if (rpc_no_flags(a->flags, 1, error) < 0) /* inactive: there is one definition */
		return -1;
	p = of(call, &a->pool, error);
	if (p)
		r->xml = pool_xml_text(p, error);
	pool_unref(p);
	return r->xml ? 0 : -1;
}

/* ---- what is in it ---- */

static int list_volumes(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_list_all_volumes_args *a = args;
	struct remote_storage_pool_list_all_volumes_ret *r = ret;
	struct pool *p;
	g_autoptr(GPtrArray) all = NULL;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	p = of(call, &a->pool, error);
	all = p ? volumes_list(p, error) : NULL;
	if (all) {
		r->ret = all->len;
		r->vols_count = a->need_results ? all->len : 0;
		r->vols = g_new0(struct remote_nonnull_storage_vol, r->vols_count);
	}
	for (unsigned i = 0; all && i < r->vols_count; i++) {
		const struct volume *v = all->pdata[i];

		r->vols[i].pool = g_strdup(pool_name(p));
		r->vols[i].name = g_strdup(v->name);
		r->vols[i].key = g_strdup(v->key);
	}
	pool_unref(p);
	return all ? 0 : -1;
}

static int list_volume_names(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_pool_list_volumes_args *a = args;
	struct remote_storage_pool_list_volumes_ret *r = ret;
	struct pool *p = of(call, &a->pool, error);
	g_autoptr(GPtrArray) all = p ? volumes_list(p, error) : NULL;

	pool_unref(p);
	if (!all)
		return -1;
	r->names_count = MIN(all->len, (unsigned)MAX(a->maxnames, 0));
	r->names = g_new0(char *, r->names_count);
	for (unsigned i = 0; i < r->names_count; i++)
		r->names[i] = g_strdup(((const struct volume *)all->pdata[i])->name);
	return 0;
}

static int num_volumes(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct pool *p = of(
		call, &((const struct remote_storage_pool_num_of_volumes_args *)args)->pool, error);
	g_autoptr(GPtrArray) all = p ? volumes_list(p, error) : NULL;

	pool_unref(p);
	if (!all)
		return -1;
	((struct remote_storage_pool_num_of_volumes_ret *)ret)->num = all->len;
	return 0;
}

static int find_sources(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_find_storage_pool_sources_args *a = args;
	struct remote_connect_find_storage_pool_sources_ret *r = ret;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	r->xml = pool_find_sources(call->manager, a->type, a->srcSpec, error);
	return r->xml ? 0 : -1;
}

static int capabilities(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_get_storage_pool_capabilities_args *a = args;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	((struct remote_connect_get_storage_pool_capabilities_ret *)ret)->capabilities =
		pool_capabilities();
	return 0;
}

const struct rpc_procedure rpc_pool_procedures[] = {
	{ REMOTE_PROC_CONNECT_LIST_ALL_STORAGE_POOLS, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_STORAGE_POOLS, list_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_DEFINED_STORAGE_POOLS, list_defined, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_STORAGE_POOLS, num_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_DEFINED_STORAGE_POOLS, num_defined, ROLE_READ },
	{ REMOTE_PROC_CONNECT_FIND_STORAGE_POOL_SOURCES, find_sources, ROLE_ADMIN },
	{ REMOTE_PROC_CONNECT_GET_STORAGE_POOL_CAPABILITIES, capabilities, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_NAME, lookup_name, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_UUID, lookup_uuid, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_VOLUME, lookup_volume, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_TARGET_PATH, lookup_target, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_DEFINE_XML, define, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_CREATE_XML, create_xml, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_CREATE, create, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_BUILD, build, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_DELETE, delete, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_DESTROY, destroy, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_UNDEFINE, undefine, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_REFRESH, refresh, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_POOL_GET_INFO, get_info, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_IS_ACTIVE, is_active, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_IS_PERSISTENT, is_persistent, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_GET_AUTOSTART, get_autostart, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_SET_AUTOSTART, set_autostart, ROLE_ADMIN },
	{ REMOTE_PROC_STORAGE_POOL_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LIST_ALL_VOLUMES, list_volumes, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_LIST_VOLUMES, list_volume_names, ROLE_READ },
	{ REMOTE_PROC_STORAGE_POOL_NUM_OF_VOLUMES, num_volumes, ROLE_READ },
	{},
};
