/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm.h: the translator's state per machine, and how vCPUs stop each other. Private to accel/jit. */
#ifndef ACCEL_JIT_VM_H
#define ACCEL_JIT_VM_H

#include <glib.h>
#include <stdatomic.h>

#include "accel/jit/arena.h"
#include "accel/jit/blocks.h"
#include "accel/jit/host/thunks.h"
#include "accel/jit/jit.h"
#include "accel/jit/options.h"
#include "accel/jit/softmmu.h"
#include "core/region.h"
#include "core/vcpu.h"

struct jit_vm {
	struct machine *machine; /* borrowed */
	const struct isa *isa;
	void *isa_config; /* owned through isa->config_free */
	struct jit_options opt;
	void *perf_map; /* FILE of /tmp/perf-PID.map, opened on first use */
	struct phys_map phys;
	struct space_listener listener;

	GMutex lock; /* arena, blocks, thunks: held while translating or dropping */
	struct arena arena;
	struct thunks thunks;
	struct blocks blocks;
	struct lower *lower; /* working storage of the back end */

	struct jit_vcpu *vcpu[256]; /* borrowed; entries appear before the machine runs */
	unsigned vcpus;

	/* stopping the others: exclusive.c */
	GMutex stop_lock;
	GCond stop_cond;
	unsigned stop_waiters;        /* on stop_cond */
	_Atomic unsigned stop_wanted; /* somebody is, or waits to be, exclusive */
	bool owned;                   /* somebody is */
	struct jit_vcpu *owner;       /* who; NULL: a thread that is no vCPU's */
	unsigned depth;               /* how often owner began */

	/* writes by others than vCPUs to pages with translations, waiting to be heard */
	GMutex async_lock;
	GArray *async; /* struct code_write */
	_Atomic bool async_pending;
};

struct code_write {
	struct ram *ram; /* NULL: the physical map changed, drop all */
	uint64_t offset, len;
};

/* Where a vCPU's thread is; loop.state. */
enum {
	VCPU_OUT,  /* not in vcpu_run, asleep, or stopped for somebody's exclusive section */
	VCPU_LOOP, /* in the loop's C code */
	VCPU_CODE, /* in translated code or a helper below it */
	VCPU_CODE_STOPPED, /* in a helper, waiting to be exclusive */
};

struct jit_loop {
	_Atomic int state;
	unsigned steps;               /* instructions still to be run one by one */
	bool look;                    /* the ISA's events must be asked */
	bool plain;                   /* the next block must share no checks */
	bool put;                     /* the next block goes into the jump cache */
	bool fetch_fault, cache_full; /* block_get's side results */
	struct block *next;           /* the block at the pc, when known */
	struct ir *ir;                /* working storage; owned */
	struct birth *birth;          /* likewise */
	struct lockstep *lockstep;    /* LODGE_JIT=lockstep; owned */
	void *native_page;            /* LODGE_JIT=interp: see ir/interp.h; owned */
	unsigned signal_trap;         /* SIGFPE: trap number and EFLAGS */
	uint64_t signal_flags;
	uint64_t left[LEAVE_COUNT]; /* statistics */
};

/* exclusive.c */
void exclusive_begin(struct jit_vcpu *v, bool no_code);
void exclusive_end(struct jit_vcpu *v);
/* For a thread that is no vCPU's: runs fn while none of them is in translated code or in the loop.
 */
void exclusive_outside(
	struct jit_vm *vm, void (*fn)(struct jit_vm *vm, void *opaque), void *opaque);
/* Between VCPU_OUT and VCPU_LOOP; waits for exclusive sections to end. */
void exclusive_join(struct jit_vcpu *v);
void exclusive_leave(struct jit_vcpu *v);
void exclusive_init(struct jit_vm *vm);
void exclusive_fini(struct jit_vm *vm);

/* phys.c */
void phys_init(struct jit_vm *vm);
void phys_fini(struct jit_vm *vm);

/* dirty.c: struct accel's dirty_log, dirty_sync */
void jit_dirty_log(struct machine *m, bool on);
void jit_dirty_sync(struct machine *m);

/* A write by somebody else (DMA): any thread. */
void jit_code_written(void *opaque, struct ram *r, uint64_t offset, uint64_t len);
/* Handles what jit_code_written has left. Loop level of v. */
void jit_async_run(struct jit_vcpu *v);

#endif
