/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm.c: from a spec to a machine. */
#include "vm/vm.h"

#include <string.h>
#include <unistd.h>

#include "accel/accel.h"
#include "base/error.h"
#include "board/pc/pc.h"
#include "char/char.h"
#include "core/device.h"
#include "core/machine.h"
#include "image/image.h"
#include "net/net.h"
#include "vm/parts.h"

static void backend_free(void *opaque)
{
	struct vm_backend *b = opaque;

	char_close(b->chr);
	image_close(b->image);
	net_close(b->net);
	g_free(b->device_id);
	g_free(b->id);
	g_free(b);
}

static void close_fd(void *fd)
{
	close(GPOINTER_TO_INT(fd));
}

struct vm_backend *vm_backend_find(struct vm *vm, const char *id)
{
	for (guint i = 0; i < vm->backends->len; i++) {
		struct vm_backend *b = g_ptr_array_index(vm->backends, i);

		if (strcmp(b->id, id) == 0)
			return b;
	}
	return NULL;
}

static int make_machine(struct vm *vm, GError **error)
{
	const struct accel *a = accel_find(vm->spec.accel, &vm->accel_why, error);

	if (!a)
		return -1;
	vm->machine = machine_new(a, error);
	if (!vm->machine)
		return -1;
	if (vm->spec.cpu)
		vm->machine->cpu_model = vm->spec.cpu;
	else
		vm->machine->cpu_model = strcmp(a->name, "kvm") == 0 ? "host" : "max";
	vm->machine->no_reboot = vm->spec.no_reboot;
	if (a->code_cache)
		a->code_cache(vm->machine, vm->spec.jit_cache);
	return 0;
}

static int make_board(struct vm *vm, GError **error)
{
	struct pc_spec pc = {
		.memory = vm->spec.memory,
		.hugepages = vm->spec.hugepages,
		.cpus = vm->spec.cpus,
		.max_cpus = vm->spec.max_cpus,
		.append = vm->spec.append,
		.debug_exit = vm->spec.debug_exit,
		.slots = vm->spec.slots,
	};

	if (parts_for_board(vm, &pc, error) < 0)
		return -1;
	return pc_board_new(vm->machine, &pc, error);
}

struct vm *vm_new(struct vm_spec *spec, GError **error)
{
	struct vm *vm = g_new0(struct vm, 1);

	vm->spec = *spec;
	vm_spec_init(spec);
	vm->backends = g_ptr_array_new_with_free_func(backend_free);
	vm->fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_fd);
	if (make_machine(vm, error) < 0 || make_board(vm, error) < 0 || parts_build(vm, error) < 0)
		goto failed;
	if (vm->spec.load) {
		if (vm_restore(vm, vm->spec.load, error) < 0)
			goto failed;
	} else {
		machine_reset(vm->machine);
	}
	return vm;
failed:
	vm_free(vm);
	return NULL;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	machine_free(vm->machine); /* devices go before what they hold on to */
	g_ptr_array_unref(vm->backends);
	g_hash_table_unref(vm->fds);
	vm_spec_fini(&vm->spec);
	g_free(vm->accel_why);
	g_free(vm);
}
