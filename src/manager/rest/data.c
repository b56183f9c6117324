/* SPDX-License-Identifier: GPL-2.0-or-later */
/* data.c: contents of volumes, down and up: the same streams as libvirt's clients use. */
#include <errno.h>
#include <string.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/rest/pool.h"
#include "manager/rest/sender.h"
#include "manager/rpc/stream.h"

enum { CHUNK = 256 << 10, UPLOAD_QUEUED = 4 << 20 };

/* Opens the stream that this procedure makes for the volume of the path. */
static int open_stream(struct request *r, uint32_t procedure, const struct rpc_stream_ops **ops,
	void **opaque, GError **error)
{
	struct rpc_call call = { .manager = r->manager, .caller = &r->caller };
	/* upload and download take the same arguments */
	struct remote_storage_vol_download_args args = {};
	int fd = -1, rc;

	if (rest_volume_find(r, &args.vol, error) < 0)
		return -1;
	rc = rpc_invoke(rest_server(r->rest), &call, procedure, &args, NULL, error);
	rest_volume_clear(&args.vol);
	if (rc < 0)
		return -1;
	rpc_stream_detach(call.stream, ops, opaque, &fd);
	return 0;
}

static void download(struct sender *s, struct request *r)
{
	const struct rpc_stream_ops *ops;
	g_autofree char *buf = g_malloc(CHUNK);
	GError *error = NULL;
	void *opaque;
	ssize_t n = 0;

	if (open_stream(r, REMOTE_PROC_STORAGE_VOL_DOWNLOAD, &ops, &opaque, &error) < 0) {
		sender_fail(s, error);
		return;
	}
	do {
		uint64_t hole;

		n = ops->read(opaque, buf, CHUNK, &hole, &error);
	} while (n > 0 && sender_write(s, buf, (size_t)n));
	if (n < 0)
		sender_fail(s, error);
	if (ops->free)
		ops->free(opaque, n == 0);
}

int rest_volume_download(struct request *r, GError **error)
{
	sender_start(r, "application/octet-stream", download);
	return 0;
}

/* ---- up ---- */

struct upload {
	gint refs; /* the message, the thread */
	SoupServerMessage *msg;
	GMutex lock;
	GCond came;
	GQueue queue; /* GBytes */
	size_t queued;
	bool ended;  /* all has come, or the client has gone */
	bool failed; /* it has gone, or writing has failed: what comes is dropped */
	bool paused;
	struct request *request;  /* the writer's */
	struct request *reply_to; /* main loop: all has come; NULL: not yet */
	bool written;             /* main loop: the writer has ended */
	int rc;
	GError *error;
};

static void upload_unref(void *opaque)
{
	struct upload *u = opaque;

	if (!g_atomic_int_dec_and_test(&u->refs))
		return;
	g_queue_clear_full(&u->queue, (GDestroyNotify)g_bytes_unref);
	g_mutex_clear(&u->lock);
	g_cond_clear(&u->came);
	g_clear_error(&u->error);
	g_free(u);
}

static void got_chunk(SoupServerMessage *msg, GBytes *chunk, gpointer opaque)
{
	struct upload *u = opaque;

	g_mutex_lock(&u->lock);
	if (!u->failed) {
		g_queue_push_tail(&u->queue, g_bytes_ref(chunk));
		u->queued += g_bytes_get_size(chunk);
		g_cond_signal(&u->came);
		if (u->queued > UPLOAD_QUEUED && !u->paused) {
			u->paused = true;
			soup_server_message_pause(msg);
		}
	}
	g_mutex_unlock(&u->lock);
}

static void upload_gone(SoupServerMessage *msg, gpointer opaque)
{
	struct upload *u = opaque;

	g_mutex_lock(&u->lock);
	u->ended = u->failed = true;
	g_cond_signal(&u->came);
	g_mutex_unlock(&u->lock);
}

