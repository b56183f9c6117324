/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xmlrule.h: what a document may hold, as a table. A document that passes has only what is in the
 * table, every value of its kind, elements in the table's order; then it is itself the definition:
 * it is read with xml_get() and written with xml_format(), and defining what was written changes
 * nothing.
 */
#ifndef MANAGER_XMLRULE_H
#define MANAGER_XMLRULE_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "manager/ids.h"
#include "manager/xml.h"

enum xml_kind {
	XML_NOTHING, /* an element without text */
	XML_TEXT,    /* printable text, no line breaks */
	XML_NAME,    /* an object's name: text, not empty, no '/' */
	XML_UINT,    /* 0..max */
	XML_HEX,     /* 0..max, also as 0x… */
	XML_BOOL,    /* yes, no */
	XML_UUID,
	XML_MAC,
	XML_IP,
	XML_IP4,
	XML_DEVICE,   /* a network interface's name */
	XML_DNS,      /* a DNS name */
	XML_PATH,     /* absolute, no line breaks */
	XML_SIZE,     /* bytes, scaled by a unit attribute, which the normal form has as bytes */
	XML_ENUM,     /* one of `choices` */
	XML_VERBATIM, /* any well-formed content, kept as it is */
};

enum xml_rule_flags {
	XML_REQUIRED = 1,
	XML_MANY = 2,
	XML_REFUSED = 4, /* known, and said to be not supported */
	XML_IGNORED = 8, /* what a dump adds (state, not definition): dropped on input */
};

struct xml_rule {
	const char *name; /* "@name": an attribute; NULL ends a table */
	enum xml_kind kind;
	unsigned flags;
	const struct xml_rule *inside; /* attributes and elements; NULL: none */
	const char *const *choices;    /* ENUM; NULL ends it */
	uint64_t max;                  /* UINT, HEX; 0: 2^32 - 1 */
};

/* Parses and checks one document whose root is `rule`; brings it to its normal form. Errors name
 * the element. Free with xmlFreeDoc(). */
xmlDoc *xml_rule_parse(const char *text, const struct xml_rule *rule, GError **error);
/* The same for a tree that was changed. */
int xml_rule_check(xmlNode *root, const struct xml_rule *rule, GError **error);

/* The value at "a/b/@c", "a/b" or "@c" below n, through the first of each name; NULL: not there.
 * Borrowed from the document. */
const char *xml_get(const xmlNode *n, const char *path);
uint64_t xml_get_uint(const xmlNode *n, const char *path, uint64_t otherwise);
bool xml_get_bool(const xmlNode *n, const char *path, bool otherwise);
/* Sets "@c" or the text of a child, which is made if there is none; value NULL takes it away. */
void xml_set(xmlNode *n, const char *path, const char *value);
#define xml_set_uint(n, path, value)                                                               \
	do {                                                                                       \
		char text_[24];                                                                    \
		g_snprintf(text_, sizeof(text_), "%" G_GUINT64_FORMAT, (guint64)(value));          \
		xml_set(n, path, text_);                                                           \
	} while (0)

/* "512 MiB" as bytes; unit NULL: bytes. -1 if it is none or overflows. */
int xml_scale(const char *number, const char *unit, uint64_t *ret);

#endif
