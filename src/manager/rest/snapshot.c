/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c: /v1/machines/{name}/snapshots. */
#include <string.h>

#include "manager/error.h"
#include "manager/rest/machine.h"
#include "manager/xml.h"

static json_t *snapshot_json(
	struct request *r, const struct remote_nonnull_domain_snapshot *snap, GError **error)
{
	struct remote_domain_snapshot_get_xml_desc_ret ret = {};
	struct remote_domain_snapshot_is_current_ret current = {};
	g_autoptr(xmlDoc) doc = NULL;
	json_t *j = NULL;

	if (request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_GET_XML_DESC,
		    &(struct remote_domain_snapshot_get_xml_desc_args){ *snap, 0 }, &ret,
		    error) == 0)
		doc = xml_parse(ret.xml, "domainsnapshot", error);
	request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_IS_CURRENT,
		&(struct remote_domain_snapshot_is_current_args){ *snap, 0 }, &current, NULL);
	if (doc) {
		xmlNode *root = xmlDocGetRootElement(doc), *parent = xml_child(root, "parent");
		g_autofree char *state = xml_child_text(root, "state");
		g_autofree char *created = xml_child_text(root, "creationTime");
		g_autofree char *description = xml_child_text(root, "description");
		g_autofree char *up = parent ? xml_child_text(parent, "name") : NULL;

		j = json_pack("{s:s, s:s?, s:s*, s:f, s:s, s:b}", "name", snap->name, "parent", up,
			"description", description, "created",
			created ? g_ascii_strtod(created, NULL) : 0.0, "state",
			state ? state : "shutoff", "current", current.current);
	}
	xdr_clear(&remote_domain_snapshot_get_xml_desc_ret_type, &ret);
	return j;
}

int rest_snapshot_list(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	struct remote_domain_list_all_snapshots_ret ret = {};
	int rc;

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_DOMAIN_LIST_ALL_SNAPSHOTS,
		&(struct remote_domain_list_all_snapshots_args){ dom, 1, 0 }, &ret, error);
	if (rc == 0)
		r->json = json_array();
	for (uint32_t i = 0; i < ret.snapshots_count; i++) {
		json_t *j = snapshot_json(r, &ret.snapshots[i], NULL);

		if (j)
			json_array_append_new(r->json, j);
	}
	xdr_clear(&remote_domain_list_all_snapshots_ret_type, &ret);
	rest_machine_clear(&dom);
	return rc;
}

int rest_snapshot_create(struct request *r, GError **error)
{
	struct remote_nonnull_domain dom = {};
	struct remote_domain_snapshot_create_xml_ret made = {};
	char *xml;
	int rc;

	if (request_xml(r, &xml, error) < 0 || rest_machine_find(r, &dom, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_CREATE_XML,
		&(struct remote_domain_snapshot_create_xml_args){ dom, xml, 0 }, &made, error);
	if (rc == 0)
		r->json = snapshot_json(r, &made.snap, error);
	r->status = 201;
	xdr_clear(&remote_domain_snapshot_create_xml_ret_type, &made);
	rest_machine_clear(&dom);
	return r->json ? 0 : -1;
}

/* That of the second parameter. */
static int find(
	struct request *r, struct remote_domain_snapshot_lookup_by_name_ret *ret, GError **error)
{
	struct remote_nonnull_domain dom = {};
	int rc;

	if (rest_machine_find(r, &dom, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_LOOKUP_BY_NAME,
		&(struct remote_domain_snapshot_lookup_by_name_args){ dom, r->params[1], 0 }, ret,
		error);
	rest_machine_clear(&dom);
	return rc;
}

int rest_snapshot_xml(struct request *r, GError **error)
{
	struct remote_domain_snapshot_lookup_by_name_ret found = {};
	struct remote_domain_snapshot_get_xml_desc_ret ret = {};
	int rc = find(r, &found, error);

	if (rc == 0)
		rc = request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_GET_XML_DESC,
			&(struct remote_domain_snapshot_get_xml_desc_args){ found.snap, 0 }, &ret,
			error);
	r->text = ret.xml;
	r->text_type = "text/xml";
	xdr_clear(&remote_domain_snapshot_lookup_by_name_ret_type, &found);
	return rc;
}

int rest_snapshot_revert(struct request *r, GError **error)
{
	struct remote_domain_snapshot_lookup_by_name_ret found = {};
	int rc = find(r, &found, error);

	if (rc == 0)
		rc = request_call(r, REMOTE_PROC_DOMAIN_REVERT_TO_SNAPSHOT,
			&(struct remote_domain_revert_to_snapshot_args){ found.snap, 0 }, NULL,
			error);
	r->status = 200;
	xdr_clear(&remote_domain_snapshot_lookup_by_name_ret_type, &found);
	return rc;
}

int rest_snapshot_delete(struct request *r, GError **error)
{
	struct remote_domain_snapshot_lookup_by_name_ret found = {};
	int rc = find(r, &found, error);

	if (rc == 0)
		rc = request_call(r, REMOTE_PROC_DOMAIN_SNAPSHOT_DELETE,
			&(struct remote_domain_snapshot_delete_args){ found.snap, 0 }, NULL, error);
	xdr_clear(&remote_domain_snapshot_lookup_by_name_ret_type, &found);
	return rc;
}
