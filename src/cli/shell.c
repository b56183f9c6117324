/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shell.c: `lodge shell` and `lodge cp`: into a guest by ssh. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/guest.h"
#include "cli/run.h"

const struct cli_option shell_options[] = {
	MACHINE_ARGUMENT,
	{ "command", 0, CLI_TEXT, CLI_POSITIONAL | CLI_MANY | CLI_VERBATIM,
		.help = "what to run instead of a shell" },
	{ "user", 'l', CLI_TEXT, .value = "NAME", .help = "who to be (default: root)" },
	{ "wait", 'w', CLI_NUMBER, .value = "SECONDS",
		.help = "how long it may take to answer (default: 60)" },
	CLIENT_OPTIONS,
	{ NULL },
};

static char *login(const struct cli *c, const struct guest_address *a)
{
	const char *user = cli_text(c, "user");

	return g_strdup_printf("%s@%s", user ? user : "root", a->host);
}

/* Becomes the program. */
static int become(GPtrArray *argv, GError **error)
{
	g_ptr_array_add(argv, NULL);
	execvp(argv->pdata[0], (char **)argv->pdata);
	return fail_errno(error, LODGE_ERROR_HOST, errno, "%s: cannot start it",
		(const char *)argv->pdata[0]);
}

static int find(struct cli *c, const char *machine, struct guest_address *a, GError **error)
{
	struct client *cl = client_open(c, error);
	int status = cl ? guest_find(c, cl, machine, (int)cli_number(c, "wait", 60), a, error) : -1;

	client_close(cl);
	return status;
}

int shell_run(struct cli *c, GError **error)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	const char *const *words = cli_texts(c, "command");
	struct guest_address a = { 0 };

	if (find(c, cli_text(c, "domain"), &a, error) < 0)
		return -1;
	g_ptr_array_add(argv, g_strdup("ssh"));
	guest_ssh_options(&a, argv, false);
	if (!words[0] && isatty(STDIN_FILENO))
		g_ptr_array_add(argv, g_strdup("-t"));
	g_ptr_array_add(argv, login(c, &a));
	for (; *words; words++)
		g_ptr_array_add(argv, g_strdup(*words));
	guest_address_clear(&a);
	return become(argv, error);
}

const struct cli_option cp_options[] = {
	{ "from", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "a file here, or MACHINE:PATH" },
	{ "to", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "MACHINE:PATH, or a file here" },
	{ "recursive", 'r', CLI_FLAG, .help = "folders with what is in them" },
	{ "user", 'l', CLI_TEXT, .value = "NAME", .help = "who to be (default: root)" },
	{ "wait", 'w', CLI_NUMBER, .value = "SECONDS",
		.help = "how long it may take to answer (default: 60)" },
	CLIENT_OPTIONS,
	{ NULL },
};

/* The colon that parts machine and path, as scp takes it; NULL: a file here. */
static const char *colon(const char *s)
{
	const char *at = strchr(s, ':');

	return at && at > s && !memchr(s, '/', (size_t)(at - s)) ? at : NULL;
}

int cp_run(struct cli *c, GError **error)
{
	const char *from = cli_text(c, "from"), *to = cli_text(c, "to");
	const char *side = colon(from) ? from : to, *at = colon(side);
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *machine = at ? g_strndup(side, (size_t)(at - side)) : NULL, *there = NULL;
	struct guest_address a = { 0 };
	char *who;

	if (!machine || (colon(from) && colon(to)))
		return fail(
			error, LODGE_ERROR_USAGE, "one of the two is in a machine: MACHINE:PATH");
	if (find(c, machine, &a, error) < 0)
		return -1;
	g_ptr_array_add(argv, g_strdup("scp"));
	guest_ssh_options(&a, argv, true);
	if (cli_flag(c, "recursive"))
		g_ptr_array_add(argv, g_strdup("-r"));
	g_ptr_array_add(argv, g_strdup("--"));
	who = login(c, &a);
	there = g_strconcat(who, at, NULL);
	g_free(who);
	g_ptr_array_add(argv, g_strdup(side == from ? there : from));
	g_ptr_array_add(argv, g_strdup(side == from ? to : there));
	guest_address_clear(&a);
	return become(argv, error);
}
