/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress.c: how far a long command is. */
#include "cli/progress.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/table.h"

enum {
	BAR_US = 100 * 1000,        /* between two drawings of the bar */
	LINE_US = 10 * 1000 * 1000, /* between two lines where there is no terminal */
	SETTLED_US = 1000 * 1000,   /* no forecast before that */
	BAR_MAX = 40,
};

void progress_start(struct progress *p, const char *what, bool silent)
{
	*p = (struct progress){ .what = what, .silent = silent, .tty = isatty(STDERR_FILENO) };
	p->began = p->last = g_get_monotonic_time();
}

static char *time_left(const struct progress *p, int64_t spent)
{
	double s;

	if (spent < SETTLED_US || !p->done || p->done > p->total)
		return g_strdup("");
	s = (double)spent / 1e6 * (double)(p->total - p->done) / (double)p->done;
	if (s < 90)
		return g_strdup_printf("  %.0f s left", s);
	return s < 5400 ? g_strdup_printf("  %.0f min left", s / 60)
			: g_strdup_printf("  %.1f h left", s / 3600);
}

static void draw(struct progress *p, int64_t now)
{
	int64_t spent = MAX(now - p->began, 1);
	g_autofree char *left = time_left(p, spent), *done = size_format(p->done),
			*total = size_format(p->total),
			*rate = size_format((uint64_t)((double)p->done * 1e6 / (double)spent)),
			*tail = NULL;
	double part = p->total ? MIN((double)p->done / (double)p->total, 1) : 0;
	int width, full;

	tail = g_strdup_printf(" %3.0f%%  %s of %s  %s/s%s", part * 100, done, total, rate, left);
	if (!p->tty) {
		fprintf(stderr, "%s%s\n", p->what, tail);
		return;
	}
	width = (int)terminal_width(STDERR_FILENO) - (int)strlen(p->what) - (int)strlen(tail) - 4;
	width = CLAMP(width, 0, BAR_MAX);
	full = (int)(part * width);
	fprintf(stderr, "\r\033[K%s", p->what);
	if (width > 4) {
		fputs(" [", stderr);
		for (int i = 0; i < width; i++)
			fputc(i < full ? '=' : i == full ? '>' : ' ', stderr);
		fputc(']', stderr);
	}
	fputs(tail, stderr);
	fflush(stderr);
}

void progress_set(struct progress *p, uint64_t done, uint64_t total)
{
	int64_t now;

	p->done = done;
	p->total = total;
	if (p->silent)
		return;
	now = g_get_monotonic_time();
	if (now - p->last < (p->tty ? BAR_US : LINE_US))
		return;
	p->last = now;
	p->shown = true;
	draw(p, now);
}

void progress_end(struct progress *p)
{
	if (p->shown && p->tty)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
