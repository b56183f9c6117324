/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * formats.c: the table of image formats. Formats without open() are recognised only, so that their
 * images are refused by name instead of being handed to a guest as raw bytes.
 */
#include "image/format.h"

#include <string.h>

static int magic(const uint8_t *head, size_t n, size_t at, const void *want, size_t len)
{
	return n >= at + len && !memcmp(head + at, want, len) ? 100 : 0;
}

static int probe_qcow1(const uint8_t *head, size_t n)
{
	return magic(head, n, 0, "QFI\xfb\0\0\0\1", 8);
}

static int probe_qed(const uint8_t *head, size_t n)
{
	return magic(head, n, 0, "QED\0", 4);
}

static int probe_parallels(const uint8_t *head, size_t n)
{
	return MAX(magic(head, n, 0, "WithoutFreeSpace", 16), magic(head, n, 0, "WithouFreSpacExt", 16));
}

static const struct image_format qcow1 = { .name = "qcow", .probe = probe_qcow1 };
static const struct image_format qed = { .name = "qed", .probe = probe_qed };
static const struct image_format parallels = { .name = "parallels", .probe = probe_parallels };

/* LUKS is left out on purpose: guests put LUKS headers on their raw disks all the time. */
const struct image_format *const image_formats[] = {
	&image_format_raw, &image_format_qcow2, &qcow1, &image_format_vmdk, &image_format_vdi, &image_format_vhd,
	&image_format_vhdx, &image_format_luks, &qed, &parallels, NULL,
};

const struct image_format *format_by_name(const char *name)
{
	for (unsigned i = 0; image_formats[i]; i++) {
		if (!strcmp(image_formats[i]->name, name))
			return image_formats[i];
	}
	return NULL;
}

const struct image_format *format_probe(const uint8_t *head, size_t n)
{
	const struct image_format *best = &image_format_raw;
	int score = 0;

	for (unsigned i = 0; image_formats[i]; i++) {
		int s = image_formats[i]->probe ? image_formats[i]->probe(head, n) : 0;

		if (s > score) {
			score = s;
			best = image_formats[i];
		}
	}
	return best;
}
