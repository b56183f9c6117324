/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.h: passphrases and keys that clients leave here, by UUID or by what they are for. */
#ifndef MANAGER_SECRET_H
#define MANAGER_SECRET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;

/* libvirt's virSecretUsageType */
enum secret_usage {
	SECRET_NONE,
	SECRET_VOLUME,
	SECRET_CEPH,
	SECRET_ISCSI,
	SECRET_TLS,
	SECRET_VTPM
};

struct secret_info {
	uint8_t uuid[16];
	enum secret_usage usage;
	char *usage_id; /* owned; NULL: none */
	bool ephemeral, private, has_value;
};
void secret_info_clear(struct secret_info *i);

struct secrets *secrets_new(struct manager *m, GError **error);
void secrets_free(struct secrets *s);

/* What a client sends and gets is libvirt's <secret>. All of these: any thread; 0 or -1 with error,
 * NO_SECRET where there is none. */
int secret_define(struct manager *m, const char *xml, struct secret_info *ret, GError **error);
int secret_undefine(struct manager *m, const uint8_t uuid[16], GError **error);
int secret_find(struct manager *m, const uint8_t uuid[16], struct secret_info *ret, GError **error);
int secret_find_usage(struct manager *m, enum secret_usage usage, const char *id,
	struct secret_info *ret, GError **error);
char *secret_xml(
	struct manager *m, const uint8_t uuid[16], GError **error); /* owned by the caller */
int secret_set_value(
	struct manager *m, const uint8_t uuid[16], const void *value, size_t len, GError **error);
/* For a client a private one's is refused; for the manager's own use it is not. */
GBytes *secret_value(struct manager *m, const uint8_t uuid[16], bool for_client, GError **error);
/* struct secret_info, with a free function. */
GPtrArray *secrets_list(struct manager *m);

#endif
