/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * machine.h: one machine: its spaces, RAM, devices, vCPUs, clock and run state.
 *
 * Run state changes happen on the main loop thread only. Threads: one per vCPU, the main loop
 * (GMainContext default), and workers of the back ends.
 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/intc.h"

struct accel;
struct clock;
struct device;
struct ram;
struct space;
struct vcpu;

enum { MACHINE_MAX_VCPUS = 255 };

enum machine_state {
	MACHINE_PRELAUNCH, /* built, vCPUs not started */
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_SHUTDOWN,  /* the guest powered off or was told to; the process is ending */
	MACHINE_CRASHED,   /* a vCPU cannot go on */
};

/* What the guest or a person asked of the machine; handled on the main loop. */
enum machine_request {
	MACHINE_REQ_RESET,
	MACHINE_REQ_POWEROFF,	/* the guest's S5, debug-exit, or `quit` */
	MACHINE_REQ_CRASH,
	MACHINE_REQ_PAUSE,
};

struct machine {
	struct space *memory, *ports;
	struct clock *clock;
	struct intc intc;
	const struct accel *accel;
	void *accel_vm;		/* engine's private state */
	GPtrArray *rams;	/* struct ram *; owned */
	GPtrArray *devices;	/* struct device *, in order of addition; owned */
	struct vcpu **vcpus;	/* owned */
	unsigned vcpu_count;
	const char *cpu_model;	/* "host", "max", "x86-64-v2", "x86-64-v3" */
	unsigned phys_bits; /* width of guest-physical addresses; 46 unless the engine's open() said
			       otherwise */
	enum machine_state state;
	int exit_status;	/* of the process, set by debug-exit or an error; 0 else */
	void (*listener)(void *opaque, const char *event, const char *reason); /* QMP: "SHUTDOWN",
			"RESET", "STOP", "RESUME", "POWERDOWN"; main loop thread; may be NULL */
	void *listener_opaque;
	void (*ended)(
		void *opaque); /* after SHUTDOWN or CRASHED: the process may end; may be NULL */
	void *ended_opaque;
	bool no_reboot;		/* a reset the guest asks for ends the machine */
	struct requests *requests; /* private to machine.c */
	/* Wired by the board: */
	void (*powerdown)(struct machine *m); /* press the ACPI power button; NULL: none */
	void (*board_reset)(struct machine *m); /* after all devices were reset: reload firmware,
				kernel images, boot registers; NULL: nothing */
	void *board;		/* private to the board; freed by board_free */
	void (*board_free)(struct machine *m);
};

struct machine *machine_new(const struct accel *a, GError **error);
void machine_free(struct machine *m);
int machine_add_vcpus(struct machine *m, unsigned n, GError **error);

/* Main loop thread. */
void machine_start(struct machine *m);  /* PRELAUNCH or PAUSED -> RUNNING */
void machine_pause(struct machine *m); /* returns when every vCPU is out and devices are quiesced */
/* Between the two a RUNNING machine stands still as if paused, but its state stays and nobody is
 * told: for changes no vCPU may see half done. Not nested. */
void machine_stall(struct machine *m);
void machine_unstall(struct machine *m);
void machine_reset(struct machine *m);	/* any state; keeps it. Also needed once before the start */
/* Emits an event to the listener; main loop thread. */
void machine_event(struct machine *m, const char *event, const char *reason);
const char *machine_state_name(enum machine_state s); /* as QMP's RunState */

/* Any thread, also a vCPU's own: asks, returns at once. `reason` is QMP's (e.g. "guest-shutdown",
 * "guest-reset", "host-qmp-quit"), a static string. */
void machine_request(struct machine *m, enum machine_request what, const char *reason);

#endif
