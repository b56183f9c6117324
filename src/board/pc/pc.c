/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc.c: the PC board.
 *
 * Memory map:
 *   00000000  RAM, up to 3 GiB; 000e0000 ACPI tables, 000f0000 room for firmware
 *   c0000000  PCI window, 512 MiB
 *   e0000000  ECAM, 256 MiB
 *   fec00000  I/O APIC        fee00000  local APICs
 *   ff000000  room for firmware, 16 MiB
 *  100000000  the rest of RAM, then a 64-bit PCI window
 */
#include "board/pc/pc.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/log.h"
#include "board/pc/acpi.h"
#include "board/pc/boot.h"
#include "core/device.h"
#include "core/dma.h"
#include "core/engine.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "core/vcpu.h"
#include "cpu/x86/state.h"
#include "device/bus/pci_host.h"
#include "device/bus/pcie_root_port.h"
#include "device/char/ns16550.h"
#include "device/irq/ioapic.h"
#include "device/irq/pc_intc.h"
#include "device/misc/acpi_pm.h"
#include "device/misc/cpu_slots.h"
#include "device/misc/debug_exit.h"
#include "device/misc/i8042.h"
#include "device/misc/port92.h"
#include "device/timer/i8254.h"
#include "device/timer/rtc.h"

#define GIB (1ull << 30)

enum {
	EBDA = 0x9fc00, VGA_HOLE = 0xa0000, ACPI_BASE = 0xe0000, MEGABYTE = 0x100000,
	IO_WINDOW = 0x1000, IO_WINDOW_SIZE = 0xf000, RESET_PORT = 0xcf9, RESET_FULL = 0x6,
	RTC_PORT = 0x70, IOAPIC_PAGE = 0x1000, LAPIC_PAGE = 0x1000,
	MIN_MEMORY = 2 << 20,
};
#define LOW_RAM_MAX 0xc0000000ull
#define MMIO32_BASE 0xc0000000ull
#define MMIO32_SIZE 0x20000000ull
#define ECAM_BASE   0xe0000000ull
#define ECAM_BUSES  256
#define IOAPIC_BASE 0xfec00000ull
#define LAPIC_BASE  0xfee00000ull
#define HIGH_RAM    0x100000000ull

