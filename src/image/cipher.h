/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cipher.h: sector encryption below an image format. The engine calls it on bounce buffers for
 * every DATA extent of an image that has a cipher; any thread, several at a time.
 */
#ifndef IMAGE_CIPHER_H
#define IMAGE_CIPHER_H

#include <stddef.h>
#include <stdint.h>

struct image_cipher {
	/* In place, n a multiple of sector; `off` counts as the format wants it: see `by_guest`. */
	void (*decrypt)(struct image_cipher *c, uint64_t off, void *buf, size_t n);
	void (*encrypt)(struct image_cipher *c, uint64_t off, void *buf, size_t n);
	void (*free)(struct image_cipher *c);
	uint32_t sector; /* bytes */
	int by_guest;    /* 1: off is the guest's offset (old AES); 0: the offset in the file */
};

#endif
