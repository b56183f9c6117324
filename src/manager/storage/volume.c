/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.c: volumes as clients see and change them. Making them: volume_create.c. */
#include "manager/storage/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"
#include "image/spec.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/storage/pool_priv.h"
#include "manager/storage/volume_priv.h"
#include "manager/xmlrule.h"

/* ---- looking up ---- */

/* With `lock` held. */
static struct volume *by_name(struct pool *p, const char *name)
{
	for (unsigned i = 0; i < p->volumes->len; i++) {
		struct volume *v = p->volumes->pdata[i];

		if (!strcmp(v->name, name))
			return v;
	}
	return NULL;
}

static int no_such(GError **error, const char *what, const char *name)
{
	return refuse(
		error, MANAGER_ERR_NO_VOLUME, "no storage volume has the %s '%.300s'", what, name);
}

struct volume *volume_find(struct pool *p, const char *name, GError **error)
{
	struct volume *v;

	g_mutex_lock(&p->lock);
	v = p->active ? by_name(p, name) : NULL;
	if (v)
		volume_ref(v);
	g_mutex_unlock(&p->lock);
	if (!p->active)
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "storage pool '%s' is not active",
			p->name);
	else if (!v)
		no_such(error, "name", name);
	return v;
}

static struct volume *search(struct manager *m, const char *text, bool key, struct pool **ret_pool)
{
	g_autoptr(GPtrArray) pools = pools_list(m);
	struct volume *found = NULL;

	for (unsigned i = 0; i < pools->len && !found; i++) {
		struct pool *p = pools->pdata[i];

		g_mutex_lock(&p->lock);
		for (unsigned k = 0; p->active && k < p->volumes->len && !found; k++) {
			struct volume *v = p->volumes->pdata[k];

			if (!strcmp(key ? v->key : v->path, text))
				found = volume_ref(v);
		}
		g_mutex_unlock(&p->lock);
		if (found && ret_pool)
			*ret_pool = pool_ref(p);
	}
	return found;
}

struct volume *volume_find_key(
	struct manager *m, const char *key, struct pool **ret_pool, GError **error)
{
	struct volume *v = search(m, key, true, ret_pool);

	if (!v)
		no_such(error, "key", key);
	return v;
}

struct volume *volume_find_path(
	struct manager *m, const char *path, struct pool **ret_pool, GError **error)
{
	g_autofree char *clean = path[0] == '/' ? g_canonicalize_filename(path, "/") : NULL;
	struct volume *v = clean ? search(m, clean, false, ret_pool) : NULL;
	g_autofree char *real = NULL;

	/* The same file by another way, a link. */
	if (!v && clean) {
		char *raw = realpath(clean, NULL);

		real = g_strdup(raw);
		free(raw);
		v = real ? search(m, real, false, ret_pool) : NULL;
	}
	if (!v)
		no_such(error, "path", path);
	return v;
}

GPtrArray *volumes_list(struct pool *p, GError **error)
{
	GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)volume_unref);

	g_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->volumes->len; i++)
		g_ptr_array_add(out, volume_ref(p->volumes->pdata[i]));
	g_mutex_unlock(&p->lock);
	if (p->active)
		return out;
	g_ptr_array_unref(out);
	refuse(error, MANAGER_ERR_OPERATION_INVALID, "storage pool '%s' is not active", p->name);
	return NULL;
}

/* ---- as XML ---- */

static void put_size(xmlNode *root, const char *name, uint64_t bytes)
{
	xml_set_uint(root, name, bytes);
	xml_set_attr(xml_child(root, name), "unit", "bytes");
}

static void put_time(xmlNode *n, const char *name, const struct timespec *t)
{
	g_autofree char *text = g_strdup_printf("%lld.%09ld", (long long)t->tv_sec, t->tv_nsec);

	xml_set(n, name, text);
}

static void put_target(xmlNode *t, const struct volume *v)
{
	g_autofree char *mode = g_strdup_printf("0%o", v->st.st_mode & 07777);

	xml_set(t, "path", v->path);
	if (v->format)
		xml_set(t, "format/@type", v->format);
	xml_set(t, "permissions/mode", mode);
	xml_set_uint(t, "permissions/owner", v->st.st_uid);
	xml_set_uint(t, "permissions/group", v->st.st_gid);
	xml_add(t, "timestamps", NULL);
	put_time(xml_child(t, "timestamps"), "atime", &v->st.st_atim);
	put_time(xml_child(t, "timestamps"), "mtime", &v->st.st_mtim);
	put_time(xml_child(t, "timestamps"), "ctime", &v->st.st_ctim);
	if (!v->cluster)
		return;
	xml_set(t, "compat", v->compat_new ? "1.1" : "0.10");
	xml_set_uint(t, "clusterSize", v->cluster);
	xml_set_attr(xml_child(t, "clusterSize"), "unit", "B");
	xml_add(t, "features", NULL);
	if (v->lazy_refcounts)
		xml_add(xml_child(t, "features"), "lazy_refcounts", NULL);
	if (v->extended_l2)
		xml_add(xml_child(t, "features"), "extended_l2", NULL);
}

