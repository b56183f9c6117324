/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bitmap.c: dirty bitmaps stored in the image. Spec: qcow2, "Bitmaps".
 *
 * A writer loads them when it opens the image, marks them in the file as in use, and writes them
 * back when it closes it; after a crash they are known to be out of date.
 */
#include "image/bitmap.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "image/engine.h"
#include "image/qcow2/qcow2.h"
#include "image/tracker.h"

enum {
	DIR_FIXED = 24,
	DIR_MAX = 64 << 20,
	TYPE_DIRTY = 1,
	FLAG_IN_USE = 1,
	FLAG_AUTO = 2,
	FLAG_EXTRA_OK = 4,
	FLAGS_KNOWN = 7,
	SHIFT_MIN = 9,
	SHIFT_MAX = 31,
	TABLE_ONES = 1,
};

struct qcow2_bitmap {
	char *name;
	uint64_t table_at;
	uint32_t table_size; /* entries; 0 with a tracker that was never stored */
	uint32_t flags;
	unsigned shift;
	uint8_t *extra;
	uint32_t extra_size;
	bool bad;             /* unknown kind or extra data: left alone */
	struct tracker *bits; /* owned; NULL: not loaded */
	bool attached, changed;
};

static void bitmap_free(gpointer p)
{
	struct qcow2_bitmap *b = p;

	g_free(b->name);
	g_free(b->extra);
	tracker_free(b->bits);
	g_free(b);
}

/* ---- reading ---- */

static uint64_t parse(struct qcow2_bitmap *b, const uint8_t *p, uint64_t n)
{
	uint64_t all;
	uint16_t name;

	if (n < DIR_FIXED)
		return 0;
	b->table_at = load_be64(p);
	b->table_size = load_be32(p + 8);
	b->flags = load_be32(p + 12);
	b->shift = p[17];
	name = load_be16(p + 18);
	b->extra_size = load_be32(p + 20);
	all = (uint64_t)DIR_FIXED + b->extra_size + name;
	if (!name || name > 1023 || all > n)
		return 0;
	b->bad = p[16] != TYPE_DIRTY || b->flags & ~FLAGS_KNOWN || b->shift < SHIFT_MIN ||
		 b->shift > SHIFT_MAX || (b->extra_size && !(b->flags & FLAG_EXTRA_OK));
	b->extra = g_memdup2(p + DIR_FIXED, b->extra_size);
	b->name = g_strndup((const char *)p + DIR_FIXED + b->extra_size, name);
	return (all + 7) & ~7ull;
}

/* The directory, once. */
static int load(struct qcow2 *s)
{
	g_autofree uint8_t *dir = NULL;
	uint64_t pos = 0;
	int r = 0;

	if (s->bitmaps)
		return 0;
	s->bitmaps = g_ptr_array_new_with_free_func(bitmap_free);
	if (!s->bitmap_count)
		return 0;
	if (s->bitmap_count > BITMAPS_MAX || s->bitmap_dir_size > DIR_MAX ||
		s->bitmap_dir_at & (s->cluster_size - 1))
		return -EINVAL;
	dir = g_try_malloc(s->bitmap_dir_size + 1);
	r = dir ? file_read_full(s->file, s->bitmap_dir_at, dir, s->bitmap_dir_size) : -ENOMEM;
	for (uint32_t i = 0; i < s->bitmap_count && !r; i++) {
		struct qcow2_bitmap *b = g_new0(struct qcow2_bitmap, 1);
		uint64_t n = parse(b, dir + pos, s->bitmap_dir_size - pos);

		g_ptr_array_add(s->bitmaps, b);
		pos += n;
		r = n && pos <= s->bitmap_dir_size ? 0 : -EINVAL;
		/* Nobody kept them up to date. */
		if (!(s->autoclear & AUTOCLEAR_BITMAPS))
			b->flags |= FLAG_IN_USE;
	}
	return r;
}

/* Bytes of a bitmap's data. */
static uint64_t data_bytes(const struct tracker *t)
{
	return (t->bits + 7) / 8;
}

