/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_string.c: repeated string instructions, a page at a time: where source and destination are
 * plain RAM, by the host's own string instruction of the same element size, so that overlapping
 * moves do what the guest's would. Spec: SDM vol. 1, 7.3.9; vol. 2, REP.
 */
#include "accel/jit/x86/sys.h"
#include "accel/jit/x86/sys_io.h"
#include "base/unaligned.h"

enum { PAGE = 4096 };

struct string {
	struct jit_vcpu *v;
	unsigned op, size, asize, rep;
	enum x86_seg src_seg;
	bool down;	/* DF */
	uint64_t count;
};

static uint64_t address_mask(unsigned asize)
{
	return asize == 8 ? ~(uint64_t)0 : asize == 4 ? 0xffffffff : 0xffff;
}

/* Writes a register as an address of that size does: 32 bits clear the upper half, 16 bits
 * keep it. */
static void set_address(uint64_t *reg, uint64_t val, unsigned asize)
{
	if (asize == 2)
		*reg = (*reg & ~(uint64_t)0xffff) | (val & 0xffff);
	else
		*reg = val & address_mask(asize);
}

/* Linear address of `bytes` at offset; with the segment's checks. */
static bool linear(const struct string *s, enum x86_seg seg, uint64_t off, unsigned bytes,
	bool write, uint64_t *va)
{
	struct x86_cpu *c = s->v->arch;

	if (x86_code64(c)) {
		*va = off + (seg == SEG_FS || seg == SEG_GS ? c->seg[seg].base : 0);
		return true;
	}
	if (!x86_h_seg_check(s->v, off, seg | (unsigned)write << 3 | (uint64_t)bytes << 8))
		return false;
	*va = s->v->hot->ret;
	return true;
}

/* Elements that can be done at once from va: to the end (or beginning) of the page. 0: the first
 * crosses. */
static uint64_t in_page(const struct string *s, uint64_t va)
{
	const uint64_t off = va & (PAGE - 1);

	if (s->down)
		return off + s->size > PAGE ? 0 : off / s->size + 1;
	return (PAGE - off) / s->size;
}

/* The same for the wrap of a 16- or 32-bit address. */
static uint64_t to_wrap(const struct string *s, uint64_t off)
{
	const uint64_t mask = address_mask(s->asize);

	if (s->asize == 8)
		return s->count;
	if (s->down)
		return off / s->size + 1;
	return mask - off < s->size ? 1 : (mask - off + 1) / s->size;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t element(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const uint8_t *)p;
	case 2: return *(const unaligned_u16 *)p;
	case 4: return *(const unaligned_u32 *)p;
	default: return *(const unaligned_u64 *)p;
	}
}

/* ---- blocks, on host addresses */

#define REP(insn, d, ...) \
	do { \
		if (d) \
			__asm__ volatile("std; rep " insn "; cld" __VA_ARGS__); \
		else \
			__asm__ volatile("rep " insn __VA_ARGS__); \
	} while (0)

static void block_movs(const struct string *s, void *to, const void *from, uint64_t n)
{
#define OPERANDS : "+D"(to), "+S"(from), "+c"(n) : : "memory"
	switch (s->size) {
	case 1: REP("movsb", s->down, OPERANDS); break;
	case 2: REP("movsw", s->down, OPERANDS); break;
	case 4: REP("movsl", s->down, OPERANDS); break;
	default: REP("movsq", s->down, OPERANDS); break;
	}
#undef OPERANDS
}

static void block_stos(const struct string *s, void *to, uint64_t val, uint64_t n)
{
#define OPERANDS : "+D"(to), "+c"(n) : "a"(val) : "memory"
	switch (s->size) {
	case 1: REP("stosb", s->down, OPERANDS); break;
	case 2: REP("stosw", s->down, OPERANDS); break;
	case 4: REP("stosl", s->down, OPERANDS); break;
	default: REP("stosq", s->down, OPERANDS); break;
	}
#undef OPERANDS
}

/* Flags of a - b; LAHF and SETO leave the stack alone. */
static uint64_t compare_flags(uint64_t a, uint64_t b, unsigned size)
{
	uint64_t ah;
	uint8_t of;

	switch (size) {
	case 1:
		__asm__("cmpb %b3, %b2; lahf; seto %1"
			: "=a"(ah), "=q"(of)
			: "q"(a), "q"(b)
			: "cc");
		break;
	case 2:
		__asm__("cmpw %w3, %w2; lahf; seto %1"
			: "=a"(ah), "=q"(of)
			: "r"(a), "r"(b)
			: "cc");
		break;
	case 4:
		__asm__("cmpl %k3, %k2; lahf; seto %1"
			: "=a"(ah), "=q"(of)
			: "r"(a), "r"(b)
			: "cc");
		break;
	default:
		__asm__("cmpq %3, %2; lahf; seto %1" : "=a"(ah), "=q"(of) : "r"(a), "r"(b) : "cc");
		break;
	}
	return (ah >> 8 & 0xd5) | (uint64_t)of << 11;
}

