/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands_query.c: commands that only tell. Shapes: QEMU QMP Reference Manual. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/engine.h"
#include "core/machine.h"
#include "monitor/schema.h"
#include "vm/hotplug.h"
#include "vm/inspect.h"
#include "vm/vm.h"

/* Paths may hold any bytes, JSON takes UTF-8 only. */
static json_t *text(const char *s)
{
	g_autofree char *valid = g_utf8_make_valid(s, -1);

	return json_string(valid);
}

json_t *qmp_query_status(struct vm *vm, const json_t *args, GError **error)
{
	enum machine_state s = vm->machine->state;

	return json_pack("{s:s, s:b, s:b}", "status", machine_state_name(s), "singlestep", 0,
		"running", s == MACHINE_RUNNING);
}

json_t *qmp_query_version(struct vm *vm, const json_t *args, GError **error)
{
	int major = 0, minor = 0, micro = 0;

	sscanf(LODGE_VERSION, "%d.%d.%d", &major, &minor, &micro);
	return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", major, "minor", minor,
		"micro", micro, "package", "lodge-" LODGE_VERSION);
}

json_t *qmp_query_name(struct vm *vm, const json_t *args, GError **error)
{
	return vm->spec.name ? json_pack("{s:o}", "name", text(vm->spec.name)) : json_object();
}

json_t *qmp_query_kvm(struct vm *vm, const json_t *args, GError **error)
{
	return json_pack("{s:b, s:b}", "enabled", !strcmp(vm->machine->accel->name, "kvm"),
		"present", access("/dev/kvm", R_OK | W_OK) == 0);
}

static void stats_member(void *opaque, const char *name, uint64_t value)
{
	json_object_set_new(opaque, name, json_integer((json_int_t)value));
}

json_t *qmp_query_jit(struct vm *vm, const json_t *args, GError **error)
{
	json_t *o = json_object();

	if (vm->machine->accel->stats)
		vm->machine->accel->stats(vm->machine, stats_member, o);
	return o;
}

json_t *qmp_query_cpus_fast(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < vm->machine->vcpu_count; i++) {
		g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", i);

		if (!vm_vcpu_present(vm, i))
			continue;
		json_array_append_new(list,
			json_pack("{s:i, s:i, s:s, s:s, s:{s:i, s:i, s:i}}", "cpu-index", i,
				"thread-id", vm_vcpu_thread(vm, i), "target", "x86_64", "qom-path",
				path, "props", "socket-id", 0, "core-id", i, "thread-id", 0));
	}
	return list;
}

json_t *qmp_query_memory_size_summary(struct vm *vm, const json_t *args, GError **error)
{
	return json_pack("{s:I}", "base-memory", (json_int_t)vm->spec.memory);
}

json_t *qmp_query_machines(struct vm *vm, const json_t *args, GError **error)
{
	return json_pack("[{s:s, s:b, s:i, s:b, s:b, s:b}]", "name", "pc", "is-default", 1,
		"cpu-max", MACHINE_MAX_VCPUS, "hotpluggable-cpus", 0, "numa-mem-supported", 0,
		"deprecated", 0);
}

json_t *qmp_query_commands(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();

	for (const struct qmp_command *c = qmp_commands; c->name; c++)
		json_array_append_new(list, json_pack("{s:s}", "name", c->name));
	return list;
}

/* ---- back ends ---- */

/* Reads and writes have one limit together: QEMU says so with zeroes for each. */
static const char *const no_throttles[] = { "bps_rd", "bps_wr", "iops_rd", "iops_wr" };

