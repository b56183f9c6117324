/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_kernel.c: libFuzzer target: the input is a kernel file. It is refused with one line, or loads
 * wholly into guest memory, twice (the second time as after a reset).
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "accel/accel.h"
#include "board/pc/boot.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "cpu/x86/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 64 << 20 };

static struct machine *machine(void)
{
	static struct region low;
	struct machine *m = machine_new(accel_find("null", NULL, NULL), NULL);
	struct ram *ram = ram_new("memory", MEMORY, false, NULL);

	g_ptr_array_add(m->rams, ram);
	low = (struct region){ .name = "low", .ram = ram, .size = MEMORY };
	region_place(m->memory, &low, 0, 0);
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine *m; /* its memory may keep what was loaded before */
	static int fd = -1;
	g_autoptr(GError) error = NULL;
	struct boot b = { .map = { { 0, 0x9fc00, E820_RAM }, { 1 << 20, MEMORY - (1 << 20), E820_RAM } },
		.map_count = 2, .low_top = MEMORY };
	struct x86_cpu cpu = { 0 };
	g_autofree char *path = NULL;

	if (!m) {
		m = machine();
		fd = memfd_create("kernel", MFD_CLOEXEC);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		return 0;
	path = g_strdup_printf("/proc/self/fd/%d", fd);
	b.machine = m;
	if (boot_open(&b, path, size & 1 ? path : NULL, "console=ttyS0", NULL, &error) == 0) {
		for (unsigned i = 0; i < 2; i++) {
			if (boot_load(&b, &cpu, &error) < 0)
				__builtin_trap(); /* what was checked must load */
		}
	} else if (!error || strchr(error->message, '\n')) {
		__builtin_trap();
	}
	boot_close(&b);
	return 0;
}
