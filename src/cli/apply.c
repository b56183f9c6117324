/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.c: `lodge apply FILE`: definitions as they shall be. A definition is looked at as a set of
 * facts, "devices/disk[vda]/source@file" is such a value; what the file says and the daemon's
 * definition does not is a change, what only the daemon's has is what it has filled in, except
 * whole devices.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libxml/parser.h>

#include "base/error.h"
#include "base/size.h"
#include "cli/client.h"
#include "cli/daemon.h"
#include "cli/run.h"

const struct cli_option apply_options[] = {
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED | CLI_MANY,
		.complete = CLI_COMPLETE_FILE,
		.help = "libvirt XML of machines, networks and pools: one, or several in any "
			"element" },
	{ "dry-run", 'n', CLI_FLAG, .help = "show the difference, change nothing" },
	{ "yes", 'y', CLI_FLAG, .help = "do not ask" },
	{ "start", 0, CLI_FLAG, .help = "and start what is off" },
	CLIENT_OPTIONS,
	{ NULL },
};

static const struct kind {
	const char *element, *collection, *noun;
} kinds[] = {
	{ "network", "networks", "network" },
	{ "pool", "pools", "pool" },
	{ "domain", "machines", "machine" },
};

/* ---- facts ---- */

/* What tells a device from others of its kind: an attribute of a child, or its place. */
static const char *const keys[][3] = { { "disk", "target", "dev" },
	{ "interface", "mac", "address" }, { "filesystem", "target", "dir" }, { "host", "", "mac" },
	{ "timer", "", "name" }, { "feature", "", "name" } };

static xmlNode *child(const xmlNode *n, const char *name)
{
	for (xmlNode *c = n->children; c; c = c->next) {
		if (c->type == XML_ELEMENT_NODE && !strcmp((const char *)c->name, name))
			return c;
	}
	return NULL;
}

static char *key_of(xmlNode *n)
{
	unsigned place = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
		xmlNode *at = *keys[i][1] ? child(n, keys[i][1]) : n;
		xmlChar *value;

		if (strcmp((const char *)n->name, keys[i][0]))
			continue;
		value = at ? xmlGetProp(at, BAD_CAST keys[i][2]) : NULL;
		if (value) {
			char *key = g_strdup_printf("[%s]", (const char *)value);

			xmlFree(value);
			return key;
		}
	}
	for (xmlNode *p = n->prev; p; p = p->prev)
		place += p->type == XML_ELEMENT_NODE &&
			 !strcmp((const char *)p->name, (const char *)n->name);
	return place ? g_strdup_printf("[%u]", place + 1) : g_strdup("");
}

/* "64" with unit='MiB' is the same as "65536" with 'KiB': as bytes, for people. NULL: it has no
 * unit. */
static char *amount(xmlNode *n, const char *text)
{
	xmlChar *unit = xmlGetProp(n, BAD_CAST "unit");
	const char *u = (const char *)unit;
	g_autofree char *sized = NULL;
	uint64_t bytes;
	bool ok;

	if (!unit)
		return NULL;
	sized = g_strconcat(text, !strcmp(u, "b") || !strcmp(u, "bytes") ? "" : u, NULL);
	ok = size_parse(sized, &bytes, NULL) == 0;
	xmlFree(unit);
	return ok ? size_format(bytes) : NULL;
}

static void add_facts(GHashTable *facts, GPtrArray *order, xmlNode *n, const char *path)
{
	xmlChar *text = xmlFirstElementChild(n) ? NULL : xmlNodeGetContent(n);
	char *value = g_strstrip(g_strdup(text ? (const char *)text : "")), *fact;
	char *scaled = amount(n, value);

	for (xmlAttr *a = n->properties; a; a = a->next) {
		xmlChar *word = xmlGetProp(n, a->name);

		if (!scaled || strcmp((const char *)a->name, "unit")) {
			fact = g_strdup_printf("%s@%s", path, (const char *)a->name);
			g_hash_table_insert(facts, fact, g_strdup((const char *)word));
			g_ptr_array_add(order, fact);
		}
		xmlFree(word);
	}
	for (xmlNode *c = n->children; c; c = c->next) {
		if (c->type == XML_ELEMENT_NODE) {
			g_autofree char *key = key_of(c);
			g_autofree char *below = g_strdup_printf(
				"%s%s%s%s", path, *path ? "/" : "", (const char *)c->name, key);

			add_facts(facts, order, c, below);
		}
	}
	if (scaled) {
		g_free(value);
		value = scaled;
	}
	fact = g_strdup(path);
	g_hash_table_insert(facts, fact, value);
	g_ptr_array_add(order, fact);
	xmlFree(text);
}

struct facts {
	GHashTable *values; /* char * -> char *; owned */
	GPtrArray *order;   /* the keys, as they stand in the document; borrowed from values */
};

static struct facts facts_of(xmlNode *n)
{
	struct facts f = { g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
		g_ptr_array_new() };

	if (n)
		add_facts(f.values, f.order, n, "");
	return f;
}

static void facts_clear(struct facts *f)
{
	g_hash_table_unref(f->values);
	g_ptr_array_unref(f->order);
}

