/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connect.h: where the daemon is, and how it is reached. */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include <glib.h>
#include <sys/types.h>

struct connection {
	char *name;            /* for people */
	char *base;            /* "http://lodge/v1", "https://host:port/v1" */
	char *socket;          /* unix socket; NULL: by the base's host */
	char *token, *ca_file; /* NULL: none */
	char *folder;          /* to be removed: of a forwarded socket */
	GPid ssh;              /* the forwarder; 0: none */
};

/* uri NULL: as client_open() says. NULL with error. */
struct connection *connection_open(const char *uri, GError **error);
void connection_close(struct connection *c); /* NULL allowed */
/* A descriptor that is a two-way stream after "101 Switching Protocols"; unix sockets only. */
int connection_upgrade(const struct connection *c, const char *path, GError **error);

#endif
