/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmdk.c: VMware's VMDK: opening its files, and where bytes are. Spec: "Virtual Disk Format 5.0".
 */
#include "image/vmdk/vmdk.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* Entries looked at in one call: the metadata lock is held meanwhile. */
enum { RUN_MAX = 65536 };

static int probe(const uint8_t *head, size_t n)
{
	return n >= 4 && (!memcmp(head, "KDMV", 4) || !memcmp(head, "COWD", 4) ||
				 vmdk_is_text(head, n))
		       ? 100
		       : 0;
}

static struct vmdk_extent *extent_at(const struct vmdk *s, unsigned i)
{
	return &g_array_index(s->extents, struct vmdk_extent, i);
}

static void extent_clear(void *p)
{
	vmdk_extent_fini(p);
}

/* ---- opening ---- */

static int add_extent(struct image *im, const struct vmdk_extent *e, GError **error)
{
	struct vmdk *s = im->state;
	struct vmdk_extent *own;

	g_array_append_val(s->extents, *e);
	own = extent_at(s, s->extents->len - 1);
	own->start = im->size / SECTOR;
	if (!own->sectors || own->sectors > (INT64_MAX - im->size) / SECTOR)
		return fail(error, LODGE_ERROR_FILE, "%s: has an extent of an absurd size",
			im->file->path);
	im->size += own->sectors * SECTOR;
	if (!own->grain)
		return 0;
	if (im->cluster > 1 && im->cluster != own->grain)
		return fail(error, LODGE_ERROR_FILE,
			"%s: its extents have grains of different sizes", im->file->path);
	im->cluster = own->grain;
	if (!im->readonly && own->start * SECTOR % own->grain)
		return fail(error, LODGE_ERROR_FILE,
			"%s: an extent begins within a grain: it can be read only", im->file->path);
	return 0;
}

static int open_line(
	struct image *im, const struct image_options *o, const struct vmdk_line *l, GError **error)
{
	struct vmdk_extent e = { .sectors = l->sectors };
	bool readonly = im->readonly || g_ascii_strcasecmp(l->access, "RW");
	struct file *f = NULL;
	int r = 0;

	if (!g_ascii_strcasecmp(l->kind, "ZERO") || !g_ascii_strcasecmp(l->access, "NOACCESS")) {
		e.kind = VMDK_ZERO;
		return add_extent(im, &e, error);
	}
	if (!l->name)
		return fail(error, LODGE_ERROR_FILE, "%s: an extent has no name", im->file->path);
	if (g_ascii_strcasecmp(l->kind, "FLAT") && g_ascii_strcasecmp(l->kind, "SPARSE") &&
		g_ascii_strcasecmp(l->kind, "VMFS") && g_ascii_strcasecmp(l->kind, "VMFSSPARSE"))
		return fail(error, LODGE_ERROR_FILE,
			"%s: has an extent of the kind %s, which is not known", im->file->path,
			l->kind);
	f = image_open_file_of(im, o, l->name, readonly, error);
	if (!f)
		return -1;
	e.file = f;
	e.kind = VMDK_FLAT;
	e.at = l->at;
	if (!g_ascii_strcasecmp(l->kind, "SPARSE"))
		r = vmdk_sparse_open(im, &e, f, NULL, error);
	else if (!g_ascii_strcasecmp(l->kind, "VMFSSPARSE"))
		r = vmdk_cowd_open(im, &e, f, error);
	else if (e.at > INT64_MAX / SECTOR)
		r = fail(error, LODGE_ERROR_FILE, "%s: an extent is nowhere", im->file->path);
	if (r < 0) {
		vmdk_extent_fini(&e);
		return -1;
	}
	return add_extent(im, &e, error);
}

/* `at`: where the text begins in im->file. */
static int use_text(struct image *im, struct vmdk_text *t, uint64_t at)
{
	struct vmdk *s = im->state;

	s->type = g_strdup(t->type);
	s->cid = t->cid;
	s->parent_cid = t->parent_cid;
	s->cid_at = t->cid_at ? at + t->cid_at : 0;
	if (t->parent && t->parent_cid != NO_PARENT) {
		im->backing_path = g_strdup(t->parent);
		im->backing_format = g_strdup("vmdk");
	}
	return 0;
}

