/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * region.h: what answers at an address (region) and where it stands (placement in a space).
 *
 * A machine has two spaces: memory and (on x86) I/O ports. Look-ups read a flat, sorted view that
 * is replaced whole on every change, so they take no lock. Listeners (the accelerators) hear of
 * RAM that comes and goes.
 */
#ifndef CORE_REGION_H
#define CORE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct space;
struct ram;

/* Accesses to one device's registers. Core checks alignment and size and holds d's lock. */
struct region_ops {
	uint64_t (*read)(struct device *d, void *opaque, uint64_t off, unsigned size);
	void (*write)(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size);
	/*
	 * Bytes an access may have (1, 2, 4, 8). Every call is naturally aligned and min <= size <=
	 * max: core splits larger and unaligned accesses, reads the whole of a narrower one, and
	 * zero-extends narrower writes. 0 means 1 and 8.
	 */
	uint8_t min, max;
};

struct region {
	const char *name;
	struct device *device; /* borrowed; NULL for RAM, and for ops that lock for themselves
				  (doorbells): core then takes no lock */
	const struct region_ops *ops; /* NULL for RAM */
	void *opaque;		      /* handed to ops */
	struct ram *ram;	      /* borrowed; NULL for device registers */
	uint64_t ram_offset;	      /* RAM: first byte of the block that stands here */
	bool readonly;		      /* RAM: guest writes are dropped (ROM) */
	uint64_t size;		      /* bytes */
	/* private to region.c */
	struct space *space;
	uint64_t addr;
	int priority;
};

/* Places a region; where placements overlap the higher priority is seen. The caller keeps the
 * region alive until region_unplace. Any thread; not from inside a look-up. */
void region_place(struct space *s, struct region *r, uint64_t addr, int priority);
void region_unplace(struct region *r);
void region_move(struct region *r, uint64_t addr);

/* One piece of the flat view. host is set for RAM only. */
struct flat {
	uint64_t start, size;
	struct region *region;
	uint64_t region_offset; /* of `start` in region */
	uint8_t *host;		/* RAM: host address of `start`; NULL: device registers */
	bool readonly;
};

struct space_listener {
	void *opaque;
	/* The flat view gained or lost this RAM (dirty/readonly as in flat). Called with the space
	 * locked, before a new view is published for `ram_del`, after for `ram_add`. */
	void (*ram_add)(void *opaque, const struct flat *f);
	void (*ram_del)(void *opaque, const struct flat *f);
	/* A fast eventfd for writes of `size` bytes at addr (size 0: any size); NULL: not possible.
	 */
	int (*ioevent_add)(void *opaque, bool port, uint64_t addr, unsigned size, int fd);
	void (*ioevent_del)(void *opaque, bool port, uint64_t addr, unsigned size, int fd);
};

struct space *space_new(const char *name, unsigned addr_bits);
void space_free(struct space *s);
void space_listen(struct space *s, const struct space_listener *l); /* replays what is there */
void space_unlisten(struct space *s, const struct space_listener *l);

/* What stands at addr: true and *out, or false for a hole. Never blocks. The flat is a copy; the
 * RAM behind it lives as long as the machine is not changed under a quiesced guest. */
bool space_find(struct space *s, uint64_t addr, struct flat *out);

/* The vCPU's way in. Holes read as all ones and swallow writes. size 1, 2, 4 or 8; little endian;
 * may cross regions. RAM accesses here mark dirty pages. Any thread. */
uint64_t space_read(struct space *s, uint64_t addr, unsigned size);
void space_write(struct space *s, uint64_t addr, uint64_t val, unsigned size);

/* A doorbell: an eventfd signalled by a guest write at addr instead of calling the region. Returns
 * 0 if the accelerator took it; -1: the region's write will be called instead (no error). */
int space_ioevent_add(struct space *s, uint64_t addr, unsigned size, int fd);
void space_ioevent_del(struct space *s, uint64_t addr, unsigned size, int fd);

#endif
