/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_raw.c: a flat image in real mode at 0000:7c00, as a BIOS starts a boot sector but of any
 * size. */
#include <inttypes.h>

#include "base/error.h"
#include "board/pc/boot.h"
#include "cpu/x86/state.h"

enum { LOAD_ADDR = 0x7c00 };

static int raw_check(struct boot *b, GError **error)
{
	if (b->initrd.fd >= 0)
		return fail(error, LODGE_ERROR_USAGE, "a raw image takes no initrd");
	if (!boot_range_ok(b, LOAD_ADDR, b->kernel.size))
		return fail(error, LODGE_ERROR_FILE,
			"raw image %s (%" PRIu64 " KiB) is larger than %d KiB", b->kernel.path,
			b->kernel.size >> 10, (BOOT_DATA - LOAD_ADDR) >> 10);
	return 0;
}

static int raw_load(struct boot *b, struct x86_cpu *cpu, GError **error)
{
	if (boot_file_to_ram(b, &b->kernel, 0, b->kernel.size, LOAD_ADDR, error) < 0)
		return -1;
	boot_state_real(cpu, LOAD_ADDR);
	return 0;
}

const struct boot_loader boot_raw = {
	.format = "raw",
	.check = raw_check,
	.load = raw_load,
};
