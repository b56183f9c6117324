/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_stop.c: a machine's pauses and its end: what people ask for, what the guest does, what
 * befalls the process. Whatever ended it, one reaper cleans up and tells.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "manager/domain/domain_priv.h"
#include "manager/error.h"
#include "manager/event.h"
#include "manager/network/network.h"
#include "manager/store.h"

enum { GRACE = 10000, CRASHES_MAX = 3, CRASH_FORGOTTEN = 60 };

/* ---- the end ---- */

/* What the reaper found, and what comes next. */
struct ending {
	int reason;
	enum lifecycle_action action;
	bool was_starting;
};

static void close_files(struct domain *d, const struct domain_config *live)
{
	g_autofree char *qmp = domain_file(d, d->manager->paths.run, ".qmp");

	unlink(qmp);
	for (guint i = 0; live && i < live->devices->len; i++) {
		const struct config_device *k = g_ptr_array_index(live->devices, i);

		if (k->kind == DEVICE_CHAR && k->chr.driven && !k->chr.twin && k->chr.path &&
			strcmp(k->chr.type, "unix") == 0 && k->chr.server &&
			g_str_has_prefix(k->chr.path, d->manager->paths.run))
			unlink(k->chr.path);
	}
}

/* Lock held. */
static void decide(struct domain *d, struct ending *e)
{
	e->was_starting = d->starting;
	e->reason = d->stop_reason  ? d->stop_reason
		    : d->starting   ? SHUTOFF_FAILED
		    : d->guest_down ? SHUTOFF_SHUTDOWN
				    : SHUTOFF_CRASHED;
	e->action = ACTION_DESTROY;
	if (d->live && e->reason == SHUTOFF_SHUTDOWN)
		e->action = d->live->on_poweroff;
	else if (d->live && e->reason == SHUTOFF_CRASHED)
		e->action = d->live->on_crash;
	if (e->reason != SHUTOFF_CRASHED ||
		g_get_monotonic_time() - d->started > CRASH_FORGOTTEN * G_TIME_SPAN_SECOND)
		d->crashes = 0;
	else
		d->crashes++;
	if (e->action == ACTION_RESTART && d->crashes > CRASHES_MAX)
		e->action = ACTION_DESTROY;
}

/* Lock held. What it had becomes the caller's. */
static void strip(struct domain *d, struct domain_config **live, struct process **process,
	struct qmp_client **qmp, GPtrArray **taps, int reason)
{
	*live = g_steal_pointer(&d->live);
	*process = g_steal_pointer(&d->process);
	*qmp = g_steal_pointer(&d->qmp);
	*taps = d->taps;
	d->taps = g_ptr_array_new_with_free_func(g_free);
	d->state = DOMAIN_SHUTOFF;
	d->reason = reason;
	d->starting = d->watched = false;
	d->guest_down = false;
	d->stop_reason = 0;
}

static int detail_of(int reason)
{
	switch (reason) {
	case SHUTOFF_SHUTDOWN: return 0;
	case SHUTOFF_DESTROYED: return 1;
	case SHUTOFF_CRASHED: return 2;
	case SHUTOFF_SAVED: return 4;
	default: return 5;
	}
}

/* Callbacks of the loop may be using them: they are let go on its thread. */
struct remains {
	struct domain *d;
	struct process *process;
	struct qmp_client *qmp;
};

static gboolean let_go(gpointer data)
{
	struct remains *r = data;

	if (r->qmp)
		qmp_client_close(r->qmp);
	qmp_client_unref(r->qmp);
	process_free(r->process);
	domain_unref(r->d);
	g_free(r);
	return G_SOURCE_REMOVE;
}

static void forget_or_keep(struct domain *d)
{
	g_autoptr(GError) error = NULL;
	int rc;

	if (d->persistent) {
		rc = domain_store_status(d, &error);
	} else {
		d->gone = true;
		domain_leave(d);
		rc = store_remove(d->manager->store, "domain", d->uuid, &error);
	}
	if (rc < 0)
		log_warn("machine '%s': %s", d->name, error->message);
}

static void restart(struct domain *d)
{
	g_autoptr(GError) error = NULL;

	if (domain_start(d, 0, &error) < 0)
		log_warn("machine '%s' did not start again: %s", d->name, error->message);
}

