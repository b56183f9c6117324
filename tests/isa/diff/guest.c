/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.c: runs test code in a whole machine on the translator: page tables that show it the same
 * addresses as the native sandbox, and exception handlers that tell how it ended.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "accel/jit/cpu_loop.h"
#include "accel/jit/vm.h"
#include "core/engine.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "diff.h"
#include "guest.h"

/* Guest-physical layout; the handlers' pages are seen at SYSTEM_VA. */
enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	PT_DATA = 0x4000,
	PT_CODE = 0x5000,
	PT_SYSTEM = 0x6000,
	GDT = 0x7000,
	IDT = 0x8000,
	TSS = 0x9000,
	HANDLERS = 0xa000,
	STACK = 0xb000,
	CODE = 0xc000,
	PDPT_SYSTEM = 0xd000,
	PD_SYSTEM = 0xe000,
	DATA = 0x10000,
	RAM_SIZE = 0x100000,
	VECTORS = 32,
	STUB = 16,
	EXIT_PORT = 0x80,
};
enum { P = 1, RW = 2, US = 4 };
#define NX (1ull << 63)
/* Where the pages from GDT to STACK are seen, far from anything test code aims at. */
#define SYSTEM_VA  0xffff907fe5800000ull
#define SYSTEM(pa) (SYSTEM_VA + (pa)-GDT)

struct guest {
	struct machine *machine;
	struct vcpu *vcpu;
	struct jit_vcpu *jit;
	struct ram *ram;
	struct region region, port;
	struct x86_cpu system; /* what every case starts with besides its own registers */
	void (*body)(void *opaque);
	void *opaque;
	struct diff_memory *mem;
	bool done;
};

/* vcpu.c starts the thread, this tester runs on it and calls the translator as a vCPU's thread
 * does. */
static struct guest *the_guest;

static enum vcpu_exit run_body(struct vcpu *c)
{
	struct guest *g = the_guest;

	c->accel = &accel_jit;
	g->body(g->opaque);
	g->done = true;
	vcpu_forbid(c);
	return VCPU_KICKED;
}

static void exit_written(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	vcpu_post(((struct guest *)opaque)->vcpu, VCPU_EV_EXIT);
}

static uint64_t exit_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0;
}

static void put64(struct guest *g, uint64_t pa, uint64_t val)
{
	memcpy(g->ram->host + pa, &val, 8);
}

static uint64_t get64(const struct guest *g, uint64_t pa)
{
	uint64_t val;

	memcpy(&val, g->ram->host + pa, 8);
	return val;
}

static void map_page(struct guest *g, uint64_t table, uint64_t va, uint64_t pa, uint64_t bits)
{
	uint64_t pdpt = va >> 63 ? PDPT_SYSTEM : PDPT, pd = va >> 63 ? PD_SYSTEM : PD;

	put64(g, PML4 + 8 * (va >> 39 & 511), pdpt | P | RW | US);
	put64(g, pdpt + 8 * (va >> 30 & 511), pd | P | RW | US);
	put64(g, pd + 8 * (va >> 21 & 511), table | P | RW | US);
	put64(g, table + 8 * (va >> 12 & 511), pa | bits);
}

static void make_tables(struct guest *g)
{
	for (unsigned i = 0; i < DATA_SIZE / 4096; i++)
		map_page(g, PT_DATA, DATA_BASE + i * 4096, DATA + i * 4096, P | RW | US | NX);
	map_page(g, PT_DATA, DATA_BASE + DATA_SIZE, DATA + DATA_SIZE, P | US | NX);
	map_page(g, PT_CODE, CODE_BASE, CODE, P | US);
	for (unsigned pa = GDT; pa <= STACK; pa += 4096)
		map_page(g, PT_SYSTEM, SYSTEM(pa), pa, P | RW);
	put64(g, GDT + 0x10, 0x00209b0000000000); /* kernel code */
	put64(g, GDT + 0x18, 0x00cf93000000ffff);
	put64(g, GDT + 0x20, 0x00cffb000000ffff);
	put64(g, GDT + 0x28,
		0x00cff3000000ffff); /* user 32-bit code, data, 64-bit code: as Linux */
	put64(g, GDT + 0x30, 0x0020fb0000000000);
	put64(g, TSS + 4, SYSTEM(STACK) + 4096);
}

