/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor.c: the QMP server: clients, the negotiation, the way from a message to its reply, and
 * events to all. Spec: QEMU Machine Protocol Specification.
 */
#include "monitor/monitor.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "base/error.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/socket.h"
#include "core/machine.h"
#include "monitor/schema.h"
#include "vm/inspect.h"
#include "vm/vm.h"
#include "wire/qmp.h"

enum {
	CLIENTS_MAX = 16,
	PASSED_FDS_MAX = 64,
	OUT_PAUSE = 256 << 10, /* unread replies: no more commands are taken */
	OUT_MAX = 4 << 20,     /* unread events: the client is cut off */
	LINGER_MS = 500,       /* at the end, for a client to take its last messages */
	BALLOON_EVENT_US = G_USEC_PER_SEC,
};

struct client {
	struct monitor *monitor; /* borrowed */
	int fd;                  /* owned; -1: fed by a test */
	bool negotiated, gone;
	int passed_fd; /* owned: came with the last bytes; -1: none */
	struct qmp_reader reader;
	GByteArray *out;                 /* owned: not yet sent */
	GSource *in_source, *out_source; /* owned; NULL while not watched */
};

struct monitor {
	struct vm *vm; /* borrowed */
	char *path;    /* owned; NULL: no socket */
	int listener;
	guint accept_source;
	GPtrArray *clients; /* struct client *, owned */
	GMutex lock;        /* balloon: changes come from any thread */
	uint64_t balloon_actual;
	int64_t balloon_last; /* µs, when the last event went out */
	guint balloon_timer;  /* 0: none is waiting */
};

/* ---- sending ---- */

static void source_drop(GSource **s)
{
	if (!*s)
		return;
	g_source_destroy(*s);
	g_source_unref(*s);
	*s = NULL;
}

static void client_free(void *opaque)
{
	struct client *c = opaque;

	source_drop(&c->in_source);
	source_drop(&c->out_source);
	qmp_reader_fini(&c->reader);
	g_byte_array_unref(c->out);
	if (c->fd >= 0)
		close(c->fd);
	if (c->passed_fd >= 0)
		close(c->passed_fd);
	g_free(c);
}

/* Frees those that are gone; not while a client's own code is on the stack. */
static void sweep(struct monitor *m)
{
	for (guint i = m->clients->len; i-- > 0;) {
		if (((struct client *)m->clients->pdata[i])->gone)
			g_ptr_array_remove_index(m->clients, i);
	}
}

static gboolean out_ready(int fd, GIOCondition cond, gpointer opaque);
static gboolean in_ready(int fd, GIOCondition cond, gpointer opaque);

static void watch(struct client *c, GSource **s, GIOCondition cond, GUnixFDSourceFunc f)
{
	if (*s || c->fd < 0)
		return;
	*s = g_unix_fd_source_new(c->fd, cond);
	g_source_set_callback(*s, G_SOURCE_FUNC(f), c, NULL);
	g_source_attach(*s, NULL);
}

static void client_flush(struct client *c)
{
	while (c->fd >= 0 && c->out->len && !c->gone) {
		ssize_t n = send(c->fd, c->out->data, c->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				c->gone = true;
			break;
		}
		g_byte_array_remove_range(c->out, 0, n);
	}
	if (c->gone) { /* its input is at its end now, which makes in_ready() sweep it */
		source_drop(&c->out_source);
		shutdown(c->fd, SHUT_RDWR);
		watch(c, &c->in_source, G_IO_IN | G_IO_HUP | G_IO_ERR, in_ready);
		return;
	}
	if (c->out->len)
		watch(c, &c->out_source, G_IO_OUT, out_ready);
	else
		source_drop(&c->out_source);
	if (c->out->len < OUT_PAUSE)
		watch(c, &c->in_source, G_IO_IN | G_IO_HUP | G_IO_ERR, in_ready);
	else
		source_drop(&c->in_source);
}

static void client_send(struct client *c, json_t *message)
{
	if (!c->gone) {
		qmp_print(c->out, message);
		if (c->out->len > OUT_MAX && c->fd >= 0) {
			log_warn("qmp: a client does not read what it is sent; it is cut off");
			c->gone = true;
		}
	}
	json_decref(message);
}

static void broadcast(struct monitor *m, json_t *event)
{
	for (guint i = 0; i < m->clients->len; i++) {
		struct client *c = m->clients->pdata[i];

		if (!c->negotiated)
			continue;
		client_send(c, json_incref(event));
		client_flush(c);
	}
	json_decref(event);
}

/* ---- one message ---- */

