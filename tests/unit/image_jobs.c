/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_jobs.c: jobs beside a busy guest. A thread plays the guest: it writes through a queue all the
 * time and knows what each block must hold; a job is right if it keeps to that.
 */
#include "image_rig.h"

#include <string.h>
#include <unistd.h>

#include "image/bitmap.h"
#include "image/engine.h"
#include "image/job.h"

enum { SIZE = 24 << 20, BLOCK = 4096, BLOCKS = SIZE / BLOCK, DEPTH = 8 };

struct guest {
	struct image *im;
	GMainContext *ctx;
	GThread *thread;
	_Atomic bool stop, hold, held;
	uint8_t want[BLOCKS];	/* read by others while held */
	struct {
		struct image_request r;
		struct iovec iov;
		struct guest *g;
		uint8_t *buf;
		unsigned block;
		bool busy;
	} slot[DEPTH];
	unsigned active;
	uint64_t seed, ops;
};

static void guest_done(struct image_request *r, int err)
{
	struct guest *g = r->opaque;
	unsigned i;

	for (i = 0; &g->slot[i].r != r; i++)
		;
	if (err)
		fail_msg("guest I/O: %s", g_strerror(err));
	for (unsigned k = 0; r->op == IMAGE_READ && k < BLOCK; k++) {
		if (g->slot[i].buf[k] != g->want[g->slot[i].block])
			fail_msg("block %u reads %02x, not %02x", g->slot[i].block,
				 g->slot[i].buf[k], g->want[g->slot[i].block]);
	}
	g->slot[i].busy = false;
	g->active--;
	g->ops++;
}

static void guest_submit(struct guest *g, unsigned i)
{
	unsigned what = rig_random(&g->seed) % 8;
	uint8_t v = what == 7 ? 0 : rig_random(&g->seed);

	/* Blocks of its own, or two slots would race for one. */
	g->slot[i].block = rig_random(&g->seed) % (BLOCKS / DEPTH) * DEPTH + i;
	g->slot[i].r = (struct image_request){
		.op = what < 3 ? IMAGE_READ : what == 7 ? IMAGE_ZERO : IMAGE_WRITE,
		.offset = (uint64_t)g->slot[i].block * BLOCK, .length = BLOCK,
		.iov = &g->slot[i].iov, .iovcnt = 1, .done = guest_done, .opaque = g,
	};
	g->slot[i].iov = (struct iovec){ g->slot[i].buf, BLOCK };
	if (what >= 3) {
		memset(g->slot[i].buf, v, BLOCK);
		g->want[g->slot[i].block] = v;
	}
	g->slot[i].busy = true;
	g->active++;
	image_submit(g->im, 0, &g->slot[i].r);
}

static gpointer guest_run(gpointer opaque)
{
	struct guest *g = opaque;

	g_main_context_push_thread_default(g->ctx);
	while (!g->stop || g->active) {
		for (unsigned i = 0; i < DEPTH && !g->stop && !g->hold; i++) {
			if (!g->slot[i].busy)
				guest_submit(g, i);
		}
		image_kick(g->im, 0);
		g->held = g->hold && !g->active;
		if (g->held)
			g_usleep(200);
		g_main_context_iteration(g->ctx, g->active > 0);
	}
	g_main_context_pop_thread_default(g->ctx);
	return NULL;
}

static struct guest *guest_new(struct image *im, uint64_t seed, uint8_t first)
{
	struct guest *g = g_new0(struct guest, 1);
	g_autoptr(GError) e = NULL;

	g->im = im;
	g->seed = seed;
	g->ctx = g_main_context_new();
	memset(g->want, first, BLOCKS);
	for (unsigned i = 0; i < DEPTH; i++)
		g->slot[i].buf = aligned_alloc(4096, BLOCK);
	assert_int_equal(image_queue_attach(im, 0, g->ctx, &e), 0);
	g->thread = g_thread_new("guest", guest_run, g);
	return g;
}

/* The guest waits, nothing in flight, until guest_go(). */
static void guest_hold(struct guest *g)
{
	g->hold = true;
	g_main_context_wakeup(g->ctx);
	while (!g->held)
		g_usleep(100);
}

static void guest_go(struct guest *g)
{
	g->held = false;
	g->hold = false;
	g_main_context_wakeup(g->ctx);
}

