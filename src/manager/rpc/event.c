/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.c: who wants to hear of what, and the messages that tell it. */
#include <string.h>

#include "manager/error.h"
#include "manager/event.h"
#include "manager/rpc/client.h"

/* What a client registered for. */
struct registration {
	enum event_object object;
	int kind;
	int callback; /* -1: of the first generation, whose messages carry none */
	bool one;     /* only of the object below */
	uint8_t uuid[16];
	char *name; /* node devices have no uuid; monitor events: the event's name; NULL: any */
};

/* Procedures that tell an event, by object and kind. */
struct teller {
	uint16_t number, first_generation; /* 0: did not exist then */
};

#define DOMAIN(x)                                                                                  \
	{                                                                                          \
		REMOTE_PROC_DOMAIN_EVENT_CALLBACK_##x, REMOTE_PROC_DOMAIN_EVENT_##x                \
	}
#define LATER(x)                                                                                   \
	{                                                                                          \
		REMOTE_PROC_DOMAIN_EVENT_##x, 0                                                    \
	}
static const struct teller domain_tellers[] = {
	DOMAIN(LIFECYCLE),
	DOMAIN(REBOOT),
	DOMAIN(RTC_CHANGE),
	DOMAIN(WATCHDOG),
	DOMAIN(IO_ERROR),
	DOMAIN(GRAPHICS),
	DOMAIN(IO_ERROR_REASON),
	DOMAIN(CONTROL_ERROR),
	DOMAIN(BLOCK_JOB),
	DOMAIN(DISK_CHANGE),
	DOMAIN(TRAY_CHANGE),
	DOMAIN(PMWAKEUP),
	DOMAIN(PMSUSPEND),
	DOMAIN(BALLOON_CHANGE),
	DOMAIN(PMSUSPEND_DISK),
	DOMAIN(DEVICE_REMOVED),
	LATER(BLOCK_JOB_2),
	LATER(CALLBACK_TUNABLE),
	LATER(CALLBACK_AGENT_LIFECYCLE),
	LATER(CALLBACK_DEVICE_ADDED),
	LATER(CALLBACK_MIGRATION_ITERATION),
	LATER(CALLBACK_JOB_COMPLETED),
	LATER(CALLBACK_DEVICE_REMOVAL_FAILED),
	LATER(CALLBACK_METADATA_CHANGE),
	LATER(BLOCK_THRESHOLD),
	LATER(MEMORY_FAILURE),
	LATER(MEMORY_DEVICE_SIZE_CHANGE),
};
static const struct teller network_tellers[] = {
	{ REMOTE_PROC_NETWORK_EVENT_LIFECYCLE, 0 },
	{ REMOTE_PROC_NETWORK_EVENT_CALLBACK_METADATA_CHANGE, 0 },
};
static const struct teller pool_tellers[] = {
	{ REMOTE_PROC_STORAGE_POOL_EVENT_LIFECYCLE, 0 },
	{ REMOTE_PROC_STORAGE_POOL_EVENT_REFRESH, 0 },
};
static const struct teller node_device_tellers[] = {
	{ REMOTE_PROC_NODE_DEVICE_EVENT_LIFECYCLE, 0 },
	{ REMOTE_PROC_NODE_DEVICE_EVENT_UPDATE, 0 },
};
static const struct teller secret_tellers[] = {
	{ REMOTE_PROC_SECRET_EVENT_LIFECYCLE, 0 },
	{ REMOTE_PROC_SECRET_EVENT_VALUE_CHANGED, 0 },
};
static const struct teller monitor_tellers[] = { { QEMU_PROC_DOMAIN_MONITOR_EVENT, 0 } };

static const struct {
	const struct teller *tellers;
	int count;
} objects[] = {
	[EVENT_DOMAIN] = { domain_tellers, G_N_ELEMENTS(domain_tellers) },
	[EVENT_NETWORK] = { network_tellers, G_N_ELEMENTS(network_tellers) },
	[EVENT_POOL] = { pool_tellers, G_N_ELEMENTS(pool_tellers) },
	[EVENT_NODE_DEVICE] = { node_device_tellers, G_N_ELEMENTS(node_device_tellers) },
	[EVENT_SECRET] = { secret_tellers, G_N_ELEMENTS(secret_tellers) },
	[EVENT_MONITOR] = { monitor_tellers, G_N_ELEMENTS(monitor_tellers) },
};

void rpc_registration_free(void *p)
{
	struct registration *r = p;

	g_free(r->name);
	g_free(r);
}

