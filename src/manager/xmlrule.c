/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xmlrule.c: documents checked against a table and brought to a normal form. Spec: XML 1.0. */
#include "manager/xmlrule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "manager/error.h"

/* ---- values ---- */

int xml_scale(const char *number, const char *unit, uint64_t *ret)
{
	static const char letters[] = "KMGTPE";
	char *end;
	uint64_t v, by = 1;

	errno = 0;
	if (!g_ascii_isdigit(number[0]))
		return -1;
	v = g_ascii_strtoull(number, &end, 10);
	if (errno || *end)
		return -1;
	if (unit && g_ascii_strcasecmp(unit, "bytes") && g_ascii_strcasecmp(unit, "b")) {
		const char *at = strchr(letters, g_ascii_toupper(unit[0]));
		unsigned power = at && *at ? at - letters + 1 : 0;
		bool decimal = !g_ascii_strcasecmp(unit + 1, "B");

		if (!power || (unit[1] && !decimal && g_ascii_strcasecmp(unit + 1, "iB")))
			return -1;
		while (power--)
			by *= decimal ? 1000 : 1024;
	}
	return __builtin_mul_overflow(v, by, ret) ? -1 : 0;
}

/* Control characters would let a value end a line of a file that it is written into. */
static bool printable(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static bool only(const char *s, const char *more, size_t most)
{
	size_t n = strlen(s);

	if (!n || n > most)
		return false;
	for (; *s; s++) {
		if (!g_ascii_isalnum(*s) && !strchr(more, *s))
			return false;
	}
	return true;
}

static bool number(const char *s, bool hex, uint64_t max)
{
	char *end;
	uint64_t v;

	if (!g_ascii_isdigit(s[0]))
		return false;
	errno = 0;
	v = g_ascii_strtoull(s, &end, hex && s[0] == '0' && (s[1] | 32) == 'x' ? 16 : 10);
	return !errno && !*end && v <= max;
}

static bool value_right(const struct xml_rule *r, const char *s)
{
	uint8_t raw[16];
	uint64_t max = r->max ? r->max : UINT32_MAX;

	switch (r->kind) {
	case XML_NOTHING: return !*s;
	case XML_TEXT: return printable(s);
	case XML_NAME:
		return *s && strlen(s) < 256 && printable(s) && !strchr(s, '/') && strcmp(s, ".") &&
		       strcmp(s, "..") && s[strspn(s, " ")];
	case XML_UINT: return number(s, false, max);
	case XML_HEX: return number(s, true, max);
	case XML_BOOL: return !strcmp(s, "yes") || !strcmp(s, "no");
	case XML_UUID: return !uuid_parse_text(s, raw);
	case XML_MAC: return !mac_parse(s, raw);
	case XML_IP: return inet_pton(AF_INET, s, raw) == 1 || inet_pton(AF_INET6, s, raw) == 1;
	case XML_IP4: return inet_pton(AF_INET, s, raw) == 1;
	case XML_DEVICE: return only(s, "_.-:@", IFNAMSIZ - 1) && strcmp(s, ".") && strcmp(s, "..");
	case XML_DNS: return only(s, "_.-:*", 253) && s[0] != '-';
	case XML_PATH: return s[0] == '/' && printable(s) && strlen(s) < 4096;
	case XML_SIZE: return g_ascii_isdigit(s[0]);
	case XML_ENUM: return g_strv_contains(r->choices, s);
	case XML_VERBATIM: return true;
	}
	return false;
}

/* ---- checking ---- */

static const struct xml_rule *rule_of(
	const struct xml_rule *table, const char *name, bool attribute)
{
	for (const struct xml_rule *r = table; r && r->name; r++) {
		if ((r->name[0] == '@') == attribute && !strcmp(r->name + attribute, name))
			return r;
	}
	return NULL;
}

static int wrong(GError **error, const xmlNode *n, const struct xml_rule *r, const char *value)
{
	g_autofree char *all = r->choices ? g_strjoinv(", ", (char **)r->choices) : NULL;

	return refuse(error, MANAGER_ERR_XML, "<%s> %s%s: '%.100s' is not %s%s", n->name,
		r->name[0] == '@' ? "attribute " : "element ", r->name + (r->name[0] == '@'), value,
		all ? "one of " : "what belongs there", all ? all : "");
}

static int check_attributes(xmlNode *n, const struct xml_rule *table, GError **error)
{
	for (xmlAttr *a = n->properties, *next; a; a = next) {
		const struct xml_rule *r = rule_of(table, (const char *)a->name, true);
		g_autofree char *value = NULL;
		xmlChar *raw;

		next = a->next;
		if (!r)
			return refuse(error, MANAGER_ERR_XML, "<%s> has no attribute '%s'", n->name,
				a->name);
		if (r->flags & XML_REFUSED)
			return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
				"<%s %s=…> is not supported", n->name, a->name);
		if (r->flags & XML_IGNORED) {
			xmlRemoveProp(a);
			continue;
		}
		raw = xmlNodeGetContent((xmlNode *)a);
		value = g_strdup((char *)raw);
		xmlFree(raw);
		if (!value_right(r, value))
			return wrong(error, n, r, value);
		xmlSetProp(n, a->name, (xmlChar *)value);
	}
	/* In the table's order. */
	for (const struct xml_rule *r = table; r && r->name; r++) {
		g_autofree char *value =
			g_strdup(r->name[0] == '@' ? xml_attr(n, r->name + 1) : NULL);

		if (value) {
			xml_set_attr(n, r->name + 1, NULL);
			xml_set_attr(n, r->name + 1, value);
		}
	}
	for (const struct xml_rule *r = table; r && r->name; r++) {
		if (r->name[0] == '@' && r->flags & XML_REQUIRED &&
			!xmlHasProp(n, (const xmlChar *)r->name + 1))
			return refuse(error, MANAGER_ERR_XML, "<%s> needs the attribute '%s'",
				n->name, r->name + 1);
	}
	return 0;
}

