/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock.h: the machine's virtual time in ns, which stands still while the machine is paused, and
 * timers on it. Backed by one timerfd on the main loop (GLib's own timeouts are too coarse).
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock;
struct device;

enum { NS_PER_SEC = 1000000000 };

struct timer {
	struct clock *clock;
	struct device *device;	 /* its lock is held around cb; NULL: no lock */
	void (*cb)(void *opaque);
	void *opaque;
	int64_t when;		 /* ns of virtual time; -1: not armed */
	unsigned index;		 /* private */
};

struct clock *clock_new(void);
void clock_free(struct clock *c);
int64_t clock_ns(struct clock *c); /* any thread */
void clock_stop(struct clock *c);
void clock_start(struct clock *c);
/* Restore: virtual time goes on from here. Only while stopped. */
void clock_set(struct clock *c, int64_t ns);
/* Runs the timers that are due, which the main loop does by itself while time goes on; for those
 * who set the time. Main loop thread. */
void clock_run(struct clock *c);

void timer_init(
	struct timer *t, struct clock *c, struct device *d, void (*cb)(void *), void *opaque);
void timer_arm(struct timer *t, int64_t when); /* absolute; any thread */
void timer_cancel(struct timer *t);	       /* any thread; cb may still be running elsewhere */

#endif
