/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secret.c: secrets. Their definitions are in the store; values are files of their own that only
 * the daemon can read, or, of ephemeral ones, in memory only.
 */
#include "manager/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/error.h"
#include "manager/event.h"
#include "manager/ids.h"
#include "manager/manager.h"
#include "manager/store.h"
#include "manager/xmlrule.h"

enum { VALUE_MAX = 65536 };
enum { EVENT_DEFINED, EVENT_UNDEFINED };

struct secret {
	struct secret_info info;
	char *xml;
	GBytes *value; /* NULL: none */
};

struct secrets {
	struct manager *manager;
	GMutex lock;
	GHashTable *by_uuid; /* GBytes of 16 -> struct secret */
	char *folder;
};

static const char *const usages[] = { "none", "volume", "ceph", "iscsi", "tls", "vtpm", NULL };
/* Below <usage>: the element that names what it is for. */
static const char *const usage_elements[] = { NULL, "volume", "name", "target", "name", "name" };

static const struct xml_rule usage_rules[] = {
	{ "@type", XML_ENUM, XML_REQUIRED, NULL, usages },
	{ "volume", XML_TEXT },
	{ "name", XML_TEXT },
	{ "target", XML_TEXT },
	{},
};
static const struct xml_rule secret_rules[] = {
	{ "@ephemeral", XML_BOOL },
	{ "@private", XML_BOOL },
	{ "uuid", XML_UUID },
	{ "description", XML_VERBATIM },
	{ "usage", XML_NOTHING, 0, usage_rules },
	{},
};
static const struct xml_rule rule = { "secret", XML_NOTHING, 0, secret_rules };

static void secret_free(void *p)
{
	struct secret *s = p;

	secret_info_clear(&s->info);
	g_free(s->xml);
	if (s->value)
		g_bytes_unref(s->value);
	g_free(s);
}

void secret_info_clear(struct secret_info *i)
{
	g_clear_pointer(&i->usage_id, g_free);
}

static void copy_info(const struct secret *s, struct secret_info *ret)
{
	*ret = s->info;
	ret->usage_id = g_strdup(s->info.usage_id);
	ret->has_value = s->value != NULL;
}

static char *value_path(const struct secrets *s, const uint8_t uuid[16])
{
	char text[37];

	uuid_format(uuid, text);
	return g_build_filename(s->folder, text, NULL);
}

/* What the definition says; one without a UUID gets one. NULL with error. */
static struct secret *parse(const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_rule_parse(xml, &rule, error);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL, *usage;
	struct secret *s;
	char text[37];

	if (!root)
		return NULL;
	s = g_new0(struct secret, 1);
	if (!xml_get(root, "uuid") || uuid_parse_text(xml_get(root, "uuid"), s->info.uuid) < 0) {
		uuid_make(s->info.uuid);
		uuid_format(s->info.uuid, text);
		xml_set(root, "uuid", text);
		if (xml_rule_check(root, &rule, error) < 0) {
			secret_free(s);
			return NULL;
		}
	}
	s->info.ephemeral = xml_get_bool(root, "@ephemeral", false);
	s->info.private = xml_get_bool(root, "@private", false);
	usage = xml_child(root, "usage");
	for (unsigned i = 0; usage && usages[i]; i++) {
		if (strcmp(xml_get(usage, "@type"), usages[i]) == 0)
			s->info.usage = i;
	}
	if (s->info.usage != SECRET_NONE) {
		s->info.usage_id = g_strdup(xml_get(usage, usage_elements[s->info.usage]));
		if (!s->info.usage_id || !*s->info.usage_id) {
			refuse(error, MANAGER_ERR_XML, "<usage type='%s'> needs a <%s>",
				usages[s->info.usage], usage_elements[s->info.usage]);
			secret_free(s);
			return NULL;
		}
	}
	s->xml = xml_format(root);
	return s;
}

static void load(const struct store_record *r, void *opaque)
{
	struct secrets *all = opaque;
	struct secret *s = r->definition ? parse(r->definition, NULL) : NULL;
	g_autofree char *path = NULL;
	char *data;
	gsize len;

	if (!s)
		return;
	path = value_path(all, s->info.uuid);
	if (g_file_get_contents(path, &data, &len, NULL))
		s->value = g_bytes_new_take(data, len);
	g_hash_table_replace(all->by_uuid, g_bytes_new(s->info.uuid, 16), s);
}

