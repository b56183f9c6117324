/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client.h: one connection of libvirt's protocol, as the files of rpc/ share it. */
#ifndef MANAGER_RPC_CLIENT_H
#define MANAGER_RPC_CLIENT_H

#include "base/log.h"
#include "manager/rpc/server.h"
#include "wire/libvirt/protocol.h"

/* Spec: the frame is a length that counts itself, then six words, then the payload. */
enum {
	RPC_HEADER = 28,
	RPC_FRAME_MAX = 33554432 + 4,
	RPC_FRAME_MAX_UNKNOWN = 262144, /* before it has authenticated itself */
};

enum rpc_type {
	RPC_CALL,
	RPC_REPLY,
	RPC_MESSAGE,
	RPC_STREAM,
	RPC_CALL_WITH_FDS,
	RPC_REPLY_WITH_FDS,
	RPC_STREAM_HOLE
};
enum rpc_status { RPC_OK, RPC_ERROR, RPC_CONTINUE };

#define KEEPALIVE_PROGRAM 0x6b656570u
enum { KEEPALIVE_PING = 1, KEEPALIVE_PONG = 2 };

struct rpc_header {
	uint32_t program, version, procedure, type, serial, status;
};

struct rpc_server {
	struct manager *manager;
	struct rpc_limits limits;
	int epoll;
	guint epoll_source, tick_source;
	GHashTable *clients; /* struct rpc_client *; main loop */
	GPtrArray *dead;     /* to be let go after the batch of events */
	GThreadPool *fast, *slow;
	struct log_limit log; /* of what clients can provoke */
	struct rpc_index *index;
	const struct door_config *doors;
	unsigned event_listener;
	GMutex stream_lock;
	GCond stream_gone;
	unsigned streams_running;
};

struct rpc_client {
	gint refs;
	struct rpc_server *server;
	struct caller caller;
	enum rpc_auth auth;
	bool authenticated; /* main loop writes; workers read after it */
	bool opened;
	char *uri;     /* as opened; NULL: none named */
	int64_t since; /* monotonic, us */

	/* main loop */
	GByteArray *in; /* not yet a whole frame */
	bool handshaking;
	bool keepalive;    /* we ping */
	unsigned pings;    /* unanswered */
	int64_t last_read; /* monotonic, us */

	GMutex lock;       /* all below, and SASL's layer */
	struct sasl *sasl; /* the exchange, then the layer; NULL: none */
	bool decode;       /* what comes goes through the layer */
	bool encode_next;  /* so does what goes, after the next frame */
	bool encode;
	GCond room; /* out has shrunk, or closed */
	struct transport *transport;
	GQueue out; /* struct outgoing * */
	size_t out_bytes;
	uint32_t interest; /* what epoll waits for */
	bool closed;       /* nothing goes in or out any more */
	unsigned in_flight;
	size_t stream_bytes; /* received for streams, not yet taken */
	bool paused;
	GHashTable *streams;      /* serial -> struct rpc_stream * */
	GPtrArray *registrations; /* of event.c */
	int next_callback;
};

struct rpc_client *rpc_client_new(
	struct rpc_server *s, struct transport *t, struct caller *caller, enum rpc_auth auth);
struct rpc_client *rpc_client_ref(struct rpc_client *c);
void rpc_client_unref(struct rpc_client *c); /* any thread */
/* Main loop. */
void rpc_client_ready(struct rpc_client *c, uint32_t events);
void rpc_client_close(struct rpc_client *c, const char *why);
/* Any thread: shuts the socket, the main loop does the rest. */
void rpc_client_abort(struct rpc_client *c);
/* Any thread: whether reading may go on is decided anew. Lock held. */
void rpc_client_reconsider(struct rpc_client *c);

/* A frame with room for its header. */
GByteArray *rpc_frame_new(void);
/* Fills in the header and queues it. Takes frame; descriptors stay the caller's until sent: they
 * are taken too. Any thread. A closed client swallows it. */
void rpc_client_send(struct rpc_client *c, GByteArray *frame, const struct rpc_header *h,
	const int *fds, unsigned fd_count);
/* Waits until less than `bytes` are queued. False: the client is gone. */
bool rpc_client_wait_room(struct rpc_client *c, size_t bytes);
/* Replies (or ends a stream) with the error. */
void rpc_client_send_error(struct rpc_client *c, const struct rpc_header *h, const GError *error);

/* dispatch.c */
struct rpc_index *rpc_index_new(void);
void rpc_index_free(struct rpc_index *i);
/* A whole frame; payload is valid during the call. fds are taken. False: a client that breaks the
 * protocol, to be closed. */
bool rpc_dispatch(struct rpc_client *c, const struct rpc_header *h, const uint8_t *payload,
	size_t len, int *fds, unsigned fd_count);
void rpc_dispatch_run(void *job, void *server); /* on a worker */
void rpc_dispatch_drop(void *job);

/* stream.c; main loop */
void rpc_stream_received(
	struct rpc_client *c, const struct rpc_header *h, const uint8_t *payload, size_t len);
void rpc_stream_register(struct rpc_call *call, const struct rpc_header *h);
void rpc_stream_start(struct rpc_stream *s);  /* the reply is queued */
void rpc_stream_cancel(struct rpc_stream *s); /* there will be none */
void rpc_streams_close(struct rpc_client *c); /* the client is gone */

/* event.c */
void rpc_events_listen(const struct event *ev, void *server);
void rpc_registration_free(void *registration);

#endif