char *volume_xml_text(const struct volume *v)
{
	static const char *const types[] = { "file", "block", "dir" };
	g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *root = xmlNewNode(NULL, (const xmlChar *)"volume");
	g_autoptr(xmlDoc) extents = v->extents ? xml_parse(v->extents, "source", NULL) : NULL;

	xmlDocSetRootElement(doc, root);
	xml_set(root, "@type", types[v->type]);
	xml_set(root, "name", v->name);
	xml_set(root, "key", v->key);
	if (extents)
		xmlAddChild(root, xmlDocCopyNode(xmlDocGetRootElement(extents), doc, 1));
	else if (v->type == VOLUME_FILE)
		xml_add(root, "source", NULL);
	put_size(root, "capacity", v->capacity);
	put_size(root, "allocation", v->allocation);
	if (v->physical)
		put_size(root, "physical", v->physical);
	put_target(xml_add(root, "target", NULL), v);
	if (v->backing && v->backing[0] == '/') {
		xml_set(root, "backingStore/path", v->backing);
		xml_set(root, "backingStore/format/@type",
			v->backing_format ? v->backing_format : "unknown");
	}
	return xml_format(root);
}

/* ---- one volume at work ---- */

int volume_begin(struct pool *p, const char *name, GError **error)
{
	int err = 0;

	g_mutex_lock(&p->lock);
	if (!p->active)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"storage pool '%s' is not active", p->name);
	else if (!g_hash_table_add(p->busy, g_strdup(name)))
		err = refuse(error, MANAGER_ERR_RESOURCE_BUSY,
			"volume '%s' has a job at work on it", name);
	g_mutex_unlock(&p->lock);
	return err;
}

void volume_end(struct pool *p, const char *name)
{
	g_mutex_lock(&p->lock);
	g_hash_table_remove(p->busy, name);
	g_mutex_unlock(&p->lock);
}

/* One file is looked at again; of block pools all. */
struct volume *volume_look_again(struct pool *p, const char *name, bool raw)
{
	struct volume *v = NULL;

	g_mutex_lock(&p->work);
	if (!p->kind->files) {
		pool_refresh_locked(p, NULL);
		v = volume_find(p, name, NULL);
	} else {
		v = volume_probe(p->target, name, raw);
		g_mutex_lock(&p->lock);
		if (by_name(p, name))
			g_ptr_array_remove(p->volumes, by_name(p, name));
		if (v)
			g_ptr_array_add(p->volumes, volume_ref(v));
		g_mutex_unlock(&p->lock);
	}
	g_mutex_unlock(&p->work);
	return v;
}

bool volume_is_made_raw(struct pool *p, const struct volume *v)
{
	g_autoptr(GHashTable) raw = volumes_made_raw(p);
	const uint64_t *inode = g_hash_table_lookup(raw, v->name);

	return inode && *inode == v->st.st_ino;
}

/* After an upload: who may write a volume may say what it is. */
void volume_changed(struct pool *p, const char *name)
{
	struct volume *v = volume_look_again(p, name, false);

	if (v && p->kind->files && v->type == VOLUME_FILE)
		volume_set_made_raw(p, v, !strcmp(v->format, "raw"), NULL);
	volume_unref(v);
}

int volume_open(struct pool *p, const char *name, bool writable, GError **error)
{
	struct volume *v = volume_find(p, name, error);
	int fd;

	if (!v)
		return -1;
	if (v->type == VOLUME_DIR) {
		fd = refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED, "volume '%s' is a directory",
			name);
	} else {
		fd = open(v->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			refuse(error, MANAGER_ERR_SYSTEM, "%s: %s", v->path, g_strerror(errno));
	}
	volume_unref(v);
	return fd;
}

