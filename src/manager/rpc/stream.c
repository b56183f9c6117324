/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stream.c: a thread per stream between a client's frames and callbacks or a descriptor. */
#include "manager/rpc/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/rpc/client.h"

enum { CHUNK = 262120 /* libvirt's oldest limit of a payload */, OUT_ROOM = 1 << 20 };

enum piece_kind { PIECE_DATA, PIECE_HOLE, PIECE_FINISH, PIECE_ABORT };

struct piece {
	enum piece_kind kind;
	uint64_t hole;
	size_t len, done;
	uint8_t data[];
};

struct rpc_stream {
	gint refs;                 /* the client's table, the thread */
	struct rpc_client *client; /* owned */
	struct rpc_header header;
	const struct rpc_stream_ops *ops; /* NULL: a console */
	void *opaque;
	int fd;   /* console's */
	int wake; /* eventfd: something came; consoles */
	bool sparse;
	bool finished;
	GMutex lock;
	GCond came;
	GQueue in;   /* struct piece * */
	bool closed; /* the client is gone */
};

static void stream_unref(struct rpc_stream *s)
{
	if (!g_atomic_int_dec_and_test(&s->refs))
		return;
	if (s->ops && s->ops->free)
		s->ops->free(s->opaque, s->finished);
	if (s->fd >= 0)
		close(s->fd);
	close(s->wake);
	g_queue_clear_full(&s->in, g_free);
	g_mutex_clear(&s->lock);
	g_cond_clear(&s->came);
	if (s->client)
		rpc_client_unref(s->client);
	g_free(s);
}

void rpc_stream_detach(
	struct rpc_stream *s, const struct rpc_stream_ops **ret_ops, void **ret_opaque, int *ret_fd)
{
	*ret_ops = s->ops;
	*ret_opaque = s->opaque;
	*ret_fd = s->fd;
	s->ops = NULL;
	s->fd = -1;
	stream_unref(s);
}

static bool too_many(struct rpc_client *c, GError **error)
{
	unsigned count;

	g_mutex_lock(&c->lock);
	count = g_hash_table_size(c->streams);
	g_mutex_unlock(&c->lock);
	if (count < c->server->limits.streams)
		return false;
	refuse(error, MANAGER_ERR_RESOURCE_BUSY, "this connection has %u streams already", count);
	return true;
}

static struct rpc_stream *stream_new(struct rpc_call *call, GError **error)
{
	struct rpc_client *c = call->client;
	struct rpc_stream *s;
	int wake;

	if (c && too_many(c, error))
		return NULL;
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake < 0) {
		refuse(error, MANAGER_ERR_SYSTEM, "no descriptor for a stream: %s",
			g_strerror(errno));
		return NULL;
	}
	s = g_new0(struct rpc_stream, 1);
	s->refs = 1;
	s->client = c ? rpc_client_ref(c) : NULL;
	s->fd = -1;
	s->wake = wake;
	g_mutex_init(&s->lock);
	g_cond_init(&s->came);
	g_queue_init(&s->in);
	call->stream = s;
	return s;
}

int rpc_stream_callbacks(struct rpc_call *call, const struct rpc_stream_ops *ops, void *opaque,
	bool sparse, GError **error)
{
	struct rpc_stream *s = stream_new(call, error);

	if (!s)
		return -1;
	s->ops = ops;
	s->opaque = opaque;
	s->sparse = sparse;
	return 0;
}

int rpc_stream_console(struct rpc_call *call, int fd, GError **error)
{
	struct rpc_stream *s = stream_new(call, error);

	if (!s) {
		close(fd);
		return -1;
	}
	s->fd = fd;
	g_unix_set_fd_nonblocking(fd, TRUE, NULL);
	return 0;
}

void rpc_stream_cancel(struct rpc_stream *s)
{
	stream_unref(s);
}

void rpc_stream_register(struct rpc_call *call, const struct rpc_header *h)
{
	struct rpc_stream *s = call->stream;
	struct rpc_client *c = s->client;

	s->header = *h;
	s->header.type = RPC_STREAM;
	s->refs = 2;
	g_mutex_lock(&c->lock);
	/* A serial in use again is the client's confusion: the older one is on its own. */
	if (c->closed || g_hash_table_contains(c->streams, GUINT_TO_POINTER(h->serial))) {
		s->closed = true;
		s->refs = 1;
	} else {
		g_hash_table_insert(c->streams, GUINT_TO_POINTER(h->serial), s);
	}
	g_mutex_unlock(&c->lock);
}

/* Out of the client's table, when it is still there. */
static void unregister(struct rpc_stream *s)
{
	struct rpc_client *c = s->client;
	void *key = GUINT_TO_POINTER(s->header.serial);
	bool there;

	g_mutex_lock(&c->lock);
	there = g_hash_table_lookup(c->streams, key) == s;
	if (there)
		g_hash_table_remove(c->streams, key);
	g_mutex_unlock(&c->lock);
	if (there)
		stream_unref(s);
}

