/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_driver.h: the driver's side of virtio over PCI for tests: finds the device through ECAM,
 * programs it through its BAR, keeps split or packed rings in guest memory. Written from the
 * specification's driver chapters (VIRTIO 1.2: 2.7.13, 2.8.21, 3.1.1, 4.1.4), not from the devices.
 */
#ifndef TESTS_UNIT_VIRTIO_DRIVER_H
#define TESTS_UNIT_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "accel/accel.h"
#include "core/device.h"
#include "core/machine.h"
#include "core/ram.h"
#include "core/region.h"
#include "device/bus/pci_host.h"

enum {
	T_ECAM = 0xb0000000,
	T_RAM = 32 << 20,
	T_RINGS = 0x100000, /* 64 KiB a queue */
	T_TABLES = 0x600000, /* indirect tables, 4 KiB a chain id */
	T_MSI = 0xfee00000,
	T_QUEUES = 40,
};

struct t_machine {
	struct machine *m;
	struct ram *ram;
	struct pci_host *host;
	unsigned msi[256]; /* messages seen, by data */
	int gsi[24];
};

struct t_seg {
	uint64_t addr;
	uint32_t len;
	bool write;
};

struct t_queue {
	uint16_t size, notify;
	uint64_t desc, avail, used;
	uint16_t next;	     /* split: free-running index; packed: slot */
	uint16_t last_used;
	bool wrap, used_wrap;
	uint16_t slots[1024]; /* by id: ring slots of the chain */
	uint16_t free_desc;   /* split: next descriptor to use, round robin */
};

struct t_driver {
	struct t_machine *t;
	struct device *d;
	unsigned bdf;
	uint64_t common, isr, config, notify;
	uint32_t notify_step;
	bool packed;
	struct t_queue q[T_QUEUES];
};

static inline void t_gsi(void *opaque, unsigned gsi, int level)
{
	((struct t_machine *)opaque)->gsi[gsi] = level;
}

static inline void t_msi(void *opaque, uint64_t addr, uint32_t data)
{
	assert_int_equal(addr, T_MSI);
	((struct t_machine *)opaque)->msi[data & 255]++;
}

static inline struct t_machine *t_machine_new(void)
{
	static const struct intc_ops ops = { .name = "test", .gsi = t_gsi, .msi = t_msi };
	struct t_machine *t = g_new0(struct t_machine, 1);
	static struct region low;
	struct device *host;
	GError *error = NULL;

	t->m = machine_new(accel_find("null", NULL, NULL), NULL);
	assert_int_equal(machine_add_vcpus(t->m, 1, NULL), 0);
	t->ram = ram_new("ram", T_RAM, false, NULL);
	g_ptr_array_add(t->m->rams, t->ram);
	low = (struct region){ .name = "ram", .ram = t->ram, .size = T_RAM };
	region_place(t->m->memory, &low, 0, 0);
	t->m->intc = (struct intc){ &ops, t };
	host = device_new(t->m, &pci_host_class, "pci");
	assert_int_equal(device_add(host, &error), 0);
	t->host = pci_host_find(t->m);
	return t;
}

static inline void t_machine_free(struct t_machine *t)
{
	machine_free(t->m);
	g_free(t);
}

static inline uint32_t t_cfg_read(struct t_machine *t, unsigned bdf, unsigned off, unsigned size)
{
	return (uint32_t)space_read(t->m->memory, T_ECAM + ((uint64_t)bdf << 12) + off, size);
}

static inline void t_cfg_write(struct t_machine *t, unsigned bdf, unsigned off, uint32_t v,
	unsigned size)
{
	space_write(t->m->memory, T_ECAM + ((uint64_t)bdf << 12) + off, v, size);
}

static inline unsigned t_find_cap(struct t_machine *t, unsigned bdf, uint8_t id, unsigned after)
{
	unsigned at = after ? t_cfg_read(t, bdf, after + 1, 1) : t_cfg_read(t, bdf, 0x34, 1);

	for (unsigned n = 0; at && n < 48; n++, at = t_cfg_read(t, bdf, at + 1, 1))
		if (t_cfg_read(t, bdf, at, 1) == id)
			return at;
	return 0;
}

static inline uint64_t t_mmio(struct t_driver *v, uint64_t addr, unsigned size)
{
	return space_read(v->t->m->memory, addr, size);
}

static inline void t_mmio_w(struct t_driver *v, uint64_t addr, uint64_t val, unsigned size)
{
	space_write(v->t->m->memory, addr, val, size);
}

static inline void *t_at(struct t_driver *v, uint64_t gpa)
{
	return v->t->ram->host + gpa;
}

