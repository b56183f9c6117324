/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_qcow2.c: qcow2 images against qemu-img and qemu-io: what one writes the other reads, and both
 * find the same nothing wrong.
 */
#include "image_rig.h"

#include <string.h>

#include "image/bitmap.h"
#include "image/snapshot.h"

static const char *const variants[] = {
	"compat=1.1", "compat=0.10", "cluster_size=512", "cluster_size=4K", "cluster_size=2M",
	"refcount_bits=1", "refcount_bits=2", "refcount_bits=4", "refcount_bits=8",
	"refcount_bits=32", "refcount_bits=64", "cluster_size=512,refcount_bits=64",
	"extended_l2=on", "extended_l2=on,cluster_size=16K", "extended_l2=on,cluster_size=2M",
	"compression_type=zstd", "lazy_refcounts=on", "data_file=ext.raw",
	"data_file=ext2.raw,data_file_raw=on",
};

/* ---- random work, ours and a copy in memory ---- */

struct work {
	struct image *im;
	uint8_t *want;	/* what the guest must see */
	uint64_t size, seed;
	bool packed;
};

static void fill(struct work *w, uint8_t *buf, size_t n)
{
	uint8_t v = 1 + rig_random(&w->seed) % 255;

	/* Neither constant nor too random to compress. */
	for (size_t i = 0; i < n; i++)
		buf[i] = v + i / 512;
}

static void step(struct work *w)
{
	uint64_t unit = 512, n = (1 + rig_random(&w->seed) % 400) * unit, off;
	unsigned what = rig_random(&w->seed) % 16;
	g_autoptr(GError) e = NULL;
	g_autofree uint8_t *buf = NULL;
	int r = 0;

	if (w->packed && what < 4) {
		unit = image_cluster(w->im);
		n = unit;
	}
	n = MIN(n, w->size);
	off = rig_random(&w->seed) % (w->size - n + 1) / unit * unit;
	buf = g_malloc(n);
	if (w->packed && what < 4) {
		fill(w, buf, n);
		r = image_pwrite_packed(w->im, off, buf, n, &e);
		memcpy(w->want + off, buf, n);
	} else if (what < 9) {
		fill(w, buf, n);
		r = image_pwrite(w->im, off, buf, n, &e);
		memcpy(w->want + off, buf, n);
	} else if (what < 12) {
		r = image_zero(w->im, off, n, what & 1, &e);
		memset(w->want + off, 0, n);
	} else if (what < 14) {
		r = image_pread(w->im, off, buf, n, &e);
		assert_memory_equal(buf, w->want + off, n);
	} else if (what < 15) {
		/* Advice: what is read afterwards is what it says. */
		r = image_discard(w->im, off, n, &e);
		if (!r)
			r = image_pread(w->im, off, w->want + off, n, &e);
		for (uint64_t i = 0; i < n; i++)
			assert_true(w->want[off + i] == 0 || !r);
	} else {
		r = image_flush(w->im, &e);
	}
	if (r < 0)
		fail_msg("%s", e->message);
}

static void compare_all(struct work *w)
{
	g_autofree uint8_t *buf = g_malloc(w->size);
	g_autoptr(GError) e = NULL;

	if (image_pread(w->im, 0, buf, w->size, &e) < 0)
		fail_msg("%s", e->message);
	for (uint64_t i = 0; i < w->size; i += 512) {
		if (memcmp(buf + i, w->want + i, 512))
			fail_msg("differs at %#llx: %02x, not %02x", (unsigned long long)i, buf[i],
				 w->want[i]);
	}
}

static void work_on(struct work *w, const char *path, unsigned steps)
{
	w->im = open_rw(path, "qcow2");
	w->size = image_size(w->im);
	for (unsigned i = 0; i < steps; i++)
		step(w);
	compare_all(w);
	image_close(w->im);
	w->im = open_ro(path, "qcow2");
	compare_all(w);
	image_close(w->im);
}

