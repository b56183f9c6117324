/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_device.c: calls that attach, detach and change a machine's devices. */
#include "manager/rpc/domain_call.h"

enum { AFFECT_KNOWN = AFFECT_LIVE | AFFECT_CONFIG, UPDATE_FORCE = 4 };

static int attach(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_attach_device_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_attach_device(d, a->xml, AFFECT_LIVE, error) : -1;
}

static int attach_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_attach_device_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, AFFECT_KNOWN, error) < 0)
		return -1;
	return domain_attach_device(d, a->xml, a->flags, error);
}

static int detach(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_detach_device_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	return d ? domain_detach_device(d, a->xml, AFFECT_LIVE, error) : -1;
}

static int detach_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_detach_device_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, AFFECT_KNOWN, error) < 0)
		return -1;
	return domain_detach_device(d, a->xml, a->flags, error);
}

static int detach_alias(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_detach_device_alias_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, AFFECT_KNOWN, error) < 0)
		return -1;
	return domain_detach_alias(d, a->alias, a->flags, error);
}

static int update_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_domain_update_device_flags_args *a = args;
	auto_domain d = rpc_domain(call, args, error);

	if (!d || rpc_no_flags(a->flags, AFFECT_KNOWN | UPDATE_FORCE, error) < 0)
		return -1;
	return domain_update_device(d, a->xml, a->flags & AFFECT_KNOWN, error);
}

const struct rpc_procedure rpc_domain_device_procedures[] = {
	{ REMOTE_PROC_DOMAIN_ATTACH_DEVICE, attach, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_ATTACH_DEVICE_FLAGS, attach_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_DETACH_DEVICE, detach, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_DETACH_DEVICE_FLAGS, detach_flags, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_DETACH_DEVICE_ALIAS, detach_alias, ROLE_ADMIN },
	{ REMOTE_PROC_DOMAIN_UPDATE_DEVICE_FLAGS, update_flags, ROLE_ADMIN },
	{},
};
