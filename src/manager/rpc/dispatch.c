/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dispatch.c: from a frame to a handler on a worker, and from its result to a reply. */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/error.h"
#include "manager/rpc/client.h"

/* Of a procedure: what the protocol says and who answers. */
struct entry {
	const struct wire_procedure *wire;
	const struct rpc_procedure *handler; /* NULL: nobody */
};

struct program {
	uint32_t number;
	unsigned count; /* of entries, by procedure number */
	struct entry *entries;
};

struct rpc_index {
	struct program programs[2];
};

struct job {
	struct rpc_client *client;
	const struct entry *entry;
	struct rpc_header header;
	struct rpc_call call;
	size_t len;
	uint8_t payload[];
};

static const struct rpc_procedure *const tables[] = {
	rpc_connect_procedures,
	rpc_node_procedures,
	rpc_event_procedures,
	rpc_auth_procedures,
	rpc_domain_procedures,
	rpc_domain_info_procedures,
	rpc_domain_tune_procedures,
	rpc_domain_params_procedures,
	rpc_domain_device_procedures,
	rpc_domain_stats_procedures,
	rpc_domain_job_procedures,
	rpc_snapshot_procedures,
	rpc_network_procedures,
	rpc_pool_procedures,
	rpc_volume_procedures,
	rpc_nwfilter_procedures,
	rpc_secret_procedures,
	rpc_node_device_procedures,
	rpc_interface_procedures,
};
static const struct rpc_procedure *const qemu_tables[] = { rpc_qemu_procedures,
	rpc_qemu_event_procedures };

bool rpc_progress(void *opaque, uint64_t done, uint64_t total)
{
	struct rpc_call *call = opaque;
	bool closed = false;

	if (call->client) {
		g_mutex_lock(&call->client->lock);
		closed = call->client->closed;
		g_mutex_unlock(&call->client->lock);
	}
	return !closed && (!call->progress || call->progress(call->progress_opaque, done, total));
}

static void index_program(struct program *p, uint32_t number, const struct wire_procedure *wire,
	unsigned wire_count, const struct rpc_procedure *const *lists, unsigned list_count)
{
	p->number = number;
	p->count = wire[wire_count - 1].number + 1;
	p->entries = g_new0(struct entry, p->count);
	for (unsigned i = 0; i < wire_count; i++)
		p->entries[wire[i].number].wire = &wire[i];
	for (unsigned i = 0; i < list_count; i++) {
		for (const struct rpc_procedure *h = lists[i]; h->number; h++) {
			g_assert(h->number < p->count && p->entries[h->number].wire &&
				 !p->entries[h->number].wire->event &&
				 !p->entries[h->number].handler);
			p->entries[h->number].handler = h;
		}
	}
}

struct rpc_index *rpc_index_new(void)
{
	struct rpc_index *i = g_new0(struct rpc_index, 1);

	index_program(&i->programs[0], REMOTE_PROGRAM, remote_procedures, remote_procedure_count,
		tables, G_N_ELEMENTS(tables));
	index_program(&i->programs[1], QEMU_PROGRAM, qemu_procedures, qemu_procedure_count,
		qemu_tables, G_N_ELEMENTS(qemu_tables));
	return i;
}

void rpc_index_free(struct rpc_index *i)
{
	g_free(i->programs[0].entries);
	g_free(i->programs[1].entries);
	g_free(i);
}

/* libvirt's virErrorDomain: who complains. Clients show it in messages at most. */
static int error_domain(int code)
{
	switch (code) {
	case MANAGER_ERR_RPC: return 7;
	case MANAGER_ERR_XML: return 27;
	case MANAGER_ERR_NO_POOL:
	case MANAGER_ERR_NO_VOLUME:
	case MANAGER_ERR_STORAGE_VOL_EXIST: return 18;
	case MANAGER_ERR_NO_NETWORK: return 19;
	case MANAGER_ERR_NO_NODE_DEVICE: return 22;
	case MANAGER_ERR_NO_INTERFACE: return 26;
	case MANAGER_ERR_NO_SECRET: return 30;
	case MANAGER_ERR_NO_NWFILTER: return 33;
	default: return 10; /* the hypervisor's driver */
	}
}

void rpc_client_send_error(struct rpc_client *c, const struct rpc_header *h, const GError *error)
{
	bool ours = error && error->domain == MANAGER_ERROR;
	int code = ours ? error->code : MANAGER_ERR_OPERATION_FAILED;
	struct remote_error e = { .code = code,
		.domain = error_domain(code),
		.level = 2,
		.message = error ? error->message : (char *)"it failed and does not say why" };
	struct rpc_header reply = *h;
	GByteArray *frame = rpc_frame_new();

	if (h->type == RPC_CALL || h->type == RPC_CALL_WITH_FDS)
		reply.type = RPC_REPLY;
	reply.status = RPC_ERROR;
	if (xdr_encode(&remote_error_type, &e, frame, RPC_FRAME_MAX, NULL) < 0) {
		e.message = (char *)"it failed, with a message too long to tell";
		xdr_encode(&remote_error_type, &e, frame, RPC_FRAME_MAX, NULL);
	}
	rpc_client_send(c, frame, &reply, NULL, 0);
}

