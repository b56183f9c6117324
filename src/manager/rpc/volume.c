/* SPDX-License-Identifier: GPL-2.0-or-later */
/* volume.c: the calls for storage volumes. Spec: libvirt, libvirt-libvirt-storage.html. */
#include "manager/storage/volume.h"

#include <string.h>

#include "manager/error.h"
#include "manager/manager.h"
#include "manager/storage/pool.h"
#include "manager/rpc/stream.h"
#include "wire/libvirt/protocol.h"

enum { STREAM_SPARSE = 1, DELETE_ZEROED = 1, INFO_PHYSICAL = 1 };

static struct pool *pool_of(
	struct rpc_call *call, const struct remote_nonnull_storage_vol *v, GError **error)
{
	return pool_find_name(call->manager, v->pool, error);
}

static struct volume *of(
	struct rpc_call *call, const struct remote_nonnull_storage_vol *name, GError **error)
{
	struct pool *p = pool_of(call, name, error);
	struct volume *v = p ? volume_find(p, name->name, error) : NULL;

	pool_unref(p);
	return v;
}

/* Drops both references. */
static int give(struct pool *p, struct volume *v, struct remote_nonnull_storage_vol *ret)
{
	if (v) {
		ret->pool = g_strdup(pool_name(p));
		ret->name = g_strdup(v->name);
		ret->key = g_strdup(v->key);
	}
	pool_unref(p);
	volume_unref(v);
	return v ? 0 : -1;
}

static int lookup_name(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_lookup_by_name_args *a = args;
	struct pool *p = pool_find_uuid(call->manager, a->pool.uuid, error);
	struct volume *v = p ? volume_find(p, a->name, error) : NULL;

	return give(p, v, &((struct remote_storage_vol_lookup_by_name_ret *)ret)->vol);
}

static int lookup_key(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_lookup_by_key_args *a = args;
	struct pool *p = NULL;
	struct volume *v = volume_find_key(call->manager, a->key, &p, error);

	return give(p, v, &((struct remote_storage_vol_lookup_by_key_ret *)ret)->vol);
}

static int lookup_path(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_lookup_by_path_args *a = args;
	struct pool *p = NULL;
	struct volume *v = volume_find_path(call->manager, a->path, &p, error);

	return give(p, v, &((struct remote_storage_vol_lookup_by_path_ret *)ret)->vol);
}

static int create_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_create_xml_args *a = args;
	struct pool *p = pool_find_uuid(call->manager, a->pool.uuid, error);
	const struct volume_progress progress = { rpc_progress, call };
	struct volume *v = p ? volume_create(p, a->xml, NULL, a->flags, &progress, error) : NULL;

	return give(p, v, &((struct remote_storage_vol_create_xml_ret *)ret)->vol);
}

static int create_xml_from(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_create_xml_from_args *a = args;
	const struct volume_progress progress = { rpc_progress, call };
	struct volume *from = of(call, &a->clonevol, error), *v = NULL;
	struct pool *p = from ? pool_find_uuid(call->manager, a->pool.uuid, error) : NULL;

	if (p)
		v = volume_create(p, a->xml, from, a->flags, &progress, error);
	volume_unref(from);
	return give(p, v, &((struct remote_storage_vol_create_xml_from_ret *)ret)->vol);
}

static int delete (struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_delete_args *a = args;
	struct pool *p;
	int err;

	if (rpc_no_flags(a->flags, DELETE_ZEROED, error) < 0)
		return -1;
	p = pool_of(call, &a->vol, error);
	err = p ? volume_delete(p, a->vol.name, a->flags & DELETE_ZEROED, error) : -1;
	pool_unref(p);
	return err;
}

static int resize(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_resize_args *a = args;
	struct pool *p = pool_of(call, &a->vol, error);
	int err = p ? volume_resize(p, a->vol.name, a->capacity, a->flags, error) : -1;

	pool_unref(p);
	return err;
}

static int wipe_by(struct rpc_call *call, const struct remote_nonnull_storage_vol *vol,
	uint32_t algorithm, uint32_t flags, GError **error)
{
	const struct volume_progress progress = { rpc_progress, call };
	struct pool *p;
	int err;

	if (rpc_no_flags(flags, 0, error) < 0)
		return -1;
	p = pool_of(call, vol, error);
	err = p ? volume_wipe(p, vol->name, algorithm, &progress, error) : -1;
	pool_unref(p);
	return err;
}

