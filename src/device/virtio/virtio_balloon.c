/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_balloon.c: inflate and deflate, statistics, free page reporting. What the guest gives back
 * is punched out of the memfd, so the host has it at once. Spec: VIRTIO 1.2, 5.5.
 */
#include "device/virtio/virtio_balloon.h"

#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "base/own.h"
#include "core/clock.h"
#include "core/machine.h"
#include "core/ram.h"
#include "device/virtio/virtio.h"

enum {
	QUEUE_SIZE = 128,
	CHAIN_MAX = QUEUE_SIZE + 2,
	PAGE_SHIFT = VIRTIO_BALLOON_PFN_SHIFT,
	PFN_BATCH = 256,
	INFLATE = 0,
	DEFLATE = 1,
	STATS = 2,
};

struct virtio_balloon {
	struct virtio v;
	bool deflate_on_oom, free_page_reporting;
	/* state */
	uint32_t num_pages; /* wanted in the balloon */
	uint32_t actual;    /* in it, says the driver */
	bool stats_held;    /* we own a statistics buffer: returning it asks for news */
	uint16_t stats_id, stats_slots;
	uint32_t interval;  /* seconds */
	/* derived */
	uint64_t stats[BALLOON_STATS];
	uint64_t stats_time;
	struct timer poll;
	struct virtq_chain chain;
	void (*changed)(void *opaque, uint64_t actual);
	void *changed_opaque;
};

static struct virtio_balloon *balloon_of(struct device *d)
{
	return container_of(d, struct virtio_balloon, v.dev);
}

bool virtio_balloon_is(struct device *d)
{
	return d->cls == &virtio_balloon_class;
}

static uint64_t balloon_features(const struct virtio *v)
{
	const struct virtio_balloon *s = container_of(v, const struct virtio_balloon, v);

	return VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ) |
		(s->deflate_on_oom ? VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) : 0) |
		(s->free_page_reporting ? VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) : 0);
}

static uint64_t guest_ram(const struct virtio_balloon *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->v.dev.machine->rams->len; i++)
		sum += ((struct ram *)g_ptr_array_index(s->v.dev.machine->rams, i))->size;
	return sum;
}

static uint64_t actual_bytes(const struct virtio_balloon *s)
{
	uint64_t ram = guest_ram(s), in = (uint64_t)s->actual << PAGE_SHIFT;

	return in < ram ? ram - in : 0;
}

static void balloon_config_read(struct virtio *v, uint8_t *buf)
{
	const struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);
	struct virtio_balloon_config c = { .num_pages = s->num_pages, .actual = s->actual };

	memcpy(buf, &c, v->type->config_size);
}

static void balloon_config_write(struct virtio *v, unsigned off, unsigned len, const uint8_t *buf)
{
	struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);
	uint32_t actual;

	memcpy(&actual, buf + offsetof(struct virtio_balloon_config, actual), 4);
	if (actual == s->actual)
		return;
	s->actual = actual;
	if (s->changed)
		s->changed(s->changed_opaque, actual_bytes(s));
}

/* Gives guest bytes back to the host; they read as zeroes from now on. */
static void punch(struct virtio_balloon *s, uint64_t gpa, uint64_t len)
{
	while (len) {
		struct flat f;
		uint64_t off, n, at;

		if (!space_find(s->v.dev.machine->memory, gpa, &f) || !f.host || f.readonly)
			return;
		off = gpa - f.start;
		n = MIN(len, f.size - off);
		at = f.region->ram_offset + f.region_offset + off;
		/* Of a huge page only whole ones can go. */
		if (!f.region->ram->hugepages &&
		    fallocate(f.region->ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)at, (off_t)n) == 0)
			ram_touch(f.region->ram, at, n);
		gpa += n;
		len -= n;
	}
}