/* Elements compared, up to and with the one that ends the repetition. */
static uint64_t block_compare(const struct string *s, const uint8_t *a, const uint8_t *b,
	uint64_t n, bool *end)
{
	const int64_t step = s->down ? -(int64_t)s->size : (int64_t)s->size;
	const bool until_equal = s->rep == 2;

	*end = false;
	for (uint64_t i = 0; i < n; i++) {
		if ((element(a, s->size) == element(b, s->size)) == until_equal) {
			*end = true;
			return i + 1;
		}
		a += step;
		b += step;
	}
	return n;
}

static uint64_t block_scan(const struct string *s, uint64_t val, const uint8_t *b, uint64_t n,
	bool *end)
{
	const int64_t step = s->down ? -(int64_t)s->size : (int64_t)s->size;
	const bool until_equal = s->rep == 2;

	*end = false;
	for (uint64_t i = 0; i < n; i++) {
		if ((element(b, s->size) == val) == until_equal) {
			*end = true;
			return i + 1;
		}
		b += step;
	}
	return n;
}

/* ---- one step: a block if possible, else an element. Returns elements done, 0 on a fault. */

static uint64_t rax_value(const struct string *s)
{
	const uint64_t rax = x86_cpu_of(s->v)->gpr[RAX];

	return s->size == 8 ? rax : rax & (((uint64_t)1 << 8 * s->size) - 1);
}

static void set_rax(const struct string *s, uint64_t val)
{
	uint64_t *rax = &x86_cpu_of(s->v)->gpr[RAX];

	if (s->size == 8)
		*rax = val;
	else if (s->size == 4)
		*rax = (uint32_t)val;
	else
		*rax = (*rax & ~(((uint64_t)1 << 8 * s->size) - 1)) | val;
}

static void set_flags(struct jit_vcpu *v, uint64_t fl)
{
	v->hot->arith = (v->hot->arith & ~(uint64_t)X86_FL_ARITH) | fl;
}

struct place {
	uint64_t off, va;
	uint8_t *host;	/* NULL: not plain RAM */
};

/* Where the operand is, and how many of *n elements can be had there at once. */
static bool place(const struct string *s, enum x86_seg seg, uint64_t off, bool write,
	struct place *p, uint64_t *n)
{
	const enum jit_access a = write ? ACCESS_STORE : ACCESS_LOAD;

	p->off = off & address_mask(s->asize);
	if (!linear(s, seg, p->off, s->size, write, &p->va))
		return false;
	if (s->v->hot->mode & X86_MODE_AC && p->va & (s->size - 1) && x86_is_canonical(p->va))
		return x86_raise_error(s->v, X86_AC, 0);
	*n = min64(*n, min64(in_page(s, p->va), to_wrap(s, p->off)));
	p->host = NULL;
	/* the block as a whole against the limit; else one by one */
	if (*n && !x86_code64(s->v->arch)) {
		const struct x86_segment *g = &x86_cpu_of(s->v)->seg[seg];
		const uint64_t bytes = *n * s->size;
		const uint64_t low = s->down ? p->off + s->size - bytes : p->off;

		if (!x86_limit_ok(g, low, (unsigned)bytes))
			return true;
	}
	if (*n)
		p->host = jit_direct(s->v, p->va, a, JIT_MEM_CPL, *n * s->size);
	return true;
}

static uint64_t step_move(struct string *s, struct place *src, struct place *dst, uint64_t n)
{
	uint64_t val;

	if (src->host && dst->host) {
		block_movs(s, dst->host, src->host, n);
		return n;
	}
	return jit_load(s->v, src->va, s->size, JIT_MEM_CPL, &val) &&
		jit_store(s->v, dst->va, s->size, JIT_MEM_CPL, val);
}

static uint64_t step_compare(struct string *s, struct place *src, struct place *dst, uint64_t n,
	bool *end)
{
	uint64_t a = rax_value(s), b;

	if (dst->host && s->rep && (s->op == X86_STR_SCAS || src->host)) {
		const int64_t last = (s->down ? -(int64_t)s->size : (int64_t)s->size);

		n = s->op == X86_STR_SCAS ? block_scan(s, a, dst->host, n, end) :
			block_compare(s, src->host, dst->host, n, end);
		if (s->op == X86_STR_CMPS)
			a = element(src->host + last * (int64_t)(n - 1), s->size);
		b = element(dst->host + last * (int64_t)(n - 1), s->size);
	} else {
		/* the destination first: that is the fault processors report where both would */
		if (!jit_load(s->v, dst->va, s->size, JIT_MEM_CPL, &b))
			return 0;
		if (s->op == X86_STR_CMPS && !jit_load(s->v, src->va, s->size, JIT_MEM_CPL, &a))
			return 0;
		n = 1;
		*end = s->rep && (a == b) == (s->rep == 2);
	}
	set_flags(s->v, compare_flags(a, b, s->size));
	return n;
}

