/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_start.c: from a definition to a running machine: ends of networks, volumes, the process,
 * its terminals; and machines that an earlier daemon started, found again.
 *
 * A process waits before its exec until its number is on the disk, so that none can be lost.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/domain/config/argv.h"
#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/ids.h"
#include "manager/network/network.h"
#include "manager/storage/pool.h"
#include "manager/xml.h"

enum { QMP_WAIT = 20000 };

/* What a start gathers; freed by parts_clear. By the index in live->devices. */
struct start {
	struct domain *d;
	const struct domain_config *base;
	struct domain_config *live;
	char **paths;
	int (*fds)[16];
	int id;
};

static void start_clear(struct start *s)
{
	guint n = s->live ? s->live->devices->len : 0;

	for (guint i = 0; i < n && s->paths; i++)
		g_free(s->paths[i]);
	for (guint i = 0; i < n && s->fds; i++) {
		for (unsigned k = 0; k < 16 && s->fds[i][k] >= 0; k++)
			close(s->fds[i][k]);
	}
	g_free(s->paths);
	g_free(s->fds);
	domain_config_unref(s->live);
}

/* ---- the live document ---- */

/* What an earlier run left in a saved machine's document. */
static void forget_run(const struct config_device *d, xmlNode *n)
{
	if (d->kind == DEVICE_NIC && d->nic.source != NIC_ETHERNET && d->nic.tap &&
		(g_str_has_prefix(d->nic.tap, "lodge") || g_str_has_prefix(d->nic.tap, "vnet") ||
			g_str_has_prefix(d->nic.tap, "macvtap")))
		xml_remove_child(n, "target");
	if (d->kind == DEVICE_CHAR && g_strcmp0(d->chr.type, "pty") == 0) {
		xml_remove_child(n, "source");
		xml_set_attr(n, "tty", NULL);
	}
}

static int edit_live(xmlNode *root, void *opaque, GError **error)
{
	const struct start *s = opaque;
	const struct domain_config *c = s->base;

	xml_set_attr_fmt(root, "id", "%d", s->id);
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(c->devices, i);
		g_autofree char *suffix = NULL, *path = NULL;
		xmlNode *source;

		forget_run(d, domain_config_element(root, d));
		if (d->kind != DEVICE_CHAR || !d->chr.driven || strcmp(d->chr.type, "unix") != 0 ||
			d->chr.path)
			continue;
		suffix = g_strdup_printf("-%s.sock", d->alias);
		path = domain_file(s->d, s->d->manager->paths.run, suffix);
		source = xml_want(domain_config_element(root, d), "source");
		xml_set_attr(source, "mode", "bind");
		xml_set_attr(source, "path", path);
	}
	return 0;
}

struct tap_names {
	const struct domain_config *c;
	char *const *names; /* by device; NULL: none */
};

static int edit_taps(xmlNode *root, void *opaque, GError **error)
{
	const struct tap_names *t = opaque;

	for (guint i = 0; i < t->c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(t->c->devices, i);

		if (t->names[i])
			xml_set_attr(xml_want(domain_config_element(root, d), "target"), "dev",
				t->names[i]);
	}
	return 0;
}

/* ---- networks and volumes ---- */

static void port_request(struct domain *d, const struct config_nic *k, struct port_request *r)
{
	*r = (struct port_request){
		.network = k->source == NIC_NETWORK ? k->from : NULL,
		.bridge = k->source == NIC_BRIDGE ? k->from : NULL,
		.direct = k->source == NIC_DIRECT ? k->from : NULL,
		.direct_mode = k->mode,
		.portgroup = k->portgroup,
		.isolated = k->isolated,
		.no_filter = k->trusted,
		.filter_parameters = k->filter_parameters,
		.owner = d->uuid,
		.owner_name = d->name,
		.tap_name = k->tap,
		.queues = 1,
		.mtu = k->mtu,
		.filterref = k->filter,
		.in_average = k->in_average,
		.in_peak = k->in_peak,
		.in_burst = k->in_burst,
		.out_average = k->out_average,
		.out_peak = k->out_peak,
		.out_burst = k->out_burst,
	};
	memcpy(r->mac, k->mac, 6);
}

int domain_port_open(
	struct domain *d, const struct config_nic *k, int fds[16], char **ret_tap, GError **error)
{
	struct port_request r;
	struct port port = { 0 };

