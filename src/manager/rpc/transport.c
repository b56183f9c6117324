/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transport.c: plain sockets, with descriptors over unix ones. */
#include "manager/rpc/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void keep_fds(struct transport *t, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (t->fd_count == TRANSPORT_FDS_MAX) {
				close(fd); /* more than any call may bring */
				continue;
			}
			if (!t->fds)
				t->fds = g_new(int, TRANSPORT_FDS_MAX);
			t->fds[t->fd_count++] = fd;
		}
	}
}

static ssize_t plain_read(struct transport *t, void *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * TRANSPORT_FDS_MAX)];
	} control;
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (t->unix_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
	}
	do {
		n = recvmsg(t->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (t->unix_fds)
		keep_fds(t, &msg);
	return n;
}

static ssize_t plain_write(struct transport *t, const void *buf, size_t len)
{
	ssize_t n;

	do {
		n = send(t->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void plain_free(struct transport *t)
{
	g_free(t);
}

static const struct transport_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.free = plain_free,
};

struct transport *transport_plain(int fd, bool is_unix)
{
	struct transport *t = g_new0(struct transport, 1);

	t->ops = &plain_ops;
	t->fd = fd;
	t->unix_fds = t->secure = is_unix;
	return t;
}

int transport_send_fd(struct transport *t, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	char zero = 0;
	struct iovec iov = { &zero, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	do {
		n = sendmsg(t->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int transport_take_fd(struct transport *t)
{
	int fd;

	if (!t->fd_count)
		return -1;
	fd = t->fds[0];
	memmove(t->fds, t->fds + 1, --t->fd_count * sizeof(int));
	return fd;
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->fd_count; i++)
		close(t->fds[i]);
	g_free(t->fds);
	close(t->fd);
	t->ops->free(t);
}
