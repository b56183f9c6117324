/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sparse.c: extents of grains, with a directory of tables. Spec: "Virtual Disk Format 5.0", "Hosted
 * Sparse Extents", "ESXi Host Sparse Extents", "Stream-Optimized Compressed Sparse Extents".
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/vmdk/vmdk.h"

enum {
	GRAIN_MAX = 4 << 20,
	GDES_MAX = 1 << 20,
};

void vmdk_extent_fini(struct vmdk_extent *e)
{
	block_table_fini(&e->table);
	block_table_fini(&e->rtable);
	g_free(e->gd);
	g_free(e->rgd);
}

static int place(const uint32_t *gd, uint64_t page, uint64_t *ret_at)
{
	*ret_at = (uint64_t)gd[page] * SECTOR;
	return 0;
}

static int place_table(struct block_table *t, uint64_t page, unsigned flags, uint64_t *ret_at)
{
	return place(((struct vmdk_extent *)t->opaque)->gd, page, ret_at);
}

static int place_rtable(struct block_table *t, uint64_t page, unsigned flags, uint64_t *ret_at)
{
	return place(((struct vmdk_extent *)t->opaque)->rgd, page, ret_at);
}

static int read_gd(struct vmdk_extent *e, uint64_t at, uint32_t **ret)
{
	uint32_t *gd = g_try_new(uint32_t, e->gdes);
	int r = gd ? file_read_full(e->file, at, gd, e->gdes * sizeof(*gd)) : -ENOMEM;

	for (uint32_t i = 0; i < e->gdes && !r; i++)
		gd[i] = GUINT32_FROM_LE(gd[i]);
	if (r < 0)
		g_free(gd);
	else
		*ret = gd;
	return r;
}

static void table_init(struct vmdk_extent *e, struct block_table *t,
	int (*where)(struct block_table *, uint64_t, unsigned, uint64_t *))
{
	*t = (struct block_table){ .file = e->file,
		.count = (uint64_t)e->gdes * e->gtes,
		.width = 4,
		.page = e->gtes * 4,
		.place = where };
	block_table_init(t);
}

static int tables_open(struct image *im, struct vmdk_extent *e, GError **error)
{
	uint64_t per = (uint64_t)e->gtes * e->grain, bytes = e->sectors * SECTOR;
	int r;

	if (e->grain < SECTOR || e->grain > GRAIN_MAX || e->grain & (e->grain - 1) || !e->gtes ||
		e->gtes > 65536 || e->gtes & (e->gtes - 1) || e->sectors > INT64_MAX / SECTOR ||
		bytes / per >= GDES_MAX)
		return fail(error, LODGE_ERROR_FILE, "%s: claims an absurd size, grain or table",
			e->file->path);
	e->gdes = (bytes + per - 1) / per;
	r = read_gd(e, e->gd_at, &e->gd);
	if (!r && e->rgd_at)
		r = read_gd(e, e->rgd_at, &e->rgd);
	if (r < 0)
		return fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its directory",
			e->file->path);
	table_init(e, &e->table, place_table);
	if (e->rgd)
		table_init(e, &e->rtable, place_rtable);
	r = file_end_init(&e->end, e->file, e->grain);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", e->file->path) : 0;
}

/* The footer is a header that knows where the directory is: two sectors before the end. */
static int read_footer(struct file *f, uint8_t *h, bool *ret_fresh, GError **error)
{
	int64_t n = file_length(f);
	uint64_t overhead = load_le64(h + H_OVERHEAD);
	uint8_t footer[SECTOR];

	*ret_fresh = n >= 0 && overhead < 1 << 20 && (uint64_t)n <= overhead * SECTOR;
	if (*ret_fresh)
		return 0;
	if (n < 3 * SECTOR || file_read_full(f, n - 2 * SECTOR, footer, SECTOR) < 0 ||
		memcmp(footer, "KDMV", 4) || load_le64(footer + H_GD) == GD_AT_END)
		return fail(error, LODGE_ERROR_FILE,
			"%s: its end is missing: it was not copied whole", f->path);
	memcpy(h, footer, SECTOR);
	return 0;
}

