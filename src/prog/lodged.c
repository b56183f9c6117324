/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lodged.c: the daemon that keeps a host's machines, networks and storage. */
#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"
#include "manager/domain/domain.h"
#include "manager/door.h"
#include "manager/manager.h"
#include "manager/rest/rest.h"
#include "manager/rpc/server.h"

struct options {
	struct manager_options manager;
	char *root, *config, *socket, *socket_mode, *tcp, *tls, *rest, *lodge_vm;
	gboolean session, version;
	int timeout;
};

struct daemon {
	GMainLoop *loop;
	struct manager *manager;
	struct rpc_server *server;
	struct doors *doors;
	struct rest *rest;
	struct door_config config;
	struct audit *audit;
	int timeout, idle; /* seconds */
};

static int parse(struct options *o, int argc, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{ "session", 0, 0, G_OPTION_ARG_NONE, &o->session, "The user's own daemon", NULL },
		{ "config", 'f', 0, G_OPTION_ARG_FILENAME, &o->config, "Configuration file", "FILE" },
		{ "socket", 0, 0, G_OPTION_ARG_FILENAME, &o->socket, "Unix socket of libvirt's protocol",
			"PATH" },
		{ "socket-mode", 0, 0, G_OPTION_ARG_STRING, &o->socket_mode, "Its mode, octal", "MODE" },
		{ "listen-tcp", 0, 0, G_OPTION_ARG_STRING, &o->tcp, "TCP with SASL", "HOST:PORT" },
		{ "listen-tls", 0, 0, G_OPTION_ARG_STRING, &o->tls, "TLS", "HOST:PORT" },
		{ "rest", 0, 0, G_OPTION_ARG_FILENAME, &o->rest, "Unix socket of the REST interface", "PATH" },
		{ "timeout", 't', 0, G_OPTION_ARG_INT, &o->timeout,
			"End after so long without clients and machines", "SECONDS" },
		{ "root", 0, 0, G_OPTION_ARG_FILENAME, &o->root, "Stands for / in all paths: for tests",
			"FOLDER" },
		{ "lodge-vm", 0, 0, G_OPTION_ARG_FILENAME, &o->lodge_vm, "Program that runs a machine", "PATH" },
		{ "version", 'V', 0, G_OPTION_ARG_NONE, &o->version, "Print the version", NULL },
		{},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("- keep a host's machines");

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, error))
		return -1;
	if (argc > 1)
		return fail(error, LODGE_ERROR_USAGE, "lodged takes no argument '%s'", argv[1]);
	o->manager = (struct manager_options) { o->root, o->lodge_vm, o->session };
	return 0;
}

static void options_clear(struct options *o)
{
	char *all[] = { o->root, o->config, o->socket, o->socket_mode, o->tcp, o->tls, o->rest, o->lodge_vm };

	for (unsigned i = 0; i < G_N_ELEMENTS(all); i++)
		g_free(all[i]);
}

static void override(char **setting, char *option)
{
	if (!option)
		return;
	g_free(*setting);
	*setting = *option ? g_strdup(option) : NULL;
}

static int configure(struct daemon *d, const struct options *o, GError **error)
{
	g_autofree char *path = o->config ? g_strdup(o->config)
					  : g_build_filename(d->manager->paths.config, "lodged.conf", NULL);
	char *end;

	if (door_config_load(&d->config, d->manager, o->root, path, error) < 0)
		return -1;
	if (o->socket) {
		g_free(d->config.socket_ro);
		d->config.socket_ro = *o->socket ? g_strconcat(o->socket, "-ro", NULL) : NULL;
		d->config.socket_given = true;
	}
	override(&d->config.socket, o->socket);
	override(&d->config.tcp, o->tcp);
	override(&d->config.tls, o->tls);
	override(&d->config.rest, o->rest);
	if (o->socket_mode) {
		d->config.mode = (mode_t)strtoul(o->socket_mode, &end, 8) & 0777;
		if (*end)
			return fail(error, LODGE_ERROR_USAGE, "'%s' is no octal mode", o->socket_mode);
	}
	return 0;
}

