/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sender.c: bodies made piece by piece. */
#include "manager/rest/sender.h"

enum { PENDING_MAX = 1 << 20 };

struct sender {
	struct request *request; /* the work's */
	SoupServerMessage *msg;  /* main loop */
	const char *type;
	void (*work)(struct sender *s, struct request *r);
	bool started, finished; /* main loop: the head is set; the message is over */
	gulong wrote_id, gone_id, finished_id;
	GMutex lock;
	GCond room;
	size_t pending; /* bytes handed over, not yet written */
	bool gone;
	GError *error;
};

struct piece {
	struct sender *sender;
	GBytes *bytes;
};

static void wrote(SoupServerMessage *msg, guint size, gpointer opaque)
{
	struct sender *s = opaque;

	g_mutex_lock(&s->lock);
	s->pending -= MIN(s->pending, size);
	g_cond_signal(&s->room);
	g_mutex_unlock(&s->lock);
}

static void gone(SoupServerMessage *msg, gpointer opaque)
{
	struct sender *s = opaque;

	s->finished = true;
	g_mutex_lock(&s->lock);
	s->gone = true;
	g_cond_signal(&s->room);
	g_mutex_unlock(&s->lock);
}

static void begin(struct sender *s)
{
	SoupMessageHeaders *h = soup_server_message_get_response_headers(s->msg);

	s->started = true;
	soup_server_message_set_status(s->msg, 200, NULL);
	soup_message_headers_set_content_type(h, s->type, NULL);
	soup_message_headers_set_encoding(h, SOUP_ENCODING_CHUNKED);
	soup_message_headers_replace(h, "Cache-Control", "no-store");
	soup_message_body_set_accumulate(soup_server_message_get_response_body(s->msg), FALSE);
}

static void send_piece(void *opaque)
{
	struct piece *p = opaque;
	struct sender *s = p->sender;

	if (!s->finished) {
		if (!s->started)
			begin(s);
		soup_message_body_append_bytes(
			soup_server_message_get_response_body(s->msg), p->bytes);
		soup_server_message_unpause(s->msg);
	}
	g_bytes_unref(p->bytes);
	g_free(p);
}

/* A body that is not all must not look complete: the stream is taken away under it. */
static void cut(struct sender *s)
{
	GIOStream *stream = soup_server_message_steal_connection(s->msg);

	if (stream) {
		g_io_stream_close(stream, NULL, NULL);
		g_object_unref(stream);
	}
}

static void end(struct sender *s)
{
	if (s->finished)
		return;
	if (s->error && s->started) {
		cut(s);
		return;
	}
	if (!s->started)
		begin(s);
	soup_message_body_complete(soup_server_message_get_response_body(s->msg));
	soup_server_message_unpause(s->msg);
}

static void sender_done(void *opaque)
{
	struct sender *s = opaque;
	struct request *r = s->request;

	g_signal_handler_disconnect(s->msg, s->wrote_id);
	g_signal_handler_disconnect(s->msg, s->gone_id);
	g_signal_handler_disconnect(s->msg, s->finished_id);
	if (s->error && !s->started) {
		r->gone = s->finished;
		rest_reply(r, -1, s->error);
	} else {
		end(s);
		g_signal_handlers_disconnect_by_data(s->msg, r);
		request_free(r);
	}
	g_clear_error(&s->error);
	g_mutex_clear(&s->lock);
	g_cond_clear(&s->room);
	g_object_unref(s->msg);
	g_free(s);
}

static gpointer sender_thread(gpointer opaque)
{
	struct sender *s = opaque;

	s->work(s, s->request);
	rest_later(sender_done, s);
	return NULL;
}

void sender_start(
	struct request *r, const char *type, void (*work)(struct sender *s, struct request *r))
{
	struct sender *s = g_new0(struct sender, 1);

	s->request = r;
	s->msg = g_object_ref(r->msg);
	s->type = type;
	s->work = work;
	g_mutex_init(&s->lock);
	g_cond_init(&s->room);
	s->wrote_id = g_signal_connect(s->msg, "wrote-body-data", G_CALLBACK(wrote), s);
	s->gone_id = g_signal_connect(s->msg, "disconnected", G_CALLBACK(gone), s);
	s->finished_id = g_signal_connect(s->msg, "finished", G_CALLBACK(gone), s);
	g_thread_unref(g_thread_new("sender", sender_thread, s));
}

bool sender_open(struct sender *s)
{
	bool open;

	g_mutex_lock(&s->lock);
	open = !s->gone;
	g_mutex_unlock(&s->lock);
	return open;
}

bool sender_write(struct sender *s, const void *data, size_t len)
{
	struct piece *p;
	bool open;

	g_mutex_lock(&s->lock);
	while (!s->gone && s->pending > PENDING_MAX)
		g_cond_wait(&s->room, &s->lock);
	open = !s->gone;
	s->pending += open ? len : 0;
	g_mutex_unlock(&s->lock);
	if (!open)
		return false;
	p = g_new(struct piece, 1);
	p->sender = s;
	p->bytes = g_bytes_new(data, len);
	rest_later(send_piece, p);
	return true;
}

void sender_fail(struct sender *s, GError *error)
{
	s->error = error;
}
