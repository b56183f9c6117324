/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.c: /v1/pools/{pool}/volumes. */
#include <stddef.h>
#include <string.h>

#include "manager/error.h"
#include "manager/rest/pool.h"
#include "manager/xml.h"

enum { RESIZE_SHRINK = 4 };

static int find_named(
	struct request *r, const char *name, struct remote_nonnull_storage_vol *ret, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};
	struct remote_storage_vol_lookup_by_name_ret found = {};
	int rc;

	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_NAME,
		&(struct remote_storage_vol_lookup_by_name_args){ pool, (char *)name }, &found,
		error);
	*ret = found.vol;
	rest_pool_clear(&pool);
	return rc;
}

int rest_volume_find(struct request *r, struct remote_nonnull_storage_vol *ret, GError **error)
{
	return find_named(r, r->params[1], ret, error);
}

void rest_volume_clear(struct remote_nonnull_storage_vol *vol)
{
	xdr_clear(&remote_nonnull_storage_vol_type, vol);
}

static char *get_xml(
	struct request *r, const struct remote_nonnull_storage_vol *vol, GError **error)
{
	struct remote_storage_vol_get_xml_desc_ret ret = {};

	if (request_call(r, REMOTE_PROC_STORAGE_VOL_GET_XML_DESC,
		    &(struct remote_storage_vol_get_xml_desc_args){ *vol, 0 }, &ret, error) < 0)
		return NULL;
	return ret.xml;
}

static json_t *volume_json(
	struct request *r, const struct remote_nonnull_storage_vol *vol, GError **error)
{
	struct remote_storage_vol_get_info_ret info = {};
	g_autofree char *xml = get_xml(r, vol, error), *path = NULL, *up = NULL;
	g_autoptr(xmlDoc) doc = xml ? xml_parse(xml, "volume", error) : NULL;
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *target, *backing;
	const char *type, *format;

	if (!root || request_call(r, REMOTE_PROC_STORAGE_VOL_GET_INFO,
			     &(struct remote_storage_vol_get_info_args){ *vol }, &info, error) < 0)
		return NULL;
	target = xml_child(root, "target");
	backing = xml_child(root, "backingStore");
	path = target ? xml_child_text(target, "path") : NULL;
	up = backing ? xml_child_text(backing, "path") : NULL;
	type = xml_attr(root, "type");
	format = target ? xml_child_attr(target, "format", "type") : NULL;
	return json_pack("{s:s, s:s, s:s, s:s*, s:I, s:I, s:s?}", "name", vol->name, "path",
		path ? path : vol->key, "type", type ? type : "file", "format", format, "capacity",
		(json_int_t)info.capacity, "allocation", (json_int_t)info.allocation, "backing",
		up && *up ? up : NULL);
}

static int reply(struct request *r, struct remote_nonnull_storage_vol *vol, GError **error)
{
	r->json = volume_json(r, vol, error);
	rest_volume_clear(vol);
	return r->json ? 0 : -1;
}

int rest_volume_list(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};
	struct remote_storage_pool_list_all_volumes_ret all = {};
	int rc;

	if (rest_pool_find(r, &pool, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_STORAGE_POOL_LIST_ALL_VOLUMES,
		&(struct remote_storage_pool_list_all_volumes_args){ pool, 1, 0 }, &all, error);
	if (rc == 0) {
		r->json = json_array();
		request_sort(all.vols, all.vols_count, sizeof(*all.vols),
			offsetof(struct remote_nonnull_storage_vol, name));
	}
	for (uint32_t i = 0; i < all.vols_count; i++) {
		json_t *j = volume_json(r, &all.vols[i], NULL);

		if (j)
			json_array_append_new(r->json, j);
	}
	xdr_clear(&remote_storage_pool_list_all_volumes_ret_type, &all);
	rest_pool_clear(&pool);
	return rc;
}

int rest_volume_get(struct request *r, GError **error)
{
	struct remote_nonnull_storage_vol vol = {};

	return rest_volume_find(r, &vol, error) < 0 ? -1 : reply(r, &vol, error);
}

int rest_volume_xml(struct request *r, GError **error)
{
	struct remote_nonnull_storage_vol vol = {};

	if (rest_volume_find(r, &vol, error) < 0)
		return -1;
	r->text = get_xml(r, &vol, error);
	r->text_type = "text/xml";
	rest_volume_clear(&vol);
	return r->text ? 0 : -1;
}

int rest_volume_create(struct request *r, GError **error)
{
	struct remote_nonnull_storage_pool pool = {};
	struct remote_nonnull_storage_vol from = {};
	struct remote_storage_vol_create_xml_ret made = {};
	const char *source = request_string(r, "from");
	char *xml;
	int rc;

	if (request_xml(r, &xml, error) < 0 || rest_pool_find(r, &pool, error) < 0)
		return -1;
	if (!source)
		rc = request_call(r, REMOTE_PROC_STORAGE_VOL_CREATE_XML,
			&(struct remote_storage_vol_create_xml_args){ pool, xml, 0 }, &made, error);
	else if ((rc = find_named(r, source, &from, error)) == 0)
		rc = request_call(r, REMOTE_PROC_STORAGE_VOL_CREATE_XML_FROM,
			&(struct remote_storage_vol_create_xml_from_args){ pool, xml, from, 0 },
			&made, error);
	rest_volume_clear(&from);
	rest_pool_clear(&pool);
	r->status = 201;
	return rc < 0 ? -1 : reply(r, &made.vol, error);
}

int rest_volume_delete(struct request *r, GError **error)
{
	struct remote_nonnull_storage_vol vol = {};
	int rc;

	if (rest_volume_find(r, &vol, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_STORAGE_VOL_DELETE,
		&(struct remote_storage_vol_delete_args){ vol, 0 }, NULL, error);
	rest_volume_clear(&vol);
	return rc;
}

int rest_volume_patch(struct request *r, GError **error)
{
	struct remote_nonnull_storage_vol vol = {};
	uint64_t capacity = 0;
	int rc = request_number(r, "capacity", INT64_MAX, &capacity, error);

	if (rc <= 0)
		return rc < 0 ? -1
			      : refuse(error, MANAGER_ERR_INVALID_ARG,
					"'capacity' is what can be changed");
	if (rest_volume_find(r, &vol, error) < 0)
		return -1;
	if (request_call(r, REMOTE_PROC_STORAGE_VOL_RESIZE,
		    &(struct remote_storage_vol_resize_args){
			    vol, capacity, request_flag(r, "shrink") ? RESIZE_SHRINK : 0 },
		    NULL, error) == 0)
		return reply(r, &vol, error);
	rest_volume_clear(&vol);
	return -1;
}
