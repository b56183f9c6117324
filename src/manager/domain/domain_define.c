/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain_define.c: definitions of machines: kept, changed, told. */
#include <string.h>
#include <unistd.h>

#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/store.h"
#include "manager/xml.h"

/* Secrets are for those who ask for them. */
static char *without_secrets(const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "domain", error);
	xmlNode *devices;

	if (!doc)
		return NULL;
	devices = xml_child(xmlDocGetRootElement(doc), "devices");
	for (xmlNode *n = xml_child(devices, "graphics"); n; n = xml_next(n, "graphics"))
		xml_set_attr(n, "passwd", NULL);
	return xml_format(xmlDocGetRootElement(doc));
}

char *domain_xml(struct domain *d, unsigned flags, GError **error)
{
	struct domain_config *c;
	char *text;

	g_mutex_lock(&d->lock);
	c = domain_config_ref(d->live && !(flags & (DOMAIN_XML_INACTIVE | DOMAIN_XML_MIGRATABLE))
				      ? d->live
				      : d->config);
	g_mutex_unlock(&d->lock);
	text = strstr(c->xml, " passwd=") && !(flags & DOMAIN_XML_SECURE)
		       ? without_secrets(c->xml, error)
		       : g_strdup(c->xml);
	domain_config_unref(c);
	return text;
}

int domain_find_same(
	struct manager *m, const struct domain_config *c, struct domain **ret, GError **error)
{
	struct domain *by_uuid = domain_find_uuid(m, c->uuid, NULL);
	struct domain *by_name = domain_find_name(m, c->name, NULL);
	char uuid[37];
	int rc = 0;

	if (by_uuid && by_name != by_uuid) {
		uuid_format(c->uuid, uuid);
		rc = refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"domain '%s' is already defined with uuid %s", by_uuid->name, uuid);
	} else if (by_name && !by_uuid) {
		uuid_format(by_name->uuid, uuid);
		rc = refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"domain '%s' already exists with uuid %s", c->name, uuid);
	}
	domain_unref(by_name);
	if (rc == 0)
		*ret = by_uuid;
	else
		domain_unref(by_uuid);
	return rc;
}

/* Takes c. */
static int redefine(struct domain *d, struct domain_config *c, GError **error)
{
	struct domain_config *old;
	bool was_persistent;

	if (domain_job_begin(d, "define", error) < 0) {
		domain_config_unref(c);
		return -1;
	}
	g_mutex_lock(&d->lock);
	old = d->config;
	was_persistent = d->persistent;
	d->config = c;
	d->persistent = true;
	g_mutex_unlock(&d->lock);
	if (domain_store(d, error) < 0) {
		g_mutex_lock(&d->lock);
		d->config = old;
		d->persistent = was_persistent;
		g_mutex_unlock(&d->lock);
		domain_config_unref(c);
		domain_job_end(d);
		return -1;
	}
	domain_config_unref(old);
	d->updated = true;
	domain_job_end(d);
	domain_tell(d, 0, LIFE_DEFINED, was_persistent ? 1 : 0, NULL);
	return 0;
}

struct domain *domain_make(
	struct manager *m, struct domain_config *c, bool persistent, GError **error)
{
	struct domain *d = domain_new(m, c->uuid);

	d->config = c;
	d->name = g_strdup(c->name);
	d->persistent = persistent;
	if (domain_enter(d, error) < 0) {
		domain_unref(d);
		return NULL;
	}
	if (persistent && domain_store(d, error) < 0) {
		d->gone = true;
		domain_leave(d);
		domain_unref(d);
		return NULL;
	}
	return d;
}

int domain_define(struct manager *m, const char *xml, struct domain **ret, GError **error)
{
	struct domain_config *c = domain_config_parse(xml, 0, error);
	struct domain *d = NULL;

	if (!c)
		return -1;
	if (domain_find_same(m, c, &d, error) < 0) {
		domain_config_unref(c);
		return -1;
	}
	if (d && redefine(d, c, error) < 0) {
		domain_unref(d);
		return -1;
	}
	if (!d) {
		d = domain_make(m, c, true, error);
		if (!d)
			return -1;
		domain_tell(d, 0, LIFE_DEFINED, 0, NULL);
	}
	*ret = d;
	return 0;
}

