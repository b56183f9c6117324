/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * header.c: LUKS1 and LUKS2 headers, unlocking, making. Spec: "LUKS On-Disk Format
 * Specification" 1.2.3, figures 1 to 3; "LUKS2 On-Disk Format Specification" 1.1, sections 2 and 3.
 */
#include <jansson.h>
#include <string.h>

#include <nettle/sha2.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/cipher.h"
#include "image/file.h"
#include "image/luks/luks.h"

enum {
	/* LUKS1 */
	P_VERSION = 6,
	P_CIPHER = 8,
	P_MODE = 40,
	P_HASH = 72,
	P_PAYLOAD = 104,
	P_KEY = 108,
	P_DIGEST = 112,
	P_SALT = 132,
	P_ITERATIONS = 164,
	P_UUID = 168,
	P_SLOTS = 208,
	PHDR = 592,
	S_STATE = 0,
	S_ITERATIONS = 4,
	S_SALT = 8,
	S_AREA = 40,
	S_STRIPES = 44,
	SLOT = 48,
	SLOTS1 = 8,
	DIGEST1 = 20,
	SALT1 = 32,
	STRIPES = 4000,
	/* LUKS2 */
	H_SIZE = 8,
	H_CHECKSUM_ALG = 72,
	H_UUID = 168,
	H_CHECKSUM = 448,
	BINARY = 4096,
	HEADER2_MAX = 4 << 20,
	AREA_MAX = 16 << 20,
};

#define SLOT_USED 0x00ac71f3u
#define SLOT_FREE 0x0000deadu

static const char magic[] = "LUKS\xba\xbe", second_magic[] = "SKUL\xba\xbe";

static void text(char *to, size_t room, const uint8_t *from, size_t n)
{
	g_autofree char *s = g_strndup((const char *)from, n);

	g_strlcpy(to, s, room);
}

int luks1_read(struct file *f, uint64_t at, struct luks *l, GError **error)
{
	uint8_t h[PHDR];
	char cipher[33], mode[33], hash[33];

	if (file_read_full(f, at, h, sizeof(h)) < 0)
		return fail(error, LODGE_ERROR_FILE, "%s: cannot read its LUKS header", f->path);
	text(cipher, sizeof(cipher), h + P_CIPHER, 32);
	text(mode, sizeof(mode), h + P_MODE, 32);
	text(hash, sizeof(hash), h + P_HASH, 32);
	text(l->uuid, sizeof(l->uuid), h + P_UUID, 40);
	l->version = 1;
	l->sector = 512;
	l->payload = (uint64_t)load_be32(h + P_PAYLOAD) * 512;
	l->key_n = load_be32(h + P_KEY);
	g_snprintf(l->encryption, sizeof(l->encryption), "%s-%s", cipher, mode);
	memcpy(l->digest, h + P_DIGEST, DIGEST1);
	l->digest_n = DIGEST1;
	l->digest_kdf = (struct luks_kdf){
		.type = LUKS_PBKDF2, .iterations = load_be32(h + P_ITERATIONS), .salt_n = SALT1
	};
	memcpy(l->digest_kdf.salt, h + P_SALT, SALT1);
	g_strlcpy(l->digest_kdf.hash, hash, sizeof(l->digest_kdf.hash));
	for (unsigned i = 0; i < SLOTS1; i++) {
		const uint8_t *p = h + P_SLOTS + i * SLOT;
		struct luks_slot *s = &l->slot[i];

		s->used = load_be32(p + S_STATE) == SLOT_USED;
		s->kdf = l->digest_kdf;
		s->kdf.iterations = load_be32(p + S_ITERATIONS);
		memcpy(s->kdf.salt, p + S_SALT, SALT1);
		s->area_at = (uint64_t)load_be32(p + S_AREA) * 512;
		s->stripes = load_be32(p + S_STRIPES);
		s->key_n = s->area_key_n = l->key_n;
		g_strlcpy(s->encryption, l->encryption, sizeof(s->encryption));
		g_strlcpy(s->af_hash, hash, sizeof(s->af_hash));
	}
	return 0;
}

/* ---- LUKS2 ---- */

static uint64_t number(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	/* 64-bit numbers are strings there. */
	return json_is_string(v) ? g_ascii_strtoull(json_string_value(v), NULL, 10)
				 : (uint64_t)json_integer_value(v);
}

