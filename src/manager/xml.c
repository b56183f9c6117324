/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xml.c: documents from clients. Spec: Extensible Markup Language 1.0. */
#include "manager/xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <string.h>

#include "base/own.h"
#include "manager/error.h"

/*
 * The parser's own limits are on (no XML_PARSE_HUGE); on top of them a document type is refused as
 * soon as it begins, so that no entity is ever declared, and depth is bounded while parsing.
 */
struct limits {
	unsigned depth;
	const char *broken;
	xmlSAXHandler base;
};

static void stop(xmlParserCtxt *c, const char *why)
{
	struct limits *l = c->_private;

	if (!l->broken)
		l->broken = why;
	xmlStopParser(c);
}

static void on_subset(void *ctx, const xmlChar *name, const xmlChar *id, const xmlChar *system)
{
	stop(ctx, "a document type is not allowed");
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
	int nb_namespaces, const xmlChar **namespaces, int nb_attributes, int nb_defaulted,
	const xmlChar **attributes)
{
	struct limits *l = ((xmlParserCtxt *)ctx)->_private;

	if (++l->depth > XML_DEPTH_MAX) {
		stop(ctx, "elements are nested too deeply");
		return;
	}
	l->base.startElementNs(ctx, name, prefix, uri, nb_namespaces, namespaces, nb_attributes,
		nb_defaulted, attributes);
}

static void on_end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct limits *l = ((xmlParserCtxt *)ctx)->_private;

	if (l->broken)
		return;
	l->depth--;
	l->base.endElementNs(ctx, name, prefix, uri);
}

static void complain(xmlParserCtxt *c, const struct limits *l, GError **error)
{
	const xmlError *e = xmlCtxtGetLastError(c);
	g_autofree char *why = g_strdup(l->broken         ? l->broken
					: e && e->message ? e->message
							  : "not well-formed");

	refuse(error, MANAGER_ERR_XML, "the XML is not accepted: line %d: %s", e ? e->line : 1,
		g_strstrip(why));
}

/*
 * Blanks between elements go, where there is nothing else between them: then what xml_format()
 * indents is read back as the same tree. (The parser's own way looks at the text only, and differs
 * from one reading to the next.)
 */
static void strip_blanks(xmlNode *n)
{
	bool elements = false, words = false;
	xmlNode *next;

	for (xmlNode *c = n->children; c; c = c->next) {
		elements |= c->type == XML_ELEMENT_NODE;
		words |= c->type == XML_TEXT_NODE && !xmlIsBlankNode(c);
		if (c->type == XML_ELEMENT_NODE)
			strip_blanks(c);
	}
	if (!elements || words)
		return;
	for (xmlNode *c = n->children; c; c = next) {
		next = c->next;
		if (c->type == XML_TEXT_NODE)
			xml_remove(c);
	}
}

xmlDoc *xml_parse(const char *text, const char *root, GError **error)
{
	size_t len = strlen(text);
	struct limits l = { 0 };
	xmlParserCtxt *c;
	xmlDoc *doc;

	if (len > XML_TEXT_MAX) {
		refuse(error, MANAGER_ERR_XML, "the XML is not accepted: longer than %d bytes",
			XML_TEXT_MAX);
		return NULL;
	}
	if (!g_utf8_validate(text, len, NULL)) {
		refuse(error, MANAGER_ERR_XML, "the XML is not accepted: not UTF-8");
		return NULL;
	}
	c = xmlNewParserCtxt();
	c->_private = &l;
	l.base = *c->sax;
	c->sax->internalSubset = on_subset;
	c->sax->externalSubset = on_subset;
	c->sax->startElementNs = on_start;
	c->sax->endElementNs = on_end;
	doc = xmlCtxtReadMemory(c, text, (int)len, NULL, "UTF-8",
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
	if (!doc || l.broken || !xmlDocGetRootElement(doc)) {
		complain(c, &l, error);
		g_clear_pointer(&doc, xmlFreeDoc);
	} else if (root && strcmp(xml_name(xmlDocGetRootElement(doc)), root) != 0) {
		refuse(error, MANAGER_ERR_XML,
			"the XML is not accepted: its root is <%.64s>, not <%s>",
			xml_name(xmlDocGetRootElement(doc)), root);
		g_clear_pointer(&doc, xmlFreeDoc);
	}
	xmlFreeParserCtxt(c);
	if (doc)
		strip_blanks(xmlDocGetRootElement(doc));
	return doc;
}

char *xml_format(xmlNode *n)
{
	xmlBuffer *b = xmlBufferCreate();
	char *text;

	xmlNodeDump(b, n->doc, n, 0, 1);
	text = g_strdup_printf("%s\n", (const char *)xmlBufferContent(b));
	xmlBufferFree(b);
	return text;
}

static xmlNode *element_from(xmlNode *n, const char *name)
{
	for (; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE && (!name || strcmp(xml_name(n), name) == 0))
			return n;
	}
	return NULL;
}

