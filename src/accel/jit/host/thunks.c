/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * thunks.c: emits the code around blocks: entry, exits, calls of C functions, the jump cache's
 * look-up.
 *
 * C sees the guest's general registers in gpr[] whenever it runs, and host r12-r15, rbx, rbp, rsp
 * keep their C meaning. A fault leaves through `fault`: registers are in gpr[] already, the return
 * address into the block says where it happened.
 */
#include "accel/jit/host/thunks.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/jit/host/asm.h"
#include "accel/jit/host/regs.h"
#include "accel/jit/ir/ir.h"
#include "accel/jit/softmmu.h"
#include "accel/jit/vm.h"

enum { FRAME = FRAME_SLOTS * 8 + 8 }; /* keeps RSP 16-byte aligned in translated code */
enum { MXCSR_DEFAULT = 0x1f80 };

static void store_gprs(struct as_buf *a, bool all)
{
	for (unsigned g = 0; g < 16; g++) {
		unsigned h = host_reg(g);

		if (h != HOST_NONE && (all || (h != H_RBX && h != H_R12)))
			as_mov_to(a, 8, loc_state(8 * g), loc_reg(h));
	}
}

static void load_gprs(struct as_buf *a, bool all)
{
	for (unsigned g = 0; g < 16; g++) {
		unsigned h = host_reg(g);

		if (h != HOST_NONE && (all || (h != H_RBX && h != H_R12)))
			as_mov(a, 8, h, loc_state(8 * g));
	}
}

/* RSP is 8 below a multiple of 16 on entry to a thunk. */
static void call_c(struct as_buf *a, uint64_t fn)
{
	as_alu(a, ALU_SUB, 8, H_RSP, loc_imm(8));
	as_mov(a, 8, H_RAX, loc_imm((int64_t)fn));
	as_modrm(a, (struct enc){ .opcode = 0xff }, 2, loc_reg(H_RAX));
	as_alu(a, ALU_ADD, 8, H_RSP, loc_imm(8));
}

static struct as_buf begin(struct jit_vm *vm)
{
	struct arena *ar = &vm->arena;

	ar->used = (ar->used + 15) & ~(size_t)15;
	return (struct as_buf){ .p = ar->rw + ar->used, .end = ar->rw + ar->size };
}

static const void *end(struct jit_vm *vm, struct as_buf *a)
{
	const void *start = vm->arena.rx + vm->arena.used;

	if (a->full)
		return NULL;
	vm->arena.used = (size_t)(a->p - vm->arena.rw);
	return start;
}

static uint8_t *rw(struct jit_vm *vm, const void *rx)
{
	return arena_rw(&vm->arena, rx);
}

/* ---- vectors; C ABI, rdi = hot; nothing but vector registers and eax is changed */
static void vec_move(struct as_buf *a, bool store, bool avx, uint32_t offset)
{
	for (unsigned i = 0; i < 16; i++)
		as_modrm(a,
			(struct enc){
				.map = 1, .opcode = store ? 0x11 : 0x10, .vex = avx, .l = avx },
			i, loc_mem(H_RDI, (int32_t)(128 + offset + 32 * i)));
}

static const void *emit_vec(struct jit_vm *vm, bool store)
{
	const struct isa *isa = vm->isa;
	int32_t live = (int32_t)offsetof(struct jit_hot, vec_live);
	struct loc mxcsr = loc_mem(H_RDI, (int32_t)(128 + isa->mxcsr_offset));
	struct as_buf a = begin(vm);
	uint8_t *sse = NULL, *done = NULL;

	if (vm->thunks.host.avx) {
		if (store)
			as_test(&a, 1, loc_mem(H_RDI, live), loc_imm(2));
		else
			as_test(&a, 1, loc_reg(H_RSI), loc_imm(2));
		sse = as_jcc8(&a, 4);
		/* the AVX half is longer than a short jump reaches */
		as_8(&a, 0xeb);
		as_8(&a, 5);
		as_here8(&a, sse);
		sse = as_jmp(&a, NULL);
		vec_move(&a, store, true, isa->vec_offset);
		done = as_jmp(&a, NULL);
		if (!a.full)
			as_patch(sse, a.p);
	}
	vec_move(&a, store, false, isa->vec_offset);
	if (done && !a.full)
		as_patch(done, a.p);
	if (store) {
		as_modrm(&a, (struct enc){ .map = 1, .opcode = 0xae }, 3, mxcsr); /* stmxcsr */
		as_alu(&a, ALU_SUB, 8, H_RSP, loc_imm(8));
		as_mov_to(&a, 4, loc_mem(H_RSP, 0), loc_imm(MXCSR_DEFAULT));
		as_modrm(&a, (struct enc){ .map = 1, .opcode = 0xae }, 2, loc_mem(H_RSP, 0));
		as_alu(&a, ALU_ADD, 8, H_RSP, loc_imm(8));
		if (vm->thunks.host.avx)
			as_bytes(&a, "\xc5\xf8\x77", 3); /* vzeroupper */
		as_mov_to(&a, 1, loc_mem(H_RDI, live), loc_imm(0));
	} else {
		as_modrm(&a, (struct enc){ .map = 1, .opcode = 0xae }, 2, mxcsr);
		as_mov_to(&a, 1, loc_mem(H_RDI, live), loc_reg(H_RSI));
	}
	as_8(&a, 0xc3);
	return end(vm, &a);
}

