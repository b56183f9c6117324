/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi_cpus.c: the processors in the DSDT, and how they are plugged and unplugged: a
 * general-purpose event scans the registers of device/misc/cpu_slots.h and notifies. Spec:
 * ACPI 6.4, 8.4, 5.6.6.
 */
#include "board/pc/acpi.h"
#include "board/pc/aml.h"
#include "device/misc/cpu_slots.h"

enum { NOTIFY_DEVICE_CHECK = 1, NOTIFY_EJECT_REQUEST = 3, STA_WORKS = 0xf };

static void cpu_path(char path[static 5], unsigned i)
{
	g_snprintf(path, 5, "CP%02X", i);
}

static void store(GByteArray *b, const char *to)
{
	aml_op(b, AML_STORE);
	aml_op(b, AML_ARG0);
	aml_path(b, to);
}

/* CSTM(cpu): _STA's value. */
static void status_method(GByteArray *b)
{
	guint m = aml_open_method(b, "CSTM", 1), branch;

	aml_acquire(b, "CLCK");
	store(b, "CSEL");
	aml_op(b, AML_STORE);
	aml_path(b, "CSTA");
	aml_op(b, AML_LOCAL0);
	aml_release(b, "CLCK");
	branch = aml_open_if(b);
	aml_op(b, AML_AND);
	aml_op(b, AML_LOCAL0);
	aml_int(b, CPU_SLOT_PRESENT);
	aml_op(b, AML_ZERO);
	aml_op(b, AML_RETURN);
	aml_int(b, STA_WORKS);
	aml_close(b, branch);
	aml_op(b, AML_RETURN);
	aml_int(b, 0);
	aml_close(b, m);
}

/* CEJM(cpu): the guest is through with it. */
static void eject_method(GByteArray *b)
{
	guint m = aml_open_method(b, "CEJM", 1);

	aml_acquire(b, "CLCK");
	store(b, "CSEL");
	aml_op(b, AML_STORE);
	aml_int(b, CPU_SLOT_EJECT);
	aml_path(b, "CSTA");
	aml_release(b, "CLCK");
	aml_close(b, m);
}

/* CNTF(cpu, what): a name cannot be computed, so it is looked for. */
static void notify_method(GByteArray *b, unsigned cpus)
{
	guint m = aml_open_method(b, "CNTF", 2);

	for (unsigned i = 1; i < cpus; i++) {
		guint branch = aml_open_if(b);
		char path[5];

		cpu_path(path, i);
		aml_op(b, AML_LEQUAL);
		aml_op(b, AML_ARG0);
		aml_int(b, i);
		aml_op(b, AML_NOTIFY);
		aml_path(b, path);
		aml_op(b, AML_ARG1);
		aml_close(b, branch);
	}
	aml_close(b, m);
}

/* If the bit is set in Local1: clear it in the register, tell about the CPU in Local0. */
static void tell(GByteArray *b, unsigned bit, unsigned what)
{
	guint branch = aml_open_if(b);

	aml_op(b, AML_AND);
	aml_op(b, AML_LOCAL1);
	aml_int(b, bit);
	aml_op(b, AML_ZERO);
	aml_op(b, AML_STORE);
	aml_int(b, bit);
	aml_path(b, "CSTA");
	aml_path(b, "CNTF");
	aml_op(b, AML_LOCAL0);
	aml_int(b, what);
	aml_close(b, branch);
}

/* CSCN(): what the event does. */
static void scan_method(GByteArray *b, unsigned cpus)
{
	guint m = aml_open_method(b, "CSCN", 0), loop;

	aml_acquire(b, "CLCK");
	aml_op(b, AML_STORE);
	aml_int(b, 0);
	aml_op(b, AML_LOCAL0);
	loop = aml_open_while(b);
	aml_op(b, AML_LLESS);
	aml_op(b, AML_LOCAL0);
	aml_int(b, cpus);
	aml_op(b, AML_STORE);
	aml_op(b, AML_LOCAL0);
	aml_path(b, "CSEL");
	aml_op(b, AML_STORE);
	aml_path(b, "CSTA");
	aml_op(b, AML_LOCAL1);
	tell(b, CPU_SLOT_ADDED, NOTIFY_DEVICE_CHECK);
	tell(b, CPU_SLOT_WANTED, NOTIFY_EJECT_REQUEST);
	aml_op(b, AML_INCREMENT);
	aml_op(b, AML_LOCAL0);
	aml_close(b, loop);
	aml_release(b, "CLCK");
	aml_close(b, m);
}

/* _STA, _MAT and, but for the first, _EJ0. */
static void slot_methods(GByteArray *b, unsigned i)
{
	/* 5.2.12.2: processor local APIC, enabled */
	const uint8_t mat[] = { 0, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0 };
	guint m = aml_open_method(b, "_STA", 0);

	aml_op(b, AML_RETURN);
	aml_path(b, "CSTM");
	aml_int(b, i);
	aml_close(b, m);
	aml_name(b, "_MAT");
	aml_buffer(b, mat, sizeof(mat));
	if (!i)
		return;
	m = aml_open_method(b, "_EJ0", 1);
	aml_path(b, "CEJM");
	aml_int(b, i);
	aml_close(b, m);
}

void acpi_dsdt_processors(GByteArray *b, const struct acpi_spec *s)
{
	if (s->cpu_slots) {
		aml_mutex(b, "CLCK");
		aml_io_region(b, "CREG", s->cpu_slots, CPU_SLOTS_PORTS);
		aml_io_field(b, "CREG", 4, CPU_SLOTS_SELECT, "CSEL");
		aml_io_field(b, "CREG", 1, CPU_SLOTS_STATUS, "CSTA");
		status_method(b);
		eject_method(b);
	}
	for (unsigned i = 0; i < s->cpus; i++) {
		char path[5];
		guint dev;

		cpu_path(path, i);
		dev = aml_open_device(b, path);
		aml_name(b, "_HID");
		aml_string(b, "ACPI0007");
		aml_name_int(b, "_UID", i);
		if (s->cpu_slots)
			slot_methods(b, i);
		aml_close(b, dev);
	}
	if (s->cpu_slots) {
		notify_method(b, s->cpus);
		scan_method(b, s->cpus);
	}
}

void acpi_dsdt_cpu_event(GByteArray *b, const struct acpi_spec *s)
{
	guint scope, m;

	if (!s->cpu_slots)
		return;
	scope = aml_open_scope(b, "\\_GPE");
	m = aml_open_method(b, ACPI_CPU_EVENT_METHOD, 0);
	aml_path(b, "\\_SB.CSCN");
	aml_close(b, m);
	aml_close(b, scope);
}