static void as_qemu_sees_it(const char *path, const struct work *w)
{
	const char *want = rig_path("want.raw");

	assert_true(g_file_set_contents(want, (const char *)w->want, w->size, NULL));
	sh_ok("qemu-img compare -f raw -F qcow2 %s %s", want, path);
	sh_ok("qemu-img check -f qcow2 %s", path);
	check_clean(path, "qcow2");
}

static void test_ours_to_qemu(void **state)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
		bool packed = !strstr(variants[i], "data_file");
		struct work w = { .seed = i, .packed = packed };
		const char *path = rig_path("ours.qcow2");

		sh("rm -f ext.raw ext2.raw");
		w.want = g_malloc0(12 << 20);
		make_image(path, "qcow2", (12 << 20) - 3 * 512, variants[i], NULL, NULL);
		work_on(&w, path, 150);
		as_qemu_sees_it(path, &w);
		if (strstr(variants[i], "data_file_raw"))
			sh_ok("cmp want.raw ext2.raw");
		g_free(w.want);
	}
}

static void test_qemu_to_ours(void **state)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
		struct work w = { .seed = 99 + i, .packed = !strstr(variants[i], "data_file") };
		const char *path = rig_path("theirs.qcow2");
		g_autofree char *bytes = NULL;

		sh_ok("rm -f ext.raw ext2.raw theirs.qcow2");
		sh_ok("qemu-img create -q -f qcow2 -o %s theirs.qcow2 12M", variants[i]);
		sh_ok("qemu-io -f qcow2 -c 'write -P 1 64K 3M' -c 'write -P 2 4000K 70K' "
		      "-c 'write -z 100K 400K' -c 'discard 1M 512K' -c 'write -P 3 11M 1M' %s"
		      "-c 'write -P 4 10M 8K' theirs.qcow2",
		      w.packed ? "-c 'write -c -P 9 6M 2M' " : "");
		sh_ok("qemu-img convert -f qcow2 -O raw theirs.qcow2 bytes.raw");
		g_file_get_contents(rig_path("bytes.raw"), &bytes, NULL, NULL);
		w.want = (uint8_t *)bytes;
		work_on(&w, path, 0);
		work_on(&w, path, 100);
		as_qemu_sees_it(path, &w);
	}
}

static void test_backing(void **state)
{
	static const char *const tops[] = { "compat=1.1", "compat=0.10", "extended_l2=on",
		"cluster_size=2M", "cluster_size=512" };

	sh_ok("mkdir -p sub && truncate -s 10M sub/base.raw && qemu-io -f raw -c 'write -P 7 0 6M' "
	      "sub/base.raw && qemu-img create -q -f qcow2 -b base.raw -F raw sub/mid.qcow2 11M && "
	      "qemu-io -c 'write -P 8 2M 300K' -c 'write -P 9 10M 1M' sub/mid.qcow2");
	for (unsigned i = 0; i < G_N_ELEMENTS(tops); i++) {
		struct work w = { .seed = i };
		g_autofree char *bytes = NULL;

		make_image(rig_path("top.qcow2"), "qcow2", 12 << 20, tops[i], "sub/mid.qcow2",
			   "qcow2");
		sh_ok("qemu-img convert -f qcow2 -O raw top.qcow2 bytes.raw");
		g_file_get_contents(rig_path("bytes.raw"), &bytes, NULL, NULL);
		w.want = (uint8_t *)bytes;
		work_on(&w, rig_path("top.qcow2"), 150);
		as_qemu_sees_it(rig_path("top.qcow2"), &w);
	}
}

static void refused(const char *path, const char *format, const char *want)
{
	struct image_options o = { .path = path, .format = format, .readonly = true };
	g_autoptr(GError) e = NULL;

	assert_null(image_open(&o, &e));
	if (!strstr(e->message, want))
		fail_msg("'%s' lacks '%s'", e->message, want);
}

