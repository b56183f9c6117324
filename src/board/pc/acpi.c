/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi.c: RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT of the PC. Spec: ACPI 6.4, chapter 5. */
#include "board/pc/acpi.h"

#include <string.h>

enum {
	HEADER_SIZE = 36,
	HEADER_LENGTH = 4,
	HEADER_CHECKSUM = 9,
	RSDP_SIZE = 36,
	FADT_SIZE = 276,
	FACS_SIZE = 64,
	TABLE_ALIGN = 64,
};

static void put_le(GByteArray *b, uint64_t v, unsigned bytes)
{
	for (; bytes; bytes--, v >>= 8) {
		uint8_t byte = (uint8_t)v;

		g_byte_array_append(b, &byte, 1);
	}
}

static void put_text(GByteArray *b, const char *s, unsigned bytes)
{
	char text[16] = { 0 };

	memcpy(text, s, strnlen(s, bytes));
	g_byte_array_append(b, (const uint8_t *)text, bytes);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

static void align(GByteArray *b)
{
	while (b->len % TABLE_ALIGN)
		put_le(b, 0, 1);
}

/* 5.2.6: the header all tables but FACS begin with. Returns the table's offset. */
static guint table_open(GByteArray *b, const char *signature, unsigned revision)
{
	guint at;

	align(b);
	at = b->len;
	put_text(b, signature, 4);
	put_le(b, 0, 4); /* length: table_close */
	put_le(b, revision, 1);
	put_le(b, 0, 1); /* checksum: table_close */
	put_text(b, "LODGE ", 6);
	put_text(b, "LODGEPC ", 8);
	put_le(b, 1, 4);
	put_text(b, "LODG", 4);
	put_le(b, 1, 4);
	return at;
}

static void table_close(GByteArray *b, guint at)
{
	uint32_t len = GUINT32_TO_LE(b->len - at);

	memcpy(b->data + at + HEADER_LENGTH, &len, sizeof(len));
	b->data[at + HEADER_CHECKSUM] = -sum(b->data + at, b->len - at);
}

/* 5.2.3.2: generic address structure */
enum { GAS_IO = 1 };
static void gas_io(GByteArray *b, unsigned port, unsigned bytes)
{
	put_le(b, GAS_IO, 1);
	put_le(b, 8 * bytes, 1);
	put_le(b, 0, 1);
	put_le(b, bytes == 4 ? 3 : bytes, 1); /* access size: 1 byte, 2 word, 3 dword */
	put_le(b, port, 8);
}

/* 5.2.9, table 5.10: fixed feature flags; 5.2.9.3: boot architecture flags */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_RTC_NOT_FIXED = 1 << 6,
	FADT_TMR_32 = 1 << 8,
	FADT_RESET_REG = 1 << 10,
	BOOT_LEGACY = 1 << 0,
	BOOT_8042 = 1 << 1,
	BOOT_NO_VGA = 1 << 2,
	BOOT_NO_ASPM = 1 << 4,
};

static void fadt(GByteArray *b, const struct acpi_spec *s, uint32_t facs, uint32_t dsdt)
{
	guint at = table_open(b, "FACP", 6);

	put_le(b, facs, 4);
	put_le(b, dsdt, 4);
	put_le(b, 0, 1);
	put_le(b, 0, 1); /* preferred profile: unspecified */
	put_le(b, s->sci, 2);
	put_le(b, 0, 4); /* SMI command port: none, always in ACPI mode */
	put_le(b, 0, 4); /* ACPI enable, disable, S4BIOS, P-state values */
	put_le(b, s->pm1_event, 4);
	put_le(b, 0, 4);
	put_le(b, s->pm1_control, 4);
	put_le(b, 0, 4);
	put_le(b, 0, 4); /* PM2 control */
	put_le(b, s->pm_timer, 4);
	put_le(b, s->gpe0, 4);
	put_le(b, 0, 4); /* GPE1 */
	put_le(b, 4, 1); /* lengths: PM1 event, control, PM2, timer, GPE0, GPE1, GPE1 base */
	put_le(b, 2, 1);
	put_le(b, 0, 1);
	put_le(b, 4, 1);
	put_le(b, 4, 1);
	put_le(b, 0, 2);
	put_le(b, 0, 1);      /* C-state control */
	put_le(b, 0xffff, 2); /* C2 latency: none */
	put_le(b, 0xffff, 2); /* C3 latency: none */
	put_le(b, 0, 4);      /* cache flush size, stride */
	put_le(b, 0, 2);      /* duty cycle */
	put_le(b, 0, 2);      /* RTC alarm: day, month */
	put_le(b, 0x32, 1);   /* RTC century register */
	put_le(b, BOOT_LEGACY | (s->i8042 ? BOOT_8042 : 0) | BOOT_NO_VGA | BOOT_NO_ASPM, 2);
	put_le(b, 0, 1);
	put_le(b,
		FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_RTC_NOT_FIXED |
			FADT_TMR_32 | FADT_RESET_REG,
		4);
	gas_io(b, s->reset_port, 1);
	put_le(b, s->reset_value, 1);
	put_le(b, 0, 2); /* ARM boot flags */
	put_le(b, 4, 1); /* minor version: 6.4 */
	put_le(b, 0, 8); /* X_FIRMWARE_CTRL: the 32-bit one is used */
	put_le(b, dsdt, 8);
	gas_io(b, s->pm1_event, 4);
	put_le(b, 0, 12);
	gas_io(b, s->pm1_control, 2);
	put_le(b, 0, 12);
	put_le(b, 0, 12); /* PM2 control */
	gas_io(b, s->pm_timer, 4);
	gas_io(b, s->gpe0, 4);
	put_le(b, 0, 12); /* GPE1 */
	put_le(b, 0, 12); /* sleep control */
	put_le(b, 0, 12); /* sleep status */
	put_text(b, "LODGE", 8);
	g_assert(b->len - at == FADT_SIZE);
	table_close(b, at);
}

