/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * formats.c: the table of image formats. Formats without open() are recognised only, so that their
 * images are refused by name instead of being handed to a guest as raw bytes.
 */
#include "image/format.h"

#include <string.h>

/* LUKS has no probe on purpose: guests put LUKS headers on their raw disks all the time. */
const struct image_format *const image_formats[] = {
	&image_format_raw,
	&image_format_qcow2,
	&image_format_vmdk,
	&image_format_vdi,
	&image_format_vhd,
	&image_format_vhdx,
	&image_format_luks,
	&image_format_qcow1,
	&image_format_qed,
	&image_format_parallels,
	&image_format_bochs,
	&image_format_cloop,
	&image_format_dmg,
	NULL,
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
