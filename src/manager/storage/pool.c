/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool.c: the table of pools and their life; what each kind does is its own file's. */
#include "manager/storage/pool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/event.h"
#include "manager/manager.h"
#include "manager/storage/pool_priv.h"
#include "manager/store.h"
#include "manager/xmlrule.h"

/* virStoragePoolEventLifecycleType; of kind 0. A refresh is kind 1. */
enum {
	POOL_EV_DEFINED,
	POOL_EV_UNDEFINED,
	POOL_EV_STARTED,
	POOL_EV_STOPPED,
	POOL_EV_CREATED,
	POOL_EV_DELETED
};

const struct pool_kind *const pool_kinds[] = { &pool_kind_dir, &pool_kind_fs, &pool_kind_netfs,
	&pool_kind_logical, &pool_kind_disk, NULL };

/* ---- one pool ---- */

struct pool *pool_ref(struct pool *p)
{
	g_atomic_int_inc(&p->refs);
	return p;
}

void pool_unref(struct pool *p)
{
	if (!p || !g_atomic_int_dec_and_test(&p->refs))
		return;
	g_mutex_clear(&p->work);
	g_mutex_clear(&p->lock);
	xmlFreeDoc(p->doc);
	g_ptr_array_unref(p->volumes);
	g_hash_table_unref(p->busy);
	g_free(p->target);
	g_free(p->name);
	g_free(p);
}

const char *pool_name(const struct pool *p)
{
	return p->name;
}

const uint8_t *pool_uuid(const struct pool *p)
{
	return p->uuid;
}

static void tell(struct pool *p, int kind, int what)
{
	struct event ev = { .object = EVENT_POOL, .kind = kind, .event = what, .id = -1 };

	memcpy(ev.uuid, p->uuid, 16);
	g_strlcpy(ev.name, p->name, sizeof(ev.name));
	ev.time = g_get_real_time();
	event_publish(p->manager->events, &ev);
}

static int keep(struct pool *p, bool persistent, bool active, bool autostart, GError **error)
{
	g_autofree char *xml = xml_format(pool_root(p)), *status = NULL;
	struct store_record r = { .kind = "pool", .name = p->name, .autostart = autostart };

	memcpy(r.uuid, p->uuid, 16);
	r.definition = persistent ? xml : NULL;
	if (active) { /* a transient one's definition is in its status */
		json_t *o = json_pack("{s:b, s:s}", "active", 1, "live", persistent ? "" : xml);
		char *text = json_dumps(o, JSON_COMPACT);

		status = g_strdup(text);
		free(text);
		json_decref(o);
	}
	r.status = status;
	return store_put(p->manager->store, &r, error);
}

int pool_run(const char *const *argv, char **ret_out, GError **error)
{
	g_autofree char *out = NULL, *said = NULL;
	g_autoptr(GError) why = NULL;
	int status = 0;

	if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &said,
		    &status, &why))
		return refuse(
			error, MANAGER_ERR_SYSTEM, "cannot run %s: %s", argv[0], why->message);
	if (!g_spawn_check_wait_status(status, NULL))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED, "%s: %.400s", argv[0],
			*g_strstrip(said) ? said : "failed");
	if (ret_out)
		*ret_out = g_steal_pointer(&out);
	return 0;
}

/* ---- definitions ---- */

static const struct pool_kind *kind_of(const char *type)
{
	for (unsigned i = 0; pool_kinds[i]; i++) {
		if (!strcmp(pool_kinds[i]->type, type))
			return pool_kinds[i];
	}
	return NULL;
}

/* A pool that is in no table yet. */
static struct pool *parse(struct manager *m, const char *xml, GError **error)
{
	xmlDoc *doc = xml_rule_parse(xml, &pool_xml, error);
	struct pool *p;
	xmlNode *root;
	const char *format;
	char text[37];

