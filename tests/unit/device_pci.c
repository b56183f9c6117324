/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_pci.c: config space, decoding, MSI-X, INTx, bridges and hot-plug, as an OS uses them. */
#include "virtio_driver.h"

#include <linux/virtio_ids.h>
#include <unistd.h>

#include "core/stream.h"
#include "device/bus/pcie_root_port.h"
#include "device/virtio/virtio_rng.h"

static struct device *add(struct t_machine *t, const struct device_class *c, const char *id,
	struct pci_bus *bus, int devfn)
{
	struct device *d = device_new(t->m, c, id);
	GError *error = NULL;

	pci_device_place(pci_device_of(d), bus, devfn);
	assert_int_equal(device_add(d, &error), 0);
	return d;
}

static void up(struct t_machine *t)
{
	machine_reset(t->m);
	pci_assign_resources(t->host);
	machine_start(t->m);
}

static uint32_t cf8(struct t_machine *t, unsigned bdf, unsigned off, unsigned size)
{
	space_write(t->m->ports, 0xcf8, 0x80000000u | bdf << 8 | (off & 0xfc), 4);
	return (uint32_t)space_read(t->m->ports, 0xcfc + (off & 3), size);
}

static void test_config(void **state)
{
	struct t_machine *t = t_machine_new();
	unsigned bdf = 1 << 3;

	add(t, &virtio_rng_class, "rng", NULL, -1);
	up(t);
	assert_int_equal(t_cfg_read(t, 0, 0, 4), 0x00081b36);
	assert_int_equal(t_cfg_read(t, bdf, 0, 2), 0x1af4);
	assert_int_equal(t_cfg_read(t, 2 << 3, 0, 4), 0xffffffff);
	assert_int_equal(t_cfg_read(t, 5 << 8, 0, 4), 0xffffffff);
	/* Both mechanisms see the same bytes, at every width. */
	for (unsigned off = 0; off < 256; off++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			if (off % size == 0)
				assert_int_equal(
					cf8(t, bdf, off, size), t_cfg_read(t, bdf, off, size));
		}
	}
	/* The address register takes dwords only; disabled, data is a hole. */
	space_write(t->m->ports, 0xcf8, 0x80000800, 4);
	space_write(t->m->ports, 0xcf8, 0, 2);
	assert_int_equal(space_read(t->m->ports, 0xcf8, 4), 0x80000800);
	space_write(t->m->ports, 0xcf8, 0x00000800, 4);
	assert_int_equal(space_read(t->m->ports, 0xcfc, 4), 0xffffffff);
	/* Identity is read only, the line register is not. */
	t_cfg_write(t, bdf, 0, 0, 4);
	t_cfg_write(t, bdf, PCI_CLASS_REVISION, 0, 4);
	assert_int_equal(t_cfg_read(t, bdf, 0, 4), 0x10441af4);
	t_cfg_write(t, bdf, PCI_INTERRUPT_LINE, 0xab, 1);
	assert_int_equal(t_cfg_read(t, bdf, PCI_INTERRUPT_LINE, 1), 0xab);
	/* Writing across a function's last dword harms nobody. */
	t_cfg_write(t, bdf, 0xffc, 0xffffffff, 4);
	machine_free(t->m);
	g_free(t);
}

static bool decoded(struct t_machine *t, uint64_t addr)
{
	struct flat f;

	return space_find(t->m->memory, addr, &f) && f.region->ops;
}

