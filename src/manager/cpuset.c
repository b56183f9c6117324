/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpuset.c: sets of host processors. Spec: libvirt.org, Domain XML, cpuset; cpuset(7). */
#include "manager/cpuset.h"

#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <unistd.h>

#include "manager/error.h"

static int number(const char **p, unsigned *ret)
{
	char *end;
	unsigned long v;

	if (!g_ascii_isdigit(**p))
		return -1;
	v = strtoul(*p, &end, 10);
	if (v >= CPU_SETSIZE)
		return -1;
	*ret = (unsigned)v;
	*p = end;
	return 0;
}

/* One "n", "n-m" or "^n". */
static int part(const char **p, cpu_set_t *set)
{
	bool without = **p == '^';
	unsigned first, last;

	*p += without;
	if (number(p, &first) < 0)
		return -1;
	last = first;
	if (**p == '-') {
		++*p;
		if (number(p, &last) < 0 || last < first)
			return -1;
	}
	for (; first <= last; first++) {
		if (without)
			CPU_CLR(first, set);
		else
			CPU_SET(first, set);
	}
	return 0;
}

int cpuset_parse(const char *text, cpu_set_t *ret, GError **error)
{
	const char *p = text;

	CPU_ZERO(ret);
	while (part(&p, ret) == 0) {
		p += strspn(p, " ");
		if (!*p && CPU_COUNT(ret))
			return 0;
		if (*p++ != ',')
			break;
		p += strspn(p, " ");
	}
	return refuse(error, MANAGER_ERR_INVALID_ARG, "'%.64s' is no set of processors", text);
}

char *cpuset_format(const cpu_set_t *set)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		unsigned first = i;

		if (!CPU_ISSET(i, set))
			continue;
		while (i + 1 < CPU_SETSIZE && CPU_ISSET(i + 1, set))
			i++;
		g_string_append_printf(
			s, i > first ? "%s%u-%u" : "%s%u", s->len ? "," : "", first, i);
	}
	return g_string_free(s, FALSE);
}

void cpuset_from_bits(const uint8_t *bits, size_t len, cpu_set_t *ret)
{
	CPU_ZERO(ret);
	for (size_t i = 0; i < len * 8 && i < CPU_SETSIZE; i++) {
		if (bits[i / 8] >> (i % 8) & 1)
			CPU_SET(i, ret);
	}
}

void cpuset_to_bits(const cpu_set_t *set, uint8_t *bits, size_t len)
{
	memset(bits, 0, len);
	for (size_t i = 0; i < len * 8 && i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, set))
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	}
}

void cpuset_online(cpu_set_t *ret)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents("/sys/devices/system/cpu/online", &text, NULL, NULL) &&
		cpuset_parse(g_strstrip(text), ret, NULL) == 0)
		return;
	CPU_ZERO(ret);
	for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++)
		CPU_SET(i, ret);
}
