/* SPDX-License-Identifier: GPL-2.0-or-later */
/* console.c: a machine's serial console on this terminal. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/machine.h"

enum { ESCAPE = 0x1d }; /* ^] */

const struct cli_option console_options[] = {
	MACHINE_ARGUMENT,
	{ "devname", 0, CLI_TEXT, .value = "ALIAS", .help = "which one (default: the first)" },
	{ "force", 0, CLI_FLAG, .help = "throw another client out" },
	CLIENT_OPTIONS,
	{ NULL },
};

static int put(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t part = write(fd, p, n);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return -1;
		p += part;
		n -= (size_t)part;
	}
	return 0;
}

/* What came from `from` goes to `to`; false at its end. *escaped: the person wants out. */
static bool carry(int from, int to, bool typed, bool *escaped)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf));
	const char *end;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	end = typed ? memchr(buf, ESCAPE, (size_t)n) : NULL;
	if (end) {
		*escaped = true;
		n = end - buf;
	}
	return put(to, buf, (size_t)n) == 0 && !*escaped;
}

static void talk(int fd)
{
	struct pollfd p[] = { { .fd = fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	bool escaped = false;

	while (!escaped) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents && !carry(fd, STDOUT_FILENO, false, &escaped))
			return;
		/* The end of a pipe's input does not end the session: output may still come. */
		if (p[1].revents && !carry(STDIN_FILENO, fd, true, &escaped))
			p[1].fd = -1;
	}
}

int console_open(
	struct cli *c, struct client *cl, const char *path, const char *name, GError **error)
{
	struct termios before, raw;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	int fd = client_upgrade(cl, path, error);

	if (fd < 0)
		return -1;
	cli_note(c, "Connected to %s; ^] leaves", name);
	if (terminal) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	talk(fd);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
		fputc('\n', stderr);
	}
	close(fd);
	return 0;
}

int console_run(struct cli *c, GError **error)
{
	g_autofree char *base = client_path("/machines/%s/console", cli_text(c, "domain"));
	const char *device = cli_text(c, "devname");
	g_autofree char *query = device ? client_path("&device=%s", device) : g_strdup("");
	g_autofree char *path =
		g_strconcat(base, "?force=", cli_flag(c, "force") ? "true" : "false", query, NULL);
	struct client *cl = client_open(c, error);
	int status = cl ? console_open(c, cl, path, cli_text(c, "domain"), error) : -1;

	client_close(cl);
	return status;
}
