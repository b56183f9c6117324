/* SPDX-License-Identifier: GPL-2.0-or-later */
/* create.c: makes VMDK images. Spec: "Virtual Disk Format 5.0". */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "image/vmdk/vmdk.h"

enum subformat { MONOLITHIC_SPARSE, MONOLITHIC_FLAT, SPLIT_SPARSE, SPLIT_FLAT, STREAM };

static const char *const subformats[] = { "monolithicSparse", "monolithicFlat",
	"twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized", NULL };
static const char *const adapters[] = { "ide", "buslogic", "lsilogic", "legacyESX", NULL };

const struct image_option_def vmdk_options[] = {
	{ "subformat", IMAGE_OPT_ENUM, subformats, "monolithicSparse",
		"which files it is made of" },
	{ "adapter_type", IMAGE_OPT_ENUM, adapters, "ide", "the controller it is meant for" },
	{ "hwversion", IMAGE_OPT_STRING, NULL, "4", "VMware's version of virtual hardware" },
	{ "zeroed_grain", IMAGE_OPT_BOOL, NULL, "off", "grains may be marked as zeroes" },
	{ NULL },
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static void make_header(uint8_t *h, uint64_t sectors, bool zeroed, bool stream)
{
	memset(h, 0, SECTOR);
	memcpy(h, "KDMV", 4);
	store_le32(h + H_VERSION, stream ? 3 : zeroed ? 2 : 1);
	store_le32(
		h + H_FLAGS, stream ? FLAG_NEWLINES | FLAG_COMPRESSED | FLAG_MARKERS
				    : FLAG_NEWLINES | FLAG_REDUNDANT | (zeroed ? FLAG_ZEROED : 0));
	store_le64(h + H_CAPACITY, sectors);
	store_le64(h + H_GRAIN, GRAIN);
	store_le32(h + H_GTES, GTES);
	memcpy(h + H_NEWLINES, "\n \r\n", 4);
	store_le16(h + H_COMPRESS, stream);
}

/* A directory whose tables follow it; sectors. */
static int put_directory(struct file *f, uint64_t at, uint64_t tables)
{
	uint64_t size = round_up(tables * 4, SECTOR), first = at + size / SECTOR;
	g_autofree uint8_t *gd = g_malloc0(size);

	for (uint64_t i = 0; i < tables; i++)
		store_le32(gd + 4 * i, first + i * (GTES * 4 / SECTOR));
	return file_write(f, at * SECTOR, gd, size);
}

/* An empty sparse extent, with `text` inside or without (NULL). */
static int put_sparse(struct file *f, uint64_t sectors, const char *text, bool zeroed, bool stream)
{
	uint64_t tables = (sectors + (uint64_t)GRAIN * GTES - 1) / ((uint64_t)GRAIN * GTES);
	uint64_t span = round_up(tables * 4, SECTOR) / SECTOR + tables * (GTES * 4 / SECTOR);
	uint64_t rgd = 1 + (text ? TEXT_SECTORS : 0), gd = rgd + span,
		 overhead = round_up(gd + span, GRAIN);
	uint8_t h[SECTOR];
	int r = 0;

	if (stream)
		overhead = GRAIN;
	make_header(h, sectors, zeroed, stream);
	store_le64(h + H_TEXT, text ? 1 : 0);
	store_le64(h + H_TEXT_SIZE, text ? TEXT_SECTORS : 0);
	store_le64(h + H_RGD, stream ? 0 : rgd);
	store_le64(h + H_GD, stream ? GD_AT_END : gd);
	store_le64(h + H_OVERHEAD, overhead);
	if (!stream) {
		r = put_directory(f, rgd, tables);
		if (!r)
			r = put_directory(f, gd, tables);
	}
	if (!r && text)
		r = file_write(f, SECTOR, text, strlen(text));
	if (!r)
		r = file_truncate(f, overhead * SECTOR);
	return r < 0 ? r : file_write(f, 0, h, sizeof(h));
}

static char *make_text(
	const struct image_spec *spec, enum subformat sub, uint32_t parent_cid, const char *extents)
{
	const char *adapter = image_spec_string(spec, vmdk_options, "adapter_type");
	uint64_t sectors = spec->size / SECTOR;
	bool ide = !strcmp(adapter, "ide");
	unsigned heads = ide ? 16 : 255;
	g_autofree char *parent =
		spec->backing ? g_strdup_printf("parentFileNameHint=\"%s\"\n", spec->backing)
			      : g_strdup("");

	return g_strdup_printf(
		"# Disk "
		"DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n%s\n"
		"# Extent description\n%s\n# The Disk Data Base\n#DDB\n\n"
		"ddb.virtualHWVersion = \"%s\"\nddb.geometry.cylinders = \"%" G_GUINT64_FORMAT
		"\"\n"
		"ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = "
		"\"%s\"\n",
		g_random_int() & 0xfffffffe, parent_cid, subformats[sub], parent, extents,
		image_spec_string(spec, vmdk_options, "hwversion"),
		ide ? MIN(sectors / (63 * heads), 16383) : sectors / (63 * heads), heads, adapter);
}

/* What the parent calls itself now. */
static int read_cid(struct file *f, const struct image_spec *spec, uint32_t *ret, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(f->path), *path = NULL;
	struct image_options o = {
		.format = "vmdk", .readonly = true, .no_lock = true, .no_backing = true
	};
	struct image *im;

	*ret = NO_PARENT;
	if (!spec->backing)
		return 0;
	if (g_strcmp0(spec->backing_format, "vmdk") || strpbrk(spec->backing, "\"\n"))
		return fail(error, LODGE_ERROR_USAGE, "%s: the backing file of a VMDK is a VMDK",
			f->path);
	o.path = path = g_path_is_absolute(spec->backing)
				? g_strdup(spec->backing)
				: g_build_filename(dir, spec->backing, NULL);
	im = image_open(&o, error);
	if (!im)
		return -1;
	*ret = ((struct vmdk *)im->state)->cid;
	image_close(im);
	return 0;
}

/* "disk.vmdk" -> "disk-s001.vmdk" */
static char *extent_name(const char *path, enum subformat sub, unsigned i)
{
	g_autofree char *base = g_path_get_basename(path);
	char *dot = strrchr(base, '.');

	if (dot && !g_ascii_strcasecmp(dot, ".vmdk"))
		*dot = 0;
	return sub == MONOLITHIC_FLAT ? g_strdup_printf("%s-flat.vmdk", base)
				      : g_strdup_printf("%s-%c%03u.vmdk", base,
						sub == SPLIT_FLAT ? 'f' : 's', i + 1);
}

static int put_extent(struct file *f, const char *name, uint64_t sectors, enum subformat sub,
	const struct image_spec *spec, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(f->path),
			*path = g_build_filename(dir, name, NULL);
	struct file_options o = { .path = path, .create = true };
	struct file *part = file_open(&o, error);
	bool zeroed = image_spec_bool(spec, vmdk_options, "zeroed_grain");
	int r;

	if (!part)
		return -1;
	r = sub == SPLIT_SPARSE ? put_sparse(part, sectors, NULL, zeroed, false)
				: file_truncate(part, sectors * SECTOR);
	if (!r && sub != SPLIT_SPARSE && spec->preallocation >= IMAGE_PREALLOC_FALLOC)
		r = file_allocate(part, sectors * SECTOR);
	file_close(part);
	if (r < 0)
		unlink(path);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", path) : 0;
}

/* Text in one file, bytes in others. */
static int create_many(struct file *f, const struct image_spec *spec, enum subformat sub,
	uint32_t cid, GError **error)
{
	g_autoptr(GString) lines = g_string_new(NULL);
	uint64_t left = spec->size / SECTOR, most = sub == MONOLITHIC_FLAT ? left : EXTENT_SECTORS;
	g_autofree char *text = NULL;
	int r = 0;

	for (unsigned i = 0; left && !r; i++) {
		g_autofree char *name = extent_name(f->path, sub, i);
		uint64_t n = MIN(left, most);

		r = put_extent(f, name, n, sub, spec, error);
		g_string_append_printf(lines, "RW %" G_GUINT64_FORMAT " %s \"%s\"%s\n", n,
			sub == SPLIT_SPARSE ? "SPARSE" : "FLAT", name,
			sub == SPLIT_SPARSE ? "" : " 0");
		left -= n;
	}
	if (r < 0)
		return -1;
	text = make_text(spec, sub, cid, lines->str);
	r = file_write(f, 0, text, strlen(text));
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}

int vmdk_create(struct file *f, const struct image_spec *spec, GError **error)
{
	enum subformat sub = image_spec_enum(spec, vmdk_options, "subformat");
	g_autofree char *base = g_path_get_basename(f->path), *extents = NULL, *text = NULL;
	bool flat = sub == MONOLITHIC_FLAT || sub == SPLIT_FLAT, stream = sub == STREAM;
	uint32_t cid;
	int r;

	if (spec->backing && (flat || stream))
		return fail(error, LODGE_ERROR_USAGE, "%s: %s images have no backing file", f->path,
			subformats[sub]);
	if (strpbrk(base, "\"\n") ||
		strpbrk(image_spec_string(spec, vmdk_options, "hwversion"), "\"\n"))
		return fail(error, LODGE_ERROR_USAGE, "%s: VMDK images cannot have such names",
			f->path);
	if (spec->size > (flat ? 62ull << 40 : 2ull << 40))
		return fail(error, LODGE_ERROR_USAGE, "%s: VMDK disks of that kind end at %d TiB",
			f->path, flat ? 62 : 2);
	if (read_cid(f, spec, &cid, error) < 0)
		return -1;
	if (flat || sub == SPLIT_SPARSE)
		return create_many(f, spec, sub, cid, error);
	extents = g_strdup_printf(
		"RW %" G_GUINT64_FORMAT " SPARSE \"%s\"\n", spec->size / SECTOR, base);
	text = make_text(spec, sub, cid, extents);
	if (strlen(text) > TEXT_SECTORS * SECTOR)
		return fail(error, LODGE_ERROR_USAGE, "%s: its names are too long", f->path);
	r = put_sparse(f, spec->size / SECTOR, text,
		image_spec_bool(spec, vmdk_options, "zeroed_grain"), stream);
	return r < 0 ? fail_errno(error, LODGE_ERROR_FILE, -r, "%s", f->path) : 0;
}
