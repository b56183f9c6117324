/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server.h: the clients of libvirt's protocol and their calls. Sockets are read on the main loop,
 * through one epoll set however many clients there are; calls run on workers, which write their
 * replies themselves when the socket has room. Who sends more than is answered is read no further;
 * who does not read what it asked for is let go.
 */
#ifndef MANAGER_RPC_SERVER_H
#define MANAGER_RPC_SERVER_H

#include "manager/rpc/dispatch.h"
#include "manager/rpc/transport.h"

struct door_config;
struct event;
struct manager;

struct rpc_limits {
	unsigned clients;            /* at once */
	unsigned in_flight;          /* calls of one client */
	unsigned workers;            /* for calls that may block */
	unsigned streams;            /* of one client */
	unsigned keepalive_interval; /* seconds of silence; 0: no keepalive */
	unsigned keepalive_count;
	unsigned handshake_timeout; /* seconds until authenticated */
};
extern const struct rpc_limits rpc_limits_default;

struct rpc_server;
struct rpc_server *rpc_server_new(
	struct manager *m, const struct rpc_limits *limits, GError **error);
/* By which clients that authenticate themselves are known; borrowed. Before any of them comes. */
void rpc_server_set_doors(struct rpc_server *s, const struct door_config *c);
/* Drops all clients; waits for their calls. Before the manager goes. */
void rpc_server_free(struct rpc_server *s);

/* How a client proves who it is. */
enum rpc_auth {
	RPC_AUTH_NONE, /* the door knows: caller is complete */
	RPC_AUTH_SASL, /* must call AUTH_SASL_* first */
};

/* Takes the transport and what caller owns. Refuses (closes) when there are too many. */
void rpc_server_add(
	struct rpc_server *s, struct transport *t, struct caller *caller, enum rpc_auth auth);
unsigned rpc_server_client_count(struct rpc_server *s);

#endif
