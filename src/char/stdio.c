/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stdio.c: the terminal we were started in, or whatever stdin and stdout are. A terminal is put into
 * raw mode and given back at exit, on signals and while stopped. Spec: termios(3), signal(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "char/kind.h"

enum { ESCAPE = 1 }; /* Ctrl-a */

struct stdio {
	bool escaped; /* the last key was Ctrl-a */
	bool owns_terminal;
};

/*
 * The process has one terminal, and a signal handler can reach it through nothing but a static.
 * Written before the handlers are installed, only `in_use` changes afterwards.
 */
static struct {
	volatile sig_atomic_t in_use;
	struct termios before, raw;
} terminal;

static const int fatal_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV,
				     SIGBUS, SIGFPE, SIGILL, SIGUSR1, SIGUSR2, SIGALRM };

/* A background job that sets its terminal is stopped (SIGTTOU) unless the signal is blocked. */
static void terminal_set(const struct termios *t)
{
	int saved_errno = errno;
	sigset_t ttou, old;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(STDIN_FILENO, TCSANOW, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved_errno;
}

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void terminal_restore(void)
{
	if (terminal.in_use) {
		terminal.in_use = 0;
		terminal_set(&terminal.before);
	}
}

static void on_fatal(int sig)
{
	terminal_restore();
	/* SA_RESETHAND brought the default back; the signal comes again when we return. */
	raise(sig);
}

static void on_stop(int sig)
{
	if (terminal.in_use)
		terminal_set(&terminal.before);
	raise(SIGSTOP);
}

static void on_continue(int sig)
{
	if (terminal.in_use && in_foreground())
		terminal_set(&terminal.raw);
}

/* Leaves alone what the program handles itself: its handler then ends in exit(). */
static void handle_if_default(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags }, old;

	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		sigaction(sig, &sa, NULL);
}

static int terminal_take(GError **error)
{
	if (tcgetattr(STDIN_FILENO, &terminal.before) < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "stdin's terminal");
	terminal.raw = terminal.before;
	cfmakeraw(&terminal.raw);
	/* Our own messages share the screen and end in a bare newline. */
	terminal.raw.c_oflag |= OPOST;
	terminal.in_use = 1;
	atexit(terminal_restore);
	for (unsigned i = 0; i < array_len(fatal_signals); i++)
		handle_if_default(fatal_signals[i], on_fatal, SA_RESETHAND);
	handle_if_default(SIGTSTP, on_stop, SA_RESTART);
	handle_if_default(SIGCONT, on_continue, SA_RESTART);
	if (in_foreground())
		terminal_set(&terminal.raw);
	return 0;
}

/*
 * A descriptor on the same thing that does not block. O_NONBLOCK belongs to the open file, which our
 * parent and its other children share, so the file is opened once more where that is possible.
 * Regular files never block; what is left (a socket, a terminal of another user) gets the flag.
 */
static int reopen(int fd, int mode)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	struct stat st;
	int copy;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		copy = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (copy >= 0)
			return copy;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy >= 0 && !S_ISREG(st.st_mode))
		fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK);
	return copy;
}

static int stdio_open(struct chardev *c, const char *arg, GError **error)
{
	struct stdio *s = g_new0(struct stdio, 1);
	int in, out;

	char_set_priv(c, s);
	if (terminal.in_use)
		return fail(error, LODGE_ERROR_USAGE, "stdio can be used once only");
	if (isatty(STDIN_FILENO)) {
		if (terminal_take(error) < 0)
			return -1;
		s->owns_terminal = true;
	}
	in = reopen(STDIN_FILENO, O_RDONLY);
	out = reopen(STDOUT_FILENO, O_WRONLY);
	char_connect(c, in, out);
	return 0;
}

static void stdio_close(struct chardev *c)
{
	struct stdio *s = char_priv(c);

	if (s && s->owns_terminal)
		terminal_restore();
	g_free(s);
}

/* Ctrl-a KEY goes to the escape callback, Ctrl-a Ctrl-a is one Ctrl-a for the guest. */
static size_t stdio_filter(struct chardev *c, uint8_t *p, size_t n)
{
	struct stdio *s = char_priv(c);
	size_t kept = 0;

	if (!char_has_escape(c))
		return n;
	for (size_t i = 0; i < n; i++) {
		bool escaped = s->escaped;

		s->escaped = !escaped && p[i] == ESCAPE;
		if (s->escaped)
			continue;
		if (escaped && p[i] != ESCAPE)
			char_escape(c, p[i]);
		else
			p[kept++] = p[i];
	}
	return kept;
}

const struct char_kind char_kind_stdio = {
	.name = "stdio",
	.open = stdio_open,
	.close = stdio_close,
	.filter = stdio_filter,
	.keep_input = true,
	.keep_fds = true,
};
