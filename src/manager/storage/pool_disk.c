/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_disk.c: a whole disk whose volumes are its partitions. Spec: parted(8). */
#include <string.h>

#include "manager/error.h"
#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

enum { ALIGN = 1 << 20 };

static const char *device_of(const struct pool *p)
{
	return xml_get(pool_root(p), "source/device/@path");
}

static int check(struct pool *p, GError **error)
{
	const char *path = xml_get(pool_root(p), "target/path");

	if (!device_of(p) ||
		xml_next(xml_child(xml_child(pool_root(p), "source"), "device"), "device"))
		return refuse(error, MANAGER_ERR_XML,
			"a pool of type disk needs one <device> in its <source>");
	if (!path)
		xml_set(pool_root(p), "target/path", "/dev");
	p->target = g_strdup(path ? path : "/dev");
	return 0;
}

/* ---- the partition table ---- */

struct part {
	uint64_t start, size; /* bytes */
	unsigned number;
	char *node; /* owned */
};

struct table {
	char label[16];
	uint64_t sector, disk; /* bytes */
	GArray *parts;         /* owned: struct part, by start */
};

static void part_clear(void *p)
{
	g_free(((struct part *)p)->node);
}

static void table_clear(struct table *t)
{
	g_clear_pointer(&t->parts, g_array_unref);
}

static int by_start(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* "/dev/sda1", but "/dev/loop0p1": a digit before the number needs something between. */
static char *node_of(const char *device, unsigned number)
{
	size_t n = strlen(device);

	return g_strdup_printf(
		n && g_ascii_isdigit(device[n - 1]) ? "%sp%u" : "%s%u", device, number);
}

/*
 * parted's output for programs: "NUMBER:START:END:SIZE:…;" in bytes, after a line about the disk.
 */
static int table_read(const char *device, struct table *t, GError **error)
{
	const char *const argv[] = { "parted", "--machine", "--script", "--", device, "unit", "B",
		"print", NULL };
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	memset(t, 0, sizeof(*t));
	if (pool_run(argv, &text, error))
		return -1;
	lines = g_strsplit(text, "\n", -1);
	t->parts = g_array_new(FALSE, TRUE, sizeof(struct part));
	g_array_set_clear_func(t->parts, part_clear);
	for (unsigned i = 1; lines[0] && lines[i]; i++) {
		g_auto(GStrv) f = g_strsplit(lines[i], ":", 7);
		struct part part = { 0 };

		if (g_strv_length(f) < 4)
			continue;
		if (i == 1 && g_strv_length(f) >= 6) {
			t->disk = g_ascii_strtoull(f[1], NULL, 10);
			t->sector = MAX(g_ascii_strtoull(f[3], NULL, 10), 512);
			g_strlcpy(t->label, strcmp(f[5], "msdos") ? f[5] : "dos", sizeof(t->label));
			continue;
		}
		part.number = g_ascii_strtoull(f[0], NULL, 10);
		part.start = g_ascii_strtoull(f[1], NULL, 10);
		part.size = g_ascii_strtoull(f[3], NULL, 10);
		part.node = node_of(device, part.number);
		g_array_append_val(t->parts, part);
	}
	g_array_sort(t->parts, by_start);
	if (t->disk && strcmp(t->label, "unknown"))
		return 0;
	table_clear(t);
	return refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s has no partition table", device);
}

/* Both ends are left to the table and its copy. */
static uint64_t usable_end(const struct table *t)
{
	return t->disk > 2 * ALIGN ? t->disk - ALIGN : 0;
}

static bool is_active(struct pool *p)
{
	struct table t;

	if (table_read(device_of(p), &t, NULL))
		return false;
	table_clear(&t);
	return true;
}

static int start(struct pool *p, GError **error)
{
	const char *format = xml_get(pool_root(p), "source/format/@type");
	struct table t;
	int err = 0;

	if (table_read(device_of(p), &t, error))
		return -1;
	if (strcmp(format, "unknown") && strcmp(format, t.label))
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"%s has a partition table '%s', not '%s'", device_of(p), t.label, format);
	table_clear(&t);
	return err;
}

static int build(struct pool *p, unsigned flags, GError **error)
{
	const char *format = xml_get(pool_root(p), "source/format/@type");
	const char *label = !strcmp(format, "unknown") || !strcmp(format, "dos") ? "msdos" : format;
	const char *const argv[] = { "parted", "--script", "--", device_of(p), "mklabel", label,
		NULL };
	const char *const probe[] = { "blkid", "-p", "-o", "value", "-s", "PTTYPE", "-s", "TYPE",
		"--", device_of(p), NULL };
	g_autofree char *found = NULL;

	if (!(flags & POOL_BUILD_OVERWRITE) && !pool_run(probe, &found, NULL) && *g_strstrip(found))
		return refuse(error, (enum manager_error)76 /* VIR_ERR_STORAGE_POOL_BUILT */,
			"%s has '%s' already: overwrite it explicitly", device_of(p), found);
	return pool_run(argv, NULL, error);
}