xmlNode *xml_child(const xmlNode *n, const char *name)
{
	return n ? element_from(n->children, name) : NULL;
}

xmlNode *xml_next(const xmlNode *n, const char *name)
{
	return element_from(n->next, name);
}

xmlNode *xml_first(const xmlNode *n)
{
	return element_from(n->children, NULL);
}

xmlNode *xml_after(const xmlNode *n)
{
	return element_from(n->next, NULL);
}

const char *xml_attr(const xmlNode *n, const char *name)
{
	for (const xmlAttr *a = n ? n->properties : NULL; a; a = a->next) {
		if (strcmp((const char *)a->name, name) == 0)
			/* Without entities a value is one text node, or none when it is empty. */
			return a->children && a->children->content
				       ? (const char *)a->children->content
				       : "";
	}
	return NULL;
}

const char *xml_child_attr(const xmlNode *n, const char *child, const char *name)
{
	return xml_attr(xml_child(n, child), name);
}

char *xml_text(const xmlNode *n)
{
	xmlChar *x = xmlNodeGetContent(n);
	char *text = g_strdup(x ? (const char *)x : "");

	xmlFree(x);
	return g_strstrip(text);
}

char *xml_child_text(const xmlNode *n, const char *child)
{
	const xmlNode *c = xml_child(n, child);

	return c ? xml_text(c) : NULL;
}

int xml_uint(const char *text, const char *what, uint64_t max, uint64_t *ret, GError **error)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = g_ascii_strtoull(text, &end, 10);
	if (!g_ascii_isdigit(*text) || *end)
		return refuse(error, MANAGER_ERR_XML, "%s: '%.64s' is no number", what, text);
	if (errno || v > max)
		return refuse(error, MANAGER_ERR_XML,
			"%s: %.64s is too large: at most %" G_GUINT64_FORMAT, what, text, max);
	*ret = v;
	return 0;
}

static char *attr_place(const xmlNode *n, const char *name)
{
	return g_strdup_printf("attribute '%s' of <%s>", name, xml_name(n));
}

int xml_attr_uint(const xmlNode *n, const char *name, uint64_t max, uint64_t *ret, GError **error)
{
	const char *text = xml_attr(n, name);
	g_autofree char *what = NULL;

	if (!text)
		return 0;
	what = attr_place(n, name);
	return xml_uint(text, what, max, ret, error);
}

int xml_text_uint(const xmlNode *n, uint64_t max, uint64_t *ret, GError **error)
{
	g_autofree char *text = NULL, *what = NULL;

	if (!n)
		return 0;
	text = xml_text(n);
	what = g_strdup_printf("<%s>", xml_name(n));
	return xml_uint(text, what, max, ret, error);
}

static const struct unit {
	const char *name;
	uint64_t bytes;
} units[] = {
	{ "b", 1 },
	{ "bytes", 1 },
	{ "KB", 1000 },
	{ "k", 1024 },
	{ "KiB", 1024 },
	{ "MB", 1000000 },
	{ "M", 1 << 20 },
	{ "MiB", 1 << 20 },
	{ "GB", 1000000000 },
	{ "G", 1 << 30 },
	{ "GiB", 1 << 30 },
	{ "TB", 1000000000000 },
	{ "T", 1ull << 40 },
	{ "TiB", 1ull << 40 },
	{ "PB", 1000000000000000 },
	{ "P", 1ull << 50 },
	{ "PiB", 1ull << 50 },
	{ "EB", 1000000000000000000 },
	{ "E", 1ull << 60 },
	{ "EiB", 1ull << 60 },
};

