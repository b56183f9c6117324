/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manager.c: where things live, and the order in which they come up. */
#include "manager/manager.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/domain/domain.h"
#include "manager/event.h"
#include "manager/host/devices.h"
#include "manager/network/network.h"
#include "manager/network/nwfilter.h"
#include "manager/storage/pool.h"
#include "manager/secret.h"
#include "manager/store.h"

static char *under(const char *root, const char *path)
{
	return root ? g_build_filename(root, path, NULL) : g_strdup(path);
}

static void find_paths(struct manager_paths *p, const struct manager_options *o, bool session)
{
	g_autofree char *self = NULL, *folder = NULL, *beside = NULL;

	if (session) {
		g_autofree char *data = g_build_filename(g_get_user_data_dir(), "lodge", NULL);
		g_autofree char *run = g_build_filename(g_get_user_runtime_dir(), "lodge", NULL);
		g_autofree char *log =
			g_build_filename(g_get_user_cache_dir(), "lodge", "log", NULL);
		g_autofree char *config = g_build_filename(g_get_user_config_dir(), "lodge", NULL);

		p->state = under(o->root, data);
		p->run = under(o->root, run);
		p->log = under(o->root, log);
		p->config = under(o->root, config);
	} else {
		p->state = under(o->root, "/var/lib/lodge");
		p->run = under(o->root, "/run/lodge");
		p->log = under(o->root, "/var/log/lodge");
		p->config = under(o->root, "/etc/lodge");
	}
	self = g_file_read_link("/proc/self/exe", NULL);
	folder = self ? g_path_get_dirname(self) : g_strdup(".");
	beside = g_build_filename(folder, "lodge-vm", NULL);
	if (o->lodge_vm)
		p->lodge_vm = g_strdup(o->lodge_vm);
	else if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
		p->lodge_vm = g_steal_pointer(&beside);
	else
		p->lodge_vm = g_find_program_in_path("lodge-vm");
	if (!p->lodge_vm)
		p->lodge_vm = g_strdup("lodge-vm"); /* its absence is told when a machine starts */
}

static int make_folder(const char *path, mode_t mode, GError **error)
{
	if (g_mkdir_with_parents(path, (int)mode) < 0)
		return fail_errno(error, LODGE_ERROR_FILE, errno, "cannot make %s", path);
	return 0;
}

static int bring_up(struct manager *m, GError **error)
{
	g_autofree char *db = g_build_filename(m->paths.state, "lodge.db", NULL);

	if (make_folder(m->paths.state, 0711, error) < 0 ||
		make_folder(m->paths.run, 0755, error) < 0 ||
		make_folder(m->paths.log, 0711, error) < 0)
		return -1;
	m->store = store_open(db, error);
	if (!m->store)
		return -1;
	m->secrets = secrets_new(m, error);
	if (!m->secrets)
		return -1;
	m->watch = host_watch_new(m->events);
	m->pools = pools_new(m, error);
	if (!m->pools)
		return -1;
	m->nwfilters = nwfilters_new(m, error);
	if (!m->nwfilters)
		return -1;
	m->networks = networks_new(m, error);
	if (!m->networks)
		return -1;
	m->domains = domains_new(m, error);
	if (!m->domains)
		return -1;
	networks_settle(m);
	return 0;
}

struct manager *manager_new(const struct manager_options *o, GError **error)
{
	struct manager *m = g_new0(struct manager, 1);

	m->session = o->session || geteuid() != 0;
	m->privileged = geteuid() == 0 && !m->session;
	find_paths(&m->paths, o, m->session);
	m->events = event_bus_new();
	if (bring_up(m, error) == 0)
		return m;
	manager_free(m);
	return NULL;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	if (m->domains)
		domains_free(m->domains);
	if (m->networks)
		networks_free(m->networks);
	nwfilters_free(m->nwfilters);
	if (m->pools)
		pools_free(m->pools);
	host_watch_free(m->watch);
	secrets_free(m->secrets);
	if (m->store)
		store_close(m->store);
	event_bus_free(m->events);
	g_free(m->paths.state);
	g_free(m->paths.run);
	g_free(m->paths.log);
	g_free(m->paths.config);
	g_free(m->paths.lodge_vm);
	g_free(m);
}
