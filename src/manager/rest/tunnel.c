/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tunnel.c: WebSockets and upgraded connections. Spec: RFC 6455, sections 5 and 7; RFC 9110, 7.8.
 */
#include "manager/rest/tunnel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "manager/error.h"

enum { OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };
enum { FRAME_MAX = 1 << 20, CHUNK = 16384 };

struct tunnel {
	gint refs;
	GIOStream *stream;
	GCancellable *over;
	int fd;
	bool websocket;
	enum tunnel_kind kind;
	GMutex write; /* whole frames */
};

static void tunnel_unref(struct tunnel *t)
{
	if (!g_atomic_int_dec_and_test(&t->refs))
		return;
	if (t->stream) {
		g_io_stream_close(t->stream, NULL, NULL);
		g_object_unref(t->stream);
	}
	close(t->fd);
	g_object_unref(t->over);
	g_mutex_clear(&t->write);
	g_free(t);
}

static bool send_bytes(struct tunnel *t, const void *data, size_t len)
{
	return g_output_stream_write_all(
		g_io_stream_get_output_stream(t->stream), data, len, NULL, t->over, NULL);
}

/* A server's frames are not masked. */
static bool send_frame(struct tunnel *t, unsigned op, const void *data, size_t len)
{
	uint8_t head[10] = { (uint8_t)(0x80 | op) };
	size_t n = 2;
	bool ok;

	if (!t->websocket)
		return send_bytes(t, data, len);
	if (len < 126) {
		head[1] = (uint8_t)len;
	} else if (len < 65536) {
		head[1] = 126;
		head[2] = (uint8_t)(len >> 8);
		head[3] = (uint8_t)len;
		n = 4;
	} else {
		head[1] = 127;
		for (int i = 0; i < 8; i++)
			head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
		n = 10;
	}
	g_mutex_lock(&t->write);
	ok = send_bytes(t, head, n) && send_bytes(t, data, len);
	g_mutex_unlock(&t->write);
	return ok;
}

/* Waits until fd is ready for it. False: it is over. */
static bool wait_fd(struct tunnel *t, short events)
{
	struct pollfd fds[2] = { { t->fd, events, 0 },
		{ g_cancellable_get_fd(t->over), POLLIN, 0 } };
	bool over;

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	over = g_cancellable_is_cancelled(t->over);
	g_cancellable_release_fd(t->over);
	return !over;
}

static gpointer outward(gpointer opaque)
{
	struct tunnel *t = opaque;
	size_t size = t->kind == TUNNEL_TEXT ? FRAME_MAX : CHUNK;
	g_autofree char *buf = g_malloc(size);
	ssize_t n = 1;

	while (n > 0 && wait_fd(t, POLLIN)) {
		n = read(t->fd, buf, size);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
		else if (n > 0 && !send_frame(t, t->kind == TUNNEL_TEXT ? OP_TEXT : OP_BINARY, buf,
					  (size_t)n))
			break;
	}
	if (t->websocket && !g_cancellable_is_cancelled(t->over))
		send_frame(t, OP_CLOSE, "\x03\xe8", 2); /* 1000: as it should be */
	g_cancellable_cancel(t->over);
	tunnel_unref(t);
	return NULL;
}

