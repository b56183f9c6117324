/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config.c: definitions: made, changed, searched. */
#include "manager/domain/config/config.h"

#include <stdarg.h>
#include <string.h>

#include "base/own.h"
#include "manager/domain/config/parts.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/xml.h"

const char *const iotune_names[IOTUNE_COUNT + 1] = {
	"total_bytes_sec",
	"read_bytes_sec",
	"write_bytes_sec",
	"total_iops_sec",
	"read_iops_sec",
	"write_iops_sec",
	"total_bytes_sec_max",
	"read_bytes_sec_max",
	"write_bytes_sec_max",
	"total_iops_sec_max",
	"read_iops_sec_max",
	"write_iops_sec_max",
	"size_iops_sec",
	"total_bytes_sec_max_length",
	"read_bytes_sec_max_length",
	"write_bytes_sec_max_length",
	"total_iops_sec_max_length",
	"read_iops_sec_max_length",
	"write_iops_sec_max_length",
	NULL,
};

int config_unsupported(GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED, "%s", text);
}

void config_device_free(struct config_device *d)
{
	switch (d->kind) {
	case DEVICE_DISK:
		g_free(d->disk.target);
		g_free(d->disk.path);
		g_free(d->disk.pool);
		g_free(d->disk.volume);
		g_free(d->disk.format);
		g_free(d->disk.serial);
		break;
	case DEVICE_NIC:
		g_free(d->nic.from);
		g_free(d->nic.tap);
		g_free(d->nic.filter);
		g_free(d->nic.portgroup);
		g_free(d->nic.mode);
		if (d->nic.filter_parameters)
			g_hash_table_unref(d->nic.filter_parameters);
		if (d->nic.forwards)
			g_ptr_array_unref(d->nic.forwards);
		break;
	case DEVICE_CHAR:
		g_free(d->chr.type);
		g_free(d->chr.path);
		g_free(d->chr.host);
		g_free(d->chr.service);
		g_free(d->chr.name);
		break;
	default: break;
	}
	g_free(d->alias);
	g_free(d);
}

static struct domain_config *config_new(void)
{
	struct domain_config *c = g_new0(struct domain_config, 1);

	c->refs = 1;
	c->devices = g_ptr_array_new_with_free_func((GDestroyNotify)config_device_free);
	c->tune.vcpu_pin = g_ptr_array_new_with_free_func(g_free);
	return c;
}

struct domain_config *domain_config_ref(const struct domain_config *c)
{
	struct domain_config *mine = (struct domain_config *)c;

	g_atomic_int_inc(&mine->refs);
	return mine;
}

void domain_config_unref(struct domain_config *c)
{
	if (!c || !g_atomic_int_dec_and_test(&c->refs))
		return;
	g_ptr_array_unref(c->devices);
	g_ptr_array_unref(c->tune.vcpu_pin);
	g_free(c->tune.emulator_pin);
	g_free(c->tune.cpuset);
	g_free(c->tune.nodeset);
	g_free(c->xml);
	g_free(c->name);
	g_free(c->title);
	g_free(c->description);
	g_free(c->cpu);
	g_free(c->kernel);
	g_free(c->initrd);
	g_free(c->cmdline);
	g_free(c);
}

/* Reads the tree, completing it on the way, and keeps its text. */
static struct domain_config *config_of(xmlDoc *doc, unsigned flags, GError **error)
{
	xmlNode *root = xmlDocGetRootElement(doc);
	struct domain_config *c = config_new();

	if (policy_check(root, error) < 0 || config_system(c, root, flags, error) < 0 ||
		config_tune(c, root, error) < 0 || config_devices(c, root, flags, error) < 0 ||
		config_place(c, root, error) < 0) {
		domain_config_unref(c);
		return NULL;
	}
	c->xml = xml_format(root);
	return c;
}

struct domain_config *domain_config_parse(const char *xml, unsigned flags, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, "domain", error);

	return doc ? config_of(doc, flags, error) : NULL;
}

struct domain_config *domain_config_edit(const struct domain_config *c, unsigned flags,
	domain_config_editor *edit, void *opaque, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(c->xml, "domain", error);

	if (!doc || edit(xmlDocGetRootElement(doc), opaque, error) < 0)
		return NULL;
	return config_of(doc, flags, error);
}

xmlNode *domain_config_element(xmlNode *root, const struct config_device *d)
{
	xmlNode *n = xml_first(xml_child(root, "devices"));

	for (unsigned i = 0; n && i < d->index; i++)
		n = xml_after(n);
	return n;
}

struct config_device *domain_config_disk(const struct domain_config *c, const char *name)
{
	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind == DEVICE_DISK &&
			(strcmp(d->disk.target, name) == 0 || g_strcmp0(d->disk.path, name) == 0))
			return d;
	}
	return NULL;
}

struct config_device *domain_config_nic(const struct domain_config *c, const char *name)
{
	uint8_t mac[6];
	bool is_mac = mac_parse(name, mac) == 0;

	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind == DEVICE_NIC &&
			(is_mac ? memcmp(d->nic.mac, mac, 6) == 0
				: g_strcmp0(d->nic.tap, name) == 0 || strcmp(d->alias, name) == 0))
			return d;
	}
	return NULL;
}

struct config_device *domain_config_alias(const struct domain_config *c, const char *alias)
{
	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (strcmp(d->alias, alias) == 0)
			return d;
	}
	return NULL;
}

/* ---- one device more, less, or otherwise ---- */

struct device_edit {
	const char *xml;
	const struct config_device *at; /* to be replaced or removed; NULL: a new one */
	unsigned index;                 /* out: where it is */
};