static void word(const json_t *o, const char *name, char *to, size_t room)
{
	const char *s = json_string_value(json_object_get(o, name));

	g_strlcpy(to, s ? s : "", room);
}

static uint32_t base64(const json_t *o, const char *name, uint8_t *to, size_t room)
{
	const char *s = json_string_value(json_object_get(o, name));
	gsize n = 0;
	g_autofree guchar *b = s ? g_base64_decode(s, &n) : NULL;

	n = MIN(n, room);
	if (n)
		memcpy(to, b, n);
	return n;
}

static int read_kdf(const json_t *o, struct luks_kdf *k)
{
	char type[16];

	word(o, "type", type, sizeof(type));
	k->salt_n = base64(o, "salt", k->salt, sizeof(k->salt));
	if (!strcmp(type, "pbkdf2")) {
		k->type = LUKS_PBKDF2;
		word(o, "hash", k->hash, sizeof(k->hash));
		k->iterations = number(o, "iterations");
		return 0;
	}
	k->type = !strcmp(type, "argon2i") ? LUKS_ARGON2I : LUKS_ARGON2ID;
	k->iterations = number(o, "time");
	k->memory = number(o, "memory");
	k->lanes = number(o, "cpus");
	return !strcmp(type, "argon2i") || !strcmp(type, "argon2id") ? 0 : -1;
}

static void read_slot(const json_t *o, struct luks_slot *s)
{
	const json_t *area = json_object_get(o, "area"), *af = json_object_get(o, "af");

	s->used = !read_kdf(json_object_get(o, "kdf"), &s->kdf);
	s->key_n = number(o, "key_size");
	s->area_at = number(area, "offset");
	s->area_key_n = number(area, "key_size");
	word(area, "encryption", s->encryption, sizeof(s->encryption));
	s->stripes = number(af, "stripes");
	word(af, "hash", s->af_hash, sizeof(s->af_hash));
}

static int read_json(struct luks *l, const json_t *root, const char *path, GError **error)
{
	json_t *segments = json_object_get(root, "segments"), *seg = json_object_get(segments, "0"),
	       *o;
	json_t *digests = json_object_get(root, "digests");
	char type[16];
	const char *name;

	word(seg, "type", type, sizeof(type));
	if (json_object_size(segments) != 1 || strcmp(type, "crypt"))
		return fail(error, LODGE_ERROR_FILE, "%s: has not one encrypted segment but others",
			path);
	l->payload = number(seg, "offset");
	l->payload_size = number(seg, "size"); /* "dynamic" is 0 */
	l->iv_tweak = number(seg, "iv_tweak");
	l->sector = number(seg, "sector_size");
	word(seg, "encryption", l->encryption, sizeof(l->encryption));
	json_object_foreach(json_object_get(root, "keyslots"), name, o)
	{
		uint64_t i = g_ascii_strtoull(name, NULL, 10);

		if (i < LUKS_SLOTS)
			read_slot(o, &l->slot[i]);
		if (i < LUKS_SLOTS && l->slot[i].used)
			l->key_n = l->slot[i].key_n;
	}
	json_object_foreach(digests, name, o)
	{
		read_kdf(o, &l->digest_kdf);
		l->digest_n = base64(o, "digest", l->digest, sizeof(l->digest));
		break;
	}
	return 0;
}

/* One of the two copies, checked by its sum; NULL: it is not good. */
static json_t *read_copy(struct file *f, uint64_t at, const char *want, uint8_t *binary)
{
	g_autofree uint8_t *all = NULL;
	struct sha256_ctx sum;
	uint8_t digest[SHA256_DIGEST_SIZE], claimed[SHA256_DIGEST_SIZE];
	uint64_t n;

	if (file_read_full(f, at, binary, BINARY) < 0 || memcmp(binary, want, 6) ||
		load_be16(binary + P_VERSION) != 2 ||
		strncmp((char *)binary + H_CHECKSUM_ALG, "sha256", 32))
		return NULL;
	n = load_be64(binary + H_SIZE);
	if (n <= BINARY || n > HEADER2_MAX)
		return NULL;
	all = g_malloc0(n + 1);
	if (file_read_full(f, at, all, n) < 0)
		return NULL;
	memcpy(claimed, all + H_CHECKSUM, sizeof(claimed));
	memset(all + H_CHECKSUM, 0, 64);
	sha256_init(&sum);
	sha256_update(&sum, n, all);
	sha256_digest(&sum, sizeof(digest), digest);
	if (memcmp(digest, claimed, sizeof(digest)))
		return NULL;
	return json_loads((char *)all + BINARY, 0, NULL);
}

