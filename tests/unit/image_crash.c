/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_crash.c: the power is cut at every write and sync of long random work on qcow2 and raw images.
 * What is left must open, be found whole but for leaks (by us and by qemu-img), and hold what a flush
 * has acknowledged; of later writes each sector may be there or not.
 *
 * LODGE_CUTS: how many cuts (2,000); LODGE_QEMU_EVERY: qemu-img looks at each n-th (40).
 */
#include "image_rig.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/bitmap.h"
#include "image/engine.h"
#include "image/file_fault.h"
#include "image/qcow2/qcow2.h"
#include "image/snapshot.h"

enum { SECTOR = 512, SIZE_MAX_ = 3 << 20, SECTORS = SIZE_MAX_ / SECTOR, KEEP = 4 };

/* A write that no flush has covered: the sectors may have this value. */
struct since {
	uint32_t first, n;
	uint8_t value;
};

struct saved {
	char name[16];
	uint8_t sector[SECTORS];
	uint64_t size;
};

struct crash {
	struct file *disk;
	struct image *im;
	const char *format;
	uint8_t durable[SECTORS], now[SECTORS];
	GArray *since;
	struct saved saved[KEEP]; /* snapshots that exist for certain */
	unsigned saved_count, snapshots_made;
	bool in_snapshot;	/* an operation on one is under way */
	uint64_t sizes[2];	/* the disk has one of these */
	uint64_t seed;
	unsigned cuts, limit, qemu_every, repaired;
	uint8_t *buf;
};

static unsigned setting(const char *name, unsigned preset)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : preset;
}

/* ---- what is left ---- */

static bool allowed(const struct crash *c, uint32_t sector, uint8_t v)
{
	if (c->durable[sector] == v)
		return true;
	for (unsigned i = 0; i < c->since->len; i++) {
		struct since *s = &g_array_index(c->since, struct since, i);

		if (s->value == v && sector >= s->first && sector - s->first < s->n)
			return true;
	}
	return false;
}

static uint8_t value_of(const uint8_t *bytes, uint32_t sector)
{
	for (unsigned i = 1; i < SECTOR; i++) {
		if (bytes[i] != bytes[0])
			fail_msg("sector %u is torn", sector);
	}
	return bytes[0];
}

static void compare_data(struct crash *c, struct image *im)
{
	uint64_t size = image_size(im);
	g_autofree uint8_t *all = g_malloc(SIZE_MAX_);
	g_autoptr(GError) e = NULL;

	if (size != c->sizes[0] && size != c->sizes[1])
		fail_msg("the disk has %llu bytes", (unsigned long long)size);
	if (image_pread(im, 0, all, size, &e) < 0)
		fail_msg("cut %u: %s", c->cuts, e->message);
	for (uint32_t i = 0; i < size / SECTOR; i++) {
		uint8_t v = value_of(all + i * SECTOR, i);

		if (!allowed(c, i, v))
			fail_msg("cut %u: sector %u holds %02x; flushed was %02x", c->cuts, i, v,
				 c->durable[i]);
	}
}

static void compare_snapshots(struct crash *c, struct image *im)
{
	const struct image_snapshot_ops *ops = image_snapshots(im);
	g_autofree uint8_t *all = g_malloc(SIZE_MAX_);
	g_autoptr(GError) e = NULL;

	for (unsigned k = 0; k < c->saved_count && !c->in_snapshot; k++) {
		const struct saved *s = &c->saved[k];

		if (ops->apply(im, s->name, &e) < 0)
			fail_msg("cut %u: %s", c->cuts, e->message);
		assert_int_equal(image_size(im), s->size);
		assert_int_equal(image_pread(im, 0, all, s->size, &e), 0);
		for (uint32_t i = 0; i < s->size / SECTOR; i++) {
			if (value_of(all + i * SECTOR, i) != s->sector[i])
				fail_msg("cut %u: snapshot %s, sector %u", c->cuts, s->name, i);
		}
	}
}

