/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_call.h: what the handlers of machines' calls share. */
#ifndef MANAGER_RPC_DOMAIN_CALL_H
#define MANAGER_RPC_DOMAIN_CALL_H

#include "manager/domain/config/config.h"
#include "manager/domain/domain.h"
#include "manager/error.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/protocol.h"

/* The machine that the arguments begin with: a reference, or NULL with error. */
struct domain *rpc_domain(struct rpc_call *call, const void *args, GError **error);
/* As the reply tells it. */
void rpc_domain_fill(struct domain *d, struct remote_nonnull_domain *out);
bool rpc_domain_visible(struct rpc_call *call, const char *name);
/* Those the caller may see and flags (virConnectListAllDomainsFlags) choose, each a reference. */
GPtrArray *rpc_domains_chosen(struct rpc_call *call, unsigned flags);

static inline void rpc_domain_unref(struct domain **d)
{
	domain_unref(*d);
}
#define auto_domain __attribute__((cleanup(rpc_domain_unref))) struct domain *
#define auto_view   __attribute__((cleanup(domain_view_clear))) struct domain_view
static inline void rpc_config_unref(struct domain_config **c)
{
	domain_config_unref(*c);
}
#define auto_config __attribute__((cleanup(rpc_config_unref))) struct domain_config *

#endif
