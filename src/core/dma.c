/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dma.c: device access to guest RAM. */
#include "core/dma.h"

#include <string.h>

#include <glib.h>

#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"

void *dma_map(struct machine *m, uint64_t addr, size_t *len, bool write)
{
	struct flat f;
	uint64_t left;

	if (!space_find(m->memory, addr, &f) || !f.host || (write && f.readonly))
		return NULL;
	left = f.size - (addr - f.start);
	if (*len > left)
		*len = left;
	return f.host + (addr - f.start);
}

void dma_done(struct machine *m, uint64_t addr, size_t len)
{
	struct flat f;

	while (len) {
		uint64_t n;

		if (!space_find(m->memory, addr, &f) || !f.host)
			return;
		n = MIN(len, f.size - (addr - f.start));
		ram_touch(f.region->ram, f.region->ram_offset + f.region_offset + (addr - f.start),
			n);
		addr += n;
		len -= n;
	}
}

/* Is all of [addr, addr+len) RAM of the wanted kind? */
static bool all_ram(struct machine *m, uint64_t addr, size_t len, bool write)
{
	while (len) {
		size_t n = len;

		if (!dma_map(m, addr, &n, write))
			return false;
		addr += n;
		len -= n;
		if (len && !addr) /* wrapped past the last address */
			return false;
	}
	return true;
}

bool dma_read(struct machine *m, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!all_ram(m, addr, len, false))
		return false;
	while (len) {
		size_t n = len;
		const void *p = dma_map(m, addr, &n, false);

		if (!p)
			return false;
		memcpy(to, p, n);
		to += n;
		addr += n;
		len -= n;
	}
	return true;
}

bool dma_write(struct machine *m, uint64_t addr, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	if (!all_ram(m, addr, len, true))
		return false;
	while (len) {
		size_t n = len;
		void *p = dma_map(m, addr, &n, true);

		if (!p)
			return false;
		memcpy(p, from, n);
		dma_done(m, addr, n);
		from += n;
		addr += n;
		len -= n;
	}
	return true;
}