struct secrets *secrets_new(struct manager *m, GError **error)
{
	struct secrets *s = g_new0(struct secrets, 1);

	s->manager = m;
	g_mutex_init(&s->lock);
	s->folder = g_build_filename(m->paths.state, "secrets", NULL);
	s->by_uuid = g_hash_table_new_full(
		g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, secret_free);
	if (g_mkdir_with_parents(s->folder, 0700) == 0 &&
		store_each(m->store, "secret", load, s, error) == 0)
		return s;
	if (error && !*error)
		refuse(error, MANAGER_ERR_SYSTEM, "cannot make %s: %s", s->folder,
			g_strerror(errno));
	secrets_free(s);
	return NULL;
}

void secrets_free(struct secrets *s)
{
	if (!s)
		return;
	g_hash_table_unref(s->by_uuid);
	g_free(s->folder);
	g_mutex_clear(&s->lock);
	g_free(s);
}

/* Lock held. */
static struct secret *find(struct secrets *all, const uint8_t uuid[16], GError **error)
{
	g_autoptr(GBytes) key = g_bytes_new_static(uuid, 16);
	struct secret *s = g_hash_table_lookup(all->by_uuid, key);
	char text[37];

	if (!s) {
		uuid_format(uuid, text);
		refuse(error, MANAGER_ERR_NO_SECRET, "no secret %s", text);
	}
	return s;
}

static struct secret *find_usage(struct secrets *all, enum secret_usage usage, const char *id)
{
	GHashTableIter it;
	void *value;

	g_hash_table_iter_init(&it, all->by_uuid);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct secret *s = value;

		if (s->info.usage == usage && usage != SECRET_NONE &&
			strcmp(s->info.usage_id, id) == 0)
			return s;
	}
	return NULL;
}

static void tell(struct manager *m, const struct secret_info *i, int kind, int event)
{
	struct event ev = { .object = EVENT_SECRET, .kind = kind, .event = event };

	memcpy(ev.uuid, i->uuid, 16);
	uuid_format(i->uuid, ev.name);
	ev.data = json_pack(
		"{s:i, s:s}", "usageType", i->usage, "usageID", i->usage_id ? i->usage_id : "");
	event_publish(m->events, &ev);
}

/* Lock held. May the new one stand where others are? */
static int check_new(struct secrets *all, const struct secret *s, GError **error)
{
	const struct secret *old = find(all, s->info.uuid, NULL);
	const struct secret *same =
		s->info.usage ? find_usage(all, s->info.usage, s->info.usage_id) : NULL;

	if (same && same != old)
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"another secret is for %s '%s' already", usages[s->info.usage],
			s->info.usage_id);
	if (old && (old->info.usage != s->info.usage ||
			   g_strcmp0(old->info.usage_id, s->info.usage_id) != 0))
		return refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"what a secret is for cannot be changed");
	if (old && old->info.private && !s->info.private)
		return refuse(
			error, MANAGER_ERR_OPERATION_DENIED, "a private secret stays private");
	return 0;
}

/* Lock held. Ephemeral ones live in memory only. */
static int keep(struct secrets *all, const struct secret *s, GError **error)
{
	struct store_record r = { .kind = "secret", .definition = s->xml };
	char name[37];

	if (s->info.ephemeral)
		return 0;
	uuid_format(s->info.uuid, name);
	r.name = name;
	memcpy(r.uuid, s->info.uuid, 16);
	return store_put(all->manager->store, &r, error);
}

int secret_define(struct manager *m, const char *xml, struct secret_info *ret, GError **error)
{
	struct secrets *all = m->secrets;
	struct secret *s = parse(xml, error), *old;
	int rc;

	if (!s)
		return -1;
	g_mutex_lock(&all->lock);
	rc = check_new(all, s, error);
	if (rc == 0)
		rc = keep(all, s, error);
	if (rc == 0) {
		old = find(all, s->info.uuid, NULL);
		s->value = old ? g_steal_pointer(&old->value) : NULL;
		copy_info(s, ret);
		g_hash_table_replace(all->by_uuid, g_bytes_new(s->info.uuid, 16), s);
	}
	g_mutex_unlock(&all->lock);
	if (rc < 0)
		secret_free(s);
	else
		tell(m, ret, 0, EVENT_DEFINED);
	return rc;
}

