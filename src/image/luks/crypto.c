/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crypto.c: keys from passphrases, anti-forensic splitting, sector ciphers, on nettle and
 * libargon2. Spec: "LUKS On-Disk Format Specification" 1.2.3, section 2; IEEE 1619; RFC 8018; RFC
 * 9106.
 */
#include <argon2.h>
#include <string.h>
#include <sys/random.h>

#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <nettle/hmac.h>
#include <nettle/nettle-meta.h>
#include <nettle/pbkdf2.h>
#include <nettle/xts.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/cipher.h"
#include "image/luks/luks.h"

enum { ARGON2_MEMORY_MAX = 4 << 20 /* KiB */, DIGEST_MAX = 64, CONTEXT_MAX = 1024 };

static const struct nettle_hash *find_hash(const char *name)
{
	static const struct {
		const char *name;
		const struct nettle_hash *hash;
	} known[] = { { "sha1", &nettle_sha1 }, { "sha224", &nettle_sha224 },
		{ "sha256", &nettle_sha256 }, { "sha384", &nettle_sha384 },
		{ "sha512", &nettle_sha512 }, { "ripemd160", &nettle_ripemd160 } };

	for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
		if (!strcmp(known[i].name, name))
			return known[i].hash;
	}
	return NULL;
}

static void digest_of(const struct nettle_hash *h, const void *a, size_t a_n, const void *b,
	size_t b_n, uint8_t *out)
{
	_Alignas(16) uint8_t context[CONTEXT_MAX];

	h->init(context);
	h->update(context, a_n, a);
	h->update(context, b_n, b);
	h->digest(context, h->digest_size, out);
}

void luks_random(void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n) {
		ssize_t r = getrandom(p, n, 0);

		if (r > 0) {
			p += r;
			n -= r;
		}
	}
}

static int derive_pbkdf2(
	const struct luks_kdf *k, const void *secret, size_t n, uint8_t *out, size_t out_n)
{
	if (!strcmp(k->hash, "sha1"))
		nettle_pbkdf2_hmac_sha1(n, secret, k->iterations, k->salt_n, k->salt, out_n, out);
	else if (!strcmp(k->hash, "sha256"))
		nettle_pbkdf2_hmac_sha256(n, secret, k->iterations, k->salt_n, k->salt, out_n, out);
	else if (!strcmp(k->hash, "sha512"))
		nettle_pbkdf2_hmac_sha512(n, secret, k->iterations, k->salt_n, k->salt, out_n, out);
	else
		return -1;
	return 0;
}

int luks_derive(const struct luks_kdf *k, const void *secret, size_t n, uint8_t *out, size_t out_n,
	GError **error)
{
	int r;

	if (k->type == LUKS_PBKDF2)
		return k->iterations && !derive_pbkdf2(k, secret, n, out, out_n)
			       ? 0
			       : fail(error, LODGE_ERROR_FILE,
					 "the key derivation by %s is not known", k->hash);
	if (k->memory > ARGON2_MEMORY_MAX)
		return fail(error, LODGE_ERROR_FILE, "the key derivation wants %u MiB of memory",
			k->memory >> 10);
	r = k->type == LUKS_ARGON2I ? argon2i_hash_raw(k->iterations, k->memory, k->lanes, secret,
					      n, k->salt, k->salt_n, out, out_n)
				    : argon2id_hash_raw(k->iterations, k->memory, k->lanes, secret,
					      n, k->salt, k->salt_n, out, out_n);
	return r ? fail(error, LODGE_ERROR_FILE, "argon2: %s", argon2_error_message(r)) : 0;
}

/* ---- anti-forensic splitting: section 2.4 ---- */

static void diffuse(const struct nettle_hash *h, uint8_t *p, uint32_t n)
{
	uint8_t out[DIGEST_MAX];

	for (uint32_t i = 0, at = 0; at < n; i++, at += h->digest_size) {
		uint32_t part = MIN(n - at, h->digest_size);
		uint8_t number[4];

		store_be32(number, i);
		digest_of(h, number, 4, p + at, part, out);
		memcpy(p + at, out, part);
	}
}

static void add(uint8_t *to, const uint8_t *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] ^= from[i];
}

int luks_af_merge(
	const char *hash, const uint8_t *split, uint32_t n, uint32_t stripes, uint8_t *out)
{
	const struct nettle_hash *h = find_hash(hash);

	if (!h || !stripes)
		return -1;
	memset(out, 0, n);
	for (uint32_t i = 0; i + 1 < stripes; i++) {
		add(out, split + (size_t)i * n, n);
		diffuse(h, out, n);
	}
	add(out, split + (size_t)(stripes - 1) * n, n);
	return 0;
}

