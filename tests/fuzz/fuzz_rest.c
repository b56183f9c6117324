/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_rest.c: libFuzzer target: paths and bodies of HTTP requests at a daemon of its own in a folder of its own.
 * The first byte chooses a route that defines or changes an object (none that starts one) or a path of the
 * fuzzer's, the rest is the body. Every reply must be JSON or text, every refusal an error; what could be
 * defined must be shown again and go.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "manager/manager.h"
#include "manager/rest/request.h"
#include "manager/rpc/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct host {
	struct manager *manager;
	struct rpc_server *server;
	struct rest *rest;
};

static const struct {
	const char *method, *path;
	bool json;
} choices[] = {
	{ "POST", "/v1/machines", false }, { "PATCH", "/v1/machines/a", true }, { "POST", "/v1/networks", false },
	{ "PATCH", "/v1/networks/default", true }, { "POST", "/v1/pools", false },
	{ "PATCH", "/v1/pools/default", true }, { "POST", "/v1/machines/a/devices", false },
	{ "POST", "/v1/machines/a/snapshots", false }, { "PUT", "/v1/machines/a/devices", false },
};

static const char machine[] = "<domain type='qemu'><name>a</name><memory>65536</memory><os><type arch='x86_64' "
			      "machine='q35'>hvm</type><kernel>/k</kernel></os></domain>";

static struct request *request_new(struct host *h, const void *body, size_t len, bool json)
{
	struct request *r = g_new0(struct request, 1);

	r->rest = h->rest;
	r->manager = h->manager;
	r->caller = (struct caller) { .identity = g_strdup("fuzz"), .address = g_strdup("fuzz"), .uid = 0,
		.role = ROLE_ADMIN };
	r->raw = g_malloc(len + 1);
	memcpy(r->raw, body, len);
	r->raw[len] = 0;
	r->raw_len = len;
	if (json)
		r->body = json_loadb(r->raw, len, JSON_REJECT_DUPLICATES, NULL);
	return r;
}

/* Answers it as the door would; the name of what was made, owned, or NULL. */
static char *ask(struct host *h, const char *method, const char *path, const void *body, size_t len, bool json)
{
	struct request *r = request_new(h, body, len, json);
	bool known;
	const struct route *route = rest_match(method, path, r->params, &known);
	g_autoptr(GError) error = NULL;
	char *name = NULL;
	int rc;

	if (route && route->kind != ROUTE_MAIN && (!json || json_is_object(r->body))) {
		rc = route->run(r, &error);
		if ((rc < 0) != (error != NULL) || (rc < 0 && request_error_status(error) < 400))
			__builtin_trap();
		if (rc == 0 && r->json)
			name = g_strdup(json_string_value(json_object_get(r->json, "name")));
	}
	request_free(r);
	return name;
}

static char folder[] = "/tmp/lodge-fuzz-XXXXXX";

static void clean(void)
{
	g_autofree char *command = g_strdup_printf("rm -rf %s", folder);

	if (system(command))
		fputs("the fuzzer's folder stays behind\n", stderr);
}

static struct host *host(void)
{
	static struct host h;
	static struct door_config doors;
	struct manager_options o = { .root = mkdtemp(folder), .session = true };

	if (h.rest)
		return &h;
	h.manager = o.root ? manager_new(&o, NULL) : NULL;
	h.server = h.manager ? rpc_server_new(h.manager, &rpc_limits_default, NULL) : NULL;
	h.rest = h.server ? rest_new(h.server, &doors, NULL, NULL) : NULL;
	if (!h.rest)
		__builtin_trap();
	atexit(clean);
	g_free(ask(&h, "POST", "/v1/machines", machine, strlen(machine), false));
	return &h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host *h = host();
	struct input in = { data, size };
	unsigned choice = (unsigned)in_get(&in, 1);
	const char *path = choices[choice % G_N_ELEMENTS(choices)].path;
	g_autofree char *name = NULL, *escaped = NULL, *made = NULL;

	if (choice & 0x80) { /* any path, to look at only */
		g_autofree char *any = g_strndup((const char *)in.p, in.left);

		g_free(ask(h, "GET", any, "", 0, false));
		return 0;
	}
	name = ask(h, choices[choice % G_N_ELEMENTS(choices)].method, path, in.p, in.left,
		choices[choice % G_N_ELEMENTS(choices)].json);
	while (g_main_context_iteration(NULL, FALSE))
		;
	if (!name || strchr(path + 4, '/'))
		return 0;
	escaped = g_uri_escape_string(name, NULL, FALSE);
	made = g_strconcat(path, "/", escaped, NULL);
	if (strcmp(name, "a") == 0 || strcmp(name, "default") == 0)
		return 0;
	g_free(ask(h, "GET", made, "", 0, false));
	g_free(ask(h, "DELETE", made, "", 0, false));
	return 0;
}
