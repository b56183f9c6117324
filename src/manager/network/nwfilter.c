/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nwfilter.c: the table of filters. Spec: libvirt, formatnwfilter.html. */
#include "manager/network/nwfilter.h"

#include <string.h>

#include "base/log.h"
#include "manager/error.h"
#include "manager/manager.h"
#include "manager/network/network.h"
#include "manager/store.h"
#include "manager/xmlrule.h"

struct nwfilter {
	gint refs;
	char *name; /* owned */
	uint8_t uuid[16];
	xmlDoc *doc;  /* owned */
	bool builtin; /* not in the store */
};

struct nwfilters {
	struct manager *manager;
	GMutex work;    /* around a change as a whole */
	GMutex lock;    /* around the table */
	GPtrArray *all; /* owned: struct nwfilter, each with a reference */
};

static const char *const actions[] = { "drop", "accept", "reject", "continue", "return", NULL };
static const char *const directions[] = { "in", "out", "inout", NULL };

static const struct xml_rule parameter[] = { { "@name", XML_TEXT, XML_REQUIRED },
	{ "@value", XML_TEXT, XML_REQUIRED }, { NULL } };
static const struct xml_rule filterref[] = { { "@filter", XML_NAME, XML_REQUIRED },
	{ "parameter", XML_NOTHING, XML_MANY, parameter }, { NULL } };
/* What a protocol's element may have is nwfilter_rules.c's; here only that they are protocols. */
static const struct xml_rule rule[] = { { "@action", XML_ENUM, XML_REQUIRED, .choices = actions },
	{ "@direction", XML_ENUM, XML_REQUIRED, .choices = directions }, { "@priority", XML_TEXT },
	{ "@statematch", XML_TEXT },
#define P(name)                                                                                    \
	{                                                                                          \
		name, XML_VERBATIM, XML_MANY                                                       \
	}
	P("mac"), P("vlan"), P("stp"), P("arp"), P("rarp"), P("ip"), P("ipv6"), P("tcp"), P("udp"),
	P("sctp"), P("icmp"), P("igmp"), P("all"), P("esp"), P("ah"), P("udplite"), P("tcp-ipv6"),
	P("udp-ipv6"), P("sctp-ipv6"), P("icmpv6"), P("all-ipv6"), P("esp-ipv6"), P("ah-ipv6"),
	P("udplite-ipv6"),
#undef P
	{ NULL } };
static const struct xml_rule filter[] = { { "@name", XML_NAME, XML_REQUIRED },
	{ "@chain", XML_NAME }, { "@priority", XML_TEXT }, { "uuid", XML_UUID },
	{ "filterref", XML_NOTHING, XML_MANY, filterref }, { "rule", XML_NOTHING, XML_MANY, rule },
	{ NULL } };
static const struct xml_rule nwfilter_xml = { "filter", XML_NOTHING, 0, filter };

struct nwfilter *nwfilter_ref(struct nwfilter *f)
{
	g_atomic_int_inc(&f->refs);
	return f;
}

void nwfilter_unref(struct nwfilter *f)
{
	if (!f || !g_atomic_int_dec_and_test(&f->refs))
		return;
	xmlFreeDoc(f->doc);
	g_free(f->name);
	g_free(f);
}

const char *nwfilter_name(const struct nwfilter *f)
{
	return f->name;
}

const uint8_t *nwfilter_uuid(const struct nwfilter *f)
{
	return f->uuid;
}

xmlNode *nwfilter_root(const struct nwfilter *f)
{
	return xmlDocGetRootElement(f->doc);
}

char *nwfilter_xml_text(const struct nwfilter *f)
{
	return xml_format(nwfilter_root(f));
}

static bool priority_right(const xmlNode *n)
{
	const char *s = xml_attr(n, "priority");
	char *end;
	gint64 v = s ? g_ascii_strtoll(s, &end, 10) : 0;

	return !s || (*s && !*end && v >= -1000 && v <= 1000);
}

/* uuid NULL: its own or a new one. */
static struct nwfilter *filter_new(const char *xml, const uint8_t *uuid, GError **error)
{
	xmlDoc *doc = xml_rule_parse(xml, &nwfilter_xml, error);
	struct nwfilter *f;
	xmlNode *root;
	char text[37];
	bool right;

	if (!doc)
		return NULL;
	f = g_new0(struct nwfilter, 1);
	f->refs = 1;
	f->doc = doc;
	root = nwfilter_root(f);
	f->name = g_strdup(xml_attr(root, "name"));
	if (!xml_attr(root, "chain"))
		xml_set_attr(root, "chain", "root");
	if (xml_get(root, "uuid"))
		uuid_parse_text(xml_get(root, "uuid"), f->uuid);
	else if (uuid)
		memcpy(f->uuid, uuid, 16);
	else
		uuid_make(f->uuid);
	uuid_format(f->uuid, text);
	xml_set(root, "uuid", text);
	right = priority_right(root);
	for (const xmlNode *n = xml_child(root, "rule"); n; n = xml_next(n, "rule"))
		right &= priority_right(n);
	if (!right)
		refuse(error, MANAGER_ERR_XML, "a filter's priority is -1000 to 1000");
	if (!right || xml_rule_check(root, &nwfilter_xml, error) || nwfilter_check(f, error)) {
		nwfilter_unref(f);
		return NULL;
	}
	return f;
}

