/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node_device.c: the calls for the host's devices. */
#include <string.h>

#include "manager/error.h"
#include "manager/host/devices.h"
#include "manager/rpc/dispatch.h"
#include "wire/libvirt/protocol.h"

/* Flags of a list beyond the capabilities: all that we show are active. */
#define LIST_INACTIVE (1u << 30)
#define LIST_ACTIVE   (1u << 31)

/* Of this list, or NULL with error. */
static const struct host_device *find(GPtrArray *list, const char *name, GError **error)
{
	for (guint i = 0; i < list->len; i++) {
		const struct host_device *d = list->pdata[i];

		if (strcmp(d->name, name) == 0)
			return d;
	}
	refuse(error, MANAGER_ERR_NO_NODE_DEVICE, "the host has no device '%s'", name);
	return NULL;
}

static bool has_cap(const struct host_device *d, const char *cap)
{
	return !cap || strcmp(host_device_cap_name(d->cap), cap) == 0;
}

static int count(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_num_of_devices_args *a = args;
	g_autoptr(GPtrArray) list = host_devices();

	for (guint i = 0; i < list->len; i++)
		((struct remote_node_num_of_devices_ret *)ret)->num +=
			has_cap(list->pdata[i], a->cap);
	return 0;
}

static int list_names(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_list_devices_args *a = args;
	struct remote_node_list_devices_ret *r = ret;
	g_autoptr(GPtrArray) list = host_devices();

	r->names = g_new0(char *, list->len);
	for (guint i = 0; i < list->len && r->names_count < (uint32_t)MAX(a->maxnames, 0); i++) {
		if (has_cap(list->pdata[i], a->cap))
			r->names[r->names_count++] =
				g_strdup(((struct host_device *)list->pdata[i])->name);
	}
	return 0;
}

static int list_all(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_connect_list_all_node_devices_args *a = args;
	struct remote_connect_list_all_node_devices_ret *r = ret;
	g_autoptr(GPtrArray) list = host_devices();
	uint32_t caps = a->flags & ~(LIST_ACTIVE | LIST_INACTIVE);

	if ((a->flags & (LIST_ACTIVE | LIST_INACTIVE)) == LIST_INACTIVE)
		return 0;
	r->devices = g_new0(struct remote_nonnull_node_device, list->len);
	for (guint i = 0; i < list->len; i++) {
		const struct host_device *d = list->pdata[i];

		if (!caps || caps & d->cap)
			r->devices[r->devices_count++].name = g_strdup(d->name);
	}
	r->ret = r->devices_count;
	return 0;
}

static int lookup(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_device_lookup_by_name_args *a = args;
	g_autoptr(GPtrArray) list = host_devices();

	if (!find(list, a->name, error))
		return -1;
	((struct remote_node_device_lookup_by_name_ret *)ret)->dev.name = g_strdup(a->name);
	return 0;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_devices();
	const struct host_device *d = find(
		list, ((const struct remote_node_device_get_xml_desc_args *)args)->name, error);

	if (d)
		((struct remote_node_device_get_xml_desc_ret *)ret)->xml = host_device_xml(d);
	return d ? 0 : -1;
}

static int get_parent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_devices();
	const struct host_device *d =
		find(list, ((const struct remote_node_device_get_parent_args *)args)->name, error);

	if (d)
		((struct remote_node_device_get_parent_ret *)ret)->parentName = g_strdup(d->parent);
	return d ? 0 : -1;
}

static int count_caps(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_devices();

	((struct remote_node_device_num_of_caps_ret *)ret)->num = 1;
	return find(list, ((const struct remote_node_device_num_of_caps_args *)args)->name, error)
		       ? 0
		       : -1;
}

static int list_caps(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_node_device_list_caps_args *a = args;
	struct remote_node_device_list_caps_ret *r = ret;
	g_autoptr(GPtrArray) list = host_devices();
	const struct host_device *d = find(list, a->name, error);

	if (!d)
		return -1;
	r->names = g_new0(char *, 1);
	if (a->maxnames > 0)
		r->names[r->names_count++] = g_strdup(host_device_cap_name(d->cap));
	return 0;
}

static int is_active(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_devices();

	((struct remote_node_device_is_active_ret *)ret)->active = 1;
	return find(list, ((const struct remote_node_device_is_active_args *)args)->name, error)
		       ? 0
		       : -1;
}

/* Only what a definition makes is kept, and we make none. */
static int is_persistent(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	g_autoptr(GPtrArray) list = host_devices();

	return find(list, ((const struct remote_node_device_is_persistent_args *)args)->name, error)
		       ? 0
		       : -1;
}

const struct rpc_procedure rpc_node_device_procedures[] = {
	{ REMOTE_PROC_NODE_NUM_OF_DEVICES, count, ROLE_READ },
	{ REMOTE_PROC_NODE_LIST_DEVICES, list_names, ROLE_READ },
	{ REMOTE_PROC_CONNECT_LIST_ALL_NODE_DEVICES, list_all, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_LOOKUP_BY_NAME, lookup, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_GET_PARENT, get_parent, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_NUM_OF_CAPS, count_caps, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_LIST_CAPS, list_caps, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_IS_ACTIVE, is_active, ROLE_READ },
	{ REMOTE_PROC_NODE_DEVICE_IS_PERSISTENT, is_persistent, ROLE_READ },
	{},
};
