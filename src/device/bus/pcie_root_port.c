/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcie_root_port.c: a root port with a hot-pluggable slot: attention button and indicators, no
 * power controller, so that the link comes up as soon as a device is there. Spec: PCI Express
 * Base 4.0, 6.7 (hot-plug) and 7.5.3 (capability).
 */
#include "device/bus/pcie_root_port.h"

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "core/machine.h"
#include "device/bus/pci_host.h"

enum {
	/* What may raise an interrupt, and the enable bit at the same place of Slot Control. */
	EVENT_MASK = PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PFD | PCI_EXP_SLTSTA_MRLSC |
		PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_CC,
	INDICATOR_OFF = 3, /* both indicators: 1 on, 2 blink, 3 off */
};

static struct pcie_root_port *port_of(struct device *d)
{
	return container_of(d, struct pcie_root_port, pci.dev);
}

struct pcie_root_port *pcie_root_port_of(struct device *d)
{
	return d->cls == &pcie_root_port_class ? port_of(d) : NULL;
}

struct pci_bus *pcie_root_port_bus(struct pcie_root_port *rp)
{
	return &rp->bus;
}

struct pci_device *pcie_root_port_child(struct pcie_root_port *rp)
{
	return rp->bus.slot[0];
}

static uint16_t get(const struct pcie_root_port *rp, unsigned reg)
{
	return pci_get16(&rp->pci, rp->exp + reg);
}

static void put(struct pcie_root_port *rp, unsigned reg, uint16_t val)
{
	pci_put16(rp->pci.config + rp->exp + reg, val);
}

/* 6.7.3.4: the condition of all enabled events; INTx is its level, MSI its rise. */
static void update_interrupt(struct pcie_root_port *rp)
{
	uint16_t ctl = get(rp, PCI_EXP_SLTCTL), sta = get(rp, PCI_EXP_SLTSTA);
	bool raise = ctl & PCI_EXP_SLTCTL_HPIE && (sta & ctl & EVENT_MASK ||
		(sta & PCI_EXP_SLTSTA_DLLSC && ctl & PCI_EXP_SLTCTL_DLLSCE));
	bool rise = raise && !rp->raised;

	rp->raised = raise;
	if (msi_enabled(&rp->pci)) {
		pci_intx_set(&rp->pci, false);
		if (rise)
			msi_notify(&rp->pci);
	} else {
		pci_intx_set(&rp->pci, raise);
	}
}

/* Presence and link status follow what sits in the slot. */
static void show_slot(struct pcie_root_port *rp, uint16_t events)
{
	uint16_t sta = get(rp, PCI_EXP_SLTSTA), link = get(rp, PCI_EXP_LNKSTA);

	sta &= (uint16_t)~PCI_EXP_SLTSTA_PDS;
	link &= (uint16_t)~PCI_EXP_LNKSTA_DLLLA;
	if (rp->occupied) {
		sta |= PCI_EXP_SLTSTA_PDS;
		link |= PCI_EXP_LNKSTA_DLLLA;
	}
	put(rp, PCI_EXP_SLTSTA, sta | events);
	put(rp, PCI_EXP_LNKSTA, link);
	update_interrupt(rp);
}

