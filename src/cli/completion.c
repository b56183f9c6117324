/* SPDX-License-Identifier: GPL-2.0-or-later */
/* completion.c: shell completion, made from the tables. Spec: bash(1), "Programmable Completion";
 * zshcompsys(1). */
#include "cli/verb.h"

#include <string.h>

static void each_option(GString *s, const struct cli_group *g, const struct cli_verb *v,
	void (*one)(GString *s, const struct cli_option *o))
{
	const struct cli_option *list[] = { v->options, g->options, cli_common_options };

	for (unsigned i = 0; i < G_N_ELEMENTS(list); i++) {
		for (const struct cli_option *o = list[i]; o && o->name; o++) {
			if (!(o->flags & CLI_HIDDEN))
				one(s, o);
		}
	}
}

/* ---- bash ---- */

static void bash_name(GString *s, const struct cli_option *o)
{
	if (!(o->flags & CLI_POSITIONAL))
		g_string_append_printf(s, "--%s ", o->name);
}

/* How an option's value is completed, as a compgen call; NULL: not at all. */
static char *bash_words(const struct cli_option *o)
{
	g_autofree char *all = NULL;

	if (o->kind == CLI_CHOICE) {
		all = g_strjoinv(" ", (char **)o->choices);
		return g_strdup_printf("-W \"%s\"", all);
	}
	if (!o->complete)
		return NULL;
	return !strcmp(o->complete, CLI_COMPLETE_FILE)
		       ? g_strdup("-f")
		       : g_strdup_printf("-W \"$(%s 2>/dev/null)\"", o->complete);
}

static void bash_value(GString *s, const struct cli_option *o)
{
	g_autofree char *words = bash_words(o);

	if (!words || (o->flags & CLI_POSITIONAL))
		return;
	g_string_append_printf(s, "\t\t--%s", o->name);
	if (o->letter)
		g_string_append_printf(s, "|-%c", o->letter);
	g_string_append_printf(s, ") COMPREPLY=($(compgen %s -- \"$cur\")); return;;\n", words);
}

static void bash_positional(GString *s, const struct cli_option *o)
{
	g_autofree char *words = bash_words(o);

	if (words && (o->flags & CLI_POSITIONAL))
		g_string_append_printf(s, "\t\tCOMPREPLY+=($(compgen %s -- \"$cur\"))\n", words);
}

static void bash_verb(GString *s, const struct cli_group *g, const struct cli_verb *v)
{
	g_string_append_printf(s, "\t'%s%s%s')\n\t\tcase \"$prev\" in\n", g->nested ? g->name : "",
		g->nested ? " " : "", v->name);
	each_option(s, g, v, bash_value);
	g_string_append(
		s, "\t\tesac\n\t\tif [[ $cur == -* ]]; then\n\t\t\tCOMPREPLY=($(compgen -W '");
	each_option(s, g, v, bash_name);
	g_string_append(s, "' -- \"$cur\"))\n\t\t\treturn\n\t\tfi\n");
	each_option(s, g, v, bash_positional);
	g_string_append(s, "\t\t;;\n");
}

static void bash_verbs(GString *s, const char *at, const struct cli_group *g)
{
	g_string_append_printf(s, "\t'%s')\n\t\tCOMPREPLY=($(compgen -W '", at);
	for (const struct cli_verb *v = g->verbs; v->name; v++)
		g_string_append_printf(s, "%s ", v->name);
	g_string_append(s, "' -- \"$cur\"));;\n");
}

char *cli_completion_bash(void)
{
	GString *s = g_string_new(
		"# bash completion of lodge; made by 'lodge completion bash'\n"
		"_lodge()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} "
		"prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		"\tlocal verb= i\n\tCOMPREPLY=()\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\t[[ ${COMP_WORDS[i]} == -* ]] && continue\n\t\tverb=${COMP_WORDS[i]}\n"
		"\t\tcase $verb in\n\t\t");
	bool first = true;

	for (unsigned i = 0; cli_groups[i]; i++) {
		if (cli_groups[i]->nested) {
			g_string_append_printf(s, "%s%s", first ? "" : "|", cli_groups[i]->name);
			first = false;
		}
	}
	g_string_append(s, ") ((i + 1 < COMP_CWORD)) && [[ ${COMP_WORDS[i+1]} != -* ]] &&\n"
			   "\t\t\tverb+=\" ${COMP_WORDS[i+1]}\";;\n\t\tesac\n\t\tbreak\n\tdone\n"
			   "\tcase \"$verb\" in\n\t'')\n\t\tCOMPREPLY=($(compgen -W '");
	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];

		if (g->nested)
			g_string_append_printf(s, "%s ", g->name);
		for (const struct cli_verb *v = g->verbs; !g->nested && v->name; v++)
			g_string_append_printf(s, "%s ", v->name);
	}
	g_string_append(s, "' -- \"$cur\"));;\n");
	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];

		if (g->nested)
			bash_verbs(s, g->name, g);
		for (const struct cli_verb *v = g->verbs; v->name; v++)
			bash_verb(s, g, v);
	}
	g_string_append(s, "\tesac\n}\ncomplete -o filenames -F _lodge lodge\n");
	return g_string_free(s, FALSE);
}

