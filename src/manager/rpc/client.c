/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.c: frames in, frames out, and when to stop reading. Spec: docs/lodged.md, the wire. */
#include "manager/rpc/client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/door.h"
#include "manager/error.h"
#include "manager/rpc/sasl.h"

enum {
	READ_CHUNK = 65536,
	READ_TURN = 1 << 20,    /* bytes before others have their turn */
	OUT_PAUSE = 8 << 20,    /* queued bytes above which no more calls are read */
	OUT_MAX = 128 << 20,    /* a client that has so much unread is let go */
	STREAM_PAUSE = 4 << 20, /* stream data not yet taken above which nothing is read */
};

struct outgoing {
	GByteArray *frame;
	size_t sent;
	int fds[TRANSPORT_FDS_MAX]; /* after the frame */
	unsigned fd_count, fds_sent;
};

static void outgoing_free(void *p)
{
	struct outgoing *o = p;

	for (unsigned i = o->fds_sent; i < o->fd_count; i++)
		close(o->fds[i]);
	g_byte_array_free(o->frame, TRUE);
	g_free(o);
}

struct rpc_client *rpc_client_new(
	struct rpc_server *s, struct transport *t, struct caller *caller, enum rpc_auth auth)
{
	struct rpc_client *c = g_new0(struct rpc_client, 1);

	c->refs = 1;
	c->server = s;
	c->transport = t;
	c->caller = *caller;
	*caller = (struct caller){};
	c->auth = auth;
	c->authenticated = auth == RPC_AUTH_NONE;
	c->handshaking = t->ops->handshake != NULL;
	c->since = c->last_read = g_get_monotonic_time();
	c->in = g_byte_array_new();
	g_mutex_init(&c->lock);
	g_cond_init(&c->room);
	g_queue_init(&c->out);
	c->streams = g_hash_table_new(NULL, NULL);
	c->registrations = g_ptr_array_new_with_free_func(rpc_registration_free);
	return c;
}

struct rpc_client *rpc_client_ref(struct rpc_client *c)
{
	g_atomic_int_inc(&c->refs);
	return c;
}

void rpc_client_unref(struct rpc_client *c)
{
	if (!g_atomic_int_dec_and_test(&c->refs))
		return;
	g_queue_clear_full(&c->out, outgoing_free);
	transport_free(c->transport);
	g_byte_array_free(c->in, TRUE);
	g_hash_table_unref(c->streams);
	g_ptr_array_free(c->registrations, TRUE);
	caller_clear(&c->caller);
	sasl_free(c->sasl);
	g_free(c->uri);
	g_mutex_clear(&c->lock);
	g_cond_clear(&c->room);
	g_free(c);
}

/* Lock held. */
static void set_interest(struct rpc_client *c)
{
	uint32_t want = 0;
	struct epoll_event ev = { .data.ptr = c };

	if (c->closed)
		return;
	if (c->handshaking && c->transport->ops->handshake_writes(c->transport))
		want = EPOLLOUT;
	else if (!c->paused)
		want = EPOLLIN;
	if (!g_queue_is_empty(&c->out))
		want |= EPOLLOUT;
	if (want == c->interest)
		return;
	c->interest = ev.events = want;
	epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->transport->fd, &ev);
}

static bool must_pause(const struct rpc_client *c)
{
	return c->in_flight >= c->server->limits.in_flight || c->out_bytes > OUT_PAUSE ||
	       c->stream_bytes > STREAM_PAUSE;
}

static void parse(struct rpc_client *c);

/* Frames may lie in memory already, which no poll would report. */
static gboolean resume(gpointer opaque)
{
	struct rpc_client *c = opaque;

	if (!c->closed) {
		parse(c);
		if (!c->closed && c->transport->ops->pending &&
			c->transport->ops->pending(c->transport))
			rpc_client_ready(c, EPOLLIN);
	}
	rpc_client_unref(c);
	return G_SOURCE_REMOVE;
}

void rpc_client_reconsider(struct rpc_client *c)
{
	bool pause = must_pause(c);

	if (pause == c->paused || c->closed)
		return;
	c->paused = pause;
	set_interest(c);
	if (!pause)
		g_idle_add_full(G_PRIORITY_DEFAULT, resume, rpc_client_ref(c), NULL);
}

/* Writes what the socket takes. Lock held. 0 or negative errno. */
static int flush(struct rpc_client *c)
{
	struct transport *t = c->transport;
	struct outgoing *o;

	while (!c->handshaking && (o = g_queue_peek_head(&c->out))) {
		while (o->sent < o->frame->len) {
			ssize_t n =
				t->ops->write(t, o->frame->data + o->sent, o->frame->len - o->sent);

			if (n < 0)
				return n == -EAGAIN ? 0 : (int)n;
			o->sent += (size_t)n;
			c->out_bytes -= (size_t)n;
		}
		while (o->fds_sent < o->fd_count) {
			int rc = transport_send_fd(t, o->fds[o->fds_sent]);

			if (rc < 0)
				return rc == -EAGAIN ? 0 : rc;
			close(o->fds[o->fds_sent++]);
		}
		outgoing_free(g_queue_pop_head(&c->out));
	}
	return 0;
}

