/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_vec.c: the vector instructions whose memory accesses depend on a mask: what is masked off must not
 * fault, so they are done an element at a time. Spec: SDM vol. 2, MASKMOVDQU, VMASKMOV, VPMASKMOV, VGATHER*.
 */
#include <string.h>

#include "accel/jit/jit.h"
#include "accel/jit/x86/sys.h"
#include "accel/jit/x86/x86.h"

static uint64_t element(const uint64_t *ymm, unsigned i, unsigned size)
{
	uint64_t val = 0;

	memcpy(&val, (const uint8_t *)ymm + (size_t)i * size, size);
	return val;
}

static bool mask_bit(const uint64_t *ymm, unsigned i, unsigned size)
{
	return element(ymm, i, size) >> (size * 8 - 1) & 1;
}

/* Where element i is: outside 64-bit code addresses wrap at 4 GiB. */
static uint64_t place(const struct jit_vcpu *v, uint64_t ea, unsigned i, unsigned size)
{
	ea += (uint64_t)i * size;
	return x86_code64(v->arch) ? ea : (uint32_t)ea;
}

/* Stores the elements whose mask is set; all are probed first, so that a fault changes nothing. */
static bool store_masked(struct jit_vcpu *v, uint64_t ea, const uint64_t *data, const uint64_t *mask,
	unsigned size, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (mask_bit(mask, i, size) &&
			!jit_probe(v, place(v, ea, i, size), size, ACCESS_STORE, JIT_MEM_CPL))
			return false;
	for (unsigned i = 0; i < count; i++)
		if (mask_bit(mask, i, size) &&
			!jit_store(v, place(v, ea, i, size), size, JIT_MEM_CPL, element(data, i, size)))
			return false;
	return true;
}

static bool load_masked(struct jit_vcpu *v, uint64_t ea, uint64_t *dst, const uint64_t *mask,
	unsigned size, unsigned count)
{
	uint64_t out[4] = { 0 };

	for (unsigned i = 0; i < count; i++) {
		uint64_t val = 0;

		if (!mask_bit(mask, i, size))
			continue;
		if (!jit_load(v, place(v, ea, i, size), size, JIT_MEM_CPL, &val))
			return false;
		memcpy((uint8_t *)out + (size_t)i * size, &val, size);
	}
	memcpy(dst, out, sizeof(out));
	return true;
}

/* VGATHER: elements done so far stay done when a later one faults, and their mask elements are cleared
 * (SDM: "gathers are restartable"). */
static bool gather(struct jit_vcpu *v, uint64_t base, uint64_t desc)
{
	struct x86_cpu *c = x86_cpu_of(v);
	uint64_t *dst = c->ymm[X86_VMASK_REG(desc)], *mask = c->ymm[X86_VMASK_MASK(desc)];
	const uint64_t *index = c->ymm[X86_VMASK_INDEX(desc)];
	unsigned size = 1u << X86_VMASK_SIZE(desc), isize = X86_VMASK_INDEX64(desc) ? 8 : 4;
	unsigned bytes = X86_VMASK_L(desc) ? 32 : 16, wide = size > isize ? size : isize;
	unsigned count = bytes / wide, used = count * size;

	for (unsigned i = 0; i < count; i++) {
		uint64_t idx = element(index, i, isize), val = 0;
		static const uint64_t zero;

		if (!mask_bit(mask, i, size)) {
			memcpy((uint8_t *)mask + (size_t)i * size, &zero, size);
			continue;
		}
		if (isize == 4)
			idx = (uint64_t)(int64_t)(int32_t)idx;
		idx = base + (idx << X86_VMASK_SCALE(desc));
		if (X86_VMASK_A32(desc))
			idx = (uint32_t)idx;
		if (!jit_load(v, idx, size, JIT_MEM_CPL, &val))
			return false;
		memcpy((uint8_t *)dst + (size_t)i * size, &val, size);
		memcpy((uint8_t *)mask + (size_t)i * size, &zero, size);
	}
	memset((uint8_t *)dst + used, 0, 32 - used);
	memset(mask, 0, 32);
	return true;
}

bool x86_h_maskmov(struct jit_vcpu *v, uint64_t ea, uint64_t desc)
{
	struct x86_cpu *c = x86_cpu_of(v);
	unsigned reg = X86_VMASK_REG(desc), size = 1u << X86_VMASK_SIZE(desc);
	unsigned count = (X86_VMASK_L(desc) ? 32 : 16) / size;

	switch (X86_VMASK_KIND(desc)) {
	case X86_VMASK_MMX: {
		/* an MMX register is a physical x87 register, st[] is in stack order */
		uint64_t data[4] = { 0 }, mask[4] = { 0 };
		unsigned top;

		jit_fpu_spill(v);
		top = c->fpu.fsw >> 11 & 7;
		memcpy(data, c->fpu.st[(reg - top) & 7], 8);
		memcpy(mask, c->fpu.st[(X86_VMASK_MASK(desc) - top) & 7], 8);
		if (!store_masked(v, ea, data, mask, 1, 8))
			return false;
		/* like every MMX instruction */
		x86_fpu_move_top(&c->fpu, 0);
		c->fpu.fsw &= (uint16_t)~0x3800;
		c->fpu.ftw = 0xff;
		return true;
	}
	case X86_VMASK_SSE:
		jit_vec_spill(v);
		return store_masked(v, ea, c->ymm[reg], c->ymm[X86_VMASK_MASK(desc)], 1, 16);
	case X86_VMASK_STORE:
		jit_vec_spill(v);
		return store_masked(v, ea, c->ymm[reg], c->ymm[X86_VMASK_MASK(desc)], size, count);
	case X86_VMASK_LOAD:
		jit_vec_spill(v);
		return load_masked(v, ea, c->ymm[reg], c->ymm[X86_VMASK_MASK(desc)], size, count);
	default:
		jit_vec_spill(v);
		return gather(v, ea, desc);
	}
}