static void spill_if_live(struct jit_vm *vm, struct as_buf *a)
{
	uint8_t *skip;

	as_alu_to(a, ALU_CMP, 1, LOC_HOT(vec_live), loc_imm(0), false);
	skip = as_jcc8(a, 4);
	as_lea(a, 8, H_RDI, loc_state(-128));
	as_call(a, rw(vm, (const void *)(uintptr_t)vm->thunks.vec_spill));
	as_here8(a, skip);
}

/* ---- in and out */
static const void *emit_enter(struct jit_vm *vm)
{
	static const uint8_t saved[6] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };
	struct as_buf a = begin(vm);

	for (unsigned i = 0; i < 6; i++)
		as_push(&a, saved[i]);
	as_alu(&a, ALU_SUB, 8, H_RSP, loc_imm(FRAME));
	as_lea(&a, 8, H_RBP, loc_mem(H_RDI, 128));
	as_mov(&a, 8, H_R13, loc_reg(H_RSI));
	as_mov_to(&a, 8, LOC_HOT(exit_rsp), loc_reg(H_RSP));
	load_gprs(&a, true);
	as_modrm(&a, (struct enc){ .opcode = 0xff }, 4, loc_reg(H_R13));
	return end(vm, &a);
}

/* All registers are in gpr[]; eax = reason. */
static const void *emit_out(struct jit_vm *vm)
{
	static const uint8_t saved[6] = { H_R15, H_R14, H_R13, H_R12, H_RBP, H_RBX };
	struct as_buf a = begin(vm);

	as_mov(&a, 8, H_RSP, LOC_HOT(exit_rsp));
	spill_if_live(vm, &a);
	as_alu(&a, ALU_ADD, 8, H_RSP, loc_imm(FRAME));
	for (unsigned i = 0; i < 6; i++)
		as_pop(&a, saved[i]);
	as_8(&a, 0xc3);
	return end(vm, &a);
}

/* Those that are called leave the return address's offset in hot.fault_site; others r13 in
 * hot.link. */
static const void *emit_leave(struct jit_vm *vm, enum leave_reason why, const void *out)
{
	struct as_buf a = begin(vm);

	store_gprs(&a, true);
	if (why == LEAVE_ENTRY || why == LEAVE_LINK || why == LEAVE_POLL) {
		as_pop(&a, H_R13);
		as_mov(&a, 8, H_R14, loc_imm((int64_t)(uintptr_t)vm->arena.rx));
		as_alu(&a, ALU_SUB, 8, H_R13, loc_reg(H_R14));
		as_mov_to(&a, 4, LOC_HOT(fault_site), loc_reg(H_R13));
	} else {
		as_mov_to(&a, 8, LOC_HOT(link), loc_reg(H_R13));
	}
	as_mov(&a, 4, H_RAX, loc_imm(why));
	as_jmp(&a, rw(vm, out));
	return end(vm, &a);
}

/* On the stack: the return address of the thunk that failed. gpr[] is complete. */
static const void *emit_fault(struct jit_vm *vm, const void *out)
{
	struct as_buf a = begin(vm);

	as_mov(&a, 8, H_R13, loc_mem(H_RSP, 0));
	as_mov(&a, 8, H_R14, loc_imm((int64_t)(uintptr_t)vm->arena.rx));
	as_alu(&a, ALU_SUB, 8, H_R13, loc_reg(H_R14));
	as_mov_to(&a, 4, LOC_HOT(fault_site), loc_reg(H_R13));
	as_mov(&a, 4, H_RAX, loc_imm(LEAVE_FAULT));
	as_jmp(&a, rw(vm, out));
	return end(vm, &a);
}