	if (!doc)
		return NULL;
	p = g_new0(struct pool, 1);
	p->refs = 1;
	p->manager = m;
	p->doc = doc;
	g_mutex_init(&p->work);
	g_mutex_init(&p->lock);
	p->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)volume_unref);
	p->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	root = pool_root(p);
	p->kind = kind_of(xml_get(root, "@type"));
	if (!xml_get(root, "name") && xml_get(root, "source/name"))
		xml_set(root, "name", xml_get(root, "source/name"));
	p->name = g_strdup(xml_get(root, "name"));
	if (xml_get(root, "uuid"))
		uuid_parse_text(xml_get(root, "uuid"), p->uuid);
	else
		uuid_make(p->uuid);
	uuid_format(p->uuid, text);
	xml_set(root, "uuid", text);
	format = xml_get(root, "source/format/@type");
	if (p->kind->formats && !format)
		xml_set(root, "source/format/@type", p->kind->formats[0]);
	if (!p->name)
		refuse(error, MANAGER_ERR_XML, "the pool has no name");
	else if (format && (!p->kind->formats || !g_strv_contains(p->kind->formats, format)))
		refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
			"a pool of type %s has no format '%s'", p->kind->type, format);
	else if (p->kind->check(p, error) == 0 && xml_rule_check(root, &pool_xml, error) == 0)
		return p;
	pool_unref(p);
	return NULL;
}

/* ---- the table ---- */

/* With the table's `lock` held. */
static struct pool *by_name(struct pools *t, const char *name)
{
	for (unsigned i = 0; i < t->all->len; i++) {
		struct pool *p = t->all->pdata[i];

		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

static struct pool *by_uuid(struct pools *t, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < t->all->len; i++) {
		struct pool *p = t->all->pdata[i];

		if (!memcmp(p->uuid, uuid, 16))
			return p;
	}
	return NULL;
}

struct pool *pool_find_name(struct manager *m, const char *name, GError **error)
{
	struct pool *p;

	g_mutex_lock(&m->pools->lock);
	p = by_name(m->pools, name);
	if (p)
		pool_ref(p);
	g_mutex_unlock(&m->pools->lock);
	if (!p)
		refuse(error, MANAGER_ERR_NO_POOL, "no storage pool is called '%.200s'", name);
	return p;
}

struct pool *pool_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct pool *p;
	char text[37];

	g_mutex_lock(&m->pools->lock);
	p = by_uuid(m->pools, uuid);
	if (p)
		pool_ref(p);
	g_mutex_unlock(&m->pools->lock);
	uuid_format(uuid, text);
	if (!p)
		refuse(error, MANAGER_ERR_NO_POOL, "no storage pool has the uuid %s", text);
	return p;
}

GPtrArray *pools_list(struct manager *m)
{
	GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)pool_unref);

	g_mutex_lock(&m->pools->lock);
	for (unsigned i = 0; i < m->pools->all->len; i++)
		g_ptr_array_add(out, pool_ref(m->pools->all->pdata[i]));
	g_mutex_unlock(&m->pools->lock);
	return out;
}

struct pool *pool_find_target(struct manager *m, const char *path, GError **error)
{
	g_autoptr(GPtrArray) all = pools_list(m);
	g_autofree char *want = g_canonicalize_filename(path, "/");

	for (unsigned i = 0; i < all->len; i++) {
		struct pool *p = all->pdata[i];
		g_autofree char *have = p->target ? g_canonicalize_filename(p->target, "/") : NULL;

		if (p->active && !g_strcmp0(have, want))
			return pool_ref(p);
	}
	refuse(error, MANAGER_ERR_NO_POOL, "no active storage pool has the target '%.200s'", path);
	return NULL;
}

static void add(struct pools *t, struct pool *p)
{
	g_mutex_lock(&t->lock);
	g_ptr_array_add(t->all, pool_ref(p));
	g_mutex_unlock(&t->lock);
}

static void drop(struct pool *p)
{
	struct pools *t = p->manager->pools;

	g_mutex_lock(&t->lock);
	p->gone = true;
	g_ptr_array_remove(t->all, p);
	g_mutex_unlock(&t->lock);
}

