/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connection.c: HTTP's sockets, and who is at their other end. */
#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"
#include "manager/rest/request.h"

enum { CONNECTIONS_MAX = 2000, IDLE_SECONDS = 60 };

struct listener {
	struct rest_doors *doors;
	bool tls;
	int fd;
	guint source;
	char *path;
};

struct rest_doors {
	gint refs; /* of the object, and one for each connection */
	SoupServer *soup;
	const struct door_config *config;
	struct audit *audit;
	GTlsCertificate *certificate;
	GTlsDatabase *database;
	GPtrArray *listeners;
	unsigned count;
	struct log_limit log; /* of what clients can provoke */
};

/* What is known of a connection, kept with its remote address: libsoup shows us that. */
struct peer {
	struct caller local; /* of a unix socket */
	GTlsConnection *tls; /* NULL: a unix socket */
};

static void doors_unref(struct rest_doors *d)
{
	if (--d->refs == 0)
		g_free(d);
}

static void peer_free(void *p)
{
	struct peer *peer = p;

	caller_clear(&peer->local);
	if (peer->tls)
		g_object_unref(peer->tls);
	g_free(peer);
}

static void connection_gone(gpointer data, GObject *was)
{
	struct rest_doors *d = data;

	d->count--;
	doors_unref(d);
}

/* Clients need no certificate, but one they show must be good. */
static gboolean accept_certificate(
	GTlsConnection *c, GTlsCertificate *cert, GTlsCertificateFlags errors, gpointer opaque)
{
	return errors == 0;
}

static GIOStream *wrap_tls(struct rest_doors *d, GIOStream *plain, GError **error)
{
	GIOStream *tls = g_tls_server_connection_new(plain, d->certificate, error);

	if (!tls)
		return NULL;
	if (d->database) {
		g_tls_connection_set_database(G_TLS_CONNECTION(tls), d->database);
		g_object_set(tls, "authentication-mode", G_TLS_AUTHENTICATION_REQUESTED, NULL);
		g_signal_connect(tls, "accept-certificate", G_CALLBACK(accept_certificate), NULL);
	}
	return tls;
}

static void admit(struct listener *l, int fd)
{
	struct rest_doors *d = l->doors;
	g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);
	g_autoptr(GSocketConnection) plain = NULL;
	g_autoptr(GIOStream) stream = NULL;
	g_autoptr(GSocketAddress) remote = NULL, local = NULL;
	g_autoptr(GError) error = NULL;
	struct peer *peer;

	if (!socket) {
		close(fd);
		return;
	}
	g_socket_set_timeout(socket, IDLE_SECONDS);
	plain = g_socket_connection_factory_create_connection(socket);
	stream =
		l->tls ? wrap_tls(d, G_IO_STREAM(plain), &error) : G_IO_STREAM(g_object_ref(plain));
	if (!stream) {
		log_client(&d->log, "%s", error->message);
		return;
	}
	peer = g_new0(struct peer, 1);
	if (l->tls) {
		peer->tls = g_object_ref(G_TLS_CONNECTION(stream));
		remote = g_socket_get_remote_address(socket, NULL);
		local = g_socket_get_local_address(socket, NULL);
	} else {
		door_caller_unix(d->config, fd, d->audit, &peer->local);
	}
	if (!remote)
		remote = g_unix_socket_address_new("");
	if (!local)
		local = g_unix_socket_address_new(l->path ? l->path : "");
	g_object_set_data_full(G_OBJECT(remote), "lodge-peer", peer, peer_free);
	d->count++;
	d->refs++;
	g_object_weak_ref(G_OBJECT(plain), connection_gone, d);
	if (!soup_server_accept_iostream(d->soup, stream, local, remote, &error))
		log_client(&d->log, "cannot serve a connection: %s", error->message);
}

static gboolean knock(gint fd, GIOCondition condition, gpointer opaque)
{
	struct listener *l = opaque;
	int client;

	for (int i = 0; i < 64 && (client = socket_accept(fd)) >= 0; i++) {
		if (l->doors->count < CONNECTIONS_MAX)
			admit(l, client);
		else
			close(client);
	}
	return G_SOURCE_CONTINUE;
}

static int open_listener(struct rest_doors *d, bool tls, const char *address, GError **error)
{
	struct socket_address a;
	struct listener *l;
	int fd;

	if ((tls ? socket_address_tcp(&a, address, error)
		 : socket_address_unix(&a, address, error)) < 0)
		return -1;
	fd = socket_listen(&a, error);
	if (fd < 0)
		return -1;
	if (!tls && chmod(address, d->config->mode) < 0)
		log_warn("cannot set the mode of %s: %s", address, g_strerror(errno));
	l = g_new0(struct listener, 1);
	*l = (struct listener){ d, tls, fd, 0, tls ? NULL : g_strdup(address) };
	l->source = g_unix_fd_add(fd, G_IO_IN, knock, l);
	g_ptr_array_add(d->listeners, l);
	return 0;
}

