/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parts.c: disks, cards, ports: their properties, and how they come to be. */
#include "vm/parts.h"

#include <string.h>

#include "base/error.h"
#include "board/pc/pc.h"
#include "char/char.h"
#include "core/device.h"
#include "core/machine.h"
#include "device/bus/pci_host.h"
#include "device/bus/pcie_root_port.h"
#include "image/image.h"
#include "net/net.h"
#include "vm/vm.h"

static struct vm_backend *backend_new(struct vm *vm, const char *id)
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
	b = backend_new(vm, id);
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

static const struct part_prop kernel_props[] = {
	{ "path", "FILE", "the kernel" },
	{ "format", "bzimage|elf|raw", "taken from the file if left out, but for raw" },
	{ 0 },
};
const struct part_kind part_kernel = {
	.name = "kernel", .first = "path", .props = kernel_props, .max = 1,
};

static const struct part_prop initrd_props[] = { { "path", "FILE", "the initial RAM disk" }, { 0 } };
const struct part_kind part_initrd = {
	.name = "initrd", .first = "path", .props = initrd_props, .max = 1,
};

static const struct part_prop char_props[] = {
	{ "to", "CHAR", "stdio, pty, null, file:PATH, unix:PATH[,server], tcp:HOST:PORT[,server]" },
	{ 0 },
};
const struct part_kind part_serial = {
	.name = "serial", .first = "to", .props = char_props, .open_ended = true, .max = PC_UARTS,
};
const struct part_kind part_debug_console = {
	.name = "debug-console", .first = "to", .props = char_props, .open_ended = true, .max = 1,
};
