/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sasl.c: SASL by Cyrus' library, under libvirt's service name, so that its settings and tickets
 * fit. */
#include "manager/rpc/sasl.h"

#include <sasl/sasl.h>

#include "base/error.h"
#include "manager/error.h"

enum { LEAST_STRENGTH = 56, MOST_STRENGTH = 100000, BUFFER = 65536 };

struct sasl {
	sasl_conn_t *conn;
	bool secure, layer;
};

int sasl_begin(GError **error)
{
	int rc = sasl_server_init(NULL, "libvirt");

	return rc == SASL_OK
		       ? 0
		       : fail(error, LODGE_ERROR_HOST, "SASL: %s", sasl_errstring(rc, NULL, NULL));
}

struct sasl *sasl_new(bool secure, GError **error)
{
	const sasl_security_properties_t props = {
		.min_ssf = secure ? 0 : LEAST_STRENGTH,
		.max_ssf = secure ? 0 : MOST_STRENGTH,
		.maxbufsize = BUFFER,
		.security_flags = SASL_SEC_NOANONYMOUS | (secure ? 0 : SASL_SEC_NOPLAINTEXT),
	};
	const sasl_ssf_t external = 256;
	struct sasl *s = g_new0(struct sasl, 1);
	int rc = sasl_server_new(
		"libvirt", NULL, NULL, NULL, NULL, NULL, SASL_SUCCESS_DATA, &s->conn);

	s->secure = secure;
	if (rc == SASL_OK && secure)
		rc = sasl_setprop(s->conn, SASL_SSF_EXTERNAL, &external);
	if (rc == SASL_OK)
		rc = sasl_setprop(s->conn, SASL_SEC_PROPS, &props);
	if (rc == SASL_OK)
		return s;
	refuse(error, MANAGER_ERR_AUTH_FAILED, "SASL: %s", sasl_errstring(rc, NULL, NULL));
	sasl_free(s);
	return NULL;
}

void sasl_free(struct sasl *s)
{
	if (!s)
		return;
	if (s->conn)
		sasl_dispose(&s->conn);
	g_free(s);
}

char *sasl_mechanisms(struct sasl *s, GError **error)
{
	const char *list = NULL;
	int rc = sasl_listmech(s->conn, NULL, "", ",", "", &list, NULL, NULL);

	if (rc != SASL_OK) {
		refuse(error, MANAGER_ERR_AUTH_FAILED, "no SASL mechanism is set up: %s",
			sasl_errdetail(s->conn));
		return NULL;
	}
	return g_strdup(list);
}

static int complete(struct sasl *s, GError **error)
{
	const void *ssf = NULL;

	if (s->secure)
		return 1;
	if (sasl_getprop(s->conn, SASL_SSF, &ssf) != SASL_OK || *(const int *)ssf < LEAST_STRENGTH)
		return refuse(error, MANAGER_ERR_AUTH_FAILED,
			"this mechanism does not protect the connection");
	s->layer = true;
	return 1;
}

int sasl_round(struct sasl *s, const char *mechanism, const char *in, unsigned in_len,
	const char **ret_out, unsigned *ret_len, GError **error)
{
	int rc;

	*ret_out = NULL;
	*ret_len = 0;
	if (mechanism)
		rc = sasl_server_start(s->conn, mechanism, in, in_len, ret_out, ret_len);
	else
		rc = sasl_server_step(s->conn, in, in_len, ret_out, ret_len);
	if (rc == SASL_CONTINUE)
		return 0;
	if (rc == SASL_OK)
		return complete(s, error);
	/* What exactly is wrong is for the log, not for who may be guessing. */
	return refuse(error, MANAGER_ERR_AUTH_FAILED, "authentication failed");
}

const char *sasl_user(const struct sasl *s)
{
	const void *name = NULL;

	return sasl_getprop(s->conn, SASL_USERNAME, &name) == SASL_OK && name ? name : "";
}

bool sasl_has_layer(const struct sasl *s)
{
	return s->layer;
}

int sasl_layer_encode(struct sasl *s, const uint8_t *data, size_t len, GByteArray *out)
{
	const unsigned *most = NULL;
	unsigned chunk = 8192;

	if (sasl_getprop(s->conn, SASL_MAXOUTBUF, (const void **)&most) == SASL_OK && *most)
		chunk = MIN(*most, BUFFER);
	while (len) {
		unsigned n = (unsigned)MIN(len, chunk), encoded_len;
		const char *encoded;

		if (sasl_encode(s->conn, (const char *)data, n, &encoded, &encoded_len) != SASL_OK)
			return -1;
		g_byte_array_append(out, (const guint8 *)encoded, encoded_len);
		data += n;
		len -= n;
	}
	return 0;
}

int sasl_layer_decode(struct sasl *s, const uint8_t *data, size_t len, GByteArray *out)
{
	const char *decoded = NULL;
	unsigned decoded_len = 0;

	if (sasl_decode(s->conn, (const char *)data, (unsigned)len, &decoded, &decoded_len) !=
		SASL_OK)
		return -1;
	if (decoded_len)
		g_byte_array_append(out, (const guint8 *)decoded, decoded_len);
	return 0;
}
