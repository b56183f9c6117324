/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_info.c: `lodge image info`. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "cli/table.h"
#include "image/bitmap.h"
#include "image/snapshot.h"

const struct cli_option image_info_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	OPT_SHARE,
	{ "backing-chain", 0, CLI_FLAG, .help = "show also the images below it" },
	OPT_ACCESS,
	{ NULL },
};
const char image_info_help[] = "Nothing is written. --json prints what 'qemu-img info' does.";

static json_t *snapshots_json(struct image *im)
{
	const struct image_snapshot_ops *ops = image_snapshots(im);
	GArray *list = ops ? ops->list(im) : NULL;
	json_t *out = json_array();

	for (unsigned i = 0; list && i < list->len; i++) {
		const struct image_snapshot *s = &g_array_index(list, struct image_snapshot, i);

		json_array_append_new(
			out, json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I}", "id", s->id, "name",
				     s->name, "vm-state-size", (json_int_t)s->vm_state_size,
				     "date-sec", (json_int_t)(s->date / 1000000), "date-nsec",
				     (json_int_t)(s->date % 1000000 * 1000), "vm-clock-sec",
				     (json_int_t)(s->vm_clock / 1000000000), "vm-clock-nsec",
				     (json_int_t)(s->vm_clock % 1000000000)));
	}
	if (list)
		g_array_unref(list);
	return out;
}

static json_t *bitmaps_json(struct image *im)
{
	const struct image_bitmap_ops *ops = image_bitmaps(im);
	GArray *list = ops ? ops->list(im) : NULL;
	json_t *out = json_array();

	for (unsigned i = 0; list && i < list->len; i++) {
		const struct image_bitmap *b = &g_array_index(list, struct image_bitmap, i);
		json_t *flags = json_array();

		if (b->inconsistent)
			json_array_append_new(flags, json_string("in-use"));
		if (b->enabled)
			json_array_append_new(flags, json_string("auto"));
		json_array_append_new(
			out, json_pack("{s:o,s:s,s:I}", "flags", flags, "name", b->name,
				     "granularity", (json_int_t)b->granularity));
	}
	if (list)
		g_array_unref(list);
	return out;
}

/* Names as qemu-img spells them: with dashes. */
static json_t *specific_json(struct image *im)
{
	json_t *own = json_object(), *data = json_object(), *value, *list;
	const char *name;

	image_info(im, own);
	json_object_foreach(own, name, value)
	{
		g_autofree char *dashed = g_strdelimit(g_strdup(name), "_", '-');

		json_object_set(data, dashed, value);
	}
	json_decref(own);
	list = bitmaps_json(im);
	if (json_array_size(list))
		json_object_set(data, "bitmaps", list);
	json_decref(list);
	return data;
}

/* Where the backing file is: what it was opened as. */
static const char *full_backing(struct image *im)
{
	return image_backing(im) ? image_path(image_backing(im)) : image_backing_path(im);
}

static json_t *describe(struct image *im)
{
	json_t *o = json_pack("{s:I,s:s,s:s,s:I}", "virtual-size", (json_int_t)image_size(im),
		"filename", image_path(im), "format", image_format_name(im), "actual-size",
		(json_int_t)image_allocated(im));
	json_t *data = specific_json(im), *list = snapshots_json(im);
	json_t *dirty = json_object_get(data, "dirty");

	if (image_cluster(im) > 1)
		json_object_set_new(o, "cluster-size", json_integer(image_cluster(im)));
	json_object_set_new(o, "dirty-flag", json_boolean(dirty && json_is_true(dirty)));
	json_object_del(data, "dirty");
	if (image_encrypted(im))
		json_object_set_new(o, "encrypted", json_true());
	if (image_backing_path(im)) {
		json_object_set_new(o, "backing-filename", json_string(image_backing_path(im)));
		json_object_set_new(o, "full-backing-filename", json_string(full_backing(im)));
	}
	if (image_backing_format(im))
		json_object_set_new(
			o, "backing-filename-format", json_string(image_backing_format(im)));
	if (json_array_size(list))
		json_object_set(o, "snapshots", list);
	json_decref(list);
	if (json_object_size(data))
		json_object_set_new(o, "format-specific",
			json_pack("{s:s,s:O}", "type", image_format_name(im), "data", data));
	json_decref(data);
	return o;
}

