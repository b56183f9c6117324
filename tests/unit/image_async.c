/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_async.c: many requests in flight on qcow2. Each slot owns blocks of its own, but they lie in the
 * same clusters as the others', so that allocation, copying and dropping of clusters collide all the
 * time while it is known what each block must hold.
 */
#include "image_rig.h"

#include <string.h>

#include "image/engine.h"

enum { SLOTS = 32, BLOCK = 4096, SIZE = 24 << 20, BLOCKS = SIZE / BLOCK / SLOTS };

struct slot {
	struct image_request r;
	struct iovec iov[2];
	struct load *load;
	uint8_t *buf;
	unsigned index, block, queue;
	bool busy;
};

struct load {
	struct image *im;
	struct slot slot[SLOTS];
	uint8_t *want;	/* one value a block; all bytes of it are that */
	uint64_t seed;
	unsigned left, active, queues, writes;
};

static uint64_t offset_of(const struct slot *s)
{
	return ((uint64_t)s->block * SLOTS + s->index) * BLOCK;
}

static void submit(struct slot *s);

static void slot_done(struct image_request *r, int err)
{
	struct slot *s = r->opaque;
	struct load *l = s->load;
	uint8_t want = l->want[offset_of(s) / BLOCK];

	if (err)
		fail_msg("op %d at %#llx: %s", r->op, (unsigned long long)r->offset, g_strerror(err));
	if (r->op == IMAGE_READ) {
		for (unsigned i = 0; i < BLOCK; i++) {
			if (s->buf[i] != want)
				fail_msg("byte %#llx is %02x, not %02x",
					 (unsigned long long)(r->offset + i), s->buf[i], want);
		}
	}
	l->active--;
	submit(s);
}

static void submit(struct slot *s)
{
	struct load *l = s->load;
	unsigned what = rig_random(&l->seed) % 12;

	if (!l->left)
		return;
	l->left--;
	l->active++;
	s->block = rig_random(&l->seed) % BLOCKS;
	s->queue = rig_random(&l->seed) % l->queues;
	s->r = (struct image_request){
		.offset = offset_of(s), .length = BLOCK, .iov = s->iov, .iovcnt = 2,
		.done = slot_done, .opaque = s, .op = IMAGE_READ,
	};
	s->iov[0] = (struct iovec){ s->buf, 1024 };
	s->iov[1] = (struct iovec){ s->buf + 1024, BLOCK - 1024 };
	if (what < 6) {
		uint8_t v = rig_random(&l->seed);

		memset(s->buf, v, BLOCK);
		l->want[offset_of(s) / BLOCK] = v;
		s->r.op = IMAGE_WRITE;
		s->r.fua = what == 0;
	} else if (what < 8) {
		l->want[offset_of(s) / BLOCK] = 0;
		s->r.op = IMAGE_ZERO;
		s->r.may_unmap = what & 1;
	} else if (what == 8 && rig_random(&l->seed) % 8 == 0) {
		s->r.op = IMAGE_FLUSH;
		s->r.length = 0;
	}
	image_submit(l->im, s->queue, &s->r);
}

static void kick_all(struct load *l)
{
	for (unsigned i = 0; i < l->queues; i++)
		image_kick(l->im, i);
}

static void run(struct load *l, unsigned n)
{
	l->left = n;
	for (unsigned i = 0; i < SLOTS; i++) {
		l->slot[i].load = l;
		l->slot[i].index = i;
		submit(&l->slot[i]);
	}
	kick_all(l);
	while (l->active) {
		g_main_context_iteration(NULL, TRUE);
		kick_all(l);
	}
}

static void one(const char *options, struct image_options o, bool backing, unsigned seed)
{
	struct load l = { .seed = seed, .queues = o.queues };
	g_autofree uint8_t *all = g_malloc(SIZE);
	g_autoptr(GError) e = NULL;

	l.want = g_malloc0(SIZE / BLOCK);
	sh("rm -f async.raw");
	if (backing) {
		sh_ok("truncate -s %d base.raw && qemu-io -f raw -c 'write -P 0x33 0 16M' base.raw", SIZE);
		memset(l.want, 0x33, (16 << 20) / BLOCK);
	}
	o.path = rig_path("async.qcow2");
	o.format = "qcow2";
	make_image(o.path, "qcow2", SIZE, options, backing ? "base.raw" : NULL, "raw");
	l.im = open_image(&o);
	for (unsigned i = 0; i < l.queues; i++)
		assert_int_equal(image_queue_attach(l.im, i, NULL, &e), 0);
	for (unsigned i = 0; i < SLOTS; i++)
		l.slot[i].buf = aligned_alloc(4096, BLOCK);
	run(&l, 2000);
	if (!o.direct) { /* once more over packed clusters */
		assert_int_equal(image_pread(l.im, 0, all, SIZE, &e), 0);
		if (!image_pwrite_packed(l.im, 0, all, SIZE, NULL))
			run(&l, 1000);
	}
	assert_int_equal(image_pread(l.im, 0, all, SIZE, &e), 0);
	for (unsigned i = 0; i < SIZE; i++) {
		if (all[i] != l.want[i / BLOCK])
			fail_msg("%#x is %02x, not %02x", i, all[i], l.want[i / BLOCK]);
	}
	image_close(l.im);
	check_clean(o.path, "qcow2");
	sh_ok("qemu-img check async.qcow2");
	assert_true(g_file_set_contents(rig_path("want.raw"), (char *)all, SIZE, NULL));
	sh_ok("qemu-img compare -f raw -F qcow2 want.raw async.qcow2");
	for (unsigned i = 0; i < SLOTS; i++)
		free(l.slot[i].buf);
	g_free(l.want);
}

static void test_kinds(void **state)
{
	static const char *const kinds[] = { NULL, "extended_l2=on", "cluster_size=2M",
		"cluster_size=4K", "compat=0.10", "data_file=async.raw" };

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		one(kinds[i], (struct image_options){ .queues = 1 }, false, i);
		one(kinds[i], (struct image_options){ .queues = 3 }, true, i);
	}
}

static void test_threads(void **state)
{
	one(NULL, (struct image_options){ .queues = 2, .threads = true }, true, 50);
	one("extended_l2=on", (struct image_options){ .queues = 1, .threads = true }, false, 51);
}

static void test_direct(void **state)
{
	one(NULL, (struct image_options){ .queues = 1, .direct = true }, true, 60);
	one("extended_l2=on", (struct image_options){ .queues = 2, .direct = true }, false, 61);
}

static void test_small_cache(void **state)
{
	one("cluster_size=512", (struct image_options){ .queues = 2, .cache = 1 }, true, 70);
	one("cluster_size=64K", (struct image_options){ .queues = 2, .cache = 1 }, false, 71);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_direct), cmocka_unit_test(test_small_cache),
	};

	return cmocka_run_group_tests(tests, rig_start, rig_stop);
}
