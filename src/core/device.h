/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.h: what every emulated device is: a class, its two field tables, five calls.
 *
 * The tables drive the command line, QMP, the man page, save, restore and the generic device
 * tests; there are no hand-written serializers. Core holds the device's own (recursive) lock around
 * region accesses, timer callbacks and back-end callbacks, so a device is sequential code.
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/field.h"

struct device;
struct machine;

/* As CONFIG, where the property's name is not the member's. */
#define CONFIG_AS(type, member, as, k, def, text)                                                  \
	{ .name = (as), .help = (text), .offset = offsetof(type, member), .count = 1,           \
	  .kind = (k), .dflt = (def) }

struct device_class {
	const char *name;	    /* "ns16550": command line, QMP, saved state and test name */
	const char *help;	    /* one line for people */
	size_t size;		    /* instance; struct device is its first member */
	uint8_t version;	    /* of the state table, from 1 */
	const struct field *config; /* set before init, constant afterwards; NULL: none */
	const struct field *state;  /* all that must survive save and restore; never NULL, an empty
				       table says "nothing" on purpose */

	int (*init)(struct device *d, GError **error); /* place regions, claim wires */
	void (*reset)(struct device *d);	       /* own state only */
	/* These two are called on the main loop, without the lock, vCPUs stopped. */
	void (*quiesce)(struct device *d); /* finish or park in-flight I/O, take no more from back
					      ends; NULL: nothing */
	void (*resume)(struct device *d);  /* the machine goes on: unpark; NULL: nothing */
	int (*loaded)(struct device *d, GError **error); /* check restored (hostile) state, re-arm
							    timers, re-drive wires; NULL: nothing */
	/* Safe on a half-built device; NULL: nothing. Strings and blobs named in either table are
	 * freed by core afterwards. */
	void (*fini)(struct device *d);
};

struct device {
	const struct device_class *cls;
	struct machine *machine; /* borrowed; it owns us */
	char *id;		 /* unique in the machine, stable over save and restore; owned */
	struct device *parent;	 /* borrowed: the bus or transport we sit on; NULL on the board */
	GRecMutex lock;		 /* taken by core, see above */
	bool inited;
};

/* Allocates an instance, zeroed, config set to its defaults. Not yet part of the machine. */
struct device *device_new(struct machine *m, const struct device_class *cls, const char *id);
/* Sets one config property from text. Unknown names fail with the nearest one suggested. */
int device_set(struct device *d, const char *name, const char *value, GError **error);
/* Frees a device that was not added. */
void device_free(struct device *d);
/* Runs init and adds the device to the machine (order of addition = order of save and reset). On
 * failure the device is freed. */
int device_add(struct device *d, GError **error);
/* Takes the device out of the machine, finis and frees it. The machine must be quiesced or the
 * device must be unreachable for the guest. */
void device_remove(struct device *d);
/* The device with that id, or NULL. */
struct device *device_find(struct machine *m, const char *id);
void device_lock(struct device *d);
void device_unlock(struct device *d);

#endif
