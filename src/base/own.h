/* SPDX-License-Identifier: GPL-2.0-or-later */
/* own.h: from a member to the struct that holds it. */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#include <stddef.h>

#define container_of(ptr, type, member)                                                            \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#define array_len(a) (sizeof(a) / sizeof((a)[0]))

#endif
