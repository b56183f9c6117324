/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring.c: virtqueues, whatever their layout: areas in host memory, chains, checks.
 *
 * The three areas are translated once and kept until the machine's memory layout changes. Buffers
 * are translated through a one-entry cache, as nearly all lie in one block of RAM. Whatever leaves
 * RAM or the ring's limits breaks the device, not the machine. Spec: VIRTIO 1.2, 2.6 to 2.8.
 */
#include "device/virtio/ring.h"

#include <string.h>

#include "core/machine.h"
#include "core/ram.h"

static const struct ring_layout *layout(const struct virtq *q)
{
	return virtio_has(q->v, VIRTIO_F_RING_PACKED) ? &ring_packed : &ring_split;
}

/* The RAM at addr into v->window. */
static bool find(struct virtio *v, uint64_t addr)
{
	struct flat *w = &v->window;

	if (addr - w->start < w->size)
		return true;
	if (space_find(v->dev.machine->memory, addr, w) && w->host)
		return true;
	w->size = 0;
	return false;
}

static bool area_map(struct virtq *q, uint64_t addr, uint32_t size, unsigned align, bool write,
	struct virtq_area *ret)
{
	struct virtio *v = q->v;
	struct flat *w = &v->window;
	uint64_t off;

	if (addr % align || !find(v, addr) || (write && w->readonly))
		return false;
	off = addr - w->start;
	if (w->size - off < size)
		return false;
	*ret = (struct virtq_area){ w->host + off, w->region->ram,
		w->region->ram_offset + w->region_offset + off };
	return true;
}

/* The areas are in host memory and current; false: broken, now or before. */
static bool ready(struct virtq *q)
{
	struct virtio *v = q->v;
	struct ring_sizes s;

	if (G_UNLIKELY(atomic_load_explicit(&v->layout_changed, memory_order_relaxed))) {
		atomic_store(&v->layout_changed, false);
		v->window.size = 0;
		for (unsigned i = 0; i < v->queue_count; i++)
			v->queue[i].mapped = false;
	}
	if (G_LIKELY(q->mapped))
		return true;
	if (!q->enabled || v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return false;
	s = layout(q)->sizes(q->size);
	q->mapped = area_map(q, q->desc, s.desc, s.desc_align, true, &q->desc_area) &&
		area_map(q, q->driver, s.driver, s.driver_align, false, &q->driver_area) &&
		area_map(q, q->device, s.device, s.device_align, true, &q->device_area);
	if (!q->mapped)
		virtio_broken(v, "queue %u is not in RAM", q->index);
	return q->mapped;
}

void ring_touch(const struct virtq_area *a, uint32_t offset, uint32_t n)
{
	ram_touch(a->ram, a->ram_offset + offset, n);
}

bool ring_add(struct virtq *q, struct virtq_chain *c, uint64_t addr, uint32_t len, bool write)
{
	struct virtio *v = q->v;
	struct flat *w = &v->window;
	uint32_t *sum = write ? &c->in_bytes : &c->out_bytes;

	if (len > UINT32_MAX - *sum) {
		virtio_broken(v, "queue %u: a chain of more than 4 GiB", q->index);
		return false;
	}
	*sum += len;
	while (len) {
		unsigned i = c->out + c->in;
		uint64_t off;
		uint32_t n;

		if (!find(v, addr) || (write && w->readonly)) {
			virtio_broken(v, "queue %u: buffer at 0x%" G_GINT64_MODIFIER "x is not RAM",
				q->index, addr);
			return false;
		}
		if (i >= c->max) {
			virtio_broken(
				v, "queue %u: a chain of more than %u buffers", q->index, c->max);
			return false;
		}
		off = addr - w->start;
		n = (uint32_t)MIN(len, w->size - off);
		c->iov[i] = (struct iovec){ w->host + off, n };
		c->gpa[i] = addr;
		if (write)
			c->in++;
		else
			c->out++;
		addr += n;
		len -= n;
	}
	return true;
}

bool ring_read16(struct virtq *q, uint64_t addr, void *to)
{
	struct virtio *v = q->v;
	uint8_t *p = to;
	uint32_t left = 16;

	while (left) {
		uint64_t off;
		uint32_t n;

		if (!find(v, addr)) {
			virtio_broken(v, "queue %u: indirect table at 0x%" G_GINT64_MODIFIER
				"x is not RAM", q->index, addr);
			return false;
		}
		off = addr - v->window.start;
		n = (uint32_t)MIN(left, v->window.size - off);
		memcpy(p, v->window.host + off, n);
		p += n;
		addr += n;
		left -= n;
	}
	return true;
}

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	int rc;

	if (!ready(q))
		return -1;
	c->out = c->in = 0;
	c->out_bytes = c->in_bytes = 0;
	rc = layout(q)->pop(q, c);
	return q->v->status & VIRTIO_CONFIG_S_NEEDS_RESET ? -1 : rc;
}