static const struct acpi_uart uarts[PC_UARTS] = {
	{ 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
};

struct pc {
	struct machine *machine; /* borrowed */
	struct region low, high;
	struct pci_host *host;	 /* borrowed: a device of the machine */
	struct device *pm, *cpu_slots; /* likewise; no slots: NULL */
	bool uart[PC_UARTS];
	uint64_t mmio64_base, mmio64_size;
	struct boot boot;
};

/* A device with properties from a list "name", "value", ..., NULL. */
static struct device *board_device(struct machine *m, const struct device_class *cls,
	const char *id, GError **error, ...) G_GNUC_NULL_TERMINATED;

static struct device *board_device(
	struct machine *m, const struct device_class *cls, const char *id, GError **error, ...)
{
	struct device *d = device_new(m, cls, id);
	const char *name;
	va_list ap;

	va_start(ap, error);
	while ((name = va_arg(ap, const char *))) {
		if (device_set(d, name, va_arg(ap, const char *), error) < 0) {
			va_end(ap);
			device_free(d);
			return NULL;
		}
	}
	va_end(ap);
	return device_add(d, error) < 0 ? NULL : d;
}

static int add_memory(struct pc *pc, const struct pc_spec *spec, GError **error)
{
	struct machine *m = pc->machine;
	uint64_t low = MIN(spec->memory, LOW_RAM_MAX), limit = 1ull << m->phys_bits;
	struct ram *ram;

	if (spec->memory < MIN_MEMORY)
		return fail(error, LODGE_ERROR_USAGE, "a PC needs 2 MiB of memory at least");
	if (spec->memory > limit / 2)
		return fail(error, LODGE_ERROR_USAGE,
			"%" PRIu64 " MiB of memory: this CPU addresses %" PRIu64 " MiB at most",
			spec->memory >> 20, limit >> 21);
	ram = ram_new("memory", spec->memory, spec->hugepages, error);
	if (!ram)
		return -1;
	g_ptr_array_add(m->rams, ram);
	pc->low = (struct region){ .name = "low-memory", .ram = ram, .size = low };
	region_place(m->memory, &pc->low, 0, 0);
	if (spec->memory > low) {
		pc->high = (struct region){ .name = "high-memory", .ram = ram, .ram_offset = low,
			.size = spec->memory - low };
		region_place(m->memory, &pc->high, HIGH_RAM, 0);
	}
	/* The upper half of the address space, so that it stays where it is when memory is added.
	 */
	pc->mmio64_base = limit / 2;
	pc->mmio64_size = limit / 4;
	return 0;
}

static void map_add(struct boot *b, uint64_t addr, uint64_t size, uint32_t type)
{
	g_assert(b->map_count < E820_MAX);
	b->map[b->map_count++] = (struct e820){ addr, size, type };
}

static void make_map(struct pc *pc)
{
	struct boot *b = &pc->boot;

	b->machine = pc->machine;
	b->rsdp = ACPI_BASE;
	b->low_top = pc->low.size;
	map_add(b, 0, EBDA, E820_RAM);
	map_add(b, EBDA, VGA_HOLE - EBDA, E820_RESERVED);
	map_add(b, ACPI_BASE, MEGABYTE - ACPI_BASE, E820_RESERVED);
	map_add(b, MEGABYTE, pc->low.size - MEGABYTE, E820_RAM);
	map_add(b, ECAM_BASE, (uint64_t)ECAM_BUSES << 20, E820_RESERVED);
	map_add(b, IOAPIC_BASE, IOAPIC_PAGE, E820_RESERVED);
	map_add(b, LAPIC_BASE, LAPIC_PAGE, E820_RESERVED);
	if (pc->high.size)
		map_add(b, HIGH_RAM, pc->high.size, E820_RAM);
}

static unsigned pc_pci_gsi(const void *opaque, unsigned device, unsigned pin)
{
	return pci_host_gsi(opaque, device, pin);
}

static bool pc_cpu_present(const void *opaque, unsigned cpu)
{
	return cpu_slots_present((struct device *)opaque, cpu);
}

static void pc_cpu_event(void *opaque)
{
	acpi_pm_raise_gpe(opaque, ACPI_CPU_EVENT);
}

static int load_acpi(struct pc *pc, GError **error)
{
	struct acpi_spec s = {
		.cpus = pc->machine->vcpu_count,
		.cpu_slots = pc->cpu_slots ? CPU_SLOTS_DEFAULT_BASE : 0,
		.cpu_present = pc_cpu_present,
		.cpu_opaque = pc->cpu_slots,
		.lapic_base = LAPIC_BASE,
		.ioapic_base = IOAPIC_BASE,
		.sci = ACPI_PM_SCI,
		.pm1_event = ACPI_PM_DEFAULT_BASE + ACPI_PM_EVENT,
		.pm1_control = ACPI_PM_DEFAULT_BASE + ACPI_PM_CONTROL,
		.pm_timer = ACPI_PM_DEFAULT_BASE + ACPI_PM_TIMER,
		.gpe0 = ACPI_PM_DEFAULT_BASE + ACPI_PM_GPE0,
		.s5_type = ACPI_PM_S5,
		.reset_port = RESET_PORT,
		.reset_value = RESET_FULL,
		.i8042 = true,
		.rtc_port = RTC_PORT,
		.ecam_base = ECAM_BASE,
		.ecam_buses = ECAM_BUSES,
		.mmio32_base = MMIO32_BASE,
		.mmio32_size = MMIO32_SIZE,
		.mmio64_base = pc->mmio64_base,
		.mmio64_size = pc->mmio64_size,
		.pci_gsi = pc_pci_gsi,
		.opaque = pc->host,
	};
	GByteArray *tables;
	int rc;

	for (unsigned i = 0; i < PC_UARTS; i++) {
		if (pc->uart[i])
			s.uart[i] = uarts[i];
	}
	tables = acpi_build(&s, ACPI_BASE);
	rc = boot_to_ram(&pc->boot, ACPI_BASE, tables->data, tables->len, error);
	g_byte_array_unref(tables);
	return rc;
}

/*
 * What firmware leaves behind on every CPU: memory is write-back, the 1 GiB below 4 GiB and the VGA
 * hole are not cached. SDM vol. 3, 12.11.
 */
static void set_mtrrs(struct x86_cpu *c, unsigned phys_bits)
{
	enum { UC = 0, WB = 6, FIXED_ENABLE = 1 << 10, ENABLE = 1 << 11, VALID = 1 << 11 };

	c->mtrr_def = WB | FIXED_ENABLE | ENABLE;
	for (unsigned i = 0; i < G_N_ELEMENTS(c->mtrr_fixed); i++)
		c->mtrr_fixed[i] = i == 2 ? 0 /* a0000-bffff */ : 0x0606060606060606;
	c->mtrr_base[0] = LOW_RAM_MAX | UC;
	c->mtrr_mask[0] = (((1ull << phys_bits) - 1) & ~(GIB - 1)) | VALID;
}

static int reset_vcpus(struct pc *pc, GError **error)
{
	struct machine *m = pc->machine;

	for (unsigned i = 0; i < m->vcpu_count; i++) {
		struct vcpu *c = m->vcpus[i];

		set_mtrrs(c->arch, m->phys_bits);
		if (i == 0 && boot_load(&pc->boot, c->arch, error) < 0)
			return -1;
		if (m->accel->vcpu_push(c, error) < 0)
			return -1;
	}
	return 0;
}

/* Stands in for firmware: resources, tables, the kernel. */
static void pc_reset(struct machine *m)
{
	struct pc *pc = m->board;
	g_autoptr(GError) error = NULL;

	pci_assign_resources(pc->host);
	if (load_acpi(pc, &error) < 0 || reset_vcpus(pc, &error) < 0) {
		log_warn("%s", error->message);
		m->exit_status = error->code;
		machine_request(m, MACHINE_REQ_CRASH, "host-error");
	}
}

static void pc_powerdown(struct machine *m)
{
	acpi_pm_press_power(((struct pc *)m->board)->pm);
}

static void pc_free(struct machine *m)
{
	struct pc *pc = m->board;

	region_unplace(&pc->low);
	region_unplace(&pc->high);
	boot_close(&pc->boot);
	g_free(pc);
	m->board = NULL;
}

static int add_interrupts(struct machine *m, GError **error)
{
	const struct device_class *cls;

	if (!m->intc.ops) {
		if (pc_intc_new(m, false, error) < 0)
			return -1;
		return board_device(m, &i8254_class, "pit", error, NULL) ? 0 : -1;
	}
	/* The engine has controllers and a timer of its own; one device carries their state. */
	cls = m->accel->irqchip_class ? m->accel->irqchip_class() : NULL;
	return !cls || board_device(m, cls, "irqchip", error, NULL) ? 0 : -1;
}

static int add_uart(struct pc *pc, unsigned n, struct chardev *chr, GError **error)
{
	g_autofree char *id = g_strdup_printf("com%u", n + 1);
	g_autofree char *port = g_strdup_printf("%u", uarts[n].port);
	g_autofree char *irq = g_strdup_printf("%u", uarts[n].irq);
	struct device *d;

	d = device_new(pc->machine, &ns16550_class, id);
	if (device_set(d, "iobase", port, error) < 0 || device_set(d, "irq", irq, error) < 0) {
		device_free(d);
		return -1;
	}
	ns16550_set_char(d, chr);
	pc->uart[n] = true;
	return device_add(d, error);
}

static int add_pci(struct pc *pc, unsigned slots, GError **error)
{
	struct machine *m = pc->machine;
	struct device *d = device_new(m, &pci_host_class, "pci");

	pc->host = (struct pci_host *)d;
	pc->host->ecam_base = ECAM_BASE;
	pc->host->ecam_buses = ECAM_BUSES;
	pc->host->mmio32_base = MMIO32_BASE;
	pc->host->mmio32_size = MMIO32_SIZE;
	pc->host->mmio64_base = pc->mmio64_base;
	pc->host->mmio64_size = pc->mmio64_size;
	pc->host->io_base = IO_WINDOW;
	pc->host->io_size = IO_WINDOW_SIZE;
	if (device_add(d, error) < 0)
		return -1;
	if (slots > PC_SLOTS_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%u slots: possible are 0 to %d", slots,
			PC_SLOTS_MAX);
	for (unsigned i = 0; i < slots; i++) {
		g_autofree char *id = g_strdup_printf("slot%u", i + 1);
		g_autofree char *number = g_strdup_printf("%u", i + 1);

		if (!board_device(m, &pcie_root_port_class, id, error, "slot_number", number, NULL))
			return -1;
	}
	return 0;
}

static int add_cpu_slots(struct pc *pc, unsigned cpus, GError **error)
{
	g_autofree char *count = g_strdup_printf("%u", cpus);

	pc->cpu_slots = board_device(
		pc->machine, &cpu_slots_class, "cpu-slots", error, "cpus", count, NULL);
	if (!pc->cpu_slots)
		return -1;
	cpu_slots_set_notify(pc->cpu_slots, pc_cpu_event, pc->pm);
	return 0;
}

static int add_devices(struct pc *pc, const struct pc_spec *spec, GError **error)
{
	struct machine *m = pc->machine;

	pc->pm = board_device(m, &acpi_pm_class, "acpi", error, NULL);
	if (!pc->pm ||
		!board_device(m, &rtc_class, "rtc", error, NULL) ||
		!board_device(m, &i8042_class, "i8042", error, NULL) ||
		!board_device(m, &port92_class, "port92", error, NULL))
		return -1;
	if (spec->max_cpus > spec->cpus && add_cpu_slots(pc, spec->cpus, error) < 0)
		return -1;
	for (unsigned i = 0; i < PC_UARTS; i++) {
		if (spec->serial[i] && add_uart(pc, i, spec->serial[i], error) < 0)
			return -1;
	}
	if (spec->debug_exit && !board_device(m, &debug_exit_class, "debug-exit", error, NULL))
		return -1;
	if (spec->debug_console) {
		struct device *d = device_new(m, &debug_console_class, "debug-console");

		debug_console_set_char(d, spec->debug_console);
		if (device_add(d, error) < 0)
			return -1;
	}
	return add_pci(pc, spec->slots, error);
}

int pc_board_new(struct machine *m, const struct pc_spec *spec, GError **error)
{
	struct pc *pc = g_new0(struct pc, 1);

	pc->machine = m;
	pc->boot.kernel.fd = pc->boot.initrd.fd = -1;
	m->board = pc;
	m->board_free = pc_free;
	m->board_reset = pc_reset;
	if (add_memory(pc, spec, error) < 0)
		return -1;
	make_map(pc);
	if (boot_open(&pc->boot, spec->kernel, spec->initrd, spec->append, spec->kernel_format,
		    error) < 0)
		return -1;
	if (machine_add_vcpus(m, MAX(spec->cpus, spec->max_cpus), error) < 0 || add_interrupts(m, error) < 0 ||
		add_devices(pc, spec, error) < 0)
		return -1;
	m->powerdown = pc_powerdown;
	return 0;
}
