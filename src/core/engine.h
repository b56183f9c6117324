/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h: what core needs of the thing that executes guest instructions. The engines themselves
 * (KVM, our translator, none) live in accel/.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct device_class;
struct machine;
struct vcpu;

/*
 * Why vcpu_run came back. MMIO, port I/O and interrupts never surface here: an accelerator calls
 * space_read/space_write and the vCPU's intc itself, and sleeps in vcpu_wait when halted.
 */
enum vcpu_exit {
	VCPU_KICKED,   /* VCPU_EV_EXIT was posted; core clears it */
	VCPU_SHUTDOWN, /* triple fault */
	VCPU_DEBUG,    /* a breakpoint or single step asked for by the gdb stub */
	VCPU_BROKEN,   /* the engine cannot go on; it has logged why */
};

struct accel {
	const char *name; /* "kvm", "jit", "null" (device tests) */
	const char *help;
	bool for_tests; /* never taken by `auto` */
	/* Can this host run it? NULL: yes; else why not, a static or interned string. `auto` asks.
	 */
	const char *(*unusable)(void);
	/* Opens the engine for m: fills m->accel_vm and, if it brings interrupt controllers of its
	 * own, m->intc. Called after machine_new, before any RAM is placed or vCPU made. */
	int (*open)(struct machine *m, GError **error);
	void (*close)(struct machine *m);
	/* Allocates c->engine and c->arch (reset state of the machine's CPU model). */
	int (*vcpu_init)(struct vcpu *c, GError **error);
	void (*vcpu_fini)(struct vcpu *c);
	/* c not running: architectural reset, from any thread; c->arch holds that state afterwards
	 */
	void (*vcpu_reset)(struct vcpu *c);
	enum vcpu_exit (*vcpu_run)(struct vcpu *c); /* its own thread only */
	void (*vcpu_kick)(struct vcpu *c); /* any thread: make vcpu_run look at c->events soon */
	int (*vcpu_pull)(struct vcpu *c, GError **error); /* engine -> c->arch; c not running */
	int (*vcpu_push)(struct vcpu *c, GError **error); /* c->arch -> engine; c not running */
	/* Single-step c (not running): vcpu_run returns VCPU_DEBUG after each instruction. */
	int (*vcpu_step)(struct vcpu *c, bool on, GError **error);
	/*
	 * Dirty log of what the engine's vCPUs write: on, after ram_dirty_start; and folded into each
	 * ram's bitmap: whatever was written before dirty_sync began is in there when it returns.
	 * Whoever clears a bit after that and then reads the page loses nothing, even while vCPUs
	 * run. NULL: no vCPU writes. The main loop's thread.
	 */
	void (*dirty_log)(struct machine *m, bool on);
	void (*dirty_sync)(struct machine *m);
	/*
	 * Guest TSC of c now, from any thread, and its frequency: the local APIC's TSC-deadline
	 * mode. NULL where the engine has local APICs of its own.
	 */
	uint64_t (*guest_tsc)(struct vcpu *c);
	uint64_t (*tsc_khz)(struct machine *m);
	/* Translators: how many bytes of host code to keep at most, before vCPUs are made. NULL: has
	 * none. */
	void (*code_cache)(struct machine *m, uint64_t bytes);
	/* Counters for people: calls put for each, in an order that reads well. Any thread. NULL:
	 * has none. */
	void (*stats)(struct machine *m,
		void (*put)(void *opaque, const char *name, uint64_t value), void *opaque);
	/* Devices' state the engine itself holds (KVM: PIC, IOAPIC, PIT, clock), for save and
	 * restore, as one opaque device; NULL: none. Added to the machine by the board. */
	const struct device_class *(*irqchip_class)(void);
};

#endif