int luks2_read(struct file *f, uint64_t at, struct luks *l, GError **error)
{
	uint8_t binary[BINARY];
	json_t *root = read_copy(f, at, magic, binary);
	int r;

	/* The second copy is behind the first, whose size may be unreadable. */
	for (uint64_t n = 16 << 10; !root && n <= HEADER2_MAX; n *= 2)
		root = read_copy(f, at + n, second_magic, binary);
	if (!root)
		return fail(
			error, LODGE_ERROR_FILE, "%s: both its LUKS2 headers are damaged", f->path);
	l->version = 2;
	text(l->uuid, sizeof(l->uuid), binary + H_UUID, 40);
	r = read_json(l, root, f->path, error);
	json_decref(root);
	return r;
}

int luks_read(struct file *f, uint64_t at, struct luks *l, GError **error)
{
	uint8_t h[8];
	int r;

	memset(l, 0, sizeof(*l));
	if (file_read_full(f, at, h, sizeof(h)) < 0 ||
		(memcmp(h, magic, 6) && load_be16(h + P_VERSION) != 2))
		return fail(error, LODGE_ERROR_FILE, "%s: has no LUKS header", f->path);
	r = load_be16(h + P_VERSION) == 1 ? luks1_read(f, at, l, error)
					  : luks2_read(f, at, l, error);
	if (r < 0)
		return -1;
	if (!l->key_n || l->key_n > LUKS_KEY_MAX ||
		(l->sector != 512 && l->sector != 1024 && l->sector != 2048 && l->sector != 4096) ||
		l->payload & 511 || l->payload > INT64_MAX / 2)
		return fail(error, LODGE_ERROR_FILE,
			"%s: its LUKS header claims an absurd key, sector or place", f->path);
	return 0;
}

/* ---- unlocking ---- */

/* 1: the secret is this slot's; 0: it is not; -1 with error. */
static int try_slot(struct file *f, uint64_t at, const struct luks *l, const struct luks_slot *s,
	const char *secret, uint8_t *key, GError **error)
{
	uint64_t n = (uint64_t)s->key_n * s->stripes, whole = (n + 511) & ~511ull;
	g_autofree uint8_t *area = NULL;
	uint8_t area_key[LUKS_KEY_MAX], sum[64];
	struct image_cipher *c;

	if (s->key_n != l->key_n || !s->stripes || !s->area_key_n || s->area_key_n > LUKS_KEY_MAX ||
		n > AREA_MAX || s->area_at > INT64_MAX / 2)
		return 0;
	if (luks_derive(&s->kdf, secret, strlen(secret), area_key, s->area_key_n, error) < 0)
		return -1;
	c = luks_cipher(s->encryption, area_key, s->area_key_n, 512, 0, 0, error);
	if (!c)
		return -1;
	area = g_malloc(whole);
	if (file_read_full(f, at + s->area_at, area, whole) < 0) {
		c->free(c);
		return fail(error, LODGE_ERROR_FILE, "%s: cannot read its keys", f->path);
	}
	c->decrypt(c, 0, area, whole);
	c->free(c);
	if (luks_af_merge(s->af_hash, area, s->key_n, s->stripes, key) < 0)
		return fail(error, LODGE_ERROR_FILE, "%s: the hash %s is not known", f->path,
			s->af_hash);
	if (!l->digest_n || l->digest_n > sizeof(sum) ||
		luks_derive(&l->digest_kdf, key, l->key_n, sum, l->digest_n, error) < 0)
		return -1;
	return !memcmp(sum, l->digest, l->digest_n);
}

