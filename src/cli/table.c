/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c: rows of text in columns that fit the terminal. */
#include "cli/table.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { GAP = 2, FLEX_MIN = 12 };

struct table {
	const struct table_column *columns;
	unsigned count;
	GPtrArray *cells; /* char *, row by row */
};

struct table *table_new(const struct table_column *columns)
{
	struct table *t = g_new0(struct table, 1);

	t->columns = columns;
	while (columns[t->count].title)
		t->count++;
	t->cells = g_ptr_array_new_with_free_func(g_free);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	g_ptr_array_unref(t->cells);
	g_free(t);
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	g_ptr_array_add(t->cells, g_strdup_vprintf(fmt, ap));
	va_end(ap);
}

static unsigned char_width(gunichar c)
{
	return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

static unsigned text_width(const char *s)
{
	unsigned n = 0;

	for (; *s; s = g_utf8_next_char(s))
		n += char_width(g_utf8_get_char(s));
	return n;
}

/* Text that names things may hold anything: no control characters reach the terminal. */
static char *clean(const char *s)
{
	char *valid = g_utf8_make_valid(s, -1);

	for (char *p = valid; *p; p++) {
		if (g_ascii_iscntrl(*p))
			*p = '?';
	}
	return valid;
}

static void print_cell(FILE *out, const char *text, unsigned width, unsigned flags, bool last)
{
	g_autofree char *s = clean(text);
	unsigned n = text_width(s), used = 0;
	const char *p = s;

	if (n <= width) {
		fprintf(out, "%*s%s%*s", flags & TABLE_RIGHT ? (int)(width - n) : 0, "", s,
			last || (flags & TABLE_RIGHT) ? 0 : (int)(width - n), "");
		return;
	}
	for (; *p && used + char_width(g_utf8_get_char(p)) < width; p = g_utf8_next_char(p))
		used += char_width(g_utf8_get_char(p));
	fprintf(out, "%.*s…%*s", (int)(p - s), s, last ? 0 : (int)(width - used - 1), "");
}

static void print_row(const struct table *t, FILE *out, const unsigned *widths, unsigned first)
{
	for (unsigned i = 0; i < t->count; i++) {
		const char *text =
			first == G_MAXUINT ? t->columns[i].title : t->cells->pdata[first + i];

		print_cell(out, text, widths[i], t->columns[i].flags, i + 1 == t->count);
		fprintf(out, i + 1 == t->count ? "\n" : "%*s", GAP, "");
	}
}

void table_print(const struct table *t, FILE *out, unsigned width, gboolean plain)
{
	g_autofree unsigned *widths = g_new0(unsigned, t->count);
	unsigned total = 0, rows = t->cells->len / t->count;

	for (unsigned i = 0; i < t->count; i++) {
		widths[i] = plain ? 0 : text_width(t->columns[i].title);
		for (unsigned r = 0; r < rows; r++) {
			g_autofree char *s = clean(t->cells->pdata[r * t->count + i]);

			widths[i] = MAX(widths[i], text_width(s));
		}
		total += widths[i] + (i ? GAP : 0);
	}
	while (width && total > width) {
		unsigned widest = t->count;

		for (unsigned i = 0; i < t->count; i++) {
			if ((t->columns[i].flags & TABLE_FLEX) && widths[i] > FLEX_MIN &&
				(widest == t->count || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == t->count)
			break;
		widths[widest]--;
		total--;
	}
	if (!plain)
		print_row(t, out, widths, G_MAXUINT);
	for (unsigned r = 0; r < rows; r++)
		print_row(t, out, widths, r * t->count);
}

unsigned terminal_width(int fd)
{
	struct winsize w;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

void table_show(struct table *t)
{
	table_print(t, stdout, terminal_width(STDOUT_FILENO), FALSE);
	table_free(t);
}
