/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_snapshot.c: snapshots of machines. Spec: libvirt.org, Snapshot XML format.
 *
 * The images are changed first, then the store: a crash between the two leaves a snapshot in the
 * images that nobody knows, never one that is known and not there.
 */
#include "manager/domain/domain_snapshot.h"

#include <string.h>

#include "base/log.h"
#include "image/image.h"
#include "image/snapshot.h"
#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/xml.h"

void domain_snapshot_unref(struct domain_snapshot *s)
{
	if (!s || !g_atomic_int_dec_and_test(&s->refs))
		return;
	g_free(s->name);
	g_free(s->parent);
	g_free(s->xml);
	g_free(s);
}

static struct domain_snapshot *ref(struct domain_snapshot *s)
{
	g_atomic_int_inc(&s->refs);
	return s;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return strcmp((*(struct domain_snapshot *const *)a)->name,
		(*(struct domain_snapshot *const *)b)->name);
}

GPtrArray *domain_snapshots(struct domain *d)
{
	GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)domain_snapshot_unref);

	g_mutex_lock(&d->lock);
	for (guint i = 0; d->snapshots && i < d->snapshots->len; i++)
		g_ptr_array_add(all, ref(g_ptr_array_index(d->snapshots, i)));
	g_mutex_unlock(&d->lock);
	g_ptr_array_sort(all, by_name);
	return all;
}

bool domain_has_snapshots(struct domain *d)
{
	bool has;

	g_mutex_lock(&d->lock);
	has = d->snapshots && d->snapshots->len;
	g_mutex_unlock(&d->lock);
	return has;
}

struct domain_snapshot *domain_snapshot_find(struct domain *d, const char *name, GError **error)
{
	g_autoptr(GPtrArray) all = domain_snapshots(d);

	for (guint i = 0; i < all->len; i++) {
		struct domain_snapshot *s = g_ptr_array_index(all, i);

		if (name ? strcmp(s->name, name) == 0 : s->current)
			return ref(s);
	}
	refuse(error, MANAGER_ERR_NO_SNAPSHOT,
		name ? "no domain snapshot with matching name '%s'"
		     : "the domain does not have a current snapshot%s",
		name ? name : "");
	return NULL;
}

bool domain_snapshot_has_children(const GPtrArray *all, const char *name)
{
	for (guint i = 0; i < all->len; i++) {
		if (g_strcmp0(((struct domain_snapshot *)g_ptr_array_index(all, i))->parent,
			    name) == 0)
			return true;
	}
	return false;
}

/* ---- the store ---- */

static int keep(struct domain *d, const struct domain_snapshot *s, GError **error)
{
	struct store_record r = { .kind = "snapshot",
		.name = s->name,
		.definition = s->xml,
		.status = s->current ? "current" : NULL };

	memcpy(r.uuid, s->uuid, 16);
	memcpy(r.parent, d->uuid, 16);
	return store_put(d->manager->store, &r, error);
}

static struct domain_snapshot *of_document(const char *name, xmlNode *root)
{
	struct domain_snapshot *s = g_new0(struct domain_snapshot, 1);
	const xmlNode *parent = xml_child(root, "parent");

	s->refs = 1;
	s->name = g_strdup(name);
	s->parent = parent ? xml_child_text(parent, "name") : NULL;
	s->xml = xml_format(root);
	return s;
}

/* Takes s. */
static void enter(struct domain *d, struct domain_snapshot *s)
{
	g_mutex_lock(&d->lock);
	if (!d->snapshots)
		d->snapshots =
			g_ptr_array_new_with_free_func((GDestroyNotify)domain_snapshot_unref);
	g_ptr_array_add(d->snapshots, s);
	g_mutex_unlock(&d->lock);
}

static void load_one(const struct store_record *r, void *opaque)
{
	struct domain *d = domain_find_uuid(opaque, r->parent, NULL);
	g_autoptr(xmlDoc) doc = d ? xml_parse(r->definition, "domainsnapshot", NULL) : NULL;
	struct domain_snapshot *s;

	if (doc) {
		s = of_document(r->name, xmlDocGetRootElement(doc));
		memcpy(s->uuid, r->uuid, 16);
		s->current = r->status != NULL;
		enter(d, s);
	}
	domain_unref(d);
}

int domain_snapshots_load(struct manager *m, GError **error)
{
	return store_each(m->store, "snapshot", load_one, m, error);
}

