/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qmp_client.c: the manager's end of a machine's QMP socket. Spec: docs/qmp.md. */
#include "manager/process/qmp_client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/error.h"
#include "wire/qmp.h"

struct pending {
	json_t *reply; /* owned; NULL: not yet */
	bool lost;
};

struct qmp_client {
	int refs;
	int fd;           /* owned */
	GMutex lock;      /* pending, closed, next_id */
	GMutex send_lock; /* one message at a time */
	GCond answered;
	GHashTable *pending; /* id -> struct pending * of a waiting thread */
	json_int_t next_id;
	bool closed;
	GSource *source; /* owned; NULL: not listening */
	struct qmp_reader reader;
	qmp_client_event *event;
	void *opaque;
};

struct qmp_client *qmp_client_ref(struct qmp_client *q)
{
	g_atomic_int_inc(&q->refs);
	return q;
}

void qmp_client_unref(struct qmp_client *q)
{
	if (!q || !g_atomic_int_dec_and_test(&q->refs))
		return;
	if (q->source)
		g_source_unref(q->source);
	close(q->fd);
	qmp_reader_fini(&q->reader);
	g_hash_table_unref(q->pending);
	g_mutex_clear(&q->lock);
	g_mutex_clear(&q->send_lock);
	g_cond_clear(&q->answered);
	g_free(q);
}

static void lose_all(struct qmp_client *q)
{
	GHashTableIter it;
	gpointer value;

	g_mutex_lock(&q->lock);
	q->closed = true;
	g_hash_table_iter_init(&it, q->pending);
	while (g_hash_table_iter_next(&it, NULL, &value))
		((struct pending *)value)->lost = true;
	g_cond_broadcast(&q->answered);
	g_mutex_unlock(&q->lock);
}

void qmp_client_close(struct qmp_client *q)
{
	shutdown(q->fd, SHUT_RDWR);
	if (q->source)
		g_source_destroy(q->source);
	lose_all(q);
}

static void take_event(struct qmp_client *q, const json_t *m)
{
	const json_t *stamp = json_object_get(m, "timestamp");

	if (q->event)
		q->event(q->opaque, json_string_value(json_object_get(m, "event")),
			json_object_get(m, "data"),
			json_integer_value(json_object_get(stamp, "seconds")) * G_USEC_PER_SEC +
				json_integer_value(json_object_get(stamp, "microseconds")));
}

/* Takes the message. */
static void take(struct qmp_client *q, json_t *m)
{
	json_int_t id = json_integer_value(json_object_get(m, "id"));
	struct pending *p;

	if (json_is_string(json_object_get(m, "event"))) {
		take_event(q, m);
		json_decref(m);
		return;
	}
	g_mutex_lock(&q->lock);
	p = g_hash_table_lookup(q->pending, GSIZE_TO_POINTER((gsize)id));
	if (p && !p->reply) {
		p->reply = m;
		g_cond_broadcast(&q->answered);
		m = NULL;
	}
	g_mutex_unlock(&q->lock);
	json_decref(m);
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer opaque)
{
	struct qmp_client *q = opaque;
	char buf[16384];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	const char *p = buf;
	size_t left;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n <= 0) {
		lose_all(q);
		return G_SOURCE_REMOVE;
	}
	left = (size_t)n;
	qmp_client_ref(q); /* an event may end it */
	while (left) {
		json_t *m = NULL;
		char *error = NULL;

		switch (qmp_read(&q->reader, &p, &left, &m, &error)) {
		case QMP_MESSAGE: take(q, m); break;
		case QMP_BROKEN: g_free(error); break;
		case QMP_MORE: break;
		}
	}
	qmp_client_unref(q);
	return G_SOURCE_CONTINUE;
}

static void unref_it(gpointer q)
{
	qmp_client_unref(q);
}

void qmp_client_listen(struct qmp_client *q, qmp_client_event *event, void *opaque)
{
	q->event = event;
	q->opaque = opaque;
	q->source = g_unix_fd_source_new(q->fd, G_IO_IN | G_IO_HUP);
	g_source_set_callback(q->source, G_SOURCE_FUNC(on_readable), qmp_client_ref(q), unref_it);
	g_source_attach(q->source, NULL);
}

/* ---- connecting ---- */

static int connect_to(const char *path, GError **error)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return refuse(
			error, MANAGER_ERR_INTERNAL, "the path %s is too long for a socket", path);
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	refuse(error, MANAGER_ERR_OPERATION_FAILED, "cannot connect to %s: %s", path,
		g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The next message, in this thread. */
static json_t *read_message(struct qmp_client *q, int64_t deadline, GError **error)
{
	for (;;) {
		int left = (int)MAX(0, (deadline - g_get_monotonic_time()) / 1000);
		struct pollfd pfd = { .fd = q->fd, .events = POLLIN };
		json_t *m = NULL;
		char byte, *broken = NULL;
		const char *p = &byte;
		size_t one = 1;

		if (poll(&pfd, 1, left) == 0) {
			refuse(error, MANAGER_ERR_OPERATION_TIMEOUT,
				"the machine's process does not answer");
			return NULL;
		}
		/* Byte by byte, so that nothing of the next message is taken from the loop. */
		if (recv(q->fd, &byte, 1, 0) <= 0) {
			refuse(error, MANAGER_ERR_OPERATION_FAILED,
				"the machine's process hung up");
			return NULL;
		}
		if (qmp_read(&q->reader, &p, &one, &m, &broken) == QMP_MESSAGE)
			return m;
		g_free(broken);
	}
}

static int negotiate(struct qmp_client *q, int64_t deadline, GError **error)
{
	static const char hello[] = "{\"execute\":\"qmp_capabilities\"}\r\n";
	json_t *m = read_message(q, deadline, error);
	bool done = false;

	if (!m)
		return -1;
	json_decref(m);
	if (send(q->fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) != sizeof(hello) - 1)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "the machine's process hung up");
	while (!done) {
		m = read_message(q, deadline, error);
		if (!m)
			return -1;
		done = json_object_get(m, "return") || json_object_get(m, "error");
		json_decref(m);
	}
	return 0;
}

