/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c: /v1/pools. */
#include "manager/rest/pool.h"

#include <stddef.h>
#include <string.h>

#include "manager/error.h"
#include "manager/xml.h"

int rest_pool_find(struct request *r, struct remote_nonnull_storage_pool *ret, GError **error)
{
	struct remote_storage_pool_lookup_by_name_ret found = {};
	struct remote_storage_pool_lookup_by_uuid_args by_uuid;
	int rc;

	if (request_uuid(r->params[0], by_uuid.uuid))
		rc = request_call(
			r, REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_UUID, &by_uuid, &found, error);
	else
		rc = request_call(r, REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_NAME,
			&(struct remote_storage_pool_lookup_by_name_args){ r->params[0] }, &found,
			error);
	*ret = found.pool;
	return rc;
}

void rest_pool_clear(struct remote_nonnull_storage_pool *pool)
{
	xdr_clear(&remote_nonnull_storage_pool_type, pool);
}

static char *get_xml(struct request *r, const struct remote_nonnull_storage_pool *pool,
	unsigned flags, GError **error)
{
	struct remote_storage_pool_get_xml_desc_ret ret = {};

	if (request_call(r, REMOTE_PROC_STORAGE_POOL_GET_XML_DESC,
		    &(struct remote_storage_pool_get_xml_desc_args){ *pool, flags }, &ret,
		    error) < 0)
		return NULL;
	return ret.xml;
}

static json_t *pool_json(
	struct request *r, const struct remote_nonnull_storage_pool *pool, GError **error)
{
	struct remote_storage_pool_is_active_ret active = {};
	struct remote_storage_pool_is_persistent_ret persistent = {};
	struct remote_storage_pool_get_autostart_ret autostart = {};
	struct remote_storage_pool_get_info_ret info = {};
	g_autofree char *xml = get_xml(r, pool, 0, error), *path = NULL;
	g_autoptr(xmlDoc) doc = xml ? xml_parse(xml, "pool", error) : NULL;
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *target;
	const char *type;

	if (!root ||
		request_call(r, REMOTE_PROC_STORAGE_POOL_IS_ACTIVE,
			&(struct remote_storage_pool_is_active_args){ *pool }, &active,
			error) < 0 ||
		request_call(r, REMOTE_PROC_STORAGE_POOL_IS_PERSISTENT,
			&(struct remote_storage_pool_is_persistent_args){ *pool }, &persistent,
			error) < 0)
		return NULL;
	/* One that is not kept has none; one that is not started has no sizes. */
	request_call(r, REMOTE_PROC_STORAGE_POOL_GET_AUTOSTART,
		&(struct remote_storage_pool_get_autostart_args){ *pool }, &autostart, NULL);
	request_call(r, REMOTE_PROC_STORAGE_POOL_GET_INFO,
		&(struct remote_storage_pool_get_info_args){ *pool }, &info, NULL);
	target = xml_child(root, "target");
	path = target ? xml_child_text(target, "path") : NULL;
	type = xml_attr(root, "type");
	return json_pack("{s:s, s:o, s:s, s:b, s:b, s:b, s:s?, s:I, s:I, s:I}", "name", pool->name,
		"uuid", request_uuid_json(pool->uuid), "type", type ? type : "dir", "active",
		active.active, "persistent", persistent.persistent, "autostart",
		autostart.autostart, "path", path, "capacity", (json_int_t)info.capacity,
		"allocation", (json_int_t)info.allocation, "available", (json_int_t)info.available);
}

/* Takes what pool owns. */
static int reply(struct request *r, struct remote_nonnull_storage_pool *pool, GError **error)
{
	r->json = pool_json(r, pool, error);
	rest_pool_clear(pool);
	return r->json ? 0 : -1;
}