	port_request(d, k, &r);
	if (network_port_create(d->manager, &r, &port, error) < 0)
		return -1;
	for (unsigned i = 0; i < 16; i++) {
		fds[i] = i < port.fd_count ? port.fds[i] : -1;
		if (i < port.fd_count)
			port.fds[i] = -1;
	}
	*ret_tap = g_strdup(port.tap);
	g_mutex_lock(&d->lock);
	g_ptr_array_add(d->taps, g_strdup(port.tap));
	g_mutex_unlock(&d->lock);
	port_clear(&port);
	return 0;
}

void domain_port_close(struct domain *d, const char *tap)
{
	guint i;

	network_port_delete(d->manager, tap);
	g_mutex_lock(&d->lock);
	if (g_ptr_array_find_with_equal_func(d->taps, tap, g_str_equal, &i))
		g_ptr_array_remove_index_fast(d->taps, i);
	g_mutex_unlock(&d->lock);
}

static int open_nics(struct start *s, GError **error)
{
	guint n = s->live->devices->len;
	g_auto(GStrv) names = g_new0(char *, n + 1);
	g_autofree char **sparse = g_new0(char *, n + 1);
	struct tap_names t = { s->live, sparse };
	struct domain_config *with;
	unsigned made = 0;

	s->fds = g_malloc_n(n, sizeof(*s->fds));
	memset(s->fds, 0xff, n * sizeof(*s->fds));
	for (guint i = 0; i < n; i++) {
		const struct config_device *d = g_ptr_array_index(s->live->devices, i);
		char *tap = NULL;

		if (d->kind != DEVICE_NIC || d->nic.source == NIC_USER)
			continue;
		if (d->nic.source == NIC_ETHERNET) {
			if (!d->nic.tap)
				return refuse(error, MANAGER_ERR_CONFIG_UNSUPPORTED,
					"an interface of type 'ethernet' needs <target dev='…'/>");
			continue;
		}
		if (domain_port_open(s->d, &d->nic, s->fds[i], &tap, error) < 0)
			return -1;
		names[made++] = sparse[i] = tap;
	}
	if (!made)
		return 0;
	with = domain_config_edit(s->live, CONFIG_LIVE, edit_taps, &t, error);
	if (!with)
		return -1;
	domain_config_unref(s->live);
	s->live = with;
	return 0;
}

int domain_disk_path(struct domain *d, const struct config_disk *k, char **ret, GError **error)
{
	g_autofree char *format = NULL;

	*ret = NULL;
	if (k->source != DISK_VOLUME)
		return 0;
	return pool_volume_path(d->manager, k->pool, k->volume, ret, &format, error);
}

static int find_volumes(struct start *s, GError **error)
{
	s->paths = g_new0(char *, s->live->devices->len);
	for (guint i = 0; i < s->live->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(s->live->devices, i);

		if (d->kind == DEVICE_DISK &&
			domain_disk_path(s->d, &d->disk, &s->paths[i], error) < 0)
			return -1;
	}
	return 0;
}

/* ---- the process ---- */

static char *log_file(const struct domain *d)
{
	g_autofree char *folder = g_build_filename(d->manager->paths.log, "vm", NULL), *name = NULL;

	g_mkdir_with_parents(folder, 0700);
	name = g_strconcat(d->name, ".log", NULL);
	return g_build_filename(folder, name, NULL);
}

static void log_start(const char *log, char *const *argv)
{
	g_autofree char *line = g_strjoinv(" ", (char **)argv);
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *stamp = g_date_time_format(now, "%F %T");
	FILE *f = g_fopen(log, "a");

	if (!f)
		return;
	fprintf(f, "%s starting: %s\n", stamp, line);
	fclose(f);
}

static bool lives(void *opaque)
{
	return !process_wait(opaque, 0);
}

/* The last line that the process wrote, for the message. */
static char *last_words(const char *log)
{
	g_autofree char *text = NULL;
	gsize len = 0;
	char *line;

	if (!g_file_get_contents(log, &text, &len, NULL))
		return g_strdup("");
	line = strrchr(g_strchomp(text), '\n');
	line = line ? line + 1 : text;
	return g_utf8_make_valid(line, (gssize)MIN(strlen(line), 500));
}