static char *read_text(struct image *im, uint64_t at, uint64_t n, GError **error)
{
	char *text;

	if (n > TEXT_MAX) {
		fail(error, LODGE_ERROR_FILE, "%s: its descriptor is larger than %d bytes",
			im->file->path, TEXT_MAX);
		return NULL;
	}
	text = g_malloc0(n + 1);
	if (file_read_full(im->file, at, text, n) >= 0)
		return text;
	fail(error, LODGE_ERROR_FILE, "%s: cannot read its descriptor", im->file->path);
	g_free(text);
	return NULL;
}

/* A file of text that names others. */
static int open_text(struct image *im, const struct image_options *o, GError **error)
{
	int64_t n = file_length(im->file);
	g_autofree char *text = n < 0 ? NULL : read_text(im, 0, n, error);
	struct vmdk_text t;
	int r;

	if (!text)
		return -1;
	r = vmdk_text_parse(&t, text, im->file->path, error);
	if (!r)
		r = use_text(im, &t, 0);
	if (!r && !t.lines->len)
		r = fail(error, LODGE_ERROR_FILE, "%s: describes no extents", im->file->path);
	for (unsigned i = 0; i < t.lines->len && !r; i++)
		r = open_line(im, o, &g_array_index(t.lines, struct vmdk_line, i), error);
	vmdk_text_fini(&t);
	return r;
}

/* One sparse file, its descriptor inside. */
static int open_single(struct image *im, const uint8_t *head, GError **error)
{
	uint64_t at = load_le64(head + H_TEXT), n = load_le64(head + H_TEXT_SIZE);
	struct vmdk_extent e = { 0 };
	bool fresh = false;
	int r = vmdk_sparse_open(im, &e, im->file, &fresh, error);

	if (r < 0) {
		vmdk_extent_fini(&e);
		return -1;
	}
	if (add_extent(im, &e, error) < 0)
		return -1;
	if (at && n && at < INT64_MAX / SECTOR && n <= TEXT_MAX / SECTOR) {
		g_autofree char *text = read_text(im, at * SECTOR, n * SECTOR, error);
		struct vmdk_text t;

		r = text ? vmdk_text_parse(&t, text, im->file->path, error) : -1;
		if (text)
			use_text(im, &t, at * SECTOR);
		if (text)
			vmdk_text_fini(&t);
	}
	if (!r && fresh && im->readonly)
		r = fail(error, LODGE_ERROR_FILE, "%s: its end is missing", im->file->path);
	if (!r && fresh)
		return vmdk_stream_start(im, error);
	if (!r && e.flags & FLAG_COMPRESSED && !im->readonly)
		r = fail(error, LODGE_ERROR_FILE,
			"%s: a stream-optimized image cannot be changed; convert it, "
			"or open it with readonly=on",
			im->file->path);
	return r;
}

static int vmdk_open(struct image *im, const struct image_options *o, GError **error)
{
	struct vmdk *s = im->state;
	uint8_t head[SECTOR];
	int r = file_read_full(im->file, 0, head, sizeof(head));

	s->extents = g_array_new(FALSE, FALSE, sizeof(struct vmdk_extent));
	g_array_set_clear_func(s->extents, extent_clear);
	im->cluster = 1;
	if (r < 0)
		return fail_errno(
			error, LODGE_ERROR_FILE, -r, "%s: cannot read it", im->file->path);
	if (!memcmp(head, "KDMV", 4)) {
		r = open_single(im, head, error);
	} else if (!memcmp(head, "COWD", 4)) {
		struct vmdk_extent e = { 0 };

		r = vmdk_cowd_open(im, &e, im->file, error);
		if (r < 0)
			vmdk_extent_fini(&e);
		else
			r = add_extent(im, &e, error);
	} else if (vmdk_is_text(head, sizeof(head))) {
		r = open_text(im, o, error);
	} else {
		r = fail(error, LODGE_ERROR_FILE, "%s: is no VMDK image", im->file->path);
	}
	/* The array no longer moves. */
	for (unsigned i = 0; i < s->extents->len; i++) {
		extent_at(s, i)->table.opaque = extent_at(s, i);
		extent_at(s, i)->rtable.opaque = extent_at(s, i);
	}
	return r;
}

static void vmdk_close(struct image *im)
{
	struct vmdk *s = im->state;

	if (s->extents)
		g_array_unref(s->extents);
	vmdk_stream_free(s->stream);
	g_free(s->type);
}

/* ---- where bytes are ---- */

static struct vmdk_extent *find_extent(struct vmdk *s, uint64_t off)
{
	unsigned low = 0, high = s->extents->len;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (extent_at(s, mid)->start * SECTOR <= off)
			low = mid;
		else
			high = mid;
	}
	return extent_at(s, low);
}

