/* SPDX-License-Identifier: GPL-2.0-or-later */
/* msix.c: the MSI-X capability, its table and pending bits. Spec: PCI Local Bus 3.0, 6.8.2. */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/intc.h"
#include "core/machine.h"
#include "device/bus/pci.h"

static uint16_t control(const struct pci_device *p)
{
	return pci_get16(p, p->msix.cap + PCI_MSIX_FLAGS);
}

bool msix_enabled(const struct pci_device *p)
{
	return p->msix.count && control(p) & PCI_MSIX_FLAGS_ENABLE;
}

static bool masked(const struct pci_device *p, unsigned n)
{
	return control(p) & PCI_MSIX_FLAGS_MASKALL ||
		p->msix.table[n].control & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static bool pending(const struct pci_device *p, unsigned n)
{
	return p->msix.pending[n / 64] >> n % 64 & 1;
}

static void pending_set(struct pci_device *p, unsigned n, bool val)
{
	uint64_t bit = 1ull << n % 64;

	if (val)
		p->msix.pending[n / 64] |= bit;
	else
		p->msix.pending[n / 64] &= ~bit;
}

/* Makes the kernel's binding of vector n's eventfd follow what the guest programmed. */
static void rebind(struct pci_device *p, unsigned n)
{
	struct msix *x = &p->msix;
	struct intc *ic = &p->dev.machine->intc;
	const struct msix_entry *e = &x->table[n];

	if (!x->fd || x->fd[n] < 0)
		return;
	if (x->bound[n]) {
		ic->ops->msi_unbind(ic->opaque, x->fd[n]);
		x->bound[n] = false;
	}
	if (msix_enabled(p) && !masked(p, n) && pci_bus_master(p))
		x->bound[n] = ic->ops->msi_bind(ic->opaque, x->fd[n], e->addr, e->data) == 0;
}

static void send(struct pci_device *p, unsigned n)
{
	const struct msix_entry *e = &p->msix.table[n];

	/* A message is a write by the function: not without bus mastering. */
	if (!pci_bus_master(p))
		return;
	if (p->msix.bound && p->msix.bound[n])
		eventfd_write(p->msix.fd[n], 1);
	else
		msi_send(p->dev.machine, e->addr, e->data);
}

void msix_notify(struct pci_device *p, unsigned n)
{
	if (n >= p->msix.count || !msix_enabled(p))
		return;
	if (masked(p, n))
		pending_set(p, n, true);
	else
		send(p, n);
}

/* A vector may have become deliverable. */
static void settle(struct pci_device *p, unsigned n)
{
	rebind(p, n);
	if (pending(p, n) && msix_enabled(p) && !masked(p, n)) {
		pending_set(p, n, false);
		send(p, n);
	}
}

void msix_config_written(struct pci_device *p, unsigned off, unsigned len)
{
	unsigned flags = p->msix.cap + PCI_MSIX_FLAGS;
	bool mine = off < flags + 2 && off + len > flags;

	/* Bus mastering gates the messages too. */
	if (!p->msix.count || !(mine || (off < PCI_COMMAND + 2 && off + len > PCI_COMMAND)))
		return;
	for (unsigned n = 0; n < p->msix.count; n++)
		settle(p, n);
}

static uint64_t table_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct pci_device *p = opaque;
	const struct msix_entry *e = &p->msix.table[off / PCI_MSIX_ENTRY_SIZE];
	uint32_t word[4] = { (uint32_t)e->addr, (uint32_t)(e->addr >> 32), e->data, e->control };
	unsigned i = off / 4 % 4;

	return size == 8 ? word[i] | (uint64_t)word[(i + 1) % 4] << 32 : word[i];
}

static void table_write32(struct msix_entry *e, unsigned word, uint32_t val)
{
	switch (word) {
	case 0:
		e->addr = (e->addr & ~(uint64_t)UINT32_MAX) | (val & ~3u);
		break;
	case 1:
		e->addr = (uint32_t)e->addr | (uint64_t)val << 32;
		break;
	case 2:
		e->data = val;
		break;
	case 3:
		e->control = val & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	}
}

