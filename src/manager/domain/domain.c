/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain.c: machines: the tables, references, the job, what is kept. */
#include "manager/domain/domain.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/event.h"
#include "manager/ids.h"
#include "manager/store.h"

enum { JOB_WAIT = 30, STARTERS = 4, REAPERS = 8 };

static guint uuid_hash(gconstpointer key)
{
	guint h;

	memcpy(&h, key, sizeof(h));
	return h;
}

static gboolean uuid_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, 16) == 0;
}

struct domain *domain_new(struct manager *m, const uint8_t uuid[16])
{
	struct domain *d = g_new0(struct domain, 1);

	d->refs = 1;
	d->manager = m;
	memcpy(d->uuid, uuid, 16);
	g_mutex_init(&d->lock);
	g_cond_init(&d->changed);
	d->id = -1;
	d->state = DOMAIN_SHUTOFF;
	d->taps = g_ptr_array_new_with_free_func(g_free);
	return d;
}

struct domain *domain_ref(struct domain *d)
{
	g_atomic_int_inc(&d->refs);
	return d;
}

void domain_unref(struct domain *d)
{
	if (!d || !g_atomic_int_dec_and_test(&d->refs))
		return;
	domain_config_unref(d->config);
	domain_config_unref(d->live);
	process_free(d->process);
	qmp_client_unref(d->qmp);
	g_ptr_array_unref(d->taps);
	if (d->snapshots)
		g_ptr_array_unref(d->snapshots);
	g_free(d->name);
	g_free(d->waiting_for);
	g_mutex_clear(&d->lock);
	g_cond_clear(&d->changed);
	g_free(d);
}

struct manager *domain_manager(const struct domain *d)
{
	return d->manager;
}

int domain_enter(struct domain *d, GError **error)
{
	struct domains *t = d->manager->domains;
	int rc = 0;

	g_mutex_lock(&t->lock);
	if (g_hash_table_contains(t->by_name, d->name) ||
		g_hash_table_contains(t->by_uuid, d->uuid)) {
		rc = refuse(error, MANAGER_ERR_OPERATION_FAILED,
			"a machine '%s', or one with its uuid, is there already", d->name);
	} else {
		g_hash_table_insert(t->by_uuid, d->uuid, domain_ref(d));
		g_hash_table_insert(t->by_name, d->name, d);
	}
	g_mutex_unlock(&t->lock);
	return rc;
}

void domain_leave(struct domain *d)
{
	struct domains *t = d->manager->domains;
	bool was;

	g_mutex_lock(&t->lock);
	was = g_hash_table_lookup(t->by_uuid, d->uuid) == d;
	if (was) {
		g_hash_table_remove(t->by_name, d->name);
		g_hash_table_steal(t->by_uuid, d->uuid);
	}
	g_mutex_unlock(&t->lock);
	if (was)
		domain_unref(d);
}

struct domain *domain_find_uuid(struct manager *m, const uint8_t uuid[16], GError **error)
{
	struct domains *t = m->domains;
	struct domain *d;
	char text[37];

	g_mutex_lock(&t->lock);
	d = g_hash_table_lookup(t->by_uuid, uuid);
	if (d)
		domain_ref(d);
	g_mutex_unlock(&t->lock);
	if (!d) {
		uuid_format(uuid, text);
		refuse(error, MANAGER_ERR_NO_DOMAIN, "no machine with uuid %s", text);
	}
	return d;
}

struct domain *domain_find_name(struct manager *m, const char *name, GError **error)
{
	struct domains *t = m->domains;
	struct domain *d;

	g_mutex_lock(&t->lock);
	d = g_hash_table_lookup(t->by_name, name);
	if (d)
		domain_ref(d);
	g_mutex_unlock(&t->lock);
	if (!d)
		refuse(error, MANAGER_ERR_NO_DOMAIN, "no machine with the name '%.255s'", name);
	return d;
}

struct domain *domain_find_id(struct manager *m, int id, GError **error)
{
	g_autoptr(GPtrArray) all = domains_list(m);

	for (guint i = 0; i < all->len; i++) {
		struct domain *d = g_ptr_array_index(all, i);
		bool found;

		g_mutex_lock(&d->lock);
		found = d->id == id && id >= 0;
		g_mutex_unlock(&d->lock);
		if (found)
			return domain_ref(d);
	}
	refuse(error, MANAGER_ERR_NO_DOMAIN, "no machine with the id %d", id);
	return NULL;
}

