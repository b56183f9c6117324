/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.c: traces and perf's map of translated code. */
#include "accel/jit/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <ucontext.h>
#include <unistd.h>

#if __has_include(<capstone/capstone.h>)
#include <capstone/capstone.h>
#define HAVE_CAPSTONE 1
#endif

#include "accel/jit/ir/ir.h"
#include "accel/jit/vm.h"

static void disassemble(const uint8_t *code, size_t n, uint64_t address)
{
#ifdef HAVE_CAPSTONE
	cs_insn *insn;
	size_t count;
	csh cs;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs) != CS_ERR_OK)
		return;
	count = cs_disasm(cs, code, n, address, 0, &insn);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "  %8" PRIx64 "  %s %s\n", insn[i].address, insn[i].mnemonic,
			insn[i].op_str);
	if (count)
		cs_free(insn, count);
	cs_close(&cs);
#else
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%s%02x", i % 32 ? " " : "\n  ", code[i]);
	fputc('\n', stderr);
#endif
}

void trace_ir(struct jit_vm *vm, const struct ir *b, uint64_t pa, const char *what)
{
	if (!vm->opt.trace)
		return;
	g_autofree char *text = ir_print(b);

	fprintf(stderr, "---- pa 0x%" PRIx64 " %s: %s", pa, what, text);
}

void trace_block(struct jit_vm *vm, const struct ir *b, const struct block *k)
{
	if (vm->opt.trace) {
		trace_ir(vm, b, k->pa, "optimized");
		fprintf(stderr, "host code +0x%x, %u bytes\n", k->off, k->size);
		disassemble(k->code, k->size, k->off);
	}
	if (vm->opt.perf) {
		if (!vm->perf_map) {
			g_autofree char *name = g_strdup_printf("/tmp/perf-%d.map", (int)getpid());

			vm->perf_map = fopen(name, "w");
		}
		if (vm->perf_map) {
			fprintf(vm->perf_map, "%" PRIxPTR " %x guest:%" PRIx64 "\n",
				(uintptr_t)k->code, k->size, k->pa);
			fflush(vm->perf_map);
		}
	}
}

void trace_exec(struct jit_vcpu *v, const struct block *k)
{
	const uint64_t *g = v->arch;

	fprintf(stderr, "%u: pc %" PRIx64 " pa %" PRIx64 " mode %x fl %" PRIx64, v->vcpu->index,
		v->isa->pc(v), k->pa, k->mode, v->hot->arith & 0x8d5);
	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, " %" PRIx64, g[i]);
	fputc('\n', stderr);
}

void trace_fault(struct jit_vcpu *v)
{
	fprintf(stderr, "%u: fault at +0x%x, pc %" PRIx64 "\n", v->vcpu->index, v->hot->fault_site,
		v->isa->pc(v));
}

void trace_crash(struct jit_vcpu *v, uint32_t off, const long long *gregs)
{
	struct block *k = blocks_of_code(&v->vm->blocks, off);
	static const char *const name[] = { "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		"rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip" };

	for (unsigned i = 0; i < 17; i++)
		fprintf(stderr, "%s=%llx%c", name[i], gregs[i], i == 8 || i == 16 ? '\n' : ' ');
	fprintf(stderr, "pc_base %" PRIx64 " exit_rsp %" PRIx64 "\n", v->hot->pc_base,
		v->hot->exit_rsp);
	if (!k)
		return;
	fprintf(stderr, "block pa %" PRIx64 " mode %x, %u guest bytes, code +0x%x..0x%x\n", k->pa,
		k->mode, k->bytes, k->off, k->off + k->size);
	disassemble(k->code, k->size, k->off);
}
