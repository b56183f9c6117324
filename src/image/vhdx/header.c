/* SPDX-License-Identifier: GPL-2.0-or-later */
/* header.c: VHDX headers, regions, metadata, and making them. Spec: [MS-VHDX] 2.2, 2.6. */
#include "image/vhdx/vhdx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

#define GUID_BAT        "2DC27766-F623-4200-9D64-115E9BFD4A08"
#define GUID_METADATA   "8B7CA206-4790-4B9A-B8FE-575F050F886E"
#define GUID_PARAMETERS "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
#define GUID_SIZE       "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
#define GUID_PAGE83     "BECA12AB-B2E6-4523-93EF-C309E000C746"
#define GUID_LOGICAL    "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
#define GUID_PHYSICAL   "CDA348C7-445D-4471-9CC9-E9885251C556"
#define GUID_PARENT     "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"

enum {
	REGION_ENTRIES = 16,
	REGION_ENTRY = 32,
	REGIONS_MAX = 2047,
	META_ENTRIES = 32,
	META_ENTRY = 32,
	META_MAX = 2047,
	META_TABLE = 64 << 10,
	PARAM_FIXED = 1,
	PARAM_PARENT = 2,
	META_VIRTUAL = 2,
	META_REQUIRED = 4,
};

void vhdx_guid(const char *text, uint8_t out[16])
{
	unsigned a, b, c, d[8];

	sscanf(text, "%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x", &a, &b, &c, d, d + 1, d + 2, d + 3,
		d + 4, d + 5, d + 6, d + 7);
	store_le32(out, a);
	store_le16(out + 4, b);
	store_le16(out + 6, c);
	for (int i = 0; i < 8; i++)
		out[8 + i] = d[i];
}

static bool is_guid(const uint8_t *p, const char *text)
{
	uint8_t g[16];

	vhdx_guid(text, g);
	return !memcmp(p, g, 16);
}

/* The CRC-32C at p + 4 of n bytes, counted with that field zero. */
static uint32_t sum_of(const uint8_t *p, size_t n)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32c(0, p, 4);

	crc = crc32c(crc, zero, 4);
	return crc32c(crc, p + 8, n - 8);
}

static bool header_good(const uint8_t *h)
{
	return !memcmp(h, "head", 4) && load_le32(h + H_SUM) == sum_of(h, HEADER_SIZE) &&
	       load_le16(h + H_VERSION) == 1;
}

/* 2.2.2: the valid one with the greater sequence number counts. */
int vhdx_header_read(struct image *im, struct vhdx *s, GError **error)
{
	uint8_t h[HEADER_SIZE];
	bool any = false;

	for (int i = 0; i < 2; i++) {
		if (file_read_full(im->file, AT_HEADER << i, h, sizeof(h)) < 0 || !header_good(h) ||
			(any && load_le64(h + H_SEQUENCE) <= load_le64(s->header + H_SEQUENCE)))
			continue;
		any = true;
		memcpy(s->header, h, sizeof(h));
		s->header_slot = i;
	}
	if (!any)
		return fail(error, LODGE_ERROR_FILE, "%s: both its headers are damaged",
			im->file->path);
	s->log_at = load_le64(s->header + H_LOG_AT);
	s->log_size = load_le32(s->header + H_LOG_SIZE);
	if (s->log_at < MIB || s->log_at % MIB || s->log_size % MIB || s->log_size > 256 * MIB ||
		s->log_at > INT64_MAX / 2 || load_le16(s->header + H_LOG_VERSION))
		return fail(error, LODGE_ERROR_FILE, "%s: its log cannot be where its header says",
			im->file->path);
	return 0;
}

int vhdx_header_write(struct file *f, struct vhdx *s)
{
	int r;

	store_le64(s->header + H_SEQUENCE, load_le64(s->header + H_SEQUENCE) + 1);
	store_le32(s->header + H_SUM, sum_of(s->header, HEADER_SIZE));
	s->header_slot = !s->header_slot;
	r = file_write(f, AT_HEADER << s->header_slot, s->header, HEADER_SIZE);
	return r < 0 ? r : file_sync(f);
}

static bool region_fits(uint64_t at, uint32_t n)
{
	return at >= MIB && !(at % MIB) && n && !(n % MIB) && at < INT64_MAX / 2;
}

int vhdx_regions_read(struct image *im, struct vhdx *s, GError **error)
{
	g_autofree uint8_t *t = g_malloc(REGIONS_SIZE);
	uint32_t count = 0;

	for (int i = 0; i < 2 && !count; i++) {
		if (file_read_full(im->file, AT_REGIONS + i * REGIONS_SIZE, t, REGIONS_SIZE) < 0 ||
			memcmp(t, "regi", 4) || load_le32(t + 4) != sum_of(t, REGIONS_SIZE))
			continue;
		count = MIN(load_le32(t + 8), REGIONS_MAX);
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *e = t + REGION_ENTRIES + i * REGION_ENTRY;
		uint64_t at = load_le64(e + 16);
		uint32_t n = load_le32(e + 24);

		if (is_guid(e, GUID_BAT) && region_fits(at, n)) {
			s->bat_at = at;
			s->bat_size = n;
		} else if (is_guid(e, GUID_METADATA) && region_fits(at, n)) {
			s->meta_at = at;
			s->meta_size = n;
		} else if (load_le32(e + 28) & 1) {
			return fail(error, LODGE_ERROR_FILE,
				"%s: needs a part that is not known, or is not "
				"where it can be",
				im->file->path);
		}
	}
	return s->bat_at && s->meta_at
		       ? 0
		       : fail(error, LODGE_ERROR_FILE, "%s: its region tables are damaged",
				 im->file->path);
}