static void unref_it(gpointer d)
{
	domain_unref(d);
}

GPtrArray *domains_list(struct manager *m)
{
	struct domains *t = m->domains;
	GPtrArray *all = g_ptr_array_new_with_free_func(unref_it);
	GHashTableIter it;
	gpointer d;

	g_mutex_lock(&t->lock);
	g_hash_table_iter_init(&it, t->by_uuid);
	while (g_hash_table_iter_next(&it, NULL, &d))
		g_ptr_array_add(all, domain_ref(d));
	g_mutex_unlock(&t->lock);
	return all;
}

unsigned domains_active(struct manager *m)
{
	g_autoptr(GPtrArray) all = m->domains ? domains_list(m) : NULL;
	unsigned n = 0;

	for (guint i = 0; all && i < all->len; i++)
		n += domain_is_active(g_ptr_array_index(all, i));
	return n;
}

bool domain_is_active(struct domain *d)
{
	bool active;

	g_mutex_lock(&d->lock);
	active = d->live != NULL;
	g_mutex_unlock(&d->lock);
	return active;
}

int domain_need_active(struct domain *d, GError **error)
{
	return domain_is_active(d)
		       ? 0
		       : refuse(error, MANAGER_ERR_OPERATION_INVALID, "the machine does not run");
}

char *domain_file(const struct domain *d, const char *base, const char *suffix)
{
	char uuid[37];
	g_autofree char *name = NULL;

	uuid_format(d->uuid, uuid);
	name = g_strconcat(uuid, suffix, NULL);
	return g_build_filename(base, name, NULL);
}

static char *managed_file(const struct domain *d)
{
	return domain_file(d, d->manager->paths.state, ".save");
}

void domain_view(struct domain *d, struct domain_view *ret)
{
	*ret = (struct domain_view){ .id = -1 };
	g_mutex_lock(&d->lock);
	memcpy(ret->uuid, d->uuid, 16);
	ret->name = g_strdup(d->name);
	ret->id = d->id;
	ret->state = d->state;
	ret->reason = d->reason;
	ret->active = d->live != NULL;
	ret->persistent = d->persistent;
	ret->autostart = d->autostart;
	ret->updated = d->updated;
	ret->config = domain_config_ref(d->live ? d->live : d->config);
	ret->pid = d->process ? process_identity(d->process)->pid : 0;
	g_mutex_unlock(&d->lock);
	ret->managed_file = managed_file(d);
}

bool domain_view_saved(const struct domain_view *v)
{
	return access(v->managed_file, F_OK) == 0;
}

void domain_view_clear(struct domain_view *v)
{
	g_clear_pointer(&v->name, g_free);
	g_clear_pointer(&v->managed_file, g_free);
	g_clear_pointer(&v->config, domain_config_unref);
}

/* ---- the job ---- */

int domain_job_begin(struct domain *d, const char *kind, GError **error)
{
	int64_t deadline = g_get_monotonic_time() + JOB_WAIT * G_TIME_SPAN_SECOND;
	int rc = 0;

	g_mutex_lock(&d->lock);
	while ((d->job || d->reaping) && rc == 0) {
		if (!g_cond_wait_until(&d->changed, &d->lock, deadline))
			rc = refuse(error, MANAGER_ERR_OPERATION_TIMEOUT,
				"cannot %s machine '%s': it is busy (%s)", kind, d->name,
				d->job ? d->job : "stop");
	}
	if (rc == 0 && d->gone)
		rc = refuse(error, MANAGER_ERR_NO_DOMAIN, "machine '%s' is no more", d->name);
	if (rc == 0) {
		d->job = kind;
		d->job_owner = g_thread_self();
		d->job_since = g_get_monotonic_time();
	}
	g_mutex_unlock(&d->lock);
	return rc;
}

void domain_job_end(struct domain *d)
{
	g_mutex_lock(&d->lock);
	d->job = NULL;
	d->job_owner = NULL;
	g_cond_broadcast(&d->changed);
	g_mutex_unlock(&d->lock);
}

