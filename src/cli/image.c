/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c: the table of `lodge image` commands. */
#include "cli/groups.h"
#include "cli/image.h"

static const struct cli_verb verbs[] = {
	{ "info", "Show what an image is", NULL, image_info_options, image_info_run },
	{ NULL },
};

const struct cli_group cli_image = { "image", "Disk images", verbs, .nested = true };
