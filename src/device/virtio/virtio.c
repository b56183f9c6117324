/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio.c: a virtio device's life whatever it is and sits on: negotiation, queues, kicks, reset.
 *
 * Most queues are served where the driver's kick arrives, on the vCPU's thread, which saves a hop
 * and two wake-ups; with an accelerator that turns a kick into an eventfd, on the loop's thread.
 * Those whose work batches well always are. Spec: VIRTIO 1.2, chapters 2 and 3.
 */
#include "device/virtio/virtio.h"

#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/own.h"
#include "core/machine.h"

enum { ISR_CONFIG = 2 };

struct kick_source {
	GSource base;
	struct virtq *q;
};

static const struct field queue_state[] = {
	FIELD(struct virtq, size, FIELD_U16),
	FIELD(struct virtq, vector, FIELD_U16),
	FIELD(struct virtq, enabled, FIELD_BOOL),
	FIELD(struct virtq, desc, FIELD_U64),
	FIELD(struct virtq, driver, FIELD_U64),
	FIELD(struct virtq, device, FIELD_U64),
	FIELD(struct virtq, avail, FIELD_U16),
	FIELD(struct virtq, used, FIELD_U16),
	FIELD(struct virtq, avail_wrap, FIELD_BOOL),
	FIELD(struct virtq, used_wrap, FIELD_BOOL),
	{ 0 },
};

const struct field virtio_state[] = {
	FIELD(struct virtio, features, FIELD_U64),
	FIELD(struct virtio, device_feature_select, FIELD_U32),
	FIELD(struct virtio, driver_feature_select, FIELD_U32),
	FIELD(struct virtio, queue_select, FIELD_U16),
	FIELD(struct virtio, config_vector, FIELD_U16),
	FIELD(struct virtio, status, FIELD_U8),
	FIELD(struct virtio, isr, FIELD_U8),
	FIELD(struct virtio, config_generation, FIELD_U8),
	FIELD_SUB(struct virtio, queue, queue_state, VIRTIO_QUEUES_MAX, struct virtq),
	{ 0 },
};

static struct virtio *virtio_of(struct device *d)
{
	return container_of(d, struct virtio, dev);
}

static void layout_changed(void *opaque, const struct flat *f)
{
	struct virtio *v = opaque;

	atomic_store(&v->layout_changed, true);
}

int virtio_init(struct virtio *v, const struct virtio_type *t, GError **error)
{
	v->type = t;
	v->parked = true;
	v->config_vector = VIRTIO_NO_VECTOR;
	v->offered = t->features(v) | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
		VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	if (v->packed_offered)
		v->offered |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	v->listener = (struct space_listener){ .opaque = v, .ram_add = layout_changed,
		.ram_del = layout_changed };
	space_listen(v->dev.machine->memory, &v->listener);
	return 0;
}

bool virtio_live(const struct virtio *v)
{
	return v->status & VIRTIO_CONFIG_S_DRIVER_OK && !v->parked && !v->resetting &&
		!(v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && pci_bus_master(&v->pci);
}

static void queue_run(struct virtq *q)
{
	if (q->enabled && virtio_live(q->v))
		q->handler(q->v, q);
}

static gboolean kick_dispatch(GSource *source, GSourceFunc cb, gpointer data)
{
	struct virtq *q = ((struct kick_source *)source)->q;
	eventfd_t n;

	eventfd_read(q->fd, &n);
	/* Before the ring is read: a kick from here on wakes us again. */
	atomic_exchange(&q->kicked, false);
	device_lock(&q->v->dev);
	queue_run(q);
	device_unlock(&q->v->dev);
	return G_SOURCE_CONTINUE;
}

void virtio_wake(struct virtq *q)
{
	if (!atomic_exchange(&q->kicked, true))
		eventfd_write(q->fd, 1);
}

void virtio_kick(struct virtio *v, unsigned queue)
{
	struct virtq *q;

	if (queue >= v->queue_count)
		return;
	q = &v->queue[queue];
	if (q->place == VIRTQ_LOOP) {
		virtio_wake(q);
		return;
	}
	device_lock(&v->dev);
	queue_run(q);
	device_unlock(&v->dev);
}

struct virtq *virtio_queue_add(struct virtio *v, uint16_t size, enum virtq_place place,
	void (*handler)(struct virtio *, struct virtq *))
{
	static GSourceFuncs funcs = { .dispatch = kick_dispatch };
	struct virtq *q = &v->queue[v->queue_count];

	g_assert(v->queue_count < VIRTIO_QUEUES_MAX && size <= VIRTQ_SIZE_MAX);
	*q = (struct virtq){ .v = v, .index = v->queue_count++, .handler = handler,
		.place = place, .max_size = size, .size = size, .vector = VIRTIO_NO_VECTOR,
		.fd = -1 };
	if (place != VIRTQ_INLINE) {
		q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->source = g_source_new(&funcs, sizeof(struct kick_source));
		((struct kick_source *)q->source)->q = q;
		g_source_add_unix_fd(q->source, q->fd, G_IO_IN);
		g_source_set_static_name(q->source, "virtqueue");
		g_source_attach(q->source, NULL);
	}
	return q;
}

static void queue_reset(struct virtq *q)
{
	q->size = q->max_size;
	q->vector = VIRTIO_NO_VECTOR;
	q->enabled = q->mapped = false;
	q->desc = q->driver = q->device = 0;
	q->avail = q->used = 0;
	q->avail_wrap = q->used_wrap = true;
	q->unsignalled = 0;
	q->must_signal = true;
}

/* 2.4: everything the driver set is forgotten. Nothing is in flight. */
static void reset_now(struct virtio *v)
{
	virtio_pci_doorbells(v, false);
	v->resetting = false;
	v->status = 0;
	v->isr = 0;
	v->features = 0;
	v->device_feature_select = v->driver_feature_select = 0;
	v->queue_select = 0;
	v->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < v->queue_count; i++)
		queue_reset(&v->queue[i]);
	pci_intx_set(&v->pci, false);
	if (v->type->reset)
		v->type->reset(v);
}

