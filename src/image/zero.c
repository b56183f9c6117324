/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zero.c: finds zeroes in buffers, as fast as memory can be read. */
#include <stdint.h>
#include <string.h>

#include "image/convert.h"

typedef uint64_t vec __attribute__((vector_size(64), aligned(1), may_alias));

bool bytes_are_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t i = 0;

	/* Most data tell at once. */
	if (n && (b[0] | b[n - 1] | b[n / 2]))
		return false;
	for (; i + 256 <= n; i += 256) {
		const vec *v = (const vec *)(b + i);
		vec any = v[0] | v[1] | v[2] | v[3];

		if (any[0] | any[1] | any[2] | any[3] | any[4] | any[5] | any[6] | any[7])
			return false;
	}
	for (; i < n; i++) {
		if (b[i])
			return false;
	}
	return true;
}

size_t zero_run(const uint8_t *buf, size_t n, size_t step, bool *ret_zero)
{
	bool zero = bytes_are_zero(buf, MIN(step, n));
	size_t at = MIN(step, n);

	while (at < n && bytes_are_zero(buf + at, MIN(step, n - at)) == zero)
		at += MIN(step, n - at);
	*ret_zero = zero;
	return at;
}
