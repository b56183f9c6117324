/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.h: the commands of `lodge image`: a file each, and what they share (image_common.c). */
#ifndef CLI_IMAGE_H
#define CLI_IMAGE_H

#include "cli/progress.h"
#include "cli/verb.h"
#include "image/image.h"
#include "image/spec.h"

/* One row a command; image.c has the table. */
#define IMAGE_COMMANDS(X)                                                                          \
	X(info)                                                                                    \
	X(create) X(convert) X(check) X(resize) X(snapshot) X(rebase) X(commit) X(compare) X(map)  \
		X(measure) X(bench) X(dd) X(bitmap) X(amend) X(serve) X(import)

#define IMAGE_DECLARE(name)                                                                        \
	extern const struct cli_option image_##name##_options[];                                   \
	extern const char image_##name##_help[];                                                   \
	int image_##name##_run(struct cli *c, GError **error);
IMAGE_COMMANDS(IMAGE_DECLARE)
#undef IMAGE_DECLARE

/* Rows of option tables. */
#define OPT_FILE(what)                                                                             \
	{                                                                                          \
		"file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE, \
								    .help = what                   \
	}
#define OPT_FORMAT                                                                                 \
	{                                                                                          \
		"format", 'f', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,                \
					 .help = "the image's format (default: by its content)"    \
	}
#define OPT_SHARE                                                                                  \
	{                                                                                          \
		"force-share", 'U', CLI_FLAG, .help = "look although another program writes to it" \
	}
/* How to get at the bytes of encrypted images, and of images that name other files. */
#define OPT_ACCESS                                                                                 \
	{ "secret-file", 0, CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,              \
		.help = "holds the passphrase of encrypted images" },                              \
		{ "object", 0, CLI_TEXT, CLI_MANY | CLI_HIDDEN, .value = "SECRET",                 \
			.help = "secret,id=NAME,data=TEXT or file=PATH" },                         \
	{                                                                                          \
		"backing-dir", 0, CLI_TEXT, CLI_MANY,                                              \
			.value = "DIR", .complete = CLI_COMPLETE_FILE,                             \
			.help = "files that images name may also be below DIR, or a URL that "     \
				"begins so"                                                        \
	}
#define OPT_PROGRESS                                                                               \
	{                                                                                          \
		"progress", 'p', CLI_FLAG, .help = "show progress also where there is no terminal" \
	}
#define OPT_OPTIONS                                                                                \
	{                                                                                          \
		"options", 'o', CLI_TEXT, CLI_MANY,                                                \
			.value = "NAME=VALUE,…",                                                   \
			.help = "what is special to the format; -o help lists it"                  \
	}
#define OPT_CACHE                                                                                  \
	{                                                                                          \
		"cache", 't', CLI_CHOICE,                                                          \
			.choices = image_cache_modes,                                              \
			.help = "none: direct I/O; unsafe: no waiting for the disk"                \
	}

#define IMAGE_FORMATS "echo raw qcow2 vmdk vdi vhd vhdx luks"

extern const char *const image_cache_modes[];

/* The passphrase that --object or --secret-file names. *ret is NULL without one; free with g_free.
 */
int image_secret(struct cli *c, char **ret, GError **error);

/* What opening an image takes of what was typed. */
struct image_access {
	struct image_options o; /* borrows from the rest */
	char *secret;           /* owned */
};

/* From the rows above, if the verb has them. */
int image_access_init(struct image_access *a, struct cli *c, const char *path, const char *format,
	bool readonly, GError **error);
void image_access_fini(struct image_access *a);
/* All in one, for one image; the verb has the rows OPT_FORMAT (optional) and OPT_ACCESS. */
struct image *image_access_open(
	struct cli *c, const char *path, const char *format, bool readonly, GError **error);
/* "writethrough" and so on of -t or -T. */
void image_access_cache(struct image_access *a, const char *mode);

/* A format's own spelling: "vpc" is vhd, "qcow2" is itself. */
const char *image_format_spelling(const char *name);
/* The format that the end of a name suggests, of those that can be made; raw if it suggests none.
 */
const char *image_format_by_suffix(const char *path);
/* Fills spec from -o words, the backing options among them too; 1: "help" was asked for and
 * printed. Strings are borrowed from spec->options. */
int image_spec_from(struct cli *c, const char *format, struct image_spec *spec, GError **error);
void image_spec_done(struct image_spec *spec);

/* The verb's bar; tick() for long calls: false when a signal came. */
void image_progress_start(struct cli *c, struct progress *p, const char *what);

struct image_ticker {
	struct cli *c;
	struct progress p;
};
void image_ticker_start(struct image_ticker *t, struct cli *c, const char *what);
bool image_tick(void *ticker, uint64_t done, uint64_t total);

#endif