void virtio_begin(struct virtio *v)
{
	v->in_flight++;
}

void virtio_end(struct virtio *v)
{
	if (!--v->in_flight && v->resetting)
		reset_now(v);
}

void virtio_set_features(struct virtio *v, unsigned word, uint32_t val)
{
	if (v->status & VIRTIO_CONFIG_S_FEATURES_OK || word > 1)
		return;
	v->features &= ~((uint64_t)UINT32_MAX << 32 * word);
	v->features |= (uint64_t)val << 32 * word;
}

/* 3.1.1: the driver reads status back to see whether we took its features. */
static bool features_accepted(struct virtio *v)
{
	return !(v->features & ~v->offered) && virtio_has(v, VIRTIO_F_VERSION_1);
}

static void driver_ok(struct virtio *v)
{
	if (v->type->driver_ok)
		v->type->driver_ok(v);
	virtio_pci_doorbells(v, true);
	/* Buffers made available before DRIVER_OK came with no kick anybody heard. */
	for (unsigned i = 0; i < v->queue_count; i++)
		virtio_kick(v, i);
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
	uint8_t set = status & (uint8_t)~v->status;

	if (v->resetting)
		return;
	if (!status) {
		/* Guest memory belongs to requests in flight: status stays until they are through,
		 * and a driver polls it (2.4.2). */
		v->resetting = true;
		if (!v->in_flight)
			reset_now(v);
		return;
	}
	/* Bits are never cleared except by reset (2.1.1); NEEDS_RESET is ours. */
	set &= (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (set & VIRTIO_CONFIG_S_FEATURES_OK) {
		if (!features_accepted(v))
			set &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
		else if (v->type->features_ok)
			v->type->features_ok(v);
	}
	if (set & VIRTIO_CONFIG_S_DRIVER_OK && !((v->status | set) & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= set;
	if (set & VIRTIO_CONFIG_S_DRIVER_OK)
		driver_ok(v);
}

static void config_interrupt(struct virtio *v)
{
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_notify(v, v->config_vector, ISR_CONFIG);
}

void virtio_broken(struct virtio *v, const char *fmt, ...)
{
	g_autofree char *why = NULL;
	va_list ap;

	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	va_start(ap, fmt);
	why = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	log_guest(&v->log, "%s: %s; the device stops until the driver resets it", v->dev.id, why);
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	config_interrupt(v);
}

void virtio_config_changed(struct virtio *v)
{
	v->config_generation++;
	config_interrupt(v);
}

void virtio_reset(struct device *d)
{
	struct virtio *v = virtio_of(d);

	reset_now(v);
	pci_device_reset(&v->pci);
}

void virtio_quiesce(struct device *d)
{
	device_lock(d);
	virtio_of(d)->parked = true;
	device_unlock(d);
}

void virtio_resume(struct device *d)
{
	struct virtio *v = virtio_of(d);

	device_lock(d);
	v->parked = false;
	/* Kicks that came meanwhile found nobody. */
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		for (unsigned i = 0; i < v->queue_count; i++)
			virtio_kick(v, i);
	device_unlock(d);
}

static int queue_loaded(struct virtq *q, GError **error)
{
	bool packed = virtio_has(q->v, VIRTIO_F_RING_PACKED);

	if (!q->size || q->size > q->max_size || (!packed && q->size & (q->size - 1)) ||
	    (packed && (q->avail >= q->size || q->used >= q->size)))
		return fail(error, LODGE_ERROR_STATE, "%s: queue %u of the saved state is damaged",
			q->v->dev.id, q->index);
	q->mapped = false;
	q->unsignalled = 0;
	q->must_signal = true;
	return 0;
}

int virtio_loaded(struct device *d, GError **error)
{
	struct virtio *v = virtio_of(d);

	if (v->status & VIRTIO_CONFIG_S_FEATURES_OK && !features_accepted(v))
		return fail(error, LODGE_ERROR_STATE,
			"%s: the saved machine's driver uses features this device does not offer",
			d->id);
	for (unsigned i = 0; i < v->queue_count; i++)
		if (queue_loaded(&v->queue[i], error) < 0)
			return -1;
	v->resetting = false;
	if (pci_device_loaded(&v->pci, error) < 0)
		return -1;
	if (v->status & VIRTIO_CONFIG_S_FEATURES_OK && v->type->features_ok)
		v->type->features_ok(v);
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_pci_doorbells(v, true);
	return 0;
}

void virtio_fini(struct device *d)
{
	struct virtio *v = virtio_of(d);

	if (v->listener.opaque)
		space_unlisten(d->machine->memory, &v->listener);
	virtio_pci_doorbells(v, false);
	for (unsigned i = 0; i < v->queue_count; i++) {
		struct virtq *q = &v->queue[i];

		if (q->source) {
			g_source_destroy(q->source);
			g_clear_pointer(&q->source, g_source_unref);
		}
		if (q->fd >= 0)
			close(q->fd);
	}
	pci_device_fini(&v->pci);
}
