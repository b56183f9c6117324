/* SPDX-License-Identifier: GPL-2.0-or-later */
/* live.c: changing what an image is while somebody uses it: layers, size. */
#include <string.h>

#include "base/error.h"
#include "image/cipher.h"
#include "image/job_priv.h"

#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) swap_ = (a);                                                         \
		(a) = (b);                                                                         \
		(b) = swap_;                                                                       \
	} while (0)

static void moved(struct image *im)
{
	if (im->format->moved)
		im->format->moved(im);
}

void image_swap(struct image *a, struct image *b)
{
	bool dirty = atomic_load(&a->dirty);

	SWAP(a->format, b->format);
	SWAP(a->file, b->file);
	SWAP(a->files, b->files);
	SWAP(a->state, b->state);
	SWAP(a->size, b->size);
	SWAP(a->cluster, b->cluster);
	SWAP(a->unit, b->unit);
	SWAP(a->backing_path, b->backing_path);
	SWAP(a->backing_format, b->backing_format);
	SWAP(a->backing, b->backing);
	SWAP(a->cipher, b->cipher);
	SWAP(a->readonly, b->readonly);
	SWAP(a->borrowed, b->borrowed);
	SWAP(a->probed_raw, b->probed_raw);
	SWAP(a->packed, b->packed);
	atomic_store(&a->dirty, atomic_load(&b->dirty));
	atomic_store(&b->dirty, dirty);
	/* Tokens of the grace periods go with the tables; nothing is in flight in either. */
	atomic_store(&a->epoch, MAX(atomic_load(&a->epoch), atomic_load(&b->epoch)));
	atomic_store(&b->epoch, atomic_load(&a->epoch));
	moved(a);
	moved(b);
	/* A chain of two: who was below is on top now. */
	if (b->backing == b)
		b->backing = a;
	if (a->backing == a)
		a->backing = b;
}

int image_snapshot_overlay(struct image *im, const char *path, const char *format, GError **error)
{
	g_autofree char *below = NULL;
	struct image_spec spec = { .size = im->size, .backing_format = im->format->name };
	struct image_options o = { .path = path,
		.format = format,
		.no_backing = true,
		.direct = im->file->direct_fd >= 0 };
	struct image *overlay;

	below = g_canonicalize_filename(im->file->path, NULL);
	spec.backing = below;
	if (image_create(path, format, &spec, false, NULL, error) < 0)
		return -1;
	overlay = image_open(&o, error);
	if (!overlay) {
		remove(path);
		return -1;
	}
	image_pause(im);
	if (image_flush(im, error) < 0) {
		image_resume(im);
		image_close(overlay);
		remove(path);
		return -1;
	}
	image_swap(im, overlay);
	im->backing = overlay;
	overlay->readonly = true;
	image_resume(im);
	return 0;
}

int image_resize_live(struct image *im, uint64_t size, GError **error)
{
	int r;

	if (atomic_load(&im->jobs))
		return fail(error, LODGE_ERROR_USAGE, "%s: has a job; its size cannot change now",
			im->file->path);
	image_pause(im);
	r = image_resize(im, size, NULL, error);
	image_resume(im);
	return r;
}
