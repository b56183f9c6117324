/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ids.c: UUIDs and MAC addresses. Spec: RFC 4122. */
#include "manager/ids.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int uuid_parse_text(const char *text, uint8_t uuid[16])
{
	uint8_t out[16];
	unsigned n = 0;

	for (; *text; text++) {
		if (*text == '-' && !(n & 1))
			continue;
		if (!g_ascii_isxdigit(*text) || n == 32)
			return -1;
		out[n / 2] = n & 1 ? out[n / 2] << 4 | g_ascii_xdigit_value(*text)
				   : g_ascii_xdigit_value(*text);
		n++;
	}
	if (n != 32)
		return -1;
	memcpy(uuid, out, 16);
	return 0;
}

void uuid_format(const uint8_t uuid[16], char text[37])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		*text++ = digits[uuid[i] >> 4];
		*text++ = digits[uuid[i] & 15];
		if (i == 3 || i == 5 || i == 7 || i == 9)
			*text++ = '-';
	}
	*text = 0;
}

/* RFC 4122, 4.4 */
void uuid_make(uint8_t uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		g_error("getrandom: %s", g_strerror(errno));
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

int mac_parse(const char *text, uint8_t mac[6])
{
	uint8_t out[6];

	for (unsigned i = 0; i < 6; i++) {
		char *end;

		if (!g_ascii_isxdigit(text[0]))
			return -1;
		out[i] = strtoul(text, &end, 16);
		if (end - text > 2 || *end != (i < 5 ? ':' : 0))
			return -1;
		text = end + 1;
	}
	memcpy(mac, out, 6);
	return 0;
}

void mac_format(const uint8_t mac[6], char text[18])
{
	g_snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}
