/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain.h: one machine as its owner knows it: what it is (a definition), what it does (a state with a
 * reason), the process that runs it. Named as libvirt names it; people's texts say "machine".
 */
#ifndef MANAGER_DOMAIN_H
#define MANAGER_DOMAIN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct domain;
struct domain_config; /* domain_config.h: the definition, from and to XML */
struct manager;

/* libvirt's virDomainState */
enum domain_state { DOMAIN_NOSTATE, DOMAIN_RUNNING, DOMAIN_BLOCKED, DOMAIN_PAUSED, DOMAIN_SHUTDOWN,
	DOMAIN_SHUTOFF, DOMAIN_CRASHED, DOMAIN_PMSUSPENDED };

struct domains *domains_new(struct manager *m, GError **error); /* loads, finds running ones again */
void domains_free(struct domains *d);

/* A reference for the caller, or NULL with NO_DOMAIN. */
struct domain *domain_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
struct domain *domain_find_name(struct manager *m, const char *name, GError **error);
struct domain *domain_find_id(struct manager *m, int id, GError **error);
struct domain *domain_ref(struct domain *d);
void domain_unref(struct domain *d);
/* All, each with a reference; free with g_ptr_array_unref. */
GPtrArray *domains_list(struct manager *m);
/* How many run. */
unsigned domains_active(struct manager *m);

#endif
