/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c: the table of `lodge image` commands. */
#include "cli/groups.h"
#include "cli/image.h"

#define ROW(name, summary)                                                                         \
	{                                                                                          \
#name, summary, image_##name##_help, image_##name##_options, image_##name##_run    \
	}

static const struct cli_verb verbs[] = {
	ROW(info, "Show what an image is"),
	ROW(create, "Make an image"),
	ROW(convert, "Copy an image into another format"),
	ROW(check, "Look for damage in an image, and repair it"),
	ROW(resize, "Make an image's disk larger or smaller"),
	ROW(snapshot, "List, take, go back to or delete snapshots inside an image"),
	ROW(rebase, "Put an image on another backing file"),
	ROW(commit, "Write an image's changes into its backing file"),
	ROW(compare, "Tell whether two images read the same"),
	ROW(map, "Show where an image's bytes are"),
	ROW(measure, "Tell how large a file an image would take"),
	ROW(bench, "Measure how fast an image is read or written"),
	ROW(dd, "Copy a part of an image, as dd does"),
	ROW(bitmap, "Add, remove and change dirty bitmaps inside an image"),
	ROW(amend, "Change an image's options"),
	ROW(serve, "Serve an image to NBD clients"),
	ROW(import, "Take the disks out of an OVA or OVF"),
	{ NULL },
};

const struct cli_group cli_image = { "image", "Disk images", verbs, .nested = true };
