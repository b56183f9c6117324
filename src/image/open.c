/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * open.c: opening images: which format, which files below. An image is data somebody else may have
 * written, so the names in it are followed only as far as its user said (CVE-2026-27211 was an
 * image that named /etc/shadow as its backing file and was read by the guest).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "image/cipher.h"
#include "image/engine.h"
#include "image/throttle.h"

enum { QUEUES_MAX = 256, CHAIN_MAX = 200 };

static int choose_format(struct image *im, const char *name, GError **error)
{
	uint8_t head[IMAGE_HEAD];
	ssize_t n;

	if (name) {
		im->format = format_by_name(name);
		if (!im->format)
			return fail(error, LODGE_ERROR_USAGE,
				"%s: no image format is called '%s'; try 'raw' or 'qcow2'",
				im->file->path, name);
	} else {
		n = file_read(im->file, 0, head, sizeof(head));
		if (n < 0)
			return fail_errno(
				error, LODGE_ERROR_FILE, -n, "%s: cannot read it", im->file->path);
		im->format = format_probe(head, n);
		im->probed_raw = im->format == &image_format_raw;
	}
	if (!im->format->open)
		return fail(error, LODGE_ERROR_FILE,
			"%s: is a %s image, which is not supported yet; convert it with "
			"'qemu-img convert -O raw'%s",
			im->file->path, im->format->name,
			name ? "" : " (or say format=raw if its bytes are meant as they are)");
	if (!im->readonly && im->format != &image_format_raw && !im->format->alloc &&
		!im->format->commit && !im->format->flush)
		return fail(error, LODGE_ERROR_FILE,
			"%s: %s images can only be read; open it with readonly=on", im->file->path,
			im->format->name);
	return 0;
}

/* ---- names in images ---- */

static bool below(const char *path, const char *dir)
{
	g_autofree char *real = realpath(dir, NULL);
	size_t n;

	if (!real)
		return false;
	n = strlen(real);
	while (n && real[n - 1] == '/')
		n--;
	return !strncmp(path, real, n) && path[n] == '/';
}

static bool url_allowed(const char *url, const struct image_options *o)
{
	for (unsigned i = 0; o->backing_dirs && o->backing_dirs[i]; i++) {
		if (file_is_url(o->backing_dirs[i]) && g_str_has_prefix(url, o->backing_dirs[i]))
			return true;
	}
	return false;
}

/* path is canonical. */
static bool path_allowed(const char *path, const struct image_options *o)
{
	g_autofree char *top = realpath(o->path, NULL), *dir = top ? g_path_get_dirname(top) : NULL;

	if (dir && below(path, dir))
		return true;
	for (unsigned i = 0; o->backing_dirs && o->backing_dirs[i]; i++) {
		if (below(path, o->backing_dirs[i]))
			return true;
	}
	return false;
}

/* Where the file `name` of the image at `from` is, or NULL with error. */
static char *resolve(
	const char *from, const char *name, const struct image_options *o, GError **error)
{
	g_autofree char *dir = NULL, *real_from = NULL, *path = NULL;
	char *real;

	if (file_is_url(name)) {
		if (url_allowed(name, o))
			return g_strdup(name);
		fail(error, LODGE_ERROR_FILE,
			"%s: names %s, which is not among the places its files may be in; allow it "
			"if "
			"you trust the image",
			from, name);
		return NULL;
	}
	if (g_str_has_prefix(name, "json:")) {
		fail(error, LODGE_ERROR_FILE,
			"%s: names a file by QEMU options (%s); rebase it to a "
			"plain path first",
			from, name);
		return NULL;
	}
	if (g_str_has_prefix(name, "file:"))
		name += 5;
	real_from = realpath(from, NULL);
	dir = g_path_get_dirname(real_from ? real_from : from);
	path = g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(dir, name, NULL);
	real = realpath(path, NULL);
	if (!real) {
		fail_errno(error, LODGE_ERROR_FILE, errno, "%s: needs %s", from, path);
		return NULL;
	}
	if (!path_allowed(real, o)) {
		fail(error, LODGE_ERROR_FILE,
			"%s: names %s, which is outside the folders its files may be in; allow "
			"that "
			"folder (backing-dir) if you trust the image",
			from, real);
		g_clear_pointer(&real, free);
	}
	return real;
}

struct file *image_open_file_of(struct image *im, const struct image_options *o, const char *name,
	bool readonly, GError **error)
{
	g_autofree char *path = resolve(im->file->path, name, o, error);
	struct file_options fo = {
		.path = path,
		.readonly = readonly,
		.direct = o->direct,
		.no_lock = o->no_lock,
	};
	struct file *f = path ? file_open(&fo, error) : NULL;

	if (!f)
		return NULL;
	im->files.file = g_renew(struct file *, im->files.file, im->files.count + 1);
	im->files.file[im->files.count++] = f;
	return f;
}

