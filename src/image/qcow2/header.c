/* SPDX-License-Identifier: GPL-2.0-or-later */
/* header.c: the header and its extensions. Spec: qcow2, "Header" and "Header extensions". */
#include "image/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* Offsets of the header's fields. */
enum {
	H_MAGIC = 0,
	H_VERSION = 4,
	H_BACKING_AT = 8,
	H_BACKING_LEN = 16,
	H_CLUSTER_BITS = 20,
	H_SIZE = 24,
	H_CRYPT = 32,
	H_L1_SIZE = 36,
	H_L1_AT = 40,
	H_RT_AT = 48,
	H_RT_CLUSTERS = 56,
	H_SNAPSHOTS = 60,
	H_SNAPSHOTS_AT = 64,
	H_INCOMPAT = 72,
	H_COMPAT = 80,
	H_AUTOCLEAR = 88,
	H_REFCOUNT_ORDER = 96,
	H_LENGTH = 100,
	H_COMPRESSION = 104,
};

static int bad(struct qcow2 *s, GError **error, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

static int bad(struct qcow2 *s, GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return fail(error, LODGE_ERROR_FILE, "%s: is damaged or no qcow2 image: %s", s->file->path,
		text);
}

static int bad_table(struct qcow2 *s, const char *what, uint64_t at, uint64_t bytes, GError **error)
{
	if (at & (s->cluster_size - 1) || at > (1ull << 56) - bytes)
		return bad(s, error, "its %s is at byte %" G_GUINT64_FORMAT, what, at);
	return 0;
}

/* Names the incompatible features we do not know, by the image's own table where it has one. */
static int refuse_features(
	struct qcow2 *s, uint64_t unknown, const uint8_t *table, uint32_t n, GError **error)
{
	g_autoptr(GString) names = g_string_new(NULL);

	for (unsigned bit = 0; bit < 64; bit++) {
		char name[47] = "";

		if (!(unknown >> bit & 1))
			continue;
		for (uint32_t i = 0; i + 48 <= n; i += 48) {
			if (table[i] == 0 && table[i + 1] == bit)
				memcpy(name, table + i + 2, 46);
		}
		if (!*name)
			g_snprintf(name, sizeof(name), "bit %u", bit);
		g_string_append_printf(names, "%s%s", names->len ? ", " : "", name);
	}
	return fail(error, LODGE_ERROR_FILE,
		"%s: uses features of qcow2 that are not supported: %s", s->file->path, names->str);
}

static int read_extension(
	struct qcow2 *s, uint32_t type, uint32_t n, const uint8_t *data, GError **error)
{
	struct header_blob blob = { .type = type, .size = n };

	switch (type) {
	case EXT_BACKING_FORMAT:
		if (!n || n > 1023)
			return bad(s, error, "the name of its backing format has %u bytes", n);
		g_free(s->im->backing_format);
		s->im->backing_format = g_strndup((const char *)data, n);
		return 0;
	case EXT_DATA_FILE:
		g_free(s->data_name);
		s->data_name = g_strndup((const char *)data, n);
		return 0;
	case EXT_CRYPTO:
		if (n < 16)
			return bad(s, error, "its encryption extension has %u bytes", n);
		s->crypto_at = load_be64(data);
		s->crypto_len = load_be64(data + 8);
		return 0;
	case EXT_BITMAPS:
		if (n < 24)
			return bad(s, error, "its bitmap extension has %u bytes", n);
		s->bitmap_count = load_be32(data);
		s->bitmap_dir_size = load_be64(data + 8);
		s->bitmap_dir_at = load_be64(data + 16);
		return 0;
	case EXT_FEATURES: return 0; /* written anew */
	default:
		blob.data = g_memdup2(data, n);
		g_array_append_val(s->unknown, blob);
		return 0;
	}
}

static int read_extensions(struct qcow2 *s, const uint8_t *h, uint32_t end, GError **error)
{
	uint64_t unknown = s->incompatible & ~INCOMPAT_KNOWN;
	const uint8_t *features = NULL;
	uint32_t pos = s->header_length, features_len = 0;

	while (pos + 8 <= end) {
		uint32_t type = load_be32(h + pos), n = load_be32(h + pos + 4);

		if (type == EXT_END)
			break;
		if (n > end - pos - 8)
			return bad(s, error, "a header extension is longer than the header");
		if (type == EXT_FEATURES) {
			features = h + pos + 8;
			features_len = n;
		}
		if (!unknown && read_extension(s, type, n, h + pos + 8, error) < 0)
			return -1;
		pos += 8 + ((n + 7) & ~7u);
	}
	return unknown ? refuse_features(s, unknown, features, features_len, error) : 0;
}

static int read_v3(struct qcow2 *s, const uint8_t *h, size_t n, GError **error)
{
	s->refcount_order = 4;
	s->header_length = V2_HEADER;
	if (s->version < 3)
		return 0;
	if (n < 104)
		return bad(s, error, "its header is cut off");
	s->incompatible = load_be64(h + H_INCOMPAT);
	s->compatible = load_be64(h + H_COMPAT);
	s->autoclear = load_be64(h + H_AUTOCLEAR);
	s->refcount_order = load_be32(h + H_REFCOUNT_ORDER);
	s->header_length = load_be32(h + H_LENGTH);
	if (s->header_length < 104 || s->header_length & 7 || s->header_length > n ||
		s->header_length > s->cluster_size)
		return bad(s, error, "its header claims %u bytes", s->header_length);
	if (s->refcount_order > 6)
		return bad(s, error, "its reference counts have 2^%u bits", s->refcount_order);
	if (s->header_length > H_COMPRESSION)
		s->compression = h[H_COMPRESSION];
	if (s->compression > 1 || !s->compression != !(s->incompatible & INCOMPAT_COMPRESS))
		return bad(s, error, "its compression method %u is unknown", s->compression);
	if (s->header_length > V3_HEADER)
		s->header_tail = g_memdup2(h + V3_HEADER, s->header_length - V3_HEADER);
	return 0;
}

static int check_tables(struct qcow2 *s, uint32_t snapshots, GError **error)
{
	if (s->crypt_method > 2)
		return bad(s, error, "its encryption method %u is unknown", s->crypt_method);
	if (s->l1_size > L1_BYTES_MAX / 8)
		return bad(s, error, "its L1 table has %u entries", s->l1_size);
	if (entries_for(s, s->im->size) > s->l1_size)
		return bad(s, error, "its L1 table is too short for its size");
	if (!s->rt_clusters || (uint64_t)s->rt_clusters << s->cluster_bits > RT_BYTES_MAX)
		return bad(s, error, "its refcount table has %u clusters", s->rt_clusters);
	if (snapshots > SNAPSHOTS_MAX)
		return bad(s, error, "it claims %u snapshots", snapshots);
	if (s->crypt_method == 2 && (!s->crypto_at || s->crypto_at & (s->cluster_size - 1)))
		return bad(s, error, "its encryption header is missing");
	if (qcow2_extended(s) && s->cluster_bits < 14)
		return bad(s, error, "its clusters are too small for subclusters");
	if (s->im->size > INT64_MAX - 511)
		return bad(s, error, "it claims %" G_GUINT64_FORMAT " bytes", s->im->size);
	if (bad_table(s, "L1 table", s->l1_at, s->l1_size * 8ull, error) < 0 ||
		bad_table(s, "refcount table", s->rt_at, RT_BYTES_MAX, error) < 0 ||
		bad_table(s, "snapshot table", s->snapshots_at, 0, error) < 0)
		return -1;
	return 0;
}

static int read_backing(struct qcow2 *s, const uint8_t *h, uint64_t *ret_end, GError **error)
{
	uint64_t at = load_be64(h + H_BACKING_AT);
	uint32_t n = load_be32(h + H_BACKING_LEN);
	g_autofree char *name = NULL;
	ssize_t r;

	*ret_end = s->cluster_size;
	if (!at)
		return 0;
	if (n > 1023 || n > s->cluster_size - MIN(at, s->cluster_size))
		return bad(s, error, "the name of its backing file does not fit the header");
	*ret_end = MIN(at, s->cluster_size);
	if (!n)
		return 0;
	name = g_malloc0(n + 1);
	r = file_read(s->file, at, name, n);
	if (r < (ssize_t)n)
		return bad(s, error, "the name of its backing file is cut off");
	s->im->backing_path = g_steal_pointer(&name);
	return 0;
}

int header_read(struct qcow2 *s, GError **error)
{
	g_autofree uint8_t *h = g_malloc0(HEADER_MAX), *all = NULL;
	ssize_t n = file_read(s->file, 0, h, HEADER_MAX);
	uint64_t end;
	uint32_t snapshots;

	if (n < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -n, "%s: cannot read it", s->file->path);
	if (n < V2_HEADER || load_be32(h) != QCOW2_MAGIC)
		return bad(s, error, "its header is cut off");
	s->version = load_be32(h + H_VERSION);
	if (s->version < 2 || s->version > 3)
		return fail(error, LODGE_ERROR_FILE, "%s: is qcow2 version %u, known are 2 and 3",
			s->file->path, s->version);
	s->cluster_bits = load_be32(h + H_CLUSTER_BITS);
	if (s->cluster_bits < 9 || s->cluster_bits > 21)
		return bad(s, error, "its clusters have 2^%u bytes", s->cluster_bits);
	s->cluster_size = 1u << s->cluster_bits;
	s->im->size = load_be64(h + H_SIZE);
	s->crypt_method = load_be32(h + H_CRYPT);
	s->l1_size = load_be32(h + H_L1_SIZE);
	s->l1_at = load_be64(h + H_L1_AT);
	s->rt_at = load_be64(h + H_RT_AT);
	s->rt_clusters = load_be32(h + H_RT_CLUSTERS);
	snapshots = load_be32(h + H_SNAPSHOTS);
	s->snapshots_at = load_be64(h + H_SNAPSHOTS_AT);
	if (read_v3(s, h, n, error) < 0 || read_backing(s, h, &end, error) < 0)
		return -1;
	all = g_malloc0(end + 8);
	n = file_read_full(s->file, 0, all, end);
	if (n < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -n, "%s: cannot read it", s->file->path);
	if (read_extensions(s, all, end, error) < 0 || check_tables(s, snapshots, error) < 0)
		return -1;
	s->disk.l1_at = s->l1_at;
	s->disk.l1_size = s->l1_size;
	s->disk.rt_at = s->rt_at;
	s->disk.rt_clusters = s->rt_clusters;
	g_array_set_size(s->snapshots, snapshots);
	return 0;
}

static void fill_fixed(const struct qcow2 *s, uint8_t *h)
{
	uint32_t snapshots = s->snapshots->len;

	store_be32(h + H_MAGIC, QCOW2_MAGIC);
	store_be32(h + H_VERSION, s->version);
	store_be32(h + H_CLUSTER_BITS, s->cluster_bits);
	store_be64(h + H_SIZE, s->im->size);
	store_be32(h + H_CRYPT, s->crypt_method);
	store_be32(h + H_L1_SIZE, s->disk.l1_size);
	store_be64(h + H_L1_AT, s->disk.l1_at);
	store_be64(h + H_RT_AT, s->disk.rt_at);
	store_be32(h + H_RT_CLUSTERS, s->disk.rt_clusters);
	store_be32(h + H_SNAPSHOTS, snapshots);
	store_be64(h + H_SNAPSHOTS_AT, snapshots ? s->snapshots_at : 0);
	if (s->version < 3)
		return;
	store_be64(h + H_INCOMPAT, s->incompatible);
	store_be64(h + H_COMPAT, s->compatible);
	store_be64(h + H_AUTOCLEAR, s->autoclear);
	store_be32(h + H_REFCOUNT_ORDER, s->refcount_order);
	store_be32(h + H_LENGTH, s->header_length);
	if (s->header_length > H_COMPRESSION)
		h[H_COMPRESSION] = s->compression;
}

int header_update(struct qcow2 *s)
{
	uint8_t sector[512];
	int r = file_read_full(s->file, 0, sector, sizeof(sector));

	if (r < 0)
		return r;
	fill_fixed(s, sector);
	return file_write(s->file, 0, sector, sizeof(sector));
}

/* ---- writing all of it ---- */

static uint32_t put_extension(
	uint8_t *h, uint32_t pos, uint32_t cap, uint32_t type, const void *data, uint32_t n)
{
	uint32_t all = 8 + ((n + 7) & ~7u);

	if (pos > cap || all > cap - pos)
		return UINT32_MAX;
	store_be32(h + pos, type);
	store_be32(h + pos + 4, n);
	memcpy(h + pos + 8, data, n);
	return pos + all;
}

static uint32_t put_features(uint8_t *h, uint32_t pos, uint32_t cap)
{
	static const struct {
		uint8_t kind, bit;
		const char *name;
	} names[] = {
		{ 0, 0, "dirty bit" },
		{ 0, 1, "corrupt bit" },
		{ 0, 2, "external data file" },
		{ 0, 3, "compression type" },
		{ 0, 4, "extended L2 entries" },
		{ 1, 0, "lazy refcounts" },
		{ 2, 0, "bitmaps" },
		{ 2, 1, "raw external data" },
	};
	uint8_t table[G_N_ELEMENTS(names) * 48] = { 0 };

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		table[i * 48] = names[i].kind;
		table[i * 48 + 1] = names[i].bit;
		memcpy(table + i * 48 + 2, names[i].name, strlen(names[i].name));
	}
	return put_extension(h, pos, cap, EXT_FEATURES, table, sizeof(table));
}