int rest_pool_list(struct request *r, GError **error)
{
	struct remote_connect_list_all_storage_pools_ret all = {};
	int rc = request_call(r, REMOTE_PROC_CONNECT_LIST_ALL_STORAGE_POOLS,
		&(struct remote_connect_list_all_storage_pools_args){ 1, 0 }, &all, error);

	if (rc == 0) {
		r->json = json_array();
		request_sort(all.pools, all.pools_count, sizeof(*all.pools),
			offsetof(struct remote_nonnull_storage_pool, name));
	}
	for (uint32_t i = 0; i < all.pools_count; i++) {
		json_t *j = pool_json(r, &all.pools[i], NULL);

		if (j)
			json_array_append_new(r->json, j);
	}
	xdr_clear(&remote_connect_list_all_storage_pools_ret_type, &all);
	return rc;
}

int rest_pool_get(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};

	return rest_pool_find(r, &pool, error) < 0 ? -1 : reply(r, &pool, error);
}

int rest_pool_xml(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};

	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	r->text = get_xml(r, &pool, 0, error);
	r->text_type = "text/xml";
	rest_pool_clear(&pool);
	return r->text ? 0 : -1;
}

int rest_pool_define(struct request *r, GError **error)
{
	struct remote_storage_pool_define_xml_ret made = {};
	bool transient = request_flag(r, "transient");
	char *xml;

	/* Both take the same arguments and give the same back. */
	if (request_xml(r, &xml, error) < 0 ||
		request_call(r,
			transient ? REMOTE_PROC_STORAGE_POOL_CREATE_XML
				  : REMOTE_PROC_STORAGE_POOL_DEFINE_XML,
			&(struct remote_storage_pool_define_xml_args){ xml, 0 }, &made, error) < 0)
		return -1;
	if (request_flag(r, "build") && !transient &&
		request_call(r, REMOTE_PROC_STORAGE_POOL_BUILD,
			&(struct remote_storage_pool_build_args){ made.pool, 0 }, NULL,
			error) < 0) {
		rest_pool_clear(&made.pool);
		return -1;
	}
	r->status = 201;
	return reply(r, &made.pool, error);
}

int rest_pool_delete(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};
	int rc;

	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_STORAGE_POOL_UNDEFINE,
		&(struct remote_storage_pool_undefine_args){ pool }, NULL, error);
	rest_pool_clear(&pool);
	return rc;
}

int rest_pool_action(struct request *r, GError **error)
{
	static const struct {
		const char *name;
		uint32_t procedure;
	} actions[] = {
		{ "start", REMOTE_PROC_STORAGE_POOL_CREATE },
		{ "destroy", REMOTE_PROC_STORAGE_POOL_DESTROY },
		{ "refresh", REMOTE_PROC_STORAGE_POOL_REFRESH },
		{ "build", REMOTE_PROC_STORAGE_POOL_BUILD },
		{ "delete", REMOTE_PROC_STORAGE_POOL_DELETE },
	};
	struct remote_nonnull_storage_pool pool = {};
	int rc = -1;

	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	for (unsigned i = 0; i < G_N_ELEMENTS(actions); i++) {
		/* They take the pool, and most of them flags behind it. */
		if (strcmp(actions[i].name, r->params[1]) == 0)
			rc = request_call(r, actions[i].procedure,
				&(struct remote_storage_pool_create_args){ pool, 0 }, NULL, error);
	}
	if (rc == 0) {
		r->json = pool_json(r, &pool, NULL);
		r->status = r->json ? 200 : 204; /* one that was not kept is gone */
	}
	rest_pool_clear(&pool);
	return rc;
}

int rest_pool_patch(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};
	const json_t *autostart = json_object_get(r->body, "autostart");

	if (!json_is_boolean(autostart))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'autostart' is what can be changed");
	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	if (request_call(r, REMOTE_PROC_STORAGE_POOL_SET_AUTOSTART,
		    &(struct remote_storage_pool_set_autostart_args){
			    pool, json_is_true(autostart) },
		    NULL, error) == 0)
		return reply(r, &pool, error);
	rest_pool_clear(&pool);
	return -1;
}
