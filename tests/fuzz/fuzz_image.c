/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_image.c: image files of every format: opened, described, mapped, read and checked, then written to.
 * The first byte chooses the format (so that the corpus keeps what it found for each), the rest is the
 * file. Checksums and magic numbers are put right in part of the inputs.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "image/bitmap.h"
#include "image/file.h"
#include "image/format.h"
#include "image/image.h"
#include "image/snapshot.h"
#include "image/spec.h"
#include "input.h"

enum { FILE_MAX = 8 << 20, PLACES = 24, READ = 70000 };

static struct file *container(const uint8_t *data, size_t n, bool spread)
{
	struct file *f = file_memory_new("fuzz", FILE_MAX);

	/* Tables usually are some way into the file: pieces of the input go there. */
	if (!spread || n < 1024) {
		file_write(f, 0, data, n);
		return f;
	}
	file_write(f, 0, data, 512);
	for (unsigned i = 0; i * 256 + 512 < n; i++)
		file_write(f, i < 4 ? (64u << 10) * (i + 1) : (1u << 20) * (i - 3) % (FILE_MAX - 512),
			data + 512 + i * 256, MIN(256, n - 512 - i * 256));
	return f;
}

static void look(struct image *im, bool write)
{
	static uint8_t buf[READ];
	uint64_t size = image_size(im), off = 0;
	const struct image_snapshot_ops *snapshots = image_snapshots(im);
	const struct image_bitmap_ops *bitmaps = image_bitmaps(im);
	json_t *o = json_object();

	image_info(im, o);
	json_decref(o);
	if (snapshots)
		g_array_unref(snapshots->list(im));
	if (bitmaps)
		g_array_unref(bitmaps->list(im));
	for (unsigned i = 0; i < PLACES && off < size; i++) {
		struct image_run run;
		size_t n = MIN(sizeof(buf), size - off);

		if (image_map(im, off, size - off, &run, NULL) < 0)
			run.len = image_cluster(im);
		image_pread(im, off, buf, n, NULL);
		if (write && i % 3 == 0)
			image_pwrite(im, off, buf, MIN(n, 5000), NULL);
		if (write && i % 5 == 0)
			image_zero(im, off, MIN(n, 40000), true, NULL);
		off += i < PLACES / 2 ? run.len : (size - off) / 2 + 1;
	}
	if (write)
		image_flush(im, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_options o = { .path = "fuzz", .no_backing = true };
	struct image_report report = { 0 };
	unsigned count = 0;
	struct image *im;

	if (size < 2)
		return 0;
	while (image_formats[count])
		count++;
	o.format = image_formats[data[0] % count]->name;
	o.readonly = data[1] & 1;
	o.for_check = data[1] & 2;
	im = image_open_file(container(data + 2, size - 2, data[1] & 4), &o, NULL);
	if (!im)
		return 0;
	look(im, !o.readonly && !o.for_check);
	if (image_size(im) < 1ull << 32)
		image_check(im, &report, !o.readonly, NULL);
	image_close(im);
	return 0;
}
