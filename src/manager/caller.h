/* SPDX-License-Identifier: GPL-2.0-or-later */
/* caller.h: who makes a call, and what they may do. */
#ifndef MANAGER_CALLER_H
#define MANAGER_CALLER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum role { ROLE_NONE, ROLE_READ, ROLE_OPERATE, ROLE_ADMIN };

struct audit; /* a log of refusals and of who came and went; any thread */
/* Appends to the file. NULL with error when it cannot be opened. */
struct audit *audit_open(const char *path, GError **error);
void audit_close(struct audit *a);
void audit_write(struct audit *a, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* One client. Filled by the door when it has authenticated it. */
struct caller {
	char *identity;      /* owned: "uid 1000 (ann)", "CN=…", "token build-bot" */
	char *address;       /* owned: "unix", "10.0.0.2:4431" */
	uid_t uid;           /* -1: not a local user */
	enum role role;      /* for all objects */
	GHashTable *roles;   /* owned; machine name -> role, where it differs; NULL: none */
	bool read_only;      /* asked for a read-only connection: why `role` is no more than that */
	struct audit *audit; /* borrowed; NULL: none */
};

/* Frees what it owns. */
void caller_clear(struct caller *c);
const char *role_name(enum role role);
/* "read", "operate", "admin", "none"; -1 with error for others. */
int role_parse(const char *text, enum role *ret, GError **error);

/* May this caller do `action` (a procedure or "GET /machines/x") that needs `need` on the machine
 * `name` (NULL: the host itself)? A refusal is written to the audit log. 0 or -1 with
 * ACCESS_DENIED. */
int caller_check(const struct caller *c, enum role need, const char *name, const char *action,
	GError **error);

#endif