static void test_policy(void **state)
{
	const char *dirs[] = { "/etc", NULL };
	struct image_options o = { .path = rig_path("evil.qcow2"), .readonly = true,
				   .backing_dirs = dirs };

	sh_ok("qemu-img create -q -u -f qcow2 -b /etc/passwd -F raw evil.qcow2 1M");
	refused(o.path, "qcow2", "outside the folders");
	image_close(open_image(&o));
	sh_ok("ln -s /etc/passwd link; qemu-img create -q -u -f qcow2 -b link -F raw evil2.qcow2 1M");
	refused(rig_path("evil2.qcow2"), "qcow2", "outside the folders");
	sh_ok("qemu-img create -q -u -f qcow2 -b ../../../etc/passwd -F raw evil3.qcow2 1M");
	refused(rig_path("evil3.qcow2"), "qcow2", "passwd");
	sh_ok("qemu-img create -q -u -f qcow2 -b loop2.qcow2 -F qcow2 loop1.qcow2 1M;"
	      "qemu-img create -q -u -f qcow2 -b loop1.qcow2 -F qcow2 loop2.qcow2 1M");
	refused(rig_path("loop1.qcow2"), "qcow2", "backed by itself");
	sh_ok("qemu-img create -q -u -f qcow2 -b gone.qcow2 -F qcow2 lost.qcow2 1M");
	refused(rig_path("lost.qcow2"), "qcow2", "gone.qcow2");
	sh_ok("qemu-img create -q -f qcow2 -o compat=0.10 b.qcow2 1M;"
	      "qemu-img create -q -u -f qcow2 -b b.qcow2 -F qcow2 n.qcow2 1M;"
	      "qemu-img rebase -u -f qcow2 -b b.qcow2 -F qcow2 n.qcow2");
	image_close(open_ro(rig_path("n.qcow2"), "qcow2"));
	sh_ok("qemu-img create -q -u -f qcow2 -o data_file=/dev/null d.qcow2 1M || true;"
	      "cp /etc/hostname host.txt; qemu-img create -q -f qcow2 -o data_file=$PWD/ed.raw "
	      "d.qcow2 1M && mkdir -p moved && mv d.qcow2 moved/");
	refused(rig_path("moved/d.qcow2"), "qcow2", "outside the folders");
}

