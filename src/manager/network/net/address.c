/* SPDX-License-Identifier: GPL-2.0-or-later */
/* address.c: IP addresses and subnets. */
#include "manager/network/net/address.h"

#include <arpa/inet.h>
#include <string.h>

int address_parse(const char *text, struct address *ret)
{
	struct address a = { 0 };

	if (inet_pton(AF_INET, text, a.bytes) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, text, a.bytes) == 1)
		a.family = AF_INET6;
	else
		return -1;
	*ret = a;
	return 0;
}

void address_format(const struct address *a, char text[ADDRESS_TEXT])
{
	if (!inet_ntop(a->family, a->bytes, text, ADDRESS_TEXT))
		text[0] = 0;
}

unsigned address_bits(const struct address *a)
{
	return a->family == AF_INET ? 32 : 128;
}

int address_compare(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, address_bits(a) / 8);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && !address_compare(a, b);
}

struct address prefix_netmask(int family, unsigned prefix)
{
	struct address m = { .family = family };

	for (unsigned i = 0; i < prefix && i < address_bits(&m); i++)
		m.bytes[i / 8] |= 0x80 >> i % 8;
	return m;
}

struct address address_subnet(const struct address *a, unsigned prefix)
{
	struct address m = prefix_netmask(a->family, prefix);

	for (unsigned i = 0; i < 16; i++)
		m.bytes[i] &= a->bytes[i];
	return m;
}

struct address address_broadcast(const struct address *a, unsigned prefix)
{
	struct address m = prefix_netmask(a->family, prefix), out = *a;

	for (unsigned i = 0; i < address_bits(a) / 8; i++)
		out.bytes[i] |= ~m.bytes[i];
	return out;
}

bool address_within(const struct address *a, const struct address *net, unsigned prefix)
{
	struct address x, y;

	if (a->family != net->family)
		return false;
	x = address_subnet(a, prefix);
	y = address_subnet(net, prefix);
	return address_equal(&x, &y);
}

int netmask_prefix(const struct address *mask)
{
	for (unsigned p = 0; p <= address_bits(mask); p++) {
		struct address m = prefix_netmask(mask->family, p);

		if (address_equal(&m, mask))
			return p;
	}
	return -1;
}

uint64_t address_distance(const struct address *first, const struct address *last)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < address_bits(first) / 8; i++) {
		int d = last->bytes[i] - first->bytes[i];

		if (n > UINT64_MAX >> 9)
			return UINT64_MAX;
		n = n * 256 + d;
	}
	return n + 1;
}
