/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_rng.c: entropy from getrandom(2), at a limited rate if wanted. Spec: VIRTIO 1.2, 5.4. */
#include "device/virtio/virtio_rng.h"

#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/own.h"
#include "core/clock.h"
#include "core/machine.h"
#include "device/virtio/virtio.h"

enum {
	QUEUE_SIZE = 64,
	CHAIN_MAX = QUEUE_SIZE + 2,
	CHUNK = 256,	   /* getrandom never blocks or is cut short up to this */
	ANSWER_MAX = 65536, /* bytes a request gets; the rest is asked for again */
};

struct virtio_rng {
	struct virtio v;
	uint64_t max_bytes; /* a period; 0: no limit */
	uint32_t period_ms;
	uint64_t left;	    /* state: of the present period */
	struct timer refill;
	struct virtq_chain chain;
};

static struct virtio_rng *rng_of(struct device *d)
{
	return container_of(d, struct virtio_rng, v.dev);
}

static uint64_t rng_features(const struct virtio *v)
{
	return 0;
}

static void rng_config_read(struct virtio *v, uint8_t *buf)
{
}

static uint32_t fill(struct virtq_chain *c, uint32_t want)
{
	uint32_t done = 0;

	for (unsigned i = c->out; i < (unsigned)(c->out + c->in) && done < want; i++) {
		char *p = c->iov[i].iov_base;
		size_t left = MIN(c->iov[i].iov_len, want - done);

		while (left) {
			ssize_t n = getrandom(p, MIN(left, (size_t)CHUNK), 0);

			if (n < 0)
				return done;
			p += n;
			left -= (size_t)n;
			done += (uint32_t)n;
		}
	}
	return done;
}

static void rng_handle(struct virtio *v, struct virtq *q)
{
	struct virtio_rng *s = container_of(v, struct virtio_rng, v);

	do {
		while (!s->max_bytes || s->left) {
			uint32_t want = ANSWER_MAX, n;

			if (virtq_pop(q, &s->chain) <= 0)
				break;
			if (s->max_bytes)
				want = (uint32_t)MIN(want, s->left);
			n = fill(&s->chain, want);
			s->left -= s->max_bytes ? n : 0;
			virtq_written(q, &s->chain, n);
			virtq_push(q, &s->chain, n);
		}
	} while ((!s->max_bytes || s->left) && virtio_live(v) && virtq_kicks(q, true));
	virtq_signal(q);
	if (s->max_bytes && !s->left && s->refill.when < 0)
		timer_arm(&s->refill, clock_ns(v->dev.machine->clock) +
			(int64_t)s->period_ms * (NS_PER_SEC / 1000));
}

static void rng_refill(void *opaque)
{
	struct virtio_rng *s = opaque;

	s->left = s->max_bytes;
	virtio_kick(&s->v, 0);
}

static const struct virtio_type rng_type = {
	.id = VIRTIO_ID_RNG,
	.class_code = 0x00ff00,
	.features = rng_features,
	.config_read = rng_config_read,
};

static int rng_init(struct device *d, GError **error)
{
	struct virtio_rng *s = rng_of(d);

	if (!s->period_ms)
		return fail(error, LODGE_ERROR_USAGE, "%s: period_ms must not be 0", d->id);
	s->left = s->max_bytes;
	timer_init(&s->refill, d->machine->clock, d, rng_refill, s);
	virtq_chain_init(&s->chain, CHAIN_MAX);
	virtio_queue_add(&s->v, QUEUE_SIZE, VIRTQ_INLINE, rng_handle);
	return virtio_pci_init(&s->v, &rng_type, error);
}

static void rng_reset(struct device *d)
{
	struct virtio_rng *s = rng_of(d);

	timer_cancel(&s->refill);
	s->left = s->max_bytes;
	virtio_reset(d);
}

static int rng_loaded(struct device *d, GError **error)
{
	struct virtio_rng *s = rng_of(d);

	s->left = MIN(s->left, s->max_bytes);
	if (s->max_bytes)
		timer_arm(&s->refill, clock_ns(d->machine->clock));
	return virtio_loaded(d, error);
}

static void rng_fini(struct device *d)
{
	struct virtio_rng *s = rng_of(d);

	timer_cancel(&s->refill);
	virtio_fini(d);
	virtq_chain_fini(&s->chain);
}

static const struct field config[] = {
	VIRTIO_CONFIG(struct virtio_rng, v),
	CONFIG(struct virtio_rng, max_bytes, FIELD_SIZE, "0", "bytes a period; 0: no limit"),
	CONFIG(struct virtio_rng, period_ms, FIELD_U32, "1000", "milliseconds of a period"),
	{ 0 },
};

static const struct field state[] = {
	VIRTIO_STATE(struct virtio_rng, v),
	FIELD(struct virtio_rng, left, FIELD_U64),
	{ 0 },
};

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.help = "entropy source",
	.size = sizeof(struct virtio_rng),
	.version = 1,
	.config = config,
	.state = state,
	.init = rng_init,
	.reset = rng_reset,
	.quiesce = virtio_quiesce,
	.resume = virtio_resume,
	.loaded = rng_loaded,
	.fini = rng_fini,
};