/* What two pools cannot share: their folder, their disk or volume group. */
static const char *claim_of(const struct pool *p)
{
	xmlNode *root = pool_root(p);

	if (p->kind == &pool_kind_disk || p->kind == &pool_kind_fs)
		return xml_get(root, "source/device/@path");
	return p->kind == &pool_kind_logical ? xml_get(root, "source/name") : p->target;
}

/* *ret: the known pool that it is; NULL: a new one. With the table's `work` held. */
static int match(struct pools *t, struct pool *p, struct pool **ret, GError **error)
{
	struct pool *a = by_uuid(t, p->uuid), *b = by_name(t, p->name);
	char text[37];

	if (a && strcmp(a->name, p->name)) {
		uuid_format(p->uuid, text);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"pool '%s' has the uuid %s already", a->name, text);
	}
	if (b && b != a) {
		uuid_format(b->uuid, text);
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"pool '%s' exists already, with uuid %s", b->name, text);
	}
	for (unsigned i = 0; i < t->all->len; i++) {
		struct pool *o = t->all->pdata[i];

		if (o != a && o->kind == p->kind && !g_strcmp0(claim_of(o), claim_of(p)))
			return refuse(error, MANAGER_ERR_OPERATION_FAILED,
				"the storage of the pool is pool '%s' already", o->name);
	}
	*ret = a;
	return 0;
}

struct pool *pool_define(struct manager *m, const char *xml, GError **error)
{
	struct pools *t = m->pools;
	struct pool *p, *known = NULL;
	int err;

	g_mutex_lock(&t->work);
	p = parse(m, xml, error);
	/* Without a uuid it is the pool of that name, if there is one. */
	if (p && !strstr(xml, "<uuid") && by_name(t, p->name)) {
		char text[37];

		memcpy(p->uuid, by_name(t, p->name)->uuid, 16);
		uuid_format(p->uuid, text);
		xml_set(pool_root(p), "uuid", text);
	}
	err = p ? match(t, p, &known, error) : -1;
	if (!err && known && known->active && known->kind != p->kind)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is active", known->name);
	if (!err && known && known->active)
		err = keep(p, true, true, known->autostart, error);
	else if (!err)
		err = keep(p, true, false, known ? known->autostart : false, error);
	if (!err && known && known->active) { /* it takes hold with the next start */
		xmlDoc *old = known->doc;

		g_mutex_lock(&known->lock);
		known->persistent = true;
		known->doc = g_steal_pointer(&p->doc);
		g_mutex_unlock(&known->lock);
		xmlFreeDoc(old);
		pool_unref(p);
		p = pool_ref(known);
	} else if (!err) {
		p->persistent = true;
		p->autostart = known && known->autostart;
		if (known)
			drop(known);
		add(t, p);
	}
	if (err) {
		pool_unref(p);
		p = NULL;
	} else {
		tell(p, 0, POOL_EV_DEFINED);
	}
	g_mutex_unlock(&t->work);
	return p;
}

/* ---- life ---- */

int pool_refresh_locked(struct pool *p, GError **error)
{
	GPtrArray *fresh = g_ptr_array_new_with_free_func((GDestroyNotify)volume_unref), *old;

	if (p->kind->refresh(p, fresh, error)) {
		g_ptr_array_unref(fresh);
		return -1;
	}
	g_mutex_lock(&p->lock);
	old = p->volumes;
	p->volumes = fresh;
	g_mutex_unlock(&p->lock);
	g_ptr_array_unref(old);
	return 0;
}

/* With `work` held. */
static int activate(struct pool *p, unsigned flags, GError **error)
{
	unsigned build = flags & POOL_CREATE_WITH_BUILD_OVERWRITE      ? POOL_BUILD_OVERWRITE
			 : flags & POOL_CREATE_WITH_BUILD_NO_OVERWRITE ? POOL_BUILD_NO_OVERWRITE
								       : 0;

	if (flags & ~7u)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", flags);
	if ((flags & 6) == 6)
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"to overwrite and not to overwrite exclude each other");
	if (flags && p->kind->build && p->kind->build(p, build, error))
		return -1;
	if (p->kind->start && p->kind->start(p, error))
		return -1;
	if (pool_refresh_locked(p, error)) {
		if (p->kind->stop)
			p->kind->stop(p, NULL);
		return -1;
	}
	if (keep(p, p->persistent, true, p->autostart, error)) {
		if (p->kind->stop)
			p->kind->stop(p, NULL);
		return -1;
	}
	p->active = true;
	tell(p, 0, POOL_EV_STARTED);
	return 0;
}

