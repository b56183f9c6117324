/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sender.h: a reply whose body is made piece by piece on a worker, no faster than its client reads.
 */
#ifndef MANAGER_REST_SENDER_H
#define MANAGER_REST_SENDER_H

#include "manager/rest/request.h"

/* Main loop: takes the request and runs `work` on a thread of its own. Before its first byte, work
 * may fail the request with sender_fail(); its return ends the body. */
struct sender;
void sender_start(
	struct request *r, const char *type, void (*work)(struct sender *s, struct request *r));

/* On that thread. False: the client is gone, or the door closes. Copies. */
bool sender_write(struct sender *s, const void *data, size_t len);
bool sender_open(struct sender *s);
/* Takes error. After bytes have gone the connection is cut, so that nobody takes it for all. */
void sender_fail(struct sender *s, GError *error);

#endif
