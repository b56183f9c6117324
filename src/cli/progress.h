/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress.h: how far a long command is: a bar with rate and time left, or a line now and then. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what; /* "Converting"; borrowed */
	bool silent, tty, shown;
	int64_t began, last;  /* monotonic, us */
	uint64_t done, total; /* bytes */
};

/* silent: prints nothing at all. Output goes to stderr; any one thread. */
void progress_start(struct progress *p, const char *what, bool silent);
/* As often as is convenient. */
void progress_set(struct progress *p, uint64_t done, uint64_t total);
/* Removes the bar. */
void progress_end(struct progress *p);

#endif
