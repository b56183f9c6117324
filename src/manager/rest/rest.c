/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rest.c: from an HTTP message to its handler, on a worker, and back. */
#include "manager/rest/rest.h"

#include <string.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rest/request.h"
#include "manager/rpc/client.h"

enum { WORKERS = 32 };

struct rest {
	struct rpc_server *server;
	struct manager *manager;
	SoupServer *soup;
	struct rest_doors *doors;
	struct operations *operations;
	struct rest_events *events;
	GThreadPool *workers;
	unsigned calls; /* under way */
};

struct task {
	void (*work)(void *opaque);
	void *opaque;
};

struct call {
	struct request *request;
	const struct route *route;
	int rc;
	GError *error;
};

struct rpc_server *rest_server(struct rest *r)
{
	return r->server;
}

struct operations *rest_operations(struct rest *r)
{
	return r->operations;
}

struct rest_events *rest_events(struct rest *r)
{
	return r->events;
}

static void run_task(gpointer data, gpointer opaque)
{
	struct task *t = data;

	t->work(t->opaque);
	g_free(t);
}

void rest_push(struct rest *r, void (*work)(void *opaque), void *opaque)
{
	struct task *t = g_new(struct task, 1);

	*t = (struct task){ work, opaque };
	g_thread_pool_push(r->workers, t, NULL);
}

static gboolean run_later(gpointer data)
{
	run_task(data, NULL);
	return G_SOURCE_REMOVE;
}

void rest_later(void (*fn)(void *opaque), void *opaque)
{
	struct task *t = g_new(struct task, 1);

	*t = (struct task){ fn, opaque };
	g_idle_add_full(G_PRIORITY_DEFAULT, run_later, t, NULL);
}

static void set_body(struct request *r)
{
	SoupMessageHeaders *h = soup_server_message_get_response_headers(r->msg);

	soup_message_headers_replace(h, "Cache-Control", "no-store");
	if (r->json) {
		char *text = json_dumps(r->json, JSON_COMPACT);
		char *line = g_strconcat(text ? text : "null", "\n", NULL);

		free(text);
		soup_server_message_set_response(
			r->msg, "application/json", SOUP_MEMORY_TAKE, line, strlen(line));
	} else if (r->text) {
		size_t len = strlen(r->text);

		soup_server_message_set_response(r->msg, r->text_type ? r->text_type : "text/plain",
			SOUP_MEMORY_TAKE, g_steal_pointer(&r->text), len);
	}
}

void rest_reply(struct request *r, int rc, const GError *error)
{
	if (rc < 0) {
		json_decref(r->json);
		g_clear_pointer(&r->text, g_free);
		r->json = request_error_json(error);
		if (r->status < 400)
			r->status = request_error_status(error);
	}
	if (!r->status)
		r->status = r->json || r->text ? 200 : 204;
	if (!r->gone) {
		set_body(r);
		soup_server_message_set_status(r->msg, r->status, NULL);
		soup_server_message_unpause(r->msg);
	}
	g_signal_handlers_disconnect_by_data(r->msg, r);
	request_free(r);
}

static void call_done(void *opaque)
{
	struct call *c = opaque;

	c->request->rest->calls--;
	rest_reply(c->request, c->rc, c->error);
	g_clear_error(&c->error);
	g_free(c);
}

static void call_run(void *opaque)
{
	struct call *c = opaque;

	c->rc = c->route->run(c->request, &c->error);
	rest_later(call_done, c);
}

static void gone(SoupServerMessage *msg, gpointer opaque)
{
	((struct request *)opaque)->gone = true;
}

static struct request *request_new(struct rest *rest, SoupServerMessage *msg, GHashTable *query)
{
	struct request *r = g_new0(struct request, 1);
	SoupMessageBody *body = soup_server_message_get_request_body(msg);
	g_autoptr(GBytes) bytes =
		soup_message_body_get_accumulate(body) ? soup_message_body_flatten(body) : NULL;
	gsize len = 0;
	const char *data = bytes ? g_bytes_get_data(bytes, &len) : NULL;