/* ---- slow memory accesses: r13 = va → r13 = host address; loads: r15 = 0, stores: ZF = no commit
 */
static const void *emit_slow_common(struct jit_vm *vm, const void *fault)
{
	struct as_buf a = begin(vm);
	uint8_t *bad;

	/* called by a slow thunk: the block's return address is the second on the stack */
	as_mov(&a, 8, H_RDI, LOC_HOT(vcpu));
	as_mov(&a, 8, H_RSI, loc_reg(H_R13));
	as_mov(&a, 4, H_RDX, loc_reg(H_R14));
	as_mov(&a, 8, H_RCX, loc_mem(H_RSP, 8));
	as_mov(&a, 8, H_RAX, loc_imm((int64_t)(uintptr_t)softmmu_slow));
	as_modrm(&a, (struct enc){ .opcode = 0xff }, 2, loc_reg(H_RAX));
	as_test(&a, 8, loc_reg(H_RAX), loc_reg(H_RAX));
	bad = as_jcc8(&a, 4);
	as_mov(&a, 8, H_R13, loc_reg(H_RAX));
	as_mov(&a, 8, H_R14, loc_reg(H_RDX));
	load_gprs(&a, false);
	as_8(&a, 0xc3);
	as_here8(&a, bad);
	as_mov_to(&a, 8, loc_state(8 * 3), loc_reg(H_RBX));
	as_mov_to(&a, 8, loc_state(8 * 12), loc_reg(H_R12));
	as_alu(&a, ALU_ADD, 8, H_RSP, loc_imm(8));
	as_jmp(&a, rw(vm, fault));
	return end(vm, &a);
}

static const void *emit_slow(struct jit_vm *vm, uint32_t desc)
{
	struct thunks *t = &vm->thunks;
	struct as_buf a = { .p = vm->arena.rw + t->slow_at, .end = vm->arena.rw + t->slow_end };

	store_gprs(&a, false);
	as_mov(&a, 4, H_R14, loc_imm(desc));
	as_call(&a, rw(vm, vm->thunks.slow_common));
	if ((desc >> 8 & 15) == ACCESS_STORE)
		as_test(&a, 4, loc_reg(H_R14), loc_reg(H_R14));
	as_mov(&a, 4, H_R15, loc_imm(0));
	as_8(&a, 0xc3);
	if (a.full)
		return NULL;
	const void *code = vm->arena.rx + t->slow_at;

	t->slow_at = (uint32_t)(a.p - vm->arena.rw);
	return code;
}

const void *thunks_slow(struct jit_vm *vm, uint32_t desc)
{
	struct thunks *t = &vm->thunks;
	const void *code;

	for (unsigned i = 0; i < t->slows; i++)
		if (t->slow[i].desc == desc)
			return t->slow[i].code;
	code = t->slows < SLOW_MAX ? emit_slow(vm, desc) : NULL;
	if (code) {
		t->slow[t->slows].desc = desc;
		t->slow[t->slows++].code = code;
	}
	return code;
}

/* r13 = va: tries to make a TLB entry for it; ZF: there is none. */
static const void *emit_share(struct jit_vm *vm, enum jit_access access)
{
	struct as_buf a = begin(vm);

	store_gprs(&a, false);
	as_mov(&a, 8, H_RDI, LOC_HOT(vcpu));
	as_mov(&a, 8, H_RSI, loc_reg(H_R13));
	as_mov(&a, 4, H_RDX, loc_imm(access));
	call_c(&a, (uint64_t)(uintptr_t)softmmu_prefill);
	as_test(&a, 1, loc_reg(H_RAX), loc_reg(H_RAX));
	load_gprs(&a, false);
	as_8(&a, 0xc3);
	return end(vm, &a);
}

/* Keeps EFLAGS: the store before it may have produced the guest's. */
static const void *emit_commit(struct jit_vm *vm)
{
	struct as_buf a = begin(vm);

	as_8(&a, 0x9c);
	store_gprs(&a, false);
	as_mov(&a, 8, H_RDI, LOC_HOT(vcpu));
	as_mov(&a, 8, H_RAX, loc_imm((int64_t)(uintptr_t)softmmu_commit));
	as_modrm(&a, (struct enc){ .opcode = 0xff }, 2, loc_reg(H_RAX));
	load_gprs(&a, false);
	as_8(&a, 0x9d);
	as_8(&a, 0xc3);
	return end(vm, &a);
}