int xml_text_bytes(const xmlNode *n, uint64_t *ret, GError **error)
{
	const char *unit = xml_attr(n, "unit");
	uint64_t v = 0;

	if (!n)
		return 0;
	if (xml_text_uint(n, G_MAXINT64, &v, error) < 0)
		return -1;
	for (size_t i = 0; i < array_len(units); i++) {
		if (g_ascii_strcasecmp(units[i].name, unit ? unit : "KiB") != 0)
			continue;
		if (v > (uint64_t)G_MAXINT64 / units[i].bytes)
			return refuse(error, MANAGER_ERR_XML, "<%s>: too large", xml_name(n));
		*ret = v * units[i].bytes;
		return 0;
	}
	return refuse(error, MANAGER_ERR_XML, "attribute 'unit' of <%s>: '%.32s' is no unit",
		xml_name(n), unit);
}

int xml_attr_enum(const xmlNode *n, const char *name, const char *const *choices, unsigned *ret,
	GError **error)
{
	const char *text = xml_attr(n, name);
	g_autofree char *what = NULL, *all = NULL;

	if (!text)
		return 0;
	for (unsigned i = 0; choices[i]; i++) {
		if (strcmp(choices[i], text) == 0) {
			*ret = i;
			return 0;
		}
	}
	what = attr_place(n, name);
	all = g_strjoinv(", ", (char **)choices);
	return refuse(error, MANAGER_ERR_XML, "%s: '%.64s' is none of: %s", what, text, all);
}

int xml_attr_bool(const xmlNode *n, const char *name, bool *ret, GError **error)
{
	static const char *const words[] = { "no", "yes", "off", "on", NULL };
	unsigned v = *ret;

	if (xml_attr_enum(n, name, words, &v, error) < 0)
		return -1;
	*ret = v & 1;
	return 0;
}

void xml_set_attr(xmlNode *n, const char *name, const char *value)
{
	if (value)
		xmlSetProp(n, (const xmlChar *)name, (const xmlChar *)value);
	else
		xmlUnsetProp(n, (const xmlChar *)name);
}

void xml_set_attr_fmt(xmlNode *n, const char *name, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	xml_set_attr(n, name, text);
}

xmlNode *xml_add(xmlNode *n, const char *name, const char *text)
{
	return xmlNewTextChild(n, NULL, (const xmlChar *)name, (const xmlChar *)text);
}

xmlNode *xml_want(xmlNode *n, const char *name)
{
	xmlNode *c = xml_child(n, name);

	return c ? c : xml_add(n, name, NULL);
}

void xml_set_text(xmlNode *n, const char *text)
{
	xmlChar *escaped = xmlEncodeSpecialChars(n->doc, (const xmlChar *)text);

	xmlNodeSetContent(n, escaped);
	xmlFree(escaped);
}

void xml_remove(xmlNode *n)
{
	if (!n)
		return;
	xmlUnlinkNode(n);
	xmlFreeNode(n);
}

void xml_remove_child(xmlNode *n, const char *name)
{
	xmlNode *c;

	while ((c = xml_child(n, name)))
		xml_remove(c);
}

int xml_check_text(const char *text, const char *what, size_t max, GError **error)
{
	if (!*text)
		return refuse(error, MANAGER_ERR_XML, "%s is empty", what);
	if (strlen(text) > max)
		return refuse(error, MANAGER_ERR_XML, "%s is longer than %zu bytes", what, max);
	if (!g_utf8_validate(text, -1, NULL))
		return refuse(error, MANAGER_ERR_XML, "%s is not UTF-8", what);
	for (const char *p = text; *p; p++) {
		if (g_ascii_iscntrl(*p))
			return refuse(error, MANAGER_ERR_XML, "%s has a control character", what);
	}
	return 0;
}
