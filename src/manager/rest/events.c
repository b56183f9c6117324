/* SPDX-License-Identifier: GPL-2.0-or-later */
/* events.c: /v1/events, as server-sent events or over a WebSocket. Spec: WHATWG HTML, server-sent
 * events. */
#include "manager/event.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rest/request.h"
#include "manager/rest/tunnel.h"

enum { KEPT = 1024, PENDING_MAX = 1 << 20, HEARTBEAT = 15 };

/* One who listens. */
struct listener {
	struct rest_events *all;
	struct request *request; /* server-sent events; NULL: a WebSocket's */
	gulong gone, wrote;
	size_t pending;
	int fd;               /* of a WebSocket: a message each, -1 else */
	struct caller caller; /* of a WebSocket */
	char *object, *name;  /* only these; NULL: all */
};

/* One that happened, as text, for those who come again with the number of their last one. */
struct kept {
	uint64_t serial;
	char *object, *name;
	char *text;
};

struct rest_events {
	struct rest *rest;
	struct event_bus *bus;
	unsigned id;
	guint heartbeat;
	GPtrArray *listeners;
	GQueue kept;
};

static const char *const objects[] = { "machine", "network", "pool", "volume", "node-device",
	"secret", "operation", "machine" };
static const char *const domain_kinds[] = { "lifecycle", "reboot", "rtc-change", "watchdog",
	"io-error", "graphics", "io-error", "control-error", "block-job", "disk-change",
	"tray-change", "pm-wakeup", "pm-suspend", "balloon-change", "pm-suspend-disk",
	"device-removed", "block-job", "tunable", "agent-lifecycle", "device-added",
	"migration-iteration", "job-completed", "device-removal-failed", "metadata-change",
	"block-threshold", "memory-failure", "memory-device-size-change" };
static const char *const domain_events[] = { "defined", "undefined", "started", "suspended",
	"resumed", "stopped", "shutdown", "pmsuspended", "crashed" };
static const char *const started[] = { "booted", "migrated", "restored", "from snapshot", "wakeup",
	NULL };
static const char *const suspended[] = { "paused", "migrated", "I/O error", "watchdog", "restored",
	"from snapshot", "api error", "post-copy", "post-copy failed", NULL };
static const char *const resumed[] = { "unpaused", "migrated", "from snapshot", "post-copy", NULL };
static const char *const stopped[] = { "shutdown", "destroyed", "crashed", "migrated", "saved",
	"failed", "from snapshot", NULL };
static const char *const defined[] = { "added", "updated", "renamed", "from snapshot", NULL };
static const char *const undefined[] = { "removed", "renamed", NULL };
static const char *const shut_down[] = { "finished", "guest", "host", NULL };
static const char *const crashed[] = { "panicked", "crashloaded", NULL };
static const char *const *const domain_details[] = { defined, undefined, started, suspended,
	resumed, stopped, shut_down, NULL, crashed };
static const char *const other_events[] = { "defined", "undefined", "started", "stopped", "created",
	"deleted" };
static const char *const job_events[] = { "running", "done", "failed", "cancelled" };

static const char *pick(const char *const *list, size_t count, int i)
{
	return i >= 0 && (size_t)i < count ? list[i] : NULL;
}

static const char *kind_of(const struct event *ev)
{
	if (ev->object == EVENT_MONITOR)
		return "monitor";
	if (ev->object == EVENT_DOMAIN)
		return pick(domain_kinds, G_N_ELEMENTS(domain_kinds), ev->kind);
	return ev->kind == 0 ? "lifecycle" : ev->object == EVENT_POOL ? "refresh" : "change";
}

