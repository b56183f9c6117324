/* SPDX-License-Identifier: GPL-2.0-or-later */
/* address.h: IP addresses and the subnets they are in. */
#ifndef MANAGER_NET_ADDRESS_H
#define MANAGER_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_TEXT = 46 }; /* longest, with its zero */

struct address {
	int family;        /* AF_INET, AF_INET6; 0: none */
	uint8_t bytes[16]; /* network order */
};

int address_parse(const char *text, struct address *ret);
void address_format(const struct address *a, char text[ADDRESS_TEXT]);
unsigned address_bits(const struct address *a); /* 32 or 128 */
bool address_equal(const struct address *a, const struct address *b);
/* <0, 0, >0 as memcmp; both of one family. */
int address_compare(const struct address *a, const struct address *b);
/* The first address of its subnet. */
struct address address_subnet(const struct address *a, unsigned prefix);
bool address_within(const struct address *a, const struct address *net, unsigned prefix);
struct address address_broadcast(
	const struct address *a, unsigned prefix); /* IPv4's; the last of it */
/* -1: the mask has holes. */
int netmask_prefix(const struct address *mask);
struct address prefix_netmask(int family, unsigned prefix);
/* Addresses from first to last, both counted; saturates. */
uint64_t address_distance(const struct address *first, const struct address *last);

#endif
