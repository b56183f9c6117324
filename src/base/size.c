/* SPDX-License-Identifier: GPL-2.0-or-later */
/* size.c: numbers of bytes as people write and read them. */
#include "base/size.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/error.h"

static const char units[] = "KMGTPE";

/* What the suffix multiplies by; 0: it is none. */
static double suffix_factor(const char *s)
{
	const char *unit;
	double base;

	if (!*s || !g_ascii_strcasecmp(s, "B"))
		return 1;
	unit = strchr(units, g_ascii_toupper(*s));
	if (!unit)
		return 0;
	if (!s[1] || !g_ascii_strcasecmp(s + 1, "iB"))
		base = 1024;
	else if (!g_ascii_strcasecmp(s + 1, "B"))
		base = 1000;
	else
		return 0;
	return pow(base, unit - units + 1);
}

int size_parse(const char *text, uint64_t *ret, GError **error)
{
	char *end;
	uint64_t whole;
	double factor, value;

	if (!g_ascii_isdigit(*text))
		goto bad;
	errno = 0;
	whole = g_ascii_strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
	value = *end == '.' ? g_ascii_strtod(text, &end) : (double)whole;
	while (*end == ' ')
		end++;
	factor = suffix_factor(end);
	if (!factor)
		goto bad;
	/* Whole numbers stay exact beyond a double's 53 bits. */
	if (errno == ERANGE || (value == (double)whole ? whole > UINT64_MAX / (uint64_t)factor :
							 !(value * factor < 18446744073709551616.0)))
		return fail(error, LODGE_ERROR_USAGE, "'%s' is more than 16 EiB", text);
	*ret = value == (double)whole ? whole * (uint64_t)factor : (uint64_t)(value * factor + 0.5);
	return 0;
bad:
	return fail(error, LODGE_ERROR_USAGE, "'%s' is no size; write it like 512M, 20G or 1.5T",
		    text);
}

char *size_format(uint64_t bytes)
{
	double v = bytes;
	int unit = -1;

	for (; v >= 999.5 && unit < 5; unit++)
		v /= 1024;
	if (unit < 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
	if (v < 99.95 && fabs(v - rint(v)) > 0.005)
		return g_strdup_printf(v < 9.995 ? "%.2f %ciB" : "%.1f %ciB", v, units[unit]);
	return g_strdup_printf("%.0f %ciB", v, units[unit]);
}
