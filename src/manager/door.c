/* SPDX-License-Identifier: GPL-2.0-or-later */
/* door.c: listening, and who comes in. */
#include "manager/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"
#include "manager/rpc/sasl.h"
#include "manager/rpc/server.h"
#include "manager/rpc/tls.h"

enum door_kind { DOOR_UNIX, DOOR_UNIX_RO, DOOR_TCP, DOOR_TLS };

struct door {
	struct doors *doors;
	enum door_kind kind;
	int fd;
	guint source;
	char *path; /* to unlink; NULL: not ours */
};

struct doors {
	struct rpc_server *server;
	const struct door_config *config;
	struct audit *audit;
	struct tls_context *tls;
	GPtrArray *list;
};

static bool in_groups(char **groups, const gid_t *list, int count)
{
	for (char **g = groups; g && *g; g++) {
		const struct group *gr = getgrnam(*g);

		for (int i = 0; gr && i < count; i++) {
			if (list[i] == gr->gr_gid)
				return true;
		}
	}
	return false;
}

enum role door_local_role(const struct door_config *c, uid_t uid, gid_t gid)
{
	struct passwd *pw = getpwuid(uid);
	g_autofree gid_t *list = g_new(gid_t, 1024);
	int count = 1024;

	if (uid == 0 || uid == geteuid())
		return ROLE_ADMIN;
	list[0] = gid;
	if (!pw || getgrouplist(pw->pw_name, gid, list, &count) < 0)
		count = 1;
	/* Who names no groups lets the socket's permissions decide, as libvirt does. */
	if (!c->admin_groups && !c->operate_groups && !c->read_groups)
		return ROLE_ADMIN;
	if (in_groups(c->admin_groups, list, count))
		return ROLE_ADMIN;
	if (in_groups(c->operate_groups, list, count))
		return ROLE_OPERATE;
	if (in_groups(c->read_groups, list, count))
		return ROLE_READ;
	return c->others;
}

static GHashTable *copy_roles(GHashTable *from)
{
	return from ? g_hash_table_ref(from) : NULL;
}

void door_caller_unix(const struct door_config *c, int fd, struct audit *audit, struct caller *ret)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);
	const struct passwd *pw;
	const struct door_grant *grant;

	*ret = (struct caller){ .uid = (uid_t)-1, .audit = audit };
	ret->address = g_strdup("unix");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		ret->identity = g_strdup("unknown");
		return;
	}
	pw = getpwuid(cred.uid);
	ret->uid = cred.uid;
	ret->identity = g_strdup_printf("uid %u (%s)", cred.uid, pw ? pw->pw_name : "?");
	ret->role = door_local_role(c, cred.uid, cred.gid);
	grant = pw ? g_hash_table_lookup(c->identities, pw->pw_name) : NULL;
	if (grant && cred.uid && cred.uid != geteuid()) {
		ret->role = grant->role;
		ret->roles = copy_roles(grant->roles);
	}
}

void door_caller_named(const struct door_config *c, const char *kind, const char *name,
	enum role otherwise, struct audit *audit, struct caller *ret)
{
	const struct door_grant *grant = g_hash_table_lookup(c->identities, name);

	ret->uid = (uid_t)-1;
	ret->audit = audit;
	g_free(ret->identity);
	ret->identity = g_strdup_printf("%s %s", kind, name);
	ret->role = grant ? grant->role : otherwise;
	ret->roles = grant ? copy_roles(grant->roles) : NULL;
}