int volume_delete(struct pool *p, const char *name, bool zeroed, GError **error)
{
	struct volume *v;
	int err = 0, fd;

	if (volume_begin(p, name, error))
		return -1;
	v = volume_find(p, name, error);
	if (v && zeroed) {
		fd = volume_open(p, name, true, error);
		err = fd < 0 ? -1 : volume_overwrite(fd, 0, NULL, error);
		if (fd >= 0)
			close(fd);
	}
	if (v && !err && p->kind->files) {
		if ((v->type == VOLUME_DIR ? rmdir(v->path) : unlink(v->path)) && errno != ENOENT)
			err = refuse(
				error, MANAGER_ERR_SYSTEM, "%s: %s", v->path, g_strerror(errno));
		else if (v->type == VOLUME_FILE)
			volume_set_made_raw(p, v, false, NULL);
	} else if (v && !err) {
		g_mutex_lock(&p->work);
		err = p->kind->delete ? p->kind->delete (p, v, error)
				      : refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
						"volumes of this pool cannot be deleted");
		g_mutex_unlock(&p->work);
	}
	if (v && !err)
		volume_unref(volume_look_again(p, name, false));
	volume_unref(v);
	volume_end(p, name);
	return v && !err ? 0 : -1;
}

static int resize_file(
	struct pool *p, struct volume *v, uint64_t capacity, unsigned flags, GError **error)
{
	const char *format = volume_image_format(v->format);
	const struct image_options o = { .path = v->path, .format = format, .queues = 1 };
	const struct image_spec spec = { .size = capacity,
		.preallocation = flags & VOLUME_RESIZE_ALLOCATE ? IMAGE_PREALLOC_FALLOC
								: IMAGE_PREALLOC_OFF };
	struct image *im;
	int err;

	if (!format)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a volume of format %s cannot be resized", v->format);
	im = image_open(&o, error);
	if (!im)
		return -1;
	err = image_resize(im, capacity, &spec, error);
	if (!err)
		err = image_flush(im, error);
	image_close(im);
	return err;
}

int volume_resize(
	struct pool *p, const char *name, uint64_t capacity, unsigned flags, GError **error)
{
	struct volume *v;
	bool raw = false;
	int err = -1;

	if (flags & ~7u)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", flags);
	if (volume_begin(p, name, error))
		return -1;
	v = volume_find(p, name, error);
	if (v && flags & VOLUME_RESIZE_DELTA) {
		bool over = flags & VOLUME_RESIZE_SHRINK
				    ? __builtin_sub_overflow(
					      v->capacity, MIN(capacity, v->capacity), &capacity)
				    : __builtin_add_overflow(v->capacity, capacity, &capacity);

		if (over) {
			refuse(error, (enum manager_error)82 /* VIR_ERR_OVERFLOW */,
				"the capacity is too large");
			goto out;
		}
	}
	if (!v)
		goto out;
	capacity = (capacity + 511) & ~511ull;
	if (capacity < v->capacity && !(flags & VOLUME_RESIZE_SHRINK)) {
		refuse(error, MANAGER_ERR_INVALID_ARG,
			"volume '%s' does not become smaller without the flag to shrink", name);
	} else if (p->kind->files) {
		raw = volume_is_made_raw(p, v);
		err = resize_file(p, v, capacity, flags, error);
	} else {
		g_mutex_lock(&p->work);
		err = p->kind->resize ? p->kind->resize(p, v, capacity, error)
				      : refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
						"volumes of this pool cannot be resized");
		g_mutex_unlock(&p->work);
	}
	if (!err)
		volume_unref(volume_look_again(p, name, raw));
out:
	volume_unref(v);
	volume_end(p, name);
	return err;
}

int volume_wipe(struct pool *p, const char *name, unsigned algorithm,
	const struct volume_progress *progress, GError **error)
{
	struct volume *v;
	bool raw;
	int err = -1, fd;

	if (volume_begin(p, name, error))
		return -1;
	v = volume_find(p, name, error);
	fd = v ? volume_open(p, name, true, error) : -1;
	if (fd >= 0) {
		err = volume_overwrite(fd, algorithm, progress, error);
		close(fd);
		raw = volume_is_made_raw(p, v);
		volume_unref(volume_look_again(p, name, raw));
	}
	volume_unref(v);
	volume_end(p, name);
	return err;
}

int pool_volume_path(struct manager *m, const char *pool, const char *volume, char **ret_path,
	char **ret_format, GError **error)
{
	struct pool *p = pool_find_name(m, pool, error);
	struct volume *v = p ? volume_find(p, volume, error) : NULL;

	if (v) {
		*ret_path = g_strdup(v->path);
		*ret_format = g_strdup(v->format && volume_image_format(v->format)
					       ? volume_image_format(v->format)
					       : "raw");
	}
	pool_unref(p);
	volume_unref(v);
	return v ? 0 : -1;
}
