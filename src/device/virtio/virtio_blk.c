/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_blk.c: a disk on an image. Requests live in a pool a queue has from the start; data goes
 * between image and guest memory without a copy. Spec: VIRTIO 1.2, 5.2.
 */
#include "device/virtio/virtio_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "device/virtio/virtio.h"
#include "image/image.h"

enum {
	QUEUE_SIZE = 256,
	QUEUES_MAX = 16,
	SEG_MAX = QUEUE_SIZE - 2, /* a chain also has header and status */
	CHAIN_MAX = QUEUE_SIZE + 2,
	SECTOR = 512,
	DISCARD_MAX_SECTORS = 1 << 22, /* 2 GiB a request */
};

struct blk_request {
	struct image_request io;
	struct virtq_chain chain;
	struct virtq *q;
	uint8_t *status;
	uint64_t status_gpa;
	uint32_t in_bytes; /* of data, all of which a successful read fills */
	int64_t started;   /* µs, monotonic */
	struct blk_request *next; /* free list */
};

struct blk_queue {
	struct blk_request *requests; /* QUEUE_SIZE of them; owned */
	struct iovec *iovs;	      /* CHAIN_MAX a request; owned; touched as far as used */
	uint64_t *gpas;
	struct blk_request *free; /* last used first: its memory is still in the cache */
};

struct virtio_blk {
	struct virtio v;
	char *serial;
	uint16_t queues;
	uint32_t logical_block_size, physical_block_size;
	bool discard;
	uint8_t write_cache; /* state: the driver's wish, 5.2.6.3 */
	struct image *image; /* borrowed */
	struct blk_queue queue[QUEUES_MAX];
	struct blk_stats stats;
};

static struct virtio_blk *blk_of(struct device *d)
{
	return container_of(d, struct virtio_blk, v.dev);
}

void virtio_blk_set_image(struct device *d, struct image *im)
{
	blk_of(d)->image = im;
}

void virtio_blk_resized(struct device *d)
{
	device_lock(d);
	virtio_config_changed(&blk_of(d)->v);
	device_unlock(d);
}

void virtio_blk_stats(struct device *d, struct blk_stats *ret_stats)
{
	device_lock(d);
	*ret_stats = blk_of(d)->stats;
	device_unlock(d);
}

static uint64_t blk_features(const struct virtio *v)
{
	const struct virtio_blk *s = container_of(v, const struct virtio_blk, v);
	uint64_t f = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
		VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY);

	if (image_readonly(s->image))
		f |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
	else
		f |= VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
			VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (!image_readonly(s->image) && s->discard && image_discard_granularity(s->image))
		f |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD);
	if (s->queues > 1)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	return f;
}

static void blk_config_read(struct virtio *v, uint8_t *buf)
{
	const struct virtio_blk *s = container_of(v, struct virtio_blk, v);
	uint32_t grain = image_discard_granularity(s->image) / SECTOR;
	struct virtio_blk_config c = {
		.capacity = image_size(s->image) / SECTOR,
		.seg_max = SEG_MAX,
		.blk_size = s->logical_block_size,
		.physical_block_exp = (uint8_t)g_bit_nth_lsf(
			s->physical_block_size / s->logical_block_size, -1),
		.min_io_size = (uint16_t)(s->physical_block_size / s->logical_block_size),
		.opt_io_size = 0,
		.wce = s->write_cache,
		.num_queues = s->queues,
		.max_discard_sectors = DISCARD_MAX_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = MAX(grain, s->logical_block_size / SECTOR),
		.max_write_zeroes_sectors = DISCARD_MAX_SECTORS,
		.max_write_zeroes_seg = 1,
		.write_zeroes_may_unmap = s->discard,
	};

	memcpy(buf, &c, sizeof(c));
}

