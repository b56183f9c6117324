/* SPDX-License-Identifier: GPL-2.0-or-later */
/* thunks.h: emitted code that is not of any block: the way in and out, and the way to C functions.
 */
#ifndef ACCEL_JIT_HOST_THUNKS_H
#define ACCEL_JIT_HOST_THUNKS_H

#include <stdbool.h>
#include <stdint.h>

struct as_buf;
struct jit_as;
struct jit_hot;
struct jit_vcpu;
struct jit_vm;

/* Why thunks.enter came back. */
enum leave_reason {
	LEAVE_LOOP,     /* the guest pc in the state is right: look it up */
	LEAVE_LINK,     /* through the exit whose stub is at hot.fault_site, which may be linked */
	LEAVE_POLL,     /* through such an exit, as exit_request was set */
	LEAVE_INDIRECT, /* to guest pc hot.link, not in the jump cache */
	LEAVE_INDIRECT_POLL,
	LEAVE_FAULT,  /* at hot.fault_site */
	LEAVE_ENTRY,  /* into the dead block, or one whose second page moved, at hot.fault_site */
	LEAVE_SIGNAL, /* SIGFPE at hot.fault_site */
	LEAVE_COUNT
};

enum {
	FRAME_SLOTS = 64, /* 8-byte spill slots at RSP in translated code */
	THUNKS_MAX = 512,
	THUNK_ROOM = 256, /* calls of C functions, bytes of one */
	SLOW_MAX = 128,
};

struct host_features {
	bool bmi2, avx, fsgsbase;
};

struct thunks {
	struct host_features host;
	uint64_t (*enter)(struct jit_hot *hot, const void *code);
	/* Vector registers to the state, MXCSR to the C default, hot.vec_live = 0; and back. */
	void (*vec_spill)(struct jit_hot *hot);
	void (*vec_fill)(struct jit_hot *hot, uint64_t level);
	void (*set_gs)(struct jit_as *as);
	const void *slow_common, *commit, *share[2], *align, *vec_enter, *fpu_enter;
	const void *leave[LEAVE_COUNT];
	const void *indirect_miss; /* … what it does when that does not know */
	const void *indirect; /* jump to guest pc r13 through the jump cache; flags are saved */
	struct {
		uint64_t fn;
		unsigned flags;
		const void *code;
	} call[THUNKS_MAX];
	unsigned calls;
	struct {
		uint32_t desc;
		const void *code;
	} slow[SLOW_MAX];
	unsigned slows;
	uint32_t slow_at, slow_end; /* room for them in the arena */
	uint32_t call_at, call_end;
};

/* Emits all but the call thunks. Sets arena.fixed. */
int thunks_init(struct jit_vm *vm);
/* The thunk for a slow memory access of this SLOW_DESC; emitted on first use. NULL: full. */
const void *thunks_slow(struct jit_vm *vm, uint32_t desc);
/* The thunk for C function fn (IRO_LIGHT, IRO_NOFAULT matter); emitted on first use, so needs the
 * lock. It takes its arguments in r13, r14, r15 and leaves a result in r13. NULL: table or arena is
 * full. */
const void *thunks_call(struct jit_vm *vm, uint64_t fn, unsigned flags);
/* r14 = offset in as.jc of the slot of the guest pc in r13 (softmmu.h: jc_slot). Clobbers host
 * flags. */
void thunks_jump(struct as_buf *a, const struct jit_vm *vm);
/* Host code bytes written at rw (arena offset off) shall be fetched anew: nothing to do on x86. */

/* C ends of thunks, in softmmu_slow.c's manner (general registers only): thunks_slow.c */
bool thunks_vec_enter(struct jit_vcpu *v, uint64_t level);
bool thunks_fpu_enter(struct jit_vcpu *v, uint64_t level);
bool thunks_align(struct jit_vcpu *v);

#endif