static int table_read(struct qcow2 *s, const struct qcow2_bitmap *b, uint64_t **ret)
{
	uint64_t *t;
	int r;

	if (b->table_size > DIR_MAX / 8 || b->table_at & (s->cluster_size - 1))
		return -EINVAL;
	t = g_try_new(uint64_t, MAX(b->table_size, 1));
	r = t ? file_read_full(s->file, b->table_at, t, b->table_size * 8ull) : -ENOMEM;
	if (r < 0) {
		g_free(t);
		return r;
	}
	for (uint32_t i = 0; i < b->table_size; i++)
		t[i] = load_be64(&t[i]);
	*ret = t;
	return 0;
}

static void set_byte(struct tracker *t, uint64_t i, uint8_t v)
{
	t->words[i / 8] |= (uint64_t)v << i % 8 * 8;
}

static uint8_t get_byte(const struct tracker *t, uint64_t i)
{
	return t->words[i / 8] >> i % 8 * 8;
}

static int bits_load(struct qcow2 *s, struct qcow2_bitmap *b)
{
	g_autofree uint64_t *table = NULL;
	g_autofree uint8_t *buf = NULL;
	uint64_t bytes;
	int r;

	if (b->bits)
		return 0;
	if (b->bad)
		return -EINVAL;
	b->bits = tracker_new(s->im->size, b->shift);
	if (!b->bits)
		return -ENOMEM;
	bytes = data_bytes(b->bits);
	r = table_read(s, b, &table);
	if (!r && b->table_size && to_clusters(s, bytes) > b->table_size)
		r = -EINVAL;
	buf = g_malloc(s->cluster_size);
	for (uint32_t i = 0; i < b->table_size && !r; i++) {
		uint64_t first = (uint64_t)i << s->cluster_bits, at = table[i] & ENTRY_OFFSET;

		if (at)
			r = file_read_full(s->file, at, buf, s->cluster_size);
		else
			memset(buf, table[i] & TABLE_ONES ? 0xff : 0, s->cluster_size);
		for (uint64_t k = 0; k < s->cluster_size && first + k < bytes && !r; k++)
			set_byte(b->bits, first + k, buf[k]);
	}
	/* Nothing behind the end. */
	if (!r && b->bits->bits % 64)
		b->bits->words[b->bits->bits / 64] &= (1ull << b->bits->bits % 64) - 1;
	if (r < 0)
		g_clear_pointer(&b->bits, tracker_free);
	return r;
}

int bitmaps_walk(struct qcow2 *s, int (*f)(void *opaque, uint64_t at, uint64_t n), void *opaque)
{
	int r = load(s);

	if (r < 0)
		return r == -EINVAL ? 0 : r;
	if (s->bitmap_count && s->bitmap_dir_size)
		r = f(opaque, s->bitmap_dir_at, s->bitmap_dir_size);
	for (unsigned i = 0; i < s->bitmaps->len && !r; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];
		g_autofree uint64_t *table = NULL;

		if (!b->table_size)
			continue;
		r = f(opaque, b->table_at, b->table_size * 8ull);
		if (!r)
			r = table_read(s, b, &table);
		for (uint32_t k = 0; k < b->table_size && !r; k++) {
			if (table[k] & ENTRY_OFFSET)
				r = f(opaque, table[k] & ENTRY_OFFSET, s->cluster_size);
		}
	}
	return r;
}

/* ---- writing ---- */

/* Its clusters in the file become free, after the header no longer refers to them. */
static void release(struct qcow2 *s, struct qcow2_bitmap *b)
{
	g_autofree uint64_t *table = NULL;

	if (!b->table_size || table_read(s, b, &table) < 0)
		return;
	for (uint32_t i = 0; i < b->table_size; i++) {
		if (table[i] & ENTRY_OFFSET)
			defer_free(s, (table[i] & ENTRY_OFFSET) >> s->cluster_bits, 1, false);
	}
	defer_free(s, b->table_at >> s->cluster_bits, to_clusters(s, b->table_size * 8ull), false);
}

static int store_cluster(
	struct qcow2 *s, const struct tracker *t, uint64_t first, uint8_t *buf, uint64_t *ret)
{
	uint64_t n = MIN(s->cluster_size, data_bytes(t) - first), any = 0, at;
	int r;

	memset(buf, 0, s->cluster_size);
	for (uint64_t k = 0; k < n; k++)
		any |= buf[k] = get_byte(t, first + k);
	*ret = 0;
	if (!any)
		return 0;
	r = clusters_alloc_all(s, 1, &at);
	if (!r)
		r = file_write(s->file, at, buf, s->cluster_size);
	*ret = at;
	return r;
}