static void table_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct pci_device *p = opaque;
	unsigned n = (unsigned)(off / PCI_MSIX_ENTRY_SIZE);

	table_write32(&p->msix.table[n], off / 4 % 4, (uint32_t)val);
	if (size == 8)
		table_write32(&p->msix.table[n], (off / 4 + 1) % 4, (uint32_t)(val >> 32));
	settle(p, n);
}

static uint64_t pba_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct pci_device *p = opaque;
	uint64_t v = p->msix.pending[off / 8];

	return size == 8 ? v : (uint32_t)(v >> 8 * (off & 4));
}

static void pba_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	/* Read only; 6.8.2.10 leaves writes undefined. */
}

static const struct region_ops table_ops = { table_read, table_write, .min = 4, .max = 8 };
static const struct region_ops pba_ops = { pba_read, pba_write, .min = 4, .max = 8 };

void msix_init(struct pci_device *p, unsigned count, unsigned bar, uint32_t table_offset,
	uint32_t pba_offset)
{
	struct msix *x = &p->msix;
	unsigned cap = x->cap = pci_cap_add(p, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);

	x->count = MIN(count, (unsigned)PCI_MSIX_MAX);
	pci_put16(p->config + cap + PCI_MSIX_FLAGS, (uint16_t)(x->count - 1));
	pci_put16(p->wmask + cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_put32(p->config + cap + PCI_MSIX_TABLE, table_offset | bar);
	pci_put32(p->config + cap + PCI_MSIX_PBA, pba_offset | bar);
	x->table_region = (struct region){ .name = "msix-table", .device = &p->dev,
		.ops = &table_ops, .opaque = p, .size = (uint64_t)x->count * PCI_MSIX_ENTRY_SIZE };
	x->pba_region = (struct region){ .name = "msix-pba", .device = &p->dev, .ops = &pba_ops,
		.opaque = p, .size = (x->count + 63) / 64 * 8 };
	pci_bar_add(p, bar, table_offset, &x->table_region);
	pci_bar_add(p, bar, pba_offset, &x->pba_region);
	msix_reset(p);
}

int msix_vector_fd(struct pci_device *p, unsigned n)
{
	struct msix *x = &p->msix;
	const struct intc_ops *ops = p->dev.machine->intc.ops;

	if (n >= x->count || !ops || !ops->msi_bind)
		return -1;
	if (!x->fd) {
		x->fd = g_new(int, x->count);
		x->bound = g_new0(bool, x->count);
		memset(x->fd, 0xff, x->count * sizeof(int));
	}
	if (x->fd[n] < 0) {
		x->fd[n] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rebind(p, n);
	}
	return x->fd[n];
}

void msix_reset(struct pci_device *p)
{
	struct msix *x = &p->msix;

	for (unsigned n = 0; n < x->count; n++) {
		x->table[n] = (struct msix_entry){ .control = PCI_MSIX_ENTRY_CTRL_MASKBIT };
		rebind(p, n);
	}
	memset(x->pending, 0, sizeof(x->pending));
}

void msix_loaded(struct pci_device *p)
{
	struct msix *x = &p->msix;

	for (unsigned n = 0; n < x->count; n++) {
		x->table[n].addr &= ~3ull;
		x->table[n].control &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
		rebind(p, n);
	}
}

void msix_fini(struct pci_device *p)
{
	struct msix *x = &p->msix;
	struct intc *ic = &p->dev.machine->intc;

	for (unsigned n = 0; x->fd && n < x->count; n++) {
		if (x->bound[n])
			ic->ops->msi_unbind(ic->opaque, x->fd[n]);
		if (x->fd[n] >= 0)
			close(x->fd[n]);
	}
	g_clear_pointer(&x->fd, g_free);
	g_clear_pointer(&x->bound, g_free);
}