static const char *event_name(const struct event *ev, const char **ret_detail)
{
	*ret_detail = NULL;
	if (ev->object == EVENT_JOB)
		return pick(job_events, G_N_ELEMENTS(job_events), ev->event);
	if (ev->kind != 0)
		return NULL;
	if (ev->object != EVENT_DOMAIN)
		return pick(other_events, G_N_ELEMENTS(other_events), ev->event);
	if (ev->event >= 0 && (size_t)ev->event < G_N_ELEMENTS(domain_details) &&
		domain_details[ev->event])
		*ret_detail = pick(domain_details[ev->event],
			g_strv_length((char **)domain_details[ev->event]), ev->detail);
	return pick(domain_events, G_N_ELEMENTS(domain_events), ev->event);
}

static char *event_text(const struct event *ev)
{
	const char *detail, *name = event_name(ev, &detail), *kind = kind_of(ev);
	json_t *j = json_pack("{s:I, s:f, s:s, s:s, s:o, s:s, s:s*, s:s*, s:O?}", "serial",
		(json_int_t)ev->serial, "time", (double)ev->time / 1e6, "object",
		objects[ev->object], "name", ev->name, "uuid", request_uuid_json(ev->uuid), "kind",
		kind ? kind : "unknown", "event", name, "detail", detail, "data", ev->data);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL, *copy = g_strdup(text ? text : "{}");

	free(text);
	json_decref(j);
	return copy;
}

static bool may_hear(const struct caller *c, const struct kept *k)
{
	void *role;

	if (strcmp(k->object, "machine") == 0 && c->roles &&
		g_hash_table_lookup_extended(c->roles, k->name, NULL, &role))
		return GPOINTER_TO_INT(role) >= ROLE_READ;
	return c->role >= ROLE_READ;
}

static void listener_drop(struct listener *l)
{
	if (l->request) {
		struct request *r = l->request;

		g_signal_handler_disconnect(r->msg, l->gone);
		g_signal_handler_disconnect(r->msg, l->wrote);
		g_signal_handlers_disconnect_by_data(r->msg, r);
		request_free(r);
	}
	if (l->fd >= 0)
		close(l->fd);
	caller_clear(&l->caller);
	g_free(l->object);
	g_free(l->name);
	g_ptr_array_remove_fast(l->all->listeners, l);
	g_free(l);
}

/* Who does not read is let go. False: it is. */
static bool append(struct listener *l, const char *text)
{
	SoupMessageBody *body = soup_server_message_get_response_body(l->request->msg);
	size_t len = strlen(text);

	l->pending += len;
	if (l->pending > PENDING_MAX) {
		GIOStream *stream = soup_server_message_steal_connection(l->request->msg);

		if (stream)
			g_object_unref(stream);
		return false;
	}
	soup_message_body_append(body, SOUP_MEMORY_COPY, text, len);
	soup_server_message_unpause(l->request->msg);
	return true;
}