/* s, or none, is the current one: in memory and on the disk. */
static int make_current(struct domain *d, struct domain_snapshot *s, GError **error)
{
	g_autoptr(GPtrArray) all = domain_snapshots(d);

	for (guint i = 0; i < all->len; i++) {
		struct domain_snapshot *o = g_ptr_array_index(all, i);
		bool now = o == s;

		if (o->current == now)
			continue;
		o->current = now;
		if (keep(d, o, error) < 0)
			return -1;
	}
	return 0;
}

/* ---- the images ---- */

typedef int image_step(
	struct image *im, const struct image_snapshot_ops *ops, const char *name, GError **error);

static int step_create(
	struct image *im, const struct image_snapshot_ops *ops, const char *name, GError **error)
{
	struct image_snapshot s = { .disk_size = image_size(im), .date = g_get_real_time() };

	g_strlcpy(s.name, name, sizeof(s.name));
	return ops->create(im, &s, error);
}

static int step_apply(
	struct image *im, const struct image_snapshot_ops *ops, const char *name, GError **error)
{
	return ops->apply(im, name, error);
}

static int step_remove(
	struct image *im, const struct image_snapshot_ops *ops, const char *name, GError **error)
{
	return ops->remove(im, name, error);
}

static int on_image(struct domain *d, const struct config_device *k, image_step *step,
	const char *name, GError **error)
{
	g_autofree char *volume = NULL;
	struct image_options o = { .format = k->disk.format, .queues = 1 };
	const struct image_snapshot_ops *ops;
	struct image *im;
	int rc;

	if (domain_disk_path(d, &k->disk, &volume, error) < 0)
		return -1;
	o.path = volume ? volume : k->disk.path;
	im = image_open(&o, error);
	if (!im)
		return -1;
	ops = image_snapshots(im);
	rc = ops ? step(im, ops, name, error)
		 : refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			   "disk '%s': format %s has no snapshots inside; qcow2 has",
			   k->disk.target, k->disk.format);
	image_close(im);
	return rc;
}

/* All writable disks; `undo` those done if one fails (NULL: go on and tell the first error). */
static int on_images(
	struct domain *d, image_step *step, image_step *undo, const char *name, GError **error)
{
	struct domain_config *c = domain_config_for(d, AFFECT_CONFIG, error);
	int rc = 0;

	for (guint i = 0; c && i < c->devices->len; i++) {
		const struct config_device *k = g_ptr_array_index(c->devices, i);

		if (k->kind != DEVICE_DISK || k->disk.readonly || k->slot < 0)
			continue;
		if (on_image(d, k, step, name, rc < 0 ? NULL : error) == 0)
			continue;
		rc = -1;
		for (guint j = 0; undo && j < i; j++) {
			k = g_ptr_array_index(c->devices, j);
			if (k->kind == DEVICE_DISK && !k->disk.readonly && k->slot >= 0)
				on_image(d, k, undo, name, NULL);
		}
		if (undo)
			break;
	}
	domain_config_unref(c);
	return c ? rc : -1;
}

/* ---- making ---- */

static int refuse_kind(struct domain *d, const xmlNode *root, unsigned flags, GError **error)
{
	const xmlNode *disks = xml_child(root, "disks");

	if (flags & ~(unsigned)(SNAPSHOT_REDEFINE | SNAPSHOT_CURRENT | SNAPSHOT_NO_METADATA |
				SNAPSHOT_HALT | SNAPSHOT_ATOMIC | SNAPSHOT_VALIDATE |
				SNAPSHOT_DISK_ONLY))
		return refuse(
			error, MANAGER_ERR_ARGUMENT_UNSUPPORTED, "unsupported flags 0x%x", flags);
	if (flags & SNAPSHOT_REDEFINE)
		return 0;
	for (const xmlNode *k = disks ? xml_child(disks, "disk") : NULL; k;
		k = xml_next(k, "disk")) {
		if (g_strcmp0(xml_attr(k, "snapshot"), "external") == 0)
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"external snapshots: Lodge does not have them yet");
	}
	if (flags & SNAPSHOT_DISK_ONLY)
		return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"disk-only (external) snapshots: Lodge does not have them yet");
	if (domain_is_active(d))
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"snapshots of a running machine: Lodge "
			"does not have them yet; shut it down, or save it");
	return 0;
}

