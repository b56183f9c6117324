/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine_define.c: the commands that keep and change definitions of machines. */
#include "cli/machine.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/daemon.h"

static char *machine_path(struct cli *c)
{
	return client_path("/machines/%s", cli_text(c, "domain"));
}

/* ---- define, create, undefine ---- */

#define FILE_ARGUMENT                                                                              \
	{                                                                                          \
		"file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,                                \
			.complete = CLI_COMPLETE_FILE,                                             \
			.help = "libvirt domain XML; - reads it from the standard input"           \
	}

const struct cli_option machine_define_options[] = {
	FILE_ARGUMENT,
	{ "validate", 0, CLI_FLAG, .help = "refuse what the schema does not know" },
	CLIENT_OPTIONS,
	{ NULL },
};

const struct cli_option machine_create_options[] = {
	FILE_ARGUMENT,
	{ "paused", 0, CLI_FLAG, .help = "do not let it run yet" },
	{ "validate", 0, CLI_FLAG, .help = "refuse what the schema does not know" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int define(struct cli *c, const char *query, const char *done, GError **error)
{
	g_autofree char *xml = daemon_read_file(cli_text(c, "file"), error);
	char *path = g_strdup_printf(
		"/machines?validate=%s%s", cli_flag(c, "validate") ? "true" : "false", query);

	if (xml)
		return daemon_do_xml(c, "POST", path, xml, done, error);
	g_free(path);
	return -1;
}

int machine_define_run(struct cli *c, GError **error)
{
	return define(c, "", "The machine is defined; 'lodge start' starts it", error);
}

int machine_create_run(struct cli *c, GError **error)
{
	return define(c, cli_flag(c, "paused") ? "&transient=true&paused=true" : "&transient=true",
		"The machine runs; it is forgotten when it stops", error);
}

const struct cli_option machine_undefine_options[] = {
	MACHINE_ARGUMENT,
	{ "managed-save", 0, CLI_FLAG, .help = "and its managed save" },
	{ "snapshots-metadata", 0, CLI_FLAG, .help = "and what is known of its snapshots" },
	{ "remove-all-storage", 0, CLI_FLAG, .help = "and the volumes of its disks" },
	{ "nvram", 0, CLI_FLAG, CLI_HIDDEN },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_undefine_run(struct cli *c, GError **error)
{
	g_autofree char *path = machine_path(c);
	g_autofree char *done = g_strdup_printf("%s is forgotten", cli_text(c, "domain"));
	char *full = g_strdup_printf("%s?managed_save=%s&snapshots=%s&storage=%s", path,
		cli_flag(c, "managed-save") ? "true" : "false",
		cli_flag(c, "snapshots-metadata") ? "true" : "false",
		cli_flag(c, "remove-all-storage") ? "true" : "false");

	return daemon_do(c, "DELETE", full, NULL, done, error);
}

/* ---- the XML ---- */

const struct cli_option machine_dumpxml_options[] = {
	MACHINE_ARGUMENT,
	{ "inactive", 0, CLI_FLAG, .help = "the kept definition, also while it runs" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_dumpxml_run(struct cli *c, GError **error)
{
	g_autofree char *path = machine_path(c);

	return daemon_print_xml(c,
		g_strconcat(path, "/xml", cli_flag(c, "inactive") ? "?inactive=true" : "", NULL),
		error);
}

int machine_edit_run(struct cli *c, GError **error)
{
	g_autofree char *path = machine_path(c);

	return daemon_edit_xml(c, g_strconcat(path, "/xml?inactive=true", NULL),
		g_strdup("/machines"), cli_text(c, "domain"), error);
}

/* ---- properties ---- */

/* PATCHes the machine: the running one, the kept one, or what applies. */
static int change(struct cli *c, json_t *body, const char *done, GError **error)
{
	g_autofree char *path = machine_path(c);
	char *full = g_strdup_printf("%s?live=%s&config=%s", path,
		cli_flag(c, "live") || cli_flag(c, "current") ? "true" : "false",
		cli_flag(c, "config") ? "true" : "false");

	if (!cli_flag(c, "live") && !cli_flag(c, "config")) {
		g_free(full);
		full = g_strdup(path);
	}
	return daemon_do(c, "PATCH", full, body, done, error);
}

/* For verbs without --live and --config. */
static int change_kept(struct cli *c, json_t *body, const char *done, GError **error)
{
	return daemon_do(c, "PATCH", machine_path(c), body, done, error);
}

const struct cli_option machine_autostart_options[] = {
	MACHINE_ARGUMENT,
	{ "disable", 0, CLI_FLAG, .help = "no longer" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_autostart_run(struct cli *c, GError **error)
{
	bool on = !cli_flag(c, "disable");
	g_autofree char *done = g_strdup_printf(
		"%s %s with the host", cli_text(c, "domain"), on ? "starts" : "no longer starts");

	return change_kept(c, json_pack("{s:b}", "autostart", on), done, error);
}

const struct cli_option machine_rename_options[] = {
	MACHINE_ARGUMENT,
	{ "new-name", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "its new name" },
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_rename_run(struct cli *c, GError **error)
{
	return change_kept(
		c, json_pack("{s:s}", "name", cli_text(c, "new-name")), "Renamed", error);
}

#define WHERE_OPTIONS                                                                              \
	{ "live", 0, CLI_FLAG, .help = "change the running machine" },                             \
		{ "config", 0, CLI_FLAG, .help = "change the kept definition" },                   \
	{                                                                                          \
		"current", 0, CLI_FLAG,                                                            \
			.help = "change the running machine, or the kept one if it is off"         \
	}

const struct cli_option machine_count_options[] = {
	MACHINE_ARGUMENT,
	{ "count", 0, CLI_NUMBER, CLI_POSITIONAL | CLI_REQUIRED,
		.help = "how many there shall be" },
	{ "maximum", 0, CLI_FLAG, .help = "how many there can be; for the next start" },
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_setvcpus_run(struct cli *c, GError **error)
{
	const char *member = cli_flag(c, "maximum") ? "max_vcpus" : "vcpus";

	return change(c, json_pack("{s:I}", member, (json_int_t)cli_number(c, "count", 0)), "Done",
		error);
}

const struct cli_option machine_memory_options[] = {
	MACHINE_ARGUMENT,
	{ "size", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,
		.help = "bytes with K, M, G, T; a bare number is KiB, as virsh has it" },
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_setmem_run(struct cli *c, GError **error)
{
	const char *member = strcmp(c->verb->name, "setmem") ? "max_memory" : "memory";
	const char *text = cli_text(c, "size");
	size_t n = strspn(text, "0123456789");
	g_autofree char *scaled = g_strconcat(text, text[n] ? "" : "K", NULL);
	uint64_t bytes;

	if (size_parse(scaled, &bytes, error) < 0)
		return -1;
	return change(c, json_pack("{s:I}", member, (json_int_t)bytes), "Done", error);
}

const struct cli_option machine_describe_options[] = {
	MACHINE_ARGUMENT,
	{ "title", 0, CLI_FLAG, .help = "its title instead of its description" },
	{ "new-desc", 0, CLI_TEXT, CLI_POSITIONAL | CLI_MANY, .value = "TEXT",
		.help = "the new text; without it, the present one is shown" },
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int machine_describe_run(struct cli *c, GError **error)
{
	const char *member = cli_flag(c, "title") ? "title" : "description";
	const char *const *words = cli_texts(c, "new-desc");
	int status;
	json_t *m;

	if (words[0]) {
		g_autofree char *text = g_strjoinv(" ", (char **)words);

		return change(c, json_pack("{s:s}", member, text), "Done", error);
	}
	m = daemon_ask(c, "GET", machine_path(c), NULL, &status, error);
	if (m)
		puts(member_text(m, member));
	json_decref(m);
	return status;
}
