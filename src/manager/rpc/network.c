/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network.c: the calls for networks and their ports. Spec: libvirt, libvirt-libvirt-network.html.
 */
#include <string.h>

#include "manager/error.h"
#include "manager/ids.h"
#include "manager/manager.h"
#include "manager/network/network.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/typed.h"

/* virConnectListAllNetworksFlags, virNetworkXMLFlags, virNetworkDefineFlags */
enum {
	LIST_INACTIVE = 1,
	LIST_ACTIVE = 2,
	LIST_PERSISTENT = 4,
	LIST_TRANSIENT = 8,
	LIST_AUTOSTART = 16,
	LIST_NO_AUTOSTART = 32,
	LIST_ALL = 63
};
enum { XML_INACTIVE = 1 };
enum { UPDATE_FLAGS = 3 };
enum { LEASE_IPV4 = 0, LEASE_IPV6 = 1 };

static const char *const limit_names[6] = { "inbound.average", "inbound.peak", "inbound.burst",
	"outbound.average", "outbound.peak", "outbound.burst" };

static struct network *of(
	struct rpc_call *call, const struct remote_nonnull_network *n, GError **error)
{
	return network_find_uuid(call->manager, n->uuid, error);
}

static void name_it(const struct network *n, struct remote_nonnull_network *ret)
{
	ret->name = g_strdup(network_name(n));
	memcpy(ret->uuid, network_uuid(n), 16);
}

/* Drops the reference. */
static int give(struct network *n, struct remote_nonnull_network *ret)
{
	if (!n)
		return -1;
	name_it(n, ret);
	network_unref(n);
	return 0;
}

static bool listed(const struct network_info *i, uint32_t flags)
{
	return (!(flags & 3) || flags & (i->active ? LIST_ACTIVE : LIST_INACTIVE)) &&
	       (!(flags & 12) || flags & (i->persistent ? LIST_PERSISTENT : LIST_TRANSIENT)) &&
	       (!(flags & 48) || flags & (i->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART));
}

/* Those that `flags` ask for. */
static GPtrArray *pick(struct rpc_call *call, uint32_t flags)
{
	GPtrArray *all = networks_list(call->manager);

	for (unsigned i = all->len; i-- > 0;) {
		struct network_info info;

		network_info(all->pdata[i], &info);
		if (!listed(&info, flags))
			g_ptr_array_remove_index(all, i);
	}
	return all;
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_networks_args *a = args;
	struct remote_connect_list_all_networks_ret *r = ret;
	g_autoptr(GPtrArray) all = NULL;

	if (rpc_no_flags(a->flags, LIST_ALL, error) < 0)
		return -1;
	all = pick(call, a->flags);
	r->ret = all->len;
	if (!a->need_results)
		return 0;
	r->nets = g_new0(struct remote_nonnull_network, all->len);
	r->nets_count = all->len;
	for (unsigned i = 0; i < all->len; i++)
		name_it(all->pdata[i], &r->nets[i]);
	return 0;
}

static void list_names(
	struct rpc_call *call, uint32_t flags, int32_t most, char ***names, uint32_t *count)
{
	g_autoptr(GPtrArray) all = pick(call, flags);

	*count = MIN(all->len, (unsigned)MAX(most, 0));
	*names = g_new0(char *, *count);
	for (unsigned i = 0; i < *count; i++)
		(*names)[i] = g_strdup(network_name(all->pdata[i]));
}

static int list_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_networks_ret *r = ret;

	list_names(call, LIST_ACTIVE,
		((const struct remote_connect_list_networks_args *)args)->maxnames, &r->names,
		&r->names_count);
	return 0;
}

static int list_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_defined_networks_ret *r = ret;

	list_names(call, LIST_INACTIVE,
		((const struct remote_connect_list_defined_networks_args *)args)->maxnames,
		&r->names, &r->names_count);
	return 0;
}

static int num_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = pick(call, LIST_ACTIVE);

	((struct remote_connect_num_of_networks_ret *)ret)->num = all->len;
	return 0;
}

