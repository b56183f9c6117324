/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connect.c: opening, who we are, what we can. */
#include <string.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rpc/client.h"

/* Clients demand least versions of what they know: libvirt 11.0.0 above QEMU 9.2.0 is what this
 * speaks. */
enum { LIBRARY_VERSION = 11000000, HYPERVISOR_VERSION = 9002000 };

enum { OPEN_READ_ONLY = 1, OPEN_NO_ALIASES = 2, OPEN_AUTOSTART = 4 /* the client's own affair */ };

/* libvirt's VIR_DRV_FEATURE_ numbers that we have. */
enum feature {
	FEATURE_MIGRATION_P2P = 4,
	FEATURE_MIGRATION_DIRECT = 5,
	FEATURE_MIGRATION_V3 = 6,
	FEATURE_FD_PASSING = 8,
	FEATURE_TYPED_PARAM_STRING = 9,
	FEATURE_KEEPALIVE = 10,
	FEATURE_XML_MIGRATABLE = 11,
	FEATURE_EVENT_CALLBACK = 14,
	FEATURE_CLOSE_CALLBACK = 15,
	FEATURE_NETWORK_UPDATE_ORDER = 16
};

static bool uri_is(const char *uri, const char *path)
{
	static const char *const schemes[] = { "qemu", "lodge", "kvm" };
	const char *rest = strstr(uri, ":///");

	if (!rest)
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if (strncmp(uri, schemes[i], n) == 0 && uri + n == rest)
			return strncmp(rest + 4, path, strlen(path)) == 0 &&
			       (!rest[4 + strlen(path)] || rest[4 + strlen(path)] == '?');
	}
	return false;
}

static const char *own_uri(const struct manager *m)
{
	return m->session ? "qemu:///session" : "qemu:///system";
}

static int open_connection(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_open_args *a = args;
	struct rpc_client *c = call->client;
	const char *want = call->manager->session ? "session" : "system";

	if (a->flags & ~(OPEN_READ_ONLY | OPEN_NO_ALIASES | OPEN_AUTOSTART))
		return refuse(
			error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x to open", a->flags);
	if (c->opened)
		return refuse(error, MANAGER_ERR_INTERNAL, "the connection is open already");
	if (a->name && *a->name && !uri_is(a->name, want))
		return refuse(error, MANAGER_ERR_NO_CONNECT,
			"no driver for %s: this is lodged, which serves %s", a->name,
			own_uri(call->manager));
	if (c->caller.role == ROLE_NONE && !c->caller.roles)
		return caller_check(&c->caller, ROLE_READ, NULL, "connect", error);
	if (a->flags & OPEN_READ_ONLY) {
		c->caller.role = MIN(c->caller.role, ROLE_READ);
		c->caller.read_only = true;
	}
	c->uri = g_strdup(a->name);
	c->opened = true;
	audit_write(c->caller.audit, "opened by %s from %s as %s", c->caller.identity,
		c->caller.address, role_name(c->caller.role));
	return 0;
}

static int nothing(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return 0; /* what the connection held goes when its socket closes */
}

static int supports_feature(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_supports_feature_args *a = args;
	struct remote_connect_supports_feature_ret *r = ret;

	switch (a->feature) {
	case FEATURE_FD_PASSING: r->supported = call->client->transport->unix_fds; break;
	case FEATURE_KEEPALIVE:
		r->supported = call->client->server->limits.keepalive_interval != 0;
		call->client->keepalive = r->supported;
		break;
	case FEATURE_TYPED_PARAM_STRING:
	case FEATURE_EVENT_CALLBACK:
	case FEATURE_CLOSE_CALLBACK:
	case FEATURE_NETWORK_UPDATE_ORDER:
	case FEATURE_XML_MIGRATABLE: r->supported = 1; break;
	}
	return 0;
}

static int get_type(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_type_ret *)ret)->type = g_strdup("QEMU");
	return 0;
}

static int get_version(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_version_ret *)ret)->hv_ver = HYPERVISOR_VERSION;
	return 0;
}

static int get_lib_version(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_lib_version_ret *)ret)->lib_ver = LIBRARY_VERSION;
	return 0;
}

static int get_hostname(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_get_hostname_ret *)ret)->hostname = g_strdup(g_get_host_name());
	return 0;
}

static int get_uri(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const char *uri = call->client->uri;

	((struct remote_connect_get_uri_ret *)ret)->uri =
		g_strdup(uri && *uri ? uri : own_uri(call->manager));
	return 0;
}

static int is_secure(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_is_secure_ret *)ret)->secure = call->client->transport->secure;
	return 0;
}

const struct rpc_procedure rpc_connect_procedures[] = {
	{ REMOTE_PROC_CONNECT_OPEN, open_connection, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_CLOSE, nothing, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_SUPPORTS_FEATURE, supports_feature, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_GET_TYPE, get_type, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_GET_VERSION, get_version, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_GET_LIB_VERSION, get_lib_version, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_GET_HOSTNAME, get_hostname, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_GET_URI, get_uri, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_IS_SECURE, is_secure, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_REGISTER_CLOSE_CALLBACK, nothing, ROLE_NONE },
	{ REMOTE_PROC_CONNECT_UNREGISTER_CLOSE_CALLBACK, nothing, ROLE_NONE },
	{},
};
