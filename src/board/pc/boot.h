/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot.h: starting a kernel without firmware: what a loader is given, and the loaders.
 *
 * boot_open() reads and checks the files once, so that a bad kernel is one clear error before the
 * machine starts; boot_load() puts everything into guest memory, at the start and at every reset.
 */
#ifndef BOARD_PC_BOOT_H
#define BOARD_PC_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;
struct x86_cpu;

/* Types of the e820 and PVH memory maps. ACPI 6.4, 15.1. */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
struct e820 {
	uint64_t addr, size;
	uint32_t type;
};
enum { E820_MAX = 16 };

struct boot_file {
	char *path; /* owned; NULL: none */
	int fd;	    /* owned; -1: none */
	uint64_t size;
};

/* Where the loader's own data stands; the images must keep clear of it. */
enum boot_layout {
	BOOT_DATA = 0x90000,
	BOOT_ZERO_PAGE = 0x90000,
	BOOT_GDT = 0x91000,
	BOOT_START_INFO = 0x92000,
	BOOT_PAGE_TABLES = 0x94000, /* six pages */
	BOOT_SETUP_DATA = 0x9a000,
	BOOT_CMDLINE = 0x9b000,
	BOOT_DATA_END = 0x9f000,
	BOOT_CMDLINE_MAX = BOOT_DATA_END - BOOT_CMDLINE,
};

struct boot_loader;
enum { ELF_SEGMENTS = 16 };
struct boot {
	struct machine *machine; /* borrowed */
	struct boot_file kernel, initrd;
	char *append;		/* command line; owned; never NULL */
	uint64_t rsdp;
	struct e820 map[E820_MAX];
	unsigned map_count;
	uint64_t low_top;	/* end of RAM below the PCI hole */
	const struct boot_loader *loader; /* NULL: nothing to boot */
	/* what check() found */
	uint64_t entry, load_addr, load_offset, load_size;
	uint64_t initrd_addr;
	bool long_mode;
	struct {
		uint64_t addr, offset, file_size, mem_size;
	} segment[ELF_SEGMENTS];
	unsigned segments;
	uint64_t pvh_entry;	/* 0: none */
};

struct boot_loader {
	const char *format;
	/* Does a file that starts with these bytes belong to us? NULL: never by content. */
	bool (*probe)(const uint8_t *head, size_t n);
	int (*check)(struct boot *b, GError **error);
	int (*load)(struct boot *b, struct x86_cpu *cpu, GError **error);
};
extern const struct boot_loader boot_linux, boot_elf, boot_raw;

/* format NULL: by content. Opens, detects, checks; b->machine, rsdp, map and low_top are set. */
int boot_open(struct boot *b, const char *kernel, const char *initrd, const char *append,
	const char *format, GError **error);
void boot_close(struct boot *b);
/* Loads and sets the boot CPU's registers; cpu is in its reset state. */
int boot_load(struct boot *b, struct x86_cpu *cpu, GError **error);

/* Helpers of the loaders. */
int boot_read(const struct boot_file *f, uint64_t off, void *buf, size_t n, GError **error);
int boot_file_to_ram(struct boot *b, const struct boot_file *f, uint64_t off, uint64_t len,
	uint64_t addr, GError **error);
int boot_to_ram(struct boot *b, uint64_t addr, const void *p, size_t n, GError **error);
/* The whole range is RAM of the map, below 1 MiB outside the loader's own data. */
bool boot_range_ok(const struct boot *b, uint64_t addr, uint64_t size);
/* Highest page-aligned place for the initrd in [from, limit); sets b->initrd_addr. */
int boot_place_initrd(struct boot *b, uint64_t from, uint64_t limit, GError **error);
int boot_load_initrd(struct boot *b, GError **error);
int boot_load_cmdline(struct boot *b, GError **error);

/* boot_state.c: registers. */
void boot_state_long(struct x86_cpu *cpu, uint64_t entry);	/* paging on, identity map */
void boot_state_protected(struct x86_cpu *cpu, uint32_t entry); /* flat, paging off */
void boot_state_real(struct x86_cpu *cpu, uint16_t ip);		/* all segments 0 */
/* The descriptors and page tables these states refer to. */
int boot_load_tables(struct boot *b, GError **error);

#endif
