/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_change.c: `lodge image resize`, `rebase` and `commit`. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "image/convert.h"

/* ---- resize ---- */

const struct cli_option image_resize_options[] = {
	OPT_FILE("the image"),
	{ "size", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "[+-]SIZE",
		.help = "the disk's new size, or by how much to change it" },
	OPT_FORMAT,
	{ "shrink", 0, CLI_FLAG, .help = "make it smaller: what is behind the new end is lost" },
	{ "preallocation", 0, CLI_CHOICE, .choices = image_preallocation_names, .value = "HOW",
		.help = "of the new part" },
	OPT_ACCESS,
	{ NULL },
};
const char image_resize_help[] = "  lodge image resize disk.qcow2 +10G\n\n"
				 "Partitions and file systems in the disk do not change by "
				 "themselves. To shrink, shrink them first.";

static int new_size(const char *text, uint64_t old, uint64_t *ret, GError **error)
{
	uint64_t n;

	if (size_parse(text + (*text == '+' || *text == '-'), &n, error) < 0)
		return -1;
	if (*text == '-' && n >= old)
		return fail(error, LODGE_ERROR_USAGE, "the disk is not that large");
	if (*text == '+' && n > INT64_MAX - old)
		return fail(error, LODGE_ERROR_USAGE, "the disk would be too large");
	*ret = *text == '+' ? old + n : *text == '-' ? old - n : n;
	return 0;
}

int image_resize_run(struct cli *c, GError **error)
{
	struct image *im =
		image_access_open(c, cli_text(c, "file"), cli_text(c, "format"), false, error);
	const char *how = cli_text(c, "preallocation");
	struct image_spec spec = { 0 };
	uint64_t old, size = 0;
	int r = -1;

	if (!im)
		return -1;
	for (int i = 0; how && image_preallocation_names[i]; i++) {
		if (!strcmp(how, image_preallocation_names[i]))
			spec.preallocation = i;
	}
	old = image_size(im);
	if (!new_size(cli_text(c, "size"), old, &size, error)) {
		g_autofree char *a = size_format(old), *b = size_format(size);

		if (size < old && !cli_flag(c, "shrink"))
			fail(error, LODGE_ERROR_USAGE,
				"%s: %s is less than the %s it has; what is behind "
				"the new end is lost; --shrink does it all the same",
				image_path(im), b, a);
		else if (!image_resize(im, size, &spec, error))
			r = 0;
		if (!r && !c->quiet && !c->json)
			printf("Image resized: %s, was %s.\n", b, a);
	}
	image_close(im);
	return r;
}

/* ---- rebase ---- */

const struct cli_option image_rebase_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "backing-file", 'b', CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "the new backing file; empty: none (the image becomes independent)" },
	{ "backing-format", 'F', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "FILE's format" },
	{ "unsafe", 'u', CLI_FLAG,
		.help = "only change the name in the image: FILE must read as the old one" },
	{ "cache", 't', CLI_CHOICE, CLI_HIDDEN, .choices = image_cache_modes, .help = "accepted" },
	{ "source-cache", 'T', CLI_CHOICE, CLI_HIDDEN, .choices = image_cache_modes,
		.help = "accepted" },
	OPT_PROGRESS,
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_rebase_help[] =
	"What the image reads as does not change: where old and new backing file differ, their "
	"bytes are "
	"copied into the image first. -u leaves that out, for a backing file that only moved.";

enum { STEP = 1 << 20 };

/* The bytes of [off, off + n) as the old chain below and the new one have them; equal: leave them.
 */
static int rebase_part(struct image *im, struct image *next, uint64_t off, size_t n, uint8_t *old,
	uint8_t *now, GError **error)
{
	size_t step = MAX(image_cluster(im), 4096);
	uint64_t have = next && off < image_size(next) ? MIN(n, image_size(next) - off) : 0;

	if (image_pread(im, off, old, n, error) < 0)
		return -1;
	if (have && image_pread(next, off, now, have, error) < 0)
		return -1;
	memset(now + have, 0, n - have);
	for (size_t at = 0; at < n; at += step) {
		size_t part = MIN(step, n - at);

		if (memcmp(old + at, now + at, part) &&
			(bytes_are_zero(old + at, part)
					? image_zero(im, off + at, part, true, error)
					: image_pwrite(im, off + at, old + at, part, error)) < 0)
			return -1;
	}
	return 0;
}

static int rebase_copy(struct cli *c, struct image *im, struct image *next, GError **error)
{
	g_autofree uint8_t *old = g_malloc(STEP), *now = g_malloc(STEP);
	struct image_ticker t;
	int r = 0;

	image_ticker_start(&t, c, "Rebasing");
	for (uint64_t off = 0; off < image_size(im) && !r;) {
		struct image_run run;

		r = image_map_depth(im, off, image_size(im) - off, 0, &run, error);
		if (r < 0)
			break;
		if (!run.present) {
			/* What neither chain has needs no look. */
			run.len = MIN(run.len, STEP - off % STEP);
			r = rebase_part(im, next, off, run.len, old, now, error);
		}
		off += run.len;
		if (!r && !image_tick(&t, off, image_size(im)))
			r = cli_fail_interrupted(error);
	}
	progress_end(&t.p);
	return r;
}