static char *peer_name(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0 ||
		getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return g_strdup("unknown");
	return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void admit(struct door *d, int fd)
{
	struct caller caller = { .uid = (uid_t)-1, .audit = d->doors->audit };
	struct transport *t;
	const int one = 1;

	if (d->kind == DOOR_UNIX || d->kind == DOOR_UNIX_RO) {
		door_caller_unix(d->doors->config, fd, d->doors->audit, &caller);
		if (d->kind == DOOR_UNIX_RO) {
			caller.role = ROLE_READ;
			caller.read_only = true;
		}
		rpc_server_add(d->doors->server, transport_plain(fd, true), &caller, RPC_AUTH_NONE);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	caller.address = peer_name(fd);
	caller.identity = g_strdup("unauthenticated");
	if (d->kind == DOOR_TCP) {
		rpc_server_add(
			d->doors->server, transport_plain(fd, false), &caller, RPC_AUTH_SASL);
		return;
	}
	t = transport_tls(fd, d->doors->tls);
	if (t) {
		rpc_server_add(d->doors->server, t, &caller,
			d->doors->config->tls_sasl || d->doors->config->tls_no_verify
				? RPC_AUTH_SASL
				: RPC_AUTH_NONE);
		return;
	}
	caller_clear(&caller);
	close(fd);
}

static gboolean knock(gint listener, GIOCondition condition, gpointer opaque)
{
	struct door *d = opaque;
	int fd;

	for (int i = 0; i < 64 && (fd = socket_accept(listener)) >= 0; i++)
		admit(d, fd);
	return G_SOURCE_CONTINUE;
}

static void add_door(struct doors *ds, enum door_kind kind, int fd, const char *path)
{
	struct door *d = g_new0(struct door, 1);

	d->doors = ds;
	d->kind = kind;
	d->fd = fd;
	d->path = g_strdup(path);
	d->source = g_unix_fd_add(fd, G_IO_IN, knock, d);
	g_ptr_array_add(ds->list, d);
}

static int dress(const char *path, mode_t mode, const char *group, GError **error)
{
	const struct group *gr = group ? getgrnam(group) : NULL;

	if (group && !gr)
		return fail(error, LODGE_ERROR_USAGE, "there is no group '%s'", group);
	if (gr && chown(path, (uid_t)-1, gr->gr_gid) < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, errno, "cannot give %s to %s", path, group);
	if (chmod(path, mode) < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, errno, "cannot set the mode of %s", path);
	return 0;
}

static int open_unix(
	struct doors *ds, enum door_kind kind, const char *path, mode_t mode, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	struct socket_address a;
	int fd;

	if (g_mkdir_with_parents(folder, 0755) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "cannot make %s", folder);
	if (socket_address_unix(&a, path, error) < 0)
		return -1;
	fd = socket_listen(&a, error);
	if (fd < 0)
		return -1;
	if (dress(path, mode, ds->config->group, error) < 0) {
		close(fd);
		unlink(path);
		return -1;
	}
	add_door(ds, kind, fd, path);
	return 0;
}

static int open_tcp(struct doors *ds, enum door_kind kind, const char *address, GError **error)
{
	struct socket_address a;
	int fd;

	if (socket_address_tcp(&a, address, error) < 0)
		return -1;
	fd = socket_listen(&a, error);
	if (fd < 0)
		return -1;
	add_door(ds, kind, fd, NULL);
	return 0;
}

/* Where libvirtd would stand: who has one keeps it, and we stay reachable elsewhere. */
static int open_default(
	struct doors *ds, enum door_kind kind, const char *path, mode_t mode, GError **error)
{
	g_autoptr(GError) local = NULL;

	if (open_unix(ds, kind, path, mode, &local) == 0)
		return 0;
	if (ds->config->socket_given) {
		g_propagate_error(error, g_steal_pointer(&local));
		return -1;
	}
	log_warn("%s", local->message);
	return 0;
}

static int open_all(struct doors *ds, bool activated, GError **error)
{
	const struct door_config *c = ds->config;

	if (!activated && c->socket && open_default(ds, DOOR_UNIX, c->socket, c->mode, error) < 0)
		return -1;
	if (!activated && c->socket_ro &&
		open_default(ds, DOOR_UNIX_RO, c->socket_ro, c->mode_ro, error) < 0)
		return -1;
	if ((c->tcp || c->tls) && sasl_begin(error) < 0)
		return -1;
	if (c->tls && !(ds->tls = tls_context_new(c, error)))
		return -1;
	if (c->tcp && open_tcp(ds, DOOR_TCP, c->tcp, error) < 0)
		return -1;
	if (c->tls && open_tcp(ds, DOOR_TLS, c->tls, error) < 0)
		return -1;
	return 0;
}

struct doors *doors_open(struct rpc_server *s, const struct door_config *c, struct audit *audit,
	const int *fds, char **fd_names, unsigned fd_count, GError **error)
{
	struct doors *ds = g_new0(struct doors, 1);

	ds->server = s;
	ds->config = c;
	ds->audit = audit;
	ds->list = g_ptr_array_new();
	rpc_server_set_doors(s, c);
	for (unsigned i = 0; i < fd_count; i++) {
		bool ro = fd_names && fd_names[i] && strstr(fd_names[i], "-ro");

		g_unix_set_fd_nonblocking(fds[i], TRUE, NULL);
		add_door(ds, ro ? DOOR_UNIX_RO : DOOR_UNIX, fds[i], NULL);
	}
	if (open_all(ds, fd_count != 0, error) == 0)
		return ds;
	doors_close(ds);
	return NULL;
}

void doors_close(struct doors *ds)
{
	if (!ds)
		return;
	for (guint i = 0; i < ds->list->len; i++) {
		struct door *d = ds->list->pdata[i];

		g_source_remove(d->source);
		close(d->fd);
		if (d->path)
			unlink(d->path);
		g_free(d->path);
		g_free(d);
	}
	g_ptr_array_free(ds->list, TRUE);
	tls_context_unref(ds->tls);
	g_free(ds);
}