/* ---- zsh ---- */

static char *zsh_quote(const char *text)
{
	g_auto(GStrv) a = g_strsplit(text, "'", -1);
	g_autofree char *joined = g_strjoinv("'\\''", a);
	GString *s = g_string_new(NULL);

	for (const char *p = joined; *p; p++) {
		if (strchr("[]:", *p))
			g_string_append_c(s, '\\');
		g_string_append_c(s, *p);
	}
	return g_string_free(s, FALSE);
}

static void zsh_option(GString *s, const struct cli_option *o)
{
	g_autofree char *help = zsh_quote(o->help), *value = cli_value_name(o), *all = NULL,
			*action = NULL;
	const char *many = o->flags & CLI_MANY ? "*" : "";

	if (o->kind == CLI_CHOICE) {
		all = g_strjoinv(" ", (char **)o->choices);
		action = g_strdup_printf("(%s)", all);
	} else if (o->complete && !strcmp(o->complete, CLI_COMPLETE_FILE)) {
		action = g_strdup("_files");
	} else if (o->complete) {
		action = g_strdup_printf("($(%s 2>/dev/null))", o->complete);
	}
	if (o->flags & CLI_POSITIONAL) {
		g_string_append_printf(s, " '%s:%s:%s'",
			*many                     ? "*"
			: o->flags & CLI_REQUIRED ? ""
						  : ":",
			value, action ? action : " ");
		return;
	}
	if (o->letter)
		g_string_append_printf(s, " '%s-%c[%s]", many, o->letter, help);
	if (o->letter && o->kind != CLI_FLAG)
		g_string_append_printf(s, ":%s:%s", value, action ? action : " ");
	g_string_append_printf(s, "%s '%s--%s[%s]", o->letter ? "'" : "", many, o->name, help);
	if (o->kind != CLI_FLAG)
		g_string_append_printf(s, ":%s:%s", value, action ? action : " ");
	g_string_append_c(s, '\'');
}

static void zsh_verb(GString *s, const struct cli_group *g, const struct cli_verb *v)
{
	g_string_append_printf(s, "\t%s) _arguments -s", v->name);
	each_option(s, g, v, zsh_option);
	g_string_append(s, ";;\n");
}

static void zsh_describe(GString *s, const struct cli_verb *v)
{
	g_autofree char *help = zsh_quote(v->summary);

	g_string_append_printf(s, " '%s:%s'", v->name, help);
}

char *cli_completion_zsh(void)
{
	GString *s = g_string_new("#compdef lodge\n# made by 'lodge completion zsh'\n_lodge()\n{\n"
				  "\tlocal -a commands\n");

	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];

		if (!g->nested)
			continue;
		g_string_append_printf(s,
			"\tif [[ $words[2] == %s ]] && ((CURRENT > 2)); then\n"
			"\tif ((CURRENT == 3)); then\n\tcommands=(",
			g->name);
		for (const struct cli_verb *v = g->verbs; v->name; v++)
			zsh_describe(s, v);
		g_string_append(s, ")\n\t_describe command commands\n\treturn\n\tfi\n"
				   "\tshift 2 words\n\t((CURRENT -= 2))\n\tcase $words[1] in\n");
		for (const struct cli_verb *v = g->verbs; v->name; v++)
			zsh_verb(s, g, v);
		g_string_append(s, "\tesac\n\treturn\n\tfi\n");
	}
	g_string_append(s, "\tif ((CURRENT == 2)); then\n\tcommands=(");
	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];
		g_autofree char *title = zsh_quote(g->title);

		if (g->nested)
			g_string_append_printf(s, " '%s:%s'", g->name, title);
		for (const struct cli_verb *v = g->verbs; !g->nested && v->name; v++)
			zsh_describe(s, v);
	}
	g_string_append(s, ")\n\t_describe command commands\n\treturn\n\tfi\n"
			   "\tshift words\n\t((CURRENT--))\n\tcase $words[1] in\n");
	for (unsigned i = 0; cli_groups[i]; i++) {
		for (const struct cli_verb *v = cli_groups[i]->verbs;
			!cli_groups[i]->nested && v->name; v++)
			zsh_verb(s, cli_groups[i], v);
	}
	g_string_append(s, "\tesac\n}\n_lodge \"$@\"\n");
	return g_string_free(s, FALSE);
}
