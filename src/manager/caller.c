/* SPDX-License-Identifier: GPL-2.0-or-later */
/* caller.c: what callers may do, and the log of refusals. */
#include "manager/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/error.h"

struct audit {
	int fd;
};

static const char *const names[] = { "none", "read", "operate", "admin" };

const char *role_name(enum role role)
{
	return names[role];
}

int role_parse(const char *text, enum role *ret, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum role)i;
			return 0;
		}
	}
	return fail(
		error, LODGE_ERROR_USAGE, "'%s' is no role: none, read, operate or admin", text);
}

struct audit *audit_open(const char *path, GError **error)
{
	struct audit *a;
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0) {
		fail_errno(error, LODGE_ERROR_FILE, errno, "cannot open the audit log %s", path);
		return NULL;
	}
	a = g_new0(struct audit, 1);
	a->fd = fd;
	return a;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	close(a->fd);
	g_free(a);
}

void audit_write(struct audit *a, const char *fmt, ...)
{
	g_autoptr(GDateTime) now = NULL;
	g_autofree char *time = NULL, *text = NULL, *line = NULL;
	va_list ap;

	if (!a)
		return;
	now = g_date_time_new_now_utc();
	time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	/* What a client chose (names) must not begin a line of its own. */
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	}
	line = g_strdup_printf("%s %s\n", time, text);
	/* One write: lines of several threads do not mix. A full disk loses the line, not the
	 * service. */
	if (write(a->fd, line, strlen(line)) < 0)
		return;
}

void caller_clear(struct caller *c)
{
	g_free(c->identity);
	g_free(c->address);
	if (c->roles)
		g_hash_table_unref(c->roles);
	*c = (struct caller){ .uid = (uid_t)-1 };
}

int caller_check(const struct caller *c, enum role need, const char *name, const char *action,
	GError **error)
{
	enum role has = c->role;
	void *special;

	if (name && c->roles && g_hash_table_lookup_extended(c->roles, name, NULL, &special)) {
		has = (enum role)GPOINTER_TO_INT(special);
		if (c->read_only)
			has = MIN(has, ROLE_READ);
	}
	if (has >= need)
		return 0;
	audit_write(c->audit, "denied %s from %s: %s%s%s needs %s, has %s%s", c->identity,
		c->address, action, name ? " on " : "", name ? name : "", role_name(need),
		role_name(has), c->read_only ? " (read-only connection)" : "");
	if (c->read_only)
		return refuse(error, MANAGER_ERR_OPERATION_DENIED,
			"%s is not possible on a read-only connection", action);
	return refuse(error, MANAGER_ERR_ACCESS_DENIED,
		"%s may not do %s%s%s: that needs the role '%s'", c->identity, action,
		name ? " on " : "", name ? name : "", role_name(need));
}
