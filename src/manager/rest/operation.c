/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * operation.c: what takes long: done on a worker, while its client waits as long as it wants to,
 * and can ask later. All but the work itself is on the main loop, under no lock.
 */
#include <stdlib.h>
#include <string.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rest/request.h"
#include "manager/event.h"

enum { WAIT_DEFAULT = 30, WAIT_MAX = 3600, KEPT = 256 };

enum operation_state { OPERATION_RUNNING, OPERATION_DONE, OPERATION_FAILED, OPERATION_CANCELLED };
static const char *const state_names[] = { "running", "done", "failed", "cancelled" };

struct operation {
	struct operations *all;
	const struct route *route;
	struct request *request; /* the work's; until it is done */
	struct request *waiting; /* the client's; NULL: has its answer */
	guint timer;
	int rc;
	GError *error;
	/* Guarded by all->lock: */
	unsigned id;
	enum operation_state state;
	char *object, *name; /* "/v1/machines/web1", "web1" */
	bool machine;
	bool cancelling;
	uint64_t done, total; /* bytes, as its call tells; total 0: it does not */
	int64_t started;      /* us since 1970 */
	unsigned status;
	json_t *result; /* NULL: none */
	json_t *error_json;
};

struct operations {
	struct rest *rest;
	GMutex lock;
	GQueue list; /* the oldest first */
	unsigned last_id, running;
};

struct operations *operations_new(struct rest *rest)
{
	struct operations *o = g_new0(struct operations, 1);

	o->rest = rest;
	g_mutex_init(&o->lock);
	g_queue_init(&o->list);
	return o;
}

static void operation_free(void *p)
{
	struct operation *op = p;

	g_free(op->object);
	g_free(op->name);
	json_decref(op->result);
	json_decref(op->error_json);
	g_clear_error(&op->error);
	g_free(op);
}

void operations_free(struct operations *o)
{
	g_queue_clear_full(&o->list, operation_free);
	g_mutex_clear(&o->lock);
	g_free(o);
}

unsigned operations_running(struct operations *o)
{
	return o->running;
}

/* Lock held. `progress` may be NULL. */
static json_t *describe(const struct operation *op, json_t *progress, uint64_t done, uint64_t total)
{
	g_autofree char *id = g_strdup_printf("%u", op->id);
	g_autofree char *what = g_strdup_printf("%s %s", op->route->what, op->name);
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:f, s:o, s:O?, s:O?}", "id", id, "what", what,
		"object", op->object, "state", state_names[op->state], "started",
		(double)op->started / 1e6, "progress",
		progress                      ? progress
		: op->state == OPERATION_DONE ? json_real(1)
					      : json_null(),
		"error", op->error_json ? json_object_get(op->error_json, "error") : NULL, "result",
		op->result);

	if (total) {
		json_object_set_new(j, "done", json_integer((json_int_t)done));
		json_object_set_new(j, "total", json_integer((json_int_t)total));
	}
	return j;
}

static void announce(struct operation *op)
{
	struct event ev = { .object = EVENT_JOB, .event = (int)op->state };
	g_autofree char *id = g_strdup_printf("%u", op->id);

	g_strlcpy(ev.name, op->name, sizeof(ev.name));
	ev.data = json_pack(
		"{s:s, s:s, s:s}", "id", id, "object", op->object, "state", state_names[op->state]);
	event_publish(op->request->manager->events, &ev);
}

static void answer_waiting(struct operation *op)
{
	struct request *w = op->waiting;

	op->waiting = NULL;
	if (op->timer)
		g_source_remove(op->timer);
	op->timer = 0;
	if (op->state == OPERATION_RUNNING) {
		w->status = 202;
		w->json = describe(op, NULL, 0, 0);
		rest_reply(w, 0, NULL);
		return;
	}
	w->status = op->status;
	w->json = op->result ? json_incref(op->result) : NULL;
	rest_reply(w, op->rc, op->error);
}

static gboolean waited_enough(gpointer opaque)
{
	struct operation *op = opaque;

	op->timer = 0;
	answer_waiting(op);
	return G_SOURCE_REMOVE;
}