static void blk_config_write(struct virtio *v, unsigned off, unsigned len, const uint8_t *buf)
{
	struct virtio_blk *s = container_of(v, struct virtio_blk, v);
	unsigned at = offsetof(struct virtio_blk_config, wce);

	if (off <= at && off + len > at && virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
		s->write_cache = buf[at] & 1;
}

/* 5.2.6.2: a driver that cannot flush gets a disk that needs no flush. */
static bool write_through(const struct virtio_blk *s)
{
	if (virtio_has(&s->v, VIRTIO_BLK_F_CONFIG_WCE))
		return !s->write_cache;
	return !virtio_has(&s->v, VIRTIO_BLK_F_FLUSH);
}

/* The request is through: status, used ring, interrupt. */
static void finish(struct blk_request *r, uint8_t status)
{
	struct virtq *q = r->q;
	struct virtio_blk *s = container_of(q->v, struct virtio_blk, v);
	struct blk_queue *bq = &s->queue[q->index];
	uint32_t written = status == VIRTIO_BLK_S_OK ? r->in_bytes : 0;

	virtq_written(q, &r->chain, written);
	*r->status = status;
	virtq_touch(q, r->status_gpa, 1);
	virtq_push(q, &r->chain, written + 1);
	r->next = bq->free;
	bq->free = r;
}

static void count(struct virtio_blk *s, const struct blk_request *r, bool failed)
{
	static const enum blk_count kinds[] = {
		[IMAGE_READ] = BLK_READ, [IMAGE_WRITE] = BLK_WRITE, [IMAGE_FLUSH] = BLK_FLUSH,
		[IMAGE_DISCARD] = BLK_UNMAP, [IMAGE_ZERO] = BLK_WRITE,
	};
	enum blk_count k = kinds[r->io.op];
	int64_t now = g_get_monotonic_time();

	s->stats.ops[k]++;
	s->stats.bytes[k] += failed ? 0 : r->io.length;
	s->stats.failed[k] += failed;
	s->stats.ns[k] += (uint64_t)(now - r->started) * 1000;
	s->stats.last_ns = now * 1000;
}

/* Back end callback, inside submit() or on the loop's thread. */
static void io_done(struct image_request *io, int err)
{
	struct blk_request *r = container_of(io, struct blk_request, io);
	struct virtq *q = r->q;
	struct virtio *v = q->v;
	struct virtio_blk *s = container_of(v, struct virtio_blk, v);
	bool dry;

	device_lock(&v->dev);
	dry = !s->queue[q->index].free;
	count(s, r, err != 0);
	finish(r, err == 0 ? VIRTIO_BLK_S_OK : err == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP :
		VIRTIO_BLK_S_IOERR);
	virtq_signal(q);
	virtio_end(v);
	if (dry)
		virtio_wake(q);
	device_unlock(&v->dev);
}

static void submit(struct virtio_blk *s, struct blk_request *r, enum image_op op)
{
	r->io.op = op;
	r->io.done = io_done;
	r->started = g_get_monotonic_time();
	virtio_begin(&s->v);
	image_submit(s->image, r->q->index, &r->io);
}

/* VIRTIO_BLK_T_IN and _OUT: false if it was answered at once. */
static bool transfer(struct virtio_blk *s, struct blk_request *r, bool write, uint64_t sector)
{
	const struct virtq_chain *c = &r->chain;
	uint64_t bytes = write ? c->out_bytes : c->in_bytes;
	uint64_t sectors = image_size(s->image) / SECTOR;

	if (bytes % s->logical_block_size || sector % (s->logical_block_size / SECTOR) ||
	    sector > sectors || bytes / SECTOR > sectors - sector ||
	    (write && image_readonly(s->image))) {
		finish(r, VIRTIO_BLK_S_IOERR);
		return false;
	}
	r->io.offset = sector * SECTOR;
	r->io.length = bytes;
	r->io.iov = write ? c->iov : c->iov + c->out;
	r->io.iovcnt = write ? c->out : c->in;
	r->io.fua = write && write_through(s);
	r->in_bytes = write ? 0 : (uint32_t)bytes;
	submit(s, r, write ? IMAGE_WRITE : IMAGE_READ);
	return true;
}

/* 5.2.6: VIRTIO_BLK_T_DISCARD and _WRITE_ZEROES with one segment. */
static bool discard(struct virtio_blk *s, struct blk_request *r, bool zero)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint64_t sectors = image_size(s->image) / SECTOR;
	bool unmap, offered = virtio_has(&s->v, zero ? VIRTIO_BLK_F_WRITE_ZEROES :
		VIRTIO_BLK_F_DISCARD);

	if (!offered || r->chain.out_bytes != sizeof(seg)) {
		finish(r, offered ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP);
		return false;
	}
	iov_read(r->chain.iov, r->chain.out, 0, &seg, sizeof(seg));
	unmap = seg.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	if (seg.flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP || (unmap && !zero)) {
		finish(r, VIRTIO_BLK_S_UNSUPP);
		return false;
	}
	if (seg.num_sectors > DISCARD_MAX_SECTORS || seg.sector > sectors ||
	    seg.num_sectors > sectors - seg.sector) {
		finish(r, VIRTIO_BLK_S_IOERR);
		return false;
	}
	r->io.offset = seg.sector * SECTOR;
	r->io.length = (uint64_t)seg.num_sectors * SECTOR;
	r->io.may_unmap = unmap && s->discard;
	r->io.fua = false;
	submit(s, r, zero ? IMAGE_ZERO : IMAGE_DISCARD);
	return true;
}

