/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.c: a machine's life: building, running, pausing, resetting, ending. */
#include "core/machine.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/engine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"

enum { MEMORY_BITS = 52, PORT_BITS = 16, PHYS_BITS = 46 };

/* Requests of other threads, handed over to the main loop. */
struct requests {
	GSource base;
	struct machine *machine;
	GMutex lock;
	const char *reason[MACHINE_REQ_PAUSE + 1]; /* NULL: not asked for */
};


static void machine_end(struct machine *m, enum machine_state s, const char *reason)
{
	if (m->state == MACHINE_SHUTDOWN || m->state == MACHINE_CRASHED)
		return;
	/* No STOP event: to a QMP client that is a pause somebody asked for. */
	if (m->state == MACHINE_RUNNING)
		machine_stall(m);
	m->state = s;
	machine_event(m, "SHUTDOWN", reason);
	if (m->ended)
		m->ended(m->ended_opaque);
}

static void machine_handle(struct machine *m, enum machine_request what, const char *reason)
{
	switch (what) {
	case MACHINE_REQ_RESET:
		if (m->state == MACHINE_SHUTDOWN || m->state == MACHINE_CRASHED)
			return;
		if (m->no_reboot) {
			machine_end(m, MACHINE_SHUTDOWN, reason);
			return;
		}
		machine_reset(m);
		machine_event(m, "RESET", reason);
		break;
	case MACHINE_REQ_POWEROFF: machine_end(m, MACHINE_SHUTDOWN, reason); break;
	case MACHINE_REQ_CRASH:
		if (!m->exit_status)
			m->exit_status = LODGE_ERROR_GUEST;
		machine_end(m, MACHINE_CRASHED, reason);
		break;
	case MACHINE_REQ_PAUSE: machine_pause(m); break;
	}
}

static gboolean requests_dispatch(GSource *source, GSourceFunc cb, gpointer data)
{
	struct requests *q = (struct requests *)source;
	const char *reason[array_len(q->reason)];

	g_source_set_ready_time(source, -1);
	g_mutex_lock(&q->lock);
	memcpy(reason, q->reason, sizeof(reason));
	memset(q->reason, 0, sizeof(q->reason));
	g_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < array_len(reason); i++) {
		if (reason[i])
			machine_handle(q->machine, i, reason[i]);
	}
	return G_SOURCE_CONTINUE;
}

static void requests_finalize(GSource *source)
{
	g_mutex_clear(&((struct requests *)source)->lock);
}

static GSourceFuncs requests_funcs = {
	.dispatch = requests_dispatch,
	.finalize = requests_finalize,
};

void machine_request(struct machine *m, enum machine_request what, const char *reason)
{
	struct requests *q = m->requests;

	g_mutex_lock(&q->lock);
	if (!q->reason[what])
		q->reason[what] = reason;
	g_mutex_unlock(&q->lock);
	g_source_set_ready_time(&q->base, 0);
}

struct machine *machine_new(const struct accel *a, GError **error)
{
	struct machine *m = g_new0(struct machine, 1);

	m->accel = a;
	m->memory = space_new("memory", MEMORY_BITS);
	m->ports = space_new("ports", PORT_BITS);
	m->clock = clock_new();
	clock_stop(m->clock);
	clock_set(m->clock, 0);
	m->rams = g_ptr_array_new_with_free_func((GDestroyNotify)ram_free);
	m->devices = g_ptr_array_new();
	m->cpu_model = "max";
	m->phys_bits = PHYS_BITS;
	m->requests = (struct requests *)g_source_new(&requests_funcs, sizeof(struct requests));
	m->requests->machine = m;
	g_mutex_init(&m->requests->lock);
	g_source_set_priority(&m->requests->base, G_PRIORITY_HIGH);
	g_source_set_static_name(&m->requests->base, "machine requests");
	g_source_attach(&m->requests->base, NULL);
	if (a->open(m, error) < 0) {
		m->accel = NULL;
		machine_free(m);
		return NULL;
	}
	return m;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	if (m->state == MACHINE_RUNNING)
		machine_pause(m);
	while (m->devices->len)
		device_remove(g_ptr_array_index(m->devices, m->devices->len - 1));
	if (m->board_free)
		m->board_free(m);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_free(m->vcpus[i]);
	g_free(m->vcpus);
	if (m->accel)
		m->accel->close(m);
	g_source_destroy(&m->requests->base);
	g_source_unref(&m->requests->base);
	space_free(m->memory);
	space_free(m->ports);
	g_ptr_array_free(m->rams, TRUE);
	g_ptr_array_free(m->devices, TRUE);
	clock_free(m->clock);
	g_free(m);
}