static void resume(void *opaque)
{
	struct upload *u = opaque;
	bool resume_now;

	g_mutex_lock(&u->lock);
	resume_now = u->paused && !u->ended;
	u->paused = false;
	g_mutex_unlock(&u->lock);
	if (resume_now)
		soup_server_message_unpause(u->msg);
	upload_unref(u);
}

/* The next piece; NULL: that was all, or the client has gone (u->failed). */
static GBytes *next(struct upload *u)
{
	GBytes *b;

	g_mutex_lock(&u->lock);
	while (g_queue_is_empty(&u->queue) && !u->ended)
		g_cond_wait(&u->came, &u->lock);
	b = u->failed ? NULL : g_queue_pop_head(&u->queue);
	if (b) {
		u->queued -= g_bytes_get_size(b);
		if (u->paused && u->queued < UPLOAD_QUEUED / 2) {
			g_atomic_int_inc(&u->refs);
			rest_later(resume, u);
		}
	}
	g_mutex_unlock(&u->lock);
	return b;
}

static int write_all(struct upload *u, const struct rpc_stream_ops *ops, void *opaque)
{
	GBytes *b;
	int rc = 0;

	while (rc == 0 && (b = next(u))) {
		gsize len;
		const void *data = g_bytes_get_data(b, &len);

		rc = ops->write(opaque, data, len, &u->error);
		g_bytes_unref(b);
	}
	if (rc == 0 && u->failed)
		rc = refuse(&u->error, MANAGER_ERR_OPERATION_ABORTED, "the client went away");
	if (rc == 0 && ops->finish)
		rc = ops->finish(opaque, &u->error);
	return rc;
}

static void reply(struct upload *u)
{
	rest_reply(u->reply_to, u->rc, u->error);
	u->reply_to = NULL;
}

static void written(void *opaque)
{
	struct upload *u = opaque;

	u->written = true;
	if (u->reply_to)
		reply(u);
	request_free(u->request);
	upload_unref(u);
}

/* Nobody takes what still comes. */
static void drop_rest(struct upload *u)
{
	g_mutex_lock(&u->lock);
	u->failed = true;
	g_queue_clear_full(&u->queue, (GDestroyNotify)g_bytes_unref);
	g_queue_init(&u->queue);
	if (u->paused) {
		g_atomic_int_inc(&u->refs);
		rest_later(resume, u);
	}
	g_mutex_unlock(&u->lock);
}

static gpointer upload_thread(gpointer data)
{
	struct upload *u = data;
	const struct rpc_stream_ops *ops;
	void *opaque;

	u->rc = open_stream(u->request, REMOTE_PROC_STORAGE_VOL_UPLOAD, &ops, &opaque, &u->error);
	if (u->rc == 0) {
		u->rc = write_all(u, ops, opaque);
		if (ops->free)
			ops->free(opaque, u->rc == 0);
	}
	if (u->rc < 0)
		drop_rest(u);
	rest_later(written, u);
	return NULL;
}

void rest_upload_begin(struct request *r)
{
	struct upload *u = g_new0(struct upload, 1);

	u->refs = 2;
	u->msg = r->msg;
	u->request = r;
	g_mutex_init(&u->lock);
	g_cond_init(&u->came);
	g_queue_init(&u->queue);
	g_object_set_data_full(G_OBJECT(r->msg), "lodge-upload", u, upload_unref);
	g_signal_connect(r->msg, "got-chunk", G_CALLBACK(got_chunk), u);
	g_signal_connect(r->msg, "disconnected", G_CALLBACK(upload_gone), u);
	g_thread_unref(g_thread_new("upload", upload_thread, u));
}

int rest_volume_upload(struct request *r, GError **error)
{
	struct upload *u = g_object_get_data(G_OBJECT(r->msg), "lodge-upload");

	if (!u)
		return refuse(error, MANAGER_ERR_INTERNAL, "an upload that never began");
	g_mutex_lock(&u->lock);
	u->ended = true;
	g_cond_signal(&u->came);
	g_mutex_unlock(&u->lock);
	u->reply_to = r;
	if (u->written)
		reply(u);
	return 0;
}
