/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ovf.c: reads OVF descriptions and OVA archives. Spec: DMTF DSP0243 ("Open Virtualization
 * Format"), DSP1041 and DSP1044 for resource types; POSIX.1 "ustar Interchange Format" with GNU's
 * long sizes.
 */
#include "image/ovf.h"

#include <libxml/parser.h>
#include <string.h>

#include "base/error.h"
#include "image/file.h"

enum {
	XML_MAX = 8 << 20,
	TAR = 512,
	MEMBERS_MAX = 1000,
	DISKS_MAX = 256,
	TYPE_CPU = 3,
	TYPE_MEMORY = 4,
	TYPE_IDE = 5,
	TYPE_SCSI = 6,
	TYPE_NET = 10,
	TYPE_DISK = 17,
	TYPE_SATA = 20,
};

/* ---- the archive ---- */

struct member {
	char *name;
	uint64_t at, size;
};

struct ovf_source {
	char *path, *dir;
	struct file *tar; /* NULL: files beside the description */
	GArray *members;  /* struct member */
};

static void member_clear(void *p)
{
	g_free(((struct member *)p)->name);
}

/* Octal text, or base 256 when the first bit is set. */
static uint64_t tar_number(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	if (p[0] & 0x80) {
		for (unsigned i = n - 8; i < n; i++)
			v = v << 8 | p[i];
		return v;
	}
	for (unsigned i = 0; i < n && p[i]; i++) {
		if (p[i] >= '0' && p[i] <= '7')
			v = v << 3 | (uint64_t)(p[i] - '0');
	}
	return v;
}

static int read_members(struct ovf_source *s, GError **error)
{
	int64_t end = file_length(s->tar);
	uint8_t h[TAR];

	for (uint64_t at = 0;
		end > 0 && at + TAR <= (uint64_t)end && s->members->len < MEMBERS_MAX;) {
		struct member m = { .at = at + TAR };

		if (file_read_full(s->tar, at, h, TAR) < 0)
			return fail(error, LODGE_ERROR_FILE, "%s: cannot read it", s->path);
		if (!h[0])
			break;
		if (memcmp(h + 257, "ustar", 5))
			return fail(error, LODGE_ERROR_FILE, "%s: is no OVA archive", s->path);
		m.size = tar_number(h + 124, 12);
		if (m.size > (uint64_t)end - m.at)
			return fail(error, LODGE_ERROR_FILE, "%s: ends in the middle of a file",
				s->path);
		if (h[156] == '0' || !h[156]) {
			m.name = g_strndup((char *)h, 100);
			g_array_append_val(s->members, m);
		}
		at = m.at + (m.size + TAR - 1) / TAR * TAR;
	}
	return s->members->len ? 0
			       : fail(error, LODGE_ERROR_FILE, "%s: is no OVA archive", s->path);
}

struct ovf_source *ovf_open(const char *path, GError **error)
{
	struct ovf_source *s = g_new0(struct ovf_source, 1);
	struct file_options o = { .path = path, .readonly = true };

	s->path = g_strdup(path);
	s->dir = g_path_get_dirname(path);
	s->members = g_array_new(FALSE, FALSE, sizeof(struct member));
	g_array_set_clear_func(s->members, member_clear);
	if (g_str_has_suffix(path, ".ovf"))
		return s;
	s->tar = file_open(&o, error);
	if (s->tar && !read_members(s, error))
		return s;
	ovf_close(s);
	return NULL;
}

void ovf_close(struct ovf_source *s)
{
	if (!s)
		return;
	file_close(s->tar);
	g_array_unref(s->members);
	g_free(s->path);
	g_free(s->dir);
	g_free(s);
}

/* Names may not lead elsewhere. */
struct file *ovf_file(struct ovf_source *s, const char *name, GError **error)
{
	g_autofree char *path = s->tar ? g_strdup(s->path) : g_build_filename(s->dir, name, NULL);
	struct file_options o = { .path = path, .readonly = true };
	struct file *f;

	if (!*name || strchr(name, '/') || !strcmp(name, "..")) {
		fail(error, LODGE_ERROR_FILE, "%s: names the file '%s', which is not beside it",
			s->path, name);
		return NULL;
	}
	for (unsigned i = 0; i < s->members->len; i++) {
		const struct member *m = &g_array_index(s->members, struct member, i);

		if (!strcmp(m->name, name)) {
			f = file_open(&o, error);
			return f ? file_part_new(f, m->at, m->size) : NULL;
		}
	}
	if (!s->tar)
		return file_open(&o, error);
	fail(error, LODGE_ERROR_FILE, "%s: has no file '%s', which its description names", s->path,
		name);
	return NULL;
}

static const char *member_by_suffix(const struct ovf_source *s, const char *suffix)
{
	for (unsigned i = 0; i < s->members->len; i++) {
		const char *name = g_array_index(s->members, struct member, i).name;

		if (g_str_has_suffix(name, suffix))
			return name;
	}
	return NULL;
}

static char *read_all(struct file *f, size_t *n, GError **error)
{
	int64_t size = file_length(f);
	char *text = size >= 0 && size <= XML_MAX ? g_malloc0((size_t)size + 1) : NULL;

	if (!text || file_read_full(f, 0, text, (size_t)size) < 0) {
		fail(error, LODGE_ERROR_FILE, "%s: cannot be read, or is absurdly large", f->path);
		g_clear_pointer(&text, g_free);
	}
	*n = size > 0 ? (size_t)size : 0;
	file_close(f);
	return text;
}

char *ovf_description(struct ovf_source *s, size_t *n, GError **error)
{
	g_autofree char *base = g_path_get_basename(s->path);
	const char *name = s->tar ? member_by_suffix(s, ".ovf") : base;
	struct file *f;

	if (!name) {
		fail(error, LODGE_ERROR_FILE, "%s: holds no description (.ovf)", s->path);
		return NULL;
	}
	f = ovf_file(s, name, error);
	return f ? read_all(f, n, error) : NULL;
}

/* ---- sums ---- */

static int verify_one(struct ovf_source *s, GChecksumType type, const char *name, const char *want,
	GError **error)
{
	GChecksum *sum = g_checksum_new(type);
	struct file *f = ovf_file(s, name, error);
	g_autofree uint8_t *buf = g_malloc(1 << 20);
	ssize_t n = -1;
	int r = f ? 0 : -1;

	for (uint64_t at = 0; f && (n = file_read(f, at, buf, 1 << 20)) > 0; at += n)
		g_checksum_update(sum, buf, n);
	if (f && (n < 0 || g_ascii_strcasecmp(g_checksum_get_string(sum), want)))
		r = fail(error, LODGE_ERROR_FILE,
			"%s: %s is damaged: it is not what the manifest says", s->path, name);
	file_close(f);
	g_checksum_free(sum);
	return r;
}

/* "SHA256(disk.vmdk)= 01ab…" */
int ovf_verify(struct ovf_source *s, GError **error)
{
	g_autofree char *beside = g_strdup_printf("%.*s.mf", (int)strlen(s->path) - 4, s->path),
			*base = g_path_get_basename(beside), *text = NULL;
	const char *name = s->tar                                    ? member_by_suffix(s, ".mf")
			   : g_file_test(beside, G_FILE_TEST_EXISTS) ? base
								     : NULL;
	struct file *f;
	size_t n;
	int r = 0;

	if (!name)
		return 1;
	f = ovf_file(s, name, error);
	text = f ? read_all(f, &n, error) : NULL;
	if (!text)
		return -1;
	for (char *p = text, *line; !r && (line = strsep(&p, "\r\n"));) {
		char *open = strchr(line, '('), *close = strrchr(line, ')'),
		     *eq = close ? strchr(close, '=') : NULL;
		int type;

		if (!open || !eq)
			continue;
		*open = *close = 0;
		type = !strcmp(line, "SHA1")     ? G_CHECKSUM_SHA1
		       : !strcmp(line, "SHA256") ? G_CHECKSUM_SHA256
		       : !strcmp(line, "SHA512") ? G_CHECKSUM_SHA512
						 : -1;
		if (type >= 0)
			r = verify_one(s, type, open + 1, g_strstrip(eq + 1), error);
	}
	return r;
}

/* ---- the description ---- */

static bool is(const xmlNode *n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name);
}

