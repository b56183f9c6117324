/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.c: the ready-made guests, and the way into a running one, see guest.h. */
#include "cli/guest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/socket.h"
#include "cli/daemon.h"

enum { ANSWER_MS = 500 };

/* ---- files ---- */

/* The program that makes guests: where it is installed, or in the source tree we were built from.
 */
static char *maker(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
	const char *said = g_getenv("LODGE_GUEST_IMAGE");
	char *places[] = { g_strdup(said ? said : ""),
		g_build_filename(folder, "..", "libexec", "lodge", "guest-image", NULL),
		g_build_filename(folder, "..", "..", "..", "tools", "guest-image", NULL) };
	char *found = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
		if (!found && g_file_test(places[i], G_FILE_TEST_IS_EXECUTABLE))
			found = places[i];
		else
			g_free(places[i]);
	}
	return found;
}

static int make(const struct cli *c, char **ret_folder, GError **error)
{
	g_autofree char *program = maker();
	char *argv[] = { program, NULL };
	int status;

	if (!program)
		return fail(error, LODGE_ERROR_HOST,
			"the program guest-image is not installed; set LODGE_GUEST_IMAGE to it");
	/* It shows its own progress on stderr and says where its files are on stdout. */
	if (!g_spawn_sync(NULL, argv, NULL, c->quiet ? G_SPAWN_STDERR_TO_DEV_NULL : G_SPAWN_DEFAULT,
		    NULL, NULL, ret_folder, NULL, &status, error))
		return -1;
	if (!g_spawn_check_wait_status(status, NULL))
		return fail(error, LODGE_ERROR_HOST, "the guest could not be prepared, see above");
	g_strstrip(*ret_folder);
	return 0;
}

void guest_files_clear(struct guest_files *f)
{
	g_free(f->folder);
	g_free(f->kernel);
	g_free(f->initrd);
	g_free(f->disk);
	g_free(f->key);
	g_free(f->cmdline);
	g_free(f->version);
	*f = (struct guest_files){ 0 };
}

static char *version_of(const char *folder)
{
	g_autofree char *path = g_build_filename(folder, "debian.json", NULL);
	json_t *v = json_load_file(path, 0, NULL);
	char *version = g_strdup(member_text(v, "recipe"));

	json_decref(v);
	return version;
}

int guest_prepare(
	const struct cli *c, const char *name, struct guest_files *ret_files, GError **error)
{
	struct guest_files f = { 0 };
	g_autofree char *cmdline = NULL;

	if (strcmp(name, "debian"))
		return fail(error, LODGE_ERROR_USAGE,
			"there is no ready-made guest '%s', but 'debian'; for an image of your own "
			"say "
			"'lodge run FILE --kernel FILE'",
			name);
	if (make(c, &f.folder, error) < 0) {
		guest_files_clear(&f);
		return -1;
	}
	f.kernel = g_build_filename(f.folder, "vmlinuz", NULL);
	f.initrd = g_build_filename(f.folder, "initrd.img", NULL);
	f.disk = g_build_filename(f.folder, "debian.img", NULL);
	f.key = g_build_filename(f.folder, "id_ed25519", NULL);
	f.version = version_of(f.folder);
	cmdline = g_build_filename(f.folder, "cmdline", NULL);
	if (!g_file_get_contents(cmdline, &f.cmdline, NULL, error)) {
		guest_files_clear(&f);
		return -1;
	}
	g_strstrip(f.cmdline);
	*ret_files = f;
	return 0;
}

/* ---- the way in ---- */

void guest_address_clear(struct guest_address *a)
{
	g_free(a->host);
	g_free(a->port);
	g_free(a->key);
	*a = (struct guest_address){ 0 };
}

/* Whether an ssh server speaks there: user-mode networks take a connection before the guest does.
 */
static bool greets(const char *host, const char *port)
{
	g_autofree char *where =
		g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	struct socket_address a;
	char banner[4] = "";
	int fd;

	if (socket_address_tcp(&a, where, NULL) < 0)
		return false;
	fd = socket_connect_wait(&a, ANSWER_MS, NULL);
	if (fd < 0)
		return false;
	for (int tries = ANSWER_MS / 20; tries && recv(fd, banner, 4, MSG_DONTWAIT) < 0; tries--)
		g_usleep(20000);
	close(fd);
	return !memcmp(banner, "SSH-", 4);
}

/* The forward to port 22 that `lodge run` gives to machines on a user-mode network. */
static char *forwarded_port(const char *xml)
{
	g_autoptr(GRegex) re =
		g_regex_new("<range start=[\"'](\\d+)[\"'][^>]* to=[\"']22[\"']", 0, 0, NULL);
	g_autoptr(GMatchInfo) m = NULL;

	return g_regex_match(re, xml, 0, &m) ? g_match_info_fetch(m, 1) : NULL;
}

/* One look; true if it answers. */
static bool look(struct client *cl, const char *machine, const char *port, struct guest_address *a)
{
	g_autofree char *path = client_path("/machines/%s/addresses", machine);
	json_t *list, *item;
	size_t i;

	if (port) {
		a->host = g_strdup("127.0.0.1");
		a->port = g_strdup(port);
		if (greets(a->host, a->port))
			return true;
		guest_address_clear(a);
		return false;
	}
	list = client_call(cl, "GET", path, NULL, NULL);
	json_array_foreach(list, i, item)
	{
		const char *host = member_text(item, "address");

		if (!a->host && !g_str_has_prefix(host, "127.") && greets(host, "22")) {
			a->host = g_strdup(host);
			a->port = g_strdup("22");
		}
	}
	json_decref(list);
	return a->host;
}

int guest_find(struct cli *c, struct client *cl, const char *machine, int seconds,
	struct guest_address *ret_address, GError **error)
{
	g_autofree char *path = client_path("/machines/%s/xml", machine);
	g_autofree char *xml = client_text(cl, path, error);
	g_autofree char *port = xml ? forwarded_port(xml) : NULL;
	g_autofree char *key =
		g_build_filename(g_get_user_cache_dir(), "lodge", "id_ed25519", NULL);
	int64_t end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

	if (!xml)
		return -1;
	while (!look(cl, machine, port, ret_address)) {
		if (cli_interrupted(c))
			return cli_fail_interrupted(error);
		if (g_get_monotonic_time() > end)
			return fail(error, LODGE_ERROR_HOST,
				"%s does not answer to ssh; 'lodge console %s' shows what it does",
				machine, machine);
		g_usleep(100000);
	}
	if (strstr(xml, "urn:lodge:run") && g_file_test(key, G_FILE_TEST_EXISTS))
		ret_address->key = g_steal_pointer(&key);
	return 0;
}

void guest_ssh_options(const struct guest_address *a, GPtrArray *argv, bool copy)
{
	/* A machine's host key is as new as the machine; its address may have been another's. */
	static const char *const options[] = { "-q", "-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=/dev/null" };

	for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
		g_ptr_array_add(argv, g_strdup(options[i]));
	if (a->key) {
		g_ptr_array_add(argv, g_strdup("-i"));
		g_ptr_array_add(argv, g_strdup(a->key));
	}
	g_ptr_array_add(argv, g_strdup(copy ? "-P" : "-p"));
	g_ptr_array_add(argv, g_strdup(a->port));
}
