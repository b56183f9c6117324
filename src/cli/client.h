/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client.h: talks to lodged: JSON over HTTP, on its unix socket, over ssh, or over TLS. What there
 * is to ask is in docs/openapi.yaml.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/verb.h"

struct client;

#define CLIENT_OPTIONS                                                                             \
	{                                                                                          \
		"connect", 'c', CLI_TEXT,                                                          \
			.value = "URI",                                                            \
			.help = "the daemon: qemu:///system, qemu:///session, "                    \
				"qemu+ssh://HOST/system, "                                         \
				"https://HOST:PORT or a socket (default: $LODGE_URI)"              \
	}
extern const struct cli_option client_options[]; /* for groups whose verbs need nothing else */

/* As -c, $LODGE_URI or $LIBVIRT_DEFAULT_URI says; else the system's daemon, or if there is none
 * that listens, the user's own, which is started. NULL with error. */
struct client *client_open(struct cli *c, GError **error);
void client_close(struct client *cl); /* NULL allowed */

/* "/machines/%s/start" with each %s escaped; free with g_free. */
char *client_path(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* One call. body: taken over; NULL: none. The answer is the caller's, json_null() where there is
 * none. NULL with error; the daemon's own words. */
json_t *client_call(
	struct client *cl, const char *method, const char *path, json_t *body, GError **error);
/* The same with a definition (XML) as the body. */
json_t *client_send_xml(
	struct client *cl, const char *method, const char *path, const char *xml, GError **error);
/* An answer that is text; free with g_free. */
char *client_text(struct client *cl, const char *path, GError **error);

/* Calls chunk() as bytes arrive, until it says false (which is no error) or the end. */
typedef bool client_chunk(void *opaque, const char *bytes, size_t n);
int client_stream(
	struct client *cl, const char *path, client_chunk *chunk, void *opaque, GError **error);
/* Sends a file's bytes, from its position to its end, with a progress bar. */
int client_upload(struct client *cl, const char *path, int fd, const char *what, GError **error);
int client_download(struct client *cl, const char *path, int fd, const char *what, GError **error);

/* A raw two-way stream behind an upgrade; its descriptor, the caller's. -1 with error. */
int client_upgrade(struct client *cl, const char *path, GError **error);

/* If the answer is an operation under way: shows its progress until it ends, cancels it when
 * interrupted. Takes the answer; its result or NULL with error. */
json_t *client_finish(struct client *cl, json_t *answer, GError **error);

#endif