void virtq_unpop(struct virtq *q, const struct virtq_chain *last)
{
	layout(q)->unpop(q, last);
}

void virtq_touch(struct virtq *q, uint64_t gpa, uint32_t n)
{
	struct virtio *v = q->v;

	while (n && find(v, gpa)) {
		const struct flat *w = &v->window;
		uint64_t off = gpa - w->start;
		uint32_t part = (uint32_t)MIN(n, w->size - off);

		ram_touch(w->region->ram, w->region->ram_offset + w->region_offset + off, part);
		gpa += part;
		n -= part;
	}
}

void virtq_written(struct virtq *q, const struct virtq_chain *c, uint32_t n)
{
	for (unsigned i = c->out; i < c->out + c->in && n; i++) {
		uint32_t part = (uint32_t)MIN(n, c->iov[i].iov_len);

		virtq_touch(q, c->gpa[i], part);
		n -= part;
	}
}

void virtq_push_many(struct virtq *q, const struct virtq_chain *const *c, const uint32_t *len,
	unsigned n)
{
	if (n && ready(q))
		layout(q)->push(q, c, len, n);
}

void virtq_signal(struct virtq *q)
{
	/* With neither pushed entries nor a doubt there is nothing to tell. */
	if (!q->unsignalled || !ready(q))
		return;
	/* The used entries must be visible before the driver's event field is read: 2.7.7.2. */
	atomic_thread_fence(memory_order_seq_cst);
	if (layout(q)->wants_signal(q) || q->must_signal) {
		q->must_signal = false;
		virtio_pci_notify(q->v, q->vector, 1);
	}
	q->unsignalled = 0;
}

bool virtq_kicks(struct virtq *q, bool on)
{
	if (!ready(q))
		return false;
	layout(q)->kicks(q, on);
	if (!on)
		return false;
	/* A driver that saw kicks off has published its index before we look again: 2.7.10.1. */
	atomic_thread_fence(memory_order_seq_cst);
	return !layout(q)->empty(q);
}

void virtq_chain_init(struct virtq_chain *c, uint16_t max)
{
	*c = (struct virtq_chain){ .max = max, .iov = g_new0(struct iovec, max),
		.gpa = g_new0(uint64_t, max) };
}

void virtq_chain_fini(struct virtq_chain *c)
{
	g_clear_pointer(&c->iov, g_free);
	g_clear_pointer(&c->gpa, g_free);
}

void virtq_chain_skip_out(struct virtq_chain *c, uint32_t n)
{
	unsigned i = 0, rest;

	c->out_bytes -= n;
	for (; i < c->out && n >= c->iov[i].iov_len; i++)
		n -= (uint32_t)c->iov[i].iov_len;
	if (i) {
		rest = (unsigned)(c->out + c->in) - i;
		memmove(c->iov, c->iov + i, rest * sizeof(*c->iov));
		memmove(c->gpa, c->gpa + i, rest * sizeof(*c->gpa));
		c->out -= i;
	}
	if (n) {
		c->iov[0].iov_base = (char *)c->iov[0].iov_base + n;
		c->iov[0].iov_len -= n;
		c->gpa[0] += n;
	}
}

void virtq_chain_drop_in(struct virtq_chain *c, uint32_t n)
{
	c->in_bytes -= n;
	while (c->in && n) {
		struct iovec *last = &c->iov[c->out + c->in - 1];

		if (last->iov_len > n) {
			last->iov_len -= n;
			return;
		}
		n -= (uint32_t)last->iov_len;
		c->in--;
	}
}

size_t iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = MIN(iov[i].iov_len - offset, len - done);
		memcpy((char *)buf + done, (const char *)iov[i].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = MIN(iov[i].iov_len - offset, len - done);
		memcpy((char *)iov[i].iov_base + offset, (const char *)buf + done, part);
		done += part;
		offset = 0;
	}
	return done;
}
