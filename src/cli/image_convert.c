/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_convert.c: `lodge image convert` and `dd`. The copy is made under a name beside the
 * target's and renamed when it is whole: whatever ends us, no half-made image has the target's
 * name.
 */
#include "cli/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/image_target.h"
#include "image/bitmap.h"
#include "image/convert.h"
#include "image/file.h"
#include "image/format.h"

const struct cli_option image_convert_options[] = {
	{ "source", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "the image to copy" },
	{ "target", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "the image to make" },
	{ "format", 'f', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "SOURCE's format (default: by its content)" },
	{ "output-format", 'O', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "TARGET's format (default: what the name ends in, else raw)" },
	OPT_OPTIONS,
	{ "compress", 'c', CLI_FLAG, .help = "compress the copy" },
	{ "backing-file", 'B', CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "TARGET stores only what differs from FILE, an image below SOURCE or equal "
			"to one" },
	{ "backing-format", 'F', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "FILE's format" },
	{ "no-create", 'n', CLI_FLAG, .help = "write into TARGET, which is there" },
	{ "target-is-zero", 0, CLI_FLAG, .help = "with -n: TARGET reads as zeroes" },
	{ "force", 0, CLI_FLAG,
		.help = "replace TARGET if it is there; try although room is short" },
	{ "sparse", 'S', CLI_SIZE, .value = "SIZE",
		.help = "leave out runs of zeroes of at least SIZE (default: 4k; 0: write all)" },
	{ "salvage", 0, CLI_FLAG, .help = "go on where SOURCE cannot be read, with zeroes" },
	{ "bitmaps", 0, CLI_FLAG, .help = "copy the dirty bitmaps too" },
	{ "threads", 'm', CLI_NUMBER, .value = "N",
		.help = "threads (default: as there are processors)" },
	{ "rate", 'r', CLI_SIZE, .value = "SIZE", .help = "bytes a second at most" },
	{ "cache", 't', CLI_CHOICE, .choices = image_cache_modes,
		.help = "of TARGET (default: unsafe, as with cp; the others wait for the disk)" },
	{ "source-cache", 'T', CLI_CHOICE, .choices = image_cache_modes, .help = "of SOURCE" },
	OPT_PROGRESS,
	OPT_SHARE,
	{ "out-of-order", 'W', CLI_FLAG, CLI_HIDDEN, .help = "always so" },
	{ "copy-offload", 'C', CLI_FLAG, CLI_HIDDEN, .help = "always so where it helps" },
	OPT_ACCESS,
	{ NULL },
};
const char image_convert_help[] =
	"  lodge image convert disk.vmdk disk.qcow2\n"
	"  lodge image convert -c -O qcow2 -o compression_type=zstd disk.img small.qcow2\n\n"
	"Room on the target's file system is looked at first. The target gets its name when it is "
	"whole; "
	"an interrupted copy leaves nothing under that name.";

/* ---- where the copy is made ---- */

/* Images that know their own name, or are several files, are made in a folder of their own. */
static bool knows_its_name(const char *format)
{
	return !strcmp(format, "vmdk");
}

int image_target_start(
	struct image_target *t, const char *path, const char *format, bool force, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(path), *base = g_path_get_basename(path);
	struct stat st;

	*t = (struct image_target){ .path = path };
	if (file_is_url(path) || (!stat(path, &st) && S_ISBLK(st.st_mode)))
		return fail(error, LODGE_ERROR_USAGE,
			"%s: is no file that could be made; -n writes into it", path);
	if (!force && !lstat(path, &st))
		return fail(
			error, LODGE_ERROR_FILE, "%s: is there already; --force replaces it", path);
	t->force = force;
	if (knows_its_name(format)) {
		t->dir = g_strdup_printf("%s/.%s.XXXXXX", dir, base);
		if (!g_mkdtemp_full(t->dir, 0700))
			return fail_errno(error, LODGE_ERROR_FILE, errno, "%s", t->dir);
		t->part = g_build_filename(t->dir, base, NULL);
		return 0;
	}
	t->part = g_strdup_printf("%s/.%s.%08x.part", dir, base, g_random_int());
	return 0;
}

/* Moves one file into place. Without force nothing that came meanwhile is replaced. */
static int move(const char *from, const char *to, bool force, GError **error)
{
	int r = renameat2(AT_FDCWD, from, AT_FDCWD, to, force ? 0 : RENAME_NOREPLACE);

	if (r < 0 && errno == EINVAL) /* the file system lacks that flag */
		r = rename(from, to);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot rename it to %s",
			       from, to)
		     : 0;
}

