/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.h: lines for people on stderr, and a rate limit for what a guest can provoke. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

/* One line on stderr, prefixed by the program's name. Any thread. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Guest misbehaviour: at most 10 lines a second per call site; the count left out is told. */
struct log_limit {
	int64_t second; /* CLOCK_MONOTONIC second of the last line */
	uint32_t lines, dropped;
};
void log_guest(struct log_limit *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same of what clients of a daemon can provoke. */
void log_client(struct log_limit *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
