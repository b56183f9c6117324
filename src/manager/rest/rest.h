/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rest.h: the HTTP door: JSON over a unix socket and over TLS. docs/openapi.json is the truth about
 * what it answers. It makes the same calls as libvirt's clients do, through rpc_invoke(), so that
 * both doors check the same rights and do the same things.
 */
#ifndef MANAGER_REST_REST_H
#define MANAGER_REST_REST_H

#include <glib.h>

#include "manager/door.h"

struct rpc_server;
struct rest;

/* `c` and `audit` are borrowed. NULL with error; with neither socket configured it does nothing. */
struct rest *rest_new(
	struct rpc_server *s, const struct door_config *c, struct audit *audit, GError **error);
/* Before the rpc server goes. NULL allowed. */
void rest_free(struct rest *r);
/* Connections and running operations. */
unsigned rest_busy(struct rest *r);

#endif
