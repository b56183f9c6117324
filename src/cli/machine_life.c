/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine_life.c: the commands that start, stop, pause and save machines. */
#include "cli/machine.h"

#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"

/* POSTs /machines/NAME/action. */
static int act(struct cli *c, const char *action, json_t *body, const char *done, GError **error)
{
	const char *name = cli_text(c, "domain");
	g_autofree char *base = client_path("/machines/%s", name);
	g_autofree char *note = g_strdup_printf("%s %s", name, done);

	return daemon_do(c, "POST", g_strconcat(base, "/", action, NULL),
		body ? body : json_object(), note, error);
}

/* ---- start ---- */

const struct cli_option machine_start_options[] = {
	MACHINE_ARGUMENT,
	{ "paused", 0, CLI_FLAG, .help = "do not let it run yet" },
	{ "force-boot", 0, CLI_FLAG, .help = "throw a managed save away" },
	{ "console", 0, CLI_FLAG, .help = "and open its console" },
	{ "force", 0, CLI_FLAG, .help = "with --console: throw another client out" },
	{ "devname", 0, CLI_TEXT, .value = "ALIAS", .help = "with --console: this one" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_start_run(struct cli *c, GError **error)
{
	json_t *body = json_pack("{s:b, s:b}", "paused", cli_flag(c, "paused"), "force_boot",
		cli_flag(c, "force-boot"));
	int status = act(c, "start", body, "started", error);

	return status == 0 && cli_flag(c, "console") ? console_run(c, error) : status;
}

/* ---- what needs no word more ---- */

static const struct action {
	const char *verb, *path, *done;
} actions[] = {
	{ "destroy", "destroy", "is off" },
	{ "reset", "reset", "was reset" },
	{ "suspend", "suspend", "is paused" },
	{ "resume", "resume", "goes on" },
	{ "inject-nmi", "nmi", "got an NMI" },
};

int machine_action_run(struct cli *c, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(actions); i++) {
		if (!strcmp(actions[i].verb, c->verb->name))
			return act(c, actions[i].path, NULL, actions[i].done, error);
	}
	g_assert_not_reached();
}

/* ---- shutdown, reboot ---- */

static const char *const modes[] = { "acpi", "agent", NULL };

const struct cli_option machine_shutdown_options[] = {
	MACHINE_ARGUMENT,
	{ "mode", 0, CLI_CHOICE, .choices = modes, .help = "how the guest is asked" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_shutdown_run(struct cli *c, GError **error)
{
	const char *mode = cli_text(c, "mode");
	bool reboot = !strcmp(c->verb->name, "reboot");

	return act(c, c->verb->name, mode ? json_pack("{s:s}", "mode", mode) : NULL,
		reboot ? "is being rebooted" : "is being shut down", error);
}

/* ---- save, restore ---- */

const struct cli_option machine_save_options[] = {
	MACHINE_ARGUMENT,
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "where on the daemon's host" },
	CLIENT_OPTIONS,
	{ NULL },
};

static json_t *file_body(struct cli *c)
{
	g_autofree char *path = g_canonicalize_filename(cli_text(c, "file"), NULL);

	return json_pack("{s:s, s:b}", "file", path, "paused", cli_flag(c, "paused"));
}

int machine_save_run(struct cli *c, GError **error)
{
	g_autofree char *path = g_canonicalize_filename(cli_text(c, "file"), NULL);

	return act(c, "save", json_pack("{s:s}", "file", path), "was saved and is off", error);
}

const struct cli_option machine_restore_options[] = {
	{ "domain", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "MACHINE",
		.help = "the machine that was saved", .complete = COMPLETE_MACHINE },
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "what save wrote" },
	{ "paused", 0, CLI_FLAG, .help = "do not let it run yet" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_restore_run(struct cli *c, GError **error)
{
	return act(c, "restore", file_body(c), "goes on", error);
}

const struct cli_option machine_managedsave_options[] = {
	MACHINE_ARGUMENT,
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_managedsave_run(struct cli *c, GError **error)
{
	return act(c, "managedsave", NULL, "was saved; 'lodge start' goes on from there", error);
}
