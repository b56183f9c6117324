/* SPDX-License-Identifier: GPL-2.0-or-later */
/* regs.h: which guest general register lives in which host register while translated code runs. */
#ifndef ACCEL_JIT_HOST_REGS_H
#define ACCEL_JIT_HOST_REGS_H

#include "accel/jit/host/asm.h"
#include "accel/jit/ir/ir.h"
#include "accel/jit/jit.h"

enum { HOST_NONE = 0xff };

/* By guest register; HOST_NONE: in memory, at [rbp + 8n]. */
static const uint8_t host_of_guest[16] = { H_RAX, H_RCX, H_RDX, H_RBX, H_R10, H_R11, H_RSI, H_RDI,
	H_R8, H_R9, HOST_NONE, HOST_NONE, H_R12, HOST_NONE, HOST_NONE, HOST_NONE };

static inline unsigned host_reg(unsigned global)
{
	return global < 16 ? host_of_guest[global] : HOST_NONE;
}
static inline struct loc loc_state(int32_t offset)
{
	return loc_mem(H_RBP, offset);
}
#define LOC_HOT(field) loc_state((int32_t)offsetof(struct jit_hot, field) - 128)

#endif
