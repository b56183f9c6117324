/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_inside.c: `lodge image snapshot` and `bitmap`: what images keep inside themselves. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/table.h"
#include "image/bitmap.h"
#include "image/snapshot.h"

const struct cli_option image_snapshot_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "list", 'l', CLI_FLAG,
		.help = "list the snapshots (this is what is done without an option)" },
	{ "create", 'c', CLI_TEXT, .value = "NAME", .help = "take a snapshot" },
	{ "apply", 'a', CLI_TEXT, .value = "NAME", .help = "go back to a snapshot" },
	{ "delete", 'd', CLI_TEXT, .value = "NAME", .help = "delete a snapshot" },
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_snapshot_help[] = "A snapshot is found by its name or its id.";

static int list_snapshots(struct cli *c, struct image *im, const struct image_snapshot_ops *ops)
{
	static const struct table_column columns[] = { { "ID", TABLE_RIGHT },
		{ "Name", TABLE_FLEX }, { "Disk", TABLE_RIGHT }, { "Machine state", TABLE_RIGHT },
		{ "Date", 0 }, { NULL } };
	struct table *t = table_new(columns);
	GArray *list = ops->list(im);
	json_t *out = json_array();

	for (unsigned i = 0; i < list->len; i++) {
		const struct image_snapshot *s = &g_array_index(list, struct image_snapshot, i);
		g_autofree char *state = size_format(s->vm_state_size),
				*disk = size_format(s->disk_size);
		time_t when = s->date / 1000000;
		char date[32];
		struct tm tm;

		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", localtime_r(&when, &tm));
		table_cell(t, "%s", s->id);
		table_cell(t, "%s", s->name);
		table_cell(t, "%s", disk);
		table_cell(t, "%s", state);
		table_cell(t, "%s", date);
		json_array_append_new(
			out, json_pack("{s:s,s:s,s:I,s:I,s:I}", "id", s->id, "name", s->name,
				     "disk-size", (json_int_t)s->disk_size, "vm-state-size",
				     (json_int_t)s->vm_state_size, "date-sec", (json_int_t)when));
	}
	if (c->json)
		cli_print_json(json_incref(out));
	else if (list->len)
		table_show(g_steal_pointer(&t));
	table_free(t);
	json_decref(out);
	g_array_unref(list);
	return 0;
}

static int change_snapshots(
	struct cli *c, struct image *im, const struct image_snapshot_ops *ops, GError **error)
{
	struct image_snapshot s = { .disk_size = image_size(im), .date = g_get_real_time() };

	if (cli_text(c, "create")) {
		g_strlcpy(s.name, cli_text(c, "create"), sizeof(s.name));
		return ops->create(im, &s, error);
	}
	return cli_text(c, "apply") ? ops->apply(im, cli_text(c, "apply"), error)
				    : ops->remove(im, cli_text(c, "delete"), error);
}

int image_snapshot_run(struct cli *c, GError **error)
{
	bool change = cli_has(c, "create") || cli_has(c, "apply") || cli_has(c, "delete");
	const struct image_snapshot_ops *ops;
	struct image *im;
	int r;

	if (cli_has(c, "create") + cli_has(c, "apply") + cli_has(c, "delete") + cli_has(c, "list") >
		1)
		return fail(error, LODGE_ERROR_USAGE, "one of -l, -c, -a and -d at a time");
	im = image_access_open(c, cli_text(c, "file"), cli_text(c, "format"), !change, error);
	if (!im)
		return -1;
	ops = image_snapshots(im);
	r = !ops     ? fail(error, LODGE_ERROR_USAGE,
			       "%s: %s images hold no snapshots; an overlay is one too: "
				   "'lodge image create -b'",
			       image_path(im), image_format_name(im))
	    : change ? change_snapshots(c, im, ops, error)
		     : list_snapshots(c, im, ops);
	image_close(im);
	return r;
}

/* ---- bitmap ---- */

const struct cli_option image_bitmap_options[] = {
	OPT_FILE("the image"),
	{ "name", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "the bitmap" },
	OPT_FORMAT,
	{ "add", 0, CLI_FLAG, .help = "make it" },
	{ "remove", 0, CLI_FLAG, .help = "remove it" },
	{ "clear", 0, CLI_FLAG, .help = "set all to clean" },
	{ "enable", 0, CLI_FLAG, .help = "let writes set bits" },
	{ "disable", 0, CLI_FLAG, .help = "no longer" },
	{ "merge", 0, CLI_TEXT, CLI_MANY, .value = "OTHER", .help = "set what is set in OTHER" },
	{ "source-file", 'b', CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "OTHER is in this image" },
	{ "source-format", 'F', CLI_TEXT, .value = "FMT", .help = "FILE's format" },
	{ "granularity", 'g', CLI_SIZE,
		.help = "bytes a bit stands for (with --add; default: 64k)" },
	OPT_ACCESS,
	{ NULL },
};
const char image_bitmap_help[] =
	"Several changes at once are made in the order: add, clear, enable or "
	"disable, merge, remove.";

static int merge_bitmaps(struct cli *c, struct image *im, const struct image_bitmap_ops *ops,
	const char *name, GError **error)
{
	const char *file = cli_text(c, "source-file");
	struct image *from = im;
	int r = 0;

	if (file)
		from = image_access_open(c, file, cli_text(c, "source-format"), true, error);
	if (!from)
		return -1;
	for (const char *const *other = cli_texts(c, "merge"); *other && !r; other++)
		r = ops->merge(im, name, from, *other, error);
	if (from != im)
		image_close(from);
	return r;
}

static int change_bitmap(
	struct cli *c, struct image *im, const struct image_bitmap_ops *ops, GError **error)
{
	const char *name = cli_text(c, "name");
	struct image_bitmap b = { .granularity = (uint32_t)MIN(
					  cli_size(c, "granularity", 65536), 1u << 31),
		.enabled = !cli_flag(c, "disable") };
	int r = 0;

	g_strlcpy(b.name, name, sizeof(b.name));
	if (cli_flag(c, "add"))
		r = ops->add(im, &b, error);
	if (!r && cli_flag(c, "clear"))
		r = ops->clear(im, name, error);
	if (!r && (cli_flag(c, "enable") || cli_flag(c, "disable")) && !cli_flag(c, "add"))
		r = ops->enable(im, name, cli_flag(c, "enable"), error);
	if (!r && cli_has(c, "merge"))
		r = merge_bitmaps(c, im, ops, name, error);
	if (!r && cli_flag(c, "remove"))
		r = ops->remove(im, name, error);
	return r;
}

int image_bitmap_run(struct cli *c, GError **error)
{
	static const char *const changes[] = { "add", "remove", "clear", "enable", "disable",
		"merge" };
	const struct image_bitmap_ops *ops;
	struct image *im;
	bool any = false;
	int r;

	for (unsigned i = 0; i < G_N_ELEMENTS(changes); i++)
		any |= cli_has(c, changes[i]);
	if (!any || (cli_flag(c, "enable") && cli_flag(c, "disable")))
		return fail(error, LODGE_ERROR_USAGE,
			"say one of --add, --remove, --clear, --enable, "
			"--disable, --merge");
	im = image_access_open(c, cli_text(c, "file"), cli_text(c, "format"), false, error);
	if (!im)
		return -1;
	ops = image_bitmaps(im);
	r = ops ? change_bitmap(c, im, ops, error)
		: fail(error, LODGE_ERROR_USAGE, "%s: %s images keep no bitmaps", image_path(im),
			  image_format_name(im));
	image_close(im);
	return r;
}
