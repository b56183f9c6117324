/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * descriptor.c: the text part of VMDK images. Spec: "Virtual Disk Format 5.0", "The Descriptor".
 * Written by many programs, and by hand: case, spaces, quotes and line ends vary.
 */
#include <string.h>

#include "base/error.h"
#include "image/vmdk/vmdk.h"

enum { EXTENTS_MAX = 8192 };

/* The first line that says something; blank lines and a byte order mark may precede it. */
bool vmdk_is_text(const uint8_t *head, size_t n)
{
	static const char mark[] = "disk descriptorfile";
	g_autofree char *text = g_strndup((const char *)head, MIN(n, 512));
	char *p = text;

	if (g_str_has_prefix(p, "\xef\xbb\xbf"))
		p += 3;
	p += strspn(p, " \t\r\n");
	if (*p++ != '#')
		return false;
	p += strspn(p, " \t#");
	return !g_ascii_strncasecmp(p, mark, strlen(mark));
}

static void line_clear(void *p)
{
	struct vmdk_line *l = p;

	g_free(l->access);
	g_free(l->kind);
	g_free(l->name);
}

/* The next word, or what stands in quotes; moves *p behind it. NULL: none. */
static char *next_word(const char **p)
{
	const char *s = *p + strspn(*p, " \t"), *end;
	char *word;

	if (!*s)
		return NULL;
	if (*s == '"') {
		end = strchr(++s, '"');
		if (!end)
			end = s + strlen(s);
		word = g_strndup(s, end - s);
		*p = *end ? end + 1 : end;
		return word;
	}
	end = s + strcspn(s, " \t");
	word = g_strndup(s, end - s);
	*p = end;
	return word;
}

static bool is_access(const char *word)
{
	return !g_ascii_strcasecmp(word, "RW") || !g_ascii_strcasecmp(word, "RDONLY") ||
	       !g_ascii_strcasecmp(word, "NOACCESS");
}

/* RW 4192256 SPARSE "name" [offset] */
static bool parse_extent(struct vmdk_text *t, const char *line)
{
	g_autofree char *access = next_word(&line), *number = NULL, *at = NULL;
	struct vmdk_line l = { 0 };

	if (!access || !is_access(access))
		return false;
	number = next_word(&line);
	l.kind = next_word(&line);
	if (!number || !l.kind)
		return false;
	l.name = next_word(&line);
	at = next_word(&line);
	l.sectors = g_ascii_strtoull(number, NULL, 10);
	l.at = at ? g_ascii_strtoull(at, NULL, 10) : 0;
	l.access = g_steal_pointer(&access);
	g_array_append_val(t->lines, l);
	return true;
}

static void parse_setting(struct vmdk_text *t, const char *line, size_t line_at)
{
	const char *eq = strchr(line, '='), *value = eq ? eq + 1 : NULL;
	g_autofree char *name = eq ? g_strstrip(g_strndup(line, eq - line)) : NULL, *word = NULL;
	const char *digits = value ? value + strspn(value, " \t\"") : NULL;

	word = value ? next_word(&value) : NULL;
	if (!word)
		return;
	if (!g_ascii_strcasecmp(name, "CID")) {
		t->cid = (uint32_t)g_ascii_strtoull(word, NULL, 16);
		/* Only where eight digits stand can a new one be put. */
		if (strspn(digits, "0123456789abcdefABCDEF") == 8)
			t->cid_at = line_at + (digits - line);
	} else if (!g_ascii_strcasecmp(name, "parentCID")) {
		t->parent_cid = (uint32_t)g_ascii_strtoull(word, NULL, 16);
	} else if (!g_ascii_strcasecmp(name, "createType")) {
		g_free(t->type);
		t->type = g_steal_pointer(&word);
	} else if (!g_ascii_strcasecmp(name, "parentFileNameHint")) {
		g_free(t->parent);
		t->parent = g_steal_pointer(&word);
	}
}

int vmdk_text_parse(struct vmdk_text *t, const char *text, const char *path, GError **error)
{
	*t = (struct vmdk_text){ .parent_cid = NO_PARENT };
	t->lines = g_array_new(FALSE, FALSE, sizeof(struct vmdk_line));
	g_array_set_clear_func(t->lines, line_clear);
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\r\n");
		g_autofree char *line = g_strndup(p, n);
		size_t skip = strspn(line, " \t");

		if (line[skip] && line[skip] != '#' && !parse_extent(t, line + skip))
			parse_setting(t, line, p - text);
		p += n;
		p += strspn(p, "\r\n");
		if (t->lines->len > EXTENTS_MAX)
			return fail(error, LODGE_ERROR_FILE, "%s: has more than %d extents", path,
				EXTENTS_MAX);
	}
	if (!t->type)
		t->type = g_strdup("custom");
	return 0;
}

void vmdk_text_fini(struct vmdk_text *t)
{
	g_free(t->type);
	g_free(t->parent);
	if (t->lines)
		g_array_unref(t->lines);
}