static uint32_t put_extensions(const struct qcow2 *s, uint8_t *h, uint32_t pos, uint32_t cap)
{
	const char *format = s->im->backing_format;
	uint8_t data[24];

	if (format && s->im->backing_path)
		pos = put_extension(h, pos, cap, EXT_BACKING_FORMAT, format, strlen(format));
	if (s->data_name)
		pos = put_extension(h, pos, cap, EXT_DATA_FILE, s->data_name, strlen(s->data_name));
	if (s->crypto_at) {
		store_be64(data, s->crypto_at);
		store_be64(data + 8, s->crypto_len);
		pos = put_extension(h, pos, cap, EXT_CRYPTO, data, 16);
	}
	if (s->bitmap_count) {
		store_be32(data, s->bitmap_count);
		store_be32(data + 4, 0);
		store_be64(data + 8, s->bitmap_dir_size);
		store_be64(data + 16, s->bitmap_dir_at);
		pos = put_extension(h, pos, cap, EXT_BITMAPS, data, 24);
	}
	for (unsigned i = 0; i < s->unknown->len; i++) {
		struct header_blob *b = &g_array_index(s->unknown, struct header_blob, i);

		pos = put_extension(h, pos, cap, b->type, b->data, b->size);
	}
	/* The names are a courtesy: left out where there is no room for them. */
	if (s->version >= 3 && s->cluster_size >= 4096)
		pos = put_features(h, pos, cap);
	return put_extension(h, pos, cap, EXT_END, "", 0);
}

