/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virt-ssh-helper.c: what libvirt's clients run at the far end of ssh for qemu+ssh://HOST/system: its
 * standard input and output become a connection to the daemon's socket. Arguments: [-r] URI.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"

enum { CHUNK = 65536, START_SECONDS = 10 };

/* One direction. */
struct way {
	int from, to;
	bool over;
	size_t len, done;
	char buf[CHUNK];
};

static char *socket_path(bool session, bool read_only)
{
	const char *folder = session ? g_get_user_runtime_dir() : "/run";
	const char *given = g_getenv("LODGE_SOCKET");

	return given ? g_strdup(given)
		     : g_build_filename(folder, "libvirt", read_only && !session ? "libvirt-sock-ro" : "libvirt-sock",
			       NULL);
}

/* A user's own daemon starts when it is wanted. */
static bool start_session(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *folder = g_path_get_dirname(self ? self : ".");
	g_autofree char *beside = g_build_filename(folder, "lodged", NULL);
	char *argv[] = { g_access(beside, X_OK) == 0 ? beside : (char *)"lodged", (char *)"--session",
		(char *)"--timeout=120", NULL };

	return g_spawn_async(NULL, argv, NULL,
		G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL);
}

static int connect_daemon(bool session, bool read_only, GError **error)
{
	g_autofree char *path = socket_path(session, read_only);
	struct socket_address a;
	int fd;

	if (socket_address_unix(&a, path, error) < 0)
		return -1;
	fd = socket_connect_wait(&a, 5000, session ? NULL : error);
	if (fd >= 0 || !session || !start_session())
		return fd;
	for (int i = 0; fd < 0 && i < START_SECONDS * 10; i++) {
		g_usleep(100000);
		fd = socket_connect_wait(&a, 1000, NULL);
	}
	if (fd < 0)
		fail(error, LODGE_ERROR_HOST, "lodged does not answer at %s", path);
	return fd;
}

/* Moves what can be moved now. */
static void move(struct way *w, short from, short to)
{
	ssize_t n;

	if (w->len == w->done && from) {
		n = read(w->from, w->buf, CHUNK);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			w->over = true;
			return;
		}
		w->len = (size_t)MAX(n, 0);
		w->done = 0;
	} else if (w->len > w->done && to) {
		n = write(w->to, w->buf + w->done, w->len - w->done);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			w->over = true;
		w->done += (size_t)MAX(n, 0);
	}
}

static void shuttle(int fd)
{
	static struct way in, out;

	in = (struct way) { .from = STDIN_FILENO, .to = fd };
	out = (struct way) { .from = fd, .to = STDOUT_FILENO };
	while (!in.over && !out.over) {
		struct pollfd p[] = {
			{ in.from, in.len == in.done ? POLLIN : 0, 0 }, { in.to, in.len > in.done ? POLLOUT : 0, 0 },
			{ out.from, out.len == out.done ? POLLIN : 0, 0 },
			{ out.to, out.len > out.done ? POLLOUT : 0, 0 },
		};

		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return;
		move(&in, p[0].revents, p[1].revents);
		move(&out, p[2].revents, p[3].revents);
	}
}

int main(int argc, char **argv)
{
	bool read_only = argc > 1 && strcmp(argv[1], "-r") == 0;
	const char *uri = argc > 1 + read_only ? argv[1 + read_only] : "qemu:///system";
	const char *path = strstr(uri, ":///");
	g_autoptr(GError) error = NULL;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (!path || argc > 2 + read_only) {
		fputs("Usage: virt-ssh-helper [-r] URI\n", stderr);
		return LODGE_ERROR_USAGE;
	}
	fd = connect_daemon(g_str_has_prefix(path + 4, "session"), read_only, &error);
	if (fd < 0) {
		log_info("%s", error ? error->message : "no daemon answers");
		return LODGE_ERROR_HOST;
	}
	shuttle(fd);
	return 0;
}