/* 2.6.2.6: keys and values in UTF-16LE; the relative path is the one that means something here. */
static void read_parent(struct image *im, const uint8_t *item, uint32_t n)
{
	unsigned count = n >= 20 ? load_le16(item + 18) : 0;

	for (unsigned i = 0; i < count && 20 + 12 * (i + 1) <= n && !im->backing_path; i++) {
		const uint8_t *e = item + 20 + 12 * i;
		uint32_t key = load_le32(e), value = load_le32(e + 4);
		uint16_t key_n = load_le16(e + 8), value_n = load_le16(e + 10);
		g_autofree char *k = NULL;

		if ((uint64_t)key + key_n > n || (uint64_t)value + value_n > n)
			continue;
		k = g_convert(
			(const char *)item + key, key_n, "UTF-8", "UTF-16LE", NULL, NULL, NULL);
		if (g_strcmp0(k, "relative_path"))
			continue;
		im->backing_path = g_convert(
			(const char *)item + value, value_n, "UTF-8", "UTF-16LE", NULL, NULL, NULL);
		if (im->backing_path)
			g_strdelimit(im->backing_path, "\\", '/');
	}
	im->backing_format = g_strdup("vhdx");
}

static void read_item(
	struct image *im, struct vhdx *s, const uint8_t *e, const uint8_t *item, uint32_t n)
{
	if (is_guid(e, GUID_PARAMETERS) && n >= 8) {
		s->block = load_le32(item);
		s->fixed = load_le32(item + 4) & PARAM_FIXED;
		s->parent = load_le32(item + 4) & PARAM_PARENT;
	} else if (is_guid(e, GUID_SIZE) && n >= 8) {
		im->size = load_le64(item);
	} else if (is_guid(e, GUID_LOGICAL) && n >= 4) {
		s->sector = load_le32(item);
	} else if (is_guid(e, GUID_PARENT)) {
		read_parent(im, item, n);
	}
}

int vhdx_metadata_read(struct image *im, struct vhdx *s, GError **error)
{
	g_autofree uint8_t *t = g_malloc(META_TABLE);
	unsigned count;

	if (file_read_full(im->file, s->meta_at, t, META_TABLE) < 0 || memcmp(t, "metadata", 8))
		return fail(
			error, LODGE_ERROR_FILE, "%s: its metadata are damaged", im->file->path);
	count = MIN(load_le16(t + 10), META_MAX);
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *e = t + META_ENTRIES + i * META_ENTRY;
		uint32_t at = load_le32(e + 16), n = load_le32(e + 20);
		g_autofree uint8_t *item = NULL;

		if (!n || n > 64 << 10 || at < META_TABLE || (uint64_t)at + n > s->meta_size)
			continue;
		item = g_malloc(n);
		if (file_read_full(im->file, s->meta_at + at, item, n) < 0)
			return fail(error, LODGE_ERROR_FILE, "%s: cannot read its metadata",
				im->file->path);
		read_item(im, s, e, item, n);
	}
	if (s->block < MIB || s->block > 256 * MIB || s->block & (s->block - 1) ||
		(s->sector != 512 && s->sector != 4096) || !im->size ||
		im->size & (s->sector - 1) || im->size > 64ull << 40)
		return fail(error, LODGE_ERROR_FILE,
			"%s: claims an absurd size, block size or sector size", im->file->path);
	if (s->parent && !im->backing_path)
		return fail(error, LODGE_ERROR_FILE, "%s: does not say where its parent is",
			im->file->path);
	s->chunk = ((uint64_t)s->sector << 23) / s->block;
	return 0;
}

/* ---- create ---- */

static const char *const subformats[] = { "dynamic", "fixed", NULL };
const struct image_option_def vhdx_options[] = {
	{ "subformat", IMAGE_OPT_ENUM, subformats, "dynamic",
		"grows as it is written, or has all its room" },
	{ "block_size", IMAGE_OPT_SIZE, NULL, "8M", "unit of allocation, 1M to 256M" },
	{ NULL },
};

enum { LOG_AT = 1 * MIB, META_AT = 2 * MIB, BAT_AT = 3 * MIB };

static void region(uint8_t *t, unsigned i, const char *guid, uint64_t at, uint32_t n)
{
	uint8_t *e = t + REGION_ENTRIES + i * REGION_ENTRY;

	vhdx_guid(guid, e);
	store_le64(e + 16, at);
	store_le32(e + 24, n);
	store_le32(e + 28, 1);
	store_le32(t + 8, i + 1);
}

