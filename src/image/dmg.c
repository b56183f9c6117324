/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dmg.c: Apple's disk images (UDIF), to be read: plain, zero and zlib blocks. Spec: Apple publishes
 * none; the trailer ("koly") and block tables ("mish") as widely described. Big-endian.
 */
#include <errno.h>
#include <libdeflate.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/format.h"

enum {
	TRAILER = 512,
	T_DATA = 24,
	T_XML = 216,
	T_XML_SIZE = 224,
	T_SECTORS = 492,
	XML_MAX = 16 << 20,
	MISH = 204,
	M_FIRST = 8,
	M_RUNS = 200,
	RUN = 40,
	RUN_RAW = 1,
	RUN_IGNORE = 2,
	RUN_ZERO = 0,
	CLUSTER_MAX = 16 << 20,
	RUNS_MAX = 1 << 20,
};

#define RUN_ZLIB    0x80000005u
#define RUN_COMMENT 0x7ffffffeu
#define RUN_END     0xffffffffu

struct dmg_run {
	uint64_t start, len, at, packed; /* bytes; packed: of the file */
	uint32_t type;
};

struct dmg {
	GArray *runs; /* struct dmg_run, by start */
};

/* The trailer is at the end, where a probe does not look: by name (-f dmg) only. */
static int add_runs(struct image *im, const uint8_t *mish, size_t n, uint64_t data, GError **error)
{
	struct dmg *s = im->state;
	uint32_t count = n >= MISH ? load_be32(mish + M_RUNS) : 0;

	if (n < MISH || memcmp(mish, "mish", 4) || count > (n - MISH) / RUN ||
		s->runs->len + count > RUNS_MAX)
		return fail(
			error, LODGE_ERROR_FILE, "%s: a block table is damaged", im->file->path);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = mish + MISH + (size_t)i * RUN;
		struct dmg_run r = { .type = load_be32(p),
			.at = data + load_be64(p + 24),
			.packed = load_be64(p + 32) };
		uint64_t first = load_be64(mish + M_FIRST) + load_be64(p + 8),
			 sectors = load_be64(p + 16);

		if (r.type == RUN_COMMENT || r.type == RUN_END)
			continue;
		if (r.type != RUN_ZERO && r.type != RUN_RAW && r.type != RUN_IGNORE &&
			r.type != RUN_ZLIB)
			return fail(error, LODGE_ERROR_FILE,
				"%s: is compressed in a way that is not known "
				"(%#x)",
				im->file->path, r.type);
		if (!sectors || first > INT64_MAX / 1024 || sectors > INT64_MAX / 1024 ||
			r.at > INT64_MAX / 2 ||
			(r.type == RUN_ZLIB &&
				(sectors * 512 > CLUSTER_MAX || r.packed > 2 * CLUSTER_MAX)))
			return fail(error, LODGE_ERROR_FILE, "%s: a block is of an absurd size",
				im->file->path);
		r.start = first * 512;
		r.len = sectors * 512;
		g_array_append_val(s->runs, r);
	}
	return 0;
}

/* Every <data>…</data> of the "blkx" array is a table in base64. */
static int parse_xml(struct image *im, const char *xml, uint64_t data, GError **error)
{
	const char *p = strstr(xml, "<key>blkx</key>"), *end = p ? strstr(p, "</array>") : NULL;

	while (end && (p = strstr(p, "<data>")) && p < end) {
		const char *stop = strstr(p, "</data>");
		g_autofree char *text = stop ? g_strndup(p + 6, stop - p - 6) : NULL;
		g_autofree guchar *mish = NULL;
		gsize n;

		if (!stop)
			break;
		mish = g_base64_decode(text, &n);
		if (add_runs(im, mish, n, data, error) < 0)
			return -1;
		p = stop;
	}
	return 0;
}

