/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_dsdt.c: the namespace of the PC. Spec: ACPI 6.4; PCI Firmware 3.3 (_OSC). */
#include "board/pc/acpi.h"
#include "board/pc/aml.h"

enum { PCI_SLOTS = 32, PCI_PINS = 4 };

/* PCI Firmware 3.3, table 4-5: what the system may control by itself. SHPC is not there. */
enum {
	OSC_HOTPLUG = 1 << 0,
	OSC_PME = 1 << 2,
	OSC_AER = 1 << 3,
	OSC_PCIE_CAP = 1 << 4,
	OSC_GRANTED = OSC_HOTPLUG | OSC_PME | OSC_AER | OSC_PCIE_CAP,
	/* status bits in the first word, ACPI 6.4, 6.2.11 */
	OSC_BAD_UUID = 1 << 2,
	OSC_BAD_REVISION = 1 << 3,
	OSC_MASKED = 1 << 4,
};

static void field(GByteArray *b, unsigned offset, const char *name)
{
	aml_op(b, AML_CREATE_DWORD_FIELD);
	aml_op(b, AML_ARG3);
	aml_int(b, offset);
	aml_path(b, name);
}

static void or_into(GByteArray *b, const char *name, unsigned bits)
{
	aml_op(b, AML_OR);
	aml_path(b, name);
	aml_int(b, bits);
	aml_path(b, name);
}

/* Grants native hotplug, PME, AER and capability control, and says what it withheld. */
static void osc(GByteArray *b)
{
	guint m = aml_open_method(b, "_OSC", 4), branch, inner;

	field(b, 0, "CDW1");
	branch = aml_open_if(b);
	aml_op(b, AML_LEQUAL);
	aml_op(b, AML_ARG0);
	aml_uuid(b, "33db4d5b-1ff7-401c-9657-7441c03dd766");

	field(b, 8, "CDW3");
	aml_op(b, AML_STORE);
	aml_path(b, "CDW3");
	aml_op(b, AML_LOCAL0);
	aml_op(b, AML_AND);
	aml_op(b, AML_LOCAL0);
	aml_int(b, OSC_GRANTED);
	aml_op(b, AML_LOCAL0);
	inner = aml_open_if(b);
	aml_op(b, AML_LNOT);
	aml_op(b, AML_LEQUAL);
	aml_op(b, AML_ARG1);
	aml_op(b, AML_ONE);
	or_into(b, "CDW1", OSC_BAD_REVISION);
	aml_close(b, inner);
	inner = aml_open_if(b);
	aml_op(b, AML_LNOT);
	aml_op(b, AML_LEQUAL);
	aml_path(b, "CDW3");
	aml_op(b, AML_LOCAL0);
	or_into(b, "CDW1", OSC_MASKED);
	aml_close(b, inner);
	aml_op(b, AML_STORE);
	aml_op(b, AML_LOCAL0);
	aml_path(b, "CDW3");
	aml_close(b, branch);

	branch = aml_open_else(b);
	or_into(b, "CDW1", OSC_BAD_UUID);
	aml_close(b, branch);
	aml_op(b, AML_RETURN);
	aml_op(b, AML_ARG3);
	aml_close(b, m);
}

static void prt(GByteArray *b, const struct acpi_spec *s)
{
	guint all;

	aml_name(b, "_PRT");
	all = aml_open_package(b, PCI_SLOTS * PCI_PINS);
	for (unsigned dev = 0; dev < PCI_SLOTS; dev++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			guint one = aml_open_package(b, 4);

			aml_int(b, dev << 16 | 0xffff);
			aml_int(b, pin);
			aml_int(b, 0); /* not a link device: a fixed interrupt */
			aml_int(b, s->pci_gsi(s->opaque, dev, pin));
			aml_close(b, one);
		}
	}
	aml_close(b, all);
}

static void pci_root(GByteArray *b, const struct acpi_spec *s)
{
	guint dev = aml_open_device(b, "PCI0");
	GByteArray *r = g_byte_array_new();

	aml_name(b, "_HID");
	aml_eisaid(b, "PNP0A08");
	aml_name(b, "_CID");
	aml_eisaid(b, "PNP0A03");
	aml_name_int(b, "_SEG", 0);
	aml_name_int(b, "_BBN", 0);
	aml_name_int(b, "_UID", 0);
	res_bus(r, 0, s->ecam_buses - 1);
	res_io(r, 0xcf8, 8);
	res_io_window(r, 0, 0xcf7);
	res_io_window(r, 0xd00, 0xffff);
	res_mem32_window(r, s->mmio32_base, s->mmio32_size);
	if (s->mmio64_size)
		res_mem64_window(r, s->mmio64_base, s->mmio64_size);
	aml_crs(b, r);
	prt(b, s);
	osc(b);
	aml_close(b, dev);
}

/* What no other device claims: ECAM must be found in some motherboard resource. */
static void motherboard(GByteArray *b, const struct acpi_spec *s)
{
	guint dev = aml_open_device(b, "MBRD");
	GByteArray *r = g_byte_array_new();

	aml_name(b, "_HID");
	aml_eisaid(b, "PNP0C02");
	aml_name_int(b, "_UID", 0);
	res_mem32_fixed(r, s->ecam_base, s->ecam_buses << 20);
	aml_crs(b, r);
	aml_close(b, dev);
}

static void isa_device(GByteArray *b, const char *name, const char *id, unsigned uid, unsigned port,
	unsigned len, unsigned irq)
{
	guint dev = aml_open_device(b, name);
	GByteArray *r = g_byte_array_new();

	aml_name(b, "_HID");
	aml_eisaid(b, id);
	aml_name_int(b, "_UID", uid);
	res_io(r, port, len);
	res_irq(r, irq);
	aml_crs(b, r);
	aml_close(b, dev);
}

void acpi_dsdt_body(GByteArray *b, const struct acpi_spec *s)
{
	guint scope = aml_open_scope(b, "_SB"), pkg;

	acpi_dsdt_processors(b, s);
	pci_root(b, s);
	motherboard(b, s);
	isa_device(b, "RTC", "PNP0B00", 0, s->rtc_port, 2, 8);
	for (unsigned i = 0; i < G_N_ELEMENTS(s->uart); i++) {
		char name[5];

		g_snprintf(name, sizeof(name), "COM%u", i + 1);
		if (s->uart[i].port)
			isa_device(b, name, "PNP0501", i + 1, s->uart[i].port, 8, s->uart[i].irq);
	}
	aml_close(b, scope);
	acpi_dsdt_cpu_event(b, s);
	/* 7.4.2: values for PM1a_CNT and PM1b_CNT */
	aml_name(b, "_S5");
	pkg = aml_open_package(b, 4);
	aml_int(b, s->s5_type);
	for (unsigned i = 0; i < 3; i++)
		aml_int(b, 0);
	aml_close(b, pkg);
}
