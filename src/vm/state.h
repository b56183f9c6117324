/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.h: the layout of a saved machine, shared by save.c and restore.c. See docs/state-format.md.
 */
#ifndef VM_STATE_H
#define VM_STATE_H

#include <stdint.h>

#include "base/field.h"

struct machine;

#define STATE_MAGIC      "LODGEVM\n"
#define STATE_NOTE_MAGIC "LODGENTE" /* begins what its keeper wrote behind the end */
enum {
	STATE_VERSION = 1,
	STATE_PAGE = 4096,
	STATE_CHUNK = 256 * STATE_PAGE, /* most bytes of RAM in one section */
	STATE_ID_MAX = 128,
	STATE_OBJECT_MAX = 64 << 20, /* most bytes of one device or CPU */
};

enum state_section {
	STATE_MACHINE = 1, /* struct state_machine */
	STATE_DEVICE = 2,  /* id; a string: class name, then the object */
	STATE_CPU = 3,     /* id: index */
	STATE_RAM = 4,     /* id: block; uint64_t offset, then pages */
	STATE_END = 5,
};

/* All numbers are little endian. */
struct state_file_header {
	char magic[8];
	uint32_t version, reserved;
};
/* Before each section's id and payload; a CRC-32 of all three follows them. */
struct state_header {
	uint16_t type, version, id_len, reserved;
	uint64_t payload;
};

/* What two machines must share, and the clock. */
struct state_machine {
	char *lodge; /* version that wrote it, for people */
	uint64_t memory;
	uint32_t cpus;
	char *cpu_model;
	char *devices; /* one line a device: "id class name=value ..." */
	uint64_t clock_ns;
	uint64_t wall_ns; /* host's real time at the save */
};
extern const struct field state_machine_fields[];

/* What is between a vCPU and its engine. */
struct state_vcpu {
	uint32_t events; /* NMI, INIT, SIPI, SMI that nobody took yet */
	uint8_t sipi_vector;
};
extern const struct field state_vcpu_fields[];

/* The make of a machine's devices, as `devices` above; owned by the caller. */
char *state_devices(struct machine *m);

#endif