GByteArray *rpc_frame_new(void)
{
	GByteArray *frame = g_byte_array_sized_new(256);

	g_byte_array_set_size(frame, RPC_HEADER);
	return frame;
}

static void put_header(GByteArray *frame, const struct rpc_header *h)
{
	const uint32_t words[] = { frame->len, h->program, h->version, h->procedure, h->type,
		h->serial, h->status };

	for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
		xdr_put_u32(frame->data + i * 4, words[i]);
}

/* Through the security layer, if there is one. Lock held. NULL: it is broken. */
static GByteArray *through_layer(struct rpc_client *c, GByteArray *frame)
{
	GByteArray *out;

	if (!c->encode) {
		c->encode = c->encode_next;
		return frame;
	}
	out = g_byte_array_new();
	if (sasl_layer_encode(c->sasl, frame->data, frame->len, out) < 0)
		g_byte_array_set_size(out, 0);
	g_byte_array_free(frame, TRUE);
	return out;
}

void rpc_client_send(struct rpc_client *c, GByteArray *frame, const struct rpc_header *h,
	const int *fds, unsigned fd_count)
{
	struct outgoing *o = g_new0(struct outgoing, 1);
	int rc = 0;

	put_header(frame, h);
	o->fd_count = fd_count;
	if (fd_count)
		memcpy(o->fds, fds, fd_count * sizeof(int));
	g_mutex_lock(&c->lock);
	o->frame = through_layer(c, frame);
	if (c->closed) {
		outgoing_free(o);
	} else {
		g_queue_push_tail(&c->out, o);
		c->out_bytes += o->frame->len;
		/* Straight from this thread when nothing is before it. */
		if (g_queue_get_length(&c->out) == 1)
			rc = flush(c);
		if (rc == 0 && c->out_bytes > OUT_MAX) {
			log_warn("%s at %s does not read what it asks for: closing",
				c->caller.identity, c->caller.address);
			rc = -EPIPE;
		}
		if (rc < 0)
			shutdown(c->transport->fd, SHUT_RDWR);
		rpc_client_reconsider(c);
		set_interest(c);
	}
	g_mutex_unlock(&c->lock);
}

void rpc_client_abort(struct rpc_client *c)
{
	g_mutex_lock(&c->lock);
	if (!c->closed)
		shutdown(c->transport->fd, SHUT_RDWR);
	g_mutex_unlock(&c->lock);
}

bool rpc_client_wait_room(struct rpc_client *c, size_t bytes)
{
	bool there;

	g_mutex_lock(&c->lock);
	while (!c->closed && c->out_bytes > bytes)
		g_cond_wait(&c->room, &c->lock);
	there = !c->closed;
	g_mutex_unlock(&c->lock);
	return there;
}

void rpc_client_close(struct rpc_client *c, const char *why)
{
	struct rpc_server *s = c->server;

	if (c->closed)
		return;
	if (why)
		log_client(&s->log, "%s at %s: %s: closing",
			c->caller.identity ? c->caller.identity : "a client", c->caller.address,
			why);
	g_mutex_lock(&c->lock);
	c->closed = true;
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->transport->fd, NULL);
	shutdown(c->transport->fd, SHUT_RDWR);
	g_queue_clear_full(&c->out, outgoing_free);
	g_queue_init(&c->out);
	c->out_bytes = 0;
	g_ptr_array_set_size(c->registrations, 0);
	g_cond_broadcast(&c->room);
	g_mutex_unlock(&c->lock);
	rpc_streams_close(c);
	g_hash_table_remove(s->clients, c);
	g_ptr_array_add(s->dead, c); /* the batch being worked on may name it */
}

/* The descriptors that a frame brings follow it, each with one byte. */
static unsigned descriptors_of(const struct rpc_header *h, const uint8_t *payload, size_t len)
{
	if (h->type != RPC_CALL_WITH_FDS)
		return 0;
	return len < 4 ? UINT_MAX : xdr_get_u32(payload);
}

