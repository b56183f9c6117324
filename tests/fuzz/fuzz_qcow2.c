/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_qcow2.c: libFuzzer target: a right image of some kind (the first byte chooses it) is patched
 * (the second byte says how often: offset, width, value), opened, worked on, checked, repaired, and
 * opened again. With the first byte's top bit set the input is the image itself.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/bitmap.h"
#include "image/format.h"
#include "image/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = 6, DISK = 1 << 20, CAP = 16 << 20, WORK = 65536 };

static const char *const kinds[KINDS] = {
	"cluster_size=4K", "compat=0.10,cluster_size=4K", "extended_l2=on,cluster_size=16K",
	"cluster_size=512,refcount_bits=1", "cluster_size=512,refcount_bits=64",
	"compression_type=zstd,cluster_size=4K",
};

static struct image *open_it(struct file *f, bool readonly, bool check)
{
	struct image_options o = { .path = "fuzzed", .format = "qcow2", .readonly = readonly,
				   .for_check = check, .no_backing = true, .cache = WORK };

	return image_open_borrowed(f, &o, NULL);
}

/* With data, a packed cluster, a zero cluster, a snapshot, a bitmap, as far as the kind has them. */
static GByteArray *make(const char *options)
{
	struct file *f = file_memory_new("seed", CAP);
	struct image_spec spec = { .size = DISK };
	struct image_snapshot sn = { .name = "s", .vm_state_size = 100 };
	struct image_bitmap bm = { .name = "b", .granularity = 4096, .enabled = true };
	g_autofree uint8_t *buf = g_malloc0(WORK);
	GByteArray *out = g_byte_array_new();
	struct image *im;

	image_spec_parse(&spec, image_format_qcow2.create_options, options, NULL);
	image_format_qcow2.create(f, &spec, NULL);
	im = open_it(f, false, false);
	memset(buf, 1, WORK);
	image_pwrite(im, 3000, buf, 30000, NULL);
	image_pwrite_packed(im, 65536, buf, WORK, NULL);
	image_zero(im, 0, 8192, false, NULL);
	image_vmstate_pwrite(im, 0, buf, 100, NULL);
	image_snapshots(im)->create(im, &sn, NULL);
	image_bitmaps(im)->add(im, &bm, NULL);
	image_pwrite(im, 10000, buf, 9000, NULL);
	image_close(im);
	g_byte_array_set_size(out, file_length(f));
	file_read(f, 0, out->data, out->len);
	file_close(f);
	g_hash_table_unref(spec.options);
	return out;
}

static void patch(struct file *f, const uint8_t **data, size_t *size, unsigned n)
{
	uint64_t length = file_length(f);

	for (; n && *size >= 11 && length > 8; n--, *data += 11, *size -= 11) {
		uint32_t at = (*data)[0] | (*data)[1] << 8 | (*data)[2] << 16;

		/* Often in the header, where most is decided. */
		file_write(f, at % ((*data)[2] & 1 ? length - 8 : 120), *data + 3,
			   1 + ((*data)[2] >> 5));
	}
}

static void work(struct image *im, const uint8_t *data, size_t size)
{
	g_autofree uint8_t *buf = g_malloc0(WORK);
	uint64_t disk = image_size(im);

	for (unsigned n = 0; n < 32 && size >= 4; n++, data += 4, size -= 4) {
		uint64_t len = 512 * (1 + data[1] % 128), off;

		if (len > disk)
			break;
		off = (data[2] | data[3] << 8) * 512ull % (disk - len + 1);
		switch (data[0] % 10) {
		case 0:
		case 1:
			image_pread(im, off, buf, len, NULL);
			break;
		case 2:
		case 3:
			image_pwrite(im, off, buf, len, NULL);
			break;
		case 4:
			image_zero(im, off, len, data[0] & 16, NULL);
			break;
		case 5:
			image_discard(im, off, len, NULL);
			break;
		case 6:
			image_flush(im, NULL);
			break;
		case 7:
			image_snapshots(im)->apply(im, data[0] & 16 ? "s" : "1", NULL);
			disk = image_size(im);
			break;
		case 8:
			image_snapshots(im)->remove(im, "s", NULL);
			break;
		default:
			image_resize(im, (1 + data[1]) * 65536ull, NULL, NULL);
			disk = image_size(im);
			break;
		}
	}
}

static void check(struct file *f, bool repair)
{
	struct image *im = open_it(f, !repair, true);
	struct image_report report = { 0 };

	if (!im)
		return;
	image_check(im, &report, repair, NULL);
	image_close(im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static GByteArray *seed[KINDS];
	struct file *f;
	struct image *im;

	if (size < 2)
		return 0;
	f = file_memory_new("fuzzed", CAP);
	if (data[0] & 0x80) {
		file_write(f, 0, data + 1, size - 1);
	} else {
		unsigned kind = data[0] % KINDS, patches = data[1] % 32;

		if (!seed[kind])
			seed[kind] = make(kinds[kind]);
		file_write(f, 0, seed[kind]->data, seed[kind]->len);
		data += 2;
		size -= 2;
		patch(f, &data, &size, patches);
	}
	check(f, false);
	im = open_it(f, false, false);
	if (im) {
		work(im, data, size);
		image_close(im);
	}
	check(f, true);
	im = open_it(f, true, false);
	if (im) {
		work(im, data, size);
		image_close(im);
	}
	file_close(f);
	return 0;
}
