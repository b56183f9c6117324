/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h: the process of one machine: in a session of its own, so that it outlives the daemon;
 * its end is known at once, also of one that an earlier daemon started.
 */
#ifndef MANAGER_PROCESS_PROCESS_H
#define MANAGER_PROCESS_PROCESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process;

/* Main loop. `status` as of waitpid(), -1: unknown, another daemon's child. Once. */
typedef void process_gone(void *opaque, int status);

/* A process found by its number could be another by now: the time of its start tells. */
struct process_identity {
	pid_t pid;
	uint64_t start; /* clock ticks after boot */
};

/* Makes it, stopped before its exec until process_release(): what is known of it can be kept first.
 * Output goes to the file `log`, appended; `fds` (-1 ends) stay open in it under their numbers. */
struct process *process_spawn(char *const *argv, const char *log, const int *fds, GError **error);
/* Lets it run. If the caller dies instead, it ends by itself. */
int process_release(struct process *p, GError **error);
/* Takes up one that runs. NULL without error: it is gone. */
struct process *process_adopt(const struct process_identity *who);
/* Tells of its end; must be called once, before the struct is freed. */
void process_watch(struct process *p, process_gone *gone, void *opaque);
const struct process_identity *process_identity(const struct process *p);
void process_signal(struct process *p, int sig);
/* Waits for its end. false: timeout. Any thread but the main loop's. */
bool process_wait(struct process *p, int timeout_ms);
void process_free(struct process *p); /* lets go; it runs on */

#endif
