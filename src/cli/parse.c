/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parse.c: from words to options, as the tables say. */
#include "cli/verb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "base/size.h"
#include "cli/client.h"

static const char *const output_choices[] = { "human", "json", NULL };

const struct cli_option cli_common_options[] = {
	{ "json", 0, CLI_FLAG, .help = "print JSON, for programs" },
	{ "output", 0, CLI_CHOICE, CLI_HIDDEN, .choices = output_choices, .help = "as --json" },
	{ "quiet", 'q', CLI_FLAG, .help = "print nothing but results and errors" },
	{ "help", 'h', CLI_FLAG, .help = "print this" },
	{ NULL },
};

void cli_init(struct cli *c)
{
	*c = (struct cli){ .signals = -1 };
	c->values = g_hash_table_new_full(
		g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
	c->args = g_ptr_array_new();
}

void cli_fini(struct cli *c)
{
	g_hash_table_unref(c->values);
	g_ptr_array_unref(c->args);
}

/* The option tables that count here, nearest first. */
static unsigned tables(const struct cli *c, const struct cli_option *out[3])
{
	unsigned n = 0;

	/* `lodge -c URI list`, as virsh has it. */
	if (!c->verb && !c->group)
		out[n++] = client_options;
	if (c->verb && c->verb->options)
		out[n++] = c->verb->options;
	if (c->group && c->group->options)
		out[n++] = c->group->options;
	out[n++] = cli_common_options;
	return n;
}

const struct cli_option *cli_option_find(
	const struct cli *c, const char *name, size_t len, char letter)
{
	const struct cli_option *list[3];
	unsigned n = tables(c, list);

	for (unsigned i = 0; i < n; i++) {
		for (const struct cli_option *o = list[i]; o->name; o++) {
			if (name ? strlen(o->name) == len && !memcmp(o->name, name, len)
				 : o->letter == letter)
				return o;
		}
	}
	return NULL;
}

static int unknown_option(const struct cli *c, const char *word, size_t len, GError **error)
{
	g_autofree char *name = g_strndup(word, len), *hint = NULL;
	const struct cli_option *list[3];
	unsigned n = tables(c, list);
	struct nearest near;

	nearest_init(&near, name);
	for (unsigned i = 0; i < n; i++) {
		for (const struct cli_option *o = list[i]; o->name; o++) {
			if (!(o->flags & CLI_HIDDEN))
				nearest_offer(&near, o->name);
		}
	}
	hint = near.best ? g_strdup_printf(" (did you mean '--%s'?)", near.best) : g_strdup("");
	return fail(error, LODGE_ERROR_USAGE, "there is no option '--%s'%s", name, hint);
}

static int check_choice(const struct cli_option *o, const char *value, GError **error)
{
	g_autofree char *all = NULL, *hint = NULL;
	struct nearest near;

	nearest_init(&near, value);
	for (unsigned i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], value))
			return 0;
		nearest_offer(&near, o->choices[i]);
	}
	hint = nearest_hint(&near);
	all = g_strjoinv(", ", (char **)o->choices);
	return fail(
		error, LODGE_ERROR_USAGE, "%s: '%s' is none of %s%s", o->name, value, all, hint);
}

static int check_value(const struct cli_option *o, const char *value, GError **error)
{
	uint64_t size;
	char *end;

	switch (o->kind) {
	case CLI_NUMBER:
		errno = 0;
		g_ascii_strtoll(value, &end, 0);
		if (errno || end == value || *end)
			return fail(
				error, LODGE_ERROR_USAGE, "%s: '%s' is no number", o->name, value);
		return 0;
	case CLI_SIZE:
		if (size_parse(value, &size, error) < 0) {
			g_prefix_error(error, "%s: ", o->name);
			return -1;
		}
		return 0;
	case CLI_CHOICE: return check_choice(o, value, error);
	default: return 0;
	}
}

static int take(struct cli *c, const struct cli_option *o, const char *value, GError **error)
{
	GPtrArray *list = g_hash_table_lookup(c->values, o->name);

	if (value && check_value(o, value, error) < 0)
		return -1;
	if (!list) {
		list = g_ptr_array_new();
		g_hash_table_insert(c->values, (char *)o->name, list);
	}
	g_ptr_array_add(list, (char *)(value ? value : ""));
	return 0;
}

/* --name, --name=value, --name value; *i is left on the last word used. */
static int take_long(struct cli *c, char **words, int *i, GError **error)
{
	const char *word = words[*i] + 2, *eq = strchr(word, '=');
	size_t len = eq ? (size_t)(eq - word) : strlen(word);
	const struct cli_option *o = cli_option_find(c, word, len, 0);

	if (!o)
		return unknown_option(c, word, len, error);
	if (o->kind == CLI_FLAG)
		return eq ? fail(error, LODGE_ERROR_USAGE, "--%s takes no value", o->name)
			  : take(c, o, NULL, error);
	if (!eq && !words[*i + 1])
		return fail(error, LODGE_ERROR_USAGE, "--%s needs a value", o->name);
	return take(c, o, eq ? eq + 1 : words[++*i], error);
}

