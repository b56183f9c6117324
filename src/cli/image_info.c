/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_info.c: `lodge image info`. */
#include "cli/image.h"

#include <stdio.h>

#include "base/size.h"

const struct cli_option image_info_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
	  .help = "the image" },
	{ "format", 'f', CLI_TEXT, .value = "FMT", .help = "its format (default: by its content)" },
	{ "force-share", 'U', CLI_FLAG, .help = "look although another program writes to it" },
	{ NULL },
};

int image_info_run(struct cli *c, GError **error)
{
	struct image_options o = { .path = cli_text(c, "file"), .format = cli_text(c, "format"),
		.readonly = true, .no_lock = cli_flag(c, "force-share") };
	struct image *im = image_open(&o, error);
	g_autofree char *size = NULL, *used = NULL;

	if (!im)
		return -1;
	size = size_format(image_size(im));
	used = size_format(image_allocated(im));
	if (c->json)
		cli_print_json(json_pack("{sIsssssI}", "virtual-size", (json_int_t)image_size(im),
			"filename", o.path, "format", image_format_name(im), "actual-size",
			(json_int_t)image_allocated(im)));
	else
		printf("image: %s\nfile format: %s\nvirtual size: %s (%" G_GUINT64_FORMAT " bytes)\n"
		       "disk size: %s\n", o.path, image_format_name(im), size, image_size(im), used);
	image_close(im);
	return 0;
}
