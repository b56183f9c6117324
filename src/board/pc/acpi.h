/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi.h: the PC's ACPI tables, made for one machine. */
#ifndef BOARD_PC_ACPI_H
#define BOARD_PC_ACPI_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct acpi_uart {
	uint16_t port; /* 0: absent */
	uint8_t irq;
};

struct acpi_spec {
	unsigned cpus;      /* there or to come */
	uint16_t cpu_slots; /* I/O port of device/misc/cpu_slots.h; 0: all are there */
	bool (*cpu_present)(const void *opaque, unsigned cpu); /* unused without cpu_slots */
	const void *cpu_opaque;
	uint32_t lapic_base, ioapic_base;
	uint8_t sci; /* interrupt of fixed events; level, active high */
	uint16_t pm1_event, pm1_control, pm_timer, gpe0; /* I/O ports */
	uint8_t s5_type;                                 /* SLP_TYP of soft off */
	uint16_t reset_port;
	uint8_t reset_value;
	bool i8042; /* a keyboard controller that answers */
	uint16_t rtc_port;
	struct acpi_uart uart[4];
	uint64_t ecam_base; /* below 4 GiB */
	unsigned ecam_buses;
	uint32_t mmio32_base, mmio32_size;
	uint64_t mmio64_base, mmio64_size; /* size 0: none */
	/* Interrupt of a root bus device's pin (0: INTA#). */
	unsigned (*pci_gsi)(const void *opaque, unsigned device, unsigned pin);
	const void *opaque;
};

/* All tables, to be placed at guest-physical `base` (16-byte aligned, in 0xe0000..0xfffff without
 * UEFI); the RSDP stands first. Owned by the caller. */
GByteArray *acpi_build(const struct acpi_spec *s, uint32_t base);
/* Only the DSDT's definition block without header (acpi_dsdt.c). */
void acpi_dsdt_body(GByteArray *b, const struct acpi_spec *s);
/* acpi_cpus.c: terms for \\_SB, and for the root. */
void acpi_dsdt_processors(GByteArray *b, const struct acpi_spec *s);
void acpi_dsdt_cpu_event(GByteArray *b, const struct acpi_spec *s);

/* General-purpose event that says that cpu_slots has news, and its (edge) method. */
enum { ACPI_CPU_EVENT = 2 };
#define ACPI_CPU_EVENT_METHOD "_E02"

#endif
