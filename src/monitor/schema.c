/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schema.c: the commands, the check of their arguments, and the manual made of the table. */
#include "monitor/schema.h"

#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "monitor/monitor.h"

static const struct qmp_arg enable_args[] = {
	{ "enable", QMP_STRINGS, true, "capabilities to switch on; there are none" },
	{ 0 },
};
static const struct qmp_arg value_args[] = {
	{ "value", QMP_INT, false, "bytes of memory the guest should have" },
	{ 0 },
};
static const struct qmp_arg save_args[] = {
	{ "file", QMP_STRING, false, "where to write it; appears whole or not at all" },
	{ 0 },
};
static const struct qmp_arg restore_args[] = {
	{ "file", QMP_STRING, false, "what `save` wrote, of a machine of the same make" },
	{ 0 },
};

static const struct qmp_arg blockdev_add_args[] = {
	{ "node-name", QMP_STRING, false, "id of the new back end" },
	{ "driver", QMP_STRING, false, "format of the image: raw, qcow2, ..." },
	{ "file", QMP_ANY, false, "{driver: file, filename: PATH}, or the path" },
	{ "read-only", QMP_BOOL, true, "the guest cannot write" },
	{ "cache", QMP_OBJECT, true, "direct: do without the host's page cache" },
	{ 0 },
};
static const struct qmp_arg node_args[] = {
	{ "node-name", QMP_STRING, false, "id of the back end" },
	{ 0 },
};
static const struct qmp_arg netdev_add_args[] = {
	{ "type", QMP_STRING, false, "user, tap or none" },
	{ "id", QMP_STRING, false, "id of the new back end" },
	{ "fd", QMP_STRING, true, "tap: name of a descriptor given with getfd" },
	{ "ifname", QMP_STRING, true, "tap: the interface" },
	{ "restrict", QMP_BOOL, true, "user: the guest reaches nothing but forwarded connections" },
	{ "hostfwd", QMP_OBJECTS, true, "user: str: [tcp|udp]:[ADDR]:PORT-:GUESTPORT" },
	{ 0 },
};
static const struct qmp_arg id_args[] = {
	{ "id", QMP_STRING, false, "what it was added as" },
	{ 0 },
};
static const struct qmp_arg device_add_args[] = {
	{ "driver", QMP_STRING, false,
		"virtio-blk-pci, virtio-net-pci, virtio-rng-pci, virtio-balloon-pci" },
	{ "id", QMP_STRING, false, "id of the new device" },
	{ "bus", QMP_STRING, true, "slot1, slot2, ...; the first that is free if left out" },
	{ "drive", QMP_STRING, true, "the node it shows" },
	{ "netdev", QMP_STRING, true, "the network it is on" },
	{ 0 },
};
static const struct qmp_arg set_link_args[] = {
	{ "name", QMP_STRING, false, "id of the card or its network" },
	{ "up", QMP_BOOL, false, "whether the cable is in" },
	{ 0 },
};
static const struct qmp_arg block_resize_args[] = {
	{ "node-name", QMP_STRING, true, "id of the image" },
	{ "device", QMP_STRING, true, "or of its disk" },
	{ "size", QMP_INT, false, "bytes" },
	{ 0 },
};
static const struct qmp_arg throttle_args[] = {
	{ "id", QMP_STRING, true, "id of the image" },
	{ "device", QMP_STRING, true, "or of its disk" },
	{ "bps", QMP_INT, false, "bytes a second; 0: no limit" },
	{ "bps_rd", QMP_INT, false, "0: there is no limit for reads alone" },
	{ "bps_wr", QMP_INT, false, "0" },
	{ "iops", QMP_INT, false, "operations a second; 0: no limit" },
	{ "iops_rd", QMP_INT, false, "0" },
	{ "iops_wr", QMP_INT, false, "0" },
	{ "bps_max", QMP_INT, true, "bytes at once after a pause" },
	{ "iops_max", QMP_INT, true, "operations at once after a pause" },
	{ 0 },
};
static const struct qmp_arg count_args[] = {
	{ "count", QMP_INT, false, "how many there shall be" },
	{ 0 },
};
static const struct qmp_arg fd_args[] = {
	{ "fdname", QMP_STRING, false, "name of the descriptor" },
	{ 0 },
};