static void came(struct rpc_stream *s, struct piece *p)
{
	g_mutex_lock(&s->lock);
	if (p)
		g_queue_push_tail(&s->in, p);
	else
		s->closed = true;
	g_cond_signal(&s->came);
	eventfd_write(s->wake, 1);
	g_mutex_unlock(&s->lock);
}

void rpc_streams_close(struct rpc_client *c)
{
	g_autoptr(GPtrArray) list = g_ptr_array_new();
	GHashTableIter it;
	void *s;

	g_mutex_lock(&c->lock);
	g_hash_table_iter_init(&it, c->streams);
	while (g_hash_table_iter_next(&it, NULL, &s))
		g_ptr_array_add(list, s);
	g_hash_table_remove_all(c->streams);
	g_mutex_unlock(&c->lock);
	for (guint i = 0; i < list->len; i++) {
		came(list->pdata[i], NULL);
		stream_unref(list->pdata[i]);
	}
}

void rpc_stream_received(
	struct rpc_client *c, const struct rpc_header *h, const uint8_t *payload, size_t len)
{
	struct rpc_stream *s;
	struct piece *p;

	g_mutex_lock(&c->lock);
	s = g_hash_table_lookup(c->streams, GUINT_TO_POINTER(h->serial));
	if (s && (s->header.procedure != h->procedure || s->header.program != h->program))
		s = NULL;
	if (s) {
		g_atomic_int_inc(&s->refs);
		c->stream_bytes += len;
		rpc_client_reconsider(c);
	}
	g_mutex_unlock(&c->lock);
	if (!s)
		return; /* of a stream that has ended meanwhile */
	p = g_malloc0(sizeof(*p) + len);
	p->len = len;
	memcpy(p->data, payload, len);
	if (h->status == RPC_OK) {
		p->kind = PIECE_FINISH;
	} else if (h->status != RPC_CONTINUE) {
		p->kind = PIECE_ABORT;
	} else if (h->type == RPC_STREAM_HOLE && len >= 8) {
		p->kind = PIECE_HOLE;
		p->hole = (uint64_t)xdr_get_u32(payload) << 32 | xdr_get_u32(payload + 4);
	}
	came(s, p);
	stream_unref(s);
}

/* The client's data of this size have been dealt with. */
static void taken(struct rpc_stream *s, size_t len)
{
	g_mutex_lock(&s->client->lock);
	s->client->stream_bytes -= len;
	rpc_client_reconsider(s->client);
	g_mutex_unlock(&s->client->lock);
}

/* The next piece, waiting for it or not; NULL: none, or the client is gone. */
static struct piece *next(struct rpc_stream *s, bool wait)
{
	struct piece *p;

	g_mutex_lock(&s->lock);
	while (wait && !s->closed && g_queue_is_empty(&s->in))
		g_cond_wait(&s->came, &s->lock);
	p = s->closed ? NULL : g_queue_pop_head(&s->in);
	g_mutex_unlock(&s->lock);
	if (p)
		taken(s, p->len);
	return p;
}

static void send_status(struct rpc_stream *s, enum rpc_status status, const GError *error)
{
	struct rpc_header h = s->header;

	h.status = status;
	if (status == RPC_ERROR)
		rpc_client_send_error(s->client, &h, error);
	else
		rpc_client_send(s->client, rpc_frame_new(), &h, NULL, 0);
}

static void send_hole(struct rpc_stream *s, uint64_t len)
{
	struct rpc_header h = s->header;
	GByteArray *frame = rpc_frame_new();
	uint8_t b[12] = {};

	xdr_put_u32(b, (uint32_t)(len >> 32));
	xdr_put_u32(b + 4, (uint32_t)len);
	g_byte_array_append(frame, b, sizeof(b));
	h.type = RPC_STREAM_HOLE;
	h.status = RPC_CONTINUE;
	rpc_client_send(s->client, frame, &h, NULL, 0);
}

/* The client says it is over: answer so. True: it is. */
static bool conclude(struct rpc_stream *s, const struct piece *p)
{
	g_autoptr(GError) error = NULL;

	if (p->kind == PIECE_ABORT) {
		send_status(s, RPC_OK, NULL); /* as it wished */
		return true;
	}
	if (p->kind != PIECE_FINISH)
		return false;
	if (s->ops && s->ops->finish && s->ops->finish(s->opaque, &error) < 0) {
		send_status(s, RPC_ERROR, error);
		return true;
	}
	s->finished = true;
	send_status(s, RPC_OK, NULL);
	return true;
}

/* Nothing more to send: the client confirms, or aborts. */
static void wait_end(struct rpc_stream *s)
{
	struct piece *p;
	bool over = false;

	while (!over && (p = next(s, true))) {
		over = conclude(s, p);
		g_free(p);
	}
}

