/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.c: the commands that look at machines. */
#include "cli/machine.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/table.h"

/* ---- list ---- */

const struct cli_option machine_list_options[] = {
	{ "all", 'a', CLI_FLAG, .help = "also those that are off" },
	{ "inactive", 0, CLI_FLAG, .help = "only those that are off" },
	{ "name", 0, CLI_FLAG, .help = "names only, one a line" },
	{ "uuid", 0, CLI_FLAG, .help = "UUIDs only, one a line" },
	{ "title", 0, CLI_FLAG, .help = "titles too" },
	{ "autostart", 0, CLI_FLAG, .help = "only those that start with the host" },
	{ "persistent", 0, CLI_FLAG, .help = "only those that are kept" },
	{ "transient", 0, CLI_FLAG, .help = "only those that are gone when they stop" },
	CLIENT_OPTIONS,
	{ NULL },
};

static bool wanted(const struct cli *c, const json_t *m)
{
	bool on = json_is_integer(json_object_get(m, "id"));

	if (cli_flag(c, "inactive") ? on : !on && !cli_flag(c, "all"))
		return false;
	return (!cli_flag(c, "autostart") || member_bool(m, "autostart")) &&
	       (!cli_flag(c, "persistent") || member_bool(m, "persistent")) &&
	       (!cli_flag(c, "transient") || !member_bool(m, "persistent"));
}

static void list_row(struct table *t, const json_t *m, bool title)
{
	g_autofree char *memory = member_size(m, "memory");
	const json_t *id = json_object_get(m, "id");

	if (json_is_integer(id))
		table_cell(t, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else
		table_cell(t, "-");
	table_cell(t, "%s", member_text(m, "name"));
	table_cell(t, "%s", member_text(m, "state"));
	table_cell(t, "%" JSON_INTEGER_FORMAT, member_int(m, "vcpus"));
	table_cell(t, "%s", memory);
	if (title)
		table_cell(t, "%s", member_text(m, "title"));
}

static void list_table(const struct cli *c, const json_t *list)
{
	static const struct table_column columns[] = { { "Id", TABLE_RIGHT },
		{ "Name", TABLE_FLEX }, { "State", 0 }, { "CPUs", TABLE_RIGHT },
		{ "Memory", TABLE_RIGHT }, { NULL } };
	static const struct table_column titled[] = { { "Id", TABLE_RIGHT }, { "Name", TABLE_FLEX },
		{ "State", 0 }, { "CPUs", TABLE_RIGHT }, { "Memory", TABLE_RIGHT },
		{ "Title", TABLE_FLEX }, { NULL } };
	bool title = cli_flag(c, "title");
	struct table *t = table_new(title ? titled : columns);

	for (size_t i = 0; i < json_array_size(list); i++)
		list_row(t, json_array_get(list, i), title);
	table_show(t);
}

int machine_list_run(struct cli *c, GError **error)
{
	struct client *cl = client_open(c, error);
	json_t *all = cl ? client_call(cl, "GET", "/machines", NULL, error) : NULL, *m;
	json_t *list = json_array();
	const char *only = cli_flag(c, "name") ? "name" : cli_flag(c, "uuid") ? "uuid" : NULL;
	size_t i;

	client_close(cl);
	json_array_foreach(all, i, m)
	{
		if (wanted(c, m))
			json_array_append(list, m);
	}
	if (all && c->json)
		cli_print_json(json_incref(list));
	else if (all && !only)
		list_table(c, list);
	for (i = 0; all && !c->json && only && i < json_array_size(list); i++)
		puts(member_text(json_array_get(list, i), only));
	if (all && !c->json && !only && !json_array_size(list) && !cli_flag(c, "all"))
		cli_note(c, "No machine runs; 'lodge list --all' shows those that are off, "
			    "'lodge run debian' makes one");
	json_decref(all);
	json_decref(list);
	return all ? 0 : -1;
}

/* ---- one machine ---- */

const struct cli_option machine_only_options[] = { MACHINE_ARGUMENT, CLIENT_OPTIONS, { NULL } };

static json_t *get(struct cli *c, const char *below, int *ret_status, GError **error)
{
	g_autofree char *path = client_path("/machines/%s", cli_text(c, "domain"));

	return daemon_ask(c, "GET", g_strconcat(path, below, NULL), NULL, ret_status, error);
}

static void line(const char *title, const char *value)
{
	printf("%-16s%s\n", title, value);
}

static void print_info(const json_t *m)
{
	g_autofree char *memory = member_size(m, "memory"), *max = member_size(m, "max_memory");
	g_autofree char *state =
		g_strdup_printf("%s (%s)", member_text(m, "state"), member_text(m, "reason"));

	printf("%-16s", "Id:");
	if (json_is_integer(json_object_get(m, "id")))
		printf("%" JSON_INTEGER_FORMAT "\n", member_int(m, "id"));
	else
		puts("-");
	line("Name:", member_text(m, "name"));
	line("UUID:", member_text(m, "uuid"));
	line("State:", state);
	printf("%-16s%" JSON_INTEGER_FORMAT " (at most %" JSON_INTEGER_FORMAT ")\n",
		"CPUs:", member_int(m, "vcpus"),
		MAX(member_int(m, "max_vcpus"), member_int(m, "vcpus")));
	line("Memory:", memory);
	line("Max memory:", max);
	line("Persistent:", member_bool(m, "persistent") ? "yes" : "no");
	line("Autostart:", member_bool(m, "autostart") ? "yes" : "no");
	line("Managed save:", member_bool(m, "managed_save") ? "yes" : "no");
}

int machine_info_run(struct cli *c, GError **error)
{
	int status;
	json_t *m = get(c, "", &status, error);

	if (m)
		print_info(m);
	json_decref(m);
	return status;
}

/* domstate, domid, domuuid, domname: one member. */
int machine_member_run(struct cli *c, GError **error)
{
	static const char *const members[][2] = { { "domstate", "state" }, { "domid", "id" },
		{ "domuuid", "uuid" }, { "domname", "name" } };
	int status;
	json_t *m = get(c, "", &status, error);

	for (unsigned i = 0; m && i < G_N_ELEMENTS(members); i++) {
		const json_t *v = json_object_get(m, members[i][1]);

		if (strcmp(members[i][0], c->verb->name))
			continue;
		if (json_is_integer(v))
			printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
		else
			puts(member_text(m, members[i][1]));
	}
	json_decref(m);
	return status;
}

int machine_disks_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Target", 0 }, { "Device", 0 },
		{ "Format", 0 }, { "Capacity", TABLE_RIGHT }, { "Used", TABLE_RIGHT },
		{ "Source", TABLE_FLEX }, { NULL } };
	int status;
	json_t *m = get(c, "", &status, error), *disk;
	struct table *t = table_new(columns);
	size_t i;

	json_array_foreach(json_object_get(m, "disks"), i, disk)
	{
		g_autofree char *size = member_size(disk, "capacity"),
				*used = member_size(disk, "allocation");

		table_cell(t, "%s", member_text(disk, "target"));
		table_cell(t, "%s", member_text(disk, "device"));
		table_cell(t, "%s", member_text(disk, "format"));
		table_cell(t, "%s", size);
		table_cell(t, "%s", used);
		table_cell(t, "%s", member_text(disk, "source"));
	}
	if (m)
		table_show(t);
	else
		table_free(t);
	json_decref(m);
	return status;
}