static bool hand_over(struct listener *l, const struct kept *k)
{
	g_autofree char *text = NULL;

	if ((l->object && strcmp(l->object, k->object) != 0) ||
		(l->name && strcmp(l->name, k->name) != 0) ||
		!may_hear(l->request ? &l->request->caller : &l->caller, k))
		return true;
	if (l->fd >= 0)
		return send(l->fd, k->text, strlen(k->text), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
	text = g_strdup_printf("id: %" G_GUINT64_FORMAT "\ndata: %s\n\n", k->serial, k->text);
	return append(l, text);
}

static void kept_free(void *p)
{
	struct kept *k = p;

	g_free(k->object);
	g_free(k->name);
	g_free(k->text);
	g_free(k);
}

static void happened(const struct event *ev, void *opaque)
{
	struct rest_events *e = opaque;
	struct kept *k = g_new0(struct kept, 1);

	k->serial = ev->serial;
	k->object = g_strdup(objects[ev->object]);
	k->name = g_strdup(ev->name);
	k->text = event_text(ev);
	g_queue_push_tail(&e->kept, k);
	for (guint i = e->listeners->len; i-- > 0;) {
		struct listener *l = e->listeners->pdata[i];

		if (!hand_over(l, k))
			listener_drop(l);
	}
	if (e->kept.length > KEPT)
		kept_free(g_queue_pop_head(&e->kept));
}

/* A comment, so that proxies and dead clients are noticed. */
static gboolean beat(gpointer opaque)
{
	struct rest_events *e = opaque;

	for (guint i = e->listeners->len; i-- > 0;) {
		struct listener *l = e->listeners->pdata[i];

		if (l->request && !append(l, ":\n\n"))
			listener_drop(l);
	}
	return G_SOURCE_CONTINUE;
}

static void listener_gone(SoupServerMessage *msg, gpointer opaque)
{
	listener_drop(opaque);
}

static void listener_wrote(SoupServerMessage *msg, guint size, gpointer opaque)
{
	struct listener *l = opaque;

	l->pending -= MIN(l->pending, size);
}

static struct listener *listener_new(struct rest_events *e, const struct request *r)
{
	struct listener *l = g_new0(struct listener, 1);

	l->all = e;
	l->fd = -1;
	l->object = g_strdup(request_string(r, "object"));
	l->name = g_strdup(request_string(r, "name"));
	g_ptr_array_add(e->listeners, l);
	return l;
}

static int stream_websocket(struct rest_events *e, struct request *r, GError **error)
{
	struct listener *l;
	int pair[2];

	/* A packet is a message; what the socket does not take is too much for this client. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return refuse(error, MANAGER_ERR_SYSTEM, "no descriptors left");
	l = listener_new(e, r);
	l->fd = pair[0];
	l->caller = r->caller;
	r->caller = (struct caller){};
	if (tunnel_start(r, pair[1], TUNNEL_TEXT, error) == 0)
		return 0;
	r->caller = l->caller;
	l->caller = (struct caller){};
	listener_drop(l);
	return -1;
}

int rest_event_stream(struct request *r, GError **error)
{
	struct rest_events *e = rest_events(r->rest);
	SoupMessageHeaders *in = soup_server_message_get_request_headers(r->msg);
	SoupMessageHeaders *out = soup_server_message_get_response_headers(r->msg);
	const char *last = soup_message_headers_get_one(in, "Last-Event-ID");
	struct listener *l;
	bool open;

	if (tunnel_wanted(r))
		return stream_websocket(e, r, error);
	soup_server_message_set_status(r->msg, 200, NULL);
	soup_message_headers_set_content_type(out, "text/event-stream", NULL);
	soup_message_headers_set_encoding(out, SOUP_ENCODING_CHUNKED);
	soup_message_headers_replace(out, "Cache-Control", "no-store");
	soup_message_body_set_accumulate(soup_server_message_get_response_body(r->msg), FALSE);
	l = listener_new(e, r);
	l->request = r;
	l->gone = g_signal_connect(r->msg, "disconnected", G_CALLBACK(listener_gone), l);
	l->wrote = g_signal_connect(r->msg, "wrote-body-data", G_CALLBACK(listener_wrote), l);
	open = append(l, ":\n\n");
	for (GList *k = last ? e->kept.head : NULL; k && open; k = k->next) {
		if (((struct kept *)k->data)->serial > g_ascii_strtoull(last, NULL, 10))
			open = hand_over(l, k->data);
	}
	if (!open)
		listener_drop(l);
	return 0;
}

struct rest_events *rest_events_new(struct rest *rest, struct manager *m)
{
	struct rest_events *e = g_new0(struct rest_events, 1);

	e->rest = rest;
	e->bus = m->events;
	e->listeners = g_ptr_array_new();
	g_queue_init(&e->kept);
	e->heartbeat = g_timeout_add_seconds(HEARTBEAT, beat, e);
	e->id = event_listen(m->events, happened, e);
	return e;
}

void rest_events_free(struct rest_events *e)
{
	event_unlisten(e->bus, e->id);
	g_source_remove(e->heartbeat);
	while (e->listeners->len)
		listener_drop(e->listeners->pdata[0]);
	g_ptr_array_free(e->listeners, TRUE);
	g_queue_clear_full(&e->kept, kept_free);
	g_free(e);
}
