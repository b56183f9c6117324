/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forward.h: rules that hand a port of the host to the guest. */
#ifndef NET_FORWARD_H
#define NET_FORWARD_H

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct forward {
	bool udp;
	struct in_addr host; /* the loopback address unless said */
	uint16_t host_port, guest_port;
};

/* "tcp|udp:[HOSTADDR:]HPORT:GPORT". IPv4 only: slirp cannot translate between the
 * two. 0 or -1 with error. */
int forward_parse(struct forward *f, const char *text, GError **error);

#endif
