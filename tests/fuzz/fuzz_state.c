/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_state.c: libFuzzer target: a right saved state of one device (the first byte chooses it) is
 * patched (the second says how often: offset, value), read back, taken up; the rest of the input
 * are accesses to ports and memory-mapped registers.
 */
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "accel/accel.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/region.h"
#include "core/stream.h"
#include "vm/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vm *machine(void)
{
	static char *argv[] = { "--accel", "null", "--memory", "8M", "--serial", "null", "--rng",
		"--balloon", "--net", "none", "--console", "null", "--slots", "1", NULL };
	struct vm_spec s;
	struct vm *vm = NULL;

	vm_spec_init(&s);
	if (vm_spec_parse(&s, (int)g_strv_length(argv), argv, NULL) == 0)
		vm = vm_new(&s, NULL);
	vm_spec_fini(&s);
	return vm;
}

static void load_patched(struct device *d, const uint8_t **data, size_t *size, unsigned patches)
{
	g_autoptr(GByteArray) b = g_byte_array_new();

	state_put(b, d->cls->state, d);
	for (; patches && *size >= 3 && b->len; patches--, *data += 3, *size -= 3)
		b->data[((*data)[0] | (*data)[1] << 8) % b->len] = (*data)[2];
	device_lock(d);
	if (state_get(b->data, b->len, d->cls->state, d->cls->version, d, NULL) == 0 &&
		d->cls->loaded)
		d->cls->loaded(d, NULL);
	device_unlock(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Where registers are: 32-bit PCI window, 64-bit PCI window, ECAM, I/O APIC, local APICs.
	 */
	static const uint64_t base[] = { 0xc0000000, 0x200000000000, 0xe0000000, 0xfec00000,
		0xfee00000 };
	static struct vm *vm; /* building one for each input would be most of the work */
	struct machine *m;

	if (!vm)
		vm = machine();
	m = vm->machine;
	if (size < 2)
		return 0;
	machine_reset(m);
	data += 2;
	size -= 2;
	load_patched(g_ptr_array_index(m->devices, data[-2] % m->devices->len), &data, &size,
		data[-1] & 15);
	for (; size >= 6; data += 6, size -= 6) {
		unsigned bytes = 1u << (data[0] >> 1 & 3),
			 off = data[1] | data[2] << 8 | data[3] << 16;
		bool port = data[0] >> 3 & 1;
		struct space *s = port ? m->ports : m->memory;
		uint64_t at = port ? off & 0xffff : base[(data[0] >> 4) % G_N_ELEMENTS(base)] + off;

		if (data[0] & 1)
			space_write(s, at, data[4] | data[5] << 8, bytes);
		else
			space_read(s, at, bytes);
	}
	while (g_main_context_iteration(NULL, FALSE))
		;
	return 0;
}