/* Page numbers, most often in a row, up or down: one system call a run. */
static void inflate_pages(struct virtio_balloon *s, const uint32_t *pfn, unsigned n)
{
	uint64_t start = 0, pages = 0;

	for (unsigned i = 0; i < n; i++) {
		if (pages && pfn[i] == start + pages) {
			pages++;
		} else if (pages && pfn[i] + 1ull == start) {
			start--;
			pages++;
		} else {
			punch(s, start << PAGE_SHIFT, pages << PAGE_SHIFT);
			start = pfn[i];
			pages = 1;
		}
	}
	punch(s, start << PAGE_SHIFT, pages << PAGE_SHIFT);
}

static void balloon_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);
	struct virtq_chain *c = &s->chain;

	do {
		while (virtq_pop(q, c) > 0) {
			uint32_t pfn[PFN_BATCH];
			size_t at = 0, n;

			/* Deflated pages come back by themselves when the guest touches them. */
			while (q->index == INFLATE &&
			       (n = iov_read(c->iov, c->out, at, pfn, sizeof(pfn))) >= 4) {
				inflate_pages(s, pfn, (unsigned)(n / 4));
				at += n;
			}
			virtq_push(q, c, 0);
		}
	} while (virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
}

/* 5.5.6.7: pages the guest does not use; writable, but we only take them away. */
static void report_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);
	struct virtq_chain *c = &s->chain;

	do {
		while (virtq_pop(q, c) > 0) {
			for (unsigned i = c->out; i < (unsigned)(c->out + c->in); i++)
				if (!((c->gpa[i] | c->iov[i].iov_len) & (RAM_PAGE - 1)))
					punch(s, c->gpa[i], c->iov[i].iov_len);
			virtq_push(q, c, 0);
		}
	} while (virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
}

/* 5.5.6.3: the driver hands us one buffer and fills it anew whenever we give it back. */
static void stats_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);
	struct virtq_chain *c = &s->chain;
	struct virtio_balloon_stat st;

	while (virtq_pop(q, c) > 0) {
		if (s->stats_held) { /* a second one: not of use */
			virtq_push(q, c, 0);
			continue;
		}
		for (size_t at = 0; iov_read(c->iov, c->out, at, &st, sizeof(st)) == sizeof(st) &&
		     at < BALLOON_STATS * sizeof(st) * 4; at += sizeof(st))
			if (st.tag < BALLOON_STATS)
				s->stats[st.tag] = st.val;
		s->stats_time = (uint64_t)(clock_ns(v->dev.machine->clock) / NS_PER_SEC) + 1;
		s->stats_held = true;
		s->stats_id = c->id;
		s->stats_slots = c->slots;
	}
	virtq_kicks(q, true);
	virtq_signal(q);
}

static void stats_poll(void *opaque)
{
	struct virtio_balloon *s = opaque;
	struct virtq *q = &s->v.queue[STATS];

	if (s->stats_held && q->enabled && virtio_live(&s->v)) {
		struct virtq_chain held = { .id = s->stats_id, .slots = s->stats_slots };

		s->stats_held = false;
		virtq_push(q, &held, 0);
		virtq_signal(q);
	}
	if (s->interval)
		timer_arm(&s->poll, clock_ns(s->v.dev.machine->clock) +
			(int64_t)s->interval * NS_PER_SEC);
}

static void balloon_reset(struct virtio *v)
{
	struct virtio_balloon *s = container_of(v, struct virtio_balloon, v);

	s->stats_held = false;
	s->actual = 0;
	memset(s->stats, 0xff, sizeof(s->stats));
	s->stats_time = 0;
}

static const struct virtio_type balloon_type = {
	.id = VIRTIO_ID_BALLOON,
	.class_code = 0x00ff00,
	.config_size = offsetof(struct virtio_balloon_config, free_page_hint_cmd_id),
	.features = balloon_features,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
};