static int start_as(struct domain *d, const struct domain_config *c, unsigned flags, GError **error)
{
	int rc;

	if (domain_job_begin(d, "start", error) < 0)
		return -1;
	rc = domain_is_active(d) ? refuse(error, MANAGER_ERR_OPERATION_INVALID,
					   "domain '%s' is already active", d->name)
				 : domain_launch(d, c, c->vcpus, flags & START_PAUSED, NULL, error);
	domain_job_end(d);
	return rc;
}

int domain_create_xml(
	struct manager *m, const char *xml, unsigned flags, struct domain **ret, GError **error)
{
	struct domain_config *c = domain_config_parse(xml, 0, error);
	struct domain *d = NULL;
	bool made = false;
	int rc;

	if (!c)
		return -1;
	if (domain_find_same(m, c, &d, error) < 0) {
		domain_config_unref(c);
		return -1;
	}
	if (d && domain_is_active(d)) {
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain '%s' is already active",
			c->name);
		domain_config_unref(c);
		domain_unref(d);
		return -1;
	}
	if (d) {
		/* It runs as this document says; its kept definition comes back with the next
		 * start. */
		rc = start_as(d, c, flags, error);
		domain_config_unref(c);
	} else {
		d = domain_make(m, c, false, error);
		made = true;
		rc = d ? domain_start(d, flags, error) : -1;
	}
	if (!d)
		return -1;
	if (rc == 0) {
		*ret = d;
		return 0;
	}
	if (made) {
		d->gone = true;
		domain_leave(d);
	}
	domain_unref(d);
	return -1;
}

static int drop_managed_save(struct domain *d, unsigned flags, GError **error)
{
	g_autofree char *save = domain_file(d, d->manager->paths.state, ".save");

	if (access(save, F_OK) < 0)
		return 0;
	if (!(flags & UNDEFINE_MANAGED_SAVE))
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"Refusing to undefine while domain managed save image exists");
	unlink(save);
	return 0;
}

int domain_undefine(struct domain *d, unsigned flags, GError **error)
{
	bool active;
	int rc;

	if (domain_job_begin(d, "undefine", error) < 0)
		return -1;
	if (!d->persistent)
		rc = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"cannot undefine a transient machine");
	else
		rc = domain_snapshots_undefine(d, flags & UNDEFINE_SNAPSHOTS, error) < 0
			     ? -1
			     : drop_managed_save(d, flags, error);
	if (rc < 0) {
		domain_job_end(d);
		return -1;
	}
	g_mutex_lock(&d->lock);
	active = d->live != NULL;
	d->persistent = false;
	d->autostart = false;
	g_mutex_unlock(&d->lock);
	rc = active ? domain_store(d, error)
		    : store_remove(d->manager->store, "domain", d->uuid, error);
	g_mutex_lock(&d->lock);
	if (rc < 0)
		d->persistent = true;
	else if (!active)
		d->gone = true;
	g_mutex_unlock(&d->lock);
	if (rc == 0 && !active)
		domain_leave(d);
	domain_job_end(d);
	if (rc == 0)
		domain_tell(d, 0, LIFE_UNDEFINED, 0, NULL);
	return rc;
}

static int edit_name(xmlNode *root, void *opaque, GError **error)
{
	xml_set_text(xml_child(root, "name"), opaque);
	return 0;
}

static int check_rename(struct domain *d, const char *name, GError **error)
{
	if (xml_check_text(name, "the new name", 255, error) < 0)
		return -1;
	if (domain_is_active(d))
		return refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "cannot rename a running machine");
	if (!d->persistent)
		return refuse(
			error, MANAGER_ERR_OPERATION_INVALID, "cannot rename a transient machine");
	return 0;
}

/* The name in the tables, then on the disk; back again if that fails. */
static int move_name(struct domain *d, struct domain_config *c, GError **error)
{
	struct domains *t = d->manager->domains;
	struct domain_config *old = d->config;
	char *old_name = d->name, *name = g_strdup(c->name);
	int rc = 0;

	g_mutex_lock(&t->lock);
	if (g_hash_table_contains(t->by_name, name)) {
		rc = refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"domain with name '%s' already exists", name);
	} else {
		g_hash_table_remove(t->by_name, old_name);
		g_hash_table_insert(t->by_name, name, d);
		g_mutex_lock(&d->lock);
		d->name = name;
		d->config = c;
		g_mutex_unlock(&d->lock);
	}
	g_mutex_unlock(&t->lock);
	if (rc < 0) {
		g_free(name);
		return -1;
	}
	if (domain_store(d, error) == 0) {
		g_free(old_name);
		domain_config_unref(old);
		return 0;
	}
	g_mutex_lock(&t->lock);
	g_hash_table_remove(t->by_name, name);
	g_hash_table_insert(t->by_name, old_name, d);
	g_mutex_lock(&d->lock);
	d->name = old_name;
	d->config = old;
	g_mutex_unlock(&d->lock);
	g_mutex_unlock(&t->lock);
	g_free(name);
	return -1;
}