struct qmp_client *qmp_client_open(
	const char *path, bool (*alive)(void *opaque), void *opaque, int timeout_ms, GError **error)
{
	int64_t deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
	g_autoptr(GError) why = NULL;
	struct qmp_client *q;
	int fd;

	while ((fd = connect_to(path, &why)) < 0) {
		if (!alive || !alive(opaque) || g_get_monotonic_time() > deadline) {
			g_propagate_error(error, g_steal_pointer(&why));
			return NULL;
		}
		g_clear_error(&why);
		g_usleep(2000);
	}
	q = g_new0(struct qmp_client, 1);
	q->refs = 1;
	q->fd = fd;
	q->pending = g_hash_table_new(NULL, NULL);
	g_mutex_init(&q->lock);
	g_mutex_init(&q->send_lock);
	g_cond_init(&q->answered);
	qmp_reader_init(&q->reader);
	if (negotiate(q, deadline, error) == 0)
		return q;
	qmp_client_unref(q);
	return NULL;
}

/* ---- commands ---- */

/* All of it, `fd` with the first byte. */
static int send_all(struct qmp_client *q, const char *text, size_t len, int fd)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };

	while (len) {
		struct iovec iov = { (char *)text, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (fd >= 0) {
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
			control.h.cmsg_level = SOL_SOCKET;
			control.h.cmsg_type = SCM_RIGHTS;
			control.h.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.h), &fd, sizeof(int));
		}
		n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		fd = -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Sends the message (taken) and waits for its answer, which is the caller's. */
static json_t *exchange(
	struct qmp_client *q, json_t *message, int fd, int timeout_ms, GError **error)
{
	int64_t deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
	struct pending p = { 0 };
	g_autoptr(GByteArray) text = g_byte_array_new();
	json_int_t id;
	bool sent;

	g_mutex_lock(&q->lock);
	id = ++q->next_id;
	g_hash_table_insert(q->pending, GSIZE_TO_POINTER((gsize)id), &p);
	p.lost = q->closed;
	g_mutex_unlock(&q->lock);
	json_object_set_new(message, "id", json_integer(id));
	qmp_print(text, message);
	json_decref(message);
	g_mutex_lock(&q->send_lock);
	sent = !p.lost && send_all(q, (const char *)text->data, text->len, fd) == 0;
	g_mutex_unlock(&q->send_lock);
	g_mutex_lock(&q->lock);
	while (sent && !p.reply && !p.lost && g_cond_wait_until(&q->answered, &q->lock, deadline))
		;
	g_hash_table_remove(q->pending, GSIZE_TO_POINTER((gsize)id));
	g_mutex_unlock(&q->lock);
	if (!p.reply && (p.lost || !sent))
		refuse(error, MANAGER_ERR_OPERATION_FAILED, "the machine's process is gone");
	else if (!p.reply)
		refuse(error, MANAGER_ERR_OPERATION_TIMEOUT,
			"the machine's process did not answer in time");
	return p.reply;
}

json_t *qmp_client_run_fd(struct qmp_client *q, const char *command, json_t *args, int fd,
	int timeout_ms, GError **error)
{
	json_t *message = json_object(), *reply, *result;

	json_object_set_new(message, "execute", json_string(command));
	if (args)
		json_object_set_new(message, "arguments", args);
	reply = exchange(q, message, fd, timeout_ms, error);
	if (!reply)
		return NULL;
	result = json_incref(json_object_get(reply, "return"));
	if (!result)
		refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s: %s", command,
			json_string_value(
				json_object_get(json_object_get(reply, "error"), "desc")));
	json_decref(reply);
	return result;
}

json_t *qmp_client_run(
	struct qmp_client *q, const char *command, json_t *args, int timeout_ms, GError **error)
{
	return qmp_client_run_fd(q, command, args, -1, timeout_ms, error);
}

char *qmp_client_text(struct qmp_client *q, const char *text, GError **error)
{
	json_error_t why;
	json_t *message = json_loads(text, 0, &why), *reply, *id;
	char *answer;

	if (!json_is_object(message)) {
		refuse(error, MANAGER_ERR_INVALID_ARG, "no JSON object: %s", why.text);
		json_decref(message);
		return NULL;
	}
	id = json_incref(json_object_get(message, "id"));
	reply = exchange(q, message, -1, 30000, error);
	if (reply && id)
		json_object_set(reply, "id", id);
	answer = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(id);
	json_decref(reply);
	if (!answer)
		return NULL;
	text = g_strdup(answer);
	free(answer);
	return (char *)text;
}
