/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socket.c: stream sockets, see socket.h. Spec: unix(7), tcp(7). */
#include "base/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"

int socket_address_unix(struct socket_address *a, const char *path, GError **error)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	memset(a, 0, sizeof(*a));
	if (!path[0] || strlen(path) >= sizeof(un->sun_path))
		return fail(error, LODGE_ERROR_USAGE,
			    "'%s': a socket's path has 1 to %zu bytes", path,
			    sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	a->len = sizeof(*un);
	g_strlcpy(a->text, path, sizeof(a->text));
	return 0;
}

static int split(const char *hostport, char **host, const char **port, GError **error)
{
	const char *colon = strrchr(hostport, ':');
	size_t n = colon ? colon - hostport : 0;
	guint64 number;

	if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, 65535, &number, NULL))
		return fail(error, LODGE_ERROR_USAGE,
			    "'%s': expected HOST:PORT with a port from 1 to 65535", hostport);
	if (n >= 2 && hostport[0] == '[' && colon[-1] == ']')
		*host = g_strndup(hostport + 1, n - 2);
	else
		*host = g_strndup(hostport, n);
	*port = colon + 1;
	return 0;
}

int socket_address_tcp(struct socket_address *a, const char *hostport, GError **error)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	g_autofree char *host = NULL;
	const char *port;
	int r;

	memset(a, 0, sizeof(*a));
	if (split(hostport, &host, &port, error) < 0)
		return -1;
	r = getaddrinfo(host[0] ? host : "127.0.0.1", port, &hints, &list);
	if (r)
		return fail(error, LODGE_ERROR_HOST, "'%s': %s", hostport, gai_strerror(r));
	memcpy(&a->sa, list->ai_addr, list->ai_addrlen);
	a->len = list->ai_addrlen;
	freeaddrinfo(list);
	g_strlcpy(a->text, hostport, sizeof(a->text));
	return 0;
}

static int new_socket(const struct socket_address *a)
{
	int on = 1, idle = 30;
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && a->sa.ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		/* A peer that vanished must not hold a console for ever. */
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	}
	return fd;
}

/* Removes a socket file whose program is gone; false if somebody still listens. */
static bool remove_stale(const struct socket_address *a)
{
	const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
	struct stat st;
	bool dead;
	int fd;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = new_socket(a);
	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno == ECONNREFUSED;
	close(fd);
	return dead && unlink(path) == 0;
}

int socket_listen(const struct socket_address *a, GError **error)
{
	const struct sockaddr *sa = (const struct sockaddr *)&a->sa;
	int fd = new_socket(a);
	int err = 0;

	if (fd < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "'%s': no socket", a->text);
	if (a->sa.ss_family == AF_UNIX)
		fchmod(fd, 0600); /* becomes the mode of the file bind() makes */
	if (bind(fd, sa, a->len) < 0) {
		err = errno;
		if (err == EADDRINUSE && a->sa.ss_family == AF_UNIX && remove_stale(a))
			err = bind(fd, sa, a->len) < 0 ? errno : 0;
	}
	if (!err && listen(fd, SOMAXCONN) < 0)
		err = errno;
	if (!err)
		return fd;
	close(fd);
	if (err == EADDRINUSE)
		return fail(error, LODGE_ERROR_HOST,
			    a->sa.ss_family == AF_UNIX ?
				    "'%s' is in use by another program; choose another path" :
				    "the port of '%s' is in use by another program; choose another",
			    a->text);
	return fail_errno(error, LODGE_ERROR_HOST, err, "cannot listen on '%s'", a->text);
}

int socket_accept(int listener)
{
	int on = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on unix */
	return fd;
}

int socket_connect(const struct socket_address *a)
{
	int fd = new_socket(a);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno != EINPROGRESS) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

int socket_connected(int fd)
{
	socklen_t n = sizeof(int);
	int err = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 ? errno : err;
}

int socket_connect_wait(const struct socket_address *a, int timeout_ms, GError **error)
{
	int fd = socket_connect(a);
	int err = fd < 0 ? -fd : 0;

	if (fd >= 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		err = poll(&p, 1, timeout_ms) == 1 ? socket_connected(fd) : ETIMEDOUT;
		if (!err)
			return fd;
		close(fd);
	}
	return fail_errno(error, LODGE_ERROR_HOST, err, "cannot connect to '%s'", a->text);
}
