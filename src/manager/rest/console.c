/* SPDX-License-Identifier: GPL-2.0-or-later */
/* console.c: a machine's console and log. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rest/machine.h"
#include "manager/rest/sender.h"
#include "manager/rest/tunnel.h"
#include "manager/rpc/stream.h"

enum { CONSOLE_FORCE = 1 };

struct opening {
	struct request *request;
	int fd, rc;
	GError *error;
};

static int open_console(struct request *r, int *ret_fd, GError **error)
{
	struct rpc_call call = { .manager = r->manager, .caller = &r->caller };
	struct remote_domain_open_console_args args = { .dev_name =
								(char *)request_string(r, "device"),
		.flags = request_flag(r, "force") ? CONSOLE_FORCE : 0 };
	const struct rpc_stream_ops *ops;
	void *opaque;
	int rc;

	if (rest_machine_find(r, &args.dom, error) < 0)
		return -1;
	rc = rpc_invoke(
		rest_server(r->rest), &call, REMOTE_PROC_DOMAIN_OPEN_CONSOLE, &args, NULL, error);
	rest_machine_clear(&args.dom);
	if (rc < 0)
		return -1;
	rpc_stream_detach(call.stream, &ops, &opaque, ret_fd);
	if (*ret_fd >= 0)
		return 0;
	if (ops->free)
		ops->free(opaque, false);
	return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED, "the console is no descriptor");
}

static void opened(void *opaque)
{
	struct opening *o = opaque;
	struct request *r = o->request;

	if (o->rc == 0 && r->gone) {
		close(o->fd);
		rest_reply(r, 0, NULL);
	} else if (o->rc < 0) {
		rest_reply(r, -1, o->error);
	} else if (tunnel_start(r, o->fd, TUNNEL_BINARY, &o->error) < 0) {
		close(o->fd);
		rest_reply(r, -1, o->error);
	}
	g_clear_error(&o->error);
	g_free(o);
}

static void open_work(void *opaque)
{
	struct opening *o = opaque;

	o->rc = open_console(o->request, &o->fd, &o->error);
	rest_later(opened, o);
}

int rest_machine_console(struct request *r, GError **error)
{
	struct opening *o;

	if (!tunnel_wanted(r))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"Upgrade: websocket or lodge-console is needed");
	o = g_new0(struct opening, 1);
	o->request = r;
	rest_push(r->rest, open_work, o);
	return 0;
}

/* ---- the log ---- */

enum { LOG_CHUNK = 65536, LOOK_US = 250000 };

/* Where its last `lines` lines begin. */
static off_t last_lines(int fd, uint64_t lines)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	char buf[4096];

	if (!lines)
		return end;
	while (at > 0) {
		off_t from = MAX(at - (off_t)sizeof(buf), 0);
		ssize_t n = pread(fd, buf, (size_t)(at - from), from);

		if (n <= 0)
			return 0;
		for (ssize_t i = n; i-- > 0;) {
			/* The newline that ends the last line begins none. */
			if (buf[i] == '\n' && from + i + 1 < end && --lines == 0)
				return from + i + 1;
		}
		at = from;
	}
	return 0;
}

static void send_log(struct sender *s, struct request *r)
{
	struct remote_nonnull_domain dom = {};
	g_autofree char *path = NULL, *file = NULL, *buf = g_malloc(LOG_CHUNK);
	bool follow = request_flag(r, "follow"), more = true;
	uint64_t lines = 0;
	GError *error = NULL;
	int fd, rc;

	if (rest_machine_find(r, &dom, &error) < 0 ||
		(rc = request_number(r, "lines", 1 << 20, &lines, &error)) < 0) {
		rest_machine_clear(&dom);
		sender_fail(s, error);
		return;
	}
	file = g_strconcat(dom.name, ".log", NULL);
	path = g_build_filename(r->manager->paths.log, "vm", file, NULL);
	rest_machine_clear(&dom);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* it has never run: an empty one */
	if (rc > 0)
		lseek(fd, last_lines(fd, lines), SEEK_SET);
	while (more) {
		ssize_t n = read(fd, buf, LOG_CHUNK);

		if (n > 0)
			more = sender_write(s, buf, (size_t)n);
		else if (!follow || n < 0 || !sender_open(s))
			break;
		else
			g_usleep(LOOK_US);
	}
	close(fd);
}

int rest_machine_log(struct request *r, GError **error)
{
	sender_start(r, "text/plain", send_log);
	return 0;
}