void domain_reap(gpointer data, gpointer opaque)
{
	struct domain *d = data;
	struct remains *remains = g_new0(struct remains, 1);
	struct domain_config *live;
	GPtrArray *taps;
	struct ending e;

	remains->d = domain_ref(d);
	g_mutex_lock(&d->lock);
	d->reaping = true;
	decide(d, &e);
	strip(d, &live, &remains->process, &remains->qmp, &taps, e.reason);
	g_mutex_unlock(&d->lock);
	for (guint i = 0; i < taps->len; i++)
		network_port_delete(d->manager, g_ptr_array_index(taps, i));
	g_ptr_array_unref(taps);
	close_files(d, live);
	domain_cgroup_remove(d);
	g_idle_add(let_go, remains);
	if (!e.was_starting)
		domain_tell(d, 0, LIFE_STOPPED, detail_of(e.reason), NULL);
	g_mutex_lock(&d->lock);
	d->id = -1;
	g_mutex_unlock(&d->lock);
	forget_or_keep(d);
	g_mutex_lock(&d->lock);
	d->reaping = false;
	g_cond_broadcast(&d->changed);
	g_mutex_unlock(&d->lock);
	if (live && e.action == ACTION_RESTART && !d->gone && !e.was_starting)
		restart(d);
	domain_config_unref(live);
	domain_unref(d);
}

/* Main loop. */
static void on_gone(void *opaque, int status)
{
	struct domain *d = opaque;

	if (status != -1 && WIFSIGNALED(status))
		log_warn("machine '%s': its process was ended by signal %d", d->name,
			WTERMSIG(status));
	g_mutex_lock(&d->lock);
	/* Quiet and with success: a shutdown whose event was not read any more. */
	if (status == 0)
		d->guest_down = true;
	d->reaping = true;
	g_mutex_unlock(&d->lock);
	g_thread_pool_push(d->manager->domains->reapers, domain_ref(d), NULL);
}

/* ---- what the machine tells ---- */

static void on_shutdown(struct domain *d, const json_t *data)
{
	bool guest = json_is_true(json_object_get(data, "guest")), asked;

	g_mutex_lock(&d->lock);
	d->guest_down = true;
	asked = d->stop_reason != 0;
	d->state = DOMAIN_SHUTDOWN;
	d->reason = 1;
	g_mutex_unlock(&d->lock);
	if (!asked)
		domain_tell(d, 0, LIFE_SHUTDOWN, guest ? 1 : 2, NULL);
}

/* STOP and RESUME that no call of ours made are taken up too: another QMP client's. */
static void on_running(struct domain *d, bool running)
{
	bool told = false;

	g_mutex_lock(&d->lock);
	if (!d->job && running != (d->state == DOMAIN_RUNNING) &&
		(d->state == DOMAIN_RUNNING || d->state == DOMAIN_PAUSED)) {
		d->state = running ? DOMAIN_RUNNING : DOMAIN_PAUSED;
		d->reason = running ? RUNNING_UNPAUSED : PAUSED_USER;
		told = true;
	}
	g_mutex_unlock(&d->lock);
	if (told)
		domain_tell(d, 0, running ? LIFE_RESUMED : LIFE_SUSPENDED, 0, NULL);
}

/* For who listens to the machine's own events (virsh qemu-monitor-event). */
static void tell_monitor(struct domain *d, const char *name, const json_t *data, int64_t when)
{
	struct event ev = { .object = EVENT_MONITOR };
	char *details = data ? json_dumps(data, JSON_COMPACT) : NULL;

	memcpy(ev.uuid, d->uuid, 16);
	g_mutex_lock(&d->lock);
	g_strlcpy(ev.name, d->name, sizeof(ev.name));
	ev.id = d->id;
	g_mutex_unlock(&d->lock);
	ev.data = json_pack("{s:s, s:s?, s:I, s:i}", "event", name, "details", details, "seconds",
		(json_int_t)(when / G_USEC_PER_SEC), "micros", (int)(when % G_USEC_PER_SEC));
	free(details);
	event_publish(d->manager->events, &ev);
}

static void on_event(void *opaque, const char *name, const json_t *data, int64_t when)
{
	struct domain *d = opaque;

	if (strcmp(name, "SHUTDOWN") == 0)
		on_shutdown(d, data);
	else if (strcmp(name, "RESET") == 0)
		domain_tell(d, 1, 0, 0, NULL);
	else if (strcmp(name, "STOP") == 0)
		on_running(d, false);
	else if (strcmp(name, "RESUME") == 0)
		on_running(d, true);
	else if (strcmp(name, "BALLOON_CHANGE") == 0)
		domain_tell(d, 13, 0, 0,
			json_pack("{s:I}", "actual",
				json_integer_value(json_object_get(data, "actual")) / 1024));
	else if (strcmp(name, "DEVICE_DELETED") == 0)
		domain_device_deleted(d, json_string_value(json_object_get(data, "device")));
	tell_monitor(d, name, data, when);
}