static void compare(struct image *im, const uint8_t *want)
{
	g_autofree uint8_t *all = g_malloc(SIZE);
	g_autoptr(GError) e = NULL;

	if (image_pread(im, 0, all, SIZE, &e) < 0)
		fail_msg("%s", e->message);
	for (unsigned i = 0; i < SIZE; i++) {
		if (all[i] != want[i / BLOCK])
			fail_msg("byte %#x is %02x, not %02x", i, all[i], want[i / BLOCK]);
	}
}

static void guest_end(struct guest *g)
{
	g->stop = true;
	g_main_context_wakeup(g->ctx);
	g_thread_join(g->thread);
	assert_true(g->ops > 0);
	compare(g->im, g->want);
	image_close(g->im);
	for (unsigned i = 0; i < DEPTH; i++)
		free(g->slot[i].buf);
	g_main_context_unref(g->ctx);
}

static void finish(struct image_job *j)
{
	g_autoptr(GError) e = NULL;

	if (job_finish(j, &e) < 0)
		fail_msg("%s", e->message);
}

static void wait_ready(struct image_job *j)
{
	for (unsigned i = 0; job_state(j) == JOB_RUNNING && i < 60000; i++)
		g_usleep(1000);
	assert_int_equal(job_state(j), JOB_READY);
}

static struct image *started(const char *path, const char *format)
{
	struct image_options o = { .path = path, .format = format, .queues = 1 };

	return open_image(&o);
}

static void as_qemu(const char *path, const char *format, const uint8_t *want)
{
	g_autofree uint8_t *all = g_malloc(SIZE);

	for (unsigned i = 0; i < BLOCKS; i++)
		memset(all + i * BLOCK, want[i], BLOCK);
	assert_true(g_file_set_contents(rig_path("want.raw"), (char *)all, SIZE, NULL));
	sh_ok("qemu-img compare -f raw -F %s want.raw %s", format, path);
	if (strcmp(format, "raw")) {
		sh_ok("qemu-img check -f %s %s", format, path);
		check_clean(path, format);
	}
}

/* Overlay upon overlay, then down again by commits, and up by a stream. */
static void test_layers(void **state)
{
	struct guest *g;
	struct image_job *j;
	g_autoptr(GError) e = NULL;

	sh_ok("qemu-img create -q -f qcow2 l0.qcow2 %d && qemu-io -c 'write -P 5 0 %d' l0.qcow2", SIZE,
	      SIZE);
	g = guest_new(started(rig_path("l0.qcow2"), "qcow2"), 1, 5);
	for (unsigned i = 1; i <= 3; i++) {
		g_autofree char *name = g_strdup_printf("l%u.qcow2", i);

		g_usleep(50000);
		if (image_snapshot_overlay(g->im, rig_path(name), "qcow2", &e) < 0)
			fail_msg("%s", e->message);
	}
	assert_string_equal(image_path(g->im), rig_path("l3.qcow2"));
	for (unsigned i = 3; i > 1; i--) {
		g_autofree char *name = g_strdup_printf("l%u.qcow2", i - 1);

		j = job_commit(g->im, NULL, NULL, &e);
		if (!j)
			fail_msg("%s", e->message);
		wait_ready(j);
		job_complete(j, true);
		finish(j);
		assert_string_equal(image_path(g->im), rig_path(name));
	}
	j = job_stream(g->im, NULL, &e);
	if (!j)
		fail_msg("%s", e->message);
	finish(j);
	assert_null(image_backing(g->im));
	sh_ok("rm l0.qcow2 l2.qcow2 l3.qcow2");
	g_usleep(20000);
	guest_end(g);
	as_qemu(rig_path("l1.qcow2"), "qcow2", g->want);
	g_free(g);
}

static void test_mirror(void **state)
{
	static const char *const formats[] = { "raw", "qcow2" };

	for (unsigned i = 0; i < 4; i++) {
		const char *from = formats[i & 1], *to = formats[i >> 1];
		g_autoptr(GError) e = NULL;
		struct image *target;
		struct image_job *j;
		struct guest *g;
		bool pivot = i & 1;

		make_image(rig_path("from"), from, SIZE, NULL, NULL, NULL);
		make_image(rig_path("to"), to, SIZE, NULL, NULL, NULL);
		g = guest_new(started(rig_path("from"), from), i, 0);
		target = open_rw(rig_path("to"), to);
		j = job_mirror(g->im, target, MIRROR_FULL, NULL, &e);
		if (!j)
			fail_msg("%s", e->message);
		assert_null(job_mirror(g->im, target, MIRROR_FULL, NULL, &e));
		g_clear_error(&e);
		wait_ready(j);
		g_usleep(30000);
		if (pivot) {
			job_complete(j, true);
			finish(j);
			assert_string_equal(image_path(g->im), rig_path("to"));
			g_usleep(30000);
			image_close(target);
			guest_end(g);
			as_qemu(rig_path("to"), to, g->want);
		} else {
			guest_hold(g);
			job_complete(j, false);
			finish(j);
			compare(target, g->want);
			guest_go(g);
			image_close(target);
			guest_end(g);
		}
		g_free(g);
	}
}