/* ---- any C function: arguments r13, r14, r15 → result r13 */
static const void *emit_call(struct jit_vm *vm, uint64_t fn, unsigned flags)
{
	struct thunks *t = &vm->thunks;
	struct as_buf a = { .p = vm->arena.rw + t->call_at, .end = vm->arena.rw + t->call_end };
	const void *code = vm->arena.rx + t->call_at;
	uint8_t *bad = NULL;

	store_gprs(&a, true);
	if (!(flags & IRO_LIGHT)) {
		as_alu(&a, ALU_SUB, 8, H_RSP, loc_imm(8));
		spill_if_live(vm, &a);
		as_alu(&a, ALU_ADD, 8, H_RSP, loc_imm(8));
	}
	as_mov(&a, 8, H_RDI, LOC_HOT(vcpu));
	as_mov(&a, 8, H_RSI, loc_reg(H_R13));
	as_mov(&a, 8, H_RDX, loc_reg(H_R14));
	as_mov(&a, 8, H_RCX, loc_reg(H_R15));
	call_c(&a, fn);
	if (flags & IRO_NOFAULT) {
		as_mov(&a, 8, H_R13, loc_reg(H_RAX));
	} else {
		as_test(&a, 1, loc_reg(H_RAX), loc_reg(H_RAX));
		bad = as_jcc8(&a, 5);
		as_jmp(&a, rw(vm, vm->thunks.leave[LEAVE_FAULT]));
		as_here8(&a, bad);
		as_mov(&a, 8, H_R13, LOC_HOT(ret));
	}
	load_gprs(&a, true);
	as_8(&a, 0xc3);
	if (a.full)
		return NULL;
	t->call_at = ((uint32_t)(a.p - vm->arena.rw) + 15) & ~15u;
	return code;
}

const void *thunks_call(struct jit_vm *vm, uint64_t fn, unsigned flags)
{
	struct thunks *t = &vm->thunks;
	const void *code;
	unsigned i;

	flags &= IRO_LIGHT | IRO_NOFAULT;
	for (i = 0; i < t->calls; i++)
		if (t->call[i].fn == fn && t->call[i].flags == flags)
			return t->call[i].code;
	if (i == THUNKS_MAX)
		return NULL;
	code = emit_call(vm, fn, flags);
	if (!code)
		return NULL;
	t->call[t->calls].fn = fn;
	t->call[t->calls].flags = flags;
	t->call[t->calls++].code = code;
	return code;
}

/* ---- indirect jumps: r13 = guest pc; flags are in memory */
static void jc_slot(struct as_buf *a, unsigned r)
{
	as_mov(a, 4, r, loc_gs_only((int32_t)offsetof(struct jit_as, jc_key)));
	as_alu(a, ALU_XOR, 4, r, loc_reg(H_R13));
	as_modrm(a, (struct enc){ .opcode = 0x69 }, r, loc_reg(r)); /* imul r, r, imm32 */
	as_32(a, JC_MULTIPLIER);
	as_shift_imm(a, 5, 4, loc_reg(r), 32 - JC_BITS);
	as_shift_imm(a, 4, 4, loc_reg(r), JC_ENTRY_BITS);
}

/* r13 = pc, which is the linear address, and not in the jump cache. Is its page in the execute TLB,
 * and a block at its physical address in the second table? Then into the jump cache with it, and
 * there. */
