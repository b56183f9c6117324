/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parts.c: disks, cards, ports: their properties, and how they come to be. */
#include "vm/parts.h"

#include <string.h>

#include "base/error.h"
#include "board/pc/pc.h"
#include "char/char.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/stream.h"
#include "device/bus/pcie_root_port.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_blk.h"
#include "device/virtio/virtio_console.h"
#include "device/virtio/virtio_net.h"
#include "device/virtio/virtio_rng.h"
#include "image/image.h"
#include "net/net.h"
#include "vm/vm.h"

struct vm_backend *vm_backend_add(struct vm *vm, const char *id)
{
	struct vm_backend *b = g_new0(struct vm_backend, 1);

	b->id = g_strdup(id);
	g_ptr_array_add(vm->backends, b);
	return b;
}

struct chardev *vm_open_char(struct vm *vm, const char *id, const char *spec, GError **error)
{
	bool terminal = strcmp(spec, "stdio") == 0;
	struct vm_backend *b;

	if (terminal && vm->stdio) {
		fail(error, LODGE_ERROR_USAGE, "%s: only one port can have the terminal", id);
		return NULL;
	}
	b = vm_backend_add(vm, id);
	b->chr = char_open(spec, error);
	if (terminal)
		vm->stdio = b->chr;
	return b->chr;
}

int parts_for_board(struct vm *vm, struct pc_spec *pc, GError **error)
{
	unsigned uarts = 0;

	for (guint i = 0; i < vm->spec.parts->len; i++) {
		const struct part *p = g_ptr_array_index(vm->spec.parts, i);

		if (p->kind == &part_kernel) {
			pc->kernel = part_get(p, "path");
			pc->kernel_format = part_get(p, "format");
		} else if (p->kind == &part_initrd) {
			pc->initrd = part_get(p, "path");
		} else if (p->kind == &part_serial) {
			pc->serial[uarts] = vm_open_char(vm, p->id, part_get(p, "to"), error);
			if (!pc->serial[uarts++])
				return -1;
		} else if (p->kind == &part_debug_console) {
			pc->debug_console = vm_open_char(vm, p->id, part_get(p, "to"), error);
			if (!pc->debug_console)
				return -1;
		}
	}
	return 0;
}

int parts_build(struct vm *vm, GError **error)
{
	for (guint i = 0; i < vm->spec.parts->len; i++) {
		const struct part *p = g_ptr_array_index(vm->spec.parts, i);

		if (p->kind->build && p->kind->build(vm, p, error) < 0)
			return -1;
	}
	return 0;
}

/* A device of the part's class with those of its properties that are the class's. */
static struct device *part_device(
	struct vm *vm, const struct part *p, const char *id, GError **error)
{
	struct device *d = device_new(vm->machine, p->kind->cls, id);

	for (guint i = 0; i < p->values->len; i++) {
		const struct part_value *v = &g_array_index(p->values, struct part_value, i);

		for (const struct field *f = p->kind->cls->config; f && f->name; f++) {
			if (strcmp(f->name, v->name) == 0 &&
				device_set(d, v->name, v->value, error) < 0) {
				device_free(d);
				return NULL;
			}
		}
	}
	return d;
}

void vm_backend_set_device(struct vm_backend *b, struct device *d)
{
	b->device = d;
	g_free(b->device_id);
	b->device_id = d ? g_strdup(d->id) : NULL;
}

/* The guest switched a slot off. */
static void device_gone(void *opaque, const char *id)
{
	struct vm *vm = opaque;

	for (guint i = 0; i < vm->backends->len; i++) {
		struct vm_backend *b = g_ptr_array_index(vm->backends, i);

		if (g_strcmp0(b->device_id, id) == 0)
			vm_backend_set_device(b, NULL);
	}
	if (vm->unplugged)
		vm->unplugged(vm->unplugged_opaque, id);
}

int vm_plug(struct vm *vm, struct device *d, const char *slot, GError **error)
{
	struct device *port = slot ? device_find(vm->machine, slot) : NULL;

	if (!slot)
		return device_add(d, error);
	if (!port || !pcie_root_port_of(port)) {
		fail(error, LODGE_ERROR_USAGE,
			"%s: there is no slot '%s' (--slots N makes slot1 to slotN)", d->id, slot);
		device_free(d);
		return -1;
	}
	pcie_root_port_of(port)->unplugged = device_gone;
	pcie_root_port_of(port)->unplugged_opaque = vm;
	return pcie_root_port_plug(pcie_root_port_of(port), d, error);
}

