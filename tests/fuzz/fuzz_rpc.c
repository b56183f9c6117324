/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_rpc.c: libFuzzer target: a client's bytes, in pieces, at the server of libvirt's protocol. The client
 * has not authenticated itself, so that framing, dispatch and authentication are reached, and nothing that
 * would change the host that the fuzzer runs on. Whatever comes back must be frames.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"
#include "manager/door.h"
#include "manager/event.h"
#include "manager/manager.h"
#include "manager/rpc/sasl.h"
#include "manager/rpc/server.h"
#include "wire/xdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(int fd, GByteArray *out)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		g_byte_array_append(out, buf, (guint)n);
}

/* Whole frames only. */
static void check(const GByteArray *out)
{
	guint at = 0;

	while (at + 4 <= out->len) {
		uint32_t size = xdr_get_u32(out->data + at);

		if (size < 28 || size > 33554436)
			__builtin_trap();
		at += size;
	}
	if (at > out->len)
		__builtin_trap();
}

/* The next of the client's bytes: as they are, or as a frame with a true head, so that what is behind the
 * length is reached. */
static size_t next_piece(struct input *in, uint8_t *piece, size_t size)
{
	unsigned kind = (unsigned)in_get(in, 1);
	size_t n = kind & 0x7f;
	const uint32_t programs[] = { 0x20008086, 0x20008087, 0x6b656570, (uint32_t)in_get(in, 1) };
	uint32_t words[7] = { 0, programs[in_get(in, 1) & 3], 1 };

	if (kind & 0x80)
		return in_bytes(in, piece, n * 4);
	words[2] = in_get(in, 1) & 0x80 ? 2 : 1;
	words[3] = in_get(in, 1) & 1 ? 66 + (uint32_t)in_get(in, 1) % 5 : (uint32_t)in_get(in, 2) % 500;
	words[4] = (uint32_t)in_get(in, 1) % 8;
	words[5] = (uint32_t)in_get(in, 1);
	words[6] = (uint32_t)in_get(in, 1) % 4;
	n = in_bytes(in, piece + 28, MIN(n * 2, size - 28));
	words[0] = 28 + (uint32_t)n;
	for (int i = 0; i < 7; i++)
		xdr_put_u32(piece + i * 4, words[i]);
	return 28 + n;
}

static struct rpc_server *server(void)
{
	static struct manager m;
	static struct door_config doors;
	static struct rpc_server *s;

	if (s)
		return s;
	m.events = event_bus_new();
	s = rpc_server_new(&m, &rpc_limits_default, NULL);
	rpc_server_set_doors(s, &doors);
	if (sasl_begin(NULL) < 0)
		__builtin_trap();
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct caller caller = { .identity = g_strdup("fuzz"), .address = g_strdup("fuzz"), .uid = (uid_t)-1 };
	struct rpc_server *s = server();
	struct input in = { data, size };
	g_autoptr(GByteArray) out = g_byte_array_new();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
		return 0;
	rpc_server_add(s, transport_plain(pair[0], true), &caller, RPC_AUTH_SASL);
	while (in_more(&in)) {
		uint8_t piece[512];
		size_t n = next_piece(&in, piece, sizeof(piece));

		if (n && send(pair[1], piece, n, MSG_NOSIGNAL) < 0)
			break;
		while (g_main_context_iteration(NULL, FALSE))
			;
		drain(pair[1], out);
	}
	shutdown(pair[1], SHUT_WR);
	for (int i = 0; i < 1000 && rpc_server_client_count(s); i++) {
		g_main_context_iteration(NULL, FALSE);
		drain(pair[1], out);
		if (i > 10)
			g_usleep(100);
	}
	drain(pair[1], out);
	if (rpc_server_client_count(s))
		__builtin_trap(); /* it has gone, and still stands there */
	check(out);
	close(pair[1]);
	return 0;
}