static int bits_store(struct qcow2 *s, struct qcow2_bitmap *b)
{
	uint64_t n = to_clusters(s, data_bytes(b->bits)), at;
	g_autofree uint8_t *buf = g_malloc(s->cluster_size), *table = g_malloc0(n * 8);
	int r = 0;

	release(s, b);
	for (uint64_t i = 0; i < n && !r; i++) {
		uint64_t entry;

		r = store_cluster(s, b->bits, i << s->cluster_bits, buf, &entry);
		store_be64(table + i * 8, entry);
	}
	if (!r)
		r = clusters_alloc_all(s, to_clusters(s, n * 8), &at);
	if (!r)
		r = file_write(s->file, at, table, n * 8);
	if (r < 0)
		return r;
	b->table_at = at;
	b->table_size = n;
	b->changed = false;
	return 0;
}

static void put(GByteArray *out, const struct qcow2_bitmap *b)
{
	uint8_t p[DIR_FIXED], pad[8] = { 0 };

	store_be64(p, b->table_at);
	store_be32(p + 8, b->table_size);
	store_be32(p + 12, b->flags);
	p[16] = TYPE_DIRTY;
	p[17] = b->shift;
	store_be16(p + 18, strlen(b->name));
	store_be32(p + 20, b->extra_size);
	g_byte_array_append(out, p, sizeof(p));
	if (b->extra_size)
		g_byte_array_append(out, b->extra, b->extra_size);
	g_byte_array_append(out, (const uint8_t *)b->name, strlen(b->name));
	g_byte_array_append(out, pad, -out->len & 7);
}

/* A new directory, and the header that points to it. */
static int directory_write(struct qcow2 *s)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	uint64_t at = 0, old_at = s->bitmap_dir_at, old_size = s->bitmap_dir_size;
	g_autoptr(GError) error = NULL;
	int r = 0;

	for (unsigned i = 0; i < s->bitmaps->len; i++)
		put(out, s->bitmaps->pdata[i]);
	if (out->len) {
		r = clusters_alloc_all(s, to_clusters(s, out->len), &at);
		if (!r)
			r = file_write(s->file, at, out->data, out->len);
	}
	if (!r)
		r = tables_flush(s);
	if (r < 0)
		return r;
	s->bitmap_count = s->bitmaps->len;
	s->bitmap_dir_at = at;
	s->bitmap_dir_size = out->len;
	s->autoclear = s->bitmap_count ? s->autoclear | AUTOCLEAR_BITMAPS
				       : s->autoclear & ~AUTOCLEAR_BITMAPS;
	if (header_rewrite(s, &error) < 0) {
		log_warn("%s", error->message);
		return -EIO;
	}
	if (old_size)
		defer_free(s, old_at >> s->cluster_bits, to_clusters(s, old_size), false);
	return 0;
}

/* Those that count writes are loaded and marked in the file. */
int bitmaps_open(struct qcow2 *s, GError **error)
{
	bool any = false;
	int r = load(s);

	for (unsigned i = 0; i < s->bitmaps->len && !r; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];

		if (!(b->flags & FLAG_AUTO) || b->flags & FLAG_IN_USE)
			continue;
		r = bits_load(s, b);
		if (r < 0)
			break;
		atomic_store(&b->bits->enabled, true);
		tracker_attach(s->im, b->bits);
		b->attached = b->changed = any = true;
		b->flags |= FLAG_IN_USE;
	}
	if (!r && (any || (s->bitmap_count && !(s->autoclear & AUTOCLEAR_BITMAPS))))
		r = directory_write(s);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot load its bitmaps",
			       s->file->path)
		     : 0;
}

void bitmaps_close(struct qcow2 *s)
{
	bool any = false;
	int r = 0;

	for (unsigned i = 0; s->bitmaps && i < s->bitmaps->len && !s->in_check; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];

		if (b->attached)
			tracker_detach(s->im, b->bits);
		if (!b->changed || s->im->readonly || r < 0)
			continue;
		any = true;
		r = bits_store(s, b);
		if (!r)
			b->flags &= ~FLAG_IN_USE;
	}
	if (any && !r)
		r = directory_write(s);
	if (r < 0)
		log_warn("%s: its bitmaps could not be stored: %s", s->file->path, g_strerror(-r));
	g_clear_pointer(&s->bitmaps, g_ptr_array_unref);
}

