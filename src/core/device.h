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

struct device;
struct machine;

enum field_kind {
	FIELD_BOOL,   /* bool */
	FIELD_U8,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_BYTES,  /* `count` raw bytes */
	FIELD_STRING, /* char *, g_malloc'ed, owned by the instance (config tables; state: rarely) */
	FIELD_SIZE,   /* uint64_t bytes; text form takes K, M, G, T */
	FIELD_MAC,    /* uint8_t[6] */
	FIELD_STRUCT, /* `count` sub-structs, each described by `sub`, `stride` bytes apart */
	FIELD_BLOB,   /* GByteArray *, variable length, at most `count` bytes */
};

/* One row per configurable property and per saved register; name NULL ends a table. */
struct field {
	const char *name;
	const char *help;	 /* config tables: one line for --help and the man page */
	const struct field *sub; /* FIELD_STRUCT */
	uint32_t offset;
	uint32_t count;		 /* array elements; 1 for a scalar */
	uint32_t stride;	 /* FIELD_STRUCT: sizeof one element */
	uint8_t kind;		 /* enum field_kind */
	uint8_t since;		 /* state version that added it; 0: from the first */
	const char *dflt;	 /* config tables: default in text form, or NULL */
};
#define FIELD(type, member, k) { .name = #member, .offset = offsetof(type, member), .count = 1, .kind = (k) }
#define FIELD_ARRAY(type, member, k, n)                                                            \
	{ .name = #member, .offset = offsetof(type, member), .count = (n), .kind = (k) }
#define FIELD_SUB(type, member, table, n, elem)                                                    \
	{ .name = #member, .offset = offsetof(type, member), .count = (n), .stride = sizeof(elem),     \
	  .kind = FIELD_STRUCT, .sub = (table) }
#define CONFIG(type, member, k, def, text)                                                         \
	{ .name = #member, .help = (text), .offset = offsetof(type, member), .count = 1, .kind = (k),  \
	  .dflt = (def) }

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
	void (*quiesce)(struct device *d);	       /* finish or park in-flight I/O; NULL: none */
	int (*loaded)(struct device *d, GError **error); /* check restored (hostile) state, re-arm
							    timers, re-drive wires; NULL: nothing */
	void (*fini)(struct device *d);		       /* safe on a half-built device; NULL: nothing */
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
/* Runs init and adds the device to the machine (order of addition = order of save and reset). On
 * failure the device is freed. */
int device_add(struct device *d, GError **error);
/* Takes the device out of the machine, finis and frees it. The machine must be quiesced or the
 * device must be unreachable for the guest. */
void device_remove(struct device *d);
void device_lock(struct device *d);
void device_unlock(struct device *d);

#endif