static int spawn(struct start *s, const struct argv_parts *parts, const char *log, GError **error)
{
	g_auto(GStrv) argv = argv_make(s->live, parts, error);
	g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
	struct process *p;
	int end = -1;

	if (!argv)
		return -1;
	for (guint i = 0; i < s->live->devices->len; i++)
		g_array_append_vals(fds, s->fds[i], s->fds[i][0] >= 0);
	g_array_append_val(fds, end);
	log_start(log, argv);
	p = process_spawn(argv, log, (const int *)fds->data, error);
	if (!p)
		return -1;
	g_mutex_lock(&s->d->lock);
	s->d->process = p;
	s->d->live = domain_config_ref(s->live);
	s->d->id = s->id;
	s->d->guest_down = false;
	s->d->state = DOMAIN_PAUSED;
	s->d->reason = PAUSED_STARTING;
	s->d->started = g_get_monotonic_time();
	g_mutex_unlock(&s->d->lock);
	if (domain_store(s->d, error) < 0)
		return -1;
	return process_release(p, error);
}

static int connect_qmp(struct domain *d, const char *path, const char *log, GError **error)
{
	struct qmp_client *q = qmp_client_open(path, lives, d->process, QMP_WAIT, error);
	g_autofree char *words = NULL;

	if (q) {
		g_mutex_lock(&d->lock);
		d->qmp = q;
		g_mutex_unlock(&d->lock);
		return 0;
	}
	if (!process_wait(d->process, 100))
		return -1;
	words = last_words(log);
	if (error)
		g_clear_error(error);
	return refuse(
		error, MANAGER_ERR_OPERATION_FAILED, "the machine's process ended: %s", words);
}

/* ---- after the process is up ---- */

struct terminals {
	const struct domain_config *c;
	json_t *list; /* of query-chardev */
};

static const char *terminal_of(const json_t *list, const char *alias)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
	{
		const char *file = json_string_value(json_object_get(v, "filename"));

		if (g_strcmp0(json_string_value(json_object_get(v, "label")), alias) == 0 && file)
			return g_str_has_prefix(file, "pty:")        ? file + 4
			       : g_str_has_prefix(file, "/dev/pts/") ? file
								     : NULL;
	}
	return NULL;
}

static int edit_terminals(xmlNode *root, void *opaque, GError **error)
{
	const struct terminals *t = opaque;
	const char *first = NULL;

	for (guint i = 0; i < t->c->devices->len; i++) {
		const struct config_device *d = g_ptr_array_index(t->c->devices, i);
		xmlNode *n = domain_config_element(root, d);
		const char *path;

		if (d->kind != DEVICE_CHAR || !d->chr.driven || strcmp(d->chr.type, "pty") != 0)
			continue;
		path = d->chr.twin ? first : terminal_of(t->list, d->alias);
		if (!path)
			continue;
		if (d->chr.class == CHAR_SERIAL && !first)
			first = path;
		xml_set_attr(xml_want(n, "source"), "path", path);
		if (d->chr.class == CHAR_CONSOLE)
			xml_set_attr(n, "tty", path);
	}
	return 0;
}

static int learn_terminals(struct start *s, GError **error)
{
	struct terminals t = { s->live, domain_qmp(s->d, "query-chardev", NULL, 10000, error) };
	struct domain_config *with;

	if (!t.list)
		return -1;
	with = domain_config_edit(s->live, CONFIG_LIVE, edit_terminals, &t, error);
	json_decref(t.list);
	if (!with)
		return -1;
	domain_config_unref(s->live);
	s->live = with;
	domain_set_live(s->d, domain_config_ref(with));
	return 0;
}

/* What the command line cannot say. */
static int apply_rest(
	struct domain *d, const struct domain_config *c, bool restored, GError **error)
{
	for (guint i = 0; i < c->devices->len; i++) {
		const struct config_device *k = g_ptr_array_index(c->devices, i);

		if (k->kind == DEVICE_NIC && k->nic.link_down &&
			domain_qmp_do(d, "set_link",
				json_pack("{s:s, s:b}", "name", k->alias, "up", 0), error) < 0)
			return -1;
		if (k->kind == DEVICE_DISK && k->slot >= 0 && domain_apply_iotune(d, k, error) < 0)
			return -1;
		if (k->kind == DEVICE_BALLOON && !restored && c->current_kib < c->memory_kib &&
			domain_qmp_do(d, "balloon",
				json_pack("{s:I}", "value", (json_int_t)c->current_kib * 1024),
				error) < 0)
			return -1;
	}
	return domain_apply_tune(d, error);
}

