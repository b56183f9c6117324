/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pty.c: a pseudo-terminal of our own, for screen, minicom or `cat`. Spec: pty(7). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "char/kind.h"

struct pty {
	int master;	/* owned; char.c works on duplicates */
	guint timer;
};

/* The master tells of a closed slave (POLLHUP), never of an opened one: look now and then. */
enum { LOOK_MS = 100 };

static gboolean look(gpointer opaque)
{
	struct chardev *c = opaque;
	struct pty *p = char_priv(c);
	struct pollfd f = { .fd = p->master, .events = POLLIN };
	int fd;

	if (poll(&f, 1, 0) < 0 || f.revents & POLLHUP)
		return G_SOURCE_CONTINUE;
	fd = fcntl(p->master, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return G_SOURCE_CONTINUE;
	p->timer = 0;
	char_connect(c, fd, fd);
	return G_SOURCE_REMOVE;
}

static void pty_disconnected(struct chardev *c)
{
	struct pty *p = char_priv(c);

	p->timer = g_timeout_add(LOOK_MS, look, c);
}

/* The guest does the echo and the line editing. */
static int make_raw(const char *slave)
{
	int fd = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;
	int r;

	if (fd < 0)
		return -1;
	r = tcgetattr(fd, &t);
	cfmakeraw(&t);
	if (!r)
		r = tcsetattr(fd, TCSANOW, &t);
	close(fd);
	return r;
}

static int pty_open(struct chardev *c, const char *arg, GError **error)
{
	struct pty *p = g_new0(struct pty, 1);
	char name[64];

	char_set_priv(c, p);
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (p->master < 0 || grantpt(p->master) < 0 || unlockpt(p->master) < 0 ||
	    ptsname_r(p->master, name, sizeof(name)) != 0 || make_raw(name) < 0)
		return fail_errno(error, LODGE_ERROR_HOST, errno, "no pseudo-terminal to be had");
	char_set_description(c, "pty %s", name);
	pty_disconnected(c);
	return 0;
}

static void pty_close(struct chardev *c)
{
	struct pty *p = char_priv(c);

	if (!p)
		return;
	if (p->timer)
		g_source_remove(p->timer);
	if (p->master >= 0)
		close(p->master);
	g_free(p);
}

const struct char_kind char_kind_pty = {
	.name = "pty",
	.open = pty_open,
	.close = pty_close,
	.disconnected = pty_disconnected,
};