int image_target_finish(struct image_target *t, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(t->path);
	GDir *d = t->dir ? g_dir_open(t->dir, 0, error) : NULL;
	const char *name;
	int r = t->dir && !d ? -1 : 0;

	/* What the descriptor names first. */
	while (d && !r && (name = g_dir_read_name(d))) {
		g_autofree char *from = g_build_filename(t->dir, name, NULL),
				*to = g_build_filename(dir, name, NULL);

		if (strcmp(from, t->part))
			r = move(from, to, t->force, error);
	}
	if (d)
		g_dir_close(d);
	return r < 0 ? -1 : move(t->part, t->path, t->force, error);
}

void image_target_end(struct image_target *t)
{
	GDir *d = t->dir ? g_dir_open(t->dir, 0, NULL) : NULL;
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *path = g_build_filename(t->dir, name, NULL);

		unlink(path);
	}
	if (d)
		g_dir_close(d);
	if (t->dir)
		rmdir(t->dir);
	else if (t->part)
		unlink(t->part);
	g_free(t->dir);
	g_free(t->part);
}

int image_target_room(const char *path, uint64_t need, bool force, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(path), *want = NULL, *have = NULL;
	struct statvfs v;

	if (force || statvfs(dir, &v) < 0 || (uint64_t)v.f_bavail * v.f_frsize >= need)
		return 0;
	want = size_format(need);
	have = size_format((uint64_t)v.f_bavail * v.f_frsize);
	return fail(error, LODGE_ERROR_FILE,
		"%s: the copy takes about %s, its file system has %s left; "
		"--force tries all the same",
		path, want, have);
}

/* ---- convert ---- */

struct conversion {
	struct cli *c;
	struct image *from, *to;
	struct image_spec spec;
	const char *format; /* of the target */
	struct convert_options how;
	struct image_ticker ticker;
	char *secret;
};

/* Layers of the source above the image that is the new backing file; 0: it is none of the chain. */
static int layers_above(struct image *im, const char *path)
{
	struct stat a, b;
	int n = 0;

	for (; im; im = image_backing(im), n++) {
		if (!stat(path, &a) && !stat(image_path(im), &b) && a.st_ino == b.st_ino &&
			a.st_dev == b.st_dev)
			return n;
	}
	return 0;
}

static int choose(struct conversion *v, const char *target, GError **error)
{
	struct cli *c = v->c;
	const char *format = image_format_spelling(cli_text(c, "output-format"));
	g_autofree char *backing = NULL, *dir = g_path_get_dirname(target);
	int r;

	v->format = format ? format : image_format_by_suffix(target);
	v->spec = (struct image_spec){ .size = image_size(v->from),
		.backing = cli_text(c, "backing-file"),
		.backing_format = image_format_spelling(cli_text(c, "backing-format")),
		.secret = v->secret };
	r = image_spec_from(c, v->format, &v->spec, error);
	if (r)
		return r;
	v->how = (struct convert_options){
		.packed = cli_flag(c, "compress"),
		.sparse = (uint32_t)MIN(cli_size(c, "sparse", 4096), 1u << 30),
		.target_zero = !cli_flag(c, "no-create") || cli_flag(c, "target-is-zero"),
		.salvage = cli_flag(c, "salvage"),
		.threads = (unsigned)CLAMP(cli_number(c, "threads", 0), 0, 64),
		.rate = cli_size(c, "rate", 0),
		.tick = image_tick,
		.opaque = &v->ticker,
	};
	if (v->how.sparse & 511)
		return fail(error, LODGE_ERROR_USAGE, "--sparse takes multiples of 512");
	if (!v->spec.backing)
		return 0;
	backing = g_path_is_absolute(v->spec.backing)
			  ? g_strdup(v->spec.backing)
			  : g_build_filename(dir, v->spec.backing, NULL);
	v->how.depth = layers_above(v->from, backing);
	v->how.below_stays = v->how.depth > 0;
	v->how.target_zero = false;
	return 0;
}

static int room(struct conversion *v, const char *target, GError **error)
{
	uint64_t need = v->spec.size;

	if (v->spec.preallocation < IMAGE_PREALLOC_FALLOC &&
		image_data_bytes(
			v->from, v->how.below_stays ? v->how.depth - 1 : 1 << 15, &need, error) < 0)
		return -1;
	/* How well it will compress is not known; half is what systems usually do. */
	if (v->how.packed)
		need /= 2;
	return image_target_room(target, need, cli_flag(v->c, "force"), error);
}

