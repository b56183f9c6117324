/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_pci.c: virtio over PCI, modern interface only: one 64-bit BAR with a page each for the
 * common, ISR, device and notification structures and MSI-X. Spec: VIRTIO 1.2, 4.1.
 */
#include <linux/virtio_pci.h>
#include <string.h>

#include "base/own.h"
#include "core/machine.h"
#include "device/virtio/virtio.h"

enum {
	BAR = 0,
	AT_COMMON = 0x0000,
	AT_ISR = 0x1000,
	AT_CONFIG = 0x2000,
	AT_NOTIFY = 0x3000,
	AT_TABLE = 0x4000,
	AT_PBA = 0x5000,
	BAR_BYTES = 0x8000,
	NOTIFY_STEP = 4, /* queue_notify_off multiplier */
	DEVICE_ID_BASE = 0x1040,
};

static struct virtq *selected(struct virtio *v)
{
	return v->queue_select < v->queue_count ? &v->queue[v->queue_select] : NULL;
}

/* 4.1.4.3 Common configuration: a snapshot is made and cut to what was asked for. */
static uint64_t common_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct virtio *v = opaque;
	const struct virtq *q = selected(v);
	unsigned word = v->device_feature_select, driver_word = v->driver_feature_select;
	struct virtio_pci_common_cfg c = {
		.device_feature_select = word,
		.device_feature = word < 2 ? (uint32_t)(v->offered >> 32 * word) : 0,
		.guest_feature_select = driver_word,
		.guest_feature = driver_word < 2 ? (uint32_t)(v->features >> 32 * driver_word) : 0,
		.msix_config = v->config_vector,
		.num_queues = (uint16_t)v->queue_count,
		.device_status = v->status,
		.config_generation = v->config_generation,
		.queue_select = v->queue_select,
	};
	uint64_t val = 0;

	if (q) {
		c.queue_size = q->size;
		c.queue_msix_vector = q->vector;
		c.queue_enable = q->enabled;
		c.queue_notify_off = (uint16_t)q->index;
		c.queue_desc_lo = (uint32_t)q->desc;
		c.queue_desc_hi = (uint32_t)(q->desc >> 32);
		c.queue_avail_lo = (uint32_t)q->driver;
		c.queue_avail_hi = (uint32_t)(q->driver >> 32);
		c.queue_used_lo = (uint32_t)q->device;
		c.queue_used_hi = (uint32_t)(q->device >> 32);
	}
	if (off + size <= sizeof(c))
		memcpy(&val, (const char *)&c + off, size);
	return val;
}

static uint16_t vector_check(const struct virtio *v, uint64_t val)
{
	return val < v->pci.msix.count ? (uint16_t)val : VIRTIO_NO_VECTOR;
}

static void set_half(uint64_t *to, unsigned half, uint64_t val)
{
	*to = (*to & ~((uint64_t)UINT32_MAX << 32 * half)) | (val & UINT32_MAX) << 32 * half;
}

static void queue_size_write(struct virtq *q, uint64_t val)
{
	bool power = !(val & (val - 1));

	if (val && val <= q->max_size && (power || virtio_has(q->v, VIRTIO_F_RING_PACKED)))
		q->size = (uint16_t)val;
}

static void queue_write(struct virtq *q, uint64_t off, uint64_t val)
{
	if (off == VIRTIO_PCI_COMMON_Q_MSIX) {
		q->vector = vector_check(q->v, val);
		return;
	}
	if (q->enabled) /* 4.1.4.3.2: fixed until reset */
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue_size_write(q, val);
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		q->enabled = val == 1 && q->v->status & VIRTIO_CONFIG_S_FEATURES_OK;
		q->mapped = false;
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_half(&q->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI, val);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_half(&q->driver, off == VIRTIO_PCI_COMMON_Q_AVAILHI, val);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_half(&q->device, off == VIRTIO_PCI_COMMON_Q_USEDHI, val);
		break;
	}
}

static void common_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct virtio *v = opaque;
	struct virtq *q = selected(v);

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		v->device_feature_select = (uint32_t)val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		v->driver_feature_select = (uint32_t)val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_features(v, v->driver_feature_select, (uint32_t)val);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		v->config_vector = vector_check(v, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(v, (uint8_t)val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		v->queue_select = (uint16_t)val;
		break;
	default:
		if (q && !v->resetting)
			queue_write(q, off, val);
	}
}

/* 4.1.4.5 ISR status: reading acknowledges. */
static uint64_t isr_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct virtio *v = opaque;
	uint8_t isr = v->isr;

	v->isr = 0;
	pci_intx_set(&v->pci, false);
	return isr;
}