static void print_value(const char *name, json_t *value, int indent)
{
	size_t i;
	json_t *each;
	const char *key;

	printf("%*s%s:", indent, "", name);
	if (json_is_string(value)) {
		printf(" %s\n", json_string_value(value));
	} else if (json_is_integer(value)) {
		printf(" %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	} else if (json_is_boolean(value)) {
		puts(json_is_true(value) ? " true" : " false");
	} else if (json_is_object(value)) {
		putchar('\n');
		json_object_foreach(value, key, each) print_value(key, each, indent + 4);
	} else {
		putchar('\n');
		json_array_foreach(value, i, each)
		{
			g_autofree char *text = json_dumps(each, JSON_ENCODE_ANY);

			printf("%*s%s\n", indent + 4, "", text);
		}
	}
}

static void print_snapshots(json_t *list)
{
	static const struct table_column columns[] = { { "ID", TABLE_RIGHT },
		{ "Name", TABLE_FLEX }, { "Machine state", TABLE_RIGHT }, { "Date", 0 }, { NULL } };
	struct table *t;
	json_t *s;
	size_t i;

	if (!json_array_size(list))
		return;
	puts("snapshots:");
	t = table_new(columns);
	json_array_foreach(list, i, s)
	{
		g_autofree char *size =
			size_format(json_integer_value(json_object_get(s, "vm-state-size")));
		time_t when = json_integer_value(json_object_get(s, "date-sec"));
		char date[32];
		struct tm tm;

		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", localtime_r(&when, &tm));
		table_cell(t, "%s", json_string_value(json_object_get(s, "id")));
		table_cell(t, "%s", json_string_value(json_object_get(s, "name")));
		table_cell(t, "%s", size);
		table_cell(t, "%s", date);
	}
	table_show(t);
}

static void print_info(struct image *im, json_t *o)
{
	g_autofree char *size = size_format(image_size(im)),
			*used = size_format(image_allocated(im));
	json_t *specific = json_object_get(json_object_get(o, "format-specific"), "data"), *value;
	const char *name;

	printf("image: %s\nfile format: %s\nvirtual size: %s (%" G_GUINT64_FORMAT " bytes)\n"
	       "disk size: %s\n",
		image_path(im), image_format_name(im), size, image_size(im), used);
	if (image_encrypted(im))
		puts("encrypted: yes");
	if (image_cluster(im) > 1)
		printf("cluster size: %u\n", image_cluster(im));
	if (image_backing_path(im)) {
		printf("backing file: %s", image_backing_path(im));
		if (strcmp(image_backing_path(im), full_backing(im)))
			printf(" (actual path: %s)", full_backing(im));
		printf("\nbacking file format: %s\n",
			image_backing_format(im) ? image_backing_format(im) : "not stated");
	}
	print_snapshots(json_object_get(o, "snapshots"));
	if (specific)
		puts("format specific information:");
	json_object_foreach(specific, name, value)
	{
		g_autofree char *words = g_strdelimit(g_strdup(name), "-", ' ');

		print_value(words, value, 4);
	}
}

int image_info_run(struct cli *c, GError **error)
{
	bool chain = cli_flag(c, "backing-chain");
	struct image_access a;
	struct image *im = NULL;
	json_t *list = json_array();
	g_autoptr(GError) why = NULL;

	/* A chain that cannot be opened is no reason not to tell about its top. */
	if (!image_access_init(&a, c, cli_text(c, "file"), cli_text(c, "format"), true, error)) {
		a.o.no_lock = true; /* nothing is read that a writer could tear apart for long */
		im = image_open(&a.o, &why);
		if (!im && !chain) {
			a.o.no_backing = true;
			im = image_open(&a.o, NULL);
		}
		if (!im)
			g_propagate_error(error, g_steal_pointer(&why));
	}
	for (struct image *i = im; i; i = chain ? image_backing(i) : NULL) {
		json_t *o = describe(i);

		if (!c->json) {
			if (i != im)
				putchar('\n');
			print_info(i, o);
		}
		json_array_append_new(list, o);
	}
	if (im && c->json)
		cli_print_json(json_incref(chain ? list : json_array_get(list, 0)));
	json_decref(list);
	image_close(im);
	image_access_fini(&a);
	return im ? 0 : -1;
}
