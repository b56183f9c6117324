/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raw.c: the raw format: guest byte n is file byte n. */
#include "image/format.h"

#include "base/error.h"

static int raw_open(struct image *im, const struct image_options *o, GError **error)
{
	int64_t n = file_length(im->file);

	if (n < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -n, "%s: cannot tell its size",
				  im->file->path);
	if (n == 0)
		return fail(error, LODGE_ERROR_FILE,
			    "%s: is empty, a disk needs at least 512 bytes; size it with "
			    "'truncate -s 20G %s'",
			    im->file->path, im->file->path);
	/* An odd tail is padded to a sector: reads as zeroes, grows the file when written. */
	im->size = ((uint64_t)n + 511) & ~511ull;
	return 0;
}

static int raw_map(struct image *im, uint64_t off, uint64_t len, unsigned flags,
	struct extent *out)
{
	*out = (struct extent){ .file = im->file, .at = off, .len = len };
	return 0;
}

const struct image_format image_format_raw = {
	.name = "raw",
	.open = raw_open,
	.map = raw_map,
};