static int decode_grain(
	struct image *im, const struct vmdk_extent *e, uint64_t entry, struct extent *x)
{
	if (!entry || (entry == GRAIN_ZERO && e->flags & FLAG_ZEROED)) {
		x->kind = !entry && im->backing_path ? EXTENT_BACKING : EXTENT_ZERO;
		x->file = NULL;
		return 0;
	}
	if (entry < e->data_from)
		return -EIO;
	x->kind = e->flags & FLAG_COMPRESSED ? EXTENT_PACKED : EXTENT_DATA;
	x->file = e->file;
	return 0;
}

static int map_sparse(struct image *im, struct vmdk_extent *e, uint64_t inside, uint64_t len,
	unsigned flags, struct extent *out)
{
	uint64_t n = e->grain - inside % e->grain, entry, next;
	int r = block_table_get(&e->table, inside / e->grain, flags, &entry);

	if (!r)
		r = decode_grain(im, e, entry, out);
	if (r < 0)
		return r;
	out->at = entry * SECTOR + inside % e->grain;
	if (out->kind == EXTENT_PACKED) {
		out->packed = out->at = entry * SECTOR;
		out->len = MIN(n, len);
		return 0;
	}
	for (unsigned steps = 0; n < len && steps < RUN_MAX; steps++) {
		uint64_t i = (inside + n) / e->grain;
		struct extent x = { 0 };

		if (i >= e->table.count)
			break;
		if (!e->gd[i / e->gtes]) { /* all of that table is nowhere */
			if (entry)
				break;
			n += (e->gtes - i % e->gtes) * (uint64_t)e->grain;
			continue;
		}
		if (block_table_get(&e->table, i, flags, &next) < 0)
			break;

		if (decode_grain(im, e, next, &x) < 0 || x.kind != out->kind ||
			(x.kind == EXTENT_DATA && next != entry + e->grain / SECTOR))
			break;
		entry = next;
		n += e->grain;
	}
	out->len = MIN(n, len);
	return 0;
}

static int vmdk_map(
	struct image *im, uint64_t off, uint64_t len, unsigned flags, struct extent *out)
{
	struct vmdk *s = im->state;
	struct vmdk_extent *e = find_extent(s, off);
	uint64_t inside = off - e->start * SECTOR;

	*out = (struct extent){ 0 };
	if (s->stream)
		return vmdk_stream_map(im, off, len, out);
	len = MIN(len, e->sectors * SECTOR - inside);
	if (e->kind == VMDK_SPARSE || e->kind == VMDK_COWD)
		return map_sparse(im, e, inside, len, flags, out);
	*out = (struct extent){ .kind = e->kind == VMDK_ZERO ? EXTENT_ZERO : EXTENT_DATA,
		.file = e->file,
		.at = e->at * SECTOR + inside,
		.len = len };
	return 0;
}

static int vmdk_alloc(struct image *im, uint64_t off, uint64_t len, unsigned flags,
	uint64_t *ret_start, struct extent *out)
{
	struct vmdk *s = im->state;
	struct vmdk_extent *e = find_extent(s, off);
	uint64_t inside = off - e->start * SECTOR, grain = inside / e->grain, n = 1, entry;
	uint64_t want = (inside % e->grain + len + e->grain - 1) / e->grain;
	int r;

	if (flags & IMAGE_NOWAIT)
		return -EAGAIN;
	if (s->stream)
		return -EOPNOTSUPP;
	if (e->kind != VMDK_SPARSE || e->file->readonly || e->flags & FLAG_COMPRESSED)
		return -EROFS;
	while (n < want && (grain + n) * e->grain < e->sectors * SECTOR &&
		!block_table_get(&e->table, grain + n, 0, &entry) &&
		(!entry || entry == GRAIN_ZERO))
		n++;
	*ret_start = e->start * SECTOR + grain * e->grain;
	*out = (struct extent){
		.file = e->file, .len = MIN(n * e->grain, im->size - *ret_start), .fresh = true
	};
	r = file_end_grow(&e->end, n * e->grain, &out->at);
	if (!r && e->end.end / SECTOR > UINT32_MAX)
		return -EFBIG;
	im->dirty = true;
	return r;
}

static int vmdk_commit(struct image *im, uint64_t start, const struct extent *x, unsigned flags)
{
	struct vmdk_extent *e = find_extent(im->state, start);
	uint64_t inside = start - e->start * SECTOR;
	int r = flags & IMAGE_NOWAIT ? -EAGAIN : 0;

	for (uint64_t n = 0; n < x->len && !r; n += e->grain)
		r = vmdk_grain_set(im, e, (inside + n) / e->grain, (x->at + n) / SECTOR);
	return r;
}

