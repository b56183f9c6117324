/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_desc.c: segment descriptors and stacks. Spec: SDM vol. 3, chapters 3 and 5. */
#include "accel/jit/x86/sys.h"

void x86_segment_from_desc(struct x86_segment *s, uint16_t sel, uint64_t d)
{
	uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));

	s->sel = sel;
	s->attr = (uint16_t)((d >> 40 & 0xff) | (d >> 52 & 0xf) << 8);
	s->base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000);
	s->limit = s->attr & SEG_ATTR_G ? limit << 12 | 0xfff : limit;
}

void x86_segment_null(struct x86_segment *s, uint16_t sel, unsigned dpl)
{
	*s = (struct x86_segment){ .sel = sel,
		.attr = (uint16_t)(SEG_ATTR_UNUSABLE | dpl << SEG_ATTR_DPL_SHIFT) };
}

void x86_segment_real(struct x86_cpu *c, enum x86_seg seg, uint16_t sel)
{
	struct x86_segment *s = &c->seg[seg];

	s->sel = sel;
	s->base = (uint32_t)sel << 4;
	if (x86_vm86(c)) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	} else if (s->attr & SEG_ATTR_UNUSABLE || !(s->attr & SEG_ATTR_P)) {
		s->limit = 0xffff; /* left null by protected mode: usable again */
		s->attr = 0x93;
	}
}

static bool desc_address(const struct x86_cpu *c, uint16_t sel, unsigned size, uint64_t *addr)
{
	const uint32_t end = (sel & ~7u) + size - 1;

	if (sel & 4) {
		if (c->ldtr.attr & SEG_ATTR_UNUSABLE || !(c->ldtr.attr & SEG_ATTR_P) ||
			end > c->ldtr.limit)
			return false;
		*addr = c->ldtr.base + (sel & ~7u);
	} else {
		if (end > c->gdtr.limit)
			return false;
		*addr = c->gdtr.base + (sel & ~7u);
	}
	if (!x86_long(c))
		*addr = (uint32_t)*addr;
	return true;
}

bool x86_desc_load(struct jit_vcpu *v, uint16_t sel, unsigned vector, uint64_t *desc)
{
	uint64_t addr;

	if (!desc_address(v->arch, sel, 8, &addr))
		return x86_raise_error(v, vector, (sel & 0xfffc) | x86_private(v)->ext);
	return jit_load(v, addr, 8, JIT_MEM_SYSTEM, desc);
}

bool x86_desc_load_high(struct jit_vcpu *v, uint16_t sel, unsigned vector, uint64_t *high)
{
	uint64_t addr;

	if (!desc_address(v->arch, sel, 16, &addr))
		return x86_raise_error(v, vector, (sel & 0xfffc) | x86_private(v)->ext);
	if (!jit_load(v, addr + 8, 8, JIT_MEM_SYSTEM, high))
		return false;
	if (*high >> 40 & 0x1f) /* the type of the upper half must be 0 */
		return x86_raise_error(v, vector, (sel & 0xfffc) | x86_private(v)->ext);
	return true;
}

bool x86_desc_accessed(struct jit_vcpu *v, uint16_t sel, uint64_t *desc)
{
	uint64_t addr;

	if (*desc >> 40 & 1)
		return true;
	if (!desc_address(v->arch, sel, 8, &addr))
		return true;
	*desc |= (uint64_t)1 << 40;
	return jit_store(v, addr + 5, 1, JIT_MEM_SYSTEM, *desc >> 40 & 0xff);
}

bool x86_desc_set_busy(struct jit_vcpu *v, uint16_t sel, bool busy)
{
	uint64_t addr, b;

	if (!desc_address(v->arch, sel, 8, &addr) || !jit_load(v, addr + 5, 1, JIT_MEM_SYSTEM, &b))
		return false;
	return jit_store(v, addr + 5, 1, JIT_MEM_SYSTEM, busy ? b | 2 : b & ~(uint64_t)2);
}

bool x86_desc_stack(struct jit_vcpu *v, uint16_t sel, unsigned cpl, unsigned vector,
	struct x86_segment *out)
{
	const uint32_t error = (sel & 0xfffc) | x86_private(v)->ext;
	uint64_t d;

	if (!(sel & 0xfffc))
		return x86_raise_error(v, vector, x86_private(v)->ext);
	if (!x86_desc_load(v, sel, vector, &d))
		return false;
	if ((sel & 3) != cpl || desc_dpl(d) != cpl || !desc_s(d) || desc_code(d) ||
		!desc_writable(d))
		return x86_raise_error(v, vector, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_SS, error);
	if (!x86_desc_accessed(v, sel, &d))
		return false;
	x86_segment_from_desc(out, sel, d);
	return true;
}

