/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.h: numbers of bytes as people write and read them. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <glib.h>
#include <stdint.h>

/*
 * "512", "20G", "1.5T", "64KiB", "10MB": k, M, G, T, P, E in either case, alone or with iB, count in
 * 1024s; with B alone in 1000s, as on a disk's label. 0, or -1 with LODGE_ERROR_USAGE.
 */
int size_parse(const char *text, uint64_t *ret, GError **error);
/* "20 GiB", "1.5 TiB", "512 B": three digits at most behind which the unit stands. Free with g_free. */
char *size_format(uint64_t bytes);

#endif