static char *attribute(const xmlNode *n, const char *name)
{
	xmlChar *v = xmlGetProp(n, (const xmlChar *)name);
	char *s = v ? g_strdup((char *)v) : NULL;

	xmlFree(v);
	return s;
}

/* The text of a child; NULL: there is none. */
static char *child_text(const xmlNode *n, const char *name)
{
	for (const xmlNode *c = n->children; c; c = c->next) {
		if (is(c, name)) {
			xmlChar *v = xmlNodeGetContent(c);
			char *s = g_strstrip(g_strdup((char *)v));

			xmlFree(v);
			return s;
		}
	}
	return NULL;
}

static uint64_t child_number(const xmlNode *n, const char *name)
{
	g_autofree char *s = child_text(n, name);

	return s ? g_ascii_strtoull(s, NULL, 10) : 0;
}

/* DSP0004's units: "byte * 2^20", and words some write instead. */
static uint64_t unit_of(const char *text)
{
	const char *power = text ? strstr(text, "2^") : NULL;
	uint64_t bits = power ? g_ascii_strtoull(power + 2, NULL, 10) : 0;

	if (power)
		return bits < 60 ? 1ull << bits : 1;
	if (!text || !*text || !g_ascii_strcasecmp(text, "byte") ||
		!g_ascii_strcasecmp(text, "bytes"))
		return 1;
	return !g_ascii_strncasecmp(text, "kilo", 4)                                      ? 1 << 10
	       : !g_ascii_strncasecmp(text, "mega", 4) || !g_ascii_strcasecmp(text, "MB") ? 1 << 20
	       : !g_ascii_strncasecmp(text, "giga", 4)                                    ? 1 << 30
											  : 1;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	return b && a > INT64_MAX / b ? INT64_MAX : a * b;
}

