/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu_loop.h: the life of a vCPU's thread in the translator. */
#ifndef ACCEL_JIT_CPU_LOOP_H
#define ACCEL_JIT_CPU_LOOP_H

#include <stdint.h>

#include "core/engine.h"

struct jit_vcpu;

extern const struct accel accel_jit;

void cpu_loop_init(struct jit_vcpu *v);
void cpu_loop_fini(struct jit_vcpu *v);
enum vcpu_exit cpu_loop_run(struct jit_vcpu *v);
/* The guest's pc and flags as they are at host code offset `off` of the block it is in. */
void cpu_loop_unwind(struct jit_vcpu *v, uint32_t off, uint64_t host_flags);
/* Installs the process's handlers of SIGFPE and of signals that only a bug here causes. */
void cpu_loop_signals(void);

#endif