static void reply_refusal(struct rpc_client *c, const struct rpc_header *h, enum manager_error code,
	const char *fmt, ...) G_GNUC_PRINTF(4, 5);
static void reply_refusal(struct rpc_client *c, const struct rpc_header *h, enum manager_error code,
	const char *fmt, ...)
{
	g_autoptr(GError) error = NULL;
	va_list ap;

	va_start(ap, fmt);
	error = g_error_new_valist(MANAGER_ERROR, (int)code, fmt, ap);
	va_end(ap);
	rpc_client_send_error(c, h, error);
}

static void keepalive(struct rpc_client *c, const struct rpc_header *h)
{
	struct rpc_header pong = *h;

	if (h->procedure != KEEPALIVE_PING)
		return; /* that it came is all there is to know */
	pong.procedure = KEEPALIVE_PONG;
	rpc_client_send(c, rpc_frame_new(), &pong, NULL, 0);
}

/* Of a procedure nobody knows: an empty one. */
static const struct entry *find(struct rpc_server *s, const struct rpc_header *h)
{
	static const struct entry none;

	for (unsigned i = 0; i < G_N_ELEMENTS(s->index->programs); i++) {
		const struct program *p = &s->index->programs[i];

		if (p->number == h->program && h->version == 1 && h->procedure < p->count)
			return &p->entries[h->procedure];
	}
	return &none;
}

static bool allowed_unknown(const struct rpc_header *h)
{
	return h->program == REMOTE_PROGRAM && h->procedure >= REMOTE_PROC_AUTH_LIST &&
	       h->procedure <= REMOTE_PROC_AUTH_POLKIT;
}

static bool allowed_unopened(const struct rpc_header *h)
{
	return allowed_unknown(h) ||
	       (h->program == REMOTE_PROGRAM &&
		       (h->procedure == REMOTE_PROC_CONNECT_OPEN ||
			       h->procedure == REMOTE_PROC_CONNECT_CLOSE ||
			       h->procedure == REMOTE_PROC_CONNECT_SUPPORTS_FEATURE));
}

static void start_job(struct rpc_client *c, const struct entry *e, const struct rpc_header *h,
	const uint8_t *payload, size_t len, const int *fds, unsigned fd_count)
{
	struct job *job = g_malloc0(sizeof(*job) + len);

	job->client = rpc_client_ref(c);
	job->entry = e;
	job->header = *h;
	job->len = len;
	if (len)
		memcpy(job->payload, payload, len);
	job->call = (struct rpc_call){ .manager = c->server->manager,
		.client = c,
		.caller = &c->caller,
		.serial = h->serial,
		.fd_count = fd_count };
	if (fd_count)
		memcpy(job->call.fds, fds, fd_count * sizeof(int));
	g_mutex_lock(&c->lock);
	c->in_flight++;
	rpc_client_reconsider(c);
	g_mutex_unlock(&c->lock);
	g_thread_pool_push(e->wire->fast ? c->server->fast : c->server->slow, job, NULL);
}

bool rpc_dispatch(struct rpc_client *c, const struct rpc_header *h, const uint8_t *payload,
	size_t len, int *fds, unsigned fd_count)
{
	const struct entry *e;

	if (h->program == KEEPALIVE_PROGRAM) {
		keepalive(c, h);
		return true;
	}
	if (h->type == RPC_STREAM || h->type == RPC_STREAM_HOLE) {
		rpc_stream_received(c, h, payload, len);
		return true;
	}
	if (h->type != RPC_CALL && h->type != RPC_CALL_WITH_FDS)
		return false;
	e = find(c->server, h);
	if (!c->authenticated && !allowed_unknown(h))
		reply_refusal(c, h, MANAGER_ERR_RPC, "authentication required");
	else if (!c->opened && !allowed_unopened(h))
		reply_refusal(c, h, MANAGER_ERR_RPC, "the connection is not open");
	else if (!e->wire)
		reply_refusal(c, h, MANAGER_ERR_RPC, "unknown procedure: %u", h->procedure);
	else if (!e->handler)
		reply_refusal(
			c, h, MANAGER_ERR_NO_SUPPORT, "lodged does not support %s", e->wire->name);
	else {
		start_job(c, e, h, payload, len, fds, fd_count);
		return true;
	}
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	return true;
}

static void job_end(struct job *job)
{
	struct rpc_client *c = job->client;

	for (unsigned i = 0; i < job->call.fd_count; i++) {
		if (job->call.fds[i] >= 0)
			close(job->call.fds[i]);
	}
	g_mutex_lock(&c->lock);
	c->in_flight--;
	rpc_client_reconsider(c);
	g_mutex_unlock(&c->lock);
	rpc_client_unref(c);
	g_free(job);
}

