/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic_timer.c: the local APIC's timer: one-shot, periodic, TSC-deadline.
 * Spec: Intel SDM vol. 3, 11.5.4.
 *
 * The counter is not ticked: the moment of the next expiry says everything. It counts at 1 GHz
 * before the divider, so that a count is a ns.
 */
#include "base/error.h"
#include "core/machine.h"
#include "device/irq/lapic_impl.h"

enum {
	MIN_PERIOD_NS = 50000, /* a shorter period would only keep the main loop busy */
	LATEST_TSC_WAIT_S = 3600, /* a farther deadline is looked at again after that long */
};

/* SDM vol. 3, figure 11-10: bits 3, 1 and 0 as a power of two, 7 meaning 1. */
static uint64_t divisor(const struct lapic *l)
{
	unsigned v = (l->timer_divide & 3) | (l->timer_divide & 8) >> 1;

	return 1u << ((v + 1) & 7);
}

static uint64_t period(const struct lapic *l)
{
	return l->timer_init * divisor(l);
}

static uint32_t timer_mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static void stop(struct lapic *l)
{
	l->timer_when = -1;
	l->tsc_deadline = 0;
	timer_cancel(&l->timer);
}

static void start_at(struct lapic *l, int64_t when)
{
	l->timer_when = when;
	timer_arm(&l->timer, when);
}

static void fire(struct lapic *l)
{
	uint32_t lvt = l->lvt[LVT_TIMER];

	if (!(lvt & LVT_MASKED))
		lapic_accept(l, MODE_FIXED, lvt & LVT_VECTOR, false);
}

/* Waits until the guest's TSC is at the deadline, or raises at once if it is past. */
static void deadline_start(struct lapic *l)
{
	uint64_t now = l->host->guest_tsc(l->vcpu);
	unsigned __int128 ns;

	if (now >= l->tsc_deadline) {
		stop(l);
		fire(l);
		return;
	}
	/* Rounded up: an early timer interrupt makes the guest program a second one. */
	ns = (unsigned __int128)(l->tsc_deadline - now) * 1000000 / l->host->tsc_khz + 1;
	if (ns > (unsigned __int128)LATEST_TSC_WAIT_S * NS_PER_SEC)
		ns = (unsigned __int128)LATEST_TSC_WAIT_S * NS_PER_SEC;
	start_at(l, clock_ns(l->timer.clock) + (int64_t)ns);
}

/* Timer call-back, main loop; core holds dev.lock. */
void lapic_timer_expired(void *opaque)
{
	struct lapic *l = opaque;
	int64_t now = clock_ns(l->timer.clock), p;

	switch (timer_mode(l)) {
	case LVT_TIMER_DEADLINE:
		if (l->tsc_deadline)
			deadline_start(l);
		break;
	case LVT_TIMER_PERIODIC:
		fire(l);
		p = (int64_t)period(l);
		if (p < MIN_PERIOD_NS)
			p = (MIN_PERIOD_NS + p - 1) / p * p;
		/* Missed periods merge into one interrupt, the phase stays. */
		start_at(l, l->timer_when + (now - l->timer_when) / p * p + p);
		break;
	default:
		stop(l);
		fire(l);
	}
}

uint32_t lapic_timer_current(struct lapic *l)
{
	uint64_t left = 0;

	device_lock(&l->dev);
	if (l->timer_when >= 0 && timer_mode(l) != LVT_TIMER_DEADLINE) {
		int64_t now = clock_ns(l->timer.clock), p = (int64_t)period(l);

		if (now < l->timer_when)
			left = (l->timer_when - now - 1) % p + 1; /* may be a stretched period */
		else if (timer_mode(l) == LVT_TIMER_PERIODIC)
			left = p - (now - l->timer_when) % p;
		left /= divisor(l);
	}
	device_unlock(&l->dev);
	return left;
}

void lapic_timer_set_init(struct lapic *l, uint32_t val)
{
	device_lock(&l->dev);
	if (timer_mode(l) != LVT_TIMER_DEADLINE) {
		l->timer_init = val;
		if (val)
			start_at(l, clock_ns(l->timer.clock) + (int64_t)period(l));
		else
			stop(l);
	}
	device_unlock(&l->dev);
}

void lapic_timer_set_divide(struct lapic *l, uint32_t val)
{
	uint64_t old;

	device_lock(&l->dev);
	old = divisor(l);
	l->timer_divide = val & 0xb;
	if (l->timer_when >= 0 && timer_mode(l) != LVT_TIMER_DEADLINE && divisor(l) != old) {
		int64_t now = clock_ns(l->timer.clock), left = l->timer_when - now;

		/* What is left of the count goes on at the new rate. */
		start_at(l, now + (left > 0 ? left / (int64_t)old * (int64_t)divisor(l) : 0));
	}
	device_unlock(&l->dev);
}

/* SDM 11.5.4.1: changing to or from TSC-deadline mode disarms the timer. */
void lapic_timer_set_lvt(struct lapic *l, uint32_t val)
{
	uint32_t old;

	if (!l->host || !l->host->guest_tsc)
		val &= ~LVT_TIMER_DEADLINE;
	if ((val & LVT_TIMER_MODE) == LVT_TIMER_MODE)
		val &= ~LVT_TIMER_MODE; /* reserved */
	device_lock(&l->dev);
	old = timer_mode(l);
	l->lvt[LVT_TIMER] = val;
	if ((old == LVT_TIMER_DEADLINE) != (timer_mode(l) == LVT_TIMER_DEADLINE)) {
		stop(l);
		l->timer_init = 0;
	}
	device_unlock(&l->dev);
}

/* SDM 11.5.4.1: outside TSC-deadline mode writes are ignored and reads are 0. */
void lapic_timer_set_deadline(struct lapic *l, uint64_t tsc)
{
	device_lock(&l->dev);
	if (timer_mode(l) == LVT_TIMER_DEADLINE) {
		l->tsc_deadline = tsc;
		if (tsc)
			deadline_start(l);
		else
			stop(l);
	}
	device_unlock(&l->dev);
}

uint64_t lapic_timer_deadline(struct lapic *l)
{
	uint64_t tsc;

	device_lock(&l->dev);
	tsc = l->tsc_deadline;
	device_unlock(&l->dev);
	return tsc;
}

void lapic_timer_reset(struct lapic *l)
{
	device_lock(&l->dev);
	stop(l);
	l->timer_init = l->timer_divide = 0;
	device_unlock(&l->dev);
}

int lapic_timer_loaded(struct lapic *l, GError **error)
{
	bool deadline = timer_mode(l) == LVT_TIMER_DEADLINE;
	int64_t now, latest;

	l->timer_divide &= 0xb;
	timer_cancel(&l->timer);
	if (timer_mode(l) == LVT_TIMER_MODE || (deadline && (!l->host || !l->host->guest_tsc)))
		return fail(error, LODGE_ERROR_STATE, "%s: bad timer mode", l->dev.id);
	if (l->timer_when < 0)
		return 0;
	if (deadline ? !l->tsc_deadline : !l->timer_init)
		return fail(error, LODGE_ERROR_STATE, "%s: timer runs without a count", l->dev.id);
	now = clock_ns(l->timer.clock);
	latest = now + MAX((int64_t)period(l), MIN_PERIOD_NS);
	/* The vCPU's TSC may not be restored yet: look at a deadline as soon as time goes on. */
	start_at(l, deadline ? now : MIN(l->timer_when, latest));
	return 0;
}
