/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quick.c: the table of the commands above the plain ones. */
#include "cli/groups.h"
#include "cli/run.h"

static const struct cli_verb verbs[] = {
	{ "run", "Make a machine, start it, and open a shell in it",
		"'lodge run debian' prepares a Debian guest once, which takes minutes the first "
		"time, makes a "
		"machine on a disk of its own, and opens a shell when it is up. The machine stays "
		"when the "
		"shell ends; with --rm it is removed.",
		run_options, run_run },
	{ "shell", "Open a shell in a machine, or run a command there", NULL, shell_options,
		shell_run },
	{ "cp", "Copy files into or out of a machine", NULL, cp_options, cp_run },
	{ "apply", "Make machines, networks and pools what a file says they shall be",
		"Shows the difference first, and asks. What is already so is left alone.",
		apply_options, apply_run },
	{ "top", "Watch what machines use", "q ends it.", top_options, top_run },
	{ NULL },
};

const struct cli_group cli_quick = { "quick", "Quick", verbs };
