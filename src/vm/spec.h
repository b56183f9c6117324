/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spec.h: what a person asked for, as data: the scalars and the parts (disks, cards, ports). The
 * option table makes it from a command line; vm.c makes a machine from it.
 */
#ifndef VM_SPEC_H
#define VM_SPEC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/field.h"

struct device_class;
struct part;
struct vm;

struct vm_spec {
	/* All strings are owned, NULL where not given. */
	char *name;
	uint32_t cpus, max_cpus;
	uint64_t memory;
	bool hugepages;
	char *append;
	char *accel, *cpu;
	uint64_t jit_cache; /* bytes */
	bool jit_stats;
	char *qmp;
	char *load;
	uint32_t slots;
	bool debug_exit, paused, no_reboot;
	GPtrArray *parts; /* struct part *, in the order given; owned */
};

/* A property of a part's host side; the device's own come from its class's config table. */
struct part_prop {
	const char *name, *arg, *help;
};

/* A kind of part: one repeatable option with properties. */
struct part_kind {
	const char *name;               /* option, and the stem of ids: "disk" -> disk0, disk1 */
	const char *first;              /* property a leading word without '=' sets; NULL: none */
	const struct part_prop *props;  /* host side; name NULL ends */
	const struct device_class *cls; /* whose config properties are taken too; NULL: none */
	bool open_ended;                /* words we do not know belong to `first`, commas and all */
	unsigned max;                   /* how many there may be */
	int (*build)(struct vm *vm, const struct part *p, GError **error);
};

struct part_value {
	char *name, *value; /* owned */
};
struct part {
	const struct part_kind *kind;
	char *id;       /* owned */
	GArray *values; /* struct part_value, checked names, in order; owned */
};

struct part *part_new(const struct part_kind *kind); /* no id, no values */
/* NULL: the property was not given. The last one given counts. */
const char *part_get(const struct part *p, const char *name);
/* on/off; dflt where not given. -1 with error for anything else. */
int part_get_bool(const struct part *p, const char *name, bool dflt, GError **error);

void vm_spec_init(struct vm_spec *s);
void vm_spec_fini(struct vm_spec *s);

/* options.c: one row per option. */
struct vm_option {
	const char *name; /* without the dashes */
	const char *arg;  /* what follows, for people; NULL: a switch */
	const char *help;
	const struct part_kind *part; /* NULL: `field` of struct vm_spec */
	struct field field;
};
extern const struct vm_option vm_options[]; /* name NULL ends */

/* argv[1..]. Fails with one line that names the option and, for typos, the nearest. "--help",
 * "--man" and "--version" are the caller's. */
int vm_spec_parse(struct vm_spec *s, int argc, char *const *argv, GError **error);

/* manual.c: text for people, made of the table; owned by the caller. */
char *vm_help(const char *option, GError **error); /* NULL: all options; else one with properties */
char *vm_man(void);                                /* roff */

#endif
