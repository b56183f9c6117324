/* SPDX-License-Identifier: GPL-2.0-or-later */
/* help.c: --help and the manual pages, made from the tables. Spec: groff_man(7). */
#include "cli/verb.h"

#include <string.h>

#include "base/error.h"

enum { LEFT = 28, WIDTH = 90 };

char *cli_value_name(const struct cli_option *o)
{
	if (o->value)
		return g_strdup(o->value);
	return o->kind == CLI_SIZE ? g_strdup("SIZE") : g_ascii_strup(o->name, -1);
}

static bool shown(const struct cli_option *o)
{
	return !(o->flags & CLI_HIDDEN);
}

char *cli_usage(const struct cli_group *g, const struct cli_verb *v)
{
	GString *s = g_string_new("lodge ");

	g_string_append_printf(
		s, "%s%s%s", g->nested ? g->name : "", g->nested ? " " : "", v->name);
	g_string_append(s, " [OPTION…]");
	for (const struct cli_option *o = v->options; o && o->name; o++) {
		g_autofree char *value = cli_value_name(o);
		bool plain = o->flags & CLI_POSITIONAL;

		if (!shown(o) || (!plain && !(o->flags & CLI_REQUIRED)))
			continue;
		g_string_append_printf(s, o->flags & CLI_REQUIRED ? " %s%s%s%s" : " [%s%s%s%s]",
			plain ? "" : "--", plain ? "" : o->name, plain ? "" : " ", value);
		if (plain && (o->flags & CLI_MANY))
			g_string_append(s, "…");
	}
	return g_string_free(s, FALSE);
}

/* "-f, --format FMT" */
static char *spelling(const struct cli_option *o)
{
	g_autofree char *value = cli_value_name(o);
	GString *s = g_string_new(NULL);

	if (o->flags & CLI_POSITIONAL) {
		g_string_append(s, value);
	} else {
		if (o->letter)
			g_string_append_printf(s, "-%c, ", o->letter);
		g_string_append_printf(s, "%s--%s", o->letter ? "" : "    ", o->name);
		if (o->kind != CLI_FLAG)
			g_string_append_printf(s, " %s", value);
	}
	return g_string_free(s, FALSE);
}

/* Appends words of text, each line behind `indent` spaces, of which the first has `at` already. */
static void wrap(GString *s, const char *text, unsigned at, unsigned indent)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);

	for (unsigned i = 0; words[i]; i++) {
		unsigned n = g_utf8_strlen(words[i], -1);

		if (!n)
			continue;
		if (at > indent && at + 1 + n > WIDTH) {
			g_string_append_c(s, '\n');
			at = 0;
		} else if (at > indent) {
			g_string_append_c(s, ' ');
			at++;
		}
		for (; at < indent; at++)
			g_string_append_c(s, ' ');
		g_string_append(s, words[i]);
		at += n;
	}
	g_string_append_c(s, '\n');
}

static void row(GString *s, const char *left, const char *right)
{
	unsigned n = g_utf8_strlen(left, -1) + 2;

	g_string_append_printf(s, "  %s", left);
	if (n + 2 > LEFT) {
		g_string_append_c(s, '\n');
		n = 0;
	}
	wrap(s, right, n, LEFT);
}

static char *option_text(const struct cli_option *o)
{
	g_autofree char *all = NULL;

	if (o->kind != CLI_CHOICE)
		return g_strdup(o->help);
	all = g_strjoinv(", ", (char **)o->choices);
	return g_strdup_printf("%s: %s", o->help, all);
}

static void option_rows(GString *s, const char *title, const struct cli_option *options, bool plain)
{
	bool any = false;

	for (const struct cli_option *o = options; o && o->name; o++) {
		g_autofree char *left = NULL, *right = NULL;

		if (!shown(o) || !(o->flags & CLI_POSITIONAL) == plain)
			continue;
		if (!any)
			g_string_append_printf(s, "\n%s:\n", title);
		any = true;
		left = spelling(o);
		right = option_text(o);
		row(s, left, right);
	}
}

char *cli_help_verb(const struct cli_group *g, const struct cli_verb *v)
{
	g_autofree char *usage = cli_usage(g, v);
	GString *s = g_string_new(NULL);

	g_string_append_printf(s, "Usage: %s\n\n%s.\n", usage, v->summary);
	if (v->help) {
		g_auto(GStrv) paragraphs = g_strsplit(v->help, "\n\n", -1);

		for (unsigned i = 0; paragraphs[i]; i++) {
			g_string_append_c(s, '\n');
			if (g_str_has_prefix(paragraphs[i], "  "))
				g_string_append_printf(s, "%s\n", paragraphs[i]);
			else
				wrap(s, paragraphs[i], 0, 0);
		}
	}
	option_rows(s, "Arguments", v->options, true);
	option_rows(s, "Options", v->options, false);
	option_rows(s, "Options of this group", g->options, false);
	option_rows(s, "Common options", cli_common_options, false);
	return g_string_free(s, FALSE);
}