/* The guest is done with the device: out of the slot, out of the machine. Main loop. */
static gboolean eject(gpointer opaque)
{
	struct pcie_root_port *rp = opaque;
	struct pci_device *child = pcie_root_port_child(rp);
	struct machine *m = rp->pci.dev.machine;
	bool running = m->state == MACHINE_RUNNING;
	g_autofree char *id = NULL;

	/* Under the lock: the vCPU that made this source may not have noted its id yet. */
	device_lock(&rp->pci.dev);
	rp->eject_source = 0;
	device_unlock(&rp->pci.dev);
	if (!child)
		return G_SOURCE_REMOVE;
	id = g_strdup(child->dev.id);
	pci_device_detach(child);
	/* Another vCPU may still be inside one of its registers. */
	if (running)
		machine_stall(m);
	device_remove(&child->dev);
	if (running)
		machine_unstall(m);
	device_lock(&rp->pci.dev);
	rp->occupied = false;
	rp->powered_on = false;
	show_slot(rp, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	device_unlock(&rp->pci.dev);
	if (rp->unplugged)
		rp->unplugged(rp->unplugged_opaque, id);
	return G_SOURCE_REMOVE;
}

/* Slot Control is a command: it completes at once. 7.5.3.10. */
static void slot_control_written(struct pcie_root_port *rp)
{
	unsigned power = get(rp, PCI_EXP_SLTCTL) >> 8 & 3;

	if (power != INDICATOR_OFF && power) {
		rp->powered_on = true;
	} else if (power == INDICATOR_OFF && rp->powered_on && rp->occupied && !rp->eject_source) {
		rp->eject_source = g_idle_add_full(G_PRIORITY_HIGH, eject, rp, NULL);
	}
	put(rp, PCI_EXP_SLTSTA, get(rp, PCI_EXP_SLTSTA) | PCI_EXP_SLTSTA_CC);
}

static void port_config_written(struct pci_device *p, unsigned off, unsigned len)
{
	struct pcie_root_port *rp = container_of(p, struct pcie_root_port, pci);
	unsigned ctl = rp->exp + PCI_EXP_SLTCTL;

	if (off < ctl + 2 && off + len > ctl)
		slot_control_written(rp);
	if (off < rp->exp + PCI_CAP_EXP_ENDPOINT_SIZEOF_V2 && off + len > rp->exp)
		update_interrupt(rp);
	if (off < p->msi_cap + 24 && off + len > p->msi_cap)
		update_interrupt(rp);
}

static void express_cap(struct pcie_root_port *rp)
{
	struct pci_device *p = &rp->pci;
	unsigned cap = rp->exp = pci_express_cap_add(p, PCI_EXP_TYPE_ROOT_PORT);

	put(rp, PCI_EXP_FLAGS, get(rp, PCI_EXP_FLAGS) | PCI_EXP_FLAGS_SLOT);
	pci_put32(p->config + cap + PCI_EXP_LNKCAP, pci_get32(p, cap + PCI_EXP_LNKCAP) |
		PCI_EXP_LNKCAP_DLLLARC | (uint32_t)rp->slot_number << 24);
	p->wmask[cap + PCI_EXP_LNKCTL] |= PCI_EXP_LNKCTL_LD;
	pci_put32(p->config + cap + PCI_EXP_SLTCAP, PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_AIP |
		PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPC | (uint32_t)rp->slot_number << 19);
	pci_put16(p->wmask + cap + PCI_EXP_SLTCTL, EVENT_MASK | PCI_EXP_SLTCTL_HPIE |
		PCI_EXP_SLTCTL_AIC | PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_DLLSCE);
	put(rp, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
	pci_put16(p->w1c + cap + PCI_EXP_SLTSTA, EVENT_MASK | PCI_EXP_SLTSTA_DLLSC);
	pci_put16(p->wmask + cap + PCI_EXP_RTCTL, PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE |
		PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE);
}

static int port_init(struct device *d, GError **error)
{
	/* Red Hat's generic PCI Express root port. */
	static const struct pci_id id = { .vendor = 0x1b36, .device = 0x000c,
		.class_code = 0x060400 };
	struct pcie_root_port *rp = port_of(d);
	struct pci_device *p = &rp->pci;

	if (pci_device_init(p, &id, true, error) < 0)
		return -1;
	if (!rp->slot_number)
		rp->slot_number = (uint16_t)(p->devfn >> 3);
	rp->bus = (struct pci_bus){ .host = p->bus->host, .bridge = p, .single = true };
	p->secondary = &rp->bus;
	p->config_written = port_config_written;
	pci_intx_enable(p);
	express_cap(rp);
	msi_init(p);
	pci_device_ready(p);
	return 0;
}

static void port_reset(struct device *d)
{
	struct pcie_root_port *rp = port_of(d);

	rp->occupied = pcie_root_port_child(rp) != NULL;
	rp->powered_on = false;
	rp->raised = false;
	pci_device_reset(&rp->pci);
	show_slot(rp, 0);
}

static int port_loaded(struct device *d, GError **error)
{
	struct pcie_root_port *rp = port_of(d);

	if (rp->occupied != (pcie_root_port_child(rp) != NULL))
		return fail(error, LODGE_ERROR_STATE, "%s: the saved machine has %s device in it",
			d->id, rp->occupied ? "a" : "no");
	if (pci_device_loaded(&rp->pci, error) < 0)
		return -1;
	rp->raised = false;
	show_slot(rp, 0);
	return 0;
}

static void port_fini(struct device *d)
{
	struct pcie_root_port *rp = port_of(d);

	if (rp->eject_source)
		g_source_remove(rp->eject_source);
	pci_device_fini(&rp->pci);
}

int pcie_root_port_plug(struct pcie_root_port *rp, struct device *d, GError **error)
{
	struct pci_device *p = pci_device_of(d);

	if (!p) {
		fail(error, LODGE_ERROR_USAGE, "%s: a %s does not fit a PCI slot", d->id,
			d->cls->name);
		device_free(d);
		return -1;
	}
	/* init fails by itself when the slot is occupied */
	pci_device_place(p, &rp->bus, 0);
	if (device_add(d, error) < 0)
		return -1;
	if (d->cls->reset) {
		device_lock(d);
		d->cls->reset(d);
		device_unlock(d);
	}
	if (d->machine->state == MACHINE_RUNNING && d->cls->resume)
		d->cls->resume(d);
	device_lock(&rp->pci.dev);
	rp->occupied = true;
	rp->powered_on = false;
	show_slot(rp, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	device_unlock(&rp->pci.dev);
	return 0;
}

int pcie_root_port_unplug_request(struct pcie_root_port *rp, GError **error)
{
	if (!pcie_root_port_child(rp))
		return fail(error, LODGE_ERROR_USAGE, "%s: the slot is empty", rp->pci.dev.id);
	device_lock(&rp->pci.dev);
	show_slot(rp, PCI_EXP_SLTSTA_ABP);
	device_unlock(&rp->pci.dev);
	return 0;
}

static const struct field config[] = {
	CONFIG(struct pcie_root_port, slot_number, FIELD_U16, "0",
		"physical slot number shown to the guest; 0: the port's own device number"),
	{ 0 },
};

static const struct field state[] = {
	PCI_STATE(struct pcie_root_port, pci),
	FIELD(struct pcie_root_port, occupied, FIELD_BOOL),
	FIELD(struct pcie_root_port, powered_on, FIELD_BOOL),
	{ 0 },
};

const struct device_class pcie_root_port_class = {
	.name = "pcie-root-port",
	.help = "PCI Express root port with a hot-pluggable slot",
	.size = sizeof(struct pcie_root_port),
	.version = 1,
	.config = config,
	.state = state,
	.init = port_init,
	.reset = port_reset,
	.loaded = port_loaded,
	.fini = port_fini,
};
