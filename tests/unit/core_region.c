/* SPDX-License-Identifier: GPL-2.0-or-later */
/* core_region.c: the flat view against a byte-wise model, access splitting, readers under change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "core/ram.h"
#include "core/region.h"

struct log {
	unsigned n;
	struct {
		uint64_t off, val;
		unsigned size;
		bool write;
	} e[16];
};

static uint64_t log_read(struct device *d, void *opaque, uint64_t off, unsigned size)
{
	struct log *l = opaque;
	uint64_t v = 0;

	l->e[l->n].off = off;
	l->e[l->n].size = size;
	l->e[l->n++].write = false;
	for (unsigned i = 0; i < size; i++)
		v |= (off + i + 1) << 8 * i;
	return v;
}

static void log_write(struct device *d, void *opaque, uint64_t off, uint64_t val, unsigned size)
{
	struct log *l = opaque;

	l->e[l->n].off = off;
	l->e[l->n].size = size;
	l->e[l->n].val = val;
	l->e[l->n++].write = true;
}

static const struct region_ops ops_1_8 = { log_read, log_write, 1, 8 };
static const struct region_ops ops_4_4 = { log_read, log_write, 4, 4 };
static const struct region_ops ops_1_2 = { log_read, log_write, 1, 2 };

static void test_hole(void **state)
{
	struct space *s = space_new("m", 32);

	assert_int_equal(space_read(s, 0x1000, 4), 0xffffffff);
	assert_true(space_read(s, 0x1000, 8) == UINT64_MAX);
	space_write(s, 0x1000, 1, 8);
	space_free(s);
}

static void test_split(void **state)
{
	struct space *s = space_new("m", 32);
	struct log l = { 0 };
	struct region r = { .name = "r", .ops = &ops_4_4, .opaque = &l, .size = 0x20 };

	region_place(s, &r, 0x1000, 0);
	/* narrow read: whole register, the right bytes of it */
	assert_int_equal(space_read(s, 0x1006, 1), 7);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.e[0].off, 4);
	assert_int_equal(l.e[0].size, 4);
	/* wide read: two registers, low first */
	l.n = 0;
	assert_true(space_read(s, 0x1000, 8) == 0x0807060504030201);
	assert_int_equal(l.n, 2);
	/* narrow write is zero-extended in place */
	l.n = 0;
	space_write(s, 0x1009, 0xabcd, 1);
	assert_int_equal(l.e[0].off, 8);
	assert_int_equal(l.e[0].val, 0xcd00);
	region_unplace(&r);

	l.n = 0;
	r.ops = &ops_1_2;
	region_place(s, &r, 0x1000, 0);
	space_write(s, 0x1001, 0x44332211, 4); /* 1 + 2 + 1 */
	assert_int_equal(l.n, 3);
	assert_int_equal(l.e[1].off, 2);
	assert_int_equal(l.e[1].size, 2);
	assert_int_equal(l.e[1].val, 0x3322);
	/* the last byte of the region, the rest is a hole */
	assert_int_equal(space_read(s, 0x101f, 2), 0xff20);
	space_free(s);
}

/* Random placements; every address must show the topmost, later before earlier of one priority. */
static void test_model(void **state)
{
	enum { N = 12, SIZE = 512 };
	GRand *rnd = g_rand_new_with_seed(1);

	for (unsigned round = 0; round < 200; round++) {
		struct space *s = space_new("m", 9);
		struct region r[N] = { 0 };
		bool placed[N] = { false };

		for (unsigned step = 0; step < 2 * N; step++) {
			unsigned i = g_rand_int_range(rnd, 0, N);

			if (placed[i]) {
				region_unplace(&r[i]);
			} else {
				r[i].name = "r";
				r[i].ops = &ops_1_8;
				r[i].size = g_rand_int_range(rnd, 1, 200);
				region_place(s, &r[i], g_rand_int_range(rnd, 0, SIZE),
					g_rand_int_range(rnd, 0, 4));
			}
			placed[i] = !placed[i];
		}
		for (unsigned a = 0; a < SIZE; a++) {
			struct flat f;
			int best = -1;
			bool tie = false;

			for (int i = 0; i < N; i++) {
				if (!placed[i] || a < r[i].addr || a >= r[i].addr + r[i].size)
					continue;
				tie |= best >= 0 && r[i].priority == r[best].priority;
				if (best < 0 || r[i].priority > r[best].priority) {
					best = i;
					tie = false;
				}
			}
			if (!space_find(s, a, &f)) {
				assert_int_equal(best, -1);
				continue;
			}
			assert_true(best >= 0);
			assert_int_equal(f.region->priority, r[best].priority);
			if (!tie)
				assert_ptr_equal(f.region, &r[best]);
			assert_int_equal(f.region_offset + (a - f.start), a - f.region->addr);
			assert_true(a >= f.start && a < f.start + f.size);
		}
		space_free(s);
	}
	g_rand_free(rnd);
}

