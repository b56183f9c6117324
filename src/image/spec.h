/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec.h: what an image is to be made like, and what a check of one found. */
#ifndef IMAGE_SPEC_H
#define IMAGE_SPEC_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum image_option_kind { IMAGE_OPT_SIZE, IMAGE_OPT_BOOL, IMAGE_OPT_ENUM, IMAGE_OPT_STRING };

/* One "-o name=value" of a format; the table is --help, the manual and the check of what was typed.
 */
struct image_option_def {
	const char *name; /* NULL ends a table */
	enum image_option_kind kind;
	const char *const *choices; /* ENUM; NULL ends it */
	const char *preset;         /* as a person would type it; NULL: none */
	const char *help;
};

enum image_preallocation {
	IMAGE_PREALLOC_OFF,
	IMAGE_PREALLOC_METADATA,
	IMAGE_PREALLOC_FALLOC,
	IMAGE_PREALLOC_FULL
};
/* Their names, for a table's "preallocation" choice; setting that option sets spec->preallocation.
 */
extern const char *const image_preallocation_names[];

/* How an image is made. Borrowed strings. */
struct image_spec {
	uint64_t size;                        /* guest bytes */
	const char *backing, *backing_format; /* NULL: none */
	enum image_preallocation preallocation;
	GHashTable *options; /* char * -> char *: checked against the table; NULL: none */
	const char *secret;  /* for encryption; NULL: none */
};

/* Reads of spec->options with the table's preset behind them; the values were checked. */
uint64_t image_spec_size(
	const struct image_spec *s, const struct image_option_def *defs, const char *name);
bool image_spec_bool(
	const struct image_spec *s, const struct image_option_def *defs, const char *name);
const char *image_spec_string(
	const struct image_spec *s, const struct image_option_def *defs, const char *name);
/* The same for a choice: its index in the table's `choices`. */
unsigned image_spec_enum(
	const struct image_spec *s, const struct image_option_def *defs, const char *name);
/* Checks and sets one option; s->options is made if it is NULL (free it with g_hash_table_unref).
 * 0 or -1 with error. */
int image_spec_set(struct image_spec *s, const struct image_option_def *defs, const char *name,
	const char *value, GError **error);
/* "10G", "64k", "1.5T", "4096": bytes. 0 or -1 with error. */
int image_parse_size(const char *text, uint64_t *ret, GError **error);
/* Parses "a=b,c=d" into the options (",,": a comma in a value; a name alone: on). Unknown names and
 * bad values fail with the nearest name. */
int image_spec_parse(struct image_spec *s, const struct image_option_def *defs, const char *text,
	GError **error);

struct image_report {
	uint64_t corruptions, leaks; /* found */
	uint64_t corruptions_fixed, leaks_fixed;
	uint64_t clusters, allocated, fragmented, compressed;
	uint64_t end; /* file offset behind the last thing in use */
	/* One line per finding, for people; may be NULL. */
	void (*say)(struct image_report *r, bool corruption, const char *line);
	void *opaque;
};

#endif
