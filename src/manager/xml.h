/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xml.h: documents from clients: parsed within hard limits, read with errors that name the place.
 * Numbers are plain decimal; what a document may hold is its reader's business.
 */
#ifndef MANAGER_XML_H
#define MANAGER_XML_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	XML_TEXT_MAX = 4 << 20, /* bytes of a document: what one string of the protocol can carry */
	XML_DEPTH_MAX = 64,
};

/* Parses one document whose root is named `root` (NULL: any). No DTD, no entities but XML's five,
 * no network, no blanks between elements. Comments are kept. Free with xmlFreeDoc(). */
xmlDoc *xml_parse(const char *text, const char *root, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* The document or one element as text, two blanks a level, without <?xml?>. Owned by the caller. */
char *xml_format(xmlNode *n);

/* The first child element of this name; NULL: none, also when n is NULL. The next of the same name.
 */
xmlNode *xml_child(const xmlNode *n, const char *name);
xmlNode *xml_next(const xmlNode *n, const char *name);
/* The first and next child element of any name. */
xmlNode *xml_first(const xmlNode *n);
xmlNode *xml_after(const xmlNode *n);
static inline const char *xml_name(const xmlNode *n)
{
	return (const char *)n->name;
}

/* Borrowed from the document. NULL: not there. */
const char *xml_attr(const xmlNode *n, const char *name);
/* Of the first child `child`. */
const char *xml_child_attr(const xmlNode *n, const char *child, const char *name);
/* Owned by the caller, blanks at both ends gone; NULL: no such child. */
char *xml_child_text(const xmlNode *n, const char *child);
char *xml_text(const xmlNode *n);

/* Numbers. *ret stays as it is where there is no such attribute or text. 0, or -1 with XML error.
 */
int xml_attr_uint(const xmlNode *n, const char *name, uint64_t max, uint64_t *ret, GError **error);
int xml_text_uint(const xmlNode *n, uint64_t max, uint64_t *ret, GError **error);
int xml_uint(const char *text, const char *what, uint64_t max, uint64_t *ret, GError **error);
/* An amount of memory: the text, with its attribute `unit` (libvirt's words; default KiB), in
 * bytes. */
int xml_text_bytes(const xmlNode *n, uint64_t *ret, GError **error);
/* "yes" and "no" (or "on" and "off"). */
int xml_attr_bool(const xmlNode *n, const char *name, bool *ret, GError **error);
/* The index of the value in choices (NULL ends them). */
int xml_attr_enum(const xmlNode *n, const char *name, const char *const *choices, unsigned *ret,
	GError **error);

/* Changes. NULL removes. Values are escaped when written. */
void xml_set_attr(xmlNode *n, const char *name, const char *value);
void xml_set_attr_fmt(xmlNode *n, const char *name, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* A new last child; text may be NULL. */
xmlNode *xml_add(xmlNode *n, const char *name, const char *text);
/* The child of this name, made if absent. */
xmlNode *xml_want(xmlNode *n, const char *name);
void xml_set_text(xmlNode *n, const char *text);
void xml_remove(xmlNode *n);                         /* NULL allowed */
void xml_remove_child(xmlNode *n, const char *name); /* all of this name */

/* `text` is a plain one: 1..max bytes of UTF-8 without control characters; else -1, with `what`
 * named. */
int xml_check_text(const char *text, const char *what, size_t max, GError **error);

#endif
