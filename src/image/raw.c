/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raw.c: the raw format: guest byte n is file byte n. */
#include "image/format.h"

#include "base/error.h"

static int raw_open(struct image *im, const struct image_options *o, GError **error)
{
	int64_t n = file_length(im->file);

	if (n < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -n, "%s: cannot tell its size", im->file->path);
	if (n == 0)
		return fail(error, LODGE_ERROR_FILE,
			"%s: is empty, a disk needs at least 512 bytes; size it with "
			"'truncate -s 20G %s'",
			im->file->path, im->file->path);
	/* An odd tail is padded to a sector: reads as zeroes, grows the file when written. */
	im->size = ((uint64_t)n + 511) & ~511ull;
	im->cluster = 1;
	return 0;
}

static int raw_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	*out = (struct extent){ .file = im->file, .at = off, .len = len };
	return 0;
}

static int raw_fill(struct file *f, uint64_t size, enum image_preallocation how, GError **error)
{
	int r = file_truncate(f, size);

	if (!r && how == IMAGE_PREALLOC_FALLOC)
		r = file_allocate(f, size);
	if (!r && how == IMAGE_PREALLOC_FULL) {
		/* Written, so that later writes change no metadata of the file system. */
		g_autofree void *zeroes = g_malloc0(1 << 20);

		for (uint64_t at = 0; at < size && !r; at += 1 << 20)
			r = file_write(f, at, zeroes, MIN(size - at, 1 << 20));
	}
	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r,
			"%s: cannot make it %" G_GUINT64_FORMAT " bytes large", f->path, size);
	return 0;
}

static int raw_create(struct file *f, const struct image_spec *spec, GError **error)
{
	if (spec->backing)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: a raw image has no backing file", f->path);
	return raw_fill(f, spec->size, spec->preallocation, error);
}

static int raw_resize(
	struct image *im, uint64_t size, const struct image_spec *spec, GError **error)
{
	enum image_preallocation how = spec ? spec->preallocation : IMAGE_PREALLOC_OFF;

	if (how == IMAGE_PREALLOC_FULL)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: full preallocation is for new raw images", im->file->path);
	if (raw_fill(im->file, size, how, error) < 0)
		return -1;
	im->size = (size + 511) & ~511ull;
	return 0;
}

const struct image_format image_format_raw = {
	.name = "raw",
	.help = "the disk's bytes as they are, in a file or block device",
	.suffixes = "raw img",
	.open = raw_open,
	.map = raw_map,
	.create = raw_create,
	.resize = raw_resize,
};