struct pool *pool_create_transient(
	struct manager *m, const char *xml, unsigned flags, GError **error)
{
	struct pools *t = m->pools;
	struct pool *p, *known = NULL;
	int err;

	g_mutex_lock(&t->work);
	p = parse(m, xml, error);
	err = p ? match(t, p, &known, error) : -1;
	if (!err && known)
		err = refuse(error, MANAGER_ERR_OPERATION_FAILED, "pool '%s' exists already",
			known->name);
	if (!err)
		err = activate(p, flags, error);
	if (err) {
		pool_unref(p);
		p = NULL;
	} else {
		add(t, p);
	}
	g_mutex_unlock(&t->work);
	return p;
}

int pool_start(struct pool *p, unsigned flags, GError **error)
{
	int err;

	g_mutex_lock(&p->work);
	if (p->active || p->gone)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is active already",
			p->name);
	else
		err = activate(p, flags, error);
	g_mutex_unlock(&p->work);
	return err;
}

int pool_stop(struct pool *p, GError **error)
{
	int err = 0;

	g_mutex_lock(&p->work);
	if (!p->active)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is not active", p->name);
	else if (g_hash_table_size(p->busy))
		err = refuse(error, MANAGER_ERR_RESOURCE_BUSY,
			"pool '%s' has jobs at work on its volumes", p->name);
	else if (p->kind->stop)
		err = p->kind->stop(p, error);
	if (!err)
		err = p->persistent ? keep(p, true, false, p->autostart, error)
				    : store_remove(p->manager->store, "pool", p->uuid, error);
	if (!err) {
		g_mutex_lock(&p->lock);
		p->active = false;
		g_ptr_array_set_size(p->volumes, 0);
		g_mutex_unlock(&p->lock);
		tell(p, 0, POOL_EV_STOPPED);
		if (!p->persistent)
			drop(p);
	}
	g_mutex_unlock(&p->work);
	return err;
}

int pool_build(struct pool *p, unsigned flags, GError **error)
{
	int err;

	if (flags & ~(POOL_BUILD_OVERWRITE | POOL_BUILD_NO_OVERWRITE))
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", flags);
	if (flags == (POOL_BUILD_OVERWRITE | POOL_BUILD_NO_OVERWRITE))
		return refuse(error, MANAGER_ERR_INVALID_ARG,
			"to overwrite and not to overwrite exclude each other");
	g_mutex_lock(&p->work);
	if (p->active)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is active", p->name);
	else
		err = p->kind->build ? p->kind->build(p, flags, error) : 0;
	if (!err)
		tell(p, 0, POOL_EV_CREATED);
	g_mutex_unlock(&p->work);
	return err;
}

int pool_delete(struct pool *p, unsigned flags, GError **error)
{
	int err;

	if (flags & ~POOL_DELETE_ZEROED)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "unknown flags 0x%x", flags);
	g_mutex_lock(&p->work);
	if (p->active)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is active", p->name);
	else if (flags & POOL_DELETE_ZEROED || !p->kind->remove)
		err = refuse(error, MANAGER_ERR_OPERATION_UNSUPPORTED,
			"a pool of type %s cannot be deleted%s", p->kind->type,
			flags ? " with zeroes" : "");
	else
		err = p->kind->remove(p, error);
	if (!err)
		tell(p, 0, POOL_EV_DELETED);
	g_mutex_unlock(&p->work);
	return err;
}