void rpc_dispatch_drop(void *p)
{
	job_end(p);
}

/* The reply's frame with the result, or NULL with error. */
static GByteArray *encode(struct job *job, const void *ret, GError **error)
{
	GByteArray *frame = rpc_frame_new();

	if (job->call.reply_fd_count) {
		uint8_t count[4];

		xdr_put_u32(count, job->call.reply_fd_count);
		g_byte_array_append(frame, count, 4);
	}
	if (job->entry->wire->ret &&
		xdr_encode(job->entry->wire->ret, ret, frame, RPC_FRAME_MAX, error) < 0) {
		g_byte_array_free(frame, TRUE);
		return NULL;
	}
	return frame;
}

static void answer(struct job *job, const void *ret, int rc, GError *error)
{
	struct rpc_header reply = job->header;
	struct rpc_call *call = &job->call;
	GByteArray *frame = NULL;

	if (rc == 0) {
		frame = encode(job, ret, &error);
		if (frame && call->stream)
			rpc_stream_register(call, &job->header);
	}
	if (!frame) {
		if (call->stream)
			rpc_stream_cancel(call->stream);
		for (unsigned i = 0; i < call->reply_fd_count; i++)
			close(call->reply_fds[i]);
		rpc_client_send_error(job->client, &job->header, error);
		g_clear_error(&error);
		return;
	}
	reply.type = call->reply_fd_count ? RPC_REPLY_WITH_FDS : RPC_REPLY;
	reply.status = RPC_OK;
	rpc_client_send(job->client, frame, &reply, call->reply_fds, call->reply_fd_count);
	if (call->stream)
		rpc_stream_start(call->stream);
}

/* Which machine it is about, by the first of its arguments; NULL: none. */
static const struct remote_nonnull_domain *machine_of(const struct xdr_type *type, const void *args)
{
	if (!type || !type->field_count || type->fields[0].kind != XDR_STRUCT ||
		type->fields[0].shape != XDR_ONE)
		return NULL;
	if (type->fields[0].type == &remote_nonnull_domain_type)
		return args;
	if (type->fields[0].type == &remote_nonnull_domain_snapshot_type)
		return &((const struct remote_nonnull_domain_snapshot *)args)->dom;
	if (type->fields[0].type == &remote_nonnull_domain_checkpoint_type)
		return &((const struct remote_nonnull_domain_checkpoint *)args)->dom;
	return NULL;
}

static int permit(
	const struct entry *e, const struct rpc_call *call, const void *args, GError **error)
{
	const struct remote_nonnull_domain *dom = machine_of(e->wire->args, args);
	g_autofree char *name = NULL;

	/* The name is what the client says, the object is found by uuid: a caller whose rights
	 * differ by machine is held to the name that the uuid has. */
	if (dom && call->caller->roles)
		name = rpc_machine_name(call->manager, dom);
	return caller_check(call->caller, e->handler->need,
		name  ? name
		: dom ? dom->name
		      : NULL,
		e->wire->name, error);
}

int rpc_invoke(struct rpc_server *s, struct rpc_call *call, uint32_t number, const void *args,
	void *ret, GError **error)
{
	const struct entry *e = find(s, &(struct rpc_header){ REMOTE_PROGRAM, 1, number });

	if (!e->handler)
		return refuse(error, MANAGER_ERR_NO_SUPPORT, "lodged does not support %s",
			e->wire ? e->wire->name : "this");
	call->manager = s->manager;
	if (permit(e, call, args, error) == 0 && e->handler->run(call, args, ret, error) == 0)
		return 0;
	if (ret)
		xdr_clear(e->wire->ret, ret); /* a handler may fail half-way */
	return -1;
}

void rpc_dispatch_run(void *p, void *server)
{
	struct job *job = p;
	const struct wire_procedure *wire = job->entry->wire;
	g_autofree void *args = wire->args ? g_malloc0(wire->args->size) : NULL;
	g_autofree void *ret = wire->ret ? g_malloc0(wire->ret->size) : NULL;
	GError *error = NULL;
	int rc = 0;

	if (args && xdr_decode(wire->args, args, job->payload, job->len, NULL, &error) < 0) {
		reply_refusal(job->client, &job->header, MANAGER_ERR_RPC, "%s: %s", wire->name,
			error->message);
		g_error_free(error);
		job_end(job);
		return;
	}
	if (!allowed_unopened(&job->header))
		rc = permit(job->entry, &job->call, args, &error);
	if (rc == 0)
		rc = job->entry->handler->run(&job->call, args, ret, &error);
	answer(job, ret, rc, error);
	if (args)
		xdr_clear(wire->args, args);
	if (ret)
		xdr_clear(wire->ret, ret);
	job_end(job);
}