/* Sockets that systemd opened: LISTEN_FDS from descriptor 3 on, sd_listen_fds(3). */
static unsigned activated(int *fds, unsigned max, char ***ret_names)
{
	const char *pid = g_getenv("LISTEN_PID"), *count = g_getenv("LISTEN_FDS");
	const char *names = g_getenv("LISTEN_FDNAMES");
	unsigned n = 0;

	if (pid && count && strtol(pid, NULL, 10) == getpid())
		n = MIN((unsigned)strtoul(count, NULL, 10), max);
	for (unsigned i = 0; i < n; i++)
		fds[i] = 3 + (int)i;
	*ret_names = g_strsplit(names ? names : "", ":", -1);
	if (g_strv_length(*ret_names) < n)
		g_clear_pointer(ret_names, g_strfreev);
	g_unsetenv("LISTEN_PID");
	g_unsetenv("LISTEN_FDS");
	return n;
}

/* Tells the service manager, sd_notify(3). */
static void notify(const char *state)
{
	const char *path = g_getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (!path || strlen(path) >= sizeof(a.sun_path))
		return;
	strcpy(a.sun_path, path);
	if (a.sun_path[0] == '@')
		a.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), 0, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warn("cannot tell the service manager: %s", g_strerror(errno));
	close(fd);
}

static gboolean stop(gpointer loop)
{
	g_main_loop_quit(loop);
	return G_SOURCE_CONTINUE;
}

static gboolean look_idle(gpointer opaque)
{
	struct daemon *d = opaque;

	if (rpc_server_client_count(d->server) || rest_busy(d->rest) || domains_active(d->manager))
		d->idle = 0;
	else
		d->idle++;
	if (d->idle >= d->timeout)
		g_main_loop_quit(d->loop);
	return G_SOURCE_CONTINUE;
}

static int open_up(struct daemon *d, const struct options *o, GError **error)
{
	g_autofree char *log = NULL;
	g_auto(GStrv) names = NULL;
	int fds[8];
	unsigned n = activated(fds, G_N_ELEMENTS(fds), &names);

	d->manager = manager_new(&o->manager, error);
	if (!d->manager || configure(d, o, error) < 0)
		return -1;
	log = g_build_filename(d->manager->paths.log, "audit.log", NULL);
	d->audit = audit_open(log, error);
	if (!d->audit)
		return -1;
	d->server = rpc_server_new(d->manager, &rpc_limits_default, error);
	if (!d->server)
		return -1;
	d->doors = doors_open(d->server, &d->config, d->audit, fds, names, n, error);
	if (!d->doors)
		return -1;
	d->rest = rest_new(d->server, &d->config, d->audit, error);
	return d->rest ? 0 : -1;
}

static void run(struct daemon *d)
{
	d->loop = g_main_loop_new(NULL, FALSE);
	g_unix_signal_add(SIGTERM, stop, d->loop);
	g_unix_signal_add(SIGINT, stop, d->loop);
	if (d->timeout > 0)
		g_timeout_add_seconds(1, look_idle, d);
	notify("READY=1");
	g_main_loop_run(d->loop);
	notify("STOPPING=1");
	g_main_loop_unref(d->loop);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct options o = {};
	struct daemon d = {};
	GError *error = NULL;
	int status = 0;

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	if (parse(&o, argc, argv, &error) == 0 && o.version) {
		puts("lodged " LODGE_VERSION);
		return 0;
	}
	d.timeout = o.timeout;
	if (!error && open_up(&d, &o, &error) == 0)
		run(&d);
	if (error) {
		status = error->domain == LODGE_ERROR ? error->code : LODGE_ERROR_USAGE;
		log_info("%s", error->message);
		g_error_free(error);
	}
	doors_close(d.doors);
	rest_free(d.rest);
	rpc_server_free(d.server);
	manager_free(d.manager);
	audit_close(d.audit);
	door_config_clear(&d.config);
	options_clear(&o);
	return status;
}