static void vmdk_abandon(struct image *im, uint64_t start, const struct extent *x)
{
}

/* An image that was written to is no longer what images above it were made on. */
static int renew_cid(struct image *im)
{
	struct vmdk *s = im->state;
	char text[9];
	int r;

	if (s->cid_new || !s->cid_at)
		return 0;
	g_snprintf(text, sizeof(text), "%08x", g_random_int() & 0xfffffffe);
	r = file_write(im->file, s->cid_at, text, 8);
	s->cid_new = r == 0;
	return r;
}

static int vmdk_flush(struct image *im)
{
	struct vmdk *s = im->state;
	int r;

	im->dirty = false;
	if (s->stream)
		return vmdk_stream_finish(im);
	r = renew_cid(im);
	for (unsigned i = 0; i < s->extents->len && !r; i++) {
		struct vmdk_extent *e = extent_at(s, i);

		if (!e->table.dirty)
			continue;
		r = file_sync(e->file);
		if (!r)
			r = block_table_write(&e->table);
		if (!r && e->rgd)
			r = block_table_write(&e->rtable);
		if (!r)
			r = file_sync(e->file);
	}
	if (!r)
		r = file_sync(im->file);
	if (r < 0)
		im->dirty = true;
	return r;
}

static int check_extent(struct vmdk_extent *e, struct image_report *out)
{
	int64_t end = file_length(e->file);
	uint64_t grains = (e->sectors * SECTOR + e->grain - 1) / e->grain, entry = 0;
	struct block_census c;
	int r = 0;

	census_start(&c, out, e->data_from * SECTOR, end < 0 ? 0 : end, e->grain);
	out->clusters += grains;
	for (uint64_t i = 0; i < grains && !r; i++) {
		if (!e->gd[i / e->gtes]) { /* all of that table is nowhere */
			i |= e->gtes - 1;
			continue;
		}
		r = block_table_get(&e->table, i, 0, &entry);
		if (!r && entry && !(entry == GRAIN_ZERO && e->flags & FLAG_ZEROED)) {
			census_add(&c, i, entry * SECTOR);
			out->compressed += (e->flags & FLAG_COMPRESSED) != 0;
		}
	}
	census_end(&c);
	return r;
}

static int vmdk_check(struct image *im, struct image_report *out, bool repair, GError **error)
{
	struct vmdk *s = im->state;
	int r = 0;

	for (unsigned i = 0; i < s->extents->len && !r && !s->stream; i++) {
		if (extent_at(s, i)->grain)
			r = check_extent(extent_at(s, i), out);
	}
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s: cannot read its tables",
			       im->file->path)
		     : 0;
}

static void vmdk_info(struct image *im, json_t *object)
{
	static const char *const kinds[] = { "FLAT", "ZERO", "SPARSE", "VMFSSPARSE" };
	const struct vmdk *s = im->state;
	json_t *list = json_array();

	json_object_set_new(
		object, "create_type", json_string(s->type ? s->type : "monolithicSparse"));
	json_object_set_new(object, "cid", json_integer(s->cid));
	json_object_set_new(object, "parent_cid", json_integer(s->parent_cid));
	for (unsigned i = 0; i < s->extents->len; i++) {
		const struct vmdk_extent *e = extent_at(s, i);

		json_array_append_new(list,
			json_pack("{s:s,s:I,s:s,s:b}", "filename", e->file ? e->file->path : "",
				"virtual-size", (json_int_t)(e->sectors * SECTOR), "format",
				kinds[e->kind], "compressed", (e->flags & FLAG_COMPRESSED) != 0));
	}
	json_object_set_new(object, "extents", list);
}

const struct image_format image_format_vmdk = {
	.name = "vmdk",
	.help = "VMware's format, also VirtualBox's and of OVA files",
	.suffixes = "vmdk",
	.state_size = sizeof(struct vmdk),
	.create_options = vmdk_options,
	.probe = probe,
	.open = vmdk_open,
	.close = vmdk_close,
	.map = vmdk_map,
	.unpack = vmdk_unpack,
	.alloc = vmdk_alloc,
	.commit = vmdk_commit,
	.abandon = vmdk_abandon,
	.write_packed = vmdk_stream_write,
	.pack = vmdk_pack,
	.flush = vmdk_flush,
	.create = vmdk_create,
	.check = vmdk_check,
	.info = vmdk_info,
};