/* The image behind a disk, as its properties say; o has the rest. */
static struct image *open_disk(const struct part *p, struct image_options *o, GError **error)
{
	static const struct field cache_field = { .name = "cache", .kind = FIELD_SIZE, .count = 1 };
	g_autoptr(GPtrArray) dirs = g_ptr_array_new();
	const char *secret_file = part_get(p, "secret-file"), *cache = part_get(p, "cache");
	g_autofree char *secret = NULL;
	struct image *im;

	for (guint i = 0; i < p->values->len; i++) {
		const struct part_value *v = &g_array_index(p->values, struct part_value, i);

		if (!strcmp(v->name, "backing-dir"))
			g_ptr_array_add(dirs, v->value);
	}
	g_ptr_array_add(dirs, NULL);
	o->backing_dirs = (const char *const *)dirs->pdata;
	if (cache && field_parse(&cache_field, &o->cache, cache, error) < 0)
		return NULL;
	if (secret_file && !g_file_get_contents(secret_file, &secret, NULL, error)) {
		(*error)->domain = LODGE_ERROR;
		(*error)->code = LODGE_ERROR_FILE;
		return NULL;
	}
	o->secret = secret ? g_strchomp(secret) : NULL;
	im = image_open(o, error);
	if (secret)
		explicit_bzero(secret, strlen(secret));
	return im;
}

static int build_disk(struct vm *vm, const struct part *p, GError **error)
{
	static const struct field queues_field = {
		.name = "queues", .kind = FIELD_U16, .count = 1
	};
	const char *queues_text = part_get(p, "queues");
	struct image_options o = { .path = part_get(p, "path"), .format = part_get(p, "format") };
	int readonly = part_get_bool(p, "readonly", false, error);
	int direct = readonly < 0 ? -1 : part_get_bool(p, "direct", false, error);
	uint16_t queues = 1;
	struct vm_backend *b;
	struct device *d;

	if (direct < 0)
		return -1;
	/* The device is made first: it knows whether its properties are right. */
	d = part_device(vm, p, p->id, error);
	if (!d)
		return -1;
	if (queues_text)
		field_parse(&queues_field, &queues, queues_text, NULL);
	o.readonly = readonly;
	o.direct = direct;
	o.queues = CLAMP(queues, 1, 64); /* the device refuses what it cannot have */
	b = vm_backend_add(vm, p->id);
	b->image = open_disk(p, &o, error);
	if (!b->image) {
		device_free(d);
		return -1;
	}
	virtio_blk_set_image(d, b->image);
	if (vm_plug(vm, d, part_get(p, "slot"), error) < 0)
		return -1;
	vm_backend_set_device(b, d);
	return 0;
}

/* What is not the card's is the host end's: net_open() has a syntax of its own. */
static char *net_spec(const struct part *p)
{
	GString *s = g_string_new(part_get(p, "to"));

	for (guint i = 0; i < p->values->len; i++) {
		const struct part_value *v = &g_array_index(p->values, struct part_value, i);

		for (const struct part_prop *k = p->kind->props; k->name; k++) {
			if (strcmp(k->name, v->name) == 0 && strcmp(k->name, "to") != 0 &&
				strcmp(k->name, "slot") != 0)
				g_string_append_printf(s, ",%s=%s", v->name, v->value);
		}
	}
	return g_string_free(s, FALSE);
}

static int build_net(struct vm *vm, const struct part *p, GError **error)
{
	g_autofree char *spec = net_spec(p);
	struct device *d = part_device(vm, p, p->id, error);
	struct vm_backend *b;

	if (!d)
		return -1;
	b = vm_backend_add(vm, p->id);
	b->net = net_open(spec, error);
	if (!b->net) {
		device_free(d);
		return -1;
	}
	virtio_net_set_netdev(d, b->net);
	if (vm_plug(vm, d, part_get(p, "slot"), error) < 0)
		return -1;
	vm_backend_set_device(b, d);
	return 0;
}

static int build_plain(struct vm *vm, const struct part *p, GError **error)
{
	struct device *d = part_device(vm, p, p->id, error);

	return d ? vm_plug(vm, d, part_get(p, "slot"), error) : -1;
}

static int add_console_port(struct vm *vm, const struct part *p, struct device *d, GError **error)
{
	const char *name = part_get(p, "name");
	struct chardev *chr = vm_open_char(vm, p->id, part_get(p, "to"), error);

	return chr ? virtio_console_add_port(d, name, !name, chr, error) : -1;
}

