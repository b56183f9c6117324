/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commands_device.c: commands that plug and unplug, and the counts of disks and cards. Shapes: QEMU
 * QMP Reference Manual, "Device" and "Block devices".
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "monitor/schema.h"
#include "vm/hotplug.h"
#include "vm/inspect.h"
#include "vm/vm.h"

static const char *get(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

static bool get_bool(const json_t *args, const char *name)
{
	return json_is_true(json_object_get(args, name));
}

static json_t *done(int r)
{
	return r < 0 ? NULL : json_object();
}

static json_t *refuse(GError **error, const char *text, const char *what)
{
	fail(error, LODGE_ERROR_USAGE, text, what);
	return NULL;
}

/* ---- back ends ---- */

json_t *qmp_blockdev_add(struct vm *vm, const json_t *args, GError **error)
{
	const json_t *file = json_object_get(args, "file"), *cache = json_object_get(args, "cache");
	struct vm_image im = {
		.format = get(args, "driver"),
		.readonly = get_bool(args, "read-only"),
		.direct = get_bool(cache, "direct"),
		.path = json_is_string(file) ? json_string_value(file) : get(file, "filename"),
	};

	if (!im.path)
		return refuse(error, "Parameter '%s' is missing", "file.filename");
	return done(vm_image_add(vm, get(args, "node-name"), &im, error));
}

json_t *qmp_blockdev_del(struct vm *vm, const json_t *args, GError **error)
{
	return done(vm_backend_remove(vm, get(args, "node-name"), error));
}

/* Either member names the image. */
static const char *image_id(const json_t *args, const char *first, const char *second)
{
	const char *id = get(args, first);

	return id ? id : get(args, second);
}

json_t *qmp_block_resize(struct vm *vm, const json_t *args, GError **error)
{
	const char *id = image_id(args, "node-name", "device");
	json_int_t size = json_integer_value(json_object_get(args, "size"));

	if (!id)
		return refuse(error, "Parameter '%s' is missing", "node-name");
	if (size <= 0 || size % 512)
		return refuse(error, "Parameter '%s' expects a multiple of 512", "size");
	return done(vm_image_resize(vm, id, (uint64_t)size, error));
}

json_t *qmp_block_set_io_throttle(struct vm *vm, const json_t *args, GError **error)
{
	static const char *const names[] = { "bps", "iops", "bps_max", "iops_max", "bps_rd",
		"bps_wr", "iops_rd", "iops_wr" };
	const char *id = image_id(args, "id", "device");
	uint64_t v[G_N_ELEMENTS(names)];

	if (!id)
		return refuse(error, "Parameter '%s' is missing", "id");
	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		json_int_t n = json_integer_value(json_object_get(args, names[i]));

		if (n < 0)
			return refuse(error, "Parameter '%s' is negative", names[i]);
		if (n && i >= 4)
			return refuse(error, "%s: reads and writes have one limit together here",
				names[i]);
		v[i] = (uint64_t)n;
	}
	return done(
		vm_image_set_limits(vm, id, &(struct vm_limits){ v[0], v[1], v[2], v[3] }, error));
}

/* QEMU's "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport" as ours. */
static int add_forward(GString *spec, const char *rule, GError **error)
{
	g_autoptr(GRegex) re =
		g_regex_new("^(tcp|udp)?:([0-9.]*):([0-9]+)-[0-9.]*:([0-9]+)$", 0, 0, NULL);
	g_autoptr(GMatchInfo) m = NULL;

	if (!g_regex_match(re, rule, 0, &m))
		return fail(error, LODGE_ERROR_USAGE, "hostfwd '%s' is not PROTO:[ADDR]:PORT-:PORT",
			rule);
	g_autofree char *proto = g_match_info_fetch(m, 1), *addr = g_match_info_fetch(m, 2);
	g_autofree char *from = g_match_info_fetch(m, 3), *to = g_match_info_fetch(m, 4);

	g_string_append_printf(spec, ",forward=%s:%s%s%s:%s", *proto ? proto : "tcp", addr,
		*addr ? ":" : "", from, to);
	return 0;
}

static int user_spec(GString *spec, const json_t *args, GError **error)
{
	const json_t *rules = json_object_get(args, "hostfwd");

	if (get_bool(args, "restrict"))
		g_string_append(spec, ",restrict=on");
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const char *rule = get(json_array_get(rules, i), "str");

		if (!rule)
			return fail(error, LODGE_ERROR_USAGE, "hostfwd: 'str' is missing");
		if (add_forward(spec, rule, error) < 0)
			return -1;
	}
	return 0;
}

/* What `getfd` stored; the caller's. -1 with error. */
static int take_fd(struct vm *vm, const char *name, GError **error)
{
	gpointer key, fd;

	if (!g_hash_table_steal_extended(vm->fds, name, &key, &fd))
		return fail(error, LODGE_ERROR_USAGE,
			"File descriptor named '%s' has not been found; pass it with getfd", name);
	g_free(key);
	return GPOINTER_TO_INT(fd);
}

static int tap_spec(struct vm *vm, GString *spec, const json_t *args, GError **error)
{
	const char *fd_name = get(args, "fd"), *ifname = get(args, "ifname");
	int fd;

	if (ifname && strchr(ifname, ','))
		return fail(error, LODGE_ERROR_USAGE, "ifname '%s' is no interface's name", ifname);
	if (ifname)
		g_string_append_printf(spec, ",name=%s", ifname);
	if (!fd_name)
		return 0;
	fd = take_fd(vm, fd_name, error);
	if (fd >= 0)
		g_string_append_printf(spec, ",fd=%d", fd);
	return fd < 0 ? -1 : 0;
}

