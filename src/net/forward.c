/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forward.c: text to forwarding rule. */
#include "net/forward.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"

static bool parse_port(const char *text, uint16_t *port)
{
	guint64 n;

	if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &n, NULL))
		return false;
	*port = n;
	return true;
}

/* Cuts the text behind the last colon off. */
static char *cut_last(char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return NULL;
	*colon = 0;
	return colon + 1;
}

int forward_parse(struct forward *f, const char *text, GError **error)
{
	g_autofree char *copy = g_strdup(text);
	char *rest = copy, *guest, *host;

	memset(f, 0, sizeof(*f));
	f->udp = g_str_has_prefix(copy, "udp:");
	if (!f->udp && !g_str_has_prefix(copy, "tcp:"))
		goto bad;
	rest += 4;
	guest = cut_last(rest);
	if (!guest || !parse_port(guest, &f->guest_port))
		goto bad;
	host = cut_last(rest);
	if (!parse_port(host ? host : rest, &f->host_port) ||
	    inet_pton(AF_INET, host ? rest : "127.0.0.1", &f->host) != 1)
		goto bad;
	return 0;
bad:
	return fail(error, LODGE_ERROR_USAGE,
		    "forward=%s: expected tcp:[HOSTADDR:]HOSTPORT:GUESTPORT or udp:…, with ports "
		    "from 1 to 65535 and an IPv4 address",
		    text);
}
