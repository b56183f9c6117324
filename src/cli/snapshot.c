/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot.c: the commands for a machine's snapshots. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/groups.h"
#include "cli/table.h"

#define SNAPSHOT_ARGUMENT                                                                          \
	{                                                                                          \
		"snapshotname", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "SNAPSHOT",   \
									    .help = "its name"     \
	}

static char *snapshots_path(struct cli *c)
{
	return client_path("/machines/%s/snapshots", cli_text(c, "domain"));
}

static char *snapshot_path(struct cli *c)
{
	return client_path(
		"/machines/%s/snapshots/%s", cli_text(c, "domain"), cli_text(c, "snapshotname"));
}

static const struct cli_option snapshot_options[] = { MACHINE_ARGUMENT, SNAPSHOT_ARGUMENT,
	CLIENT_OPTIONS, { NULL } };

/* ---- list ---- */

static const struct cli_option list_options[] = {
	MACHINE_ARGUMENT,
	{ "tree", 0, CLI_FLAG, .help = "as a tree" },
	{ "name", 0, CLI_FLAG, .help = "names only, one a line" },
	CLIENT_OPTIONS,
	{ NULL },
};

static bool is_child(const json_t *s, const char *parent)
{
	return !g_strcmp0(json_string_value(json_object_get(s, "parent")), parent);
}

/* The children of `parent` (NULL: the roots), each with its own below it. */
static void print_tree(const json_t *list, const char *parent, const char *indent)
{
	size_t left = 0, i;
	json_t *s;

	json_array_foreach(list, i, s) left += is_child(s, parent);
	json_array_foreach(list, i, s)
	{
		const char *name = member_text(s, "name");
		g_autofree char *below = NULL;

		if (!is_child(s, parent))
			continue;
		left--;
		printf("%s%s%s%s\n", indent,
			!parent ? ""
			: left  ? "├─ "
				: "└─ ",
			name, member_bool(s, "current") ? "  *" : "");
		below = g_strconcat(indent, !parent ? "" : left ? "│  " : "   ", NULL);
		print_tree(list, name, below);
	}
}

static void print_table(const json_t *list)
{
	static const struct table_column columns[] = { { "Name", TABLE_FLEX }, { "Created", 0 },
		{ "State", 0 }, { "Parent", TABLE_FLEX }, { "Current", 0 }, { NULL } };
	struct table *t = table_new(columns);
	json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
	{
		g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(
			(gint64)json_number_value(json_object_get(s, "created")));
		g_autofree char *text = when ? g_date_time_format(when, "%F %T") : g_strdup("-");

		table_cell(t, "%s", member_text(s, "name"));
		table_cell(t, "%s", text);
		table_cell(t, "%s", member_text(s, "state"));
		table_cell(t, "%s", member_text(s, "parent"));
		table_cell(t, member_bool(s, "current") ? "yes" : "");
	}
	table_show(t);
}

static int list_run(struct cli *c, GError **error)
{
	int status;
	json_t *list = daemon_ask(c, "GET", snapshots_path(c), NULL, &status, error), *s;
	size_t i;

	if (list && cli_flag(c, "tree")) {
		print_tree(list, NULL, "");
	} else if (list && cli_flag(c, "name")) {
		json_array_foreach(list, i, s) puts(member_text(s, "name"));
	} else if (list) {
		print_table(list);
	}
	json_decref(list);
	return status;
}

/* ---- make, revert, delete ---- */

static const struct cli_option create_as_options[] = {
	MACHINE_ARGUMENT,
	{ "name", 0, CLI_TEXT, CLI_POSITIONAL, .help = "its name (default: the time)" },
	{ "description", 0, CLI_TEXT, CLI_POSITIONAL, .value = "TEXT", .help = "what it is for" },
	{ "disk-only", 0, CLI_FLAG, .help = "disks only, no memory" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int create_as_run(struct cli *c, GError **error)
{
	const char *name = cli_text(c, "name"), *description = cli_text(c, "description");
	g_autofree char *named =
		name ? g_markup_printf_escaped("<name>%s</name>", name) : g_strdup("");
	g_autofree char *described =
		description ? g_markup_printf_escaped("<description>%s</description>", description)
			    : g_strdup("");
	g_autofree char *xml = g_strdup_printf("<domainsnapshot>%s%s%s</domainsnapshot>", named,
		described, cli_flag(c, "disk-only") ? "<memory snapshot='no'/>" : "");

	return daemon_do_xml(c, "POST", snapshots_path(c), xml, "The snapshot is taken", error);
}

static int revert_run(struct cli *c, GError **error)
{
	return daemon_do(
		c, "POST", snapshot_path(c), json_object(), "The machine is as it was then", error);
}

static int delete_run(struct cli *c, GError **error)
{
	return daemon_do(c, "DELETE", snapshot_path(c), NULL, "The snapshot is gone", error);
}

static int dumpxml_run(struct cli *c, GError **error)
{
	return daemon_print_xml(c, snapshot_path(c), error);
}

static const struct cli_verb verbs[] = {
	{ "snapshot-list", "List a machine's snapshots", NULL, list_options, list_run },
	{ "snapshot-create-as", "Take a snapshot", NULL, create_as_options, create_as_run },
	{ "snapshot-revert", "Go back to a snapshot", NULL, snapshot_options, revert_run },
	{ "snapshot-delete", "Delete a snapshot", NULL, snapshot_options, delete_run },
	{ "snapshot-dumpxml", "Show a snapshot's definition", NULL, snapshot_options, dumpxml_run },
	{ NULL },
};

const struct cli_group cli_snapshots = { "snapshots", "Snapshots", verbs };
