/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top.c: `lodge top`: what the machines use, again and again. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/client.h"
#include "cli/daemon.h"
#include "cli/run.h"
#include "cli/table.h"

const struct cli_option top_options[] = {
	{ "delay", 'd', CLI_NUMBER, .value = "SECONDS", .help = "between two looks (default: 2)" },
	{ "count", 'n', CLI_NUMBER, .value = "N", .help = "end after so many looks" },
	CLIENT_OPTIONS,
	{ NULL },
};

static const char *const rates[] = { "disk_read_bytes", "disk_write_bytes", "net_in_bytes",
	"net_out_bytes" };

/* The machine's entry in the look before; NULL: it was not there. */
static const json_t *find(const json_t *list, const char *uuid)
{
	json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
	{
		if (!strcmp(member_text(s, "uuid"), uuid))
			return s;
	}
	return NULL;
}

static double per_second(const json_t *now, const json_t *before, const char *name, double seconds)
{
	return before && seconds > 0
		       ? (double)(member_int(now, name) - member_int(before, name)) / seconds
		       : 0;
}

static void show(const json_t *now, const json_t *before, double seconds, bool clear)
{
	static const struct table_column columns[] = { { "Name", TABLE_FLEX }, { "State", 0 },
		{ "CPU %", TABLE_RIGHT }, { "Memory", TABLE_RIGHT }, { "Read/s", TABLE_RIGHT },
		{ "Written/s", TABLE_RIGHT }, { "Net in/s", TABLE_RIGHT },
		{ "Net out/s", TABLE_RIGHT }, { NULL } };
	struct table *t = table_new(columns);
	json_t *s;
	size_t i;

	json_array_foreach(now, i, s)
	{
		const json_t *was = find(before, member_text(s, "uuid"));
		g_autofree char *memory = member_size(s, "memory_rss");

		table_cell(t, "%s", member_text(s, "name"));
		table_cell(t, "%s", member_text(s, "state"));
		table_cell(t, "%.1f", per_second(s, was, "cpu_ns", seconds) / 1e7);
		table_cell(t, "%s", memory);
		for (unsigned k = 0; k < G_N_ELEMENTS(rates); k++) {
			double rate = per_second(s, was, rates[k], seconds);
			g_autofree char *text = size_format(rate > 0 ? (uint64_t)rate : 0);

			table_cell(t, "%s", text);
		}
	}
	if (clear)
		fputs("\033[H\033[J", stdout); /* home, erase below: ECMA-48, CUP and ED */
	table_show(t);
	if (clear)
		puts("\nq ends");
	fflush(stdout);
}

/* Waits; true if the person wants to end. */
static bool pause_or_quit(struct cli *c, int ms, bool terminal)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	for (int64_t end = g_get_monotonic_time() + ms * 1000;;) {
		int left = (int)((end - g_get_monotonic_time()) / 1000);

		if (cli_interrupted(c))
			return true;
		if (left <= 0)
			return false;
		if (poll(&p, terminal ? 1 : 0, MIN(left, 100)) > 0 &&
			read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 3))
			return true;
	}
}

static int loop(struct cli *c, struct client *cl, bool terminal, GError **error)
{
	int64_t looks = cli_number(c, "count", terminal ? -1 : 2), last = 0;
	json_t *before = NULL;

	for (;;) {
		int64_t time = g_get_monotonic_time();
		json_t *now = client_call(cl, "GET", "/stats", NULL, error);

		if (!now) {
			json_decref(before);
			return -1;
		}
		/* A rate needs two looks; what is piped shows only whole ones. */
		if (before || terminal) {
			if (c->json)
				cli_print_json(json_incref(now));
			else
				show(now, before, (double)(time - last) / G_USEC_PER_SEC, terminal);
		}
		json_decref(before);
		before = now;
		last = time;
		if (looks > 0 && !--looks)
			break;
		if (pause_or_quit(c, (int)cli_number(c, "delay", 2) * 1000, terminal))
			break;
	}
	json_decref(before);
	c->error_status = 0;
	return 0;
}

int top_run(struct cli *c, GError **error)
{
	bool terminal = isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && !c->json;
	struct client *cl = client_open(c, error);
	struct termios before, raw;
	int status;

	if (!cl)
		return -1;
	cli_catch_signals(c);
	if (terminal && tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	status = loop(c, cl, terminal, error);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	client_close(cl);
	return status;
}
