/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmp.h: the QEMU Machine Protocol's framing: JSON objects out of a byte stream, and the shapes of
 * replies and events. No sockets. Spec: QEMU Machine Protocol Specification.
 */
#ifndef WIRE_QMP_H
#define WIRE_QMP_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	QMP_VALUE_MAX = 1 << 20, /* bytes of one message */
	QMP_DEPTH_MAX = 64,
};

/* Finds where one JSON value ends and the next begins, whatever a peer sends; memory is bounded by
 * QMP_VALUE_MAX. Zero-initialised with qmp_reader_init(). */
struct qmp_reader {
	GString *text;	   /* owned: the value so far */
	unsigned depth;	   /* open brackets */
	bool in_string, in_escape, in_word;
	const char *broken; /* why the value is thrown away when it ends; NULL: it is fine */
};

enum qmp_status {
	QMP_MORE,	/* all bytes are used up */
	QMP_MESSAGE,	/* *ret_message is the caller's */
	QMP_BROKEN,	/* not a JSON value; *ret_error says what is wrong; reading can go on */
};

void qmp_reader_init(struct qmp_reader *r);
void qmp_reader_fini(struct qmp_reader *r);
/* Eats bytes from *p (*n of them) up to the end of one value; advances both. */
enum qmp_status qmp_read(struct qmp_reader *r, const char **p, size_t *n, json_t **ret_message,
	char **ret_error);

/* Messages to a peer; all take over the references given (data, id may be NULL). */
json_t *qmp_reply(json_t *data, json_t *id);
json_t *qmp_error(const char *error_class, const char *text, json_t *id);
json_t *qmp_event(const char *name, json_t *data); /* with the present time */
json_t *qmp_greeting(json_t *version);
/* Appends the message and CRLF. */
void qmp_print(GByteArray *out, const json_t *message);

#endif
