/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.c: the calls for secrets. */
#include "manager/secret.h"

#include <string.h>

#include "manager/error.h"
#include "manager/ids.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/protocol.h"

/* libvirt's virConnectListAllSecretsFlags */
enum {
	LIST_EPHEMERAL = 1,
	LIST_NO_EPHEMERAL = 2,
	LIST_PRIVATE = 4,
	LIST_NO_PRIVATE = 8,
	LIST_ALL = 15
};

/* Takes what the info owns. */
static void name_it(struct secret_info *i, struct remote_nonnull_secret *ret)
{
	memcpy(ret->uuid, i->uuid, 16);
	ret->usageType = (int32_t)i->usage;
	ret->usageID = i->usage_id ? g_steal_pointer(&i->usage_id) : g_strdup("");
}

static int lookup_by_uuid(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_secret_lookup_by_uuid_args *a = args;
	struct secret_info info;

	if (secret_find(call->manager, a->uuid, &info, error) < 0)
		return -1;
	name_it(&info, &((struct remote_secret_lookup_by_uuid_ret *)ret)->secret);
	return 0;
}

static int lookup_by_usage(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_secret_lookup_by_usage_args *a = args;
	struct secret_info info;

	if (secret_find_usage(
		    call->manager, (enum secret_usage)a->usageType, a->usageID, &info, error) < 0)
		return -1;
	name_it(&info, &((struct remote_secret_lookup_by_usage_ret *)ret)->secret);
	return 0;
}

static bool listed(const struct secret_info *i, uint32_t flags)
{
	return (!(flags & 3) || flags & (i->ephemeral ? LIST_EPHEMERAL : LIST_NO_EPHEMERAL)) &&
	       (!(flags & 12) || flags & (i->private ? LIST_PRIVATE : LIST_NO_PRIVATE));
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_secrets_args *a = args;
	struct remote_connect_list_all_secrets_ret *r = ret;
	g_autoptr(GPtrArray) all = secrets_list(call->manager);

	if (a->flags & ~LIST_ALL)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", a->flags);
	r->secrets = g_new0(struct remote_nonnull_secret, all->len);
	for (guint i = 0; i < all->len; i++) {
		if (listed(all->pdata[i], a->flags))
			name_it(all->pdata[i], &r->secrets[r->secrets_count++]);
	}
	r->ret = r->secrets_count;
	return 0;
}

static int count(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = secrets_list(call->manager);

	((struct remote_connect_num_of_secrets_ret *)ret)->num = (int32_t)all->len;
	return 0;
}

static int list_uuids(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_secrets_args *a = args;
	struct remote_connect_list_secrets_ret *r = ret;
	g_autoptr(GPtrArray) all = secrets_list(call->manager);

	r->uuids_count = MIN(all->len, (guint)MAX(a->maxuuids, 0));
	r->uuids = g_new0(char *, r->uuids_count);
	for (uint32_t i = 0; i < r->uuids_count; i++) {
		r->uuids[i] = g_malloc(37);
		uuid_format(((struct secret_info *)all->pdata[i])->uuid, r->uuids[i]);
	}
	return 0;
}

static int define_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_secret_define_xml_args *a = args;
	struct secret_info info;

	if (secret_define(call->manager, a->xml, &info, error) < 0)
		return -1;
	name_it(&info, &((struct remote_secret_define_xml_ret *)ret)->secret);
	return 0;
}

static int undefine(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return secret_undefine(call->manager,
		((const struct remote_secret_undefine_args *)args)->secret.uuid, error);
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_secret_get_xml_desc_ret *r = ret;

	r->xml = secret_xml(call->manager,
		((const struct remote_secret_get_xml_desc_args *)args)->secret.uuid, error);
	return r->xml ? 0 : -1;
}

static int set_value(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_secret_set_value_args *a = args;

	return secret_set_value(call->manager, a->secret.uuid,
		a->value ? (const void *)a->value : "", a->value_count, error);
}

static int get_value(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_secret_get_value_args *a = args;
	struct remote_secret_get_value_ret *r = ret;
	GBytes *value = secret_value(call->manager, a->secret.uuid, true, error);
	gsize len;

	if (!value)
		return -1;
	r->value = g_bytes_unref_to_data(value, &len);
	r->value_count = (uint32_t)len;
	return 0;
}

const struct rpc_procedure rpc_secret_procedures[] = {
	{ REMOTE_PROC_SECRET_LOOKUP_BY_UUID, lookup_by_uuid, ROLE_READ },
	{ REMOTE_PROC_SECRET_LOOKUP_BY_USAGE, lookup_by_usage, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_ALL_SECRETS, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_SECRETS, count, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_SECRETS, list_uuids, ROLE_READ },
	{ REMOTE_PROC_SECRET_DEFINE_XML, define_xml, ROLE_ADMIN },
	{ REMOTE_PROC_SECRET_UNDEFINE, undefine, ROLE_ADMIN },
	{ REMOTE_PROC_SECRET_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_SECRET_SET_VALUE, set_value, ROLE_ADMIN },
	{ REMOTE_PROC_SECRET_GET_VALUE, get_value, ROLE_ADMIN },
	{},
};