bool x86_segment_check(struct jit_vcpu *v, enum x86_seg seg, uint16_t sel, unsigned cpl,
	unsigned vector, struct x86_segment *out)
{
	const struct x86_cpu *c = v->arch;
	const uint32_t error = (sel & 0xfffc) | x86_private(v)->ext;
	uint64_t d;

	if (seg == SEG_SS) {
		if (!(sel & 0xfffc) && x86_code64(c) && cpl < 3 && (sel & 3) == cpl) {
			x86_segment_null(out, sel, cpl);
			return true;
		}
		return x86_desc_stack(v, sel, cpl, vector, out);
	}
	if (!(sel & 0xfffc)) {
		x86_segment_null(out, sel, 0);
		return true;
	}
	if (!x86_desc_load(v, sel, vector, &d))
		return false;
	if (!desc_s(d) || (desc_code(d) && !desc_readable(d)))
		return x86_raise_error(v, vector, error);
	if (!(desc_code(d) && desc_conforming(d)) &&
		((sel & 3u) > desc_dpl(d) || cpl > desc_dpl(d)))
		return x86_raise_error(v, vector, error);
	if (!desc_present(d))
		return x86_raise_error(v, X86_NP, error);
	if (!x86_desc_accessed(v, sel, &d))
		return false;
	x86_segment_from_desc(out, sel, d);
	return true;
}

void x86_segments_demote(struct x86_cpu *c, unsigned cpl)
{
	static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < sizeof(data); i++) {
		struct x86_segment *s = &c->seg[data[i]];
		const bool conforming = (s->attr & 0xc) == 0xc;

		/* A null FS or GS keeps its base: 64-bit systems set it with the selector null. */
		if (s->sel & 0xfffc && seg_dpl(s) < cpl && !conforming &&
			!(s->attr & SEG_ATTR_UNUSABLE))
			x86_segment_null(s, 0, 0);
	}
}

bool x86_limit_ok(const struct x86_segment *s, uint64_t off, unsigned size)
{
	const uint64_t end = off + size - 1;

	if ((s->attr & (SEG_ATTR_S | 0xc)) == (SEG_ATTR_S | 4)) /* expand-down data */
		return off > s->limit && end <= (s->attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu);
	return end <= s->limit;
}

/* ---- stacks */

static uint64_t stack_mask(const struct x86_segment *ss)
{
	return ss->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;
}

void x86_stack_current(struct jit_vcpu *v, struct x86_stack *s)
{
	const struct x86_cpu *c = v->arch;

	*s = (struct x86_stack){ .v = v,
		.ss = c->seg[SEG_SS],
		.sp = c->gpr[RSP],
		.mode = JIT_MEM_CPL,
		.flat = x86_code64(c) };
	s->mask = s->flat ? ~(uint64_t)0 : stack_mask(&s->ss);
}

void x86_stack_new(struct jit_vcpu *v, struct x86_stack *s, const struct x86_segment *ss,
	uint64_t sp, unsigned cpl)
{
	*s = (struct x86_stack){ .v = v,
		.ss = *ss,
		.sp = sp,
		.mode = x86_mem_mode(cpl),
		.mask = stack_mask(ss),
		.error = ss->sel & 0xfffc };
}

static bool stack_address(struct x86_stack *s, uint64_t sp, unsigned size, uint64_t *va)
{
	if (s->flat) {
		if (!x86_is_canonical(sp))
			return x86_raise_error(s->v, X86_SS, s->error | x86_private(s->v)->ext);
		*va = sp;
		return true;
	}
	if (!x86_limit_ok(&s->ss, sp, size))
		return x86_raise_error(s->v, X86_SS, s->error | x86_private(s->v)->ext);
	*va = (uint32_t)(s->ss.base + sp);
	return true;
}

bool x86_stack_push(struct x86_stack *s, unsigned size, uint64_t val)
{
	const uint64_t sp = (s->sp - size) & s->mask;
	uint64_t va = 0;

	if (!stack_address(s, sp, size, &va) || !jit_store(s->v, va, size, s->mode, val))
		return false;
	s->sp = (s->sp & ~s->mask) | sp;
	return true;
}

bool x86_stack_pop(struct x86_stack *s, unsigned size, uint64_t *val)
{
	uint64_t va = 0;

	if (!stack_address(s, s->sp & s->mask, size, &va) ||
		!jit_load(s->v, va, size, s->mode, val))
		return false;
	s->sp = (s->sp & ~s->mask) | ((s->sp + size) & s->mask);
	return true;
}

void x86_stack_commit(struct x86_stack *s)
{
	uint64_t *rsp = &x86_cpu_of(s->v)->gpr[RSP];

	if (s->mask == 0xffff)
		*rsp = (*rsp & ~(uint64_t)0xffff) | (s->sp & 0xffff);
	else
		*rsp = s->sp & s->mask;
}
