/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_create.c: `lodge image create` and `amend`. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"

const struct cli_option image_create_options[] = {
	OPT_FILE("the image to make"),
	{ "size", 0, CLI_SIZE, CLI_POSITIONAL,
		.help = "bytes of the disk (default: as its backing file)" },
	{ "format", 'f', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "format (default: what the name ends in, else raw)" },
	{ "backing-file", 'b', CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "store only what differs from FILE" },
	{ "backing-format", 'F', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "FILE's format; needed with it" },
	{ "backing-unsafe", 'u', CLI_FLAG, .help = "do not look at FILE" },
	OPT_OPTIONS,
	{ "force", 0, CLI_FLAG, .help = "overwrite a file that is there" },
	OPT_ACCESS,
	{ NULL },
};
const char image_create_help[] =
	"  lodge image create disk.qcow2 20G\n"
	"  lodge image create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2\n\n"
	"A file that is there is not overwritten without --force.";

static void tell(struct cli *c, const char *path, const char *format, uint64_t size)
{
	g_autofree char *text = size_format(size);

	if (c->json)
		cli_print_json(json_pack("{s:s,s:s,s:I}", "filename", path, "format", format,
			"virtual-size", (json_int_t)size));
	else if (!c->quiet)
		printf("Made %s: %s, %s (%" G_GUINT64_FORMAT " bytes)\n", path, format, text, size);
}

static uint64_t size_of(const char *path, const char *format)
{
	struct image_options o = { .path = path,
		.format = format,
		.readonly = true,
		.no_lock = true,
		.no_backing = true };
	struct image *im = image_open(&o, NULL);
	uint64_t size = im ? image_size(im) : 0;

	image_close(im);
	return size;
}

int image_create_run(struct cli *c, GError **error)
{
	const char *path = cli_text(c, "file"),
		   *format = image_format_spelling(cli_text(c, "format"));
	struct image_spec spec = { .size = cli_size(c, "size", 0),
		.backing = cli_text(c, "backing-file"),
		.backing_format = image_format_spelling(cli_text(c, "backing-format")) };
	struct image_access a;
	int r;

	format = format ? format : image_format_by_suffix(path);
	r = image_access_init(&a, c, path, NULL, false, error);
	spec.secret = a.secret;
	if (!r)
		r = image_spec_from(c, format, &spec, error);
	if (!r && cli_flag(c, "backing-unsafe") && !spec.size)
		r = fail(error, LODGE_ERROR_USAGE, "with -u, say how large the disk is to be");
	if (!r) {
		a.o.no_backing = cli_flag(c, "backing-unsafe");
		r = image_create(path, format, &spec, cli_flag(c, "force"), &a.o, error);
		if (!r)
			tell(c, path, format, spec.size ? spec.size : size_of(path, format));
	}
	image_spec_done(&spec);
	image_access_fini(&a);
	return r < 0 ? -1 : 0;
}

const struct cli_option image_amend_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	OPT_OPTIONS,
	OPT_PROGRESS,
	OPT_ACCESS,
	{ NULL },
};
const char image_amend_help[] = "  lodge image amend -o compat=1.1,lazy_refcounts=on disk.qcow2";

int image_amend_run(struct cli *c, GError **error)
{
	struct image *im =
		image_access_open(c, cli_text(c, "file"), cli_text(c, "format"), false, error);
	struct image_spec spec = { 0 };
	int r;

	if (!im)
		return -1;
	r = image_spec_from(c, image_format_name(im), &spec, error);
	if (!r && !spec.options)
		r = fail(error, LODGE_ERROR_USAGE, "say what to change (-o NAME=VALUE)");
	if (!r)
		r = image_amend(im, &spec, error);
	image_spec_done(&spec);
	image_close(im);
	return r < 0 ? -1 : 0;
}
