/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * format.c: LUKS as an image format of its own: a header, then a raw disk, encrypted. It is never
 * guessed from content: guests put LUKS headers on their raw disks all the time.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "image/cipher.h"
#include "image/format.h"
#include "image/luks/luks.h"

struct luks_image {
	struct luks header;
};

static int luks_format_open(struct image *im, const struct image_options *o, GError **error)
{
	struct luks_image *s = im->state;
	int64_t n = file_length(im->file);
	int r = luks_read(im->file, 0, &s->header, error);

	if (r < 0)
		return -1;
	if (n < 0 || (uint64_t)n < s->header.payload)
		return fail(error, LODGE_ERROR_FILE, "%s: ends before its payload begins",
			im->file->path);
	im->size = (uint64_t)n - s->header.payload;
	if (s->header.payload_size && s->header.payload_size < im->size)
		im->size = s->header.payload_size;
	im->size -= im->size % s->header.sector;
	im->cluster = 1;
	if (o->for_check && !o->secret)
		return 0;
	if (!o->secret)
		return fail(error, LODGE_ERROR_USAGE, "%s: is encrypted; give its secret",
			im->file->path);
	im->cipher = luks_open_cipher(im->file, 0, o->secret, UINT64_MAX, &s->header, error);
	return im->cipher ? 0 : -1;
}

static int luks_map(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	const struct luks_image *s = im->state;

	*out = (struct extent){
		.kind = EXTENT_DATA, .file = im->file, .at = s->header.payload + off, .len = len
	};
	return 0;
}

static int luks_flush(struct image *im)
{
	im->dirty = false;
	return file_sync(im->file);
}

static int luks_format_create(struct file *f, const struct image_spec *spec, GError **error)
{
	int r;

	if (spec->backing)
		return fail(error, LODGE_ERROR_USAGE, "%s: a LUKS container has no backing file",
			f->path);
	if (!spec->secret)
		return fail(error, LODGE_ERROR_USAGE, "%s: give the passphrase (--secret-file)",
			f->path);
	r = file_truncate(f, LUKS_HEADER_SIZE + spec->size);
	if (!r && spec->preallocation >= IMAGE_PREALLOC_FALLOC)
		r = file_allocate(f, LUKS_HEADER_SIZE + spec->size);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path)
		     : luks_create(f, 0, spec->secret, error);
}

static int luks_resize(
	struct image *im, uint64_t size, const struct image_spec *spec, GError **error)
{
	const struct luks_image *s = im->state;
	int r = s->header.payload_size ? -EINVAL
				       : file_truncate(im->file, s->header.payload + size);

	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot change its size", im->file->path);
	im->size = size;
	return 0;
}

static void luks_info(struct image *im, json_t *object)
{
	const struct luks *l = &((struct luks_image *)im->state)->header;
	int used = 0;

	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		used += l->slot[i].used;
	json_object_set_new(object, "version", json_integer(l->version));
	json_object_set_new(object, "uuid", json_string(l->uuid));
	json_object_set_new(object, "cipher", json_string(l->encryption));
	json_object_set_new(object, "payload_offset", json_integer((json_int_t)l->payload));
	json_object_set_new(object, "slots_used", json_integer(used));
}

const struct image_format image_format_luks = {
	.name = "luks",
	.help = "an encrypted raw disk behind a LUKS header",
	.suffixes = "luks",
	.state_size = sizeof(struct luks_image),
	.open = luks_format_open,
	.map = luks_map,
	.flush = luks_flush,
	.create = luks_format_create,
	.resize = luks_resize,
	.info = luks_info,
};