/* 1: sent something, 0: the end, -1: with error. */
static int send_piece(struct rpc_stream *s, GError **error)
{
	GByteArray *frame = rpc_frame_new();
	struct rpc_header h = s->header;
	uint64_t hole = 0;
	ssize_t n;

	g_byte_array_set_size(frame, RPC_HEADER + CHUNK);
	n = s->ops->read(s->opaque, frame->data + RPC_HEADER, CHUNK, &hole, error);
	if (n > 0) {
		g_byte_array_set_size(frame, RPC_HEADER + (guint)n);
		h.status = RPC_CONTINUE;
		rpc_client_send(s->client, frame, &h, NULL, 0);
		return 1;
	}
	g_byte_array_free(frame, TRUE);
	if (n == 0 && hole)
		send_hole(s, hole);
	return n < 0 ? -1 : hole != 0;
}

static void run_download(struct rpc_stream *s)
{
	g_autoptr(GError) error = NULL;
	struct piece *p;
	int rc = 1;

	while (rc > 0) {
		if (!rpc_client_wait_room(s->client, OUT_ROOM))
			return;
		p = next(s, false);
		if (p) {
			bool over = conclude(s, p);

			g_free(p);
			if (over)
				return;
		}
		rc = send_piece(s, &error);
	}
	if (rc < 0) {
		send_status(s, RPC_ERROR, error);
		return;
	}
	send_status(s, RPC_CONTINUE, NULL); /* no bytes: the end */
	wait_end(s);
}

static int write_hole(struct rpc_stream *s, uint64_t len, GError **error)
{
	static const uint8_t zeroes[65536];

	if (s->ops->hole)
		return s->ops->hole(s->opaque, len, error);
	for (; len; len -= MIN(len, sizeof(zeroes))) {
		if (s->ops->write(s->opaque, zeroes, MIN(len, sizeof(zeroes)), error) < 0)
			return -1;
	}
	return 0;
}

static void run_upload(struct rpc_stream *s)
{
	struct piece *p;

	while ((p = next(s, true))) {
		g_autoptr(GError) error = NULL;
		bool over = conclude(s, p);
		int rc = 0;

		if (!over && p->kind == PIECE_HOLE)
			rc = write_hole(s, p->hole, &error);
		else if (!over && p->len)
			rc = s->ops->write(s->opaque, p->data, p->len, &error);
		g_free(p);
		if (rc < 0)
			send_status(s, RPC_ERROR, error);
		if (over || rc < 0)
			return;
	}
}

/* What the console said. False: it has closed. */
static bool console_out(struct rpc_stream *s)
{
	GByteArray *frame = rpc_frame_new();
	struct rpc_header h = s->header;
	ssize_t n;

	g_byte_array_set_size(frame, RPC_HEADER + 16384);
	n = read(s->fd, frame->data + RPC_HEADER, 16384);
	if (n <= 0) {
		g_byte_array_free(frame, TRUE);
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	g_byte_array_set_size(frame, RPC_HEADER + (guint)n);
	h.status = RPC_CONTINUE;
	rpc_client_send(s->client, frame, &h, NULL, 0);
	return true;
}

/* What the client typed. False: the stream is over. */
static bool console_in(struct rpc_stream *s, struct piece **held)
{
	eventfd_t count;

	eventfd_read(s->wake, &count);
	for (;;) {
		struct piece *p = *held ? *held : next(s, false);
		ssize_t n = 0;

		*held = NULL;
		if (!p)
			return !s->closed;
		if (conclude(s, p)) {
			g_free(p);
			return false;
		}
		if (p->done < p->len)
			n = write(s->fd, p->data + p->done, p->len - p->done);
		if (n > 0)
			p->done += (size_t)n;
		if (p->done < p->len && (n >= 0 || errno == EAGAIN || errno == EINTR)) {
			*held = p;
			return true;
		}
		g_free(p); /* written, or nobody is there to read it */
	}
}

static void run_console(struct rpc_stream *s)
{
	struct piece *held = NULL;
	bool open = true;

	while (open) {
		struct pollfd fds[2] = {
			{ .fd = s->fd, .events = POLLIN | (held ? POLLOUT : 0) },
			{ .fd = s->wake, .events = POLLIN },
		};

		if (!rpc_client_wait_room(s->client, OUT_ROOM))
			break;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
			open = console_out(s);
		if (open && (fds[1].revents || held) && !console_in(s, &held)) {
			g_free(held);
			return;
		}
	}
	g_free(held);
	send_status(s, RPC_CONTINUE, NULL);
	wait_end(s);
}

static gpointer stream_thread(gpointer opaque)
{
	struct rpc_stream *s = opaque;
	struct rpc_server *server = s->client->server;

	if (!s->ops)
		run_console(s);
	else if (s->ops->read)
		run_download(s);
	else
		run_upload(s);
	unregister(s);
	stream_unref(s);
	g_mutex_lock(&server->stream_lock);
	server->streams_running--;
	g_cond_signal(&server->stream_gone);
	g_mutex_unlock(&server->stream_lock);
	return NULL;
}

void rpc_stream_start(struct rpc_stream *s)
{
	struct rpc_server *server = s->client->server;

	if (s->closed) {
		stream_unref(s);
		return;
	}
	g_mutex_lock(&server->stream_lock);
	server->streams_running++;
	g_mutex_unlock(&server->stream_lock);
	g_thread_unref(g_thread_new("stream", stream_thread, s));
}