/* ---- the chain ---- */

struct opening {
	const struct image_options *top; /* what the user asked for */
	GPtrArray *seen;                 /* char *: canonical paths from the top down */
};

static struct image *open_layer(
	struct file *f, const struct image_options *o, struct opening *all, GError **error);

static bool contains(GPtrArray *paths, const char *path)
{
	for (unsigned i = 0; i < paths->len; i++) {
		if (!strcmp(paths->pdata[i], path))
			return true;
	}
	return false;
}

static int open_backing(struct image *im, struct opening *all, GError **error)
{
	const char *format = im->backing_format;
	g_autofree char *path = NULL;
	struct image_options o = *all->top;

	if (!im->backing_path || all->top->no_backing || all->top->for_check)
		return 0;
	if (!format && all->seen->len == 1)
		format = all->top->backing_format;
	if (!format)
		return fail(error, LODGE_ERROR_FILE,
			"%s: does not say in which format its backing file %s is, and guessing is "
			"not safe; write it down with 'lodge image rebase -u -b %s -F FORMAT %s'",
			im->file->path, im->backing_path, im->backing_path, im->file->path);
	path = resolve(im->file->path, im->backing_path, all->top, error);
	if (!path)
		return -1;
	if (contains(all->seen, path))
		return fail(error, LODGE_ERROR_FILE,
			"%s: its backing file %s is (by way of others) backed by itself",
			im->file->path, path);
	if (all->seen->len >= CHAIN_MAX)
		return fail(error, LODGE_ERROR_FILE, "%s: more than %d images stand on each other",
			im->file->path, CHAIN_MAX);
	g_ptr_array_add(all->seen, g_strdup(path));
	o.path = path;
	o.format = format;
	o.readonly = true;
	o.queues = 0;
	im->backing = open_layer(NULL, &o, all, error);
	if (!im->backing)
		g_prefix_error(error, "%s: its backing file: ", im->file->path);
	return im->backing ? 0 : -1;
}

static struct image *image_new(const struct image_options *o)
{
	struct image *im = g_new0(struct image, 1);

	g_mutex_init(&im->meta_lock);
	g_mutex_init(&im->range_lock);
	g_cond_init(&im->range_free);
	g_rw_lock_init(&im->trackers_lock);
	im->throttle = g_new0(struct throttle, 1);
	g_mutex_init(&im->throttle->lock);
	im->readonly = o->readonly;
	im->threads = o->threads;
	im->queue_count = MAX(o->queues, 1);
	im->queues = g_new0(struct image_queue *, im->queue_count);
	return im;
}

/* f: the container, or NULL to open o->path; borrowed: it stays the caller's. */
static struct image *open_in(struct file *f, bool borrowed, const struct image_options *o,
	struct opening *all, GError **error)
{
	struct file_options fo = {
		.path = o->path,
		.readonly = o->readonly,
		.direct = o->direct,
		.no_lock = o->no_lock,
	};
	/* The rules for names in images are those of the image at the top. */
	struct image_options rules = *o;
	struct image *im = image_new(o);

	rules.path = all->top->path;
	im->borrowed = borrowed;
	im->file = f ? f : file_open(&fo, error);
	if (!im->file || choose_format(im, o->format, error) < 0)
		goto failed;
	im->state = g_malloc0(MAX(im->format->state_size, 1));
	if (im->format->open(im, &rules, error) < 0)
		goto failed;
	im->unit = im->unit ? im->unit : im->cluster;
	im->file->no_sync = o->no_sync;
	for (unsigned i = 0; i < im->files.count; i++)
		im->files.file[i]->no_sync = o->no_sync;
	if (open_backing(im, all, error) < 0)
		goto failed;
	return im;
failed:
	image_close(im);
	return NULL;
}

static struct image *open_layer(
	struct file *f, const struct image_options *o, struct opening *all, GError **error)
{
	return open_in(f, false, o, all, error);
}

struct image *image_open_borrowed(struct file *f, const struct image_options *o, GError **error)
{
	struct opening all = { .top = o };

	return open_in(f, true, o, &all, error);
}

struct image *image_open_file(struct file *f, const struct image_options *o, GError **error)
{
	g_autofree char *real = realpath(o->path ? o->path : "", NULL);
	struct opening all = { .top = o };
	struct image *im = NULL;