static void dump(struct file *f, const char *name)
{
	uint64_t n = file_length(f);
	g_autofree uint8_t *all = g_malloc(n);

	file_read(f, 0, all, n);
	assert_true(g_file_set_contents(rig_path(name), (char *)all, n, NULL));
}

static void say(struct image_report *r, bool corruption, const char *line)
{
	if (corruption)
		print_message("%s\n", line);
}

static struct image *reopen(struct file *f, bool check, const char *format)
{
	struct image_options o = { .path = "survivor", .format = format, .readonly = check,
				   .for_check = check };
	g_autoptr(GError) e = NULL;
	struct image *im = check ? image_open_borrowed(f, &o, &e) : image_open_borrowed(f, &o, &e);

	if (!im)
		fail_msg("%s", e->message);
	return im;
}

static void check_tables(struct crash *c, struct file *f)
{
	struct image *im = reopen(f, true, c->format);
	struct image_report report = { .say = say };
	g_autoptr(GError) e = NULL;
	bool dirty = qcow2_of(im)->incompatible & INCOMPAT_DIRTY;

	c->repaired += dirty;
	if (!dirty) {
		if (image_check(im, &report, false, &e) < 0)
			fail_msg("%s", e->message);
		if (report.corruptions)
			fail_msg("cut %u: %d corruptions", c->cuts, (int)report.corruptions);
	}
	image_close(im);
	if (c->cuts % c->qemu_every)
		return;
	dump(f, "left.qcow2");
	if (dirty)
		sh_ok("qemu-img check -q -r all left.qcow2 && qemu-img check -q left.qcow2");
	else
		sh_ok("qemu-img check -q left.qcow2; test $? = 0 -o $? = 3");
}

static void moment(void *opaque)
{
	struct crash *c = opaque;
	struct file *left;
	struct image *im;
	bool qcow2 = !strcmp(c->format, "qcow2");

	if (c->cuts >= c->limit)
		return;
	c->cuts++;
	left = file_fault_survivor(c->disk, c->seed + c->cuts);
	if (qcow2)
		check_tables(c, left);
	im = reopen(left, false, c->format); /* repairs, if that was marked as needed */
	compare_data(c, im);
	if (qcow2 && c->cuts % 5 == 0)
		compare_snapshots(c, im);
	image_close(im);
	if (qcow2) {
		struct image_report report = { .say = say };

		im = reopen(left, true, c->format);
		assert_int_equal(image_check(im, &report, false, NULL), 0);
		assert_int_equal(report.corruptions, 0);
		image_close(im);
	}
	file_close(left);
}

/* ---- the work ---- */

static void wrote(struct crash *c, uint32_t first, uint32_t n, uint8_t value)
{
	struct since s = { .first = first, .n = n, .value = value };

	g_array_append_val(c->since, s);
	memset(c->now + first, value, n);
}

static void flushed(struct crash *c)
{
	memcpy(c->durable, c->now, sizeof(c->now));
	g_array_set_size(c->since, 0);
	c->sizes[0] = c->sizes[1] = image_size(c->im);
}

static void must(int r, GError *e)
{
	if (r < 0)
		fail_msg("%s", e->message);
}

static void snapshot_step(struct crash *c)
{
	const struct image_snapshot_ops *ops = image_snapshots(c->im);
	GError *e = NULL;

	c->in_snapshot = true;
	if (c->saved_count == KEEP || (c->saved_count && rig_random(&c->seed) % 3 == 0)) {
		unsigned k = rig_random(&c->seed) % c->saved_count;

		if (rig_random(&c->seed) % 2) { /* back to it */
			for (uint32_t i = 0; i < SECTORS; i++)
				wrote(c, i, 1, i < c->saved[k].size / SECTOR ?
						c->saved[k].sector[i] : 0);
			c->sizes[1] = c->saved[k].size;
			must(ops->apply(c->im, c->saved[k].name, &e), e);
		} else {
			must(ops->remove(c->im, c->saved[k].name, &e), e);
			c->saved[k] = c->saved[--c->saved_count];
		}
	} else {
		struct image_snapshot sn = { .date = 1 };
		struct saved *s = &c->saved[c->saved_count];

		g_snprintf(sn.name, sizeof(sn.name), "s%u", ++c->snapshots_made);
		must(ops->create(c->im, &sn, &e), e);
		g_strlcpy(s->name, sn.name, sizeof(s->name));
		memcpy(s->sector, c->now, sizeof(c->now));
		s->size = image_size(c->im);
		c->saved_count++;
	}
	flushed(c);
	c->in_snapshot = false;
}

