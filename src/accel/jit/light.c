/* SPDX-License-Identifier: GPL-2.0-or-later */
/* light.c: memory functions in general registers only. */
#include <stdint.h>

void *memset(void *to, int c, size_t n)
{
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	uint8_t *p = to;
	const uint8_t *q = from;

	if ((uintptr_t)to - (uintptr_t)from >= n)
		return memcpy(to, from, n);
	for (size_t i = n; i-- > 0;) {
		p[i] = q[i];
		__asm__ volatile("" : : : "memory"); /* not to become a call of memmove */
	}
	return to;
}