static const void *emit_indirect_miss(struct jit_vm *vm)
{
	struct as_buf a = begin(vm);
	const uint8_t *leave = rw(vm, vm->thunks.leave[LEAVE_INDIRECT]);
	int32_t fetch = (int32_t)offsetof(struct jit_as, fetch),
		jp = (int32_t)jp_offset(vm->isa->arch_size),
		jc = (int32_t)jc_offset(vm->isa->arch_size);
	uint8_t *fine;

	as_mov(&a, 4, H_R14, loc_reg(H_R13));
	as_shift_imm(&a, 5, 4, loc_reg(H_R14), 12 - FETCH_BITS);
	as_alu(&a, ALU_AND, 4, H_R14, loc_imm((TLB_SIZE - 1) << FETCH_BITS));
	as_mov(&a, 8, H_R15, loc_reg(H_R13));
	as_alu(&a, ALU_AND, 8, H_R15, loc_imm(-4096));
	as_alu(&a, ALU_CMP, 8, H_R15, loc_gs(H_R14, fetch));
	as_jcc(&a, 5, leave);
	as_mov(&a, 8, H_R14, loc_gs(H_R14, fetch + 8));
	as_test(&a, 8, loc_reg(H_R14), loc_reg(H_R14));
	fine = as_jcc8(&a, 8); /* FETCH_GLOBAL is the sign */
	as_alu_to(&a, ALU_CMP, 1, loc_gs_only((int32_t)offsetof(struct jit_as, jc_shared)),
		loc_imm(0), false);
	as_jcc(&a, 5, leave);
	as_here8(&a, fine);
	as_shift_imm(&a, 4, 8, loc_reg(H_R14), 12);
	as_mov(&a, 4, H_R15, loc_reg(H_R13));
	as_alu(&a, ALU_AND, 4, H_R15, loc_imm(4095));
	as_alu(&a, ALU_OR, 8, H_R14, loc_reg(H_R15));
	as_mov(&a, 4, H_R15, LOC_HOT(mode));
	as_alu(&a, ALU_CMP, 4, H_R15, loc_gs_only((int32_t)offsetof(struct jit_as, mode)));
	as_jcc(&a, 5, leave);
	as_shift_imm(&a, 4, 8, loc_reg(H_R15), JP_MODE_SHIFT);
	as_alu(&a, ALU_XOR, 8, H_R14, loc_reg(H_R15));
	as_modrm(&a, (struct enc){ .opcode = 0x69 }, H_R15, loc_reg(H_R14));
	as_32(&a, JC_MULTIPLIER);
	as_shift_imm(&a, 5, 4, loc_reg(H_R15), 32 - JP_BITS);
	as_shift_imm(&a, 4, 4, loc_reg(H_R15), JP_ENTRY_BITS);
	as_alu(&a, ALU_CMP, 8, H_R14, loc_sib(H_RBP, H_R15, 0, jp));
	as_jcc(&a, 5, leave);
	as_mov(&a, 8, H_R14, loc_sib(H_RBP, H_R15, 0, jp + (int)offsetof(struct jp_entry, code)));
	as_mov(&a, 8, H_R15, loc_reg(H_R13));
	as_alu(&a, ALU_AND, 8, H_R15, loc_imm(-4096));
	as_mov_to(&a, 8, LOC_HOT(pc_base), loc_reg(H_R15));
	as_push(&a, H_RAX);
	jc_slot(&a, H_RAX);
	as_mov_to(&a, 8, loc_sib(H_RBP, H_RAX, 0, jc + (int)offsetof(struct jc_entry, pc)),
		loc_reg(H_R13));
	as_mov_to(&a, 8, loc_sib(H_RBP, H_RAX, 0, jc + (int)offsetof(struct jc_entry, code)),
		loc_reg(H_R14));
	as_mov_to(&a, 8, loc_sib(H_RBP, H_RAX, 0, jc + (int)offsetof(struct jc_entry, pc_base)),
		loc_reg(H_R15));
	as_mov(&a, 8, H_R13, loc_gs_only((int32_t)offsetof(struct jit_as, jc_gen)));
	as_mov_to(&a, 8, loc_sib(H_RBP, H_RAX, 0, jc + (int)offsetof(struct jc_entry, gen)),
		loc_reg(H_R13));
	as_pop(&a, H_RAX);
	as_modrm(&a, (struct enc){ .opcode = 0xff }, 4, loc_reg(H_R14));
	return end(vm, &a);
}

void thunks_jump(struct as_buf *a, const struct jit_vm *vm)
{
	int32_t table = (int32_t)jc_offset(vm->isa->arch_size);
	const uint8_t *miss = arena_rw(&vm->arena, vm->thunks.indirect_miss);

	as_alu_to(a, ALU_CMP, 4, LOC_HOT(exit_request), loc_imm(0), false);
	as_jcc(a, 5, arena_rw(&vm->arena, vm->thunks.leave[LEAVE_INDIRECT_POLL]));
	if (!vm->opt.indirect) {
		as_jmp(a, arena_rw(&vm->arena, vm->thunks.leave[LEAVE_INDIRECT]));
		return;
	}
	jc_slot(a, H_R14);
	as_mov(a, 8, H_R15, loc_gs_only((int32_t)offsetof(struct jit_as, jc_gen)));
	as_alu(a, ALU_CMP, 8, H_R13,
		loc_sib(H_RBP, H_R14, 0, table + (int)offsetof(struct jc_entry, pc)));
	as_jcc(a, 5, miss);
	as_alu(a, ALU_CMP, 8, H_R15,
		loc_sib(H_RBP, H_R14, 0, table + (int)offsetof(struct jc_entry, gen)));
	as_jcc(a, 5, miss);
	as_mov(a, 8, H_R15,
		loc_sib(H_RBP, H_R14, 0, table + (int)offsetof(struct jc_entry, pc_base)));
	as_mov_to(a, 8, LOC_HOT(pc_base), loc_reg(H_R15));
	as_modrm(a, (struct enc){ .opcode = 0xff }, 4,
		loc_sib(H_RBP, H_R14, 0, table + (int)offsetof(struct jc_entry, code)));
}