static char *extent_text(const char *device, const struct part *part)
{
	return g_markup_printf_escaped("<source><device path='%s'><extent start='%" G_GUINT64_FORMAT
				       "' end='%" G_GUINT64_FORMAT "'/></device></source>",
		device, (guint64)part->start, (guint64)(part->start + part->size));
}

static int refresh(struct pool *p, GPtrArray *volumes, GError **error)
{
	uint64_t used = 0;
	struct table t;

	if (table_read(device_of(p), &t, error))
		return -1;
	for (unsigned i = 0; i < t.parts->len; i++) {
		const struct part *part = &g_array_index(t.parts, struct part, i);
		g_autofree char *name = g_path_get_basename(part->node);
		struct volume *v = volume_new(VOLUME_BLOCK, name, part->node);

		v->capacity = v->allocation = v->physical = part->size;
		v->format = g_strdup("none");
		v->extents = extent_text(device_of(p), part);
		if (stat(v->path, &v->st))
			memset(&v->st, 0, sizeof(v->st));
		used += part->size;
		g_ptr_array_add(volumes, v);
	}
	g_mutex_lock(&p->lock);
	p->capacity = t.disk;
	p->allocation = used;
	p->available = usable_end(&t) > ALIGN + used ? usable_end(&t) - ALIGN - used : 0;
	g_mutex_unlock(&p->lock);
	table_clear(&t);
	return 0;
}

/* ---- volumes ---- */

/* The smallest gap that is large enough, its start aligned. */
static bool find_gap(const struct table *t, uint64_t size, uint64_t *ret)
{
	uint64_t at = ALIGN, best = UINT64_MAX;

	for (unsigned i = 0; i <= t->parts->len; i++) {
		const struct part *next =
			i < t->parts->len ? &g_array_index(t->parts, struct part, i) : NULL;
		uint64_t start = (at + ALIGN - 1) / ALIGN * ALIGN,
			 end = next ? next->start : usable_end(t);

		if (end > start && end - start >= size && end - start < best) {
			best = end - start;
			*ret = start;
		}
		if (next)
			at = MAX(at, next->start + next->size);
	}
	return best != UINT64_MAX;
}

static int create(struct pool *p, const char *name, uint64_t capacity, uint64_t allocation,
	const char *format, char **ret_name, GError **error)
{
	uint64_t at = 0, size;
	g_autofree char *from = NULL, *to = NULL;
	struct table t;
	int err;

	if (table_read(device_of(p), &t, error))
		return -1;
	size = (MAX(capacity, 1) + t.sector - 1) / t.sector * t.sector;
	if (!find_gap(&t, size, &at)) {
		table_clear(&t);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"%s has no room for %" G_GUINT64_FORMAT " bytes in a row", device_of(p),
			(guint64)size);
	}
	from = g_strdup_printf("%" G_GUINT64_FORMAT "s", (guint64)(at / t.sector));
	to = g_strdup_printf("%" G_GUINT64_FORMAT "s", (guint64)((at + size) / t.sector - 1));
	{
		const char *const argv[] = { "parted", "--script", "--", device_of(p), "mkpart",
			strcmp(t.label, "gpt") ? "primary" : "lodge", from, to, NULL };

		err = pool_run(argv, NULL, error);
	}
	table_clear(&t);
	if (err || table_read(device_of(p), &t, error))
		return -1;
	for (unsigned i = 0; i < t.parts->len && !*ret_name; i++) {
		const struct part *part = &g_array_index(t.parts, struct part, i);

		if (part->start == at)
			*ret_name = g_path_get_basename(part->node);
	}
	table_clear(&t);
	return *ret_name ? 0
			 : refuse(error, MANAGER_ERR_OPERATION_FAILED,
				   "the new partition is not there");
}

static int delete (struct pool *p, const struct volume *v, GError **error)
{
	g_autofree char *number = NULL;
	struct table t;

	if (table_read(device_of(p), &t, error))
		return -1;
	for (unsigned i = 0; i < t.parts->len; i++) {
		const struct part *part = &g_array_index(t.parts, struct part, i);

		if (!strcmp(part->node, v->path))
			number = g_strdup_printf("%u", part->number);
	}
	table_clear(&t);
	if (number) {
		const char *const argv[] = { "parted", "--script", "--", device_of(p), "rm", number,
			NULL };

		return pool_run(argv, NULL, error);
	}
	return refuse(
		error, MANAGER_ERR_NO_VOLUME, "%s has no partition '%s'", device_of(p), v->name);
}

static const char *const formats[] = { "unknown", "dos", "gpt", "dvh", "mac", "bsd", "pc98", "sun",
	"lvm2", NULL };

const struct pool_kind pool_kind_disk = { .type = "disk",
	.formats = formats,
	.check = check,
	.is_active = is_active,
	.start = start,
	.build = build,
	.refresh = refresh,
	.create = create,
	.delete = delete };
