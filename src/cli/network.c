/* SPDX-License-Identifier: GPL-2.0-or-later */
/* network.c: the commands for virtual networks. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/groups.h"
#include "cli/table.h"

#define NETWORK_ARGUMENT                                                                           \
	{                                                                                          \
		"network", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,                             \
			.help = "its name or UUID", .complete = COMPLETE_NETWORK                   \
	}

static char *network_path(struct cli *c, const char *below)
{
	g_autofree char *path = client_path("/networks/%s", cli_text(c, "network"));

	return g_strconcat(path, below, NULL);
}

static const struct cli_option network_options[] = { NETWORK_ARGUMENT, CLIENT_OPTIONS, { NULL } };

static const struct cli_option list_options[] = {
	{ "all", 'a', CLI_FLAG, .help = "also those that are off" },
	{ "inactive", 0, CLI_FLAG, .help = "only those that are off" },
	{ "name", 0, CLI_FLAG, .help = "names only, one a line" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int list_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Name", TABLE_FLEX }, { "State", 0 },
		{ "Forward", 0 }, { "Bridge", 0 }, { "Autostart", 0 }, { "Persistent", 0 },
		{ NULL } };
	struct table *t = table_new(columns);
	int status;
	json_t *list = daemon_ask(c, "GET", g_strdup("/networks"), NULL, &status, error), *n;
	size_t i;

	json_array_foreach(list, i, n)
	{
		bool active = member_bool(n, "active");

		if (cli_flag(c, "inactive") ? active : !active && !cli_flag(c, "all"))
			continue;
		if (cli_flag(c, "name")) {
			puts(member_text(n, "name"));
			continue;
		}
		table_cell(t, "%s", member_text(n, "name"));
		table_cell(t, active ? "active" : "inactive");
		table_cell(t, "%s", member_text(n, "forward"));
		table_cell(t, "%s", member_text(n, "bridge"));
		table_cell(t, member_bool(n, "autostart") ? "yes" : "no");
		table_cell(t, member_bool(n, "persistent") ? "yes" : "no");
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
	json_t *n = daemon_ask(c, "GET", network_path(c, ""), NULL, &status, error);

	if (n)
		printf("Name:           %s\nUUID:           %s\nActive:         %s\n"
		       "Persistent:     %s\nAutostart:      %s\nForward:        %s\nBridge:        "
		       " %s\n",
			member_text(n, "name"), member_text(n, "uuid"),
			member_bool(n, "active") ? "yes" : "no",
			member_bool(n, "persistent") ? "yes" : "no",
			member_bool(n, "autostart") ? "yes" : "no", member_text(n, "forward"),
			member_text(n, "bridge"));
	json_decref(n);
	return status;
}

static int start_run(struct cli *c, GError **error)
{
	return daemon_do(
		c, "POST", network_path(c, "/start"), json_object(), "The network is on", error);
}

static int destroy_run(struct cli *c, GError **error)
{
	return daemon_do(
		c, "POST", network_path(c, "/destroy"), json_object(), "The network is off", error);
}

static int undefine_run(struct cli *c, GError **error)
{
	return daemon_do(c, "DELETE", network_path(c, ""), NULL, "The network is forgotten", error);
}

static const struct cli_option define_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "libvirt network XML; - reads it from the standard input" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int define_run(struct cli *c, GError **error)
{
	bool transient = !strcmp(c->verb->name, "net-create");
	g_autofree char *xml = daemon_read_file(cli_text(c, "file"), error);

	if (!xml)
		return -1;
	return daemon_do_xml(c, "POST",
		g_strdup(transient ? "/networks?transient=true" : "/networks"), xml,
		transient ? "The network is on"
			  : "The network is defined; 'lodge net-start' starts it",
		error);
}

static int dumpxml_run(struct cli *c, GError **error)
{
	return daemon_print_xml(c, network_path(c, "/xml"), error);
}

static int edit_run(struct cli *c, GError **error)
{
	return daemon_edit_xml(c, network_path(c, "/xml?inactive=true"), g_strdup("/networks"),
		cli_text(c, "network"), error);
}

static const struct cli_option autostart_options[] = {
	NETWORK_ARGUMENT,
	{ "disable", 0, CLI_FLAG, .help = "no longer" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int autostart_run(struct cli *c, GError **error)
{
	return daemon_do(c, "PATCH", network_path(c, ""),
		json_pack("{s:b}", "autostart", !cli_flag(c, "disable")), "Done", error);
}

static int leases_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Expires", 0 }, { "MAC", 0 },
		{ "Address", 0 }, { "Host name", TABLE_FLEX }, { NULL } };
	struct table *t = table_new(columns);
	int status;
	json_t *list = daemon_ask(c, "GET", network_path(c, "/leases"), NULL, &status, error), *l;
	size_t i;

	json_array_foreach(list, i, l)
	{
		g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(
			(gint64)json_number_value(json_object_get(l, "expiry")));
		g_autofree char *text = when ? g_date_time_format(when, "%F %T") : g_strdup("-");

		table_cell(t, "%s", text);
		table_cell(t, "%s", member_text(l, "mac"));
		table_cell(t, "%s/%" JSON_INTEGER_FORMAT, member_text(l, "address"),
			member_int(l, "prefix"));
		table_cell(t, "%s", member_text(l, "hostname"));
	}
	if (list)
		table_show(t);
	else
		table_free(t);
	json_decref(list);
	return status;
}

static const struct cli_verb verbs[] = {
	{ "net-list", "List networks", NULL, list_options, list_run },
	{ "net-info", "Tell about a network", NULL, network_options, info_run },
	{ "net-start", "Switch a network on", NULL, network_options, start_run },
	{ "net-destroy", "Switch a network off", NULL, network_options, destroy_run },
	{ "net-define", "Define a network, or change its definition", NULL, define_options,
		define_run },
	{ "net-create", "Switch on a network that is forgotten when it is off", NULL,
		define_options, define_run },
	{ "net-undefine", "Forget a network", NULL, network_options, undefine_run },
	{ "net-dumpxml", "Show a network's definition", NULL, network_options, dumpxml_run },
	{ "net-edit", "Change a network's definition in an editor", NULL, network_options,
		edit_run },
	{ "net-autostart", "Switch a network on with the host", NULL, autostart_options,
		autostart_run },
	{ "net-dhcp-leases", "List the addresses a network has given out", NULL, network_options,
		leases_run },
	{ NULL },
};

const struct cli_group cli_networks = { "networks", "Networks", verbs };