static const void *emit_indirect(struct jit_vm *vm)
{
	struct as_buf a = begin(vm);

	thunks_jump(&a, vm);
	return end(vm, &a);
}

/* ---- GS base */
static const void *emit_set_gs(struct jit_vm *vm)
{
	struct as_buf a = begin(vm);

	if (vm->thunks.host.fsgsbase) {
		as_modrm(&a, (struct enc){ .pp = 2, .map = 1, .opcode = 0xae, .w = true }, 3,
			loc_reg(H_RDI));
	} else {
		as_mov(&a, 8, H_RSI, loc_reg(H_RDI));
		as_mov(&a, 4, H_RDI, loc_imm(ARCH_SET_GS));
		as_mov(&a, 4, H_RAX, loc_imm(SYS_arch_prctl));
		as_bytes(&a, "\x0f\x05", 2);
	}
	as_8(&a, 0xc3);
	return end(vm, &a);
}

static void detect_host(struct host_features *h)
{
	unsigned eax, ebx = 0, ecx = 0, edx, xcr = 0;

	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		h->bmi2 = ebx >> 8 & 1;
	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx >> 27 & 1)
		__asm__("xgetbv" : "=a"(xcr), "=d"(edx) : "c"(0));
	h->avx = (ecx >> 28 & 1) && (xcr & 6) == 6;
	h->fsgsbase = getauxval(AT_HWCAP2) >> 1 & 1;
	h->bmi2 = h->bmi2 && h->avx; /* VEX encodings need the OS to have enabled them */
}

int thunks_init(struct jit_vm *vm)
{
	struct thunks *t = &vm->thunks;
	const void *out, *enter, *gs, *spill, *fill;

	detect_host(&t->host);
	t->call_at = 64; /* offset 0 means nothing; made while a block is, so not where that goes */
	t->call_end = vm->arena.used = t->call_at + THUNKS_MAX * THUNK_ROOM;
	spill = emit_vec(vm, true);
	fill = emit_vec(vm, false);
	t->vec_spill = (void (*)(struct jit_hot *))(uintptr_t)spill;
	t->vec_fill = (void (*)(struct jit_hot *, uint64_t))(uintptr_t)fill;
	enter = emit_enter(vm);
	t->enter = (uint64_t(*)(struct jit_hot *, const void *))(uintptr_t)enter;
	gs = emit_set_gs(vm);
	t->set_gs = (void (*)(struct jit_as *))(uintptr_t)gs;
	out = emit_out(vm);
	for (unsigned i = 0; i < LEAVE_COUNT; i++)
		t->leave[i] = i == LEAVE_FAULT ? emit_fault(vm, out) : emit_leave(vm, i, out);
	t->slow_common = emit_slow_common(vm, t->leave[LEAVE_FAULT]);
	t->commit = emit_commit(vm);
	t->share[0] = emit_share(vm, ACCESS_LOAD);
	t->share[1] = emit_share(vm, ACCESS_STORE);
	t->indirect_miss = emit_indirect_miss(vm);
	t->indirect = emit_indirect(vm);
	t->align = thunks_call(vm, (uint64_t)(uintptr_t)thunks_align, IRO_LIGHT);
	t->vec_enter = thunks_call(vm, (uint64_t)(uintptr_t)thunks_vec_enter, IRO_LIGHT);
	t->fpu_enter = thunks_call(vm, (uint64_t)(uintptr_t)thunks_fpu_enter, IRO_LIGHT);
	t->slow_at = (uint32_t)vm->arena.used; /* likewise */
	vm->arena.used += SLOW_MAX * 128;
	t->slow_end = (uint32_t)vm->arena.used;
	vm->arena.fixed = vm->arena.used;
	return t->fpu_enter ? 0 : -1;
}