/* Undoes a start that did not come to its end. */
static void give_up(struct domain *d)
{
	bool watched;

	g_mutex_lock(&d->lock);
	d->stop_reason = SHUTOFF_FAILED;
	watched = d->watched || d->reaping;
	if (d->process)
		process_signal(d->process, SIGKILL);
	g_mutex_unlock(&d->lock);
	if (watched) {
		domain_wait_end(d, false, NULL);
		return;
	}
	if (d->process)
		process_wait(d->process, 5000);
	domain_reap(domain_ref(d), d->manager->domains);
}

static int launch(struct start *s, unsigned flags, const char *load, GError **error)
{
	struct domain *d = s->d;
	g_autofree char *qmp = domain_file(d, d->manager->paths.run, ".qmp"), *log = log_file(d);
	struct argv_parts parts = { .lodge_vm = d->manager->paths.lodge_vm,
		.qmp = qmp,
		.load = load,
		.vcpus = d->boot_vcpus,
		.paused = true };

	g_mutex_lock(&d->lock);
	d->starting = true;
	d->stop_reason = 0;
	g_mutex_unlock(&d->lock);
	s->live = domain_config_edit(s->base, CONFIG_LIVE, edit_live, s, error);
	if (!s->live || find_volumes(s, error) < 0 || open_nics(s, error) < 0)
		return -1;
	unlink(qmp);
	parts.disk_paths = s->paths;
	parts.tap_fds = (const int(*)[16])s->fds;
	if (spawn(s, &parts, log, error) < 0 || connect_qmp(d, qmp, log, error) < 0)
		return -1;
	domain_watch(d);
	if (learn_terminals(s, error) < 0 || apply_rest(d, s->live, load != NULL, error) < 0)
		return -1;
	if (!(flags & START_PAUSED) && domain_qmp_do(d, "cont", NULL, error) < 0)
		return -1;
	g_mutex_lock(&d->lock);
	d->starting = false;
	d->state = flags & START_PAUSED ? DOMAIN_PAUSED : DOMAIN_RUNNING;
	d->reason = flags & START_PAUSED ? PAUSED_USER : load ? RUNNING_RESTORED : RUNNING_BOOTED;
	g_mutex_unlock(&d->lock);
	return domain_store_status(d, error);
}

int domain_launch(struct domain *d, const struct domain_config *base, unsigned vcpus,
	unsigned flags, const char *load, GError **error)
{
	struct domains *t = d->manager->domains;
	struct start s = { .d = d, .base = base };
	int rc;

	g_mutex_lock(&t->lock);
	s.id = t->next_id++;
	g_mutex_unlock(&t->lock);
	d->boot_vcpus = vcpus;
	rc = launch(&s, flags, load, error);
	start_clear(&s);
	if (rc < 0) {
		give_up(d);
		return -1;
	}
	domain_tell(d, 0, LIFE_STARTED, load ? 2 : 0, NULL);
	if (flags & START_PAUSED)
		domain_tell(d, 0, LIFE_SUSPENDED, load ? 4 : 0, NULL);
	return 0;
}

int domain_start(struct domain *d, unsigned flags, GError **error)
{
	g_autofree char *save = domain_file(d, d->manager->paths.state, ".save");
	int rc;

	if (flags & ~(START_PAUSED | START_BYPASS_CACHE | START_FORCE_BOOT | START_VALIDATE))
		return refuse(
			error, MANAGER_ERR_ARGUMENT_UNSUPPORTED, "unsupported flags 0x%x", flags);
	if (domain_job_begin(d, "start", error) < 0)
		return -1;
	if (domain_is_active(d)) {
		rc = refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is already running");
	} else {
		if (flags & START_FORCE_BOOT)
			unlink(save);
		rc = access(save, F_OK) == 0
			     ? domain_launch_saved(d, save, NULL, flags, error)
			     : domain_launch(d, d->config, d->config->vcpus, flags, NULL, error);
		if (rc == 0)
			unlink(save); /* it is used up: the machine's disks go on changing */
	}
	domain_job_end(d);
	return rc;
}

