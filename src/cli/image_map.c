/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_map.c: `lodge image map` and `measure`. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/table.h"
#include "image/convert.h"

const struct cli_option image_map_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "start-offset", 's', CLI_SIZE, .value = "OFFSET", .help = "begin here" },
	{ "max-length", 'l', CLI_SIZE, .value = "SIZE", .help = "so many bytes" },
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_map_help[] = "Without --json only what is data is listed, in bytes.";

static bool joins(const struct image_run *a, const struct image_run *b)
{
	return a->zero == b->zero && a->present == b->present && a->packed == b->packed &&
	       a->has_at == b->has_at && a->depth == b->depth &&
	       (!a->has_at || (a->path == b->path && a->at + a->len == b->at));
}

/* The longest run at off that is one and the same. */
static int run_at(
	struct image *im, uint64_t off, uint64_t end, struct image_run *out, GError **error)
{
	struct image_run next;

	if (image_map(im, off, end - off, out, error) < 0)
		return -1;
	while (off + out->len < end) {
		if (image_map(im, off + out->len, end - off - out->len, &next, error) < 0)
			return -1;
		if (!joins(out, &next))
			break;
		out->len += next.len;
	}
	return 0;
}

static json_t *run_json(const struct image_run *run, uint64_t off)
{
	json_t *o = json_pack("{s:I,s:I,s:i,s:b,s:b,s:b,s:b}", "start", (json_int_t)off, "length",
		(json_int_t)run->len, "depth", run->depth, "present", run->present, "zero",
		run->zero, "data", run->has_at || (run->present && !run->zero), "compressed",
		run->packed);

	if (run->has_at)
		json_object_set_new(o, "offset", json_integer((json_int_t)run->at));
	return o;
}

int image_map_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Offset", TABLE_RIGHT },
		{ "Length", TABLE_RIGHT }, { "Mapped to", TABLE_RIGHT }, { "File", TABLE_FLEX },
		{ NULL } };
	struct image *im =
		image_access_open(c, cli_text(c, "file"), cli_text(c, "format"), true, error);
	struct table *t = table_new(columns);
	json_t *list = json_array();
	uint64_t off = cli_size(c, "start-offset", 0), end;
	int r = im ? 0 : -1;

	end = im ? image_size(im) : 0;
	if (off < end && cli_size(c, "max-length", UINT64_MAX) < end - off)
		end = off + cli_size(c, "max-length", 0);
	while (!r && off < end) {
		struct image_run run;

		r = run_at(im, off, end, &run, error);
		if (r < 0)
			break;
		if (c->json) {
			json_array_append_new(list, run_json(&run, off));
		} else if (run.present && !run.zero) {
			table_cell(t, "%#" G_GINT64_MODIFIER "x", off);
			table_cell(t, "%#" G_GINT64_MODIFIER "x", run.len);
			if (run.has_at)
				table_cell(t, "%#" G_GINT64_MODIFIER "x", run.at);
			else
				table_cell(t, "%s", run.packed ? "compressed" : "encrypted");
			table_cell(t, "%s", run.path ? run.path : "");
		}
		off += run.len;
	}
	if (!r && c->json)
		cli_print_json(json_incref(list));
	else if (!r)
		table_print(t, stdout, 0, FALSE);
	json_decref(list);
	table_free(t);
	image_close(im);
	return r;
}

/* ---- measure ---- */

const struct cli_option image_measure_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL, .complete = CLI_COMPLETE_FILE,
		.help = "the image to copy" },
	{ "size", 's', CLI_SIZE, .help = "of an empty disk, instead of an image" },
	OPT_FORMAT,
	{ "output-format", 'O', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "format of the copy (default: raw)" },
	OPT_OPTIONS,
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_measure_help[] =
	"Counts what a copy without compression takes: what its data need, and "
	"what it takes when every byte was written.";

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Bytes of a qcow2 file that holds `data` bytes of a disk of `size`. Spec: QEMU's
 * docs/interop/qcow2.txt. */
