/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_check.c: `lodge image check` and `compare`. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "image/convert.h"

static const char *const repairs[] = { "leaks", "all", NULL };

const struct cli_option image_check_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "repair", 'r', CLI_CHOICE, .choices = repairs, .value = "WHAT",
		.help = "repair what is found" },
	OPT_SHARE,
	OPT_PROGRESS,
	OPT_ACCESS,
	{ NULL },
};
const char image_check_help[] =
	"Exit status: 0: no errors; 1: it could not be checked; 2: there is damage; 3: nothing is "
	"damaged, "
	"but some room is leaked; 63: images of that format have nothing to check.";

enum { STATUS_FAILED = 1, STATUS_DAMAGED = 2, STATUS_LEAKS = 3, STATUS_NOTHING = 63 };

static void say(struct image_report *r, bool corruption, const char *line)
{
	const struct cli *c = r->opaque;

	if (!c->json && !c->quiet)
		fprintf(stderr, "%s: %s\n", corruption ? "damage" : "leak", line);
}

static int check_status(const struct image_report *r)
{
	return r->corruptions > r->corruptions_fixed ? STATUS_DAMAGED
	       : r->leaks > r->leaks_fixed           ? STATUS_LEAKS
						     : 0;
}

static json_t *report_json(struct image *im, const struct image_report *r)
{
	json_t *o = json_pack("{s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I}", "filename", image_path(im),
		"format", image_format_name(im), "check-errors", 0, "image-end-offset",
		(json_int_t)r->end, "total-clusters", (json_int_t)r->clusters, "allocated-clusters",
		(json_int_t)r->allocated, "fragmented-clusters", (json_int_t)r->fragmented,
		"compressed-clusters", (json_int_t)r->compressed);
	const struct {
		const char *name;
		uint64_t n;
	} counts[] = {
		{ "corruptions", r->corruptions - r->corruptions_fixed },
		{ "leaks", r->leaks - r->leaks_fixed },
		{ "corruptions-fixed", r->corruptions_fixed },
		{ "leaks-fixed", r->leaks_fixed },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
		if (counts[i].n)
			json_object_set_new(
				o, counts[i].name, json_integer((json_int_t)counts[i].n));
	}
	return o;
}

static void print_report(const struct image_report *r)
{
	g_autofree char *end = size_format(r->end);
	double all = r->clusters ? (double)r->clusters : 1;
	double used = r->allocated ? (double)r->allocated : 1;

	if (r->corruptions_fixed || r->leaks_fixed)
		printf("Repaired: %" G_GUINT64_FORMAT " damaged, %" G_GUINT64_FORMAT " leaked\n",
			r->corruptions_fixed, r->leaks_fixed);
	if (!check_status(r))
		puts("No errors were found on the image.");
	if (r->corruptions > r->corruptions_fixed)
		printf("%" G_GUINT64_FORMAT
		       " errors were found on the image. Data may be corrupted; "
		       "'-r all' repairs what can be repaired.\n",
			r->corruptions - r->corruptions_fixed);
	if (r->leaks > r->leaks_fixed)
		printf("%" G_GUINT64_FORMAT
		       " leaked clusters were found: they waste room, no data is "
		       "harmed; '-r leaks' frees them.\n",
			r->leaks - r->leaks_fixed);
	if (r->clusters)
		printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
		       " = %.2f%% allocated, %.2f%% fragmented, "
		       "%.2f%% compressed clusters\n",
			r->allocated, r->clusters, 100 * (double)r->allocated / all,
			100 * (double)r->fragmented / used, 100 * (double)r->compressed / used);
	if (r->end)
		printf("Image end: %s (%" G_GUINT64_FORMAT " bytes)\n", end, r->end);
}

int image_check_run(struct cli *c, GError **error)
{
	const char *repair = cli_text(c, "repair");
	struct image_report report = { .say = say, .opaque = c };
	g_autoptr(GError) why = NULL;
	struct image_access a;
	struct image *im = NULL;
	int status = -1;

	c->error_status = STATUS_FAILED;
	if (!image_access_init(&a, c, cli_text(c, "file"), cli_text(c, "format"), !repair, error)) {
		a.o.for_check = true;
		im = image_open(&a.o, error);
	}
	if (im && image_check(im, &report, repair != NULL, &why) < 0) {
		if (why->code == LODGE_ERROR_USAGE && why->domain == LODGE_ERROR)
			c->error_status = STATUS_NOTHING;
		g_propagate_error(error, g_steal_pointer(&why));
	} else if (im) {
		status = check_status(&report);
		if (c->json)
			cli_print_json(report_json(im, &report));
		else if (!c->quiet)
			print_report(&report);
	}
	image_close(im);
	image_access_fini(&a);
	return status;
}

/* ---- compare ---- */