/* The new backing file as the image will see it: relative to the image. */
static char *beside(const char *image, const char *name)
{
	g_autofree char *dir = g_path_get_dirname(image);

	return g_path_is_absolute(name) || strchr(name, ':') ? g_strdup(name)
							     : g_build_filename(dir, name, NULL);
}

int image_rebase_run(struct cli *c, GError **error)
{
	const char *path = cli_text(c, "file"), *backing = cli_text(c, "backing-file"),
		   *format = image_format_spelling(cli_text(c, "backing-format"));
	bool unsafe = cli_flag(c, "unsafe");
	struct image *im = NULL, *next = NULL;
	struct image_access a;
	int r = -1;

	if (!backing)
		return fail(error, LODGE_ERROR_USAGE,
			"say what the new backing file is (-b FILE, or -b '')");
	backing = *backing ? backing : NULL;
	if (backing && !format)
		return fail(
			error, LODGE_ERROR_USAGE, "say in which format %s is (-F FMT)", backing);
	if (!image_access_init(&a, c, path, cli_text(c, "format"), false, error)) {
		a.o.no_backing = unsafe;
		im = image_open(&a.o, error);
	}
	if (im && backing && !unsafe) {
		g_autofree char *full = beside(path, backing);

		next = image_access_open(c, full, format, true, error);
	}
	if (im && (next || !backing || unsafe)) {
		r = unsafe ? 0 : rebase_copy(c, im, next, error);
		if (!r)
			r = image_flush(im, error);
		if (!r)
			r = image_set_backing(im, backing, format, error);
	}
	if (!r && !c->quiet && !c->json)
		printf(backing ? "Image rebased on %s.\n" : "Image stands alone now.%s\n",
			backing ? backing : "");
	image_close(next);
	image_close(im);
	image_access_fini(&a);
	return r;
}

/* ---- commit ---- */

const struct cli_option image_commit_options[] = {
	OPT_FILE("the image whose changes go down"),
	OPT_FORMAT,
	{ "base", 'b', CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "write into this image of the chain (default: the one below)" },
	{ "keep", 'd', CLI_FLAG, .help = "do not empty the image afterwards" },
	{ "rate", 'r', CLI_SIZE, .value = "SIZE", .help = "bytes a second at most" },
	{ "cache", 't', CLI_CHOICE, CLI_HIDDEN, .choices = image_cache_modes, .help = "accepted" },
	OPT_PROGRESS,
	OPT_ACCESS,
	{ NULL },
};
const char image_commit_help[] = "The image below then reads as this one did; it must not be in "
				 "use, nor be under other images.";

/* The layer of the chain that is `base`; its depth, or -1. */
static int depth_of(struct image *im, const char *base, struct image **ret, GError **error)
{
	g_autofree char *want = base ? g_canonicalize_filename(base, NULL) : NULL;
	int depth = 1;

	for (struct image *i = image_backing(im); i; i = image_backing(i), depth++) {
		g_autofree char *path = g_canonicalize_filename(image_path(i), NULL);

		if (!want || !strcmp(path, want) || !strcmp(base, image_path(i))) {
			*ret = i;
			return depth;
		}
	}
	return fail(error, LODGE_ERROR_USAGE,
		base ? "%s: %s is not below it" : "%s: has no backing file", image_path(im), base);
}

int image_commit_run(struct cli *c, GError **error)
{
	const char *path = cli_text(c, "file"), *base = cli_text(c, "base");
	struct image *im = image_access_open(c, path, cli_text(c, "format"), true, error);
	struct image *below = NULL, *to = NULL;
	struct image_ticker t;
	struct convert_options how = { .below_stays = true,
		.sparse = 4096,
		.tick = image_tick,
		.opaque = &t,
		.rate = cli_size(c, "rate", 0) };
	g_autofree char *below_path = NULL, *below_format = NULL;
	bool empty = !base && !cli_flag(c, "keep");
	int r = -1;

	if (!im)
		return -1;
	how.depth = depth_of(im, base, &below, error);
	if (how.depth > 0) {
		below_path = g_strdup(image_path(below));
		below_format = g_strdup(image_format_name(below));
		/* The reader's lock on it would keep us out. */
		image_close(im);
		im = NULL;
	}
	if (below_path) {
		struct image_access a;

		if (!image_access_init(&a, c, path, cli_text(c, "format"), true, error)) {
			a.o.no_lock = true;
			im = image_open(&a.o, error);
		}
		image_access_fini(&a);
		to = im ? image_access_open(c, below_path, below_format, false, error) : NULL;
	}
	if (to && image_size(im) > image_size(to))
		r = image_resize(to, image_size(im), NULL, error);
	else
		r = to ? 0 : -1;
	if (!r) {
		image_ticker_start(&t, c, "Committing");
		r = image_convert(im, to, &how, error);
		progress_end(&t.p);
		if (r < 0 && error && !*error)
			cli_fail_interrupted(error);
		if (!r)
			r = image_flush(to, error);
	}
	image_close(to);
	image_close(im);
	if (!r && empty) {
		im = image_access_open(c, path, cli_text(c, "format"), false, error);
		r = im ? image_empty(im, error) : -1;
		image_close(im);
	}
	if (!r && !c->quiet && !c->json)
		printf("Image committed into %s.\n", below_path);
	return r;
}