void domain_watch(struct domain *d)
{
	g_mutex_lock(&d->lock);
	d->watched = true;
	if (d->qmp)
		qmp_client_listen(d->qmp, on_event, d);
	process_watch(d->process, on_gone, d);
	g_mutex_unlock(&d->lock);
}

/* ---- what people ask for ---- */

int domain_suspend(struct domain *d, GError **error)
{
	int rc;

	if (domain_job_begin(d, "suspend", error) < 0)
		return -1;
	rc = domain_need_active(d, error);
	if (rc == 0 && d->state != DOMAIN_PAUSED) {
		rc = domain_qmp_do(d, "stop", NULL, error);
		if (rc == 0) {
			domain_set_state(d, DOMAIN_PAUSED, PAUSED_USER, LIFE_SUSPENDED, 0);
			rc = domain_store_status(d, error);
		}
	}
	domain_job_end(d);
	return rc;
}

int domain_resume(struct domain *d, GError **error)
{
	int rc;

	if (domain_job_begin(d, "resume", error) < 0)
		return -1;
	rc = domain_need_active(d, error);
	if (rc == 0 && d->state != DOMAIN_RUNNING) {
		rc = domain_qmp_do(d, "cont", NULL, error);
		if (rc == 0) {
			domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED, LIFE_RESUMED, 0);
			rc = domain_store_status(d, error);
		}
	}
	domain_job_end(d);
	return rc;
}

static int press(struct domain *d, const char *kind, const char *command, GError **error)
{
	int rc;

	if (domain_job_begin(d, kind, error) < 0)
		return -1;
	rc = domain_need_active(d, error);
	if (rc == 0)
		rc = domain_qmp_do(d, command, NULL, error);
	domain_job_end(d);
	return rc;
}

int domain_shutdown(struct domain *d, GError **error)
{
	return press(d, "shutdown", "system_powerdown", error);
}

/* There is no button that asks a guest to reboot: what it does about the power button is its own
 * affair. */
int domain_reboot(struct domain *d, GError **error)
{
	return press(d, "reboot", "system_reset", error);
}

int domain_reset(struct domain *d, GError **error)
{
	return press(d, "reset", "system_reset", error);
}

/* Ends the process and waits until it is reaped. `reason` of the SHUTOFF state. */
static int end(struct domain *d, int reason, bool graceful, GError **error)
{
	struct process *p;

	g_mutex_lock(&d->lock);
	p = d->process;
	if (!p) {
		g_mutex_unlock(&d->lock);
		return refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
	}
	d->stop_reason = reason;
	process_signal(p, SIGTERM);
	g_mutex_unlock(&d->lock);
	return domain_wait_end(d, graceful, error);
}

int domain_wait_end(struct domain *d, bool graceful, GError **error)
{
	int64_t deadline = g_get_monotonic_time() + GRACE * G_TIME_SPAN_MILLISECOND;
	bool killed = false;

	g_mutex_lock(&d->lock);
	while (d->live || d->reaping) {
		if (g_cond_wait_until(&d->changed, &d->lock, deadline))
			continue;
		if (killed || graceful || !d->process) {
			g_mutex_unlock(&d->lock);
			return refuse(error, MANAGER_ERR_OPERATION_FAILED,
				"the machine's process did not end in time");
		}
		process_signal(d->process, SIGKILL);
		killed = true;
		deadline = g_get_monotonic_time() + GRACE * G_TIME_SPAN_MILLISECOND;
	}
	g_mutex_unlock(&d->lock);
	return 0;
}

int domain_end(struct domain *d, int reason, GError **error)
{
	return end(d, reason, false, error);
}

int domain_destroy(struct domain *d, bool graceful, GError **error)
{
	bool active = domain_is_active(d);

	/* Without the job: a machine that hangs in another call must be possible to end. */
	return active ? end(d, SHUTOFF_DESTROYED, graceful, error)
		      : refuse(error, MANAGER_ERR_OPERATION_INVALID, "domain is not running");
}