int pool_undefine(struct pool *p, GError **error)
{
	int err = 0;

	g_mutex_lock(&p->work);
	if (p->active)
		err = refuse(error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is active", p->name);
	else if (p->gone || !p->persistent)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is transient", p->name);
	else
		err = store_remove(p->manager->store, "pool", p->uuid, error);
	if (!err) {
		drop(p);
		tell(p, 0, POOL_EV_UNDEFINED);
	}
	g_mutex_unlock(&p->work);
	return err;
}

int pool_refresh(struct pool *p, GError **error)
{
	int err;

	g_mutex_lock(&p->work);
	err = p->active ? pool_refresh_locked(p, error)
			: refuse(error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is not active",
				  p->name);
	if (!err)
		tell(p, 1, 0);
	g_mutex_unlock(&p->work);
	return err;
}

int pool_set_autostart(struct pool *p, bool autostart, GError **error)
{
	int err;

	g_mutex_lock(&p->work);
	if (p->gone || !p->persistent)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "pool '%s' is transient", p->name);
	else
		err = keep(p, true, p->active, autostart, error);
	if (!err)
		p->autostart = autostart;
	g_mutex_unlock(&p->work);
	return err;
}

/* ---- what clients see ---- */

void pool_info(struct pool *p, struct pool_info *ret)
{
	g_mutex_lock(&p->lock);
	*ret = (struct pool_info){ .state = p->active ? POOL_RUNNING : POOL_INACTIVE,
		.persistent = p->persistent,
		.autostart = p->autostart,
		.type = p->kind->type };
	if (p->active) {
		ret->capacity = p->capacity;
		ret->allocation = p->allocation;
		ret->available = p->available;
	}
	g_mutex_unlock(&p->lock);
}

char *pool_xml_text(struct pool *p, GError **error)
{
	static const char *const names[] = { "available", "allocation", "capacity" };
	struct pool_info i;
	g_autoptr(xmlDoc) doc = NULL;
	xmlNode *root, *after;

	pool_info(p, &i);
	g_mutex_lock(&p->lock);
	doc = xmlCopyDoc(p->doc, 1);
	g_mutex_unlock(&p->lock);
	root = xmlDocGetRootElement(doc);
	after = xml_child(root, "uuid");
	for (unsigned k = 0; k < 3; k++) {
		const uint64_t v = k == 0 ? i.available : k == 1 ? i.allocation : i.capacity;
		g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)v);
		xmlNode *n =
			xmlNewDocNode(doc, NULL, (const xmlChar *)names[k], (const xmlChar *)text);

		xml_set_attr(n, "unit", "bytes");
		xmlAddNextSibling(after, n);
	}
	if (!xml_child(root, "source"))
		xmlAddPrevSibling(xml_child(root, "target"),
			xmlNewDocNode(doc, NULL, (const xmlChar *)"source", NULL));
	return xml_format(root);
}

char *pool_find_sources(struct manager *m, const char *type, const char *spec, GError **error)
{
	const struct pool_kind *k = kind_of(type);
	g_autoptr(xmlDoc) given = spec && *spec ? xml_parse(spec, "source", error) : NULL;
	g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *root = xmlNewNode(NULL, (const xmlChar *)"sources");

	xmlDocSetRootElement(doc, root);
	if (spec && *spec && !given)
		return NULL;
	if (!k || !k->sources) {
		refuse(error, MANAGER_ERR_NO_SUPPORT,
			"sources of pools of type '%.60s' cannot be looked for", type);
		return NULL;
	}
	if (k->sources(m, given ? xmlDocGetRootElement(given) : NULL, root, error))
		return NULL;
	return xml_format(root);
}

/* ---- start and end of the daemon ---- */

/* A record of the store; nothing can be looked up in the store while it lists them. */
struct saved {
	char *name, *definition, *live; /* owned */
	bool active, autostart;
};

static void saved_free(void *p)
{
	struct saved *s = p;

	g_free(s->name);
	g_free(s->definition);
	g_free(s->live);
	g_free(s);
}

