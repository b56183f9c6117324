/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inspect.h: what there is to see and to steer in a machine, as plain data: for QMP and whoever
 * else must not know the devices. Main loop thread.
 */
#ifndef VM_INSPECT_H
#define VM_INSPECT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

/* All strings are borrowed from the machine. */
struct vm_disk_stats { /* as struct blk_stats: reads, writes, flushes, unmaps */
	uint64_t ops[4], bytes[4], failed[4], ns[4];
	int64_t last_ns;
};
struct vm_disk {
	const char *id, *path, *format;
	const char *device_id;    /* NULL: no device uses it */
	uint64_t size, allocated; /* bytes: as the guest sees it, on the host */
	bool readonly, direct;
	struct vm_disk_stats stats;
};
/* The disks in order; false at the end. */
bool vm_disk(struct vm *vm, unsigned index, struct vm_disk *out);

struct vm_char {
	const char *id;
	const char *where; /* "pty /dev/pts/3"; NULL: nothing to say */
};
bool vm_char(struct vm *vm, unsigned index, struct vm_char *out);

/* Counted since the back end was opened; "in" is to the guest. */
struct vm_net {
	const char *id, *where;
	const char *device_id; /* NULL: no card uses it */
	uint64_t in_frames, in_bytes, out_frames, out_bytes;
};
bool vm_net(struct vm *vm, unsigned index, struct vm_net *out);

struct vm_pci_region {
	int bar; /* 0..5, 6: ROM */
	bool io, prefetch, mem64;
	uint64_t size;
	int64_t address; /* -1: not mapped */
};
struct vm_pci_window {
	uint64_t base, limit;
};
struct vm_pci {
	int parent; /* index of the bridge above, -1: root bus */
	const char *id;
	unsigned bus, slot, function;
	uint16_t vendor, device, subsys_vendor, subsys, class_code;
	const char *class_name;
	unsigned pin, irq; /* pin 0: none */
	unsigned region_count;
	struct vm_pci_region regions[7];
	bool bridge;
	unsigned secondary, subordinate;
	struct vm_pci_window io, memory, prefetch;
};
/* struct vm_pci, bridges before what is behind them; owned by the caller. */
GArray *vm_pci_list(struct vm *vm);

/* Host thread that runs a vCPU; 0 before it was started. */
int vm_vcpu_thread(struct vm *vm, unsigned index);

bool vm_has_balloon(struct vm *vm);
void vm_balloon_set(struct vm *vm, uint64_t bytes);
uint64_t vm_balloon_actual(struct vm *vm);
/* Called with the new size, any thread; NULL ends it. */
void vm_balloon_listen(struct vm *vm, void (*changed)(void *opaque, uint64_t actual), void *opaque);

/* Presses the power button; false if the machine has none. */
bool vm_powerdown(struct vm *vm);

#endif