const struct cli_option image_compare_options[] = {
	{ "first", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "an image" },
	{ "second", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "another" },
	{ "format", 'f', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "FIRST's format" },
	{ "second-format", 'F', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "SECOND's format" },
	{ "strict", 's', CLI_FLAG, .help = "differ also by size, and by what is allocated" },
	OPT_SHARE,
	OPT_PROGRESS,
	OPT_ACCESS,
	{ NULL },
};
const char image_compare_help[] =
	"Exit status: 0: they read the same; 1: they differ; 2: one cannot be opened; 3: one "
	"cannot be "
	"read. A larger image that ends in zeroes reads the same as a smaller one.";

enum { SAME, DIFFER, NOT_OPENED, NOT_READ, STEP = 1 << 20 };

struct comparison {
	struct cli *c;
	struct image *a, *b;
	uint64_t at; /* where they differ */
	const char *how;
	uint8_t *buf[2];
};

/* The part of both up to the shorter run; zeroes on both sides are not read. */
static int compare_at(struct comparison *x, uint64_t off, uint64_t n, uint64_t *len, GError **error)
{
	struct image_run ra, rb;
	bool za, zb;
	size_t part;

	if (image_map(x->a, off, n, &ra, error) < 0 || image_map(x->b, off, n, &rb, error) < 0)
		return NOT_READ;
	*len = MIN(ra.len, rb.len);
	x->at = off;
	if (cli_flag(x->c, "strict") && ra.present != rb.present) {
		x->how = "Allocation differs";
		return DIFFER;
	}
	za = ra.zero;
	zb = rb.zero;
	if (za && zb)
		return SAME;
	*len = part = MIN(*len, STEP);
	if ((!za && image_pread(x->a, off, x->buf[0], part, error) < 0) ||
		(!zb && image_pread(x->b, off, x->buf[1], part, error) < 0))
		return NOT_READ;
	if (za || zb ? bytes_are_zero(x->buf[za], part) : !memcmp(x->buf[0], x->buf[1], part))
		return SAME;
	if (za || zb)
		memset(x->buf[zb], 0, part);
	for (x->at = 0; x->buf[0][x->at] == x->buf[1][x->at];)
		x->at++;
	x->at += off;
	x->how = "Contents differ";
	return DIFFER;
}

/* Behind the end of the shorter one, the longer one must be zero. */
static int compare_tail(struct comparison *x, uint64_t off, GError **error)
{
	struct image *longer = image_size(x->a) > image_size(x->b) ? x->a : x->b;

	while (off < image_size(longer)) {
		struct image_run run;

		if (image_map(longer, off, image_size(longer) - off, &run, error) < 0)
			return NOT_READ;
		if (!run.zero) {
			run.len = MIN(run.len, STEP);
			if (image_pread(longer, off, x->buf[0], run.len, error) < 0)
				return NOT_READ;
			if (!bytes_are_zero(x->buf[0], run.len)) {
				x->at = off;
				x->how = "One is larger, and not zero there: contents differ";
				return DIFFER;
			}
		}
		off += run.len;
	}
	return SAME;
}

static int compare(struct comparison *x, GError **error)
{
	uint64_t size = MIN(image_size(x->a), image_size(x->b)), len = 0;
	struct image_ticker t;
	int r = SAME;

	if (cli_flag(x->c, "strict") && image_size(x->a) != image_size(x->b)) {
		x->how = "Sizes differ";
		x->at = size;
		return DIFFER;
	}
	image_ticker_start(&t, x->c, "Comparing");
	for (uint64_t off = 0; off < size && !r; off += len) {
		r = compare_at(x, off, size - off, &len, error);
		if (!image_tick(&t, off, size)) {
			cli_fail_interrupted(error);
			r = NOT_READ;
		}
	}
	if (!r)
		r = compare_tail(x, size, error);
	progress_end(&t.p);
	return r;
}

int image_compare_run(struct cli *c, GError **error)
{
	struct comparison x = { .c = c };
	int r = NOT_OPENED;

	x.a = image_access_open(c, cli_text(c, "first"), cli_text(c, "format"), true, error);
	if (x.a)
		x.b = image_access_open(
			c, cli_text(c, "second"), cli_text(c, "second-format"), true, error);
	if (x.b) {
		x.buf[0] = g_malloc(STEP);
		x.buf[1] = g_malloc(STEP);
		r = compare(&x, error);
	}
	if (r <= DIFFER && c->json)
		cli_print_json(r ? json_pack("{s:b,s:s,s:I}", "identical", 0, "reason", x.how,
					   "offset", (json_int_t)x.at)
				 : json_pack("{s:b}", "identical", 1));
	else if (r == SAME && !c->quiet)
		puts("Images are identical.");
	else if (r == DIFFER && !c->quiet)
		printf("%s at offset %" G_GUINT64_FORMAT "!\n", x.how, x.at);
	g_free(x.buf[0]);
	g_free(x.buf[1]);
	image_close(x.a);
	image_close(x.b);
	if (r > DIFFER && c->error_status < 128)
		c->error_status = r;
	return r > DIFFER ? -1 : r;
}