static void ignore_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
}

/* 4.1.4.6 Device-specific configuration. */
static uint64_t config_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct virtio *v = opaque;
	uint8_t buf[VIRTIO_CONFIG_MAX] = { 0 };
	uint64_t val = 0;

	v->type->config_read(v, buf);
	if (off + size <= sizeof(buf))
		memcpy(&val, buf + off, size);
	return val;
}

static void config_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct virtio *v = opaque;
	uint8_t buf[VIRTIO_CONFIG_MAX] = { 0 };

	if (!v->type->config_write || off + size > v->type->config_size)
		return;
	v->type->config_read(v, buf);
	memcpy(buf + off, &val, size);
	v->type->config_write(v, (unsigned)off, size, buf);
}

/* 4.1.4.4 Notification: the place says which queue. Takes the lock only where it must. */
static uint64_t notify_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	return 0;
}

static void notify_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	if (off % NOTIFY_STEP == 0)
		virtio_kick(opaque, (unsigned)off / NOTIFY_STEP);
}

static const struct region_ops common_ops = { common_read, common_write, .min = 1, .max = 4 };
static const struct region_ops isr_ops = { isr_read, ignore_write, .min = 1, .max = 4 };
static const struct region_ops config_ops = { config_read, config_write, .min = 1, .max = 8 };
static const struct region_ops notify_ops = { notify_read, notify_write, .min = 1, .max = 4 };

