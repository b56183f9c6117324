/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c: the commands for storage pools. Volumes: volume.c. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/groups.h"
#include "cli/table.h"

#define POOL_ARGUMENT                                                                              \
	{                                                                                          \
		"pool", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .help = "its name or UUID",    \
								    .complete = COMPLETE_POOL      \
	}

static char *pool_path(struct cli *c, const char *below)
{
	g_autofree char *path = client_path("/pools/%s", cli_text(c, "pool"));

	return g_strconcat(path, below, NULL);
}

static const struct cli_option pool_options[] = { POOL_ARGUMENT, CLIENT_OPTIONS, { NULL } };

static const struct cli_option list_options[] = {
	{ "all", 'a', CLI_FLAG, .help = "also those that are off" },
	{ "inactive", 0, CLI_FLAG, .help = "only those that are off" },
	{ "name", 0, CLI_FLAG, .help = "names only, one a line" },
	{ "details", 0, CLI_FLAG, CLI_HIDDEN },
	CLIENT_OPTIONS,
	{ NULL },
};

static void list_row(struct table *t, const json_t *p)
{
	g_autofree char *capacity = member_size(p, "capacity"),
			*free_ = member_size(p, "available");

	table_cell(t, "%s", member_text(p, "name"));
	table_cell(t, member_bool(p, "active") ? "active" : "inactive");
	table_cell(t, "%s", member_text(p, "type"));
	table_cell(t, "%s", capacity);
	table_cell(t, "%s", free_);
	table_cell(t, member_bool(p, "autostart") ? "yes" : "no");
	table_cell(t, "%s", member_text(p, "path"));
}

static int list_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Name", TABLE_FLEX }, { "State", 0 },
		{ "Type", 0 }, { "Capacity", TABLE_RIGHT }, { "Free", TABLE_RIGHT },
		{ "Autostart", 0 }, { "Path", TABLE_FLEX }, { NULL } };
	struct table *t = table_new(columns);
	int status;
	json_t *list = daemon_ask(c, "GET", g_strdup("/pools"), NULL, &status, error), *p;
	size_t i;

	json_array_foreach(list, i, p)
	{
		bool active = member_bool(p, "active");

		if (cli_flag(c, "inactive") ? active : !active && !cli_flag(c, "all"))
			continue;
		if (cli_flag(c, "name"))
			puts(member_text(p, "name"));
		else
			list_row(t, p);
	}
	if (list && !cli_flag(c, "name"))
		table_show(t);
	else
		table_free(t);
	json_decref(list);
	return status;
}

static int info_run(struct cli *c, GError **error)
{
	int status;
	json_t *p = daemon_ask(c, "GET", pool_path(c, ""), NULL, &status, error);
	g_autofree char *capacity = member_size(p, "capacity"),
			*used = member_size(p, "allocation");
	g_autofree char *available = member_size(p, "available");

	if (p)
		printf("Name:           %s\nUUID:           %s\nType:           %s\n"
		       "State:          %s\nPersistent:     %s\nAutostart:      %s\nPath:          "
		       " %s\n"
		       "Capacity:       %s\nAllocation:     %s\nAvailable:      %s\n",
			member_text(p, "name"), member_text(p, "uuid"), member_text(p, "type"),
			member_bool(p, "active") ? "running" : "inactive",
			member_bool(p, "persistent") ? "yes" : "no",
			member_bool(p, "autostart") ? "yes" : "no", member_text(p, "path"),
			capacity, used, available);
	json_decref(p);
	return status;
}

/* start, destroy, refresh, build, delete: the verb's name behind "pool-". */
static int action_run(struct cli *c, GError **error)
{
	g_autofree char *below = g_strconcat("/", c->verb->name + strlen("pool-"), NULL);

	return daemon_do(c, "POST", pool_path(c, below), json_object(), "Done", error);
}

static int undefine_run(struct cli *c, GError **error)
{
	return daemon_do(c, "DELETE", pool_path(c, ""), NULL, "The pool is forgotten", error);
}

static const struct cli_option define_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "libvirt pool XML; - reads it from the standard input" },
	{ "build", 0, CLI_FLAG, .help = "make its folder or file system" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int define_run(struct cli *c, GError **error)
{
	bool transient = !strcmp(c->verb->name, "pool-create");
	g_autofree char *xml = daemon_read_file(cli_text(c, "file"), error);

	if (!xml)
		return -1;
	return daemon_do_xml(c, "POST",
		g_strdup_printf("/pools?transient=%s&build=%s", transient ? "true" : "false",
			cli_flag(c, "build") ? "true" : "false"),
		xml,
		transient ? "The pool is on" : "The pool is defined; 'lodge pool-start' starts it",
		error);
}

static int dumpxml_run(struct cli *c, GError **error)
{
	return daemon_print_xml(c, pool_path(c, "/xml"), error);
}

static int edit_run(struct cli *c, GError **error)
{
	return daemon_edit_xml(c, pool_path(c, "/xml?inactive=true"), g_strdup("/pools"),
		cli_text(c, "pool"), error);
}

static const struct cli_option autostart_options[] = {
	POOL_ARGUMENT,
	{ "disable", 0, CLI_FLAG, .help = "no longer" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int autostart_run(struct cli *c, GError **error)
{
	return daemon_do(c, "PATCH", pool_path(c, ""),
		json_pack("{s:b}", "autostart", !cli_flag(c, "disable")), "Done", error);
}

static const struct cli_verb verbs[] = {
	{ "pool-list", "List storage pools", NULL, list_options, list_run },
	{ "pool-info", "Tell about a pool", NULL, pool_options, info_run },
	{ "pool-start", "Switch a pool on", NULL, pool_options, action_run },
	{ "pool-destroy", "Switch a pool off; its data stays", NULL, pool_options, action_run },
	{ "pool-refresh", "Look what is in a pool", NULL, pool_options, action_run },
	{ "pool-build", "Make a pool's folder, file system or volume group", NULL, pool_options,
		action_run },
	{ "pool-delete", "Remove what pool-build made", NULL, pool_options, action_run },
	{ "pool-define", "Define a pool, or change its definition", NULL, define_options,
		define_run },
	{ "pool-create", "Switch on a pool that is forgotten when it is off", NULL, define_options,
		define_run },
	{ "pool-undefine", "Forget a pool; its data stays", NULL, pool_options, undefine_run },
	{ "pool-dumpxml", "Show a pool's definition", NULL, pool_options, dumpxml_run },
	{ "pool-edit", "Change a pool's definition in an editor", NULL, pool_options, edit_run },
	{ "pool-autostart", "Switch a pool on with the host", NULL, autostart_options,
		autostart_run },
	{ NULL },
};

const struct cli_group cli_pools = { "pools", "Storage pools", verbs };