static void verb_rows(GString *s, const struct cli_group *g)
{
	for (const struct cli_verb *v = g->verbs; v->name; v++)
		row(s, v->name, v->summary);
}

char *cli_help_group(const struct cli_group *g)
{
	GString *s = g_string_new(NULL);

	g_string_append_printf(s,
		"%s\n\nUsage: lodge %s%sCOMMAND [OPTION…] [ARGUMENT…]\n\nCommands:\n", g->title,
		g->nested ? g->name : "", g->nested ? " " : "");
	verb_rows(s, g);
	g_string_append_printf(s, "\n'lodge help %s%sCOMMAND' tells more about one.\n",
		g->nested ? g->name : "", g->nested ? " " : "");
	return g_string_free(s, FALSE);
}

char *cli_help_overview(void)
{
	GString *s = g_string_new("Usage: lodge [OPTION…] COMMAND [OPTION…] [ARGUMENT…]\n");

	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];

		g_string_append_printf(s, "\n%s:\n", g->title);
		if (g->nested) {
			g_autofree char *left = g_strdup_printf("%s …", g->name);
			GString *names = g_string_new(NULL);

			for (const struct cli_verb *v = g->verbs; v->name; v++)
				g_string_append_printf(
					names, "%s%s", names->len ? ", " : "", v->name);
			row(s, left, names->str);
			g_string_free(names, TRUE);
		} else {
			verb_rows(s, g);
		}
	}
	g_string_append(s, "\n'lodge help COMMAND' tells more about one.\n");
	return g_string_free(s, FALSE);
}

/* ---- manual pages ---- */

static void escape(GString *s, const char *text)
{
	if (*text == '.' || *text == '\'')
		g_string_append(s, "\\&");
	for (; *text; text++) {
		if (*text == '-')
			g_string_append(s, "\\-");
		else if (*text == '\\')
			g_string_append(s, "\\e");
		else if (*text == '\n' && text[1] == '.')
			g_string_append(s, "\n\\&");
		else
			g_string_append_c(s, *text);
	}
}

static void line(GString *s, const char *macro, const char *text, const char *end)
{
	g_string_append(s, macro);
	escape(s, text);
	g_string_append(s, end);
}

static void man_options(GString *s, const struct cli_option *options)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		g_autofree char *left = NULL, *right = NULL;

		if (!shown(o))
			continue;
		left = spelling(o);
		right = option_text(o);
		line(s, ".TP\n.B \"", g_strchug(left), "\"\n");
		line(s, "", right, "\n");
	}
}

static void man_verb(GString *s, const struct cli_group *g, const struct cli_verb *v)
{
	g_autofree char *usage = cli_usage(g, v);

	line(s, ".SS \"", usage, "\"\n");
	line(s, "", v->summary, ".\n");
	if (v->help) {
		g_auto(GStrv) paragraphs = g_strsplit(v->help, "\n\n", -1);

		for (unsigned i = 0; paragraphs[i]; i++) {
			bool code = g_str_has_prefix(paragraphs[i], "  ");

			g_string_append(s, code ? ".PP\n.nf\n" : ".PP\n");
			line(s, "", paragraphs[i], code ? "\n.fi\n" : "\n");
		}
	}
	man_options(s, v->options);
}

char *cli_man(const struct cli_group *g)
{
	GString *s = g_string_new(NULL);
	g_autofree char *title = g ? g_strdup_printf("LODGE-%s", g->name) : g_strdup("LODGE");
	g_autofree char *upper = g_ascii_strup(title, -1), *lower = g_ascii_strdown(title, -1);

	g_string_append_printf(s, ".TH %s 1 \"\" \"lodge " LODGE_VERSION "\"\n.SH NAME\n", upper);
	line(s, "", lower, " \\- ");
	line(s, "", g ? g->title : "virtual machines, their disks and networks",
		"\n.SH SYNOPSIS\n");
	g_string_append_printf(s, ".B lodge%s%s\nCOMMAND [OPTION…] [ARGUMENT…]\n",
		g && g->nested ? " " : "", g && g->nested ? g->name : "");
	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *each = cli_groups[i];

		if (g ? each != g : each->nested) {
			if (!g) {
				line(s, ".SH ", each->title, "\n");
				g_string_append_printf(
					s, "See \\fBlodge\\-%s\\fR(1).\n", each->name);
			}
			continue;
		}
		line(s, ".SH ", each->title, "\n");
		for (const struct cli_verb *v = each->verbs; v->name; v++)
			man_verb(s, each, v);
		if (each->options)
			g_string_append(s, ".SH OPTIONS OF THESE COMMANDS\n");
		man_options(s, each->options);
	}
	g_string_append(s, ".SH COMMON OPTIONS\n");
	man_options(s, cli_common_options);
	g_string_append(s, ".SH EXIT STATUS\n0: done; 2: a mistyped command line; 3: a file; 4: "
			   "the host lacks "
			   "something; 5: damaged or unfitting state; 70: an error in lodge.\n"
			   "Commands that say otherwise above say it themselves.\n");
	return g_string_free(s, FALSE);
}