/* -a, -abc, -o value, -ovalue. */
static int take_letters(struct cli *c, char **words, int *i, GError **error)
{
	for (const char *p = words[*i] + 1; *p; p++) {
		const struct cli_option *o = cli_option_find(c, NULL, 0, *p);

		if (!o)
			return fail(error, LODGE_ERROR_USAGE, "there is no option '-%c'", *p);
		if (o->kind == CLI_FLAG) {
			if (take(c, o, NULL, error) < 0)
				return -1;
			continue;
		}
		if (p[1])
			return take(c, o, p + 1, error);
		if (!words[*i + 1])
			return fail(error, LODGE_ERROR_USAGE, "-%c needs a value", *p);
		return take(c, o, words[++*i], error);
	}
	return 0;
}

/* "-" alone and negative numbers are arguments. */
static bool is_option(const struct cli *c, const char *word)
{
	return word[0] == '-' && word[1] &&
	       !(g_ascii_isdigit(word[1]) && !cli_option_find(c, NULL, 0, word[1]));
}

/* Gives plain arguments to the positional options that have none yet. */
static int place_args(struct cli *c, GError **error)
{
	unsigned n = 0;

	if (!c->verb)
		return 0;
	for (const struct cli_option *o = c->verb->options; o && o->name; o++) {
		if (!(o->flags & CLI_POSITIONAL) || g_hash_table_contains(c->values, o->name))
			continue;
		while (n < c->args->len) {
			if (take(c, o, c->args->pdata[n++], error) < 0)
				return -1;
			if (!(o->flags & CLI_MANY))
				break;
		}
	}
	if (n < c->args->len)
		return fail(error, LODGE_ERROR_USAGE, "'%s' is one argument too many",
			(char *)c->args->pdata[n]);
	for (const struct cli_option *o = c->verb->options; o && o->name; o++) {
		g_autofree char *value = cli_value_name(o);

		if ((o->flags & CLI_REQUIRED) && !g_hash_table_contains(c->values, o->name))
			return fail(error, LODGE_ERROR_USAGE, "%s%s is missing",
				o->flags & CLI_POSITIONAL ? "" : "--",
				o->flags & CLI_POSITIONAL ? value : o->name);
	}
	return 0;
}

/* Whether all that follows belongs to a command that is passed on: `lodge shell web1 ls -l`. */
static bool verbatim(const struct cli *c)
{
	guint n = 0;

	for (const struct cli_option *o = c->verb ? c->verb->options : NULL; o && o->name; o++) {
		if (!(o->flags & CLI_POSITIONAL) || g_hash_table_contains(c->values, o->name))
			continue;
		if (o->flags & CLI_VERBATIM)
			return c->args->len > n;
		n++;
	}
	return false;
}

int cli_parse(struct cli *c, char **words, int *ret_taken, GError **error)
{
	bool plain = false;
	const char *output;
	int i, r;

	for (i = 0; words[i]; i++) {
		plain |= verbatim(c);
		if (plain || !is_option(c, words[i])) {
			if (!c->verb && !plain)
				break;
			g_ptr_array_add(c->args, words[i]);
			continue;
		}
		if (!strcmp(words[i], "--")) {
			plain = true;
			continue;
		}
		r = words[i][1] == '-' ? take_long(c, words, &i, error)
				       : take_letters(c, words, &i, error);
		if (r < 0)
			return -1;
	}
	*ret_taken = i;
	output = cli_text(c, "output");
	c->json = cli_flag(c, "json") || (output && !strcmp(output, "json"));
	c->quiet = cli_flag(c, "quiet");
	return cli_flag(c, "help") ? 0 : place_args(c, error);
}

static GPtrArray *lookup(const struct cli *c, const char *name)
{
	g_assert(cli_option_find(c, name, strlen(name), 0));
	return g_hash_table_lookup(c->values, name);
}

bool cli_has(const struct cli *c, const char *name)
{
	return lookup(c, name) != NULL;
}

bool cli_flag(const struct cli *c, const char *name)
{
	return cli_has(c, name);
}

const char *cli_text(const struct cli *c, const char *name)
{
	GPtrArray *list = lookup(c, name);

	return list ? list->pdata[list->len - 1] : NULL;
}

const char *const *cli_texts(const struct cli *c, const char *name)
{
	static const char *const none[] = { NULL };
	GPtrArray *list = lookup(c, name);

	if (!list)
		return none;
	/* The array keeps its room, so the terminator may stand behind its end. */
	g_ptr_array_add(list, NULL);
	g_ptr_array_set_size(list, (int)list->len - 1);
	return (const char *const *)list->pdata;
}

uint64_t cli_size(const struct cli *c, const char *name, uint64_t preset)
{
	const char *text = cli_text(c, name);

	if (text)
		size_parse(text, &preset, NULL);
	return preset;
}

int64_t cli_number(const struct cli *c, const char *name, int64_t preset)
{
	const char *text = cli_text(c, name);

	return text ? g_ascii_strtoll(text, NULL, 0) : preset;
}
