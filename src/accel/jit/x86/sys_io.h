/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_io.h: port accesses, for IN, OUT and the string forms. */
#ifndef ACCEL_JIT_X86_SYS_IO_H
#define ACCEL_JIT_X86_SYS_IO_H

#include <stdbool.h>
#include <stdint.h>

struct jit_vcpu;

/* IOPL and the TSS's bitmap. */
bool x86_port_check(struct jit_vcpu *v, unsigned port, unsigned size);
uint64_t x86_port_read(struct jit_vcpu *v, unsigned port, unsigned size);
void x86_port_write(struct jit_vcpu *v, unsigned port, unsigned size, uint64_t val);

#endif
