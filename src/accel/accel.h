/* SPDX-License-Identifier: GPL-2.0-or-later */
/* accel.h: how guest instructions get executed: KVM, our translator, or not at all. */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <glib.h>
#include <stdbool.h>

struct machine;
struct vcpu;

/*
 * Why vcpu_run came back. MMIO, port I/O and interrupts never surface here: an accelerator calls
 * space_read/space_write and the vCPU's intc itself, and sleeps in vcpu_wait when halted.
 */
enum vcpu_exit {
	VCPU_KICKED,   /* VCPU_EV_EXIT was posted */
	VCPU_SHUTDOWN, /* triple fault */
	VCPU_DEBUG,    /* a breakpoint or single step asked for by the gdb stub */
	VCPU_BROKEN,   /* the engine cannot go on; it has logged why */
};

struct accel {
	const char *name; /* "kvm", "jit", "null" (device tests) */
	const char *help;
	/* Can this host run it? NULL: yes; else why not, a static or interned string. `auto` asks. */
	const char *(*unusable)(void);
	/* Opens the engine for m: fills m->accel_vm and, if it brings interrupt controllers of its own,
	 * m->intc. Called after machine_new, before any RAM is placed or vCPU made. */
	int (*open)(struct machine *m, GError **error);
	void (*close)(struct machine *m);
	/* Allocates c->engine and c->arch (reset state of the machine's CPU model). */
	int (*vcpu_init)(struct vcpu *c, GError **error);
	void (*vcpu_fini)(struct vcpu *c);
	void (*vcpu_reset)(struct vcpu *c); /* c not running: architectural reset, from any thread */
	enum vcpu_exit (*vcpu_run)(struct vcpu *c); /* its own thread only */
	void (*vcpu_kick)(struct vcpu *c); /* any thread: make vcpu_run look at c->events soon */
	int (*vcpu_pull)(struct vcpu *c, GError **error); /* engine -> c->arch; c not running */
	int (*vcpu_push)(struct vcpu *c, GError **error); /* c->arch -> engine; c not running */
	/* Devices' state the engine itself holds (KVM: PIC, IOAPIC, PIT, clock), for save and restore,
	 * as one opaque device; NULL: none. Added to the machine by the board. */
	const struct device_class *(*irqchip_class)(void);
};

/* accels.c: NULL ends it; order is `auto`'s preference. */
extern const struct accel *const accels[];
/* name "auto", "kvm" or "jit". On success *ret_why (may be NULL) is one line for people: which was
 * taken and why; owned by the caller. */
const struct accel *accel_find(const char *name, char **ret_why, GError **error);

#endif