const struct qmp_command qmp_commands[] = {
	{ "qmp_capabilities", NULL, enable_args, NULL,
		"Ends the negotiation; must be the first command." },
	{ "balloon", qmp_balloon, value_args, NULL,
		"Asks the guest to give memory back or take it again. See BALLOON_CHANGE." },
	{ "block_resize", qmp_block_resize, block_resize_args, NULL,
		"Changes a disk's size; the guest is told." },
	{ "block_set_io_throttle", qmp_block_set_io_throttle, throttle_args, NULL,
		"Limits what a disk may do." },
	{ "blockdev-add", qmp_blockdev_add, blockdev_add_args, NULL,
		"Opens a disk image, for device_add." },
	{ "blockdev-del", qmp_blockdev_del, node_args, NULL,
		"Closes a disk image that no device uses any more." },
	{ "closefd", qmp_closefd, fd_args, NULL, "Closes a descriptor that getfd took." },
	{ "cont", qmp_cont, NULL, NULL, "Lets a paused machine go on." },
	{ "device_add", qmp_device_add, device_add_args, NULL,
		"Plugs a device into a slot. All other members are properties of the device, as on "
		"the "
		"command line.",
		true },
	{ "device_del", qmp_device_del, id_args, NULL,
		"Asks the guest to let go of a device. See DEVICE_DELETED." },
	{ "getfd", NULL, fd_args, NULL,
		"Takes the descriptor that came with this message (SCM_RIGHTS) and remembers it by "
		"name." },
	{ "inject-nmi", qmp_inject_nmi, NULL, NULL,
		"Sends a non-maskable interrupt to all vCPUs." },
	{ "netdev_add", qmp_netdev_add, netdev_add_args, NULL,
		"Opens a host end of a network card, for device_add." },
	{ "netdev_del", qmp_netdev_del, id_args, NULL,
		"Closes a host end that no card uses any more." },
	{ "query-balloon", qmp_query_balloon, NULL, "actual: bytes the guest has now",
		"Tells the guest's memory without its balloon." },
	{ "query-block", qmp_query_block, NULL, "a list of disks with the image in each",
		"Lists the disks." },
	{ "query-blockstats", qmp_query_blockstats, NULL,
		"a list of device, qdev and stats: operations, bytes, nanoseconds and failures by "
		"kind",
		"Tells what each disk has done." },
	{ "query-chardev", qmp_query_chardev, NULL, "a list of label, filename, frontend-open",
		"Lists serial ports and consoles, and where they can be reached." },
	{ "query-commands", qmp_query_commands, NULL, "a list of name", "Lists these commands." },
	{ "query-cpus-fast", qmp_query_cpus_fast, NULL,
		"a list of cpu-index, thread-id, target, props, qom-path", "Lists the vCPUs." },
	{ "query-jit", qmp_query_jit, NULL,
		"cache-bytes; of the code that is there now blocks, guest-instructions, "
		"host-instructions, host-bytes; of all so far blocks-translated, "
		"instructions-translated, guest-bytes-translated, "
		"host-bytes-translated, "
		"translation-ns, blocks-dropped, links, regions-evicted, eviction-ns, "
		"eviction-longest-ns; exits to "
		"the loop by cause; of all vCPUs tlb-misses, tlb-second-level-hits, page-walks, "
		"mmio-accesses, "
		"tlb-page-flushes, tlb-full-flushes, address-space-switches. Under KVM nothing",
		"Tells what the translator has done, as --jit-stats does. (Lodge only.)" },
	{ "query-kvm", qmp_query_kvm, NULL, "enabled, present",
		"Tells whether the machine runs on KVM, and whether it could." },
	{ "query-machines", qmp_query_machines, NULL, "a list of boards", "Lists the boards." },
	{ "query-memory-size-summary", qmp_query_memory_size_summary, NULL, "base-memory: bytes",
		"Tells the machine's memory." },
	{ "query-name", qmp_query_name, NULL, "name, if it was given one",
		"Tells the machine's name." },
	{ "query-netdev", qmp_query_netdev, NULL,
		"a list of id, device, description, in-packets, in-bytes, out-packets, out-bytes",
		"Lists the host ends of network cards and what they carried; in is to the guest. "
		"(Lodge only.)" },
	{ "query-pci", qmp_query_pci, NULL, "a list of buses with the devices on each",
		"Lists the PCI functions as the guest has set them up." },
	{ "query-status", qmp_query_status, NULL, "status, running, singlestep",
		"Tells whether the machine runs." },
	{ "query-version", qmp_query_version, NULL, "qemu: major, minor, micro; package",
		"Tells the version of Lodge, in the shape QEMU tells its own." },
	{ "quit", qmp_quit, NULL, NULL, "Ends the machine as pulling the plug does." },
	{ "restore", qmp_restore, restore_args, NULL,
		"Puts a saved state into this machine, which is paused afterwards. If that fails "
		"half-way "
		"the machine ends. (Lodge only.)" },
	{ "save", qmp_save, save_args, NULL, "Writes the whole machine to a file. (Lodge only.)" },
	{ "set_link", qmp_set_link, set_link_args, NULL, "Plugs or pulls a network card's cable." },
	{ "set-vcpus", qmp_set_vcpus, count_args, NULL,
		"Plugs vCPUs, up to --max-cpus, or asks the guest to give some up; DEVICE_DELETED "
		"with "
		"device cpuN tells when one is gone. (Lodge only.)" },
	{ "stop", qmp_stop, NULL, NULL, "Pauses the machine." },
	{ "system_powerdown", qmp_system_powerdown, NULL, NULL, "Presses the power button." },
	{ "system_reset", qmp_system_reset, NULL, NULL, "Presses the reset button." },
	{ 0 },
};