int vmdk_sparse_open(struct image *im, struct vmdk_extent *e, struct file *f,
	bool *ret_fresh_stream, GError **error)
{
	uint8_t h[SECTOR];
	uint64_t sectors, grain;
	bool fresh = false;
	int r = file_read_full(f, 0, h, sizeof(h));

	if (r < 0 || memcmp(h, "KDMV", 4))
		return fail(error, LODGE_ERROR_FILE, "%s: is no sparse VMDK extent", f->path);
	if (!load_le32(h + H_VERSION) || load_le32(h + H_VERSION) > 3)
		return fail(error, LODGE_ERROR_FILE, "%s: is of the unknown version %u", f->path,
			load_le32(h + H_VERSION));
	if (load_le64(h + H_GD) == GD_AT_END && read_footer(f, h, &fresh, error) < 0)
		return -1;
	e->kind = VMDK_SPARSE;
	e->file = f;
	e->flags = load_le32(h + H_FLAGS);
	/* A transfer in text mode would have changed these. */
	if (e->flags & FLAG_NEWLINES && memcmp(h + H_NEWLINES, "\n \r\n", 4))
		return fail(
			error, LODGE_ERROR_FILE, "%s: was damaged by a transfer as text", f->path);
	if (load_le16(h + H_COMPRESS) > 1)
		return fail(
			error, LODGE_ERROR_FILE, "%s: is compressed in an unknown way", f->path);
	sectors = load_le64(h + H_CAPACITY);
	grain = load_le64(h + H_GRAIN);
	if (!e->sectors)
		e->sectors = sectors;
	e->grain = grain > GRAIN_MAX / SECTOR ? 0 : grain * SECTOR;
	e->gtes = load_le32(h + H_GTES);
	e->data_from = load_le64(h + H_OVERHEAD);
	if (ret_fresh_stream)
		*ret_fresh_stream = fresh;
	if (fresh) {
		e->gtes = GTES;
		return ret_fresh_stream && e->grain == GRAIN * SECTOR
			       ? 0
			       : fail(error, LODGE_ERROR_FILE, "%s: its end is missing", f->path);
	}
	if (load_le64(h + H_GD) > INT64_MAX / SECTOR / 2 ||
		load_le64(h + H_RGD) > INT64_MAX / SECTOR / 2)
		return fail(error, LODGE_ERROR_FILE, "%s: its directory is nowhere", f->path);
	e->gd_at = load_le64(h + H_GD) * SECTOR;
	e->rgd_at = e->flags & FLAG_REDUNDANT ? load_le64(h + H_RGD) * SECTOR : 0;
	return tables_open(im, e, error);
}

int vmdk_cowd_open(struct image *im, struct vmdk_extent *e, struct file *f, GError **error)
{
	uint8_t h[SECTOR];
	int r = file_read_full(f, 0, h, sizeof(h));

	if (r < 0 || memcmp(h, "COWD", 4) || load_le32(h + C_VERSION) != 1)
		return fail(error, LODGE_ERROR_FILE, "%s: is no VMFS sparse extent", f->path);
	e->kind = VMDK_COWD;
	e->file = f;
	e->sectors = load_le32(h + C_CAPACITY);
	e->grain =
		load_le32(h + C_GRAIN) > GRAIN_MAX / SECTOR ? 0 : load_le32(h + C_GRAIN) * SECTOR;
	e->gtes = COWD_GTES;
	e->gd_at = (uint64_t)load_le32(h + C_GD) * SECTOR;
	e->data_from = load_le32(h + C_GD);
	return tables_open(im, e, error);
}

/* An empty table at the end of the file, and its place in the directory. */
static int make_table(struct vmdk_extent *e, uint32_t *gd, uint64_t gd_at, uint64_t page)
{
	uint8_t number[4];
	uint64_t at;
	int r = file_end_grow(&e->end, MAX(e->grain, e->gtes * 4), &at);

	if (r < 0)
		return r;
	if (at / SECTOR > UINT32_MAX)
		return -EFBIG;
	store_le32(number, at / SECTOR);
	/* The table is a hole, so it can be referred to at once. */
	r = file_write(e->file, gd_at + page * 4, number, 4);
	if (!r)
		gd[page] = at / SECTOR;
	return r;
}

int vmdk_grain_set(struct image *im, struct vmdk_extent *e, uint64_t grain, uint32_t sector)
{
	uint64_t page = grain / e->gtes;
	int r = 0;

	im->dirty = true;
	if (!e->gd[page])
		r = make_table(e, e->gd, e->gd_at, page);
	if (!r && e->rgd && !e->rgd[page])
		r = make_table(e, e->rgd, e->rgd_at, page);
	if (!r)
		r = block_table_set(&e->table, grain, sector, 0);
	if (!r && e->rgd)
		r = block_table_set(&e->rtable, grain, sector, 0);
	return r;
}
