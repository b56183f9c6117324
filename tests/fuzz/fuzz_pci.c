/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_pci.c: a guest that writes anything anywhere in configuration space (ECAM and ports), in
 * BARs and at the addresses it made up for them, and plugs and unplugs meanwhile.
 */
#include "input.h"

#include "accel/accel.h"
#include "base/log.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "device/bus/pci_host.h"
#include "device/bus/pcie_root_port.h"
#include "device/virtio/virtio_balloon.h"
#include "device/virtio/virtio_rng.h"

enum { RAM = 1 << 20, ECAM = 0xb0000000u };

static struct machine *m;
static struct pci_host *host;
static struct pcie_root_port *port;
static struct device *inner;

static struct device *add(const struct device_class *c, const char *id, struct pci_bus *bus)
{
	struct device *d = device_new(m, c, id);

	if (bus)
		pci_device_place(pci_device_of(d), bus, 0);
	if (device_add(d, NULL) < 0)
		g_error("%s cannot be added", id);
	return d;
}

static void setup(void)
{
	static struct region low;
	struct ram *ram;

	m = machine_new(accel_find("null", NULL, NULL), NULL);
	ram = ram_new("ram", RAM, false, NULL);
	g_ptr_array_add(m->rams, ram);
	low = (struct region){ .name = "ram", .ram = ram, .size = RAM };
	region_place(m->memory, &low, 0, 0);
	add(&pci_host_class, "pci", NULL);
	host = pci_host_find(m);
	add(&virtio_rng_class, "rng", NULL);
	port = pcie_root_port_of(add(&pcie_root_port_class, "port", NULL));
	inner = add(&pcie_root_port_class, "empty", NULL);
	add(&virtio_balloon_class, "balloon", pcie_root_port_bus(port));
}

static void step(struct input *in)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	uint8_t op = (uint8_t)in_get(in, 1);
	unsigned size = sizes[op >> 6];
	struct device *d;

	switch (op & 7) {
	case 0:
	case 1: { /* a function that exists, most of its registers in the first 256 bytes */
		uint64_t bdf = in_get(in, 1), off = in_get(in, 1) | (bdf & 0x80 ? 0x300 : 0);

		space_write(m->memory, ECAM + ((bdf & 3) << 15 | (bdf & 4) << 18 | off),
			in_get(in, size), size);
		break;
	}
	case 2:
		space_write(m->memory, ECAM + (in_get(in, 4) & 0xfffffff), in_get(in, size), size);
		break;
	case 3:
		space_write(m->ports, 0xcf8 + (in_get(in, 1) & 7), in_get(in, size), size);
		space_read(m->ports, 0xcf8 + (op >> 3 & 7), size);
		break;
	case 4: /* a place in some mapped BAR */
		d = g_ptr_array_index(m->devices, in_get(in, 1) % m->devices->len);
		if (pci_bar_address(pci_device_of(d), 0) != UINT64_MAX) {
			uint64_t at = pci_bar_address(pci_device_of(d), 0) +
				(in_get(in, 2) & 0x7fff);

			space_write(m->memory, at, in_get(in, size), size);
			space_read(m->memory, at, size);
		}
		break;
	case 5:
		space_read(m->memory, ECAM + (in_get(in, 4) & 0xfffffff), size);
		space_write(m->memory, in_get(in, 8) & 0xfffffffffffff, in_get(in, size), size);
		break;
	case 6:
		if (op & 8)
			pcie_root_port_unplug_request(pcie_root_port_of(inner), NULL);
		else
			pcie_root_port_plug(pcie_root_port_of(inner),
				device_new(m, &virtio_rng_class, "hot"), NULL);
		break;
	case 7:
		g_main_context_iteration(NULL, FALSE);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!m)
		setup();
	machine_reset(m);
	pci_assign_resources(host);
	machine_start(m);
	while (in_more(&in))
		step(&in);
	while (g_main_context_iteration(NULL, FALSE))
		;
	machine_pause(m);
	if (pcie_root_port_child(pcie_root_port_of(inner))) {
		struct device *d = &pcie_root_port_child(pcie_root_port_of(inner))->dev;

		device_remove(d);
	}
	return 0;
}
