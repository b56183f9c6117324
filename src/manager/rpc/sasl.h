/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sasl.h: a SASL exchange, and the security layer that it may end in. Spec: RFC 4422. */
#ifndef MANAGER_RPC_SASL_H
#define MANAGER_RPC_SASL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Once, before any other; no thread may use it yet. */
int sasl_begin(GError **error);

struct sasl;
/* `secure`: the transport encrypts already; else only mechanisms that do are offered. NULL with
 * error. */
struct sasl *sasl_new(bool secure, GError **error);
void sasl_free(struct sasl *s); /* NULL allowed */
/* "SCRAM-SHA-256,PLAIN"; owned by the caller. */
char *sasl_mechanisms(struct sasl *s, GError **error);
/* One round: the first names the mechanism, later ones pass NULL. in may be NULL. *ret_out is
 * borrowed till the next call. 1: complete, 0: goes on, -1 with error. */
int sasl_round(struct sasl *s, const char *mechanism, const char *in, unsigned in_len,
	const char **ret_out, unsigned *ret_len, GError **error);
/* When complete: who; borrowed. */
const char *sasl_user(const struct sasl *s);
/* Does the layer change bytes? Then both directions go through these. Appends to out; -1: broken.
 */
bool sasl_has_layer(const struct sasl *s);
int sasl_layer_encode(struct sasl *s, const uint8_t *data, size_t len, GByteArray *out);
int sasl_layer_decode(struct sasl *s, const uint8_t *data, size_t len, GByteArray *out);

#endif