/* ---- the operations ---- */

static struct qcow2_bitmap *find(struct qcow2 *s, const char *name, unsigned *ret_index)
{
	for (unsigned i = 0; !load(s) && i < s->bitmaps->len; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];

		if (!strcmp(b->name, name)) {
			if (ret_index)
				*ret_index = i;
			return b;
		}
	}
	return NULL;
}

static struct qcow2_bitmap *find_usable(struct qcow2 *s, const char *name, GError **error)
{
	struct qcow2_bitmap *b = find(s, name, NULL);
	int r;

	if (!b) {
		fail(error, LODGE_ERROR_USAGE, "%s: has no bitmap '%s'", s->file->path, name);
		return NULL;
	}
	if (b->bad || (b->flags & FLAG_IN_USE && !b->attached && !b->changed)) {
		fail(error, LODGE_ERROR_FILE,
			"%s: the bitmap '%s' was not closed properly; it can only be removed",
			s->file->path, name);
		return NULL;
	}
	r = bits_load(s, b);
	if (r < 0)
		fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot load the bitmap '%s'",
			s->file->path, name);
	return r < 0 ? NULL : b;
}

static int stored(struct qcow2 *s, int r, GError **error)
{
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot store its bitmaps",
			       s->file->path)
		     : 0;
}

static GArray *bitmap_list(struct image *im)
{
	struct qcow2 *s = qcow2_of(im);
	GArray *out = g_array_new(FALSE, TRUE, sizeof(struct image_bitmap));

	engine_lock(im);
	for (unsigned i = 0; !load(s) && i < s->bitmaps->len; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];
		struct image_bitmap o = {
			.granularity = b->shift <= SHIFT_MAX ? 1u << b->shift : 0,
			.enabled = b->flags & FLAG_AUTO,
			.inconsistent =
				b->bad || (b->flags & FLAG_IN_USE && !b->attached && !b->changed),
		};

		g_strlcpy(o.name, b->name, sizeof(o.name));
		g_array_append_val(out, o);
	}
	engine_unlock(im);
	return out;
}

static void set_enabled(struct qcow2 *s, struct qcow2_bitmap *b, bool on)
{
	b->flags = on ? b->flags | FLAG_AUTO : b->flags & ~FLAG_AUTO;
	atomic_store(&b->bits->enabled, on);
	if (on && !b->attached) {
		tracker_attach(s->im, b->bits);
		b->attached = true;
	}
	b->changed = true;
	b->flags |= FLAG_IN_USE;
}

static int add(struct qcow2 *s, const struct image_bitmap *in, GError **error)
{
	struct qcow2_bitmap *b;

	if (s->version < 3)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: compat=0.10 has no bitmaps", s->file->path);
	if (!*in->name || strlen(in->name) > 1023)
		return fail(error, LODGE_ERROR_USAGE, "%s: a bitmap's name has 1 to 1023 bytes",
			s->file->path);
	if (in->granularity < 512 || in->granularity & (in->granularity - 1))
		return fail(error, LODGE_ERROR_USAGE,
			"%s: a bitmap's granularity is a power of two from 512 to 2G",
			s->file->path);
	if (find(s, in->name, NULL))
		return fail(error, LODGE_ERROR_USAGE, "%s: already has a bitmap '%s'",
			s->file->path, in->name);
	if (s->bitmaps->len >= BITMAPS_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%s: has as many bitmaps as there can be",
			s->file->path);
	b = g_new0(struct qcow2_bitmap, 1);
	b->shift = g_bit_nth_lsf(in->granularity, -1);
	b->bits = tracker_new(s->im->size, b->shift);
	if (!b->bits) {
		g_free(b);
		return fail(
			error, LODGE_ERROR_USAGE, "%s: choose a larger granularity", s->file->path);
	}
	b->name = g_strdup(in->name);
	g_ptr_array_add(s->bitmaps, b);
	set_enabled(s, b, in->enabled);
	return stored(s, bits_store(s, b) < 0 ? -EIO : directory_write(s), error);
}

