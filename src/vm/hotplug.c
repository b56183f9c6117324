/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hotplug.c: back ends and devices that come and go, see hotplug.h. */
#include "vm/hotplug.h"

#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/vcpu.h"
#include "device/bus/pci.h"
#include "device/bus/pcie_root_port.h"
#include "device/misc/cpu_slots.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_blk.h"
#include "device/virtio/virtio_net.h"
#include "device/virtio/virtio_rng.h"
#include "image/image.h"
#include "image/job.h"
#include "net/net.h"
#include "vm/parts.h"
#include "vm/vm.h"

enum {
	BACKENDS_MAX = 256,
	QUEUES_MAX = 16, /* of a device that may come to an image; unused ones cost nothing */
};

/* ---- back ends ---- */

static struct vm_backend *new_backend(struct vm *vm, const char *id, GError **error)
{
	if (vm_backend_find(vm, id) || device_find(vm->machine, id)) {
		fail(error, LODGE_ERROR_USAGE, "Duplicate ID '%s'", id);
		return NULL;
	}
	if (vm->backends->len >= BACKENDS_MAX) {
		fail(error, LODGE_ERROR_HOST, "%s: %d back ends are enough", id, BACKENDS_MAX);
		return NULL;
	}
	return vm_backend_add(vm, id);
}

int vm_image_add(struct vm *vm, const char *id, const struct vm_image *im, GError **error)
{
	struct image_options o = { .path = im->path,
		.format = im->format,
		.readonly = im->readonly,
		.direct = im->direct,
		.queues = QUEUES_MAX };
	struct vm_backend *b = new_backend(vm, id, error);

	if (!b)
		return -1;
	b->image = image_open(&o, error);
	if (!b->image)
		g_ptr_array_remove(vm->backends, b);
	else
		return 0;
	return -1;
}

int vm_net_add(struct vm *vm, const char *id, const char *spec, GError **error)
{
	struct vm_backend *b = new_backend(vm, id, error);

	if (!b)
		return -1;
	b->net = net_open(spec, error);
	if (b->net)
		return 0;
	g_ptr_array_remove(vm->backends, b);
	return -1;
}

int vm_backend_remove(struct vm *vm, const char *id, GError **error)
{
	struct vm_backend *b = vm_backend_find(vm, id);

	if (!b || b->chr)
		return fail(error, LODGE_ERROR_USAGE, "Cannot find node '%s'", id);
	if (b->device)
		return fail(
			error, LODGE_ERROR_USAGE, "Node '%s' is in use by %s", id, b->device_id);
	g_ptr_array_remove(vm->backends, b);
	return 0;
}

/* ---- devices ---- */

static int use_image(struct vm_backend *b, struct device *d, GError **error)
{
	if (!b || !b->image)
		return fail(error, LODGE_ERROR_USAGE, "%s: its drive is no disk image", d->id);
	virtio_blk_set_image(d, b->image);
	return 0;
}

static int use_net(struct vm_backend *b, struct device *d, GError **error)
{
	if (!b || !b->net)
		return fail(error, LODGE_ERROR_USAGE, "%s: its netdev is no network", d->id);
	virtio_net_set_netdev(d, b->net);
	return 0;
}

static const struct driver {
	const struct device_class *cls;
	int (*use)(struct vm_backend *b, struct device *d, GError **error); /* NULL: no back end */
} drivers[] = {
	{ &virtio_blk_class, use_image },
	{ &virtio_net_class, use_net },
	{ &virtio_rng_class, NULL },
	{ &virtio_balloon_class, NULL },
};

static const struct driver *find_driver(const char *name, GError **error)
{
	size_t n = g_str_has_suffix(name, "-pci") ? strlen(name) - 4 : strlen(name);
	struct nearest near;

	nearest_init(&near, name);
	for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
		const char *known = drivers[i].cls->name;

		if (strlen(known) == n && !strncmp(known, name, n))
			return &drivers[i];
		nearest_offer(&near, known);
	}
	g_autofree char *hint = nearest_hint(&near);

	fail(error, LODGE_ERROR_USAGE, "'%s' is not a device that can be plugged in%s", name, hint);
	return NULL;
}

/* The first slot that is free. */
static const char *free_slot(struct vm *vm, GError **error)
{
	for (guint i = 0; i < vm->machine->devices->len; i++) {
		struct device *d = g_ptr_array_index(vm->machine->devices, i);
		struct pcie_root_port *port = pcie_root_port_of(d);

		if (port && !pcie_root_port_child(port))
			return d->id;
	}
	fail(error, LODGE_ERROR_USAGE, "No slot is free; start the machine with more --slots");
	return NULL;
}

static int configure(struct device *d, const struct vm_device *spec, const struct driver *driver,
	struct vm_backend *b, GError **error)
{
	for (unsigned i = 0; i < spec->property_count; i++) {
		if (device_set(d, spec->properties[i].name, spec->properties[i].value, error) < 0)
			return -1;
	}
	if (driver->use)
		return driver->use(b, d, error);
	if (spec->backend)
		return fail(error, LODGE_ERROR_USAGE, "%s: a %s has no back end", d->id,
			driver->cls->name);
	return 0;
}