int luks_af_split(const char *hash, const uint8_t *key, uint32_t n, uint32_t stripes, uint8_t *out)
{
	const struct nettle_hash *h = find_hash(hash);
	uint8_t sum[LUKS_KEY_MAX] = { 0 };

	if (!h || n > sizeof(sum))
		return -1;
	luks_random(out, (size_t)(stripes - 1) * n);
	for (uint32_t i = 0; i + 1 < stripes; i++) {
		add(sum, out + (size_t)i * n, n);
		diffuse(h, sum, n);
	}
	add(sum, key, n);
	memcpy(out + (size_t)(stripes - 1) * n, sum, n);
	return 0;
}

/* ---- sectors ---- */

struct sector_cipher {
	struct image_cipher cipher;
	uint64_t base, tweak;
	bool xts, essiv, plain32;
	const struct nettle_cipher *aes;
	_Alignas(16) uint8_t encrypt[sizeof(struct aes256_ctx)];
	_Alignas(16) uint8_t decrypt[sizeof(struct aes256_ctx)];
	_Alignas(16) uint8_t vector[sizeof(struct aes256_ctx)]; /* XTS's second key, or ESSIV's */
};

static void make_vector(const struct sector_cipher *c, uint64_t off, uint8_t *iv)
{
	uint64_t sector = (off - c->base) / 512 + c->tweak;

	memset(iv, 0, AES_BLOCK_SIZE);
	store_le64(iv, c->plain32 ? (uint32_t)sector : sector);
	if (c->essiv)
		nettle_aes256.encrypt(c->vector, AES_BLOCK_SIZE, iv, iv);
}

static void run(struct image_cipher *cipher, uint64_t off, uint8_t *p, size_t n, bool encrypt)
{
	struct sector_cipher *c = (struct sector_cipher *)cipher;
	uint32_t sector = cipher->sector;

	for (size_t i = 0; i < n; i += sector) {
		uint8_t iv[AES_BLOCK_SIZE];

		make_vector(c, off + i, iv);
		if (c->xts && encrypt)
			xts_encrypt_message(
				c->encrypt, c->vector, c->aes->encrypt, iv, sector, p + i, p + i);
		else if (c->xts)
			xts_decrypt_message(c->decrypt, c->vector, c->aes->decrypt, c->aes->encrypt,
				iv, sector, p + i, p + i);
		else if (encrypt)
			cbc_encrypt(c->encrypt, c->aes->encrypt, AES_BLOCK_SIZE, iv, sector, p + i,
				p + i);
		else
			cbc_decrypt(c->decrypt, c->aes->decrypt, AES_BLOCK_SIZE, iv, sector, p + i,
				p + i);
	}
}

static void sectors_decrypt(struct image_cipher *c, uint64_t off, void *buf, size_t n)
{
	run(c, off, buf, n, false);
}

static void sectors_encrypt(struct image_cipher *c, uint64_t off, void *buf, size_t n)
{
	run(c, off, buf, n, true);
}

static void sectors_free(struct image_cipher *c)
{
	explicit_bzero(c, sizeof(struct sector_cipher));
	g_free(c);
}

static const struct nettle_cipher *aes_of(uint32_t key_n)
{
	return key_n == 16   ? &nettle_aes128
	       : key_n == 24 ? &nettle_aes192
	       : key_n == 32 ? &nettle_aes256
			     : NULL;
}

struct image_cipher *luks_cipher(const char *encryption, const uint8_t *key, uint32_t key_n,
	uint32_t sector, uint64_t base, uint64_t iv_tweak, GError **error)
{
	struct sector_cipher *c = g_new0(struct sector_cipher, 1);
	const char *mode = g_str_has_prefix(encryption, "aes-") ? encryption + 4 : "";
	const char *vector = strchr(mode, '-');
	uint32_t half;

	c->xts = g_str_has_prefix(mode, "xts-");
	c->essiv = !g_strcmp0(vector, "-essiv:sha256");
	c->plain32 = !g_strcmp0(vector, "-plain");
	half = c->xts ? key_n / 2 : key_n;
	c->aes = aes_of(half);
	if (!c->aes || (!c->xts && !g_str_has_prefix(mode, "cbc-")) ||
		(!c->essiv && !c->plain32 && g_strcmp0(vector, "-plain64"))) {
		fail(error, LODGE_ERROR_FILE, "the cipher %s with %u bits is not known", encryption,
			key_n * 8);
		g_free(c);
		return NULL;
	}
	c->aes->set_encrypt_key(c->encrypt, key);
	c->aes->set_decrypt_key(c->decrypt, key);
	if (c->xts) {
		c->aes->set_encrypt_key(c->vector, key + half);
	} else if (c->essiv) {
		uint8_t salt[32];

		digest_of(&nettle_sha256, key, key_n, "", 0, salt);
		nettle_aes256.set_encrypt_key(c->vector, salt);
	}
	c->base = base;
	c->tweak = iv_tweak;
	c->cipher = (struct image_cipher){ .decrypt = sectors_decrypt,
		.encrypt = sectors_encrypt,
		.free = sectors_free,
		.sector = sector };
	return &c->cipher;
}
