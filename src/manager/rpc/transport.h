/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transport.h: bytes to and from a client, plain or secured. Non-blocking; one thread at a time,
 * except that plain sockets may be read and written by two.
 */
#ifndef MANAGER_RPC_TRANSPORT_H
#define MANAGER_RPC_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct transport;

struct transport_ops {
	/* Bytes moved, 0 at the end (read), or a negative errno; -EAGAIN: later. */
	ssize_t (*read)(struct transport *t, void *buf, size_t len);
	ssize_t (*write)(struct transport *t, const void *buf, size_t len);
	/* 0: done, -EAGAIN: goes on, else negative errno. NULL: none needed. */
	int (*handshake)(struct transport *t);
	/* Does the handshake wait for room to write rather than for data? */
	bool (*handshake_writes)(struct transport *t);
	/* After it, the name in the client's certificate, "CN=…", borrowed; NULL: none. NULL: never
	 * one. */
	const char *(*identity)(struct transport *t);
	/* Bytes it holds that poll() does not know of. NULL: none. */
	bool (*pending)(struct transport *t);
	void (*free)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	int fd;        /* owned */
	bool unix_fds; /* can carry descriptors */
	bool secure;   /* encrypted, or never leaves the host */
	int *fds;      /* received, not yet taken; owned */
	unsigned fd_count;
};

enum { TRANSPORT_FDS_MAX = 32 };

/* Takes fd, which must be non-blocking. */
struct transport *transport_plain(int fd, bool is_unix);
/* One zero byte with the descriptor. 0 or negative errno. */
int transport_send_fd(struct transport *t, int fd);
/* The first descriptor that came, owned by the caller; -1: none. */
int transport_take_fd(struct transport *t);
void transport_free(struct transport *t);

#endif