void domain_job_view(struct domain *d, struct domain_job_view *ret)
{
	g_mutex_lock(&d->lock);
	ret->kind = d->job;
	ret->elapsed_us = d->job ? g_get_monotonic_time() - d->job_since : 0;
	g_mutex_unlock(&d->lock);
}

/* ---- events and state ---- */

void domain_tell(struct domain *d, int kind, int event, int detail, json_t *data)
{
	struct event ev = {
		.object = EVENT_DOMAIN, .kind = kind, .event = event, .detail = detail, .data = data
	};

	g_mutex_lock(&d->lock);
	memcpy(ev.uuid, d->uuid, 16);
	g_strlcpy(ev.name, d->name, sizeof(ev.name));
	ev.id = d->id;
	g_mutex_unlock(&d->lock);
	event_publish(d->manager->events, &ev);
}

void domain_set_state(struct domain *d, enum domain_state state, int reason, int event, int detail)
{
	g_mutex_lock(&d->lock);
	d->state = state;
	d->reason = reason;
	g_mutex_unlock(&d->lock);
	domain_tell(d, 0, event, detail, NULL);
}

void domain_set_live(struct domain *d, struct domain_config *c)
{
	struct domain_config *old;

	g_mutex_lock(&d->lock);
	old = d->live;
	d->live = c;
	g_mutex_unlock(&d->lock);
	domain_config_unref(old);
}

/* ---- what is kept ---- */

char *domain_status_text(struct domain *d)
{
	const struct process_identity *who;
	json_t *status, *taps;
	char *text, *copy;

	if (!d->live)
		return NULL;
	who = d->process ? process_identity(d->process) : NULL;
	taps = json_array();
	for (guint i = 0; i < d->taps->len; i++)
		json_array_append_new(taps, json_string(g_ptr_array_index(d->taps, i)));
	status = json_pack("{s:i, s:I, s:I, s:s, s:s, s:i, s:i, s:i, s:o}", "id", d->id, "pid",
		(json_int_t)(who ? who->pid : 0), "start", (json_int_t)(who ? who->start : 0),
		"live", d->live->xml, "config", d->config->xml, "state", (int)d->state, "reason",
		d->reason, "vcpus", (int)d->boot_vcpus, "taps", taps);
	text = json_dumps(status, JSON_COMPACT);
	json_decref(status);
	copy = g_strdup(text);
	free(text);
	return copy;
}

int domain_store(struct domain *d, GError **error)
{
	struct store_record r = { .kind = "domain" };
	g_autofree char *status = NULL, *name = NULL;
	struct domain_config *config;
	int rc;

	g_mutex_lock(&d->lock);
	memcpy(r.uuid, d->uuid, 16);
	r.autostart = d->autostart;
	r.status = status = domain_status_text(d);
	r.name = name = g_strdup(d->name);
	config = domain_config_ref(d->config);
	r.definition = d->persistent ? config->xml : NULL;
	g_mutex_unlock(&d->lock);
	rc = store_put(d->manager->store, &r, error);
	domain_config_unref(config);
	return rc;
}

int domain_store_status(struct domain *d, GError **error)
{
	g_autofree char *status = NULL;

	g_mutex_lock(&d->lock);
	status = domain_status_text(d);
	g_mutex_unlock(&d->lock);
	return store_put_status(d->manager->store, "domain", d->uuid, status, error);
}

/* ---- loading ---- */

struct loading {
	struct manager *manager;
	GPtrArray *autostart; /* struct domain *, references */
};

static void load_one(const struct store_record *r, void *opaque)
{
	struct loading *l = opaque;
	g_autoptr(GError) error = NULL;
	struct domain *d = domain_new(l->manager, r->uuid);

	d->autostart = r->autostart;
	d->name = g_strdup(r->name);
	if (r->definition)
		d->config = domain_config_parse(r->definition, 0, &error);
	if (error)
		log_warn("machine '%s' is left out: %s", r->name, error->message);
	d->persistent = d->config != NULL;
	if (r->status)
		domain_adopt(d, r->status);
	if (d->config && domain_enter(d, NULL) == 0) {
		if (d->live && !d->process)
			g_thread_pool_push(l->manager->domains->reapers, domain_ref(d), NULL);
		else if (d->autostart && !d->live)
			g_ptr_array_add(l->autostart, domain_ref(d));
	}
	domain_unref(d);
}