int secret_undefine(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct secrets *all = m->secrets;
	struct secret_info info = {};
	g_autoptr(GBytes) key = g_bytes_new(uuid, 16);
	struct secret *s;
	int rc = -1;

	g_mutex_lock(&all->lock);
	s = find(all, uuid, error);
	if (s) {
		copy_info(s, &info);
		rc = s->info.ephemeral ? 0 : store_remove(m->store, "secret", uuid, error);
	}
	if (rc == 0) {
		g_autofree char *path = value_path(all, uuid);

		g_unlink(path);
		g_hash_table_remove(all->by_uuid, key);
	}
	g_mutex_unlock(&all->lock);
	if (rc == 0)
		tell(m, &info, 0, EVENT_UNDEFINED);
	secret_info_clear(&info);
	return rc;
}

int secret_find(struct manager *m, const uint8_t uuid[16], struct secret_info *ret, GError **error)
{
	struct secret *s;

	g_mutex_lock(&m->secrets->lock);
	s = find(m->secrets, uuid, error);
	if (s)
		copy_info(s, ret);
	g_mutex_unlock(&m->secrets->lock);
	return s ? 0 : -1;
}

int secret_find_usage(struct manager *m, enum secret_usage usage, const char *id,
	struct secret_info *ret, GError **error)
{
	struct secret *s;

	g_mutex_lock(&m->secrets->lock);
	s = find_usage(m->secrets, usage, id);
	if (s)
		copy_info(s, ret);
	g_mutex_unlock(&m->secrets->lock);
	return s ? 0 : refuse(error, MANAGER_ERR_NO_SECRET, "no secret for '%s'", id);
}

char *secret_xml(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct secret *s;
	char *xml;

	g_mutex_lock(&m->secrets->lock);
	s = find(m->secrets, uuid, error);
	xml = s ? g_strdup(s->xml) : NULL;
	g_mutex_unlock(&m->secrets->lock);
	return xml;
}

int secret_set_value(
	struct manager *m, const uint8_t uuid[16], const void *value, size_t len, GError **error)
{
	struct secrets *all = m->secrets;
	struct secret_info info = {};
	struct secret *s;
	int rc = -1;

	if (len > VALUE_MAX)
		return refuse(error, MANAGER_ERR_INVALID_ARG, "a secret of more than %d bytes",
			VALUE_MAX);
	g_mutex_lock(&all->lock);
	s = find(all, uuid, error);
	if (s) {
		g_autofree char *path = value_path(all, uuid);

		rc = s->info.ephemeral || g_file_set_contents_full(path, value, (gssize)len,
						  G_FILE_SET_CONTENTS_CONSISTENT |
							  G_FILE_SET_CONTENTS_DURABLE,
						  0600, error)
			     ? 0
			     : -1;
	}
	if (rc == 0) {
		if (s->value)
			g_bytes_unref(s->value);
		s->value = g_bytes_new(value, len);
		copy_info(s, &info);
	}
	g_mutex_unlock(&all->lock);
	if (rc == 0)
		tell(m, &info, 1, 0);
	secret_info_clear(&info);
	return rc;
}

GBytes *secret_value(struct manager *m, const uint8_t uuid[16], bool for_client, GError **error)
{
	GBytes *value = NULL;
	struct secret *s;

	g_mutex_lock(&m->secrets->lock);
	s = find(m->secrets, uuid, error);
	if (s && s->info.private && for_client)
		refuse(error, MANAGER_ERR_OPERATION_DENIED, "the secret is private");
	else if (s && !s->value)
		refuse(error, MANAGER_ERR_NO_SECRET, "the secret has no value yet");
	else if (s)
		value = g_bytes_ref(s->value);
	g_mutex_unlock(&m->secrets->lock);
	return value;
}

static void info_free(void *p)
{
	secret_info_clear(p);
	g_free(p);
}

GPtrArray *secrets_list(struct manager *m)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(info_free);
	GHashTableIter it;
	void *value;

	g_mutex_lock(&m->secrets->lock);
	g_hash_table_iter_init(&it, m->secrets->by_uuid);
	while (g_hash_table_iter_next(&it, NULL, &value)) {
		struct secret_info *i = g_new0(struct secret_info, 1);

		copy_info(value, i);
		g_ptr_array_add(list, i);
	}
	g_mutex_unlock(&m->secrets->lock);
	return list;
}
