/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_common.c: what the `lodge image` commands share: access, secrets, options, progress. */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "image/format.h"

const char *const image_cache_modes[] = {
	"none",
	"writeback",
	"writethrough",
	"directsync",
	"unsafe",
	NULL,
};

static bool has_option(const struct cli *c, const char *name)
{
	return cli_option_find(c, name, strlen(name), 0) != NULL;
}

static int read_secret(const char *path, char **ret, GError **error)
{
	g_autoptr(GError) why = NULL;

	if (g_file_get_contents(path, ret, NULL, &why))
		return 0;
	return fail(
		error, LODGE_ERROR_FILE, "%s: cannot read the passphrase: %s", path, why->message);
}

/* secret,id=sec0,data=abc | file=PATH[,format=base64] */
static int parse_object(const char *text, char **ret, GError **error)
{
	g_auto(GStrv) words = g_strsplit(text, ",", -1);
	g_autofree char *value = NULL;
	bool base64 = false;

	if (strcmp(words[0] ? words[0] : "", "secret"))
		return fail(error, LODGE_ERROR_USAGE,
			"--object knows secrets only: "
			"secret,id=NAME,data=TEXT or secret,id=NAME,file=PATH");
	for (char **w = words + 1; *w; w++) {
		if (g_str_has_prefix(*w, "data=")) {
			g_free(value);
			value = g_strdup(*w + 5);
		} else if (g_str_has_prefix(*w, "file=")) {
			g_clear_pointer(&value, g_free);
			if (read_secret(*w + 5, &value, error) < 0)
				return -1;
		} else if (!strcmp(*w, "format=base64")) {
			base64 = true;
		}
	}
	if (!value)
		return fail(
			error, LODGE_ERROR_USAGE, "--object %s has neither data= nor file=", text);
	if (base64) {
		gsize n;
		g_autofree guchar *plain = g_base64_decode(value, &n);

		*ret = g_strndup((char *)plain, n);
	} else {
		*ret = g_steal_pointer(&value);
	}
	return 0;
}

int image_secret(struct cli *c, char **ret, GError **error)
{
	const char *const *objects = cli_texts(c, "object");

	*ret = NULL;
	if (cli_text(c, "secret-file"))
		return read_secret(cli_text(c, "secret-file"), ret, error);
	for (; *objects; objects++) {
		g_clear_pointer(ret, g_free);
		if (parse_object(*objects, ret, error) < 0)
			return -1;
	}
	return 0;
}

const char *image_format_spelling(const char *name)
{
	return name && !strcmp(name, "vpc") ? "vhd" : name;
}

const char *image_format_by_suffix(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (unsigned i = 0; dot && image_formats[i]; i++) {
		g_auto(GStrv) list = g_strsplit(
			image_formats[i]->suffixes ? image_formats[i]->suffixes : "", " ", -1);

		if (g_strv_contains((const char *const *)list, dot + 1) && image_formats[i]->create)
			return image_formats[i]->name;
	}
	return "raw";
}

int image_access_init(struct image_access *a, struct cli *c, const char *path, const char *format,
	bool readonly, GError **error)
{
	*a = (struct image_access){
		.o = { .path = path, .format = image_format_spelling(format), .readonly = readonly }
	};
	if (has_option(c, "force-share"))
		a->o.no_lock = cli_flag(c, "force-share") && readonly;
	if (has_option(c, "backing-dir"))
		a->o.backing_dirs = cli_texts(c, "backing-dir");
	if (has_option(c, "object") && image_secret(c, &a->secret, error) < 0)
		return -1;
	a->o.secret = a->secret;
	return 0;
}

void image_access_fini(struct image_access *a)
{
	g_clear_pointer(&a->secret, g_free);
}

void image_access_cache(struct image_access *a, const char *mode)
{
	a->o.direct = mode && (!strcmp(mode, "none") || !strcmp(mode, "directsync"));
	a->o.no_sync = mode && !strcmp(mode, "unsafe");
}

