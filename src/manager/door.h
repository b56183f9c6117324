/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * door.h: where clients come in: unix sockets, TCP, TLS. A door finds out who a client is as far as
 * the transport tells (peer credentials, certificate) and hands it on.
 */
#ifndef MANAGER_DOOR_H
#define MANAGER_DOOR_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "manager/caller.h"

struct manager;
struct rpc_server;

/* All strings owned; NULL: absent. From the configuration file, then the command line. */
struct door_config {
	char *socket, *socket_ro; /* libvirt's protocol */
	bool socket_given;        /* by a person: failing to listen there is fatal */
	mode_t mode, mode_ro;
	char *group;                                          /* of the sockets; NULL: stays */
	char **admin_groups, **operate_groups, **read_groups; /* of local users */
	enum role others; /* local users in none of them who can open the socket */
	char *tcp, *tls;  /* "HOST:PORT" */
	char *tls_key, *tls_cert, *tls_ca, *tls_crl;
	bool tls_no_verify; /* clients need no certificate */
	bool tls_sasl;      /* and prove themselves by SASL besides */
	char *tls_priority;
	GHashTable *identities;     /* "CN=…", SASL user, token name -> struct door_grant * */
	enum role certificate_role; /* of certificates that no line names */
	enum role sasl_role;        /* of SASL's users likewise */
	char *rest, *rest_tls;      /* unix socket; "HOST:PORT" */
};

/* What an identity may do. */
struct door_grant {
	enum role role;
	GHashTable *roles; /* machine -> role; NULL: none */
	char *token_hash;  /* "sha256:…" of a token; NULL: no token */
};

/* Defaults for this manager, then the file if it exists. 0 or -1 with error. */
int door_config_load(struct door_config *c, const struct manager *m, const char *root,
	const char *path, GError **error);
void door_config_clear(struct door_config *c);

struct doors;
/* Listens. `c` is borrowed for as long as the doors live. `fds` are sockets that systemd opened
 * already (taken), with their names (NULL: unnamed); with some, the unix sockets of `c` are not
 * opened. */
struct doors *doors_open(struct rpc_server *s, const struct door_config *c, struct audit *audit,
	const int *fds, char **fd_names, unsigned fd_count, GError **error);
void doors_close(struct doors *d);

/* The role of a local user by uid and groups. */
enum role door_local_role(const struct door_config *c, uid_t uid, gid_t gid);
/* A caller for the peer of a unix socket, or one that the configuration knows by name. */
void door_caller_unix(const struct door_config *c, int fd, struct audit *audit, struct caller *ret);
void door_caller_named(const struct door_config *c, const char *kind, const char *name,
	enum role otherwise, struct audit *audit, struct caller *ret);

#endif
