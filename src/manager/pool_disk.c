/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_disk.c: a whole disk whose volumes are its partitions. Spec: sfdisk(8), parted(8). */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/pool_priv.h"
#include "manager/xmlrule.h"

enum { ALIGN = 1 << 20 };

static const char *device_of(const struct pool *p)
{
	return xml_get(pool_root(p), "source/device/@path");
}

static int check(struct pool *p, GError **error)
{
	const char *path = xml_get(pool_root(p), "target/path");

	if (!device_of(p) || xml_next(xml_child(xml_child(pool_root(p), "source"), "device"), "device"))
		return refuse(error, MANAGER_ERR_XML, "a pool of type disk needs one <device> in its <source>");
	if (!path)
		xml_set(pool_root(p), "target/path", "/dev");
	p->target = g_strdup(path ? path : "/dev");
	return 0;
}

/* ---- the partition table ---- */

struct part {
	uint64_t start, size; /* bytes */
	const char *node;     /* borrowed from the table */
};

struct table {
	json_t *doc;	      /* owned */
	const char *label;
	uint64_t sector, first, end, disk; /* bytes */
	GArray *parts;	      /* owned: struct part, by start */
};

static void table_clear(struct table *t)
{
	json_decref(t->doc);
	if (t->parts)
		g_array_unref(t->parts);
}

static int by_start(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static uint64_t disk_size(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t n = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

	if (fd >= 0)
		close(fd);
	return MAX(n, 0);
}

static uint64_t number(const json_t *o, const char *key, uint64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (uint64_t)json_integer_value(v) : otherwise;
}

static int table_read(const char *device, struct table *t, GError **error)
{
	const char *const argv[] = { "sfdisk", "--json", "--", device, NULL };
	g_autofree char *text = NULL;
	json_t *o, *list, *item;
	size_t i;

	memset(t, 0, sizeof(*t));
	if (pool_run(argv, &text, error))
		return -1;
	t->doc = json_loads(text, 0, NULL);
	o = json_object_get(t->doc, "partitiontable");
	t->label = json_string_value(json_object_get(o, "label"));
	t->disk = disk_size(device);
	if (!t->label || !t->disk) {
		table_clear(t);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s has no partition table", device);
	}
	t->sector = number(o, "sectorsize", 512);
	t->first = MAX(number(o, "firstlba", 1) * t->sector, ALIGN);
	t->end = MIN((number(o, "lastlba", t->disk / t->sector - 1) + 1) * t->sector, t->disk);
	t->parts = g_array_new(FALSE, TRUE, sizeof(struct part));
	list = json_object_get(o, "partitions");
	json_array_foreach(list, i, item) {
		struct part part = { .start = number(item, "start", 0) * t->sector,
				     .size = number(item, "size", 0) * t->sector,
				     .node = json_string_value(json_object_get(item, "node")) };

		if (part.node && part.size)
			g_array_append_val(t->parts, part);
	}
	g_array_sort(t->parts, by_start);
	return 0;
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
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "%s has a partition table '%s', not '%s'",
			     device_of(p), t.label, format);
	table_clear(&t);
	return err;
}

static int build(struct pool *p, unsigned flags, GError **error)
{
	const char *format = xml_get(pool_root(p), "source/format/@type");
	const char *label = !strcmp(format, "unknown") || !strcmp(format, "dos") ? "msdos" : format;
	const char *const argv[] = { "parted", "--script", "--", device_of(p), "mklabel", label, NULL };
	const char *const probe[] = { "blkid", "-p", "-o", "value", "-s", "PTTYPE", "-s", "TYPE", "--", device_of(p), NULL };
	g_autofree char *found = NULL;

	if (!(flags & POOL_BUILD_OVERWRITE) && !pool_run(probe, &found, NULL) && *g_strstrip(found))
		return refuse(error, (enum manager_error)76 /* VIR_ERR_STORAGE_POOL_BUILT */,
			      "%s has '%s' already: overwrite it explicitly", device_of(p), found);
	return pool_run(argv, NULL, error);
}

static char *extent_text(const char *device, const struct part *part)
{
	return g_markup_printf_escaped("<source><device path='%s'><extent start='%" G_GUINT64_FORMAT "' end='%"
				       G_GUINT64_FORMAT "'/></device></source>", device, (guint64)part->start,
				       (guint64)(part->start + part->size));
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
	p->available = t.end > t.first + used ? t.end - t.first - used : 0;
	g_mutex_unlock(&p->lock);
	table_clear(&t);
	return 0;
}

/* ---- volumes ---- */

/* The smallest gap that is large enough, its start aligned. */
static bool find_gap(const struct table *t, uint64_t size, uint64_t *ret)
{
	uint64_t at = t->first, best = UINT64_MAX;

	for (unsigned i = 0; i <= t->parts->len; i++) {
		const struct part *next = i < t->parts->len ? &g_array_index(t->parts, struct part, i) : NULL;
		uint64_t start = (at + ALIGN - 1) / ALIGN * ALIGN, end = next ? next->start : t->end;

		if (end > start && end - start >= size && end - start < best) {
			best = end - start;
			*ret = start;
		}
		if (next)
			at = MAX(at, next->start + next->size);
	}
	return best != UINT64_MAX;
}

static int create(struct pool *p, const char *name, uint64_t capacity, uint64_t allocation, const char *format,
	char **ret_name, GError **error)
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
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s has no room for %" G_GUINT64_FORMAT " bytes in a row",
			      device_of(p), (guint64)size);
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
	return *ret_name ? 0 : refuse(error, MANAGER_ERR_OPERATION_FAILED, "the new partition is not there");
}

static int delete(struct pool *p, const struct volume *v, GError **error)
{
	size_t n = strlen(v->path);
	const char *const argv[] = { "parted", "--script", "--", device_of(p), "rm", NULL, NULL };
	const char *args[G_N_ELEMENTS(argv)];

	while (n && g_ascii_isdigit(v->path[n - 1]))
		n--;
	memcpy(args, argv, sizeof(argv));
	args[5] = v->path + n;
	return pool_run(args, NULL, error);
}

static const char *const formats[] = { "unknown", "dos", "gpt", "dvh", "mac", "bsd", "pc98", "sun", "lvm2", NULL };

const struct pool_kind pool_kind_disk = { .type = "disk", .formats = formats, .check = check, .is_active = is_active,
	.start = start, .build = build, .refresh = refresh, .create = create, .delete = delete };