	r->rest = rest;
	r->manager = rest->manager;
	r->msg = g_object_ref(msg);
	r->query = query ? g_hash_table_ref(query) : NULL;
	if (len) {
		r->raw = g_malloc(len + 1);
		memcpy(r->raw, data, len);
		r->raw[len] = 0;
		r->raw_len = len;
	}
	rest_doors_caller(rest->doors, msg, &r->caller);
	g_signal_connect(msg, "disconnected", G_CALLBACK(gone), r);
	return r;
}

/* The body as JSON where it says so. */
static int parse_json(struct request *r, GError **error)
{
	SoupMessageHeaders *h = soup_server_message_get_request_headers(r->msg);
	const char *type = soup_message_headers_get_content_type(h, NULL);
	json_error_t e;

	if (!r->raw || !type || strcmp(type, "application/json") != 0)
		return 0;
	r->body = json_loadb(r->raw, r->raw_len, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(r->body))
		return refuse(
			error, MANAGER_ERR_INVALID_ARG, "the body is no JSON object: %s", e.text);
	return 0;
}

/* Too long, or already answered while its head came. */
static bool refused_early(SoupServerMessage *msg)
{
	return GPOINTER_TO_INT(g_object_get_data(G_OBJECT(msg), "lodge-too-long"));
}

static int admit(struct request *r, const struct route **ret_route, GError **error)
{
	const char *method = soup_server_message_get_method(r->msg);
	const char *path = g_uri_get_path(soup_server_message_get_uri(r->msg));
	const struct route *route;
	bool known;

	route = rest_match(method, path, r->params, &known);
	if (!route) {
		r->status = known ? 405 : 404;
		return refuse(error, MANAGER_ERR_NO_SUPPORT,
			known ? "%s does not go with %s" : "no %s of %s", method, path);
	}
	if (r->caller.role == ROLE_NONE && !r->caller.roles && route->run != rest_version) {
		soup_message_headers_replace(soup_server_message_get_response_headers(r->msg),
			"WWW-Authenticate", "Bearer");
		audit_write(r->caller.audit, "denied %s from %s: %s %s needs a known caller",
			r->caller.identity, r->caller.address, method, path);
		return refuse(error, MANAGER_ERR_AUTH_FAILED,
			"a token, a certificate or a local user is needed");
	}
	if (refused_early(r->msg))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "a body of more than %d bytes",
			REST_BODY_MAX);
	*ret_route = route;
	return parse_json(r, error);
}

static void refuse_now(struct request *r, GError *error)
{
	unsigned status = r->status;

	json_decref(r->json);
	r->json = request_error_json(error);
	r->status = status ? status : refused_early(r->msg) ? 413 : request_error_status(error);
	set_body(r);
	soup_server_message_set_status(r->msg, r->status, NULL);
	g_signal_handlers_disconnect_by_data(r->msg, r);
	request_free(r);
}

static void handle(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
	gpointer opaque)
{
	struct rest *rest = opaque;
	struct request *r = request_new(rest, msg, query);
	const struct route *route;
	g_autoptr(GError) error = NULL;
	struct call *c;

	if (admit(r, &route, &error) < 0) {
		refuse_now(r, error);
		return;
	}
	soup_server_message_pause(msg);
	if (route->kind == ROUTE_MAIN) {
		if (route->run(r, &error) < 0)
			rest_reply(r, -1, error);
		return;
	}
	if (route->kind != ROUTE_CALL) {
		operation_start(rest->operations, r, route);
		return;
	}
	rest->calls++;
	c = g_new0(struct call, 1);
	c->request = r;
	c->route = route;
	rest_push(rest, call_run, c);
}

