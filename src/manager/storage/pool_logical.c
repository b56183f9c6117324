/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_logical.c: a volume group of LVM whose volumes are its logical volumes. Spec: lvm(8),
 * lvmreport(7). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "manager/error.h"
#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

static const char *group_of(const struct pool *p)
{
	return xml_get(pool_root(p), "source/name");
}

/* LVM's own rule for names; lvm(8), VALID NAMES. */
static bool name_right(const char *s)
{
	return *s && *s != '-' && strlen(s) < 128 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-") ==
		       strlen(s);
}

static int check(struct pool *p, GError **error)
{
	if (!group_of(p))
		xml_set(pool_root(p), "source/name", xml_get(pool_root(p), "name"));
	if (!name_right(group_of(p)))
		return refuse(error, MANAGER_ERR_XML, "'%s' cannot be the name of a volume group",
			group_of(p));
	p->target = g_strdup_printf("/dev/%s", group_of(p));
	xml_set(pool_root(p), "target/path", p->target);
	return 0;
}

/* The rows of a report; free the document. NULL with error. */
static json_t *report(const char *const *argv, const char *what, json_t **ret_rows, GError **error)
{
	g_autofree char *text = NULL;
	json_t *doc;

	if (pool_run(argv, &text, error))
		return NULL;
	doc = json_loads(text, 0, NULL);
	*ret_rows = json_object_get(json_array_get(json_object_get(doc, "report"), 0), what);
	if (!*ret_rows) {
		json_decref(doc);
		refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s says nothing that is understood",
			argv[0]);
		return NULL;
	}
	return doc;
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

static uint64_t bytes_of(const json_t *row, const char *key)
{
	return g_ascii_strtoull(text_of(row, key), NULL, 10);
}

static json_t *groups(const char *name, json_t **ret_rows, GError **error)
{
	const char *const argv[] = { "vgs", "--reportformat", "json", "--units", "b", "--nosuffix",
		"-o", "vg_name,vg_size,vg_free,vg_uuid", name, NULL };

	return report(argv, "vg", ret_rows, error);
}

static bool is_active(struct pool *p)
{
	json_t *rows, *doc = groups(group_of(p), &rows, NULL);
	bool there = doc && json_array_size(rows);

	json_decref(doc);
	return there;
}

static int change(struct pool *p, const char *how, GError **error)
{
	const char *const argv[] = { "vgchange", how, group_of(p), NULL };

	return pool_run(argv, NULL, error);
}

static int start(struct pool *p, GError **error)
{
	if (!is_active(p))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"the host has no volume group '%s'", group_of(p));
	return change(p, "-aay", error);
}

static int stop(struct pool *p, GError **error)
{
	return change(p, "-an", error);
}

static int build(struct pool *p, unsigned flags, GError **error)
{
	xmlNode *source = xml_child(pool_root(p), "source");
	GPtrArray *argv = g_ptr_array_new();
	int err = 0;

	g_ptr_array_add(argv, "vgcreate");
	/* Signatures of other things on the devices: never without being told. */
	g_ptr_array_add(argv, flags & POOL_BUILD_OVERWRITE ? "--yes" : "--quiet");
	g_ptr_array_add(argv, (char *)group_of(p));
	for (xmlNode *d = xml_child(source, "device"); d && !err; d = xml_next(d, "device")) {
		const char *path = xml_get(d, "@path");
		const char *const pv[] = { "pvcreate",
			flags & POOL_BUILD_OVERWRITE ? "-ffy" : "--quiet", path, NULL };

		err = pool_run(pv, NULL, error);
		g_ptr_array_add(argv, (char *)path);
	}
	g_ptr_array_add(argv, NULL);
	if (!err && argv->len < 5)
		err = refuse(
			error, MANAGER_ERR_XML, "to build the pool its <source> needs <device>s");
	if (!err)
		err = pool_run((const char *const *)argv->pdata, NULL, error);
	g_ptr_array_unref(argv);
	return err;
}

static int remove_group(struct pool *p, GError **error)
{
	const char *const argv[] = { "vgremove", "-f", group_of(p), NULL };
	int err = pool_run(argv, NULL, error);

	for (xmlNode *d = xml_child(xml_child(pool_root(p), "source"), "device"); d && !err;
		d = xml_next(d, "device")) {
		const char *const pv[] = { "pvremove", "-y", xml_get(d, "@path"), NULL };

		err = pool_run(pv, NULL, error);
	}
	return err;
}