/* ---- messages ---- */

struct fill {
	const struct event *ev;
	int callback;
};

static void fill_params(const struct xdr_field *f, const json_t *from, char *object)
{
	size_t n = MIN(json_object_size(from), f->limit);
	struct remote_typed_param *p = g_new0(struct remote_typed_param, MAX(n, 1));
	const char *key;
	json_t *value;
	uint32_t i = 0;

	json_object_foreach((json_t *)from, key, value)
	{
		if (i == n)
			break;
		p[i].field = g_strdup(key);
		if (json_is_string(value)) {
			p[i].value.type = XDR_VALUE_STRING;
			p[i].value.string = g_strdup(json_string_value(value));
		} else if (json_is_boolean(value)) {
			p[i].value.type = XDR_VALUE_BOOL;
			p[i].value.boolean = json_is_true(value);
		} else {
			p[i].value.type = XDR_VALUE_U64;
			p[i].value.u64 = (uint64_t)json_integer_value(value);
		}
		i++;
	}
	*(struct remote_typed_param **)(object + f->offset) = p;
	*(uint32_t *)(object + f->count_offset) = i;
}

static void fill_number(
	const struct fill *fill, const struct xdr_field *f, const json_t *data, void *to)
{
	json_int_t v = json_integer_value(json_object_get(data, f->name));

	if (strcmp(f->name, "callbackID") == 0)
		v = fill->callback;
	else if (strcmp(f->name, "event") == 0)
		v = fill->ev->event;
	else if (strcmp(f->name, "detail") == 0)
		v = fill->ev->detail;
	else if (strcmp(f->name, "id") == 0)
		v = fill->ev->id;
	if (f->kind == XDR_I64 || f->kind == XDR_U64)
		*(int64_t *)to = v;
	else
		*(int32_t *)to = (int32_t)v;
}

/* By the table of its fields: the object from the event, everything else from its data. */
static void fill_message(
	const struct fill *fill, const struct xdr_type *type, const json_t *data, char *to)
{
	for (uint32_t i = 0; i < type->field_count; i++) {
		const struct xdr_field *f = &type->fields[i];
		const json_t *value = json_object_get(data, f->name);
		const json_t *inner = json_is_object(value) ? value : data;

		if (f->shape == XDR_LIST) {
			if (f->type == &remote_typed_param_type)
				fill_params(f, value, to);
		} else if (f->kind == XDR_STRING) {
			const char *s = strcmp(f->name, "name") == 0 && !value
						? fill->ev->name
						: json_string_value(value);

			*(char **)(to + f->offset) =
				s || f->shape == XDR_ONE ? g_strdup(s ? s : "") : NULL;
		} else if (f->kind == XDR_STRUCT) {
			fill_message(fill, f->type, inner, to + f->offset);
		} else if (f->kind == XDR_UUID) {
			memcpy(to + f->offset, fill->ev->uuid, 16);
		} else {
			fill_number(fill, f, data, to + f->offset);
		}
	}
}

static const struct wire_procedure *procedure(bool monitor, unsigned number)
{
	const struct wire_procedure *list = monitor ? qemu_procedures : remote_procedures;
	unsigned count = monitor ? qemu_procedure_count : remote_procedure_count;

	for (unsigned i = 0; i < count; i++) {
		if (list[i].number == number)
			return &list[i];
	}
	return NULL;
}

static void tell(struct rpc_client *c, const struct event *ev, int callback)
{
	const struct teller *t = &objects[ev->object].tellers[ev->kind];
	bool monitor = ev->object == EVENT_MONITOR;
	unsigned number = callback < 0 ? t->first_generation : t->number;
	const struct wire_procedure *wire = number ? procedure(monitor, number) : NULL;
	const struct rpc_header h = { monitor ? QEMU_PROGRAM : REMOTE_PROGRAM, 1, number,
		RPC_MESSAGE, 0, RPC_OK };
	const struct fill fill = { ev, callback };
	g_autofree char *message = NULL;
	GByteArray *frame;

	if (!wire)
		return;
	message = g_malloc0(wire->args->size);
	fill_message(&fill, wire->args, ev->data, message);
	frame = rpc_frame_new();
	if (xdr_encode(wire->args, message, frame, RPC_FRAME_MAX, NULL) == 0)
		rpc_client_send(c, frame, &h, NULL, 0);
	else
		g_byte_array_free(frame, TRUE);
	xdr_clear(wire->args, message);
}

