/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio.h: what all virtio devices share: negotiation, queues, configuration, interrupts. The PCI
 * transport is in virtio_pci.c, the rings are in ring*.c. Modern (version 1) only.
 * Spec: OASIS Virtual I/O Device (VIRTIO) 1.2. Numbers come from the kernel's own headers.
 *
 * A device embeds struct virtio as its first member and fills a struct virtio_type. All calls and
 * callbacks hold the device's lock unless stated otherwise.
 */
#ifndef DEVICE_VIRTIO_VIRTIO_H
#define DEVICE_VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/log.h"
#include "core/device.h"
#include "core/region.h"
#include "device/bus/pci.h"

struct ram;
struct virtio;
struct virtq;

enum {
	VIRTIO_QUEUES_MAX = 64,
	VIRTQ_SIZE_MAX = 1024,
	VIRTIO_CONFIG_MAX = 256,
	VIRTIO_NO_VECTOR = 0xffff,
};

#define VIRTIO_BIT(n) (1ull << (n))

/* What a kind of device is. Calls may be NULL where marked. */
struct virtio_type {
	uint16_t id;	     /* chapter 5 */
	uint32_t class_code; /* PCI */
	uint16_t config_size;
	uint64_t (*features)(const struct virtio *v); /* offered beside the rings' own */
	void (*config_read)(struct virtio *v, uint8_t *buf); /* fills config_size bytes */
	/* Bytes [off, off+len) of buf were written by the driver, the rest is config_read's; NULL:
	 * nothing is writable. */
	void (*config_write)(struct virtio *v, unsigned off, unsigned len, const uint8_t *buf);
	void (*features_ok)(struct virtio *v); /* v->features is final, or was restored; NULL */
	void (*driver_ok)(struct virtio *v);   /* the driver is live; NULL */
	void (*reset)(struct virtio *v); /* the device's own state; nothing is in flight; NULL */
};

/* Where a queue's handler runs. */
enum virtq_place {
	VIRTQ_INLINE, /* where the driver's kick arrives, a vCPU's thread: no hop, no wake-up */
	VIRTQ_LOOP,   /* on the loop's thread */
	VIRTQ_EITHER, /* inline, or on the loop where an accelerator hears the kick without us */
};

/* One ring area in host memory. */
struct virtq_area {
	uint8_t *host;
	struct ram *ram; /* borrowed */
	uint64_t ram_offset;
};

struct virtq {
	struct virtio *v; /* borrowed */
	unsigned index;
	/* The driver has made buffers available. */
	void (*handler)(struct virtio *v, struct virtq *q);
	enum virtq_place place;
	uint16_t max_size;

	/* Saved. */
	uint16_t size, vector;
	bool enabled;
	uint64_t desc, driver, device; /* guest addresses of the three areas */
	uint16_t avail, used; /* split: free-running indices; packed: next slots */
	bool avail_wrap, used_wrap; /* packed */

	/* Derived. */
	bool mapped;
	struct virtq_area desc_area, driver_area, device_area;
	uint32_t unsignalled; /* used entries since the last look at the driver's event field */
	bool must_signal;     /* nothing is known about what the driver has seen: signal */
	int fd;		      /* eventfd of kicks, -1: none; owned */
	GSource *source;      /* owned */
	_Atomic bool kicked;
	uint64_t ioevent;     /* address an accelerator listens at; 0: none */
};

/* One descriptor chain, as host memory. Arrays of `max` elements belong to the device. */
struct virtq_chain {
	uint16_t id;	/* split: head; packed: buffer id */
	uint16_t slots; /* ring slots it occupies */
	uint16_t max;
	uint16_t out, in; /* iov[0..out) is for reading, iov[out..out+in) for writing */
	uint32_t out_bytes, in_bytes;
	struct iovec *iov;
	uint64_t *gpa; /* guest address of each iov element */
};

struct virtio {
	union {
		struct device dev;
		struct pci_device pci; /* starts with dev */
	};
	const struct virtio_type *type;
	unsigned queue_count;
	struct virtq queue[VIRTIO_QUEUES_MAX];
	uint64_t offered;
	bool packed_offered; /* config: packed */

	/* Saved. */
	uint64_t features; /* the driver's choice */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr, config_generation;

