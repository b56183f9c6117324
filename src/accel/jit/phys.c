/* SPDX-License-Identifier: GPL-2.0-or-later */
/* phys.c: the translator's own map of where RAM is, kept by listening to the machine's memory
 * space. */
#include <string.h>

#include "accel/jit/vm.h"
#include "core/machine.h"
#include "core/ram.h"

/* Under the space's lock: changes come one at a time. */
static void publish(struct jit_vm *vm, struct phys_view *p)
{
	struct phys_view *old = atomic_exchange(&vm->phys.view, p);

	g_free(vm->phys.old);
	vm->phys.old = old;
}

static void ram_add(void *opaque, const struct flat *f)
{
	struct jit_vm *vm = opaque;
	struct phys_view *old = atomic_load(&vm->phys.view), *p;
	unsigned at = 0;

	ram_track_code(f->region->ram);
	f->region->ram->code_written = jit_code_written;
	f->region->ram->code_opaque = vm;
	p = g_malloc0(sizeof(*p) + (old->count + 1) * sizeof(p->ram[0]));
	while (at < old->count && old->ram[at].start < f->start)
		at++;
	memcpy(p->ram, old->ram, at * sizeof(p->ram[0]));
	memcpy(p->ram + at + 1, old->ram + at, (old->count - at) * sizeof(p->ram[0]));
	p->count = old->count + 1;
	p->ram[at] = (struct phys_ram){
		.start = f->start,
		.size = f->size,
		.host = f->host,
		.ram = f->region->ram,
		.ram_offset = f->region->ram_offset + f->region_offset,
		.readonly = f->readonly,
	};
	p->ram[at].page_flags = f->region->ram->page_flags + p->ram[at].ram_offset / RAM_PAGE;
	p->ram[at].store_note = f->region->ram->page_notes + p->ram[at].ram_offset / RAM_PAGE;
	publish(vm, p);
	jit_code_written(vm, NULL, 0, 0);
}

static void ram_del(void *opaque, const struct flat *f)
{
	struct jit_vm *vm = opaque;
	struct phys_view *old = atomic_load(&vm->phys.view), *p;

	p = g_malloc0(sizeof(*p) + old->count * sizeof(p->ram[0]));
	for (unsigned i = 0; i < old->count; i++)
		if (old->ram[i].start != f->start)
			p->ram[p->count++] = old->ram[i];
	publish(vm, p);
	jit_code_written(vm, NULL, 0, 0);
}

void phys_init(struct jit_vm *vm)
{
	atomic_init(&vm->phys.view, g_malloc0(sizeof(struct phys_view)));
	vm->listener =
		(struct space_listener){ .opaque = vm, .ram_add = ram_add, .ram_del = ram_del };
	if (vm->machine)
		space_listen(vm->machine->memory, &vm->listener);
}

void phys_fini(struct jit_vm *vm)
{
	if (vm->machine)
		space_unlisten(vm->machine->memory, &vm->listener);
	g_free(atomic_load(&vm->phys.view));
	g_free(vm->phys.old);
}