/* After the machine is reset and resources are assigned: finds the structures. */
static inline void t_attach(struct t_driver *v, struct t_machine *t, struct device *d)
{
	struct pci_device *p = pci_device_of(d);
	unsigned cap = 0;

	*v = (struct t_driver){ .t = t, .d = d, .bdf = pci_bus_number(p->bus) << 8 |
		(unsigned)p->devfn };
	t_cfg_write(t, v->bdf, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	while ((cap = t_find_cap(t, v->bdf, PCI_CAP_ID_VNDR, cap))) {
		unsigned type = t_cfg_read(t, v->bdf, cap + 3, 1);
		unsigned bar = t_cfg_read(t, v->bdf, cap + 4, 1);
		uint64_t base, off = t_cfg_read(t, v->bdf, cap + 8, 4);

		if (type == VIRTIO_PCI_CAP_PCI_CFG)
			continue;
		base = t_cfg_read(t, v->bdf, 0x10 + 4 * bar, 4) & ~15u;
		base |= (uint64_t)t_cfg_read(t, v->bdf, 0x14 + 4 * bar, 4) << 32;
		assert_true(base != 0);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG)
			v->common = base + off;
		if (type == VIRTIO_PCI_CAP_ISR_CFG)
			v->isr = base + off;
		if (type == VIRTIO_PCI_CAP_DEVICE_CFG)
			v->config = base + off;
		if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
			v->notify = base + off;
			v->notify_step = t_cfg_read(t, v->bdf, cap + 16, 4);
		}
	}
	assert_true(v->common && v->isr && v->notify);
}

static inline uint8_t t_status(struct t_driver *v)
{
	return (uint8_t)t_mmio(v, v->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static inline uint64_t t_offered(struct t_driver *v)
{
	uint64_t f;

	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	f = t_mmio(v, v->common + VIRTIO_PCI_COMMON_DF, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	return f | t_mmio(v, v->common + VIRTIO_PCI_COMMON_DF, 4) << 32;
}

static inline void t_reset(struct t_driver *v)
{
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	for (unsigned n = 0; t_status(v) && n < 10000; n++) {
		g_main_context_iteration(NULL, FALSE);
		g_usleep(100);
	}
	assert_int_equal(t_status(v), 0);
}

static inline void t_queue_setup(struct t_driver *v, unsigned i, uint16_t size)
{
	struct t_queue *q = &v->q[i];

	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
	assert_true(t_mmio(v, v->common + VIRTIO_PCI_COMMON_Q_SIZE, 2) >= size);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	assert_int_equal(t_mmio(v, v->common + VIRTIO_PCI_COMMON_Q_SIZE, 2), size);
	*q = (struct t_queue){ .size = size, .wrap = true, .used_wrap = true };
	q->desc = T_RINGS + 0x10000ull * i;
	q->avail = q->desc + 0x8000;
	q->used = q->desc + 0xa000;
	memset(t_at(v, q->desc), 0, 0x10000);
	q->notify = (uint16_t)t_mmio(v, v->common + VIRTIO_PCI_COMMON_Q_NOFF, 2);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_MSIX, i + 1, 2);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_DESCLO, q->desc, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_DESCHI, 0, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_AVAILLO, q->avail, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_AVAILHI, 0, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_USEDLO, q->used, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_USEDHI, 0, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

/* MSI-X: vector n sends data n. */
static inline void t_msix_on(struct t_driver *v)
{
	unsigned cap = t_find_cap(v->t, v->bdf, PCI_CAP_ID_MSIX, 0);
	unsigned n = (t_cfg_read(v->t, v->bdf, cap + 2, 2) & 0x7ff) + 1;
	uint32_t table = t_cfg_read(v->t, v->bdf, cap + 4, 4);
	uint64_t base = t_cfg_read(v->t, v->bdf, 0x10 + 4 * (table & 7), 4) & ~15u;

	base |= (uint64_t)t_cfg_read(v->t, v->bdf, 0x14 + 4 * (table & 7), 4) << 32;
	base += table & ~7u;
	for (unsigned i = 0; i < n; i++) {
		t_mmio_w(v, base + 16 * i, T_MSI, 4);
		t_mmio_w(v, base + 16 * i + 4, 0, 4);
		t_mmio_w(v, base + 16 * i + 8, i, 4);
		t_mmio_w(v, base + 16 * i + 12, 0, 4);
	}
	t_cfg_write(v->t, v->bdf, cap + 2, 0x8000, 2);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_MSIX, 0, 2);
}

/* Up to DRIVER_OK with the features given beside VERSION_1; queues of `size`. */
static inline void t_start(struct t_driver *v, uint64_t features, unsigned queues, uint16_t size)
{
	features |= 1ull << VIRTIO_F_VERSION_1;
	v->packed = features >> VIRTIO_F_RING_PACKED & 1;
	t_reset(v);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_STATUS, 1, 1);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_STATUS, 3, 1);
	assert_int_equal(t_offered(v) & features, features);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_GF, (uint32_t)features, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_STATUS, 11, 1);
	assert_int_equal(t_status(v), 11);
	t_msix_on(v);
	for (unsigned i = 0; i < queues; i++)
		t_queue_setup(v, i, size);
	t_mmio_w(v, v->common + VIRTIO_PCI_COMMON_STATUS, 15, 1);
	assert_int_equal(t_status(v), 15);
}

