/* SPDX-License-Identifier: GPL-2.0-or-later */
/* route.c: which path is answered by what. Spec: docs/openapi.yaml. */
#include <string.h>

#include "manager/rest/request.h"

#define M "/v1/machines"
#define N "/v1/networks"
#define P "/v1/pools"
#define V P "/{}/volumes"

const struct route rest_routes[] = {
	{ "GET", "/v1/version", rest_version, ROUTE_CALL },
	{ "GET", "/v1/host", rest_host, ROUTE_CALL },
	{ "GET", "/v1/host/capabilities", rest_host_capabilities, ROUTE_CALL },
	{ "GET", "/v1/stats", rest_stats, ROUTE_CALL },
	{ "GET", "/v1/events", rest_event_stream, ROUTE_MAIN },
	{ "GET", "/metrics", rest_metrics, ROUTE_CALL },

	{ "GET", M, rest_machine_list, ROUTE_CALL },
	{ "POST", M, rest_machine_define, ROUTE_CALL },
	{ "GET", M "/{}", rest_machine_get, ROUTE_CALL },
	{ "PATCH", M "/{}", rest_machine_patch, ROUTE_CALL },
	{ "DELETE", M "/{}", rest_machine_delete, ROUTE_CALL },
	{ "GET", M "/{}/xml", rest_machine_xml, ROUTE_CALL },
	{ "GET", M "/{}/stats", rest_machine_stats, ROUTE_CALL },
	{ "GET", M "/{}/addresses", rest_machine_addresses, ROUTE_CALL },
	{ "GET", M "/{}/log", rest_machine_log, ROUTE_MAIN },
	{ "GET", M "/{}/console", rest_machine_console, ROUTE_MAIN },
	{ "POST", M "/{}/devices", rest_machine_attach, ROUTE_CALL },
	{ "PUT", M "/{}/devices", rest_machine_update, ROUTE_CALL },
	{ "DELETE", M "/{}/devices", rest_machine_detach, ROUTE_CALL },
	{ "GET", M "/{}/snapshots", rest_snapshot_list, ROUTE_CALL },
	{ "POST", M "/{}/snapshots", rest_snapshot_create, ROUTE_WORK, "Taking a snapshot of" },
	{ "GET", M "/{}/snapshots/{}", rest_snapshot_xml, ROUTE_CALL },
	{ "POST", M "/{}/snapshots/{}", rest_snapshot_revert, ROUTE_WORK,
		"Going back to a snapshot of" },
	{ "DELETE", M "/{}/snapshots/{}", rest_snapshot_delete, ROUTE_WORK,
		"Deleting a snapshot of" },
	{ "POST", M "/{}/save", rest_machine_action, ROUTE_LONG, "Saving" },
	{ "POST", M "/{}/managedsave", rest_machine_action, ROUTE_LONG, "Saving" },
	{ "POST", M "/{}/restore", rest_machine_action, ROUTE_LONG, "Restoring" },
	{ "POST", M "/{}/start", rest_machine_action, ROUTE_WORK, "Starting" },
	{ "POST", M "/{}/shutdown", rest_machine_action, ROUTE_WORK, "Shutting down" },
	{ "POST", M "/{}/destroy", rest_machine_action, ROUTE_WORK, "Stopping" },
	{ "POST", M "/{}/reboot", rest_machine_action, ROUTE_WORK, "Rebooting" },
	{ "POST", M "/{}/reset", rest_machine_action, ROUTE_WORK, "Resetting" },
	{ "POST", M "/{}/suspend", rest_machine_action, ROUTE_WORK, "Suspending" },
	{ "POST", M "/{}/resume", rest_machine_action, ROUTE_WORK, "Resuming" },
	{ "POST", M "/{}/nmi", rest_machine_action, ROUTE_WORK, "Interrupting" },

	{ "GET", N, rest_network_list, ROUTE_CALL },
	{ "POST", N, rest_network_define, ROUTE_CALL },
	{ "GET", N "/{}", rest_network_get, ROUTE_CALL },
	{ "PATCH", N "/{}", rest_network_patch, ROUTE_CALL },
	{ "DELETE", N "/{}", rest_network_delete, ROUTE_CALL },
	{ "GET", N "/{}/xml", rest_network_xml, ROUTE_CALL },
	{ "GET", N "/{}/leases", rest_network_leases, ROUTE_CALL },
	{ "POST", N "/{}/start", rest_network_action, ROUTE_WORK, "Starting network" },
	{ "POST", N "/{}/destroy", rest_network_action, ROUTE_WORK, "Stopping network" },

	{ "GET", P, rest_pool_list, ROUTE_CALL },
	{ "POST", P, rest_pool_define, ROUTE_CALL },
	{ "GET", P "/{}", rest_pool_get, ROUTE_CALL },
	{ "PATCH", P "/{}", rest_pool_patch, ROUTE_CALL },
	{ "DELETE", P "/{}", rest_pool_delete, ROUTE_CALL },
	{ "GET", P "/{}/xml", rest_pool_xml, ROUTE_CALL },
	{ "POST", P "/{}/start", rest_pool_action, ROUTE_WORK, "Starting pool" },
	{ "POST", P "/{}/destroy", rest_pool_action, ROUTE_WORK, "Stopping pool" },
	{ "POST", P "/{}/refresh", rest_pool_action, ROUTE_WORK, "Refreshing pool" },
	{ "POST", P "/{}/build", rest_pool_action, ROUTE_WORK, "Building pool" },
	{ "POST", P "/{}/delete", rest_pool_action, ROUTE_WORK, "Deleting pool" },
	{ "GET", V, rest_volume_list, ROUTE_CALL },
	{ "POST", V, rest_volume_create, ROUTE_WORK, "Making a volume in" },
	{ "GET", V "/{}", rest_volume_get, ROUTE_CALL },
	{ "PATCH", V "/{}", rest_volume_patch, ROUTE_WORK, "Resizing a volume of" },
	{ "DELETE", V "/{}", rest_volume_delete, ROUTE_WORK, "Deleting a volume of" },
	{ "GET", V "/{}/xml", rest_volume_xml, ROUTE_CALL },
	{ "GET", V "/{}/data", rest_volume_download, ROUTE_MAIN },
	{ "PUT", V "/{}/data", rest_volume_upload, ROUTE_MAIN },

	{ "GET", "/v1/operations", rest_operation_list, ROUTE_CALL },
	{ "GET", "/v1/operations/{}", rest_operation_get, ROUTE_CALL },
	{ "DELETE", "/v1/operations/{}", rest_operation_cancel, ROUTE_CALL },
	{},
};

