/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage.c: what a process has used. Spec: proc(5). */
#include "manager/process/usage.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int process_usage(pid_t pid, pid_t tid, struct task_usage *ret)
{
	g_autofree char *path = tid ? g_strdup_printf("/proc/%d/task/%d/stat", (int)pid, (int)tid)
				    : g_strdup_printf("/proc/%d/stat", (int)pid);
	g_autofree char *text = NULL;
	uint64_t tick = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long user, system;
	const char *p;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return -1;
	p = strrchr(text, ')'); /* fields count from the name, which may hold anything */
	if (!p ||
		sscanf(p + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d "
			"%*d %*u %*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d "
			"%d",
			&user, &system, &ret->cpu) != 3)
		return -1;
	ret->user_ns = user * tick;
	ret->system_ns = system * tick;
	return 0;
}

uint64_t process_cpu_time(pid_t pid)
{
	struct task_usage u;

	return process_usage(pid, 0, &u) < 0 ? 0 : u.user_ns + u.system_ns;
}

uint64_t process_rss(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/statm", (int)pid), *text = NULL;
	unsigned long pages = 0;

	if (!g_file_get_contents(path, &text, NULL, NULL) || sscanf(text, "%*u %lu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
