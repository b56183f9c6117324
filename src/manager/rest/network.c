/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network.c: /v1/networks. */
#include <stddef.h>
#include <string.h>

#include "manager/error.h"
#include "manager/rest/request.h"
#include "manager/xml.h"

enum { XML_INACTIVE = 1 };

static int find(struct request *r, struct remote_nonnull_network *ret, GError **error)
{
	struct remote_network_lookup_by_name_ret found = {};
	struct remote_network_lookup_by_uuid_args by_uuid;
	int rc;

	if (request_uuid(r->params[0], by_uuid.uuid))
		rc = request_call(r, REMOTE_PROC_NETWORK_LOOKUP_BY_UUID, &by_uuid, &found, error);
	else
		rc = request_call(r, REMOTE_PROC_NETWORK_LOOKUP_BY_NAME,
			&(struct remote_network_lookup_by_name_args){ r->params[0] }, &found,
			error);
	*ret = found.net;
	return rc;
}

static void clear(struct remote_nonnull_network *net)
{
	xdr_clear(&remote_nonnull_network_type, net);
}

static char *get_xml(
	struct request *r, const struct remote_nonnull_network *net, unsigned flags, GError **error)
{
	struct remote_network_get_xml_desc_ret ret = {};

	if (request_call(r, REMOTE_PROC_NETWORK_GET_XML_DESC,
		    &(struct remote_network_get_xml_desc_args){ *net, flags }, &ret, error) < 0)
		return NULL;
	return ret.xml;
}

static json_t *network_json(
	struct request *r, const struct remote_nonnull_network *net, GError **error)
{
	struct remote_network_is_active_ret active = {};
	struct remote_network_is_persistent_ret persistent = {};
	struct remote_network_get_autostart_ret autostart = {};
	g_autofree char *xml = get_xml(r, net, 0, error);
	g_autoptr(xmlDoc) doc = xml ? xml_parse(xml, "network", error) : NULL;
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *forward;
	const char *mode;

	if (!root ||
		request_call(r, REMOTE_PROC_NETWORK_IS_ACTIVE,
			&(struct remote_network_is_active_args){ *net }, &active, error) < 0 ||
		request_call(r, REMOTE_PROC_NETWORK_IS_PERSISTENT,
			&(struct remote_network_is_persistent_args){ *net }, &persistent,
			error) < 0)
		return NULL;
	/* One that is not kept has none. */
	request_call(r, REMOTE_PROC_NETWORK_GET_AUTOSTART,
		&(struct remote_network_get_autostart_args){ *net }, &autostart, NULL);
	forward = xml_child(root, "forward");
	mode = !forward ? "none" : xml_attr(forward, "mode") ? xml_attr(forward, "mode") : "nat";
	return json_pack("{s:s, s:o, s:b, s:b, s:b, s:s?, s:s}", "name", net->name, "uuid",
		request_uuid_json(net->uuid), "active", active.active, "persistent",
		persistent.persistent, "autostart", autostart.autostart, "bridge",
		xml_child_attr(root, "bridge", "name"), "forward", mode);
}

/* Takes what net owns. */
static int reply(struct request *r, struct remote_nonnull_network *net, GError **error)
{
	r->json = network_json(r, net, error);
	clear(net);
	return r->json ? 0 : -1;
}

int rest_network_list(struct request *r, GError **error)
{
	struct remote_connect_list_all_networks_ret all = {};
	int rc = request_call(r, REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS,
		&(struct remote_connect_list_all_networks_args){ 1, 0 }, &all, error);

	if (rc == 0) {
		r->json = json_array();
		request_sort(all.nets, all.nets_count, sizeof(*all.nets),
			offsetof(struct remote_nonnull_network, name));
	}
	for (uint32_t i = 0; i < all.nets_count; i++) {
		json_t *j = network_json(r, &all.nets[i], NULL);

		if (j)
			json_array_append_new(r->json, j);
	}
	xdr_clear(&remote_connect_list_all_networks_ret_type, &all);
	return rc;
}