static int num_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) all = pick(call, LIST_INACTIVE);

	((struct remote_connect_num_of_defined_networks_ret *)ret)->num = all->len;
	return 0;
}

static int lookup_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_lookup_by_name_args *a = args;

	return give(network_find_name(call->manager, a->name, error),
		&((struct remote_network_lookup_by_name_ret *)ret)->net);
}

static int lookup_uuid(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_lookup_by_uuid_args *a = args;

	return give(network_find_uuid(call->manager, a->uuid, error),
		&((struct remote_network_lookup_by_uuid_ret *)ret)->net);
}

static int define(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_define_xml_args *a = args;

	return give(network_define(call->manager, a->xml, error),
		&((struct remote_network_define_xml_ret *)ret)->net);
}

/* The flag asks for a check against the schema, which is made always. */
static int define_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_define_xml_flags_args *a = args;

	if (rpc_no_flags(a->flags, 1, error) < 0)
		return -1;
	return give(network_define(call->manager, a->xml, error),
		&((struct remote_network_define_xml_flags_ret *)ret)->net);
}

static int create_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_create_xml_args *a = args;

	return give(network_create_transient(call->manager, a->xml, error),
		&((struct remote_network_create_xml_ret *)ret)->net);
}

static int create_xml_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_create_xml_flags_args *a = args;

	if (rpc_no_flags(a->flags, 1, error) < 0)
		return -1;
	return give(network_create_transient(call->manager, a->xml, error),
		&((struct remote_network_create_xml_flags_ret *)ret)->net);
}

/* Calls with nothing but a network: arguments begin with it. */
static int with(struct rpc_call *call, const struct remote_nonnull_network *name,
	int (*run)(struct network *n, GError **error), GError **error)
{
	struct network *n = of(call, name, error);
	int err = n ? run(n, error) : -1;

	network_unref(n);
	return err;
}

static int create(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return with(call, &((const struct remote_network_create_args *)args)->net, network_start,
		error);
}

static int destroy(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return with(call, &((const struct remote_network_destroy_args *)args)->net, network_stop,
		error);
}

static int undefine(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	return with(call, &((const struct remote_network_undefine_args *)args)->net,
		network_undefine, error);
}

static int info(struct rpc_call *call, const struct remote_nonnull_network *name,
	struct network_info *ret, GError **error)
{
	struct network *n = of(call, name, error);

	if (!n)
		return -1;
	network_info(n, ret);
	network_unref(n);
	return 0;
}

static int is_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct network_info i = { 0 };
	int err = info(call, &((const struct remote_network_is_active_args *)args)->net, &i, error);

	((struct remote_network_is_active_ret *)ret)->active = i.active;
	return err;
}

static int is_persistent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct network_info i = { 0 };
	int err = info(
		call, &((const struct remote_network_is_persistent_args *)args)->net, &i, error);

	((struct remote_network_is_persistent_ret *)ret)->persistent = i.persistent;
	return err;
}

static int get_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct network_info i = { 0 };
	int err = info(
		call, &((const struct remote_network_get_autostart_args *)args)->net, &i, error);

	((struct remote_network_get_autostart_ret *)ret)->autostart = i.autostart;
	return err;
}

static int get_bridge(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct network_info i = { 0 };

	if (info(call, &((const struct remote_network_get_bridge_name_args *)args)->net, &i, error))
		return -1;
	if (!i.bridge[0])
		return refuse(error, MANAGER_ERR_INTERNAL, "the network has no bridge");
	((struct remote_network_get_bridge_name_ret *)ret)->name = g_strdup(i.bridge);
	return 0;
}

static int set_autostart(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_set_autostart_args *a = args;
	struct network *n = of(call, &a->net, error);
	int err = n ? network_set_autostart(n, a->autostart, error) : -1;

	network_unref(n);
	return err;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_get_xml_desc_args *a = args;
	struct remote_network_get_xml_desc_ret *r = ret;
	struct network *n;

	if (rpc_no_flags(a->flags, XML_INACTIVE, error) < 0)
		return -1;
	n = of(call, &a->net, error);
	if (n)
		r->xml = network_xml_text(n, a->flags & XML_INACTIVE, error);
	network_unref(n);
	return r->xml ? 0 : -1;
}

