/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_linux.c: bzImage, entered by the 64-bit boot protocol, or the 32-bit one where the kernel
 * has no other. Spec: Linux Documentation/arch/x86/boot.rst and zero-page.rst, protocol 2.15.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "board/pc/boot.h"
#include "cpu/x86/state.h"

enum {
	SECTOR = 512, SETUP_MAX = 64 * SECTOR, ZERO_PAGE = 4096,
	MIN_PROTOCOL = 0x0206, /* command line size; 2.6.22, 2007 */
	MIN_LOAD = 0x100000,
};
/* Setup header */
enum {
	H_SETUP_SECTS = 0x1f1, H_SYSSIZE = 0x1f4, H_BOOT_FLAG = 0x1fe, H_JUMP = 0x200,
	H_MAGIC = 0x202,
	H_VERSION = 0x206, H_LOADER = 0x210, H_LOADFLAGS = 0x211, H_CODE32 = 0x214,
	H_RAMDISK = 0x218,
	H_RAMDISK_SIZE = 0x21c, H_HEAP_END = 0x224, H_CMDLINE = 0x228, H_INITRD_MAX = 0x22c,
	H_ALIGN = 0x230, H_RELOCATABLE = 0x234, H_XLOADFLAGS = 0x236, H_CMDLINE_SIZE = 0x238,
	H_SETUP_DATA = 0x250, H_PREF_ADDRESS = 0x258, H_INIT_SIZE = 0x260,
};
/* Zero page */
enum { Z_ACPI_RSDP = 0x070, Z_E820_COUNT = 0x1e8, Z_E820 = 0x2d0, E820_BYTES = 20 };
enum { LOADED_HIGH = 1 << 0, KERNEL_64 = 1 << 0, LOADER_OTHER = 0xff };
enum { SETUP_RNG_SEED = 9, SEED_BYTES = 32, ENTRY_64 = 0x200 };

static uint64_t get(const uint8_t *p, unsigned off, unsigned n)
{
	uint64_t v = 0;

	memcpy(&v, p + off, n);
	return GUINT64_FROM_LE(v);
}

static void put(uint8_t *p, unsigned off, uint64_t v, unsigned n)
{
	v = GUINT64_TO_LE(v);
	memcpy(p + off, &v, n);
}

static bool linux_probe(const uint8_t *head, size_t n)
{
	return n >= H_INIT_SIZE + 4 && get(head, H_BOOT_FLAG, 2) == 0xaa55 &&
		memcmp(head + H_MAGIC, "HdrS", 4) == 0;
}

static int bad(struct boot *b, GError **error, const char *why)
{
	return fail(error, LODGE_ERROR_FILE, "kernel %s %s", b->kernel.path, why);
}

/* Where the kernel goes and how much memory it needs there until it manages its own. */
static int linux_place(struct boot *b, const uint8_t *h, GError **error)
{
	unsigned version = get(h, H_VERSION, 2);
	uint64_t need = b->load_size;

	b->load_addr = MIN_LOAD;
	if (version >= 0x020a) {
		need = MAX(need, get(h, H_INIT_SIZE, 4));
		b->load_addr = get(h, H_PREF_ADDRESS, 8);
		if (!boot_range_ok(b, b->load_addr, need) && h[H_RELOCATABLE]) {
			uint64_t align = MAX(get(h, H_ALIGN, 4), 4096);

			b->load_addr = (MIN_LOAD + align - 1) / align * align;
		}
	}
	if (b->load_addr < MIN_LOAD || !boot_range_ok(b, b->load_addr, need))
		return fail(error, LODGE_ERROR_FILE,
			"kernel %s needs %" PRIu64 " MiB at 0x%" PRIx64 ", which the guest has not "
			"(raise --memory)",
			b->kernel.path, (need + 0xfffff) >> 20, b->load_addr);
	return boot_place_initrd(b, b->load_addr + need, get(h, H_INITRD_MAX, 4) + 1, error);
}