static void test_snapshots(void **state)
{
	static const char *const kinds[] = { "compat=1.1", "compat=0.10", "extended_l2=on",
		"cluster_size=512", "refcount_bits=8" };

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const char *path = rig_path("snap.qcow2");
		struct work w = { .seed = i, .packed = true };
		struct image_snapshot sn = { .name = "one", .date = 1700000000000000ll,
					     .vm_state_size = 5000 };
		g_autoptr(GError) e = NULL;
		g_autofree uint8_t *first = NULL, *state_bytes = g_malloc(5000);
		const struct image_snapshot_ops *ops;
		GArray *list;

		w.want = g_malloc0(8 << 20);
		make_image(path, "qcow2", 8 << 20, kinds[i], NULL, NULL);
		work_on(&w, path, 60);
		w.im = open_rw(path, "qcow2");
		ops = image_snapshots(w.im);
		memset(state_bytes, 0x77, 5000);
		assert_int_equal(image_vmstate_pwrite(w.im, 0, state_bytes, 5000, &e), 0);
		if (ops->create(w.im, &sn, &e) < 0)
			fail_msg("%s", e->message);
		first = g_memdup2(w.want, w.size);
		for (int k = 0; k < 60; k++)
			step(&w);
		g_strlcpy(sn.name, "two", sizeof(sn.name));
		sn.vm_state_size = 0;
		if (ops->create(w.im, &sn, &e) < 0)
			fail_msg("%s", e->message);
		for (int k = 0; k < 60; k++)
			step(&w);
		compare_all(&w);
		image_close(w.im);
		as_qemu_sees_it(path, &w);
		sh_ok("qemu-img snapshot -l snap.qcow2 | grep -q one");
		assert_true(g_file_set_contents(rig_path("first.raw"), (char *)first, w.size, NULL));
		sh_ok("qemu-img convert -f qcow2 -l snapshot.name=one -O raw snap.qcow2 s.raw && "
		      "cmp s.raw first.raw");
		/* Back to the first, by us. */
		w.im = open_rw(path, "qcow2");
		if (ops->apply(w.im, "one", &e) < 0)
			fail_msg("%s", e->message);
		memcpy(w.want, first, w.size);
		compare_all(&w);
		memset(state_bytes, 0, 5000);
		assert_int_equal(image_vmstate_pread(w.im, 0, state_bytes, 5000, &e), 0);
		for (int k = 0; k < 5000; k++)
			assert_int_equal(state_bytes[k], 0x77);
		for (int k = 0; k < 40; k++)
			step(&w);
		if (ops->remove(w.im, "two", &e) < 0)
			fail_msg("%s", e->message);
		compare_all(&w);
		image_close(w.im);
		as_qemu_sees_it(path, &w);
		sh_ok("qemu-img snapshot -a one snap.qcow2 && qemu-img snapshot -c three snap.qcow2 && "
		      "qemu-img snapshot -d one snap.qcow2 && qemu-img check snap.qcow2");
		w.im = open_rw(path, "qcow2");
		memcpy(w.want, first, w.size);
		compare_all(&w);
		list = ops->list(w.im);
		assert_int_equal(list->len, 1);
		assert_string_equal(g_array_index(list, struct image_snapshot, 0).name, "three");
		g_array_unref(list);
		for (int k = 0; k < 40; k++)
			step(&w);
		if (ops->remove(w.im, "three", &e) < 0)
			fail_msg("%s", e->message);
		image_close(w.im);
		as_qemu_sees_it(path, &w);
		g_free(w.want);
	}
}

static void test_resize(void **state)
{
	static const char *const kinds[] = { "compat=1.1", "extended_l2=on", "cluster_size=512" };
	static const uint64_t sizes[] = { 9 << 20, (9 << 20) + 512, 64 << 20, 3 << 20, 5 << 20 };

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const char *path = rig_path("size.qcow2");
		struct work w = { .seed = i, .want = g_malloc0(64 << 20) };
		g_autoptr(GError) e = NULL;

		make_image(path, "qcow2", 8 << 20, kinds[i], NULL, NULL);
		for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
			work_on(&w, path, 30);
			w.im = open_rw(path, "qcow2");
			if (image_resize(w.im, sizes[k], NULL, &e) < 0)
				fail_msg("%s", e->message);
			if (sizes[k] < w.size)
				memset(w.want + sizes[k], 0, w.size - sizes[k]);
			w.size = sizes[k];
			compare_all(&w);
			image_close(w.im);
			as_qemu_sees_it(path, &w);
		}
		g_free(w.want);
	}
}

static void test_preallocation(void **state)
{
	static const char *const modes[] = { "metadata", "falloc", "full" };
	static const char *const kinds[] = { "cluster_size=64K", "extended_l2=on",
		"data_file=pre.raw", "cluster_size=512" };

	for (unsigned i = 0; i < G_N_ELEMENTS(modes) * G_N_ELEMENTS(kinds); i++) {
		struct work w = { .seed = i, .want = g_malloc0(4 << 20) };
		g_autofree char *o = g_strdup_printf("preallocation=%s,%s", modes[i % 3],
						     kinds[i / 3]);

		sh("rm -f pre.raw");
		make_image(rig_path("pre.qcow2"), "qcow2", 4 << 20, o, NULL, NULL);
		w.size = 4 << 20;
		as_qemu_sees_it(rig_path("pre.qcow2"), &w);
		sh_ok("test $(qemu-img map --output=json pre.qcow2 | grep -c '\"data\": true') -ge 1");
		work_on(&w, rig_path("pre.qcow2"), 60);
		as_qemu_sees_it(rig_path("pre.qcow2"), &w);
		g_free(w.want);
	}
}