struct ram_log {
	GHashTable *seen; /* start -> size */
	unsigned adds, dels;
};

static void on_add(void *opaque, const struct flat *f)
{
	struct ram_log *l = opaque;

	l->adds++;
	assert_true(g_hash_table_insert(
		l->seen, GSIZE_TO_POINTER(f->start), GSIZE_TO_POINTER(f->size)));
}

static void on_del(void *opaque, const struct flat *f)
{
	struct ram_log *l = opaque;

	l->dels++;
	assert_true(g_hash_table_remove(l->seen, GSIZE_TO_POINTER(f->start)));
}

static void test_listener(void **state)
{
	struct space *s = space_new("m", 40);
	struct ram *ram = ram_new("t", 1 << 20, false, NULL);
	struct region r = { .name = "ram", .ram = ram, .size = 1 << 20 };
	struct log l = { 0 };
	struct region io = { .name = "io", .ops = &ops_1_8, .opaque = &l, .size = 0x1000 };
	struct ram_log rl = { .seen = g_hash_table_new(NULL, NULL) };
	struct space_listener listener = { .opaque = &rl, .ram_add = on_add, .ram_del = on_del };
	struct flat f;

	region_place(s, &r, 0x100000, 0);
	space_listen(s, &listener);
	assert_int_equal(rl.adds, 1);
	region_place(s, &io, 0x180000, 1); /* splits the RAM in two */
	assert_int_equal(g_hash_table_size(rl.seen), 2);
	assert_int_equal(GPOINTER_TO_SIZE(g_hash_table_lookup(rl.seen, GSIZE_TO_POINTER(0x181000))),
		0x7f000);
	region_move(&io, 0x400000);
	assert_int_equal(g_hash_table_size(rl.seen), 1);
	space_write(s, 0x100ffe, 0x1122334455667788, 8);
	assert_int_equal(ram->host[0xffe], 0x88);
	assert_true(space_read(s, 0x100ffe, 8) == 0x1122334455667788);
	r.readonly = true;
	region_unplace(&r);
	region_place(s, &r, 0x100000, 0);
	assert_true(space_find(s, 0x100000, &f) && f.readonly);
	space_write(s, 0x100ffe, 0, 8);
	assert_int_equal(ram->host[0xffe], 0x88);
	space_unlisten(s, &listener);
	space_free(s);
	g_hash_table_unref(rl.seen);
	ram_free(ram);
}

struct hammer {
	struct space *s;
	_Atomic bool stop;
	_Atomic unsigned bad;
};

static void *reader(void *opaque)
{
	struct hammer *h = opaque;

	while (!h->stop) {
		struct flat f;

		/* The fixed region must always be found whole, whatever moves around it. */
		if (!space_find(h->s, 0x5000, &f) || f.start != 0x5000 || f.size != 0x1000)
			h->bad++;
	}
	return NULL;
}

static void test_concurrent(void **state)
{
	struct hammer h = { .s = space_new("m", 32) };
	struct region fixed = { .name = "f", .ops = &ops_1_8, .size = 0x1000 };
	struct region moving[40] = { 0 };
	GThread *t[2];

	region_place(h.s, &fixed, 0x5000, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
		t[i] = g_thread_new("reader", reader, &h);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(moving); i++) {
			moving[i] = (struct region){ .name = "m", .ops = &ops_1_8, .size = 0x10 };
			region_place(h.s, &moving[i], i % 2 ? 0x100 * i : 0x10000 * i, 0);
		}
		for (unsigned i = 0; i < G_N_ELEMENTS(moving); i++)
			region_unplace(&moving[i]);
	}
	h.stop = true;
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
		g_thread_join(t[i]);
	assert_int_equal(h.bad, 0);
	space_free(h.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_listener),
		cmocka_unit_test(test_concurrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
