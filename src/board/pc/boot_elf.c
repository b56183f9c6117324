/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_elf.c: ELF kernels. With a Xen PHYS32_ENTRY note they are entered as PVH guests; else at
 * e_entry, ELF64 in long mode with RDI = start info, ELF32 in protected mode with EBX = start info.
 * Spec: System V ABI (ELF); Xen docs/misc/pvh and public/arch-x86/hvm/start_info.h (layout).
 */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "board/pc/boot.h"
#include "cpu/x86/state.h"

enum { PHDRS_MAX = 128, NOTES_MAX = 64 * 1024, XEN_PHYS32_ENTRY = 18 };

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};
struct start_module {
	uint64_t addr, size, cmdline, reserved;
};
struct start_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};
enum { START_MAGIC = 0x336ec578, START_MODULES = 0x80, START_MEMMAP = 0x100 };

/* A program header of either class. */
struct phdr {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz;
};

static bool elf_probe(const uint8_t *head, size_t n)
{
	return n >= sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int bad(struct boot *b, GError **error, const char *why)
{
	return fail(error, LODGE_ERROR_FILE, "kernel %s %s", b->kernel.path, why);
}

static int read_phdr(struct boot *b, bool wide, uint64_t off, struct phdr *out, GError **error)
{
	if (wide) {
		Elf64_Phdr p;

		if (boot_read(&b->kernel, off, &p, sizeof(p), error) < 0)
			return -1;
		*out = (struct phdr){ p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz,
			p.p_memsz };
	} else {
		Elf32_Phdr p;

		if (boot_read(&b->kernel, off, &p, sizeof(p), error) < 0)
			return -1;
		*out = (struct phdr){ p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz,
			p.p_memsz };
	}
	if (out->filesz > b->kernel.size || out->offset > b->kernel.size - out->filesz)
		return bad(b, error, "is truncated");
	return 0;
}

/* Looks for the PVH entry among the notes of one segment. */
static int read_notes(struct boot *b, const struct phdr *p, GError **error)
{
	g_autofree uint8_t *notes = NULL;
	size_t at = 0, n = p->filesz;

	if (n > NOTES_MAX)
		return bad(b, error, "has oversized notes");
	notes = g_malloc(n + 1);
	if (boot_read(&b->kernel, p->offset, notes, n, error) < 0)
		return -1;
	while (n - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		uint64_t name, desc;

		memcpy(&h, notes + at, sizeof(h));
		name = at + sizeof(h);
		desc = name + (((uint64_t)h.n_namesz + 3) & ~3ull);
		if (desc > n || h.n_descsz > n - desc)
			break; /* the rest is damaged; what came before counts */
		if (h.n_type == XEN_PHYS32_ENTRY && h.n_namesz == 4 &&
			memcmp(notes + name, "Xen", 4) == 0 && (h.n_descsz == 4 || h.n_descsz == 8))
			memcpy(&b->pvh_entry, notes + desc, h.n_descsz);
		at = desc + (((uint64_t)h.n_descsz + 3) & ~3ull);
		if (at > n)
			break;
	}
	return 0;
}

static int add_segment(struct boot *b, const struct phdr *p, uint64_t entry, GError **error)
{
	if (!p->memsz)
		return 0;
	if (p->filesz > p->memsz)
		return bad(b, error, "has a damaged program header");
	if (b->segments == ELF_SEGMENTS)
		return bad(b, error, "has too many segments");
	if (!boot_range_ok(b, p->paddr, p->memsz))
		return fail(error, LODGE_ERROR_FILE,
			"kernel %s needs memory at 0x%" PRIx64 " to 0x%" PRIx64
			", which the guest has not",
			b->kernel.path, p->paddr, p->paddr + p->memsz);
	/* A kernel may be linked elsewhere than it is loaded, its entry point being virtual. */
	if (entry >= p->vaddr && entry - p->vaddr < p->memsz)
		b->entry = p->paddr + (entry - p->vaddr);
	b->segment[b->segments].addr = p->paddr;
	b->segment[b->segments].offset = p->offset;
	b->segment[b->segments].file_size = p->filesz;
	b->segment[b->segments++].mem_size = p->memsz;
	return 0;
}

static int elf_check(struct boot *b, GError **error)
{
	Elf64_Ehdr e = { 0 };
	Elf32_Ehdr e32;
	uint64_t phoff, entry, top = 0;
	unsigned phnum, phsize;

	if (boot_read(&b->kernel, 0, &e, MIN(b->kernel.size, sizeof(e)), error) < 0)
		return -1;
	if (!elf_probe((const uint8_t *)&e, b->kernel.size))
		return bad(b, error, "is no ELF file");
	memcpy(&e32, &e, sizeof(e32));
	b->long_mode = e.e_ident[EI_CLASS] == ELFCLASS64;
	if (e.e_ident[EI_DATA] != ELFDATA2LSB || e.e_machine != (b->long_mode ? EM_X86_64 : EM_386))
		return bad(b, error, "is an ELF file for another processor");
	phoff = b->long_mode ? e.e_phoff : e32.e_phoff;
	phnum = b->long_mode ? e.e_phnum : e32.e_phnum;
	phsize = b->long_mode ? e.e_phentsize : e32.e_phentsize;
	b->entry = entry = b->long_mode ? e.e_entry : e32.e_entry;
	if (phnum > PHDRS_MAX ||
		phsize < (b->long_mode ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
		phoff > b->kernel.size)
		return bad(b, error, "has a damaged ELF header");
	for (unsigned i = 0; i < phnum; i++) {
		struct phdr p;

		if (read_phdr(b, b->long_mode, phoff + (uint64_t)i * phsize, &p, error) < 0)
			return -1;
		if (p.type == PT_NOTE && read_notes(b, &p, error) < 0)
			return -1;
		if (p.type == PT_LOAD && add_segment(b, &p, entry, error) < 0)
			return -1;
		if (p.type == PT_LOAD && p.paddr < b->low_top)
			top = MAX(top, p.paddr + p.memsz);
	}
	if (!b->segments)
		return bad(b, error, "has nothing to load");
	if (b->pvh_entry)
		b->long_mode = false;
	return boot_place_initrd(b, top, UINT32_MAX, error);
}

static int load_start_info(struct boot *b, GError **error)
{
	struct start_info info = { .magic = START_MAGIC, .version = 1, .cmdline = BOOT_CMDLINE,
		.rsdp = b->rsdp, .memmap = BOOT_START_INFO + START_MEMMAP,
		.memmap_entries = b->map_count };
	struct start_module module = { .addr = b->initrd_addr, .size = b->initrd.size };
	struct start_memmap map[E820_MAX] = { 0 };

	for (unsigned i = 0; i < b->map_count; i++)
		map[i] = (struct start_memmap){ b->map[i].addr, b->map[i].size, b->map[i].type, 0 };
	if (b->initrd.fd >= 0) {
		info.modules = 1;
		info.module_list = BOOT_START_INFO + START_MODULES;
	}
	if (boot_to_ram(b, BOOT_START_INFO, &info, sizeof(info), error) < 0 ||
		boot_to_ram(b, BOOT_START_INFO + START_MODULES, &module, sizeof(module), error) < 0)
		return -1;
	return boot_to_ram(b, BOOT_START_INFO + START_MEMMAP, map, sizeof(map), error);
}

/* What the file leaves out of a segment is zero, also at a reset. */
static int zero_ram(struct boot *b, uint64_t addr, uint64_t len, GError **error)
{
	static const uint8_t zeros[4096];

	while (len) {
		size_t n = MIN(len, sizeof(zeros));

		if (boot_to_ram(b, addr, zeros, n, error) < 0)
			return -1;
		addr += n;
		len -= n;
	}
	return 0;
}

static int elf_load(struct boot *b, struct x86_cpu *cpu, GError **error)
{
	for (unsigned i = 0; i < b->segments; i++) {
		uint64_t file = b->segment[i].file_size, addr = b->segment[i].addr;

		if (boot_file_to_ram(b, &b->kernel, b->segment[i].offset, file, addr, error) < 0 ||
			zero_ram(b, addr + file, b->segment[i].mem_size - file, error) < 0)
			return -1;
	}
	if (boot_load_initrd(b, error) < 0 || boot_load_cmdline(b, error) < 0 ||
		load_start_info(b, error) < 0 || boot_load_tables(b, error) < 0)
		return -1;
	if (b->long_mode)
		boot_state_long(cpu, b->entry);
	else
		boot_state_protected(cpu, b->pvh_entry ? b->pvh_entry : b->entry);
	cpu->gpr[RBX] = cpu->gpr[RDI] = BOOT_START_INFO;
	cpu->gpr[RSP] = BOOT_DATA;
	return 0;
}

const struct boot_loader boot_elf = {
	.format = "elf",
	.probe = elf_probe,
	.check = elf_check,
	.load = elf_load,
};