static void disk_free(void *p)
{
	struct ovf_disk *d = p;

	g_free(d->id);
	g_free(d->href);
	g_free(d->bus);
	g_free(d);
}

/* Calls each() for every element called `name`, at any depth. */
static void walk(const xmlNode *n, const char *name, void (*each)(const xmlNode *n, void *opaque),
	void *opaque)
{
	for (; n; n = n->next) {
		if (is(n, name))
			each(n, opaque);
		if (n->type == XML_ELEMENT_NODE)
			walk(n->children, name, each, opaque);
	}
}

struct parsing {
	struct ovf_machine *m;
	GHashTable *files; /* id -> href */
	GHashTable *disks; /* id -> struct ovf_disk *, of the description */
	GHashTable *buses; /* instance id -> "scsi" */
	unsigned systems;
};

static void on_file(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;
	char *id = attribute(n, "id");

	if (id)
		g_hash_table_replace(p->files, id, attribute(n, "href"));
}

static void on_disk(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;
	g_autofree char *file = attribute(n, "fileRef"), *capacity = attribute(n, "capacity"),
			*units = attribute(n, "capacityAllocationUnits");
	struct ovf_disk *d = g_new0(struct ovf_disk, 1);

	d->id = attribute(n, "diskId");
	d->href = file ? g_strdup(g_hash_table_lookup(p->files, file)) : NULL;
	d->capacity = capacity ? times(g_ascii_strtoull(capacity, NULL, 10), unit_of(units)) : 0;
	if (d->id && g_hash_table_size(p->disks) < DISKS_MAX)
		g_hash_table_replace(p->disks, d->id, d);
	else
		disk_free(d);
}