int vm_device_plug(struct vm *vm, const struct vm_device *spec, GError **error)
{
	const struct driver *driver = find_driver(spec->driver, error);
	struct vm_backend *b = spec->backend ? vm_backend_find(vm, spec->backend) : NULL;
	const char *slot = spec->slot;
	struct device *d;

	if (!driver)
		return -1;
	if (device_find(vm->machine, spec->id))
		return fail(error, LODGE_ERROR_USAGE, "Duplicate device ID '%s'", spec->id);
	if (b && b->device)
		return fail(error, LODGE_ERROR_USAGE, "%s is in use by %s", b->id, b->device_id);
	if (!slot && vm->machine->state != MACHINE_PRELAUNCH && !(slot = free_slot(vm, error)))
		return -1;
	d = device_new(vm->machine, driver->cls, spec->id);
	if (configure(d, spec, driver, b, error) < 0) {
		device_free(d);
		return -1;
	}
	if (vm_plug(vm, d, slot, error) < 0)
		return -1;
	if (b)
		vm_backend_set_device(b, d);
	return 0;
}

int vm_device_unplug(struct vm *vm, const char *id, GError **error)
{
	struct device *d = device_find(vm->machine, id);
	struct pci_device *p = d ? pci_device_of(d) : NULL;
	struct pcie_root_port *port;

	if (!d)
		return fail(error, LODGE_ERROR_USAGE, "Device '%s' not found", id);
	port = p && p->bus && p->bus->bridge ? pcie_root_port_of(&p->bus->bridge->dev) : NULL;
	if (!port)
		return fail(error, LODGE_ERROR_USAGE,
			"Device '%s' has no slot and cannot be unplugged", id);
	return pcie_root_port_unplug_request(port, error);
}

bool vm_device_exists(struct vm *vm, const char *id)
{
	return device_find(vm->machine, id);
}

/* ---- images in use ---- */

static struct vm_backend *find_image(struct vm *vm, const char *id, GError **error)
{
	for (guint i = 0; i < vm->backends->len; i++) {
		struct vm_backend *b = g_ptr_array_index(vm->backends, i);

		if (b->image && (!strcmp(b->id, id) || !g_strcmp0(b->device_id, id)))
			return b;
	}
	fail(error, LODGE_ERROR_USAGE, "Cannot find device='%s' nor node-name='%s'", id, id);
	return NULL;
}

int vm_image_resize(struct vm *vm, const char *id, uint64_t bytes, GError **error)
{
	struct vm_backend *b = find_image(vm, id, error);

	if (!b || image_resize_live(b->image, bytes, error) < 0)
		return -1;
	if (b->device)
		virtio_blk_resized(b->device);
	return 0;
}

int vm_image_set_limits(struct vm *vm, const char *id, const struct vm_limits *l, GError **error)
{
	struct vm_backend *b = find_image(vm, id, error);

	if (!b)
		return -1;
	image_set_limits(
		b->image, &(struct image_limits){ l->bytes, l->ops, l->burst_bytes, l->burst_ops });
	return 0;
}

struct vm_limits vm_image_limits(struct vm *vm, const char *id)
{
	struct vm_backend *b = find_image(vm, id, NULL);
	struct image_limits l = { 0 };

	if (b)
		image_get_limits(b->image, &l);
	return (struct vm_limits){ l.bytes_per_second, l.ops_per_second, l.burst_bytes,
		l.burst_ops };
}

/* ---- switches ---- */

int vm_net_set_link(struct vm *vm, const char *id, bool up, GError **error)
{
	struct vm_backend *b = vm_backend_find(vm, id);
	struct device *d = b && b->net ? b->device : device_find(vm->machine, id);

	if (!d || d->cls != &virtio_net_class)
		return fail(error, LODGE_ERROR_USAGE, "Device '%s' not found", id);
	virtio_net_set_link(d, up);
	return 0;
}

/* NULL: all vCPUs are there for good. */
static struct device *find_cpu_slots(struct vm *vm)
{
	struct device *d = device_find(vm->machine, "cpu-slots");

	return d && d->cls == &cpu_slots_class ? d : NULL;
}

struct ejected {
	struct vm *vm;
	unsigned cpu;
};

static gboolean tell_ejected(gpointer opaque)
{
	struct ejected *e = opaque;
	g_autofree char *id = g_strdup_printf("cpu%u", e->cpu);

	if (e->vm->unplugged)
		e->vm->unplugged(e->vm->unplugged_opaque, id);
	return G_SOURCE_REMOVE;
}

/* On the vCPU's thread; listeners are the main loop's. */
static void cpu_ejected(void *opaque, unsigned cpu)
{
	struct ejected *e = g_new(struct ejected, 1);

	*e = (struct ejected){ opaque, cpu };
	g_idle_add_full(G_PRIORITY_HIGH, tell_ejected, e, g_free);
}

int vm_set_vcpus(struct vm *vm, unsigned count, GError **error)
{
	struct device *d = find_cpu_slots(vm);

	if (!d)
		return fail(error, LODGE_ERROR_USAGE,
			"This machine was started without --max-cpus: its %u vCPUs stay",
			vm->machine->vcpu_count);
	cpu_slots_listen(d, cpu_ejected, vm);
	return cpu_slots_resize(d, count, error);
}

bool vm_vcpu_present(struct vm *vm, unsigned index)
{
	struct device *d = find_cpu_slots(vm);

	return index < vm->machine->vcpu_count && (!d || cpu_slots_present(d, index));
}

void vm_inject_nmi(struct vm *vm)
{
	for (unsigned i = 0; i < vm->machine->vcpu_count; i++)
		vcpu_post(vm->machine->vcpus[i], VCPU_EV_NMI);
}