/* 5.2.10 */
static guint facs(GByteArray *b)
{
	guint at;

	align(b);
	at = b->len;
	put_text(b, "FACS", 4);
	put_le(b, FACS_SIZE, 4);
	put_le(b, 0, 24);
	put_le(b, 2, 1); /* version */
	while (b->len - at < FACS_SIZE)
		put_le(b, 0, 1);
	return at;
}

/* 5.2.12: interrupt controllers */
static void madt(GByteArray *b, const struct acpi_spec *s)
{
	enum {
		PCAT_COMPAT = 1,
		ENABLED = 1,
		ONLINE_CAPABLE = 2,
		ISA = 0,
		LEVEL_HIGH = 0xd,
		LINT1 = 1
	};
	enum { ALL_CPUS = 0xff };
	guint at = table_open(b, "APIC", 5);

	put_le(b, s->lapic_base, 4);
	put_le(b, PCAT_COMPAT, 4);
	for (unsigned i = 0; i < s->cpus; i++) {
		bool there = !s->cpu_slots || s->cpu_present(s->cpu_opaque, i);
		unsigned flags = there ? ENABLED : ONLINE_CAPABLE;

		if (i < 0xff) {
			put_le(b, 0, 1); /* local APIC */
			put_le(b, 8, 1);
			put_le(b, i, 1); /* processor UID */
			put_le(b, i, 1); /* APIC id */
			put_le(b, flags, 4);
		} else {
			put_le(b, 9, 1); /* local x2APIC */
			put_le(b, 16, 1);
			put_le(b, 0, 2);
			put_le(b, i, 4);
			put_le(b, flags, 4);
			put_le(b, i, 4);
		}
	}
	put_le(b, 1, 1); /* I/O APIC */
	put_le(b, 12, 1);
	put_le(b, 0, 2); /* id, reserved */
	put_le(b, s->ioapic_base, 4);
	put_le(b, 0, 4); /* first GSI */
	put_le(b, 2, 1); /* source override: the 8254 is on pin 2 */
	put_le(b, 10, 1);
	put_le(b, ISA, 1);
	put_le(b, 0, 1);
	put_le(b, 2, 4);
	put_le(b, 0, 2); /* as the bus has it: edge, active high */
	put_le(b, 2, 1); /* source override: the SCI is level-triggered */
	put_le(b, 10, 1);
	put_le(b, ISA, 1);
	put_le(b, s->sci, 1);
	put_le(b, s->sci, 4);
	put_le(b, LEVEL_HIGH, 2);
	put_le(b, 4, 1); /* NMI on LINT1 of all processors */
	put_le(b, 6, 1);
	put_le(b, ALL_CPUS, 1);
	put_le(b, 0, 2);
	put_le(b, LINT1, 1);
	table_close(b, at);
}

/* PCI Firmware 3.3, 4.1.2 */
static void mcfg(GByteArray *b, const struct acpi_spec *s)
{
	guint at = table_open(b, "MCFG", 1);

	put_le(b, 0, 8);
	put_le(b, s->ecam_base, 8);
	put_le(b, 0, 2); /* segment */
	put_le(b, 0, 1); /* buses, first and last */
	put_le(b, s->ecam_buses - 1, 1);
	put_le(b, 0, 4);
	table_close(b, at);
}

/* 5.2.5.3; the first 20 bytes have a checksum of their own. */
static void rsdp(uint8_t *p, uint32_t xsdt)
{
	uint32_t len = GUINT32_TO_LE(RSDP_SIZE);
	uint64_t addr = GUINT64_TO_LE((uint64_t)xsdt);

	memset(p, 0, RSDP_SIZE);
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "LODGE ", 6);
	p[15] = 2; /* revision */
	memcpy(p + 20, &len, sizeof(len));
	memcpy(p + 24, &addr, sizeof(addr));
	p[8] = -sum(p, 20);
	p[32] = -sum(p, RSDP_SIZE);
}

GByteArray *acpi_build(const struct acpi_spec *s, uint32_t base)
{
	GByteArray *b = g_byte_array_new();
	uint32_t tables[3];
	guint at, facs_at;

	g_byte_array_set_size(b, RSDP_SIZE); /* filled last */
	facs_at = facs(b);
	at = table_open(b, "DSDT", 2);
	acpi_dsdt_body(b, s);
	table_close(b, at);
	align(b);
	tables[0] = base + b->len;
	fadt(b, s, base + facs_at, base + at);
	align(b);
	tables[1] = base + b->len;
	madt(b, s);
	align(b);
	tables[2] = base + b->len;
	mcfg(b, s);
	at = table_open(b, "XSDT", 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++)
		put_le(b, tables[i], 8);
	table_close(b, at);
	rsdp(b->data, base + at);
	return b;
}
