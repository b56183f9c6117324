/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.h: what run, shell and cp share: the ready-made guests, and the way into a running one. */
#ifndef CLI_GUEST_H
#define CLI_GUEST_H

#include "cli/client.h"

/* A ready-made guest's files, on this host. */
struct guest_files {
	char *folder, *kernel, *initrd, *disk, *key, *cmdline; /* owned */
	char *version; /* changes when the guest does; owned */
};
/* Prepares the guest `name` ("debian") if it is not there yet, which takes minutes the first time.
 */
int guest_prepare(
	const struct cli *c, const char *name, struct guest_files *ret_files, GError **error);
void guest_files_clear(struct guest_files *f);

/* How ssh reaches a machine. */
struct guest_address {
	char *host, *port, *key; /* owned; key NULL: the person's own */
};
/* Waits up to `seconds` until something answers there. */
int guest_find(struct cli *c, struct client *cl, const char *machine, int seconds,
	struct guest_address *ret_address, GError **error);
void guest_address_clear(struct guest_address *a);
/* ssh's options for it, to be followed by "user@host" and the rest; the strings are the caller's.
 */
void guest_ssh_options(const struct guest_address *a, GPtrArray *argv, bool copy);

#endif