static void test_huge(void **state)
{
	g_autoptr(GError) e = NULL;
	struct image *im;
	char buf[512];

	make_image(rig_path("huge.qcow2"), "qcow2", 2ull << 40, NULL, NULL, NULL);
	im = open_rw(rig_path("huge.qcow2"), "qcow2");
	memset(buf, 5, 512);
	for (uint64_t off = 0; off < 2ull << 40; off += (2ull << 40) / 64)
		assert_int_equal(image_pwrite(im, off + 4096, buf, 512, &e), 0);
	image_close(im);
	sh_ok("qemu-img check huge.qcow2 && qemu-io -r -c 'read -P 5 1099511631872 512' huge.qcow2");
	check_clean(rig_path("huge.qcow2"), "qcow2");
	sh_ok("test $(stat -c %%s huge.qcow2) -lt 20000000");
}

static void test_bitmaps(void **state)
{
	const char *path = rig_path("bits.qcow2");
	struct image_bitmap b = { .name = "ours", .granularity = 65536, .enabled = true };
	const struct image_bitmap_ops *ops;
	g_autoptr(GError) e = NULL;
	uint64_t at, n;
	struct image *im;
	char buf[512] = { 1 };

	make_image(path, "qcow2", 64 << 20, NULL, NULL, NULL);
	im = open_rw(path, "qcow2");
	ops = image_bitmaps(im);
	if (ops->add(im, &b, &e) < 0)
		fail_msg("%s", e->message);
	assert_int_equal(image_pwrite(im, 1 << 20, buf, 512, &e), 0);
	assert_int_equal(image_pwrite(im, 5 << 20, buf, 512, &e), 0);
	image_close(im);
	sh_ok("qemu-img check bits.qcow2 && qemu-img info bits.qcow2 | grep -q 'name: ours'");
	check_clean(path, "qcow2");
	/* QEMU counts on in ours, and makes one for us. */
	sh_ok("qemu-io -f qcow2 -c 'write 9M 4K' bits.qcow2 && "
	      "qemu-img bitmap --add -g 128K bits.qcow2 theirs && "
	      "qemu-io -f qcow2 -c 'write 20M 4K' bits.qcow2 && qemu-img check bits.qcow2");
	im = open_rw(path, "qcow2");
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t want[] = { 1 << 20, 5 << 20, 9 << 20, 20 << 20 };

		assert_true(ops->next(im, "ours", i ? at + n : 0, true, &at, &n));
		assert_int_equal(at, want[i]);
		assert_int_equal(n, 65536);
	}
	assert_false(ops->next(im, "ours", at + n, true, &at, &n));
	assert_true(ops->next(im, "theirs", 0, true, &at, &n));
	assert_int_equal(at, 20 << 20);
	assert_int_equal(n, 128 << 10);
	assert_int_equal(image_pwrite(im, 40 << 20, buf, 512, &e), 0);
	if (ops->merge(im, "theirs", im, "ours", &e) < 0 || ops->clear(im, "ours", &e) < 0)
		fail_msg("%s", e->message);
	image_close(im);
	sh_ok("qemu-img check bits.qcow2");
	check_clean(path, "qcow2");
	im = open_rw(path, "qcow2");
	assert_false(ops->next(im, "ours", 0, true, &at, &n));
	assert_true(ops->next(im, "theirs", 0, true, &at, &n));
	assert_int_equal(at, 1 << 20);
	if (ops->remove(im, "ours", &e) < 0)
		fail_msg("%s", e->message);
	image_close(im);
	sh_ok("qemu-img check bits.qcow2 && qemu-img bitmap --remove bits.qcow2 theirs && "
	      "qemu-img check bits.qcow2");
	check_clean(path, "qcow2");
}

