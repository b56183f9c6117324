/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * light.h: included before everything else in sources that run below translated code. The C
 * library's memory functions use vector registers, which hold the guest's then: these sources get
 * others.
 */
#ifndef ACCEL_JIT_LIGHT_H
#define ACCEL_JIT_LIGHT_H

#include <stddef.h>

void *memset(void *to, int c, size_t n) __asm__("light_memset");
void *memcpy(void *restrict to, const void *restrict from, size_t n) __asm__("light_memcpy");
void *memmove(void *to, const void *from, size_t n) __asm__("light_memmove");

#endif
