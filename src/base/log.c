/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c: lines for people on stderr, and a rate limit for what a guest can provoke. */
#include "base/log.h"

#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { LIMITED_LINES_PER_SECOND = 10 };

static void line(const char *kind, const char *fmt, va_list ap)
{
	g_autofree char *text = g_strdup_vprintf(fmt, ap);
	const char *prog = g_get_prgname();

	/* One write, so that lines of several threads do not mix. */
	fprintf(stderr, "%s: %s%s\n", prog ? prog : "lodge", kind, text);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("", fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("warning: ", fmt, ap);
	va_end(ap);
}

static void limited(struct log_limit *l, const char *kind, const char *fmt, va_list ap)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (l->second != now.tv_sec) {
		if (l->dropped)
			log_warn("%s%u more like the last one", kind, l->dropped);
		l->second = now.tv_sec;
		l->lines = l->dropped = 0;
	}
	if (l->lines++ >= LIMITED_LINES_PER_SECOND) {
		l->dropped++;
		return;
	}
	line(kind, fmt, ap);
}

void log_guest(struct log_limit *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	limited(l, "guest: ", fmt, ap);
	va_end(ap);
}

void log_client(struct log_limit *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	limited(l, "client: ", fmt, ap);
	va_end(ap);
}