static inline uint16_t t_add_split(struct t_driver *v, struct t_queue *q, const struct t_seg *s,
	unsigned n, uint64_t table)
{
	struct vring_desc *d = t_at(v, q->desc), *t = table ? t_at(v, table) : NULL;
	uint16_t head = q->free_desc, *avail = t_at(v, q->avail);

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = table ? (uint16_t)i : (uint16_t)((head + i) % q->size);
		uint16_t next = table ? (uint16_t)(i + 1) : (uint16_t)((head + i + 1) % q->size);

		(table ? t : d)[at] = (struct vring_desc){ s[i].addr, s[i].len,
			(s[i].write ? VRING_DESC_F_WRITE : 0) |
			(i + 1 < n ? VRING_DESC_F_NEXT : 0), next };
	}
	if (table)
		d[head] = (struct vring_desc){ table, 16 * n, VRING_DESC_F_INDIRECT, 0 };
	q->free_desc = (uint16_t)((head + (table ? 1 : n)) % q->size);
	avail[2 + q->next % q->size] = head;
	__atomic_store_n(&avail[1], ++q->next, __ATOMIC_SEQ_CST);
	return head;
}

static inline uint16_t t_add_packed(struct t_driver *v, struct t_queue *q, const struct t_seg *s,
	unsigned n, uint64_t table)
{
	struct vring_packed_desc *d = t_at(v, q->desc), *t = table ? t_at(v, table) : NULL;
	uint16_t first = q->next, id = q->next, first_flags = 0;
	unsigned slots = table ? 1 : n;

	for (unsigned i = 0; table && i < n; i++)
		t[i] = (struct vring_packed_desc){ s[i].addr, s[i].len, 0,
			s[i].write ? VRING_DESC_F_WRITE : 0 };
	for (unsigned i = 0; i < slots; i++) {
		uint16_t flags = q->wrap ? 1 << VRING_PACKED_DESC_F_AVAIL :
			1 << VRING_PACKED_DESC_F_USED;
		struct vring_packed_desc e = { table ? table : s[i].addr,
			table ? 16 * n : s[i].len, id, 0 };

		if (table)
			flags |= VRING_DESC_F_INDIRECT;
		else
			flags |= (s[i].write ? VRING_DESC_F_WRITE : 0) |
				(i + 1 < n ? VRING_DESC_F_NEXT : 0);
		e.flags = i ? flags : d[q->next].flags;
		if (!i)
			first_flags = flags;
		d[q->next] = e;
		if (++q->next == q->size) {
			q->next = 0;
			q->wrap = !q->wrap;
		}
	}
	q->slots[id] = (uint16_t)slots;
	__atomic_store_n(&d[first].flags, first_flags, __ATOMIC_SEQ_CST);
	return id;
}

/* Makes a chain available; table: guest address for an indirect one, or 0. Returns its id. */
static inline uint16_t t_add(struct t_driver *v, unsigned i, const struct t_seg *s, unsigned n,
	uint64_t table)
{
	return v->packed ? t_add_packed(v, &v->q[i], s, n, table) :
		t_add_split(v, &v->q[i], s, n, table);
}

static inline void t_kick(struct t_driver *v, unsigned i)
{
	t_mmio_w(v, v->notify + v->q[i].notify * v->notify_step, i, 2);
}

/* Takes a used chain if there is one. */
static inline bool t_used(struct t_driver *v, unsigned i, uint16_t *ret_id, uint32_t *ret_len)
{
	struct t_queue *q = &v->q[i];

	if (v->packed) {
		struct vring_packed_desc *d = t_at(v, q->desc);
		uint16_t f = __atomic_load_n(&d[q->last_used].flags, __ATOMIC_SEQ_CST);
		bool a = f >> VRING_PACKED_DESC_F_AVAIL & 1, u = f >> VRING_PACKED_DESC_F_USED & 1;

		if (a != u || u != q->used_wrap)
			return false;
		*ret_id = d[q->last_used].id;
		*ret_len = d[q->last_used].len;
		q->last_used = (uint16_t)(q->last_used + q->slots[*ret_id]);
		if (q->last_used >= q->size) {
			q->last_used = (uint16_t)(q->last_used - q->size);
			q->used_wrap = !q->used_wrap;
		}
		return true;
	} else {
		uint16_t *used = t_at(v, q->used);
		struct vring_used_elem *e = t_at(v, q->used + 4);

		if (__atomic_load_n(&used[1], __ATOMIC_SEQ_CST) == q->last_used)
			return false;
		e += q->last_used++ % q->size;
		*ret_id = (uint16_t)e->id;
		*ret_len = e->len;
		return true;
	}
}

/* Runs the main loop until a chain is used; fails the test after two seconds. */
static inline uint32_t t_wait(struct t_driver *v, unsigned i, uint16_t *ret_id)
{
	gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
	uint16_t id;
	uint32_t len;

	while (!t_used(v, i, &id, &len)) {
		if (g_get_monotonic_time() > end)
			fail_msg("queue %u: nothing comes back", i);
		if (!g_main_context_iteration(NULL, FALSE))
			g_usleep(20);
	}
	if (ret_id)
		*ret_id = id;
	return len;
}

static inline void t_spin(void)
{
	for (unsigned n = 0; n < 50; n++) {
		while (g_main_context_iteration(NULL, FALSE))
			;
		g_usleep(100);
	}
}

#endif