static int check_text(xmlNode *n, const struct xml_rule *r, GError **error)
{
	xmlChar *raw = xmlNodeGetContent(n);
	g_autofree char *text = g_strstrip(g_strdup((char *)raw));

	xmlFree(raw);
	if (xml_first(n))
		return refuse(error, MANAGER_ERR_XML, "<%s> has no element <%s>", n->name,
			xml_first(n)->name);
	if (r->kind == XML_SIZE) {
		const char *unit = xml_get(n, "@unit");
		uint64_t bytes;

		if (xml_scale(text, unit, &bytes))
			return refuse(error, MANAGER_ERR_XML, "<%s>: '%.100s %s' is not a size",
				n->name, text, unit ? unit : "bytes");
		g_free(text);
		text = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)bytes);
		xmlSetProp(n, (const xmlChar *)"unit", (const xmlChar *)"bytes");
	} else if (!value_right(r, text)) {
		return refuse(error, MANAGER_ERR_XML, "<%s>: '%.100s' is not what belongs there",
			n->name, text);
	}
	if (n->children) {
		xmlFreeNodeList(n->children);
		n->children = n->last = NULL;
	}
	if (*text)
		xmlAddChild(n, xmlNewText((xmlChar *)text));
	return 0;
}

static int check_element(xmlNode *n, const struct xml_rule *r, GError **error);

/* Takes all out, then puts back what is known in the table's order. */
static int check_children(xmlNode *n, const struct xml_rule *table, GError **error)
{
	g_autoptr(GPtrArray) kids = g_ptr_array_new();
	int err = 0;

	for (xmlNode *c = n->children, *next; c; c = next) {
		next = c->next;
		xmlUnlinkNode(c);
		g_ptr_array_add(kids, c);
		if (c->type == XML_TEXT_NODE && !xmlIsBlankNode(c) && !err)
			err = refuse(error, MANAGER_ERR_XML, "<%s> holds no text", n->name);
		if (c->type == XML_ELEMENT_NODE && !err &&
			!rule_of(table, (const char *)c->name, false))
			err = refuse(error, MANAGER_ERR_XML, "<%s> has no element <%s>", n->name,
				c->name);
	}
	for (const struct xml_rule *r = table; r && r->name && !err; r++) {
		unsigned found = 0;

		for (unsigned i = 0; i < kids->len && r->name[0] != '@' && !err; i++) {
			xmlNode *c = kids->pdata[i];

			if (!c || c->type != XML_ELEMENT_NODE ||
				strcmp((const char *)c->name, r->name) || r->flags & XML_IGNORED)
				continue;
			kids->pdata[i] = NULL;
			xmlAddChild(n, c);
			if (found++ && !(r->flags & XML_MANY))
				err = refuse(error, MANAGER_ERR_XML, "<%s> has more than one <%s>",
					n->name, r->name);
			else
				err = check_element(c, r, error);
		}
		if (!err && !found && r->flags & XML_REQUIRED && r->name[0] != '@')
			err = refuse(error, MANAGER_ERR_XML, "<%s> needs <%s>", n->name, r->name);
	}
	for (unsigned i = 0; i < kids->len; i++) {
		if (kids->pdata[i])
			xmlFreeNode(kids->pdata[i]);
	}
	return err;
}