static int copy_bitmaps(struct image *from, struct image *to, GError **error)
{
	const struct image_bitmap_ops *src = image_bitmaps(from), *dst = image_bitmaps(to);
	GArray *list = src ? src->list(from) : NULL;
	int r = 0;

	if (!src || !dst)
		return fail(error, LODGE_ERROR_USAGE,
			"--bitmaps needs formats that keep bitmaps: qcow2");
	for (unsigned i = 0; i < list->len && !r; i++) {
		struct image_bitmap *b = &g_array_index(list, struct image_bitmap, i);

		if (b->inconsistent)
			r = fail(error, LODGE_ERROR_FILE,
				"%s: the bitmap '%s' is inconsistent; remove it first",
				image_path(from), b->name);
		else if (!(r = dst->add(to, b, error)))
			r = dst->merge(to, b->name, from, b->name, error);
	}
	g_array_unref(list);
	return r;
}

static struct image *open_target(struct conversion *v, const char *path, GError **error)
{
	const char *mode = cli_text(v->c, "cache");
	struct image_access a;
	struct image *im = NULL;

	if (!image_access_init(&a, v->c, path, v->format, false, error)) {
		image_access_cache(&a, mode ? mode : "unsafe");
		a.o.no_lock = false;
		a.o.no_backing =
			v->how.below_stays && !v->how.packed && image_cluster(v->from) == 1;
		im = image_open(&a.o, error);
	}
	image_access_fini(&a);
	return im;
}

static int copy(struct conversion *v, const char *path, GError **error)
{
	const char *mode = cli_text(v->c, "cache");
	int r;

	v->to = open_target(v, path, error);
	if (!v->to)
		return -1;
	image_ticker_start(&v->ticker, v->c, "Converting");
	r = image_convert(v->from, v->to, &v->how, error);
	if (!r && cli_flag(v->c, "bitmaps"))
		r = copy_bitmaps(v->from, v->to, error);
	if (!r && mode && strcmp(mode, "unsafe"))
		r = image_flush(v->to, error);
	progress_end(&v->ticker.p);
	if (r < 0 && error && !*error)
		cli_fail_interrupted(error);
	image_close(v->to);
	return r;
}

static int make(struct conversion *v, const char *target, GError **error)
{
	struct image_access a;
	struct image_target t;
	int r = image_access_init(&a, v->c, NULL, NULL, false, error);

	if (r < 0)
		return -1;
	r = image_target_start(&t, target, v->format, cli_flag(v->c, "force"), error);
	if (!r)
		r = image_create(t.part, v->format, &v->spec, false, &a.o, error);
	if (!r)
		r = copy(v, t.part, error);
	if (!r)
		r = image_target_finish(&t, error);
	image_target_end(&t);
	image_access_fini(&a);
	return r;
}

static void tell(struct conversion *v, const char *target)
{
	struct stat st = { 0 };
	g_autofree char *size = NULL, *lost = size_format(v->how.unreadable);
	uint64_t used;

	stat(target, &st);
	used = (uint64_t)st.st_blocks * 512;
	size = size_format(used);
	if (v->c->json)
		cli_print_json(json_pack("{s:s,s:s,s:I,s:I,s:I}", "filename", target, "format",
			v->format, "virtual-size", (json_int_t)v->spec.size, "actual-size",
			(json_int_t)used, "unreadable", (json_int_t)v->how.unreadable));
	if (v->how.unreadable)
		cli_note(
			v->c, "lodge: %s of the source could not be read and are zeroes now", lost);
}

static struct image *open_source(struct conversion *v, const char *path, GError **error)
{
	struct image_access a;
	struct image *im = NULL;

	if (!image_access_init(&a, v->c, path, cli_text(v->c, "format"), true, error)) {
		image_access_cache(&a, cli_text(v->c, "source-cache"));
		im = image_open(&a.o, error);
	}
	v->secret = g_steal_pointer(&a.secret);
	return im;
}

int image_convert_run(struct cli *c, GError **error)
{
	const char *target = cli_text(c, "target");
	struct conversion v = { .c = c };
	int r = -1;

	cli_catch_signals(c);
	v.from = open_source(&v, cli_text(c, "source"), error);
	if (v.from)
		r = choose(&v, target, error);
	if (!r && !cli_flag(c, "no-create"))
		r = room(&v, target, error);
	if (!r)
		r = cli_flag(c, "no-create") ? copy(&v, target, error) : make(&v, target, error);
	if (!r)
		tell(&v, target);
	image_spec_done(&v.spec);
	image_close(v.from);
	g_free(v.secret);
	return r < 0 ? -1 : 0;
}