int machine_cards_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Interface", 0 }, { "Type", 0 },
		{ "Source", TABLE_FLEX }, { "Model", 0 }, { "MAC", 0 }, { NULL } };
	int status;
	json_t *m = get(c, "", &status, error), *card;
	struct table *t = table_new(columns);
	size_t i;

	json_array_foreach(json_object_get(m, "interfaces"), i, card)
	{
		table_cell(t, "%s", member_text(card, "target"));
		table_cell(t, "%s", member_text(card, "type"));
		table_cell(t, "%s", member_text(card, "source"));
		table_cell(t, "%s", member_text(card, "model"));
		table_cell(t, "%s", member_text(card, "mac"));
	}
	if (m)
		table_show(t);
	else
		table_free(t);
	json_decref(m);
	return status;
}

int machine_addresses_run(struct cli *c, GError **error)
{
	static const struct table_column columns[] = { { "Interface", 0 }, { "MAC", 0 },
		{ "Address", TABLE_FLEX }, { NULL } };
	int status;
	json_t *list = get(c, "/addresses", &status, error), *a;
	struct table *t = table_new(columns);
	size_t i;

	json_array_foreach(list, i, a)
	{
		table_cell(t, "%s", member_text(a, "interface"));
		table_cell(t, "%s", member_text(a, "mac"));
		table_cell(t, "%s/%" JSON_INTEGER_FORMAT, member_text(a, "address"),
			member_int(a, "prefix"));
	}
	if (list)
		table_show(t);
	else
		table_free(t);
	json_decref(list);
	return status;
}

/* ---- stats ---- */

const struct cli_option machine_stats_options[] = {
	{ "domain", 0, CLI_TEXT, CLI_POSITIONAL, .value = "MACHINE",
		.help = "its name, id or UUID (default: all that run)",
		.complete = COMPLETE_MACHINE },
	CLIENT_OPTIONS,
	{ NULL },
};

static void print_stats(const json_t *s)
{
	const char *name;
	json_t *v;

	printf("%s\n", member_text(s, "name"));
	json_object_foreach((json_t *)s, name, v)
	{
		if (json_is_integer(v))
			printf("  %s=%" JSON_INTEGER_FORMAT "\n", name, json_integer_value(v));
		else if (json_is_string(v) && strcmp(name, "name"))
			printf("  %s=%s\n", name, json_string_value(v));
	}
}

int machine_stats_run(struct cli *c, GError **error)
{
	const char *name = cli_text(c, "domain");
	int status;
	json_t *v = daemon_ask(c, "GET",
		       name ? client_path("/machines/%s/stats", name) : g_strdup("/stats"), NULL,
		       &status, error),
	       *s;
	size_t i;

	if (json_is_object(v))
		print_stats(v);
	json_array_foreach(v, i, s) print_stats(s);
	json_decref(v);
	return status;
}

/* ---- log ---- */

const struct cli_option machine_log_options[] = {
	MACHINE_ARGUMENT,
	{ "follow", 'f', CLI_FLAG, .help = "go on showing what comes" },
	{ "lines", 'n', CLI_NUMBER, .value = "N", .help = "only the last N lines" },
	CLIENT_OPTIONS,
	{ NULL },
};

static bool print_chunk(void *opaque, const char *bytes, size_t n)
{
	return fwrite(bytes, 1, n, stdout) == n && fflush(stdout) == 0;
}

int machine_log_run(struct cli *c, GError **error)
{
	g_autofree char *base = client_path("/machines/%s/log", cli_text(c, "domain"));
	g_autofree char *path = g_strdup_printf("%s?follow=%s&lines=%d", base,
		cli_flag(c, "follow") ? "true" : "false", (int)cli_number(c, "lines", 0));
	struct client *cl = client_open(c, error);
	int status = cl ? client_stream(cl, path, print_chunk, NULL, error) : -1;

	client_close(cl);
	return status;
}
