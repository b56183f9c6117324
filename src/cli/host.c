/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host.c: the commands about the daemon and its host, and what happens there. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/groups.h"

static int version_run(struct cli *c, GError **error)
{
	int status;
	json_t *v = daemon_ask(c, "GET", g_strdup("/version"), NULL, &status, error);

	if (v)
		printf("lodge   %s\nlodged  %s (%s)\n", LODGE_VERSION, member_text(v, "version"),
			member_text(v, "uri"));
	json_decref(v);
	return status;
}

/* hostname, uri: one member of an answer. */
static int member_run(struct cli *c, GError **error)
{
	bool uri = !strcmp(c->verb->name, "uri");
	int status;
	json_t *v =
		daemon_ask(c, "GET", g_strdup(uri ? "/version" : "/host"), NULL, &status, error);

	if (v)
		puts(member_text(v, uri ? "uri" : "hostname"));
	json_decref(v);
	return status;
}

static int nodeinfo_run(struct cli *c, GError **error)
{
	int status;
	json_t *v = daemon_ask(c, "GET", g_strdup("/host"), NULL, &status, error);
	g_autofree char *memory = member_size(v, "memory"), *left = member_size(v, "memory_free");

	if (v)
		printf("Host:           %s\nCPU model:      %s\nCPUs:           %d\n"
		       "Memory:         %s\nFree memory:    %s\nGuests run on:  %s\n"
		       "Machines:       %d (%d running)\n",
			member_text(v, "hostname"), member_text(v, "cpu_model"),
			(int)member_int(v, "cpus"), memory, left,
			strcmp(member_text(v, "accel"), "kvm") ? "Lodge's translator" : "KVM",
			(int)member_int(v, "machines"), (int)member_int(v, "running"));
	json_decref(v);
	return status;
}

static int capabilities_run(struct cli *c, GError **error)
{
	return daemon_print_xml(c, g_strdup("/host/capabilities"), error);
}

/* ---- events ---- */

static const struct cli_option event_options[] = {
	{ "domain", 0, CLI_TEXT, CLI_POSITIONAL, .value = "MACHINE", .help = "only of this one",
		.complete = COMPLETE_MACHINE },
	{ "count", 'n', CLI_NUMBER, .value = "N", .help = "end after so many" },
	{ "loop", 0, CLI_FLAG, CLI_HIDDEN }, /* virsh's: we go on anyway */
	CLIENT_OPTIONS,
	{ NULL },
};

struct watch {
	const struct cli *cli;
	GString *text; /* of the event that is being received */
	int64_t left;  /* -1: no end */
};

static void print_event(const struct watch *w, const json_t *e)
{
	double time = json_number_value(json_object_get(e, "time"));
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local((gint64)time);
	g_autofree char *clock = when ? g_date_time_format(when, "%T") : g_strdup("-");

	if (w->cli->json) {
		json_dumpf(e, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		printf("%s.%03d  %-9s %-20s %s %s %s\n", clock, (int)((gint64)(time * 1000) % 1000),
			member_text(e, "object"), member_text(e, "name"), member_text(e, "kind"),
			member_text(e, "event"), member_text(e, "detail"));
	}
	fflush(stdout);
}

/* Server-sent events: "data: …" lines, an empty one ends an event (HTML Standard, 9.2.6). */
static bool event_line(struct watch *w, const char *line)
{
	json_t *e;

	if (g_str_has_prefix(line, "data:")) {
		g_string_append(w->text, line + strlen("data:"));
		return true;
	}
	if (*line || !w->text->len)
		return true;
	e = json_loadb(w->text->str, w->text->len, 0, NULL);
	g_string_truncate(w->text, 0);
	if (!e)
		return true;
	print_event(w, e);
	json_decref(e);
	return w->left < 0 || --w->left > 0;
}

struct lines {
	struct watch watch;
	GString *rest; /* behind the last newline */
};

static bool event_bytes(void *opaque, const char *bytes, size_t n)
{
	struct lines *l = opaque;
	bool more = true;
	char *nl;

	g_string_append_len(l->rest, bytes, (gssize)n);
	while (more && (nl = memchr(l->rest->str, '\n', l->rest->len))) {
		*nl = '\0';
		g_strchomp(l->rest->str);
		more = event_line(&l->watch, l->rest->str);
		g_string_erase(l->rest, 0, nl + 1 - l->rest->str);
	}
	return more;
}

static int events_run(struct cli *c, GError **error)
{
	const char *name = cli_text(c, "domain");
	g_autofree char *path = name ? client_path("/events?name=%s", name) : g_strdup("/events");
	struct lines l = { { c, g_string_new(NULL),
				   cli_has(c, "count") ? cli_number(c, "count", 1) : -1 },
		g_string_new(NULL) };
	struct client *cl = client_open(c, error);
	int status = cl ? client_stream(cl, path, event_bytes, &l, error) : -1;

	client_close(cl);
	g_string_free(l.rest, TRUE);
	g_string_free(l.watch.text, TRUE);
	return status;
}

static const struct cli_verb verbs[] = {
	{ "version", "Tell the versions of lodge and of the daemon", NULL, client_options,
		version_run },
	{ "hostname", "Tell the daemon's host", NULL, client_options, member_run },
	{ "uri", "Tell the daemon's URI for libvirt's clients", NULL, client_options, member_run },
	{ "nodeinfo", "Tell about the host", NULL, client_options, nodeinfo_run },
	{ "capabilities", "Show what the host can do, as libvirt's XML", NULL, client_options,
		capabilities_run },
	{ "events", "Show what happens, as it happens", NULL, event_options, events_run, "event" },
	{ NULL },
};

const struct cli_group cli_host = { "host", "Host", verbs };