static int update(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_update_args *a = args;
	struct network *n;
	int err;

	if (rpc_no_flags(a->flags, UPDATE_FLAGS, error) < 0)
		return -1;
	n = of(call, &a->net, error);
	/* On the wire command and section stand in this order since the feature
	 * NETWORK_UPDATE_ORDER. */
	err = n ? network_update(n, a->command, a->section, a->parentIndex, a->xml, a->flags, error)
		: -1;
	network_unref(n);
	return err;
}

static void lease_out(const struct lease *l, struct remote_network_dhcp_lease *o)
{
	o->iface = g_strdup(l->interface);
	o->expirytime = l->expiry;
	o->type = l->ipv6 ? LEASE_IPV6 : LEASE_IPV4;
	o->mac = g_strdup(l->mac);
	o->iaid = l->ipv6 ? g_strdup_printf("%" G_GINT64_FORMAT, (gint64)l->iaid) : NULL;
	o->ipaddr = g_strdup(l->address);
	o->prefix = l->prefix;
	o->hostname = g_strdup(l->hostname);
	o->clientid = g_strdup(l->client_id);
}

static int leases(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_get_dhcp_leases_args *a = args;
	struct remote_network_get_dhcp_leases_ret *r = ret;
	g_autoptr(GPtrArray) all = NULL;
	struct network *n;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->net, error);
	if (!n)
		return -1;
	all = network_leases(n, a->mac, error);
	network_unref(n);
	if (!all)
		return -1;
	r->ret = all->len;
	if (!a->need_results)
		return 0;
	r->leases = g_new0(struct remote_network_dhcp_lease, all->len);
	r->leases_count = all->len;
	for (unsigned i = 0; i < all->len; i++)
		lease_out(all->pdata[i], &r->leases[i]);
	return 0;
}

/* ---- ports ---- */

static void name_port(
	const struct network *n, const uint8_t uuid[16], struct remote_nonnull_network_port *ret)
{
	name_it(n, &ret->net);
	memcpy(ret->uuid, uuid, 16);
}

static int list_ports(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_list_all_ports_args *a = args;
	struct remote_network_list_all_ports_ret *r = ret;
	g_autoptr(GArray) all = NULL;
	struct network *n;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->network, error);
	if (!n)
		return -1;
	all = network_ports(n);
	r->ret = all->len;
	if (a->need_results) {
		r->ports = g_new0(struct remote_nonnull_network_port, all->len);
		r->ports_count = all->len;
		for (unsigned i = 0; i < all->len; i++)
			name_port(n, g_array_index(all, struct network_port_name, i).uuid,
				&r->ports[i]);
	}
	network_unref(n);
	return 0;
}

static int port_lookup(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_lookup_by_uuid_args *a = args;
	struct network *n = of(call, &a->network, error);
	uint64_t limits[6];
	int err = n ? network_port_limits(n, a->uuid, limits, error) : -1;

	if (!err)
		name_port(
			n, a->uuid, &((struct remote_network_port_lookup_by_uuid_ret *)ret)->port);
	network_unref(n);
	return err;
}

static int port_create(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_create_xml_args *a = args;
	struct network *n;
	uint8_t uuid[16];
	int err;

	if (rpc_no_flags(a->flags, 3, error) < 0) /* reclaim, validate */
		return -1;
	n = of(call, &a->network, error);
	err = n ? network_port_define(n, a->xml, uuid, error) : -1;
	if (!err)
		name_port(n, uuid, &((struct remote_network_port_create_xml_ret *)ret)->port);
	network_unref(n);
	return err;
}

static int port_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_get_xml_desc_args *a = args;
	struct remote_network_port_get_xml_desc_ret *r = ret;
	struct network *n;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->port.net, error);
	if (n)
		r->xml = network_port_xml_text(n, a->port.uuid, error);
	network_unref(n);
	return r->xml ? 0 : -1;
}

