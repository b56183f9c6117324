/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_debug.c: debug registers, breakpoints, single step. Spec: SDM vol. 3, 17.2 and 17.3.
 *
 * Instruction breakpoints and data breakpoints put the CPU into one-instruction blocks
 * (X86_MODE_STEP): rare, and exact. Pages that hold watched data get no TLB entries, so that each
 * access comes by x86_debug_watch.
 */
#include "accel/jit/x86/sys.h"

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13, DR6_BS = 1 << 14 };
enum { BP_EXEC = 0, BP_WRITE = 1, BP_IO = 2, BP_RW = 3 };

static bool enabled(const struct x86_cpu *c, unsigned n)
{
	return c->dr[7] >> 2 * n & 3;
}

static unsigned kind(const struct x86_cpu *c, unsigned n)
{
	return c->dr[7] >> (16 + 4 * n) & 3;
}

static uint64_t length(const struct x86_cpu *c, unsigned n)
{
	static const uint8_t len[] = { 1, 2, 8, 4 };

	return len[c->dr[7] >> (18 + 4 * n) & 3];
}

static bool any(const struct x86_cpu *c, unsigned kinds)
{
	if (!(c->dr[7] & 0xff))
		return false;
	for (unsigned n = 0; n < 4; n++)
		if (enabled(c, n) && kinds >> kind(c, n) & 1)
			return true;
	return false;
}

bool x86_debug_armed(const struct x86_cpu *c)
{
	return any(c, 1 << BP_EXEC);
}

bool x86_debug_data_armed(const struct x86_cpu *c)
{
	return any(c, 1 << BP_WRITE | 1 << BP_RW | 1 << BP_IO);
}

static void data_hit(struct jit_vcpu *v, uint64_t va, uint64_t n, enum jit_access a)
{
	const struct x86_cpu *c = v->arch;
	uint64_t hit = 0;

	for (unsigned i = 0; i < 4; i++) {
		const uint64_t len = length(c, i), at = c->dr[i] & ~(len - 1);

		if (!enabled(c, i) || !(kind(c, i) & 1) ||
			(kind(c, i) == BP_WRITE && a != ACCESS_STORE))
			continue;
		if (va < at + len && at < va + n)
			hit |= 1u << i;
	}
	x86_private(v)->dr6_step |= hit;
}

bool x86_debug_watch(struct jit_vcpu *v, uint64_t va, size_t n, enum jit_access a)
{
	const struct x86_cpu *c = v->arch;

	if (n)
		data_hit(v, va, n, a);
	for (unsigned i = 0; i < 4; i++)
		if (enabled(c, i) && kind(c, i) & 1 && c->dr[i] >> 12 == va >> 12)
			return true;
	return false;
}

bool x86_debug_insn_hit(struct jit_vcpu *v, uint64_t *dr6)
{
	const struct x86_cpu *c = v->arch;
	const uint64_t pc = x86_code64(c) ? c->rip : (uint32_t)(c->seg[SEG_CS].base + c->rip);

	*dr6 = 0;
	if (c->rflags & X86_FL_RF)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (enabled(c, i) && kind(c, i) == BP_EXEC && c->dr[i] == pc)
			*dr6 |= 1u << i;
	return *dr6 != 0;
}

bool x86_debug_io_hit(struct jit_vcpu *v, unsigned port, unsigned size)
{
	const struct x86_cpu *c = v->arch;
	struct x86_private *p = x86_private(v);

	if (!(c->cr4 & X86_CR4_DE) || !any(c, 1 << BP_IO))
		return false;
	for (unsigned i = 0; i < 4; i++) {
		const uint64_t len = length(c, i), at = c->dr[i] & ~(len - 1);

		if (enabled(c, i) && kind(c, i) == BP_IO && port < at + len && at < port + size)
			p->dr6_step |= 1u << i;
	}
	return p->dr6_step != 0;
}

/* ---- MOV DR */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; #DB on any access while DR7.GD. */
static bool access_ok(struct jit_vcpu *v, uint64_t *n)
{
	struct x86_cpu *c = v->arch;

	if (*n == 4 || *n == 5) {
		if (c->cr4 & X86_CR4_DE)
			return x86_raise(v, X86_UD);
		*n |= 2;
	}
	if (*n > 7)
		return x86_raise(v, X86_UD);
	if (x86_cpl(c) != 0)
		return x86_raise_error(v, X86_GP, 0);
	if (c->dr[7] & DR7_GD) {
		c->dr[6] |= DR6_BD;
		return x86_raise(v, X86_DB);
	}
	return true;
}

void x86_debug_set_dr7(struct jit_vcpu *v, uint64_t val)
{
	struct x86_cpu *c = v->arch;

	c->dr[7] = val;
	x86_private(v)->data_breakpoints = v->watching = x86_debug_data_armed(c);
	if (val & 0xff)
		jit_tlb_flush_all(v); /* watched pages must leave the TLB */
}

bool x86_h_read_dr(struct jit_vcpu *v, uint64_t n)
{
	if (!access_ok(v, &n))
		return false;
	v->hot->ret = x86_cpu_of(v)->dr[n & 7];
	return true;
}

bool x86_h_write_dr(struct jit_vcpu *v, uint64_t n, uint64_t val)
{
	struct x86_cpu *c = v->arch;

	if (!access_ok(v, &n))
		return false;
	if (n >= 6 && val >> 32 && x86_code64(c))
		return x86_raise_error(v, X86_GP, 0);
	if (n == 6)
		val = (val & 0xe00f) | 0xffff0ff0;
	if (n == 7)
		val = (val & 0xffff27ff) | 0x400;
	c->dr[n & 7] = val;
	if (n == 6)
		return true;
	x86_debug_set_dr7(v, c->dr[7]);
	x86_mode_update(v);
	return true;
}
