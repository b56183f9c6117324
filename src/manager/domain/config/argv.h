/* SPDX-License-Identifier: GPL-2.0-or-later */
/* argv.h: a machine's definition as lodge-vm's command line. */
#ifndef MANAGER_CONFIG_ARGV_H
#define MANAGER_CONFIG_ARGV_H

#include "manager/domain/config/config.h"

/* What a start adds to the definition. Borrowed; by the index of the device in config->devices. */
struct argv_parts {
	const char *lodge_vm, *qmp, *load; /* load NULL: boot */
	char *const *disk_paths;           /* of volumes; NULL: the definition's */
	char *const *sockets;              /* of unix channels that have no path */
	const int (*tap_fds)[16];          /* -1 ends; NULL: tap by name */
	unsigned vcpus;                    /* at the start; 0: the definition's */
	bool paused;
};

/* NULL-terminated, free with g_strfreev(). NULL with error for what cannot be said. */
char **argv_make(const struct domain_config *c, const struct argv_parts *p, GError **error);
/* For `--disk` and device_add: text with every comma doubled. Owned by the caller. */
char *argv_escape(const char *text);

#endif