static void test_backup(void **state)
{
	struct image_bitmap b = { .name = "b", .granularity = 65536, .enabled = true };
	struct job_options slow = { .rate = 40 << 20 };
	g_autofree uint8_t *then = NULL;
	g_autoptr(GError) e = NULL;
	struct image *target;
	struct image_job *j;
	struct guest *g;

	make_image(rig_path("live.qcow2"), "qcow2", SIZE, NULL, NULL, NULL);
	make_image(rig_path("backup.qcow2"), "qcow2", SIZE, NULL, NULL, NULL);
	g = guest_new(started(rig_path("live.qcow2"), "qcow2"), 9, 0);
	assert_int_equal(image_bitmaps(g->im)->add(g->im, &b, &e), 0);
	for (unsigned round = 0; round < 3; round++) {
		target = open_rw(rig_path("backup.qcow2"), "qcow2");
		g_usleep(30000);
		guest_hold(g);
		then = g_memdup2(g->want, BLOCKS);
		j = job_backup(g->im, target, round ? "b" : NULL, &slow, &e);
		if (!j)
			fail_msg("%s", e->message);
		while (!g->im->before_write && job_state(j) != JOB_DONE)
			g_usleep(100);
		if (!round) /* what is written from this moment on is the next one's */
			assert_int_equal(image_bitmaps(g->im)->clear(g->im, "b", &e), 0);
		guest_go(g);
		finish(j);
		compare(target, then);
		image_close(target);
		as_qemu(rig_path("backup.qcow2"), "qcow2", then);
		g_clear_pointer(&then, g_free);
	}
	/* Cancelled: the marks are there again, and the next one copies them. */
	target = open_rw(rig_path("backup.qcow2"), "qcow2");
	g_usleep(30000);
	slow.rate = 1 << 20;
	j = job_backup(g->im, target, "b", &slow, &e);
	g_usleep(20000);
	job_cancel(j);
	assert_int_equal(job_finish(j, &e), -1);
	g_clear_error(&e);
	guest_hold(g);
	then = g_memdup2(g->want, BLOCKS);
	j = job_backup(g->im, target, "b", NULL, &e);
	finish(j);
	guest_go(g);
	compare(target, then);
	image_close(target);
	guest_end(g);
	g_free(g);
}

static void test_resize(void **state)
{
	g_autoptr(GError) e = NULL;
	struct guest *g;

	make_image(rig_path("grow.qcow2"), "qcow2", SIZE, NULL, NULL, NULL);
	g = guest_new(started(rig_path("grow.qcow2"), "qcow2"), 9, 0);
	for (unsigned i = 1; i < 6; i++) {
		if (image_resize_live(g->im, SIZE + i * (100 << 20), &e) < 0)
			fail_msg("%s", e->message);
		g_usleep(10000);
	}
	assert_int_equal(image_size(g->im), SIZE + 5 * (100 << 20));
	guest_end(g);
	check_clean(rig_path("grow.qcow2"), "qcow2");
	g_free(g);
}

static void test_limits(void **state)
{
	struct image_limits l = { .ops_per_second = 500, .burst_ops = 20 };
	uint64_t before;
	struct guest *g;

	make_image(rig_path("slow.raw"), "raw", SIZE, NULL, NULL, NULL);
	g = guest_new(started(rig_path("slow.raw"), "raw"), 9, 0);
	g_usleep(20000);
	image_set_limits(g->im, &l);
	g_usleep(100000);
	before = g->ops;
	g_usleep(1000000);
	assert_in_range(g->ops - before, 250, 600);
	l = (struct image_limits){ .bytes_per_second = 1 << 20 };
	image_set_limits(g->im, &l);
	g_usleep(200000);
	before = g->ops;
	g_usleep(1000000);
	assert_in_range(g->ops - before, 128, 300); /* of 4K */
	l = (struct image_limits){ 0 };
	image_set_limits(g->im, &l);
	before = g->ops;
	g_usleep(500000);
	assert_true(g->ops - before > 600);
	guest_end(g);
	g_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layers), cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_backup), cmocka_unit_test(test_resize),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, rig_start, rig_stop);
}
