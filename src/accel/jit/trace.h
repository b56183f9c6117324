/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.h: what the translator tells about itself when LODGE_JIT asks for it. */
#ifndef ACCEL_JIT_TRACE_H
#define ACCEL_JIT_TRACE_H

#include <stdint.h>

struct block;
struct ir;
struct jit_vcpu;
struct jit_vm;

void trace_ir(struct jit_vm *vm, const struct ir *b, uint64_t pa, const char *what);
/* A finished block: its IR and host code (trace), its line in /tmp/perf-PID.map (perf). */
void trace_block(struct jit_vm *vm, const struct ir *b, const struct block *k);
void trace_exec(struct jit_vcpu *v, const struct block *k);
void trace_fault(struct jit_vcpu *v);
/* A signal in translated code at arena offset off: the block and the host's registers. */
void trace_crash(struct jit_vcpu *v, uint32_t off, const long long *gregs);

#endif