static int linux_check(struct boot *b, GError **error)
{
	uint8_t h[ZERO_PAGE];
	unsigned version, setup;

	if (b->kernel.size < sizeof(h))
		return bad(b, error, "is truncated");
	if (boot_read(&b->kernel, 0, h, sizeof(h), error) < 0)
		return -1;
	if (!linux_probe(h, sizeof(h)))
		return bad(b, error, "is no bzImage");
	version = get(h, H_VERSION, 2);
	if (version < MIN_PROTOCOL)
		return bad(b, error, "is too old (boot protocol before 2.06)");
	if (!(h[H_LOADFLAGS] & LOADED_HIGH))
		return bad(b, error, "is a zImage, which is not supported");
	setup = ((h[H_SETUP_SECTS] ? h[H_SETUP_SECTS] : 4) + 1) * SECTOR;
	b->load_offset = setup;
	b->load_size = get(h, H_SYSSIZE, 4) * 16;
	if (setup >= b->kernel.size || !b->load_size || b->load_size > b->kernel.size - setup + 15)
		return bad(b, error, "is truncated");
	b->load_size = MIN(b->load_size, b->kernel.size - setup);
	if (strlen(b->append) > get(h, H_CMDLINE_SIZE, 4))
		return fail(error, LODGE_ERROR_USAGE,
			"the kernel takes a command line of %u bytes at most, it is %zu",
			(unsigned)get(h, H_CMDLINE_SIZE, 4), strlen(b->append));
	b->long_mode = version >= 0x020c && get(h, H_XLOADFLAGS, 2) & KERNEL_64;
	return linux_place(b, h, error);
}

static int load_seed(struct boot *b, uint8_t *zero, GError **error)
{
	uint8_t data[16 + SEED_BYTES] = { 0 };

	if (get(zero, H_VERSION, 2) < 0x0209 || getrandom(data + 16, SEED_BYTES, 0) != SEED_BYTES)
		return 0; /* the guest does without */
	put(data, 8, SETUP_RNG_SEED, 4);
	put(data, 12, SEED_BYTES, 4);
	put(zero, H_SETUP_DATA, BOOT_SETUP_DATA, 8);
	return boot_to_ram(b, BOOT_SETUP_DATA, data, sizeof(data), error);
}

static int load_zero_page(struct boot *b, GError **error)
{
	uint8_t head[ZERO_PAGE], zero[ZERO_PAGE] = { 0 };
	unsigned end;

	if (boot_read(&b->kernel, 0, head, sizeof(head), error) < 0)
		return -1;
	end = H_MAGIC + head[H_JUMP + 1]; /* the jump over the header says where it ends */
	memcpy(zero + H_SETUP_SECTS, head + H_SETUP_SECTS, end - H_SETUP_SECTS);
	zero[H_LOADER] = LOADER_OTHER;
	put(zero, H_CODE32, b->load_addr, 4);
	put(zero, H_CMDLINE, BOOT_CMDLINE, 4);
	if (b->initrd.fd >= 0) {
		put(zero, H_RAMDISK, b->initrd_addr, 4);
		put(zero, H_RAMDISK_SIZE, b->initrd.size, 4);
	}
	put(zero, Z_ACPI_RSDP, b->rsdp, 8);
	zero[Z_E820_COUNT] = b->map_count;
	for (unsigned i = 0; i < b->map_count; i++) {
		put(zero, Z_E820 + i * E820_BYTES, b->map[i].addr, 8);
		put(zero, Z_E820 + i * E820_BYTES + 8, b->map[i].size, 8);
		put(zero, Z_E820 + i * E820_BYTES + 16, b->map[i].type, 4);
	}
	if (load_seed(b, zero, error) < 0)
		return -1;
	return boot_to_ram(b, BOOT_ZERO_PAGE, zero, sizeof(zero), error);
}

static int linux_load(struct boot *b, struct x86_cpu *cpu, GError **error)
{
	if (boot_file_to_ram(b, &b->kernel, b->load_offset, b->load_size, b->load_addr, error) <
			0 ||
		boot_load_initrd(b, error) < 0 || boot_load_cmdline(b, error) < 0 ||
		load_zero_page(b, error) < 0 || boot_load_tables(b, error) < 0)
		return -1;
	if (b->long_mode)
		boot_state_long(cpu, b->load_addr + ENTRY_64);
	else
		boot_state_protected(cpu, b->load_addr);
	cpu->gpr[RSI] = BOOT_ZERO_PAGE;
	return 0;
}

const struct boot_loader boot_linux = {
	.format = "bzimage",
	.probe = linux_probe,
	.check = linux_check,
	.load = linux_load,
};
