/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pool_xml.c: what pool and volume XML may hold. Spec: libvirt, formatstorage.html. */
#include "manager/storage/pool_priv.h"
#include "manager/xmlrule.h"

static const char *const pool_types[] = { "dir", "fs", "netfs", "logical", "disk", NULL };
static const char *const source_formats[] = { "auto", "ext2", "ext3", "ext4", "ufs", "iso9660",
	"udf", "gfs", "gfs2", "vfat", "hfs+", "xfs", "ocfs2", "vmfs", "nfs", "cifs", "glusterfs",
	"unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2", NULL };
static const char *const volume_types[] = { "file", "block", "dir", "network", "netdir", NULL };
static const char *const volume_formats[] = { "unknown", "raw", "dir", "bochs", "cloop", "dmg",
	"iso", "vpc", "vdi", "fat", "vhd", "ploop", "luks", "cow", "qcow", "qcow2", "qed", "vmdk",
	"none", "auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat",
	"hfs+", "xfs", "ocfs2", "vmfs", "linux", "fat16", "fat32", "linux-swap", "linux-lvm",
	"linux-raid", "extended", NULL };

/* Sizes are scaled; the normal form has bytes. */
static const struct xml_rule unit[] = { { "@unit", XML_TEXT }, { NULL } };

static const struct xml_rule permissions[] = { { "mode", XML_TEXT }, { "owner", XML_TEXT },
	{ "group", XML_TEXT }, { "label", XML_TEXT, XML_IGNORED }, { NULL } };
static const struct xml_rule name_only[] = { { "@name", XML_TEXT, XML_REQUIRED }, { NULL } };
static const struct xml_rule host[] = { { "@name", XML_DNS, XML_REQUIRED },
	{ "@port", XML_UINT, .max = 65535 }, { NULL } };
static const struct xml_rule device[] = { { "@path", XML_PATH, XML_REQUIRED },
	{ "@part_separator", XML_BOOL }, { "freeExtent", XML_VERBATIM, XML_IGNORED | XML_MANY },
	{ NULL } };
static const struct xml_rule folder[] = { { "@path", XML_TEXT, XML_REQUIRED }, { NULL } };
static const struct xml_rule source_format[] = {
	{ "@type", XML_ENUM, XML_REQUIRED, .choices = source_formats }, { NULL }
};
static const struct xml_rule protocol[] = { { "@ver", XML_TEXT, XML_REQUIRED }, { NULL } };
static const struct xml_rule source[] = { { "host", XML_NOTHING, XML_MANY, host },
	{ "device", XML_NOTHING, XML_MANY, device }, { "dir", XML_NOTHING, 0, folder },
	{ "adapter", XML_VERBATIM, XML_REFUSED }, { "initiator", XML_VERBATIM, XML_REFUSED },
	{ "auth", XML_VERBATIM, XML_REFUSED }, { "name", XML_NAME },
	{ "format", XML_NOTHING, 0, source_format }, { "protocol", XML_NOTHING, 0, protocol },
	{ "vendor", XML_NOTHING, 0, name_only }, { "product", XML_NOTHING, 0, name_only },
	{ NULL } };
static const struct xml_rule pool_target[] = { { "path", XML_PATH },
	{ "permissions", XML_NOTHING, 0, permissions }, { NULL } };
static const struct xml_rule pool[] = { { "@type", XML_ENUM, XML_REQUIRED, .choices = pool_types },
	{ "name", XML_NAME }, { "uuid", XML_UUID }, { "capacity", XML_SIZE, XML_IGNORED, unit },
	{ "allocation", XML_SIZE, XML_IGNORED, unit }, { "available", XML_SIZE, XML_IGNORED, unit },
	{ "features", XML_VERBATIM, XML_REFUSED }, { "source", XML_NOTHING, 0, source },
	{ "target", XML_NOTHING, 0, pool_target }, { "refresh", XML_VERBATIM, XML_REFUSED },
	/* Options of mount run as root on the host: not a client's to give. */
	{ "mount_opts", XML_VERBATIM, XML_REFUSED }, { NULL } };
const struct xml_rule pool_xml = { "pool", XML_NOTHING, 0, pool };

static const struct xml_rule volume_format[] = {
	{ "@type", XML_ENUM, XML_REQUIRED, .choices = volume_formats }, { NULL }
};
static const struct xml_rule features[] = { { "lazy_refcounts", XML_NOTHING },
	{ "extended_l2", XML_NOTHING }, { NULL } };
static const struct xml_rule volume_target[] = { { "path", XML_TEXT, XML_IGNORED },
	{ "format", XML_NOTHING, 0, volume_format }, { "permissions", XML_NOTHING, 0, permissions },
	{ "timestamps", XML_VERBATIM, XML_IGNORED }, { "encryption", XML_VERBATIM, XML_REFUSED },
	{ "compat", XML_TEXT }, { "nocow", XML_NOTHING }, { "clusterSize", XML_SIZE, 0, unit },
	{ "features", XML_NOTHING, 0, features }, { NULL } };
static const struct xml_rule backing_store[] = { { "path", XML_PATH, XML_REQUIRED },
	{ "format", XML_NOTHING, 0, volume_format }, { "permissions", XML_VERBATIM, XML_IGNORED },
	{ "timestamps", XML_VERBATIM, XML_IGNORED }, { NULL } };
static const struct xml_rule volume[] = { { "@type", XML_ENUM, .choices = volume_types },
	{ "name", XML_NAME, XML_REQUIRED }, { "key", XML_TEXT, XML_IGNORED },
	{ "source", XML_VERBATIM, XML_IGNORED }, { "capacity", XML_SIZE, 0, unit },
	{ "allocation", XML_SIZE, 0, unit }, { "physical", XML_SIZE, XML_IGNORED, unit },
	{ "target", XML_NOTHING, 0, volume_target },
	{ "backingStore", XML_NOTHING, 0, backing_store }, { NULL } };
const struct xml_rule volume_xml = { "volume", XML_NOTHING, 0, volume };