static void test_repair(void **state)
{
	/* Offsets in an image qemu-img makes with 64K clusters: refcount block at 2, L1 at 3. */
	static const char *const damage[] = {
		"printf '\\0\\5' | dd of=bad.qcow2 bs=1 seek=131082 conv=notrunc", /* leak */
		"printf '\\0\\0' | dd of=bad.qcow2 bs=1 seek=131084 conv=notrunc", /* too low */
		"printf '\\0' | dd of=bad.qcow2 bs=1 seek=196608 conv=notrunc", /* L1 flag */
		"printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of=bad.qcow2 bs=1 seek=65536 conv=notrunc", /* no block */
		"printf '\\1\\1\\1\\1\\1\\1\\1\\1' | dd of=bad.qcow2 bs=1 seek=65536 conv=notrunc",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(damage); i++) {
		struct image_options o = { .path = rig_path("bad.qcow2"), .format = "qcow2",
					   .for_check = true };
		struct image_report report = { 0 };
		g_autoptr(GError) e = NULL;
		struct image *im;

		sh_ok("rm -f bad.qcow2; qemu-img create -q -f qcow2 bad.qcow2 8M && "
		      "qemu-io -f qcow2 -c 'write -P 6 0 4M' bad.qcow2 && qemu-img check bad.qcow2");
		sh_ok("%s", damage[i]);
		assert_int_not_equal(sh("qemu-img check bad.qcow2"), 0);
		im = open_image(&o);
		if (image_check(im, &report, true, &e) < 0)
			fail_msg("%s", e->message);
		assert_true(report.corruptions + report.leaks > 0);
		image_close(im);
		sh_ok("qemu-img check bad.qcow2 && qemu-io -f qcow2 -c 'read -P 6 0 4M' bad.qcow2");
		check_clean(rig_path("bad.qcow2"), "qcow2");
	}
}

static void test_old_aes(void **state)
{
	struct image_options o = { .path = rig_path("aes.qcow2"), .format = "qcow2",
				   .secret = "a password of some length" };
	g_autofree uint8_t *buf = g_malloc(1 << 20);
	g_autoptr(GError) e = NULL;
	struct image *im;

	sh_ok("qemu-img create -q --object secret,id=s,data='a password of some length' -f qcow2 "
	      "-o encrypt.format=aes,encrypt.key-secret=s aes.qcow2 4M && "
	      "qemu-io --object secret,id=s,data='a password of some length' --image-opts "
	      "-c 'write -P 0x5c 1M 1M' "
	      "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename=aes.qcow2");
	im = open_image(&o);
	assert_int_equal(image_pread(im, 1 << 20, buf, 1 << 20, &e), 0);
	for (unsigned i = 0; i < 1 << 20; i++)
		assert_int_equal(buf[i], 0x5c);
	memset(buf, 0x11, 1 << 20);
	assert_int_equal(image_pwrite(im, (1 << 20) + 3 * 512, buf, 5000 * 2, &e), 0);
	image_close(im);
	sh_ok("qemu-io --object secret,id=s,data='a password of some length' --image-opts "
	      "-c 'read -P 0x5c 1M 1536' -c 'read -P 0x11 1050112 10000' -c 'read -P 0x5c 1060112 4K' "
	      "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename=aes.qcow2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours_to_qemu), cmocka_unit_test(test_qemu_to_ours),
		cmocka_unit_test(test_backing), cmocka_unit_test(test_policy),
		cmocka_unit_test(test_snapshots), cmocka_unit_test(test_resize),
		cmocka_unit_test(test_preallocation), cmocka_unit_test(test_huge),
		cmocka_unit_test(test_bitmaps), cmocka_unit_test(test_repair),
		cmocka_unit_test(test_old_aes),
	};

	return cmocka_run_group_tests(tests, rig_start, rig_stop);
}