static uint64_t qcow2_bytes(uint64_t size, uint64_t data, const struct image_spec *spec)
{
	const char *text = spec->options ? g_hash_table_lookup(spec->options, "cluster_size")
					 : NULL,
		   *bits = spec->options ? g_hash_table_lookup(spec->options, "refcount_bits")
					 : NULL,
		   *ext = spec->options ? g_hash_table_lookup(spec->options, "extended_l2") : NULL;
	uint64_t cluster = 65536,
		 entry = ext && (!strcmp(ext, "on") || !strcmp(ext, "true")) ? 16 : 8;
	uint64_t width = bits ? g_ascii_strtoull(bits, NULL, 10) : 16, l2, fixed, counts = 0, total,
		 last;

	if (text)
		size_parse(text, &cluster, NULL);
	l2 = round_up(round_up(size, cluster) / cluster * entry, cluster);
	fixed = cluster + l2 + round_up(l2 / cluster * 8, cluster) + round_up(data, cluster);
	/* Counts count themselves: until it no longer grows. */
	do {
		uint64_t blocks;

		last = counts;
		total = (fixed + counts) / cluster;
		blocks = (total * width / 8 + cluster - 1) / cluster;
		counts = blocks * cluster + round_up(blocks * 8, cluster);
	} while (counts != last);
	return fixed + counts;
}

/* Data bytes in whole clusters of the target. */
static int data_of(struct image *im, uint64_t cluster, uint64_t *ret, GError **error)
{
	uint64_t sum = 0, reached = 0;

	for (uint64_t off = 0; off < image_size(im);) {
		struct image_run run;

		if (image_map(im, off, image_size(im) - off, &run, error) < 0)
			return -1;
		if (!run.zero) {
			uint64_t from = MAX(off / cluster * cluster, reached);

			reached = round_up(off + run.len, cluster);
			sum += reached - MIN(from, reached);
		}
		off += run.len;
	}
	*ret = sum;
	return 0;
}

int image_measure_run(struct cli *c, GError **error)
{
	const char *path = cli_text(c, "file"),
		   *format = image_format_spelling(cli_text(c, "output-format"));
	struct image_spec spec = { 0 };
	struct image *im = NULL;
	uint64_t size = cli_size(c, "size", 0), data = 0, cluster = 65536;
	const char *text;
	int r = -1;

	format = format ? format : "raw";
	if (!path == !cli_has(c, "size"))
		fail(error, LODGE_ERROR_USAGE, "give either an image or --size");
	else if (strcmp(format, "raw") && strcmp(format, "qcow2"))
		fail(error, LODGE_ERROR_USAGE, "%s: only raw and qcow2 can be measured", format);
	else if (!path || (im = image_access_open(c, path, cli_text(c, "format"), true, error)))
		r = image_spec_from(c, format, &spec, error);
	text = spec.options ? g_hash_table_lookup(spec.options, "cluster_size") : NULL;
	if (text)
		size_parse(text, &cluster, NULL);
	if (!r && im) {
		size = image_size(im);
		r = data_of(im, strcmp(format, "raw") ? cluster : 512, &data, error);
	}
	if (!r) {
		bool raw = !strcmp(format, "raw");
		uint64_t most = raw ? size : qcow2_bytes(size, size, &spec);
		uint64_t need =
			raw ? (spec.preallocation >= IMAGE_PREALLOC_FALLOC ? size : MIN(data, size))
			: spec.preallocation >= IMAGE_PREALLOC_FALLOC
				? most
				: qcow2_bytes(size, data, &spec);
		g_autofree char *a = size_format(need), *b = size_format(most);

		if (c->json)
			cli_print_json(json_pack("{s:I,s:I}", "required", (json_int_t)need,
				"fully-allocated", (json_int_t)most));
		else
			printf("required size: %" G_GUINT64_FORMAT
			       " (%s)\nfully allocated size: %" G_GUINT64_FORMAT " (%s)\n",
				need, a, most, b);
	}
	image_spec_done(&spec);
	image_close(im);
	return r < 0 ? -1 : 0;
}