static int balloon_init(struct device *d, GError **error)
{
	struct virtio_balloon *s = balloon_of(d);

	timer_init(&s->poll, d->machine->clock, d, stats_poll, s);
	memset(s->stats, 0xff, sizeof(s->stats));
	virtq_chain_init(&s->chain, CHAIN_MAX);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, balloon_handle);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, balloon_handle);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, stats_handle);
	/* The specification puts reporting at 4; Linux numbers only the queues that exist. Without
	 * free page hints (3) both are ours. */
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, report_handle);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, report_handle);
	return virtio_pci_init(&s->v, &balloon_type, error);
}

static int balloon_loaded(struct device *d, GError **error)
{
	struct virtio_balloon *s = balloon_of(d);

	if (s->interval)
		timer_arm(&s->poll, clock_ns(d->machine->clock) + NS_PER_SEC);
	if (s->stats_held && (s->stats_id >= VIRTQ_SIZE_MAX || s->stats_slots > QUEUE_SIZE))
		s->stats_held = false;
	return virtio_loaded(d, error);
}

static void balloon_fini(struct device *d)
{
	struct virtio_balloon *s = balloon_of(d);

	timer_cancel(&s->poll);
	virtio_fini(d);
	virtq_chain_fini(&s->chain);
}

void virtio_balloon_set_target(struct device *d, uint64_t bytes)
{
	struct virtio_balloon *s = balloon_of(d);
	uint64_t ram = guest_ram(s);
	uint32_t pages = bytes < ram ? (uint32_t)MIN((ram - bytes) >> PAGE_SHIFT, UINT32_MAX) : 0;

	device_lock(d);
	if (s->num_pages != pages) {
		s->num_pages = pages;
		virtio_config_changed(&s->v);
	}
	device_unlock(d);
}

uint64_t virtio_balloon_actual(struct device *d)
{
	uint64_t bytes;

	device_lock(d);
	bytes = actual_bytes(balloon_of(d));
	device_unlock(d);
	return bytes;
}

void virtio_balloon_listen(struct device *d, void (*changed)(void *opaque, uint64_t actual),
	void *opaque)
{
	balloon_of(d)->changed = changed;
	balloon_of(d)->changed_opaque = opaque;
}

void virtio_balloon_set_interval(struct device *d, unsigned seconds)
{
	struct virtio_balloon *s = balloon_of(d);

	device_lock(d);
	timer_cancel(&s->poll);
	s->interval = seconds;
	if (seconds)
		stats_poll(s);
	device_unlock(d);
}

uint64_t virtio_balloon_stats(struct device *d, uint64_t ret_stats[BALLOON_STATS])
{
	struct virtio_balloon *s = balloon_of(d);
	uint64_t when;

	device_lock(d);
	memcpy(ret_stats, s->stats, sizeof(s->stats));
	when = s->stats_time;
	device_unlock(d);
	return when;
}

static const struct field config[] = {
	VIRTIO_CONFIG(struct virtio_balloon, v),
	CONFIG(struct virtio_balloon, deflate_on_oom, FIELD_BOOL, "on",
		"the guest may take memory back before it runs out"),
	CONFIG(struct virtio_balloon, free_page_reporting, FIELD_BOOL, "on",
		"the guest tells of pages it does not use"),
	{ 0 },
};

static const struct field state[] = {
	VIRTIO_STATE(struct virtio_balloon, v),
	FIELD(struct virtio_balloon, num_pages, FIELD_U32),
	FIELD(struct virtio_balloon, actual, FIELD_U32),
	FIELD(struct virtio_balloon, stats_held, FIELD_BOOL),
	FIELD(struct virtio_balloon, stats_id, FIELD_U16),
	FIELD(struct virtio_balloon, stats_slots, FIELD_U16),
	FIELD(struct virtio_balloon, interval, FIELD_U32),
	{ 0 },
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.help = "memory the guest gives back",
	.size = sizeof(struct virtio_balloon),
	.version = 1,
	.config = config,
	.state = state,
	.init = balloon_init,
	.reset = virtio_reset,
	.quiesce = virtio_quiesce,
	.resume = virtio_resume,
	.loaded = balloon_loaded,
	.fini = balloon_fini,
};