int machine_add_vcpus(struct machine *m, unsigned n, GError **error)
{
	if (n < 1 || m->vcpu_count + n > MACHINE_MAX_VCPUS)
		return fail(error, LODGE_ERROR_USAGE, "%u vCPUs: possible are 1 to %d", n,
			MACHINE_MAX_VCPUS);
	m->vcpus = g_renew(struct vcpu *, m->vcpus, m->vcpu_count + n);
	for (unsigned i = 0; i < n; i++) {
		struct vcpu *c = vcpu_new(m, m->vcpu_count, error);

		if (!c)
			return -1;
		m->vcpus[m->vcpu_count++] = c;
	}
	return 0;
}

void machine_event(struct machine *m, const char *event, const char *reason)
{
	if (m->listener)
		m->listener(m->listener_opaque, event, reason);
}

const char *machine_state_name(enum machine_state s)
{
	switch (s) {
	case MACHINE_PRELAUNCH: return "prelaunch";
	case MACHINE_RUNNING: return "running";
	case MACHINE_PAUSED: return "paused";
	case MACHINE_SHUTDOWN: return "shutdown";
	case MACHINE_CRASHED: return "internal-error";
	}
	return "internal-error";
}

/* Everything that moves by itself: vCPUs first, then the devices' I/O. */
void machine_stall(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_forbid(m->vcpus[i]);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_wait_parked(m->vcpus[i]);
	for (unsigned i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		if (d->cls->quiesce)
			d->cls->quiesce(d);
	}
	clock_stop(m->clock);
}

void machine_unstall(struct machine *m)
{
	clock_start(m->clock);
	for (unsigned i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		if (d->cls->resume)
			d->cls->resume(d);
	}
	for (unsigned i = 0; i < m->vcpu_count; i++)
		vcpu_allow(m->vcpus[i]);
}

void machine_start(struct machine *m)
{
	if (m->state != MACHINE_PRELAUNCH && m->state != MACHINE_PAUSED)
		return;
	m->state = MACHINE_RUNNING;
	machine_unstall(m);
	machine_event(m, "RESUME", NULL);
}

void machine_pause(struct machine *m)
{
	if (m->state != MACHINE_RUNNING)
		return;
	machine_stall(m);
	m->state = MACHINE_PAUSED;
	machine_event(m, "STOP", NULL);
}

void machine_reset(struct machine *m)
{
	bool running = m->state == MACHINE_RUNNING;

	if (running)
		machine_stall(m);
	for (unsigned i = 0; i < m->devices->len; i++) {
		struct device *d = g_ptr_array_index(m->devices, i);

		device_lock(d);
		if (d->cls->reset)
			d->cls->reset(d);
		device_unlock(d);
	}
	for (unsigned i = 0; i < m->vcpu_count; i++) {
		atomic_store(&m->vcpus[i]->events, 0);
		m->accel->vcpu_reset(m->vcpus[i]);
	}
	if (m->board_reset)
		m->board_reset(m);
	if (running)
		machine_unstall(m);
}

void machine_gsi(struct machine *m, unsigned gsi, int level)
{
	if (m->intc.ops)
		m->intc.ops->gsi(m->intc.opaque, gsi, level);
}

void msi_send(struct machine *m, uint64_t addr, uint32_t data)
{
	if (m->intc.ops)
		m->intc.ops->msi(m->intc.opaque, addr, data);
}
