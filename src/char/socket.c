/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * socket.c: unix and tcp back ends. A server serves one peer at a time, the next waits in the
 * backlog; a client connects again each second when its server went away.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/socket.h"
#include "char/kind.h"

enum { RETRY_MS = 1000, FIRST_CONNECT_MS = 5000 };

struct socket_peer {
	struct socket_address address;
	char *unlink_path; /* owned; the socket file we made */
	int listener;	   /* -1: we are the client */
	int connecting;	   /* a connect() under way, or -1 */
	guint source;	   /* waits for one of them, or for the next try */
};

static gboolean retry(gpointer opaque);

static void retry_later(struct chardev *c)
{
	struct socket_peer *p = char_priv(c);

	p->source = g_timeout_add(RETRY_MS, retry, c);
}

static gboolean connect_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct chardev *c = opaque;
	struct socket_peer *p = char_priv(c);

	p->source = 0;
	p->connecting = -1;
	if (socket_connected(fd) == 0) {
		char_connect(c, fd, fd);
	} else {
		close(fd);
		retry_later(c);
	}
	return G_SOURCE_REMOVE;
}

static gboolean retry(gpointer opaque)
{
	struct chardev *c = opaque;
	struct socket_peer *p = char_priv(c);

	p->source = 0;
	p->connecting = socket_connect(&p->address);
	if (p->connecting < 0) {
		p->connecting = -1;
		retry_later(c);
	} else {
		p->source = g_unix_fd_add(p->connecting, G_IO_OUT | G_IO_HUP | G_IO_ERR,
					  connect_ready, c);
	}
	return G_SOURCE_REMOVE;
}

static gboolean listener_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct chardev *c = opaque;
	struct socket_peer *p = char_priv(c);
	int peer = socket_accept(fd);

	if (peer < 0)
		return G_SOURCE_CONTINUE;
	p->source = 0;
	char_connect(c, peer, peer);
	return G_SOURCE_REMOVE;
}

static void socket_disconnected(struct chardev *c)
{
	struct socket_peer *p = char_priv(c);

	if (p->listener >= 0)
		p->source = g_unix_fd_add(p->listener, G_IO_IN, listener_ready, c);
	else
		retry_later(c);
}

/* Cuts ",server" off; 0 or -1 with error for any other suffix. */
static int parse_suffix(char *arg, bool *server, GError **error)
{
	char *comma = strrchr(arg, ',');

	*server = false;
	if (!comma)
		return 0;
	if (strcmp(comma, ",server"))
		return fail(error, LODGE_ERROR_USAGE, "'%s': only ',server' may follow the address",
			    arg);
	*comma = 0;
	*server = true;
	return 0;
}

static int socket_open(struct chardev *c, const char *arg, bool tcp, GError **error)
{
	struct socket_peer *p = g_new0(struct socket_peer, 1);
	g_autofree char *where = g_strdup(arg);
	bool server;
	int fd;

	p->listener = p->connecting = -1;
	char_set_priv(c, p);
	if (parse_suffix(where, &server, error) < 0 ||
	    (tcp ? socket_address_tcp(&p->address, where, error) :
		   socket_address_unix(&p->address, where, error)) < 0)
		return -1;
	if (server) {
		p->listener = socket_listen(&p->address, error);
		if (p->listener < 0)
			return -1;
		if (!tcp)
			p->unlink_path = g_steal_pointer(&where);
		char_set_description(c, "%s %s", tcp ? "tcp" : "unix", p->address.text);
		socket_disconnected(c);
		return 0;
	}
	fd = socket_connect_wait(&p->address, FIRST_CONNECT_MS, error);
	if (fd < 0)
		return -1;
	char_connect(c, fd, fd);
	return 0;
}

static int unix_open(struct chardev *c, const char *arg, GError **error)
{
	return socket_open(c, arg, false, error);
}

static int tcp_open(struct chardev *c, const char *arg, GError **error)
{
	return socket_open(c, arg, true, error);
}

static void socket_close(struct chardev *c)
{
	struct socket_peer *p = char_priv(c);

	if (!p)
		return;
	if (p->source)
		g_source_remove(p->source);
	if (p->listener >= 0)
		close(p->listener);
	if (p->connecting >= 0)
		close(p->connecting);
	if (p->unlink_path)
		unlink(p->unlink_path);
	g_free(p->unlink_path);
	g_free(p);
}

const struct char_kind char_kind_unix = {
	.name = "unix",
	.argument = "PATH[,server]",
	.open = unix_open,
	.close = socket_close,
	.disconnected = socket_disconnected,
};

const struct char_kind char_kind_tcp = {
	.name = "tcp",
	.argument = "HOST:PORT[,server]",
	.open = tcp_open,
	.close = socket_close,
	.disconnected = socket_disconnected,
};
