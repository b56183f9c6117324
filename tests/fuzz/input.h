/* SPDX-License-Identifier: GPL-2.0-or-later */
/* input.h: a fuzzer's bytes read as numbers; at the end everything is zero. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *p;
	size_t left;
};

static inline bool in_more(const struct input *in)
{
	return in->left > 0;
}

static inline uint64_t in_get(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	size_t n = MIN(bytes, in->left);

	memcpy(&v, in->p, n);
	in->p += n;
	in->left -= n;
	return v;
}

static inline size_t in_bytes(struct input *in, void *to, size_t n)
{
	n = MIN(n, in->left);
	memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
