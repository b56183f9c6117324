/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm.c: the KVM engine with small real-mode guests on the host's /dev/kvm; skipped without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accel/accel.h"
#include "accel/kvm/kvm.h"
#include "core/device.h"
#include "core/dma.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"

enum { ENTRY = 0x7c00, PORT = 0xe9, MMIO = 0xd0000 };

struct guest {
	struct machine *m;
	struct ram *ram;
	struct region low, port, mmio;
	GByteArray *out;
	uint64_t mmio_written;
};

static uint64_t out_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0x5a;
}

static void out_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct guest *g = opaque;
	uint8_t byte = (uint8_t)val;

	g_byte_array_append(g->out, &byte, 1);
	if (byte == 0)
		vcpu_post(g->m->vcpus[0], VCPU_EV_EXIT);
}

static void mmio_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	((struct guest *)opaque)->mmio_written = val | (uint64_t)size << 32;
}

static const struct region_ops out_ops = { .read = out_read, .write = out_write, .min = 1, .max = 1 };
static const struct region_ops mmio_ops = { .read = out_read, .write = mmio_write, .min = 1, .max = 4 };

static struct guest *guest_new(const uint8_t *code, size_t n)
{
	struct guest *g = g_new0(struct guest, 1);
	g_autoptr(GError) error = NULL;
	struct vcpu *c;
	struct x86_cpu *cpu;

	g->out = g_byte_array_new();
	g->m = machine_new(&accel_kvm, &error);
	assert_non_null(g->m);
	g->m->cpu_model = "host";
	g->ram = ram_new("memory", 1 << 20, false, &error);
	assert_non_null(g->ram);
	g_ptr_array_add(g->m->rams, g->ram);
	g->low = (struct region){ .name = "low", .ram = g->ram, .size = MMIO };
	region_place(g->m->memory, &g->low, 0, 0);
	g->port = (struct region){ .name = "out", .ops = &out_ops, .opaque = g, .size = 1 };
	region_place(g->m->ports, &g->port, PORT, 0);
	g->mmio = (struct region){ .name = "mmio", .ops = &mmio_ops, .opaque = g, .size = 0x1000 };
	region_place(g->m->memory, &g->mmio, MMIO, 0);
	assert_true(dma_write(g->m, ENTRY, code, n));
	assert_int_equal(machine_add_vcpus(g->m, 1, &error), 0);
	c = g->m->vcpus[0];
	g->m->accel->vcpu_reset(c);
	assert_int_equal(g->m->accel->vcpu_pull(c, &error), 0);
	cpu = c->arch;
	cpu->seg[SEG_CS].sel = 0;
	cpu->seg[SEG_CS].base = 0;
	cpu->rip = ENTRY;
	cpu->gpr[RSP] = ENTRY;
	assert_int_equal(g->m->accel->vcpu_push(c, &error), 0);
	return g;
}

static void guest_free(struct guest *g)
{
	g_byte_array_unref(g->out);
	machine_free(g->m);
	g_free(g);
}

static void test_port_and_mmio(void **state)
{
	static const uint8_t code[] = {
		0xb0, 'h', 0xe6, PORT,			/* mov al,'h'; out PORT,al */
		0xe4, PORT, 0xe6, PORT,			/* in al,PORT; out PORT,al */
		0xb8, 0x00, 0xd0, 0x8e, 0xd8,		/* mov ax,0xd000; mov ds,ax */
		0xc7, 0x06, 0x04, 0x00, 0x34, 0x12,	/* mov word [4],0x1234 */
		0x30, 0xc0, 0xe6, PORT, 0xf4,		/* xor al,al; out PORT,al; hlt */
	};
	struct guest *g = guest_new(code, sizeof(code));
	static const uint8_t want[] = { 'h', 0x5a, 0 };

	assert_int_equal(g->m->accel->vcpu_run(g->m->vcpus[0]), VCPU_KICKED);
	assert_int_equal(g->out->len, sizeof(want));
	assert_memory_equal(g->out->data, want, sizeof(want));
	assert_int_equal(g->mmio_written, 0x1234 | 2ull << 32);
	guest_free(g);
}

static void test_state_round_trip(void **state)
{
	static const uint8_t code[] = { 0xf4 };
	struct guest *g = guest_new(code, sizeof(code));
	struct vcpu *c = g->m->vcpus[0];
	struct x86_cpu *cpu = c->arch, before;
	g_autoptr(GError) error = NULL;

	for (unsigned i = 0; i < 16; i++)
		cpu->gpr[i] = 0x1111111111111111ull * i;
	cpu->ymm[3][0] = 0x0123456789abcdef;
	cpu->ymm[3][3] = 0xfedcba9876543210;
	cpu->fpu.st[2][4] = 0x77;
	cpu->fpu.ftw = 0xff;
	cpu->lstar = 0xffffffff81000000;
	cpu->pat = 0x0007040600070406;
	cpu->dr[1] = 0x1234;
	before = *cpu;
	assert_int_equal(g->m->accel->vcpu_push(c, &error), 0);
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	memset(cpu->ymm, 0, sizeof(cpu->ymm));
	cpu->lstar = 0;
	assert_int_equal(g->m->accel->vcpu_pull(c, &error), 0);
	assert_memory_equal(cpu->gpr, before.gpr, sizeof(before.gpr));
	assert_memory_equal(cpu->seg, before.seg, sizeof(before.seg));
	assert_int_equal(cpu->ymm[3][0], before.ymm[3][0]);
	if (((struct kvm_vm *)g->m->accel_vm)->xcr0 & 4)
		assert_int_equal(cpu->ymm[3][3], before.ymm[3][3]);
	assert_int_equal(cpu->fpu.st[2][4], 0x77);
	assert_int_equal(cpu->lstar, before.lstar);
	assert_int_equal(cpu->dr[1], before.dr[1]);
	guest_free(g);
}

static void test_single_step(void **state)
{
	static const uint8_t code[] = { 0x90, 0x40, 0x90, 0xf4 }; /* nop; inc ax; nop; hlt */
	struct guest *g = guest_new(code, sizeof(code));
	struct vcpu *c = g->m->vcpus[0];
	g_autoptr(GError) error = NULL;

	assert_int_equal(g->m->accel->vcpu_step(c, true, &error), 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(g->m->accel->vcpu_run(c), VCPU_DEBUG);
		assert_int_equal(g->m->accel->vcpu_pull(c, &error), 0);
		assert_int_equal(((struct x86_cpu *)c->arch)->rip, ENTRY + i);
	}
	guest_free(g);
}

static void test_dirty_log(void **state)
{
	static const uint8_t code[] = {
		0xa2, 0x00, 0x30,		/* mov [0x3000],al */
		0x30, 0xc0, 0xe6, PORT,		/* xor al,al; out PORT,al */
	};
	struct guest *g = guest_new(code, sizeof(code));

	ram_dirty_start(g->ram);
	g->m->accel->dirty_log(g->m, true);
	assert_int_equal(g->m->accel->vcpu_run(g->m->vcpus[0]), VCPU_KICKED);
	g->m->accel->dirty_sync(g->m);
	assert_int_equal(g->ram->dirty[0] & 1ul << 3, 1ul << 3);
	assert_int_equal(g->ram->dirty[0] & 1ul << 4, 0);
	g->m->accel->dirty_log(g->m, false);
	ram_dirty_stop(g->ram);
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_and_mmio), cmocka_unit_test(test_state_round_trip),
		cmocka_unit_test(test_single_step), cmocka_unit_test(test_dirty_log),
	};

	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		print_message("no /dev/kvm: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
