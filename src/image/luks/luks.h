/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * luks.h: LUKS headers: from a passphrase to a cipher for sectors. Spec: "LUKS On-Disk Format
 * Specification" 1.2.3 and "LUKS2 On-Disk Format Specification" 1.1.
 */
#ifndef IMAGE_LUKS_LUKS_H
#define IMAGE_LUKS_LUKS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct file;
struct image_cipher;

enum {
	LUKS_KEY_MAX = 64,
	LUKS_SLOTS = 32,
	LUKS_HEADER_SIZE = 2 << 20, /* bytes luks_create() takes, payload follows */
};

/* A key slot or digest's way from a secret to bytes. */
struct luks_kdf {
	enum { LUKS_PBKDF2, LUKS_ARGON2I, LUKS_ARGON2ID } type;
	char hash[32];
	uint32_t iterations, memory, lanes; /* memory in KiB; argon2 alone has the last two */
	uint8_t salt[64];
	uint32_t salt_n;
};

struct luks_slot {
	bool used;
	struct luks_kdf kdf;
	char encryption[64];                 /* of the area, "aes-xts-plain64" */
	uint32_t key_n, area_key_n, stripes; /* bytes */
	char af_hash[32];
	uint64_t area_at; /* bytes from the header */
};

/* Both versions' headers in one. */
struct luks {
	unsigned version;
	char uuid[41], encryption[64];
	uint64_t payload;      /* bytes from the header */
	uint64_t payload_size; /* 0: the rest */
	uint64_t iv_tweak;     /* sectors added to the vector */
	uint32_t sector, key_n;
	struct luks_slot slot[LUKS_SLOTS];
	struct luks_kdf digest_kdf;
	uint8_t digest[64];
	uint32_t digest_n;
};

/* header1.c, header2.c: 0 or -1 with error. `at`: where the header begins in f. */
int luks_read(struct file *f, uint64_t at, struct luks *l, GError **error);
int luks1_read(struct file *f, uint64_t at, struct luks *l, GError **error);
int luks2_read(struct file *f, uint64_t at, struct luks *l, GError **error);
/* Finds the slot the secret opens; key gets l->key_n bytes. */
int luks_unlock(struct file *f, uint64_t at, const struct luks *l, const char *secret, uint8_t *key,
	GError **error);
/* A cipher whose sector 0 is at file offset `base`, or NULL with error. */
struct image_cipher *luks_cipher(const char *encryption, const uint8_t *key, uint32_t key_n,
	uint32_t sector, uint64_t base, uint64_t iv_tweak, GError **error);
/* Header, unlock and cipher in one; base as above, or UINT64_MAX: where the payload begins. */
struct image_cipher *luks_open_cipher(struct file *f, uint64_t at, const char *secret,
	uint64_t base, struct luks *ret, GError **error);
/* Writes a LUKS1 header of LUKS_HEADER_SIZE bytes (AES-256-XTS, one slot). */
int luks_create(struct file *f, uint64_t at, const char *secret, GError **error);

/* crypto.c */
int luks_derive(const struct luks_kdf *k, const void *secret, size_t n, uint8_t *out, size_t out_n,
	GError **error);
/* Anti-forensic splitting: n bytes from, or to, stripes * n. 0 or -1: no such hash. */
int luks_af_merge(
	const char *hash, const uint8_t *split, uint32_t n, uint32_t stripes, uint8_t *out);
int luks_af_split(const char *hash, const uint8_t *key, uint32_t n, uint32_t stripes, uint8_t *out);
void luks_random(void *buf, size_t n);

#endif