static void operation_done(void *opaque)
{
	struct operation *op = opaque;
	struct operations *o = op->all;
	struct request *r = op->request;

	g_mutex_lock(&o->lock);
	op->state = op->rc == 0      ? OPERATION_DONE
		    : op->cancelling ? OPERATION_CANCELLED
				     : OPERATION_FAILED;
	op->status = r->status;
	op->result = r->json ? json_incref(r->json) : NULL;
	op->error_json = op->rc < 0 ? request_error_json(op->error) : NULL;
	o->running--;
	g_mutex_unlock(&o->lock);
	announce(op);
	if (op->waiting)
		answer_waiting(op);
	request_free(r);
	op->request = NULL;
}

static void operation_run(void *opaque)
{
	struct operation *op = opaque;

	op->rc = op->route->run(op->request, &op->error);
	rest_later(operation_done, op);
}

/* The path of what it is about: the first three segments, or five for what stands in a pool. */
static char *object_of(const char *path)
{
	const char *p = path;

	for (int slashes = 0; *p; p++) {
		if (*p == '/' && ++slashes == 4)
			break;
	}
	return g_strndup(path, (gsize)(p - path));
}

/* The client's part of a request, when the work goes on without it. */
static struct request *split(struct request *r)
{
	struct request *w = g_new0(struct request, 1);

	w->rest = r->rest;
	w->manager = r->manager;
	w->msg = g_steal_pointer(&r->msg);
	w->gone = r->gone;
	return w;
}

static void mark_gone(SoupServerMessage *msg, gpointer opaque)
{
	((struct request *)opaque)->gone = true;
}

static void forget_old(struct operations *o)
{
	for (GList *l = o->list.head; l && o->list.length > KEPT;) {
		GList *next = l->next;
		struct operation *op = l->data;

		if (op->state != OPERATION_RUNNING && !op->waiting) {
			operation_free(op);
			g_queue_delete_link(&o->list, l);
		}
		l = next;
	}
}

static double wait_of(struct request *r, const struct route *route)
{
	const char *s = request_string(r, "wait");
	double wait = route->kind == ROUTE_LONG ? 0 : WAIT_DEFAULT;

	if (s)
		wait = g_ascii_strtod(s, NULL);
	return wait >= 0 && wait <= WAIT_MAX ? wait : WAIT_MAX;
}

void operation_start(struct operations *o, struct request *r, const struct route *route)
{
	struct operation *op = g_new0(struct operation, 1);
	double wait = wait_of(r, route);

	op->all = o;
	op->route = route;
	op->object = object_of(g_uri_get_path(soup_server_message_get_uri(r->msg)));
	op->name = g_strdup(r->params[0]);
	op->machine = g_str_has_prefix(op->object, "/v1/machines/");
	op->started = g_get_real_time();
	op->request = r;
	r->operation = op;
	g_signal_handlers_disconnect_by_data(r->msg, r);
	op->waiting = split(r);
	g_signal_connect(op->waiting->msg, "disconnected", G_CALLBACK(mark_gone), op->waiting);
	g_mutex_lock(&o->lock);
	op->id = ++o->last_id;
	o->running++;
	forget_old(o);
	g_queue_push_tail(&o->list, op);
	g_mutex_unlock(&o->lock);
	if (wait > 0)
		op->timer = g_timeout_add((guint)(wait * 1000), waited_enough, op);
	rest_push(o->rest, operation_run, op);
	if (wait == 0)
		answer_waiting(op);
}

/* ---- asking about them: on workers ---- */

/* May this caller see it? Who may read the machine, or the host. */
static bool may_see(const struct request *r, const struct operation *op)
{
	void *role;

	if (op->machine && r->caller.roles &&
		g_hash_table_lookup_extended(r->caller.roles, op->name, NULL, &role))
		return GPOINTER_TO_INT(role) >= ROLE_READ;
	return r->caller.role >= ROLE_READ;
}

bool operation_progress(void *operation, uint64_t done, uint64_t total)
{
	struct operation *op = operation;
	bool go;

	g_mutex_lock(&op->all->lock);
	op->done = done;
	op->total = total;
	go = !op->cancelling;
	g_mutex_unlock(&op->all->lock);
	return go;
}

