/* SPDX-License-Identifier: GPL-2.0-or-later */
/* auth.c: how a client that its door does not know proves who it is. */
#include "manager/error.h"
#include "manager/rpc/client.h"

enum { AUTH_NONE, AUTH_SASL };

static int list(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_auth_list_ret *r = ret;

	r->types = g_new0(int32_t, 1);
	r->types[0] = call->client->authenticated ? AUTH_NONE : AUTH_SASL;
	r->types_count = 1;
	return 0;
}

const struct rpc_procedure rpc_auth_procedures[] = {
	{ REMOTE_PROC_AUTH_LIST, list, ROLE_NONE },
	{},
};
