/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device.c: the commands that plug in and take out: they make the device's XML and send it. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <libxml/parser.h>

#include "base/error.h"
#include "cli/daemon.h"
#include "cli/machine.h"

#define WHERE_OPTIONS                                                                              \
	{ "live", 0, CLI_FLAG, .help = "change the running machine" },                             \
		{ "config", 0, CLI_FLAG, .help = "change the kept definition" },                   \
		{ "persistent", 0, CLI_FLAG, .help = "change both" },                              \
	{                                                                                          \
		"current", 0, CLI_FLAG,                                                            \
			.help = "change the running machine, or the kept one if it is off"         \
	}

/* Where a change goes when nothing is said: the running machine and, if it is kept, its definition,
 * so that it is still there after the next start. */
static char *devices_path(struct cli *c)
{
	g_autofree char *base = client_path("/machines/%s/devices", cli_text(c, "domain"));
	bool live = cli_flag(c, "live") || cli_flag(c, "persistent");
	bool config = cli_flag(c, "config") || cli_flag(c, "persistent");

	if (!live && !config)
		return g_steal_pointer(&base);
	return g_strdup_printf(
		"%s?live=%s&config=%s", base, live ? "true" : "false", config ? "true" : "false");
}

static int send_device(
	struct cli *c, const char *method, const char *xml, const char *done, GError **error)
{
	if (cli_flag(c, "print-xml")) {
		puts(xml);
		return 0;
	}
	return daemon_do_xml(c, method, devices_path(c), xml, done, error);
}

#define PRINT_OPTION                                                                               \
	{                                                                                          \
		"print-xml", 0, CLI_FLAG, .help = "show the device's XML, change nothing"          \
	}

/* ---- any device ---- */

