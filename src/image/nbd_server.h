/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nbd_server.h: serves an image to NBD clients. */
#ifndef IMAGE_NBD_SERVER_H
#define IMAGE_NBD_SERVER_H

#include <glib.h>
#include <stdbool.h>

struct image;
struct nbd_server;

struct nbd_server_options {
	const char *name;        /* of the export; "" or NULL: the default one */
	const char *description; /* NULL: none */
	bool readonly;
	unsigned clients; /* at a time; 0: as many as come */
};

/* The image and the strings stay the caller's and must outlive the server. Never NULL. */
struct nbd_server *nbd_server_new(struct image *im, const struct nbd_server_options *o);
/* Takes over a connected socket; a thread of its own serves it. -1: too many clients; closed. */
int nbd_server_add(struct nbd_server *s, int fd);
/* Connected now. */
unsigned nbd_server_clients(struct nbd_server *s);
/* Ends all connections and waits for them. */
void nbd_server_free(struct nbd_server *s);

#endif
