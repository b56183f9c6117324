/* SPDX-License-Identifier: GPL-2.0-or-later */
/* char.h: a byte stream between a device and the host: stdio, pty, unix or tcp socket, file, null. */
#ifndef CHAR_CHAR_H
#define CHAR_CHAR_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;

/* Called on the main loop; `opaque` given with char_attach. */
struct char_user {
	size_t (*can_receive)(void *opaque); /* bytes the device takes now */
	void (*receive)(void *opaque, const uint8_t *p, size_t n); /* n <= can_receive() */
	void (*writable)(void *opaque);	     /* after a short char_write: room again; may be NULL */
	void (*connected)(void *opaque, bool yes); /* may be NULL */
};

/*
 * spec: "stdio", "pty", "null", "file:PATH", "unix:PATH[,server]", "tcp:HOST:PORT[,server]",
 * "memory" (tests: a ring buffer). stdio puts the terminal into raw mode and restores it at exit,
 * on signals too; Ctrl-a is the escape key there (see char_escape).
 */
struct chardev *char_open(const char *spec, GError **error);
void char_close(struct chardev *c); /* NULL allowed; restores the terminal */
void char_attach(struct chardev *c, const struct char_user *u, void *opaque);
/* Bytes taken, 0..n; never blocks. Main loop or vCPU thread. A short count is followed by one
 * writable(). Disconnected back ends swallow everything. */
size_t char_write(struct chardev *c, const void *buf, size_t n);
/* The device has room again after can_receive() said 0. Any thread. */
void char_accept_input(struct chardev *c);
/* For people: where to connect ("pty /dev/pts/3"); NULL if there is nothing to say. */
const char *char_describe(const struct chardev *c);
/* Keys after Ctrl-a on stdio other than Ctrl-a itself: 'x' quit, '?' help, … */
void char_set_escape(struct chardev *c, void (*cb)(void *opaque, char key), void *opaque);

/* "memory" only, main loop: takes what the device wrote; gives it input (bytes taken: what the
 * device does not want yet is kept, up to 4 KiB). */
size_t char_memory_read(struct chardev *c, void *buf, size_t n);
size_t char_memory_feed(struct chardev *c, const void *buf, size_t n);

#endif
