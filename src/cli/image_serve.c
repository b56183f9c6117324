/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_serve.c: `lodge image serve`: an image for NBD clients. */
#include "cli/image.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/socket.h"
#include "image/nbd_server.h"

const struct cli_option image_serve_options[] = {
	OPT_FILE("the image"),
	OPT_FORMAT,
	{ "socket", 'k', CLI_TEXT, .value = "PATH", .complete = CLI_COMPLETE_FILE,
		.help = "listen on a unix socket" },
	{ "port", 'p', CLI_NUMBER, .value = "N", .help = "listen on a TCP port (default: 10809)" },
	{ "bind", 'b', CLI_TEXT, .value = "ADDRESS", .help = "of TCP (default: 127.0.0.1)" },
	{ "read-only", 'r', CLI_FLAG, .help = "clients may not write" },
	{ "export-name", 'x', CLI_TEXT, .value = "NAME", .help = "what the export is called" },
	{ "description", 'D', CLI_TEXT, .value = "TEXT", .help = "for clients that ask" },
	{ "shared", 'e', CLI_NUMBER, .value = "N",
		.help = "clients at a time (default: as many as come)" },
	{ "persistent", 't', CLI_FLAG, .help = "go on when the last client has left" },
	{ "cache", 0, CLI_CHOICE, .choices = image_cache_modes, .help = "none: direct I/O" },
	OPT_SHARE,
	OPT_ACCESS,
	{ NULL },
};
const char image_serve_help[] =
	"  lodge image serve -t --socket /run/disk.sock disk.qcow2\n"
	"  lodge image convert 'nbd+unix:///?socket=/run/disk.sock' copy.qcow2\n\n"
	"NBD has no passwords: over TCP everybody who reaches the port reads, and unless -r is "
	"given "
	"writes, the disk.";

enum { PORT = 10809, TICK_MS = 200 };

static int listen_at(struct cli *c, struct socket_address *a, GError **error)
{
	const char *path = cli_text(c, "socket"), *host = cli_text(c, "bind");
	g_autofree char *tcp = g_strdup_printf(
		"%s:%d", host ? host : "127.0.0.1", (int)cli_number(c, "port", PORT));
	int r = path ? socket_address_unix(a, path, error) : socket_address_tcp(a, tcp, error);

	return r < 0 ? -1 : socket_listen(a, error);
}

/* Until a signal comes or, unless persistent, the last client has left. */
static void accept_all(struct cli *c, struct nbd_server *s, int listener)
{
	bool persistent = cli_flag(c, "persistent"), served = false;

	while (!cli_interrupted(c)) {
		struct pollfd p[2] = { { listener, POLLIN, 0 }, { c->signals, POLLIN, 0 } };
		int fd;

		poll(p, 2, TICK_MS);
		while ((fd = socket_accept(listener)) >= 0)
			served |= !nbd_server_add(s, fd);
		if (served && !persistent && !nbd_server_clients(s))
			break;
	}
	c->error_status = 0; /* a signal is how it is meant to end */
}

int image_serve_run(struct cli *c, GError **error)
{
	struct nbd_server_options o = { .name = cli_text(c, "export-name"),
		.description = cli_text(c, "description"),
		.readonly = cli_flag(c, "read-only"),
		.clients = (unsigned)MAX(cli_number(c, "shared", 0), 0) };
	const char *path = cli_text(c, "socket");
	struct socket_address at;
	struct image_access a;
	struct image *im = NULL;
	struct nbd_server *s;
	int listener = -1;

	cli_catch_signals(c);
	if (!image_access_init(
		    &a, c, cli_text(c, "file"), cli_text(c, "format"), o.readonly, error)) {
		image_access_cache(&a, cli_text(c, "cache"));
		im = image_open(&a.o, error);
	}
	image_access_fini(&a);
	if (im)
		listener = listen_at(c, &at, error);
	if (listener >= 0) {
		cli_note(c, "lodge: %s is served at %s", image_path(im), at.text);
		s = nbd_server_new(im, &o);
		accept_all(c, s, listener);
		nbd_server_free(s);
		close(listener);
		if (path)
			unlink(path);
	}
	image_close(im);
	return listener < 0 ? -1 : 0;
}