/* 0, or -1 with error. */
static int check_envelope(const json_t *message, GError **error)
{
	const char *name;
	json_t *v;

	if (!json_is_object(message))
		return fail(error, LODGE_ERROR_USAGE, "QMP input must be a JSON object");
	json_object_foreach((json_t *)message, name, v)
	{
		if (!strcmp(name, "execute")) {
			if (!json_is_string(v))
				return fail(error, LODGE_ERROR_USAGE,
					"QMP input member 'execute' must be a string");
		} else if (!strcmp(name, "arguments")) {
			if (!json_is_object(v))
				return fail(error, LODGE_ERROR_USAGE,
					"QMP input member 'arguments' must be an object");
		} else if (strcmp(name, "id") != 0) {
			return fail(error, LODGE_ERROR_USAGE, "QMP input member '%s' is unexpected",
				name);
		}
	}
	if (!json_object_get(message, "execute"))
		return fail(error, LODGE_ERROR_USAGE, "QMP input lacks member 'execute'");
	return 0;
}

static json_t *negotiate(struct client *c, const json_t *args, GError **error)
{
	const json_t *enable = json_object_get(args, "enable");

	if (json_array_size(enable)) {
		fail(error, LODGE_ERROR_USAGE, "QMP capability '%s' is not available",
			json_string_value(json_array_get(enable, 0)));
		return NULL;
	}
	c->negotiated = true;
	return json_object();
}

/* A name that has a descriptor already gets the new one. */
static json_t *take_fd(struct client *c, const json_t *args, GError **error)
{
	struct vm *vm = c->monitor->vm;
	const char *name = json_string_value(json_object_get(args, "fdname"));

	if (c->passed_fd < 0) {
		fail(error, LODGE_ERROR_USAGE, "No file descriptor supplied via SCM_RIGHTS");
		return NULL;
	}
	if (g_hash_table_size(vm->fds) >= PASSED_FDS_MAX) {
		fail(error, LODGE_ERROR_USAGE, "%d descriptors wait for use already",
			PASSED_FDS_MAX);
		return NULL;
	}
	g_hash_table_replace(vm->fds, g_strdup(name), GINT_TO_POINTER(c->passed_fd));
	c->passed_fd = -1;
	return json_object();
}

static int not_found(GError **error, const char *name)
{
	struct nearest n;

	nearest_init(&n, name);
	for (const struct qmp_command *c = qmp_commands; c->name; c++)
		nearest_offer(&n, c->name);
	g_autofree char *hint = nearest_hint(&n);

	g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
		"The command %s has not been found%s", name, hint);
	return -1;
}

static json_t *dispatch(struct client *c, const json_t *message, GError **error)
{
	const struct qmp_command *cmd;
	const json_t *args;
	const char *name;

	if (check_envelope(message, error) < 0)
		return NULL;
	name = json_string_value(json_object_get(message, "execute"));
	args = json_object_get(message, "arguments");
	cmd = qmp_find(name);
	if (!c->negotiated && strcmp(name, "qmp_capabilities")) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
			"Expecting capabilities negotiation with 'qmp_capabilities'");
		return NULL;
	}
	if (!cmd) {
		not_found(error, name);
		return NULL;
	}
	if (c->negotiated && !strcmp(name, "qmp_capabilities")) {
		g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
			"Capabilities negotiation is already complete, command ignored");
		return NULL;
	}
	if (qmp_check_args(cmd, args, error) < 0)
		return NULL;
	if (cmd->run)
		return cmd->run(c->monitor->vm, args, error);
	return c->negotiated ? take_fd(c, args, error) : negotiate(c, args, error);
}

static void client_message(struct client *c, const json_t *message)
{
	g_autoptr(GError) error = NULL;
	json_t *id = json_incref(json_object_get(message, "id"));
	json_t *data = dispatch(c, message, &error);

	if (data)
		client_send(c, qmp_reply(data, id));
	else
		client_send(c, qmp_error(qmp_error_class(error), error->message, id));
}

static void client_bytes(struct client *c, const char *p, size_t n)
{
	for (;;) {
		json_t *message = NULL;
		char *why = NULL;

		switch (qmp_read(&c->reader, &p, &n, &message, &why)) {
		case QMP_MORE: return;
		case QMP_BROKEN:
			client_send(c, qmp_error("GenericError", why, NULL));
			g_free(why);
			break;
		case QMP_MESSAGE:
			client_message(c, message);
			json_decref(message);
			break;
		}
	}
}

/* ---- clients ---- */

/* Keeps the last descriptor that came, closes the others. */
static void keep_fd(struct client *c, struct msghdr *h)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(h); m; m = CMSG_NXTHDR(h, m)) {
		size_t n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0;
			m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS && i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(m) + i * sizeof(int), sizeof(int));
			if (c->passed_fd >= 0)
				close(c->passed_fd);
			c->passed_fd = fd;
		}
	}
}

static void client_read(struct client *c)
{
	char buf[4096], control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr h = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		keep_fd(c, &h);

	if (n > 0)
		client_bytes(c, buf, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		c->gone = true;
	client_flush(c);
}

static gboolean in_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct client *c = opaque;
	struct monitor *m = c->monitor;

	if (!c->gone)
		client_read(c);
	sweep(m);
	return G_SOURCE_CONTINUE;
}

static gboolean out_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct client *c = opaque;
	struct monitor *m = c->monitor;

	client_flush(c);
	sweep(m);
	return G_SOURCE_CONTINUE;
}