int rest_network_get(struct request *r, GError **error)
{
	struct remote_nonnull_network net = {};

	return find(r, &net, error) < 0 ? -1 : reply(r, &net, error);
}

int rest_network_xml(struct request *r, GError **error)
{
	struct remote_nonnull_network net = {};

	if (find(r, &net, error) < 0)
		return -1;
	r->text = get_xml(r, &net, request_flag(r, "inactive") ? XML_INACTIVE : 0, error);
	r->text_type = "text/xml";
	clear(&net);
	return r->text ? 0 : -1;
}

int rest_network_define(struct request *r, GError **error)
{
	struct remote_network_define_xml_ret made = {};
	char *xml;

	/* Both take the same arguments and give the same back. */
	if (request_xml(r, &xml, error) < 0 ||
		request_call(r,
			request_flag(r, "transient") ? REMOTE_PROC_NETWORK_CREATE_XML
						     : REMOTE_PROC_NETWORK_DEFINE_XML,
			&(struct remote_network_define_xml_args){ xml }, &made, error) < 0)
		return -1;
	r->status = 201;
	return reply(r, &made.net, error);
}

static int simple(struct request *r, uint32_t procedure, GError **error)
{
	struct remote_nonnull_network net = {};
	int rc;

	if (find(r, &net, error) < 0)
		return -1;
	rc = request_call(r, procedure, &net, NULL, error); /* the network is all they take */
	if (rc == 0 && procedure != REMOTE_PROC_NETWORK_UNDEFINE) {
		r->json = network_json(r, &net, NULL);
		r->status = r->json ? 200 : 204; /* one that was not kept is gone */
	}
	clear(&net);
	return rc;
}

int rest_network_delete(struct request *r, GError **error)
{
	return simple(r, REMOTE_PROC_NETWORK_UNDEFINE, error);
}

int rest_network_action(struct request *r, GError **error)
{
	return simple(r,
		strcmp(r->params[1], "start") == 0 ? REMOTE_PROC_NETWORK_CREATE
						   : REMOTE_PROC_NETWORK_DESTROY,
		error);
}

int rest_network_patch(struct request *r, GError **error)
{
	struct remote_nonnull_network net = {};
	const json_t *autostart = json_object_get(r->body, "autostart");

	if (!json_is_boolean(autostart))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'autostart' is what can be changed");
	if (find(r, &net, error) < 0)
		return -1;
	if (request_call(r, REMOTE_PROC_NETWORK_SET_AUTOSTART,
		    &(struct remote_network_set_autostart_args){ net, json_is_true(autostart) },
		    NULL, error) == 0)
		return reply(r, &net, error);
	clear(&net);
	return -1;
}

int rest_network_leases(struct request *r, GError **error)
{
	struct remote_nonnull_network net = {};
	struct remote_network_get_dhcp_leases_ret ret = {};
	int rc;

	if (find(r, &net, error) < 0)
		return -1;
	rc = request_call(r, REMOTE_PROC_NETWORK_GET_DHCP_LEASES,
		&(struct remote_network_get_dhcp_leases_args){
			net, (char *)request_string(r, "mac"), 1, 0 },
		&ret, error);
	if (rc == 0)
		r->json = json_array();
	for (uint32_t i = 0; i < ret.leases_count; i++) {
		const struct remote_network_dhcp_lease *l = &ret.leases[i];

		json_array_append_new(r->json,
			json_pack("{s:s, s:s, s:i, s:s?, s:f}", "mac", l->mac ? l->mac : "",
				"address", l->ipaddr, "prefix", l->prefix, "hostname", l->hostname,
				"expiry", (double)l->expirytime));
	}
	xdr_clear(&remote_network_get_dhcp_leases_ret_type, &ret);
	clear(&net);
	return rc;
}
