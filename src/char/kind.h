/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kind.h: what a kind of back end (stdio.c, pty.c, …) and the common part (char.c) are to each other.
 * A kind supplies descriptors; char.c does the buffering, the history and the device's calls. All of
 * it runs on the main loop, only the buffers are shared with vCPU threads.
 */
#ifndef CHAR_KIND_H
#define CHAR_KIND_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "char/char.h"

struct chardev;

struct char_kind {
	const char *name;
	const char *argument; /* for the error when it is missing; NULL: takes none */
	/* Makes c->priv and, if it is connected already, calls char_connect(). */
	int (*open)(struct chardev *c, const char *arg, GError **error);
	void (*close)(struct chardev *c); /* frees c->priv, safe on a half-open one; NULL: nothing */
	/* The descriptors given to char_connect() are closed; look for the next peer. NULL: never */
	void (*disconnected)(struct chardev *c);
	/* Input before the device sees it, filtered in place; returns the new length. NULL: as is */
	size_t (*filter)(struct chardev *c, uint8_t *p, size_t n);
	bool swallow;	  /* no peer ever: output is dropped */
	bool keep_input;  /* read on although the device is full (the surplus is dropped) */
	bool keep_fds;	  /* end of input does not disconnect */
};

extern const struct char_kind char_kind_stdio, char_kind_pty, char_kind_unix, char_kind_tcp,
	char_kind_file, char_kind_null, char_kind_memory;

void *char_priv(struct chardev *c);
void char_set_priv(struct chardev *c, void *priv);
void char_set_description(struct chardev *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* A peer is there: reads from `in`, writes to `out` (-1: not that way; both may be the same), owning
 * both. Both should not block. The peer first gets the history. */
void char_connect(struct chardev *c, int in, int out);

/* Calls the escape callback, if there is one. */
bool char_has_escape(const struct chardev *c);
void char_escape(struct chardev *c, char key);

#endif