static struct client *client_new(struct monitor *m, int fd)
{
	struct client *c = g_new0(struct client, 1);

	c->monitor = m;
	c->fd = fd;
	c->passed_fd = -1;
	c->out = g_byte_array_new();
	qmp_reader_init(&c->reader);
	g_ptr_array_add(m->clients, c);
	client_send(c, qmp_greeting(qmp_query_version(m->vm, NULL, NULL)));
	return c;
}

static gboolean accept_ready(int fd, GIOCondition cond, gpointer opaque)
{
	struct monitor *m = opaque;
	int peer = socket_accept(fd);

	if (peer < 0)
		return G_SOURCE_CONTINUE;
	if (m->clients->len >= CLIENTS_MAX) {
		log_warn("qmp: %d clients are enough; one more is refused", CLIENTS_MAX);
		close(peer);
	} else {
		client_flush(client_new(m, peer));
	}
	return G_SOURCE_CONTINUE;
}

/* ---- events ---- */

static void on_event(void *opaque, const char *event, const char *reason)
{
	json_t *data = NULL;

	if (reason)
		data = json_pack("{s:b, s:s}", "guest", g_str_has_prefix(reason, "guest-"),
			"reason", reason);
	broadcast(opaque, qmp_event(event, data));
}

static gboolean balloon_event(gpointer opaque)
{
	struct monitor *m = opaque;
	uint64_t actual;

	g_mutex_lock(&m->lock);
	m->balloon_timer = 0;
	m->balloon_last = g_get_monotonic_time();
	actual = m->balloon_actual;
	g_mutex_unlock(&m->lock);
	broadcast(m, qmp_event("BALLOON_CHANGE", json_pack("{s:I}", "actual", (json_int_t)actual)));
	return G_SOURCE_REMOVE;
}

static void on_unplugged(void *opaque, const char *device_id)
{
	g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", device_id);

	broadcast(opaque, qmp_event("DEVICE_DELETED",
				  json_pack("{s:s, s:s}", "device", device_id, "path", path)));
}

/* Any thread. A guest can change its balloon as often as it likes. */
static void balloon_changed(void *opaque, uint64_t actual)
{
	struct monitor *m = opaque;

	g_mutex_lock(&m->lock);
	m->balloon_actual = actual;
	if (!m->balloon_timer) {
		int64_t wait = m->balloon_last + BALLOON_EVENT_US - g_get_monotonic_time();

		m->balloon_timer = g_timeout_add(wait > 0 ? wait / 1000 : 0, balloon_event, m);
	}
	g_mutex_unlock(&m->lock);
}

/* ---- life ---- */

struct monitor *monitor_new(struct vm *vm, const char *path, GError **error)
{
	struct monitor *m = g_new0(struct monitor, 1);
	struct socket_address a;

	m->vm = vm;
	m->listener = -1;
	m->clients = g_ptr_array_new_with_free_func(client_free);
	m->balloon_last = g_get_monotonic_time() - BALLOON_EVENT_US;
	g_mutex_init(&m->lock);
	if (path) {
		if (socket_address_unix(&a, path, error) < 0 ||
			(m->listener = socket_listen(&a, error)) < 0) {
			monitor_free(m);
			return NULL;
		}
		m->path = g_strdup(path);
		m->accept_source = g_unix_fd_add(m->listener, G_IO_IN, accept_ready, m);
	}
	vm->machine->listener = on_event;
	vm->machine->listener_opaque = m;
	vm->unplugged = on_unplugged;
	vm->unplugged_opaque = m;
	vm_balloon_listen(vm, balloon_changed, m);
	return m;
}

static void linger(struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	int64_t end = g_get_monotonic_time() + LINGER_MS * 1000;

	while (client_flush(c), c->out->len && !c->gone) {
		int64_t left = (end - g_get_monotonic_time()) / 1000;

		if (left <= 0 || poll(&p, 1, left) <= 0)
			return;
	}
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	if (m->vm->machine->listener_opaque == m) {
		m->vm->machine->listener = NULL;
		m->vm->machine->listener_opaque = NULL;
		m->vm->unplugged = NULL;
		vm_balloon_listen(m->vm, NULL, NULL);
	}
	if (m->balloon_timer)
		g_source_remove(m->balloon_timer);
	if (m->accept_source)
		g_source_remove(m->accept_source);
	for (guint i = 0; i < m->clients->len; i++)
		linger(m->clients->pdata[i]);
	g_ptr_array_unref(m->clients);
	if (m->listener >= 0)
		close(m->listener);
	if (m->path)
		unlink(m->path);
	g_mutex_clear(&m->lock);
	g_free(m->path);
	g_free(m);
}

void monitor_feed(struct monitor *m, const char *bytes, size_t n, GByteArray *out)
{
	struct client *c = client_new(m, -1);

	client_bytes(c, bytes, n);
	g_byte_array_append(out, c->out->data, c->out->len);
	c->gone = true;
	sweep(m);
}
