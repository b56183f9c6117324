/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_io.c: IN and OUT. Spec: SDM vol. 1, 19.5. */
#include "accel/jit/x86/sys_io.h"

#include "accel/jit/x86/sys.h"
#include "core/machine.h"
#include "core/region.h"
#include "core/vcpu.h"

bool x86_port_check(struct jit_vcpu *v, unsigned port, unsigned size)
{
	const struct x86_cpu *c = v->arch;
	bool allowed;

	if (x86_protected(c) && (x86_vm86(c) || x86_cpl(c) > x86_iopl(c))) {
		if (!x86_tss_io_allowed(v, port, size, &allowed))
			return false;
		if (!allowed)
			return x86_raise_error(v, X86_GP, 0);
	}
	x86_debug_io_hit(v, port, size);
	return true;
}

uint64_t x86_port_read(struct jit_vcpu *v, unsigned port, unsigned size)
{
	return space_read(v->vcpu->machine->ports, port, size);
}

void x86_port_write(struct jit_vcpu *v, unsigned port, unsigned size, uint64_t val)
{
	space_write(v->vcpu->machine->ports, port, val, size);
}

bool x86_h_in(struct jit_vcpu *v, uint64_t port, uint64_t size)
{
	if (!x86_port_check(v, (unsigned)port, (unsigned)size))
		return false;
	v->hot->ret = x86_port_read(v, (unsigned)port, (unsigned)size);
	return true;
}

bool x86_h_out(struct jit_vcpu *v, uint64_t port, uint64_t size, uint64_t val)
{
	if (!x86_port_check(v, (unsigned)port, (unsigned)size))
		return false;
	x86_port_write(v, (unsigned)port, (unsigned)size,
		size == 8 ? val : val & (((uint64_t)1 << 8 * size) - 1));
	return true;
}
