/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_run.c: whole small machines on the translator, for what single instructions do not show: code that
 * changes itself or is changed by others, registers of devices, accesses across pages, atomics between
 * vCPUs, a code cache that overflows, kicks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/jit/cpu_loop.h"
#include "accel/jit/vm.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"

enum { PML4 = 0x1000, PDPT = 0x2000, CODE = 0x10000, DATA = 0x200000, RAM_SIZE = 8 << 20, MMIO = RAM_SIZE,
	EXIT_PORT = 0x80 };

struct rig {
	struct machine *m;
	struct ram *ram;
	struct region memory, mmio, port;
	uint64_t written;	/* to the device, last */
	unsigned writes;
};

static uint64_t mmio_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0x8877665544332211ull >> 8 * (off & 7) | (off >= 8 ? 0x100 : 0);
}

static void mmio_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct rig *r = opaque;

	r->written = val;
	r->writes++;
}

static uint64_t port_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0;
}

static void port_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	vcpu_forbid(vcpu_current());
}

static struct x86_cpu *cpu_of(struct rig *r, unsigned n)
{
	return r->m->vcpus[n]->arch;
}

static void put64(struct rig *r, uint64_t pa, uint64_t val)
{
	memcpy(r->ram->host + pa, &val, 8);
}

static uint64_t get64(struct rig *r, uint64_t pa)
{
	uint64_t val;

	memcpy(&val, r->ram->host + pa, 8);
	return val;
}

/* 64-bit mode, 1 GiB identity-mapped, every vCPU at `code` with its number in rdi. */
static struct rig *rig_new(unsigned cpus, const void *code, const void *end)
{
	static const struct region_ops device = { .read = mmio_read, .write = mmio_write, .min = 1, .max = 8 };
	static const struct region_ops port = { .read = port_read, .write = port_write, .min = 1, .max = 4 };
	enum { CODE_ATTR = 0xb | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_L | SEG_ATTR_G,
		DATA_ATTR = 3 | SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_DB | SEG_ATTR_G };
	struct rig *r = g_new0(struct rig, 1);

	r->m = machine_new(&accel_jit, NULL);
	assert_non_null(r->m);
	r->ram = ram_new("memory", RAM_SIZE, false, NULL);
	g_ptr_array_add(r->m->rams, r->ram);
	r->memory = (struct region){ .name = "memory", .ram = r->ram, .size = RAM_SIZE };
	region_place(r->m->memory, &r->memory, 0, 0);
	r->mmio = (struct region){ .name = "device", .ops = &device, .opaque = r, .size = 4096 };
	region_place(r->m->memory, &r->mmio, MMIO, 0);
	r->port = (struct region){ .name = "exit", .ops = &port, .opaque = r, .size = 1 };
	region_place(r->m->ports, &r->port, EXIT_PORT, 0);
	assert_int_equal(machine_add_vcpus(r->m, cpus, NULL), 0);
	put64(r, PML4, PDPT | 3);
	put64(r, PDPT, 0x83);
	memcpy(r->ram->host + CODE, code, (size_t)((const char *)end - (const char *)code));
	for (unsigned n = 0; n < cpus; n++) {
		struct x86_cpu *c = cpu_of(r, n);

		accel_jit.vcpu_reset(r->m->vcpus[n]);
		c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
		c->cr3 = PML4;
		c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
		c->efer = X86_EFER_LME | X86_EFER_LMA;
		for (unsigned i = 0; i < 6; i++)
			c->seg[i] = (struct x86_segment){ .limit = UINT32_MAX,
				.attr = i == SEG_CS ? CODE_ATTR : DATA_ATTR };
		c->activity = X86_RUNNING;
		c->rip = CODE;
		c->gpr[RSP] = 0x8000 + 0x1000 * n;
		c->gpr[RDI] = n;
		accel_jit.vcpu_push(r->m->vcpus[n], NULL);
	}
	return r;
}

static void rig_start(struct rig *r)
{
	for (unsigned n = 0; n < r->m->vcpu_count; n++)
		vcpu_allow(r->m->vcpus[n]);
}

static void rig_finish(struct rig *r)
{
	for (unsigned n = 0; n < r->m->vcpu_count; n++)
		vcpu_wait_parked(r->m->vcpus[n]);
}

static void rig_free(struct rig *r)
{
	region_unplace(&r->port);
	region_unplace(&r->mmio);
	region_unplace(&r->memory);
	machine_free(r->m);
	g_free(r);
}

