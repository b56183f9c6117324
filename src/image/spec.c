/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec.c: "-o name=value" options of image formats, checked against the format's table. */
#include "image/spec.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"

const char *const image_preallocation_names[] = { "off", "metadata", "falloc", "full", NULL };

static const char *const truths[] = { "on", "yes", "true" };
static const char *const lies[] = { "off", "no", "false" };

static bool one_of(const char *text, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(text, words[i]))
			return true;
	}
	return false;
}

int image_parse_size(const char *text, uint64_t *ret, GError **error)
{
	static const char units[] = "kmgtpe";
	char *end;
	double value = g_ascii_strtod(text, &end), limit = ldexp(1, 63);
	const char *unit = *end ? strchr(units, g_ascii_tolower(*end)) : NULL;
	int shift = unit ? 10 * (int)(unit - units + 1) : 0;

	if (unit)
		end++;
	else if (*end == 'b' || *end == 'B')
		end++;
	if (unit && !g_ascii_strcasecmp(end, "ib"))
		end += 2;
	if (end == text || *end || !(value >= 0) || ldexp(value, shift) >= limit)
		return fail(error, LODGE_ERROR_USAGE,
			"'%s' is no size; write bytes or a number with K, M, G or T", text);
	/* Plain integers need all their digits. */
	*ret = shift || strpbrk(text, ".eE") ? (uint64_t)ldexp(value, shift)
					     : g_ascii_strtoull(text, NULL, 10);
	return 0;
}

static const struct image_option_def *find(const struct image_option_def *defs, const char *name)
{
	for (; defs && defs->name; defs++) {
		if (!strcmp(defs->name, name))
			return defs;
	}
	return NULL;
}

static int unknown_option(const struct image_option_def *defs, const char *name, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	nearest_init(&near, name);
	for (; defs && defs->name; defs++)
		nearest_offer(&near, defs->name);
	hint = nearest_hint(&near);
	return fail(error, LODGE_ERROR_USAGE, "the format has no option '%s'%s", name, hint);
}

static int check_value(const struct image_option_def *d, const char *value, GError **error)
{
	uint64_t size;

	switch (d->kind) {
	case IMAGE_OPT_SIZE:
		if (image_parse_size(value, &size, error) < 0) {
			g_prefix_error(error, "%s: ", d->name);
			return -1;
		}
		return 0;
	case IMAGE_OPT_BOOL:
		if (one_of(value, truths, G_N_ELEMENTS(truths)) ||
			one_of(value, lies, G_N_ELEMENTS(lies)))
			return 0;
		return fail(error, LODGE_ERROR_USAGE, "%s is on or off, not '%s'", d->name, value);
	case IMAGE_OPT_ENUM: {
		g_autofree char *all = g_strjoinv(", ", (char **)d->choices);

		if (g_strv_contains(d->choices, value))
			return 0;
		return fail(error, LODGE_ERROR_USAGE, "%s cannot be '%s'; there are %s", d->name,
			value, all);
	}
	case IMAGE_OPT_STRING: return 0;
	}
	return 0;
}

static enum image_preallocation preallocation_of(const char *text)
{
	for (int i = 0; image_preallocation_names[i]; i++) {
		if (!strcmp(image_preallocation_names[i], text))
			return i;
	}
	return IMAGE_PREALLOC_OFF;
}

int image_spec_set(struct image_spec *s, const struct image_option_def *defs, const char *name,
	const char *value, GError **error)
{
	const struct image_option_def *d = find(defs, name);

	if (!d)
		return unknown_option(defs, name, error);
	if (check_value(d, value, error) < 0)
		return -1;
	if (!s->options)
		s->options = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_hash_table_replace(s->options, g_strdup(name), g_strdup(value));
	if (!strcmp(name, "preallocation"))
		s->preallocation = preallocation_of(value);
	return 0;
}

int image_spec_parse(
	struct image_spec *s, const struct image_option_def *defs, const char *text, GError **error)
{
	while (*text) {
		g_autoptr(GString) word = g_string_new(NULL);
		char *value;

		for (; *text && (*text != ',' || text[1] == ','); text++) {
			if (*text == ',')
				text++;
			g_string_append_c(word, *text);
		}
		if (*text)
			text++;
		value = strchr(word->str, '=');
		if (value)
			*value++ = 0;
		if (image_spec_set(s, defs, word->str, value ? value : "on", error) < 0)
			return -1;
	}
	return 0;
}

const char *image_spec_string(
	const struct image_spec *s, const struct image_option_def *defs, const char *name)
{
	const char *set = s && s->options ? g_hash_table_lookup(s->options, name) : NULL;
	const struct image_option_def *d = find(defs, name);

	return set || !d ? set : d->preset;
}

uint64_t image_spec_size(
	const struct image_spec *s, const struct image_option_def *defs, const char *name)
{
	const char *text = image_spec_string(s, defs, name);
	uint64_t size = 0;

	if (text)
		image_parse_size(text, &size, NULL);
	return size;
}

bool image_spec_bool(
	const struct image_spec *s, const struct image_option_def *defs, const char *name)
{
	const char *text = image_spec_string(s, defs, name);

	return text && one_of(text, truths, G_N_ELEMENTS(truths));
}

unsigned image_spec_enum(
	const struct image_spec *s, const struct image_option_def *defs, const char *name)
{
	const char *text = image_spec_string(s, defs, name);
	const struct image_option_def *d = find(defs, name);

	for (unsigned i = 0; text && d && d->choices && d->choices[i]; i++) {
		if (!strcmp(d->choices[i], text))
			return i;
	}
	return 0;
}
