/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transport_tls.c: TLS. After the handshake the server says with one byte, 0x01, that it has
 * accepted the client's certificate; libvirt's clients wait for it. No session tickets: libvirt 9.0
 * takes them for that byte.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "manager/rpc/tls.h"

struct tls_context {
	gint refs;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	bool verify;
	struct log_limit log; /* of what clients can provoke */
};

struct tls {
	struct transport t;
	struct tls_context *context;
	gnutls_session_t session;
	bool shaken; /* only the byte is missing */
	char *name;  /* "CN=…" of the client; NULL: none */
};

static int gnutls_fail(GError **error, int rc, const char *what)
{
	return fail(error, LODGE_ERROR_FILE, "%s: %s", what, gnutls_strerror(rc));
}

static int load(struct tls_context *c, const struct door_config *d, GError **error)
{
	const char *at = NULL;
	int rc = gnutls_certificate_allocate_credentials(&c->credentials);

	if (rc < 0)
		return gnutls_fail(error, rc, "TLS");
	rc = gnutls_certificate_set_x509_key_file(
		c->credentials, d->tls_cert, d->tls_key, GNUTLS_X509_FMT_PEM);
	if (rc < 0)
		return gnutls_fail(error, rc, d->tls_cert);
	if (d->tls_ca) {
		rc = gnutls_certificate_set_x509_trust_file(
			c->credentials, d->tls_ca, GNUTLS_X509_FMT_PEM);
		if (rc < 0)
			return gnutls_fail(error, rc, d->tls_ca);
	}
	if (d->tls_crl) {
		rc = gnutls_certificate_set_x509_crl_file(
			c->credentials, d->tls_crl, GNUTLS_X509_FMT_PEM);
		if (rc < 0)
			return gnutls_fail(error, rc, d->tls_crl);
	}
	rc = gnutls_priority_init(&c->priority, d->tls_priority ? d->tls_priority : "NORMAL", &at);
	return rc < 0 ? gnutls_fail(error, rc, "tls_priority") : 0;
}

struct tls_context *tls_context_new(const struct door_config *d, GError **error)
{
	struct tls_context *c;

	if (!d->tls_cert || !d->tls_key || (!d->tls_ca && !d->tls_no_verify)) {
		fail(error, LODGE_ERROR_USAGE, "TLS needs tls_cert, tls_key and tls_ca");
		return NULL;
	}
	c = g_new0(struct tls_context, 1);
	c->refs = 1;
	c->verify = !d->tls_no_verify;
	if (load(c, d, error) == 0)
		return c;
	tls_context_unref(c);
	return NULL;
}

void tls_context_unref(struct tls_context *c)
{
	if (!c || !g_atomic_int_dec_and_test(&c->refs))
		return;
	if (c->credentials)
		gnutls_certificate_free_credentials(c->credentials);
	if (c->priority)
		gnutls_priority_deinit(c->priority);
	g_free(c);
}

static ssize_t result(ssize_t rc)
{
	if (rc >= 0)
		return rc;
	if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED)
		return -EAGAIN;
	return rc == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -EPROTO;
}

static ssize_t tls_read(struct transport *t, void *buf, size_t len)
{
	struct tls *tls = (struct tls *)t;
	ssize_t n = gnutls_record_recv(tls->session, buf, len);

	/* TLS 1.3 may bring keys anew at any time: nothing to read then. */
	return n == GNUTLS_E_REHANDSHAKE ? -EAGAIN : result(n);
}

static ssize_t tls_write(struct transport *t, const void *buf, size_t len)
{
	return result(gnutls_record_send(((struct tls *)t)->session, buf, len));
}

static bool tls_pending(struct transport *t)
{
	return gnutls_record_check_pending(((struct tls *)t)->session) > 0;
}

static bool tls_handshake_writes(struct transport *t)
{
	struct tls *tls = (struct tls *)t;

	return tls->shaken || gnutls_record_get_direction(tls->session);
}

/* The CN of the certificate; its chain is good already. */
static char *common_name(gnutls_session_t session)
{
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
	gnutls_x509_crt_t cert;
	char name[256];
	size_t len = sizeof(name);
	char *found = NULL;

	if (!chain || !count || gnutls_x509_crt_init(&cert) < 0)
		return NULL;
	if (gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) == 0 &&
		gnutls_x509_crt_get_dn_by_oid(
			cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &len) == 0)
		found = g_strconcat("CN=", name, NULL);
	gnutls_x509_crt_deinit(cert);
	return found;
}

static int verify(struct tls *tls)
{
	unsigned status = 0;
	int rc;

	if (!tls->context->verify)
		return 0;
	rc = gnutls_certificate_verify_peers2(tls->session, &status);
	if (rc < 0 || status) {
		log_client(&tls->context->log, "no valid certificate over TLS (%s)",
			rc < 0 ? gnutls_strerror(rc)
			       : "the chain is not trusted, expired or revoked");
		return -EACCES;
	}
	tls->name = common_name(tls->session);
	return tls->name ? 0 : -EACCES;
}

static int tls_handshake(struct transport *t)
{
	struct tls *tls = (struct tls *)t;
	int rc;

	if (!tls->shaken) {
		do {
			rc = gnutls_handshake(tls->session);
		} while (rc < 0 && rc != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rc));
		if (rc < 0)
			return (int)result(rc);
		rc = verify(tls);
		if (rc < 0) {
			gnutls_alert_send(tls->session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
			return rc;
		}
		tls->shaken = true;
	}
	rc = (int)result(gnutls_record_send(tls->session, "\x01", 1));
	return rc < 0 ? rc : 0;
}

static const char *tls_identity(struct transport *t)
{
	return ((struct tls *)t)->name;
}

static void tls_free(struct transport *t)
{
	struct tls *tls = (struct tls *)t;

	gnutls_deinit(tls->session);
	tls_context_unref(tls->context);
	g_free(tls->name);
	g_free(tls);
}

static const struct transport_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.handshake = tls_handshake,
	.handshake_writes = tls_handshake_writes,
	.pending = tls_pending,
	.identity = tls_identity,
	.free = tls_free,
};

struct transport *transport_tls(int fd, struct tls_context *c)
{
	struct tls *tls = g_new0(struct tls, 1);

	tls->t.ops = &tls_ops;
	tls->t.fd = fd;
	tls->t.secure = true;
	if (gnutls_init(&tls->session,
		    GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0) {
		g_free(tls);
		return NULL;
	}
	g_atomic_int_inc(&c->refs);
	tls->context = c;
	gnutls_priority_set(tls->session, c->priority);
	gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, c->credentials);
	gnutls_certificate_server_set_request(
		tls->session, c->verify ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
	gnutls_transport_set_int(tls->session, fd);
	return &tls->t;
}
