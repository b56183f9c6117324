/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socket.h: stream sockets for consoles and control: addresses, listening, connecting. */
#ifndef BASE_SOCKET_H
#define BASE_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

struct socket_address {
	struct sockaddr_storage sa;
	socklen_t len;
	char text[128]; /* as the person wrote it */
};

/* A path in the file system. 0 or -1 with error. */
int socket_address_unix(struct socket_address *a, const char *path, GError **error);
/* "HOST:PORT" or "[V6]:PORT"; an empty HOST means the loopback address. May ask the resolver. */
int socket_address_tcp(struct socket_address *a, const char *hostport, GError **error);

/* A listening, non-blocking descriptor, or -1 with error. A unix socket nobody listens on is
 * replaced; the new one is for its owner only. The caller unlinks it at the end. */
int socket_listen(const struct socket_address *a, GError **error);
/* Takes a client, non-blocking; -1 if there is none (any more). */
int socket_accept(int listener);
/* Starts connecting: a non-blocking descriptor that becomes writable when socket_connected() has
 * its result, or a negative errno. */
int socket_connect(const struct socket_address *a);
/* 0 or a positive errno. */
int socket_connected(int fd);
/* Connects within timeout_ms, or -1 with error. Blocks. */
int socket_connect_wait(const struct socket_address *a, int timeout_ms, GError **error);

#endif
