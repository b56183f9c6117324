/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crypt.c: encrypted qcow2 images: AES of old, to be read; LUKS. Spec: qcow2, "Data encryption". */
#include <string.h>

#include <nettle/aes.h>
#include <nettle/cbc.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/cipher.h"
#include "image/luks/luks.h"
#include "image/qcow2/qcow2.h"

/* AES-128-CBC; the key is the password's first 16 bytes, the vector the guest's sector number. */
struct old_aes {
	struct image_cipher cipher;
	struct aes128_ctx encrypt, decrypt;
};

static void old_vector(uint8_t *iv, uint64_t off)
{
	memset(iv, 0, AES_BLOCK_SIZE);
	store_le64(iv, off / 512);
}

static void old_decrypt(struct image_cipher *c, uint64_t off, void *buf, size_t n)
{
	struct old_aes *a = (struct old_aes *)c;
	uint8_t iv[AES_BLOCK_SIZE], *p = buf;

	for (size_t i = 0; i < n; i += 512) {
		old_vector(iv, off + i);
		cbc_decrypt(&a->decrypt, (nettle_cipher_func *)aes128_decrypt, AES_BLOCK_SIZE, iv,
			512, p + i, p + i);
	}
}

static void old_encrypt(struct image_cipher *c, uint64_t off, void *buf, size_t n)
{
	struct old_aes *a = (struct old_aes *)c;
	uint8_t iv[AES_BLOCK_SIZE], *p = buf;

	for (size_t i = 0; i < n; i += 512) {
		old_vector(iv, off + i);
		cbc_encrypt(&a->encrypt, (nettle_cipher_func *)aes128_encrypt, AES_BLOCK_SIZE, iv,
			512, p + i, p + i);
	}
}

static void old_free(struct image_cipher *c)
{
	explicit_bzero(c, sizeof(struct old_aes));
	g_free(c);
}

static int open_aes(struct qcow2 *s, const char *secret)
{
	struct old_aes *a = g_new0(struct old_aes, 1);
	uint8_t key[16] = { 0 };

	memcpy(key, secret, strnlen(secret, sizeof(key)));
	aes128_set_encrypt_key(&a->encrypt, key);
	aes128_set_decrypt_key(&a->decrypt, key);
	explicit_bzero(key, sizeof(key));
	a->cipher = (struct image_cipher){
		.decrypt = old_decrypt,
		.encrypt = old_encrypt,
		.free = old_free,
		.sector = 512,
		.by_guest = 1,
	};
	s->im->cipher = &a->cipher;
	return 0;
}

int crypt_open(struct qcow2 *s, const struct image_options *o, GError **error)
{
	struct luks luks;

	if (!o->secret && o->no_backing && o->readonly)
		return 0; /* to look at its tables */
	if (!o->secret)
		return fail(error, LODGE_ERROR_USAGE, "%s: is encrypted; give its secret",
			s->file->path);
	if (s->crypt_method == 1)
		return open_aes(s, o->secret);
	/* Sectors count from the begin of the file. */
	s->im->cipher = luks_open_cipher(s->file, s->crypto_at, o->secret, 0, &luks, error);
	return s->im->cipher ? 0 : -1;
}

/* The caller writes qcow2's own header, which then refers to it. */
int crypt_create(struct qcow2 *s, const struct image_spec *spec, GError **error)
{
	uint64_t at;
	int r;

	if (!spec->secret)
		return fail(error, LODGE_ERROR_USAGE, "%s: give the passphrase (--secret-file)",
			s->file->path);
	r = clusters_alloc_all(s, (LUKS_HEADER_SIZE + s->cluster_size - 1) >> s->cluster_bits, &at);
	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: no room for a LUKS header",
			s->file->path);
	if (luks_create(s->file, at, spec->secret, error) < 0)
		return -1;
	s->crypt_method = 2;
	s->crypto_at = at;
	s->crypto_len = LUKS_HEADER_SIZE;
	return 0;
}