const struct cli_option device_xml_options[] = {
	MACHINE_ARGUMENT,
	{ "file", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "the device's XML; - reads it from the standard input" },
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int device_xml_run(struct cli *c, GError **error)
{
	static const char *const methods[][3] = { { "attach-device", "POST", "Attached" },
		{ "detach-device", "DELETE", "Detached" }, { "update-device", "PUT", "Changed" } };
	g_autofree char *xml = daemon_read_file(cli_text(c, "file"), error);

	for (unsigned i = 0; xml && i < G_N_ELEMENTS(methods); i++) {
		if (!strcmp(c->verb->name, methods[i][0]))
			return daemon_do_xml(
				c, methods[i][1], devices_path(c), xml, methods[i][2], error);
	}
	return -1;
}

/* ---- disks ---- */

static const char *const disk_types[] = { "disk", "cdrom", NULL };
static const char *const disk_modes[] = { "readonly", "shareable", NULL };

const struct cli_option device_disk_options[] = {
	MACHINE_ARGUMENT,
	{ "source", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "the image, or a block device" },
	{ "target", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,
		.help = "the disk's name: vdb, vdc, …" },
	{ "driver", 0, CLI_TEXT, CLI_HIDDEN },
	{ "subdriver", 0, CLI_TEXT, .value = "FORMAT",
		.help = "the image's format: raw, qcow2, …" },
	{ "format", 'f', CLI_TEXT, .help = "the same" },
	{ "cache", 0, CLI_TEXT, .value = "MODE", .help = "none, writeback, …" },
	{ "io", 0, CLI_TEXT, CLI_HIDDEN },
	{ "type", 0, CLI_CHOICE, .choices = disk_types, .help = "what it is" },
	{ "mode", 0, CLI_CHOICE, .choices = disk_modes, .help = "how it may be used" },
	{ "serial", 0, CLI_TEXT, .value = "TEXT", .help = "the serial number the guest sees" },
	{ "targetbus", 0, CLI_TEXT, .value = "BUS", .help = "virtio" },
	{ "sourcetype", 0, CLI_TEXT, CLI_HIDDEN },
	PRINT_OPTION,
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

static void attribute(GString *s, const char *name, const char *value)
{
	g_autofree char *escaped = value ? g_markup_escape_text(value, -1) : NULL;

	if (value)
		g_string_append_printf(s, " %s='%s'", name, escaped);
}

static void element(GString *s, const char *name, const char *value)
{
	g_autofree char *escaped = value ? g_markup_escape_text(value, -1) : NULL;

	if (value)
		g_string_append_printf(s, "<%s>%s</%s>", name, escaped, name);
}

/* What was said, else what the name's ending suggests: the daemon never guesses by content. */
static const char *disk_format(const struct cli *c, const char *source)
{
	static const char *const endings[][2] = { { ".qcow2", "qcow2" }, { ".vmdk", "vmdk" },
		{ ".vdi", "vdi" }, { ".vhd", "vpc" }, { ".vhdx", "vhdx" } };
	const char *said =
		cli_text(c, "subdriver") ? cli_text(c, "subdriver") : cli_text(c, "format");

	for (unsigned i = 0; !said && i < G_N_ELEMENTS(endings); i++) {
		if (g_str_has_suffix(source, endings[i][0]))
			said = endings[i][1];
	}
	return said ? said : "raw";
}

int device_disk_attach_run(struct cli *c, GError **error)
{
	g_autofree char *source = g_canonicalize_filename(cli_text(c, "source"), NULL);
	g_autoptr(GString) s = g_string_new("<disk");
	const char *mode = cli_text(c, "mode");
	struct stat st;
	bool block = stat(source, &st) == 0 && S_ISBLK(st.st_mode);

	attribute(s, "type", block ? "block" : "file");
	attribute(s, "device", cli_text(c, "type") ? cli_text(c, "type") : "disk");
	g_string_append(s, "><driver name='qemu'");
	attribute(s, "type", disk_format(c, source));
	attribute(s, "cache", cli_text(c, "cache"));
	g_string_append(s, "/><source");
	attribute(s, block ? "dev" : "file", source);
	g_string_append(s, "/><target");
	attribute(s, "dev", cli_text(c, "target"));
	attribute(s, "bus", cli_text(c, "targetbus") ? cli_text(c, "targetbus") : "virtio");
	g_string_append(s, "/>");
	if (mode)
		g_string_append_printf(s, "<%s/>", mode);
	element(s, "serial", cli_text(c, "serial"));
	g_string_append(s, "</disk>");
	return send_device(c, "POST", s->str, "Disk attached", error);
}

const struct cli_option device_target_options[] = {
	MACHINE_ARGUMENT,
	{ "target", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED,
		.help = "the disk's name: vdb, vdc, …" },
	PRINT_OPTION,
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int device_disk_detach_run(struct cli *c, GError **error)
{
	g_autoptr(GString) s = g_string_new("<disk><target");

	attribute(s, "dev", cli_text(c, "target"));
	g_string_append(s, "/></disk>");
	return send_device(c, "DELETE", s->str, "Disk detached", error);
}

/* ---- cards ---- */

static const char *const card_types[] = { "network", "bridge", "user", "direct", NULL };

const struct cli_option device_card_options[] = {
	MACHINE_ARGUMENT,
	{ "type", 0, CLI_CHOICE, CLI_POSITIONAL | CLI_REQUIRED, .choices = card_types,
		.help = "what it is plugged into" },
	{ "source", 0, CLI_TEXT, CLI_POSITIONAL, .help = "the network, bridge or interface",
		.complete = COMPLETE_NETWORK },
	{ "mac", 0, CLI_TEXT, .value = "ADDRESS", .help = "its address (default: a new one)" },
	{ "model", 0, CLI_TEXT, .help = "virtio" },
	{ "target", 0, CLI_TEXT, .value = "NAME", .help = "name of the host's end" },
	{ "script", 0, CLI_TEXT, CLI_HIDDEN },
	PRINT_OPTION,
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int device_card_attach_run(struct cli *c, GError **error)
{
	const char *type = cli_text(c, "type"), *source = cli_text(c, "source");
	g_autoptr(GString) s = g_string_new("<interface");

	if (!source && strcmp(type, "user"))
		return fail(error, LODGE_ERROR_USAGE,
			"which %s? 'lodge attach-interface %s %s NAME'", type,
			cli_text(c, "domain"), type);
	attribute(s, "type", type);
	g_string_append_c(s, '>');
	if (cli_text(c, "mac")) {
		g_string_append(s, "<mac");
		attribute(s, "address", cli_text(c, "mac"));
		g_string_append(s, "/>");
	}
	if (source) {
		g_string_append(s, "<source");
		attribute(s, strcmp(type, "direct") ? type : "dev", source);
		g_string_append(s, "/>");
	}
	if (cli_text(c, "target")) {
		g_string_append(s, "<target");
		attribute(s, "dev", cli_text(c, "target"));
		g_string_append(s, "/>");
	}
	g_string_append(s, "<model");
	attribute(s, "type", cli_text(c, "model") ? cli_text(c, "model") : "virtio");
	g_string_append(s, "/></interface>");
	return send_device(c, "POST", s->str, "Network card attached", error);
}

const struct cli_option device_card_gone_options[] = {
	MACHINE_ARGUMENT,
	{ "type", 0, CLI_TEXT, CLI_POSITIONAL, .help = "as virsh wants it; not needed" },
	{ "mac", 0, CLI_TEXT, CLI_REQUIRED, .value = "ADDRESS", .help = "its address" },
	PRINT_OPTION,
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

int device_card_detach_run(struct cli *c, GError **error)
{
	g_autoptr(GString) s = g_string_new("<interface><mac");

	attribute(s, "address", cli_text(c, "mac"));
	g_string_append(s, "/></interface>");
	return send_device(c, "DELETE", s->str, "Network card detached", error);
}

/* ---- the cable ---- */

static const char *const link_states[] = { "up", "down", NULL };

const struct cli_option device_link_options[] = {
	MACHINE_ARGUMENT,
	{ "interface", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .value = "ADDRESS",
		.help = "the card's MAC address" },
	{ "state", 0, CLI_CHOICE, CLI_POSITIONAL | CLI_REQUIRED, .choices = link_states,
		.help = "whether the cable is in" },
	PRINT_OPTION,
	WHERE_OPTIONS,
	CLIENT_OPTIONS,
	{ NULL },
};

static xmlNode *child(xmlNode *n, const char *name)
{
	for (n = n ? n->children : NULL; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name))
			return n;
	}
	return NULL;
}

/* The card with that address in a machine's definition; NULL: there is none. */
static xmlNode *find_card(xmlDoc *doc, const char *mac)
{
	xmlNode *devices = child(xmlDocGetRootElement(doc), "devices");

	for (xmlNode *n = child(devices, "interface"); n; n = n->next) {
		xmlChar *has = xmlGetProp(child(n, "mac"), BAD_CAST "address");
		bool same = has && !g_ascii_strcasecmp((const char *)has, mac);

		xmlFree(has);
		if (same)
			return n;
	}
	return NULL;
}

/* The card's own definition with the cable in or out; NULL: no such card. */
static char *card_with_link(const char *xml, const char *mac, const char *state)
{
	xmlDoc *doc = xmlReadMemory(
		xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
	xmlNode *card = doc ? find_card(doc, mac) : NULL, *link;
	xmlBuffer *out = xmlBufferCreate();
	char *text = NULL;

	if (card) {
		link = child(card, "link");
		if (!link)
			link = xmlNewChild(card, NULL, BAD_CAST "link", NULL);
		xmlSetProp(link, BAD_CAST "state", BAD_CAST state);
		xmlNodeDump(out, doc, card, 0, 0);
		text = g_strdup((const char *)xmlBufferContent(out));
	}
	xmlBufferFree(out);
	xmlFreeDoc(doc);
	return text;
}

int device_link_run(struct cli *c, GError **error)
{
	const char *mac = cli_text(c, "interface");
	g_autofree char *path = client_path("/machines/%s/xml", cli_text(c, "domain"));
	struct client *cl = client_open(c, error);
	g_autofree char *xml = cl ? client_text(cl, path, error) : NULL, *card = NULL;

	client_close(cl);
	if (!xml)
		return -1;
	card = card_with_link(xml, mac, cli_text(c, "state"));
	if (!card)
		return fail(error, LODGE_ERROR_USAGE,
			"%s has no card with the address %s; 'lodge domiflist %s' lists them",
			cli_text(c, "domain"), mac, cli_text(c, "domain"));
	return send_device(c, "PUT", card, "Done", error);
}