/* ---- the table ---- */

/* With `lock` held. */
static struct nwfilter *by_name(struct nwfilters *t, const char *name)
{
	for (unsigned i = 0; i < t->all->len; i++) {
		struct nwfilter *f = t->all->pdata[i];

		if (!strcmp(f->name, name))
			return f;
	}
	return NULL;
}

struct nwfilter *nwfilter_find_name(struct manager *m, const char *name, GError **error)
{
	struct nwfilter *f;

	g_mutex_lock(&m->nwfilters->lock);
	f = by_name(m->nwfilters, name);
	if (f)
		nwfilter_ref(f);
	g_mutex_unlock(&m->nwfilters->lock);
	if (!f)
		refuse(error, MANAGER_ERR_NO_NWFILTER, "no filter is called '%.200s'", name);
	return f;
}

struct nwfilter *nwfilter_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct nwfilters *t = m->nwfilters;
	struct nwfilter *found = NULL;

	g_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->all->len && !found; i++) {
		struct nwfilter *f = t->all->pdata[i];

		if (!memcmp(f->uuid, uuid, 16))
			found = nwfilter_ref(f);
	}
	g_mutex_unlock(&t->lock);
	if (!found)
		refuse(error, MANAGER_ERR_NO_NWFILTER, "no filter has that uuid");
	return found;
}

GPtrArray *nwfilters_list(struct manager *m)
{
	GPtrArray *out = g_ptr_array_new_with_free_func((GDestroyNotify)nwfilter_unref);

	g_mutex_lock(&m->nwfilters->lock);
	for (unsigned i = 0; i < m->nwfilters->all->len; i++)
		g_ptr_array_add(out, nwfilter_ref(m->nwfilters->all->pdata[i]));
	g_mutex_unlock(&m->nwfilters->lock);
	return out;
}

/* Takes f; in the place of one with its name. Returns the one that went, the caller's. */
static struct nwfilter *exchange(struct nwfilters *t, const char *name, struct nwfilter *f)
{
	struct nwfilter *old;

	g_mutex_lock(&t->lock);
	old = by_name(t, name);
	if (old) {
		nwfilter_ref(old);
		g_ptr_array_remove(t->all, old);
	}
	if (f)
		g_ptr_array_add(t->all, f);
	g_mutex_unlock(&t->lock);
	return old;
}

static int keep(struct nwfilters *t, const struct nwfilter *f, GError **error)
{
	g_autofree char *xml = nwfilter_xml_text(f);
	struct store_record r = { .kind = "nwfilter", .name = f->name, .definition = xml };

	memcpy(r.uuid, f->uuid, 16);
	return store_put(t->manager->store, &r, error);
}

/* Would the definition, in its place, refer to itself? */
static bool reaches(struct nwfilters *t, const struct nwfilter *f, const char *name, unsigned depth)
{
	for (const xmlNode *n = xml_child(nwfilter_root(f), "filterref"); n;
		n = xml_next(n, "filterref")) {
		struct nwfilter *o;
		bool found;

		if (depth > 32 || !strcmp(xml_attr(n, "filter"), name))
			return true;
		o = nwfilter_find_name(t->manager, xml_attr(n, "filter"), NULL);
		found = o && reaches(t, o, name, depth + 1);
		nwfilter_unref(o);
		if (found)
			return true;
	}
	return false;
}

static int refs_exist(struct nwfilters *t, const struct nwfilter *f, GError **error)
{
	for (const xmlNode *n = xml_child(nwfilter_root(f), "filterref"); n;
		n = xml_next(n, "filterref")) {
		struct nwfilter *o = nwfilter_find_name(t->manager, xml_attr(n, "filter"), error);

		if (!o)
			return -1;
		nwfilter_unref(o);
	}
	return 0;
}

struct nwfilter *nwfilter_define(struct manager *m, const char *xml, bool only_new, GError **error)
{
	struct nwfilters *t = m->nwfilters;
	struct nwfilter *f, *old, *there;
	int err;