#define GUEST(name, text)                                                                          \
	extern const char name[], name##_end[];                                                     \
	__asm__(".pushsection .rodata\n.p2align 12\n" #name ":\n" text "\n" #name "_end:\n.popsection\n")
#define EXIT "out %al, $0x80\n"

/* ---- code that changes itself */
GUEST(own_block, "lea 1f(%rip), %rax\n"
	"movl $0x2a, 1(%rax)\n"		/* the next instruction's immediate */
	"1: mov $1, %ecx\n"
	"lea 2f(%rip), %rax\n"
	"mov $6, %edx\n"
	"movw $0xc2ff, (%rax)\n"	/* two nops become inc edx */
	"2: nop; nop\n" EXIT);

static void test_own_block(void **state)
{
	struct rig *r = rig_new(1, own_block, own_block_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RCX], 0x2a);
	assert_int_equal(cpu_of(r, 0)->gpr[RDX], 7);
	rig_free(r);
}

GUEST(own_repeated, "jmp 0f\n"
	"1: inc %edx\n"
	"0: lea 2f(%rip), %rdi\n"
	"lea 1b(%rip), %rsi\n"
	"mov $2, %ecx\n"
	"mov $6, %edx\n"
	"rep movsb\n"			/* the two nops become inc edx */
	"2: nop; nop\n"
	"lea 3f(%rip), %rdi\n"
	"mov $1000, %ecx\n"
	"mov $0x90, %al\n"
	"rep stosb\n"			/* all of them nops */
	"3: .fill 1000, 1, 0xf4\n" EXIT);

static void test_own_repeated(void **state)
{
	struct rig *r = rig_new(1, own_repeated, own_repeated_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RDX], 7);
	assert_int_equal(cpu_of(r, 0)->activity, X86_RUNNING);
	rig_free(r);
}

GUEST(patch_loop, "lea 2f(%rip), %rbx\n"
	"xor %esi, %esi\n"
	"mov $500, %ecx\n"
	"1: mov %ecx, 1(%rbx)\n"
	"call *%rbx\n"
	"add %eax, %esi\n"
	"call 2f\n"
	"add %eax, %esi\n"
	"dec %ecx\n"
	"jnz 1b\n" EXIT
	".p2align 12\n"
	"2: mov $0, %eax\n"
	"ret\n");

static void test_patch_loop(void **state)
{
	struct rig *r = rig_new(1, patch_loop, patch_loop_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RSI], 2 * 500 * 501 / 2);
	rig_free(r);
}

/* ---- code that others change */
GUEST(call_until, "1: call 2f\n"
	"test %eax, %eax\n"
	"jz 1b\n" EXIT
	".p2align 12\n"
	"2: mov $0, %eax\n"
	"ret\n");

static void test_dma_to_code(void **state)
{
	struct rig *r = rig_new(1, call_until, call_until_end);
	const uint32_t two = 2;

	rig_start(r);
	g_usleep(20000);
	assert_true(dma_write(r->m, CODE + 4096 + 1, &two, sizeof(two)));
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RAX], 2);
	rig_free(r);
}

GUEST(cross_modify, "test %edi, %edi\n"
	"jz 3f\n"
	"mov $200000, %ecx\n"
	"4: dec %ecx\n"
	"jnz 4b\n"
	"movb $5, 2f+1(%rip)\n" EXIT
	"3: call 2f\n"
	"test %eax, %eax\n"
	"jz 3b\n" EXIT
	".p2align 12\n"
	"2: mov $0, %eax\n"
	"ret\n");

static void test_cross_modify(void **state)
{
	struct rig *r = rig_new(2, cross_modify, cross_modify_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RAX], 5);
	rig_free(r);
}

/* ---- device registers */
GUEST(device, "mov $0x800000, %ebx\n"
	"mov (%rbx), %rax\n"
	"movzbl 3(%rbx), %ecx\n"
	"movups (%rbx), %xmm0\n"
	"movq %xmm0, %rdx\n"
	"movl $0x1234, 16(%rbx)\n"
	"mov $1, %esi\n"
	"lock xaddl %esi, 4(%rbx)\n"
	"movq $-1, -8(%rbx)\n"
	"mov -4(%rbx), %r8\n"		/* half RAM, half device */
	"addl $0x10, (%rbx)\n"
	"setc %dil\n" EXIT);