static int wipe(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_wipe_args *a = args;

	return wipe_by(call, &a->vol, 0, a->flags, error);
}

static int wipe_pattern(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_wipe_pattern_args *a = args;

	return wipe_by(call, &a->vol, a->algorithm, a->flags, error);
}

static int get_info(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct remote_storage_vol_get_info_ret *r = ret;
	struct volume *v =
		of(call, &((const struct remote_storage_vol_get_info_args *)args)->vol, error);

	if (!v)
		return -1;
	r->type = v->type;
	r->capacity = v->capacity;
	r->allocation = v->allocation;
	volume_unref(v);
	return 0;
}

static int get_info_flags(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_get_info_flags_args *a = args;
	struct remote_storage_vol_get_info_flags_ret *r = ret;
	struct volume *v;

	if (rpc_no_flags(a->flags, INFO_PHYSICAL, error) < 0)
		return -1;
	v = of(call, &a->vol, error);
	if (!v)
		return -1;
	r->type = v->type;
	r->capacity = v->capacity;
	r->allocation = a->flags & INFO_PHYSICAL ? v->physical : v->allocation;
	volume_unref(v);
	return 0;
}

static int get_xml(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_get_xml_desc_args *a = args;
	struct volume *v;

	if (rpc_no_flags(a->flags, 0, error) < 0)
		return -1;
	v = of(call, &a->vol, error);
	if (!v)
		return -1;
	((struct remote_storage_vol_get_xml_desc_ret *)ret)->xml = volume_xml_text(v);
	volume_unref(v);
	return 0;
}

static int get_path(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	struct volume *v =
		of(call, &((const struct remote_storage_vol_get_path_args *)args)->vol, error);

	if (!v)
		return -1;
	((struct remote_storage_vol_get_path_ret *)ret)->name = g_strdup(v->path);
	volume_unref(v);
	return 0;
}

/* ---- its bytes ---- */

static int download(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_download_args *a = args;
	struct pool *p;
	int fd;

	if (rpc_no_flags(a->flags, STREAM_SPARSE, error) < 0)
		return -1;
	p = pool_of(call, &a->vol, error);
	fd = p ? volume_open(p, a->vol.name, false, error) : -1;
	pool_unref(p);
	return fd < 0 ? -1
		      : rpc_stream_download(call, fd, a->offset, a->length,
				a->flags & STREAM_SPARSE, NULL, NULL, error);
}

struct upload {
	struct pool *pool;
	char *name;
};

static void uploaded(void *opaque, bool finished)
{
	struct upload *u = opaque;

	volume_changed(u->pool, u->name);
	pool_unref(u->pool);
	g_free(u->name);
	g_free(u);
}

static int upload(struct rpc_call *call, const void *args, void *ret, GError **error)
{
	const struct remote_storage_vol_upload_args *a = args;
	struct upload *u;
	struct pool *p;
	int fd;

	if (rpc_no_flags(a->flags, STREAM_SPARSE, error) < 0)
		return -1;
	p = pool_of(call, &a->vol, error);
	fd = p ? volume_open(p, a->vol.name, true, error) : -1;
	if (fd < 0) {
		pool_unref(p);
		return -1;
	}
	u = g_new0(struct upload, 1);
	u->pool = p;
	u->name = g_strdup(a->vol.name);
	if (!rpc_stream_upload(
		    call, fd, a->offset, a->length, a->flags & STREAM_SPARSE, uploaded, u, error))
		return 0;
	pool_unref(u->pool);
	g_free(u->name);
	g_free(u);
	return -1;
}

const struct rpc_procedure rpc_volume_procedures[] = {
	{ REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_NAME, lookup_name, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_KEY, lookup_key, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_PATH, lookup_path, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_CREATE_XML, create_xml, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_CREATE_XML_FROM, create_xml_from, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_DELETE, delete, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_RESIZE, resize, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_WIPE, wipe, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_WIPE_PATTERN, wipe_pattern, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_GET_INFO, get_info, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_GET_INFO_FLAGS, get_info_flags, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_GET_XML_DESC, get_xml, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_GET_PATH, get_path, ROLE_READ },
	{ REMOTE_PROC_STORAGE_VOL_DOWNLOAD, download, ROLE_OPERATE },
	{ REMOTE_PROC_STORAGE_VOL_UPLOAD, upload, ROLE_OPERATE },
	{},
};