const struct qmp_event_doc qmp_events[] = {
	{ "BALLOON_CHANGE", "actual: bytes the guest has now",
		"The guest's balloon changed; at most once a second." },
	{ "DEVICE_DELETED", "device, path", "The guest let go of a device; it is gone." },
	{ "POWERDOWN", NULL, "The power button was pressed." },
	{ "RESET", "guest: who wanted it; reason", "The machine was reset." },
	{ "RESUME", NULL, "The machine goes on." },
	{ "SHUTDOWN", "guest: who wanted it; reason", "The machine ended." },
	{ "STOP", NULL, "The machine was paused." },
	{ 0 },
};

G_DEFINE_QUARK(qmp - error - quark, qmp_error)

const char *qmp_error_class(const GError *error)
{
	if (error->domain != QMP_ERROR)
		return "GenericError";
	switch (error->code) {
	case QMP_ERROR_COMMAND_NOT_FOUND: return "CommandNotFound";
	case QMP_ERROR_DEVICE_NOT_FOUND: return "DeviceNotFound";
	default: return "DeviceNotActive";
	}
}

const struct qmp_command *qmp_find(const char *name)
{
	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

static const char *const type_names[] = {
	[QMP_INT] = "integer",
	[QMP_STRING] = "string",
	[QMP_BOOL] = "boolean",
	[QMP_STRINGS] = "array",
	[QMP_OBJECT] = "object",
	[QMP_OBJECTS] = "array",
	[QMP_ANY] = "any",
};

static bool has_type(const json_t *v, enum qmp_type t)
{
	switch (t) {
	case QMP_INT: return json_is_integer(v);
	case QMP_STRING: return json_is_string(v);
	case QMP_BOOL: return json_is_boolean(v);
	case QMP_OBJECT: return json_is_object(v);
	case QMP_ANY: return true;
	case QMP_STRINGS:
	case QMP_OBJECTS: break;
	}
	if (!json_is_array(v))
		return false;
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (!has_type(json_array_get(v, i), t == QMP_STRINGS ? QMP_STRING : QMP_OBJECT))
			return false;
	}
	return true;
}

static const struct qmp_arg *find_arg(const struct qmp_command *c, const char *name)
{
	for (const struct qmp_arg *a = c->args; a && a->name; a++) {
		if (!strcmp(a->name, name))
			return a;
	}
	return NULL;
}

static int unknown_arg(const struct qmp_command *c, const char *name, GError **error)
{
	struct nearest n;

	nearest_init(&n, name);
	for (const struct qmp_arg *a = c->args; a && a->name; a++)
		nearest_offer(&n, a->name);
	g_autofree char *hint = nearest_hint(&n);

	return fail(error, LODGE_ERROR_USAGE, "Parameter '%s' is unexpected%s", name, hint);
}

int qmp_check_args(const struct qmp_command *c, const json_t *args, GError **error)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)args, name, v)
	{
		const struct qmp_arg *a = find_arg(c, name);

		if (!a && c->open_ended)
			continue;
		if (!a)
			return unknown_arg(c, name, error);
		if (!has_type(v, a->type))
			return fail(error, LODGE_ERROR_USAGE,
				"Invalid parameter type for '%s', expected: %s", name,
				type_names[a->type]);
	}
	for (const struct qmp_arg *a = c->args; a && a->name; a++) {
		if (!a->optional && !json_object_get(args, a->name))
			return fail(error, LODGE_ERROR_USAGE, "Parameter '%s' is missing", a->name);
	}
	return 0;
}

char *monitor_manual(void)
{
	GString *s = g_string_new(
		"# QMP: steering a running machine\n\n"
		"`lodge-vm --qmp PATH` listens on a unix socket for clients of the QEMU Machine\n"
		"Protocol: one JSON object a message, a greeting first, then `qmp_capabilities`,\n"
		"then the commands below. Names and shapes are QEMU's, so its clients work. "
		"Several\n"
		"clients may be connected; each gets every event.\n\n"
		"A message has at most 1 MiB and 64 levels of nesting. A message that cannot be "
		"parsed\n"
		"is answered with an error and skipped.\n\n"
		"This page is made from the table in `src/monitor/schema.c`.\n\n## Commands\n");

	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		g_string_append_printf(s, "\n### %s\n\n%s\n", c->name, c->help);
		if (c->args)
			g_string_append_c(s, '\n');
		for (const struct qmp_arg *a = c->args; a && a->name; a++)
			g_string_append_printf(s, "- `%s` (%s%s): %s\n", a->name,
				type_names[a->type], a->optional ? ", optional" : "", a->help);
		if (c->returns)
			g_string_append_printf(s, "\nReturns %s.\n", c->returns);
	}
	g_string_append(s, "\n## Events\n\n");
	for (const struct qmp_event_doc *e = qmp_events; e->name; e++)
		g_string_append_printf(s, "- `%s`: %s%s%s\n", e->name, e->help,
			e->data ? " Data: " : "", e->data ? e->data : "");
	return g_string_free(s, FALSE);
}