static bool wants(const struct registration *r, const struct event *ev)
{
	if (r->object != ev->object || (r->kind != ev->kind && ev->object != EVENT_MONITOR))
		return false;
	if (r->one && memcmp(r->uuid, ev->uuid, 16) != 0)
		return false;
	if (!r->name)
		return true;
	return strcmp(r->name, ev->object == EVENT_MONITOR
				       ? json_string_value(json_object_get(ev->data, "event"))
				       : ev->name) == 0;
}

static bool may_hear(const struct caller *caller, const struct event *ev)
{
	void *role;

	if (ev->object == EVENT_DOMAIN && caller->roles &&
		g_hash_table_lookup_extended(caller->roles, ev->name, NULL, &role))
		return GPOINTER_TO_INT(role) >= ROLE_READ;
	return caller->role >= ROLE_READ;
}

void rpc_events_listen(const struct event *ev, void *opaque)
{
	struct rpc_server *s = opaque;
	GHashTableIter it;
	void *key;

	if (ev->object >= G_N_ELEMENTS(objects) || ev->kind < 0 ||
		ev->kind >= objects[ev->object].count ||
		(ev->object == EVENT_MONITOR &&
			!json_is_string(json_object_get(ev->data, "event"))))
		return;
	g_hash_table_iter_init(&it, s->clients);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		struct rpc_client *c = key;
		g_autoptr(GArray) callbacks = NULL;

		g_mutex_lock(&c->lock);
		for (guint i = 0; i < c->registrations->len; i++) {
			const struct registration *r = c->registrations->pdata[i];

			if (!wants(r, ev) || !may_hear(&c->caller, ev))
				continue;
			if (!callbacks)
				callbacks = g_array_new(FALSE, FALSE, sizeof(int));
			g_array_append_val(callbacks, r->callback);
		}
		g_mutex_unlock(&c->lock);
		for (guint i = 0; callbacks && i < callbacks->len; i++)
			tell(c, ev, g_array_index(callbacks, int, i));
	}
}

/* ---- registration ---- */

enum { REGISTRATIONS_MAX = 512 };

/* `uuid`, `name`: only of that object; NULL: of all. Returns the callback's id. */
static int add(struct rpc_client *c, enum event_object object, int kind, bool first_generation,
	const uint8_t *uuid, const char *name, int32_t *ret, GError **error)
{
	struct registration *r;
	int rc = 0;

	if (kind < 0 || kind >= objects[object].count)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "no event has the number %d", kind);
	r = g_new0(struct registration, 1);
	*r = (struct registration){ object, kind, -1, uuid != NULL, {}, g_strdup(name) };
	if (uuid)
		memcpy(r->uuid, uuid, 16);
	g_mutex_lock(&c->lock);
	if (c->registrations->len >= REGISTRATIONS_MAX) {
		rc = refuse(error, MANAGER_ERR_RESOURCE_BUSY,
			"this connection has %d registrations already", REGISTRATIONS_MAX);
		rpc_registration_free(r);
	} else {
		if (!first_generation)
			r->callback = c->next_callback++;
		if (ret)
			*ret = r->callback;
		g_ptr_array_add(c->registrations, r);
	}
	g_mutex_unlock(&c->lock);
	return rc;
}

/* By the callback's id, or (-1) by kind. */
static int remove_one(
	struct rpc_client *c, enum event_object object, int callback, int kind, GError **error)
{
	bool found = false;

	g_mutex_lock(&c->lock);
	for (guint i = 0; i < c->registrations->len && !found; i++) {
		const struct registration *r = c->registrations->pdata[i];

		found = r->object == object && r->callback == callback &&
			(callback >= 0 || r->kind == kind);
		if (found)
			g_ptr_array_remove_index(c->registrations, i);
	}
	g_mutex_unlock(&c->lock);
	return found ? 0 : refuse(error, MANAGER_ERR_INVALID_ARG, "no such event registration");
}

static int domain_register(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_domain_event_register_ret *r = ret;

	r->cb_registered = 1;
	return add(call->client, EVENT_DOMAIN, 0, true, NULL, NULL, NULL, error);
}

static int domain_deregister(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return remove_one(call->client, EVENT_DOMAIN, -1, 0, error);
}

static int domain_register_any(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_domain_event_register_any_args *a = args;

	return add(call->client, EVENT_DOMAIN, a->eventID, true, NULL, NULL, NULL, error);
}