static int open_tls(struct rest_doors *d, GError **error)
{
	const struct door_config *c = d->config;

	if (!c->tls_cert || !c->tls_key)
		return fail(error, LODGE_ERROR_USAGE, "rest_tls needs tls_cert and tls_key");
	d->certificate = g_tls_certificate_new_from_files(c->tls_cert, c->tls_key, error);
	if (!d->certificate)
		return -1;
	if (c->tls_ca && !(d->database = g_tls_file_database_new(c->tls_ca, error)))
		return -1;
	return open_listener(d, true, c->rest_tls, error);
}

struct rest_doors *rest_doors_open(
	SoupServer *soup, const struct door_config *c, struct audit *audit, GError **error)
{
	struct rest_doors *d = g_new0(struct rest_doors, 1);

	d->refs = 1;
	d->soup = soup;
	d->config = c;
	d->audit = audit;
	d->listeners = g_ptr_array_new();
	if ((!c->rest || open_listener(d, false, c->rest, error) == 0) &&
		(!c->rest_tls || open_tls(d, error) == 0))
		return d;
	rest_doors_close(d);
	return NULL;
}

void rest_doors_close(struct rest_doors *d)
{
	if (!d)
		return;
	for (guint i = 0; i < d->listeners->len; i++) {
		struct listener *l = d->listeners->pdata[i];

		g_source_remove(l->source);
		close(l->fd);
		if (l->path)
			unlink(l->path);
		g_free(l->path);
		g_free(l);
	}
	g_ptr_array_free(d->listeners, TRUE);
	g_clear_object(&d->certificate);
	g_clear_object(&d->database);
	doors_unref(d);
}

unsigned rest_doors_count(const struct rest_doors *d)
{
	return d->count;
}

/* The name of the identity with this token; NULL: none. */
static const char *token_owner(const struct door_config *c, const char *token)
{
	g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
	g_autofree char *hash = g_strconcat("sha256:", sum, NULL);
	GHashTableIter it;
	void *name, *value;

	g_hash_table_iter_init(&it, c->identities);
	while (g_hash_table_iter_next(&it, &name, &value)) {
		const struct door_grant *grant = value;

		/* Of hashes, the time a comparison takes tells nothing about the token. */
		if (grant->token_hash && strcmp(grant->token_hash, hash) == 0)
			return name;
	}
	return NULL;
}

/* The CN of a certificate that the handshake has verified. */
static char *certificate_name(GTlsConnection *tls)
{
	GTlsCertificate *cert = g_tls_connection_get_peer_certificate(tls);
	g_autofree char *subject = cert ? g_tls_certificate_get_subject_name(cert) : NULL;
	g_auto(GStrv) parts = subject ? g_strsplit(subject, ",", -1) : NULL;

	for (char **p = parts; p && *p; p++) {
		g_strstrip(*p);
		if (g_ascii_strncasecmp(*p, "CN=", 3) == 0)
			return g_strdup(*p);
	}
	return NULL;
}

static const char *bearer(SoupServerMessage *msg)
{
	const char *value = soup_message_headers_get_one(
		soup_server_message_get_request_headers(msg), "Authorization");

	return value && g_ascii_strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : NULL;
}

void rest_doors_caller(struct rest_doors *d, SoupServerMessage *msg, struct caller *ret)
{
	GSocketAddress *address = soup_server_message_get_remote_address(msg);
	struct peer *peer = address ? g_object_get_data(G_OBJECT(address), "lodge-peer") : NULL;
	const char *token = bearer(msg), *owner;
	g_autofree char *name = NULL;

	*ret = (struct caller){ .uid = (uid_t)-1, .audit = d->audit };
	if (peer && !peer->tls) {
		*ret = peer->local;
		ret->identity = g_strdup(peer->local.identity);
		ret->address = g_strdup(peer->local.address);
		ret->roles = peer->local.roles ? g_hash_table_ref(peer->local.roles) : NULL;
		return;
	}
	owner = token ? token_owner(d->config, token) : NULL;
	name = peer && !token ? certificate_name(peer->tls) : NULL;
	if (owner)
		door_caller_named(d->config, "token", owner, ROLE_NONE, d->audit, ret);
	else if (name)
		door_caller_named(
			d->config, "certificate", name, d->config->certificate_role, d->audit, ret);
	else
		ret->identity = g_strdup(token ? "unknown token" : "nobody");
	ret->address = address ? g_socket_connectable_to_string(G_SOCKET_CONNECTABLE(address))
			       : g_strdup("?");
}