static void resize_step(struct crash *c)
{
	uint64_t size = (SIZE_MAX_ / 2) + rig_random(&c->seed) % (SIZE_MAX_ / 2 / SECTOR) * SECTOR;
	uint64_t old = image_size(c->im);
	GError *e = NULL;

	c->sizes[1] = size;
	if (size < old)
		wrote(c, size / SECTOR, (old - size) / SECTOR, 0);
	must(image_resize(c->im, size, NULL, &e), e);
	must(image_flush(c->im, &e), e);
	flushed(c);
}

static void step(struct crash *c)
{
	unsigned what = rig_random(&c->seed) % 64;
	uint32_t sectors = image_size(c->im) / SECTOR;
	uint32_t n = 1 + rig_random(&c->seed) % (rig_random(&c->seed) % 4 ? 40 : 600);
	uint32_t first = rig_random(&c->seed) % sectors;
	uint8_t value = 1 + rig_random(&c->seed) % 255;
	bool qcow2 = !strcmp(c->format, "qcow2");
	GError *e = NULL;

	n = MIN(n, sectors - first);
	if (what < 36) {
		wrote(c, first, n, value);
		memset(c->buf, value, n * SECTOR);
		must(image_pwrite(c->im, (uint64_t)first * SECTOR, c->buf, (size_t)n * SECTOR, &e),
		     e);
	} else if (what < 44) {
		wrote(c, first, n, 0);
		must(image_zero(c->im, (uint64_t)first * SECTOR, (uint64_t)n * SECTOR, what & 1, &e),
		     e);
	} else if (what < 48 && qcow2) {
		uint32_t cluster = image_cluster(c->im) / SECTOR;

		first -= first % cluster;
		if (first + cluster > sectors)
			return;
		wrote(c, first, cluster, value);
		memset(c->buf, value, (size_t)cluster * SECTOR);
		must(image_pwrite_packed(c->im, (uint64_t)first * SECTOR, c->buf,
					 (size_t)cluster * SECTOR, &e), e);
	} else if (what < 52 && qcow2) {
		wrote(c, first, n, 0); /* where whole clusters are in it; elsewhere it stays */
		must(image_discard(c->im, (uint64_t)first * SECTOR, (uint64_t)n * SECTOR, &e), e);
		must(image_pread(c->im, (uint64_t)first * SECTOR, c->buf, (size_t)n * SECTOR, &e),
		     e);
		for (uint32_t i = 0; i < n; i++)
			wrote(c, first + i, 1, c->buf[i * SECTOR]);
	} else if (what < 60) {
		must(image_flush(c->im, &e), e);
		flushed(c);
	} else if (what < 62 && qcow2) {
		snapshot_step(c);
	} else if (what == 62) {
		resize_step(c);
	} else if (what == 63) { /* closed and opened */
		image_close(c->im);
		c->im = reopen(c->disk, false, c->format);
		flushed(c);
	}
}

