/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp_client.h: the manager's end of a machine's QMP socket: commands from workers, events on the
 * loop. */
#ifndef MANAGER_PROCESS_QMP_CLIENT_H
#define MANAGER_PROCESS_QMP_CLIENT_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct qmp_client;

/* Main loop. data is borrowed, NULL: none. */
typedef void qmp_client_event(void *opaque, const char *name, const json_t *data, int64_t time);

/* Connects and negotiates; `alive` (NULL allowed) tells whether waiting for the socket makes sense.
 * Blocks for at most timeout_ms; on the main loop's thread only before it runs. */
struct qmp_client *qmp_client_open(const char *path, bool (*alive)(void *opaque), void *opaque,
	int timeout_ms, GError **error);
/* From here on events are told. */
void qmp_client_listen(struct qmp_client *q, qmp_client_event *event, void *opaque);
/*
 * Runs a command and waits for its result. Takes args (NULL: none). NULL with error:
 * OPERATION_FAILED with the machine's words, OPERATION_TIMEOUT, or that it is gone. Any thread but
 * the main loop's.
 */
json_t *qmp_client_run(
	struct qmp_client *q, const char *command, json_t *args, int timeout_ms, GError **error);
/* The same with a descriptor beside it, for getfd; fd stays the caller's. */
json_t *qmp_client_run_fd(struct qmp_client *q, const char *command, json_t *args, int fd,
	int timeout_ms, GError **error);
/* A command as JSON text, as a person wrote it; the answer as text. */
char *qmp_client_text(struct qmp_client *q, const char *text, GError **error);
struct qmp_client *qmp_client_ref(struct qmp_client *q);
/* Lets waiting commands fail; no event is told after it returned on the main loop. */
void qmp_client_close(struct qmp_client *q);
void qmp_client_unref(struct qmp_client *q);

#endif