static uint64_t step_load(struct string *s, struct place *src, uint64_t n)
{
	const int64_t last = (s->down ? -(int64_t)s->size : (int64_t)s->size);
	uint64_t val;

	if (src->host) {
		set_rax(s, element(src->host + last * (int64_t)(n - 1), s->size));
		return n;
	}
	if (!jit_load(s->v, src->va, s->size, JIT_MEM_CPL, &val))
		return 0;
	set_rax(s, val);
	return 1;
}

static uint64_t step_store(struct string *s, struct place *dst, uint64_t n)
{
	const uint64_t val = rax_value(s);

	if (dst->host) {
		block_stos(s, dst->host, val, n);
		return n;
	}
	return jit_store(s->v, dst->va, s->size, JIT_MEM_CPL, val);
}

static uint64_t step_port(struct string *s, struct place *p)
{
	const unsigned port = x86_cpu_of(s->v)->gpr[RDX] & 0xffff;
	uint64_t val;

	if (s->op == X86_STR_INS) {
		if (!jit_probe(s->v, p->va, s->size, ACCESS_STORE, JIT_MEM_CPL))
			return 0;
		return jit_store(
			s->v, p->va, s->size, JIT_MEM_CPL, x86_port_read(s->v, port, s->size));
	}
	if (!jit_load(s->v, p->va, s->size, JIT_MEM_CPL, &val))
		return 0;
	x86_port_write(s->v, port, s->size, val);
	return 1;
}

/* Does what can be done at once. false: fault. */
static bool step(struct string *s, bool *end)
{
	struct x86_cpu *c = s->v->arch;
	const bool uses_src = s->op == X86_STR_MOVS || s->op == X86_STR_LODS ||
			      s->op == X86_STR_CMPS || s->op == X86_STR_OUTS;
	const bool uses_dst = s->op != X86_STR_LODS && s->op != X86_STR_OUTS;
	const bool writes = s->op == X86_STR_MOVS || s->op == X86_STR_STOS || s->op == X86_STR_INS;
	struct place src = { 0 }, dst = { 0 };
	/* single step stops after each element */
	uint64_t n = s->v->hot->mode & X86_MODE_STEP ? 1 : s->count, done;
	int64_t bytes;

	if (uses_src && !place(s, s->src_seg, c->gpr[RSI], false, &src, &n))
		return false;
	if (uses_dst && !place(s, SEG_ES, c->gpr[RDI], writes, &dst, &n))
		return false;
	if (!n)
		src.host = dst.host = NULL; /* an element that crosses a page */
	switch (s->op) {
	case X86_STR_MOVS: done = step_move(s, &src, &dst, n); break;
	case X86_STR_STOS: done = step_store(s, &dst, n); break;
	case X86_STR_LODS: done = step_load(s, &src, n); break;
	case X86_STR_CMPS: case X86_STR_SCAS: done = step_compare(s, &src, &dst, n, end); break;
	case X86_STR_INS: done = step_port(s, &dst); break;
	default: done = step_port(s, &src); break;
	}
	if (!done)
		return false;
	bytes = (int64_t)(done * s->size) * (s->down ? -1 : 1);
	if (uses_src)
		set_address(&c->gpr[RSI], src.off + bytes, s->asize);
	if (uses_dst)
		set_address(&c->gpr[RDI], dst.off + bytes, s->asize);
	s->count -= done;
	if (s->rep)
		set_address(&c->gpr[RCX], s->count, s->asize);
	return true;
}

bool x86_h_string(struct jit_vcpu *v, uint64_t op, uint64_t desc)
{
	struct x86_cpu *c = v->arch;
	struct string s = { .v = v,
		.op = (unsigned)op,
		.size = desc & 0xf,
		.asize = desc >> 4 & 0xf,
		.src_seg = desc >> 8 & 7,
		.rep = desc >> 12 & 3,
		.down = c->rflags & X86_FL_DF };
	bool end = false;

	s.count = s.rep ? c->gpr[RCX] & address_mask(s.asize) : 1;
	while (s.count && !end) {
		if (!step(&s, &end))
			return false;
		if (v->hot->exit_request || (s.rep && v->hot->mode & X86_MODE_STEP))
			break;
	}
	v->hot->ret = !s.count || end;
	return true;
}

bool x86_h_string_io(struct jit_vcpu *v, uint64_t op, uint64_t desc)
{
	const struct x86_cpu *c = v->arch;
	const unsigned size = desc & 0xf, asize = desc >> 4 & 0xf;

	if ((!(desc >> 12 & 3) || c->gpr[RCX] & address_mask(asize)) &&
		!x86_port_check(v, c->gpr[RDX] & 0xffff, size))
		return false;
	return x86_h_string(v, op, desc);
}
