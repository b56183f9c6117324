/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.h: a machine with everything a person asked for: board, devices, back ends. All calls: main
 * loop thread.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <glib.h>

#include "vm/spec.h"

struct chardev;
struct device;
struct image;
struct machine;
struct netdev;

/* A device and the host end it uses. One of chr, image and net is set. */
struct vm_backend {
	char *id;              /* owned */
	struct device *device; /* borrowed; NULL: none, or a port of the board */
	char *device_id;       /* owned; NULL as above */
	struct chardev *chr;   /* owned */
	struct image *image;   /* owned */
	struct netdev *net;    /* owned */
};

struct vm {
	struct vm_spec spec;     /* owned */
	struct machine *machine; /* owned */
	GPtrArray *backends;     /* struct vm_backend *; owned */
	struct chardev *stdio;   /* borrowed: the back end on the terminal; NULL: none */
	GHashTable *fds; /* char * -> descriptor: passed in by a QMP client, not yet used; owned */
	char *accel_why; /* owned: which accelerator was taken and why */
	/* A guest let go of a device that was to be unplugged; main loop; may be NULL. */
	void (*unplugged)(void *opaque, const char *device_id);
	void *unplugged_opaque;
};

/* Takes the spec's contents (it is empty afterwards). Built, reset or restored (--load), not
 * started: the state is PRELAUNCH or PAUSED. */
struct vm *vm_new(struct vm_spec *spec, GError **error);
/* Stops the machine, closes images after a flush. NULL allowed. */
void vm_free(struct vm *vm);

/* The device's back end record, or NULL. */
struct vm_backend *vm_backend_find(struct vm *vm, const char *id);

/* save.c, restore.c: the whole machine to and from a file; docs/state-format.md. A running machine
 * is paused for the time of the save and goes on afterwards. The file appears whole or not at all.
 */
int vm_save(struct vm *vm, const char *path, GError **error);
/* The machine must be of the same make; it is left paused. On failure its state is undefined and it
 * must not be started. */
int vm_restore(struct vm *vm, const char *path, GError **error);

#endif
