/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pc.h: the PC board: memory map, on-board devices, direct boot. */
#ifndef BOARD_PC_PC_H
#define BOARD_PC_PC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct chardev;
struct machine;

enum { PC_UARTS = 4, PC_SLOTS_MAX = 16 };

/* All borrowed for the call, back ends for the machine's life. */
struct pc_spec {
	uint64_t memory; /* bytes */
	bool hugepages;
	unsigned cpus, max_cpus; /* at the start; at most: more than cpus makes slots for them */
	const char *kernel, *initrd, *append; /* NULL: none */
	const char *kernel_format;	      /* NULL: by content */
	struct chardev *serial[PC_UARTS];     /* NULL: no such port */
	struct chardev *debug_console;	      /* port 0xe9; NULL: none */
	bool debug_exit;
	unsigned slots; /* hot-pluggable PCI Express slots */
};

/* Gives m its memory, vCPUs, interrupt controllers and on-board devices. PCI devices of the user
 * come afterwards, then machine_reset(). On failure the caller frees m. */
int pc_board_new(struct machine *m, const struct pc_spec *spec, GError **error);

#endif