static bool pushes_error(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Stub n: [push 0]; push n; out; jmp self. What was pushed says all. */
static void make_handlers(struct guest *g)
{
	for (unsigned n = 0; n < VECTORS; n++) {
		uint64_t va = SYSTEM(HANDLERS) + n * STUB;
		uint8_t *p = g->ram->host + HANDLERS + n * STUB;

		if (!pushes_error(n)) {
			*p++ = 0x6a;
			*p++ = 0;
		}
		*p++ = 0x6a;
		*p++ = (uint8_t)n;
		*p++ = 0xe6;
		*p++ = EXIT_PORT;
		*p++ = 0xeb;
		*p++ = 0xfe;
		put64(g, IDT + n * 16,
			(va & 0xffff) | 0x10 << 16 | 0xee00ull << 32 | (va >> 16 & 0xffff) << 48);
		put64(g, IDT + n * 16 + 8, va >> 32);
	}
}

static void make_system_state(struct guest *g)
{
	enum {
		CODE_SEG = 0xb | SEG_ATTR_S | 3 << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P | SEG_ATTR_G,
		FLAT = 3 | SEG_ATTR_S | 3 << SEG_ATTR_DPL_SHIFT | SEG_ATTR_P | SEG_ATTR_DB |
		       SEG_ATTR_G
	};
	struct x86_cpu *c = &g->system;

	*c = *(struct x86_cpu *)g->vcpu->arch;
	c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_AM | X86_CR0_WP | X86_CR0_NE | X86_CR0_MP |
		 X86_CR0_ET;
	c->cr3 = PML4;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_FSGSBASE;
	c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	c->xcr0 = 7;
	for (unsigned i = 0; i < 6; i++)
		c->seg[i] = (struct x86_segment){ .base = !diff_segmented ? 0
							  : i == SEG_CS   ? CODE_BASE
									  : DATA_BASE,
			.limit = !diff_segmented ? UINT32_MAX
				 : i == SEG_CS   ? 0xffff
						 : SEGMENT_LIMIT,
			.attr = (uint16_t)((i == SEG_CS ? CODE_SEG | (diff_bits == 64 ? SEG_ATTR_L
										      : SEG_ATTR_DB)
							: FLAT) &
					   (diff_bits == 16 ? ~SEG_ATTR_DB : ~0)) };
	if (diff_bits == 64)
		c->seg[SEG_GS].base = DATA_BASE + GS_OFFSET;
	c->tr = (struct x86_segment){
		.base = SYSTEM(TSS), .limit = 0x67, .sel = 0x40, .attr = 0xb | SEG_ATTR_P
	};
	c->gdtr = (struct x86_table){ SYSTEM(GDT), 0x7f };
	c->idtr = (struct x86_table){ SYSTEM(IDT), VECTORS * 16 - 1 };
	c->activity = X86_RUNNING;
}

struct guest *guest_new(struct diff_memory *m, GError **error)
{
	static const struct region_ops ops = { .read = exit_read, .write = exit_written };
	static struct accel shell;
	struct guest *g = g_new0(struct guest, 1);

	g->mem = m;
	g->machine = machine_new(&accel_jit, error);
	if (!g->machine)
		return NULL;
	g->machine->cpu_model = "max";
	g->ram = ram_new("memory", RAM_SIZE, false, error);
	if (!g->ram)
		return NULL;
	g_ptr_array_add(g->machine->rams, g->ram);
	g->region = (struct region){ .name = "memory", .ram = g->ram, .size = RAM_SIZE };
	region_place(g->machine->memory, &g->region, 0, 0);
	g->port = (struct region){ .name = "exit", .ops = &ops, .opaque = g, .size = 1 };
	region_place(g->machine->ports, &g->port, EXIT_PORT, 0);
	if (machine_add_vcpus(g->machine, 1, error) < 0)
		return NULL;
	g->vcpu = g->machine->vcpus[0];
	g->jit = g->vcpu->engine;
	accel_jit.vcpu_reset(g->vcpu);
	make_tables(g);
	make_handlers(g);
	make_system_state(g);
	memset(g->ram->host + CODE, 0xcc, 4096);
	shell = accel_jit;
	shell.vcpu_run = run_body;
	g->vcpu->accel = &shell;
	the_guest = g;
	return g;
}

const struct x86_lift_config *guest_config(const struct guest *g)
{
	return ((struct jit_vm *)g->machine->accel_vm)->isa_config;
}

void guest_main(struct guest *g, void (*body)(void *opaque), void *opaque)
{
	g->body = body;
	g->opaque = opaque;
	vcpu_allow(g->vcpu);
	vcpu_wait_parked(g->vcpu);
}

void guest_stop(struct guest *g)
{
	atomic_fetch_or(&g->vcpu->events, VCPU_EV_EXIT);
	jit_request_exit(g->jit->hot);
}

/* The exception frame, as the handler's stub left it: vector, error, rip, cs, rflags, rsp, ss. */
static bool take_frame(struct guest *g, struct diff_result *out)
{
	uint64_t sp = STACK + 4096 - 7 * 8;

	if (out->cpu.gpr[RSP] != SYSTEM(sp) || out->cpu.seg[SEG_CS].sel != 0x10)
		return false;
	out->vector = (int)get64(g, sp);
	out->error = (unsigned)get64(g, sp + 8);
	out->cpu.rip = get64(g, sp + 16);
	out->cpu.rflags = get64(g, sp + 32);
	out->cpu.gpr[RSP] = get64(g, sp + 40);
	out->fault_address = out->cpu.cr2;
	if (out->vector == X86_BP) {
		out->vector = VECTOR_NONE;
		out->cpu.rip--;
	}
	return true;
}

static void begin(struct guest *g, const struct diff_case *c)
{
	struct x86_cpu *cpu = g->vcpu->arch;
	uint64_t tsc = cpu->tsc;

	*cpu = g->system;
	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i].sel = g->mem->selector[i];
	cpu->tsc = tsc;
	memcpy(cpu->gpr, c->start.gpr, sizeof(cpu->gpr));
	memcpy(cpu->ymm, c->start.ymm, sizeof(cpu->ymm));
	cpu->rip = c->start.rip;
	cpu->rflags = c->start.rflags;
	cpu->mxcsr = c->start.mxcsr;
	cpu->fpu = c->start.fpu;
	g->jit->hot->arith = cpu->rflags & X86_FL_ARITH;
	x86_mode_update(g->jit);
	memcpy(g->ram->host + CODE + c->offset, c->code, c->n);
	ram_touch(g->ram, CODE + c->offset, c->n);
}

bool guest_run(struct guest *g, const struct diff_case *c, struct diff_result *out)
{
	bool ok;

	begin(g, c);
	vcpu_events_clear(g->vcpu, VCPU_EV_EXIT);
	ok = accel_jit.vcpu_run(g->vcpu) == VCPU_KICKED;
	vcpu_events_clear(g->vcpu, VCPU_EV_EXIT);
	accel_jit.vcpu_pull(g->vcpu, NULL);
	out->cpu = *(struct x86_cpu *)g->vcpu->arch;
	ok = ok && take_frame(g, out);
	memset(g->ram->host + CODE + c->offset, 0xcc, c->n);
	ram_touch(g->ram, CODE + c->offset, c->n);
	out->memory_changed = memcmp(g->ram->host + DATA, g->mem->golden, DATA_SIZE) != 0;
	if (out->memory_changed) {
		memcpy(out->data, g->ram->host + DATA, DATA_SIZE);
		memcpy(g->ram->host + DATA, g->mem->golden, DATA_SIZE);
	}
	return ok;
}

void guest_new_memory(struct guest *g)
{
	memcpy(g->ram->host + DATA, g->mem->golden, DATA_SIZE);
}
