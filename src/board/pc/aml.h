/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * aml.h: writes ACPI Machine Language: each call appends one term to a byte array.
 *
 * Terms that contain others are opened and closed: aml_open_*() returns a mark, aml_close() puts
 * the package length in. Paths are written as in ASL: "\\_SB", "PCI0", "_CRS"; short segments are
 * padded.
 */
#ifndef BOARD_PC_AML_H
#define BOARD_PC_AML_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* One-byte terms. ACPI 6.4, 20.3. */
enum aml_op {
	AML_ZERO = 0x00, AML_ONE = 0x01, AML_LOCAL0 = 0x60, AML_LOCAL1 = 0x61, AML_ARG0 = 0x68,
	AML_ARG1 = 0x69, AML_ARG3 = 0x6b, AML_STORE = 0x70, AML_INCREMENT = 0x75, AML_AND = 0x7b,
	AML_OR = 0x7d, AML_NOTIFY = 0x86, AML_CREATE_DWORD_FIELD = 0x8a, AML_LNOT = 0x92,
	AML_LEQUAL = 0x93, AML_LLESS = 0x95, AML_RETURN = 0xa4,
};

void aml_op(GByteArray *b, enum aml_op op);
void aml_path(GByteArray *b, const char *path);
void aml_int(GByteArray *b, uint64_t v);
void aml_string(GByteArray *b, const char *s);
/* Seven characters, e.g. "PNP0A08", as the integer ASL's EISAID() makes. */
void aml_eisaid(GByteArray *b, const char *id);
/* A buffer with the 16 bytes of a UUID in ToUUID()'s order. */
void aml_uuid(GByteArray *b, const char *uuid);
void aml_buffer(GByteArray *b, const uint8_t *p, size_t n);

void aml_name(GByteArray *b, const char *path); /* Name(path, <next term>) */
void aml_name_int(GByteArray *b, const char *path, uint64_t v);

guint aml_open_scope(GByteArray *b, const char *path);
guint aml_open_device(GByteArray *b, const char *path);
guint aml_open_method(GByteArray *b, const char *path, unsigned args);
guint aml_open_package(GByteArray *b, unsigned elements);
guint aml_open_if(GByteArray *b);	/* the predicate is the next term */
guint aml_open_else(GByteArray *b);
guint aml_open_while(GByteArray *b);	/* likewise */
void aml_close(GByteArray *b, guint mark);

void aml_mutex(GByteArray *b, const char *path);
void aml_acquire(GByteArray *b, const char *path); /* waits for ever */
void aml_release(GByteArray *b, const char *path);
/* Ports as an operation region, and one register of it, `bytes` wide and accessed as a whole. */
void aml_io_region(GByteArray *b, const char *path, unsigned port, unsigned len);
void aml_io_field(GByteArray *b, const char *region, unsigned bytes, unsigned offset,
	const char *name);

/* Resource descriptors, ACPI 6.4, 6.4: collect them in an array of their own, then aml_crs(). */
void res_bus(GByteArray *r, unsigned first, unsigned last);
void res_io(GByteArray *r, unsigned base, unsigned len);		      /* a device's ports */
void res_io_window(GByteArray *r, unsigned first, unsigned last);	      /* a bridge's */
void res_mem32_window(GByteArray *r, uint32_t base, uint32_t len);
void res_mem64_window(GByteArray *r, uint64_t base, uint64_t len);
void res_mem32_fixed(GByteArray *r, uint32_t base, uint32_t len);
void res_irq(GByteArray *r, unsigned irq); /* edge, active high */
/* Name(_CRS, ResourceTemplate() { r }); consumes r. */
void aml_crs(GByteArray *b, GByteArray *r);

#endif