static int port_delete(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_delete_args *a = args;
	struct network *n;
	int err;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->port.net, error);
	err = n ? network_port_undefine(n, a->port.uuid, error) : -1;
	network_unref(n);
	return err;
}

static int port_get_parameters(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_get_parameters_args *a = args;
	struct remote_network_port_get_parameters_ret *r = ret;
	struct typed_list list = { 0 };
	uint64_t limits[6] = { 0 };
	struct network *n;
	int err;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->port.net, error);
	err = n ? network_port_limits(n, a->port.uuid, limits, error) : -1;
	network_unref(n);
	if (err)
		return -1;
	for (unsigned i = 0; i < 6; i++)
		typed_u32(&list, MIN(limits[i], UINT32_MAX), "%s", limit_names[i]);
	r->nparams = list.count;
	if (a->nparams) {
		r->params = list.items;
		r->params_count = list.count;
	} else { /* asked how many */
		typed_clear(&list);
	}
	return 0;
}

static int port_set_parameters(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_network_port_set_parameters_args *a = args;
	uint64_t limits[6] = { 0 };
	struct network *n;
	int err;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	n = of(call, &a->port.net, error);
	err = n ? network_port_limits(n, a->port.uuid, limits, error) : -1;
	for (unsigned i = 0; !err && i < 6; i++)
		err = typed_get_u64(a->params, a->params_count, limit_names[i], &limits[i], error) <
		      0;
	if (!err)
		err = network_port_set_limits(n, a->port.uuid, limits, error);
	network_unref(n);
	return err ? -1 : 0;
}

const struct rpc_procedure rpc_network_procedures[] = {
	{ REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_NETWORKS, list_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_DEFINED_NETWORKS, list_defined, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_NETWORKS, num_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_DEFINED_NETWORKS, num_defined, ROLE_READ },
	{ REMOTE_PROC_NETWORK_LOOKUP_BY_NAME, lookup_name, ROLE_READ },
	{ REMOTE_PROC_NETWORK_LOOKUP_BY_UUID, lookup_uuid, ROLE_READ },
	{ REMOTE_PROC_NETWORK_DEFINE_XML, define, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_DEFINE_XML_FLAGS, define_flags, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_CREATE_XML, create_xml, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_CREATE_XML_FLAGS, create_xml_flags, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_CREATE, create, ROLE_OPERATE },
	{ REMOTE_PROC_NETWORK_DESTROY, destroy, ROLE_OPERATE },
	{ REMOTE_PROC_NETWORK_UNDEFINE, undefine, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_IS_ACTIVE, is_active, ROLE_READ },
	{ REMOTE_PROC_NETWORK_IS_PERSISTENT, is_persistent, ROLE_READ },
	{ REMOTE_PROC_NETWORK_GET_AUTOSTART, get_autostart, ROLE_READ },
	{ REMOTE_PROC_NETWORK_SET_AUTOSTART, set_autostart, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_GET_BRIDGE_NAME, get_bridge, ROLE_READ },
	{ REMOTE_PROC_NETWORK_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_NETWORK_UPDATE, update, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_GET_DHCP_LEASES, leases, ROLE_READ },
	{ REMOTE_PROC_NETWORK_LIST_ALL_PORTS, list_ports, ROLE_READ },
	{ REMOTE_PROC_NETWORK_PORT_LOOKUP_BY_UUID, port_lookup, ROLE_READ },
	{ REMOTE_PROC_NETWORK_PORT_CREATE_XML, port_create, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_PORT_GET_XML_DESC, port_xml, ROLE_READ },
	{ REMOTE_PROC_NETWORK_PORT_DELETE, port_delete, ROLE_ADMIN },
	{ REMOTE_PROC_NETWORK_PORT_GET_PARAMETERS, port_get_parameters, ROLE_READ },
	{ REMOTE_PROC_NETWORK_PORT_SET_PARAMETERS, port_set_parameters, ROLE_ADMIN },
	{},
};
