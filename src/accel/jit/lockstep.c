/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep.c: translated code against the IR interpreter, block by block. */
#include "accel/jit/lockstep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/jit/blocks.h"
#include "accel/jit/ir/interp.h"
#include "accel/jit/vm.h"

enum { STORES_MAX = 512, ARITH = 0x8d5, GPRS = 16, REPORTS_MAX = 20 };

struct store {
	uint64_t va;
	uint8_t old, val;
};

struct lockstep {
	void *native_page;
	bool skip; /* not comparable: a helper, a device, a locked operation */
	bool fault;
	uint8_t *before; /* copy of the state as it was */
	uint64_t gpr[GPRS], flags, pc;
	struct store store[STORES_MAX];
	unsigned stores, reports;
	uint64_t compared, last;
};

static struct lockstep *of(struct jit_vcpu *v)
{
	return v->loop->lockstep;
}

/* A byte as the interpreted block sees it. */
static bool byte_at(struct jit_vcpu *v, uint64_t va, enum jit_access a, uint8_t *ret)
{
	struct lockstep *s = of(v);
	const uint8_t *p;

	for (unsigned i = s->stores; i--;)
		if (s->store[i].va == va) {
			*ret = s->store[i].val;
			return true;
		}
	p = jit_direct(v, va, a, JIT_MEM_CPL, 1);
	if (!p) {
		s->skip = true;
		return false;
	}
	*ret = *p;
	return true;
}

static bool env_load(struct jit_vcpu *v, uint64_t va, void *buf, unsigned n, unsigned mode)
{
	for (unsigned i = 0; i < n; i++)
		if (!byte_at(v, va + i, ACCESS_LOAD, (uint8_t *)buf + i))
			return false;
	return true;
}

static bool env_probe(struct jit_vcpu *v, uint64_t va, unsigned n, unsigned mode)
{
	uint8_t byte;

	return byte_at(v, va, ACCESS_LOAD, &byte) && byte_at(v, va + n - 1, ACCESS_LOAD, &byte);
}

static bool env_store(struct jit_vcpu *v, uint64_t va, const void *buf, unsigned n, unsigned mode)
{
	struct lockstep *s = of(v);

	for (unsigned i = 0; i < n; i++) {
		uint8_t old;

		if (s->stores == STORES_MAX || !byte_at(v, va + i, ACCESS_LOAD, &old)) {
			s->skip = true;
			return false;
		}
		s->store[s->stores++] = (struct store){ va + i, old, ((const uint8_t *)buf)[i] };
	}
	return true;
}

static bool env_cas(struct jit_vcpu *v, uint64_t va, void *old, const void *val, unsigned n,
	unsigned mode, bool *ret_done)
{
	uint8_t now[16];

	if (!env_load(v, va, now, n, mode))
		return false;
	*ret_done = memcmp(now, old, n) == 0;
	if (*ret_done)
		return env_store(v, va, val, n, mode);
	memcpy(old, now, n);
	return true;
}

static bool env_enter(struct jit_vcpu *v, bool vec, unsigned sub)
{
	of(v)->skip = true; /* vector state is in the host's registers: not compared */
	return false;
}

static void env_arith(struct jit_vcpu *v, bool integer, bool simd)
{
	of(v)->fault = true;
}

static void env_align(struct jit_vcpu *v)
{
	of(v)->fault = true;
}

struct lockstep *lockstep_new(void)
{
	struct lockstep *s = g_new0(struct lockstep, 1);

	s->native_page = ir_native_page_new();
	return s;
}

void lockstep_free(struct lockstep *s)
{
	if (!s)
		return;
	fprintf(stderr, "lockstep: %" PRIu64 " blocks compared\n", s->compared);
	ir_native_page_free(s->native_page);
	g_free(s->before);
	g_free(s);
}

static bool comparable(const struct ir *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint16_t code = b->op[i].code;

		if (code == IR_CALL || code == IR_VEC_ENTER || code == IR_FPU_ENTER ||
			code == IR_EXIT_LOOP)
			return false;
	}
	return true;
}

void lockstep_before(struct lockstep *s, struct jit_vcpu *v, const struct ir *b)
{
	size_t size = 128 + v->isa->arch_size;
	struct ir_env env = {
		.state = v->arch,
		.native_page = s->native_page,
		.v = v,
		.load = env_load,
		.store = env_store,
		.probe = env_probe,
		.cas = env_cas,
		.enter = env_enter,
		.arith_fault = env_arith,
		.align_fault = env_align,
	};
	enum ir_ran ran;

	s->skip = !comparable(b);
	s->fault = false;
	s->stores = 0;
	if (s->skip)
		return;
	if (!s->before)
		s->before = g_malloc(size);
	memcpy(s->before, v->hot, size);
	ran = ir_interp(&env, b, &s->pc);
	if (ran != IR_RAN_PC || s->fault)
		s->skip = true;
	memcpy(s->gpr, v->arch, sizeof(s->gpr));
	s->flags = v->hot->arith & ARITH;
	memcpy(v->hot, s->before, size);
}

static void report(struct lockstep *s, struct jit_vcpu *v, const struct ir *b,
	const struct block *k, const char *what, uint64_t got, uint64_t want)
{
	const uint64_t *old = (const uint64_t *)(const void *)(s->before + 128);

	fprintf(stderr,
		"lockstep: block at pa %" PRIx64 ": %s is %" PRIx64 ", interpreted %" PRIx64 "\n",
		k->pa, what, got, want);
	if (++s->reports && s->last != k->pa) {
		s->last = k->pa;
		g_autofree char *text = ir_print(b);

		fputs(text, stderr);
		fprintf(stderr, "before: arith %" PRIx64,
			*(const uint64_t *)(const void *)s->before);
		for (unsigned i = 0; i < GPRS; i++)
			fprintf(stderr, " %" PRIx64, old[i]);
		fputc('\n', stderr);
	}
	if (s->reports > REPORTS_MAX)
		abort();
}

void lockstep_after(
	struct lockstep *s, struct jit_vcpu *v, const struct ir *b, const struct block *k)
{
	static const char *const names[GPRS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",
		"rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	const uint64_t *gpr = v->arch;
	uint64_t pc;

	if (s->skip)
		return;
	s->compared++;
	memcpy(&pc, (uint8_t *)v->arch + v->isa->pc_offset, 8);
	for (unsigned i = 0; i < GPRS; i++)
		if (gpr[i] != s->gpr[i])
			report(s, v, b, k, names[i], gpr[i], s->gpr[i]);
	if (pc != s->pc)
		report(s, v, b, k, "pc", pc, s->pc);
	if ((v->hot->arith & ARITH) != s->flags && b->op[b->n - 1].code != IR_EXIT_LOOP)
		report(s, v, b, k, "flags", v->hot->arith & ARITH, s->flags);
	for (unsigned i = 0; i < s->stores; i++) {
		bool last = true;
		uint8_t *p;

		for (unsigned j = i + 1; j < s->stores && last; j++)
			last = s->store[j].va != s->store[i].va;
		p = last ? jit_direct(v, s->store[i].va, ACCESS_LOAD, JIT_MEM_CPL, 1) : NULL;
		if (p && *p != s->store[i].val)
			report(s, v, b, k, "a stored byte", *p, s->store[i].val);
	}
}
