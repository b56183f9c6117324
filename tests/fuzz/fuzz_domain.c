/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_domain.c: libFuzzer target: a machine's XML. What is accepted has a normal form that is accepted again
 * and stays as it is, and becomes a command line.
 */
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "manager/domain/config/argv.h"
#include "manager/domain/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct domain_config *c, unsigned flags)
{
	struct domain_config *second = domain_config_parse(c->xml, flags, NULL);

	if (!second || strcmp(second->xml, c->xml) != 0)
		__builtin_trap();
	domain_config_unref(second);
}

static void plug(const struct domain_config *c)
{
	static const char disk[] = "<disk type='file'><source file='/x'/><target dev='vdzz' bus='virtio'/></disk>";
	struct config_device *d = NULL;
	struct domain_config *with = domain_config_add_device(c, 0, disk, &d, NULL), *without;

	if (!with)
		return;
	if (!d || d->kind != DEVICE_DISK)
		__builtin_trap();
	without = domain_config_remove_device(with, 0, d, NULL);
	if (!without)
		__builtin_trap();
	domain_config_unref(without);
	domain_config_unref(with);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte chooses; what a client sends as a document follows, or the inside of one. */
	unsigned flags = size && *data & 1 ? CONFIG_LIVE : 0;
	g_autofree char *text = size ? g_strndup((const char *)data + 1, size - 1) : NULL;
	g_autofree char *whole = NULL;
	struct argv_parts parts = { .lodge_vm = "lodge-vm", .qmp = "/q", .paused = true };
	struct domain_config *c;

	if (!text)
		return 0;
	whole = *data & 2 ? g_strdup(text) : g_strdup_printf("<domain type='qemu'><name>n</name>"
		"<memory>65536</memory><os><type>hvm</type><kernel>/k</kernel></os>%s</domain>", text);
	c = domain_config_parse(whole, flags, NULL);
	if (c) {
		g_auto(GStrv) argv = NULL;
		char **sockets = g_new0(char *, c->devices->len + 1), **paths = g_new0(char *,
			c->devices->len + 1);

		for (guint i = 0; i < c->devices->len; i++)
			sockets[i] = paths[i] = (char *)"/some/where";
		parts.sockets = sockets;
		parts.disk_paths = paths;
		again(c, flags);
		plug(c);
		argv = argv_make(c, &parts, NULL);
		g_free(sockets);
		g_free(paths);
	}
	domain_config_unref(c);
	return 0;
}