/* All ports sit on one device, which the first brings with it. */
static int build_console(struct vm *vm, const struct part *first, GError **error)
{
	struct device *d;

	for (guint i = 0; i < vm->spec.parts->len; i++) {
		const struct part *p = g_ptr_array_index(vm->spec.parts, i);

		if (p == first)
			break;
		if (p->kind == &part_console)
			return 0;
	}
	d = part_device(vm, first, "virtio-console", error);
	if (!d)
		return -1;
	for (guint i = 0; i < vm->spec.parts->len; i++) {
		const struct part *p = g_ptr_array_index(vm->spec.parts, i);

		if (p->kind == &part_console && add_console_port(vm, p, d, error) < 0) {
			device_free(d);
			return -1;
		}
	}
	return vm_plug(vm, d, part_get(first, "slot"), error);
}

#define SLOT_PROP                                                                                  \
	{                                                                                          \
		"slot", "SLOT", "behind this hot-pluggable port: slot1, slot2, ..."                \
	}

static const struct part_prop kernel_props[] = {
	{ "path", "FILE", "the kernel" },
	{ "format", "bzimage|elf|raw", "taken from the file if left out, but for raw" },
	{ 0 },
};
const struct part_kind part_kernel = {
	.name = "kernel",
	.first = "path",
	.props = kernel_props,
	.max = 1,
};

static const struct part_prop initrd_props[] = { { "path", "FILE", "the initial RAM disk" },
	{ 0 } };
const struct part_kind part_initrd = {
	.name = "initrd",
	.first = "path",
	.props = initrd_props,
	.max = 1,
};

static const struct part_prop char_props[] = {
	{ "to", "CHAR", "stdio, pty, null, file:PATH, unix:PATH[,server], tcp:HOST:PORT[,server]" },
	{ 0 },
};
const struct part_kind part_serial = {
	.name = "serial",
	.first = "to",
	.props = char_props,
	.open_ended = true,
	.max = PC_UARTS,
};
const struct part_kind part_debug_console = {
	.name = "debug-console",
	.first = "to",
	.props = char_props,
	.open_ended = true,
	.max = 1,
};

static const struct part_prop disk_props[] = {
	{ "path", "FILE", "the image" },
	{ "format", "FORMAT", "raw, qcow2, ...; taken from the file if left out" },
	{ "readonly", "on|off", "the guest cannot write" },
	{ "direct", "on|off", "do without the host's page cache" },
	{ "backing-dir", "DIR",
		"where files that the image names may be, beside its own folder; "
		"repeatable" },
	{ "secret-file", "FILE", "holds the secret of an encrypted image" },
	{ "cache", "SIZE", "for the image's tables (32M)" },
	SLOT_PROP,
	{ 0 },
};
const struct part_kind part_disk = {
	.name = "disk",
	.first = "path",
	.props = disk_props,
	.cls = &virtio_blk_class,
	.max = 64,
	.build = build_disk,
};

static const struct part_prop net_props[] = {
	{ "to", "user|tap|none", "user-mode NAT, a tap interface of the host, or no cable" },
	{ "forward", "tcp|udp:[ADDR:]PORT:GUESTPORT",
		"user: host port that reaches the guest; repeatable" },
	{ "restrict", "on|off", "user: the guest reaches nothing but forwarded connections" },
	{ "dns", "on|off", "user: off: no name server at 10.0.2.3" },
	{ "host-loopback", "on|off",
		"user: off: 10.0.2.2 does not reach the host's own 127.0.0.1" },
	{ "name", "IFNAME", "tap: the interface; made if absent" },
	{ "fd", "N", "tap: an open descriptor" },
	SLOT_PROP,
	{ 0 },
};
const struct part_kind part_net = {
	.name = "net",
	.first = "to",
	.props = net_props,
	.cls = &virtio_net_class,
	.max = 16,
	.build = build_net,
};

static const struct part_prop console_props[] = {
	{ "to", "CHAR", "as --serial" },
	{ "name", "NAME", "no terminal but a channel, /dev/virtio-ports/NAME in the guest" },
	SLOT_PROP,
	{ 0 },
};
const struct part_kind part_console = {
	.name = "console",
	.first = "to",
	.props = console_props,
	.cls = &virtio_console_class,
	.open_ended = true,
	.max = 16,
	.build = build_console,
};

static const struct part_prop plain_props[] = { SLOT_PROP, { 0 } };
const struct part_kind part_rng = {
	.name = "rng",
	.props = plain_props,
	.cls = &virtio_rng_class,
	.max = 1,
	.build = build_plain,
};
const struct part_kind part_balloon = {
	.name = "balloon",
	.props = plain_props,
	.cls = &virtio_balloon_class,
	.max = 1,
	.build = build_plain,
};