static void test_bars(void **state)
{
	struct t_machine *t = t_machine_new();
	unsigned bdf = 1 << 3;
	uint32_t lo, size;
	uint64_t base;

	add(t, &virtio_rng_class, "rng", NULL, -1);
	up(t);
	lo = t_cfg_read(t, bdf, 0x10, 4);
	assert_int_equal(lo & 15, 0xc); /* 64 bits, prefetchable */
	base = lo & ~15u;
	assert_true(base >= 0xc0000000 && base < 0xfec00000);
	assert_false(decoded(t, base));
	t_cfg_write(t, bdf, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_true(decoded(t, base));
	/* Size: all ones in both halves, with decoding on, as some systems do. */
	t_cfg_write(t, bdf, 0x10, 0xffffffff, 4);
	t_cfg_write(t, bdf, 0x14, 0xffffffff, 4);
	assert_int_equal(t_cfg_read(t, bdf, 0x14, 4), 0xffffffff);
	size = -(t_cfg_read(t, bdf, 0x10, 4) & ~15u);
	assert_int_equal(size, 0x8000);
	assert_false(decoded(t, base));
	/* Above 4 GiB, then over RAM: RAM stays what it is. */
	t_cfg_write(t, bdf, 0x10, 0x40000000, 4);
	t_cfg_write(t, bdf, 0x14, 0x12, 4);
	assert_true(decoded(t, 0x1240000000));
	t_cfg_write(t, bdf, 0x14, 0, 4);
	t_cfg_write(t, bdf, 0x10, 0x100000, 4);
	space_write(t->m->memory, 0x100000, 0x1122334455667788, 8);
	assert_int_equal(*(uint64_t *)(t->ram->host + 0x100000), 0x1122334455667788);
	t_cfg_write(t, bdf, 0x10, (uint32_t)base, 4);
	assert_true(decoded(t, base));
	t_cfg_write(t, bdf, PCI_COMMAND, 0, 2);
	assert_false(decoded(t, base));
	/* Absent BARs are zero. */
	t_cfg_write(t, bdf, 0x18, 0xffffffff, 4);
	assert_int_equal(t_cfg_read(t, bdf, 0x18, 4), 0);
	t_machine_free(t);
}

/* Assignment: nothing overlaps, everything is aligned, twice the same. */
static void test_assign(void **state)
{
	uint64_t first[40] = { 0 };

	for (unsigned round = 0; round < 2; round++) {
		struct t_machine *t = t_machine_new();
		struct { uint64_t start, end; } used[64];
		unsigned n = 0, bars = 0;

		for (unsigned i = 0; i < 12; i++) {
			g_autofree char *id = g_strdup_printf("rng%u", i), *port = NULL;
			struct pci_bus *bus = NULL;

			if (i % 3 == 0) {
				struct device *rp;

				port = g_strdup_printf("port%u", i);
				rp = add(t, &pcie_root_port_class, port, NULL, -1);
				bus = pcie_root_port_bus(pcie_root_port_of(rp));
			}
			if (i != 6) /* one empty slot */
				add(t, &virtio_rng_class, id, bus, bus ? 0 : -1);
		}
		up(t);
		for (unsigned i = 0; i < t->m->devices->len; i++) {
			struct pci_device *p = pci_device_of(g_ptr_array_index(t->m->devices, i));
			unsigned bdf = pci_bus_number(p->bus) << 8 | (unsigned)p->devfn;
			uint64_t at;

			if (p->secondary) {
				assert_true(pci_bus_number(p->secondary) > 0);
				assert_true(t_cfg_read(t, bdf, PCI_PREF_MEMORY_LIMIT, 2) >=
					t_cfg_read(t, bdf, PCI_PREF_MEMORY_BASE, 2));
			}
			if (!p->bar[0].size)
				continue;
			t_cfg_write(t, bdf, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
			at = pci_bar_address(p, 0);
			assert_true(at != UINT64_MAX && at % 0x8000 == 0);
			for (unsigned k = 0; k < n; k++)
				assert_true(at + 0x8000 <= used[k].start || at >= used[k].end);
			used[n].start = at;
			used[n++].end = at + 0x8000;
			if (round)
				assert_int_equal(first[bars], at);
			first[bars++] = at;
		}
		assert_int_equal(n, 11);
		t_machine_free(t);
	}
}

static void test_msix(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = add(t, &virtio_rng_class, "rng", NULL, -1);
	struct pci_device *p = pci_device_of(d);
	struct t_driver v;
	uint64_t table, pba;
	unsigned cap;

	up(t);
	t_attach(&v, t, d);
	cap = t_find_cap(t, v.bdf, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(t_cfg_read(t, v.bdf, cap + 2, 2), 1); /* two vectors */
	table = pci_bar_address(p, 0) + (t_cfg_read(t, v.bdf, cap + 4, 4) & ~7u);
	pba = pci_bar_address(p, 0) + (t_cfg_read(t, v.bdf, cap + 8, 4) & ~7u);
	/* Reset: masked. Off: nothing is sent. */
	assert_int_equal(t_mmio(&v, table + 12, 4), 1);
	msix_notify(p, 0);
	assert_int_equal(t_mmio(&v, pba, 8), 0);
	t_cfg_write(t, v.bdf, cap + 2, 0x8000, 2);
	t_mmio_w(&v, table, T_MSI, 8);
	t_mmio_w(&v, table + 8, 0x41, 4);
	t_mmio_w(&v, table + 16, T_MSI | 3, 4); /* low bits do not stick */
	t_mmio_w(&v, table + 24, 0x42, 4);
	assert_int_equal(t_mmio(&v, table + 16, 4), T_MSI);
	/* Masked: pending; unmasked: sent once. */
	msix_notify(p, 0);
	msix_notify(p, 0);
	assert_int_equal(t_mmio(&v, pba, 4), 1);
	assert_int_equal(t->msi[0x41], 0);
	t_mmio_w(&v, table + 12, 0, 4);
	assert_int_equal(t->msi[0x41], 1);
	assert_int_equal(t_mmio(&v, pba, 4), 0);
	msix_notify(p, 0);
	assert_int_equal(t->msi[0x41], 2);
	/* The function's mask. */
	t_mmio_w(&v, table + 28, 0, 4);
	t_cfg_write(t, v.bdf, cap + 2, 0xc000, 2);
	msix_notify(p, 0);
	msix_notify(p, 1);
	assert_int_equal(t_mmio(&v, pba, 8), 3);
	t_cfg_write(t, v.bdf, cap + 2, 0x8000, 2);
	assert_int_equal(t->msi[0x41], 3);
	assert_int_equal(t->msi[0x42], 1);
	/* Vectors there are not; no bus mastering. */
	msix_notify(p, 2);
	msix_notify(p, 500);
	t_cfg_write(t, v.bdf, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	msix_notify(p, 0);
	assert_int_equal(t->msi[0x41], 3);
	assert_int_equal(t_mmio(&v, pba + 4, 4), 0);
	t_machine_free(t);
}

struct bound {
	int fd;
	uint64_t addr;
	uint32_t data;
	unsigned binds, unbinds;
};
static struct bound bound; /* what the controller below listens to */

static int fake_bind(void *opaque, int fd, uint64_t addr, uint32_t data)
{
	bound = (struct bound){ fd, addr, data, bound.binds + 1, bound.unbinds };
	return 0;
}

static void fake_unbind(void *opaque, int fd)
{
	assert_int_equal(fd, bound.fd);
	bound.unbinds++;
}

/* An eventfd follows what the guest programs, and is silent while the vector is masked. */
static void test_msix_eventfd(void **state)
{
	static const struct intc_ops ops = { .name = "irqfd", .gsi = t_gsi, .msi = t_msi,
		.msi_bind = fake_bind, .msi_unbind = fake_unbind };
	struct t_machine *t = t_machine_new();
	struct device *d = add(t, &virtio_rng_class, "rng", NULL, -1);
	struct pci_device *p = pci_device_of(d);
	struct t_driver v;
	uint64_t table, count = 0;
	int fd;

	assert_int_equal(msix_vector_fd(p, 0), -1); /* no such way */
	t->m->intc.ops = &ops;
	up(t);
	t_attach(&v, t, d);
	assert_int_equal(msix_vector_fd(p, 2), -1);
	fd = msix_vector_fd(p, 1);
	assert_true(fd >= 0);
	assert_int_equal(fd, msix_vector_fd(p, 1));
	assert_int_equal(bound.binds, 0);
	t_msix_on(&v);
	assert_int_equal(bound.binds - bound.unbinds, 1);
	assert_int_equal(bound.addr, T_MSI);
	assert_int_equal(bound.data, 1);
	msix_notify(p, 1);
	assert_int_equal(read(fd, &count, 8), 8);
	assert_int_equal(count, 1);
	assert_int_equal(t->msi[1], 0);
	table = pci_bar_address(p, 0) +
		(t_cfg_read(t, v.bdf, t_find_cap(t, v.bdf, PCI_CAP_ID_MSIX, 0) + 4, 4) & ~7u);
	t_mmio_w(&v, table + 24, 0x55, 4);
	assert_int_equal(bound.data, 0x55);
	t_mmio_w(&v, table + 28, 1, 4);
	assert_int_equal(bound.binds, bound.unbinds);
	msix_notify(p, 1);
	assert_int_equal(read(fd, &count, 8), -1);
	t_mmio_w(&v, table + 28, 0, 4);
	assert_int_equal(read(fd, &count, 8), 8);
	t_machine_free(t);
	assert_int_equal(bound.binds, bound.unbinds);
}

static void test_intx(void **state)
{
	struct t_machine *t = t_machine_new();
	struct pci_device *a, *b, *c;
	struct device *rp;

	a = pci_device_of(add(t, &virtio_rng_class, "a", pci_host_bus(t->host), 2 << 3));
	b = pci_device_of(add(t, &virtio_rng_class, "b", pci_host_bus(t->host), 10 << 3));
	rp = add(t, &pcie_root_port_class, "rp", pci_host_bus(t->host), 3 << 3);
	c = pci_device_of(
		add(t, &virtio_rng_class, "c", pcie_root_port_bus(pcie_root_port_of(rp)), 0));
	up(t);
	/* 2 and 10 share a line: it falls when the last lets go. */
	pci_intx_set(a, true);
	pci_intx_set(b, true);
	assert_int_equal(t->gsi[18], 1);
	pci_intx_set(a, false);
	assert_int_equal(t->gsi[18], 1);
	/* The disable bit takes the wire, not the status. */
	t_cfg_write(t, 10 << 3, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	assert_int_equal(t->gsi[18], 0);
	assert_true(t_cfg_read(t, 10 << 3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	t_cfg_write(t, 10 << 3, PCI_COMMAND, 0, 2);
	assert_int_equal(t->gsi[18], 1);
	machine_reset(t->m);
	assert_int_equal(t->gsi[18], 0);
	pci_intx_set(c, true);
	assert_int_equal(t->gsi[19], 1);
	t_machine_free(t);
}

/* A bridge forwards what its windows hold, and only while it is enabled. */
static void test_bridge(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *rp = add(t, &pcie_root_port_class, "rp", NULL, -1);
	struct pci_device *p = pci_device_of(add(t, &virtio_rng_class, "rng",
		pcie_root_port_bus(pcie_root_port_of(rp)), 0));
	unsigned port = 1 << 3, child = 1 << 8;
	uint64_t at;

	up(t);
	assert_int_equal(t_cfg_read(t, child, 0, 2), 0x1af4);
	t_cfg_write(t, child, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	at = pci_bar_address(p, 0);
	assert_true(at != UINT64_MAX && decoded(t, at));
	t_cfg_write(t, port, PCI_COMMAND, 0, 2);
	assert_false(decoded(t, at));
	t_cfg_write(t, port, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_true(decoded(t, at));
	t_cfg_write(t, port, PCI_PREF_MEMORY_BASE, 0xfff0, 2);
	assert_false(decoded(t, at));
	/* Bus numbers move with the register; a type 0 bus beyond is nobody. */
	t_cfg_write(t, port, PCI_SECONDARY_BUS, 7, 1);
	t_cfg_write(t, port, PCI_SUBORDINATE_BUS, 7, 1);
	assert_int_equal(t_cfg_read(t, child, 0, 4), 0xffffffff);
	assert_int_equal(t_cfg_read(t, 7 << 8, 0, 2), 0x1af4);
	assert_int_equal(t_cfg_read(t, 7 << 8 | 1 << 3, 0, 4), 0xffffffff);
	/* A loop of numbers finds nobody and ends. */
	t_cfg_write(t, port, PCI_SECONDARY_BUS, 0, 1);
	assert_int_equal(t_cfg_read(t, 9 << 8, 0, 4), 0xffffffff);
	t_machine_free(t);
}

static void note_unplug(void *opaque, const char *id)
{
	g_string_append(opaque, id);
}

static unsigned exp_cap(struct t_machine *t, unsigned bdf)
{
	return t_find_cap(t, bdf, PCI_CAP_ID_EXP, 0);
}

/* The steps of a hot-plug driver, by PCI Express 6.7. */
static void test_hotplug(void **state)
{
	struct t_machine *t = t_machine_new();
	struct pcie_root_port *rp =
		pcie_root_port_of(add(t, &pcie_root_port_class, "rp", NULL, -1));
	unsigned port = 1 << 3, cap, msi;
	struct device *d;
	GString *gone = g_string_new(NULL);
	GError *error = NULL;
	uint16_t ctl = PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_DLLSCE |
		PCI_EXP_SLTCTL_CCIE;

	rp->unplugged = note_unplug;
	rp->unplugged_opaque = gone;
	up(t);
	cap = exp_cap(t, port);
	msi = t_find_cap(t, port, PCI_CAP_ID_MSI, 0);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_SLOT);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_SLTCAP, 4) & PCI_EXP_SLTCAP_HPC);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_LNKCAP, 4) & PCI_EXP_LNKCAP_DLLLARC);
	assert_false(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS);
	t_cfg_write(t, port, msi + PCI_MSI_ADDRESS_LO, T_MSI, 4);
	t_cfg_write(t, port, msi + PCI_MSI_DATA_64, 0x30, 2);
	t_cfg_write(t, port, msi + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, 2);
	/* A command completes, and says so by a message, once. */
	t_cfg_write(t, port, cap + PCI_EXP_SLTCTL, ctl | PCI_EXP_SLTCTL_PWR_IND_OFF, 2);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_CC);
	assert_int_equal(t->msi[0x30], 1);
	t_cfg_write(t, port, cap + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_CC, 2);
	assert_false(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_CC);
	/* Plug: the link comes up, the device answers. */
	d = device_new(t->m, &virtio_rng_class, "rng");
	assert_int_equal(pcie_root_port_plug(rp, d, &error), 0);
	assert_int_equal(t->msi[0x30], 2);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_DLLSC);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
	assert_int_equal(t_cfg_read(t, 1 << 8, 0, 2), 0x1af4);
	t_cfg_write(t, port, cap + PCI_EXP_SLTSTA, 0xffff, 2);
	/* A second one does not fit. */
	d = device_new(t->m, &virtio_rng_class, "rng2");
	assert_int_equal(pcie_root_port_plug(rp, d, &error), -1);
	g_clear_error(&error);
	t_cfg_write(t, port, cap + PCI_EXP_SLTCTL, ctl | PCI_EXP_SLTCTL_PWR_IND_ON, 2);
	t_cfg_write(t, port, cap + PCI_EXP_SLTSTA, 0xffff, 2);
	/* Unplug: button, blink, off; the device goes when the light goes. */
	assert_int_equal(pcie_root_port_unplug_request(rp, &error), 0);
	assert_int_equal(t->msi[0x30], 4);
	assert_true(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_ABP);
	t_cfg_write(t, port, cap + PCI_EXP_SLTCTL, ctl | PCI_EXP_SLTCTL_PWR_IND_BLINK, 2);
	t_spin();
	assert_int_equal(t_cfg_read(t, 1 << 8, 0, 2), 0x1af4);
	t_cfg_write(t, port, cap + PCI_EXP_SLTCTL, ctl | PCI_EXP_SLTCTL_PWR_IND_OFF, 2);
	t_spin();
	assert_int_equal(t_cfg_read(t, 1 << 8, 0, 4), 0xffffffff);
	assert_string_equal(gone->str, "rng");
	assert_false(t_cfg_read(t, port, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS);
	assert_int_equal(t->m->state, MACHINE_RUNNING);
	assert_int_equal(pcie_root_port_unplug_request(rp, &error), -1);
	g_clear_error(&error);
	/* And in again. */
	d = device_new(t->m, &virtio_rng_class, "rng");
	assert_int_equal(pcie_root_port_plug(rp, d, &error), 0);
	assert_int_equal(t_cfg_read(t, 1 << 8, 0, 2), 0x1af4);
	g_string_free(gone, TRUE);
	t_machine_free(t);
}

/* Saved config is hostile: read-only bits do not come from it. */
static void test_state(void **state)
{
	struct t_machine *t = t_machine_new();
	struct device *d = add(t, &virtio_rng_class, "rng", NULL, -1);
	struct pci_device *p = pci_device_of(d);
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	uint64_t at;

	up(t);
	t_cfg_write(t, 1 << 3, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	at = pci_bar_address(p, 0);
	machine_pause(t->m);
	memset(p->config, 0xff, 4);
	p->config[PCI_CAPABILITY_LIST] = 0xfe;
	state_put(bytes, d->cls->state, d);
	machine_reset(t->m);
	assert_false(decoded(t, at));
	assert_int_equal(state_get(bytes->data, bytes->len, d->cls->state, 1, d, NULL), 0);
	assert_int_equal(d->cls->loaded(d, NULL), 0);
	assert_true(decoded(t, at));
	assert_int_equal(t_cfg_read(t, 1 << 3, 0, 4), 0x10441af4);
	assert_true(t_cfg_read(t, 1 << 3, PCI_CAPABILITY_LIST, 1) != 0xfe);
	t_machine_free(t);
}

static void test_slots(void **state)
{
	struct t_machine *t = t_machine_new();
	GError *error = NULL;
	struct device *d;

	for (unsigned i = 1; i < 32; i++) {
		g_autofree char *id = g_strdup_printf("r%u", i);

		d = add(t, &virtio_rng_class, id, NULL, -1);
		assert_int_equal(pci_device_of(d)->devfn, i << 3);
	}
	d = device_new(t->m, &virtio_rng_class, "more");
	assert_int_equal(device_add(d, &error), -1);
	assert_non_null(error);
	g_clear_error(&error);
	d = device_new(t->m, &virtio_rng_class, "taken");
	pci_device_place(pci_device_of(d), pci_host_bus(t->host), 4 << 3);
	assert_int_equal(device_add(d, &error), -1);
	g_clear_error(&error);
	t_machine_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_msix),
		cmocka_unit_test(test_msix_eventfd),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
