/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parts.h: the kinds of parts there are, and how vm.c builds them. */
#ifndef VM_PARTS_H
#define VM_PARTS_H

#include "vm/spec.h"

struct chardev;
struct device;
struct pc_spec;
struct vm;
struct vm_backend;

extern const struct part_kind part_kernel, part_initrd, part_serial, part_debug_console, part_disk,
	part_net, part_console, part_rng, part_balloon;

/* What the board itself is made of: files and on-board ports. */
int parts_for_board(struct vm *vm, struct pc_spec *pc, GError **error);
/* All parts that are devices of their own, in the order given. */
int parts_build(struct vm *vm, GError **error);
/* Opens a character back end, owned by vm->backends under that id. */
struct chardev *vm_open_char(struct vm *vm, const char *id, const char *spec, GError **error);

/* Puts the device on the root bus or, with a slot, behind that hot-pluggable port. It is freed on
 * failure. */
int vm_plug(struct vm *vm, struct device *d, const char *slot, GError **error);
/* A new record, without a back end yet. */
struct vm_backend *vm_backend_add(struct vm *vm, const char *id);
/* The back end serves that device from now on; NULL: none. */
void vm_backend_set_device(struct vm_backend *b, struct device *d);

#endif
