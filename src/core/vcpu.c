/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu.c: the threads of virtual CPUs: parking, sleeping, waking.
 *
 * A thread is either parked (waits for RUN_ALLOWED) or inside the engine's vcpu_run. Sleeping in
 * hlt happens inside vcpu_run, in vcpu_wait.
 */
#include "core/vcpu.h"

#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/engine.h"
#include "core/machine.h"

/* vcpu.run_state, under wait_lock */
enum { RUN_ALLOWED = 1, RUN_PARKED = 2, RUN_QUIT = 4 };

static _Thread_local struct vcpu *current;

struct vcpu *vcpu_current(void)
{
	return current;
}

struct vcpu *vcpu_new(struct machine *m, unsigned index, GError **error)
{
	struct vcpu *c = g_new0(struct vcpu, 1);

	c->machine = m;
	c->accel = m->accel;
	c->index = index;
	c->run_state = RUN_PARKED;
	g_mutex_init(&c->wait_lock);
	g_cond_init(&c->wait_cond);
	if (c->accel->vcpu_init(c, error) < 0) {
		vcpu_free(c);
		return NULL;
	}
	return c;
}

void vcpu_free(struct vcpu *c)
{
	if (!c)
		return;
	if (c->thread) {
		g_mutex_lock(&c->wait_lock);
		c->run_state |= RUN_QUIT;
		g_cond_broadcast(&c->wait_cond);
		g_mutex_unlock(&c->wait_lock);
		vcpu_post(c, VCPU_EV_EXIT);
		g_thread_join(c->thread);
	}
	c->accel->vcpu_fini(c);
	g_cond_clear(&c->wait_cond);
	g_mutex_clear(&c->wait_lock);
	g_free(c);
}

/* Returns false when the thread shall end. */
static bool vcpu_park(struct vcpu *c)
{
	bool quit;

	g_mutex_lock(&c->wait_lock);
	vcpu_events_clear(c, VCPU_EV_EXIT);
	while (!(c->run_state & (RUN_ALLOWED | RUN_QUIT))) {
		if (!(c->run_state & RUN_PARKED)) {
			c->run_state |= RUN_PARKED;
			g_cond_broadcast(&c->wait_cond);
		}
		g_cond_wait(&c->wait_cond, &c->wait_lock);
	}
	c->run_state &= ~RUN_PARKED;
	quit = c->run_state & RUN_QUIT;
	g_mutex_unlock(&c->wait_lock);
	return !quit;
}

static void vcpu_stop_self(struct vcpu *c)
{
	g_mutex_lock(&c->wait_lock);
	c->run_state &= ~RUN_ALLOWED;
	g_mutex_unlock(&c->wait_lock);
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *c = opaque;

	current = c;
	c->tid = gettid();
	while (vcpu_park(c)) {
		switch (c->accel->vcpu_run(c)) {
		case VCPU_KICKED: break;
		case VCPU_SHUTDOWN: /* a triple fault resets a PC */
			vcpu_stop_self(c);
			machine_request(c->machine, MACHINE_REQ_RESET, "guest-reset");
			break;
		case VCPU_DEBUG:
			vcpu_stop_self(c);
			machine_request(c->machine, MACHINE_REQ_PAUSE, "debug");
			break;
		case VCPU_BROKEN:
			vcpu_stop_self(c);
			log_warn("vCPU %u cannot go on", c->index);
			machine_request(c->machine, MACHINE_REQ_CRASH, "host-error");
			break;
		}
	}
	return NULL;
}

void vcpu_allow(struct vcpu *c)
{
	g_mutex_lock(&c->wait_lock);
	c->run_state = (c->run_state | RUN_ALLOWED) & ~RUN_PARKED;
	g_cond_broadcast(&c->wait_cond);
	if (!c->thread) { /* under the lock: it is known before it runs, so that vcpu_forbid reaches it */
		g_autofree char *name = g_strdup_printf("vcpu%u", c->index);

		c->thread = g_thread_new(name, vcpu_thread, c);
	}
	g_mutex_unlock(&c->wait_lock);
}

void vcpu_forbid(struct vcpu *c)
{
	g_mutex_lock(&c->wait_lock);
	c->run_state &= ~RUN_ALLOWED;
	g_mutex_unlock(&c->wait_lock);
	/* vcpu_allow may not have set it yet when the new thread comes by here itself */
	if (c->thread || current == c)
		vcpu_post(c, VCPU_EV_EXIT);
}

void vcpu_wait_parked(struct vcpu *c)
{
	g_mutex_lock(&c->wait_lock);
	while (c->thread && !(c->run_state & RUN_PARKED))
		g_cond_wait(&c->wait_cond, &c->wait_lock);
	g_mutex_unlock(&c->wait_lock);
}

void vcpu_post(struct vcpu *c, uint32_t events)
{
	uint32_t old = atomic_fetch_or(&c->events, events);

	if ((old & events) == events)
		return;
	/* Sequentially consistent with vcpu_wait: one of us sees the other. */
	if (atomic_load(&c->halted)) {
		g_mutex_lock(&c->wait_lock);
		g_cond_broadcast(&c->wait_cond);
		g_mutex_unlock(&c->wait_lock);
	} else {
		c->accel->vcpu_kick(c);
	}
}

void vcpu_wait(struct vcpu *c)
{
	g_mutex_lock(&c->wait_lock);
	atomic_store(&c->halted, true);
	while (!atomic_load(&c->events))
		g_cond_wait(&c->wait_cond, &c->wait_lock);
	atomic_store(&c->halted, false);
	g_mutex_unlock(&c->wait_lock);
}