int luks_unlock(struct file *f, uint64_t at, const struct luks *l, const char *secret, uint8_t *key,
	GError **error)
{
	bool any = false;

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		g_autoptr(GError) why = NULL;
		int r = l->slot[i].used ? try_slot(f, at, l, &l->slot[i], secret, key, &why) : 0;

		if (r == 1)
			return 0;
		any |= l->slot[i].used && r == 0;
		/* Another slot may do without what this one lacks. */
		if (why && error && !*error)
			g_propagate_error(error, g_steal_pointer(&why));
	}
	if (any)
		g_clear_error(error);
	return fail(
		error, LODGE_ERROR_FILE, "%s: the passphrase opens none of its key slots", f->path);
}

struct image_cipher *luks_open_cipher(struct file *f, uint64_t at, const char *secret,
	uint64_t base, struct luks *ret, GError **error)
{
	uint8_t key[LUKS_KEY_MAX];
	struct image_cipher *c = NULL;

	if (!luks_read(f, at, ret, error) && !luks_unlock(f, at, ret, secret, key, error))
		c = luks_cipher(ret->encryption, key, ret->key_n, ret->sector,
			base == UINT64_MAX ? at + ret->payload : base, ret->iv_tweak, error);
	explicit_bzero(key, sizeof(key));
	return c;
}

/* ---- making ---- */

/* Iterations that take about a second here, as the format's makers advise. */
static uint32_t calibrate(void)
{
	struct luks_kdf k = {
		.type = LUKS_PBKDF2, .hash = "sha256", .iterations = 20000, .salt_n = SALT1
	};
	uint8_t out[32];
	int64_t began = g_get_monotonic_time(), took;

	luks_derive(&k, "x", 1, out, sizeof(out), NULL);
	took = MAX(g_get_monotonic_time() - began, 1);
	return CLAMP(
		(uint64_t)k.iterations * G_USEC_PER_SEC / (uint64_t)took / 2, 100000, 10000000);
}

int luks_create(struct file *f, uint64_t at, const char *secret, GError **error)
{
	enum { KEY = 64, FIRST = 8, AREA = 504 };
	struct luks_kdf k = { .type = LUKS_PBKDF2, .hash = "sha256", .salt_n = SALT1 };
	g_autofree uint8_t *area = g_malloc0((size_t)AREA * 512);
	g_autofree char *uuid = g_uuid_string_random();
	uint8_t h[PHDR] = { 0 }, key[KEY], area_key[KEY];
	struct image_cipher *c;
	int r;

	memcpy(h, magic, 6);
	store_be16(h + P_VERSION, 1);
	strcpy((char *)h + P_CIPHER, "aes");
	strcpy((char *)h + P_MODE, "xts-plain64");
	strcpy((char *)h + P_HASH, "sha256");
	store_be32(h + P_PAYLOAD, LUKS_HEADER_SIZE / 512);
	store_be32(h + P_KEY, KEY);
	strcpy((char *)h + P_UUID, uuid);
	luks_random(key, KEY);
	luks_random(k.salt, SALT1);
	memcpy(h + P_SALT, k.salt, SALT1);
	k.iterations = calibrate() / 8;
	store_be32(h + P_ITERATIONS, k.iterations);
	if (luks_derive(&k, key, KEY, h + P_DIGEST, DIGEST1, error) < 0)
		return -1;
	for (unsigned i = 0; i < SLOTS1; i++) {
		uint8_t *s = h + P_SLOTS + i * SLOT;

		store_be32(s + S_STATE, i ? SLOT_FREE : SLOT_USED);
		store_be32(s + S_AREA, FIRST + i * AREA);
		store_be32(s + S_STRIPES, STRIPES);
	}
	k.iterations *= 8;
	luks_random(k.salt, SALT1);
	memcpy(h + P_SLOTS + S_SALT, k.salt, SALT1);
	store_be32(h + P_SLOTS + S_ITERATIONS, k.iterations);
	if (luks_derive(&k, secret, strlen(secret), area_key, KEY, error) < 0)
		return -1;
	c = luks_cipher("aes-xts-plain64", area_key, KEY, 512, 0, 0, error);
	if (!c)
		return -1;
	luks_af_split("sha256", key, KEY, STRIPES, area);
	c->encrypt(c, 0, area, (size_t)KEY * STRIPES);
	c->free(c);
	r = file_write(f, at + FIRST * 512, area, (size_t)AREA * 512);
	if (!r)
		r = file_write(f, at, h, sizeof(h));
	explicit_bzero(key, sizeof(key));
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}
