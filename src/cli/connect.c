/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connect.c: finds the daemon: a socket here, one behind ssh, a host with a certificate; starts the
 * user's own where there is none.
 */
#include "cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <jansson.h>

#include "base/error.h"
#include "base/socket.h"

enum {
	START_MS = 10000, /* a daemon we started must listen by then */
	SSH_MS = 30000,
	CONNECT_MS = 5000,
	IDLE_SECONDS = 300, /* a daemon we started ends after so long without work */
	HEAD_MAX = 8192,
};

#define SYSTEM_SOCKET "/run/lodge/lodge.sock"

static char *session_socket(void)
{
	return g_build_filename(g_get_user_runtime_dir(), "lodge", "lodge.sock", NULL);
}

static bool listens(const char *path)
{
	struct socket_address a;
	int fd;

	if (socket_address_unix(&a, path, NULL) < 0)
		return false;
	fd = socket_connect_wait(&a, CONNECT_MS, NULL);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool wait_for(const char *path, int ms, GPid pid)
{
	for (int64_t end = g_get_monotonic_time() + ms * 1000; g_get_monotonic_time() < end;) {
		if (listens(path))
			return true;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return listens(path);
		g_usleep(20000);
	}
	return false;
}

/* ---- the user's own daemon ---- */

/* Beside us, else in PATH; the caller's. */
static char *daemon_program(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
	char *beside = g_build_filename(folder, "lodged", NULL);

	if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
		return beside;
	g_free(beside);
	return g_find_program_in_path("lodged");
}

static void own_session(gpointer opaque)
{
	setsid();
}

static int start_daemon(const char *socket, bool session, GError **error)
{
	g_autofree char *program = daemon_program();
	g_autofree char *timeout = g_strdup_printf("--timeout=%d", IDLE_SECONDS);
	char *argv[] = { program, timeout, session ? "--session" : NULL, NULL };
	GPid pid;

	if (!program)
		return fail(error, LODGE_ERROR_HOST,
			"no daemon listens on %s, and there is no lodged to start one", socket);
	if (!g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
		    own_session, NULL, &pid, error))
		return -1;
	if (wait_for(socket, START_MS, pid))
		return 0;
	return fail(error, LODGE_ERROR_HOST,
		"started lodged, but it does not listen on %s; run '%s%s' to see why", socket,
		program, session ? " --session" : "");
}

static int at_socket(struct connection *c, const char *path)
{
	c->socket = g_strdup(path);
	c->name = g_strdup(path);
	c->base = g_strdup("http://lodge/v1");
	return 0;
}

static int at_session(struct connection *c, GError **error)
{
	g_autofree char *path = session_socket();

	if (!listens(path) && start_daemon(path, true, error) < 0)
		return -1;
	return at_socket(c, path);
}

static int at_system(struct connection *c, GError **error)
{
	if (!listens(SYSTEM_SOCKET)) {
		if (geteuid() != 0)
			return fail(error, LODGE_ERROR_HOST,
				"no daemon that you may use listens on %s; start one as root "
				"('lodged'), or leave out -c for one of your own",
				SYSTEM_SOCKET);
		if (start_daemon(SYSTEM_SOCKET, false, error) < 0)
			return -1;
	}
	return at_socket(c, SYSTEM_SOCKET);
}

static int at_default(struct connection *c, GError **error)
{
	if (listens(SYSTEM_SOCKET))
		return at_socket(c, SYSTEM_SOCKET);
	return geteuid() == 0 ? at_system(c, error) : at_session(c, error);
}

/* ---- elsewhere ---- */

/* ssh forwards a socket of ours to theirs. */
static int at_ssh(struct connection *c, GUri *uri, GError **error)
{
	const char *remote = strcmp(g_uri_get_path(uri), "/session")
				     ? SYSTEM_SOCKET
				     : "/run/user/%i/lodge/lodge.sock";
	g_autofree char *port = g_strdup_printf("%d", g_uri_get_port(uri));
	g_autofree char *forward = NULL, *there = NULL;
	g_autoptr(GPtrArray) argv = g_ptr_array_new();

	if (!(c->folder = g_dir_make_tmp("lodge-XXXXXX", error)))
		return -1;
	c->socket = g_build_filename(c->folder, "sock", NULL);
	forward = g_strconcat(c->socket, ":", remote, NULL);
	there = g_uri_get_user(uri)
			? g_strconcat(g_uri_get_user(uri), "@", g_uri_get_host(uri), NULL)
			: g_strdup(g_uri_get_host(uri));
	g_ptr_array_add(argv, "ssh");
	g_ptr_array_add(argv, "-NT");
	g_ptr_array_add(argv, "-oExitOnForwardFailure=yes");
	if (g_uri_get_port(uri) > 0) {
		g_ptr_array_add(argv, "-p");
		g_ptr_array_add(argv, port);
	}
	g_ptr_array_add(argv, "-L");
	g_ptr_array_add(argv, forward);
	g_ptr_array_add(argv, "--");
	g_ptr_array_add(argv, there);
	g_ptr_array_add(argv, NULL);
	c->name = g_strdup(there);
	c->base = g_strdup("http://lodge/v1");
	if (!g_spawn_async(NULL, (char **)argv->pdata, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN,
		    NULL, NULL, &c->ssh, error))
		return -1;
	if (wait_for(c->socket, SSH_MS, c->ssh))
		return 0;
	return fail(error, LODGE_ERROR_HOST, "ssh to %s brings no way to the daemon's socket %s",
		there, remote);
}

