/* SPDX-License-Identifier: GPL-2.0-or-later */
/* process.c: the process of one machine. Spec: pidfd_open(2), proc(5). */
#include "manager/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/error.h"

struct process {
	struct process_identity who;
	int pidfd;    /* owned */
	int go;       /* owned; a byte written here lets it exec; -1: released */
	guint source; /* on the main loop; 0: not watched, or told */
	process_gone *gone;
	void *opaque;
};

/* Field 22 of /proc/PID/stat; 0: no such process. */
static uint64_t start_time(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid), *text = NULL;
	const char *p;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	for (unsigned field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? g_ascii_strtoull(p + 1, NULL, 10) : 0;
}

/* After fork(), in a copy of a process with threads: only what signal-safety(7) lists. */
static G_GNUC_NORETURN void child(char *const *argv, int log, int null, int go, const int *fds)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	char byte;

	setsid();
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	for (int sig = 1; sig < 32; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (; fds && *fds >= 0; fds++)
		fcntl(*fds, F_SETFD, 0);
	if (read(go, &byte, 1) != 1)
		_exit(127);
	execv(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static struct process *process_new(pid_t pid)
{
	struct process *p = g_new0(struct process, 1);

	p->who.pid = pid;
	p->who.start = start_time(pid);
	p->go = -1;
	p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return p;
}

struct process *process_spawn(char *const *argv, const char *log, const int *fds, GError **error)
{
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), go[2] = { -1, -1 };
	struct process *p = NULL;
	pid_t pid = -1;

	if (out < 0)
		refuse(error, MANAGER_ERR_SYSTEM, "cannot open %s: %s", log, g_strerror(errno));
	else if (null < 0 || pipe2(go, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		refuse(error, MANAGER_ERR_SYSTEM, "cannot make a process: %s", g_strerror(errno));
	if (pid == 0) {
		close(go[1]);
		child(argv, out, null, go[0], fds);
	}
	if (pid > 0) {
		p = process_new(pid);
		p->go = go[1];
	} else if (go[1] >= 0) {
		close(go[1]);
	}
	if (go[0] >= 0)
		close(go[0]);
	if (null >= 0)
		close(null);
	if (out >= 0)
		close(out);
	if (p && p->pidfd < 0) {
		refuse(error, MANAGER_ERR_SYSTEM, "cannot watch a process: %s", g_strerror(errno));
		process_free(p); /* closes the pipe, and with it the child's life */
		waitpid(pid, NULL, 0);
		return NULL;
	}
	return p;
}

int process_release(struct process *p, GError **error)
{
	int rc = write(p->go, "", 1) == 1
			 ? 0
			 : refuse(error, MANAGER_ERR_SYSTEM, "the new process is gone: %s",
				   g_strerror(errno));

	close(p->go);
	p->go = -1;
	return rc;
}

struct process *process_adopt(const struct process_identity *who)
{
	struct process *p;

	if (who->pid <= 0)
		return NULL;
	/* The descriptor first: from then on the number stays this process's. */
	p = process_new(who->pid);
	if (p->pidfd >= 0 && p->who.start == who->start && who->start)
		return p;
	process_free(p);
	return NULL;
}

static gboolean on_end(int fd, GIOCondition condition, gpointer opaque)
{
	struct process *p = opaque;
	int status = -1;

	if (waitpid(p->who.pid, &status, WNOHANG) != p->who.pid)
		status = -1;
	p->source = 0;
	p->gone(p->opaque, status);
	return G_SOURCE_REMOVE;
}

void process_watch(struct process *p, process_gone *gone, void *opaque)
{
	p->gone = gone;
	p->opaque = opaque;
	p->source = g_unix_fd_add(p->pidfd, G_IO_IN, on_end, p);
}

const struct process_identity *process_identity(const struct process *p)
{
	return &p->who;
}

void process_signal(struct process *p, int sig)
{
	syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0);
}

bool process_wait(struct process *p, int timeout_ms)
{
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
	int rc;

	while ((rc = poll(&pfd, 1, timeout_ms)) < 0 && errno == EINTR)
		;
	return rc == 1;
}

void process_free(struct process *p)
{
	if (!p)
		return;
	if (p->source)
		g_source_remove(p->source);
	if (p->go >= 0)
		close(p->go);
	if (p->pidfd >= 0)
		close(p->pidfd);
	waitpid(p->who.pid, NULL, WNOHANG); /* that no zombie stays where nobody watched */
	g_free(p);
}
