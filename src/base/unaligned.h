/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unaligned.h: integers that may stand at any address and alias anything: guest memory. On the hosts
 * we run on, an access to one is a single instruction, which is what guests rely on.
 */
#ifndef BASE_UNALIGNED_H
#define BASE_UNALIGNED_H

#include <stdint.h>

typedef uint16_t unaligned_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t unaligned_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t unaligned_u64 __attribute__((aligned(1), may_alias));

#endif
