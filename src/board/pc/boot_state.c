/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_state.c: registers, descriptors and page tables a kernel finds at its entry point.
 * Spec: SDM vol. 3, 3.4.5, 4.5 and 9.1; Linux Documentation/arch/x86/boot.rst. */
#include <string.h>

#include "board/pc/boot.h"
#include "cpu/x86/state.h"

enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20 };
enum {
	TYPE_DATA = 0x3, TYPE_CODE = 0xb, TYPE_BUSY_TSS = 0xb, TYPE_LDT = 0x2,
	ATTR_FLAT = SEG_ATTR_S | SEG_ATTR_P | SEG_ATTR_G,
};
/* The same as descriptors: base 0, limit 4 GiB. The code segment is written for both widths; the
 * hidden parts of CS say which one runs. */
static const uint64_t gdt[] = {
	0, 0,
	0x00cf9b000000ffff, /* code, 32 bits */
	0x00cf93000000ffff, /* data */
	0x00008b0000000067, 0, /* task state, 64-bit form */
};
static const uint64_t gdt_code64 = 0x00af9b000000ffff;

static void set_segments(struct x86_cpu *c, uint16_t code, uint16_t data, uint16_t code_attr,
	uint16_t data_attr, uint32_t limit)
{
	for (unsigned i = 0; i < 6; i++)
		c->seg[i] = (struct x86_segment){ .sel = data, .limit = limit, .attr = data_attr };
	c->seg[SEG_CS].sel = code;
	c->seg[SEG_CS].attr = code_attr;
}

static void set_common(struct x86_cpu *c, uint64_t entry)
{
	memset(c->gpr, 0, sizeof(c->gpr));
	c->rip = entry;
	c->rflags = 2;
	c->gdtr = (struct x86_table){ .base = BOOT_GDT, .limit = sizeof(gdt) - 1 };
	c->idtr = (struct x86_table){ 0 };
	c->tr = (struct x86_segment){
		.sel = SEL_TSS, .limit = 0x67, .attr = TYPE_BUSY_TSS | SEG_ATTR_P
	};
	c->activity = X86_RUNNING;
}

void boot_state_protected(struct x86_cpu *c, uint32_t entry)
{
	set_common(c, entry);
	set_segments(c, SEL_CODE, SEL_DATA, ATTR_FLAT | TYPE_CODE | SEG_ATTR_DB,
		ATTR_FLAT | TYPE_DATA | SEG_ATTR_DB, 0xffffffff);
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	c->cr4 = 0;
	c->efer = 0;
}

void boot_state_long(struct x86_cpu *c, uint64_t entry)
{
	set_common(c, entry);
	set_segments(c, SEL_CODE, SEL_DATA, ATTR_FLAT | TYPE_CODE | SEG_ATTR_L,
		ATTR_FLAT | TYPE_DATA | SEG_ATTR_DB, 0xffffffff);
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
	c->cr4 = X86_CR4_PAE;
	c->cr3 = BOOT_PAGE_TABLES;
	c->efer = X86_EFER_LME | X86_EFER_LMA;
}

void boot_state_real(struct x86_cpu *c, uint16_t ip)
{
	set_segments(c, 0, 0, SEG_ATTR_S | SEG_ATTR_P | TYPE_CODE,
		SEG_ATTR_S | SEG_ATTR_P | TYPE_DATA, 0xffff);
	c->rip = ip;
	c->gpr[RSP] = ip; /* the stack grows down from the image */
}

/* Four GiB identity-mapped with 2 MiB pages: one PML4, one PDPT, four page directories. */
int boot_load_tables(struct boot *b, GError **error)
{
	enum { PAGE = 4096, ENTRIES = 512, FLAGS = 0x3 /* P, W */, LARGE = 0x80, PDS = 4 };
	uint64_t table[ENTRIES] = { 0 }, descriptors[G_N_ELEMENTS(gdt)];
	uint64_t pdpt = BOOT_PAGE_TABLES + PAGE, pd = BOOT_PAGE_TABLES + 2 * PAGE;

	memcpy(descriptors, gdt, sizeof(gdt));
	if (b->long_mode)
		descriptors[SEL_CODE / 8] = gdt_code64;
	if (boot_to_ram(b, BOOT_GDT, descriptors, sizeof(descriptors), error) < 0)
		return -1;
	if (!b->long_mode)
		return 0;
	table[0] = pdpt | FLAGS;
	if (boot_to_ram(b, BOOT_PAGE_TABLES, table, sizeof(table), error) < 0)
		return -1;
	for (unsigned i = 0; i < PDS; i++)
		table[i] = (pd + i * PAGE) | FLAGS;
	if (boot_to_ram(b, pdpt, table, sizeof(table), error) < 0)
		return -1;
	for (unsigned d = 0; d < PDS; d++) {
		for (uint64_t i = 0; i < ENTRIES; i++)
			table[i] = (d * ENTRIES + i) << 21 | FLAGS | LARGE;
		if (boot_to_ram(b, pd + d * PAGE, table, sizeof(table), error) < 0)
			return -1;
	}
	return 0;
}