void virtio_pci_notify(struct virtio *v, uint16_t vector, uint8_t isr_bit)
{
	if (msix_enabled(&v->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			msix_notify(&v->pci, vector);
		return;
	}
	v->isr |= isr_bit;
	pci_intx_set(&v->pci, true);
}

void virtio_pci_doorbells(struct virtio *v, bool on)
{
	struct space *s = v->dev.machine->memory;
	uint64_t base = pci_bar_address(&v->pci, BAR);

	on = on && base != UINT64_MAX && v->status & VIRTIO_CONFIG_S_DRIVER_OK;
	for (unsigned i = 0; i < v->queue_count; i++) {
		struct virtq *q = &v->queue[i];
		uint64_t addr = base + AT_NOTIFY + NOTIFY_STEP * i;

		if (q->ioevent && !(on && q->ioevent == addr)) {
			space_ioevent_del(s, q->ioevent, 2, q->fd);
			q->ioevent = 0;
		}
		if (on && !q->ioevent && q->enabled && q->place != VIRTQ_INLINE &&
		    space_ioevent_add(s, addr, 2, q->fd) == 0)
			q->ioevent = addr;
	}
}

static void bar_moved(struct pci_device *p, unsigned bar)
{
	virtio_pci_doorbells(container_of(p, struct virtio, pci), true);
}

/* 4.1.4.9: a window on the BAR for those who cannot map it. */

static const struct region *cfg_target(struct virtio *v, uint32_t *ret_off, uint32_t *ret_len)
{
	unsigned cap = v->pci_cfg_cap;
	uint32_t off = pci_get32(&v->pci, cap + offsetof(struct virtio_pci_cap, offset));
	uint32_t len = pci_get32(&v->pci, cap + offsetof(struct virtio_pci_cap, length));
	const struct pci_bar *b = &v->pci.bar[BAR];

	if (v->pci.config[cap + offsetof(struct virtio_pci_cap, bar)] != BAR ||
	    (len != 1 && len != 2 && len != 4) || off % len)
		return NULL;
	for (unsigned i = 0; i < b->pieces; i++) {
		const struct region *r = b->piece[i];

		if (off >= b->offset[i] && off - b->offset[i] < r->size &&
		    len <= r->size - (off - b->offset[i]) && len >= r->ops->min) {
			*ret_off = off - b->offset[i];
			*ret_len = len;
			return r;
		}
	}
	return NULL;
}

static bool touches_cfg_data(const struct virtio *v, unsigned off, unsigned len)
{
	unsigned data = v->pci_cfg_cap + sizeof(struct virtio_pci_cap);

	return off < data + 4 && off + len > data;
}

static void pci_config_read_hook(struct pci_device *p, unsigned off, unsigned len)
{
	struct virtio *v = container_of(p, struct virtio, pci);
	const struct region *r;
	uint32_t at, n;

	if (!touches_cfg_data(v, off, len) || !(r = cfg_target(v, &at, &n)))
		return;
	pci_put32(p->config + v->pci_cfg_cap + sizeof(struct virtio_pci_cap),
		(uint32_t)r->ops->read(&v->dev, r->opaque, at, n));
}

static void pci_config_written_hook(struct pci_device *p, unsigned off, unsigned len)
{
	struct virtio *v = container_of(p, struct virtio, pci);
	const struct region *r;
	uint32_t at, n;

	/* Bus mastering back on: what was kicked before counts now. */
	if (off <= PCI_COMMAND && off + len > PCI_COMMAND && virtio_live(v))
		for (unsigned i = 0; i < v->queue_count; i++)
			virtio_kick(v, i);
	if (!touches_cfg_data(v, off, len) || !(r = cfg_target(v, &at, &n)))
		return;
	r->ops->write(&v->dev, r->opaque, at,
		pci_get32(p, v->pci_cfg_cap + sizeof(struct virtio_pci_cap)) &
			(n == 4 ? UINT32_MAX : (1u << 8 * n) - 1), n);
}

/* Building. */

static unsigned cap_add(struct virtio *v, uint8_t type, unsigned size, uint32_t off, uint32_t len)
{
	unsigned at = pci_cap_add(&v->pci, PCI_CAP_ID_VNDR, size);
	struct virtio_pci_cap c = { .cap_vndr = PCI_CAP_ID_VNDR,
		.cap_next = v->pci.config[at + 1], .cap_len = (uint8_t)size, .cfg_type = type,
		.bar = BAR, .offset = off, .length = len };

	memcpy(v->pci.config + at, &c, sizeof(c));
	return at;
}

static void part_add(struct virtio *v, struct region *r, const char *name, uint32_t off,
	uint64_t size, const struct region_ops *ops)
{
	*r = (struct region){ .name = name, .device = ops == &notify_ops ? NULL : &v->dev,
		.ops = ops, .opaque = v, .size = size };
	pci_bar_add(&v->pci, BAR, off, r);
}

static void capabilities(struct virtio *v)
{
	uint32_t notify_bytes = NOTIFY_STEP * v->queue_count;
	struct pci_device *p = &v->pci;
	unsigned at;

	part_add(v, &v->common, "virtio-common", AT_COMMON, sizeof(struct virtio_pci_common_cfg),
		&common_ops);
	part_add(v, &v->isr_region, "virtio-isr", AT_ISR, 4, &isr_ops);
	part_add(v, &v->notify, "virtio-notify", AT_NOTIFY, notify_bytes, &notify_ops);
	cap_add(v, VIRTIO_PCI_CAP_COMMON_CFG, sizeof(struct virtio_pci_cap), AT_COMMON,
		sizeof(struct virtio_pci_common_cfg));
	cap_add(v, VIRTIO_PCI_CAP_ISR_CFG, sizeof(struct virtio_pci_cap), AT_ISR, 4);
	if (v->type->config_size) {
		part_add(v, &v->config_region, "virtio-config", AT_CONFIG,
			v->type->config_size, &config_ops);
		cap_add(v, VIRTIO_PCI_CAP_DEVICE_CFG, sizeof(struct virtio_pci_cap), AT_CONFIG,
			v->type->config_size);
	}
	at = cap_add(v, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), AT_NOTIFY,
		notify_bytes);
	pci_put32(p->config + at + sizeof(struct virtio_pci_cap), NOTIFY_STEP);
	at = v->pci_cfg_cap = cap_add(v, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap),
		0, 0);
	p->wmask[at + offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(p->wmask + at + offsetof(struct virtio_pci_cap, offset), 0xff, 12);
}

int virtio_pci_init(struct virtio *v, const struct virtio_type *t, GError **error)
{
	struct pci_device *p = &v->pci;
	struct pci_id id = { .vendor = 0x1af4, .device = DEVICE_ID_BASE + t->id,
		.subsys_vendor = 0x1af4, .subsys = 0x1100, .class_code = t->class_code,
		.revision = 1 };

	if (pci_device_init(p, &id, false, error) < 0 || virtio_init(v, t, error) < 0)
		return -1;
	pci_intx_enable(p);
	pci_bar_init(p, BAR, BAR_BYTES, PCI_BAR_MEM64 | PCI_BAR_PREFETCH);
	pci_express_cap_add(p, p->bus->bridge ? PCI_EXP_TYPE_ENDPOINT : PCI_EXP_TYPE_RC_END);
	msix_init(p, MIN(v->queue_count + 1, (unsigned)PCI_MSIX_MAX), BAR, AT_TABLE, AT_PBA);
	capabilities(v);
	p->config_read = pci_config_read_hook;
	p->config_written = pci_config_written_hook;
	p->bar_moved = bar_moved;
	pci_device_ready(p);
	return 0;
}
