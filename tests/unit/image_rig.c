/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_rig.c: see image_rig.h. */
#include "image_rig.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/format.h"

static char *dir;
static GPtrArray *paths;

int rig_start(void **state)
{
	/* Memory where there is some: these tests are many small files and syncs. */
	dir = g_strdup("/dev/shm/lodge-image-XXXXXX");
	if (!g_mkdtemp(dir)) {
		g_free(dir);
		dir = g_dir_make_tmp("lodge-image-XXXXXX", NULL);
	}
	paths = g_ptr_array_new_with_free_func(g_free);
	return dir ? 0 : -1;
}

int rig_stop(void **state)
{
	sh("rm -rf %s", dir);
	g_ptr_array_unref(paths);
	g_free(dir);
	return 0;
}

const char *rig_dir(void)
{
	return dir;
}

const char *rig_path(const char *name)
{
	char *path = g_build_filename(dir, name, NULL);

	g_ptr_array_add(paths, path);
	return path;
}

static int shv(const char *fmt, va_list ap, char **ret_out)
{
	g_autofree char *cmd = g_strdup_vprintf(fmt, ap), *err = NULL;
	const char *argv[] = { "sh", "-c", cmd, NULL };
	char *out = NULL;
	int status = -1;

	assert_true(g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
				 &err, &status, NULL));
	/* qemu-io exits 0 on a failed verification; it says so in words. */
	if (strstr(out, "verification failed") || strstr(out, "failed:"))
		status = 1 << 8;
	*ret_out = g_strdup_printf("%s\n%s%s", cmd, out, err);
	g_free(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int sh(const char *fmt, ...)
{
	g_autofree char *out = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = shv(fmt, ap, &out);
	va_end(ap);
	return r;
}

void sh_ok(const char *fmt, ...)
{
	g_autofree char *out = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = shv(fmt, ap, &out);
	va_end(ap);
	if (r)
		fail_msg("status %d of %s", r, out);
}

void make_image(const char *path, const char *format, uint64_t size, const char *options,
	const char *backing, const char *backing_format)
{
	struct image_spec spec = { .size = size, .backing = backing,
				   .backing_format = backing_format };
	const struct image_format *f = format_by_name(format);
	g_autoptr(GError) e = NULL;

	assert_non_null(f);
	if (options && image_spec_parse(&spec, f->create_options, options, &e) < 0)
		fail_msg("%s", e->message);
	if (image_create(path, format, &spec, true, NULL, &e) < 0)
		fail_msg("%s", e->message);
	if (spec.options)
		g_hash_table_unref(spec.options);
}

struct image *open_image(const struct image_options *o)
{
	g_autoptr(GError) e = NULL;
	struct image *im = image_open(o, &e);

	if (!im)
		fail_msg("%s", e->message);
	return im;
}

struct image *open_rw(const char *path, const char *format)
{
	struct image_options o = { .path = path, .format = format };

	return open_image(&o);
}

struct image *open_ro(const char *path, const char *format)
{
	struct image_options o = { .path = path, .format = format, .readonly = true };

	return open_image(&o);
}

static void say(struct image_report *r, bool corruption, const char *line)
{
	print_message("%s: %s\n", corruption ? "corruption" : "leak", line);
}

void check_clean(const char *path, const char *format)
{
	struct image_options o = { .path = path, .format = format, .readonly = true,
				   .for_check = true };
	struct image_report report = { .say = say };
	struct image *im = open_image(&o);
	g_autoptr(GError) e = NULL;

	if (image_check(im, &report, false, &e) < 0)
		fail_msg("%s", e->message);
	image_close(im);
	if (report.corruptions || report.leaks)
		fail_msg("%s: %d corruptions, %d leaks", path, (int)report.corruptions,
			 (int)report.leaks);
}

uint64_t rig_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
