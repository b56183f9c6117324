/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.c: all clients: the epoll set, the workers, time-outs and keepalive. */
#include "manager/rpc/server.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "manager/event.h"
#include "manager/manager.h"
#include "manager/rpc/client.h"

enum { BATCH = 64, FAST_WORKERS = 4 };

const struct rpc_limits rpc_limits_default = {
	.clients = 5000,
	.in_flight = 16,
	.workers = 64,
	.streams = 32,
	.keepalive_interval = 5,
	.keepalive_count = 5,
	.handshake_timeout = 30,
};

static void bury(struct rpc_server *s)
{
	while (s->dead->len)
		rpc_client_unref(g_ptr_array_steal_index_fast(s->dead, s->dead->len - 1));
}

static gboolean ready(gint fd, GIOCondition condition, gpointer opaque)
{
	struct rpc_server *s = opaque;
	struct epoll_event events[BATCH];
	int n;

	bury(s);
	n = epoll_wait(s->epoll, events, BATCH, 0);
	for (int i = 0; i < n; i++)
		rpc_client_ready(events[i].data.ptr, events[i].events);
	bury(s);
	return G_SOURCE_CONTINUE;
}

static void ping(struct rpc_client *c)
{
	const struct rpc_header h = { KEEPALIVE_PROGRAM, 1, KEEPALIVE_PING, RPC_MESSAGE, 0,
		RPC_OK };

	c->pings++;
	rpc_client_send(c, rpc_frame_new(), &h, NULL, 0);
}

static void tick_client(struct rpc_server *s, struct rpc_client *c, int64_t now)
{
	int64_t silent = (now - c->last_read) / G_USEC_PER_SEC;
	bool known = c->authenticated && !c->handshaking;

	if (!known && now - c->since > s->limits.handshake_timeout * G_USEC_PER_SEC)
		rpc_client_close(c, "did not authenticate itself in time");
	else if (!c->keepalive || silent < s->limits.keepalive_interval * (c->pings + 1))
		return; /* nothing due: each ping has an interval to be answered in */
	else if (c->pings >= s->limits.keepalive_count && !c->paused)
		rpc_client_close(c, "answers no keepalive");
	else if (c->pings < s->limits.keepalive_count)
		ping(c);
}

static gboolean tick(gpointer opaque)
{
	struct rpc_server *s = opaque;
	g_autofree gpointer *list = NULL;
	int64_t now = g_get_monotonic_time();
	guint n;

	list = g_hash_table_get_keys_as_array(s->clients, &n);
	for (guint i = 0; i < n; i++)
		tick_client(s, list[i], now);
	bury(s);
	return G_SOURCE_CONTINUE;
}

struct rpc_server *rpc_server_new(
	struct manager *m, const struct rpc_limits *limits, GError **error)
{
	struct rpc_server *s = g_new0(struct rpc_server, 1);

	s->manager = m;
	s->limits = *limits;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0) {
		fail_errno(error, LODGE_ERROR_HOST, errno, "cannot make an epoll set");
		g_free(s);
		return NULL;
	}
	g_mutex_init(&s->stream_lock);
	g_cond_init(&s->stream_gone);
	s->clients = g_hash_table_new(NULL, NULL);
	s->dead = g_ptr_array_new();
	s->index = rpc_index_new();
	s->fast = g_thread_pool_new_full(
		rpc_dispatch_run, s, rpc_dispatch_drop, FAST_WORKERS, FALSE, NULL);
	s->slow = g_thread_pool_new_full(
		rpc_dispatch_run, s, rpc_dispatch_drop, (gint)limits->workers, FALSE, NULL);
	s->epoll_source = g_unix_fd_add(s->epoll, G_IO_IN, ready, s);
	s->tick_source = g_timeout_add_seconds(1, tick, s);
	s->event_listener = event_listen(m->events, rpc_events_listen, s);
	return s;
}

void rpc_server_set_doors(struct rpc_server *s, const struct door_config *c)
{
	s->doors = c;
}

void rpc_server_free(struct rpc_server *s)
{
	g_autofree gpointer *list = NULL;
	guint n;

	if (!s)
		return;
	event_unlisten(s->manager->events, s->event_listener);
	list = g_hash_table_get_keys_as_array(s->clients, &n);
	for (guint i = 0; i < n; i++)
		rpc_client_close(list[i], NULL);
	g_thread_pool_free(s->fast, TRUE, TRUE);
	g_thread_pool_free(s->slow, TRUE, TRUE);
	g_mutex_lock(&s->stream_lock);
	while (s->streams_running)
		g_cond_wait(&s->stream_gone, &s->stream_lock);
	g_mutex_unlock(&s->stream_lock);
	bury(s);
	g_source_remove(s->epoll_source);
	g_source_remove(s->tick_source);
	g_hash_table_unref(s->clients);
	g_ptr_array_free(s->dead, TRUE);
	rpc_index_free(s->index);
	g_mutex_clear(&s->stream_lock);
	g_cond_clear(&s->stream_gone);
	close(s->epoll);
	g_free(s);
}

void rpc_server_add(
	struct rpc_server *s, struct transport *t, struct caller *caller, enum rpc_auth auth)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct rpc_client *c;

	if (g_hash_table_size(s->clients) >= s->limits.clients) {
		log_client(&s->log, "%u clients already: %s is turned away", s->limits.clients,
			caller->address);
		transport_free(t);
		caller_clear(caller);
		return;
	}
	c = rpc_client_new(s, t, caller, auth);
	c->interest = ev.events;
	ev.data.ptr = c;
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, t->fd, &ev) < 0) {
		rpc_client_unref(c);
		return;
	}
	g_hash_table_add(s->clients, c);
}

unsigned rpc_server_client_count(struct rpc_server *s)
{
	return g_hash_table_size(s->clients);
}
