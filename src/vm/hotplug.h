/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hotplug.h: back ends and devices that come and go while the machine runs. A back end is added
 * first, then the device that uses it; they go the other way round. Main loop thread.
 */
#ifndef VM_HOTPLUG_H
#define VM_HOTPLUG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

/* As struct image_options has it. */
struct vm_image {
	const char *path, *format;
	bool readonly, direct;
};
/* The id must be new in the machine. -1 with error. */
int vm_image_add(struct vm *vm, const char *id, const struct vm_image *im, GError **error);
/* `spec` as net_open() takes it. */
int vm_net_add(struct vm *vm, const char *id, const char *spec, GError **error);
/* Closes a back end that no device uses. */
int vm_backend_remove(struct vm *vm, const char *id, GError **error);

struct vm_property {
	const char *name, *value; /* as on the command line */
};
/* All borrowed. */
struct vm_device {
	const char *driver; /* "virtio-blk", "virtio-net", "virtio-rng", "virtio-balloon", also with
			       QEMU's "-pci" behind */
	const char *id;
	const char *slot;    /* NULL: the first that is free, or the root bus before the start */
	const char *backend; /* id of the image or network; NULL: it needs none */
	const struct vm_property *properties; /* of the class's config table */
	unsigned property_count;
};
int vm_device_plug(struct vm *vm, const struct vm_device *spec, GError **error);
/* Asks the guest to let go of it; vm->unplugged tells when it has. Devices that have no slot stay.
 */
int vm_device_unplug(struct vm *vm, const char *id, GError **error);
bool vm_device_exists(struct vm *vm, const char *id);

/* An image in use becomes larger or smaller; the guest is told. By back end's or device's id. */
int vm_image_resize(struct vm *vm, const char *id, uint64_t bytes, GError **error);
/* What the guest may use a second, and at once after a pause; 0: no limit. */
struct vm_limits {
	uint64_t bytes, ops, burst_bytes, burst_ops;
};
int vm_image_set_limits(struct vm *vm, const char *id, const struct vm_limits *l, GError **error);
/* Zeroes if there is no such image. */
struct vm_limits vm_image_limits(struct vm *vm, const char *id);

/* The cable of a network card, by the card's or its back end's id. */
int vm_net_set_link(struct vm *vm, const char *id, bool up, GError **error);

/* Plugs vCPUs, or asks the guest to give some up, until that many are there; vm->unplugged tells
 * "cpuN" when one is gone. */
int vm_set_vcpus(struct vm *vm, unsigned count, GError **error);
bool vm_vcpu_present(struct vm *vm, unsigned index);

/* The NMI button: all CPUs. */
void vm_inject_nmi(struct vm *vm);

#endif