static void on_controller(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;
	uint64_t type = child_number(n, "ResourceType");
	char *id = child_text(n, "InstanceID");
	const char *bus = type == TYPE_IDE    ? "ide"
			  : type == TYPE_SCSI ? "scsi"
			  : type == TYPE_SATA ? "sata"
					      : NULL;

	if (bus && id)
		g_hash_table_replace(p->buses, id, (char *)bus);
	else
		g_free(id);
}

static void add_disk(struct parsing *p, const xmlNode *n)
{
	g_autofree char *resource = child_text(n, "HostResource"),
			*parent = child_text(n, "Parent");
	const char *id = resource ? strrchr(resource, '/') : NULL;
	const struct ovf_disk *of = id ? g_hash_table_lookup(p->disks, id + 1) : NULL;
	struct ovf_disk *d;

	if (!of || p->m->disks->len >= DISKS_MAX)
		return;
	d = g_new0(struct ovf_disk, 1);
	*d = (struct ovf_disk){ .id = g_strdup(of->id),
		.href = g_strdup(of->href),
		.capacity = of->capacity,
		.bus = g_strdup(parent ? g_hash_table_lookup(p->buses, parent) : NULL) };
	g_ptr_array_add(p->m->disks, d);
}

static void on_item(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;
	uint64_t quantity = child_number(n, "VirtualQuantity");
	g_autofree char *units = child_text(n, "AllocationUnits"), *net = NULL;

	switch (child_number(n, "ResourceType")) {
	case TYPE_CPU: p->m->cpus = (unsigned)CLAMP(quantity, 1, 4096); break;
	case TYPE_MEMORY: p->m->memory = times(quantity, units ? unit_of(units) : 1 << 20); break;
	case TYPE_DISK: add_disk(p, n); break;
	case TYPE_NET:
		net = child_text(n, "Connection");
		if (p->m->nets->len < DISKS_MAX)
			g_ptr_array_add(p->m->nets, g_strdup(net ? net : ""));
		break;
	}
}

static void on_system(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;

	p->systems++;
	if (p->m->name)
		return;
	p->m->name = child_text(n, "Name");
	if (!p->m->name)
		p->m->name = attribute(n, "id");
}

static void on_os(const xmlNode *n, void *opaque)
{
	struct parsing *p = opaque;

	if (!p->m->os)
		p->m->os = child_text(n, "Description");
}

struct ovf_machine *ovf_parse(const char *xml, size_t n, const char *path, GError **error)
{
	/* Nothing is fetched and no entity expanded. */
	xmlDoc *doc = xmlReadMemory(xml, (int)n, "ovf", NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	struct ovf_machine *m = g_new0(struct ovf_machine, 1);
	struct parsing p = { .m = m };

	m->cpus = 1;
	m->disks = g_ptr_array_new_with_free_func(disk_free);
	m->nets = g_ptr_array_new_with_free_func(g_free);
	p.files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	p.disks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, disk_free);
	p.buses = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	walk(root, "File", on_file, &p);
	walk(root, "Disk", on_disk, &p);
	walk(root, "VirtualSystem", on_system, &p);
	walk(root, "OperatingSystemSection", on_os, &p);
	walk(root, "Item", on_controller, &p);
	walk(root, "StorageItem", on_controller, &p);
	walk(root, "Item", on_item, &p);
	walk(root, "StorageItem", on_item, &p);
	walk(root, "EthernetPortItem", on_item, &p);
	if (p.systems != 1) {
		fail(error, LODGE_ERROR_FILE,
			p.systems ? "%s: describes several machines" : "%s: describes no machine",
			path);
		ovf_free(m);
		m = NULL;
	}
	g_hash_table_unref(p.files);
	g_hash_table_unref(p.disks);
	g_hash_table_unref(p.buses);
	xmlFreeDoc(doc);
	return m;
}

void ovf_free(struct ovf_machine *m)
{
	if (!m)
		return;
	g_free(m->name);
	g_free(m->os);
	g_ptr_array_unref(m->disks);
	g_ptr_array_unref(m->nets);
	g_free(m);
}