static bool get_id(struct virtio_blk *s, struct blk_request *r)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };

	memcpy(id, s->serial ? s->serial : "", MIN(strlen(s->serial ? s->serial : ""), sizeof(id)));
	r->in_bytes =
		(uint32_t)iov_write(r->chain.iov + r->chain.out, r->chain.in, 0, id, sizeof(id));
	finish(r, VIRTIO_BLK_S_OK);
	return false;
}

/* Starts one request; true if it goes on asynchronously. */
static bool start(struct virtio_blk *s, struct blk_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct virtio_blk_outhdr h;
	unsigned last = (unsigned)(c->out + c->in) - 1;

	r->io = (struct image_request){ 0 };
	r->in_bytes = 0;
	iov_read(c->iov, c->out, 0, &h, sizeof(h));
	virtq_chain_skip_out(c, sizeof(h));
	last = (unsigned)(c->out + c->in) - 1;
	r->status = (uint8_t *)c->iov[last].iov_base + c->iov[last].iov_len - 1;
	r->status_gpa = c->gpa[last] + c->iov[last].iov_len - 1;
	virtq_chain_drop_in(c, 1);
	switch (h.type) {
	case VIRTIO_BLK_T_IN:
		return transfer(s, r, false, h.sector);
	case VIRTIO_BLK_T_OUT:
		return transfer(s, r, true, h.sector);
	case VIRTIO_BLK_T_FLUSH:
		submit(s, r, IMAGE_FLUSH);
		return true;
	case VIRTIO_BLK_T_GET_ID:
		return get_id(s, r);
	case VIRTIO_BLK_T_DISCARD:
		return discard(s, r, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return discard(s, r, true);
	default:
		finish(r, VIRTIO_BLK_S_UNSUPP);
		return false;
	}
}

static void blk_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_blk *s = container_of(v, struct virtio_blk, v);
	struct blk_queue *bq = &s->queue[q->index];
	bool any = false, at_once = false;

	virtq_kicks(q, false);
	do {
		struct blk_request *r;

		/* The pool is as large as the ring: it runs dry only if a driver reuses
		 * descriptors it does not own. The next completion kicks. */
		while ((r = bq->free) && virtq_pop(q, &r->chain) > 0) {
			if (r->chain.out_bytes < sizeof(struct virtio_blk_outhdr) ||
			    !r->chain.in_bytes) {
				virtio_broken(v, "queue %u: request without header or status",
					q->index);
				return;
			}
			bq->free = r->next;
			if (start(s, r))
				any = true;
			else
				at_once = true;
		}
		if (any)
			image_kick(s->image, q->index);
		any = false;
	} while (bq->free && virtio_live(v) && virtq_kicks(q, true));
	if (at_once)
		virtq_signal(q);
}

static void blk_reset(struct virtio *v)
{
	container_of(v, struct virtio_blk, v)->write_cache = 1;
}