	g_mutex_lock(&t->work);
	f = filter_new(xml, NULL, error);
	there = f ? nwfilter_find_name(m, f->name, NULL) : NULL;
	if (f && there && !strstr(xml, "<uuid")) { /* without one, it is that filter's */
		uint8_t uuid[16];

		memcpy(uuid, there->uuid, 16);
		nwfilter_unref(f);
		f = filter_new(xml, uuid, error);
	}
	err = !f;
	if (!err && there && only_new)
		err = refuse(error, MANAGER_ERR_OPERATION_FAILED, "there is a filter '%s' already",
			f->name);
	if (!err && there && memcmp(there->uuid, f->uuid, 16))
		err = refuse(error, MANAGER_ERR_OPERATION_FAILED, "filter '%s' has another uuid",
			f->name);
	if (!err && !there) {
		struct nwfilter *o = nwfilter_find_uuid(m, f->uuid, NULL);

		if (o)
			err = refuse(error, MANAGER_ERR_OPERATION_FAILED,
				"filter '%s' has that uuid", o->name);
		nwfilter_unref(o);
	}
	if (!err && reaches(t, f, f->name, 0))
		err = refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"filter '%s' would refer to itself", f->name);
	if (!err)
		err = refs_exist(t, f, error);
	if (!err) {
		old = exchange(t, f->name, nwfilter_ref(f));
		if (network_filters_changed(m, error) || keep(t, f, error)) {
			err = -1;
			nwfilter_unref(exchange(t, f->name, old ? nwfilter_ref(old) : NULL));
			network_filters_changed(m, NULL);
		}
		nwfilter_unref(old);
	}
	nwfilter_unref(there);
	if (err) {
		nwfilter_unref(f);
		f = NULL;
	}
	g_mutex_unlock(&t->work);
	return f;
}

static int check_unused(struct manager *m, const struct nwfilter *f, GError **error)
{
	g_autoptr(GPtrArray) all = nwfilters_list(m), cards = network_bindings(m);

	for (unsigned i = 0; i < all->len; i++) {
		const xmlNode *root = nwfilter_root(all->pdata[i]);

		for (const xmlNode *n = xml_child(root, "filterref"); n;
			n = xml_next(n, "filterref")) {
			if (!strcmp(xml_attr(n, "filter"), f->name))
				return refuse(error, MANAGER_ERR_OPERATION_INVALID,
					"filter '%s' is in use by filter '%s'", f->name,
					xml_attr(root, "name"));
		}
	}
	for (unsigned i = 0; i < cards->len; i++) {
		const struct network_binding *b = cards->pdata[i];

		if (!strcmp(b->filter, f->name))
			return refuse(error, MANAGER_ERR_OPERATION_INVALID,
				"filter '%s' is in use by %s of '%s'", f->name, b->device,
				b->owner_name);
	}
	return 0;
}

static const char *builtin_xml(const char *name)
{
	for (unsigned i = 0; nwfilter_builtins[i].name; i++) {
		if (!strcmp(nwfilter_builtins[i].name, name))
			return nwfilter_builtins[i].xml;
	}
	return NULL;
}

int nwfilter_undefine(struct manager *m, struct nwfilter *f, GError **error)
{
	struct nwfilters *t = m->nwfilters;
	int err;

	g_mutex_lock(&t->work);
	err = check_unused(m, f, error);
	if (!err && f->builtin)
		err = refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "filter '%s' is built in", f->name);
	if (!err)
		err = store_remove(m->store, "nwfilter", f->uuid, error);
	if (!err) {
		const char *xml = builtin_xml(f->name);
		struct nwfilter *b = xml ? filter_new(xml, f->uuid, NULL) : NULL;

		if (b)
			b->builtin = true;
		nwfilter_unref(exchange(t, f->name, b));
	}
	g_mutex_unlock(&t->work);
	return err;
}

static void load(const struct store_record *r, void *opaque)
{
	struct nwfilters *t = opaque;
	g_autoptr(GError) why = NULL;
	struct nwfilter *f = r->definition ? filter_new(r->definition, r->uuid, &why) : NULL;

	if (f)
		nwfilter_unref(exchange(t, f->name, f));
	else
		log_warn("filter %s: kept, but not understood: %s", r->name,
			why ? why->message : "empty");
}

/* The same on every host, as clients that keep them expect of names. */
static void builtin_uuid(const char *name, uint8_t uuid[16])
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA1);
	uint8_t digest[20];
	gsize n = sizeof(digest);

	g_checksum_update(sum, (const guchar *)"lodge-nwfilter", -1);
	g_checksum_update(sum, (const guchar *)name, -1);
	g_checksum_get_digest(sum, digest, &n);
	memcpy(uuid, digest, 16);
	uuid[6] = (uuid[6] & 0x0f) | 0x50;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	g_checksum_free(sum);
}

struct nwfilters *nwfilters_new(struct manager *m, GError **error)
{
	struct nwfilters *t = g_new0(struct nwfilters, 1);

	t->manager = m;
	g_mutex_init(&t->work);
	g_mutex_init(&t->lock);
	t->all = g_ptr_array_new_with_free_func((GDestroyNotify)nwfilter_unref);
	for (unsigned i = 0; nwfilter_builtins[i].name; i++) {
		uint8_t uuid[16];
		struct nwfilter *f;

		builtin_uuid(nwfilter_builtins[i].name, uuid);
		f = filter_new(nwfilter_builtins[i].xml, uuid, error);
		if (!f) {
			nwfilters_free(t);
			return NULL;
		}
		f->builtin = true;
		g_ptr_array_add(t->all, f);
	}
	if (store_each(m->store, "nwfilter", load, t, error)) {
		nwfilters_free(t);
		return NULL;
	}
	return t;
}

void nwfilters_free(struct nwfilters *t)
{
	if (!t)
		return;
	g_ptr_array_unref(t->all);
	g_mutex_clear(&t->work);
	g_mutex_clear(&t->lock);
	g_free(t);
}