static int check_element(xmlNode *n, const struct xml_rule *r, GError **error)
{
	bool text = r->kind != XML_NOTHING;

	if (r->flags & XML_REFUSED)
		return refuse(
			error, MANAGER_ERR_CONFIG_UNSUPPORTED, "<%s> is not supported", n->name);
	if (r->kind == XML_VERBATIM)
		return 0;
	if (check_attributes(n, r->inside, error))
		return -1;
	return text ? check_text(n, r, error) : check_children(n, r->inside, error);
}

int xml_rule_check(xmlNode *root, const struct xml_rule *rule, GError **error)
{
	if (strcmp((const char *)root->name, rule->name))
		return refuse(error, MANAGER_ERR_XML, "the document is a <%s>, not a <%s>",
			root->name, rule->name);
	return check_element(root, rule, error);
}

xmlDoc *xml_rule_parse(const char *text, const struct xml_rule *rule, GError **error)
{
	g_autoptr(xmlDoc) doc = xml_parse(text, rule->name, error);

	if (!doc || xml_rule_check(xmlDocGetRootElement(doc), rule, error))
		return NULL;
	return g_steal_pointer(&doc);
}

/* ---- reading and changing ---- */

/* The normal form has at most one text node below an attribute or an element with text. */
static const char *text_of(const xmlNode *child)
{
	return child && child->content ? (const char *)child->content : "";
}

const char *xml_get(const xmlNode *n, const char *path)
{
	while (n && *path != '@') {
		size_t len = strcspn(path, "/");
		char name[64];

		g_strlcpy(name, path, MIN(sizeof(name), len + 1));
		n = xml_child(n, name);
		if (!path[len])
			return n ? text_of(n->children) : NULL;
		path += len + 1;
	}
	if (n) {
		const xmlAttr *a = xmlHasProp(n, (const xmlChar *)path + 1);

		return a ? text_of(a->children) : NULL;
	}
	return NULL;
}

uint64_t xml_get_uint(const xmlNode *n, const char *path, uint64_t otherwise)
{
	const char *s = xml_get(n, path);

	return s ? g_ascii_strtoull(s, NULL, 0) : otherwise;
}

bool xml_get_bool(const xmlNode *n, const char *path, bool otherwise)
{
	const char *s = xml_get(n, path);

	return s ? !strcmp(s, "yes") : otherwise;
}

void xml_set(xmlNode *n, const char *path, const char *value)
{
	if (path[0] == '@') {
		if (value)
			xmlSetProp(n, (const xmlChar *)path + 1, (const xmlChar *)value);
		else
			xmlUnsetProp(n, (const xmlChar *)path + 1);
		return;
	}
	const char *slash = strchr(path, '/');
	g_autofree char *name = slash ? g_strndup(path, slash - path) : g_strdup(path);
	xmlNode *c = xml_child(n, name);

	if (!c && value)
		c = xmlNewChild(n, NULL, (const xmlChar *)name, NULL);
	if (!c)
		return;
	if (slash) {
		xml_set(c, slash + 1, value);
		return;
	}
	if (!value) {
		xmlUnlinkNode(c);
		xmlFreeNode(c);
		return;
	}
	if (c->children) {
		xmlFreeNodeList(c->children);
		c->children = c->last = NULL;
	}
	xmlAddChild(c, xmlNewText((const xmlChar *)value));
}