/* ---- dd ---- */

const struct cli_option image_dd_options[] = {
	{ "operand", 0, CLI_TEXT, CLI_POSITIONAL | CLI_MANY | CLI_REQUIRED, .value = "NAME=VALUE",
		.help = "if=FILE of=FILE bs=SIZE count=N skip=N" },
	OPT_FORMAT,
	{ "output-format", 'O', CLI_TEXT, .value = "FMT", .complete = IMAGE_FORMATS,
		.help = "of=FILE's format (default: raw)" },
	{ "force", 0, CLI_FLAG, .help = "replace of=FILE if it is there" },
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_dd_help[] =
	"  lodge image dd -O raw bs=1M count=100 if=disk.qcow2 of=first-part.img";

struct dd {
	const char *in, *out;
	uint64_t bs, count, skip;
};

static int dd_parse(struct cli *c, struct dd *d, GError **error)
{
	*d = (struct dd){ .bs = 512, .count = UINT64_MAX };
	for (const char *const *w = cli_texts(c, "operand"); *w; w++) {
		const char *eq = strchr(*w, '=');
		size_t n = eq ? eq - *w : 0;
		uint64_t *number = n == 2 && !memcmp(*w, "bs", 2)      ? &d->bs
				   : n == 5 && !memcmp(*w, "count", 5) ? &d->count
				   : n == 4 && !memcmp(*w, "skip", 4)  ? &d->skip
								       : NULL;
		const char **text = n == 2 && !memcmp(*w, "if", 2)   ? &d->in
				    : n == 2 && !memcmp(*w, "of", 2) ? &d->out
								     : NULL;

		if (number      ? size_parse(eq + 1, number, error) < 0
			: !text ? fail(error, LODGE_ERROR_USAGE,
					  "'%s' is none of if=, of=, bs=, count=, skip=", *w) < 0
				: (*text = eq + 1, false))
			return -1;
	}
	if (!d->in || !d->out)
		return fail(error, LODGE_ERROR_USAGE, "say if=FILE and of=FILE");
	if (!d->bs || d->bs > 1u << 30)
		return fail(error, LODGE_ERROR_USAGE, "bs is between 1 and 1G");
	return 0;
}

static int dd_copy(struct cli *c, struct image *from, struct image *to, uint64_t at, uint64_t n,
	GError **error)
{
	g_autofree uint8_t *buf = g_malloc(1 << 20);
	int r = 0;

	for (uint64_t done = 0; done < n && !r;) {
		size_t part = MIN(n - done, 1 << 20);

		r = image_pread(from, at + done, buf, part, error);
		if (!r && !bytes_are_zero(buf, part))
			r = image_pwrite(to, done, buf, part, error);
		done += part;
		if (!r && cli_interrupted(c))
			r = cli_fail_interrupted(error);
	}
	return r;
}

int image_dd_run(struct cli *c, GError **error)
{
	const char *format = image_format_spelling(cli_text(c, "output-format"));
	struct image *from, *to = NULL;
	struct image_spec spec = { 0 };
	struct image_target t = { 0 };
	uint64_t begin, end;
	struct dd d;
	int r = -1;

	cli_catch_signals(c);
	format = format ? format : "raw";
	if (dd_parse(c, &d, error) < 0)
		return -1;
	from = image_access_open(c, d.in, cli_text(c, "format"), true, error);
	if (!from)
		return -1;
	begin = d.skip > image_size(from) / d.bs ? image_size(from) : d.skip * d.bs;
	end = d.count > (image_size(from) - begin) / d.bs ? image_size(from)
							  : begin + d.count * d.bs;
	spec.size = end - begin;
	if (!spec.size)
		fail(error, LODGE_ERROR_USAGE, "%s: nothing to copy there", d.in);
	else if (!image_target_start(&t, d.out, format, cli_flag(c, "force"), error) &&
		 !image_create(t.part, format, &spec, false, NULL, error)) {
		to = image_access_open(c, t.part, format, false, error);
		r = to ? dd_copy(c, from, to, begin, spec.size, error) : -1;
	}
	image_close(to);
	image_close(from);
	if (!r)
		r = image_target_finish(&t, error);
	image_target_end(&t);
	return r;
}
