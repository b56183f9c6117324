/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage.h: what a process has used, from /proc. */
#ifndef MANAGER_PROCESS_USAGE_H
#define MANAGER_PROCESS_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct task_usage {
	uint64_t user_ns, system_ns;
	int cpu; /* where it ran last */
};
/* Of a process (tid 0: all its threads) or one thread of it. -1: gone. */
int process_usage(pid_t pid, pid_t tid, struct task_usage *ret);
uint64_t process_cpu_time(pid_t pid); /* ns; 0: gone */
uint64_t process_rss(pid_t pid);      /* bytes */

#endif