	/* Derived. */
	bool parked;	/* the machine stands still: no queue is touched */
	bool resetting; /* the driver asked for reset while requests are in flight */
	unsigned in_flight;
	struct flat window; /* last RAM found for a buffer; size 0: none */
	_Atomic bool layout_changed;
	struct space_listener listener;
	unsigned pci_cfg_cap; /* 4.1.4.9 */
	struct region common, isr_region, config_region, notify;
	struct log_limit log;
};

extern const struct field virtio_state[];
#define VIRTIO_STATE(type, member)                                                                 \
	PCI_STATE(type, member.pci),                                                               \
	{ .name = "virtio", .offset = offsetof(type, member), .count = 1,                          \
	  .stride = sizeof(struct virtio), .kind = FIELD_STRUCT, .sub = virtio_state }
#define VIRTIO_CONFIG(type, member)                                                                \
	{ .name = "packed", .help = "offer packed rings", .kind = FIELD_BOOL, .count = 1,          \
	  .offset = offsetof(type, member.packed_offered), .dflt = "off" }

/* virtio_pci.c: the whole device's life on PCI; queues are added before. */
int virtio_pci_init(struct virtio *v, const struct virtio_type *t, GError **error);
void virtio_pci_notify(struct virtio *v, uint16_t vector, uint8_t isr_bit);
void virtio_pci_doorbells(struct virtio *v, bool on); /* ioeventfds of enabled queues */

/* The calls of struct device_class, for devices to use or wrap. */
void virtio_reset(struct device *d);	/* machine reset */
void virtio_quiesce(struct device *d);
void virtio_resume(struct device *d);
int virtio_loaded(struct device *d, GError **error);
void virtio_fini(struct device *d);

/* In init. size: a power of two. */
struct virtq *virtio_queue_add(struct virtio *v, uint16_t size, enum virtq_place place,
	void (*handler)(struct virtio *, struct virtq *));
/* virtio.c, used by transports. */
int virtio_init(struct virtio *v, const struct virtio_type *t, GError **error);
void virtio_set_status(struct virtio *v, uint8_t status);
void virtio_set_features(struct virtio *v, unsigned word, uint32_t val);
void virtio_kick(struct virtio *v, unsigned queue); /* lock held or not */
/* Runs the handler on the loop soon. Not for inline queues. Any thread. */
void virtio_wake(struct virtq *q);

/* May queues be served now? */
bool virtio_live(const struct virtio *v);
static inline bool virtio_has(const struct virtio *v, unsigned bit)
{
	return v->features >> bit & 1;
}
/* The driver broke the rules: DEVICE_NEEDS_RESET, a config interrupt, a limited log line. */
void virtio_broken(struct virtio *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The configuration space changed by itself. */
void virtio_config_changed(struct virtio *v);
/* Brackets of a request that outlives the handler; a reset waits for the last. */
void virtio_begin(struct virtio *v);
void virtio_end(struct virtio *v);

/* ring.c. Takes one chain: 1, none is there: 0, the ring is broken: -1 (already reported). */
int virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Puts the last `n` popped chains back, the last one first; nothing else happened since. */
void virtq_unpop(struct virtq *q, const struct virtq_chain *last);
/* The first n bytes of the writable part were written: before virtq_push. */
void virtq_written(struct virtq *q, const struct virtq_chain *c, uint32_t n);
/* Same for bytes outside the chain's (remaining) segments. */
void virtq_touch(struct virtq *q, uint64_t gpa, uint32_t n);
/* Hands chains back; the driver sees all or none. len[i] bytes of c[i] were written. */
void virtq_push_many(struct virtq *q, const struct virtq_chain *const *c, const uint32_t *len,
	unsigned n);
static inline void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t len)
{
	virtq_push_many(q, &c, &len, 1);
}
/* Interrupts the driver if it wants to know of what was pushed. */
void virtq_signal(struct virtq *q);
/* Kicks wanted or not. Turning them on: true if a chain came meanwhile, which must be served. */
bool virtq_kicks(struct virtq *q, bool on);

/* Allocates a chain's arrays. */
void virtq_chain_init(struct virtq_chain *c, uint16_t max);
void virtq_chain_fini(struct virtq_chain *c);
/* Removes bytes from the start of the readable or from the end of the writable part; the caller
 * knows there are as many. */
void virtq_chain_skip_out(struct virtq_chain *c, uint32_t n);
void virtq_chain_drop_in(struct virtq_chain *c, uint32_t n);
/* Copies; bytes copied, less at the end of the vector. */
size_t iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len);

#endif
