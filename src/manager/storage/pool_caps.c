/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_caps.c: what kinds of pools and volumes there are. Spec: libvirt, formatstoragecaps.html. */
#include "image/format.h"
#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

/* libvirt's other kinds: known, so that clients do not offer them. */
static const char *const others[] = { "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog",
	"gluster", "zfs", "vstorage" };
static const char *const volume_words[] = { "raw", "qcow2", "qcow", "vmdk", "vdi", "vpc", "qed",
	"dir" };

static void values(xmlNode *options, const char *what, const char *name, const char *preset)
{
	xmlNode *e;

	if (!xml_child(options, "defaultFormat"))
		xml_set(options, "defaultFormat/@type", preset);
	e = xml_child(options, "enum");
	if (!e) {
		e = xml_add(options, "enum", NULL);
		xml_set_attr(e, "name", name);
	}
	xml_add(e, "value", what);
}

static bool can_make(const char *word)
{
	const char *image = volume_image_format(word);
	const struct image_format *f = image ? format_by_name(image) : NULL;

	return (f && f->create) || !g_strcmp0(word, "dir");
}

char *pool_capabilities(void)
{
	g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNode *root = xmlNewNode(NULL, (const xmlChar *)"storagepoolCapabilities");

	xmlDocSetRootElement(doc, root);
	for (unsigned i = 0; pool_kinds[i]; i++) {
		const struct pool_kind *k = pool_kinds[i];
		xmlNode *p = xml_add(root, "pool", NULL);

		xml_set_attr(p, "type", k->type);
		xml_set_attr(p, "supported", "yes");
		for (unsigned f = 0; k->formats && k->formats[f]; f++)
			values(xml_want(p, "poolOptions"), k->formats[f], "sourceFormatType",
				k->formats[0]);
		for (unsigned f = 0; k->files && f < G_N_ELEMENTS(volume_words); f++) {
			if (can_make(volume_words[f]))
				values(xml_want(p, "volOptions"), volume_words[f],
					"targetFormatType", "raw");
		}
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
		xmlNode *p = xml_add(root, "pool", NULL);

		xml_set_attr(p, "type", others[i]);
		xml_set_attr(p, "supported", "no");
	}
	return xml_format(root);
}