static int by_start(gconstpointer a, gconstpointer b)
{
	const struct dmg_run *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int dmg_open(struct image *im, const struct image_options *o, GError **error)
{
	struct dmg *s = im->state;
	int64_t n = file_length(im->file);
	uint8_t t[TRAILER];
	g_autofree char *xml = NULL;
	uint64_t size, end = 0, longest = 512;

	s->runs = g_array_new(FALSE, FALSE, sizeof(struct dmg_run));
	if (n < TRAILER || file_read_full(im->file, n - TRAILER, t, TRAILER) < 0 ||
		memcmp(t, "koly", 4))
		return fail(error, LODGE_ERROR_FILE, "%s: is no DMG image", im->file->path);
	size = load_be64(t + T_XML_SIZE);
	if (!size || size > XML_MAX || load_be64(t + T_XML) > (uint64_t)n)
		return fail(error, LODGE_ERROR_FILE, "%s: has no block tables that can be read",
			im->file->path);
	xml = g_malloc0(size + 1);
	if (file_read_full(im->file, load_be64(t + T_XML), xml, size) < 0 ||
		parse_xml(im, xml, load_be64(t + T_DATA), error) < 0)
		return fail(error, LODGE_ERROR_FILE, "%s: cannot read its tables", im->file->path);
	g_array_sort(s->runs, by_start);
	for (unsigned i = 0; i < s->runs->len; i++) {
		const struct dmg_run *r = &g_array_index(s->runs, struct dmg_run, i);

		end = MAX(end, r->start + r->len);
		if (r->type == RUN_ZLIB)
			longest = MAX(longest, r->len);
	}
	im->size = load_be64(t + T_SECTORS) <= INT64_MAX / 512 ? load_be64(t + T_SECTORS) * 512 : 0;
	im->size = MAX(im->size, end);
	im->cluster = (uint32_t)longest;
	/* The engine unpacks whole clusters from their starts: runs must all be such. */
	for (unsigned i = 0; i < s->runs->len; i++) {
		const struct dmg_run *r = &g_array_index(s->runs, struct dmg_run, i);

		if (r->type == RUN_ZLIB && (r->start % im->cluster || r->len > im->cluster))
			return fail(error, LODGE_ERROR_FILE,
				"%s: its blocks have sizes that do not fit each "
				"other; convert it with 'hdiutil' first",
				im->file->path);
	}
	return im->size ? 0 : fail(error, LODGE_ERROR_FILE, "%s: is empty", im->file->path);
}

static void dmg_close(struct image *im)
{
	struct dmg *s = im->state;

	if (s->runs)
		g_array_unref(s->runs);
}

static int dmg_map(struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	const struct dmg *s = im->state;
	unsigned low = 0, high = s->runs->len;
	const struct dmg_run *r;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		r = &g_array_index(s->runs, struct dmg_run, mid);
		if (r->start + r->len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	r = low < s->runs->len ? &g_array_index(s->runs, struct dmg_run, low) : NULL;
	*out = (struct extent){ .kind = EXTENT_ZERO, .len = len };
	if (!r || off < r->start) {
		if (r)
			out->len = MIN(len, r->start - off);
		return 0;
	}
	out->len = MIN(len, r->start + r->len - off);
	if (r->type == RUN_RAW) {
		out->kind = EXTENT_DATA;
		out->file = im->file;
		out->at = r->at + (off - r->start);
	} else if (r->type == RUN_ZLIB) {
		out->kind = EXTENT_PACKED;
		out->file = im->file;
		out->at = r->at;
		out->packed = low;
	}
	return 0;
}

static int dmg_unpack(struct image *im, const struct extent *x, void *dst)
{
	const struct dmg *s = im->state;
	const struct dmg_run *r = &g_array_index(s->runs, struct dmg_run, x->packed);
	g_autofree uint8_t *src = g_try_malloc(MAX(r->packed, 1));
	struct libdeflate_decompressor *d = src ? libdeflate_alloc_decompressor() : NULL;
	enum libdeflate_result result = LIBDEFLATE_BAD_DATA;
	size_t got = 0;

	if (!d)
		return -ENOMEM;
	if (file_read_full(im->file, r->at, src, r->packed) >= 0)
		result = libdeflate_zlib_decompress(d, src, r->packed, dst, im->cluster, &got);
	libdeflate_free_decompressor(d);
	if (result != LIBDEFLATE_SUCCESS)
		return -EIO;
	memset((uint8_t *)dst + got, 0, im->cluster - got);
	return 0;
}

const struct image_format image_format_dmg = {
	.name = "dmg",
	.help = "Apple's disk images; read only",
	.suffixes = "dmg",
	.state_size = sizeof(struct dmg),
	.open = dmg_open,
	.close = dmg_close,
	.map = dmg_map,
	.unpack = dmg_unpack,
};
