/* SPDX-License-Identifier: GPL-2.0-or-later */
/* request.c: what a request says, and errors as HTTP tells them. */
#include "manager/rest/request.h"

#include <stdlib.h>
#include <string.h>

#include "manager/error.h"
#include "manager/ids.h"

void request_free(struct request *r)
{
	caller_clear(&r->caller);
	for (unsigned i = 0; i < REST_PARAMS; i++)
		g_free(r->params[i]);
	if (r->query)
		g_hash_table_unref(r->query);
	g_free(r->raw);
	json_decref(r->body);
	json_decref(r->json);
	g_free(r->text);
	if (r->msg)
		g_object_unref(r->msg);
	g_free(r);
}

int request_call(struct request *r, uint32_t procedure, const void *args, void *ret, GError **error)
{
	struct rpc_call call = { .manager = r->manager, .caller = &r->caller };

	if (r->operation) {
		call.progress = operation_progress;
		call.progress_opaque = r->operation;
	}
	return rpc_invoke(rest_server(r->rest), &call, procedure, args, ret, error);
}

static bool is_true(const char *s)
{
	return !*s || strcmp(s, "1") == 0 || strcmp(s, "true") == 0 || strcmp(s, "yes") == 0;
}

bool request_flag(const struct request *r, const char *name)
{
	const char *s = r->query ? g_hash_table_lookup(r->query, name) : NULL;

	return s ? is_true(s) : json_is_true(json_object_get(r->body, name));
}

const char *request_string(const struct request *r, const char *name)
{
	const char *s = json_string_value(json_object_get(r->body, name));

	return s || !r->query ? s : g_hash_table_lookup(r->query, name);
}

int request_number(
	const struct request *r, const char *name, uint64_t max, uint64_t *ret, GError **error)
{
	const json_t *j = json_object_get(r->body, name);
	const char *s = !j && r->query ? g_hash_table_lookup(r->query, name) : NULL;
	guint64 v;

	if (!j && !s)
		return 0;
	if (j && json_is_integer(j) && json_integer_value(j) >= 0)
		v = (guint64)json_integer_value(j);
	else if (!s || !g_ascii_string_to_unsigned(s, 10, 0, max, &v, NULL))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"'%s' is a number from 0 to %" G_GUINT64_FORMAT, name, max);
	if (v > max)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "'%s' is at most %" G_GUINT64_FORMAT,
			name, max);
	*ret = v;
	return 1;
}

int request_xml(const struct request *r, char **ret, GError **error)
{
	if (!r->raw || !r->raw_len)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"the definition, as XML, is to be the body");
	if (strlen(r->raw) != r->raw_len)
		return refuse(error, MANAGER_ERR_XML, "the definition has a NUL in it");
	*ret = r->raw;
	return 0;
}

static const struct {
	int code;
	unsigned status;
	const char *name;
} errors[] = {
	{ MANAGER_ERR_INTERNAL, 500, "internal-error" },
	{ MANAGER_ERR_NO_MEMORY, 500, "no-memory" },
	{ MANAGER_ERR_NO_SUPPORT, 501, "no-support" },
	{ MANAGER_ERR_INVALID_ARG, 400, "invalid-arg" },
	{ MANAGER_ERR_OPERATION_FAILED, 500, "operation-failed" },
	{ MANAGER_ERR_XML, 400, "xml-error" },
	{ MANAGER_ERR_OPERATION_DENIED, 403, "operation-denied" },
	{ MANAGER_ERR_DOM_EXIST, 409, "dom-exist" },
	{ MANAGER_ERR_SYSTEM, 500, "system-error" },
	{ MANAGER_ERR_NO_DOMAIN, 404, "no-domain" },
	{ MANAGER_ERR_NO_NETWORK, 404, "no-network" },
	{ MANAGER_ERR_AUTH_FAILED, 401, "auth-failed" },
	{ MANAGER_ERR_NO_POOL, 404, "no-storage-pool" },
	{ MANAGER_ERR_NO_VOLUME, 404, "no-storage-vol" },
	{ MANAGER_ERR_OPERATION_INVALID, 409, "operation-invalid" },
	{ MANAGER_ERR_NO_NODE_DEVICE, 404, "no-node-device" },
	{ MANAGER_ERR_NO_INTERFACE, 404, "no-interface" },
	{ MANAGER_ERR_NO_NWFILTER, 404, "no-nwfilter" },
	{ MANAGER_ERR_NO_SECRET, 404, "no-secret" },
	{ MANAGER_ERR_CONFIG_UNSUPPORTED, 422, "config-unsupported" },
	{ MANAGER_ERR_OPERATION_TIMEOUT, 504, "operation-timeout" },
	{ MANAGER_ERR_NO_SNAPSHOT, 404, "no-domain-snapshot" },
	{ MANAGER_ERR_ARGUMENT_UNSUPPORTED, 422, "argument-unsupported" },
	{ MANAGER_ERR_OPERATION_ABORTED, 409, "operation-aborted" },
	{ MANAGER_ERR_NO_METADATA, 404, "no-domain-metadata" },
	{ MANAGER_ERR_OPERATION_UNSUPPORTED, 422, "operation-unsupported" },
	{ MANAGER_ERR_AGENT_UNRESPONSIVE, 503, "agent-unresponsive" },
	{ MANAGER_ERR_RESOURCE_BUSY, 409, "resource-busy" },
	{ MANAGER_ERR_ACCESS_DENIED, 403, "access-denied" },
	{ MANAGER_ERR_STORAGE_VOL_EXIST, 409, "storage-vol-exist" },
	{ MANAGER_ERR_DEVICE_MISSING, 404, "device-missing" },
};

static int error_code(const GError *error)
{
	return error && error->domain == MANAGER_ERROR ? error->code : MANAGER_ERR_OPERATION_FAILED;
}

unsigned request_error_status(const GError *error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
		if (errors[i].code == error_code(error))
			return errors[i].status;
	}
	return 500;
}

json_t *request_error_json(const GError *error)
{
	int code = error_code(error);
	const char *name = "operation-failed";
	g_autofree char *text =
		g_utf8_make_valid(error ? error->message : "it failed and does not say why", -1);

	for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
		if (errors[i].code == code)
			name = errors[i].name;
	}
	return json_pack(
		"{s:{s:i, s:s, s:s}}", "error", "code", code, "name", name, "message", text);
}

static int by_name(const void *a, const void *b, void *offset)
{
	size_t at = GPOINTER_TO_SIZE(offset);

	return strcmp(
		*(char *const *)((const char *)a + at), *(char *const *)((const char *)b + at));
}

void request_sort(void *items, uint32_t count, size_t size, size_t name_offset)
{
	if (count)
		qsort_r(items, count, size, by_name, GSIZE_TO_POINTER(name_offset));
}

bool request_uuid(const char *text, uint8_t uuid[16])
{
	return uuid_parse_text(text, uuid) == 0;
}

json_t *request_uuid_json(const uint8_t uuid[16])
{
	char text[37];

	uuid_format(uuid, text);
	return json_string(text);
}