int domain_rename(struct domain *d, const char *name, GError **error)
{
	struct domain_config *c = NULL;
	int rc;

	if (domain_job_begin(d, "rename", error) < 0)
		return -1;
	rc = check_rename(d, name, error);
	if (rc == 0)
		c = domain_config_edit(d->config, 0, edit_name, (void *)name, error);
	if (c) {
		domain_tell(d, 0, LIFE_UNDEFINED, 1, NULL);
		rc = move_name(d, c, error);
		domain_tell(d, 0, LIFE_DEFINED, 2, NULL);
	}
	if (c && rc < 0)
		domain_config_unref(c);
	domain_job_end(d);
	return c ? rc : -1;
}

int domain_set_autostart(struct domain *d, bool on, GError **error)
{
	bool before;
	int rc;

	g_mutex_lock(&d->lock);
	before = d->autostart;
	if (!d->persistent) {
		g_mutex_unlock(&d->lock);
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"cannot set autostart for transient domain");
	}
	d->autostart = on;
	g_mutex_unlock(&d->lock);
	rc = domain_store(d, error);
	if (rc < 0)
		d->autostart = before;
	return rc;
}

/* ---- which of the two configurations ---- */

int domain_affect(struct domain *d, unsigned *flags, GError **error)
{
	bool active = domain_is_active(d);

	if (!(*flags & (AFFECT_LIVE | AFFECT_CONFIG)))
		*flags |= active ? AFFECT_LIVE : AFFECT_CONFIG;
	if (*flags & AFFECT_LIVE && !active)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	if (*flags & AFFECT_CONFIG && !d->persistent)
		return refuse(error, MANAGER_ERR_OPERATION_INVALID,
			"transient domains do not have any persistent config");
	return 0;
}

struct domain_config *domain_config_for(struct domain *d, unsigned flags, GError **error)
{
	struct domain_config *c;

	g_mutex_lock(&d->lock);
	c = flags & AFFECT_LIVE ? d->live : d->config;
	if (c)
		domain_config_ref(c);
	g_mutex_unlock(&d->lock);
	if (!c)
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	return c;
}

int domain_keep(struct domain *d, unsigned flags, struct domain_config *c, GError **error)
{
	struct domain_config **at = flags & AFFECT_LIVE ? &d->live : &d->config, *old;
	int rc;

	g_mutex_lock(&d->lock);
	if (flags & AFFECT_LIVE && !d->live) {
		g_mutex_unlock(&d->lock);
		domain_config_unref(c);
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	}
	old = *at;
	*at = c;
	g_mutex_unlock(&d->lock);
	rc = flags & AFFECT_LIVE ? domain_store_status(d, error) : domain_store(d, error);
	g_mutex_lock(&d->lock);
	if (rc < 0 && *at == c) {
		*at = old;
		old = c;
	}
	g_mutex_unlock(&d->lock);
	domain_config_unref(old);
	return rc;
}

int domain_change(struct domain *d, unsigned flags, const char *kind, domain_config_editor *edit,
	void *opaque, GError **error)
{
	int rc;

	if (domain_job_begin(d, kind, error) < 0)
		return -1;
	rc = domain_affect(d, &flags, error);
	for (unsigned which = AFFECT_LIVE; rc == 0 && which <= AFFECT_CONFIG; which <<= 1) {
		struct domain_config *c, *with;

		if (!(flags & which))
			continue;
		c = domain_config_for(d, which, error);
		with = c ? domain_config_edit(
				   c, which == AFFECT_LIVE ? CONFIG_LIVE : 0, edit, opaque, error)
			 : NULL;
		rc = with ? domain_keep(d, which, with, error) : -1;
		domain_config_unref(c);
	}
	domain_job_end(d);
	return rc;
}