static int bitmap_add(struct image *im, const struct image_bitmap *in, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	int r;

	engine_lock(im);
	r = add(s, in, error);
	if (!r)
		((struct qcow2_bitmap *)s->bitmaps->pdata[s->bitmaps->len - 1])->changed = true;
	engine_unlock(im);
	return r;
}

static int bitmap_remove(struct image *im, const char *name, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	struct qcow2_bitmap *b;
	unsigned i;
	int r;

	engine_lock(im);
	b = find(s, name, &i);
	if (!b) {
		r = fail(error, LODGE_ERROR_USAGE, "%s: has no bitmap '%s'", s->file->path, name);
	} else {
		if (b->attached)
			tracker_detach(im, b->bits);
		g_ptr_array_steal_index(s->bitmaps, i);
		r = directory_write(s);
		if (!r)
			release(s, b);
		r = stored(s, r, error);
		bitmap_free(b);
	}
	engine_unlock(im);
	return r;
}

static int bitmap_clear(struct image *im, const char *name, GError **error)
{
	struct qcow2_bitmap *b;

	engine_lock(im);
	b = find_usable(qcow2_of(im), name, error);
	if (b) {
		tracker_unmark(b->bits, 0, im->size);
		b->changed = true;
	}
	engine_unlock(im);
	return b ? 0 : -1;
}

static int bitmap_enable(struct image *im, const char *name, bool on, GError **error)
{
	struct qcow2 *s = qcow2_of(im);
	struct qcow2_bitmap *b;
	int r = -1;

	engine_lock(im);
	b = find_usable(s, name, error);
	if (b) {
		set_enabled(s, b, on);
		r = stored(s, directory_write(s), error);
	}
	engine_unlock(im);
	return r;
}

static bool bitmap_next(struct image *im, const char *name, uint64_t off, bool dirty,
	uint64_t *ret_at, uint64_t *ret_len)
{
	struct qcow2_bitmap *b;
	bool found;

	engine_lock(im);
	b = find_usable(qcow2_of(im), name, NULL);
	found = b && tracker_next(b->bits, off, dirty, ret_at, ret_len);
	engine_unlock(im);
	return found;
}

static void bitmap_mark(struct image *im, const char *name, uint64_t off, uint64_t n)
{
	struct qcow2_bitmap *b;

	engine_lock(im);
	b = find_usable(qcow2_of(im), name, NULL);
	if (b) {
		tracker_mark(b->bits, off, n);
		b->changed = true;
	}
	engine_unlock(im);
}

/* Those that count writes count those of the image they are in. */
void bitmaps_moved(struct qcow2 *s, struct image *from, struct image *to)
{
	for (unsigned i = 0; s->bitmaps && i < s->bitmaps->len; i++) {
		struct qcow2_bitmap *b = s->bitmaps->pdata[i];

		if (!b->attached)
			continue;
		tracker_detach(from, b->bits);
		tracker_attach(to, b->bits);
	}
}

static int bitmap_merge(struct image *im, const char *into, struct image *from_image,
	const char *from, GError **error)
{
	const struct image_bitmap_ops *ops = from_image->format->bitmaps;
	uint64_t at, n;
	struct qcow2_bitmap *b;

	if (!ops)
		return fail(
			error, LODGE_ERROR_USAGE, "%s: keeps no bitmaps", from_image->file->path);
	engine_lock(im);
	b = find_usable(qcow2_of(im), into, error);
	if (b)
		b->changed = true;
	engine_unlock(im);
	if (!b)
		return -1;
	engine_lock(from_image);
	if (from_image->format == im->format && !find_usable(qcow2_of(from_image), from, error))
		b = NULL;
	engine_unlock(from_image);
	for (uint64_t off = 0; b && ops->next(from_image, from, off, true, &at, &n); off = at + n)
		tracker_mark(b->bits, at, n);
	return b ? 0 : -1;
}

const struct image_bitmap_ops qcow2_bitmap_ops = {
	.list = bitmap_list,
	.add = bitmap_add,
	.remove = bitmap_remove,
	.clear = bitmap_clear,
	.enable = bitmap_enable,
	.merge = bitmap_merge,
	.mark = bitmap_mark,
	.next = bitmap_next,
};