static unsigned work(const char *format, const char *options, uint64_t seed, unsigned limit)
{
	struct crash *c = g_new0(struct crash, 1);
	struct image_spec spec = { .size = SIZE_MAX_ };
	const struct image_format *f = format_by_name(format);
	g_autoptr(GError) e = NULL;
	unsigned cuts;

	c->format = format;
	c->seed = seed;
	c->limit = limit;
	c->qemu_every = setting("LODGE_QEMU_EVERY", 40);
	c->since = g_array_new(FALSE, FALSE, sizeof(struct since));
	c->buf = g_malloc(SIZE_MAX_);
	c->disk = file_fault_new(64 << 20);
	if (options)
		must(image_spec_parse(&spec, f->create_options, options, &e), e);
	must(f->create(c->disk, &spec, &e), e);
	file_sync(c->disk);
	c->im = reopen(c->disk, false, format);
	flushed(c);
	file_fault_watch(c->disk, moment, c);
	while (c->cuts < limit)
		step(c);
	file_fault_watch(c->disk, NULL, NULL);
	cuts = c->cuts;
	/* And the machine notices: writes fail, closing does no harm. */
	file_fault_cut(c->disk);
	image_close(c->im);
	file_close(c->disk);
	print_message("%s %s: %u cuts, %u of them in the middle of snapshot work\n", format,
		      options ? options : "", cuts, c->repaired);
	g_array_unref(c->since);
	g_free(c->buf);
	if (spec.options)
		g_hash_table_unref(spec.options);
	g_free(c);
	return cuts;
}

static void test_power(void **state)
{
	static const char *const kinds[] = { "cluster_size=4K", "cluster_size=64K",
		"cluster_size=512", "extended_l2=on,cluster_size=16K", "refcount_bits=64,cluster_size=4K",
		"compression_type=zstd,cluster_size=32K" };
	unsigned cuts = setting("LODGE_CUTS", 2000), done = 0;
	uint64_t seed = setting("LODGE_SEED", 1);

	for (unsigned i = 0; done < cuts; i++, seed++)
		done += work(i % 8 == 7 ? "raw" : "qcow2",
			     i % 8 == 7 ? NULL : kinds[i % G_N_ELEMENTS(kinds)], seed * 7919,
			     MIN(cuts - done, MAX(cuts / 16, 100)));
	print_message("%u cuts\n", done);
}

/* ---- kill -9 ---- */

enum { BLOCKS = 2048, BLOCK = 4096, ROUND = 16 };

static uint32_t stamp(uint32_t i)
{
	return i / BLOCKS + 1;
}

static void writer(const char *path, int report)
{
	struct image_options o = { .path = path, .format = "qcow2" };
	struct image *im = image_open(&o, NULL);
	uint32_t buf[BLOCK / 4];

	for (uint32_t i = 0; im; i++) {
		for (unsigned k = 0; k < BLOCK / 4; k++)
			buf[k] = stamp(i);
		if (image_pwrite(im, (uint64_t)(i * 7919u % BLOCKS) * BLOCK, buf, BLOCK, NULL) < 0)
			break;
		if (i % ROUND == ROUND - 1 &&
		    (image_flush(im, NULL) < 0 || write(report, &i, sizeof(i)) != sizeof(i)))
			break;
	}
	_exit(1);
}

static void test_killed(void **state)
{
	const char *path = rig_path("killed.qcow2");
	uint64_t seed = 5;

	for (unsigned round = 0; round < 12; round++) {
		g_autofree uint32_t *all = g_malloc(BLOCKS * BLOCK);
		uint32_t last = 0, i;
		struct image *im;
		int pipes[2];
		pid_t pid;

		make_image(path, "qcow2", BLOCKS * BLOCK,
			   round & 1 ? "extended_l2=on" : "cluster_size=16K", NULL, NULL);
		assert_int_equal(pipe(pipes), 0);
		pid = fork();
		if (!pid)
			writer(path, pipes[1]);
		close(pipes[1]);
		g_usleep(20000 + rig_random(&seed) % 300000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		for (uint32_t v; read(pipes[0], &v, sizeof(v)) == sizeof(v);)
			last = v + 1;
		close(pipes[0]);
		sh_ok("qemu-img check -q killed.qcow2; test $? = 0 -o $? = 3");
		im = open_rw(path, "qcow2");
		assert_int_equal(image_pread(im, 0, all, BLOCKS * BLOCK, NULL), 0);
		for (i = last > BLOCKS ? last - BLOCKS : 0; i < last; i++)
			assert_true(all[(uint64_t)(i * 7919u % BLOCKS) * BLOCK / 4] >= stamp(i));
		image_close(im);
		sh_ok("qemu-img check -q killed.qcow2; test $? = 0 -o $? = 3");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power), cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, rig_start, rig_stop);
}