static void start_it(gpointer data, gpointer opaque)
{
	struct domain *d = data;
	g_autoptr(GError) error = NULL;

	if (!domain_is_active(d) && domain_start(d, 0, &error) < 0)
		log_warn("machine '%s' did not start by itself: %s", d->name, error->message);
	domain_unref(d);
}

/* Once a boot of the host, whatever happens to the daemon: what a person switched off stays off. */
static bool first_since_boot(const struct manager *m)
{
	g_autofree char *stamp = g_build_filename(m->paths.run, "machines-autostarted", NULL);
	int fd = open(stamp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

struct domains *domains_new(struct manager *m, GError **error)
{
	struct domains *t = g_new0(struct domains, 1);
	struct loading l = { .manager = m, .autostart = g_ptr_array_new() };
	bool first;
	int rc;

	g_mutex_init(&t->lock);
	t->by_uuid = g_hash_table_new_full(uuid_hash, uuid_equal, NULL, NULL);
	t->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	t->reapers = g_thread_pool_new(domain_reap, t, REAPERS, FALSE, NULL);
	t->starters = g_thread_pool_new(start_it, t, STARTERS, FALSE, NULL);
	t->next_id = 1;
	m->domains = t;
	rc = store_each(m->store, "domain", load_one, &l, error);
	if (rc == 0)
		rc = domain_snapshots_load(m, error);
	first = first_since_boot(m);
	for (guint i = 0; i < l.autostart->len; i++) {
		if (first)
			g_thread_pool_push(t->starters, g_ptr_array_index(l.autostart, i), NULL);
		else
			domain_unref(g_ptr_array_index(l.autostart, i));
	}
	g_ptr_array_unref(l.autostart);
	if (rc == 0)
		return t;
	domains_free(t);
	m->domains = NULL;
	return NULL;
}

void domains_free(struct domains *t)
{
	GHashTableIter it;
	gpointer p;

	/* Those under way end; the rest stays for the next daemon. */
	g_thread_pool_free(t->starters, TRUE, TRUE);
	g_thread_pool_free(t->reapers, FALSE, TRUE);
	g_hash_table_iter_init(&it, t->by_uuid);
	while (g_hash_table_iter_next(&it, NULL, &p)) {
		struct domain *d = p;

		if (d->qmp)
			qmp_client_close(d->qmp);
		domain_unref(d);
	}
	g_hash_table_unref(t->by_uuid);
	g_hash_table_unref(t->by_name);
	g_mutex_clear(&t->lock);
	g_free(t);
}

/* ---- the running machine's commands ---- */

static struct qmp_client *client_of(struct domain *d, GError **error)
{
	struct qmp_client *q;

	g_mutex_lock(&d->lock);
	q = d->qmp ? qmp_client_ref(d->qmp) : NULL;
	g_mutex_unlock(&d->lock);
	if (!q)
		refuse(error, MANAGER_ERR_OPERATION_INVALID, "the machine does not run");
	return q;
}

json_t *domain_qmp(
	struct domain *d, const char *command, json_t *args, int timeout_ms, GError **error)
{
	struct qmp_client *q = client_of(d, error);
	json_t *result;

	if (!q) {
		json_decref(args);
		return NULL;
	}
	result = qmp_client_run(q, command, args, timeout_ms, error);
	qmp_client_unref(q);
	return result;
}

json_t *domain_qmp_fd(struct domain *d, const char *command, json_t *args, int fd, GError **error)
{
	struct qmp_client *q = client_of(d, error);
	json_t *result;

	if (!q) {
		json_decref(args);
		return NULL;
	}
	result = qmp_client_run_fd(q, command, args, fd, 10000, error);
	qmp_client_unref(q);
	return result;
}

char *domain_qmp_text(struct domain *d, const char *text, GError **error)
{
	struct qmp_client *q = client_of(d, error);
	char *result = q ? qmp_client_text(q, text, error) : NULL;

	qmp_client_unref(q);
	return result;
}

int domain_qmp_do(struct domain *d, const char *command, json_t *args, GError **error)
{
	json_t *result = domain_qmp(d, command, args, 10000, error);

	json_decref(result);
	return result ? 0 : -1;
}