int header_rewrite(struct qcow2 *s, GError **error)
{
	const char *backing = s->im->backing_path;
	uint32_t n = backing ? strlen(backing) : 0, cap = s->cluster_size, pos;
	g_autofree uint8_t *h = g_malloc0(cap);
	int r;

	if (s->version >= 3 && s->header_length < V3_HEADER)
		s->header_length = V3_HEADER;
	fill_fixed(s, h);
	if (s->header_tail)
		memcpy(h + V3_HEADER, s->header_tail, s->header_length - V3_HEADER);
	pos = n > 1023 ? UINT32_MAX : put_extensions(s, h, s->header_length, cap);
	if (pos == UINT32_MAX || n > cap - pos)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: what is to stand in its header does not fit one cluster of %u bytes",
			s->file->path, cap);
	if (n) {
		store_be64(h + H_BACKING_AT, pos);
		store_be32(h + H_BACKING_LEN, n);
		memcpy(h + pos, backing, n);
	}
	r = file_write(s->file, 0, h, cap);
	if (!r)
		r = file_sync(s->file);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot write its header",
			       s->file->path)
		     : 0;
}

void header_free(struct qcow2 *s)
{
	for (unsigned i = 0; s->unknown && i < s->unknown->len; i++)
		g_free(g_array_index(s->unknown, struct header_blob, i).data);
	g_clear_pointer(&s->unknown, g_array_unref);
	g_free(s->header_tail);
	g_free(s->data_name);
}