static int at_tls(struct connection *c, GUri *uri, GError **error)
{
	const char *ca = g_getenv("LODGE_CA"), *token = g_getenv("LODGE_TOKEN");

	if (!token)
		return fail(error, LODGE_ERROR_USAGE,
			"https needs a token: put it into LODGE_TOKEN (the daemon's administrator "
			"makes one, see lodged(8))");
	c->token = g_strdup(token);
	c->ca_file = g_strdup(ca);
	c->name = g_strdup(g_uri_get_host(uri));
	c->base = g_strdup_printf("https://%s:%d/v1", g_uri_get_host(uri),
		g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : 16516);
	return 0;
}

static int resolve(struct connection *c, const char *text, GError **error)
{
	g_autoptr(GUri) uri = NULL;
	const char *scheme;

	if (!text)
		return at_default(c, error);
	if (*text == '/')
		return at_socket(c, text);
	uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
	scheme = uri ? g_uri_get_scheme(uri) : "";
	if (g_strcmp0(scheme, "https") == 0)
		return at_tls(c, uri, error);
	if (!g_strcmp0(scheme, "qemu+ssh") || !g_strcmp0(scheme, "ssh"))
		return at_ssh(c, uri, error);
	if (!g_strcmp0(scheme, "qemu") || !g_strcmp0(scheme, "qemu+unix") ||
		!g_strcmp0(scheme, "lodge")) {
		if (!strcmp(g_uri_get_path(uri), "/session"))
			return at_session(c, error);
		if (!strcmp(g_uri_get_path(uri), "/system"))
			return at_system(c, error);
	}
	return fail(error, LODGE_ERROR_USAGE,
		"'%s': expected qemu:///system, qemu:///session, qemu+ssh://HOST/system, "
		"https://HOST[:PORT] or the path of a socket",
		text);
}

struct connection *connection_open(const char *uri, GError **error)
{
	struct connection *c = g_new0(struct connection, 1);

	if (!uri)
		uri = g_getenv("LODGE_URI");
	if (!uri)
		uri = g_getenv("LIBVIRT_DEFAULT_URI");
	if (resolve(c, uri, error) == 0)
		return c;
	connection_close(c);
	return NULL;
}

void connection_close(struct connection *c)
{
	if (!c)
		return;
	if (c->ssh) {
		kill(c->ssh, SIGTERM);
		waitpid(c->ssh, NULL, 0);
	}
	if (c->folder) {
		g_unlink(c->socket);
		g_rmdir(c->folder);
	}
	g_free(c->name);
	g_free(c->base);
	g_free(c->socket);
	g_free(c->token);
	g_free(c->ca_file);
	g_free(c->folder);
	g_free(c);
}

/* ---- upgrade ---- */

/* Reads the head byte by byte: what follows it is not ours. */
static int read_head(int fd, GString *head, GError **error)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	while (!g_str_has_suffix(head->str, "\r\n\r\n")) {
		ssize_t n = read(fd, &byte, 1);

		if (n < 0 && errno == EAGAIN && poll(&p, 1, CONNECT_MS) > 0)
			continue;
		if (n <= 0 || head->len > HEAD_MAX)
			return fail(error, LODGE_ERROR_HOST, "the daemon hung up");
		g_string_append_c(head, byte);
	}
	return 0;
}

/* Of a refusal with its body still to come. */
static int upgrade_refused(int fd, const char *head, GError **error)
{
	char body[4096];
	ssize_t n = recv(fd, body, sizeof(body) - 1, 0);
	json_t *v = json_loadb(body, MAX(n, 0), JSON_DISABLE_EOF_CHECK, NULL);
	const char *message = NULL;

	json_unpack(v, "{s:{s:s}}", "error", "message", &message);
	fail(error, LODGE_ERROR_HOST, "%s", message ? message : head);
	json_decref(v);
	return -1;
}

int connection_upgrade(const struct connection *c, const char *path, GError **error)
{
	g_autofree char *request =
		g_strdup_printf("GET /v1%s HTTP/1.1\r\nHost: lodge\r\n"
				"Connection: Upgrade\r\nUpgrade: lodge-console\r\n\r\n",
			path);
	g_autoptr(GString) head = g_string_new(NULL);
	struct socket_address a;
	int fd;

	if (!c->socket)
		return fail(error, LODGE_ERROR_USAGE,
			"the console over https is for browsers; use "
			"qemu+ssh://%s/system",
			c->name);
	if (socket_address_unix(&a, c->socket, error) < 0)
		return -1;
	fd = socket_connect_wait(&a, CONNECT_MS, error);
	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	if (write(fd, request, strlen(request)) < 0 || read_head(fd, head, error) < 0) {
		if (error && !*error)
			fail_errno(error, LODGE_ERROR_HOST, errno, "the daemon hung up");
	} else if (g_str_has_prefix(head->str, "HTTP/1.1 101 ")) {
		return fd;
	} else {
		upgrade_refused(fd, head->str, error);
	}
	close(fd);
	return -1;
}