static void collect(const struct store_record *r, void *opaque)
{
	json_t *o = r->status ? json_loads(r->status, 0, NULL) : NULL;
	struct saved *s = g_new0(struct saved, 1);

	s->name = g_strdup(r->name);
	s->definition = g_strdup(r->definition);
	s->live = g_strdup(json_string_value(json_object_get(o, "live")));
	s->active = o;
	s->autostart = r->autostart;
	json_decref(o);
	g_ptr_array_add(opaque, s);
}

/* Takes up an active one where its storage is still there. */
static void load(struct manager *m, const struct saved *s)
{
	g_autoptr(GError) why = NULL;
	struct pool *p = parse(m, s->definition ? s->definition : s->live ? s->live : "", &why);

	if (!p) {
		log_warn("pool %s: kept, but not understood: %s", s->name, why->message);
		return;
	}
	p->persistent = s->definition;
	p->autostart = s->autostart;
	if (s->active)
		p->active = p->kind->is_active ? p->kind->is_active(p)
					       : g_file_test(p->target, G_FILE_TEST_IS_DIR);
	if (p->active && pool_refresh_locked(p, &why)) {
		log_warn("pool %s: %s", p->name, why->message);
		p->active = false;
	}
	if (s->active && !p->active) {
		if (p->persistent)
			keep(p, true, false, p->autostart, NULL);
		else
			store_remove(m->store, "pool", p->uuid, NULL);
	}
	if (p->active || p->persistent)
		add(m->pools, p);
	pool_unref(p);
}

static void make_default(struct manager *m)
{
	struct store_record mark = { .kind = "pool-mark", .name = "default", .definition = "made" };
	g_autofree char *path = g_build_filename(m->paths.state, "images", NULL);
	g_autofree char *full = g_canonicalize_filename(path, NULL);
	g_autofree char *xml = g_markup_printf_escaped(
		"<pool type='dir'><name>default</name><target><path>%s</path></target></pool>",
		full);
	g_autoptr(GError) why = NULL;
	struct pool *p = pool_define(m, xml, &why);

	if (!p || pool_build(p, 0, &why) || pool_set_autostart(p, true, &why))
		log_warn("the default pool: %s", why->message);
	uuid_make(mark.uuid);
	if (p)
		store_put(m->store, &mark, NULL);
	pool_unref(p);
}

static void count(const struct store_record *r, void *opaque)
{
	++*(unsigned *)opaque;
}

/* Once after each start of the host, as networks. */
static void autostart(struct manager *m)
{
	g_autofree char *stamp = g_build_filename(m->paths.run, "pools-autostarted", NULL);
	g_autoptr(GPtrArray) all = pools_list(m);

	if (!access(stamp, F_OK))
		return;
	for (unsigned i = 0; i < all->len; i++) {
		struct pool *p = all->pdata[i];
		g_autoptr(GError) why = NULL;

		if (p->autostart && !p->active && pool_start(p, 0, &why))
			log_warn("pool %s does not start: %s", p->name, why->message);
	}
	g_file_set_contents(stamp, "", 0, NULL);
}

struct pools *pools_new(struct manager *m, GError **error)
{
	g_autoptr(GPtrArray) saved = g_ptr_array_new_with_free_func(saved_free);
	struct pools *t = g_new0(struct pools, 1);
	unsigned marks = 0;

	t->manager = m;
	g_mutex_init(&t->work);
	g_mutex_init(&t->lock);
	t->all = g_ptr_array_new_with_free_func((GDestroyNotify)pool_unref);
	m->pools = t;
	if (store_each(m->store, "pool", collect, saved, error)) {
		m->pools = NULL;
		pools_free(t);
		return NULL;
	}
	for (unsigned i = 0; i < saved->len; i++)
		load(m, saved->pdata[i]);
	store_each(m->store, "pool-mark", count, &marks, NULL);
	if (!marks)
		make_default(m);
	autostart(m);
	return t;
}

void pools_free(struct pools *t)
{
	if (!t)
		return;
	g_ptr_array_unref(t->all);
	g_mutex_clear(&t->work);
	g_mutex_clear(&t->lock);
	g_free(t);
}