static void test_device(void **state)
{
	struct rig *r = rig_new(1, device, device_end);
	struct x86_cpu *c = cpu_of(r, 0);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(c->gpr[RAX], 0x8877665544332211ull);
	assert_int_equal(c->gpr[RCX], 0x44);
	assert_int_equal(c->gpr[RDX], 0x8877665544332211ull);
	assert_int_equal(c->gpr[RSI], 0x88776655);
	assert_int_equal(c->gpr[R8], 0x44332211ffffffffull);
	assert_int_equal(r->written, 0x44332221);
	assert_int_equal(r->writes, 3);
	rig_free(r);
}

/* ---- across pages */
GUEST(crossing, "mov $0x200ffd, %ebx\n"
	"movabs $0x1122334455667788, %rax\n"
	"mov %rax, (%rbx)\n"
	"mov (%rbx), %rcx\n"
	"lock incq (%rbx)\n"
	"mov 2(%rbx), %edx\n"
	"movups (%rbx), %xmm1\n"
	"movups %xmm1, 16(%rbx)\n"
	"movups %xmm1, 4090(%rbx)\n" EXIT);

static void test_crossing(void **state)
{
	struct rig *r = rig_new(1, crossing, crossing_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal(cpu_of(r, 0)->gpr[RCX], 0x1122334455667788ull);
	assert_int_equal(cpu_of(r, 0)->gpr[RDX], 0x33445566);
	assert_int_equal(get64(r, 0x200ffd), 0x1122334455667789ull);
	assert_int_equal(get64(r, 0x20100d), 0x1122334455667789ull);
	assert_int_equal(get64(r, 0x201ff7), 0x1122334455667789ull);
	rig_free(r);
}

/* ---- several vCPUs */
GUEST(atomics, "mov $0x200000, %ebx\n"
	"mov $100000, %ecx\n"
	"1: lock incl (%rbx)\n"
	"mov $1, %eax\n"
	"lock xadd %rax, 8(%rbx)\n"
	"2: mov $1, %eax\n"		/* a spin lock around a plain counter */
	"xchg %eax, 16(%rbx)\n"
	"test %eax, %eax\n"
	"jz 3f\n"
	"pause\n"
	"jmp 2b\n"
	"3: incl 24(%rbx)\n"
	"movl $0, 16(%rbx)\n"
	"dec %ecx\n"
	"jnz 1b\n"
	"mov $200, %ecx\n"
	"4: lock incl 0xffe(%rbx)\n"	/* across two pages */
	"dec %ecx\n"
	"jnz 4b\n" EXIT);

static void test_atomics(void **state)
{
	struct rig *r = rig_new(3, atomics, atomics_end);

	rig_start(r);
	rig_finish(r);
	assert_int_equal((uint32_t)get64(r, DATA), 300000);
	assert_int_equal(get64(r, DATA + 8), 300000);
	assert_int_equal((uint32_t)get64(r, DATA + 24), 300000);
	assert_int_equal((uint32_t)get64(r, DATA + 0xffe), 600);
	rig_free(r);
}

/* ---- a full code cache: 60,000 functions, each called twice */
GUEST(many, "mov $0x400000, %ebx\n"
	"mov $60000, %ecx\n"
	"1: movb $0xb8, (%rbx)\n"
	"mov %ecx, 1(%rbx)\n"
	"movb $0xc3, 5(%rbx)\n"
	"add $64, %rbx\n"
	"dec %ecx\n"
	"jnz 1b\n"
	"mov $2, %edx\n"
	"2: mov $0x400000, %ebx\n"
	"mov $60000, %ecx\n"
	"3: call *%rbx\n"
	"add %rax, %rsi\n"
	"add $64, %rbx\n"
	"dec %ecx\n"
	"jnz 3b\n"
	"dec %edx\n"
	"jnz 2b\n" EXIT);

static void run_many(const char *options, bool full)
{
	struct rig *r;
	struct jit_vm *vm;

	setenv("LODGE_JIT", options, 1);
	r = rig_new(2, many, many_end);
	unsetenv("LODGE_JIT");
	cpu_of(r, 1)->gpr[RSI] = 0;
	rig_start(r);
	rig_finish(r);
	vm = r->m->accel_vm;
	assert_int_equal(cpu_of(r, 0)->gpr[RSI], 2ull * 60000 * 60001 / 2);
	assert_int_equal(cpu_of(r, 1)->gpr[RSI], 2ull * 60000 * 60001 / 2);
	assert_true(!full || vm->blocks.count.evicted > 1);
	rig_free(r);
}

static void test_full_cache(void **state)
{
	run_many("cache=4", true);
}

static void test_switches(void **state)
{
	static const char *const off[] = { "nofold", "noliveness", "nochain", "noindirect", "norecover" };

	for (unsigned i = 0; i < G_N_ELEMENTS(off); i++)
		run_many(off[i], false);
}

/* ---- the dirty log: a copy kept up by it alone equals the memory in the end */
enum { LOG_PAGES = 32 };

GUEST(scribble, "shl $17, %rdi\n" /* 32 pages each */
	"add $0x200000, %rdi\n"
	"mov $1, %eax\n"
	"1: imul $1103515245, %eax, %eax\n"
	"add $12345, %eax\n"
	"mov %eax, %edx\n"
	"and $0x1fff8, %edx\n"
	"mov %rax, (%rdi,%rdx)\n"
	"lock incl 4(%rdi,%rdx)\n"
	"jmp 1b\n");

static unsigned copy_dirty(struct rig *r, uint8_t *to)
{
	unsigned dirty = 0;

	r->m->accel->dirty_sync(r->m);
	for (size_t i = 0; i < RAM_SIZE / RAM_PAGE; i++) {
		unsigned long bit = 1ul << i % 64;

		if (!(__atomic_fetch_and(&r->ram->dirty[i / 64], ~bit, __ATOMIC_SEQ_CST) & bit))
			continue;
		memcpy(to + i * RAM_PAGE, r->ram->host + i * RAM_PAGE, RAM_PAGE);
		dirty++;
	}
	assert_in_range(dirty, 0, 2 * LOG_PAGES + 8); /* page tables, not everything */
	return dirty;
}

static void test_dirty_log(void **state)
{
	struct rig *r = rig_new(2, scribble, scribble_end);
	uint8_t *copy = g_malloc(RAM_SIZE);
	unsigned dirty = 0;

	rig_start(r);
	g_usleep(2000); /* entries for the pages are in the TLBs now */
	ram_dirty_start(r->ram);
	r->m->accel->dirty_log(r->m, true);
	memcpy(copy, r->ram->host, RAM_SIZE);
	for (unsigned i = 0; i < 50; i++) {
		g_usleep(200);
		dirty += copy_dirty(r, copy);
	}
	for (unsigned n = 0; n < 2; n++)
		vcpu_forbid(r->m->vcpus[n]);
	rig_finish(r);
	dirty += copy_dirty(r, copy);
	assert_int_not_equal(dirty, 0);
	for (size_t i = 0; i < RAM_SIZE / RAM_PAGE; i++) {
		if (memcmp(copy + i * RAM_PAGE, r->ram->host + i * RAM_PAGE, RAM_PAGE) != 0)
			fail_msg("page %zu changed unnoticed", i);
	}
	r->m->accel->dirty_log(r->m, false);
	ram_dirty_stop(r->ram);
	g_free(copy);
	rig_free(r);
}

/* ---- kicks */
GUEST(forever, "1: jmp 1b\n");
GUEST(forever_far, "1: jmp 2f\n"
	".p2align 12\n"
	"2: jmp 1b\n");
GUEST(forever_indirect, "lea 1f(%rip), %rax\n"
	"1: jmp *%rax\n");

static void test_kick(void **state)
{
	const char *const code[3][2] = { { forever, forever_end }, { forever_far, forever_far_end },
		{ forever_indirect, forever_indirect_end } };

	for (unsigned i = 0; i < 3; i++) {
		struct rig *r = rig_new(1, code[i][0], code[i][1]);

		for (unsigned k = 0; k < 20; k++) {
			vcpu_allow(r->m->vcpus[0]);
			g_usleep(500);
			vcpu_forbid(r->m->vcpus[0]);
			vcpu_wait_parked(r->m->vcpus[0]);
		}
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_block), cmocka_unit_test(test_own_repeated),
		cmocka_unit_test(test_patch_loop),
		cmocka_unit_test(test_dma_to_code), cmocka_unit_test(test_cross_modify),
		cmocka_unit_test(test_device), cmocka_unit_test(test_crossing), cmocka_unit_test(test_atomics),
		cmocka_unit_test(test_full_cache), cmocka_unit_test(test_switches), cmocka_unit_test(test_kick),
		cmocka_unit_test(test_dirty_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
