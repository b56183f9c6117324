/* SPDX-License-Identifier: GPL-2.0-or-later */
/* general.c: help and shell completion. */
#include "cli/groups.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static int print(char *text)
{
	fputs(text, stdout);
	g_free(text);
	return 0;
}

/* `help image info`, `help list`, `help image` */
static int help_of(const char *const *words, GError **error)
{
	const struct cli_group *g = cli_group_find(words[0]);

	if (g && words[1]) {
		const struct cli_verb *v = cli_verb_find(g, words[1]);

		return v ? print(cli_help_verb(g, v))
			 : fail(error, LODGE_ERROR_USAGE,
				   "there is no command '%s %s'; 'lodge help %s' "
				   "lists them",
				   words[0], words[1], words[0]);
	}
	for (unsigned i = 0; !g && cli_groups[i]; i++) {
		const struct cli_verb *v =
			cli_groups[i]->nested ? NULL : cli_verb_find(cli_groups[i], words[0]);

		if (v)
			return print(cli_help_verb(cli_groups[i], v));
	}
	return g ? print(cli_help_group(g))
		 : fail(error, LODGE_ERROR_USAGE,
			   "there is no command '%s'; 'lodge help' lists them", words[0]);
}

static int help_run(struct cli *c, GError **error)
{
	const char *const *words = cli_texts(c, "command");

	if (cli_flag(c, "man")) {
		const struct cli_group *g = words[0] ? cli_group_find(words[0]) : NULL;

		if (words[0] && !g)
			return fail(error, LODGE_ERROR_USAGE, "there is no group '%s'", words[0]);
		return print(cli_man(g));
	}
	return words[0] ? help_of(words, error) : print(cli_help_overview());
}

static const struct cli_option help_options[] = {
	{ "command", 0, CLI_TEXT, CLI_POSITIONAL | CLI_MANY, .help = "the command to explain" },
	{ "man", 0, CLI_FLAG, .help = "print the manual page of all commands, or of a group" },
	{ NULL },
};

static int completion_run(struct cli *c, GError **error)
{
	return print(!strcmp(cli_text(c, "shell"), "zsh") ? cli_completion_zsh()
							  : cli_completion_bash());
}

static const char *const shells[] = { "bash", "zsh", NULL };

static const struct cli_option completion_options[] = {
	{ "shell", 0, CLI_CHOICE, CLI_POSITIONAL | CLI_REQUIRED, .choices = shells,
		.help = "the shell" },
	{ NULL },
};

static const struct cli_verb verbs[] = {
	{ "help", "Explain a command, or list all", NULL, help_options, help_run },
	{ "completion", "Print a script that completes lodge's commands in a shell",
		"Install it once:\n\n"
		"  lodge completion bash >/etc/bash_completion.d/lodge\n"
		"  lodge completion zsh >/usr/local/share/zsh/site-functions/_lodge",
		completion_options, completion_run },
	{ NULL },
};

const struct cli_group cli_general = { "general", "General", verbs };
