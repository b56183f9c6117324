/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tunnel.h: a connection that has left HTTP: a WebSocket, or plain bytes ("Upgrade:
 * lodge-console"), between its client and a descriptor. Each direction has a thread and goes as
 * fast as the slower end.
 */
#ifndef MANAGER_REST_TUNNEL_H
#define MANAGER_REST_TUNNEL_H

#include "manager/rest/request.h"

enum tunnel_kind { TUNNEL_BINARY, TUNNEL_TEXT /* a packet of fd is a message */ };

/* Does this request ask for one? Main loop, as all here. */
bool tunnel_wanted(const struct request *r);
/* Answers 101. On success takes the request and fd. */
int tunnel_start(struct request *r, int fd, enum tunnel_kind kind, GError **error);

#endif
