/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor.h: the QMP server of one machine. Main loop thread. */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <glib.h>
#include <stddef.h>

struct monitor;
struct vm;

/* Listens on a unix socket (path NULL: none, see monitor_feed) and becomes the machine's listener.
 * The vm is borrowed and must outlive the monitor. */
struct monitor *monitor_new(struct vm *vm, const char *path, GError **error);
/* Gives clients a moment to take what they were sent; removes the socket. NULL allowed. */
void monitor_free(struct monitor *m);

/* For tests and fuzzing: bytes as from a client that has just connected; what it would be sent is
 * appended to `out`. */
void monitor_feed(struct monitor *m, const char *bytes, size_t n, GByteArray *out);

/* docs/qmp.md, made of the command table; owned by the caller. */
char *monitor_manual(void);

#endif