/* One frame if a whole one is there: its length with what follows it; 0: not yet; -1: closed. */
static int parse_one(struct rpc_client *c, const uint8_t *at, size_t left)
{
	uint32_t words[7], size;
	struct rpc_header h;
	unsigned fd_count;
	int fds[TRANSPORT_FDS_MAX];
	size_t skip = RPC_HEADER;

	if (left < 4)
		return 0;
	size = xdr_get_u32(at);
	if (size < RPC_HEADER ||
		size > (c->authenticated ? RPC_FRAME_MAX : RPC_FRAME_MAX_UNKNOWN)) {
		rpc_client_close(c, "a message of an impossible length");
		return -1;
	}
	if (left < size)
		return 0;
	for (unsigned i = 0; i < 7; i++)
		words[i] = xdr_get_u32(at + i * 4);
	h = (struct rpc_header){ words[1], words[2], words[3], words[4], words[5], words[6] };
	fd_count = descriptors_of(&h, at + RPC_HEADER, size - RPC_HEADER);
	if (fd_count > (c->transport->unix_fds ? TRANSPORT_FDS_MAX : 0)) {
		rpc_client_close(c, "descriptors that cannot be");
		return -1;
	}
	if (left < size + fd_count)
		return 0;
	if (c->transport->fd_count < fd_count) {
		rpc_client_close(c, "announced descriptors that did not come");
		return -1;
	}
	for (unsigned i = 0; i < fd_count; i++)
		fds[i] = transport_take_fd(c->transport);
	if (h.type == RPC_CALL_WITH_FDS)
		skip += 4;
	if (!rpc_dispatch(c, &h, at + skip, size - skip, fds, fd_count)) {
		rpc_client_close(c, "broke the protocol");
		return -1;
	}
	return (int)(size + fd_count);
}

/* Answers all whole frames in c->in, until reading has to pause. */
static void parse(struct rpc_client *c)
{
	size_t at = 0;
	int n = 0;

	while (!c->paused && (n = parse_one(c, c->in->data + at, c->in->len - at)) > 0)
		at += (size_t)n;
	if (c->closed)
		return;
	if (at == c->in->len && c->in->len > READ_CHUNK * 4) {
		/* Give back what a large message took. */
		g_byte_array_free(c->in, TRUE);
		c->in = g_byte_array_new();
	} else if (at) {
		g_byte_array_remove_range(c->in, 0, (guint)at);
	}
}

/* 0: nothing (more) there, 1: something, negative: ended. */
static int read_some(struct rpc_client *c)
{
	guint was = c->in->len;
	g_autofree uint8_t *copy = NULL;
	ssize_t n;

	g_byte_array_set_size(c->in, was + READ_CHUNK);
	g_mutex_lock(&c->lock);
	n = c->transport->ops->read(c->transport, c->in->data + was, READ_CHUNK);
	g_byte_array_set_size(c->in, was + (guint)MAX(n, 0));
	if (n > 0 && c->decode) {
		copy = g_memdup2(c->in->data + was, (gsize)n);
		g_byte_array_set_size(c->in, was);
		if (sasl_layer_decode(c->sasl, copy, (size_t)n, c->in) < 0)
			n = -EPROTO;
	}
	g_mutex_unlock(&c->lock);
	if (n > 0) {
		c->last_read = g_get_monotonic_time();
		c->pings = 0;
		return 1;
	}
	return n == -EAGAIN ? 0 : n ? (int)n : -ECONNRESET;
}

/* The certificate says who it is. */
static void identify(struct rpc_client *c)
{
	const struct transport_ops *ops = c->transport->ops;
	const char *name = ops->identity ? ops->identity(c->transport) : NULL;
	const struct door_config *doors = c->server->doors;

	if (name)
		door_caller_named(doors, "certificate", name, doors->certificate_role,
			c->caller.audit, &c->caller);
}

static bool shake_hands(struct rpc_client *c)
{
	int rc;

	g_mutex_lock(&c->lock);
	rc = c->transport->ops->handshake(c->transport);
	if (rc == 0) {
		c->handshaking = false;
		identify(c);
	}
	set_interest(c);
	g_mutex_unlock(&c->lock);
	if (rc < 0 && rc != -EAGAIN)
		rpc_client_close(c, "the TLS handshake failed");
	return rc == 0;
}

void rpc_client_ready(struct rpc_client *c, uint32_t events)
{
	size_t turn = 0;
	int rc = 0;

	if (c->closed || (c->handshaking && !shake_hands(c)))
		return;
	if (events & EPOLLOUT) {
		g_mutex_lock(&c->lock);
		rc = flush(c);
		rpc_client_reconsider(c);
		set_interest(c);
		g_cond_broadcast(&c->room);
		g_mutex_unlock(&c->lock);
	}
	if (events & (EPOLLHUP | EPOLLERR) && c->paused)
		rc = -ECONNRESET; /* what it sent last is of no use without it */
	while (rc >= 0 && !c->closed && !c->paused && turn < READ_TURN) {
		guint was = c->in->len;

		rc = read_some(c);
		if (rc <= 0)
			break;
		turn += c->in->len - was;
		parse(c);
	}
	if (rc < 0)
		rpc_client_close(c, NULL);
	else if (!c->closed && turn >= READ_TURN && c->transport->ops->pending)
		g_idle_add_full(G_PRIORITY_DEFAULT, resume, rpc_client_ref(c), NULL);
}