json_t *qmp_closefd(struct vm *vm, const json_t *args, GError **error)
{
	if (!g_hash_table_remove(vm->fds, get(args, "fdname")))
		return refuse(error, "File descriptor named '%s' not found", get(args, "fdname"));
	return json_object();
}

json_t *qmp_netdev_add(struct vm *vm, const json_t *args, GError **error)
{
	const char *type = get(args, "type");
	g_autoptr(GString) spec = g_string_new(type);
	int r = 0;

	if (!strcmp(type, "user"))
		r = user_spec(spec, args, error);
	else if (!strcmp(type, "tap"))
		r = tap_spec(vm, spec, args, error);
	else if (strcmp(type, "none"))
		return refuse(error, "Parameter 'type' does not accept value '%s'", type);
	return r < 0 ? NULL : done(vm_net_add(vm, get(args, "id"), spec->str, error));
}

json_t *qmp_netdev_del(struct vm *vm, const json_t *args, GError **error)
{
	return done(vm_backend_remove(vm, get(args, "id"), error));
}

/* ---- devices ---- */

/* A scalar as a person would type it; the caller's. NULL: no scalar. */
static char *scalar(const json_t *v)
{
	if (json_is_string(v))
		return g_strdup(json_string_value(v));
	if (json_is_boolean(v))
		return g_strdup(json_is_true(v) ? "on" : "off");
	if (json_is_integer(v))
		return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return NULL;
}

static bool is_property(const char *name)
{
	static const char *const ours[] = { "driver", "id", "bus", "drive", "netdev", NULL };

	return !g_strv_contains(ours, name);
}

json_t *qmp_device_add(struct vm *vm, const json_t *args, GError **error)
{
	g_autoptr(GArray) properties = g_array_new(FALSE, TRUE, sizeof(struct vm_property));
	g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
	const char *drive = get(args, "drive"), *name;
	struct vm_device d = {
		.driver = get(args, "driver"),
		.id = get(args, "id"),
		.slot = get(args, "bus"),
		.backend = drive ? drive : get(args, "netdev"),
	};
	json_t *v;

	json_object_foreach((json_t *)args, name, v)
	{
		if (!is_property(name))
			continue;
		struct vm_property p = { name, scalar(v) };

		if (!p.value)
			return refuse(error, "Parameter '%s' expects a scalar", name);
		g_ptr_array_add(values, (char *)p.value);
		g_array_append_val(properties, p);
	}
	d.properties = (const struct vm_property *)(void *)properties->data;
	d.property_count = properties->len;
	return done(vm_device_plug(vm, &d, error));
}

json_t *qmp_device_del(struct vm *vm, const json_t *args, GError **error)
{
	const char *id = get(args, "id");

	if (!vm_device_exists(vm, id)) {
		g_set_error(
			error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
		return NULL;
	}
	return done(vm_device_unplug(vm, id, error));
}

json_t *qmp_set_link(struct vm *vm, const json_t *args, GError **error)
{
	return done(vm_net_set_link(vm, get(args, "name"), get_bool(args, "up"), error));
}

json_t *qmp_inject_nmi(struct vm *vm, const json_t *args, GError **error)
{
	vm_inject_nmi(vm);
	return json_object();
}

json_t *qmp_set_vcpus(struct vm *vm, const json_t *args, GError **error)
{
	json_int_t count = json_integer_value(json_object_get(args, "count"));

	return done(vm_set_vcpus(vm, CLAMP(count, 0, INT_MAX), error));
}

/* ---- counts ---- */

static json_t *disk_stats(const struct vm_disk *d)
{
	static const char *const kinds[] = { "rd", "wr", "flush", "unmap" };
	const struct vm_disk_stats *s = &d->stats;
	json_t *stats = json_object();
	json_t *o = json_pack("{s:s, s:s, s:s, s:o}", "device", d->id, "node-name", d->id, "qdev",
		d->device_id ? d->device_id : "", "stats", stats);

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autofree char *ops = g_strconcat(kinds[i], "_operations", NULL);
		g_autofree char *bytes = g_strconcat(kinds[i], "_bytes", NULL);
		g_autofree char *ns = g_strconcat(kinds[i], "_total_time_ns", NULL);
		g_autofree char *failed = g_strdup_printf("failed_%s_operations", kinds[i]);

		json_object_set_new(stats, ops, json_integer(s->ops[i]));
		json_object_set_new(stats, bytes, json_integer(s->bytes[i]));
		json_object_set_new(stats, ns, json_integer(s->ns[i]));
		json_object_set_new(stats, failed, json_integer(s->failed[i]));
	}
	if (s->last_ns)
		json_object_set_new(stats, "idle_time_ns",
			json_integer(g_get_monotonic_time() * 1000 - s->last_ns));
	return o;
}

json_t *qmp_query_blockstats(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();
	struct vm_disk d;

	for (unsigned i = 0; vm_disk(vm, i, &d); i++)
		json_array_append_new(list, disk_stats(&d));
	return list;
}

json_t *qmp_query_netdev(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();
	struct vm_net n;

	for (unsigned i = 0; vm_net(vm, i, &n); i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s?, s:s, s:I, s:I, s:I, s:I}", "id", n.id,
				      "device", n.device_id, "description", n.where, "in-packets",
				      (json_int_t)n.in_frames, "in-bytes", (json_int_t)n.in_bytes,
				      "out-packets", (json_int_t)n.out_frames, "out-bytes",
				      (json_int_t)n.out_bytes));
	return list;
}