static const struct virtio_type blk_type = {
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x010000,
	.config_size = sizeof(struct virtio_blk_config),
	.features = blk_features,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.reset = blk_reset,
};

static bool power_of_two(uint32_t v)
{
	return v && !(v & (v - 1));
}

static int blk_init(struct device *d, GError **error)
{
	struct virtio_blk *s = blk_of(d);

	if (!s->image)
		return fail(error, LODGE_ERROR_USAGE, "%s: a disk needs an image", d->id);
	if (s->queues < 1 || s->queues > QUEUES_MAX)
		return fail(error, LODGE_ERROR_USAGE, "%s: queues must be 1 to %d", d->id,
			QUEUES_MAX);
	if (!power_of_two(s->logical_block_size) || !power_of_two(s->physical_block_size) ||
	    s->logical_block_size < SECTOR || s->logical_block_size > 4096 ||
	    s->physical_block_size < s->logical_block_size || s->physical_block_size > 65536)
		return fail(error, LODGE_ERROR_USAGE,
			"%s: block sizes are powers of two, 512 to 4096 logical, up to 65536 "
			"physical",
			d->id);
	for (unsigned i = 0; i < s->queues; i++) {
		struct blk_queue *bq = &s->queue[i];

		virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_EITHER, blk_handle);
		if (image_queue_attach(s->image, i, NULL, error) < 0)
			return -1;
		bq->requests = g_new0(struct blk_request, QUEUE_SIZE);
		bq->iovs = g_new0(struct iovec, QUEUE_SIZE * CHAIN_MAX);
		bq->gpas = g_new0(uint64_t, QUEUE_SIZE * CHAIN_MAX);
		for (unsigned k = QUEUE_SIZE; k--;) {
			struct blk_request *r = &bq->requests[k];

			r->chain = (struct virtq_chain){ .max = CHAIN_MAX,
				.iov = bq->iovs + k * CHAIN_MAX, .gpa = bq->gpas + k * CHAIN_MAX };
			r->q = &s->v.queue[i];
			r->next = bq->free;
			bq->free = r;
		}
	}
	s->write_cache = 1;
	return virtio_pci_init(&s->v, &blk_type, error);
}

static void blk_quiesce(struct device *d)
{
	struct virtio_blk *s = blk_of(d);

	virtio_quiesce(d);
	for (unsigned i = 0; i < s->queues; i++)
		image_drain(s->image, i);
}

static int blk_loaded(struct device *d, GError **error)
{
	blk_of(d)->write_cache &= 1;
	return virtio_loaded(d, error);
}

static void blk_fini(struct device *d)
{
	struct virtio_blk *s = blk_of(d);

	for (unsigned i = 0; i < s->v.queue_count; i++) {
		image_drain(s->image, i);
		g_free(s->queue[i].requests);
		g_free(s->queue[i].iovs);
		g_free(s->queue[i].gpas);
	}
	virtio_fini(d);
}

static const struct field config[] = {
	VIRTIO_CONFIG(struct virtio_blk, v),
	CONFIG(struct virtio_blk, serial, FIELD_STRING, NULL, "serial number, up to 20 bytes"),
	CONFIG(struct virtio_blk, queues, FIELD_U16, "1", "request queues, 1 to 16"),
	CONFIG(struct virtio_blk, logical_block_size, FIELD_U32, "512", "bytes of a block"),
	CONFIG(struct virtio_blk, physical_block_size, FIELD_U32, "4096",
		"bytes the host writes without reading first"),
	CONFIG(struct virtio_blk, discard, FIELD_BOOL, "on", "let the guest free blocks"),
	{ 0 },
};

static const struct field state[] = {
	VIRTIO_STATE(struct virtio_blk, v),
	FIELD(struct virtio_blk, write_cache, FIELD_U8),
	{ 0 },
};

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.help = "disk",
	.size = sizeof(struct virtio_blk),
	.version = 1,
	.config = config,
	.state = state,
	.init = blk_init,
	.reset = virtio_reset,
	.quiesce = blk_quiesce,
	.resume = virtio_resume,
	.loaded = blk_loaded,
	.fini = blk_fini,
};
