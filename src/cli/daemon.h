/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.h: what the commands that talk to the daemon share. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "cli/client.h"

#define COMPLETE_MACHINE "lodge list --all --name"
#define COMPLETE_NETWORK "lodge net-list --all --name"
#define COMPLETE_POOL    "lodge pool-list --all --name"

#define MACHINE_ARGUMENT                                                                           \
	{                                                                                          \
		"domain", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,                              \
			.value = "MACHINE", .help = "its name, id or UUID",                        \
			.complete = COMPLETE_MACHINE                                               \
	}

/* One call of a verb: opens the daemon, asks, prints the answer as JSON if that is wanted (then the
 * result is NULL and *ret_status 0), else gives it to the caller. NULL with error and -1. `path` is
 * taken over and freed; `body` too. */
json_t *daemon_ask(struct cli *c, const char *method, char *path, json_t *body, int *ret_status,
	GError **error);
/* A call whose answer nobody needs: says `done` (unless --quiet or --json). */
int daemon_do(struct cli *c, const char *method, char *path, json_t *body, const char *done,
	GError **error);
/* The same with a definition as the body. */
int daemon_do_xml(struct cli *c, const char *method, char *path, const char *xml, const char *done,
	GError **error);
/* Prints a definition, or {"xml": …}. */
int daemon_print_xml(struct cli *c, char *path, GError **error);
/* Lets the person change a definition in $EDITOR, until it is taken or given up; put: where it
 * goes. */
int daemon_edit_xml(struct cli *c, char *get, char *put, const char *what, GError **error);

/* The file's text; "-" is stdin. NULL with error. */
char *daemon_read_file(const char *path, GError **error);

/* Members of an answer, with what people see where there is none. */
const char *member_text(const json_t *o, const char *name); /* "-" */
char *member_size(const json_t *o, const char *name);       /* "4.0 GiB"; free with g_free */
json_int_t member_int(const json_t *o, const char *name);
bool member_bool(const json_t *o, const char *name);

#endif
