/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.c: `lodge run debian`: from nothing to a shell in a machine. */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/client.h"
#include "cli/daemon.h"
#include "cli/guest.h"
#include "cli/machine.h"
#include "image/image.h"

enum { BOOT_SECONDS = 180 };

const struct cli_option run_options[] = {
	{ "image", 0, CLI_TEXT, CLI_POSITIONAL | CLI_REQUIRED, .complete = CLI_COMPLETE_FILE,
		.help = "debian, or a disk image" },
	{ "name", 'n', CLI_TEXT, .help = "its name (default: the image's, with a number)" },
	{ "cpus", 0, CLI_NUMBER, .value = "N", .help = "virtual CPUs (default: 2)" },
	{ "memory", 'm', CLI_SIZE, .value = "SIZE", .help = "memory (default: 1G)" },
	{ "kernel", 0, CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "kernel to start, for an image of yours" },
	{ "initrd", 0, CLI_TEXT, .value = "FILE", .complete = CLI_COMPLETE_FILE,
		.help = "its initial RAM disk" },
	{ "append", 0, CLI_TEXT, .value = "TEXT", .help = "the kernel's command line" },
	{ "network", 0, CLI_TEXT, .value = "NAME",
		.help = "the network (default: default, or none of the host's in a user's daemon)",
		.complete = COMPLETE_NETWORK },
	{ "console", 0, CLI_FLAG, .help = "open the console instead of a shell" },
	{ "detach", 'd', CLI_FLAG, .help = "open nothing: return when it has started" },
	{ "rm", 0, CLI_FLAG, .help = "remove the machine and its disk when the shell ends" },
	CLIENT_OPTIONS,
	{ NULL },
};

struct run {
	struct cli *cli;
	struct client *client; /* owned */
	struct guest_files files;
	bool ready_made;
	char *name, *disk;        /* owned; disk: the overlay's path on the daemon's host */
	char *base, *base_format; /* owned: what it is an overlay of, there */
	char *kernel, *initrd;    /* owned: there; NULL: none */
	bool privileged, kvm;
};

/* ---- asking ---- */

static json_t *get(struct run *r, char *path, GError **error)
{
	json_t *v = client_call(r->client, "GET", path, NULL, error);

	g_free(path);
	return v;
}

static int learn_host(struct run *r, GError **error)
{
	json_t *version = get(r, g_strdup("/version"), error), *host = NULL;

	if (version)
		host = get(r, g_strdup("/host"), error);
	if (host) {
		r->privileged = member_bool(version, "privileged");
		r->kvm = !strcmp(member_text(host, "accel"), "kvm");
	}
	json_decref(version);
	json_decref(host);
	return host ? 0 : -1;
}

static bool taken(struct run *r, const char *name)
{
	json_t *v = get(r, client_path("/machines/%s", name), NULL);

	json_decref(v);
	return v;
}

/* "debian", "debian2", …; a name that was asked for must be free. */
static int choose_name(struct run *r, GError **error)
{
	const char *wish = cli_text(r->cli, "name");
	g_autofree char *base = g_path_get_basename(cli_text(r->cli, "image"));
	char *dot = strrchr(base, '.');

	r->cli->error_status = 0;
	if (wish && taken(r, wish))
		return fail(error, LODGE_ERROR_USAGE,
			"there is a machine '%s' already; 'lodge start %s' starts it", wish, wish);
	if (dot && dot > base)
		*dot = '\0';
	r->name = g_strdup(wish ? wish : base);
	for (unsigned i = 2; !wish && taken(r, r->name); i++) {
		g_free(r->name);
		r->name = g_strdup_printf("%s%u", base, i);
	}
	r->cli->error_status = 0;
	return 0;
}

/* ---- storage ---- */

static void append(GString *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void append(GString *s, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_markup_vprintf_escaped(fmt, ap);
	va_end(ap);
	g_string_append(s, text);
}

/* The path of a volume of the default pool on the daemon's host; NULL: it is not there. */
static char *volume_path(struct run *r, const char *name, GError **error)
{
	json_t *v = get(r, client_path("/pools/default/volumes/%s", name), error);
	char *path = v ? g_strdup(member_text(v, "path")) : NULL;

	json_decref(v);
	return path;
}

static json_t *make_volume(struct run *r, const char *xml, GError **error)
{
	json_t *v =
		client_send_xml(r->client, "POST", "/pools/default/volumes?wait=60", xml, error);

	return v ? client_finish(r->client, v, error) : NULL;
}

/* Sends a file to the daemon's host once. */
static char *keep_file(struct run *r, const char *name, const char *file, GError **error)
{
	char *there = volume_path(r, name, NULL);
	g_autofree char *xml = NULL, *data = NULL;
	struct stat st;
	json_t *v;
	int fd;

	r->cli->error_status = 0;
	if (there)
		return there;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail_errno(error, LODGE_ERROR_FILE, errno, "%s: cannot read it", file);
		return NULL;
	}
	xml = g_markup_printf_escaped(
		"<volume><name>%s</name><capacity>%lld</capacity><allocation>0</allocation>"
		"<target><format type='raw'/></target></volume>",
		name, (long long)st.st_size);
	v = make_volume(r, xml, error);
	json_decref(v);
	data = client_path("/pools/default/volumes/%s/data", name);
	if (v && client_upload(r->client, data, fd, "Sending the guest", error) == 0)
		there = volume_path(r, name, error);
	if (!there && v) {
		g_autofree char *path = client_path("/pools/default/volumes/%s", name);

		json_decref(client_call(r->client, "DELETE", path, NULL, NULL));
	}
	close(fd);
	return there;
}