static void drop(char *params[REST_PARAMS])
{
	for (unsigned i = 0; i < REST_PARAMS; i++)
		g_clear_pointer(&params[i], g_free);
}

/* Segment by segment; "{}" takes any, decoded. The last literal of an action's path is a parameter
 * too, so that one handler can serve several. */
static bool match(const char *pattern, const char *path, char *params[REST_PARAMS])
{
	g_auto(GStrv) want = g_strsplit(pattern + 1, "/", -1);
	g_auto(GStrv) have = g_strsplit(path + 1, "/", -1);
	unsigned n = 0, i;

	if (g_strv_length(want) != g_strv_length(have))
		return false;
	for (i = 0; want[i]; i++) {
		if (strcmp(want[i], "{}") != 0) {
			if (strcmp(want[i], have[i]) != 0)
				return false;
			continue;
		}
		params[n] = g_uri_unescape_string(have[i], NULL);
		if (!params[n] || !*params[n])
			return false;
		n++;
	}
	if (n < REST_PARAMS)
		params[n] = g_strdup(have[i - 1]);
	return true;
}

const struct route *rest_match(
	const char *method, const char *path, char *params[REST_PARAMS], bool *ret_known)
{
	*ret_known = false;
	if (path[0] != '/')
		return NULL;
	for (const struct route *r = rest_routes; r->method; r++) {
		if (match(r->path, path, params)) {
			*ret_known = true;
			if (strcmp(r->method, method) == 0)
				return r;
		}
		drop(params);
	}
	return NULL;
}
