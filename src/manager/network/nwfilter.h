/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nwfilter.h: named sets of rules for a machine's card, libvirt's nwfilters. */
#ifndef MANAGER_NWFILTER_H
#define MANAGER_NWFILTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct manager;
struct nwfilter; /* immutable; counted */

/* With the built-in ones, which are there unless a definition of that name replaces them. */
struct nwfilters *nwfilters_new(struct manager *m, GError **error);
void nwfilters_free(struct nwfilters *f);

/* A reference for the caller, or NULL with NO_NWFILTER. */
struct nwfilter *nwfilter_find_name(struct manager *m, const char *name, GError **error);
struct nwfilter *nwfilter_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error);
GPtrArray *nwfilters_list(
	struct manager *m); /* each with a reference; free with g_ptr_array_unref */
struct nwfilter *nwfilter_ref(struct nwfilter *f);
void nwfilter_unref(struct nwfilter *f);
const char *nwfilter_name(const struct nwfilter *f);
const uint8_t *nwfilter_uuid(const struct nwfilter *f);
char *nwfilter_xml_text(const struct nwfilter *f); /* owned by the caller */

/* Rules that cannot be translated are refused by name. Cards that use it get the new rules at once;
 * if the host refuses them the old definition stays. only_new: fails if the name exists. */
struct nwfilter *nwfilter_define(struct manager *m, const char *xml, bool only_new, GError **error);
/* Not while a card or another filter uses it. */
int nwfilter_undefine(struct manager *m, struct nwfilter *f, GError **error);

/* The card that rules are for; borrowed. */
struct nwfilter_card {
	const char *device;
	uint8_t mac[6];
	const char *leases; /* the bridge of ours whose leases tell $IP, if it is not given; NULL:
			       none */
	GHashTable *parameters; /* name -> values with commas; NULL: none */
};
/* Statements of nftables for one card; owned. */
struct nwfilter_rules {
	char *from, *to, *extra;
};
int nwfilter_translate(struct manager *m, const char *filter, const struct nwfilter_card *card,
	struct nwfilter_rules *ret, GError **error);

/* For nwfilter_rules.c: the root of the document, borrowed for as long as f. */
struct _xmlNode *nwfilter_root(const struct nwfilter *f);
/*
 * Are all its rules of a kind that we translate? Values are looked at where they are not variables.
 */
int nwfilter_check(const struct nwfilter *f, GError **error);

struct nwfilter_builtin {
	const char *name, *xml;
};
extern const struct nwfilter_builtin nwfilter_builtins[]; /* NULL name ends it */

#endif