static bool write_fd(struct tunnel *t, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(t->fd, data, len);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return true; /* nobody reads there: the other direction will end it */
		if (n < 0) {
			if (!wait_fd(t, POLLOUT))
				return false;
			continue;
		}
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool get(struct tunnel *t, void *to, size_t len)
{
	gsize got;

	return g_input_stream_read_all(
		       g_io_stream_get_input_stream(t->stream), to, len, &got, t->over, NULL) &&
	       got == len;
}

/* One frame from the client, unmasked, into buf (FRAME_MAX). False: it has closed or breaks the
 * rules. */
static bool get_frame(struct tunnel *t, uint8_t *buf, unsigned *ret_op, size_t *ret_len)
{
	uint8_t head[2], more[8], mask[4];
	uint64_t len;
	unsigned extra;

	if (!get(t, head, 2) || !(head[1] & 0x80))
		return false; /* clients must mask */
	len = head[1] & 0x7f;
	extra = len == 126 ? 2 : len == 127 ? 8 : 0;
	if (extra) {
		if (!get(t, more, extra))
			return false;
		len = 0;
		for (unsigned i = 0; i < extra; i++)
			len = len << 8 | more[i];
	}
	*ret_op = head[0] & 0x0f;
	if (len > (*ret_op & 8 ? 125 : FRAME_MAX) || !get(t, mask, 4) || !get(t, buf, (size_t)len))
		return false;
	for (uint64_t i = 0; i < len; i++)
		buf[i] ^= mask[i & 3];
	*ret_len = (size_t)len;
	return true;
}

static bool inward_frame(struct tunnel *t, uint8_t *buf)
{
	unsigned op;
	size_t len;

	if (!get_frame(t, buf, &op, &len))
		return false;
	switch (op) {
	case OP_CONTINUATION:
	case OP_TEXT:
	case OP_BINARY:
		return t->kind == TUNNEL_TEXT ||
		       write_fd(t, buf, len); /* who only listens may talk, unheard */
	case OP_PING: return send_frame(t, OP_PONG, buf, len);
	case OP_PONG: return true;
	case OP_CLOSE:
		send_frame(t, OP_CLOSE, buf, MIN(len, 2)); /* the code comes back */
		return false;
	default: return false;
	}
}

static bool inward_bytes(struct tunnel *t, uint8_t *buf)
{
	gssize n = g_input_stream_read(
		g_io_stream_get_input_stream(t->stream), buf, CHUNK, t->over, NULL);

	return n > 0 && write_fd(t, buf, (size_t)n);
}

static gpointer inward(gpointer opaque)
{
	struct tunnel *t = opaque;
	g_autofree uint8_t *buf = g_malloc(FRAME_MAX);

	while (t->websocket ? inward_frame(t, buf) : inward_bytes(t, buf))
		;
	g_cancellable_cancel(t->over);
	tunnel_unref(t);
	return NULL;
}

static void no_timeout(GIOStream *stream)
{
	g_autoptr(GIOStream) base = NULL;

	if (G_IS_TLS_CONNECTION(stream))
		g_object_get(stream, "base-io-stream", &base, NULL);
	else
		base = g_object_ref(stream);
	if (G_IS_SOCKET_CONNECTION(base))
		g_socket_set_timeout(g_socket_connection_get_socket(G_SOCKET_CONNECTION(base)), 0);
}

/* 101 is on its way: from here on the connection is ours. */
static void switched(SoupServerMessage *msg, gpointer opaque)
{
	struct tunnel *t = opaque;

	t->stream = soup_server_message_steal_connection(msg);
	g_signal_handlers_disconnect_by_func(msg, switched, t);
	if (!t->stream) {
		tunnel_unref(t);
		return;
	}
	no_timeout(t->stream);
	g_atomic_int_inc(&t->refs);
	g_thread_unref(g_thread_new("tunnel-out", outward, t));
	g_thread_unref(g_thread_new("tunnel-in", inward, t));
}

static bool wants(const struct request *r, const char *protocol)
{
	const char *upgrade = soup_message_headers_get_list(
		soup_server_message_get_request_headers(r->msg), "Upgrade");

	return upgrade && g_ascii_strcasecmp(upgrade, protocol) == 0;
}

bool tunnel_wanted(const struct request *r)
{
	return wants(r, "websocket") || wants(r, "lodge-console");
}

int tunnel_start(struct request *r, int fd, enum tunnel_kind kind, GError **error)
{
	SoupMessageHeaders *out = soup_server_message_get_response_headers(r->msg);
	g_autoptr(GError) local = NULL;
	struct tunnel *t;
	bool websocket = wants(r, "websocket");

	if (websocket && !soup_websocket_server_check_handshake(r->msg, NULL, NULL, NULL, &local))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "%s", local->message);
	if (!websocket && !wants(r, "lodge-console"))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"Upgrade: websocket or lodge-console is needed");
	t = g_new0(struct tunnel, 1);
	t->refs = 1;
	t->over = g_cancellable_new();
	t->fd = fd;
	t->websocket = websocket;
	t->kind = kind;
	g_mutex_init(&t->write);
	if (websocket) {
		soup_websocket_server_process_handshake(r->msg, NULL, NULL, NULL, NULL);
	} else {
		soup_server_message_set_status(r->msg, 101, NULL);
		soup_message_headers_replace(out, "Upgrade", "lodge-console");
		soup_message_headers_replace(out, "Connection", "Upgrade");
	}
	g_signal_connect(r->msg, "wrote-informational", G_CALLBACK(switched), t);
	soup_server_message_unpause(r->msg);
	g_signal_handlers_disconnect_by_data(r->msg, r);
	request_free(r);
	return 0;
}
