/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auth.c: how a client that its door does not know proves who it is. */
#include <string.h>

#include "manager/door.h"
#include "manager/error.h"
#include "manager/rpc/client.h"
#include "manager/rpc/sasl.h"

enum { AUTH_NONE, AUTH_SASL };

static int list(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_auth_list_ret *r = ret;

	r->types = g_new0(int32_t, 1);
	r->types[0] = call->client->authenticated ? AUTH_NONE : AUTH_SASL;
	r->types_count = 1;
	return 0;
}

/* The exchange belongs to one call at a time: a client that sends two breaks its own. */
static struct sasl *borrow(struct rpc_client *c, GError **error)
{
	struct sasl *s;

	g_mutex_lock(&c->lock);
	s = c->authenticated ? NULL : g_steal_pointer(&c->sasl);
	g_mutex_unlock(&c->lock);
	if (!s)
		refuse(error, MANAGER_ERR_AUTH_FAILED, "no SASL exchange is under way");
	return s;
}

static void give_back(struct rpc_client *c, struct sasl *s)
{
	g_mutex_lock(&c->lock);
	sasl_free(c->sasl);
	c->sasl = s;
	g_mutex_unlock(&c->lock);
}

static int init(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_auth_sasl_init_ret *r = ret;
	struct rpc_client *c = call->client;
	struct sasl *s;

	if (c->authenticated || c->auth != RPC_AUTH_SASL)
		return refuse(error, MANAGER_ERR_AUTH_FAILED,
			"SASL is not how this connection is authenticated");
	s = sasl_new(c->transport->secure, error);
	if (!s)
		return -1;
	r->mechlist = sasl_mechanisms(s, error);
	if (!r->mechlist) {
		sasl_free(s);
		return -1;
	}
	give_back(c, s);
	return 0;
}

/* Who it is, is known: what they may do, and from the reply on, the security layer. */
static void welcome(struct rpc_client *c, struct sasl *s)
{
	struct caller known = {};

	door_caller_named(c->server->doors, "user", sasl_user(s), c->server->doors->sasl_role,
		c->caller.audit, &known);
	known.address = g_strdup(c->caller.address);
	g_mutex_lock(&c->lock);
	caller_clear(&c->caller);
	c->caller = known;
	c->sasl = s;
	c->decode = c->encode_next = sasl_has_layer(s);
	c->authenticated = true;
	g_mutex_unlock(&c->lock);
}

static int advance(struct rpc_client *c, const char *mechanism, int32_t nil, const char *data,
	uint32_t len, struct remote_auth_sasl_start_ret *ret, GError **error)
{
	struct sasl *s = borrow(c, error);
	const char *out;
	unsigned out_len;
	int rc;

	if (!s)
		return -1;
	/* That there is no data differs from data of no length. */
	rc = sasl_round(s, mechanism, nil ? NULL : data ? data : "", len, &out, &out_len, error);
	if (rc < 0) {
		audit_write(
			c->caller.audit, "failed SASL authentication from %s", c->caller.address);
		sasl_free(s);
		return -1;
	}
	ret->complete = rc;
	ret->nil = out == NULL;
	if (out) {
		ret->data = g_malloc0(out_len + 1);
		memcpy(ret->data, out, out_len);
		ret->data_count = out_len;
	}
	if (rc == 1)
		welcome(c, s);
	else
		give_back(c, s);
	return 0;
}

static int start(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_auth_sasl_start_args *a = args;

	return advance(call->client, a->mech, a->nil, a->data, a->data_count, ret, error);
}

static int step(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_auth_sasl_step_args *a = args;

	/* The two results have the same members. */
	return advance(call->client, NULL, a->nil, a->data, a->data_count, ret, error);
}

const struct rpc_procedure rpc_auth_procedures[] = {
	{ REMOTE_PROC_AUTH_LIST, list, ROLE_NONE },
	{ REMOTE_PROC_AUTH_SASL_INIT, init, ROLE_NONE },
	{ REMOTE_PROC_AUTH_SASL_START, start, ROLE_NONE },
	{ REMOTE_PROC_AUTH_SASL_STEP, step, ROLE_NONE },
	{},
};