/* What a client leaves out. */
static int complete(struct domain *d, xmlNode *root, char **ret_name, GError **error)
{
	struct domain_snapshot *current = domain_snapshot_find(d, NULL, NULL);
	g_autofree char *name = xml_child_text(root, "name"), *now = NULL;
	g_autoptr(xmlDoc) own = NULL;

	now = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / G_USEC_PER_SEC);
	if (!name)
		xml_add(root, "name", name = g_strdup(now));
	xml_remove_child(root, "state");
	xml_add(root, "state", "shutoff");
	xml_remove_child(root, "creationTime");
	xml_add(root, "creationTime", now);
	xml_remove_child(root, "parent");
	if (current)
		xml_add(xml_add(root, "parent", NULL), "name", current->name);
	domain_snapshot_unref(current);
	xml_remove_child(root, "memory");
	xml_set_attr(xml_add(root, "memory", NULL), "snapshot", "no");
	xml_remove_child(root, "domain");
	own = xml_parse(d->config->xml, "domain", error);
	if (!own)
		return -1;
	xmlAddChild(root, xmlDocCopyNode(xmlDocGetRootElement(own), root->doc, 1));
	*ret_name = g_steal_pointer(&name);
	return xml_check_text(*ret_name, "the snapshot's name", 255, error);
}

static int create(struct domain *d, xmlNode *root, unsigned flags, struct domain_snapshot **ret,
	GError **error)
{
	g_autofree char *name = NULL;
	struct domain_snapshot *s, *old;

	if (flags & SNAPSHOT_REDEFINE) {
		name = xml_child_text(root, "name");
		if (!name)
			return refuse(error, MANAGER_ERR_XML, "<name> of the snapshot is missing");
	} else if (complete(d, root, &name, error) < 0) {
		return -1;
	}
	old = domain_snapshot_find(d, name, NULL);
	if (old && !(flags & SNAPSHOT_REDEFINE)) {
		domain_snapshot_unref(old);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"domain snapshot %s already exists", name);
	}
	if (!(flags & SNAPSHOT_REDEFINE) && on_images(d, step_create, step_remove, name, error) < 0)
		return -1;
	s = of_document(name, root);
	uuid_make(s->uuid);
	if (old)
		memcpy(s->uuid, old->uuid, 16);
	if (!(flags & SNAPSHOT_NO_METADATA) && keep(d, s, error) < 0) {
		if (!(flags & SNAPSHOT_REDEFINE))
			on_images(d, step_remove, NULL, name, NULL);
		domain_snapshot_unref(old);
		domain_snapshot_unref(s);
		return -1;
	}
	*ret = ref(s);
	g_mutex_lock(&d->lock);
	if (old && d->snapshots)
		g_ptr_array_remove(d->snapshots, old);
	g_mutex_unlock(&d->lock);
	domain_snapshot_unref(old);
	if (flags & SNAPSHOT_NO_METADATA)
		domain_snapshot_unref(s);
	else
		enter(d, s);
	return flags & SNAPSHOT_NO_METADATA ||
			       (flags & SNAPSHOT_REDEFINE && !(flags & SNAPSHOT_CURRENT))
		       ? 0
		       : make_current(d, s, error);
}

int domain_snapshot_create(struct domain *d, const char *xml, unsigned flags,
	struct domain_snapshot **ret, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "domainsnapshot", error);
	int rc;

	if (!doc || domain_job_begin(d, "snapshot", error) < 0)
		return -1;
	*ret = NULL;
	rc = refuse_kind(d, xmlDocGetRootElement(doc), flags, error);
	if (rc == 0)
		rc = create(d, xmlDocGetRootElement(doc), flags, ret, error);
	domain_job_end(d);
	if (rc < 0)
		domain_snapshot_unref(g_steal_pointer(ret));
	return rc;
}

/* ---- back, and away ---- */

/* The definition it was made of comes back too. */
static int restore_definition(struct domain *d, const struct domain_snapshot *s, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(s->xml, "domainsnapshot", error);
	xmlNode *own = doc ? xml_child(xmlDocGetRootElement(doc), "domain") : NULL;
	g_autofree char *xml = own ? xml_format(own) : NULL;
	struct domain_config *c;

	if (!xml)
		return doc ? 0 : -1;
	c = domain_config_parse(xml, 0, error);
	return c ? domain_keep(d, AFFECT_CONFIG, c, error) : -1;
}

static int revert(struct domain *d, struct domain_snapshot *s, GError **error)
{
	if (domain_is_active(d))
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"the machine runs: its disks cannot go back under it; destroy it first");
	if (restore_definition(d, s, error) < 0 ||
		on_images(d, step_apply, NULL, s->name, error) < 0)
		return -1;
	return make_current(d, s, error);
}

