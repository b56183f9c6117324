/* SPDX-License-Identifier: GPL-2.0-or-later */
/* interface.c: the calls for the host's network interfaces: to look, not to change. */
#include <string.h>

#include "manager/error.h"
#include "manager/host/devices.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/protocol.h"

enum { LIST_INACTIVE = 1, LIST_ACTIVE = 2 };

static void name_it(const struct host_interface *i, struct remote_nonnull_interface *ret)
{
	ret->name = g_strdup(i->name);
	ret->mac = g_strdup(i->mac ? i->mac : "");
}

static bool listed(const struct host_interface *i, uint32_t flags)
{
	return !(flags & 3) || flags & (i->up ? LIST_ACTIVE : LIST_INACTIVE);
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_interfaces_args *a = args;
	struct remote_connect_list_all_interfaces_ret *r = ret;
	g_autoptr(GPtrArray) list = host_interfaces();

	r->ifaces = g_new0(struct remote_nonnull_interface, list->len);
	for (guint i = 0; i < list->len; i++) {
		if (listed(list->pdata[i], a->flags))
			name_it(list->pdata[i], &r->ifaces[r->ifaces_count++]);
	}
	r->ret = r->ifaces_count;
	return 0;
}

static int32_t count(uint32_t flags)
{
	g_autoptr(GPtrArray) list = host_interfaces();
	int32_t n = 0;

	for (guint i = 0; i < list->len; i++)
		n += listed(list->pdata[i], flags);
	return n;
}

static int count_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_num_of_interfaces_ret *)ret)->num = count(LIST_ACTIVE);
	return 0;
}

static int count_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	((struct remote_connect_num_of_defined_interfaces_ret *)ret)->num = count(LIST_INACTIVE);
	return 0;
}

static void names(uint32_t flags, int32_t most, char ***ret, uint32_t *ret_count)
{
	g_autoptr(GPtrArray) list = host_interfaces();

	*ret = g_new0(char *, list->len);
	for (guint i = 0; i < list->len && *ret_count < (uint32_t)MAX(most, 0); i++) {
		const struct host_interface *n = list->pdata[i];

		if (listed(n, flags))
			(*ret)[(*ret_count)++] = g_strdup(n->name);
	}
}

static int list_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_interfaces_ret *r = ret;

	names(LIST_ACTIVE, ((const struct remote_connect_list_interfaces_args *)args)->maxnames,
		&r->names, &r->names_count);
	return 0;
}

static int list_defined(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_connect_list_defined_interfaces_ret *r = ret;

	names(LIST_INACTIVE,
		((const struct remote_connect_list_defined_interfaces_args *)args)->maxnames,
		&r->names, &r->names_count);
	return 0;
}

/* By name or by MAC; the other NULL. */
static const struct host_interface *find(
	GPtrArray *list, const char *name, const char *mac, GError **error)
{
	for (guint i = 0; i < list->len; i++) {
		const struct host_interface *n = list->pdata[i];

		if (name ? strcmp(n->name, name) == 0
			 : n->mac && g_ascii_strcasecmp(n->mac, mac) == 0)
			return n;
	}
	refuse(error, MANAGER_ERR_NO_INTERFACE, "the host has no interface '%s'",
		name ? name : mac);
	return NULL;
}

static int lookup_by_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_interfaces();
	const struct host_interface *i = find(list,
		((const struct remote_interface_lookup_by_name_args *)args)->name, NULL, error);

	if (i)
		name_it(i, &((struct remote_interface_lookup_by_name_ret *)ret)->iface);
	return i ? 0 : -1;
}

static int lookup_by_mac(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_interfaces();
	const struct host_interface *i = find(list, NULL,
		((const struct remote_interface_lookup_by_mac_string_args *)args)->mac, error);

	if (i)
		name_it(i, &((struct remote_interface_lookup_by_mac_string_ret *)ret)->iface);
	return i ? 0 : -1;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_interfaces();
	const struct host_interface *i = find(list,
		((const struct remote_interface_get_xml_desc_args *)args)->iface.name, NULL, error);

	if (i)
		((struct remote_interface_get_xml_desc_ret *)ret)->xml = host_interface_xml(i);
	return i ? 0 : -1;
}

static int is_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_interfaces();
	const struct host_interface *i = find(list,
		((const struct remote_interface_is_active_args *)args)->iface.name, NULL, error);

	if (i)
		((struct remote_interface_is_active_ret *)ret)->active = i->up;
	return i ? 0 : -1;
}

const struct rpc_procedure rpc_interface_procedures[] = {
	{ REMOTE_PROC_CONNECT_LIST_ALL_INTERFACES, list_all, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_INTERFACES, count_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_NUM_OF_DEFINED_INTERFACES, count_defined, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_INTERFACES, list_active, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_DEFINED_INTERFACES, list_defined, ROLE_READ },
	{ REMOTE_PROC_INTERFACE_LOOKUP_BY_NAME, lookup_by_name, ROLE_READ },
	{ REMOTE_PROC_INTERFACE_LOOKUP_BY_MAC_STRING, lookup_by_mac, ROLE_READ },
	{ REMOTE_PROC_INTERFACE_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_INTERFACE_IS_ACTIVE, is_active, ROLE_READ },
	{},
};