	all.seen = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(all.seen, g_strdup(real ? real : o->path ? o->path : ""));
	if (o->no_lock && !o->readonly)
		fail(error, LODGE_ERROR_USAGE, "%s: writing without a lock is refused", o->path);
	else if (o->queues > QUEUES_MAX)
		fail(error, LODGE_ERROR_USAGE, "%s: %u queues, at most %d are possible", o->path,
			o->queues, QUEUES_MAX);
	else
		im = open_layer(g_steal_pointer(&f), o, &all, error);
	file_close(f);
	g_ptr_array_unref(all.seen);
	if (im && im->probed_raw && !im->readonly)
		log_warn("%s: taken for a raw disk by its content; say format=raw to make sure",
			im->file->path);
	return im;
}

struct image *image_open(const struct image_options *o, GError **error)
{
	return image_open_file(NULL, o, error);
}

void image_close(struct image *im)
{
	int r = 0;

	if (!im)
		return;
	for (unsigned i = 0; i < im->queue_count; i++) {
		if (im->queues[i])
			queue_drain(im->queues[i]);
		queue_free(im->queues[i]);
	}
	if (im->file && im->state && !im->readonly)
		r = engine_flush(im);
	if (r < 0)
		log_warn("%s: the last flush failed: %s", im->file->path, g_strerror(-r));
	if (im->state && im->format->close)
		im->format->close(im);
	if (im->cipher)
		im->cipher->free(im->cipher);
	image_close(im->backing);
	for (unsigned i = 0; i < im->files.count; i++)
		file_close(im->files.file[i]);
	if (!im->borrowed)
		file_close(im->file);
	packed_free(im->packed);
	g_mutex_clear(&im->meta_lock);
	g_mutex_clear(&im->range_lock);
	g_cond_clear(&im->range_free);
	g_rw_lock_clear(&im->trackers_lock);
	g_mutex_clear(&im->throttle->lock);
	g_free(im->throttle);
	g_free(im->files.file);
	g_free(im->backing_path);
	g_free(im->backing_format);
	g_free(im->state);
	g_free(im->queues);
	g_free(im);
}

/* ---- making images ---- */

/* Looks at what will be below: allowed, of that format, and how large. */
static int look_below(const char *path, const struct image_spec *spec,
	const struct image_options *user, uint64_t *ret_size, GError **error)
{
	struct image_options rules = user ? *user : (struct image_options){ 0 };
	struct image_options o = {
		.format = spec->backing_format, .readonly = true, .no_lock = true
	};
	g_autofree char *whole = NULL;
	struct image *im;

	if (!spec->backing_format)
		return fail(error, LODGE_ERROR_USAGE, "%s: say in which format the backing file is",
			path);
	/* The person who makes the image names the file: that is the permission. */
	rules.path = path;
	if (file_is_url(spec->backing)) {
		whole = g_strdup(spec->backing);
	} else {
		g_autofree char *dir = g_path_get_dirname(path);

		whole = g_path_is_absolute(spec->backing)
				? g_strdup(spec->backing)
				: g_build_filename(dir, spec->backing, NULL);
	}
	o.path = whole;
	o.backing_dirs = rules.backing_dirs;
	o.secret = rules.secret;
	o.no_backing = true; /* what that one stands on is looked at when it is read */
	im = image_open(&o, error);
	if (!im) {
		g_prefix_error(error, "%s: its backing file: ", path);
		return -1;
	}
	*ret_size = im->size;
	image_close(im);
	return 0;
}

int image_create(const char *path, const char *format, const struct image_spec *spec,
	bool overwrite, const struct image_options *o, GError **error)
{
	const struct image_format *f = format_by_name(format);
	struct file_options fo = { .path = path, .create = true, .overwrite = overwrite };
	struct image_spec s = *spec;
	struct file *file;
	uint64_t below_size = 0;
	bool regular;
	int r;

	if (!f || !f->create)
		return fail(error, LODGE_ERROR_USAGE,
			f ? "%s: %s images cannot be made" : "%s: no image format is called '%s'",
			path, format);
	if (s.backing && look_below(path, spec, o, &below_size, error) < 0)
		return -1;
	s.size = s.size ? s.size : below_size;
	if (!s.size || s.size > INT64_MAX - 511)
		return fail(error, LODGE_ERROR_USAGE, "%s: say how large the disk is to be", path);
	s.size = (s.size + 511) & ~511ull;
	file = file_open(&fo, error);
	if (!file)
		return -1;
	regular = file->fd >= 0 && !file->block;
	r = f->create(file, &s, error);
	if (!r) {
		int err = file_sync(file);

		if (err < 0)
			r = fail_errno(error, LODGE_ERROR_FILE, -err, "%s", path);
	}
	if (r < 0 && regular)
		remove(path);
	file_close(file);
	return r;
}