static json_t *disk(struct vm *vm, const struct vm_disk *d)
{
	g_autofree char *qdev = g_strdup_printf("/machine/peripheral/%s", d->id);
	json_t *image = json_pack("{s:o, s:s, s:I, s:I, s:b}", "filename", text(d->path), "format",
		d->format, "virtual-size", (json_int_t)d->size, "actual-size",
		(json_int_t)d->allocated, "dirty-flag", 0);
	json_t *inserted = json_pack(
		"{s:o, s:s, s:s, s:b, s:b, s:o, s:i, s:s, s:i, s:{s:b, s:b, s:b}}", "file",
		text(d->path), "node-name", d->id, "drv", d->format, "ro", d->readonly, "encrypted",
		0, "image", image, "backing_file_depth", 0, "detect_zeroes", "off",
		"write_threshold", 0, "cache", "writeback", 1, "direct", d->direct, "no-flush", 0);

	struct vm_limits limits = vm_image_limits(vm, d->id);

	json_object_set_new(inserted, "bps", json_integer((json_int_t)limits.bytes));
	json_object_set_new(inserted, "iops", json_integer((json_int_t)limits.ops));
	for (unsigned i = 0; i < G_N_ELEMENTS(no_throttles); i++)
		json_object_set_new(inserted, no_throttles[i], json_integer(0));
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:o}", "device", d->id, "type", "unknown",
		"qdev", qdev, "removable", 0, "locked", 0, "io-status", "ok", "inserted", inserted);
}

json_t *qmp_query_block(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();
	struct vm_disk d;

	for (unsigned i = 0; vm_disk(vm, i, &d); i++)
		json_array_append_new(list, disk(vm, &d));
	return list;
}

json_t *qmp_query_chardev(struct vm *vm, const json_t *args, GError **error)
{
	json_t *list = json_array();
	struct vm_char c;

	for (unsigned i = 0; vm_char(vm, i, &c); i++) {
		/* QEMU's form is KIND:WHERE. */
		g_autofree char *where = g_strdup(c.where ? c.where : "");
		char *space = strchr(where, ' ');

		if (space)
			*space = ':';
		json_array_append_new(list, json_pack("{s:s, s:o, s:b}", "label", c.id, "filename",
						    text(where), "frontend-open", 1));
	}
	return list;
}

/* ---- PCI ---- */

static json_t *pci_list(const GArray *all, int parent);

static json_t *range(const struct vm_pci_window *w)
{
	return json_pack("{s:I, s:I}", "base", (json_int_t)w->base, "limit", (json_int_t)w->limit);
}

static json_t *regions(const struct vm_pci *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->region_count; i++) {
		const struct vm_pci_region *r = &f->regions[i];
		json_t *o = json_pack("{s:i, s:s, s:I, s:I}", "bar", r->bar, "type",
			r->io ? "io" : "memory", "address", (json_int_t)r->address, "size",
			(json_int_t)r->size);

		if (!r->io) {
			json_object_set_new(o, "prefetch", json_boolean(r->prefetch));
			json_object_set_new(o, "mem_type_64", json_boolean(r->mem64));
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *pci_function(const GArray *all, int index)
{
	const struct vm_pci *f = &g_array_index(all, struct vm_pci, index);
	json_t *o =
		json_pack("{s:i, s:i, s:i, s:{s:i, s:s}, s:{s:i, s:i, s:i, s:i}, s:i, s:s, s:o}",
			"bus", f->bus, "slot", f->slot, "function", f->function, "class_info",
			"class", f->class_code, "desc", f->class_name, "id", "vendor", f->vendor,
			"device", f->device, "subsystem-vendor", f->subsys_vendor, "subsystem",
			f->subsys, "irq_pin", f->pin, "qdev_id", f->id, "regions", regions(f));

	if (f->pin)
		json_object_set_new(o, "irq", json_integer(f->irq));
	if (f->bridge)
		json_object_set_new(o, "pci_bridge",
			json_pack("{s:{s:i, s:i, s:i, s:o, s:o, s:o}, s:o}", "bus", "number",
				f->bus, "secondary", f->secondary, "subordinate", f->subordinate,
				"io_range", range(&f->io), "memory_range", range(&f->memory),
				"prefetchable_range", range(&f->prefetch), "devices",
				pci_list(all, index)));
	return o;
}

static json_t *pci_list(const GArray *all, int parent)
{
	json_t *list = json_array();

	for (guint i = 0; i < all->len; i++) {
		if (g_array_index(all, struct vm_pci, i).parent == parent)
			json_array_append_new(list, pci_function(all, i));
	}
	return list;
}

json_t *qmp_query_pci(struct vm *vm, const json_t *args, GError **error)
{
	g_autoptr(GArray) all = vm_pci_list(vm);

	if (!all->len)
		return json_array();
	return json_pack("[{s:i, s:o}]", "bus", 0, "devices", pci_list(all, -1));
}