struct image *image_access_open(
	struct cli *c, const char *path, const char *format, bool readonly, GError **error)
{
	struct image_access a;
	struct image *im = NULL;

	if (!image_access_init(&a, c, path, format, readonly, error))
		im = image_open(&a.o, error);
	image_access_fini(&a);
	return im;
}

static int print_options(const struct image_format *f)
{
	printf("Options of %s images (-o NAME=VALUE,…):\n", f->name);
	for (const struct image_option_def *d = f->create_options; d && d->name; d++) {
		g_autofree char *all = d->choices ? g_strjoinv(", ", (char **)d->choices) : NULL;

		printf("  %-24s %s%s%s%s%s%s\n", d->name, d->help, all ? ": " : "", all ? all : "",
			d->preset ? " (default: " : "", d->preset ? d->preset : "",
			d->preset ? ")" : "");
	}
	return 1;
}

/* qemu-img's spellings of what is no option of a format here; 1: it was one. */
static int take_habit(struct image_spec *spec, const char *name, const char *value,
	const struct image_format *f, GError **error)
{
	if (!strcmp(name, "size"))
		return size_parse(value, &spec->size, error) < 0 ? -1 : 1;
	if (!strcmp(name, "encrypt.format"))
		return image_spec_set(spec, f->create_options, "encryption", value, error) < 0 ? -1
											       : 1;
	/* The secret itself comes by --object or --secret-file. */
	return !strcmp(name, "encrypt.key-secret") || !strcmp(name, "key-secret");
}

/* "backing_file=x,cluster_size=4k" with "," doubled in values. */
static int take_options(
	const struct image_format *f, struct image_spec *spec, const char *text, GError **error)
{
	while (*text) {
		g_autoptr(GString) word = g_string_new(NULL);
		char *value;
		int r;

		for (; *text && (*text != ',' || text[1] == ','); text++) {
			text += *text == ',';
			g_string_append_c(word, *text);
		}
		text += *text == ',';
		value = strchr(word->str, '=');
		if (value)
			*value++ = 0;
		if (value && g_str_has_prefix(word->str, "backing_f")) {
			bool is_path = !strcmp(word->str, "backing_file");

			*(is_path ? &spec->backing : &spec->backing_format) =
				g_intern_string(is_path ? value : image_format_spelling(value));
			continue;
		}
		r = value ? take_habit(spec, word->str, value, f, error) : 0;
		if (!r)
			r = image_spec_set(
				spec, f->create_options, word->str, value ? value : "on", error);
		if (r < 0)
			return -1;
	}
	return 0;
}

int image_spec_from(struct cli *c, const char *format, struct image_spec *spec, GError **error)
{
	const struct image_format *f = format_by_name(format);
	const char *const *words = cli_texts(c, "options");

	if (!f)
		return fail(error, LODGE_ERROR_USAGE, "no image format is called '%s'", format);
	for (; *words; words++) {
		if (!strcmp(*words, "help") || !strcmp(*words, "?"))
			return print_options(f);
		if (take_options(f, spec, *words, error) < 0)
			return -1;
	}
	return 0;
}

void image_spec_done(struct image_spec *spec)
{
	g_clear_pointer(&spec->options, g_hash_table_unref);
}

void image_progress_start(struct cli *c, struct progress *p, const char *what)
{
	progress_start(p, what, c->quiet || c->json);
	if (!cli_flag(c, "progress") && !p->tty)
		p->silent = true;
}

void image_ticker_start(struct image_ticker *t, struct cli *c, const char *what)
{
	t->c = c;
	image_progress_start(c, &t->p, what);
	cli_catch_signals(c);
}

bool image_tick(void *ticker, uint64_t done, uint64_t total)
{
	struct image_ticker *t = ticker;

	progress_set(&t->p, done, total);
	return !cli_interrupted(t->c);
}