/* How far the machine's job is. */
static json_t *progress_of(struct request *r, const char *name, uint64_t *done, uint64_t *total)
{
	struct remote_domain_lookup_by_name_args by_name = { .name = (char *)name };
	struct remote_domain_lookup_by_name_ret found = {};
	struct remote_domain_get_job_stats_ret stats = {};
	json_t *progress = NULL;

	if (request_call(r, REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME, &by_name, &found, NULL) == 0 &&
		request_call(r, REMOTE_PROC_DOMAIN_GET_JOB_STATS,
			&(struct remote_domain_get_job_stats_args){ .dom = found.dom }, &stats,
			NULL) == 0) {
		for (uint32_t i = 0; i < stats.params_count; i++) {
			if (strcmp(stats.params[i].field, "data_total") == 0)
				*total = stats.params[i].value.u64;
			else if (strcmp(stats.params[i].field, "data_processed") == 0)
				*done = stats.params[i].value.u64;
		}
		if (*total)
			progress = json_real(MIN((double)*done / (double)*total, 1));
	}
	xdr_clear(&remote_domain_lookup_by_name_ret_type, &found);
	xdr_clear(&remote_domain_get_job_stats_ret_type, &stats);
	return progress;
}

int rest_operation_list(struct request *r, GError **error)
{
	struct operations *o = rest_operations(r->rest);

	r->json = json_array();
	g_mutex_lock(&o->lock);
	for (GList *l = o->list.head; l; l = l->next) {
		if (may_see(r, l->data))
			json_array_append_new(r->json, describe(l->data, NULL, 0, 0));
	}
	g_mutex_unlock(&o->lock);
	return 0;
}

/* Lock held. */
static struct operation *find(struct operations *o, const struct request *r)
{
	for (GList *l = o->list.head; l; l = l->next) {
		struct operation *op = l->data;

		if (op->id == strtoul(r->params[0], NULL, 10) && may_see(r, op))
			return op;
	}
	return NULL;
}

/* Waits up to ?wait seconds for its end. */
int rest_operation_get(struct request *r, GError **error)
{
	struct operations *o = rest_operations(r->rest);
	const char *s = request_string(r, "wait");
	int64_t end =
		g_get_monotonic_time() + (int64_t)(s ? MIN(g_ascii_strtod(s, NULL), 60) * 1e6 : 0);
	struct operation *op;
	g_autofree char *machine = NULL;
	uint64_t done = 0, total = 0;
	json_t *progress = NULL;

	g_mutex_lock(&o->lock);
	while ((op = find(o, r)) && op->state == OPERATION_RUNNING &&
		g_get_monotonic_time() < end) {
		g_mutex_unlock(&o->lock);
		g_usleep(20000);
		g_mutex_lock(&o->lock);
	}
	machine = op && op->machine && op->state == OPERATION_RUNNING ? g_strdup(op->name) : NULL;
	g_mutex_unlock(&o->lock);
	if (machine)
		progress = progress_of(r, machine, &done, &total);
	g_mutex_lock(&o->lock);
	op = find(o, r);
	if (op && !progress && op->total) {
		done = op->done;
		total = op->total;
		progress = json_real(MIN((double)done / (double)total, 1));
	}
	if (op)
		r->json = describe(op, progress, done, total);
	else
		json_decref(progress);
	g_mutex_unlock(&o->lock);
	if (!op)
		r->status = 404;
	return op ? 0 : refuse(error, MANAGER_ERR_INVALID_ARG, "no operation %s", r->params[0]);
}

int rest_operation_cancel(struct request *r, GError **error)
{
	struct operations *o = rest_operations(r->rest);
	g_autofree char *machine = NULL;
	struct remote_domain_lookup_by_name_ret found = {};
	struct operation *op;
	bool running, tells;
	int rc;

	g_mutex_lock(&o->lock);
	op = find(o, r);
	running = op && op->state == OPERATION_RUNNING;
	machine = running && op->machine ? g_strdup(op->name) : NULL;
	tells = running && op->total;
	if (machine || tells)
		op->cancelling = true;
	if (op)
		r->json = describe(op, NULL, 0, 0);
	g_mutex_unlock(&o->lock);
	r->status = op ? 202 : 404;
	if (!op)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no operation %s", r->params[0]);
	if (!running)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "operation %s has ended",
			r->params[0]);
	if (tells) /* its next step ends it */
		return 0;
	if (!machine)
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"operation %s cannot be cancelled", r->params[0]);
	rc = request_call(r, REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME,
		&(struct remote_domain_lookup_by_name_args){ machine }, &found, error);
	if (rc == 0)
		rc = request_call(r, REMOTE_PROC_DOMAIN_ABORT_JOB,
			&(struct remote_domain_abort_job_args){ found.dom }, NULL, error);
	xdr_clear(&remote_domain_lookup_by_name_ret_type, &found);
	return rc;
}