static int refresh(struct pool *p, GPtrArray *volumes, GError **error)
{
	const char *const argv[] = { "lvs", "--reportformat", "json", "--units", "b", "--nosuffix",
		"-o", "lv_name,lv_uuid,lv_size,lv_attr,origin", group_of(p), NULL };
	json_t *rows, *row, *doc = report(argv, "lv", &rows, error);
	size_t i;

	if (!doc)
		return -1;
	json_array_foreach(rows, i, row)
	{
		g_autofree char *path = g_build_filename(p->target, text_of(row, "lv_name"), NULL);
		const char *attr = text_of(row, "lv_attr");
		struct volume *v;

		/* Not those that are only parts of others: thin pools, images of mirrors. */
		if (strchr("tTiIle", attr[0]) && attr[0])
			continue;
		v = volume_new(VOLUME_BLOCK, text_of(row, "lv_name"), path);
		g_free(v->key);
		v->key = g_strdup(text_of(row, "lv_uuid"));
		v->capacity = v->allocation = v->physical = bytes_of(row, "lv_size");
		v->format = g_strdup("raw");
		if (stat(v->path, &v->st))
			memset(&v->st, 0, sizeof(v->st));
		g_ptr_array_add(volumes, v);
	}
	json_decref(doc);
	doc = groups(group_of(p), &rows, error);
	if (!doc)
		return -1;
	row = json_array_get(rows, 0);
	g_mutex_lock(&p->lock);
	p->capacity = bytes_of(row, "vg_size");
	p->available = bytes_of(row, "vg_free");
	p->allocation = p->capacity - p->available;
	g_mutex_unlock(&p->lock);
	json_decref(doc);
	return 0;
}

static int create(struct pool *p, const char *name, uint64_t capacity, uint64_t allocation,
	const char *format, char **ret_name, GError **error)
{
	g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT "b", (guint64)capacity);
	const char *const argv[] = { "lvcreate", "--yes", "--wipesignatures", "y", "--name", name,
		"-L", size, group_of(p), NULL };

	if (!name_right(name))
		return refuse(error, MANAGER_ERR_XML, "'%s' cannot be the name of a logical volume",
			name);
	if (allocation < capacity)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a logical volume has all of its room: <allocation> cannot be less than "
			"<capacity>");
	if (pool_run(argv, NULL, error))
		return -1;
	*ret_name = g_strdup(name);
	return 0;
}

static int delete (struct pool *p, const struct volume *v, GError **error)
{
	const char *const argv[] = { "lvremove", "-f", v->path, NULL };

	return pool_run(argv, NULL, error);
}

static int resize(struct pool *p, const struct volume *v, uint64_t capacity, GError **error)
{
	g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT "b", (guint64)capacity);
	const char *const argv[] = { "lvresize", "--force", "-L", size, v->path, NULL };

	return pool_run(argv, NULL, error);
}

static int sources(struct manager *m, const xmlNode *spec, xmlNode *out, GError **error)
{
	json_t *rows, *row, *doc = groups(NULL, &rows, error);
	size_t i;

	if (!doc)
		return -1;
	json_array_foreach(rows, i, row)
	{
		const char *name = text_of(row, "vg_name");
		g_autofree char *select = g_strdup_printf("vg_name=%s", name);
		const char *const argv[] = { "pvs", "--reportformat", "json", "-o", "pv_name", "-S",
			select, NULL };
		json_t *pvs, *pv, *list = report(argv, "pv", &pvs, NULL);
		xmlNode *s = xml_add(out, "source", NULL);
		size_t k;

		json_array_foreach(list ? pvs : NULL, k, pv)
			xml_set_attr(xml_add(s, "device", NULL), "path", text_of(pv, "pv_name"));
		xml_set(s, "name", name);
		xml_set(s, "format/@type", "lvm2");
		json_decref(list);
	}
	json_decref(doc);
	return 0;
}

static const char *const formats[] = { "lvm2", "unknown", NULL };

const struct pool_kind pool_kind_logical = { .type = "logical",
	.formats = formats,
	.check = check,
	.is_active = is_active,
	.start = start,
	.stop = stop,
	.build = build,
	.remove = remove_group,
	.refresh = refresh,
	.create = create,
	.delete = delete,
	.resize = resize,
	.sources = sources };