static int domain_deregister_any(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_domain_event_deregister_any_args *a = args;

	return remove_one(call->client, EVENT_DOMAIN, -1, a->eventID, error);
}

/* Those with a callback id differ in their types only. */
#define REGISTER(func, object_, args_, ret_, member, ident)                                        \
	static int func(struct rpc_call *call, const void *args, void *ret, GError **error)        \
	{                                                                                          \
		const struct args_ *a = args;                                                      \
		struct ret_ *r = ret;                                                              \
                                                                                                   \
		return add(call->client, object_, a->eventID, false,                               \
			a->member ? a->member->ident : NULL, NULL, &r->callbackID, error);         \
	}
#define DEREGISTER(func, object_, args_)                                                           \
	static int func(struct rpc_call *call, const void *args, void *ret, GError **error)        \
	{                                                                                          \
		const struct args_ *a = args;                                                      \
                                                                                                   \
		return remove_one(call->client, object_, a->callbackID, 0, error);                 \
	}

REGISTER(callback_register, EVENT_DOMAIN, remote_connect_domain_event_callback_register_any_args,
	remote_connect_domain_event_callback_register_any_ret, dom, uuid)
DEREGISTER(
	callback_deregister, EVENT_DOMAIN, remote_connect_domain_event_callback_deregister_any_args)
REGISTER(network_register, EVENT_NETWORK, remote_connect_network_event_register_any_args,
	remote_connect_network_event_register_any_ret, net, uuid)
DEREGISTER(network_deregister, EVENT_NETWORK, remote_connect_network_event_deregister_any_args)
REGISTER(pool_register, EVENT_POOL, remote_connect_storage_pool_event_register_any_args,
	remote_connect_storage_pool_event_register_any_ret, pool, uuid)
DEREGISTER(pool_deregister, EVENT_POOL, remote_connect_storage_pool_event_deregister_any_args)
REGISTER(secret_register, EVENT_SECRET, remote_connect_secret_event_register_any_args,
	remote_connect_secret_event_register_any_ret, secret, uuid)
DEREGISTER(secret_deregister, EVENT_SECRET, remote_connect_secret_event_deregister_any_args)
DEREGISTER(
	device_deregister, EVENT_NODE_DEVICE, remote_connect_node_device_event_deregister_any_args)
DEREGISTER(monitor_deregister, EVENT_MONITOR, qemu_connect_domain_monitor_event_deregister_args)

static int device_register(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_node_device_event_register_any_args *a = args;
	struct remote_connect_node_device_event_register_any_ret *r = ret;

	return add(call->client, EVENT_NODE_DEVICE, a->eventID, false, NULL,
		a->dev ? a->dev->name : NULL, &r->callbackID, error);
}

static int monitor_register(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct qemu_connect_domain_monitor_event_register_args *a = args;
	struct qemu_connect_domain_monitor_event_register_ret *r = ret;

	if (a->flags)
		return refuse(error, MANAGER_ERR_ARGUMENT_UNSUPPORTED,
			"monitor events are matched by their whole name only");
	return add(call->client, EVENT_MONITOR, 0, false, a->dom ? a->dom->uuid : NULL, a->event,
		&r->callbackID, error);
}

const struct rpc_procedure rpc_event_procedures[] = {
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_REGISTER, domain_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER, domain_deregister, ROLE_READ },
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_REGISTER_ANY, domain_register_any, ROLE_READ },
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, domain_deregister_any, ROLE_READ },
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, callback_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, callback_deregister,
		ROLE_READ },
	{ REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY, network_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NETWORK_EVENT_DEREGISTER_ANY, network_deregister, ROLE_READ },
	{ REMOTE_PROC_CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY, pool_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_STORAGE_POOL_EVENT_DEREGISTER_ANY, pool_deregister, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY, device_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NODE_DEVICE_EVENT_DEREGISTER_ANY, device_deregister, ROLE_READ },
	{ REMOTE_PROC_CONNECT_SECRET_EVENT_REGISTER_ANY, secret_register, ROLE_READ },
	{ REMOTE_PROC_CONNECT_SECRET_EVENT_DEREGISTER_ANY, secret_deregister, ROLE_READ },
	{},
};

const struct rpc_procedure rpc_qemu_event_procedures[] = {
	{ QEMU_PROC_CONNECT_DOMAIN_MONITOR_EVENT_REGISTER, monitor_register, ROLE_OPERATE },
	{ QEMU_PROC_CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER, monitor_deregister, ROLE_READ },
	{},
};