int domain_snapshot_revert(struct domain *d, const char *name, unsigned flags, GError **error)
{
	struct domain_snapshot *s;
	int rc;

	if (domain_job_begin(d, "revert", error) < 0)
		return -1;
	s = domain_snapshot_find(d, name, error);
	rc = s ? revert(d, s, error) : -1;
	domain_snapshot_unref(s);
	domain_job_end(d);
	if (rc == 0 && flags & (REVERT_RUNNING | REVERT_PAUSED))
		rc = domain_start(d, flags & REVERT_PAUSED ? START_PAUSED : 0, error);
	return rc;
}

static int edit_parent(
	struct domain *d, struct domain_snapshot *s, const char *parent, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(s->xml, "domainsnapshot", error);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	struct domain_snapshot *with;

	if (!root)
		return -1;
	xml_remove_child(root, "parent");
	if (parent)
		xml_add(xml_add(root, "parent", NULL), "name", parent);
	with = of_document(s->name, root);
	memcpy(with->uuid, s->uuid, 16);
	with->current = s->current;
	if (keep(d, with, error) < 0) {
		domain_snapshot_unref(with);
		return -1;
	}
	g_mutex_lock(&d->lock);
	g_ptr_array_remove(d->snapshots, s);
	g_mutex_unlock(&d->lock);
	enter(d, with);
	return 0;
}

static int remove_one(struct domain *d, struct domain_snapshot *s, unsigned flags, GError **error)
{
	if (!(flags & DELETE_METADATA_ONLY) && domain_is_active(d))
		return refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"the machine runs: a snapshot inside its "
			"images cannot be deleted yet; shut it down, or delete the metadata only");
	if (!(flags & DELETE_METADATA_ONLY) && on_images(d, step_remove, NULL, s->name, error) < 0)
		return -1;
	if (store_remove(d->manager->store, "snapshot", s->uuid, error) < 0)
		return -1;
	g_mutex_lock(&d->lock);
	g_ptr_array_remove(d->snapshots, s);
	g_mutex_unlock(&d->lock);
	return 0;
}

/* Children first. */
static int remove_tree(
	struct domain *d, struct domain_snapshot *s, unsigned flags, bool itself, GError **error)
{
	g_autoptr(GPtrArray) all = domain_snapshots(d);

	for (guint i = 0; i < all->len; i++) {
		struct domain_snapshot *o = g_ptr_array_index(all, i);

		if (g_strcmp0(o->parent, s->name) == 0 && remove_tree(d, o, flags, true, error) < 0)
			return -1;
	}
	return itself ? remove_one(d, s, flags, error) : 0;
}

/* Alone: its children become its parent's. */
static int remove_between(
	struct domain *d, struct domain_snapshot *s, unsigned flags, GError **error)
{
	g_autoptr(GPtrArray) all = domain_snapshots(d);

	if (remove_one(d, s, flags, error) < 0)
		return -1;
	for (guint i = 0; i < all->len; i++) {
		struct domain_snapshot *o = g_ptr_array_index(all, i);

		if (g_strcmp0(o->parent, s->name) == 0 && edit_parent(d, o, s->parent, error) < 0)
			return -1;
	}
	return 0;
}

int domain_snapshot_delete(struct domain *d, const char *name, unsigned flags, GError **error)
{
	struct domain_snapshot *s, *parent;
	int rc = -1;

	if (domain_job_begin(d, "delete a snapshot of", error) < 0)
		return -1;
	s = domain_snapshot_find(d, name, error);
	if (s) {
		rc = flags & (DELETE_CHILDREN | DELETE_CHILDREN_ONLY)
			     ? remove_tree(d, s, flags, !(flags & DELETE_CHILDREN_ONLY), error)
			     : remove_between(d, s, flags, error);
		parent = s->current && s->parent ? domain_snapshot_find(d, s->parent, NULL) : NULL;
		if (rc == 0 && parent && !(flags & DELETE_CHILDREN_ONLY))
			rc = make_current(d, parent, error);
		domain_snapshot_unref(parent);
	}
	domain_snapshot_unref(s);
	domain_job_end(d);
	return rc;
}

/* Within the caller's job. */
int domain_snapshots_undefine(struct domain *d, bool remove, GError **error)
{
	g_autoptr(GPtrArray) all = domain_snapshots(d);

	if (all->len && !remove)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"cannot delete inactive domain with %u snapshots", all->len);
	for (guint i = 0; i < all->len; i++) {
		if (remove_one(d, g_ptr_array_index(all, i), DELETE_METADATA_ONLY, error) < 0)
			return -1;
	}
	return 0;
}
