/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bytes.h: integers of a stated byte order in byte arrays: image files, wire formats. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_CODEC(order, bits)                                                                   \
	static inline uint##bits##_t load_##order##bits(const void *p)                             \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
                                                                                                   \
		memcpy(&v, p, sizeof(v));                                                          \
		return order##bits##toh(v);                                                        \
	}                                                                                          \
	static inline void store_##order##bits(void *p, uint##bits##_t v)                          \
	{                                                                                          \
		v = hto##order##bits(v);                                                           \
		memcpy(p, &v, sizeof(v));                                                          \
	}

BYTES_CODEC(be, 16)
BYTES_CODEC(be, 32)
BYTES_CODEC(be, 64)
BYTES_CODEC(le, 16)
BYTES_CODEC(le, 32)
BYTES_CODEC(le, 64)

#endif