static void count_chunk(SoupServerMessage *msg, GBytes *chunk, gpointer opaque)
{
	SoupMessageBody *body = soup_server_message_get_request_body(msg);
	gsize so_far = GPOINTER_TO_SIZE(g_object_get_data(G_OBJECT(msg), "lodge-length"));

	so_far += g_bytes_get_size(chunk);
	g_object_set_data(G_OBJECT(msg), "lodge-length", GSIZE_TO_POINTER(so_far));
	if (so_far > REST_BODY_MAX) {
		soup_message_body_set_accumulate(body, FALSE);
		g_object_set_data(G_OBJECT(msg), "lodge-too-long", GINT_TO_POINTER(1));
	}
}

/* An upload is written while it comes; one that will be refused is not kept. */
static void begin_upload(struct rest *rest, SoupServerMessage *msg, GHashTable *query)
{
	struct request *r = request_new(rest, msg, query);
	bool known;

	soup_message_body_set_accumulate(soup_server_message_get_request_body(msg), FALSE);
	rest_match("PUT", g_uri_get_path(soup_server_message_get_uri(msg)), r->params, &known);
	g_signal_handlers_disconnect_by_data(msg, r);
	if (r->caller.role == ROLE_NONE && !r->caller.roles)
		request_free(r);
	else
		rest_upload_begin(r);
}

/* The head is there, the body is not: bound it, or take it as it comes. */
static void handle_early(SoupServer *soup, SoupServerMessage *msg, const char *path,
	GHashTable *query, gpointer opaque)
{
	SoupMessageHeaders *h = soup_server_message_get_request_headers(msg);
	char *params[REST_PARAMS] = {};
	bool known;
	const struct route *route = rest_match(soup_server_message_get_method(msg),
		g_uri_get_path(soup_server_message_get_uri(msg)), params, &known);

	for (unsigned i = 0; i < REST_PARAMS; i++)
		g_free(params[i]);
	if (route && route->run == rest_volume_upload) {
		begin_upload(opaque, msg, query);
		return;
	}
	g_signal_connect(msg, "got-chunk", G_CALLBACK(count_chunk), NULL);
	if (soup_message_headers_get_encoding(h) == SOUP_ENCODING_CONTENT_LENGTH &&
		soup_message_headers_get_content_length(h) > REST_BODY_MAX) {
		soup_message_body_set_accumulate(soup_server_message_get_request_body(msg), FALSE);
		g_object_set_data(G_OBJECT(msg), "lodge-too-long", GINT_TO_POINTER(1));
	}
}

struct rest *rest_new(
	struct rpc_server *s, const struct door_config *c, struct audit *audit, GError **error)
{
	struct rest *r = g_new0(struct rest, 1);

	r->server = s;
	r->manager = s->manager;
	r->soup = soup_server_new("server-header", "lodged", "raw-paths", TRUE, NULL);
	r->workers = g_thread_pool_new(run_task, NULL, WORKERS, FALSE, NULL);
	r->operations = operations_new(r);
	r->events = rest_events_new(r, r->manager);
	soup_server_add_early_handler(r->soup, NULL, handle_early, r, NULL);
	soup_server_add_handler(r->soup, NULL, handle, r, NULL);
	r->doors = rest_doors_open(r->soup, c, audit, error);
	if (r->doors)
		return r;
	rest_free(r);
	return NULL;
}

unsigned rest_busy(struct rest *r)
{
	return (r->doors ? rest_doors_count(r->doors) : 0) + operations_running(r->operations);
}

void rest_free(struct rest *r)
{
	if (!r)
		return;
	rest_doors_close(r->doors);
	rest_events_free(r->events);
	soup_server_disconnect(r->soup);
	/* What runs ends, and its replies go nowhere. */
	while (r->calls || operations_running(r->operations))
		g_main_context_iteration(NULL, TRUE);
	operations_free(r->operations);
	g_thread_pool_free(r->workers, FALSE, TRUE);
	g_object_unref(r->soup);
	g_free(r);
}