/* A ready-made guest's disk as a compact image, which is what is kept on the daemon's host. */
static char *compact_disk(struct run *r, GError **error)
{
	g_autofree char *name = g_strconcat(r->files.disk, ".qcow2", NULL);
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	char *argv[] = { self, "image", "convert", "--quiet", "-f", "raw", "-O", "qcow2",
		r->files.disk, name, NULL };
	struct stat raw, packed;
	int status;

	if (stat(r->files.disk, &raw) == 0 && stat(name, &packed) == 0 &&
		packed.st_mtime >= raw.st_mtime)
		return g_steal_pointer(&name);
	unlink(name);
	if (!g_spawn_sync(
		    NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, error))
		return NULL;
	if (!g_spawn_check_wait_status(status, error))
		return NULL;
	return g_steal_pointer(&name);
}

static int keep_guest(struct run *r, GError **error)
{
	g_autofree char *disk = NULL, *base = g_strdup_printf("debian-%s.qcow2", r->files.version);
	g_autofree char *kernel = g_strdup_printf("debian-%s.vmlinuz", r->files.version);
	g_autofree char *initrd = g_strdup_printf("debian-%s.initrd", r->files.version);

	r->base = volume_path(r, base, NULL);
	if (!r->base) {
		disk = compact_disk(r, error);
		r->base = disk ? keep_file(r, base, disk, error) : NULL;
	}
	r->base_format = g_strdup("qcow2");
	if (!r->base || !(r->kernel = keep_file(r, kernel, r->files.kernel, error)) ||
		!(r->initrd = keep_file(r, initrd, r->files.initrd, error)))
		return -1;
	return 0;
}

/* A person's own image is used as it is, from where it is. */
static int own_image(struct run *r, GError **error)
{
	struct image_options o = {
		.path = cli_text(r->cli, "image"), .readonly = true, .no_lock = true
	};
	const char *kernel = cli_text(r->cli, "kernel"), *initrd = cli_text(r->cli, "initrd");
	struct image *im = image_open(&o, error);

	if (!im)
		return -1;
	r->base_format = g_strdup(image_format_name(im));
	image_close(im);
	if (!kernel)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: say which kernel starts it: --kernel FILE [--initrd FILE] "
			"[--append TEXT]",
			o.path);
	r->disk = g_canonicalize_filename(o.path, NULL);
	r->kernel = g_canonicalize_filename(kernel, NULL);
	r->initrd = initrd ? g_canonicalize_filename(initrd, NULL) : NULL;
	return 0;
}

static int make_overlay(struct run *r, GError **error)
{
	g_autofree char *name = g_strconcat(r->name, ".qcow2", NULL);
	g_autoptr(GString) s = g_string_new("<volume>");
	json_t *base = get(
		r, client_path("/pools/default/volumes/debian-%s.qcow2", r->files.version), error);
	json_t *v;

	if (!base)
		return -1;
	append(s, "<name>%s</name><capacity>%lld</capacity><target><format type='qcow2'/></target>",
		name, (long long)member_int(base, "capacity"));
	append(s, "<backingStore><path>%s</path><format type='qcow2'/></backingStore></volume>",
		r->base);
	json_decref(base);
	v = make_volume(r, s->str, error);
	json_decref(v);
	if (v)
		r->disk = volume_path(r, name, error);
	return r->disk ? 0 : -1;
}

/* ---- the machine ---- */

static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 &&
		  getsockname(fd, (struct sockaddr *)&a, &len) == 0;

	if (fd >= 0)
		close(fd);
	return ok ? ntohs(a.sin_port) : 2222;
}

static void add_card(const struct run *r, GString *s)
{
	const char *network = cli_text(r->cli, "network");

	if (network || r->privileged)
		append(s,
			"<interface type='network'><source network='%s'/><model "
			"type='virtio'/></interface>",
			network ? network : "default");
	else
		append(s,
			"<interface type='user'><model type='virtio'/><portForward proto='tcp' "
			"address='127.0.0.1'><range start='%d' to='22'/></portForward></interface>",
			free_port());
}