static void item(uint8_t *meta, const char *guid, uint32_t *at, const void *value, uint32_t n,
	uint32_t flags)
{
	unsigned i = load_le16(meta + 10);
	uint8_t *e = meta + META_ENTRIES + i * META_ENTRY;

	vhdx_guid(guid, e);
	store_le32(e + 16, *at);
	store_le32(e + 20, n);
	store_le32(e + 24, flags | META_REQUIRED);
	memcpy(meta + *at, value, n);
	*at += n;
	store_le16(meta + 10, i + 1);
}

static int write_metadata(struct file *f, uint64_t size, uint32_t block, bool fixed)
{
	g_autofree uint8_t *meta = g_malloc0(META_TABLE + 4096);
	uint32_t at = META_TABLE;
	uint8_t v[16];

	memcpy(meta, "metadata", 8);
	store_le32(v, block);
	store_le32(v + 4, fixed ? PARAM_FIXED : 0);
	item(meta, GUID_PARAMETERS, &at, v, 8, 0);
	store_le64(v, size);
	item(meta, GUID_SIZE, &at, v, 8, META_VIRTUAL);
	random_uuid(v);
	item(meta, GUID_PAGE83, &at, v, 16, META_VIRTUAL);
	store_le32(v, 512);
	item(meta, GUID_LOGICAL, &at, v, 4, META_VIRTUAL);
	store_le32(v, 4096);
	item(meta, GUID_PHYSICAL, &at, v, 4, META_VIRTUAL);
	return file_write(f, META_AT, meta, META_TABLE + 4096);
}

static int write_front(struct file *f, uint32_t bat)
{
	g_autofree uint8_t *t = g_malloc0(REGIONS_SIZE);
	struct vhdx s = { .header_slot = 1 };
	gsize n;
	g_autofree char *by =
		g_convert("Lodge " LODGE_VERSION, -1, "UTF-16LE", "UTF-8", NULL, &n, NULL);
	int r;

	memcpy(t, "vhdxfile", 8);
	if (by)
		memcpy(t + 8, by, MIN(n, 510));
	r = file_write(f, 0, t, 4096);
	memset(t, 0, REGIONS_SIZE);
	memcpy(t, "regi", 4);
	region(t, 0, GUID_BAT, BAT_AT, bat);
	region(t, 1, GUID_METADATA, META_AT, MIB);
	store_le32(t + 4, sum_of(t, REGIONS_SIZE));
	for (int i = 0; i < 2 && !r; i++)
		r = file_write(f, AT_REGIONS + i * REGIONS_SIZE, t, REGIONS_SIZE);
	memcpy(s.header, "head", 4);
	random_uuid(s.header + H_FILE_GUID);
	random_uuid(s.header + H_DATA_GUID);
	store_le16(s.header + H_VERSION, 1);
	store_le32(s.header + H_LOG_SIZE, MIB);
	store_le64(s.header + H_LOG_AT, LOG_AT);
	for (int i = 0; i < 2 && !r; i++)
		r = vhdx_header_write(f, &s);
	return r;
}

int vhdx_create(struct file *f, const struct image_spec *spec, GError **error)
{
	uint64_t block = image_spec_size(spec, vhdx_options, "block_size"), blocks, entries, at;
	bool fixed = image_spec_enum(spec, vhdx_options, "subformat");
	g_autofree uint8_t *bat = NULL;
	uint32_t chunk, bat_size;
	int r;

	if (spec->backing)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: VHDX images with a parent cannot be made", f->path);
	if (block < MIB || block > 256 * MIB || block & (block - 1))
		return fail(error, LODGE_ERROR_USAGE,
			"%s: block_size is a power of two, 1M to 256M", f->path);
	if (spec->size > 64ull << 40)
		return fail(error, LODGE_ERROR_USAGE, "%s: VHDX disks end at 64 TiB", f->path);
	blocks = (spec->size + block - 1) / block;
	chunk = (512ull << 23) / block;
	entries = blocks + (blocks - 1) / chunk;
	bat_size = (entries * 8 + MIB - 1) / MIB * MIB;
	bat = g_try_malloc0(bat_size);
	if (!bat)
		return fail(error, LODGE_ERROR_HOST, "%s: no memory for its table", f->path);
	at = BAT_AT + (uint64_t)bat_size;
	for (uint64_t i = 0; fixed && i < blocks; i++, at += block)
		store_le64(bat + 8 * (i + i / chunk), at | STATE_PRESENT);
	r = file_truncate(f, at);
	if (!r)
		r = write_metadata(f, spec->size, block, fixed);
	if (!r && fixed)
		r = file_write(f, BAT_AT, bat, bat_size);
	if (!r)
		r = write_front(f, bat_size);
	if (!r && fixed && spec->preallocation >= IMAGE_PREALLOC_FALLOC)
		r = file_allocate(f, at);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}