/* A copy of the device's element, for the document of root. */
static xmlNode *import(xmlNode *root, const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, NULL, error);

	return doc ? xmlDocCopyNode(xmlDocGetRootElement(doc), root->doc, 1) : NULL;
}

/* Where an element of this name goes: after the last of its kind. */
static xmlNode *last_like(xmlNode *devices, const char *name)
{
	xmlNode *last = NULL;

	for (xmlNode *n = xml_child(devices, name); n; n = xml_next(n, name))
		last = n;
	return last;
}

static int edit_add(xmlNode *root, void *opaque, GError **error)
{
	struct device_edit *e = opaque;
	xmlNode *n = import(root, e->xml, error), *devices = xml_want(root, "devices"), *after;

	if (!n)
		return -1;
	after = last_like(devices, xml_name(n));
	if (after)
		xmlAddNextSibling(after, n);
	else
		xmlAddChild(devices, n);
	for (xmlNode *i = xml_first(devices); i != n; i = xml_after(i))
		e->index++;
	return 0;
}

static int edit_remove(xmlNode *root, void *opaque, GError **error)
{
	const struct device_edit *e = opaque;

	xml_remove(domain_config_element(root, e->at));
	return 0;
}

static int edit_replace(xmlNode *root, void *opaque, GError **error)
{
	const struct device_edit *e = opaque;
	xmlNode *old = domain_config_element(root, e->at), *n = import(root, e->xml, error);

	if (!n)
		return -1;
	if (strcmp(xml_name(n), xml_name(old)) != 0) {
		xmlFreeNode(n);
		return refuse(error, MANAGER_ERR_INVALID_ARG, "a <%s> cannot become a <%s>",
			xml_name(old), xml_name(n));
	}
	/* Its place stays unless the client names another. */
	if (!xml_child(n, "address") && xml_child(old, "address"))
		xmlAddChild(n, xmlDocCopyNode(xml_child(old, "address"), root->doc, 1));
	if (!xml_child(n, "alias") && xml_child(old, "alias"))
		xmlAddChild(n, xmlDocCopyNode(xml_child(old, "alias"), root->doc, 1));
	xmlFreeNode(xmlReplaceNode(old, n));
	return 0;
}

static struct config_device *device_at(const struct domain_config *c, unsigned index)
{
	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->index == index)
			return d;
	}
	return NULL;
}

struct domain_config *domain_config_add_device(const struct domain_config *c, unsigned flags,
	const char *xml, struct config_device **ret_device, GError **error)
{
	struct device_edit e = { .xml = xml };
	struct domain_config *with = domain_config_edit(c, flags, edit_add, &e, error);

	if (with && ret_device)
		*ret_device = device_at(with, e.index);
	return with;
}

struct domain_config *domain_config_remove_device(const struct domain_config *c, unsigned flags,
	const struct config_device *d, GError **error)
{
	struct device_edit e = { .at = d };

	return domain_config_edit(c, flags, edit_remove, &e, error);
}

struct domain_config *domain_config_replace_device(const struct domain_config *c, unsigned flags,
	const struct config_device *d, const char *xml, GError **error)
{
	struct device_edit e = { .at = d, .xml = xml };

	return domain_config_edit(c, flags, edit_replace, &e, error);
}

/* ---- which device a client means ---- */

static struct config_device *only_of_kind(const struct domain_config *c, enum device_kind kind)
{
	struct config_device *found = NULL;

	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind != kind)
			continue;
		if (found)
			return NULL;
		found = d;
	}
	return found;
}

/* Characters by alias, name or target port. */
static struct config_device *match_char(const struct domain_config *c, const xmlNode *n)
{
	const char *name = xml_child_attr(n, "target", "name");
	const char *port = xml_child_attr(n, "target", "port");
	static const char *const classes[] = { "serial", "console", "channel" };

	for (guint i = 0; i < c->devices->len; i++) {
		struct config_device *d = g_ptr_array_index(c->devices, i);

		if (d->kind != DEVICE_CHAR || strcmp(classes[d->chr.class], xml_name(n)) != 0)
			continue;
		if (name ? g_strcmp0(d->chr.name, name) == 0
			 : port && d->chr.port == g_ascii_strtoull(port, NULL, 10))
			return d;
	}
	return NULL;
}

struct config_device *domain_config_match(
	const struct domain_config *c, const char *xml, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(xml, NULL, error);
	const xmlNode *n = doc ? xmlDocGetRootElement(doc) : NULL;
	const char *alias, *what;
	struct config_device *d = NULL;

	if (!n)
		return NULL;
	alias = xml_child_attr(n, "alias", "name");
	if (strcmp(xml_name(n), "disk") == 0) {
		what = xml_child_attr(n, "target", "dev");
		d = what ? domain_config_disk(c, what) : NULL;
	} else if (strcmp(xml_name(n), "interface") == 0) {
		what = xml_child_attr(n, "mac", "address");
		d = what ? domain_config_nic(c, what) : only_of_kind(c, DEVICE_NIC);
	} else if (strcmp(xml_name(n), "rng") == 0) {
		d = only_of_kind(c, DEVICE_RNG);
	} else if (strcmp(xml_name(n), "memballoon") == 0) {
		d = only_of_kind(c, DEVICE_BALLOON);
	} else {
		d = match_char(c, n);
	}
	if (!d && alias)
		d = domain_config_alias(c, alias);
	if (!d)
		refuse(error, MANAGER_ERR_DEVICE_MISSING, "machine '%s' has no such <%s>", c->name,
			xml_name(n));
	return d;
}