/* Prints what the file changes; how many changes. */
static unsigned print_changes(const struct facts *now, const struct facts *wanted)
{
	unsigned n = 0;

	for (guint i = 0; i < wanted->order->len; i++) {
		const char *path = wanted->order->pdata[i];
		const char *value = g_hash_table_lookup(wanted->values, path);
		const char *has = g_hash_table_lookup(now->values, path);

		if (!has && *value)
			printf("  + %s = %s\n", path, value);
		else if (!has && !strchr(path, '/'))
			printf("  + %s\n", path);
		else if (has && strcmp(has, value))
			printf("  ~ %s: %s -> %s\n", path, has, value);
		else if (has || !g_str_has_prefix(path, "devices/"))
			continue;
		n++;
	}
	for (guint i = 0; i < now->order->len; i++) {
		const char *path = now->order->pdata[i];
		bool device = (g_str_has_prefix(path, "devices/disk[") ||
				      g_str_has_prefix(path, "devices/interface[")) &&
			      g_str_has_suffix(path, "]");

		if (device && !g_hash_table_contains(wanted->values, path)) {
			printf("  - %s\n", path);
			n++;
		}
	}
	return n;
}

/* ---- one document ---- */

static bool agreed(const struct cli *c)
{
	char line[16];

	if (cli_flag(c, "yes"))
		return true;
	if (!isatty(STDIN_FILENO))
		return false;
	fputs("Make it so? [y/N] ", stderr);
	return fgets(line, sizeof(line), stdin) && (*line == 'y' || *line == 'Y');
}

static bool active(struct client *cl, const struct kind *k, const char *name)
{
	g_autofree char *all = client_path("/%s/%s", k->collection, name);
	json_t *v = client_call(cl, "GET", all, NULL, NULL);
	bool on = member_bool(v, "active") || json_is_integer(json_object_get(v, "id"));

	json_decref(v);
	return on;
}

static int make_so(struct cli *c, struct client *cl, const struct kind *k, const char *name,
	xmlNode *n, bool changed, GError **error)
{
	g_autofree char *collection = g_strconcat("/", k->collection, NULL);
	g_autofree char *start = client_path("/%s/%s/start", k->collection, name);
	json_t *v;

	if (changed) {
		xmlBuffer *text = xmlBufferCreate();

		xmlNodeDump(text, n->doc, n, 0, 0);
		v = client_send_xml(
			cl, "POST", collection, (const char *)xmlBufferContent(text), error);
		xmlBufferFree(text);
		if (!v)
			return -1;
		json_decref(v);
		cli_note(c, "%s %s: done%s", k->noun, name,
			active(cl, k, name) ? "; what runs takes it up at its next start" : "");
	}
	if (!cli_flag(c, "start") || active(cl, k, name))
		return 0;
	v = client_call(cl, "POST", start, json_object(), error);
	if (v)
		v = client_finish(cl, v, error);
	json_decref(v);
	return v ? 0 : -1;
}

/* A definition without one would be that of another object with the same name. */
static void keep_uuid(xmlNode *n, const struct facts *now)
{
	const char *uuid = g_hash_table_lookup(now->values, "uuid");

	if (uuid && !child(n, "uuid"))
		xmlNewTextChild(n, NULL, BAD_CAST "uuid", BAD_CAST uuid);
}

static int apply_one(
	struct cli *c, struct client *cl, const struct kind *k, xmlNode *n, GError **error)
{
	xmlNode *name_node = child(n, "name");
	xmlChar *name = name_node ? xmlNodeGetContent(name_node) : NULL;
	g_autofree char *path =
		name ? client_path("/%s/%s/xml?inactive=true", k->collection, (char *)name) : NULL;
	g_autofree char *xml = path ? client_text(cl, path, NULL) : NULL;
	xmlDoc *doc =
		xml ? xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET) : NULL;
	struct facts now = facts_of(doc ? xmlDocGetRootElement(doc) : NULL), wanted = facts_of(n);
	unsigned changes;
	int status = 0;

	c->error_status = 0;
	if (!name) {
		status = fail(error, LODGE_ERROR_FILE, "a <%s> has no <name>", k->element);
	} else {
		printf("%s %s%s\n", k->noun, (char *)name, doc ? "" : " (new)");
		changes = print_changes(&now, &wanted);
		if (!changes)
			puts("  is as it shall be");
		keep_uuid(n, &now);
		if (!cli_flag(c, "dry-run") && (!changes || agreed(c)))
			status = make_so(c, cl, k, (char *)name, n, changes, error);
	}
	facts_clear(&now);
	facts_clear(&wanted);
	xmlFree(name);
	xmlFreeDoc(doc);
	return status;
}

/* The element itself, or those it holds, networks and pools before the machines that need them. */
static int apply_node(struct cli *c, struct client *cl, xmlNode *root, GError **error)
{
	unsigned found = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		bool itself = !strcmp((const char *)root->name, kinds[i].element);

		for (xmlNode *n = itself ? root : root->children; n; n = itself ? NULL : n->next) {
			if (n->type != XML_ELEMENT_NODE ||
				strcmp((const char *)n->name, kinds[i].element))
				continue;
			found++;
			if (apply_one(c, cl, &kinds[i], n, error) < 0)
				return -1;
		}
		if (itself)
			break;
	}
	return found ? 0
		     : fail(error, LODGE_ERROR_FILE, "<%s> holds no <domain>, <network> or <pool>",
			       (const char *)root->name);
}

int apply_run(struct cli *c, GError **error)
{
	struct client *cl = client_open(c, error);
	int status = cl ? 0 : -1;

	for (const char *const *file = cli_texts(c, "file"); !status && *file; file++) {
		g_autofree char *text = daemon_read_file(*file, error);
		xmlDoc *doc =
			text ? xmlReadMemory(text, (int)strlen(text), *file, NULL, XML_PARSE_NONET)
			     : NULL;

		if (doc)
			status = apply_node(c, cl, xmlDocGetRootElement(doc), error);
		else
			status = text ? fail(error, LODGE_ERROR_FILE, "%s: is no XML", *file) : -1;
		xmlFreeDoc(doc);
	}
	client_close(cl);
	return status;
}