/* ---- found again ---- */

static int read_status(struct domain *d, const json_t *status, struct process_identity *who)
{
	const char *live = json_string_value(json_object_get(status, "live"));
	const char *config = json_string_value(json_object_get(status, "config"));
	g_autoptr(GError) error = NULL;
	size_t i;
	json_t *tap;

	who->pid = (pid_t)json_integer_value(json_object_get(status, "pid"));
	who->start = (uint64_t)json_integer_value(json_object_get(status, "start"));
	if (!d->config && config)
		d->config = domain_config_parse(config, 0, &error);
	if (!error && live)
		d->live = domain_config_parse(live, CONFIG_LIVE, &error);
	if (error)
		log_warn("machine '%s': its state cannot be read: %s", d->name, error->message);
	if (!d->live || !d->config)
		return -1;
	json_array_foreach(json_object_get(status, "taps"), i, tap)
		g_ptr_array_add(d->taps, g_strdup(json_string_value(tap)));
	d->boot_vcpus = (unsigned)json_integer_value(json_object_get(status, "vcpus"));
	d->id = (int)json_integer_value(json_object_get(status, "id"));
	d->state = (enum domain_state)json_integer_value(json_object_get(status, "state"));
	d->reason = (int)json_integer_value(json_object_get(status, "reason"));
	d->manager->domains->next_id = MAX(d->manager->domains->next_id, d->id + 1);
	return 0;
}

static void adopt_ports(struct domain *d)
{
	for (guint i = 0; i < d->live->devices->len; i++) {
		const struct config_device *k = g_ptr_array_index(d->live->devices, i);
		struct port_request r;
		g_autoptr(GError) error = NULL;

		if (k->kind != DEVICE_NIC || !k->nic.tap || k->nic.source == NIC_USER ||
			k->nic.source == NIC_ETHERNET)
			continue;
		port_request(d, &k->nic, &r);
		if (network_port_adopt(d->manager, &r, k->nic.tap, &error) < 0)
			log_warn("machine '%s': %s: %s", d->name, k->nic.tap, error->message);
	}
}

/* Where its state went while nobody listened. */
static void refresh(gpointer data)
{
	struct domain *d = data;
	json_t *status = domain_qmp(d, "query-status", NULL, 10000, NULL);
	const char *word = json_string_value(json_object_get(status, "status"));

	g_mutex_lock(&d->lock);
	if (word && d->live && strcmp(word, "running") == 0 && d->state != DOMAIN_RUNNING) {
		d->state = DOMAIN_RUNNING;
		d->reason = RUNNING_BOOTED;
	} else if (word && d->live && strcmp(word, "running") != 0 && d->state == DOMAIN_RUNNING) {
		d->state = DOMAIN_PAUSED;
		d->reason = PAUSED_USER;
	}
	g_mutex_unlock(&d->lock);
	json_decref(status);
	domain_unref(d);
}

static gpointer refresh_thread(gpointer d)
{
	refresh(d);
	return NULL;
}

void domain_adopt(struct domain *d, const char *text)
{
	json_t *status = json_loads(text, 0, NULL);
	g_autofree char *qmp = domain_file(d, d->manager->paths.run, ".qmp");
	struct process_identity who;
	g_autoptr(GError) error = NULL;

	if (status && read_status(d, status, &who) == 0) {
		d->process = process_adopt(&who);
		if (d->process && d->reason == PAUSED_STARTING) {
			/* Its start was under way when the daemon ended: nobody was told that it
			 * runs. */
			process_signal(d->process, SIGKILL);
			d->stop_reason = SHUTOFF_FAILED;
		}
		if (d->process)
			d->qmp = qmp_client_open(qmp, lives, d->process, 3000, &error);
		if (error && !d->stop_reason)
			log_warn("machine '%s' does not answer: %s", d->name, error->message);
		adopt_ports(d);
		if (!d->process) {
			/* It ended meanwhile: the reaper is sent when it is in the tables. */
			d->stop_reason = SHUTOFF_CRASHED;
		} else {
			domain_watch(d);
			if (d->qmp)
				g_thread_unref(
					g_thread_new("refresh", refresh_thread, domain_ref(d)));
		}
	}
	json_decref(status);
}
