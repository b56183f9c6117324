/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tls.h: clients over TLS, known by their certificates. */
#ifndef MANAGER_RPC_TLS_H
#define MANAGER_RPC_TLS_H

#include "manager/door.h"
#include "manager/rpc/transport.h"

/* Key, certificates, rules: from the files that the configuration names. Counted. */
struct tls_context;
struct tls_context *tls_context_new(const struct door_config *d, GError **error);
void tls_context_unref(struct tls_context *c); /* NULL allowed */

/* Takes fd, unless it returns NULL. */
struct transport *transport_tls(int fd, struct tls_context *c);

#endif