static char *machine_xml(const struct run *r)
{
	GString *s = g_string_new(NULL);
	const char *append_text = cli_text(r->cli, "append");

	append(s, "<domain type='%s'><name>%s</name>", r->kvm ? "kvm" : "qemu", r->name);
	if (r->ready_made)
		g_string_append(s,
			"<metadata><lodge:run xmlns:lodge='urn:lodge:run' lodge:guest='debian'/>"
			"</metadata>");
	append(s, "<memory unit='b'>%llu</memory><vcpu>%d</vcpu><os><type arch='x86_64'>hvm</type>",
		(unsigned long long)cli_size(r->cli, "memory", 1ull << 30),
		(int)cli_number(r->cli, "cpus", 2));
	append(s, "<kernel>%s</kernel>", r->kernel);
	if (r->initrd)
		append(s, "<initrd>%s</initrd>", r->initrd);
	append(s, "<cmdline>%s%s%s</cmdline></os>", r->ready_made ? r->files.cmdline : "",
		r->ready_made && append_text ? " " : "", append_text ? append_text : "");
	g_string_append(
		s, "<features><acpi/><apic/></features><on_reboot>restart</on_reboot><devices>");
	append(s,
		"<disk type='file' device='disk'><driver name='qemu' type='%s'/><source file='%s'/>"
		"<target dev='vda' bus='virtio'/></disk>",
		r->ready_made ? "qcow2" : r->base_format, r->disk);
	add_card(r, s);
	g_string_append(s,
		"<console type='pty'><target type='serial' port='0'/></console>"
		"<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
		"<memballoon model='virtio'/></devices></domain>");
	return g_string_free(s, FALSE);
}

static void remove_machine(struct run *r)
{
	g_autofree char *off = client_path("/machines/%s/destroy", r->name);
	g_autofree char *gone = client_path("/machines/%s", r->name);
	g_autofree char *disk = client_path("/pools/default/volumes/%s.qcow2", r->name);

	json_decref(client_call(r->client, "POST", off, json_object(), NULL));
	json_decref(client_call(r->client, "DELETE", gone, NULL, NULL));
	if (r->ready_made)
		json_decref(client_call(r->client, "DELETE", disk, NULL, NULL));
	r->cli->error_status = 0;
}

static int start(struct run *r, GError **error)
{
	g_autofree char *xml = machine_xml(r);
	json_t *v = client_send_xml(r->client, "POST", "/machines?start=true", xml, error);

	if (!v)
		return -1;
	if (r->cli->json)
		cli_print_json(v);
	else
		json_decref(v);
	return 0;
}

/* ---- and in ---- */

static int open_shell(struct run *r, GError **error)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	struct guest_address a = { 0 };
	int status = 0;

	cli_note(r->cli, "Waiting for %s to come up", r->name);
	if (guest_find(r->cli, r->client, r->name, BOOT_SECONDS, &a, error) < 0)
		return -1;
	g_ptr_array_add(argv, g_strdup("ssh"));
	guest_ssh_options(&a, argv, false);
	if (isatty(STDIN_FILENO))
		g_ptr_array_add(argv, g_strdup("-t"));
	g_ptr_array_add(argv, g_strdup_printf("root@%s", a.host));
	g_ptr_array_add(argv, NULL);
	guest_address_clear(&a);
	if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
		    &status, error))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int come_up(struct run *r, GError **error)
{
	int status;

	if (cli_flag(r->cli, "detach") || r->cli->json) {
		cli_note(r->cli,
			"%s runs; 'lodge shell %s' opens a shell, 'lodge console %s' its console",
			r->name, r->name, r->name);
		return 0;
	}
	if (cli_flag(r->cli, "console")) {
		g_autofree char *path = client_path("/machines/%s/console", r->name);

		status = console_open(r->cli, r->client, path, r->name, error);
	} else {
		status = open_shell(r, error);
	}
	if (cli_flag(r->cli, "rm"))
		remove_machine(r);
	else if (status >= 0)
		cli_note(r->cli,
			"%s goes on; 'lodge shutdown %s' ends it, 'lodge undefine %s "
			"--remove-all-storage' removes it",
			r->name, r->name, r->name);
	return status;
}

static int prepare(struct run *r, GError **error)
{
	const char *image = cli_text(r->cli, "image");

	r->ready_made = !strchr(image, '/') && !g_file_test(image, G_FILE_TEST_EXISTS);
	if (r->ready_made && guest_prepare(r->cli, image, &r->files, error) < 0)
		return -1;
	r->client = client_open(r->cli, error);
	if (!r->client || learn_host(r, error) < 0 || choose_name(r, error) < 0)
		return -1;
	if (!r->ready_made)
		return own_image(r, error);
	return keep_guest(r, error) < 0 || make_overlay(r, error) < 0 ? -1 : 0;
}

int run_run(struct cli *c, GError **error)
{
	struct run r = { .cli = c };
	int status = -1;

	if (prepare(&r, error) == 0 && start(&r, error) == 0)
		status = come_up(&r, error);
	client_close(r.client);
	guest_files_clear(&r.files);
	g_free(r.name);
	g_free(r.disk);
	g_free(r.base);
	g_free(r.base_format);
	g_free(r.kernel);
	g_free(r.initrd);
	return status;
}
