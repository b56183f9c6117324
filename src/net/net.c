/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net.c: host ends of network cards: the table of kinds, and calls that go to them. */
#include "net/net.h"

#include <string.h>

#include "base/error.h"
#include "net/kind.h"

static const struct net_kind *const kinds[] = { &net_kind_user, &net_kind_tap, &net_kind_none, NULL };

bool net_option(const char *option, const char *key, const char **value)
{
	size_t n = strlen(key);

	if (strncmp(option, key, n) || (option[n] && option[n] != '='))
		return false;
	*value = option[n] ? option + n + 1 : "on";
	return true;
}

int net_parse_switch(const char *key, const char *value, bool *on, GError **error)
{
	*on = !strcmp(value, "on");
	if (!*on && strcmp(value, "off"))
		return fail(error, LODGE_ERROR_USAGE, "%s=%s: expected on or off", key, value);
	return 0;
}

struct netdev *net_open(const char *spec, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(spec, ",", -1);

	for (unsigned i = 0; parts[0] && kinds[i]; i++) {
		if (strcmp(kinds[i]->name, parts[0]))
			continue;
		struct netdev *n = g_new0(struct netdev, 1);

		n->kind = kinds[i];
		if (n->kind->open(n, parts + 1, error) == 0)
			return n;
		net_close(n);
		return NULL;
	}
	fail(error, LODGE_ERROR_USAGE, "network '%s': expected user, tap or none", spec);
	return NULL;
}

void net_close(struct netdev *n)
{
	if (!n)
		return;
	n->kind->close(n);
	g_free(n->description);
	g_free(n);
}

void net_attach(struct netdev *n, const struct net_user *u, void *opaque)
{
	n->user = u;
	n->opaque = opaque;
	if (u && u->link)
		u->link(opaque, n->kind != &net_kind_none);
	n->kind->flush_rx(n);
}

static void count(struct netdev *n, unsigned first, size_t bytes)
{
	atomic_fetch_add_explicit(&n->counts[first], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&n->counts[first + 1], bytes, memory_order_relaxed);
}

bool net_deliver(struct netdev *n, const uint8_t *frame, size_t size)
{
	bool taken = n->user->receive(n->opaque, frame, size);

	if (taken)
		count(n, 0, size);
	return taken;
}

struct net_stats net_stats(const struct netdev *n)
{
	return (struct net_stats){ n->counts[0], n->counts[1], n->counts[2], n->counts[3] };
}

void net_send(struct netdev *n, const struct iovec *iov, int iovcnt)
{
	size_t bytes = 0;

	for (int i = 0; i < iovcnt; i++)
		bytes += iov[i].iov_len;
	count(n, 2, bytes);
	n->kind->send(n, iov, iovcnt);
}

void net_flush_rx(struct netdev *n)
{
	n->kind->flush_rx(n);
}

uint32_t net_offloads(const struct netdev *n)
{
	return n->kind->offloads ? n->kind->offloads(n) : 0;
}

bool net_vnet_hdr(const struct netdev *n)
{
	return n->kind->vnet_hdr && n->kind->vnet_hdr(n);
}

unsigned net_mtu(const struct netdev *n)
{
	return n->kind->mtu ? n->kind->mtu(n) : 1500;
}

void net_set_offloads(struct netdev *n, uint32_t offloads)
{
	if (n->kind->set_offloads)
		n->kind->set_offloads(n, offloads);
}

const char *net_describe(const struct netdev *n)
{
	return n->description;
}

/* ---- none: a card without a cable ---- */

static int none_open(struct netdev *n, char **options, GError **error)
{
	if (options[0])
		return fail(error, LODGE_ERROR_USAGE, "network none has no option '%s'",
			    options[0]);
	n->description = g_strdup("not connected");
	return 0;
}

static void none_close(struct netdev *n)
{
}

static void none_send(struct netdev *n, const struct iovec *iov, int iovcnt)
{
}

static void none_flush_rx(struct netdev *n)
{
}

const struct net_kind net_kind_none = {
	.name = "none",
	.open = none_open,
	.close = none_close,
	.send = none_send,
	.flush_rx = none_flush_rx,
};
