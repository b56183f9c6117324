/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c: finds the verb, runs it, says what went wrong. */
#include "cli/verb.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/nearest.h"

static bool named(const struct cli_verb *v, const char *name)
{
	g_auto(GStrv) aliases = g_strsplit(v->aliases ? v->aliases : "", " ", -1);

	return !strcmp(v->name, name) ||
	       (*name && g_strv_contains((const char *const *)aliases, name));
}

const struct cli_group *cli_group_find(const char *name)
{
	for (unsigned i = 0; cli_groups[i]; i++) {
		if (!strcmp(cli_groups[i]->name, name))
			return cli_groups[i];
	}
	return NULL;
}

const struct cli_verb *cli_verb_find(const struct cli_group *g, const char *name)
{
	for (const struct cli_verb *v = g->verbs; v->name; v++) {
		if (named(v, name))
			return v;
	}
	return NULL;
}

static void offer_verbs(const struct cli_group *g, struct nearest *near)
{
	for (const struct cli_verb *v = g->verbs; v->name; v++)
		nearest_offer(near, v->name);
}

static int unknown_verb(const struct cli_group *group, const char *name, GError **error)
{
	g_autofree char *hint = NULL;
	struct nearest near;

	nearest_init(&near, name);
	for (unsigned i = 0; !group && cli_groups[i]; i++) {
		if (cli_groups[i]->nested)
			nearest_offer(&near, cli_groups[i]->name);
		else
			offer_verbs(cli_groups[i], &near);
	}
	if (group)
		offer_verbs(group, &near);
	hint = nearest_hint(&near);
	return fail(error, LODGE_ERROR_USAGE, "there is no command '%s%s%s'%s",
		group ? group->name : "", group ? " " : "", name, hint);
}

/* Fills c's group and verb from the words; *used of them. A group alone leaves the verb NULL. */
static int find_command(struct cli *c, char **words, int *used, GError **error)
{
	*used = 1;
	for (unsigned i = 0; cli_groups[i]; i++) {
		const struct cli_group *g = cli_groups[i];

		if (!g->nested) {
			c->verb = cli_verb_find(g, words[0]);
			c->group = c->verb ? g : NULL;
			if (c->verb)
				return 0;
		} else if (!strcmp(g->name, words[0])) {
			c->group = g;
			if (!words[1] || words[1][0] == '-')
				return 0;
			*used = 2;
			c->verb = cli_verb_find(g, words[1]);
			return c->verb ? 0 : unknown_verb(g, words[1], error);
		}
	}
	return unknown_verb(NULL, words[0], error);
}

static int print_text(char *text)
{
	fputs(text, stdout);
	g_free(text);
	return 0;
}

static int run(struct cli *c, char **words, GError **error)
{
	int taken, used = 0;

	if (cli_parse(c, words, &taken, error) < 0)
		return -1;
	words += taken;
	if (!*words)
		return print_text(cli_help_overview());
	if (find_command(c, words, &used, error) < 0)
		return -1;
	if (!c->verb)
		return print_text(cli_help_group(c->group));
	if (cli_parse(c, words + used, &taken, error) < 0) {
		g_autofree char *usage = cli_usage(c->group, c->verb);

		g_prefix_error(error, "usage: %s\nlodge: %s: ", usage, c->verb->name);
		return -1;
	}
	if (cli_flag(c, "help"))
		return print_text(cli_help_verb(c->group, c->verb));
	return c->verb->run(c, error);
}

int cli_main(int argc, char **argv)
{
	GError *error = NULL;
	struct cli c;
	int status;

	if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		puts("lodge " LODGE_VERSION);
		return 0;
	}
	cli_init(&c);
	status = run(&c, argv + MIN(argc, 1), &error);
	if (error) {
		fprintf(stderr, "%s%s\n",
			g_str_has_prefix(error->message, "usage: ") ? "" : "lodge: ",
			error->message);
		status = c.error_status                 ? c.error_status
			 : error->domain == LODGE_ERROR ? error->code
							: LODGE_ERROR_INTERNAL;
		g_error_free(error);
	}
	/* A full disk under stdout is a failure too. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "lodge: cannot write the output: %s\n", g_strerror(errno));
		status = status ? status : LODGE_ERROR_FILE;
	}
	cli_fini(&c);
	return status;
}

void cli_print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(4) | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(value);
}

void cli_note(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void cli_catch_signals(struct cli *c)
{
	sigset_t set;

	if (c->signals >= 0)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool cli_interrupted(struct cli *c)
{
	struct signalfd_siginfo info;

	if (c->signals >= 0 && read(c->signals, &info, sizeof(info)) == sizeof(info))
		c->error_status = 128 + (int)info.ssi_signo;
	return c->error_status > 128;
}

int cli_fail_interrupted(GError **error)
{
	return fail(error, LODGE_ERROR_INTERNAL, "interrupted");
}
